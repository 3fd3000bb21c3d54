"""Bullets that are drawn, not written: small shapes next to the first line of a list item. Browsers print them so.

The numbers before the lines of a listing stand here, too: other text may stand on their left. So does the white before
a column of a few lines.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...io.box import Box, middle_within, union
from ..elements import ITEM
from ..evidence import Evidence
from ..lines import TextLine

Gutter = tuple[float, float, float]  # x, top, bottom of a white strip between columns of running text
SMALL_EM, LARGE_EM = 0.15, 0.6  # sides of a bullet
NEAR_EM, FAR_EM = 0.15, 2.0  # white between a bullet and its line
LEVEL_EM = 0.35  # between the middles of both
APART_EM, SAME_EM = 0.4, 0.15  # white around a bullet; by which a shape drawn twice differs
GROUND_EM = 3.0  # least side of a filled area or frame on which a list stands; cells of tables are lower
ROUND = 1.5  # longer side, as a multiple of the shorter one
NUMBERED, SKIPPED = 5, 2  # fewest line numbers of a listing; most by which one grows to the next that is read
EDGE_EM, WHITE_EM = 0.3, 0.4  # by which the edges of the numbers differ; white on their left
LISTED = 0.4  # share of a listing's numbers with program text behind them; the other lines are empty
BEYOND, ALIGNED_EM, ALIGNED = 2, 0.2, 0.7  # fewest lines there; by which those of a table are level, and their share
LISTED_ITEMS, FEW_WORDS = 3, 2  # fewest items of a list beside a table; words of an item, from which it is no cell
NESTED_EM, LAST_EM = 4.0, 2.5  # indent of its nested items; height of the further lines of its last one
SAME_ROWS = 0.6  # share of its lines that are level with others, from which it is a column of a table
_LINE_NUMBER = re.compile(r"\d{1,4}(?=\s|$)")
_MARK = re.compile(r"(o)(?= |$)|(?:n|=|\.?/)(?= [A-ZÀ-Þ])")  # a bullet that was read as another sign
MARK = "• "
BULLETS = frozenset("•‣▪●○◦■□◆♦❖▶►➢➤–—-·\uf0b7\uf0a7\uf0d8\uf0fc✓✔")  # the last ones are of symbol fonts
LONE_EM = 2.5  # white between a lone bullet and its line
CIRCLE_EM = 0.4, 4.0, 6.0  # between items at one edge, across and down; from a nested item to the one above, across
ALL_SIGNS = 4  # least length of a row of nothing but one sign
SIGNS, SIGN_SHARE, SLIPS = 8, 0.5, 0.1  # least length of a row of one sign; its share; share of letters and digits
RULED_WITH, DASHES = "-=*~#+", dict.fromkeys("–—−", "-")
WIDE_EM, GAP_EM, INDENT_EM = 10.0, 0.5, 2.0  # of running text; white between its columns; of a paragraph
FULL_LINES = 5  # of the same width in a column
SAME_END_EM = 3.0  # between the ends of two gutters that are one
LABEL = 8  # characters of the label of a list item


def add_bullets(lines: Sequence[TextLine], evidence: Evidence) -> tuple[list[TextLine], Evidence]:
    """Return the lines with a written bullet for each drawn one, and the evidence without these drawings."""
    shapes = [*evidence.drawings, *(box for box, _ in evidence.areas)]
    found: dict[int, Box] = {}  # by the line
    for shape in shapes:
        if any(middle_within(shape, line.box) for line in lines):
            continue
        near = [(line.box[0], k) for k, line in enumerate(lines) if _is_bullet_of(shape, line)]
        if near and not _is_part(shape, shapes, lines[min(near)[1]].em_px):
            found.setdefault(min(near)[1], shape)
    used = set(found.values())
    marked = [_with_mark(line, found[k]) if k in found else line for k, line in enumerate(lines)]
    drawings = [box for box in evidence.drawings if box not in used]
    return marked, replace(evidence, drawings=drawings, areas=[one for one in evidence.areas if one[0] not in used])


def join_bullets(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines with each bullet that stands alone before its text, as slides and word processors set them."""
    found: dict[int, TextLine] = {}  # by the line
    for bullet in lines:
        if bullet.text not in BULLETS:
            continue
        near = [(line.box[0], k) for k, line in enumerate(lines) if _follows_bullet(line, bullet)]
        if near:
            found.setdefault(min(near)[1], bullet)
    used = {id(bullet) for bullet in found.values()}
    marked = [_with_mark(line, found[k].box, found[k]) if k in found else line for k, line in enumerate(lines)]
    return [line for line, old in zip(marked, lines, strict=True) if id(old) not in used]


