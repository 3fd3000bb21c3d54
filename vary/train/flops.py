"""Count floating-point operations and activation memory of a stage; measure throughput and MFU of a run.

The model runs once on the meta device, which computes shapes only. PyTorch counts the operations. The bytes are the
tensors that autograd would save for the backward pass. MFU is the operations that the model needs, over the peak of
the device. The backward pass counts twice the forward pass, and recomputation does not count. Logits count for every
token, although the loop computes only those with a label.
"""

from __future__ import annotations

import functools
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..models.config import VaryConfig
from ..models.fuse.language import layers_of
from ..models.generate.symbols_decoder import SymbolsDecoder
from ..models.modeling import VaryForConditionalGeneration
from .build import checkpoint_activations
from .distributed import Ranks, fast_bf16
from .recipe import Recipe, Stage, View

# Dense bfloat16 operations per second from data sheets. Other devices are measured by a matrix product.
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12, "T4": 65e12}
FORMULA_SIZE = 64, 192  # typical height and width of a drawn formula
TYPICAL_TOKENS = 1024  # per sample, if its length is not known


@dataclass(frozen=True)
class Cost:
    """Cost of one sample: operations of forward and backward pass, and bytes of saved activations."""

    flops: float
    activations: float


Seen = tuple[tuple[float, int, int], ...]  # what a vocabulary sees of a sample: numbers of views, heights, widths


def cost_of(
    model: VaryForConditionalGeneration, stage: Stage, recipe: Recipe, tokens: int, seen: tuple[Seen, ...] | None = None
) -> Cost:
    """Count the cost of one sample in a stage: its images and `tokens` tokens of text.

    `seen` holds the views of a sample for each vocabulary. Without it every vocabulary sees one view: the square of its
    size, or else 1,024 pixels a side. For `read` and `write` it is a page of the first view of the stage.
    Towers that take images of any size look at values, which this count has not; their cost is estimated (`_estimate`).
    Branches of routes are not counted. Activations of a language model with experts are an upper bound.
    Types are bfloat16 with `precision: bf16`, else float32.
    """
    settings = (model.config.to_json_string(), stage.task, stage.views[:1], stage.trainable, recipe.precision)
    return _cost_of(*settings, recipe.checkpointing, bool(recipe.lora), tokens, seen)


