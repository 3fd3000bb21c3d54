"""Say how the tensors and the configuration of each model type of transformers become ours.

`PEERS` has one entry per model type: a table of names (`key_tables`), and a function that makes arguments of
`VaryConfig` out of their configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...io.errors import InputError
from .key_tables import Table


@dataclass(frozen=True)
class Peer:
    """A model type of transformers.

    `table` renames its tensors to ours. `settings` makes the arguments of `VaryConfig` out of its configuration;
    preprocessing and prompts are added by `read_peer`. `dropped` are names that are not kept.
    """

    table: Table
    settings: Callable[[Any], dict[str, Any]]
    dropped: tuple[str, ...] = ()


TOWER, FIRST = "vocabularies.0.tower.{*}", "connector.steps.0."
LANGUAGE: Table = [("model.language_model.{*}", "language_model.{*}"), ("lm_head.{*}", "lm_head.{*}")]
LLAVA: Table = [
    ("model.vision_tower.{*}", TOWER),
    ("model.multi_modal_projector.linear_1.{*}", "connector.layers.0.{*}"),
    ("model.multi_modal_projector.linear_2.{*}", "connector.layers.2.{*}"),
    *LANGUAGE,
]
LLAVA_NEXT: Table = [*LLAVA, ("model.image_newline", "arrange.newline")]
PALIGEMMA: Table = [
    ("model.vision_tower.{*}", TOWER),
    ("model.multi_modal_projector.linear.{*}", "connector.linear.{*}"),
    *LANGUAGE,
]
DEEPSEEK_VL: Table = [
    ("model.vision_model.{*}", TOWER),
    ("model.aligner.linear1.{*}", "connector.layers.0.{*}"),
    ("model.aligner.linear2.{*}", "connector.layers.2.{*}"),
    *LANGUAGE,
]
FUYU: Table = [("model.vision_embed_tokens.{*}", "connector.linear.{*}"), *LANGUAGE]
QWEN2_VL: Table = [("model.visual.{*}", TOWER), *LANGUAGE]
BLIP_2: Table = [
    ("vision_model.{*}", TOWER),
    ("query_tokens", f"{FIRST}queries"),
    ("qformer.{*}", f"{FIRST}qformer.{{*}}"),
    ("language_projection.{*}", "connector.steps.1.linear.{*}"),
    ("language_model.lm_head.{*}", "lm_head.{*}"),
    ("language_model.model.{*}", "language_model.{*}"),  # a decoder
    *((f"language_model.{part}.{{*}}", f"language_model.{part}.{{*}}") for part in ("shared", "encoder", "decoder")),
]
BLIP: Table = [("vision_model.{*}", TOWER), ("text_decoder.{*}", "language_model.{*}")]
KOSMOS_2: Table = [
    ("vision_model.model.{*}", TOWER),
    ("image_to_text_projection.dense.{*}", f"{FIRST}linear.{{*}}"),
    ("image_to_text_projection.latent_query", "connector.steps.1.latents"),
    *(
        (f"image_to_text_projection.x_attn.{theirs}_proj.{{*}}",
         f"connector.steps.1.blocks.0.attention.{ours}_proj.{{*}}")
        for theirs, ours in (("q", "q"), ("k", "k"), ("v", "v"), ("out", "o"))
    ),
    ("text_model.model.{*}", "language_model.{*}"),
    ("text_model.lm_head.{*}", "lm_head.{*}"),
]  # fmt: skip
_FLORENCE = "model.multi_modal_projector."
FLORENCE_2: Table = [
    ("model.vision_tower.{*}", TOWER),
    (f"{_FLORENCE}image_position_embed.row_embeddings.weight", f"{FIRST}rows.weight"),
    (f"{_FLORENCE}image_position_embed.column_embeddings.weight", f"{FIRST}columns.weight"),
    (f"{_FLORENCE}image_projection.{{*}}", "connector.steps.2.linear.{*}"),
    (f"{_FLORENCE}image_proj_norm.{{*}}", "connector.steps.3.norm.{*}"),
    *LANGUAGE,
]
_LAYER, _BLOCK = "model.connector.perceiver_resampler.layers.{i}.", "connector.steps.1.blocks.{i}."
IDEFICS_2: Table = [
    ("model.vision_model.{*}", TOWER),
    *((f"model.connector.modality_projection.{p}_proj.weight", f"{FIRST}{p}.weight") for p in ("gate", "up", "down")),
    *((f"{_LAYER}mlp.{p}_proj.weight", f"{_BLOCK}ff.{p}.weight") for p in ("gate", "up", "down")),
    *((f"{_LAYER}self_attn.{p}_proj.{{*}}", f"{_BLOCK}attention.{p}_proj.{{*}}") for p in "qkvo"),
    (f"{_LAYER}input_context_norm.{{*}}", f"{_BLOCK}context.{{*}}"),
    (f"{_LAYER}input_latents_norm.{{*}}", f"{_BLOCK}query.{{*}}"),
    (f"{_LAYER}post_attention_layernorm.{{*}}", f"{_BLOCK}norm.{{*}}"),
    ("model.connector.perceiver_resampler.latents", "connector.steps.1.latents"),
    ("model.connector.perceiver_resampler.norm.{*}", "connector.steps.1.norm.{*}"),
    ("model.text_model.{*}", "language_model.{*}"),
    ("lm_head.{*}", "lm_head.{*}"),
]
IDEFICS_3: Table = [
    ("model.vision_model.{*}", TOWER),
    ("model.connector.modality_projection.proj.{*}", "connector.steps.1.linear.{*}"),
    ("model.text_model.{*}", "language_model.{*}"),
    ("lm_head.{*}", "lm_head.{*}"),
]
_PERCEIVER, _CROSS = "model.perceiver_resampler.blocks.{i}.", "model.gated_cross_attn_layers.{i}."
_INNER, _GATED = f"{FIRST}blocks.{{i}}.", "fusion.blocks.{i}."
IDEFICS: Table = [
    ("model.vision_model.{*}", TOWER),
    ("model.perceiver_resampler.latents", f"{FIRST}latents"),
    ("model.perceiver_resampler.layer_norm.{*}", f"{FIRST}norm.{{*}}"),
    (f"{_PERCEIVER}0.context_layer_norm.{{*}}", f"{_INNER}context.{{*}}"),
    (f"{_PERCEIVER}0.latents_layer_norm.{{*}}", f"{_INNER}query.{{*}}"),
    *((f"{_PERCEIVER}0.{p}_layer_norm.{{*}}", f"{_INNER}attention.{p}_norm.{{*}}") for p in "qk"),
    *((f"{_PERCEIVER}0.{p}_proj.{{*}}", f"{_INNER}attention.{p}_proj.{{*}}") for p in "qkv"),
    (f"{_PERCEIVER}0.output_proj.{{*}}", f"{_INNER}attention.o_proj.{{*}}"),
    (f"{_PERCEIVER}1.ln.{{*}}", f"{_INNER}norm.{{*}}"),
    (f"{_PERCEIVER}1.fc.{{*}}", f"{_INNER}ff.0.{{*}}"),
    (f"{_PERCEIVER}1.c_proj.{{*}}", f"{_INNER}ff.2.{{*}}"),
    *((f"{_CROSS}cross_attn.{p}_proj.{{*}}", f"{_GATED}attention.{p}_proj.{{*}}") for p in "qkvo"),
    *((f"{_CROSS}cross_attn.{p}_layer_norm.{{*}}", f"{_GATED}attention.{p}_norm.{{*}}") for p in "qk"),
    *((f"{_CROSS}mlp.{p}_proj.{{*}}", f"{_GATED}ff.{p}.{{*}}") for p in ("gate", "up", "down")),
    (f"{_CROSS}input_layernorm.{{*}}", f"{_GATED}norm.{{*}}"),
    (f"{_CROSS}post_attention_layernorm.{{*}}", f"{_GATED}ff_norm.{{*}}"),
    (f"{_CROSS}alpha_cross_attn", f"{_GATED}gate"),
    (f"{_CROSS}alpha_dense", f"{_GATED}ff_gate"),
    # words of the first table are frozen, those of the second are learnt; here they are one
    (("model.embed_tokens.weight", "model.embed_tokens.additional_embedding.weight"),
     "language_model.embed_tokens.weight"),
    (("lm_head.weight", "lm_head.additional_fc.weight"), "lm_head.weight"),
    ("model.layers.{*}", "language_model.layers.{*}"),
    ("model.norm.{*}", "language_model.norm.{*}"),
]  # fmt: skip


def _tower(config: Any, **more: Any) -> dict[str, Any]:
    return {"name": "tower", "config": config.to_dict(), **more}


def _text(config: Any, **changes: Any) -> dict[str, Any]:
    return config.text_config.to_dict() | changes


def _llava(config: Any) -> dict[str, Any]:
    if config.vision_feature_select_strategy == "full" and config.vision_config.model_type.startswith("clip"):
        raise InputError("a LLaVA that keeps the class token of CLIP is not supported")
    connector = {"name": "mlp", "depth": 2, "act": config.projector_hidden_act}
    tower = _tower(config.vision_config, layer=config.vision_feature_layer)
    return {"vocabularies": [tower], "connector": connector, "text_config": _text(config)}


def _llava_next(config: Any) -> dict[str, Any]:
    found = _llava(config)
    found["vocabularies"][0]["preprocess"] = {"views": {"name": "anyres", "pinpoints": config.image_grid_pinpoints}}
    ratio = getattr(config, "vision_aspect_ratio", "")
    limit = {"limit": int(ratio.removeprefix("anyres_max_"))} if ratio.startswith("anyres_max_") else {}
    return found | {"arrange": {"name": "anyres", **limit}}


def _paligemma(config: Any) -> dict[str, Any]:
    vision = config.vision_config.to_dict()
    vision.pop("projection_dim", None)  # of the linear layer, and equal to the width of the language model
    return {
        "vocabularies": [{"name": "tower", "config": vision}], "connector": {"name": "linear"},
        "text_config": _text(config), "positions": {"name": "plain", "first": 1}, "mask": "prefix",
    }  # fmt: skip


def _deepseek_vl(config: Any) -> dict[str, Any]:
    connector = {"name": "mlp", "depth": 2}
    return {"vocabularies": [_tower(config.vision_config)], "connector": connector, "text_config": _text(config)}


def _fuyu(config: Any) -> dict[str, Any]:
    views = {"name": "padded", "multiple": config.patch_size, "height": 1080, "width": 1920}
    return {
        "vocabularies": [{"name": "patch", "patch": config.patch_size, "preprocess": {"views": views}}],
        "connector": {"name": "linear"}, "text_config": _text(config),
        "arrange": {"name": "cells", "after_row": "|NEWLINE|", "after": "<s>"},
    }  # fmt: skip


def _qwen2_vl(config: Any) -> dict[str, Any]:
    vision = config.vision_config
    side = vision.patch_size * vision.spatial_merge_size
    views = {"name": "native", "multiple": side, "least": 56 * 56, "most": 28 * 28 * 1280}
    return {
        "vocabularies": [{"name": "packed", "config": vision.to_dict(), "preprocess": {"views": views}}],
        "connector": {"name": "chain", "steps": []}, "text_config": _text(config),
        "arrange": {"name": "cells"}, "positions": {"name": "mrope"},
    }  # fmt: skip


def _queries(config: Any, **more: Any) -> dict[str, Any]:
    former = {
        k: v for k, v in config.qformer_config.to_dict().items() if k not in ("encoder_hidden_size", "model_type")
    }
    return {"name": "qformer", "queries": config.num_query_tokens, "config": former, **more}


def _blip_2(config: Any, **more: Any) -> dict[str, Any]:
    text = config.text_config
    scale = {"head": {"scale": text.d_model**-0.5}} if getattr(text, "scale_decoder_outputs", False) else {}
    connector = {"name": "chain", "steps": [_queries(config, **more), {"name": "linear"}]}
    tower = _tower(config.vision_config, pick="all")
    return {"vocabularies": [tower], "connector": connector, "text_config": _text(config), **scale}


def _instructblip(config: Any) -> dict[str, Any]:
    return _blip_2(config, words=True)


def _blip(config: Any) -> dict[str, Any]:
    return {
        "vocabularies": [_tower(config.vision_config, pick="all")], "connector": {"name": "chain", "steps": []},
        "fusion": {"name": "attend"}, "text_config": _text(config, is_decoder=True),
        "image_token_id": config.text_config.vocab_size - 1,  # `[ENC]`, which captions do not have
    }  # fmt: skip


def _kosmos_2(config: Any) -> dict[str, Any]:
    vision = config.vision_config.to_dict() | {"model_type": "clip_vision_model"}
    text = config.text_config
    heads = {"heads": text.attention_heads, "head_dim": text.embed_dim // text.attention_heads}
    steps = [
        {"name": "linear"},
        {"name": "resampler", "latents": config.latent_query_num, "depth": 1, **heads, "norm": None, "ff": None,
         "final": False, "bias": True},
    ]  # fmt: skip
    tower = {"name": "tower", "config": vision, "pick": "all", "norm": "post_layernorm", "unit": True}
    return {
        "vocabularies": [tower], "connector": {"name": "chain", "steps": steps}, "text_config": _text(config),
        "positions": {"name": "plain", "first": text.pad_token_id + 1}, "image_token_id": 3,  # `<unk>`
    }  # fmt: skip


def _florence_2(config: Any) -> dict[str, Any]:
    vision = config.vision_config
    steps = [
        {"name": "positions", "side": vision.max_position_embeddings, "frame": True}, {"name": "mean-first"},
        {"name": "linear", "bias": False}, {"name": "norm"},
    ]  # fmt: skip
    return {
        "vocabularies": [_tower(vision, preprocess={"size": 32 * min(24, vision.max_position_embeddings)})],
        "connector": {"name": "chain", "steps": steps}, "text_config": _text(config),
    }  # fmt: skip


def _idefics_2(config: Any) -> dict[str, Any]:
    vision, given = config.vision_config.to_dict() | {"model_type": "idefics3_vision"}, config.perceiver_config
    steps = [
        {"name": "gated", "hidden": config.text_config.intermediate_size},
        {"name": "resampler", "latents": given.resampler_n_latents, "depth": given.resampler_depth,
         "heads": given.resampler_n_heads, "head_dim": given.resampler_head_dim,
         "kv_heads": given.num_key_value_heads, "norm": "rms", "ff": "gated", "eps": given.rms_norm_eps},
    ]  # fmt: skip
    views = {"name": "native", "multiple": vision["patch_size"], "shortest": 378, "longest": 980}
    tower = {"name": "tower", "config": vision, "pick": "all", "preprocess": {"views": views}}
    return {"vocabularies": [tower], "connector": {"name": "chain", "steps": steps}, "text_config": _text(config)}


def _idefics_3(config: Any) -> dict[str, Any]:
    vision, scale = config.vision_config.to_dict(), config.scale_factor
    steps = [{"name": "fold", "window": [scale, scale]}, {"name": "linear", "bias": False}]
    around, whole = "<fake_token_around_image>", "<global-img>"
    arrange = {
        "name": "plain", "before_tile": f"{around}<row_{{row}}_col_{{column}}>", "after_row": "\n",
        "before_whole": f"\n{around}{whole}", "before_single": f"{around}{whole}", "after": around,
    }  # fmt: skip
    views = {"name": "tiles", "longest": 4 * vision["image_size"]}
    tower = {"name": "tower", "config": vision, "pick": "all", "preprocess": {"views": views}}
    return {
        "vocabularies": [tower], "connector": {"name": "chain", "steps": steps}, "text_config": _text(config),
        "arrange": arrange,
    }  # fmt: skip


def _idefics(config: Any) -> dict[str, Any]:
    vision, given = config.vision_config, config.perceiver_config
    if not given.use_resampler:
        raise InputError("an IDEFICS without a resampler is not supported")
    tower = {
        "model_type": "clip_vision_model", "hidden_size": vision.embed_dim, "image_size": vision.image_size,
        "intermediate_size": vision.intermediate_size, "patch_size": vision.patch_size, "hidden_act": vision.hidden_act,
        "num_hidden_layers": vision.num_hidden_layers, "num_attention_heads": vision.num_attention_heads,
        "layer_norm_eps": vision.layer_norm_eps,
    }  # fmt: skip
    resampler = {
        "name": "resampler", "latents": given.resampler_n_latents, "depth": given.resampler_depth, "ff": "relu",
        "heads": given.resampler_n_heads, "head_dim": given.resampler_head_dim,
        "head_norm": given.qk_layer_norms_perceiver,
    }  # fmt: skip
    text = {
        "model_type": "llama", "vocab_size": config.vocab_size + config.additional_vocab_size,
        **{key: getattr(config, key) for key in (
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
            "rms_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings")},
    }  # fmt: skip
    cross = {
        "name": "cross", "every": config.cross_layer_interval, "head_norm": config.qk_layer_norms,
        "vector": config.alpha_type == "vector",
    }  # fmt: skip
    return {
        "vocabularies": [{"name": "tower", "config": tower, "pick": "all"}],
        "connector": {"name": "chain", "steps": [resampler]}, "fusion": cross, "text_config": text,
        "image_token_id": text["vocab_size"] - 1,  # `<image>` is the last of the added words
    }  # fmt: skip


PEERS = {
    "blip": Peer(BLIP, _blip),
    "blip-2": Peer(BLIP_2, _blip_2),
    "deepseek_vl": Peer(DEEPSEEK_VL, _deepseek_vl),
    "florence2": Peer(FLORENCE_2, _florence_2, (f"{_FLORENCE}visual_temporal_embed.pos_idx_to_embed",)),
    "fuyu": Peer(FUYU, _fuyu),
    "idefics": Peer(IDEFICS, _idefics),
    "idefics2": Peer(IDEFICS_2, _idefics_2),
    "idefics3": Peer(IDEFICS_3, _idefics_3),
    "instructblip": Peer(BLIP_2, _instructblip),
    "kosmos-2": Peer(KOSMOS_2, _kosmos_2),
    "llava": Peer(LLAVA, _llava),
    "llava_next": Peer(LLAVA_NEXT, _llava_next),
    "llava_onevision": Peer(LLAVA_NEXT, _llava_next),
    "paligemma": Peer(PALIGEMMA, _paligemma),
    "qwen2_vl": Peer(QWEN2_VL, _qwen2_vl),
}
