"""The built-in tasks: `TASKS` maps each name to its examples, prompt and metric. They need no files of the user.

Pages are rendered, or come from PDFs in Debian packages (`corpus.download.fetch`). Published benchmarks are in
`benchmarks.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.corpus.download import Corpus, fetch
from ..data.corpus.text import TextSource
from ..data.pages import glyphs
from ..data.pages.source import PageSource
from ..data.registry import SOURCES
from ..data.sample import LAYOUT_CLASSES
from ..io.errors import ConfigError
from ..markup.prompts import PROMPTS
from . import documents
from .benchmarks import SETS
from .task import Example, Task, document_pages

SEED = 424_242  # training seeds are small numbers
MOST_PAGES = 500  # of a document


# name -> settings of PageSource that differ from a plain, clean, seen-face page of 1024 x 1024 px
RENDERED: dict[str, dict[str, Any]] = {
    "pages": {"text_style": "natural"},
    "faces": {"text_style": "natural", "held_out": True},
    "pseudo": {"text_style": "pseudo"},
    "degraded": {"text_style": "natural", "degraded": 1.0},
}
_R = "usr/share/doc/r-doc-pdf/manual/"
_TEX = "usr/share/doc/texlive-doc/latex/"
_GUIDE = "usr/share/doc/installation-guide-amd64/"
# name -> (package, file in it, pages). All are in `corpus.download.MEASURED`; no document is in two tasks.
REAL = {
    "real": (
        ("r-doc-pdf", _R + "R-intro.pdf", 16),
        ("c++-annotations-pdf", "usr/share/doc/c++-annotations/cplusplus.pdf", 16),
        ("installation-guide-amd64", _GUIDE + "en/install.en.pdf.gz", 16),
    ),
    "real-two-column": (
        ("texlive-publishers-doc", _TEX + "revtex4-1/sample/aps/apssamp.pdf", 12),
        ("texlive-publishers-doc", _TEX + "acmart/samples/sample-sigconf.pdf", 12),
    ),
    "real-more": (
        ("r-doc-pdf", _R + "R-exts.pdf", 16),
        ("r-doc-pdf", _R + "R-lang.pdf", 16),
        ("r-doc-pdf", _R + "R-data.pdf", 12),
        ("r-doc-pdf", _R + "R-admin.pdf", 16),
        ("r-doc-pdf", _R + "R-ints.pdf", 16),
        ("r-doc-pdf", _R + "refman.pdf", 16),
        ("texlive-publishers-doc", _TEX + "aastex/sample631.pdf", 12),
        ("texlive-publishers-doc", _TEX + "lion-msc/lion-msc.pdf", 12),
    ),
    "real-zh": (
        ("installation-guide-amd64", _GUIDE + "zh_CN/install.zh_CN.pdf.gz", 16),
        ("texlive-publishers-doc", _TEX + "bjfuthesis/example/thesis.pdf", 12),
        ("texlive-publishers-doc", _TEX + "njuthesis/njuthesis.pdf", 12),
    ),
}


def _render(name: str, _: Path | None, limit: int | None) -> Iterator[Example]:
    settings: dict[str, Any] = {"degraded": 0.0} | RENDERED[name]
    source = PageSource(TextSource(Corpus.english("test")), glyphs.english_faces(), seed=SEED, **settings)
    for k in range(limit or 20):
        sample = source.sample(k * source.block + k)  # every page from another block of type styles
        yield Example(f"{name}-{k}", partial(Image.fromarray, sample.image), sample.text)


def _real(name: str, language: str, _: Path | None, limit: int | None) -> Iterator[Example]:
    """Yield dense pages of each document. The draw is fixed, and a limit is divided among the documents."""
    documents = REAL[name]
    each = None if limit is None else -(-limit // len(documents))
    pages = (
        page
        for package, file, count in documents
        for page in document_pages(fetch(f"deb:{package}") / file, min(count, each or count), language)
    )
    yield from itertools.islice(pages, limit)


# name -> kind and settings of a source of `data.registry`. No recipe of this project trains on these packages.
GENERATED: dict[str, tuple[str, dict[str, Any]]] = {
    "tables": ("table", {"tables": "deb:python3-statsmodels", "target": "latex", "degraded": 0.0}),
    "formulas": ("formula", {"formulas": "deb:python-mpmath-doc", "degraded": 0.0}),
    "charts": ("chart", {"tables": "deb:python3-statsmodels", "schema": "vary"}),
}


def _generate(name: str, _: Path | None, limit: int | None) -> Iterator[Example]:
    kind, settings = GENERATED[name]
    source = SOURCES[kind](dict(settings), SEED)
    for k in range(limit or 50):
        sample = source.sample(k)
        yield Example(f"{name}-{k}", partial(Image.fromarray, sample.image), sample.text)


_DOC = "usr/share/doc/texlive-doc/"
# (language, package, file): the installation guide, in languages that no other task uses, then manuals of TeX
LANGUAGES = (
    *(
        (one, "installation-guide-amd64", f"{_GUIDE}{one}/install.{one}.pdf.gz")
        for one in ("ca", "cs", "da", "de", "es", "fr", "id", "it", "nl", "pt", "ro", "ru", "sv", "vi")
    ),
    ("bg", "texlive-lang-cyrillic", _DOC + "latex/lshort-bulgarian/lshort-bg.pdf"),
    ("el", "texlive-lang-greek", _DOC + "latex/greektonoi/greektonoi.pdf"),
    ("et", "texlive-lang-european", _DOC + "latex/lshort-estonian/lshort-ee.pdf"),
    ("fi", "texlive-lang-european", _DOC + "latex/lshort-finnish/lyhyt2e.pdf"),
    ("pl", "texlive-lang-polish", _DOC + "texlive/texlive-pl/texlive-pl.pdf"),
    ("ru", "texlive-lang-cyrillic", _DOC + "texlive/texlive-ru/texlive-ru.pdf"),
    ("sk", "texlive-lang-czechslovak", _DOC + "latex/lshort-slovak/slshorte.pdf"),
    ("sl", "texlive-lang-european", _DOC + "latex/lshort-slovenian/lshort-slovenian.pdf"),
    ("tr", "texlive-lang-european", _DOC + "latex/lshort-turkish/lshort-tr.pdf"),
    ("uk", "texlive-lang-cyrillic", _DOC + "latex/lshort-ukr/lshort-ukr.pdf"),
)
MOST_COMMANDS = 4  # backslashes on a page of prose


def _languages(_: Path | None, limit: int | None) -> Iterator[Example]:
    """Yield pages of prose of each document of `LANGUAGES` in turn. The group of an example is its language."""
    each = -(-(limit or 2 * len(LANGUAGES)) // len(LANGUAGES))
    pages = [list(itertools.islice(_prose(package, file), each)) for _, package, file in LANGUAGES]
    in_turn = (
        replace(page, name=f"{language}-{page.name}", about={"group": language})
        for k in range(each)
        for (language, *_), found in zip(LANGUAGES, pages, strict=True)
        for page in found[k : k + 1]
    )
    yield from itertools.islice(in_turn, limit)


def _prose(package: str, file: str) -> Iterator[Example]:
    """Yield pages of a document, without those of program text."""
    pages = document_pages(fetch(f"deb:{package}") / file, MOST_PAGES, "en")
    return (page for page in pages if page.truth.count("\\") <= MOST_COMMANDS)


# classes of the data engine's regions -> kinds of a document's blocks
LAYOUT = {name: name for name in LAYOUT_CLASSES} | {"title": "heading", "list item": "list", "photo": "figure"}
LAYOUT |= {"footnote": "text", "margin note": "text"}


def _layout(_: Path | None, limit: int | None) -> Iterator[Example]:
    """Yield typeset pages with the class and box of each block. Boxes are shares of the page's width and height."""
    source = SOURCES["document"]({"height": 1240, "width": 960}, SEED)
    for k in range(limit or 16):
        sample = source.sample(k * 8)  # 8 pages of a document each
        high, wide = sample.image.shape[:2]
        blocks = [
            {"kind": LAYOUT[r.label], "box": [r.box[0] / wide, r.box[1] / high, r.box[2] / wide, r.box[3] / high]}
            for r in sample.regions
            if r.label in LAYOUT
        ]
        yield Example(f"layout-{k}", partial(Image.fromarray, sample.image), blocks)


