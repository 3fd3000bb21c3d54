"""Lines of text during reading: the grid of frames, characters with boxes, and alternative spellings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from ..io.box import Box, marked_runs, middle_within, union
from .elements import MATH, SCRIPTS, STYLES

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .layout.cells import CellTable

L = TypeVar("L", bound="TextLine")
MONO = STYLES.index("mono")
WITH_MATH = len(STYLES + MATH), len(STYLES + SCRIPTS + MATH)  # columns of styles, of which the last one marks LaTeX
TYPED = 0.5  # share of characters in fixed-width type on the ground of a listing
PITCH = 0.15  # by which the steps between characters of fixed-width type differ


@dataclass(frozen=True)
class FrameGrid:
    """Where the frames of a reading head lie and which characters they spell.

    Row r has its middle at y = (r + 0.5) * row_px; frame t has its middle at x = (t + 0.5) * frame_px.

    Args:
        alphabet: character of each class from 1; class 0 is the CTC blank.
        stride: pixels per cell (rows, columns).
        frames: frames per column of cells.
        styles: type styles that the head predicts, names of `elements.STYLES`.
    """

    alphabet: str
    stride: tuple[int, int]
    frames: int
    styles: tuple[str, ...] = ()
    # Spread of the weights that mix two rows, px^2. At 8 px per row, a row 6 px off counts 1/30 of the nearer one.
    MIX_SPREAD: ClassVar[float] = 2 * 2.5**2

    @property
    def row_px(self) -> float:
        """Height of a row of cells."""
        return float(self.stride[0])

    @property
    def frame_px(self) -> float:
        """Width of a frame."""
        return self.stride[1] / self.frames

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and frames of an image of this size in pixels."""
        return height // self.stride[0], width // self.stride[1] * self.frames


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
        styles: (N, S) bool for the names of `elements.STYLES` and then, on some lines, those of SCRIPTS and MATH; None
            when the head has no styles.
        alternatives: Other spellings of uncertain characters.
        sources: (N,) uint8, index into `elements.SOURCES`; None when all characters come from pixels.
        rivals: (N, K), probability of each of the K characters that are easily taken for others
            (`spelling.lookalikes.RIVALS`); None where it is not known.
    """

    text: str
    boxes: np.ndarray
    confidence: np.ndarray
    em_px: float
    slope: float = 0.0
    writer: str = "head"
    styles: np.ndarray | None = None
    alternatives: Sequence[Alternative] = ()
    sources: np.ndarray | None = None
    rivals: np.ndarray | None = None
    # arrays with a row for each character
    PER_CHARACTER: ClassVar[tuple[str, ...]] = ("boxes", "confidence", "styles", "sources", "rivals")

    @cached_property
    def box(self) -> Box:
        """The box around all characters. Change `boxes` by `replace` alone: this is computed once."""
        return union(self.boxes)

    def part(self: L, characters: slice) -> L:
        """Return the line with some of its characters."""
        arrays = {name: getattr(self, name) for name in self.PER_CHARACTER}
        parts: dict[str, Any] = {name: None if array is None else array[characters] for name, array in arrays.items()}
        return replace(self, text=self.text[characters], **parts)

    def put(self: L, start: int, end: int, text: str, boxes: ArrayLike, **values: np.ndarray) -> L:
        """Return the line with other text in place of the characters [start, end).

        Args:
            start: First character that is replaced.
            end: The character after the last one that is replaced.
            text: The new characters.
            boxes: A box for each of them.
            values: Their values in other arrays. Without these, they are certain, have no style, and are in no layer.
        """
        values["boxes"] = np.array(boxes, np.float32).reshape(-1, 4)
        values.setdefault("confidence", np.ones(len(text)))
        arrays: dict[str, Any] = {}
        for name in self.PER_CHARACTER:
            if (old := getattr(self, name)) is not None:
                new = values.get(name, np.full((len(text), *old.shape[1:]), -1 if name == "indices" else 0))
                arrays[name] = np.concatenate([old[:start], new.astype(old.dtype), old[end:]])
        return replace(self, text=self.text[:start] + text + self.text[end:], alternatives=(), **arrays)


def is_mono(line: TextLine) -> bool:
    """Return whether the fonts of a layer say that a line is in fixed-width type. A reader of pixels is less sure."""
    return line.writer == "layer" and in_mono(line)


def in_mono(line: TextLine) -> bool:
    """Return whether a line has the style of fixed-width type, whoever says so."""
    return line.styles is not None and line.styles.shape[1] > MONO and float(line.styles[:, MONO].mean()) > 0.9


def with_type_of_grounds(lines: Sequence[TextLine], grounds: Sequence[Box]) -> list[TextLine]:
    """Return lines from pixels in fixed-width type where most characters of all lines on their ground are in it.

    So listings stand on a ground, and single lines of them are not sure of their type.

    Args:
        lines: Of a page.
        grounds: Filled areas; those of one line mark words in it, not listings.
    """
    found = list(lines)
    for ground in grounds:
        inside = [k for k, line in enumerate(found) if middle_within(line.box, ground) and _knows_mono(line)]
        typed = [float(found[k].styles[:, MONO].sum()) for k in inside]  # type: ignore[index]
        if len(inside) > 1 and sum(typed) >= TYPED * sum(len(found[k].text) for k in inside):
            for k in inside:
                styles = np.array(found[k].styles)
                styles[:, MONO] = True
                found[k] = replace(found[k], styles=styles)
    return found


def _knows_mono(line: TextLine) -> bool:
    return line.writer != "layer" and line.styles is not None and line.styles.shape[1] > MONO


def text_with_formulas(line: TextLine, start: int, end: int) -> str:
    """Return a part of a line for a cell of a table, which has no styles: LaTeX stands between dollars."""
    if line.styles is None or line.styles.shape[1] not in WITH_MATH:
        return line.text[start:end]
    text, at = "", start
    for a, b in marked_runs(line.styles[start:end, -1]):
        latex = line.text[start + a : start + b]
        latex = f"${latex}$" if set(latex) & set("\\^_") else latex  # a number is no formula
        text, at = text + line.text[at : start + a] + latex, start + b
    return text + line.text[at:end]


def has_pitch(line: TextLine) -> bool:
    """Return whether all characters of a line are about equally wide."""
    if is_mono(line):
        return True
    steps = np.diff(line.boxes[:, [0, 2]].mean(1))
    pairs = np.array([a != " " and b != " " for a, b in pairwise(line.text)], bool)
    steps = steps[pairs]
    usual = float(np.median(steps)) if len(steps) else 0.0
    return len(steps) > 3 and float((np.abs(steps - usual) < PITCH * usual).mean()) > 0.85


def split_box(box: Box, count: int) -> np.ndarray:
    """Return boxes (count, 4) of the same width, next to each other, that fill a box."""
    x0, y0, x1, y1 = box
    edges = np.linspace(x0, x1, count + 1)
    return np.stack([edges[:-1], np.full(count, y0), edges[1:], np.full(count, y1)], 1).astype(np.float32)


@dataclass
class PageRegion:
    """A table, a figure or a panel, found before the reading order.

    Args:
        kind: `table`, `figure` or `panel`.
        box: Its box.
        lines: The lines inside: rows of a table, labels of a figure, the text of a panel.
        table: The cells of a table.
    """

    kind: str
    box: Box
    lines: list[TextLine]
    table: CellTable | None = None
