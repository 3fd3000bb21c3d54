"""What a page holds besides its text: hidden text, ink that is not text, and differences between layer and pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Box = tuple[float, float, float, float]


def round_box(box: Box) -> list[float]:
    """Return a box for JSON."""
    return [round(float(value), 1) for value in box]


def to_dict(found: HiddenText | RejectedText | Disagreement) -> dict[str, Any]:
    """Return a JSON-ready form of what was found at a place."""
    rounded: dict[str, Any] = {"box": round_box(found.box)}
    if isinstance(found, RejectedText):
        rounded["confidence"] = round(found.confidence, 4)
    if isinstance(found, Disagreement):
        rounded["odds"] = round(found.odds, 1)
    return asdict(found) | rounded


@dataclass
class FileInfo:
    """What a file says about itself.

    Args:
        title: Of the document; empty when the file has none. `author` likewise.
        outline: The bookmarks: level from 1, title, and page number or None.
    """

    title: str = ""
    author: str = ""
    outline: list[tuple[int, str, int | None]] = field(default_factory=list)


@dataclass
class HiddenText:
    """Text of a PDF's layer that nobody sees. reason: one of `io.pdf_objects.HIDDEN`."""

    text: str
    box: Box
    reason: str


@dataclass
class Disagreement:
    """A place where a PDF's text layer and the pixels differ. odds: log-odds of the layer's text against the pixels."""

    layer: str
    pixels: str
    box: Box
    odds: float


@dataclass
class RejectedText:
    """Ink that was judged not to be text, with what it would read as and the confidence of that."""

    text: str
    box: Box
    confidence: float
