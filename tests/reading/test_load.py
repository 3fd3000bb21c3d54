"""What is read does not depend on load: a slow worker gives the same bytes, or ends the page and keeps what it read."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.reading.test_scales import BODY, draw
from vary.document.elements import Page
from vary.reading import network
from vary.reading.loader import load_reader
from vary.reading.reader import Reader
from vary.reading.runs.batch import read_all
from vary.reading.runs.spec import ReaderSpec

LIMIT_S = 1000.0
ROWS = [
    ("Item", "Weight", "Price"),
    ("Hammer", "12 kg", "14.50"),
    ("Chisel", "30 kg", "9.25"),
    ("Plane", "21 kg", "48.00"),
]


class SlowEngine:
    """An engine each of whose calls takes some seconds on the clock of its process, and none of the test's time."""

    def __init__(self, engine, seconds: float):
        self.engine, self.stride, self.seconds, self.now = engine, engine.stride, seconds, 0.0
        time.process_time = lambda: self.now

    def features(self, pixels: np.ndarray) -> np.ndarray:
        self.now += self.seconds
        return self.engine.features(pixels)


def open_slow(spec: ReaderSpec) -> Reader:
    """Open the reader of a worker that reads in small tiles. The device is the time of one call in seconds."""
    network.TILE_PIXELS, network.TILE_PX = 150_000, 320
    reader = load_reader("vary-nano")
    reader.network.engine = SlowEngine(reader.network.engine, float(spec.device))
    return reader


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    """A table in landscape that lies on its side, and a page of prose. Each is read in several tiles."""
    cells = [(text, 40 + 180 * c, 30 + 50 * r, 18) for r, row in enumerate(ROWS) for c, text in enumerate(row)]
    table = draw((560, 420), *cells, *((line, 40, 270 + 40 * k, 18) for k, line in enumerate(BODY)))
    prose = draw((320, 480), *((BODY[k % 3], 5, 20 + 30 * k, 16) for k in range(15)))
    path = tmp_path_factory.mktemp("load") / "pages.tif"
    table.transpose(Image.Transpose.ROTATE_90).save(path, save_all=True, append_images=[prose])
    return path


def read(pages: Path, out: Path, seconds: float) -> tuple[bytes, list[dict]]:
    """The Markdown of a run whose calls take some seconds, and the ledger's entries of its pages."""
    entries: list[dict] = []
    read_all(
        [pages], out, ["md", "json"], device=str(seconds), factory="tests.reading.test_load:open_slow", workers=1,
        timeout_s=LIMIT_S, on_page=entries.append,
    )  # fmt: skip
    return (out / "pages.md").read_bytes(), entries


@pytest.fixture(scope="module")
def usual(pages, tmp_path_factory) -> bytes:
    """The Markdown of a worker that is not slow."""
    markdown, entries = read(pages, tmp_path_factory.mktemp("usual"), 0.0)
    assert [(entry["status"], entry["attempts"]) for entry in entries] == [("ok", 1)] * 2
    assert all(text.encode() in markdown for text in ("Chisel", "48.00", *BODY))
    return markdown


@pytest.mark.slow  # 6 s: two whole pages again; test_batch.py reads real pages with one worker and several
def test_a_slow_worker_gives_the_same_bytes(pages, usual, tmp_path) -> None:
    slow, entries = read(pages, tmp_path, LIMIT_S / 50)
    assert [(entry["status"], entry["attempts"]) for entry in entries] == [("ok", 1)] * 2
    assert slow == usual


def test_a_page_that_takes_too_long_keeps_what_was_read_and_is_not_read_again(pages, usual, tmp_path) -> None:
    _, entries = read(pages, tmp_path, LIMIT_S)
    assert [(entry["status"], entry["attempts"]) for entry in entries] == [("timeout", 1)] * 2
    found = [Page.from_dict(page) for page in json.loads((tmp_path / "pages.json").read_text())["pages"]]
    assert found[0].rotation in (90, 270)
    assert all(page.lines for page in found)
    kept = [line.text for line in found[1].lines]
    assert len(kept) < 15
    assert all(text.encode() in usual for text in kept[:-1])  # the last one may lie across the edge of a tile
