"""Find where type may be in what is left of a page: strokes, which have rows full of edges.

Shapes: H, W of an image; h, w in cells of NEAR px.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...document.layout.bitmap import grow

EDGE, FAINT_EDGE = 40, 20  # grey levels between neighbouring pixels: of a stroke, and of a faint one
NOISE = 6.0  # multiple of the noise that counts as an edge
STROKE = 4, 8  # px, height of the lowest letters of small type, and width of the columns in which they are sought
BAND_PIXELS = 1_000_000  # of an image in which strokes are sought at once
AROUND = 5  # columns around a stroke in which faint strokes are read, too


def may_hold_type(pixels_HW: np.ndarray) -> bool:
    """Return whether some strokes are as high as the smallest type that is read.

    The image is searched band by band, which bounds the memory.
    """
    return any(strokes.any() for _, strokes in _strokes(pixels_HW, EDGE))


def keep_strokes(pixels_HW: np.ndarray) -> np.ndarray | None:
    """Return an image with the colour of the paper where no strokes are near; None if it has none.

    The network takes the noise of a scan for ink, and its time for the noise of a whole page.
    """
    if not may_hold_type(pixels_HW):
        return None
    noise = float(np.median(np.abs(np.diff(pixels_HW[:: STROKE[1]].astype(np.int16), axis=1))))
    width = STROKE[1]
    found_hw = np.zeros((-(-pixels_HW.shape[0] // width), -(-pixels_HW.shape[1] // width)), bool)
    for start, strokes in _strokes(pixels_HW, max(FAINT_EDGE, NOISE * noise)):
        rows, columns = np.nonzero(strokes)
        found_hw[(start + rows) // width, columns] = True
    paper, kept_HW = np.uint8(np.median(pixels_HW[::width])), np.empty_like(pixels_HW)
    for y, near_w in enumerate(grow(found_hw, AROUND)):  # a few rows at a time, which bounds the memory
        band = slice(y * width, (y + 1) * width)
        kept_HW[band] = np.where(near_w.repeat(width)[: pixels_HW.shape[1]], pixels_HW[band], paper)
    return kept_HW


def _strokes(pixels_HW: np.ndarray, edge: float) -> Iterator[tuple[int, np.ndarray]]:
    """Yield bands of rows: the first row, and which columns of STROKE px have a stroke that begins at each row."""
    high, width = STROKE
    step = max(high, BAND_PIXELS // max(1, pixels_HW.shape[1]))
    for start in range(0, len(pixels_HW), step):
        band = pixels_HW[start : start + step + high - 1]
        left, right = band[:, :-1], band[:, 1:]
        edges = np.maximum(left, right) - np.minimum(left, right) > edge
        edges = np.pad(edges, ((0, 0), (0, -edges.shape[1] % width)))
        inked = np.logical_or.reduce(edges.reshape(len(edges), -1, width), axis=2)
        count = len(inked) - high + 1
        if count > 0:
            yield start, np.logical_and.reduce([inked[k : k + count] for k in range(high)])
