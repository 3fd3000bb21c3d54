"""Filled form fields are drawn and reach the text layer, whether they have an appearance stream or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfWriter
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NumberObject,
    StreamObject,
    TextStringObject,
)

import vary
from vary.io.pdf import PdfFile

NAME = (120.0, 244.0, 300.0, 264.0)


def numbers(*values: float) -> ArrayObject:
    return ArrayObject(FloatObject(value) for value in values)


def named(**entries) -> DictionaryObject:
    return DictionaryObject({NameObject(f"/{key}"): value for key, value in entries.items()})


PROSE = ["The harbour office keeps a ledger of every vessel", "that enters the bay, with the hour of its arrival."]


def form(path: Path, appearance: bool = False, need: bool = False, rotate: int = 0, comb: bool = False) -> Path:
    """A page of 400 x 300 points with prose, a text field, a choice, two checkboxes with labels and a link.

    comb: The text field is a comb, and a frame is drawn around the choice.
    """
    writer = PdfWriter()
    page = writer.add_blank_page(400, 300)
    if rotate:
        page.rotate(rotate)
    fonts = {
        name: writer._add_object(
            named(Type=NameObject("/Font"), Subtype=NameObject("/Type1"), BaseFont=NameObject(base))
        )
        for name, base in (("Helv", "/Helvetica"), ("ZaDb", "/ZapfDingbats"))
    }
    printed = StreamObject()
    lines = [(text, 30, 110 - 16 * k) for k, text in enumerate(PROSE * 3)] + [("Engine", 98, 210), ("Sails", 188, 210)]
    shown = "".join(f"BT /Helv 12 Tf {x} {y} Td ({text}) Tj ET\n" for text, x, y in lines)
    printed.set_data(shown.encode() + b"120 150 180 20 re S" * comb)
    page[NameObject("/Contents")] = writer._add_object(printed)
    page[NameObject("/Resources")] = named(Font=named(**fonts))
    helvetica = TextStringObject("/Helv 12 Tf 0 g")
    widget = {"Type": NameObject("/Annot"), "Subtype": NameObject("/Widget"), "F": NumberObject(4), "DA": helvetica}
    text = named(
        **widget,
        FT=NameObject("/Tx"),
        T=TextStringObject("name"),
        V=TextStringObject("Grey Heron"),
        Rect=numbers(*NAME),
    )
    if appearance:
        stream = StreamObject()
        stream.set_data(b"/Tx BMC BT /Helv 12 Tf 2 6 Td (Grey Heron) Tj ET EMC")
        stream.update(named(Type=NameObject("/XObject"), Subtype=NameObject("/Form"), BBox=numbers(0, 0, 180, 20)))
        stream[NameObject("/Resources")] = named(Font=named(Helv=fonts["Helv"]))
        text[NameObject("/AP")] = named(N=writer._add_object(stream))
    if comb:
        text.update(named(V=TextStringObject("48213"), Ff=NumberObject(1 << 24), MaxLen=NumberObject(8)))
    options = ArrayObject([TextStringObject("North quay"), TextStringObject("South")])
    choice = named(
        **widget, FT=NameObject("/Ch"), Ff=NumberObject(1 << 17), T=TextStringObject("berth"), Opt=options,
        V=TextStringObject("North quay"), Rect=numbers(120, 150, 300, 170),
    )  # fmt: skip
    boxes = [
        named(**widget, FT=NameObject("/Btn"), T=TextStringObject(state), V=NameObject(state), AS=NameObject(state),
              Rect=numbers(x, 208, x + 12, 220), MK=named(CA=TextStringObject("4"), BC=numbers(0)))
        for x, state in ((80, "/Yes"), (170, "/Off"))
    ]  # fmt: skip
    action = named(S=NameObject("/URI"), URI=TextStringObject("http://example.org/x"))
    link = named(Type=NameObject("/Annot"), Subtype=NameObject("/Link"), Rect=numbers(30, 245, 100, 262), A=action)
    fields = ArrayObject(writer._add_object(one) for one in (text, choice, *boxes))
    page[NameObject("/Annots")] = ArrayObject([*fields, writer._add_object(link)])
    acro = named(Fields=fields, DR=named(Font=named(**fonts)), DA=helvetica, NeedAppearances=BooleanObject(need))
    writer._root_object[NameObject("/AcroForm")] = acro
    writer.write(path)
    return path


@pytest.mark.parametrize("appearance", [False, True])
@pytest.mark.parametrize("need", [False, True])
def test_values_are_drawn_and_in_the_text_layer(tmp_path, appearance, need) -> None:
    with PdfFile(form(tmp_path / "form.pdf", appearance, need)) as pdf:
        for _ in range(2):  # a page that is asked for again
            ink = np.asarray(pdf.render(1, 72)[0]) < 128
            assert ink[38:54, 122:200].any(), "the value is not drawn"
            assert all(value in pdf.text(1) for value in ("Grey Heron", "North quay"))


def test_a_comb_is_one_word_and_a_choice_no_figure(tmp_path) -> None:
    text = vary.read(form(tmp_path / "form.pdf", comb=True), "layer").markdown()
    assert "48213" in text
    assert "North quay" in text
    assert "figure" not in text


@pytest.mark.parametrize("dpi", [72.0, 144.0])
def test_fields_have_their_boxes_and_ticks(tmp_path, dpi) -> None:
    scale = dpi / 72
    with PdfFile(form(tmp_path / "form.pdf")) as pdf:
        fields = pdf.form_fields(1, dpi)
        links = pdf.content(1, dpi).objects.links
    assert [(one.kind, one.checked) for one in fields] == [
        ("text", False), ("choice", False), ("checkbox", True), ("checkbox", False),
    ]  # fmt: skip
    assert fields[0].box == pytest.approx((120 * scale, 36 * scale, 300 * scale, 56 * scale), abs=1)
    assert [target for _, target in links] == ["http://example.org/x"]
    assert links[0][0] == pytest.approx((30 * scale, 38 * scale, 100 * scale, 55 * scale), abs=1)


def test_a_file_without_a_form_has_no_fields(pdf_file) -> None:
    with PdfFile(pdf_file) as pdf:
        assert pdf.form_fields(1, 72) == []


def test_a_radio_button_without_appearance_is_ticked_by_its_state(tmp_path) -> None:
    writer = PdfWriter()
    page = writer.add_blank_page(300, 200)
    group = writer._add_object(
        named(FT=NameObject("/Btn"), Ff=NumberObject(1 << 15), T=TextStringObject("pay"), V=NameObject("/Monthly"))
    )
    kids = ArrayObject(
        writer._add_object(named(Type=NameObject("/Annot"), Subtype=NameObject("/Widget"), Parent=group,
                                 AS=NameObject(state), Rect=numbers(x, 100, x + 12, 112)))
        for x, state in ((20, "/Off"), (120, "/Monthly"), (220, "/Off"))
    )  # fmt: skip
    group.get_object()[NameObject("/Kids")] = page[NameObject("/Annots")] = kids
    writer._root_object[NameObject("/AcroForm")] = named(Fields=ArrayObject([group]))
    writer.write(tmp_path / "radio.pdf")
    with PdfFile(tmp_path / "radio.pdf") as pdf:
        assert [one.checked for one in pdf.form_fields(1, 72)] == [False, True, False]
