"""Parameter groups, AdamW and Muon, and learning-rate schedules.

Muon (arXiv 2502.16982) updates the matrices of linear layers. Its updates are scaled to AdamW's, so one rate fits
both. AdamW updates embeddings, heads, convolutions, norms and biases.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
from torch import nn

from ..io.errors import ConfigError
from .recipe import Stage

_LAYER = re.compile(r"(.*?)\.(?:layers|blocks)\.(\d+)\.")
_NOT_MUON = ("lm_head", "reading_head")


def is_trained(name: str, stage: Stage, lora: bool = False) -> bool:
    """Return whether a stage trains this parameter. With LoRA only adapters of the language model are trained."""
    if not name.startswith(stage.trainable):
        return False
    return not lora or not name.startswith("language_model") or "lora_" in name


def rate_factors(model: nn.Module, stage: Stage) -> dict[str, float]:
    """Return the factor of the learning rate for every parameter: `rates` times `layer_decay` per layer below the top.

    An embedding before the first layer counts as one layer below it.

    Raises:
        ConfigError: A name in `rates` matches no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in stage.rates:
        if not any(name.startswith(prefix) for name in names):
            raise ConfigError(f"stage {stage.name!r}: rates: no parameter begins with {prefix!r}")
    depth: dict[str, int] = {}
    for name in names:
        if found := _LAYER.match(name):
            depth[found[1]] = max(depth.get(found[1], 0), int(found[2]) + 1)
    shares = {}
    for name in names:
        own = max((p for p in stage.rates if name.startswith(p)), key=len, default="")
        below = 0
        if found := _LAYER.match(name):
            below = depth[found[1]] - 1 - int(found[2])
        elif "embed" in name:
            below = max((n for stack, n in depth.items() if name.startswith(f"{stack}.")), default=0)
        shares[name] = float(stage.rates.get(own, 1.0)) * stage.layer_decay**below
    return shares


def build_optimizers(model: nn.Module, stage: Stage) -> list[torch.optim.Optimizer]:
    """Build optimizers for the parameters that require gradients. Each group stores its rate factor as `share`.

    Vectors (norms, biases) get no weight decay.

    Raises:
        ConfigError: The stage asks for Muon and this PyTorch has none.
    """
    shares = rate_factors(model, stage)
    linear = {id(m.weight) for n, m in model.named_modules() if isinstance(m, nn.Linear) and n not in _NOT_MUON}
    linear -= {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}  # tied to a head
    linear -= {id(p) for n, p in model.named_parameters() if n.startswith(_NOT_MUON)}
    groups: dict[tuple[bool, float, float, type], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            muon = stage.optimizer == "muon" and id(parameter) in linear
            decay = stage.weight_decay if parameter.ndim > 1 else 0.0
            kind = type(parameter.data)  # one optimizer call cannot mix DTensor and Tensor
            groups.setdefault((muon, shares[name], decay, kind), []).append(parameter)
    of_each = [
        [
            {"params": p, "share": share, "weight_decay": decay}
            for (muon, share, decay, _), p in groups.items()
            if muon == m
        ]
        for m in (False, True)
    ]
    optimizers: list[torch.optim.Optimizer] = []
    if of_each[0]:
        optimizers.append(torch.optim.AdamW(of_each[0], lr=stage.lr, betas=stage.betas, fused=True))
    if of_each[1]:
        if not hasattr(torch.optim, "Muon"):
            raise ConfigError(f"stage {stage.name!r}: optimizer muon needs torch 2.9 or newer")
        optimizers.append(torch.optim.Muon(of_each[1], lr=stage.lr, adjust_lr_fn="match_rms_adamw"))
    return optimizers


def _trapezoid(step: int, stage: Stage) -> float:
    """Constant rate, then linear decay over the last `decay` of the steps (warm-up, stable, decay: WSD)."""
    return (stage.steps - step) / max(1, int(stage.decay * stage.steps))


def _cosine(step: int, stage: Stage) -> float:
    """Half a cosine, from the end of the warm-up to the last step."""
    warm = max(1, int(stage.warmup * stage.steps))
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0, step - warm) / max(1, stage.steps - warm)))


SCHEDULES: dict[str, Callable[[int, Stage], float]] = {
    "trapezoid": _trapezoid,
    "cosine": _cosine,
    "constant": lambda step, stage: 1.0,
}


def schedule(step: int, stage: Stage) -> float:
    """Return the share of the peak rate at a step: linear warm-up, then the stage's schedule, at least `floor`."""
    warm = max(1, int(stage.warmup * stage.steps))
    return min(1.0, (step + 1) / warm, max(stage.floor, SCHEDULES[stage.schedule](step, stage)))


def set_rate(optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    """Set the learning rate of this step in every group, times its share."""
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = rate * group["share"]
