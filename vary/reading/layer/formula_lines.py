r"""Find the formulas in the lines of a text layer and replace them by LaTeX.

A formula is a run of words whose characters are set in a font for mathematics, with the digits, operators and brackets
between them. Italic words of few letters count, too, on lines without other words near an equals sign. A line that is a
formula is set on its own; such lines one above the other, as in a fraction, are one
formula. What cannot be written with confidence stays as it is, and the reading is kept apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby

import numpy as np

from ...document.elements import MATH, SCRIPTS, SOURCES, STYLES, Block, Line, Page
from ...document.findings import FormulaReading
from ...document.lines import TextLine, split_box
from ...io.box import Box, touch, union, widen_box
from ...io.pdf_objects import PageContent
from ...io.pdf_text import GLYPH, TextLayer
from ...markup.math import is_complete, readable
from ..formulas.from_layer import Formula, middles_inside
from .lines import LayerLine

MATH_FONT = re.compile(
    r"(?:\+|^)(?:(?:cm|lm)(?:b?mi|b?sy|ex)|ms[ab]m|eu[fsr]|rsfs|stmary|wasy)|math", re.I
)  # of TeX, and all that name themselves so
FUNCTIONS = frozenset(
    ("arg", "cos", "cosh", "cot", "det", "dim", "exp", "gcd", "inf", "ker", "lim", "ln", "log", "max", "min", "mod",
     "sin", "sinh", "sup", "tan", "tanh")
)  # fmt: skip
CERTAIN = 0.7  # probability from which a formula is written (docs/training.md)
MOST_LETTERS = 4  # of an italic name of a quantity
ALONE_EM = 12.0  # of other lines than an equation in italics, which may be cells of its row
SMALL_TYPE = 0.85  # of the page's type: limits, sub- and superscripts
CUT_EM = 0.7, 0.6  # across and down, to other mathematics that belongs to a formula
CLOSE_EM = 2.0  # of lines that go on with a formula
NEAR_EM = 0.9, 0.3  # between lines of one formula, above each other and next to each other
ENDS = ".,;:"  # that close the sentence, not the formula
APART_EM = 1.6  # of words that are not of one formula
NUMBER = re.compile(r"\((?:[A-Z]\.?)?\d+(?:\.\d+)*[a-z]?\)")  # of a displayed formula
OPERATORS = frozenset("=<>≤≥≪≫≈≡∼≃≅≠∈∉⊂⊆∪∩×·⋅∗*/+-−±∓→←↔⇒⇔↦∘⊕⊗|∝")

Write = Callable[[PageContent, Sequence[Box]], list[Formula]]


_Word = tuple[int, int, str]  # start, end and kind


@dataclass
class _Span:
    """Characters [start, end) of a line that are a formula. whole: nothing else is on it, but for `number`."""

    line: int
    start: int
    end: int
    whole: bool
    number: str = ""
    italic: bool = False  # no font for mathematics, but italics
    sign: bool = False  # an operator on a line of its own

    def box(self, lines: Sequence[LayerLine]) -> Box:
        return union([tuple(box) for box in lines[self.line].boxes[self.start : self.end].tolist()])


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
    spans = [span for k, line in enumerate(lines) for span in _spans(k, line, content.text)]
    groups = [group for group in _groups(spans, lines, content.objects.rules) if _is_formula(group, lines)]
    regions = [_region(group, lines) for group in groups]
    usual = float(np.median([line.em_px for line in lines for _ in line.text] or [0.0]))
    readings, kept = [], list(lines)
    gone: set[int] = set()
    changes: list[tuple[_Span, str, float]] = []
    for group, formula in zip(groups, write(content, regions) if regions else [], strict=True):
        if not formula.latex:
            continue
        used = formula.accounted and formula.confidence >= CERTAIN
        used = used and is_complete(formula.latex) and not _is_part(group, lines)
        used = used and not _is_cut(group, formula.box, lines, content.text, usual)
        readings.append(FormulaReading(formula.latex, formula.box, formula.confidence, used))
        if used and group[0].whole:
            numbers = _numbers(formula.box, lines)
            number = next((span.number for span in group if span.number), "")
            number = number or next((lines[k].text.strip()[1:-1] for k in numbers), "")
            latex = readable(formula.latex) + (f" \\tag{{{number}}}" if number else "")
            kept[group[0].line] = _display(lines[group[0].line], replace(formula, latex=latex))
            gone |= {span.line for span in group[1:]} | set(numbers)
        elif used:
            changes.append((group[0], readable(formula.latex), formula.confidence))
    for span, latex, confidence in sorted(changes, key=lambda change: -change[0].start):
        kept[span.line] = _with_latex(kept[span.line], span, latex, confidence)
    return [line for k, line in enumerate(kept) if k not in gone], readings


def _is_part(group: Sequence[_Span], lines: Sequence[LayerLine]) -> bool:
    """Return whether a formula set on its own goes on in a line that is no formula, so that it would be cut."""
    if not group[0].whole:
        return False
    box, em, own = union([span.box(lines) for span in group]), lines[group[0].line].em_px, {span.line for span in group}
    near = em * (CLOSE_EM if not all(span.italic for span in group) else ALONE_EM)
    wide = widen_box(box, near, 0)
    others = (line for k, line in enumerate(lines) if k not in own and not NUMBER.fullmatch(line.text.strip()))
    return any(wide[1] < (line.box[1] + line.box[3]) / 2 < wide[3] and touch(wide, line.box) for line in others)


def _is_cut(group: Sequence[_Span], box: Box, lines: Sequence[LayerLine], text: TextLayer, usual: float) -> bool:
    """Return whether a formula is a piece of a larger one: other mathematics touches it, or it is small as limits.

    usual: size of most characters of the page, px.
    """
    span, line = group[0], lines[group[0].line]
    if not span.whole and {line.text[: span.start].rstrip()[-1:], line.text[span.end :].lstrip()[:1]} & OPERATORS:
        return True
    if span.whole and len(group) == 1 and (line.em_px < SMALL_TYPE * usual or len(line.text.strip()) == 1):
        return True
    own = [lines[one.line].indices[one.start : one.end] for one in group]  # type: ignore[index]
    across, down = CUT_EM[0] * line.em_px, CUT_EM[1] * line.em_px * span.whole
    boxes = text.boxes
    near = (boxes[:, 0] < box[2] + across) & (boxes[:, 2] > box[0] - across) & (text.hidden == 0)
    near &= (boxes[:, 1] < box[3] + down) & (boxes[:, 3] > box[1] - down) & (text.kinds == GLYPH)
    others = np.setdiff1d(np.flatnonzero(near & ~middles_inside(boxes, box)), np.concatenate(own)).tolist()
    return any(text.fonts[k] >= 0 and MATH_FONT.search(text.font_names[text.fonts[k]]) for k in others)


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


def _spans(number_of_line: int, line: LayerLine, text: TextLayer) -> Iterator[_Span]:
    """Yield the formulas of a line. Lines that the pixels corrected have none: their glyphs are not what they claim."""
    if line.indices is None or (line.sources is not None and (line.sources == SOURCES.index("pixels")).any()):
        return
    if line.sources is not None and (line.sources == SOURCES.index("healed")).any():
        return
    words = [(m.start(), m.end(), _kind(line, m.start(), m.end(), text)) for m in re.finditer(r"\S+", line.text)]
    number = ""
    if len(words) > 1 and NUMBER.fullmatch(line.text, *words[-1][:2]) and _gap(line, words[-2], words[-1]) > APART_EM:
        start, end, _ = words.pop()
        number = line.text[start + 1 : end - 1]
    last = words[-1][1] if words else 0
    italic = all(kind != "math" for _, _, kind in words) and any(kind == "symbol" for _, _, kind in words)
    named = "math" if all(kind != "text" for _, _, kind in words) else "text"
    words = [(start, end, named if kind == "symbol" else kind) for start, end, kind in words]
    if words and all(kind == "neutral" for _, _, kind in words) and line.text.strip() in OPERATORS:
        yield _Span(number_of_line, 0, last, True, number, italic=True, sign=True)
    for run in _runs(words, line):
        run = _trim(run, line.text, last)
        if any(kind == "math" for _, _, kind in run):
            start, end = run[0][0], run[-1][1]
            whole = (start, end) == (0, last)
            while line.text[end - 1] in ENDS and end - start > 1:
                end -= 1
            if any(char.isalnum() for char in line.text[start:end]):
                yield _Span(number_of_line, start, end, whole, number if whole else "", italic)


def _runs(words: Sequence[_Word], line: LayerLine) -> Iterator[list[_Word]]:
    """Yield runs of words without text between them, and without a wide gap."""
    run: list[_Word] = []
    for word in words:
        if run and (word[2] == "text" or _gap(line, run[-1], word) > APART_EM):
            yield run
            run = []
        if word[2] != "text":
            run.append(word)
    yield run


def _trim(run: list[_Word], text: str, last: int) -> list[_Word]:
    """Return a run without the digits and signs at its ends that belong to the sentence: no operator joins them."""
    while run and run[0][2] != "math":
        joined = len(run) > 1 and (text[run[1][0]] in OPERATORS or text[run[0][1] - 1] in OPERATORS)
        if run[0][2] == "word" or (run[0][0] > 0 and not (joined and text[run[0][0]] not in OPERATORS)):
            run = run[1:]
        else:
            break
    while run and run[-1][2] != "math" and run[-1][1] < last:
        joined = len(run) > 1 and (text[run[-2][1] - 1] in OPERATORS or text[run[-1][0]] in OPERATORS)
        if joined and text[run[-1][1] - 1] not in OPERATORS:
            break
        run = run[:-1]
    return run


def _gap(line: LayerLine, left: _Word, right: _Word) -> float:
    """Return the width of the white between two words, in em."""
    return float(line.boxes[right[0], 0] - line.boxes[left[1] - 1, 2]) / max(line.em_px, 1e-3)


def _kind(line: LayerLine, start: int, end: int, text: TextLayer) -> str:
    """Return what a word is: `math`, `neutral` (digits and operators), `word` (a function's name) or `text`."""
    assert line.indices is not None
    fonts = text.fonts[line.indices[start:end]]
    math = [font >= 0 and MATH_FONT.search(text.font_names[font]) is not None for font in fonts.tolist()]
    plain = "".join(ch for ch, is_math in zip(line.text[start:end], math, strict=True) if not is_math)
    letters = "".join(ch if ch.isalpha() else " " for ch in plain).split()
    if any(len(run) > 1 and run not in FUNCTIONS for run in letters):
        return "symbol" if _is_symbol(line, start, end, letters) else "text"
    math = [
        is_math or "\u0391" <= ch <= "\u03c9" or ch == "\u2126"
        for ch, is_math in zip(line.text[start:end], math, strict=True)
    ]
    if any(is_math and not ch.isspace() for is_math, ch in zip(math, line.text[start:end], strict=True)):
        return "math"
    if line.styles is not None and all(line.styles[start:end, STYLES.index("bold")] | ~_letters(line.text[start:end])):
        return "neutral"  # vectors between symbols
    if letters and letters[0] not in FUNCTIONS and _is_symbol(line, start, end, letters):
        return "symbol"
    return "word" if letters and letters[0] in FUNCTIONS else "text" if letters else "neutral"


def _is_symbol(line: LayerLine, start: int, end: int, letters: Sequence[str]) -> bool:
    """Return whether a word can be the name of a quantity: few letters, all italic."""
    if line.styles is None or max(map(len, letters)) > MOST_LETTERS:
        return False
    return bool(np.all(line.styles[start:end, STYLES.index("italic")] | ~_letters(line.text[start:end])))


def _is_formula(group: Sequence[_Span], lines: Sequence[LayerLine]) -> bool:
    """Return whether a group is a formula: by its fonts, or an equation set on its own in italics."""
    if not all(span.italic for span in group):
        return True
    if all(span.sign for span in group):
        return False
    return all(span.whole for span in group) and any("=" in lines[span.line].text for span in group)


def _letters(text: str) -> np.ndarray:
    return np.array([char.isalpha() for char in text])


def _groups(spans: Sequence[_Span], lines: Sequence[LayerLine], rules: Sequence[Box]) -> list[list[_Span]]:
    """Return spans that are one formula: those of whole lines that nearly touch, and each of the others alone.

    rules: ruling lines of the page; a fraction's joins what is above and below it.
    """
    groups = [[span] for span in spans]
    boxes = [span.box(lines) for span in spans]
    merged = True
    while merged:
        merged = False
        for j, i in combinations([k for k, group in enumerate(groups) if group[0].whole], 2):
            first, second = groups[j], groups[i]
            em = max(lines[span.line].em_px for span in first + second)
            if _belong(boxes[j], boxes[i], em, rules):
                groups[j], boxes[j] = first + second, _with_rules(union([boxes[j], boxes[i]]), rules)
                del groups[i], boxes[i]
                merged = True
                break
    for group in groups:
        group.sort(key=lambda span: -lines[span.line].em_px * len(lines[span.line].text))  # the main line comes first
    return groups


def _with_rules(box: Box, rules: Sequence[Box]) -> Box:
    """Return a box that holds the rules of its fractions, too."""
    inside = [
        rule for rule in rules
        if box[1] < rule[1] < box[3] and min(box[2], rule[2]) - max(box[0], rule[0]) > (rule[2] - rule[0]) / 2
    ]  # fmt: skip
    return union([box, *inside])


def _belong(a: Box, b: Box, em: float, rules: Sequence[Box]) -> bool:
    """Return whether the boxes of two lines are of one formula: they nearly touch, or a fraction's rule is between."""
    if touch(_widen(a, em), b) or (touch(_widen(a, 3 * em), b) and abs(a[1] + a[3] - b[1] - b[3]) < em):
        return True
    upper, lower = sorted((a, b), key=lambda box: box[1])
    return any(
        upper[3] - em / 4 < rule[1] < lower[1] + em / 4 and max(lower[1] - rule[3], rule[1] - upper[3]) < em
        and all(rule[0] - em / 4 < box[0] and box[2] < rule[2] + em / 4 for box in (upper, lower))
        for rule in rules
    )  # fmt: skip


def _region(group: Sequence[_Span], lines: Sequence[LayerLine]) -> Box:
    """Return the box in which the glyphs of a formula are: up to its neighbours on the line when it is not alone."""
    span, line = group[0], lines[group[0].line]
    x0, y0, x1, y1 = _widen(union([one.box(lines) for one in group]), line.em_px)
    before = [float(line.boxes[k, 2]) for k in range(span.start) if not line.text[k].isspace()]
    after = [float(line.boxes[k, 0]) for k in range(span.end, len(line.text)) if not line.text[k].isspace()]
    own = span.box(lines)
    return max([x0, *(min(edge, own[0]) for edge in before)]), y0, min([x1, *(max(edge, own[2]) for edge in after)]), y1


def _widen(box: Box, em: float) -> Box:
    y, x = NEAR_EM
    return widen_box(box, x * em, y * em / 3)


def _display(line: LayerLine, formula: Formula) -> LayerLine:
    """Return the line that a formula set on its own becomes."""
    whole = replace(line.part(slice(1)), boxes=np.array([formula.box], np.float32), indices=None)
    return _with_latex(whole, _Span(0, 0, 1, True), formula.latex, formula.confidence)


def _with_latex(line: LayerLine, span: _Span, latex: str, confidence: float) -> LayerLine:
    """Return the line with LaTeX in place of a span; its characters share the width of the span."""
    start, end, count = span.start, span.end, len(latex)
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
