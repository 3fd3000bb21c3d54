"""Find font faces and keep atlases of their drawn glyphs, so that pages can be set fast.

A glyph is drawn once at four times its size and averaged down at four horizontal phases. The result is unhinted grey
coverage with quarter-pixel positions, as PDF renderers draw. An atlas stores the inked pixels of its glyphs in one flat
array, so one index operation fetches all pixels of a page. Frame: pixels, x right, y down, origin top-left; glyph
offsets are relative to the pen on the baseline. Shapes: G glyphs of a text, N glyphs of an atlas, P inked pixels.
"""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFont

from ..corpus.download import FONTS, fetch

SUPERSAMPLE = 4
_CHARACTERS = 1 << 18  # the Unicode planes with letters
LIGATURES = {"ffi": "\ufb03", "ffl": "\ufb04", "ff": "\ufb00", "fi": "\ufb01", "fl": "\ufb02"}  # longest first

_LETTERS = {joined: len(letters) for letters, joined in LIGATURES.items()}

# Families excluded from training, so that a test can use unseen fonts.
HELD_OUT = {"Vollkorn", "Caladea", "Comic Neue", "Hack", "Gentium Plus", "TeX Gyre Bonum", "Roboto Condensed"}
# Files to skip because they are not for text: symbols, single sizes, decorative variants.
_SKIP = re.compile(
    r"math|quot|dunh|unsl|symbol|outline|initial|keyboard|sizeone|sizetwo|sizethree|sizefour|sizefive|integrals|"
    r"variants|nonuni|variable|VF|FONTLOG|BlackItalic|cmunbtl|cmunbto|cmunorm|cmunoti|cmunobi|cmunobx|cmunvi|cmunui|"
    r"lmroman[567]|caps|compact|Hairline|Thin|FreeMonoBoldOblique|webfont|biolinum_K|Condensed(?:Light|Semi)|\[",
    re.I,
)


@dataclass(frozen=True, order=True)
class Face:
    """One font file with its family and style; weight, slant and pitch are derived from the names."""

    family: str
    style: str
    path: str

    def has(self, text: str) -> bool:
        """Return whether the face has a glyph for each character of a text."""
        return all(_coverage(self.path)[ch] for ch in text)

    @property
    def held_out(self) -> bool:
        """Whether the face is excluded from training."""
        return self.family in HELD_OUT

    @property
    def mono(self) -> bool:
        """Whether the face is monospaced."""
        return bool(
            re.search(r"mono|typewriter|courier|cursor|\bcode\b|hack|inconsolata", self.family + self.style, re.I)
        )

    @property
    def bold(self) -> bool:
        """Whether the face is heavier than regular."""
        return bool(re.search(r"bold|black|heavy|medium|demi", self.style, re.I))

    @property
    def italic(self) -> bool:
        """Whether the face is slanted."""
        return bool(re.search(r"ital|obli|slant", self.style, re.I))


def find_faces(*folders: str | Path) -> list[Face]:
    """Find all text faces in folders, sorted by family, style and file name. Samples depend on this order."""
    faces: dict[tuple[str, str], Face] = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.[ot]tf")):
            if _SKIP.search(path.name):
                continue
            try:
                family, style = ImageFont.truetype(str(path), 16).getname()
            except OSError:
                continue  # FreeType cannot read it
            face = Face(family or path.stem, style or "", str(path))
            if _covers_latin(str(path)):
                faces.setdefault((face.family, face.style), face)
    return sorted(faces.values(), key=lambda f: (f.family, f.style, Path(f.path).name))


def english_faces() -> list[Face]:
    """Find the faces of the packages in `download.FONTS`; packages are fetched on first use."""
    return find_faces(*(fetch(f"deb:{font}") for font in FONTS))


@functools.cache
def _covers_latin(path: str) -> bool:
    font = ImageFont.truetype(path, 24)
    missing = bytes(font.getmask("\uffff"))
    return all(bytes(font.getmask(ch)) != missing for ch in "aZ09.,()e")


@functools.cache
def _coverage(path: str) -> _Coverage:
    return _Coverage(path)


class _Coverage(dict[str, bool]):
    """Cache of which characters a face has its own glyph for."""

    def __init__(self, path: str):
        self.font = ImageFont.truetype(path, 24, layout_engine=ImageFont.Layout.BASIC)
        self.missing = bytes(self.font.getmask("\uffff"))
        self[" "] = True

    def __missing__(self, ch: str) -> bool:
        mask = self.font.getmask(ch)
        self[ch] = found = bytes(mask) != self.missing and mask.size[0] > 0
        return found


