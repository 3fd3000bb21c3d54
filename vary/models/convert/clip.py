"""Read the image towers of CLIP and SigLIP: our names are those of transformers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .key_tables import Table


def tower(theirs: str, ours: str) -> Table:
    """Return the table of a tower under two prefixes."""
    return [(f"{theirs}{{*}}", f"{ours}tower.{{*}}")]


def clip_config(state: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    """Return the sizes of a CLIP tower. Its heads are 64 wide in every published ViT but H/14."""
    patch = state[f"{prefix}embeddings.patch_embedding.weight"]
    cells = state[f"{prefix}embeddings.position_embedding.weight"].shape[0] - 1
    layers = f"{prefix}encoder.layers."
    return {
        "image_size": round(cells**0.5) * patch.shape[-1], "patch_size": patch.shape[-1],
        "hidden_size": patch.shape[0], "num_attention_heads": patch.shape[0] // 64,
        "num_hidden_layers": 1 + max(int(k[len(layers) :].split(".")[0]) for k in state if k.startswith(layers)),
        "intermediate_size": state[f"{layers}0.mlp.fc1.bias"].shape[0],
    }  # fmt: skip
