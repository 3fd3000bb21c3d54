"""Who reads the pages: a model of ours, Tesseract, RapidOCR, and any server that speaks OpenAI's chat protocol.

A peer that is not installed is left out with a line that says so. The local ones run in processes of their own
(`host.py`), so that seconds and memory are theirs alone; of a server neither is known, its seconds hold the network.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from .. import client
from .host import Hosted, Opened, Reply

SERVER_TIMEOUT_S = 600.0
_HEAD = 1 << 20  # bytes of a file's head and tail that go into a model's fingerprint


def open_model(name: str, device: str = "cpu", max_tokens: int = 2048, fast: bool = False) -> Opened:
    """A model of ours: one that answers (`ask.load_asker`) where its template takes images, else a reader of rows.

    fast: the reader by its head alone.
    """
    from ..reader import weights_dir

    folder = weights_dir(name)
    about = folder / "processor_config.json"
    template = json.loads(about.read_text(encoding="utf-8")).get("template") if about.is_file() else "plain"
    return _rows(name, folder, device, fast) if template == "plain" else _asker(folder, device, max_tokens)


def _rows(name: str, folder: Path, device: str, fast: bool) -> Opened:
    from ..reader import load_reader
    from ..upright import turned

    reader = load_reader(name, device, fast)
    reader.read(Image.new("L", (512, 512), "white"))  # the first call sets kernels up

    def answer(image: Image.Image, *_: str) -> Reply:
        grey = image.convert("L")
        grey = turned(grey, reader.wanted_turn(grey))  # as `vary read` does
        page = reader.read(grey, reader.wanted_scale(grey))
        sure: list[float] = []
        for line in page.lines:  # 1 for the line break after each
            sure += [*(round(c, 3) for c in line.character_confidence), 1.0]
        return Reply("\n".join(line.text for line in page.lines), page.status, page.error, sure[:-1])

    return Opened(fingerprint(folder), answer, alphabet=reader.head.lattice.alphabet)


def _asker(folder: Path, device: str, max_tokens: int) -> Opened:
    from ..ask import load_asker
    from ..prompt import TEMPLATES

    asker = load_asker(folder, device)
    asks = TEMPLATES[asker.processor.template].question

    def answer(image: Image.Image, prompt: str, _: str) -> Reply:
        found = asker.ask(image.convert("RGB"), prompt if asks else "", max_tokens=max_tokens)
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
    """`client.Server` as a peer: its address, with or without `/v1`, its model or None for the first that it lists.

    Raises ValueError for an address that is not http(s) and a server that cannot be reached or lacks the model.
    """

    kind, asks, languages, alphabet = "server", True, None, ""

    def __init__(self, url: str, model: str | None = None, key: str = "", max_tokens: int = 2048):
        self.client = client.Server(url, model, key or None, timeout_s=SERVER_TIMEOUT_S, max_tokens=max_tokens)
        self.model = self.client.name
        self.identity = f"{self.model} at {self.client.url}"

    def answer(self, image: Image.Image, prompt: str, language: str = "en") -> dict[str, Any]:
        """A `Reply` as a dict, with seconds. What the server does not answer is a page that failed."""
        began = time.perf_counter()
        try:
            text, finished = self.client.ask([image], prompt)
            reply = Reply(text, "ok" if finished else "truncated")
        except client.ServerError as error:
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
            raise ValueError(f"unknown peer {name!r}; allowed: {', '.join(PEERS)}")
        if PEERS[name]():
            found[name] = Hosted(name, {})
        else:
            log(f"{name}: not installed, left out")
    if server:
        peer = Server(server, server_model, key, max_tokens)
        found[peer.model] = peer
    return found
