"""What stands side by side: tables, labels and text, panels.

Rows of two tables are often level, so that their columns look like those of one table. What shows two tables: the white
between them is much wider than between their columns, or names in another type begin again in the middle of a row.
An address beside a table is no column of it. Two rows are a table where they are labels and values. Labels beside text
are no column of text. Panels are texts on a ground of their own next to other text, such as a sidebar, or cards in a
row; their lines may be level with those beside them by chance.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ...io.box import Box, area, middle_within, shared_area, union
from ..elements import STYLES
from ..evidence import Evidence
from ..lines import PageRegion, TextLine
from .cells import CellTable, PrintedRow, Stretch, Strips, is_numeric, rows_by_height, table_of_rows

APART_EM = 3.0  # least white between two tables
LIKE = 0.7  # least white between two tables, as a share of the widest
WIDER = 2.0  # its least width, as a multiple of the white between columns
KEYED = 0.8  # share of a column in bold or fixed-width type, and of the next one in other type
ADDRESS = 7  # lines
_POSTCODE = re.compile(
    r"(?:^| )(?:(?:\d{4,6}|\d\d-\d{3}|\d{4}-\d{3}|\d{3} \d\d) [^\W\d]|[A-Z]{2} \d{5}|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}$)"
)
_LABELLED = re.compile(r"[^\W\d][^:]*: ?\S")  # `Date: 3 May`
FLUSH = 3, 9  # lines of a letterhead's block that is set to the right
FLUSH_STEP, FLUSH_EM = 2.2, 2.5  # between them; white beside the block
PAIR_STEP, PAIR_EM = 2.2, 1.0  # between labels and values, as a multiple of the larger type; white between them
TABLE_STEP = 1.5  # from two rows to a further one of their table, as a multiple of the step between the two
BELOW_EM, PAIR = 0.5, 30  # between their edges or middles; characters of one
TYPED = 0.8  # share of labels in fixed-width type, and of text on their right in other type
LABEL_EM = 10  # longest label of a paragraph
LABEL_STEP_EM = 1.6  # from label to label; lines of a paragraph have less
LEVEL_EM, LEVEL = 0.3, 0.8  # labels are level with text on their right: least share of them
FLUSH_LEVEL = 0.5  # the same of labels that are flush right, some of which have two lines
PANEL_ROWS, PANEL_EM = 2, 6.0  # fewest rows of a panel, one more next to another ground, as cells have; its least width
TOUCH_EM = 0.5  # white between grounds that touch
SAME_LEVEL, SAME_LEVEL_EM = 0.7, 0.2  # share of rows of a table's column that are level with others; and how much
CARD_EM = 0.5  # by which the sides of cards in a row differ
WHOLE = 0.9  # share of a panel that another area covers, if both are the same one
COLUMN_EM, COLUMN_LINES, COLUMN_SHARE = 20, 8, 0.6  # least width of lines of a column; how many; share with common ends
COLUMN_STEP_EM = 3.0  # to a further line of the column
NOTE_EM, NOTE_SIZE, NOTES = 0.4, 0.96, 0.4  # white beside notes in the margin; type, as a share; lines, as a share
KEY_STYLES = (STYLES.index("bold"), STYLES.index("mono"))


def split_side_by_side(rows: Sequence[PrintedRow], strips: Strips, em: float) -> list[list[PrintedRow]]:
    """Return the rows of each table, from left to right; one list where all is one table.

    Args:
        rows: of one or several tables.
        strips: white between their columns.
        em: size of the page's text, px.
    """
    edges = [(strips[k][0] + strips[k][1]) / 2 for k in _borders(rows, strips, em)]
    sides = []
    for left, right in pairwise([-np.inf, *edges, np.inf]):
        parts = [[one for one in row.stretches if left < (one.x0 + one.x1) / 2 < right] for row in rows]
        sides.append([PrintedRow(part) for part in parts if part])
    owners = [{id(one.line) for row in side for one in row.stretches} for side in sides]
    shared = sum(map(len, owners)) > len(set[int]().union(*owners))  # a line that runs on over a border
    return [list(rows)] if shared else sides


def is_keyed(rows: Sequence[PrintedRow], strips: Strips) -> bool:
    """Return whether two columns are names in bold or fixed-width type and what they mean."""
    return len(strips) == 1 and _keys(_columns(rows, strips)) == [True, False]


def find_pairs(rows: Sequence[PrintedRow]) -> Iterator[PageRegion]:
    """Yield tables of two rows, labels and values one below the other, alone, as in the summary of a statement."""
    for k, two in enumerate(pairwise(rows)):
        around = [row for row in (*rows[max(0, k - 1) : k], *rows[k + 2 : k + 3]) if len(row.stretches) > 1]
        near = max(PAIR_STEP * max(row.em for row in two), TABLE_STEP * (two[1].middle - two[0].middle))
        if is_pair(*two) and all(min(abs(row.middle - one.middle) for one in two) > near for row in around):
            yield table_of_rows(two, CellTable([[one.text for one in row.stretches] for row in two]))


def is_pair(above: PrintedRow, below: PrintedRow) -> bool:
    """Return whether two rows have as many short pieces, far apart and aligned, and one of them digits in most."""
    columns = list(zip(above.stretches, below.stretches, strict=False))
    small, large = sorted((above.em, below.em))
    apart = [min(c.x0, d.x0) - max(a.x1, b.x1) for (a, b), (c, d) in pairwise(columns)]
    digits = sorted(sum(any(map(str.isdigit, one.text)) for one in row.stretches) for row in (above, below))
    return (
        len(above.stretches) == len(below.stretches) > 2
        and below.middle - above.middle < PAIR_STEP * large
        and min(apart) > PAIR_EM * small
        and all(_are_aligned(*column, BELOW_EM * small) for column in columns)
        and 3 * digits[0] <= len(columns) <= 2 * digits[1]
        and max(len(one.text) for column in columns for one in column) <= PAIR
    )


def _are_aligned(a: Stretch, b: Stretch, near: float) -> bool:
    return min(abs(a.x0 - b.x0), abs(a.x1 - b.x1), abs(a.x0 + a.x1 - b.x0 - b.x1) / 2) < near


def _borders(rows: Sequence[PrintedRow], strips: Strips, em: float) -> list[int]:
    """Return the numbers of the strips that separate tables."""
    columns = _columns(rows, strips)
    count = len(columns) // 2
    if count > 1 and _keys(columns) == [True, False] * count:
        return list(range(1, len(strips), 2))
    if count > 1 and _is_folded(columns):
        return list(range(1, len(strips), 2))
    widths = [right - left for left, right in strips]
    labelled = len(columns) > 2 and not any(ch.isdigit() for one in columns[1] for ch in one.text)
    if labelled and widths[0] == max(widths) >= APART_EM * em and _is_address(columns[0]):
        return [0]
    least = max([APART_EM * em, *(LIKE * width for width in widths)])
    wide = [k for k, width in enumerate(widths) if width >= least]
    narrow = [width for k, width in enumerate(widths) if k not in wide]
    if not wide or not narrow or min(widths[k] for k in wide) < WIDER * max(narrow):
        return []
    parts = [columns[a:b] for a, b in pairwise([0, *(k + 1 for k in wide), len(columns)])]
    if any(len(part) < 2 for part in parts):
        return []
    texts = [[[one.text for one in column] for column in part] for part in parts]
    heads = [[column[0] for column in part if column] for part in texts]
    named = all(holds_numbers(part) and not _is_number_column(part[0]) for part in texts)
    return wide if named or all(head == heads[0] for head in heads) else []


def _is_folded(columns: Sequence[Sequence[Stretch]]) -> bool:
    """Return whether columns are names and amounts in turns: a list that goes on next to itself."""
    texts = [[one.text for one in column] for column in columns]
    if len({tuple(column[:1]) for column in texts[1::2]}) == 1:
        texts = [column[1:] for column in texts]  # one name over all amounts
    if len(texts) % 2 or not all(len(column) > 1 for column in texts):
        return False
    names, amounts = texts[::2], texts[1::2]
    return all(all(map(is_numeric, column)) for column in amounts) and not any(
        is_numeric(text) for column in names for text in column
    )


def _is_address(column: Sequence[Stretch]) -> bool:
    """Return whether a few lines end with a place and its postal code."""
    words = [one.text for one in column]
    return 2 < len(words) <= ADDRESS and _POSTCODE.search(words[-1]) is not None and not any(map(is_numeric, words))


def are_addresses(columns: Sequence[Sequence[str]]) -> bool:
    """Return whether two columns of a few lines are addresses next to each other: one has a place's postal code."""
    short = len(columns) == 2 and 2 < max(map(len, columns)) <= ADDRESS
    return short and any(sum(_POSTCODE.search(text) is not None for text in column) == 1 for column in columns)


