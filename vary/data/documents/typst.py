"""Compile Typst markup to PDF, rasterise its pages to 8-bit greyscale, and find out what Typst's fonts can draw.

Only markup written by this package is compiled, so no child process is needed (io/pdf.py guards against foreign PDFs).
System fonts are never used, so pages are the same everywhere.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2 as pdfium

from ...document.alphabets import LATIN
from ...io.errors import InputError
from ...markup.typst import typst_list, typst_string

_MONO = re.compile(r"mono|code|courier|hack|cursor|consol", re.I)
_SANS = re.compile(r"sans|lato|roboto|carlito|inter|gothic|hei|comic|helvet|arial|heros|adventor|open", re.I)
_NO_GLYPH = "\U0010fffd"  # a character that no font has


@functools.lru_cache(maxsize=8)
def load_fonts(folders: tuple[str | Path, ...] = ()) -> Fonts:
    """Load Typst's own fonts and those of folders, once per process."""
    return Fonts(folders)


class Fonts:
    """Fonts for Typst. fonts: what Typst takes. families: names by "serif", "sans", "mono" and "cjk".

    Raises:
        InputError: a folder does not exist.
    """

    def __init__(self, folders: Sequence[str | Path] = ()):
        import typst

        for folder in folders:
            if not Path(folder).is_dir():
                raise InputError(f"{folder}: the folder of fonts does not exist")
        self.fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in folders])
        self._known: dict[tuple[str, ...], tuple[set[str], set[str]]] = {}

    @functools.cached_property
    def families(self) -> dict[str, list[str]]:
        """Names of the text families by kind; families of symbols only are left out."""
        kinds: dict[str, list[str]] = {"serif": [], "sans": [], "mono": [], "cjk": []}
        for family in self.fonts.families():
            if not self.missing("中文的，。", (family,)):
                kind = "cjk"
            elif "Math" in family or self.missing("Aaghz019.,", (family,)):
                continue
            else:
                kind = "mono" if _MONO.search(family) else "sans" if _SANS.search(family) else "serif"
            kinds[kind].append(family)
        return kinds

    def missing(self, text: str, families: tuple[str, ...]) -> set[str]:
        """Return the characters of the text that none of the families has.

        Typst draws such a character with the same glyph as one that no font has.
        """
        asked = set(text)
        if families not in self._known:
            self._known[families] = set(), set()
            self.missing(LATIN, families)  # the common ones in one call
        known, lacking = self._known[families]
        new = sorted(ch for ch in asked - known - lacking if not ch.isspace())
        if new:
            glyphs = self._glyphs([_NO_GLYPH, *new], families)
            if len(glyphs) == 1 + len(new):
                lacking |= {ch for ch, glyph in zip(new, glyphs[1:], strict=True) if glyph == glyphs[0]}
            elif len(new) == 1:
                lacking |= set(new)  # drawn by no glyph or by several, so its boxes would be unknown
            else:
                lacking.update(*(self.missing(ch, families) for ch in new))
            known |= set(new) - lacking
        return lacking & asked

    def _glyphs(self, characters: list[str], families: tuple[str, ...]) -> list[str]:
        """Return the names of the glyphs that Typst draws, taken from its SVG; all missing characters have the same."""
        head = f"#set page(width: 400pt, height: auto)\n#set text(font: {typst_list(families)}, fallback: false)\n"
        boxes = "".join(f"#box({typst_string(ch)})" for ch in characters)
        svg = compile_markup(head + boxes, self, format="svg").decode()
        return re.findall(r'<use[^>]*href="#(\w+)"', svg)


_users: list[int] = []  # the process in which Typst was used first, inherited by those that are forked from it


def compile_markup(markup: str, fonts: Fonts, **settings: Any) -> bytes:
    """Return what Typst makes of markup, a PDF unless the settings say otherwise.

    Raises:
        typst.TypstError: the markup is wrong.
        RuntimeError: this process was forked from one that had used Typst. Typst's threads are missing here, and it
            would wait for them without end.
    """
    import typst

    if not _users:
        _users.append(os.getpid())
    if _users[0] != os.getpid():
        raise RuntimeError("Typst was used before this process was forked, and its threads do not survive that")
    return typst.compile(markup.encode(), font_paths=fonts.fonts, **settings)


def print_pdf(markup: str, fonts: Fonts) -> pdfium.PdfDocument:
    """Compile Typst markup to a PDF. Raises InputError with Typst's own message if the markup is wrong."""
    import typst

    try:
        data = compile_markup(markup, fonts, timestamp=0, pdf_tags=False)
    except typst.TypstError as error:
        raise InputError(f"Typst: {error.message.splitlines()[0]}") from None
    return pdfium.PdfDocument(data)


def draw(page: pdfium.PdfPage, scale: float) -> np.ndarray:
    """Rasterise a page, (H, W) uint8, 255 = white. scale: pixels per point."""
    pixels = page.render(scale=scale, grayscale=True).to_numpy()
    return pixels.reshape(pixels.shape[:2]).copy()  # the memory of the bitmap is freed with it


def ink_box(image: np.ndarray, level: int = 200) -> tuple[int, int, int, int]:
    """Return the box (x0, y0, x1, y1) of all pixels darker than a level. Raises InputError if there are none."""
    dark = image < level
    columns, rows = np.flatnonzero(dark.any(0)), np.flatnonzero(dark.any(1))
    if not len(rows):
        raise InputError("the image holds no ink")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
