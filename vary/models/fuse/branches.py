"""Define branches: parameters next to a module, which some tokens take in addition to it or in its place.

A branch maps the input (..., D) and the output (..., E) of its module for these tokens to their new output (..., E).
`start` sets its parameters so that the output stays as it is.
"""

from __future__ import annotations

import copy
import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ..connect.attention import RMSNorm
from ..connect.plain import activation
from .base import HookState

BALANCE = 0.01  # weight of the term of the loss that balances experts


class Branch(nn.Module):
    """Base class of the branches. `given` are the arguments that come from the model, not from the configuration.

    Args:
        module: The module that the branch is next to.
        width: Width of the layers that it is in.
        hooks: What the hooks of the model read.
    """

    given: ClassVar = ("module", "width", "hooks")

    def start(self, module: nn.Module) -> None:
        """Set the parameters with which the output stays that of the module."""
        raise NotImplementedError


class Copy(Branch):
    """Replace the module by one with the same shapes (the visual expert of CogVLM, arXiv 2311.03079)."""

    def __init__(self, module: nn.Module, width: int, hooks: HookState):
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
        module, width, hooks: As in `Branch`.
        rank: Width between the layers.
        scale: Factor of what is added.
        learnt: Whether the factor is learnt.
    """

    def __init__(
        self, module: nn.Module, width: int, hooks: HookState, rank: int, scale: float = 1.0, learnt: bool = False
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


class Adapter(Branch):
    """Add a norm and two linear layers with an activation between them (adapters, arXiv 1902.00751; Lynx).

    Args:
        module, width, hooks: As in `Branch`.
        rank: Width between the layers.
        act: Name of the activation, as transformers spells it.
    """

    def __init__(self, module: nn.Module, width: int, hooks: HookState, rank: int, act: str = "silu"):
        super().__init__()
        self.norm, self.act = nn.LayerNorm(width), activation(act)
        self.down, self.up = nn.Linear(width, rank), nn.Linear(rank, width)
        self.scale = nn.Parameter(torch.ones(1))

    def start(self, module: nn.Module) -> None:
        """Set the second layer to 0."""
        nn.init.normal_(self.down.weight, std=0.02)
        for parameter in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sum of the output of the module and the adapter of it."""
        return y + self.up(self.act(self.down(self.norm(y)))) * self.scale


