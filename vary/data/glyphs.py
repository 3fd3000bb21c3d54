"""Font faces, and words drawn from a glyph atlas: the fast way to set a page.

A glyph is drawn once at four times its size and averaged down at four horizontal phases: unhinted grey coverage, as a
PDF renderer draws it, a quarter pixel exact. Words are kept too (a page repeats them), so a page costs about a
thousand small pastes. Frame: pixels, x right, y down, origin top-left; glyph offsets are from the pen on the baseline.
"""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ImageFont

SUPERSAMPLE = 4
LIGATURES = {"ffi": "\ufb03", "ffl": "\ufb04", "ff": "\ufb00", "fi": "\ufb01", "fl": "\ufb02"}  # longest first

# Families that no model of ours is trained on; `sample(..., faces="held-out")` uses these alone.
HELD_OUT = {"Vollkorn", "Caladea", "Comic Neue", "Hack", "Gentium Plus", "TeX Gyre Bonum", "Roboto Condensed"}
# Faces that are no text faces: symbols, one-size and decorative cuts.
_SKIP = re.compile(
    r"math|quot|dunh|unsl|symbol|outline|initial|keyboard|sizeone|sizetwo|sizethree|sizefour|sizefive|integrals|"
    r"variants|nonuni|variable|VF|FONTLOG|BlackItalic|cmunbtl|cmunbto|cmunorm|cmunoti|cmunobi|cmunobx|cmunvi|cmunui|"
    r"lmroman[567]|caps|compact|Hairline|Thin|FreeMonoBoldOblique|webfont|biolinum_K|Condensed(?:Light|Semi)|\[",
    re.I,
)


@dataclass(frozen=True, order=True)
class Face:
    """One font file: its family, and what a page uses it for (`serif`, `sans` or `mono`; weight and slant)."""

    family: str
    style: str
    path: str

    @property
    def held_out(self) -> bool:
        """Whether training never sees it."""
        return self.family in HELD_OUT

    @property
    def mono(self) -> bool:
        """A typewriter face."""
        return bool(
            re.search(r"mono|typewriter|courier|cursor|\bcode\b|hack|inconsolata", self.family + self.style, re.I)
        )

    @property
    def bold(self) -> bool:
        """Heavier than regular."""
        return bool(re.search(r"bold|black|heavy|medium|demi", self.style, re.I))

    @property
    def italic(self) -> bool:
        """Slanted."""
        return bool(re.search(r"ital|obli|slant", self.style, re.I))


def find_faces(*folders: str | Path) -> list[Face]:
    """All text faces below the folders, sorted by family, style and file name: the order is part of the seed."""
    faces: dict[tuple[str, str], Face] = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.[ot]tf")):
            if _SKIP.search(path.name):
                continue
            try:
                family, style = ImageFont.truetype(str(path), 16).getname()
            except OSError:
                continue  # not a font that FreeType reads
            face = Face(family or path.stem, style or "", str(path))
            if _covers_latin(str(path)):
                faces.setdefault((face.family, face.style), face)
    return sorted(faces.values(), key=lambda f: (f.family, f.style, Path(f.path).name))


@functools.cache
def _covers_latin(path: str) -> bool:
    font = ImageFont.truetype(path, 24)
    missing = bytes(font.getmask("\uffff"))
    return all(bytes(font.getmask(ch)) != missing for ch in "aZ09.,()e")


@dataclass(frozen=True)
class Glyph:
    """Coverage of one glyph at one phase; `left` and `top` are its offset from the pen on the baseline, in px."""

    ink: np.ndarray  # (height, width) uint8
    left: int
    top: int
    height: int
    width: int
    advance: float


@dataclass(frozen=True)
class Word:
    """A set word: its glyphs with their offset from the pen, the extent of its ink, its advance, a box per character.

    glyphs: (ink, left, top) each. extent: left, top, right, bottom of the ink. boxes: (x0, y0, x1, y1) per character;
    x from pen to pen, so that boxes tile the word, y from the ink. All relative to the pen on the baseline, in px.
    """

    text: str
    glyphs: tuple[tuple[np.ndarray, int, int], ...]
    extent: tuple[int, int, int, int]
    advance: float
    boxes: tuple[tuple[float, float, float, float], ...]


