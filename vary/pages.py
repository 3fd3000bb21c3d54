"""Files -> pages -> read each -> Document. Every page that was asked for ends with a status; nothing is dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from PIL import Image

from .document import Document, Page
from .image import BadInput, count_frames, open_image
from .pdf import PdfFile, looks_like_pdf, page_numbers

FIRST_DPI = 112.0  # 10-point type stands 15.6 px high: what the nano model reads best
MIN_DPI, MAX_DPI = 50.0, 400.0


class PageReader(Protocol):
    """Reads one grey page image. `wanted_scale` says how much larger or smaller it had better come."""

    name: str

    def wanted_scale(self, image: Image.Image) -> float:
        """Factor that brings the page's type to the size that is read best; 1.0 when it is near enough."""

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        """Read a page; boxes are pixels of `image`."""


def read_pages(
    path: str | Path, reader: PageReader, pages: str | None = None, password: str | None = None
) -> Iterator[Page]:
    """Read the pages of a PDF or an image one by one.

    A page that cannot be read, or is not there, comes back with status `failed` and the reason. Raises BadInput when
    the file as a whole cannot be read (not found, not an image, broken, encrypted) or `pages` cannot be understood.
    """
    path = Path(path)
    if path.is_dir():
        raise BadInput(f"{path}: is a folder, expected a PDF or an image")
    try:
        is_pdf = looks_like_pdf(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    if not is_pdf:
        count = count_frames(path)
        for number in list(page_numbers(pages, count, str(path))):
            yield _timed(number, count, partial(_read_image, path, number, reader))
        return
    with PdfFile(path, password) as pdf:
        dpi = FIRST_DPI
        for number in list(page_numbers(pages, len(pdf), str(path))):
            page = _timed(number, len(pdf), partial(_read_pdf_page, pdf, number, dpi, reader))
            if page.dpi:
                dpi = page.dpi  # pages of a document are set alike: begin where the last one ended
            yield page


def _read_image(path: Path, number: int, reader: PageReader) -> Page:
    image = open_image(path, frame=number - 1)
    return reader.read(image, reader.wanted_scale(image))


def _read_pdf_page(pdf: PdfFile, number: int, dpi: float, reader: PageReader) -> Page:
    image, dpi = pdf.render(number, dpi)
    scale = reader.wanted_scale(image)
    if scale != 1.0:
        image, dpi = pdf.render(number, min(MAX_DPI, max(MIN_DPI, dpi * scale)))
    page = reader.read(image)
    page.dpi = dpi
    return page


def _timed(number: int, count: int, read: Callable[[], Page]) -> Page:
    """Number and time a page; what makes a single page unreadable becomes its status."""
    began = time.perf_counter()
    try:
        if not 1 <= number <= count:
            raise BadInput(f"there is no page {number}; the file has {count}")
        page = read()
    except BadInput as error:
        page = Page(number, "failed", error=str(error))
    except Exception as error:  # one page must never cost the others
        page = Page(number, "failed", error=f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": "))
    page.number, page.seconds = number, time.perf_counter() - began
    return page


def read_document(
    path: str | Path,
    reader: PageReader,
    pages: str | None = None,
    password: str | None = None,
    on_page: Callable[[Page], None] | None = None,
) -> Document:
    """`read_pages` collected; `on_page` is called with each page as it ends."""
    document = Document(str(path), reader.name)
    for page in read_pages(path, reader, pages, password):
        document.pages.append(page)
        if on_page:
            on_page(page)
    return document
