"""Read a page again that ended badly, and keep the best result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from ...document.elements import STATUSES

LADDER = (1.0, 0.7)  # by attempt: factor of the reader's best resolution
RETRIED = ("truncated", "repetition")  # a server may do better at another resolution; time decides nothing


class Ended(Protocol):
    """What ended with a status, at the last of some attempts: a page, or what a worker says of one."""

    status: str
    attempts: int


E = TypeVar("E", bound=Ended)


def with_retries(read: Callable[[int], E]) -> E:
    """Read again a page that ended with a status of RETRIED. Return the best result, the first of equals."""
    tried: list[E] = []
    while not tried or (tried[-1].status in RETRIED and len(tried) < len(LADDER)):
        tried.append(read(len(tried)))
    best = min(tried, key=lambda page: STATUSES.index(page.status))
    best.attempts = len(tried)
    return best
