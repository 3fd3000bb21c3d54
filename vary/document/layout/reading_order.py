"""Sort the lines of a page into blocks in reading order.

Pieces of one printed row are joined, unless a column gutter lies between them (a table row, a page number at the end of
a contents line). Rows are then sorted topologically by two rules, after Breuel ("High performance document layout
analysis", 2003). Across a gutter, left comes before right, unless a row between them spans both. Elsewhere, above comes
before below.
Frame: pixels of the page image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...io.box import Box, middle_within, union
from ..lines import PageRegion, TextLine
from .bullets import Gutter
from .cells import rows_by_height
from .gutters import column_edges, is_running_text, split_columns, usual_em
from .paragraphs import Row, TextBlock, split_paragraphs

JUT_EM = (
    0.7  # into the white beside a column: a line that spans both, if neither of its pieces keeps to its column's side
)
KEPT_EM = 0.5
STACK, STACK_STEP, ALIKE = (3, 8), 1.8, 1.2  # rows of a stack; its steps and sizes, as multiples of its type
SPAN_EM = 2.0  # such pieces are no farther from each other
PANEL_ROWS = 3  # of text in areas side by side that are no cells of a table
LEVEL_ROWS, ROW_EM = 0.6, 0.3  # share of rows in areas that are level with one in another; by which they differ
LARGER = 1.6  # type so much larger is a title next to text, not a piece of its row


def order_blocks(
    lines: list[TextLine], regions: Sequence[PageRegion] = (), rules: Sequence[Box] = ()
) -> list[TextBlock]:
    """Return the blocks of a page in reading order; each region is a block of its own. rules: ruling lines."""
    lines, gutters = split_columns(lines, [region.box for region in regions], rules=rules)
    rows = [Row([], region.box, 0.0, region) for region in regions]
    if lines:
        boxes, em = np.array([line.box for line in lines]), usual_em(lines)
        solid = is_running_text(boxes, em)
        rows += _rows(lines, gutters, [column_edges(gutter, boxes, solid, em) for gutter in gutters])
    if not rows:
        return []
    sizes = np.array([row.em_px for row in rows])
    ordered = [rows[k] for k in _reading_order(np.array([row.box for row in rows]), sizes, gutters)]
    return split_paragraphs(ordered)


def zones(lines: list[TextLine], gutters: list[Gutter]) -> list[list[TextLine]]:
    """Return the lines by the column that they stand in."""
    found: dict[tuple[int, ...], list[TextLine]] = {}
    for line in lines:
        x0, y0, x1, y1 = line.box
        sides = tuple(
            0 if not top < (y0 + y1) / 2 < bottom or x0 < x - line.em_px < x + line.em_px < x1
            else 1 if (x0 + x1) / 2 > x else -1
            for x, top, bottom in gutters
        )  # fmt: skip
        found.setdefault(sides, []).append(line)
    return list(found.values())


def _rows(lines: list[TextLine], gutters: list[Gutter], white: list[tuple[float, float]]) -> list[Row]:
    """Join pieces at the same height unless a gutter lies between them; two that belong to no column span it."""
    rows: list[list[TextLine]] = []
    ends = np.zeros((len(lines), 4))  # of the rows: right edge, middle, slope and size of the last piece
    for line in sorted(lines, key=lambda piece: piece.box[0]):
        x0, y0, x1, y1 = line.box
        middle = (y0 + y1) / 2
        best, best_gap = len(rows), float("inf")
        right, height, slope, em = ends[: len(rows)].T
        sizes = np.minimum(em, line.em_px)
        drift = np.abs(height + slope * (x0 - right) - middle)
        for k in np.flatnonzero((drift <= 0.35 * sizes) & (x0 >= right - 0.6 * sizes)).tolist():
            ex1, size = float(right[k]), float(sizes[k])
            apart = x0 - ex1 > SPAN_EM * size and max(em[k], line.em_px) > LARGER * size
            if x0 - ex1 >= best_gap or apart:
                continue
            parted = [
                (ex1 - begin, end - x0)
                for (x, top, bottom), (begin, end) in zip(gutters, white, strict=True)
                if ex1 - size < x < x0 + size and top - size < middle < bottom + size
            ]
            kept = any(max(juts) < JUT_EM * size or min(abs(j) for j in juts) < KEPT_EM * size for juts in parted)
            if kept or (parted and x0 - ex1 > SPAN_EM * size):
                continue
            best, best_gap = k, x0 - ex1
        if best == len(rows):
            rows.append([])
        rows[best].append(line)
        ends[best] = x1, middle, line.slope, line.em_px
    return [to_row(row) for row in rows]


def to_row(pieces: list[TextLine]) -> Row:
    """Return pieces of one printed row, from left to right, as a row."""
    return Row(pieces, union(piece.box for piece in pieces), float(np.median([p.em_px for p in pieces])))


def _reading_order(boxes: np.ndarray, sizes: np.ndarray, gutters: list[Gutter]) -> list[int]:
    """Across a gutter left comes before right, unless a row between the two spans both; else above before below.

    What stands beside a region, or beside type that is much larger, within its height, comes before or after it.
    A row in larger type next to a stack of rows, as a title beside an address, comes before or after all of them.
    """
    x0, y0, x1, y1 = boxes.T
    middle, slack = (y0 + y1) / 2, 0.1 * np.median(y1 - y0)
    overlap = (x1 - slack)[:, None] > x0  # no array of numbers: a page may have thousands of rows
    overlap &= overlap.T & overlap.diagonal() & overlap.diagonal()[:, None]
    across = np.zeros_like(overlap)  # [a, b]: a gutter parts a, on its left, from b
    for x, top, bottom in gutters:
        beside = (middle > top - slack) & (middle < bottom + slack)
        across |= (beside & (x1 <= x + slack))[:, None] & (beside & (x0 >= x - slack))
    before = (middle[:, None] < middle) & ~across & ~across.T
    larger = (sizes == 0)[:, None] | ((sizes > 0) & (sizes[:, None] > LARGER * sizes))
    beside = larger & ((y0 - slack)[:, None] <= y0) & ((y1 + slack)[:, None] >= y1) & ~overlap & ~across & ~across.T
    before = np.where(beside | beside.T, x0[:, None] < x0, before)
    crossing = np.flatnonzero(
        [any(left < x < right for x, _, _ in gutters) for left, right in zip(x0, x1, strict=True)]
    )
    for a in np.flatnonzero(across.any(1)):
        beside, spans = np.flatnonzero(across[a]), crossing[overlap[a, crossing]]
        low, high = np.minimum(middle[a], middle[beside])[:, None], np.maximum(middle[a], middle[beside])[:, None]
        between = overlap[np.ix_(beside, spans)] & (middle[spans] > low) & (middle[spans] < high)
        parted = between.any(1)
        before[a, beside] = ~parted | (middle[a] < middle[beside])
        before[beside[parted], a] = ~before[a, beside[parted]]
    for one, stack in _beside_stacks(boxes, sizes, overlap, across.any(0) | across.any(1)):
        before[one, stack] = x0[one] < x0[stack].min()
        before[stack, one] = ~before[one, stack]
    return _topological(before, np.lexsort((x0, middle)))


def _beside_stacks(
    boxes: np.ndarray, sizes: np.ndarray, overlap: np.ndarray, parted: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each row in larger type that alone stands next to a few close rows below one another; and these.

    Args:
        boxes: (N, 4), of rows.
        sizes: (N,), of their type, px; 0 for regions.
        overlap: (N, N), whether one lies above another.
        parted: (N,), rows next to a gutter, whose order is known.
    """
    top, middle = boxes[:, 1], boxes[:, [1, 3]].mean(1)
    stacks: list[list[int]] = []
    for k in np.flatnonzero(~parted)[np.argsort(top[~parted])].tolist():
        near = [stack for stack in stacks if overlap[stack[-1], k] and top[k] - top[stack[-1]] < STACK_STEP * sizes[k]]
        if near and max(pair := sizes[[k, near[-1][-1]]]) < ALIKE * min(pair):
            near[-1].append(k)
        else:
            stacks.append([k])
    for stack in (np.array(one) for one in stacks if STACK[0] <= len(one) <= STACK[1]):
        beside = ~overlap[stack].any(0) & (middle > middle[stack[0]]) & (middle < middle[stack[-1]])
        larger = np.flatnonzero(beside & ~parted & (sizes > ALIKE * sizes[stack].max()))
        if beside.sum() == 1 and len(larger):
            yield int(larger[0]), stack


