"""Cells of tables: stretches of lines, printed rows, the white strips between columns, merged cells.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, pairwise

import numpy as np

from ...io.box import Box, marked_runs, median, union
from ..elements import LEADER, is_divided
from ..lines import PageRegion, TextLine, text_with_formulas

Strips = Sequence[tuple[float, float]]  # white between columns
NEAR = 3.0  # px, between rules that are one, or that touch
WORD_EM = 0.7  # white inside of a cell; wider white separates cells
NUMBER_EM, GROUPS_EM = 0.35, 0.42  # the same between two numbers, which are no phrase; between groups of thousands
CUT_EM = 0.45  # white at which text that runs on across two columns is cut
BLANK_EM = 0.15  # the same in a row of several cells: a blank
STRIP_EM = 0.7  # narrowest white between columns
CLOSE_EM, CLOSE_ROWS = 0.3, 4  # the same before numbers or cells that begin at one edge, in so many rows
EDGE_EM = 0.3  # by which the edges of a column differ
CROSSED = 0.08  # share of the rows that may reach into the white between two columns
LEVEL_EM = 0.4  # between the middles of cells of one row
LARGER, SHARED = (1.2, 1.7), 0.75  # type of a value, as a multiple of its label's; share of their heights in common
LINE_EM = 0.8  # rows closer than lines of text: a cell of one line stands in the middle of a higher one
STACKED_EM = 0.5  # between labels and their values
EACH = 0.6  # share of the columns with a piece of their own, from which pieces that touch are not one cell
CENTRED_EM = 1.0  # between the middles of a name and of the columns below it
_SIGNS = r"\d.,:%$€£¥₺₹₽₩₪₫₴₦฿¢()+/–−-"
_CODES = (
    "aud|brl|cad|chf|cny|czk|dkk|eur|ft|gbp|hkd|huf|ils|inr|jpy|kr|krw|kč|lei|mxn|nok|nzd|pln|ron|rs|rub|sek|sgd|tl"
)
_CURRENCY = rf"(?:(?:{_CODES}|[a-z]{{1,3}}(?=\$)|try|uah|usd|zar|zł|грн|лв|руб)\.?)?"
_NUMBER = re.compile(rf"{_CURRENCY}[{_SIGNS}]*\d[{_SIGNS}]*{_CURRENCY}|[–—-]{{1,3}}|n/?a", re.I)
_TAXED, _CENTS = re.compile(r"\d[.,] ?\d\d [A-Z]$"), re.compile(r"\d[.,]\d\d$")
_YEAR, _GROUPS = re.compile(r"(19|20)\d\d"), re.compile(r"\D?[1-9]\d{0,2} \d{3}(?:[.,]\d+)?\D?")

Merged = tuple[int, int, int, int]  # row, column, rows, columns of a cell that covers several
Place = tuple[int, int, str]  # first and last column of a cell, and its text


@dataclass
class CellTable:
    """Rows of cells, all of the same length.

    Args:
        cells: the text of a merged cell stands in its first place, the others are empty.
        merged: cells that cover several places.
        head_rows: rows of the head.
    """

    cells: list[list[str]]
    merged: list[Merged] = field(default_factory=list)
    head_rows: int = 1


@dataclass(frozen=True)
class Stretch:
    """Characters [start, end) of a line, without wide white inside."""

    line: TextLine
    start: int
    end: int

    @cached_property
    def text(self) -> str:
        """The text without leaders."""
        return " ".join(LEADER.sub(" ", text_with_formulas(self.line, self.start, self.end)).split())

    @cached_property
    def x0(self) -> float:
        """Left edge."""
        return float(self.line.boxes[self.start, 0])

    @cached_property
    def x1(self) -> float:
        """Right edge."""
        return float(self.line.boxes[self.end - 1, 2])

    @cached_property
    def box(self) -> Box:
        """The box around the characters."""
        return union(self.line.boxes[self.start : self.end])

    @cached_property
    def middle(self) -> float:
        """Height of the middle of the characters."""
        return float(self.line.boxes[self.start : self.end, 1::2].mean())


@dataclass(frozen=True)
class PrintedRow:
    """Stretches at one height, from left to right. The first `tall` ones are centred on this row and the next."""

    stretches: list[Stretch]
    tall: int = 0

    @cached_property
    def middle(self) -> float:
        """Height of the middle of the row's first stretch that is not tall."""
        return self.stretches[self.tall].middle

    @cached_property
    def box(self) -> Box:
        """The box around all stretches."""
        return union(one.box for one in self.stretches)

    @cached_property
    def em(self) -> float:
        """Size of most of the type."""
        return median(one.line.em_px for one in self.stretches)


