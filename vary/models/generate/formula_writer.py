"""Write formulas as LaTeX from their glyphs. Each written character points at one glyph, so nothing is invented.

A grammar tells which step may come next, so that every formula that ends is well formed: what is opened is closed by
its own kind, `\\frac` has two arguments, a delimiter is printed after `\\left`, a base has one subscript and one
superscript, names hold letters only. A formula is marked as not accounted for when a glyph is left that no step
explains, or when a step needs a glyph that is not there (a fraction without its rule).

Shapes: B formulas, N glyphs of the longest one, S structure steps. Needs no PyTorch: see `StepModel`.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ...markup.math_nodes import LatexError
from ...markup.math_symbols import BIG_OPERATORS, SPACES, SYMBOLS, TEXTS
from ...markup.math_tokens import CLOSERS, END, OPENERS, RULE, TAKE_DELIMITER, TWO_ARGUMENTS, from_steps

DELIMITERS = frozenset("()[]{}|‖⟨⟩⌊⌋⌈⌉⟦⟧")
_NAMES = frozenset(("\\operatorname{", "\\operatorname*{", *(f"{name}{{" for name in TEXTS)))
_OPERATORS = frozenset(("\\operatorname{", "\\operatorname*{"))
_LETTERS = frozenset(string.ascii_letters + string.digits)
_NEVER_IN_TEXT = frozenset("{}\\^~")
_WITH_LIMITS = frozenset(SYMBOLS[name] for name in BIG_OPERATORS)
_SCRIPTS = {"_{": 1, "^{": 2}
_TWO = TWO_ARGUMENTS | {"\\sqrt["}
_OPENERS, _SPACES = frozenset(OPENERS), frozenset(SPACES)


@dataclass
class _Open:
    """An opened construct.

    second: whether its second argument has begun. filled: whether it holds anything. scripts: of the last base in it,
    1 for a subscript, 2 for a superscript.
    """

    opener: str
    second: bool = False
    filled: bool = False
    scripts: int = 3  # nothing to hang a script on yet


@dataclass
class StepGrammar:
    """The state of one formula that is being written.

    Args:
        room: the most steps of the formula, its end included. Closers are kept room for.
        left: the characters that can still be printed, each once; None for any number of all. What is opened is kept
            ink for.
    """

    room: int
    left: Counter[str] | None = None
    stack: list[_Open] = field(default_factory=lambda: [_Open("")])
    delimiter: bool = False  # the next step must print a delimiter
    operator: bool = False  # the last step ended an operator, which may have limits
    done: bool = False
    _inks: dict[tuple[frozenset[str] | None, frozenset[str]], int] = field(default_factory=dict)  # until the next step

    def _ink(self, kind: frozenset[str] | None = None, but: frozenset[str] = frozenset()) -> int:
        """Return how many characters are left: of a kind, or all but some."""
        if self.left is None:
            return 1 << 20
        if (kind, but) not in self._inks:
            counts = self.left.items()
            self._inks[kind, but] = sum(n for char, n in counts if (kind is None or char in kind) and char not in but)
        return self._inks[kind, but]

    def _owed(self) -> tuple[int, int]:
        """Return the number of steps that close everything, with the end, and how many of them are ink."""
        second = sum([item.opener in _TWO and not item.second for item in self.stack])
        ink = self.delimiter + (not self.stack[-1].filled) + second  # what is below the top is filled by the top
        return len(self.stack) + ink + second, ink

    def allows(self, step: str) -> bool:
        """Return whether a step may come next; a step of one character is ink."""
        if self.done or self.room < 1:
            return False
        top = self.stack[-1]
        steps, ink = self._owed()
        if len(step) == 1:
            if self.delimiter:
                return step in DELIMITERS
            if step not in _LETTERS if top.opener in _OPERATORS else top.opener in _NAMES and step in _NEVER_IN_TEXT:
                return False
            return not top.filled or (self.room > steps and self._ink() > ink)
        if self.delimiter:
            return False
        if step == END:
            return len(self.stack) == 1 and top.filled
        if step in CLOSERS:
            return self._closes(step, top) and (step != "\\right" or self._delimits(steps, ink))
        if step in ("}{", "]{"):
            fits = top.opener in TWO_ARGUMENTS if step == "}{" else top.opener == "\\sqrt["
            return fits and not top.second and top.filled
        filled = step in _OPENERS and not top.filled  # what is opened fills what it is opened in
        if not self._affords(steps - filled, ink - filled, *self._cost(step)):
            return False
        if step in _NAMES and not (self._ink(_LETTERS) if step in _OPERATORS else self._ink(but=_NEVER_IN_TEXT)):
            return False
        if top.opener in _NAMES:
            return step == "\\ " and top.opener not in _OPERATORS
        return self._fits(step, top)

    def _affords(self, steps: int, ink: int, more: int, more_ink: int) -> bool:
        return self.room >= steps + more and self._ink() >= ink + more_ink

    def _delimits(self, steps: int, ink: int) -> bool:
        return self._ink(DELIMITERS) > 0 and self._affords(steps, ink, 1, 1)

    def _fits(self, step: str, top: _Open) -> bool:
        if step in _SCRIPTS:
            return not top.scripts & _SCRIPTS[step]
        if step == "\\cell":
            return top.opener.startswith("\\begin")
        if step == "\\\\":
            return top.opener.startswith("\\begin") or top.opener == "\\substack{"
        if step in TAKE_DELIMITER and not self._ink(DELIMITERS):
            return False
        if step == "\\middle":
            return top.opener.startswith("\\left")
        if step in ("\\limits", "\\nolimits"):
            return self.operator
        if step == "\\substack{":
            return top.opener in _SCRIPTS and not top.filled
        return True

    @staticmethod
    def _cost(step: str) -> tuple[int, int]:
        """Return the number of steps that this one needs, itself included, and how many of them are ink."""
        if step in _OPENERS:
            return 3 + 2 * (step in _TWO) + (step == "\\left"), 1 + (step in _TWO) + (step == "\\left")
        return (2, 1) if step in TAKE_DELIMITER else (1, 0)

    @staticmethod
    def _closes(step: str, top: _Open) -> bool:
        opener = top.opener
        if not opener or not (top.filled or opener == "\\bgroup"):
            return False
        if opener.startswith("\\begin"):
            return step == "\\end"
        if opener.startswith("\\left"):
            return step.startswith("\\right")
        return step == "\\egroup" and (top.second or opener not in _TWO)

    def take(self, step: str) -> None:
        """Go on by an allowed step."""
        self._inks.clear()
        self.room -= 1
        top = self.stack[-1]
        closes_name = step == "\\egroup" and top.opener in _OPERATORS
        self.operator = not self.delimiter and (closes_name or step in _WITH_LIMITS)
        if len(step) == 1:
            if self.left is not None:
                self.left[step] -= 1
            if self.delimiter:
                self.delimiter = False
                return
            top.filled, top.scripts = True, 0
        elif step == END:
            self.done = True
        elif step in _OPENERS:
            if step in _SCRIPTS:
                top.scripts |= _SCRIPTS[step]
            self.stack.append(_Open(step))
            self.delimiter = step == "\\left"
        elif step in CLOSERS:
            closed = self.stack.pop()
            self.stack[-1].filled = True
            if closed.opener not in _SCRIPTS:
                self.stack[-1].scripts = 0
            self.delimiter = step == "\\right"
        elif step in ("}{", "]{"):
            top.second, top.filled, top.scripts = True, False, 3
        elif step in ("\\cell", "\\\\"):
            top.filled, top.scripts = True, 3
        elif step in TAKE_DELIMITER:
            self.delimiter = True
            top.filled, top.scripts = True, 0


# -- writing -----------------------------------------------------------------------------------------------------------
Glyphs = tuple[str, np.ndarray, np.ndarray]  # plain characters, styles (N,), boxes (N, 4) from left to right
STEPS_PER_GLYPH, SPARE_STEPS = 5, 12  # a formula of N glyphs takes at most 5 N + 12 steps: fewer than 0.1% take more


@dataclass(frozen=True)
class WrittenFormula:
    """A formula as it was written.

    latex: canonical LaTeX; empty when the steps make none. steps, pointers, confidence: of each step its name, the
    glyph that it prints (-1 for structure), and its probability. unexplained: glyphs that no step accounts for.
    missing: glyphs that steps need and that are not there.
    """

    latex: str
    steps: list[str]
    pointers: list[int]
    confidence: list[float]
    unexplained: list[int]
    missing: list[str]

    @property
    def accounted(self) -> bool:
        """Whether steps and ink match one to one."""
        return bool(self.latex) and not self.unexplained and not self.missing

    @property
    def probability(self) -> float:
        """Probability of the whole formula."""
        return float(np.prod(self.confidence)) if self.confidence else 0.0


class StepModel(Protocol):
    """A network that scores the next step of each formula: `SymbolsDecoder`, or its ONNX files.

    glyphs: characters of its classes from 1. structure: names of its structure steps; the first one ends a formula.
    """

    glyphs: str
    structure: tuple[str, ...]

    def begin(self, classes_BN: np.ndarray, styles_BN: np.ndarray, boxes_BN4: np.ndarray, real_BN: np.ndarray) -> Any:
        """Encode glyphs, sorted from left to right. real: False where a row is filled up. Return a state for `next`."""
        ...

    def next(self, state: Any, steps_B: np.ndarray, last_B: np.ndarray, used_BN: np.ndarray) -> np.ndarray:
        """Return logits (B, S + N) of the next step, and extend the state.

        steps: the step before; those below S are structure, S + k is glyph k. last: the glyph that was written last,
        -1 for none. used: glyphs that are written already.
        """
        ...


def stack_glyphs(known: str, glyphs: Sequence[Glyphs]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return classes, styles (B, N) int64, boxes (B, N, 4) float32 and which glyphs are real (B, N) of formulas.

    known: the character of each class from 1. Characters that it lacks have class 0.
    """
    class_of = {char: k + 1 for k, char in enumerate(known)}
    count, wide = len(glyphs), max(1, *(len(chars) for chars, _, _ in glyphs))
    classes, styles = np.zeros((count, wide), np.int64), np.zeros((count, wide), np.int64)
    boxes, real = np.zeros((count, wide, 4), np.float32), np.zeros((count, wide), bool)
    for k, (chars, style, box) in enumerate(glyphs):
        n = len(chars)
        classes[k, :n] = [class_of.get(char, 0) for char in chars]
        styles[k, :n], boxes[k, :n], real[k, :n] = style, box, True
    return classes, styles, boxes, real


