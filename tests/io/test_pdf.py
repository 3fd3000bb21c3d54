"""PDF pages are rendered in a child: what kills, hangs or confuses it costs one page, with a reason."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfWriter

from vary.io import child as module
from vary.io.errors import InputError
from vary.io.pdf import MAX_PAGE_PIXELS, PdfFile, looks_like_pdf
from vary.io.source import parse_page_numbers


def blank_pdf(path: Path, *sizes: tuple[float, float], password: str | None = None) -> Path:
    writer = PdfWriter()
    for width, height in sizes:
        writer.add_blank_page(width, height)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)
    return path


@pytest.fixture
def children(monkeypatch) -> Iterator[list[subprocess.Popen]]:
    """Every process that the module starts."""
    started: list[subprocess.Popen] = []

    def popen(*args, **kwargs) -> subprocess.Popen:
        started.append(real(*args, **kwargs))
        return started[-1]

    real = subprocess.Popen
    monkeypatch.setattr(module.subprocess, "Popen", popen)
    monkeypatch.setattr(module, "waiting", {})
    yield started
    for child in started:
        child.kill()
        child.wait()


@pytest.mark.parametrize("dpi", [72, 100, 150])
def test_render(pdf_file, dpi) -> None:
    with PdfFile(pdf_file) as pdf:
        assert len(pdf) == 3
        image, used = pdf.render(1, dpi)
    assert used == dpi
    assert image.mode == "L"
    assert image.size == pytest.approx((6 * dpi, 4 * dpi), abs=1)  # parts of a pixel are rounded up
    ink = np.asarray(image) < 128
    assert 0.0005 < ink.mean() < 0.1


def test_empty_page_is_white(pdf_file) -> None:
    with PdfFile(pdf_file) as pdf:
        assert pdf.render(2, 72)[0].getextrema() == (255, 255)


def test_text_layer(pdf_file) -> None:
    with PdfFile(pdf_file) as pdf:
        assert pdf.text(1).split("\r\n") == ["The first page says this.", "It has a second line."]
        assert pdf.text(2) == ""
        assert pdf.text(3) == "The third page ends the file."


@pytest.mark.parametrize("number", [0, 4, -1])
def test_no_such_page(pdf_file, number) -> None:
    with PdfFile(pdf_file) as pdf:
        with pytest.raises(InputError, match=rf"three\.pdf, page {number}: the file has pages 1 to 3"):
            pdf.render(number, 72)
        assert pdf.text(3)


def test_password(tmp_path, children) -> None:
    path = blank_pdf(tmp_path / "locked.pdf", (300, 200), password="sesame")
    for password in (None, "mellon"):
        with pytest.raises(InputError, match=r"locked\.pdf: the PDF is encrypted and the password is missing or wrong"):
            PdfFile(path, password)
    with PdfFile(path, "sesame") as pdf:
        assert pdf.render(1, 72)[0].size == (300, 200)
    assert len(children) == 3
    assert [child.returncode is None for child in children] == [False, False, True]  # the last waits for another file


def test_not_a_pdf(tmp_path) -> None:
    path = tmp_path / "fake.pdf"
    path.write_text("%PDF-1.4 it is not")
    with pytest.raises(InputError, match=r"fake\.pdf: not a PDF, or broken beyond reading"):
        PdfFile(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_truncated(pdf_file, tmp_path, share) -> None:
    """The renderer may mend the file or refuse it; it must not crash."""
    data, path, complaint = pdf_file.read_bytes(), tmp_path / "cut.pdf", ""
    path.write_bytes(data[: int(len(data) * share)])
    try:
        with PdfFile(path) as pdf:
            for number in range(1, len(pdf) + 1):
                pdf.render(number, 72)
    except InputError as error:
        complaint = str(error)
    assert not complaint or complaint.startswith(f"{path}")
    assert "crashed" not in complaint
    assert "\n" not in complaint


def test_gzip(pdf_file, tmp_path) -> None:
    path = tmp_path / "three.pdf.gz"
    path.write_bytes(gzip.compress(pdf_file.read_bytes()))
    assert looks_like_pdf(path)
    with PdfFile(path) as pdf:
        assert pdf.text(3) == "The third page ends the file."


@pytest.mark.parametrize(("spoil", "reason"), [("cut", "ended before"), ("garble", "Error -3|invalid|CRC")])
def test_broken_gzip(pdf_file, tmp_path, spoil, reason) -> None:
    data = bytearray(gzip.compress(pdf_file.read_bytes(), mtime=0))
    if spoil == "cut":
        del data[-40:]
    else:
        data[-4000:-3900] = b"\xff" * 100
    path = tmp_path / "broken.pdf.gz"
    path.write_bytes(data)
    assert looks_like_pdf(path)
    with pytest.raises(InputError, match=rf"broken\.pdf\.gz: .*({reason})"):
        PdfFile(path)


def test_looks_like_pdf(tmp_path) -> None:
    path = tmp_path / "file"
    for data, expected in (
        (b"", False), (b"%PDF-1.7", True), (b"\n" * 900 + b"%PDF-1.7", True), (b"\n" * 2000 + b"%PDF-1.7", False),
        (b"<html>", False), (gzip.compress(b"<html>"), False), (b"\x1f\x8b\x08\x00 no such thing", False),
    ):  # fmt: skip
        path.write_bytes(data)
        assert looks_like_pdf(path) is expected, data[:20]


@pytest.mark.parametrize("size", [(14400, 14400), (14400, 3), (9000, 4000)])
def test_huge_page_is_rendered_smaller(tmp_path, size) -> None:
    with PdfFile(blank_pdf(tmp_path / "huge.pdf", size)) as pdf:
        image, dpi = pdf.render(1, 400)
    assert image.width * image.height <= MAX_PAGE_PIXELS
    assert image.width * image.height > 0.9 * min(MAX_PAGE_PIXELS, size[0] * size[1] * (400 / 72) ** 2)
    assert image.width == pytest.approx(size[0] * dpi / 72, abs=1)
    assert dpi < 400 or size == (14400, 3)


def test_killed_child_costs_one_page(pdf_file, children) -> None:
    with PdfFile(pdf_file) as pdf:
        pdf.render(1, 72)
        children[0].kill()
        children[0].wait()
        with pytest.raises(InputError, match=r"three\.pdf, page 2: the PDF renderer crashed"):
            pdf.render(2, 72)
        assert pdf.render(3, 72)[0].size == (432, 288)
        assert len(children) == 2
    assert all(child.returncode is not None for child in children)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP here")
def test_hanging_child_costs_one_page(pdf_file, children, monkeypatch) -> None:
    with PdfFile(pdf_file) as pdf:
        monkeypatch.setattr(module, "IDLE_S", 0.5)
        os.kill(children[0].pid, signal.SIGSTOP)
        with pytest.raises(InputError, match=r"three\.pdf, page 2: rendering took longer than 60 s"):
            pdf.render(2, 72)
        monkeypatch.setattr(module, "IDLE_S", 600.0)
        assert pdf.render(3, 72)[0].size == (432, 288)
    assert all(child.returncode is not None for child in children)


def test_child_imports_nothing_from_the_folder(pdf_file, tmp_path, monkeypatch) -> None:
    for name in ("json", "gzip", "pypdfium2"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with PdfFile(pdf_file) as pdf:
        assert len(pdf) == 3
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("wanted", "pages", "expected"),
    [
        ("1-4,7,-1", 8, [1, 2, 3, 4, 7, 8]),
        ("-1", 3, [3]),
        ("-2", 3, [2]),
        (None, 3, [1, 2, 3]),
        ("3,1", 3, [3, 1]),
        (" 1 - 2 , 3 ", 3, [1, 2, 3]),
        ("-2--1", 3, [2, 3]),
        ("2--1", 3, [2, 3]),
        ("0", 3, [0]),  # what is not there comes back as it was asked for
        ("99", 3, [99]),
        ("-4", 3, [-4]),
        ("2-4,1", 3, [2, 3, 4, 1]),
        ("1-999999999999", 3, [1, 2, 3, 999999999999]),
    ],
)
def test_page_numbers(wanted, pages, expected) -> None:
    assert list(parse_page_numbers(wanted, pages, "a.pdf")) == expected


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("2-1", "the range runs backwards"),
        ("-1-2", "the range runs backwards"),
        ("x", "expected numbers and ranges"),
        ("", "expected numbers and ranges"),
        ("1-", "expected numbers and ranges"),
        ("1,,2", "expected numbers and ranges"),
        ("--2", "expected numbers and ranges"),
    ],
)
def test_page_numbers_refused(wanted, reason) -> None:
    with pytest.raises(InputError, match=rf"^a\.pdf: .*{reason}"):
        list(parse_page_numbers(wanted, 3, "a.pdf"))


def test_children_are_replaced_and_their_memory_with_them(pdf_file, children, monkeypatch) -> None:
    monkeypatch.setattr("vary.io.pdf.RECYCLE", 4)
    with PdfFile(pdf_file) as pdf:
        sizes = {pdf.render(1, 72)[0].size for _ in range(9)}
    assert sizes == {(432, 288)}
    assert [child.returncode is None for child in children] == [False, False, True]
    with PdfFile(pdf_file) as pdf:  # what the third has rendered for the first file counts
        for _ in range(4):
            pdf.render(1, 72)
    assert len(children) == 4


def test_a_child_serves_one_file_after_the_other(pdf_file, tmp_path, children) -> None:
    bad = tmp_path / "bad.pdf"
    bad.write_bytes(b"%PDF-1.4\nno more")
    with PdfFile(pdf_file) as first, PdfFile(pdf_file) as second:
        images = [pdf.render(1, 72)[0].tobytes() for pdf in (first, second)]
    assert len(children) == 2, "files that are open at once share a child"
    for _ in range(3):
        with PdfFile(pdf_file) as pdf:
            assert [pdf.render(1, 72)[0].tobytes()] * 2 == images
    assert len(children) == 2
    with pytest.raises(InputError, match="not a PDF"):
        PdfFile(bad)
    with PdfFile(pdf_file):
        assert len(children) == 3, "a child that has met a broken file serves another one"


def test_a_child_that_another_file_has_broken_costs_no_page(pdf_file, children) -> None:
    with PdfFile(pdf_file):
        pass
    children[0].kill()
    with PdfFile(pdf_file) as pdf:
        assert len(children) == 2
    with PdfFile(pdf_file) as pdf:  # the second's process
        children[1].kill()
        assert pdf.render(2, 72)[0].size == (432, 288)
        children[2].kill()
        with pytest.raises(InputError, match="page 2: the PDF renderer crashed"):
            pdf.render(2, 72)


def test_a_child_that_nobody_waits_for_ends_itself(pdf_file, children) -> None:
    with PdfFile(pdf_file) as pdf:
        pdf.timeout_s = 60
        child = children[0]
        os.kill(child.pid, signal.SIGALRM)  # what its own clock sends when a page hangs
        assert child.wait(5) == -signal.SIGALRM
