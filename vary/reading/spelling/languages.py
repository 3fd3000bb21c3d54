"""Weigh letters with accents by the language of an image: ś is Polish and š Czech, and no language has both.

A head for many languages tells such letters by a few pixels, and knows l from all of them but ł from one. The language
shows in all letters of an image together. Each letter's probability is multiplied by how usual it is there.
Letters without accents help to find the language: German has more f, w and z than Estonian.
"""

from __future__ import annotations

from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase

import numpy as np

from ...document.alphabets import ACCENTS, LATIN, PLAIN, letters_by_script
from ..field import Field

USUAL = 200.0  # number of all letters with accents
LANGUAGES = 40  # of the text that a head learns from, those without accents too
MOST = 40.0  # times, by which a letter is made more likely: its language may have few
FOREIGN = 0.1  # times, of letters that a language does not use
SMALL_CAPITALS = "вкмнт"  # Cyrillic letters of the shape of B, K, M, H, T
CAPITAL = 0.005  # times, of these, where Cyrillic letters hardly occur
RARE = 0.02  # share of Cyrillic letters in Latin ones; below, they hardly occur
LEAST = 0.02  # probability from which a letter with an accent says something
SHARE = 0.3  # of a language's evidence that counts: a letter is seen in several cells
PLAIN_SHARE = 0.05  # the same of letters without accents, which names and commands have in any language
CLEAR = 0.5  # least probability of the language, or languages, for letters to be weighed


def weigh_letters(field: Field, alphabet: str) -> None:
    """Weigh the letters of an image's field by its language, in place; nothing changes where no language shows.

    Args:
        field: Of an image.
        alphabet: Character of each class from 1.
    """
    probs_SA = field.probs_at_spikes(LEAST)
    found = [w for w in (language_weights(probs_SA, alphabet), script_weights(probs_SA, alphabet)) if w is not None]
    if found:
        field.reweight(np.prod(found, 0))


def script_weights(probs_SA: np.ndarray, alphabet: str) -> np.ndarray | None:
    """Return a weight (A,) for each class that makes SMALL_CAPITALS Latin; None where an image has Cyrillic letters.

    Arguments as for `language_weights`.
    """
    classes = letters_by_script(alphabet)
    if "Cyrillic" not in classes:
        return None
    mass_A = probs_SA.sum(0)
    if mass_A[classes["Cyrillic"]].sum() >= RARE * mass_A[classes["Latin"]].sum():
        return None
    weights = np.ones(len(mass_A), np.float32)
    weights[[alphabet.index(ch) + 1 for ch in SMALL_CAPITALS]] = CAPITAL
    return weights


def language_weights(probs_SA: np.ndarray, alphabet: str) -> np.ndarray | None:
    """Return a weight (A,) for each class by the language of an image; None where no language shows.

    Args:
        probs_SA: Class probabilities of the frames that are not blank.
        alphabet: Character of each class from 1.
    """
    classes, alike_LC, factors_LC = _factors(alphabet)
    if not len(classes):
        return None
    probs_SC = probs_SA[:, classes]
    probs_SC = probs_SC[probs_SC.max(1, initial=0) > LEAST]
    if not len(probs_SC):
        return None
    likely_SL = 1 + probs_SC @ (alike_LC - 1).T  # letters without accents have the factor 1
    likely_L = SHARE * np.log(likely_SL).sum(0) + PLAIN_SHARE * _plain_evidence(probs_SA, alphabet)
    evidence = np.append(likely_L, 0.0)  # the last one: no such language
    chance = np.exp(evidence - evidence.max())
    chance /= chance.sum()
    if chance[-1] > 1 - CLEAR:
        return None
    weights = np.ones(probs_SA.shape[1], np.float32)
    weights[classes] = chance[:-1] @ np.minimum(factors_LC, MOST) + chance[-1]
    catalan = chance[list(ACCENTS).index("Catalan")]
    weights[alphabet.index("·") + 1] += (MOST - 1) * catalan  # l·l is usual there, l-l is not
    return weights


def _plain_evidence(probs_SA: np.ndarray, alphabet: str) -> np.ndarray:
    """Return how much likelier the letters from a to z are in each language (L,) than in English, in nats."""
    small_P, capital_P, likelier_LP = _plain_factors(alphabet)
    seen_A = probs_SA.sum(0)
    return likelier_LP @ (seen_A[small_P] + seen_A[capital_P])


@lru_cache(4)
def _plain_factors(alphabet: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the classes of small letters from a to z (P,), those of capitals, and `_plain_evidence` of each (L, P)."""
    usual_LP = np.array([PLAIN[name] for name in (*ACCENTS, "English")])
    usual_LP /= usual_LP.sum(1, keepdims=True)
    small, capital = (np.array([alphabet.index(ch) + 1 for ch in row]) for row in (ascii_lowercase, ascii_uppercase))
    return small, capital, np.log(usual_LP[:-1] / usual_LP[-1])


@lru_cache(4)
def _factors(alphabet: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the classes (C,) of letters with accents, and how much more usual each is in each language (L, C), twice.

    The first factors are shares of all these letters, which tell languages apart; the second ones are relative to all
    languages, as ł is of one of them and é of many. The capitals of ß and ı have no accents. A head without more
    letters than LATIN learnt from English: it has none.
    """
    own = {
        name: {ch: n for small, n in letters.items() for ch in {small, *small.upper()} if ch >= "À"}
        for name, letters in ACCENTS.items()
    }
    known = sorted(set().union(*own.values()) & set(alphabet)) if set(alphabet) > set(LATIN) else []
    shares_LC = np.array(
        [[letters.get(ch, 0.0) / sum(letters.values()) for ch in known] for letters in own.values()], np.float32
    )
    mean_C = np.maximum(shares_LC.sum(0), 1e-9) / LANGUAGES
    alike_LC, factors_LC = (
        np.where(shares_LC > 0, factors, np.float32(FOREIGN)) for factors in (USUAL * shares_LC, shares_LC / mean_C)
    )
    return np.array([alphabet.index(ch) + 1 for ch in known], int), alike_LC, factors_LC
