"""Connect tokens one by one, or windows of neighbouring cells: linear layers, norms, folds.

Shapes: B images, N vision tokens, D their width, M image tokens, E width of the language model.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Grid = tuple[int, int]


def sizes_of(part: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a part's constructor: the keys of its mapping but `name` and `preprocess`."""
    return {key: value for key, value in part.items() if key not in ("name", "preprocess")}


def build(known: dict[str, Any], part: dict[str, Any], *given: Any) -> Any:
    """Build the part that a mapping names, from the arguments that its place in a model gives, and its sizes."""
    return known[part["name"]](*given, **sizes_of(part))


class Connector(nn.Module):
    """Turn tokens on a grid into image tokens. `window` holds the rows and columns of cells that become one token."""

    given: ClassVar = ("width", "out_width")  # arguments that come from the model, not from the configuration
    takes: ClassVar[tuple[str, ...]] = ()  # further inputs of `forward`: the keys of `Chain.takes`

    window: tuple[int, int] = (1, 1)

    @staticmethod
    def grid(grid: Grid, **sizes: Any) -> Grid:
        """Return the grid of image tokens that a connector of these sizes makes of a grid; by default the same."""
        return grid

    @staticmethod
    def width(width: int, out_width: int, **sizes: Any) -> int:
        """Return the width of its tokens, given that of its input and that of the language model."""
        return out_width


class Linear(Connector):
    """One linear layer; M = N (Vary: 1024 -> 768 for OPT-125M, arXiv 2312.06109 section 3.2).

    Args:
        width: D.
        out_width: E.
        bias: Whether the layer has a bias.
        out: Width of the tokens, if it is not E.
    """

    def __init__(self, width: int, out_width: int, bias: bool = True, out: int | None = None):
        super().__init__()
        self.linear = nn.Linear(width, out or out_width, bias)

    @staticmethod
    def width(width: int, out_width: int, out: int | None = None, **_: Any) -> int:
        """Return `out`, or E."""
        return out or out_width

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, N, E)."""
        return self.linear(tokens_BND)


class Mlp(Connector):
    """Linear layers with an activation between them; M = N (LLaVA-1.5 has two, arXiv 2310.03744).

    Args:
        width: D.
        out_width: E.
        depth: Number of linear layers.
        act: Name of the activation, as transformers spells it.
        hidden: Width between the layers; E by default.
        bias: Whether the layers have a bias.
    """

    def __init__(
        self,
        width: int,
        out_width: int,
        depth: int = 2,
        act: str = "gelu",
        hidden: int | None = None,
        bias: bool = True,
    ):
        super().__init__()
        widths = [width, *[hidden or out_width] * (depth - 1), out_width]
        layers: list[nn.Module] = [nn.Linear(widths[0], widths[1], bias)]
        for before, after in pairwise(widths[1:]):
            layers += [activation(act), nn.Linear(before, after, bias)]
        self.layers = nn.Sequential(*layers)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, N, E)."""
        return self.layers(tokens_BND)


class Gated(Connector):
    """Multiply two projections, one of them activated, and project the product; M = N (the MLP of Llama).

    Args:
        width: D.
        out_width: E.
        hidden: Width of the product.
        act: Name of the activation, as transformers spells it.
        bias: Whether the projections have a bias.
        norm: Constant of a norm of the product; None has no norm.
    """

    def __init__(
        self, width: int, out_width: int, hidden: int, act: str = "silu", bias: bool = False, norm: float | None = None
    ):
        super().__init__()
        self.gate, self.up = nn.Linear(width, hidden, bias), nn.Linear(width, hidden, bias)
        self.down, self.act = nn.Linear(hidden, out_width, bias), activation(act)
        self.norm = nn.Identity() if norm is None else nn.LayerNorm(hidden, norm)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, N, E)."""
        return self.down(self.norm(self.act(self.gate(tokens_BND)) * self.up(tokens_BND)))


class SameWidth(Connector):
    """Base class of the steps that keep the width of their input."""

    @staticmethod
    def width(width: int, out_width: int, **_: Any) -> int:
        """Return the width of the input."""
        return width


class Activation(SameWidth):
    """Apply an activation alone, by the name that transformers has for it."""

    def __init__(self, width: int, out_width: int, act: str = "gelu"):
        super().__init__()
        self.act = activation(act)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Return a tensor of the same shape."""
        return self.act(tokens_BND)


