"""Find how a page is rotated and skewed, straighten its image, and map boxes back to the original image.

Skew: the angle at which the edges of the ink, summed along parallel lines, change most sharply from line to line
(projection profiles; Postl, "Detection of linear oblique structures and skew scan in digitized documents", 1986). Rows
and columns are both tried, so text that runs up or down the page works too.
Rotation: the page keeps its orientation when a reader is confident about a part of it. Otherwise the other three
quarter turns are tried, and one is taken when the reader is clearly more confident. An upright page is never resampled.

Frame: pixels of the page image; angles in degrees, clockwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..io.box import Box, touch, union, widen_box
from .elements import Block, Page

MAX_SKEW = 12.0
REGION = 4.0  # heights of a line between blocks of one region
BESIDE = 2.0  # widths of a name beside a figure, from it to the figure
MIN_SKEW = 0.5  # the reading head follows two degrees by itself, but rules that lean are found only up to this
STEP = 0.25
SIDE = 800  # px, longer side of the image on which skew is measured
EDGE = 0.25  # contrast of an edge, as a share of the contrast of the page
POINTS = 20_000  # largest number of edge pixels used
SHARP = 8.0  # least sharpness of text lines; text measures 15 to 300, random points 2
SHARPER = 1.15  # least gain in sharpness over the unrotated page
CONFIDENT = 0.9  # mean confidence of upright text; upright text has 0.95 or more, upside down 0.85, sideways 0.65
MORE_CONFIDENT = 0.03  # least gain in confidence for another rotation
TILE = 128  # px, side of a square that is tested for sideways text
TILE_EDGE = 40  # grey levels between neighbouring pixels
TILE_POINTS = 150  # edges of half a word, the least that is tested
TILE_SHARP = 2.0  # least sharpness of text in a square; sideways text measures 2.5 to 10, a grid of rules 0.6
AROUND = 2  # squares around sideways text that are marked too
SIDEWAYS = 1.3  # how much sharper lines down the page are than lines across it, where text runs down


class Orientation(NamedTuple):
    """How a page image is turned: rotation (0, 90, 180 or 270) and skew beyond it, both in degrees clockwise."""

    rotation: int = 0
    skew: float = 0.0


def find_orientation(image: Image.Image, confidence: Callable[[Image.Image], float]) -> Orientation:
    """Return how a grey page image is turned.

    Args:
        image: The page.
        confidence: Returns the confidence of a reader, 0 to 1, in the text that it finds in an image.
    """
    skew = find_skew(image)
    first = confidence(straighten(image, Orientation(0, skew)))
    if first >= CONFIDENT:
        return Orientation(0, skew)
    tried = {Orientation(rotation, skew): 0.0 for rotation in (90, 180, 270)} | ({Orientation(): 0.0} if skew else {})
    for orientation in tried:
        tried[orientation] = confidence(straighten(image, orientation))
    best = max(tried, key=lambda orientation: tried[orientation])
    return best if tried[best] > first + MORE_CONFIDENT else Orientation(0, skew)


def find_skew(image: Image.Image) -> float:
    """Return the angle between the text lines and the nearest axis, in steps of STEP degrees.

    The result is 0.0 below MIN_SKEW and for images without text lines.
    """
    small = np.asarray(image.reduce(max(1, math.ceil(max(image.size) / SIDE))), np.float32)
    least = EDGE * float(np.ptp(small))
    angles = np.arange(-MAX_SKEW, MAX_SKEW + STEP / 2, STEP)
    best, found = SHARP, 0.0
    for pixels, sense in ((small, 1.0), (small.T, -1.0)):
        y, x = np.nonzero(np.abs(np.diff(pixels, axis=0)) > least)
        some = slice(None, None, 1 + len(x) // POINTS)
        scores = np.array([_sharpness(x[some], y[some], angle) for angle in angles])
        k = int(scores.argmax())
        straight = scores[np.abs(angles) < STEP].max()
        if scores[k] > best:
            best, found = scores[k], sense * float(angles[k]) if scores[k] > SHARPER * straight else 0.0
    return found if MIN_SKEW <= abs(found) < MAX_SKEW else 0.0


def find_sideways_text(pixels_HW: np.ndarray) -> np.ndarray:
    """Mark the pixels of a grey image in and around squares that look like text that runs up or down the page.

    Each square of TILE px is judged by the edges across its strokes: text makes some rows of pixels much richer in
    vertical strokes than others, sideways text does so with columns and horizontal strokes. Rules make no difference.
    """
    marked = np.zeros([-(-side // TILE) for side in pixels_HW.shape], bool)
    for y, row in enumerate(marked):  # a row of squares at a time, which bounds the memory
        band = pixels_HW[y * TILE : (y + 1) * TILE + 1]
        missing = (TILE + 1 - len(band), marked.shape[1] * TILE + 1 - band.shape[1])
        band = np.pad(band.astype(np.int16), [(0, count) for count in missing], mode="edge")
        upright, _ = _tile_sharpness(np.abs(np.diff(band[:-1], axis=1)) > TILE_EDGE)
        sideways, count = _tile_sharpness((np.abs(np.diff(band[:, :-1], axis=0)) > TILE_EDGE).T)
        row[:] = ((sideways > np.maximum(TILE_SHARP, SIDEWAYS * upright.T)) & (count >= TILE_POINTS))[:, 0]
    grown = np.zeros_like(marked)
    for y, x in np.argwhere(marked):  # short cells of a table have too few edges themselves
        grown[max(0, y - AROUND) : y + AROUND + 1, max(0, x - AROUND) : x + AROUND + 1] = True
    return np.repeat(np.repeat(grown, TILE, 0), TILE, 1)[: pixels_HW.shape[0], : pixels_HW.shape[1]]


def _tile_sharpness(edges_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each square of TILE px, how unevenly its edges fall on its rows, and their number."""
    high, wide = (side // TILE for side in edges_HW.shape)
    counts = edges_HW.reshape(high, TILE, wide, TILE).sum(3)
    count = counts.sum(1)
    return (np.diff(counts, axis=1) ** 2).sum(1) / np.maximum(count, 1), count


def _sharpness(x: np.ndarray, y: np.ndarray, angle: float) -> float:
    """Return how unevenly points fall on parallel lines at an angle; 0 without points."""
    if not len(x):
        return 0.0
    slope = math.tan(math.radians(angle))
    at = np.rint(y - x * slope).astype(np.int64)
    counts = np.bincount(at - at.min())
    return float((np.diff(counts).astype(np.float64) ** 2).sum()) / len(x)


def straighten(image: Image.Image, orientation: Orientation) -> Image.Image:
    """Return the page image upright. Corners that appear get the colour of the paper."""
    if orientation.rotation:
        image = image.transpose(getattr(Image.Transpose, f"ROTATE_{orientation.rotation}"))
    if orientation.skew:
        paper = int(np.median(np.asarray(image)))
        image = image.rotate(orientation.skew, Image.Resampling.BICUBIC, expand=True, fillcolor=paper)
    return image


def straighten_size(size: tuple[int, int], orientation: Orientation) -> tuple[int, int]:
    """Return width and height of the straightened image of a page image of `size`."""
    width, height = size[::-1] if orientation.rotation % 180 else size
    cos, sin = (abs(part(math.radians(orientation.skew))) for part in (math.cos, math.sin))
    return math.ceil(width * cos + height * sin), math.ceil(width * sin + height * cos)


def straighten_box(box: Box, orientation: Orientation, size: tuple[int, int]) -> Box:
    """Return a box of a page image of `size` in the straightened image: the smallest upright box around it."""
    x0, y0, x1, y1 = box
    points = straighten_points(np.array([(x0, y0), (x0, y1), (x1, y0), (x1, y1)]), orientation, size)
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return left, top, right, bottom


def straighten_points(xy: np.ndarray, orientation: Orientation, size: tuple[int, int]) -> np.ndarray:
    """Return points (..., 2) of a page image of `size` in the straightened image."""
    angle, (wide, high) = math.radians(orientation.rotation + orientation.skew), straighten_size(size, orientation)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = xy[..., 0] - size[0] / 2, xy[..., 1] - size[1] / 2
    return np.stack([x * cos + y * sin + wide / 2, -x * sin + y * cos + high / 2], -1)


def restore_orientation(page: Page, orientation: Orientation, size: tuple[int, int]) -> None:
    """Map the boxes of a page from its straightened image to the original image of `size`.

    A rotated box is replaced by the smallest upright box around it.
    """
    angle, (width, height) = orientation.rotation + orientation.skew, (page.width, page.height)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def rotate(box: Box) -> Box:
        x, y = (box[0] + box[2] - width) / 2, (box[1] + box[3] - height) / 2
        w, h = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
        x, y = x * cos - y * sin + size[0] / 2, x * sin + y * cos + size[1] / 2
        w, h = w * abs(cos) + h * abs(sin), w * abs(sin) + h * abs(cos)
        return max(0.0, x - w), max(0.0, y - h), min(float(size[0]), x + w), min(float(size[1]), y + h)

    page.map_boxes(rotate)
    for block in page.blocks:
        block.angle += angle
    page.width, page.height = size
    page.rotation, page.skew = orientation


def add_direction(page: Page, part: Page) -> None:
    """Add the blocks of one direction to those of a page; the first direction is the page's own."""
    if page.blocks:
        insert_turned(page.blocks, part.blocks)
    else:
        page.rotation, page.skew, page.blocks = part.rotation, part.skew, part.blocks


def insert_turned(blocks: list[Block], turned: list[Block]) -> None:
    """Insert blocks of another direction into those of a page, after the last block that lies above their middle.

    Turned blocks next to each other are one region, in the order in which they come. What stands at the side of a
    figure and is no longer than it is its label, such as the name of an axis.
    """
    regions: list[list[Block]] = []
    for block in turned:
        near = REGION * max(
            (min(x1 - x0, y1 - y0) for x0, y0, x1, y1 in (line.box for line in block.lines)), default=0.0
        )
        before = regions[-1] if regions and regions[-1][0].angle == block.angle else []
        if before and touch(widen_box(union(other.box for other in before), near, near), block.box):
            before.append(block)
        else:
            regions.append([block])
    for region in regions:
        box = union(block.box for block in region)
        figure = next((block for block in blocks if block.kind == "figure" and _is_at_side(box, block.box)), None)
        if figure is not None:
            figure.lines += [line for block in region for line in block.lines]
            figure.box = union([figure.box, box])
            continue
        _, top, _, bottom = box
        above = [k for k, other in enumerate(blocks) if other.box[1] + other.box[3] < top + bottom]
        at = above[-1] + 1 if above else 0
        blocks[at:at] = region


def _is_at_side(box: Box, figure: Box) -> bool:
    """Return whether a box beside a figure, or in it, is low and near enough to be the name of its axis."""
    near = BESIDE * min(box[2] - box[0], box[3] - box[1])
    wide = widen_box(figure, near, near)
    return touch(wide, box) and wide[1] < box[1] and box[3] < wide[3] and 2 * (box[2] - box[0]) < figure[2] - figure[0]
