"""Train a recipe: one loop for every task, on one process or several. The same command resumes.

Random numbers and data are functions of (seed, stage, batch). So a checkpoint needs only a few numbers besides weights
and optimizer state. A step is `accumulate` batches, divided among the ranks. After SIGTERM or Ctrl-C the loop finishes
its step, saves, and exits with 143 or 130. A second Ctrl-C ends it at once.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..io.errors import ConfigError, InputError
from ..io.files import lock_folder
from .build import build, shard_model, trained_names
from .checkpoint import (
    Checkpoints,
    load_optimizer_state,
    load_tensors,
    named_tensors,
    optimizer_state,
    read_checkpoint,
    start_position,
)
from .distributed import Ranks, distribute_like, fast_bf16, local_shard
from .flops import ThroughputMeter
from .loader import iterate_batches, next_batch
from .optim import build_optimizers, is_trained, schedule, set_rate
from .recipe import Recipe, Stage
from .run_log import RunLog
from .stop_signal import StopSignal, catch_signals
from .tasks.chat_task import ChatTask
from .tasks.formula_task import FormulaTask
from .tasks.glyph_task import GlyphTask
from .tasks.reading_tasks import ReadTask, StripTask
from .tasks.task import Task, TaskContext, TextAssets

Log = Callable[[str], Any]
TASKS: dict[str, Any] = dict(read=ReadTask, write=StripTask, answer=ChatTask, formula=FormulaTask, glyphs=GlyphTask)
MAX_SKIPPED_SHARE = 0.05  # of all samples, checked from the thousandth on
MAX_EMPTY = 3, 8  # steps in a row, and samples in them, without a label that is text


def train(recipe: Recipe, log: Log = print, max_steps: int | None = None, assets: TextAssets | None = None) -> Path:
    """Run or resume a recipe. Return the folder of the run: checkpoints, `loss.csv`, `eval.csv`, `loss.png`.

    Args:
        recipe: What to train.
        log: Receives each line of the log.
        max_steps: Stop after so many steps, as if interrupted.
        assets: Text and fonts for rendered pages. None means the English ones.

    Raises:
        VaryError: The recipe is wrong, another process trains in the folder, or too many steps or samples were bad.
        SystemExit: With code 143 after SIGTERM, after saving.
        KeyboardInterrupt: After SIGINT, after saving.
    """
    ranks, out = Ranks.join(), Path(recipe.out)
    with lock_folder(out, "training in it") if ranks.first else contextlib.nullcontext(), catch_signals() as stop:
        run = Run(recipe, ranks, log if ranks.first else lambda _: None, stop, assets)
        run.resume()
        done = 0
        while run.index < len(recipe.stages) and (max_steps is None or done < max_steps) and not run.stopped_by:
            done += _run_stage(run, None if max_steps is None else max_steps - done)
        if run.stopped_by == signal.SIGTERM:
            raise SystemExit(143)
        if run.stopped_by:
            raise KeyboardInterrupt
    return out


class Run:
    """A run in progress: its position in the recipe, its weights and averages, and its logs.

    `stopped_by` is the number of the signal that ended the run on any rank, or 0.
    """

    def __init__(
        self, recipe: Recipe, ranks: Ranks, log: Log, stop: StopSignal | None = None, assets: TextAssets | None = None
    ):
        self.recipe, self.ranks, self.log, self.out = recipe, ranks, log, Path(recipe.out)
        self.stop, self.assets = stop or StopSignal(), assets
        self.model, self.processor = build(recipe)
        self.bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and fast_bf16(ranks.device))
        self.sharded = recipe.shard and ranks.world > 1
        if self.sharded:
            shard_model(self.model, recipe, ranks)
        torch.nn.Module.to(self.model, ranks.device)
        self.checkpoints = Checkpoints(self.out, recipe.keep, log)
        self.index, self.step, self.seen, self.seconds = 0, 0, 0, 0.0
        self.bad_steps, self.empty_steps, self.empty_samples, self.bad_samples, self.stopped_by = 0, 0, 0, 0, 0
        self.task_state: dict[str, Any] = {}
        self.moments: dict[str, torch.Tensor] = {}
        self.ema = (
            {k: v.detach().clone() for k, v in self._tensors_to_save(recipe.stages).items()} if recipe.ema else {}
        )
        self.logs = RunLog(self.out)

    def resume(self) -> None:
        """Load the newest valid checkpoint. Without one, take the position of the weights of `start`."""
        found = self.checkpoints.load() if self.ranks.first else None
        folder = self.ranks.broadcast(found.folder if found else None)
        if folder:
            found = found or read_checkpoint(folder)
            load_tensors(self.model, found.tensors["model"], found.folder)
            for name, tensor in found.tensors["ema"].items():
                if name in self.ema:
                    self.ema[name].copy_(distribute_like(tensor, self.ema[name]))
            state, self.moments = found.state, found.tensors["optimizer"]
        elif self.recipe.start:  # `build` has loaded the weights
            folder, state = self.recipe.start[-1], start_position(self.recipe.start)
        else:
            return self.logs.truncate({}) if self.ranks.first else None
        self.index, self.step, self.seen, self.seconds = (state[k] for k in ("stage", "step", "seen", "seconds"))
        self.task_state, self.bad_samples = state["task"], state.get("bad_samples", 0)
        if "logs" in state and self.ranks.first:  # version 0.1.0 saved none
            self.logs.truncate(state["logs"])
        self.log(f"resumed {folder} at stage {self.index}, step {self.step}")

    def stage(self, limit: int | None) -> int:
        """Train one stage to its end, for `limit` steps, or until a stop signal. Return the number of steps done."""
        stage, began, entered = self.recipe.stages[self.index], time.time(), self.step
        if stage.accumulate % self.ranks.world:
            raise ConfigError(f"stage {stage.name!r}: accumulate is no multiple of {self.ranks.world} ranks")
        optimizers, recipe = self.begin(stage), self.recipe
        alphabet = (self.model.config.reading or {}).get("alphabet", "")
        context = TaskContext(
            recipe.seed, self.index, self.ranks.device, self.processor, self.assets, recipe.workers, alphabet
        )
        task: Task = TASKS[stage.task](self.model, stage, context, self.task_state)
        stop = stage.steps if limit is None else min(stage.steps, self.step + limit)
        meter = ThroughputMeter(self.model, stage, self.recipe, self.ranks)
        with iterate_batches(task.data, stage, self.step, self.ranks, self.recipe.workers) as batches:
            while self.step < stop and not self.stopped_by:
                rate = stage.lr * schedule(self.step, stage)
                set_rate(optimizers, rate)
                metrics, work = self.train_step(stage, task, batches, optimizers)
                meter.add(*work)
                self.step += 1
                if work[2]:  # perhaps only another rank received the signal
                    self.stopped_by = self.stop.number or signal.SIGTERM
                if self.step % self.recipe.log_every == 0 or self.step in (1, stop):
                    self._report(stage, metrics, rate, meter)
                if self.step % self.recipe.eval_every == 0:
                    self._evaluate(stage, task)
                last = self.step >= stop or bool(self.stopped_by)
                if self.step % self.recipe.save_every == 0 or last:
                    self.seconds, began = self.seconds + time.time() - began, time.time()
                    self.task_state = task.state()
                    done = self.step - entered
                    if self.step >= stage.steps:
                        self._advance()
                    self._save([] if self.step == 0 else optimizers, last)
                    if last:
                        return done
        return self.step - entered

    def begin(self, stage: Stage) -> list[torch.optim.Optimizer]:
        """Freeze what the stage does not train. Return its optimizers, with their state if the stage is resumed."""
        names = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        for prefix in stage.trainable:
            if not any(name.startswith(prefix) for name in names):
                raise ConfigError(f"stage {stage.name!r}: no parameter begins with {prefix}")
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(parameter.is_floating_point() and is_trained(name, stage, bool(self.recipe.lora)))
            parameter.grad = None
        self.model.train()
        parts = [(m, [p.requires_grad for p in m.parameters()]) for m in self.model.modules()]
        self._frozen_modules = [m for m, learning in parts if learning and not any(learning)]
        self._buffers = {k: v for k, v in self.model.named_buffers() if k.startswith(stage.trainable)}
        optimizers = build_optimizers(self.model, stage)
        load_optimizer_state(self.model, optimizers, self.moments)
        self.moments = {}
        return optimizers

    def train_step(
        self, stage: Stage, task: Task, batches: Iterator[Any], optimizers: list[torch.optim.Optimizer]
    ) -> tuple[dict[str, Any], tuple[float, float, bool]]:
        """Train one step on all ranks. Return (metrics, (samples, tokens, whether some rank got a stop signal))."""
        self.model.train()
        for module in self._frozen_modules:
            module.eval()  # no dropout, and batch norm keeps its statistics
        before = [b.clone() for b in self._buffers.values()]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Any] = dict.fromkeys(("weight", "samples", "tokens", "labels", "stop", "bad", *task.names), 0.0)
        for part in range(self.ranks.rank, stage.accumulate, self.ranks.world):
            batch = next_batch(batches)
            _seed_all((self.recipe.seed * 1009 + self.index) * 10_000_019 + self.step * stage.accumulate + part)
            with torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.bf16):
                losses, weight = task.losses(batch)
                if self.sharded and not losses:  # FSDP: the other ranks wait for this one at every layer
                    one = torch.zeros(1, 1, dtype=torch.long, device=self.ranks.device)
                    (0 * self.model(one, use_cache=False).logits.sum()).backward()
            if losses:
                total: Any = sum(stage.losses.get(name, 1.0) * value for name, value in losses.items())
                (total * weight).backward()
            samples, tokens, skipped = task.size(batch)
            for reason in skipped:
                self.log(f"step {self.step}: skipped {reason}")
            counts = {"samples": samples, "tokens": tokens, "labels": task.labels(batch), "bad": len(skipped)}
            for name, value in {"weight": weight, **counts}.items():
                sums[name] += value
            for name, loss in losses.items():
                sums[name] = sums[name] + loss.detach().double() * weight  # no float() here: it would wait for the GPU
        trained = [p for o in optimizers for group in o.param_groups for p in group["params"]]
        self.ranks.all_reduce_gradients(trained)
        sums["stop"] = float(bool(self.stop.number))
        sums = dict(zip(sums, self.ranks.all_reduce([float(v) for v in sums.values()]), strict=True))
        norm = self._update(stage, trained, optimizers, sums["weight"])
        if norm is None:
            for buffer, was in zip(self._buffers.values(), before, strict=True):
                buffer.copy_(was)
        weight = sums["weight"] or float("nan")
        metrics = {name: sums[name] / weight for name in task.names}
        metrics |= {"grad": float("nan") if norm is None else norm, **task.metrics}
        self._check_samples(int(sums["samples"]), int(sums["bad"]))
        asked = 0 if sums["weight"] and sums["labels"] else int(sums["samples"] + sums["bad"])
        self._check_labels(stage, asked, float(metrics.get("cut", 0.0)), skipped)
        self._check_gradient(norm is not None)
        return metrics, (sums["samples"], sums["tokens"], bool(sums["stop"]))

    def _update(
        self, stage: Stage, trained: list[Any], optimizers: list[torch.optim.Optimizer], weight: float
    ) -> float | None:
        """Clip the gradient and step the optimizers. Return its norm, or None if it is not finite: nothing changed."""
        gradients = [p.grad for p in trained if p.grad is not None]
        norm = self.ranks.total_norm(gradients) / (weight or 1.0)
        if not np.isfinite(norm):
            return None
        if gradients and weight:
            scale = min(1.0, stage.clip / (norm + 1e-6) if stage.clip else 1.0) / weight
            if scale != 1.0:
                torch._foreach_mul_([local_shard(g) for g in gradients], scale)
            for optimizer in optimizers:
                optimizer.step()
            self._update_average(stage)
        return norm

    def _check_samples(self, samples: int, bad: int) -> None:
        """Count samples. Raise InputError if too many were skipped."""
        self.seen += samples
        self.bad_samples += bad
        asked = self.seen + self.bad_samples
        if asked >= 1000 and self.bad_samples > MAX_SKIPPED_SHARE * asked:
            limit = f"at most {MAX_SKIPPED_SHARE:.0%} may be"
            raise InputError(f"{self.bad_samples} of {asked} samples were skipped; {limit}")

    def _check_labels(self, stage: Stage, empty: int, cut: float, skipped: list[str]) -> None:
        """Raise InputError if no sample had a label in `MAX_EMPTY` steps in a row, or in a whole short stage.

        Args:
            stage: The stage.
            empty: Number of samples of a step without any label that is text, else 0.
            cut: Share of samples that lost their end.
            skipped: Why samples of the step were skipped.
        """
        self.empty_steps, self.empty_samples = (self.empty_steps + 1, self.empty_samples + empty) if empty else (0, 0)
        enough = self.empty_steps >= MAX_EMPTY[0] and self.empty_samples >= MAX_EMPTY[1]
        if enough or self.empty_steps == stage.steps:
            why = "their samples have no text"
            if skipped:
                why = f"their samples were skipped: {skipped[0]}"
            elif cut:
                why = f"max_tokens {stage.max_tokens} cut {cut:.0%} of the samples before their answers ended"
            steps = f"{self.empty_steps} steps in a row had no label to learn from"
            raise InputError(f"stage {stage.name!r}: {steps}: {why}")

    def _check_gradient(self, finite: bool) -> None:
        """Count steps without a finite gradient. Raise InputError if there are too many in a row."""
        self.bad_steps = 0 if finite else self.bad_steps + 1
        if not finite:
            self.log(f"step {self.step}: gradient is not finite, step skipped")
        if self.bad_steps >= self.recipe.most_skipped:
            kept = self.checkpoints.good[-1] if self.checkpoints.good else "none yet"
            raise InputError(f"{self.bad_steps} steps in a row had no finite gradient; the last checkpoint is {kept}")

    @torch.no_grad()
    def _update_average(self, stage: Stage) -> None:
        """Update the averages of the weights that the stage trains. Averages of frozen weights stay."""
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        state = self.model.state_dict() if self.ema else {}
        for name, average in self.ema.items():
            if not name.startswith(stage.trainable):
                continue
            if average.is_floating_point():
                local_shard(average).lerp_(local_shard(state[name]), 1 - decay)
            else:
                average.copy_(state[name])

    def _tensors_to_save(self, stages: tuple[Stage, ...]) -> dict[str, torch.Tensor]:
        """Return the tensors of a checkpoint: what these stages train, or all if the first weights were random."""
        if not self.recipe.has_folder:
            return named_tensors(self.model)
        learnt = trained_names(self.recipe, self.model, len(stages))
        parameters = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        prefixes = tuple(prefix for stage in stages for prefix in stage.trainable)
        buffers = set() if self.recipe.lora else {k for k, _ in self.model.named_buffers() if k.startswith(prefixes)}
        return named_tensors(self.model, lambda name: name in learnt or (name in buffers - parameters))

    def _report(self, stage: Stage, metrics: dict[str, Any], rate: float, meter: ThroughputMeter) -> None:
        """Write a row of `loss.csv` and a line of the log."""
        pace = meter.read()
        row = {"stage": stage.name, "step": self.step, "seen": self.seen, "lr": f"{rate:.2e}"}
        row |= {"per_s": f"{pace.samples:.1f}", "tokens_s": f"{pace.tokens:.0f}", "mfu": f"{pace.mfu:.4f}"}
        metrics = {k: float(v) for k, v in metrics.items()}
        row |= {k: f"{v:.4f}" for k, v in metrics.items()}
        if self.ranks.first:
            self.logs.append("loss.csv", row)
        words = " ".join(f"{k} {v:.3f}" for k, v in metrics.items())
        words += f" | {pace.samples:.1f} samples/s, {pace.tokens:.0f} tokens/s, MFU {pace.mfu:.1%}"
        self.log(
            tqdm.format_meter(
                self.step,
                stage.steps,
                self.step / pace.steps,
                prefix=stage.name,
                unit="step",
                postfix=words,
                ascii=True,
            )
        )

    def _evaluate(self, stage: Stage, task: Task) -> None:
        """Measure the averaged weights on held-out samples. Rank 0 does it, or all ranks if the model is sharded."""
        if not (self.ranks.first or self.sharded):
            return
        kept = {k: v.clone() for k, v in self.model.state_dict().items() if k in self.ema}
        load_tensors(self.model, self.ema, "averages")
        self.model.eval()
        with (
            torch.no_grad(),
            torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.bf16),
        ):
            found = task.evaluate()
        load_tensors(self.model, kept, "averages")
        if self.ranks.first:
            self.logs.append("eval.csv", {"stage": stage.name, "step": self.step, "seen": self.seen} | found)
            self.logs.plot()
        self.log(f"{stage.name} {self.step}: held-out " + " ".join(f"{k} {v:.4f}" for k, v in found.items()))

    def _advance(self) -> None:
        """Go to the next stage. It starts from the averaged weights."""
        self.index, self.step, self.task_state = self.index + 1, 0, {}
        load_tensors(self.model, self.ema, "averages")

    def _save(self, optimizers: list[torch.optim.Optimizer], last: bool) -> None:
        """Write a checkpoint. If that fails, log it and go on; raise only at the end of the run."""
        model = self._tensors_to_save(self.recipe.stages[: self.index + 1])
        tensors = {"model": model, "ema": self.ema, "optimizer": optimizer_state(self.model, optimizers)}
        tensors = {part: self.ranks.gather(own) for part, own in tensors.items()}
        if not self.ranks.first:
            return
        state: dict[str, Any] = {"stage": self.index, "step": self.step, "seen": self.seen, "seconds": self.seconds}
        state |= {"task": self.task_state, "bad_samples": self.bad_samples, "logs": self.logs.sizes()}
        try:
            self.checkpoints.save(self.index, self.step, tensors, state)
        except OSError as error:
            if last:
                raise
            self.log(f"{error}; going on, {len(self.checkpoints.good)} earlier ones are kept")


def _run_stage(run: Run, limit: int | None) -> int:
    """Run a stage. If a data worker dies, raise InputError that says how to go on."""
    try:
        return run.stage(limit)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        why = str(error).splitlines()[0].strip()
        raise InputError(f"step {run.step}: a data worker died ({why}); the same command resumes") from None


def _seed_all(number: int) -> None:
    """Seed the random number generators of torch, numpy and Python."""
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)
