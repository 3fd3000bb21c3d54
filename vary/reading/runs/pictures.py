"""Write the formats that show page images: searchable PDFs, overlays, pictures of figures."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from ...document.elements import Page
from ...document.formats.overlay import crop_block, draw_overlay
from ...document.formats.searchable_pdf import SearchablePdf, judge_layer
from ...io.errors import InputError
from ...io.files import atomic_write
from ...io.pdf_pages import COPY, OVERLAY, REPLACE, Step, assemble_pages
from ...io.source import Source

PICTURE_DPI = 150.0
COPY_TIMEOUT_S = 600.0


def write_searchable_pdf(source: Source, pages: Iterable[Page], password: str | None, out: Path) -> None:
    """Write a searchable PDF of the pages of a file.

    A page of a PDF with a good text layer is copied untouched. A page without one gets the recognised text as a layer
    of its own. A page whose layer disagrees with what it shows becomes a picture with the recognised text, as do the
    pages of image files. The size of the paper is kept.

    Args:
        source: The file.
        pages: Its pages as they were read; they are iterated up to twice.
        password: Password of the file.
        out: The file to write.
    """
    if source.pdf is not None:
        with contextlib.suppress(InputError):  # a PDF whose pages cannot be copied is rendered
            _copy_pages(source, pages, password, out)
            return
    with atomic_write(out) as file:
        pdf = SearchablePdf(file)
        for page in pages:
            add_picture(pdf, source, page)
        pdf.close()


def add_picture(pdf: SearchablePdf, source: Source, page: Page) -> None:
    """Add the picture of a page with its text; an empty page when it cannot be rendered."""
    try:
        image, _ = source.image(page.number, PICTURE_DPI, colour=True)
        paper = source.paper(page.number, image)
    except InputError:
        pdf.add(page, None)
    else:
        pdf.add(page, image, paper)


def _copy_pages(source: Source, pages: Iterable[Page], password: str | None, out: Path) -> None:
    assert source.pdf is not None
    plan: list[Step] = []
    with tempfile.TemporaryDirectory(prefix="vary-") as folder:
        added, assembled = Path(folder) / "added.pdf", Path(folder) / "assembled.pdf"
        with added.open("wb") as file:
            pdf = SearchablePdf(file)
            for page in pages:
                try:
                    layer, size = source.pdf.text(page.number), source.pdf.size(page.number)
                except InputError:
                    plan.append((page.number, REPLACE, 0, 0.0))
                    pdf.add(page, None)
                    continue
                judged = judge_layer(layer, page)
                if judged == "good" or (judged == "none" and not page.lines):
                    plan.append((page.number, COPY, 0, 0.0))
                elif judged == "none":
                    plan.append((page.number, OVERLAY, page.rotation, page.skew))
                    pdf.add_text(page, size)
                else:
                    plan.append((page.number, REPLACE, 0, 0.0))
                    add_picture(pdf, source, page)
            pdf.close()
        assemble_pages(source.path, password, plan, added, assembled, COPY_TIMEOUT_S)
        with atomic_write(out) as file, assembled.open("rb") as data:
            while chunk := data.read(1 << 20):
                file.write(chunk)


def write_images(source: Source, pages: Iterable[Page], overlays: Path | None, figures: Path | None) -> None:
    """Write an overlay of each page and a picture of each figure.

    Args:
        source: The file.
        pages: Its pages as they were read.
        overlays: Folder for overlays, `0001.png` and so on; None for no overlays.
        figures: Folder for figures, `0001-1.png` and so on; None for no figures.
    """
    if overlays:
        overlays.mkdir(parents=True, exist_ok=True)
    for page in pages:
        try:
            image, _ = source.image(page.number, PICTURE_DPI, colour=True)
        except InputError:
            continue
        if overlays:
            _save(draw_overlay(page, image), overlays / f"{page.number:04d}.png")
        found = [block for block in page.blocks if block.is_picture] if figures else []
        for k, block in enumerate(found, 1):
            assert figures
            _save(crop_block(page, block, image), figures / f"{page.number:04d}-{k}.png")


def _save(image: Image.Image, path: Path) -> None:
    with atomic_write(path) as file:
        image.save(file, "PNG")
