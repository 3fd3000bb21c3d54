"""Boxes: (x0, y0, x1, y1) in pixels or points, x to the right, y down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Box = tuple[float, float, float, float]


def union(boxes: Iterable[Box]) -> Box:
    """Return the smallest box that contains all of one or more boxes."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return float(min(x0)), float(min(y0)), float(max(x1)), float(max(y1))


def area(box: Box) -> float:
    """Return the area of a box; 0 when its sides are swapped."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def scale_box(box: Box, by: float) -> Box:
    """Return a box with its coordinates multiplied by a factor."""
    return box[0] * by, box[1] * by, box[2] * by, box[3] * by


def shared_area(a: Box, b: Box) -> float:
    """Return the area that two boxes share."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def touch(a: Box, b: Box) -> bool:
    """Return whether two boxes overlap."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def widen_box(box: Box, across: float, down: float) -> Box:
    """Return a box with its sides moved outwards."""
    return box[0] - across, box[1] - down, box[2] + across, box[3] + down


def middle_within(inner: Sequence[float], outer: Sequence[float]) -> bool:
    """Return whether the middle of a box lies in another one or on its edge."""
    left, top, right, bottom = outer
    return left <= (inner[0] + inner[2]) / 2 <= right and top <= (inner[1] + inner[3]) / 2 <= bottom
