"""Find the gutters between columns of running text, and cut lines that run on across one.

Frame: pixels of the page image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ...io.box import Box
from ..elements import LEADER
from ..lines import TextLine, has_pitch, is_mono
from .bullets import Gutter, is_repeated, item_weights, list_gutters, listing_gutters, short_column_gutters
from .cells import is_amount
from .side_by_side import are_flush_labels, are_keys, are_labels, flush_blocks, margin_gutters

STRIP_EM = 0.55  # least width of a word gap that may belong to a gutter
STRIP_ROWS = 5
BLANK_EM = 1.0  # the same in typewriter type, whose blanks are wide and often stand one below the other
LEAST_EM, ITEMS_EM = 2.5, 1.8  # least height of a gutter: three lines; between two items and two
PARTED_EM = 0.5  # white at which a line that runs on across a gutter is cut
STACK_EM, STACK_STEP, STACK_LINES = 0.3, 3.5, 3  # indent and step (heights) in a stack of short lines; its least length
NARROW_EM = 1.6  # a number or a mark, and no text
TYPED = 0.5  # share of typewriter lines next to a strip, from which it must be a listing's
FILLED = 0.8  # usual length of the lines of a column of text, in that of its longest; lines of listings vary more
CHANCE_EM, CHANCE_HIGH_EM = 0.5, 10  # white above and below blanks that are level by chance; their height
HEADING = 1.15  # type of a heading, as a multiple of the usual one
TITLE = 1.35  # type of a title, as a multiple of the usual one
BESIDE = 0.8  # white beside a title that stands apart, as a share of the white around it
LEVEL_WHITE_EM = 3.0  # level white that parts what stands side by side above it from what does below
SHIFTED_EM, SHIFTED_WHITE_EM = 3.0, 1.2  # of a block on one side alone, to its column; white above it
MIN_LINES = 3  # on both sides of a gutter together
PROSE = 0.5  # share of such lines in a column of running text
WIDE_EM = 10  # a piece at least this wide is running text; narrower ones are cells, numbers, labels


def split_columns(
    lines: list[TextLine], taken: Sequence[Box] = (), *, stacks: bool = True, rules: Sequence[Box] = ()
) -> tuple[list[TextLine], list[Gutter]]:
    """Return the lines, cut where they run on across the gutter of two columns, and the gutters.

    Args:
        lines: of a page.
        taken: boxes of tables and figures. They lie in a column, or end it, as its lines do.
        stacks: whether short lines that begin at one edge make a column; they may also be cells.
        rules: ruling lines; a level one across a gutter parts it.
    """
    if not lines:
        return [], []
    em = usual_em(lines)
    notes = margin_gutters(lines, em) + listing_gutters(lines, em) + short_column_gutters(lines, em)
    lines = _split_at_strips(_split_at_gutters(lines, notes))
    filled = [part for box in taken for part in _bands(box, em)]
    gutters = _gutters(lines, filled, stacks)
    lines = _split_at_gutters(lines, gutters)
    boxes = np.array([*(line.box for line in lines), *filled])
    solid = is_running_text(boxes, em)
    gutters = [_grow(gutter, boxes, solid, em) for gutter in gutters]  # over the lines that were cut, too
    sizes = np.array([line.em_px for line in lines] + [em] * len(filled))
    parts = [part for gutter in gutters for part in _level_parts(gutter, boxes, sizes, em, _across(gutter, rules, em))]
    parts = [*notes, *parts, *list_gutters(lines, em)]
    return lines, [part for k, part in enumerate(parts) if not is_repeated(part, parts[:k], boxes, em)]


def _across(gutter: Gutter, rules: Sequence[Box], em: float) -> list[float]:
    """Return the heights of the level rules that cross a gutter."""
    x, top, bottom = gutter
    reach = WIDE_EM * em
    return [y1 for x0, y0, x1, y1 in rules if x0 < x - reach and x1 > x + reach and y1 - y0 < em and top < y0 < bottom]


def _level_parts(
    gutter: Gutter, boxes: np.ndarray, sizes: np.ndarray, em: float, ruled: Sequence[float]
) -> Iterator[Gutter]:
    """Yield the parts of a gutter above and below level white or a rule, and above and below a title next to nothing.

    A heading that comes last, on one side, is in no part: it heads what follows. Running text on one side alone goes on
    with its column, the longer one.

    Args:
        gutter: between two columns.
        boxes: (N, 4), of lines, and of bands of tables and figures.
        sizes: (N,), of their type, px.
        em: size of the page's text, px.
        ruled: heights of rules that cross the gutter.
    """
    x, top, bottom = gutter
    middle = boxes[:, [1, 3]].mean(1)
    inside = np.flatnonzero((top <= middle) & (middle <= bottom))
    inside = inside[np.argsort(boxes[inside, 1], kind="stable")]
    usual = float(np.median(sizes[inside])) if len(inside) else em
    groups: list[list[int]] = [[]]
    low, after_title = -np.inf, False
    on_left, wide = boxes[:, [0, 2]].mean(1) < x, boxes[:, 2] - boxes[:, 0] > WIDE_EM * em
    for n, k in enumerate(inside.tolist()):
        above, rest = inside[:n], inside[n:]
        own = above[on_left[above] == on_left[k]]
        one_side = len(set(on_left[rest])) == 1 and len(own) > 0
        goes_on = one_side and min(wide[own].mean(), wide[rest].mean()) > PROSE
        level = (boxes[inside, 1] < boxes[k, 3]) & (boxes[inside, 3] > boxes[k, 1])
        alone = level.sum() == 1
        title = alone and sizes[k] > TITLE * usual and sizes[k] == sizes[inside].max()
        title = title and _stands_apart(n, boxes[inside], on_left[inside])
        last = alone and k == inside[-1] and sizes[k] >= HEADING * usual
        shifted = one_side and np.abs(boxes[own, 0] - boxes[k, 0]).min() > SHIFTED_EM * em  # an addressee's block
        white = boxes[k, 1] - low > (SHIFTED_WHITE_EM if shifted else LEVEL_WHITE_EM) * em
        cut = any(low < y + 1 and y < boxes[k, 1] + 1 for y in ruled)
        if cut or ((after_title or title or last or white) and not goes_on):
            groups.append([])
        groups[-1].append(k)
        low, after_title = max(low, boxes[k, 3]), title
    for group in groups:
        if len(group) >= MIN_LINES and len(set(on_left[group])) == 2:
            yield x, float(boxes[group, 1].min()), float(boxes[group, 3].max())


def _stands_apart(k: int, boxes: np.ndarray, on_left: np.ndarray) -> bool:
    """Return whether the white beside a title, in the other column, is as high as that around it, not of paragraphs."""
    whites = []
    for side in (on_left == on_left[k], on_left != on_left[k]):
        others = boxes[side & (np.arange(len(boxes)) != k)]
        above, below = others[others[:, 1] <= boxes[k, 1], 3], others[others[:, 1] > boxes[k, 1], 1]
        whites.append(np.min(below, initial=np.inf) - np.max(above, initial=-np.inf))
    return bool(whites[1] > BESIDE * whites[0])


def _bands(box: Box, em: float) -> list[Box]:
    """Return a region as bands of the height of lines."""
    x0, y0, x1, y1 = box
    count = max(1, round((y1 - y0) / (1.2 * em)))
    step = (y1 - y0) / count
    return [(x0, y0 + k * step, x1, y0 + (k + 1) * step) for k in range(count)]


def _split_at_strips(lines: list[TextLine]) -> list[TextLine]:
    """Split lines at vertical white strips that run through the word gaps of many rows.

    A narrow gutter is no wider than a large word gap, so that lines of two columns are found as one. But word gaps of
    single rows are not above one another: a strip through STRIP_ROWS rows in a row is a gutter.
    """
    em = usual_em(lines)
    gaps = [_word_gaps(line, (BLANK_EM if is_mono(line) else STRIP_EM) * em) for line in lines]
    middles = sorted((a + b) / 2 for found in gaps for a, b, _ in found)
    boxes = [line.box for line in lines]
    order = sorted(range(len(lines)), key=lambda k: boxes[k][1])
    cuts: list[set[int]] = [set() for _ in lines]
    last = -np.inf
    for x in middles:
        if x - last < 0.2 * em:
            continue
        last = x
        run: list[tuple[int, int]] = []
        for k in [*order, -1]:
            if k >= 0 and not boxes[k][0] < x < boxes[k][2]:
                continue
            at = next((at for a, b, at in gaps[k] if a < x < b), None) if k >= 0 else None
            near = k >= 0 and (not run or boxes[k][1] - boxes[run[-1][0]][1] < 6 * em)
            if at is not None and near:
                run.append((k, at))
                continue
            if len(run) >= STRIP_ROWS and _are_columns([lines[j] for j, _ in run], x, em):
                for j, cut in run:
                    cuts[j].add(cut)
            run = [(k, at)] if at is not None else []
    parts: list[TextLine] = []
    for line, places in zip(lines, cuts, strict=True):
        edges = [0, *sorted(places), len(line.text)]
        for begin, end in pairwise(edges):
            text = line.text[begin:end]
            begin, end = begin + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
            if end > begin:
                parts.append(line if end - begin == len(line.text) else line.part(slice(begin, end)))
    return parts


def _word_gaps(line: TextLine, least: float) -> list[tuple[float, float, int]]:
    """Return begin, end and index of the next character of the gaps between words that are `least` wide.

    The dots of leaders are one word: they stand below one another.
    """
    inked = [k for k, ch in enumerate(line.text) if ch != " "]
    dots = {k for found in LEADER.finditer(line.text) for k in range(*found.span())}
    return [
        (float(line.boxes[a, 2]), float(line.boxes[b, 0]), b)
        for a, b in pairwise(inked)
        if line.boxes[b, 0] - line.boxes[a, 2] >= least and not (a in dots and b in dots)
    ]


def _are_columns(lines: list[TextLine], x: float, em: float) -> bool:
    """Return whether lines have running text on both sides of x, not the cells of a table."""
    left = np.median([x - line.box[0] for line in lines])
    right = np.median([line.box[2] - x for line in lines])
    return bool(min(left, right) > WIDE_EM * em)


def usual_em(lines: Sequence[TextLine]) -> float:
    """Return the size of most lines, px."""
    return float(np.median([line.em_px for line in lines]))


def _gutters(lines: list[TextLine], filled: Sequence[Box], stacks: bool) -> list[Gutter]:
    """Return the white strips between columns of running text, tables and figures: (x, top, bottom) each."""
    boxes = np.array([*(line.box for line in lines), *filled])
    em = usual_em(lines)
    weight, bullets = item_weights(lines, len(filled))
    solid = is_running_text(boxes, em, bullets) | np.append(flush_blocks(lines, em), np.zeros(len(filled), bool))
    long = boxes[:, 2] - boxes[:, 0] > WIDE_EM * em
    wide = (solid if stacks else long).copy()
    wide[: len(lines)] &= [not is_amount(line.text) for line in lines]  # amounts next to their items
    if bullets[wide].sum() < 6:
        return []
    found = []
    rest = [False] * len(filled)
    typed, mono = (np.array([*map(judge, lines), *rest]) for judge in (has_pitch, is_mono))
    white = _blanks(lines, em)
    for x in np.arange(boxes[wide, 0].min() + 4 * em, boxes[wide, 2].max() - 4 * em, 0.25 * em):
        sides = wide & (boxes[:, 2] < x + 0.3 * em), wide & (boxes[:, 0] > x - 0.3 * em)
        if min(weight[side].sum() for side in sides) < 3:
            continue
        cross = _crossing(boxes, x, em, white)
        parted = wide & ~cross & ~sides[0] & ~sides[1]  # lines of two columns that were followed as one
        wholes = parted & (x - boxes[:, 0] > WIDE_EM * em), parted & (boxes[:, 2] - x > WIDE_EM * em)
        for top, bottom in _free(boxes[cross], LEAST_EM * em):
            inside = (boxes[:, 1] > top) & (boxes[:, 3] < bottom)
            left, right = (
                side | whole if (inside & whole).sum() >= 3 else side for side, whole in zip(sides, wholes, strict=True)
            )
            few = min(weight[inside & side].sum() for side in (left, right)) < 3
            if few or not all((inside & side).any() for side in sides):
                continue
            top = max(boxes[inside & left, 1].min(), boxes[inside & right, 1].min())
            bottom = min(boxes[inside & left, 3].max(), boxes[inside & right, 3].max())
            inside = (boxes[:, 1] > top - 0.5 * em) & (boxes[:, 3] < bottom + 0.5 * em)
            least = (ITEMS_EM if bullets[inside & (left | right)].min(initial=2) > 1 else LEAST_EM) * em
            if bottom - top < least or min(weight[inside & side].sum() for side in (left, right)) < 3:
                continue
            both = inside & (left | right)
            columns = [boxes[inside & side] for side in (left, right)]
            if (typed & ~long)[both].mean() > TYPED or _are_of_listing(typed[both], mono[both], columns, em):
                continue
            labels = boxes[inside & sides[0]]
            if are_labels(labels, columns[1], em, are_keys(typed[inside & sides[0]], typed[inside & right])):
                continue
            before, after = inside & (boxes[:, 2] < x + 0.3 * em), inside & (boxes[:, 0] > x - 0.3 * em)
            if are_flush_labels(boxes[before], boxes[after], em):
                continue
            found.append((int((inside & (left | right)).sum()), float(x), float(top), float(bottom)))
    strips = [_between(gutter, boxes, solid, em) for gutter in _separate(sorted(found, reverse=True), 6 * em)]
    strips = [_grow(gutter, boxes, solid, em, white) for gutter in strips]
    return [gutter for gutter in strips if not _is_chance(gutter, boxes, em, white)]


def _blanks(lines: Sequence[TextLine], em: float) -> np.ndarray:
    """Return (M, 3), line, begin and end of the gaps between words at which lines may be cut."""
    gaps = [(line, (BLANK_EM if is_mono(line) else PARTED_EM) * max(em, line.em_px)) for line in lines]
    return np.array([(k, a, b) for k, (line, least) in enumerate(gaps) for a, b, _ in _word_gaps(line, least)])


def _is_chance(gutter: Gutter, boxes: np.ndarray, em: float, white: np.ndarray) -> bool:
    """Return whether lines of the same paragraph close above and below run over a low strip: blanks that are level."""
    x, top, bottom = gutter
    low, high = boxes[_crossing(boxes, x, em, white)][:, [1, 3]].T
    middles = (low + high) / 2
    above, below = top - high[middles < top + 0.5 * em], low[middles > bottom - 0.5 * em] - bottom
    near = min(above, default=np.inf) < CHANCE_EM * em and min(below, default=np.inf) < CHANCE_EM * em
    return bool(bottom - top < CHANCE_HIGH_EM * em and near)


def _are_of_listing(typed: np.ndarray, mono: np.ndarray, columns: Sequence[np.ndarray], em: float) -> bool:
    """Return whether lines (N, 4) side by side are those of a listing: not as long as running text, or not alike.

    typed, mono: which of all lines are in fixed-width type, by their pitch and by the fonts of a layer.
    """
    widths = [column[:, 2] - column[:, 0] for column in columns]
    if mono.mean() > TYPED and not all((wide > WIDE_EM * em).any() for wide in widths):
        return True
    return bool(typed.mean() > TYPED and not all(np.median(wide) > FILLED * wide.max() for wide in widths))


def _crossing(boxes: np.ndarray, x: float, em: float, white: np.ndarray) -> np.ndarray:
    """Return (N,), which lines cross a place. white: (M, 3), line, begin and end of gaps at which lines may be cut."""
    cross: np.ndarray = (boxes[:, 0] < x - 0.3 * em) & (boxes[:, 2] > x + 0.3 * em)
    if len(white):
        cross[white[(white[:, 1] < x) & (x < white[:, 2]), 0].astype(int)] = False
    return cross


def _free(crossing: np.ndarray, least: float) -> Iterator[tuple[float, float]]:
    """Yield the heights between lines that cross a place, where they leave at least so much."""
    last = -np.inf
    for top, bottom in sorted(crossing[:, [1, 3]].tolist()):
        if top - last > least:
            yield last, top
        last = max(last, bottom)
    yield last, np.inf


def is_running_text(boxes: np.ndarray, em: float, weight: np.ndarray | None = None) -> np.ndarray:
    """Return (N,) whether a line is running text: wide, or one of a stack that begins at one edge.

    weight: (N,), for how many lines a line of a stack counts.
    """
    x0, y0, x1, y1 = boxes.T
    order = np.lexsort((y0, np.round(x0 / (0.4 * em))))
    near = (np.abs(np.diff(x0[order])) < STACK_EM * em) & (np.diff(y0[order]) < STACK_STEP * (y1 - y0)[order][1:])
    stacked = np.zeros(len(boxes), bool)
    cuts = np.flatnonzero(~near) + 1
    for part in np.split(order, cuts):
        stacked[part] = (len(part) if weight is None else weight[part].sum()) >= STACK_LINES
    narrow = x1 - x0 < NARROW_EM * em
    solid: np.ndarray = (x1 - x0 > WIDE_EM * em) | (stacked & ~narrow)
    return solid


def column_edges(gutter: Gutter, boxes: np.ndarray, solid: np.ndarray, em: float) -> tuple[float, float]:
    """Return where the left column ends and the right one begins: the edges of most of their wide lines."""
    x, top, bottom = gutter
    beside = (boxes[:, 3] > top) & (boxes[:, 1] < bottom) & solid
    left, right = boxes[beside & (boxes[:, 2] < x + 0.3 * em), 2], boxes[beside & (boxes[:, 0] > x - 0.3 * em), 0]
    return float(np.quantile(left, 0.8)) if len(left) else x, float(np.quantile(right, 0.2)) if len(right) else x


def _between(gutter: Gutter, boxes: np.ndarray, solid: np.ndarray, em: float) -> Gutter:
    """Return a gutter moved out of its columns; a line that ends late may have pushed it into one of them."""
    x, top, bottom = gutter
    left, right = column_edges(gutter, boxes, solid, em)
    edges = left + 0.3 * em, right - 0.3 * em
    return (float(np.clip(x, *edges)) if edges[0] <= edges[1] else x), top, bottom


def _grow(
    gutter: Gutter, boxes: np.ndarray, solid: np.ndarray, em: float, white: Sequence[np.ndarray] | np.ndarray = ()
) -> Gutter:
    """Extend a gutter up and down until a line crosses it.

    Upwards it extends over near lines only, because a running head has a gap below it, and over wide lines of two
    columns that were followed as one. Downwards it also extends over white to the next wide line, because a section
    may begin lower in one column. white: as for `_crossing`.
    """
    x, top, bottom = gutter
    crosses = _crossing(boxes, x, em, np.asarray(white))
    parted = ~crosses & (np.minimum(x - boxes[:, 0], boxes[:, 2] - x) > WIDE_EM * em)
    up = np.where(parted, 4.0, 1.8) * em
    down = np.where(solid, 7.0, 1.8) * em
    for _ in range(len(boxes)):
        above = (boxes[:, 1] < top - 1) & (boxes[:, 3] > top - up)
        if (above & crosses).any():  # not what comes before; running text below it
            low = boxes[above & crosses, 3].max() - 0.5 * em
            above &= (boxes[:, 1] > low) & (boxes[:, 2] - boxes[:, 0] > WIDE_EM * em)
        below = (boxes[:, 3] > bottom + 1) & (boxes[:, 1] < bottom + down)
        below &= boxes[:, 3] < np.min(boxes[below & crosses, 1], initial=np.inf) + 0.5 * em  # not what comes after
        grows_up, grows_down = above.any() and not (above & crosses).any(), below.any() and not (below & crosses).any()
        top = boxes[above, 1].min() if grows_up else top
        bottom = boxes[below, 3].max() if grows_down else bottom
        if not grows_up and not grows_down:
            break
    return x, float(top), float(bottom)


def _separate(found: list[tuple[int, float, float, float]], apart: float) -> list[Gutter]:
    """Return the best strips that are not the same gutter; each in the middle of the places that are as good."""
    kept: list[Gutter] = []
    for score, x, top, bottom in found:
        if all(abs(x - other) > apart or low < top or high > bottom for other, high, low in kept):
            alike = [
                other for s, other, t, b in found if s == score and abs(other - x) <= apart and t < bottom and b > top
            ]
            kept.append((sum(alike) / len(alike), top, bottom))
    return kept


def _split_at_gutters(lines: list[TextLine], gutters: list[Gutter]) -> list[TextLine]:
    """Cut lines that run on across a gutter where they leave white at it: two columns were followed as one line."""
    placed = [(line, line.box) for line in lines]
    for x, top, bottom in gutters:
        parts: list[tuple[TextLine, Box]] = []
        for line, box in placed:
            x0, y0, x1, y1 = box
            if x0 < x < x1 and top - line.em_px < (y0 + y1) / 2 < bottom + line.em_px:
                parts += [(part, part.box) for part in _split_at(line, x)]
            else:
                parts.append((line, box))
        placed = parts
    return [line for line, _ in placed]


def _split_at(line: TextLine, x: float) -> list[TextLine]:
    """Cut a line at x where it leaves white there."""
    cut = int((line.boxes[:, [0, 2]].mean(1) < x).sum())
    left, right = line.text[:cut].rstrip(), line.text[cut:].lstrip()
    begin = len(line.text) - len(right)
    if not left or not right or line.boxes[begin, 0] - line.boxes[len(left) - 1, 2] < PARTED_EM * line.em_px:
        return [line]  # a heading over both columns
    return [line.part(slice(0, len(left))), line.part(slice(begin, None))]
