"""`vary eval`: every page of every task through the model and, when asked, its peers; predictions, then a report."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .. import __version__
from ..reader import Reader, load_reader
from .metrics import cer, edit_distance, interval, join_hyphens, normalise, wer
from .peers import PEERS
from .tasks import TASKS, pages


def evaluate(
    model: str, tasks: str = "all", out: Path = Path("eval"), *, limit: int | None = None, peers: str = "",
    log: Callable[[str], Any] = print,
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure; write `predictions.jsonl` as pages are read, then `report.md`. Returns the rows of the report.

    What peers read in an earlier run in the same folder is kept and scored anew; the model reads every page again.
    """
    names = TASKS if tasks == "all" else tuple(tasks.split(","))
    for name in names:
        if name not in TASKS:
            raise ValueError(f"unknown task {name!r}; allowed: {', '.join(TASKS)}, all")
    readers = _readers(model, peers, log)
    out.mkdir(parents=True, exist_ok=True)
    earlier = _earlier(out / "predictions.jsonl")
    records = []
    with (out / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for task in names:
            for page in pages(task, limit):
                for reader, read in readers.items():
                    kept = earlier.get((task, page.name, reader))
                    record = _score(kept, page.truth) if kept else _measure(read, page.image, page.truth)
                    record |= {"task": task, "page": page.name, "reader": reader}
                    records.append(record)
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                    file.flush()
            for row in summarise([r for r in records if r["task"] == task]):
                log(_line(row))
    rows = summarise(records)
    (out / "report.md").write_text(report(rows, model), encoding="utf-8")
    log(f"wrote {out / 'report.md'}")
    return rows


def _readers(model: str, peers: str, log: Callable[[str], Any]) -> dict[str, Callable[[Image.Image], str]]:
    reader = load_reader(model)
    reader.read(Image.new("L", (512, 512), "white"))  # the first call sets kernels up
    readers = {reader.name: lambda image: _text(reader, image)}
    for name in filter(None, peers.split(",")):
        if name not in PEERS:
            raise ValueError(f"unknown peer {name!r}; allowed: {', '.join(PEERS)}")
        peer = PEERS[name]()
        if peer is None:
            log(f"{name}: not installed, left out")
        else:
            readers[name] = peer
    return readers


def _text(reader: Reader, image: Image.Image) -> str:
    page = reader.read(image, reader.wanted_scale(image))
    return "\n".join(line.text for line in page.lines)


def _measure(read: Callable[[Image.Image], str], image: Image.Image, truth: str) -> dict[str, Any]:
    began, cpu = time.perf_counter(), time.process_time()
    text = read(image)
    seconds = time.perf_counter() - began
    spent = {"seconds": round(seconds, 3), "cpu_seconds": round(time.process_time() - cpu, 3)}
    return _score(spent | {"text": join_hyphens(text)}, truth)


def _score(record: dict[str, Any], truth: str) -> dict[str, Any]:
    found = normalise(record["text"])
    scores = {"cer": cer(found, truth), "wer": wer(found, truth), "edit_distance": edit_distance(found, truth)}
    return record | scores | {"text": found, "truth": truth}


def _earlier(path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Peers' records of an earlier run, by task, page and reader."""
    if not path.exists():
        return {}
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(r["task"], r["page"], r["reader"]): r for r in records if r["reader"] in PEERS}


def summarise(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per task and reader: pages, CER over all characters, median and mean of a page's, interval, WER, time."""
    rows = []
    for task, reader in dict.fromkeys((r["task"], r["reader"]) for r in records):
        mine = [r for r in records if (r["task"], r["reader"]) == (task, reader)]
        errors = [r["cer"] for r in mine]
        low, high = interval(errors, lambda v: float(np.mean(v)))
        sizes = [len(r["truth"]) for r in mine]
        rows.append(
            {
                "task": task, "reader": reader, "pages": len(mine),
                "cer": sum(e * n for e, n in zip(errors, sizes, strict=True)) / max(1, sum(sizes)),
                "median_cer": statistics.median(errors), "mean_cer": statistics.mean(errors), "low": low, "high": high,
                "median_ed": statistics.median(r["edit_distance"] for r in mine),
                "mean_wer": statistics.mean(r["wer"] for r in mine),
                "seconds": statistics.median(r["seconds"] for r in mine),
            }
        )  # fmt: skip
    return rows


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['task']:<16} {row['reader']:<12} {row['pages']:>3} pages  CER {row['cer']:.2%}  "
        f"median {row['median_cer']:.2%}  mean {row['mean_cer']:.2%}  WER {row['mean_wer']:.2%}  {row['seconds']:.2f} s"
    )


def report(rows: list[dict[str, Any]], model: str) -> str:
    """The table as Markdown, with what it was measured on."""
    head = (
        f"Model `{model}`, vary {__version__}, torch {torch.__version__} with {torch.get_num_threads()} threads, "
        f"{platform.processor() or platform.machine()}. CER and WER are edits per character and word of the truth, "
        "white space collapsed; seconds are the median wall time of a page.\n\n"
        "| task | reader | pages | CER, all characters | median page | mean page (95%) | median edit distance | "
        "mean WER | s/page |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    body = "".join(
        f"| {r['task']} | {r['reader']} | {r['pages']} | {r['cer']:.2%} | {r['median_cer']:.2%} | {r['mean_cer']:.2%} "
        f"({r['low']:.2%} to {r['high']:.2%}) | {r['median_ed']:.2%} | {r['mean_wer']:.2%} | {r['seconds']:.2f} |\n"
        for r in rows
    )
    return head + body
