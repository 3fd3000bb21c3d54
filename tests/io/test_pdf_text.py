"""Text layer and objects of PDF pages: characters with their properties, ruling lines, links, hidden text."""

from __future__ import annotations

import numpy as np
import pikepdf
import pytest

from tests.pdfs import pdf_of, show
from vary.io.pdf import PdfFile
from vary.io.pdf_layer import ARRAYS, TextLayer, join_brackets, mark_fixed_width, true_sizes
from vary.io.pdf_objects import HIDDEN

DPI = 144.0  # 2 px per point


def content_of(path):
    with PdfFile(path) as pdf:
        return pdf.content(1, DPI)


def boxes_of(objects):
    """All boxes of a page's objects."""
    marked = [box for box, *_ in (*objects.fills, *objects.images, *objects.shadings, *objects.links)]
    return [*objects.rules, *objects.curves, *marked]


def place(text, word: str) -> slice:
    at = text.text.index(word)
    return slice(at, at + len(word))


@pytest.mark.parametrize("rotation", [0, 90])
def test_resized_content_is_that_of_the_other_resolution(tmp_path, rotation) -> None:
    drawing = " 20 20 100 40 re S 1 0 0 rg 150 30 60 60 re f 10 10 m 200 11 l S"
    path = pdf_of(tmp_path / "a.pdf", [show("Plain words", 50, 200) + show("white", 20, 100, 9, "F1", "1 g") + drawing])
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        pdf.pages[0].rotate(rotation, relative=False)
        link = dict(Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Link, Rect=[50, 195, 90, 215])
        action = pikepdf.Dictionary(S=pikepdf.Name.URI, URI="https://example.org")
        pdf.pages[0].Annots = pdf.make_indirect([pikepdf.Dictionary(**link, A=action)])
        pdf.save(path)
    with PdfFile(path) as pdf:
        known, size = pdf.content(1, DPI), pdf.render(1, DPI)[0].size
        found = pdf.content(1, 97.3).resized(*size)
    for name in ("boxes", "advances", "origins", "ems"):
        assert getattr(found.text, name) == pytest.approx(getattr(known.text, name), abs=0.1), name
    assert found.text.hidden.tolist() == known.text.hidden.tolist()
    for one, other in zip(boxes_of(known.objects), boxes_of(found.objects), strict=True):
        assert other == pytest.approx(one, abs=0.1)
    assert len(boxes_of(known.objects)) >= 4


def test_characters_have_boxes_sizes_fonts_and_colours(tmp_path) -> None:
    page = show("Plain words", 50, 200) + show("Bold", 50, 100, 20, "F2", "1 0 0 rg") + show("x=1", 200, 100, 9, "F3")
    text = content_of(pdf_of(tmp_path / "a.pdf", [page])).text
    plain, bold, mono = (place(text, word) for word in ("Plain", "Bold", "x=1"))
    assert text.origins[plain][0] == pytest.approx([100, 200], abs=1)  # y down from the top of 300 points, twice
    assert text.ems[plain] == pytest.approx([24] * 5)
    assert text.ems[bold] == pytest.approx([40] * 4)
    assert set(text.colours[bold].tolist()) == {0xFF0000}
    assert (text.styles[plain][0], text.styles[bold][0] & 1, text.styles[mono][0] & 4) == (0, 1, 4)
    assert text.font_names[text.fonts[bold][0]] == "Helvetica-Bold"
    x0, y0, x1, y1 = text.boxes[bold][0].tolist()
    assert 100 <= x0 < x1 < 140
    assert 360 < y0 < y1 <= 401


def test_size_is_scaled_by_the_matrix(tmp_path) -> None:
    text = content_of(pdf_of(tmp_path / "a.pdf", ["q 12 0 0 12 50 200 cm BT /F1 1 Tf (Scaled) Tj ET Q"])).text
    assert text.ems[place(text, "Scaled")] == pytest.approx([24] * 6)


