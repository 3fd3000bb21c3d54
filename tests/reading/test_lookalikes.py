"""Characters that look alike, such as 0 and O, are chosen by the characters next to them."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.document.lines import TextLine
from vary.reading.ctc import find_lines
from vary.reading.loader import load_reader
from vary.reading.reader import Reader
from vary.reading.spelling.lookalikes import RIVALS, best_spelling, one_shape, spell_by_neighbours


def line_of(text: str, likely: dict[str, dict[str, float]]) -> TextLine:
    """A line. likely: what the network sees in place of a character."""
    confidence, rivals = np.ones(len(text), np.float32), np.zeros((len(text), len(RIVALS)), np.float32)
    for k, ch in enumerate(text):
        for other, p in likely.get(ch, {}).items():
            rivals[k, RIVALS.index(other)] = p
            if other == ch:
                confidence[k] = p
    boxes = np.array([[8.0 * k, 0, 8.0 * k + 8, 16] for k in range(len(text))], np.float32)
    return TextLine(text, boxes, confidence, 16.0, rivals=rivals)


UNSURE = {
    "0": {"0": 0.8, "O": 0.15, "o": 0.03}, "O": {"O": 0.7, "0": 0.2}, "o": {"o": 0.7, "0": 0.2},
    "1": {"1": 0.7, "l": 0.25}, "l": {"l": 0.7, "1": 0.2, "I": 0.05}, "I": {"I": 0.7, "1": 0.2},
    "S": {"S": 0.7, "5": 0.2},
}  # fmt: skip


@pytest.mark.parametrize(
    ("read", "meant"),
    [
        ("CARROTS L00SE", "CARROTS LOOSE"), ("G00DBYE", "GOODBYE"), ("THANK Y0U!", "THANK YOU!"), ("1iter", "liter"),
        ("de 1antaarn", "de lantaarn"), ("l6.02", "16.02"), ("@l.90", "@1.90"), ("1l liter", "11 liter"),
        ("O9/1O/2O31", "09/10/2031"), ("0.OO", "0.00"), ("Tel OOO 55S O4l7", "Tel OOO 555 0417"),
        ("lnvoice", "Invoice"), ("Bill l is", "Bill 1 is"),
        ("+49 l00 2l8", "+49 100 218"), ("2l:l0", "21:10"),
    ],
)  # fmt: skip
def test_words_get_letters_and_numbers_get_digits(read, meant) -> None:
    assert spell_by_neighbours([line_of(read, UNSURE)])[0].text == meant


@pytest.mark.parametrize(
    ("elsewhere", "seen", "meant"),
    [("3 liter regen", 0.05, "11 liter"), ("3 meter touw", 0.05, "il liter"), ("3 liter regen", 0.0, "il liter")],
)
def test_strokes_before_what_is_counted_elsewhere_are_ones(elsewhere, seen, meant) -> None:
    unsure = {"i": {"i": 0.8, "1": seen}, "l": {"l": 0.8, "1": 0.1}}
    assert spell_by_neighbours([line_of(elsewhere, {}), line_of("il liter", unsure)])[1].text == meant


@pytest.mark.parametrize(("sure", "expected"), [(0.8, "low tide"), (0.98, "Iow tide")])
def test_few_words_begin_with_a_capital_i_and_a_vowel(sure, expected) -> None:
    assert spell_by_neighbours([line_of("Iow tide", {"I": {"I": sure, "l": 1 - sure}})])[0].text == expected


@pytest.mark.parametrize(
    "text",
    ["10 l", "ssh -l host", "CO2", "v1.0", "11th", "Q1", "llama", "I am", "1L", "A10", "IV", "O no", "IL-10", "lo0"],
)
def test_what_is_no_word_and_no_number_stays(text) -> None:
    assert spell_by_neighbours([line_of(text, UNSURE)])[0].text == text


@pytest.mark.parametrize(
    ("read", "meant"),
    [
        ("E149.00", "£149.00"), ("-E5,063.66", "-£5,063.66"), ("(f12.50)", "(£12.50)"), ("a e330.01", "a €330.01"),
        ("64,20 єc", "64,20 €"), ("4.890,00 є", "4.890,00 €"), ("за 12,50 є", "за 12,50 є"), ("64,20 єc.", "64,20 єc."),
        ("E149", "E149"), ("f2.8", "f2.8"), ("CODE12.50", "CODE12.50"), ("E12.50.3", "E12.50.3"),
    ],
)  # fmt: skip
def test_a_letter_before_an_amount_is_the_sign_of_its_currency(read, meant) -> None:
    spelt = spell_by_neighbours([line_of(read, {})])[0]
    assert spelt.text == meant
    assert (spelt.confidence.min() < 0.7) == (read != meant)


@pytest.mark.parametrize(
    ("read", "meant"),
    [("17.:20", "17:20"), ("at 9:.05.", "at 9:05."), ("see p. 4.: 12", "see p. 4.: 12"), ("1.:2000", "1.:2000")],
)
def test_a_point_and_a_colon_within_a_time_are_one_colon(read, meant) -> None:
    assert spell_by_neighbours([line_of(read, {})])[0].text == meant


def test_i_before_an_equals_sign_is_an_exclamation_mark_where_that_is_likely() -> None:
    for odds, meant in (({"I": 0.5, "!": 0.3}, "if a != 0"), ({"I": 0.9, "!": 0.02}, "if a I= 0")):
        assert spell_by_neighbours([line_of("if a I= 0", {"I": odds})])[0].text == meant


MONEY = {"5": {"5": 0.8, "$": 0.15}, "S": {"S": 0.6, "$": 0.2}, "8": {"8": 0.9}}


@pytest.mark.parametrize(
    ("read", "meant"),
    [
        ("540.00", "$40.00"), ("Total 51,250.75", "Total $1,250.75"), ("S8.20", "$8.20"), ("-57.10", "-$7.10"),
        ("540", "540"), ("1,540.00", "1,540.00"), ("5.125", "5.125"), ("v5.10", "v5.10"), ("50.001", "50.001"),
    ],
)  # fmt: skip
def test_a_dollar_is_before_an_amount(read, meant) -> None:
    assert spell_by_neighbours([line_of(read, MONEY)])[0].text == meant


@pytest.mark.parametrize("text", ["L00SE", "l6.O2", "1iter", "5l", "H2O", "l10n"])
def test_clear_evidence_stays(text) -> None:
    sure = {ch: {ch: 0.99, **{other: 0.005 for other in "0Ol1" if other != ch}} for ch in "0Ol1"}
    assert spell_by_neighbours([line_of(text, sure)])[0].text == text


def test_a_changed_character_has_its_own_confidence_and_the_rest_keeps_theirs() -> None:
    before = line_of("a l6.02", UNSURE)
    after = spell_by_neighbours([before])[0]
    assert after.confidence.tolist() == pytest.approx([1, 1, 0.2, 1, 1, 0.8, 1])
    assert before.text == "a l6.02"


def test_the_likelier_of_two_plain_words_is_taken() -> None:
    assert best_spelling([{"o": log(0.6), "O": log(0.4)}, {"n": 0.0}]) == "on"
    assert one_shape("S", "s")
    assert one_shape("0", "O")
    assert not one_shape("l", "1")  # both may stand there
    assert not one_shape("a", "A")
    assert one_shape("o", "ó")
    assert one_shape("ł", "l")
    assert not one_shape("a", "é")


@pytest.fixture(scope="module")
def nano() -> Reader:
    return load_reader("vary-nano", pixels=True)


TEXTS = [
    "SUBTOTAL 17.80", "GOODBYE LOOSE OIL", "TILL 07 16.02", "3 liter olie, 11 liter", "21/09/2031 10:11",
    "Tel 000 555 0417", "OSLO BOTTLE LOOP", "local oil 1,011.05", "HELLO YOU 2050-11-10", "Invoice 5101, order 18",
]  # fmt: skip


@pytest.mark.parametrize("face", ["DejaVuSansMono.ttf", "LiberationMono-Regular.ttf", "DejaVuSans.ttf"])
def test_drawn_words_and_numbers_are_spelt_better(nano, face) -> None:
    def errors(lines: list[TextLine]) -> int:
        read = sorted((line.box[1], line.text.split()) for line in lines)
        wanted = [text.split() for text in TEXTS]
        assert len(read) == len(wanted)
        return sum(
            a != b for (_, line), want in zip(read, wanted, strict=True) for a, b in zip(line, want, strict=False)
        )

    image = Image.new("L", (480, 36 * len(TEXTS) + 16), 255)
    for k, text in enumerate(TEXTS):
        ImageDraw.Draw(image).text((20, 12 + 36 * k), text, font=ImageFont.truetype(face, 16), fill=0)
    fitted = np.asarray(image)[: image.height // 16 * 16, : image.width // 16 * 16]
    lines = find_lines(nano.network(fitted), nano.network.frame_grid)
    spelt = spell_by_neighbours(lines)
    assert errors(spelt) < errors(lines)


def test_an_old_style_zero_at_the_end_of_decimals_is_no_letter() -> None:
    sure = {"o": {"o": 0.97, "0": 0.015}}
    texts = ["12.8o", "12,8o", "No. 8o", "two.o"]
    found = [spell_by_neighbours([line_of(text, sure)])[0].text for text in texts]
    assert found == ["12.80", "12,80", "No. 8o", "two.o"]
    no_zero = {"o": {"o": 0.99}, "5": {"5": 0.9, "$": 0.05}}
    assert spell_by_neighbours([line_of("6.5o", no_zero)])[0].text == "6.5o"  # nothing else gives way
