"""A process of our own that may die: requests and answers over its pipes, a clock on each.

What is hostile (PDFium on a broken file) or long (a model on a page) runs in such a child. A request is a JSON line; an
answer is a JSON line and bytes behind it. A child that crashed or was too slow is gone, and the next request starts
another.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import Any, BinaryIO

START = "import sys; sys.path[:] = sys.argv[2:]; from vary.io.child import start; start(sys.argv[1])"
Answer = tuple[dict[str, Any], bytes]


class ChildDied(Exception):
    """The child ended before it answered; `late`: because its time was up."""

    def __init__(self, late: bool):
        super().__init__("took too long" if late else "crashed")
        self.late = late


class Child:
    """entry: `module:function`, called in the child with its two pipes. environment: added to ours."""

    def __init__(self, entry: str, environment: dict[str, str] | None = None):
        self.entry, self.environment = entry, environment or {}
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any], timeout_s: float) -> Answer:
        """The child's answer. Raises ChildDied when it crashed or needed longer than `timeout_s`."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", START, self.entry, *sys.path],  # `-m` would import from the cwd
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=os.environ | self.environment,
            )  # fmt: skip
        late, process = threading.Event(), self.process

        def stop() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(timeout_s, stop)
        clock.daemon = True
        clock.start()
        try:
            return exchange(process, request)
        except (OSError, ValueError):
            self.close()
            raise ChildDied(late.is_set()) from None
        finally:
            clock.cancel()

    def close(self) -> None:
        """End the process."""
        process, self.process = self.process, None
        if process:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # a request that the child never took is flushed here
                    if pipe:
                        pipe.close()

    def __del__(self) -> None:
        self.close()


def exchange(child: subprocess.Popen[bytes], request: dict[str, Any]) -> Answer:
    """Send a request and wait for its answer. Raises ValueError or OSError when the child ends before it is whole."""
    assert child.stdin
    assert child.stdout
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise ValueError("the child is gone")
    answer = json.loads(line)
    data = child.stdout.read(answer.get("bytes", 0))
    if len(data) != answer.get("bytes", 0):
        raise ValueError("the child is gone")
    return answer, data


def start(entry: str) -> None:
    """In the child: call `module:function`. What anything else prints must not stand between the answers."""
    import importlib

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, function = entry.partition(":")
    getattr(importlib.import_module(module), function)(sys.stdin.buffer, answers)


def send(answers: BinaryIO, answer: dict[str, Any], data: bytes = b"") -> None:
    """In the child: answer a request."""
    answers.write(json.dumps(answer | {"bytes": len(data)}).encode() + b"\n" + data)
    answers.flush()
