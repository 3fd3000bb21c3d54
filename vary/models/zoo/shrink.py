"""Make a miniature of any model: the same parts, small sizes, no two sizes of one kind of part alike.

Sizes that differ from each other make a mistake in the wiring of parts an error of shapes.
"""

from __future__ import annotations

import math
from typing import Any

Settings = dict[str, Any]
LAYERS = 3  # of a tower; a language model has one less
SIDE = 8  # images have an eighth of the patches per side
BYTES = 256  # tokens that every miniature has: its tokenizer spells bytes
POSITIONS = 512
WIDTH = 32  # of a language model
TOWER = 28  # width of the first tower
QUERIES = 5  # objects of a segmenter
CODES = 40  # vectors that an image is made of


def shrink(settings: Settings) -> Settings:
    """Return the settings of a miniature of a model. Grids, layouts, templates and kinds of parts stay the same."""
    found = dict(settings)
    found["vocabularies"] = [_vocabulary(v, k) for k, v in enumerate(settings["vocabularies"])]
    several = isinstance(settings.get("connector"), list)
    connectors = settings["connector"] if several else [settings.get("connector", {"name": "shuffle"})]
    small = [_connector(connector) for connector in connectors]
    found["connector"] = small if several else small[0]
    if "every" in (fusion := settings.get("fusion", {})):
        inside = {"every": LAYERS - 1, "first": 1, "heads": 3, "head_dim": 10, "hidden": 26}
        inside |= {"every": 1, "first": 0} if fusion.get("levels") else {}
        found["fusion"] = fusion | {key: value for key, value in inside.items() if key in fusion}
    if fusion.get("name") == "codes":
        found["fusion"] = fusion | ({"count": CODES} if "count" in fusion else {})
    if "slow" in (arrange := settings.get("arrange", {})):
        found["arrange"] = arrange | {"slow": 2, "fast": [2, 2]}
    if routes := settings.get("routes"):
        found["routes"] = [route | ({"rank": 6 + 2 * k} if "rank" in route else {}) for k, route in enumerate(routes)]
    if settings.get("formulas"):
        found["formulas"] = settings["formulas"] | {"width": 36, "inner": 46, "heads": 2, "encoder": 1, "decoder": 2}
    if settings.get("glyph_head"):
        found["glyph_head"] = settings["glyph_head"] | {"rank": 14}
    if "regions" in settings:
        found["regions"] = _reader(settings["regions"])
    found["heads"] = [_reader(head) for head in settings.get("heads", [])]
    return found | _language(found)


def _special_parts(settings: Settings) -> list[tuple[Settings, str]]:
    """Return the parts that name a token, and the key of its id."""
    named = [(part, "token") for part in [*settings.get("heads", []), settings.get("regions", {})] if part]
    fusion = settings.get("fusion", {})
    return [*named, (fusion, "first")] if fusion.get("name") == "codes" else named


def _reader(part: Settings) -> Settings:
    """Shrink what describes regions or reads an answer."""
    small: dict[str, Settings] = {
        "points": {"points": [20, 9, 4], "neighbours": 3, "side": 24},
        "levels": {"levels": 2, "groups": 4, "sizes": [10, 22], "cells": 2},
        "boxes": {"out": 20},
        "cells": {"out": 20},
        "detector": {"hidden": 18},
        "masks": {"config": {"mlp_dim": 34, "iou_head_hidden_dim": 12}},
    }
    return part | small.get(part["name"], {})


def _vocabulary(vocabulary: Settings, k: int) -> Settings:
    found = dict(vocabulary)
    ratio = 1.0
    if vocabulary["name"] == "nano":
        return found | {"stem": [6, 10], "width": 18, "depth": 1}
    if vocabulary["name"] == "sam":
        found |= {"hidden": 24, "depth": LAYERS, "heads": 2, "mlp": 44, "window": 3, "global_blocks": [1], "neck": 12}
        found["convs"] = [16, 20]
        found["image_size"], ratio = _image(vocabulary["image_size"], 4 * vocabulary["patch"])
    elif "config" in vocabulary:
        found["config"], ratio = _tower(vocabulary["config"], k)
        if "output_channels" in found["config"]:
            found["width"] = found["config"]["output_channels"]
        if isinstance(layer := vocabulary.get("layer"), list) and len(layer) > LAYERS:
            found["layer"] = [-2, -1]
    elif vocabulary["name"] == "patch":
        found["patch"], ratio = 6, 6 / vocabulary["patch"]
    preprocess = dict(vocabulary.get("preprocess", {}))
    if size := preprocess.get("size"):
        stride = vocabulary.get("stride")
        preprocess["size"] = _image(size, stride)[0] if stride else round(size * ratio)
    if views := preprocess.get("views"):
        preprocess["views"] = _views(views, ratio, found)
    return found | ({"preprocess": preprocess} if preprocess else {})


