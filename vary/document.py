"""What reading returns: Document -> Page -> Block -> Line, and its plain-text and JSON forms.

Boxes are (x0, y0, x1, y1) in pixels of the page image (`Page.width` x `Page.height`, at `Page.dpi` for a PDF), x right,
y down, origin top-left. Page numbers start at 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Box = tuple[float, float, float, float]
_ITEM = re.compile(r"[•–*·‣▪] |- (?=\S)|\(?(?:\d{1,2}[.)]|[a-z]\)) ")  # a list item begins a line of its own
STATUSES = ("ok", "blank", "truncated", "repetition", "timeout", "failed")
LOST = ("truncated", "repetition", "timeout", "failed")  # what makes a run end with an error code
SCHEMA = 1


@dataclass
class Line:
    """One line of text; `confidence` is the mean of its characters', each with a box of its own.

    writer: who wrote the text, `head` (the reading head's draft) or `decoder` (corrected by the decoder).
    """

    text: str
    box: Box
    confidence: float
    characters: list[Box] = field(default_factory=list)
    character_confidence: list[float] = field(default_factory=list)
    writer: str = "head"


@dataclass
class Block:
    """Lines that belong together."""

    lines: list[Line]
    box: Box
    kind: str = "text"

    @property
    def text(self) -> str:
        """Lines joined: a full line runs on into the next, a hyphen at its end is taken back; short lines stay."""
        left, right = self.box[0], self.box[2]
        text = ""
        for before, line in zip([None, *self.lines], self.lines, strict=False):
            if before is None:
                text = line.text
            elif right - before.box[2] > 0.15 * (right - left) or _ITEM.match(line.text):
                text += "\n" + line.text
            elif text.endswith("-") and text[-2:-1].isalpha() and line.text[:1].islower():
                text = text[:-1] + line.text
            else:
                text += " " + line.text
        return text


@dataclass
class Page:
    """One page and how reading it ended: `status` is one of STATUSES, `error` says why a page was lost."""

    number: int
    status: str
    width: int = 0
    height: int = 0
    dpi: float | None = None
    seconds: float = 0.0
    blocks: list[Block] = field(default_factory=list)
    error: str | None = None

    @property
    def lines(self) -> list[Line]:
        """Lines of all blocks in reading order."""
        return [line for block in self.blocks for line in block.lines]

    @property
    def text(self) -> str:
        """Blocks in reading order, an empty line between them."""
        return "\n\n".join(block.text for block in self.blocks)


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
        """JSON-ready form; `schema` changes when its shape does."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "model": self.model,
            "pages": [_page_dict(page) for page in self.pages],
        }

    def json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)


def _page_dict(page: Page) -> dict[str, Any]:
    return {
        "number": page.number,
        "status": page.status,
        "error": page.error,
        "width": page.width,
        "height": page.height,
        "dpi": page.dpi,
        "seconds": round(page.seconds, 3),
        "text": page.text,
        "blocks": [
            {"kind": block.kind, "box": _box(block.box), "lines": [_line_dict(line) for line in block.lines]}
            for block in page.blocks
        ],
    }


def _line_dict(line: Line) -> dict[str, Any]:
    return {
        "text": line.text,
        "box": _box(line.box),
        "confidence": round(line.confidence, 4),
        "writer": line.writer,
        "characters": [
            [*_box(b), round(c, 3)] for b, c in zip(line.characters, line.character_confidence, strict=True)
        ],
    }


def _box(box: Box) -> list[float]:
    return [round(float(v), 1) for v in box]
