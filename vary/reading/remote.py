"""Reading on another machine: any OpenAI-compatible server reads pages and answers questions; torch is not imported.

Also the one function of the package that fetches by address (`fetch_image`), for servers that are asked to. Both go
out by the standard library, follow no redirects and send the key nowhere else.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from ..document.elements import Block, Line, Page
from ..document.orientation import Orientation
from ..io.errors import InputError, RemoteError
from ..markup.prompts import PROMPTS
from ..models.repetition import find_loop

LONG_SIDE = 1600  # px; pages are sent about this large, an A4 page at 137 dpi
ATTEMPTS = 6
RETRIED = (429, 502, 503, 504)
FINISHED = {"stop": "ok", "length": "truncated", "repetition": "repetition"}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None  # a redirect is then an HTTPError like any other


class Server:
    """An OpenAI-compatible server: a `PageReader` for `read_pages`, and `ask`. Pages are read one request each.

    url: with or without `/v1`. model: by default the server's first. prompt: what a model that takes questions is asked
    of a page. max_tokens: of an answer, None for the server's own limit. A server of `vary serve` returns lines, boxes
    and confidences; others return text: one Line, whose box is the page and whose confidence is 0. Raises RemoteError
    when the server cannot be reached, InputError when it has no such model.
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
        self.key, self.prompt, self.timeout_s, self.max_tokens = key, prompt, timeout_s, max_tokens
        self.name, self._open = "", urllib.request.build_opener(_NoRedirects).open
        try:
            offered = {entry["id"]: entry for entry in self._json("/v1/models")["data"]}
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
        """Factor that brings the longer side to LONG_SIDE; 1.0 when it is within a quarter of it."""
        scale = LONG_SIDE / max(image.size)
        return 1.0 if 0.8 <= scale <= 1.25 else scale

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        """Read a page; boxes are pixels of `image`. Raises InputError with what the server said."""
        sent = image
        if scale != 1.0:
            sent = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
        try:
            page = self._parse(sent) if self.parses else self._transcribe(sent)
        except RemoteError as error:
            raise InputError(str(error)) from None
        _resize(page, image.size)
        return page

    def ask(
        self, images: list[Image.Image], question: str, on_text: Callable[[str], None] | None = None
    ) -> tuple[str, bool]:
        """One question about images: the answer, and whether it came to its own end; on_text gets pieces as they come.

        Raises RemoteError.
        """
        text, reason = self._chat(images, question, on_text)
        return text, reason == "stop"

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
        """The answer and its finish reason."""
        parts: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(_png(i)).decode()}}
            for i in images
        ]
        content = [*parts, {"type": "text", "text": question}]
        body = {"model": self.name, "messages": [{"role": "user", "content": content}], "temperature": 0}
        body |= {"max_tokens": self.max_tokens} if self.max_tokens else {}
        path, data = "/v1/chat/completions", json.dumps(body | ({"stream": True} if on_text else {})).encode()
        text, reason = "", "cut off"
        try:
            if on_text is None:
                choice = self._json(path, data)["choices"][0]
                return choice["message"]["content"] or "", choice["finish_reason"]
            for event in self._events(path, data):
                if "error" in event:
                    raise RemoteError(f"{self.url}: {_told(event)}", 0, event)
                for choice in event["choices"][:1]:
                    piece = choice["delta"].get("content") or ""
                    text, reason = text + piece, choice.get("finish_reason") or reason
                    if piece:
                        on_text(piece)
        except (KeyError, IndexError, TypeError):
            raise RemoteError(f"{self.url}: {path} does not answer as OpenAI-compatible servers do") from None
        return text, reason

    def _parse(self, image: Image.Image) -> Page:
        mark = "vary-5f1c7a"  # between the parts; a PNG's bytes cannot hold it behind a line break and two dashes
        head = "".join(
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}'
            for name, more, value in (("model", "", f"{self.name}\r\n"), ("file", '; filename="page.png"', ""))
        )
        body = head.encode() + _png(image) + f"\r\n--{mark}--\r\n".encode()
        try:
            answer = self._json("/v1/parse", body, f"multipart/form-data; boundary={mark}")
        except RemoteError as error:  # a page that was lost comes back in the refusal, with its status
            if not isinstance(error.body, dict) or "document" not in error.body:
                raise
            answer = error.body["document"]
        page = Page.from_dict(answer["pages"][0])
        page.structured = True
        return page

    def _json(self, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        with self._request(path, body, kind) as answer:
            try:
                return json.load(answer)
            except (ValueError, OSError, http.client.HTTPException):
                raise RemoteError(f"{self.url}: {path}: the answer is no JSON or was cut off") from None

    def _events(self, path: str, body: bytes) -> Iterator[Any]:
        """JSON of server-sent events up to `[DONE]`."""
        with self._request(path, body, "application/json") as answer:
            lines = iter(answer)
            while True:
                try:
                    line = next(lines, b"")
                    data = line[5:].strip() if line.startswith(b"data:") else b""
                    event = json.loads(data) if data and data != b"[DONE]" else None
                except (ValueError, OSError, http.client.HTTPException):
                    raise RemoteError(f"{self.url}: {path}: the stream was cut off") from None
                if not line or data == b"[DONE]":
                    return
                if event is not None:
                    yield event

    def _request(self, path: str, body: bytes | None, kind: str) -> Any:
        """A response; what is busy, or was there and is gone, is asked again, up to ATTEMPTS times."""
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        for attempt in range(1, ATTEMPTS + 1):
            try:
                request = urllib.request.Request(self.url + path, body, headers)
                return self._open(request, timeout=self.timeout_s)
            except urllib.error.HTTPError as error:
                with error:
                    said = error.read(1 << 24)
                if error.code not in RETRIED or attempt == ATTEMPTS:
                    raise _refusal(f"{self.url}{path}", error.code, said) from None
                asked = error.headers.get("Retry-After", "")
                time.sleep(min(60.0, float(asked) if asked.isdigit() else 0.5 * 2**attempt))
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                if not self.name or not isinstance(reason, ConnectionError) or attempt == ATTEMPTS:
                    raise RemoteError(f"{self.url}: cannot be reached: {reason}") from None
                time.sleep(0.5 * 2**attempt)  # a server that is started anew
        raise AssertionError


def load_server(model: str | None, url: str) -> Server:
    """A server as the workers of a run load it; its key stands in VARY_API_KEY or OPENAI_API_KEY."""
    return Server(url, model, os.environ.get("VARY_API_KEY") or os.environ.get("OPENAI_API_KEY"))


def _resize(page: Page, size: tuple[int, int]) -> None:
    """Boxes and size of a page from the pixels that were sent to those of the image."""
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


def _refusal(where: str, status: int, said: bytes) -> RemoteError:
    try:
        body = json.loads(said)
    except ValueError:
        body = None
    return RemoteError(f"{where}: {status}: {_told(body)}", status, body)


def _told(body: Any) -> str:
    """An error's message in one line, out of the shapes that servers have."""
    error = body.get("error", body.get("detail")) if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message or "no reason given").split())[:300]
