"""Score page layout: F1 of block classes at an IoU of 0.5."""

from __future__ import annotations

import json
from typing import Any

from .base import Scores
from .boxes import iou
from .text import Match

MIN_IOU = 0.5


def layout_scores(answer: str, truth: list[dict[str, Any]]) -> Scores:
    """Compare blocks: F1 of (class, box) pairs at IoU 0.5, and F1 of the boxes without their classes.

    answer: a JSON list of `{"kind", "box"}`; anything else counts as no blocks. truth: such a list. Each block is
    matched at most once, best IoU first.
    """
    try:
        found = [(str(block["kind"]), tuple(map(float, block["box"]))) for block in json.loads(answer)]
    except (ValueError, TypeError, KeyError):
        found = []
    wanted = [(str(block["kind"]), tuple(map(float, block["box"]))) for block in truth]
    with_class = _matches(found, wanted, True)
    match = Match.of(with_class, len(found), len(wanted))
    boxes = Match.of(_matches(found, wanted, False), len(found), len(wanted))
    return {"f1": match.f1, "precision": match.precision, "recall": match.recall, "f1_boxes": boxes.f1}


def _matches(found: list[tuple[str, Any]], wanted: list[tuple[str, Any]], same_kind: bool) -> int:
    pairs = [
        (iou(a, b), i, j)
        for i, (kind, a) in enumerate(found)
        for j, (other, b) in enumerate(wanted)
        if kind == other or not same_kind
    ]
    used: set[tuple[str, int]] = set()
    count = 0
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap >= MIN_IOU and ("found", i) not in used and ("wanted", j) not in used:
            used |= {("found", i), ("wanted", j)}
            count += 1
    return count
