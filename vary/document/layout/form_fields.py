"""Find checkboxes in pixels, and write the fields of a form into the lines of a page.

Checkboxes become `[x]` and `[ ]`, the characters of comb fields are joined, and recognised field borders go.
Fields may be drawn, too: small squares to tick, and rules to write on.

This comes before the layout, so that a mark goes into its cell or column as any other word does.
Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ...io.box import Box, edges, middle_within, touch, union
from ..elements import SOURCES
from ..evidence import Evidence
from ..lines import TextLine, split_box
from .bitmap import count_greys, find_components
from .ruling_lines import BAND_PIXELS

GAP_EM = 12.0  # farthest label of a checkbox on its row, in heights of the line
PAD = 0.15  # around a checkbox, as a share of its height
BORDER = 0.3  # width of a field's border zone, as a share of its height
BORDERS = frozenset(r"[](){}|lI!/\_-—–=")  # what borders are recognised as
BUTTON_EM = 1.0  # white before the button of a choice, in heights of the line
BOX_EM, BOX_SQUARE = (0.5, 1.1), 0.82  # sides of a drawn checkbox; least share of the shorter in the longer one
REACH_EM = 2.2, 1.3  # from the beginning of a line to its checkbox, to the left and inside it
LEVEL_EM = 0.45  # of a checkbox above or below its line
BEFORE_EM = 0.2  # least white between a checkbox and its text
INK, LEAST_INK = 0.25, 60.0  # of the darkest: a pixel of a checkbox; least grey levels of its ink
RING, SIDE, CORNER = 0.14, 0.9, 0.15  # width of a frame; its dark share; part of a side that round corners take
STRAIGHT = 0.8  # share of a frame's upper side that is level; of the letter o it is half
SQUARE_LETTERS = 0.1  # share of Chinese, Japanese and Korean letters of a page
INNER, TICKED, EMPTY = 0.24, 0.35, 0.12  # frame around the inside; spread of greys of a mark in it, and of none
HOLLOW = 0.16  # darkest inside of an empty frame
ALIKE, FEWEST = 0.12, 2  # by which checkboxes of a page differ in size, and least number of them
SIDE_EM = (0.5, 1.4)  # sides of a square to tick
TICKS = "xXvV"  # letters in it that are marks
SQUARE, TOUCH_EM = 0.15, 0.12  # by which its sides differ, as a share; by which their ends miss one another
SAME_SQUARE = 0.1  # by which squares of a row or column differ
LABEL_EM = 2.0  # widest white between a square and its label
BLANK_EM, NEAR_EM = 2.0, 2.5  # least length of a rule to write on; widest white between it and its label
FOOT_EM = (-0.45, 0.35)  # from the lower end of a label's box to such a rule
WRITE_EM = 1.2  # height above it that is free
STROKE_EM = 0.5  # length of an underscore
STROKES = (4, 24)  # fewest and most underscores
APART_EM = 4.0  # from a blank to the next one above or below; a rule alone beside a title is an ornament


def find_checkboxes(pixels: np.ndarray, lines: Sequence[TextLine]) -> list[tuple[str, Box, bool]]:
    """Return the square frames before and between words, as `place_form_fields` takes them; fewer than two are none.

    Args:
        pixels: (H, W) uint8, dark type on light paper.
        lines: of the page.
    """
    found: dict[Box, bool | None] = {}
    for line in lines:
        (x0, y0, x1, y1), em = line.box, line.em_px
        high, right = LEVEL_EM * em, min(x1, x0 + REACH_EM[1] * em)
        found.update(_frames_in(pixels, (x0 - REACH_EM[0] * em, y0 - high, right, y1 + high), em))
    for box, em in _squares_of_pixels(pixels, lines):
        if not any(middle_within(box, known) for known in found):
            around, high = BEFORE_EM * em, LEVEL_EM * em
            part = (box[0] - around, box[1] - high, box[2] + around, box[3] + high)
            for one, mark in _frames_in(pixels, part, em):
                if mark is not None and box[2] - box[0] >= STRAIGHT * (one[2] - one[0]):
                    found[one] = mark
    kept: list[tuple[str, Box, bool]] = []
    for one, ticked in found.items():
        side = one[2] - one[0]
        alike = [mark for box, mark in found.items() if abs(side - (box[2] - box[0])) <= ALIKE * side + 1]
        solid = ticked is None and not (True in alike and False not in alike)  # bullets, or ticked ones themselves
        if len(alike) >= FEWEST and not solid:
            kept.append(("checkbox", one, bool(ticked)))
    return kept


def _squares_of_pixels(pixels: np.ndarray, lines: Sequence[TextLine]) -> Iterable[tuple[Box, float]]:
    """Yield squares with straight dark sides on the rows of a page, and the size of text there, px.

    None in writings whose letters are such squares.
    """
    text = "".join(line.text for line in lines)
    if not text or sum(ch > "\u2e7f" for ch in text) > SQUARE_LETTERS * len(text):
        return
    em = float(np.median(np.repeat([line.em_px for line in lines], [len(line.text) for line in lines])))
    counts = count_greys(pixels).cumsum()
    low, high = np.searchsorted(counts, (0.005 * counts[-1], 0.9 * counts[-1])).tolist()
    for y, x, side in _dark_squares(pixels, high - INK * (high - low), BOX_EM[0] * em, BOX_EM[1] * em):
        box = (float(x), float(y), float(x + side), float(y + side))
        if sizes := [line.em_px for line in lines if _is_level(line, box)]:
            yield box, max(sizes)


def _dark_squares(pixels: np.ndarray, below: float, least: float, most: float) -> Iterator[tuple[int, int, int]]:
    """Yield row, column and side of squares whose upper, left and right sides are darker than a level, from above."""
    step, reach, width = max(1, BAND_PIXELS // pixels.shape[1]), int(most) + 1, pixels.shape[1] + 1
    for top in range(0, len(pixels), step):
        dark = pixels[top : top + step + reach] < below
        ends = edges(np.pad(dark[:step], ((0, 0), (0, 1))).ravel())
        starts, side = ends[::2], ends[1::2] - ends[::2]
        fits = (side >= least) & (side <= most) & (starts // width + side < len(dark))
        (y, x), side = np.divmod(starts[fits], width), side[fits]
        down = np.pad(dark.cumsum(0, dtype=np.uint16), ((1, 0), (0, 0)))  # wraps around, and so do differences
        sides = [(down[y + side, at] - down[y, at]) >= SIDE * side for at in (x, x + side - 1)]
        for k in np.flatnonzero(sides[0] & sides[1]).tolist():
            yield top + int(y[k]), int(x[k]), int(side[k])


def _frames_in(pixels: np.ndarray, box: Box, em: float) -> Iterable[tuple[Box, bool | None]]:
    """Yield the frames in a part of a page, with white on both sides, and whether they hold a mark.

    None: a solid square. Such are empty boxes of a dark page that is inverted, if others there hold marks.
    """
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    part = pixels[top : int(box[3]) + 1, left : int(box[2]) + 1].astype(np.float32)
    if not part.size:
        return
    dark = np.maximum(0, np.percentile(part, 90) - part)
    if dark.max() < LEAST_INK:
        return
    dark /= dark.max()
    for a0, b0, a1, b1 in find_components(dark > INK):
        wide, high = a1 - a0, b1 - b0
        size = BOX_EM[0] * em <= min(wide, high) and max(wide, high) <= BOX_EM[1] * em
        if not size or min(wide, high) < BOX_SQUARE * max(wide, high) or b0 == 0 or b1 == len(dark):
            continue
        gap = dark[b0:b1, a1 : a1 + max(1, int(BEFORE_EM * em))]
        if a0 == 0 or (dark[b0:b1, :a0] > INK).any() or (gap > INK).any():
            continue
        if _is_frame(dark[b0:b1, a0:a1]):
            box = float(left + a0), float(top + b0), float(left + a1), float(top + b1)
            inside = _inside(dark[b0:b1, a0:a1])
            low, high_grey = np.percentile(inside, (8, 92))
            if high_grey - low >= TICKED:
                yield box, True
            elif high_grey - low <= EMPTY:
                yield box, False if high_grey <= HOLLOW else None


def _is_frame(shape: np.ndarray) -> bool:
    """Return whether all sides of a shape are dark and straight."""
    ring, cut = (max(1, round(share * min(shape.shape))) for share in (RING, CORNER))
    sides = [shape[:ring].max(0), shape[-ring:].max(0), shape[:, :ring].max(1), shape[:, -ring:].max(1)]
    return min(float((side[cut:-cut] > INK).mean()) for side in sides) >= SIDE


def _inside(shape: np.ndarray) -> np.ndarray:
    inner = max(1, round(INNER * min(shape.shape)))
    return shape[inner:-inner, inner:-inner]


def place_form_fields(
    lines: Sequence[TextLine], fields: Iterable[tuple[str, Box, bool]], rules: Sequence[Box] = ()
) -> list[TextLine]:
    """Return the lines with `[x]` or `[ ]` for each checkbox, combs joined, and without recognised borders and buttons.

    A mark goes into the line of its label: the nearest line on the same row, first to the right. A checkbox without a
    label near it, or with a ruling line between, becomes a line of its own.

    Args:
        lines: Of the page.
        fields: Kind as in `FormField`, box, and whether a checkbox is ticked.
        rules: Drawn on the page.
    """
    fields = sorted(fields, key=lambda one: (one[1][1], one[1][0]))
    placed = list(lines)
    for kind, box, _ in fields:
        if kind == "checkbox":
            pad = PAD * (box[3] - box[1])
            placed = _erase(placed, (box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad))
            continue
        x0, y0, x1, y1 = box
        width = BORDER * (y1 - y0)
        for edge in (x0, x1):
            placed = _erase(placed, (edge - width, y0, edge + width, y1), BORDERS)
        wide = (x0, y0, x1 + width, y1)
        if kind == "choice" and (start := _button(placed, wide)):
            placed = _erase(placed, (start - 1, *wide[1:]))
        if kind == "comb":
            placed = _join(placed, box)
    for kind, box, checked in fields:
        if kind == "checkbox":
            mark, k = "[x]" if checked else "[ ]", _label(placed, box, rules)
            if k is None:
                boxes, sure, high = split_box(box, len(mark)), np.ones(len(mark), np.float32), box[3] - box[1]
                placed.append(TextLine(mark, boxes, sure, high, writer="layer"))
            else:
                placed[k] = _insert(placed[k], mark, box)
    return placed


def _button(lines: Sequence[TextLine], box: Box) -> float | None:
    """Return where the button at the right end of a choice begins, if it was recognised as text."""
    high = box[3] - box[1]
    inked = [one for line in lines for one, ch in zip(line.boxes, line.text, strict=True) if ch != " "]
    inside = sorted((one for one in inked if _holds(box, one)), key=lambda one: float(one[0]))
    gaps = [float(b[0] - a[2]) for a, b in pairwise(inside)]
    if not gaps or max(gaps) < BUTTON_EM * float(inside[0][3] - inside[0][1]):
        return None
    start = float(inside[gaps.index(max(gaps)) + 1][0])
    return start if start > box[2] - 1.8 * high else None


def _erase(lines: Sequence[TextLine], area: Box, only: frozenset[str] | None = None) -> list[TextLine]:
    """Remove the characters whose middles lie in an area, and lines of which nothing is left.

    only: the characters that go, where only pixels show them; None for all characters.
    """
    left = []
    for line in lines:
        in_layer = np.zeros(len(line.text), bool) if line.sources is None else line.sources > 0
        gone = [
            ch != " " and (only is None or (ch in only and not known)) and _holds(area, box)
            for ch, box, known in zip(line.text, line.boxes, in_layer, strict=True)
        ]
        if any(gone):
            inked = [k for k, ch in enumerate(line.text) if ch != " " and not gone[k]]
            if not inked:
                continue
            for k in range(len(line.text) - 1, -1, -1):
                if gone[k] or not inked[0] <= k <= inked[-1]:
                    line = line.put(k, k + 1, "", ())
        left.append(line)
    return left


def _join(lines: Sequence[TextLine], box: Box) -> list[TextLine]:
    """Write the characters in a field as one word. They are the end of a line, or lines of their own."""
    inside = sorted((k for k, line in enumerate(lines) if _holds(box, line.boxes[-1])), key=lambda k: lines[k].box[0])
    if not inside:
        return list(lines)
    first, *others = inside
    line = lines[first]
    for k in others:
        arrays = {name: array for name in line.PER_CHARACTER if (array := getattr(lines[k], name)) is not None}
        line = line.put(len(line.text), len(line.text), lines[k].text, **arrays)
    for k in range(len(line.text) - 1, 0, -1):
        if line.text[k] == " " and _holds(box, line.boxes[k - 1]):
            line = line.put(k, k + 1, "", ())
    return [line if k == first else one for k, one in enumerate(lines) if k not in others]


def _holds(area: Box, box: np.ndarray) -> bool:
    """Return whether the middle of a character lies in an area."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return bool(area[0] < x < area[2] and area[1] < y < area[3])


