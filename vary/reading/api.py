"""The calls that most users need: `load` a model, `read` a document, `stream` its pages, `read_all` of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..document.elements import Document, Page
from .batch import read_all
from .loader import load_reader
from .pages import read_document, read_pages
from .reader import Reader

__all__ = ["load", "read", "read_all", "stream"]

DEFAULT_MODEL = "vary-nano"


def load(name: str = DEFAULT_MODEL, device: str = "cpu", fast: bool = False) -> Reader:
    """A model that reads: a shipped name (`vary-nano`) or a folder. Weights are safetensors; nothing is downloaded.

    fast: by the reading head alone; the decoder, which settles what the head doubts, is left out.
    Raises ValueError for an unknown name, naming the known ones.
    """
    return load_reader(name, device, fast)


def load_fast(name: str = DEFAULT_MODEL, device: str = "cpu") -> Reader:
    """`load` with `fast`, under a name of its own for workers, which are told a function to load with."""
    return load(name, device, fast=True)


def read(
    path: str | Path,
    model: Reader | str = DEFAULT_MODEL,
    *,
    pages: str | None = None,
    password: str | None = None,
    on_page: Callable[[Page], None] | None = None,
) -> Document:
    """Read a PDF or an image into a Document.

    pages: "1-4,7,-1", from 1 as a PDF viewer counts, both ends included; None reads all. on_page is called with each
    page as it ends. A page that cannot be read has status `failed` and a reason, and the others are still read.
    Raises InputError (a VaryError and a ValueError) when the file as a whole cannot be read.
    """
    reader = load(model) if isinstance(model, str) else model
    return read_document(path, reader, pages, password, on_page)


def stream(
    path: str | Path, model: Reader | str = DEFAULT_MODEL, *, pages: str | None = None, password: str | None = None
) -> Iterator[Page]:
    """The pages of `read` one by one, as they end; only one is in memory. Headers and footers are not told apart."""
    yield from read_pages(path, load(model) if isinstance(model, str) else model, pages, password)
