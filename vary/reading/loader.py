"""Load a page reader: build the reading vocabulary and its head from config.json, take their tensors and no others.

Reading needs no language model, and loading one takes seconds. The modules and their names are those of
`VaryForConditionalGeneration`, so any model with a reading head can be loaded. The decoder is loaded on first use.
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
from ..models.heads.reading import ReadingHead
from ..models.hub import weights_dir
from ..models.vocab import build_vocabulary
from .reader import Eyes, Reader

if TYPE_CHECKING:
    from ..models.modeling import VaryForConditionalGeneration


def load_reader(name: str = "vary-nano", device: str = "cpu", fast: bool = False) -> Reader:
    """A shipped model or one in a folder, ready to read. fast: by the head alone, without the decoder."""
    folder = weights_dir(name)
    return Reader(load_eyes(folder), name, device, None if fast else partial(_decoder, folder, device))


def _decoder(folder: Path, device: str) -> VaryForConditionalGeneration:
    from ..models.modeling import load_model  # brings transformers, which takes seconds

    return load_model(folder).to(device)  # type: ignore[arg-type]


def load_eyes(folder: Path) -> Eyes:
    """Vocabulary and head of the model in a folder, in float32. Raises ValueError when it has no reading head."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    reading = config.get("reading")
    if not reading:
        raise InputError(f"{folder.name}: the model has no reading head")
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
            raise InputError(f"{folder / file}: no safetensors, or damaged: {error}") from None
    return found
