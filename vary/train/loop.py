"""The one training loop: every task, one process or several. Running the same command again resumes.

Chance is a function of (seed, stage, batch), not of what the process did before, and the data are too; what a
checkpoint must hold beside weights and moments is therefore a few numbers. A step is `accumulate` batches, shared among
the ranks. SIGTERM and Ctrl-C let the step end, save, and exit with 143 and 130; a second Ctrl-C does not wait.
"""

from __future__ import annotations

import contextlib
import csv
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..io.errors import InputError
from ..io.files import lock_folder
from .build import build, merge_adapters, spread, trained_names
from .chat_task import Answer
from .checkpoint import Checkpoints, moments, put, put_moments, read, tensors_of
from .distributed import Ranks, held, laid_out
from .flops import Speed
from .loader import batches_of
from .optim import build_optimizers, learns, schedule, set_rate
from .plot import draw_curve
from .reading_tasks import Material, Read, Setting, Task, Write
from .recipe import Recipe, Stage

Log = Callable[[str], Any]
TASKS: dict[str, Any] = {"read": Read, "write": Write, "answer": Answer}
MOST_BAD = 0.05  # share of samples that may be skipped, from the thousandth on


def train(recipe: Recipe, log: Log = print, max_steps: int | None = None, material: Material | None = None) -> Path:
    """Run or resume a recipe; returns the folder of the run. `max_steps` stops early, as if interrupted.

    The folder holds checkpoints (`checkpoint.py`), `loss.csv`, `eval.csv` and `loss.png`. Raises ValueError for what a
    recipe gets wrong, for a folder that another process trains in, and when too many steps or samples in a row are bad;
    SystemExit(143) and KeyboardInterrupt when told to stop, after saving.
    """
    ranks, out = Ranks.join(), Path(recipe.out)
    with lock_folder(out, "training in it") if ranks.first else contextlib.nullcontext(), _told_to_stop() as told:
        run = Run(recipe, ranks, log if ranks.first else lambda _: None, material)
        run.resume()
        done = 0
        while run.index < len(recipe.stages) and (max_steps is None or done < max_steps) and not run.told:
            done += _alive(run, None if max_steps is None else max_steps - done, told)
        if run.told == signal.SIGTERM:
            raise SystemExit(143)
        if run.told:
            raise KeyboardInterrupt
    return out


def export(recipe: Recipe, folder: Path, half: bool = True) -> dict[str, Any]:
    """Write the weights of a run, averaged where the recipe averages, as a model folder; returns the run's state.

    half: in half precision (batch norm's statistics in full). Adapters are merged. Raises ValueError without a run.
    """
    model, processor = build(recipe, training=False)
    found = Checkpoints(Path(recipe.out), recipe.keep).load()
    if not found:
        raise InputError(f"{recipe.out}: holds no checkpoint to export")
    put(model, found.tensors["model"], found.folder)
    put(model, {k: v for k, v in found.tensors["ema"].items() if k in model.state_dict()}, found.folder)
    merge_adapters(model)
    for name, parameter in model.named_parameters():
        if half and (".1." not in name or "vocabularies" not in name or not recipe.model.startswith("vary-nano")):
            parameter.data = parameter.data.half()  # ConvNorm's second layer is nano's batch norm
    model.save_pretrained(folder)
    if processor:
        processor.save_pretrained(folder)
    return found.state


