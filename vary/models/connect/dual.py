"""Connect by attention between two ways of cutting one image: neighbouring parts, and every n-th pixel.

Shapes: B images, V views of each, N tokens of a view on a grid, D their width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Attention
from .plain import Grid, SameWidth


class DualEnhance(SameWidth):
    """Let parts of an image and its strided copies attend to each other, and merge all views into one.

    The views are those of `views: crops-and-strides`. Source: INF-LLaVA, arXiv 2407.16198 section 3.3 (DEM). The merged
    picture is scaled down to the grid of a view and averaged with the whole image.

    Args:
        width: D.
        out_width: Ignored; the width stays.
        parts: Parts per side.
        heads: Heads of the attention.
    """

    def __init__(self, width: int, out_width: int, parts: int = 3, heads: int = 8):
        super().__init__()
        self.side = parts
        self.attention, self.attention_norm = (
            Attention(width, width, heads, width // heads, bias=True),
            nn.LayerNorm(width),
        )
        self.local, self.strided = (
            nn.Sequential(nn.Linear(width, max(1, width // 16)), nn.GELU(), nn.Linear(max(1, width // 16), width // 2))
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map the tokens of all views (B * V, N, D) to those of the images (B, N, D)."""
        side, count = self.side, self.side**2
        whole, parts, copies = tokens_BND.unflatten(0, (-1, 2 * count + 1)).split([1, count, count], 1)
        local, strided = place_parts(parts, grid, side), place_copies(copies, grid, side)
        by_part = self._look(cut_parts(strided, side), cut_parts(local, side))
        by_copy = self._look(cut_copies(local, side), cut_copies(strided, side))
        strided, local = place_parts(by_part, grid, side), place_copies(by_copy, grid, side)
        fused = self.norm(torch.cat([self.local(local), self.strided(strided)], -1) + strided + local)
        small = F.interpolate(fused.permute(0, 3, 1, 2).float(), grid, mode="bilinear", align_corners=False)
        return (whole[:, 0] + small.flatten(2).mT.to(whole.dtype)) / 2

    def _look(self, queries: Tensor, context: Tensor) -> Tensor:
        """Return (B, parts, N, D) of queries that have seen the context of the same part."""
        asked = queries.flatten(0, 1)
        found = self.attention_norm(self.attention(asked, context.flatten(0, 1)) + asked)
        return found.unflatten(0, queries.shape[:2])


def place_parts(views: Tensor, grid: Grid, side: int) -> Tensor:
    """Put parts (B, parts, N, D) next to each other: (B, rows, columns, D)."""
    cells = views.unflatten(2, grid).unflatten(1, (side, side))
    return cells.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)


def place_copies(views: Tensor, grid: Grid, side: int) -> Tensor:
    """Put strided copies (B, parts, N, D) between each other: (B, rows, columns, D)."""
    cells = views.unflatten(2, grid).unflatten(1, (side, side))
    return cells.permute(0, 3, 1, 4, 2, 5).flatten(3, 4).flatten(1, 2)


def cut_parts(picture: Tensor, side: int) -> Tensor:
    """Undo `place_parts`: (B, parts, N, D)."""
    cells = picture.unflatten(2, (side, -1)).unflatten(1, (side, -1))
    return cells.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)


def cut_copies(picture: Tensor, side: int) -> Tensor:
    """Undo `place_copies`: (B, parts, N, D)."""
    cells = picture.unflatten(2, (-1, side)).unflatten(1, (-1, side))
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(3, 4).flatten(1, 2)
