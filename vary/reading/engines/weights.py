"""Read tensors from the safetensors files of a model folder, as numpy arrays or torch tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ...io.errors import InputError


def load_tensors(folder: Path, prefix: str, framework: str = "numpy") -> dict[str, Any]:
    """Load the tensors whose names begin with the prefix, without it, from one file or from shards with an index."""
    index = folder / "model.safetensors.index.json"
    files = {"model.safetensors"}
    if index.exists():
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = {file for name, file in names.items() if name.startswith(prefix)}
    found = {}
    for file in sorted(files):
        try:
            with safe_open(folder / file, framework=framework) as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a mapping: keys() is a method of its own)
                    if name.startswith(prefix):
                        found[name[len(prefix) :]] = tensors.get_tensor(name)
        except SafetensorError as error:
            raise InputError(f"{folder / file}: no safetensors, or damaged: {error}") from None
    return found
