"""Render invoices, receipts and forms: `FormSource.sample(i)` is a pure function of (seed, i).

These pages have what running text lacks: addresses next to each other, boxes, tables with rules or shades, totals,
short lines in all places. Typst sets each page; the colour of a character names its unit (a paragraph or a cell of a
table), and each unit's text is compared with what was printed. The target is Markdown in reading order.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw

from ...document.elements import union
from ...io.errors import ConfigError, InputError
from ...io.pdf_text import GENERATED, HYPHEN, read_text_layer
from ...markup.blocks import Block, Heading, Paragraph, Run, to_markdown
from ...markup.tables import Cell, Rule, Table, ruled_table
from ...markup.typst import typst_list, typst_string
from ..degrade import degrade
from ..pdfs.text_layer import text_lines
from ..sample import Region, Sample, table_edges
from .content import Content
from .form_text import FormText, Item
from .source import tone
from .typst import draw, load_fonts, print_pdf

ATTEMPTS = 8  # pages tried before an error
MAX_SCALE = 3.0  # pixels per point; a short receipt is not enlarged further
_PREAMBLE = r"""
#let r(k, s) = text(fill: rgb(calc.quo(k, 256), calc.rem(calc.quo(k, 16), 16), calc.rem(k, 16)), s)
#set page(width: @WIDTHpt, height: @HEIGHT, margin: (x: @MARGINpt, y: @MARGINpt))
#set text(font: @FAMILIES, size: @SIZEpt, hyphenate: false, fallback: false, ligatures: false)
#set par(justify: false, leading: @LEADINGem)
"""
_ALIGN = {"l": "left", "c": "center", "r": "right"}


@dataclass
class _Page:
    """The blocks of a page while it is written. units: (block, text) of each paragraph and cell, in reading order."""

    rng: np.random.Generator
    words: FormText
    blocks: list[Block] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    units: list[tuple[int, str]] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        """Return True with a probability."""
        return bool(self.rng.random() < share)

    def text(self, label: str, lines: Sequence[str], size: float = 1.0, bold: bool = False) -> str:
        """Add a block of text lines; return its Typst expression."""
        runs = (Run("\n".join(lines)),)
        level = {"title": 1, "heading": 2}.get(label, 0)
        self.blocks.append(Heading(level, (Run(" ".join(lines)),)) if level else Paragraph(runs))
        self.labels.append(label)
        return f"text(size: {size}em, weight: {700 if bold else 400}, {self._unit(chr(10).join(lines))})"

    def _unit(self, text: str) -> str:
        self.units.append((len(self.blocks) - 1, text))
        number = len(self.units)
        return " + linebreak() + ".join(f"r({number}, {typst_string(line)})" for line in text.split("\n"))

    def table(self, table: Table, columns: str, shade: int = 255, head: int = 255) -> str:
        """Add a table; return its Typst expression. shade, head: grey levels of every other row and of the header."""
        self.blocks.append(table)
        self.labels.append("table")
        parts = []
        for row, column, cell in table.placed():
            level = head if row < table.header else shade if (row - table.header) % 2 else 255
            body = f"strong({self._unit(cell.text)})" if cell.bold else self._unit(cell.text)
            place = f"x: {column}, y: {row}, colspan: {cell.columns}, rowspan: {cell.rows}"
            fill = f"rgb({level}, {level}, {level - 1})"  # marks the path of a cell; see `_cell_boxes`
            parts.append(f"table.cell({place}, align: {_ALIGN[table.alignment(column, cell)]}, fill: {fill}, {body})")
        width = len(table.align)
        parts += [
            f"table.hline(y: {r}, start: {first}, end: {last}, stroke: 0.6pt)"
            for r, rule in sorted(table.rules.items())
            for first, last in rule.spans or ((0, width),)
        ]
        parts += [f"table.vline(x: {c}, stroke: 0.6pt)" for c in sorted(table.bars)]
        inset = f"(x: {self.rng.uniform(2, 7):.1f}pt, y: {self.rng.uniform(1.5, 5):.1f}pt)"
        return f"table(columns: {columns}, stroke: none, inset: {inset}, {', '.join(parts)})"


class FormSource:
    """A source of invoices, receipts and forms with their Markdown.

    Regions are blocks (labels of LAYOUT_CLASSES), then the cells of all tables ("cell"). `meta["tables"]` has for each
    table "cells" with (row, column, rows, columns) of each cell region, "row_edges" and "column_edges" in pixels.

    Args:
        content: the material; its prose gives names and descriptions.
        seed: seed of all samples.
        kinds: some of KINDS.
        height: height of the image, pixels. The page keeps its shape; white is added at the right and the bottom.
        width: width of the image, pixels.
        fonts: folders of fonts in addition to Typst's own.
        toned: share of pages on tinted paper or light on dark.
        degraded: share of pages with scan defects.

    Raises:
        ConfigError: a kind is unknown.
    """

    def __init__(
        self,
        content: Content,
        seed: int = 0,
        *,
        kinds: Sequence[str] = (),
        height: int = 1024,
        width: int = 1024,
        fonts: Sequence[str | Path] = (),
        toned: float = 0.2,
        degraded: float = 0.25,
    ):
        for kind in kinds:
            if kind not in KINDS:
                raise ConfigError(f"unknown kind of form {kind!r}; allowed: {', '.join(KINDS)}")
        self.content, self.seed, self.kinds = content, seed, tuple(kinds) or tuple(KINDS)
        self.height, self.width, self.toned, self.degraded = height, width, toned, degraded
        self.fonts = load_fonts(tuple(str(folder) for folder in fonts))

    def sample(self, i: int) -> Sample:
        """Return page i. `meta` has its kind, its font, and the structure of its table."""
        problem = ""
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self.seed, 17, i, attempt))
            try:
                return self._render(rng)
            except _Overflow as error:
                problem = str(error)
        raise InputError(f"form {i} of seed {self.seed}: {ATTEMPTS} pages failed, the last one because {problem}")

    def _render(self, rng: np.random.Generator) -> Sample:
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        families = self.fonts.families
        group = "mono" if kind == "receipt" or rng.random() < 0.1 else ("serif", "sans")[int(rng.random() < 0.6)]
        family = str(rng.choice(families[group] or families["serif"]))
        page = _Page(rng, FormText(self.content, rng, lambda text: self.fonts.missing(text, (family,))))
        width, height = KINDS[kind][1]
        body = KINDS[kind][0](page)
        values = {
            "WIDTH": f"{width}", "HEIGHT": f"{height}pt" if height else "auto", "FAMILIES": typst_list((family,)),
            "MARGIN": f"{rng.uniform(0.04, 0.11) * width:.1f}", "SIZE": f"{rng.uniform(8.5, 11.5):.1f}",
            "LEADING": f"{rng.uniform(0.4, 0.75):.2f}",
        }  # fmt: skip
        markup = _PREAMBLE
        for name, value in values.items():
            markup = markup.replace(f"@{name}", value)
        pdf = print_pdf(markup + body, self.fonts)
        if len(pdf) != 1:
            raise _Overflow(f"the {kind} has {len(pdf)} pages")
        return self._sample(pdf[0], page, rng, {"form": kind, "face": family})

    def _sample(self, pdf: pdfium.PdfPage, page: _Page, rng: np.random.Generator, meta: dict[str, object]) -> Sample:
        width, height = pdf.get_size()
        scale = min(self.height / height, self.width / width, MAX_SCALE)
        drawn = draw(pdf, scale)[: self.height, : self.width]
        image = np.full((self.height, self.width), 255, np.uint8)
        image[: drawn.shape[0], : drawn.shape[1]] = drawn
        layer = read_text_layer(pdf, scale)
        colours = layer.colours
        numbers = (colours >> 8 & 0xF00) | (colours >> 4 & 0xF0) | (colours & 0xF)
        glyphs = layer.kinds != GENERATED
        for number, (_, text) in enumerate(page.units, 1):
            shown = "".join(layer.text[k] for k in np.flatnonzero(glyphs & (numbers == number))).replace(HYPHEN, "-")
            if "".join(shown.split()) != "".join(text.split()):
                raise _Overflow(f"{shown!a} is printed for {text!a}")
        lines = sorted(text_lines(layer, np.flatnonzero(glyphs), numbers), key=lambda line: line.block)
        for line in lines:
            line.block = page.units[line.block - 1][0]
        owners = np.array([-1, *(block for block, _ in page.units)])[numbers]
        tables = [block for block in page.blocks if isinstance(block, Table)]
        cells = _cell_boxes(pdf, scale, tables)
        regions = [
            Region(label, union(layer.boxes[glyphs & (owners == k)]), to_markdown([block]))
            for k, (block, label) in enumerate(zip(page.blocks, page.labels, strict=True))
            if label != "table"
        ]
        regions += [
            Region("table", union(boxes), to_markdown([table])) for table, boxes in zip(tables, cells, strict=True)
        ]
        regions += [
            Region("cell", box, cell.text)
            for table, boxes in zip(tables, cells, strict=True)
            for box, (_, _, cell) in zip(boxes, table.placed(), strict=True)
        ]
        if rng.random() < self.toned:
            image, meta["tone"] = tone(image, rng)
        if rng.random() < self.degraded:
            image, meta["degraded"] = degrade(image, lines, rng, regions)
        moved = iter([region.box for region in regions if region.label == "cell"])
        meta["tables"] = [_structure(table, [next(moved) for _ in table.placed()]) for table in tables]
        return Sample(image, lines, "form", meta, to_markdown(page.blocks), None, regions)


def _structure(table: Table, boxes: list[tuple[float, float, float, float]]) -> dict[str, object]:
    """Return the spans of a table's cells and its separators in pixels."""
    cells = [(r, c, cell.rows, cell.columns) for r, c, cell in table.placed()]
    rows, columns = table_edges(cells, boxes)
    return {"cells": cells, "row_edges": rows, "column_edges": columns}


