"""What a block is, by geometry alone: headings, lists, tables, figures, captions; header and footer across pages.

The nano model reads characters and where they stand, so a kind is given only where place and size show it: a heading
by its size, a list by its bullets, a table by cells that stand in columns, a figure by ink in which no text was read, a
caption by its first word beside a table or a figure. What shows nothing stays text. A formula is never guessed.

Frame: pixels of the page image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

import numpy as np
from PIL import Image

from .elements import ITEM, LEADER, STYLES, Block, Box, Line, Page, union
from .evidence import Evidence, add_links, take_figures

HEADING = 1.15  # times the size of the page's text; LEVELS: the least sizes of levels 1, 2
LEVELS = (1.7, 1.35)
MAX_HEADING = 200  # characters
_CELLS = re.compile(r"(?<! ) {2,}(?! )")  # between cells the reader sets two blanks
_CAPTION = re.compile(r"(?:figure|fig\.|table|tab\.|chart|scheme|plate|listing)\s*(?:\d+|[IVX]+\b)", re.I)
TABLE_ROWS = 3
GRID = 12  # px, the raster on which figures are sought
FIGURE_SHARE = 0.015  # of the page, at least


def find_structure(page: Page, image: Image.Image | None, evidence: Evidence | None = None) -> None:
    """Give each block of a page its kind; tables are put together from blocks, figures are added at their place.

    Args:
        page: upright, its blocks in reading order; changed in place.
        image: the page's picture; None when there is none.
        evidence: what a PDF says that is drawn on the page; without it figures are sought in the image.
    """
    if not page.blocks:
        return
    body = _body_size(page.lines)
    _drop_common_style(page.lines)
    figures: list[Block] = []
    if evidence is not None:
        add_links(page.lines, evidence.links)
        found = take_figures(page.blocks, evidence, (page.width, page.height), body)
        page.blocks, figures = [b for b in found if b.kind != "figure"], [b for b in found if b.kind == "figure"]
    elif image is not None:
        figures = [Block([], box, "figure") for box in _figures(page.lines, image, body)]
    page.blocks = _with_code(_with_tables(page.blocks))
    for block in page.blocks:
        if block.kind in ("table", "code"):
            continue
        size = float(np.median([_size(line) for line in block.lines]))
        text = block.text
        if size >= HEADING * body and len(text) <= MAX_HEADING and any(ch.isalpha() for ch in text):
            block.kind, block.level = "heading", 1 + sum(size < least * body for least in LEVELS)
        elif ITEM.match(text):
            block.kind = "list"
    _add_figures(page, figures)
    for block in page.blocks:
        if block.kind == "text" and _CAPTION.match(block.text) and any(
            other.kind in ("table", "figure") and _gap(block.box, other.box) < 3 * body for other in page.blocks
        ):  # fmt: skip
            block.kind = "caption"


def _size(line: Line) -> float:
    """Size of a line's type, in pixels: the height of a character's box, which is 0.96 em (`lines.py`)."""
    heights = [y1 - y0 for _, y0, _, y1 in line.characters] or [line.box[3] - line.box[1]]
    return float(np.median(heights))


def _body_size(lines: list[Line]) -> float:
    """The size in which most of the page's characters are set."""
    sizes = np.repeat([_size(line) for line in lines], [max(1, len(line.text)) for line in lines])
    return float(np.median(sizes))


def _gap(a: Box, b: Box) -> float:
    """White between two boxes, downwards; infinite when they do not stand above one another."""
    if min(a[2], b[2]) <= max(a[0], b[0]):
        return float("inf")
    return max(a[1], b[1]) - min(a[3], b[3])


# -- type ------------------------------------------------------------------------------------------------------------


def _drop_common_style(lines: list[Line]) -> None:
    """A style in which most of the page is set emphasises nothing: it is taken off all lines."""
    total = sum(len(line.text) for line in lines)
    for name in STYLES:
        if 2 * sum(_styled(line, name) for line in lines) > total:
            for line in lines:
                line.styles = [span for span in line.styles if span[2] != name]


def _styled(line: Line, name: str) -> int:
    """Characters of a line that are set in a style."""
    return sum(end - start for start, end, style in line.styles if style == name)


def _with_code(blocks: list[Block]) -> list[Block]:
    """Blocks with the lines that are set in typewriter type throughout as code; neighbouring ones are one block."""
    out: list[Block] = []
    for block in blocks:
        parts = [(False, block.lines)] if block.kind == "table" else _by_type(block.lines)
        for code, lines in parts:
            above = out[-1] if code and out and out[-1].kind == "code" else None
            if above and _gap(above.box, union(line.box for line in lines)) < 3 * _size(lines[0]):
                lines = [*out.pop().lines, *lines]
            whole = len(lines) == len(block.lines) and not code
            out.append(block if whole else Block(lines, union(line.box for line in lines), "code" if code else "text"))
    return out


def _by_type(lines: list[Line]) -> list[tuple[bool, list[Line]]]:
    """Runs of lines, and whether they are code: nine tenths typewriter, a word alone is none."""
    return [
        (code, list(run))
        for code, run in groupby(lines, lambda line: _styled(line, "mono") >= 0.9 * len(line.text) > 5)
    ]


# -- tables ----------------------------------------------------------------------------------------------------------


