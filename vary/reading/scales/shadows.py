"""Light a photographed or scanned page evenly where a shadow with a hard edge lies on it. Soft shadows stay.

The paper's brightness at each place is the page without what is narrower than a window (a grey closing; Serra, 1982);
the page is divided by it. Drawn pages have even grounds and stay as they are, and so do pictures within a page.

Frame: pixels of the page image, reduced.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ...document.layout.bitmap import box_mean, find_components, grow

SIDE = 600  # px, longer side of the image in which the paper is sought, about
WINDOW = 80  # its longer side over half of the window; letters have narrower strokes
DRAWN = 0.5  # share of pixels in line with their neighbours from which a page is drawn
ROWS = 7  # of so many rows one is looked at
SHADE, DARK = 0.88, 0.38  # brightness of paper in shadow at most, and at least, of that in the light
LEAST = 0.03  # share of the page that lies in shadow at least
REACH, STEP = 2, 0.2  # px; difference of brightness within so far at the edge of a shadow
EDGE = 0.04  # share of a side of the page that a shadow touches at least
PAPER, EVEN = 0.94, 0.5  # brightness of a pixel of paper, of the paper there; least share of such pixels


def even_light(image: Image.Image) -> Image.Image:
    """Return a grey page without its shadows; a page with soft ones alone, or drawn by a program, as it is.

    Of eight facts on a photographed receipt with such a shadow, one was read without this, and six with it.
    """
    if _is_drawn(np.asarray(image)):
        return image
    small = image.reduce(max(1, round(max(image.size) / SIDE)))
    shown = np.asarray(small)
    by = max(2, max(shown.shape) // WINDOW)
    paper = ~grow(~grow(shown, by), by)
    light = float(np.percentile(paper, 95))
    even = box_mean(shown > PAPER * paper, by) > EVEN  # wood and cloth are not
    even = ~grow(~grow(even, by), by)  # but heavy type on paper is
    even = grow(~grow(~even, 2 * by), 2 * by)
    shade = (paper < SHADE * light) & (paper > DARK * light) & even
    if shade.mean() < LEAST:
        return image
    ground = (paper <= DARK * light) | ~even
    step = (
        grow(paper, REACH).astype(np.int16) + grow(~paper, REACH) - 255
    )  # between the largest and the least value near
    if ((step > STEP * light) & ~grow(ground, 3 * REACH)).sum() < EDGE * max(shade.shape):
        return image
    shadow = _find_shadows(shade, ground)
    if not shadow.any():
        return image
    lit = shadow | (paper >= SHADE * light)  # all of it, or a soft shadow would end in a step
    gain = np.where(lit, np.maximum(1.0, light / np.maximum(paper, 1)), 1.0).astype(np.float32)
    wide = np.asarray(Image.fromarray(gain).resize(image.size, Image.Resampling.BILINEAR))
    return Image.fromarray(np.minimum(255, np.asarray(image) * wide).astype(np.uint8))


def _is_drawn(pixels: np.ndarray) -> bool:
    """Return whether most pixels are in line with their neighbours: cameras and scanners add noise."""
    rows = pixels[::ROWS].astype(np.int16)
    return rows.shape[1] < 3 or float((rows[:, :-2] + rows[:, 2:] == 2 * rows[:, 1:-1]).mean()) > DRAWN


def _find_shadows(shade: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Return the parts of the shade that reach the edge of the sheet; others are pictures. ground: what is no paper."""
    shadow, outside = np.zeros_like(shade), grow(ground, 2)
    outside[[0, -1]] = outside[:, [0, -1]] = True
    whole = ~grow(~shade, 1)  # without the bridges of noise
    for x0, y0, x1, y1 in find_components(whole):
        part = whole[y0:y1, x0:x1]
        if part.size < LEAST * shade.size:
            continue
        touched = (grow(part, 2) & outside[y0:y1, x0:x1]).sum()
        if touched >= EDGE * max(shade.shape):
            shadow[y0:y1, x0:x1] |= part
    return grow(shadow, 2) & shade
