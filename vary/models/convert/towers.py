"""Read the image towers of SAM, CLIP and SigLIP: published names of tensors are ours, under another prefix."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .key_tables import Table


def sam(theirs: str, ours: str) -> Table:
    """Return the key table under two prefixes; SAM's own checkpoints have neither `net_2` nor `net_3`."""
    parts = ("pos_embed", "patch_embed.{*}", "blocks.{*}", "neck.{*}", "net_2.weight", "net_3.weight")
    return [(theirs + part, ours + part) for part in parts]


def transformers_sam(theirs: str, convs: str, ours: str) -> Table:
    """Return the key table to transformers' SAM names (`got_ocr2`), the two convolutions under `convs`."""
    table: Table = [
        (f"{theirs}pos_embed", f"{ours}pos_embed"),
        (f"{theirs}patch_embed.projection.{{*}}", f"{ours}patch_embed.proj.{{*}}"),
        (f"{convs}conv_upsampler1.weight", f"{ours}net_2.weight"),
        (f"{convs}conv_upsampler2.weight", f"{ours}net_3.weight"),
    ]
    for part, own in (("layer_norm1", "norm1"), ("layer_norm2", "norm2"), ("attn", "attn"), ("mlp", "mlp")):
        table.append((f"{theirs}layers.{{i}}.{part}.{{*}}", f"{ours}blocks.{{i}}.{own}.{{*}}"))
    for k, part in enumerate(("conv1", "layer_norm1", "conv2", "layer_norm2")):
        table.append((f"{theirs}neck.{part}.{{*}}", f"{ours}neck.{k}.{{*}}"))
    return table


def sam_sizes(state: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    """Constructor sizes of the network under our names: its relative positions tell windows and heads."""
    positions, patch = state[f"{prefix}pos_embed"], state[f"{prefix}patch_embed.proj.weight"]
    side, hidden = positions.shape[1], positions.shape[3]
    depth = 1 + max(int(k.split(".blocks.")[1].split(".")[0]) for k in state if k.startswith(f"{prefix}blocks."))
    tables = [state[f"{prefix}blocks.{k}.attn.rel_pos_h"].shape for k in range(depth)]
    spans = [(length + 1) // 2 for length, _ in tables]
    windows = [span for span in spans if span != side]
    neck = state[f"{prefix}neck.0.weight"].shape[0]
    convs = [
        state[f"{prefix}{name}.weight"].shape[0] for name in ("net_2", "net_3") if f"{prefix}{name}.weight" in state
    ]
    return {
        "image_size": side * patch.shape[-1], "patch": patch.shape[-1], "hidden": hidden, "depth": depth,
        "heads": hidden // tables[0][1], "mlp": state[f"{prefix}blocks.0.mlp.lin1.bias"].shape[0],
        "window": windows[0] if windows else side, "global_blocks": [k for k, span in enumerate(spans) if span == side],
        "neck": neck, "convs": convs or [2 * neck, 4 * neck],
    }  # fmt: skip


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
