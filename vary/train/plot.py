"""The loss curve of a run as a picture: `loss.csv` and `eval.csv` -> `loss.png`."""

from __future__ import annotations

import csv
from pathlib import Path

_NOT_LOSSES = {"stage", "step", "seen", "lr", "per_s", "tokens_s", "mfu", "grad", "accuracy", "lines", "cut"}


def draw_curve(out: Path) -> Path:
    """Losses and held-out error rates over samples seen, logarithmic; returns the picture's path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, name, title in ((left, "loss.csv", "training loss"), (right, "eval.csv", "held-out error rate")):
        for label, (x, y) in _series(out / name).items():
            axis.plot(x, y, label=label, linewidth=1)
        axis.set(xlabel="samples seen", title=title, yscale="log")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend()
    path = out / "loss.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _series(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Columns of a log by name. Stages may log other columns; each stage then begins with a header of its own."""
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