def _label(lines: Sequence[TextLine], box: Box, rules: Sequence[Box]) -> int | None:
    """Return the place of the nearest line on the row of a checkbox; lines to its right or around it come first."""
    middle, best, least = (box[1] + box[3]) / 2, None, float("inf")
    walls = [(one[0] + one[2]) / 2 for one in rules if one[1] < middle < one[3] and one[2] - one[0] < one[3] - one[1]]
    for k, line in enumerate(lines):
        x0, y0, x1, y1 = line.box
        high = y1 - y0
        if y0 - 0.2 * high < middle < y1 + 0.2 * high:
            gap = max(0.0, x0 - box[2]) if x1 > box[2] else box[0] - x1 + 2 * high
            parted = any(box[2] <= x <= x0 or x1 <= x <= box[0] for x in walls)
            if gap < min(least, GAP_EM * high) and not parted:
                best, least = k, gap
    return best


def _insert(line: TextLine, mark: str, box: Box) -> TextLine:
    """Insert a mark at its place in a line, with blanks around it."""
    x0, y0, x1, y1 = box
    at = int(((line.boxes[:, 0] + line.boxes[:, 2]) / 2 < (x0 + x1) / 2).sum())
    left = " " if at and line.text[at - 1] != " " else ""
    right = " " if at < len(line.text) and line.text[at] != " " else ""
    sides = split_box((x0, y0, x0, y1), len(left)), split_box(box, len(mark)), split_box((x1, y0, x1, y1), len(right))
    text = left + mark + right
    return line.put(at, at, text, np.concatenate(sides), sources=np.full(len(text), SOURCES.index("layer")))


