"""Use the outline of a PDF (its bookmarks) and its tags: headings with their levels, and what figures show."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..io.box import Box, middle_within, union
from .elements import Block, Page

Entry = tuple[int, str, int | None]  # level from 1, title, page number
MAX_LEVEL = 6
MAX_LINES, MAX_HEADING = 4, 200  # lines and characters of a heading
MOST_HEADINGS = 0.5  # of the characters of a page


def apply_outline(page: Page, outline: Iterable[Entry]) -> None:
    """Make headings of the blocks that the outline names on this page, at its levels.

    The largest type counts where several blocks have the same words. An entry that no block matches changes nothing.
    """
    for level, title, number in outline:
        if number != page.number or not (wanted := _words(title)):
            continue
        found = [block for block in page.blocks if _may_be_heading(block) and _matches(_words(block.text), wanted)]
        if found:
            best = max(found, key=_size)
            best.kind, best.level = "heading", min(level, MAX_LEVEL)


def apply_tags(page: Page, tags: Iterable[tuple[str, str, Box]]) -> None:
    """Make headings of what a tagged PDF marks as such, and note the alternative text of its figures.

    Headings that cover much of a page, or are long, are not used.

    Args:
        page: Its blocks are changed.
        tags: Type (H1 to H6, H, Title, Figure), alternative text, and box.
    """
    tags, lines = list(tags), page.lines
    heads = [(int(kind[1:]) if kind[1:].isdigit() else 1, box) for kind, _, box in tags if kind[:1] in "HT"]
    covered = sum(len(line.text) for line in lines if any(middle_within(line.box, box) for _, box in heads))
    if heads and covered <= MOST_HEADINGS * sum(len(line.text) for line in lines):
        for level, box in heads:
            page.blocks = [part for block in page.blocks for part in _with_heading(block, level, box)]
    for kind, alt, box in tags:
        if kind == "Figure" and alt:
            for block in page.blocks:
                if block.kind == "figure" and (middle_within(block.box, box) or middle_within(box, block.box)):
                    block.alt = alt


def _with_heading(block: Block, level: int, box: Box) -> list[Block]:
    """Return a block with its first lines as a heading when they lie in a box."""
    inside = [middle_within(line.box, box) for line in block.lines]
    count = inside.index(False) if False in inside else len(inside)
    text = " ".join(line.text for line in block.lines[:count])
    if block.kind not in ("text", "heading", "list") or not 0 < count <= MAX_LINES or len(text) > MAX_HEADING:
        return [block]
    first, rest = block.lines[:count], block.lines[count:]
    heading = Block(first, union(line.box for line in first), "heading", level, angle=block.angle)
    if not rest:
        return [heading]
    return [heading, Block(rest, union(line.box for line in rest), block.kind, block.level, angle=block.angle)]


def _may_be_heading(block: Block) -> bool:
    return block.kind in ("text", "heading", "list") and 0 < len(block.lines) <= MAX_LINES


def _matches(shown: str, wanted: str) -> bool:
    """Return whether a text is a title, with or without a number before either."""
    return shown == wanted or (len(wanted) > 3 and shown.endswith(wanted) and len(shown) - len(wanted) <= 12)


def _words(text: str) -> str:
    """Return the letters and digits of a text in lower case."""
    return "".join(ch for ch in text.casefold() if ch.isalnum())


def _size(block: Block) -> float:
    return float(np.median([line.box[3] - line.box[1] for line in block.lines]))
