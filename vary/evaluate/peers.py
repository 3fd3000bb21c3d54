"""Other readers on the same page images: Tesseract and RapidOCR, each only when it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

ReadImage = Callable[[Image.Image], str]


def tesseract() -> ReadImage | None:
    """Tesseract's command, one thread (with more it is slower on small machines); None when it is not installed."""
    if not shutil.which("tesseract"):
        return None

    def read(image: Image.Image) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.png"
            image.save(path, dpi=(150, 150))
            command = ["tesseract", str(path), "-", "-l", "eng"]
            done = subprocess.run(
                command, capture_output=True, check=True, text=True, env={**os.environ, "OMP_THREAD_LIMIT": "1"}
            )
        return done.stdout

    return read


def rapidocr() -> ReadImage | None:
    """RapidOCR with the models in its wheel; None when it is not installed. Its lines come in its own order."""
    try:
        from rapidocr import RapidOCR
    except ImportError:
        return None
    engine = RapidOCR()

    def read(image: Image.Image) -> str:
        import numpy as np

        found = engine(np.asarray(image.convert("RGB")))
        return "\n".join(getattr(found, "txts", None) or ())

    return read


PEERS: dict[str, Callable[[], ReadImage | None]] = {"tesseract": tesseract, "rapidocr": rapidocr}