def _with_tables(blocks: list[Block]) -> list[Block]:
    """Blocks with each run of rows that stand in columns made one table; other blocks stay as they are."""
    rows = [(line, _cells(line), k) for k, block in enumerate(blocks) for line in block.lines]
    grids: dict[int, list[list[str]]] = {}  # by the table's first row
    table_of = [-1] * len(rows)
    for begin, end in _runs(rows):
        cells = _grid([row[1] for row in rows[begin:end]]) if end - begin >= TABLE_ROWS else None
        if cells:
            grids[begin] = cells
            table_of[begin:end] = [begin] * (end - begin)
    out: list[Block] = []
    keys = [(table, -1 if table >= 0 else owner) for table, (_, _, owner) in zip(table_of, rows, strict=True)]
    for (table, owner), group in groupby(zip(keys, rows, strict=True), key=lambda pair: pair[0]):
        lines = [row[0] for _, row in group]
        if table >= 0:
            out.append(Block(lines, union(line.box for line in lines), "table", cells=grids[table]))
        else:
            whole = len(lines) == len(blocks[owner].lines)
            out.append(blocks[owner] if whole else Block(lines, union(line.box for line in lines)))
    return out


Row = tuple[Line, list[tuple[str, float, float]], int]  # line, its cells (text, left, right), its block


def _cells(line: Line) -> list[tuple[str, float, float]]:
    if len(line.characters) != len(line.text) or LEADER.search(line.text) or ITEM.match(line.text):
        return []
    cells, begin = [], 0
    for end, after in [*(m.span() for m in _CELLS.finditer(line.text)), (len(line.text), 0)]:
        if line.text[begin:end].strip():
            cells.append((line.text[begin:end], line.characters[begin][0], line.characters[end - 1][2]))
        begin = after
    return cells


def _runs(rows: list[Row]) -> Iterable[tuple[int, int]]:
    """Begin and end of runs of rows of several cells, one close below the other."""
    begin = 0
    for k, row in enumerate(rows):
        step = row[0].box[1] - rows[k - 1][0].box[1] if k > begin else 1.0
        if len(row[1]) < 2 or not 0 < step < 4 * _size(row[0]):
            yield begin, k
            begin = k + (len(row[1]) < 2)
    yield begin, len(rows)


def _grid(rows: list[list[tuple[str, float, float]]]) -> list[list[str]] | None:
    """Cells in the columns that they stand in; None where they stand in none."""
    columns: list[list[float]] = []
    for _, left, right in sorted((cell for row in rows for cell in row), key=lambda cell: cell[1]):
        if columns and left < columns[-1][1]:
            columns[-1][1] = max(columns[-1][1], right)
        else:
            columns.append([left, right])
    grid = []
    for row in rows:
        texts = [""] * len(columns)
        for text, left, right in row:
            k = next(k for k, (x0, x1) in enumerate(columns) if x0 <= left and right <= x1)
            if texts[k]:
                return None
            texts[k] = text
        grid.append(texts)
    filled = sum(bool(text) for row in grid for text in row)
    return grid if len(columns) > 1 and filled >= 0.5 * len(grid) * len(columns) else None


# -- figures ---------------------------------------------------------------------------------------------------------


def _add_figures(page: Page, figures: list[Block]) -> None:
    """Put each figure before the first block that stands below its middle, in its columns."""
    for figure in figures:
        box = figure.box
        middle = (box[1] + box[3]) / 2
        below = (k for k, b in enumerate(page.blocks) if b.box[1] > middle and _gap(b.box, box) < float("inf"))
        page.blocks.insert(next(below, len(page.blocks)), figure)


def _figures(lines: list[Line], image: Image.Image, body: float) -> list[Box]:
    """Large connected patches of ink in which little text was read."""
    pixels = np.asarray(image.convert("L"))
    high, wide = (side // GRID for side in pixels.shape)
    if not high or not wide:
        return []
    paper = float(np.median(pixels))
    ink = np.abs(pixels[: high * GRID, : wide * GRID].astype(np.int16) - paper) > 40
    ink_HW = ink.reshape(high, GRID, wide, GRID).mean((1, 3)) > 0.02
    text_HW = np.zeros((high, wide), bool)
    for line in lines:
        x0, y0, x1, y1 = (max(0.0, v) / GRID for v in line.box)
        text_HW[int(y0 - 0.3) : int(np.ceil(y1 + 0.3)), int(x0) : int(np.ceil(x1))] = True
    found = []
    for x0, y0, x1, y1 in _patches(ink_HW & ~text_HW):
        share, read = (x1 - x0) * (y1 - y0) / (high * wide), text_HW[y0:y1, x0:x1].mean()
        if share > FIGURE_SHARE and min(x1 - x0, y1 - y0) * GRID > 4 * body and read < 0.25:
            found.append((float(x0 * GRID), float(y0 * GRID), float(x1 * GRID), float(y1 * GRID)))
    return sorted(found, key=lambda box: (box[1], box[0]))


def _patches(mask_HW: np.ndarray) -> Iterable[tuple[int, int, int, int]]:
    """Boxes (x0, y0, x1, y1) of what is connected, also over one empty cell."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask_HW)}
    near = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        waiting, cells = [start], [start]
        while waiting:
            y, x = waiting.pop()
            for dy, dx in near:
                cell = (y + dy, x + dx)
                if cell in left:
                    left.discard(cell)
                    waiting.append(cell)
                    cells.append(cell)
        ys, xs = zip(*cells, strict=True)
        yield min(xs), min(ys), max(xs) + 1, max(ys) + 1
