"""Connectors: vision tokens (B, N, D) -> the language model's width (B, M, E).

A model has one behind the merge, or one per vocabulary before it. A connector says what grid it makes of a grid, so
that the processor can lay out the prompt without running a model.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

Grid = tuple[int, int]


class Connector(nn.Module):
    """Turn tokens on a grid into image tokens. `window` holds the rows and columns of cells that become one token."""

    given: ClassVar = ("width", "out_width")  # arguments that come from the model, not from the configuration

    window: tuple[int, int] = (1, 1)

    @staticmethod
    def grid(grid: Grid, **sizes: Any) -> Grid:
        """Rows and columns of the image tokens that a connector of these sizes makes of a grid; the same by default."""
        return grid


class Linear(Connector):
    """One linear layer; M = N (Vary: 1024 -> 768 for OPT-125M, arXiv 2312.06109 section 3.2)."""

    def __init__(self, width: int, out_width: int):
        super().__init__()
        self.linear = nn.Linear(width, out_width)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """(B, N, D) -> (B, N, E)."""
        return self.linear(tokens_BND)


class Mlp(Connector):
    """`depth` linear layers with GELU between them; M = N (LLaVA-1.5's has two, arXiv 2310.03744)."""

    def __init__(self, width: int, out_width: int, depth: int = 2):
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(width, out_width)]
        for _ in range(depth - 1):
            layers += [nn.GELU(), nn.Linear(out_width, out_width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """(B, N, D) -> (B, N, E)."""
        return self.layers(tokens_BND)


class Shuffle(Connector):
    """A window of cells becomes one token (pixel shuffle): squeeze each cell, stack the window, project.

    window: rows and columns of cells per token; the grid must be a multiple of it. squeeze: width of a cell before
    stacking.
    """

    def __init__(self, width: int, out_width: int, window: tuple[int, int] = (4, 4), squeeze: int = 96):
        super().__init__()
        self.window = (window[0], window[1])
        self.squeeze = nn.Linear(width, squeeze)
        self.project = nn.Sequential(
            nn.LayerNorm(squeeze * window[0] * window[1]),
            nn.Linear(squeeze * window[0] * window[1], 2 * out_width),
            nn.GELU(),
            nn.Linear(2 * out_width, out_width),
        )

    @staticmethod
    def grid(grid: Grid, window: tuple[int, int] = (4, 4), **_: Any) -> Grid:
        """One token per window."""
        return grid[0] // window[0], grid[1] // window[1]

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """(B, N, D) -> (B, M, E). Raises ValueError for a grid that the window does not divide."""
        (rows, columns), (high, wide) = grid, self.window
        if rows % high or columns % wide:
            raise ValueError(f"a grid of {rows}x{columns} cells cannot be cut into windows of {high}x{wide}")
        cells = self.squeeze(tokens_BND).reshape(len(tokens_BND), rows // high, high, columns // wide, wide, -1)
        return self.project(cells.permute(0, 1, 3, 2, 4, 5).flatten(3).flatten(1, 2))


CONNECTORS: dict[str, type[Connector]] = {"linear": Linear, "mlp": Mlp, "shuffle": Shuffle}
