"""The logs of a run: append to `loss.csv` and `eval.csv`, cut them back on resuming, plot them as `loss.png`."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

_NOT_LOSSES = {"stage", "step", "seen", "lr", "per_s", "tokens_s", "mfu", "grad", "accuracy", "lines", "cut"}


class RunLog:
    """The CSV logs of the run in a folder."""

    names = ("loss.csv", "eval.csv")

    def __init__(self, out: Path):
        self.out = out
        self.columns: dict[str, list[str]] = {}

    def append(self, name: str, row: dict[str, Any]) -> None:
        """Append a row. Write a header first if its columns differ from those of the row before."""
        path, columns = self.out / name, list(row)
        if name not in self.columns and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                self.columns[name] = next((r for r in reversed(list(csv.reader(file))) if r[:1] == ["stage"]), [])
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if self.columns.get(name) != columns:
                writer.writerow(columns)
                self.columns[name] = columns
            writer.writerow(row.values())

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the logs in bytes, for a checkpoint."""
        return {name: (self.out / name).stat().st_size for name in self.names if (self.out / name).exists()}

    def truncate(self, sizes: dict[str, int]) -> None:
        """Cut the logs to their sizes at a checkpoint. Later rows belong to steps that will run again."""
        for name in self.names:
            path = self.out / name
            if path.exists() and path.stat().st_size > sizes.get(name, 0):
                os.truncate(path, sizes.get(name, 0))

    def plot(self) -> None:
        """Plot losses and held-out measures over samples seen, on a log scale, as `loss.png`."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 4), layout="constrained")
        titles = {"loss.csv": "training loss", "eval.csv": "held-out error rate"}
        for axis, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
            for label, (x, y) in _series(self.out / name).items():
                axis.plot(x, y, label=label, linewidth=1)
            axis.set(xlabel="samples seen", title=title, yscale="log")
            axis.grid(alpha=0.3)
            if axis.lines:
                axis.legend()
        figure.savefig(self.out / "loss.png", dpi=110)


def _series(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Read the columns of a log. A stage with other columns begins with its own header row."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    if not path.exists():
        return found
    header: list[str] = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            if row[0] == "stage":
                header = row
                continue
            values = dict(zip(header, row, strict=True))
            for key in values.keys() - _NOT_LOSSES:
                x, y = found.setdefault(key, ([], []))
                x.append(float(values["seen"]))
                y.append(max(float(values[key]), 1e-5))
    return found
