"""Fonts for Typst: those of its wheel (Latin, mathematics, typewriter) and of folders, and what they can draw."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from ...io.errors import InputError
from ...markup.prompts import LATIN
from ...markup.typst import typst_list, typst_string

_MONO = re.compile(r"mono|code|courier|hack|cursor|consol", re.I)
_SANS = re.compile(r"sans|lato|roboto|carlito|inter|gothic|hei|comic|helvet|arial|heros|adventor|open", re.I)
_NOWHERE = "\U0010fffd"  # a character that no font has


@functools.lru_cache(maxsize=8)
def load_fonts(folders: tuple[str, ...] = ()) -> Fonts:
    """`Fonts` of these folders; what was loaded and learnt once in this process is shared."""
    return Fonts(folders)


class Fonts:
    """`fonts` is what Typst takes, loaded once; `families` are names by "serif", "sans", "mono" and "cjk".

    Raises ValueError for a folder that does not exist.
    """

    def __init__(self, folders: Sequence[str | Path] = ()):
        import typst

        for folder in folders:
            if not Path(folder).is_dir():
                raise InputError(f"{folder}: the folder of fonts does not exist")
        self.fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in folders])
        self._known: dict[tuple[str, ...], tuple[set[str], set[str]]] = {}
        self.families: dict[str, list[str]] = {"serif": [], "sans": [], "mono": [], "cjk": []}
        for family in self.fonts.families():
            if not self.missing("中文的，。", (family,)):
                kind = "cjk"
            elif "Math" in family or self.missing("Aaghz019.,", (family,)):
                continue  # signs only
            else:
                kind = "mono" if _MONO.search(family) else "sans" if _SANS.search(family) else "serif"
            self.families[kind].append(family)

    def missing(self, text: str, families: tuple[str, ...]) -> set[str]:
        """Characters of the text that none of the families has: Typst draws for them what it draws for no character."""
        asked = set(text)
        if families not in self._known:
            self._known[families] = set(), set()
            self.missing(LATIN, families)  # the usual ones at once
        known, lacking = self._known[families]
        new = sorted(ch for ch in asked - known - lacking if not ch.isspace())
        if new:
            glyphs = self._glyphs([_NOWHERE, *new], families)
            if len(glyphs) == 1 + len(new):
                lacking |= {ch for ch, glyph in zip(new, glyphs[1:], strict=True) if glyph == glyphs[0]}
            elif len(new) == 1:
                lacking |= set(new)  # drawn by no glyph, or by several: not a character to be followed
            else:
                lacking.update(*(self.missing(ch, families) for ch in new))
            known |= set(new) - lacking
        return lacking & asked

    def _glyphs(self, characters: list[str], families: tuple[str, ...]) -> list[str]:
        """Names of the glyphs that Typst draws, as its SVG has them: the same for all that a font lacks."""
        import typst

        head = f"#set page(width: 400pt, height: auto)\n#set text(font: {typst_list(families)}, fallback: false)\n"
        boxes = "".join(f"#box({typst_string(ch)})" for ch in characters)
        svg = typst.compile((head + boxes).encode(), font_paths=self.fonts, format="svg").decode()
        return re.findall(r'<use[^>]*href="#(\w+)"', svg)
