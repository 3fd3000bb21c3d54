"""Tensors of a part, fitted to a model that is larger: more tokens, more positions."""

from __future__ import annotations

import torch
from torch import Tensor

from .opt import OFFSET, stretched


def fitted(state: dict[str, Tensor], expected: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Embeddings, output head and OPT's positions in the model's own sizes; everything else as it is."""
    found = {}
    for name, tensor in state.items():
        shape = expected.get(name)
        if shape is not None and tensor.shape != shape and tensor.shape[1:] == shape[1:]:
            if name.endswith("embed_positions.weight"):
                tensor = stretched(tensor, shape[0] - OFFSET)
            elif name.endswith(("embed_tokens.weight", "lm_head.weight")):
                tensor = resized(tensor, shape[0])
        found[name] = tensor
    return found


def resized(rows_VD: Tensor, count: int) -> Tensor:
    """An embedding table for `count` tokens: rows behind the last are cut off, new ones are the mean of the others.

    Checkpoints pad their tables (OPT to 50272, Qwen to 151936); the rows that are cut belong to no token.
    """
    if len(rows_VD) >= count:
        return rows_VD[:count].clone()
    mean = rows_VD.float().mean(0, keepdim=True).to(rows_VD.dtype)
    return torch.cat([rows_VD, mean.expand(count - len(rows_VD), -1)])
