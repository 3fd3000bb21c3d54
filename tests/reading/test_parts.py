"""Parts of a character that were read as characters of their own, and the dots of an ellipsis."""

from __future__ import annotations

import numpy as np
import pytest

from vary.document.alphabets import EUROPEAN
from vary.reading.spelling.parts import merge_parts, restore_behind_vowels, space_dots

EM_FRAMES = 12.0


def steps(text: str, apart: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames of characters that stand so many em apart, and their confidence."""
    at = np.round(np.cumsum([1.0, *apart]) * EM_FRAMES).astype(int)
    assert len(at) == len(text)
    return at, np.linspace(0.5, 0.9, len(text), dtype=np.float32)


@pytest.mark.parametrize(
    ("text", "apart", "expected"),
    [
        (",„,Kde", [0.16, 0.1, 0.5, 0.5, 0.5], "„Kde"),
        ("se ,„#“”)", [0.5, 0.3, 0.3, 0.16, 0.5, 0.5, 0.08, 0.35], "se „#”)"),
        ("a, „b", [0.4, 0.25, 0.3, 0.5], "a, „b"),
        ("DE.….", [0.6, 0.6, 0.3, 0.3], "DE…"),
        ("s. .…", [0.25, 0.25, 0.25, 0.08], "s. ."),
        ("l·-l", [0.3, 0.08, 0.25], "l·l"),
        ("a-b·", [0.5, 0.5, 0.5], "a-b·"),
        ("фa.йл.лo", [0.5, 0.4, 0.3, 0.5, 0.4, 0.17, 0.5], "фa.йллo"),
        ("Iпoд", [0.2, 0.5, 0.5], "пoд"),
        ("Iпeй", [0.5, 0.5, 0.5], "Iпeй"),
    ],
)
def test_parts_of_a_character_are_dropped(text, apart, expected) -> None:
    spelt, at, confidence = merge_parts(text, *steps(text, apart), EM_FRAMES)
    assert spelt == expected
    assert len(at) == len(confidence) == len(spelt)


@pytest.mark.parametrize(
    ("text", "apart", "expected"),
    [
        ("do. ..", [0.5, 0.4, 0.22, 0.22, 0.44], "do. . ."),
        ("do.. .or", [0.5, 0.4, 0.44, 0.22, 0.22, 0.5, 0.5], "do. . . or"),
        ("do...", [0.5, 0.4, 0.44, 0.44], "do. . ."),
        ("do. ..", [0.5, 0.4, 0.12, 0.13, 0.25], "do..."),
        ("do...", [0.5, 0.4, 0.25, 0.25], "do..."),
        ("...", [0.55, 0.55], "..."),  # of a typewriter
        ("do. ...", [0.5, 0.4, 0.22, 0.22, 0.44, 0.44], "do. ..."),  # four: the end of a sentence, or a leader
    ],
)
def test_an_ellipsis_has_spaces_by_the_distance_of_its_dots(text, apart, expected) -> None:
    spelt, at, confidence = space_dots(text, *steps(text, apart), EM_FRAMES)
    assert spelt == expected
    assert len(at) == len(confidence) == len(spelt)
    assert (np.diff(at) > 0).all()


def path_of(text: str, shown: dict[str, str]) -> np.ndarray:
    """Return probabilities along a line, four frames a character; 0.7 of each, and 0.2 of what else `shown` has."""
    path = np.full((4 * len(text), len(EUROPEAN) + 1), 1e-6)
    path[:, 0] = 0.99
    for k, ch in enumerate(text):
        path[4 * k, [0, EUROPEAN.index(ch) + 1]] = 0.05, 0.7
        path[4 * k, [EUROPEAN.index(other) + 1 for part, other in shown.items() if part == ch]] = 0.2
    return path


@pytest.mark.parametrize(
    ("read", "text"),
    [
        ("дoзвoляe дiю", "дoзвoляє дiю"),
        ("icнyoчиx", "icнyючиx"),
        ("дoзвoляe ы", "дoзвoляe ы"),  # no Ukrainian
        ("лeгкo", "лeгкo"),  # behind consonants
        ("noel maoist", "noel maoist"),
    ],
)
def test_parts_of_letters_behind_vowels_are_whole(read: str, text: str) -> None:
    at, sure = np.arange(len(read)) * 4, np.full(len(read), 0.7)
    path = path_of(read, {"e": "є", "o": "ю"})
    spelt, frames, confidence = restore_behind_vowels(path, read, at, sure, EUROPEAN, EM_FRAMES)
    assert spelt == text
    assert len(frames) == len(confidence) == len(text)


def test_letters_behind_vowels_that_show_nothing_else_stay() -> None:
    read = "дeякi пoeти"
    path = path_of(read, {})
    assert restore_behind_vowels(path, read, np.arange(11) * 4, np.full(11, 0.7), EUROPEAN, EM_FRAMES)[0] == read


def test_a_letter_and_its_part_in_one_glyph_are_one() -> None:
    read, at = "oпцiюo panel", np.array([0, 8, 16, 24, 32, 33, 40, 48, 56, 64, 72, 80])
    path = np.full((90, len(EUROPEAN) + 1), 0.0)
    path[at, [EUROPEAN.index(ch) + 1 for ch in read]] = 0.7
    spelt, frames, _ = restore_behind_vowels(path, read, at, np.full(12, 0.7), EUROPEAN, 14.0)
    assert spelt == "oпцiю panel"
    assert frames.tolist() == [*range(0, 88, 8)]
