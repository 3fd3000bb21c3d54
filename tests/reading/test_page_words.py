"""Uncertain words spelt as they are elsewhere on the page."""

from __future__ import annotations

import numpy as np
import pytest

from vary.document.lines import Alternative, TextLine
from vary.reading.spelling.page_words import spell_as_elsewhere


def line_of(text: str, *alternatives: Alternative, confidence: float = 0.95) -> TextLine:
    boxes = np.array([[8.0 * k, 0, 8.0 * k + 8, 16] for k in range(len(text))], np.float32)
    return TextLine(text, boxes, np.full(len(text), confidence), 16.0, alternatives=alternatives)


LEDGER = [line_of("a ledger, two"), line_of("(ledger) and"), line_of("ledger of the")]


@pytest.mark.parametrize(
    ("text", "alternatives", "expected"),
    [
        ("the |edger is", [Alternative(4, 5, (("|l", -0.5), ("l", -1.7)))], "the ledger is"),
        ("the |ledger. I", [Alternative(4, 6, (("|", 0.1), ("l", -1.0)))], "the ledger. I"),
        ("|eclger", [Alternative(0, 1, (("l", -1.0),)), Alternative(2, 4, (("d", -1.5),))], "ledger"),
        ("the |edger is", [Alternative(4, 5, (("l", -3.4),))], "the |edger is"),  # too unlikely
        ("the ledger² is", [Alternative(10, 11, (("", -1.7),))], "the ledger² is"),  # a mark is not lost
        ("the |etter is", [Alternative(4, 5, (("l", -0.4),))], "the |etter is"),  # not on the page
        ("the |edger is", [], "the |edger is"),  # certain
        ("Ledger is", [Alternative(0, 1, (("l", -0.2),))], "Ledger is"),  # the height of a letter shows its case
    ],
)
def test_an_uncertain_word_is_spelt_as_elsewhere(text, alternatives, expected) -> None:
    *others, line = spell_as_elsewhere([*LEDGER, line_of(text, *alternatives, confidence=0.5)])
    assert line.text == expected
    assert len(line.boxes) == len(line.confidence) == len(expected)
    assert (line.boxes[:, 2] >= line.boxes[:, 0]).all()
    assert line.box == line_of(text).box
    assert [other.text for other in others] == [other.text for other in LEDGER]


def test_two_words_of_a_page_stay_apart() -> None:
    """A word that the page also has is not replaced by one that it has as often."""
    page = [line_of("form form"), line_of("from")]
    *_, line = spell_as_elsewhere([*page, line_of("from", Alternative(1, 3, (("or", -0.2),)))])
    assert line.text == "from"


def test_numbers_and_short_words_stay() -> None:
    page = [line_of("1998 if 1998 if 1998 if")]
    *_, line = spell_as_elsewhere(
        [*page, line_of("1993 it", Alternative(3, 4, (("8", -0.1),)), Alternative(6, 7, (("f", -0.1),)))]
    )
    assert line.text == "1993 it"


@pytest.mark.parametrize(
    ("text", "alternatives", "expected"),
    [
        ("of theledger is", [Alternative(6, 6, ((" ", -0.9),))], "of the ledger is"),
        ("the led ger is", [Alternative(7, 8, (("", -0.9),))], "the ledger is"),
        ("the led ger is", [Alternative(7, 8, (("", -1.6),))], "the led ger is"),  # too unlikely
        ("the thele is", [Alternative(7, 7, ((" ", -0.9),))], "the thele is"),  # the page has no `le`
        ("theledger (of", [Alternative(3, 3, ((" ", -0.9),)), Alternative(9, 10, (("", -1.0),))], "the ledger (of"),
        ("12.ledger is", [Alternative(3, 3, ((" ", -0.2),))], "12. ledger is"),
        ("the |edger is", [Alternative(3, 5, ((" l", -0.4), (" |l", -1.0)))], "the ledger is"),
    ],
)
def test_blanks_between_words_of_the_page(text, alternatives, expected) -> None:
    page = [*LEDGER, line_of("the the of")]
    *_, line = spell_as_elsewhere([*page, line_of(text, *alternatives)])
    assert line.text == expected
    assert len(line.boxes) == len(line.confidence) == len(expected)
    assert (line.boxes[:, 2] >= line.boxes[:, 0]).all()
    assert line.box == line_of(text).box


def test_a_word_of_the_page_is_not_parted() -> None:
    page = [line_of("a long way, a long"), line_of("along")]
    *_, line = spell_as_elsewhere([*page, line_of("along", Alternative(1, 1, ((" ", -0.2),)))])
    assert line.text == "along"
