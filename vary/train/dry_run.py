"""What a recipe would do, without doing it: what is trained, how much a step is, what it needs, and one sample."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from .build import build
from .chat_task import Answer, Talk
from .distributed import Ranks
from .flops import TYPICAL_TOKENS, cost_of
from .optim import factors, learns
from .reading_tasks import Setting
from .recipe import Recipe, Stage


def plan(recipe: Recipe) -> str:
    """Lines for people about every stage. Reads the model and the first sample; writes nothing."""
    model, processor = build(recipe)
    ranks = Ranks.join()
    lines = [f"{recipe.model} -> {recipe.out}, {ranks.world} x {ranks.device.type}, {recipe.precision}"]
    for index, stage in enumerate(recipe.stages):
        talk = None
        if stage.task == "answer":
            setting = Setting(recipe.seed, index, torch.device("cpu"), processor)
            talk = Answer(model, stage, setting, {}).data[0]
        lines += ["", *_described(recipe, stage, model, talk)]
        if talk and talk.samples and processor:
            lines += ["  first sample, what is learnt in brackets:", f"  {shown(talk, processor.tokenizer)}"]
    return "\n".join(lines)


def shown(talk: Talk, tokenizer: Any) -> str:
    """The first row of a batch as text: `[learnt]`, and a count where one token repeats."""
    ids, labels = talk.inputs["input_ids"][0].tolist(), talk.inputs["labels"][0].tolist()
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


def _described(recipe: Recipe, stage: Stage, model: Any, talk: Talk | None) -> list[str]:
    batch = stage.batch if talk else max(view.batch for view in stage.views)
    samples = batch * stage.accumulate
    lines = [f"{stage.name}: {stage.steps} steps of {samples} samples by {stage.task}, {stage.optimizer} {stage.lr:g}"]
    counts: Counter[tuple[str, bool]] = Counter()
    shares = factors(model, stage)
    weights = trained = 0
    rates = set()
    for name, parameter in model.named_parameters():
        learnt = learns(name, stage, bool(recipe.lora))
        counts[name.split(".")[0], learnt] += parameter.numel()
        weights += parameter.numel() * parameter.element_size()
        if learnt:
            trained += parameter.numel()
            rates.add(round(shares[name] * stage.lr, 12))
    for (part, learnt), count in counts.items():
        lines.append(f"  {part:<16} {count:>15,} {'trained' if learnt else 'frozen'}")
    lines.append(f"  rates {min(rates):g} to {max(rates):g}" if rates else "  nothing is trained")
    tokens = talk.tokens // max(1, talk.samples) if talk else TYPICAL_TOKENS
    if talk:
        lines.append(f"  tokens: {tokens * samples:,} a step if samples are like the first {talk.samples}")
    cost = cost_of(model, stage, recipe, tokens)
    kept = (12 if stage.optimizer == "adamw" else 10) * trained + (4 * trained if recipe.ema else 0)
    gib = [n / 2**30 for n in (weights, kept, cost.activations * batch)]
    lines.append(
        f"  memory: weights {gib[0]:.1f}, gradients, moments, averages {gib[1]:.1f}, activations some {gib[2]:.1f} GiB"
    )
    lines.append(f"  work: {cost.flops * samples / 1e12:.3g} TFLOP a step")
    return lines
