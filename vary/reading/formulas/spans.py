"""Find which characters of a text layer's lines are formulas; which of them are one formula: `groups`.

A formula is a run of words whose characters are set in a font for mathematics, with the digits, operators and brackets
between them. Italic words of few letters count, too, on lines without other words near an equals sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...document.elements import LEADER, SOURCES, STYLES
from ...io.box import Box, union
from ...io.pdf_layer import TextLayer
from ..layer.lines import LayerLine

MATH_FONT = re.compile(
    r"(?:\+|^)(?:(?:cm|lm)(?:b?mi|b?sy|ex)|ms[ab]m|eu[fsr]|rsfs|stmary|wasy)|math", re.I
)  # of TeX, and all that name themselves so
HANGING = re.compile(r"(?:\+|^)(?:(?:cm|lm)ex|lmmathextension)", re.I)
FUNCTIONS = frozenset(
    ("arg", "cos", "cosh", "cot", "det", "dim", "exp", "gcd", "inf", "ker", "lim", "ln", "log", "max", "min", "mod",
     "sin", "sinh", "sup", "tan", "tanh")
)  # fmt: skip
MOST_LETTERS = 4  # of an italic name of a quantity
MOST_LIMIT = 3  # digits and signs of a limit, of a numerator
ENDS = ".,;:"  # that close the sentence, not the formula
APART_EM = 1.6  # of words that are not of one formula
NUMBER = re.compile(r"\((?:[A-Z]\.?)?\d+(?:\.\d+)*[a-z]?\)")  # of a displayed formula
GREEK_WORD = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]{3}")
ROOTS = frozenset("√∛∜")
OPERATORS = frozenset("=<>≤≥≪≫≈≡∼≃≅≠∈∉⊂⊆∪∩×·⋅∗*/+-−±∓→←↔⇒⇔↦∘⊕⊗|∝")

_Word = tuple[int, int, str]  # start, end and kind


@dataclass
class FormulaSpan:
    """Characters [start, end) of a line that are a formula. whole: nothing else is on it, but for `number`."""

    line: int
    start: int
    end: int
    whole: bool
    number: str = ""
    italic: bool = False  # no font for mathematics, but italics
    sign: bool = False  # an operator on a line of its own
    box: Box = (0.0, 0.0, 0.0, 0.0)  # around its glyphs
    hangs: bool = False  # it has a large sign that hangs from its baseline
    in_row: bool = False  # words stand beside it at its height, as in a table


def spans_of(number_of_line: int, line: LayerLine, text: TextLayer) -> Iterator[FormulaSpan]:
    """Yield the formulas of a line. Lines that the pixels corrected have none: their glyphs are not what they claim."""
    if line.indices is None or (line.sources is not None and (line.sources == SOURCES.index("pixels")).any()):
        return
    if line.sources is not None and (line.sources == SOURCES.index("healed")).any():
        return
    leaders = [found.span() for found in LEADER.finditer(line.text)]
    words = [(m.start(), m.end(), word_kind(line, m.start(), m.end(), text)) for m in re.finditer(r"\S+", line.text)]
    words = [
        (start, end, "text" if any(start < b and a < end for a, b in leaders) else kind) for start, end, kind in words
    ]
    number = ""
    if len(words) > 1 and NUMBER.fullmatch(line.text, *words[-1][:2]) and _gap(line, words[-2], words[-1]) > APART_EM:
        start, end, _ = words.pop()
        number = line.text[start + 1 : end - 1]
    last = words[-1][1] if words else 0
    italic = all(kind != "math" for _, _, kind in words) and any(kind == "symbol" for _, _, kind in words)
    named = "math" if all(kind != "text" for _, _, kind in words) else "text"
    words = [(start, end, named if kind == "symbol" else kind) for start, end, kind in words]
    signs = line.text.strip()
    neutral = bool(words) and all(kind == "neutral" for _, _, kind in words)
    if signs in ROOTS or (neutral and (signs in OPERATORS or len(signs) <= MOST_LIMIT)):
        yield FormulaSpan(number_of_line, 0, last, True, number, italic=True, sign=True)
    for run in _runs(words, line):
        run = _trim(run, line.text, last)
        if any(kind == "math" for _, _, kind in run):
            start, end = run[0][0], run[-1][1]
            whole = (start, end) == (0, last)
            while line.text[end - 1] in ENDS and end - start > 1:
                end -= 1
            if any(char.isalnum() for char in line.text[start:end]):
                yield FormulaSpan(number_of_line, start, end, whole, number if whole else "", italic)


def measure_span(span: FormulaSpan, line: LayerLine, text: TextLayer) -> None:
    """Set the box of a span: of its glyphs, and of their line but where large signs hang from their baseline."""
    assert line.indices is not None
    shown = line.indices[span.start : span.end]
    shown = shown[shown >= 0]
    span.box = union(text.boxes[shown])
    span.hangs = any(HANGING.search(text.font_names[font]) for font in text.fonts[shown].tolist() if font >= 0)
    if not span.hangs:
        span.box = union([span.box, union(line.boxes[span.start : span.end])])


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


@lru_cache(4096)
def is_math_font(name: str) -> bool:
    """Return whether a font is one for mathematics, by its name."""
    return MATH_FONT.search(name) is not None


def word_kind(line: LayerLine, start: int, end: int, text: TextLayer) -> str:
    """Return what a word is: `math`, `neutral` (digits and operators), `word` (a function's name) or `text`."""
    assert line.indices is not None
    fonts = text.fonts[line.indices[start:end]]
    math = [font >= 0 and is_math_font(text.font_names[font]) for font in fonts.tolist()]
    plain = "".join(ch for ch, is_math in zip(line.text[start:end], math, strict=True) if not is_math)
    letters = "".join(ch if ch.isalpha() else " " for ch in plain).split()
    if any(len(run) > 1 and run not in FUNCTIONS for run in letters):
        return "symbol" if _is_symbol(line, start, end, letters) else "text"
    if not GREEK_WORD.search(line.text):  # else a lone η is a word
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


def _letters(text: str) -> np.ndarray:
    return np.array([char.isalpha() for char in text])