def is_numeric(text: str) -> bool:
    """Return whether a cell holds a number, an amount, a share or a dash."""
    return _NUMBER.fullmatch(text.replace(" ", "")) is not None


def stretches(line: TextLine) -> list[Stretch]:
    """Cut a line at white that is wider than between words, and at leaders."""
    leaders = [found.span() for found in LEADER.finditer(line.text)]
    inked = [k for k, ch in enumerate(line.text) if ch != " " and not (leaders and any(a <= k < b for a, b in leaders))]
    spans: list[list[int]] = []
    lefts, rights = line.boxes[:, 0].tolist(), line.boxes[:, 2].tolist()
    for k in inked:
        white = (lefts[k] - rights[spans[-1][1] - 1]) / line.em_px if spans else np.inf
        if white < NUMBER_EM or (white < WORD_EM and white < _white_within(line.text, spans[-1][1], k)):
            spans[-1][1] = k + 1
        else:
            spans.append([k, k + 1])
    return [Stretch(line, *span) for span in spans]


def _white_within(text: str, end: int, start: int) -> float:
    """Return the white of a cell, in em, between the words before `end` and from `start` on."""
    before, after = text[:end].split(" ")[-1], text[start:].split(" ")[0]
    if not (is_numeric(before) and is_numeric(after)):
        return WORD_EM
    return GROUPS_EM if _GROUPS.fullmatch(f"{before} {after}") else NUMBER_EM


def rows_by_height(lines: Iterable[TextLine]) -> list[PrintedRow]:
    """Return the stretches of lines by their heights, from top to bottom."""
    rows: list[list[Stretch]] = []
    for one in sorted((one for line in lines for one in stretches(line)), key=lambda one: one.middle):
        if not rows or not _are_level(rows[-1][0], one):
            rows.append([])
        rows[-1].append(one)
    return [PrintedRow(sorted(row, key=lambda one: one.x0)) for row in rows]


def _are_level(above: Stretch, below: Stretch) -> bool:
    """Return whether two stretches stand in one row; a value may be larger than its label and on another baseline."""
    small, large = sorted((above.line.em_px, below.line.em_px))
    if below.middle - above.middle < LEVEL_EM * small:
        return True
    tops, bottoms = zip(*((one.box[1], one.box[3]) for one in (above, below)), strict=True)
    shared = (min(bottoms) - max(tops)) / min(b - t for t, b in zip(tops, bottoms, strict=True))
    return LARGER[0] * small < large < LARGER[1] * small and shared > SHARED


def white_strips(rows: Sequence[PrintedRow], em: float) -> list[tuple[float, float]]:
    """Return left and right of the strips that nearly all rows leave white, between inked columns.

    Args:
        rows: printed rows of one part of a page.
        em: size of the page's text, px; the size of the rows' own type counts where that is smaller.
    """
    if not rows:
        return []
    em = min(em, median(row.em for row in rows))
    left, right = min(row.stretches[0].x0 for row in rows), max(row.stretches[-1].x1 for row in rows)
    step = max(0.25, em / 32)
    covered = np.zeros(int((right - left) / step) + 2)
    for row in rows:
        inked = np.zeros(len(covered), bool)
        for one in row.stretches:
            inked[int((one.x0 - left) / step) : int((one.x1 - left) / step) + 1] = True
        covered += inked
    white = covered <= CROSSED * len(rows)
    found = [
        (left + a * step, left + b * step)
        for a, b in marked_runs(white)
        if a and b < len(covered) - 1 and (b - a) * step > CLOSE_EM * em
    ]
    return [(a, b) for a, b in found if b - a > STRIP_EM * em or _begins_column(rows, b, em)]


