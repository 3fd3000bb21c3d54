"""Write the checkboxes of a form into the text of a page as `[x]` and `[ ]`, and remove recognised field borders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from ..io.box import Box, shared_area
from .elements import Block, Line, Page

GAP_EM = 12.0  # farthest label of a checkbox on its row, in heights of the line
BORDER = 0.3  # width of a field's border zone, as a share of its height
BORDERS = frozenset(r"[](){}|lI!/\_-—–=")  # what borders are recognised as
MARK = 3  # characters of `[x]` and `[ ]`
BUTTON_EM = 1.0  # white before the button of a choice, in heights of the line


def place_form_fields(page: Page, fields: Iterable[tuple[str, Box, bool]]) -> None:
    """Insert `[x]` or `[ ]` where a page has a checkbox, and remove what was recognised in borders and buttons.

    A mark goes into the line of its label: the nearest line on the same row, first to the right. In a table it also
    goes into the cell of the label, or into the empty cell next to it. A checkbox without a label becomes a line of its
    own.

    Args:
        page: An upright page; its lines are changed.
        fields: Kind as in `FormField`, box in pixels of the page image, and whether a checkbox is ticked.
    """
    fields = sorted(fields, key=lambda one: (one[1][1], one[1][0]))
    read = {id(line): line.text for line in page.lines}
    for kind, box, _ in fields:
        for line in page.lines:
            if kind == "checkbox":
                pad = 0.15 * (box[3] - box[1])
                _erase(line, (box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad))
            else:
                _erase_border(line, box, kind == "choice")
    found = [(box, checked) for kind, box, checked in fields if kind == "checkbox"]
    for block in page.blocks:
        for line in block.lines if block.cells else ():
            _erase_in_cells(block.cells or [], read[id(line)], line.text)
        block.lines = [line for line in block.lines if line.text.strip()]
    page.blocks = [block for block in page.blocks if block.lines or block.kind == "figure"]
    for box, checked in found:
        mark = "[x]" if checked else "[ ]"
        label = _label(page, box)
        if label is None:
            new = Block([Line(mark, box, 1.0, _split(box), [1.0] * 3)], box)
            above = sum(other.box[1] <= box[1] for other in page.blocks)
            page.blocks.insert(above, new)
        else:
            at = _insert(label, mark, box)
            for block in page.blocks:
                if block.cells and any(line is label for line in block.lines):
                    _insert_in_cell(block.cells, label, at)
    if found and page.status == "blank":
        page.status = "ok"


def _erase_border(line: Line, box: Box, button: bool) -> None:
    """Remove what was recognised in the left and right border of a field, and in the button of a choice."""
    x0, y0, x1, y1 = box
    width = BORDER * (y1 - y0)
    for edge in (x0, x1):
        _erase(line, (edge - width, y0, edge + width, y1), BORDERS)
    inside = [one for one, ch in zip(line.characters, line.text, strict=False) if ch != " " and x0 < one[0] < x1]
    gaps = [b[0] - a[2] for a, b in pairwise(inside)]
    if button and gaps and max(gaps) > BUTTON_EM * (line.box[3] - line.box[1]):
        start = inside[gaps.index(max(gaps)) + 1][0]
        if start > x1 - 1.5 * (y1 - y0):
            _erase(line, (start - 1, y0, x1 + width, y1))


def _erase(line: Line, box: Box, only: frozenset[str] = frozenset()) -> None:
    """Remove the characters whose centres lie in a box; those of `only`, where given."""
    if len(line.characters) != len(line.text):
        return
    keep = [
        ch == " "
        or (bool(only) and ch not in only)
        or not (box[0] < (x0 + x1) / 2 < box[2] and box[1] < (y0 + y1) / 2 < box[3])
        for ch, (x0, y0, x1, y1) in zip(line.text, line.characters, strict=True)
    ]
    if all(keep):
        return
    end = max((k for k, kept in enumerate(keep) if kept and line.text[k] != " "), default=-1)
    keep = [kept and k <= end for k, kept in enumerate(keep)]
    place = [sum(keep[:k]) for k in range(len(keep) + 1)]
    line.styles = [(place[a], place[b], style) for a, b, style in line.styles if place[b] > place[a]]
    line.text = "".join(ch for ch, kept in zip(line.text, keep, strict=True) if kept)
    line.characters = [one for one, kept in zip(line.characters, keep, strict=True) if kept]
    line.character_confidence = [one for one, kept in zip(line.character_confidence, keep, strict=True) if kept]


def _erase_in_cells(cells: list[list[str]], before: str, after: str) -> None:
    """Remove from a table's row what was removed from its line."""
    if before == after:
        return
    row = max(cells, key=lambda row: sum(len(cell) for cell in row if cell in before))
    parts = re.split(r"\s{2,}", after.strip())
    for c, cell in enumerate(row):
        if cell in before and cell not in after:
            row[c] = max((part for part in parts if part in cell), key=len, default="")


