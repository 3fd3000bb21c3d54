"""Convert checkpoints of other makes to ours and back, and assemble a model out of parts."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor
from transformers import GenerationConfig

from ...io.errors import ConfigError, InputError
from ..config import VaryConfig, preset
from ..modeling import VaryForConditionalGeneration, load_model
from .files import config_next_to, is_ours, read_tensors
from .key_tables import check, rename, reverse
from .layouts import FAMILIES, PARTS, family_of, fit_tensors, infer_config, part_of, vocabulary_kind
from .older import read_model
from .peers import PEERS, compare, read_peer, save_peer_processor
from .tokenizer import save_tokenizer

SHARD = "4GB"
MAX_DIFFERENCE = 1e-4  # of logits in float32


def convert(
    sources: list[Path], target: Path, name: str | None = None, layout: str | None = None, check_logits: bool = False
) -> list[str]:
    """Convert checkpoints to a folder. Return what a user should know of it, one line each.

    One foreign checkpoint of a whole model becomes ours; our folder with a `layout` of `FAMILIES` becomes theirs;
    parts (`PARTS`, or the vocabulary out of a model of ours) become the model `name`, a preset or a folder with our
    `config.json`, whatever no part holds staying random. A folder of a model type of `PEERS` becomes ours; check_logits
    compares the logits of both. Raises ValueError naming the tensor, the file or the layout.
    """
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{target}: not empty; nothing is overwritten")
    if layout is not None:
        return _to_theirs(sources, target, layout)
    if len(sources) == 1 and config_next_to(sources[0]).get("model_type") in PEERS:
        return _from_peer(sources[0], target, check_logits)
    if check_logits:
        raise ConfigError(f"{sources[0]}: --check takes a folder of one of these model types: {', '.join(PEERS)}")
    if len(sources) == 1 and not is_ours(sources[0]):
        state = read_tensors(sources[0])
        family = family_of(state)
        if family is not None:
            return _to_ours(sources[0], state, target, family, name)
    if name is None:
        raise InputError(f"{sources[0]}: parts of a model need --as NAME, the model that they become")
    return _assemble(sources, target, name)


def _from_peer(source: Path, target: Path, check_logits: bool) -> list[str]:
    """Convert a model that a class of transformers computes, with its tokenizer, prompts and generation settings."""
    config, state, theirs = read_peer(source)
    _tie(state, config)
    check(state, expected_shapes(config), ("lm_head.weight",) if config.tie_word_embeddings else ())
    _save(state, config, target)
    if (source / "generation_config.json").is_file():
        GenerationConfig.from_pretrained(source).save_pretrained(target)
    kind = config_next_to(source)["model_type"]
    report = [f"{source}: {kind}, {sum(t.numel() for t in state.values()):,} parameters"]
    report += save_peer_processor(source, target, config)
    if check_logits:
        off = compare(load_model(target), theirs)
        if off > MAX_DIFFERENCE:
            raise InputError(f"{target}: logits differ from those of {type(theirs).__name__} by {off:.1e}")
        report.append(f"logits differ from those of {type(theirs).__name__} by {off:.1e} at most")
    return report


def _to_ours(source: Path, state: dict[str, Tensor], target: Path, family: str, name: str | None) -> list[str]:
    rules = FAMILIES[family]
    found = rename(state, rules.table, rules.dropped)
    name = name or _default_name(rules.presets, found)
    if name not in rules.presets:
        raise InputError(f"{source}: a checkpoint of {' or '.join(rules.presets)}, not of {name}")
    config = infer_config(name, found, config_next_to(source))
    _tie(found, config)
    check(found, expected_shapes(config), ("lm_head.weight",) if config.tie_word_embeddings else ())
    _save(found, config, target)
    return [
        f"{source}: {name}, {sum(t.numel() for t in found.values()):,} parameters",
        *save_tokenizer(source, target, config),
    ]


def _default_name(presets: tuple[str, ...], found: dict[str, Tensor]) -> str:
    """Choose between two models in one layout by the width of the connector."""
    if "vary-base" not in presets:
        return presets[0]
    width = found["connector.0.linear.weight"].shape[0]
    known = {1024: "vary-toy", 2048: "vary-base"}
    if width not in known:
        raise InputError(f"connectors of width {width} are neither vary-toy's nor vary-base's; say which with --as")
    return known[width]


def _tie(found: dict[str, Tensor], config: VaryConfig) -> None:
    """Drop an output head that is a copy of the embeddings; raise InputError if the two are tied and differ."""
    head = found.get("lm_head.weight")
    if head is None or not config.tie_word_embeddings:
        return
    words = next(t for n, t in found.items() if n.endswith("embed_tokens.weight"))
    if not torch.equal(head, words):
        raise InputError("lm_head.weight is not the embedding table, and this model ties the two")
    del found["lm_head.weight"]


def _to_theirs(sources: list[Path], target: Path, layout: str) -> list[str]:
    if layout not in FAMILIES:
        raise ConfigError(f"unknown layout {layout!r}; allowed: {', '.join(FAMILIES)}")
    if len(sources) != 1 or not is_ours(sources[0]):
        raise InputError(f"{sources[0]}: --layout takes one folder of a model of ours")
    rules = FAMILIES[layout]
    config = VaryConfig.from_pretrained(sources[0])
    state = read_model(sources[0])
    if config.tie_word_embeddings and rules.copied_head:
        state["lm_head.weight"] = next(t for n, t in state.items() if n.endswith("embed_tokens.weight")).clone()
    found = rename(state, reverse(rules.table))
    target.mkdir(parents=True, exist_ok=True)
    save_torch_state_dict(found, target, max_shard_size=SHARD)
    official = json.dumps(rules.config(config), indent=2, sort_keys=True, default=str)
    (target / "config.json").write_text(official + "\n", encoding="utf-8")
    return [
        f"{sources[0]}: written in the layout {layout!r}, {len(found)} tensors",
        *save_tokenizer(sources[0], target, None),
    ]


def _assemble(sources: list[Path], target: Path, name: str) -> list[str]:
    """Build a model out of parts. Tensors that no part holds are random, and the report names them."""
    config = VaryConfig.from_pretrained(name) if is_ours(Path(name)) else preset(name)
    torch.manual_seed(0)
    model = VaryForConditionalGeneration(config)
    expected = {k: v.shape for k, v in model.state_dict().items()}
    found: dict[str, Tensor] = {}
    report, language = [], None
    for source in sources:
        part, line = _part(source, config, expected)
        language = source if any(key.startswith("language_model.") for key in part) else language
        twice = found.keys() & part.keys()
        if twice:
            raise InputError(f"{source}: {sorted(twice)[0]} is in another part too")
        found |= part
        report.append(f"{source}: {line}")
    _tie(found, config)
    missing = check(found, expected, ("{*}",))
    model.load_state_dict(found, strict=False)
    started = tuple(model.routes.start(model, found))
    missing = [name for name in missing if not name.startswith(started)]
    model.save_pretrained(target, max_shard_size=SHARD)
    _generation(config).save_pretrained(target)
    groups = sorted(
        {".".join(n.split(".")[:2]) for n in missing if not (n == "lm_head.weight" and config.tie_word_embeddings)}
    )
    report.append(f"random: {', '.join(groups) or 'nothing'}")
    report += [f"{route.rstrip('.')}: as without" for route in started]
    return report + (save_tokenizer(language, target, config) if language else [])


def _part(source: Path, config: VaryConfig, expected: dict[str, torch.Size]) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of one part under our names, and what the part is."""
    if is_ours(source):
        return _vocabulary_of_ours(source, read_model(source), config)
    state = read_tensors(source)
    known = part_of(state)
    if known is None:
        raise InputError(f"{source}: no checkpoint that is known; allowed: {', '.join(PARTS)}, or one of a whole model")
    kind, theirs = known
    part = PARTS[kind]
    ours = "" if part.vocabulary is None else _place_of(part.vocabulary, config, source)
    return fit_tensors(rename(state, part.table(theirs, ours), part.dropped), expected), kind


