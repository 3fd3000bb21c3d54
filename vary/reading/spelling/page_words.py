"""Choose between spellings of uncertain words by the words that the page certainly has.

`|edger` next to four times `ledger` is most likely `ledger`, and `0il` next to `oil` is `oil`. Uncertain blanks are
decided likewise: `tothe` next to many `to` and `the` is two words. Only spellings that the network itself finds likely
are considered, and only words of letters: a number is never changed to another number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from ...document.lines import Alternative, TextLine, split_box

SURE = 0.6  # least confidence of every character of a word that counts as read
TIMES = 2  # a spelling is taken when so many words have it, and this many times as many as have the one that was read
LETTERS = 3  # least length of a word that is put in place of another
MOST_SPANS = 6  # uncertain spans of a word that are tried together
FAINTEST = 3.0  # nats; a spelling less likely than the word's own by more than this is not taken
FAINTEST_BLANK = 1.5  # nats; the same for one with other blanks
DOUBTED = "\0"  # a blank that may be none
MARKS = "¹²³*†‡§°©®™"  # a spelling with fewer or more of them is not taken
TOKEN = re.compile(r"\S+")
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # letters, with apostrophes and hyphens between them
NUMBER = re.compile(r"\d+")  # of a list; it needs not be elsewhere
AROUND = "([{\"'“‘«„.,;:!?)]}”’»…"  # punctuation around a word


def spell_as_elsewhere(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines of a page with uncertain words spelt as they are elsewhere on it.

    Args:
        lines: with their `alternatives`.
    """
    lines = [replace(line, alternatives=list(_likely(line))) for line in lines]
    known: Counter[str] = Counter()
    for line in lines:
        for start, end in _stretches(line):
            text, spans = line.text[start:end], _within(line, start, end)
            if line.confidence[start:end].min() >= SURE and not any(_may_have(True, one) for one in spans):
                known[text.strip(AROUND)] += 1
    return [_spell(line, known) for line in lines]


def _likely(line: TextLine) -> Iterator[Alternative]:
    """Yield what is likely of the alternatives, without a blank at the beginning or end of all spellings of a span."""
    for one in line.alternatives:
        own, first, last = line.text[one.start : one.end], one.start, one.end
        others = tuple((other, odds) for other, odds in one.others if odds > -FAINTEST)
        if len(own) > 1 and not _may_have(False, one):
            if own[0] == " ":
                first, others = first + 1, tuple((other[1:], odds) for other, odds in others if other[:1] == " ")
            elif own[-1] == " ":
                last, others = last - 1, tuple((other[:-1], odds) for other, odds in others if other[-1:] == " ")
        if others:
            yield Alternative(first, last, others)


def _stretches(line: TextLine) -> Iterator[tuple[int, int]]:
    """Yield the parts of a line between blanks that are certain."""
    text = list(line.text)
    for one in line.alternatives:
        if _may_have(False, one):
            text[one.start : one.end] = DOUBTED * (one.end - one.start)
    return (match.span() for match in TOKEN.finditer("".join(text)))


def _within(line: TextLine, start: int, end: int) -> list[Alternative]:
    return [one for one in line.alternatives if start <= one.start and one.end <= end]


def _may_have(blank: bool, one: Alternative) -> bool:
    """Return whether a likely spelling of a span has a blank, or has none."""
    return any(odds > -FAINTEST_BLANK and (" " in other) is blank for other, odds in one.others)


def _spell(line: TextLine, known: Counter[str]) -> TextLine:
    for start, end in reversed(list(_stretches(line))) if line.alternatives else ():
        spans = [one.shift(start) for one in _within(line, start, end)]
        if not 0 < len(spans) <= MOST_SPANS:
            continue
        old = line.text[start:end]
        own = _count(old, known)
        least = TIMES * max(1, own)
        faintest = {old.count(" "): -FAINTEST}  # a word of the page is not parted
        likely = [
            (odds, text)
            for text, odds in _spellings(old, spans)
            if odds > faintest.get(text.count(" "), 0.0 if own else -FAINTEST_BLANK)
        ]
        likely = [one for one in likely if all(old.count(mark) == one[1].count(mark) for mark in MARKS)]
        likely = [one for one in likely if one[1].casefold() != old.casefold()]  # the height of a letter shows its case
        usual = [one for one in likely if _count(one[1], known) >= least and _is_long(one[1])]
        if usual:
            line = _put(line, start, end, max(usual)[1])
    return line


def _count(text: str, known: Counter[str]) -> int:
    """Return how often the page has all words of a text."""
    return min((known[word] for word in _words(text) if not NUMBER.fullmatch(word)), default=0)


def _is_long(text: str) -> bool:
    """Return whether words have enough letters, and but for numbers nothing else, to be told from other words."""
    words = _words(text)
    parted = len(words) > 1
    return max(map(len, words)) >= LETTERS and all(
        WORD.fullmatch(word) or (parted and NUMBER.fullmatch(word)) for word in words
    )


def _words(text: str) -> list[str]:
    return [word.strip(AROUND) for word in text.split(" ")]


def _spellings(text: str, spans: Sequence[Alternative]) -> Iterator[tuple[str, float]]:
    """Yield all spellings of a word with their log-odds against its own."""
    for chosen in product(*([(text[one.start : one.end], 0.0), *one.others] for one in spans)):
        out, at = "", 0
        for one, (spelling, _) in zip(spans, chosen, strict=True):
            out += text[at : one.start] + spelling
            at = one.end
        yield out + text[at:], sum(odds for _, odds in chosen)


def _put(line: TextLine, start: int, end: int, text: str) -> TextLine:
    """Put words in place of others. What changes has the box of what it replaces, in equal parts if the number does."""
    old, alternatives, least = line.text[start:end], line.alternatives, line.confidence[start:end].min()
    same = _shared(old, text)
    tail = _shared(old[same:][::-1], text[same:][::-1])
    if same + tail == len(old):  # what is only put in shares the box of a neighbour
        same, tail = (same - 1, tail) if same else (0, tail - 1)
    start, end, text = start + same, end - tail, text[same : len(text) - tail]
    replaced = line.part(slice(start, end))
    boxes = replaced.boxes if len(text) == end - start else split_box(replaced.box, len(text))
    values = {"confidence": np.full(len(text), least)}
    if replaced.styles is not None:
        values["styles"] = np.repeat(replaced.styles[:1], len(text), 0)
    line = line.put(start, end, text, boxes, **values)
    line.alternatives = [one for one in alternatives if one.end <= start]  # those after it are no longer needed
    return line


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts share at their beginning."""
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
