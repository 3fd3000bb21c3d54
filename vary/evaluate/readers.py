"""Who reads the pages: a model of ours, Tesseract, RapidOCR, and any server that speaks OpenAI's chat protocol.

A peer that is not installed is left out with a line that says so. The local ones run in processes of their own
(`host.py`), so that seconds and memory are theirs alone; of a server neither is known, its seconds hold the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from ..io.errors import ConfigError, InputError, RemoteError, VaryError
from ..reading import remote as client

SERVER_TIMEOUT_S = 600.0
_HEAD = 1 << 20  # bytes of a file's head and tail that go into a model's fingerprint


def open_model(name: str, device: str = "cpu", max_tokens: int = 2048, decoder: bool = False) -> Opened:
    """Open a model of ours: a `ChatModel` where its template takes images, else a reader of rows.

    decoder: the reader rescores uncertain spans with its decoder.
    """
    from ..models.hub import weights_dir

    folder = weights_dir(name)
    about = folder / "processor_config.json"
    template = json.loads(about.read_text(encoding="utf-8")).get("template") if about.is_file() else "plain"
    return _rows(name, folder, device, decoder) if template == "plain" else _chat_model(folder, device, max_tokens)


def _rows(name: str, folder: Path, device: str, decoder: bool) -> Opened:
    from ..document.orientation import straighten
    from ..reading.loader import load_reader

    reader = load_reader(name, device, decoder)
    reader.read(Image.new("L", (512, 512), "white"))  # the first call sets kernels up

    def answer(image: Image.Image, *_: str) -> Reply:
        grey = image.convert("L")
        grey = straighten(grey, reader.find_orientation(grey))  # as `vary read` does
        page = reader.read(grey, reader.wanted_scale(grey))
        sure: list[float] = []
        for line in page.lines:  # 1 for the line break after each
            sure += [*(round(c, 3) for c in line.character_confidence), 1.0]
        return Reply("\n".join(line.text for line in page.lines), page.status, page.error, sure[:-1])

    return Opened(fingerprint(folder), answer, alphabet=reader.network.frame_grid.alphabet)


def _chat_model(folder: Path, device: str, max_tokens: int) -> Opened:
    from ..markup.prompts import TEMPLATES
    from ..models.chat import load_chat_model

    chat_model = load_chat_model(folder, device)
    asks = TEMPLATES[chat_model.processor.template].question

    def answer(image: Image.Image, prompt: str, _: str) -> Reply:
        found = chat_model.ask(image.convert("RGB"), prompt if asks else "", max_tokens=max_tokens)
        return Reply(found.text, "repetition" if found.repeated else "ok" if found.finished else "truncated")

    return Opened(fingerprint(folder), answer, asks)


def fingerprint(folder: Path) -> str:
    """Which weights these are: 12 digits from names, sizes, first and last MiB of the files of a model's folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_HEAD))
            file.seek(max(0, size - _HEAD))
            digest.update(file.read(_HEAD))
    return f"weights {digest.hexdigest()[:12]}"


def open_tesseract() -> Opened:
    """Tesseract's command, one thread (with more it is slower on small machines); Chinese where its data is there."""
    about = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True).stdout
    known = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=True).stdout.split()
    chinese = "chi_sim" in known

    def answer(image: Image.Image, _: str, language: str) -> Reply:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.png"
            image.save(path, dpi=(150, 150))
            command = ["tesseract", str(path), "-", "-l", "chi_sim+eng" if language == "zh" else "eng"]
            one = {**os.environ, "OMP_THREAD_LIMIT": "1"}
            return Reply(subprocess.run(command, capture_output=True, check=True, text=True, env=one).stdout)

    return Opened(about.splitlines()[0], answer, languages=("en", "zh") if chinese else ("en",))


def open_rapidocr() -> Opened:
    """RapidOCR with the models in its wheel, which read English and Chinese. Its lines come in its own order."""
    import numpy as np
    from rapidocr import RapidOCR

    engine = RapidOCR()

    def answer(image: Image.Image, *_: str) -> Reply:
        found = engine(np.asarray(image.convert("RGB")))
        return Reply("\n".join(getattr(found, "txts", None) or ()))

    return Opened(f"rapidocr {importlib.metadata.version('rapidocr')}", answer, languages=("en", "zh"))


OPENERS: dict[str, Callable[..., Opened]] = {
    "model": open_model,
    "tesseract": open_tesseract,
    "rapidocr": open_rapidocr,
}
PEERS: dict[str, Callable[[], bool]] = {
    "tesseract": lambda: shutil.which("tesseract") is not None,
    "rapidocr": lambda: importlib.util.find_spec("rapidocr") is not None,
}


class Server:
    """`RemoteModel` as a peer: its address, with or without `/v1`, its model or None for the first that it lists.

    Raises ValueError for an address that is not http(s) and a server that cannot be reached or lacks the model.
    """

    kind, asks, languages, alphabet = "server", True, None, ""

    def __init__(self, url: str, model: str | None = None, key: str = "", max_tokens: int = 2048):
        self.client = client.RemoteModel(url, model, key or None, timeout_s=SERVER_TIMEOUT_S, max_tokens=max_tokens)
        self.model = self.client.name
        self.identity = f"{self.model} at {self.client.url}"

    def answer(self, image: Image.Image, prompt: str, language: str = "en") -> dict[str, Any]:
        """A `Reply` as a dict, with seconds. What the server does not answer is a page that failed."""
        began = time.perf_counter()
        try:
            text, finished = self.client.ask([image], prompt)
            reply = Reply(text, "ok" if finished else "truncated")
        except RemoteError as error:
            reply = Reply("", "failed", str(error))
        return asdict(reply) | {"seconds": round(time.perf_counter() - began, 3)}

    def close(self) -> None:
        """Nothing to end."""


def open_peers(
    names: str, server: str | None = None, server_model: str | None = None, key: str = "",
    log: Callable[[str], Any] = print, max_tokens: int = 2048,
) -> dict[str, Hosted | Server]:  # fmt: skip
    """Peers by name (`tesseract,rapidocr`) and the server. Raises ValueError for a name that is none."""
    found: dict[str, Hosted | Server] = {}
    for name in filter(None, names.split(",")):
        if name not in PEERS:
            raise ConfigError(f"unknown peer {name!r}; allowed: {', '.join(PEERS)}")
        if PEERS[name]():
            found[name] = Hosted(name, {})
        else:
            log(f"{name}: not installed, left out")
    if server:
        peer = Server(server, server_model, key, max_tokens)
        found[peer.model] = peer
    return found


CHILD = "import sys; sys.path[:] = sys.argv[1:]; from vary.evaluate.readers import serve; serve()"


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
            raise InputError(f"the process of {self.kind} died at its start, exit status {self.close()}") from None
        if "refused" in about:
            self.close()
            raise InputError(about["refused"])
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
    opening = json.loads(requests.readline())
    try:
        opened = OPENERS[opening["kind"]](**opening["settings"])
    except (VaryError, ValueError, OSError, RuntimeError, ImportError) as error:
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
