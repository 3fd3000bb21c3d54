"""`Task` and `Example`: what an evaluation task is, and pages of a document as examples."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..io.pdf import PdfFile
from ..markup.prompts import PROMPTS
from .metrics.text import join_hyphens, normalise

DPI = 150  # resolution of the real pages, for every reader


@dataclass(frozen=True)
class Example:
    """An image and what a right answer is. truth: as the task's metric takes it, ready for JSON.

    open: gives the image; called only when a reader looks at it. prompt: where it differs from the task's.
    about: facts for the records (a category, a file name).
    """

    name: str
    open: Callable[[], Image.Image]
    truth: Any
    prompt: str | None = None
    about: dict[str, Any] | None = None


@dataclass(frozen=True)
class Task:
    """examples: (folder of the user's data or None, limit or None) -> examples, always the same ones in one order.

    metric: a name of `scores.METRICS`. asks: only for models that take questions. language: of the pages. files:
    where below the user's folder its data are, "" for tasks that need none.
    """

    examples: Callable[[Path | None, int | None], Iterator[Example]]
    metric: str = "text"
    prompt: str = PROMPTS["ocr"]["en"]
    language: str = "en"
    asks: bool = False
    files: str = ""


MIN_CHARACTERS = {"en": 800, "zh": 300}  # pages with hardly any text are passed over; of Chinese ideographs count


def document_pages(path: Path, count: int, language: str) -> Iterator[Example]:
    """At most `count` pages of a PDF that hold text enough, drawn once and for all, with their text layer."""
    with PdfFile(path) as pdf:
        order = list(range(1, len(pdf) + 1))
        random.Random(7).shuffle(order)
        found = 0
        for number in order:
            layer = pdf.text(number)
            if _characters(layer, language) < MIN_CHARACTERS[language] or "\ufffd" in layer:
                continue
            yield Example(f"{path.name.split('.')[0]}-{number}", lambda n=number: pdf.render(n, DPI)[0], layer)  # type: ignore[misc]
            found += 1
            if found == count:
                return


def _characters(layer: str, language: str) -> int:
    """How much text there is; dot leaders of contents pages do not count for much."""
    text = normalise(join_hyphens(layer))
    return len(text) if language == "en" else sum("\u4e00" <= ch <= "\u9fff" for ch in text)
