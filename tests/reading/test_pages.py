"""Every page that was asked for comes back with a status, in order, whatever happens to the others.

The second page of the PDF is empty: it is `blank` without being read.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pypdf import PdfWriter
from pypdf.generic import NameObject, StreamObject

from tests.io.test_pdf_forms import form
from vary.document.elements import Block, Line, Page
from vary.document.orientation import Orientation
from vary.io.errors import InputError
from vary.io.source import Source, find_files
from vary.reading.layer.lines import LayerReader
from vary.reading.pages import FIRST_DPI, FIRST_PIXELS, read_document, read_pages


class FakeReader:
    """Answers with the size of what it was shown; fails on the calls in `bad`."""

    name = "fake"

    def __init__(self, scale: float = 1.0, bad: tuple[int, ...] = (), error: Exception | None = None):
        self.scale, self.bad, self.error = scale, bad, error or InputError("the ink has run")
        self.seen: list[tuple[int, int]] = []
        self.scales: list[float] = []

    def find_orientation(self, image: Image.Image) -> Orientation:
        return Orientation()

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


def test_crashed_renderer_costs_one_page(pdf_file, monkeypatch) -> None:
    from vary.io.pdf import PdfFile

    def render(self, number, dpi, *more):
        if number == 2:
            self._child.process.kill()
        return real(self, number, dpi, *more)

    real = PdfFile.render
    monkeypatch.setattr(PdfFile, "render", render)
    document = read_document(pdf_file, FakeReader())
    assert [page.status for page in document] == ["ok", "failed", "ok"]
    assert document.pages[1].error == f"{pdf_file}, page 2: the PDF renderer crashed"


def test_an_unforeseen_error_costs_one_page_and_names_its_type(pdf_file) -> None:
    document = read_document(pdf_file, FakeReader(bad=(1,), error=ZeroDivisionError("by zero")))
    assert [page.status for page in document] == ["failed", "blank", "ok"]
    assert document.pages[0].error == "ZeroDivisionError: by zero"


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
    with pytest.raises(InputError, match=r"notes\.txt: not an image; allowed: .*PDF"):
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


def test_every_page_of_a_tiff_is_read(tmp_path) -> None:
    frames = [Image.linear_gradient("L").resize((40 + 10 * k, 30)) for k in range(3)]
    path = tmp_path / "three.tiff"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    document = read_document(path, FakeReader())
    assert [page.number for page in document] == [1, 2, 3]
    assert [page.width for page in document] == [40, 50, 60]
    assert [page.number for page in read_document(path, FakeReader(), "-1")] == [3]


# -- reliability: renderers that die or hang, blank pages, retries -----------------------------------------------------


def serve_aborting(requests, answers) -> None:
    """In the child: dies on page 3."""
    _serve_until(requests, answers, os.abort)


def serve_hanging(requests, answers) -> None:
    """In the child: sleeps for ever on page 3, and says so by a file."""

    def hang() -> None:
        Path(os.environ["HANGING"]).touch()
        time.sleep(1000)

    _serve_until(requests, answers, hang)


class TimerOfHanging(threading.Timer):
    """A time limit that has passed as soon as a page hangs, and not before: other pages may take as long as they do."""

    def run(self) -> None:
        hanging = Path(os.environ["HANGING"])
        while not self.finished.wait(0.02):
            if hanging.exists():
                hanging.unlink()
                self.function()
                return


def _serve_until(requests, answers, end) -> None:
    import vary.io.pdf as module

    real = module.FormPages.page
    module.FormPages.page = lambda self, number: end() if number == 3 else real(self, number)
    module.serve(requests, answers)


@pytest.fixture
def five_pages(tmp_path) -> Path:
    path = tmp_path / "five.pdf"
    frames = [Image.linear_gradient("L").rotate(10 * k) for k in range(5)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def test_segfaulting_renderer(five_pages, monkeypatch) -> None:
    monkeypatch.setattr("vary.io.pdf.ENTRY", "tests.reading.test_pages:serve_aborting")
    document = read_document(five_pages, FakeReader())
    assert [page.status for page in document] == ["ok", "ok", "failed", "ok", "ok"]
    assert document.pages[2].error == f"{five_pages}, page 3: the PDF renderer crashed"


def test_hanging_renderer(five_pages, tmp_path, monkeypatch) -> None:
    limits = []

    def timer(seconds: float, stop) -> threading.Timer:
        limits.append(seconds)
        return TimerOfHanging(seconds, stop)

    monkeypatch.setenv("HANGING", str(tmp_path / "hanging"))
    monkeypatch.setattr("vary.io.pdf.ENTRY", "tests.reading.test_pages:serve_hanging")
    monkeypatch.setattr("vary.io.child.threading.Timer", timer)
    pages = list(read_pages(five_pages, FakeReader(), "2-4", timeout_s=90.0))
    assert [page.status for page in pages] == ["ok", "timeout", "ok"]
    assert pages[1].error == f"{five_pages}, page 3: rendering took longer than 90 s"
    assert pages[1].attempts == 1
    assert set(limits) == {90.0}  # of every request, whatever it is for
    assert not (tmp_path / "hanging").exists()


@pytest.mark.parametrize("what", ["white", "black", "nearly white"])
def test_blank_page_is_not_read(tmp_path, what) -> None:
    values = (
        np.random.default_rng(0).integers(250, 256, (80, 60)) if what == "nearly white" else 255 * (what == "white")
    )
    path = tmp_path / "page.png"
    Image.fromarray(np.broadcast_to(values, (80, 60)).astype(np.uint8)).save(path)
    reader = FakeReader()
    (page,) = read_pages(path, reader)
    assert (page.status, page.text, page.width, page.height, reader.seen) == ("blank", "", 60, 80, [])


@pytest.mark.parametrize("kind", ["white", "black", "noise", "speckles", "grain", "vignette"])
def test_blank_page(tmp_path, kind, nano) -> None:
    """The shipped model makes no text of pages without any."""
    rng = np.random.default_rng(1)
    high, wide = 400, 300
    y, x = np.mgrid[:high, :wide]
    pixels = {
        "white": np.full((high, wide), 255.0),
        "black": np.zeros((high, wide)),
        "noise": rng.integers(0, 256, (high, wide)),
        "speckles": np.where(rng.random((high, wide)) < 0.002, 60, 250),
        "grain": rng.normal(200, 20, (high, wide)),
        "vignette": 255 - 120 * np.hypot((y / high - 0.5), (x / wide - 0.5)) + rng.normal(0, 3, (high, wide)),
    }[kind]
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    image.save(tmp_path / "page.png")
    (page,) = read_pages(tmp_path / "page.png", nano)
    assert (page.status, page.text) == ("blank", "")
    page = nano.read(image.crop((0, 0, 180, 240)))  # most of them do not get as far as the model
    assert (page.status, page.text) == ("blank", "")


@pytest.mark.parametrize("grain", [0, 5, 12])
def test_a_page_with_a_single_number_is_not_blank(tmp_path, grain) -> None:
    """However much the scanner's noise outweighs it on the whole page."""
    image = Image.new("L", (600, 800), 230)
    ImageDraw.Draw(image).text((300, 770), "3", 20, ImageFont.load_default(14))
    noise = np.random.default_rng(0).normal(0, grain, (800, 600))
    Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)).save(tmp_path / "page.png")
    reader = FakeReader()
    assert [page.status for page in read_pages(tmp_path / "page.png", reader)] == ["ok"]


@pytest.fixture(scope="module")
def nano():
    from vary.reading.loader import load_reader

    return load_reader("vary-nano")


class Ending(FakeReader):
    """Ends in the given statuses, one per call."""

    def __init__(self, *ends: str):
        super().__init__()
        self.ends = ends

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        page = super().read(image, scale)
        page.status = self.ends[len(self.seen) - 1]
        return page


@pytest.mark.parametrize(
    ("ends", "status", "attempts"),
    [
        (("ok",), "ok", 1),
        (("repetition", "ok"), "ok", 2),
        (("truncated", "repetition"), "truncated", 2),
        (("repetition", "truncated"), "truncated", 2),
        (("failed", "ok"), "failed", 1),
        (("blank", "ok"), "blank", 1),
    ],
)
def test_only_what_another_resolution_may_mend_is_retried(pdf_file, ends, status, attempts) -> None:
    reader = Ending(*ends)
    (page,) = read_pages(pdf_file, reader, "1")
    assert (page.status, page.attempts, len(reader.seen)) == (status, attempts, attempts)
    assert attempts == 1 or reader.seen[1][0] < reader.seen[0][0]


# -- what to read ----------------------------------------------------------------------------------------------------


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