class _Overflow(Exception):
    """A page does not show what it should, or not on one page."""


def _cell_boxes(
    pdf: pdfium.PdfPage, scale: float, tables: list[Table]
) -> list[list[tuple[float, float, float, float]]]:
    """Return the boxes of each table's cells in the order of `placed`: the paths whose fill has one level less blue."""
    height, found = pdf.get_height(), []
    channels = [ctypes.c_uint() for _ in range(4)]
    for path in pdf.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH]):
        raw.FPDFPageObj_GetFillColor(path.raw, *channels)
        red, green, blue, _ = (channel.value for channel in channels)
        if red == green == blue + 1:
            left, bottom, right, top = path.get_bounds()
            found.append((left * scale, (height - top) * scale, right * scale, (height - bottom) * scale))
    boxes: list[list[tuple[float, float, float, float]]] = []
    for table in tables:
        order = sorted(table.placed(), key=lambda place: (place[1], place[0]))  # Typst paints column by column
        if len(found) < len(order):
            raise _Overflow(f"the page shows {len(found)} cells of {len(order)}")
        at = {(r, c): box for (r, c, _), box in zip(order, found, strict=False)}
        boxes.append([at[r, c] for r, c, _ in table.placed()])
        found = found[len(order) :]
    return boxes


# -- kinds of pages ---------------------------------------------------------------------------------------------------
def _beside(*parts: str) -> str:
    columns = ", ".join(["1fr"] * len(parts))
    return f"#grid(columns: ({columns},), column-gutter: 1.5em, {', '.join(parts)})"


