"""Boxes: (x0, y0, x1, y1) in pixels or points, x to the right, y down."""

from __future__ import annotations

from collections.abc import Iterable

Box = tuple[float, float, float, float]


def union(boxes: Iterable[Box]) -> Box:
    """Return the smallest box that contains all of one or more boxes."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return float(min(x0)), float(min(y0)), float(max(x1)), float(max(y1))