def mark_circles(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines with ○ for each lone o that begins an item: word processors set it, and pixels show it.

    It stands under an item, or above or below another one, with no other line at its left edge near it. From pixels, a
    filled square or a tick may be read as another sign (`n Empty the fridge`); it stands near two more
    items of a list.
    """
    marks = [_MARK.match(line.text) for line in lines]
    found = [k for k, mark in enumerate(marks) if mark and (mark[1] or lines[k].writer != "layer")]
    if not found:
        return list(lines)
    starts = np.array([(*line.box[:2], line.em_px) for line in lines])
    items = np.array([ITEM.match(line.text) is not None for line in lines])
    circles = np.isin(np.arange(len(lines)), [k for k in found if lines[k].text[:1] == "o"])
    lone = np.isin(np.arange(len(lines)), found)
    marked = list(lines)
    for k in found:
        line, (x0, y0, em) = lines[k], starts[k].tolist()
        aside, down = (starts[:, 0] - x0) / em, (y0 - starts[:, 1]) / em
        level = (np.abs(aside) < CIRCLE_EM[0]) & (np.abs(down) < CIRCLE_EM[1])
        under = items & (aside < -CIRCLE_EM[0]) & (aside > -CIRCLE_EM[2]) & (down > 0) & (down < CIRCLE_EM[1])
        if not circles[k]:
            end = len(marks[k][0])  # type: ignore[index]
            listed = (level & (lone | items)).sum() + under.any()
            if listed >= LISTED_ITEMS and not (level & ~(lone | items)).any():
                marked[k] = line.put(0, end, "■", [union(line.boxes[:end])])
            continue
        peers = level & circles & (np.arange(len(lines)) != k)
        text = line.text != "o" or any(_follows_bullet(one, line) and len(one.text) > 2 for one in lines)
        if text and (under.any() or peers.any()) and not (level & ~circles).any():
            marked[k] = line.put(0, 1, "○", line.boxes[:1])
    return marked


def _follows_bullet(line: TextLine, bullet: TextLine) -> bool:
    """Return whether a line without a mark stands to the right of a lone bullet, level with it."""
    (_, top, right, bottom), (x0, y0, _, y1) = bullet.box, line.box
    level = abs((y0 + y1) / 2 - (top + bottom) / 2) < LEVEL_EM * line.em_px
    plain = line.text not in BULLETS and ITEM.match(line.text) is None
    return level and plain and -NEAR_EM * line.em_px < x0 - right < LONE_EM * line.em_px


def join_signs(line: TextLine) -> TextLine:
    """Return a row of one sign, such as a rule that is typed on a receipt, without blanks and slips of the reader."""
    inked = [k for k, ch in enumerate(line.text) if ch != " "]
    signs = Counter(DASHES.get(line.text[k], line.text[k]) for k in inked)
    usual, count = signs.most_common(1)[0] if signs else ("", 0)
    if (
        len(inked) < (SIGNS if count < len(inked) else ALL_SIGNS)
        or usual not in RULED_WITH
        or count < SIGN_SHARE * len(inked)
    ):
        return line
    if sum(count for ch, count in signs.items() if ch.isalnum()) > SLIPS * len(inked):
        return line
    kept = {name: array[inked] for name in line.PER_CHARACTER if (array := getattr(line, name)) is not None}
    return replace(line, text=usual * len(inked), alternatives=(), **kept)


def mark_labels(lines: Sequence[TextLine], tags: Sequence[tuple[str, str, Box]]) -> list[TextLine]:
    """Return the lines with a bullet where a tagged PDF has the label of a list item that does not look like one.

    Labels with letters or digits, such as `iv.`, stay behind the bullet. Others, and the lone o of word processors, are
    replaced by it.

    Args:
        lines: of the page.
        tags: as `Evidence.tags`.
    """
    labels = [box for kind, _, box in tags if kind == "Lbl"]
    return [_with_label(line, labels) for line in lines] if labels else list(lines)


def _with_label(line: TextLine, labels: Sequence[Box]) -> TextLine:
    """Return a line that begins with a bullet if its first characters lie in a label."""
    (x0, y0, x1, y1), label = line.boxes[0].tolist(), None
    for box in labels:
        if middle_within((x0, y0, x1, y1), box):
            label = box
    if label is None or ITEM.match(line.text):
        return line
    count = sum(middle_within(tuple(box), label) for box in line.boxes.tolist())
    text = line.text[:count].strip()
    if len(text) > LABEL:
        return line
    replaced = count if text == "o" or not any(ch.isalnum() for ch in text) else 0
    edge = line.boxes[count - 1, 2] if replaced else x0
    return line.put(0, replaced, MARK, [(x0, y0, edge, y1), (edge, y0, edge, y1)])


def _is_part(shape: Box, shapes: Sequence[Box], em: float) -> bool:
    """Return whether another shape lies close, as in a drawing. The same one drawn twice and a ground do not count."""
    reach = APART_EM * em
    return any(
        not (middle_within(shape, other) and min(other[2] - other[0], other[3] - other[1]) > GROUND_EM * em)
        and shape[0] - reach < other[2]
        and other[0] < shape[2] + reach
        and shape[1] - reach < other[3]
        and other[1] < shape[3] + reach
        and max(abs(a - b) for a, b in zip(shape, other, strict=True)) > SAME_EM * em
        for other in shapes
    )


def _is_bullet_of(shape: Box, line: TextLine) -> bool:
    """Return whether a shape is small and about as high as wide, and stands before a line without a mark."""
    wide, high = shape[2] - shape[0], shape[3] - shape[1]
    x0, y0, _, y1 = line.box
    em = line.em_px
    return (
        SMALL_EM * em < min(wide, high)
        and max(wide, high) < min(LARGE_EM * em, ROUND * min(wide, high))
        and NEAR_EM * em < x0 - shape[2] < FAR_EM * em
        and abs((y0 + y1) / 2 - (shape[1] + shape[3]) / 2) < LEVEL_EM * em
        and ITEM.match(line.text) is None
    )


def _with_mark(line: TextLine, shape: Box, bullet: TextLine | None = None) -> TextLine:
    """Return a line that begins with a bullet in the place of a shape. bullet: the written one; dashes stay dashes."""
    _, top, _, bottom = line.box
    mark = f"{bullet.text} " if bullet and (bullet.text in DASHES or bullet.text == "-") else MARK
    boxes = [(shape[0], top, shape[2], bottom), (shape[2], top, line.box[0], bottom)]
    if bullet is None or bullet.sources is None:
        return line.put(0, 0, mark, boxes)
    return line.put(0, 0, mark, boxes, sources=np.repeat(bullet.sources, 2))


def item_weights(lines: Sequence[TextLine], more: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (N + more,) twice, for how many lines a line of a column counts: items two; items with bullets alone two.

    (a) and (b) side by side are read across.
    """
    marks = [ITEM.match(line.text) for line in lines]
    items = [1 + (mark is not None) for mark in marks]
    bullets = [1 + (mark is not None and not any(ch.isalnum() for ch in mark[0])) for mark in marks]
    return np.array(items + [1] * more), np.array(bullets + [1] * more)


def listing_gutters(lines: Sequence[TextLine], em: float) -> list[tuple[float, float, float]]:
    """Return x, top and bottom of the white on the left of a listing's numbers, where other text stands beyond it.

    So an editor shows its list of files, whose lines are not level with those of the listing.
    """
    runs: list[list[tuple[int, Box]]] = []
    for line in sorted(lines, key=lambda line: line.box[1]):
        found = _LINE_NUMBER.match(line.text)
        if found is None:
            continue
        number, (x0, y0, _, y1) = int(found[0]), line.box
        box = (x0, y0, float(line.boxes[found.end() - 1, 2]), y1)
        for run in runs:
            before, last = run[-1]
            near = min(abs(box[0] - last[0]), abs(box[2] - last[2])) < EDGE_EM * em
            if near and before < number <= before + SKIPPED and y0 > last[1] + 0.5 * em:
                run.append((number, box))
                break
        else:
            runs.append([(number, box)])
    gutters = []
    for boxes in ([box for _, box in run] for run in runs if len(run) >= NUMBERED):
        x, top, _, bottom = union(boxes)
        x -= WHITE_EM * em
        level = [line for line in lines if top <= (line.box[1] + line.box[3]) / 2 <= bottom]
        beyond = [line.box for line in level if line.box[2] < x]
        crossing = [line for line in level if line.box[0] < x - em < x + em < line.box[2]]
        same = [min(abs(box[3] - other[3]) for other in boxes) < ALIGNED_EM * em for box in beyond]
        ends = np.array([(line.box[2], (line.box[1] + line.box[3]) / 2) for line in level])
        listed = [((ends[:, 0] > box[2] + em) & (ends[:, 1] > box[1]) & (ends[:, 1] < box[3])).any() for box in boxes]
        if np.mean(listed) < LISTED:  # the numbers of a table of contents, behind which nothing stands
            continue
        if len(beyond) >= BEYOND and not crossing and np.mean(same) < ALIGNED:
            gutters.append((x, top, bottom))
    return gutters


def list_gutters(lines: Sequence[TextLine], em: float) -> list[tuple[float, float, float]]:
    """Return x, top and bottom of the white on the right of a list, where a table or other text stands beyond it.

    So slides have them: the lines of the one are not level with those of the other.
    """
    items = [line for line in lines if (mark := ITEM.match(line.text)) and not any(map(str.isalnum, mark[0]))]
    if len(items) < LISTED_ITEMS or float(np.median([len(item.text.split()) for item in items])) <= FEW_WORDS:
        return []
    left, top = min(item.box[0] for item in items), min(item.box[1] for item in items)
    last = max(item.box[3] for item in items) + LAST_EM * em
    level = [line for line in lines if top <= (line.box[1] + line.box[3]) / 2 <= last]
    listed = [line for line in level if left - EDGE_EM * em < line.box[0] < left + NESTED_EM * em]
    right = max(line.box[2] for line in listed)
    beyond = [line for line in level if line.box[0] > right + em]
    if len(beyond) < BEYOND or len(listed) + len(beyond) < len(level):
        return []
    middles = [np.array([line.box[1] + line.box[3] for line in side]) / 2 for side in (listed, beyond)]
    apart = np.abs(middles[0][:, None] - middles[1]).min(1)
    _, first, _, end = union(line.box for line in level)
    if (apart < ALIGNED_EM * em).mean() > SAME_ROWS:
        return []
    return [((right + min(line.box[0] for line in beyond)) / 2, first, end)]


def short_column_gutters(lines: Sequence[TextLine], em: float) -> list[tuple[float, float, float]]:
    """Return x, top and bottom of the white before a right column of a few lines, as on the last page of an article.

    One of its lines is as wide as those of the left column, and nothing else stands beyond the white.
    """
    boxes = np.array([line.box for line in lines]).reshape(-1, 4)
    wide = boxes[boxes[:, 2] - boxes[:, 0] > WIDE_EM * em]
    for left, _, edge, _ in wide.tolist():
        full = (np.abs(wide[:, 2] - edge) < EDGE_EM * em) & (np.abs(wide[:, 0] - left) < INDENT_EM * em)
        if full.sum() < FULL_LINES:
            continue
        right = [box for line in lines if (box := _beyond(line, edge, em)) is not None]
        starts = [x0 for x0, _, x1, _ in right if abs(x1 - x0 - edge + left) < EDGE_EM * em]
        column = [box for box in right if starts and abs(box[0] - starts[0]) < EDGE_EM * em]
        if not 1 < len(column) < FULL_LINES:
            continue
        x, top, last = (edge + starts[0]) / 2, min(box[1] for box in column), max(box[3] for box in column)
        crossing = (boxes[:, 0] < edge - em) & (boxes[:, 2] > starts[0] + em) & (boxes[:, 1] > last)
        end = float(boxes[crossing, 1].min(initial=np.inf))
        others = [box for box in right if box not in column and top < box[3] and box[1] < end]
        if not others:
            beside = boxes[(boxes[:, 2] < x) & (boxes[:, 3] < end), 3]
            return [(x, top, float(beside.max(initial=last)))]
    return []


def _beyond(line: TextLine, edge: float, em: float) -> Box | None:
    """Return the box of a line, or of the part of it, that begins in the white behind an edge."""
    x0, y0, x1, y1 = line.box
    if x0 > edge + EDGE_EM * em:
        return line.box
    if x1 < edge + em or x0 > edge - em:
        return None
    inked = [k for k, ch in enumerate(line.text) if ch != " "]
    at = next((k for k in inked if line.boxes[k, 0] > edge), inked[-1])
    before = float(line.boxes[inked[inked.index(at) - 1], 2]) if at != inked[0] else x0
    begins = float(line.boxes[at, 0])
    return (begins, y0, x1, y1) if begins - before > GAP_EM * em and abs(before - edge) < EDGE_EM * em else None


def is_repeated(gutter: Gutter, others: Sequence[Gutter], boxes: np.ndarray, em: float) -> bool:
    """Return whether a gutter parts the same columns as another one about as high: nothing stands between the two."""
    x, top, bottom = gutter
    near = SAME_END_EM * em
    for place, high, low in others:
        level = (boxes[:, 3] > max(top, high)) & (boxes[:, 1] < min(bottom, low))
        between = level & (boxes[:, 0] > min(x, place)) & (boxes[:, 2] < max(x, place))
        if top > high - near and bottom < low + near and not between.any():
            return True
    return False