class Atlas:
    """One face at one size in px per em. Glyphs are drawn on first use and numbered in that order.

    `rise` moves the baseline down by quarters of a pixel, because in a PDF it rarely falls on a pixel edge.
    """

    def __init__(self, face: Face, size_px: float, rise: int = 0):
        self.face, self.size_px, self.rise = face, size_px, rise
        self.font = ImageFont.truetype(face.path, size_px * SUPERSAMPLE, layout_engine=ImageFont.Layout.BASIC)
        self.x_height = -self.font.getbbox("x", anchor="ls")[1] / SUPERSAMPLE
        self.space = self.font.getlength(" ") / SUPERSAMPLE or 0.28 * size_px
        self._covered = _coverage(face.path)
        # Glyph number of each character plus one; 0: not looked up yet, -1: not in the face. Zeros use no memory.
        self._numbers = np.zeros(_CHARACTERS, np.int16)
        self._numbers[ord(" ")] = 1
        self._glyphs: list[tuple[str, float, float, float, float, float]] = [
            (" ", self.space, -self.x_height, 0.0, 0.0, 0.0)
        ]
        self._masks: list[tuple[np.ndarray, int, int]] = []  # drawn at the fine resolution, not yet averaged down
        self._measures = np.zeros((5, 0), np.float32)
        self._letters = np.zeros(0, np.intp)
        self._pixels = _Pixels.none()
        length = self.font.getlength
        kerned = any(length(p) != length(p[0]) + length(p[1]) for p in ("AV", "To", "We", "P.", "11"))
        self._kerns: np.ndarray | None = np.full((64, 64), np.nan, np.float32) if kerned else None

    def covers(self, ch: str) -> bool:
        """Return whether the face has its own glyph for this character."""
        return self._covered[ch]

    def glyphs(self, text: str, ligatures: bool = False) -> tuple[str, np.ndarray]:
        """Return (text without missing characters and with single spaces, its glyph numbers (G,)).

        ligatures: use one glyph for several letters where the face has it. Glyph 0 is the space.
        """
        numbers_G = self._look_up(self._ligate(text) if ligatures else text)
        if len(numbers_G) and numbers_G.min() < 0:
            lacking = [ord(ch) for ch in set(text) if not self._covered[ch]]
            if lacking:
                self._numbers[lacking] = -1
                text = " ".join(text.translate(dict.fromkeys(lacking)).split())
            shown = self._ligate(text) if ligatures else text
            for ch in sorted({ch for ch in shown if not self._numbers[ord(ch)]}):
                self._draw(ch)
            numbers_G = self._look_up(shown)
        return text, numbers_G

    def _look_up(self, text: str) -> np.ndarray:
        return self._numbers[np.frombuffer(text.encode("utf-32-le"), np.uint32)] - 1

    def _ligate(self, text: str) -> str:
        if "f" in text:
            for letters, joined in LIGATURES.items():
                if letters in text and self._covered[joined]:
                    text = text.replace(letters, joined)
        return text

    def measures_5N(self) -> np.ndarray:
        """Return per glyph, in px from the pen: advance, then top, right, bottom and left of its ink at any phase."""
        if self._measures.shape[1] != len(self._glyphs):
            self._measures = np.array([g[1:] for g in self._glyphs], np.float32).T
        return self._measures

    def letters_N(self) -> np.ndarray:
        """Return the number of letters of each glyph; it is above one only for ligatures."""
        if len(self._letters) != len(self._glyphs):
            self._letters = np.array([_LETTERS.get(ch, 1) for ch, *_ in self._glyphs])
        return self._letters

    def advances_G(self, numbers_G: np.ndarray) -> np.ndarray:
        """Return pen-to-pen distances in px for a text's glyphs, kerned if the face has a legacy `kern` table."""
        steps = self.measures_5N()[0][numbers_G]
        if self._kerns is not None and len(numbers_G) > 1:
            before, after = numbers_G[:-1], numbers_G[1:]
            while len(self._glyphs) > len(self._kerns):
                self._kerns = np.pad(self._kerns, (0, len(self._kerns)), constant_values=np.nan)
            kerns = self._kerns[before, after]
            if np.isnan(kerns).any():
                for pair in {(int(before[k]), int(after[k])) for k in np.flatnonzero(np.isnan(kerns))}:
                    self._kerns[pair] = self._kern(*pair)
                kerns = self._kerns[before, after]
            steps[:-1] += kerns
        return steps

    def advance(self, text: str) -> float:
        """Return the width of a text in px. The face must have all its characters."""
        return float(self.advances_G(self.glyphs(text)[1]).sum())

    def _kern(self, before: int, after: int) -> float:
        if not before or not after:
            return 0.0
        (one, first, *_), (two, second, *_) = self._glyphs[before], self._glyphs[after]
        return self.font.getlength(one + two) / SUPERSAMPLE - first - second

    def pixels(self, numbers_G: np.ndarray, phases_G: np.ndarray, stride: int) -> tuple[np.ndarray, ...]:
        """Return the inked pixels of glyphs at phases of 0 to 3 quarter pixels.

        Returns the number of pixels per glyph (G,), their offsets (P,) from the pen on a page with rows of `stride`
        pixels, and their coverage (P,) uint8.
        """
        if self._masks:
            self._pixels = self._pixels.join(self._masks)
            self._masks = []
        kept = self._pixels
        numbers_G = numbers_G - 1  # the space has no ink
        count_G = kept.count_N4[numbers_G, phases_G]
        at_P = np.repeat(kept.start_N4[numbers_G, phases_G] - np.cumsum(count_G) + count_G, count_G)
        at_P += np.arange(len(at_P))
        return count_G, (kept.y * stride + kept.x)[at_P], kept.ink[at_P]

    def _draw(self, ch: str) -> None:
        """Draw one more glyph at the fine resolution and measure it."""
        s = SUPERSAMPLE
        core, (x, y) = self.font.getmask2(ch, "L", anchor="ls")
        mask = np.asarray(Image.Image()._new(core))  # faster than `bytes(core)`
        high, wide = mask.shape
        y += self.rise
        top, right, bottom, left = y // s, -(-(x + s - 1 + wide) // s), -(-(y + high) // s), x // s
        if not mask.size:
            top = right = bottom = left = 0
        self._numbers[ord(ch)] = len(self._glyphs) + 1
        self._glyphs.append((ch, self.font.getlength(ch) / s, top, right, bottom, left))
        self._masks.append((mask, x, y))


