"""What is drawn on a page besides its text, as evidence of structure. Links are marked in lines.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..io.box import Box
from .elements import Line

Areas = Sequence[tuple[Box, int]]  # boxes and their colours, 0xRRGGBB


@dataclass
class Evidence:
    """Drawn objects of a page.

    Args:
        rules: ruling lines.
        areas: filled rectangles and their colour, 0xRRGGBB.
        pictures: bitmaps.
        drawings: other paths.
        links: areas and their targets.
        tags: of a tagged PDF: type (`H1`, `Figure`, `Lbl`), alternative text, area.
        fields: form fields: kind as in `FormField`, box, whether it is ticked.
        column_rules: long upright ruling lines of an image that touch no others, such as those between columns.
    """

    rules: list[Box] = field(default_factory=list)
    areas: list[tuple[Box, int]] = field(default_factory=list)
    pictures: list[Box] = field(default_factory=list)
    drawings: list[Box] = field(default_factory=list)
    links: list[tuple[Box, str]] = field(default_factory=list)
    tags: list[tuple[str, str, Box]] = field(default_factory=list)
    fields: Sequence[tuple[str, Box, bool]] = ()
    column_rules: list[Box] = field(default_factory=list)


STOPS = ".,;:!?)"  # behind a link
WHITE = 0xF8  # least red, green and blue of paper
EDGE = 3.0  # px, by which rules reach over the sides of an area in which they lie, or are farther inside


def without_paper(areas: Areas, rules: Sequence[Box]) -> list[tuple[Box, int]]:
    """Return the areas without white ones that hold coloured ones or rules and lie on none: nobody sees where they end.

    rules: ruling lines of the page.
    """
    coloured = [box for box, colour in areas if not _is_white(colour)]
    return [
        (box, colour)
        for box, colour in areas
        if not _is_white(colour)
        or not any(_is_inside(one, box, -EDGE) for one in (*coloured, *rules))
        or any(_is_inside(box, one) for one in coloured)
    ]


def _is_white(colour: int) -> bool:
    return all(colour >> shift & 255 >= WHITE for shift in (0, 8, 16))


def _is_inside(inner: Box, outer: Box, edge: float = 0.0) -> bool:
    """Return whether a box lies in another one, reaching over its sides by EDGE; edge: over its top and bottom, px."""
    left, top, right, bottom = outer
    across = left - EDGE <= inner[0] and inner[2] <= right + EDGE
    return across and top - edge <= inner[1] and inner[3] <= bottom + edge


def add_links(lines: list[Line], links: list[tuple[Box, str]]) -> None:
    """Mark the characters that lie on a link's area."""
    for box, target in links:
        for line in lines:
            if min(line.box[2], box[2]) <= max(line.box[0], box[0]) or not _middle_within(line.box, box):
                continue
            inside = [box[0] - 1 < (x0 + x1) / 2 < box[2] + 1 for x0, _, x1, _ in line.characters]
            if not any(inside):
                continue
            start, end = inside.index(True), len(inside) - inside[::-1].index(True)
            end -= line.text[end - 1] in STOPS and line.characters[end - 1][2] > box[2] + 1  # frames reach over it
            text = line.text[start:end]
            start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
            if end > start and not any(a < end and start < b for a, b, _ in line.links):
                line.links.append((start, end, target))


def _middle_within(inner: Box, outer: Box) -> bool:
    """Return whether two boxes share most of the lower one's height."""
    shared = min(inner[3], outer[3]) - max(inner[1], outer[1])
    return shared > 0.4 * min(inner[3] - inner[1], outer[3] - outer[1])
