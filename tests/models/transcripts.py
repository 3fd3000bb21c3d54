"""Compute the image tokens of rows as the authors' public code does, written again from reading it.

Each function takes a model of ours and its inputs and returns the image tokens (B, L, E) of one image per prompt. It
shares the weights and the classes of transformers with the model, and none of our own parts. `about.code` of a row
names the file that was read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GotOcr2VisionConfig
from transformers.models.got_ocr2.modeling_got_ocr2 import GotOcr2VisionEncoder

from .resampler_transcripts import llava_uhd, minicpm_v, qwen_vl
from .test_sam import fill
from .transcript_parts import (
    Weights,
    affine,
    heads_of,
    hidden,
    normed,
    softmax_attention,
    square,
    step,
    two_layers,
    under,
)


def yi_vl(model: Any, inputs: dict[str, Any]) -> Tensor:
    x = hidden(model, inputs, -2)[:, 1:]
    x = normed(step(model, 1), "norm", affine(step(model, 0), "linear", x))
    return normed(step(model, 4), "norm", affine(step(model, 3), "linear", F.gelu(x)))


def minigpt_v2(model: Any, inputs: dict[str, Any]) -> Tensor:
    x = model.vocabularies[0].tower(inputs["pixel_values"]).last_hidden_state[:, 1:]
    return affine(step(model, 1), "linear", x.reshape(len(x), x.shape[1] // 4, -1))


def convllava(model: Any, inputs: dict[str, Any]) -> Tensor:
    tower = model.vocabularies[0].tower
    x = tower.embeddings(inputs["pixel_values"])
    for stage in tower.encoder.stages:
        x = stage(x)
    x = x.permute(0, 2, 3, 1).flatten(1, 2)
    weights = model.state_dict()
    return affine(weights, "connector.layers.2", F.gelu(affine(weights, "connector.layers.0", x)))


def mobilevlm(model: Any, inputs: dict[str, Any]) -> Tensor:
    x = square(two_layers(step(model, 0), hidden(model, inputs, -2)[:, 1:]))
    for k, stride in ((1, 1), (2, 2)):
        w, width = under(step(model, k), "block."), x.shape[1]
        y = F.conv2d(x, w["depthwise.weight"], stride=stride, padding=1, groups=width)
        y = F.hardswish(normed(w, "norms.0", y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        scale = F.conv2d(F.adaptive_avg_pool2d(y, 1), w["squeeze.weight"], w["squeeze.bias"]).relu()
        y = y * F.hardsigmoid(F.conv2d(scale, w["excite.weight"], w["excite.bias"]))
        y = normed(w, "norms.1", F.conv2d(y, w["project.weight"]).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = x + y if stride == 1 else y
    return x.flatten(2).transpose(1, 2)


def mobilevlm_v2(model: Any, inputs: dict[str, Any]) -> Tensor:
    x = square(two_layers(step(model, 0), hidden(model, inputs, -2)[:, 1:]))
    x, w = F.adaptive_avg_pool2d(x, tuple(model.config.connector["steps"][1]["to"])), step(model, 2)
    x = F.conv2d(x, w["conv.weight"], w["conv.bias"], padding=1, groups=x.shape[1]) + x
    return x.flatten(2).transpose(1, 2)


def vila(model: Any, inputs: dict[str, Any]) -> Tensor:
    x = hidden(model, inputs, -2)
    side = math.isqrt(x.shape[1])
    x = x.reshape(len(x), side, side, -1)
    if side % 2:
        x = torch.cat([x, torch.zeros_like(x[:, :1])], 1)
        x = torch.cat([x, torch.zeros_like(x[:, :, :1])], 2)
    n, rows, columns, width = x.shape
    x = x.reshape(n, rows, columns // 2, 2 * width).permute(0, 2, 1, 3)
    x = x.reshape(n, columns // 2, rows // 2, 4 * width).flatten(1, 2)
    return two_layers(step(model, 3), normed(step(model, 2), "norm", x))


def c_abstractor(stages: list[Weights], x: Tensor, depth: int, to: tuple[int, int]) -> Tensor:
    """Two stages of blocks with pooling between them: khanrc/honeybee, honeybee/projectors/projectors.py, 2658d5a.

    The blocks are timm's `regnet.Bottleneck` (1.0.31) with SiLU, layer norms, and groups of one channel.
    """

    def norm(name: str, w: Weights, y: Tensor) -> Tensor:
        return normed(w, name, y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    x = square(x)
    for k, stage in enumerate(stages):
        for block in range(depth):
            w = under(stage, f"blocks.{block}.")
            y = F.silu(norm("norms.2", w, F.conv2d(x, w["expand.weight"])))
            y = F.conv2d(y, w["depthwise.weight"], padding=1, groups=y.shape[1])
            y = F.silu(norm("norms.0", w, y))
            gate = F.silu(F.conv2d(y.mean((2, 3), keepdim=True), w["squeeze.weight"], w["squeeze.bias"]))
            y = y * F.conv2d(gate, w["excite.weight"], w["excite.bias"]).sigmoid()
            y = norm("norms.1", w, F.conv2d(y, w["project.weight"]))
            if "shortcut.conv.weight" in w:
                x = norm("shortcut.norm", w, F.conv2d(x, w["shortcut.conv.weight"]))
            x = F.silu(x + y)
        x = F.adaptive_avg_pool2d(x, to) if k == 0 else x
    return x.flatten(2).transpose(1, 2)


def mplug_owl(model: Any, inputs: dict[str, Any]) -> Tensor:
    tower, sizes = model.vocabularies[0].tower, model.config.connector["steps"][0]
    seen = tower.post_layernorm(tower(inputs["pixel_values"]).last_hidden_state)
    x = step(model, 0)["latents"].expand(len(seen), -1, -1)
    for k in range(sizes["depth"]):
        w = under(step(model, 0), f"blocks.{k}.")
        x = normed(w, "query", x)
        keys = torch.cat([x, normed(w, "context", seen)], 1)
        given = (affine(w, f"attention.{part}_proj", y) for part, y in (("q", x), ("k", keys), ("v", keys)))
        x = x + affine(w, "attention.o_proj", softmax_attention(*given, sizes["heads"]))
        y = normed(w, "norm", x)
        y = normed(w, "ff.norm", F.silu(affine(w, "ff.gate", y)) * affine(w, "ff.up", y), 1e-6)
        x = x + affine(w, "ff.down", y)
    return torch.cat([affine(step(model, 1), "linear", x), step(model, 2)["end"].expand(len(x), -1, -1)], 1)


def bliva(model: Any, inputs: dict[str, Any]) -> Tensor:
    out = model.vocabularies[0].tower(inputs["pixel_values"], output_hidden_states=True)
    former, linear, patches = (step(model, 0), "branches.0.steps.2.linear", "branches.1.steps.1.linear")
    part = model.connector.steps[0].branches[0].steps[1]
    queries = part.queries.expand(len(out.last_hidden_state), -1, -1)
    mask = torch.cat([torch.ones(queries.shape[:2], dtype=torch.long), inputs["words_mask"]], 1)
    found = part.qformer(
        input_ids=inputs["words"], attention_mask=mask, query_embeds=queries,
        encoder_hidden_states=out.last_hidden_state,
    ).last_hidden_state[:, : queries.shape[1]]  # fmt: skip
    return torch.cat([affine(former, linear, found), affine(former, patches, out.hidden_states[-2][:, 1:])], 1)


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


def parrot(model: Any, inputs: dict[str, Any]) -> Tensor:
    """For one prompt without padding."""
    w, ids = step(model, 1), inputs["input_ids"][0]
    x = two_layers(step(model, 0), hidden(model, inputs, -2))[0]
    text = model.language_model.get_input_embeddings()(ids[ids != model.config.image_token_id])
    weight = (x[:1] @ text.T / math.sqrt(x.shape[-1])).softmax(-1)
    routing = affine(w, "gate", weight @ text).softmax(-1)[0]
    merged = x * model.config.connector["steps"][1].get("residual", 1.0)
    for k, share in enumerate(routing):
        e = under(w, f"experts.{k}.")
        merged = merged + share * affine(e, "down", F.silu(affine(e, "gate", x)) * affine(e, "up", x))
    return merged[None]


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


def internvl(model: Any, inputs: dict[str, Any]) -> Tensor:
    config, state = model.config.vocabularies[0]["config"], model.state_dict()
    tower = model.vocabularies[0].tower
    patches = tower.embeddings.patch_embeddings(inputs["pixel_values"])
    patches = patches[0] if isinstance(patches, tuple) else patches
    classes = tower.embeddings.cls_token.expand(len(patches), -1, -1)
    x = torch.cat([classes, patches], 1) + tower.embeddings.position_embeddings

    def root_mean_square(w: Weights, name: str, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config["layer_norm_eps"]) * w[f"{name}.weight"]

    for k in range(config["num_hidden_layers"] - 1):
        w = under(state, f"vocabularies.0.tower.encoder.layer.{k}.")
        y = root_mean_square(w, "layernorm_before", x)
        q, key, v = (affine(w, f"attention.{part}_proj", y) for part in "qkv")
        q, key = root_mean_square(w, "attention.q_norm", q), root_mean_square(w, "attention.k_norm", key)
        y = affine(w, "attention.projection_layer", softmax_attention(q, key, v, config["num_attention_heads"]))
        x = x + y * w["lambda_1"]
        y = root_mean_square(w, "layernorm_after", x)
        x = x + affine(w, "mlp.fc2", F.gelu(affine(w, "mlp.fc1", y))) * w["lambda_2"]
    return two_layers(under(state, "connector."), x[:, 1:])


def sam_tokens(vocabulary: Any, pixels: Tensor) -> Tensor:
    """Vary's vocabulary: SAM's encoder, as GOT-OCR of transformers has it, and two convolutions."""
    sizes = vocabulary.sizes
    encoder = GotOcr2VisionEncoder(
        GotOcr2VisionConfig(
            hidden_size=sizes["hidden"], output_channels=sizes["neck"], num_hidden_layers=sizes["depth"],
            num_attention_heads=sizes["heads"], image_size=sizes["image_size"], patch_size=sizes["patch"],
            window_size=sizes["window"], global_attn_indexes=sizes["global_blocks"], mlp_dim=sizes["mlp"],
        )
    )  # fmt: skip
    fill(encoder, vocabulary)
    x = encoder(pixels).last_hidden_state
    for name in ("net_2", "net_3"):
        x = F.conv2d(x, vocabulary.state_dict()[f"{name}.weight"], stride=2, padding=1)
    return x.flatten(2).permute(0, 2, 1)


def vary_tiny(model: Any, inputs: dict[str, Any]) -> Tensor:
    seen = sam_tokens(model.vocabularies[0], inputs["pixel_values"])
    return affine(model.state_dict(), "connector.0.linear", seen)


def vary(model: Any, inputs: dict[str, Any]) -> Tensor:
    low, high = inputs["pixel_values"]
    first = model.vocabularies[0].tower(low, output_hidden_states=True).hidden_states[-2][:, 1:]
    seen = (first, sam_tokens(model.vocabularies[1], high))
    return torch.cat([affine(model.state_dict(), f"connector.{k}.linear", x) for k, x in enumerate(seen)], -1)


def dreamllm(model: Any, inputs: dict[str, Any]) -> Tensor:
    return affine(model.state_dict(), "connector.linear", hidden(model, inputs, -2)[:, 1:])


def vita(model: Any, inputs: dict[str, Any]) -> Tensor:
    """They halve the features; our first layer has half of their weights."""
    x = model.vocabularies[0].tower(inputs["pixel_values"]).last_hidden_state[:, 1:] * 0.5
    side = math.isqrt(x.shape[1])
    x = x.reshape(len(x), side, side, -1)
    n, rows, columns, width = x.shape
    x = x.reshape(n, rows, columns // 2, 2 * width).permute(0, 2, 1, 3)
    x = x.reshape(n, columns // 2, rows // 2, 4 * width).permute(0, 2, 1, 3).flatten(1, 2)
    w = step(model, 1)
    return two_layers(w | {"layers.0.weight": w["layers.0.weight"] * 2}, x)


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


TOKENS: dict[str, Callable[[Any, dict[str, Any]], Tensor]] = {
    "bliva": bliva,
    "convllava": convllava,
    "dreamllm": dreamllm,
    "eagle": eagle,
    "inf-llava": inf_llava,
    "internvl-1": internvl,
    "llava-uhd": llava_uhd,
    "minicpm-v": minicpm_v,
    "minigpt-v2": minigpt_v2,
    "mobilevlm": mobilevlm,
    "mobilevlm-v2": mobilevlm_v2,
    "mplug-owl": mplug_owl,
    "parrot": parrot,
    "qwen-vl": qwen_vl,
    "slowfast-llava": slowfast,
    "sphinx": sphinx,
    "sphinx-x": sphinx_x,
    "vary-base": vary,
    "vary-tiny": vary_tiny,
    "vary-tiny-paper": vary_tiny,
    "vary-toy": vary,
    "vila2": vila,
    "vita": vita,
    "yi-vl": yi_vl,
}


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
    sizes, weights = model.config.connector["steps"][0], step(model, 0)
    x = weights["latents"].expand(len(seen), -1, -1)
    for k in range(sizes["depth"]):
        w = under(weights, f"blocks.{k}.")
        asked = normed(w, "query", x)
        keys = torch.cat([normed(w, "context", seen), asked], 1)
        given = (affine(w, f"attention.{part}_proj", y) for part, y in (("q", asked), ("k", keys), ("v", keys)))
        x = x + affine(w, "attention.o_proj", softmax_attention(*given, sizes["heads"]))
        x = x + affine(w, "ff.2", F.gelu(affine(w, "ff.0", normed(w, "norm", x))))
    return normed(weights, "norm", x)[:, None]


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


FLAMINGOS: dict[str, Callable[[Any, dict[str, Any], Any], Tensor]] = {
    "cosmo": cosmo_logits,
    "openflamingo": flamingo_logits,
}