def flush_blocks(lines: Sequence[TextLine], em: float) -> np.ndarray:
    """Return (N,), which lines are of a block set to the right beside another one, as in a letterhead.

    One of the two has a postal code, or lines of the block have labels of their own; values beside labels have not.
    """
    found, boxes = np.zeros(len(lines), bool), np.array([line.box for line in lines]).reshape(-1, 4)
    order = np.lexsort((boxes[:, 1], np.round(boxes[:, 2] / em)))
    ends, steps = np.diff(boxes[order, 2]), np.diff(boxes[order, 1])
    cuts = np.flatnonzero((np.abs(ends) > LEVEL_EM * em) | (steps <= 0) | (steps > FLUSH_STEP * em)) + 1
    for stack in (part for part in np.split(order, cuts) if FLUSH[0] <= len(part) <= FLUSH[1]):
        left, top, _, bottom = union(boxes[stack].tolist())
        beside = np.flatnonzero(
            (boxes[:, 3] > top) & (boxes[:, 1] < bottom + em) & (boxes[:, 2] < left - FLUSH_EM * em)
        )
        texts = [lines[k].text for k in beside.tolist() if boxes[k, 0] > boxes[beside, 0].max() - em]
        own = [lines[k].text for k in stack.tolist()]
        words = sum(any(map(str.isalpha, text)) and not is_numeric(text) for text in own)
        codes = [sum(_POSTCODE.search(text) is not None for text in part) for part in (own, texts)]
        address = codes[1] == 1 or (codes[0] == 1 and any(ch.isdigit() for text in texts for ch in text))
        labelled = sum(_LABELLED.match(text) is not None for text in own) > 1
        if len(texts) >= FLUSH[0] and 3 * words >= 2 * len(own) and (address or labelled):
            found[stack] = not any(text.endswith(":") for text in texts)
    return found


