"""Checkpoints of a run: what is written here is there after a crash, or the one before it is.

    RUN/step-1-0000250/      stage 1 (from 0), step 250
        model.safetensors    ema.safetensors, optimizer.safetensors: tensors by the names of the model's parameters
        state.json           everything else
        manifest.json        size and SHA-256 of each file, written last: a folder counts if they hold

A folder is written under another name, flushed to disk with its files, and renamed. Resuming takes the newest one that
verifies and says why it passed others by; only good ones are counted when old ones are removed. Runs from before the
manifest (`RUN/last/`) are read and left as they are.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..io.errors import ConfigError, InputError
from ..io.files import fsync_path, sha256
from .distributed import laid_out

Tensors = dict[str, Tensor]
Log = Callable[[str], Any]
PARTS = ("model", "ema", "optimizer")
_NAME = re.compile(r"step-(\d+)-(\d+)")


@dataclass
class Checkpoint:
    """What a folder holds. `tensors` has one dict for each of `PARTS`."""

    folder: Path
    tensors: dict[str, Tensors]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run. keep: how many good ones stay."""

    def __init__(self, run: Path, keep: int = 2, log: Log = print):
        if keep < 1:
            raise ConfigError(f"keep: {keep}; allowed: 1 or more")
        self.run, self.keep, self.log = run, keep, log
        self.good: list[Path] = []  # known to verify, oldest first

    def save(self, stage: int, step: int, tensors: dict[str, Tensors], state: dict[str, Any]) -> Path:
        """Write one. Raises OSError when the disk does not take it; the ones before it are untouched then."""
        folder = self.run / f"step-{stage}-{step:07d}"
        if folder in self.good:
            return folder
        part = self.run / f".{folder.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            _write(part, tensors, state)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(part, ignore_errors=True)
            raise OSError(f"{folder}: not saved: {' '.join(str(error).split())}") from None
        shutil.rmtree(folder, ignore_errors=True)  # only one that did not verify can stand there
        part.rename(folder)
        fsync_path(self.run)
        self.good.append(folder)
        self._purge()
        return folder

    def load(self) -> Checkpoint | None:
        """The newest one that verifies, or None when there is none. Each that is passed by is logged with the reason.

        Raises ValueError when there are checkpoints and none of them is good.
        """
        bad = 0
        for folder in reversed(self._folders()):
            why = damage(folder)
            if not why:
                self.good = [folder]
                return read(folder)
            self.log(f"checkpoint {folder.name} is passed by: {why}")
            bad += 1
        for folder in (self.run / "last", self.run / "last.old"):
            if (folder / "state.json").exists():
                return read(folder)
        if bad:
            raise InputError(f"{self.run}: none of {bad} checkpoints is whole; remove the folder to begin anew")
        return None

    def _folders(self) -> list[Path]:
        """All that are named like one, oldest first."""
        found = [(m, p) for p in self.run.glob("step-*") if (m := _NAME.fullmatch(p.name)) and p.is_dir()]
        return [p for *_, p in sorted((int(m[1]), int(m[2]), p) for m, p in found)]

    def _purge(self) -> None:
        """Remove what is older than the last `keep` good ones, and what crashes left half-written."""
        for part in self.run.glob(".step-*.part"):
            shutil.rmtree(part, ignore_errors=True)
        self.good, before = self.good[-self.keep :], self._folders()
        if len(self.good) == self.keep:
            for folder in before[: before.index(self.good[0])]:
                (folder / "manifest.json").unlink(missing_ok=True)  # half a folder never counts
                shutil.rmtree(folder, ignore_errors=True)


def damage(folder: Path) -> str:
    """Why a checkpoint does not count; empty when every file is as it was written."""
    try:
        listed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return "no manifest.json: it was not finished"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"manifest.json cannot be read: {' '.join(str(error).split())}"
    for name, about in listed.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != about["bytes"]:
            return f"{name} has {file.stat().st_size} bytes instead of {about['bytes']}"
        if sha256(file) != about["sha256"]:
            return f"{name} has other bytes than were written"
    return "" if "state.json" in listed else "manifest.json names no state.json"


def read(folder: Path) -> Checkpoint:
    """A checkpoint as it stands. Raises ValueError when a file is not readable."""
    try:
        tensors = {name: load_file(folder / f"{name}.safetensors") for name in PARTS}
        return Checkpoint(folder, tensors, json.loads((folder / "state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: {' '.join(str(error).split())}") from None


def tensors_of(model: nn.Module, wanted: Callable[[str], bool] = lambda name: True) -> Tensors:
    """Parameters and buffers by name, tied ones once."""
    seen: set[int] = set()
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            if wanted(name):
                found[name] = tensor.detach()
    return found


@torch.no_grad()
def put(model: nn.Module, tensors: Tensors, where: str | Path) -> None:
    """Copy tensors into a model; those that are not given stay. Raises ValueError for names and shapes not its own."""
    own = model.state_dict()
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            has = list(own[name].shape) if name in own else "none"
            raise InputError(f"{where}: {name} has the shape {list(tensor.shape)}, this recipe's model has {has}")
        own[name].copy_(laid_out(tensor, own[name]))


def moments(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> Tensors:
    """What the optimisers remember of each parameter: `NAME.KIND`."""
    known = {p: state for optimizer in optimizers for p, state in optimizer.state.items()}
    return {f"{n}.{k}": v for n, p in model.named_parameters() if p in known for k, v in known[p].items()}


def put_moments(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], tensors: Tensors) -> None:
    """Give the optimisers back what `moments` took."""
    by_name: dict[str, Tensors] = {}
    for key, value in tensors.items():
        name, _, kind = key.rpartition(".")
        by_name.setdefault(name, {})[kind] = value
    names = {p: n for n, p in model.named_parameters()}
    for optimizer in optimizers:
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            if names[p] in by_name:  # a step is counted on the parameter's device by fused AdamW
                optimizer.state[p] = {k: laid_out(v, p) for k, v in by_name[names[p]].items()}


def _write(part: Path, tensors: dict[str, Tensors], state: dict[str, Any]) -> None:
    for name in PARTS:
        save_file({k: v.detach().contiguous() for k, v in tensors[name].items()}, part / f"{name}.safetensors")
    (part / "state.json").write_text(json.dumps(state), encoding="utf-8")
    files = {}
    for file in sorted(part.iterdir()):
        fsync_path(file)
        files[file.name] = {"bytes": file.stat().st_size, "sha256": sha256(file)}
    (part / "manifest.json").write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")
    fsync_path(part / "manifest.json")
    fsync_path(part)
