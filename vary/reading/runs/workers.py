"""A pool of worker processes that read pages. Each worker loads its own model.

If a page crashes or hangs its worker, only that page fails and the worker is restarted. A worker answers one page per
request, as the gzipped JSON that is stored. The process that hands out pages loads no model and no torch. `RayPool`
does the same on the nodes of a Ray cluster.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import queue
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from ...document.elements import Page
from ...io.child import Child, ChildDied, send
from ...io.errors import InputError, MissingExtra
from ...io.source import Source
from ..engines import thread_count, usable_cores
from .attempts import with_retries
from .spec import ReaderSpec

ENTRY = "vary.reading.runs.workers:serve"
LOAD_TIMEOUT_S = 600.0
MAX_NODE_FAILURES = 3  # a page whose node fails this often counts as lost
HUGE_PAGES = "glibc.malloc.hugetlb=1"  # large arrays lie in pages of 2 MiB, where the system grants them
GRACE = 10.0, 0.5  # s, share of the limit: CPU time to lay out what was read until the limit; then a worker is killed


@dataclass
class Outcome:
    """Result of one page. stored: its gzipped JSON. characters: number read. doubt: as `Page.doubt`."""

    number: int
    status: str
    error: str | None
    seconds: float
    characters: int
    stored: bytes
    attempts: int = 1
    doubt: str | None = None

    @classmethod
    def from_page(cls, page: Page) -> Outcome:
        """Pack a page."""
        stored = gzip.compress(json.dumps(page.to_dict(), ensure_ascii=False).encode(), 3, mtime=0)
        seconds, doubt = round(page.seconds, 3), page.doubt
        return cls(page.number, page.status, page.error, seconds, len(page.text), stored, doubt=doubt)


def worker_environment(threads: int) -> dict[str, str]:
    """Return what is added to the environment of a worker: its threads, and large pages beside the user's tunables."""
    tunables = ":".join(filter(None, (os.environ.get("GLIBC_TUNABLES"), HUGE_PAGES)))
    return {"OMP_NUM_THREADS": str(threads), "GLIBC_TUNABLES": tunables}