@functools.lru_cache
def _cost_of(
    config: str, task: str, views: tuple[View, ...], trainable: tuple[str, ...], precision: str, checkpointing: bool,
    lora: bool, tokens: int, seen: tuple[Seen, ...] | None,
) -> Cost:  # fmt: skip
    """Count what `cost_of` returns, once for the settings that it depends on."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with torch.device("meta"):
        copy = VaryForConditionalGeneration(VaryConfig.from_dict(json.loads(config))).train()
    nn.Module.to(copy, dtype)
    if checkpointing:
        checkpoint_activations(copy)
    if task == "formula":
        found = _run(_Formula(copy.symbols_decoder), torch.empty(1, tokens, dtype=torch.long, device="meta"))
        return Cost(found.flops * 3, found.activations)
    flops = bytes_kept = 0.0
    for k, (eye, vocabulary) in enumerate(zip(copy.vocabularies, copy.config.vocabularies, strict=True)):
        size = vocabulary["preprocess"].get("size") or 1024
        typical = (views[0].height, views[0].width) if views else (size, size)
        typical = FORMULA_SIZE if task == "glyphs" else typical
        trained = any(f"vocabularies.{k}".startswith(t) or t.startswith(f"vocabularies.{k}") for t in trainable)
        for count, high, wide in seen[k] if seen else ((1.0, *typical),):
            pixels = torch.empty(1, eye.channels, high, wide, dtype=dtype, device="meta")
            found = _estimate(eye, pixels) if eye.native else _run(eye.requires_grad_(trained), pixels)
            flops += count * found.flops * (3 if trained else 1)
            bytes_kept += count * found.activations * trained
    if task == "answer":
        if getattr(copy.config.text_config, "num_experts_per_tok", 0):  # grouped products are not counted
            copy.language_model.set_experts_implementation("batched_mm")
        found = _run(_Text(copy), torch.empty(1, tokens, dtype=torch.long, device="meta"))
        flops, bytes_kept = flops + found.flops * (2 if lora else 3), bytes_kept + found.activations
    return Cost(flops, bytes_kept)


class _Text(nn.Module):
    """Language model, output head and loss as one module."""

    def __init__(self, model: VaryForConditionalGeneration):
        super().__init__()
        self.language_model, self.lm_head = model.language_model, model.lm_head
        self.encoder_decoder = bool(model.config.is_encoder_decoder)
        self.flat_mask = model.config.text_config.model_type == "kosmos_2_text_model"  # it expands the mask itself

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        long = ids_BT.shape[1]  # transformers would inspect the values of a 2-d mask; meta tensors have none
        shape = (1, long) if self.flat_mask else (1, 1, long, long)
        mask = torch.ones(*shape, dtype=torch.bool, device=ids_BT.device)
        inputs = {"position_ids": torch.zeros_like(ids_BT)}
        if self.encoder_decoder:  # as many tokens on both sides: an upper bound
            inputs = {"decoder_input_ids": ids_BT, "decoder_attention_mask": mask}
        out = self.language_model(ids_BT, attention_mask=mask, use_cache=False, **inputs)
        logits = out.logits if self.lm_head is None else self.lm_head(out.last_hidden_state)
        return nn.functional.cross_entropy(logits.float().flatten(0, 1), ids_BT.flatten())


class _Formula(nn.Module):
    """The symbols decoder on a formula of as many glyphs as steps."""

    def __init__(self, decoder: nn.Module | None):
        super().__init__()
        self.decoder = cast(SymbolsDecoder, decoder)

    def forward(self, steps_BT: torch.Tensor) -> torch.Tensor:
        count, dtype = steps_BT.shape[1], self.decoder.step.weight.dtype
        boxes, real = steps_BT.new_empty((1, count, 4), dtype=dtype), steps_BT.new_ones((1, count), dtype=torch.bool)
        memory = self.decoder.encode(steps_BT, steps_BT, boxes, real)
        return self.decoder.logits(memory, steps_BT, steps_BT, steps_BT.new_zeros((1, count, count), dtype=torch.bool))


def _estimate(tower: Any, pixels_BCHW: torch.Tensor) -> Cost:
    """Estimate one forward pass of a tower of any size: 2 operations per weight and patch, 4 D per pair of patches.

    Activations are 34 bytes per patch, channel and layer in 2-byte numbers (arXiv 2205.05198, equation 2, without the
    matrix of attention). Layers behind a merge of patches count as if they saw every patch: 5% too much for Qwen2-VL.
    """
    own, layers = tower.tower.config, len(layers_of(tower))
    width = getattr(own, "embed_dim", own.hidden_size)
    patches = (pixels_BCHW.shape[-2] // own.patch_size) * (pixels_BCHW.shape[-1] // own.patch_size)
    weights = sum(m.weight.numel() for m in tower.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Conv3d))
    flops = 2.0 * weights * patches + 4.0 * patches**2 * width * layers
    return Cost(flops, 34.0 * patches * width * layers * pixels_BCHW.element_size() / 2)


def _run(module: nn.Module, given: torch.Tensor) -> Cost:
    """Count one forward pass on the meta device."""
    return count_cost(module, lambda: module(given))


def count_cost(module: nn.Module, call: Callable[[], Any]) -> Cost:
    """Count the operations of a call, and the bytes that it saves for a backward pass.

    Saved weights of the module are not counted as activations.
    """
    weights = {p.untyped_storage()._cdata for p in module.parameters()}
    kept: dict[int, torch.Tensor] = {}  # by storage: views of one tensor count once

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        call()
    held = sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in weights)
    return Cost(float(counter.get_total_flops()), float(held))


@functools.lru_cache
def peak_flops(device: torch.device) -> float:
    """Return the peak operations per second of a device: from its data sheet if known, else measured.

    It is measured once per process. On a CPU, process time is measured, so other load does not lower the result.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    for known, flops in PEAK.items():
        if known in name.split() or f"{known}-" in name or f" {known}" in name:
            return flops
    cpu, best = device.type == "cpu", float("inf")
    clock = time.process_time if cpu else time.perf_counter
    for dtype in (torch.float32, torch.bfloat16) if fast_bf16(device) else (torch.float32,):
        a = torch.ones(1024, 1024, device=device, dtype=dtype)
        for _ in range(4):
            began = clock()
            float((a @ a)[0, 0])
            best = min(best, clock() - began)
    return 2 * 1024**3 / best * (torch.get_num_threads() if cpu else 1)


@dataclass(frozen=True)
class Throughput:
    """Steps, samples and tokens per second over all ranks, and MFU (0 to 1)."""

    steps: float
    samples: float
    tokens: float
    mfu: float


def _count(views: Counter[tuple[int, int]], eye: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    """Count the images that a vocabulary is given."""
    views[given[0].shape[-2], given[0].shape[-1]] += len(given[0])


class ThroughputMeter:
    """Measure the throughput of a run between two calls of `read`.

    Operations are those of the samples before the first call: their views and tokens are counted.
    """

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, recipe: Recipe, ranks: Ranks):
        self.of = model, stage, recipe
        self.ranks, self.peak = ranks, 0.0
        self.flops = 0.0  # per sample
        self.since, self.steps, self.samples, self.tokens = time.perf_counter(), 0, 0.0, 0.0
        self.views: list[Counter[tuple[int, int]]] = [Counter() for _ in model.vocabularies]  # of this rank, by size
        pairs = zip(model.vocabularies, self.views, strict=True)
        self.hooks = [eye.register_forward_pre_hook(functools.partial(_count, views)) for eye, views in pairs]

    def add(self, samples: float, tokens: float, *_: Any) -> None:
        """Count one step of all ranks."""
        self.steps, self.samples, self.tokens = self.steps + 1, self.samples + samples, self.tokens + tokens

    def read(self) -> Throughput:
        """Return the throughput since the last call, and start a new measurement."""
        passed = time.perf_counter() - self.since
        if not self.peak:
            samples = max(1.0, self.samples)
            tokens, own = max(2, int(self.tokens / samples)), samples / self.ranks.world
            seen = tuple(tuple((n / own, *size) for size, n in views.items()) for views in self.views)
            self.peak, self.flops = peak_flops(self.ranks.device), cost_of(*self.of, tokens, seen).flops
            for hook in self.hooks:
                hook.remove()
        rates = self.steps / passed, self.samples / passed, self.tokens / passed
        mfu = self.flops * rates[1] / (self.peak * self.ranks.world)
        self.since, self.steps, self.samples, self.tokens = time.perf_counter(), 0, 0.0, 0.0
        return Throughput(*rates, mfu)
