"""Formulas as the glyph head finds them: drawn, found again, and matched with the glyphs that were set.

What is taught is the true structure over the glyphs that were found. A glyph of the wrong class is pointed at all the
same; one that nothing belongs to is left alone; a step whose glyph was missed goes, with the script that it empties.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from ...data.documents.formula_glyphs import EM, FormulaGlyphs, GlyphFormula
from ...io.errors import ConfigError
from ...markup.math_tokens import BAR, RULE, left_to_right
from ...models.formulas.found_glyphs import SAME_MIDDLE, FoundGlyphs
from ...models.formulas.writer import Glyphs, can_write
from ...models.images.preprocess import fit, normalise
from ...models.modeling import VaryForConditionalGeneration
from ...reading.formulas.from_pixels import finding_scale, join_over_ink, to_glyphs

MULTIPLE = 32  # images are filled up to it
SIZE_ERROR = 0.15  # by which the size of the type is measured wrong, at most (natural logarithm)


class FoundFormulas:
    """A source of formulas whose glyphs the glyph head of a model found. It keeps a copy of the weights, on the CPU.

    Args:
        source: Draws the formulas.
        model: Has a glyph head.

    Raises:
        ConfigError: The model has none.
    """

    def __init__(self, source: FormulaGlyphs, model: VaryForConditionalGeneration):
        if model.glyph_head is None:
            raise ConfigError("this model has no glyph head to find glyphs with")
        self.source = source
        self.vocabulary = copy.deepcopy(model.reading_vocabulary).cpu().eval()
        self.head = copy.deepcopy(model.glyph_head).cpu().eval()
        self.settings = model.config.vocabularies[model.reading_vocabulary_index]["preprocess"]

    def sample(self, i: int) -> GlyphFormula:
        """Formula number i as it was found, of kind `found`; as it was set where what was found cannot be written."""
        formula = self.source.sample(i)
        by = float(np.exp(np.random.default_rng((self.source.seed, 37, i)).uniform(-SIZE_ERROR, SIZE_ERROR)))
        return self.found(formula, by) or formula

    def found(self, formula: GlyphFormula, by: float = 1.0) -> GlyphFormula | None:
        """Return a drawn formula with the glyphs that the head finds, or None. by: factor of the size of the type."""
        seen = self.find(formula)
        place = pair_glyphs(formula, seen, self.head.class_of)
        chars, styles, boxes = to_glyphs(seen, self.head.glyphs, type_px(formula) * by)
        return with_glyphs(formula, place, chars, styles, boxes, "found")

    def glyphs(self, formula: GlyphFormula) -> Glyphs:
        """Return the glyphs that the head finds in a drawn formula, as the decoder takes them."""
        return to_glyphs(self.find(formula), self.head.glyphs, type_px(formula))

    @torch.inference_mode()
    def find(self, formula: GlyphFormula) -> FoundGlyphs:
        """Return what the head finds in a drawn formula, resized as a reader does; in the pixels of its image."""
        assert formula.image is not None
        scale = finding_scale(type_px(formula))
        pixels = fit(Image.fromarray(formula.image), scale, MULTIPLE).pixels
        tokens = self.vocabulary(normalise(torch.tensor(pixels)[None, None].float(), self.settings))
        grid = self.vocabulary.grid(*pixels.shape)
        (found,) = self.head.find(self.head(tokens, grid), grid)
        found = join_over_ink(found.select(left_to_right(found.boxes)), self.head.glyphs, pixels)
        return replace(found, boxes=found.boxes / scale)


def type_px(formula: GlyphFormula) -> float:
    """Return the size of the type of a drawn formula, in pixels."""
    drawn = formula.boxes if formula.image_boxes is None else formula.image_boxes
    return EM * float(np.median(np.diff(drawn[:, 1::2]) / np.diff(formula.boxes[:, 1::2]).clip(1e-3)))


def pair_glyphs(formula: GlyphFormula, seen: FoundGlyphs, class_of: dict[str, int]) -> np.ndarray:
    """Return for each glyph of a drawn formula (N,) the number of the one found in its place, -1 for none.

    Pairs of one class come first, then the nearest. A rule is only ever paired with a rule; along rules it is enough
    that they overlap.
    """
    boxes = formula.boxes if formula.image_boxes is None else formula.image_boxes
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clip(1)
    apart = np.abs(middles[:, None] - (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2)
    low, high = (
        choose(boxes[:, None, at], seen.boxes[None, :, at])
        for choose, at in ((np.maximum, slice(0, 2)), (np.minimum, slice(2, 4)))
    )
    classes = np.array([class_of.get(char, 0) for char in formula.chars])
    same = classes[:, None] == seen.classes
    near = apart < SAME_MIDDLE[0] * sides[:, None] + SAME_MIDDLE[1]
    for along, char in ((0, RULE), (1, BAR)):
        rule = class_of.get(char, -1)
        either = (classes[:, None] == rule) | (seen.classes == rule)
        both = either & same
        near[..., along] = np.where(both, (high > low)[..., along], near[..., along])
        near[..., 1 - along] |= both & (apart[..., 1 - along] < 4)
        near[..., along] &= ~either | both
        apart[..., along][both] = 0
    place, free = np.full(len(classes), -1), np.ones(len(seen.classes), bool)
    rows, columns = np.nonzero(near.all(-1))
    distance = apart[rows, columns].max(-1)
    for k in np.lexsort((distance, ~same[rows, columns])):
        if place[rows[k]] < 0 and free[columns[k]]:
            place[rows[k]], free[columns[k]] = columns[k], False
    return place


def with_glyphs(
    formula: GlyphFormula,
    place: Sequence[int] | np.ndarray,
    chars: str,
    styles: np.ndarray,
    boxes: np.ndarray,
    kind: str = "",
) -> GlyphFormula | None:
    """Return a formula over other glyphs; None when its steps cannot be written with them.

    Args:
        formula: What was set.
        place: Of each of its glyphs its number among the others, -1 for one that is missing.
        chars, styles, boxes: The others, from left to right.
        kind: Of the result; empty for that of `formula`.
    """
    steps: list[str] = []
    pointers: list[int] = []
    for step, at in zip(formula.steps, formula.pointers.tolist(), strict=True):
        if at >= 0 and place[at] < 0:
            continue
        if step == "\\egroup" and steps and steps[-1] in ("_{", "^{"):
            steps.pop()
            pointers.pop()
            continue
        steps.append(step if at < 0 else chars[place[at]])
        pointers.append(-1 if at < 0 else int(place[at]))
    if not can_write(steps, chars):
        return None
    numbers = np.array(pointers, np.int64)
    return replace(
        formula,
        chars=chars,
        styles=styles,
        boxes=boxes,
        steps=steps,
        pointers=numbers,
        latex="",
        kind=kind or formula.kind,
    )
