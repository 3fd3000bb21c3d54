"""Run requests on the models: jobs in a queue, and one worker thread that owns the models.

PyTorch models here are not thread-safe, so one thread runs them all. A job is a generator. The worker serves up to
TURNS jobs in rotation, one step each, so a question does not wait for a document of five hundred pages. `gate.py`
bounds the length of the queue before a body is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from starlette.exceptions import HTTPException

from .errors import APIError
from .limits import Limits
from .metrics import Metrics

Receive = Callable[[], Awaitable[Any]]
TURNS = 4
log = logging.getLogger("vary.serve")


class Job:
    """One request's work on the worker. Iterate over it for its events; leaving the loop cancels the job."""

    def __init__(self, steps: Callable[[Job], Iterator[None]], deadline_s: float, receive: Receive):
        self.steps = steps(self)
        self.ends = time.monotonic() + deadline_s
        self.cancelled = False
        self._loop, self._receive = asyncio.get_running_loop(), receive
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._first: list[Any] = []
        self._rest: AsyncIterator[Any] | None = None  # what follows the event that `peek` kept

    def check(self) -> None:
        """Raise on the worker when the client has left or the deadline has passed."""
        if self.cancelled or time.monotonic() > self.ends:
            raise _client_left()

    def emit(self, event: Any) -> None:
        """Send an event from the worker to the request. An exception or None ends the request."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def peek(self) -> None:
        """Wait for the first event and keep it. Raises what the job failed with."""
        events = aiter(self)
        with contextlib.suppress(StopAsyncIteration):
            self._first.append(await anext(events))
        self._rest = events

    async def last(self) -> Any:
        """Return the last event."""
        event = None
        async for event in self:  # noqa: B007
            pass
        return event

    async def __aiter__(self) -> AsyncIterator[Any]:
        if self._rest is not None:
            for event in self._first:
                yield event
            async for event in self._rest:
                yield event
            return
        watch = asyncio.create_task(self._watch_client())
        try:
            while (event := await self._next()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            watch.cancel()
            self.cancelled = True

    async def _next(self) -> Any:
        try:
            return await asyncio.wait_for(self._events.get(), max(0.0, self.ends - time.monotonic()))
        except asyncio.TimeoutError:
            raise APIError(504, "the deadline of the server has passed", "deadline") from None

    async def _watch_client(self) -> None:
        """Cancel the job when the client hangs up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cancelled = True
        self._events.put_nowait(_client_left())


def _client_left() -> APIError:
    return APIError(499, "the client is gone", "cancelled")


class JobQueue:
    """The queue of jobs and the worker thread that serves them.

    closing: new requests are refused. inside, held: requests inside the server and bytes of their bodies, counted by
    `AccessMiddleware`.
    """

    def __init__(self, limits: Limits, key: str | None = None, hosts: tuple[str, ...] = ()):
        self.limits, self.key, self.hosts = limits, key, hosts
        self.closing = False
        self.inside = self.held = 0
        self.metrics = Metrics()
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="vary-worker", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether requests are served."""
        return self._thread.is_alive() and not self.closing

    def open(self) -> None:
        """Start the worker."""
        self._thread.start()

    def close(self) -> None:
        """Let the worker finish the jobs in the queue, then stop it."""
        self.closing = True
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, steps: Callable[[Job], Iterator[None]], receive: Receive) -> Job:
        """Add a job. receive: the request's ASGI channel, which tells when the client hangs up."""
        job = Job(steps, self.limits.deadline_s, receive)
        self._waiting.put(job)
        return job

    def _work(self) -> None:
        active: deque[Job] = deque()
        while True:
            while len(active) < TURNS:
                try:
                    job = self._waiting.get(block=not active)
                except queue.Empty:
                    break
                if job is None:
                    if not active:
                        return
                    self._waiting.put(None)
                    break
                active.append(job)
            job = active.popleft()
            if self._step(job):
                active.append(job)

    def _step(self, job: Job) -> bool:
        """Run one step of a job. Returns whether there may be another."""
        try:
            job.check()
            next(job.steps)
            return True
        except StopIteration:
            end = None
        except HTTPException as error:
            end = error
        except BaseException as error:  # one request must never end the worker
            log_failure("worker", error)
            end = APIError(500, "the model failed on this input", "model_failed")
        job.steps.close()  # type: ignore[attr-defined]  # temporary files and the PDF's process end here
        job.emit(end)
        return False


def log_failure(where: str, error: BaseException) -> None:
    """Log an exception by its type and place only: its message may hold what a client sent."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    log.error("%s: %s at %s:%s", where, type(error).__name__, last.filename.rsplit("/", 1)[-1], last.lineno)