# -- drawn fields ------------------------------------------------------------------------------------------------------


def find_drawn_fields(lines: Sequence[TextLine], evidence: Evidence, em: float) -> tuple[list[TextLine], Evidence]:
    """Return the lines with underscores for the rules to write on, and the evidence with the squares as checkboxes.

    Args:
        lines: of the page.
        evidence: drawn objects of the page.
        em: size of the page's text, px.
    """
    known = [box for _, box, _ in evidence.fields]  # of the file's own form, whose squares are drawn as well
    squares = [one for one in _squares(lines, evidence.rules, em) if not any(touch(one[0], box) for box in known)]
    used = {rule for _, _, sides in squares for rule in sides}
    rules = [rule for rule in evidence.rules if rule not in used]
    blanks = _blanks(lines, rules, em)
    blanks = [
        (k, rule) for k, rule in blanks if any(other != rule and _are_near(rule, other, em) for _, other in blanks)
    ]
    placed = list(lines)
    for k, rule in sorted(blanks, key=lambda one: one[1][0]):
        placed[k] = _with_blank(placed[k], rule)
    written = {rule for _, rule in blanks}
    fields = [*evidence.fields, *(("checkbox", box, ticked) for box, ticked, _ in squares)]
    return placed, replace(evidence, rules=[rule for rule in rules if rule not in written], fields=fields)


