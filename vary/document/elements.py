"""The result of reading: Document -> Page -> Block -> Line. `writers.py` turns it into text, Markdown, HTML or JSON.

Boxes are (x0, y0, x1, y1) in pixels of the page image (`Page.width` x `Page.height`, at `Page.dpi` for a PDF), x right,
y down, origin top-left. Page numbers start at 1.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..io.box import Box
from .findings import (
    FINDINGS,
    Disagreement,
    FileInfo,
    FormulaReading,
    HiddenText,
    RejectedText,
    document_head,
    findings_of,
    page_offsets,
    round_box,
    to_dict,
)

if TYPE_CHECKING:
    import pandas

    from .chunks import Chunk

Span = tuple[int, int, str]  # characters [start, end) of a text, and a name of STYLES
ITEM = re.compile(r"[•‣▪●○◦■□◆❖▶►➢➤] ?|[–*·] |- (?=\S)|\(?(?:\d{1,2}[.)]|[a-z]\)) ")  # the mark that begins a list item
DOUBTFUL = 0.88  # mean confidence of a page below which it gets a warning; docs/results.md lists pages of all kinds
HYPHENS = ("-", "\u2010", "\u00ad")  # at the end of a line
LEADER = re.compile(r"(\. ?){4,}|…{2,}|_{4,}")  # dots of a table of contents, blanks of a form
KINDS = ("text", "heading", "list", "code", "table", "formula", "figure", "caption", "header", "footer")
SOURCES = ("pixels", "layer", "both", "healed")  # witnesses of a character: the image, the PDF's text layer
LAYERS = ("none", "verified", "healed", "rejected", "trusted")  # what became of a page's text layer
LINK = "link "  # begins the name of a span that is a link; its target follows
STYLES = ("bold", "italic", "mono")  # mono: a fixed-width font
MATH = ("math",)  # LaTeX of a formula, without its dollars
SCRIPTS = ("superscript", "subscript")  # small type above and below the line
STATUSES = ("ok", "doubtful", "blank", "truncated", "repetition", "timeout", "failed")
LOST = ("truncated", "repetition", "timeout", "failed")  # statuses of pages whose text is missing or incomplete


@dataclass
class Line:
    """One line of text with a box and a confidence for each character.

    Args:
        text: The text.
        box: Box of the line.
        confidence: Mean confidence of the characters, 0 to 1.
        characters: One box for each character of `text`; may be empty.
        character_confidence: One value for each box.
        writer: `head` (the reading head), `decoder` (corrected by the decoder) or `layer` (the PDF's text layer).
        styles: Spans of `text` in a style of STYLES or SCRIPTS.
        sources: Spans and their witness, one of SOURCES; empty when all characters come from pixels.
        links: Spans and their targets.
    """

    text: str
    box: Box
    confidence: float
    characters: list[Box] = field(default_factory=list)
    character_confidence: list[float] = field(default_factory=list)
    writer: str = "head"
    styles: list[Span] = field(default_factory=list)
    sources: list[Span] = field(default_factory=list)
    links: list[Span] = field(default_factory=list)


@dataclass
class Block:
    """Lines that belong together: a paragraph, a heading, a table.

    Args:
        lines: The lines in reading order. A figure has none.
        box: Box of the block.
        kind: One of KINDS.
        level: Level of a heading, from 1.
        cells: Rows of a table, all of the same length.
        image: Path of a figure's picture, relative to the written document.
        angle: Direction of the lines on the page image, in degrees clockwise from horizontal.
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
        """Mean confidence of the lines; None for a block without text."""
        return sum(line.confidence for line in self.lines) / len(self.lines) if self.lines else None

    @property
    def is_picture(self) -> bool:
        """Whether a picture shows the block: a figure, or a formula of a text layer that could not be written."""
        unwritten = all(line.writer == "layer" and not any(s[2] in MATH for s in line.styles) for line in self.lines)
        return self.kind == "figure" or (self.kind == "formula" and unwritten and bool(self.lines))

    @property
    def text(self) -> str:
        """The lines as running text. A line that ends early keeps its line break; hyphenated words are joined."""
        return self.styled_text()[0]

    def styled_text(self) -> tuple[str, list[Span]]:
        """Return `text` and the spans of its styles. A style continues from one line into the next."""
        left, right = self.box[0], self.box[2]
        if self.angle:
            ends = [end for line in self.lines for end in _ends(line, self.angle)]
            left, right = min(ends, default=0.0), max(ends, default=0.0)
        text, spans = "", []  # type: ignore[var-annotated]
        for before, line in zip([None, *self.lines], self.lines, strict=False):
            if before is None:
                text = ""
            elif self.kind == "list" and not ITEM.match(line.text) and not text.endswith(HYPHENS):
                text += " "
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
            for start, end, style in [*line.styles, *((a, b, LINK + target) for a, b, target in line.links)]:
                _add_span(spans, (start + len(text), end + len(text), style), text)
            text += line.text
        return text, spans

    def _indent(self, line: Line) -> int:
        """Return the number of spaces before a line of code, by its distance from the block's left edge."""
        return round((line.box[0] - self.box[0]) / max(1.0, (line.box[2] - line.box[0]) / max(1, len(line.text))))


@dataclass
class Page:
    """One page with its status.

    Args:
        number: Number of the page in its file, from 1.
        status: One of STATUSES.
        width: Width of the page image in pixels.
        height: Height of the page image in pixels.
        dpi: Resolution at which a PDF page was rendered; None for an image file.
        seconds: Time that reading took.
        blocks: Blocks in reading order.
        error: Why the page was lost.
        attempts: How often the page was read.
        label: How a PDF calls the page, such as `iv`; None where that is its number.
        rotation: Clockwise rotation of the page as found: 0, 90, 180 or 270 degrees.
        skew: Further clockwise rotation in degrees. Boxes refer to the image before it was straightened.
        layer: What became of the PDF's text layer, one of LAYERS.
        hidden: Text of the layer that nobody sees; not in the blocks.
        rejected: Ink that was judged not to be text.
        disagreements: Places where the PDF's text layer and the pixels differ.
        formulas: Formulas of the text layer in LaTeX.
        structured: The reader has already set the kinds of the blocks. Not part of the JSON.
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
    label: str | None = None
    rotation: int = 0
    skew: float = 0.0
    layer: str = "none"
    hidden: list[HiddenText] = field(default_factory=list)
    rejected: list[RejectedText] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)
    formulas: list[FormulaReading] = field(default_factory=list)
    structured: bool = field(default=False, compare=False)

    @property
    def lines(self) -> list[Line]:
        """Lines of all blocks in reading order."""
        return [line for block in self.blocks for line in block.lines]

    @property
    def confidence(self) -> float | None:
        """Mean confidence of the page's characters; None without any."""
        known = [value for line in self.lines for value in line.character_confidence]
        return sum(known) / len(known) if known else None

    @property
    def doubt(self) -> str | None:
        """A warning when the mean confidence is below DOUBTFUL, as for a script that the model does not know."""
        mean = self.confidence
        if mean is None or mean >= DOUBTFUL:
            return None
        return f"read with a mean confidence of {mean:.0%} only: perhaps a script that the model does not know"

    @property
    def text(self) -> str:
        """The text of the blocks in reading order, separated by empty lines."""
        return "\n\n".join(block.text for block in self.blocks if block.lines)

    def map_boxes(self, change: Callable[[Box], Box]) -> None:
        """Replace each box of blocks, lines and characters by `change(box)`."""
        for block in self.blocks:
            block.box = change(block.box)
            for line in block.lines:
                line.box, line.characters = change(line.box), [change(box) for box in line.characters]
        for name in FINDINGS:
            for one in getattr(self, name):
                one.box = change(one.box)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary. `from_dict` restores the page, except for rounding."""
        known = (
            "number",
            "status",
            "error",
            "width",
            "height",
            "dpi",
            "attempts",
            "label",
            "rotation",
            "skew",
            "layer",
        )
        return {name: getattr(self, name) for name in known} | {
            "seconds": round(self.seconds, 3),
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "text": self.text,
            **{name: [to_dict(one) for one in getattr(self, name)] for name in FINDINGS},
            "blocks": [_block_dict(block) for block in self.blocks],
        }

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Page:
        """Return the page that `to_dict` wrote."""
        blocks = []
        for block in found["blocks"]:
            lines = []
            for line in block["lines"]:
                boxes, confidence = [tuple(c[:4]) for c in line["characters"]], [c[4] for c in line["characters"]]
                spans = ([tuple(span) for span in line.get(name, ())] for name in ("styles", "sources", "links"))
                box = tuple(line["box"])
                lines.append(Line(line["text"], box, line["confidence"], boxes, confidence, line["writer"], *spans))
            known = {k: block[k] for k in ("kind", "level", "cells", "image")}
            known["angle"] = block.get("angle", found.get("rotation", 0) + found.get("skew", 0.0))
            blocks.append(Block(lines, tuple(block["box"]), **known))
        known = {k: v for k, v in found.items() if k not in ("confidence", "text", "blocks", *FINDINGS)}
        return cls(**(known | findings_of(found)), blocks=blocks)


@dataclass
class Document:
    """The requested pages of one file, the name of the model, and what the file says about itself."""

    source: str
    model: str
    pages: list[Page] = field(default_factory=list)
    info: FileInfo = field(default_factory=FileInfo)

    def __iter__(self) -> Iterator[Page]:
        return iter(self.pages)

    @property
    def lost(self) -> list[Page]:
        """Pages whose text is missing or incomplete."""
        return [page for page in self.pages if page.status in LOST]

    def text(self) -> str:
        """Return the text of all pages, separated by empty lines."""
        return "\n\n".join(page.text for page in self.pages if page.text)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary as in `document.schema.json`. A new shape gets a new `schema` number."""
        head = document_head(self.source, self.model, self.info)
        pages = [page.to_dict() for page in self.pages]
        return head | {"pages": pages, "offsets": page_offsets((page.number, page.text) for page in self.pages)}

    def json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    def markdown(self) -> str:
        """Return the document as Markdown with the text escaped. Comments name lost pages."""
        return self._written("md")

    def html(self) -> str:
        """Return the document as one HTML page with the text escaped."""
        return self._written("html")

    def chunks(self, max_chars: int = 2000, by: str = "heading") -> list[Chunk]:
        """Return the document in parts for retrieval, each with its headings, pages and boxes (`document.chunks`).

        Args:
            max_chars: Most characters of a chunk.
            by: `heading`, `page` or `size`: what begins a new chunk.

        Raises:
            ValueError: Unknown `by`, or `max_chars` below 1.
        """
        from .chunks import chunks

        return list(chunks(self.pages, max_chars, by))

    def to_pandas(self) -> list[pandas.DataFrame]:
        """Return the tables in reading order as data frames of strings. The first row of a table names the columns.

        `frame.attrs` holds the `page` and the `box` of the table.

        Raises:
            MissingExtra: pandas is not installed.
        """
        from .formats.data_frames import data_frames

        return data_frames(self.pages)

    def _written(self, form: str) -> str:
        from .formats.writers import WRITERS

        return "".join(WRITERS[form](self.source, self.model, iter(self.pages), self.info))


def _block_dict(block: Block) -> dict[str, Any]:
    confidence = block.confidence
    return {
        "kind": block.kind,
        "level": block.level,
        "box": round_box(block.box),
        "confidence": None if confidence is None else round(confidence, 4),
        "cells": block.cells,
        "image": block.image,
        "angle": round(block.angle, 2),
        "lines": [_line_dict(line) for line in block.lines],
    }


def _line_dict(line: Line) -> dict[str, Any]:
    return {
        "text": line.text,
        "box": round_box(line.box),
        "confidence": round(line.confidence, 4),
        "writer": line.writer,
        "styles": [list(span) for span in line.styles],
        "sources": [list(span) for span in line.sources],
        "links": [list(span) for span in line.links],
        "characters": [
            [*round_box(b), round(c, 3)] for b, c in zip(line.characters, line.character_confidence, strict=True)
        ],
    }


def _own_hyphen(before: str, after: str) -> bool:
    """Return whether a hyphen at the end of a line belongs to the word: post-War, 3-4."""
    return (before.isalpha() and after.isupper()) or (before.isdigit() and after.isdigit())


def _add_span(spans: list[Span], new: Span, text: str) -> None:
    """Add a span of the next line, or extend the span of the same style that ends where the line begins."""
    at = len(text)
    for k, (start, end, style) in enumerate(spans):
        if style == new[2] and new[0] == at and end >= at - 1 and not text.endswith("\n"):
            spans[k] = start, new[1], style
            return
    spans.append(new)


def _ends(line: Line, angle: float) -> tuple[float, float]:
    """Return where a line begins and ends along its own direction, in pixels."""
    if not angle:
        return line.box[0], line.box[2]
    cos, sin = math.cos(math.radians(angle)) / 2, math.sin(math.radians(angle)) / 2
    along = [(x0 + x1) * cos + (y0 + y1) * sin for x0, y0, x1, y1 in line.characters or [line.box]]
    return along[0], along[-1]