class MixedAdapters(Branch):
    """Add two adapters that share their first layer, each by its share (LaVIN, arXiv 2305.15023 section 3.2).

    Args:
        module, width, hooks: As in `Branch`.
        rank: Width between the layers.
        by: Whose state in this layer gives the shares: that of every token itself, or of the token of `Modality`.
        groups: Equal parts of these channels, each of which the second layer maps to a part of its output.
        temperature: What divides the logits of the shares.
        dropout: Part of the channels between the layers that is dropped in training.
    """

    def __init__(
        self,
        module: nn.Module,
        width: int,
        hooks: HookState,
        rank: int,
        by: Literal["token", "modality"] = "token",
        groups: int = 2,
        temperature: float = 10.0,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.down, self.dropout = nn.Linear(width, rank), nn.Dropout(dropout)
        self.up = nn.ModuleList(nn.Conv1d(rank, width, 1, groups=groups) for _ in range(2))
        self.router, self.temperature = nn.Linear(width, 2), temperature
        self.by, self.hooks = by, hooks

    def start(self, module: nn.Module) -> None:
        """Set the second layers to 0."""
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.zeros_(self.down.bias)
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sum of the output (B, T, E) of the module and both adapters of it."""
        if self.by == "modality" and self.hooks.kinds_B is not None:
            shares = self.hooks.shares[self][self.hooks.kinds_B]
        else:
            shares = (self.router(y) / self.temperature).softmax(-1)
            self.hooks.shares |= {self: shares} if self.by == "modality" else {}
        inner = self.dropout(self.down(y)).mT
        return y + sum(up(inner).mT * share for up, share in zip(self.up, shares.split(1, -1), strict=True))


class AddedNorm(Branch):
    """Norm the output of the module (TinyGPT-V, arXiv 2312.16862). No parameters of it leave the output as it is.

    Args:
        module, width, hooks: As in `Branch`.
        eps: Constant of the norm.
    """

    def __init__(self, module: nn.Module, width: int, hooks: HookState, eps: float = 1e-6):
        super().__init__()
        self.norm = RMSNorm(width, eps)

    def start(self, module: nn.Module) -> None:
        """Set the scale to 1."""
        nn.init.ones_(self.norm.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the normed output."""
        return self.norm(y)


class Experts(Branch):
    """Choose among several modules for each token; the module itself is the first (MoE-LLaVA, arXiv 2401.15947).

    The probabilities of the chosen ones, scaled to the sum 1, weight their outputs. A term of the loss balances them:
    E times the sum, over experts, of the mean probability and the share of tokens that have it as their first choice.

    Args:
        module, width, hooks: As in `Branch`.
        count: E, the number of modules.
        top: How many a token takes.
    """

    def __init__(self, module: nn.Module, width: int, hooks: HookState, count: int = 4, top: int = 2):
        super().__init__()
        self.router = nn.Linear(width, count, bias=False)
        self.experts = nn.ModuleList(copy.deepcopy(module) for _ in range(count - 1))
        self.top, self.hooks = top, hooks

    def start(self, module: nn.Module) -> None:
        """Copy the module to the others; the router begins at random."""
        nn.init.normal_(self.router.weight, std=0.02)
        for expert in self.experts:
            copy_parameters(module, expert)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the weighted sum."""
        flat, shares = x.flatten(0, -2), self.router(x).flatten(0, -2).float().softmax(-1)
        best, chosen = shares.topk(self.top, -1)
        weights = torch.zeros_like(shares).scatter(-1, chosen, best / best.sum(-1, keepdim=True)).to(y.dtype)
        first = torch.zeros_like(shares).scatter(-1, chosen[:, :1], 1.0)
        self.hooks.losses.append(BALANCE * shares.shape[-1] * (shares.mean(0) * first.mean(0)).sum())
        found = y.flatten(0, -2) * weights[:, :1]
        for k, expert in enumerate(self.experts, 1):
            taken = weights[:, k].nonzero()[:, 0]
            found = found.index_add(0, taken, expert(flat[taken]) * weights[taken, k, None])
        return found.view_as(y)


class XPos(Branch):
    """Turn and scale queries or keys by the number of their token (xPos, arXiv 2212.10554 section 3).

    Queries grow with the number and keys shrink, so a score depends on the distance of two tokens. There are no
    parameters. `positions: xpos` adds these branches to a model and hides the positions of the language model.

    Args:
        module, width, hooks: As in `Branch`.
        heads: Heads of the attention.
        keys: Whether the module makes keys.
    """

    base = 512  # tokens after which a pair of channels has shrunk by its factor

    def __init__(self, module: nn.Module, width: int, hooks: HookState, heads: int, keys: bool):
        super().__init__()
        self.heads, self.power, self.hooks = heads, -1.0 if keys else 1.0, hooks

    def start(self, module: nn.Module) -> None:
        """Do nothing: there are no parameters."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the output, turned."""
        assert self.hooks.numbers_BT is not None
        even, odd = y.unflatten(-1, (self.heads, -1, 2)).unbind(-1)
        numbers = self.hooks.numbers_BT[..., None, None].float()
        steps = torch.arange(even.shape[-1], device=y.device) / even.shape[-1]
        angles, scale = numbers / 10000**steps, ((steps + 0.4) / 1.4) ** (self.power * numbers / self.base)
        sin, cos = (angles.sin() * scale).to(y.dtype), (angles.cos() * scale).to(y.dtype)
        return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-3)


BRANCHES: dict[str, type[Branch]] = {
    "adapter": Adapter,
    "copy": Copy,
    "experts": Experts,
    "low-rank": LowRank,
    "mixture": MixedAdapters,
    "norm": AddedNorm,
    "xpos": XPos,
}


def widths_of(module: nn.Module, width: int) -> tuple[int, int]:
    """Return the widths of a module's input and output; other modules than linear layers keep the width."""
    return (module.in_features, module.out_features) if isinstance(module, nn.Linear) else (width, width)


@torch.no_grad()
def copy_parameters(source: nn.Module, target: nn.Module) -> None:
    """Copy all parameters of a module into one of the same shapes."""
    for theirs, own in zip(source.parameters(), target.parameters(), strict=True):
        own.copy_(theirs)
