"""Text pages: `PageSource.sample(i)` is a pure function of (seed, i).

A page is set like a page of a book or a manual: running head, headings, justified or ragged paragraphs in one or two
columns, lists, code, tables of figures, dotted contents, footers, rules and pictures that hold no text. Every line
keeps a box for each of its characters. About 1,000 small pastes a page: benchmarks/render.py has the rate.
Source of the idea: Vary's data engine, arXiv 2312.06109 section 3.2.2 (PDF pages and their text); here the text is set
directly, so that its boxes are exact and no PDF is needed.
"""

from __future__ import annotations

import numpy as np

from .degrade import degrade
from .glyphs import Atlases, Face
from .sample import Sample
from .text import TextSource
from .typeset import Typesetter, TypeStyle

_STYLES_PER_BLOCK, _BLOCK = 8, 64  # 64 neighbouring samples share 8 type styles, which keeps their atlases warm


class PageSource:
    """Rendered pages of one size.

    height, width: pixels. sizes_px: least and greatest type size, px per em. faces: what `glyphs.find_faces` found;
    `held_out` picks the faces that training never sees. text_style: one of `text.STYLES`, or "mixed" (75% natural).
    degraded: share of pages that get scan defects (`degrade.py`). max_lines: stop after so many lines (curriculum).
    Raises ValueError when no face is left.
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
        text_style: str = "mixed",
        degraded: float = 0.5,
        max_lines: int | None = None,
    ):
        self.text, self.seed, self.height, self.width = text, seed, height, width
        self.sizes_px, self.text_style, self.degraded, self.max_lines = sizes_px, text_style, degraded, max_lines
        chosen = [f for f in faces if f.held_out == held_out]
        if not any(not f.mono for f in chosen):
            raise ValueError(f"none of {len(faces)} faces is a {'held-out' if held_out else 'training'} text face")
        self.families: dict[str, list[Face]] = {}
        for face in chosen:
            self.families.setdefault(face.family, []).append(face)
        self.mono = [f for f in chosen if f.mono and not f.bold and not f.italic]
        self.atlases = Atlases()

    def sample(self, i: int) -> Sample:
        """Page number i. `meta` names its face, size, text style and defects."""
        rng = np.random.default_rng((self.seed, i))
        style = self._style(i, int(rng.integers(_STYLES_PER_BLOCK)))
        text_style = self.text_style
        if text_style == "mixed":
            text_style = ("natural", "shuffled", "pseudo")[int(rng.choice(3, p=(0.75, 0.1, 0.15)))]
        page = Typesetter(self.text, self.atlases, rng, style, text_style, (self.height, self.width), self.max_lines)
        page.set_page()
        image = 255 - page.ink
        lines = [line for line in page.lines if line.text]
        meta = {"face": f"{style.text.family} {style.text.style}", "size_px": style.size_px, "text": text_style}
        if rng.random() < self.degraded:
            image, meta["degraded"] = degrade(image, lines, rng)
        return Sample(image, lines, "page", meta)

    def _style(self, i: int, which: int) -> TypeStyle:
        rng = np.random.default_rng((self.seed, 1 << 40, i // _BLOCK, which))
        names = sorted(self.families)
        weights = np.array([2.5 if n.startswith(("CMU S", "Latin Modern R", "TeX Gyre T")) else 1.0 for n in names])
        weights[[all(f.mono for f in self.families[n]) for n in names]] *= 0.5
        family = self.families[str(rng.choice(names, p=weights / weights.sum()))]

        def pick(bold: bool, italic: bool) -> Face:
            found = [f for f in family if f.bold == bold and f.italic == italic] or family
            return found[int(rng.integers(len(found)))]

        odd = rng.random()
        text = pick(odd < 0.08, 0.08 < odd < 0.16)
        mono = self.mono[int(rng.integers(len(self.mono)))] if self.mono else text
        low, high = self.sizes_px
        band = rng.random()
        if band < 0.65:  # most text of a page that was scaled to be read stands between 12 and 22 px
            low, high = max(low, 11.5), max(low, min(high, 22.0))
        elif band < 0.85:
            high = max(low, min(high, 13.0))
        size = round(float(rng.uniform(low, high)) * 4) / 4
        return TypeStyle(
            text, pick(True, False), pick(False, True), mono, size, int(rng.integers(4)), rng.random() < 0.5
        )
