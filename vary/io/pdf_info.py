"""What a PDF says about itself: title, author, outline, page labels, and the tags of its pages: headings, pictures and
labels of list items. Call it in a child process, as `pdf_text.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .box import Box, union

MAX_OUTLINE = 5_000  # entries
MAX_DEPTH = 12
MAX_LABELS = 20_000  # pages; a damaged file may claim millions
Tag = tuple[str, str, Box]  # type (one of KINDS), alternative text, box
KINDS = frozenset(("H", "H1", "H2", "H3", "H4", "H5", "H6", "Title", "Figure", "Lbl"))
MAX_ELEMENTS, MAX_NESTING = 20_000, 60  # of the tags of a page


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


def read_tags(page: Any, boxes: Iterable[tuple[Any, Box]]) -> list[Tag]:
    """Return the tags of a page that say something about its structure.

    Args:
        page: The `pypdfium2.PdfPage`.
        boxes: The objects of the page with their boxes.
    """
    from pypdfium2 import raw

    tree = raw.FPDF_StructTree_GetForPage(page.raw)
    if not tree:
        return []
    try:
        roots = [raw.FPDF_StructTree_GetChildAtIndex(tree, k) for k in range(raw.FPDF_StructTree_CountChildren(tree))]
        found = [(kind, alt, _contents(raw, element)) for kind, alt, element in _elements(raw, roots)]
        if not found:
            return []
        places: dict[int, list[Box]] = {}
        for thing, box in boxes:
            number = raw.FPDFPageObj_GetMarkedContentID(thing)
            if number >= 0:
                places.setdefault(number, []).append(box)
    finally:
        raw.FPDF_StructTree_Close(tree)
    known = ((kind, alt, [box for number in numbers for box in places.get(number, ())]) for kind, alt, numbers in found)
    return [(kind, alt, union(own)) for kind, alt, own in known if own]


def _elements(raw: Any, roots: list[Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield type, alternative text and element, for the types of KINDS."""
    left, count = [(root, 0) for root in reversed(roots) if root], 0
    while left and count < MAX_ELEMENTS:
        element, depth = left.pop()
        count += 1
        kind = _text(raw.FPDF_StructElement_GetType, element)
        if kind in KINDS:
            yield kind, _text(raw.FPDF_StructElement_GetAltText, element), element
        if depth < MAX_NESTING:
            inner = _children(raw, element)
            left += [(child, depth + 1) for child in reversed(inner)]


def _children(raw: Any, element: Any) -> list[Any]:
    count = raw.FPDF_StructElement_CountChildren(element)
    return [child for k in range(max(0, count)) if (child := raw.FPDF_StructElement_GetChildAtIndex(element, k))]


def _contents(raw: Any, root: Any) -> set[int]:
    """Return the numbers of the marked content of an element and of those in it."""
    numbers, left, count = set(), [(root, 0)], 0
    while left and count < MAX_ELEMENTS:
        element, depth = left.pop()
        count += 1
        for k in range(max(0, raw.FPDF_StructElement_GetMarkedContentIdCount(element))):
            numbers.add(raw.FPDF_StructElement_GetMarkedContentIdAtIndex(element, k))
        if depth < MAX_NESTING:
            left += [(child, depth + 1) for child in _children(raw, element)]
    return numbers - {-1}


def _text(function: Any, element: Any) -> str:
    """Return what a function of PDFium writes in UTF-16, on one line."""
    size = function(element, None, 0)
    buffer = ctypes.create_string_buffer(max(2, size))
    function(element, buffer, size)
    return " ".join(buffer.raw[: max(0, size - 2)].decode("utf-16-le", "replace").split())
