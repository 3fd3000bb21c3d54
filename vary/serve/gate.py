"""Authenticate requests and bound how many are inside the server, before any body is read."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.exceptions import HTTPException

from .errors import Refused, error_response
from .jobs import Desk, Receive, _note, log


class Gate:
    """ASGI middleware around all routes: keys, limits while a body streams in, errors, counters, the log."""

    def __init__(self, app: Any, desk: Desk):
        self.app, self.desk = app, desk

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        visit, method = _Visit(self.desk, receive, send), scope["method"]
        began, entered = time.monotonic(), False
        try:
            try:
                self.desk.admit(scope["path"], method, dict(scope["headers"]))
                entered = method == "POST"
                self.desk.inside += entered
                await self.app(scope, visit.receive, visit.send)
            except HTTPException as error:
                await visit.refuse(scope, error)
            except Exception as error:
                _note("request", error)
                await visit.refuse(scope, Refused(500, "the server failed", "internal"))
        finally:
            self.desk.inside -= entered
            self.desk.held -= visit.held
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.monotonic() - began
            self.desk.count(method, route, visit.status, seconds)
            log.info("%s %s %d %.3f s", method, route, visit.status, seconds)


class _Visit:
    """A request's two channels, watched."""

    def __init__(self, desk: Desk, receive: Receive, send: Any):
        self.desk, self._receive, self._send = desk, receive, send
        self.held, self.status, self.more = 0, 499, True  # 499: gone before there was an answer
        self.ends = time.monotonic() + desk.limits.body_s

    async def receive(self) -> Any:
        """The next piece of the body, as long as it is within the limits; then the client's leaving."""
        if not self.more:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self.ends - time.monotonic()))
        except asyncio.TimeoutError:
            raise Refused(408, f"the body took longer than {self.desk.limits.body_s:g} s", "slow_body") from None
        size = len(message.get("body", b""))
        self.held, self.more = self.held + size, message.get("more_body", False)
        self.desk.held += size
        if self.held > self.desk.limits.body:
            raise self.desk.too_large()
        if self.desk.held > self.desk.limits.held:
            raise self.desk.busy()
        return message

    async def send(self, message: Any) -> None:
        """Pass on, and remember the status."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def refuse(self, scope: Any, error: HTTPException) -> None:
        """Answer with an error, where no answer has begun."""
        if self.status == 499 and error.status_code != 499:
            await error_response(error)(scope, self._receive, self.send)