def _views(views: Settings, ratio: float, vocabulary: Settings) -> Settings:
    """Shrink the sizes of views; a patch keeps its pixels."""
    found = dict(views)
    for key in ("shortest", "longest"):
        if key in views:
            found[key] = round(views[key] * ratio)
    if "pinpoints" in views:
        found["pinpoints"] = [[round(side * ratio) for side in size] for size in views["pinpoints"]]
    if views["name"] == "grid":
        found["limit"] = 6
    if "count" in views:
        found["count"] = 5
    if "most" in views:
        found["most"] = 8 * views["multiple"] ** 2
    if "patch" in vocabulary:
        side = vocabulary["patch"]
        found |= {"multiple": side, "height": 3 * side, "width": 4 * side}
    return found


def _image(size: int, cell: int) -> tuple[int, float]:
    """Return a smaller size of image, a multiple of a cell, and its ratio to the size."""
    small = cell * max(2, size // cell // SIDE)
    return small, small / size


def _tower(config: Settings, k: int) -> tuple[Settings, float]:
    """Shrink the configuration of a tower of transformers."""
    wide = TOWER + 8 * k
    if "channel_multiplier" in config:
        stages, stride = len(config["channel_multiplier"]), 2 ** (len(config["channel_multiplier"]) - 1)
        found = config | {"base_channels": 32, "latent_channels": 32, "embed_dim": 4, "num_embeddings": CODES}
        found |= {"num_res_blocks": 1, "channel_multiplier": [1] * stages}
        return found | {"num_patches": _image(config["num_patches"] * stride, stride)[0] // stride}, 1 / SIDE
    if "embed_dim" in config or "hidden_sizes" in config:
        return _shrink_stages(config)
    if "backbone_config" in config:
        backbone = config["backbone_config"] | {"hidden_sizes": [4, 5, 6, TOWER // 4], "depths": [1] * 4}
        sizes = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "num_attention_heads": 2}
        layers = {"encoder_layers": 1, "decoder_layers": 2, "encoder_feedforward_dim": 20, "dim_feedforward": 22}
        return config | sizes | layers | {"num_queries": QUERIES, "backbone_config": backbone}, 1 / SIDE
    small: Settings = {
        "hidden_size": wide,
        "intermediate_size": wide + 18,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        **{"output_channels": 16, "window_size": 3, "global_attn_indexes": [1]},  # of SAM
    }
    found = config | {key: value for key, value in small.items() if key in config}
    key = "input_size" if "input_size" in config else "image_size"
    size, patch = config.get(key), config.get("patch_size")
    if not isinstance(size, int) or not isinstance(patch, int):
        return found, 1.0
    even = 2 if config["model_type"] == "idefics3_vision" else 1  # its grid is folded in windows of 2
    found[key], ratio = _image(size, even * patch)
    return found, ratio


def _shrink_stages(config: Settings) -> tuple[Settings, float]:
    """Shrink a tower of several stages, or one whose last layer has the width of the language model."""
    if "hidden_sizes" in config:
        stages = len(config["hidden_sizes"])
        sizes: Settings = {"hidden_sizes": [8 * (k + 1) for k in range(stages)], "depths": [1] * stages}
        sizes |= {key: size for key, size in {"num_groups": 2, "embedding_size": 8}.items() if key in config}
        return config | sizes, 1 / SIDE
    if "depths" not in config:
        return config | {"depth": LAYERS, "embed_dim": 24, "num_heads": 2, "hidden_size": WIDTH, "mlp_ratio": 2}, 1.0
    heads = {"num_heads": [1, 2, 3, 4], "num_groups": [1, 2, 3, 4], "depths": [1, 1, 1, 1]}
    widths = {"embed_dim": [8, 12, 18, 28], "projection_dim": WIDTH, "window_size": 2}
    return config | heads | widths, 1 / SIDE


def _connector(connector: Settings) -> Settings:
    found = dict(connector)
    if "squeeze" in connector:
        found["squeeze"] = 12
    if "steps" in connector:
        found["steps"] = [_connector(step) for step in connector["steps"]]
    if "branches" in connector:
        found["branches"] = [[_connector(step) for step in steps] for steps in connector["branches"]]
    if connector["name"] == "pool":
        found["to"] = [max(1, -(-side // SIDE)) for side in connector["to"]]
    if connector["name"] == "select":  # bounds are the width of the first tower
        found["channels"] = [TOWER if bound else bound for bound in connector["channels"]]
        found |= {key: QUERIES for key in ("skip", "first") if connector.get(key, 0) > 1}
    if connector["name"] == "query":
        found |= {"queries": 9, "heads": 4, "out": 40} if "out" in connector else {"queries": 4, "heads": 4}
    elif "queries" in connector:
        sizes = {"hidden_size": 44, "intermediate_size": 34, "num_hidden_layers": 2, "num_attention_heads": 2}
        sizes |= {"vocab_size": 2 * BYTES + 88} if "vocab_size" in connector["config"] else {}
        found |= {"queries": 6, "config": connector["config"] | sizes}
    if "latents" in connector:
        inside = (
            {"heads": 2, "head_dim": 10} if connector.get("norm", "layer") != "rms" else {"heads": 4, "head_dim": 10}
        )
        found |= {"latents": 5, "depth": min(2, connector["depth"]), **inside}
        if connector.get("bias"):
            found |= {"heads": 4, "head_dim": WIDTH // 4}
        found |= {"kv_heads": 2} if "kv_heads" in connector else {}
    if connector["name"] in ("gated", "language-moe"):
        found["hidden"] = 2 * WIDTH
    if connector.get("linear") is False:  # a part for each layer of the tower
        found["count"] = 2
    if connector["name"] == "dual-enhance":
        found["heads"] = 4
    if connector["name"] == "regnet":
        found |= {"hidden": 20, "depth": 2}
    if "out" in connector and connector["name"] != "query":
        found["out"] = 202
    if "side" in connector:
        found["side"] = 6
    return found


def _language(settings: Settings) -> Settings:
    """Shrink the language model and move the ids of its special tokens down to the first ids after the bytes."""
    text = settings["text_config"]
    heads, shared = text.get("num_attention_heads", 4), text.get("num_key_value_heads")
    small: Settings = {
        "hidden_size": WIDTH,
        "word_embed_proj_dim": WIDTH,
        "intermediate_size": 64,
        "ffn_dim": 48,
        "num_hidden_layers": LAYERS - 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if shared == heads else 2,
        "head_dim": 16,
        "max_position_embeddings": POSITIONS,
        "encoder_hidden_size": TOWER,
        # names of T5, of BART and of KOSMOS-2
        **{"d_model": WIDTH, "d_kv": 8, "d_ff": 52, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4},
        **{"encoder_ffn_dim": 40, "decoder_ffn_dim": 52, "encoder_layers": 2, "decoder_layers": 1},
        **{"encoder_attention_heads": 4, "decoder_attention_heads": 4, "attention_heads": 4},
        **{"embed_dim": WIDTH, "layers": 2},
        **{"n_embd": WIDTH, "n_head": 4, "n_layer": 2, "n_positions": POSITIONS},  # of GPT-2
        **{"n_heads": 4, "n_layers": 2, "expansion_ratio": 2, "max_seq_len": POSITIONS},  # of MPT
    }
    text = text | {key: value for key, value in small.items() if key in text}
    if "residual_multiplier" in text:  # Granite's is in proportion to 1 / sqrt(layers)
        ratio = settings["text_config"]["num_hidden_layers"] / text["num_hidden_layers"]
        text["residual_multiplier"] *= math.sqrt(ratio)
    if "partial_rotary_factor" in text.get("rope_parameters", {}):
        text["rope_parameters"] = text["rope_parameters"] | {"partial_rotary_factor": 0.5}  # of a head 8 wide
    if "mrope_section" in text.get("rope_parameters", {}):
        text["rope_parameters"] = text["rope_parameters"] | {"mrope_section": [1, 1, 2]}
    ids = {"image_token_id": settings["image_token_id"]}
    kinds = ("pad", "bos", "eos", "sep", "decoder_start")
    ids |= {key: text[key] for kind in kinds if text.get(key := f"{kind}_token_id") is not None}
    plain = text.get("ordinary_tokens", BYTES)
    parts = _special_parts(settings)
    ids |= {f"part {k}": part[key] for k, (part, key) in enumerate(parts)}
    if plain > BYTES:
        first = 1 + max((i for i in ids.values() if i < BYTES), default=-1)
        down = plain - BYTES - first
        ids = {key: i - down if i >= plain else i % BYTES for key, i in ids.items()}
        text["vocab_size"] = min(text["vocab_size"] - down, BYTES + first + 300)
        ids = {key: min(i, text["vocab_size"] - 1) for key, i in ids.items()}
    for k, (part, key) in enumerate(parts):
        part[key] = ids.pop(f"part {k}")
    image = ids.pop("image_token_id")
    return {"text_config": text | ids, "image_token_id": image}
