"""The desk of `vary serve`: the Gate at the door, Jobs in a line, and one Worker thread that owns the models.

PyTorch models here are not thread-safe, so one thread runs them all. A job is a generator; the worker serves up to
TURNS of them by turns, so that a question does not wait for the five hundred pages in front of it. What may be inside
at once is counted at the door, before a body is read: the line can never grow past it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import queue
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from ..document.elements import Page
from .errors import Refused
from .limits import Limits

Receive = Callable[[], Awaitable[Any]]
TURNS = 4
OPEN = ("/healthz",)  # the one route without a key
LOOPBACK = ("localhost", "127.0.0.1", "::1")
BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
log = logging.getLogger("vary.serve")


class Job:
    """What one request asks of the worker. Iterate for what it says; leaving it, in whatever way, cancels it."""

    def __init__(self, steps: Callable[[Job], Iterator[None]], deadline_s: float, receive: Receive):
        self.steps = steps(self)
        self.ends = time.monotonic() + deadline_s
        self.cancelled = self.done = False
        self._loop, self._receive = asyncio.get_running_loop(), receive
        self._said: asyncio.Queue[Any] = asyncio.Queue()
        self._first: list[Any] = []
        self._events: AsyncIterator[Any] | None = None  # begun by `peek`

    def check(self) -> None:
        """On the worker: end here when nobody waits for the rest."""
        if self.cancelled or time.monotonic() > self.ends:
            raise _gone()

    def say(self, event: Any) -> None:
        """On the worker: an event for the request; an exception ends it, and so does None."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._said.put_nowait, event)

    async def peek(self) -> None:
        """Wait for the first event and keep it. Raises what the job failed with."""
        events = aiter(self)
        with contextlib.suppress(StopAsyncIteration):
            self._first.append(await anext(events))
        self._events = events

    async def last(self) -> Any:
        """The last event."""
        event = None
        async for event in self:  # noqa: B007
            pass
        return event

    async def __aiter__(self) -> AsyncIterator[Any]:
        if self._events is not None:
            for event in self._first:
                yield event
            async for event in self._events:
                yield event
            return
        leaving = asyncio.create_task(self._left())
        try:
            while (event := await self._next()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            leaving.cancel()
            self.cancelled = True

    async def _next(self) -> Any:
        try:
            return await asyncio.wait_for(self._said.get(), max(0.0, self.ends - time.monotonic()))
        except asyncio.TimeoutError:
            raise _late() from None

    async def _left(self) -> None:
        """Wait until the client hangs up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cancelled = True
        self._said.put_nowait(_gone())


def _gone() -> Refused:
    return Refused(499, "the client is gone", "cancelled")


def _late() -> Refused:
    return Refused(504, "the deadline of the server has passed", "deadline")


class Desk:
    """Limits, counters, the line of jobs and the thread that serves it."""

    def __init__(self, limits: Limits, key: str | None = None, hosts: tuple[str, ...] = ()):
        self.limits, self.key, self.hosts = limits, key, hosts
        self.closing = False
        self.inside = self.held = 0
        self.counts: Counter[tuple[str, ...]] = Counter()
        self._line: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._seconds = 1.0  # of a request, a moving mean
        self._thread = threading.Thread(target=self._work, name="vary-worker", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether requests are served."""
        return self._thread.is_alive() and not self.closing

    def open(self) -> None:
        """Start the worker."""
        self._thread.start()

    def close(self) -> None:
        """Let the worker end what is in the line, then stop it."""
        self.closing = True
        self._line.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, steps: Callable[[Job], Iterator[None]], receive: Receive) -> Job:
        """A job at the end of the line. receive: the request's, which tells when the client hangs up."""
        job = Job(steps, self.limits.deadline_s, receive)
        self._line.put(job)
        return job

    def _work(self) -> None:
        served: deque[Job] = deque()
        while True:
            while len(served) < TURNS:
                try:
                    job = self._line.get(block=not served)
                except queue.Empty:
                    break
                if job is None:
                    if not served:
                        return
                    self._line.put(None)
                    break
                served.append(job)
            job = served.popleft()
            if self._turn(job):
                served.append(job)

    def _turn(self, job: Job) -> bool:
        """One step of a job; whether there may be another."""
        try:
            job.check()
            next(job.steps)
            return True
        except StopIteration:
            end = None
        except HTTPException as error:
            end = error
        except BaseException as error:  # a request must never cost the worker
            _note("worker", error)
            end = Refused(500, "the model failed on this input", "model_failed")
        job.steps.close()  # type: ignore[attr-defined]  # temporary files and the PDF's process end here
        job.say(end)
        return False

    def admit(self, path: str, method: str, headers: dict[bytes, bytes]) -> None:
        """Raises Refused for a request that may not come in."""
        if path in OPEN:
            return
        if self.key:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self.key.encode()):
                raise Refused(401, "the key is missing or wrong (Authorization: Bearer KEY)", "invalid_api_key")
        else:  # only this machine reaches us: pages of its browser must not (DNS rebinding, forms of other sites)
            host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
            if urlsplit(f"//{host}").hostname not in LOOPBACK or (origin and urlsplit(origin).hostname not in LOOPBACK):
                raise Refused(403, "without a key this server answers localhost alone", "foreign_host")
        if method != "POST":
            return
        if self.closing:
            raise Refused(503, "the server is going down", "closing", retry_s=10)
        size = headers.get(b"content-length", b"")
        if size.isdigit() and int(size) > self.limits.body:
            raise self.too_large()
        if self.inside >= self.limits.inside:
            raise self.busy()

    def too_large(self) -> Refused:
        """A body over the limit."""
        return Refused(413, f"the body is larger than {self.limits.body >> 20} MiB", "body_too_large")

    def busy(self) -> Refused:
        """More than may be inside; come back when those who are have likely been served."""
        return Refused(429, "too many requests", "busy", retry_s=max(1, min(60, round(self._seconds))))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request has ended."""
        self.counts["vary_requests_total", f'route="{route}",status="{status}"'] += 1
        if method != "POST":
            return
        if status == 200:
            self._seconds += 0.1 * (seconds - self._seconds)
        for bucket in (*BUCKETS_S, float("inf")):
            edge = "+Inf" if bucket == float("inf") else f"{bucket:g}"
            self.counts["vary_request_seconds_bucket", f'route="{route}",le="{edge}"'] += seconds <= bucket
        self.counts["vary_request_seconds_sum", f'route="{route}"'] += seconds  # type: ignore[assignment]
        self.counts["vary_request_seconds_count", f'route="{route}"'] += 1

    def count_page(self, page: Page) -> None:
        """A page has been read."""
        self.counts["vary_pages_total", f'status="{page.status}"'] += 1

    def metrics(self) -> str:
        """All counters as Prometheus text."""
        lines = [f"{name}{{{labels}}} {value:g}" for (name, labels), value in sorted(self.counts.copy().items())]
        gauges = {"vary_requests_inside": self.inside, "vary_body_bytes_held": self.held, "vary_ready": int(self.ready)}
        return "\n".join([*lines, *(f"{name} {value}" for name, value in gauges.items())]) + "\n"


def _note(where: str, error: BaseException) -> None:
    """Log an error by its type and place: its message may hold what was sent."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    log.error("%s: %s at %s:%s", where, type(error).__name__, last.filename.rsplit("/", 1)[-1], last.lineno)
