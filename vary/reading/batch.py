"""A run: many files into an output folder, every page in exactly one of STATUSES, the same command goes on.

`run.jsonl` in the folder is the ledger. Each page that ended is stored (`.pages/`, written aside, synced, renamed) and
then entered in the ledger by a line with file, sha256, page and settings, synced too; what is not in the ledger has not
happened. Pages that ended `ok` or `blank` under the same sha256, page and settings are not read again: a run that was
killed, or lost pages, goes on when it is started again, another form is written from what is stored. A document's files
are written aside and renamed when its last page has ended.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..document.elements import LOST, SCHEMA, STATUSES, Page
from ..document.overlay import crop_block, draw_overlay
from ..document.running_heads import mark_running_heads
from ..document.searchable_pdf import SearchablePdf
from ..document.writers import SUFFIXES, WRITERS
from ..io.errors import ConfigError, InputError
from ..io.files import atomic_write, lock_folder, sha256
from ..io.pdf import PAGE_TIMEOUT_S
from ..io.source import MAX_PAGES, FoundFile, Source, find_files
from .pages import LADDER
from .remote import load_server
from .workers import Cluster, Crew, Outcome

LOAD, LOAD_FAST, LOAD_SERVER = "vary.reading.api:load", "vary.reading.api:load_fast", "vary.reading.remote:load_server"
PICTURE_DPI = 150.0  # of searchable PDFs, overlays and figures
MAX_NAME = 180  # bytes of a file's name, without what is put behind it
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # names of devices on Windows
Line = dict[str, Any]
Key = tuple[str, int, str]


@dataclass
class Summary:
    """How a run ended. pages: how many ended in each status. read: pages read now; the others had been read before.

    files: given; unreadable: those of them that could not be opened, and why.
    """

    pages: Counter[str] = field(default_factory=Counter)
    read: int = 0
    files: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all pages read, 2 some lost, 3 nothing read."""
        lost = len(self.unreadable) + sum(self.pages[status] for status in LOST)
        return 0 if not lost else 2 if any(self.pages[status] for status in ("ok", "blank")) else 3

    def __str__(self) -> str:
        counts = ", ".join(f"{self.pages[status]} {status}" for status in STATUSES if self.pages[status])
        closed = f"; {len(self.unreadable)} of {self.files} files could not be opened" if self.unreadable else ""
        return f"{sum(self.pages.values())} pages ({counts or 'none'}), {self.read} read now{closed}"


class Ledger:
    """`run.jsonl`: lines of what has ended; a line that a crash cut short does not count."""

    def __init__(self, folder: Path):
        self.path = folder / "run.jsonl"
        self.pages: dict[Key, Line] = {}
        self.written: dict[str, Line] = {}  # by the document's name
        self.file: BinaryIO = self.path.open("a+b")
        self.file.seek(0)
        last = b"\n"
        for last in self.file:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._know(json.loads(last))
        if not last.endswith(b"\n"):
            self.file.write(b"\n")

    def _know(self, line: Line) -> None:
        if "written" in line:
            self.written[line["name"]] = line
        elif line["page"] is not None:
            self.pages[line["sha256"], line["page"], line["settings"]] = line

    def enter(self, line: Line) -> None:
        """Add a line; when this returns it is on the disk."""
        self.file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self._know(line)


@dataclass
class _Job:
    """A file of the run: what is read of it and the name, relative to the output folder, of what is written."""

    path: Path
    name: str
    sha256: str
    numbers: list[int]
    error: str | None = None  # why the file could not be opened
    pages: Iterable[Page] = ()  # once all are read: with headers and footers marked


class _Run:
    """The pieces that all steps of a run need."""

    def __init__(self, out: Path, forms: Sequence[str], model: str, password: str | None, figures: bool, settings: str):
        self.out, self.forms, self.model = out, forms, model
        self.password, self.figures, self.settings = password, figures, settings
        self.summary = Summary()
        self.opened = self.found = 0  # files, and the pages in them

    @property
    def expected(self) -> int:
        return round(self.found * max(1.0, self.summary.files / max(1, self.opened)))

    def stored(self, sha256: str, number: int) -> Path:
        return self.out / ".pages" / f"{sha256[:24]}-{self.settings}" / f"{number:06d}.json.gz"

    def done(self, ledger: Ledger, job: _Job, number: int) -> Line | None:
        """The line of a page that need not be read again."""
        line = ledger.pages.get((job.sha256, number, self.settings))
        if line is None or line["status"] in LOST:
            return None
        path = self.stored(job.sha256, number)
        return line if path.is_file() and path.stat().st_size == line["bytes"] else None

    def store(self, ledger: Ledger, job: _Job, outcome: Outcome) -> Line:
        """Put a page that ended on the disk and into the ledger."""
        with atomic_write(self.stored(job.sha256, outcome.number)) as file:
            file.write(outcome.stored)
        facts = {k: v for k, v in vars(outcome).items() if k not in ("stored", "number")}
        known = {"file": str(job.path), "sha256": job.sha256, "page": outcome.number, "settings": self.settings}
        line = known | facts | {"model": self.model, "bytes": len(outcome.stored)}
        ledger.enter(line)
        return line

    def refuse(self, ledger: Ledger, job: _Job, error: str) -> Line:
        """Enter a file that could not be opened."""
        self.summary.unreadable[str(job.path)] = error
        line = {"file": str(job.path), "sha256": None, "page": None, "settings": self.settings}
        line |= {"status": "failed", "error": error}
        ledger.enter(line)
        return line


