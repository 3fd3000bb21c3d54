r"""Render formulas: `FormulaSource.sample(i)` is a cropped displayed formula, a pure function of (seed, i).

The LaTeX is from installable documentation (corpus/formulas.py), alone or composed into larger formulas by a
grammar. Typst draws the canonical tree, several formulas per document. matplotlib's mathtext draws a share of those
that it supports, in other fonts. The target is the canonical LaTeX in `\[ \]` (markup/math.py defines canonical).

Source: Vary's rendered formulas, arXiv 2312.06109 section 3.3.2; GOT-OCR 2.0 trains on a million of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pypdfium2 as pdfium

from ..io.errors import InputError
from ..markup.math import normalise, write_typst
from ..markup.math_nodes import LatexError
from ..markup.math_parser import parse
from ..markup.math_symbols import CALLS, OPERATORS, SPACES, SYMBOLS
from .degrade import degrade
from .documents.typst import draw, ink_box, load_fonts, print_pdf
from .sample import Region, Sample


@dataclass(frozen=True)
class _FormulaStyle:
    """The style of a formula. em_px: type size. padding: left, top, right, bottom, pixels. paper, ink: grey levels."""

    em_px: float
    padding: tuple[int, int, int, int]
    paper: int
    ink: int
    mathtext: str


class FormulaSource:
    """A source of rendered formulas. Eight neighbours share one document, so consecutive samples are cheaper.

    Args:
        formulas: LaTeX without delimiters (`corpus.formulas.formulas_from`).
        seed: seed of all samples.
        composed: share that the grammar composes from two to eight formulas.
        mathtext: share that matplotlib draws, if it supports every symbol.
        degraded: share with scan defects.
        sizes_px: smallest and largest type size, pixels per em.
        max_size: largest height and width of an image; larger formulas are set in smaller type.
        faces: Typst families of mathematical fonts.
        font_folders: folders of fonts that Typst does not contain.

    Raises:
        InputError: there are no formulas, or a family is unknown.
    """

    def __init__(
        self,
        formulas: Sequence[str],
        *,
        seed: int = 0,
        composed: float = 0.4,
        mathtext: float = 0.15,
        degraded: float = 0.25,
        sizes_px: tuple[float, float] = (14.0, 64.0),
        max_size: tuple[int, int] = (768, 1536),
        faces: Sequence[str] = ("New Computer Modern Math",),
        font_folders: Sequence[str | Path] = (),
    ):
        self.formulas, self.seed, self.composed, self.mathtext = formulas, seed, composed, mathtext
        self.degraded, self.sizes_px, self.max_size, self.faces = degraded, sizes_px, max_size, tuple(faces)
        self.fonts = load_fonts(tuple(font_folders))
        if not len(formulas):
            raise InputError("no formulas to draw")
        known = self.fonts.fonts.families()
        if not self.faces or not set(self.faces) <= set(known):
            raise InputError(f"fonts {', '.join(self.faces) or 'none'}; there are {', '.join(known)}")
        self._block: tuple[int, pdfium.PdfDocument] | None = None

    def sample(self, i: int) -> Sample:
        """Return formula number i. `meta` has its font, its size (pixels per em), and whether it was composed."""
        latex, composed = self.latex(i)
        style, rng = self._style(i)
        image = mathtext_image(latex, style.em_px, style.mathtext) if style.mathtext else None
        face = f"mathtext {style.mathtext}" if image is not None else self._face(i)
        em = style.em_px
        if image is None:
            image, em = self._typst(i, style)
        image, em = self._fit(image, em, style)
        x0, y0, x1, y1 = ink_box(image)
        left, top, right, bottom = style.padding
        ink = image[y0:y1, x0:x1].astype(np.float32) / 255
        canvas = np.full((y1 - y0 + top + bottom, x1 - x0 + left + right), style.paper, np.uint8)
        canvas[top : top + y1 - y0, left : left + x1 - x0] = np.rint(style.ink + ink * (style.paper - style.ink))
        box = (float(left), float(top), float(left + x1 - x0), float(top + y1 - y0))
        regions = [Region("formula", box, latex)]
        meta: dict[str, Any] = {"face": face, "size_px": round(em, 2), "composed": composed}
        if style.paper > style.ink and rng.random() < self.degraded:
            canvas, meta["degraded"] = degrade(canvas, [], rng, regions)
        return Sample(canvas, [], "formula", meta, f"\\[ {latex} \\]", None, regions)

    def latex(self, i: int) -> tuple[str, bool]:
        """Return the canonical LaTeX of formula number i, and whether it is composed."""
        rng = np.random.default_rng((self.seed, i, 0))
        if rng.random() < self.composed:
            return normalise(Grammar(self.formulas, rng).statement()), True
        k = int(rng.integers(len(self.formulas)))
        try:
            return normalise(self.formulas[k]), False
        except LatexError as error:
            raise InputError(f"formula {k} {self.formulas[k]!r}: {error}") from None

    def _style(self, i: int) -> tuple[_FormulaStyle, np.random.Generator]:
        rng = np.random.default_rng((self.seed, i, 1))
        low, high = np.log(self.sizes_px)
        em = float(np.exp(rng.uniform(low, high)))
        padding = tuple(int(v) for v in rng.integers(2, max(3, round(1.2 * em)), 4))
        paper, ink = 255, 0
        kind = rng.random()
        if kind > 0.8:
            paper, ink = int(rng.integers(225, 256)), int(rng.integers(0, 90))
        if kind > 0.96:
            paper, ink = ink, paper  # light on dark, as on a blackboard
        fontset = str(rng.choice(MATHTEXT_FONTS)) if rng.random() < self.mathtext else ""
        return _FormulaStyle(em, (padding[0], padding[1], padding[2], padding[3]), paper, ink, fontset), rng

    def _face(self, i: int) -> str:
        return self.faces[int(np.random.default_rng((self.seed, i, 2)).integers(len(self.faces)))]

    def _typst(self, i: int, style: _FormulaStyle) -> tuple[np.ndarray, float]:
        """Return the image of formula i and its em. The type is 10 pt; `_PER_BLOCK` neighbours share one document."""
        start = i - i % _PER_BLOCK
        if self._block is None or self._block[0] != start:
            pages = [self._page(k) for k in range(start, start + _PER_BLOCK)]
            self._block = (start, print_pdf("\n".join(pages), self.fonts))
        page = self._block[1][i - start]
        width, height = page.get_size()
        left, top, right, bottom = style.padding
        room = min((self.max_size[1] - left - right) / width, (self.max_size[0] - top - bottom) / height)
        scale = min(style.em_px / 10, room)
        return draw(page, scale), 10 * scale

    def _page(self, i: int) -> str:
        markup = write_typst(parse(self.latex(i)[0]))
        face = f'#show math.equation: set text(font: "{self._face(i)}")'
        return f"#page(width: auto, height: auto, margin: 2pt)[#set text(size: 10pt)\n{face}\n$ {markup} $]"

    def _fit(self, image: np.ndarray, em: float, style: _FormulaStyle) -> tuple[np.ndarray, float]:
        """Shrink an image of mathtext that is too large."""
        left, top, right, bottom = style.padding
        room = (self.max_size[1] - left - right) / image.shape[1], (self.max_size[0] - top - bottom) / image.shape[0]
        if min(room) >= 1:
            return image, em
        size = int(image.shape[1] * min(room)), int(image.shape[0] * min(room))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA), em * min(room)


class Grammar:
    """Composes larger formulas from real ones. Terms are real formulas without relations, statements are any."""

    def __init__(self, formulas: Sequence[str], rng: np.random.Generator):
        self.formulas, self.rng = formulas, rng

    def statement(self) -> str:
        """Return an equation, a chain of equations, a system, or a definition by cases."""
        kind = self.rng.choice(6, p=(0.4, 0.15, 0.15, 0.12, 0.1, 0.08))
        if kind == 0:
            return self.term() + self.pick(_RELATIONS) + self.term()
        if kind == 1:
            return self.term() + self.pick(_RELATIONS) + self.term() + self.pick(_RELATIONS) + self.term()
        if kind == 2:
            lines = [f"{self.term(1)}&={self.term(1)}" for _ in range(int(self.rng.integers(2, 5)))]
            return "\\begin{aligned}" + r"\\".join(lines) + "\\end{aligned}"
        if kind == 3:
            cases = [f"{self.term(2)}&{self.real(30)}" for _ in range(int(self.rng.integers(2, 4)))]
            return self.term(2) + "=\\begin{cases}" + r"\\".join(cases) + "\\end{cases}"
        if kind == 4:
            return self.real(60) + self.pick((",\\quad ", "\\quad\\text{and}\\quad ", ",\\qquad ")) + self.real(60)
        return self.real(60) + self.pick(("\\implies ", "\\iff ")) + self.real(60)

    def term(self, depth: int = 0) -> str:
        """Return a real term, or one built around others; at depth 3 always a real one."""
        kind = int(self.rng.choice(9, p=(0.4, 0.12, 0.12, 0.08, 0.08, 0.06, 0.06, 0.04, 0.04))) if depth < 3 else 0
        if kind == 0:
            return self.real(24, True)
        a = self.term(depth + 1)
        if kind == 1:
            return a + self.pick(("+", "-")) + self.term(depth + 1)
        if kind == 2:
            return f"\\frac{{{a}}}{{{self.term(depth + 1)}}}"
        if kind == 3:
            return f"\\left({a}\\right)^{{{self.pick(('2', 'n', '-1', 'k', 'T', '1/2'))}}}"
        if kind == 4:
            bounds = self.pick(("_{i=1}^{n}", "_{k=0}^{\\infty}", "_{j}", "_{i\\ne j}", "_{k=1}^{K}"))
            return self.pick(("\\sum", "\\sum", "\\prod")) + bounds + a
        if kind == 5:
            bounds = self.pick(("_{0}^{1}", "_{-\\infty}^{\\infty}", "_{a}^{b}", "", "_{\\Omega}"))
            return f"\\int{bounds} {a}\\,d" + self.pick(("x", "t", "u", "\\mu ", "s"))
        if kind == 6:
            return f"\\sqrt{{{a}}}"
        if kind == 7:
            return self.pick(("\\log", "\\exp", "\\sin", "\\max", "\\det")) + f"\\left({a}\\right)"
        wide, high = self.rng.integers(2, 4, 2)
        cells = r"\\".join("&".join(self.real(8, True) for _ in range(wide)) for _ in range(high))
        return f"\\begin{{pmatrix}}{cells}\\end{{pmatrix}}" if kind == 8 else a

    def pick(self, choices: Sequence[str]) -> str:
        """Choose one."""
        return choices[int(self.rng.integers(len(choices)))]

    def real(self, max_chars: int, term: bool = False) -> str:
        """Return a real formula of at most `max_chars` characters, or the shortest that was tried."""
        best = "x"
        for _ in range(40):
            found = re.sub(r"(?<!\\)(?<!\\right)[.,;]+$", "", self.pick(self.formulas))
            if len(found) > 3 * max_chars or "\\\\" in found or not found or (term and not _is_term(found)):
                continue
            if len(found) <= max_chars:
                return found
            best = found if best == "x" or len(found) < len(best) else best
        return best


_PER_BLOCK = 8
_RELATIONS = ("=", "=", "=", "=", "\\le ", "\\ge ", "<", "\\approx ", "\\sim ", ":=", "\\ne ", "\\equiv ", "\\propto ")
_IN_TERMS = frozenset("+-*/()[]|") | {
    "\\cdot",
    "\\times",
    "\\partial",
    "\\nabla",
    "\\infty",
    "\\circ",
    "\\|",
    "\\ldots",
}


def _is_term(latex: str) -> bool:
    """Return whether the outer level has no relation, comma or text."""
    row = parse(latex)
    return all(
        n.kind in ("number", "scripts", "fence", "operator")
        or (n.kind == "call" and CALLS[n.name].ordinary)
        or (n.kind == "symbol" and (SYMBOLS.get(n.name, n.name).isalpha() or n.name in _IN_TERMS))
        for n in row
    )


# -- the second engine ----------------------------------------------------------------------------------------------
MATHTEXT_FONTS = ("stix", "dejavuserif", "stixsans", "dejavusans", "cm")
# commands that mathtext draws as LaTeX does; it rejects the others or draws them differently
_MATHTEXT_CALLS = frozenset(
    re.findall(
        r"\\\w+", r"\frac\sqrt\mathrm\mathbf\mathcal\mathbb\hat\bar\tilde\vec\dot\ddot\left\right\overline\operatorname"
    )
)
_MATHTEXT_NAMES = {"le": r"\leq", "ge": r"\geq", "gets": r"\leftarrow", "iff": r"\Longleftrightarrow"}
_MATHTEXT_NAMES |= {"implies": r"\Longrightarrow", "impliedby": r"\Longleftarrow"}


def mathtext_image(latex: str, em_px: float, fontset: str) -> np.ndarray | None:
    """Draw a formula with matplotlib, (H, W) uint8 on white; None if it cannot draw all of it."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser

    commands = set(re.findall(r"\\[a-zA-Z]+", latex))
    if not all(c in SYMBOLS or c in OPERATORS or c in SPACES or c in _MATHTEXT_CALLS for c in commands):
        return None
    if "{}" in latex or re.search(r"\\not\\|\\math(?:bb|cal)\{[^}]*[^A-Z}]", latex):
        return None
    spelt = re.sub(r"\\(le|ge|gets|implies|impliedby|iff)(?![a-zA-Z])", lambda m: _MATHTEXT_NAMES[m.group(1)], latex)
    heard, logger = _Heard(), logging.getLogger("matplotlib.mathtext")
    level = logger.level
    logger.addFilter(heard)
    logger.setLevel(logging.WARNING)
    try:
        with matplotlib.rc_context({"mathtext.default": "it", "mathtext.fallback": "cm"}):
            face = FontProperties(size=em_px, math_fontfamily=fontset)
            drawn = MathTextParser("agg").parse(f"${spelt}$", 72, face)  # not cached: that would give no warning
    except ValueError:
        return None
    finally:
        logger.removeFilter(heard)
        logger.setLevel(level)
    image = 255 - np.asarray(drawn.image, np.uint8)
    return None if heard.count or not (image < 128).any() else np.pad(image, 1, constant_values=255)


class _Heard(logging.Filter):
    """Counts warnings and suppresses them: mathtext reports only there that it replaced a symbol by a dummy."""

    count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Count a record and drop it."""
        self.count += 1
        return False
