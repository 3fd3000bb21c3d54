"""Every page that was asked for comes back with a status, in order, whatever happens to the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from vary.document import Block, Line, Page
from vary.image import BadInput
from vary.pages import FIRST_DPI, MAX_DPI, MIN_DPI, read_document, read_pages


class FakeReader:
    """Answers with the size of what it was shown; fails on the calls in `bad`."""

    name = "fake"

    def __init__(self, scale: float = 1.0, bad: tuple[int, ...] = (), error: Exception | None = None):
        self.scale, self.bad, self.error = scale, bad, error or BadInput("the ink has run")
        self.seen: list[tuple[int, int]] = []
        self.scales: list[float] = []

    def wanted_scale(self, image: Image.Image) -> float:
        return self.scale

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        assert image.mode == "L"
        self.seen.append(image.size)
        self.scales.append(scale)
        if len(self.seen) in self.bad:
            raise self.error
        box = (0.0, 0.0, 10.0, 10.0)
        line = Line(f"read {len(self.seen)}", box, 1.0)
        return Page(1, "ok", *image.size, blocks=[Block([line], box)])


@pytest.fixture
def png_file(tmp_path) -> Path:
    path = tmp_path / "page.png"
    Image.new("RGB", (60, 40), "white").save(path)
    return path


def test_all_pages_in_order(pdf_file) -> None:
    calls: list[int] = []
    document = read_document(pdf_file, FakeReader(), on_page=lambda page: calls.append(page.number))
    assert [page.number for page in document] == calls == [1, 2, 3]
    assert [page.status for page in document] == ["ok"] * 3
    assert document.source == str(pdf_file)
    assert document.model == "fake"
    assert document.text() == "read 1\n\nread 2\n\nread 3"
    assert all(page.seconds > 0 for page in document)


def test_asked_pages_in_the_asked_order(pdf_file) -> None:
    assert [page.number for page in read_pages(pdf_file, FakeReader(), "-1,1-2")] == [3, 1, 2]


def test_pages_come_one_by_one(pdf_file) -> None:
    reader = FakeReader()
    pages = read_pages(pdf_file, reader)
    assert next(pages).number == 1
    assert len(reader.seen) == 1
    pages.close()


@pytest.mark.parametrize("error", [BadInput("the ink has run"), MemoryError()])
def test_bad_page_is_reported_and_the_others_are_read(pdf_file, error) -> None:
    document = read_document(pdf_file, FakeReader(bad=(2,), error=error))
    assert [page.number for page in document] == [1, 2, 3]
    assert [page.status for page in document] == ["ok", "failed", "ok"]
    assert [page.error for page in document] == [None, str(error) or "MemoryError", None]
    assert document.lost == [document.pages[1]]


def test_crashed_renderer_costs_one_page(pdf_file, monkeypatch) -> None:
    from vary.pdf import PdfFile

    def render(self, number, dpi):
        if number == 2:
            self._child.kill()
        return real(self, number, dpi)

    real = PdfFile.render
    monkeypatch.setattr(PdfFile, "render", render)
    document = read_document(pdf_file, FakeReader())
    assert [page.status for page in document] == ["ok", "failed", "ok"]
    assert document.pages[1].error == f"{pdf_file}, page 2: the PDF renderer crashed"


def test_an_unforeseen_error_costs_one_page_and_names_its_type(pdf_file) -> None:
    document = read_document(pdf_file, FakeReader(bad=(2,), error=ZeroDivisionError("by zero")))
    assert [page.status for page in document] == ["ok", "failed", "ok"]
    assert document.pages[1].error == "ZeroDivisionError: by zero"


def test_no_such_page(pdf_file) -> None:
    document = read_document(pdf_file, FakeReader(), "1,99,3")
    assert [(page.number, page.status) for page in document] == [(1, "ok"), (99, "failed"), (3, "ok")]
    assert document.pages[1].error == "there is no page 99; the file has 3"


def test_folder(tmp_path) -> None:
    with pytest.raises(BadInput, match="is a folder, expected a PDF or an image"):
        read_document(tmp_path, FakeReader())


def test_missing_file(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"none\.pdf: No such file"):
        read_document(tmp_path / "none.pdf", FakeReader())


def test_neither_pdf_nor_image(tmp_path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("some notes")
    with pytest.raises(BadInput, match=r"notes\.txt: not an image; allowed: .*PDF"):
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
    ("scale", "dpi"), [(1.0, FIRST_DPI), (1.25, 1.25 * FIRST_DPI), (9.0, MAX_DPI), (0.01, MIN_DPI)]
)
def test_pdf_is_rendered_at_the_wanted_scale(pdf_file, scale, dpi) -> None:
    reader = FakeReader(scale)
    (page,) = read_pages(pdf_file, reader, "1")
    assert page.dpi == pytest.approx(dpi)
    assert (page.width, page.height) == reader.seen[0]
    assert page.width == pytest.approx(6 * dpi, abs=1)
    assert reader.scales == [1.0]


def test_next_page_begins_at_the_resolution_of_the_last(pdf_file, monkeypatch) -> None:
    from vary.pdf import PdfFile

    def render(self, number, dpi):
        asked.append((number, dpi))
        return real(self, number, dpi)

    asked: list[tuple[int, float]] = []
    real = PdfFile.render
    monkeypatch.setattr(PdfFile, "render", render)
    reader = FakeReader(scale=2.0)
    pages = read_pages(pdf_file, reader)
    next(pages)
    reader.scale = 1.0
    list(pages)
    assert asked == [(1, FIRST_DPI), (1, 2 * FIRST_DPI), (2, 2 * FIRST_DPI), (3, 2 * FIRST_DPI)]


def test_every_page_of_a_tiff_is_read(tmp_path) -> None:
    frames = [Image.new("L", (40 + 10 * k, 30), 200) for k in range(3)]
    path = tmp_path / "three.tiff"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    document = read_document(path, FakeReader())
    assert [page.number for page in document] == [1, 2, 3]
    assert [page.width for page in document] == [40, 50, 60]
    assert [page.number for page in read_document(path, FakeReader(), "-1")] == [3]
