"""Image tokens of rows with several views of an image or several towers, as the authors' public code computes them."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .transcript_parts import Weights, affine, normed, softmax_attention, square, step, two_layers, under


def slowfast(model: Any, inputs: dict[str, Any]) -> Tensor:
    frames = inputs["pixel_values"][0]
    seen = model.vocabularies[0].tower(frames, output_hidden_states=True).hidden_states[-2][:, 1:]
    x, sizes = two_layers(under(model.state_dict(), "connector."), seen), model.config.arrange
    chosen = torch.linspace(0, len(x), sizes["slow"] + 1).to(torch.int32).tolist()[:-1]
    slow = F.avg_pool1d(x[chosen].transpose(1, 2), kernel_size=2, stride=2).transpose(1, 2).reshape(-1, x.shape[-1])
    cells = F.adaptive_avg_pool2d(square(x), tuple(sizes["fast"]))
    return torch.cat([slow, cells.permute(0, 2, 3, 1).reshape(-1, x.shape[-1])])[None]


def inf_llava(model: Any, inputs: dict[str, Any]) -> Tensor:
    n, w = model.config.connector["steps"][0]["parts"], step(model, 0)
    heads = model.config.connector["steps"][0]["heads"]
    views = model.vocabularies[0].tower(inputs["pixel_values"][0], output_hidden_states=True).hidden_states[-2][:, 1:]
    side = math.isqrt(views.shape[1])
    cells = views.reshape(len(views), side, side, -1)
    crop, stride = cells[1 : n * n + 1], cells[n * n + 1 :]
    big = side * n
    local = torch.cat([torch.cat(list(crop[i * n : (i + 1) * n]), 1) for i in range(n)], 0)
    wide = torch.zeros_like(local)
    for i in range(n):
        for j in range(n):
            wide[i::n, j::n] = stride[i * n + j]

    def look(asked: Tensor, seen: Tensor) -> Tensor:
        asked, seen = asked.flatten(0, 1)[None], seen.flatten(0, 1)[None]
        given = (affine(w, f"attention.{part}_proj", x) for part, x in (("q", asked), ("k", seen), ("v", seen)))
        found = affine(w, "attention.o_proj", softmax_attention(*given, heads)) + asked
        return normed(w, "attention_norm", found).reshape(side, side, -1)

    a, b = torch.zeros_like(local), torch.zeros_like(local)
    for i in range(n):
        for j in range(n):
            block = slice(i * side, (i + 1) * side), slice(j * side, (j + 1) * side)
            a[block] = look(wide[block], local[block])
            b[i::n, j::n] = look(local[i::n, j::n], wide[i::n, j::n])
    down = [affine(w, f"{k}.2", F.gelu(affine(w, f"{k}.0", x))) for k, x in (("local", b), ("strided", a))]
    fused = normed(w, "norm", torch.cat(down, -1) + a + b).permute(2, 0, 1)[None]
    assert fused.shape[-2:] == (big, big)
    small = F.interpolate(fused, (side, side), mode="bilinear", align_corners=False)[0].permute(1, 2, 0).flatten(0, 1)
    return affine(step(model, 1), "linear", torch.stack([views[0], small]).mean(0))[None]


def conv_tokens(tower: Any, pixels: Tensor, repeat: int) -> Tensor:
    """The map of a ConvNeXt, each cell repeated, behind its mean."""
    x = tower(pixels).last_hidden_state.permute(0, 2, 3, 1)
    x = tower.layernorm(x).permute(0, 3, 1, 2).repeat_interleave(repeat, -1).repeat_interleave(repeat, -2)
    x = x.flatten(-2).permute(0, 2, 1)
    return torch.cat([x.mean(1, keepdim=True), x], 1)


def bracketed(views: Tensor, w: Weights) -> Tensor:
    return torch.cat([torch.cat([w["start"][0], view, w["end"][0]]) for view in views])[None]


def sphinx_x(model: Any, inputs: dict[str, Any]) -> Tensor:
    convnext, dino = (vocabulary.tower for vocabulary in model.vocabularies)
    pixels = [given[0] for given in inputs["pixel_values"]]
    x = torch.cat([conv_tokens(convnext, pixels[0], 1), dino(pixels[1]).last_hidden_state], -1)
    return bracketed(normed(step(model, 1), "norm", affine(step(model, 0), "linear", x)), step(model, 2))


def sphinx(model: Any, inputs: dict[str, Any]) -> Tensor:
    blip, clip, convnext, dino = (vocabulary.tower for vocabulary in model.vocabularies)
    pixels, w, former = [given[0] for given in inputs["pixel_values"]], step(model, 0), model.connector.steps[0]
    seen, part = blip(pixels[0]).last_hidden_state, former.branches[0].steps[1]
    queries = part.queries.expand(len(seen), -1, -1)
    found = part.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
    found = normed(w, "branches.0.steps.3.norm", affine(w, "branches.0.steps.2.linear", found))
    whole = clip.post_layernorm(clip(pixels[1]).last_hidden_state)
    x = torch.cat([whole, conv_tokens(convnext, pixels[2], 2), dino(pixels[3]).last_hidden_state], -1)
    x = normed(w, "branches.1.steps.2.norm", affine(w, "branches.1.steps.1.linear", x))
    return bracketed(torch.cat([found, x], 1), step(model, 1))


def eagle(model: Any, inputs: dict[str, Any]) -> Tensor:
    clip, convnext = (vocabulary.tower for vocabulary in model.vocabularies)
    x = clip.embeddings.patch_embedding(inputs["pixel_values"][0]).flatten(2).transpose(1, 2)
    x = x + clip.embeddings.position_embedding.weight[None, 1:]
    x = normed(clip.state_dict(), "pre_layrnorm", x)
    for layer in clip.encoder.layers:
        x = layer(x, None)
        x = x[0] if isinstance(x, tuple) else x
    y = convnext.embeddings(inputs["pixel_values"][1])
    for stage in convnext.encoder.stages:
        y = stage(y)
    return two_layers(under(model.state_dict(), "connector."), torch.cat([x, y.flatten(2).transpose(1, 2)], -1))
