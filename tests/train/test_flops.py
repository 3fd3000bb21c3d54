"""The cost of a stage: towers of any size are estimated, and the estimate is that of the same tower of one size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vary.models.config import VaryConfig, preset
from vary.models.modeling import VaryForConditionalGeneration
from vary.train.distributed import Ranks
from vary.train.flops import ThroughputMeter, cost_of
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


def test_each_expert_of_a_token_costs_its_products() -> None:
    stage = Stage(name="s", task="answer", steps=1, lr=1e-3, trainable=(), mix="m")
    found = []
    for top in (1, 2):
        config = preset("vita-test")
        config.text_config.num_experts_per_tok = top
        recipe = Recipe(model="m", out="o", stages=(stage,), precision="float32")
        found.append(cost_of(VaryForConditionalGeneration(config), stage, recipe, 8).flops)
    text = preset("vita-test").text_config
    expert = 2 * 3 * text.hidden_size * text.intermediate_size
    assert found[1] - found[0] == 3 * 8 * text.num_hidden_layers * expert  # with the backward pass


@pytest.mark.parametrize("name", ["nano", "llava-next"])
def test_a_run_counts_the_images_that_it_sees(name) -> None:
    """A strip is no page of 1,024 pixels a side, and a picture in five views is not one view."""
    config = preset("llava-next-test")
    if name == "nano":
        nano = {"name": "nano", "preprocess": {"fit": "page", "multiple": 8}}
        config = VaryConfig([nano], "channel", {"name": "linear"}, config.text_config)
    model = VaryForConditionalGeneration(config)
    stage = Stage(name="s", task="answer", steps=1, lr=1e-3, trainable=("vocabularies", "language"), mix="m")
    meter = ThroughputMeter(model, stage, Recipe(model="m", out="o", stages=(stage,)), Ranks.join())
    side = config.vocabularies[0]["preprocess"].get("size", 32)
    pixels, ids = torch.rand(10, model.vocabularies[0].channels, side, side), torch.ones(2, 7, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:  # two samples
        model.encode_images(pixels)
        model(ids)
    meter.add(2, 14)
    meter.read()
    assert meter.flops == pytest.approx(3 * counter.get_total_flops() / 2, rel=0.1)
    assert meter.flops < cost_of(model, stage, meter.of[2], 7).flops / 50 or name != "nano"
    model.encode_images(pixels)
    assert meter.views[0].total() == 10, "images of later steps are not counted"
