"""Lines of a page -> blocks in reading order. Tables and figures are found first, so that no column runs through them.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ...io.box import Box, area, shared_area
from ..blocks import to_block
from ..elements import Block
from ..evidence import Evidence
from ..lines import PageRegion, TextLine
from .aligned_tables import find_aligned_tables
from .bitmap import find_drawn_objects
from .bullets import add_bullets, mark_labels
from .figures import find_figures
from .form_fields import place_form_fields
from .gutters import split_columns, zones
from .reading_order import order_blocks
from .ruled_tables import find_ruled_tables

CHART = 0.3  # share of a grid that is drawn in, for it to be no table
CERTAIN = 0.75  # mean confidence of a line of text; ink that is read with less may be a drawing


def lay_out(
    lines: Sequence[TextLine],
    evidence: Evidence,
    size: tuple[int, int],
    styles: tuple[str, ...],
    scale: float = 1.0,
) -> list[Block]:
    """Return the blocks of a page in reading order; tables have cells, figures their labels as lines.

    Args:
        lines: in any order.
        evidence: drawn objects and form fields of the page.
        size: width and height of the page.
        styles: names of the columns of `TextLine.styles`.
        scale: the boxes of the blocks are those of the lines divided by it.
    """
    lines = place_form_fields(lines, evidence.fields)
    em = usual_size(lines)
    lines, evidence = add_bullets(mark_labels(lines, evidence.tags), evidence)
    regions = [one for one in find_ruled_tables(lines, evidence, em) if not _is_chart(one.box, evidence)]
    rest = _without(lines, regions)
    regions += [one for one in find_figures(rest, evidence, size, em) if not _overlaps(one.box, regions)]
    rest = _without(rest, regions)
    regions += find_aligned_tables([rest], em, across=True)
    rest = _without(rest, regions)
    rest, gutters = split_columns(rest, [region.box for region in regions], stacks=False)
    regions += find_aligned_tables(zones(rest, gutters), em)
    return [to_block(block, scale, styles) for block in order_blocks(_without(rest, regions), regions)]


def find_evidence(image: Image.Image | np.ndarray, lines: Sequence[TextLine]) -> Evidence:
    """Return what a grey page image shows besides the lines that were read from it."""
    certain = [line.box for line in lines if float(line.confidence.mean()) >= CERTAIN and _is_spelt(line.text)]
    return find_drawn_objects(np.asarray(image), certain, [line.box for line in lines], usual_size(lines))


def _is_spelt(text: str) -> bool:
    """Return whether most of a text is letters and digits; strokes of drawings are read as other characters."""
    inked = [ch for ch in text if ch != " "]
    return 2 * sum(ch.isalnum() for ch in inked) >= len(inked)


def usual_size(lines: Sequence[TextLine]) -> float:
    """Return the size of most characters, px; 16 for a page without text."""
    if not lines:
        return 16.0
    return float(np.median(np.repeat([line.em_px for line in lines], [len(line.text) for line in lines])))


def _without(lines: Sequence[TextLine], regions: list[PageRegion]) -> list[TextLine]:
    taken = {id(line) for region in regions for line in region.lines}
    return [line for line in lines if id(line) not in taken]


def _is_chart(box: Box, evidence: Evidence) -> bool:
    """Return whether drawings or pictures fill much of a grid."""
    inside = [shared_area(box, other) for other in (*evidence.pictures, *evidence.drawings)]
    return sum(inside) > CHART * area(box)


def _overlaps(box: Box, regions: list[PageRegion]) -> bool:
    """Return whether most of a box lies in a region."""
    return any(shared_area(box, region.box) > 0.5 * area(box) for region in regions)
