"""Draw text on a page image and return the box of every character.

`ShapedText` is a paragraph set on one endless line. It is measured with a few array operations, and a line of the page
is a slice of it. `PageCanvas` collects lines and draws all glyphs at once in `finish`.
Frame: pixels of the page, x right, y down, origin top-left. Shapes: G glyphs (a ligature is one glyph for several
letters, the space is glyph 0 of its atlas), P inked pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...document.elements import STYLES
from ..sample import LabelledLine
from .glyphs import Atlas, Face


@dataclass(frozen=True)
class ShapedText:
    """Words separated by single spaces on an endless line.

    text: the characters. numbers_G: glyph numbers in `atlases[which_G]`. x: (G + 1,) pen positions in px; the last one
    is the end. letter: (G + 1,) index into `text` of the first letter of each glyph. breaks: glyph indices of the
    spaces, then G.
    """

    text: str
    atlases: list[Atlas]
    which_G: np.ndarray
    numbers_G: np.ndarray
    x: np.ndarray
    letter: np.ndarray
    breaks: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers_G)

    def text_between(self, start: int, end: int) -> str:
        """Return the characters of glyphs `start` to `end`."""
        return self.text[int(self.letter[start]) : int(self.letter[end])]


@dataclass(frozen=True)
class _Line:
    text: str
    baseline: int
    main: Atlas
    block: int
    count: int


class PageCanvas:
    """A page image in progress. `ink` is (H, W) uint8 with 255 = black and may be drawn on directly."""

    def __init__(self, height: int, width: int):
        self.ink = np.zeros((height, width), np.uint8)
        self._lines: list[_Line] = []
        self._atlases: list[Atlas] = []
        self._x: list[np.ndarray] = []  # (G + 1,) pen positions of each line
        self._which: list[np.ndarray] = []
        self._numbers: list[np.ndarray] = []
        self._letters: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._lines)

    def shape(self, parts: list[tuple[str, Atlas]], ligatures: bool = False) -> ShapedText:
        """Set parts of text, each in its atlas, separated by spaces. Characters that a face lacks are dropped."""
        made = [(atlas, *atlas.glyphs(text, ligatures)) for text, atlas in parts]
        made = [part for part in made if part[1]] or made[:1]
        said = " ".join(text for _, text, _ in made)
        numbers = [np.append(n, 0) for _, _, n in made[:-1]] + [made[-1][2]]
        steps = [atlas.advances_G(n) for (atlas, *_), n in zip(made, numbers, strict=True)]
        numbers_G = _join(numbers)
        which_G = np.repeat([self._number(atlas) for atlas, *_ in made], [len(n) for n in numbers])
        x = np.zeros(len(numbers_G) + 1)
        _join(steps).cumsum(out=x[1:])
        letter = np.arange(len(x))
        if len(said) > len(numbers_G):
            letters = [atlas.letters_N()[n] for (atlas, *_), n in zip(made, numbers, strict=True)]
            _join(letters).cumsum(out=letter[1:])
        breaks = np.array([*(numbers_G == 0).nonzero()[0].tolist(), len(numbers_G)])
        return ShapedText(said, self._atlases, which_G, numbers_G, x, letter, breaks)

    def _number(self, atlas: Atlas) -> int:
        if atlas not in self._atlases:
            self._atlases.append(atlas)
        return self._atlases.index(atlas)

    def add(
        self,
        x: float,
        baseline: int,
        made: ShapedText,
        cut: tuple[int, int],
        main: Atlas,
        block: int,
        width: float | None = None,
        hyphen: bool = False,
    ) -> None:
        """Place glyphs cut[0] to cut[1] on the baseline at x, followed by a hyphen if `hyphen` is true.

        Spaces are stretched to make the line `width` px wide, unless the gaps would become too wide. main: the atlas
        that gives the line its font size and x-height.
        """
        start, end = cut
        if end <= start:
            return
        pens = made.x[start : end + 1] - (made.x[start] - x)
        numbers, which = made.numbers_G[start:end], made.which_G[start:end]
        letter = made.letter[start : end + 1]
        text = made.text_between(start, end)
        if hyphen:
            atlas = made.atlases[int(which[-1])]
            sign = atlas.glyphs("-")[1]
            pens = np.append(pens, pens[-1] + atlas.measures_5N()[0][sign])
            numbers, which = np.append(numbers, sign), np.append(which, which[-1])
            letter, text = np.append(letter, letter[-1] + 1), text + "-"
        if width is not None and " " in text:
            extra = (width - (pens[-1] - x)) / text.count(" ")
            if -0.25 * main.space < extra < 0.9 * main.size_px:
                pens[1:] += (numbers == 0).cumsum() * extra
        self._lines.append(_Line(text, baseline, main, block, len(numbers)))
        self._x.append(pens)
        self._which.append(which)
        self._numbers.append(numbers)
        self._letters.append(letter[1:] - letter[:-1])

    def finish(self) -> list[LabelledLine]:
        """Draw all glyphs and return the lines. A line is cut before the first word that does not fit on the page."""
        if not self._lines:
            return []
        which_G, numbers_G, letters_G = (np.concatenate(p) for p in (self._which, self._numbers, self._letters))
        count_L = np.array([line.count for line in self._lines])
        base_G = np.repeat([line.baseline for line in self._lines], count_L)
        x = np.concatenate(self._x)
        last_L = np.cumsum(count_L + 1) - 1  # index in x of each line's last pen position
        x_G, step_G = np.delete(x, last_L), np.delete(x[1:] - x[:-1], last_L[:-1])
        fine_G = np.rint(x_G * 4).astype(np.intp)
        measures_5G = np.empty((5, len(x_G)), np.float32)
        for k, atlas in enumerate(self._atlases):
            here = which_G == k
            measures_5G[:, here] = atlas.measures_5N()[:, numbers_G[here]]
        keep_G, texts = self._fitting(fine_G >> 2, base_G, measures_5G, numbers_G, letters_G)
        for k, atlas in enumerate(self._atlases):
            inked = keep_G & (which_G == k) & (numbers_G > 0)
            self._paste(atlas, numbers_G[inked], fine_G[inked], base_G[inked])
        looks = np.array([_look(atlas.face) for atlas in self._atlases], np.uint8)
        styles = np.repeat(looks[which_G], letters_G)
        boxes = _boxes(x_G, step_G, base_G + measures_5G[1], base_G + measures_5G[3], letters_G)
        ends = np.cumsum([len(line.text) for line in self._lines])
        found = []
        for line, text, end in zip(self._lines, texts, ends.tolist(), strict=True):
            if text:
                at, middle = end - len(line.text), line.baseline + line.main.rise / 4
                own = boxes[at : at + len(text)]
                own_styles, main = styles[at : at + len(text)], line.main
                found.append(LabelledLine(text, own, middle, main.x_height, main.size_px, 0.0, line.block, own_styles))
        return found

    def _fitting(
        self, x_G: np.ndarray, base_G: np.ndarray, measures_5G: np.ndarray, numbers_G: np.ndarray, letters_G: np.ndarray
    ) -> tuple[np.ndarray, list[str]]:
        """Return which glyphs (G,) stay on the page, whole words from the left, and the remaining text of each line."""
        height, width = self.ink.shape
        _, top, right, bottom, left = measures_5G
        out = (x_G + left < 0) | (base_G + top < 0) | (x_G + right > width) | (base_G + bottom > height)
        keep_G, texts = np.ones(len(x_G), bool), [line.text for line in self._lines]
        if out.any():
            ends = np.cumsum([line.count for line in self._lines])
            for k in np.unique(np.searchsorted(ends, np.flatnonzero(out), "right")).tolist():
                start, end = int(ends[k]) - self._lines[k].count, int(ends[k])
                first = start + int(out[start:end].argmax())
                blanks = np.flatnonzero(numbers_G[start:first] == 0)
                stop = start + (int(blanks[-1]) if len(blanks) else 0)
                keep_G[stop:end] = False
                texts[k] = texts[k][: int(letters_G[start:stop].sum())]
        return keep_G, texts

    def _paste(self, atlas: Atlas, numbers_G: np.ndarray, fine_G: np.ndarray, base_G: np.ndarray) -> None:
        stride = self.ink.shape[1]
        count_G, offsets_P, ink_P = atlas.pixels(numbers_G, fine_G & 3, stride)
        np.maximum.at(self.ink.reshape(-1), np.repeat(base_G * stride + (fine_G >> 2), count_G) + offsets_P, ink_P)


def _look(face: Face) -> int:
    """Encode the styles of a face as bits."""
    return sum(getattr(face, name) << k for k, name in enumerate(STYLES))


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _boxes(
    x_G: np.ndarray, step_G: np.ndarray, top_G: np.ndarray, bottom_G: np.ndarray, letters_G: np.ndarray
) -> np.ndarray:
    """Return boxes (letters, 4) float32 that tile the line from pen to pen; letters of a ligature share its width."""
    if letters_G.max() > 1:
        step_G = step_G / letters_G
        before = np.cumsum(letters_G) - letters_G
        x_G, step_G, top_G, bottom_G = (np.repeat(v, letters_G) for v in (x_G, step_G, top_G, bottom_G))
        x_G = x_G + (np.arange(len(x_G)) - np.repeat(before, letters_G)) * step_G
    return np.stack([x_G, top_G, x_G + step_G, bottom_G], 1).astype(np.float32)
