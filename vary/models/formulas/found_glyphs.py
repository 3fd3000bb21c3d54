"""Find glyphs in the outputs of a glyph head: choose cells, drop doubles, join pieces of rules. Needs no PyTorch.

Shapes: N cells, then N glyphs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...markup.math_tokens import BAR, RULE

THRESHOLD = 0.5  # least probability that a cell holds a glyph
RULE_SPREAD = 3.5  # pixels by which pieces of one rule may differ across it
SAME_MIDDLE = 0.5, 1.0  # distance of two middles within one glyph, as a share of its sides, and in pixels
SAME_AREA = 0.5  # share of the smaller of two boxes that lies in the other, when both are of one glyph


@dataclass(frozen=True)
class FoundGlyphs:
    """Glyphs of an image: classes (N,), styles (N,), boxes (N, 4) in pixels, confidence (N,)."""

    classes: np.ndarray
    styles: np.ndarray
    boxes: np.ndarray
    confidence: np.ndarray

    def select(self, which: np.ndarray) -> FoundGlyphs:
        """Return some of the glyphs, by indices or a mask."""
        return FoundGlyphs(self.classes[which], self.styles[which], self.boxes[which], self.confidence[which])


def find_glyphs(cells: FoundGlyphs, known: str, stride: tuple[int, int]) -> FoundGlyphs:
    """Return the glyphs that cells see, best first.

    Args:
        cells: What each cell sees that holds a glyph.
        known: The character of each class from 1.
        stride: Pixels of a cell, rows and columns.
    """
    ordered = cells.select(np.argsort(-cells.confidence, kind="stable"))
    return _join_rules(ordered.select(_without_doubles(ordered.boxes)), known, stride)


def cell_middles(grid: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """Return the middle of each of R * K cells in pixels, as x, y, x, y: (R * K, 4) float32."""
    y, x = ((np.arange(count, dtype=np.float32) + 0.5) * size for count, size in zip(grid, stride, strict=True))
    xy = np.stack(np.broadcast_arrays(x[None], y[:, None]), -1).reshape(-1, 2)
    return np.concatenate([xy, xy], 1)


def _without_doubles(boxes: np.ndarray) -> np.ndarray:
    """Return indices of boxes (N, 4), best first, that are not another sight of a better one."""
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clip(1)
    kept = np.zeros(0, np.int64)
    for k in range(len(boxes)):
        near = np.abs(middles[kept] - middles[k]) < SAME_MIDDLE[0] * sides[kept] + SAME_MIDDLE[1]
        shared = np.minimum(boxes[kept, 2:], boxes[k, 2:]) - np.maximum(boxes[kept, :2], boxes[k, :2])
        smaller = np.minimum(sides[kept].prod(1), sides[k].prod())
        if not (near.all(1) | (shared.clip(0).prod(1) > SAME_AREA * smaller)).any():
            kept = np.append(kept, k)
    return kept


def _join_rules(found: FoundGlyphs, known: str, stride: tuple[int, int]) -> FoundGlyphs:
    """Join pieces of rules that touch, and drop those next to a longer one: each cell sees one piece."""
    boxes, keep = found.boxes.copy(), np.ones(len(found.classes), bool)
    for char, along in ((RULE, 0), (BAR, 1)):
        pieces = np.flatnonzero(found.classes == known.find(char) + 1) if char in known else np.zeros(0, np.int64)
        pieces = pieces[np.argsort(boxes[pieces, along], kind="stable")]
        for k, piece in enumerate(pieces):
            for before in pieces[:k][keep[pieces[:k]]]:
                gap = boxes[piece, along] - boxes[before, along + 2]
                aside = np.abs(boxes[piece, 1 - along :: 2] - boxes[before, 1 - along :: 2]).max()
                if gap < stride[1 - along] and aside < RULE_SPREAD:
                    boxes[before, along + 2] = max(boxes[before, along + 2], boxes[piece, along + 2])
                    keep[piece] = False
                    break
        longest = np.flatnonzero(keep & np.isin(np.arange(len(keep)), pieces))
        longest = longest[np.argsort(boxes[longest, along] - boxes[longest, along + 2], kind="stable")]
        for k, piece in enumerate(longest):
            rules = boxes[longest[:k][keep[longest[:k]]]]
            shared = np.minimum(rules[:, along + 2], boxes[piece, along + 2])
            shared -= np.maximum(rules[:, along], boxes[piece, along])
            apart = np.abs(
                rules[:, 1 - along] + rules[:, 3 - along] - boxes[piece, 1 - along] - boxes[piece, 3 - along]
            )
            long = boxes[piece, along + 2] - boxes[piece, along]
            keep[piece] = not ((apart < 2 * stride[along]) & (2 * shared > long)).any()
    return replace(found, boxes=boxes).select(keep)
