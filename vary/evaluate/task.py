"""`Task` and `Example`: what an evaluation task consists of, and pages of a PDF as examples."""

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

DPI = 150  # of PDF pages, for every reader


@dataclass(frozen=True)
class Example:
    """An image and its right answer.

    Args:
        name: Name of the example, unique in its task.
        open: Returns the image. It is called only when a reader needs it.
        truth: The right answer, as the task's metric takes it. It must be ready for JSON.
        prompt: A question of its own, instead of the task's.
        about: Facts for the records, for example a `group`.
        pdf: Returns the page as a PDF with a text layer, if there is one.
    """

    name: str
    open: Callable[[], Image.Image]
    truth: Any
    prompt: str | None = None
    about: dict[str, Any] | None = None
    pdf: Callable[[], bytes] | None = None


@dataclass(frozen=True)
class Task:
    """Examples, a prompt and a metric.

    Args:
        examples: (folder of the user's data or None, limit or None) -> examples, in the same order at every call.
        metric: A name of `METRICS`.
        prompt: Question for readers that take questions.
        language: Language of the pages.
        asks: Whether only readers that take questions can do it.
        files: Where the data are below the user's folder. Empty for tasks that need none.
        form: What readers write: `text`, `md` (Markdown) or `layout` (JSON of blocks).
    """

    examples: Callable[[Path | None, int | None], Iterator[Example]]
    metric: str = "text"
    prompt: str = PROMPTS["ocr"]["en"]
    language: str = "en"
    asks: bool = False
    files: str = ""
    form: str = "text"


MIN_CHARACTERS = {"en": 800, "zh": 300}  # pages with less text are not used; Chinese counts ideographs


def document_pages(path: Path, count: int, language: str) -> Iterator[Example]:
    """Draw at most `count` pages with enough text from a PDF. Their truth is their text layer. The draw is fixed."""
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
    """Count characters of text. Dotted leaders count little."""
    text = normalise(join_hyphens(layer))
    return len(text) if language == "en" else sum("\u4e00" <= ch <= "\u9fff" for ch in text)
