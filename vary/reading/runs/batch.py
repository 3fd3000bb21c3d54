"""Read many files into an output folder. Every page gets exactly one status, and the same command resumes a run.

Each page that is done is stored in `.pages/` (written atomically) and then entered in the ledger, `run.jsonl`. Pages
that ended `ok` or `blank` with the same SHA-256, page and settings are not read again. So a run that was killed, or
lost pages, resumes when it is started again, and another format is written from the stored pages. A document's files
are written atomically when its last page is done.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...document.elements import LOST, STATUSES, Page
from ...document.findings import SCHEMA, FileInfo
from ...document.formats.markdown import front_matter
from ...document.formats.tables import csv_table
from ...document.formats.writers import SUFFIXES, WRITERS, write_form
from ...document.running_heads import mark_running_heads
from ...document.running_text import mark_page_joins
from ...io.errors import ConfigError, InputError
from ...io.files import atomic_write, lock_folder, safe_names, sha256
from ...io.source import MAX_PAGES, PAGE_TIMEOUT_S, FoundFile, Source, find_files
from ...models.hub import weights_dir
from ..engines import usable_cores
from .attempts import LADDER
from .ledger import Ledger, LedgerEntry, WrittenEntry
from .pictures import write_images, write_searchable_pdf
from .spec import ReaderSpec
from .workers import Outcome, RayPool, WorkerPool

AHEAD = 8  # pages per worker that are read ahead of the slowest one, so that it does not keep the others waiting


@dataclass
class Summary:
    """Result of a run. pages: their number by status. read: pages read now, not in an earlier run.

    files: number of inputs. unreadable: the inputs that could not be opened, with the reason.
    """

    pages: Counter[str] = field(default_factory=Counter)
    read: int = 0
    files: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Return the exit code: 0 for all pages read, 2 for some lost, 3 for nothing read."""
        lost = len(self.unreadable) + sum(self.pages[status] for status in LOST)
        return 0 if not lost else 2 if any(self.pages[status] for status in STATUSES if status not in LOST) else 3

    def __str__(self) -> str:
        counts = ", ".join(f"{self.pages[status]} {status}" for status in STATUSES if self.pages[status])
        closed = f"; {len(self.unreadable)} of {self.files} files could not be opened" if self.unreadable else ""
        return f"{sum(self.pages.values())} pages ({counts or 'none'}), {self.read} read now{closed}"


@dataclass
class _Job:
    """A file of the run: its pages, and the name of its outputs relative to the output folder.

    label: how messages and outputs call the file: its path, or `-` for standard input.
    """

    path: Path
    label: str
    name: str
    sha256: str
    numbers: list[int]
    error: str | None = None  # why the file could not be opened
    info: FileInfo = field(default_factory=FileInfo)
    pages: Iterable[Page] = ()  # once all are read: with headers and footers marked

    def relabel(self, text: str | None) -> str | None:
        """Replace the path by the label."""
        return text and text.replace(str(self.path), self.label)