def _vocabulary_of_ours(source: Path, state: dict[str, Tensor], config: VaryConfig) -> tuple[dict[str, Tensor], str]:
    """Return the vocabulary of a model of ours that has one."""
    theirs = VaryConfig.from_pretrained(source).vocabularies
    if len(theirs) != 1:
        raise InputError(f"{source}: has {len(theirs)} vocabularies; a part is a model with one")
    kind = vocabulary_kind(theirs[0])
    prefix = _place_of(kind, config, source)
    own = "vocabularies.0."
    return {prefix + k[len(own) :]: t for k, t in state.items() if k.startswith(own)}, f"vocabulary {kind}"


def _place_of(vocabulary: str, config: VaryConfig, source: Path) -> str:
    names = [vocabulary_kind(v) for v in config.vocabularies]
    if vocabulary not in names:
        raise InputError(f"{source}: holds a {vocabulary} vocabulary; this model has {', '.join(names)}")
    return f"vocabularies.{names.index(vocabulary)}."


def expected_shapes(config: VaryConfig) -> dict[str, torch.Size]:
    """Return the names and shapes of a model's tensors, without making them."""
    with torch.device("meta"):
        model: Any = VaryForConditionalGeneration(config)
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _save(state: dict[str, Tensor], config: VaryConfig, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    config.architectures = [VaryForConditionalGeneration.__name__]
    config.dtype = reduce(torch.promote_types, (tensor.dtype for tensor in state.values()))
    config.save_pretrained(target)
    _generation(config).save_pretrained(target)
    save_torch_state_dict(state, target, max_shard_size=SHARD)


def _generation(config: VaryConfig) -> GenerationConfig:
    """Make generation settings: greedy, no 20-gram twice (GOT's released script), no image tokens."""
    text = config.text_config
    return GenerationConfig(
        do_sample=False, no_repeat_ngram_size=20, max_new_tokens=2048, eos_token_id=text.eos_token_id,
        pad_token_id=text.pad_token_id, bos_token_id=getattr(text, "bos_token_id", None),
        suppress_tokens=[config.image_token_id],
    )  # fmt: skip