@dataclass(frozen=True)
class _Pixels:
    """The inked pixels of N glyphs at four phases, flattened to P; x and y are offsets from the pen."""

    start_N4: np.ndarray
    count_N4: np.ndarray
    x: np.ndarray
    y: np.ndarray
    ink: np.ndarray

    @classmethod
    def none(cls) -> _Pixels:
        table, offsets = np.zeros((0, SUPERSAMPLE), np.int32), np.zeros(0, np.int32)
        return cls(table, table, offsets, offsets, np.zeros(0, np.uint8))

    def join(self, masks: list[tuple[np.ndarray, int, int]]) -> _Pixels:
        """Append glyphs: fine masks and their offsets from the pen, in fine pixels."""
        s = SUPERSAMPLE
        row_N = np.cumsum([0] + [-(-(y % s + len(mask)) // s) for mask, _, y in masks])
        cols = max(-(-(x % s + s - 1 + mask.shape[1]) // s) for mask, x, _ in masks)
        # Stack the masks vertically, each aligned to a coarse pixel; s empty columns leave room for the phases.
        fine = np.zeros((int(row_N[-1]) * s, (cols + 1) * s), np.uint8)
        for row, (mask, x, y) in zip(row_N.tolist(), masks, strict=False):
            top, left = row * s + y % s, s + x % s
            fine[top : top + len(mask), left : left + mask.shape[1]] = mask
        high = int(row_N[-1])
        phases = [fine[:, s - p : s - p + cols * s] for p in range(s)]
        coarse = np.concatenate([cv2.resize(f, (cols, high), interpolation=cv2.INTER_AREA) for f in phases]).ravel()
        at_P = np.flatnonzero(coarse).astype(np.int32)
        first_4N = row_N[:-1] + np.arange(s)[:, None] * high
        start_4N = np.searchsorted(at_P, first_4N * cols)
        count_N4 = np.diff(start_4N.ravel(), append=len(at_P)).reshape(s, -1).T
        y_P, x_P = np.divmod(at_P, cols)
        x_P += np.repeat(np.tile([x // s for _, x, _ in masks], s), count_N4.T.ravel()).astype(np.int32)
        y_P += np.repeat(np.tile([y // s for _, _, y in masks], s) - first_4N.ravel(), count_N4.T.ravel())
        return _Pixels(
            np.concatenate([self.start_N4, start_4N.T + len(self.ink)]),
            np.concatenate([self.count_N4, count_N4]),
            np.concatenate([self.x, x_P]),
            np.concatenate([self.y, y_P]),
            np.concatenate([self.ink, coarse[at_P]]),
        )


class Atlases:
    """A bounded cache of atlases. What is drawn does not depend on what is cached."""

    def __init__(self, capacity: int = 256):
        self.capacity = capacity
        self._kept: OrderedDict[tuple[Face, float, int], Atlas] = OrderedDict()

    def get(self, face: Face, size_px: float, rise: int = 0) -> Atlas:
        """Return the atlas of a face at a size, from the cache or new."""
        key = face, size_px, rise
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = Atlas(face, size_px, rise)
            if len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        return self._kept[key]
