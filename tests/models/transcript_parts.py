"""Layers that several transcripts of the authors' code use."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def under(weights: Weights, prefix: str) -> Weights:
    """The weights whose names begin with a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def step(model: Any, k: int) -> Weights:
    return under(model.state_dict(), f"connector.steps.{k}.")


def affine(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def normed(weights: Weights, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps)


def hidden(model: Any, inputs: dict[str, Any], layer: int) -> Tensor:
    """A hidden state of the first tower, with its class token."""
    return model.vocabularies[0].tower(inputs["pixel_values"], output_hidden_states=True).hidden_states[layer]


def heads_of(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, padding: Tensor | None = None) -> Tensor:
    q, k, v = (heads_of(x, heads) for x in (q, k, v))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    scores = scores if padding is None else scores.masked_fill(padding, -math.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def two_layers(weights: Weights, x: Tensor) -> Tensor:
    return affine(weights, "layers.2", F.gelu(affine(weights, "layers.0", x)))


def square(x: Tensor) -> Tensor:
    side = math.isqrt(x.shape[1])
    return x.transpose(1, 2).reshape(len(x), -1, side, side)


def sines(width: int, places: Tensor) -> Tensor:
    omega = 1 / 10000 ** (torch.arange(width // 2).float() / (width / 2))
    angles = places.flatten().float()[:, None] * omega
    return torch.cat([angles.sin(), angles.cos()], 1)


def sine_table(width: int, rows: int, columns: int) -> Tensor:
    """Positions of a grid: the column first, then the row."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.cat([sines(width // 2, column), sines(width // 2, row)], 1)
