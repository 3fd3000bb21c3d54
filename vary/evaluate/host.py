"""A process of its own for every reader that is measured: its memory is its own, and a page that kills it costs a page.

The parent sends an image and a prompt, the child answers with text, status, seconds and its peak memory. The first
request opens the reader; a child that died is started anew for the next page.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

CHILD = "import sys; sys.path[:] = sys.argv[1:]; from vary.evaluate.host import serve; serve()"


@dataclass(frozen=True)
class Reply:
    """What a reader says of an image. status: one of `document.STATUSES`. error: why there is no text.

    confidence: of every character of the text, 0 to 1, where the reader tells.
    """

    text: str
    status: str = "ok"
    error: str | None = None
    confidence: list[float] | None = None


@dataclass(frozen=True)
class Opened:
    """A reader in its process. identity: what exactly it is, for the records. asks: whether it takes questions.

    languages: those of the pages that it reads, None for any. alphabet: the characters that it can write, "" for all.
    answer: (image, prompt, language) -> Reply.
    """

    identity: str
    answer: Callable[[Image.Image, str, str], Reply]
    asks: bool = False
    languages: tuple[str, ...] | None = None
    alphabet: str = ""


class Hosted:
    """A reader of `peers.OPENERS` in a child process. Raises ValueError when it cannot be opened."""

    def __init__(self, kind: str, settings: dict[str, Any]):
        self.kind, self.settings = kind, settings
        self._child: subprocess.Popen[bytes] | None = None
        about = self._start()
        self.identity, self.asks = about["identity"], about["asks"]
        self.languages, self.alphabet = about["languages"], about["alphabet"]

    def answer(self, image: Image.Image, prompt: str, language: str = "en") -> dict[str, Any]:
        """A `Reply` as a dict, with seconds (wall), cpu_seconds and memory_mib (the child's peak so far)."""
        image = image if image.mode in ("L", "RGB") else image.convert("RGB")
        head = {"mode": image.mode, "size": image.size, "prompt": prompt, "language": language}
        try:
            if self._child is None:
                self._start()
            return self._ask(head, image.tobytes())
        except (OSError, EOFError):
            return asdict(Reply("", "failed", f"the process of {self.kind} died, exit status {self.close()}"))

    def close(self) -> int | None:
        """End the child process; returns its exit status."""
        child, self._child = self._child, None
        if child is None:
            return None
        with contextlib.suppress(OSError):
            child.stdin.close()  # type: ignore[union-attr]
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(5)
        child.kill()
        child.stdout.close()  # type: ignore[union-attr]
        return child.wait()

    def _start(self) -> dict[str, Any]:
        command = [sys.executable, "-I", "-c", CHILD, *sys.path]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            about = self._ask({"kind": self.kind, "settings": self.settings}, b"")
        except EOFError:
            raise ValueError(f"the process of {self.kind} died at its start, exit status {self.close()}") from None
        if "refused" in about:
            self.close()
            raise ValueError(about["refused"])
        return about

    def _ask(self, head: dict[str, Any], data: bytes) -> dict[str, Any]:
        child = self._child
        assert child
        assert child.stdin
        assert child.stdout
        child.stdin.write(json.dumps(head).encode() + b"\n" + data)
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            raise EOFError
        return json.loads(line)


# -- the child ---------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer requests from standard input until it ends. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _serve(sys.stdin.buffer, answers)


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    from .peers import OPENERS

    opening = json.loads(requests.readline())
    try:
        opened = OPENERS[opening["kind"]](**opening["settings"])
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        _send(answers, {"refused": str(error).splitlines()[0]})
        return
    about = {"identity": opened.identity, "asks": opened.asks, "languages": opened.languages}
    _send(answers, about | {"alphabet": opened.alphabet})
    for line in requests:
        head = json.loads(line)
        size = tuple(head["size"])
        data = requests.read(size[0] * size[1] * len(head["mode"]))
        image = Image.frombytes(head["mode"], size, data)
        _send(answers, measured(opened.answer, image, head["prompt"], head["language"]))


def _send(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def measured(
    answer: Callable[[Image.Image, str, str], Reply], image: Image.Image, prompt: str, language: str
) -> dict[str, Any]:
    """The reply as a dict with what it took. An exception is a page that failed, with its reason."""
    began, cpu = time.perf_counter(), sum(os.times()[:4])
    try:
        reply = answer(image, prompt, language)
    except Exception as error:  # one page must never cost the others
        reply = Reply("", "failed", f"{type(error).__name__}: {error}".splitlines()[0])
    seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - cpu
    return asdict(reply) | {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3), "memory_mib": peak_mib()}


def peak_mib() -> int | None:
    """Peak memory of this process or the largest of its children in MiB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    status = Path("/proc/self/status")
    if not status.exists():  # macOS counts bytes
        return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) >> 20
    # ru_maxrss of Linux begins at what the parent held when it started us
    own = next((int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")), 0)
    return max(children, own) >> 10