@pytest.mark.parametrize("rotation", [0, 90])
def test_an_accent_over_a_letter_is_joined_to_it(tmp_path, rotation) -> None:
    """Old fonts of TeX have accents as characters of their own; `´` and `¨` that stand over nothing stay."""
    over = "[(Mieterh\xa8) 445 (ohung, gar\xb8) 417 (con, \xa8 \xb4 M\xa8) 445 (uhe)] TJ"
    page = f"q BT /F1 12 Tf 50 200 Td {over} ET Q" + show("under it, u and o", 50, 186)
    text = content_of(pdf_of(tmp_path / "a.pdf", [page], rotation=rotation)).text.text
    assert " ".join(text.split()).replace("under it, u and o", "").strip() == "Mieterhöhung, garçon, ¨ ´ Mühe"


def test_a_sign_over_a_letter_of_the_next_line_is_no_accent(tmp_path) -> None:
    text = content_of(pdf_of(tmp_path / "a.pdf", [show("`r`", 50, 200) + show("yyy", 50, 191)])).text.text
    assert text.split() == ["`r`", "yyy"]


def test_an_accent_as_wide_as_its_letter_leaves_no_white(tmp_path) -> None:
    page = "BT /F3 12 Tf 50 200 Td [(Zus\xa8) 600 (atzliche)] TJ ET"
    text = content_of(pdf_of(tmp_path / "a.pdf", [page])).text
    assert text.text.strip() == "Zusätzliche"
    assert np.diff(text.advances[:, 0]).tolist() == pytest.approx([14.4] * 10, abs=0.1)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_rotated_page_is_given_as_it_is_shown(tmp_path, rotation) -> None:
    content = content_of(pdf_of(tmp_path / "a.pdf", [show("Turned words", 50, 200)], rotation=rotation))
    text, (wide, high) = content.text, (800, 600) if rotation % 180 == 0 else (600, 800)
    assert (content.objects.width, content.objects.height) == pytest.approx((wide, high))
    assert set(text.angles[place(text, "Turned")].round().tolist()) == {float(rotation)}
    with PdfFile(tmp_path / "a.pdf") as pdf:
        ink = np.asarray(pdf.render(1, DPI)[0]) < 128
    for x0, y0, x1, y1 in text.boxes[place(text, "Turned")].tolist():
        inside = ink[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1]
        assert inside.any()


BOXES = {  # the boxes of the parent node and of the page
    "inherited": ({"/MediaBox": [0, 0, 300, 500]}, {}),
    "inherited crop": ({"/MediaBox": [0, 0, 400, 600], "/CropBox": [20, 150, 380, 500]}, {}),
    "crop beyond the media": ({}, {"/MediaBox": [0, 0, 400, 300], "/CropBox": [-50, 60, 900, 250]}),
    "crop outside of the media": ({}, {"/MediaBox": [0, 0, 400, 300], "/CropBox": [1000, 1000, 1200, 1200]}),
    "origin not zero": ({}, {"/MediaBox": [30, 40, 430, 340]}),
    "negative": ({}, {"/MediaBox": [-100, -50, 300, 250]}),
    "corners swapped": ({}, {"/MediaBox": [400, 300, 0, 0]}),
    "no box": ({}, {}),
}


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
def test_characters_lie_on_their_ink_whatever_box_and_rotation_the_page_has(tmp_path, boxes) -> None:
    path = pdf_of(tmp_path / "a.pdf", [show("HIHIHIHI", 50, 170, 20, "F2")] * 4)
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        for quarter, page in enumerate(page.obj for page in pdf.pages):
            del page["/MediaBox"]
            page["/Rotate"] = 90 * quarter
            for node, given in zip((page["/Parent"], page), boxes, strict=True):
                for name, box in given.items():
                    node[name] = pikepdf.Array(box)
        pdf.save(path)
    with PdfFile(path) as pdf:
        for number in range(1, 5):
            text, ink = pdf.content(number, DPI).text, np.asarray(pdf.render(number, DPI)[0]) < 128
            rows, columns = np.nonzero(ink)
            x0, y0, x1, y1 = text.boxes[place(text, "HIHIHIHI")].T
            found = x0.min(), y0.min(), x1.max(), y1.max()
            expected = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert found == pytest.approx(expected, abs=2), f"page {number}"


