"""Detect that a model repeats itself without end, and where the repetition begins.

A loop is a text whose end has a period: its last characters equal those one period before, again and again. One pass
over the reversed end of the text (its Z-array) gives the run of every period. It is done for characters, for lines
with masked digits (so that a counter hides no loop) and for tokens. How often a unit may repeat depends on its
letters: a sentence four times is a loop; the rows of an empty grid, the dots of a table of contents and a column of
`0.00` are not. Text that never repeats exactly is never stopped; a penalty on repeats cannot promise that (dots.ocr
issue 99: penalties end loops and empty tables).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MARKUP = re.compile(r"<[^<>]{0,80}>|&\w{2,8};|\\[a-zA-Z]+\*?(?:\{[a-z]{1,9}\})?|\\.")  # tags, entities, TeX's commands
ROW_ENDS = ("\n", "</tr", "\\\\")
# A page has about 100 lines of 250 characters. Each distinct word of a unit counts once.
MOST, LEAST = 128, 4  # repeats that a unit may have: the shortest words and numbers; the longest sentences
LETTERS = 640  # letters that repeats of a unit may add up to
MOST_SYMBOLS = 640  # characters that repeats of a unit without letters and digits may add up to inside one row
MASKED = 3  # lines that differ in their digits may repeat this many times as often
WINDOW = 24_000  # characters or tokens at the end of a text that are searched
SAME = 12  # characters; if the last ones occur nowhere before, there is no loop
STEP = 128  # characters between two searches; a quarter as many tokens


@dataclass(frozen=True)
class Loop:
    """A repetition at the end of a text.

    Args:
        level: `characters`, `lines` or `tokens`.
        unit: The text that repeats.
        repeats: How often the unit occurs in a row.
        keep: Characters (or tokens) of the text up to the end of the unit's first occurrence.
    """

    level: str
    unit: str
    repeats: int
    keep: int


def max_repeats(unit: str) -> int:
    """Return how often a unit may repeat in a row: the more letters it has, the fewer times.

    Letters of distinct words count 1, ideographs 3, digits 1/6, markup 0. The unit is a cycle with a random beginning,
    so it is rotated to begin with a tag, a line, a word or a command.
    """
    at = next((k for k in map(unit.find, ("<", "\n", " ", "\\")) if k >= 0), 0)
    unit = unit[at:] + unit[:at]
    words = set(re.findall(r"\w+", MARKUP.sub(" ", unit).lower().replace("_", " ")))
    says = sum(1 / 6 if ch.isdigit() else 3.0 if ch > "\u2e7f" else 1.0 for word in words for ch in word)
    if says:
        return max(LEAST, min(MOST, round(LETTERS / says)))
    return MOST if any(end in unit for end in ROW_ENDS) else max(LEAST, MOST_SYMBOLS // max(1, len(unit)))


def find_runs(tail: Sequence[Any]) -> list[tuple[int, int]]:
    """Return (period, length) of every periodic end that has at least LEAST periods, shortest period first."""
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
    """Return the first run that is `most` times longer than allowed. start: place of `tail` in the text."""
    seen: list[int] = []
    for period, length in find_runs(tail):
        if any(period % shorter == 0 for shorter in seen):
            continue
        seen.append(period)
        unit = spell(tail[len(tail) - period :])
        if length // period > most * max_repeats(unit):
            return Loop(level, unit, length // period, start + len(tail) - length + period)
    return None


class RepetitionGuard:
    """Check a growing text: `feed` it pieces until it returns a Loop. The result does not depend on the pieces."""

    def __init__(self) -> None:
        self.text = ""
        self.loop: Loop | None = None
        self._looked = 0

    def feed(self, piece: str) -> Loop | None:
        """Append text and return the first Loop found; text after it is not searched."""
        self.text += piece
        while self.loop is None and len(self.text) - self._looked >= STEP:
            self._looked += STEP
            self.loop = self._look(self.text[max(0, self._looked - WINDOW) : self._looked])
        return self.loop

    def _look(self, tail: str) -> Loop | None:
        start = self._looked - len(tail)
        if tail.find(tail[-SAME:]) < len(tail) - SAME:  # else no run ends here
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
    """Return the loop in a finished text, as the guard finds it while the text is written; None if there is none."""
    return RepetitionGuard().feed(text)


class StopRepetition:
    """A stopping criterion: `model.generate(…, stopping_criteria=[StopRepetition(decode, …)])`.

    `loops[row]` is the loop found in a row of the batch. Rows do not affect each other.

    Args:
        decode: Turns the ids of a unit into text.
        prompt: Tokens of `input_ids` before the answer (0 with `inputs_embeds`).
        ends: Ids that end or pad an answer.
    """

    def __init__(self, decode: Callable[[list[int]], str], prompt: int = 0, ends: Sequence[int] = ()):
        self.decode, self.prompt, self.ends = decode, prompt, frozenset(ends)
        self.loops: dict[int, Loop] = {}

    def __call__(self, input_ids: Any, scores: Any = None, **_: Any) -> Any:
        """Return which rows of `input_ids` (B, T) stop, as bool (B,)."""
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
