r"""Formulas as glyphs with boxes, and the decoder steps that write them: `FormulaGlyphs.sample(i)`.

Typst sets a formula; its glyphs are read from the PDF's text layer, its rules from the PDF's line objects. No page is
drawn, so a sample costs about a millisecond. Which glyph each step prints is known from the order in which Typst
prints, not guessed from the picture.
Frame of boxes: x right, y down, in 1/16 of the size of the type, so that ordinary 10 pt type is 16 high.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ...io.errors import InputError
from ...io.pdf_layer import GLYPH
from ...io.pdf_objects import read_content
from ...markup.math import write_latex, write_typst
from ...markup.math_nodes import LatexError, Node, Row
from ...markup.math_parser import parse
from ...markup.math_tokens import left_to_right, math_glyphs, to_steps
from ..degrade import degrade
from ..formulas import Grammar
from ..sample import Region
from .typst import draw, load_fonts, print_pdf

EM = 16.0  # units of a box in the size of the type
_POINTS = 10.0  # size of the type that Typst sets
_PER_BLOCK = 16  # formulas that are set in one document
_SHARES = {"fragment": 0.42, "real": 0.36, "composed": 0.22}


@dataclass(frozen=True)
class GlyphFormula:
    """A formula of N glyphs, from left to right by their middles, and of T steps.

    chars: N plain characters. styles (N,) uint8: indices of `STYLES`. boxes (N, 4) float32: x0, y0, x1, y1.
    steps: what to write, without `END`. pointers (T,) int64: the glyph that a step prints, -1 for structure.
    image: (H, W) uint8, 255 = white, where the source draws; image_boxes: the boxes in its pixels.
    """

    chars: str
    styles: np.ndarray
    boxes: np.ndarray
    steps: list[str]
    pointers: np.ndarray
    latex: str
    kind: str
    image: np.ndarray | None = None
    image_boxes: np.ndarray | None = None


class FormulaGlyphs:
    """A source of `GlyphFormula`: real formulas, parts of them, and compositions, with symbols exchanged at random.

    Args:
        formulas: canonical LaTeX (`real_formulas`).
        longest: the most steps of a formula.
        shares: of fragments, real and composed formulas.
        swapped: share of formulas in which symbols are exchanged for others of their kind.
        sizes_px: least and greatest size of the type in drawn images; None draws none.
        max_size: height and width that no image exceeds; the type is made smaller for it.
        degraded: share of images with defects of scans.
        faces: families of mathematical fonts; font_folders: where those are that Typst does not bring along.
    """

    def __init__(
        self,
        formulas: Sequence[str],
        *,
        seed: int = 0,
        longest: int = 152,
        shares: tuple[float, float, float] = (0.42, 0.36, 0.22),
        swapped: float = 0.6,
        sizes_px: tuple[float, float] | None = None,
        max_size: tuple[int, int] = (160, 768),
        degraded: float = 0.25,
        faces: Sequence[str] = ("New Computer Modern Math",),
        font_folders: Sequence[str | Path] = (),
    ):
        if not len(formulas):
            raise InputError("no formulas to set")
        self.formulas, self.seed, self.longest, self.swapped = formulas, seed, longest, swapped
        self.sizes_px, self.max_size, self.degraded = sizes_px, max_size, degraded
        self.shares, self.faces = np.array(shares) / sum(shares), tuple(faces)
        self.fonts = load_fonts(tuple(font_folders))
        self._blocks: dict[int, list[GlyphFormula]] = {}

    def sample(self, i: int) -> GlyphFormula:
        """Formula number i, a pure function of the seed and i."""
        block = i // _PER_BLOCK
        if block not in self._blocks:
            while len(self._blocks) >= 4:
                self._blocks.pop(next(iter(self._blocks)))
            self._blocks[block] = self._set(block)
        return self._blocks[block][i % _PER_BLOCK]

    def _set(self, block: int) -> list[GlyphFormula]:
        """Choose and set `_PER_BLOCK` formulas. One that Typst or the checks refuse is replaced by the next choice."""
        rng = np.random.default_rng((self.seed, 17, block))
        found: list[GlyphFormula] = []
        while len(found) < _PER_BLOCK:
            chosen = [self._choose(rng) for _ in range(_PER_BLOCK - len(found))]
            drawer = None if self.sizes_px is None else partial(self._draw, rng)
            found += typeset_glyphs(chosen, self.faces[int(rng.integers(len(self.faces)))], self.fonts, drawer)
        return found

    def _draw(self, rng: np.random.Generator, page: Any, formula: GlyphFormula) -> GlyphFormula:
        """Return the formula with its image."""
        low, high = np.log(self.sizes_px or (1.0, 1.0))
        wide, tall = page.get_size()
        room = min(self.max_size[0] / tall, self.max_size[1] / wide)
        em = min(float(np.exp(rng.uniform(low, high))), _POINTS * room)
        image, boxes = draw(page, em / _POINTS), formula.boxes * (em / EM)
        if rng.random() < 0.3:
            paper, ink = int(rng.integers(200, 256)), int(rng.integers(0, 100))
            image = np.rint(ink + image / 255.0 * (paper - ink)).astype(np.uint8)
        if rng.random() < self.degraded:
            regions = [Region("glyph", tuple(map(float, box))) for box in boxes]  # type: ignore[arg-type]
            image, _ = degrade(image, [], rng, regions)
            boxes = np.array([r.box for r in regions], np.float32).reshape(-1, 4)
        return replace(formula, image=image, image_boxes=boxes.astype(np.float32))

    def _choose(self, rng: np.random.Generator) -> tuple[str, Row]:
        """Return a kind and a canonical tree of at most `longest` steps."""
        while True:
            kind = str(rng.choice(list(_SHARES), p=self.shares))
            try:
                row = self._tree(kind, rng)
                if rng.random() < self.swapped:
                    row = exchange_symbols(row, rng, float(rng.choice((0.15, 0.4, 0.8))))
                row = parse(write_latex(row))
                count = len(to_steps(row).steps)
                if count <= self.longest and (count > 2 or rng.random() < 0.2):  # a lone letter teaches little
                    return kind, row
            except LatexError:
                continue

    def _tree(self, kind: str, rng: np.random.Generator) -> Row:
        if kind == "composed":
            return parse(Grammar(self.formulas, rng).statement())
        row = _parse(self.formulas[int(rng.integers(len(self.formulas)))])
        if kind == "real":
            return row
        rows = [r for r in _rows(row) if r]
        row = rows[0] if rng.random() < 0.5 else rows[int(rng.integers(len(rows)))]
        count = int(rng.integers(1, 13))
        start = int(rng.integers(max(1, len(row) - count + 1)))
        return row[start : start + count]


@lru_cache(maxsize=1 << 16)
def _parse(latex: str) -> Row:
    return parse(latex)


def _rows(row: Row) -> list[Row]:
    """Return a row and all rows inside it."""
    found = [row]
    for node in row:
        for part in node.parts:
            for inner in part if node.kind == "table" else (part,):
                found += _rows(inner)
    return found


Draw = Callable[[Any, GlyphFormula], GlyphFormula]


def typeset_glyphs(
    chosen: Sequence[tuple[str, Row]], face: str, fonts: Any, drawer: Draw | None = None
) -> list[GlyphFormula]:
    """Set trees in one document and read their glyphs; trees are left out that Typst refuses or prints otherwise.

    drawer: adds an image of its page to a formula.
    """
    pages, kept = [], []
    for kind, row in chosen:
        try:
            pages.append(_page(write_typst(row), face))
            kept.append((kind, row))
        except LatexError:
            continue
    try:
        pdf = print_pdf("\n".join(pages), fonts)
    except ValueError:
        if len(kept) == 1:
            return []
        return [f for one in kept for f in typeset_glyphs([one], face, fonts, drawer)]
    try:
        if len(pdf) != len(kept):
            return []
        found = (_formula(pdf, k, kind, row) for k, (kind, row) in enumerate(kept))
        whole = [(k, f) for k, f in enumerate(found) if f is not None]
        return [f if drawer is None else drawer(pdf[k], f) for k, f in whole]
    finally:
        pdf.close()


def _page(markup: str, face: str) -> str:
    font = f'#show math.equation: set text(font: "{face}")'
    return f"#page(width: auto, height: auto, margin: 2pt)[#set text(size: {_POINTS}pt)\n{font}\n$ {markup} $]"


def _formula(pdf: Any, number: int, kind: str, row: Row) -> GlyphFormula | None:
    steps, content = to_steps(row), read_content(pdf, pdf[number], 1.0)
    text, rules = content.text.select(content.text.kinds == GLYPH), content.objects.rules
    chars, styles, boxes = math_glyphs(text.text, text.boxes, [""] * len(text.text), rules, EM / _POINTS)
    at = _align([steps.steps[k] for k in steps.order], chars)
    if at is None:
        return None
    pointers = np.full(len(steps.steps), -1, np.int64)
    pointers[steps.order] = at
    order = left_to_right(boxes)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    pointers[pointers >= 0] = place[pointers[pointers >= 0]]
    ordered = "".join(chars[k] for k in order)
    return GlyphFormula(ordered, styles[order], boxes[order], steps.steps, pointers, write_latex(row), kind)


def _align(printed: list[str], chars: str) -> list[int] | None:
    """Return the glyph of each printed step, both in the order of printing; None when a step has no glyph."""
    found = [-1] * len(printed)
    for block in SequenceMatcher(None, printed, list(chars), autojunk=False).get_matching_blocks():
        for k in range(block.size):
            found[block.a + k] = block.b + k
    left = sorted(set(range(len(chars))) - set(found))
    for k, at in enumerate(found):
        if at < 0:
            same = [j for j in left if chars[j] == printed[k]]
            if not same:
                return None
            found[k] = same[0]
            left.remove(same[0])
    return found


_KINDS = [
    names.split()
    for names in (
        "a b c d e f g h i j k l m n o p q r s t u v w x y z",
        "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
        r"\alpha \beta \gamma \delta \epsilon \varepsilon \zeta \eta \theta \vartheta \kappa \lambda \mu \nu \xi \pi"
        r" \rho \sigma \tau \phi \varphi \chi \psi \omega \ell \partial",
        r"\Gamma \Delta \Theta \Lambda \Xi \Pi \Sigma \Upsilon \Phi \Psi \Omega \nabla",
        r"= < > \le \ge \ne \ll \gg \equiv \sim \simeq \approx \cong \propto \prec \succ \subset \supset \subseteq"
        r" \supseteq \in \ni \to \mapsto \parallel \vdash \models",
        r"+ - * \pm \mp \times \div \cdot \cap \cup \vee \wedge \setminus \oplus \otimes \odot \circ \bullet \star",
    )
]
_KIND_OF = {name: kind for kind, names in enumerate(_KINDS) for name in names}
DECORATED = 0.12  # share of exchanged letters that get an accent or another font; real formulas have few
_ACCENTS, _FONTS_OF_LETTERS, _FONTS_OF_CAPITALS = (
    names.split()
    for names in (
        r"\hat \hat \bar \tilde \vec \dot \ddot \widehat \overline \check \widetilde",
        r"\mathbf \mathbf \boldsymbol \mathrm \mathfrak \mathsf \mathtt",
        r"\mathbf \mathbb \mathbb \mathcal \mathcal \mathfrak \mathrm \mathsf",
    )
)
_LETTERS = 4  # the first kinds are letters, which also take each other's places


def exchange_symbols(row: Row, rng: np.random.Generator, share: float) -> Row:
    """Exchange a share of a tree's symbols and digits for others of their kind; words stay as they are."""

    def one(node: Node) -> Node:
        if node.kind == "number":
            digits = [str(rng.integers(10)) if c.isdigit() and rng.random() < share else c for c in node.name]
            return replace(node, name="".join(digits))
        if node.kind == "symbol" and (kind := _KIND_OF.get(node.name)) is not None and rng.random() < share:
            names = _KINDS[int(rng.integers(_LETTERS)) if kind < _LETTERS and rng.random() < 0.3 else kind]
            node = replace(node, name=names[int(rng.integers(len(names)))])
            if kind < _LETTERS and rng.random() < DECORATED:
                fonts = _FONTS_OF_CAPITALS if node.name.isupper() else _FONTS_OF_LETTERS
                calls = fonts if len(node.name) == 1 and rng.random() < 0.5 else _ACCENTS
                node = Node("call", calls[int(rng.integers(len(calls)))], "", ((node,),))
            return node
        if node.kind == "call" and node.name == "\\mathrm":
            return node
        if node.kind == "table":
            return replace(node, parts=tuple(tuple(tuple(map(one, c)) for c in line) for line in node.parts))
        return replace(node, parts=tuple(tuple(map(one, part)) for part in node.parts))

    return tuple(map(one, row))
