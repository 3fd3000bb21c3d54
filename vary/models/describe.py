"""Describe a model without its weights: parameters by part, image tokens, preprocessing, template, licence.

Parameters of a folder are counted from the headers of its safetensors files. Those of a named model are counted on a
model on PyTorch's meta device, which holds no weights.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

from ..io.errors import InputError
from ..markup.prompts import TEMPLATES, Template, pieces_of
from .hub import read_config, value_at
from .zoo import about, is_named, settings, unknown_model


def describe(model: str) -> dict[str, Any]:
    """Return the facts of a named model, a YAML file or a folder, ready for JSON.

    Raises:
        ValueError: The name is unknown, or the folder holds no model of ours.
    """
    folder = Path(model)
    if (folder / "config.json").is_file():
        config = read_config(folder)
        if "vocabularies" not in config:  # the authors' Vary-tiny is of a model type `vary` too
            raise InputError(f"{model}: a model of type {config.get('model_type')!r}; `vary convert` makes it ours")
        for key in ("connector", "text_config"):
            value_at(folder, config, key)
        parts, licence = _count(folder), _licence(folder)
    elif (folder / "adapter_config.json").is_file():
        adapter = read_config(folder, "adapter_config.json")
        raise InputError(f"{model}: an adapter (PEFT) of {adapter.get('base_model_name_or_path')!r}; ask for that one")
    elif is_named(model.removesuffix("-test")):
        config, parts, licence = settings(model), _built(model), about(model).licence
    else:
        raise unknown_model(model, "a YAML file, a folder with a config.json")
    text, template = config["text_config"], TEMPLATES[config.get("template", "plain")]
    return {
        "model": model,
        "parameters": {"total": sum(parts.values()), **parts},
        "vocabularies": [_vocabulary(v) for v in config["vocabularies"]],
        "merge": config.get("merge", "channel"),
        "connector": config["connector"],
        "fusion": config.get("fusion") or {"name": "prefix"},
        "routes": config.get("routes") or [],
        "regions": config.get("regions"),
        "heads": config.get("heads") or [],
        "language_model": _language_model(text),
        "reading_head": bool(config.get("reading")),
        "quantised": (config.get("quantization_config") or {}).get("quant_method"),
        "template": {"name": config.get("template", "plain"), "written": _write_turn(template)},
        "licence": licence,
        "about": asdict(about(model)) if is_named(model.removesuffix("-test")) else None,
    }  # fmt: skip


def format_description(facts: dict[str, Any]) -> str:
    """Write the facts of a model as lines for people."""
    counts = dict(facts["parameters"])
    total = counts.pop("total")
    stored = f" numbers as stored, quantised by {facts['quantised']}" if facts["quantised"] else ""
    lines = [facts["model"], f"  parameters {total:>15,}{stored}"]
    lines += [f"    {name:<16} {count:>13,}" for name, count in counts.items()]
    for k, vocabulary in enumerate(facts["vocabularies"]):
        preprocess = ", ".join(f"{key} {value}" for key, value in vocabulary["preprocess"].items())
        lines.append(f"  vocabulary {k}: {vocabulary['name']}, input {vocabulary['input']}, {vocabulary['tokens']}")
        lines.append(f"    preprocessing: {preprocess}")
    connector = facts["connector"] if isinstance(facts["connector"], list) else [facts["connector"]]
    lines.append(f"  merge {facts['merge']}, connector {', '.join(c['name'] for c in connector)}")
    lines.append(f"  fusion {facts['fusion']['name']}")
    for route in facts["routes"]:
        tokens, where = route.get("tokens", "image"), ", ".join(route["at"])
        lines.append(f"  route {route['name']}: {tokens} tokens at {where} of {route.get('part', 'language_model')}")
    for what, part in [("regions", facts["regions"]), *(("head", head) for head in facts["heads"])]:
        lines += [f"  {what} {part['name']}, token {part['token']}"] if part else []
    kind, width, layers, words, positions = facts["language_model"].values()
    most = "" if positions is None else f", positions {positions}"
    lines.append(f"  language model {kind}, width {width}, {layers} layers, vocabulary {words}{most}")
    lines.append(f"  reading head {'yes' if facts['reading_head'] else 'no'}")
    lines.append(f"  template {facts['template']['name']}: {facts['template']['written']!r}")
    return "\n".join([*lines, f"  licence {facts['licence']}"])


def _write_turn(template: Template) -> str:
    """Write one turn as the model gets it."""
    content: list[dict[str, Any]] = [{"type": "image"}, {"type": "text", "text": "QUESTION"}][: 1 + template.question]
    turns: list[dict[str, Any]] = [{"role": "user", "content": content}, {"role": "assistant", "content": "ANSWER"}]
    return "".join("<imgpad>…" if p.kind == "image" else p.text for p in pieces_of(turns, template)[0])


def _language_model(text: dict[str, Any]) -> dict[str, Any]:
    """Return the sizes of a language model; from transformers where a model has its own names or defaults."""
    keys = ("model_type", "hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings")
    if all(key in text for key in keys):
        return {key: text[key] for key in keys}
    from transformers import AutoConfig

    whole = AutoConfig.for_model(**text)
    return {key: getattr(whole, key, None) for key in keys}


def _vocabulary(vocabulary: dict[str, Any]) -> dict[str, Any]:
    import torch

    from .vocab import build_vocabulary, upgrade

    vocabulary = upgrade(vocabulary)
    preprocess = vocabulary.get("preprocess", {})
    with torch.device("meta"):
        built = build_vocabulary(**vocabulary)
    rows, columns = built.stride
    size = preprocess.get("size")
    tokens = f"one token per {rows}x{columns} px"
    if size:
        tokens = f"{(size // rows) * (size // columns)} tokens per image of width {built.width}"
    return {
        "name": vocabulary.get("config", {}).get("model_type", vocabulary["name"]),
        "tokens": tokens,
        "preprocess": preprocess,
        "input": f"{size}x{size} px" if size else "any page",
    }


def _built(name: str) -> dict[str, int]:
    """Count the parameters of a named model by part, each tensor once."""
    import torch
    from transformers.initialization import no_init_weights

    from .config import preset
    from .modeling import VaryForConditionalGeneration

    with torch.device("meta"), no_init_weights():
        model = VaryForConditionalGeneration(preset(name))
    model.tie_weights()
    parts: dict[str, int] = {}
    for parameter, tensor in model.named_parameters():
        part = _part(parameter)
        parts[part] = parts.get(part, 0) + tensor.numel()
    return parts


def _part(parameter: str) -> str:
    return ".".join(parameter.split(".")[: 2 if parameter.startswith("vocabularies") else 1])


def _count(folder: Path) -> dict[str, int]:
    """Count parameters by part from the headers of the safetensors files, without the buffers of batch norm."""
    parts: dict[str, int] = {}
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise InputError(f"{folder}: no weights in it (model*.safetensors), so nothing can be counted")
    for file in files:
        try:
            with file.open("rb") as data:
                (length,) = struct.unpack("<Q", data.read(8))
                head = json.loads(data.read(length))
        except (struct.error, ValueError, OverflowError, MemoryError):
            raise InputError(f"{file}: not a safetensors file, or cut short") from None
        for name, tensor in head.items():
            if name != "__metadata__" and not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
                parts[_part(name)] = parts.get(_part(name), 0) + prod(tensor["shape"])
    return dict(sorted(parts.items()))


def _licence(folder: Path) -> str:
    """Read the licence in the header of the model card."""
    card = folder / "README.md"
    found = re.search(r"^licen[sc]e:\s*(\S.*)$", card.read_text(encoding="utf-8"), re.M) if card.is_file() else None
    return found.group(1) if found else "not stated in a model card"
