"""Remove the specks of a noisy scan or fax, which read as dots between lines and as cells of tables, and faint noise.

A speck is a dark spot smaller than a letter, and no letter is near it. Rows of dots, such as leaders and dotted rules,
are none, and pages with few specks stay as they are.

Shapes: H, W of the page at the scale at which it is read; h, w in tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...document.layout.bitmap import find_components
from ...document.lines import TextLine
from ...models.images.preprocess import Fit
from .merge import drop_strokes, find_texts, prove_text

CONTRAST, SHARE = 30, 0.3  # grey levels by which a speck is darker than the paper, and their share of the ink's
TILE = 16  # px, side of the tiles in which specks are counted first
STROKE = 20  # dark pixels of a tile that show letters
FEWEST = 40  # specks of a page that has many, and tiles that show some
LARGEST_EM = 0.3  # side of a speck
NEAR_EM = 0.6  # from a letter, within which dark spots may be full stops and the dots of letters
ROW_EM, IN_ROW = 4.0, 4  # half the length of a row of dots, and its dots
ROWS_EM, ROWS = 2.0, 5  # half the height of rows above each other, and how many they are; specks lie between them, too
SHORT, CERTAIN, SAMPLE = 8, 0.9, 60  # characters of a line of noise; mean confidence and number of lines that are text
FAINT = 0.3  # of the contrast of text, below which short lines are noise
MARKS, LONGEST = frozenset(" .,:;'`‘’“”\"*·…~-–—_"), 6  # as which specks read; characters of such a line
CELL = ("-", "–", "—")  # what an empty cell has


def drop_noise(lines: Sequence[TextLine], pixels_HW: np.ndarray, is_noisy: bool) -> list[TextLine]:
    """Return the lines of a page but short ones that are much fainter than its text: noise of the paper.

    Args:
        lines: of the page.
        pixels_HW: uint8, the page.
        is_noisy: whether it had specks. Then lines of a few marks alone go, too: specks near one another.
    """
    if is_noisy:
        lines = [line for line in lines if not _are_specks(line.text)]
    certain = [line for line in lines if len(line.text) > SHORT and float(line.confidence.mean()) >= CERTAIN]
    if not certain or all(len(line.text) > SHORT for line in lines):
        return list(lines)
    usual = float(np.median([_contrast(line, pixels_HW) for line in certain[:SAMPLE]]))
    return [line for line in lines if len(line.text) > SHORT or _contrast(line, pixels_HW) >= FAINT * usual]


def _are_specks(text: str) -> bool:
    return len(text) <= LONGEST and text not in CELL and MARKS.issuperset(text)


def _contrast(line: TextLine, pixels_HW: np.ndarray) -> float:
    """Return the grey levels between the paper of a line and its darkest ink."""
    x0, y0, x1, y1 = (max(0, int(side)) for side in line.box)
    part = pixels_HW[y0 : y1 + 1, x0 : x1 + 1]
    return float(np.median(part) - np.percentile(part, 1)) if part.size else 0.0


def find_proven_texts(lines: Sequence[TextLine], pixels_HW: np.ndarray, is_noisy: bool) -> list[TextLine]:
    """Return the lines of a page that are text; none if they do not show that it has some. See `drop_noise`."""
    texts = drop_strokes(find_texts(drop_noise(lines, pixels_HW, is_noisy)))
    return texts if prove_text(texts) else []


def erase_specks(page: Fit, em: float) -> tuple[Fit, bool]:
    """Return a page without its specks, and whether it had many; with few it stays as it is.

    Args:
        page: dark text on light paper.
        em: size of the page's text, px.
    """
    pixels_HW = page.pixels
    ink, paper = (int(level) for level in np.percentile(pixels_HW[::4, ::4], (1, 50)))
    dark_HW = pixels_HW < paper - max(CONTRAST, SHARE * (paper - ink))
    if not _has_specks(dark_HW):
        return page, False
    boxes = np.array(find_components(dark_HW), int)
    small = (boxes[:, 2:] - boxes[:, :2]).max(1) <= LARGEST_EM * em
    near_HW, reach = np.zeros_like(dark_HW), round(NEAR_EM * em)
    for x0, y0, x1, y1 in boxes[~small].tolist():
        near_HW[max(0, y0 - reach) : y1 + reach, max(0, x0 - reach) : x1 + reach] = True
    lone = boxes[small & ~near_HW[boxes[:, 1], boxes[:, 0]]]
    if len(lone) < FEWEST:
        return page, False
    specks = lone[~_are_in_row(((lone[:, :2] + lone[:, 2:]) // 2)[:, ::-1], dark_HW.shape, em)]
    if len(specks) < FEWEST:
        return page, False
    cleaned = pixels_HW.copy()
    for x0, y0, x1, y1 in specks.tolist():
        cleaned[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1] = paper
    return Fit(cleaned, page.scale), True


def _are_in_row(dots_N2: np.ndarray, shape: tuple[int, ...], em: float) -> np.ndarray:
    """Return which dots (N,), each a row and a column of an image of a shape, are in a level or upright row of dots."""
    marked_HW, found, along = np.zeros(shape, bool), np.zeros(len(dots_N2), bool), round(ROW_EM * em)
    marked_HW[tuple(dots_N2.T)] = True
    sums_HW = np.pad(marked_HW.cumsum(0, dtype=np.int32).cumsum(1), ((1, 0), (1, 0)))

    def count(down: int, across: int) -> np.ndarray:
        reach = np.array([down, across])
        (top, left), (end, right) = np.maximum(dots_N2 - reach, 0).T, np.minimum(dots_N2 + reach + 1, shape).T
        counts: np.ndarray = sums_HW[end, right] - sums_HW[top, right] - sums_HW[end, left] + sums_HW[top, left]
        return counts

    for turn in (1, -1):
        in_row, around = count(*(1, along)[::turn]), count(*(round(ROWS_EM * em), along)[::turn])
        found |= (in_row >= IN_ROW) & (around <= ROWS * in_row)
    return found


def _has_specks(dark_HW: np.ndarray) -> bool:
    """Return whether many tiles have a few dark pixels and no letters next to them."""
    high, wide = (side // TILE for side in dark_HW.shape)
    if min(high, wide) < 3:
        return False
    counts_hw = dark_HW[: high * TILE, : wide * TILE].reshape(high, TILE, wide, TILE).sum((1, 3))
    letters_hw = _count(counts_hw > STROKE, 1, 1) > 0
    return int(((counts_hw > 0) & ~letters_hw).sum()) >= FEWEST


def _count(marked_HW: np.ndarray, down: int, across: int) -> np.ndarray:
    """Return how many pixels are marked in the rectangle around each, which reaches so far to all sides."""
    total = np.pad(marked_HW, ((down + 1, down), (across + 1, across))).cumsum(0, dtype=np.int32).cumsum(1)
    high, wide = 2 * down + 1, 2 * across + 1
    count: np.ndarray = total[high:, wide:] - total[:-high, wide:] - total[high:, :-wide] + total[:-high, :-wide]
    return count
