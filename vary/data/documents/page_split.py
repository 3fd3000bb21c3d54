"""Find out what each typeset page shows: assign every character of its text layer to a piece of the source by colour.

Each piece is compared with its printed characters one by one. So the blocks of a page are exactly what it shows: a
paragraph ends where the page does, even inside a word. A difference raises `PageMismatch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...io.box import Box, union
from ...io.pdf_layer import GENERATED, HYPHEN, TextLayer
from ...io.pdf_text import read_text_layer
from ...markup.blocks import (
    Block,
    Code,
    Formula,
    Heading,
    Item,
    Note,
    Paragraph,
    Quote,
    Run,
    Share,
    cut,
    pieces,
    to_markdown,
)
from ...markup.tables import Table
from ..pdfs.text_layer import text_lines
from ..sample import LabelledLine, Region
from .templates import FOOT, HEAD, DocumentStyle, Template, running_texts

_LABELS: dict[type, str] = {
    Heading: "heading", Paragraph: "text", Item: "list item", Quote: "text", Note: "footnote", Formula: "formula",
    Code: "code", Table: "table",
}  # fmt: skip
_DASHES = ("-", "\u2010")


class PageMismatch(Exception):
    """A page differs from its source, and is not used. The message says how."""


@dataclass
class Page:
    """What one page shows. blocks: running head, body, footnotes, footer. head, foot: how many of them are heads and
    footers.

    numbers (N,): the piece of each character of the layer. owners (N,): the block of each character, -1 for none.
    formulas: the piece of each formula -> its LaTeX. captions: the pieces of the captions of tables.
    """

    layer: TextLayer
    numbers: np.ndarray
    owners: np.ndarray
    blocks: list[Block]
    head: int
    foot: int
    formulas: dict[int, str]
    captions: list[int]

    def body(self) -> list[Block]:
        """Return the blocks without running head and footer."""
        return self.blocks[self.head : len(self.blocks) - self.foot]


class PageCutter:
    """Follows the pieces of a document through its pages, which must be read in order."""

    def __init__(self, blocks: list[Block], template: Template, style: DocumentStyle, scale: float):
        self.blocks, self.template, self.style, self.scale = blocks, template, style, scale
        self.texts: list[str | None] = [""]
        self.starts: list[int] = []
        self.formulas: dict[int, str] = {}
        self.captions: list[int] = []
        for block in blocks:
            start = len(self.texts)
            self.starts.append(start)
            self.texts += [None if piece is None else "".join(piece.split()) for piece in pieces(block)]
            if isinstance(block, Table):
                self.captions.append(start)
            elif isinstance(block, Formula):
                self.formulas[start] = block.latex
            elif not isinstance(block, Code):
                shift = start + isinstance(block, Item)
                self.formulas |= {shift + k: run.text for k, run in enumerate(block.runs) if run.style == "math"}
        self.starts.append(len(self.texts))
        self.done = [0] * len(self.texts)

    def read(self, sheet: Any, number: int) -> Page:
        """Return the page with that printed number. Raises PageMismatch if it differs from the source."""
        layer = read_text_layer(sheet, self.scale)
        inks, before = layer.colours, list(self.done)
        numbers = (inks >> 8 & 0xF00) | (inks >> 4 & 0xF0) | (inks & 0xF)
        edges = np.flatnonzero(np.diff(numbers)) + 1
        loose = {0: "", HEAD: "", FOOT: ""}
        hyphens: set[int] = set()
        problems: list[PageMismatch] = []
        for part in np.split(np.arange(len(numbers)), edges) if len(numbers) else []:
            piece, text = int(numbers[part[0]]), "".join(layer.text[part[0] : part[-1] + 1].split())
            if piece in loose:
                loose[piece] += text
                continue
            try:
                hyphens.discard(piece)
                if self._follow(piece, text, before[piece]):
                    hyphens.add(piece)
            except PageMismatch as problem:
                problems.append(problem)
        if problems or (inks & 0xF0F0F0).any():
            raise problems[0] if problems else PageMismatch("a character has a colour that is no piece's")
        page = self._page(layer, numbers, number, before, hyphens)
        self._check(page, loose, number)
        return page

    def _follow(self, piece: int, text: str, before: int) -> bool:
        """Advance in a piece by its printed text. Return whether that ends in a hyphen that is not in the source."""
        expected = self.texts[piece] if piece < len(self.texts) else ""
        if expected is None:
            self.done[piece] = 1
            if before:
                raise PageMismatch("a formula is parted by a page")
            return False
        at, hyphen = self.done[piece], False
        if expected.startswith(text, at):
            self.done[piece] = at + len(text)
            return False
        for ch in text:
            there = expected[at : at + 1]
            hyphen = ch == HYPHEN and there not in _DASHES
            if ch != there and ch != HYPHEN:
                raise PageMismatch(f"{ch!a} is printed for {there!a}")
            at += not hyphen
        self.done[piece] = at
        return hyphen

    def _page(self, layer: TextLayer, numbers: np.ndarray, number: int, before: list[int], hyphens: set[int]) -> Page:
        body: list[Block] = []
        notes: list[Block] = []
        order: list[tuple[int, int]] = []
        for place, block in enumerate(self.blocks):
            start, end = self.starts[place], self.starts[place + 1]
            shares: list[Share] = list(zip(before[start:end], self.done[start:end], strict=True))
            last = max((k for k in range(start, end) if self.done[k] > before[k]), default=0)
            shown = cut(block, shares, last in hyphens)
            if shown is not None:
                order.append((place, isinstance(block, Note)))
                (notes if isinstance(block, Note) else body).append(shown)
        heads = [Paragraph((Run(" ".join(texts)),)) if texts else None for texts in self._running(number)]
        head, foot = [[h] if h else [] for h in heads]
        owner = np.full(1 << 12, -1, np.int32)
        places = [p for p, note in order if not note] + [p for p, note in order if note]
        for k, place in enumerate(places, len(head)):
            owner[self.starts[place] : self.starts[place + 1]] = k
        blocks = [*head, *body, *notes, *foot]
        owner[HEAD], owner[FOOT] = 0 if head else -1, len(blocks) - 1 if foot else -1
        seen = {k: latex for k, latex in self.formulas.items() if self.done[k] > before[k]}
        return Page(layer, numbers, owner[numbers], blocks, len(head), len(foot), seen, self.captions)

    def _running(self, number: int) -> tuple[list[str], list[str]]:
        return running_texts(self.style, "head", number), running_texts(self.style, "foot", number)

    def _check(self, page: Page, loose: dict[int, str], number: int) -> None:
        """Check head, footer and footnote numbers, and that nothing is outside the page or its column."""
        for key, texts in zip((HEAD, FOOT), self._running(number), strict=True):
            if loose[key].replace(HYPHEN, "-") != "".join("".join(texts).split()):
                raise PageMismatch("the running head or footer is not the one that was set")
        numbers = "".join(block.number for block in page.blocks if isinstance(block, Note))
        if loose[0] and loose[0] != numbers:
            raise PageMismatch("characters that belong to no piece")
        inked = np.array([not ch.isspace() for ch in page.layer.text], bool)  # a space may be past the end of a line
        glyphs = page.layer.boxes[inked]
        width, height = (self.scale * side for side in self.template.paper)
        if len(glyphs) and (glyphs.min() < 0 or glyphs[:, 2].max() > width or glyphs[:, 3].max() > height):
            raise PageMismatch("characters outside the page")
        columns, side = self.template.columns, self.template.margin[0] * self.scale
        gutter = self.style.gutter * self.style.size * self.scale
        pitch = (width - 2 * side + gutter) / columns
        body = (page.owners >= page.head) & (page.owners < len(page.blocks) - page.foot)
        titles = [k for k, block in enumerate(page.blocks) if isinstance(block, Heading) and block.level == 1]
        body &= inked & ~np.isin(page.owners, titles)
        right = (page.layer.boxes[body, 2] - side) % pitch if columns > 1 else page.layer.boxes[body, 2] - side
        if (right > pitch - 0.4 * gutter).any():
            raise PageMismatch("a line runs out of its column")


def lines_of(page: Page) -> list[LabelledLine]:
    """Return the lines of text in the order of the target. Formulas are regions, not text; an inline formula splits its
    line.
    """
    cells = np.isin(page.owners, [k for k, block in enumerate(page.blocks) if isinstance(block, Table | Code)])
    groups = np.where(cells, 4096 + page.numbers, page.owners)
    spelt = ~np.isin(page.numbers, list(page.formulas))
    owner_of = {4096 + int(n): int(o) for n, o in zip(page.numbers[cells], page.owners[cells], strict=True)}
    lines = text_lines(page.layer, np.flatnonzero(spelt & (page.owners >= 0)), groups)
    for line in lines:
        line.block = owner_of.get(line.block, line.block)
    return sorted(lines, key=lambda line: line.block)


def regions_of(page: Page, tables: str) -> list[Region]:
    """Return a region for each block and inline formula, with the box of its glyphs.

    Labels are LAYOUT_CLASSES and "inline formula". A block that continues in another column has a region in each; the
    first has its Markdown.
    """
    found: list[Region] = []
    glyphs = page.layer.kinds != GENERATED
    for k, block in enumerate(page.blocks):
        own = glyphs & (page.owners == k)
        if isinstance(block, Table) and block.caption:
            above = own & np.isin(page.numbers, page.captions)
            found += [Region("caption", box, block.caption) for box in _column_boxes(page.layer, np.flatnonzero(above))]
            own, block = own & ~above, block.with_caption("")
        text = to_markdown([block], tables)
        for box in _column_boxes(page.layer, np.flatnonzero(own)):
            found.append(Region(_label(page, k), box, text))
            text = ""
    for piece, latex in page.formulas.items():
        inside = np.flatnonzero(glyphs & (page.numbers == piece))
        if len(inside) and not isinstance(page.blocks[page.owners[inside[0]]], Formula):
            found.append(Region("inline formula", union(page.layer.boxes[inside]), latex))
    return found


def _label(page: Page, k: int) -> str:
    """Return the layout class of block k."""
    block = page.blocks[k]
    if k < page.head or k >= len(page.blocks) - page.foot:
        return "header" if k < page.head else "footer"
    return "title" if isinstance(block, Heading) and block.level == 1 else _LABELS[type(block)]


def _column_boxes(layer: TextLayer, part: np.ndarray) -> list[Box]:
    """Return boxes around characters; a new box begins where the text continues higher up and further right."""
    if not len(part):
        return []
    boxes, em = layer.boxes[part], layer.ems[part]
    up = boxes[:-1, 1] - boxes[1:, 3] > 2 * em[1:]
    beside = boxes[1:, 0] > np.maximum.accumulate(boxes[:, 2])[:-1] - 0.5 * em[1:]
    return [union(boxes[piece]) for piece in np.split(np.arange(len(part)), np.flatnonzero(up & beside) + 1)]
