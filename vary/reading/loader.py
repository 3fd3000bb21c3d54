"""Load a page reader from a model's folder: only the reading vocabulary and the reading head, no language model.

The modules and their names are those of `VaryForConditionalGeneration`, so any model with a reading head can be read
with. The decoder takes seconds to load and is loaded on first use.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..io.errors import InputError
from ..models.heads import reading as reading_head
from ..models.hub import weights_dir
from ..models.vocab import build_vocabulary
from .reader import Reader, ReadingModules

if TYPE_CHECKING:
    from ..models.modeling import VaryForConditionalGeneration


def load_reader(name: str = "vary-nano", device: str = "cpu", fast: bool = False) -> Reader:
    """Load a reader from a shipped model's name or a folder.

    Args:
        name: shipped name or path of a folder.
        device: torch device.
        fast: read with the head alone, without the decoder.
    """
    folder = weights_dir(name)
    return Reader(load_modules(folder), name, device, None if fast else partial(_load_decoder, folder, device))


def _load_decoder(folder: Path, device: str) -> VaryForConditionalGeneration:
    from ..models.modeling import load_model  # imports transformers, which takes seconds

    return load_model(folder).to(device)  # type: ignore[arg-type]


def load_modules(folder: Path) -> ReadingModules:
    """Load the reading vocabulary and the reading head of the model in a folder, in float32.

    Raises:
        ValueError: the model has no reading head, or its head reads a vocabulary that needs another one's tokens.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    reading = config.get("reading")
    if not reading:
        raise InputError(f"{folder.name}: the model has no reading head")
    index = reading_head.vocabulary_index(reading)
    if index and config.get("merge") == "serial":
        raise InputError(f"{folder.name}: reading.vocabulary {index}: in a serial merge only vocabulary 0 takes pixels")
    sizes = dict(config["vocabularies"][index])
    preprocess = sizes.pop("preprocess")
    with torch.device("meta"):  # no time for random weights, which are replaced at once
        vocabulary = build_vocabulary(**sizes)
        head = reading_head.build(reading, vocabulary)
    parts: tuple[tuple[str, nn.Module], ...] = ((f"vocabularies.{index}.", vocabulary), ("reading_head.", head))
    for prefix, part in parts:
        part.load_state_dict(_load_tensors(folder, prefix), strict=True, assign=True)
        part.eval()
    return ReadingModules(vocabulary, head, preprocess, reading)


def _load_tensors(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Load the tensors whose names begin with the prefix, without it, from one file or from shards with an index."""
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
                for name in tensors.keys():  # noqa: SIM118 (not a mapping: keys() is a method of its own)
                    if name.startswith(prefix):
                        tensor = tensors.get_tensor(name)
                        found[name[len(prefix) :]] = tensor.float() if tensor.is_floating_point() else tensor
        except SafetensorError as error:
            raise InputError(f"{folder / file}: no safetensors, or damaged: {error}") from None
    return found
