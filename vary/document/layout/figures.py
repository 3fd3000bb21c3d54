"""Figures: pictures and drawings with the labels that belong to them.

Pieces that touch are one figure, unless it would hold running text that is in none of them. Axis labels stand outside
of the ink: numbers next to an axis, a name centred on it, letters before a part.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ...io.box import Box, area, middle_within, union
from ..elements import LEADER
from ..evidence import Evidence
from ..lines import PageRegion, TextLine
from .cells import PrintedRow, rows_by_height

BACKDROP = 0.6  # share of the page from which a picture is its ground, and no figure
SMALLEST = 0.004  # share of the page; smaller pictures are marks and rules
MIN_STROKES = 4  # pieces of a drawing without a picture
BARS, BAR = 3, 2.0  # fewest bars of a chart, of so many lengths; by which widths and bases of bars differ, px
NEAR_EM = 1.0  # pieces so near are one drawing
MAX_TEXT = 0.25  # share of a figure that its labels cover; more is a box of text
MAX_LABELS = 600  # characters
PROSE_EM = 14.0  # a line at least this wide is running text
TICK_EM = 2.2  # farthest number on an axis
NAME_EM = 1.6  # farthest name of an axis
SIDE_EM = 5.0  # widest mark on the left or right of a figure
AXIS = 3.0  # longest axis, as a multiple of the side of what is drawn in it
NOTES, NOTE_LETTERS = 3, 40  # fewest lines and letters of text in a frame beside its picture
CERTAIN = 0.75  # mean confidence of a line of text; ink that is read with less may be a drawing
PANELS, PANEL_EM = 3, 12.0  # fewest names of panels in a row; width of the longest
LARGE = 1.6  # largest type of a label, as a multiple of the text
MAX_NAME = 40  # characters
CENTRED = 0.12  # of a figure's side, between its middle and that of an axis' name
CAPTION = re.compile(  # in English, German, Dutch; Romance languages; Polish, Czech, Russian
    r"(?:fig(?:ure|uur|\.)|tab(?:le|elle|el|\.)|chart|scheme|plate|listing|abb(?:ildung|\.)|afb(?:eelding|\.)|figura|"
    r"tab(?:leau|la|ela|ella)|cuadro|quadro|rys(?:unek|\.)|obr(?:ázek|\.)|рис(?:унок|\.)|таблица)\s*(?:\d+|[IVX]+\b)",
    re.I,
)
_Piece = tuple[Box, int, bool]  # box, number of strokes, whether a picture is in it
_WORD = re.compile(r"[^\W_]{2,}")
_TICK = re.compile(r"[+−–-]?\d[\d.,]*(?:e[+-]?\d+)?\s?(?:%|[a-zµ]{1,3})?|1[0O]\d?|\(?[a-zµ]{1,2}\)?", re.I)


def find_figures(lines: Sequence[TextLine], evidence: Evidence, size: tuple[int, int], em: float) -> list[PageRegion]:
    """Return the figures of a page with their labels, from top to bottom.

    Args:
        lines: of the page.
        evidence: pictures and drawings.
        size: width and height of the page.
        em: size of the page's text, px.
    """
    found: list[PageRegion] = []
    taken: set[int] = set()
    for box in _boxes(lines, evidence, size, em):
        labels = [line for line in lines if middle_within(line.box, box) and id(line) not in taken]
        certain = [line for line in labels if is_certain_text(line)]  # curves are read as other characters
        covered = sum(area(line.box) for line in certain)
        if covered > MAX_TEXT * area(box) or sum(len(line.text) for line in certain) > MAX_LABELS:
            continue
        others = [line for line in lines if id(line) not in taken and all(line is not label for label in labels)]
        box, more = _add_labels(box, others, em)
        labels += more
        taken |= {id(line) for line in labels}
        found.append(PageRegion("figure", box, labels))
    return found


def is_certain_text(line: TextLine) -> bool:
    """Return whether a line was read with confidence, and is made of letters and digits; strokes are not.

    They are half of it, or, in program text with many quotes, words that are a third of it. The dots of leaders do not
    count.
    """
    text = LEADER.sub("", line.text)
    inked, letters = len(text) - text.count(" "), sum(map(str.isalnum, text))
    words = sum(map(len, _WORD.findall(text)))
    return float(line.confidence.mean()) >= CERTAIN and (2 * letters >= inked or 3 * words >= inked)


def _add_labels(box: Box, lines: list[TextLine], em: float) -> tuple[Box, list[TextLine]]:
    """Return a figure's box with the labels around it, and these."""
    added: list[TextLine] = []
    core, rows = box, rows_by_height(lines)
    for _ in range(3):  # numbers, the name of the axis, a unit
        panels = {id(one.line) for row in rows if _names_panels(row, box, core, em) for one in row.stretches}
        new = [
            line
            for line in lines
            if all(line is not one for one in added)
            and (id(line) in panels or _is_label(line, box, core, em))
            and not _continues_text(line, lines, em)
        ]
        if not new:
            break
        added += new
        box = union([box, *(line.box for line in new)])
    return box, added


