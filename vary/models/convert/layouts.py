"""List the checkpoints that can be read and written, and derive a configuration from their tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config import VaryConfig, preset
from . import got, opt, qwen
from .key_tables import Table
from .towers import clip_config, sam, sam_sizes, tower, transformers_sam

Config = Callable[[VaryConfig], dict[str, Any]]


@dataclass(frozen=True)
class Family:
    """A layout of a whole model.

    marks: tensors one of which this layout alone has. presets: the models that come in it, the first by default.
    dropped: names that may be there and are not kept. copied_head: whether the layout holds the tied output head a
    second time.
    """

    table: Table
    marks: tuple[str, ...]
    presets: tuple[str, ...]
    config: Config
    dropped: tuple[str, ...] = qwen.DROPPED
    copied_head: bool = True


FAMILIES = {
    "qwen": Family(
        qwen.VARY, ("transformer.mm_projector_vary.weight",), ("vary-toy", "vary-base"), qwen.official_config,
    ),
    "opt": Family(
        opt.VARY, ("model.vision_tower.pos_embed", "model.vision_tower_2.pos_embed"), ("vary-tiny", "vary-tiny-paper"),
        opt.official_config,
    ),
    "600k": Family(opt.LAVIS, ("opt_proj.weight",), ("vary-tiny-600k",), opt.official_config),
    "got": Family(got.ORIGINAL, ("model.mm_projector_vary.weight",), ("got",), got.official_config),
    "got-transformers": Family(
        got.TRANSFORMERS,
        tuple(f"{prefix}multi_modal_projector.multimodal_projector.weight" for prefix in ("", "model.")),
        ("got",), got.transformers_config, copied_head=False,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A checkpoint that is one part of a model.

    table: its table, given the prefix of its names and that of the place that it takes. mark: a tensor that only this
    part has, after its prefix. prefixes: what its names may begin with; transformers has changed some. vocabulary:
    kind of the vocabulary that it is (`vocabulary_kind`); None for a language model.
    """

    table: Callable[[str, str], Table]
    mark: str
    prefixes: tuple[str, ...]
    vocabulary: str | None = None
    dropped: tuple[str, ...] = ()


def _llama(theirs: str, _: str) -> Table:
    return [(f"{theirs}{{*}}", "language_model.{*}"), ("lm_head.weight", "lm_head.weight")]


def _llava(theirs: str, _: str) -> Table:
    """Return the table of the LLaVA authors' checkpoints; some hold their tower, others need it as a second source."""
    return [
        (f"{theirs}vision_tower.vision_tower.vision_model.{{*}}", "vocabularies.0.tower.{*}"),
        (f"{theirs}mm_projector.{{i}}.{{*}}", "connector.layers.{i}.{*}"),
        (f"{theirs}mm_projector.{{*}}", "connector.linear.{*}"),
        (f"{theirs}image_newline", "arrange.newline"),
        *_llama(theirs, ""),
    ]


# Other tensors in checkpoints of SAM, and in those of CLIP and SigLIP.
_MASKS = ("prompt_encoder.{*}", "mask_decoder.{*}", "shared_image_embedding.{*}")
_TEXT = ("text_model.{*}", "visual_projection.weight", "text_projection.weight", "logit_scale", "logit_bias",
         "vision_model.head.{*}", "head.{*}", "{*}.position_ids")  # fmt: skip


# Parts with a `vocabulary` go where a model has one of that kind; the others are language models.
PARTS = {
    "SAM": Part(sam, "pos_embed", ("image_encoder.",), "sam", _MASKS),
    "SAM of transformers": Part(
        lambda theirs, ours: transformers_sam(theirs, "", ours), "patch_embed.projection.weight", ("vision_encoder.",),
        "sam", _MASKS,
    ),
    "CLIP": Part(tower, "embeddings.class_embedding", ("vision_model.", ""), "clip_vision_model", _TEXT),
    "SigLIP": Part(tower, "embeddings.patch_embedding.bias", ("vision_model.", ""), "siglip_vision_model", _TEXT),
    "OPT": Part(lambda theirs, _: opt.language(theirs), "decoder.embed_positions.weight", ("model.", "")),
    "LLaVA": Part(_llava, "mm_projector.0.weight", ("model.",), None, ("{*}.position_ids", *qwen.DROPPED)),
    "LLaVA of one layer": Part(_llava, "mm_projector.weight", ("model.",), None, ("{*}.position_ids", *qwen.DROPPED)),
    "Qwen-1": Part(lambda *_: qwen.STOCK, "h.0.attn.c_attn.weight", ("transformer.",), None, qwen.DROPPED),
    "Llama, Vicuna, Qwen2": Part(_llama, "layers.0.mlp.gate_proj.weight", ("model.",), None, qwen.DROPPED),
}  # fmt: skip


