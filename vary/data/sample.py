"""What every generator of the data engine returns: an image, its text, and where each character stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np


@dataclass
class TextLine:
    """One line of text as it is read, left to right.

    Boxes are (len(text), 4) float32, one per character, spaces included: x0, y0, x1, y1 in pixels of the image,
    x right, y down, origin top-left. `baseline` and `x_height` (px) are those of the line's main face;
    `slope` is dy/dx of the baseline (0 until the page is skewed); `em_px` is the size of the type.
    styles: (len(text),) uint8, bit k for name k of `STYLES`; None where the faces are not known.
    """

    text: str
    boxes: np.ndarray
    baseline: float
    x_height: float
    em_px: float
    slope: float = 0.0
    block: int = 0
    styles: np.ndarray | None = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Around all characters."""
        b = self.boxes
        return float(b[:, 0].min()), float(b[:, 1].min()), float(b[:, 2].max()), float(b[:, 3].max())

    def words(self) -> list[tuple[str, tuple[float, float, float, float]]]:
        """Words and their boxes, in order."""
        found: list[tuple[str, tuple[float, float, float, float]]] = []
        start = 0
        for end in range(len(self.text) + 1):
            if end == len(self.text) or self.text[end] == " ":
                if end > start:
                    b = self.boxes[start:end]
                    box = (float(b[:, 0].min()), float(b[:, 1].min()), float(b[:, 2].max()), float(b[:, 3].max()))
                    found.append((self.text[start:end], box))
                start = end + 1
        return found


UNREAD = "unread"  # label of a region whose ink the reading head shall neither spell nor leave blank


@dataclass(frozen=True)
class Region:
    """A named part of the image: a table cell, a chart's bar, a formula, an object of a photograph.

    box: x0, y0, x1, y1 in pixels of the image, origin top-left. text: what is written there, if anything.
    """

    label: str
    box: tuple[float, float, float, float]
    text: str = ""


@dataclass
class Sample:
    """One training or test example.

    image: (H, W) uint8 grey with 255 = white, or (H, W, 3) RGB. lines: text in reading order with a box for every
    character; may be empty. kind: the generator (`page`, `formula`, `table`, `chart` ...). target: what a decoder shall
    write; None where that is the text of the lines. prompt: the question, for samples that have their own; None means
    the prompt of the kind. regions: named parts of the image.
    """

    image: np.ndarray
    lines: list[TextLine]
    kind: str
    meta: dict[str, Any] = field(default_factory=dict)
    target: str | None = None
    prompt: str | None = None
    regions: list[Region] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The target; without one the lines, one line of the page per line and an empty line between blocks."""
        if self.target is not None:
            return self.target
        parts: list[str] = []
        for before, line in zip([None, *self.lines], self.lines, strict=False):
            if before is not None:
                parts.append("\n" if before.block == line.block else "\n\n")
            parts.append(line.text)
        return "".join(parts)


class Skipped(ValueError):
    """A record that gives no sample. The message is one line: set, record (from 0), reason."""

    def __init__(self, name: str, record: int, reason: str):
        super().__init__(f"{name}: record {record}: {reason}")
        self.name, self.record, self.reason = name, record, reason


class Source(Protocol):
    """What a generator is."""

    def sample(self, i: int) -> Sample:
        """Sample i, a pure function of the seed that the source was made with and i."""
        ...


def shuffled(i: int, total: int, seed: int) -> int:
    """The row that is number i of an endless row of passes over `total` rows, each pass in an order of its own."""
    return int(_order(seed, i // total, total)[i % total])


@lru_cache(maxsize=4)
def _order(seed: int, turn: int, total: int) -> np.ndarray:
    return np.random.default_rng((seed, 11, turn)).permutation(total)
