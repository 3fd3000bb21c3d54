"""CLIP's and SigLIP's image towers, in transformers' names below the `vision_model.` level that older versions have."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .key_tables import Table


def _blocks(theirs: str, ours: str) -> Table:
    """The transformer blocks that the two share; q, k and v are one tensor with us."""
    table: Table = []
    for kind in ("weight", "bias"):
        layer, block = f"{theirs}encoder.layers.{{i}}.", f"{ours}blocks.{{i}}."
        separate = tuple(f"{layer}self_attn.{part}_proj.{kind}" for part in "qkv")
        table += [
            (separate, f"{block}attn.qkv.{kind}"),
            (f"{layer}self_attn.out_proj.{kind}", f"{block}attn.proj.{kind}"),
            (f"{layer}layer_norm1.{kind}", f"{block}norm1.{kind}"),
            (f"{layer}layer_norm2.{kind}", f"{block}norm2.{kind}"),
            (f"{layer}mlp.fc1.{kind}", f"{block}mlp.lin1.{kind}"),
            (f"{layer}mlp.fc2.{kind}", f"{block}mlp.lin2.{kind}"),
            (f"{theirs}post_layernorm.{kind}", f"{ours}norm_post.{kind}"),
            (f"{theirs}embeddings.patch_embedding.{kind}", f"{ours}patch_embed.{kind}"),
        ]
    return [*table, (f"{theirs}embeddings.position_embedding.weight", f"{ours}pos_embed")]


def clip(theirs: str, ours: str) -> Table:
    """The table of CLIP's tower under two prefixes. `pre_layrnorm` is the published spelling."""
    return [
        *_blocks(theirs, ours),
        (f"{theirs}embeddings.class_embedding", f"{ours}cls_token"),
        (f"{theirs}pre_layrnorm.{{*}}", f"{ours}norm_pre.{{*}}"),
    ]


def siglip(theirs: str, ours: str) -> Table:
    """The table of SigLIP's tower under two prefixes."""
    return _blocks(theirs, ours)


def clip_sizes(state: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    """Constructor sizes of the tower under our names. CLIP's heads are 64 wide in every published ViT but H/14."""
    patch = state[f"{prefix}patch_embed.weight"]
    cells = state[f"{prefix}pos_embed"].shape[0] - (f"{prefix}cls_token" in state)
    depth = 1 + max(int(k.split(".blocks.")[1].split(".")[0]) for k in state if k.startswith(f"{prefix}blocks."))
    return {
        "image_size": round(cells**0.5) * patch.shape[-1], "patch": patch.shape[-1], "hidden": patch.shape[0],
        "depth": depth, "heads": patch.shape[0] // 64, "mlp": state[f"{prefix}blocks.0.mlp.lin1.bias"].shape[0],
    }  # fmt: skip
