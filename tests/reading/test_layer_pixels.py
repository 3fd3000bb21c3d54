"""The text layer as a draft that pixels check: what agrees is kept, what lies is healed or read, never passed on."""

from __future__ import annotations

import numpy as np
import pytest
from pypdfium2 import PdfBitmap, PdfDocument, PdfImage, PdfMatrix, raw

from tests.pdfs import pdf_of, show, with_map
from vary.reading.api import load
from vary.reading.layer import align as align_module
from vary.reading.layer.align import Alphabet, align
from vary.reading.pages import read_document

PROSE = (
    "The harbour office keeps a ledger of every vessel", "that enters the bay. Each entry names the captain,",
    "the cargo and the hour of arrival. No ship may leave", "before the dues of 1,374 are paid in 25 quays.",
)  # fmt: skip
SIZE = (420, 300)


@pytest.fixture(scope="module")
def reader():
    return load("vary-nano")


def add_picture_of_line(path, box):
    """Put a picture of an area in place of the text there: the last text of the page's content."""
    pdf = PdfDocument(path)
    x0, y0, x1, y1 = box
    page = pdf[0]
    picture = page.render(scale=4, crop=(x0, y0, SIZE[0] - x1, SIZE[1] - y1)).to_pil().convert("RGB")
    *_, last = (thing for thing in page.get_objects() if thing.type == raw.FPDF_PAGEOBJ_TEXT)
    page.remove_obj(last)
    image = PdfImage.new(pdf)
    image.set_bitmap(PdfBitmap.from_pil(picture))
    image.set_matrix(PdfMatrix().scale(x1 - x0, y1 - y0).translate(x0, y0))
    page.insert_obj(image)
    page.gen_content()
    pdf.save(path.with_name("b.pdf"))
    return path.with_name("b.pdf")


def prose(font: str = "F1") -> str:
    return "".join(show(line, 40, 250 - 16 * k, 12, font) for k, line in enumerate(PROSE))


def test_a_true_layer_is_verified(tmp_path, reader) -> None:
    page = read_document(pdf_of(tmp_path / "a.pdf", [prose()], SIZE), reader).pages[0]
    assert (page.layer, page.text) == ("verified", " ".join(PROSE))
    witnesses = {source for line in page.lines for _, _, source in line.sources}
    assert "both" in witnesses
    assert witnesses <= {"both", "layer"}


@pytest.mark.parametrize("degrees", [20, -35])
def test_a_true_layer_at_an_angle_is_verified(tmp_path, reader, degrees) -> None:
    """The page grows when it is straightened; its lines still lie on their ink."""
    turn = np.radians(degrees)
    cos, sin = np.cos(turn), np.sin(turn)
    shown = "".join(
        f"BT /F1 12 Tf {cos} {sin} {-sin} {cos} {60 + 16 * k * sin} {200 - 190 * sin - 16 * k * cos} Tm ({line}) Tj ET "
        for k, line in enumerate(PROSE)
    )
    page = read_document(pdf_of(tmp_path / "a.pdf", [shown], (500, 400)), reader).pages[0]
    assert page.layer == "verified"
    assert page.text == " ".join(PROSE)


@pytest.mark.parametrize("up", [1, -1])
def test_a_sideways_table_of_the_layer_is_read_once(tmp_path, reader, up) -> None:
    rows = [
        ("Smoker", "4.20", "North"), ("Veil", "1.75", "South"), ("Scraper", "2.10", "East"), ("Feeder", "6.35", "West"),
    ]  # fmt: skip
    shown = "".join(
        f"BT /F1 11 Tf 0 {up} {-up} 0 {200 + 30 * up * k} {410 + 90 * up * (j - 1)} Tm ({text}) Tj ET\n"
        for k, row in enumerate(rows) for j, text in enumerate(row)
    )  # fmt: skip
    page = read_document(pdf_of(tmp_path / "a.pdf", [prose() + shown], (420, 560)), reader).pages[0]
    assert [line.text for line in page.lines] == [*("  ".join(row) for row in rows), *PROSE]  # it stands above the text


def test_a_shifted_font_is_healed(tmp_path, reader) -> None:
    shift = {chr(code): chr(code + 2) for code in range(32, 124)}
    page = read_document(with_map(pdf_of(tmp_path / "a.pdf", [prose()], SIZE), shift), reader).pages[0]
    assert page.layer == "healed"
    assert page.text == " ".join(PROSE)


def test_wrong_digits_of_a_good_font_do_not_pass(tmp_path, reader) -> None:
    path = with_map(pdf_of(tmp_path / "a.pdf", [prose()], SIZE), {"7": "2", "5": "9"})
    text = read_document(path, reader).pages[0].text
    assert "1,374" in text
    assert "25 quays" in text


