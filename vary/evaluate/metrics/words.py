"""Page scores over words, as Fox and GOT compute them: precision, recall and F1 of word sets, BLEU-4, METEOR.

BLEU and METEOR are NLTK's, which the published scripts call. Words are split at white space; Chinese text is split by
jieba. Precision, recall and F1 compare *sets* of words, so repetition and order do not count. The published scripts
pass (label, answer) to a function written for (prediction, truth). Their precision is therefore the recall, and their
BLEU and METEOR use the answer as the reference. `page_scores` computes either orientation. Edit distance and F1 are
the same in both. Sources: Fox, arXiv 2405.14295; GOT, arXiv 2409.01704; their evaluation scripts.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

from ...io.errors import MissingExtra
from .base import Scores
from .text import Match, edit_distance

_CHINESE = re.compile("[\u4e00-\u9fa5]")  # the range of the published scripts


def split_words(*texts: str) -> list[list[str]]:
    """Split each text into words: at white space, or by jieba for all texts if one has a Chinese character.

    jieba's words include spaces and punctuation, as in the published scores. Raises MissingExtra without jieba.
    """
    if not any(map(_CHINESE.search, texts)):
        return [text.split() for text in texts]
    try:
        import jieba
    except ImportError:
        raise MissingExtra("splitting Chinese text into words", "jieba", "zh") from None
    jieba.setLogLevel("WARNING")
    return [jieba.lcut(text) for text in texts]


def page_scores(predicted: str, truth: str, *, published: bool = False) -> dict[str, float]:
    """Compute edit_distance (of characters), precision, recall, f1, bleu and meteor of a page.

    Args:
        predicted: The answer.
        truth: The right text.
        published: Compute in the orientation of Fox's and GOT's scripts and tables.

    Raises:
        MissingExtra: A text is Chinese and jieba is not installed.
    """
    given = (truth, predicted) if published else (predicted, truth)
    found, wanted = split_words(*given)
    match = overlap(found, wanted)
    rates = {"precision": match.precision, "recall": match.recall, "f1": match.f1}
    rates |= {"bleu": bleu(found, wanted), "meteor": meteor(found, wanted)}
    return {"edit_distance": edit_distance(predicted, truth)} | rates


def fox_scores(answer: str, truth: str) -> Scores:
    """Compute Fox's and GOT's scores in both orientations."""
    swapped = page_scores(answer, truth, published=True)
    names = ("precision", "recall", "bleu", "meteor")
    return {**page_scores(answer, truth), **{f"{name}_published": swapped[name] for name in names}}


def overlap(predicted: Sequence[str], truth: Sequence[str]) -> Match:
    """Return precision, recall and F1 of the sets of words."""
    found, wanted = set(predicted), set(truth)
    return Match.of(len(found & wanted), len(found), len(wanted))


def bleu(predicted: Sequence[str], truth: Sequence[str]) -> float:
    """Return BLEU-4 of one page without smoothing (NLTK's `sentence_bleu`; Papineni et al., ACL 2002).

    It is near 0 if one of the four orders has no match, so also for a right page of fewer than four words. Two empty
    pages give 1.
    """
    from nltk.translate.bleu_score import sentence_bleu

    if not predicted or not truth:
        return float(len(predicted) == len(truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns when an order has no match
        return float(sentence_bleu([list(truth)], list(predicted)))


def meteor(predicted: Sequence[str], truth: Sequence[str], wordnet: Any = None) -> float:
    """Return METEOR of one page (NLTK's `single_meteor_score`; Lavie and Agarwal, WMT 2007).

    Words match in lower case, then by Porter stem, then by synonym. The published scores use WordNet's synonyms. Two
    empty pages give 1.

    Args:
        predicted: Words of the answer.
        truth: Words of the truth.
        wordnet: `nltk.corpus.wordnet`, whose data must be installed. None matches no synonyms.
    """
    from nltk.translate.meteor_score import single_meteor_score

    if not predicted or not truth:
        return float(len(predicted) == len(truth))
    return float(single_meteor_score(list(truth), list(predicted), wordnet=wordnet or _NoWordNet()))


class _NoWordNet:
    """A WordNet without entries."""

    def synsets(self, word: str) -> list[Any]:
        """Return no synonyms."""
        return []