def _squares(lines: Sequence[TextLine], rules: Sequence[Box], em: float) -> list[tuple[Box, bool, list[Box]]]:
    """Return the squares before a text, or in rows and columns: box, whether it holds a mark, its sides."""
    reach = TOUCH_EM * em
    short = [rule for rule in rules if SIDE_EM[0] * em < max(rule[2] - rule[0], rule[3] - rule[1]) < SIDE_EM[1] * em]
    level = [rule for rule in short if rule[2] - rule[0] > rule[3] - rule[1]]
    found: list[tuple[Box, bool, list[Box], bool]] = []
    for top in level:
        side = top[2] - top[0]
        box = (top[0], top[1], top[2], top[1] + side)
        slack = SQUARE * side + reach
        sides = [rule for rule in short if _is_inside(rule, box, slack)]
        edges = [any(max(abs(rule[k] - box[k]), abs(rule[k ^ 2] - box[k])) < slack for rule in sides) for k in range(4)]
        touching = [rule for rule in rules if rule not in sides and _touches(rule, box, reach)]
        if not all(edges) or touching or any(one[0] == box for one in found):
            continue
        level_with = [line for line in lines if _is_level(line, box)]
        held = [
            ch
            for line in level_with
            for ch, one in zip(line.text, line.boxes.tolist(), strict=True)
            if ch != " " and middle_within(tuple(one), box)
        ]
        if any(ch.isalnum() and ch not in TICKS for ch in held):  # the name of a key, or a number
            continue
        labelled = any(0 <= x - box[2] < LABEL_EM * em for line in level_with for x in line.boxes[:, 0].tolist())
        if labelled or level_with:
            found.append((box, bool(held), sides, labelled))
    return [one[:3] for one in found if one[3] or any(_are_aligned(one[0], other[0]) for other in found)]


