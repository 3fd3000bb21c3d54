"""Vietnamese syllables are spelt by how usual they are."""

from __future__ import annotations

import numpy as np
import pytest

from vary.document.alphabets import EUROPEAN
from vary.reading.ctc import best_path
from vary.reading.spelling.syllables import spell_syllables


def path_of(read: str, rival: str) -> np.ndarray:
    """Return probabilities along a line: 0.9 of each letter; where another text has another one, 0.6 and 0.2."""
    path = np.full((3 * len(read) + 2, len(EUROPEAN) + 1), 1e-7)
    path[:, 0] = 0.99
    for k, (ch, other) in enumerate(zip(read, rival, strict=True)):
        row = path[3 * k + 1]
        row[0] = 0.05
        row[EUROPEAN.index(other) + 1] = 0.2
        row[EUROPEAN.index(ch) + 1] = 0.9 if ch == other else 0.6
    return path


def spell(read: str, rival: str) -> tuple[str, np.ndarray]:
    path = path_of(read, rival)
    return spell_syllables(path, *best_path(path, EUROPEAN), EUROPEAN)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        ("mỗi sản phấm được", "mỗi sản phẩm được"),
        ("những thiểt bị", "những thiết bị"),
        ("hệ thống đầ được cài", "hệ thống đã được cài"),
        ("CHƯƠNG TRÌNH CẢI ĐẶT", "CHƯƠNG TRÌNH CÀI ĐẶT"),
        ("được sao chểp vào", "được sao chép vào"),
    ],
)
def test_the_usual_syllable_is_taken_where_the_letters_allow_it(read: str, text: str) -> None:
    spelt, confidence = spell(read, text)
    assert spelt == text
    assert confidence.min() == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("read", "rival"),
    [
        ("những thiểt bị phấm", "những thiểt bị phấm"),  # no letter has a rival
        ("le café est fermé à l’été", "le cafe est fermé à l’été"),  # no Vietnamese
        ("của Debian để chén đăng", "cùa Debian để chén đắng"),  # usual as it is
    ],
)
def test_other_words_stay(read: str, rival: str) -> None:
    assert spell(read, rival)[0] == read
