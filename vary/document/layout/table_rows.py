"""Printed rows of tables: those that begin with a head, and groups that are one row, with cells of several lines.

So are keys at the left edge of a column and what they mean at its right edge.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ...io.box import Box, union
from ..elements import LEADER
from ..lines import PageRegion, TextLine
from .cells import (
    EDGE_EM,
    LINE_EM,
    CellTable,
    Place,
    PrintedRow,
    Stretch,
    Strips,
    add_to_cell,
    are_stacked,
    find_strips,
    group_names,
    head_size,
    is_amount,
    is_numeric,
    row_cells,
    rows_by_height,
    table_of_rows,
)
from .side_by_side import is_in_key_style, is_pair

MIN_GROUPS = 3  # rows of several lines and of one
CLOSE = 0.85  # a line within a cell is nearer to the one above than this share of the usual step between rows
WRAPPED = 1.1  # the same where the line before has no place for its first word
NAME_EM = 1.5  # between the lines of a name in the head
GAP, LINES_EM = 1.15, 1.6  # least ratio of steps between rows and between lines of cells; longest of the latter
WRAPS = 0.7  # least share of lines that had no place in the line before
WORD_SPACE_EM = 0.3  # least white before the next word of a line
FULL = 0.7  # share of the columns that a row fills
LEVEL = 0.6  # share of a table's width that the rule below its head covers
FAR = 1.3  # step to a line below a table, as a multiple of that between its rows
KEYED_ROWS, APART_EM, APART = 4, 1.0, 0.5  # rows of keys in a column; white in them; share of rows that have it
WORDED = 0.5  # share of meanings that are words
KEYED_STEP = 2.0  # from row to row of keys, em
LABEL = 25  # most characters of the usual cell of a column that is not prose

Keyed = tuple[Stretch, Stretch]  # a key and its meaning


def split_at_heads(run: list[PrintedRow], rules: Sequence[Box]) -> list[list[PrintedRow]]:
    """Return the parts of a run that begin with a head: names above numbers, with a rule below or few cells above."""
    left, _, right, _ = union(row.box for row in run)
    wide = np.array([(rule[1], min(rule[2], right) - max(rule[0], left)) for rule in rules]).reshape(-1, 2)
    wide = wide[wide[:, 1] > 0]
    edges = [0]
    for k in range(1, len(run) - 1):
        between = (wide[:, 0] > run[k].middle) & (wide[:, 0] < run[k + 1].middle)
        names, values = ([one.text for one in run[j].stretches] for j in (k, k + 1))
        numbers = sum(map(is_numeric, values))
        ruled = wide[between, 1].sum() > LEVEL * (right - left)
        wider = len(names) > max(len(row.stretches) for row in run[edges[-1] : k]) and len(values) >= len(names)
        if (ruled or wider) and len(names) > 2 and not any(map(is_numeric, names)):
            own = k - edges[-1] >= MIN_GROUPS or (
                k - edges[-1] == 2 and (is_pair(*run[k - 2 : k]) or are_stacked(*run[k - 2 : k]))
            )
            parted = _is_ruled_head(run[k : k + 3], rules) and (k > 1 or _is_ruled(run[0], run[1], rules))
            edges += [k] if (own and 2 * numbers >= len(values)) or parted else []
    return [run[a:b] for a, b in pairwise([*edges, len(run)])]


def _is_ruled_head(rows: list[PrintedRow], rules: Sequence[Box]) -> bool:
    """Return whether the first row names columns: a rule parts it, none the next rows, and each name is over a cell.

    Args:
        rows: three printed rows, or two where the second is the last one.
        rules: ruling lines of the page.
    """
    if len(rows) < 2 or len(rows[0].stretches) < 3 or any(is_numeric(one.text) for one in rows[0].stretches):
        return False
    named = len(rows) > 2 and len(rows[1].stretches) == 1 and not _is_ruled(rows[1], rows[2], rules)  # a group
    names, cells = rows[0].stretches, rows[1 + named].stretches
    over = [{k for k, name in enumerate(names) if min(name.x1, one.x1) > max(name.x0, one.x0)} for one in cells]
    apart = all(len(one) == 1 for one in over) and len(set().union(*over)) == len(cells) >= FULL * len(names)
    return apart and _is_ruled(rows[0], rows[1], rules) and not (len(rows) > 2 and _is_ruled(rows[1], rows[2], rules))


def _is_ruled(above: PrintedRow, below: PrintedRow, rules: Sequence[Box]) -> bool:
    """Return whether level rules between two rows cover most of their width."""
    left, _, right, _ = union([above.box, below.box])
    level = [rule for rule in rules if above.middle < rule[1] and rule[3] < below.middle]
    return sum(max(0.0, min(x1, right) - max(x0, left)) for x0, _, x1, _ in level) > LEVEL * (right - left)


def below_ruled_head(run: list[PrintedRow], rules: Sequence[Box], em: float) -> tuple[int, Strips]:
    """Return the end of a table that begins with a head over a rule, and the white between its columns; 0 without one.

    It ends at the next rule, or where one piece of text at its left edge is farther away than its rows.

    Args:
        run: close printed rows.
        rules: ruling lines of the page.
        em: size of the page's text, px.
    """
    if not _is_ruled_head(run[:3], rules):
        return 0, []
    end = 2
    while end < len(run) and not _is_ruled(run[end - 1], run[end], rules):
        step = float(np.median([b.middle - a.middle for a, b in pairwise(run[:end])]))
        first = run[end].stretches[0].x0 - run[0].stretches[0].x0
        if len(run[end].stretches) == 1 and first < em and run[end].middle - run[end - 1].middle > FAR * step:
            break
        end += 1
    body, strips = run[1:end], find_strips(run[:end], em)
    cells = [[len(text) for row in body for first, _, text in row_cells(row, strips) if first == c]
             for c in range(len(strips) + 1)]  # fmt: skip
    short = [float(np.median(column)) < LABEL for column in cells if column]
    several = sum(len(row.stretches) > 1 for row in body)
    fits = several >= 2 and len(strips) + 1 >= len(run[0].stretches) and any(short)
    return (end, strips) if fits else (0, [])


def group_rows(rows: Sequence[PrintedRow], strips: Strips, ruled: Sequence[float] = ()) -> list[list[PrintedRow]]:
    """Return printed rows in groups, each a row of the table.

    A printed row is a line of the cells above it when it lies close below and is not full. Rows above the first with
    numbers are the head, whose names may run over several lines.

    Args:
        rows: from top to bottom.
        strips: as from `white_strips`.
        ruled: heights of level rules; what they separate are rows of their own.
    """
    places = [row_cells(row, strips) for row in rows]
    head = head_size(places, len(strips) + 1)
    steps = [b.middle - a.middle for a, b in pairwise(rows)]
    while head > 1 and steps[head - 1] < LINE_EM * rows[head].em:
        head -= 1  # the first line of a name whose amounts are centred on it
    while head > 1 and _is_group(places[head - 1]) and any(map(_is_group, places[head:])):
        head -= 1
    full = max((len(row) for row in places), default=0)
    usual = [step for step, row in zip(steps, places[1:], strict=True) if len(row) >= 0.7 * full]
    typical = float(np.median(usual or steps or [0.0]))
    last = [row[-1][2] for row in places if row and row[-1][1] == len(strips)]
    amounts = len(strips) if sum(map(is_amount, last)) > 0.5 * len(last) else -1
    box = union(row.box for row in rows)
    groups: list[list[PrintedRow]] = []
    goes_on = _lines_of_cells(rows[head:], places[head:], strips)
    gap = 0.0 if goes_on else _gap(rows[head:], places[head:], strips)
    for k, row in enumerate(rows):
        if k == 0 or any(rows[k - 1].middle < y < row.middle for y in ruled):
            joined = False
        elif k > head and goes_on:
            joined = goes_on[k - head]
        elif k > head and gap:
            joined = steps[k - 1] < gap
        elif k < head:
            joined = steps[k - 1] < NAME_EM * row.em and not group_names(rows[k - 1], strips, box)
        else:
            near = steps[k - 1] < CLOSE * typical and len(places[k]) < 0.7 * full and not _is_sum(places[k], amounts)
            near = near and (len(places[k]) == 1 or {p[0] for p in places[k]} != {p[0] for p in places[k - 1]})
            wrapped = steps[k - 1] < WRAPPED * typical and _is_wrapped(rows[k - 1], row, strips)
            joined = k != head and (near or wrapped or steps[k - 1] < LINE_EM * row.em)
        if not joined:
            groups.append([])
        groups[-1].append(row)
    return groups


def _is_group(row: list[Place]) -> bool:
    """Return whether a row has text in its first column alone: the name of the rows below it, where others do, too."""
    return len(row) == 1 and row[0][:2] == (0, 0)


def are_lines_of_cells(rows: Sequence[PrintedRow], strips: Strips, right: float) -> bool:
    """Return whether all rows but the first are further lines of its cells, of which some have one line.

    Args:
        rows: from top to bottom, as between two rules.
        strips: as from `white_strips`.
        right: edge of the last column.
    """
    fewer = all(len(row.stretches) < len(rows[0].stretches) for row in rows[1:])
    return len(rows) > 1 and fewer and all(_goes_on(a, b, strips, right) for a, b in pairwise(rows))


def _goes_on(above: PrintedRow, row: PrintedRow, strips: Strips, right: float) -> bool:
    """Return whether all words of a row go on from the line above in their column, one of several words."""
    begun = {one.x0: one.text for one in above.stretches}
    several = any(
        " " in text and abs(x - one.x0) < EDGE_EM * row.em for one in row.stretches for x, text in begun.items()
    )
    name = len(row.stretches) == 1 and is_in_key_style(row.stretches[0]) > is_in_key_style(above.stretches[0])
    return several and not name and all(_had_no_place(above, one, strips, right) for one in row.stretches)


def _lines_of_cells(rows: Sequence[PrintedRow], places: list[list[Place]], strips: Strips) -> list[bool]:
    """Return for each row whether it is a further line of the cells above; none where some rows are neither.

    Rows of the table begin in the first column and fill most columns; further lines had no place in the line above.
    """
    if not rows:
        return []
    wide, right = len(strips) + 1, max(row.box[2] for row in rows)
    near = [b.middle - a.middle < LINES_EM * b.em for a, b in pairwise(rows)]
    found = [False, *(one and _goes_on(a, b, strips, right) for one, (a, b) in zip(near, pairwise(rows), strict=True))]
    begins = [row for row, goes_on in zip(places, found, strict=True) if not goes_on]
    further = [row for row, goes_on in zip(places, found, strict=True) if goes_on]
    whole = all(row and row[0][0] == 0 and len(row) >= FULL * wide for row in begins)
    return found if whole and further and len(begins) >= MIN_GROUPS and all(len(row) < wide for row in further) else []


def _gap(rows: Sequence[PrintedRow], places: list[list[Place]], strips: Strips) -> float:
    """Return the least step between rows where those between lines of cells are all smaller; 0 where none shows it.

    Rows that stand in groups have such steps, too. So no row may have two numbers in a column; and a column must have
    one in each row, or one line of each row must have all of them, or most lines go on from one that had no place.
    """
    steps = sorted(b.middle - a.middle for a, b in pairwise(rows))
    near = [step for step in steps if step < LINES_EM * rows[0].em]
    jumps = [(b / a, (a + b) / 2) for a, b in pairwise(steps) if LINE_EM * rows[0].em < a <= near[-1]] if near else []
    most, gap = max(jumps, default=(0.0, 0.0))
    if most < GAP:
        return 0.0
    groups: list[list[int]] = [[0]]
    for k in range(1, len(rows)):
        if rows[k].middle - rows[k - 1].middle > gap:
            groups.append([])
        groups[-1].append(k)
    wide = len(strips) + 1
    numbers = [[sum(first == c and is_amount(text) for k in group for first, _, text in places[k])
                for c in range(wide)] for group in groups]  # fmt: skip
    if len(groups) < MIN_GROUPS or any(count > 1 for row in numbers for count in row):
        return 0.0
    if any(all(row[c] == 1 for row in numbers) for c in range(wide)):
        return gap
    if all(sum(any(is_amount(text) for *_, text in places[k]) for k in group) == 1 for group in groups):
        return gap
    further = [k for group in groups for k in group[1:]]
    if all(len(places[k]) == wide for k in further):  # rows between names of groups
        return 0.0
    below, right = [(rows[k - 1], rows[k]) for k in further], max(row.box[2] for row in rows)
    full = sum(any(_had_no_place(a, one, strips, right) for one in b.stretches) for a, b in below)
    return gap if full >= WRAPS * len(below) else 0.0


def _is_wrapped(above: PrintedRow, row: PrintedRow, strips: Strips) -> bool:
    """Return whether a row is text that goes on from the row above, beside a label, which had no place for a word."""
    places, full = row_cells(row, strips), row_cells(above, strips)
    column, last, text = places[0]
    if len(places) > 1 or not 0 < column == last < len(strips) or is_numeric(text) or full[0][0] or len(full) < 3:
        return False
    return _had_no_place(above, row.stretches[0], strips, np.inf)


def _had_no_place(above: PrintedRow, one: Stretch, strips: Strips, right: float) -> bool:
    """Return whether the words above a stretch, in its column, left no place for its first word.

    right: edge of the last column.
    """
    em = one.line.em_px
    begun = next((s for s in above.stretches if abs(s.x0 - one.x0) < EDGE_EM * em), None)
    if begun is None or is_amount(one.text) or (is_amount(begun.text) and not one.text[0].isalpha()):
        return False
    word = one.line.boxes[one.start + len(one.text.split()[0]) - 1, 2] - one.x0
    edge = min((a for a, _ in strips if a > one.x0), default=right)
    return bool(begun.x1 + WORD_SPACE_EM * em + word > edge)


def _is_sum(row: Sequence[Place], amounts: int) -> bool:
    """Return whether a row ends with an amount below others. amounts: number of the last column if it holds amounts."""
    return row[-1][1] == amounts and (is_numeric(row[-1][2].split()[-1]) or is_amount(row[-1][2]))


def is_total(row: PrintedRow, above: PrintedRow) -> bool:
    """Return whether a row in larger type is a sum, not a heading: an amount at the right edge."""
    last, edge = row.stretches[-1], above.stretches[-1].x1
    return len(row.stretches) > 1 and is_numeric(last.text) and abs(last.x1 - edge) < EDGE_EM * row.em


# -- keys and meanings at two edges ------------------------------------------------------------------------------------


def find_keyed_rows(lines: Sequence[TextLine]) -> tuple[list[PageRegion], list[TextLine]]:
    """Return tables of keys at the left edge of a column and their meanings at its right edge, and the lines left.

    A key is in bold or fixed-width type, and its meaning is not, as on reference cards. The white between them is
    another in each row, so that no white strip shows the columns. Lines that run on into another column are cut.
    """
    columns: list[list[Keyed]] = []
    for row in map(_split_behind_keys, rows_by_height(lines)):
        for key, meaning in (pair for pair in pairwise(row) if _is_keyed(*pair)):
            same = (one for one in columns if _fills(key, meaning, one[0]))
            if (found := next(same, None)) is None:
                columns.append(found := [])
            found.append((key, meaning))
    tables, left = list[PageRegion](), list(lines)
    for column in filter(_is_flush, columns):
        left = [part for line in left for part in _cut_at_edges(line, column)]
        tables += _keyed_tables([line for line in left if _is_within(line, column[0])], column[0])
        taken = {id(line) for table in tables for line in table.lines}
        left = [line for line in left if id(line) not in taken]
    return tables, left


def _cut_at_edges(line: TextLine, column: Sequence[Keyed]) -> list[TextLine]:
    """Return the parts of a line, cut at the white next to the edges of a column that it crosses."""
    slack, middle = EDGE_EM * line.em_px, line.box[1::2]
    if not column[0][0].box[1] < sum(middle) / 2 < column[-1][0].box[3]:
        return [line]
    inked = [k for k, ch in enumerate(line.text) if ch != " "]
    (left, right), cuts = (column[0][0].x0, column[0][1].x1), [0]
    for before, after in pairwise(inked):
        end, begin = float(line.boxes[before, 2]), float(line.boxes[after, 0])
        if begin - end > slack and min(abs(begin - left), abs(end - right)) < slack:
            cuts.append(after)
    ends = [*(len(line.text[:k].rstrip()) for k in cuts[1:]), len(line.text)]
    return [line.part(slice(a, b)) for a, b in zip(cuts, ends, strict=True)] if len(cuts) > 1 else [line]


def _split_behind_keys(row: PrintedRow) -> list[Stretch]:
    """Return the stretches of a row; one that begins with words in the type of keys and goes on in another is two."""
    found = []
    for one, after in zip(row.stretches, [*row.stretches[1:], None], strict=True):
        text = one.line.text[: one.end]
        words = [Stretch(one.line, *word.span()) for word in re.compile(r"\S+").finditer(text, one.start)]
        keys = next((k for k, word in enumerate(words) if not is_in_key_style(word)), 0)
        if keys and not (after and _is_keyed(one, after)):
            found += [Stretch(one.line, one.start, words[keys - 1].end), Stretch(one.line, words[keys].start, one.end)]
        else:
            found.append(one)
    return found


def _is_keyed(key: Stretch, meaning: Stretch) -> bool:
    return is_in_key_style(key) and not is_in_key_style(meaning)


def _is_within(line: TextLine, column: Keyed) -> bool:
    """Return whether a line lies between the edges of a column, which are those of one of its rows."""
    slack = EDGE_EM * line.em_px
    return column[0].x0 - slack < line.box[0] and line.box[2] < column[1].x1 + slack


def _fills(first: Stretch, last: Stretch, column: Keyed) -> bool:
    """Return whether a row begins and ends at the edges of a column."""
    return max(abs(first.x0 - column[0].x0), abs(last.x1 - column[1].x1)) < EDGE_EM * first.line.em_px


def _is_flush(column: Sequence[Keyed]) -> bool:
    """Return whether most meanings are words, without dots before them, and enough begin far from their keys.

    They begin at several places, too.
    """
    em = column[0][0].line.em_px
    worded = [any(map(str.isalpha, one.text)) and not LEADER.search(one.line.text) for _, one in column]
    apart = [meaning.x0 - key.x1 > APART_EM * em for key, meaning in column]
    begins = [meaning.x0 for _, meaning in column]
    flush = np.mean(apart) >= APART and np.mean(worded) > WORDED and np.ptp(begins) > APART_EM * em
    return len(column) >= KEYED_ROWS and bool(flush)


def _keyed_tables(lines: Sequence[TextLine], column: Keyed) -> Iterator[PageRegion]:
    """Yield the tables of a column: close rows of keys, and further lines of their meanings."""
    runs: list[list[list[Stretch]]] = [[]]
    for row in map(_split_behind_keys, rows_by_height(lines)):
        near = bool(runs[-1]) and row[0].middle - runs[-1][-1][0].middle < KEYED_STEP * row[0].line.em_px
        keyed = len(row) == 2 and _is_keyed(row[0], row[1]) and _fills(row[0], row[1], column)
        if not near or not (keyed or (len(row) == 1 and _goes_on_below(row[0], column))):
            runs.append([])
        if keyed or runs[-1]:
            runs[-1].append(row)
    for run in runs:
        cells: list[list[str]] = []
        for row in run:
            if len(row) == 2:
                cells.append([one.text for one in row])
            else:
                cells[-1][1] = add_to_cell(cells[-1][1], row[0].text)
        if len(cells) > 1:
            yield table_of_rows([PrintedRow(row) for row in run], CellTable(cells))


def _goes_on_below(one: Stretch, column: Keyed) -> bool:
    """Return whether a stretch is a further line of a meaning: at the left edge, in its type."""
    return abs(one.x0 - column[0].x0) < EDGE_EM * one.line.em_px and not is_in_key_style(one)
