"""The HTTP server of `vary serve`: the routes, and how answers are streamed.

`POST /v1/chat/completions` (images as data: URLs, streaming), `GET /v1/models`, `POST /v1/parse` (a PDF or an image ->
JSON, text, Markdown, HTML, or a JSON line per page), `/healthz`, `/readyz`, `/metrics`.

A request passes `AccessMiddleware` and becomes a `Job`. Worker threads serve the jobs in rotation, a page or an answer
at a time. A request that fails is never answered 2xx. A stream that fails after its
start ends with an `error` event. Errors have OpenAI's form and hold no traceback, path or key.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import json
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

from .. import __version__
from ..document.elements import LOST, Document, Page
from ..document.formats.markdown import page_markdown
from ..document.running_heads import mark_running_heads
from ..document.running_text import mark_page_joins
from ..io.errors import InputError, MissingExtra
from ..reading.pages import PageReader
from .fetch import fetch_image

try:
    import uvicorn
    from fastapi import FastAPI, Form, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.exceptions import HTTPException

    from .errors import APIError, error_body, error_response, safe_filename
    from .gate import AccessMiddleware
    from .jobs import Job, JobQueue
    from .limits import Limits
    from .schemas import ChatRequest, Finished, ParseForm, check_reading, wants_markdown
    from .steps import answer, parse_upload, transcribe
except ImportError as error:
    raise MissingExtra("vary serve", error.name, "serve") from None

if TYPE_CHECKING:
    from ..models.generate.chat import ChatModel

FORMATS: dict[str, tuple[str, Callable[..., str]]] = {
    "json": ("application/json", Document.json), "text": ("text/plain", Document.text),
    "md": ("text/markdown", Document.markdown), "html": ("text/html", Document.html),
}  # fmt: skip
STREAM = "application/x-ndjson"
QUALITY = re.compile(r";\s*q=([01](?:\.\d*)?)")  # of a kind in an Accept header
WELCOME = """vary {version} reads pages.

POST /v1/parse             a PDF or an image as the field `file`; `format` or Accept: {formats}
POST /v1/chat/completions  OpenAI's chat requests, with images as data: URLs
GET  /v1/models            the models
GET  /openapi.json         all fields

    curl -F file=@paper.pdf -H 'Accept: text/markdown' {url}v1/parse

