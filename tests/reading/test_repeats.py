"""Of a text layer, the head reads words that show every glyph; other glyphs are compared with the pictures of these."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pdfs import pdf_of, set_in, show
from vary.io.source import Source
from vary.reading.api import load
from vary.reading.layer import repeats
from vary.reading.layer.align import Aligned, Alphabet
from vary.reading.layer.lines import lines_by_turn
from vary.reading.layer.repeats import align_repeats
from vary.reading.pages import read_document

DPI = 96
TEXT = (
    "harbour office keeps ledger every vessel captain cargo hour arrival tide pilots wait second buoy ship dues voyage"
)
WORDS = TEXT.split()
PROSE = [" ".join(WORDS[(5 * row + k * (row % 7 + 1)) % len(WORDS)] for k in range(9)) for row in range(24)]
ALPHABET = Alphabet(" abcdefghijklmnopqrstuvwxyz0123456789")


@pytest.fixture(scope="module")
def reader():
    return load("vary-nano")


def prose(more: str = "") -> str:
    return "".join(show(line, 40, 560 - 20 * row) for row, line in enumerate(PROSE)) + more


def aligned(path, see=lambda word: word):
    """Align the page's lines with a head that sees in each word what `see` says. Also return the words of each call."""
    with Source(path) as source:
        content, (image, _) = source.content(1, DPI), source.image(1, DPI)
    lines = lines_by_turn(content.text, image.size)[0][1]
    calls = []

    def align_words(page, words) -> list[Aligned]:
        calls.append([word.text for word in words])
        inked = [np.asarray(page.crop(tuple(map(round, word.box)))).min() for word in words]
        assert max(inked) < 128  # each word stands where its boxes say
        shown = [list(see(word.text)) for word in words]
        return [
            Aligned(np.array([0.0 if a == b else -9.0 for a, b in zip(word.text, row, strict=True)]), row)
            for word, row in zip(words, shown, strict=True)
        ]

    return lines, align_repeats(image, lines, content.text, ALPHABET, align_words), calls


def test_few_words_are_read(tmp_path) -> None:
    lines, found, calls = aligned(pdf_of(tmp_path / "a.pdf", [prose()], (600, 600)))
    assert [len(one.odds) for one in found] == [len(line.text.replace(" ", "")) for line in lines]
    assert all((one.odds == 0).all() and (one.looks == 0).all() for one in found)
    (looked_at,) = calls
    assert all("".join(looked_at).count(letter) >= 2 for letter in set("".join(WORDS)))
    assert len(looked_at) < 30  # of 216


def test_a_glyph_that_is_painted_over_looks_otherwise(tmp_path) -> None:
    """The bar of one e is white, so it looks like a c."""
    row = next(k for k in range(24) if PROSE[k].startswith("every"))
    bar = f"1 g {41.5 + 0.3} {560 - 20 * row + 2.4} 4.5 1.6 re f\n"
    _, found, (looked_at,) = aligned(pdf_of(tmp_path / "a.pdf", [prose(bar)], (600, 600)))
    assert [(k, np.flatnonzero(one.looks).tolist()) for k, one in enumerate(found) if one.looks.any()] == [(row, [0])]
    assert "every" in looked_at


def test_words_with_a_glyph_that_pixels_contradict_are_all_read(tmp_path) -> None:
    path = pdf_of(tmp_path / "a.pdf", [prose()], (600, 600))
    _, _, calls = aligned(path, lambda word: word.replace("u", "v"))
    read = sorted(word for words in calls for word in words if "u" in word)
    assert read == sorted(word for line in PROSE for word in line.split() if "u" in word)


def test_another_glyph_with_the_same_claim_and_box_is_read(tmp_path) -> None:
    """A font draws 3 and 8, and says 8 for both."""
    drawn = [f"{word} {number} of 8 and 88" for word, number in zip(WORDS, range(840, 980, 10), strict=False)]
    drawn[11] = "voyage 835 of 98 and 88"
    path = set_in(tmp_path / "a.pdf", drawn, "LiberationSans-Regular.ttf", {"3": "8"})
    lines, found, calls = aligned(path, lambda word: {"885": "835", "980": "930"}.get(word, word))
    assert {"885", "980"} <= {word for words in calls for word in words}
    others = [(line.text, one.looks.tolist()) for line, one in zip(lines, found, strict=True) if one.looks.any()]
    assert sorted(number for _, row in others for number in row if number) == [1, 1]


def test_a_few_glyphs_that_claim_what_most_draw_are_told_apart(tmp_path, reader) -> None:
    """By votes alone, three places of a 3 would count as slips of the head: it confirms the other hundred 8s."""
    drawn = [f"{word} {number} of 8 and 88" for word, number in zip(WORDS, range(800, 980, 10), strict=False)][:16]
    path = set_in(tmp_path / "a.pdf", drawn, "LiberationSans-Regular.ttf", {"3": "8"})
    page = read_document(path, reader).pages[0]
    assert page.text.replace("\n", " ") == " ".join(drawn)
    assert [(one.layer, one.pixels) for one in page.disagreements] == [("8", "3")] * 2


def test_a_letter_that_claims_to_be_one_of_the_same_width_is_told_apart_by_its_picture(tmp_path, reader) -> None:
    """Each c confirms the claim, and each o contradicts it: their boxes are the same."""
    path = set_in(tmp_path / "a.pdf", PROSE[:12], "LiberationSans-Regular.ttf", {"o": "c"})
    page = read_document(path, reader).pages[0]
    assert page.text.replace("\n", " ") == " ".join(PROSE[:12])
    assert page.layer == "healed"
    assert {(one.layer, one.pixels) for one in page.disagreements} == {("c", "o")}


def test_a_page_reads_the_same_as_with_all_words_read(tmp_path, reader, monkeypatch) -> None:
    path = pdf_of(tmp_path / "a.pdf", [prose(show("Costs 1,374 in 25 quays", 40, 40, 14, "F4"))], (600, 600))
    few = read_document(path, reader).pages[0]
    monkeypatch.setattr(repeats, "LOOKS", 1000)
    page = read_document(path, reader).pages[0]
    assert [line.text for line in page.lines] == [line.text for line in few.lines]
    assert page.layer == few.layer == "verified"
