"""Connect by one layer of attention from learnt queries that know their place on a grid.

Sources: Qwen-VL, arXiv 2308.12966 section 2.1; for images of any size, LLaVA-UHD, arXiv 2403.11703.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .plain import Connector, Grid


class Query(Connector):
    """Turn the tokens of an image into a square of queries, as wide as the language model unless `out` is given.

    Sines and cosines of row and column are added to queries and keys. `used_BN` says which tokens are not padding.

    Args:
        width: D.
        out_width: E.
        queries: Number of image tokens, a square number.
        heads: Heads of the attention.
        eps: Constant of the norms.
        interpolate: Whether the keys have the places of the queries, interpolated, or count rows and columns.
        out: Width of the queries, if it is not E.
    """

    takes: ClassVar = ("used_BN",)

    def __init__(
        self,
        width: int,
        out_width: int,
        queries: int,
        heads: int,
        eps: float = 1e-6,
        interpolate: bool = True,
        out: int | None = None,
    ):
        super().__init__()
        out_width = out or out_width
        self.queries = nn.Parameter(torch.randn(queries, out_width) * 0.02)
        self.project = nn.Linear(width, out_width, bias=False) if width != out_width else nn.Identity()
        self.attention = nn.MultiheadAttention(out_width, heads, batch_first=True)
        self.query_norm, self.key_norm = nn.LayerNorm(out_width, eps), nn.LayerNorm(out_width, eps)
        self.side, self.interpolate = math.isqrt(queries), interpolate

    @staticmethod
    def grid(grid: Grid, queries: int = 256, **_: Any) -> Grid:
        """Return the square of queries."""
        return math.isqrt(queries), math.isqrt(queries)

    @staticmethod
    def width(width: int, out_width: int, out: int | None = None, **_: Any) -> int:
        """Return `out`, or E."""
        return out or out_width

    def forward(self, tokens_BND: Tensor, grid: Grid, used_BN: Tensor | None = None) -> Tensor:
        """Map (B, N, D) to (B, queries, E)."""
        keys = self.key_norm(self.project(tokens_BND))
        places = grid_positions((self.side, self.side), self.queries)
        asked = (self.query_norm(self.queries) + places).expand(len(tokens_BND), -1, -1)
        there, padding = self._places(grid).flatten(0, 1), None
        if used_BN is not None:
            cells, padding = used_BN.unflatten(1, grid), ~used_BN
            sizes = zip(cells.any(2).sum(1).tolist(), cells.any(1).sum(1).tolist(), strict=True)
            own = [F.pad(self._places(size), (0, 0, 0, grid[1] - size[1], 0, grid[0] - size[0])) for size in sizes]
            there = torch.stack(own).flatten(1, 2)
        return self.attention(asked, keys + there, keys, key_padding_mask=padding, need_weights=False)[0]

    def _places(self, grid: Grid) -> Tensor:
        """Return the positions (rows, columns, E) of the keys of a grid."""
        own = (self.side, self.side)
        if not self.interpolate or grid == own:
            return grid_positions(grid, self.queries).unflatten(0, grid)
        there = grid_positions(own, self.queries).T.unflatten(1, own)[None].float()
        wide = F.interpolate(there, grid, mode="bicubic", align_corners=False)
        return wide[0].permute(1, 2, 0).to(self.queries.dtype)


def grid_positions(grid: Grid, like: Tensor) -> Tensor:
    """Return (cells, width) sines and cosines: half of the channels for the column, half for the row."""
    rows, columns = (line_positions(side, like[..., : like.shape[-1] // 2]) for side in grid)
    wide = torch.cat([columns[None].expand(grid[0], -1, -1), rows[:, None].expand(-1, grid[1], -1)], -1)
    return wide.flatten(0, 1)


def line_positions(count: int, like: Tensor) -> Tensor:
    """Return (count, width) sines and cosines of the numbers from 0."""
    width = like.shape[-1]
    steps = 10000.0 ** -(torch.arange(width // 2, device=like.device) / (width / 2))
    angles = torch.arange(count, device=like.device)[:, None] * steps
    return torch.cat([angles.sin(), angles.cos()], 1).to(like.dtype)