The project's docs/verbs/serve.md describes errors, limits and streams.
"""
log = logging.getLogger("vary.serve")


@dataclass(frozen=True)
class Served:
    """A served model: `reader` if it reads pages, `chat_model` if it answers questions, or both."""

    reader: PageReader | None = None
    chat_model: ChatModel | None = None


class Service:
    """The routes, which share one JobQueue."""

    def __init__(self, models: dict[str, Served], queue: JobQueue):
        self.models, self.queue, self.began = models, queue, int(time.time())

    async def welcome(self, http: Request) -> PlainTextResponse:
        """`GET /`: what the server does and where that is described."""
        formats = ", ".join([*FORMATS, "ndjson"])
        return PlainTextResponse(WELCOME.format(version=__version__, formats=formats, url=http.base_url))

    async def list_models(self) -> dict[str, Any]:
        """`GET /v1/models`: the models and what each can do."""
        return {
            "object": "list",
            "data": [
                {"id": name, "object": "model", "created": self.began, "owned_by": "vary",
                 "reads": served.reader is not None, "answers": served.chat_model is not None}
                for name, served in self.models.items()
            ],
        }  # fmt: skip

    async def health(self) -> dict[str, str]:
        """`GET /healthz`: the process answers."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """`GET /readyz`: the models are loaded and the worker is alive."""
        if not self.queue.ready:
            raise APIError(503, "not ready", "not_ready")
        return {"status": "ready"}

    async def metrics(self) -> PlainTextResponse:
        """`GET /metrics`: Prometheus text."""
        gauges = {
            "vary_requests_inside": self.queue.inside,
            "vary_body_bytes_held": self.queue.held,
            "vary_ready": int(self.queue.ready),
        }
        return PlainTextResponse(self.queue.metrics.text(gauges), media_type="text/plain; version=0.0.4")

    async def chat(self, asked: ChatRequest, http: Request) -> Response:
        """`POST /v1/chat/completions`: answer a conversation, or read the images in it."""
        served, limits = self._find_model(asked.model), self.queue.limits
        tokens = asked.max_completion_tokens or asked.max_tokens or limits.tokens
        if tokens > limits.tokens:
            raise APIError(400, f"max_tokens: {tokens}; allowed: up to {limits.tokens}", "limit", "max_tokens")
        turns = asked.messages if served.chat_model else asked.messages[-1:]  # what only reads remembers no turn
        if turns[-1].role != "user":
            raise APIError(400, "messages: the last one must be the user's", "roles", "messages")
        urls = [url for turn in turns for url in turn.urls]
        if len(urls) > limits.images:
            raise APIError(400, f"messages: {len(urls)} images; allowed: up to {limits.images}", "limit", "messages")
        images = [await self._image(url) for url in urls]
        if served.chat_model is not None:
            steps = partial(answer, served.chat_model, images, turns, tokens)
        else:
            check_reading(asked.model, len(images), turns[-1].text)
            assert served.reader
            written = page_markdown if wants_markdown(turns[-1].text) else attrgetter("text")
            steps = partial(transcribe, served.reader, images, written)
        job = self.queue.submit(steps, http.receive, answers=served.chat_model is not None)
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": asked.model}
        if asked.stream:
            counted = asked.stream_options is not None and bool(asked.stream_options.include_usage)
            return await _stream_response(job, partial(_chunks, job, head, counted), "text/event-stream")
        finished = await job.last()
        message = {"role": "assistant", "content": finished.text}
        choice = {"index": 0, "message": message, "finish_reason": finished.reason, "logprobs": None}
        return JSONResponse(head | {"object": "chat.completion", "choices": [choice], "usage": finished.usage})

    async def parse(
        self, form: Annotated[ParseForm, Form(media_type="multipart/form-data")], http: Request
    ) -> Response:
        """`POST /v1/parse`: read a file. If a page is lost, the answer is a 422 that holds the rest of the document."""
        name = form.model or next((n for n, s in self.models.items() if s.reader), "")
        reader = self._find_model(name).reader if name else None
        if reader is None:
            raise APIError(400, f"model: {name!r} does not read pages", "model_cannot_read", "model")
        document = Document(safe_filename(form.file.filename), name)
        wanted = form.format or _preferred_format(http.headers.get("accept", ""))
        data, limit = await form.file.read(), self.queue.limits.pages
        steps = partial(parse_upload, reader, data, document.source, form.pages, form.password, limit)
        job = self.queue.submit(steps, http.receive)
        if wanted == "ndjson":
            return await _stream_response(job, partial(_lines, self._count_pages(job), document), STREAM)
        async for page in self._count_pages(job):
            document.pages.append(page)
        document.pages = list(mark_page_joins(mark_running_heads(document.pages)))
        if document.lost:
            first = document.lost[0]
            why = first.error or first.status
            numbers = ", ".join(str(page.number) for page in document.lost[:20])
            refused = APIError(
                422, f"{document.source}: lost page {numbers} (page {first.number}: {why})", "pages_lost"
            )
            return error_response(refused, document=document.to_dict())
        kind, write = FORMATS[wanted]
        join = () if wanted == "json" else (form.join,)
        return Response(await asyncio.to_thread(write, document, *join) + "\n", media_type=kind)

    async def _count_pages(self, job: Job) -> AsyncIterator[Page]:
        async for page in job:
            self.queue.metrics.count_page(page.status)
            yield page

    def _find_model(self, name: str) -> Served:
        if name not in self.models:
            raise APIError(
                404, f"no model {name[:100]!r}; there is {', '.join(self.models)}", "model_not_found", "model"
            )
        return self.models[name]

    async def _image(self, url: str) -> bytes:
        if url[:5].lower() == "data:":
            head, _, data = url.partition(",")
            if not re.fullmatch(r"data:image/[\w.+-]+;base64", head, re.I):
                raise APIError(400, "image_url: a data: URL must begin with data:image/…;base64,", "image_url")
            try:
                return await asyncio.to_thread(base64.b64decode, data, None, True)
            except (binascii.Error, ValueError):
                raise APIError(400, "image_url: the base64 is broken", "image_url") from None
        try:
            return await asyncio.to_thread(fetch_image, url, self.queue.hosts)
        except InputError as error:
            raise APIError(400, str(error), "image_url") from None


def _preferred_format(header: str) -> str:
    """Return the format that an Accept header prefers (RFC 9110, 12.5.1), a named one before `*/*`; `json` without one.

    Raises:
        APIError: 406, when it takes none of FORMATS.
    """
    named = {kind: name for name, (kind, _) in FORMATS.items()} | {STREAM: "ndjson"}
    found = []
    for part in header.lower().split(","):
        kind, quality = part.split(";")[0].strip(), QUALITY.search(part)
        share = float(quality[1]) if quality else 1.0
        name = next((name for known, name in named.items() if fnmatch(known, kind)), None)
        if name and share:
            found.append((share, "*" not in kind, name))
    if not found and header.strip():
        raise APIError(406, f"Accept: {header[:100]!r}; allowed: {', '.join(named)}", "not_acceptable", "Accept")
    return max(found, key=lambda one: one[:2])[2] if found else "json"


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.queue.open()
    yield
    await asyncio.to_thread(app.state.queue.close)


# -- answers as streams ----------------------------------------------------------------------------------------------


async def _stream_response(job: Job, write: Callable[[], AsyncIterator[str]], kind: str) -> Response:
    """Return a stream after its first event, so that an early failure is an HTTP status and not a broken stream."""
    await job.peek()
    return StreamingResponse(write(), media_type=kind, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def _chunks(job: Job, head: dict[str, Any], counted: bool) -> AsyncIterator[str]:
    def chunk(delta: dict[str, str] | None, reason: str | None = None, usage: dict[str, int] | None = None) -> str:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]
        body = head | {"object": "chat.completion.chunk", "choices": choices} | ({"usage": usage} if counted else {})
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

    yield chunk({"role": "assistant", "content": ""})
    try:
        async for event in job:
            yield chunk({}, event.reason) if isinstance(event, Finished) else chunk({"content": event})
            if counted and isinstance(event, Finished):
                yield chunk(None, usage=event.usage)
    except HTTPException as error:
        yield f"data: {json.dumps(error_body(error))}\n\n"
        return
    yield "data: [DONE]\n\n"


async def _lines(pages: AsyncIterator[Page], document: Document) -> AsyncIterator[str]:
    """Yield a JSON line per page, then a line with their number; a stream without that line was cut off."""
    lost: list[int] = []
    count = 0
    try:
        async for page in pages:
            count += 1
            lost += [page.number] if page.status in LOST else []
            yield json.dumps(page.to_dict(), ensure_ascii=False) + "\n"
    except HTTPException as error:
        yield json.dumps(error_body(error)) + "\n"
        return
    end = {"end": True, "source": document.source, "model": document.model, "pages": count, "lost": lost}
    yield json.dumps(end, ensure_ascii=False) + "\n"


# -- the server ------------------------------------------------------------------------------------------------------


def create_app(
    models: dict[str, Served], key: str | None = None, hosts: tuple[str, ...] = (), limits: Limits | None = None
) -> FastAPI:
    """Return the ASGI application. hosts: hosts whose `https:` images may be fetched. See `Limits`."""
    queue = JobQueue(limits or Limits(), key, hosts)
    service = Service(models, queue)
    app = FastAPI(title="vary", version=__version__, docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.state.queue = queue
    app.add_api_route("/", service.welcome, methods=["GET"])
    app.add_api_route("/healthz", service.health, methods=["GET"])
    app.add_api_route("/readyz", service.ready, methods=["GET"])
    app.add_api_route("/metrics", service.metrics, methods=["GET"])
    app.add_api_route("/v1/models", service.list_models, methods=["GET"])
    app.add_api_route("/v1/chat/completions", service.chat, methods=["POST"], response_model=None)
    app.add_api_route("/v1/parse", service.parse, methods=["POST"], response_model=None)
    app.add_exception_handler(HTTPException, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_middleware(AccessMiddleware, queue=queue)
    return app


async def _on_refusal(_: Request, error: Any) -> Response:
    return error_response(error)


async def _on_invalid(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = f"body: not JSON, at character {first['loc'][-1]}: {first.get('ctx', {}).get('error', first['msg'])}"
        return error_response(APIError(400, reason, "invalid", None))
    where, reason = ".".join(str(part) for part in first["loc"][1:])[:200], first["msg"]
    if first["type"] == "extra_forbidden":
        fields = (ParseForm if request.url.path == "/v1/parse" else ChatRequest).model_fields
        reason = "unknown field" + (f"; allowed: {', '.join(fields)}" if len(first["loc"]) == 2 else "")
    return error_response(APIError(400, f"{where or 'body'}: {reason}", "invalid", where or None))


def load_models(
    names: list[str],
    device: str = "cpu",
    dtype: str = "auto",
    decoder: bool = False,
    threads: int | None = None,
    pixels: bool = False,
) -> dict[str, Served]:
    """Load the models to serve, by name or folder. Each reads pages, answers questions, or both.

    decoder: page readers rescore uncertain spans with their decoder. threads: CPU threads for each page that is read.
    pixels: page readers read pixels alone, without the text layers of PDFs.
    Raises ValueError for an unknown name, one given twice, and a folder that holds neither.
    """
    from ..models.hub import read_config, weights_dir
    from ..reading.loader import load_reader

    models: dict[str, Served] = {}
    for name in names:
        folder = weights_dir(name)
        config = read_config(folder)
        asks = config.get("template", "plain") != "plain"
        if folder.name in models:
            raise InputError(f"{name}: a model of the name {folder.name} is served already")
        reader = load_reader(name, device, decoder, None, threads, pixels) if config.get("reading") else None
        chat_model = None
        if asks or reader is None:
            from ..models.generate.chat import load_chat_model  # brings transformers, which takes seconds

            chat_model = load_chat_model(folder, device, dtype)
        models[folder.name] = Served(reader, chat_model)
    return models


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that binds to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Uvicorn(uvicorn.Server):
    def handle_exit(self, sig: int, frame: Any) -> None:
        app: Any = self.config.app  # its type differs between versions of uvicorn
        app.state.queue.closing = True  # open connections get 503
        super().handle_exit(sig, frame)


def serve(
    models: dict[str, Served], host: str = "127.0.0.1", port: int = 8000, key: str | None = None,
    hosts: tuple[str, ...] = (), limits: Limits | None = None, create: Callable[..., FastAPI] = create_app,
) -> None:  # fmt: skip
    """Serve until SIGINT or SIGTERM. Then finish the accepted requests and refuse new ones.

    Raises ValueError when others could reach the server and no key protects it.
    """
    if not key and not is_loopback(host):
        raise InputError(f"host {host}: other machines can reach it, so a key is needed (--api-key or VARY_API_KEY)")
    limits = limits or Limits()
    app = create(models, key, hosts, limits)
    config = uvicorn.Config(
        app, host, port, access_log=False, server_header=False, proxy_headers=False, ws="none", log_level="warning",
        timeout_graceful_shutdown=round(limits.deadline_s),
    )  # fmt: skip
    log.warning("serving %s at http://%s:%d", ", ".join(models), host, port)
    _Uvicorn(config).run()