def write_formulas(model: StepModel, glyphs: Sequence[Glyphs]) -> list[WrittenFormula]:
    """Write formulas greedily; every step is one that the grammar allows. A formula without glyphs is empty."""
    wanted = [k for k, (chars, _, _) in enumerate(glyphs) if chars]
    found = [WrittenFormula("", [], [], [], [], []) for _ in glyphs]
    if wanted:
        for k, written in zip(wanted, _write(model, [glyphs[k] for k in wanted]), strict=True):
            found[k] = written
    return found


def _write(model: StepModel, glyphs: Sequence[Glyphs]) -> list[WrittenFormula]:
    arrays = stack_glyphs(model.glyphs, glyphs)
    state = model.begin(*arrays)
    pens = [_Pen(model.structure, chars) for chars, _, _ in glyphs]
    steps, last = np.zeros(len(pens), np.int64), np.full(len(pens), -1)
    used = np.zeros(arrays[0].shape, bool)
    while not all(pen.done for pen in pens):
        log_probs = _mask(model.next(state, steps, last, used), pens)
        steps = log_probs.argmax(-1)
        for k, pen in enumerate(pens):
            if not pen.done and (at := pen.take(int(steps[k]), float(np.exp(log_probs[k, steps[k]])))) >= 0:
                last[k], used[k, at] = at, True
    return [pen.result() for pen in pens]


