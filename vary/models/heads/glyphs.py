"""The glyph head: find printed characters in two dimensions, each with class, style and box.

It serves formulas, labels and tables of digits, where there are no lines to read along. Each glyph belongs to the cell
of its middle. A gate tells cells with a glyph from blank ones, so that classes are only computed at its peaks, and
classes go through a narrow layer, so that thousands of them cost little.

Shapes: B batch, N = R * K cells of R rows and K columns, D width, G glyph classes (0 for unknown), S styles.
Sources: centre cells as in CenterNet (arXiv 1904.07850); peaks and suppression of doubles are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ...markup.math_tokens import BAR, RULE

BOX_UNIT = 8.0  # pixels of a box coordinate of 1
RULE_SPREAD = 2.5  # pixels by which pieces of one rule may differ across it
SAME_GLYPH = 0.4  # overlap (intersection over union) from which two peaks are one glyph


@dataclass
class GlyphMap:
    """Per cell: gate (B, N), the narrow features (B, N, rank) that classes come from, styles (B, N, S), boxes (B, N, 4)
    from the middle of the cell, in pixels."""

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


class GlyphHead(nn.Module):
    """Tokens (B, N, D) -> `GlyphMap`.

    Args:
        width: D.
        stride: Pixels of a cell, rows and columns.
        glyphs: Characters that have a class; class 0 is for all others.
        styles: How many styles glyphs have.
        rank: Width of the layer before the classes.
    """

    given = ("width", "stride")

    def __init__(self, width: int, stride: tuple[int, int], glyphs: str, styles: int = 9, rank: int = 96):
        super().__init__()
        self.glyphs, self.stride = glyphs, stride
        self.class_of = {char: k + 1 for k, char in enumerate(glyphs)}
        self.gate, self.squeeze = nn.Linear(width, 1), nn.Linear(width, rank)
        self.classes = nn.Linear(rank, len(glyphs) + 1)
        self.style, self.box = nn.Linear(width, styles), nn.Linear(width, 4)

    def forward(self, tokens_BND: Tensor) -> GlyphMap:
        """See the class."""
        tokens = tokens_BND
        gate = self.gate(tokens)[..., 0].float()
        return GlyphMap(gate, self.squeeze(tokens), self.style(tokens).float(), self.box(tokens).float() * BOX_UNIT)

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
            cells = cells[gate[cells].argsort(descending=True)]
            places = (boxes[cells] + middles[cells]).cpu().numpy()
            kept = torch.from_numpy(_without_doubles(places)).to(cells.device)
            cells, places = cells[kept], places[kept.cpu().numpy()]
            odds = self.classes(features[cells]).float().softmax(-1)
            sure, classes = odds.max(-1)
            confidence = (sure * gate[cells].sigmoid()).cpu().numpy()
            of_style = styles[cells].argmax(-1).cpu().numpy()
            images.append(self._join_rules(FoundGlyphs(classes.cpu().numpy(), of_style, places, confidence)))
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
        return FoundGlyphs(found.classes[keep], found.styles[keep], boxes[keep], found.confidence[keep])


def _without_doubles(boxes: np.ndarray) -> np.ndarray:
    """Return indices of boxes that no better one overlaps."""
    kept: list[int] = []
    for k, box in enumerate(boxes):
        if kept:
            others = boxes[kept]
            wide = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
            high = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
            both = np.maximum(wide, 0) * np.maximum(high, 0)
            areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
            either = areas + (box[2] - box[0]) * (box[3] - box[1]) - both
            if (both > SAME_GLYPH * np.maximum(either, 1e-6)).any():
                continue
        kept.append(k)
    return np.array(kept, np.int64)
