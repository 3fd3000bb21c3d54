"""Time, processor time and memory of reading: `python benchmarks/read.py FILE... [--pages 1-100]`.

Reads the files into a folder that is thrown away, as `vary read FILE... -o DIR --to md` does, once for each of
--workers, and the same pages through --peers: `ocrmypdf`, `tesseract` (rendered at 300 dpi by PDFium, one thread each,
as many processes as the first of --workers) or `rapidocr` (at 150 dpi, one process with its own threads). --rounds
repeats all of it, so that readers take turns. Every run prints pages by status, seconds with all loading, pages a
minute, seconds of processor time of all processes, and the largest sum of their resident memory, after 50 pages and
over all (pages shared between processes count in each). --trace prints that sum at every tenth of the run.
--documents adds pages of the task `documents`: invoices, tables, columns, slides, scans. --first prints how long the
command line takes from its start to the end of the first page.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PEER_DPI, RAPID_DPI = 300, 150


class Usage:
    """Watch this process and all that it started. mib: the sum of their memory, once per 0.1 s; cpu: their seconds."""

    def __init__(self) -> None:
        self.mib: list[float] = []
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._run, daemon=True)
        self._spent: dict[int, float] = {}
        self._own = 0.0  # of the watch
        self._began = self._waited_for()

    def __enter__(self) -> Usage:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()
        self._after = self._waited_for()

    @property
    def cpu(self) -> float:
        """Return the CPU seconds of this process and of its children, ended ones included."""
        own, waited = (after - before for after, before in zip(self._after, self._began, strict=True))
        seen = sum(seconds for pid, seconds in self._spent.items() if pid != os.getpid())
        return own - self._own + max(seen, waited)

    @staticmethod
    def _waited_for() -> tuple[float, float]:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return used[0].ru_utime + used[0].ru_stime, used[1].ru_utime + used[1].ru_stime

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            found = family()
            self.mib.append(sum(mib for mib, _ in found.values()))
            self._spent |= {pid: seconds for pid, (_, seconds) in found.items()}
            self._own = time.thread_time()


def family() -> dict[int, tuple[float, float]]:
    """Return resident memory, in MiB, and seconds of processor time of this process and of all that it started."""
    parents, used = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            facts = entry.joinpath("stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = int(facts[11]) + int(facts[12])
        mib = int(facts[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        parents[int(entry.name)], used[int(entry.name)] = int(facts[1]), (mib, ticks / os.sysconf("SC_CLK_TCK"))
    found, waiting = {}, [os.getpid()]
    while waiting:
        one = waiting.pop()
        found[one] = used.get(one, (0.0, 0.0))
        waiting += [child for child, parent in parents.items() if parent == one]
    return found


def family_mib() -> float:
    """Return the resident memory of this process and of all that it started."""
    return sum(mib for mib, _ in family().values())


def report(name: str, count: int, seconds: float, usage: Usage, note: str) -> None:
    """Print the result of a run."""
    rate, peak = 60 * count / seconds, max(usage.mib)
    print(
        f"{name}: {note}; {seconds:.1f} s, {rate:.1f} pages/min, {usage.cpu:.1f} CPU-s, peak {peak:.0f} MiB", flush=True
    )


def vary(files: Sequence[str], pages: str | None, model: str, workers: int, pixels: bool, trace: bool) -> None:
    """Read files as `vary read` does."""
    from vary.reading.runs.batch import read_all

    early: list[float] = []
    ends: list[float] = []

    def ended(line: dict) -> None:
        ends.append(time.perf_counter())
        if len(ends) == 50:
            early.append(max(usage.mib))

    with tempfile.TemporaryDirectory() as out, Usage() as usage:
        began = time.perf_counter()
        summary = read_all(files, out, ["md"], model=model, pages=pages, workers=workers, pixels=pixels, on_page=ended)
        seconds = time.perf_counter() - began
    after_50 = f", after 50 pages {early[0]:.0f} MiB" if early else ""
    note = f"{summary}, first after {ends[0] - began:.1f} s{after_50}"
    report(f"vary{' --pixels' if pixels else ''}, {workers} workers", len(ends), seconds, usage, note)
    if trace:
        tenths = [usage.mib[k * (len(usage.mib) - 1) // 10] for k in range(11)]
        print("  MiB at each tenth of the run:", *(f"{mib:.0f}" for mib in tenths))


def tesseract(files: Sequence[str], pages: str | None, processes: int) -> None:
    """Read files with Tesseract, one thread each."""
    from vary.io.source import Source

    def read(number: int) -> int:
        path = Path(folder) / f"{number}.ppm"
        with lock:
            source.image(number, PEER_DPI)[0].save(path)
        environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
        return subprocess.run(["tesseract", path, "-"], capture_output=True, env=environment, check=False).returncode

    lock, count, failed = threading.Lock(), 0, 0
    with tempfile.TemporaryDirectory() as folder, Usage() as usage:
        began = time.perf_counter()
        for file in files:
            with Source(file) as source, ThreadPoolExecutor(processes) as crew:
                codes = list(crew.map(read, source.numbers(pages)))
            count, failed = count + len(codes), failed + sum(code != 0 for code in codes)
        seconds = time.perf_counter() - began
    report(f"tesseract, {processes} processes", count, seconds, usage, f"{count} pages, {failed} failed")


def ocrmypdf(files: Sequence[str], pages: str | None, processes: int) -> None:
    """Read PDFs with OCRmyPDF."""
    from vary.io.source import Source

    command = ["ocrmypdf", "--force-ocr", "--output-type", "pdf", "--quiet", "--jobs", str(processes)]
    count, codes = 0, []
    with tempfile.TemporaryDirectory() as folder, Usage() as usage:
        began = time.perf_counter()
        for file in files:
            with Source(file) as source:
                numbers = source.numbers(pages)
            count += len(numbers)
            chosen = ["--pages", ",".join(map(str, numbers))]
            codes.append(subprocess.run([*command, *chosen, file, Path(folder) / "out.pdf"], check=False).returncode)
        seconds = time.perf_counter() - began
    report("ocrmypdf", count, seconds, usage, f"{count} pages, exit codes {sorted(set(codes))}")


def rapidocr(files: Sequence[str], pages: str | None, processes: int) -> None:
    """Read files with RapidOCR, in this process."""
    from vary.evaluate.programs import open_rapidocr
    from vary.evaluate.reader import Request
    from vary.io.source import Source

    logging.disable(logging.INFO)  # it says where its models are
    count = failed = 0
    with Usage() as usage:
        began = time.perf_counter()
        answer = open_rapidocr().answer
        for file in files:
            with Source(file) as source:
                for number in source.numbers(pages):
                    count += 1
                    failed += answer(Request(source.image(number, RAPID_DPI)[0])).status != "ok"
        seconds = time.perf_counter() - began
    report("rapidocr", count, seconds, usage, f"{count} pages, {failed} failed")


def first_page(file: str, runs: int = 7) -> None:
    """Print the median time of `vary read FILE --pages 1 --to md`, from the start of the process to its end."""
    command = [sys.executable, "-m", "vary.cli", "read", file, "--pages", "1", "--to", "md", "-q"]
    seconds = []
    with Usage() as usage:
        for _ in range(runs):
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.perf_counter() - began)
    name = Path(file).name
    print(f"first page of {name}: {statistics.median(seconds):.2f} s, {usage.cpu / runs:.2f} CPU-s", flush=True)


def write_documents(count: int, folder: Path) -> list[str]:
    """Write pages of the task `documents` as PDFs, those without a text layer as PNGs; returns their paths."""
    from vary.evaluate.documents import examples

    for example in examples(None, count):
        path = folder / example.name
        if example.pdf:
            path.with_suffix(".pdf").write_bytes(example.pdf())
        else:
            example.open().save(path.with_suffix(".png"))
    return sorted(map(str, folder.iterdir()))


PEERS = {"tesseract": tesseract, "ocrmypdf": ocrmypdf, "rapidocr": rapidocr}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--pages")
    parser.add_argument("--model", default="vary-nano")
    parser.add_argument("--workers", default="1,2", help="numbers of processes, one run each (default: 1,2)")
    parser.add_argument("--peers", default="", help="of: " + ", ".join(PEERS))
    parser.add_argument("--pixels", action="store_true", help="also a run without text layers")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="memory over time")
    parser.add_argument("--documents", type=int, default=0, metavar="N", help="also N pages of the task `documents`")
    parser.add_argument("--first", action="store_true", help="only the time to the first page of each file")
    arguments = parser.parse_args()
    workers = [int(count) for count in arguments.workers.split(",") if count]
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files + (write_documents(arguments.documents, Path(folder)) if arguments.documents else [])
        for file in files if arguments.first else []:
            first_page(file)
        for _ in range(0 if arguments.first else arguments.rounds):
            for count in workers:
                for pixels in [False, True] if arguments.pixels else [False]:
                    vary(files, arguments.pages, arguments.model, count, pixels, arguments.trace)
            for peer in filter(None, arguments.peers.split(",")):
                PEERS[peer](files, arguments.pages, workers[0] if workers else os.cpu_count() or 1)


if __name__ == "__main__":
    main()
