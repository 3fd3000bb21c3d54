"""Write a Document as text, Markdown, HTML or JSON; `WRITERS` maps each format name to its function."""

from __future__ import annotations

import json as json_lib
from collections.abc import Iterator
from typing import Protocol

from ..findings import FileInfo, document_head
from .html import html
from .markdown import Pages, markdown


def plain(source: str, model: str, pages: Pages, info: FileInfo | None = None) -> Iterator[str]:
    """Yield the plain text, with an empty line between blocks."""
    gap = ""
    for page in pages:
        if page.text:
            yield gap + page.text
            gap = "\n\n"


def json(source: str, model: str, pages: Pages, info: FileInfo | None = None) -> Iterator[str]:
    """Yield the parts of the JSON of `Document.json`; see `document.schema.json`."""
    head = json_lib.dumps(document_head(source, model, info or FileInfo()), ensure_ascii=False)
    yield head[:-1] + ', "pages": ['
    offsets, at = [], 0
    for k, page in enumerate(pages):
        found = page.to_dict()
        yield (",\n" if k else "\n") + json_lib.dumps(found, ensure_ascii=False)
        offsets.append([page.number, at])
        at += len(found["text"]) + 2 if found["text"] else 0
    yield f'\n], "offsets": {offsets}}}'


class Writer(Protocol):
    """Yields the parts of a document in one form."""

    def __call__(self, source: str, model: str, pages: Pages, info: FileInfo | None = None) -> Iterator[str]:
        """source: name of the file. info: what it says about itself."""


WRITERS: dict[str, Writer] = {
    "text": plain, "md": markdown, "html": html, "json": json,
}  # fmt: skip


SUFFIXES = {
    "text": ".txt",
    "md": ".md",
    "html": ".html",
    "json": ".json",
    "pdf": ".pdf",
    "overlay": "_overlay",
    "csv": "_tables",
}
