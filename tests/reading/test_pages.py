"""Every page that was asked for comes back with a status, in order, whatever happens to the others.

The second page of the PDF is empty: it is `blank` without being read.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import NameObject, StreamObject
from threadpoolctl import ThreadpoolController

from tests.io.test_pdf_forms import form
from tests.pdfs import pdf_of, show
from vary.document.elements import Page
from vary.document.orientation import Orientation
from vary.io.errors import InputError
from vary.io.source import Source, find_files
from vary.reading import pages as module
from vary.reading.layer.lines import LayerReader
from vary.reading.pages import FIRST_DPI, FIRST_PIXELS, read_document, read_pages

from .fake_reader import FakeReader


@pytest.fixture
def png_file(tmp_path) -> Path:
    path = tmp_path / "page.png"
    image = Image.new("RGB", (60, 40), "white")
    image.paste("black", (5, 5, 20, 8))
    image.save(path)
    return path


def test_all_pages_in_order(pdf_file) -> None:
    calls: list[int] = []
    document = read_document(pdf_file, FakeReader(), on_page=lambda page: calls.append(page.number))
    assert [page.number for page in document] == calls == [1, 2, 3]
    assert [page.status for page in document] == ["ok", "blank", "ok"]
    assert document.source == str(pdf_file)
    assert document.model == "fake"
    assert document.text() == "read 1\n\nread 2"
    assert all(page.seconds > 0 for page in document)


def test_asked_pages_in_the_asked_order(pdf_file) -> None:
    assert [page.number for page in read_pages(pdf_file, FakeReader(), "-1,1-2")] == [3, 1, 2]


def test_pages_come_one_by_one(pdf_file) -> None:
    reader = FakeReader()
    pages = read_pages(pdf_file, reader)
    assert next(pages).number == 1
    assert len(reader.seen) == 1
    pages.close()


@pytest.mark.parametrize("error", [InputError("the ink has run"), MemoryError()])
def test_bad_page_is_reported_and_the_others_are_read(pdf_file, error) -> None:
    document = read_document(pdf_file, FakeReader(bad=(1,), error=error))
    assert [page.number for page in document] == [1, 2, 3]
    assert [page.status for page in document] == ["failed", "blank", "ok"]
    assert [page.error for page in document] == [str(error) or "MemoryError", None, None]
    assert document.lost == [document.pages[0]]


def test_no_such_page(pdf_file) -> None:
    document = read_document(pdf_file, FakeReader(), "1,99,3")
    assert [(page.number, page.status) for page in document] == [(1, "ok"), (99, "failed"), (3, "ok")]
    assert document.pages[1].error == "there is no page 99; the file has 3"


def test_folder(tmp_path) -> None:
    with pytest.raises(InputError, match="is a folder, expected a PDF or an image"):
        read_document(tmp_path, FakeReader())


def test_missing_file(tmp_path) -> None:
    with pytest.raises(InputError, match=r"none\.pdf: No such file"):
        read_document(tmp_path / "none.pdf", FakeReader())


def test_neither_pdf_nor_image(tmp_path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("some notes")
    with pytest.raises(InputError, match=r"notes\.txt: neither a PDF nor an image; allowed: PDF, PNG"):
        read_document(path, FakeReader())


def test_image_is_read_at_the_wanted_scale(png_file) -> None:
    reader = FakeReader(scale=1.5)
    (page,) = read_document(png_file, reader, "1")
    assert (page.number, page.status, page.width, page.height, page.dpi) == (1, "ok", 60, 40, None)
    assert reader.scales == [1.5]


def test_image_has_one_page(png_file) -> None:
    (page,) = read_document(png_file, FakeReader(), "2")
    assert page.error == "there is no page 2; the file has 1"


def test_image_that_cannot_be_read_is_a_failed_page(png_file) -> None:
    (page,) = read_document(png_file, FakeReader(bad=(1,)))
    assert (page.status, page.error) == ("failed", "the ink has run")


@pytest.mark.parametrize(
    ("scale", "dpi", "left"),
    [(1.0, FIRST_DPI, 1.0), (1.25, 1.25 * FIRST_DPI, 1.0), (9.0, 400, 9 * 112 / 400), (0.01, 50, 0.01 * 112 / 50)],
)
def test_pdf_is_rendered_at_the_wanted_scale(pdf_file, scale, dpi, left) -> None:
    """What the limits of the resolution leave over is left to the reader."""
    reader = FakeReader(scale)
    (page,) = read_pages(pdf_file, reader, "1")
    assert page.dpi == pytest.approx(dpi)
    assert (page.width, page.height) == reader.seen[0]
    assert page.width == pytest.approx(6 * dpi, abs=1)
    assert reader.scales == pytest.approx([left])


@pytest.mark.parametrize("unit", [0.02, 0.1, 1.0, 8.3, 20.0])
def test_pages_are_read_whatever_a_point_stands_for(tmp_path, unit) -> None:
    """UserUnit, boxes in inches and boxes in pixels: the first image has pixels enough, and not too many."""
    writer, path = PdfWriter(), tmp_path / "a.pdf"
    page = writer.add_blank_page(595 * unit, 842 * unit)
    stream = StreamObject()
    stream.set_data(f"{100 * unit} {600 * unit} {300 * unit} {50 * unit} re f".encode())
    page[NameObject("/Contents")] = writer._add_object(stream)
    writer.write(path)
    reader = FakeReader()
    (read,) = read_pages(path, reader)
    width, height = reader.seen[0]
    assert read.status == "ok"
    assert 0.95 * FIRST_PIXELS[0] <= width * height <= FIRST_PIXELS[1]


def test_a_page_is_read_alike_alone_and_after_others(pdf_file) -> None:
    class Changing(FakeReader):
        def find_orientation(self, image: Image.Image) -> Orientation:
            return Orientation()

        def wanted_scale(self, image: Image.Image) -> float:
            return 2.0 if not self.seen else 1.0

    _, _, last = read_pages(pdf_file, Changing())
    (alone,) = read_pages(pdf_file, FakeReader(), "3")
    assert (last.dpi, last.width) == (alone.dpi, alone.width)


def test_numpy_has_one_thread_while_a_page_is_read(png_file) -> None:
    numpy_threads, seen = ThreadpoolController().select(internal_api="openblas"), []

    def count() -> int:
        return max(one["num_threads"] for one in numpy_threads.info())

    class Watching(FakeReader):
        def read(self, image: Image.Image, scale: float = 1.0) -> Page:
            seen.append(count())
            return super().read(image, scale)

    if not numpy_threads.info():
        pytest.skip("this NumPy has another library than OpenBLAS")
    with numpy_threads.limit(limits=2):
        list(read_pages(png_file, Watching()))
        assert (seen, count()) == ([1], 2)


def test_every_page_of_a_tiff_is_read(tmp_path) -> None:
    frames = [Image.linear_gradient("L").resize((40 + 10 * k, 30)) for k in range(3)]
    path = tmp_path / "three.tiff"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    document = read_document(path, FakeReader())
    assert [page.number for page in document] == [1, 2, 3]
    assert [page.width for page in document] == [40, 50, 60]
    assert [page.number for page in read_document(path, FakeReader(), "-1")] == [3]


def test_page_limit(pdf_file) -> None:
    with pytest.raises(InputError, match=r"more than 2 pages \(of 3\); choose some or raise the limit"):
        list(read_pages(pdf_file, FakeReader(), max_pages=2))
    assert len(list(read_pages(pdf_file, FakeReader(), "2-3", max_pages=2))) == 2


def test_colour(tmp_path) -> None:
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red.pdf")
    with Source(tmp_path / "red.pdf") as source:
        assert source.image(1, 72, colour=True)[0].getpixel((30, 20)) == pytest.approx((255, 0, 0), abs=4)


def test_stdin(pdf_file, monkeypatch) -> None:
    with pdf_file.open("rb") as file:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=file))
        with find_files(["-"]) as files:
            ((path, name, label, _),) = files
            assert (name, label) == ("stdin", "-")
            assert [page.status for page in read_pages(path, FakeReader())] == ["ok", "blank", "ok"]
    assert not path.exists()


@pytest.mark.parametrize(
    ("layer", "rotate"),
    [
        *(("only", turn) for turn in (0, 90, 180, 270)),
        *(("checked", turn) for turn in (0, 90)),
        ("none", 0),
        ("none", 270),
    ],
)
def test_checkboxes_are_in_the_text(tmp_path, nano, monkeypatch, layer, rotate) -> None:
    """Pages that are shown turned too: by the text layer alone, by both witnesses, and by pixels alone."""
    path = form(tmp_path / "form.pdf", rotate=rotate)
    if layer == "only":
        (page,) = read_pages(path, LayerReader())
    else:
        monkeypatch.setattr(nano, "uses_layer", layer == "checked")
        (page,) = read_pages(path, nano)
    assert page.rotation == rotate
    found, parts = " ".join(page.text.split()), ("Grey Heron", "[x] Engine", "[ ] Sails", "North quay")
    if layer == "none":  # from pixels alone, an S without its like may be small
        found, parts = found.lower(), tuple(map(str.lower, parts))
    assert all(part in found for part in parts), found
    assert found.count("[") == 2, "a border or a button is no text"


def test_small_type_on_a_large_sheet_is_looked_at_again(tmp_path, nano, monkeypatch) -> None:
    """At the pixels of the first look, the type of a large drawing is no type yet."""
    monkeypatch.setattr(module, "FIRST_PIXELS", (1000, 40_000))
    lines = ["Each entry names the captain and the cargo", "Copies are sent to the capital each year"]
    path = pdf_of(tmp_path / "sheet.pdf", ["".join(show(text, 60, 200 - 30 * k) for k, text in enumerate(lines))])
    monkeypatch.setattr(nano, "uses_layer", False)
    (page,) = read_pages(path, nano)
    assert page.status == "ok"
    assert all(line in " ".join(page.text.split()) for line in lines), page.text


def test_small_type_on_a_page_of_large_type_is_read(tmp_path, nano, monkeypatch) -> None:
    """At the size of the large type a line of small type reads as dashes; the page is drawn larger for it."""
    lines = [
        (360, 100, "Gulls"),
        (282, 60, "North pier"),
        (250, 24, "Ships of the bay"),
        (230, 6, "Copies are sent each year"),
    ]
    path = pdf_of(tmp_path / "sizes.pdf", ["".join(show(text, 40, y, size) for y, size, text in lines)], (620, 500))
    monkeypatch.setattr(nano, "uses_layer", False)
    (page,) = read_pages(path, nano)
    *large, small = [line.text for line in page.lines]
    assert large == [text for *_, text in lines[:-1]]
    assert SequenceMatcher(None, small, lines[-1][2]).ratio() > 0.9, small
