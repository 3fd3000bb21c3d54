"""Part lines that were read across a ruling line between two columns, where the gutter is as narrow as a blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ...document.lines import TextLine
from ...io.box import Box


def cut_at_rules(lines: Sequence[TextLine], rules: Sequence[Box]) -> list[TextLine]:
    """Return the lines of a page, those that cross a rule in two.

    Args:
        lines: of the page.
        rules: as `Evidence.column_rules`.
    """
    return [part for line in lines for part in _cut(line, rules)]


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