def _boxed(page: _Page, body: str, share: float) -> str:
    if not page.chance(share):
        return body
    fill = ", fill: luma(93%)" if page.chance(0.3) else ""
    return f"block(width: 100%, stroke: 0.6pt, inset: 5pt{fill}, {body})"


def _items(page: _Page, items: list[Item], totals: list[tuple[str, str]]) -> Table:
    """Return the table of items; in half of the pages its last rows are the totals, with merged cells."""
    words = page.words
    names = [words.pick(("Description", "Item", "Article")), words.pick(("Qty", "Quantity", "Units"))]
    names += [words.pick(("Unit price", "Price", "Rate")), words.pick(("Amount", "Total", "Sum"))]
    rows: list[list[Cell | str]] = [[item.name, item.quantity, item.price, item.amount] for item in items]
    align, keep = "lrrr", [0, 1, 2, 3]
    if page.chance(0.25):
        keep = [0, 3]
    rows = [[row[k] for k in keep] for row in rows]
    header: list[Cell | str] = [Cell(names[k], bold=page.chance(0.7)) for k in keep]
    align = "".join(align[k] for k in keep)
    if page.chance(0.4):
        header, align = ["No.", *header], "r" + align
        rows = [[str(k), *row] for k, row in enumerate(rows, 1)]
    last = [
        [Cell(name, columns=len(align) - 1, align="r"), Cell(value, bold=name == "Total")] for name, value in totals
    ]
    ruling = words.pick(("grid", "book", "none", "lines"))
    table = ruled_table([header, *rows, *last], align, "grid" if ruling == "lines" else ruling)
    return replace(table, bars=frozenset(), header=1) if ruling == "lines" else replace(table, header=1)


