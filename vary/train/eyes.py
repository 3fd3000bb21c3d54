"""Find eyes for the reading probe: a model of the zoo, a folder of ours, or a folder with a tower of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from ..io.errors import ConfigError, InputError, VaryError
from ..models.hub import read_config, weights_dir
from ..models.vocab import build_vocabulary
from ..models.zoo import is_named, settings


def read_eye(name: str, out: Path) -> dict[str, Any]:
    """Return the arm of a bench with this eye: its vocabulary, and the folder of its weights.

    Args:
        name: A shipped model, a model folder of ours (its first vocabulary), or a folder of transformers whose model
            has an image tower. A model of the zoo has random weights: a floor.
        out: Folder for the weights of a tower of transformers under our names.

    Raises:
        InputError: There is no such model, or its folder holds no image tower.
    """
    try:
        folder = weights_dir(name)
    except InputError:
        if not is_named(name.removesuffix("-test")):
            raise
        return {"vocabularies": settings(name)["vocabularies"][:1], "start": []}
    config = read_config(folder)
    if config.get("model_type") == "vary":
        return {"vocabularies": config["vocabularies"][:1], "start": [str(folder)]}
    return {"vocabularies": [_convert(folder, config, out)], "start": [str(out)]}


def _convert(folder: Path, config: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write the weights of a tower of transformers under our names. Return the settings of its vocabulary."""
    from transformers import AutoConfig, AutoModel

    whole = AutoConfig.from_pretrained(folder, local_files_only=True)
    own = getattr(whole, "vision_config", whole).to_dict()
    kept = {key: value for key, value in own.items() if key not in ("architectures", "dtype", "transformers_version")}
    preprocess = _preprocess(folder, own)
    vocabulary: dict[str, Any] = {"name": "tower", "config": kept, "preprocess": preprocess}
    try:
        eye: Any = build_vocabulary(**vocabulary)
        stride = eye.stride
    except (ValueError, AttributeError, VaryError) as error:
        raise InputError(f"{folder}: no image tower that can be an eye: {error}") from None
    if not (out / "model.safetensors").is_file():
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        tower = getattr(model, "vision_model", getattr(model, "vision_tower", model))
        given, wanted = tower.state_dict(), eye.tower.state_dict()
        if missing := sorted(set(wanted) - set(given)):
            raise InputError(f"{folder}: its weights have no {missing[0]}")
        out.mkdir(parents=True, exist_ok=True)
        tensors = {f"vocabularies.0.tower.{key}": given[key].contiguous().clone() for key in wanted}
        save_file(tensors, out / "model.safetensors")
    if preprocess["size"] % stride[0]:
        preprocess["size"] -= preprocess["size"] % stride[0]
    return vocabulary


def _preprocess(folder: Path, tower: dict[str, Any]) -> dict[str, Any]:
    """Return how pictures become the pixels of a tower: squashed to its size, with its mean and deviation."""
    given = read_config(folder, "preprocessor_config.json") if (folder / "preprocessor_config.json").is_file() else {}
    size = tower.get("image_size", 224)
    if not isinstance(size, int):
        raise ConfigError(f"{folder}: image_size {size!r}; allowed: one side in pixels")
    mean, std = given.get("image_mean", [0.5] * 3), given.get("image_std", [0.5] * 3)
    return {"fit": "squash", "size": size, "resample": "bicubic", "mean": mean, "std": std}


__all__ = ["read_eye"]
