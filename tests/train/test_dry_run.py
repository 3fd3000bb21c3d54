"""What a recipe says before it runs: stages, sizes, memory, the command that makes its model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vary.io.errors import ConfigError
from vary.train.dry_run import describe_run
from vary.train.recipe import Recipe

from .chat_runs import recipe, run

pytestmark = pytest.mark.usefixtures("pictures")
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(("name", "what"), [("bench-merge", "a bench, for `vary bench`"), ("mix-vary-toy", "a mix")])
def test_a_file_that_is_no_recipe_is_called_what_it_is(name, what) -> None:
    with pytest.raises(ConfigError, match=f"{name}.yaml: not a recipe but {what}"):
        Recipe.load(RECIPES / f"{name}.yaml")


def test_plan_says_what_a_stage_will_do(model_folder) -> None:
    text = describe_run(recipe(model_folder("vary-toy"), "run", {"accumulate": 4}))
    assert "pretrain: 4 steps of 12 samples" in text
    assert "vocabularies" in text
    assert "frozen" in text
    assert "[Number 0.<|im_end|>]" in text
    assert not (model_folder("vary-toy").parent / "run").exists()


@pytest.mark.parametrize(
    "name",
    ["vary-tiny"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("vary-tiny-plus", "vary-toy", "vary-toy-lora", "vary-base", "vary-base-qlora")
    ],
)
def test_recipes_of_the_paper_can_be_described_without_weights(name, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)  # where no models/ are
    settings = Recipe.load(RECIPES / f"{name}.yaml")
    text = describe_run(settings)
    assert f"{settings.model} does not exist: sizes are those of {settings.preset}" in text
    assert f"make it first: {settings.made_by}" in text
    assert "GiB" in text
    assert "TFLOP a step" in text
    with pytest.raises(ValueError, match=f"{settings.model}: no model folder; make it first: vary "):
        run(settings)
    assert settings.made_by.split()[:2] in (["vary", "convert"], ["vary", "train"])
    assert settings.model in settings.made_by


@pytest.mark.parametrize("name", ["claim", "learning-plateau"])
def test_recipes_of_benchmarks_can_be_described_without_weights(name, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(RECIPES.parent)  # their models are files of the repository
    settings = Recipe.load(RECIPES / f"{name}.yaml", [f"model={tmp_path / 'none'}"])
    text = describe_run(settings)
    assert f"sizes are those of recipes/models/{name.partition('-')[0]}" in text
    assert "TFLOP a step" in text
    with pytest.raises(ValueError, match="no model folder; make it first: python benchmarks/"):
        run(settings)


def test_quantised_weights_need_less_memory_in_the_description(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [describe_run(Recipe.load(RECIPES / "vary-base-qlora.yaml", changes)) for changes in ([], ["lora.bits=0"])]
    four_bits, plain = (float(re.search(r"weights ([\d.]+),", text)[1]) for text in texts)
    assert four_bits < 0.5 * plain
