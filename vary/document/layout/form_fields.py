"""Write the checkboxes of a form into the lines of a page as `[x]` and `[ ]`, join the characters of comb fields, and
remove recognised field borders.

This comes before the layout, so that a mark goes into its cell or column as any other word does.
Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from ...io.box import Box
from ..elements import SOURCES
from ..lines import TextLine, split_box

GAP_EM = 12.0  # farthest label of a checkbox on its row, in heights of the line
PAD = 0.15  # around a checkbox, as a share of its height
BORDER = 0.3  # width of a field's border zone, as a share of its height
BORDERS = frozenset(r"[](){}|lI!/\_-—–=")  # what borders are recognised as
BUTTON_EM = 1.0  # white before the button of a choice, in heights of the line


def place_form_fields(lines: Sequence[TextLine], fields: Iterable[tuple[str, Box, bool]]) -> list[TextLine]:
    """Return the lines with `[x]` or `[ ]` for each checkbox, combs joined, and without recognised borders and buttons.

    A mark goes into the line of its label: the nearest line on the same row, first to the right. A checkbox without a
    label near it becomes a line of its own.

    Args:
        lines: Of the page.
        fields: Kind as in `FormField`, box, and whether a checkbox is ticked.
    """
    fields = sorted(fields, key=lambda one: (one[1][1], one[1][0]))
    placed = list(lines)
    for kind, box, _ in fields:
        if kind == "checkbox":
            pad = PAD * (box[3] - box[1])
            placed = _erase(placed, (box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad))
            continue
        x0, y0, x1, y1 = box
        width = BORDER * (y1 - y0)
        for edge in (x0, x1):
            placed = _erase(placed, (edge - width, y0, edge + width, y1), BORDERS)
        wide = (x0, y0, x1 + width, y1)
        if kind == "choice" and (start := _button(placed, wide)):
            placed = _erase(placed, (start - 1, *wide[1:]))
        if kind == "comb":
            placed = _join(placed, box)
    for kind, box, checked in fields:
        if kind == "checkbox":
            mark, k = "[x]" if checked else "[ ]", _label(placed, box)
            if k is None:
                boxes, sure, high = split_box(box, len(mark)), np.ones(len(mark), np.float32), box[3] - box[1]
                placed.append(TextLine(mark, boxes, sure, high, writer="layer"))
            else:
                placed[k] = _insert(placed[k], mark, box)
    return placed


def _button(lines: Sequence[TextLine], box: Box) -> float | None:
    """Return where the button at the right end of a choice begins, if it was recognised as text."""
    high = box[3] - box[1]
    inked = [one for line in lines for one, ch in zip(line.boxes, line.text, strict=True) if ch != " "]
    inside = sorted((one for one in inked if _holds(box, one)), key=lambda one: float(one[0]))
    gaps = [float(b[0] - a[2]) for a, b in pairwise(inside)]
    if not gaps or max(gaps) < BUTTON_EM * float(inside[0][3] - inside[0][1]):
        return None
    start = float(inside[gaps.index(max(gaps)) + 1][0])
    return start if start > box[2] - 1.8 * high else None


def _erase(lines: Sequence[TextLine], area: Box, only: frozenset[str] | None = None) -> list[TextLine]:
    """Remove the characters whose middles lie in an area, and lines of which nothing is left.

    only: the characters that go, where only pixels show them; None for all characters.
    """
    left = []
    for line in lines:
        in_layer = np.zeros(len(line.text), bool) if line.sources is None else line.sources > 0
        gone = [
            ch != " " and (only is None or (ch in only and not known)) and _holds(area, box)
            for ch, box, known in zip(line.text, line.boxes, in_layer, strict=True)
        ]
        if any(gone):
            inked = [k for k, ch in enumerate(line.text) if ch != " " and not gone[k]]
            if not inked:
                continue
            for k in range(len(line.text) - 1, -1, -1):
                if gone[k] or not inked[0] <= k <= inked[-1]:
                    line = line.put(k, k + 1, "", ())
        left.append(line)
    return left


def _join(lines: Sequence[TextLine], box: Box) -> list[TextLine]:
    """Write the characters in a field as one word. They are the end of a line, or lines of their own."""
    inside = sorted((k for k, line in enumerate(lines) if _holds(box, line.boxes[-1])), key=lambda k: lines[k].box[0])
    if not inside:
        return list(lines)
    first, *others = inside
    line = lines[first]
    for k in others:
        arrays = {name: array for name in line.PER_CHARACTER if (array := getattr(lines[k], name)) is not None}
        line = line.put(len(line.text), len(line.text), lines[k].text, **arrays)
    for k in range(len(line.text) - 1, 0, -1):
        if line.text[k] == " " and _holds(box, line.boxes[k - 1]):
            line = line.put(k, k + 1, "", ())
    return [line if k == first else one for k, one in enumerate(lines) if k not in others]


def _holds(area: Box, box: np.ndarray) -> bool:
    """Return whether the middle of a character lies in an area."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return bool(area[0] < x < area[2] and area[1] < y < area[3])


def _label(lines: Sequence[TextLine], box: Box) -> int | None:
    """Return the place of the nearest line on the row of a checkbox; lines to its right or around it come first."""
    middle, best, least = (box[1] + box[3]) / 2, None, float("inf")
    for k, line in enumerate(lines):
        x0, y0, x1, y1 = line.box
        high = y1 - y0
        if y0 - 0.2 * high < middle < y1 + 0.2 * high:
            gap = max(0.0, x0 - box[2]) if x1 > box[2] else box[0] - x1 + 2 * high
            if gap < min(least, GAP_EM * high):
                best, least = k, gap
    return best


def _insert(line: TextLine, mark: str, box: Box) -> TextLine:
    """Insert a mark at its place in a line, with blanks around it."""
    x0, y0, x1, y1 = box
    at = int(((line.boxes[:, 0] + line.boxes[:, 2]) / 2 < (x0 + x1) / 2).sum())
    left = " " if at and line.text[at - 1] != " " else ""
    right = " " if at < len(line.text) and line.text[at] != " " else ""
    sides = split_box((x0, y0, x0, y1), len(left)), split_box(box, len(mark)), split_box((x1, y0, x1, y1), len(right))
    text = left + mark + right
    return line.put(at, at, text, np.concatenate(sides), sources=np.full(len(text), SOURCES.index("layer")))
