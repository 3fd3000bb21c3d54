"""What a model is, without its weights: parameters by part, tokens per image, sizes, preprocessing, template, licence.

Imports neither torch nor transformers, so that the answer comes at once: a folder's parameters are counted from the
heads of its safetensors files; a preset's stand here, and a test compares them with the built model.
"""

from __future__ import annotations

import json
import re
import struct
from math import prod
from pathlib import Path
from typing import Any

from ..io.errors import ConfigError, InputError
from ..markup.prompts import TEMPLATES, Template, pieces_of
from .zoo import PRESETS, settings

_SAM, _CLIP = 95_569_152, 303_179_776
_TINY = {"vocabularies.0": _SAM, "connector": 787_200, "language_model": 126_809_088}
_NANO = {"vocabularies.0": 1_297_600, "reading_head": 105_931, "connector": 998_624, "language_model": 3_468_032}
COUNTS: dict[str, dict[str, int]] = {
    "vary-nano": _NANO,
    "vary-nano-formulas": {**_NANO, "symbols_decoder": 5476928},
    "vary-tiny": _TINY, "vary-tiny-paper": _TINY, "vary-tiny-600k": {**_TINY, "language_model": 125_239_296},
    "vary-toy": {"vocabularies.0": _CLIP, "vocabularies.1": _SAM, "connector": 2_099_200,
                 "language_model": 1_525_508_096, "lm_head": 311_009_280},
    "vary-base": {"vocabularies.0": _CLIP, "vocabularies.1": _SAM, "connector": 4_198_400,
                  "language_model": 7_098_683_392, "lm_head": 622_018_560},
    "vary-base-vicuna": {"vocabularies.0": _CLIP, "vocabularies.1": _SAM, "connector": 4_198_400,
                         "language_model": 6_607_355_904, "lm_head": 131_084_288},
    "got": {"vocabularies.0": _SAM, "connector": 1_049_600, "language_model": 463_909_888},
}  # fmt: skip
_RESEARCH = "the authors' weights: research use only (their README; no licence file)"
LICENCES = {
    "vary-nano": "Apache-2.0",
    "vary-nano-formulas": "Apache-2.0",
    "got": "the authors' weights: Apache-2.0 (their model page)",
}


def info(model: str) -> dict[str, Any]:
    """Facts of a preset or a folder, ready for JSON. Raises ValueError for an unknown name, naming the known ones."""
    folder = Path(model)
    if (folder / "config.json").is_file():
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "vocabularies" not in config:  # the authors' Vary-tiny is of a model type `vary` too
            raise InputError(f"{model}: a model of type {config.get('model_type')!r}; `vary convert` makes it ours")
        parts, licence = _counted(folder), _licence(folder)
    elif (folder / "adapter_config.json").is_file():
        adapter = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        raise InputError(f"{model}: an adapter (PEFT) of {adapter.get('base_model_name_or_path')!r}; ask for that one")
    elif model in PRESETS:
        config, parts, licence = settings(model), COUNTS[model], LICENCES.get(model, _RESEARCH)
    else:
        raise ConfigError(f"unknown model {model!r}; allowed: {', '.join(PRESETS)}, or a folder with a config.json")
    text, template = config["text_config"], TEMPLATES[config.get("template", "plain")]
    return {
        "model": model,
        "parameters": {"total": sum(parts.values()), **parts},
        "vocabularies": [_vocabulary(v) for v in config["vocabularies"]],
        "merge": config.get("merge", "channel"),
        "connector": config["connector"],
        "language_model": {k: text.get(k) for k in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size",
                                                    "max_position_embeddings")},
        "reading_head": bool(config.get("reading")),
        "quantised": (config.get("quantization_config") or {}).get("quant_method"),
        "template": {"name": config.get("template", "plain"), "written": _written(template)},
        "licence": licence,
    }  # fmt: skip


def described(facts: dict[str, Any]) -> str:
    """The facts as lines for people."""
    total = facts["parameters"].pop("total")
    stored = f" numbers as stored, quantised by {facts['quantised']}" if facts["quantised"] else ""
    lines = [facts["model"], f"  parameters {total:>15,}{stored}"]
    lines += [f"    {name:<16} {count:>13,}" for name, count in facts["parameters"].items()]
    for k, vocabulary in enumerate(facts["vocabularies"]):
        preprocess = ", ".join(f"{key} {value}" for key, value in vocabulary["preprocess"].items())
        lines.append(f"  vocabulary {k}: {vocabulary['name']}, input {vocabulary['input']}, {vocabulary['tokens']}")
        lines.append(f"    preprocessing: {preprocess}")
    connector = facts["connector"] if isinstance(facts["connector"], list) else [facts["connector"]]
    lines.append(f"  merge {facts['merge']}, connector {', '.join(c['name'] for c in connector)}")
    kind, width, layers, words, positions = facts["language_model"].values()
    lines.append(f"  language model {kind}, width {width}, {layers} layers, vocabulary {words}, positions {positions}")
    lines.append(f"  reading head {'yes' if facts['reading_head'] else 'no'}")
    lines.append(f"  template {facts['template']['name']}: {facts['template']['written']!r}")
    return "\n".join([*lines, f"  licence {facts['licence']}"])


def _written(template: Template) -> str:
    """One turn as the model gets it."""
    content: list[dict[str, Any]] = [{"type": "image"}, {"type": "text", "text": "QUESTION"}][: 1 + template.question]
    turns: list[dict[str, Any]] = [{"role": "user", "content": content}, {"role": "assistant", "content": "ANSWER"}]
    return "".join("<imgpad>…" if p.kind == "image" else p.text for p in pieces_of(turns, template)[0])


def _vocabulary(vocabulary: dict[str, Any]) -> dict[str, Any]:
    preprocess = vocabulary.get("preprocess", {})
    rows, columns = _stride(vocabulary)
    size = preprocess.get("size")
    tokens = f"one token per {rows}x{columns} px"
    if size:
        tokens = f"{(size // rows) * (size // columns)} tokens per image of width {_width(vocabulary)}"
    return {
        "name": vocabulary["name"], "tokens": tokens, "preprocess": preprocess,
        "input": f"{size}x{size} px" if size else "any page",
    }  # fmt: skip


def _stride(vocabulary: dict[str, Any]) -> tuple[int, int]:
    """Pixels per token; of a vocabulary that is not known here its own class says it, which takes longer."""
    known = {"sam": lambda v: (4 * v.get("patch", 16),) * 2, "clip": lambda v: (v.get("patch", 16),) * 2,
             "siglip": lambda v: (v.get("patch", 16),) * 2, "nano": lambda v: (8, 4)}  # fmt: skip
    if vocabulary["name"] in known:
        return known[vocabulary["name"]](vocabulary)
    from .merge import stride_of

    return stride_of(vocabulary)


def _width(vocabulary: dict[str, Any]) -> Any:
    return vocabulary["convs"][-1] if "convs" in vocabulary else vocabulary.get("hidden", vocabulary.get("width", "?"))


def _counted(folder: Path) -> dict[str, int]:
    """Parameters by part, from the heads of the safetensors files; buffers of batch norm are none."""
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
                part = ".".join(name.split(".")[: 2 if name.startswith("vocabularies") else 1])
                parts[part] = parts.get(part, 0) + prod(tensor["shape"])
    return dict(sorted(parts.items()))


def _licence(folder: Path) -> str:
    """What the model card's header says."""
    card = folder / "README.md"
    found = re.search(r"^licen[sc]e:\s*(\S.*)$", card.read_text(encoding="utf-8"), re.M) if card.is_file() else None
    return found.group(1) if found else "not stated in a model card"
