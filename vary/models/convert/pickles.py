"""The child process that opens a pickle: `python -m vary.models.convert.pickles SOURCE TARGET.safetensors`.

`weights_only` lets nothing but tensors and plain containers through; what a hostile file still breaks is this process.
"""

from __future__ import annotations

import sys
import zipfile
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ...io.errors import InputError


def tensors_of(data: Any) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint, from its key `model` or `state_dict` where it has one."""
    if isinstance(data, dict):
        for key in ("model", "state_dict"):
            if isinstance(data.get(key), dict):
                return tensors_of(data[key])
        found = {name: value for name, value in data.items() if isinstance(value, Tensor)}
        if found:
            return found
    raise InputError(f"no tensors in it, but {type(data).__name__}")


def main(source: str, target: str) -> None:
    """Copy the tensors, from the disk as they are written; those that share memory are written once each."""
    data = torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
    found: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors_of(data).items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone().contiguous() if place in places else tensor.contiguous()
        places.add(place)
    save_file(found, target)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        print(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__, file=sys.stderr)
        sys.exit(1)
