"""Other programs that can be measured on the same pages: OCR engines, and readers of a PDF's text layer."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .reader import Opened, Reply, Request


@dataclass(frozen=True)
class Program:
    """A peer. open: open it. installed: whether it is there. how: how to install it."""

    open: Callable[[], Opened]
    installed: Callable[[], bool]
    how: str


def open_tesseract() -> Opened:
    """Open Tesseract's command with one thread. It reads Chinese if `chi_sim` is installed."""
    about = _run("tesseract", "--version")
    chinese = "chi_sim" in _run("tesseract", "--list-langs").split()

    def answer(request: Request) -> Reply:
        assert request.image
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.png"
            request.image.save(path, dpi=(150, 150))
            language = "chi_sim+eng" if request.language == "zh" else "eng"
            one = {**os.environ, "OMP_THREAD_LIMIT": "1"}  # more threads are slower on small machines
            return Reply(_run("tesseract", str(path), "-", "-l", language, env=one))

    return Opened(about.splitlines()[0], answer, languages=("en", "zh") if chinese else ("en",))


def open_rapidocr() -> Opened:
    """Open RapidOCR with the models in its wheel (English and Chinese). Lines come in its own order."""
    import numpy as np
    from rapidocr import RapidOCR

    engine = RapidOCR()

    def answer(request: Request) -> Reply:
        assert request.image
        found = engine(np.asarray(request.image.convert("RGB")))
        return Reply("\n".join(getattr(found, "txts", None) or ()))

    return Opened(_version("rapidocr"), answer, languages=("en", "zh"))


def open_pdftotext() -> Opened:
    """Open Poppler's `pdftotext`, which writes the text layer in reading order without structure."""
    about = subprocess.run(["pdftotext", "-v"], capture_output=True, text=True, check=True).stderr

    def answer(request: Request) -> Reply:
        return Reply(_run("pdftotext", "-q", str(request.pdf), "-"))

    return Opened(about.splitlines()[0], answer, takes="pdf")


def open_pdfplumber() -> Opened:
    """Open pdfplumber: text of the page, then the tables that it finds as pipes."""
    import pdfplumber

    def answer(request: Request) -> Reply:
        assert request.pdf
        with pdfplumber.open(request.pdf) as pdf:
            text = pdf.pages[0].extract_text() or ""
            tables = [_pipes(table) for table in pdf.pages[0].extract_tables()]
        return Reply("\n\n".join([text, *tables]))

    return Opened(_version("pdfplumber"), answer, takes="pdf")


def _pipes(table: list[list[str | None]]) -> str:
    rows = [f"| {' | '.join((cell or '').replace(chr(10), ' ') for cell in row)} |" for row in table]
    return "\n".join([*rows[:1], "|" + "---|" * len(table[0]), *rows[1:]])


def open_markitdown() -> Opened:
    """Open MarkItDown, which converts a PDF to Markdown."""
    from markitdown import MarkItDown

    converter = MarkItDown()

    def answer(request: Request) -> Reply:
        assert request.pdf
        return Reply(converter.convert(request.pdf).text_content)

    return Opened(_version("markitdown"), answer, takes="pdf")


def open_docling() -> Opened:
    """Open docling's parser alone: its text lines in the parser's order, without layout models."""
    from docling_parse.pdf_parser import DoclingPdfParser

    parser = DoclingPdfParser(loglevel="fatal")

    def answer(request: Request) -> Reply:
        document = parser.load(str(request.pdf))
        page = document.get_page(1)
        return Reply("\n".join(line.text for line in page.textline_cells))

    return Opened(_version("docling-parse"), answer, takes="pdf")


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    return subprocess.run(command, capture_output=True, check=True, text=True, env=env).stdout


def _version(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"


def _has_command(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _has_package(name: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(name) is not None


PROGRAMS: dict[str, Program] = {
    "tesseract": Program(open_tesseract, _has_command("tesseract"), "apt install tesseract-ocr"),
    "rapidocr": Program(open_rapidocr, _has_package("rapidocr"), "pip install 'vary[peers]'"),
    "pdftotext": Program(open_pdftotext, _has_command("pdftotext"), "apt install poppler-utils"),
    "pdfplumber": Program(open_pdfplumber, _has_package("pdfplumber"), "pip install 'vary[peers]'"),
    "markitdown": Program(open_markitdown, _has_package("markitdown"), "pip install 'vary[peers]'"),
    "docling": Program(open_docling, _has_package("docling_parse"), "pip install docling-parse"),
}
