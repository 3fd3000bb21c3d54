"""The glyph head: find printed characters in two dimensions, each with class, style and box.

It serves formulas, labels and tables of digits, where there are no lines to read along. Each glyph belongs to the cell
of its middle. A gate tells cells with a glyph from blank ones, so that classes are only computed at its peaks. All
outputs come from a narrow field, so that thousands of classes cost little. Two convolutions over neighbouring cells
make that field: a cell alone hardly tells the middle of a glyph from the rest of it (docs/vary-nano.md).

Shapes: B batch, N = R * K cells of R rows and K columns, D width, G glyph classes (0 for unknown), S styles.
Sources: centre cells as in CenterNet (arXiv 1904.07850); the convolutions are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..formulas.found_glyphs import THRESHOLD, FoundGlyphs, cell_middles, find_glyphs

BOX_UNIT = 8.0  # pixels of a box coordinate of 1
KERNEL = 3, 5  # cells: 24 x 20 pixels at 8 x 4


@dataclass
class GlyphMap:
    """Per cell: gate (B, N), features (B, N, rank) that classes come from, styles (B, N, S), boxes (B, N, 4) from the
    middle of the cell, in pixels."""

    gate: Tensor
    features: Tensor
    styles: Tensor
    boxes: Tensor


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

    @torch.no_grad()
    def find(self, found: GlyphMap, grid: tuple[int, int]) -> list[FoundGlyphs]:
        """Return the glyphs of each image of a batch. grid: rows and columns of cells."""
        middles = cell_middles(grid, self.stride)
        images = []
        for gate, features, styles, boxes in zip(found.gate, found.features, found.styles, found.boxes, strict=True):
            holds = gate.sigmoid()
            cells = torch.nonzero(holds > THRESHOLD)[:, 0]
            sure, classes = self.classes(features[cells]).float().softmax(-1).max(-1)
            values = classes, styles[cells].argmax(-1), boxes[cells], sure * holds[cells]
            seen = FoundGlyphs(*(value.cpu().numpy() for value in values))
            seen = replace(seen, boxes=seen.boxes + middles[cells.cpu().numpy()])
            images.append(find_glyphs(seen, self.glyphs, self.stride))
        return images
