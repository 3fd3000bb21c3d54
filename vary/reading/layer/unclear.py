"""Tell which characters of a layer the pixels show too unclearly to contradict them.

The head reads along the middle of a line. It cannot tell characters that overlap, small raised ones, and those that a
ruling line touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...document.elements import SCRIPTS, STYLES
from ...io.box import Box, touch
from ...io.pdf_layer import TextLayer, are_drawn, are_parts_of_a_sign, axes_of, in_ligatures
from ..formulas.spans import is_math_font
from .align import Aligned, claims_nothing
from .glyphs import CONFIRMED, CONTRADICTED
from .lines import LayerLine

MOST = 0.7  # share of the letters that a rule touches which the pixels confirm where the rule changes the others
SMALLER, SHIFTED_EM = 0.85, 0.1  # of the largest type of a line; from its baseline: limits, sub- and superscripts
OVERLAP = 0.25  # of the width of a character, from which two stand in each other's way


def without_unclear(line: LayerLine, aligned: Aligned, text: TextLayer) -> Aligned:
    """Return an alignment in which no unclear place contradicts its character.

    Unclear are characters that overlap, as in the logo of LaTeX or an accent that is set by itself, those of formulas,
    ligatures and signs, and small raised or lowered ones: the head reads along the middle of the line.
    """
    if (aligned.odds > CONFIRMED).all():
        return aligned
    inked = np.array([ch != " " for ch in line.text], bool)
    left, right = line.boxes[inked, 0], line.boxes[inked, 2]
    over = np.minimum(right[:-1], right[1:]) - np.maximum(left[:-1], left[1:])
    crowded = over > OVERLAP * np.minimum(right[:-1] - left[:-1], right[1:] - left[1:])
    unclear = np.concatenate([crowded, [False]])[: len(left)] | np.concatenate([[False], crowded])[: len(left)]
    if line.styles is not None:
        unclear |= line.styles[inked][:, len(STYLES) : len(STYLES + SCRIPTS)].any(1)
    assert line.indices is not None
    places, claims = line.indices[inked], line.text.replace(" ", "")
    fonts = [text.font_names[font] if font >= 0 else "" for font in text.fonts[places].tolist()]
    of_formulas = [is_math_font(font) and not claims_nothing(ch) for font, ch in zip(fonts, claims, strict=True)]
    unclear |= np.array(of_formulas, bool) | in_ligatures(text, are_drawn(text), places)
    return _with_unclear(aligned, unclear | are_parts_of_a_sign(text, places) | _are_shifted(text, places))


def _are_shifted(text: TextLayer, places: np.ndarray) -> np.ndarray:
    """Return which characters of a line are smaller than its largest, and stand above or below their baseline."""
    ems, along = text.ems[places], axes_of(text.angles[places])
    across = np.where(along == 1, text.origins[places, 0], text.origins[places, 1])
    large = ems > SMALLER * ems.max(initial=0.0)
    apart = np.abs(across - np.median(across[large])) if large.any() else np.zeros(len(places))
    return ~large & (apart > SHIFTED_EM * ems)


def without_touched(aligned: Aligned, line: LayerLine, rules: Sequence[Box]) -> Aligned:
    """Return an alignment in which no character that a rule touches contradicts its claim where most of these agree.

    An underline changes single letters, such as y and Q. In a font that lies most are contradicted; then only signs
    count as unclear, such as commas.
    """
    inked = [(ch, tuple(box)) for ch, box in zip(line.text, line.boxes.tolist(), strict=True) if ch != " "]
    touched = np.array([any(touch(box, rule) for rule in rules) for _, box in inked], bool)
    letters = np.array([ch.isalnum() for ch, _ in inked], bool)
    own = aligned.odds[touched & letters]
    return _with_unclear(aligned, touched & (~letters | (bool((own > CONFIRMED).mean() > MOST) if len(own) else False)))


def _with_unclear(aligned: Aligned, unclear: np.ndarray) -> Aligned:
    """Return an alignment in which some characters (N,) are neither confirmed nor contradicted, unless confirmed."""
    unclear = unclear & (aligned.odds <= CONFIRMED)
    seen = ["" if quiet else spelt for quiet, spelt in zip(unclear.tolist(), aligned.seen, strict=True)]
    return replace(aligned, odds=np.where(unclear, (CONFIRMED + CONTRADICTED) / 2, aligned.odds), seen=seen)