def test_rules_areas_pictures_and_drawings(tmp_path) -> None:
    page = (
        "1 w 50 100 m 350 100 l S 50 50 300 100 re S 0.5 g 60 200 80 40 re f 0 g 60 260 200 0.5 re f "
        "200 200 m 220 240 260 240 280 200 c S 10 10 m 40 40 l S"
    )
    objects = content_of(pdf_of(tmp_path / "a.pdf", [page])).objects
    level = [box for box in objects.rules if box[2] - box[0] > box[3] - box[1]]
    upright = [box for box in objects.rules if box[2] - box[0] < box[3] - box[1]]
    assert len(level) == 4  # the line, two sides of the frame, the narrow area
    assert len(upright) == 2
    assert [(box, colour) for box, colour, _ in objects.fills] == [((120, 120, 280, 200), 0x808080)]
    assert len(objects.curves) == 2  # the curve and the slanting stroke


FRAMES = {
    "even-odd": "50 200 200 40 re 52 202 196 36 re f*",
    "opposite turns": "50 200 200 40 re 52 202 m 52 238 l 248 238 l 248 202 l h f",
}


@pytest.mark.parametrize("frame", sorted(FRAMES))
def test_a_frame_drawn_as_two_rectangles_is_four_rules_and_hides_nothing(tmp_path, frame) -> None:
    page = "0.1 g " + FRAMES[frame] + "\n" + show("words in a frame", 60, 215, extra="0.1 g")
    content = content_of(pdf_of(tmp_path / "a.pdf", [page]))
    assert not content.text.hidden.any()
    assert content.objects.fills == []
    assert sorted(content.objects.rules) == [
        (100, 120, 500, 124), (100, 124, 104, 196), (100, 196, 500, 200), (496, 124, 500, 196),
    ]  # fmt: skip


def test_a_rectangle_on_another_of_the_same_path_fills_it(tmp_path) -> None:
    page = "0.1 g 50 200 200 40 re 60 210 40 20 re f " + show("unseen", 62, 215, extra="0.1 g")
    content = content_of(pdf_of(tmp_path / "a.pdf", [page]))
    assert content.text.hidden.all()


def test_a_rectangle_with_round_corners_is_an_area_and_an_ellipse_is_a_drawing(tmp_path) -> None:
    card = (
        "70 200 m 130 200 l 136 200 140 204 140 210 c 140 230 l 140 236 136 240 130 240 c "
        "70 240 l 64 240 60 236 60 230 c 60 210 l 60 204 64 200 70 200 c h"
    )
    ellipse = (
        "200 220 m 200 231 218 240 240 240 c 262 240 280 231 280 220 c "
        "280 209 262 200 240 200 c 218 200 200 209 200 220 c h"
    )
    objects = content_of(pdf_of(tmp_path / "a.pdf", [f"0.5 g {card} f {ellipse} f"])).objects
    assert [box for box, *_ in objects.fills] == [(120, 120, 280, 200)]
    assert len(objects.curves) == 1


def test_links_lead_to_addresses(tmp_path) -> None:
    path = pdf_of(tmp_path / "a.pdf", [show("Go there", 50, 200)], links=[((50, 195, 100, 215), "https://a.example/x")])
    assert content_of(path).objects.links == [((100, 170, 200, 210), "https://a.example/x")]


HIDING = {
    "invisible": show("secret words", 50, 200, extra="3 Tr"),
    "tiny": show("secret words", 50, 200, 0.2),
    "outside": show("secret words", 50, 400),
    "clipped": "q 0 0 10 10 re W n " + show("secret words", 50, 200) + "Q\n",
    "covered": show("secret words", 50, 200) + "0.9 g 40 190 200 30 re f\n",
    "background": "0 0 1 rg 40 190 200 30 re f " + show("secret words", 50, 200, extra="0 0 1 rg"),
}


@pytest.mark.parametrize("reason", sorted(HIDING))
def test_hidden_text_is_marked(tmp_path, reason) -> None:
    text = content_of(pdf_of(tmp_path / "a.pdf", [HIDING[reason] + show("open words", 50, 100)])).text
    assert {HIDDEN[k] for k in text.hidden[place(text, "secret")].tolist()} == {reason}
    assert not text.hidden[place(text, "open")].any()