def _begins_column(rows: Sequence[PrintedRow], x: float, em: float) -> bool:
    """Return whether most of the cells to the right of a place are numbers, or begin there."""
    cells = [next((one for one in row.stretches if one.x0 > x - EDGE_EM * em), None) for row in rows]
    inked = [one for one in cells if one is not None]
    start = min(x + EDGE_EM * em, median([one.x0 for one in inked] or [x]))  # boxes of letters are a little too wide
    numbers, level = sum(is_numeric(one.text) for one in inked), sum(one.x0 < start + EDGE_EM * em for one in inked)
    return len(rows) >= CLOSE_ROWS and max(numbers, level) > 0.6 * len(rows)


def row_cells(row: PrintedRow, strips: Strips, cut_em: float = CUT_EM) -> list[Place]:
    """Return the cells of a row. Text that runs on over a strip is cut there where it leaves white, or is one cell."""
    found: list[Place] = []
    for one in row.stretches:
        for k, part in enumerate(cut_stretch(one, strips, cut_em)):
            first, last = _columns(part.x0, part.x1, strips, row.em)
            if k and found and found[-1][0] < first:  # a name that juts far into the white before this column
                found[-1] = (found[-1][0], min(found[-1][1], first - 1), found[-1][2])
            if found and found[-1][1] >= first:  # two stretches of one cell
                before = found.pop()
                found.append((before[0], max(before[1], last), f"{before[2]} {part.text}".strip()))
            elif part.text:
                found.append((first, max(first, last), part.text))
    if len(found) < len(row.stretches) > EACH * (len(strips) + 1) > 2:  # wide names of narrow columns
        columns = [sum((one.x0 + one.x1) / 2 > (a + b) / 2 for a, b in strips) for one in row.stretches]
        if len(set(columns)) == len(columns):
            return [(k, k, one.text) for k, one in zip(columns, row.stretches, strict=True)]
    return found


def _columns(x0: float, x1: float, strips: Strips, em: float) -> tuple[int, int]:
    """Return the columns of text from x0 to x1, one where it juts into a strip or is flush right."""
    first = sum(x0 > min((a + b) / 2, max(a, 2 * b - x1)) for a, b in strips)
    last = sum(x1 > max((a + b) / 2, min(b, 2 * a - x0)) for a, b in strips)
    flush = 0 < first < last < len(strips) and abs(x1 - strips[last][0]) < EDGE_EM * em < abs(x0 - strips[first - 1][1])
    return (last if flush else first), last


def cut_stretch(one: Stretch, strips: Strips, cut_em: float) -> list[Stretch]:
    """Return the parts of a stretch, cut at white of `cut_em` that lies on a strip between columns."""
    boxes, text = one.line.boxes, one.line.text
    inked = [k for k in range(one.start, one.end) if text[k] != " "]
    blanks = [(float(boxes[a, 2]), float(boxes[b, 0]), b) for a, b in pairwise(inked)]
    blanks = [blank for blank in blanks if blank[1] - blank[0] >= cut_em * one.line.em_px]
    cuts: set[int] = set()
    for x, y in strips:
        over = [(min(end, y) - max(begin, x), at) for begin, end, at in blanks if begin < y and end > x]
        if over:
            cuts.add(max(over)[1])
    parts = []
    for begin, stop in pairwise([one.start, *sorted(cuts), one.end]):
        kept = text[begin:stop].rstrip()
        parts.append(Stretch(one.line, begin, begin + len(kept)))
    return parts


