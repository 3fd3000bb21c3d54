"""Ruling lines of a page image: thin level and upright lines, darker or lighter than what lies on both of their sides.

Rules of scans are found in pieces, since noise and compression break thin and light ones. Each piece is followed to
both sides as long as most pixels are about as dark as its own. Paper between two rules is never crossed: it parts
tables that stand side by side or one below the other. Tables with stripes have rows without a ground between these.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from ...io.box import Box, touch, union, widen_box
from ..lines import TextLine
from .cells import BLANK_EM, Stretch, cut_stretch, is_numeric, row_cells, rows_by_height

CONTRAST = 30  # grey levels between a rule and the paper on both of its sides
FAINT, EVEN = 10, 4  # the same of a light grey rule, whose pixels differ by so little along it
THICK_EM, BESIDE = 0.3, 2  # thickest rule; px of paper beside a thin upright one, next to which type may stand
LEVEL_EM, UPRIGHT_EM = 2.4, 1.4  # shortest level and upright rules
TALL_EM = 12.0  # length from which an upright rule is no stroke of a letter
BAND_PIXELS = 1_000_000  # of a page that are compared at once
EDGE_PX = 2  # blurred edge of a rule
GAP_PX = 3  # breaks in a rule
SOLID = 0.75, 0.95  # share of a rule without its breaks; of a light one on a ground. Rows of small type have less
STEP_EM = 1.0  # of the way along a rule
UNDERLINE_EM = 0.15, 1.2, 0.6  # thickest underline, the shortest one, and its breaks at the tails of letters
UNDERLINED = 0.75, 0.4  # share of an underline without breaks; of its length with type above
EVEN_SHARE = (3.0, 0.75), (0.0, 0.85)  # em, and share of even pixels of an underline from this length on
THICK_SHARE = 0.85  # of the pixels above an underline's thickness that are dark, in thicker strokes
EVEN_INK, TYPE_EM = 30, 0.7  # grey levels by which its pixels differ; height above it in which type stands
ALIKE, MARKED = (0.25, 2.0), 0.75  # contrast of its pixels, as a share of the piece's; share of pixels that have it
NEAR = 3.0  # px, between rules that are one, or stripes that touch
HIGHER = 1.6  # height of a row without a ground, in that of the highest
MIN_HEAD, NAMED, EDGE_EM = (
    3,
    0.7,
    0.5,
)  # columns below a head without a ground; least share of them with a name, at an edge


def find_rules(pixels: np.ndarray, em: float) -> tuple[list[Box], list[Box]]:
    """Return the level and the upright rules of a grey page (H, W). em: size of its text, px."""
    level = list(_rules(pixels, em, LEVEL_EM))
    return level, [(x0, y0, x1, y1) for y0, x0, y1, x1 in _rules(pixels.T, em, UPRIGHT_EM, BESIDE)]


@dataclass
class _Piece:
    """A level rule, or a part of one.

    Args:
        left, top, right, bottom: its box; right and bottom are its last column and row.
        ends: rows of its left and right ends.
    """

    left: int
    top: int
    right: int
    bottom: int
    ends: tuple[int, int]

    def meets(self, other: _Piece) -> bool:
        """Return whether two pieces touch but for the breaks of a rule."""
        level = other.top - self.bottom <= 2 and self.top - other.bottom <= 2
        return level and other.left <= self.right + GAP_PX + 1 and other.right >= self.left - GAP_PX - 1

    def join(self, other: _Piece) -> None:
        """Take up another piece."""
        left, right = min((self, other), key=lambda one: one.left), max((self, other), key=lambda one: one.right)
        self.ends = left.ends[0], right.ends[1]
        self.left, self.right = left.left, right.right
        self.top, self.bottom = min(self.top, other.top), max(self.bottom, other.bottom)


def _rules(pixels: np.ndarray, em: float, shortest_em: float, beside: int = 0) -> Iterator[Box]:
    """Yield level rules: thin, and darker or lighter than what lies above and below. beside: as for `_ridges`."""
    thick = max(2, round(THICK_EM * em))
    found = (
        _Piece(start, y, end, y, (y, y)) for y, start, end in _ridges(pixels, thick, int(shortest_em * em), beside)
    )
    pieces = _joined(found)
    for piece in pieces:
        _follow(pixels, piece, thick, max(6, round(STEP_EM * em)))
    for one in _joined(sorted(pieces, key=lambda piece: piece.top)):
        if one.bottom - one.top <= max(thick, 0.01 * (one.right - one.left)):
            yield float(one.left), float(one.top), float(one.right), float(one.bottom + 1)


def _joined(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Return pieces, which come from top to bottom, joined with those that they meet."""
    done: list[_Piece] = []
    near: list[_Piece] = []  # that a further piece may meet
    for new in pieces:
        done += [one for one in near if one.bottom < new.top - 2]
        near = [one for one in near if one.bottom >= new.top - 2]
        for one in [one for one in near if one.meets(new)]:
            near = [other for other in near if other is not one]
            new.join(one)
        near.append(new)
    return sorted(done + near, key=lambda one: (one.top, one.left))


