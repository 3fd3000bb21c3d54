"""Make a miniature of any model: the same parts, small sizes, no two sizes of one kind of part alike.

Sizes that differ from each other make a mistake in the wiring of parts an error of shapes.
"""

from __future__ import annotations

from typing import Any

Settings = dict[str, Any]
LAYERS = 3  # of a tower; a language model has one less
SIDE = 8  # images have an eighth of the patches per side
BYTES = 256  # tokens that every miniature has: its tokenizer spells bytes
POSITIONS = 512


def shrink(settings: Settings) -> Settings:
    """Return the settings of a miniature of a model. Grids, layouts, templates and kinds of parts stay the same."""
    found = dict(settings)
    found["vocabularies"] = [_vocabulary(v, k) for k, v in enumerate(settings["vocabularies"])]
    several = isinstance(settings.get("connector"), list)
    connectors = settings["connector"] if several else [settings.get("connector", {"name": "shuffle"})]
    small = [_connector(connector) for connector in connectors]
    found["connector"] = small if several else small[0]
    if settings.get("formulas"):
        found["formulas"] = settings["formulas"] | {"width": 36, "inner": 46, "heads": 2, "encoder": 1, "decoder": 2}
    if settings.get("glyph_head"):
        found["glyph_head"] = settings["glyph_head"] | {"rank": 14}
    found |= _language(settings)
    return found


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
    if size := vocabulary.get("preprocess", {}).get("size"):
        found["preprocess"] = vocabulary["preprocess"] | {"size": round(size * ratio)}
    return found


def _image(size: int, cell: int) -> tuple[int, float]:
    """Return a smaller size of image, a multiple of a cell, and its ratio to the size."""
    small = cell * max(2, size // cell // SIDE)
    return small, small / size


def _tower(config: Settings, k: int) -> tuple[Settings, float]:
    """Shrink the configuration of a tower of transformers."""
    wide = 28 + 8 * k
    small = {
        "hidden_size": wide,
        "intermediate_size": wide + 18,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
    }
    found = config | {key: value for key, value in small.items() if key in config}
    size, patch = config.get("image_size"), config.get("patch_size")
    if not isinstance(size, int) or not isinstance(patch, int):
        return found, 1.0
    found["image_size"], ratio = _image(size, patch)
    return found, ratio


def _connector(connector: Settings) -> Settings:
    found = dict(connector)
    if "squeeze" in connector:
        found["squeeze"] = 12
    if "steps" in connector:
        found["steps"] = [_connector(step) for step in connector["steps"]]
    if "queries" in connector:
        sizes = {"hidden_size": 44, "intermediate_size": 34, "num_hidden_layers": 2, "num_attention_heads": 2}
        found |= {"queries": 6, "config": connector["config"] | sizes}
    return found


def _language(settings: Settings) -> Settings:
    """Shrink the language model and move the ids of its special tokens down to the first ids after the bytes."""
    text = settings["text_config"]
    heads, shared = text.get("num_attention_heads", 4), text.get("num_key_value_heads")
    small: Settings = {
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "intermediate_size": 64,
        "ffn_dim": 48,
        "num_hidden_layers": LAYERS - 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if shared == heads else 2,
        "head_dim": 16,
        "max_position_embeddings": POSITIONS,
    }
    text = text | {key: value for key, value in small.items() if key in text}
    if "partial_rotary_factor" in text.get("rope_parameters", {}):
        text["rope_parameters"] = text["rope_parameters"] | {"partial_rotary_factor": 0.5}  # of a head 8 wide
    ids = {"image_token_id": settings["image_token_id"]}
    ids |= {key: text[key] for key in ("pad_token_id", "bos_token_id", "eos_token_id") if text.get(key) is not None}
    plain = text.get("ordinary_tokens", BYTES)
    if plain > BYTES:
        first = 1 + max((i for i in ids.values() if i < BYTES), default=-1)
        down = plain - BYTES - first
        ids = {key: i - down if i >= plain else i % BYTES for key, i in ids.items()}
        text["vocab_size"] = min(text["vocab_size"] - down, BYTES + first + 300)
    image = ids.pop("image_token_id")
    return {"text_config": text | ids, "image_token_id": image}
