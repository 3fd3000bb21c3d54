"""Page scores over words: those of Fox and GOT (set-based precision, recall and F1, BLEU-4, METEOR), and ROUGE-L.

Words are split at white space; Chinese text is cut by jieba. Precision, recall and F1 are over *sets* of words: they
see neither repetition nor order. The published scripts call their function as (label, answer) where it is written for
(prediction, truth): their precision is the recall and their recall the precision, and their BLEU and METEOR take the
answer for the reference. `page_scores` gives either orientation. Edit distance and F1 are the same in both.
Sources: Fox, arXiv 2405.14295, and GOT, arXiv 2409.01704, with their evaluation scripts, which call NLTK.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from rapidfuzz.distance import LCSseq

from ...io.errors import InputError, MissingExtra
from .text import Match, edit_distance

_CHINESE = re.compile("[\u4e00-\u9fa5]")  # the range of the published scripts
Synonyms = Callable[[str], Iterable[str]]


def split_words(*texts: str) -> list[list[str]]:
    """The words of each text: at white space, and by jieba for all of them if one has a Chinese character.

    jieba's cuts include blanks and punctuation, as in the published scores. Raises ValueError when it is not installed.
    """
    if not any(map(_CHINESE.search, texts)):
        return [text.split() for text in texts]
    try:
        import jieba
    except ImportError:
        raise MissingExtra("splitting Chinese text into words", "jieba", "zh") from None
    jieba.setLogLevel("WARNING")
    return [jieba.lcut(text) for text in texts]


def page_scores(
    predicted: str, truth: str, *, published: bool = False, synonyms: Synonyms | None = None
) -> dict[str, float]:
    """edit_distance (of characters), precision, recall, f1, bleu and meteor of a page.

    published: in the orientation of Fox's and GOT's scripts and tables. synonyms: for METEOR, see there.
    Raises ValueError for Chinese text when jieba is not installed.
    """
    given = (truth, predicted) if published else (predicted, truth)
    found, wanted = split_words(*given)
    match = overlap(found, wanted)
    return {
        "edit_distance": edit_distance(predicted, truth), "precision": match.precision, "recall": match.recall,
        "f1": match.f1, "bleu": bleu(found, wanted), "meteor": meteor(found, wanted, synonyms),
    }  # fmt: skip


def overlap(predicted: Sequence[str], truth: Sequence[str]) -> Match:
    """Precision, recall and F1 of the sets of words."""
    found, wanted = set(predicted), set(truth)
    return Match.of(len(found & wanted), len(found), len(wanted))


def bleu(predicted: Sequence[str], truth: Sequence[str]) -> float:
    """BLEU-4 of one page, uniform weights, no smoothing (Papineni et al., ACL 2002; NLTK's `sentence_bleu`).

    0 when any of the four orders has no match (NLTK gives numbers below 1e-76 there), so a page of under four words
    scores 0 however right it is; 1 for two empty pages.
    """
    if not predicted or not truth:
        return float(len(predicted) == len(truth))
    logs = 0.0
    for n in range(1, 5):
        found, wanted = _grams(predicted, n), _grams(truth, n)
        common = (found & wanted).total()
        if not common:
            return 0.0
        logs += math.log(common / found.total()) / 4
    return math.exp(logs + min(0.0, 1 - len(truth) / len(predicted)))


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[k:] for k in range(n)), strict=False))


def meteor(predicted: Sequence[str], truth: Sequence[str], synonyms: Synonyms | None = None) -> float:
    """METEOR of one page, alpha .9, beta 3, gamma .5 (Lavie and Agarwal, WMT 2007; NLTK's `meteor_score`).

    Words are matched in lower case as they are, then by stem, then by synonyms: a function from a word to the words
    that mean the same. The published scores use WordNet 3.0 (`wordnet_synonyms`); without it a misread word that is a
    synonym of the printed one does not count. 1 for two empty pages.
    """
    if not predicted or not truth:
        return float(len(predicted) == len(truth))
    found, wanted = ({k: w.lower() for k, w in enumerate(words)} for words in (predicted, truth))
    pairs = _matched(found, wanted, lambda word: (word,))
    found, wanted = ({k: stem(w) for k, w in words.items()} for words in (found, wanted))
    pairs += _matched(found, wanted, lambda word: (word,))
    if synonyms:  # NLTK looks up the stems, not the words
        pairs += _matched(found, wanted, lambda word: {word, *synonyms(word)})
    if not pairs:
        return 0.0
    pairs.sort()
    chunks = 1 + sum((c - a, d - b) != (1, 1) for (a, b), (c, d) in pairwise(pairs))
    precision, recall = len(pairs) / len(predicted), len(pairs) / len(truth)
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    return mean * (1 - 0.5 * (chunks / len(pairs)) ** 3)


def _matched(found: dict[int, str], wanted: dict[int, str], alike: Synonyms) -> list[tuple[int, int]]:
    """Pairs of places: each word, from the last on, with the last free one that is like it; taken out of both."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, word in wanted.items():
        places[word].append(place)
    pairs = []
    for k in reversed(list(found)):
        free = [places[word] for word in alike(found[k]) if places.get(word)]
        if free:
            place = max(free, key=lambda stack: stack[-1]).pop()
            pairs.append((k, place))
            del found[k], wanted[place]
    return pairs


def wordnet_synonyms() -> Synonyms:
    """WordNet's synonyms by NLTK, for `meteor`. Raises ValueError when package or data are not installed."""
    try:
        from nltk.corpus import wordnet

        wordnet.ensure_loaded()
    except (ImportError, LookupError, OSError):
        raise InputError("synonyms need nltk and its WordNet: pip install nltk; nltk.download('wordnet')") from None
    return lambda word: {name for s in wordnet.synsets(word) for name in s.lemma_names() if "_" not in name}


def rouge_l(predicted: Sequence[str], truth: Sequence[str]) -> Match:
    """Longest common subsequence of words over the words of either side (Lin, ACL 2004 workshop; `rouge-score`).

    Fox's script takes the package `rouge`, whose longer texts are scored sentence by sentence: its values differ.
    """
    return Match.of(LCSseq.similarity(predicted, truth), len(predicted), len(truth))


_IRREGULAR = {"skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "innings": "inning", "outings": "outing"}
_IRREGULAR |= {"cannings": "canning"}
_IRREGULAR |= {w: w for w in ("sky", "news", "inning", "outing", "canning", "howe", "proceed", "exceed", "succeed")}


def _rules(text: str) -> list[tuple[str, str]]:
    """`suffix replacement, suffix replacement, ...`; no replacement takes the suffix off."""
    pairs = (rule.split() for rule in text.split(","))
    return [(pair[0], pair[1] if len(pair) > 1 else "") for pair in pairs]


_STEP_2 = _rules(
    "ational ate, tional tion, enci ence, anci ance, izer ize, bli ble, alli al, entli ent, eli e, ousli ous, "
    "ization ize, ation ate, ator ate, alism al, iveness ive, fulness ful, ousness ous, aliti al, iviti ive, "
    "biliti ble, fulli ful"
)
_STEP_3 = _rules("icate ic, ative, alize al, iciti ic, ical ic, ful, ness")
_STEP_4 = _rules(
    "al, ance, ence, er, ic, able, ible, ant, ement, ment, ent, ion, ou, ism, ate, iti, ous, ive, ize"
)  # the first that fits decides


def stem(word: str) -> str:
    """The stem of a word in lower case: "relational" and "related" give "relat"; other scripts pass as they are."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = _past(_plural(word))
    if word.endswith("y") and len(word) > 2 and _shape(word[:-1])[-1] == "c":
        word = word[:-1] + "i"
    word = _derived(word)
    word = _replaced(word, _STEP_3, 1)
    word = _replaced(word, _STEP_4, 2)
    if word.endswith("e"):
        count = _measure(word[:-1])
        if count > 1 or (count == 1 and not _short(word[:-1])):
            word = word[:-1]
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _shape(text: str) -> str:
    """c and v for its consonants and vowels; y is a vowel after a consonant."""
    shape = ""
    for ch in text:
        shape += "v" if ch in "aeiou" or (ch == "y" and shape.endswith("c")) else "c"
    return shape


def _measure(text: str) -> int:
    return _shape(text).count("vc")


def _short(text: str) -> bool:
    """Whether it ends like a stem that has lost an e: hop(e), us(e)."""
    shape = _shape(text)
    return shape == "vc" or (shape.endswith("cvc") and text[-1] not in "wxy")


def _plural(word: str) -> str:
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    """Without -ed and -ing, and with the e that they took, or without the letter that they doubled."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    for suffix in ("ed", "ing"):
        rest = word.removesuffix(suffix)
        if rest != word and "v" in _shape(rest):
            if rest.endswith(("at", "bl", "iz")):
                return rest + "e"
            if rest[-2:] == rest[-1] * 2 and _shape(rest)[-1] == "c":
                return rest if rest[-1] in "lsz" else rest[:-1]
            return rest + "e" if _measure(rest) == 1 and _short(rest) else rest
    return word


def _derived(word: str) -> str:
    while word.endswith("alli") and _measure(word[:-4]):
        word = word[:-2]
    if word.endswith("logi"):
        return word[:-1] if _measure(word[:-3]) else word
    return _replaced(word, _STEP_2, 1)


def _replaced(word: str, rules: list[tuple[str, str]], least: int) -> str:
    """The first rule whose suffix fits, if what stays has at least so many vowel-consonant pairs."""
    for suffix, new in rules:
        if word.endswith(suffix):
            rest = word[: -len(suffix)]
            fits = _measure(rest) >= least and (suffix != "ion" or rest[-1] in "st")
            return rest + new if fits else word
    return word
