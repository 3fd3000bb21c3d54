"""What a reader is: the request it gets, the reply it gives, and the facts about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image


@dataclass(frozen=True)
class Request:
    """What a reader is asked.

    Args:
        image: The page. None for readers of PDFs.
        pdf: A PDF of one page, if the example has one.
        prompt: The question, for readers that take questions.
        language: Language of the page.
        form: `text` (plain text), `md` (Markdown) or `layout` (JSON of blocks).
    """

    image: Image.Image | None
    pdf: Path | None = None
    prompt: str = ""
    language: str = "en"
    form: str = "text"


@dataclass(frozen=True)
class Reply:
    """A reader's answer.

    Args:
        text: The answer.
        status: One of `elements.STATUSES`.
        error: Why there is no text.
        confidence: Confidence of every character of the text, 0 to 1, if known.
        seconds, cpu_seconds, memory_mib: Cost, if known.
    """

    text: str
    status: str = "ok"
    error: str | None = None
    confidence: list[float] | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    memory_mib: int | None = None


@dataclass(frozen=True)
class Opened:
    """An opened reader.

    Args:
        identity: Name and version or weights, for the records.
        answer: The reader itself.
        asks: Whether it takes questions.
        languages: Languages that it reads. None means any.
        alphabet: Characters that it can write. Empty means any.
        takes: `image`, `pdf`, or `both` (a PDF where the example has one, else the image).
    """

    identity: str
    answer: Callable[[Request], Reply]
    asks: bool = False
    languages: tuple[str, ...] | None = None
    alphabet: str = ""
    takes: str = "image"


class Reader(Protocol):
    """A reader as `vary eval` calls it. The attributes are those of `Opened`."""

    identity: str
    asks: bool
    languages: Any
    alphabet: str
    takes: str

    def answer(self, request: Request) -> Reply:
        """Answer a request. A page that cannot be read has status `failed`; nothing is raised."""
        ...

    def close(self) -> Any:
        """End the child process, if there is one."""
        ...
