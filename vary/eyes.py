"""The eyes of a model by themselves: its first vocabulary and reading head, out of the model's own files.

Reading by rows needs no language model, and loading one costs seconds. `load_eyes` builds the two parts from
`config.json` and takes their tensors, and no others, from the safetensors; they are the same modules under the same
names as in `VaryForConditionalGeneration`, of any model that has a reading head.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .reading import ReadingHead
from .vocab import Vocabulary, build_vocabulary


@dataclass
class Eyes:
    """vocabulary, head; preprocess: what belongs to the weights (mean, std, multiple, em_px); reading: its settings."""

    vocabulary: Vocabulary
    head: ReadingHead
    preprocess: dict[str, Any]
    reading: dict[str, Any]


def load_eyes(folder: Path) -> Eyes:
    """Vocabulary and head of the model in a folder, in float32. Raises ValueError when it has no reading head."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    reading = config.get("reading")
    if not reading:
        raise ValueError(f"{folder.name}: the model has no reading head")
    sizes = dict(config["vocabularies"][0])
    preprocess = sizes.pop("preprocess")
    with torch.device("meta"):  # no time for random weights that are replaced at once
        vocabulary = build_vocabulary(**sizes)
        styles = tuple(reading.get("styles", ()))
        head = ReadingHead(vocabulary.width, reading["alphabet"], vocabulary.stride, reading["frames"], styles)
    parts: tuple[tuple[str, nn.Module], ...] = (("vocabularies.0.", vocabulary), ("reading_head.", head))
    for prefix, part in parts:
        part.load_state_dict(_tensors(folder, prefix), strict=True, assign=True)
        part.eval()
    return Eyes(vocabulary, head, preprocess, reading)


def _tensors(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Tensors whose names begin with the prefix, without it; from one file or from shards with an index."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = {file for name, file in names.items() if name.startswith(prefix)}
    else:
        files = {"model.safetensors"}
    found = {}
    for file in sorted(files):
        try:
            with safe_open(folder / file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (no mapping: keys() is a method of its own)
                    if name.startswith(prefix):
                        tensor = tensors.get_tensor(name)
                        found[name[len(prefix) :]] = tensor.float() if tensor.is_floating_point() else tensor
        except SafetensorError as error:
            raise ValueError(f"{folder / file}: no safetensors, or damaged: {error}") from None
    return found
