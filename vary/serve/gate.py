"""Authenticate requests and bound how many are inside the server, before any body is read."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from .errors import APIError, error_response
from .jobs import JobQueue, Receive, log, log_failure

OPEN = ("/healthz",)  # the one route that needs no key
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class AccessMiddleware:
    """ASGI middleware around all routes: keys, limits while a body arrives, errors, counters, the log."""

    def __init__(self, app: Any, queue: JobQueue):
        self.app, self.queue = app, queue

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        channel, method = _Channel(self.queue, receive, send), scope["method"]
        began, entered = time.monotonic(), False
        try:
            try:
                check_access(self.queue, scope["path"], method, dict(scope["headers"]))
                entered = method == "POST"
                self.queue.inside += entered
                await self.app(scope, channel.receive, channel.send)
            except HTTPException as error:
                await channel.refuse(scope, error)
            except Exception as error:
                log_failure("request", error)
                await channel.refuse(scope, APIError(500, "the server failed", "internal"))
        finally:
            self.queue.inside -= entered
            self.queue.held -= channel.held
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.monotonic() - began
            self.queue.metrics.count_request(method, route, channel.status, seconds)
            log.info("%s %s %d %.3f s", method, route, channel.status, seconds)


def check_access(queue: JobQueue, path: str, method: str, headers: dict[bytes, bytes]) -> None:
    """Raise APIError for a request without the key, from another site, too large, or one too many."""
    if path in OPEN:
        return
    if queue.key:
        given = headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, b"Bearer " + queue.key.encode()):
            raise APIError(401, "the key is missing or wrong (Authorization: Bearer KEY)", "invalid_api_key")
    else:  # only this machine reaches us: pages in its browser must not (DNS rebinding, forms of other sites)
        host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
        if urlsplit(f"//{host}").hostname not in LOOPBACK or (origin and urlsplit(origin).hostname not in LOOPBACK):
            raise APIError(403, "without a key this server answers localhost alone", "foreign_host")
    if method != "POST":
        return
    if queue.closing:
        raise APIError(503, "the server is going down", "closing", retry_s=10)
    size = headers.get(b"content-length", b"")
    if size.isdigit() and int(size) > queue.limits.body:
        raise _too_large(queue)
    if queue.inside >= queue.limits.inside:
        raise _busy(queue)


def _too_large(queue: JobQueue) -> APIError:
    return APIError(413, f"the body is larger than {queue.limits.body >> 20} MiB", "body_too_large")


def _busy(queue: JobQueue) -> APIError:
    """Too many requests: come back after about the time that one takes."""
    return APIError(429, "too many requests", "busy", retry_s=max(1, min(60, round(queue.metrics.mean_s))))


class _Channel:
    """A request's receive and send channels, with the limits on its body. status 499: no answer has begun."""

    def __init__(self, queue: JobQueue, receive: Receive, send: Any):
        self.queue, self._receive, self._send = queue, receive, send
        self.held, self.status, self.more = 0, 499, True
        self.ends = time.monotonic() + queue.limits.body_s

    async def receive(self) -> Any:
        """Return the next piece of the body, within the limits; after the body, the client's disconnect."""
        if not self.more:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self.ends - time.monotonic()))
        except asyncio.TimeoutError:
            raise APIError(408, f"the body took longer than {self.queue.limits.body_s:g} s", "slow_body") from None
        size = len(message.get("body", b""))
        self.held, self.more = self.held + size, message.get("more_body", False)
        self.queue.held += size
        if self.held > self.queue.limits.body:
            raise _too_large(self.queue)
        if self.queue.held > self.queue.limits.held:
            raise _busy(self.queue)
        return message

    async def send(self, message: Any) -> None:
        """Send a message and keep its status."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def refuse(self, scope: Any, error: HTTPException) -> None:
        """Send an error, unless an answer has begun."""
        if self.status == 499 and error.status_code != 499:
            await error_response(error)(scope, self._receive, self._send)
