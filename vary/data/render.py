"""Render a recipe's mix or a folder of PDFs into shards, or some samples into one preview image (`vary render`).

One process renders one shard, from (recipe, seed, shard number) alone. Processes are spawned, not forked, because
PDFium and OpenCV keep threads. They end when their parent ends. A killed run is finished by the same command, with the
bytes of an uninterrupted run. On a Ray cluster shards are Ray tasks, and `out` must be a folder shared by all nodes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .. import __version__
from ..io.errors import ConfigError, MissingExtra
from ..io.files import lock_folder
from ..markup.prompts import PROMPTS
from .mixture import Mixture, Part, load_recipe, read_mix
from .preview import contact_sheet
from .shards import (
    IMAGES,
    PLAN,
    is_done,
    shard_count,
    shard_name,
    write_json,
    write_manifest,
    write_shard,
)

LOG_EVERY_S = 30.0  # between lines of progress where standard error is no terminal
DEATHS = 3  # worker processes that may die before the run ends with an error
Recipe = str | Path | Mapping[str, Any]
Log = Callable[[str], Any]


def pdf_recipe(folder: str | Path, **settings: Any) -> dict[str, Any]:
    """Return the recipe of `vary render --pdf`: all pages of the PDFs in a folder, in order."""
    part = {"source": "pdf-pages", "files": str(folder), "prompt": PROMPTS["ocr"]["en"], **settings}
    return {"mix": {"pdf": {"pdf": part}}}


def make_plan(
    recipe: Recipe, count: int | None, stage: str | None, seed: int | None, per_shard: int, image: str
) -> dict[str, Any]:
    """Describe a run as plain JSON data. Raises an error for a recipe, count or format that cannot be rendered."""
    where = str(recipe) if isinstance(recipe, str | Path) else "recipe"
    whole = load_recipe(recipe) if isinstance(recipe, str | Path) else recipe
    parts = read_mix(whole, stage, where)
    seed = int(whole.get("seed", 1)) if seed is None else seed
    if count is None:
        sources: list[Any] = list(Mixture(parts, seed).sources)
        if len(sources) > 1 or not hasattr(sources[0], "__len__"):
            raise ConfigError(f"{where}: has no end; say how many samples are wanted (-n)")
        count = len(sources[0])
        if hasattr(sources[0], "close"):
            sources[0].close()
    for name, value in (("number of samples", count), ("samples of a shard", per_shard)):
        if value < 1:
            raise ConfigError(f"{name}: {value}; allowed: 1 and more")
    if image not in IMAGES:
        raise ConfigError(f"unknown image format {image!r}; allowed: {', '.join(IMAGES)}")
    mix = [{"name": p.name, "source": p.source, "weight": p.weight, "prompt": p.prompt, **p.settings} for p in parts]
    plan = {"vary": __version__, "seed": seed, "count": count, "per_shard": per_shard, "image": image, "mix": mix}
    return json.loads(json.dumps(plan, default=str))


def render(
    recipe: Recipe,
    count: int | None,
    out: str | Path,
    *,
    stage: str | None = None,
    seed: int | None = None,
    workers: int | None = None,
    per_shard: int = 500,
    image: str = "png",
    ray: str | None = None,
    log: Log | None = None,
) -> dict[str, Any]:
    """Render samples 0 to count - 1 of a recipe into shards in the folder `out`; returns the manifest.

    Args:
        recipe: A YAML file or its content.
        count: Number of samples; None for all samples of a finite source, such as a folder of PDFs.
        out: Folder of the shards.
        stage: Stage of the recipe; may be None if there is only one.
        seed: Overrides the recipe's seed.
        workers: Number of processes; None for one per core.
        per_shard: Samples in a shard. A kill loses at most one shard per worker.
        image: `png` or `jpg`.
        ray: Address of a Ray cluster; "local" starts one on this machine.
        log: Receives the line that tells the result; without it, that line and a bar go to standard error.

    Raises:
        ValueError: The recipe is invalid, the folder belongs to another run or process, or a sample failed. The message
            names the shard and the sample.
    """
    folder, plan = Path(out), make_plan(recipe, count, stage, seed, per_shard, image)
    with lock_folder(folder, "rendering into it"):
        _begin(folder, plan)
        todo = [k for k in range(shard_count(plan)) if not is_done(folder, k)]
        settings: dict[str, Any] = {} if sys.stderr.isatty() else {"mininterval": LOG_EVERY_S}
        settings |= {"total": plan["count"], "initial": _count_done(plan, todo)}
        with tqdm(unit="sample", disable=log is not None, **settings) as bar:
            if todo and ray is not None:
                _on_ray(folder, plan, todo, bar, ray)
            elif todo:
                _on_cores(folder, plan, todo, bar, min(len(todo), workers or os.cpu_count() or 1))
        manifest = write_manifest(folder, plan)
        (log or _print)(_result(manifest))
    return manifest


def _result(manifest: Mapping[str, Any]) -> str:
    """Write what a run has made as one line."""
    shards, size = manifest["shards"], sum(shard["bytes"] for shard in manifest["shards"])
    left_out = f", {manifest['skipped']} skipped (named in the indices)" if manifest["skipped"] else ""
    return f"{manifest['samples']} samples{left_out} in {len(shards)} shards, {size / 1e6:.1f} MB"


def _print(line: str) -> None:
    print(line, file=sys.stderr)


def show(recipe: Recipe, count: int, out: str | Path, *, stage: str | None = None, seed: int | None = None) -> None:
    """Write a preview image of the first `count` samples with their boxes and the start of their targets."""
    plan = make_plan(recipe, count, stage, seed, 1, "png")
    mixture = _mixture(json.dumps(plan))
    contact_sheet([mixture.sample(i) for i in range(count)]).save(out)


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Write the plan, or check that it equals the plan of the run to resume; remove partial files of a killed run."""
    path = folder / PLAN
    if path.exists():
        before = json.loads(path.read_bytes())
        differing = [key for key in plan if before.get(key) != plan[key]]
        if differing:
            key = differing[0]
            raise ConfigError(
                f"{folder}: holds a run with {key} = {before.get(key)!r}, not {plan[key]!r}; take another folder"
            )
    elif any(folder.glob("shard-*")):
        raise ConfigError(f"{folder}: holds shards without {PLAN}; take another folder")
    else:
        write_json(path, plan)
    for part in folder.glob(".shard-*.part"):
        part.unlink()