class WorkerPool:
    """Read pages in `count` worker processes. Use as a context manager; leaving it ends the workers.

    Args:
        count: number of workers.
        spec: the reader that each worker opens.
        timeout_s: limit of CPU time of a page.
        threads: threads of each worker, by default its share of the cores, within $OMP_NUM_THREADS.

    Raises:
        ValueError: count below 1.
    """

    def __init__(self, count: int, spec: ReaderSpec, timeout_s: float, threads: int | None = None):
        if count < 1:
            raise InputError(f"workers {count}: expected 1 or more")
        self.count, self.timeout_s, self._spec = count, timeout_s, spec
        threads = threads or min(thread_count(), max(1, usable_cores() // count))
        self._children = [Child(ENTRY, worker_environment(threads)) for _ in range(count)]
        self._free: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for child in self._children:
            self._free.put(child)
        self._threads = ThreadPoolExecutor(count, "vary-worker")
        self._closed = False

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            if child.process:
                child.process.kill()
        self._threads.shutdown()
        for child in self._children:
            child.close()

    def submit(self, path: str, number: int, password: str | None) -> Future[Outcome]:
        """Queue a page. The future raises ValueError when the model cannot be loaded."""
        return self._threads.submit(self._read, {"path": path, "page": number, "password": password})

    def _read(self, request: dict[str, Any]) -> Outcome:
        child = self._free.get()
        try:
            return with_retries(lambda attempt: self._once(child, request | {"attempt": attempt}))
        finally:
            self._free.put(child)

    def _once(self, child: Child, request: dict[str, Any]) -> Outcome:
        where = f"{request['path']}, page {request['page']}"
        if self._closed:
            raise InputError(f"{where}: the run was ended")
        try:
            if child.process is None:
                answer, _ = child.ask({"spec": asdict(self._spec)}, LOAD_TIMEOUT_S)
                if "error" in answer:
                    raise InputError(answer["error"])
        except ChildDied as gone:
            raise InputError(f"{self._spec.model}: loading the model {gone}") from None
        try:
            answer, stored = child.ask(
                request | {"timeout": self.timeout_s}, (1 + GRACE[1]) * self.timeout_s + GRACE[0]
            )
        except ChildDied as gone:
            reason = f"took longer than {self.timeout_s:g} s" if gone.late else "the process that read it crashed"
            page = Page(request["page"], "timeout" if gone.late else "failed", error=f"{where}: {reason}")
            page.seconds = self.timeout_s if gone.late else 0.0
            return Outcome.from_page(page)
        return Outcome(**answer["page"], stored=stored)


class RayPool:
    """Read pages on a Ray cluster: each page is a task that a pool of one worker reads on some node.

    All nodes must share the folder of files, model and working directory, and have `vary` installed.

    Args:
        address: of the cluster; `local` starts one here.
        spec: the reader that each node opens.
        timeout_s: limit of CPU time of a page.

    Raises:
        ValueError: the package ray is missing.
    """

    def __init__(self, address: str, spec: ReaderSpec, timeout_s: float):
        try:
            import ray
        except ImportError:
            raise MissingExtra("reading on a cluster", "ray", "cluster") from None
        self._ray, self._ours = ray, not ray.is_initialized()
        if self._ours:
            ray.init(address=None if address == "local" else address, log_to_driver=False, include_dashboard=False)
        self.count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._task = ray.remote(num_cpus=1, max_retries=MAX_NODE_FAILURES)(_read_on_node)
        self._settings = os.getcwd(), spec, timeout_s
        self._threads = ThreadPoolExecutor(2 * self.count, "vary-ray")

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._ours:
            self._ray.shutdown()

    def submit(self, path: str, number: int, password: str | None) -> Future[Outcome]:
        """Queue a page. The future raises ValueError when the model cannot be loaded."""
        return self._threads.submit(self._read, path, number, password)

    def _read(self, path: str, number: int, password: str | None) -> Outcome:
        try:
            return self._ray.get(self._task.remote(self._settings, path, number, password))
        except self._ray.exceptions.RayTaskError as error:
            raise InputError(str(error.cause)) from None
        except self._ray.exceptions.RayError as error:
            lost = f"{path}, page {number}: the node that read it was lost ({type(error).__name__})"
            return Outcome.from_page(Page(number, "failed", error=lost))


@functools.lru_cache(maxsize=1)
def _pool_on_node(folder: str, spec: ReaderSpec, timeout_s: float) -> WorkerPool:
    os.chdir(folder)
    return WorkerPool(1, spec, timeout_s, threads=1)


def _read_on_node(settings: tuple[str, ReaderSpec, float], path: str, number: int, password: str | None) -> Outcome:
    return _pool_on_node(*settings).submit(path, number, password).result()


# -- the worker ------------------------------------------------------------------------------------------------------


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Serve a worker: open a reader, then read one page per request until the requests end."""
    from ..pages import read_page  # only workers read; without it their parent starts in half the time

    reader, source, opened = None, None, None
    for line in requests:
        request = json.loads(line)
        if "spec" in request:
            spec = ReaderSpec(**request["spec"])
            try:
                reader = spec.open()
                send(answers, {"name": reader.name})
            except Exception as error:  # ends the run, with this message
                send(answers, {"error": f"{spec.model}: {error}".splitlines()[0]})
            continue
        try:
            if opened != request["path"]:
                if source:
                    source.close()
                opened, source = None, Source(request["path"], request["password"], request["timeout"])
                opened = request["path"]
            assert source is not None
            assert reader is not None
            page = read_page(source, request["page"], reader, request["attempt"])
        except InputError as error:  # the file was there when its pages were counted
            page = Page(request["page"], "failed", error=str(error))
        except Exception as error:
            page = Page(request["page"], "failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
        found = Outcome.from_page(page)
        known = {name: value for name, value in vars(found).items() if name not in ("stored", "attempts")}
        send(answers, {"page": known}, found.stored)
