"""The result of reading: Document -> Page -> Block -> Line. `formats/` writes it as text, Markdown, HTML or JSON.

Boxes are (x0, y0, x1, y1) in pixels of the page image (`Page.width` x `Page.height`, at `Page.dpi` for a PDF), x right,
y down, origin top-left. Page numbers start at 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..io.box import Box, median
from . import findings
from .findings import FINDINGS, Disagreement, FileInfo, FormulaReading, HiddenText, RejectedText, UnreadMark

if TYPE_CHECKING:
    import pandas

    from .formats.chunks import Chunk

Span = tuple[int, int, str]  # characters [start, end) of a text, and a name of STYLES
ITEM = re.compile(
    r"[•‣▪●○◦■□◆♦❖▶►➢➤] ?|\[(?:\d{1,3}|[ x])\] |[–·] |\* (?!(?i:correspond|e-?mail|equal|these authors|p ?[<≤=]))|"
    r"\. (?![. ])|- (?=\S)|\(?(?:(?:\d|[1-9]\d)[.)]|(?:[a-z]|[ivx]{2,5})\)) |"
    r"(?:[a-h]|[ivx]{2,4})\. (?=[A-ZÀ-Þa-zß-ÿ][a-zß-ÿ])"
)  # the mark that begins a list item
DOUBTFUL = 0.88  # mean confidence of a page below which it gets a warning; docs/results.md lists pages of all kinds
HYPHENS = ("-", "\u2010", "\u00ad")  # at the end of a line
_CONJUNCTION = re.compile(r"(?:and|or|und|oder|sowie|of|och|og|eller|lub|nebo|\w)(?![\w-])")  # `on- and off`
LEADER = re.compile(r"(?:\. ?){4,}|…{2,}|_{4,}|·{4,}")  # dots of a table of contents, blanks of a form
KINDS = ("text", "heading", "list", "code", "table", "formula", "figure", "caption", "footnote", "header", "footer")
SOURCES = ("pixels", "layer", "both", "healed")  # where a character comes from; healed: layer, corrected by pixels
LAYERS = ("none", "verified", "healed", "rejected", "trusted")  # what became of a page's text layer
NOTE_MARK = "note "  # begins the name of a span that is the mark of a footnote; its label follows
LINK = "link "  # begins the name of a span that is a link; its target follows
STYLES = ("bold", "italic", "mono")  # mono: a fixed-width font
MATH = ("math",)  # LaTeX of a formula, without its dollars
SCRIPTS = ("superscript", "subscript")  # small type above and below the line
STATUSES = ("ok", "doubtful", "blank", "truncated", "repetition", "timeout", "failed")
LOST = ("truncated", "repetition", "timeout", "failed")  # statuses of pages whose text is missing or incomplete


def goes_on_with_number(before: str, text: str) -> bool:
    """Return whether a line that begins as an item, `20. Lorries`, ends the sentence of the line before: `14, not`."""
    number = re.match(r"(\d+)[.)]\s", text)
    return number is not None and int(number[1]) > 1 and before[-1:].islower() and ITEM.match(before) is None


def is_divided(before: str, after: str) -> bool:
    """Return whether a word is divided between two texts: `pack-`, `ets`, but not `on-`, `and off`."""
    divided = before.endswith(HYPHENS) and before[-2:-1].isalpha() and after[:1].islower()
    return divided and _CONJUNCTION.match(after) is None


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
        styles: Spans of `text` in a style of STYLES or SCRIPTS, and marks of footnotes (NOTE_MARK and a label).
        sources: Spans and where they come from, one of SOURCES; empty when all characters come from pixels.
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

    @property
    def height(self) -> float:
        """Size of the type in pixels: the median height of the characters' boxes, 0.96 em; without them the line's.

        The characters of a formula in the line, which are as high as all of it, do not count.
        """
        high = [y1 - y0 for _, y0, _, y1 in self.characters]
        math = {k for start, end, style in self.styles if style in MATH for k in range(start, end)}
        text = [one for k, one in enumerate(high) if k not in math] if math else high
        return median(text or high or [self.box[3] - self.box[1]])


@dataclass
class Block:
    """Lines that belong together: a paragraph, a heading, a table.

    Args:
        lines: The lines in reading order. A figure has none.
        box: Box of the block.
        kind: One of KINDS.
        level: Level of a heading, from 1.
        cells: Rows of a table, all of the same length. The text of a merged cell stands in its first place.
        merged: Row, column, rows and columns of each cell of a table that covers several places.
        head_rows: Rows of a table's head.
        image: Path of a figure's picture, relative to the written document.
        alt: What a tagged PDF says about a figure.
        angle: Direction of the lines on the page image, in degrees clockwise from horizontal.
        continues: The text goes on from the last block of kind `text` before it: in another column, above a figure, or
            on the page before.
        keeps_lines: The lines are not joined in texts. Not part of the JSON.
    """

    lines: list[Line]
    box: Box
    kind: str = "text"
    level: int = 0
    cells: list[list[str]] | None = None
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    head_rows: int = 1
    image: str | None = None
    angle: float = 0.0
    continues: bool = False
    alt: str = ""
    keeps_lines: bool = field(default=False, compare=False)

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
        from .running_text import styled_text

        return styled_text(self)


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
        formulas: Formulas in LaTeX, and whether they are part of the text.
        unread_marks: Words read from pixels with a mark that was not read.
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
    unread_marks: list[UnreadMark] = field(default_factory=list)
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
        """A warning when the mean confidence is below DOUBTFUL, or when marks of letters were not read."""
        mean = self.confidence
        if mean is not None and mean < DOUBTFUL:
            return f"read with a mean confidence of {mean:.0%} only: perhaps a script outside the model's training"
        if marks := self.unread_marks:
            return (
                f"{len(marks)} words have marks above letters that were not read, such as {marks[0].text!r}: "
                "perhaps letters outside the model's alphabet"
            )
        return None

    @property
    def text(self) -> str:
        """The text of the blocks in reading order, separated by empty lines."""
        from .running_text import join_parts

        return "\n\n".join(text for _, text in join_parts((block, block.text) for block in self.blocks if block.lines))

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
            **{name: [findings.to_dict(one) for one in getattr(self, name)] for name in FINDINGS},
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
            known["merged"] = [tuple(cell) for cell in block.get("merged", ())]
            known["head_rows"], known["alt"] = block.get("head_rows", 1), block.get("alt", "")
            known["angle"] = block.get("angle", found.get("rotation", 0) + found.get("skew", 0.0))
            blocks.append(Block(lines, tuple(block["box"]), **known))
        known = {k: v for k, v in found.items() if k not in ("confidence", "text", "blocks", *FINDINGS)}
        return cls(**(known | findings.findings_of(found)), blocks=blocks)


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

    def text(self, join: bool = True) -> str:
        """Return the text of all pages, separated by empty lines. join: as for `markdown`."""
        return self._written("text", join)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary as in `document.schema.json`. A new shape gets a new `schema` number."""
        from .running_text import page_offsets

        head = findings.document_head(self.source, self.model, self.info)
        return head | {"pages": [page.to_dict() for page in self.pages], "offsets": list(page_offsets(self.pages))}

    def json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    def markdown(self, join: bool = True) -> str:
        """Return the document as Markdown with the text escaped. Comments name lost pages.

        Args:
            join: Join the lines of paragraphs, also over columns and pages.
        """
        return self._written("md", join)

    def html(self, join: bool = True) -> str:
        """Return the document as one HTML page with the text escaped. join: as for `markdown`."""
        return self._written("html", join)

    def chunks(self, max_chars: int = 2000, by: str = "heading") -> list[Chunk]:
        """Return the document in parts for retrieval, each with its headings, pages and boxes (`formats.chunks`).

        Args:
            max_chars: Most characters of a chunk.
            by: `heading`, `page` or `size`: what begins a new chunk.

        Raises:
            ConfigError: Unknown `by`, or `max_chars` below 1.
        """
        from .formats.chunks import chunks

        return list(chunks(self.pages, max_chars, by))

    def to_pandas(self) -> list[pandas.DataFrame]:
        """Return the tables in reading order as data frames of strings. The head of a table names the columns.

        `frame.attrs` holds the `page` and the `box` of the table.

        Raises:
            MissingExtra: pandas is not installed.
        """
        from .formats.data_frames import data_frames

        return data_frames(self.pages)

    def _written(self, form: str, join: bool) -> str:
        from .formats.writers import write_form

        return "".join(write_form(form, self.source, self.model, iter(self.pages), self.info, join))


def _block_dict(block: Block) -> dict[str, Any]:
    confidence = block.confidence
    return {
        "kind": block.kind,
        "level": block.level,
        "box": findings.round_box(block.box),
        "confidence": None if confidence is None else round(confidence, 4),
        "cells": block.cells,
        "merged": [list(cell) for cell in block.merged],
        "head_rows": block.head_rows,
        "image": block.image,
        "alt": block.alt,
        "angle": round(block.angle, 2),
        "continues": block.continues,
        "lines": [_line_dict(line) for line in block.lines],
    }


def _line_dict(line: Line) -> dict[str, Any]:
    return {
        "text": line.text,
        "box": findings.round_box(line.box),
        "confidence": round(line.confidence, 4),
        "writer": line.writer,
        "styles": [list(span) for span in line.styles],
        "sources": [list(span) for span in line.sources],
        "links": [list(span) for span in line.links],
        "characters": [
            [*findings.round_box(b), round(c, 3)]
            for b, c in zip(line.characters, line.character_confidence, strict=True)
        ],
    }
