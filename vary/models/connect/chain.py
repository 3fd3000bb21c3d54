"""Connect by several steps, one after the other."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from .cells import Brackets, Depthwise, EndToken, InvertedResidual, Pool, RegNet, Transpose
from .dual import DualEnhance
from .experts import LanguageMoe
from .plain import (
    Activation,
    Connector,
    Fold,
    Gated,
    Grid,
    Linear,
    MeanFirst,
    Mlp,
    Norm,
    Positions,
    Select,
    Shuffle,
    Split,
    build,
    sizes_of,
)
from .qformer import QFormer
from .query import Query
from .resampler import Resampler

STEPS: dict[str, type[Connector]] = {
    "act": Activation,
    "brackets": Brackets,
    "depthwise": Depthwise,
    "dual-enhance": DualEnhance,
    "end-token": EndToken,
    "fold": Fold,
    "gated": Gated,
    "inverted-residual": InvertedResidual,
    "language-moe": LanguageMoe,
    "linear": Linear,
    "mean-first": MeanFirst,
    "mlp": Mlp,
    "norm": Norm,
    "pool": Pool,
    "positions": Positions,
    "qformer": QFormer,
    "query": Query,
    "regnet": RegNet,
    "resampler": Resampler,
    "select": Select,
    "shuffle": Shuffle,
    "split": Split,
    "transpose": Transpose,
}


class Chain(Connector):
    """Run connectors in order; each gets the tokens and the grid of the one before it.

    Args:
        width: D.
        out_width: E.
        steps: Mappings with a `name` of `STEPS` and its sizes.
    """

    takes: ClassVar = ("used_BN", "words_BQ", "words_mask_BQ", "prompt_BTE", "asked_BT", "shapes")

    def __init__(self, width: int, out_width: int, steps: list[dict[str, Any]]):
        super().__init__()
        self.given_steps = steps
        built = []
        for step in steps:
            built.append(build(STEPS, step, width, out_width))
            width = STEPS[step["name"]].width(width, out_width, **sizes_of(step))
        self.steps = nn.ModuleList(built)

    @staticmethod
    def grid(grid: Grid, steps: list[dict[str, Any]] | None = None, **_: Any) -> Grid:
        """Return the grid after all steps."""
        for step in steps or []:
            grid = STEPS[step["name"]].grid(grid, **sizes_of(step))
        return grid

    @staticmethod
    def width(width: int, out_width: int, steps: list[dict[str, Any]] | None = None, **_: Any) -> int:
        """Return the width after all steps."""
        for step in steps or []:
            width = STEPS[step["name"]].width(width, out_width, **sizes_of(step))
        return width

    def forward(self, tokens_BND: Tensor, grid: Grid, **inputs: Any) -> Tensor:
        """Map (B, N, D) to (B, M, E). `inputs` are further inputs that some steps take."""
        for step, module in zip(self.given_steps, self.steps, strict=True):
            tokens_BND = run(cast(Connector, module), tokens_BND, grid, inputs)
            grid = STEPS[step["name"]].grid(grid, **sizes_of(step))
        return tokens_BND


class Parallel(Connector):
    """Run several chains on the same tokens and put their tokens one after the other (BLIVA, arXiv 2308.09936).

    Args:
        width: D.
        out_width: E; every chain must end at it.
        branches: The steps of each chain.
    """

    takes: ClassVar = Chain.takes

    def __init__(self, width: int, out_width: int, branches: list[list[dict[str, Any]]]):
        super().__init__()
        self.branches = nn.ModuleList(Chain(width, out_width, steps) for steps in branches)

    @staticmethod
    def grid(grid: Grid, branches: list[list[dict[str, Any]]] | None = None, **_: Any) -> Grid:
        """Return one row with the tokens of all chains."""
        ends = [Chain.grid(grid, steps) for steps in branches or []]
        return 1, sum(rows * columns for rows, columns in ends)

    def forward(self, tokens_BND: Tensor, grid: Grid, **inputs: Any) -> Tensor:
        """Map (B, N, D) to (B, M, E)."""
        return torch.cat([branch(tokens_BND, grid, **inputs) for branch in self.branches], 1)


STEPS["parallel"] = Parallel


def run(connector: Connector, tokens_BND: Tensor, grid: Grid, inputs: dict[str, Any]) -> Tensor:
    """Run a connector with those of the further inputs that it takes."""
    return connector(tokens_BND, grid, **{key: inputs[key] for key in connector.takes if key in inputs})
