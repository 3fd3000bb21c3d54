"""Choose between spellings of uncertain words by the words that the page certainly has.

`|edger` next to four times `ledger` is most likely `ledger`, and `0il` next to `oil` is `oil`. Only spellings that the
network itself finds likely are considered, and only words of letters: a number is never changed to another number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from ...document.lines import Alternative, TextLine, split_box

SURE = 0.6  # least confidence of every character of a word that counts as read
TIMES = 2  # a spelling is taken when so many words have it, and this many times as many as have the one that was read
LETTERS = 3  # least length of a word that is put in place of another
MOST_SPANS = 4  # uncertain spans of a word that are tried together
FAINTEST = 3.0  # nats; a spelling less likely than the word's own by more than this is not taken
MARKS = "¹²³*†‡§°©®™"  # a spelling with fewer or more of them is not taken
TOKEN = re.compile(r"\S+")
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # letters, with apostrophes and hyphens between them
AROUND = "([{\"'“‘«„.,;:!?)]}”’»…"  # punctuation around a word


def spell_as_elsewhere(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines of a page with uncertain words spelt as they are elsewhere on it.

    Args:
        lines: with their `alternatives`.
    """
    known: Counter[str] = Counter()
    for line in lines:
        for start, end in _tokens(line.text):
            if line.confidence[start:end].min() >= SURE:
                known[line.text[start:end].strip(AROUND)] += 1
    return [_spell(line, known) for line in lines]


def _tokens(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in TOKEN.finditer(text))


def _spell(line: TextLine, known: Counter[str]) -> TextLine:
    for start, end in reversed(list(_tokens(line.text))) if line.alternatives else ():
        spans = [one.shift(start) for one in line.alternatives if start <= one.start and one.end <= end]
        if not 0 < len(spans) <= MOST_SPANS:
            continue
        old = line.text[start:end]
        least = TIMES * max(1, known[old.strip(AROUND)])
        likely = [(odds, text) for text, odds in _spellings(old, spans) if odds > -FAINTEST]
        likely = [one for one in likely if all(old.count(mark) == one[1].count(mark) for mark in MARKS)]
        usual = [one for one in likely if known[word := one[1].strip(AROUND)] >= least and _is_long(word)]
        if usual:
            line = _put(line, start, end, max(usual)[1])
    return line


def _is_long(word: str) -> bool:
    """Return whether a word has enough letters, and nothing else, to be told from other words."""
    return len(word) >= LETTERS and WORD.fullmatch(word) is not None


def _spellings(text: str, spans: Sequence[Alternative]) -> Iterator[tuple[str, float]]:
    """Yield all spellings of a word with their log-odds against its own."""
    for chosen in product(*([(text[one.start : one.end], 0.0), *one.others] for one in spans)):
        out, at = "", 0
        for one, (spelling, _) in zip(spans, chosen, strict=True):
            out += text[at : one.start] + spelling
            at = one.end
        yield out + text[at:], sum(odds for _, odds in chosen)


def _put(line: TextLine, start: int, end: int, text: str) -> TextLine:
    """Put a word in place of another. Characters have its box in equal parts if their number changes."""
    old, alternatives = line.part(slice(start, end)), line.alternatives
    boxes = old.boxes if len(text) == end - start else split_box(old.box, len(text))
    values = {"confidence": np.full(len(text), old.confidence.min())}
    if old.styles is not None:
        values["styles"] = np.repeat(old.styles[:1], len(text), 0)
    line = line.put(start, end, text, boxes, **values)
    line.alternatives = [one for one in alternatives if one.end <= start]  # those after it are no longer needed
    return line
