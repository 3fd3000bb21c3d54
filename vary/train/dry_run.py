"""Describe a training run without running it: trainable parameters, tokens, memory, work, and one sample."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from ..models.modeling import VaryForConditionalGeneration
from .build import build, build_on_meta
from .distributed import Ranks
from .flops import TYPICAL_TOKENS, cost_of
from .optim import is_trained, rate_factors
from .recipe import Recipe, Stage
from .tasks.chat_task import ChatBatch, ChatTask
from .tasks.task import TaskContext


def describe_run(recipe: Recipe) -> str:
    """Describe every stage of a recipe in text. Read the model and the first sample; write nothing.

    If the model's folder does not exist and the recipe names a `preset`, that model is built without weights. It has
    no tokenizer, so no sample is shown.
    """
    without_weights = bool(recipe.preset) and not recipe.has_folder
    model, processor = (build_on_meta(recipe), None) if without_weights else build(recipe)
    ranks = Ranks.join()
    lines = [f"{recipe.model} -> {recipe.out}, {ranks.world} x {ranks.device.type}, {recipe.precision}"]
    if without_weights:
        lines.append(f"{recipe.model} does not exist: sizes are those of {recipe.preset}, and no sample can be shown")
        lines += [f"make it first: {recipe.made_by}"] if recipe.made_by else []
    for index, stage in enumerate(recipe.stages):
        batch = None
        if stage.task == "answer" and not without_weights:
            context = TaskContext(recipe.seed, index, torch.device("cpu"), processor)
            batch = ChatTask(model, stage, context, {}).data[0]
        lines += ["", *_describe_stage(recipe, stage, model, batch)]
        if batch and batch.samples and processor:
            text = format_labels(batch, processor.tokenizer)
            lines += ["  first sample, labels in brackets:", f"  {text}"]
    return "\n".join(lines)


def format_labels(batch: ChatBatch, tokenizer: Any) -> str:
    """Write the first row of a batch as text. Labels are in brackets; image tokens are shown as a count."""
    ids, labels = batch.inputs["input_ids"][0].tolist(), batch.inputs["labels"][0].tolist()
    while ids and ids[-1] == tokenizer.pad_token_id and labels[-1] == -100:
        ids, labels = ids[:-1], labels[:-1]
    runs: list[tuple[bool, list[int]]] = []
    for token, label in zip(ids, labels, strict=True):
        if not runs or runs[-1][0] != (label != -100):
            runs.append((label != -100, []))
        runs[-1][1].append(token)
    pad = tokenizer.convert_tokens_to_ids("<imgpad>")
    texts = []
    for learnt, tokens in runs:
        images = tokens.count(pad)
        first = tokens.index(pad) if images else len(tokens)
        text = tokenizer.decode(tokens[:first])
        text += f"<imgpad> x {images}" + tokenizer.decode(tokens[first + images :]) if images else ""
        texts.append(f"[{text}]" if learnt else text)
    return "".join(texts).replace("\n", "\\n")


def _describe_stage(
    recipe: Recipe, stage: Stage, model: VaryForConditionalGeneration, batch: ChatBatch | None
) -> list[str]:
    rows = max((view.batch for view in stage.views), default=stage.batch)
    samples = rows * stage.accumulate
    lines = [f"{stage.name}: {stage.steps} steps of {samples} samples by {stage.task}, {stage.optimizer} {stage.lr:g}"]
    counts: Counter[tuple[str, bool]] = Counter()
    shares = rate_factors(model, stage)
    weights, trained, rates = 0.0, 0, set()
    for name, parameter in model.named_parameters():
        learnt = is_trained(name, stage, bool(recipe.lora))
        counts[name.split(".")[0], learnt] += parameter.numel()
        weights += parameter.numel() * _bytes_of(name, parameter, recipe)
        if learnt:
            trained += parameter.numel()
            rates.add(round(shares[name] * stage.lr, 12))
    for (part, learnt), count in counts.items():
        lines.append(f"  {part:<16} {count:>15,} {'trained' if learnt else 'frozen'}")
    lines.append(f"  rates {min(rates):g} to {max(rates):g}" if rates else "  nothing is trained")
    tokens = batch.tokens // max(1, batch.samples) if batch else TYPICAL_TOKENS
    if batch:
        lines.append(f"  tokens: {tokens * samples:,} a step if samples are like the first {batch.samples}")
    elif stage.task == "answer":
        lines.append(f"  tokens: {tokens * samples:,} a step if a sample has {tokens}")
    cost = cost_of(model, stage, recipe, tokens)
    kept = (12 if stage.optimizer == "adamw" else 10) * trained + (4 * trained if recipe.ema else 0)
    gib = [n / 2**30 for n in (weights, kept, cost.activations * rows)]
    lines.append(
        f"  memory: weights {gib[0]:.1f}, gradients, moments, averages {gib[1]:.1f}, activations some {gib[2]:.1f} GiB"
    )
    lines.append(f"  work: {cost.flops * samples / 1e12:.3g} TFLOP a step")
    return lines


def _bytes_of(name: str, parameter: torch.Tensor, recipe: Recipe) -> float:
    """Return the bytes of one element. On the meta device, weights that LoRA would quantise count `lora.bits`."""
    quantised = parameter.is_meta and recipe.lora and recipe.lora.bits and name.endswith("base_layer.weight")
    return recipe.lora.bits / 8 if quantised and recipe.lora else parameter.element_size()
