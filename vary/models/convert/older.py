"""Read folders that versions before 0.2 wrote, in which CLIP and SigLIP had other names of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from .files import config_next_to, read_tensors
from .key_tables import Table, rename


def read_model(folder: Path) -> dict[str, Tensor]:
    """Read all tensors of a model of ours, under today's names."""
    return rename(read_tensors(folder), older_names(config_next_to(folder)))


def is_older(folder: Path) -> bool:
    """Return whether a folder holds names that have changed."""
    return len(older_names(config_next_to(folder))) > 1


def older_names(config: dict[str, Any]) -> Table:
    """Return the table from the names in a folder with this `config.json` to today's names."""
    table: Table = []
    for k, vocabulary in enumerate(config.get("vocabularies", [])):
        if vocabulary.get("name") in ("clip", "siglip") and "config" not in vocabulary:
            table += _tower(f"vocabularies.{k}.", f"vocabularies.{k}.tower.")
    return [*table, ("{*}", "{*}")]


def _tower(old: str, new: str) -> Table:
    table: Table = [
        (f"{old}cls_token", f"{new}embeddings.class_embedding"),
        (f"{old}pos_embed", f"{new}embeddings.position_embedding.weight"),
        (f"{old}patch_embed.{{*}}", f"{new}embeddings.patch_embedding.{{*}}"),
        (f"{old}norm_pre.{{*}}", f"{new}pre_layrnorm.{{*}}"),
        (f"{old}norm_post.{{*}}", f"{new}post_layernorm.{{*}}"),
    ]
    block, layer = f"{old}blocks.{{i}}.", f"{new}encoder.layers.{{i}}."
    for kind in ("weight", "bias"):
        separate = tuple(f"{layer}self_attn.{part}_proj.{kind}" for part in "qkv")
        table += [
            (f"{block}attn.qkv.{kind}", separate),
            (f"{block}attn.proj.{kind}", f"{layer}self_attn.out_proj.{kind}"),
            (f"{block}norm1.{kind}", f"{layer}layer_norm1.{kind}"),
            (f"{block}norm2.{kind}", f"{layer}layer_norm2.{kind}"),
            (f"{block}mlp.lin1.{kind}", f"{layer}mlp.fc1.{kind}"),
            (f"{block}mlp.lin2.{kind}", f"{layer}mlp.fc2.{kind}"),
        ]
    return table
