"""Render document pages with Markdown targets: `DocumentSource.sample(i)` is a pure function of (seed, i).

Typst sets the content in one of `TEMPLATES`, several pages at a time, and PDFium draws it. The colour of each character
names its piece of the source (templates.py). So the target of a page is cut from the source exactly where Typst broke
the page, in the order of the source whatever the columns (page_split.py). A page that differs from its source is not
used, and `refused` counts the reason.

Source: Vary, arXiv 2312.06109 section 3.3.2 (LaTeX sources re-typeset through templates, Markdown as the target).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...io.errors import ConfigError, InputError
from ...markup.blocks import TABLES, Block, Code, Formula, Heading, pieces, to_markdown
from ...markup.tables import Table
from ..sample import Sample
from .content import Composer, Content
from .page_split import Page, PageCutter, PageMismatch, lines_of, regions_of
from .templates import (
    MAX_PIECE,
    TEMPLATES,
    DocumentStyle,
    Template,
    draw_families,
    draw_style,
    to_typst,
)
from .typst import compile_markup, load_fonts

HEADS = ("keep", "drop")
ATTEMPTS = 6  # documents tried before an error


@dataclass
class Sheet:
    """A usable page: the page of the PDF, what it shows, pixels per point, and its `meta`."""

    pdf: Any
    page: Page
    scale: float
    meta: dict[str, Any]


class DocumentSource:
    """A source of typeset pages of one size with their Markdown.

    `refused` counts unused pages by reason, `left_out` unused parts of the content.

    Args:
        content: the material.
        seed: seed of all samples.
        height: height of the image, pixels. The page keeps its shape; white is added at the right and the bottom.
        width: width of the image, pixels.
        templates: names of TEMPLATES, None for all.
        fonts: folders of fonts in addition to Typst's own; Chinese needs one.
        pages: pages of one document. Samples with the same i // pages are of one document, so neighbours are cheap.
        tables: one of `blocks.TABLES`.
        toned: share of pages on tinted paper or light on dark.
        heads: "keep" running heads, page numbers and footers in the target, or "drop" them. They are printed in any
            case.

    Raises:
        ConfigError: a template or an option is unknown.
        InputError: the content is Chinese and no font has Chinese characters.
    """

    def __init__(
        self,
        content: Content,
        seed: int = 0,
        *,
        height: int = 1024,
        width: int = 1024,
        templates: Sequence[str] | None = None,
        fonts: Sequence[str | Path] = (),
        pages: int = 8,
        tables: str = "latex",
        heads: str = "keep",
        toned: float = 0.0,
    ):
        self.content, self.seed, self.height, self.width = content, seed, height, width
        self.templates = sorted(TEMPLATES) if templates is None else list(templates)
        for name in self.templates:
            if name not in TEMPLATES:
                raise ConfigError(f"unknown template {name!r}; allowed: {', '.join(sorted(TEMPLATES))}")
        if heads not in HEADS or tables not in TABLES:
            raise ConfigError(f"heads {heads!r}, tables {tables!r}; allowed: {', '.join(HEADS)}; {', '.join(TABLES)}")
        self.pages, self.tables, self.heads, self.toned = pages, tables, heads, toned
        self.fonts = load_fonts(tuple(str(folder) for folder in fonts))
        if content.language == "zh" and not self.fonts.families["cjk"]:
            raise InputError(f"no font with Chinese characters in {[str(folder) for folder in fonts]}")
        self._signs = "".join(sorted(set(content.prose))) if isinstance(content.prose, str) else ""
        self.refused: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter(content.left_out)
        self._bad: frozenset[tuple[str, bool]] = frozenset()  # formulas that Typst rejects
        self._last: tuple[int, list[Sheet]] = (-1, [])

    def sample(self, i: int) -> Sample:
        """Return page i. `meta` has the template, the fonts and the page number; regions are blocks and formulas."""
        sheet = self.sheets(i // self.pages)[i % self.pages]
        bitmap = sheet.pdf.render(scale=sheet.scale, grayscale=True, may_draw_forms=False)
        drawn = bitmap.to_numpy().reshape(bitmap.height, bitmap.width)[: self.height, : self.width]
        image = np.full((self.height, self.width), 255, np.uint8)
        image[: drawn.shape[0], : drawn.shape[1]] = drawn
        page = sheet.page
        target = to_markdown(page.blocks if self.heads == "keep" else page.body(), self.tables)
        meta = dict(sheet.meta)
        rng = np.random.default_rng((self.seed, 13, i))
        if rng.random() < self.toned:
            image, meta["tone"] = tone(image, rng)
        return Sample(image, lines_of(page), "document", meta, target, None, regions_of(page, self.tables))

    def sheets(self, number: int) -> list[Sheet]:
        """Return the pages of a document. Those of the last one are kept."""
        if self._last[0] == number:
            return self._last[1]
        sheets: list[Sheet] = []
        for attempt in range(ATTEMPTS):
            sheets += self._document(number, attempt)
            if len(sheets) >= self.pages:
                self._last = number, sheets[: self.pages]
                return self._last[1]
        raise InputError(f"document {number}: {ATTEMPTS} attempts gave {len(sheets)} good pages: {dict(self.refused)}")

    def _document(self, number: int, attempt: int) -> list[Sheet]:
        """Return the usable pages of one typeset document."""
        import pypdfium2
        import typst

        grown = 1.2
        while True:
            name, template, style, composer, blocks = self.compose(number, attempt, grown)
            try:
                source = to_typst(blocks, template, style, composer.math)
                pdf = pypdfium2.PdfDocument(compile_markup(source, self.fonts, pdf_tags=False))
            except typst.TypstError as error:
                bad = {key for key, math in composer.math.items() if not self._compiles(math)}
                if not bad:
                    raise InputError(f"document {number}, template {name}: Typst says: {error}") from None
                self._bad |= bad
                self.left_out["formula that Typst does not take"] += len(bad)
                continue
            if len(pdf) >= self.pages or grown > 4:
                break
            grown *= 1.2
        self.left_out += composer.left_out
        scale = min(self.height / template.paper[1], self.width / template.paper[0])
        cutter = PageCutter(blocks, template, style, scale)
        sheets = []
        for shown, pdf_page in enumerate(islice(pdf, self.pages), style.first_page):
            try:
                page = cutter.read(pdf_page, shown)
            except PageMismatch as reason:
                self.refused[str(reason)] += 1
                continue
            meta = {"template": name, "fonts": list(style.families), "size_pt": style.size, "page": shown}
            sheets.append(Sheet(pdf_page, page, scale, meta | {"document": number, "language": style.language}))
        return sheets

    def compose(
        self, number: int, attempt: int, grown: float
    ) -> tuple[str, Template, DocumentStyle, Composer, list[Block]]:
        """Compose blocks for about `grown` times the pages needed."""
        rng = np.random.default_rng((self.seed, 11, number, attempt))
        name = self.templates[int(rng.integers(len(self.templates)))]
        template, language = TEMPLATES[name], self.content.language
        families, mono = draw_families(template, rng, self.fonts.families, language)

        def lacking(text: str, code: bool = False) -> set[str]:
            return self.fonts.missing(text, (mono, *families) if code else families)

        lacking(self._signs)  # in one call: a few characters cost as much as thousands
        composer = Composer(self.content, template, rng, self._bad, lacking)
        style = draw_style(template, rng, families, mono, composer.names, language)
        width = (template.paper[0] - 2 * template.margin[0]) / template.columns / style.size
        height = (template.paper[1] - 2 * template.margin[1]) / (style.size * (0.7 + style.leading))
        per_line = width * (1.0 if language == "zh" else 2.1)
        room, count = grown * self.pages * template.columns * height, 1
        blocks: list[Block] = []
        for group in composer.groups(style.first_note):
            count += sum(len(pieces(block)) for block in group)
            if count > MAX_PIECE:
                break
            blocks += group
            room -= sum(_height(block, per_line) for block in group)
            if room < 0:
                break
        return name, template, style, composer, blocks

    def _compiles(self, math: str) -> bool:
        import typst

        try:
            compile_markup(f"$ {math} $", self.fonts, pdf_tags=False)
        except typst.TypstError:
            return False
        return True


def tone(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int]]:
    """Print a page on tinted paper, or light on dark (a third of the pages). Return it and its grey levels."""
    paper, ink = int(rng.integers(190, 250)), int(rng.integers(0, 90))
    if rng.random() < 1 / 3:
        paper, ink = int(rng.integers(0, 70)), int(rng.integers(190, 256))
    levels = np.rint(ink + np.arange(256) / 255 * (paper - ink)).astype(np.uint8)
    return levels[image], (paper, ink)


def _height(block: Block, per_line: float) -> float:
    """Estimate how many lines of text a block needs."""
    if isinstance(block, Formula):
        return 3.5
    if isinstance(block, Code):
        return 2 + 0.8 * (1 + block.text.count("\n"))
    if isinstance(block, Table):
        return 3 + 1.3 * len(block.rows)
    length = sum(len(run.text) for run in block.runs)
    return length / per_line + (2.5 if isinstance(block, Heading) else 1.0)
