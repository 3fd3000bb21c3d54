"""Evidence of structure in a page image without drawn objects: pictures, dark grounds, and ruling lines.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from PIL import Image, ImageFilter

from ...io.box import Box, edges
from ..evidence import Evidence
from .ruling_lines import BAND_PIXELS, TALL_EM, find_rules, is_met

SOFT = [1, 6, 1, 6, 36, 6, 1, 6, 1]  # weights of a pixel and its neighbours
SPECKS = 1e-4  # share of a page's pixels that may be darker than its ink
PAPER, EVEN_PAPER, PAPER_SHARE = 180, 15, 0.7  # grey levels of light paper, and about it; pixels of that colour
LEAST_INK = 30  # grey levels between paper and an ink that is darkened
LEAST_GAIN, MOST_GAIN = 1.15, 3.0  # of contrast
INK = 40  # grey levels between ink and paper
FIGURE_SHARE = 0.01  # least area of a figure, as a share of the page
FIGURE_EM = 4.0  # shortest side of a figure
READ = 0.25  # share of a figure that lines cover; more is text
FLAT = 0.5  # share of one colour from which an area of ink is a coloured box
DARK, DIM = 100, 130  # grey levels of a dark ground, and of a bar
SMALL = 3  # least pixels of the page per pixel of the image in which dark grounds are sought
SIDE = 400  # px, its longer side at most, for large pages: type is large there, too
HOLE, BAR = 2, 2  # px there: half of a stroke on a dark ground, and of the narrowest ground
LIGHT = 8  # px there: least light in a ground, which is its type
FRAME = 0.93  # least dark share of each side of a ground
LONG, LEAST = 10, 7  # length of a bar, as the head of a table, in its heights; px there: least side of other grounds
PART = 0.25  # of the page, from which a dark area of any form is a ground
PANEL = 10  # px there: half of the narrowest light panel on a ground; narrower is type
DENSE = 0.65  # share of dark pixels from which an area is a ground, not heavy type

FILL_SHARE = 1e-3  # share of pixels of one grey level
FILL_STEP, FILL_PEAK = 3, 4  # levels beside it; how many times as frequent as these it is
GROUND = 247  # grey level of an inverted ground: no paper, but light as it
FILL_LEVELS, FILL_GRID_EM, FILL_EM = 5, 0.25, 4.0  # most of them; cells in which they are sought; least width


def soften(image: Image.Image) -> Image.Image:
    """Return a grey page of two levels, as of a fax, with softer edges, which models know; other pages as they are.

    Of the errors on pages in nine fonts of 14 to 17 px, drawn in two levels, a quarter goes.
    """
    return image.filter(ImageFilter.Kernel((3, 3), SOFT)) if len(image.getcolors(2) or ()) == 2 else image


def darken(image: Image.Image) -> Image.Image:
    """Return a grey page whose darkest ink is light, on light paper, with that ink black; other pages as they are.

    On six pages at grey levels of 97 to 168, in 13 to 18 px, half of them in light faces, 49 of 81 errors stay.
    """
    counts = np.cumsum(image.histogram())
    ink, paper = (int((counts > share * counts[-1]).argmax()) for share in (SPECKS, 0.5))
    even = counts[min(255, paper + EVEN_PAPER)] - counts[max(0, paper - EVEN_PAPER)]
    if paper < PAPER or paper - ink < LEAST_INK or even < PAPER_SHARE * counts[-1]:
        return image
    gain = min(MOST_GAIN, paper / (paper - ink))
    return image.point([round(paper - (paper - v) * gain) for v in range(256)]) if gain > LEAST_GAIN else image


def lighten(image: Image.Image) -> Image.Image:
    """Return a grey page with light type on dark grounds inverted, for models that know dark type on paper.

    A ground is a dark area with a dark frame and lighter type in it. Strokes of large letters have no such frame, or
    nothing in them. Light panels on a dark page stay as they are. Where there is no ground, the image is returned.
    """
    small = max(SMALL, round(max(image.size) / SIDE))
    if min(image.size) < small * (HOLE + BAR):
        return image
    shown = np.asarray(image.reduce(small))
    ground = _find_grounds(shown < DARK) | _find_grounds(shown < DIM, bars=True)
    if not ground.any():
        return image
    inside, around = ~grow(~ground, 1), grow(ground, 1)
    pixels = np.asarray(image)
    inner, near = (_enlarge(mask, small, pixels.shape) for mask in (inside, around))
    inverted = np.where(inner, 255 - pixels, np.where(near, np.maximum(pixels, 255 - pixels), pixels))
    for box in find_components(inside):
        _whiten(inverted, inner, tuple(side * small for side in box))
    return Image.fromarray(inverted)


def _whiten(pixels: np.ndarray, inner: np.ndarray, box: tuple[int, ...]) -> None:
    """Make an inverted ground nearly white, in place; a grey one would be taken for a picture."""
    x0, y0, x1, y1 = box
    part, mask = pixels[y0:y1, x0:x1], inner[y0:y1, x0:x1]
    if mask.any():
        ground = max(1.0, float(np.median(part[mask])))
        part[mask] = np.minimum(255, np.rint(part[mask] * (GROUND / ground)))


def _find_grounds(dark: np.ndarray, *, bars: bool = False) -> np.ndarray:
    """Return (H, W), the grounds among dark pixels. bars: long low ones alone."""
    ground = np.zeros_like(dark)
    if not dark.any():
        return ground
    filled = ~grow(~grow(dark, HOLE), HOLE)  # over the type
    wide = grow(~grow(~filled, BAR), BAR)
    if not wide.any():
        return ground
    found = wide & grow(wide & (box_mean(dark, BAR) > DENSE), BAR)
    panels = grow(~grow(found, PANEL), PANEL)
    for x0, y0, x1, y1 in find_components(found):
        if (not bars or x1 - x0 > LONG * (y1 - y0)) and _is_ground(found, dark, (x0, y0, x1, y1)):
            ground[y0:y1, x0:x1] |= found[y0:y1, x0:x1] | ~panels[y0:y1, x0:x1]
    return ground


def _is_ground(found: np.ndarray, dark: np.ndarray, box: tuple[int, int, int, int]) -> bool:
    """Return whether a dark area has type in it and a dark frame, or is a large part of the page."""
    x0, y0, x1, y1 = box
    area, inked = found[y0:y1, x0:x1], dark[y0:y1, x0:x1]
    if (~inked).sum() < LIGHT:
        return False
    if x1 - x0 > LONG * (y1 - y0):  # a bar: type may stand close to its ends
        return min(float(side.mean()) for side in (inked[:3].max(0), inked[-3:].max(0))) > FRAME
    sides = [inked[1:3].max(0), inked[-3:-1].max(0), inked[:, 1:3].max(1), inked[:, -3:-1].max(1)]
    framed = min(area.shape) >= LEAST and min(float(side.mean()) for side in sides) > FRAME
    return framed or float(area.sum()) > PART * found.size


def count_greys(pixels: np.ndarray) -> np.ndarray:
    """Return (256,), how many pixels of a grey image have each level."""
    step = max(1, BAND_PIXELS // max(1, pixels.shape[1]))  # counting makes each pixel a number of 8 bytes
    bands = [np.bincount(pixels[y : y + step].ravel(), minlength=256) for y in range(0, len(pixels), step)]
    return np.sum(bands, axis=0)


def find_components(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return the boxes (x0, y0, x1, y1) of the areas that are connected by sides or corners."""
    width = mask.shape[1] + 1  # of a row with a white column, which ends its last run
    ends = edges(np.pad(mask, ((0, 0), (0, 1))).ravel())
    starts, ends = ends[::2], ends[1::2]
    first, last = np.searchsorted(ends, starts + width, "left"), np.searchsorted(starts, ends + width, "right")
    touched = np.maximum(last - first, 0)  # runs of the next row
    upper = np.repeat(np.arange(len(starts)), touched)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(touched) - touched - first, touched)
    owner = _connect(len(starts), upper, lower)
    left, right, bottom = starts % width, ends % width, starts // width + 1
    top, found = bottom - 1, owner == np.arange(len(starts))  # the first run of an area is its uppermost one
    for side, smallest in ((left, True), (right, False), (bottom, False)):
        (np.minimum if smallest else np.maximum).at(side, owner, side.copy())
    return list(zip(*(side[found].tolist() for side in (left, top, right, bottom)), strict=True))


