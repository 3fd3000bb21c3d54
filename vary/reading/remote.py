"""Read pages and ask questions on an OpenAI-compatible server. This module imports no torch.

Redirects are not followed, so the key goes to no other server.
"""

from __future__ import annotations

import base64
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
from PIL import Image

from ..document.elements import Block, Line, Page
from ..document.orientation import Orientation
from ..io.errors import InputError, RemoteError
from ..markup.prompts import PROMPTS
from ..models.generate.answer import Answer
from ..models.generate.repetition import find_loop

LONG_SIDE = 1600  # px; pages are sent about this large, an A4 page at 137 dpi
ATTEMPTS = 6
RETRIED = (429, 502, 503, 504)  # busy, or being restarted
FINISHED = {"stop": "ok", "length": "truncated", "repetition": "repetition"}


class RemoteModel:
    """A model on an OpenAI-compatible server: a `PageReader` for `read_pages`, and `ask`. One request per page.

    A server of `vary serve` returns lines, boxes and confidences. Others return text: one Line, whose box is the page
    and whose confidence is 0.

    Args:
        url: address of the server, with or without `/v1`.
        model: name of the model; the server's first by default.
        key: sent as bearer token.
        prompt: the question for a page, where the model takes questions.
        timeout_s: seconds to wait for the server's next bytes.
        max_tokens: longest answer; None for the server's own limit.

    Raises:
        RemoteError: the server cannot be reached or speaks another protocol.
        InputError: the address is none, or the server has no such model.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        key: str | None = None,
        prompt: str = PROMPTS["ocr"]["en"],
        timeout_s: float = 300.0,
        max_tokens: int | None = None,
    ):
        self.url = url.rstrip("/").removesuffix("/v1")
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise InputError(f"{url}: expected an address that begins with http:// or https://")
        self.prompt, self.max_tokens, self.name = prompt, max_tokens, ""
        self._client = httpx2.Client(headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=timeout_s)
        try:
            offered = {entry["id"]: entry for entry in self._json("GET", "/v1/models")["data"]}
        except (KeyError, TypeError):
            raise RemoteError(f"{self.url}: /v1/models does not answer as OpenAI-compatible servers do") from None
        if not offered or (model is not None and model not in offered):
            raise InputError(f"{self.url}: no model {model or ''!r}; it has {', '.join(offered) or 'none'}")
        self.name = model or next(iter(offered))
        self.parses = offered[self.name].get("owned_by") == "vary" and bool(offered[self.name].get("reads"))

    def find_orientation(self, image: Image.Image) -> Orientation:
        """Return the orientation of an upright page: the server straightens pages itself."""
        return Orientation()

    def wanted_scale(self, image: Image.Image) -> float:
        """Return the factor that brings the longer side to LONG_SIDE; 1.0 when it is within a quarter of it."""
        scale = LONG_SIDE / max(image.size)
        return 1.0 if 0.8 <= scale <= 1.25 else scale

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        """Read a page; boxes are in pixels of `image`. Raises InputError with the server's reason."""
        sent = image
        if scale != 1.0:
            sent = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
        try:
            page = self._parse(sent) if self.parses else self._transcribe(sent)
        except RemoteError as error:
            raise InputError(str(error)) from None
        _resize(page, image.size)
        return page

    def ask(self, images: list[Image.Image], question: str, on_text: Callable[[str], None] | None = None) -> Answer:
        """Ask one question about images. `on_text` gets pieces of the answer as they arrive. Raises RemoteError."""
        text, reason = self._chat(images, question, on_text)
        return Answer(text, reason == "stop", repeated=reason == "repetition")

    def _transcribe(self, image: Image.Image) -> Page:
        text, reason = self._chat([image], self.prompt)
        loop = find_loop(text)
        status = "repetition" if loop else FINISHED.get(reason, "failed")
        text = text[: loop.keep] if loop else text
        whole = (0.0, 0.0, float(image.width), float(image.height))
        error = f"the server ended the answer with {reason!r}" if status == "failed" else None
        if not text.strip():
            return Page(1, "blank" if status == "ok" else status, *image.size, error=error)
        line = Line(text.strip(), whole, 0.0, writer="decoder")
        return Page(1, status, *image.size, blocks=[Block([line], whole)], error=error)

    def _chat(
        self, images: list[Image.Image], question: str, on_text: Callable[[str], None] | None = None
    ) -> tuple[str, str]:
        """Return the answer and its finish reason."""
        parts: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(_png(i)).decode()}}
            for i in images
        ]
        content = [*parts, {"type": "text", "text": question}]
        body = {"model": self.name, "messages": [{"role": "user", "content": content}], "temperature": 0}
        body |= {"max_tokens": self.max_tokens} if self.max_tokens else {}
        path = "/v1/chat/completions"
        try:
            if on_text is None:
                choice = self._json("POST", path, json=body)["choices"][0]
                return choice["message"]["content"] or "", choice["finish_reason"]
            text, reason = "", "cut off"
            for event in self._events(path, body | {"stream": True}):
                if "error" in event:
                    raise RemoteError(f"{self.url}: {_message(event)}", 0, event)
                for choice in event["choices"][:1]:
                    piece = choice["delta"].get("content") or ""
                    text, reason = text + piece, choice.get("finish_reason") or reason
                    if piece:
                        on_text(piece)
            return text, reason
        except (KeyError, IndexError, TypeError):
            raise RemoteError(f"{self.url}: {path} does not answer as OpenAI-compatible servers do") from None

    def _parse(self, image: Image.Image) -> Page:
        files = {"file": ("page.png", _png(image), "image/png")}
        try:
            answer = self._json("POST", "/v1/parse", data={"model": self.name}, files=files)
        except RemoteError as error:  # a page that was lost comes back in the refusal, with its status
            if not isinstance(error.body, dict) or "document" not in error.body:
                raise
            answer = error.body["document"]
        page = Page.from_dict(answer["pages"][0])
        page.structured = True
        return page

    def _json(self, method: str, path: str, **content: Any) -> Any:
        with self._request(method, path, **content) as response:
            try:
                return json.loads(response.read())
            except (ValueError, httpx2.HTTPError):
                raise RemoteError(f"{self.url}: {path}: the answer is no JSON or was cut off") from None

    def _events(self, path: str, body: dict[str, Any]) -> Iterator[Any]:
        """Yield the JSON of server-sent events up to `[DONE]`."""
        with self._request("POST", path, json=body) as response:
            try:
                for line in response.iter_lines():
                    data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                    if data == "[DONE]":
                        return
                    if data:
                        yield json.loads(data)
            except (ValueError, httpx2.HTTPError):
                raise RemoteError(f"{self.url}: {path}: the stream was cut off") from None

    @contextmanager
    def _request(self, method: str, path: str, **content: Any) -> Iterator[httpx2.Response]:
        """Open a response. A busy or restarting server is asked again, up to ATTEMPTS times."""
        for attempt in range(1, ATTEMPTS + 1):
            pause = 0.5 * 2**attempt
            request = self._client.build_request(method, self.url + path, **content)
            try:
                response = self._client.send(request, stream=True)
            except httpx2.HTTPError as error:
                if not self.name or not isinstance(error, httpx2.NetworkError) or attempt == ATTEMPTS:
                    raise RemoteError(f"{self.url}: cannot be reached: {error or type(error).__name__}") from None
            else:
                with closing(response):
                    if response.is_success:
                        yield response
                        return
                    if response.status_code not in RETRIED or attempt == ATTEMPTS:
                        raise _refusal(f"{self.url}{path}", response)
                    asked = response.headers.get("Retry-After", "")
                    pause = min(60.0, float(asked)) if asked.isdigit() else pause
            time.sleep(pause)


