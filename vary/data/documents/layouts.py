"""Render pages with free layouts: `LayoutSource.sample(i)` is a pure function of (seed, i).

Invoices, receipts, forms, slides and textbook pages: addresses next to each other, boxes, tables with rules or shades,
totals, figures with axis labels, photographs, captions, margin notes. Typst sets each page. The colour of a character
names its unit (a paragraph, a cell of a table, a label of a figure), and the printed text of each unit is compared with
its source. The target is Markdown in reading order, without the labels of figures.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw

from ...io.box import Box, union
from ...io.errors import ConfigError, InputError
from ...io.pdf_layer import GENERATED, HYPHEN
from ...io.pdf_text import read_text_layer
from ...markup.blocks import to_markdown
from ...markup.tables import Table
from ...markup.typst import typst_list
from ..degrade import degrade
from ..pdfs.text_layer import text_lines
from ..sample import Region, Sample, table_edges
from .content import Content
from .layout_kinds import form, invoice, receipt
from .layout_page import PageWriter
from .layout_pictures import slide, textbook
from .layout_text import LayoutText
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


class LayoutSource:
    """A source of invoices, receipts, forms, slides and textbook pages with their Markdown.

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
                raise ConfigError(f"unknown layout {kind!r}; allowed: {', '.join(KINDS)}")
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
        raise InputError(f"layout {i} of seed {self.seed}: {ATTEMPTS} pages failed, the last one because {problem}")

    def _render(self, rng: np.random.Generator) -> Sample:
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        families = self.fonts.families
        group = "mono" if kind == "receipt" or rng.random() < 0.1 else ("serif", "sans")[int(rng.random() < 0.6)]
        family = str(rng.choice(families[group] or families["serif"]))
        page = PageWriter(rng, LayoutText(self.content, rng, lambda text: self.fonts.missing(text, (family,))))
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
        return self._sample(pdf[0], page, rng, {"layout": kind, "face": family})

    def _sample(
        self, pdf: pdfium.PdfPage, page: PageWriter, rng: np.random.Generator, meta: dict[str, object]
    ) -> Sample:
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
        if (numbers[glyphs] == 0).any():
            raise _Overflow("characters that belong to no unit")
        for line in lines:
            line.block = page.units[line.block - 1][0]
        owners = np.array([-1, *(block for block, _ in page.units)])[numbers]
        tables = [block for block in page.blocks if isinstance(block, Table)]
        cells = _cell_boxes(pdf, scale, tables)
        pictures = iter(_marked_boxes(pdf, scale, "green"))
        regions = []
        for k, (block, label) in enumerate(zip(page.blocks, page.labels, strict=True)):
            if label in ("figure", "photo"):
                regions.append(Region(label, next(pictures)))
            elif block is not None and label != "table":
                regions.append(Region(label, union(layer.boxes[glyphs & (owners == k)]), to_markdown([block])))
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
        return Sample(
            image, lines, "layout", meta, to_markdown([block for block in page.blocks if block]), None, regions
        )


def _structure(table: Table, boxes: list[Box]) -> dict[str, object]:
    """Return the spans of a table's cells and its separators in pixels."""
    cells = [(r, c, cell.rows, cell.columns) for r, c, cell in table.placed()]
    rows, columns = table_edges(cells, boxes)
    return {"cells": cells, "row_edges": rows, "column_edges": columns}


class _Overflow(Exception):
    """A page does not show what it should, or not on one page."""


def _marked_boxes(pdf: pdfium.PdfPage, scale: float, channel: str) -> list[Box]:
    """Return the boxes, in drawing order, of the paths whose fill is grey with one level less of a channel."""
    height, found = pdf.get_height(), []
    values = [ctypes.c_uint() for _ in range(4)]
    for path in pdf.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH]):
        raw.FPDFPageObj_GetFillColor(path.raw, *values)
        red, green, blue, _ = (value.value for value in values)
        if (red == green == blue + 1) if channel == "blue" else (red == blue == green + 1):
            left, bottom, right, top = path.get_bounds()
            found.append((left * scale, (height - top) * scale, right * scale, (height - bottom) * scale))
    return found


def _cell_boxes(pdf: pdfium.PdfPage, scale: float, tables: list[Table]) -> list[list[Box]]:
    """Return the boxes of each table's cells in the order of `placed`."""
    found = _marked_boxes(pdf, scale, "blue")
    boxes: list[list[Box]] = []
    for table in tables:
        order = sorted(table.placed(), key=lambda place: (place[1], place[0]))  # Typst paints column by column
        if len(found) < len(order):
            raise _Overflow(f"the page shows {len(found)} cells of {len(order)}")
        at = {(r, c): box for (r, c, _), box in zip(order, found, strict=False)}
        boxes.append([at[r, c] for r, c, _ in table.placed()])
        found = found[len(order) :]
    return boxes


_A4, _RECEIPT, _SLIDE = (595.0, 842.0), (230.0, 0.0), (640.0, 360.0)  # points; height 0: as high as its content
KINDS: dict[str, tuple[Callable[[PageWriter], str], tuple[float, float]]] = {
    "invoice": (invoice, _A4),
    "receipt": (receipt, _RECEIPT),
    "form": (form, _A4),
    "slide": (slide, _SLIDE),
    "textbook": (textbook, _A4),
}