class Positions(SameWidth):
    """Add learnt positions: half of the channels for the column, half for the row (Florence-2, arXiv 2311.06242).

    Args:
        width: D.
        out_width: Ignored; the width stays.
        side: Rows and columns that have a position.
        frame: Add the sine and cosine of frame 0 too, as models do that were trained on videos.
    """

    def __init__(self, width: int, out_width: int, side: int, frame: bool = False):
        super().__init__()
        self.rows, self.columns = nn.Embedding(side, width // 2), nn.Embedding(side, width - width // 2)
        self.frame = frame

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Return a tensor of the same shape."""
        high, wide = grid
        rows = self.rows.weight[:high, None].expand(-1, wide, -1)
        columns = self.columns.weight[None, :wide].expand(high, -1, -1)
        added = tokens_BND + torch.cat([columns, rows], -1).flatten(0, 1)
        if self.frame:
            first = torch.zeros_like(added[0, 0])
            first[1::2] = 1  # sine and cosine of 0, in turns
            added = added + first
        return added


class MeanFirst(SameWidth):
    """Put the mean of all tokens before them."""

    def __init__(self, width: int, out_width: int):
        super().__init__()

    @staticmethod
    def grid(grid: Grid, **_: Any) -> Grid:
        """Return one row with one token more."""
        return 1, grid[0] * grid[1] + 1

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, N + 1, D)."""
        return torch.cat([tokens_BND.mean(1, keepdim=True), tokens_BND], 1)


class Select(Connector):
    """Keep some of the channels, and the first tokens or those after them.

    Args:
        width: D.
        out_width: Ignored.
        channels: First channel, and the one after the last; None is all that follow.
        skip: Tokens in front that are dropped.
        first: Tokens in front that alone are kept, as one row.
    """

    def __init__(
        self, width: int, out_width: int, channels: tuple[int, int | None], skip: int = 0, first: int | None = None
    ):
        super().__init__()
        self.channels, self.kept = slice(*channels), slice(skip, first)

    @staticmethod
    def grid(grid: Grid, first: int | None = None, **_: Any) -> Grid:
        """Return the same grid, or one row of the first tokens."""
        return (1, first) if first else grid

    @staticmethod
    def width(width: int, out_width: int, channels: tuple[int, int | None] = (0, None), **_: Any) -> int:
        """Return the number of channels that are kept."""
        return (channels[1] or width) - channels[0]

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, M, channels)."""
        return tokens_BND[:, self.kept, self.channels]


class Split(Connector):
    """Make several tokens of each by one linear layer (Frozen, arXiv 2106.13884 section 3.1), or of its channels.

    Args:
        width: D.
        out_width: E.
        count: Tokens that one becomes.
        linear: Whether a linear layer makes them; else each has an equal part of the channels.
    """

    def __init__(self, width: int, out_width: int, count: int, linear: bool = True):
        super().__init__()
        self.linear, self.count = nn.Linear(width, count * out_width) if linear else nn.Identity(), count

    @staticmethod
    def width(width: int, out_width: int, count: int = 1, linear: bool = True, **_: Any) -> int:
        """Return E, or a part of D."""
        return out_width if linear else width // count

    @staticmethod
    def grid(grid: Grid, count: int = 1, **_: Any) -> Grid:
        """Return one row of all tokens."""
        return 1, grid[0] * grid[1] * count

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, M, E)."""
        return self.linear(tokens_BND).unflatten(-1, (self.count, -1)).flatten(1, 2)


class Norm(SameWidth):
    """Layer norm; the width stays."""

    def __init__(self, width: int, out_width: int, eps: float = 1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps)

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Return a tensor of the same shape."""
        return self.norm(tokens_BND)


class Fold(Connector):
    """Stack the channels of a window of cells in one token, in the order row, column, channel (pixel shuffle).

    Args:
        width: D.
        out_width: Ignored.
        window: Rows and columns of cells per token.
        pad: Add cells of zeros below and right, where the window does not divide the grid.
    """

    def __init__(self, width: int, out_width: int, window: tuple[int, int] = (2, 2), pad: bool = False):
        super().__init__()
        self.window, self.pad = (window[0], window[1]), pad

    @staticmethod
    def grid(grid: Grid, window: tuple[int, int] = (2, 2), pad: bool = False, **_: Any) -> Grid:
        """Return one token per window."""
        if pad:
            return -(-grid[0] // window[0]), -(-grid[1] // window[1])
        return grid[0] // window[0], grid[1] // window[1]

    @staticmethod
    def width(width: int, out_width: int, window: tuple[int, int] = (2, 2), **_: Any) -> int:
        """Return the channels of a window."""
        return width * window[0] * window[1]

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, M, D * cells of a window)."""
        if self.pad:
            below, right = (-cells % side for cells, side in zip(grid, self.window, strict=True))
            tokens_BND = F.pad(tokens_BND.unflatten(1, grid), (0, 0, 0, right, 0, below)).flatten(1, 2)
            grid = grid[0] + below, grid[1] + right
        return fold(tokens_BND, grid, self.window)


class Shuffle(Connector):
    """Squeeze each cell, stack the cells of a window in one token (pixel shuffle), and project it.

    Args:
        width: D.
        out_width: E.
        window: Rows and columns of cells per token; the grid must be a multiple of it.
        squeeze: Width of a cell before stacking.
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
        """Return one token per window."""
        return grid[0] // window[0], grid[1] // window[1]

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """(B, N, D) -> (B, M, E). Raises ValueError for a grid that the window does not divide."""
        return self.project(fold(self.squeeze(tokens_BND), grid, self.window))


def fold(tokens_BND: Tensor, grid: Grid, window: tuple[int, int]) -> Tensor:
    """Stack the channels of each window of cells in one token.

    Raises:
        ValueError: The window does not divide the grid.
    """
    (rows, columns), (high, wide) = grid, window
    if rows % high or columns % wide:
        raise ValueError(f"a grid of {rows}x{columns} cells cannot be cut into windows of {high}x{wide}")
    cells = tokens_BND.reshape(len(tokens_BND), rows // high, high, columns // wide, wide, -1)
    return cells.permute(0, 1, 3, 2, 4, 5).flatten(3).flatten(1, 2)


def activation(name: str) -> nn.Module:
    """Return an activation by the name that transformers has for it."""
    if name == "gelu":
        return nn.GELU()
    from transformers.activations import ACT2FN  # takes seconds, and no model of ours needs it

    return ACT2FN[name]
