"""`--layer`: a page out of its PDF's text layer, without a model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pypdfium2
import pytest

from tests.conftest import printed_by
from tests.pdfs import pdf_of, show
from vary.document.orientation import Orientation
from vary.io.pdf_layer import ARRAYS, GENERATED
from vary.io.pdf_text import read_text_layer
from vary.reading.api import load
from vary.reading.layer.lines import find_lines, lines_by_turn
from vary.reading.pages import read_document

READER = load("layer")
PROSE = ("The harbour office keeps a ledger of", "every vessel that enters the bay and", "pays its dues in copper.")


def prose(x: float = 50, y: float = 250) -> str:
    return "".join(show(line, x, y - 14 * k) for k, line in enumerate(PROSE))


def test_text_and_headings(tmp_path) -> None:
    page = show("Winter dues", 50, 275, 22, "F2") + prose()
    document = read_document(pdf_of(tmp_path / "a.pdf", [page]), READER)
    assert document.pages[0].layer == "trusted"
    assert document.markdown() == f"<!-- page 1 -->\n\n# Winter dues\n\n{' '.join(PROSE)}"
    line = document.pages[0].lines[1]
    assert (line.writer, line.sources) == ("layer", [(0, len(line.text), "layer")])
    assert len(line.characters) == len(line.text)


def test_glyphs_placed_one_by_one_in_any_order_are_words(tmp_path) -> None:
    letters = [show(ch, 50 + 8 * k, 200, 12, "F3") for k, ch in enumerate("Nine sheep") if ch != " "]
    path = pdf_of(tmp_path / "a.pdf", ["".join(letters[::-1])])
    assert read_document(path, READER).text() == "Nine sheep"


def test_line_breaks_within_a_word_are_no_blanks(tmp_path) -> None:
    """PDFium adds a line break after each character of a page that it takes for vertical writing."""
    pdf = pypdfium2.PdfDocument(pdf_of(tmp_path / "a.pdf", [show("Upper level", 50, 200)]))
    layer = read_text_layer(pdf[0])
    pdf.close()
    count = len(layer.text)
    broken = {name: np.repeat(getattr(layer, name), 3, 0) for name, _, _ in ARRAYS}
    broken["kinds"][np.arange(3 * count) % 3 > 0] = GENERATED
    text = "".join(f"{ch}\r\n" for ch in layer.text)
    ((_, lines),) = lines_by_turn(replace(layer, text=text, **broken), (400, 300))
    assert [line.text for line in lines] == ["Upper level"]


def test_white_between_words_is_a_blank_though_the_file_has_none(tmp_path) -> None:
    """Programs set a blank as space between letters, as troff does. Letterspaced words stay whole."""
    kerned = "BT /F1 12 Tf 50 200 Td (bu) Tj 3 Tc 13.34 0 Td (tt) Tj 0 Tc 9.67 0 Td (he value) Tj ET"
    spaced = "BT /F1 12 Tf 3 Tc 50 150 Td (LETTERS APART) Tj ET"
    document = read_document(pdf_of(tmp_path / "a.pdf", [kerned + " " + spaced]), READER)
    assert [line.text for line in document.pages[0].lines] == ["but the value", "LETTERS APART"]


def test_words_that_stand_close_are_parted_where_letters_are_set_evenly(tmp_path) -> None:
    """TeX shrinks blanks below what PDFium takes for one, before words in other type, too."""
    words = "[(The harbour) -120 (office) -120 (keeps) -120 (ledgers of)] TJ"
    path = pdf_of(tmp_path / "a.pdf", [f"BT /F1 12 Tf 50 200 Td {words} /F3 12 Tf [-120 (quay.txt)] TJ ET"])
    assert read_document(path, READER).text() == "The harbour office keeps ledgers of quay.txt"


def test_bold_by_printing_twice_is_read_once(tmp_path) -> None:
    page = show("Heavy word", 50, 200) + show("light", 50, 150) + show("Heavy word", 50.4, 200)
    assert read_document(pdf_of(tmp_path / "a.pdf", [page]), READER).text().split() == ["Heavy", "word", "light"]


def test_superscripts_and_styles_are_markup(tmp_path) -> None:
    page = show("Plain words stand here in a long line", 50, 250) + show("area of 12 m", 50, 200)
    page += show("2", 50 + 67, 205, 7) + show(" and ", 122, 200) + show("slanted", 150, 200, font="F4")
    found = read_document(pdf_of(tmp_path / "a.pdf", [page]), READER).markdown()
    assert "12 m<sup>2</sup> and *slanted*" in found


def test_links_are_markup(tmp_path) -> None:
    path = pdf_of(tmp_path / "a.pdf", [show("Go there", 50, 200)], links=[((68, 195, 120, 215), "https://a.example/x")])
    document = read_document(path, READER)
    assert document.pages[0].lines[0].links == [(3, 8, "https://a.example/x")]
    assert document.markdown().endswith("Go [there](https://a.example/x)")
    assert '<a href="https://a.example/x">there</a>' in document.html()


def test_a_script_is_no_link_in_html(tmp_path) -> None:
    path = pdf_of(tmp_path / "a.pdf", [show("Go there", 50, 200)], links=[((68, 195, 120, 215), "javascript:alert(1)")])
    assert "<a" not in read_document(path, READER).html()


def test_hidden_text_is_listed_and_not_read(tmp_path) -> None:
    path = pdf_of(tmp_path / "a.pdf", [prose() + show("Pay twice", 50, 100, extra="3 Tr")])
    page = read_document(path, READER).pages[0]
    assert "twice" not in page.text
    assert [(h.text, h.reason) for h in page.hidden] == [("Pay twice", "invisible")]


def test_sideways_text_is_read_behind_the_upright(tmp_path) -> None:
    page = prose() + "q 0 1 -1 0 40 40 cm BT /F1 12 Tf (Up the margin) Tj ET Q"
    found = read_document(pdf_of(tmp_path / "a.pdf", [page]), READER).pages[0]
    assert found.rotation == 0
    assert found.blocks[-1].text == "Up the margin"
    x0, y0, x1, y1 = found.blocks[-1].box
    assert y1 - y0 > 3 * (x1 - x0)  # as it lies on the page


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_page_that_lies_on_its_side(tmp_path, rotation) -> None:
    page = read_document(pdf_of(tmp_path / "a.pdf", [prose()], rotation=rotation), READER).pages[0]
    assert page.rotation == rotation
    assert page.text == " ".join(PROSE)


def test_what_has_no_layer_says_so(tmp_path, pdf_file) -> None:
    from PIL import Image

    Image.new("L", (100, 100), 255).save(tmp_path / "a.png")
    page = read_document(tmp_path / "a.png", READER).pages[0]
    assert page.status == "failed"
    assert "no text layer" in page.error
    assert read_document(pdf_file, READER).pages[1].status == "blank"


def test_no_torch_is_imported(tmp_path) -> None:
    path = pdf_of(tmp_path / "a.pdf", [prose()])
    program = f"import sys, vary; print(len(vary.read({str(path)!r}, 'layer').text()), 'torch' in sys.modules)"
    assert printed_by(program).split() == [str(len(" ".join(PROSE))), "False"]


def test_a_listing_on_a_grid_wider_than_its_type_has_no_extra_blanks(tmp_path) -> None:
    code = ("mul(a, b);", "log(mul(4, 11));")
    glyphs = [
        show(ch, 40 + 8.4 * k, 250 - 14 * row, 12, "F3")
        for row, line in enumerate(code)
        for k, ch in enumerate(line)
        if ch != " "
    ]
    page = read_document(pdf_of(tmp_path / "a.pdf", ["".join(glyphs)]), load("layer")).pages[0]
    assert [line.text for line in page.lines] == list(code)


@pytest.mark.parametrize(("blank", "found"), [(" ", "Call `go()`, then wait"), ("", "`go()` , then wait")])
def test_white_around_code_is_no_blank_where_the_line_has_blanks_of_its_own(tmp_path, blank, found) -> None:
    words = show(",", 110, 250) + show(f"{blank}then", 117, 250) + show(f"{blank}wait", 145, 250)
    page = (show("Call ", 50, 250) if blank else "") + show("go()", 77, 250, 12, "F3") + words
    assert read_document(pdf_of(tmp_path / "a.pdf", [page]), READER).markdown().splitlines()[-1] == found


def test_logos_with_raised_and_lowered_letters_are_one_word(tmp_path) -> None:
    latex = show("Set in L", 40, 250) + show("A", 80.5, 252.6, 8.4) + show("T", 86, 250) + show("E", 92, 247.4)
    page = pdf_of(tmp_path / "a.pdf", [latex + show("X and so on", 98.7, 250)])
    assert [line.text for line in read_document(page, load("layer")).pages[0].lines] == ["Set in LATEX and so on"]


def test_a_raised_sign_before_a_word_far_from_the_last_one_stays_in_the_line(tmp_path) -> None:
    page = show("Varn Institute", 50, 200, 12) + show("2", 126, 204, 7) + show("Nordhavn", 130, 200, 12)
    document = read_document(pdf_of(tmp_path / "a.pdf", [page]), READER)
    assert [line.text for line in document.pages[0].lines] == ["Varn Institute 2Nordhavn"]


def test_a_stop_behind_a_link_is_no_part_of_it(tmp_path) -> None:
    path = pdf_of(
        tmp_path / "a.pdf", [show("See there.", 50, 200)], links=[((74, 195, 104, 215), "https://a.example/x")]
    )
    assert "See [there](https://a.example/x)." in read_document(path, load("layer")).markdown()


@pytest.mark.parametrize(("reach", "found"), [(-7, "x := y"), (0, "x = y")])
def test_a_character_that_its_neighbour_draws_is_kept(tmp_path, reach: float, found: str) -> None:
    """Type for programs draws `:=` as one glyph, in the place of its second character."""
    path = pdf_of(tmp_path / "a.pdf", [show("x := y", 50, 200, 12, "F3")])
    text = read_text_layer(pypdfium2.PdfDocument(path)[0])
    boxes, at = text.boxes.copy(), text.text.index(":=")
    boxes[at, 3] = boxes[at, 1]
    boxes[at + 1, 0] += reach
    lines = find_lines(replace(text, boxes=boxes), np.arange(len(text.text)), Orientation(), (400, 300))
    assert [line.text for line in lines] == [found]
