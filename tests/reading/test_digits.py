"""Tables of single digits, read from pixels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pdfs import pdf_of, show
from vary.document.lines import TextLine
from vary.reading.ctc import merge_doubled
from vary.reading.loader import load_reader
from vary.reading.pages import read_document
from vary.reading.reader import Reader
from vary.reading.spelling.alternatives import spell_digits
from vary.reading.spelling.lookalikes import rival_odds

ALPHABET = "0123456789RoOIlgö "


@pytest.fixture(scope="module")
def nano() -> Reader:
    return load_reader("vary-nano", pixels=True)


@pytest.mark.parametrize(
    ("face", "size", "rows", "columns"),
    [("F1", 10, 14, 6), pytest.param("F4", 9, 16, 8, marks=pytest.mark.slow), ("F4", 14, 9, 5)],
)
def test_tables_of_single_digits_are_whole(nano, tmp_path, face, size, rows, columns) -> None:
    """Of digits alone, columns were read sideways, `1` became `I`, and one glyph was read as two."""
    digits = np.random.default_rng(size).integers(0, 10, (rows, columns)).astype(str)
    text = "".join(
        show(cell, 40 + 60 * k, 780 - 2 * size * y, size, face)
        for y, row in enumerate(digits)
        for k, cell in enumerate([f"R{y}", *row])
    )
    page = read_document(pdf_of(tmp_path / "digits.pdf", [text], (595, 842)), nano).pages[0]
    rows_of = [line.text.split() for line in page.lines if line.text.startswith("R")]
    assert rows_of == [[f"R{y}", *row] for y, row in enumerate(digits.tolist())]


def column(*texts: str, likely: dict[str, dict[str, float]]) -> list[TextLine]:
    """Cells one below the other. likely: what the head sees instead of a character."""
    lines = []
    for k, text in enumerate(texts):
        boxes = np.array([[8.0 * j, 30.0 * k, 8.0 * j + 8, 30.0 * k + 16] for j in range(len(text))], np.float32)
        path = np.zeros((len(text), len(ALPHABET) + 1), np.float32)
        for j, ch in enumerate(text):
            for other, p in likely.get(ch, {ch: 0.95}).items():
                path[j, ALPHABET.index(other) + 1] = p
        lines.append(TextLine(text, boxes, path.max(1), 16.0, rivals=rival_odds(path, np.arange(len(path)), ALPHABET)))
    return lines


SEEN = {"O": {"O": 0.5, "0": 0.4}, "I": {"I": 0.5, "l": 0.3, "1": 0.1}, "l": {"l": 0.9}}


def test_letters_among_digits_become_digits_with_the_sum_of_their_confidence() -> None:
    spelt = spell_digits(column("4", "7", "O", "I", "2", likely=SEEN))
    assert [line.text for line in spelt] == ["4", "7", "0", "1", "2"]
    assert [float(line.confidence[0]) for line in spelt[2:4]] == pytest.approx([0.9, 0.9])


def test_cells_that_begin_alike_are_compared_place_by_place() -> None:
    spelt = spell_digits(column("RO", "R1", "R2", "Rll", "R10", "R12", "R13", likely=SEEN))
    assert [line.text for line in spelt] == ["R0", "R1", "R2", "R11", "R10", "R12", "R13"]


@pytest.mark.parametrize(
    "texts",
    [["O", "R", "I", "g", "o"], ["O", "1", "I", "2"], ["R", "R", "R", "1", "I"], ["IR", "14", "22", "47", "10"]],
)
def test_letters_stay_where_their_column_is_not_of_digits(texts) -> None:
    assert [line.text for line in spell_digits(column(*texts, likely=SEEN))] == texts


def path_of(*frames: dict[str, float]) -> np.ndarray:
    path = np.zeros((len(frames), len(ALPHABET) + 1), np.float32)
    for k, frame in enumerate(frames):
        for ch, p in frame.items():
            path[k, ALPHABET.index(ch) + 1 if ch else 0] = p
    return path


def merged(path: np.ndarray, text: str, at: list[int]) -> str:
    confidence = np.full(len(at), 0.5, np.float32)
    return merge_doubled(path, text, np.array(at), confidence, ALPHABET)[0]


def test_two_readings_of_one_glyph_are_one_character() -> None:
    path = path_of({"": 1}, {"9": 0.4, "": 0.34, "g": 0.26}, {"g": 0.51, "9": 0.45, "": 0.04}, {"": 1})
    assert merged(path, "9g", [1, 2]) == "9"


def test_two_glyphs_stay_two_characters() -> None:
    path = path_of({"": 1}, {"I": 0.9, "l": 0.1}, {"l": 0.95, "": 0.05}, {"": 1})
    assert merged(path, "Il", [1, 2]) == "Il"
    apart = path_of({"9": 0.5, "": 0.5}, {"": 1}, {"": 1}, {"": 1}, {"g": 0.5, "": 0.5})
    assert merged(apart, "9g", [0, 4]) == "9g"


def test_a_letter_and_the_same_with_a_mark_side_by_side_are_one() -> None:
    path = path_of({"": 1}, {"o": 0.9, "ö": 0.05, "": 0.05}, {"ö": 0.6, "o": 0.1, "": 0.3}, {"": 1})
    assert merged(path, "oö", [1, 2]) == "o"
    apart = path_of({"": 1}, {"o": 0.9, "": 0.1}, {"": 1}, {"ö": 0.9, "": 0.1}, {"": 1})
    assert merged(apart, "oö", [1, 3]) == "oö"
