"""The repetition guard: it finds out that a model has begun to say the same thing for ever, and where that began.

A loop is a tail with a period: what a model wrote last equals what stands one period before it, again and again. One
pass over the reversed tail (its Z-array) gives the run of every period at once, of characters, of lines (their
figures masked, so that a counter in front hides nothing) or of tokens. How often a unit may come in a row depends on
what it says: a sentence four times is a loop, the rows of an empty grid, dots of a table of contents, a column of
`0.00` or of `yes` are not. Text that never repeats exactly is never stopped, which a penalty on repeats cannot promise
(dots.ocr issue 99: penalties end loops and empty tables).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MARKUP = re.compile(r"<[^<>]{0,80}>|&\w{2,8};|\\[a-zA-Z]+\*?(?:\{[a-z]{1,9}\})?|\\.")  # tags, entities, TeX's commands
ROW_ENDS = ("\n", "</tr", "\\\\")
# A page has about 100 lines of 250 signs. Figures below are letters, each distinct word of the unit counted once.
MOST, LEAST = 128, 4  # repeats of a unit: of the shortest words and figures; of the longest sentences
LETTERS = 640  # letters that repeats of a unit may add up to
MOST_SIGNS = 640  # characters of a unit without letters and figures inside one row (dots, rules, empty cells)
MASKED = 3  # lines that differ in their figures may come this many times as often
WINDOW = 24_000  # characters or tokens that are looked back on
SAME = 12  # characters that have stood before, or no run is long enough to count
STEP = 128  # characters between two looks; tokens: a quarter


@dataclass(frozen=True)
class Loop:
    """What repeats. level: `characters`, `lines` or `tokens`. keep: characters (or tokens) of the text up to the end
    of the unit's first coming; what follows is repetition. repeats: how often the unit came in a row.
    """

    level: str
    unit: str
    repeats: int
    keep: int


def allowed(unit: str) -> int:
    """How often a unit may come in a row: the less the more it says.

    It says the letters of its distinct words, ideographs threefold, figures a sixth, markup nothing. The unit is a
    cycle: where it begins is chance, so it is turned to begin with a tag, a line, a word or a command.
    """
    at = next((k for k in map(unit.find, ("<", "\n", " ", "\\")) if k >= 0), 0)
    unit = unit[at:] + unit[:at]
    words = set(re.findall(r"\w+", MARKUP.sub(" ", unit).lower().replace("_", " ")))
    says = sum(1 / 6 if ch.isdigit() else 3.0 if ch > "\u2e7f" else 1.0 for word in words for ch in word)
    if says:
        return max(LEAST, min(MOST, round(LETTERS / says)))
    return MOST if any(end in unit for end in ROW_ENDS) else max(LEAST, MOST_SIGNS // max(1, len(unit)))


def runs(tail: Sequence[Any]) -> list[tuple[int, int]]:
    """(period, length) of every periodic end of a sequence that holds its unit at least LEAST times, shortest first."""
    backward, size = tail[::-1], len(tail)
    match = [0] * size
    left = right = 0
    found = []
    for k in range(1, size):
        length = min(right - k, match[k - left]) if k < right else 0
        while k + length < size and backward[length] == backward[k + length]:
            length += 1
        match[k] = length
        if k + length > right:
            left, right = k, k + length
        if length >= (LEAST - 1) * k:
            found.append((k, k + length))
    return found


def _loop(level: str, tail: Sequence[Any], start: int, spell: Callable[[Sequence[Any]], str], most: int) -> Loop | None:
    """The first run longer than its unit may be. start: where the tail begins; most: how many times as long."""
    seen: list[int] = []
    for period, length in runs(tail):
        if any(period % shorter == 0 for shorter in seen):
            continue
        seen.append(period)
        unit = spell(tail[len(tail) - period :])
        if length // period > most * allowed(unit):
            return Loop(level, unit, length // period, start + len(tail) - length + period)
    return None


class RepetitionGuard:
    """Watches a text grow: `feed` it pieces until it returns a Loop. How the text was cut changes no verdict."""

    def __init__(self) -> None:
        self.text = ""
        self.loop: Loop | None = None
        self._looked = 0

    def feed(self, piece: str) -> Loop | None:
        """Take more text. The first Loop found stays: later pieces are not looked at."""
        self.text += piece
        while self.loop is None and len(self.text) - self._looked >= STEP:
            self._looked += STEP
            self.loop = self._look(self.text[max(0, self._looked - WINDOW) : self._looked])
        return self.loop

    def _look(self, tail: str) -> Loop | None:
        start = self._looked - len(tail)
        if tail.find(tail[-SAME:]) < len(tail) - SAME:  # else no run ends here, and most looks are over
            found = _loop("characters", tail, start, str, 1)
            if found:
                return found
        lines = tail.split("\n")[:-1]  # the last one is still being written
        masked = [re.sub(r"\d+", "0", line) for line in lines]
        found = _loop("lines", masked, 0, lambda unit: "\n".join(unit) + "\n", MASKED)
        if found is None:
            return None
        keep = start + sum(len(line) + 1 for line in lines[: found.keep])
        return Loop("lines", found.unit, found.repeats, keep)


def find_loop(text: str) -> Loop | None:
    """The loop in a finished text: the same as the guard would have found while it was written."""
    return RepetitionGuard().feed(text)


class StopRepetition:
    """The guard as a stopping criterion: `model.generate(…, stopping_criteria=[StopRepetition(decode, …)])`.

    decode: ids of one unit -> text. prompt: tokens of `input_ids` that are no answer (0 with `inputs_embeds`). ends:
    ids that end or pad an answer. Afterwards `loops[row]` is what was found in a row of the batch; a row's verdict is
    that of the row alone.
    """

    def __init__(self, decode: Callable[[list[int]], str], prompt: int = 0, ends: Sequence[int] = ()):
        self.decode, self.prompt, self.ends = decode, prompt, frozenset(ends)
        self.loops: dict[int, Loop] = {}

    def __call__(self, input_ids: Any, scores: Any = None, **_: Any) -> Any:
        """input_ids (B, T) -> bool (B,): rows that are to stop."""
        import torch

        if (input_ids.shape[1] - self.prompt) % (STEP // 4) == 0:
            for row, ids in enumerate(input_ids[:, max(self.prompt, input_ids.shape[1] - WINDOW) :].tolist()):
                if row not in self.loops and ids and not self.ends.intersection(ids):
                    start = input_ids.shape[1] - self.prompt - len(ids)
                    found = _loop("tokens", ids, start, lambda unit: self.decode(list(unit)), 1)
                    if found:
                        self.loops[row] = found
        stopped = [row in self.loops for row in range(input_ids.shape[0])]
        return torch.tensor(stopped, device=input_ids.device)
