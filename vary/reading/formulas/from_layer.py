"""Write the formulas of a PDF page as LaTeX from its text layer: from glyphs, boxes and rules, without pixels.

Whether a region is a formula is decided elsewhere; this module writes what it is given. Sources of glyphs other than a
text layer call `models.formulas.writer` themselves.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...io.box import Box
from ...io.pdf_layer import GLYPH
from ...io.pdf_objects import PageContent
from ...markup.math_tokens import left_to_right, math_glyphs

if TYPE_CHECKING:
    from ...models.formulas.writer import StepModel, WrittenFormula

EM = 16.0  # size of the type in the unit of the decoder
MAX_GLYPHS = 200  # the decoder learns from formulas of up to about 100


@dataclass(frozen=True)
class Symbol:
    """A character of a formula: the glyph that it was written from, and how sure the decoder was of its place."""

    text: str
    box: Box
    confidence: float


@dataclass(frozen=True)
class Formula:
    """A formula in LaTeX without delimiters.

    Args:
        latex: Canonical LaTeX; empty when nothing could be written.
        box: Box of all its glyphs.
        confidence: Probability of the whole formula, 0 to 1.
        symbols: Printed characters in the order of the LaTeX.
        accounted: Whether symbols and ink match one to one. Otherwise something is missing or left over.
    """

    latex: str
    box: Box
    confidence: float
    symbols: list[Symbol]
    accounted: bool


def write_layer_formulas(decoder: StepModel, content: PageContent, regions: Sequence[Box]) -> list[Formula]:
    """Write the formula in each region of a page.

    Args:
        decoder: A trained network.
        content: Text layer and objects of the page.
        regions: Boxes in the frame of the content. Glyphs count when their middle lies inside.

    Returns:
        One formula per region. It is empty where a region holds no glyph, or more than MAX_GLYPHS.
    """
    from ...models.formulas.writer import write_formulas  # not above: most pages have no formula

    glyphs = [_glyphs(content, region) for region in regions]
    found = write_formulas(decoder, [(chars, styles, boxes) for chars, styles, boxes, _ in glyphs])
    return [
        _formula(written, boxes / scale, region)
        for written, (_, _, boxes, scale), region in zip(found, glyphs, regions, strict=True)
    ]


def _glyphs(content: PageContent, region: Box) -> tuple[str, np.ndarray, np.ndarray, float]:
    """Return glyphs of a region from left to right, and the scale of their boxes."""
    text = content.text
    keep = (text.kinds == GLYPH) & (text.hidden == 0) & middles_inside(text.boxes, region)
    text = text.select(keep)
    scale = EM / max(1e-3, float(text.ems.max(initial=0.0)))
    fonts = [text.font_names[k] if k >= 0 else "" for k in text.fonts.tolist()]
    rules = np.array(content.objects.rules, np.float32).reshape(-1, 4)
    rules = rules[middles_inside(rules, region)]
    chars, styles, boxes = math_glyphs(*join_tex_glyphs(text.text, text.boxes), fonts, rules.tolist(), scale)
    order = left_to_right(boxes)
    if len(order) > MAX_GLYPHS:
        order = order[:0]
    return "".join(chars[k] for k in order), styles[order], boxes[order], scale


def middles_inside(boxes: np.ndarray, region: Box) -> np.ndarray:
    """Return which of some boxes (N, 4) have their middle in a region."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return (x >= region[0]) & (x <= region[2]) & (y >= region[1]) & (y <= region[3])


def _formula(written: WrittenFormula, boxes: np.ndarray, region: Box) -> Formula:
    places: list[Box] = [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in boxes]
    symbols = [
        Symbol(step, places[at], confidence)
        for step, at, confidence in zip(written.steps, written.pointers, written.confidence, strict=True)
        if at >= 0
    ]
    box = region
    if places:
        low, high = boxes.min(0), boxes.max(0)
        box = float(low[0]), float(low[1]), float(high[2]), float(high[3])
    return Formula(written.latex, box, written.probability, symbols, written.accounted)


def join_tex_glyphs(text: str, boxes: np.ndarray) -> tuple[str, np.ndarray]:
    """Join what TeX composes of several glyphs: three dots to an ellipsis, a slash with the relation that it strikes.

    Args:
        text: N characters.
        boxes: (N, 4).

    Returns:
        Text and boxes of the same length; a blank is where a glyph was joined to another.
    """
    chars, boxes = list(text), boxes.copy()
    order = np.argsort(boxes[:, 0], kind="stable").tolist()
    for first, second, third in zip(order, order[1:], order[2:], strict=False):
        three = boxes[[first, second, third]]
        steps, wide = np.diff(three[:, 0]), three[0, 2] - three[0, 0]
        dots = chars[first] in ".⋅·" and chars[first] == chars[second] == chars[third]
        if dots and np.ptp(three[:, 1]) < wide and steps.max() < 4.5 * wide and np.ptp(steps) < wide:
            chars[first], chars[second], chars[third] = "…" if chars[first] == "." else "⋯", " ", " "
            boxes[first, 2] = three[2, 2]
    for k, char in enumerate(chars):
        if char == "\u0338":
            middle = (boxes[k, 0] + boxes[k, 2]) / 2
            for n in order:
                joined = unicodedata.normalize("NFC", chars[n] + char)
                if len(joined) == 1 and boxes[n, 0] <= middle <= boxes[n, 2]:
                    chars[n], chars[k] = joined, " "
                    break
    return "".join(chars), boxes
