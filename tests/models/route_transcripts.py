"""Logits of rows whose image tokens take other parameters in the language model, as the authors' public code does.

For one prompt without padding. The layers of Llama are written out; a row says what each of their modules computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .transcript_parts import Weights, affine, heads_of, hidden, normed, step, two_layers, under

Module = Callable[[int, str, Tensor], Tensor]  # layer, name of a module in it, input -> output


def rms(weights: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weights[f"{name}.weight"]


def layer_of(model: Any, k: int) -> Weights:
    return under(model.state_dict(), f"language_model.layers.{k}.")


def branch_of(model: Any, k: int, name: str, route: int = 0) -> Weights:
    """The branch of a module of a layer."""
    path = f"language_model.layers.{k}.{name}"
    return under(model.state_dict(), f"routes.{route}.blocks.{model.routes[route].paths.index(path)}.branches.0.")


def gated(weights: Weights, x: Tensor) -> Tensor:
    return affine(weights, "down_proj", F.silu(affine(weights, "gate_proj", x)) * affine(weights, "up_proj", x))


def plain(model: Any, k: int, name: str, x: Tensor) -> Tensor:
    """What a module of Llama computes."""
    if name.endswith("norm"):
        return rms(layer_of(model, k), name, x, model.config.text_config.rms_norm_eps)
    return gated(under(layer_of(model, k), "mlp."), x) if name == "mlp" else affine(layer_of(model, k), name, x)


def rotated(x: Tensor, places: Tensor, theta: float) -> Tensor:
    """Rotary positions of heads (B, H, T, D)."""
    half = x.shape[-1] // 2
    angles = places[:, None].float() / theta ** (torch.arange(half) / half)
    cos, sin = (torch.cat([found, found], -1) for found in (angles.cos(), angles.sin()))
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def llama_logits(model: Any, inputs: dict[str, Any], image: Tensor, module: Module, places: Tensor | None) -> Tensor:
    """The logits of Llama with image tokens (B, L, E) at their places; `module` computes what is in a layer."""
    text, ids = model.config.text_config, inputs["input_ids"]
    table = model.language_model.get_input_embeddings()
    x = table(ids).masked_scatter((ids == model.config.image_token_id)[..., None], image)
    places = torch.arange(ids.shape[1]) if places is None else places
    future = torch.full((ids.shape[1],) * 2, -math.inf).triu(1)
    shared, theta = text.num_attention_heads // text.num_key_value_heads, text.rope_parameters["rope_theta"]
    for k in range(text.num_hidden_layers):
        y = module(k, "input_layernorm", x)
        q, key, v = (module(k, f"self_attn.{part}_proj", y) for part in "qkv")
        q, key, v = heads_of(q, text.num_attention_heads), *(heads_of(z, text.num_key_value_heads) for z in (key, v))
        q, key = (rotated(z, places, theta) for z in (q, key))
        key, v = (z.repeat_interleave(shared, 1) for z in (key, v))
        found = (q @ key.mT / math.sqrt(q.shape[-1]) + future).softmax(-1) @ v
        x = x + module(k, "self_attn.o_proj", found.transpose(1, 2).flatten(2))
        x = x + module(k, "mlp", module(k, "post_attention_layernorm", x))
    return F.linear(
        rms(under(model.state_dict(), "language_model."), "norm", x, text.rms_norm_eps), model.lm_head.weight
    )


def cogvlm(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    tower = model.vocabularies[0].tower
    x = affine(step(model, 0), "linear", tower(inputs["pixel_values"]).last_hidden_state[:, 1:])
    x, w = F.gelu(normed(step(model, 1), "norm", x)), step(model, 3)
    x = affine(w, "down", F.silu(affine(w, "gate", x)) * affine(w, "up", x))
    ends = step(model, 4)
    image = torch.cat([ends["start"], x, ends["end"]], 1)
    at = (inputs["input_ids"][0] == model.config.image_token_id).nonzero()[:, 0].tolist()
    expert = torch.zeros(inputs["input_ids"].shape[1], dtype=torch.bool)
    expert[at[:-1]] = True
    places, place = [], -1
    for k in range(len(expert)):
        inner = [at[0] < j < at[-1] for j in (k - 1, k)]
        place += not inner[1] or inner[0] != inner[1]
        places.append(place)

    def module(k: int, name: str, x: Tensor) -> Tensor:
        if name.endswith("norm"):
            return plain(model, k, name, x)
        w, found = under(branch_of(model, k, name), "module."), torch.empty(0)
        words = plain(model, k, name, x[:, ~expert])
        seen = gated(w, x[:, expert]) if name == "mlp" else F.linear(x[:, expert], w["weight"])
        found = words.new_empty(*x.shape[:2], words.shape[-1])
        found[:, ~expert], found[:, expert] = words, seen
        return found

    return llama_logits(model, inputs, image, module, torch.tensor(places))


def xcomposer2(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    image = two_layers(under(model.state_dict(), "connector."), hidden(model, inputs, -1)[:, 1:])
    mask = inputs["input_ids"] == model.config.image_token_id

    def module(k: int, name: str, x: Tensor) -> Tensor:
        if name == "mlp":
            gate, up = (module(k, f"mlp.{part}_proj", x) for part in ("gate", "up"))
            return module(k, "mlp.down_proj", F.silu(gate) * up)
        found = plain(model, k, name, x)
        if not name.endswith("norm"):
            w = branch_of(model, k, name)
            found[mask] += affine(w, "up", affine(w, "down", x[mask]))
        return found

    return llama_logits(model, inputs, image, module, None)


ROUTED: dict[str, Callable[[Any, dict[str, Any], Any], Tensor]] = {"cogvlm": cogvlm, "xcomposer2": xcomposer2}
