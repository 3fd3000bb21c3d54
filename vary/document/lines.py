"""Lines of text during recognition: characters with boxes, and alternative spellings of uncertain characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .elements import Box, union


@dataclass(frozen=True)
class Alternative:
    """Other spellings of the characters [start, end) of a line, each with its log-odds against the line's text."""

    start: int
    end: int
    others: tuple[tuple[str, float], ...]

    def shift(self, by: int) -> Alternative:
        """Return the same alternatives for a text whose first `by` characters were removed."""
        return Alternative(self.start - by, self.end - by, self.others)


@dataclass
class TextLine:
    """A recognised line of text, N characters long.

    Args:
        text: The N characters.
        boxes: (N, 4) float32, one box for each character, in pixels.
        confidence: (N,), probability of each character.
        em_px: Font size in pixels.
        slope: Direction of the baseline, pixels down for each pixel to the right.
        writer: As `Line.writer`.
        styles: (N, S) bool for the S style names of the reading head; None when the head has no styles.
        alternatives: Other spellings of uncertain characters.
    """

    text: str
    boxes: np.ndarray
    confidence: np.ndarray
    em_px: float
    slope: float = 0.0
    writer: str = "head"
    styles: np.ndarray | None = None
    alternatives: Sequence[Alternative] = ()

    @property
    def box(self) -> Box:
        """The box around all characters."""
        return union(self.boxes)