def test_one_bad_font_of_two(tmp_path, reader) -> None:
    shift = {chr(code): chr(code + 1) for code in range(97, 122)}
    page = show("A heading in another face", 40, 275, 12, "F2") + prose()
    text = read_document(with_map(pdf_of(tmp_path / "a.pdf", [page], SIZE), shift), reader).pages[0].text
    assert "A heading in another face" in text
    assert " ".join(PROSE) in text


def test_ink_without_layer_is_read_in_place(tmp_path, reader) -> None:
    outlined = pdf_of(tmp_path / "a.pdf", [prose() + show("Invisible words", 40, 100, 12, extra="3 Tr")], SIZE)
    page = read_document(outlined, reader).pages[0]
    assert page.text == " ".join(PROSE)
    assert [(h.text, h.reason) for h in page.hidden] == [("Invisible words", "invisible")]


def test_small_filled_squares_are_bullets_and_no_letters(tmp_path, reader) -> None:
    items = "".join(show(line[:20].strip(), 80, 250 - 16 * k, 12) for k, line in enumerate(PROSE))
    squares = "".join(f"66 {252.1 - 16 * k} 5.5 5.5 re f " for k in range(4))
    triangle = "300 60 m 340 130 l 380 60 l h S "  # ink without text, for which the pixels are read
    page = read_document(pdf_of(tmp_path / "a.pdf", [items + squares + triangle], SIZE), reader).pages[0]
    assert page.blocks[0].text.split("\n") == [f"• {one[:20].strip()}" for one in PROSE]


def test_pixels_alone(tmp_path) -> None:
    path = pdf_of(tmp_path / "a.pdf", [prose()], SIZE)
    assert read_document(path, load("vary-nano", pixels=True)).pages[0].layer == "none"


def test_alignment_finds_the_character_that_differs() -> None:
    alphabet = Alphabet(" abc")
    path = np.full((9, 5), 0.01)
    path[:, 0] = 0.96
    for t, k in ((1, 2), (4, 3), (7, 4)):  # a, b, c
        path[t] = 0.01
        path[t, k] = 0.96
    places = np.array([[0, 2], [3, 5], [6, 8]])
    right, wrong = align([path, path], ["abc", "aac"], [places, places], alphabet)
    assert right.odds == pytest.approx(np.zeros(3), abs=0.2)
    assert wrong.odds[0] > -0.2
    assert wrong.odds[1] < -4
    assert wrong.seen == ["a", "b", "c"]


def test_small_capitals_are_aligned_as_capitals() -> None:
    """The head takes one of them for another capital; that alone counts, by its odds against the capital."""
    alphabet = Alphabet(" abcduvABCDUV")
    shown, unsure = "ABCDV", 4
    path = np.full((15, 14), 0.001)
    path[:, 0] = 0.987
    for k, ch in enumerate(shown):
        path[3 * k + 1] = 0.001
        path[3 * k + 1, alphabet.index[ch]] = 0.987
    path[3 * unsure + 1, [alphabet.index["V"], alphabet.index["U"]]] = 0.7, 0.29
    places = np.array([[3 * k, 3 * k + 2] for k in range(5)])
    small, mixed = align([path, path], ["abcdu", "abCDU"], [places, places], alphabet)
    assert small.odds == pytest.approx([0, 0, 0, 0, np.log(0.29 / 0.7)], abs=0.1)
    assert small.seen == [""] * 5
    assert mixed.odds[0] < -4  # two letters of a line that are shown as capitals do not make small capitals


def test_a_line_is_aligned_alike_alone_and_beside_others() -> None:
    alphabet, rng = Alphabet(" abc"), np.random.default_rng(5)
    texts = ["".join(rng.choice(list("abc"), n)) for n in (1, 4, 9, 9, 2, 7, 12, 3, 5, 6, 20)]
    paths = [rng.dirichlet(np.ones(5) / 3, 3 * len(text) + n) for n, text in enumerate(texts)]
    places = [np.array([[3 * k, 3 * k + 3] for k in range(len(text))]) for text in texts]
    together = align(paths, texts, places, alphabet)
    for path, text, place, found in zip(paths, texts, places, together, strict=True):
        (alone,) = align([path], [text], [place], alphabet)
        assert found.odds.tolist() == alone.odds.tolist()
        assert found.seen == alone.seen