def holds_numbers(columns: Sequence[Sequence[str]]) -> bool:
    """Return whether one of the columns after the first holds mostly numbers below its head."""
    bodies = [column[1:] if len(column) > 1 else column for column in columns[1:]]
    return any(bool(body) and float(np.mean([is_numeric(text) for text in body])) >= 0.5 for body in bodies)


def _is_number_column(texts: Sequence[str]) -> bool:
    return bool(texts) and sum(map(is_numeric, texts)) >= 0.5 * len(texts)


def _columns(rows: Sequence[PrintedRow], strips: Strips) -> list[list[Stretch]]:
    """Return the stretches of each column, from top to bottom."""
    columns: list[list[Stretch]] = [[] for _ in range(len(strips) + 1)]
    for row in rows:
        for one in row.stretches:
            columns[sum(one.x0 > (a + b) / 2 for a, b in strips)].append(one)
    return columns


def _keys(columns: Sequence[Sequence[Stretch]]) -> list[bool | None]:
    """Return for each column whether it is in bold or fixed-width type; None where its type is mixed."""
    found: list[bool | None] = []
    for column in columns:
        share = float(np.mean([is_in_key_style(one) for one in column])) if column else 0.5
        found.append(True if share >= KEYED else False if share <= 1 - KEYED else None)
    return found


def is_in_key_style(one: Stretch) -> bool:
    """Return whether most of a text is in bold type, or in fixed-width type that a text layer knows."""
    styles = one.line.styles
    if styles is None or styles.shape[1] <= max(KEY_STYLES):
        return False
    known = KEY_STYLES if one.line.writer == "layer" else KEY_STYLES[:1]  # pixels are less sure of fixed-width type
    return float(styles[one.start : one.end][:, known].any(1).mean()) > 0.5


def are_labels(left: np.ndarray, right: np.ndarray, em: float, keyed: bool) -> bool:
    """Return whether the lines (N, 4) on the left are short labels of paragraphs on the right: a list, not columns.

    keyed: whether the left ones alone are in fixed-width type.
    """
    if (
        len(left) < 3
        or (left[:, 2] - left[:, 0]).max() > LABEL_EM * em
        or (not keyed and np.median(right[:, 2] - right[:, 0]) < LABEL_EM * em)
    ):
        return False
    apart = np.median(np.diff(np.sort(left[:, 3]))) > LABEL_STEP_EM * em
    return _level_share(left, right, em) >= LEVEL and (keyed or bool(apart))


