"""Ink of a PDF page that its text layer says nothing about, and text of the layer without ink.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ...document.elements import MATH, SCRIPTS, STYLES, Page
from ...document.findings import HiddenText, RejectedText
from ...document.lines import TextLine
from ...document.orientation import Orientation
from ...io.box import Box, scale_box
from ...io.pdf_objects import PageContent
from ..ctc import ASCENT_EM, DESCENT_EM
from ..scales.rules import erase_underlines
from .lines import LayerLine, evidence_of

CELL = 16  # px, raster on which ink without text is sought
INK = 24  # grey levels between the darkest and lightest pixel of a cell with ink
BARE_CELLS = 4  # cells of ink without text from which the pixels are read
NO_INK = 10  # grey levels: a line that differs less from its ground shows nothing


def without_ink(image: Image.Image, lines: Sequence[LayerLine]) -> tuple[list[LayerLine], list[HiddenText]]:
    """Part the lines that show from those in whose place the page is bare."""
    pixels = np.asarray(image)
    shown, hidden = [], []
    for line in lines:
        x0, y0, x1, y1 = (max(0, int(v)) for v in line.box)
        part = pixels[y0 : y1 + 1, x0 : x1 + 1]
        if part.size and int(part.max()) - int(part.min()) >= NO_INK:
            shown.append(line)
        else:
            hidden.append(HiddenText(line.text, line.box, "no ink"))
    return shown, hidden


def bare_ink(image: Image.Image, lines: Sequence[Box], content: PageContent, turn: Orientation) -> bool:
    """Return whether the page has ink that the boxes of lines do not cover: pictures, text that the layer lacks."""
    pixels = np.asarray(image)
    high, wide = (side // CELL for side in pixels.shape)
    if not high or not wide:
        return False
    cells = pixels[: high * CELL, : wide * CELL].reshape(high, CELL, wide, CELL)
    ink = cells.max((1, 3)).astype(int) - cells.min((1, 3)) > INK
    evidence = evidence_of(content, turn)
    edges = [
        edge
        for (x0, y0, x1, y1), _ in evidence.areas
        for edge in ((x0, y0, x0, y1), (x1, y0, x1, y1), (x0, y0, x1, y0), (x0, y1, x1, y1))
    ]
    for x0, y0, x1, y1 in [*lines, *evidence.rules, *edges]:
        rows, columns = (
            slice(max(0, int((a - 4) / CELL)), max(0, int((b + 4) / CELL) + 1)) for a, b in ((y0, y1), (x0, x1))
        )
        ink[rows, columns] = False
    return int(ink.sum()) >= BARE_CELLS


def without_lines(image: Image.Image, lines: Sequence[Box]) -> Image.Image:
    """Return a grey page with the boxes of lines painted over in the shade around each."""
    pixels = np.array(image)
    for box in lines:
        x0, y0, x1, y1 = (max(0, int(v)) for v in box)
        part = pixels[y0 : y1 + 1, x0 : x1 + 1]
        if part.size:
            part[:] = np.median(np.concatenate([part[0], part[-1]]))
    return Image.fromarray(pixels)


def without_rules(image: Image.Image, rules: Sequence[Box], scale: float = 1.0) -> Image.Image:
    """Return a grey page without level rules, whose boxes are multiplied by the scale."""
    return Image.fromarray(erase_underlines(np.asarray(image), [scale_box(rule, scale) for rule in rules]))


def add_bare_lines(lines: Sequence[LayerLine], read: Page, drawings: Sequence[Box]) -> list[TextLine]:
    """Return the lines of the layer, and those read from pixels where the layer has none.

    What was read without a letter or digit, and one or two characters in a drawing, are ink that is no text: they are
    moved to `read.rejected`.
    """
    boxes = np.array([line.box for line in lines]).reshape(-1, 4)
    merged: list[TextLine] = list(lines)
    for line in _text_lines(read):
        if not any(ch.isalnum() for ch in line.text) or (len(line.text) < 3 and _within_any(line.box, drawings)):
            read.rejected.append(RejectedText(line.text, line.box, float(line.confidence.mean())))
            continue
        x0, y0, x1, y1 = line.box
        middle = (y0 + y1) / 2
        wide = np.minimum(boxes[:, 2], x1) - np.maximum(boxes[:, 0], x0)
        level = (boxes[:, 1] < middle) & (boxes[:, 3] > middle)
        if not len(boxes) or float(np.where(level, np.maximum(wide, 0), 0).sum()) < 0.3 * (x1 - x0):
            merged.append(line)
    return merged


def _within_any(box: Box, areas: Sequence[Box]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in areas)


def _text_lines(page: Page) -> list[TextLine]:
    """Return the lines of a page that was read from pixels, its rows parted where pieces were joined."""
    lines = []
    for line in page.lines:
        for piece in re.finditer(r"\S(?:.*?\S)?(?= {2}|$)", line.text):
            part = slice(*piece.span())
            boxes = np.array(line.characters[part], np.float32).reshape(-1, 4)
            if len(boxes) != len(piece[0]):
                continue
            styles = np.zeros((len(line.text), len(STYLES + SCRIPTS + MATH)), bool)
            for start, end, name in line.styles:
                styles[start:end, (STYLES + SCRIPTS + MATH).index(name)] = True
            em = float(np.median(boxes[:, 3] - boxes[:, 1])) / (ASCENT_EM + DESCENT_EM)
            confidence = np.array(line.character_confidence[part], np.float32)
            lines.append(TextLine(piece[0], boxes, confidence, em, writer=line.writer, styles=styles[part]))
    return lines
