"""The glyph head: find printed characters in two dimensions, each with class, style and box.

It serves formulas, labels and tables of digits, where there are no lines to read along. Each glyph belongs to the cell
of its middle. A gate tells cells with a glyph from blank ones, so that classes are only computed at its peaks. All
outputs come from a narrow field, so that thousands of classes cost little. Two convolutions over neighbouring cells
make that field: a cell alone hardly tells the middle of a glyph from the rest of it (docs/training.md).

Shapes: B batch, N = R * K cells of R rows and K columns, D width, G glyph classes (0 for unknown), S styles.
Sources: centre cells as in CenterNet (arXiv 1904.07850); the convolutions and the removal of doubles are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...markup.math_tokens import BAR, RULE

BOX_UNIT = 8.0  # pixels of a box coordinate of 1
RULE_SPREAD = 2.5  # pixels by which pieces of one rule may differ across it
SAME_MIDDLE = 0.5, 1.0  # distance of two middles within one glyph, as a share of its sides, and in pixels
SAME_AREA = 0.5  # share of the smaller of two boxes that lies in the other, when both are of one glyph
KERNEL = 3, 5  # cells: 24 x 20 pixels at 8 x 4


@dataclass
class GlyphMap:
    """Per cell: gate (B, N), features (B, N, rank) that classes come from, styles (B, N, S), boxes (B, N, 4) from the
    middle of the cell, in pixels."""

    gate: Tensor
    features: Tensor
    styles: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class FoundGlyphs:
    """Glyphs of an image, best first: classes (N,), styles (N,), boxes (N, 4) in pixels, confidence (N,)."""

    classes: np.ndarray
    styles: np.ndarray
    boxes: np.ndarray
    confidence: np.ndarray

    def select(self, which: np.ndarray) -> FoundGlyphs:
        """Return some of the glyphs, by indices or a mask."""
        return FoundGlyphs(self.classes[which], self.styles[which], self.boxes[which], self.confidence[which])


class GlyphHead(nn.Module):
    """Tokens (B, N, D) of a grid of cells -> `GlyphMap`.

    Args:
        width: D.
        stride: Pixels of a cell, rows and columns.
        glyphs: Characters that have a class; class 0 is for all others.
        styles: How many styles glyphs have.
        rank: Width of the field that all outputs come from.
    """

    given = ("width", "stride")

    def __init__(self, width: int, stride: tuple[int, int], glyphs: str, styles: int = 9, rank: int = 96):
        super().__init__()
        self.glyphs, self.stride = glyphs, stride
        self.class_of = {char: k + 1 for k, char in enumerate(glyphs)}
        self.squeeze = nn.Linear(width, rank)
        padding = KERNEL[0] // 2, KERNEL[1] // 2
        self.near, self.far = (nn.Conv2d(rank, rank, KERNEL, padding=padding) for _ in range(2))
        self.gate, self.classes = nn.Linear(rank, 1), nn.Linear(rank, len(glyphs) + 1)
        self.style, self.box = nn.Linear(rank, styles), nn.Linear(rank, 4)

    def forward(self, tokens_BND: Tensor, grid: tuple[int, int]) -> GlyphMap:
        """Return what each cell holds. grid: rows and columns of cells."""
        narrow = self.squeeze(tokens_BND)
        field = F.gelu(narrow).transpose(1, 2).unflatten(2, grid)
        field = F.gelu(self.far(F.gelu(self.near(field)))).flatten(2).transpose(1, 2)
        features = narrow + field
        gate = self.gate(features)[..., 0].float()
        return GlyphMap(gate, features, self.style(features).float(), self.box(features).float() * BOX_UNIT)

    def cell_middles(self, grid: tuple[int, int]) -> Tensor:
        """(R * K, 4): the middle of each cell in pixels, as x, y, x, y."""
        rows, columns = (torch.arange(n) for n in grid)
        y, x = (rows + 0.5) * self.stride[0], (columns + 0.5) * self.stride[1]
        xy = torch.stack([x[None].expand(grid), y[:, None].expand(grid)], -1).flatten(0, 1)
        return torch.cat([xy, xy], -1)

    @torch.no_grad()
    def find(self, found: GlyphMap, grid: tuple[int, int], threshold: float = 0.5) -> list[FoundGlyphs]:
        """Return the glyphs of each image of a batch.

        Args:
            found: What the head says.
            grid: Rows and columns of cells.
            threshold: Least probability that a cell holds a glyph.
        """
        middles = self.cell_middles(grid).to(found.boxes.device)
        images = []
        for gate, features, styles, boxes in zip(found.gate, found.features, found.styles, found.boxes, strict=True):
            cells = torch.nonzero(gate.sigmoid() > threshold)[:, 0]
            sure, classes = self.classes(features[cells]).float().softmax(-1).max(-1)
            confidence, order = (sure * gate[cells].sigmoid()).sort(descending=True, stable=True)
            cells, classes = cells[order], classes[order]
            places = (boxes[cells] + middles[cells]).cpu().numpy()
            found_all = FoundGlyphs(
                classes.cpu().numpy(), styles[cells].argmax(-1).cpu().numpy(), places, confidence.cpu().numpy()
            )
            images.append(self._join_rules(found_all.select(_without_doubles(places))))
        return images

    def _join_rules(self, found: FoundGlyphs) -> FoundGlyphs:
        """Join pieces of rules that touch; a cell sees one piece."""
        boxes, keep = found.boxes.copy(), np.ones(len(found.classes), bool)
        for char, along in ((RULE, 0), (BAR, 1)):
            pieces = np.flatnonzero(found.classes == self.class_of.get(char, -1))
            pieces = pieces[np.argsort(boxes[pieces, along], kind="stable")]
            for k, piece in enumerate(pieces):
                for before in pieces[:k][keep[pieces[:k]]]:
                    gap = boxes[piece, along] - boxes[before, along + 2]
                    aside = np.abs(boxes[piece, 1 - along :: 2] - boxes[before, 1 - along :: 2]).max()
                    if gap < self.stride[1 - along] and aside < RULE_SPREAD:
                        boxes[before, along + 2] = max(boxes[before, along + 2], boxes[piece, along + 2])
                        keep[piece] = False
                        break
        return replace(found, boxes=boxes).select(keep)


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
