"""Compare two runs example by example: is the difference of their scores more than chance?

Both read the same examples, so the differences per example are tested. Pages differ more than readers do on one page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..io.errors import InputError
from .metrics import METRICS
from .metrics.text import bootstrap_interval
from .record import EvalRecord, read_records


@dataclass(frozen=True)
class Difference:
    """First minus second on one task. better, worse: number of examples. p: of a sign test."""

    task: str
    score: str
    examples: int
    first: float
    second: float
    low: float
    high: float
    better: int
    worse: int
    p: float

    @property
    def equal(self) -> int:
        """Number of examples with equal scores."""
        return self.examples - self.better - self.worse


def compare(first: str, second: str) -> list[Difference]:
    """Return differences per task of two runs, each `FOLDER` (its model) or `FOLDER:READER` (one of its readers).

    95% intervals are of a paired bootstrap over examples. Raises ValueError when they have no example in common, or
    when an example's truth or metric is not the same in both.
    """
    a, b = _records(first), _records(second)
    common = [key for key in a if key in b]
    if not common:
        raise InputError(f"{first} and {second} have no example in common")
    for key in common:
        if (a[key].metric, a[key].truth) != (b[key].metric, b[key].truth):
            raise InputError(f"{first} and {second}: {'/'.join(key)} has another metric or truth in one of them")
    tasks = dict.fromkeys(task for task, _ in common)
    return [_difference(task, [(a[key], b[key]) for key in common if key[0] == task]) for task in tasks]


def _records(name: str) -> dict[tuple[str, str], EvalRecord]:
    folder, _, reader = (name, "", "") if Path(name).is_dir() or ":" not in name else name.rpartition(":")
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder")
    records = read_records(folder)
    if not records:
        raise InputError(f"{folder}: no predictions of a run in it")
    if not reader:
        about = Path(folder) / "run.json"
        reader = json.loads(about.read_text(encoding="utf-8")).get("model") or records[0].reader
    found = {(r.task, r.example): r for r in records if r.reader == reader}
    if not found:
        known = dict.fromkeys(r.reader for r in records)
        raise InputError(f"{folder}: nothing was read by {reader!r}; there are {', '.join(known)}")
    return found


def _difference(task: str, pairs: Sequence[tuple[EvalRecord, EvalRecord]]) -> Difference:
    metric = METRICS[pairs[0][0].metric]
    scored = [(a.scores()[metric.main], b.scores()[metric.main]) for a, b in pairs]
    values = np.array([pair for pair in scored if None not in pair], float).reshape(-1, 2)
    gap = values[:, 0] - values[:, 1]
    low, high = bootstrap_interval(gap.tolist())
    below, above = int((gap < 0).sum()), int((gap > 0).sum())
    better, worse = (below, above) if metric.lower else (above, below)
    first, second = values.mean(0).tolist() if len(values) else (math.nan, math.nan)
    return Difference(task, metric.main, len(gap), first, second, low, high, better, worse, sign_test(better, worse))


def sign_test(better: int, worse: int) -> float:
    """Return the p-value of an exact two-sided sign test. Ties are left out."""
    total, least = better + worse, min(better, worse)
    return min(1.0, 2 * sum(math.comb(total, k) for k in range(least + 1)) / 2**total)


def as_markdown(differences: Sequence[Difference], first: str, second: str) -> str:
    """Write the comparison as a Markdown table."""
    rows = [
        f"| {d.task} | {d.score} | {d.examples} | {d.first:.4f} | {d.second:.4f} | {d.first - d.second:+.4f} "
        f"({d.low:+.4f} to {d.high:+.4f}) | {d.better} / {d.worse} / {d.equal} | {d.p:.3g} |\n"
        for d in differences
    ]
    head = (
        f"| task | score | examples | {first} | {second} | difference (95%) | better / worse / equal | sign test p |\n"
    )
    return head + "|" + "---|" * 8 + "\n" + "".join(rows)
