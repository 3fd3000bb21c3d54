"""Letters with accents are weighed by the language that all of them show together."""

from __future__ import annotations

import numpy as np

from vary.document.alphabets import ACCENTS, EUROPEAN, LATIN, PLAIN
from vary.reading.field import Field, pack_probs, unpack_probs
from vary.reading.spelling.languages import language_weights, script_weights


def cells(*odds: dict[str, float], alphabet: str = EUROPEAN) -> np.ndarray:
    """Return probabilities (S, A) of cells; what is left is blank."""
    probs = np.zeros((len(odds), len(alphabet) + 1), np.float32)
    for row, given in zip(probs, odds, strict=True):
        for ch, value in given.items():
            row[alphabet.index(ch) + 1] = value
        row[0] = 1 - row.sum()
    return probs


def weight(weights: np.ndarray, ch: str) -> float:
    return float(weights[EUROPEAN.index(ch) + 1])


def test_polish_letters_show_that_a_doubtful_one_is_polish() -> None:
    sure = [{ch: 0.9} for ch in "ąęółćń"]
    doubtful = [{"š": 0.6, "ś": 0.3}, {"ž": 0.5, "ż": 0.3, "z": 0.1}]
    weights = language_weights(cells(*sure * 3, *doubtful), EUROPEAN)
    assert weights is not None
    assert weight(weights, "ś") > 5 > 1 > weight(weights, "š")
    assert weight(weights, "Ż") > 5 > 1 > weight(weights, "Ž")
    assert weight(weights, "z") == weight(weights, "S") == weight(weights, "я") == 1


def test_the_same_letters_are_czech_elsewhere() -> None:
    weights = language_weights(cells(*[{ch: 0.9} for ch in "řěůčý"] * 3, {"ś": 0.6, "š": 0.3}), EUROPEAN)
    assert weights is not None
    assert weight(weights, "š") > 2 > 1 > weight(weights, "ś")


def test_plain_text_has_no_language() -> None:
    assert language_weights(cells(*[{"e": 0.9}, {"T": 0.8, "é": 0.01}] * 20), EUROPEAN) is None
    assert language_weights(cells(*[{"д": 0.9}] * 20), EUROPEAN) is None
    assert language_weights(np.zeros((0, len(EUROPEAN) + 1), np.float32), EUROPEAN) is None
    assert language_weights(cells({"a": 0.9}, alphabet="abc"), "abc") is None


def test_a_letter_of_one_language_gains_more_than_one_of_many() -> None:
    weights = language_weights(cells(*[{ch: 0.9} for ch in "ąęółćń"] * 3), EUROPEAN)
    assert weights is not None
    assert weight(weights, "ł") > 3 * weight(weights, "ó") > 3


def test_a_clear_letter_of_another_language_stays() -> None:
    probs = cells(*[{ch: 0.9} for ch in "ąęółćń"] * 3, {"š": 0.97, "ś": 0.001})
    weights = language_weights(probs, EUROPEAN)
    assert weights is not None
    field = Field(np.arange(len(probs))[None], pack_probs(probs[:, None]), np.zeros((len(probs), 1, 2)))
    field.reweight(weights)
    weighed = unpack_probs(field.codes_MFA)[:, 0]
    assert EUROPEAN[weighed[-1].argmax() - 1] == "š"
    np.testing.assert_allclose(weighed.sum(-1), 1, atol=1e-3)
    np.testing.assert_allclose(weighed[:, 0], probs[:, 0], atol=3e-4)


def test_capitals_of_plain_letters_are_plain() -> None:
    weights = language_weights(cells(*[{ch: 0.9} for ch in "ğışİ"] * 5), EUROPEAN)
    assert weights is not None
    assert weight(weights, "I") == 1 < weight(weights, "İ")
    german = language_weights(cells(*[{ch: 0.9} for ch in "äöüß"] * 5), EUROPEAN)
    assert german is not None
    assert weight(german, "S") == 1 < weight(german, "ß")


def test_a_head_without_more_letters_weighs_none() -> None:
    assert language_weights(cells(*[{ch: 0.9} for ch in "äöüß"] * 5, alphabet=LATIN), LATIN) is None


def test_small_capitals_are_latin_where_cyrillic_letters_hardly_occur() -> None:
    latin = [{ch: 0.9} for ch in "qwruf"] * 30
    weights = script_weights(cells(*latin, {"н": 0.9, "H": 0.05}), EUROPEAN)
    assert weights is not None
    assert weight(weights, "н") < 0.05
    assert weight(weights, "H") == weight(weights, "r") == weight(weights, "ж") == weight(weights, "λ") == 1
    assert script_weights(cells(*latin, *[{"ж": 0.9}] * 9), EUROPEAN) is None
    assert script_weights(cells(*[{"a": 0.9}] * 30), EUROPEAN) is None  # Cyrillic has this shape, too
    assert script_weights(cells({"r": 0.9}, alphabet=LATIN), LATIN) is None


def test_a_dot_between_letters_is_usual_in_catalan_alone() -> None:
    catalan = language_weights(cells(*[{ch: 0.9} for ch in "àçèéíïòóúü"] * 8), EUROPEAN)
    german = language_weights(cells(*[{ch: 0.9} for ch in "äöüß"] * 5), EUROPEAN)
    assert catalan is not None
    assert german is not None
    assert weight(catalan, "·") > 10
    assert weight(german, "·") < 1.1


def test_letters_without_accents_tell_languages_with_the_same_accents_apart() -> None:
    accents = [{ch: 0.9} for ch in "ääüü"] + [{"ö": 0.6, "õ": 0.3}] * 4
    plain = {
        "Estonian": "asteimeksikuulduvalatekstivormindamiselootus",
        "German": "derzwischenwirdfensterbuchwegfrageschiff",
    }
    weights = {
        name: language_weights(cells(*accents, *[{ch: 0.9} for ch in text * 4]), EUROPEAN)
        for name, text in plain.items()
    }
    assert all(one is not None for one in weights.values())
    assert weight(weights["Estonian"], "õ") > 4 * weight(weights["Estonian"], "ö")
    assert weight(weights["German"], "õ") < 1 < weight(weights["German"], "ö")


def test_every_language_has_its_letters() -> None:
    assert ACCENTS.keys() | {"English"} == PLAIN.keys()
    assert all(len(usual) == 26 for usual in PLAIN.values())
