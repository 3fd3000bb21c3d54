"""Score bounding boxes: intersection over union, and the accuracy of referring expressions (RefCOCO)."""

from __future__ import annotations

from typing import Any

from ...io.box import Box, area, shared_area
from ...markup.boxes import parse_boxes
from .base import Scores


def iou(a: Box | None, b: Box | None) -> float:
    """Return the intersection over union of two boxes (x0, y0, x1, y1), 0 to 1. None means no answer.

    Boxes without area give 0; None and None give 1.
    """
    if a is None or b is None:
        return float(a is b)
    inside = shared_area(a, b)
    whole = area(a) + area(b) - inside
    return inside / whole if whole > 0 else 0.0


def box_scores(answer: str, truth: dict[str, Any]) -> Scores:
    """Score the first box of an answer: its IoU, and whether that is 0.5 or more. No box is wrong.

    truth: `box` in pixels and `size` (width, height) of the image. Source: Yu et al., arXiv 1608.00272.
    """
    width, height = truth["size"]
    found = parse_boxes(answer, (width, height)).found
    x0, y0, x1, y1 = truth["box"]
    overlap = iou(found[0].box if found else None, (x0, y0, x1, y1))
    return {"accuracy": float(overlap >= 0.5), "iou": overlap}
