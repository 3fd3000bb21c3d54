"""A child process that answers requests over pipes, with a limit of CPU time for each.

Hostile input (PDFium on a damaged file) and long work (a model on a page) run in such a child. A request is one line of
JSON; an answer is one line of JSON followed by bytes. After a crash or a timeout the next request starts a new child.
CPU time decides, so a loaded machine ends no request that an idle one answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any, BinaryIO

START = "import sys; sys.path[:] = sys.argv[2:]; from vary.io.child import start; start(sys.argv[1])"
PDF_READER = "vary.io.pdf:serve"  # named here, so that it can be started before anything else is imported
ChildAnswer = tuple[dict[str, Any], bytes]
IDLE_S = 600.0  # on the clock: a child that has used no CPU time for so long hangs
POLL_S = 1.0  # between looks at its CPU time


class ChildDied(Exception):
    """The child process ended before it answered.

    Args:
        late: It was killed because its time was up.
    """

    def __init__(self, late: bool):
        super().__init__("took too long" if late else "crashed")
        self.late = late


waiting: dict[str, subprocess.Popen[bytes]] = {}  # by entry: a child that waits for the next `Child`, at most one


def start_early(entry: str) -> None:
    """Start a child now, for the next `Child` of this entry: what it imports is ready with what its parent imports."""
    waiting[entry] = _launch(entry, {})


def _launch(entry: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-c", START, entry, *sys.path],  # `-m` would import from the cwd
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    )


class Child:
    """A child process that is started with the first request.

    Args:
        entry: `module:function`, called in the child with its input and output pipe.
        environment: Environment variables added to those of this process.

    Attributes:
        inherited: Its process may have served another `Child` before.
    """

    def __init__(self, entry: str, environment: dict[str, str] | None = None):
        self.entry, self.environment, self.inherited = entry, environment or {}, False
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any], timeout_s: float) -> ChildAnswer:
        """Send a request and return the answer.

        Raises:
            ChildDied: The child crashed, used more CPU time than `timeout_s`, or none for IDLE_S. Where the system
                does not tell the CPU time of another process, time on the clock counts.
        """
        if self.process is None:
            early = None if self.environment else waiting.pop(self.entry, None)
            if early and early.poll() is not None:
                early = None
            self.process, self.inherited = early or _launch(self.entry, self.environment), early is not None
        late, answered = threading.Event(), threading.Event()
        threading.Thread(target=_limit, args=(self.process, timeout_s, answered, late), daemon=True).start()
        try:
            return _exchange(self.process, request)
        except (OSError, ValueError):
            died = ChildDied(late.is_set())
            self.close()
            raise died from None
        except BaseException:  # ctrl-C: an answer that nobody has read must not become that of another request
            self.close()
            raise
        finally:
            answered.set()

    def release(self) -> None:
        """Leave the process, which has to be as good as a new one, to the next `Child` of this entry."""
        process, self.process = self.process, None
        if process and (self.environment or waiting.setdefault(self.entry, process) is not process):
            _end(process)

    def close(self) -> None:
        """End the process."""
        process, self.process = self.process, None
        if process:
            _end(process)

    def __del__(self) -> None:
        self.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # closing flushes a request that the child did not read
            if pipe:
                pipe.close()


def _limit(child: subprocess.Popen[bytes], timeout_s: float, answered: threading.Event, late: threading.Event) -> None:
    """Kill a child that uses more than its time, or hangs, before it has answered; `late` then says so."""
    used = cpu_seconds(child.pid)
    end, moved = used + timeout_s, time.monotonic()
    while not answered.wait(POLL_S):
        before, used, now = used, cpu_seconds(child.pid), time.monotonic()
        moved = now if used > before else moved
        if used >= end or now - moved >= IDLE_S:
            late.set()
            child.kill()
            return


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process on Linux; elsewhere the time on the clock."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3)
    except (AttributeError, OSError):
        return time.monotonic()


def _exchange(child: subprocess.Popen[bytes], request: dict[str, Any]) -> ChildAnswer:
    """Send a request and return the answer. Raises ValueError or OSError when the child ends before."""
    assert child.stdin
    assert child.stdout
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise ValueError("the child has ended")
    answer = json.loads(line)
    data = child.stdout.read(answer.get("bytes", 0))
    if len(data) != answer.get("bytes", 0):
        raise ValueError("the child has ended")
    return answer, data


def start(entry: str) -> None:
    """Call `module:function` in the child. Other output goes to standard error, so it cannot mix with answers."""
    import importlib

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, function = entry.partition(":")
    getattr(importlib.import_module(module), function)(sys.stdin.buffer, answers)


def send(answers: BinaryIO, answer: dict[str, Any], data: bytes = b"") -> None:
    """Write an answer and its bytes from the child."""
    answers.write(json.dumps(answer | {"bytes": len(data)}).encode() + b"\n" + data)
    answers.flush()
