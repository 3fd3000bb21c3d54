"""Report a run: a row per task and reader with its interval, as Markdown, CSV and a picture."""

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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from .metrics import METRICS, WEIGHT, Scores, version
from .metrics.text import bootstrap_interval, calibration
from .record import EvalRecord


@dataclass(frozen=True)
class Row:
    """Scores of one reader on one task, or on a group of its examples. Scores are shares from 0 to 1, or error rates.

    Args:
        total: The metric's main score over all examples, each with its weight (characters, tests).
        median, mean, low, high: Of the main score over examples, with the 95% bootstrap interval of the mean.
        others: Means of the other scores.
        not_ok: Number of examples by status.
        seconds: Median wall time.
        memory_mib: Largest peak of memory. None if not known.
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

    @property
    def title(self) -> str:
        """The task, and the group if there is one."""
        return f"{self.task}: {self.group}" if self.group else self.task

    def line(self) -> str:
        """Write the row as one line of text."""
        lost = f"  not ok: {_counts(self.not_ok)}" if self.not_ok else ""
        took = f"  {self.seconds:.2f} s" if self.seconds is not None else ""
        return (
            f"{self.title:<24} {self.reader:<12} {self.examples:>4}  {self.score} {self.total:.2%}  median "
            f"{self.median:.2%}  mean {self.mean:.2%} ({self.low:.2%} to {self.high:.2%}){took}{lost}"
        )


def summarise(records: list[EvalRecord]) -> list[Row]:
    """Score records and sum them up: a row per task and reader, then a row per group of those with groups."""
    scored = [(record, record.scores()) for record in records]
    rows = []
    for task, reader in dict.fromkeys((r.task, r.reader) for r in records):
        mine = [(r, scores) for r, scores in scored if (r.task, r.reader) == (task, reader)]
        groups = sorted({r.group for r, _ in mine} - {""})
        parts = [_row(task, reader, group, [pair for pair in mine if pair[0].group == group]) for group in groups]
        whole = _row(task, reader, "", mine)
        if METRICS[mine[0][0].metric].by_group and parts:
            whole = replace(whole, total=statistics.mean(part.total for part in parts))
        rows += [whole, *parts]
    return rows


def _row(task: str, reader: str, group: str, scored: list[tuple[EvalRecord, Scores]]) -> Row:
    records = [record for record, _ in scored]
    metric = METRICS[records[0].metric]
    pairs = [(scores[metric.main], scores.get(WEIGHT, 1.0)) for _, scores in scored]
    values = np.array([pair for pair in pairs if pair[0] is not None], float).reshape(-1, 2)
    main, weights = values[:, 0], values[:, 1]
    low, high = bootstrap_interval(main.tolist())
    names = dict.fromkeys(name for _, scores in scored for name in scores if name not in (metric.main, WEIGHT))
    others = {name: _mean(scores.get(name) for _, scores in scored) for name in names}
    others |= metric.overall({metric.main: _mean(main.tolist()), **others}) if metric.overall else {}
    seconds = [r.seconds for r in records if r.seconds is not None]
    return Row(
        task, reader, group, records[0].metric, metric.main, len(records),
        float(main @ weights / weights.sum()) if weights.sum() else _mean(main.tolist()),
        float(np.median(main)) if len(main) else math.nan, _mean(main.tolist()), low, high, others,
        dict(Counter(r.status for r in records if r.status != "ok")),
        statistics.median(seconds) if seconds else None,
        max((r.memory_mib for r in records if r.memory_mib), default=None),
    )  # fmt: skip


def _mean(values: Iterable[float | None]) -> float:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else math.nan


def write_report(records: list[EvalRecord], out: Path, log: Callable[[str], Any] = print) -> list[Row]:
    """Score records; write `report.md`, `report.csv`, `scores.csv`, `report.png` and files for published scorers."""
    rows = summarise(records)
    about = out / "run.json"
    facts = json.loads(about.read_text(encoding="utf-8")) if about.exists() else {}
    (out / "report.md").write_text(as_markdown(rows, records, facts), encoding="utf-8")
    with (out / "report.csv").open("w", encoding="utf-8", newline="") as file:
        flat = [{**asdict(r), "others": json.dumps(r.others), "not_ok": json.dumps(r.not_ok)} for r in rows]
        writer = csv.DictWriter(file, list(Row.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(flat)
    with (out / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("task", "example", "reader", "group", "status", "score", "value"))
        for r in records:
            key = (r.task, r.example, r.reader, r.group, r.status)
            table.writerows((*key, name, value) for name, value in r.scores().items() if value is not None)
    _for_published_scorers(records, out)
    drawn = draw(rows, out / "report.png")
    log(
        f"wrote {out / 'report.md'}" if drawn else f"wrote {out / 'report.md'}; no picture: matplotlib is not installed"
    )
    return rows


def conditions() -> str:
    """Describe the conditions of a measurement: date, machine, versions, and the commit of the code if known."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    chip = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    here, commit = Path(__file__), ""
    for ask in (["ls-files", "--error-unmatch", here.name], ["describe", "--always", "--dirty", "--abbrev=9"]):
        try:  # first: is this file part of the repository around it?
            commit = subprocess.run(
                ["git", "-C", str(here.parent), *ask], capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            commit = "not known"
            break
    versions = f"vary {__version__}, commit {commit}, torch {importlib.metadata.version('torch')}"
    return f"{time.strftime('%Y-%m-%d')}, {chip}, {os.cpu_count()} CPUs, {versions}"


def as_markdown(rows: list[Row], records: list[EvalRecord], facts: dict[str, Any]) -> str:
    """Write the tables, the conditions (`run.json`), the missing peers, and every example whose status is not `ok`."""
    who = "; ".join(f"`{name}`: {identity}" for name, identity in facts.get("readers", {}).items())
    measured = "; then ".join(facts.get("conditions", ["conditions not recorded"]))
    text = (
        f"{measured}; {facts.get('seconds', math.nan) / 60:.1f} minutes in all. {who}. Metrics: "
        f"{', '.join(sorted({version(r.metric) for r in records}))}. Seconds are the median wall time of an "
        "example; memory is the peak of its process.\n"
    )
    pages = [r for r in rows if r.metric.startswith("text")]
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
    missing = [f"{who}: {why}" for who, why in facts.get("missing", {}).items()]
    text += f"\nMissing peers: {'; '.join(missing)}.\n" if missing else ""
    return text + confidence_table(records) + _lost(records)


def confidence_table(records: list[EvalRecord]) -> str:
    """Compare the confidence of characters with the share that is right, for readers that report confidence."""
    text = ""
    for task, reader in dict.fromkeys((r.task, r.reader) for r in records if r.confidence):
        mine = [r for r in records if (r.task, r.reader) == (task, reader)]
        pairs = [pair for r in mine for pair in r.sureness()]
        if pairs:
            sure, right = zip(*pairs, strict=True)
            apart, beyond = calibration(sure, right)[1], _mean(r.outside for r in mine)
            rates = (statistics.fmean(sure), statistics.fmean(right), apart, beyond)
            text += f"| {task} | {reader} | {len(sure)} | {' | '.join(f'{v:.2%}' for v in rates)} |\n"
    head = "task | reader | characters written | mean confidence | right | calibration error | not in its alphabet"
    return f"\n| {head} |\n{'|---' * 7}|\n{text}" if text else ""


def _cells(row: Row, *rates: float) -> str:
    mean = f"{row.mean:.2%} ({row.low:.2%} to {row.high:.2%})"
    shown = [row.title, row.reader, row.examples, f"{row.total:.2%}", f"{row.median:.2%}", mean]
    return f"| {' | '.join(map(str, [*shown, *(f'{r:.2%}' for r in rates), *_costs(row)]))} |\n"


def _answer_cells(row: Row) -> str:
    mean = f"{row.mean:.2%} ({row.low:.2%} to {row.high:.2%})"
    others = ", ".join(f"{k} {v:.2%}" for k, v in row.others.items() if not math.isnan(v))
    shown = [row.title, row.reader, row.examples, row.score, f"{row.total:.2%}", f"{row.median:.2%}", mean, others]
    return f"| {' | '.join(map(str, [*shown, *_costs(row)]))} |\n"


def _costs(row: Row) -> list[str]:
    took = "" if row.seconds is None else f"{row.seconds:.2f}"
    return [_counts(row.not_ok) or "0", took, str(row.memory_mib or "")]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _lost(records: list[EvalRecord]) -> str:
    """List the examples whose status is not `ok`, by reader."""
    text = "\n"
    for reader in dict.fromkeys(r.reader for r in records):
        mine = [r for r in records if r.reader == reader]
        lost = [r for r in mine if r.status != "ok"]
        named = [f"{r.task}/{r.example} {r.status}{': ' + r.error if r.error else ''}" for r in lost]
        text += (
            f"Not ok, {reader}: {len(lost)} of {len(mine)} ({len(lost) / len(mine):.1%}). {'; '.join(named)}".rstrip()
            + "\n\n"
        )
    return text.rstrip() + "\n"


def _for_published_scorers(records: list[EvalRecord], out: Path) -> None:
    """Write Markdown files for the scorers of OmniDocBench and olmOCR-bench, and a JSON for MM-Vet's judge."""
    judged: dict[Path, dict[str, str]] = {}
    for r in records:
        home, name, who = out / r.task, r.about.get("file"), r.reader.replace("/", "_")
        if r.metric == "judged":
            judged.setdefault(home / f"{who}.json", {})[r.example] = r.text
        elif name:
            path = (home / who / name).with_suffix(".md")
            if path.resolve().is_relative_to(home.resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(r.text, encoding="utf-8")
    for path, answers in judged.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(answers, ensure_ascii=False, indent=1), encoding="utf-8")


def draw(rows: list[Row], path: Path) -> bool:
    """Draw the means with their intervals as bars, a panel per score. Return False if matplotlib is not installed."""
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
