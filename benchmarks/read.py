"""Pages a minute and memory of reading, first page to last: `python benchmarks/read.py FILE [--pages 1-100]`.

Reads FILE into a folder that is thrown away, as `vary read FILE -o DIR --to md` does, once for each of --workers, and
the same pages through --peers: `ocrmypdf`, `tesseract` (rendered at 300 dpi by PDFium, one process per core) or
`rapidocr` (at 150 dpi, one process with its own threads). Every run prints pages by status, seconds with all loading,
pages a minute, and the largest sum of the resident memory of all its processes, after 50 pages and over all (pages
shared between processes count in each).
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PEER_DPI, RAPID_DPI = 300, 150


class Memory:
    """Watches the resident memory of this process and all that it started; `mib` holds one sum per 0.2 s."""

    def __init__(self) -> None:
        self.mib: list[float] = []
        self.stop = threading.Event()
        self.watch = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self.watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.watch.join()

    def _watch(self) -> None:
        while not self.stop.wait(0.2):
            self.mib.append(family_mib())


def family_mib() -> float:
    """Resident memory of this process and all that it started."""
    parents, resident = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            facts = entry.joinpath("stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)], resident[int(entry.name)] = int(facts[1]), int(facts[21])
    total, waiting = 0, [os.getpid()]
    while waiting:
        one = waiting.pop()
        total += resident.get(one, 0)
        waiting += [child for child, parent in parents.items() if parent == one]
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20


def report(name: str, count: int, seconds: float, memory: Memory, note: str) -> None:
    print(f"{name}: {note}; {seconds:.1f} s, {60 * count / seconds:.1f} pages/min, peak {max(memory.mib):.0f} MiB")


def vary(file: str, pages: str | None, model: str, workers: int) -> None:
    from vary.reading.runs.batch import read_all

    early: list[float] = []
    ends: list[float] = []

    def ended(line: dict) -> None:
        ends.append(time.perf_counter())
        if len(ends) == 50:
            early.append(max(memory.mib))

    with tempfile.TemporaryDirectory() as out, Memory() as memory:
        began = time.perf_counter()
        summary = read_all([file], out, ["md"], model=model, pages=pages, workers=workers, on_page=ended)
        seconds = time.perf_counter() - began
    after_50 = f", after 50 pages {early[0]:.0f} MiB" if early else ""
    note = f"{summary}, first after {ends[0] - began:.1f} s{after_50}"
    report(f"vary, {workers} workers", len(ends), seconds, memory, note)


def tesseract(file: str, pages: str | None) -> None:
    from vary.io.source import Source

    def read(number: int) -> int:
        path = Path(folder) / f"{number}.png"
        with lock:
            source.image(number, PEER_DPI)[0].save(path)
        environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
        return subprocess.run(["tesseract", path, "-"], capture_output=True, env=environment, check=False).returncode

    lock = threading.Lock()
    with tempfile.TemporaryDirectory() as folder, Source(file) as source, Memory() as memory:
        began, numbers = time.perf_counter(), source.numbers(pages)
        with ThreadPoolExecutor(os.cpu_count()) as crew:
            failed = sum(code != 0 for code in crew.map(read, numbers))
        seconds = time.perf_counter() - began
    report("tesseract", len(numbers), seconds, memory, f"{len(numbers)} pages, {failed} failed")


def ocrmypdf(file: str, pages: str | None) -> None:
    from vary.io.source import Source

    with Source(file) as source:
        numbers = source.numbers(pages)
    command = ["ocrmypdf", "--force-ocr", "--output-type", "pdf", "--quiet", "--pages", ",".join(map(str, numbers))]
    with tempfile.TemporaryDirectory() as folder, Memory() as memory:
        began = time.perf_counter()
        code = subprocess.run([*command, file, Path(folder) / "out.pdf"], check=False).returncode
        seconds = time.perf_counter() - began
    report("ocrmypdf", len(numbers), seconds, memory, f"{len(numbers)} pages, exit code {code}")


def rapidocr(file: str, pages: str | None) -> None:
    from vary.evaluate.programs import open_rapidocr
    from vary.evaluate.reader import Request
    from vary.io.source import Source

    logging.disable(logging.INFO)  # it says where its models are
    with Source(file) as source, Memory() as memory:
        began, numbers = time.perf_counter(), source.numbers(pages)
        answer = open_rapidocr().answer
        failed = sum(answer(Request(source.image(number, RAPID_DPI)[0])).status != "ok" for number in numbers)
        seconds = time.perf_counter() - began
    report("rapidocr", len(numbers), seconds, memory, f"{len(numbers)} pages, {failed} failed")


PEERS = {"tesseract": tesseract, "ocrmypdf": ocrmypdf, "rapidocr": rapidocr}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--pages")
    parser.add_argument("--model", default="vary-nano")
    parser.add_argument("--workers", default="1,2", help="numbers of processes, one run each (default: 1,2)")
    parser.add_argument("--peers", default="", help="of: " + ", ".join(PEERS))
    arguments = parser.parse_args()
    for workers in filter(None, arguments.workers.split(",")):
        vary(arguments.file, arguments.pages, arguments.model, int(workers))
    for peer in filter(None, arguments.peers.split(",")):
        PEERS[peer](arguments.file, arguments.pages)


if __name__ == "__main__":
    main()
