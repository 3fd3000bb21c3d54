"""How far the invisible text of a scan lies beside the type that it names.

Programs that add a text layer to a scan may place all of it some points off. Then the boxes of its lines cut through
the type, and neither the layer nor the ink beside it can be read.
Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from ..ctc import DESCENT_EM, X_HEIGHT_EM
from .glyphs import INVISIBLE
from .lines import LayerLine

REACH_EM = 0.65, 0.8  # down and across, sought to both sides: less than half the pitch of lines
FEWEST_LINES = 3
GAIN = 1.15  # times the ink that the lines must cover more once they are moved
EMPTIER = 0.6  # times the ink in the blanks between words that may be left
LEAST_EM = 0.08  # a smaller offset does no harm


def move_onto_ink(image: Image.Image, lines: Sequence[LayerLine], modes: np.ndarray) -> list[LayerLine]:
    """Return the lines where the page shows their type, if all that are invisible lie beside it.

    Args:
        image: Upright grey page.
        lines: Of the layer.
        modes: Text rendering mode of each character of the layer.
    """
    unseen = [line for line in lines if line.indices is not None and np.isin(modes[line.indices], INVISIBLE).all()]
    if len(unseen) < max(FEWEST_LINES, len(lines)):
        return list(lines)
    across, down = find_offset(np.asarray(image), unseen)
    if not across and not down:
        return list(lines)
    shift = np.array([across, down, across, down], np.float32)
    return [replace(line, boxes=line.boxes + shift) for line in lines]


def find_offset(pixels: np.ndarray, lines: Sequence[LayerLine]) -> tuple[int, int]:
    """Return by how many pixels lines must go right and down to lie on ink; 0 where that changes little."""
    dark = np.maximum(float(np.median(pixels)) - pixels, 0.0)
    sums = np.pad(dark.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    em = float(np.median([line.em_px for line in lines]))
    bands = np.array([_band(line) for line in lines])
    steps = _steps(REACH_EM[0] * em)
    down = _best([_ink(sums, bands + np.array([0, d, 0, d])) for d in steps], steps, GAIN)
    down = down if abs(down) > LEAST_EM * em else 0
    blanks = np.array([gap for line in lines for gap in _blanks(line)]) + np.array([0, down, 0, down])
    steps = _steps(REACH_EM[1] * em)
    empty = [1 / (_ink(sums, blanks + np.array([d, 0, d, 0])) + 1) for d in steps]
    across = _best(empty, steps, 1 / EMPTIER)
    return (across if abs(across) > LEAST_EM * em else 0), down


def _steps(reach: float) -> list[int]:
    return sorted(range(-int(reach), int(reach) + 1), key=abs)


def _best(scores: Sequence[float], steps: Sequence[int], gain: float) -> int:
    """Return the step of the highest score if it is so many times that of the first step, which is 0; else 0."""
    k = int(np.argmax(scores))
    return steps[k] if scores[k] > gain * scores[0] else 0


def _band(line: LayerLine) -> list[float]:
    x0, _, x1, bottom = line.box
    baseline = bottom - DESCENT_EM * line.em_px
    return [x0, baseline - X_HEIGHT_EM * line.em_px, x1, baseline]


def _blanks(line: LayerLine) -> list[list[float]]:
    """Return the white beside a line and between its words."""
    x0, top, x1, bottom = _band(line)
    side = 0.4 * line.em_px
    between = [line.boxes[k, [0, 2]].tolist() for k, ch in enumerate(line.text) if ch == " "]
    return [[a, top, b, bottom] for a, b in [(x0 - side, x0), *between, (x1, x1 + side)]]


def _ink(sums: np.ndarray, boxes: np.ndarray) -> float:
    """Return the sum of darkness in boxes, from its sums over all rectangles at the upper left corner."""
    high, wide = sums.shape
    x0, y0, x1, y1 = np.rint(boxes).astype(int).T
    (x0, x1), (y0, y1) = np.clip([x0, x1], 0, wide - 1), np.clip([y0, y1], 0, high - 1)
    return float((sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]).sum())
