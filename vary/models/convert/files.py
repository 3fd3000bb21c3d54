"""Read tensors of checkpoints of any make. A child process opens pickles, and loads nothing but tensors."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...io.errors import InputError
from .. import hub

PICKLES = (".bin", ".pth", ".pt", ".ckpt")
POINTER = b"version https://git-lfs"  # how a file begins that was cloned without Git LFS


def config_next_to(source: Path) -> dict[str, Any]:
    """Read `config.json` next to the weights; empty if there is none. Raises ConfigError if it is damaged."""
    folder = source if source.is_dir() else source.parent
    return hub.read_config(folder) if (folder / "config.json").is_file() else {}


def is_ours(source: Path) -> bool:
    """Return whether a folder or file is a model of ours; the authors' Vary-tiny is of a model type `vary` too."""
    return "vocabularies" in config_next_to(source)


def read_tensors(source: Path) -> dict[str, Tensor]:
    """Read all tensors of a file or a folder (safetensors first, then pickles; one file or shards).

    Raises ValueError that names the file when there is none, when two shards hold the same name, or when a pickle holds
    anything that is not a tensor, a number or a container of these.
    """
    found: dict[str, Tensor] = {}
    for file in _files(source):
        part = _read(file)
        twice = found.keys() & part.keys()
        if twice:
            raise InputError(f"{file}: {sorted(twice)[0]} is in another file too")
        found |= part
    return found


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"{source}: no such file or folder")
    for pattern in ("*.safetensors", *(f"*{suffix}" for suffix in PICKLES)):
        files = sorted(f for f in source.glob(pattern) if f.name != "training_args.bin")
        if files:
            return files
    raise InputError(f"{source}: no weights in it; allowed: *.safetensors, {', '.join('*' + s for s in PICKLES)}")


def _read(file: Path) -> dict[str, Tensor]:
    with file.open("rb") as data:
        if data.read(len(POINTER)) == POINTER:
            raise InputError(f"{file}: a pointer of Git LFS and not the weights; `git lfs pull` fetches them")
    if file.suffix != ".safetensors":
        return _read_pickle(file)
    try:
        return load_file(file)
    except SafetensorError as error:
        raise InputError(f"{file}: cannot be read as tensors: {error}") from None


def _read_pickle(file: Path) -> dict[str, Tensor]:
    """Return a pickle's tensors by way of a safetensors file that a child process writes."""
    if file.suffix not in PICKLES:
        raise InputError(f"{file}: not a checkpoint; allowed: .safetensors, {', '.join(PICKLES)}")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tensors.safetensors"
        command = [sys.executable, "-m", "vary.models.convert.pickles", str(file), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
            raise InputError(f"{file}: cannot be read as tensors: {reason}")
        return {name: tensor.clone() for name, tensor in load_file(target).items()}
