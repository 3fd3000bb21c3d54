"""Score charts as data: SCRM's average precision over triplets, and DePlot's RMS over tables.

SCRM (StructChart, arXiv 2309.11268) compares sets of (series, label, value); ChartQA-SE and PlotQA-SE are scored by
OneChart's form of it (arXiv 2404.09987), which also takes names for the same when one, series and label joined, lies
inside the other. RMS (DePlot, arXiv 2212.10505) compares tables, written `a | b` line by line. Each function
scores one chart; a benchmark's figure is the mean over its charts, those that gave no readable answer with 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from ...io.errors import ConfigError, InputError
from ...markup.chart_text import Chart, number, parse_chart
from .base import Scores
from .text import Match, cheapest_pairs
from .vqa import to_number

# name -> edits by which names may differ, share of the truth by which values may
TOLERANCES = {"strict": (0, 0.0), "slight": (2, 0.05), "high": (5, 0.1)}
# the published scripts count up like this, so that 0.6 is 0.6000000000000001 and a similarity of 3/4 misses 0.75
_LEVELS = np.arange(0.5, 1, 0.05)
Triplet = tuple[str, str, float | str]


# -- SCRM --------------------------------------------------------------------------------------------------------------
def chart_precision(
    predicted: Mapping[str, Any], truth: Mapping[str, Any], tolerance: str = "strict", *, contained: bool = True
) -> float:
    """Return the share of levels .5, .55 ... .95 that `chart_similarity` reaches. Its mean over charts is the mAP."""
    return float(np.mean(chart_similarity(predicted, truth, tolerance, contained=contained) >= _LEVELS))


def chart_similarity(
    predicted: Mapping[str, Any], truth: Mapping[str, Any], tolerance: str = "strict", *, contained: bool = True
) -> float:
    """Return the share of triplets that agree, 0 to 1. Two empty charts score 1.

    predicted, truth: `Chart.values`, label -> value or series -> {label: value}. tolerance: one of TOLERANCES.
    contained: whether names inside the other are the same (OneChart; False for StructChart and ChartVLM).
    Values are read by `markup.chart_text.number` without their unit; of others only digits, points and signs are kept,
    as published, where this is done to all ("1e5" is 15 there). Raises ValueError for an unknown tolerance.
    """
    if tolerance not in TOLERANCES:
        raise ConfigError(f"unknown tolerance {tolerance!r}; allowed: {', '.join(TOLERANCES)}")
    found, wanted = _triplets(predicted), _triplets(truth)
    if contained:  # OneChart's script puts the two names in order only where both lists go on
        for k, (a, b) in enumerate(zip(found, wanted, strict=False)):
            found[k] = _order_ends((a[0], "value", a[2]) if b[1] == "value" and "value" not in a[:2] else a)
            wanted[k] = _order_ends(b)
    else:
        found, wanted = [_order_ends(t) for t in found], [_order_ends(t) for t in wanted]
    mine, theirs = set(found), set(wanted)
    agreeing = {t for t in mine if any(_agree(t, other, *TOLERANCES[tolerance], contained) for other in theirs)}
    whole = len((mine | theirs) - (agreeing - (mine & theirs)))
    return min(1.0, len(agreeing) / whole) if whole else 1.0


def _triplets(values: Mapping[str, Any]) -> list[Triplet]:
    out: list[Triplet] = []
    for key, value in values.items():
        inner = value if isinstance(value, Mapping) else None
        for name, cell in inner.items() if inner is not None else (("value", value),):
            out.append((str(key).lower(), str(name).lower(), _value(str(cell))))
    return out


def _value(text: str) -> float | str:
    if read := number(text):
        return read[0]
    kept = re.sub(r"[^\d.-]", "", text)
    try:
        return float(kept)
    except ValueError:
        return kept


def _order_ends(triplet: Triplet) -> Triplet:
    first, second = sorted(triplet[:2])
    return first, second, triplet[2]


def _agree(a: Triplet, b: Triplet, edits: int, share: float, contained: bool) -> bool:
    mine, theirs = a[0] + a[1], b[0] + b[1]
    if isinstance(a[2], float) and isinstance(b[2], float):
        near = abs(a[2] - b[2]) / (abs(b[2]) + 1e-6) <= share
        same = Levenshtein.distance(mine, theirs, score_cutoff=edits) <= edits
        return near and (same or (contained and (mine in theirs or theirs in mine)))
    return Levenshtein.distance(f"{mine}{a[2]}", f"{theirs}{b[2]}", score_cutoff=edits) <= edits


# -- DePlot ------------------------------------------------------------------------------------------------------------
def chart_table(chart: Chart) -> str:
    """Write a chart as DePlot does: `title | ...`, a line of heads, and a line per label with a cell per series.

    A value that a series does not have is an empty cell. Raises ValueError when dicts stand beside plain values.
    """
    series = {k: v for k, v in chart.values.items() if isinstance(v, dict)}
    if series and len(series) < len(chart.values):
        raise InputError(f"the chart has series and plain values: {next(k for k in chart.values if k not in series)!r}")
    columns: dict[str, dict[str, Any]] = series or {"value": dict(chart.values)}
    labels = dict.fromkeys(label for column in columns.values() for label in column)
    rows = [["", *columns], *([label, *(str(c.get(label, "")) for c in columns.values())] for label in labels)]
    title = [f"title | {chart.title}"] if chart.title is not None else []
    return "\n".join([*title, *(" | ".join(row) for row in rows)])


def rms(predicted: str, truth: str, *, any_format: bool = False) -> Match:
    """Return the relative mapping similarity of two tables: precision, recall and F1 of cells named by row and column.

    The better of the prediction as it is and with rows and columns exchanged. Names may differ by half of their
    characters, numbers by a tenth, and count less for it. any_format: numbers are also read by
    `markup.chart_text.number`, as the published script does not ("1,234" is text there).
    """
    target = _Table.parse(truth).cells()
    tables = [_Table.parse(predicted, turned) for turned in (True, False)]
    return max((_rms(table.cells(), target, any_format) for table in tables), key=lambda match: match.f1)


@dataclass(frozen=True)
class _Table:
    title: str | None
    rows: list[tuple[str, ...]]

    @classmethod
    def parse(cls, text: str, turned: bool = False) -> _Table:
        lines = text.lower().splitlines()
        title = lines.pop(0)[len("title |") :].strip() if lines and lines[0].startswith("title |") else None
        rows = [tuple(cell.strip() for cell in line.split(" | ")) for line in lines]
        return cls(title, list(zip_longest(*rows, fillvalue="")) if turned else rows)

    def cells(self) -> dict[str, str]:
        """Row name and column name -> cell, and the title."""
        out = {} if self.title is None else {"title": self.title}
        heads = self.rows[0][1:] if self.rows else ()
        for row in self.rows[1:]:
            out |= {f"{row[0]} {head}": cell for head, cell in zip(heads, row[1:], strict=False)}
        return out


def _rms(found: dict[str, str], wanted: dict[str, str], any_format: bool) -> Match:
    if not found or not wanted:
        return Match.of(0, len(found), len(wanted))
    names, true_names = list(found), list(wanted)
    alike = 1 - cdist(true_names, names, scorer=Levenshtein.normalized_distance, dtype=np.float64)
    alike[alike <= 0.5] = 0
    pairs = cheapest_pairs(1 - alike)
    score = sum(alike[t, p] * _alike(found[names[p]], wanted[true_names[t]], any_format) for t, p in pairs)
    return Match.of(float(score), len(found), len(wanted))


def _alike(predicted: str, truth: str, any_format: bool) -> float:
    a, b = _read(predicted, any_format), _read(truth, any_format)
    if a is not None and b:
        distance = abs((b - a) / b)
        return 1 - distance if distance < 0.1 else 0.0
    similarity = Levenshtein.normalized_similarity(predicted, truth)
    return similarity if similarity > 0.5 else 0.0


def _read(text: str, any_format: bool) -> float | None:
    value = to_number(text)
    if value is None and any_format and (read := number(text)):
        value = read[0]
    return value


def chart_scores(answer: str, truth: str | dict[str, Any]) -> Scores:
    """Score a chart's dict by AP strict, slight and high, and RMS F1. An answer without a dict scores 0.

    truth: the text of a dict, or OneChart's `gts`.
    """
    wanted = parse_chart(truth) if isinstance(truth, str) else Chart(truth.get("title"), truth["values"])
    try:
        found = parse_chart(answer)
    except ValueError:
        return dict.fromkeys([*TOLERANCES, "rms"], 0.0)
    scores: Scores = {name: chart_precision(found.values, wanted.values, name) for name in TOLERANCES}
    try:
        scores["rms"] = rms(chart_table(found), chart_table(wanted), any_format=True).f1
    except ValueError:  # plain values next to series: no table
        scores["rms"] = 0.0
    return scores
