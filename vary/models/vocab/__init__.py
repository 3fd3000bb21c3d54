"""Vision vocabularies: networks that encode pixels (B, C, H, W) as tokens (B, N, D).

Belongs here: one file per kind of network and one line in `VOCABULARIES`. May import torch and transformers.
Never here: what happens to the tokens afterwards (`connect/`, `merge.py`), and sizes of named models (`zoo/`).
"""

from __future__ import annotations

from typing import Any

from ...io.errors import ConfigError
from ..connect import build
from .base import VisionFeatures, Vocabulary
from .codes import CodeVocabulary
from .nano import NanoVocabulary
from .native import PackedVocabulary, PatchVocabulary
from .objects import ObjectVocabulary
from .sam import SamVocabulary
from .towers import TowerVocabulary

VOCABULARIES: dict[str, type[Vocabulary]] = {
    "codes": CodeVocabulary,
    "nano": NanoVocabulary,
    "objects": ObjectVocabulary,
    "packed": PackedVocabulary,
    "patch": PatchVocabulary,
    "sam": SamVocabulary,
    "tower": TowerVocabulary,
}
_TOWERS = {  # the names `clip` and `siglip` of older configurations
    "clip": {"model_type": "clip_vision_model", "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    "siglip": {
        "model_type": "siglip_vision_model",
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "vision_use_head": False,
    },
}
_SIZES = {  # key of an older configuration -> (key of transformers, default)
    "image_size": ("image_size", 224),
    "patch": ("patch_size", 16),
    "hidden": ("hidden_size", 768),
    "depth": ("num_hidden_layers", 12),
    "heads": ("num_attention_heads", 12),
    "mlp": ("intermediate_size", 3072),
}


def upgrade(vocabulary: dict[str, Any]) -> dict[str, Any]:
    """Rewrite the configuration of a vocabulary that an older version saved; newer ones are returned as they are."""
    name = vocabulary.get("name")
    if name == "hf":
        return vocabulary | {"name": "tower"}
    if name not in _TOWERS or "config" in vocabulary:
        return vocabulary
    config = dict(_TOWERS[name])
    for old, (key, default) in _SIZES.items():
        config[key] = vocabulary.get(old, default)
    layer = vocabulary.get("layer", -2)
    rest = {k: v for k, v in vocabulary.items() if k not in (*_SIZES, "name", "layer")}
    norm = {"norm": "post_layernorm"} if name == "clip" and layer is None else {}
    return {"name": "tower", "config": config, "layer": layer, **norm, **rest}


def channels_of(vocabulary: dict[str, Any]) -> int:
    """Return the channels of the pixels of a vocabulary: those of its kind, or of the tower that it describes."""
    return vocabulary.get("config", {}).get("num_channels", VOCABULARIES[vocabulary["name"]].channels)


def build_vocabulary(name: str, **sizes: Any) -> Vocabulary:
    """Build a vocabulary with random weights from its configuration; `preprocess` changes nothing.

    Raises:
        ValueError: The name is unknown.
    """
    sizes = upgrade({"name": name, **sizes})
    name = sizes["name"]
    if name not in VOCABULARIES:
        raise ConfigError(f"unknown vocabulary {name!r}; allowed: {', '.join(VOCABULARIES)}")
    return build(VOCABULARIES, sizes)


__all__ = [
    "VOCABULARIES",
    "CodeVocabulary",
    "NanoVocabulary",
    "ObjectVocabulary",
    "PackedVocabulary",
    "PatchVocabulary",
    "SamVocabulary",
    "TowerVocabulary",
    "VisionFeatures",
    "Vocabulary",
    "build_vocabulary",
    "channels_of",
    "upgrade",
]
