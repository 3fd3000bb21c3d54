"""Filled areas of a page image: rectangles of one colour that stand out from what is around them.

They are what the filled rectangles of a PDF are: the grounds of sidebars and cards, the stripes of a table. An area has
straight level and upright sides, whose corners may be round. Its colour is even within, and another one beyond each
side. So paper under a shadow, a photograph and a drawing have none, and a frame around paper is none.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from ...document.layout.bitmap import count_greys, find_components, grow
from ...io.box import Box, area, cover_alike, shared_area

SIDE = 650  # px, about, of the longer side of the image in which areas are sought; pages are half as large at least
LEVELS, SHARE = 12, 0.004  # most colours of a page; least share of its pixels in one
EVEN, APART = 2, 2  # grey levels of a colour about its middle; least to what is beyond an area's side, in those
SPREAD, NOISY = 2.5, 6  # the same of a scan, in its usual step from pixel to pixel; with more it has no areas
LEAST = 6, 20  # px there, least height and width
ROUND, CORNER = 12, 0.35  # px there, and share of a side: most of a corner that may be round
BORDER = 3  # px there: width of a line around an area, or of its blurred edge
STRAIGHT, STANDS_OUT = 0.9, 0.8  # share of a side in the colour of the area; of what is beyond it in another one
PAPER = 0.5  # of a page, from which an area that reaches the edge of the page is its paper
SAME = 0.9  # share of the larger one of two areas that both cover, if they are the same one
RIM = 2  # px of an area's blurred edge
FAINT = 12  # grey levels of the faintest type from its ground
PALE, TYPE = 210, 40  # grey level from which type on an area is read as it is; least difference of type from its ground


def find_filled_areas(image: Image.Image) -> list[tuple[Box, int]]:
    """Return the filled rectangles of a grey page and their colours, 0xRRGGBB, from the largest to the smallest."""
    by = max(1, round(max(image.size) / SIDE))
    small, pixels = np.asarray(image.reduce(by)), np.asarray(image)
    if min(small.shape) < max(LEAST):
        return []
    found: dict[Box, int] = {}
    even = _evenness(small)
    for k, level in enumerate(_levels(small, even) if even <= NOISY else ()):
        apart = np.abs(small.astype(np.int16) - level)
        for box in _rectangles(apart <= even, apart >= APART * even, is_paper=k == 0):
            whole = _refined(pixels, level, even * by, box, by)
            if not any(cover_alike(whole, one, SAME) for one in found):
                found[whole] = level * 0x10101  # a colour between two levels is found at both
    return sorted(found.items(), key=lambda one: -area(one[0]))


def whiten_areas(image: Image.Image, areas: list[tuple[Box, int]], shown: Image.Image) -> Image.Image:
    """Return a grey page whose filled areas are white and whose type on them is dark, whatever it was.

    Pale ones stay, and those without type.

    Args:
        image: the page.
        areas: as from `find_filled_areas`.
        shown: the page, or what stands for it outside of the areas.
    """
    grounds = [one for one in areas if one[1] & 255 < PALE]
    if not grounds:
        return shown
    pixels, whitened = np.asarray(image), np.array(shown)
    for box, colour in areas:
        x0, y0, x1, y1 = map(int, box)
        rows, columns = slice(max(0, y0 - 2 * RIM), y1 + 2 * RIM), slice(max(0, x0 - 2 * RIM), x1 + 2 * RIM)
        part, whole = pixels[rows, columns], whitened[rows, columns]
        inside = np.zeros(part.shape, bool)
        inside[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start] = True
        if colour & 255 < PALE:
            apart = np.abs(part.astype(np.int16) - (colour & 255))
            inside = _between_ends(inside & (apart <= EVEN))
            most = int(apart[inside].max(initial=0))
            if most < FAINT:  # a bar of a chart, or a black one: nothing is printed on it
                continue
            gain = 255 / max(TYPE, most)
            within = grow(inside, RIM)
            around = grow(np.where(within, np.uint8(0), whole), 2 * RIM)
            whole[within] = np.where(around, around, np.uint8(255))[within]
            whole[inside] = 255 - np.rint(apart[inside] * gain).astype(np.uint8)
        elif any(shared_area(box, ground) == area(box) for ground, _ in grounds):
            whole[inside] = part[inside]
    return Image.fromarray(whitened)


def _between_ends(ground: np.ndarray) -> np.ndarray:
    """Return (H, W), the pixels between the first and the last one of a ground in each row: without round corners."""
    between: np.ndarray = np.maximum.accumulate(ground, 1) & np.maximum.accumulate(ground[:, ::-1], 1)[:, ::-1]
    return between


def _evenness(pixels: np.ndarray) -> int:
    """Return by how many grey levels the pixels of one colour differ from it, by the differences of neighbours."""
    steps = np.abs(np.diff(pixels.astype(np.int16), axis=1))
    return max(EVEN, round(SPREAD * float(np.median(steps))))


def _levels(pixels: np.ndarray, even: int) -> Iterator[int]:
    """Yield the grey levels of the colours of a page, the most frequent one first."""
    counts = count_greys(pixels)
    for _ in range(LEVELS):
        level = int(counts.argmax())
        near = slice(max(0, level - even), level + even + 1)
        if counts[near].sum() < SHARE * pixels.size:
            return
        yield level
        counts[near] = 0


def _rectangles(inside: np.ndarray, outside: np.ndarray, *, is_paper: bool) -> list[tuple[int, int, int, int]]:
    """Return the rectangles of one colour that stand out from their surroundings.

    Beyond a thin line, as between cells, the colour may be the same, but not around all of them; of paper it may not.

    inside, outside: (H, W), which pixels of the page have the colour, and which clearly another one.
    """
    sides = [(box, _sides(inside, outside, box)) for box in find_components(inside)]
    found = [(box, ends) for box, ends in sides if ends and (all(ends) or not (is_paper or None in ends))]
    return [box for box, _ in found] if any(any(ends) for _, ends in found) else []


def _sides(inside: np.ndarray, outside: np.ndarray, box: tuple[int, int, int, int]) -> list[bool | None]:
    """Return for each side of a rectangle whether another colour is beyond it; False where that is but a line.

    None: there is the same colour, without a line. The list is empty if the colour is no rectangle or the page's paper.
    """
    x0, y0, x1, y1 = box
    high, wide = y1 - y0, x1 - x0
    if high < LEAST[0] or wide < LEAST[1]:
        return []
    at_edge = min(x0, y0, inside.shape[1] - x1, inside.shape[0] - y1) == 0
    if at_edge and high * wide > PAPER * inside.size:
        return []
    found: list[bool | None] = []
    for own, other, (first, last), along in (
        (inside, outside, (y0, y1), _without_corners(x0, x1)), (inside.T, outside.T, (x0, x1), _without_corners(y0, y1))
    ):  # fmt: skip
        if min(own[row, along].mean() for row in (first + 1, last - 2)) < STRAIGHT:
            return []
        for end, step in ((first - 1, -1), (last, 1)):
            rows = range(end + step * (BORDER - 1), end - step, -step)  # from the outermost one
            if min(rows) >= 0 and max(rows) < len(other):
                marks = [float(other[row, along].mean()) > STANDS_OUT for row in rows]
                found.append(marks[0] or (False if any(marks) else None))
    return found


def _without_corners(start: int, end: int) -> slice:
    off = min(ROUND, int(CORNER * (end - start)))
    return slice(start + off, end - off)


def _refined(pixels: np.ndarray, level: int, even: int, box: tuple[int, int, int, int], by: int) -> Box:
    """Return the box of an area in the pixels of the page, from a reduced image; sides are where its colour ends."""
    x0, y0, x1, y1 = box
    ends = []
    for whole, along, across in ((pixels.T, (y0, y1), (x0, x1)), (pixels, (x0, x1), (y0, y1))):
        middle = _without_corners(*(by * place for place in along))
        for place, step in ((across[0] * by, 1), (across[1] * by - 1, -1)):
            rows = [row for row in range(place - step * by, place + step * 2 * by, step) if 0 <= row < len(whole)]
            within = [(np.abs(whole[row, middle].astype(np.int16) - level) <= even).mean() > 0.5 for row in rows]
            first = rows[within.index(True)] if any(within) else place
            ends.append(float(first + (step < 0)))
    left, right, top, bottom = ends
    return left, top, right, bottom