def _label(page: Page, box: Box) -> Line | None:
    """Return the nearest line on the row of a checkbox; lines to its right or around it come first."""
    middle, best, least = (box[1] + box[3]) / 2, None, float("inf")
    tables = [one for one in page.blocks if one.cells and shared_area(one.box, box) > 0]
    in_table = {id(line) for one in tables for line in one.lines}
    for line in page.lines:
        x0, y0, x1, y1 = line.box
        if not y0 - 0.2 * (y1 - y0) < middle < y1 + 0.2 * (y1 - y0):
            continue
        to_right = x1 > box[2]
        gap = max(0.0, x0 - box[2]) if to_right else box[0] - x1 + 2 * (y1 - y0)
        if gap < least and (gap < GAP_EM * (y1 - y0) or id(line) in in_table):
            best, least = line, gap
    return best


def _insert(line: Line, mark: str, box: Box) -> int:
    """Insert a mark at its place in a line, with blanks around it, and return the index of its first character."""
    middle = (box[0] + box[2]) / 2
    whole = len(line.characters) == len(line.text)
    at = sum((x0 + x1) / 2 < middle for x0, _, x1, _ in line.characters) if whole else 0
    before, after = line.text[:at], line.text[at:]
    left = " " if before and not before.endswith(" ") else ""
    right = " " if after and not after.startswith(" ") else ""
    text = left + mark + right
    if whole:
        x0, y0, x1, y1 = box
        boxes = [(x0, y0, x0, y1)] * len(left) + _split(box) + [(x1, y0, x1, y1)] * len(right)
        line.characters[at:at] = boxes
        line.character_confidence[at:at] = [1.0] * len(text)
    shift = len(text)
    line.styles = [(a + shift * (a >= at), b + shift * (b > at), style) for a, b, style in line.styles]
    line.text = before + text + after
    line.box = (min(line.box[0], box[0]), line.box[1], max(line.box[2], box[2]), line.box[3])
    return at + len(left)


def _insert_in_cell(cells: list[list[str]], line: Line, at: int) -> None:
    """Insert the mark at index `at` of a table's line into the row that has most of the line's text.

    If the text before it is nearer than the text after it, the mark goes to the end of that text's cell, or into the
    next cell where that is empty and not close. Else it goes to the start of the other text's cell.
    """
    mark, end = line.text[at : at + MARK], at + MARK
    before = re.split(r"\s{2,}", line.text[:at].rstrip())[-1]
    after = re.split(r"\s{2,}", line.text[end:].lstrip())[0]
    white, behind = 0.0, float("inf")
    if before and len(line.characters) == len(line.text):
        last, then = len(line.text[:at].rstrip()) - 1, len(line.text) - len(line.text[end:].lstrip())
        white = line.characters[at][0] - line.characters[last][2]
        behind = line.characters[then][0] - line.characters[end - 1][2] if after else behind
    best: tuple[int, int, int, str] = (-1, len(cells) - 1, len(cells[-1]) - 1, f"{cells[-1][-1]} {mark}".strip())
    for r, row in enumerate(cells):
        share = sum(len(cell) for cell in row if cell in line.text)
        for c, cell in enumerate(row):
            apart = c + 1 < len(row) and white > line.box[3] - line.box[1]
            empty = apart and not row[c + 1]
            if before and apart and cell.endswith(before) and row[c + 1] in ("[x]", "[ ]"):
                continue  # an equal row above it has its mark
            if before and white <= behind and cell.endswith(before):
                place = (share, r, c + 1, mark) if empty else (share, r, c, f"{cell} {mark}")
            elif after and cell.startswith(after):
                place = (share, r, c, f"{mark} {cell}")
            else:
                continue
            best = max(best, place, key=lambda one: one[0])
    _, r, c, cells[r][c] = best


def _split(box: Box) -> list[Box]:
    """Return three boxes side by side that fill a box."""
    x0, y0, x1, y1 = box
    step = (x1 - x0) / 3
    return [(x0 + k * step, y0, x0 + (k + 1) * step, y1) for k in range(3)]
