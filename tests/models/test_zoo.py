"""Named models: every file of the zoo is a model, miniatures are lopsided, a user's file works like a name."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from transformers.initialization import no_init_weights

import vary
from vary.cli import main
from vary.models.config import preset
from vary.models.describe import describe
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.zoo import about, names, settings

from ..conftest import printed_by
from .test_rows import one_of_each_part

# sizes that these models have twice: the tower ends, or the gated layer or the experts are, as wide as a layer of the
# language model; MM1 has two equal stages
TIED = {
    "cogvlm": [64],
    "cogvlm2": [64],
    "cogvlm2-video": [64],
    "mm1": [20],
    "parrot": [64],
    "qwen2-vl": [32],
    "idefics2": [64],
}
WIDTHS = ("width", "hidden", "hidden_size", "intermediate_size", "ffn_dim", "mlp", "neck", "squeeze", "vocab_size")


@pytest.mark.parametrize("name", one_of_each_part(names()))
def test_a_row_is_a_model_and_its_miniature_is_small_and_lopsided(name) -> None:
    """A miniature with two equal sizes would hide a part that is wired to the wrong one."""
    with torch.device("meta"), no_init_weights():
        full, small = (VaryForConditionalGeneration(preset(name + end)) for end in ("", "-test"))
    count = sum(p.numel() for p in full.parameters())
    assert sum(p.numel() for p in small.parameters()) < 2_000_000 < count
    if about(name).trains and not about(name).reference:  # of other authors
        assert count > 2e8  # MaskGIT is the smallest
        assert full.config.image_token_id < full.config.text_config.vocab_size
    assert {k.split(".")[0] for k in full.state_dict()} == {k.split(".")[0] for k in small.state_dict()}
    found = settings(f"{name}-test")
    sizes = [own.get(key) for own in _mappings(found) for key in WIDTHS if own.get(key)]
    assert [size for size, count in Counter(sizes).items() if count > 1] == TIED.get(name, [])
    assert about(name).licence


def test_the_alphabet_and_the_words_of_the_decoder_agree() -> None:
    from vary.markup.prompts import character_vocabulary

    found = settings("vary-nano")
    ids = character_vocabulary(found["reading"]["alphabet"])
    assert found["text_config"]["vocab_size"] == len(ids)
    assert found["image_token_id"] == ids["<imgpad>"]
    named = [ids["<pad>"], ids["<s>"], ids["</s>"]]
    assert named == [found["text_config"][f"{kind}_token_id"] for kind in ("pad", "bos", "eos")]


def test_settings_are_fresh_every_time() -> None:
    settings("vary-toy")["vocabularies"][0]["config"]["hidden_size"] = 3
    assert settings("vary-toy")["vocabularies"][0]["config"]["hidden_size"] == 1024


def test_a_file_of_a_user_works_wherever_a_name_does(tmp_path, capsys) -> None:
    file = tmp_path / "mine.yaml"
    row = yaml.safe_load(Path("vary/models/zoo/vary-toy.yaml").read_text())
    row["vocabularies"][1]["hidden"] = 384
    file.write_text(yaml.safe_dump(row))
    assert preset(str(file)).vocabularies[1]["hidden"] == 384
    assert preset(str(file)).vocabularies[0] == preset("vary-toy").vocabularies[0]
    assert preset(f"{file}-test").text_config.hidden_size == preset("vary-toy-test").text_config.hidden_size
    assert main(["info", str(file)]) == 0
    assert "clip_vision_model, input 224x224 px, 256 tokens" in capsys.readouterr().out
    assert describe(str(file))["parameters"]["vocabularies.1"] < describe("vary-toy")["parameters"]["vocabularies.1"]
    row["vocabularies"][1]["of"] = "sam-2048"
    file.write_text(yaml.safe_dump(row))
    with pytest.raises(ValueError, match="unknown part 'sam-2048'; allowed: clip-norm"):
        preset(str(file))
    file.write_text("vocabularies: [")
    with pytest.raises(ValueError, match=r"mine.yaml: while parsing"):
        preset(str(file))


def test_no_network_knows_the_name_of_a_model() -> None:
    words = {word for name in names() for word in (name, name.replace("-", "_"))}
    for file in ("modeling.py", "vocab/merge.py", "config.py", "processor.py"):
        tree = ast.parse((Path(vary.__file__).parent / "models" / file).read_text())
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not words & (texts | used), file


LATE = "import transformers.pipelines; import vary.models"
PIPELINE = """
from transformers import pipeline
ask = pipeline("image-text-to-text", path)
turn = [dict(role="user", content=[dict(type="image", image=Image.new("RGB", (40, 30))), dict(type="text", text="a")])]
print(ask(turn, max_new_tokens=3)[0].keys())"""


@pytest.mark.slow  # 8 s of imports each; test_ecosystem.py uses these classes in its own process
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("import vary.models", PIPELINE),
        (LATE, PIPELINE),
    ],
)
def test_importing_the_models_registers_the_auto_classes(first, then, tmp_path, tokenizers) -> None:
    from vary.models.processor import VaryProcessor

    config = preset("got-test")
    VaryForConditionalGeneration(config).save_pretrained(tmp_path)
    VaryProcessor.of(config, tokenizers(config)).save_pretrained(tmp_path)
    code = f"""{first}
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from PIL import Image
path = {str(tmp_path)!r}
for auto in (AutoConfig, AutoModelForImageTextToText, AutoProcessor):
    print(type(auto.from_pretrained(path)).__name__)
{then}"""
    shown = printed_by(code).splitlines()
    assert shown[:3] == ["VaryConfig", "VaryForConditionalGeneration", "VaryProcessor"]
    assert "generated_text" in shown[-1]


def test_parts_are_imported_without_transformers() -> None:
    code = "import sys; import vary.models.vocab, vary.models.heads.reading; print('transformers' in sys.modules)"
    assert printed_by(code).strip() == "False"


def _mappings(value) -> list[dict]:
    """All mappings inside."""
    if isinstance(value, list):
        return [found for member in value for found in _mappings(member)]
    if not isinstance(value, dict):
        return []
    return [value, *(found for member in value.values() for found in _mappings(member))]
