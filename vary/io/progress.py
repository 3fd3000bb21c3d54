"""A line of what is done, how fast, and the time left, on standard error; rewritten on a screen, else now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

EVERY_S = 30.0  # where there is no screen


class Progress:
    """unit: what is counted. per: `s` or `min`. done: before it began (`first`), which is no part of the rate.

    log: takes the lines in place of standard error.
    """

    def __init__(self, unit: str, count: int, done: int = 0, log: Callable[[str], Any] | None = None, per: str = "s"):
        self.unit, self.per, self.count, self.first, self.done = unit, per, count, done, done
        self.log = log or self._print
        self.began = self.printed = time.monotonic()

    def at(self, done: int) -> None:
        """So many are done."""
        self.done = done
        spent = time.monotonic() - self.began
        rate = (done - self.first) / spent if spent else 0.0
        left = (self.count - done) / rate if rate else 0.0
        clock = f"{int(left) // 3600}:{int(left) // 60 % 60:02d}:{int(left) % 60:02d}" if rate else "?"
        shown = rate * (60 if self.per == "min" else 1)
        self.log(f"{done}/{self.count} {self.unit}, {shown:.1f} {self.unit}/{self.per}, {clock} left")

    def say(self, text: str) -> None:
        """A line that stays."""
        print(f"\r{text:<60}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)

    def _print(self, line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{line:<60}", end="", file=sys.stderr, flush=True)
        elif line.endswith("\n") or time.monotonic() - self.printed > EVERY_S:
            self.printed = time.monotonic()
            print(line.rstrip(), file=sys.stderr, flush=True)
