"""Part lines that were read across a ruling line between two columns, where the gutter is as narrow as a blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ...document.evidence import Evidence
from ...document.lines import TextLine
from ...io.box import Box
from .merge import is_left_of_rule


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
    if not evidence.column_rules:
        return lines, texts
    parted = [part for line in texts for part in _cut(line, evidence.column_rules)]
    return [*(line for line in lines if all(line is not one for one in texts)), *parted], parted


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