class _Run:
    """Settings and counters of a run."""

    def __init__(
        self,
        out: Path,
        forms: Sequence[str],
        model: str,
        password: str | None,
        figures: bool,
        front_matter: bool,
        join: bool,
        settings: str,
    ):
        self.out, self.forms, self.model = out, forms, model
        self.password, self.figures, self.front_matter = password, figures, front_matter
        self.join, self.settings = join, settings
        self.summary = Summary()
        self.opened = self.found = 0  # files, and the pages in them

    @property
    def expected(self) -> int:
        return round(self.found * max(1.0, self.summary.files / max(1, self.opened)))

    def stored(self, sha256: str, number: int) -> Path:
        return self.out / ".pages" / f"{sha256[:24]}-{self.settings}" / f"{number:06d}.json.gz"

    def done(self, ledger: Ledger, job: _Job, number: int) -> LedgerEntry | None:
        """Return the entry of a page that need not be read again."""
        entry = ledger.pages.get((job.sha256, number, self.settings))
        if entry is None or entry.status in LOST:
            return None
        path = self.stored(job.sha256, number)
        return entry if path.is_file() and path.stat().st_size == entry.bytes else None

    def store(self, ledger: Ledger, job: _Job, outcome: Outcome) -> LedgerEntry:
        """Store a page that is done and enter it in the ledger."""
        with atomic_write(self.stored(job.sha256, outcome.number)) as file:
            file.write(outcome.stored)
        facts = {k: v for k, v in vars(outcome).items() if k not in ("stored", "number")}
        facts["error"] = job.relabel(outcome.error)
        size = len(outcome.stored)
        entry = LedgerEntry(job.label, job.sha256, outcome.number, self.settings, **facts, model=self.model, bytes=size)
        ledger.add(entry)
        return entry

    def refuse(self, ledger: Ledger, job: _Job, error: str) -> LedgerEntry:
        """Enter a file that could not be opened."""
        self.summary.unreadable[job.label] = error
        entry = LedgerEntry(job.label, None, None, self.settings, "failed", error)
        ledger.add(entry)
        return entry


@dataclass
class _StoredPages:
    """Read the stored pages of a job from disk, in order, at each iteration."""

    run: _Run
    job: _Job

    def __iter__(self) -> Iterator[Page]:
        for number in self.job.numbers:
            path = self.run.stored(self.job.sha256, number)
            try:
                page = Page.from_dict(json.loads(gzip.decompress(path.read_bytes())))
            except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: cannot be read back ({error}); delete it and run again") from None
            page.error = self.job.relabel(page.error)
            yield page


def _name_on_server(model: str | None, url: str) -> str:
    """Return the name of a server's model; None names its first one."""
    from ..remote import load_server  # its HTTP client takes 0.1 s to import

    return load_server(model, url).name


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
    front_matter: bool = False,
    join: bool = True,
    decoder: bool = False,
    pixels: bool = False,
    formulas: bool = True,
    on_page: Callable[[dict[str, Any]], None] | None = None,
    factory: str = ReaderSpec.factory,
) -> Summary:
    """Read files into a folder. Running it again reads only the pages that are not done.

    Args:
        inputs: files, folders, patterns, and `-` for standard input. to: text, md, html, json, pdf, overlay, csv.
        model, device, decoder, pixels, formulas: as in `ReaderSpec`; model: by default vary-nano, or a server's first.
        pages: selection such as "1-4,7,-1"; None reads all. password: of encrypted PDFs.
        workers: number of processes, by default one per core. ray: address of a cluster to read on instead.
        timeout_s: limit of CPU time of a page. max_pages: most pages of one file.
        figures: crop and link them. front_matter: begin Markdown with title and author. join: join lines and pages.
        on_page: called for each page in order, with its ledger entry as a dict, plus `before` (read in an earlier run)
            and `expected` (pages of the run, estimated). Its `page` is None for a file that could not be opened.
        factory: `module:function` that opens the reader from a `ReaderSpec`.

    Raises InputError or ConfigError when nothing can be read at all, OSError when the folder cannot be written.
    """
    _check_forms(to)
    spec = ReaderSpec(model or "vary-nano", device, decoder, pixels, formulas, factory)
    if spec.remote:
        spec = replace(spec, model=_name_on_server(model, device))
    run = _Run(Path(out), to, spec.model, password, figures, front_matter, join, _settings_digest(spec))
    pool = _open_pool(spec, timeout_s, workers, ray)
    with pool, _open_run(run.out) as ledger, find_files(inputs, run.out) as files:
        run.summary.files = len(files)
        steps = _in_order(run, ledger, pool, _jobs(run, files, pages, timeout_s, max_pages))
        for line in _record(run, ledger, steps):
            if on_page:
                on_page(line | {"expected": run.expected})
    return run.summary


