"""Error responses in OpenAI's form. Messages never show paths of the server."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..io.errors import VaryError

PATHS = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][\w.~+-]+){2,}[/\\]?")


class APIError(HTTPException):
    """A request that is refused. message: one line for the client; param: the field; retry_s: when to try again."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None, retry_s: int | None = None):
        super().__init__(status, message, {"Retry-After": str(retry_s)} if retry_s else None)
        self.code, self.param = code, param


def error_body(error: HTTPException) -> dict[str, Any]:
    """Return an error in the form that OpenAI's clients read."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(error.status_code, "invalid_request_error" if error.status_code < 500 else "server_error")
    code, param = getattr(error, "code", None), getattr(error, "param", None)
    return {"error": {"message": str(error.detail), "type": kind, "param": param, "code": code}}


def error_response(error: HTTPException, **more: Any) -> JSONResponse:
    """Return an error as a response; `more` is added next to the key `error`."""
    return JSONResponse(error_body(error) | more, error.status_code, error.headers)


def safe_message(message: str) -> str:
    """Return a message that may leave the server: one line, without paths."""
    return " ".join(PATHS.sub("…", message).split())[:500]


def safe_filename(name: str | None) -> str:
    """Return the name of an upload for display: no folders, only printable characters."""
    last = re.split(r"[/\\]", name or "")[-1]
    return "".join(ch for ch in last if ch.isprintable())[:200] or "upload"


@contextmanager
def api_errors(path: str = "", name: str = "") -> Iterator[None]:
    """Turn errors of the user into a 400. path, name: the file's place here, and its name for the client."""
    try:
        yield
    except VaryError as error:
        message = str(error).replace(path, name) if path else str(error)
        raise APIError(400, safe_message(message), "unreadable") from None


@contextmanager
def uploaded_file(data: bytes, name: str) -> Iterator[Path]:
    """Write an upload to a temporary file; errors of reading it become a 400 that names the upload.

    The file's own name is never one that the client chose.
    """
    number, place = tempfile.mkstemp(prefix="vary-")
    os.close(number)
    path = Path(place)
    try:
        path.write_bytes(data)
        with api_errors(place, name):
            yield path
    finally:
        path.unlink()