@dataclass
class _StoredPages:
    """The stored pages of a job, in its order. Each pass reads them from disk again."""

    run: _Run
    job: _Job

    def __iter__(self) -> Iterator[Page]:
        for number in self.job.numbers:
            path = self.run.stored(self.job.sha256, number)
            try:
                yield Page.from_dict(json.loads(gzip.decompress(path.read_bytes())))
            except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: cannot be read back ({error}); delete it and run again") from None


def read_all(
    inputs: Sequence[str | Path],
    out: str | Path,
    to: Sequence[str] = ("md",),
    *,
    model: str | None = None,
    device: str = "cpu",
    pages: str | None = None,
    password: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    timeout_s: float = PAGE_TIMEOUT_S,
    max_pages: int = MAX_PAGES,
    figures: bool = False,
    fast: bool = False,
    on_page: Callable[[Line], None] | None = None,
    load: str = LOAD,
) -> Summary:
    """Read files, folders, patterns and stdin (`-`) into `out`; running it again does what is not done.

    to: of text, md, html, json, pdf (searchable), overlay. model: by default vary-nano, or a server's first. device:
    cpu, cuda, or the address of an OpenAI-compatible server that reads (key in VARY_API_KEY). workers: processes, by
    default one per core; ray: address of a cluster that reads instead (`Cluster`). timeout_s: of a page. figures: crop
    and link them. fast: by the reading head alone. on_page: called with each page's line of the ledger, in order, and
    `before` (was it read before), `expected` (pages of the run, by the files opened so far); a file that could not be
    opened has a line with page None.
    Raises ValueError when nothing can be done at all, OSError when the folder cannot be written.
    """
    unknown = [form for form in to if form not in SUFFIXES]
    if unknown or not to:
        raise ConfigError(f"to {', '.join(unknown) or 'nothing'}: allowed: {', '.join(SUFFIXES)}")
    out, load = Path(out), LOAD_FAST if fast else load
    out.mkdir(parents=True, exist_ok=True)
    if "://" in device:
        load, model = LOAD_SERVER, load_server(model, device).name
    model = model or "vary-nano"
    settings = (load, model, device, timeout_s)
    run = _Run(out, to, model, password, figures, _settings(model, load))
    with (
        _ledger(out) as ledger,
        Crew(workers or os.cpu_count() or 1, *settings) if ray is None else Cluster(ray, *settings) as crew,
        find_files(inputs, out) as files,
    ):
        run.summary.files = len(files)
        steps = _ordered(run, ledger, crew, _jobs(run, files, pages, timeout_s, max_pages))
        for line in _entered(run, ledger, steps):
            if on_page:
                on_page(line | {"expected": run.expected})
    return run.summary


def _entered(run: _Run, ledger: Ledger, steps: Iterator[tuple[_Job, Step]]) -> Iterator[Line]:
    """What ended, once it is on the disk, and documents when their last page has."""
    for job, step in steps:
        if job.error is not None:
            yield run.refuse(ledger, job, job.error)
            continue
        if step is None:
            _write_document(run, ledger, job)
            continue
        before = isinstance(step, dict)
        line = step if isinstance(step, dict) else run.store(ledger, job, step)
        run.summary.pages[line["status"]] += 1
        run.summary.read += not before
        yield line | {"file": str(job.path), "before": before}


@contextlib.contextmanager
def _ledger(out: Path) -> Iterator[Ledger]:
    with lock_folder(out, "writing to it"):
        ledger = Ledger(out)
        with ledger.file:
            yield ledger


def _jobs(run: _Run, files: list[FoundFile], pages: str | None, timeout_s: float, max_pages: int) -> Iterator[_Job]:
    """One job per file, its pages counted; a file that does not open has none, and an error."""
    for (path, _, _), name in zip(files, safe_names([file.name for file in files]), strict=True):
        try:
            with Source(path, run.password, timeout_s) as source:
                numbers = source.numbers(pages, max_pages)
            run.opened, run.found = run.opened + 1, run.found + len(numbers)
            yield _Job(path, name, sha256(path), list(dict.fromkeys(numbers)))
        except (InputError, OSError) as error:
            yield _Job(path, name, "", [], str(error))


Step = Line | Outcome | None  # a page read before, a page read now, the end of a document


def _ordered(run: _Run, ledger: Ledger, crew: Crew | Cluster, jobs: Iterator[_Job]) -> Iterator[tuple[_Job, Step]]:
    """Pages in order, while workers read a few pages ahead; None follows a document's last page."""
    waiting: deque[tuple[_Job, Line | Future[Outcome] | None]] = deque()
    for job in jobs:
        for number in [*job.numbers, None]:
            if number is None:
                waiting.append((job, None))
            else:
                done = run.done(ledger, job, number)
                waiting.append((job, done or crew.submit(str(job.path), number, run.password)))
            while len(waiting) > 2 * crew.count:
                yield _ended(*waiting.popleft())
    while waiting:
        yield _ended(*waiting.popleft())


