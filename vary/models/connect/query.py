"""Connect by one layer of attention from learnt queries that know their place on a grid.

Source: Qwen-VL, arXiv 2308.12966 section 2.1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .plain import Connector, Grid


class Query(Connector):
    """Turn the tokens of an image into a square of queries, as wide as the language model.

    Sines and cosines of row and column are added to queries and keys; those of the keys are interpolated.

    Args:
        width: D.
        out_width: E.
        queries: Number of image tokens, a square number.
        heads: Heads of the attention.
        eps: Constant of the norms.
    """

    def __init__(self, width: int, out_width: int, queries: int, heads: int, eps: float = 1e-6):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, out_width) * 0.02)
        self.project = nn.Linear(width, out_width, bias=False) if width != out_width else nn.Identity()
        self.attention = nn.MultiheadAttention(out_width, heads, batch_first=True)
        self.query_norm, self.key_norm = nn.LayerNorm(out_width, eps), nn.LayerNorm(out_width, eps)
        self.side = math.isqrt(queries)

    @staticmethod
    def grid(grid: Grid, queries: int = 256, **_: Any) -> Grid:
        """Return the square of queries."""
        return math.isqrt(queries), math.isqrt(queries)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, queries, E)."""
        places = grid_positions((self.side, self.side), self.queries)
        keys = self.key_norm(self.project(tokens_BND))
        there = places.T.unflatten(1, (self.side, self.side))[None].float()
        if grid != (self.side, self.side):
            there = F.interpolate(there, grid, mode="bicubic", align_corners=False)
        asked = (self.query_norm(self.queries) + places).expand(len(tokens_BND), -1, -1)
        return self.attention(asked, keys + there[0].flatten(1).T.to(keys.dtype), keys, need_weights=False)[0]


def grid_positions(grid: Grid, like: Tensor) -> Tensor:
    """Return (cells, width) sines and cosines: half of the channels for the column, half for the row."""
    width = like.shape[-1] // 2
    steps = 10000.0 ** -(torch.arange(width // 2, device=like.device) / (width / 2))
    rows, columns = (torch.arange(side, device=like.device)[:, None] * steps for side in grid)
    rows, columns = (torch.cat([angles.sin(), angles.cos()], 1) for angles in (rows, columns))
    wide = torch.cat([columns[None].expand(grid[0], -1, -1), rows[:, None].expand(-1, grid[1], -1)], -1)
    return wide.flatten(0, 1).to(like.dtype)
