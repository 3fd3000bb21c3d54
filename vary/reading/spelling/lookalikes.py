"""Choose between characters that look alike, such as 0 and O or 1, l and I, by the characters next to them.

One shape may stand for several characters, and the network is often wrong about which. The word decides: `L00SE` is
`LOOSE`, `l6.O2` is `16.02`, `1iter` is `liter`. A word's spellings are compared by the network's probabilities and by
RULES, which say what is rare in words and numbers of any language in Latin letters. Characters without a likely rival
are never changed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence, Set
from dataclasses import replace
from functools import cache, lru_cache
from math import log

import numpy as np

from ...document.alphabets import WITHOUT_STROKE
from ...document.lines import TextLine
from ...io.box import union

GROUPS = ("0OoQDCc°", "1lI|i!]", "2Zz", "5Ss$", "6b", "7?", "8B", "9gq", "Uu", "Vv", "Ww", "Xx", "3Зз")  # look alike
ONE_SHAPE = dict(
    zip("cosuvwxzгджзийлпцчшщъыьэюявкмнт", "COSUVWXZГДЖЗИЙЛПЦЧШЩЪЫЬЭЮЯBKMHT", strict=True)
)  # in both cases
RIVALS = "".join(sorted(set("0123456789łŁ").union(*GROUPS, ONE_SHAPE, ONE_SHAPE.values())))
RAISED = frozenset("°º˚ª'\"’‘“”′″`´^*²³¹")  # small raised signs, which the head takes for one another
SEEN_AS = {
    "$": "Ss5", "£": "EeFfLlt", "€": "CcEe", "¥": "Yy", "¢": "c", "¡": "iIjl1!;:", "¿": "?;:", "Ø": "08",
    "№": "NPНР", "≥": ">", "≤": "<", "≠": "=", "±": "+", "·": "-", "⋅": "-", "•": ".",
    "/": "A", "\\": "A", "~": "-", "{": "[(", "}": "])", "[": "{(", "]": "})", "(": "[{)", ")": "]}(",
}  # fmt: skip  # signs and a letter, and what the head takes them for
FLOOR = 0.005  # least probability of a character that is chosen
CASE = 0.3  # share of the probability of the same letter in the other case that counts for a letter
BEAM = 12  # spellings of a word that are kept
SMALL, LARGE, LETTER = "[a-zß-ÿ]", "[A-ZÀ-Þ]", r"[^\W\d_]"
LIKE, JOIN = "[OoDIlZzSsB]", "[.,:/-]?"  # letters like digits; what may stand between two parts of a number
RULES = tuple(
    (re.compile(pattern), nats)
    for pattern, nats in (
        (rf"(?<={LETTER})\d+(?={LETTER}{{2}})", 4.5),  # digits inside a word
        (rf"(?<![\w.,])\d+(?={LETTER}{{3}})", 2.5),  # digits before a word
        (rf"(?<={LETTER}{{3}})\d(?!\d)", 1.0),  # one digit behind a word
        (rf"(?<={LETTER})0+(?={LETTER})", 2.0),  # 0 is taken for O more often than other digits for letters
        (rf"(?<!\w)0(?={LETTER}{{2}})", 2.0),
        (rf"(?<={LETTER}{{2}})0(?!\w)", 1.0),
        (rf"(?<=\d){JOIN}{LETTER}", 1.2),  # letters and digits in turns
        (rf"{LETTER}(?={JOIN}\d)", 1.2),
        (r"(?<!\w)[AC-HJKMNP-RT-Y](?=\d+(?!\w))", -1.2),  # a number that a capital names, such as A4
        (rf"(?<!{LETTER}){LIKE}(?={JOIN}\d)", 0.4),
        (rf"(?<!\w){LIKE}[.,]{LIKE}+(?!\w)", 1.5),
        (rf"(?<=\d)[.,:/-]?{LIKE}+(?!\w)", 0.8),
        (r"(?<=\d[.,].)[oO](?!\w)|(?<=\d[.,])[oO]{2}(?!\w)", 2.5),  # no decimals end so; old-style zeros look like o
        (rf"(?<=\d)[.,:/-]{LIKE}{{2}}(?!\w)", 1.5),
        (rf"(?<={SMALL}){LARGE}", 3.0),  # a capital after a small letter
        (rf"(?<={LARGE}{{2}}){SMALL}", 2.5),  # a small letter after capitals
        (r"(?<!\w)l(?=[bcdfgkmnpqrstvwxz])", 3.0),  # no word begins so
        (rf"(?<!\w)I(?=[aeou]{SMALL})", 2.5),  # few words begin so, such as Iowa; many begin with l and a vowel
        (r"(?<![\w'’–−-])l(?![\w'’])", 2.0),  # no word, but a unit behind a number and an option (`ls -l`)
        (r"lll", 3.0),
        (r"(?<![\w'’])ll(?!\w)", 2.0),
        (rf"(?<=[$€£+#]){LETTER}", 2.0),
        (r"\$\$", 3.0),
        (r"(?<!\w)[sS](?=\d)", -1.2),  # perhaps a $, which must not become a digit of its amount
        (r"(?<![\w.,])\$(?=\d{1,3}(?:,?\d{3})*\.\d\d(?!\w))", -3.0),  # an amount of money
        (r"(?<!\S)[Il1|]=$", 1.0),  # unequal, in program text
        (r"(?<=\w)[|!\]°$&](?=\w)", 2.0),  # a sign inside a word or a number
    )
)

AMOUNT = re.compile(r"(?<![^\s(+−–-])[EfŁe](?=\d{1,3}(?:,?\d{3})*\.\d\d(?![\w.]))")  # its sign was read as a letter
CURRENCIES = {"E": "£", "f": "£", "Ł": "£", "e": "€"}
EURO = re.compile(r"(?<=\d[.,]\d\d )[єεЄ][cсє]?(?!\S)")  # behind an amount, read with more letters
COLON = re.compile(r"(?<=\d)(?:\.:|:\.)(?=\d\d(?!\d))")  # of a time, whose lower dot was read twice
COUNTED = re.compile(r"(?<!\S)\d+ ([^\W\d_]{3,})")  # a word behind a number
ONES = re.compile(r"(?<!\S)[1lIi|!]{2,} ([^\W\d_]{3,})")  # what may be a number of ones, and the word behind it
READ_AS_LETTER = 0.6  # most confidence of a sign of a currency that was read as a letter


@cache
def _columns(alphabet: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of the characters of RIVALS that the alphabet has, and their places in RIVALS."""
    known = [k for k, ch in enumerate(RIVALS) if ch in alphabet]
    return np.array([alphabet.index(RIVALS[k]) + 1 for k in known], int), np.array(known, int)