def _follow(pixels: np.ndarray, piece: _Piece, thick: int, step: int) -> None:
    """Move the ends of a piece outwards, in place, as long as most pixels have about its contrast."""
    ends, rows = [piece.left, piece.right + 1], list(piece.ends)
    inside = (ends[0], min(ends[1], ends[0] + 2 * step)), (max(ends[0], ends[1] - 2 * step), ends[1])
    for side, outwards in enumerate((-1, 1)):
        own = max((_contrast(pixels, row, *inside[side], thick) for row in _around(rows[side])), key=_strength)
        light, contrast = np.median(own) < 0, _strength(own)
        while contrast >= FAINT / 2:
            reach = ends[side], min(max(ends[side] + outwards * step, 0), pixels.shape[1])
            found = {row: _contrast(pixels, row, min(reach), max(reach), thick) for row in _around(rows[side])}
            marks = {row: _alike(-values if light else values, contrast)[::outwards] for row, values in found.items()}
            row = max(marks, key=lambda row: marks[row].sum())
            share = marks[row].cumsum() / np.arange(1, len(marks[row]) + 1)
            good = np.flatnonzero(marks[row] & (share >= MARKED))
            length = int(good[-1]) + 1 if len(good) else 0
            ends[side] += outwards * length
            if length < step - GAP_PX:
                break
            rows[side] = row
    piece.left, piece.right, piece.ends = ends[0], ends[1] - 1, (rows[0], rows[1])
    piece.top, piece.bottom = min(piece.top, *rows), max(piece.bottom, *rows)


def _around(row: int) -> tuple[int, int, int]:
    return row, row - 1, row + 1


def _strength(contrast: np.ndarray) -> float:
    return abs(float(np.median(contrast))) if len(contrast) else 0.0


def _alike(contrast: np.ndarray, own: float) -> np.ndarray:
    """Return which pixels have about the contrast of a piece; type beside a light rule has more."""
    return (contrast > ALIKE[0] * own) & (contrast < ALIKE[1] * own + FAINT)


def _contrast(pixels: np.ndarray, row: int, start: int, end: int, thick: int) -> np.ndarray:
    """Return how much darker than above and below the pixels of a row are; less than 0 where lighter than both."""
    if not thick <= row < len(pixels) - thick:
        return np.zeros(0)
    above, here, below = (pixels[row + k, start:end].astype(np.int16) for k in (-thick, 0, thick))
    darker, lighter = np.minimum(above, below) - here, here - np.maximum(above, below)
    return np.where(darker >= lighter, darker, -lighter)