def _connect(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return (count,), the first member of the group of each of `count` things, given the pairs that touch."""
    owner = np.arange(count)
    while len(one):
        a, b = owner[one], owner[other]
        np.minimum.at(owner, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(further := owner[owner], owner):
            owner = further
        apart = owner[one] != owner[other]
        one, other = one[apart], other[apart]
    return owner


def grow(mask: np.ndarray, by: int) -> np.ndarray:
    """Return a mask grown by some pixels to all sides, or the largest value so near; beyond the image there is none."""
    height, width = mask.shape
    grown, side = np.zeros((height + 2 * by, width + 2 * by), mask.dtype), 2 * by + 1
    grown[by : by + height, by : by + width] = mask
    for rows in (grown, grown.T):
        reach = 1  # rows[k] holds what was in one of rows[k : k + reach]
        while reach < side:
            step = min(reach, side - reach)
            np.maximum(rows[:-step], rows[step:], out=rows[:-step])
            reach += step
    return grown[:height, :width]


def box_mean(values: np.ndarray, by: int) -> np.ndarray:
    """Return the mean over a square of side 2 * by + 1 around each pixel."""
    mean = values.astype(np.float64)
    for axis in (0, 1):
        width = [(by + 1, by) if k == axis else (0, 0) for k in (0, 1)]
        total, step = np.pad(mean, width, mode="edge"), 2 * by + 1
        rows = total if axis == 0 else total.T
        rows[0] = 0
        rows.cumsum(0, out=rows)
        rows = (rows[step:] - rows[:-step]) / step
        mean = rows if axis == 0 else rows.T
    return mean


def _enlarge(mask: np.ndarray, by: int, shape: tuple[int, ...]) -> np.ndarray:
    large = mask.repeat(by, 0).repeat(by, 1)
    short = [(0, max(0, shape[axis] - large.shape[axis])) for axis in (0, 1)]
    enlarged: np.ndarray = np.pad(large, short, mode="edge")[: shape[0], : shape[1]]
    return enlarged


def find_drawn_objects(pixels: np.ndarray, lines: Sequence[Box], texts: Sequence[Box], em: float) -> Evidence:
    """Return ruling lines and large areas of ink that were not read as text.

    Args:
        pixels: (H, W) uint8, the page image.
        lines: boxes of the lines that are text.
        texts: boxes of all lines; what was read of a drawing is among them.
        em: size of the page's text, px.
    """
    level, upright = find_rules(pixels, em)
    crossing = [any(is_met(rule, other) for other in level) for rule in upright]
    rules = [*level, *(rule for rule, crosses in zip(upright, crossing, strict=True) if crosses)]
    pictures = find_pictures(pixels, lines, texts, rules, em)
    alone = [rule for rule, crosses in zip(upright, crossing, strict=True) if not crosses]
    columns = [rule for rule in alone if rule[3] - rule[1] > TALL_EM * em]
    areas = [(_meet(box, upright, em), colour) for box, colour in find_fills(pixels, em)]
    return Evidence(rules=rules, areas=areas, pictures=pictures, column_rules=columns)


def _meet(fill: Box, upright: Sequence[Box], em: float) -> Box:
    """Return an even rectangle down to upright rules that begin close below it: its blurred edge is between them."""
    x0, y0, x1, y1 = fill
    tops = [top for left, top, right, _ in upright if x0 - em < (left + right) / 2 < x1 + em and 0 <= top - y1 < em / 2]
    return (x0, y0, x1, min(tops)) if len(tops) > 1 else fill


def find_fills(pixels: np.ndarray, em: float) -> list[tuple[Box, int]]:
    """Return the even rectangles of an image that type may stand on, and their colours, as of the head of a table.

    The noise of a scan leaves none.

    Args:
        pixels: (H, W) uint8, the page image.
        em: size of the page's text, px.
    """
    counts = count_greys(pixels)
    around = np.pad(counts, FILL_STEP)
    peaks = (counts > FILL_SHARE * pixels.size) & (
        counts > FILL_PEAK * np.maximum(around[: -2 * FILL_STEP], around[2 * FILL_STEP :])
    )
    levels = sorted(np.flatnonzero(peaks).tolist(), key=lambda level: -int(counts[level]))
    grid = max(3, round(FILL_GRID_EM * em))
    high, wide = (side // grid for side in pixels.shape)
    found: list[tuple[Box, int]] = []
    for k, level in enumerate(levels[: FILL_LEVELS + 1]):
        if k == 0 or any(abs(level - other) <= 1 for other in levels[:k]) or not high or not wide:
            continue  # the paper; the edge of a fill that was found
        even = pixels - np.uint8(max(0, level - 1)) <= 2  # below, it wraps
        cells = even[: high * grid, : wide * grid].reshape(high, grid, wide, grid).mean((1, 3)) > DENSE
        for x0, y0, x1, y1 in find_components(cells):
            box = _trim(even, ((x0 - 1) * grid, (y0 - 1) * grid, (x1 + 1) * grid, (y1 + 1) * grid))
            same = box and any(max(abs(a - b) for a, b in zip(box, one, strict=True)) <= 2 * grid for one, _ in found)
            if same or not box:  # the blurred edge of another one
                continue
            if min(box[2] - box[0], 4 * (box[3] - box[1])) > FILL_EM * em and _is_even(even, box, grid):
                found.append((cast(Box, tuple(map(float, box))), level * 0x010101))
    return found


def _trim(even: np.ndarray, box: tuple[int, int, int, int]) -> tuple[int, int, int, int] | None:
    """Return the box without rows and columns at its sides of which less than half is even; None for nothing."""
    x0, y0, x1, y1 = (max(0, side) for side in box)
    rows = np.flatnonzero(even[y0:y1, x0:x1].mean(1) > 0.5)
    columns = np.flatnonzero(even[y0:y1, x0:x1].mean(0) > 0.5)
    if not len(rows) or not len(columns):
        return None
    return x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1


def _is_even(even: np.ndarray, box: tuple[int, int, int, int], corner: int) -> bool:
    """Return whether the sides of a box, without its corners, are of one colour."""
    x0, y0, x1, y1 = (side + by for side, by in zip(box, (1, 1, -2, -2), strict=True))
    across, down = slice(x0 + corner, x1 - corner), slice(y0 + corner, y1 - corner)
    sides = even[y0, across], even[y1, across], even[down, x0], even[down, x1]
    return all(len(side) > 0 and side.mean() > FRAME for side in sides)


def _is_within(inner: Box, outer: Box) -> bool:
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] < x < outer[2] and outer[1] < y < outer[3]


def find_pictures(
    pixels: np.ndarray, lines: Sequence[Box], texts: Sequence[Box], rules: Sequence[Box], em: float
) -> list[Box]:
    """Return the boxes of large connected areas of ink but rules that contain little text, from top to bottom.

    An area of one colour with text in it is a coloured box, and no picture.
    """
    grid = max(4, round(0.75 * em))
    high, wide = (side // grid for side in pixels.shape)
    if not high or not wide:
        return []
    text_HW = np.zeros((high, wide), bool)
    for x0, y0, x1, y1 in ([max(0.0, v) / grid for v in box] for box in lines):
        text_HW[int(max(0.0, y0 - 0.3)) : int(np.ceil(y1 + 0.3)), int(x0) : int(np.ceil(x1))] = True
    ink_HW, busy_HW = _find_ink(pixels, rules, grid)
    found = []
    for x0, y0, x1, y1 in _patches(ink_HW & ~text_HW):
        share, read = (x1 - x0) * (y1 - y0) / (high * wide), text_HW[y0:y1, x0:x1].mean()
        if share <= FIGURE_SHARE or min(x1 - x0, y1 - y0) * grid <= FIGURE_EM * em or read >= READ:
            continue
        box = (float(x0 * grid), float(y0 * grid), float(x1 * grid), float(y1 * grid))
        inked = ink_HW[y0:y1, x0:x1]
        flat = (inked & ~busy_HW[y0:y1, x0:x1]).sum() > FLAT * inked.sum()
        if not (flat and any(_is_within(line, box) for line in texts)):
            found.append(box)
    return sorted(found, key=lambda box: (box[1], box[0]))


def _find_ink(pixels: np.ndarray, rules: Sequence[Box], grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which cells of `grid` px have ink besides rules, and which have more than one colour."""
    high, wide = (side // grid for side in pixels.shape)
    counts = count_greys(pixels).cumsum()
    paper = float(np.searchsorted(counts, ((pixels.size + 1) // 2, pixels.size // 2 + 1)).mean())  # the median
    step = max(1, BAND_PIXELS // (wide * grid * grid))
    ink_HW, busy_HW = np.zeros((high, wide), bool), np.zeros((high, wide), bool)
    for first in range(0, high, step):
        last, top = min(high, first + step), first * grid
        page = pixels[top : last * grid, : wide * grid].astype(np.int16)
        ink = (page > paper + INK) | (page < paper - INK)
        for x0, y0, x1, y1 in rules:
            if y1 + 2 > top and y0 - 2 < last * grid:
                ink[max(0, int(y0 - 2) - top) : int(y1 + 2) - top, max(0, int(x0 - 2)) : int(x1 + 2)] = False
        cells = page.reshape(last - first, grid, wide, grid)
        ink_HW[first:last] = ink.reshape(cells.shape).mean((1, 3)) > 0.02
        busy_HW[first:last] = cells.max((1, 3)) - cells.min((1, 3)) > INK
    return ink_HW, busy_HW


def _patches(mask_HW: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Yield the boxes (x0, y0, x1, y1) of connected cells; a gap of one cell does not separate."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask_HW)}
    near = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        waiting, cells = [start], [start]
        while waiting:
            y, x = waiting.pop()
            for dy, dx in near:
                cell = (y + dy, x + dx)
                if cell in left:
                    left.discard(cell)
                    waiting.append(cell)
                    cells.append(cell)
        ys, xs = zip(*cells, strict=True)
        yield min(xs), min(ys), max(xs) + 1, max(ys) + 1
