"""Parts of a character that were read as characters of their own, and the dots of an ellipsis."""

from __future__ import annotations

import numpy as np
import pytest

from vary.reading.spelling.parts import merge_parts, space_dots

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
