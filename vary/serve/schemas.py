"""Request bodies of the server, in OpenAI's form. Fields that would change the answer are refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from .errors import APIError

READ_WORDS = re.compile(r"ocr|transcri|extract|convert|markdown|plain text|\bread|文字|转成|识别", re.I)


@dataclass(frozen=True)
class Finished:
    """The end of an answer.

    reason: OpenAI's `stop` or `length`, or `repetition`. text: the whole answer. usage: tokens read and written; None
    for models that only read.
    """

    reason: str
    text: str
    usage: dict[str, int] | None = None


def check_reading(model: str, images: int, question: str) -> None:
    """Raise APIError when a model that only reads gets no image, or is asked for more than the text."""
    if not images:
        raise APIError(400, f"messages: {model!r} reads pages; send an image_url", "no_image", "messages")
    if question.strip() and ("?" in question or not READ_WORDS.search(question)):
        reason = f"messages: {model!r} reads pages and answers no questions; ask for the text (OCR), or nothing"
        raise APIError(400, reason, "model_cannot_answer", "messages")


def wants_markdown(question: str) -> bool:
    """Return whether a question to a model that only reads asks for Markdown."""
    return re.search(r"\bmarkdown\b", question, re.I) is not None


def only(*neutral: Any) -> AfterValidator:
    """Accept null and the neutral values of a field that is not supported; refuse any other."""

    def check(value: Any) -> Any:
        if value is not None and not any(
            value == v and isinstance(value, bool) == isinstance(v, bool) for v in neutral
        ):
            allowed = ", ".join(json.dumps(v) for v in (None, *neutral))
            raise PydanticCustomError("not_supported", "{reason}", {"reason": f"not supported; allowed: {allowed}"})
        return value

    return AfterValidator(check)


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
    """A turn. Fields that are null are ignored: clients send whole answers back."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given

    @property
    def text(self) -> str:
        """The text of all its parts."""
        parts = [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content
        return "\n".join(part.text for part in parts if isinstance(part, TextPart))

    @property
    def urls(self) -> list[str]:
        """The addresses of its images."""
        return [part.image_url.url for part in self.content if isinstance(part, ImagePart)]

    def turn(self, images: Iterator[Any]) -> dict[str, Any]:
        """Return the turn as the chat template takes it: its images, the next of `images`, then its text."""
        content: list[dict[str, Any]] = [{"type": "image", "image": next(images)} for _ in self.urls]
        content += [{"type": "text", "text": self.text}] if self.text else []
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class StreamOptions(_Strict):
    """include_usage: a last event with the counts of tokens."""

    include_usage: bool | None = None
    include_obfuscation: Annotated[Any, only(False)] = None


class ChatRequest(_Strict):
    """A chat request. Decoding is greedy and stores nothing: other fields are accepted at their neutral values only."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=256)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: Annotated[Any, only(0)] = None
    top_p: Annotated[Any, only(1)] = None
    n: Annotated[Any, only(1)] = None
    stop: Annotated[Any, only([])] = None
    presence_penalty: Annotated[Any, only(0)] = None
    frequency_penalty: Annotated[Any, only(0)] = None
    logit_bias: Annotated[Any, only({})] = None
    logprobs: Annotated[Any, only(False)] = None
    top_logprobs: Annotated[Any, only(0)] = None
    response_format: Annotated[Any, only({"type": "text"})] = None
    modalities: Annotated[Any, only(["text"])] = None
    tools: Annotated[Any, only([])] = None
    tool_choice: Annotated[Any, only("none", "auto")] = None
    parallel_tool_calls: Annotated[Any, only(True, False)] = None
    store: Annotated[Any, only(False)] = None
    metadata: Annotated[Any, only({})] = None
    service_tier: Annotated[Any, only("auto", "default")] = None
    functions: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only("none", "auto")] = None
    audio: Annotated[Any, only()] = None
    prediction: Annotated[Any, only()] = None
    reasoning_effort: Annotated[Any, only("none")] = None
    verbosity: Annotated[Any, only("medium")] = None
    web_search_options: Annotated[Any, only()] = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    seed: int | None = None
    user: str | None = None


class ParseForm(_Strict):
    """pages: as in `vary read`. format: without it the Accept header counts, or else JSON. ndjson: a line per page as
    it is read; the others come when all is read. join: as `--join` of `vary read`; JSON has lines and paragraphs.
    """

    file: UploadFile
    model: str | None = None
    pages: str | None = None
    password: str | None = None
    format: Literal["json", "text", "md", "html", "ndjson"] | None = None
    join: bool = True
