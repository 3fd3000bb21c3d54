"""Turn the characters of a PDF page into text: lines, reading order, paragraphs, running heads.

The order is that of the content stream if it never runs backwards; otherwise that of `reading_order.order_blocks`.
Frame: pixels of the page image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ...document.layout.paragraphs import Row, TextBlock
from ...document.layout.reading_order import order_blocks, to_row
from ...document.lines import TextLine
from ...io.box import Box
from ...io.pdf_layer import HYPHENATED, TextLayer
from ..sample import LabelledLine
from .text_layer import joins, text_lines

EDGE = 0.13  # share of the page's height at its top and bottom where running heads stand
SHORT = 0.15  # a line that ends this share of its block's width before the edge is the last of its paragraph
_ITEM = re.compile(
    r"[•–*·‣▪◦] ?|- (?=\S)|\(?(?:\d{1,3}[.)]|[a-zA-Z][.)]|\d+(?:\.\d+)+)(?= )|[（(]?[一二三四五六七八九十]+[、）)]"
)
_NUMBER = re.compile(r"(?:^|\s)(?:\d{1,4}|[ivxlc]{1,7}|\d+[-–.]\d+)(?:\s|$)")
_END = tuple('.!?:;。！？：；…”"）)')


@dataclass
class _Row:
    """A printed row of one column. soft: it ends in a hyphen added by the typesetter."""

    text: str
    box: Box
    em: float
    soft: bool
    lines: list[LabelledLine]


def page_text(layer: TextLayer, size: tuple[int, int], keep_heads: bool) -> tuple[str, list[LabelledLine], str]:
    """Return paragraphs (one per line), all lines in reading order with character boxes, and the name of the order.

    size: width and height of the rendered page. keep_heads: keep running heads and page numbers in the text; they are
    always among the lines.
    """
    lines = [
        line for line in text_lines(layer, np.arange(len(layer.text)), np.zeros(len(layer.text), int), with_styles=True)
    ]
    if not lines:
        return "", [], "content"
    ends = {tuple(layer.boxes[k].tolist()) for k in np.flatnonzero(layer.kinds == HYPHENATED)}
    rows, how = _blocks(lines, ends)
    head, body, foot = _split_furniture(rows, size[1])
    paragraphs = _join_rows(body)
    if keep_heads:
        around = [" ".join(row.text for row in edge) for edge in (head, foot)]
        paragraphs = [text for text in (around[0], *paragraphs, around[1]) if text]
    ordered: list[LabelledLine] = []
    for k, block in enumerate([*([row] for row in head), *body, *([row] for row in foot)]):
        for row in block:
            ordered += [replace(line, block=k) for line in row.lines]
    return "\n".join(paragraphs), ordered, how


def _blocks(lines: list[LabelledLine], ends: set[tuple[float, ...]]) -> tuple[list[list[_Row]], str]:
    """Return the rows of every block in reading order. ends: boxes of hyphens added by the typesetter."""
    reads = [TextLine(line.text, line.boxes, np.ones(len(line.text), np.float32), line.em_px) for line in lines]
    rows: list[list[TextLine]] = []
    for read in reads:  # pieces of one printed row stand next to each other in the content, too
        last = rows[-1][-1] if rows else None
        if last is not None and abs(last.box[3] - read.box[3]) < 0.5 * read.em_px and read.box[0] > last.box[2]:
            rows[-1].append(read)
        else:
            rows.append([read])
    content = _split([to_row(row) for row in rows])
    if _runs_back(content):
        content, how = order_blocks(reads), "layout"
    else:
        how = "content"
    places = {line.boxes.tobytes(): line for line in lines}
    return [[_to_row(row, places, ends) for row in block.rows] for block in content], how


def _to_row(row: Row, places: dict[bytes, LabelledLine], ends: set[tuple[float, ...]]) -> _Row:
    parts = [
        places.get(p.boxes.tobytes())  # a line that was cut at a gutter is none of the page's own lines
        or LabelledLine(p.text, p.boxes, float(p.boxes[:, 3].max()), 0.45 * p.em_px, p.em_px)
        for p in row.pieces
    ]
    soft = parts[-1].text.endswith("-") and tuple(parts[-1].boxes[-1].tolist()) in ends
    return _Row(" ".join(part.text for part in parts), row.box, row.em_px, soft, parts)


def _split(rows: list[Row]) -> list[TextBlock]:
    """Split rows into blocks at white space, at a new column, at another font size and at an indent."""
    steps = [(a.em_px, b.box[1] - a.box[1]) for a, b in pairwise(rows) if 0 < b.box[1] - a.box[1] < 2 * a.em_px]
    blocks: list[TextBlock] = []
    for before, row in zip([None, *rows], rows, strict=False):
        new = before is None
        if before is not None:
            em, step, indent = row.em_px, row.box[1] - before.box[1], row.box[0] - before.box[0]
            alike = [s for size, s in steps if abs(size - em) < 0.1 * em]  # the leading of this size of type
            beside = row.box[0] > before.box[2] or row.box[2] < before.box[0]
            wide = step > 1.3 * max(float(np.median(alike)) if alike else 0.0, 1.1 * em)
            new = step <= 0 or beside or wide or abs(before.em_px - em) > 0.18 * em or 0.9 * em < indent < 4 * em
        if new:
            blocks.append(TextBlock())
        blocks[-1].rows.append(row)
    return blocks


def _runs_back(blocks: list[TextBlock]) -> bool:
    """Return whether running text continues higher up without moving right: the content is not in reading order.

    Short blocks (heads, feet, margin notes) may come at any time.
    """
    large = [block.rows for block in blocks if sum(len(p.text) for row in block.rows for p in row.pieces) > 60]
    return any(
        b[0].box[1] < a[-1].box[1] - b[0].em_px and b[0].box[0] <= min(row.box[2] for row in a) - 2 * b[0].em_px
        for a, b in pairwise(large)
    )


def _split_furniture(blocks: list[list[_Row]], height: float) -> tuple[list[_Row], list[list[_Row]], list[_Row]]:
    """Separate running heads, blocks and footers. A head is one row at the edge, set apart and not larger."""
    rows = [row for block in blocks for row in block]
    em = float(np.median([row.em for row in rows for _ in range(1 + len(row.text) // 20)]))
    heads = _edge(sorted(rows, key=lambda row: row.box[1]), lambda row: row.box[1] < EDGE * height, em, 1)
    feet = _edge(sorted(rows, key=lambda row: -row.box[3]), lambda row: row.box[3] > (1 - EDGE) * height, em, -1)
    if len(rows) <= len(heads) + len(feet):
        return [], blocks, []
    aside = {id(row) for row in heads + feet}
    kept = [[row for row in block if id(row) not in aside] for block in blocks]
    return heads, [block for block in kept if block], feet


def _edge(rows: list[_Row], near: object, em: float, way: int) -> list[_Row]:
    """Return the outermost printed row if it is a running head. rows: from the edge of the page inwards."""
    outer = [row for row in rows[:4] if abs(row.box[3] - rows[0].box[3]) < 0.7 * em]
    inner = [row for row in rows if all(row is not other for other in outer)]
    if not callable(near) or not inner or not all(near(row) for row in outer):
        return []
    gap = inner[0].box[1] - outer[0].box[3] if way > 0 else outer[0].box[1] - inner[0].box[3]
    text = " ".join(row.text for row in sorted(outer, key=lambda row: row.box[0]))
    numbered = bool(_NUMBER.search(text[:9]) or _NUMBER.search(text[-9:]))
    small = max(row.em for row in outer) < 1.15 * em and len(text) < 110
    apart = gap > (0.5 if numbered else 1.1) * em
    return sorted(outer, key=lambda row: row.box[0]) if small and apart else []


# -- paragraphs ------------------------------------------------------------------------------------------------------


def _join_rows(blocks: list[list[_Row]]) -> list[str]:
    """Join rows into paragraphs, also across the end of a column."""
    words = set(re.findall(r"\w+-\w+", " ".join(row.text for block in blocks for row in block)))
    edges = [(min(row.box[0] for row in block), max(row.box[2] for row in block)) for block in blocks]
    paragraphs: list[str] = []
    before: _Row | None = None
    full = False
    for block, (left, right) in zip(blocks, edges, strict=True):
        flows = _flows(block, left, right, edges)
        for k, row in enumerate(block):
            if before is None:
                joined = False
            elif k > 0:
                starts = (
                    _ITEM.match(row.text) or _counts(before.text, row.text) or len(row.lines) > 1
                )  # a label, a cell
                joined = full and flows and not starts
            else:
                joined = _hangs(before, row, edges) or _goes_on(before, row, paragraphs[-1])
            if joined and before is not None:
                paragraphs[-1] = join_lines(paragraphs[-1], row.text, before.soft, words)
            else:
                paragraphs.append(row.text)
            full = right - row.box[2] <= SHORT * (right - left)
            before = row
    return paragraphs


def _counts(before: str, text: str) -> bool:
    """Return whether rows are numbered consecutively: code, verse, contents."""
    first, second = re.match(r"\d+(?= )", before), re.match(r"\d+(?= )", text)
    return bool(first and second and int(second[0]) - int(first[0]) == 1)


def _column(left: float, right: float, edges: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the left and right edge of the blocks above and below."""
    alike = [(a, b) for a, b in edges if min(b, right) - max(a, left) > 0.7 * (right - left)]
    widest = max(alike, key=lambda edge: edge[1] - edge[0], default=(left, right))
    return min(left, widest[0]), max(right, widest[1])


