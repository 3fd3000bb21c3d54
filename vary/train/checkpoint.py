"""Checkpoints of a run: tensors in safetensors, everything else in JSON, written aside and then renamed.

`state.json` is written last; a folder without it never counts.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


def save(
    folder: Path, model: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write the state of a run to `folder`, replacing what was there only when all is on disk."""
    part, old = folder.with_suffix(".part"), folder.with_suffix(".old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in _tensors(model).items()}, part / "model.safetensors")
    save_file({k: v.contiguous() for k, v in ema.items()}, part / "ema.safetensors")
    moments = {f"{n}.{k}": v for n, s in _optimizer_state(model, optimizer).items() for k, v in s.items()}
    save_file({k: v.detach().clone().contiguous() for k, v in moments.items()}, part / "optimizer.safetensors")
    (part / "state.json").write_text(json.dumps(state), encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a run's state into model and optimiser; None when there is none. Returns (averaged weights, state)."""
    if not (folder / "state.json").exists():
        folder = folder.with_suffix(".old")  # the moment between two renames
        if not (folder / "state.json").exists():
            return None
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    if optimizer is not None:
        moments: dict[str, dict[str, Tensor]] = {}
        for key, value in load_file(folder / "optimizer.safetensors").items():
            name, _, kind = key.rpartition(".")
            moments.setdefault(name, {})[kind] = value
        for name, parameter in model.named_parameters():
            if name in moments:
                like = {k: v.to(parameter.device) if k != "step" else v for k, v in moments[name].items()}
                optimizer.state[parameter] = like
    return load_file(folder / "ema.safetensors"), state


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers; tied ones once."""
    seen: set[int] = set()
    found = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen or tensor.numel() == 0:
            seen.add(tensor.data_ptr())
            found[name] = tensor
    return found


def _optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    return {name: optimizer.state[p] for name, p in model.named_parameters() if p in optimizer.state}
