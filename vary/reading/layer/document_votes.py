"""Sightings of a font's glyphs on other pages of a document, for a page that says too little about the font.

The pages are chosen by the file alone: up to PAGES of those that have the font, evenly spread. So a page reads the same
whether others were read before it or not. Each page is looked at once per file that is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from ...io.deadline import time_is_up
from .glyphs import Sighting

if TYPE_CHECKING:
    from ...io.source import Source

PAGES = 6  # on which a font is sighted
INDEX = 500  # pages of a file, evenly spread, whose fonts are listed
KEPT = 64  # pages whose sightings are kept

See = Callable[[int], list[Sighting]]


def sightings_elsewhere(source: Source, fonts: Iterable[str], number: int, see: See) -> list[Sighting]:
    """Return sightings of fonts on other pages than `number`.

    Args:
        source: The file.
        fonts: Identities, as `TextLayer.font_ids`.
        number: The page that is read.
        see: Returns all sightings of a page; called at most once per page.
    """
    wanted = set(fonts)
    seen: dict[int, list[Sighting]] = source.kept.setdefault("sightings", {})
    found: list[Sighting] = []
    for page in sorted({page for font in wanted for page in _pages_of(source, font)} - {number}):
        if page not in seen:
            sightings = see(page)
            if time_is_up():  # what was not looked at to its end is not kept
                return found
            seen[page] = sightings
            while len(seen) > KEPT:
                del seen[next(iter(seen))]
        found += [one for one in seen[page] if one.font in wanted]
    return found


def _pages_of(source: Source, font: str) -> list[int]:
    """Return the pages on which a font is sighted."""
    if "fonts" not in source.kept:
        listed: dict[str, list[int]] = {}
        for number in _spread(list(range(1, len(source) + 1)), INDEX):
            for known in source.fonts(number):
                listed.setdefault(known, []).append(number)
        source.kept["fonts"] = listed
    return _spread(source.kept["fonts"].get(font, []), PAGES)


def _spread(numbers: list[int], most: int) -> list[int]:
    """Return at most some of the numbers, evenly spread, the first and last among them."""
    if len(numbers) <= most:
        return numbers
    return [numbers[k] for k in np.linspace(0, len(numbers) - 1, most).round().astype(int).tolist()]