def _are_aligned(one: Box, other: Box) -> bool:
    """Return whether two squares are of one size, and stand in one row or column, as those in the cells of a table."""
    same = SAME_SQUARE * (one[2] - one[0])
    off = [abs(a - b) for a, b in zip(one, other, strict=True)]
    return one != other and ((off[0] < same and off[2] < same) or (off[1] < same and off[3] < same))


def _is_inside(rule: Box, box: Box, slack: float) -> bool:
    return all(abs(a - b) < slack for a, b in zip(union([box, rule]), box, strict=True))


def _touches(rule: Box, box: Box, reach: float) -> bool:
    return (
        rule[0] < box[2] + reach and rule[2] > box[0] - reach and rule[1] < box[3] + reach and rule[3] > box[1] - reach
    )


def _is_level(line: TextLine, box: Box) -> bool:
    return line.box[1] < (box[1] + box[3]) / 2 < line.box[3]


def _blanks(lines: Sequence[TextLine], rules: Sequence[Box], em: float) -> list[tuple[int, Box]]:
    """Return the level rules at the foot of a text on their left, with nothing above them; each with that line.

    A part of a longer rule is none: pixels show the rules of a table in pieces.
    """
    found, boxes = [], [line.box for line in lines]
    sides, ems = np.array(boxes).reshape(-1, 4), np.array([line.em_px for line in lines])
    for rule in rules:
        x0, y0, x1, y1 = rule
        if x1 - x0 < BLANK_EM * em or y1 - y0 > 0.3 * em:
            continue
        foot, white = (y0 - sides[:, 3]) / ems, (x0 - sides[:, 2]) / ems
        label = (foot > FOOT_EM[0]) & (foot < FOOT_EM[1]) & (white > -0.2) & (white < NEAR_EM)
        near = [(x0 - boxes[k][2], k) for k in np.flatnonzero(label).tolist()]
        if not near:
            continue
        above = (x0, y0 - WRITE_EM * em, x1, y1)
        free = not any(_touches(box, above, -0.2 * em) for box in boxes)
        level = [other for other in rules if other != rule and abs(other[1] - y0) < 0.2 * em]
        joined = any(other[0] < x0 and other[2] > x0 - 2 for other in level)
        below = (x0, y1 + 1, x0 + WRITE_EM * em, y1 + WRITE_EM * em)  # a note or a table begins here
        headed = any(_touches(box, below, 0.0) and box[0] > x0 - 0.5 * em for box in boxes)
        if free and not joined and not headed:
            found.append((min(near)[1], rule))
    return found


def _are_near(one: Box, other: Box, em: float) -> bool:
    return abs(one[1] - other[1]) < APART_EM * em


def _with_blank(line: TextLine, rule: Box) -> TextLine:
    """Return a line with underscores at its end, as long as a rule."""
    (x0, _, x1, _), (_, top, right, bottom) = rule, line.box
    count = max(STROKES[0], min(STROKES[1], round((x1 - x0) / (STROKE_EM * line.em_px))))
    text = " " + "_" * count
    boxes = [*split_box((right, top, max(right, x0), bottom), 1), *split_box((max(right, x0), top, x1, bottom), count)]
    return line.put(len(line.text), len(line.text), text, boxes, sources=np.full(len(text), SOURCES.index("layer")))
