"""The cost of a stage: towers of any size are estimated, and the estimate is that of the same tower of one size."""

from __future__ import annotations

from typing import Any

import pytest

from vary.models.config import VaryConfig, preset
from vary.models.modeling import VaryForConditionalGeneration
from vary.train.flops import cost_of
from vary.train.recipe import Recipe, Stage

SIZES = {"image_size": 70, "patch_size": 14, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
         "num_attention_heads": 2}  # fmt: skip


def cost(model_type: str, trainable: tuple[str, ...] = (), **sizes: Any) -> float:
    """Operations of one sample, for a miniature with such a tower."""
    tower = {"name": "tower", "config": {"model_type": model_type, **SIZES, **sizes}, "preprocess": {"size": 70}}
    text = preset("llava-1.5-test").text_config
    model = VaryForConditionalGeneration(VaryConfig([tower], "channel", {"name": "linear"}, text))
    stage = Stage(name="s", task="answer", steps=1, lr=1e-3, trainable=trainable, mix="m")
    return cost_of(model, stage, Recipe(model="m", out="o", stages=(stage,)), 8).flops


def test_a_tower_of_any_size_costs_as_much_as_the_same_tower_of_one_size() -> None:
    assert cost("idefics3_vision") == pytest.approx(cost("siglip_vision_model", vision_use_head=False), rel=0.02)
    assert cost("idefics3_vision", hidden_size=48) > cost("idefics3_vision")


def test_more_layers_cost_their_products_and_a_trained_tower_three_times_as_much() -> None:
    frozen, trained = cost("idefics3_vision"), cost("idefics3_vision", ("vocabularies",))
    patches, width, inner = 25, SIZES["hidden_size"], SIZES["intermediate_size"]
    layer = 2 * patches * (4 * width**2 + 2 * width * inner) + 4 * patches**2 * width
    assert cost("idefics3_vision", num_hidden_layers=4) - frozen == 2 * layer
    stem = 2 * patches * 3 * SIZES["patch_size"] ** 2 * width
    assert trained - frozen == 2 * (2 * layer + stem)