def _mask(logits: np.ndarray, pens: Sequence[_Pen]) -> np.ndarray:
    """Return log-probabilities (B, S + N) of the next steps, among those that are allowed."""
    allowed = np.zeros(logits.shape, bool)
    for k, pen in enumerate(pens):
        found = pen.allowed()
        allowed[k, : len(found)] = found
    masked = np.where(allowed, logits, -1e4)
    masked -= masked.max(-1, keepdims=True)
    return masked - np.log(np.exp(masked).sum(-1, keepdims=True))


def can_write(steps: Sequence[str], pointers: Sequence[int], chars: str) -> bool:
    """Return whether these steps can be written with these glyphs: the grammar lets them pass and all ink is there.

    pointers: of each step the glyph that it prints, -1 for structure. chars: the character of each glyph.
    """
    grammar = StepGrammar(STEPS_PER_GLYPH * len(chars) + SPARE_STEPS, Counter(chars))
    spare = Counter(chars)
    for step, at in zip(steps, pointers, strict=True):
        if not grammar.allows(step):
            return False
        grammar.take(step)
        spare.subtract(step if at >= 0 else INK_OF.get(step, ""))
    return grammar.allows(END) and min(spare.values(), default=0) >= 0


class _Pen:
    """What one formula of a batch has written."""

    def __init__(self, structure: tuple[str, ...], chars: str):
        self.chars, self.structure, self.left = chars, structure, [True] * len(chars)
        room = STEPS_PER_GLYPH * len(chars) + SPARE_STEPS
        self.grammar = StepGrammar(room, Counter(chars))
        self.drawn: Counter[str] = Counter()  # glyphs that structure draws itself
        self.steps: list[str] = []
        self.pointers: list[int] = []
        self.confidence: list[float] = []

    @property
    def done(self) -> bool:
        return self.grammar.done

    def allowed(self) -> list[bool]:
        """Of every structure step and every glyph."""
        if self.done:
            return [True]
        ink = {char: self.grammar.allows(char) for char in set(self.chars)}
        glyphs = [free and ink[char] for char, free in zip(self.chars, self.left, strict=True)]
        spare = Counter(char for char, free in zip(self.chars, self.left, strict=True) if free) - self.drawn
        drawable = (step not in INK_OF or not Counter(INK_OF[step]) - spare for step in self.structure)
        return [can and self.grammar.allows(step) for step, can in zip(self.structure, drawable, strict=True)] + glyphs

    def take(self, number: int, probability: float) -> int:
        """Go on by a step; returns the glyph that it prints, or -1."""
        at = number - len(self.structure)
        step = self.chars[at] if at >= 0 else self.structure[number]
        self.grammar.take(step)
        if at >= 0:
            self.left[at] = False
        else:
            self.drawn.update(INK_OF.get(step, ""))
        if step == END:
            return -1
        self.steps.append(step)
        self.pointers.append(max(at, -1))
        self.confidence.append(probability)
        return max(at, -1)

    def result(self) -> WrittenFormula:
        """Return the formula, checked against its ink."""
        try:
            latex = from_steps(self.steps)
        except LatexError:
            latex = ""
        needed = Counter(self.drawn)
        unexplained = []
        for at, free in enumerate(self.left):
            if free:
                needed[self.chars[at]] -= 1
                if needed[self.chars[at]] < 0:
                    unexplained.append(at)
        missing = [char for char, count in needed.items() for _ in range(count)]
        return WrittenFormula(latex, self.steps, self.pointers, self.confidence, unexplained, missing)


