"""The public calls: `load` a model, `read` a document, `stream` its pages, `read_all` files into a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..document.elements import Document, Page
from .layer.lines import LayerReader
from .pages import read_document, read_pages
from .runs.batch import read_all

if TYPE_CHECKING:
    from .reader import Reader

__all__ = ["load", "read", "read_all", "stream"]

DEFAULT_MODEL = "vary-nano"


def load(
    name: str = DEFAULT_MODEL,
    device: str = "cpu",
    decoder: bool = False,
    pixels: bool = False,
    formulas: bool = True,
) -> Reader | LayerReader:
    """Load a model that reads pages. Weights are safetensors; nothing is downloaded.

    Args:
        name: a shipped name (`vary-nano`) or a folder; `layer` for the text layers of PDFs alone, without a model.
        device: torch device, such as `cpu` or `cuda`.
        decoder: rescore uncertain spans with the decoder. It doubles the time of a page with many
            of them, for 3 to 16 percent fewer errors (docs/results.md).
        pixels: read pixels alone. By default the text layer of a PDF is compared with them.
        formulas: write formulas as LaTeX.

    Raises:
        InputError: unknown name; the message lists the shipped ones.
    """
    if name == LayerReader.name:
        return LayerReader()
    from .loader import load_reader  # brings an engine

    return load_reader(name, device, decoder, pixels=pixels, formulas=formulas)


def read(
    path: str | Path,
    model: Reader | LayerReader | str = DEFAULT_MODEL,
    *,
    pages: str | None = None,
    password: str | None = None,
    on_page: Callable[[Page], None] | None = None,
) -> Document:
    """Read a PDF or an image into a Document.

    A page that cannot be read has status `failed` and a reason; the other pages are still read.

    Args:
        path: the file.
        model: a loaded reader, or the name of one.
        pages: such as "1-4,7,-1", from 1 as a PDF viewer counts, both ends included; None reads all.
        password: of an encrypted PDF.
        on_page: called with each page when it is done.

    Raises:
        InputError: the file as a whole cannot be read.
    """
    reader = load(model) if isinstance(model, str) else model
    return read_document(path, reader, pages, password, on_page)


def stream(
    path: str | Path,
    model: Reader | LayerReader | str = DEFAULT_MODEL,
    *,
    pages: str | None = None,
    password: str | None = None,
) -> Iterator[Page]:
    """Yield the pages of `read` one by one. Only one is in memory, so headers and footers are not marked."""
    yield from read_pages(path, load(model) if isinstance(model, str) else model, pages, password)
