"""What is measured: rendered pages that training never saw, and real PDF pages with their text layer as truth.

A task is a list of pages with their truth. Nothing is downloaded but Debian packages of documentation (`corpus.fetch`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.corpus import FONTS, Corpus, cache_dir, fetch
from ..data.glyphs import find_faces
from ..data.page import PageSource
from ..data.text import TextSource
from ..pdf import PdfFile
from .metrics import join_hyphens, normalise

DPI = 150  # resolution of the real pages, for every reader
SEED = 424_242  # training's seeds are small numbers


@dataclass(frozen=True)
class TestPage:
    """A page image in grey and the text on it, normalised."""

    name: str
    image: Image.Image
    truth: str


# name -> settings of PageSource that differ from a plain, clean, seen-face page of 1024 x 1024 px
RENDERED: dict[str, dict[str, Any]] = {
    "pages": {"text_style": "natural"},
    "faces": {"text_style": "natural", "held_out": True},
    "pseudo": {"text_style": "pseudo"},
    "degraded": {"text_style": "natural", "degraded": 1.0},
}
# name -> (package, file below it, pages): single-column manuals, then two-column papers
REAL = {
    "real": (
        ("r-doc-pdf", "usr/share/doc/r-doc-pdf/manual/R-intro.pdf", 16),
        ("c++-annotations-pdf", "usr/share/doc/c++-annotations/cplusplus.pdf", 16),
        ("installation-guide-amd64", "usr/share/doc/installation-guide-amd64/en/install.en.pdf.gz", 16),
    ),
    "real-two-column": (
        ("texlive-publishers-doc", "usr/share/doc/texlive-doc/latex/revtex4-1/sample/aps/apssamp.pdf", 12),
        ("texlive-publishers-doc", "usr/share/doc/texlive-doc/latex/acmart/samples/sample-sigconf.pdf", 12),
    ),
}
TASKS = (*RENDERED, *REAL)


def pages(task: str, limit: int | None = None) -> Iterator[TestPage]:
    """Pages of a task, always the same ones. Raises ValueError for an unknown task."""
    if task in RENDERED:
        yield from _rendered(task, limit or 20)
    elif task in REAL:
        sources = REAL[task]
        each = None if limit is None else -(-limit // len(sources))
        for package, file, count in sources:
            yield from _real(package, file, min(count, each or count))
    else:
        raise ValueError(f"unknown task {task!r}; allowed: {', '.join(TASKS)}, all")


def _rendered(task: str, count: int) -> Iterator[TestPage]:
    for font in FONTS:
        fetch(f"deb:{font}")
    settings: dict[str, Any] = {"degraded": 0.0} | RENDERED[task]
    source = PageSource(TextSource(Corpus.english("test")), find_faces(cache_dir() / "deb"), seed=SEED, **settings)
    for k in range(count):
        sample = source.sample(k * 64 + k)  # every page from another block of type styles
        yield TestPage(f"{task}-{k}", Image.fromarray(sample.image), normalise(join_hyphens(sample.text)))


def _real(package: str, file: str, count: int) -> Iterator[TestPage]:
    """`count` dense pages of a document, drawn once and for all; pages with hardly any text are passed over."""
    path = fetch(f"deb:{package}") / file
    with PdfFile(path) as pdf:
        order = list(range(1, len(pdf) + 1))
        random.Random(7).shuffle(order)
        found = 0
        for number in order:
            layer = pdf.text(number)
            truth = normalise(join_hyphens(layer))
            if len(truth) < 800 or "\ufffd" in truth:
                continue
            yield TestPage(f"{Path(file).name.split('.')[0]}-{number}", pdf.render(number, DPI)[0], truth)
            found += 1
            if found == count:
                return
