"""Write formulas of names and fractions by their ruling lines, where the symbols decoder is not certain.

Programs for text set such formulas in the italics of the text. Their names have several letters (`Load`), which few
formulas have that the decoder learnt from. The rule of each fraction tells what stands above and below.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from ...document.elements import SCRIPTS, STYLES
from ...io.box import Box, union
from ...markup.math_nodes import LatexError
from ...markup.math_tokens import from_steps, plain
from ..layer.lines import LayerLine
from .spans import FormulaSpan

LEVEL_EM = 0.4  # between the middles of what stands on one level; that of a fraction is its rule
OPENERS = {"superscript": "^{", "subscript": "_{"}


class _Part(NamedTuple):
    """A name or a fraction: its box, the height of its middle, and its steps (`markup/math_tokens.py`)."""

    box: Box
    middle: float
    steps: list[str]


def write_fractions(group: Sequence[FormulaSpan], lines: Sequence[LayerLine], rules: Sequence[Box]) -> str:
    """Return a formula set on its own, in canonical LaTeX; empty where it has no fraction or more than fractions.

    Args:
        group: Its spans, none of them in a font for mathematics.
        lines: Of the page.
        rules: Ruling lines of the page.
    """
    if not all(span.whole and span.italic for span in group):
        return ""
    x0, y0, x1, y1 = union([span.box for span in group])
    bars = [rule for rule in rules if x0 < (rule[0] + rule[2]) / 2 < x1 and y0 < rule[1] and rule[3] < y1]
    parts = [_Part(span.box, (span.box[1] + span.box[3]) / 2, _steps(lines[span.line], span)) for span in group]
    steps = _row(parts, bars, LEVEL_EM * max(lines[span.line].em_px for span in group)) if bars else None
    try:
        return from_steps(steps) if steps else ""
    except LatexError:
        return ""


def _row(parts: Sequence[_Part], bars: Sequence[Box], near: float) -> list[str] | None:
    """Return the steps of what stands on one level, fractions among it; None where something stands elsewhere."""
    level, rest = list[_Part](), list(parts)
    for bar in sorted(bars, key=lambda bar: bar[0] - bar[2]):  # the longest first: it may hold others
        halves = []
        for is_in in (lambda y, at=bar[1]: y < at, lambda y, at=bar[3]: y > at):
            own = [one for one in rest if bar[0] < (one.box[0] + one.box[2]) / 2 < bar[2] and is_in(one.middle)]
            inner = [one for one in bars if one != bar and bar[0] <= one[0] and one[2] <= bar[2] and is_in(one[1])]
            halves.append((own, _row(own, inner, near)))
        (above, upper), (below, lower) = halves
        if not above and not below:
            continue  # a fraction within one that is done
        if not upper or not lower:
            return None
        rest = [one for one in rest if not any(one is other for other in (*above, *below))]
        box = union([bar, *(one.box for one in (*above, *below))])
        level.append(_Part(box, bar[1], ["\\frac{", *upper, "}{", *lower, "\\egroup"]))
    level += rest
    middles = [one.middle for one in level]
    if not level or max(middles) - min(middles) > near:
        return None
    return [step for one in sorted(level, key=lambda one: one.box[0]) for step in one.steps]


def _steps(line: LayerLine, span: FormulaSpan) -> list[str]:
    """Return the steps of the characters of a span, small raised and lowered ones as scripts."""
    inked = [k for k in range(span.start, span.end) if line.text[k] != " "]
    steps: list[str] = []
    for opener, places in groupby(inked, lambda k: _opener(line, k)):
        written = [plain(line.text[k])[0] for k in places]
        steps += [opener, *written, "\\egroup"] if opener else written
    return steps


def _opener(line: LayerLine, k: int) -> str:
    """Return the step that begins a script of character k; empty on the line itself."""
    raised = [] if line.styles is None else line.styles[k, len(STYLES) : len(STYLES + SCRIPTS)].tolist()
    return next((OPENERS[name] for name, its in zip(SCRIPTS, raised, strict=False) if its), "")
