"""Write, verify and load the checkpoints of a training run. A crash at any moment leaves a good one.

    RUN/step-1-0000250/      stage 1 (from 0), step 250
        model.safetensors    and ema, optimizer: tensors by parameter name
        state.json           all other state
        manifest.json        size and SHA-256 of each file, written last

A folder is valid if its files match the manifest. It is written under a temporary name, flushed to disk, and renamed.
Resuming takes the newest valid folder and logs why it rejected newer ones. Only valid folders count when old ones are
removed. Runs of version 0.1.0 without a manifest (`RUN/last/`) can be read; they are left unchanged.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..io.errors import ConfigError, InputError
from ..io.files import fsync_path, sha256
from ..models.convert.older import read_model
from ..models.hub import read_config
from .distributed import distribute_like

Tensors = dict[str, Tensor]
Log = Callable[[str], Any]
PARTS = ("model", "ema", "optimizer")
_NAME = re.compile(r"step-(\d+)-(\d+)")


@dataclass
class Checkpoint:
    """The contents of a checkpoint folder. `tensors` has one dict for each of `PARTS`."""

    folder: Path
    tensors: dict[str, Tensors]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run. keep: how many valid ones to keep."""

    def __init__(self, run: Path, keep: int = 2, log: Log = print):
        if keep < 1:
            raise ConfigError(f"keep: {keep}; allowed: 1 or more")
        self.run, self.keep, self.log = run, keep, log
        self.good: list[Path] = []  # verified, oldest first

    def save(self, stage: int, step: int, tensors: dict[str, Tensors], state: dict[str, Any]) -> Path:
        """Write a checkpoint and remove old ones.

        Raises:
            OSError: It could not be written. Earlier checkpoints are unchanged.
        """
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
        shutil.rmtree(folder, ignore_errors=True)  # only an invalid folder can have this name
        part.rename(folder)
        fsync_path(self.run)
        self.good.append(folder)
        self._purge()
        return folder

    def load(self) -> Checkpoint | None:
        """Load the newest valid checkpoint. Return None if there is none. Log why each newer one is not used.

        Raises:
            InputError: There are checkpoints, and none is valid.
        """
        bad = 0
        for folder in reversed(self._folders()):
            why = find_damage(folder)
            if not why:
                self.good = [folder]
                return read_checkpoint(folder)
            self.log(f"checkpoint {folder.name} is not used: {why}")
            bad += 1
        for folder in (self.run / "last", self.run / "last.old"):
            if (folder / "state.json").exists():
                return read_checkpoint(folder)
        if bad:
            raise InputError(f"{self.run}: none of {bad} checkpoints is valid; remove the folder to start again")
        return None

    def _folders(self) -> list[Path]:
        """List the folders with a checkpoint's name, oldest first."""
        found = [(m, p) for p in self.run.glob("step-*") if (m := _NAME.fullmatch(p.name)) and p.is_dir()]
        return [p for *_, p in sorted((int(m[1]), int(m[2]), p) for m, p in found)]

    def _purge(self) -> None:
        """Remove checkpoints older than the last `keep` valid ones, and temporary folders of crashed runs."""
        for part in self.run.glob(".step-*.part"):
            shutil.rmtree(part, ignore_errors=True)
        self.good, before = self.good[-self.keep :], self._folders()
        if len(self.good) == self.keep:
            for folder in before[: before.index(self.good[0])]:
                (folder / "manifest.json").unlink(missing_ok=True)  # a partly removed folder is never valid
                shutil.rmtree(folder, ignore_errors=True)