def vocabulary_kind(vocabulary: dict[str, Any]) -> str:
    """Return the name of a vocabulary, or the model type of its tower."""
    return vocabulary["config"]["model_type"] if vocabulary["name"] == "tower" else vocabulary["name"]


def family_of(state: dict[str, Tensor]) -> str | None:
    """Return the name of the layout of a whole model, or None."""
    return next((name for name, family in FAMILIES.items() if any(mark in state for mark in family.marks)), None)


def part_of(state: dict[str, Tensor]) -> tuple[str, str] | None:
    """Return the kind of part that a checkpoint is, and the prefix of its names."""
    kinds = ((name, prefix) for name, part in PARTS.items() for prefix in part.prefixes if prefix + part.mark in state)
    return next(kinds, None)


def infer_config(name: str, state: dict[str, Tensor], official: dict[str, Any]) -> VaryConfig:
    """Return a named configuration with the sizes of these tensors. Heads come from `config.json`, if it has them."""
    config = preset(name)
    for k, vocabulary in enumerate(config.vocabularies):
        if vocabulary["name"] == "sam":
            found = sam_sizes(state, f"vocabularies.{k}.")
            sizes = found
        else:
            found = clip_config(state, f"vocabularies.{k}.tower.")
            sizes = {"config": vocabulary["config"] | found}
        preprocess = vocabulary["preprocess"] | {"size": found["image_size"]}
        config.vocabularies[k] = vocabulary | sizes | {"preprocess": preprocess}
    text = config.text_config.to_dict() | {"layer_types": None}  # a list by layer that follows from their number
    text |= _language_sizes(state, config.text_config, official)
    image = official.get("im_patch_token", official.get("image_token_index", config.image_token_id))
    for key in ("pad_token_id", "eos_token_id"):  # of the Qwen layout, in which `<imgpad>` is the last token
        text[key] += image - config.image_token_id if text["model_type"] == "qwen2" else 0
    changed = {"text_config": text, "vocabularies": config.vocabularies, "image_token_id": image}
    return VaryConfig(**(config.to_dict() | changed))


def _language_sizes(state: dict[str, Tensor], text: Any, official: dict[str, Any]) -> dict[str, Any]:
    """Return the language model's sizes. A head is 64 wide in OPT-125M and Qwen1.5-0.5B, 128 in larger ones."""
    layers = [
        k.split(".layers.")[1].split(".")[0] for k in state if k.startswith("language_model.") and ".layers." in k
    ]
    is_opt = text.model_type == "opt"
    prefix = "language_model.decoder." if is_opt else "language_model."
    words, hidden = state[f"{prefix}embed_tokens.weight"].shape
    given = official.get("text_config") or official
    heads = given.get("num_attention_heads") or hidden // (text.hidden_size // text.num_attention_heads)
    sizes = {"vocab_size": words, "hidden_size": hidden, "num_attention_heads": heads,
             "num_hidden_layers": 1 + max(map(int, layers))}  # fmt: skip
    if is_opt:
        positions = state[f"{prefix}embed_positions.weight"].shape[0] - opt.OFFSET
        return sizes | {"ffn_dim": state[f"{prefix}layers.0.fc1.weight"].shape[0], "word_embed_proj_dim": hidden,
                        "max_position_embeddings": positions}  # fmt: skip
    keys = state[f"{prefix}layers.0.self_attn.k_proj.weight"].shape[0] // (hidden // heads)
    mlp = state[f"{prefix}layers.0.mlp.up_proj.weight"].shape[0]
    return sizes | {"intermediate_size": mlp, "num_key_value_heads": keys}


def fit_tensors(state: dict[str, Tensor], expected: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Resize embeddings, output head and OPT's positions to the sizes of a model; leave everything else as it is."""
    found = {}
    for name, tensor in state.items():
        shape = expected.get(name)
        if shape is not None and tensor.shape != shape and tensor.shape[1:] == shape[1:]:
            if name.endswith("embed_positions.weight"):
                tensor = opt.stretch_positions(tensor, shape[0] - opt.OFFSET)
            elif name.endswith(("embed_tokens.weight", "lm_head.weight")):
                tensor = resize_rows(tensor, shape[0])
        found[name] = tensor
    return found


def resize_rows(rows_VD: Tensor, count: int) -> Tensor:
    """Cut or extend an embedding table to `count` tokens; new rows are the mean of the others.

    Checkpoints pad their tables (OPT to 50272, Qwen to 151936); the rows that are cut belong to no token.
    """
    if len(rows_VD) >= count:
        return rows_VD[:count].clone()
    mean = rows_VD.float().mean(0, keepdim=True).to(rows_VD.dtype)
    return torch.cat([rows_VD, mean.expand(count - len(rows_VD), -1)])
