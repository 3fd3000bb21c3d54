"""Tables from the alignment of words: rows one below the other that leave the same strips white.

Prose in columns, addresses next to each other, contents and lists leave white strips too. So a table must show more: a
column of numbers, a column that ends at one edge, short words, or rows that stand apart.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ...io.box import Box, union
from ..elements import ITEM, LEADER
from ..lines import PageRegion, TextLine, has_pitch, is_mono
from .cells import (
    BLANK_EM,
    LINE_EM,
    CellTable,
    PrintedRow,
    Strips,
    are_stacked,
    assemble,
    find_strips,
    head_size,
    is_numeric,
    row_cells,
    rows_by_height,
    stacked_table,
    table_of_rows,
)
from .open_tables import with_tall_names
from .side_by_side import are_addresses, find_pairs, holds_numbers, is_keyed, split_side_by_side
from .table_rows import below_ruled_head, group_rows, is_total, split_at_heads

MIN_ROWS = 3
STEP_EM = 3.2  # between rows
MAX_HEAD = 3  # printed rows of a head
LOOSE = 2  # rows of one cell in a row, within a table, which stand below no cell
BELOW_EM = 0.5  # between the left edges of a cell's lines
NEXT = 1.1  # step to a further line of a cell, as a multiple of the step between rows
LARGER, TITLE = 1.25, 1.05  # type of a title, as a multiple of the table's; of one between two tables
NOTE_STEP, NOTE_EM = 1.2, 2.0  # from a table to a note below it, as a multiple of its step; widest blank of a note
TITLE_STEP = 2.0  # from a title to the table, as a multiple of the step between rows
NAMED = 0.6  # least share of the columns that a row of names has a piece above
FILLED = 0.4  # least share of places with text
APART_EM = 1.5  # between rows of words that are a table
SHORT = 2  # words in a cell of a table of words
CENTRED_EM = 0.5  # between the middles of a table and of its title
EDGE_EM = 0.3  # by which the ends of a column that is set to one edge differ
JUSTIFIED, EVEN_EM = 0.6, 0.5  # share of rows as wide as the widest, in justified text; by which their ends differ
LINE, PROSE = 30, 40  # characters in a line of a narrow column; in a cell of prose
OPERATORS = frozenset("=≈≤≥<>∑∫√×·")  # alone in a cell of a formula
MANY = 6  # strips of a wide table
_STEP = re.compile(r"\d+:")  # number of a line of an algorithm
TYPED_COLUMNS = 3  # of fixed-width type that is a table


def find_aligned_tables(
    zones: Sequence[Sequence[TextLine]], em: float, rules: Sequence[Box] = (), *, across: bool = False
) -> list[PageRegion]:
    """Return the tables that the alignment of words shows.

    Args:
        zones: lines of each column of the page; a table lies in one of them.
        em: size of the page's text, px.
        rules: ruling lines of the page.
        across: the page is one zone; then only rows of numbers and short names are a table, not columns of prose.
    """
    found = []
    for zone in zones:
        rows = with_tall_names(rows_by_height(zone))
        for run in (part for close in _runs(rows, em) for part in split_at_heads(close, rules)):
            end, strips = below_ruled_head(run, rules, em)
            if end:
                found.append(table_of_rows(run[:end], assemble(group_rows(run[:end], strips), strips)))
                run = run[end:]
            found += [stacked_table(*run)] if len(run) == 2 and are_stacked(*run) else []  # of a form
            while len(run) > 2 and not _is_typed(run) and not _is_index(run):
                regions = list(_regions(run, rows, em, across=across))
                found += regions
                run = [] if regions else run[_first_wider(run) :]
        taken = {id(line) for region in found for line in region.lines}
        found += find_pairs(rows_by_height(line for line in zone if id(line) not in taken))
    return found


def _regions(run: list[PrintedRow], rows: Sequence[PrintedRow], em: float, *, across: bool) -> Iterator[PageRegion]:
    """Yield the tables of a run. rows: all rows of its zone."""
    for whole, strips in _tables(run, em):
        labelled = _has_labels(assemble([[row] for row in whole], strips))
        sides = [whole] if labelled else split_side_by_side(whole, strips, em)
        parts = (
            [found for side in sides for found in _tables(side, em)]
            if len(sides) > 1
            else [(_with_group_names(whole, strips, rows), strips)]
        )
        yield from (one for part in parts if (one := _region(*part, across=across)) is not None)


def _first_wider(run: Sequence[PrintedRow]) -> int:
    """Return the number of the first row with more stretches than all rows above it: a table may begin below text."""
    counts = [len(row.stretches) for row in run]
    return next((k for k in range(MIN_ROWS, len(run)) if counts[k] > max(counts[:k])), len(run))


def _with_group_names(table: list[PrintedRow], strips: Strips, rows: Sequence[PrintedRow]) -> list[PrintedRow]:
    """Return a table with the row above its head, where that names groups of columns.

    Such a row is as near as the rows of the table, has nothing above the first column, and is no centred title.

    Args:
        table: rows of the table, the head first.
        strips: white between its columns.
        rows: all rows of the zone, from top to bottom.
    """
    head, places = table[0], row_cells(table[0], strips)
    above = next((row for row in reversed(rows) if row.middle < head.middle), None)
    if above is None or len(strips) < 2 or len(places) <= len(strips) or any(is_numeric(text) for *_, text in places):
        return table
    left, _, right, _ = union(row.box for row in table)
    x0, _, x1, _ = above.box
    near = head.middle - above.middle < NEXT * _step(table) and max(above.em, head.em) < LARGER * min(above.em, head.em)
    centred = abs((x0 + x1) / 2 - (left + right) / 2) < CENTRED_EM * head.em
    inside = x0 > strips[0][1] - EDGE_EM * head.em and x1 < right + EDGE_EM * head.em
    return [above, *table] if near and inside and not centred else table


def _region(rows: list[PrintedRow], strips: Strips, *, across: bool) -> PageRegion | None:
    """Return the table of rows; None where they are text in columns."""
    keyed = is_keyed(rows, strips)
    groups = group_rows(rows, strips)
    if keyed and not all(any(row_cells(row, strips)[0][0] == 0 for row in group) for group in groups):
        groups = _by_key(rows, strips)
    table = assemble(groups, strips)
    if not (keyed or _has_labels(table)) and (not _is_table(rows, strips, table) or (across and _may_be_prose(table))):
        return None
    return table_of_rows(rows, table)


def _by_key(rows: list[PrintedRow], strips: Strips) -> list[list[PrintedRow]]:
    """Return rows in groups that begin where the first column holds text."""
    groups: list[list[PrintedRow]] = []
    for row in rows:
        if not groups or row_cells(row, strips)[0][0] == 0:
            groups.append([])
        groups[-1].append(row)
    return groups


def _is_typed(rows: list[PrintedRow]) -> bool:
    """Return whether rows are set in fixed-width type: listings and receipts keep their lines.

    Type that is known by its pitch alone, not by its style, may be a table: three columns and more in most rows.
    """
    lines = {id(one.line): one.line for row in rows for one in row.stretches}.values()
    words = [line for line in lines if sum(ch.isalpha() for ch in line.text) > 4]
    by_pitch = bool(words) and np.median([len(row.stretches) for row in rows]) < TYPED_COLUMNS
    typed = [has_pitch(line) if by_pitch else is_mono(line) for line in words or lines]
    return sum(typed) > 0.6 * len(typed)


def _is_index(rows: list[PrintedRow]) -> bool:
    """Return whether entries with dotted leaders stand side by side, as in an index or a list in two columns."""
    lines = {id(one.line): one.line for row in rows for one in row.stretches if LEADER.search(one.line.text)}.values()
    entries = [[part for part in LEADER.split(line.text)[:-1] if any(ch.isalpha() for ch in part)] for line in lines]
    if not any(entries):
        return False
    ends, begins = [line.box[2] for line in lines], [line.box[0] for line in lines]
    return max(begins) > min(ends) or max(map(len, entries)) > 1


def _runs(rows: list[PrintedRow], em: float) -> Iterator[list[PrintedRow]]:
    """Yield close rows, the first and last of several cells, with at most LOOSE of one cell in a row."""
    run: list[PrintedRow] = []
    loose = 0
    for k, row in enumerate([*rows, None]):
        far = row is None or (bool(run) and row.middle - run[-1].middle > STEP_EM * max(em, row.em))
        far = far or (row is not None and bool(run) and row.em > LARGER * run[-1].em and not is_total(row, run[-1]))
        far = far or (row is not None and bool(run) and _is_heading(run[-1], row, rows[k + 1 :]))
        loose = 0 if row is None or len(row.stretches) > 1 or _is_below_cell(row, run) else loose + 1
        if far or loose > LOOSE:
            run = _without_text_below(run)
            if len(run) >= MIN_ROWS:
                yield run
            run = []
        if row is not None and (run or len(row.stretches) > 1):
            run.append(row)


def _is_heading(above: PrintedRow, row: PrintedRow, below: Sequence[PrintedRow]) -> bool:
    """Return whether a row of one stretch in larger type stands between numbers and names of columns with numbers."""
    if len(below) < 2 or len(row.stretches) > 1 or row.em < TITLE * below[0].em:
        return False
    numbers = [any(is_numeric(one.text) for one in other.stretches) for other in (above, *below[:2])]
    return len(below[0].stretches) > 1 and numbers == [True, False, True]


def _is_below_cell(row: PrintedRow, above: Sequence[PrintedRow]) -> bool:
    """Return whether a row of one stretch begins where a cell begins that is not the first of the last full row."""
    full = next((other for other in reversed(above) if len(other.stretches) > 1), None)
    return full is not None and any(abs(row.stretches[0].x0 - one.x0) < BELOW_EM * row.em for one in full.stretches[1:])


def _without_text_below(rows: list[PrintedRow]) -> list[PrintedRow]:
    """Return rows up to the last of several cells, with the further lines of its cells."""
    full = [k for k, row in enumerate(rows) if len(row.stretches) > 1]
    if not full:
        return []
    steps = [b.middle - a.middle for a, b in pairwise(rows)]
    usual = float(np.median([steps[k - 1] for k in full if k] or [0.0]))
    notes = [steps[k] for k in full[:-1] if len(rows[k + 1].stretches) == 1]  # from items to lines below their names
    end = full[-1] + 1
    if 2 * len(notes) >= len(full[:-1]) > 0 and end < len(rows):
        first, last = rows[full[0]].stretches[0], rows[end].stretches[0]
        near = abs(steps[end - 1] - float(np.median(notes))) < EDGE_EM * rows[end].em
        end += near and abs(first.x0 - last.x0) < EDGE_EM * rows[end].em
    if 1 < end < len(rows) and steps[end - 1] < LINE_EM * rows[end].em:  # of a name that amounts are centred on
        end += abs(rows[end].stretches[0].x0 - rows[end - 2].stretches[0].x0) < EDGE_EM * rows[end].em
    while end < len(rows) and steps[end - 1] < NEXT * usual and _is_below_cell(rows[end], rows[:end]):
        end += 1
    return rows[:end]


def _without_titles(rows: list[PrintedRow]) -> list[PrintedRow]:
    """Return rows without those above the table: in larger type, or far from the next."""
    while len(rows) > MIN_ROWS:
        full = [row.middle for row in rows[1:] if len(row.stretches) > 1]
        usual = float(np.median([b - a for a, b in pairwise(full)] or [np.inf]))
        larger = rows[0].em > LARGER * float(np.median([row.em for row in rows[1:]]))
        far = rows[1].middle - rows[0].middle > TITLE_STEP * usual
        if not larger and not far and (not _runs_over(rows[0], rows[1:]) or _names_columns(rows[0], rows[1:])):
            break
        rows = rows[1:]
    return rows


def _names_columns(row: PrintedRow, below: list[PrintedRow]) -> bool:
    """Return whether a row of close words has one piece above each of most columns of the rows below."""
    strips = find_strips(below, row.em)
    places = row_cells(row, strips, BLANK_EM)
    names = all(a == b and not is_numeric(text) for a, b, text in places)
    return names and len(places) > max(2, NAMED * (len(strips) + 1))


def _without_notes(rows: list[PrintedRow]) -> list[PrintedRow]:
    """Return rows without those below the table that are farther away than its rows and run over its first columns."""
    while len(rows) > MIN_ROWS:
        steps = [b.middle - a.middle for a, b in pairwise(rows)]
        last = rows[-1].stretches
        close = all(b.x0 - a.x1 < NOTE_EM * rows[-1].em for a, b in pairwise(last))
        first = PrintedRow([replace(last[0], end=last[-1].end)]) if last[0].line is last[-1].line else rows[-1]
        if steps[-1] < NOTE_STEP * float(np.median(steps)) or not close or not _runs_over(first, rows[:-1]):
            break
        rows = rows[:-1]
    return rows


def _runs_over(row: PrintedRow, below: Sequence[PrintedRow]) -> bool:
    """Return whether a row begins with text at the left edge of the rows below that runs over their first columns.

    The name of several columns stands to the right of the names of rows.
    """
    first, head = row.stretches[0], next((one.stretches for one in below if len(one.stretches) > 2), [])
    left = min(one.stretches[0].x0 for one in below)
    fewer = len(row.stretches) < len(head) > 2
    return fewer and first.x0 < left + BELOW_EM * row.em and first.x1 > head[1].x0


def _tables(run: list[PrintedRow], em: float) -> Iterator[tuple[list[PrintedRow], Strips]]:
    """Yield the parts of a run that leave the same strips white, from top to bottom."""
    while len(run) >= MIN_ROWS:
        best: tuple[int, Strips] = (0, [])
        for end in range(MIN_ROWS, len(run) + 1):
            strips = find_strips(run[:end], em)
            if not strips or (best[1] and len(strips) < 0.6 * len(best[1])):
                if end - best[0] >= MIN_ROWS or len(best[1]) < MANY:
                    break
                continue  # so few rows may close strips that more rows open
            best = end, strips if len(strips) >= len(best[1]) or end > 2 * MIN_ROWS else best[1]
        if best[0]:
            part = _without_titles(_without_text_below(run[: best[0]]))
            part = _without_notes(_from_head(part, find_strips(part, em)))
            if len(part) >= MIN_ROWS:
                yield part, find_strips(part, em)
        run = run[max(1, best[0]) :]
        while run and len(run[0].stretches) < 2:
            run.pop(0)


def _from_head(rows: list[PrintedRow], strips: Strips) -> list[PrintedRow]:
    """Return the rows from the head on: of many rows above the numbers only the last is a head, the others are text."""
    places = [row_cells(row, strips) for row in rows]
    head, full = head_size(places, len(strips) + 1), max(len(cells) for cells in places)
    return rows[head - 1 :] if head > MAX_HEAD and len(places[head - 1]) > 0.6 * full else rows


def _is_table(rows: list[PrintedRow], strips: Strips, table: CellTable) -> bool:
    """Return whether rows in columns are a table, not text in columns."""
    cells = table.cells
    wide, filled = len(cells[0]), sum(bool(text) for row in cells for text in row)
    several = sum(sum(map(bool, row)) > 1 for row in cells)
    if several < MIN_ROWS or filled < FILLED * len(cells) * wide:
        return False
    columns = [[row[c] for row in cells if row[c]] for c in range(wide)]
    if sum(map(is_numeric, columns[-1])) < 0.5 * len(cells) and _is_justified(rows):
        return False
    if any(text in OPERATORS for column in columns for text in column):
        return False  # a formula
    marks = all(ITEM.match(f"{text} ") or text.startswith("[") or _STEP.fullmatch(text) for text in columns[0])
    if marks and (wide == 2 or not any(ch.isalnum() for text in columns[0] for ch in text)):
        return False  # a list, references
    if wide == 2 and any(ITEM.match(label) and not text for label, text in cells):
        return False  # lists below their titles and far dates, as in a CV
    leaders = sum(LEADER.search(one.line.text) is not None for row in rows for one in row.stretches[:1])
    if leaders > 0.5 * len(rows) and np.median([sum(map(bool, row)) for row in cells]) == 2:
        return False  # contents
    if holds_numbers(columns):
        return True
    if (all(text.endswith(":") for text in cells[0] if text) and all(cells[0])) or are_addresses(columns):
        return False  # addresses next to each other
    if any(np.median([len(text) for text in column]) > PROSE for column in columns if column):
        return False
    labels = sum(text.endswith(":") for text in columns[0])
    if wide == 2 and (labels >= 0.6 * len(columns[0]) or _ends_alike(rows, strips)):
        return True
    words = [float(np.median([len(text.split()) for text in column])) for column in columns if column]
    apart = _step(rows) > APART_EM * float(np.median([row.em for row in rows]))
    short = max(words) <= SHORT and max(len(text) for row in cells for text in row) <= PROSE
    return short or (wide > 2 and apart and filled > 0.6 * len(cells) * wide)


def _has_labels(table: CellTable) -> bool:
    """Return whether four columns are labels and values in turns, as above the items of an invoice."""
    if len(table.cells) < MIN_ROWS or len(table.cells[0]) != 4:
        return False
    labels = [row[c] for row in table.cells for c in (0, 2)]
    short = all(text[:1].isalpha() and len(text.split()) <= SHORT for text in labels)
    return (
        short
        and table.cells[0][1] != table.cells[0][3]
        and 2 * sum(_has_digit(row[3]) for row in table.cells) >= len(table.cells)
    )


def _has_digit(text: str) -> bool:
    return any(ch.isdigit() for ch in text)


def _may_be_prose(table: CellTable) -> bool:
    """Return whether a table may be lines of several columns of text that stand level."""
    columns = [[row[c] for row in table.cells if row[c]] for c in range(len(table.cells[0]))]
    lengths = [float(np.median([len(text) for text in column])) for column in columns if column]
    numbers = sum(holds_numbers([[], column]) for column in columns[1:])
    return numbers < 2 or max(lengths) > LINE


def _is_justified(rows: Sequence[PrintedRow]) -> bool:
    """Return whether close rows end at one edge and have blanks a little wider than usual: justified text.

    Names, and words that end at one edge, stand farther apart.
    """
    right = max(row.box[2] for row in rows)
    full = [row for row in rows if right - row.box[2] < EVEN_EM * row.em]
    starts = [row.stretches[-1].x0 for row in full]
    ragged = bool(starts) and float(np.ptp(starts)) > EVEN_EM * rows[0].em
    blanks = [b.x0 - a.x1 for row in rows for a, b in pairwise(row.stretches)]
    near = float(np.median(blanks or [0.0])) < APART_EM * rows[0].em
    return len(full) > JUSTIFIED * len(rows) and ragged and near and _step(rows) < APART_EM * rows[0].em


def _step(rows: Sequence[PrintedRow]) -> float:
    """Return the usual step between rows, px."""
    return float(np.median([b.middle - a.middle for a, b in pairwise(rows)]))


def _ends_alike(rows: list[PrintedRow], strips: Strips) -> bool:
    """Return whether the last column is set to the right: its cells end at one edge and begin anywhere."""
    last = [
        row.stretches[-1] for row in rows if row_cells(row, strips)[-1][1] == len(strips) and len(row.stretches) > 1
    ]
    if len(last) < MIN_ROWS:
        return False
    em = last[0].line.em_px
    ends, starts = [one.x1 for one in last], [one.x0 for one in last]
    return float(np.ptp(ends)) < EDGE_EM * em and float(np.ptp(starts)) > em
