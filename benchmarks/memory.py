"""Memory of one reading process over many mixed pages: `python benchmarks/memory.py [PAGES] [--cases DIR]`.

Draws a mix of files: typeset pages as PNG, JPEG and TIFF, degraded pages, tables, PDFs of several pages, pages of huge
type, sideways and dark pages, tall, wide and large images up to the largest allowed, PDFs of any page size. `--cases`
adds the PDFs and images of a folder. `vary read` reads them with one worker. The peak of every process is the kernel's
own (VmHWM), looked up four times a second. It prints the peaks at every tenth of the pages, and at the end those of
the processes by their role. Exit code 1 when one has more than --most MiB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vary.data.corpus.download import Corpus
from vary.data.corpus.text import TextSource
from vary.data.pages import glyphs
from vary.data.pages.source import PageSource
from vary.data.registry import SOURCES

SEED = 7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", type=int, nargs="?", default=500)
    parser.add_argument("--cases", type=Path, help="folder of more PDFs and images")
    parser.add_argument("--most", type=int, default=600, help="MiB that each process may take")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vary-memory-") as folder:
        files = draw_files(Path(folder), args.pages, args.cases)
        peaks = watch_reading(files, Path(folder) / "out", args.pages)
    print("\n".join(f"{role}: {mib} MiB" for role, mib in sorted(peaks.items())))
    return int(max(peaks.values()) > args.most)


def draw_files(folder: Path, pages: int, cases: Path | None) -> list[Path]:
    """Write about as many pages as asked, kinds in turn, and return the files in a drawn order."""
    rng = np.random.default_rng(SEED)
    kinds = [*_typeset(), *LARGE]
    known = sorted(p for p in cases.iterdir() if p.suffix in (".pdf", ".png", ".jpg", ".tif")) if cases else []
    files, k = list(known), 0
    while len(files) < pages:
        suffix, draw = kinds[k % len(kinds)]
        image, path = draw(k, rng), folder / f"page{k:04}{suffix}"
        image.save(path, **({"resolution": float(rng.choice([72, 150, 300, 20]))} if suffix == ".pdf" else {}))
        files.append(path)
        k += 1
    order: list[Path] = [files[n] for n in rng.permutation(len(files))]
    return order


Draw = Callable[[int, np.random.Generator], Image.Image]


def _typeset() -> list[tuple[str, Draw]]:
    texts, faces = TextSource(Corpus.english("test")), glyphs.english_faces()
    clean, worn = (PageSource(texts, faces, seed=SEED, degraded=share, text_style="natural") for share in (0.0, 1.0))
    document = SOURCES["document"]({"height": 1240, "width": 960}, SEED)

    def page(source: PageSource) -> Draw:
        return lambda k, rng: Image.fromarray(source.sample(k).image)

    def scaled(least: float, most: float) -> Draw:
        def draw(k: int, rng: np.random.Generator) -> Image.Image:
            image, by = Image.fromarray(document.sample(k).image), rng.uniform(least, most)
            return image.resize((int(image.width * by), int(image.height * by)))

        return draw

    def turned(k: int, rng: np.random.Generator) -> Image.Image:
        return Image.fromarray(document.sample(k).image).rotate(int(rng.choice([90, 180, 270])), expand=True)

    def dark(k: int, rng: np.random.Generator) -> Image.Image:
        return Image.fromarray(255 - document.sample(k).image)

    return [(".png", page(clean)), (".jpg", page(worn)), (".tif", scaled(0.5, 3)), (".pdf", scaled(1, 2)),
            (".png", turned), (".pdf", dark), (".png", scaled(1, 1)), (".pdf", page(clean))]  # fmt: skip


def _lines(size: Callable[[np.random.Generator], tuple[int, int]], px: tuple[int, int], mode: str = "L") -> Draw:
    def draw(k: int, rng: np.random.Generator) -> Image.Image:
        (width, height), em = size(rng), int(rng.integers(*px))
        image = Image.new(mode, (width, height), "white")
        pen, font = ImageDraw.Draw(image), ImageFont.load_default(em)
        words = ["the", "ferry", "leaves", "pier", "at", "nine", "and", "carries", "eleven", "crates", "of", "apples"]
        for y in range(em, height - 2 * em, max(2 * em, height // 150)):
            for x in range(em, max(em + 1, width - 20 * em), 40 * em):
                pen.text((x, y), " ".join(rng.choice(words, 5)), "black", font)
        return image

    return draw


LARGE: list[tuple[str, Draw]] = [
    (".png", _lines(lambda rng: (int(rng.integers(600, 1000)), int(rng.integers(8_000, 40_000))), (18, 26))),
    (".jpg", _lines(lambda rng: (int(rng.integers(4000, 8800)), int(rng.integers(4000, 9000))), (60, 160), "RGB")),
    (".png", _lines(lambda rng: (int(rng.integers(20_000, 60_000)), 600), (18, 26))),
    (".png", _lines(lambda rng: (1600, 900), (100, 200))),
]


def watch_reading(files: list[Path], out: Path, pages: int) -> dict[str, int]:
    """Read files and return the peak of each role: `main`, `worker` reads, `pdf` draws PDFs."""
    command = [sys.executable, "-m", "vary.cli", "read", *map(str, files), "-o", str(out), "--workers", "1"]
    began, peaks, shown = time.monotonic(), dict[str, int](), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as reading:
        while reading.poll() is None:
            for pid in _family(reading.pid):
                role, mib = _peak(pid, reading.pid)
                peaks[role] = max(peaks.get(role, 0), mib)
            ended = _count(out)
            if ended >= shown + max(1, pages // 10):
                shown = ended
                print(f"{ended} pages, {time.monotonic() - began:.0f} s: {peaks}", flush=True)
            time.sleep(0.25)
    print(f"{_count(out)} pages, exit code {reading.returncode}, {time.monotonic() - began:.0f} s")
    return peaks


def _count(out: Path) -> int:
    ledger = out / "run.jsonl"
    return sum('"page"' in line for line in ledger.read_text().splitlines()) if ledger.exists() else 0


def _family(pid: int) -> list[int]:
    """Return a process and all that it started, on Linux."""
    found, waiting = [], [pid]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += map(int, task.read_text().split())
            except OSError:  # it has ended
                continue
    return found


def _peak(pid: int, root: int) -> tuple[str, int]:
    """Return the role of a process and its peak of resident memory in MiB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return "main", 0
    peak = next((int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmHWM")), 0)
    return ("main" if pid == root else "pdf" if "io.pdf" in command else "worker"), peak


if __name__ == "__main__":
    sys.exit(main())
