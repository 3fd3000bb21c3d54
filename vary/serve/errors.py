"""Error bodies in OpenAI's form. Messages never show paths of the server."""

from __future__ import annotations

import re
from typing import Any

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

PATHS = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][\w.~+-]+){2,}[/\\]?")


class Refused(HTTPException):
    """A request that is not served. message: one line for the client; param: the field; retry_s: when to come back."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None, retry_s: int | None = None):
        super().__init__(status, message, {"Retry-After": str(retry_s)} if retry_s else None)
        self.code, self.param = code, param


def error_body(error: HTTPException) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(error.status_code, "invalid_request_error" if error.status_code < 500 else "server_error")
    code, param = getattr(error, "code", None), getattr(error, "param", None)
    return {"error": {"message": str(error.detail), "type": kind, "param": param, "code": code}}


def error_response(error: HTTPException, **more: Any) -> JSONResponse:
    """The same as a response; `more` stands beside `error`."""
    return JSONResponse(error_body(error) | more, error.status_code, error.headers)


def told(message: str) -> str:
    """A message that may leave the server: one line, without paths."""
    return " ".join(PATHS.sub("…", message).split())[:500]


def shown(name: str | None) -> str:
    """The name of an upload: for display alone, no folders, nothing that does not print."""
    last = re.split(r"[/\\]", name or "")[-1]
    return "".join(ch for ch in last if ch.isprintable())[:200] or "upload"
