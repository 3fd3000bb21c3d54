"""Build the model and processor that a recipe starts from, with LoRA adapters if it names them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..io.errors import InputError, MissingExtra
from ..models.config import decoder_alphabet, preset
from ..models.fuse.language import layers_of
from ..models.generate.quantize import quantize
from ..models.modeling import VaryForConditionalGeneration, load_model
from ..models.processor import VaryProcessor, character_tokenizer, load_processor
from .checkpoint import load_start
from .distributed import Ranks
from .optim import is_trained
from .recipe import Lora, Recipe


def build(recipe: Recipe, training: bool = True) -> tuple[VaryForConditionalGeneration, VaryProcessor | None]:
    """Build the model and processor of a recipe. The processor is None if the model has no tokenizer.

    Args:
        recipe: Names a model folder or a named model, which gets random weights. Those of `start` replace them.
        training: Store frozen weights as `lora.bits` and `hold` say. Otherwise all weights keep their type.

    Raises:
        InputError: There is no such model, or a folder of `start` cannot be read. If the recipe has
            `made_by`, the message gives that command.
    """
    torch.manual_seed(recipe.seed)
    processor: VaryProcessor | None = None
    hold = recipe.hold == "bfloat16" and training
    if recipe.has_folder:
        model = load_model(Path(recipe.model), "auto" if hold else torch.float32)  # 7B in float32 are 28 GiB
        if (Path(recipe.model) / "processor_config.json").is_file():
            processor = load_processor(Path(recipe.model))
    elif recipe.made_by:
        raise InputError(f"{recipe.model}: no model folder; make it first: {recipe.made_by}")
    else:
        model = VaryForConditionalGeneration(preset(recipe.model))
        if model.config.reading:
            processor = VaryProcessor.of(model.config, character_tokenizer(decoder_alphabet(model.config.reading)))
    _prepare(model, recipe, hold, training)
    load_start(recipe.start, model)
    return model, processor


def build_on_meta(recipe: Recipe) -> VaryForConditionalGeneration:
    """Build the model of a recipe on the meta device: shapes and types without weights or memory.

    A recipe whose model folder does not exist names its architecture as `preset`.
    """
    with torch.device("meta"):
        model = VaryForConditionalGeneration(preset(recipe.preset))
    hold = recipe.hold == "bfloat16"
    if recipe.lora and recipe.lora.bits:  # quantising needs values
        recipe = dataclasses.replace(recipe, lora=dataclasses.replace(recipe.lora, bits=0))
    _prepare(model, recipe, hold, True)
    return model


def _prepare(model: VaryForConditionalGeneration, recipe: Recipe, hold: bool, training: bool) -> None:
    """Add adapters, convert frozen weights to bfloat16 if `hold`, set up checkpointing and compilation."""
    if recipe.lora:
        for parameter in model.language_model.parameters() if hold else ():
            parameter.data = parameter.data.bfloat16()  # before quantisation: its scales take this type
        _add_adapters(model, recipe.lora, training)
    if hold:
        trained = trained_names(recipe, model)
        for name, parameter in model.named_parameters():
            if name in trained or (parameter.is_floating_point() and not hasattr(parameter, "qtype")):
                parameter.data = parameter.data.to(torch.float32 if name in trained else torch.bfloat16)
    if recipe.checkpointing:
        checkpoint_activations(model)
    if recipe.compile:
        for part in (*model.vocabularies, model.language_model):
            for layer in layers_of(part):
                layer.compile()  # one by one: equal layers share one compilation


def shard_model(model: VaryForConditionalGeneration, recipe: Recipe, ranks: Ranks) -> None:
    """Shard the language model over the ranks. Vocabularies and connectors stay whole: some batches do not use them."""
    ignored = {p for n, p in model.named_parameters() if not n.startswith(("language_model", "lm_head"))}
    ranks.shard(model, layers_of(model.language_model), ignored)


def checkpoint_activations(model: VaryForConditionalGeneration) -> None:
    """Recompute activations in the backward pass instead of storing them. The method's name depends on transformers."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable()
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})


def trained_names(recipe: Recipe, model: nn.Module, stages: int | None = None) -> set[str]:
    """Return the names of parameters that the first `stages` stages train. None means all stages."""
    wanted = recipe.stages[:stages]
    return {n for n, _ in model.named_parameters() if any(is_trained(n, s, bool(recipe.lora)) for s in wanted)}


def _add_adapters(model: VaryForConditionalGeneration, lora: Lora, training: bool) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtra("lora", "peft", "lora") from None
    if lora.bits and training:
        quantize(model, f"int{lora.bits}", "lora")
    targets: Any = "all-linear" if lora.targets == ("all-linear",) else list(lora.targets)
    settings = LoraConfig(r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets)
    inject_adapter_in_model(settings, model.language_model)
