"""Logits of rows whose language model has other layers, as the authors' public code computes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .resampler_transcripts import perceiver
from .transcript_parts import Weights, affine, heads_of, normed, softmax_attention, step, under


class FlamingoLayer(torch.nn.Module):
    """A layer of a language model behind gated cross-attention to the last image before each token."""

    def __init__(self, layer: Any, weights: Weights, media: Tensor, time: Tensor, heads: int):
        super().__init__()
        self.layer, self.weights, self.media, self.time, self.heads = layer, weights, media, time, heads

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        w, images, each = self.weights, *self.media.shape[1:3]
        media = self.media.flatten(1, 2)
        q = heads_of(affine(w, "attention.q_proj", normed(w, "norm", x)), self.heads)
        k, v = (heads_of(affine(w, f"attention.{part}_proj", media), self.heads) for part in "kv")
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        own = torch.arange(1, images + 1).repeat_interleave(each)
        scores = scores.masked_fill(self.time[:, None, :, None] != own, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(self.time[:, None, :, None] == 0, 0.0)
        found = affine(w, "attention.o_proj", (weights @ v).transpose(1, 2).flatten(2))
        x = x + found * w["gate"].tanh()
        inner = affine(w, "ff.layers.2", F.gelu(affine(w, "ff.layers.0", normed(w, "ff_norm", x))))
        return self.layer(x + inner * w["ff_gate"].tanh(), *args, **kwargs)


def flamingo_media(model: Any, inputs: dict[str, Any]) -> Tensor:
    """The latents (B, 1, M, D) of one image per prompt."""
    seen = model.vocabularies[0].tower(inputs["pixel_values"].flatten(0, -4)).last_hidden_state[:, 1:]
    return perceiver(step(model, 0), model.config.connector["steps"][0], seen)[:, None]


def flamingo_logits(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    """The logits of a causal language model of transformers whose layers are wrapped."""
    return flamingo_language(model, inputs, language, language.transformer.blocks, flamingo_media(model, inputs))


def cosmo_logits(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    """The first latent is for a contrastive loss, and no medium. The first layers see text alone."""
    return flamingo_language(
        model, inputs, language, language.model.decoder.layers, flamingo_media(model, inputs)[:, :, 1:]
    )


def flamingo_language(model: Any, inputs: dict[str, Any], language: Any, layers: Any, media: Tensor) -> Tensor:
    fusion = model.config.fusion
    time = (inputs["input_ids"] == model.config.image_token_id).cumsum(-1)
    for block, k in enumerate(range(fusion["first"], len(layers), fusion["every"])):
        own = under(model.state_dict(), f"fusion.blocks.{block}.")
        layers[k] = FlamingoLayer(layers[k], own, media, time, fusion["heads"])
    return language(inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False).logits


def kosmos(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    """A Magneto decoder with xPos. Transformers has no causal language model of these layers alone."""
    state, text = model.state_dict(), model.config.text_config
    tower, w, heads = model.vocabularies[0].tower, step(model, 1), text.num_attention_heads
    seen = F.normalize(tower.post_layernorm(tower(inputs["pixel_values"]).last_hidden_state), dim=-1)
    latents = w["latents"].expand(len(seen), -1, -1)
    media = torch.cat([affine(step(model, 0), "linear", seen), latents], 1)
    given = (affine(w, f"blocks.0.attention.{p}_proj", x) for p, x in (("q", latents), ("k", media), ("v", media)))
    image = affine(w, "blocks.0.attention.o_proj", softmax_attention(*given, heads))
    ids = inputs["input_ids"]
    embedded = F.embedding(ids, state["language_model.embed_tokens.weight"])
    x = embedded.masked_scatter((ids == model.config.image_token_id)[..., None], image) * text.embed_dim**0.5
    future = torch.full((ids.shape[1],) * 2, -math.inf).triu(1)
    for k in range(text.layers):
        w = under(state, f"language_model.layers.{k}.")
        y = normed(w, "self_attn_layer_norm", x)
        q, key, v = (heads_of(affine(w, f"self_attn.{part}_proj", y), heads) for part in "qkv")
        q, key = xpos(q / math.sqrt(q.shape[-1]), False), xpos(key, True)
        y = ((q @ key.mT + future).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + affine(w, "self_attn.out_proj", normed(w, "self_attn.inner_attn_ln", y))
        y = F.gelu(affine(w, "ffn.fc1", normed(w, "final_layer_norm", x)))
        x = x + affine(w, "ffn.fc2", normed(w, "ffn.ffn_layernorm", y))
    return F.linear(normed(state, "language_model.layer_norm", x), model.lm_head.weight)


def xpos(x: Tensor, down: bool) -> Tensor:
    """Positions of queries, or of keys (`down`), counted from the middle."""
    length, side = x.shape[-2:]
    first = -(length // 2) - length % 2
    base = (torch.arange(0, side, 2) + 0.4 * side) / (1.4 * side)
    scale = base ** (torch.arange(first, first + length) / 512)[:, None]
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(side // 2) / (side // 2))
    scale = 1 / scale if down else scale
    sin, cos = ((part * scale).repeat_interleave(2, -1) for part in (angles.sin(), angles.cos()))
    other = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
    return x * cos + other * sin


LANGUAGES: dict[str, Callable[[Any, dict[str, Any], Any], Tensor]] = {
    "cosmo": cosmo_logits,
    "kosmos-1": kosmos,
    "openflamingo": flamingo_logits,
}
