"""Compare our training loop with transformers' `Trainer` on noise: samples and tokens per second, and MFU.

`python benchmarks/train.py [vary-tiny-paper] [--stage vocabulary] [--batch 1] [--tokens 512] [--steps 2] [--turns 2]
[--compile] [--small]` prints a table; the same command serves a GPU. Weights, images and texts are random, so nothing
is learnt; the work is that of pages whose texts are between a quarter and the whole of `--tokens` long (one alone is
whole), the rest is padding. Ours is the loop's own step (`vary.train.loop.Run`), fused AdamW and clipping on both
sides; `Trainer` has bf16, TF32 where there is a GPU, and a second row with `torch_compile` where ours is compiled.
`--stage tune` trains all but the vocabularies. A step is timed from the end of the one before it; each loop's first is
not counted, the better of the turns is. `--small` takes the miniature, to see that it runs.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from vary.models.config import preset
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.zoo import names
from vary.train.distributed import Ranks
from vary.train.flops import cost_of, peak_flops
from vary.train.loop import Run
from vary.train.recipe import Recipe, Stage
from vary.train.tasks.chat_task import ChatBatch, ChatTask
from vary.train.tasks.task import TaskContext

TRAINED = {"vocabulary": ("",), "tune": ("connector", "language_model", "lm_head")}
PAGE = (1024, 1024)  # of vocabularies that take pages of any size; what `cost_of` takes them to be


def talk_of(model: VaryForConditionalGeneration, batch: int, tokens: int) -> ChatBatch:
    """`<img>`, the image's places, and a text of which all is learnt, padded on the right."""
    config, pixels = model.config, []
    for eye, settings in zip(model.vocabularies, config.vocabularies, strict=True):
        size = settings["preprocess"].get("size")
        pixels.append(torch.randn(batch, type(eye).channels, *((size, size) if size else PAGE)))
    with torch.no_grad():
        seen = model.get_image_features([p[:1] for p in pixels]).shape[1]
    ids = torch.randint(5, config.text_config.vocab_size - 1, (batch, 1 + seen + tokens))
    ids[ids == config.image_token_id] += 1
    ids[:, 1 : 1 + seen] = config.image_token_id
    lengths = torch.linspace(tokens // 4, tokens, batch).long() if batch > 1 else torch.tensor([tokens])
    real = torch.arange(ids.shape[1]) < (1 + seen + lengths)[:, None]
    ids[~real] = 1
    labels = torch.where(real & (torch.arange(ids.shape[1]) > seen), ids, -100)
    inputs = {"input_ids": ids, "labels": labels, "attention_mask": real.long(), "pixel_values": pixels}
    learnt = int((labels[:, 1:] != -100).sum())
    return ChatBatch(inputs, samples=batch, tokens=int(real.sum()), learnt=learnt, texts=batch)


class Noise(ChatTask):
    """The task `answer`, of one batch that comes again and again."""

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, device: torch.device):
        self.model, self.stage, self.samples, self.cut, self.metrics = model, stage, 0, 0, {}
        self.context = TaskContext(0, 0, device)


def settle(device: torch.device) -> float:
    """The time, when the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def ours(run: Run, stage: Stage, talk: ChatBatch, steps: int) -> float:
    """Seconds a step of the loop."""
    optimizers, task = run.begin(stage), Noise(run.model, stage, run.ranks.device)
    batches: Iterator[ChatBatch] = repeat(talk)
    run.train_step(stage, task, batches, optimizers)
    began = settle(run.ranks.device)
    for _ in range(steps):
        run.train_step(stage, task, batches, optimizers)
    return (settle(run.ranks.device) - began) / steps


class _Clock(TrainerCallback):
    """When the first and the last step ended."""

    def __init__(self, device: torch.device, last: int):
        self.device, self.last, self.times = device, last, []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in (1, self.last):
            self.times.append(settle(self.device))


def theirs(model: Any, stage: Stage, talk: ChatBatch, steps: int, compiled: bool = False) -> float:
    """Seconds a step of `Trainer`."""
    device, clock = model.device, _Clock(model.device, steps + 1)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=steps + 1, learning_rate=stage.lr, per_device_train_batch_size=talk.samples, bf16=True,
            tf32=True if device.type == "cuda" else None, torch_compile=compiled, report_to=[], save_strategy="no",
            remove_unused_columns=False, disable_tqdm=True, logging_steps=10**6, use_cpu=device.type == "cpu",
            dataloader_pin_memory=False, weight_decay=stage.weight_decay, max_grad_norm=stage.clip,
        )  # fmt: skip
        noise = [0] * (talk.samples * (steps + 1))
        Trainer(model, arguments, lambda _: dict(talk.inputs), noise, callbacks=[clock]).train()
    return (clock.times[1] - clock.times[0]) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="vary-tiny-paper", choices=names())
    parser.add_argument("--stage", default="vocabulary", choices=list(TRAINED))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    name = options.model + "-test" * (options.small and not options.model.endswith("-test"))
    stage = Stage(
        name=options.stage, task="answer", mix="noise", steps=10**6, lr=1e-5, trainable=TRAINED[options.stage],
        betas=(0.9, 0.999), weight_decay=0.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(model=name, stages=(stage,), out=str(Path(folder)), ema=0.0, compile=options.compile)
        ranks = Ranks.join()
        plain = VaryForConditionalGeneration(preset(name))
        talk = talk_of(plain, options.batch, options.tokens)
        run = Run(recipe, ranks, lambda line: None)
    if ranks.device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    run.begin(stage)
    torch.nn.Module.to(plain, ranks.device)
    for mine, other in zip(run.model.parameters(), plain.parameters(), strict=True):
        other.requires_grad_(mine.requires_grad)
    inputs = {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in talk.inputs.items()}
    talk = dataclasses.replace(talk, inputs=inputs)
    ways = {"vary": lambda: ours(run, stage, talk, options.steps)}
    ways["Trainer"] = lambda: theirs(plain, stage, talk, options.steps)
    if options.compile:
        ways["Trainer, torch_compile"] = lambda: theirs(copy.deepcopy(plain), stage, talk, options.steps, True)
    turns = [{way: measure() for way, measure in ways.items()} for _ in range(options.turns)]
    best = {way: min(turn[way] for turn in turns) for way in ways}
    long = talk.tokens // talk.samples
    flops, peak = cost_of(run.model, stage, recipe, long).flops * talk.samples, peak_flops(ranks.device)
    print(f"{name}, {options.stage}, {talk.samples} x {long} tokens, {ranks.device}, peak {peak / 1e12:.2f} TFLOP/s")
    print("| loop | seconds a step | samples/s | tokens/s | MFU | of Trainer's |\n|---|---|---|---|---|---|")
    for way, each in best.items():
        row = [f"{each:.3f}", f"{talk.samples / each:.2f}", f"{talk.tokens / each:.0f}", f"{flops / each / peak:.1%}"]
        print(f"| {way} | {' | '.join(row)} | {best['Trainer'] / each:.2f} x |")


if __name__ == "__main__":
    main()
