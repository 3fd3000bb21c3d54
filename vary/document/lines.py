"""Lines of text while a page is being read: characters, boxes and the places where the reading head is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Alternative:
    """Characters [start, end) of a line's text and their other spellings, each with its log-odds to the text's own."""

    start: int
    end: int
    others: tuple[tuple[str, float], ...]

    def shift(self, by: int) -> Alternative:
        """The same in a text of which `by` characters were cut at the front."""
        return Alternative(self.start - by, self.end - by, self.others)


@dataclass
class TextLine:
    """A line of text as the head reads it.

    boxes (len(text), 4) float32: one box per character; confidence (len(text),): probability at each one's peak.
    styles (len(text), S) bool: of what `Lattice.styles` names, the same for all characters of a word; None for a head
    that tells none.
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
    def box(self) -> tuple[float, float, float, float]:
        """Around all characters."""
        b = self.boxes
        return float(b[:, 0].min()), float(b[:, 1].min()), float(b[:, 2].max()), float(b[:, 3].max())
