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

from .resampler_transcripts import resampled
from .transcript_parts import (
    Weights,
    affine,
    heads_of,
    hidden,
    normed,
    sine_table,
    sines,
    softmax_attention,
    square,
    step,
    two_layers,
    under,
)

Module = Callable[[int, str, Tensor], Tensor]  # layer, name of a module in it, input -> output


def rms(weights: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weights[f"{name}.weight"]


def layer_of(model: Any, k: int) -> Weights:
    return under(model.state_dict(), f"language_model.layers.{k}.")


def branch_of(model: Any, path: str, route: int = 0, tile: int = 0) -> Weights:
    """The branch of a module, by the path of the module."""
    block = model.routes[route].blocks[model.routes[route].paths.index(path)]
    return dict(block.branches[tile].state_dict())


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


def llama_logits(
    model: Any,
    inputs: dict[str, Any],
    image: Tensor,
    module: Module,
    places: Tensor | None = None,
    front: Tensor | None = None,
) -> Tensor:
    """The logits of Llama with image tokens (B, L, E) at their places; `module` computes what is in a layer.

    `front` (B, 1, E) is a token before all others that none of them sees; it has no logits.
    """
    text, ids = model.config.text_config, inputs["input_ids"]
    table = model.language_model.get_input_embeddings()
    x = table(ids).masked_scatter((ids == model.config.image_token_id)[..., None], image)
    x = x if front is None else torch.cat([front, x], 1)
    places = torch.arange(x.shape[1]) if places is None else places
    future = torch.full((x.shape[1],) * 2, -math.inf).triu(1)
    if front is not None:
        future[1:, 0] = -math.inf
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
    x = x if front is None else x[:, 1:]
    return F.linear(
        rms(under(model.state_dict(), "language_model."), "norm", x, text.rms_norm_eps), model.lm_head.weight
    )


def cogvlm(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    pixels = inputs["pixel_values"].flatten(0, -4)  # frames of a video are views of one image
    x, first = model.vocabularies[0].tower(pixels).last_hidden_state[:, 1:], 0
    if model.config.connector["steps"][0]["name"] == "fold":  # CogVLM2
        w, first = step(model, 1), 2
        kernel = w["linear.weight"].unflatten(1, (2, 2, -1)).permute(0, 3, 1, 2)
        x = F.conv2d(square(x), kernel, w["linear.bias"], stride=2).flatten(2).transpose(1, 2)
    x = affine(step(model, first), "linear", x)
    x, w = F.gelu(normed(step(model, first + 1), "norm", x)), step(model, first + 3)
    x = affine(w, "down", F.silu(affine(w, "gate", x)) * affine(w, "up", x))
    start, end = (step(model, first + 4)[side].expand(len(x), -1, -1) for side in ("start", "end"))
    seen = inputs["input_ids"][0] == model.config.image_token_id
    expert, inner = seen & F.pad(seen[1:], (0, 1)), seen & F.pad(seen[1:], (0, 1)) & F.pad(seen[:-1], (1, 0))
    places = (~(inner & F.pad(inner[:-1], (1, 0)))).cumsum(0) - 1

    def module(k: int, name: str, x: Tensor) -> Tensor:
        if name.endswith("norm") or not model.routes:  # CogVLM2-Video has no experts
            return plain(model, k, name, x)
        w = under(branch_of(model, f"language_model.layers.{k}.{name}"), "module.")
        words = plain(model, k, name, x[:, ~expert])
        seen = gated(w, x[:, expert]) if name == "mlp" else F.linear(x[:, expert], w["weight"])
        found = words.new_empty(*x.shape[:2], words.shape[-1])
        found[:, ~expert], found[:, expert] = words, seen
        return found

    return llama_logits(model, inputs, torch.cat([start, x, end], 1), module, places)


def xcomposer2(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    image = two_layers(under(model.state_dict(), "connector."), hidden(model, inputs, -1)[:, 1:])
    return partial_lora(model, inputs, image)


def partial_lora(model: Any, inputs: dict[str, Any], image: Tensor) -> Tensor:
    """Image tokens take low-rank branches in every linear layer."""
    mask = inputs["input_ids"] == model.config.image_token_id

    def module(k: int, name: str, x: Tensor) -> Tensor:
        if name == "mlp":
            gate, up = (module(k, f"mlp.{part}_proj", x) for part in ("gate", "up"))
            return module(k, "mlp.down_proj", F.silu(gate) * up)
        found = plain(model, k, name, x)
        if not name.endswith("norm"):
            path = f"language_model.layers.{k}.{name}"
            route = next(r for r, own in enumerate(model.routes) if path in own.paths)
            w, scaling = branch_of(model, path, route), model.config.routes[route].get("scale", 1.0)
            found[mask] += affine(w, "up", affine(w, "down", x[mask])) * scaling
        return found

    return llama_logits(model, inputs, image, module)


def xcomposer2_hd(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    """The whole image, then its tiles, both row by row with an end of row; four patches per token."""
    views, (h, w) = inputs["pixel_values"][0], inputs["image_shapes"][0, 0, :2].tolist()
    x = model.vocabularies[0].tower(views, output_hidden_states=True).hidden_states[-1][:, 1:]
    side, width = math.isqrt(x.shape[1]), x.shape[2]
    maps = x.reshape(len(x), side, side, width)
    if side % 2:  # of the miniature alone
        maps, side = F.pad(maps, (0, 0, 0, 1, 0, 1)), side + 1
    half = side // 2
    maps = (
        maps.reshape(len(x), half, 2, half, 2, width).permute(0, 1, 3, 2, 4, 5).reshape(len(x), half, half, 4 * width)
    )
    maps = two_layers(step(model, 1), maps)
    end, separator = model.arrange.newline, model.arrange.separator
    assert h * w + 1 == len(maps)

    def rows(found: Tensor) -> Tensor:
        ends = end.expand(len(found), 1, -1)
        return torch.cat([found, ends], 1).flatten(0, 1)

    tiles = maps[1:].reshape(h, w, half, half, -1).permute(0, 2, 1, 3, 4).reshape(h * half, w * half, -1)
    return partial_lora(model, inputs, torch.cat([rows(maps[0]), separator, rows(tiles)])[None])


def mplug_owl2(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    tower, sizes = model.vocabularies[0].tower, model.config.connector["steps"][0]
    seen = tower.post_layernorm(tower(inputs["pixel_values"]).last_hidden_state)
    x, side = step(model, 0)["latents"].expand(len(seen), -1, -1), math.isqrt(seen.shape[1])
    grid = torch.cat([torch.zeros(1, seen.shape[-1]), sine_table(seen.shape[-1], side, side)])
    line = sines(x.shape[-1], torch.arange(x.shape[1]))
    for k in range(sizes["depth"]):
        w = under(step(model, 0), f"blocks.{k}.")
        x = normed(w, "query", x)
        values = torch.cat([x, normed(w, "context", seen)], 1)
        asked = (x + line, values + torch.cat([line, grid]), values)
        given = (affine(w, f"attention.{part}_proj", y) for part, y in zip("qkv", asked, strict=True))
        x = x + affine(w, "attention.o_proj", softmax_attention(*given, sizes["heads"]))
        y = normed(w, "norm", x)
        y = normed(w, "ff.norm", F.silu(affine(w, "ff.gate", y)) * affine(w, "ff.up", y), 1e-6)
        x = x + affine(w, "ff.down", y)
    image = torch.cat([affine(step(model, 1), "linear", x), step(model, 2)["end"].expand(len(x), -1, -1)], 1)
    kinds = (inputs["input_ids"] == model.config.image_token_id).long()

    def module(k: int, name: str, x: Tensor) -> Tensor:
        words = plain(model, k, name, x)
        if not name.endswith(("norm", "k_proj", "v_proj")):
            return words
        w = under(branch_of(model, f"language_model.layers.{k}.{name}"), "module.")
        if name.endswith("norm"):
            both = [words, x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w["weight"]]
        else:
            both = [words, F.linear(x, w["weight"])]
        return torch.stack(both).gather(0, kinds[None, ..., None].expand(1, *words.shape))[0]

    return llama_logits(model, inputs, image, module)


def lynx(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    w, sizes = step(model, 0), model.config.connector["steps"][0]
    seen = hidden(model, inputs, -1)
    x = w["latents"].expand(len(seen), -1, -1)
    for k in range(sizes["depth"]):
        own = under(w, f"blocks.{k}.")
        asked, media = normed(own, "query", x), normed(own, "context", seen)
        given = (affine(own, f"attention.{part}_proj", y) for part, y in (("q", asked), ("k", media), ("v", media)))
        x = affine(own, "attention.o_proj", softmax_attention(*given, sizes["heads"])) + x
        x = affine(own, "ff.2", F.gelu(affine(own, "ff.0", normed(own, "norm", x)))) + x
    image = normed(w, "norm", x)
    for k, layer in enumerate(language.model.layers):
        if k % model.config.routes[0]["every"] == 0:
            language.model.layers[k] = Lynx(layer, branch_of(model, f"language_model.layers.{k}"))
    return spoken(model, inputs, image, language)


def mixed(w: Weights, x: Tensor, shares: Tensor) -> Tensor:
    """Two adapters with one first layer; the second layers are convolutions in two groups."""
    inner = affine(w, "down", x).transpose(1, 2)
    both = (F.conv1d(inner, w[f"up.{k}.weight"], w[f"up.{k}.bias"], groups=2).transpose(1, 2) for k in range(2))
    return sum((found * shares[..., k, None] for k, found in enumerate(both)), x)


def lavin(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    tower = model.vocabularies[0].tower
    patches = tower.embeddings.patch_embedding(inputs["pixel_values"]).flatten(2).transpose(1, 2)
    first = tower.embeddings.class_embedding.expand(len(patches), 1, -1)
    x = tower.pre_layrnorm(torch.cat([first, patches], 1) + tower.embeddings.position_embedding.weight)
    states = [x]
    for k, layer in enumerate(tower.encoder.layers):
        path = f"vocabularies.0.tower.encoder.layers.{k}.layer_norm1"
        w, y = branch_of(model, path, 1), normed(model.state_dict(), path, x)
        y = mixed(w, y, (affine(w, "router", y) / 10).softmax(-1))
        q, key, v = (getattr(layer.self_attn, f"{part}_proj")(y) for part in "qkv")
        x = x + layer.self_attn.out_proj(softmax_attention(q, key, v, layer.self_attn.num_heads))
        x = x + layer.mlp(layer.layer_norm2(x))
        states.append(x)
    x = torch.cat([states[k][:, :1] for k in model.config.vocabularies[0]["layer"]], 1)
    w = step(model, 2)
    image = affine(w, "layers.2", F.silu(affine(w, "layers.0", x)))

    def module(k: int, name: str, x: Tensor) -> Tensor:
        found = plain(model, k, name, x)
        if name != "input_layernorm":
            return found
        w = branch_of(model, f"language_model.layers.{k}.{name}")
        return mixed(w, found, (affine(w, "router", found[:, 0]) / 10).softmax(-1)[:, None])

    return llama_logits(model, inputs, image, module, front=model.fusion.kinds.weight[None, 1:])


class Lynx(torch.nn.Module):
    """A layer with an adapter behind it."""

    def __init__(self, layer: Any, weights: Weights):
        super().__init__()
        self.layer, self.weights = layer, weights

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        x, w = self.layer(x, **kwargs), self.weights
        return affine(w, "up", F.silu(affine(w, "down", normed(w, "norm", x)))) * w["scale"] + x


def spoken(model: Any, inputs: dict[str, Any], image: Tensor, language: Any) -> Tensor:
    """The logits of a causal language model of transformers with image tokens at their places."""
    embedded = language.get_input_embeddings()(inputs["input_ids"])
    places = (inputs["input_ids"] == model.config.image_token_id)[..., None]
    return language(inputs_embeds=embedded.masked_scatter(places, image), use_cache=False).logits


def moe_llava(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    image = two_layers(under(model.state_dict(), "connector."), hidden(model, inputs, -2)[:, 1:])
    for k, layer in enumerate(language.model.layers):
        if k % 2 == 0:
            layer.mlp = Top2(layer.mlp, branch_of(model, f"language_model.layers.{k}.mlp"))
    return spoken(model, inputs, image, language)


class Top2(torch.nn.Module):
    """Two of four experts for each token, chosen and weighted by their probabilities; every expert has room for all."""

    def __init__(self, mlp: Any, weights: Weights):
        super().__init__()
        self.mlp, self.weights = mlp, weights
        self.l_aux: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        tokens, w = x.reshape(-1, x.shape[-1]), self.weights
        logits = affine(w, "router", tokens)
        gates = F.softmax(logits, dim=1)
        mask1 = F.one_hot(gates.argmax(1), gates.shape[1])
        mask2 = F.one_hot(logits.masked_fill(mask1.bool(), -math.inf).argmax(1), gates.shape[1])
        self.l_aux = torch.mean(gates.mean(0) * mask1.float().mean(0)) * gates.shape[1] ** 2
        gates1, gates2 = (gates * mask1).sum(1), (gates * mask2).sum(1)
        combined = (gates1[:, None] * mask1 + gates2[:, None] * mask2) / (gates1 + gates2)[:, None]
        outputs = torch.stack([self.mlp(tokens), *(gated(under(w, f"experts.{k}."), tokens) for k in range(3))])
        return torch.einsum("se,esm->sm", combined, outputs).reshape(x.shape)


def tinygpt_v(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    seen, part = model.vocabularies[0].tower(inputs["pixel_values"]).last_hidden_state, model.connector.steps[0]
    queries = part.queries.expand(len(seen), -1, -1)
    found = part.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
    image = affine(step(model, 2), "linear", affine(step(model, 1), "linear", found))
    for k, layer in enumerate(language.model.layers):
        layer.self_attn = NormedAttention(layer.self_attn, branch_of(model, f"language_model.layers.{k}.self_attn"))
    return spoken(model, inputs, image, language)


class NormedAttention(torch.nn.Module):
    """The attention of a layer with an RMS norm behind it."""

    def __init__(self, attention: Any, weights: Weights):
        super().__init__()
        self.attention, self.weights = attention, weights

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        found, *rest = self.attention(*args, **kwargs)
        return (rms(self.weights, "norm", found, 1e-6), *rest)


def monkey(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    """Every tile goes through the tower alone, with its own branches, and the whole image without them, at last."""
    tower, found = model.vocabularies[0].tower, []
    for idx, view in enumerate(inputs["pixel_values"][0]):
        patches = tower.embeddings.patch_embedding(view[None]).flatten(2).transpose(1, 2)
        x = tower.pre_layrnorm.forward(patches + tower.embeddings.position_embedding.weight[1:])  # without our hook
        for k, layer in enumerate(tower.encoder.layers):
            branches = [lora(model, f"vocabularies.0.tower.encoder.layers.{k}.", idx, route) for route in range(2)]
            y = layer.layer_norm1(x)
            q, key, v = (
                getattr(layer.self_attn, f"{p}_proj")(y) + branches[0](f"self_attn.{p}_proj", y) for p in "qkv"
            )
            y = softmax_attention(q, key, v, layer.self_attn.num_heads)
            x = x + layer.self_attn.out_proj(y) + branches[0]("self_attn.out_proj", y)
            x = x + layer.mlp(layer.layer_norm2(x)) + branches[1]("mlp", x)
        found.append(resampled(model, x, (math.isqrt(x.shape[1]),) * 2, False))
    return spoken(model, inputs, torch.cat(found, 1), language)


def lora(model: Any, layer: str, idx: int, route: int) -> Callable[[str, Tensor], Tensor]:
    """What the branch of a tile adds to a module of a layer of the tower."""

    def added(name: str, x: Tensor) -> Tensor:
        if idx == 4:
            return torch.zeros(())
        w = branch_of(model, layer + name, route, idx)
        return affine(w, "up", affine(w, "down", x)) * w["scale"]

    return added


ROUTED: dict[str, Callable[[Any, dict[str, Any], Any], Tensor]] = {
    "cogvlm": cogvlm,
    "cogvlm2": cogvlm,
    "cogvlm2-video": cogvlm,
    "lavin": lavin,
    "lynx": lynx,
    "moe-llava": moe_llava,
    "monkey": monkey,
    "mplug-owl2": mplug_owl2,
    "tinygpt-v": tinygpt_v,
    "xcomposer-2.5": xcomposer2_hd,
    "xcomposer2": xcomposer2,
    "xcomposer2-4khd": xcomposer2_hd,
}
