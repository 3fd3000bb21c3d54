"""Lines of a block -> running text: words divided at the end of a line are joined, short lines keep their breaks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .elements import HYPHENS, ITEM, LEADER, LINK, Span

if TYPE_CHECKING:
    from .elements import Block, Line

NOTE = 0.93  # height of the lines of a note, as a share of the text's
SHORT_LINES = 24  # width of a block of lines that each stand for themselves, in heights of its lines


def styled_text(block: Block) -> tuple[str, list[Span]]:
    """Return the text of a block and the spans of its styles. A style continues from one line into the next."""
    left, right = block.box[0], block.box[2]
    if block.angle:
        ends = [end for line in block.lines for end in _ends(line, block.angle)]
        left, right = min(ends, default=0.0), max(ends, default=0.0)
    text, spans, separate = "", [], block.kind == "text" and is_of_short_lines(block)  # type: ignore[var-annotated]
    for before, line in zip([None, *block.lines], block.lines, strict=False):
        if before is None:
            text = ""
        elif block.kind == "list" and not ITEM.match(line.text) and not text.endswith(HYPHENS):
            text += " "
        elif (
            block.kind == "code"
            or separate
            or right - _ends(before, block.angle)[1] > 0.15 * (right - left)
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
        text += " " * _indent(block, line) if block.kind == "code" else ""
        for start, end, style in [*line.styles, *((a, b, LINK + target) for a, b, target in line.links)]:
            _add_span(spans, (start + len(text), end + len(text), style), text)
        text += line.text
    return text, spans


def join_parts(parts: list[tuple[Block, str]]) -> list[str]:
    """Return the texts of blocks; what continues a paragraph is appended to it, a divided word joined."""
    joined: list[str] = []
    paragraphs: list[tuple[int, float]] = []  # places of the paragraphs so far, and heights of their lines
    for block, text in parts:
        high = block.lines[0].box[3] - block.lines[0].box[1] if block.lines else 0.0
        places = [place for place, size in paragraphs if size > NOTE * high]
        if block.continues and places and text:
            before = joined[places[-1]]
            divided = before.endswith(HYPHENS) and before[-2:-1].isalpha() and text[:1].islower()
            joined[places[-1]] = before[:-1] + text if divided else f"{before} {text}"
            continue
        joined.append(text)
        if block.kind == "text":
            paragraphs.append((len(joined) - 1, high))
    return joined


def is_of_short_lines(block: Block) -> bool:
    """Return whether each line is on its own, as in an address: short, and none begins within a sentence."""
    if block.kind not in ("text", "heading") or len(block.lines) < 2 or block.angle:
        return False
    short = block.box[2] - block.box[0] < SHORT_LINES * max(line.box[3] - line.box[1] for line in block.lines)
    starts = [line.text[:1] for line in block.lines[1:]]
    hyphens = any(line.text.endswith(HYPHENS) for line in block.lines)
    return short and not hyphens and not any(ch.islower() for ch in starts)


def _indent(block: Block, line: Line) -> int:
    """Return the number of spaces before a line of code, by its distance from the block's left edge."""
    return round((line.box[0] - block.box[0]) / max(1.0, (line.box[2] - line.box[0]) / max(1, len(line.text))))


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