def find_strips(rows: Sequence[PrintedRow], em: float) -> list[tuple[float, float]]:
    """Return the white strips of rows with the usual number of cells; a head may close some, or stand beside values."""
    several = [row for row in rows if len(row.stretches) > 1]
    usual = float(np.median([len(row.stretches) for row in several])) if several else 0.0
    full = [row for row in several if len(row.stretches) >= usual]
    found, names = white_strips(full, em), len(rows[0].stretches) if rows else 0
    if 2 < names <= len(found) and len(beside := white_strips(several[1:], em)) == names - 1:
        return beside
    below = white_strips([row for row in full if row is not rows[0]], em) if len(full) > 2 else []
    return below if len(below) > len(found) else found


def assemble(groups: Sequence[Sequence[PrintedRow]], strips: Strips) -> CellTable:
    """Return the table whose columns are separated by strips; each group of printed rows is one row of it."""
    wide, box = len(strips) + 1, union(row.box for group in groups for row in group)
    cells = []
    for group in groups:
        places = [row_cells(row, strips, CUT_EM if len(row.stretches) == 1 else BLANK_EM) for row in group]
        cells.append(_texts(list(chain(*places)), wide))
    named: list[list[Place]] = []
    for group in groups[:-2]:
        names = group_names(group[0], strips, box) if len(group) == 1 else []
        if not names:
            break
        named.append(names)
    while named and not _are_named(named[-1], cells[len(named)]):
        named.pop()
    names_of_two = [PrintedRow(group[-1].stretches[: group[-1].tall]) for group in groups[:-1]]
    tall = [(k, c, 2, 1) for k, row in enumerate(names_of_two) for c, *_ in row_cells(row, strips)]
    if not named and not tall:
        return CellTable(cells)
    cells[: len(named)] = [_texts(places, wide) for places in named]
    merged = [(k, a, 1, b - a + 1) for k, places in enumerate(named) for a, b, _ in places if b > a]
    merged += [one for one in tall if not cells[one[0] + 1][one[1]]]
    units = bool(named) and len(cells[len(named) :]) > 2 and not any(map(is_value, cells[len(named) + 1]))
    return CellTable(cells, merged, len(named) + 1 + units)


def _texts(places: Sequence[Place], wide: int) -> list[str]:
    texts = [""] * wide
    for first, _, text in places:
        texts[first] = add_to_cell(texts[first], text)
    return texts


def add_to_cell(cell: str, text: str) -> str:
    """Return the text of a cell with its next line; a word divided between the two is joined."""
    return cell[:-1] + text if is_divided(cell, text) else f"{cell} {text}".strip()


def group_names(row: PrintedRow, strips: Strips, box: Box) -> list[Place]:
    """Return the cells of a row of names, each over the columns that it names; none where all are of one column.

    Names are centred over groups of columns, which follow one another; of two groups the cells may all be set to
    one side of their columns. Others stand over the columns that they touch. box: of the table.
    """
    touched = row_cells(row, strips)
    if len(touched) > len(strips) or any(is_value(text) for *_, text in touched):
        return []
    white = float(np.median([b - a for a, b in strips] or [0.0]))
    for side in (0.0, -white, white):
        found = _tile(row, strips, box, touched, side)
        if sum(last > first for first, last, _ in found) > (side != 0):
            return found
    return []


