"""Blocks of a document out of ordered rows of lines."""

from __future__ import annotations

from itertools import groupby
from typing import Any, cast

import numpy as np

from ..io.box import Box, marked_runs, union
from .elements import SOURCES, Block, Line, Span
from .layout.paragraphs import TextBlock
from .lines import TextLine


def to_block(block: TextBlock, scale: float, styles: tuple[str, ...]) -> Block:
    """Return the block of the document for ordered rows or a region; coordinates are divided by `scale`.

    styles: names of the columns of `TextLine.styles`.
    """
    region = block.region
    if region is None:
        lines = [_line(row.pieces, scale, styles) for row in block.rows]
        return Block(lines, union(line.box for line in lines))
    rows = _rows(region.lines) if region.kind == "table" else [[line] for line in region.lines]
    box = cast(Box, tuple(v / scale for v in region.box))
    made = Block([_line(row, scale, styles) for row in rows], box, region.kind)
    if region.table is not None:
        made.cells, made.merged, made.head_rows = region.table.cells, region.table.merged, region.table.head_rows
    return made


def _rows(lines: list[TextLine]) -> list[list[TextLine]]:
    """Return the lines of a table in printed rows, from top to bottom and left to right."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: line.box[1] + line.box[3]):
        middle, last = (line.box[1] + line.box[3]) / 2, rows[-1][0] if rows else None
        if last is not None and middle - (last.box[1] + last.box[3]) / 2 < 0.4 * min(line.em_px, last.em_px):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in rows]


def _line(pieces: list[TextLine], scale: float, styles: tuple[str, ...]) -> Line:
    """Return the pieces of a row as one line, with two blanks between them."""
    text = "  ".join(p.text for p in pieces)
    boxes = [tuple((p.boxes[k] / scale).tolist()) for p in pieces for k in range(len(p.text))]
    confidence = [float(c) for p in pieces for c in p.confidence]
    box = cast(Box, tuple(v / scale for v in union(p.box for p in pieces)))
    mean = sum(confidence) / len(confidence)
    writers = {p.writer for p in pieces}
    writer = next(name for name in ("decoder", "head", "layer") if name in writers)
    known = [style for piece in pieces for style in _style_rows(piece, len(styles))]
    spans = _spans(np.array(_join_values(pieces, known), bool), styles)
    line = Line(text, box, mean, _join_values(pieces, boxes), _join_values(pieces, confidence), writer, spans)
    line.sources = _sources(pieces)
    return line


def _style_rows(piece: TextLine, count: int) -> np.ndarray:
    """Return which of `count` styles each character has; a piece may know of the first ones only."""
    rows = np.zeros((len(piece.text), count), bool)
    if piece.styles is not None:
        rows[:, : piece.styles.shape[1]] = piece.styles
    return rows


def _join_values(pieces: list[TextLine], values: list[Any]) -> list[Any]:
    """Values per character of the joined line: the two blanks between pieces take those of the character before."""
    out: list[Any] = []
    at = 0
    for k, piece in enumerate(pieces):
        if k:
            out += [out[-1], out[-1]]
        out += values[at : at + len(piece.text)]
        at += len(piece.text)
    return out


def _sources(pieces: list[TextLine]) -> list[Span]:
    """Return runs of characters of one witness; none where all are read from pixels."""
    if all(piece.sources is None for piece in pieces):
        return []
    known = [int(s) for p in pieces for s in (p.sources if p.sources is not None else [0] * len(p.text))]
    at, spans = 0, []
    for source, group in groupby(_join_values(pieces, known)):
        count = len(list(group))
        spans.append((at, at + count, SOURCES[source]))
        at += count
    return spans


def _spans(styles_NS: np.ndarray, names: tuple[str, ...]) -> list[Span]:
    """Return runs of characters of each style, in the order in which they begin."""
    spans = []
    for name, column in zip(names, styles_NS.T, strict=False):
        spans += [(start, end, name) for start, end in marked_runs(column)]
    return sorted(spans)
