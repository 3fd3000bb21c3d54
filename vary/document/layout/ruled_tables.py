"""Tables from ruling lines and filled cells.

Level and upright rules that cross one another are a grid. Places of the grid that no rule separates are one merged
cell. A cell takes the characters whose middles lie in it, however many lines that are. Where a row of the grid holds
several printed lines, they are rows of their own when the lines of most columns stand level.
Tables with level rules alone are found by `open_tables.py`.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ...io.box import Box, touch, union, unique_values, widen_box
from ..evidence import Evidence
from ..lines import PageRegion, TextLine
from .cells import (
    BLANK_EM,
    NEAR,
    CellTable,
    Merged,
    PrintedRow,
    Stretch,
    add_to_cell,
    find_strips,
    is_numeric,
    row_cells,
    rows_by_height,
    share_inside,
)
from .open_tables import Segment, find_open, table_of_bands, without_empty
from .reading_order import are_panels
from .ruling_lines import distinct, fill_between_stripes
from .table_rows import are_lines_of_cells

WORD_CUT_EM = 0.15  # white between characters at which text is cut, within a word
MIN_SPLIT = 3  # rows that show two columns of words within one of the grid
EVEN = 1.15  # greatest step between rows, as a multiple of the least; values are farther from their labels
NAMED = 0.7  # share of the columns that a head without rules names
SMALL = 0.85  # type of a label above a value in one cell, as a share of the value's
WALL = 0.5  # share of a cell's side that a rule covers


def find_ruled_tables(lines: Sequence[TextLine], evidence: Evidence, em: float) -> list[PageRegion]:
    """Return the tables that rules or filled cells show.

    Args:
        lines: of the page.
        evidence: ruling lines and filled areas.
        em: size of the page's text, px.
    """
    areas = [box for box, _ in evidence.areas]
    areas += fill_between_stripes(dict(evidence.areas), lines, evidence.rules)
    rules = evidence.rules + [side for box in areas for side in _sides(box)]
    level = _join([((y0 + y1) / 2, x0, x1) for x0, y0, x1, y1 in rules if x1 - x0 > max(y1 - y0, 0.8 * em)])
    upright = _join([((x0 + x1) / 2, y0, y1) for x0, y0, x1, y1 in rules if y1 - y0 > max(x1 - x0, 0.8 * em)])
    found: list[PageRegion] = []
    taken: set[int] = set()
    for grid in _grids(level, upright, em):
        inside = [line for line in lines if id(line) not in taken and share_inside(line, grid.box) > 0.6]
        if grid.is_of_panels(inside, evidence.rules, em):
            continue
        table = grid.fill(inside, em)
        if table is not None:
            head = grid.add_head([line for line in lines if id(line) not in taken], table)
            taken |= {id(line) for line in (*head, *inside)}
            found.append(PageRegion("table", union([grid.box, *(line.box for line in head)]), [*head, *inside], table))
    for box, table in find_open([line for line in lines if id(line) not in taken], level, evidence, em):
        inside = [line for line in lines if id(line) not in taken and share_inside(line, box) > 0.6]
        taken |= {id(line) for line in inside}
        found.append(PageRegion("table", box, inside, table))
    return found


def _sides(box: Box) -> list[Box]:
    x0, y0, x1, y1 = box
    return [(x0, y0, x1, y0), (x0, y1, x1, y1), (x0, y0, x0, y1), (x1, y0, x1, y1)]


def _join(segments: list[Segment]) -> list[Segment]:
    """Join segments of one line that touch."""
    joined: list[Segment] = []
    for place, start, end in sorted(segments, key=lambda s: (round(s[0] / NEAR), s[1])):
        last = joined[-1] if joined else None
        if last and abs(last[0] - place) < NEAR and start <= last[2] + NEAR and last[1] <= end + NEAR:
            joined[-1] = (last[0], min(last[1], start), max(last[2], end))
        else:
            joined.append((place, start, end))
    return joined


# -- grids -------------------------------------------------------------------------------------------------------------


def _grids(level: list[Segment], upright: list[Segment], em: float) -> Iterator[_Grid]:
    """Yield each grid of rules that cross."""
    if not level or not upright:
        return
    y, left, right = np.array(level).T
    x, top, bottom = np.array(upright).T
    touch = (left[:, None] - NEAR <= x) & (x <= right[:, None] + NEAR)
    touch &= (top - NEAR <= y[:, None]) & (y[:, None] <= bottom + NEAR)
    waiting = set(range(len(level)))
    while waiting:
        rows, columns = {waiting.pop()}, set[int]()
        while True:
            found = {int(k) for r in rows for k in np.flatnonzero(touch[r])} - columns
            columns |= found
            more = {int(r) for k in found for r in np.flatnonzero(touch[:, k])} - rows
            rows |= more
            if not more:
                break
        waiting -= rows
        crossing, sides = [level[k] for k in sorted(rows)], [upright[k] for k in sorted(columns)]
        yield from _stacked(crossing, sides, em)


def _stacked(level: list[Segment], upright: list[Segment], em: float) -> Iterator[_Grid]:
    """Yield the grid of rules; two where they are two tables that touch, as the totals below the items of an invoice.

    Such tables share no edge of a column but their sides, and both have two rows or more with their own edges.
    """
    xs, ys = distinct(np.array([s[0] for s in upright]), em), distinct(np.array([s[0] for s in level]), em)
    xs = _open_sides(xs, level, em)
    if len(xs) < 2 or len(ys) < 2:
        return
    grid = _Grid(xs, ys, level, upright)
    edges = [frozenset(np.flatnonzero(row).tolist()) - {0, len(xs) - 1} for row in grid.walls]
    for k in range(2, len(edges) - 1):
        above, below = sorted(edges[k - 2 : k], key=len), sorted(edges[k : k + 2], key=len)
        few = min(len(above[0]), len(below[0]), len(above[1]) - 1, len(below[1]) - 1) < 1
        if not (few or above[1] & below[1]) and above[0] <= above[1] and below[0] <= below[1]:
            y = grid.ys[k]
            yield from _stacked([s for s in level if s[0] < y + NEAR], [s for s in upright if s[1] < y - em], em)
            yield from _stacked([s for s in level if s[0] > y - NEAR], [s for s in upright if s[2] > y + em], em)
            return
    yield grid


def _open_sides(xs: list[float], level: list[Segment], em: float) -> list[float]:
    """Return the edges of columns, and the ends of level rules where a grid has no outer upright ones."""
    if not xs:
        return xs
    left, right = min(s[1] for s in level), max(s[2] for s in level)
    if left < xs[0] - em and sum(abs(s[1] - left) < em for s in level) > 1:
        xs = [left, *xs]
    if right > xs[-1] + em and sum(abs(s[2] - right) < em for s in level) > 1:
        xs = [*xs, right]
    return xs


class _Grid:
    """Edges of columns and rows, and where a rule stands at them.

    Args:
        xs: edges of the columns.
        ys: edges of the rows.
        level: level rules.
        upright: upright rules.
    """

    def __init__(self, xs: list[float], ys: list[float], level: list[Segment], upright: list[Segment]):
        self.xs, self.ys = xs, ys
        self.walls = _walls(xs, ys, upright)  # (rows, edges of columns)
        self.floors = _walls(ys, xs, level)  # (columns, edges of rows)
        self.top = self.ys[0]
        while len(self.ys) > 2 and len(xs) > 2 and not self.walls[0, 1:-1].any():  # a title in the frame
            self.top, self.ys, self.walls, self.floors = self.ys[0], self.ys[1:], self.walls[1:], self.floors[:, 1:]
            self.floors[:, 0] = True

    @property
    def box(self) -> Box:
        """The box around the grid."""
        return self.xs[0], self.ys[0], self.xs[-1], self.ys[-1]

    def is_of_panels(self, lines: list[TextLine], rules: Sequence[Box], em: float) -> bool:
        """Return whether filled areas side by side, without an upright rule, are panels of text (`are_panels`)."""
        upright = [rule for rule in rules if rule[3] - rule[1] > rule[2] - rule[0]]
        if len(self.xs) < 3 or any(touch(rule, widen_box(self.box, NEAR, NEAR)) for rule in upright):
            return False
        places = [place for place in _rectangles(self._owners()) if place[3] < len(self.xs) - 1]
        parts = [(self.xs[c], self.ys[r], self.xs[c + wide], self.ys[r + high]) for r, c, high, wide in places]
        return are_panels(parts, self.box, lines, em)

    def fill(self, lines: list[TextLine], em: float) -> CellTable | None:
        """Return the table with the text of lines; None where too few cells hold text."""
        if len(self.xs) == 2 and len(self.ys) == 2:
            return None  # a frame
        if len(self.xs) == 2:  # level rules in a frame
            return table_of_bands(rows_by_height(lines), self.ys, em)
        self._add_columns(lines, em)
        owner = self._owners()
        pieces = [piece for line in lines for piece in _pieces(line, self.xs, self.ys, owner)]
        rows, parts = self._rows(pieces, rows_by_height(lines), owner, em)
        grid = [[""] * (len(self.xs) - 1) for _ in parts]
        for (r, c), y, text, _ in sorted(pieces, key=lambda p: (p[1], p[0][1])):
            k = rows.index(r) if r in rows else 0
            while k + 1 < len(parts) and parts[k + 1][0] == r and y >= parts[k + 1][1]:
                k += 1
            grid[k][c] = add_to_cell(grid[k][c], text)
        merged = [
            (k, c, sum(row in range(r, r + high) for row in rows) if high > 1 else 1, wide)
            for r, c, high, wide in _rectangles(owner)
            for k in ([rows.index(r)] if high > 1 else [k for k, row in enumerate(rows) if row == r])
            if high * wide > 1
        ]
        labelled = _has_small_labels([piece for piece in pieces if piece[0][0] == 0])
        head = 1 if labelled else _head_rows(merged, len(grid), len(grid[0]))
        return without_empty(CellTable(grid, merged, head))

    def add_head(self, lines: Sequence[TextLine], table: CellTable) -> list[TextLine]:
        """Add names of most columns that stand in the frame above the first rule across to a table; return their lines.

        Such a head has a ground, and no rules between its cells.
        """
        x0, _, x1, y1 = self.box
        inside = [line for line in lines if share_inside(line, (x0, self.top, x1, y1)) > 0.6]
        band = [line for line in inside if (line.box[1] + line.box[3]) / 2 < self.ys[0]]
        rows = rows_by_height(band)
        if self.top == self.ys[0] or not rows or len(table.cells[0]) != len(self.xs) - 1:
            return []
        row = max(rows, key=lambda one: len(one.stretches))
        places = row_cells(row, [(x - NEAR, x + NEAR) for x in self.xs[1:-1]], BLANK_EM)
        if len(places) < NAMED * len(table.cells[0]) or any(a < b or is_numeric(text) for a, b, text in places):
            return []
        names = {column: text for column, _, text in places}
        table.cells.insert(0, [names.get(c, "") for c in range(len(table.cells[0]))])
        table.merged = [(row + 1, *rest) for row, *rest in table.merged]  # type: ignore[misc]
        table.head_rows = 1
        used = {id(one.line) for one in row.stretches}
        return [line for line in band if id(line) in used or not any(map(str.isalnum, line.text))]

    def _add_columns(self, lines: list[TextLine], em: float) -> None:
        """Split columns that hold several columns of words; what runs on over their white is one cell."""
        rows = rows_by_height(lines)
        for at in range(len(self.xs) - 1, 0, -1):
            left, right = self.xs[at - 1], self.xs[at]
            parts = [PrintedRow([one for one in row.stretches if left < (one.x0 + one.x1) / 2 < right]) for row in rows]
            parts = [part for part in parts if part.stretches]
            several = [part for part in parts if len(part.stretches) > 1]
            if len(several) < MIN_SPLIT or len(several) < 0.6 * len(parts):
                continue
            for a, b in reversed(find_strips(parts, em)):
                crossed = [
                    part.middle
                    for k, part in enumerate(parts)
                    if any(one.x0 < a and one.x1 > b and not (k and _leaves(one, a, b)) for one in part.stretches)
                ]
                wall = [not any(top < y < bottom for y in crossed) for top, bottom in pairwise(self.ys)]
                self.xs.insert(at, (a + b) / 2)
                self.walls = np.insert(self.walls, at, wall, 1)
                self.floors = np.insert(self.floors, at - 1, self.floors[at - 1], 0)

    def _owners(self) -> np.ndarray:
        """Return (rows, columns), the number of the cell that each place belongs to; cells are rectangles."""
        high, wide = len(self.ys) - 1, len(self.xs) - 1
        owner = np.arange(high * wide).reshape(high, wide)
        for r in range(high):
            for c in range(wide):
                if c and not self.walls[r, c]:
                    owner[owner == owner[r, c]] = owner[r, c - 1]
        for r in range(1, high):
            for c in range(wide):
                if self.floors[c, r] or owner[r, c] == owner[r - 1, c]:
                    continue
                above, here = owner == owner[r - 1, c], owner == owner[r, c]
                both = np.argwhere(above | here)
                (y0, x0), (y1, x1) = both.min(0), both.max(0) + 1
                if len(both) == (y1 - y0) * (x1 - x0) and not self.floors[x0:x1, r].any():
                    owner[here] = owner[r - 1, c]
        return owner

    def _rows(
        self, pieces: list[Piece], printed: list[PrintedRow], owner: np.ndarray, em: float
    ) -> tuple[list[int], list[tuple[int, float]]]:
        """Return for each row of the table its row of the grid; then that with the height where it begins."""
        white = _white_at_ends(printed, self.xs)
        rows: list[int] = []
        parts: list[tuple[int, float]] = []
        for r, (top, bottom) in enumerate(pairwise(self.ys)):
            alone = not any((owner[r] == owner[k]).any() for k in (r - 1, r + 1) if 0 <= k < len(owner))
            here = [(c, y) for (row, c), y, *_ in pieces if row == r and top <= y < bottom]
            small = _has_small_labels([piece for piece in pieces if piece[0][0] == r])
            whole = are_lines_of_cells([row for row in printed if top <= row.middle < bottom], white, np.inf)
            edges = _level_rows(here, em, labels=len(self.ys) == 2) if alone and not (small or whole) else []
            for y in [top, *edges]:
                rows.append(r)
                parts.append((r, y))
        return rows, parts


def _white_at_ends(printed: list[PrintedRow], xs: list[float]) -> list[tuple[float, float]]:
    """Return for each column the white between its longest line and its right edge."""
    words = [one for row in printed for one in row.stretches]
    inside = [[min(one.x1, b) for one in words if a < (one.x0 + one.x1) / 2 < b] for a, b in pairwise(xs)]
    return [(max(ends, default=b), b) for ends, b in zip(inside, xs[1:], strict=True)]


def _leaves(one: Stretch, left: float, right: float) -> bool:
    """Return whether a stretch has a blank at the white between two columns."""
    boxes = one.line.boxes[one.start : one.end]
    blanks = [k for k, ch in enumerate(one.line.text[one.start : one.end]) if ch == " "]
    return any(boxes[k - 1, 2] < right and boxes[k + 1, 0] > left for k in blanks)


def _walls(xs: list[float], ys: list[float], upright: list[Segment]) -> np.ndarray:
    """Return (rows, edges), whether a rule stands at an edge of the columns next to a row."""
    covered = np.zeros((len(ys) - 1, len(xs)))
    for place, start, end in upright:
        at = int(np.abs(np.array(xs) - place).argmin())
        for r, (top, bottom) in enumerate(pairwise(ys)):
            covered[r, at] += max(0.0, min(end, bottom) - max(start, top)) / max(1e-6, bottom - top)
    walls = covered >= WALL
    walls[:, [0, -1]] = True
    return walls


Piece = tuple[tuple[int, int], float, str, float]  # row and column of a cell, middle of the line, text, size of type


def _pieces(line: TextLine, xs: list[float], ys: list[float], owner: np.ndarray) -> list[Piece]:
    """Cut a line at the edges of cells."""
    y = (line.box[1] + line.box[3]) / 2
    row = int(np.clip(np.searchsorted(ys, y) - 1, 0, len(ys) - 2))
    columns = np.clip(np.searchsorted(xs, line.boxes[:, [0, 2]].mean(1)) - 1, 0, len(xs) - 2)
    cells = owner[row, columns]
    cuts = sorted({_whole_word(line, int(k)) for k in np.flatnonzero(np.diff(cells)) + 1} - {0, len(line.text)})
    found = []
    for a, b in pairwise([0, *cuts, len(line.text)]):
        if text := Stretch(line, a, b).text:
            first = np.argwhere(owner == cells[(a + b - 1) // 2])[0]
            found.append(((int(first[0]), int(first[1])), y, text, line.em_px))
    return found


def _whole_word(line: TextLine, cut: int) -> int:
    """Return a cut at the nearer end of the word that it would divide."""
    text, boxes = line.text, line.boxes
    if " " in text[cut - 1 : cut + 1] or boxes[cut, 0] - boxes[cut - 1, 2] > WORD_CUT_EM * line.em_px:
        return cut
    start, end = text.rfind(" ", 0, cut) + 1, text.find(" ", cut)
    end = len(text) if end < 0 else end
    return start if cut - start < end - cut else end


def _rectangles(owner: np.ndarray) -> list[Merged]:
    """Return first row, first column, rows and columns of each cell."""
    found = []
    for number in unique_values(owner):
        places = np.argwhere(owner == number)
        (r, c), (below, behind) = places.min(0), places.max(0) + 1
        found.append((int(r), int(c), int(below - r), int(behind - c)))
    return found


def _level_rows(pieces: list[tuple[int, float]], em: float, labels: bool) -> list[float]:
    """Return the edges between printed rows in one row of a grid, where most columns have a line in each.

    labels: whether the row may also be labels, some of several lines, and one line of values.
    """
    rows: list[list[float]] = []
    for y in sorted({round(y, 1) for _, y in pieces}):
        if rows and y - rows[-1][-1] < 0.5 * em:
            rows[-1].append(y)
        else:
            rows.append([y])
    if len(rows) < 2:
        return []
    filled = [len({column for column, y in pieces if row[0] <= round(y, 1) <= row[-1]}) for row in rows]
    used = len({column for column, _ in pieces})
    edges = [(a[-1] + b[0]) / 2 for a, b in pairwise(rows)]
    if labels and used > 2 and filled[0] == filled[-1] == used:
        steps = [b[0] - a[0] for a, b in pairwise(rows)]
        even = min(filled) == used and max(steps) < EVEN * min(steps)
        return edges if even else edges[-1:]
    return [] if used < 2 or min(filled) < 2 or float(np.mean(filled)) < 0.7 * used else edges


def _has_small_labels(pieces: list[Piece]) -> bool:
    """Return whether most cells of a row of a grid begin with a label in smaller type than what stands below it."""
    cells: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for cell, y, _, em in pieces:
        cells.setdefault(cell, []).append((y, em))
    sizes = [[em for _, em in sorted(cell)] for cell in cells.values() if len(cell) > 1]
    return 2 * sum(em[0] < SMALL * em[1] for em in sizes) > len(cells) > 1


def _head_rows(merged: list[Merged], rows: int, columns: int) -> int:
    """Return the number of rows of a head: those that its merged cells cover, and the names below its groups."""
    first = [m for m in merged if m[0] == 0 and m[3] < columns]
    count = max([1, *(m[2] for m in first)])
    if any(m[3] > 1 for m in first) and not any(m[0] == 1 and m[3] > 1 for m in merged):
        count = max(2, count)
    return count if count < rows else 1
