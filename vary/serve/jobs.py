"""Run requests on the models: jobs in two queues, each with its own worker threads.

A job is a generator. The threads of a lane serve its first jobs in rotation, one step each, so that one page does not
wait for a document of five hundred pages. Readers are thread-safe and several pages are read at once. Models that
answer questions are not, so one thread runs them all. `gate.py` bounds the length of the lanes before a body is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
    """The work of one request in a worker thread. Iterate over it for its events; leaving the loop cancels the job."""

    def __init__(self, steps: Callable[[Job], Iterator[None]], deadline_s: float, receive: Receive):
        self.steps = steps(self)
        self.ends = time.monotonic() + deadline_s
        self.cancelled = False
        self._loop, self._receive = asyncio.get_running_loop(), receive
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._first: list[Any] = []
        self._rest: AsyncIterator[Any] | None = None  # what follows the event that `peek` kept

    def check(self) -> None:
        """Raise in the worker thread if the client has disconnected or the deadline has passed."""
        if self.cancelled or time.monotonic() > self.ends:
            raise _client_left()

    def emit(self, event: Any) -> None:
        """Send an event from the worker thread to the request. An exception or None ends the request."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def peek(self) -> None:
        """Wait for the first event and keep it. Raises the exception of a job that failed."""
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
        """Cancel the job when the client disconnects."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cancelled = True
        self._events.put_nowait(_client_left())


def _client_left() -> APIError:
    return APIError(499, "the client is gone", "cancelled")


class Lane:
    """Jobs and the threads that serve them. At most `max(TURNS, threads)` jobs have begun at a time."""

    def __init__(self, name: str, threads: int):
        self._waiting: deque[Job] = deque()
        self._begun: deque[Job] = deque()  # jobs with a step to come, without those that a thread runs now
        self._running, self._most = 0, max(TURNS, threads)
        self._closing = False
        self._changed = threading.Condition()
        self.threads = [
            threading.Thread(target=self._work, name=f"vary-{name}-{k}", daemon=True) for k in range(threads)
        ]

    def add(self, job: Job) -> None:
        """Add a job."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def close(self) -> None:
        """Finish the jobs, then stop the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self.threads:
            if thread.is_alive():
                thread.join()

    def _work(self) -> None:
        while job := self._next():
            more = _run_step(job)
            with self._changed:
                self._running -= 1
                if more:
                    self._begun.append(job)
                self._changed.notify_all()

    def _next(self) -> Job | None:
        """Wait for a job that has a step to run. Return None if the lane is closed and empty."""
        with self._changed:
            while True:
                while self._waiting and len(self._begun) + self._running < self._most:
                    self._begun.append(self._waiting.popleft())
                if self._begun:
                    self._running += 1
                    return self._begun.popleft()
                if self._closing and not self._waiting:
                    return None
                self._changed.wait()


class JobQueue:
    """The lanes for pages and for answers, and the number of requests in the server.

    closing: new requests are refused. inside, held: requests inside the server and bytes of their bodies, counted by
    `AccessMiddleware`.
    """

    def __init__(self, limits: Limits, key: str | None = None, hosts: tuple[str, ...] = ()):
        self.limits, self.key, self.hosts = limits, key, hosts
        self.closing = False
        self.inside = self.held = 0
        self.metrics = Metrics()
        self._pages, self._answers = Lane("reader", limits.workers), Lane("chat", 1)

    @property
    def ready(self) -> bool:
        """Return whether requests are served."""
        return not self.closing and all(t.is_alive() for lane in (self._pages, self._answers) for t in lane.threads)

    def open(self) -> None:
        """Start the threads."""
        for lane in (self._pages, self._answers):
            for thread in lane.threads:
                thread.start()

    def close(self) -> None:
        """Let the threads finish the jobs, then stop them."""
        self.closing = True
        self._pages.close()
        self._answers.close()

    def submit(self, steps: Callable[[Job], Iterator[None]], receive: Receive, answers: bool = False) -> Job:
        """Add a job.

        Args:
            steps: Makes the generator of the job's steps.
            receive: The request's ASGI channel, which tells when the client hangs up.
            answers: Whether a model that is not thread-safe does the work.
        """
        job = Job(steps, self.limits.deadline_s, receive)
        (self._answers if answers else self._pages).add(job)
        return job


def _run_step(job: Job) -> bool:
    """Run one step of a job. Returns whether there may be another."""
    try:
        job.check()
        next(job.steps)
        return True
    except StopIteration:
        end = None
    except HTTPException as error:
        end = error
    except BaseException as error:  # one request must never end a worker
        log_failure("worker", error)
        end = APIError(500, "the model failed on this input", "model_failed")
    job.steps.close()  # type: ignore[attr-defined]  # temporary files and the PDF's process end here
    job.emit(end)
    return False


def log_failure(where: str, error: BaseException) -> None:
    """Log an exception by its type and place only: its message may hold what a client sent."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    log.error("%s: %s at %s:%s", where, type(error).__name__, last.filename.rsplit("/", 1)[-1], last.lineno)