def _flows(block: list[_Row], left: float, right: float, edges: list[tuple[float, float]]) -> bool:
    """Return whether rows extend to an edge, as running text does; code, verse and addresses do not."""
    start, end = _column(left, right, edges)
    if len(block) >= 4 and right - left > 0.5 * (end - start):
        return sum(right - row.box[2] <= SHORT * (right - left) for row in block[:-1]) >= 0.6 * (len(block) - 1)
    return end - right <= SHORT * (end - start)


def _hangs(before: _Row, row: _Row, edges: list[tuple[float, float]]) -> bool:
    """Return whether this is the second row of a list item, indented after its mark."""
    if not _ITEM.match(before.text) or _ITEM.match(row.text) or abs(before.em - row.em) > 0.1 * row.em:
        return False
    left, right = _column(before.box[0], before.box[2], edges)
    near = 0 < row.box[1] - before.box[1] < 1.9 * row.em and 0 < row.box[0] - before.box[0] < 4 * row.em
    return near and right - before.box[2] <= SHORT * (right - left)


def _goes_on(before: _Row, row: _Row, paragraph: str) -> bool:
    """Return whether a block continues the sentence of the previous one, at the top of the next column."""
    if abs(before.em - row.em) > 0.1 * row.em or _ITEM.match(row.text):
        return False
    if row.box[1] > before.box[1] or len(paragraph) < 40:
        return False
    return before.soft or (not paragraph.endswith(_END) and (row.text[0].islower() or joins(row.text[0])))


def join_lines(text: str, more: str, soft: bool, words: set[str]) -> str:
    """Join two lines: remove a typesetter's hyphen; Chinese needs no space."""
    if soft and text.endswith("-") and len(text) > 1 and (more[0].islower() or joins(more[0])):
        left, right = re.search(r"(\w*)-$", text), re.match(r"\w+", more)
        if left and right and f"{left[1]}-{right[0]}" in words:
            return text + more  # the page has the word with its hyphen elsewhere, too
        return text[:-1] + more
    if text.endswith("-") and len(text) > 1 and text[-2].isalnum():
        return text + more
    return text + more if joins(text[-1]) and joins(more[0]) else f"{text} {more}"
