"""Rows in reading order -> blocks: paragraphs, headings, list items.

A block ends where the type or the column changes, at wide white, and where a row is indented. In lists of references
and of terms the first row of an entry stands out to the left instead; then an entry ends before such a row.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ...io.box import Box, are_flush_right
from ..elements import STYLES
from ..lines import PageRegion, TextLine

INDENT_EM, MAX_INDENT_EM = 0.9, 4.0
MAX_HANG_EM = 8.0  # of the further rows of an entry
MIN_VOTES = 3  # changes of the left edge that show hanging indents: two entries
WHITE = 1.25  # step between blocks, as a multiple of the usual one
CLOSE = 0.2  # quantile of the steps: that between rows of one paragraph, where most of them are single rows
SIZE = 0.18  # by which the type of two blocks differs
TITLE = 1.12  # type of a short row above text, as a multiple of it, from which it is a block of its own
RUN_ON_EM = 10  # least width of a row of a title that runs on
LARGE = 1.15  # type of a heading, as a multiple of the usual one
CENTRE_EM = 1.0  # between the middles of centred rows
TITLE_TYPE, TITLE_STEP_EM = 1.4, 1.45  # of centred rows of one title: type, as a multiple of the usual one; most step
TITLE_EVEN = 0.06  # by which their type differs
BLANK_EM = 0.25
EDGE_EM = 0.3  # by which the ends of rows differ that are set to the right
AT_EM = 0.4  # between the text behind the number of a clause and its further rows
_CLAUSE = re.compile(r"(\d+(?:\.\d+)*[.)]?|\(?[a-z]{1,3}\)|[•‣▪●○◦■□◆♦–·-])\s+")
OWN_EM, LABEL = 4.0, 6  # white in a row that is a line of its own; characters before it, more than a number
_FIELD, _BOXES = re.compile(r"[^\W_].*_{4,}\W*$"), ("[ ]", "[x]")
BOLD, BOLD_SHARE = STYLES.index("bold"), 0.9  # column of the styles; share of a row in bold type; blanks may not be
AMOUNT = 14  # characters of points or of a price at the right edge
_NUMBERED = re.compile(r"\d+(?:\.\d+)+\.?\s+[“„«\"(]?(\w)")
QUOTES = " \"'”’»)"
SENTENCE_ENDS = frozenset(".!?:;")


@dataclass
class Row:
    """Pieces of one printed row, left to right; or a region, which has none."""

    pieces: list[TextLine]
    box: Box
    em_px: float
    region: PageRegion | None = None


@dataclass
class TextBlock:
    """Rows that belong together: a paragraph, a heading, a list item; or a region, which has none."""

    rows: list[Row] = field(default_factory=list)
    region: PageRegion | None = None


def split_paragraphs(rows: Sequence[Row]) -> list[TextBlock]:
    """Return ordered rows in blocks; each region is a block of its own."""
    leading = _Leading(rows)
    large = LARGE * leading.em
    blocks: list[TextBlock] = []
    for run in _runs(rows, leading):
        if run[0].region is not None:
            blocks.append(TextBlock(region=run[0].region))
            continue
        right = max(row.box[2] for row in run)
        hangs, flush = _hangs(run, right) or _is_entry(run), _is_flush_right(run)
        left = min(row.box[0] for row in run)
        for before, row in zip([None, *run], run, strict=False):
            alone = len(blocks[-1].rows) == 1 if blocks else True
            if before is None or (
                not flush and _begins(before, row, right, left if hangs else None, large, alone=alone)
            ):
                blocks.append(TextBlock())
            blocks[-1].rows.append(row)
    for block in blocks:
        _move_amount(block)
    return blocks


def _move_amount(block: TextBlock) -> None:
    """Put a number at the right edge of a paragraph's first row, as points of a question, behind its last words."""
    if len(block.rows) < 2 or len(block.rows[0].pieces) != 2 or any(len(row.pieces) > 1 for row in block.rows[1:]):
        return
    text, amount = (row := block.rows[0]).pieces
    beyond = amount.box[0] > max(text.box[2], *(one.box[2] for one in block.rows[1:]))
    number = len(amount.text) <= AMOUNT and any(map(str.isdigit, amount.text))
    if beyond and number and text.text.rstrip(QUOTES)[-1:] not in SENTENCE_ENDS:
        block.rows[0] = Row([text], text.box, row.em_px)
        block.rows.append(Row([amount], amount.box, amount.em_px))


