"""The readers that `vary eval` measures: models of ours, other programs, and OpenAI-compatible servers.

Each local reader runs in its own child process, so that seconds and memory are its own. A peer that is not installed is
reported as missing.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from ..io.child import Child, ChildDied, send
from ..io.errors import ConfigError, InputError, RemoteError, VaryError
from ..reading import remote
from .our_models import open_model
from .programs import PROGRAMS
from .reader import Opened, Reader, Reply, Request

SERVER_TIMEOUT_S = 600.0
PAGE_TIMEOUT_S = 1800.0  # of a local reader, loading included


class Hosted:
    """A reader in a child process.

    Args:
        kind: `model` or a name of `PROGRAMS`.
        settings: Arguments of its opener.
        entry: Function that serves in the child. Tests replace it.

    Raises:
        InputError: The reader cannot be opened.
    """

    def __init__(self, kind: str, settings: dict[str, Any], entry: str = "vary.evaluate.readers:serve"):
        self.kind, self.settings, self.child = kind, settings, Child(entry)
        about = self._ask({})
        if about is None:
            raise InputError(f"the process of {kind} died at its start")
        if "refused" in about:
            self.close()
            raise InputError(about["refused"])
        self.identity, self.asks, self.takes = about["identity"], about["asks"], about["takes"]
        self.languages, self.alphabet = about["languages"], about["alphabet"]

    def answer(self, request: Request) -> Reply:
        """Answer a request. If the process dies, the page has failed, and the next request starts a new process."""
        with tempfile.TemporaryDirectory() as folder:
            asked = {"prompt": request.prompt, "language": request.language, "form": request.form}
            if request.image is not None:
                path = Path(folder) / "page.ppm"  # uncompressed
                (request.image if request.image.mode in ("L", "RGB") else request.image.convert("RGB")).save(path)
                asked["image"] = str(path)
            if request.pdf is not None:
                asked["pdf"] = str(request.pdf)
            found = self._ask(asked)
        return Reply("", "failed", f"the process of {self.kind} died") if found is None else Reply(**found)

    def close(self) -> None:
        """End the child process."""
        self.child.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer, data = self.child.ask({"kind": self.kind, "settings": self.settings, **request}, PAGE_TIMEOUT_S)
        except ChildDied:
            return None
        return json.loads(data) if data else {k: v for k, v in answer.items() if k != "bytes"}


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """In the child: open the reader that the first request names, then answer requests."""
    opened: Opened | None = None
    for line in requests:
        asked = json.loads(line)
        try:
            if opened is None:
                opened = open_reader(asked["kind"], asked["settings"])
        except (VaryError, ValueError, OSError, RuntimeError, ImportError) as error:
            send(answers, {"refused": str(error).splitlines()[0]})
            return
        if "form" not in asked:
            facts = {name: getattr(opened, name) for name in ("identity", "asks", "languages", "alphabet", "takes")}
            send(answers, facts)
            continue
        reply = asdict(measure(opened.answer, asked))
        send(answers, {}, json.dumps(reply).encode())


def open_reader(kind: str, settings: dict[str, Any]) -> Opened:
    """Open a reader in this process: `model` or a name of `PROGRAMS`."""
    if kind == "model":
        return open_model(**settings)
    return PROGRAMS[kind].open(**settings)


def measure(answer: Callable[[Request], Reply], asked: dict[str, Any]) -> Reply:
    """Answer a request and measure what it takes. An exception makes the page `failed`."""
    image = None
    if "image" in asked:
        with Image.open(asked["image"]) as opened:
            opened.load()
            image = opened.copy()
    pdf = Path(asked["pdf"]) if "pdf" in asked else None
    request = Request(image, pdf, asked["prompt"], asked["language"], asked["form"])
    began, cpu = time.perf_counter(), sum(os.times()[:4])
    try:
        reply = answer(request)
    except Exception as error:  # one page must not end the run
        reply = Reply("", "failed", f"{type(error).__name__}: {error}".splitlines()[0])
    seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - cpu
    cost = {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3), "memory_mib": peak_mib()}
    return Reply(**(asdict(reply) | cost))


def peak_mib() -> int | None:
    """Return the peak memory of this process or of the largest of its children, in MiB. None if not known."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    status = Path("/proc/self/status")
    if not status.exists():  # macOS counts bytes
        return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) >> 20
    # Linux starts ru_maxrss at the size of the parent
    own = next((int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")), 0)
    return max(children, own) >> 10


class Server:
    """An OpenAI-compatible server as a reader.

    Args:
        url: Address, with or without `/v1`.
        model: Model of the server. None means the first that it lists.
        key: API key.
        max_tokens: Limit of an answer.

    Raises:
        InputError: The address is not http(s).
        RemoteError: The server cannot be reached, or has no such model.
    """

    kind, asks, languages, alphabet, takes = "server", True, None, "", "image"

    def __init__(self, url: str, model: str | None = None, key: str = "", max_tokens: int = 2048):
        self.client = remote.RemoteModel(url, model, key or None, timeout_s=SERVER_TIMEOUT_S, max_tokens=max_tokens)
        self.model = self.client.name
        self.identity = f"{self.model} at {self.client.url}"

    def answer(self, request: Request) -> Reply:
        """Answer a request. Seconds include the network."""
        began = time.perf_counter()
        assert request.image
        try:
            found = self.client.ask([request.image], request.prompt)
            reply = Reply(found.text, found.status)
        except RemoteError as error:
            reply = Reply("", "failed", str(error))
        return Reply(**(asdict(reply) | {"seconds": round(time.perf_counter() - began, 3)}))

    def close(self) -> None:
        """Do nothing."""


def open_peers(
    names: str,
    server: str | None = None,
    server_model: str | None = None,
    key: str = "",
    log: Callable[[str], Any] = print,
    max_tokens: int = 2048,
) -> tuple[dict[str, Reader], dict[str, str]]:
    """Open peers by name (`tesseract,rapidocr`) and a server. Return them, and why others are missing.

    Raises:
        ConfigError: A name is not known.
    """
    found: dict[str, Reader] = {}
    missing: dict[str, str] = {}
    wanted = list(PROGRAMS) if names == "all" else list(filter(None, names.split(",")))
    for name in wanted:
        if name not in PROGRAMS:
            raise ConfigError(f"unknown peer {name!r}; allowed: all, {', '.join(PROGRAMS)}")
    for name in wanted:
        if not PROGRAMS[name].installed():
            missing[name] = f"not installed ({PROGRAMS[name].how})"
            continue
        try:
            found[name] = Hosted(name, {})
        except InputError as error:
            missing[name] = str(error)
    for name, why in missing.items():
        log(f"{name}: missing: {why}")
    if server:
        peer = Server(server, server_model, key, max_tokens)
        found[peer.model] = peer
    return found, missing
