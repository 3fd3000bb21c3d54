"""Find the kinds of blocks: headings, lists, code, tables, figures and captions, by the geometry of lines and ink.

A kind is set only where position, size or type shows it: a heading by its size, a list by its marks, code by its
fixed-width type, a table by cells in columns, a figure by ink without text, a caption by its first word next to a table
or figure. Other blocks stay text. Formulas are not found here.

Frame: pixels of the page image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby, pairwise

import numpy as np
from PIL import Image

from ..io.box import Box, union
from .elements import ITEM, LEADER, STYLES, Block, Line, Page
from .evidence import Evidence, add_links, take_figures
from .tables import take_tables

HEADING = 1.15  # least size of a heading, as a multiple of the text size
LEVELS = (1.7, 1.35)  # least sizes of headings of level 1 and 2
MAX_HEADING = 200  # characters
_NUMBER = re.compile(r"(\d+(?:\.\d+)*)\.?\s+(?=[^\W\d])")
_CELLS = re.compile(r"(?<! ) {2,}(?! )")  # the reader writes two blanks between cells
_CAPTION = re.compile(r"(?:figure|fig\.|table|tab\.|chart|scheme|plate|listing)\s*(?:\d+|[IVX]+\b)", re.I)
MAX_BOLD, BOLD_LINES = 100, 2  # characters and lines of a heading in bold
TABLE_ROWS = 3
BODY_SHARE, BODY_CHARACTERS = 0.2, 400  # of the characters of a page, for a size of running text
GRID = 12  # px, side of a cell of the raster on which figures are found
FIGURE_SHARE = 0.015  # least area of a figure, as a share of the page


def find_structure(page: Page, image: Image.Image | None, evidence: Evidence | None = None) -> None:
    """Set the kind of each block of a page, assemble tables and lists, and insert figures.

    Args:
        page: An upright page with its blocks in reading order; it is changed.
        image: The page image, if there is one.
        evidence: Drawn objects of a PDF page. Without it figures are found in the image.
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
        page.blocks = take_tables(page.blocks, evidence, body)
    elif image is not None:
        figures = [Block([], box, "figure") for box in _figures(page.lines, image, body)]
    parts = groupby(page.blocks, lambda block: block.kind == "table")
    page.blocks = _with_code([b for is_table, g in parts for b in (g if is_table else _with_tables(list(g)))])
    for block in page.blocks:
        if block.kind in ("table", "code"):
            continue
        size = float(np.median([_size(line) for line in block.lines]))
        text = block.text
        if size >= HEADING * body and len(text) <= MAX_HEADING and any(ch.isalpha() for ch in text):
            block.kind, block.level = "heading", 1 + sum(size < least * body for least in LEVELS)
        elif ITEM.match(text):
            block.kind = "list"
    page.blocks = _with_lists(page.blocks)
    page.blocks = _with_bold_headings(page.blocks)
    _add_figures(page, figures)
    for block in page.blocks:
        if block.kind == "text" and _CAPTION.match(block.text) and any(
            other.kind in ("table", "figure") and _gap(block.box, other.box) < 3 * body for other in page.blocks
        ):  # fmt: skip
            block.kind = "caption"


def _size(line: Line) -> float:
    """Return the font size of a line in pixels: the median height of its character boxes, 0.96 em."""
    heights = [y1 - y0 for _, y0, _, y1 in line.characters] or [line.box[3] - line.box[1]]
    return float(np.median(heights))


def _body_size(lines: list[Line]) -> float:
    """Return the size of the page's running text: the largest that BODY_SHARE of many characters have.

    References and notes may fill most of a page in smaller type; the text is then no heading.
    """
    sizes = np.repeat([_size(line) for line in lines], [max(1, len(line.text)) for line in lines])
    median = float(np.median(sizes))
    large = [float(size) for size in np.unique(sizes) if size > median]
    shares = {size: float((np.abs(sizes - size) < 0.06 * size).mean()) for size in large}
    return max([median, *(s for s in large if shares[s] >= BODY_SHARE and shares[s] * len(sizes) >= BODY_CHARACTERS)])


def _gap(a: Box, b: Box) -> float:
    """Return the vertical distance of two boxes; infinite when neither is above the other."""
    if min(a[2], b[2]) <= max(a[0], b[0]):
        return float("inf")
    return max(a[1], b[1]) - min(a[3], b[3])