def test_white_text_on_a_dark_area_is_no_hidden_text(tmp_path) -> None:
    page = (
        "0 0 0.4 rg 40 190 200 30 re f "
        + show("light words", 50, 200, extra="1 g")
        + show("white", 50, 100, extra="1 g")
    )
    text = content_of(pdf_of(tmp_path / "a.pdf", [page])).text
    assert not text.hidden[place(text, "light")].any()
    assert text.hidden[place(text, "white")].all()


def test_text_under_what_shines_through_is_shown(tmp_path) -> None:
    """A shadow that is drawn with a soft mask, or a marker that multiplies, covers nothing."""
    marker = "1 1 0 rg /M gs 40 190 200 30 re f\n"
    path = pdf_of(tmp_path / "a.pdf", [show("secret words", 50, 200) + marker])
    assert not content_of(path).text.hidden.any()


@pytest.mark.parametrize("sign", ["–", "•"])
def test_low_signs_have_the_size_of_their_type(tmp_path, sign) -> None:
    text = content_of(pdf_of(tmp_path / "a.pdf", [show("words", 50, 200, 20) + show(sign, 30, 200, 9)])).text
    assert true_sizes(text)[text.text.index(sign)] == pytest.approx(9 * 2, rel=0.1)


def test_digits_among_many_dots_have_the_size_of_their_type(tmp_path) -> None:
    """A page of an index has more dots than digits in a size: 2,866 px wide, it was read as type of 2 points."""
    page = "".join(show(". " * 30, 50, 200 - 14 * k, 9) + show("27", 250, 200 - 14 * k, 9) for k in range(6))
    text = content_of(pdf_of(tmp_path / "a.pdf", [page])).text
    assert true_sizes(text) == pytest.approx(text.ems)
    assert text.ems[text.text.index("2")] == pytest.approx(9 * 2, rel=0.1)


def test_a_page_without_text_has_an_empty_layer(tmp_path) -> None:
    content = content_of(pdf_of(tmp_path / "a.pdf", ["0 0 10 10 re f"]))
    assert content.text.text == ""
    assert len(content.objects.fills) == 1


def layer_of(text: str, boxes, advance: float = 6.0) -> TextLayer:
    count = len(text)
    values = {name: np.zeros((count, width) if width > 1 else count, kind) for name, kind, width in ARRAYS}
    values["boxes"] = np.array(boxes, np.float32)
    values["advances"] = values["boxes"].copy()
    values["advances"][:, 2] = values["advances"][:, 0] + advance
    values["ems"][:] = 10.0
    return TextLayer(text, font_names=("",), font_ids=("/0",), **values)


def test_fonts_whose_letters_are_equally_wide_are_fixed_width_type() -> None:
    word = "fish and mammals will"
    boxes = [(6.0 * k, 0.0, 6.0 * k + (2 if ch in "il" else 5), 7.0) for k, ch in enumerate(word)]
    assert (mark_fixed_width(layer_of(word, boxes)).styles == 4).all()
    wide = layer_of(word, boxes)
    wide.advances[[k for k, ch in enumerate(word) if ch in "mw"], 2] += 2
    assert not mark_fixed_width(wide).styles.any()
    assert (mark_fixed_width(layer_of("def sieve(p): yield k", boxes)).styles == 4).all()  # no letter is wide
    assert not mark_fixed_width(layer_of("1234567890", boxes[:10])).styles.any()  # digits are so in most fonts


@pytest.mark.parametrize("pieces", ["⎧⎪⎨⎪⎩", "\uf8f1\uf8f4\uf8f2\uf8f4\uf8f3", "⎫⎬⎭", "⎡⎣"])
def test_pieces_of_a_large_bracket_are_one_character(pieces) -> None:
    boxes = [(20.0, 10.0 * k, 24.0, 10.0 * k + 10) for k in range(len(pieces))]
    found = join_brackets(layer_of(pieces + "x", [*boxes, (40.0, 20.0, 46.0, 27.0)]))
    assert found.text == {"⎧": "{", "\uf8f1": "{", "⎫": "}", "⎡": "["}[pieces[0]] + "x"
    assert found.boxes[0].tolist() == [20.0, 0.0, 24.0, 10.0 * len(pieces)]