def are_flush_labels(left: np.ndarray, right: np.ndarray, em: float) -> bool:
    """Return whether the lines (N, 4) on the left end at one edge and begin at many, as labels do but no text."""
    begins, ends = (np.abs(left[:, k] - np.median(left[:, k])) for k in (0, 2))
    flush = len(left) >= 3 and (ends < LEVEL_EM * em).mean() >= LEVEL and np.median(begins) > LEVEL_EM * em
    return bool(flush) and _level_share(left, right, em) >= FLUSH_LEVEL


def _level_share(left: np.ndarray, right: np.ndarray, em: float) -> float:
    """Return the share of the lines (N, 4) on the left that are level with one on the right."""
    return float((np.abs(left[:, None, 3] - right[:, 3]).min(1) < LEVEL_EM * em).mean())


def margin_gutters(lines: Sequence[TextLine], em: float) -> list[tuple[float, float, float]]:
    """Return x, top and bottom of the white between a column of text and the notes in its margins.

    The column is that of wide lines with common ends. Notes are in smaller type and fewer. Those on the left are not
    level with its lines, as labels are; numbers of lines are no notes.

    Args:
        lines: of the page; one that runs on from the column into a note is known by its white.
        em: size of the page's text, px.
    """
    wide = np.array([line.box for line in lines if line.box[2] - line.box[0] > COLUMN_EM * em]).reshape(-1, 4)
    if len(wide) < COLUMN_LINES:
        return []
    left, right = (float(np.median(wide[:, k])) for k in (0, 2))
    ends = [(np.abs(wide[:, k] - x) < LEVEL_EM * em).mean() for k, x in ((0, left), (2, right))]
    if min(ends) < COLUMN_SHARE:
        return []
    top, bottom = float(wide[:, 1].min()), float(wide[:, 3].max())
    for line in sorted(lines, key=lambda line: line.box[1]):  # short lines at its end
        if line.box[0] > left - em and line.box[2] < right + em and 0 < line.box[3] - bottom < COLUMN_STEP_EM * em:
            bottom = line.box[3]
    column = [line for line in lines if line.box[0] > left - em and top <= line.box[1] < bottom]
    baselines = np.array([line.box[3] for line in column if line.box[2] < right + em])
    found = []
    for x, outside in ((left - NOTE_EM * em, -1), (right + NOTE_EM * em, 1)):
        level = [line for line in lines if top <= line.box[1] < bottom]
        notes = [line for line in level if (line.box[0] > x if outside > 0 else line.box[2] < x)]
        crossing = [line for line in level if line.box[0] < x - em < x + em < line.box[2] and not _is_cut(line, x, em)]
        small = notes and np.median([line.em_px for line in notes]) < NOTE_SIZE * em
        if not small or crossing or len(notes) > NOTES * len(baselines):
            continue
        same = [np.abs(baselines - line.box[3]).min() < SAME_LEVEL_EM * em for line in notes]
        if not all(is_numeric(line.text) for line in notes) and (outside > 0 or np.mean(same) < SAME_LEVEL):
            found.append((x, top, bottom))
    return found


def _is_cut(line: TextLine, x: float, em: float) -> bool:
    """Return whether a line leaves white at a place, as where it runs on into a note."""
    after = int((line.boxes[:, [0, 2]].mean(1) < x).sum())
    inked = (
        [k for k in range(after) if line.text[k] != " "],
        [k for k in range(after, len(line.text)) if line.text[k] != " "],
    )
    return all(inked) and bool(line.boxes[inked[1][0], 0] - line.boxes[inked[0][-1], 2] > NOTE_EM * em)


def are_keys(left: np.ndarray, right: np.ndarray) -> bool:
    """Return whether lines on the left alone are in fixed-width type. left, right: (N,), whether lines are in it."""
    return bool(len(left) and left.mean() > TYPED and right.mean() < 1 - TYPED)


# -- panels ------------------------------------------------------------------------------------------------------------