def _check_forms(forms: Sequence[str]) -> None:
    unknown = [form for form in forms if form not in SUFFIXES]
    if unknown or not forms:
        raise ConfigError(f"to {', '.join(unknown) or 'nothing'}: allowed: {', '.join(SUFFIXES)}")


def _keep_inputs(run: _Run, files: list[FoundFile]) -> None:
    """Raise InputError where a searchable PDF would replace one of the files that are read."""
    if "pdf" in run.forms:
        inputs = {file.path.resolve() for file in files}
        for name in safe_names([file.name for file in files]):
            if (out := (run.out / (name + SUFFIXES["pdf"])).resolve()) in inputs:
                raise InputError(f"{out}: is read and would be replaced; give another output folder")


@contextlib.contextmanager
def _open_run(out: Path) -> Iterator[Ledger]:
    """Lock the output folder and open its ledger."""
    with lock_folder(out, "writing to it"), Ledger(out) as ledger:
        yield ledger


def _open_pool(spec: ReaderSpec, timeout_s: float, workers: int | None, ray: str | None) -> WorkerPool | RayPool:
    if ray is not None:
        return RayPool(ray, spec, timeout_s)
    return WorkerPool(usable_cores() if workers is None else workers, spec, timeout_s)


def _record(run: _Run, ledger: Ledger, steps: Iterator[tuple[_Job, Step]]) -> Iterator[dict[str, Any]]:
    """Yield each page once it is on disk, and write a document when its last page is done."""
    for job, step in steps:
        if job.error is not None:
            yield run.refuse(ledger, job, job.relabel(job.error) or "").to_dict() | {"before": False}
            continue
        if step is None:
            _write_document(run, ledger, job)
            continue
        before = isinstance(step, LedgerEntry)
        entry = step if isinstance(step, LedgerEntry) else run.store(ledger, job, step)
        run.summary.pages[entry.status] += 1
        run.summary.read += not before
        yield entry.to_dict() | {"file": job.label, "before": before}


def _jobs(run: _Run, files: list[FoundFile], pages: str | None, timeout_s: float, max_pages: int) -> Iterator[_Job]:
    """Return one job per file with its page numbers; a file that does not open has no pages and an error."""
    _keep_inputs(run, files)
    for (path, _, label, missing), name in zip(files, safe_names([file.name for file in files]), strict=True):
        try:
            if missing:
                raise InputError(missing)
            with Source(path, run.password, timeout_s) as source:
                numbers = source.numbers(pages, max_pages)
                known = FileInfo(source.info.title, source.info.author, source.info.outline)
            run.opened, run.found = run.opened + 1, run.found + len(numbers)
            yield _Job(path, label, name, sha256(path), list(dict.fromkeys(numbers)), info=known)
        except (InputError, OSError) as error:
            yield _Job(path, label, name, "", [], str(error))


Step = LedgerEntry | Outcome | None  # a page read in an earlier run, a page read now, the end of a document


def _in_order(
    run: _Run, ledger: Ledger, pool: WorkerPool | RayPool, jobs: Iterator[_Job]
) -> Iterator[tuple[_Job, Step]]:
    """Yield pages in order while workers read AHEAD pages each further on; None follows a document's last page."""
    waiting: deque[tuple[_Job, LedgerEntry | Future[Outcome] | None]] = deque()
    for job in jobs:
        for number in [*job.numbers, None]:
            if number is None:
                waiting.append((job, None))
            else:
                done = run.done(ledger, job, number)
                waiting.append((job, done or pool.submit(str(job.path), number, run.password)))
            while len(waiting) > AHEAD * pool.count:
                yield _wait(*waiting.popleft())
    while waiting:
        yield _wait(*waiting.popleft())


def _wait(job: _Job, step: LedgerEntry | Future[Outcome] | None) -> tuple[_Job, Step]:
    return job, step.result() if isinstance(step, Future) else step


# -- output files -------------------------------------------------------------------------------------------------


