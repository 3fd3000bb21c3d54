"""What a recipe starts from: a model, adapters in it if asked for, its processor; and the way back to plain weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoProcessor

from ..io.errors import MissingExtra
from ..models.config import preset
from ..models.modeling import VaryForConditionalGeneration, load_model
from ..models.processor import VaryProcessor, character_tokenizer
from .distributed import Ranks
from .optim import learns
from .recipe import Lora, Recipe


def build(recipe: Recipe, training: bool = True) -> tuple[VaryForConditionalGeneration, VaryProcessor | None]:
    """Model and processor of a recipe; None where neither a folder nor an alphabet gives a tokenizer.

    training: hold weights in `lora.bits` and `hold`; else all are as they came. Raises ValueError for an unknown model.
    """
    torch.manual_seed(recipe.seed)
    processor: VaryProcessor | None = None
    hold = recipe.hold == "bfloat16" and training
    if (Path(recipe.model) / "config.json").is_file():
        model = load_model(Path(recipe.model), "auto" if hold else torch.float32)  # 7B in float32 are 28 GiB
        if (Path(recipe.model) / "processor_config.json").is_file():
            processor = AutoProcessor.from_pretrained(recipe.model)
    else:
        model = VaryForConditionalGeneration(preset(recipe.model))
        if model.config.reading:
            processor = VaryProcessor.of(model.config, character_tokenizer(model.config.reading["alphabet"]))
    if recipe.lora:
        for parameter in model.language_model.parameters() if hold else ():
            parameter.data = parameter.data.bfloat16()  # before 4 bits are made of it, whose scales are of its type
        _adapt(model, recipe.lora, training)
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
                layer.compile()  # one by one: those of a kind are compiled once, whoever calls them
    return model, processor


def layers_of(part: nn.Module) -> list[nn.Module]:
    """The layers of a vocabulary or language model: what its longest list of modules holds."""
    return list(max((m for m in part.modules() if isinstance(m, nn.ModuleList)), key=len, default=[part]))


def spread(model: VaryForConditionalGeneration, recipe: Recipe, ranks: Ranks) -> None:
    """Spread the language model over the ranks; vocabularies and connectors, which some batches lack, stay whole."""
    apart = {p for n, p in model.named_parameters() if not n.startswith(("language_model", "lm_head"))}
    ranks.shard(model, layers_of(model.language_model), apart)


def checkpoint_activations(model: VaryForConditionalGeneration) -> None:
    """Compute activations twice instead of keeping them, by the name that this transformers has for it."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable()
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})


def trained_names(recipe: Recipe, model: nn.Module, stages: int | None = None) -> set[str]:
    """Parameters that the first `stages` stages train, all stages if None."""
    wanted = recipe.stages[:stages]
    return {n for n, _ in model.named_parameters() if any(learns(n, s, bool(recipe.lora)) for s in wanted)}


def merge_adapters(model: nn.Module) -> None:
    """Add adapters to the weights that they adapt, and take them out."""
    for name, module in list(model.named_modules()):
        if hasattr(module, "base_layer") and hasattr(module, "merge"):
            module.merge()
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, module.base_layer)


def _adapt(model: VaryForConditionalGeneration, lora: Lora, training: bool) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model

        if lora.bits and training:
            from optimum import quanto

            quanto.quantize(model.language_model, weights=getattr(quanto, f"qint{lora.bits}"))
            quanto.freeze(model.language_model)
    except ImportError as error:
        raise MissingExtra("lora", error.name, "lora") from None
    targets: Any = "all-linear" if lora.targets == ("all-linear",) else list(lora.targets)
    settings = LoraConfig(r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets)
    inject_adapter_in_model(settings, model.language_model)
