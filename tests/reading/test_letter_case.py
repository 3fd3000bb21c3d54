"""Letters with one shape in both cases, such as c and C, are chosen by the height of their ink."""

from __future__ import annotations

from collections.abc import Container
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.document.alphabets import FOLDED
from vary.document.lines import TextLine
from vary.reading.ctc import with_text
from vary.reading.spelling.letter_case import LATIN, correct_case, odds_of_other_case, spell_capitals
from vary.reading.spelling.lookalikes import ONE_SHAPE, RIVALS, rival_odds

SIZE = 20  # px per em
FACES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "LiberationSerif-Regular.ttf", "DejaVuSansMono.ttf")


def draw(text: str, face: str) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of a line whose letters do not touch, and the boxes of its characters."""
    font = ImageFont.truetype(face, SIZE)
    image = Image.new("L", (600, 60), 255)
    x = [20 + 2 * k + font.getlength(text[:k]) for k in range(len(text) + 1)]
    for left, ch in zip(x, text, strict=False):
        ImageDraw.Draw(image).text((left, 45), ch, font=font, fill=0, anchor="ls")
    top, bottom = 45 - 0.74 * SIZE, 45 + 0.22 * SIZE
    boxes = np.array([[a, top, b, bottom] for a, b in pairwise(x)], np.float32)
    return np.asarray(image), boxes


def rivals(text: str, other: float, of: Container[str] = LATIN) -> np.ndarray:
    """Probabilities of the letters of a text in their other case."""
    odds = np.zeros((len(text), len(RIVALS)), np.float32)
    for k, ch in enumerate(text):
        if ch in of:
            odds[k, RIVALS.index(ch.swapcase())] = other
    return odds


def corrected(shown: str, read: str, face: str, other: float = 0.3) -> str:
    pixels, boxes = draw(shown, face)
    line = TextLine(read, boxes, np.full(len(read), 0.6, np.float32), SIZE, rivals=rivals(read, other))
    return correct_case([line], pixels)[0].text


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("shown", "read"),
    [
        ("Outcome", "outcome"),
        ("Zone of Value", "zone of value"),
        ("SUBTOTAL 17", "sUBToTAL 17"),
        ("cows and wax", "Cows and waX"),
        ("CO2", "co2"),
        ("season", "Season"),
    ],
)
def test_the_height_of_a_letter_decides_its_case(shown, read, face) -> None:
    assert corrected(shown, read, face) == shown


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("shown", "read"),
    [("ПРИЛОЖЕНИЕ А", "пРИлОжЕниЕ А"), ("загрузка 17", "ЗаГрузКа 17"), ("Введение", "введение"), ("Титан", "титан")],
)
def test_cyrillic_letters_have_the_case_of_their_height(shown, read, face) -> None:
    """Before scripts are restored: letters of Latin shape are Latin ones, and the capital of в is B."""
    pixels, boxes = draw(shown, face)
    shown, read = ("".join(FOLDED.get(ch, ch) for ch in text) for text in (shown, read))
    capitals = {capital: small for small, capital in ONE_SHAPE.items()}
    odds = np.zeros((len(read), len(RIVALS)), np.float32)
    for k, ch in enumerate(read):
        if other := (ONE_SHAPE | capitals).get(ch):
            odds[k, RIVALS.index(other)] = 0.3
    line = TextLine(read, boxes, np.full(len(read), 0.6, np.float32), SIZE, rivals=odds)
    assert correct_case([line], pixels)[0].text == shown


@pytest.mark.parametrize("letter", "WwVv")
def test_thin_strokes_are_one_letter_although_only_corners_of_their_pixels_touch(letter) -> None:
    """In faxes and screen type, strokes are a pixel wide, and those that lean are stairs."""
    pixels, boxes = draw(f" {letter}hen", FACES[0])
    image, (left, _, right, _) = Image.fromarray(pixels), boxes[1]
    ImageDraw.Draw(image).rectangle((left - 2, 0, right - 3, 60), 255)
    top, strokes = 45 - (15 if letter.isupper() else 11), 4 if letter in "Ww" else 2
    x = np.linspace(left, right - 4, strokes + 1)
    ImageDraw.Draw(image).line([(float(v), (45, top)[k % 2 == 0]) for k, v in enumerate(x)], 0)
    for read in letter, letter.swapcase():
        line = TextLine(f"{read}hen", boxes[1:], np.full(4, 0.6, np.float32), SIZE, rivals=rivals(f"{read}hen", 0.3))
        assert correct_case([line], np.asarray(image))[0].text == f"{letter}hen"


def test_only_letters_whose_other_case_is_likely_change() -> None:
    assert corrected("Outcome", "outcome", FACES[0], other=0.001) == "outcome"


@pytest.mark.parametrize(
    ("shown", "read"),
    [("voxo", "Voxo"), ("Ox", "ox")],  # no other character shows a height
)
def test_a_line_without_other_letters_stays(shown, read) -> None:
    assert corrected(shown, read, FACES[0]) == read


@pytest.mark.parametrize(("shown", "read"), [("S", "s"), ("s", "S"), ("O", "o"), ("x", "X")])
def test_a_cell_of_one_letter_is_compared_with_the_cells_near_it(shown, read) -> None:
    above, boxes = draw("Each 7", FACES[0])
    below, own = draw(shown, FACES[0])
    lines = [
        TextLine("Each 7", boxes, np.ones(6, np.float32), SIZE),
        TextLine(read, own + np.array([0, 60, 0, 60]), np.full(1, 0.6, np.float32), SIZE, rivals=rivals(read, 0.3)),
    ]
    assert correct_case(lines, np.concatenate([above, below]))[1].text == shown
    lines[0].em_px = 1.5 * SIZE  # of other type
    assert correct_case(lines, np.concatenate([above, below]))[1].text == read


def test_letters_that_touch_their_neighbours_stay() -> None:
    pixels, boxes = draw("Outcome", FACES[0])
    joined = pixels.copy()
    joined[40:44, 20:140] = 0  # a line through all letters
    line = TextLine("outcome", boxes, np.full(7, 0.6, np.float32), SIZE, rivals=rivals("outcome", 0.3))
    assert correct_case([line], joined)[0].text == "outcome"


def test_descenders_of_the_line_above_do_not_count() -> None:
    pixels, boxes = draw("Removed", FACES[0])
    touched = pixels.copy()
    touched[:30, round(float(boxes[4, 0])) : round(float(boxes[4, 2]))] = 0  # above the v
    line = TextLine("Removed", boxes, np.full(7, 0.9, np.float32), SIZE, rivals=rivals("Removed", 0.05, "v"))
    assert correct_case([line], touched)[0].text == "Removed"


def test_a_line_of_another_writer_and_a_corrected_text_stay() -> None:
    pixels, boxes = draw("Outcome", FACES[0])
    line = TextLine("outcome", boxes, np.full(7, 0.6, np.float32), SIZE, rivals=rivals("outcome", 0.3))
    assert correct_case([with_text(line, "outcomes", "decoder")], pixels)[0].text == "outcomes"


def test_the_corrected_letter_has_the_confidence_of_both_cases() -> None:
    pixels, boxes = draw("Outcome", FACES[0])
    confidence = np.full(7, 0.6, np.float32)
    line = correct_case([TextLine("outcome", boxes, confidence, SIZE, rivals=rivals("outcome", 0.3, "o"))], pixels)[0]
    assert line.confidence.tolist() == pytest.approx([0.9] + [0.6] * 6)
    assert confidence.tolist() == pytest.approx([0.6] * 7)  # the input is not changed


def test_probabilities_of_the_other_case_come_from_the_alphabet() -> None:
    path = np.array([[0.1, 0.5, 0.4, 0.0], [0.1, 0.0, 0.3, 0.6], [0.2, 0.2, 0.2, 0.4]])
    assert odds_of_other_case(rival_odds(path, np.arange(len(path)), "oOa"), "oOa").tolist() == pytest.approx(
        [0.4, 0.0, 0.0]
    )
    assert odds_of_other_case(rival_odds(path, np.array([0]), "soa"), "s").tolist() == [
        0.0
    ]  # no capital in the alphabet


@pytest.mark.parametrize(
    ("read", "text"),
    [
        ("KAPITOLA 6. POUžíVáME", "KAPITOLA 6. POUŽÍVÁME"),
        ("5. ЗАГРузКА СИСТЕМы о DEBIAN", "5. ЗАГРУЗКА СИСТЕМЫ о DEBIAN"),
        ("INSTALLING on amd64 AND arm64", "INSTALLING on amd64 AND arm64"),  # words in small letters
        ("SS and STRAßE IN CAPITALS", "SS and STRAßE IN CAPITALS"),
        ("The LaTeX and BIBTeX files", "The LaTeX and BIBTeX files"),  # no line of capitals
        ("POE MiB", "POE MiB"),  # too short
    ],
)
def test_words_in_lines_of_capitals_have_no_small_letters(read, text) -> None:
    boxes = np.array([[20 + 10 * k, 30, 30 + 10 * k, 48] for k in range(len(read))], np.float32)
    assert spell_capitals([TextLine(read, boxes, np.ones(len(read), np.float32), SIZE)])[0].text == text
