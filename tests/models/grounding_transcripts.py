"""Logits and predictions of rows with regions, masks, boxes or codes, as the authors' public code computes them.

Written again from reading it; `about.code` of a row names the file. Each function shares the weights and the classes of
transformers with the model, and none of our own parts. For prompts with one image each, without padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import SamConfig, SamModel

from .transcript_parts import Weights, affine, hidden, normed, square, step, two_layers, under


def logits_of(model: Any, inputs: dict[str, Any], language: Any, image: Tensor, region: Tensor | None = None) -> Any:
    """The output of the language model with image tokens, and tokens of regions, at their places."""
    ids = inputs["input_ids"]
    embedded = language.get_input_embeddings()(ids)
    embedded = embedded.masked_scatter((ids == model.config.image_token_id)[..., None], image)
    if region is not None:
        places = (ids == model.config.regions["token"]).nonzero()[: len(region)]
        for (row, place), own in zip(places.tolist(), region, strict=True):
            embedded[row, place] = own
    return language(inputs_embeds=embedded, attention_mask=inputs["attention_mask"], output_hidden_states=True)


def sampled_points(w: Weights, sizes: dict[str, Any], features: Tensor, mask: Tensor) -> Tensor:
    """The token of a region of Ferret, whose points are every n-th cell of its mask in place of random ones."""
    cells = mask.nonzero()
    count = sizes["points"][0]
    places = torch.stack([cells[k * len(cells) // count] for k in range(count)]) / torch.tensor(mask.shape)
    x = F.grid_sample(square(features[None]), (2 * places.flip(1) - 1)[None, :, None], align_corners=True)
    x = x[0, :, :, 0].T
    for stage, kept in enumerate(sizes["points"][1:]):
        distance, farthest, centres = torch.full((len(places),), 1e10), 0, []
        for _ in range(kept):
            centres.append(farthest)
            distance = torch.minimum(distance, ((places - places[farthest]) ** 2).sum(-1))
            farthest = int(distance.argmax())
        found = []
        for centre in centres:
            near = ((places - places[centre]) ** 2).sum(-1).sqrt().topk(sizes["neighbours"], largest=False).indices
            local = torch.cat([x[near], places[near]], -1)
            anchor = torch.cat([x[centre], places[centre]])
            moved = affine(w, f"differences.{stage}", local - anchor)
            both = torch.cat([moved, anchor.expand(len(near), -1)], -1)
            found.append(normed(w, f"norms.{stage}", affine(w, f"merges.{stage}", both).relu()).mean(0))
        x, places = torch.stack(found), places[centres]
    return affine(w, "project", affine(w, "flatten", x.flatten()))


def ferret(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    features, sizes, w = hidden(model, inputs, -2)[:, 1:], model.config.regions, under(model.state_dict(), "regions.")
    regions = []
    for row, own in zip(features, inputs["regions"], strict=True):
        for region in own:
            if region.ndim == 1:
                left, top, right, bottom = (region * sizes["side"]).int().tolist()
                mask = torch.zeros(sizes["side"], sizes["side"])
                mask[top : bottom + 1, left : right + 1] = 1
                region = mask
            regions.append(sampled_points(w, sizes, row, region))
    image = affine(under(model.state_dict(), "connector."), "linear", features)
    return logits_of(model, inputs, language, image, torch.stack(regions)).logits


def roi_align(picture: Tensor, box: Tensor, side: int) -> Tensor:
    """RoIAlign (mmcv, aligned, sampling ratio 2) of one box in cells of a map (D, H, W)."""

    def at(y: float, x: float) -> Tensor:
        y, x = (min(max(p, 0.0), length - 1) for p, length in ((y, picture.shape[1]), (x, picture.shape[2])))
        top, left = int(y), int(x)
        below, right = min(top + 1, picture.shape[1] - 1), min(left + 1, picture.shape[2] - 1)
        ly, lx = y - top, x - left
        rows = [(1 - lx) * picture[:, row, left] + lx * picture[:, row, right] for row in (top, below)]
        return (1 - ly) * rows[0] + ly * rows[1]

    left, top, right, bottom = (box - 0.5).tolist()
    high, wide = (bottom - top) / side, (right - left) / side
    out = torch.zeros(picture.shape[0], side, side)
    for row in range(side):
        for column in range(side):
            samples = [(a, b) for a in (0.25, 0.75) for b in (0.25, 0.75)]
            found = [at(top + (row + a) * high, left + (column + b) * wide) for a, b in samples]
            out[:, row, column] = torch.stack(found).mean(0)
    return out


def glamm_regions(model: Any, layers: list[Tensor], boxes: Tensor) -> Tensor:
    """The tokens of boxes (one per image): the module that GLaMM has from GPT4RoI."""
    w, count = under(model.state_dict(), "regions."), len(layers)
    maps = []
    for level, feature in enumerate(layers):
        picture = square(feature)
        picture = F.interpolate(
            picture, scale_factor=2 ** (count - 1 - level), mode="bilinear", align_corners=True
        )  # fmt: skip
        line = torch.linspace(-1, 1, picture.shape[-1])
        y, x = torch.meshgrid(line, line, indexing="ij")
        picture = torch.cat([picture, torch.stack([x, y]).expand(len(picture), -1, -1, -1)], 1)
        maps.append(F.conv2d(picture, w[f"inputs.{level}.weight"], w[f"inputs.{level}.bias"]))
    width = maps[0].shape[1]
    shuffled = width // 4
    rest, groups = width - 2 * shuffled, model.config.regions["groups"]
    for k in range(5):
        mixed = []
        for level, target in enumerate(maps):
            top, down = maps[min(level + 1, count - 1)], maps[max(level - 1, 0)]
            parts = [target[:, :rest]]
            for part in (top[:, rest:][:, shuffled:], down[:, rest:][:, :shuffled]):
                parts.append(F.interpolate(part, target.shape[-2:], mode="bilinear", align_corners=True))
            y = F.conv2d(torch.cat(parts, 1), w[f"mixes.{k}.0.weight"], padding=1)
            mixed.append(F.group_norm(y, groups, w[f"mixes.{k}.1.weight"], w[f"mixes.{k}.1.bias"]).relu())
        maps = mixed
    cells, total = model.config.regions["cells"], 0.0
    for level, picture in enumerate(maps):
        scaled = boxes * cells * 2 ** (count - 1 - level)
        cut = torch.stack([roi_align(*pair, 14) for pair in zip(picture, scaled, strict=True)])
        total = total + F.conv2d(cut, w[f"cuts.{level}.weight"], w[f"cuts.{level}.bias"], padding=1)
    found = affine(w, "flatten", total.relu().flatten(1))
    box = normed(w, "box.2", affine(w, "box.0", boxes).relu())
    return affine(w, "project", found + normed(w, "box.5", affine(w, "box.3", box).relu()))


def glamm_output(model: Any, inputs: dict[str, Any], language: Any) -> Any:
    tower = model.vocabularies[0].tower
    states = tower(inputs["pixel_values"][0], output_hidden_states=True).hidden_states
    layers = [states[k][:, 1:] for k in model.config.vocabularies[0]["layer"]]
    image = two_layers(step(model, 1), layers[-1])
    return logits_of(model, inputs, language, image, glamm_regions(model, layers, inputs["regions"][:, 0]))


def u_llava_output(model: Any, inputs: dict[str, Any], language: Any) -> Any:
    out = model.vocabularies[0].tower(inputs["pixel_values"][0], output_hidden_states=True)
    image = affine(under(model.state_dict(), "connector."), "linear", out.hidden_states[-2][:, 1:])
    return logits_of(model, inputs, language, image)


def chosen_states(model: Any, inputs: dict[str, Any], states: Tensor, k: int) -> Tensor:
    """The states from which the token of a head is predicted."""
    mask = inputs["input_ids"][:, 1:] == model.config.heads[k]["token"]
    return states[torch.cat([mask, torch.zeros(len(mask), 1, dtype=torch.bool)], 1)]


def projected(w: Weights, x: Tensor) -> Tensor:
    return affine(w, "2", affine(w, "0", x).relu())


def sam_masks(model: Any, inputs: dict[str, Any], states: Tensor) -> Tensor:
    """Masks of prompts with one token each, by SAM with the projected state as its prompt."""
    w, tower = under(model.state_dict(), "heads.0."), model.vocabularies[1].tower
    embedding = tower(inputs["pixel_values"][1]).last_hidden_state
    width = embedding.shape[1]
    sizes = model.config.vocabularies[1]["config"] | {"num_pos_feats": width // 2}
    sam = SamModel(
        SamConfig(
            vision_config={key: value for key, value in sizes.items() if key != "model_type"},
            prompt_encoder_config={
                "hidden_size": width, "image_size": sizes["image_size"], "patch_size": sizes["patch_size"],
            },
            mask_decoder_config={"hidden_size": width, **model.config.heads[0]["config"]},
        )
    ).eval()  # fmt: skip
    sam.mask_decoder.load_state_dict(under(w, "decoder."))
    sam.shared_image_embedding.load_state_dict(under(w, "places."))
    side = embedding.shape[-1]
    found = []
    for own, state in zip(embedding, chosen_states(model, inputs, states, 0), strict=True):
        low, _ = sam.mask_decoder(
            image_embeddings=own[None],
            image_positional_embeddings=sam.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=projected(under(w, "project."), state)[None, None, None],
            dense_prompt_embeddings=w["no_mask.weight"].reshape(1, -1, 1, 1).expand(1, -1, side, side),
            multimask_output=False,
        )
        found.append(low[0, 0, 0])
    return torch.stack(found)


def regressed_boxes(model: Any, inputs: dict[str, Any], states: Tensor) -> Tensor:
    w = under(model.state_dict(), "heads.1.")
    x = projected(under(w, "project."), chosen_states(model, inputs, states, 1))
    return affine(w, "decode.4", projected(under(w, "decode."), x).relu())


def covlm_image(model: Any, inputs: dict[str, Any]) -> Tensor:
    features = model.vocabularies[0].tower(inputs["pixel_values"]).last_hidden_state[:, 1:]
    return affine(under(model.state_dict(), "connector."), "linear", features)


def covlm_output(model: Any, inputs: dict[str, Any], language: Any) -> Any:
    image = covlm_image(model, inputs)
    size, regions = math.isqrt(image.shape[1]), []
    for own, boxes in zip(image, inputs["regions"], strict=True):
        for box in boxes:
            x1, y1, x2, y2 = (box * size).int().clip(0, size - 1).tolist()
            cells = own.reshape(size, size, -1)[y1 : max(y1, y2) + 1, x1 : max(x1, x2) + 1]
            regions.append(cells.reshape(-1, own.shape[-1]).mean(0))
    return logits_of(model, inputs, language, image, torch.stack(regions))


def detected(model: Any, inputs: dict[str, Any], states: Tensor) -> Tensor:
    """Boxes in shares of the image, scores of a thing and of its kind: YOLOX 0.3, yolox/models/yolo_head.py."""
    w, image = under(model.state_dict(), "heads.0."), covlm_image(model, inputs)

    def block(name: str, x: Tensor) -> Tensor:
        kernel = w[f"{name}.0.weight"]
        y = F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
        norm = (w[f"{name}.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.silu(F.batch_norm(y, *norm, eps=1e-3))

    chosen = states[inputs["input_ids"] == model.config.heads[0]["token"]]
    found = []
    for own, state in zip(image, chosen, strict=True):
        x = block("stem", square(torch.cat([own, state.expand(len(own), -1)], -1)[None]))
        kinds, near = (block(f"{name}.1", block(f"{name}.0", x)) for name in ("classify", "regress"))
        parts = [("box", near), ("score", near), ("kind", kinds)]
        out = torch.cat([F.conv2d(y, w[f"{n}.weight"], w[f"{n}.bias"]) for n, y in parts], 1)
        size, stride = out.shape[-1], model.vocabularies[0].stride[0]
        y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        out, corners = out.flatten(2)[0].T, torch.stack([x, y], -1).reshape(-1, 2)
        middle, extent = (out[:, :2] + corners) * stride, out[:, 2:4].exp() * stride
        boxes = torch.cat([middle - extent / 2, middle + extent / 2], 1) / (size * stride)
        found.append(torch.cat([boxes, out[:, 4:].sigmoid()], 1))
    return torch.stack(found)


def seed_llama(model: Any, inputs: dict[str, Any], language: Any) -> Tensor:
    seen = model.vocabularies[0].tower(inputs["pixel_values"]).last_hidden_state
    part = model.connector.steps[0]
    queries = part.queries.expand(len(seen), -1, -1)
    future = torch.full((queries.shape[1],) * 2, -10000.0).triu(1).expand(len(seen), 1, -1, -1)
    x = part.qformer(query_embeds=queries, encoder_hidden_states=seen, attention_mask=future).last_hidden_state
    z = affine(step(model, 3), "linear", torch.tanh(affine(step(model, 1), "linear", x))).flatten(0, 1)
    table = model.state_dict()["fusion.table.weight"]
    distance = z.square().sum(1, keepdim=True) + table.square().sum(1) - 2 * z @ table.T
    ids = inputs["input_ids"].clone()
    ids[ids == model.config.image_token_id] = distance.argmin(1) + model.config.fusion["first"]
    return language(ids, attention_mask=inputs["attention_mask"]).logits


Output = Callable[[Any, dict[str, Any], Any], Any]
GROUNDED: dict[str, tuple[Output, list[Callable[[Any, dict[str, Any], Tensor], Tensor]]]] = {
    "covlm": (covlm_output, [detected]),
    "glamm": (glamm_output, [sam_masks]),
    "u-llava": (u_llava_output, [sam_masks, regressed_boxes]),
}
REGIONAL: dict[str, Callable[[Any, dict[str, Any], Any], Tensor]] = {
    "ferret": ferret,
    "seed-llama": seed_llama,
    **{name: (lambda *given, out=output: out(*given).logits) for name, (output, _) in GROUNDED.items()},
}