# -- type ------------------------------------------------------------------------------------------------------------


def _drop_common_style(lines: list[Line]) -> None:
    """Remove a style from all lines when most of the page has it: it emphasises nothing."""
    total = sum(len(line.text) for line in lines)
    for name in STYLES:
        if 2 * sum(_styled(line, name) for line in lines) > total:
            for line in lines:
                line.styles = [span for span in line.styles if span[2] != name]


def _styled(line: Line, name: str) -> int:
    """Return the number of characters of a line in a style."""
    return sum(end - start for start, end, style in line.styles if style == name)


def _with_code(blocks: list[Block]) -> list[Block]:
    """Return the blocks with lines in fixed-width type as blocks of code; neighbouring ones become one block."""
    codes = _code_lines([line for block in blocks if block.kind != "table" for line in block.lines])
    out: list[Block] = []
    for block in blocks:
        if block.kind == "table":
            out.append(block)
            continue
        for code, run in groupby(block.lines, lambda line: id(line) in codes):
            lines = list(run)
            above = out[-1] if code and out and out[-1].kind == "code" else None
            if above and _gap(above.box, union(line.box for line in lines)) < 3 * _size(lines[0]):
                lines = [*out.pop().lines, *lines]
            whole = len(lines) == len(block.lines) and not code
            out.append(block if whole else Block(lines, union(line.box for line in lines), "code" if code else "text"))
    return out


def _code_lines(lines: list[Line]) -> set[int]:
    """Return the ids of lines of code: nine tenths in fixed-width type. A short line needs code next to it."""
    fixed = [_styled(line, "mono") >= 0.9 * len(line.text) > 0 for line in lines]
    code = {k for k, line in enumerate(lines) if fixed[k] and len(line.text) > 5}
    for order in (range(len(lines)), reversed(range(len(lines)))):
        before: int | None = None
        for k in order:
            if fixed[k] and before in code and abs(lines[k].box[1] - lines[before].box[1]) < 4 * _size(lines[k]):
                code.add(k)
            before = k
    return {id(lines[k]) for k in code}


# -- headings --------------------------------------------------------------------------------------------------------


def _with_bold_headings(blocks: list[Block]) -> list[Block]:
    """Return the blocks with headings that have the size of the text: bold lines above text that is not bold.

    The level follows from the number of the heading: `4` is level 2, `4.1` level 3. Without a number it is 3, and the
    text below must run on over a line or be a list.
    """
    out: list[Block] = []
    for block in blocks:
        bold = [_bold_share([line]) > 0.9 for line in block.lines]
        count = bold.index(False) if False in bold else 0
        first, rest = block.lines[:count], block.lines[count:]
        if block.kind == "text" and 0 < count <= BOLD_LINES and _bold_share(rest) < 0.5:
            out.append(Block(first, union(line.box for line in first), angle=block.angle))
            out.append(Block(rest, union(line.box for line in rest), angle=block.angle))
        else:
            out.append(block)
    heads = [k for k, (block, below) in enumerate(pairwise(out)) if _is_bold_heading(block, below)]
    for k in heads:
        number = _NUMBER.match(out[k].text)
        out[k].kind, out[k].level = "heading", min(6, number[1].count(".") + 2) if number else 3
    return out if heads else blocks


def _is_bold_heading(block: Block, below: Block) -> bool:
    text, size = block.text.strip(), _size(block.lines[0]) if block.lines else 0.0
    if block.kind != "text" or not 0 < len(block.lines) <= BOLD_LINES or below.kind not in ("text", "list"):
        return False
    if not 1 < len(text) <= MAX_BOLD or text[-1] in ".,;:" or _CELLS.search(text) or _CAPTION.match(text):
        return False
    if not any(ch.isalpha() for ch in text) or _bold_share(block.lines) < 0.9 or _bold_share(below.lines) > 0.5:
        return False
    near = 0 < below.box[1] - block.lines[-1].box[1] < 3.5 * size and abs(block.box[0] - below.box[0]) < 3 * size
    return near and (_NUMBER.match(text) is not None or below.kind == "list" or len(below.lines) > 1)


def _bold_share(lines: list[Line]) -> float:
    return sum(_styled(line, "bold") for line in lines) / max(1, sum(len(line.text) for line in lines))


