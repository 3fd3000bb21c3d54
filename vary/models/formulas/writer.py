"""Write formulas as LaTeX from their glyphs. Each written character points at one glyph, so nothing is invented.

Of the steps that the grammar allows the likeliest one is taken each time. Where that way is unlikely as a whole, or
leaves glyphs that no step explains, several ways are followed at a time and the best one of all is written.

Shapes: B formulas, N glyphs of the longest one, S structure steps. Needs no PyTorch: see `StepModel`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ...markup.math_nodes import LatexError
from ...markup.math_tokens import END, from_steps
from .grammar import DRAWN, StepGrammar

Glyphs = tuple[str, np.ndarray, np.ndarray]  # plain characters, styles (N,), boxes (N, 4) from left to right
STEPS_PER_GLYPH, SPARE_STEPS = 5, 12  # a formula of N glyphs takes at most 5 N + 12 steps: fewer than 0.1% take more
WIDTH = 4  # ways that are followed at a time where the likeliest steps are not certain
UNSURE = float(np.log(0.5))  # log-probability below which other ways are sought
LEFT_OVER = 8.0  # by which glyphs that no step explains make a way less likely, nats
REACH = 12.0  # of logits, below the best one, from which steps count


@dataclass(frozen=True)
class WrittenFormula:
    """A formula as it was written.

    latex: canonical LaTeX; empty when the steps make none. steps, pointers, confidence: of each step its name, the
    glyph that it prints (-1 for structure), and its probability. unexplained: glyphs that no step accounts for.
    """

    latex: str
    steps: list[str]
    pointers: list[int]
    confidence: list[float]
    unexplained: list[int]

    @property
    def accounted(self) -> bool:
        """Whether each glyph has its step."""
        return bool(self.latex) and not self.unexplained

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

    def select(self, state: Any, rows_B: np.ndarray) -> Any:
        """Return the state of some rows, which may come several times."""
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
    """Write formulas as LaTeX. A formula without characters is empty."""
    found = [WrittenFormula("", [], [], [], []) for _ in glyphs]
    wanted = [k for k, (chars, _, _) in enumerate(glyphs) if set(chars) - DRAWN]
    best = dict(zip(wanted, _search(model, [glyphs[k] for k in wanted], 1), strict=True))
    unsure = [k for k, pen in best.items() if pen.value < UNSURE]
    for k, pen in zip(unsure, _search(model, [glyphs[k] for k in unsure], WIDTH), strict=True):
        best[k] = max(best[k], pen, key=lambda one: one.value)
    for k, pen in best.items():
        found[k] = pen.result()
    return found


def can_write(steps: Sequence[str], chars: str) -> bool:
    """Return whether these steps can be written with these glyphs: the grammar lets them pass and all ink is there.

    chars: the character of each glyph.
    """
    grammar = StepGrammar(STEPS_PER_GLYPH * len(chars) + SPARE_STEPS, Counter(chars))
    for step in steps:
        if not grammar.allows(step):
            return False
        grammar.take(step)
    return grammar.allows(END)


def _search(model: StepModel, glyphs: Sequence[Glyphs], width: int) -> list[_Pen]:
    """Return the best way to write each formula, of those found by a beam search. width: ways that it follows."""
    if not glyphs:
        return []
    arrays = stack_glyphs(model.glyphs, glyphs)
    state, best = model.begin(*arrays), dict[int, _Pen]()
    live = [
        _Pen(k, chars, model.structure, np.zeros(arrays[0].shape[1], bool)) for k, (chars, _, _) in enumerate(glyphs)
    ]
    while live:
        logits = model.next(
            state,
            np.array([pen.step for pen in live]),
            np.array([pen.last for pen in live]),
            np.stack([pen.used for pen in live]),
        )
        ranked: dict[int, list[tuple[float, int, int, float]]] = {}
        for row, pen in enumerate(live):
            for number, gain in pen.choices(logits[row]):
                ranked.setdefault(pen.formula, []).append((pen.score + gain, row, number, gain))
        kept: list[tuple[int, _Pen]] = []
        for k, ways in ranked.items():
            for _, row, number, gain in sorted(ways, reverse=True)[:width]:
                pen = live[row].after(number, gain)
                if not pen.grammar.done:
                    kept.append((row, pen))
                elif k not in best or pen.value > best[k].value:
                    best[k] = pen
        kept = [(row, pen) for row, pen in kept if pen.formula not in best or pen.score > best[pen.formula].value]
        rows, live = np.array([row for row, _ in kept], np.int64), [pen for _, pen in kept]
        if len(rows) and not np.array_equal(rows, np.arange(len(logits))):
            state = model.select(state, rows)
    return [best[k] for k in range(len(glyphs))]


@dataclass
class _Pen:
    """One way to write a formula, so far.

    formula: its number. used: glyphs that are written. score: log-probability. step: the last one, as `StepModel`
    numbers it. last: the glyph that was written last, -1 for none.
    """

    formula: int
    chars: str
    structure: tuple[str, ...]
    used: np.ndarray
    score: float = 0.0
    step: int = 0
    last: int = -1
    steps: list[str] = field(default_factory=list)
    pointers: list[int] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    grammar: StepGrammar = field(init=False)

    def __post_init__(self) -> None:
        self.grammar = StepGrammar(STEPS_PER_GLYPH * len(self.chars) + SPARE_STEPS, Counter(self.chars))

    @property
    def value(self) -> float:
        """By which ways that ended are compared."""
        return self.score - LEFT_OVER * (not self.grammar.accounted)

    def _step(self, number: int) -> tuple[int, str]:
        """Return the glyph that a step prints, below 0 for structure, and its name; empty behind the last glyph."""
        at = number - len(self.structure)
        return at, self.structure[number] if at < 0 else self.chars[at : at + 1]

    def choices(self, logits: np.ndarray) -> list[tuple[int, float]]:
        """Return the allowed steps that are not far less likely than the best one, and their log-probabilities."""
        found: list[tuple[int, float]] = []
        allowed: dict[str, bool] = {}
        for number in np.argsort(-logits, kind="stable").tolist():
            if found and logits[number] < found[0][1] - REACH:
                break
            at, step = self._step(number)
            if not step or (at >= 0 and self.used[at]):
                continue
            if step not in allowed:
                allowed[step] = self.grammar.allows(step)
            if allowed[step]:
                found.append((number, float(logits[number])))
        scores = np.array([score for _, score in found])
        scores -= scores[0] + np.log(np.exp(scores - scores[0]).sum())
        return [(number, score) for (number, _), score in zip(found, scores.tolist(), strict=True)]

    def after(self, number: int, gain: float) -> _Pen:
        """Return the pen after a step. gain: its log-probability."""
        at, step = self._step(number)
        pen = copy(self)
        pen.grammar = self.grammar.copy()
        pen.grammar.take(step)
        pen.score, pen.step = self.score + gain, number
        if step != END:
            pen.steps, pen.pointers = [*self.steps, step], [*self.pointers, max(at, -1)]
            pen.confidence = [*self.confidence, float(np.exp(gain))]
        if at >= 0:
            pen.last, pen.used = at, self.used.copy()
            pen.used[at] = True
        return pen

    def result(self) -> WrittenFormula:
        """Return the formula, with the glyphs that no step accounts for."""
        try:
            latex = from_steps(self.steps)
        except LatexError:
            latex = ""
        left, unexplained = Counter(self.grammar.left), list[int]()
        for at in np.flatnonzero(~self.used[: len(self.chars)]).tolist():
            if left[self.chars[at]] > 0:
                left[self.chars[at]] -= 1
                unexplained.append(at)
        return WrittenFormula(latex, self.steps, self.pointers, self.confidence, unexplained)