_ACCENTS = {
    "\\hat": 0x302, "\\widehat": 0x302, "\\tilde": 0x303, "\\widetilde": 0x303, "\\vec": 0x20D7, "\\dot": 0x307,
    "\\overrightarrow": 0x20D7, "\\overleftarrow": 0x20D6, "\\overleftrightarrow": 0x20E1, "\\ddot": 0x308,
    "\\bar": 0x304, "\\dddot": 0x20DB, "\\check": 0x30C, "\\breve": 0x306, "\\acute": 0x301, "\\grave": 0x300,
    "\\mathring": 0x30A, "\\overbrace": 0x23DE, "\\underbrace": 0x23DF,
}  # fmt: skip
# glyphs that a structure step draws itself
INK_OF = {f"{name}{{": chr(mark) for name, mark in _ACCENTS.items()}
INK_OF |= {f"{name}{{": RULE for name in ("\\frac", "\\dfrac", "\\tfrac", "\\overline", "\\underline")}
INK_OF |= {f"{name}{{": "()" for name in ("\\binom", "\\dbinom", "\\tbinom")}
INK_OF |= {"\\sqrt{": "√" + RULE, "\\sqrt[": "√" + RULE, "\\xrightarrow{": "→", "\\xleftarrow{": "←"}
INK_OF |= {
    f"\\begin{{{name}}}": ink
    for name, ink in {"pmatrix": "()", "bmatrix": "[]", "Bmatrix": "{}", "vmatrix": "||", "Vmatrix": "‖‖"}.items()
} | {"\\begin{cases}": "{"}
