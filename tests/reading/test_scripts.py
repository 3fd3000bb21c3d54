"""The letters of a word are of one script."""

from __future__ import annotations

import numpy as np
import pytest

from vary.document.alphabets import EUROPEAN, FOLDED, LATIN, restore_scripts
from vary.reading.ctc import best_path
from vary.reading.spelling.scripts import keep_to_scripts


def path_of(text: str, doubts: dict[str, str], alphabet: str = EUROPEAN) -> np.ndarray:
    """Probabilities along a line: 0.9 of each letter; of a doubtful one 0.5, and 0.4 of another."""
    path = np.full((3 * len(text) + 2, len(alphabet) + 1), 1e-6)
    path[:, 0] = 0.99
    for k, ch in enumerate(text):
        row = path[3 * k + 1]
        row[0] = 0.05
        row[alphabet.index(ch) + 1] = 0.5 if ch in doubts else 0.9
        if ch in doubts:
            row[alphabet.index(doubts[ch]) + 1] = 0.4
    return path


@pytest.mark.parametrize(
    ("shown", "doubts", "text"),
    [
        ("AUTOмATISEREN DIREKT", {"м": "M"}, "AUTOMATISEREN DIREKT"),
        ("ВАВв MENGGUNAKAN DUA".replace("В", "B").replace("А", "A"), {"в": "b"}, "BABb MENGGUNAKAN DUA"),
        ("пporpaммa зaгpyзки", {"r": "г"}, "программа загрузки"),
        ("the angle α is small", {"α": "a"}, "the angle α is small"),
        ("file и дpyгиe names", {}, "file и другие names"),
    ],
)
def test_a_word_keeps_to_the_script_of_most_of_its_letters(shown, doubts, text) -> None:
    path = path_of(shown, doubts)
    spelt, at, _ = best_path(path, EUROPEAN)
    spelt, _, _ = best_path(keep_to_scripts(path, spelt, at, EUROPEAN), EUROPEAN)
    assert restore_scripts(spelt) == text


def test_a_line_without_foreign_letters_is_not_touched() -> None:
    for alphabet in (LATIN, EUROPEAN):
        path = path_of("plain words", {}, alphabet)
        spelt, at, _ = best_path(path, alphabet)
        assert keep_to_scripts(path, spelt, at, alphabet) is path


def test_words_of_two_scripts_at_a_bracket_keep_their_letters() -> None:
    text = "ένα πακέτο(greektonoi.sty)"
    path = path_of("".join(FOLDED.get(ch, ch) for ch in text), {})
    spelt, at, _ = best_path(path, EUROPEAN)
    spelt, _, _ = best_path(keep_to_scripts(path, spelt, at, EUROPEAN), EUROPEAN)
    assert restore_scripts(spelt) == text


def test_a_short_word_of_another_script_stays_in_a_line_of_names() -> None:
    text = "Combining Diacritical Marks τo code set"
    path = path_of(text, {})
    spelt, at, _ = best_path(path, EUROPEAN)
    assert best_path(keep_to_scripts(path, spelt, at, EUROPEAN), EUROPEAN)[0] == text
