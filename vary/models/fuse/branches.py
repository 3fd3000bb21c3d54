"""Define branches: parameters next to a module, which some tokens take in addition to it or in its place.

A branch maps the input (..., D) and the output (..., E) of its module for these tokens to their new output (..., E).
`start` sets its parameters so that the output stays as it is.
"""

from __future__ import annotations

import copy
import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from .base import Sight


class Branch(nn.Module):
    """Base class of the branches. `given` are the arguments that come from the model, not from the configuration.

    Args:
        module: The module that the branch is next to.
        width: Width of the layers that it is in.
        sight: What the hooks of the model look at.
    """

    given: ClassVar = ("module", "width", "sight")

    def start(self, module: nn.Module) -> None:
        """Set the parameters with which the output stays that of the module."""
        raise NotImplementedError


class Copy(Branch):
    """Replace the module by one with the same shapes (the visual expert of CogVLM, arXiv 2311.03079)."""

    def __init__(self, module: nn.Module, width: int, sight: Sight):
        super().__init__()
        self.module = copy.deepcopy(module)

    def start(self, module: nn.Module) -> None:
        """Copy the parameters of the module."""
        copy_parameters(module, self.module)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the output of the other module."""
        return self.module(x)


class LowRank(Branch):
    """Add two linear layers with a narrow width between them (LoRA, arXiv 2106.09685).

    Args:
        module, width, sight: As in `Branch`.
        rank: Width between the layers.
        scale: Factor of what is added.
        learnt: Whether the factor is learnt.
    """

    def __init__(
        self, module: nn.Module, width: int, sight: Sight, rank: int, scale: float = 1.0, learnt: bool = False
    ):
        super().__init__()
        first, last = widths_of(module, width)
        self.down, self.up = nn.Linear(first, rank, bias=False), nn.Linear(rank, last, bias=False)
        self.scale = nn.Parameter(torch.tensor([float(scale)])) if learnt else scale

    def start(self, module: nn.Module) -> None:
        """Set the second layer to 0."""
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sum."""
        return y + self.up(self.down(x)) * self.scale


BRANCHES: dict[str, type[Branch]] = {"copy": Copy, "low-rank": LowRank}


def widths_of(module: nn.Module, width: int) -> tuple[int, int]:
    """Return the widths of a module's input and output; other modules than linear layers keep the width."""
    return (module.in_features, module.out_features) if isinstance(module, nn.Linear) else (width, width)


@torch.no_grad()
def copy_parameters(source: nn.Module, target: nn.Module) -> None:
    """Copy all parameters of a module into one of the same shapes."""
    for theirs, own in zip(source.parameters(), target.parameters(), strict=True):
        own.copy_(theirs)
