"""Tables with level rules alone: rules of one length, one below the other, and the columns of the words between them.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ...io.box import Box, union
from ..evidence import Evidence
from ..lines import TextLine
from .cells import (
    BLANK_EM,
    LINE_EM,
    NEAR,
    CellTable,
    PrintedRow,
    assemble,
    find_strips,
    is_numeric,
    row_cells,
    rows_by_height,
    share_inside,
    white_strips,
)
from .ruling_lines import distinct
from .table_rows import are_lines_of_cells, group_rows

MIN_CELLS, MIN_RULES = 4, 3  # cells with text; rules
MIN_NAMES, NAME_WORDS = 2, 4  # of columns over a rule; words of one
TALL_EM = 1.3  # most between the middles of a name of two rows and of these
HEAD_EM = 1.2  # from names of columns to the rule below them
SAME_EM = 0.5  # between the left edges of the lines of a cell
LABEL = 50  # characters in the label of a row
FAR_EM, FAR = 4.0, 3.0  # least white above a rule of the page's foot; as a multiple of that below the rule before
EVEN, FULL = 0.15, 0.8  # by which the step to a row below the last rule differs; share of columns that it fills
LARGER = 1.15  # type of a title, as a multiple of the largest in the table
FAR_ROWS = 1.2  # step from text to the head of a table below it, as a multiple of that between its rows
SIDE_EM = 1.0  # by which the ends of the rules of one table differ
NAMED = 0.6  # most columns of rows above a head that are another text, as a share of its own

Segment = tuple[float, float, float]  # place, start, end of a level or upright rule


def find_open(
    lines: Sequence[TextLine], level: list[Segment], evidence: Evidence, em: float
) -> Iterator[tuple[Box, CellTable]]:
    """Yield boxes and cells of the tables that level rules show.

    Args:
        lines: that are in no other table.
        level: level rules and sides of filled areas.
        evidence: ruling lines and filled areas.
        em: size of the page's text, px.
    """
    drawn = {round((y0 + y1) / 2) for x0, y0, x1, y1 in evidence.rules if x1 - x0 > y1 - y0}
    for group in _rule_groups(level, drawn, em):
        yield from _tables_between(lines, group, [box for box, _ in evidence.areas], em)


def _rule_groups(level: list[Segment], drawn: set[int], em: float) -> Iterator[tuple[float, float, list[float]]]:
    """Yield left and right end and the heights of level rules of one length, one below the other.

    drawn: heights of rules that are not sides of filled areas; a group has two of them.
    """
    waiting = sorted(level, key=lambda s: s[0])
    while waiting:
        _, left, right = waiting[0]
        alike = [s for s in waiting if abs(s[1] - left) < SIDE_EM * em and abs(s[2] - right) < SIDE_EM * em]
        waiting = [s for s in waiting if s not in alike]
        across = [s[0] for s in level if any(s[1] < x - em and s[2] > x + em for x in (left, right))]
        for heights in _between(distinct(np.array([s[0] for s in alike]), em), across):
            rules = sum(any(abs(y - other) <= NEAR for other in drawn) for y in heights)
            if len(heights) >= MIN_RULES and rules > 1 and right - left > 4 * em:
                yield left, right, heights


def _between(heights: list[float], across: list[float]) -> list[list[float]]:
    """Return heights in groups that no longer rule parts: what stands between two groups is wider."""
    groups: list[list[float]] = []
    for above, y in zip([-np.inf, *heights], heights, strict=False):
        if not groups or any(above < other < y for other in across):
            groups.append([])
        groups[-1].append(y)
    return groups


def _tables_between(
    lines: Sequence[TextLine], group: tuple[float, float, list[float]], areas: list[Box], em: float
) -> Iterator[tuple[Box, CellTable]]:
    """Yield the tables between level rules: runs of bands that hold rows of several cells."""
    left, right, heights = group
    whole = (left, heights[0], right, heights[-1])
    rows = with_tall_names(rows_by_height([line for line in lines if share_inside(line, whole) > 0.6]))
    for k, (top, bottom) in enumerate(pairwise(heights)):
        if _ends_with_heading([row for row in rows if top <= row.middle < bottom]):
            for part in (heights[: k + 1], heights[k + 1 :]):
                yield from _tables_between(lines, (left, right, part), areas, em) if len(part) > 1 else ()
            return
    while len(heights) > 1 and _is_far(rows, heights[-2], heights[-1], em):
        heights = heights[:-1]
        rows = [row for row in rows if row.middle < heights[-1]]
    whole = (left, heights[0], right, heights[-1])
    while (above := _names_above(lines, whole, rows)) is not None:
        rows, heights, whole = [above, *rows], [above.box[1], *heights], (left, above.box[1], right, whole[3])
        if not any(is_numeric(one.text) for one in above.stretches):
            break  # else it is the first row of amounts, and the names stand above it
    if (below := _row_below(lines, whole, rows, heights)) is not None:
        rows, heights = [*rows, below], [*heights, below.box[3]]
    run: list[int] = []
    for k, (top, bottom) in enumerate([*pairwise(heights), (heights[-1], np.inf)]):
        band = [row for row in rows if top <= row.middle < bottom]
        head = [row for row in rows if run and heights[run[-1]] <= row.middle < top]
        if band and (_is_tabular(band, em) or _is_named(band, head, em)):
            run.append(k)
            continue
        edges = heights[run[0] : run[-1] + 2] if run else []
        run = []
        while len(edges) > 2 and _is_title(rows, edges[0], edges[1], areas):
            edges = edges[1:]
        edges = _below_banner(rows, edges[_first_filled(rows, edges, areas) :], areas)
        inside = [row for row in rows if edges and edges[0] <= row.middle < edges[-1]]
        table = table_of_bands(inside, edges, em) if len(edges) >= MIN_RULES else None
        if table is not None and not _lacks_labels(lines, (left, edges[0], right, edges[-1]), table):
            yield (left, edges[0], right, edges[-1]), table


def _ends_with_heading(band: list[PrintedRow]) -> bool:
    """Return whether the last row between two rules is the heading of another table: one piece of larger type."""
    if len(band) < 2 or len(band[-1].stretches) > 1:
        return False
    return len(band[0].stretches) > 1 and band[-1].em > LARGER * max(row.em for row in band[:-1])


def _is_far(rows: list[PrintedRow], top: float, bottom: float, em: float) -> bool:
    """Return whether the white above a rule is much wider than that below the rule before: it is not of the table."""
    band = [row.box for row in rows if top <= row.middle < bottom]
    white = bottom - max((box[3] for box in band), default=top)
    return white > FAR_EM * em and (not band or white > FAR * (min(box[1] for box in band) - top))


def _lacks_labels(lines: Sequence[TextLine], box: Box, table: CellTable) -> bool:
    """Return whether rules stand above and below the numbers alone, and the labels of the rows are on their left."""
    first = [row[0] for row in table.cells if row[0]]
    if sum(map(is_numeric, first)) < 0.8 * len(first):
        return False
    left, top, _, bottom = box
    beside = [line for line in lines if line.box[2] < left + line.em_px and top < sum(line.box[1::2]) / 2 < bottom]
    return sum(len(line.text) < LABEL for line in beside) >= max(2, 0.7 * len(first), 0.8 * len(beside))


def _names_above(lines: Sequence[TextLine], box: Box, rows: list[PrintedRow]) -> PrintedRow | None:
    """Return the row of names close above the first rule of a table, one for each column; None where there is none."""
    left, top, right, _ = box
    near = [line for line in lines if line.box[3] > top - HEAD_EM * line.em_px and line.box[3] < top + NEAR]
    above = rows_by_height([line for line in near if left - NEAR < line.box[0] and line.box[2] < right + NEAR])
    full = [row for row in rows if len(row.stretches) > 1]
    if len(above) != 1 or not full or len(above[0].stretches) < 2:
        return None
    strips = find_strips([*above, *rows], above[0].em)
    places = row_cells(above[0], strips, BLANK_EM)
    return above[0] if len(places) > 0.6 * (len(strips) + 1) and all(a == b for a, b, _ in places) else None


def _row_below(lines: Sequence[TextLine], box: Box, rows: list[PrintedRow], heights: list[float]) -> PrintedRow | None:
    """Return the row below the last rule of a table, as far as others from a row or a rule, with most of its cells."""
    left, _, right, bottom = box
    if len(rows) < 2:
        return None
    step = float(np.median([b.middle - a.middle for a, b in pairwise(rows)]))
    inside = [line for line in lines if left - NEAR < line.box[0] and line.box[2] < right + NEAR]
    near = [line for line in inside if bottom < sum(line.box[1::2]) / 2 < rows[-1].middle + 1.5 * step]
    below, strips = rows_by_height(near), find_strips(rows, rows[0].em)
    if len(below) != 1 or not strips:
        return None
    steps = below[0].middle - rows[-1].middle, below[0].middle - bottom
    usual = step, rows[-1].middle - heights[-2]  # from the row before, from the rule above
    if min(abs(a - b) for a, b in zip(steps, usual, strict=True)) > EVEN * step:
        return None
    places = row_cells(below[0], strips, BLANK_EM)
    return below[0] if len(places) > FULL * (len(strips) + 1) and all(a == b for a, b, _ in places) else None


def _is_tabular(band: list[PrintedRow], em: float) -> bool:
    """Return whether the rows between two rules may be a part of a table: few, or with numbers or short words."""
    if len(band) <= 2:
        return True
    several = [row for row in band if len(row.stretches) > 1]
    if several and several[0] is band[0] and all(_is_below(row, band[0]) for row in band[1:]):
        return True
    if _is_centred(band):
        return True
    strips = white_strips(several, em)
    if len(several) < 0.5 * len(band):
        return False
    if len(band) <= 3:
        return True
    cells = [text for row in several for _, _, text in row_cells(row, strips)]
    return sum(is_numeric(text) for text in cells) > 0.2 * len(cells) or all(len(text.split()) < 3 for text in cells)


def _is_named(band: list[PrintedRow], head: list[PrintedRow], em: float) -> bool:
    """Return whether the rows between two rules have columns that a row of short names above the first rule names."""
    several = [row for row in band if len(row.stretches) > 1]
    if len(head) != 1 or len(several) < 0.5 * len(band):
        return False
    strips = find_strips([*head, *several], em)
    names = row_cells(head[0], strips)
    whole = len(names) == len(strips) + 1 >= MIN_NAMES and all(a == b for a, b, _ in names)
    return whole and all(len(text.split()) <= NAME_WORDS and not is_numeric(text) for *_, text in names)


def _is_centred(band: list[PrintedRow]) -> bool:
    """Return whether the lines of one cell stand above and below a row of the other cells, which are centred on it."""
    lines = [row.stretches[0] for row in band if len(row.stretches) == 1]
    others = [row for row in band if len(row.stretches) > 1]
    if len(lines) < 2 or len(others) != 1 or others[0] in (band[0], band[-1]):
        return False
    right = max(one.x1 for one in lines)
    level = all(abs(one.x0 - lines[0].x0) < SAME_EM * band[0].em for one in lines)
    return level and all(one.x0 > right or one.x1 < lines[0].x0 for one in others[0].stretches)


def _is_below(row: PrintedRow, first: PrintedRow) -> bool:
    """Return whether all stretches of a row begin where cells of the first row begin: they are their further lines."""
    starts = [one.x0 for one in first.stretches]
    return all(min(abs(one.x0 - x) for x in starts) < SAME_EM * row.em for one in row.stretches)


def _is_title(rows: list[PrintedRow], top: float, bottom: float, areas: list[Box]) -> bool:
    """Return whether a band holds one piece of text and no colour of its own, or larger type than three columns."""
    band = [row for row in rows if top <= row.middle < bottom]
    below = [row for row in rows if row.middle >= bottom]
    larger = bool(band and below) and min(row.em for row in band) > LARGER * max(row.em for row in below)
    larger = larger and max(len(row.stretches) for row in below) > 2  # above two columns it is their head
    filled = not larger and any(box[1] < bottom - 2 and box[3] > top + 2 for box in areas)
    return all(len(row.stretches) == 1 for row in band) and not filled


def _below_banner(rows: list[PrintedRow], edges: list[float], areas: list[Box]) -> list[float]:
    """Return edges of which the first is below the text between a coloured banner and the head of a table.

    Such text is farther from the head, or parted by wider white, than one row of the table is from the next.
    """
    if len(edges) < MIN_RULES or not any(abs(box[3] - edges[0]) < NEAR for box in areas):
        return edges
    band = [row for row in rows if edges[0] <= row.middle < edges[1]]
    usual = float(np.median([b - a for a, b in pairwise(edges[1:])]))
    far = [below.box[1] for above, below in pairwise(band) if below.middle - above.middle > FAR_ROWS * usual]
    return [far[-1], *edges[1:]] if far else edges


def _first_filled(rows: list[PrintedRow], edges: list[float], areas: list[Box]) -> int:
    """Return the number of the band that is a filled head, below rows of fewer columns on no ground: another text."""
    bands = [[row for row in rows if top <= row.middle < bottom] for top, bottom in pairwise(edges)]
    for k in range(1, len(bands) - 1):
        above, head = bands[k - 1], bands[k]
        own = [any(box[1] < sum(edges[j : j + 2]) / 2 < box[3] for box in areas) for j in (k - 1, k)]
        names = [one.text for one in head[0].stretches] if head and _is_level(above) and own == [False, True] else []
        if names and max(len(row.stretches) for row in above) <= NAMED * len(names) and not any(map(is_numeric, names)):
            return k
    return 0


def table_of_bands(rows: list[PrintedRow], edges: list[float], em: float) -> CellTable | None:
    """Return the table whose rows are separated by level rules; None where the words form no columns."""
    several = [row for row in rows if len(row.stretches) > 1]
    if not several:
        return None
    strips = find_strips(rows, em)
    if not strips or len(several) < 0.4 * len(rows):
        return None
    bands = [[row for row in rows if top <= row.middle < bottom] for top, bottom in pairwise(edges)]
    right = max(row.box[2] for row in rows)
    whole = [are_lines_of_cells(band, strips, right) for band in bands]
    if len(bands) > 2 and all(len(band) <= 3 or one for band, one in zip(bands, whole, strict=True)):
        groups = [part for band, one in zip(bands, whole, strict=True) if band
                  for part in ([[row] for row in band] if _is_level(band) and not one else [band])]  # fmt: skip
    else:
        groups = group_rows(rows, strips, edges)
    return without_empty(assemble(groups, strips))


def with_tall_names(rows: list[PrintedRow]) -> list[PrintedRow]:
    """Return printed rows; names on the left of two rows that are centred on both stand in the first of them.

    Names on the right of both stand in the second one. A rule may lie between the two rows of a head.
    """
    found, k = list(rows), 1
    while k + 1 < len(found):
        above, names, below = found[k - 1 : k + 2]
        steps = sorted((names.middle - above.middle, below.middle - names.middle))
        near = steps[1] < (TALL_EM if steps[0] < LINE_EM * names.em else 1.0) * names.em
        left, _, right, _ = union([above.box, below.box])
        first = [one for one in names.stretches if one.x1 < left]
        last = [one for one in names.stretches if one.x0 > right] if first else []
        if near and not above.tall and len(first) + len(last) == len(names.stretches) and _is_level([above, below]):
            found[k - 1] = PrintedRow([*first, *above.stretches], len(first))
            found[k : k + 2] = [PrintedRow([*below.stretches, *last])]
        else:
            k += 1
    return found


def _is_level(band: list[PrintedRow]) -> bool:
    return len(band) > 1 and all(len(row.stretches) > 1 for row in band)


def without_empty(table: CellTable) -> CellTable | None:
    """Return the table without empty rows and columns; None where too few cells hold text."""
    wide = len(table.cells[0]) if table.cells else 0
    rows = [k for k, row in enumerate(table.cells) if any(row)]
    columns = [c for c in range(wide) if any(row[c] for row in table.cells)]
    cells = [[table.cells[k][c] for c in columns] for k in rows]
    filled = sum(bool(text) for row in cells for text in row)
    if len(cells) < 2 or len(columns) < 2 or filled < MIN_CELLS:
        return None
    merged = []
    for row, column, high, wide in table.merged:
        down = [k for k, r in enumerate(rows) if row <= r < row + high]
        along = [k for k, c in enumerate(columns) if column <= c < column + wide]
        if len(down) * len(along) > 1:
            merged.append((down[0], along[0], len(down), len(along)))
    head = sum(r < table.head_rows for r in rows)
    return CellTable(cells, merged, max(1, min(head, len(cells) - 1)))