TASKS: dict[str, Task] = {
    **{name: Task(partial(_render, name)) for name in RENDERED},
    **{name: Task(partial(_real, name, "en")) for name in REAL if name != "real-zh"},
    "real-zh": Task(partial(_real, "real-zh", "zh"), "text-zh", PROMPTS["ocr"]["zh"], "zh"),
    "languages": Task(_languages),
    "documents": Task(documents.examples, "document", PROMPTS["markdown"]["en"], form="md"),
    "layout": Task(_layout, "layout", form="layout"),
    "tables": Task(partial(_generate, "tables"), "table", PROMPTS["table"]["en"], asks=True),
    "formulas": Task(partial(_generate, "formulas"), "formula", PROMPTS["markdown"]["en"], form="md"),
    "charts": Task(partial(_generate, "charts"), "chart", PROMPTS["chart"]["en"], asks=True),
}


def choose(names: str) -> dict[str, Task]:
    """Return the tasks of a list `a,b`. `all` means the built-in ones.

    Raises ConfigError for an unknown name.
    """
    known = {**TASKS, **SETS}
    wanted = list(TASKS) if names == "all" else names.split(",")
    for name in wanted:
        if name not in known:
            raise ConfigError(f"unknown task {name!r}; allowed: all, {', '.join(known)}")
    return {name: known[name] for name in wanted}
