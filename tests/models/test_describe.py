"""`vary info`: facts of presets equal the built model's, those of folders their files', and it is quick."""

from __future__ import annotations

import json

import pytest
import torch

from vary.cli import main
from vary.models.config import preset
from vary.models.describe import COUNTS, described, info
from vary.models.merge import stride_of, token_grid
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.zoo import PRESETS

from ..conftest import printed_by


@pytest.mark.parametrize("name", PRESETS)
def test_counts_and_tokens_equal_the_built_model(name) -> None:
    with torch.device("meta"):
        model = VaryForConditionalGeneration(preset(name))
    parts: dict[str, int] = {}
    for key, parameter in model.named_parameters():
        part = ".".join(key.split(".")[: 2 if key.startswith("vocabularies") else 1])
        parts[part] = parts.get(part, 0) + parameter.numel()
    assert parts == COUNTS[name]
    config, facts = preset(name), info(name)
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
    facts = info(str(tmp_path))
    assert facts["parameters"]["total"] == sum(p.numel() for p in tiny_model.parameters())
    assert facts["licence"] == "cc-by-4.0"
    assert main(["info", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == facts
    assert f"{facts['parameters']['total']:,}" in described(facts)


def test_unknown_models_are_named(tmp_path, capsys) -> None:
    assert main(["info", "vary-huge"]) == 1
    assert "unknown model 'vary-huge'; allowed: vary-nano, vary-nano-formulas" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    assert main(["info", str(tmp_path)]) == 1
    assert "a model of type 'llava'" in capsys.readouterr().err


def test_folders_whose_parameters_cannot_be_counted_say_why(tmp_path) -> None:
    with pytest.raises(ValueError, match="unknown model"):
        info(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "my-vary-toy"}')
    with pytest.raises(ValueError, match=r"an adapter .* of 'my-vary-toy'"):
        info(str(tmp_path))
    preset("vary-toy-test").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no weights in it"):
        info(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 9)
    with pytest.raises(ValueError, match=r"model\.safetensors: not a safetensors file, or cut short"):
        info(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "vary", "im_patch_token": 50265}')  # the authors' own
    with pytest.raises(ValueError, match="`vary convert` makes it ours"):
        info(str(tmp_path))


def test_shards_are_counted_together_and_adapters_beside_them_are_not(tmp_path, tiny_model) -> None:
    tiny_model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    (tmp_path / "adapter_model.safetensors").write_bytes((tmp_path / "model.safetensors.index.json").read_bytes())
    assert info(str(tmp_path))["parameters"]["total"] == sum(p.numel() for p in tiny_model.parameters())


def test_it_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from vary.cli import main; main(['info', 'vary-base']); "
        "print({'torch', 'transformers'} & {*sys.modules})"
    )
    shown = printed_by(code)
    assert shown.splitlines()[-1] == "set()"
    assert "8,123,649,280" in shown
    assert r"user\n<img><imgpad>…</img>QUESTION<|im_end|><|im_start|>assistant\nANSWER<|im_end|>'" in shown
