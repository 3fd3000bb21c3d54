"""A reader that does what a page's grey says. Workers of the tests import it, so it imports little."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from tests.readers import UprightReader
from vary.document.elements import Block, Line, Page
from vary.reading.runs.spec import ReaderSpec

FACTORY = "tests.reading.scripted:open_scripted"


class Scripted(UprightReader):
    """Does what the page's grey says: GREY and 10 times the place in DEEDS. Keeps what it did in a file."""

    name = "scripted"

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        deed = DEEDS[round((image.getpixel((20, 20)) - GREY) / 10)]
        with (self.folder / "log").open("a") as log:
            log.write(deed + "\n")
        healed = (self.folder / "healed").exists()
        if deed == "crash" and not healed:
            os.abort()
        if deed == "hang" and not healed:
            while True:
                pass
        if deed == "raise" and not healed:
            raise ValueError("the ink has run")
        status = "ok" if healed or deed not in ("truncated", "repetition") else deed
        box = (0.0, 0.0, 10.0, 10.0)
        doubted = {"characters": [box] * 9, "character_confidence": [0.67] * 9} if deed == "doubt" else {}
        return Page(1, status, *image.size, blocks=[Block([Line(f"{deed} <b>", box, 0.5, **doubted)], box)])


GREY = 120  # dark pages are inverted before they are read
DEEDS = ("ok", "blank", "crash", "hang", "raise", "truncated", "repetition", "doubt")


def open_scripted(spec: ReaderSpec) -> Scripted:
    """Open the reader of a worker; the model is a folder."""
    if spec.model == "none":
        raise ValueError("no model")
    return Scripted(spec.model)


def tiff(path: Path, *deeds: str) -> Path:
    frames = []
    for deed in deeds:
        frame = Image.new("L", (40, 30), GREY + 10 * DEEDS.index(deed))
        if deed != "blank":
            frame.paste(255, (0, 0, 10, 10))
        frames.append(frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path