def _tile(row: PrintedRow, strips: Strips, box: Box, touched: list[Place], side: float) -> list[Place]:
    """Return the cells of names that follow one another. side: white beside groups that belongs to them, px."""
    lefts, rights = [box[0], *(b for _, b in strips)], [*(a for a, _ in strips), box[2]]
    tiled: dict[int, tuple[float, list[Place]]] = {k: (0.0, []) for k in range(touched[0][0] + 1)}
    for one in row.stretches:
        x, wider = (one.x0 + one.x1) / 2, dict[int, tuple[float, list[Place]]]()
        for first, (worst, places) in tiled.items():
            for last in range(first, len(lefts) - (first == 0)):  # a name over all columns names no group
                middle = (lefts[first] + rights[last] + (side if last > first else 0.0)) / 2
                off = max(worst, abs(middle - x))
                if off < min(CENTRED_EM * row.em, wider.get(last + 1, (np.inf,))[0]):
                    wider[last + 1] = off, [*places, (first, last, one.text)]
        tiled = wider
    return tiled[max(tiled)][1] if tiled else touched


def _are_named(groups: Sequence[Place], names: Sequence[str]) -> bool:
    """Return whether all columns of several groups, but not of one group of all columns, have names of their own."""
    over = [names[first : last + 1] for first, last, _ in groups if last > first]
    return all(len(some) < len(names) and all(some) for some in over) and not any(map(is_value, names))


def is_value(text: str) -> bool:
    """Return whether a cell is a number that names no column, as years do."""
    return is_numeric(text) and not _YEAR.fullmatch(text)


def head_size(places: list[list[Place]], wide: int) -> int:
    """Return the number of rows above the first with an amount, or numbers in most columns that hold numbers."""
    columns = [[text for row in places for first, _, text in row if first == column] for column in range(wide)]
    numeric = [k for k, texts in enumerate(columns) if sum(map(is_numeric, texts)) >= 0.5 * max(1, len(texts))]
    for k, row in enumerate(places):
        values = [text for first, _, text in row if first in numeric and is_value(text)]
        if numeric and (len(values) >= 0.5 * len(numeric) or (k and any(map(_CENTS.search, values)))):
            return k
    return 0


def is_amount(text: str) -> bool:
    """Return whether a cell is a number, or ends with an amount and the letter of its rate of tax."""
    return is_numeric(text) or _TAXED.search(text) is not None


def are_stacked(labels: PrintedRow, values: PrintedRow) -> bool:
    """Return whether each of two labels of a form or more has a value below it, of one piece or several."""
    columns = _below(labels, values)
    known = len(columns) > 1 and all(columns)
    return known and all(a.x0 - STACKED_EM * values.em < b[0].x0 < a.x0 + STACKED_EM * values.em
                         for a, b in zip(labels.stretches, columns, strict=True))  # fmt: skip


def table_of_rows(rows: Sequence[PrintedRow], table: CellTable) -> PageRegion:
    """Return the region of a table, with the lines that its rows are of."""
    lines = {id(one.line): one.line for row in rows for one in row.stretches}
    return PageRegion("table", union(row.box for row in rows), list(lines.values()), table)


def stacked_table(labels: PrintedRow, values: PrintedRow) -> PageRegion:
    """Return the table of labels and the values below them."""
    cells = [[one.text for one in labels.stretches]]
    cells.append([" ".join(one.text for one in column) for column in _below(labels, values)])
    return table_of_rows([labels, values], CellTable(cells))


def _below(labels: PrintedRow, values: PrintedRow) -> list[list[Stretch]]:
    """Return the pieces of a row below each of some labels."""
    starts = [one.x0 - STACKED_EM * values.em for one in labels.stretches]
    columns: list[list[Stretch]] = [[] for _ in starts]
    for one in values.stretches:
        columns[max(0, sum(one.x0 > x for x in starts) - 1)].append(one)
    return columns


def share_inside(line: TextLine, box: Box) -> float:
    """Return the share of a line's characters whose middles lie in a box."""
    x = line.boxes[:, [0, 2]].mean(1)
    y = (line.box[1] + line.box[3]) / 2
    inside = (box[0] - NEAR <= x) & (x <= box[2] + NEAR)
    return float(inside.mean()) if box[1] <= y <= box[3] else 0.0
