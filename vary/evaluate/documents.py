"""Documents of several kinds whose source is known: articles, columns, tables, invoices, slides and scans.

Each document is one page. This file composes blocks, and Typst sets them; the blocks are the truth. Readers of PDFs get
the PDF, others its picture. Scans are degraded pictures without a PDF. Document k of a kind is a pure function of
(kind, k).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
from PIL import Image

from ..data.corpus.download import Corpus
from ..data.corpus.text import TextSource
from ..data.degrade import degrade
from ..data.documents.typst import load_fonts, print_pdf
from ..markup.typst import typst_string
from .task import DPI, Example

SEED = 515_151
_WORD = re.compile(r"[A-Za-z]{2,}")
Block = dict[str, Any]
Composed = tuple[str, list[Block]]


class Words:
    """Random words, names and numbers for one document."""

    def __init__(self, kind: str, k: int):
        self.rng = np.random.default_rng((SEED, sum(map(ord, kind)), k))
        self.source = TextSource(Corpus.english("test"))

    def some(self, count: int) -> list[str]:
        """Return words of running text without punctuation."""
        found: list[str] = []
        while len(found) < count:
            found += [word for word in self.source.words(self.rng, 2 * count) if _WORD.fullmatch(word)]
        return [word.lower() for word in found[:count]]

    def title(self, least: int = 2, most: int = 5) -> str:
        """Return a heading."""
        words = self.some(int(self.rng.integers(least, most + 1)))
        return " ".join([words[0].capitalize(), *words[1:]])

    def sentences(self, count: int) -> str:
        """Return a paragraph of about `count` words."""
        out: list[str] = []
        while sum(len(s.split()) for s in out) < count:
            words = self.some(int(self.rng.integers(6, 16)))
            out.append(f"{' '.join([words[0].capitalize(), *words[1:]])}.")
        return " ".join(out)

    def amount(self, top: int = 4) -> str:
        """Return an amount of money with two decimals and commas."""
        return f"{float(self.rng.random() * 10 ** int(self.rng.integers(1, top + 1))):,.2f}"


# -- blocks: each function returns Typst markup and the true blocks ------------------------------------------------
def _heading(text: str, level: int = 1) -> Composed:
    return f"#heading(level: {level}, {typst_string(text)})\n", [{"kind": "heading", "text": text}]


def _paragraph(text: str) -> Composed:
    return f"#par[#{typst_string(text)}]\n\n", [{"kind": "text", "text": text}]


def _list(items: list[str]) -> Composed:
    markup = "".join(f"- #{typst_string(item)}\n" for item in items)
    return markup + "\n", [{"kind": "list", "text": item} for item in items]


def _table(rows: list[list[str]], ruled: bool, span: str = "") -> Composed:
    """Return a table with a head row. span: text of a merged cell above the last two columns."""
    wide = len(rows[0])
    above = [[*[""] * (wide - 2), span]] if span else []
    cells = [f"table.cell(colspan: 2, {typst_string(span)})" if text and above and r == 0 else typst_string(text)
             for r, row in enumerate(above + rows) for text in row]  # fmt: skip
    rule = "stroke: 0.5pt" if ruled else "stroke: none"
    align = ", ".join(["left", *["right"] * (wide - 1)])
    markup = f"#table(columns: {wide}, {rule}, align: ({align}), {', '.join(cells)})\n\n"
    tags = [f'<tr>{"<td></td>" * (wide - 2)}<td colspan="2">{span}</td></tr>'] if span else []
    tags += ["<tr>" + "".join(f"<td>{text}</td>" for text in row) + "</tr>" for row in rows]
    return markup, [{"kind": "table", "html": f"<table>{''.join(tags)}</table>"}]


def _join(*parts: Composed) -> Composed:
    return "".join(markup for markup, _ in parts), [block for _, blocks in parts for block in blocks]


# -- kinds ---------------------------------------------------------------------------------------------------------
def _article(w: Words) -> Composed:
    page = '#set page(paper: "a4", margin: 25mm)\n#set text(size: 11pt)\n#set par(justify: true)\n'
    parts = [_heading(w.title(4, 7)), _paragraph(w.sentences(60))]
    for k in range(3):
        parts += [_heading(w.title(), 2), _paragraph(w.sentences(55))]
        parts += [_list([w.sentences(6) for _ in range(3)])] if k == 1 else [_paragraph(w.sentences(45))]
    return _join((page, []), *parts)


def _columns(w: Words, count: int) -> Composed:
    page = '#set page(paper: "a4", margin: 20mm)\n#set text(size: 9pt)\n#set par(justify: true)\n'
    top = _join(_heading(w.title(4, 7)), _paragraph(w.sentences(40)))
    parts = [part for _ in range(4) for part in (_heading(w.title(), 2), _paragraph(w.sentences(75)))]
    body, blocks = _join(*parts)
    high = {2: 42, 3: 30}[count]  # per cent of the page: the columns come out about equally long
    return _join((page, []), top, (f"#block(height: {high}%)[#columns({count}, gutter: 14pt)[\n{body}]]", blocks))


def _tables(w: Words, ruled: bool, span: bool) -> Composed:
    page = '#set page(paper: "a4", margin: 22mm)\n#set text(size: 10pt)\n'
    rows, columns = int(w.rng.integers(5, 10)), int(w.rng.integers(4, 7))
    head = ["Name", *(word.capitalize() for word in w.some(columns - 1))]
    body = [[w.title(1, 3), *(w.amount() for _ in range(columns - 1))] for _ in range(rows)]
    table = _table([head, *body], ruled, w.title(1, 2) if span else "")
    return _join((page, []), _heading(w.title()), _paragraph(w.sentences(50)), table, _paragraph(w.sentences(40)))


def _invoice(w: Words) -> Composed:
    page = '#set page(paper: "a4", margin: 22mm)\n#set text(size: 10pt)\n'
    number = int(w.rng.integers(1000, 9999))
    sides = [[f"{who}:", w.title(2, 3), f"{int(w.rng.integers(1, 99))} {w.title(1, 1)} Street", w.title(1, 2)]
             for who in ("From", "Bill to")]  # fmt: skip
    cells = ", ".join("[" + " \\\n".join(f"#{typst_string(line)}" for line in side) + "]" for side in sides)
    rows = [["Item", "Quantity", "Unit price", "Amount"]]
    for _ in range(int(w.rng.integers(3, 8))):
        price, count = float(w.rng.integers(100, 99_999)) / 100, int(w.rng.integers(1, 9))
        rows.append([w.title(2, 4), str(count), f"{price:,.2f}", f"{price * count:,.2f}"])
    total = sum(float(row[3].replace(",", "")) for row in rows[1:])
    rows.append(["Total", "", "", f"{total:,.2f}"])
    blocks = [{"kind": "text", "text": "\n".join(side)} for side in sides]
    grid = (f"#grid(columns: (1fr, 1fr), {cells})\n\n", blocks)
    table, truth = _table(rows, False)
    wide = table.replace("columns: 4", "columns: (1fr, auto, auto, auto)")
    return _join((page, []), _heading(f"Invoice {number}"), grid, (wide, truth), _paragraph(w.sentences(20)))


def _slide(w: Words) -> Composed:
    page = "#set page(width: 254mm, height: 143mm, margin: 16mm)\n#set text(size: 20pt)\n"
    page += "#show heading: set text(size: 36pt)\n"
    return _join((page, []), _heading(w.title(2, 4)), _list([" ".join(w.some(6)).capitalize() for _ in range(4)]))


KINDS: dict[str, Callable[[Words, int], Composed]] = {
    "born-digital": lambda w, k: _article(w),
    "scanned": lambda w, k: _article(w),
    "tables-ruled": lambda w, k: _tables(w, True, k % 3 == 2),
    "tables-unruled": lambda w, k: _tables(w, False, k % 3 == 2),
    "columns": lambda w, k: _columns(w, 2 + k % 2),
    "invoices": lambda w, k: _invoice(w),
    "slides": lambda w, k: _slide(w),
}


@lru_cache(maxsize=64)
def document(kind: str, k: int) -> tuple[bytes, tuple[Block, ...]]:
    """Return document k of a kind: its PDF and its true blocks. Documents that do not fit on a page are redrawn."""
    for attempt in range(20):
        markup, blocks = KINDS[kind](Words(kind, 1000 * attempt + k), k)
        with io.BytesIO() as file:
            pdf = print_pdf(markup, load_fonts())
            fits = len(pdf) == 1 and _letters(_layer(pdf)) >= sum(_letters(_text(b)) for b in blocks)
            pdf.save(file)
            pdf.close()
            if fits:
                return file.getvalue(), tuple(blocks)
    raise AssertionError(f"{kind} {k}: no draw fits on a page")


def _layer(pdf: pypdfium2.PdfDocument) -> str:
    page = pdf[0]
    return page.get_textpage().get_text_bounded(*page.get_mediabox())


def _text(block: Block) -> str:
    return block["text"] if "text" in block else re.sub(r"<[^>]*>", "", block["html"])


def _letters(text: str) -> int:
    return sum(ch.isalnum() for ch in text)


def draw(kind: str, k: int) -> Image.Image:
    """Draw document k of a kind as a grey image of 150 dpi. Scans have a scanner's defects."""
    with pypdfium2.PdfDocument(document(kind, k)[0]) as pdf:
        image = pdf[0].render(scale=DPI / 72, grayscale=True).to_pil().convert("L")
    if kind != "scanned":
        return image
    pixels, _ = degrade(np.asarray(image).copy(), [], np.random.default_rng((SEED, k)))
    return Image.fromarray(pixels)


def examples(_: Path | None, limit: int | None) -> Iterator[Example]:
    """Yield documents, one of each kind in turn. The group of an example is its kind."""
    for n in range(limit or 4 * len(KINDS)):
        k, kind = n // len(KINDS), list(KINDS)[n % len(KINDS)]
        pdf = None if kind == "scanned" else partial(lambda kind, k: document(kind, k)[0], kind, k)
        truth = [dict(block) for block in document(kind, k)[1]]
        yield Example(f"{kind}-{k}", partial(draw, kind, k), truth, about={"group": kind}, pdf=pdf)
