"""Lines of a page -> blocks in reading order. Tables and figures are found first, so that no column runs through them.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from PIL import Image

from ...io.box import Box, area, cover_alike, middle_within, scale_box, shared_area, union
from ..blocks import to_block
from ..elements import Block
from ..evidence import Areas, Evidence
from ..lines import PageRegion, TextLine, is_mono, with_type_of_grounds
from .aligned_tables import find_aligned_tables
from .bitmap import find_drawn_objects
from .bullets import add_bullets, join_bullets, join_signs, list_gutters, mark_circles, mark_labels
from .cells import stretches
from .figures import find_figures, is_certain_text
from .form_fields import find_checkboxes, find_drawn_fields, place_form_fields
from .gutters import split_columns
from .paragraphs import TextBlock
from .reading_order import order_blocks, zones
from .ruled_tables import find_ruled_tables
from .side_by_side import divide_evidence, find_panels, flush_blocks, is_in_key_style
from .table_rows import find_keyed_rows

CHART = 0.3  # share of a grid that is drawn in, for it to be no table
FILLED, SAME_GROUND = 0.7, 1.3  # share of cells with text in a table on its own ground; area of that, as a multiple
NUMBERED, SERIAL = 5, 0.8  # fewest lines of a numbered listing; share of its numbers that follow one another
CORNER_EM, CARD_WIDE_EM, MOST_RULES = 0.5, 6.0, 200  # of cards: round corners, least width; rules that are compared
HEAD_HIGH_EM, NAMES, STRIPED = 5.0, 3, 4.0  # of the ground of a head: most height, fewest names; step of stripes
SAME_AREA = 0.8  # of the larger of two areas that both cover, if they are one
GROUND = 0.9  # share of the page from which a filled area is its ground
LEAN, SAME_LEAN = 0.003, 0.005  # slope from which a page is laid out as if it were level; by which lines differ in it
LEAN_CHARACTERS, LEAN_SHARE = 40, 0.7  # characters of the lines that show a slope; share of them that agree


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
    slope = find_slope(lines)
    if slope:
        lines, evidence = [shear(line, -slope) for line in lines], _shear_evidence(evidence, -slope)
    lines = with_type_of_grounds(lines, [box for box, _ in evidence.areas])
    em = usual_size(lines)
    lines, evidence = find_drawn_fields([join_signs(line) for line in lines], evidence, em)
    lines = place_form_fields(lines, evidence.fields, evidence.rules)
    lines, evidence = add_bullets(join_bullets(mark_circles(mark_labels(lines, evidence.tags))), evidence)
    evidence = _without_ground(evidence, size)
    blocks = [to_block(block, scale, styles) for block in _arrange(lines, evidence, size, em)]
    return [_shear_block(block, slope) for block in blocks] if slope else blocks


def _arrange(lines: Sequence[TextLine], evidence: Evidence, size: tuple[int, int], em: float) -> list[TextBlock]:
    """Return the blocks of a page, or of a panel on it, in reading order."""
    grids = find_ruled_tables(lines, evidence, em)
    regions = [one for one in grids if not (_is_chart(one, evidence) or _is_numbered_listing(one))]
    rest = _without(lines, regions)
    panels: dict[int, list[TextBlock]] = {}
    framed = [(box, 0) for box in find_cards(evidence.rules, em)]
    for group in find_panels(rest, replace(evidence, areas=[*evidence.areas, *framed]), em):
        whole = PageRegion("panel", union(one.box for one in group), [line for one in group for line in one.lines])
        regions.append(whole)
        panels[id(whole)] = []
        for panel in group:
            on_it, evidence = divide_evidence(evidence, panel.box)
            panels[id(whole)] += _arrange(panel.lines, on_it, size, usual_size(panel.lines))
    rest = _without(rest, regions)
    regions += [one for one in find_figures(rest, evidence, size, em) if not _overlaps(one.box, regions)]
    rest = _without(rest, regions)
    is_flush = flush_blocks(rest, em).tolist()  # such lines are no values of a table
    flush = [line for line, its in zip(rest, is_flush, strict=True) if its]
    rest = _without(rest, [PageRegion("text", (0, 0, 0, 0), flush)])
    keyed, rest = find_keyed_rows(rest)
    regions += keyed
    beside = [line for x, top, end in list_gutters(rest, em) for line in rest
              if line.box[2] < x and top <= line.box[1] and line.box[3] <= end]  # fmt: skip
    listed = PageRegion("list", (0, 0, 0, 0), beside)
    rules = [*evidence.rules, *rules_of_heads(rest, evidence.areas, em)]
    regions += find_aligned_tables([_without(rest, [listed])], em, rules, across=True)
    rest = _without(rest, regions)
    rest, gutters = split_columns(rest, [region.box for region in regions], stacks=False, rules=evidence.rules)
    regions += find_aligned_tables(zones(rest, gutters), em, rules)
    blocks = order_blocks([*_without(rest, regions), *flush], regions, evidence.rules)
    return [one for block in blocks for one in panels.get(id(block.region), [block])]


def rules_of_heads(lines: Sequence[TextLine], areas: Areas, em: float) -> list[Box]:
    """Return the upper and lower edges of grounds of one row of bold names: heads of tables without rules.

    A row of a striped table, whose grounds follow one another, is none.
    """
    low = sorted((box for box, _ in areas if box[3] - box[1] < HEAD_HIGH_EM * em), key=lambda box: (box[1], box[0]))
    grounds: list[Box] = []
    for box in low:  # cells of one row may have a ground each
        last = grounds[-1] if grounds else None
        if last and max(abs(last[1] - box[1]), abs(last[3] - box[3]), box[0] - last[2]) < CORNER_EM * em:
            grounds[-1] = union([last, box])
        else:
            grounds.append(box)
    found = []
    for box in grounds:
        names = [one for line in lines if middle_within(line.box, box) for one in stretches(line)]
        if len(names) < NAMES or not all(map(is_in_key_style, names)):
            continue
        striped = any(one is not box and abs(one[0] - box[0]) < em and abs(one[2] - box[2]) < em
                      and abs(one[1] - box[1]) < STRIPED * (box[3] - box[1]) for one in grounds)  # fmt: skip
        if not striped:
            found += [(box[0], y, box[2], y + 1) for y in (box[1], box[3])]
    return found


def find_cards(rules: Sequence[Box], em: float) -> list[Box]:
    """Return the boxes of four rules, perhaps with round corners, that stand beside another one as high: cards."""
    corner = CORNER_EM * em
    level = sorted((one for one in rules if one[2] - one[0] > CARD_WIDE_EM * em), key=lambda one: one[1])
    upright = [one for one in rules if one[3] - one[1] > em]
    found: list[Box] = []
    for k, (x0, top, x1, _) in enumerate(level[:MOST_RULES]):
        below = (
            b for b in level[k + 1 : MOST_RULES] if max(abs(b[0] - x0), abs(b[2] - x1)) < corner and b[1] > top + em
        )
        if (bottom := next(below, None)) is None:
            continue
        sides = [[one for one in upright if abs(one[0] - x) < corner and abs(one[1] - top) < corner
                  and abs(one[3] - bottom[3]) < corner] for x in (x0, x1)]  # fmt: skip
        if all(sides):
            found.append(union([(x0, top, x1, bottom[3]), sides[0][0], sides[1][0]]))

    def is_beside(a: Box, b: Box) -> bool:
        high = max(abs(a[1] - b[1]), abs(a[3] - b[3])) < corner
        return high and (b[0] > a[2] + corner or b[2] < a[0] - corner)

    return [one for one in found if any(is_beside(one, other) for other in found)]


def find_evidence(
    image: Image.Image | np.ndarray,
    lines: Sequence[TextLine],
    fields: Sequence[tuple[str, Box, bool]] | None = None,
    areas: Areas = (),
    scale: float = 1.0,
) -> Evidence:
    """Return what a grey page image shows besides the lines that were read from it.

    Args:
        image: The page.
        lines: That were read.
        fields: Form fields of the page, where they are known; without them, checkboxes are sought in the image.
        areas: Filled areas that are known; others are sought in the image.
        scale: Of the image in the pixels of the areas.
    """
    certain = [line.box for line in lines if is_certain_text(line)]
    evidence = find_drawn_objects(np.asarray(image), certain, [line.box for line in lines], usual_size(lines))
    areas = [(scale_box(box, scale), colour) for box, colour in areas]
    others = [one for one in evidence.areas if not any(cover_alike(one[0], box, SAME_AREA) for box, _ in areas)]
    evidence.areas = [*areas, *others]
    evidence.fields = find_checkboxes(np.asarray(image), lines) if fields is None else list(fields)
    return evidence


def usual_size(lines: Sequence[TextLine]) -> float:
    """Return the size of most characters, px; 16 for a page without text."""
    if not lines:
        return 16.0
    return float(np.median(np.repeat([line.em_px for line in lines], [len(line.text) for line in lines])))


def _without(lines: Sequence[TextLine], regions: list[PageRegion]) -> list[TextLine]:
    taken = {id(line) for region in regions for line in region.lines}
    return [line for line in lines if id(line) not in taken]


def _without_ground(evidence: Evidence, size: tuple[int, int]) -> Evidence:
    """Return evidence without an area that is the ground of the page, as of slides: its sides frame no table."""
    least = GROUND * size[0] * size[1]
    return replace(evidence, areas=[one for one in evidence.areas if area(one[0]) < least])


def _is_chart(grid: PageRegion, evidence: Evidence) -> bool:
    """Return whether drawings or pictures fill much of a grid; a picture that is the grid itself is its ground.

    Such a ground has text in most cells: a white table on coloured paper.
    """
    cells = [text for row in grid.table.cells for text in row] if grid.table else []
    filled = sum(map(bool, cells)) >= FILLED * len(cells) > 0
    grounds = [one for one in evidence.pictures if filled and area(one) < SAME_GROUND * area(grid.box)]
    pictures = [one for one in evidence.pictures if not any(one is ground for ground in grounds)]
    inside = [shared_area(grid.box, other) for other in (*pictures, *evidence.drawings)]
    return sum(inside) > CHART * area(grid.box)


def _is_numbered_listing(region: PageRegion) -> bool:
    """Return whether a grid is a listing with line numbers: beside one box of all its text, or in fixed-width type."""
    cells = region.table.cells if region.table else []
    if len(cells) < NUMBERED or any(len(row) != 2 for row in cells):
        return False
    if sum(bool(row[1]) for row in cells) != 1 and sum(map(is_mono, region.lines)) < SERIAL * len(region.lines):
        return False
    numbers = [int(row[0]) for row in cells if row[0].isascii() and row[0].isdigit()]
    return len(numbers) > SERIAL * len(cells) and sum(b == a + 1 for a, b in pairwise(numbers)) > SERIAL * len(numbers)


def _overlaps(box: Box, regions: list[PageRegion]) -> bool:
    """Return whether most of a box lies in a region."""
    return any(shared_area(box, region.box) > 0.5 * area(box) for region in regions)


# -- pages that lean ---------------------------------------------------------------------------------------------------


def find_slope(lines: Sequence[TextLine]) -> float:
    """Return the slope of most lines of a page, pixels down for each pixel to the right; 0 for pages that lie level."""
    known = [(line.slope, len(line.text)) for line in lines if line.slope]  # short lines show none
    if len(known) < 3 or sum(count for _, count in known) < LEAN_CHARACTERS:
        return 0.0
    slopes, counts = np.array(sorted(known)).T
    weights = np.cumsum(counts**2)  # long lines know it better
    slope = float(slopes[np.searchsorted(weights, weights[-1] / 2)])
    agree = float(counts[np.abs(slopes - slope) < SAME_LEAN].sum() / counts.sum())
    return slope if abs(slope) >= LEAN and agree >= LEAN_SHARE else 0.0


def shear(line: TextLine, slope: float) -> TextLine:
    """Return a line of a levelled page: its characters moved down by `slope` for each pixel to the right."""
    down = slope * line.boxes[:, [0, 2]].mean(1)
    return replace(line, boxes=line.boxes + np.stack([0 * down, down, 0 * down, down], 1), slope=0.0)


def _shear_box(box: Box, slope: float) -> Box:
    down = slope * (box[0] + box[2]) / 2
    return box[0], box[1] + down, box[2], box[3] + down


def _shear_evidence(evidence: Evidence, slope: float) -> Evidence:
    rules, pictures, drawings = (
        [_shear_box(box, slope) for box in boxes] for boxes in (evidence.rules, evidence.pictures, evidence.drawings)
    )
    areas = [(_shear_box(box, slope), colour) for box, colour in evidence.areas]
    return replace(evidence, areas=areas, rules=rules, pictures=pictures, drawings=drawings)


def _shear_block(block: Block, slope: float) -> Block:
    """Return a block with its lines and characters where they lie on the page."""
    for line in block.lines:
        line.characters = [_shear_box(box, slope) for box in line.characters]
        line.box = union(line.characters)
    block.box = union(one.box for one in block.lines) if block.kind == "text" else _shear_box(block.box, slope)
    return block
