"""Render tables: `TableSource.sample(i)` is one table, a pure function of (seed, i).

The values are parts of real tables (`corpus.tables.tables_from`). Each gets the look of a printed table: rules
(booktabs, full grid, few, none), shades, merged heads and rows, several lines in a cell, caption, notes. Typst draws
it. The box of a cell is that of its fill in the PDF, the box of a character is that of the text layer. The characters
of each cell are compared with its text.

Source: Vary's rendered tables, arXiv 2312.06109 section 3.3.2; prompts of its demos.
"""

from __future__ import annotations

import ctypes
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw

from ..io.box import marked_runs, union
from ..io.errors import ConfigError, InputError
from ..io.pdf_layer import GENERATED, TextLayer
from ..io.pdf_text import read_text_layer
from ..markup.tables import Cell, Rule, Table, TableStyle, by_column, to_html, to_latex, to_typst
from .corpus.tables import MAX_CELL, RawTable, column_of, is_number, round_column, value_of, wrap_cell
from .degrade import degrade
from .documents.typst import draw, load_fonts, print_pdf
from .pdfs.text_layer import text_lines
from .sample import LabelledLine, Region, Sample, table_edges

PROMPTS = {"latex": "Convert this table to latex format.", "html": "Convert this table to html format."}
TARGETS = {"latex": to_latex, "html": to_html}
_RULINGS = {"booktabs": 0.35, "grid": 0.25, "lines": 0.12, "head": 0.12, "open": 0.08, "plain": 0.08}
_WORDS = {
    "en": (("Table {}: {}", "Table {}. {}", "TABLE {} {}", "{1}"), ("Measured", "Group", "All", "Figures", "Values"),
           ("estimated", "provisional figure", "see text", "revised", "as reported")),
    "zh": (("表{} {}", "表 {}：{}", "{1}"), ("数值", "分组", "统计", "指标", "结果"),
           ("估计值", "暂定数据", "见正文", "已修订", "据报告")),
}  # fmt: skip
_MARKS = (("a", "b", "c"), ("*", "**", "***"), ("†", "‡", "§"), ("1", "2", "3"))
_PER_BLOCK = 8