def _span(plan: Mapping[str, Any], k: int) -> range:
    return range(k * plan["per_shard"], min(plan["count"], (k + 1) * plan["per_shard"]))


# -- in a worker -------------------------------------------------------------------------------------------------------
_done: Any = None  # number of samples rendered by all workers, in shared memory


@functools.lru_cache(maxsize=1)
def _mixture(plan: str) -> Mixture:
    """Build the mixture of a plan; cached, so once per process."""
    about = json.loads(plan)
    known = ("name", "source", "weight", "prompt")
    parts = [
        Part(p["name"], p["source"], p["weight"], tuple(p["prompt"]), {k: p[k] for k in p if k not in known})
        for p in about["mix"]
    ]
    return Mixture(parts, about["seed"])


def _start(done: Any) -> None:
    import cv2

    global _done
    _done = done
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()

    def follow() -> None:  # without this, an orphaned worker would write into the folder of the next run
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _shard(folder: str, plan: str, k: int) -> int:
    about = json.loads(plan)
    write_shard(Path(folder), k, _mixture(plan), _span(about, k), about["image"], _tick)
    return k


def _tick() -> None:
    if _done is not None:
        with _done.get_lock():
            _done.value += 1


# -- the run -----------------------------------------------------------------------------------------------------------
def _count_done(plan: Mapping[str, Any], todo: list[int]) -> int:
    """Return how many samples are in shards that are done."""
    return plan["count"] - sum(len(_span(plan, k)) for k in todo)


def _on_cores(folder: Path, plan: dict[str, Any], todo: list[int], bar: tqdm, workers: int) -> None:
    """Render the shards in spawned processes. If a worker dies, the pool is restarted and its shards repeated."""
    context, text, deaths = multiprocessing.get_context("spawn"), json.dumps(plan), 0
    while todo:
        done = context.Value("q", 0)
        base = _count_done(plan, todo)
        with _environment(OMP_NUM_THREADS="1"), ProcessPoolExecutor(workers, context, _start, (done,)) as pool:
            futures = {pool.submit(_shard, str(folder), text, k) for k in todo}
            try:
                while futures:
                    finished, futures = wait(futures, 1.0, FIRST_COMPLETED)
                    bar.update(base + done.value - bar.n)
                    for future in finished:
                        future.result()
            except BrokenProcessPool:
                deaths += 1
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        todo = [k for k in todo if not is_done(folder, k)]
        if todo and deaths > DEATHS:
            names = ", ".join(shard_name(k) for k in todo[:workers])
            raise ConfigError(f"{folder}: {deaths} worker processes died; the last of them in one of {names}")
        bar.update(_count_done(plan, todo) - bar.n)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for the processes started inside the `with` block."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _on_ray(folder: Path, plan: dict[str, Any], todo: list[int], bar: tqdm, address: str) -> None:
    try:
        import ray
    except ImportError:
        raise MissingExtra("rendering on a cluster", "ray", "cluster") from None
    if not ray.is_initialized():
        ray.init(address=None if address == "local" else address, log_to_driver=False, include_dashboard=False)
    task = ray.remote(num_cpus=1, max_retries=DEATHS)(_shard)
    pending = [task.remote(str(folder.resolve()), json.dumps(plan), k) for k in todo]
    while pending:
        finished, pending = ray.wait(pending)
        for k in ray.get(finished):
            bar.update(len(_span(plan, k)))
