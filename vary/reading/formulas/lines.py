r"""Replace the formulas in the lines of a text layer by LaTeX.

What cannot be written with confidence stays as it is, and the reading is kept apart. Which characters are a formula:
`spans`, and which of them are one: `groups`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from ...document.elements import MATH, SCRIPTS, SOURCES, STYLES, Block, Line, Page
from ...document.findings import FormulaReading
from ...document.lines import TextLine, split_box
from ...io.box import Box, middle_within, union
from ...io.pdf_objects import PageContent
from ...markup.math import is_complete, readable
from ..layer.lines import LayerLine
from .fractions import write_fractions
from .from_layer import Formula
from .groups import find_formulas, formula_region, is_piece
from .spans import NUMBER, FormulaSpan

CERTAIN = 0.7  # probability from which a formula is written (docs/vary-nano.md)

Write = Callable[[PageContent, Sequence[Box]], list[Formula]]


def write_formula_lines(
    lines: Sequence[TextLine], content: PageContent, write: Write
) -> tuple[list[TextLine], list[FormulaReading]]:
    """Return the lines with LaTeX in place of formulas, and all readings.

    Args:
        lines: Of an upright page, in the frame of the content.
        content: The page.
        write: Writes the formula in each of some boxes.
    """
    layer = [line for line in lines if isinstance(line, LayerLine)]
    found, readings = _written(layer, content, write)
    return [*found, *(line for line in lines if not isinstance(line, LayerLine))], readings


def _written(
    lines: Sequence[LayerLine], content: PageContent, write: Write
) -> tuple[list[LayerLine], list[FormulaReading]]:
    usual = float(np.median([line.em_px for line in lines for _ in line.text] or [0.0]))
    groups = find_formulas(lines, content, usual)
    regions = [formula_region(group, lines) for group in groups]
    readings, kept = [], list(lines)
    gone, own = set[int](), set[int]()  # lines of formulas: those that are left out, and all that are written
    changes: list[tuple[FormulaSpan, str, float]] = []
    for group, formula in zip(groups, write(content, regions) if regions else [], strict=True):
        if not formula.latex:
            continue
        if not group[0].whole:
            small = formula.latex.replace("\\tfrac", "\\frac")  # in a line they print the same
            formula = replace(formula, latex=small)
        used = formula.accounted and formula.confidence >= CERTAIN and is_complete(formula.latex)
        if not used and (latex := write_fractions(group, lines, content.objects.rules)):
            formula, used = replace(formula, latex=latex, confidence=1.0), True
        used = used and not is_piece(group, formula.box, lines, content.text, usual)
        readings.append(FormulaReading(formula.latex, formula.box, formula.confidence, used))
        if not used:
            continue
        own |= {span.line for span in group}
        if group[0].whole:
            numbers = [] if any(span.in_row for span in group) else _numbers(formula.box, lines)
            number = next((span.number for span in group if span.number), "")
            number = number or next((lines[k].text.strip()[1:-1] for k in numbers), "")
            latex = readable(formula.latex) + (f" \\tag{{{number}}}" if number else "")
            kept[group[0].line] = _display(lines[group[0].line], replace(formula, latex=latex))
            gone |= {span.line for span in group[1:]} | set(numbers)
        else:
            changes.append((group[0], readable(formula.latex), formula.confidence))
            changes += [(span, "", 0.0) for span in group[1:] if not span.whole]
            gone |= {span.line for span in group if span.whole}
    for span, latex, confidence in sorted(changes, key=lambda change: -change[0].start):
        kept[span.line] = _with_latex(kept[span.line], span, latex, confidence)
    written = [one.box for one in readings if one.used]
    gone |= {k for k, line in enumerate(lines) if k not in own and line.em_px < usual and _is_in(line, written)}
    return [line for k, line in enumerate(kept) if k not in gone], readings


def _is_in(line: LayerLine, formulas: Sequence[Box]) -> bool:
    """Return whether all characters of a line lie in formulas that are written, which have them as indices."""
    inked = [tuple(box) for box, ch in zip(line.boxes.tolist(), line.text, strict=True) if ch != " "]
    return all(any(middle_within(box, one) for one in formulas) for box in inked)


def _numbers(box: Box, lines: Sequence[LayerLine]) -> list[int]:
    """Return the lines that hold only the number of a displayed formula: next to it, at its height."""
    return [
        k
        for k, line in enumerate(lines)
        if NUMBER.fullmatch(line.text.strip()) and box[1] < (line.box[1] + line.box[3]) / 2 < box[3]
        and (line.box[0] >= box[2] or line.box[2] <= box[0])
    ][:1]  # fmt: skip


def mark_formulas(page: Page, unwritten: Sequence[Box] = ()) -> None:
    """Make blocks of kind `formula` of the lines that are formulas set on their own.

    unwritten: boxes of formulas that are not LaTeX.
    """
    blocks: list[Block] = []
    for block in page.blocks:
        if block.kind not in ("text", "heading"):
            blocks.append(block)
            continue
        for alone, group in groupby(block.lines, lambda line: _stands_alone(line, unwritten)):
            lines = list(group)
            if len(lines) == len(block.lines):
                block.kind, block.level = ("formula", 0) if alone else (block.kind, block.level)
                blocks.append(block)
            else:
                kind = "formula" if alone else block.kind
                box = union(line.box for line in lines)
                blocks.append(Block(lines, box, kind, 0 if alone else block.level, angle=block.angle))
    page.blocks = blocks


def _stands_alone(line: Line, unwritten: Sequence[Box]) -> bool:
    """Return whether a line is one formula: all of it is LaTeX, or it fills the box of a reading that is not used."""
    if [span[:2] for span in line.styles if span[2] in MATH] == [(0, len(line.text))]:
        return True
    (x0, y0, x1, y1), slack = line.box, 0.1 * (line.box[2] - line.box[0])
    middle = (y0 + y1) / 2
    return any(b[0] - 1 <= x0 + slack and b[2] + 1 >= x1 - slack and b[1] < middle < b[3] for b in unwritten)


def _display(line: LayerLine, formula: Formula) -> LayerLine:
    """Return the line that a formula set on its own becomes."""
    whole = replace(line.part(slice(1)), boxes=np.array([formula.box], np.float32), indices=None)
    return _with_latex(whole, FormulaSpan(0, 0, 1, True), formula.latex, formula.confidence)


def _with_latex(line: LayerLine, span: FormulaSpan, latex: str, confidence: float) -> LayerLine:
    """Return the line with LaTeX in place of a span; its characters share the width of the span."""
    start, end, count = span.start, span.end, len(latex)
    if not latex:  # it is written in another line
        rest = line.text[:start].rstrip() or line.text[end:].lstrip()
        return line.part(slice(0, len(rest)) if start else slice(len(line.text) - len(rest), None))
    boxes = split_box(union([tuple(box) for box in line.boxes[start:end].tolist()]), count)
    columns = len(STYLES + SCRIPTS + MATH)
    styles = np.zeros((len(line.text), columns), bool)
    if line.styles is not None:
        styles[:, : line.styles.shape[1]] = line.styles
    math = np.zeros((count, columns), bool)
    math[:, -1] = True
    values = {
        "confidence": np.full(count, confidence),
        "styles": math,
        "sources": np.full(count, SOURCES.index("layer")),
    }
    return replace(line, styles=styles).put(start, end, latex, boxes, **values)
