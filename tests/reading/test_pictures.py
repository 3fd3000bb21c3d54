"""Searchable PDFs of PDFs: good pages are copied, scans get text, wrong layers are replaced, the paper stays."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pypdf
import pypdf.annotations
import pypdfium2
import pytest
from PIL import Image, ImageDraw
from pypdf.generic import DictionaryObject, NameObject, StreamObject

from vary.document.elements import Block, Line, Page
from vary.document.orientation import Orientation, restore_orientation
from vary.io.box import union
from vary.io.source import Source
from vary.reading.runs.pictures import write_searchable_pdf

TEXTS = ("a page that was born digital", "a page that is a scan", "a page whose layer is wrong")


def write_pdf(path: Path, password: str | None = None) -> Path:
    """Three pages: text; a picture, shown sideways; a picture with invisible text that is wrong."""
    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {NameObject(f"/{k}"): NameObject(f"/{v}")
         for k, v in {"Type": "Font", "Subtype": "Type1", "BaseFont": "Helvetica"}.items()}
    )  # fmt: skip
    drawn = (
        f"BT /F 12 Tf 20 150 Td ({TEXTS[0]}) Tj ET 10 10 m 90 90 l S",
        "20 20 100 60 re f",
        "20 20 100 60 re f BT 3 Tr /F 12 Tf 20 150 Td (wr0ng 1ayer 0f a p4ge) Tj ET",
    )
    for k, operators in enumerate(drawn):
        page = writer.add_blank_page(300, 200)
        stream = StreamObject()
        stream.set_data(operators.encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
        fonts = DictionaryObject({NameObject("/F"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        if k == 1:
            page.rotate(90)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)
    return path


def read_pages(numbers: tuple[int, ...]) -> list[Page]:
    pages = []
    for number in numbers:
        width, height = (200, 300) if number == 2 else (300, 200)
        text = TEXTS[number - 1]
        boxes = [(20.0 + 5 * k, 40.0, 25.0 + 5 * k, 52.0) for k in range(len(text))]
        box = (20.0, 40.0, boxes[-1][2], 52.0)
        one = Line(text, box, 0.95, boxes, [0.95] * len(text))
        pages.append(Page(number, "ok", width, height, 72.0, blocks=[Block([one], box)]))
    return pages


def searchable(source: Path, numbers: tuple[int, ...], out: Path, password: str | None = None) -> pypdf.PdfReader:
    with Source(source, password) as opened:
        write_searchable_pdf(opened, read_pages(numbers), password, out)
    return pypdf.PdfReader(BytesIO(out.read_bytes()))


def test_each_page_gets_what_it_lacks(tmp_path) -> None:
    source = write_pdf(tmp_path / "a.pdf")
    found = searchable(source, (1, 2, 3), tmp_path / "out.pdf")
    assert [" ".join(page.extract_text().split()) for page in found.pages] == list(TEXTS)
    assert b"10 10 m 90 90 l S" in found.pages[0].get_contents().get_data(), "vectors are lost"
    assert len(found.pages[1].images) == 0, "the scan was rendered again"
    assert len(found.pages[2].images) == 1
    drawn = pypdfium2.PdfDocument(tmp_path / "out.pdf")
    assert [tuple(round(v) for v in page.get_size()) for page in drawn] == [(300, 200), (200, 300), (300, 200)]
    place = drawn[1].get_textpage()
    assert pypdfium2.PdfDocument(source)[1].get_rotation() == drawn[1].get_rotation() == 90
    assert len(place.get_text_range()) == len(TEXTS[1])
    drawn.close()


def test_a_file_of_good_pages_is_copied_to_the_byte(tmp_path) -> None:
    writer = pypdf.PdfWriter(clone_from=pypdf.PdfReader(write_pdf(tmp_path / "a.pdf")))
    while len(writer.pages) > 1:
        del writer.pages[-1]
    writer.write(tmp_path / "b.pdf")
    searchable(tmp_path / "b.pdf", (1,), tmp_path / "out.pdf")
    assert (tmp_path / "out.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_chosen_pages_in_their_order(tmp_path) -> None:
    found = searchable(write_pdf(tmp_path / "a.pdf"), (3, 1), tmp_path / "out.pdf")
    assert [" ".join(page.extract_text().split()) for page in found.pages] == [TEXTS[2], TEXTS[0]]


def test_an_encrypted_file(tmp_path) -> None:
    found = searchable(write_pdf(tmp_path / "a.pdf", "sesame"), (1, 2, 3), tmp_path / "out.pdf", "sesame")
    assert not found.is_encrypted
    assert [" ".join(page.extract_text().split()) for page in found.pages] == list(TEXTS)


@pytest.mark.parametrize(("dpi", "size"), [((300, 300), (96, 48)), ((200, 100), (144, 144)), (None, (192, 96))])
def test_the_paper_of_an_image_file_is_kept(tmp_path, dpi, size) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (400, 200), 255).save(path, **({"dpi": dpi} if dpi else {}))
    with Source(path) as source:
        write_searchable_pdf(source, [Page(1, "blank", 400, 200)], None, tmp_path / "out.pdf")
    found = pypdfium2.PdfDocument(tmp_path / "out.pdf")
    assert found[0].get_size() == pytest.approx(size, abs=0.2)
    found.close()


@pytest.mark.parametrize("scan", ["pdf", "png"])
@pytest.mark.parametrize("skew", [3.0, -3.0])
def test_a_scan_that_leans_is_shown_straight(tmp_path, scan, skew) -> None:
    """Its words lie on level lines, on their ink; the paper keeps its size, and no part of the picture is lost."""
    size, texts = (620, 877), [f"line {k} " + "of a page that leans " * 3 for k in range(20)]
    upright = Image.new("L", size, 255)
    page = Page(1, "ok", *size)
    for k, text in enumerate(texts):
        boxes = [(60.0 + 7 * n, 100 + 30.0 * k, 67.0 + 7 * n, 116 + 30.0 * k) for n in range(len(text))]
        ImageDraw.Draw(upright).rectangle((60, 100 + 30 * k, 60 + 7 * len(text.rstrip()), 116 + 30 * k), 0)
        page.blocks.append(Block([Line(text, union(boxes), 0.9, boxes, [0.9] * len(text))], union(boxes)))
    path = tmp_path / f"scan.{scan}"
    upright.rotate(-skew, fillcolor=255).save(path, **({"resolution": 75} if scan == "pdf" else {"dpi": (75, 75)}))
    if scan == "pdf":
        writer = pypdf.PdfWriter(path)
        writer.add_annotation(0, pypdf.annotations.Link(rect=(280, 700, 315, 720), url="http://example.org/"))
        writer.write(path)
    restore_orientation(page, Orientation(0, skew), size)
    with Source(path) as source:
        write_searchable_pdf(source, [page], None, tmp_path / "out.pdf")
    pdf = pypdfium2.PdfDocument(tmp_path / "out.pdf")
    found, shown = pdf[0], pdf[0].render(scale=1).to_pil().convert("L")
    assert found.get_size() == pytest.approx((595.2, 841.9), abs=0.5)
    words = found.get_textpage()
    assert words.get_text_range().split() == " ".join(texts).split()
    places = [words.get_charbox(k) for k, ch in enumerate(words.get_text_range()) if not ch.isspace()]
    for k, text in enumerate(texts):
        start = sum(len(before.replace(" ", "")) for before in texts[:k])
        line = places[start : start + len(text.replace(" ", ""))]
        assert max(y for _, y, _, _ in line) - min(y for _, y, _, _ in line) < 0.5, "the line is level"
        assert all(
            shown.getpixel((round((x0 + x1) / 2), round(841.9 - (y0 + y1) / 2))) < 128 for x0, y0, x1, y1 in line
        )
    reader = pypdf.PdfReader(tmp_path / "out.pdf").pages[0]
    assert reader.extract_text().split() == " ".join(texts).split()
    assert reader.mediabox.width > reader.cropbox.width + 30
    if scan == "pdf":
        x0, y0, x1, y1 = map(float, reader.annotations[0].get_object()["/Rect"])
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((297.6 - 289 * np.sin(np.radians(skew)), 709.6), abs=1)
    pdf.close()
