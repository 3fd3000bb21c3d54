"""Write formulas as LaTeX from their glyphs. Each written character points at one glyph, so nothing is invented.

A grammar tells which step may come next, so that every formula that ends is well formed: what is opened is closed by
its own kind, `\\frac` has two arguments, a delimiter is printed after `\\left`, a base has one subscript and one
superscript, names hold letters only. A formula is marked as not accounted for when a glyph is left that no step
explains, or when a step needs a glyph that is not there (a fraction without its rule).
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...io.errors import InputError
from ...markup.math_nodes import LatexError
from ...markup.math_symbols import BIG_OPERATORS, SPACES, SYMBOLS, TEXTS
from ...markup.math_tokens import CLOSERS, END, OPENERS, RULE, TAKE_DELIMITER, TWO_ARGUMENTS, from_steps
from .symbols_decoder import Memory, SymbolsDecoder

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

    def _ink(self, kind: frozenset[str] | None = None, but: frozenset[str] = frozenset()) -> int:
        """Return how many characters are left: of a kind, or all but some."""
        if self.left is None:
            return 1 << 20
        return sum(n for char, n in self.left.items() if (kind is None or char in kind) and char not in but)

    def _owed(self) -> tuple[int, int]:
        """Return the number of steps that close everything, with the end, and how many of them are ink."""
        second = sum(item.opener in _TWO and not item.second for item in self.stack)
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


def load_symbols_decoder(folder: Path) -> SymbolsDecoder:
    """Load the decoder from a folder with `model.safetensors`.

    Raises:
        InputError: The folder holds no symbols decoder.
    """
    from safetensors.torch import load_file

    from ..config import preset  # not above: config imports the decoder

    path, prefix = folder / "model.safetensors", "symbols_decoder."
    if not path.is_file():
        raise InputError(f"{folder}: no model.safetensors in it")
    tensors = {k.removeprefix(prefix): v.float() for k, v in load_file(path).items() if k.startswith(prefix)}
    decoder = SymbolsDecoder(**(preset("vary-nano-formulas").formulas or {}))
    try:
        decoder.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(f"{path}: holds no symbols decoder of vary-nano-formulas") from None
    return decoder.eval()


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


@torch.inference_mode()
def write_formulas(decoder: SymbolsDecoder, glyphs: Sequence[Glyphs]) -> list[WrittenFormula]:
    """Write formulas greedily; every step is one that the grammar allows. A formula without glyphs is empty."""
    wanted = [k for k, (chars, _, _) in enumerate(glyphs) if chars]
    found = [WrittenFormula("", [], [], [], [], []) for _ in glyphs]
    if wanted:
        for k, written in zip(wanted, _write(decoder, [glyphs[k] for k in wanted]), strict=True):
            found[k] = written
    return found


def _write(decoder: SymbolsDecoder, glyphs: Sequence[Glyphs]) -> list[WrittenFormula]:
    device = decoder.step.weight.device
    memory = decoder.encode(*decoder.glyph_tensors(glyphs, device))
    pens = [_Pen(decoder, chars) for chars, _, _ in glyphs]
    count, wide = memory.states.shape[:2]
    inputs, last = torch.zeros(count, 1, dtype=torch.long), torch.full((count, 1), -1)
    used = torch.zeros(count, 1, wide, dtype=torch.bool)
    cache: list[Any] = [None] * len(decoder.decoder)
    while not all(pen.done for pen in pens):
        log_probs = _next(decoder, memory, inputs, last, used, cache, pens)
        chosen = log_probs.argmax(-1)
        for k, pen in enumerate(pens):
            if pen.done:
                continue
            at = pen.take(int(chosen[k]), float(log_probs[k, chosen[k]].exp()))
            inputs[k] = chosen[k]
            if at >= 0:
                last[k], used[k, 0, at] = at, True
    return [pen.result() for pen in pens]


def _next(
    decoder: SymbolsDecoder,
    memory: Memory,
    inputs: Tensor,
    last: Tensor,
    used: Tensor,
    cache: list[Any],
    pens: list[Any],
) -> Tensor:
    """Return log-probabilities (B, S + N) of the next steps, among those that are allowed."""
    device = memory.states.device
    logits = decoder.logits(memory, inputs.to(device), last.to(device), used.to(device), cache)[:, 0].cpu()
    allowed = torch.zeros(logits.shape, dtype=torch.bool)
    for k, pen in enumerate(pens):
        allowed[k, : len(pen.allowed())] = torch.tensor(pen.allowed())
    return logits.masked_fill(~allowed, -1e4).log_softmax(-1)


class _Pen:
    """What one formula of a batch has written."""

    def __init__(self, decoder: SymbolsDecoder, chars: str):
        self.chars, self.structure, self.left = chars, decoder.structure, [True] * len(chars)
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
        drawable = (not Counter(INK_OF.get(step, "")) - spare for step in self.structure)
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
