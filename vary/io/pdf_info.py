"""What a PDF says about itself: title, author, outline, page labels. Call it in a child process, as `pdf_text.py`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

MAX_OUTLINE = 5_000  # entries
MAX_DEPTH = 12
MAX_LABELS = 20_000  # pages; a damaged file may claim millions


@dataclass
class PdfInfo:
    """What a PDF says about itself.

    Args:
        title: From the metadata; empty when there is none. `author` likewise.
        outline: Level from 1, title, and page number or None, in order.
        labels: Page numbers and how the file calls them, such as `iv`; only those that differ from the number, and of
            the first MAX_LABELS pages.
    """

    title: str = ""
    author: str = ""
    outline: list[tuple[int, str, int | None]] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)


def read_info(pdf: Any) -> PdfInfo:
    """Return what a `pypdfium2.PdfDocument` says about itself. Parts that cannot be read are left out."""
    import pypdfium2

    info = PdfInfo(_plain(pdf.get_metadata_value("Title")), _plain(pdf.get_metadata_value("Author")))
    with contextlib.suppress(pypdfium2.PdfiumError, ValueError, RecursionError):
        for entry in pdf.get_toc(max_depth=MAX_DEPTH):
            place, title = entry.get_dest(), _plain(entry.get_title())
            index = None if place is None else place.get_index()
            if title:
                info.outline.append((entry.level + 1, title, None if index is None else index + 1))
            if len(info.outline) >= MAX_OUTLINE:
                break
    for index in range(min(len(pdf), MAX_LABELS)):
        label = _plain(pdf.get_page_label(index))
        if label and label != str(index + 1):
            info.labels[index + 1] = label
    return info


def _plain(text: str | None) -> str:
    """Return text on one line, without control characters."""
    return " ".join("".join(ch if ch.isprintable() else " " for ch in text or "").split())
