"""Find which formulas in the lines of a text layer are one: the rows of a fraction, a sum and its limits.

Lines one above the other, as in a fraction, are one formula, and so are a part of a line and the limits beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ...io.box import Box, touch, union, widen_box
from ...io.pdf_layer import GLYPH, TextLayer
from ...io.pdf_objects import PageContent
from ..layer.lines import LayerLine
from .from_layer import middles_inside
from .spans import ENDS, NUMBER, OPERATORS, FormulaSpan, is_math_font, measure_span, spans_of, word_kind

ALONE_EM = 12.0  # of other lines than an equation in italics, which may be cells of its row
SMALL_TYPE = 0.85  # of the page's type: limits, sub- and superscripts
CUT_EM = 0.7, 0.6  # across and down, to other mathematics that belongs to a formula
LONGER_EM = 1.0, 3.0  # by which the rule of a fraction is longer than what is above and below it, or at its middle
OFF_EM = 0.25  # from the middle of a rule to that of what is above and below it
BESIDE_EM = 6.0  # to words in the row of a formula
ROW_EM = 0.6  # from the middle of a formula in a line to that of what belongs to it
CLOSE_EM = 2.0  # of lines that go on with a formula
NEAR_EM = 0.9, 0.3  # between lines of one formula, above each other and next to each other
REACH_EM = 2.5  # across and down, within which parts of a formula are sought


def find_formulas(lines: Sequence[LayerLine], content: PageContent, usual: float) -> list[list[FormulaSpan]]:
    """Return the spans of each formula, its main line first.

    Args:
        lines: Of an upright page, in the frame of the content.
        content: The page.
        usual: Size of most characters of the page, px.
    """
    spans = [span for k, line in enumerate(lines) for span in spans_of(k, line, content.text)]
    for span in spans:
        measure_span(span, lines[span.line], content.text)
    spans = _without_lone_signs(spans, REACH_EM * usual)
    formulas = {span.line for span in spans if span.whole}
    words = [line for k, line in enumerate(lines) if k not in formulas and any(map(str.isalpha, line.text))]
    boxes, near = np.array([line.box for line in words]).reshape(-1, 4), np.array([line.em_px for line in words])
    for span in spans:
        span.in_row = _is_beside(span.box, boxes, BESIDE_EM * near)
    return [group for group in _groups(spans, lines, content.objects.rules, usual) if _is_formula(group, lines)]


def _without_lone_signs(spans: Sequence[FormulaSpan], reach: float) -> list[FormulaSpan]:
    """Leave out signs and digits on lines of their own that no mathematics is near, such as the cells of a table."""
    core = np.array([span.box for span in spans if not span.sign]).reshape(-1, 4)
    kept = []
    for span in spans:
        x0, y0, x1, y1 = widen_box(span.box, reach, reach)
        near = (core[:, 0] < x1) & (core[:, 2] > x0) & (core[:, 1] < y1) & (core[:, 3] > y0)
        if not span.sign or near.any():
            kept.append(span)
    return kept


def is_piece(group: Sequence[FormulaSpan], box: Box, lines: Sequence[LayerLine], text: TextLayer, usual: float) -> bool:
    """Return whether a formula is a piece of a larger one.

    Args:
        group: Its spans.
        box: Around its glyphs.
        lines: Of the page.
        text: Of the page.
        usual: Size of most characters of the page, px.
    """
    return _is_part(group, lines, text) or _is_cut(group, box, lines, text, usual)


def formula_region(group: Sequence[FormulaSpan], lines: Sequence[LayerLine]) -> Box:
    """Return the box in which the glyphs of a formula are: up to its neighbours on the line when it is not alone."""
    own = union([one.box for one in group])
    x0, y0, x1, y1 = _widen(own, lines[group[0].line].em_px)
    for span in group:
        line = lines[span.line]
        before = [float(line.boxes[k, 2]) for k in range(span.start) if not line.text[k].isspace()]
        after = [float(line.boxes[k, 0]) for k in range(span.end, len(line.text)) if not line.text[k].isspace()]
        x0 = max([x0, *(min(edge, own[0]) for edge in before)])
        x1 = min([x1, *(max(edge, own[2]) for edge in after)])
    return x0, y0, x1, y1


def _widen(box: Box, em: float) -> Box:
    y, x = NEAR_EM
    return widen_box(box, x * em, y * em / 3)


def _is_part(group: Sequence[FormulaSpan], lines: Sequence[LayerLine], text: TextLayer) -> bool:
    """Return whether a formula of whole lines goes on in another line, so that it would be cut. Words do not go on."""
    if not group[0].whole:
        return False
    box, em, own = union([span.box for span in group]), lines[group[0].line].em_px, {span.line for span in group}
    near = em * (CLOSE_EM if not all(span.italic for span in group) else ALONE_EM)
    wide = widen_box(box, near, 0)
    others = (line for k, line in enumerate(lines) if k not in own and not NUMBER.fullmatch(line.text.strip()))
    level = [line for line in others if wide[1] < (line.box[1] + line.box[3]) / 2 < wide[3] and touch(wide, line.box)]
    return any(not _ends_in_words(line, line.box[0] < box[0], text) for line in level)


def _ends_in_words(line: LayerLine, at_end: bool, text: TextLayer) -> bool:
    """Return whether the last word of a line, or its first one, is no mathematics."""
    found = list(re.finditer(r"\S+", line.text))[-1 if at_end else 0]
    known = line.indices is not None and bool((line.indices[found.start() : found.end()] >= 0).all())
    return known and len(found[0]) > 1 and word_kind(line, *found.span(), text) == "text"


def _is_cut(group: Sequence[FormulaSpan], box: Box, lines: Sequence[LayerLine], text: TextLayer, usual: float) -> bool:
    """Return whether a formula is a piece of a larger one: other mathematics touches it, or it is small as limits.

    usual: size of most characters of the page, px.
    """
    span, line = group[0], lines[group[0].line]
    inline = [(lines[one.line].text, one.start, one.end) for one in group if not one.whole]
    if any({row[:start].rstrip()[-1:], row[end:].lstrip()[:1]} & OPERATORS for row, start, end in inline):
        return True
    own = [lines[one.line].indices[one.start : one.end] for one in group]  # type: ignore[index]
    largest = float(text.ems[np.concatenate(own)].max())
    if span.whole and len(group) == 1 and (largest < SMALL_TYPE * usual or len(line.text.strip()) == 1):
        return True
    down = CUT_EM[1] * line.em_px * (span.whole and not all(one.in_row for one in group))  # rows of a table are near
    across = CUT_EM[0] * line.em_px
    boxes = text.boxes
    near = (boxes[:, 0] < box[2] + across) & (boxes[:, 2] > box[0] - across) & (text.hidden == 0)
    near &= (boxes[:, 1] < box[3] + down) & (boxes[:, 3] > box[1] - down) & (text.kinds == GLYPH)
    others = np.setdiff1d(np.flatnonzero(near & ~middles_inside(boxes, box)), np.concatenate(own)).tolist()
    small = SMALL_TYPE * usual * (len(group) > 1)  # what is left of the limits of a sum
    return any(
        text.fonts[k] >= 0 and (text.ems[k] < small or is_math_font(text.font_names[text.fonts[k]]))
        for k in others if text.text[k] not in ENDS
    )  # fmt: skip


def _is_beside(box: Box, words: np.ndarray, near: np.ndarray) -> bool:
    """Return whether one of the lines of words (M, 4) stands beside a box at its height, not farther than `near`."""
    (x0, y0, x1, y1), middle = words.T, (box[1] + box[3]) / 2
    level = (y0 + 0.25 * (y1 - y0) < middle) & (middle < y1 - 0.25 * (y1 - y0))
    behind, before = (x1 <= box[0]) & (box[0] < x1 + near), (x0 - near < box[2]) & (box[2] <= x0)
    return bool((level & (behind | before)).any())


def _is_formula(group: Sequence[FormulaSpan], lines: Sequence[LayerLine]) -> bool:
    """Return whether a group is a formula: by its fonts, or an equation set on its own in italics."""
    if not all(span.italic for span in group):
        return True
    if all(span.sign for span in group):
        return False
    return all(span.whole for span in group) and any("=" in lines[span.line].text for span in group)


def _groups(
    spans: Sequence[FormulaSpan], lines: Sequence[LayerLine], rules: Sequence[Box], usual: float
) -> list[list[FormulaSpan]]:
    """Return spans that are one formula: those that nearly touch, as far as `_may_join` allows.

    rules: ruling lines of the page; a fraction's joins what is above and below it. usual: size of the page's type, px.
    """
    groups = {k: [span] for k, span in enumerate(spans)}
    boxes = np.array([span.box for span in spans]).reshape(-1, 4)
    reach = REACH_EM * max((lines[span.line].em_px for span in spans), default=0.0)
    for k in range(len(spans)):
        while k in groups:
            near = np.abs(boxes[:, :2] + boxes[:, 2:] - boxes[k, :2] - boxes[k, 2:]) / 2
            near -= (boxes[:, 2:] - boxes[:, :2] + boxes[k, 2:] - boxes[k, :2]) / 2  # white between the boxes
            others = (i for i in np.flatnonzero((near < reach).all(1)).tolist() if i != k and i in groups)
            a = _as_box(boxes[k])
            joined = next(
                (i for i in others if _join(groups[k], groups[i], a, _as_box(boxes[i]), lines, rules, usual)), -1
            )
            if joined < 0:
                break
            boxes[k] = _with_rules(union([a, _as_box(boxes[joined])]), rules)
            groups[k] += groups.pop(joined)
    for group in groups.values():  # the main line comes first
        group.sort(key=lambda span: (span.whole, -lines[span.line].em_px * len(lines[span.line].text)))
    return list(groups.values())


def _as_box(sides: np.ndarray) -> Box:
    return tuple(sides.tolist())


def _join(
    first: Sequence[FormulaSpan], second: Sequence[FormulaSpan], a: Box, b: Box,
    lines: Sequence[LayerLine], rules: Sequence[Box], usual: float,
) -> bool:  # fmt: skip
    """Return whether two groups, in the boxes a and b, are one formula."""
    em = max(lines[span.line].em_px for span in (*first, *second))
    if _nearly_touch(a, b, em) and _may_join(first, second, a, b, lines, usual):
        return True
    return first[0].whole and second[0].whole and _are_fraction(a, b, em, rules)


def _may_join(
    first: Sequence[FormulaSpan],
    second: Sequence[FormulaSpan],
    a: Box,
    b: Box,
    lines: Sequence[LayerLine],
    usual: float,
) -> bool:
    """Return whether two groups may be one formula by what their lines are.

    Whole lines may. A part of a line takes small lines and large signs beside it, such as limits, and goes on in the
    next piece of its row where both end there.
    """
    inline = [[span for span in group if not span.whole] for group in (first, second)]
    if not any(inline):
        rows = abs(a[1] + a[3] - b[1] - b[3]) > ROW_EM * usual and all(s.in_row for s in (*first, *second))
        return not rows
    if abs(a[1] + a[3] - b[1] - b[3]) > 2 * ROW_EM * usual:
        return False
    if not all(inline):
        loose = second if inline[0] else first
        return all(span.hangs or span.sign or lines[span.line].em_px < SMALL_TYPE * usual for span in loose)
    left, right = inline if a[0] < b[0] else inline[::-1]
    at_end = all(span.end == len(lines[span.line].text.rstrip()) for span in left)
    return (
        at_end and all(span.start == 0 for span in right) and {s.line for s in left}.isdisjoint(s.line for s in right)
    )


def _with_rules(box: Box, rules: Sequence[Box]) -> Box:
    """Return a box that holds the rules of its fractions, too."""
    inside = [
        rule for rule in rules
        if box[1] < rule[1] < box[3] and min(box[2], rule[2]) - max(box[0], rule[0]) > (rule[2] - rule[0]) / 3
    ]  # fmt: skip
    return union([box, *inside])


def _nearly_touch(a: Box, b: Box, em: float) -> bool:
    return touch(_widen(a, em), b) or (touch(_widen(a, 3 * em), b) and abs(a[1] + a[3] - b[1] - b[3]) < em)


def _are_fraction(a: Box, b: Box, em: float, rules: Sequence[Box]) -> bool:
    """Return whether a rule between two boxes is about as long as the longer one, or both stand at its middle."""
    upper, lower = sorted((a, b), key=lambda box: box[1])
    longest = max(box[2] - box[0] for box in (a, b))
    for rule in rules:
        near = upper[3] - em / 4 < rule[1] < lower[1] + em / 4
        near &= max(lower[1] - rule[3], rule[1] - upper[3]) < em
        near &= all(rule[0] - em / 4 < box[0] and box[2] < rule[2] + em / 4 for box in (upper, lower))
        off = max(abs(box[0] + box[2] - rule[0] - rule[2]) / 2 for box in (upper, lower))
        if near and rule[2] - rule[0] < longest + LONGER_EM[off < OFF_EM * em] * em:
            return True
    return False