def find_damage(folder: Path) -> str:
    """Say why a checkpoint is not valid. Return an empty string if every file matches the manifest."""
    try:
        listed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return "no manifest.json: writing it was not finished"
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


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint without verifying it. Raises InputError if a file cannot be read."""
    try:
        tensors = {name: load_file(folder / f"{name}.safetensors") for name in PARTS}
        return Checkpoint(folder, tensors, json.loads((folder / "state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: {' '.join(str(error).split())}") from None


def load_start(folders: Sequence[str], model: nn.Module) -> None:
    """Load the weights that a run begins with: all tensors of some folders that the model has. Later folders win.

    Args:
        folders: Model folders, or folders with `model.safetensors`.
        model: The model of the run; it is changed.

    Raises:
        InputError: A folder cannot be read.
    """
    own = {name: tensor.shape for name, tensor in model.state_dict().items()}
    loaded: set[str] = set()
    for folder in map(Path, folders):
        try:
            is_model = (folder / "config.json").is_file()
            tensors = read_model(folder) if is_model else load_file(folder / "model.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise InputError(f"start: {folder}: {' '.join(str(error).split())}") from None
        if is_model:
            _widen_head(folder, tensors, model)
        tensors = {k: v for k, v in tensors.items() if own.get(k) == v.shape}
        load_tensors(model, tensors, folder)
        loaded |= tensors.keys()
    if routes := getattr(model, "routes", None):  # a checkpoint without routes: they begin as its language model
        routes.start(model, loaded)


def _widen_head(folder: Path, tensors: dict[str, Any], model: nn.Module) -> None:
    """Begin a reading head of another alphabet with the letters of that of a model folder."""
    head, names = getattr(model, "reading_head", None), ("reading_head.out.weight", "reading_head.out.bias")
    alphabet = (read_config(folder).get("reading") or {}).get("alphabet", "")
    if head is not None and alphabet and head.frame_grid.alphabet != alphabet and set(names) <= tensors.keys():
        head.widen(alphabet, *(tensors.pop(name) for name in names))


def start_position(folders: Sequence[str]) -> dict[str, Any]:
    """Return the stage, step and samples at which the weights of `start` were taken: from `state.json` where it is.

    Raises:
        InputError: A `state.json` cannot be read.
    """
    state: dict[str, Any] = {"stage": 0, "step": 0, "seen": 0, "seconds": 0.0, "task": {}}
    for file in (Path(folder) / "state.json" for folder in folders):
        try:
            state |= json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except (OSError, ValueError) as error:
            raise InputError(f"start: {file}: {' '.join(str(error).split())}") from None
    return state


def named_tensors(model: nn.Module, wanted: Callable[[str], bool] = lambda name: True) -> Tensors:
    """Return parameters and buffers by name. Tied ones appear once."""
    seen: set[int] = set()
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            if wanted(name):
                found[name] = tensor.detach()
    return found


@torch.no_grad()
def load_tensors(model: nn.Module, tensors: Tensors, where: str | Path) -> None:
    """Copy tensors into a model by name. Others stay unchanged. `where` names the source in errors.

    Raises:
        InputError: The model has no tensor of that name and shape.
    """
    own = model.state_dict()
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            has = list(own[name].shape) if name in own else "none"
            raise InputError(f"{where}: {name} has the shape {list(tensor.shape)}, this recipe's model has {has}")
        own[name].copy_(distribute_like(tensor, own[name]))


def optimizer_state(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> Tensors:
    """Return the optimizers' state of each parameter as `NAME.KIND`, for example `head.weight.exp_avg`."""
    known = {p: state for optimizer in optimizers for p, state in optimizer.state.items()}
    return {f"{n}.{k}": v for n, p in model.named_parameters() if p in known for k, v in known[p].items()}


def load_optimizer_state(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], tensors: Tensors) -> None:
    """Restore what `optimizer_state` returned."""
    by_name: dict[str, Tensors] = {}
    for key, value in tensors.items():
        name, _, kind = key.rpartition(".")
        by_name.setdefault(name, {})[kind] = value
    names = {p: n for n, p in model.named_parameters()}
    for optimizer in optimizers:
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            if names[p] in by_name:  # fused AdamW keeps `step` on the parameter's device
                optimizer.state[p] = {k: distribute_like(v, p) for k, v in by_name[names[p]].items()}


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
