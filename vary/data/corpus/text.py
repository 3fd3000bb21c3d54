"""Draw the text of rendered pages: corpus passages with typographic quotes and dashes, and text without language.

A quarter of the pages are pseudo-words or shuffled words. A reader that relies on language instead of characters fails
on them, and `vary eval` shows it.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping

import numpy as np

from ...document.alphabets import LATIN, class_index
from ...io.errors import ConfigError
from .download import Corpus

STYLES = ("natural", "shuffled", "pseudo", "capitals")
_ACCENTS = {
    "a": "àáâãäåą", "c": "çćč", "e": "èéêëęě", "i": "ìíîï", "n": "ñń", "o": "òóôõöøő", "u": "ùúûüűů", "y": "ýÿ",
    "s": "šś", "z": "ž", "l": "ł", "r": "ř", "A": "ÀÁÂÃÄÅ", "C": "Ç", "E": "ÈÉÊË", "I": "ÌÍÎÏ", "N": "Ñ",
    "O": "ÒÓÔÕÖØ", "U": "ÙÚÛÜ", "S": "Š", "Z": "Ž", "L": "Ł",
}  # fmt: skip
_RARE = "©®°±×÷½¼¾²³µ¶†‡™€£¥¢«»¡¿≤≥≠→←∞≈−§…·ÆÐÞßæðþŒœ" + string.punctuation

_GREEK_CAPITALS = str.maketrans("ΆΈΉΊΌΎΏ", "ΑΕΗΙΟΥΩ")  # words in capitals have no accents
_COMMAS = str.maketrans(",.", ".,")


class TextSource:
    """Passages of a corpus, limited to one alphabet. Every draw takes its own random generator; there is no state."""

    def __init__(self, corpus: Corpus, alphabet: str = LATIN):
        self.corpus = corpus
        self.alphabet = frozenset(class_index(alphabet))
        self._accents = _ACCENTS if alphabet == LATIN else _variants(alphabet)

    def words(self, rng: np.random.Generator, count: int, style: str = "natural") -> list[str]:
        """Return about `count` words of running text in one of `STYLES`; at least one word."""
        text = self.corpus.text
        found: list[str] = []
        while len(found) < count:
            start = int(rng.integers(max(1, len(text) - 8 * count)))
            passage = text[start : start + 8 * count + 40].split()[1:-1] or text[:200].split()
            found += passage
        found = self._typographic(rng, found[:count])
        if style == "shuffled":
            found = [found[k] for k in rng.permutation(len(found))]
        elif style == "pseudo":
            found = _pseudo(rng, found)
        elif style == "capitals":
            found = [word.upper().translate(_GREEK_CAPITALS) for word in found]
        elif style != "natural":
            raise ConfigError(f"unknown text style {style!r}; allowed: {', '.join(STYLES)}")
        if not self.alphabet.issuperset("".join(found)):
            found = ["".join(ch for ch in word if ch in self.alphabet) for word in found]
        return [word[:40] for word in found if word] or ["a"]

    def cell(self, rng: np.random.Generator, style: str = "natural") -> str:
        """Return the content of a table cell: a word, an amount, a number, or a few characters."""
        kind = rng.random()
        if kind < 0.4:
            return self.words(rng, 1, style)[0]
        if kind < 0.55:
            return _amount(rng)
        if kind < 0.8:
            return f"{rng.random() * 10 ** int(rng.integers(6)):.{int(rng.integers(4))}f}"
        return _some(rng, string.punctuation, int(rng.integers(1, 4)))

    def _typographic(self, rng: np.random.Generator, words: list[str]) -> list[str]:
        """Use curly quotes and real dashes, as books do, or plain ASCII, as manuals do; add rare characters."""
        text = " ".join(words)
        if rng.random() < 0.55:
            if '"' in text:
                text = re.sub(r'(?<!\S)"', "“", text).replace('"', "”")
            if "'" in text or "`" in text:
                text = re.sub(r"(?<!\S)['`]", "‘", text).replace("'", "’")
            text = text.replace("--", "—").replace("...", "…")
            if rng.random() < 0.3:
                text = re.sub(r"(?<=\d)-(?=\d)", "–", text).replace(" - ", " – ")
        words = text.split(" ")
        if rng.random() < 0.5:  # characters that are rare in prose
            for k in rng.integers(0, len(words), max(1, len(words) // 12)).tolist():
                words[k] = self._odd(rng, words[k])
        return words

    def _odd(self, rng: np.random.Generator, word: str) -> str:
        kind = int(rng.integers(9))
        if kind == 0:
            return _some(rng, string.digits, int(rng.integers(1, 8)))
        if kind == 1:
            return f"{rng.random() * 10 ** int(rng.integers(5)):,.{int(rng.integers(4))}f}"
        if kind == 2:
            return "".join(_accent(rng, ch, self._accents) for ch in word)
        if kind == 3:
            return word + _some(rng, _RARE, 1)
        if kind == 4:
            return word.upper() if rng.random() < 0.5 else word.title()
        if kind == 5:
            left, right = ("()", "[]", "{}", "<>", "“”", "‘’", "«»", "``", '""', "''")[int(rng.integers(10))]
            return left + word + right
        if kind == 6:  # operators and similar, between spaces
            return _some(rng, string.punctuation, int(rng.integers(1, 4)))
        if kind == 7:
            return _amount(rng)
        glue = "_-./:=@#&%+*|\\~^$,"
        return "".join(w + glue[int(rng.integers(len(glue)))] for w in (word, word[::-1])) + word[:3]


def _amount(rng: np.random.Generator) -> str:
    """Return an amount of money, a share, a date or a number with a mark, as invoices and receipts print them."""
    value = rng.random() * 10 ** int(rng.integers(1, 6))
    number = f"{value:,.2f}" if rng.random() < 0.7 else f"{value:.0f}"
    if rng.random() < 0.3:
        number = number.translate(_COMMAS)
    kind = int(rng.integers(6))
    if kind < 3:
        mark = "$$$€€£¥"[int(rng.integers(7))]
        return (mark + number, f"-{mark}{number}", f"{number}{mark}")[int(rng.choice(3, p=(0.7, 0.1, 0.2)))]
    if kind == 3:
        return f"{number}%"
    if kind == 4:
        day, month, year = (int(rng.integers(1, high)) for high in (32, 13, 100))
        return "/-.:"[int(rng.integers(4))].join(f"{part:02d}" for part in (day, month, year))
    return "#&*+-"[int(rng.integers(5))] + number


def _some(rng: np.random.Generator, signs: str, count: int) -> str:
    return "".join(signs[k] for k in rng.integers(len(signs), size=count).tolist())


def _pseudo(rng: np.random.Generator, words: list[str]) -> list[str]:
    """Shuffle the letters inside each word: the shape of text without its language."""
    letters, lengths = "".join(words), [len(word) for word in words]
    order = np.argsort(np.repeat(np.arange(len(words)), lengths) + rng.random(len(letters)))
    mixed, ends = "".join(letters[k] for k in order.tolist()), np.cumsum(lengths).tolist()
    return [mixed[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _variants(alphabet: str) -> dict[str, str]:
    """Return the letters of an alphabet that have marks, by the letter without its marks."""
    found: dict[str, str] = {}
    for ch in alphabet:
        base = unicodedata.normalize("NFD", ch)[0]
        if base != ch:
            found[base] = found.get(base, "") + ch
    return found


def _accent(rng: np.random.Generator, ch: str, accents: Mapping[str, str]) -> str:
    choices = accents.get(ch, "")
    return choices[int(rng.integers(len(choices)))] if choices and rng.random() < 0.4 else ch