def _ridges(pixels: np.ndarray, thick: int, least: int, beside: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield runs (row, first and last column) that are darker, or lighter, than what lies above and below.

    They have at least `least` px, of which most are marked. The page is taken in bands, which bounds the memory.
    beside: px from a thin run to paper, where type may stand closer than `thick`; 0 where it may not.
    """
    step = max(thick, BAND_PIXELS // max(1, pixels.shape[1]))
    for start in range(thick, len(pixels) - thick, step):
        end = min(start + step, len(pixels) - thick)
        band = np.ascontiguousarray(pixels[start - thick : end + thick])
        above, row, below = band[: -2 * thick], band[thick:-thick], band[2 * thick :]
        low, high = np.minimum(above, below), np.maximum(above, below)
        darker, lighter = low - np.minimum(low, row), np.maximum(high, row) - high  # uint8: nothing is negative
        if beside:
            near = np.minimum(band[thick - beside : -thick - beside], band[thick + beside : len(band) - thick + beside])
            darker = np.maximum(darker, near - np.minimum(near, row))
        faint = darker > FAINT
        faint[:, 1:] &= np.maximum(row[:, 1:], row[:, :-1]) - np.minimum(row[:, 1:], row[:, :-1]) <= EVEN
        faint[:, 0] &= row[:, 0] == 0
        dark = darker > CONTRAST
        for y, first, last, count in zip(*_runs(faint, 1), strict=True):  # light type has gaps at its letters
            if count >= least:
                dark[y, first : last + 1] = True
        found: list[tuple[int, int, int]] = []
        for marked, solid in zip((dark, lighter > CONTRAST), SOLID, strict=True):
            ys, firsts, lasts, counts = _runs(marked, GAP_PX)
            long = (lasts - firsts >= least) & (counts > solid * (lasts - firsts)) & (marked.sum(1)[ys] >= least)
            found += zip(ys[long].tolist(), firsts[long].tolist(), lasts[long].tolist(), strict=True)
        for y, first, last in sorted(found, key=lambda run: run[0]):
            yield start + y, first, last


def _runs(marked_HW: np.ndarray, gap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the row, the first and the last column and the count of marked pixels of runs, from top left.

    Marked pixels of a row that are at most `gap` columns apart are one run.
    """
    width = marked_HW.shape[1] + gap  # with a margin that ends the last run of a row
    at = np.flatnonzero(np.pad(marked_HW, ((0, 0), (0, gap))))
    cuts = np.flatnonzero(np.diff(at, prepend=-gap - 1, append=marked_HW.size * (gap + 2)) > gap)
    first, last = at[cuts[:-1]], at[cuts[1:] - 1]
    return first // width, first % width, last % width, np.diff(cuts)


def find_underlines(page: np.ndarray, em: float) -> list[Box]:
    """Return the underlines of a grey page, dark on light ground: even level strokes right below type.

    Args:
        page: (H, W) uint8.
        em: size of the page's text, px.
    """
    thick, (_, shortest, breaks) = max(2, round(UNDERLINE_EM[0] * em)), UNDERLINE_EM
    darker = np.maximum(page[thick:], page[:-thick]) - page[:-thick]  # uint8: nothing is negative
    rows, firsts, lasts, counts = _runs(darker > CONTRAST, max(1, round(breaks * em)))
    solid = (lasts - firsts >= shortest * em) & (counts > UNDERLINED[0] * (lasts - firsts))
    pieces = [
        _Piece(first, row, last, row, (row, row))
        for row, first, last in zip(rows[solid].tolist(), firsts[solid].tolist(), lasts[solid].tolist(), strict=True)
        if _is_underline(page, row, slice(first, last + 1), thick, em)
    ]
    return [(float(one.left), float(one.top), one.right + 1.0, one.bottom + 1.0) for one in _joined(pieces)]


def _is_underline(page: np.ndarray, row: int, along: slice, thick: int, em: float) -> bool:
    """Return whether a run of dark pixels is even, no thicker than `thick`, and type stands above it."""
    stroke, above = page[row, along].astype(np.int16), page[max(0, row - round(TYPE_EM * em)) : max(0, row - 1), along]
    least = next(share for length, share in EVEN_SHARE if len(stroke) >= length * em)
    if not above.size or float((np.abs(stroke - np.median(stroke)) <= EVEN_INK).mean()) < least:
        return False
    paper = np.median(page[min(len(page) - 1, row + thick + 1), along])
    beyond = page[max(0, row - thick - 1), along] < paper - CONTRAST  # dark in the bars of large letters
    return float(beyond.mean()) <= THICK_SHARE and float((above.min(0) < paper - CONTRAST).mean()) > UNDERLINED[1]


def is_met(upright: Box, level: Box) -> bool:
    """Return whether two rules meet or cross."""
    x, reach = (upright[0] + upright[2]) / 2, 6
    return level[0] - reach < x < level[2] + reach and upright[1] - reach < level[3] and level[1] - reach < upright[3]


# -- stripes -----------------------------------------------------------------------------------------------------------


def fill_between_stripes(areas: Mapping[Box, int], lines: Sequence[TextLine], rules: Sequence[Box]) -> list[Box]:
    """Return cells like those of the stripes, in the rows between two of them, and in one row above and below.

    There is none above a head, nor below a foot, in another colour than most stripes.

    Args:
        areas: filled rectangles, whole stripes or their cells, and their colours.
        lines: of the page.
        rules: of the page; an end with upright ones is another table.
    """
    found: list[Box] = []
    upright = [(y0, y1) for x0, y0, x1, y1 in rules if y1 - y0 > x1 - x0]
    for stripes in _groups(_stripes(list(areas))):
        gaps = [(above, (above[0][3], below[0][1])) for above, below in pairwise(stripes)]
        gaps = [(stripe, gap) for stripe, gap in gaps if gap[1] - gap[0] > NEAR]
        high = max(stripe[0][3] - stripe[0][1] for stripe in stripes)
        if not all(_is_row(lines, union(stripe), gap, high) for stripe, gap in gaps):
            continue
        first, last = stripes[0], stripes[-1]
        colours = Counter(areas[stripe[0]] for stripe in reversed(stripes))  # a head is more usual than a foot
        if gaps:
            step = max(bottom - top for _, (top, bottom) in gaps)
            ends = [(first, (first[0][1] - step, first[0][1])), (last, (last[0][3], last[0][3] + step))]
            ends = [(stripe, end) for stripe, end in ends if _is_row(lines, union(stripe), end, high)
                    and not any(y0 < end[1] - NEAR and y1 > end[0] + NEAR for y0, y1 in upright)
                    and not _meets_another(areas, union(stripe), end)]  # fmt: skip
            gaps += [(stripe, end) for stripe, end in ends if areas[stripe[0]] == colours.most_common(1)[0][0]]
        if colours[areas[first[0]]] > 1:  # no head
            rows = [(first[0][1], first[0][3]), *(gap for stripe, gap in gaps if stripe is first)]
            gaps += [(first, head) for head in _head_above(lines, first, min(rows))]
        found += [(x0, top, x1, bottom) for stripe, (top, bottom) in gaps for x0, _, x1, _ in stripe]
    return found


def _stripes(areas: Sequence[Box]) -> Iterator[list[Box]]:
    """Yield filled rectangles of one height that touch, from left to right."""
    order = sorted(areas, key=lambda box: (round(box[1] / NEAR), round(box[3] / NEAR), box[0]))
    for _, level in groupby(order, key=lambda box: (round(box[1] / NEAR), round(box[3] / NEAR))):
        stripe: list[Box] = []
        for box in level:
            if stripe and box[0] - stripe[-1][2] > NEAR:
                yield stripe
                stripe = []
            stripe.append(box)
        yield stripe


def _groups(stripes: Iterator[list[Box]]) -> Iterator[list[list[Box]]]:
    """Yield two and more stripes with the same edges of their cells, from top to bottom."""

    def edges(stripe: list[Box]) -> list[int]:
        return [round(x / NEAR) for x0, _, x1, _ in stripe for x in (x0, x1)]

    for _, alike in groupby(sorted(stripes, key=lambda stripe: (edges(stripe), stripe[0][1])), key=edges):
        group = list(alike)
        if len(group) > 1:
            yield group


def _meets_another(areas: Iterable[Box], stripe: Box, end: tuple[float, float]) -> bool:
    """Return whether the row at an end of stripes reaches into an area that they do not lie in: another table."""
    row = widen_box((stripe[0], end[0], stripe[2], end[1]), -NEAR, -NEAR)
    return any(touch(box, row) and not touch(box, widen_box(stripe, -NEAR, -NEAR)) for box in areas)


def _is_row(lines: Sequence[TextLine], stripe: Box, gap: tuple[float, float], high: float) -> bool:
    """Return whether a row of several cells stands between two heights, within the ends of a stripe."""
    top, bottom = gap
    if bottom - top > HIGHER * high:
        return False
    return any(len(row.stretches) > 1 for row in rows_by_height(_level_with(lines, stripe[0], stripe[2], top, bottom)))


def _head_above(
    lines: Sequence[TextLine], stripe: Sequence[Box], row: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return the heights of a head without a ground above the first row: one name over each of most of its columns."""
    left, right = stripe[0][0], stripe[-1][2]
    names = _level_with(lines, left, right, row[0] - HIGHER * (row[1] - row[0]), row[0])
    head, below = rows_by_height(names), rows_by_height(_level_with(lines, left, right, *row))
    if len(head) != 1 or len(below) != 1:
        return []
    columns = below[0].stretches
    strips = [(a.x1, b.x0) for a, b in pairwise(columns)]
    places = row_cells(head[0], strips, BLANK_EM)
    over = [first for first, last, text in places if first == last and not is_numeric(text)]
    few = len(columns) < MIN_HEAD or len(over) < max(MIN_HEAD, NAMED * len(columns), len(places))
    parts = [part for one in head[0].stretches for part in cut_stretch(one, strips, BLANK_EM)]
    level = sum(any(_are_level(part, one) for one in columns) for part in parts)  # text that runs over them is not
    return [] if few or level < NAMED * len(parts) else [(head[0].box[1] - NEAR, row[0])]


def _are_level(one: Stretch, other: Stretch) -> bool:
    """Return whether two stretches share an edge or their middle."""
    off = abs(one.x0 - other.x0), abs(one.x1 - other.x1), abs(one.x0 + one.x1 - other.x0 - other.x1) / 2
    return min(off) < EDGE_EM * one.line.em_px


def _level_with(lines: Sequence[TextLine], left: float, right: float, top: float, bottom: float) -> list[TextLine]:
    """Return the lines whose middles lie between two heights, and that lie between the ends of a stripe."""
    level = [line for line in lines if top < (line.box[1] + line.box[3]) / 2 < bottom]
    return [line for line in level if left - NEAR < line.box[0] and line.box[2] < right + NEAR]


def distinct(places: np.ndarray, em: float) -> list[float]:
    """Return places without those that are nearly the same."""
    kept: list[float] = []
    for one in sorted(places.tolist()):
        if not kept or one - kept[-1] > max(NEAR, 0.4 * em):
            kept.append(one)
    return kept