def _is_label(line: TextLine, box: Box, core: Box, em: float) -> bool:
    """Return whether a line next to a figure is a number on an axis, the name of an axis, or the letter of a part."""
    x0, y0, x1, y1 = line.box
    text = line.text.strip()
    if x1 - x0 > PROSE_EM * em or len(text) > MAX_NAME or CAPTION.match(text) or line.em_px > LARGE * em:
        return _is_scale(line, box, core, em)
    across, down = max(box[0] - x1, x0 - box[2]), max(box[1] - y1, y0 - box[3])
    within = core[0] - TICK_EM * em < (x0 + x1) / 2 < core[2] + TICK_EM * em
    if all(_TICK.fullmatch(part) for part in text.split()) or (down < 0 and x1 - x0 < SIDE_EM * em):
        return across < TICK_EM * em and down < TICK_EM * em and (within or down < 0)
    if _is_scale(line, box, core, em):
        return True
    if text[-1:] in ".,;:":
        return False
    middle = abs((x0 + x1) / 2 - (core[0] + core[2]) / 2) < CENTRED * (core[2] - core[0])
    return down > -0.5 * em and down < NAME_EM * em and middle and x1 - x0 < 0.7 * (core[2] - core[0])


def _names_panels(row: PrintedRow, box: Box, core: Box, em: float) -> bool:
    """Return whether a row close above or below a figure holds short names, one for each of its panels."""
    x0, y0, x1, y1 = row.box
    names = row.stretches
    short = all(one.x1 - one.x0 < PANEL_EM * em and any(map(str.isalpha, one.text)) for one in names)
    inside = core[0] - TICK_EM * em < x0 and x1 < core[2] + TICK_EM * em
    near = -0.5 * em < max(box[1] - y1, y0 - box[3]) < NAME_EM * em
    return len(names) >= PANELS and short and inside and near and row.em < LARGE * em


def _is_scale(line: TextLine, box: Box, core: Box, em: float) -> bool:
    """Return whether a line below a figure is the numbers of its axis, perhaps misread."""
    x0, y0, x1, _ = line.box
    parts = line.text.split()
    digits = sum(any(ch.isdigit() for ch in part) for part in parts)
    below = -0.5 * em < y0 - box[3] < TICK_EM * em and x0 > core[0] - TICK_EM * em and x1 < core[2] + TICK_EM * em
    return below and len(parts) > 2 and digits >= 0.6 * len(parts) and len(line.text) < 6 * len(parts)


def _continues_text(line: TextLine, lines: Sequence[TextLine], em: float) -> bool:
    """Return whether a line stands in a paragraph: under or over a wide line, at its left edge."""
    x0, y0, _, y1 = line.box
    return any(
        other.box[2] - other.box[0] > PROSE_EM * em
        and abs(other.box[0] - x0) < 0.5 * em
        and max(other.box[1] - y1, y0 - other.box[3]) < em
        for other in lines
        if other is not line
    )


def _boxes(lines: Sequence[TextLine], evidence: Evidence, size: tuple[int, int], em: float) -> list[Box]:
    """Return the boxes of pictures and drawings; pieces that touch or nearly touch are one."""
    page = max(1.0, float(size[0]) * size[1])
    prose = [line.box for line in lines if line.box[2] - line.box[0] > PROSE_EM * em]
    pictures = [box for box in evidence.pictures if area(box) < BACKDROP * page]
    certain = [line for line in lines if is_certain_text(line)]
    drawn = [box for box in evidence.drawings if area(box) < BACKDROP * page]
    drawn += find_bars([box for box, _ in evidence.areas], certain)
    pieces = [(box, 1, True) for box in pictures] + [(box, 1, False) for box in drawn]
    if drawn:  # axes and ticks are ruling lines; alone they may be a table
        drawn_4N = np.array(drawn).T.copy()
        pieces += [(box, 1, False) for box in evidence.rules if _are_near(box, drawn_4N, em).any()]
    rules_4R = np.array(evidence.rules).reshape(-1, 4).T.copy()
    pieces = [(_with_axes(box, rules_4R, certain, em), count, picture) for box, count, picture in pieces]
    kept = [
        box
        for box, count, picture in _join(pieces, prose, em)
        if (picture or count >= MIN_STROKES)
        and SMALLEST * page < area(box) < BACKDROP * page
        and min(box[2] - box[0], box[3] - box[1]) > 1.5 * em
    ]
    return sorted(kept, key=lambda box: (box[1], box[0]))