class TableSource:
    """A source of rendered tables. Eight neighbours share one document, so consecutive samples are cheaper.

    Args:
        tables: tables of texts.
        seed: seed of all samples.
        target: "latex", "html", or "mixed" (then each sample has its own prompt).
        language: of captions and notes, "en" or "zh".
        font_folders: folders of more fonts; Chinese tables need one with a Chinese face.
        degraded: share with scan defects.
        sizes_px: smallest and largest type size, pixels per em.
        max_size: largest height and width of an image.

    Raises:
        ConfigError: the target or the language is unknown.
        InputError: there are no tables, a table has no two columns of cells of at most MAX_CELL characters, or no font
            has all characters.
    """

    def __init__(
        self,
        tables: Sequence[RawTable],
        *,
        seed: int = 0,
        target: str = "latex",
        language: str = "en",
        font_folders: Sequence[str | Path] = (),
        degraded: float = 0.25,
        sizes_px: tuple[float, float] = (10.0, 28.0),
        max_size: tuple[int, int] = (1024, 1024),
    ):
        if target not in (*TARGETS, "mixed") or language not in _WORDS:
            raise ConfigError(f"target {target!r}, language {language!r}; allowed: latex, html, mixed; en, zh")
        if not tables:
            raise InputError("no tables to draw")
        self.seed, self.target, self.language, self.degraded = seed, target, language, degraded
        self.sizes_px, self.max_size = sizes_px, max_size
        self.tables = [RawTable(*table) for table in tables]
        self.columns = [self._usable(k) for k in range(len(tables))]
        self.fonts = load_fonts(tuple(str(folder) for folder in font_folders))
        self.faces = self._faces()
        self._block: tuple[int, pdfium.PdfDocument, list[tuple[Table, TableStyle, float]]] | None = None

    def _usable(self, k: int) -> list[int]:
        title, header, rows = self.tables[k]
        found = [c for c in range(len(header)) if max(map(len, column_of(self.tables[k], c))) <= MAX_CELL]
        if len(found) < 2 or len(rows) < 2:
            raise InputError(f"table {k} {title!r} has no two rows and columns of at most {MAX_CELL} characters a cell")
        return found

    def _faces(self) -> list[tuple[tuple[str, ...], bool]]:
        """Return the families that have all characters, and whether each has a bold face."""
        kinds = self.fonts.families
        bold = {f.family for f in self.fonts.fonts.fonts() if f.weight >= 600}
        text = "".join(
            sorted(set(" ".join(" ".join((t, *h, *(c for r in rows for c in r))) for t, h, rows in self.tables)))
        )
        text += "".join("".join(words) for group in _WORDS[self.language] for words in group)
        latin = [*kinds["serif"], *kinds["sans"], *kinds["mono"]]
        wanted = [(f,) for f in latin] if self.language == "en" else [(f, c) for c in kinds["cjk"] for f in latin]
        fitting = [f for f in wanted if not self.fonts.missing(text, f)]
        fitting = fitting or [
            f for f in ((a, c) for c in kinds["cjk"] for a in latin) if not self.fonts.missing(text, f)
        ]
        if not fitting:
            lacking = min((self.fonts.missing(text, f) for f in wanted or [("Libertinus Serif",)]), key=len)
            raise InputError(f"no font has {''.join(sorted(lacking))[:40]!r}; pass font_folders that do")
        return [(f, set(f) <= bold) for f in fitting]

    def sample(self, i: int) -> Sample:
        """Return table number i.

        `meta` has families, type size, (row, column, rows, columns) of every cell, and the separators in pixels.
        """
        start = i - i % _PER_BLOCK
        if self._block is None or self._block[0] != start:
            dressed = [self.table(k) for k in range(start, start + _PER_BLOCK)]
            pages = "\n".join(to_typst(table, style) for table, style, _ in dressed)
            self._block = (start, print_pdf(pages, self.fonts), dressed)
        table, style, em = self._block[2][i - start]
        page, rng = self._block[1][i - start], np.random.default_rng((self.seed, i, 1))
        width, height = page.get_size()
        pad = rng.integers(0, max(2, round(em)), 4).tolist()
        room = (self.max_size[0] - pad[1] - pad[3]) / height, (self.max_size[1] - pad[0] - pad[2]) / width
        scale = min(em / style.size, *room)
        image = np.pad(draw(page, scale), ((pad[1], pad[3]), (pad[0], pad[2])), constant_values=255)
        image = image[: self.max_size[0], : self.max_size[1]]
        lines, regions = _boxes(table, page, scale, (pad[0], pad[1]))
        regions.insert(0, Region("table", union(region.box for region in regions)))
        kind = self.target if self.target != "mixed" else ("latex", "html")[int(rng.integers(2))]
        cells = [(r, c, cell.rows, cell.columns) for r, c, cell in table.placed()]
        meta: dict[str, Any] = {
            "face": ", ".join(style.families),
            "size_px": round(style.size * scale, 2),
            "cells": cells,
        }
        if rng.random() < 0.2:
            paper, ink = int(rng.integers(228, 256)), int(rng.integers(0, 80))
            image = np.rint(ink + image.astype(np.float32) / 255 * (paper - ink)).astype(np.uint8)
        if rng.random() < self.degraded:
            image, meta["degraded"] = degrade(image, lines, rng, regions)
        meta["row_edges"], meta["column_edges"] = table_edges(cells, [region.box for region in regions[1:]])
        prompt = PROMPTS[kind] if self.target == "mixed" else None
        return Sample(image, lines, "table", meta, TARGETS[kind](table), prompt, regions)

    def table(self, i: int) -> tuple[Table, TableStyle, float]:
        """Return table number i, its style, and its em in pixels."""
        rng = np.random.default_rng((self.seed, i, 0))
        k = int(rng.integers(len(self.tables)))
        em = float(np.exp(rng.uniform(*np.log(self.sizes_px))))
        families, bold = self.faces[int(rng.integers(len(self.faces)))]
        inset = float(rng.uniform(3, 9)), float(rng.uniform(2, 6))
        heavy = float(rng.uniform(0.6, 1.4))
        shades = [f"luma({int(v)}%)" for v in rng.integers(82, 97, 2)]
        head, zebra = (
            shade if rng.random() < share else "white" for shade, share in zip(shades, (0.2, 0.15), strict=True)
        )
        style = TableStyle(families, 10.0, inset, heavy, float(rng.uniform(0.35, heavy * 0.8)), head, zebra)
        piece = _piece(self.tables[k], self.columns[k], rng, (self.max_size[0] / em, self.max_size[1] / em), inset)
        return TableStyler(rng, self.language, bold).dress(self.tables[k][0], *piece), style, em


