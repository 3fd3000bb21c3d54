"""Open a model of ours as a reader: one that reads lines, or one that answers questions."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from ..document.elements import ITEM, Block, Document, Page
from ..document.formats.writers import WRITERS
from ..document.orientation import straighten
from ..io.box import Box, union
from ..markup.prompts import TEMPLATES
from ..models.hub import read_config, weights_dir
from ..reading.loader import load_reader
from ..reading.pages import read_document
from .reader import Opened, Reply, Request

WHOLE = 64 << 20  # bytes of a file that go into a fingerprint; of a larger file its start and its end, as many together


def open_model(
    name: str, device: str = "cpu", max_tokens: int = 2048, decoder: bool = False, pixels: bool = False
) -> Opened:
    """Open a model by name or folder. Its template says whether it answers questions or reads lines.

    decoder: rescore uncertain spans with the decoder. pixels: read pixels alone, without the text layers of PDFs.
    """
    folder = weights_dir(name)
    name_of_about = "processor_config.json"
    about = read_config(folder, name_of_about) if (folder / name_of_about).is_file() else {}
    if about.get("template", "plain") == "plain":
        return _page_reader(name, folder, device, decoder, pixels)
    return _chat(folder, device, max_tokens)


def _page_reader(name: str, folder: Path, device: str, decoder: bool, pixels: bool) -> Opened:
    reader = load_reader(name, device, decoder, pixels=pixels)
    reader.read(Image.new("L", (512, 512), "white"))  # the first call sets up kernels

    def answer(request: Request) -> Reply:
        if request.form != "text":
            return _read_document(reader, request)
        assert request.image
        grey = request.image.convert("L")
        grey = straighten(grey, reader.find_orientation(grey))  # as `vary read` does
        page = reader.read(grey, reader.wanted_scale(grey))
        sure: list[float] = []
        for line in page.lines:  # 1 for the line break after each
            sure += [*(round(c, 3) for c in line.character_confidence), 1.0]
        return Reply("\n".join(line.text for line in page.lines), page.status, page.error, sure[:-1])

    return Opened(fingerprint(folder), answer, alphabet=reader.network.frame_grid.alphabet, takes="both")


def _read_document(reader: Any, request: Request) -> Reply:
    """Read a page with its structure, as `vary read` does. For the form `layout`, return its blocks as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = request.pdf or Path(folder) / "page.png"
        if request.pdf is None and request.image is not None:
            request.image.save(path, dpi=(150, 150))
        document = read_document(path, reader)
    page = document.pages[0]
    if request.form == "layout":
        return Reply(json.dumps(_blocks(page)), page.status, page.error)
    return Reply(_markdown(document), page.status, page.error)


def _markdown(document: Document) -> str:
    return "".join(WRITERS["md"](document.source, document.model, iter(document.pages)))


def _blocks(page: Page) -> list[dict[str, Any]]:
    """Return the blocks of a page with boxes as shares of its width and height; each item of a list is one."""
    size = (page.width or 1, page.height or 1) * 2
    boxes = [(block.kind, box) for block in page.blocks for box in (_items(block) or [block.box])]
    return [{"kind": kind, "box": [v / s for v, s in zip(box, size, strict=True)]} for kind, box in boxes]


def _items(block: Block) -> list[Box]:
    """Return the boxes of the items of a list; none for other blocks."""
    items: list[list[Box]] = []
    for line in block.lines if block.kind == "list" else []:
        if not items or ITEM.match(line.text):
            items.append([])
        items[-1].append(line.box)
    return [union(boxes) for boxes in items]


def _chat(folder: Path, device: str, max_tokens: int) -> Opened:
    from ..models.generate.chat import load_chat_model  # needs PyTorch; models that read lines do not

    chat = load_chat_model(folder, device)
    asks = TEMPLATES[chat.processor.template].question

    def answer(request: Request) -> Reply:
        assert request.image
        found = chat.ask(request.image.convert("RGB"), request.prompt if asks else "", max_tokens=max_tokens)
        return Reply(found.text, found.status)

    return Opened(fingerprint(folder), answer, asks)


def fingerprint(folder: Path) -> str:
    """Identify a model by 12 digits: a hash of all files in and below its folder but texts for people (`.md`).

    That includes tokenizers and chat templates, whose formats have many endings.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".md"):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(WHOLE // 2))
            file.seek(max(file.tell(), size - WHOLE // 2))
            digest.update(file.read())
    return f"weights {digest.hexdigest()[:12]}"
