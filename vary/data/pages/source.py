"""Generate text pages: `PageSource.sample(i)` is a pure function of (seed, i).

A page looks like one of a book or manual: running head, headings, justified or ragged paragraphs in one to three
columns, lists, code, tables of figures, dotted contents, footers, rules and pictures without text. Every line has a box
for each character. benchmarks/render.py measures the rate.
Source of the idea: the data engine of Vary, arXiv 2312.06109 section 3.2.2 (PDF pages and their text). Here the text is
typeset directly, so boxes are exact and no PDF is needed.
"""

from __future__ import annotations

import cv2
import numpy as np

from ...io.errors import InputError
from ..corpus.text import TextSource
from ..degrade import degrade
from ..sample import Sample
from .glyphs import Atlases, Face
from .typeset import Typesetter, TypeStyle

_STYLES = 16  # number of type styles that consecutive samples share
_HEADINGS = (1.0, 1.15, 1.4, 1.7, 2.1)  # heading sizes relative to the text; a style uses two of them


class PageSource:
    """Rendered pages of one size.

    height, width: pixels. sizes_px: smallest and largest font size, px per em. faces: from `glyphs.find_faces`;
    `held_out` selects the faces excluded from training. italic: share of type styles whose text is in italics.
    text_style: one of `text.STYLES`, or "mixed" (75% natural).
    degraded: share of pages with scan defects (`degrade.py`). max_lines: maximum lines on a page, for a curriculum.
    pages_per_style: mean number of pages that share a face and size; more is faster because glyphs are reused. profile:
    a name of `degrade.PROFILES`. Raises ValueError if no face is left.
    """

    def __init__(
        self,
        text: TextSource,
        faces: list[Face],
        *,
        seed: int = 0,
        height: int = 1024,
        width: int = 1024,
        sizes_px: tuple[float, float] = (10.0, 34.0),
        held_out: bool = False,
        italic: float = 0.08,
        text_style: str = "mixed",
        degraded: float = 0.5,
        max_lines: int | None = None,
        pages_per_style: int = 16,
        profile: str = "scan",
    ):
        self.text, self.seed, self.height, self.width = text, seed, height, width
        self.sizes_px, self.text_style, self.degraded, self.max_lines = sizes_px, text_style, degraded, max_lines
        self.italic, self.profile = italic, profile
        self.block = _STYLES * pages_per_style
        chosen = [f for f in faces if f.held_out == held_out]
        if not any(not f.mono for f in chosen):
            raise InputError(f"none of {len(faces)} faces is a {'held-out' if held_out else 'training'} text face")
        self.families: dict[str, list[Face]] = {}
        for face in chosen:
            self.families.setdefault(face.family, []).append(face)
        self._names = sorted(self.families)
        usual = ("CMU S", "Latin Modern R", "TeX Gyre T")
        weights = np.array([2.5 if name.startswith(usual) else 1.0 for name in self._names])
        weights[[all(f.mono for f in self.families[name]) for name in self._names]] *= 0.5
        self._weights = weights / weights.sum()
        self.mono = [f for f in chosen if f.mono and not f.bold and not f.italic]
        self.atlases = Atlases()
        self._styles: dict[tuple[int, int], TypeStyle] = {}

    def sample(self, i: int) -> Sample:
        """Return page i. `meta` names its face, size, text style and defects."""
        rng = np.random.default_rng((self.seed, i))
        style = self._style(i // self.block, int(rng.integers(_STYLES)))
        text_style = self.text_style
        if text_style == "mixed":
            text_style = ("natural", "shuffled", "pseudo")[int(rng.choice(3, p=(0.75, 0.1, 0.15)))]
        page = Typesetter(self.text, self.atlases, rng, style, text_style, (self.height, self.width), self.max_lines)
        page.set_page()
        lines = page.canvas.finish()
        image = cv2.convertScaleAbs(page.canvas.ink, alpha=-page.faint, beta=255)
        meta = {"face": f"{style.text.family} {style.text.style}", "size_px": style.size_px, "text": text_style}
        if rng.random() < self.degraded:
            image, meta["degraded"] = degrade(image, lines, rng, profile=self.profile)
        return Sample(image, lines, "page", meta)

    def _style(self, block: int, which: int) -> TypeStyle:
        if (block, which) not in self._styles:
            if len(self._styles) > 8 * _STYLES:
                self._styles.clear()
            self._styles[block, which] = self._new_style(np.random.default_rng((self.seed, 1 << 40, block, which)))
        return self._styles[block, which]

    def _new_style(self, rng: np.random.Generator) -> TypeStyle:
        family = self.families[str(rng.choice(self._names, p=self._weights))]

        def pick(bold: bool, italic: bool) -> Face:
            found = [f for f in family if f.bold == bold and f.italic == italic] or family
            return found[int(rng.integers(len(found)))]

        odd = rng.random()
        text = pick(odd < 0.08, 0.08 < odd < 0.08 + self.italic)
        mono = self.mono[int(rng.integers(len(self.mono)))] if self.mono else text
        low, high = self.sizes_px
        band = rng.random()
        if band < 0.65:  # most text of a page scaled for reading is 12 to 22 px per em
            low, high = min(max(low, 11.5), high), max(low, min(high, 22.0))
        elif band < 0.85:
            high = max(low, min(high, 13.0))
        size = round(float(rng.uniform(low, high)) * 4) / 4
        rise, ligatures = int(rng.integers(4)), rng.random() < 0.5
        first, second = rng.choice(_HEADINGS, 2).tolist()
        small = float(rng.choice([0.9, 0.95, 1.0]))
        bold, italic = pick(True, False), pick(False, True)
        return TypeStyle(text, bold, italic, mono, size, rise, ligatures, (first, second), small)
