"""Letters that look alike in several scripts are compared as letters of the script of their word."""

from __future__ import annotations

import pytest

from vary.evaluate.metrics.text import normalise, text_scores


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        (
            "mak\u0435\u0456ndex",
            "makeindex",
        ),  # Cyrillic е and і, as layers of fonts with one slot for i and і have them
        ("DV\u0406", "DVI"),
        ("фaйл", "файл"),  # Latin a
        ("αo", "αο"),  # Latin o
        ("\u0456", "\u0456"),  # nothing shows its script
        ("лb", "лb"),  # letters that only one script has are kept
        ("a\u0430", "a\u0430"),
        ("plain words", "plain words"),
    ],
)
def test_the_other_letters_of_a_word_show_its_script(text: str, compared: str) -> None:
    assert normalise(text) == compared


def test_either_side_may_have_the_letters_of_another_script() -> None:
    for answer, truth in (("dvips", "dv\u0456ps"), ("dv\u0456ps", "dvips")):
        assert text_scores(answer, truth)["cer"] == 0
    assert text_scores("dvаps", "dvips")["cer"] == pytest.approx(0.2)
