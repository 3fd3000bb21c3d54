"""Searchable PDFs say at each word's place what was read; two other libraries read them back."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pypdf
import pypdfium2
import pytest
from PIL import Image

from vary.document.elements import Block, Line, Page
from vary.document.formats.overlay import COLOURS, crop_block, draw_overlay
from vary.document.formats.searchable_pdf import SearchablePdf, judge_layer, split_words
from vary.document.orientation import Orientation, restore_orientation, straighten_box, straighten_size

STEP = 10


def line(text: str, x: float = 20, y: float = 30) -> Line:
    boxes = [(x + STEP * k, y, x + STEP * (k + 1), y + 14) for k in range(len(text))]
    return Line(text, (x, y, x + STEP * len(text), y + 14), 0.9, boxes, [0.9] * len(text))


def page(*lines: Line, dpi: float | None = 144, number: int = 1) -> Page:
    blocks = [Block([one], one.box) for one in lines]
    return Page(number, "ok", 600, 400, dpi, blocks=blocks)


def searchable(*pages: tuple[Page, Image.Image | None]) -> bytes:
    file = BytesIO()
    pdf = SearchablePdf(file)
    for one in pages:
        pdf.add(*one)
    pdf.close()
    return file.getvalue()


WHITE = Image.new("L", (600, 400), 255)
HARD = ["plain words", "≤ → ∞ ≈ − Łőč", "你好，世界 🙂", "(a) \\ <b> %", "".join(map(chr, range(0x400, 0x45F)))]


def test_every_character_is_found_again() -> None:
    lines = [line(text, 20, 30 + 40 * k) for k, text in enumerate([*HARD, "".join(map(chr, range(0x4E00, 0x4F40)))])]
    data = searchable((page(*lines), WHITE))
    expected = [text.text.split() for text in lines]
    (sheet,) = pypdf.PdfReader(BytesIO(data), strict=True).pages
    assert [row.split() for row in sheet.extract_text().splitlines()] == expected
    pdf = pypdfium2.PdfDocument(data)
    text = pdf[0].get_textpage().get_text_range()
    assert [row.split() for row in text.splitlines()] == expected
    pdf.close()


@pytest.mark.parametrize("dpi", [72.0, 144.0, None])
def test_words_stand_at_their_boxes(dpi) -> None:
    one = line("first second", 100, 200)
    data = searchable((page(one, dpi=dpi), Image.new("RGB", (1200, 800), "white")))
    pdf = pypdfium2.PdfDocument(data)
    scale = 72 / (dpi or 150)
    width, height = pdf[0].get_size()
    assert (width, height) == pytest.approx((600 * scale, 400 * scale), abs=0.01)
    text = pdf[0].get_textpage()
    for k in (0, 4, 6, 11):
        x0, y0, x1, y1 = (v * scale for v in one.characters[k])
        assert text.get_charbox(k) == pytest.approx((x0, height - y1, x1, height - y0), abs=0.3)
    pdf.close()


def test_the_picture_is_seen_and_the_text_is_not() -> None:
    picture = Image.radial_gradient("L").resize((600, 400))
    pdf = pypdfium2.PdfDocument(searchable((page(line("unseen words"), dpi=72), picture)))
    shown = np.asarray(pdf[0].render(scale=1, grayscale=True).to_pil().convert("L"), float)
    assert np.abs(shown - np.asarray(picture, float)).max() < 16
    pdf.close()


def test_a_page_without_picture_keeps_its_place() -> None:
    data = searchable((page(line("one")), WHITE), (Page(2, "failed"), None), (page(line("three"), number=3), WHITE))
    reader = pypdf.PdfReader(BytesIO(data), strict=True)
    assert [sheet.extract_text().strip() for sheet in reader.pages] == ["one", "", "three"]
    assert len(pypdf.PdfReader(BytesIO(searchable()), strict=True).pages) == 0


def test_words_of_a_line_without_characters_share_its_box() -> None:
    bare = Line("ab cd", (0, 0, 50, 10), 0.5)
    assert split_words(bare) == [("ab ", (0, 0, 30, 10)), ("cd", (30, 0, 50, 10))]
    assert split_words(Line("", (0, 0, 0, 0), 0.5)) == []


def test_overlay_and_crop() -> None:
    made = page(line("words"))
    made.blocks.append(Block([], (200, 100, 300, 200), "figure"))
    picture = Image.new("RGB", (1200, 800), "white")
    picture.paste("black", (400, 200, 600, 400))
    shown = draw_overlay(made, picture)
    assert shown.size == (1200, 800)
    assert shown.getpixel((600, 300)) == tuple(int(COLOURS["figure"][k : k + 2], 16) for k in (1, 3, 5))
    assert picture.getpixel((600, 399)) == (255, 255, 255)
    cut = crop_block(made, made.blocks[1], picture)
    assert (cut.size, cut.getextrema()) == ((200, 200), ((0, 0),) * 3)


def turned(made: Page, angle: Orientation, size: tuple[int, int]) -> Page:
    restore_orientation(made, angle, size)
    return made


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("skew", [0.0, 4.0])
def test_turned_pages_are_shown_upright_with_their_words(rotation, skew) -> None:
    """Two libraries give the reading order of a page that lies sideways, upside down or aslant; its paper is kept."""
    lines = [
        line(text, 60, 60 + 60 * k) for k, text in enumerate(("first of the lines", "second of them", "the third"))
    ]
    upright = page(*lines, dpi=72)
    size = (400, 600) if rotation % 180 else (600, 400)
    made = turned(upright, Orientation(rotation, skew), size)
    data = searchable((made, Image.new("L", size, 255)))
    pdf = pypdfium2.PdfDocument(data)
    assert pdf[0].get_size() == pytest.approx((600, 400), abs=0.1)  # shown upright
    assert pdf[0].get_textpage().get_text_range().split() == [word for one in lines for word in one.text.split()]
    found = pypdf.PdfReader(BytesIO(data)).pages[0]
    assert found.extract_text().split() == [word for one in lines for word in one.text.split()]
    assert [float(v) for v in found.cropbox] == pytest.approx([0, 0, *size], abs=0.1)
    for k, one in enumerate(lines):  # the middle of each character is where its box is in the straightened picture
        start = sum(len(before.text) for before in lines[:k])
        found = [pdf[0].get_textpage().get_charbox(start + 2 * k + at) for at in (0, 3)]
        for at, (x0, y0, x1, y1) in zip((0, 3), found, strict=True):
            bx0, by0, bx1, by1 = straighten_box(one.characters[at], Orientation(0, skew), size)
            wide, high = straighten_size(size, Orientation(0, skew))
            middle = (bx0 + bx1 - wide + size[0]) / 2, (by0 + by1 - high + size[1]) / 2
            assert ((x0 + x1) / 2, size[1] - (y0 + y1) / 2) == pytest.approx(middle, abs=1)
    pdf.close()


def test_the_paper_has_the_size_that_was_given() -> None:
    file = BytesIO()
    pdf = SearchablePdf(file)
    pdf.add(page(line("first second"), dpi=None), WHITE, (595, 842))
    pdf.add(page(line("first second"), dpi=None), WHITE, (59_500, 84_200))
    pdf.close()
    found = pypdfium2.PdfDocument(file.getvalue())
    assert found[0].get_size() == pytest.approx((595, 842))
    assert max(found[1].get_size()) <= 14_400
    box = found[0].get_textpage().get_charbox(0)
    assert box[0] == pytest.approx(20 / 600 * 595, abs=0.5)
    assert 842 - box[3] == pytest.approx(30 / 400 * 842, abs=0.5)
    found.close()


@pytest.mark.parametrize(
    ("layer", "judged"),
    [
        ("", "none"),
        (" \r\n -- ", "none"),
        ("Plain words of a page, and more.", "good"),
        ("PIain w0rds 0f a pagc, amd rnore", "bad"),
        ("Простые слова на странице", "good"),
        ("plain", "bad"),
    ],
)
def test_a_layer_is_judged_by_what_was_read(layer, judged) -> None:
    assert judge_layer(layer, page(line("plain words of a page and more"))) == judged


def test_nothing_read_does_not_judge_a_layer() -> None:
    assert judge_layer("some words", Page(1, "blank")) == "good"


@pytest.mark.parametrize("upwards", [True, False])
def test_labels_that_run_along_the_side_of_a_figure_stand_at_their_boxes(upwards: bool) -> None:
    order = range(5)[::-1] if upwards else range(5)
    letters = [(40.0, 100.0 + 20 * k, 60.0, 120.0 + 20 * k) for k in order]
    name = Line("depth", (40.0, 100.0, 60.0, 200.0), 0.9, letters, [0.9] * 5)
    made = Page(1, "ok", 600, 400, blocks=[Block([name], (40.0, 50.0, 400.0, 300.0), "figure")], dpi=72)
    pdf = pypdfium2.PdfDocument(searchable((made, WHITE)))
    text = pdf[0].get_textpage()
    assert text.get_text_range() == "depth"
    for k, (x0, y0, x1, y1) in enumerate(letters):
        left, low, right, high = text.get_charbox(k)
        assert ((left + right) / 2, 400 - (low + high) / 2) == pytest.approx(((x0 + x1) / 2, (y0 + y1) / 2), abs=4)
    pdf.close()