def rival_odds(path_TA: np.ndarray, at: np.ndarray, alphabet: str) -> np.ndarray:
    """Return (N, K), the probability of each character of RIVALS at each character of a line.

    That of ł is the largest in the frames at a letter and next to it: its stroke may show in one of them alone.

    Args:
        path_TA: probabilities of all classes along the line; class 0 is the CTC blank.
        at: frame of each character.
        alphabet: character of each class from 1.
    """
    classes, places = _columns(alphabet)
    odds = np.zeros((len(at), len(RIVALS)), np.float32)
    odds[:, places] = path_TA[at][:, classes]
    for ch in set("łŁ") & set(alphabet):
        shown_T = np.pad(path_TA[:, alphabet.index(ch) + 1], 1)
        odds[:, RIVALS.index(ch)] = np.maximum(np.maximum(shown_T[at], shown_T[at + 1]), shown_T[at + 2])
    return odds


_GROUP_OF = {ch: "".join(group for group in GROUPS if ch in group) for ch in RIVALS}


@lru_cache(20_000)
def rarity(word: str) -> float:
    """Return how rare the shape of a word is, in nats: the sum of RULES."""
    return sum(nats * len(rule.findall(word)) for rule, nats in RULES)


def one_shape(first: str, second: str) -> bool:
    """Return whether two characters are the same letter in two cases, or a digit and a letter that looks like it.

    So are a letter and the same one with a mark. Narrow ones such as 1 and l do not count: two of them may stand as
    near to each other as two readings of one.
    """
    if ONE_SHAPE.get(first) == second or ONE_SHAPE.get(second) == first:
        return True
    if second in _GROUP_OF.get(first, ""):
        return second not in GROUPS[1]
    return differ_by_mark(first, second)


def differ_by_mark(first: str, second: str) -> bool:
    """Return whether two characters are one letter with different marks, or with and without one, such as l and ł."""
    return first != second and first.isalpha() and _without_mark(first) == _without_mark(second)


@cache
def _without_mark(ch: str) -> str:
    return unicodedata.normalize("NFD", ch)[0].translate(WITHOUT_STROKE)


