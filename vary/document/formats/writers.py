"""Write a Document as text, Markdown, HTML or JSON; `WRITERS` maps each format name to its function."""

from __future__ import annotations

import json as json_lib
from collections.abc import Callable, Iterator

from ..elements import document_head
from .html import html
from .markdown import Pages, markdown


def plain(source: str, model: str, pages: Pages) -> Iterator[str]:
    """Yield the plain text, with an empty line between blocks."""
    gap = ""
    for page in pages:
        if page.text:
            yield gap + page.text
            gap = "\n\n"


def json(source: str, model: str, pages: Pages) -> Iterator[str]:
    """Yield the parts of the JSON of `Document.json`; see `document.schema.json`."""
    head = json_lib.dumps(document_head(source, model), ensure_ascii=False)
    yield head[:-1] + ', "pages": ['
    for k, page in enumerate(pages):
        yield (",\n" if k else "\n") + json_lib.dumps(page.to_dict(), ensure_ascii=False)
    yield "\n]}"


WRITERS: dict[str, Callable[[str, str, Pages], Iterator[str]]] = {
    "text": plain, "md": markdown, "html": html, "json": json,
}  # fmt: skip


SUFFIXES = {"text": ".txt", "md": ".md", "html": ".html", "json": ".json", "pdf": ".pdf", "overlay": "_overlay"}
