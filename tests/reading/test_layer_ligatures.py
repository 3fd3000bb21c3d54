"""Type for programs draws several characters as one glyph, in the place of the last or the first of them."""

from __future__ import annotations

import io

import numpy as np
import pypdfium2
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, NameObject

from tests.pdfs import dictionary_of, pdf_of, with_map
from vary.io.pdf_text import read_text_layer
from vary.reading.api import load
from vary.reading.layer.align import Aligned
from vary.reading.layer.lines import lines_by_turn
from vary.reading.layer.unclear import without_unclear
from vary.reading.pages import read_document

READER = load("layer")
SHAPES = {
    "_": (0, 0),
    "!": (0, 0),
    " ": (0, 0),
    "=": (-250, 550),
    "#": (-850, 550),
    "<": (50, 1100),
}  # sides
PLAIN = (50, 550)  # of other characters
STEP = 7.2  # of type of 12 points


def program(path, content: str):
    """A page whose font /F1 draws boxes: none for `_`, `!` and blanks, and wide ones to the left or right."""
    codes, builder, glyphs, sides, file = range(32, 127), FontBuilder(1000), {}, {".notdef": 0}, io.BytesIO()
    for code in codes:
        (left, right), pen = SHAPES.get(chr(code), PLAIN), TTGlyphPen(None)
        if right > left:
            pen.moveTo((left, 0))
            for point in ((left, 600), (right, 600), (right, 0)):
                pen.lineTo(point)
            pen.closePath()
        glyphs[f"c{code}"], sides[f"c{code}"] = pen.glyph(), left
    builder.setupGlyphOrder([".notdef", *glyphs])
    builder.setupCharacterMap({code: f"c{code}" for code in codes})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph()} | glyphs)
    builder.setupHorizontalMetrics({name: (600, side) for name, side in sides.items()})
    builder.setupHorizontalHeader(ascent=900, descent=-200)
    builder.setupPost()
    builder.save(file)
    writer = PdfWriter(PdfReader(with_map(pdf_of(path, [content]), {})))
    program, font = DecodedStreamObject(), writer.pages[0]["/Resources"]["/Font"]["/F1"].get_object()
    program.set_data(file.getvalue())
    descriptor = dictionary_of(Type="FontDescriptor", FontName="X", Flags=32, FontBBox=[-900, -200, 1200, 900],
                               StemV=80, ItalicAngle=0, Ascent=900, Descent=-200, CapHeight=700)  # fmt: skip
    descriptor[NameObject("/FontFile2")] = writer._add_object(program)
    font.update(dictionary_of(Subtype="TrueType", BaseFont="X", FirstChar=32, LastChar=126, Widths=[600] * 95))
    font[NameObject("/FontDescriptor")] = writer._add_object(descriptor)
    writer.write(path)
    return path


def one_by_one(text: str, spans: dict[int, str]) -> str:
    """Operators that show each character as an object of its own; spans: what stands for the character at a place."""
    shown = [f"1 0 0 1 {50 + STEP * k:g} 200 Tm ({ch}) Tj\n" for k, ch in enumerate(text)]
    for k, span in spans.items():
        shown[k] = f"/Span <</ActualText ({span})>> BDC {shown[k]} EMC\n"
    return f"BT /F1 12 Tf {''.join(shown)} ET"


@pytest.mark.parametrize(
    ("drawn", "spans", "text"),
    [
        ("aa != b", {}, "aa != b"),
        ("aa _= b _= __#", {3: "&", 8: "|", 11: "=", 12: "!"}, "aa &= b |= =!#"),  # what stands for `_`
        ("aa _= _= b", {3: "=", 6: "="}, "aa == == b"),
        ("aa <_ b", {4: "-"}, "aa <- b"),
        ("a_ ! b", {1: "x"}, "a b"),  # what no glyph draws is not on the page
    ],
)
@pytest.mark.parametrize("turn", [0, 90])
def test_a_character_that_the_glyph_of_another_draws_is_read(tmp_path, drawn, spans, text, turn) -> None:
    path = program(tmp_path / "a.pdf", one_by_one(drawn, spans))
    if turn:
        writer = PdfWriter(PdfReader(path))
        writer.pages[0].rotate(turn)
        writer.write(path)
    assert " ".join(read_document(path, READER).text().split()) == text


def test_characters_of_one_object_are_read_where_a_glyph_covers_a_part_of_their_place(tmp_path) -> None:
    content = "BT /F1 12 Tf 50 200 Td (aa != b ! c) Tj ET"
    assert read_document(program(tmp_path / "a.pdf", content), READER).text().split() == ["aa", "!=", "b", "c"]


def test_a_replacement_text_stays_in_the_place_of_what_it_replaces(tmp_path) -> None:
    """An object that draws nothing does not take the text of a span to itself."""
    steps = "".join(f"1 0 0 1 {50 + STEP * k:g} 200 Tm ({ch}) Tj " for k, ch in enumerate(" abc"))
    content = f"BT /F1 12 Tf /Span <</ActualText (word)>> BDC {steps} EMC ET"
    assert read_document(program(tmp_path / "a.pdf", content), READER).text() == "word"


def test_reading_the_text_leaves_the_page_as_it_was(tmp_path) -> None:
    pdf = pypdfium2.PdfDocument(program(tmp_path / "a.pdf", one_by_one("aa != b", {})))
    (before, first), (after, second) = ((pdf[0].render().to_numpy(), read_text_layer(pdf[0])) for _ in range(2))
    assert (before == after).all()
    assert first.text == second.text
    page = pdf[0]
    layers = [read_text_layer(page) for _ in range(2)]
    assert layers[0].boxes.tolist() == layers[1].boxes.tolist()
    assert set(layers[1].modes.tolist()) == {0}
    pdf.close()


def test_pixels_contradict_no_character_of_a_ligature(tmp_path) -> None:
    pdf = pypdfium2.PdfDocument(program(tmp_path / "a.pdf", one_by_one("aa != b", {})))
    layer = read_text_layer(pdf[0])
    pdf.close()
    ((_, (line,)),) = lines_by_turn(layer, (400, 300))
    found = without_unclear(line, Aligned(np.full(5, -20.0), ["5"] * 5), layer)
    assert (line.text, list(found.seen)) == ("aa != b", ["5", "5", "", "", "5"])
