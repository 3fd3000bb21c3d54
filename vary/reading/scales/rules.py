"""Erase ruling lines before a page is read: they look like strokes of letters.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from ...document.layout.ruling_lines import (
    CONTRAST,
    EDGE_PX,
    LEVEL_EM,
    TALL_EM,
    find_rules,
    find_underlines,
    is_met,
)
from ...io.box import Box

LONG_EM = 8.0  # length from which a level rule is no stroke of a letter
LOW_EM, SIDE, TYPE = (0.8, 1.6), 0.9, 0.1  # height of a frame around one line; dark share of its sides; type in it
MOST_RULES = 300  # that are compared


def erase_rules(page: np.ndarray, em: float) -> np.ndarray:
    """Return a copy of a grey page without its ruling lines, which look like strokes of letters.

    Long rules go, such as those between columns, rows of rules with little white between them, those that cross one
    another (the sides of cells), and underlines.

    Args:
        page: (H, W) uint8.
        em: size of the page's text, px.
    """
    pixels = page.copy()
    underlines = find_underlines(pixels, em)
    for x0, y0, x1, y1 in underlines:  # before wider strips around long rules, which would cut type
        _paint(pixels[:, int(x0) : int(x1)], int(y0), int(y1), 0)
    level, upright = find_rules(pixels, em)
    tall = TALL_EM * em
    upright = [rule for rule in upright if rule[3] - rule[1] > tall or sum(is_met(rule, other) for other in level) > 1]
    upright += _low_sides(page, [*level, *underlines], em)
    level = [
        rule
        for row in _rows(level, LEVEL_EM * em)
        for rule in row
        if sum(x1 - x0 for x0, _, x1, _ in row) > LONG_EM * em or sum(is_met(other, rule) for other in upright) > 1
    ]
    for x0, y0, x1, y1 in level:
        _paint(pixels[:, max(0, int(x0) - 1) : int(x1) + 2], int(y0), int(y1), EDGE_PX)
    for x0, y0, x1, y1 in upright:
        _paint(pixels.T[:, max(0, int(y0) - 1) : int(y1) + 2], int(x0), int(x1), EDGE_PX)
    return pixels


def _low_sides(page: np.ndarray, level: Sequence[Box], em: float) -> list[Box]:
    """Return the sides of frames around one line of type, which are too low for upright rules of their own.

    They join the ends of two level rules of one length.
    """
    found: list[Box] = []
    order = sorted(level, key=lambda one: one[1])[:MOST_RULES]
    for (x0, _, x1, top), (left, bottom, right, _) in combinations(order, 2):
        if max(abs(left - x0), abs(right - x1)) > EDGE_PX or not LOW_EM[0] * em < bottom - top < LOW_EM[1] * em:
            continue
        inside = page[int(top) + EDGE_PX : int(bottom) - EDGE_PX, int(x0) + EDGE_PX + 1 : int(x1) - EDGE_PX - 1]
        if not inside.size or float((inside.max() - inside.min(0) > CONTRAST).mean()) < TYPE:
            continue  # an empty field of a form
        for x in (x0, x1 - 1):
            strip = page[int(top) : int(bottom), max(0, int(x) - EDGE_PX) : int(x) + EDGE_PX + 1]
            dark = np.flatnonzero((strip.max() - strip > CONTRAST).mean(0) > SIDE)
            if len(dark):
                first = max(0, int(x) - EDGE_PX)
                found.append((first + float(dark[0]), top, first + float(dark[-1]) + 1, bottom))
    return found


def erase_underlines(page: np.ndarray, rules: Iterable[Box]) -> np.ndarray:
    """Return a copy of a grey page without some level rules, strokes of letters that cross them kept.

    Args:
        page: (H, W) uint8.
        rules: Their boxes, px, as a PDF gives them: the box of a stroke is its middle, of no height.
    """
    pixels = page.copy()
    for x0, y0, x1, y1 in rules:
        top, bottom = int(y0 - 0.5), int(np.ceil(y1 + 0.5))
        part = pixels[:, max(0, int(x0)) : int(x1) + 1]
        if top > 0 and bottom < len(pixels) - 1 and part.size:
            _paint(part, top, bottom, 0)
    return pixels


def _rows(level: list[Box], near: float) -> list[list[Box]]:
    """Return level rules in rows: at one height, with less than `near` px between them."""
    rows: list[list[Box]] = []
    for rule in sorted(level, key=lambda rule: rule[0]):
        beside = (row for row in rows if abs(row[-1][1] - rule[1]) <= 2 and -near < rule[0] - row[-1][2] < near)
        row = next(beside, None)
        if row is None:
            rows.append([rule])
        else:
            row.append(rule)
    return rows


def _paint(pixels: np.ndarray, top: int, bottom: int, edge: int) -> None:
    """Paint rows over with what is lighter above and below them, on dark grounds with what is darker.

    edge: px that a rule is blurred over its box.
    """
    above, below = pixels[max(0, top - edge - 1)], pixels[min(len(pixels) - 1, bottom + edge + 1)]
    rule = float(np.median(pixels[(top + bottom) // 2]))
    lighter = float(np.median(above)) + float(np.median(below)) > 2 * rule
    pixels[max(0, top - edge) : bottom + edge] = (np.maximum if lighter else np.minimum)(above, below)