def _piece(
    table: RawTable, usable: list[int], rng: np.random.Generator, room: tuple[float, float], inset: tuple[float, float]
) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a part of a table that fits (height, width) in em; long cells are broken into lines."""
    _, header, rows = table
    most = max(2, min(16, int((room[0] - 6) / (1.2 + inset[1] / 5)), len(rows)))
    count = int(rng.integers(2, most + 1))
    first = int(rng.integers(len(rows) - count + 1))
    start = int(rng.integers(max(1, len(usable) - 1)))
    columns: list[list[str]] = []
    names: list[str] = []
    spaced, line, left = rng.random() < 0.5, int(rng.integers(14, 30)), room[1] - 3
    for c in usable[start:][: int(rng.integers(2, 9))]:
        values = round_column([str(row[c]) for row in rows[first : first + count]])
        name = header[c].replace("_", " ") if spaced else header[c]
        texts = [wrap_cell(v, line) for v in (name, *values)]
        wide = max(
            len(part) + sum(unicodedata.east_asian_width(ch) in "WF" for ch in part)
            for t in texts
            for part in t.split("\n")
        )
        left -= 0.5 * wide + inset[0] / 5
        if left < 0 and len(columns) >= 2:
            break
        names.append(texts[0])
        columns.append(texts[1:])
    return names, [list(row) for row in zip(*columns, strict=True)]


class TableStyler:
    """Turns a part of a table into a printed table. bold: whether the font has a bold face."""

    def __init__(self, rng: np.random.Generator, language: str, bold: bool):
        self.rng, self.bold = rng, bold
        self.captions, self.labels, self.notes = _WORDS[language]

    def chance(self, share: float) -> bool:
        """Return True with a probability."""
        return bool(self.rng.random() < share)

    def dress(self, title: str, header: list[str], rows: list[list[str]]) -> Table:
        """Add rules, merged cells, caption and notes."""
        ruling = str(self.rng.choice(list(_RULINGS), p=list(_RULINGS.values())))
        numbers = [all(is_number(r[c]) for r in rows) for c in range(len(header))]
        merged = self._merged_column(rows, numbers) if self.chance(0.6) else None
        if merged is not None:  # first column, with equal values together
            header, numbers = [_move_to_front(row, merged) for row in (header, numbers)]
            rows = sorted((_move_to_front(r, merged) for r in rows), key=lambda r: r[0])
        middle = self.chance(0.25)
        align = "".join("c" if middle and c else "r" if n else "l" for c, n in enumerate(numbers))
        head = self._head(header, ruling)
        body = self._body(rows, numbers, merged is not None)
        caption, below = self._caption(title), self.chance(0.25)
        notes = self._marks(body) if self.chance(0.15) else ()
        edges = range(len(align) + 1)
        bars = {"grid": [*edges], "open": [*edges][1:-1], "head": [1] if self.chance(0.4) else []}.get(ruling, [])
        rules = self._rules(ruling, head, body, len(align))
        table_rows = tuple(tuple(row) for row in (*head, *body))
        return Table(table_rows, align, rules, frozenset(bars), len(head), caption, below, notes)

    def _merged_column(self, rows: list[list[str]], numbers: list[bool]) -> int | None:
        found = [c for c, n in enumerate(numbers) if not n and 1 < len({r[c] for r in rows}) <= len(rows) * 0.6]
        return found[int(self.rng.integers(len(found)))] if found and len(numbers) > 2 else None

    def _head(self, header: list[str], ruling: str) -> list[list[Cell]]:
        bold = self.bold and self.chance(0.6)
        cells = [Cell(name, bold=bold and bool(name), align="c" if self.chance(0.15) else "") for name in header]
        if len(header) < 3 or not self.chance(0.35):
            return [cells]
        first = int(self.rng.integers(1, len(header) - 1))
        count = int(self.rng.integers(2, min(4, len(header) - first) + 1))
        words = [name.split()[0] for name in header[first : first + count] if name.split()]
        label = words[0] if len(set(words)) == 1 < len(words) else self.labels[int(self.rng.integers(len(self.labels)))]
        group = Cell(label, columns=count, bold=bold)
        tall = [Cell(c.text, 2, align=c.align, bold=c.bold) for c in cells]
        return [[*tall[:first], group, *tall[first + count :]], cells[first : first + count]]

    def _body(self, rows: list[list[str]], numbers: list[bool], merge: bool) -> list[list[Cell]]:
        body = [[Cell(text) for text in row] for row in rows]
        if self.bold and self.chance(0.15):
            for c in np.flatnonzero(numbers).tolist():
                best = max(range(len(rows)), key=lambda r: value_of(rows[r][c]))
                body[best][c] = Cell(rows[best][c], bold=bool(rows[best][c]))
        if not merge:
            return body
        if self.chance(0.2):  # the name of the group is a row of its own
            out, align = [], "l" if self.chance(0.5) else ""
            for name, members in groupby(body, key=lambda row: row[0].text):
                out.append([Cell(name.replace("\n", " "), columns=len(numbers), align=align)])
                out += [[Cell(), *row[1:]] for row in members]
            return out
        at = 0
        for _, group in groupby(rows, key=lambda row: row[0]):
            count = len(list(group))
            body[at][0] = Cell(rows[at][0], count)
            for r in range(at + 1, at + count):
                del body[r][0]
            at += count
        return body

    def _caption(self, title: str) -> str:
        if not title or self.chance(0.5):
            return ""
        pattern = self.captions[int(self.rng.integers(len(self.captions)))]
        return pattern.format(int(self.rng.integers(1, 30)), title)

    def _marks(self, body: list[list[Cell]]) -> tuple[tuple[str, str], ...]:
        marks = _MARKS[int(self.rng.integers(len(_MARKS)))][: int(self.rng.integers(1, 3))]
        texts = self.rng.permutation(len(self.notes))
        full = [(r, c) for r, row in enumerate(body) for c, cell in enumerate(row) if cell.text]
        if len(full) < len(marks):
            return ()
        places = sorted(self.rng.choice(len(full), len(marks), replace=False).tolist())
        for mark, (r, c) in zip(marks, [full[k] for k in places], strict=True):
            body[r][c] = replace(body[r][c], mark=mark)
        return tuple((mark, self.notes[int(texts[k])]) for k, mark in enumerate(marks))

    def _rules(self, ruling: str, head: list[list[Cell]], body: list[list[Cell]], columns: int) -> dict[int, Rule]:
        rows, top = len(head) + len(body), len(head)
        if ruling == "plain":
            return {}
        if ruling == "booktabs":
            rules = {0: Rule("top"), top: Rule("mid"), rows: Rule("bottom")}
        elif ruling in ("head", "open"):
            rules = {top: Rule("line")}
        else:
            rules = {0: Rule("line"), top: Rule("line"), rows: Rule("line")}
        kind = "mid" if ruling == "booktabs" else "line"
        spans = _free(head, body, columns)
        for r in range(1, rows):
            group = r > top and any(c.rows > 1 or c.columns == columns for c in body[r - top])
            if (
                r not in rules
                and (ruling in ("grid", "lines") or (r < top) or (group and ruling == "booktabs"))
                and spans[r]
            ):
                rules[r] = Rule(kind, () if spans[r] == ((0, columns),) else spans[r])
        return rules


def _move_to_front(row: list[Any], column: int) -> list[Any]:
    return [row[column], *row[:column], *row[column + 1 :]]


def _free(head: list[list[Cell]], body: list[list[Cell]], columns: int) -> list[tuple[tuple[int, int], ...]]:
    """Return, for each row edge, the columns that no cell crosses; in a head of two rows, those of the group."""
    table = Table(tuple(tuple(row) for row in (*head, *body)), "l" * columns)
    open_above = np.ones((len(table.rows), columns), bool)
    for r, c, cell in table.placed():
        open_above[r + 1 : r + cell.rows, c : c + cell.columns] = False
    return [tuple(marked_runs(free)) for free in open_above]


# -- geometry ---------------------------------------------------------------------------------------------------------
def _boxes(
    table: Table, page: pdfium.PdfPage, scale: float, offset: tuple[int, int]
) -> tuple[list[LabelledLine], list[Region]]:
    """Return the lines of text, and a region for each cell in the order of `placed`."""
    rects = _cell_rects(table, page, scale)
    layer = read_text_layer(page, scale)
    glyphs = np.flatnonzero((layer.kinds != GENERATED) & np.array([not ch.isspace() for ch in layer.text], bool))
    middle = (layer.boxes[:, :2] + layer.boxes[:, 2:]) / 2
    middle[:, 1] = layer.origins[:, 1] - 0.2 * layer.ems  # an underscore is below the text of its cell
    inside = (middle[:, None] >= rects[None, :, :2]).all(2) & (middle[:, None] < rects[None, :, 2:]).all(2)
    block = np.where(inside.any(1), inside.argmax(1) + 1, np.where(middle[:, 1] < rects[:, 1].min(), 0, len(rects) + 1))
    _check(table, layer, glyphs, block)
    kept = np.flatnonzero(layer.kinds != GENERATED)
    lines = sorted(text_lines(layer, kept, block), key=lambda line: line.block)
    shift = np.array([*offset, *offset], np.float32)
    for line in lines:
        line.boxes, line.baseline = line.boxes + shift, line.baseline + offset[1]
    regions = [
        Region("cell", tuple((rect + shift).tolist()), cell.text + cell.mark)
        for rect, (_, _, cell) in zip(rects, table.placed(), strict=True)
    ]
    return lines, regions


def _cell_rects(table: Table, page: pdfium.PdfPage, scale: float) -> np.ndarray:
    """Return the boxes of the cells, (C, 4) float32, in the order of `placed`: the filled paths of the page."""
    height, found = page.get_height(), []
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    for path in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH]):
        raw.FPDFPath_GetDrawMode(path.raw, fill, stroke)
        if fill.value:
            left, bottom, right, top = path.get_bounds()
            found.append((left, height - top, right, height - bottom))
    order = by_column(table)
    if len(found) != len(order):
        raise ValueError(f"the page shows {len(found)} cells, the table has {len(order)}")
    at = {(r, c): k for k, (r, c, _) in enumerate(order)}
    return np.array([found[at[r, c]] for r, c, _ in table.placed()], np.float32) * scale


def _check(table: Table, layer: TextLayer, glyphs: np.ndarray, block: np.ndarray) -> None:
    """Check that each cell shows its own characters and no others. Raises InputError with the cell."""
    shown: dict[int, str] = {}
    for k in glyphs.tolist():
        shown[int(block[k])] = shown.get(int(block[k]), "") + layer.text[k]
    for k, (r, c, cell) in enumerate(table.placed()):
        wanted = "".join((cell.text + cell.mark).split())
        if unicodedata.normalize("NFC", shown.get(k + 1, "")) != unicodedata.normalize("NFC", wanted):
            raise ValueError(f"cell {r + 1}, {c + 1} of the table shows {shown.get(k + 1, '')!r}, not {wanted!r}")
