"""Sightings of a font's glyphs on other pages of a document, for a page that says too little about the glyphs.

Pages are tried in an order that depends on the file alone and spreads evenly over it, until a glyph was sighted often
enough. So a page reads the same whether others were read before it or not. Each glyph is looked for once per page and
open file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ...io.deadline import time_is_up
from .glyphs import Glyph, Sighting

if TYPE_CHECKING:
    from ...io.source import Source

PAGES = 6  # with the font, on which a glyph is sought
LISTED = 64  # pages whose fonts are listed, for one font
ENOUGH = 6  # sightings of a glyph
KEPT = 1024  # glyphs on pages whose sightings are kept

Look = Callable[[int, Glyph], dict[int, list[Sighting]]]


def sightings_elsewhere(source: Source, glyphs: Iterable[Glyph], number: int, look: Look) -> list[Sighting]:
    """Return sightings of glyphs, and of others of their fonts next to them, on other pages than `number`.

    Args:
        source: The file.
        glyphs: What is sought.
        number: The page that is read.
        look: Returns the sightings on some lines of a page that have the glyph, by line.
    """
    wanted = sorted(set(glyphs))
    fonts, found = {font for font, _ in wanted}, dict[tuple[int, int], list[Sighting]]()
    for glyph in wanted:
        count = 0
        for page in _pages_of(source, glyph[0], number):
            if count >= ENOUGH:
                break
            sightings = _look(source, page, glyph, look)
            if time_is_up():  # what was not looked at to its end is not used
                return []
            for line, row in sightings.items():
                found.setdefault((page, line), row)
                count += sum((one.font, one.character) == glyph for one in row)
    return [one for place in sorted(found) for one in found[place] if one.font in fonts]


def _look(source: Source, page: int, glyph: Glyph, look: Look) -> dict[int, list[Sighting]]:
    kept: dict[tuple[int, Glyph], dict[int, list[Sighting]]] = source.kept.setdefault("sightings", {})
    if (page, glyph) not in kept:
        sightings = look(page, glyph)
        if time_is_up():
            return {}
        kept[page, glyph] = sightings
        while len(kept) > KEPT:
            del kept[next(iter(kept))]
    return kept[page, glyph]


def _pages_of(source: Source, font: str, number: int) -> Iterator[int]:
    """Yield up to PAGES pages other than `number` that have a font."""
    known: dict[int, list[str]] = source.kept.setdefault("fonts", {})
    count = 0
    for page in _spread(len(source))[:LISTED]:
        if page not in known:
            known[page] = source.fonts(page)
        if page != number and font in known[page]:
            yield page
            count += 1
            if count == PAGES:
                return


def _spread(count: int) -> list[int]:
    """Return the numbers from 1 to count so that any first part of them is evenly spread: by their reversed bits."""
    bits = max(1, (count - 1).bit_length())
    return sorted(range(1, count + 1), key=lambda page: int(f"{page - 1:0{bits}b}"[::-1], 2))
