"""`Sample`: an image with its text, the box of every character and named regions. Every generator returns it.

`Source` is the interface of a generator: `sample(i)` is a pure function of (seed, i). Images are grey or RGB uint8;
boxes are pixels of the image, x right, y down, origin top-left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from ..io.box import Box, union
from ..io.errors import InputError


@dataclass
class LabelledLine:
    """One line of text with a box for every character.

    boxes: (len(text), 4) float32, spaces included: x0, y0, x1, y1 in pixels of the image, x right, y down, origin
    top-left. baseline, x_height: of the line's main face, in px. slope: dy/dx of the baseline, 0 on an unskewed page.
    em_px: font size. styles: (len(text),) uint8, bit k is set for name k of `STYLES`; None if the fonts are unknown.
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
    def box(self) -> Box:
        """Bounding box of all characters."""
        return union(self.boxes)


LAYOUT_CLASSES = (  # labels of the regions of a page: what kind of block each is
    "text", "title", "heading", "list item", "table", "formula", "figure", "caption", "header", "footer", "footnote",
    "code", "margin note", "photo",
)  # fmt: skip
UNREAD = "unread"  # label of a region that the reading loss ignores: its ink is neither text nor blank


@dataclass(frozen=True)
class Region:
    """A labelled box of the image: a table cell, a bar of a chart, a formula, an object in a photograph.

    box: x0, y0, x1, y1 in pixels of the image, origin top-left. text: the text inside the box, if any.
    """

    label: str
    box: Box
    text: str = ""


@dataclass
class Sample:
    """One training or test example.

    image: (H, W) uint8 grey with 255 = white, or (H, W, 3) RGB. lines: text in reading order with a box for every
    character; may be empty. kind: name of the generator (`page`, `formula`, `table`, `chart` ...). target: text that a
    decoder should write; None means the text of the lines. prompt: the question; None means the default prompt of the
    kind. regions: labelled boxes of the image.
    """

    image: np.ndarray
    lines: list[LabelledLine]
    kind: str
    meta: dict[str, Any] = field(default_factory=dict)
    target: str | None = None
    prompt: str | None = None
    regions: list[Region] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the target if there is one, else the lines, with an empty line between blocks."""
        if self.target is not None:
            return self.target
        parts: list[str] = []
        for before, line in zip([None, *self.lines], self.lines, strict=False):
            if before is not None:
                parts.append("\n" if before.block == line.block else "\n\n")
            parts.append(line.text)
        return "".join(parts)


def table_edges(cells: Sequence[tuple[int, int, int, int]], boxes: Sequence[Box]) -> tuple[list[float], list[float]]:
    """Return the separators of a table: y of all row edges and x of all column edges, outer edges included.

    Args:
        cells: (row, column, rows, columns) of each cell.
        boxes: the boxes of the cells, pixels.
    """
    rows: dict[int, list[float]] = {}
    columns: dict[int, list[float]] = {}
    for (r, c, height, width), (x0, y0, x1, y1) in zip(cells, boxes, strict=True):
        rows.setdefault(r, []).append(y0)
        rows.setdefault(r + height, []).append(y1)
        columns.setdefault(c, []).append(x0)
        columns.setdefault(c + width, []).append(x1)
    return [float(np.mean(rows[k])) for k in sorted(rows)], [float(np.mean(columns[k])) for k in sorted(columns)]


class Skipped(InputError):
    """Raised for a record that cannot become a sample. The message names data set, record (from 0) and reason."""

    def __init__(self, name: str, record: int, reason: str):
        super().__init__(f"{name}: record {record}: {reason}")
        self.name, self.record, self.reason = name, record, reason


class Source(Protocol):
    """Interface of a sample generator."""

    def sample(self, i: int) -> Sample:
        """Return sample i. The result depends only on the source's seed and i."""
        ...


def shuffle_index(i: int, total: int, seed: int) -> int:
    """Map i to a row number in [0, total): rows are visited in passes, each pass in its own random order."""
    return int(_order(seed, i // total, total)[i % total])


@lru_cache(maxsize=4)
def _order(seed: int, turn: int, total: int) -> np.ndarray:
    return np.random.default_rng((seed, 11, turn)).permutation(total)