class _Leading:
    """The steps between rows of about one size, px: the usual one, and that of the rows that are set close."""

    def __init__(self, rows: Sequence[Row]):
        self.rows = rows
        self.steps = [
            (a.em_px, b.box[1] - a.box[1])
            for a, b in pairwise(rows)
            if a.pieces and 0 < b.box[1] - a.box[1] < 3 * a.em_px and abs(a.em_px - b.em_px) < 0.15 * a.em_px
        ]
        self.em = float(np.median([row.em_px for row in rows if row.pieces] or [0.0]))
        self.known: dict[float, tuple[float, float]] = {}

    def of(self, em: float) -> tuple[float, float]:
        """Return the usual and the close step of rows of this size."""
        if em not in self.known:
            alike = [step for size, step in self.steps if abs(size - em) < 0.1 * em]
            steps = alike if len(alike) > 3 else [step for _, step in self.steps] or [0.0]
            self.known[em] = float(np.median(steps)), float(np.quantile(steps, CLOSE))
        return self.known[em]

    def scaled(self, em: float) -> float:
        """Return the usual step between rows of any size, for rows of this size."""
        return em * float(np.median([step / size for size, step in self.steps] or [0.0]))

    def is_title(self, before: Row, row: Row) -> bool:
        """Return whether two rows are centred, close and of one type that is much larger than most: rows of a title."""
        em, middles = row.em_px, [(one.box[0] + one.box[2]) / 2 for one in (before, row)]
        large = min(em, before.em_px) > TITLE_TYPE * self.em and abs(em - before.em_px) < TITLE_EVEN * em
        close = 0 < row.box[1] - before.box[1] < TITLE_STEP_EM * em and len(before.pieces) == len(row.pieces) == 1
        return large and close and abs(middles[0] - middles[1]) < 0.5 * CENTRE_EM * em

    def right_of(self, row: Row) -> float:
        """Return the right edge of the rows that begin about where a row does."""
        near = INDENT_EM * row.em_px
        return max(other.box[2] for other in self.rows if abs(other.box[0] - row.box[0]) < near)

    def right_over(self, row: Row, below: Row) -> float:
        """Return the right edge of the other rows that stand above and below any part of a row; infinite for none."""
        left, _, right, _ = row.box
        others = [one.box for one in self.rows if one is not row and one is not below]
        edges = [box[2] for box in others if box[0] < right and box[2] > left]
        return max(edges, default=float("inf"))


def _runs(rows: Sequence[Row], leading: _Leading) -> list[list[Row]]:
    """Return rows of one column and one size without wide white between them; each region is alone."""
    runs: list[list[Row]] = []
    for before, row in zip([None, *rows], rows, strict=False):
        if before is None or row.region is not None or before.region is not None or _parts(before, row, leading):
            runs.append([])
        runs[-1].append(row)
    return runs


def _parts(before: Row, row: Row, leading: _Leading) -> bool:
    """Return whether white, another column or other type lies between two rows."""
    step = row.box[1] - before.box[1]
    other_column = row.box[0] > before.box[2] or row.box[2] < before.box[0]
    other_type = abs(row.em_px - before.em_px) > SIZE * row.em_px
    if leading.is_title(before, row):
        return False
    right = leading.right_of(before)
    title = before.em_px > TITLE * row.em_px and _is_short(before, row, right)
    usual, close = (WHITE * max(one, row.em_px) for one in leading.of(row.em_px))
    short = _is_short(before, row, right)
    ended = close < step <= usual and short  # as the rows of letters
    long = before.box[2] - before.box[0] > RUN_ON_EM * row.em_px
    if long and not _is_short(before, row, leading.right_over(before, row)):  # a title that runs on
        usual = max(usual, WHITE * leading.scaled(row.em_px))
    return step <= 0 or other_column or step > usual or other_type or title or ended


def _begins(before: Row, row: Row, right: float, left: float | None, large: float, *, alone: bool) -> bool:
    """Return whether a row begins a block.

    Args:
        before: the row above.
        row: in the same run.
        right: right edge of the run.
        left: left edge of a run with hanging indents; None for others.
        large: least size of a heading, px.
        alone: the row above is the only one of its block; it may be the first of a paragraph.
    """
    heads = _is_clause(row) or (_is_bold(row) and not _is_bold(before))
    if heads and _ends_sentence(before):
        return True
    if _is_own(before) or _is_own(row):
        return not _is_below_piece(row, before) and not _is_under(row, before)
    if left is not None:
        return row.box[0] < left + 0.5 * row.em_px and _is_short(before, row, right)
    middles = (before.box[0] + before.box[2]) / 2, (row.box[0] + row.box[2]) / 2
    if row.em_px >= large and abs(middles[0] - middles[1]) < CENTRE_EM * row.em_px:
        return False
    shift = row.box[0] - before.box[0]
    if shift > 0 and _is_under(row, before):
        return False
    if shift < 0 and _is_under(before, row):
        return True
    if INDENT_EM * row.em_px < shift < MAX_INDENT_EM * row.em_px:
        return True
    ends = not alone or before.pieces[-1].text.rstrip()[-1:] in SENTENCE_ENDS
    return shift < -INDENT_EM * row.em_px and ends and _is_short(before, row, right)