def find_bars(areas: Sequence[Box], lines: Sequence[TextLine]) -> list[Box]:
    """Return the filled areas that are bars of a chart: of one width, on one base, of several lengths, without text.

    Args:
        areas: boxes of filled areas.
        lines: text of the page.
    """
    middles = np.array([line.box for line in lines]).reshape(-1, 2, 2).mean(1)
    empty = [box for box in areas if not ((middles >= box[:2]) & (middles <= box[2:])).all(1).any()]
    boxes, found, known = np.array(empty).reshape(-1, 4), list[Box](), set[Box]()
    for base, along, across in ((3, 1, 0), (0, 2, 1)):  # upright, level: side on the base, other end, width
        wide = boxes[:, across + 2] - boxes[:, across]
        for k, one in enumerate(empty):
            if one in known:
                continue
            alike = (np.abs(boxes[:, base] - one[base]) <= BAR) & (np.abs(wide - wide[k]) <= BAR)
            lengths = np.diff(np.sort(boxes[alike, along])) > BAR
            if alike.sum() >= BARS and lengths.sum() >= BARS - 1:
                bars = [empty[j] for j in np.flatnonzero(alike)]
                found += bars
                known.update(bars)
    return found


def _join(pieces: Sequence[_Piece], prose: list[Box], em: float) -> list[_Piece]:
    """Join pieces that touch or nearly touch, one after the other, each with the first one that it fits."""
    groups: list[_Piece | None] = []
    boxes_4N = np.full((4, len(pieces)), np.nan)  # of the groups; one that was joined to a later one is near nothing
    for k, piece in enumerate(pieces):
        group: _Piece = piece
        while True:
            near = np.flatnonzero(_are_near(group[0], boxes_4N[:, :k], NEAR_EM * em)).tolist()
            place = next((n for n in near if _fit(tuple(boxes_4N[:, n].tolist()), group[0], prose)), None)
            other = None if place is None else groups[place]
            if place is None or other is None:
                break
            groups[place], boxes_4N[:, place] = None, np.nan
            group = union([other[0], group[0]]), other[1] + group[1], other[2] or group[2]
        groups.append(group)
        boxes_4N[:, k] = group[0]
    return [group for group in groups if group is not None]


def _with_axes(box: Box, rules_4R: np.ndarray, lines: Sequence[TextLine], em: float) -> Box:
    """Return a picture's box with the rules that touch it and are not much longer than its sides: axes, a frame.

    A frame that holds rows of text above or below the picture, as a box of facts does, is no part of it.
    """
    core = box
    wide_R, high_R = rules_4R[2:] - rules_4R[:2]
    for _ in range(2):
        wide, high = box[2] - box[0], box[3] - box[1]
        near = _are_near(box, rules_4R, 0.3 * em) & (wide_R < AXIS * wide) & (high_R < AXIS * high)
        if not near.any():
            break
        box = union(np.concatenate([[box], rules_4R[:, near].T]))
    beside = [
        line for line in lines if middle_within(line.box, box) and (line.box[1] > core[3] or line.box[3] < core[1])
    ]
    letters = sum(ch.isalpha() for line in beside for ch in line.text)
    return core if len(beside) >= NOTES and letters >= NOTE_LETTERS else box


def _fit(a: Box, b: Box, prose: list[Box]) -> bool:
    """Return whether two pieces may be one: no running text lies in the box around them that is in neither."""
    both = union([a, b])
    return not any(
        middle_within(box, both) and not middle_within(box, a) and not middle_within(box, b) for box in prose
    )


def _are_near(box: Box, boxes_4N: np.ndarray, reach: float) -> np.ndarray:
    """Return (N,) bool, which boxes are within reach of a box."""
    (x0, y0, x1, y1), (left, top, right, bottom) = box, boxes_4N
    near: np.ndarray = (x0 - reach < right) & (left - reach < x1) & (y0 - reach < bottom) & (top - reach < y1)
    return near