def _ended(job: _Job, step: Line | Future[Outcome] | None) -> tuple[_Job, Step]:
    return job, step.result() if isinstance(step, Future) else step


# -- what is written -------------------------------------------------------------------------------------------------


def _write_document(run: _Run, ledger: Ledger, job: _Job) -> None:
    """Write a document in every form that is missing or older than its pages."""
    lines = [ledger.pages[job.sha256, number, run.settings] for number in job.numbers]
    known = [[line["page"], line["status"], line["seconds"], line["bytes"]] for line in lines]
    state = hashlib.sha256(json.dumps([job.sha256, run.settings, run.figures, known]).encode()).hexdigest()[:16]
    before = ledger.written.get(job.name, {})
    written = before.get("written", []) if before.get("state") == state else []
    wanted = [f for f in run.forms if f not in written or not (run.out / (job.name + SUFFIXES[f])).exists()]
    if not wanted:
        return
    job.pages = mark_running_heads(_StoredPages(run, job))
    if run.figures or "pdf" in wanted or "overlay" in wanted:
        _write_pictures(run, job, wanted)
    for form in wanted:
        if form in WRITERS:
            with atomic_write(run.out / (job.name + SUFFIXES[form])) as file:
                for part in WRITERS[form](str(job.path), run.model, _linked(run, job)):
                    file.write(part.encode("utf-8", "replace"))
                file.write(b"\n")
    ledger.enter({"name": job.name, "file": str(job.path), "state": state, "written": sorted({*written, *wanted})})


def _linked(run: _Run, job: _Job) -> Iterator[Page]:
    """Pages with the pictures of their figures, where these are written."""
    folder = run.out / f"{job.name}_images"
    for page in job.pages:
        for k, block in enumerate(block for block in page.blocks if block.kind == "figure"):
            name = f"{page.number:04d}-{k + 1}.png"
            if run.figures and (folder / name).exists():
                block.image = f"{_link(folder.name)}/{name}"
        yield page


def _link(name: str) -> str:
    from urllib.parse import quote

    return quote(name)


def _write_pictures(run: _Run, job: _Job, forms: Sequence[str]) -> None:
    """What shows the page image: searchable PDF, overlays, figures. A page whose image is lost is left without."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(Source(job.path, run.password))
        pdf = None
        if "pdf" in forms:
            pdf = SearchablePdf(stack.enter_context(atomic_write(run.out / (job.name + SUFFIXES["pdf"]))))
        if "overlay" in forms:
            (run.out / f"{job.name}_overlay").mkdir(parents=True, exist_ok=True)
        for page in job.pages:
            try:
                image, _ = source.image(page.number, PICTURE_DPI, colour=True)
            except InputError:
                image = None
            if pdf:
                pdf.add(page, image)
            if image and "overlay" in forms:
                _save(draw_overlay(page, image), run.out / f"{job.name}_overlay" / f"{page.number:04d}.png")
            for k, block in enumerate(block for block in page.blocks if block.kind == "figure"):
                if image and run.figures:
                    _save(
                        crop_block(page, block, image),
                        run.out / f"{job.name}_images" / f"{page.number:04d}-{k + 1}.png",
                    )
        if pdf:
            pdf.close()


def _save(image: Any, path: Path) -> None:
    with atomic_write(path) as file:
        image.save(file, "PNG")


def safe_names(names: Sequence[str]) -> list[str]:
    """Names that stay inside a folder on any system, `/` kept; what is equal but for case gets -2, -3 ..."""
    taken: set[str] = set()
    safe = []
    for name in names:
        parts = [_safe_part(part) for part in name.split("/") if part not in ("", ".", "..")] or ["page"]
        one, k = "/".join(parts), 1
        while one.casefold() in taken:
            k += 1
            one = "/".join(parts) + f"-{k}"
        taken.add(one.casefold())
        safe.append(one)
    return safe


def _safe_part(part: str) -> str:
    text = unicodedata.normalize("NFC", part.encode("utf-8", "replace").decode("utf-8"))
    text = re.sub(r'[\x00-\x1f\x7f<>:"|?*\\]', "_", text).strip(" ")
    text = text.encode()[:MAX_NAME].decode("utf-8", "ignore").rstrip(" .") or "_"
    return f"_{text}" if RESERVED.fullmatch(text) or text.startswith(".") else text


def _settings(model: str, load: str) -> str:
    """What a page's text depends on besides its pixels: the weights, the way of reading, the form that is stored."""
    digest = hashlib.sha256(json.dumps([model, load, SCHEMA, LADDER]).encode())
    folder = Path(__file__).parent / "weights" / model
    files = () if load == LOAD_SERVER else (folder if folder.is_dir() else Path(model)).glob("*")
    for path in sorted(files):
        if path.suffix == ".safetensors" or path.name == "config.json":
            digest.update(f"{path.name} {sha256(path)}".encode())
    return digest.hexdigest()[:12]
