"""Tell whether a page has letters that the reading head lacks or seldom saw, such as those of Polish or Russian.

The head of a reader learnt from English pages. It reads the accents of other languages with little confidence and
writes other scripts as Latin letters. A head with more letters costs more and reads English a little worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...document.lines import TextLine
from ..scales import ACCEPTED, CERTAIN, is_text

FEWEST = 3  # letters with accents that show another language, on short pages
SHARE = 0.0025  # of all letters; English papers have up to 0.2%, in names
LATIN = (("À", "ț"), ("Ạ", "ỹ"))  # first and last Latin letters of Europe and of Vietnamese in Unicode
OTHERS = 0.1  # share of letters with accents that are not among them
DOUBT = 0.95  # mean confidence of a page; above, its letters are those of the head
OTHER = 0.03  # share of letters that the head lacks, from which a page of low confidence is in another script
CLEAR = 0.7  # confidence of such a letter


def has_accents(text: str) -> bool:
    """Return whether a text has letters with accents as languages in Latin script other than English do.

    Other scripts do not count: a layer in them is checked better by the letters that all heads know.
    """
    letters = [ch for ch in text if ch.isalpha()]
    accents = [ch for ch in letters if ch >= "À"]
    others = sum(not any(first <= ch <= last for first, last in LATIN) for ch in accents)
    return len(accents) - others >= max(FEWEST, SHARE * len(letters)) and others <= OTHERS * len(accents)


def needs_more_letters(lines: Sequence[TextLine], alphabet: str, sample: Callable[[], Sequence[TextLine]]) -> bool:
    """Return whether the lines of a page were read by a head that lacks letters, or knows them badly.

    Args:
        lines: As the head read them.
        alphabet: Of the head.
        sample: Reads part of the page by a head with more letters; called for pages of low confidence.
    """
    texts = [line for line in lines if is_text(line)]
    certain = [line for line in texts if float(line.confidence.mean()) >= CERTAIN]  # text upside down reads as accents
    if has_accents("".join(line.text for line in certain)):
        return True
    if not texts or float(np.concatenate([line.confidence for line in texts]).mean()) > DOUBT:
        return False
    found = [line for line in sample() if float(line.confidence.mean()) >= ACCEPTED]
    seen = [(ch, sure) for line in found for ch, sure in zip(line.text, line.confidence.tolist(), strict=True)]
    others = sum(ch.isalpha() and ch not in alphabet and sure >= CLEAR for ch, sure in seen)
    return others >= max(FEWEST, OTHER * sum(ch.isalpha() for ch, _ in seen))
