"""What reading returns: Document -> Page -> Block -> Line. What it is written as stands in `writers.py`.

Boxes are (x0, y0, x1, y1) in pixels of the page image (`Page.width` x `Page.height`, at `Page.dpi` for a PDF), x right,
y down, origin top-left. Page numbers start at 1.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Box = tuple[float, float, float, float]
Span = tuple[int, int, str]  # characters [start, end) of a text, and a name of STYLES
ITEM = re.compile(r"[•‣▪] ?|[–*·] |- (?=\S)|\(?(?:\d{1,2}[.)]|[a-z]\)) ")  # a list item begins a line of its own
DOUBTFUL = 0.88  # mean confidence of a page; docs/results.md has that of pages of all kinds
HYPHENS = ("-", "\u2010", "\u00ad")  # at a line's end
LEADER = re.compile(r"(\. ?){4,}|…{2,}|_{4,}")  # lines of contents and forms stay lines
KINDS = ("text", "heading", "list", "code", "table", "formula", "figure", "caption", "header", "footer")
STYLES = ("bold", "italic", "mono")  # of type; mono is a typewriter's
STATUSES = ("ok", "blank", "truncated", "repetition", "timeout", "failed")
LOST = ("truncated", "repetition", "timeout", "failed")  # what makes a run end with an error code
SCHEMA = 2


@dataclass
class Line:
    """One line of text; `confidence` is the mean of its characters', each with a box of its own.

    writer: who wrote the text, `head` (the reading head's draft) or `decoder` (corrected by the decoder). styles: which
    characters are set in bold, italic or typewriter type.
    """

    text: str
    box: Box
    confidence: float
    characters: list[Box] = field(default_factory=list)
    character_confidence: list[float] = field(default_factory=list)
    writer: str = "head"
    styles: list[Span] = field(default_factory=list)


@dataclass
class Block:
    """Lines that belong together. kind: one of KINDS. level: of a heading, from 1. cells: rows of a table, all as long.

    image: where the writer put a figure's picture, relative to the document written. angle: degrees clockwise by which
    its lines run off the horizontal.
    """

    lines: list[Line]
    box: Box
    kind: str = "text"
    level: int = 0
    cells: list[list[str]] | None = None
    image: str | None = None
    angle: float = 0.0

    @property
    def confidence(self) -> float | None:
        """Mean of the lines'; None where nothing was read (a figure)."""
        return sum(line.confidence for line in self.lines) / len(self.lines) if self.lines else None

    @property
    def text(self) -> str:
        """Lines joined: a full line runs on into the next, a hyphen at its end is taken back; short lines stay."""
        return self.styled_text()[0]

    def styled_text(self) -> tuple[str, list[Span]]:
        """The text and, in it, the styles of its lines; a style runs on from one line into the next."""
        left, right = self.box[0], self.box[2]
        if self.angle:
            ends = [end for line in self.lines for end in _ends(line, self.angle)]
            left, right = min(ends, default=0.0), max(ends, default=0.0)
        text, spans = "", []  # type: ignore[var-annotated]
        for before, line in zip([None, *self.lines], self.lines, strict=False):
            if before is None:
                text = ""
            elif (
                self.kind == "code"
                or right - _ends(before, self.angle)[1] > 0.15 * (right - left)
                or ITEM.match(line.text)
                or LEADER.search(before.text)
            ):
                text += "\n"
            elif text.endswith(HYPHENS) and text[-2:-1].isalpha() and line.text[:1].islower():
                text = text[:-1]
                spans = [(start, min(end, len(text)), style) for start, end, style in spans]
            elif text.endswith(HYPHENS) and _own_hyphen(text[-2:-1], line.text[:1]):
                pass
            else:
                text += " "
            text += " " * self._indent(line) if self.kind == "code" else ""
            for start, end, style in line.styles:
                _add_span(spans, (start + len(text), end + len(text), style), text)
            text += line.text
        return text, spans

    def _indent(self, line: Line) -> int:
        """Blanks before a line of code: how far it stands in from the block, in characters of its own."""
        return round((line.box[0] - self.box[0]) / max(1.0, (line.box[2] - line.box[0]) / max(1, len(line.text))))


@dataclass
class Page:
    """One page and how reading it ended: `status` is one of STATUSES, `error` says why a page was lost.

    attempts: how often it was read until it ended so. rotation (0, 90, 180, 270) and skew: degrees clockwise by which
    the page lay turned; it was read upright, and boxes are those of the page as it lies (around slanting lines).
    """

    number: int
    status: str
    width: int = 0
    height: int = 0
    dpi: float | None = None
    seconds: float = 0.0
    blocks: list[Block] = field(default_factory=list)
    error: str | None = None
    attempts: int = 1
    rotation: int = 0
    skew: float = 0.0

    @property
    def lines(self) -> list[Line]:
        """Lines of all blocks in reading order."""
        return [line for block in self.blocks for line in block.lines]

    @property
    def confidence(self) -> float | None:
        """Mean of the characters' on the page; None where nothing was read."""
        known = [value for line in self.lines for value in line.character_confidence]
        return sum(known) / len(known) if known else None

    @property
    def doubt(self) -> str | None:
        """A warning where a page was read without confidence: another script, or no page of print at all."""
        mean = self.confidence
        if mean is None or mean >= DOUBTFUL:
            return None
        return f"read with a mean confidence of {mean:.0%} only: perhaps a script that the model does not know"

    @property
    def text(self) -> str:
        """Blocks in reading order, an empty line between them."""
        return "\n\n".join(block.text for block in self.blocks if block.lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` is its inverse but for rounding."""
        known = ("number", "status", "error", "width", "height", "dpi", "attempts", "rotation", "skew")
        return {name: getattr(self, name) for name in known} | {
            "seconds": round(self.seconds, 3),
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "text": self.text,
            "blocks": [_block_dict(block) for block in self.blocks],
        }

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Page:
        """The page that `to_dict` wrote."""
        blocks = []
        for block in found["blocks"]:
            lines = []
            for line in block["lines"]:
                boxes, confidence = [tuple(c[:4]) for c in line["characters"]], [c[4] for c in line["characters"]]
                text, box, styles = line["text"], tuple(line["box"]), [tuple(span) for span in line.get("styles", ())]
                lines.append(Line(text, box, line["confidence"], boxes, confidence, line["writer"], styles))
            known = {k: block[k] for k in ("kind", "level", "cells", "image")}
            known["angle"] = found.get("rotation", 0) + found.get("skew", 0.0)
            blocks.append(Block(lines, tuple(block["box"]), **known))
        return cls(**{k: v for k, v in found.items() if k not in ("confidence", "text", "blocks")}, blocks=blocks)


@dataclass
class Document:
    """All pages that were asked for, each with its status; nothing is left out."""

    source: str
    model: str
    pages: list[Page] = field(default_factory=list)

    def __iter__(self) -> Iterator[Page]:
        return iter(self.pages)

    @property
    def lost(self) -> list[Page]:
        """Pages whose text is missing or incomplete."""
        return [page for page in self.pages if page.status in LOST]

    def text(self) -> str:
        """Pages one after another, an empty line between them."""
        return "\n\n".join(page.text for page in self.pages if page.blocks)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, as `document.schema.json` describes it; `schema` changes when its shape does."""
        return document_head(self.source, self.model) | {"pages": [page.to_dict() for page in self.pages]}

    def json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    def markdown(self) -> str:
        """As Markdown; what was read is escaped. Pages that were lost are named in a comment."""
        return self._written("md")

    def html(self) -> str:
        """As a web page of its own; what was read is escaped."""
        return self._written("html")

    def _written(self, form: str) -> str:
        from .writers import WRITERS

        return "".join(WRITERS[form](self.source, self.model, iter(self.pages)))


def document_head(source: str, model: str) -> dict[str, Any]:
    """What a document's JSON begins with, before `pages`."""
    return {"schema": SCHEMA, "source": source, "model": model}


def _block_dict(block: Block) -> dict[str, Any]:
    confidence = block.confidence
    return {
        "kind": block.kind,
        "level": block.level,
        "box": _box(block.box),
        "confidence": None if confidence is None else round(confidence, 4),
        "cells": block.cells,
        "image": block.image,
        "lines": [_line_dict(line) for line in block.lines],
    }


def _line_dict(line: Line) -> dict[str, Any]:
    return {
        "text": line.text,
        "box": _box(line.box),
        "confidence": round(line.confidence, 4),
        "writer": line.writer,
        "styles": [list(span) for span in line.styles],
        "characters": [
            [*_box(b), round(c, 3)] for b, c in zip(line.characters, line.character_confidence, strict=True)
        ],
    }


def _own_hyphen(before: str, after: str) -> bool:
    """Whether a hyphen at a line's end is the word's own: post-War, 3-4."""
    return (before.isalpha() and after.isupper()) or (before.isdigit() and after.isdigit())


def _add_span(spans: list[Span], new: Span, text: str) -> None:
    """Add a span that begins in the next line; one of that style that ended with the text before runs on into it."""
    at = len(text)
    for k, (start, end, style) in enumerate(spans):
        if style == new[2] and new[0] == at and end >= at - 1 and not text.endswith("\n"):
            spans[k] = start, new[1], style
            return
    spans.append(new)


def _ends(line: Line, angle: float) -> tuple[float, float]:
    """Where a line begins and ends along its own direction, px."""
    if not angle:
        return line.box[0], line.box[2]
    cos, sin = math.cos(math.radians(angle)) / 2, math.sin(math.radians(angle)) / 2
    along = [(x0 + x1) * cos + (y0 + y1) * sin for x0, y0, x1, y1 in line.characters or [line.box]]
    return along[0], along[-1]


def _box(box: Box) -> list[float]:
    return [round(float(v), 1) for v in box]