def test_a_line_that_is_spelt_has_the_odds_of_its_alignment(monkeypatch) -> None:
    """The path is not sought where the best one spells the text: it would be the same."""
    alphabet, rng = Alphabet(" abc'’"), np.random.default_rng(9)
    texts, paths, places = [], [], []
    for n in range(200):
        text = "".join(rng.choice(list("abc"), 1 + n % 5))
        drawn = "".join(" " * rng.integers(2) + ch for ch in text)
        shown = [0 if ch == " " else alphabet.index[ch] for ch in drawn for _ in range(rng.integers(1, 3))]
        probs = rng.dirichlet(np.full(7, 0.15), len(shown)) + 1.5 * np.eye(7)[shown]
        texts.append(text)
        paths.append(probs / probs.sum(1, keepdims=True))
        ends = np.linspace(0, len(shown), len(text) + 1)
        places.append(np.stack([ends[:-1] - 9, ends[1:] + 9], 1))
    two_signs = np.eye(7)[[5, 6]], "’’", np.array([[0, 2], [0, 2]])  # no blank between them
    elsewhere = np.eye(7)[[2, 0, 0, 3]], "ab", np.array([[2, 3], [2, 3]])
    sign = np.array([[0.4, 0, 0, 0.35, 0.25, 0, 0], [0, 0, 0, 0.4, 0, 0.3, 0.3], [0, 0, 0, 0, 0, 0, 1]])
    shared = sign, "b’", np.array([[0, 2], [0, 2]])  # its sign is likelier than the letter beside it
    for path, text, place in (two_signs, elsewhere, shared):
        texts.append(text)
        paths.append(path)
        places.append(place)
    spelt = [align_module.is_spelt(*_with_best(*known), alphabet) for known in zip(paths, texts, places, strict=True)]
    found = align(paths, texts, places, alphabet)
    monkeypatch.setattr(align_module, "is_spelt", lambda *_: False)
    for one, other in zip(found, align(paths, texts, places, alphabet), strict=True):
        assert one.odds.tolist() == other.odds.tolist()
        assert one.seen == other.seen
    assert 30 < sum(spelt) < 190


def _with_best(path, text, places):
    path = path.copy()
    path[:, 0] += path[:, 1]
    path[:, 1] = 0
    return path, path.argmax(1), text, places


def test_a_line_that_is_too_short_for_its_text_has_the_least_odds() -> None:
    (found,) = align([np.full((2, 5), 0.2)], ["abc"], [np.zeros((3, 2))], Alphabet(" abc"))
    assert found.odds == pytest.approx(np.full(3, np.log(1e-5)))
    assert found.seen == [""] * 3


def test_a_character_outside_the_alphabet_stands_where_the_head_is_unsure() -> None:
    alphabet = Alphabet(" abc")
    unsure, sure = np.full((3, 5), 0.2), np.full((3, 5), 0.002)
    sure[:, 0] = 0.992
    sure[1] = 0.002
    sure[1, 3] = 0.992
    places = np.array([[0, 2]])
    found = align([unsure, sure], ["ж", "ж"], [places, places], alphabet)
    assert found[0].odds[0] > -1
    assert found[1].odds[0] < -4


def test_a_line_that_the_pixels_cannot_read_is_kept_and_reported(tmp_path, reader) -> None:
    hatch = "".join(f"0.6 w 0.2 G {36 + 3 * k} 140 m {46 + 3 * k} 162 l S " for k in range(43))
    page = pdf_of(tmp_path / "a.pdf", [prose() + show("Long note", 40, 150, 8, "F4") + hatch], SIZE)
    found = read_document(page, reader).pages[0]
    assert "Long note" in found.text
    assert [one.layer for one in found.disagreements] == ["Long note"]


def test_a_logo_and_rules_leave_no_stray_characters(tmp_path, reader) -> None:
    logo = "q 0 g 20 282 m 44 282 l 32 258 l f 0.4 g 26 284 12 12 re f Q q 1 w 20 150 m 400 150 l S Q "
    page = read_document(pdf_of(tmp_path / "a.pdf", [logo + prose()], SIZE), reader).pages[0]
    assert page.text == " ".join(PROSE)
    assert page.layer == "verified"


def test_a_picture_of_text_is_read_in_its_place(tmp_path, reader) -> None:
    """Outlines and bitmaps have no layer; what the layer covers is not read twice."""
    path = pdf_of(tmp_path / "a.pdf", [prose() + show("Second words in ink alone", 40, 120, 12)], SIZE)
    outlined = add_picture_of_line(path, box=(30, 112, 250, 136))
    page = read_document(outlined, reader).pages[0]
    assert page.text.count("harbour office") == 1
    assert "Second words in ink alone" in page.text
    (line,) = (line for line in page.lines if "Second" in line.text)
    assert line.sources == []


LINKS = (
    "File a report of Friday",
    "Fees and Fines of the Fleet",
    "Fishing on Long Lake, by Freya",
    "Find the Fjord: a Form",
)


@pytest.mark.parametrize("below", [1.2, 2.4])
def test_underlines_change_no_letter(tmp_path, reader, below) -> None:
    shown = "".join(show(text, 40, 250 - 20 * k, 11, "F4") for k, text in enumerate(LINKS))
    rules = "".join(f" 0.6 w 40 {250 - 20 * k - below} m 200 {250 - 20 * k - below} l S" for k in range(len(LINKS)))
    page = read_document(pdf_of(tmp_path / "a.pdf", [shown + rules], SIZE), reader).pages[0]
    assert page.text.split() == " ".join(LINKS).split()
    assert (page.layer, page.disagreements) == ("verified", [])
