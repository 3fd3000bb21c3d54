"""Connect by what is next to a token: pooling, convolutions and the order of the cells of a grid.

Shapes: B images, N tokens on a grid, M tokens after it, D their width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .plain import Grid, SameWidth


class Transpose(SameWidth):
    """Put the tokens of a grid in the order of its columns."""

    def __init__(self, width: int, out_width: int):
        super().__init__()

    @staticmethod
    def grid(grid: Grid, **_: Any) -> Grid:
        """Return columns and rows."""
        return grid[1], grid[0]

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Return a tensor of the same shape."""
        return tokens_BND.unflatten(1, grid).transpose(1, 2).flatten(1, 2)


class Pool(SameWidth):
    """Average cells, so that a grid of a fixed size is left.

    Args:
        width: D.
        out_width: Ignored; the width stays.
        to: Rows and columns that are left.
    """

    def __init__(self, width: int, out_width: int, to: tuple[int, int]):
        super().__init__()
        self.left = (to[0], to[1])

    @staticmethod
    def grid(grid: Grid, to: tuple[int, int] = (1, 1), **_: Any) -> Grid:
        """Return the grid that is left."""
        return to[0], to[1]

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, M, D)."""
        return _tokens(F.adaptive_avg_pool2d(_map(tokens_BND, grid), self.left))


class Depthwise(SameWidth):
    """Add a 3 x 3 convolution of each channel, which tells where a token is (PEG; MobileVLM V2, arXiv 2402.03766)."""

    def __init__(self, width: int, out_width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Return a tensor of the same shape."""
        cells = _map(tokens_BND, grid)
        return _tokens(self.conv(cells) + cells)


class InvertedResidual(SameWidth):
    """Mix neighbours in each channel, weigh the channels, and mix these: the block of MobileNetV3, arXiv 1905.02244.

    MobileVLM, arXiv 2312.16886 section 3.3, has layer norms in it and no expansion.

    Args:
        width: D.
        out_width: Ignored; the width stays.
        stride: Cells per token and side; with 1 the input is added.
    """

    def __init__(self, width: int, out_width: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False)
        self.squeeze, self.excite = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)
        self.project = nn.Conv2d(width, width, 1, bias=False)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    @staticmethod
    def grid(grid: Grid, stride: int = 1, **_: Any) -> Grid:
        """Return the grid after the stride."""
        return -(-grid[0] // stride), -(-grid[1] // stride)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, M, D)."""
        cells = _map(tokens_BND, grid)
        mixed = F.hardswish(_norm(self.norms[0], self.depthwise(cells)))
        weights = F.hardsigmoid(self.excite(F.relu(self.squeeze(mixed.mean((2, 3), keepdim=True)))))
        out = _norm(self.norms[1], self.project(mixed * weights))
        return _tokens(out + cells if self.stride == 1 else out)


class EndToken(SameWidth):
    """Put a learnt vector after all tokens."""

    def __init__(self, width: int, out_width: int):
        super().__init__()
        self.end = nn.Parameter(torch.randn(1, 1, width) * 0.02)

    @staticmethod
    def grid(grid: Grid, **_: Any) -> Grid:
        """Return one row with one token more."""
        return 1, grid[0] * grid[1] + 1

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, N + 1, D)."""
        return torch.cat([tokens_BND, self.end.expand(len(tokens_BND), -1, -1)], 1)


def _map(tokens_BND: Tensor, grid: Grid) -> Tensor:
    """Return (B, D, rows, columns)."""
    return tokens_BND.mT.unflatten(2, grid)


def _tokens(cells: Tensor) -> Tensor:
    return cells.flatten(2).mT


def _norm(norm: nn.Module, cells: Tensor) -> Tensor:
    return norm(cells.movedim(1, -1)).movedim(-1, 1)
