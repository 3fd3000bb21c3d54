"""What a run says: a row per task and reader with its interval, as Markdown, CSV and a picture; what was not read."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from .metrics import METRICS, WEIGHT, score, sureness, version
from .metrics.text import calibration, interval

Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """Scores of one reader on one task, or on a group of its examples. All scores are shares from 0 to 1, or rates.

    total: the metric's main score over all examples, each with its weight (characters, tests); median, mean, low, high:
    over examples, with a 95% bootstrap interval of the mean. others: means of the other scores. not_ok: status -> how
    many. seconds: median. memory_mib: the greatest peak; None where it is not known.
    """

    task: str
    reader: str
    group: str
    metric: str
    score: str
    examples: int
    total: float
    median: float
    mean: float
    low: float
    high: float
    others: dict[str, float] = field(default_factory=dict)
    not_ok: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    memory_mib: int | None = None

    def line(self) -> str:
        """For the screen."""
        lost = f"  not ok: {_counts(self.not_ok)}" if self.not_ok else ""
        took = f"  {self.seconds:.2f} s" if self.seconds is not None else ""
        return (
            f"{self.task:<16} {self.reader:<12} {self.examples:>4}  {self.score} {self.total:.2%}  median "
            f"{self.median:.2%}  mean {self.mean:.2%} ({self.low:.2%} to {self.high:.2%}){took}{lost}"
        )


def summarise(records: list[Record]) -> list[Row]:
    """Rows of scored records: one per task and reader, then one per group of those that have groups."""
    rows = []
    for task, reader in dict.fromkeys((r["task"], r["reader"]) for r in records):
        mine = [r for r in records if (r["task"], r["reader"]) == (task, reader)]
        groups = sorted({_group(r) for r in mine} - {""})
        parts = [_row(task, reader, group, [r for r in mine if _group(r) == group]) for group in groups]
        whole = _row(task, reader, "", mine)
        if METRICS[mine[0]["metric"]].by_group and parts:
            whole = Row(**{**vars(whole), "total": statistics.mean(part.total for part in parts)})
        rows += [whole, *parts]
    return rows


def _group(record: Record) -> str:
    return str((record.get("about") or {}).get("group", ""))


def _row(task: str, reader: str, group: str, records: list[Record]) -> Row:
    metric = METRICS[records[0]["metric"]]
    pairs = [(r["scores"][metric.main], r["scores"].get(WEIGHT, 1.0)) for r in records]
    values = np.array([pair for pair in pairs if pair[0] is not None], float).reshape(-1, 2)
    main, weights = values[:, 0], values[:, 1]
    low, high = interval(main.tolist(), lambda v: float(np.mean(v)))
    names = dict.fromkeys(name for r in records for name in r["scores"] if name not in (metric.main, WEIGHT))
    others = {name: _mean(r["scores"].get(name) for r in records) for name in names}
    others |= metric.overall({metric.main: _mean(main.tolist()), **others}) if metric.overall else {}
    seconds = [r["seconds"] for r in records if r.get("seconds") is not None]
    return Row(
        task, reader, group, records[0]["metric"], metric.main, len(records),
        float(main @ weights / weights.sum()) if weights.sum() else _mean(main.tolist()),
        float(np.median(main)) if len(main) else math.nan, _mean(main.tolist()), low, high, others,
        dict(Counter(r["status"] for r in records if r["status"] != "ok")),
        statistics.median(seconds) if seconds else None,
        max((r["memory_mib"] for r in records if r.get("memory_mib")), default=None),
    )  # fmt: skip


def _mean(values: Iterable[float | None]) -> float:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else math.nan


def write_report(records: list[Record], out: Path, log: Callable[[str], Any] = print) -> list[Row]:
    """Score records; write `report.md`, `report.csv`, `scores.csv`, `report.png` and what published scorers take."""
    scored = [r | {"scores": score(r)} for r in records]
    rows = summarise(scored)
    about = out / "run.json"
    facts = json.loads(about.read_text(encoding="utf-8")) if about.exists() else {}
    (out / "report.md").write_text(as_markdown(rows, scored, facts), encoding="utf-8")
    with (out / "report.csv").open("w", encoding="utf-8", newline="") as file:
        flat = [{**asdict(r), "others": json.dumps(r.others), "not_ok": json.dumps(r.not_ok)} for r in rows]
        writer = csv.DictWriter(file, list(Row.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(flat)
    with (out / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("task", "example", "reader", "group", "status", "score", "value"))
        for r in scored:
            facts = (r["task"], r["example"], r["reader"], _group(r), r["status"])
            table.writerows((*facts, name, value) for name, value in r["scores"].items() if value is not None)
    _for_published_scorers(records, out)
    drawn = draw(rows, out / "report.png")
    log(
        f"wrote {out / 'report.md'}" if drawn else f"wrote {out / 'report.md'}; no picture: matplotlib is not installed"
    )
    return rows


def conditions() -> str:
    """When, where and of what code: date, machine, versions, and the commit where the code stands in a repository."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    chip = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    here, commit = Path(__file__), ""
    for ask in (["ls-files", "--error-unmatch", here.name], ["describe", "--always", "--dirty", "--abbrev=9"]):
        try:  # first: does this file belong to the repository around it at all?
            commit = subprocess.run(
                ["git", "-C", str(here.parent), *ask], capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            commit = "not known"
            break
    versions = f"vary {__version__}, commit {commit}, torch {importlib.metadata.version('torch')}"
    return f"{time.strftime('%Y-%m-%d')}, {chip}, {os.cpu_count()} CPUs, {versions}"


def as_markdown(rows: list[Row], records: list[Record], facts: dict[str, Any]) -> str:
    """The tables, what they were measured on (`run.json`), and every example that was not read whole."""
    who = "; ".join(f"`{name}`: {identity}" for name, identity in facts.get("readers", {}).items())
    measured = "; then ".join(facts.get("conditions", ["conditions not recorded"]))
    text = (
        f"{measured}; {facts.get('seconds', math.nan) / 60:.1f} minutes in all. {who}. Metrics: "
        f"{', '.join(sorted({version(r['metric']) for r in records}))}. Seconds are the median wall time of an "
        "example; memory is the peak of its process.\n"
    )
    pages = [r for r in rows if r.metric.startswith("text") and not r.group]
    if pages:
        text += (
            "\n| task | reader | pages | CER, all characters | median page | mean page (95%) | mean edit distance | "
            "mean WER | not ok | s/page | MiB |\n" + "|" + "---|" * 11 + "\n"
        )
        text += "".join(_cells(r, r.others["edit_distance"], r.others["wer"]) for r in pages)
    rest = [r for r in rows if not r.metric.startswith("text")]
    if rest:
        text += "\n| task | reader | examples | score | all | median | mean (95%) | others | not ok | s | MiB |\n"
        text += "|" + "---|" * 11 + "\n" + "".join(_answer_cells(r) for r in rest)
    return text + _confidence(records) + _lost(records)


def _confidence(records: list[Record]) -> str:
    """Readers that tell how sure they are of each character: how often they are right, and what they cannot write."""
    text = ""
    for task, reader in dict.fromkeys((r["task"], r["reader"]) for r in records if r.get("confidence")):
        mine = [r for r in records if (r["task"], r["reader"]) == (task, reader)]
        pairs = [pair for r in mine for pair in sureness(r)]
        if pairs:
            sure, right = zip(*pairs, strict=True)
            apart, beyond = calibration(sure, right)[1], _mean(r.get("outside") for r in mine)
            rates = (statistics.fmean(sure), statistics.fmean(right), apart, beyond)
            text += f"| {task} | {reader} | {len(sure)} | {' | '.join(f'{v:.2%}' for v in rates)} |\n"
    head = "task | reader | characters written | mean confidence | right | calibration error | not in its alphabet"
    return f"\n| {head} |\n{'|---' * 7}|\n{text}" if text else ""


def _cells(row: Row, *rates: float) -> str:
    mean = f"{row.mean:.2%} ({row.low:.2%} to {row.high:.2%})"
    shown = [row.task, row.reader, row.examples, f"{row.total:.2%}", f"{row.median:.2%}", mean]
    return f"| {' | '.join(map(str, [*shown, *(f'{r:.2%}' for r in rates), *_costs(row)]))} |\n"


def _answer_cells(row: Row) -> str:
    name = f"{row.task}: {row.group}" if row.group else row.task
    mean = f"{row.mean:.2%} ({row.low:.2%} to {row.high:.2%})"
    others = ", ".join(f"{k} {v:.2%}" for k, v in row.others.items() if not math.isnan(v))
    shown = [name, row.reader, row.examples, row.score, f"{row.total:.2%}", f"{row.median:.2%}", mean, others]
    return f"| {' | '.join(map(str, [*shown, *_costs(row)]))} |\n"


def _costs(row: Row) -> list[str]:
    took = "" if row.seconds is None else f"{row.seconds:.2f}"
    return [_counts(row.not_ok) or "0", took, str(row.memory_mib or "")]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _lost(records: list[Record]) -> str:
    """The failure rate, and which examples they are."""
    text = "\n"
    for reader in dict.fromkeys(r["reader"] for r in records):
        mine = [r for r in records if r["reader"] == reader]
        lost = [r for r in mine if r["status"] != "ok"]
        named = [f"{r['task']}/{r['example']} {r['status']}{': ' + r['error'] if r.get('error') else ''}" for r in lost]
        text += (
            f"Not ok, {reader}: {len(lost)} of {len(mine)} ({len(lost) / len(mine):.1%}). {'; '.join(named)}".rstrip()
            + "\n\n"
        )
    return text.rstrip() + "\n"


def _for_published_scorers(records: list[Record], out: Path) -> None:
    """Below the task's name: Markdown files for OmniDocBench and olmOCR-bench, a JSON of answers for MM-Vet's judge."""
    judged: dict[Path, dict[str, str]] = {}
    for r in records:
        home, name = out / r["task"], (r.get("about") or {}).get("file")
        if r["metric"] == "judged":
            judged.setdefault(home / f"{r['reader'].replace('/', '_')}.json", {})[r["example"]] = r["text"]
        elif name:
            path = (home / r["reader"].replace("/", "_") / name).with_suffix(".md")
            if path.resolve().is_relative_to(home.resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(r["text"], encoding="utf-8")
    for path, answers in judged.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(answers, ensure_ascii=False, indent=1), encoding="utf-8")


def draw(rows: list[Row], path: Path) -> bool:
    """Bars of the means with their intervals, a panel per score; False when matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    rows = [r for r in rows if not r.group and not math.isnan(r.mean)]
    panels = dict.fromkeys((r.metric, r.score) for r in rows)
    if not rows:
        return True
    figure = Figure(figsize=(8, 1.2 * len(panels) + 0.3 * len(rows)), layout="constrained")
    ratios = [1 + sum((r.metric, r.score) == panel for r in rows) for panel in panels]
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=ratios)[:, 0]
    colours = {name: f"C{k}" for k, name in enumerate(dict.fromkeys(r.reader for r in rows))}
    for axis, panel in zip(axes, panels, strict=True):
        mine = [r for r in rows if (r.metric, r.score) == panel][::-1]
        errors = np.array([[r.mean - r.low, r.high - r.mean] for r in mine]).T.clip(0) * 100
        names = [f"{r.task}, {r.reader}" for r in mine]
        axis.barh(names, [r.mean * 100 for r in mine], xerr=errors, color=[colours[r.reader] for r in mine], capsize=2)
        better = "lower" if METRICS[panel[0]].lower else "higher"
        axis.set_xlabel(f"{panel[1]}, mean of an example in % ({better} is better), 95% interval")
    figure.savefig(path, dpi=120)
    return True
