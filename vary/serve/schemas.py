"""What goes over the wire: what may be asked of `vary serve`, and how it says no (OpenAI's shapes for both)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .errors import Refused

READ_WORDS = re.compile(r"ocr|transcri|extract|convert|markdown|plain text|\bread|文字|转成|识别", re.I)


@dataclass(frozen=True)
class Finished:
    """The end of an answer: OpenAI's reasons (`stop`, `length`) or `repetition`, the whole text, and tokens read and
    written (None of models that only read, which count none).
    """

    reason: str
    text: str
    usage: dict[str, int] | None = None


def check_reading(model: str, images: int, question: str) -> None:
    """Raises Refused when a model that only reads is asked without an image, or for something else than the text."""
    if not images:
        raise Refused(400, f"messages: {model!r} reads pages; send an image_url", "no_image", "messages")
    if question.strip() and ("?" in question or not READ_WORDS.search(question)):
        reason = f"messages: {model!r} reads pages and answers no questions; ask for the text (OCR), or nothing"
        raise Refused(400, reason, "model_cannot_answer", "messages")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ImageUrl(_Strict):
    """`data:image/…;base64,…`, or `https:` of a host that the server allows."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class TextPart(_Strict):
    """Text of a message."""

    type: Literal["text"]
    text: str


class ImagePart(_Strict):
    """An image of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class Message(_Strict):
    """A turn. A null is as good as nothing: clients send whole answers back, with all that these did not hold."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given

    @property
    def text(self) -> str:
        """What it says."""
        parts = [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content
        return "\n".join(part.text for part in parts if isinstance(part, TextPart))

    @property
    def urls(self) -> list[str]:
        """The images that it shows."""
        return [part.image_url.url for part in self.content if isinstance(part, ImagePart)]

    def turn(self, images: Iterator[Any]) -> dict[str, Any]:
        """As `prompt.pieces_of` takes it: its images, which are the next of `images`, then what it says."""
        content: list[dict[str, Any]] = [{"type": "image", "image": next(images)} for _ in self.urls]
        content += [{"type": "text", "text": self.text}] if self.text else []
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class StreamOptions(_Strict):
    """include_usage: a last event with the counts of tokens."""

    include_usage: bool = False


class ChatRequest(_Strict):
    """What may be asked; decoding is greedy, so sampling parameters are allowed at their neutral values alone."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=256)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=0)
    n: int | None = Field(None, ge=1, le=1)
    seed: int | None = None
    user: str | None = None


class ParseForm(_Strict):
    """pages: as in `vary read`. ndjson: a line per page as it is read; the others come when all is read."""

    file: UploadFile
    model: str | None = None
    pages: str | None = None
    password: str | None = None
    format: Literal["json", "text", "md", "html", "ndjson"] = "json"