def load_server(model: str | None, url: str) -> RemoteModel:
    """Connect to a server as the workers of a run do, with the key of `server_key`."""
    return RemoteModel(url, model, server_key())


def server_key() -> str | None:
    """Return the key that is sent to servers: $VARY_API_KEY, else $OPENAI_API_KEY, else None."""
    return os.environ.get("VARY_API_KEY") or os.environ.get("OPENAI_API_KEY")


def _resize(page: Page, size: tuple[int, int]) -> None:
    """Scale the boxes and the size of a page from the pixels that were sent to those of the image."""
    if (page.width, page.height) == size or not page.width or not page.height:
        page.width, page.height = size
        return
    x, y = size[0] / page.width, size[1] / page.height
    page.map_boxes(lambda box: (box[0] * x, box[1] * y, box[2] * x, box[3] * y))
    page.width, page.height = size


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _refusal(where: str, response: httpx2.Response) -> RemoteError:
    try:
        body = json.loads(response.read())
    except (ValueError, httpx2.HTTPError):
        body = None
    return RemoteError(f"{where}: {response.status_code}: {_message(body)}", response.status_code, body)


def _message(body: Any) -> str:
    """Return an error's message in one line, from the forms that servers use."""
    error = body.get("error", body.get("detail")) if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message or "no reason given").split())[:300]
