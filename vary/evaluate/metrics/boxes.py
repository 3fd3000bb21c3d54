"""Boxes: intersection over union, and the accuracy of referring expressions (RefCOCO's)."""

from __future__ import annotations

from collections.abc import Sequence

from ...markup.boxes import Box


def iou(a: Box | None, b: Box | None) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1) in one frame, 0 to 1; None is no answer.

    0 for boxes without area and for those that end before they begin; 1 for None and None.
    """
    if a is None or b is None:
        return float(a is b)
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inside = max(0.0, width) * max(0.0, height)
    whole = _area(a) + _area(b) - inside
    return inside / whole if whole > 0 else 0.0


def box_accuracy(predicted: Sequence[Box | None], truth: Sequence[Box], least: float = 0.5) -> float:
    """Share of boxes whose IoU with their truth is at least `least` (Yu et al., arXiv 1608.00272); nan for none."""
    found = _ious(predicted, truth)
    return sum(value >= least for value in found) / len(found) if found else float("nan")


def mean_iou(predicted: Sequence[Box | None], truth: Sequence[Box]) -> float:
    """Mean IoU of boxes with their truths; nan for none."""
    found = _ious(predicted, truth)
    return sum(found) / len(found) if found else float("nan")


def _ious(predicted: Sequence[Box | None], truth: Sequence[Box]) -> list[float]:
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} boxes do not go with {len(truth)} true ones")
    return [iou(a, b) for a, b in zip(predicted, truth, strict=True)]


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