def _write_document(run: _Run, ledger: Ledger, job: _Job) -> None:
    """Write a document in every format that is missing or older than its pages."""
    entries = [ledger.pages[job.sha256, number, run.settings] for number in job.numbers]
    known = [[entry.page, entry.status, entry.seconds, entry.bytes] for entry in entries]
    state = hashlib.sha256(
        json.dumps([job.sha256, run.settings, run.figures, run.front_matter, run.join, known]).encode()
    ).hexdigest()[:16]
    before = ledger.written.get(job.name)
    written = before.written if before is not None and before.state == state else ()
    wanted = [f for f in run.forms if f not in written or not (run.out / (job.name + SUFFIXES[f])).exists()]
    if not wanted:
        return
    job.pages = mark_page_joins(mark_running_heads(_StoredPages(run, job)))
    if run.figures or "pdf" in wanted or "overlay" in wanted:
        _write_pictures(run, job, wanted)
    if "csv" in wanted:
        _write_tables(job.pages, run.out / (job.name + SUFFIXES["csv"]))
    for form in wanted:
        if form in WRITERS:
            with atomic_write(run.out / (job.name + SUFFIXES[form])) as file:
                if form == "md" and run.front_matter:
                    file.write(front_matter(job.label, job.info, len(job.numbers)).encode("utf-8", "backslashreplace"))
                for part in write_form(form, job.label, run.model, _link_figures(run, job), job.info, run.join):
                    file.write(part.encode("utf-8", "backslashreplace"))
                file.write(b"\n")
    ledger.add(WrittenEntry(job.name, job.label, state, tuple(sorted({*written, *wanted}))))


def _write_tables(pages: Iterable[Page], folder: Path) -> None:
    """Write each table as a CSV file, `0001-1.csv` for the first of page 1; no folder where there is none."""
    for page in pages:
        for k, block in enumerate(block for block in page.blocks if block.kind == "table" and block.cells):
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(folder / f"{page.number:04d}-{k + 1}.csv") as file:
                file.write(csv_table(block).encode("utf-8", "backslashreplace"))


def _link_figures(run: _Run, job: _Job) -> Iterator[Page]:
    """Yield pages with links to the pictures of their figures, where these were written."""
    folder = run.out / f"{job.name}_images"
    for page in job.pages:
        for k, block in enumerate(block for block in page.blocks if block.is_picture):
            name = f"{page.number:04d}-{k + 1}.png"
            if run.figures and (folder / name).exists():
                block.image = f"{_link(folder.name)}/{name}"
        yield page


def _link(name: str) -> str:
    from urllib.parse import quote

    return quote(name)


def _write_pictures(run: _Run, job: _Job, forms: Sequence[str]) -> None:
    """Write the formats that need the page image: searchable PDF, overlays, figures."""
    with Source(job.path, run.password) as source:
        if "pdf" in forms:
            write_searchable_pdf(source, job.pages, run.password, run.out / (job.name + SUFFIXES["pdf"]))
        overlays = run.out / (job.name + SUFFIXES["overlay"]) if "overlay" in forms else None
        figures = run.out / f"{job.name}_images" if run.figures else None
        if overlays or figures:
            write_images(source, job.pages, overlays, figures)


def _settings_digest(spec: ReaderSpec) -> str:
    """Hash all that the text of a page depends on except its pixels: weights, way of reading, stored schema."""
    known = [spec.model, spec.remote, spec.decoder, spec.pixels, spec.formulas, spec.factory, SCHEMA, LADDER]
    digest = hashlib.sha256(json.dumps(known).encode())
    files: list[Path] = []
    with contextlib.suppress(ValueError):  # a server's model; or an unknown name, which the worker reports
        files = sorted(weights_dir(spec.model).glob("*"))
    for path in files:
        if path.suffix in (".safetensors", ".onnx") or path.name == "config.json":
            digest.update(f"{path.name} {sha256(path)}".encode())
    return digest.hexdigest()[:12]
