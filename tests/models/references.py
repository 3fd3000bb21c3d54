"""Build classes of transformers with the sizes of a miniature of the zoo, to compare the two."""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel

from vary.models.config import VaryConfig

SIGMA = 0.3  # with smaller weights another picture hardly moves the logits, and a blind model would pass


def randomised(module: Any, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * SIGMA)
    return module.eval()


def text_of(config: VaryConfig) -> dict[str, Any]:
    return config.text_config.to_dict()


def llava(config: VaryConfig) -> dict[str, Any]:
    vision = config.vocabularies[0]
    full = vision["config"]["model_type"].startswith("siglip")
    return {
        "vision_config": vision["config"], "text_config": text_of(config), "image_token_index": config.image_token_id,
        "vision_feature_layer": vision["layer"], "vision_feature_select_strategy": "full" if full else "default",
        "projector_hidden_act": "linear" if config.connector["name"] == "linear" else "gelu",
    }  # fmt: skip


def llava_next(config: VaryConfig) -> dict[str, Any]:
    views = config.vocabularies[0]["preprocess"]["views"]
    limit = config.arrange.get("limit")
    ratio = {"vision_aspect_ratio": f"anyres_max_{limit}", "video_token_index": 1} if limit else {}
    return llava(config) | {"image_grid_pinpoints": views["pinpoints"]} | ratio


def paligemma(config: VaryConfig) -> dict[str, Any]:
    width = config.text_config.hidden_size
    vision = config.vocabularies[0]["config"] | {"projection_dim": width}
    text = text_of(config)
    return {
        "vision_config": vision, "text_config": text, "projection_dim": width, "pad_token_id": text["pad_token_id"],
        "image_token_index": config.image_token_id, "tie_word_embeddings": text["tie_word_embeddings"],
    }  # fmt: skip


def deepseek_vl(config: VaryConfig) -> dict[str, Any]:
    text = text_of(config)
    own = {"image_token_id": config.image_token_id, "tie_word_embeddings": text["tie_word_embeddings"]}
    return {"vision_config": config.vocabularies[0]["config"], "text_config": text, **own}


def qwen2_vl(config: VaryConfig) -> dict[str, Any]:
    vision = config.vocabularies[0]["config"]
    others = {"video_token_id": 1, "vision_start_token_id": 2, "vision_end_token_id": 3}
    return {"vision_config": vision, "text_config": text_of(config), "image_token_id": config.image_token_id, **others}


def blip(config: VaryConfig) -> dict[str, Any]:
    return {"vision_config": config.vocabularies[0]["config"], "text_config": text_of(config)}


def blip_2(config: VaryConfig) -> dict[str, Any]:
    vision, former = config.vocabularies[0]["config"], config.connector["steps"][0]
    settings = former["config"] | {"encoder_hidden_size": vision["hidden_size"]}
    return {
        "vision_config": vision, "qformer_config": settings, "text_config": text_of(config),
        "num_query_tokens": former["queries"], "image_token_index": config.image_token_id,
    }  # fmt: skip


def kosmos_2(config: VaryConfig) -> dict[str, Any]:
    vision, resampler = config.vocabularies[0]["config"], config.connector["steps"][1]
    sizes = {key: value for key, value in vision.items() if key != "model_type"}
    return {"vision_config": sizes, "text_config": text_of(config), "latent_query_num": resampler["latents"]}


def florence_2(config: VaryConfig) -> dict[str, Any]:
    vision = config.vocabularies[0]["config"] | {"max_position_embeddings": config.connector["steps"][0]["side"]}
    return {"vision_config": vision, "text_config": text_of(config), "image_token_id": config.image_token_id}


