"""The press: Typst markup -> PDF -> grey pages.

Typst sets the type, PDFium draws it and says where each character stands (textlayer.py). Only markup that we wrote
ourselves is printed, so no child process is needed (vary/io/pdf.py guards against foreign PDFs).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2 as pdfium

from ...io.errors import InputError


@functools.lru_cache(maxsize=4)
def load_fonts(folders: tuple[str | Path, ...] = ()) -> Any:
    """Typst's own fonts and those of folders, once per process; none of the system: pages are the same everywhere."""
    import typst

    return typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in folders])


def print_pdf(markup: str, fonts: Any) -> pdfium.PdfDocument:
    """Set a document with the fonts of `load_fonts`. Raises ValueError with Typst's own line for wrong markup."""
    import typst

    try:
        data = typst.compile(markup.encode(), font_paths=fonts, format="pdf", timestamp=0, pdf_tags=False)
    except typst.TypstError as error:
        raise InputError(f"Typst: {error.message.splitlines()[0]}") from None
    return pdfium.PdfDocument(data)


def draw(page: pdfium.PdfPage, scale: float) -> np.ndarray:
    """A page as grey pixels (H, W) uint8, 255 = white. scale: pixels per point."""
    pixels = page.render(scale=scale, grayscale=True).to_numpy()
    return pixels.reshape(pixels.shape[:2]).copy()  # the bitmap's memory goes with it


def ink_box(image: np.ndarray, level: int = 200) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 around everything darker than a level, in pixels. Raises ValueError for an empty image."""
    dark = image < level
    columns, rows = np.flatnonzero(dark.any(0)), np.flatnonzero(dark.any(1))
    if not len(rows):
        raise InputError("the image holds no ink")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