# -- lists -----------------------------------------------------------------------------------------------------------


def _with_lists(blocks: list[Block]) -> list[Block]:
    """Return the blocks with wrapped list items whole and neighbouring items in one block of kind `list`."""
    out: list[Block] = []
    for block in blocks:
        if block.kind not in ("list", "text"):
            out.append(block)
            continue
        for lines in _item_runs(block.lines):
            last = out[-1] if out and out[-1].kind == "list" else None
            if last and (_is_item(lines[0]) or _continues(last, lines)) and _follows(last, lines[0]):
                last.lines += lines
                last.box = union(line.box for line in last.lines)
            else:
                kind = "list" if _is_item(lines[0]) else "text"
                whole = len(lines) == len(block.lines) and kind == block.kind
                out.append(block if whole else Block(lines, union(line.box for line in lines), kind, angle=block.angle))
    return out


def _item_runs(lines: list[Line]) -> list[list[Line]]:
    """Return runs of lines: each item with the lines that continue it, and the lines between."""
    runs: list[list[Line]] = []
    box = union(line.box for line in lines)
    full = box[2] - 0.15 * (box[2] - box[0])
    for line in lines:
        inside = runs and _is_item(runs[-1][0]) and (_hangs(runs[-1][0], line) or runs[-1][-1].box[2] > full)
        if runs and not _is_item(line) and (inside or not _is_item(runs[-1][0])):
            runs[-1].append(line)
        else:
            runs.append([line])
    return runs


def _is_item(line: Line) -> bool:
    return ITEM.match(line.text) is not None


def _hangs(item: Line, line: Line) -> bool:
    """Return whether a line is as far to the right as the text of an item, not its mark."""
    return line.box[0] > (item.box[0] + _text_start(item)) / 2


def _text_start(item: Line) -> float:
    """Return where the text of an item begins, after its mark."""
    found = ITEM.match(item.text)
    start = len(item.text) - len(item.text[len(found[0]) if found else 0 :].lstrip())
    return item.characters[start][0] if start < len(item.characters) else item.box[0] + 1.0


def _continues(block: Block, lines: list[Line]) -> bool:
    """Return whether lines without a mark continue the last item of a list."""
    item = next(line for line in reversed(block.lines) if _is_item(line))
    text = _text_start(item)
    full = block.lines[-1].box[2] > lines[0].box[0] + 0.6 * (block.box[2] - block.box[0])
    return full and all(abs(line.box[0] - text) < 0.8 * _size(line) for line in lines)


def _follows(block: Block, line: Line) -> bool:
    """Return whether a line is below a list, close to it and of its size."""
    last = block.lines[-1]
    return (
        0 < line.box[1] - last.box[1] < 3.2 * _size(last)
        and line.box[0] < block.box[2]
        and abs(_size(line) - _size(last)) < 0.15 * _size(last)
    )


# -- tables ----------------------------------------------------------------------------------------------------------


def _with_tables(blocks: list[Block]) -> list[Block]:
    """Return the blocks with each run of rows that form columns as one table."""
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


Row = tuple[Line, list[tuple[str, float, float]], int]  # line, its cells (text, left, right), index of its block


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
    """Yield begin and end of runs of close rows that have several cells each."""
    begin = 0
    for k, row in enumerate(rows):
        step = row[0].box[1] - rows[k - 1][0].box[1] if k > begin else 1.0
        if len(row[1]) < 2 or not 0 < step < 4 * _size(row[0]):
            yield begin, k
            begin = k + (len(row[1]) < 2)
    yield begin, len(rows)


def _grid(rows: list[list[tuple[str, float, float]]]) -> list[list[str]] | None:
    """Return the cells of rows by column; None when they form no columns."""
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
    """Insert each figure before the first block below its middle in the same column."""
    for figure in figures:
        box = figure.box
        middle = (box[1] + box[3]) / 2
        below = (k for k, b in enumerate(page.blocks) if b.box[1] > middle and _gap(b.box, box) < float("inf"))
        page.blocks.insert(next(below, len(page.blocks)), figure)


def _figures(lines: list[Line], image: Image.Image, body: float) -> list[Box]:
    """Return the boxes of large connected areas of ink that contain little text."""
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
    """Yield the boxes (x0, y0, x1, y1) of connected cells; a gap of one cell does not separate."""
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