def spell_by_neighbours(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines with the likeliest spelling of each word in which characters have likely rivals.

    A letter before an amount with two decimals is the sign of its currency: `E149.00` is `£149.00`. So is `є`
    behind it. `17.:20` is `17:20`. Before a word that follows a number elsewhere on the page, strokes are ones:
    `3 liter` and `1l liter`.
    """
    counted = {found[1].casefold() for line in lines for found in COUNTED.finditer(line.text)}
    return [_spell_signs(_spell_line(line, counted)) for line in lines]


def _spell_signs(line: TextLine) -> TextLine:
    latin = line.writer == "head" and not re.search(r"[\u0370-\u04ff]", EURO.sub("", line.text))
    for found in reversed([*EURO.finditer(line.text)] if latin else []):
        box = union(line.boxes[slice(*found.span())])
        line = line.put(*found.span(), "€", [box], confidence=np.array([READ_AS_LETTER]))
    for found in reversed([*COLON.finditer(line.text)] if line.writer == "head" else []):
        box, sure = union(line.boxes[slice(*found.span())]), line.confidence[slice(*found.span())].max()
        line = line.put(*found.span(), ":", [box], confidence=np.array([sure]))
    places = [found.start() for found in AMOUNT.finditer(line.text)] if line.writer == "head" else []
    if not places:
        return line
    text, confidence = list(line.text), line.confidence.copy()
    for k in places:
        text[k], confidence[k] = CURRENCIES[text[k]], min(confidence[k], READ_AS_LETTER)
    return replace(line, text="".join(text), confidence=confidence, alternatives=())


def _spell_line(line: TextLine, counted: Set[str]) -> TextLine:
    if line.rivals is None or line.writer != "head":
        return line
    text, confidence = line.text, line.confidence.copy()
    ones = {found.start() for found in ONES.finditer(text) if found[1].casefold() in counted}
    for found in re.finditer(r"\S+", line.text):
        start, end = found.span()
        choices = [_choices(line, k) for k in range(start, end)]
        litres = found[0] == "l" and text[:start].rstrip()[-1:].isdigit()
        if litres or all(len(one) == 1 for one in choices):
            continue
        ones_alone = start in ones and all("1" in one for one in choices)
        spelt = "1" * len(choices) if ones_alone else best_spelling(choices)
        for k, ch in enumerate(spelt, start):
            if ch != text[k]:
                confidence[k] = line.rivals[k, RIVALS.index(ch)]
        text = text[:start] + spelt + text[end:]
    return line if text == line.text else replace(line, text=text, confidence=confidence, alternatives=())


def _choices(line: TextLine, k: int) -> dict[str, float]:
    """Return the log-probabilities of what a character may be."""
    assert line.rivals is not None
    own = line.text[k]
    found = {own: log(max(float(line.confidence[k]), 1e-6))}
    for ch in _GROUP_OF.get(own, ""):
        odds = float(line.rivals[k, RIVALS.index(ch)])
        if ch.isalpha() and ch.swapcase() in RIVALS and not own.isalpha():
            odds += CASE * float(line.rivals[k, RIVALS.index(ch.swapcase())])
        if ch != own and odds >= FLOOR:
            found[ch] = log(odds)
    return found


def best_spelling(choices: Sequence[dict[str, float]]) -> str:
    """Return the likeliest word, by beam search.

    Args:
        choices: what each character may be, with log-probabilities.
    """
    beams = {"": 0.0}
    for one in choices:
        grown = {word + ch: odds + own for word, odds in beams.items() for ch, own in one.items()}
        if len(grown) > BEAM:
            kept = sorted(grown, key=lambda word: grown[word] - rarity(word), reverse=True)[:BEAM]
            grown = {word: grown[word] for word in kept}
        beams = grown
    return max(beams, key=lambda word: beams[word] - rarity(word))


def same_letter(a: str, b: str) -> bool:
    """Return whether a claim and what is seen differ in accents or case alone, as small capitals do.

    A sign of a currency and the letter that it is made of count as the same letter, and so do small raised signs and
    the signs that begin Spanish sentences. Of rare currencies no letters are known: the head takes them for many.
    """
    if {a, b} <= RAISED:
        return a != b
    rare = unicodedata.category(a[:1] or " ") == "Sc" and a not in SEEN_AS
    if b.strip() and (rare or b in SEEN_AS.get(a, "")):
        return True
    parts = [unicodedata.normalize("NFKD", ch)[:1] for ch in (a, b)]
    if parts[0] != a or parts[0].translate(WITHOUT_STROKE) != a:  # the head misses marks, but sees none on bare letters
        parts = [ch.translate(WITHOUT_STROKE) for ch in parts]
    return parts[0].casefold() == parts[1].casefold() and a != b
