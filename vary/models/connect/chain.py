"""Connect by several steps, one after the other."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from .plain import Connector, Fold, Grid, Linear, Mlp, Norm, Shuffle
from .qformer import QFormer

STEPS: dict[str, type[Connector]] = {
    "fold": Fold,
    "linear": Linear,
    "mlp": Mlp,
    "norm": Norm,
    "qformer": QFormer,
    "shuffle": Shuffle,
}


class Chain(Connector):
    """Run connectors in order; each gets the tokens and the grid of the one before it.

    Args:
        width: D.
        out_width: E.
        steps: Mappings with a `name` of `STEPS` and its sizes.
    """

    def __init__(self, width: int, out_width: int, steps: list[dict[str, Any]]):
        super().__init__()
        self.given_steps = steps
        built = []
        for step in steps:
            sizes = _sizes(step)
            built.append(STEPS[step["name"]](width, out_width, **sizes))
            width = STEPS[step["name"]].width(width, out_width, **sizes)
        self.steps = nn.ModuleList(built)

    @staticmethod
    def grid(grid: Grid, steps: list[dict[str, Any]] | None = None, **_: Any) -> Grid:
        """Return the grid after all steps."""
        for step in steps or []:
            grid = STEPS[step["name"]].grid(grid, **_sizes(step))
        return grid

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, M, E)."""
        for step, module in zip(self.given_steps, self.steps, strict=True):
            tokens_BND = cast(Connector, module)(tokens_BND, grid)
            grid = STEPS[step["name"]].grid(grid, **_sizes(step))
        return tokens_BND


def _sizes(step: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in step.items() if key != "name"}
