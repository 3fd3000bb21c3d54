"""Use the outline of a PDF (its bookmarks) for headings: a block that an entry of its page names becomes a heading."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .elements import Block, Page

Entry = tuple[int, str, int | None]  # level from 1, title, page number
MAX_LEVEL = 6
MAX_LINES = 4  # of a heading


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
