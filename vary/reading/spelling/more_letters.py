"""Tell whether a page has letters that the reading head lacks or seldom saw, such as those of Polish or Russian.

The head of a reader learnt from English pages. It reads the accents of other languages with little confidence and
writes other scripts as Latin letters. A head with more letters costs more and reads English a little worse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from ...document.lines import TextLine
from ..scales.merge import ACCEPTED, CERTAIN, is_text

FEWEST = 3  # letters with accents that show another language, on short pages
MANY = 15  # in one window: at least SHARE of a page of 6,000 letters, which is a full one
SHORT = 600  # letters of a text in which a language may show by a single letter with an accent
SHARE = 0.0025  # of all letters; English papers have up to 0.2%, in names
LATIN = (("À", "ț"), ("Ạ", "ỹ"))  # first and last Latin letters of Europe and of Vietnamese in Unicode
OTHERS = 0.1  # share of letters with accents that are not among them
OTHER_SCRIPT = 0.1  # share of a text's letters that are Greek or Cyrillic, as formulas have them too
DOUBT = 0.95  # mean confidence of a page, or line; above, its letters are those of the head
STRANGE = 0.88  # mean confidence of a line that may be in another script
STRANGE_WORDS = 0.25  # share of a doubtful line's words with a capital behind a small letter, as Cyrillic reads
STRANGE_LETTERS = 40  # in such lines; with fewer, the page's mean decides
OTHER = 0.03  # share of letters that the head lacks, from which a page of low confidence is in another script
CLEAR = 0.7  # confidence of such a letter


def has_accents(text: str, fewest: int = FEWEST) -> bool:
    """Return whether a text has letters with accents, `fewest` or more, as languages in Latin script but English do.

    Other scripts do not count, see `has_other_script`. In a text that is not short one letter alone does not count: it
    may be a slip that comes again, or a name.
    """
    letters = [ch for ch in text if ch.isalpha()]
    accents = [ch for ch in letters if ch >= "À"]
    if len(letters) > SHORT and len(set("".join(accents).casefold())) < 2:
        return False
    others = sum(not any(first <= ch <= last for first, last in LATIN) for ch in accents)
    return len(accents) - others >= max(fewest, SHARE * len(letters)) and others <= OTHERS * len(accents)


def has_other_script(text: str) -> bool:
    """Return whether many letters of a text are Greek or Cyrillic."""
    letters = [ch for ch in text if ch.isalpha()]
    return sum("\u0370" <= ch <= "\u04ff" for ch in letters) >= max(FEWEST, OTHER_SCRIPT * len(letters))


def certain_text(lines: Sequence[TextLine]) -> str:
    """Return the characters of the lines that are read with certainty; text upside down reads as accents."""
    return "".join(line.text for line in lines if float(line.confidence.mean()) >= CERTAIN)


def needs_more_letters(
    lines: Sequence[TextLine],
    alphabet: str,
    sample: Callable[[Sequence[TextLine]], Sequence[TextLine]],
    is_noisy: bool = False,
) -> bool:
    """Return whether the lines of a page were read by a head that lacks letters, or knows them badly.

    Args:
        lines: As the head read them.
        alphabet: Of the head.
        sample: Reads some of these lines by a head with more letters. It is called with the doubtful lines, if many
            of their letters are in strange ones, or the page has a low confidence.
        is_noisy: Whether the page has specks. They look like accents, so that it must have many.
    """
    texts = [line for line in lines if is_text(line)]
    if has_accents(certain_text(texts), MANY if is_noisy else FEWEST):
        return True
    if is_noisy:
        return False
    doubtful = [line for line in texts if float(line.confidence.mean()) < DOUBT]
    strange = "".join(line.text for line in doubtful if _is_strange(line))
    if not doubtful or (
        sum(map(str.isalpha, strange)) < STRANGE_LETTERS
        and float(np.concatenate([line.confidence for line in texts]).mean()) > DOUBT
    ):
        return False
    found = [line for line in sample(doubtful) if float(line.confidence.mean()) >= ACCEPTED]
    seen = [(ch, sure) for line in found for ch, sure in zip(line.text, line.confidence.tolist(), strict=True)]
    others = sum(ch.isalpha() and ch not in alphabet and sure >= CLEAR for ch, sure in seen)
    return others >= max(FEWEST, OTHER * sum(ch.isalpha() for ch, _ in seen))


def _is_strange(line: TextLine) -> bool:
    words = re.findall(r"[^\W\d_]{3,}", line.text)
    mixed = sum(re.search("[a-z][A-Z]", word) is not None for word in words)
    return float(line.confidence.mean()) < STRANGE or mixed > STRANGE_WORDS * len(words)