def find_panels(lines: Sequence[TextLine], evidence: Evidence, em: float) -> list[list[PageRegion]]:
    """Return the panels of a page with the lines that stand on them: rows of cards from left to right, and single ones.

    Args:
        lines: that are in no table.
        evidence: filled areas.
        em: size of the page's text, px.
    """
    found: list[PageRegion] = []
    groups: list[list[PageRegion]] = []
    areas = _stacked([box for box, _ in evidence.areas if box[2] - box[0] > PANEL_EM * em], em)
    grounds = sorted(areas, key=area, reverse=True)
    for box in grounds:
        inside = [line for line in lines if middle_within(line.box, box)]
        beside = [
            line
            for line in lines
            if not middle_within(line.box, box) and box[1] < (line.box[1] + line.box[3]) / 2 < box[3]
        ]
        if not beside or any(shared_area(box, one.box) > 0 for one in found):
            continue
        rows = rows_by_height(inside)
        cards = [one for one in grounds if _is_card(box, one, em)]
        apart = [*cards, *(one.box for one in found)]
        others = [line for line in beside if not any(middle_within(line.box, one) for one in apart)]
        bare = [line for line in others if not any(middle_within(line.box, one) for one in grounds)]
        wide = not bare and sum(len(row.stretches) > 1 for row in rows) > len(rows) / 2  # several columns on a ground
        least = PANEL_ROWS + any(_touch_sides(box, one, em) for one in grounds)
        if len(rows) >= least and (wide or not _is_column(rows, others, em)):
            found.append(PageRegion("panel", box, inside))
    for one in sorted(found, key=lambda one: one.box[0]):
        row = next(
            (group for group in groups if _is_card(group[0].box, one.box, em) and _is_row([*group, one], lines)), None
        )
        if row is None:
            groups.append([one])
        else:
            row.append(one)
    return groups


def _is_row(cards: Sequence[PageRegion], lines: Sequence[TextLine]) -> bool:
    """Return whether all lines in the box around cards stand on one of them."""
    box = union(card.box for card in cards)
    return sum(middle_within(line.box, box) for line in lines) == sum(len(card.lines) for card in cards)


def divide_evidence(evidence: Evidence, panel: Box) -> tuple[Evidence, Evidence]:
    """Return what is drawn on a panel, without its ground, and what is drawn elsewhere."""
    parts = []
    for within in (True, False):
        rules, pictures, drawings = (
            [box for box in boxes if middle_within(box, panel) is within]
            for boxes in (evidence.rules, evidence.pictures, evidence.drawings)
        )
        areas = [
            (box, colour)
            for box, colour in evidence.areas
            if middle_within(box, panel) is within and shared_area(box, panel) < WHOLE * area(panel)
        ]
        parts.append(Evidence(rules, areas, pictures, drawings))
    return parts[0], parts[1]


def _stacked(boxes: Sequence[Box], em: float) -> list[Box]:
    """Return boxes; those with the same sides that touch, one below the other, as a title and its text, are one."""
    found: list[Box] = []
    for box in sorted(boxes, key=lambda box: (round(box[0] / em), round(box[2] / em), box[1])):
        last = found[-1] if found else None
        alike = last is not None and max(abs(last[0] - box[0]), abs(last[2] - box[2])) < TOUCH_EM * em
        if last is not None and alike and box[1] - last[3] < TOUCH_EM * em:
            found[-1] = union([last, box])
        else:
            found.append(box)
    return found


def _touch_sides(box: Box, other: Box, em: float) -> bool:
    """Return whether another ground touches one on its left or right."""
    level = min(box[3], other[3]) - max(box[1], other[1]) > TOUCH_EM * em
    return level and (0 <= other[0] - box[2] + 1 < TOUCH_EM * em or 0 <= box[0] - other[2] + 1 < TOUCH_EM * em)


def _is_card(box: Box, other: Box, em: float) -> bool:
    """Return whether another ground stands beside one, apart from it and as high."""
    high = max(abs(box[1] - other[1]), abs(box[3] - other[3])) < CARD_EM * em
    return high and (other[0] > box[2] + CARD_EM * em or other[2] < box[0] - CARD_EM * em)


def _is_column(rows: Sequence[PrintedRow], beside: Sequence[TextLine], em: float) -> bool:
    """Return whether most rows stand level with lines beside them: a column of a table that has a ground."""
    middles = [(line.box[1] + line.box[3]) / 2 for line in beside]
    level = sum(any(abs(row.middle - y) < SAME_LEVEL_EM * em for y in middles) for row in rows)
    return level >= SAME_LEVEL * len(rows)
