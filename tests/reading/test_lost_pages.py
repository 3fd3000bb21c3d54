"""What costs a page costs no other: renderers that die or hang. Blank pages are not read, loops are read once more."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.document.elements import Page
from vary.io.child import Child, ChildAnswer
from vary.reading.pages import read_document, read_pages

from .fake_reader import FakeReader


def test_crashed_renderer_costs_one_page(pdf_file, monkeypatch) -> None:
    from vary.io.pdf import PdfFile

    def render(self, number, dpi, *more):
        if number == 2:
            self._child.process.kill()
        return real(self, number, dpi, *more)

    real = PdfFile.render
    monkeypatch.setattr(PdfFile, "render", render)
    monkeypatch.setattr("vary.io.child.waiting", {})  # one that has served another file gets a second chance
    document = read_document(pdf_file, FakeReader())
    assert [page.status for page in document] == ["ok", "failed", "ok"]
    assert document.pages[1].error == f"{pdf_file}, page 2: the PDF renderer crashed"


def test_an_unforeseen_error_costs_one_page_and_names_its_type(pdf_file) -> None:
    document = read_document(pdf_file, FakeReader(bad=(1,), error=ZeroDivisionError("by zero")))
    assert [page.status for page in document] == ["failed", "blank", "ok"]
    assert document.pages[0].error == "ZeroDivisionError: by zero"


def serve_aborting(requests, answers) -> None:
    """In the child: dies on page 3."""
    _serve_until(requests, answers, os.abort)


def serve_hanging(requests, answers) -> None:
    """In the child: sleeps for ever on page 3, and says so by a file."""

    def hang() -> None:
        Path(os.environ["HANGING"]).touch()
        time.sleep(1000)

    _serve_until(requests, answers, hang)


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
    monkeypatch.setattr("vary.io.pdf.PDF_READER", "tests.reading.test_lost_pages:serve_aborting")
    document = read_document(five_pages, FakeReader())
    assert [page.status for page in document] == ["ok", "ok", "failed", "ok", "ok"]
    assert document.pages[2].error == f"{five_pages}, page 3: the PDF renderer crashed"


def test_hanging_renderer(five_pages, tmp_path, monkeypatch) -> None:
    """The time limit has passed as soon as a page hangs, and not before: other pages may take as long as they do."""
    hanging, limits, asked = tmp_path / "hanging", [], []

    def ask(self, request, timeout_s: float) -> ChildAnswer:
        limits.append(timeout_s)
        return real(self, request, timeout_s)

    def used(pid: int) -> float:
        if not hanging.exists():
            return 0.0
        asked.append(pid)
        if len(asked) == 2:  # the first may be before the request, when the renderer is fast
            hanging.unlink()
        return 1000.0 * len(asked)

    real = Child.ask
    monkeypatch.setattr(Child, "ask", ask)
    monkeypatch.setattr("vary.io.child.cpu_seconds", used)
    monkeypatch.setattr("vary.io.child.POLL_S", 0.02)
    monkeypatch.setenv("HANGING", str(hanging))
    monkeypatch.setattr("vary.io.pdf.PDF_READER", "tests.reading.test_lost_pages:serve_hanging")
    pages = list(read_pages(five_pages, FakeReader(), "2-4", timeout_s=45.0))
    assert [page.status for page in pages] == ["ok", "timeout", "ok"]
    assert pages[1].error == f"{five_pages}, page 3: rendering took longer than 45 s"
    assert pages[1].attempts == 1
    assert set(limits) == {45.0}  # of every request, whatever it is for
    assert not hanging.exists()


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
    high, wide = 240, 180
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
