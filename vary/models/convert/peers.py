"""Convert models that a class of transformers computes: it reads their files, a table renames their tensors.

So every generation of published names works, sharded or not. Only safetensors are read, and no code of a checkpoint.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel

from ..config import VaryConfig
from ..images.arrange import runs_of, tokens_in
from ..images.views import cut_views, views_of
from ..processor import VaryProcessor
from ..vocab.merge import token_grid
from .key_tables import rename
from .peer_tables import PEERS


def read_peer(source: Path) -> tuple[VaryConfig, dict[str, Tensor], PreTrainedModel]:
    """Read a folder of a model type of `PEERS`: our configuration, our tensors, and the model of transformers.

    Raises:
        InputError: The configuration has no counterpart here.
    """
    theirs: Any = AutoModelForImageTextToText.from_pretrained(source, dtype="auto", use_safetensors=True)
    return peer_config(theirs, _preprocess(source)), peer_tensors(theirs), theirs.eval()


def peer_config(theirs: PreTrainedModel, preprocess: dict[str, Any]) -> VaryConfig:
    """Make our configuration out of that of a model of transformers."""
    config: Any = theirs.config
    settings = PEERS[config.model_type].settings(config)
    vision = settings["vocabularies"][0]
    size = vision.get("config", {}).get("image_size")
    vision["preprocess"] = ({"size": size} if size else {}) | vision.get("preprocess", {}) | preprocess
    head = theirs.get_output_embeddings()
    tied = config.tie_word_embeddings if head is None else head.weight is theirs.get_input_embeddings().weight
    ids = (settings, vars(config))
    known = (
        found[key] for found in ids for key in ("image_token_id", "image_token_index") if found.get(key) is not None
    )
    return VaryConfig(**settings | {"template": "jinja", "image_token_id": next(known), "tie_word_embeddings": tied})


def peer_tensors(theirs: PreTrainedModel) -> dict[str, Tensor]:
    """Rename the tensors of a model of transformers to ours."""
    state = {
        re.sub(r"(vision_tower|vision_model)\.vision_model\.", r"\1.", k): t for k, t in theirs.state_dict().items()
    }
    peer = PEERS[theirs.config.model_type]
    present = [line for line in peer.table if isinstance(line[0], str) or set(line[0]) <= state.keys()]
    single = [(theirs[0], ours) for theirs, ours in peer.table if not isinstance(theirs, str)]
    return rename(state, [*present, *single], ("{*}.position_ids", "{*}.inv_freq", *peer.dropped))


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
    processor = VaryProcessor.of(config, tokenizer, image_pad=pad, chat_template=template)
    if (source / "qformer_tokenizer").is_dir():
        processor.words_tokenizer = AutoTokenizer.from_pretrained(source / "qformer_tokenizer")
    processor.save_pretrained(target)
    return (
        [] if template else [f"{source}: no chat template in it; prompts must be written out (`processor(text=...)`)"]
    )


@torch.inference_mode()
def compare(ours: Any, theirs: PreTrainedModel) -> float:
    """Return the largest difference of logits between our model and theirs, for one random image, in float32."""
    config, generator = ours.config, np.random.default_rng(0)
    image = Image.fromarray(generator.integers(0, 255, (330, 250, 3), np.uint8))
    views, shape = cut_views(image, config.vocabularies[0]["preprocess"], 3)
    pixels = torch.from_numpy(np.stack(views))[None]
    sizes = [(int(pixels.shape[-2]), int(pixels.shape[-1]))]
    grid = token_grid(config.vocabularies, config.merge, config.connector, sizes)
    places = ours.fusion.places
    run = tokens_in(runs_of(config.arrange, grid, shape, sizes[0])) if places is None else places
    words = generator.integers(3, min(100, config.text_config.vocab_size - 1), 5).tolist()
    ids = torch.tensor([[*words[:2], *[config.image_token_id] * run, *words[2:]]])
    inputs = {
        "input_ids": ids, "attention_mask": torch.ones_like(ids), "image_shapes": torch.tensor([[shape]]),
        "pixel_values": pixels if len(views) > 1 else pixels[:, 0],
    }  # fmt: skip
    if any(step.get("words") for step in config.connector.get("steps", [])):
        inputs |= {"words": torch.tensor([words[:3]]), "words_mask": torch.ones(1, 3, dtype=torch.long)}
    ours, theirs = ours.float().eval(), theirs.float().eval()
    given = peer_inputs(theirs.config.model_type, inputs, ours)
    decoder = {"decoder_input_ids": ids[:, :3]} if config.is_encoder_decoder else {}
    return float((ours(**inputs, **decoder).logits - theirs(**given, **decoder).logits).abs().max())


def peer_inputs(kind: str, inputs: dict[str, Any], ours: Any) -> dict[str, Any]:
    """Turn the inputs of our models into those of a class of transformers. Prompts need the same number of images.

    Args:
        kind: Its model type.
        inputs: What our processor made.
        ours: Our model of the same weights.
    """
    found: dict[str, Any] = {
        key: inputs[key] for key in ("input_ids", "attention_mask", "pixel_values") if key in inputs
    }
    ids, pixels, shapes = found["input_ids"], found["pixel_values"], inputs.get("image_shapes", torch.zeros(0))
    is_image = ids == ours.config.image_token_id
    stacked = pixels if pixels.ndim == 5 else pixels[:, None]
    if kind in ("llava_next", "llava_onevision"):
        counts = [views_of((*tiles, 0, 0)) for tiles in shapes[:, :, :2].flatten(0, 1).tolist()]
        views = nn.utils.rnn.pad_sequence(list(_used_views(stacked, shapes).split(counts)), batch_first=True)
        return found | {"pixel_values": views, "image_sizes": shapes[:, :, 2:].flatten(0, 1)}
    if kind in ("llava", "deepseek_vl"):
        return found | {"pixel_values": stacked.flatten(0, 1)}
    if kind == "paligemma":
        return found | {"token_type_ids": torch.zeros_like(ids), "pixel_values": stacked.flatten(0, 1)}
    if kind == "fuyu":
        return found | {"pixel_values": ours.vocabularies[0](stacked.flatten(0, 1))}
    if kind == "qwen2_vl":
        packed, grids = ours.vocabularies[0].pack(stacked.flatten(0, 1), shapes[:, :, 2:].flatten(0, 1))
        return found | {"pixel_values": packed, "image_grid_thw": grids, "mm_token_type_ids": is_image.int()}
    if kind == "kosmos-2":
        return found | {"image_embeds_position_mask": is_image.long()}
    if kind == "idefics":
        seen = is_image.long().cumsum(1)[..., None] - 1 == torch.arange(stacked.shape[1])
        return found | {"pixel_values": stacked, "image_attention_mask": seen.long()}
    if kind in ("idefics2", "idefics3"):
        return found | {"pixel_values": stacked, "pixel_attention_mask": _pixel_mask(stacked, shapes)}
    if kind == "instructblip" and "words" in inputs:
        return found | {"qformer_input_ids": inputs["words"], "qformer_attention_mask": inputs["words_mask"]}
    return found


def _used_views(pixels_BICHW: Tensor, shapes_BN4: Tensor) -> Tensor:
    """Return the views (P, C, H, W) of all images, without those that a row lacks."""
    views = torch.tensor([sum(views_of((*tiles, 0, 0)) for tiles in row) for row in shapes_BN4[:, :, :2].tolist()])
    return pixels_BICHW[torch.arange(pixels_BICHW.shape[1]) < views[:, None]]


def _pixel_mask(pixels_BICHW: Tensor, shapes_BN4: Tensor) -> Tensor:
    """Return which pixels (B, I, H, W) are not padding; tiles have none."""
    mask = torch.ones(pixels_BICHW.shape[:2] + pixels_BICHW.shape[3:], dtype=torch.long)
    if shapes_BN4.shape[1] == pixels_BICHW.shape[1]:
        for row, shapes in zip(mask, shapes_BN4.tolist(), strict=True):
            for view, (*_, high, wide) in zip(row, shapes, strict=True):
                view[high:], view[:, wide:] = 0, 0
    return mask


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


__all__ = ["PEERS", "compare", "peer_config", "peer_inputs", "peer_tensors", "read_peer", "save_peer_processor"]