def _invoice(page: _Page) -> str:
    words = page.words
    company, customer = words.company(), words.company()
    parts = [f"#{page.text('title', [company], 1.7, page.chance(0.7))}"]
    contact = page.text("text", words.contact(company), 0.85)
    parts += [f"#align(right, {contact})" if page.chance(0.5) else f"#{contact}"]
    share = 0.8 if page.chance(0.4) else 0.0
    names = [words.pick(("Bill to", "Invoice to", "Customer")), words.pick(("Ship to", "Deliver to", "Site"))]
    addresses = [
        _boxed(page, page.text("text", [name, *words.address(customer)]), share)
        for name in names[: 1 + page.chance(0.6)]
    ]
    details = _boxed(page, page.text("text", words.details()), share)
    parts += [_beside(*addresses, details)]
    parts += [f"#{page.text('heading', [words.pick(('Invoice', 'Quotation', 'Delivery note', 'Order'))], 1.3, True)}"]
    items, totals = words.items(int(page.rng.integers(2, 15)))
    inside = page.chance(0.5)
    table = _items(page, items, totals if inside else [])
    shade, head = (int(v) if page.chance(0.35) else 255 for v in page.rng.integers(205, 245, 2))
    fill = "1fr" if len(table.align) < 5 else "auto, 1fr"
    columns = f"({fill}, {', '.join(['auto'] * (len(table.align) - 1 - (len(table.align) == 5)))},)"
    if len(table.align) == 3 and table.align[0] == "r":
        columns = "(auto, 1fr, auto)"
    parts += [f"#{page.table(table, columns, shade, head)}"]
    if not inside:
        lines = ruled_table([[name, Cell(value, bold=name == "Total")] for name, value in totals], "lr", "none")
        if page.chance(0.5):
            lines = replace(lines, rules={len(totals) - 1: Rule("line"), len(totals): Rule("line")})
        parts += [f"#align(right, {_boxed_table(page, page.table(lines, '2'))})"]
    parts += [f"#{page.text('text', [words.sentence(8, 30)], 0.9)}"]
    foot = [page.text("footer", words.contact(company), 0.75) for _ in range(int(page.rng.integers(1, 4)))]
    line = "#line(length: 100%, stroke: 0.5pt)\n" if page.chance(0.6) else ""
    return "\n\n".join(parts) + f"\n#v(1fr)\n{line}{_beside(*foot)}"


def _boxed_table(page: _Page, body: str) -> str:
    return f"box(stroke: 0.8pt, {body})" if page.chance(0.3) else body


def _receipt(page: _Page) -> str:
    words = page.words
    company = words.company()
    parts = [f"#align(center, {page.text('title', [company.upper()], 1.3, page.chance(0.5))})"]
    parts += [f"#align(center, {page.text('text', words.contact(company))})"]
    items, totals = words.items(int(page.rng.integers(2, 16)))
    rows: list[list[Cell | str]] = [[item.name, item.amount] for item in items]
    rule = '#line(length: 100%, stroke: (dash: "dashed", thickness: 0.6pt))'
    parts += [rule, f"#{page.table(ruled_table(rows, 'lr', 'none'), '(1fr, auto)')}", rule]
    sums: list[list[Cell | str]] = [[Cell(n, bold=n == "Total"), Cell(v, bold=n == "Total")] for n, v in totals]
    parts += [f"#{page.table(ruled_table(sums, 'lr', 'none'), '(1fr, auto)')}"]
    parts += [f"#{page.text('text', words.details())}"]
    parts += [f"#align(center, {page.text('footer', [words.sentence(3, 8)])})"]
    return "\n\n".join(parts)


def _form(page: _Page) -> str:
    words = page.words
    parts = [f"#{page.text('title', [words.phrase(2, 6)], 1.6, True)}"]
    parts += [f"#{page.text('text', [words.sentence(10, 40)])}"]
    for _ in range(int(page.rng.integers(1, 4))):
        parts += [f"#{page.text('heading', [words.phrase(1, 4)], 1.15, True)}"]
        for _ in range(int(page.rng.integers(1, 5))):
            fields = [
                page.text("text", [words.label(), *([words.value()] if page.chance(0.8) else [])], 0.95)
                for _ in range(int(page.rng.integers(1, 4)))
            ]
            parts += [_beside(*(_boxed(page, body, 0.85) for body in fields))]
    if page.chance(0.5):
        rows: list[list[Cell | str]] = [[words.label() for _ in range(3)]]
        rows += [[words.value() for _ in range(3)] for _ in range(int(page.rng.integers(2, 6)))]
        parts += [f"#{page.table(ruled_table(rows, 'lll', words.pick(('grid', 'book'))), '(1fr, 1fr, 1fr)')}"]
    foot = page.text("footer", [words.phrase(2, 6)], 0.8)
    return "\n\n".join(parts) + f"\n#v(1fr)\n#align(center, {foot})"


_A4, _RECEIPT = (595.0, 842.0), (230.0, 0.0)  # width and height in points; 0: as high as its content
KINDS: dict[str, tuple[Callable[[_Page], str], tuple[float, float]]] = {
    "invoice": (_invoice, _A4),
    "receipt": (_receipt, _RECEIPT),
    "form": (_form, _A4),
}
