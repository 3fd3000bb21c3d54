"""The web page of `vary demo`: drop a document, see its text and where it is on the page.

The page is one file, `demo.html`. It holds no data and needs no key. Its Content-Security-Policy allows its own script
and requests to its own server, nothing else. Its requests pass `AccessMiddleware` and the job queue like all others:
`/v1/parse`, `/v1/chat/completions`, and two routes of the demo, `/demo/picture` and `/demo/write`. The server keeps no
document: the page sends the file again with each request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from ..document.elements import Page
from ..document.formats.searchable_pdf import SearchablePdf
from ..document.formats.writers import write_form
from ..document.running_heads import mark_running_heads
from ..document.running_text import mark_page_joins
from ..io.source import Source
from ..reading.runs.pictures import PICTURE_DPI, add_picture
from .app import Served, create_app, load_models, serve
from .errors import APIError, safe_filename, uploaded_file

# isort: split
from fastapi import FastAPI, Form, Request, UploadFile
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, TypeAdapter

from .jobs import Job
from .limits import Limits

PICTURE_SIDE = 2000  # px: more than the screen shows and the models see
QUALITY = 88
PAGE = Path(__file__).with_name("demo.html")
PAGES = TypeAdapter(list[Page], config=ConfigDict(allow_inf_nan=False))
TYPES = {"md": "text/markdown", "html": "text/html", "json": "application/json", "text": "text/plain",
         "pdf": "application/pdf"}  # fmt: skip


class PictureForm(BaseModel, extra="forbid"):
    """page: from 1."""

    file: UploadFile
    page: int
    password: str | None = None


class WriteForm(BaseModel, extra="forbid"):
    """document: the pages that `/v1/parse` gave, a JSON list. file: what they were read from, for a PDF.

    join: as `--join` of `vary read`.
    """

    document: UploadFile
    format: Literal["md", "html", "json", "text", "pdf"]
    model: str = ""
    join: bool = True
    file: UploadFile | None = None
    password: str | None = None


async def picture(form: Annotated[PictureForm, Form(media_type="multipart/form-data")], http: Request) -> Response:
    """`POST /demo/picture`: return a page of the file as a JPEG, with its own orientation."""
    name, data = safe_filename(form.file.filename), await form.file.read()
    job = http.app.state.queue.submit(partial(_picture, data, name, form.page, form.password), http.receive)
    return Response(await job.last(), media_type="image/jpeg", headers=_PLAIN)


async def write(form: Annotated[WriteForm, Form(media_type="multipart/form-data")], http: Request) -> Response:
    """`POST /demo/write`: write a document that was read as a file of one of TYPES, a page at a time."""
    found, name = await form.document.read(), safe_filename(form.document.filename)
    if form.format != "pdf":
        steps = partial(_write, form.format, name, form.model, found, form.join)
    elif form.file is None:
        raise APIError(400, "file: needed for a PDF, whose pages show it", "invalid", "file")
    else:
        steps = partial(_searchable, await form.file.read(), name, found, form.password)
    job = http.app.state.queue.submit(steps, http.receive)
    await job.peek()
    return StreamingResponse(job, media_type=TYPES[form.format], headers=_PLAIN | {"Content-Disposition": "attachment"})


def _picture(data: bytes, name: str, number: int, password: str | None, job: Job) -> Iterator[None]:
    with uploaded_file(data, name) as path, Source(path, password) as source:
        image, _ = source.image(number, PICTURE_DPI, colour=True)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    jpeg = BytesIO()
    image.save(jpeg, "JPEG", quality=QUALITY)
    job.emit(jpeg.getvalue())
    yield


def _write(form: str, name: str, model: str, found: bytes, join: bool, job: Job) -> Iterator[None]:
    for part in write_form(form, name, model, iter(_pages(found)), join=join):
        job.emit(part.encode("utf-8", "replace"))
        yield
    job.emit(b"\n")


def _searchable(data: bytes, name: str, found: bytes, password: str | None, job: Job) -> Iterator[None]:
    pages = _pages(found)
    with uploaded_file(data, name) as path, Source(path, password) as source:
        pdf = SearchablePdf(SimpleNamespace(write=job.emit))  # type: ignore[arg-type]  # all it asks of a file
        for page in pages:
            add_picture(pdf, source, page)
            yield
        pdf.close()


def _pages(found: bytes) -> list[Page]:
    """Check the pages that a client sends back: right types, and no names of files."""
    try:
        pages = PAGES.validate_python([asdict(Page.from_dict(page)) for page in json.loads(found)])
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise APIError(400, "document: not the pages that /v1/parse gave", "invalid", "document") from None
    for page in pages:
        for block in page.blocks:
            block.image = None
    return list(mark_page_joins(mark_running_heads(pages)))


# -- the page --------------------------------------------------------------------------------------------------------

_PLAIN = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def page_headers(page: str) -> dict[str, str]:
    """Return the headers of the page: only its own script and style may run, by their checksums."""

    def checksum(tag: str) -> str:
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.S)
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {checksum('script')}; style-src {checksum('style')}; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )
    more = {"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"}
    return _PLAIN | {"Content-Security-Policy": policy} | more


class _Front:
    """ASGI middleware before the AccessMiddleware: the page itself needs no key and asks the user for one."""

    def __init__(self, app: Any):
        text = PAGE.read_text(encoding="utf-8")
        self.app, self.page = app, HTMLResponse(text, headers=page_headers(text))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        mine = scope["type"] == "http" and scope["path"] == "/" and scope["method"] in ("GET", "HEAD")
        await (self.page if mine else self.app)(scope, receive, send)


def create_demo(
    models: dict[str, Served], key: str | None = None, hosts: tuple[str, ...] = (), limits: Limits | None = None
) -> FastAPI:
    """Return the application of `vary serve` (see `create_app`) with the page and its two routes."""
    app = create_app(models, key, hosts, limits)
    app.add_api_route("/demo/picture", picture, methods=["POST"], response_model=None)
    app.add_api_route("/demo/write", write, methods=["POST"], response_model=None)
    app.add_middleware(_Front)
    return app


def demo(
    model: str | list[str] = "vary-nano", host: str = "127.0.0.1", port: int = 8000, api_key: str | None = None,
    device: str = "cpu", dtype: str = "auto",
) -> None:  # fmt: skip
    """Serve the page until SIGINT or SIGTERM. model: a name or a folder, or several: one reads, another answers.

    Raises ValueError for an unknown model, and when others could reach the server and no key protects it.
    """
    models = load_models([model] if isinstance(model, str) else model, device, dtype)
    serve(models, host, port, api_key, create=create_demo)
