"""Report a bench: a row per arm and task with intervals over seeds, as Markdown, CSV and a picture.

It reads what `train/bench.py` writes: `ARM/seed-N/result.json` and `answers.jsonl` in the folder of a bench.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from ..io.errors import InputError
from .metrics.text import cer, normalise

COLUMNS = (
    "arm", "seeds", "own parameters", "trained", "image tokens", "GFLOP/sample", "ms/step", "MiB", "loss", "accuracy",
    "with another picture", "CER",
)  # fmt: skip


@dataclass(frozen=True)
class BenchRow:
    """What one arm reached on one task: means over seeds, with the 95% interval of the accuracy.

    Attributes:
        own: Parameters of connector, arrangement, fusion and routes.
        trained: All parameters that were trained.
        tokens: Image tokens of a picture.
        gflop: Operations of a training step, forward and backward, per sample.
        ms: Milliseconds of a training step with loading its data.
        mib: Activations that a step keeps for the backward pass.
        accuracy: Share of right next characters, given the true ones before. Held-out samples.
        low, high: Interval of the accuracy over seeds (Student's t). NaN for one seed.
        other: The accuracy with the picture of another sample.
        learnt: Whether the interval is above that of `other`: the model has left chance.
        cer: Character error rate of what it writes by itself.
    """

    task: str
    arm: str
    seeds: int
    own: int
    trained: int
    tokens: int
    gflop: float
    ms: float
    mib: float
    loss: float
    accuracy: float
    low: float
    high: float
    other: float
    learnt: bool
    cer: float


def read_bench(folder: Path) -> list[BenchRow]:
    """Read the results of a bench, one row per task and arm.

    Raises:
        InputError: No run has ended.
    """
    runs: dict[str, list[dict[str, Any]]] = {}
    for arm in _arms(folder):
        for file in sorted((folder / arm).glob("seed-*/result.json")):
            result = json.loads(file.read_text(encoding="utf-8"))
            result["cer"] = _error_rates(file.with_name("answers.jsonl"))
            runs.setdefault(arm, []).append(result)
    if not runs:
        raise InputError(f"{folder}: no run of a bench has ended there")
    tasks = next(iter(runs.values()))[0]["tasks"]
    return [_row(task, arm, found) for task in tasks for arm, found in runs.items()]


def _arms(folder: Path) -> list[str]:
    file = folder / "bench.yaml"
    if not file.is_file():
        raise InputError(f"{folder}: not the folder of a bench: it has no bench.yaml")
    return list(yaml.safe_load(file.read_text(encoding="utf-8"))["arms"])


def _error_rates(file: Path) -> dict[str, float]:
    """Return the mean character error rate of each task."""
    rates: dict[str, list[float]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        rates.setdefault(record["task"], []).append(cer(normalise(record["answer"]), normalise(record["truth"])))
    return {task: mean(values) for task, values in rates.items()}


def _row(task: str, arm: str, runs: list[dict[str, Any]]) -> BenchRow:
    first, found = runs[0], [run["tasks"][task] for run in runs]
    right, other = [one["accuracy"] for one in found], [one["another_picture"] for one in found]
    (low, high), (_, other_high) = interval(right), interval(other)
    return BenchRow(
        task, arm, len(runs), first["own_parameters"], first["trained_parameters"], first["image_tokens"],
        first["gflops_per_sample"], mean(run["ms_per_step"] for run in runs), first["activations_mib"],
        mean(one["loss"] for one in found), mean(right), low, high, mean(other), low > other_high,
        mean(run["cer"].get(task, math.nan) for run in runs),
    )  # fmt: skip


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95% confidence interval of a mean by Student's t; (NaN, NaN) for less than two values."""
    if len(values) < 2:
        return math.nan, math.nan
    from scipy.stats import t as student  # takes a second to import

    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def as_markdown(rows: list[BenchRow]) -> str:
    """Write a table per task. An arm that has not left chance is marked."""
    found = []
    for task in dict.fromkeys(row.task for row in rows):
        lines = [f"| {' | '.join((task, *COLUMNS[1:]))} |", "|---" * len(COLUMNS) + "|"]
        for r in (row for row in rows if row.task == task):
            sure = f" ({r.low:.3f} to {r.high:.3f})" if r.seeds > 1 else ""
            chance = "" if r.learnt or r.seeds < 2 else ", not above chance"
            cells = [
                r.arm, r.seeds, f"{r.own:,}", f"{r.trained:,}", r.tokens, f"{r.gflop:.3f}", f"{r.ms:.0f}",
                f"{r.mib:.1f}", f"{r.loss:.3f}", f"{r.accuracy:.3f}{sure}{chance}", f"{r.other:.3f}", f"{r.cer:.1%}",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(map(str, cells))} |")
        found.append("\n".join(lines))
    return "\n\n".join(found)


def write_bench_tables(folder: Path) -> str:
    """Write `table.md`, `table.csv` and `accuracy.png` into the folder of a bench. Return the Markdown."""
    rows = read_bench(folder)
    text = as_markdown(rows)
    (folder / "table.md").write_text(text + "\n", encoding="utf-8")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(BenchRow)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    draw(rows, folder / "accuracy.png")
    return text


def draw(rows: list[BenchRow], path: Path) -> None:
    """Draw the accuracy of each arm with its interval, a panel per task; a cross is that with another picture."""
    from matplotlib.figure import Figure

    tasks, arms = list(dict.fromkeys(r.task for r in rows)), list(dict.fromkeys(r.arm for r in rows))[::-1]
    figure = Figure(figsize=(2.5 + 4 * len(tasks), 1.2 + 0.3 * len(arms)), layout="constrained")
    for axis, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for row in (r for r in rows if r.task == task):
            y = arms.index(row.arm)
            error = None if math.isnan(row.low) else [[row.accuracy - row.low], [row.high - row.accuracy]]
            axis.errorbar(row.accuracy, y, xerr=error, fmt="o", color="C0", capsize=3)
            axis.plot(row.other, y, "x", color="C3")
        axis.set(yticks=range(len(arms)), yticklabels=arms, xlim=(0, 1.02), title=task)
        axis.set_xlabel("right next characters (x: with another picture)")
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


__all__ = ["BenchRow", "as_markdown", "interval", "read_bench", "write_bench_tables"]
