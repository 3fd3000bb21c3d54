"""Part lines that were read across a ruling line between two columns, where the gutter is as narrow as a blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ...document.evidence import Evidence
from ...document.lines import TextLine
from ...io.box import Box
from .merge import is_left_of_rule

LONG_EM, NEAR_EM = 1.5, 0.4  # a rule that was read as a character: its least length; from one to the other


def part_at_rules(
    lines: list[TextLine], texts: list[TextLine], evidence: Evidence
) -> tuple[list[TextLine], list[TextLine]]:
    """Return all lines of a page and those that are text; text that crosses a rule between columns is in parts.

    Marks at ruling lines, such as corners of cells, are no text.

    Args:
        lines: all lines.
        texts: those that are text.
        evidence: what is drawn on the page.
    """
    texts = [line for line in texts if not is_left_of_rule(line, evidence.rules)]
    upright = [rule for rule in evidence.rules if rule[3] - rule[1] > rule[2] - rule[0]]
    parted = [part for line in texts for part in _without_rules(line, upright)]
    parted = [part for line in parted for part in _cut(line, evidence.column_rules)]
    if len(parted) == len(texts) and all(a is b for a, b in zip(texts, parted, strict=True)):
        return lines, texts
    return [*(line for line in lines if all(line is not one for one in texts)), *parted], parted


def _without_rules(line: TextLine, rules: Sequence[Box]) -> Iterable[TextLine]:
    """Yield the parts of a line between characters `|` that are long rules, beside blanks."""
    text = f" {line.text} "
    bars = [k for k, ch in enumerate(line.text) if ch == "|" and text[k] == text[k + 2] == " "]
    ruled = [k for k in bars if any(_is_rule(line.boxes[k], rule, line.em_px) for rule in rules)]
    for start, end in zip([0, *(k + 1 for k in ruled)], [*ruled, len(line.text)], strict=True):
        if part := line.text[start:end].strip():
            begin = line.text.index(part, start)
            yield line.part(slice(begin, begin + len(part))) if ruled else line


def _is_rule(box: np.ndarray, rule: Box, em: float) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return (
        rule[1] < y < rule[3] and rule[3] - rule[1] > LONG_EM * em and abs(x - (rule[0] + rule[2]) / 2) < NEAR_EM * em
    )


def _cut(line: TextLine, rules: Sequence[Box]) -> Iterable[TextLine]:
    x0, y0, x1, y1 = line.box
    middles = (line.boxes[:, 0] + line.boxes[:, 2]) / 2
    crossed = [
        (rule[0] + rule[2]) / 2 for rule in rules if x0 < rule[0] < rule[2] < x1 and rule[1] < y0 and rule[3] > y1
    ]
    places = sorted({int(k) for k in np.searchsorted(middles, crossed)} - {0, len(middles)})
    for start, end in zip([0, *places], [*places, len(middles)], strict=True):
        text = line.text[start:end]
        kept = slice(start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip()))
        if text.strip():
            yield replace(line.part(kept), alternatives=()) if places else line
