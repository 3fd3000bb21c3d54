"""The grammar of formulas that are written step by step: which step may come next, and what ink each one needs.

Every formula that ends is well formed: what is opened is closed by its own kind, `\\frac` has two arguments, a
delimiter is printed after `\\left`, a base has one subscript and one superscript, names hold letters only. No glyph is
printed or drawn twice. The steps are those of `markup/math_tokens.py`.
"""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import dataclass, field, replace

from ...markup.math_symbols import BIG_OPERATORS, SPACES, SYMBOLS, TEXTS
from ...markup.math_tokens import BAR, CLOSERS, END, OPENERS, RULE, TAKE_DELIMITER, TWO_ARGUMENTS

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
DRAWN = frozenset((RULE, BAR, *map(chr, _ACCENTS.values())))  # glyphs that no step prints on its own
DELIMITERS = frozenset("()[]{}|‖⟨⟩⌊⌋⌈⌉⟦⟧")
_NAMES = frozenset(("\\operatorname{", "\\operatorname*{", *(f"{name}{{" for name in TEXTS)))
_OPERATORS = frozenset(("\\operatorname{", "\\operatorname*{"))
_LETTERS = frozenset(string.ascii_letters + string.digits)
_NEVER_IN_TEXT = frozenset("{}\\^~")
_WITH_LIMITS = frozenset(SYMBOLS[name] for name in BIG_OPERATORS)
_SCRIPTS = {"_{": 1, "^{": 2}
_TWO = TWO_ARGUMENTS | {"\\sqrt["}
_OPENERS, _SPACES = frozenset(OPENERS), frozenset(SPACES)
MOST_SPACES = 3  # in a row


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
        left: the characters that are not accounted for yet, each once; None for any number of all. Steps print them,
            or draw them as a fraction draws its rule. What is opened is kept ink for.
    """

    room: int
    left: Counter[str] | None = None
    stack: list[_Open] = field(default_factory=lambda: [_Open("")])
    delimiter: bool = False  # the next step must print a delimiter
    operator: bool = False  # the last step ended an operator, which may have limits
    spaces: int = 0  # in a row before the next step
    done: bool = False
    _inks: dict[tuple[frozenset[str] | None, frozenset[str]], int] = field(default_factory=dict)  # until the next step

    def _ink(self, kind: frozenset[str] | None = None, but: frozenset[str] = frozenset()) -> int:
        """Return how many characters can still be printed: of a kind, or all but some."""
        if self.left is None:
            return 1 << 20
        if (kind, but) not in self._inks:
            counts = [(char, n) for char, n in self.left.items() if char not in DRAWN]
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
            if self.left is not None and (step in DRAWN or self.left[step] < 1):
                return False
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
        if not self._affords(steps - filled, ink - filled, *self._cost(step)) or not self._draws(step, ink - filled):
            return False
        if step in _SPACES and (self.spaces == MOST_SPACES or self._ink() <= ink):
            return False  # white is between glyphs
        if step in _NAMES and not (self._ink(_LETTERS) if step in _OPERATORS else self._ink(but=_NEVER_IN_TEXT)):
            return False
        if top.opener in _NAMES:
            return step == "\\ " and top.opener not in _OPERATORS
        return self._fits(step, top)

    def _affords(self, steps: int, ink: int, more: int, more_ink: int) -> bool:
        return self.room >= steps + more and self._ink() >= ink + more_ink

    def _draws(self, step: str, ink: int) -> bool:
        """Return whether all that a step draws itself is left, beside the ink that is owed."""
        drawn = INK_OF.get(step, "")
        if self.left is None or not drawn:
            return True
        needed = ink + self._cost(step)[1] + sum(char not in DRAWN for char in drawn)
        return self._ink() >= needed and all(self.left[char] >= drawn.count(char) for char in drawn)

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

    @property
    def accounted(self) -> bool:
        """Whether no ink is left."""
        return self.left is None or not any(self.left.values())

    def copy(self) -> StepGrammar:
        """Return a state that goes on independently."""
        left = None if self.left is None else self.left.copy()
        return replace(self, left=left, stack=[replace(item) for item in self.stack], _inks={})

    def take(self, step: str) -> None:
        """Go on by an allowed step."""
        self._inks.clear()
        self.room -= 1
        self.spaces = self.spaces + 1 if step in _SPACES else 0
        if self.left is not None:
            self.left.subtract(INK_OF.get(step, step if len(step) == 1 else ""))
        top = self.stack[-1]
        closes_name = step == "\\egroup" and top.opener in _OPERATORS
        self.operator = not self.delimiter and (closes_name or step in _WITH_LIMITS)
        if len(step) == 1:
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
