"""Write a Document as text, Markdown, HTML or JSON; `WRITERS` maps each format name to its function."""

from __future__ import annotations

import json as json_lib
from collections.abc import Iterator
from itertools import tee
from typing import Protocol

from ..findings import FileInfo, document_head
from ..running_text import join_pages, keep_lines, page_offsets
from .html import html
from .markdown import Pages, markdown


def plain(source: str, model: str, pages: Pages, info: FileInfo | None = None) -> Iterator[str]:
    """Yield the plain text, with an empty line between blocks."""
    for _, lead, text in join_pages(pages, lambda block: block.text):
        yield lead + text


def json(source: str, model: str, pages: Pages, info: FileInfo | None = None) -> Iterator[str]:
    """Yield the parts of the JSON of `Document.json`; see `document.schema.json`."""
    head = json_lib.dumps(document_head(source, model, info or FileInfo()), ensure_ascii=False)
    yield head[:-1] + ', "pages": ['
    offsets: list[list[int]] = []
    for page, offset in zip(*_both(pages), strict=True):
        yield (",\n" if offsets else "\n") + json_lib.dumps(page.to_dict(), ensure_ascii=False)
        offsets.append(offset)
    yield f'\n], "offsets": {offsets}}}'


def _both(pages: Pages) -> tuple[Pages, Iterator[list[int]]]:
    """Return the pages and their offsets, to be iterated side by side."""
    pages, others = tee(pages)
    return pages, page_offsets(others)


class Writer(Protocol):
    """Yields the parts of a document in one form."""

    def __call__(self, source: str, model: str, pages: Pages, info: FileInfo | None = None) -> Iterator[str]:
        """source: name of the file. info: what it says about itself."""


WRITERS: dict[str, Writer] = {
    "text": plain, "md": markdown, "html": html, "json": json,
}  # fmt: skip


def write_form(
    form: str, source: str, model: str, pages: Pages, info: FileInfo | None = None, join: bool = True
) -> Iterator[str]:
    """Yield the parts of a document in one of the forms of WRITERS.

    join: Join the lines of paragraphs, also over columns and pages. JSON has lines and paragraphs in any case.
    """
    return WRITERS[form](source, model, pages if join or form == "json" else keep_lines(pages), info)


SUFFIXES = {
    "text": ".txt",
    "md": ".md",
    "html": ".html",
    "json": ".json",
    "pdf": ".pdf",
    "overlay": "_overlay",
    "csv": "_tables",
}
