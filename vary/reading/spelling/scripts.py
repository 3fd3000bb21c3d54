"""Keep the letters of a word to one script, while a line is decoded.

Small capital M has the shape of Cyrillic м, and п of Latin n in italics. A head with several scripts chooses by shape
alone, letter by letter.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from ...document.alphabets import letters_by_script

LEAD = 4.0  # letters of one script alone, from which a line has a usual script
PRIOR = 1.5  # letters that this counts for, in each of its words
LEAST = 0.05  # letters of that script that such a word may have, at least

_PART = r"[^\s()\[\]{}<>«»]*"  # a bracket may stand between words of two scripts
_WORDS = re.compile(rf"{_PART}[^\W\d_]{_PART}[^\W\d_]{_PART}")


def keep_to_scripts(path_TA: np.ndarray, text: str, at: np.ndarray, alphabet: str) -> np.ndarray:
    """Return probabilities in which letters of a second script have none, in each word of two letters and more.

    Args:
        path_TA: Probabilities (T, A) along a line.
        text: Of its best path.
        at: Frame of each character.
        alphabet: Character of each class from 1.
    """
    scripts, foreign = _scripts(alphabet)
    if len(scripts) < 2 or foreign.isdisjoint(text):
        return path_TA
    mass_ST = np.stack([path_TA[:, classes].sum(1) for classes in scripts])
    total, kept = mass_ST.sum(1), path_TA.copy()
    usual = int(total.argmax()) if total.max() >= LEAD else None
    for word in _WORDS.finditer(text):
        frames = slice(max(0, int(at[word.start()]) - 1), int(at[word.end() - 1]) + 2)
        mass = mass_ST[:, frames].sum(1)
        if usual is not None and mass[usual] > LEAST:
            mass[usual] += PRIOR
        for k, classes in enumerate(scripts):
            if k != mass.argmax():
                kept[frames, classes] = 0
    return kept


@lru_cache(4)
def _scripts(alphabet: str) -> tuple[list[np.ndarray], frozenset[str]]:
    """Return the classes of each script's own letters, and all such letters that are not Latin."""
    found = letters_by_script(alphabet)
    others = (alphabet[k - 1] for name, classes in found.items() if name != "Latin" for k in classes)
    return [np.array(classes) for classes in found.values()], frozenset(others)
