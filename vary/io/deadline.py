"""Time limit of the work in a context, such as reading one page. It ends the work and never changes how it is done.

The limit counts the CPU time of the process. A loaded machine does the same work in the same CPU time, only later.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit the work inside the context to some seconds of CPU time."""
    token = _deadline.set(time.process_time() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def time_is_up() -> bool:
    """Return whether the time limit has passed; never without one."""
    return time.process_time() > _deadline.get()