class Run:
    """State of a run: where it is, its averaged weights, its log."""

    def __init__(self, recipe: Recipe, ranks: Ranks, log: Log, material: Material | None = None):
        self.recipe, self.ranks, self.log, self.out = recipe, ranks, log, Path(recipe.out)
        self.model, self.processor = build(recipe)
        self.sharded = recipe.shard and ranks.world > 1
        if self.sharded:
            spread(self.model, recipe, ranks)
        torch.nn.Module.to(self.model, ranks.device)
        self.given = material
        self.checkpoints = Checkpoints(self.out, recipe.keep, log)
        self.index, self.step, self.seen, self.seconds = 0, 0, 0, 0.0
        self.bad_steps, self.bad_samples, self.told = 0, 0, 0
        self.task_state: dict[str, Any] = {}
        self.moments: dict[str, torch.Tensor] = {}
        self.ema = {k: v.detach().clone() for k, v in self._own(recipe.stages).items()} if recipe.ema else {}
        self._columns: dict[str, list[str]] = {}

    def resume(self) -> None:
        """Go on where the newest good checkpoint stands."""
        found = self.checkpoints.load() if self.ranks.first else None
        folder = self.ranks.tell(found.folder if found else None)
        if not folder:
            return self._rewind({})
        found = found or read(folder)
        put(self.model, found.tensors["model"], found.folder)
        for name, tensor in found.tensors["ema"].items():
            if name in self.ema:
                self.ema[name].copy_(laid_out(tensor, self.ema[name]))
        state, self.moments = found.state, found.tensors["optimizer"]
        self.index, self.step, self.seen, self.seconds = (state[k] for k in ("stage", "step", "seen", "seconds"))
        self.task_state, self.bad_samples = state["task"], state.get("bad_samples", 0)
        if "logs" in state:  # the first edition kept none
            self._rewind(state["logs"])
        self.log(f"resumed {found.folder} at stage {self.index}, step {self.step}")

    def _rewind(self, sizes: dict[str, int]) -> None:
        """Cut the logs to the bytes that a checkpoint knows of: rows of steps that come again."""
        for path in (self.out / "loss.csv", self.out / "eval.csv") if self.ranks.first else ():
            if path.exists() and path.stat().st_size > sizes.get(path.name, 0):
                os.truncate(path, sizes.get(path.name, 0))

    def stage(self, limit: int | None, told: list[int]) -> int:
        """Train one stage to its end, or for `limit` steps, or until told to stop; returns the steps done."""
        stage, began, entered = self.recipe.stages[self.index], time.time(), self.step
        if stage.accumulate % self.ranks.world:
            raise InputError(f"stage {stage.name!r}: accumulate is no multiple of {self.ranks.world} ranks")
        optimizers = self._begin(stage)
        setting = Setting(self.recipe.seed, self.index, self.ranks.device, self.processor, self.given)
        task: Task = TASKS[stage.task](self.model, stage, setting, self.task_state)
        stop = stage.steps if limit is None else min(stage.steps, self.step + limit)
        speed = Speed(self.model, stage, self.recipe, self.ranks)
        with batches_of(task.data, stage, self.step, self.ranks, self.recipe.workers) as batches:
            while self.step < stop and not self.told:
                rate = stage.lr * schedule(self.step, stage)
                set_rate(optimizers, rate)
                shown, work = self._step(stage, task, batches, optimizers, told)
                speed.add(*work)
                self.step += 1
                if work[2]:  # this rank may not have heard of it
                    self.told = told[0] if told else signal.SIGTERM
                if self.step % self.recipe.log_every == 0 or self.step == stop:
                    self._report(stage, shown, rate, speed)
                if self.step % self.recipe.eval_every == 0:
                    self._evaluate(stage, task)
                last = self.step >= stop or bool(self.told)
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

    def _begin(self, stage: Stage) -> list[torch.optim.Optimizer]:
        """Freeze all but what the stage trains; its optimisers, with their moments when the stage goes on."""
        names = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        for prefix in stage.trainable:
            if not any(name.startswith(prefix) for name in names):
                raise InputError(f"stage {stage.name!r}: no parameter begins with {prefix}")
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(parameter.is_floating_point() and learns(name, stage, bool(self.recipe.lora)))
            parameter.grad = None
        self.model.train()
        parts = [(m, [p.requires_grad for p in m.parameters()]) for m in self.model.modules()]
        self._still = [m for m, learning in parts if learning and not any(learning)]
        self._buffers = {k: v for k, v in self.model.named_buffers() if k.startswith(stage.trainable)}
        optimizers = build_optimizers(self.model, stage)
        if self.step:
            put_moments(self.model, optimizers, self.moments)
        self.moments = {}
        return optimizers

    def _step(
        self, stage: Stage, task: Task, batches: Iterator[Any], optimizers: list[torch.optim.Optimizer], told: list[int]
    ) -> tuple[dict[str, float], tuple[float, float, bool]]:
        """One step of all ranks: (what is shown, (samples, tokens, whether some rank was told to stop))."""
        self.model.train()
        for module in self._still:
            module.eval()  # frozen: no dropout, and batch norm keeps its statistics
        before = [b.clone() for b in self._buffers.values()]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Any] = dict.fromkeys(("weight", "samples", "tokens", "told", "bad", *task.names), 0.0)
        for part in range(self.ranks.rank, stage.accumulate, self.ranks.world):
            batch = next(batches)
            _chance((self.recipe.seed * 1009 + self.index) * 10_000_019 + self.step * stage.accumulate + part)
            with torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
                losses, weight = task.losses(batch)
                if self.sharded and not losses:  # the others wait for this rank at every layer
                    one = torch.zeros(1, 1, dtype=torch.long, device=self.ranks.device)
                    (0 * self.model(one, use_cache=False).logits.sum()).backward()
            if losses:
                total: Any = sum(stage.losses.get(name, 1.0) * value for name, value in losses.items())
                (total * weight).backward()
            samples, tokens, skipped = task.size(batch)
            for reason in skipped:
                self.log(f"step {self.step}: skipped {reason}")
            for name, value in {"weight": weight, "samples": samples, "tokens": tokens, "bad": len(skipped)}.items():
                sums[name] += value
            for name, loss in losses.items():
                sums[name] = sums[name] + loss.detach().double() * weight  # a device is not waited for here
        trained = [p for o in optimizers for group in o.param_groups for p in group["params"]]
        self.ranks.add_gradients(trained)
        sums["told"] = float(bool(told))
        sums = dict(zip(sums, self.ranks.add([float(v) for v in sums.values()]), strict=True))
        norm = self._move(stage, trained, optimizers, sums["weight"])
        if norm is None:
            for buffer, was in zip(self._buffers.values(), before, strict=True):
                buffer.copy_(was)
        self._count(int(sums["samples"]), int(sums["bad"]), norm is None)
        shown = {name: sums[name] / max(sums["weight"], 1e-9) for name in task.names}
        shown |= {"grad": float("nan") if norm is None else norm, **task.shown}
        return shown, (sums["samples"], sums["tokens"], bool(sums["told"]))

    def _move(
        self, stage: Stage, trained: list[Any], optimizers: list[torch.optim.Optimizer], weight: float
    ) -> float | None:
        """Clip and step; the norm of the gradient, or None when it is not finite and nothing moved."""
        gradients = [p.grad for p in trained if p.grad is not None]
        norm = self.ranks.norm(gradients) / (weight or 1.0)
        if not np.isfinite(norm):
            return None
        if gradients and weight:
            scale = min(1.0, stage.clip / (norm + 1e-6) if stage.clip else 1.0) / weight
            if scale != 1.0:
                torch._foreach_mul_([held(g) for g in gradients], scale)
            for optimizer in optimizers:
                optimizer.step()
            self._average(stage)
        return norm

    def _count(self, samples: int, bad: int, skipped: bool) -> None:
        """What was seen and what was not; raises ValueError when it is too much."""
        self.seen += samples
        self.bad_samples += bad
        asked = self.seen + self.bad_samples
        if asked >= 1000 and self.bad_samples > MOST_BAD * asked:
            raise InputError(f"{self.bad_samples} of {asked} samples were skipped; at most {MOST_BAD:.0%} may be")
        self.bad_steps = self.bad_steps + 1 if skipped else 0
        if skipped:
            self.log(f"step {self.step}: gradient is not finite, step skipped")
        if self.bad_steps >= self.recipe.most_skipped:
            kept = self.checkpoints.good[-1] if self.checkpoints.good else "no checkpoint yet"
            raise InputError(f"{self.bad_steps} steps in a row had no finite gradient; the last state kept is {kept}")

    @torch.no_grad()
    def _average(self, stage: Stage) -> None:
        """Follow the trained weights; what is frozen keeps the average it came with."""
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        state = self.model.state_dict() if self.ema else {}
        for name, average in self.ema.items():
            if not name.startswith(stage.trainable):
                continue
            if average.is_floating_point():
                held(average).lerp_(held(state[name]), 1 - decay)
            else:
                average.copy_(state[name])

    def _own(self, stages: tuple[Stage, ...]) -> dict[str, torch.Tensor]:
        """What a checkpoint must hold: all of a model that began at random, else what these stages train."""
        if not (Path(self.recipe.model) / "config.json").is_file():
            return tensors_of(self.model)
        learnt = trained_names(self.recipe, self.model, len(stages))
        parameters = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        prefixes = tuple(prefix for stage in stages for prefix in stage.trainable)
        buffers = set() if self.recipe.lora else {k for k, _ in self.model.named_buffers() if k.startswith(prefixes)}
        return tensors_of(self.model, lambda name: name in learnt or (name in buffers - parameters))

    def _report(self, stage: Stage, shown: dict[str, float], rate: float, speed: Speed) -> None:
        pace = speed.read()
        row = {"stage": stage.name, "step": self.step, "seen": self.seen, "lr": f"{rate:.2e}"}
        row |= {"per_s": f"{pace.samples:.1f}", "tokens_s": f"{pace.tokens:.0f}", "mfu": f"{pace.mfu:.4f}"}
        shown = {k: float(v) for k, v in shown.items()}
        row |= {k: f"{v:.4f}" for k, v in shown.items()}
        self._append("loss.csv", row)
        words = " ".join(f"{k} {v:.3f}" for k, v in shown.items())
        bar = ("#" * (20 * self.step // stage.steps)).ljust(20, ".")
        left = (stage.steps - self.step) / pace.steps / 60
        self.log(
            f"{stage.name} [{bar}] {self.step}/{stage.steps} {words} | {pace.samples:.1f} samples/s, "
            f"{pace.tokens:.0f} tokens/s, MFU {pace.mfu:.1%}, {left:.0f} min left"
        )

    def _evaluate(self, stage: Stage, task: Task) -> None:
        """Held-out measures of the averaged weights, by the first rank, or by all that it needs for it."""
        if not (self.ranks.first or self.sharded):
            return
        kept = {k: v.clone() for k, v in self.model.state_dict().items() if k in self.ema}
        put(self.model, self.ema, "averages")
        self.model.eval()
        with (
            torch.no_grad(),
            torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"),
        ):
            found = task.evaluate()
        put(self.model, kept, "averages")
        self._append("eval.csv", {"stage": stage.name, "step": self.step, "seen": self.seen} | found)
        if self.ranks.first:
            draw_curve(self.out)
        self.log(f"{stage.name} {self.step}: held-out " + " ".join(f"{k} {v:.4f}" for k, v in found.items()))

    def _append(self, name: str, row: dict[str, Any]) -> None:
        """Add a row to a log; a header first where its columns differ from the last ones."""
        path, columns = self.out / name, list(row)
        if not self.ranks.first:
            return
        if name not in self._columns and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                self._columns[name] = next((r for r in reversed(list(csv.reader(file))) if r[:1] == ["stage"]), [])
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if self._columns.get(name) != columns:
                writer.writerow(columns)
                self._columns[name] = columns
            writer.writerow(row.values())

    def _advance(self) -> None:
        """To the next stage, which builds on the averaged weights."""
        self.index, self.step, self.task_state = self.index + 1, 0, {}
        put(self.model, self.ema, "averages")

    def _save(self, optimizers: list[torch.optim.Optimizer], last: bool) -> None:
        """Save; a full disk stops the run only where it would end anyway."""
        model = self._own(self.recipe.stages[: self.index + 1])
        tensors = {"model": model, "ema": self.ema, "optimizer": moments(self.model, optimizers)}
        tensors = {part: self.ranks.whole(own) for part, own in tensors.items()}
        if not self.ranks.first:
            return
        state: dict[str, Any] = {"stage": self.index, "step": self.step, "seen": self.seen, "seconds": self.seconds}
        logs = {p.name: p.stat().st_size for p in (self.out / "loss.csv", self.out / "eval.csv") if p.exists()}
        state |= {"task": self.task_state, "bad_samples": self.bad_samples, "logs": logs}
        try:
            self.checkpoints.save(self.index, self.step, tensors, state)
        except OSError as error:
            if last:
                raise
            self.log(f"{error}; going on, {len(self.checkpoints.good)} earlier ones are kept")


def _alive(run: Run, limit: int | None, told: list[int]) -> int:
    """A stage, with an error that says what to do when a data worker dies."""
    try:
        return run.stage(limit, told)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        why = str(error).splitlines()[0].strip()
        raise InputError(f"step {run.step}: a data worker died ({why}); the same command resumes") from None


def _chance(number: int) -> None:
    """Every generator of the process, by one number."""
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


@contextlib.contextmanager
def _told_to_stop() -> Iterator[list[int]]:
    """Signals so far; the second one interrupts at once."""
    caught: list[int] = []

    def note(number: int, frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
