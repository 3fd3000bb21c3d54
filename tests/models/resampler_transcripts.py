"""Image tokens of rows with a resampler of one layer, as the authors' public code computes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .transcript_parts import affine, normed, sine_table, softmax_attention, step


def qwen_vl(model: Any, inputs: dict[str, Any]) -> Tensor:
    tower = model.vocabularies[0].tower
    patches = tower.embeddings.patch_embedding(inputs["pixel_values"]).flatten(2).transpose(1, 2)
    x = tower.pre_layrnorm.forward(patches + tower.embeddings.position_embedding.weight[1:])  # without our hook
    x = tower.encoder(inputs_embeds=x).last_hidden_state
    return resampled(model, x, (math.isqrt(x.shape[1]),) * 2, False)


def authors_slices(
    wide: int, high: int, scale: int, most: int, cut: Callable[[float], int]
) -> tuple[list[int] | None, tuple[int, int], tuple[int, int]]:
    """The grid [columns, rows] of slices, and the (width, height) of the whole image and of a slice."""

    def ensure(length: float, unit: int) -> int:
        return max(cut(length / unit) * unit, unit)

    def best(width: float, height: float) -> tuple[int, int]:
        r = width / height
        height = int(scale / math.sqrt(r))
        return ensure(int(height * r), 14), ensure(height, 14)

    multiple = min(math.ceil(wide * high / (scale * scale)), most)
    if multiple <= 1:
        return None, best(wide, high), (0, 0)
    chosen, least = [1, 1], math.inf
    for number in (multiple - 1, multiple, multiple + 1):
        if number == 1 or number > most:
            continue
        for m in range(1, number + 1):
            if number % m:
                continue
            error = abs(math.log(wide / high) - math.log(m / (number // m)))
            if error < least:
                chosen, least = [m, number // m], error
    return chosen, best(wide, high), best(ensure(wide, chosen[0]) / chosen[0], ensure(high, chosen[1]) / chosen[1])


def patches_of(tower: Any, pixels: Tensor, classes: int) -> Tensor:
    """The state before the last layer of a tower, with positions interpolated to the size of an image (1, C, H, W)."""
    maps, stored = tower.embeddings.patch_embedding(pixels), tower.embeddings.position_embedding.weight
    side = math.isqrt(len(stored) - classes)
    square = stored[classes:].T.reshape(1, -1, side, side)
    there = F.interpolate(square, maps.shape[-2:], mode="bicubic", align_corners=False)
    x = (maps + there).flatten(2).transpose(1, 2)
    if classes:
        x = torch.cat([(tower.embeddings.class_embedding + stored[0])[None, None], x], 1)
        x = tower.pre_layrnorm(x)
    for layer in tower.encoder.layers[:-1]:
        x = layer(x, attention_mask=None)
    return x[:, classes:]


def resampled(model: Any, x: Tensor, grid: tuple[int, int], adaptive: bool) -> Tensor:
    w = step(model, 0)
    queries, width = w["queries"].shape
    side = math.isqrt(queries)
    table = sine_table(width, side, side)
    there = sine_table(width, *grid)
    if not adaptive:
        wide = table.reshape(1, side, side, width).permute(0, 3, 1, 2)
        there = F.interpolate(wide, grid, mode="bicubic", align_corners=False).permute(0, 2, 3, 1).flatten(0, 2)
    x = normed(w, "key_norm", affine(w, "project", x), 1e-6)
    asked = (normed(w, "query_norm", w["queries"], 1e-6) + table)[None]
    parts = zip(w["attention.in_proj_weight"].chunk(3), w["attention.in_proj_bias"].chunk(3), strict=True)
    q, k, v = (F.linear(given, *own) for given, own in zip((asked, x + there, x), parts, strict=True))
    x = affine(w, "attention.out_proj", softmax_attention(q, k, v, model.config.connector["steps"][0]["heads"]))
    return normed(step(model, 1), "norm", x, 1e-6) @ step(model, 2)["linear.weight"].T


def llava_uhd(model: Any, inputs: dict[str, Any]) -> Tensor:
    high, wide = inputs["image_shapes"][0, 0, 2:].tolist()
    scale, views = model.config.vocabularies[0]["preprocess"]["size"], inputs["pixel_values"][0]
    grid, whole, own = authors_slices(wide, high, scale, 6, math.floor)
    assert grid == [2, 2]
    found = []
    for view, (width, height) in zip(views, [own] * 4 + [whole], strict=True):
        x = patches_of(model.vocabularies[0].tower, view[None, :, :height, :width], 1)
        found.append(resampled(model, x, (height // 14, width // 14), False))
    return torch.cat(found, 1)


def minicpm_v(model: Any, inputs: dict[str, Any]) -> Tensor:
    high, wide = inputs["image_shapes"][0, 0, 2:].tolist()
    scale, views = model.config.vocabularies[0]["preprocess"]["size"], inputs["pixel_values"][0]
    grid, whole, own = authors_slices(wide, high, scale, 9, round)
    assert grid == [2, 1]
    tower, found = model.vocabularies[0].tower, []
    for view, (width, height) in zip(views, [whole, own, own], strict=True):
        x = tower.post_layernorm(patches_of(tower, view[None, :, :height, :width], 0))
        found.append(resampled(model, x, (height // 14, width // 14), True))
    return torch.cat(found, 1)
