"""Remember SIGTERM or SIGINT, so that a run ends after the step it is in."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class StopSignal:
    """The first SIGTERM or SIGINT that the process received. A second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.number = 0

    def handle(self, number: int, frame: Any) -> None:
        """Handle a signal."""
        if self.number:
            raise KeyboardInterrupt
        self.number = number


@contextlib.contextmanager
def catch_signals() -> Iterator[StopSignal]:
    """Handle SIGTERM and SIGINT by a `StopSignal` inside the context. Does nothing outside the main thread."""
    stop = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