def idefics(config: VaryConfig) -> dict[str, Any]:
    vision, resampler, text = config.vocabularies[0]["config"], config.connector["steps"][0], text_of(config)
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps",
            "pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings")  # fmt: skip
    sizes = {key: value for key, value in vision.items() if key not in ("model_type", "hidden_size")}
    return {
        **{key: text[key] for key in kept}, "vocab_size": text["vocab_size"] - 2, "additional_vocab_size": 2,
        "cross_layer_interval": config.fusion["every"], "use_resampler": True, "qk_layer_norms": True,
        "vision_config": sizes | {"embed_dim": vision["hidden_size"]},
        "perceiver_config": {
            "use_resampler": True, "resampler_n_latents": resampler["latents"], "resampler_depth": resampler["depth"],
            "resampler_n_heads": resampler["heads"], "resampler_head_dim": resampler["head_dim"],
            "qk_layer_norms_perceiver": True,
        },
    }  # fmt: skip


def idefics_2(config: VaryConfig) -> dict[str, Any]:
    sizes = config.connector["steps"][1]
    perceiver = {
        "hidden_size": config.text_config.hidden_size, "resampler_n_latents": sizes["latents"],
        "resampler_depth": sizes["depth"], "resampler_n_heads": sizes["heads"],
        "num_key_value_heads": sizes["kv_heads"], "resampler_head_dim": sizes["head_dim"],
        "rms_norm_eps": sizes["eps"],
    }  # fmt: skip
    return deepseek_vl(config) | {"perceiver_config": perceiver}


def idefics_3(config: VaryConfig) -> dict[str, Any]:
    return deepseek_vl(config) | {"scale_factor": config.connector["steps"][0]["window"][0]}


def fuyu(config: VaryConfig) -> dict[str, Any]:
    patch = config.vocabularies[0]["patch"]
    text = text_of(config)
    return {
        "text_config": text, "hidden_size": text["hidden_size"], "patch_size": patch, "image_size": 4 * patch,
        "image_token_id": config.image_token_id, "tie_word_embeddings": False,
    }  # fmt: skip


REFERENCES: dict[str, tuple[str, str, Any]] = {  # model type -> class, its configuration, the settings of one
    "blip": ("BlipForConditionalGeneration", "BlipConfig", blip),
    "blip-2": ("Blip2ForConditionalGeneration", "Blip2Config", blip_2),
    "deepseek_vl": ("DeepseekVLForConditionalGeneration", "DeepseekVLConfig", deepseek_vl),
    "florence2": ("Florence2ForConditionalGeneration", "Florence2Config", florence_2),
    "fuyu": ("FuyuForCausalLM", "FuyuConfig", fuyu),
    "idefics": ("IdeficsForVisionText2Text", "IdeficsConfig", idefics),
    "idefics2": ("Idefics2ForConditionalGeneration", "Idefics2Config", idefics_2),
    "idefics3": ("Idefics3ForConditionalGeneration", "Idefics3Config", idefics_3),
    "instructblip": ("InstructBlipForConditionalGeneration", "InstructBlipConfig", blip_2),
    "kosmos-2": ("Kosmos2ForConditionalGeneration", "Kosmos2Config", kosmos_2),
    "llava": ("LlavaForConditionalGeneration", "LlavaConfig", llava),
    "llava_next": ("LlavaNextForConditionalGeneration", "LlavaNextConfig", llava_next),
    "llava_onevision": ("LlavaOnevisionForConditionalGeneration", "LlavaOnevisionConfig", llava_next),
    "paligemma": ("PaliGemmaForConditionalGeneration", "PaliGemmaConfig", paligemma),
    "qwen2_vl": ("Qwen2VLForConditionalGeneration", "Qwen2VLConfig", qwen2_vl),
}


def reference(kind: str, config: VaryConfig) -> PreTrainedModel:
    """The class of transformers of the sizes of a configuration, with random weights."""
    name, config_name, settings = REFERENCES[kind]
    given = copy.deepcopy(settings(config))  # some of their configurations change what they are given
    theirs = randomised(getattr(transformers, name)(getattr(transformers, config_name)(**given)))
    if config.connector["name"] == "linear" and hasattr(theirs.model, "multi_modal_projector"):
        second = getattr(theirs.model.multi_modal_projector, "linear_2", None)
        if second is not None:  # a LLaVA of one layer: the second one changes nothing
            with torch.no_grad():
                nn.init.eye_(second.weight)
                nn.init.zeros_(second.bias)
    return theirs
