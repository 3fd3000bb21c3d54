"""Which way up a page lies: quarter turns and skew, found before it is read, and boxes brought back afterwards.

Skew is where the edges of the ink, summed along parallels, stand in the sharpest steps (projection profiles, after
Postl, "Detection of linear oblique structures and skew scan in digitized documents", 1986); seen from both sides of the
page, so that lines that run up or down it count alike. Quarter turns show in nothing as surely as in reading: the page
stays as it is when a reader is sure of a window of it, and only otherwise the other turns are tried. Nothing is turned
unless the reader is surer of it afterwards, and an upright page is never resampled.

Frame: pixels of the page image; angles in degrees, clockwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from .elements import Block, Box, Line, Page

MAX_SKEW = 12.0
MIN_SKEW = 1.5  # the reading head follows about two degrees by itself
STEP = 0.25
SIDE = 800  # px of the longer side on which skew is sought
EDGE = 0.25  # of the page's contrast: a step this high between neighbours is an edge of ink
POINTS = 20_000  # edges looked at
SHARP = 8.0  # lines of text measure 15 to 300, points strewn at random 2
SHARPER = 1.15  # times as sharp as unturned, or there is no skew
SURE = 0.9  # mean confidence of a window that lies upright: 0.95 and more, upside down up to 0.85, sideways 0.65
SURER = 0.03


class Orientation(NamedTuple):
    """How a page lies: rotation (0, 90, 180, 270) and skew beyond that, both clockwise in degrees."""

    rotation: int = 0
    skew: float = 0.0


def find_orientation(image: Image.Image, confidence: Callable[[Image.Image], float]) -> Orientation:
    """How a grey page lies. confidence: the reader's, 0 to 1, in what it reads of an image."""
    skew = find_skew(image)
    first = confidence(straighten(image, Orientation(0, skew)))
    if first >= SURE:
        return Orientation(0, skew)
    tried = {Orientation(rotation, skew): 0.0 for rotation in (90, 180, 270)} | ({Orientation(): 0.0} if skew else {})
    for turn in tried:
        tried[turn] = confidence(straighten(image, turn))
    best = max(tried, key=lambda turn: tried[turn])
    return best if tried[best] > first + SURER else Orientation(0, skew)


def find_skew(image: Image.Image) -> float:
    """Degrees by which lines run off the nearer axis, to STEP; 0.0 below MIN_SKEW, or where nothing stands in lines."""
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


def _sharpness(x: np.ndarray, y: np.ndarray, angle: float) -> float:
    """How unevenly points fall on parallels at this angle; 0 when there are none."""
    if not len(x):
        return 0.0
    slope = math.tan(math.radians(angle))
    at = np.rint(y - x * slope).astype(np.int64)
    counts = np.bincount(at - at.min())
    return float((np.diff(counts).astype(np.float64) ** 2).sum()) / len(x)


def straighten(image: Image.Image, turn: Orientation) -> Image.Image:
    """The page put upright; what skew uncovers at the corners takes the colour of the paper."""
    if turn.rotation:
        image = image.transpose(getattr(Image.Transpose, f"ROTATE_{turn.rotation}"))
    if turn.skew:
        paper = int(np.median(np.asarray(image)))
        image = image.rotate(turn.skew, Image.Resampling.BICUBIC, expand=True, fillcolor=paper)
    return image


def restore_orientation(page: Page, turn: Orientation, size: tuple[int, int]) -> None:
    """Bring a page's boxes from the upright image to the image as it lay, of `size`; a box there is around the box."""
    angle, (wide, high) = turn.rotation + turn.skew, (page.width, page.height)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def back(box: Box) -> Box:
        x, y = (box[0] + box[2] - wide) / 2, (box[1] + box[3] - high) / 2
        w, h = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
        x, y = x * cos - y * sin + size[0] / 2, x * sin + y * cos + size[1] / 2
        w, h = w * abs(cos) + h * abs(sin), w * abs(sin) + h * abs(cos)
        return max(0.0, x - w), max(0.0, y - h), min(float(size[0]), x + w), min(float(size[1]), y + h)

    for block in page.blocks:
        parts: list[Block | Line] = [block, *block.lines]
        for part in parts:
            part.box = back(part.box)
        for line in block.lines:
            line.characters = [back(box) for box in line.characters]
        block.angle = angle
    page.width, page.height = size
    page.rotation, page.skew = turn
