"""The work of a request, as generators that a worker thread runs one step at a time (`jobs.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..document.elements import Page
from ..io.image import open_image
from ..io.source import MAX_PAGES
from ..models.generate.repetition import RepetitionGuard
from ..reading.pages import PageReader, read_pages
from .errors import APIError, api_errors, safe_message, uploaded_file
from .jobs import Job
from .schemas import Finished, Message

if TYPE_CHECKING:
    from ..models.generate.chat import ChatModel


def answer(chat_model: ChatModel, data: list[bytes], turns: list[Message], tokens: int, job: Job) -> Iterator[None]:
    """Answer a question about images and emit the text as it is written. It ends where it begins to repeat itself."""
    guard = RepetitionGuard()

    def on_text(piece: str) -> bool:
        job.check()
        if not guard.feed(piece):
            job.emit(piece)
        return guard.loop is not None

    with api_errors():
        images = iter([open_image(image, f"image {k}", colour=True) for k, image in enumerate(data, 1)])
        (said,) = chat_model.chat_all([[turn.turn(images) for turn in turns]], max_tokens=tokens, on_text=on_text)
        text = guard.text[: guard.loop.keep].strip() if guard.loop else said.text
        reason = "repetition" if guard.loop or said.repeated else "stop" if said.finished else "length"
        read, wrote = said.asked, said.tokens
        count = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
        job.emit(Finished(reason, text, count))
    yield


def transcribe(reader: PageReader, data: list[bytes], written: Callable[[Page], str], job: Job) -> Iterator[None]:
    """Read images with a model that only reads, and emit what `written` makes of each page."""
    reasons = {"ok": "stop", "doubtful": "stop", "blank": "stop", "truncated": "length", "repetition": "repetition"}
    texts, reason = [], "stop"
    for k, image in enumerate(data, 1):
        for page in _read_upload(reader, image, f"image {k}", "1"):
            if page.status not in reasons:
                raise APIError(422, f"image {k}: {page.error or page.status}", "pages_lost")
            reason = reasons[page.status] if reason == "stop" else reason
            texts.append(written(page))
            job.emit(texts[-1] if k == 1 else "\n\n" + texts[-1])
            yield
    job.emit(Finished(reason, "\n\n".join(texts)))


def parse_upload(
    reader: PageReader, data: bytes, name: str, pages: str | None, password: str | None, limit: int, job: Job
) -> Iterator[None]:
    """Read an uploaded file and emit each page. limit: most pages of the file."""
    for page in _read_upload(reader, data, name, pages, password, limit):
        job.emit(page)
        yield


def _read_upload(
    reader: PageReader,
    data: bytes,
    name: str,
    pages: str | None = None,
    password: str | None = None,
    limit: int = MAX_PAGES,
) -> Iterator[Page]:
    with uploaded_file(data, name) as path:
        for page in read_pages(path, reader, pages, password, max_pages=limit):
            page.error = safe_message(page.error.replace(str(path), name)) if page.error else None
            yield page