def _is_own(row: Row) -> bool:
    """Return whether a row is a line of its own: it has wide white inside, a blank to fill at its end, or a checkbox.

    White behind a label or the number of a clause is not wide.
    """
    for a, b in pairwise(row.pieces):
        if b.box[0] - a.box[2] > OWN_EM * row.em_px and len(a.text) > LABEL:
            return True
    return _FIELD.search(row.pieces[-1].text) is not None or row.pieces[0].text.startswith(_BOXES)


def _is_below_piece(row: Row, above: Row) -> bool:
    """Return whether a row begins below a piece of the row above that is not its first."""
    return any(abs(row.box[0] - piece.box[0]) < AT_EM * row.em_px for piece in above.pieces[1:])


def _ends_sentence(row: Row) -> bool:
    """Return whether a row ends as a sentence does, not with the dots of a table of contents."""
    text = row.pieces[-1].text.rstrip(QUOTES)
    return text[-1:] in SENTENCE_ENDS and not text.endswith(("..", ". ."))


def _is_clause(row: Row) -> bool:
    """Return whether a row begins with the number of a clause, as `2.1`, and a word with a capital."""
    found = _NUMBERED.match(" ".join(piece.text for piece in row.pieces[:2]))
    return found is not None and found[1].isupper()


def _is_bold(row: Row) -> bool:
    """Return whether all of a row is in bold type."""
    known = [one.styles for one in row.pieces if one.styles is not None and one.styles.shape[1] >= len(STYLES)]
    return len(known) == len(row.pieces) and all(styles[:, BOLD].mean() > BOLD_SHARE for styles in known)


def _is_flush_right(run: Sequence[Row]) -> bool:
    """Return whether rows end at one edge and begin anywhere, as an address that is set to the right."""
    reaches = [EDGE_EM * run[0].em_px] * len(run)
    return are_flush_right([row.box[0] for row in run], [row.box[2] for row in run], reaches)


def _is_under(row: Row, clause: Row) -> bool:
    """Return whether a row begins below the text of a clause, behind its number: `1.1` or `2.`."""
    first = clause.pieces[0]
    found = _CLAUSE.match(first.text + " ")
    if found is None:
        return False
    end, inside = float(first.boxes[len(found[1]) - 1, 2]), found.end() < len(first.text)
    if not inside and len(clause.pieces) == 1:
        return False
    start = float(first.boxes[found.end(), 0]) if inside else clause.pieces[1].box[0]
    return end < row.box[0] < start + AT_EM * row.em_px


def _hangs(run: Sequence[Row], right: float) -> bool:
    """Return whether most changes of the left edge are those of hanging indents.

    The row before an indented one is full when both belong to an entry, and often short when a paragraph ends there.
    """
    hanging = indented = 0
    for a, b in pairwise(run):
        shift, short = b.box[0] - a.box[0], _is_short(a, b, right)
        if INDENT_EM * b.em_px < abs(shift) < MAX_HANG_EM * b.em_px:
            hanging += short == (shift < 0)
            indented += short == (shift > 0)
    return hanging >= MIN_VOTES and hanging > indented


def _is_entry(run: Sequence[Row]) -> bool:
    """Return whether a run is one entry of a list of references: all rows but the first are indented as far."""
    shifts = [row.box[0] - run[0].box[0] for row in run[1:]]
    em = run[0].em_px
    if not shifts or not INDENT_EM * em < min(shifts) <= max(shifts) < min(shifts) + AT_EM * em < MAX_HANG_EM * em:
        return False
    goes_on = run[0].pieces[-1].text.rstrip()[-1:] not in SENTENCE_ENDS
    return goes_on and not _is_short(run[0], run[1], max(row.box[2] for row in run))


def _is_short(row: Row, below: Row, right: float) -> bool:
    """Return whether the first word of the row below had room in a row."""
    first = below.pieces[0]
    end = (first.text.strip() + " ").find(" ")
    word = float(first.boxes[min(end, len(first.boxes)) - 1, 2] - first.boxes[0, 0])
    return row.box[2] + BLANK_EM * row.em_px + word < right
