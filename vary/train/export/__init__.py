"""Export a training run as a model folder with plain weights.

`python -m vary.train.export FOLDER` writes `trunk.onnx`, and the files of the decoder that rescores lines, for a model
folder that has none.
`python -m vary.train.export WEIGHTS FOLDER` writes the files with which a model folder writes formulas or reads more
letters, from tracked weights such as checkpoints/vary-nano-3 or checkpoints/vary-nano-scripts.
`python -m vary.train.export.quantize FOLDER` quantises `trunk.onnx`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...io.errors import InputError, MissingExtra
from ...models.config import preset
from ...models.generate.export_onnx import export_formulas, export_glyphs, export_lines
from ...models.generate.symbols_decoder import SymbolsDecoder
from ...models.heads.glyphs import GlyphHead
from ...models.hub import MORE_LETTERS
from ...models.modeling import VaryForConditionalGeneration, load_model
from ...models.vocab.export_onnx import export_trunk
from ..build import build
from ..checkpoint import Checkpoints, load_start, load_tensors
from ..recipe import Recipe

HALF_FROM = 4096  # numbers in a weight that is stored in float16


def export(recipe: Recipe, folder: Path, half: bool = True) -> dict[str, Any]:
    """Write the weights of a run as a model folder. Return the state of the run.

    Averaged weights are used if the recipe keeps them. LoRA adapters are merged. A model that reads pages also gets its
    `trunk.onnx`, so that it reads without PyTorch.

    Args:
        recipe: The recipe of the run.
        folder: The new model folder.
        half: Write float16. Batch norm stays in float32, because its statistics need the range.

    Raises:
        InputError: The run has no checkpoint.
    """
    model, processor = build(recipe, training=False)
    found = Checkpoints(Path(recipe.out), recipe.keep).load()
    if not found:
        raise InputError(f"{recipe.out}: holds no checkpoint to export")
    load_tensors(model, found.tensors["model"], found.folder)
    load_tensors(model, {k: v for k, v in found.tensors["ema"].items() if k in model.state_dict()}, found.folder)
    merge_adapters(model)
    for module in model.modules() if half else ():
        if not isinstance(module, _BatchNorm):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.half()
    model.save_pretrained(folder)
    if processor:
        processor.save_pretrained(folder)
    if model.reading_head is not None and not (model.reading_vocabulary_index and model.config.merge == "serial"):
        export_reader(folder)
    return found.state


def export_reader(folder: Path) -> list[Path]:
    """Write the ONNX files with which the model in a folder reads, from the weights as they are stored; returns them.

    These are `trunk.onnx` and, for a model with `reading.decoder_weight`, the two files of its decoder.

    Raises:
        InputError: The model has no reading head.
        MissingExtra: onnx or onnxscript is not installed.
    """
    model = load_model(folder)
    if model.reading_head is None:
        raise InputError(f"{folder}: the model has no reading head")
    paths = [_write_trunk(model, folder)]
    return [*paths, *export_lines(model, folder)] if model.config.reading.get("decoder_weight") else paths


def _write_trunk(model: VaryForConditionalGeneration, folder: Path, half_from: int | None = None) -> Path:
    """Write `trunk.onnx` of a model with a reading head; returns its path. Arguments as for `export_trunk`."""
    try:
        return export_trunk(model.reading_vocabulary, folder, model.head.context, half_from)
    except ModuleNotFoundError as error:
        raise MissingExtra("exporting a reader", error.name, "train") from None


def export_start(recipe: Recipe, folder: Path, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Write averaged weights and the position of a run as a folder for `start`, to go on from on another machine.

    Args:
        recipe: The recipe of the run.
        folder: Gets `model.safetensors`, its matrices in float16, and `state.json`.
        prefixes: Beginnings of the parameter names to write.

    Returns:
        The position: stage, step and samples seen.

    Raises:
        InputError: The run has no checkpoint.
    """
    found = Checkpoints(Path(recipe.out), recipe.keep).load()
    if not found:
        raise InputError(f"{recipe.out}: holds no checkpoint to export")
    tensors = found.tensors["model"] | found.tensors["ema"]
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {k: v for k, v in tensors.items() if k.startswith(prefixes)}
    save_file(_halve(chosen), folder / "model.safetensors")
    position = {key: found.state[key] for key in ("stage", "step", "seen")}
    (folder / "state.json").write_text(json.dumps(position) + "\n", encoding="utf-8")
    return position


def merge_adapters(model: nn.Module) -> None:
    """Merge LoRA adapters into their weights and remove them."""
    for name, module in list(model.named_modules()):
        if hasattr(module, "base_layer") and hasattr(module, "merge"):
            module.merge()
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, module.base_layer)


def load_part(folder: Path, name: str) -> nn.Module:
    """Load a part of vary-nano-formulas from a folder with `model.safetensors`.

    Args:
        folder: Such as checkpoints/vary-nano-3.
        name: `symbols_decoder` or `glyph_head`.

    Raises:
        InputError: The folder does not hold it.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise InputError(f"{folder}: no model.safetensors in it")
    part = VaryForConditionalGeneration(preset("vary-nano-formulas")).get_submodule(name)
    tensors = load_file(path).items()
    try:
        part.load_state_dict({k.removeprefix(f"{name}."): v.float() for k, v in tensors if k.startswith(name)})
    except RuntimeError:
        raise InputError(f"{path}: holds no {name} of vary-nano-formulas") from None
    return part.eval()


def export_formula_files(weights: Path, folder: Path) -> list[Path]:
    """Write the ONNX files of a folder's symbols decoder and glyph head into a model folder; returns their paths.

    Raises:
        InputError: The weights lack one of them.
        MissingExtra: onnx or onnxscript is not installed.
    """
    try:
        return [
            *export_formulas(cast(SymbolsDecoder, load_part(weights, "symbols_decoder")), folder),
            export_glyphs(cast(GlyphHead, load_part(weights, "glyph_head")), folder),
        ]
    except ModuleNotFoundError as error:
        raise MissingExtra("exporting formulas", error.name, "train") from None


def export_more_letters(weights: Path, folder: Path) -> list[Path]:
    """Write the folder `more_letters` of a model: a reading network with more letters, without decoder.

    Args:
        weights: Folder with those of vary-nano-scripts, such as checkpoints/vary-nano-scripts.
        folder: Of the model.

    Returns:
        The paths of the files.

    Raises:
        InputError: The weights cannot be read.
        MissingExtra: onnx or onnxscript is not installed.
    """
    config, target = preset("vary-nano-scripts"), folder / MORE_LETTERS
    model = VaryForConditionalGeneration(config)
    load_start([str(weights)], model)
    target.mkdir(exist_ok=True)
    settings = {"vocabularies": config.vocabularies, "reading": config.reading}
    (target / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    parts = {k: v for k, v in model.state_dict().items() if k.startswith(("vocabularies.", "reading_head."))}
    save_file(_halve(parts), target / "model.safetensors")
    return [target / "config.json", target / "model.safetensors", _write_trunk(model, target, HALF_FROM)]


def _halve(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in float16, but those of batch norm and biases, whose range needs float32."""
    return {k: v.half().contiguous() if v.is_floating_point() and v.dim() > 1 else v for k, v in tensors.items()}


def export_files(weights: Path, folder: Path) -> list[Path]:
    """Write the files that a model folder gets from tracked weights, by what these hold; returns their paths."""
    with safe_open(weights / "model.safetensors", "pt") as tensors:
        of_head = any(name.startswith("reading_head.") for name in tensors.keys())  # noqa: SIM118 (not a mapping)
    return (export_more_letters if of_head else export_formula_files)(weights, folder)
