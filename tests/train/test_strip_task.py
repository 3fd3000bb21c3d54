"""`write`: the decoder learns alone or together with the eyes, and strips grow as the stage says."""

from __future__ import annotations

import copy
import csv
import dataclasses
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from vary.train.loop import train
from vary.train.recipe import Recipe, Stage, View
from vary.train.tasks.reading_tasks import StripTask, make_strips
from vary.train.tasks.task import TaskContext, TextAssets

VIEW = View(height=96, width=192, batch=2, sizes_px=(12, 13), degraded=0.0, max_lines=3)
ALL = ("vocabularies", "reading_head", "connector", "language_model", "lm_head")
HEAD = {"ctc": 0.5, "glyph": 1.0, "blank": 1.0, "measure": 0.1}
STAGE = Stage(name="s", task="write", steps=9, lr=1e-3, trainable=ALL, views=(VIEW,), lines=(3,))


@pytest.fixture
def assets(text_source, faces) -> TextAssets:
    return TextAssets(text_source, text_source, faces)


def task(model, assets: TextAssets, state: dict | None = None, **changes) -> StripTask:
    context = TaskContext(1, 0, torch.device("cpu"), None, assets)
    return StripTask(model, dataclasses.replace(STAGE, **changes), context, state or {})


def test_losses_are_those_that_the_stage_names(tiny_model, assets) -> None:
    alone, joint = task(tiny_model, assets), task(tiny_model, assets, losses={"next": 2.0, "ctc": 1.0})
    batch = alone.data[0]
    torch.manual_seed(0)
    found, weight = alone.losses(batch)
    assert (alone.names, set(found), weight) == (("next",), {"next"}, 1.0)
    torch.manual_seed(0)
    both, _ = joint.losses(batch)
    assert set(both) == set(joint.names) == {"next", "ctc"}
    assert torch.equal(both["next"], found["next"])


def test_the_head_and_the_vocabulary_learn_from_the_auxiliary_loss(tiny_model, assets) -> None:
    model = copy.deepcopy(tiny_model)
    model.config.reading["append_posteriors"] = False  # else the decoder, too, pulls at the head
    model.connector.squeeze = torch.nn.Linear(model.reading_vocabulary.width, model.connector.squeeze.out_features)
    for losses, learns in (({}, False), (HEAD, True)):
        writing = task(model, assets, losses=losses)
        found, _ = writing.losses(writing.data[0])
        model.zero_grad()
        sum(found.values()).backward()
        assert (model.head.out.weight.grad is not None) == learns
        assert model.reading_vocabulary.stem[0][0].weight.grad.abs().sum() > 0


def test_an_auxiliary_loss_on_a_frozen_vocabulary_is_an_error(tiny_model, assets) -> None:
    model = copy.deepcopy(tiny_model)
    model.vocabularies.requires_grad_(False)
    assert task(model, assets, losses=HEAD).names == ("next", *HEAD)  # the head is not frozen
    model.head.requires_grad_(False)
    assert task(model, assets).frozen
    with pytest.raises(ValueError, match="loss 'ctc' teaches nothing: the vocabulary is frozen"):
        task(model, assets, losses=HEAD)


def test_strips_grow_as_the_stage_says(tiny_model, assets) -> None:
    growing = task(tiny_model, assets, lines=(1, 3), advance_at=0.5)
    for accuracy, lines in ((0.4, 1), (0.6, 1), (0.6, 1)):
        growing.advance(accuracy)
        assert growing.metrics["lines"] == lines
    growing.accuracy = 0.51
    growing.advance(0.9)
    assert growing.metrics["lines"] == 3
    assert task(tiny_model, assets, state=growing.state(), lines=(1, 3)).level == 1
    for _ in range(9):
        growing.advance(1.0)
    assert growing.metrics["lines"] == 3
    fixed = task(tiny_model, assets, lines=(2,), advance_at=0.0)
    fixed.advance(1.0)
    assert fixed.metrics["lines"] == 2


def test_strips_in_order_or_drawn(tiny_model, assets) -> None:
    samples = task(tiny_model, assets).data[0].samples
    strips, texts = make_strips(samples, 1, tiny_model)
    assert texts == [line.text for sample in samples for line in sample.lines]
    assert [s.item for s in strips] == sorted(s.item for s in strips)
    few, drawn = make_strips(samples, 1, tiny_model, limit=2)
    assert len(few) == 2
    assert set(drawn) <= set(texts)


def test_measures_are_the_same_whatever_was_drawn_before(tiny_model, assets) -> None:
    writing = task(tiny_model, assets, lines=(1, 2))
    assert writing.held_out_data.batches == [16]
    writing.held_out_data.batches = [3]  # fewer pages, to be quick
    writing.__dict__["held_out"] = [writing.held_out_data[0]]
    assert tuple(writing.held_out[0].images.shape) == (3, 1, 96, 192)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            found.append(writing.evaluate())
    assert found[0] == found[1]
    assert found[0]["next"] == pytest.approx(found[0]["blind"], rel=0.2)  # random weights: no image is of use
    assert found[0]["next"] != found[0]["blind"]
    assert found[0]["lines"] == 1


def test_joint_training_goes_on_to_the_bit(tmp_path, assets) -> None:
    view = {"height": 96, "width": 192, "batch": 2, "sizes_px": [12, 13], "degraded": 0.0, "max_lines": 3}
    stage = {"name": "w", "task": "write", "steps": 4, "lr": 0.003, "trainable": [*ALL], "views": [view]}
    stage |= {"losses": {"next": 1.0, **HEAD}, "lines": [1, 2, 3], "advance_at": 0.0001}
    runs = {}
    for name, pieces in (("whole", [None]), ("pieces", [1, 1, None])):
        path = tmp_path / f"{name}.yaml"
        recipe = {
            "model": "vary-nano-test",
            "out": str(tmp_path / name),
            "workers": 0,
            "log_every": 1,
            "stages": [stage],
        }
        path.write_text(yaml.safe_dump(recipe))
        for steps in pieces:
            train(Recipe.load(path), log=lambda _: None, max_steps=steps, assets=assets)
        with (tmp_path / name / "loss.csv").open() as file:
            runs[name] = list(csv.DictReader(file))
    drop = {"per_s", "tokens_s", "mfu"}
    one, other = ([{k: v for k, v in row.items() if k not in drop} for row in runs[k]] for k in ("whole", "pieces"))
    assert one == other
    assert one[-1]["lines"] == "3.0000"
    assert float(one[-1]["ctc"]) > 0
    last = [sorted((tmp_path / k).glob("step-*"))[-1] / "ema.safetensors" for k in ("whole", "pieces")]
    before, after = (load_file(path) for path in last)
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("lines", [(), (0,), (1, 2.5)])
def test_wrong_lines_are_named(lines) -> None:
    with pytest.raises(ValueError, match=r"stage 's': lines .*; allowed: whole numbers from 1"):
        dataclasses.replace(STAGE, lines=lines)


def test_the_recipe_of_the_ablation_loads() -> None:
    recipe = Recipe.load(Path(__file__).parents[2] / "recipes/learning-plateau.yaml", ["stages.0.lines=[1, 2, 3]"])
    assert recipe.stages[0].lines == (1, 2, 3)
    assert recipe.stages[0].steps % recipe.eval_every == 0  # the last row of every arm is its last step
