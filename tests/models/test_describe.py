"""`vary info`: facts of presets equal the built model's, those of folders their files', and it is quick."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from transformers.initialization import no_init_weights

from vary.cli import main
from vary.models.config import preset
from vary.models.describe import describe, format_description
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.vocab.merge import stride_of, token_grid
from vary.models.zoo import names

_SAM, _CLIP = 95_569_152, 303_179_776
_TINY = {"vocabularies.0": _SAM, "connector": 787_200, "language_model": 126_809_088}
_MERGED = {"vocabularies.0": _CLIP, "vocabularies.1": _SAM}
_NANO = {"vocabularies.0": 1_297_600, "reading_head": 105_931, "connector": 998_624, "language_model": 3_468_032}
COUNTS: dict[str, dict[str, int]] = {  # counted once on the built models, and in the papers
    "vary-nano": _NANO,
    "vary-nano-formulas": {**_NANO, "glyph_head": 350_829, "symbols_decoder": 5_476_928},
    "vary-tiny": _TINY,
    "vary-tiny-paper": _TINY,
    "vary-tiny-600k": {**_TINY, "language_model": 125_239_296},
    "vary-toy": {**_MERGED, "connector": 2_099_200, "language_model": 1_525_508_096, "lm_head": 311_009_280},
    "vary-base": {**_MERGED, "connector": 4_198_400, "language_model": 7_098_683_392, "lm_head": 622_018_560},
    "vary-base-vicuna": {**_MERGED, "connector": 4_198_400, "language_model": 6_607_355_904, "lm_head": 131_084_288},
    "got": {"vocabularies.0": _SAM, "connector": 1_049_600, "language_model": 463_909_888},
}


def test_our_own_models_come_first() -> None:
    assert {*COUNTS} <= {*names()}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_and_tokens_equal_the_built_model(name) -> None:
    with torch.device("meta"), no_init_weights():
        model = VaryForConditionalGeneration(preset(name))
    model.tie_weights()
    parts: dict[str, int] = {}
    for key, parameter in model.named_parameters():
        part = ".".join(key.split(".")[: 2 if key.startswith("vocabularies") else 1])
        parts[part] = parts.get(part, 0) + parameter.numel()
    assert parts == COUNTS[name]
    assert {k: v for k, v in describe(name)["parameters"].items() if k != "total"} == COUNTS[name]
    config, facts = preset(name), describe(name)
    assert facts["parameters"]["total"] == sum(parts.values())
    for vocabulary, fact, eye in zip(config.vocabularies, facts["vocabularies"], model.vocabularies, strict=True):
        size = vocabulary["preprocess"].get("size")
        if size:
            rows, columns = token_grid([vocabulary], "channel", {"name": "linear"}, [(size, size)])
            assert fact["tokens"] == f"{rows * columns} tokens per image of width {eye.width}"
        else:
            assert fact["tokens"] == "one token per {}x{} px".format(*stride_of(vocabulary))


def test_a_folder_is_counted_from_its_files(tmp_path, tiny_model, capsys) -> None:
    tiny_model.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    facts = describe(str(tmp_path))
    assert facts["parameters"]["total"] == sum(p.numel() for p in tiny_model.parameters())
    assert facts["licence"] == "cc-by-4.0"
    assert main(["info", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == facts
    assert f"{facts['parameters']['total']:,}" in format_description(facts)


def test_unknown_models_are_named(tmp_path, capsys) -> None:
    assert main(["info", "vary-huge"]) == 1
    message = capsys.readouterr().err
    assert "unknown model 'vary-huge'; did you mean 'vary-" in message
    assert "`vary family` lists" in message
    assert main(["info", "none.yaml"]) == 1
    assert capsys.readouterr().err == "vary: none.yaml: no such file\n"
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    assert main(["info", str(tmp_path)]) == 1
    assert "a model of type 'llava'" in capsys.readouterr().err


def test_folders_whose_parameters_cannot_be_counted_say_why(tmp_path) -> None:
    with pytest.raises(ValueError, match="unknown model"):
        describe(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "my-vary-toy"}')
    with pytest.raises(ValueError, match=r"an adapter .* of 'my-vary-toy'"):
        describe(str(tmp_path))
    preset("vary-toy-test").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no weights in it"):
        describe(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 9)
    with pytest.raises(ValueError, match=r"model\.safetensors: not a safetensors file, or cut short"):
        describe(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "vary", "im_patch_token": 50265}')  # the authors' own
    with pytest.raises(ValueError, match="`vary convert` makes it ours"):
        describe(str(tmp_path))


def test_shards_are_counted_together_and_adapters_beside_them_are_not(tmp_path, tiny_model) -> None:
    tiny_model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    (tmp_path / "adapter_model.safetensors").write_bytes((tmp_path / "model.safetensors.index.json").read_bytes())
    assert describe(str(tmp_path))["parameters"]["total"] == sum(p.numel() for p in tiny_model.parameters())


def test_a_large_model_is_described_without_its_weights(capsys) -> None:
    assert main(["info", "vary-base"]) == 0
    shown = capsys.readouterr().out
    assert "8,123,649,280" in shown
    assert r"user\n<img><imgpad>…</img>QUESTION<|im_end|><|im_start|>assistant\nANSWER<|im_end|>'" in shown


def test_sizes_of_language_models_with_names_of_their_own() -> None:
    for name, width, layers in (("kosmos-2", 2048, 24), ("blip-2-t5", 2048, 24)):
        found = describe(name)
        assert (found["language_model"]["hidden_size"], found["language_model"]["num_hidden_layers"]) == (width, layers)
        assert "None" not in next(line for line in format_description(found).splitlines() if "language model" in line)


def test_the_docs_state_the_counted_parameters() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| `([\w-]+)` \|[^|]+\|[^|]+\| ([\d,]+) \|", text, re.M))
    assert stated == {name: f"{sum(COUNTS[name].values()):,}" for name in stated}
    assert len(stated) == len(COUNTS) - 1  # all but the formulas' preset, which is being trained
