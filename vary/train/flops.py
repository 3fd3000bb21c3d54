"""What a stage costs: floating-point operations and memory, found on tensors without contents, and the pace of a run.

The model's parts run once on the meta device, where shapes are computed and numbers are not: operations are counted by
PyTorch, and bytes are those that autograd would keep for the way back. MFU is what the model needs (twice more for the
way back; recomputing does not count; logits do for every token, though the loop makes only those that are learnt) over
what the device could do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..models.config import VaryConfig
from ..models.modeling import VaryForConditionalGeneration
from .build import checkpoint_activations
from .distributed import Ranks
from .recipe import Recipe, Stage

# Dense bfloat16 operations a second, from the makers' data sheets; other devices are measured by a product of matrices.
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12, "T4": 65e12}
TYPICAL_TOKENS = 1024  # of a sample whose length is not known yet


@dataclass(frozen=True)
class Cost:
    """Of one sample: operations forward and on the way back, and bytes kept between the two."""

    flops: float
    activations: float


def cost_of(model: VaryForConditionalGeneration, stage: Stage, recipe: Recipe, tokens: int) -> Cost:
    """What one image and a text of so many tokens cost in a stage; a page of the first view for `read` and `write`.

    The weights are taken to be bfloat16 in training with `precision: bf16`, float32 else.
    """
    dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
    with torch.device("meta"):
        copy = VaryForConditionalGeneration(cast(VaryConfig, model.config)).train()
    nn.Module.to(copy, dtype)
    if recipe.checkpointing:
        checkpoint_activations(copy)
    flops = bytes_kept = 0.0
    for k, (eye, settings) in enumerate(zip(copy.vocabularies, model.config.vocabularies, strict=True)):
        size = settings["preprocess"].get("size")
        high, wide = (stage.views[0].height, stage.views[0].width) if stage.views else (size or 1024, size or 1024)
        trained = any(f"vocabularies.{k}".startswith(t) or t.startswith(f"vocabularies.{k}") for t in stage.trainable)
        channels = type(eye).channels
        found = _run(eye.requires_grad_(trained), torch.empty(1, channels, high, wide, dtype=dtype, device="meta"))
        flops, bytes_kept = flops + found.flops * (3 if trained else 1), bytes_kept + found.activations * trained
    if stage.task == "answer":
        found = _run(_Text(copy), torch.empty(1, tokens, dtype=torch.long, device="meta"))
        flops, bytes_kept = flops + found.flops * (2 if recipe.lora else 3), bytes_kept + found.activations
    return Cost(flops, bytes_kept)


class _Text(nn.Module):
    """Language model, head and loss, as one."""

    def __init__(self, model: VaryForConditionalGeneration):
        super().__init__()
        self.language_model, self.lm_head = model.language_model, model.lm_head

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        long = ids_BT.shape[1]  # a whole mask, because a short one would be looked at
        mask = torch.ones(1, 1, long, long, dtype=torch.bool, device=ids_BT.device)
        out = self.language_model(ids_BT, attention_mask=mask, position_ids=torch.zeros_like(ids_BT), use_cache=False)
        logits = self.lm_head(out.last_hidden_state)
        return nn.functional.cross_entropy(logits.float().flatten(0, 1), ids_BT.flatten())


def _run(module: nn.Module, given: torch.Tensor) -> Cost:
    """One pass on the meta device. Weights that autograd keeps are not counted: they are there anyway."""
    weights = {p.untyped_storage()._cdata for p in module.parameters()}
    kept: dict[int, torch.Tensor] = {}  # by storage: views of one tensor are kept once

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        module(given)
    held = sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in weights)
    return Cost(float(counter.get_total_flops()), float(held))


def peak_flops(device: torch.device) -> float:
    """Operations a second that the device can do: in bfloat16 by its maker if known, else measured in a moment.

    A CPU is measured by the time that it worked for us, so that what else runs on it does not make it look slow.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    for known, flops in PEAK.items():
        if known in name.split() or f"{known}-" in name or f" {known}" in name:
            return flops
    cpu, best = device.type == "cpu", float("inf")
    clock = time.process_time if cpu else time.perf_counter
    for dtype in (torch.float32, torch.bfloat16):
        a, passed = torch.ones(1024, 1024, device=device, dtype=dtype), 0.0
        for _ in range(4):
            if passed < 4 * best:  # else a type that this device only emulates
                began = clock()
                float((a @ a)[0, 0])
                passed = clock() - began
                best = min(best, passed)
    return 2 * 1024**3 / best * (torch.get_num_threads() if cpu else 1)


@dataclass(frozen=True)
class Pace:
    """Each a second, over all ranks; mfu: share of what the devices could do."""

    steps: float
    samples: float
    tokens: float
    mfu: float


class Speed:
    """The pace of a run since it was last read."""

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, recipe: Recipe, ranks: Ranks):
        self.of = model, stage, recipe
        self.ranks, self.peak = ranks, 0.0
        self.flops = 0.0  # of a sample
        self.since, self.steps, self.samples, self.tokens = time.perf_counter(), 0, 0.0, 0.0

    def add(self, samples: float, tokens: float, *_: Any) -> None:
        """One step of all ranks."""
        self.steps, self.samples, self.tokens = self.steps + 1, self.samples + samples, self.tokens + tokens

    def read(self) -> Pace:
        """The pace; counting starts anew."""
        passed = time.perf_counter() - self.since
        if not self.peak:
            tokens = max(2, int(self.tokens / max(1.0, self.samples)))
            self.peak, self.flops = peak_flops(self.ranks.device), cost_of(*self.of, tokens).flops
        rates = self.steps / passed, self.samples / passed, self.tokens / passed
        mfu = self.flops * rates[1] / (self.peak * self.ranks.world)
        self.since, self.steps, self.samples, self.tokens = time.perf_counter(), 0, 0.0, 0.0
        return Pace(*rates, mfu)
