"""Connect by what is next to a token: pooling, convolutions and the order of the cells of a grid.

Shapes: B images, N tokens on a grid, M tokens after it, D their width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .plain import Connector, Grid, SameWidth


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


class ConvBlock(nn.Module):
    """Mix neighbours in each channel, weigh the channels, and mix these; with layer norms.

    Args:
        width: Channels before it.
        out: Channels after it.
        stride: Cells per cell and side; with 1 the input is added.
        regnet: Mix channels before the neighbours too, and end with an activation, as RegNet-Y does.
    """

    def __init__(self, width: int, out: int, stride: int = 1, regnet: bool = False):
        super().__init__()
        self.regnet, self.stride = regnet, stride
        self.expand = nn.Conv2d(width, out, 1, bias=False) if regnet else nn.Identity()
        self.depthwise = nn.Conv2d(out, out, 3, stride, 1, groups=out, bias=False)
        self.squeeze, self.excite = nn.Conv2d(out, width // 4, 1), nn.Conv2d(width // 4, out, 1)
        self.project = nn.Conv2d(out, out, 1, bias=False)
        self.norms = nn.ModuleList(nn.LayerNorm(out) for _ in range(3 if regnet else 2))
        self.shortcut = _Shortcut(width, out) if width != out else nn.Identity()

    def forward(self, cells: Tensor) -> Tensor:
        """Map (B, D, rows, columns) to (B, E, rows, columns)."""
        act, squeeze_act, gate = (F.silu, F.silu, F.sigmoid) if self.regnet else (F.hardswish, F.relu, F.hardsigmoid)
        mixed = act(_norm(self.norms[2], self.expand(cells))) if self.regnet else cells
        mixed = act(_norm(self.norms[0], self.depthwise(mixed)))
        weights = gate(self.excite(squeeze_act(self.squeeze(mixed.mean((2, 3), keepdim=True)))))
        out = _norm(self.norms[1], self.project(mixed * weights))
        out = out + self.shortcut(cells) if self.stride == 1 else out
        return act(out) if self.regnet else out


class _Shortcut(nn.Module):
    """Mix channels, then norm them."""

    def __init__(self, width: int, out: int):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, out, 1, bias=False), nn.LayerNorm(out)

    def forward(self, cells: Tensor) -> Tensor:
        """Map (B, D, rows, columns) to (B, E, rows, columns)."""
        return _norm(self.norm, self.conv(cells))


class InvertedResidual(SameWidth):
    """Run a block of MobileNetV3, arXiv 1905.02244, as MobileVLM has it: no expansion (arXiv 2312.16886 section 3.3).

    Args:
        width: D.
        out_width: Ignored; the width stays.
        stride: Cells per token and side.
    """

    def __init__(self, width: int, out_width: int, stride: int = 1):
        super().__init__()
        self.block = ConvBlock(width, width, stride)

    @staticmethod
    def grid(grid: Grid, stride: int = 1, **_: Any) -> Grid:
        """Return the grid after the stride."""
        return -(-grid[0] // stride), -(-grid[1] // stride)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, M, D)."""
        return _tokens(self.block(_map(tokens_BND, grid)))


class RegNet(Connector):
    """Run blocks of RegNet-Y, arXiv 2003.13678, as the C-Abstractor has them (Honeybee, arXiv 2312.06742 section 3.2).

    Args:
        width: D.
        out_width: Ignored.
        depth: Number of blocks.
        hidden: Their width.
    """

    def __init__(self, width: int, out_width: int, depth: int, hidden: int):
        super().__init__()
        blocks = (ConvBlock(hidden if k else width, hidden, regnet=True) for k in range(depth))
        self.blocks = nn.Sequential(*blocks)

    @staticmethod
    def width(width: int, out_width: int, hidden: int = 0, **_: Any) -> int:
        """Return the width of the blocks."""
        return hidden

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, N, hidden)."""
        return _tokens(self.blocks(_map(tokens_BND, grid)))


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


class Brackets(SameWidth):
    """Put one learnt vector before all tokens and one after them (SPHINX-X, arXiv 2402.05935).

    Args:
        width: D.
        out_width: Ignored; the width stays.
        extra: Tokens of its input that are not cells, such as a class token.
    """

    def __init__(self, width: int, out_width: int, extra: int = 0):
        super().__init__()
        self.start, self.end = (nn.Parameter(torch.randn(1, 1, width) * 0.02) for _ in range(2))

    @staticmethod
    def grid(grid: Grid, extra: int = 0, **_: Any) -> Grid:
        """Return one row with all tokens."""
        return 1, grid[0] * grid[1] + extra + 2

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, N + 2, D)."""
        start, end = (vector.expand(len(tokens_BND), -1, -1) for vector in (self.start, self.end))
        return torch.cat([start, tokens_BND, end], 1)


def _map(tokens_BND: Tensor, grid: Grid) -> Tensor:
    """Return (B, D, rows, columns)."""
    return tokens_BND.mT.unflatten(2, grid)


def _tokens(cells: Tensor) -> Tensor:
    return cells.flatten(2).mT


def _norm(norm: nn.Module, cells: Tensor) -> Tensor:
    return norm(cells.movedim(1, -1)).movedim(-1, 1)