def _topological(before: np.ndarray, preference: np.ndarray) -> list[int]:
    """Return an order that respects `before`; ties and cycles go to the first in `preference`."""
    before = before[np.ix_(preference, preference)]
    blockers, waiting = before.sum(0), np.ones(len(before), bool)
    done: list[int] = []
    for _ in preference:
        free = waiting & (blockers == 0)
        ready = int((free if free.any() else waiting).argmax())
        waiting[ready] = False
        blockers -= before[ready]
        done.append(int(preference[ready]))
    return done


def are_panels(parts: Sequence[Box], box: Box, lines: Sequence[TextLine], em: float) -> bool:
    """Return whether areas side by side are panels of text and no cells of a table.

    One of them is as high as all and holds several rows, or most rows stand in such areas. Columns of a table have rows
    that are level; two panels alone may have them by chance.

    Args:
        parts: the areas.
        box: around them.
        lines: of text in them.
        em: size of the page's text, px.
    """
    cells = [rows_by_height([line for line in lines if middle_within(line.box, part)]) for part in parts]
    whole = [(part[1], part[3]) == (box[1], box[3]) for part in parts]
    counts = [len(rows) for rows in cells]
    most = max((n for n, high in zip(counts, whole, strict=True) if high), default=0)
    if most < PANEL_ROWS and 2 * sum(n for n in counts if n > PANEL_ROWS) <= sum(counts):
        return False
    level = [
        any(abs(row.middle - one.middle) < ROW_EM * em for other in cells if other is not own for one in other)
        for own in cells for row in own
    ]  # fmt: skip
    return (len(parts) == 2 and all(whole)) or not level or float(np.mean(level)) < LEVEL_ROWS
