"""Convert models that a class of transformers computes: it reads their files, a table renames their tensors.

So every generation of published names works, sharded or not. Only safetensors are read, and no code of a checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel

from ...io.errors import InputError
from ..config import VaryConfig
from ..processor import VaryProcessor
from .key_tables import Table, rename


@dataclass(frozen=True)
class Peer:
    """A model type of transformers.

    `table` renames its tensors to ours. `settings` makes the arguments of `VaryConfig` out of its configuration;
    preprocessing and prompts are added by `read_peer`.
    """

    table: Table
    settings: Callable[[Any], dict[str, Any]]


LLAVA: Table = [
    ("model.vision_tower.{*}", "vocabularies.0.tower.{*}"),
    ("model.multi_modal_projector.linear_1.{*}", "connector.layers.0.{*}"),
    ("model.multi_modal_projector.linear_2.{*}", "connector.layers.2.{*}"),
    ("model.language_model.{*}", "language_model.{*}"),
    ("lm_head.{*}", "lm_head.{*}"),
]
BLIP_2: Table = [
    ("vision_model.{*}", "vocabularies.0.tower.{*}"),
    ("query_tokens", "connector.steps.0.queries"),
    ("qformer.{*}", "connector.steps.0.qformer.{*}"),
    ("language_projection.{*}", "connector.steps.1.linear.{*}"),
    ("language_model.lm_head.{*}", "lm_head.{*}"),
    ("language_model.model.{*}", "language_model.{*}"),
]


def _llava(config: Any) -> dict[str, Any]:
    vision = config.vision_config.to_dict()
    if config.vision_feature_select_strategy == "full" and vision["model_type"].startswith("clip"):
        raise InputError("a LLaVA that keeps the class token of CLIP is not supported")
    connector = {"name": "mlp", "depth": 2, "act": config.projector_hidden_act}
    tower = {"name": "tower", "config": vision, "layer": config.vision_feature_layer}
    return {"vocabularies": [tower], "connector": connector}


def _blip_2(config: Any) -> dict[str, Any]:
    if config.text_config.is_encoder_decoder:
        raise InputError("a BLIP-2 with an encoder-decoder (Flan-T5) is not supported")
    former = config.qformer_config.to_dict()
    queries = {
        "name": "qformer",
        "queries": config.num_query_tokens,
        "config": {k: v for k, v in former.items() if k not in ("encoder_hidden_size", "model_type")},
    }
    tower = {"name": "tower", "config": config.vision_config.to_dict(), "pick": "all"}
    return {"vocabularies": [tower], "connector": {"name": "chain", "steps": [queries, {"name": "linear"}]}}


PEERS = {"llava": Peer(LLAVA, _llava), "blip-2": Peer(BLIP_2, _blip_2)}


def read_peer(source: Path) -> tuple[VaryConfig, dict[str, Tensor], PreTrainedModel]:
    """Read a folder of a model type of `PEERS`: our configuration, our tensors, and the model of transformers.

    Raises:
        InputError: The configuration has no counterpart here.
    """
    theirs: Any = AutoModelForImageTextToText.from_pretrained(source, dtype="auto", use_safetensors=True)
    return peer_config(theirs.config, _preprocess(source)), peer_tensors(theirs), theirs.eval()


def peer_config(theirs: Any, preprocess: dict[str, Any]) -> VaryConfig:
    """Make our configuration out of theirs."""
    settings = PEERS[theirs.model_type].settings(theirs)
    vision = settings["vocabularies"][0]
    if "size" not in preprocess:
        preprocess = preprocess | {"size": vision["config"]["image_size"]}
    vision["preprocess"] = preprocess
    image = getattr(theirs, "image_token_id", None)
    image = image if image is not None else theirs.image_token_index
    text = theirs.text_config.to_dict()
    return VaryConfig(**settings, text_config=text, template="jinja", image_token_id=image)


def peer_tensors(theirs: PreTrainedModel) -> dict[str, Tensor]:
    """Rename the tensors of a model of transformers to ours."""
    state = {name.replace(".vision_model.", "."): tensor for name, tensor in theirs.state_dict().items()}
    return rename(state, PEERS[theirs.config.model_type].table, ("{*}.position_ids", "{*}.inv_freq"))


def save_peer_processor(source: Path, target: Path, config: VaryConfig) -> list[str]:
    """Write a processor with the tokenizer and the chat template of a folder; a line that says what is missing."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError):
        return [f"{source}: no tokenizer in it, so no processor was written"]
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    pad = tokenizer.convert_ids_to_tokens(config.image_token_id)
    if not isinstance(pad, str):
        return [f"{source}: the tokenizer has no token {config.image_token_id} for images; no processor was written"]
    written = source / "chat_template.jinja"
    older = source / "chat_template.json"
    template = tokenizer.chat_template
    if written.is_file():
        template = written.read_text(encoding="utf-8")
    elif older.is_file():
        template = json.loads(older.read_text(encoding="utf-8"))["chat_template"]
    parts = (config.vocabularies, config.merge, config.connector)
    VaryProcessor(tokenizer, *parts, "jinja", image_pad=pad, chat_template=template).save_pretrained(target)
    return (
        [] if template else [f"{source}: no chat template in it; prompts must be written out (`processor(text=...)`)"]
    )


@torch.inference_mode()
def compare(ours: Any, theirs: PreTrainedModel) -> float:
    """Return the largest difference of logits between our model and theirs, for one random image, in float32."""
    config = ours.config
    size = config.vocabularies[0]["preprocess"]["size"]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 3, size, size, generator=generator)
    ours, theirs = ours.float().eval(), theirs.float().eval()
    count = ours.get_image_features(pixels).shape[1]
    words = torch.randint(3, min(100, config.text_config.vocab_size), (5,), generator=generator).tolist()
    ids = torch.tensor([[*words[:2], *[config.image_token_id] * count, *words[2:]]])
    mask = torch.ones_like(ids)
    found = [model(input_ids=ids, pixel_values=pixels, attention_mask=mask).logits for model in (ours, theirs)]
    return float((found[0] - found[1]).abs().max())


def _preprocess(source: Path) -> dict[str, Any]:
    """Read means, sizes and filter of the image processor of a folder; CLIP's where there is none."""
    found: dict[str, Any] = {}
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (source / name).is_file():
            given = json.loads((source / name).read_text(encoding="utf-8"))
            found = given.get("image_processor", given)
            break
    mean = found.get("image_mean", [0.48145466, 0.4578275, 0.40821073])
    std = found.get("image_std", [0.26862954, 0.26130258, 0.27577711])
    crops = bool(found.get("do_center_crop", not found))
    size = found.get("crop_size" if crops else "size") or {}
    sides = [size] if isinstance(size, int) else [size[key] for key in ("height", "shortest_edge") if key in size]
    fit = "crop" if crops else "squash"
    filters = {2: "bilinear", 3: "bicubic"}
    made = {
        "mean": list(mean),
        "std": list(std),
        "fit": fit,
        "resample": filters.get(found.get("resample", 3), "bicubic"),
    }
    return made | ({"size": sides[0]} if sides else {})
