"""Image tokens of rows with a resampler, as the authors' public code computes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .transcript_parts import Weights, affine, normed, sine_table, softmax_attention, step, under


def qwen_tower(model: Any, pixels: Tensor) -> Tensor:
    """Patches without a class token."""
    tower = model.vocabularies[0].tower
    patches = tower.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
    x = tower.pre_layrnorm.forward(patches + tower.embeddings.position_embedding.weight[1:])  # without our hook
    return tower.encoder(inputs_embeds=x).last_hidden_state


def qwen_vl(model: Any, inputs: dict[str, Any]) -> Tensor:
    x = qwen_tower(model, inputs["pixel_values"])
    return resampled(model, x, (math.isqrt(x.shape[1]),) * 2, False)


def seed_x(model: Any, inputs: dict[str, Any]) -> Tensor:
    """All tiles row by row, then the whole image, each with its place."""
    x, (rows, columns) = qwen_tower(model, inputs["pixel_values"][0]), inputs["image_shapes"][0, 0, :2].tolist()
    x = queried(model, 0, x, (math.isqrt(x.shape[1]),) * 2)
    x = affine(step(model, 2), "linear", normed(step(model, 1), "norm", x, 1e-6))
    x = queried(model, 3, x, (math.isqrt(x.shape[1]),) * 2, 1e-5)
    across = (torch.arange(columns).repeat(rows, 1) + 0.5) / columns
    down = (torch.arange(rows)[:, None].repeat(1, columns) + 0.5) / rows
    places = torch.cat([torch.stack([across, down], -1).flatten(0, 1), torch.tensor([[0.5, 0.5]])])
    x = x + (torch.cat([places, 1 - places], -1) / 2 @ model.arrange.places)[:, None]
    return x.flatten(0, 1)[None]


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


def queried(model: Any, k: int, x: Tensor, grid: tuple[int, int], eps: float = 1e-6, adaptive: bool = False) -> Tensor:
    """One layer of attention from a square of queries to tokens on a grid."""
    w = step(model, k)
    queries, width = w["queries"].shape
    side = math.isqrt(queries)
    table = sine_table(width, side, side)
    there = sine_table(width, *grid)
    if not adaptive:
        wide = table.reshape(1, side, side, width).permute(0, 3, 1, 2)
        there = F.interpolate(wide, grid, mode="bicubic", align_corners=False).permute(0, 2, 3, 1).flatten(0, 2)
    x = normed(w, "key_norm", affine(w, "project", x), eps)
    asked = (normed(w, "query_norm", w["queries"], eps) + table)[None]
    parts = zip(w["attention.in_proj_weight"].chunk(3), w["attention.in_proj_bias"].chunk(3), strict=True)
    q, key, v = (F.linear(given, *own) for given, own in zip((asked, x + there, x), parts, strict=True))
    heads = model.config.connector["steps"][k]["heads"]
    return affine(w, "attention.out_proj", softmax_attention(q, key, v, heads))


def resampled(model: Any, x: Tensor, grid: tuple[int, int], adaptive: bool) -> Tensor:
    x = queried(model, 0, x, grid, adaptive=adaptive)
    return normed(step(model, 1), "norm", x, 1e-6) @ step(model, 2)["linear.weight"].T


def perceiver(weights: Weights, sizes: dict[str, Any], seen: Tensor, used: Tensor | None = None) -> Tensor:
    """Latents that look at tokens, but for those of padding, and at each other: Open Flamingo and xGen-MM."""
    x = weights["latents"].expand(len(seen), -1, -1)
    padding = None if used is None else F.pad(~used, (0, x.shape[1]))[:, None, None]
    for k in range(sizes["depth"]):
        w = under(weights, f"blocks.{k}.")
        asked = normed(w, "query", x)
        keys = torch.cat([normed(w, "context", seen), asked], 1)
        given = (affine(w, f"attention.{part}_proj", y) for part, y in (("q", asked), ("k", keys), ("v", keys)))
        x = x + affine(w, "attention.o_proj", softmax_attention(*given, sizes["heads"], padding))
        x = x + affine(w, "ff.2", F.gelu(affine(w, "ff.0", normed(w, "norm", x))))
    return normed(weights, "norm", x)


def xgen_mm(model: Any, inputs: dict[str, Any]) -> Tensor:
    """The tiles are one picture, cut into runs of tokens row by row, each with a mask of the padding of the image."""
    x = model.vocabularies[0].tower(inputs["pixel_values"][0]).last_hidden_state
    rows, columns, own_high, own_wide = inputs["image_shapes"][0, 0].tolist()
    side, width = math.isqrt(x.shape[1]), x.shape[2]
    picture = x[1:].view(rows, columns, side, side, width).permute(4, 0, 2, 1, 3).flatten(1, 2).flatten(2, 3)
    high, wide = picture.shape[1:]
    used = torch.ones(high, wide, dtype=torch.bool)
    if own_wide / own_high > wide / high:
        padding = (high - int(own_high * (wide / own_wide))) // 2
        used[:padding], used[high - padding :] = False, False
    else:
        padding = (wide - int(own_wide * (high / own_high))) // 2
        used[:, :padding], used[:, wide - padding :] = False, False
    assert not used.all()
    runs = picture.reshape(width, rows * columns, side * side).permute(1, 2, 0)
    used = torch.cat([torch.ones(1, side * side, dtype=torch.bool), used.view(-1, side * side)])
    found = perceiver(step(model, 0), model.config.connector["steps"][0], torch.cat([x[:1], runs]), used)
    return affine(step(model, 1), "linear", found).flatten(0, 1)[None]


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