class Atlas:
    """One face at one size in px per em. Glyphs and words are drawn when first asked for.

    `rise` moves the baseline down by quarters of a pixel: a PDF's baseline seldom falls on a pixel edge.
    """

    def __init__(self, face: Face, size_px: float, rise: int = 0):
        self.face, self.size_px, self.rise = face, size_px, rise
        self.font = ImageFont.truetype(face.path, size_px * SUPERSAMPLE, layout_engine=ImageFont.Layout.BASIC)
        self._missing = bytes(self.font.getmask("\uffff"))
        self._glyphs: dict[tuple[str, int], Glyph] = {}
        self._outlines: dict[str, tuple[np.ndarray, int, int, float]] = {}
        self._kerns: dict[str, float] = {}
        self._words: dict[tuple[str, bool], Word] = {}
        self.x_height = -self.font.getbbox("x", anchor="ls")[1] / SUPERSAMPLE
        self.space = self.font.getlength(" ") / SUPERSAMPLE or 0.28 * size_px
        self._covered: dict[str, bool] = {" ": True}
        self._good: set[str] = set()
        length = self.font.getlength
        self._kerned = any(length(p) != length(p[0]) + length(p[1]) for p in ("AV", "To", "We", "P.", "11"))

    def covers(self, ch: str) -> bool:
        """Whether the face has a glyph of its own for this character."""
        if ch not in self._covered:
            mask = self.font.getmask(ch)
            self._covered[ch] = bytes(mask) != self._missing and mask.size[0] > 0
        return self._covered[ch]

    def glyph(self, ch: str, phase: int) -> Glyph:
        """A character at a horizontal phase of 0 to 3 quarters of a pixel."""
        key = ch, phase
        if key not in self._glyphs:
            self._glyphs[key] = self._draw_glyph(ch, phase)
        return self._glyphs[key]

    def _draw_glyph(self, ch: str, phase: int) -> Glyph:
        s = SUPERSAMPLE
        mask, x_off, y_off, advance = self._outline(ch)
        height, width = mask.shape
        if not mask.size:
            return Glyph(np.zeros((0, 0), np.uint8), 0, 0, 0, 0, advance)
        x_off, y_off = x_off + phase, y_off + self.rise
        left, top = x_off // s, y_off // s  # floor: the fine grid starts on a coarse pixel
        pad_x, pad_y = x_off - left * s, y_off - top * s
        cols, rows = -(-(pad_x + width) // s), -(-(pad_y + height) // s)
        fine = np.zeros((rows * s, cols * s), np.uint16)
        fine[pad_y : pad_y + height, pad_x : pad_x + width] = mask
        coarse = fine.reshape(rows, s, cols, s).sum((1, 3)) // (s * s)
        return Glyph(coarse.astype(np.uint8), left, top, rows, cols, advance)

    def _outline(self, ch: str) -> tuple[np.ndarray, int, int, float]:
        """Fine coverage, its offset from the pen in fine px, and the advance in px: drawn once for all phases."""
        if ch not in self._outlines:
            core, (x_off, y_off) = self.font.getmask2(ch, "L", anchor="ls")
            mask = np.frombuffer(bytes(core), np.uint8).reshape(core.size[::-1])
            self._outlines[ch] = mask, x_off, y_off, self.font.getlength(ch) / SUPERSAMPLE
        return self._outlines[ch]

    def kern(self, pair: str) -> float:
        """Kerning of a pair of characters in px (legacy `kern` table; 0 where the face has none)."""
        if not self._kerned:
            return 0.0
        if pair not in self._kerns:
            alone = self._outline(pair[0])[3] + self._outline(pair[1])[3]
            self._kerns[pair] = self.font.getlength(pair) / SUPERSAMPLE - alone
        return self._kerns[pair]

    def word(self, text: str, ligatures: bool = False) -> Word:
        """Set a word; characters that the face lacks must have been taken out before."""
        key = text, ligatures
        if key not in self._words:
            if len(self._words) > 4000:
                self._words.clear()
            self._words[key] = self._set_word(text, ligatures)
        return self._words[key]

    def _set_word(self, text: str, ligatures: bool) -> Word:
        glyphs, boxes, pen, before = [], [], 0.0, ""
        left = top = right = bottom = 0
        units = [(ch, 1) for ch in text] if not ligatures or "f" not in text else self._units(text)
        for unit, letters in units:  # the inner loop of the data engine: 5,000 turns a page
            if before and self._kerned:
                pen += self.kern(before + unit)
            x, phase = divmod(round(pen * SUPERSAMPLE), SUPERSAMPLE)
            glyph = self._glyphs.get((unit, phase)) or self.glyph(unit, phase)
            x, y, advance = x + glyph.left, glyph.top, glyph.advance
            x_end, y_end = x + glyph.width, y + glyph.height
            glyphs.append((glyph.ink, x, y))
            left, right = x if x < left else left, x_end if x_end > right else right
            top, bottom = y if y < top else top, y_end if y_end > bottom else bottom
            if letters == 1:
                boxes.append((pen, y, pen + advance, y_end))
            else:
                step = advance / letters
                boxes += [(pen + k * step, y, pen + (k + 1) * step, y_end) for k in range(letters)]
            pen, before = pen + advance, unit
        return Word(text, tuple(glyphs), (left, top, right, bottom), pen, tuple(boxes))

    def settable(self, text: str) -> str:
        """The text without the characters that the face lacks."""
        if self._good.issuperset(text):
            return text
        kept = "".join(ch for ch in text if self.covers(ch))
        self._good.update(kept)
        return kept

    def _units(self, text: str) -> list[tuple[str, int]]:
        """Split a word into glyphs, ligatures where the face has them, with the number of letters of each."""
        units, i = [], 0
        while i < len(text):
            for letters, joined in LIGATURES.items():
                if text.startswith(letters, i) and self.covers(joined):
                    units.append((joined, len(letters)))
                    i += len(letters)
                    break
            else:
                units.append((text[i], 1))
                i += 1
        return units


class Atlases:
    """The atlases used last, so that memory stays bounded. What is drawn never depends on what is cached."""

    def __init__(self, capacity: int = 256):
        self.capacity = capacity
        self._kept: OrderedDict[tuple[Face, float, int], Atlas] = OrderedDict()

    def get(self, face: Face, size_px: float, rise: int = 0) -> Atlas:
        """The atlas of a face at a size, new or kept."""
        key = face, size_px, rise
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = Atlas(face, size_px, rise)
            if len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        return self._kept[key]
