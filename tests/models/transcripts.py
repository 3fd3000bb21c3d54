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

from .resampler_transcripts import llava_uhd, minicpm_v, qwen_vl, seed_x, xgen_mm
from .test_sam import fill
from .transcript_parts import (
    Weights,
    affine,
    hidden,
    normed,
    softmax_attention,
    square,
    step,
    two_layers,
    under,
)
from .view_transcripts import eagle, inf_llava, slowfast, sphinx, sphinx_x


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
    "seed-x": seed_x,
    "slowfast-llava": slowfast,
    "sphinx": sphinx,
    "sphinx-x": sphinx_x,
    "vary-base": vary,
    "vary-tiny": vary_tiny,
    "vary-tiny-paper": vary_tiny,
    "vary-toy": vary,
    "vila2": vila,
    "vita": vita,
    "xgen-mm": xgen_mm,
    "yi-vl": yi_vl,
}
