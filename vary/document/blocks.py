"""Blocks of a document out of ordered rows of lines."""

from __future__ import annotations

from itertools import groupby
from typing import cast

import numpy as np

from ..io.box import Box, union
from .elements import SOURCES, Block, Line, Span
from .lines import TextLine
from .reading_order import TextBlock


def to_block(block: TextBlock, scale: float, styles: tuple[str, ...]) -> Block:
    """Return the block of the document for ordered rows; coordinates are divided by `scale`.

    styles: names of the columns of `TextLine.styles`.
    """
    lines = []
    for row in block.rows:
        pieces = row.pieces
        text = "  ".join(p.text for p in pieces)
        boxes = [tuple((p.boxes[k] / scale).tolist()) for p in pieces for k in range(len(p.text))]
        confidence = [float(c) for p in pieces for c in p.confidence]
        box = cast(Box, tuple(v / scale for v in row.box))
        mean = sum(confidence) / len(confidence)
        writers = {p.writer for p in pieces}
        writer = next(name for name in ("decoder", "head", "layer") if name in writers)
        known = [s for p in pieces for s in (p.styles if p.styles is not None else [()] * len(p.text))]
        spans = _spans(np.array(_spaced(pieces, known), bool), styles)
        line = Line(text, box, mean, _spaced(pieces, boxes), _spaced(pieces, confidence), writer, spans)
        line.sources = _sources(pieces)
        lines.append(line)
    return Block(lines, union(line.box for line in lines))


def _spaced(pieces: list[TextLine], values: list) -> list:
    """Values per character of the joined line: the two blanks between pieces take those of the character before."""
    out: list = []
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
    for source, group in groupby(_spaced(pieces, known)):
        count = len(list(group))
        spans.append((at, at + count, SOURCES[source]))
        at += count
    return spans


def _spans(styles_NS: np.ndarray, names: tuple[str, ...]) -> list[Span]:
    """Runs of characters of each style, in the order in which they begin."""
    spans = []
    for name, column in zip(names, styles_NS.T, strict=False):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], column, [0]]).astype(int)))
        spans += [(int(start), int(end), name) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    return sorted(spans)
