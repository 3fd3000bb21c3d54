"""What is drawn on a page besides its text, as evidence of structure; figures found in it.

It comes from the objects of a PDF. Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..io.box import Box, union
from .elements import Block, Line

BACKDROP = 0.6  # share of the page from which a picture is its ground, and no figure
SMALLEST = 0.004  # share of the page; smaller pictures are marks and rules
MIN_STROKES = 4  # pieces of a drawing without a picture
NEAR_EM = 1.0  # pieces so near are one drawing
MAX_TEXT = 0.25  # share of a figure that its labels cover; more is a box of text
MAX_LABELS = 600  # characters


@dataclass
class Evidence:
    """Drawn objects of a page.

    Args:
        rules: ruling lines.
        areas: filled rectangles and their colour, 0xRRGGBB.
        pictures: bitmaps.
        drawings: other paths.
        links: areas and their targets.
    """

    rules: list[Box] = field(default_factory=list)
    areas: list[tuple[Box, int]] = field(default_factory=list)
    pictures: list[Box] = field(default_factory=list)
    drawings: list[Box] = field(default_factory=list)
    links: list[tuple[Box, str]] = field(default_factory=list)


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
            text = line.text[start:end]
            start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
            if end > start and not any(a < end and start < b for a, b, _ in line.links):
                line.links.append((start, end, target))


def _middle_within(inner: Box, outer: Box) -> bool:
    """Whether two boxes share most of the lower one's height."""
    shared = min(inner[3], outer[3]) - max(inner[1], outer[1])
    return shared > 0.4 * min(inner[3] - inner[1], outer[3] - outer[1])


def take_figures(blocks: list[Block], evidence: Evidence, size: tuple[int, int], em: float) -> list[Block]:
    """Return the blocks without the labels of figures, which go into blocks `figure` of their own, at the end.

    Args:
        blocks: in reading order.
        evidence: pictures and drawings.
        size: width and height of the page.
        em: size of the page's text, px.
    """
    figures = []
    for box in _figure_boxes(evidence, size, em):
        labels = [line for block in blocks for line in block.lines if _inside(line.box, box)]
        covered = sum((line.box[2] - line.box[0]) * (line.box[3] - line.box[1]) for line in labels)
        area = (box[2] - box[0]) * (box[3] - box[1])
        if covered > MAX_TEXT * area or sum(len(line.text) for line in labels) > MAX_LABELS:
            continue
        taken = {id(line) for line in labels}
        blocks = [kept for block in blocks if (kept := _without(block, taken)) is not None]
        figures.append(Block(labels, box, "figure"))
    return blocks + figures


def _without(block: Block, taken: set[int]) -> Block | None:
    lines = [line for line in block.lines if id(line) not in taken]
    if len(lines) == len(block.lines):
        return block
    if not lines:
        return None
    return replace(block, lines=lines, box=union(line.box for line in lines))


def _inside(box: Box, outer: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def _figure_boxes(evidence: Evidence, size: tuple[int, int], em: float) -> list[Box]:
    """Return boxes of pictures and drawings: pieces that touch or nearly touch are one."""
    page = max(1.0, float(size[0]) * size[1])
    pictures = [box for box in evidence.pictures if _area(box) < BACKDROP * page]
    drawn = [box for box in evidence.drawings if _area(box) < BACKDROP * page]
    pieces = [(box, 1, True) for box in pictures] + [(box, 1, False) for box in drawn]
    if drawn:  # axes and ticks are ruling lines; alone they may be a table
        pieces += [(box, 1, False) for box in evidence.rules if any(_near(box, other, em) for other in drawn)]
    groups: list[tuple[Box, int, bool]] = []
    for piece in pieces:
        box, count, picture = piece
        while True:
            touching = [group for group in groups if _near(group[0], box, NEAR_EM * em)]
            if not touching:
                break
            for other, n, is_picture in touching:
                box = union([box, other])
                count, picture = count + n, picture or is_picture
            groups = [group for group in groups if group not in touching]
        groups.append((box, count, picture))
    kept = [
        box
        for box, count, picture in groups
        if (picture or count >= MIN_STROKES)
        and SMALLEST * page < _area(box) < BACKDROP * page
        and min(box[2] - box[0], box[3] - box[1]) > 1.5 * em
    ]
    return sorted(kept, key=lambda box: (box[1], box[0]))


def _near(a: Box, b: Box, reach: float) -> bool:
    return a[0] - reach < b[2] and b[0] - reach < a[2] and a[1] - reach < b[3] and b[1] - reach < a[3]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
