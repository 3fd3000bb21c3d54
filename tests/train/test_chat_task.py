"""The family's stages on miniatures: what is trained and what is not, packing, adapters, optimisers."""

from __future__ import annotations

import csv
import dataclasses
import math
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoProcessor

from vary.data.sample import Sample, Skipped
from vary.models.config import preset
from vary.models.generate.chat import load_chat_model
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.models.processor import VaryProcessor
from vary.train.build import build
from vary.train.distributed import Ranks
from vary.train.export import export
from vary.train.loop import Run
from vary.train.optim import build_optimizers, rate_factors, schedule
from vary.train.recipe import Recipe, Stage
from vary.train.tasks import chat_task
from vary.train.tasks.chat_task import ChatData, ChatTask, to_messages
from vary.train.tasks.task import TaskContext

from .chat_runs import TRAINED, Pictures, losses, newest, pages, recipe, run

pytestmark = pytest.mark.usefixtures("pictures")
# Stage -> miniature, what it trains, and the loss of its four steps. PyTorch 2.13 on a CPU printed the losses;
# `test_golden_losses_are_those_of_a_plain_loop` computes them a second way.
STAGES = {
    "vocabulary": ("vary-tiny", ["vocabularies", *TRAINED], [5.5670, 5.3343, 5.2194, 5.1178]),
    "pretrain": ("vary-toy", TRAINED, [6.1753, 5.9746, 5.8093, 5.7122]),
    "tune": ("vary-base", TRAINED, [6.1754, 5.9747, 5.8093, 5.7121]),
}


@pytest.mark.parametrize("stage", STAGES)
def test_golden_losses(model_folder, stage) -> None:
    name, trainable, golden = STAGES[stage]
    folder = model_folder(name)
    settings = recipe(folder, "run", {"name": stage, "trainable": trainable, "accumulate": 2})
    run(settings)
    assert losses(settings) == pytest.approx(golden, abs=2e-3)
    before, after = load_file(folder / "model.safetensors"), newest(settings)
    assert set(after) <= set(before)
    assert all(name.startswith(tuple(trainable)) for name in after)  # what is frozen is not even written
    assert not all(torch.equal(before[name], after[name]) for name in after)
    export(settings, folder.parent / "made", half=False)
    made = load_file(folder.parent / "made" / "model.safetensors")
    assert made.keys() == before.keys()
    assert all(torch.equal(made[name], before[name]) for name in before if not name.startswith(tuple(trainable)))
    load_chat_model(folder.parent / "made")


@pytest.mark.parametrize("stage", STAGES)
def test_golden_losses_are_those_of_a_plain_loop(saved_models, stage) -> None:
    """The language model of transformers with its own loss, torch's AdamW and clipping, and the dropout of the run.

    Only prompts, vision and connector are ours; tests/models compares those with the papers' code.
    """
    name, trainable, golden = STAGES[stage]
    model, processor = load_model(saved_models / name), AutoProcessor.from_pretrained(saved_models / name)
    text = AutoModelForCausalLM.from_config(model.config.text_config).float().train()
    weights = {key.replace("language_model.", "model.", 1): value for key, value in model.state_dict().items()}
    text.load_state_dict({key: weights[key] for key in text.state_dict()})
    model.requires_grad_(False)
    seen = [model.connector, *([model.vocabularies] if "vocabularies" in trainable else [])]
    trained = [*text.parameters(), *(p.requires_grad_() for part in seen for p in part.parameters())]
    decays = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim < 2]
    adam = torch.optim.AdamW([{"params": decays[0], "weight_decay": 0.02}, {"params": decays[1], "weight_decay": 0.0}],
                             betas=(0.9, 0.98))  # fmt: skip
    found = []
    for step in range(4):
        adam.zero_grad()
        total = learnt = 0.0
        for part in (2 * step, 2 * step + 1):
            torch.manual_seed(1009 * 10_000_019 + part)
            messages = [to_messages(Pictures().sample(i)) for i in range(3 * part, 3 * part + 3) if i % 11 != 10]
            samples = [processor.apply_chat_template(m, tokenize=True, return_dict=True, labels=True) for m in messages]
            ids, labels = (
                pad_sequence([sample[key][0] for sample in samples], batch_first=True, padding_value=value)
                for key, value in (("input_ids", processor.tokenizer.pad_token_id), ("labels", -100))
            )
            embeds = text.get_input_embeddings()(ids)
            for row, sample in enumerate(samples):
                if "pixel_values" in sample:
                    image = model.get_image_features(sample["pixel_values"])[0]
                    embeds[row, ids[row] == model.config.image_token_id] = image
            count = int((labels[:, 1:] != -100).sum())
            loss = text(inputs_embeds=embeds, labels=labels).loss * count  # padding comes after all labels
            loss.backward()
            total, learnt = total + loss.item(), learnt + count
        found.append(total / learnt)
        for p in trained:
            p.grad /= learnt
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for group in adam.param_groups:
            group["lr"] = 0.003 * max(0.02, 0.5 + 0.5 * math.cos(math.pi * max(0, step - 1) / 3))
        adam.step()
    assert found == pytest.approx(golden, abs=2e-3)


def test_frozen_parts_get_no_gradients(model_folder) -> None:
    settings = recipe(model_folder("vary-toy"), "run", {"steps": 1})
    stage, trainer = settings.stages[0], Run(settings, Ranks.join(), print)
    task = ChatTask(trainer.model, stage, TaskContext(1, 0, torch.device("cpu"), trainer.processor), {})
    trainer.train_step(stage, task, iter([task.data[0]]), trainer.begin(stage))
    seen = {name: p.grad is not None for name, p in trainer.model.named_parameters()}
    assert not any(m.training for m in trainer.model.vocabularies.modules())
    assert {name.split(".")[0] for name, given in seen.items() if given} == set(TRAINED)
    assert all(not given for name, given in seen.items() if name.startswith("vocabularies"))


@pytest.mark.parametrize(
    "changes", [{"compile": False, "checkpointing": True}, {"stage": {"pack": True, "batch": 6, "max_tokens": 700}}]
)
def test_other_ways_to_the_same_losses(model_folder, changes) -> None:
    folder = model_folder("vary-toy")
    stage = changes.pop("stage", {})
    plain = recipe(folder, "plain", {k: v for k, v in stage.items() if k != "pack"})
    other = recipe(folder, "other", stage, **changes)
    run(plain)
    run(other)
    assert losses(other) == pytest.approx(losses(plain), abs=2e-4)


def test_accumulating_is_a_larger_batch(model_folder) -> None:
    folder = model_folder("vary-toy")
    whole, parts = recipe(folder, "a", {"batch": 6}), recipe(folder, "b", {"batch": 2, "accumulate": 3})
    run(whole)
    run(parts)
    assert losses(parts) == pytest.approx(losses(whole), abs=2e-4)


@pytest.mark.parametrize("name", ["vary-toy", "vary-tiny"])
def test_packed_rows_hold_whole_samples_that_do_not_see_each_other(model_folder, name) -> None:
    model, processor = build(recipe(model_folder(name), "run"))
    stage = recipe(model_folder(name), "run", {"batch": 6, "max_tokens": 700}).stages[0]
    plain, rows = (
        ChatData(Pictures(), processor, dataclasses.replace(stage, pack=pack), model.config.image_token_id)[0]
        for pack in (False, True)
    )
    assert rows.learnt == plain.learnt
    assert len(rows.inputs["input_ids"]) < len(plain.inputs["input_ids"])
    model.eval()
    with torch.no_grad():
        one, other = (model(**talk.inputs) for talk in (plain, rows))
    torch.testing.assert_close(one.loss, other.loss, atol=1e-5, rtol=1e-5)


def test_what_is_too_long_loses_its_end_but_never_an_image(model_folder) -> None:
    model, processor = build(recipe(model_folder("vary-toy"), "run"))
    stage = recipe(model_folder("vary-toy"), "run", {"batch": 2}).stages[0]
    image_id = model.config.image_token_id
    whole = ChatData(Pictures(), processor, stage, image_id)[7]
    longest = int(whole.inputs["attention_mask"].sum(1).max())
    cut = ChatData(Pictures(), processor, dataclasses.replace(stage, max_tokens=longest - 3), image_id)[7]
    assert (whole.cut, cut.cut) == (0, 1)
    ends = [int(row[row >= 0][-1]) for row in cut.inputs["labels"]]
    assert ends.count(processor.stop_ids[-1]) == 1  # a page that goes on is not taught to end
    with pytest.raises(ValueError, match=r"pictures: sample 14: its image ends after token 20"):
        ChatData(Pictures(), processor, dataclasses.replace(stage, max_tokens=20), image_id)[7]


class LongQuestions:
    """Samples whose answer begins after token 250."""

    def sample(self, i: int) -> Sample:
        image = np.random.default_rng(i).integers(0, 255, (40, 60, 3), np.uint8)
        return Sample(image, [], "picture", {}, f"Number {i}.", "Which is it? " * 40)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_run_without_labels_stops_and_says_why(model_folder, monkeypatch, steps) -> None:
    monkeypatch.setattr(chat_task, "open_mix", lambda stage, seed, held_out=False: LongQuestions())
    settings = recipe(model_folder("vary-toy"), "run", {"steps": steps})
    count = min(3, steps)
    wanted = f"stage 'pretrain': {count} steps in a row had no label to learn from: max_tokens 250 cut 100%"
    with pytest.raises(ValueError, match=wanted):
        run(settings)


class Answers:
    """Samples with these answers in turn; None is a sample that is skipped."""

    def __init__(self, *answers: str | None):
        self.answers = answers

    def sample(self, i: int) -> Sample:
        text = self.answers[i % len(self.answers)]
        if text is None:
            raise Skipped("pictures", i, "no such image")
        image = np.random.default_rng(i).integers(0, 255, (40, 60, 3), np.uint8)
        return Sample(image, [], "picture", {}, text, "Which is it?")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["", " \n\t "], "their samples have no text"),
        ([None], "their samples were skipped: pictures: record 6: no such image"),
        ([None, " "], "their samples were skipped: "),
    ],
)
def test_a_run_whose_answers_are_blank_or_skipped_stops_and_says_why(model_folder, monkeypatch, answers, why) -> None:
    monkeypatch.setattr(chat_task, "open_mix", lambda stage, seed, held_out=False: Answers(*answers))
    settings = recipe(model_folder("vary-toy"), "run", {"steps": 5})
    with pytest.raises(ValueError, match=f"stage 'pretrain': 3 steps in a row had no label to learn from: {why}"):
        run(settings)


def test_blank_answers_among_others_are_learnt(model_folder, monkeypatch) -> None:
    """A blank page ends at once: that is taught where some pages have text."""
    monkeypatch.setattr(chat_task, "open_mix", lambda stage, seed, held_out=False: Answers("", "", "", "Six."))
    settings = recipe(model_folder("vary-toy"), "run", {"steps": 5})
    assert len(run(settings)) > 0


def test_the_share_of_cut_answers_is_logged_from_the_first_step(model_folder) -> None:
    folder = model_folder("vary-toy")
    model, processor = build(recipe(folder, "run"))
    whole = ChatData(Pictures(), processor, recipe(folder, "run").stages[0], model.config.image_token_id)[0]
    limit = int(whole.inputs["attention_mask"].sum(1).max()) - 3
    settings = recipe(folder, "run", {"steps": 3, "max_tokens": limit})
    lines = [*run(settings, max_steps=2), *run(settings)]
    data = ChatData(Pictures(), processor, settings.stages[0], model.config.image_token_id)
    cut = np.cumsum([data[k].cut for k in range(3)]) / [3, 6, 9]
    with (Path(settings.out) / "loss.csv").open() as file:
        assert [float(row["cut"]) for row in csv.DictReader(file)] == pytest.approx(cut.tolist(), abs=1e-4)
    assert cut[0] > 0
    assert f"cut {cut[0]:.3f}" in next(line for line in lines if "1/3" in line)


def test_skipped_samples_are_named_and_turns_are_kept(model_folder) -> None:
    settings = recipe(model_folder("vary-toy"), "run", {"steps": 5})
    lines = run(settings)
    assert [line for line in lines if "skipped" in line] == ["step 3: skipped pictures: record 10: torn"]
    asked = to_messages(Pictures().sample(2))
    assert [m["role"] for m in asked] == ["user", "assistant"] * 2
    assert len(asked[0]["images"]) == 1


def test_noise_and_z_loss_are_terms_of_training(model_folder) -> None:
    """Noise is the same in every run; the z-loss of the first step is computed here."""
    folder, found = model_folder("vary-tiny"), {}
    ways = {"plain": {}, "noise": {"noise": 5.0}, "again": {"noise": 5.0}, "z": {"z_loss": 0.01}}
    for name, change in ways.items():
        settings = recipe(folder, name, {"name": name, "trainable": TRAINED, **change})
        run(settings)
        found[name] = losses(settings)
    assert found["noise"] == found["again"] != found["plain"]
    assert 0.01 * math.log(250) ** 2 < found["z"][0] - found["plain"][0] < 0.01 * math.log(500) ** 2


def test_resuming_is_bitwise_with_muon(model_folder) -> None:
    folder, stage = model_folder("vary-toy"), {"optimizer": "muon", "steps": 5}
    whole, pieces = recipe(folder, "whole", stage), recipe(folder, "pieces", stage)
    run(whole)
    for steps in (1, 2, 9):
        run(pieces, max_steps=steps)
    one, other = newest(whole), newest(pieces)
    assert all(torch.equal(one[key], other[key]) for key in one | other)
    assert losses(whole) == losses(pieces)


def test_groups_have_their_own_rates() -> None:
    torch.manual_seed(0)
    model = VaryForConditionalGeneration(preset("vary-tiny-test"))
    stage = Stage(
        name="s", task="answer", mix="m", steps=10, lr=1.0, trainable=("",), optimizer="muon", layer_decay=0.5,
        rates={"vocabularies": 0.1, "vocabularies.0.neck": 2.0},
    )  # fmt: skip
    shares = rate_factors(model, stage)
    assert shares["vocabularies.0.blocks.2.norm1.weight"] == pytest.approx(0.1)
    assert shares["vocabularies.0.blocks.0.norm1.weight"] == pytest.approx(0.1 / 4)
    assert shares["vocabularies.0.pos_embed"] == pytest.approx(0.1 / 8)
    assert shares["vocabularies.0.neck.0.weight"] == 2.0
    assert shares["language_model.decoder.layers.1.fc1.weight"] == 1.0
    adam, muon = build_optimizers(model, stage)
    by_muon = {id(p) for g in muon.param_groups for p in g["params"]}
    names = {n for n, p in model.named_parameters() if id(p) in by_muon}
    assert "language_model.decoder.layers.0.fc1.weight" in names
    assert not any("embed" in n or "lm_head" in n or p.ndim != 2 for n, p in model.named_parameters() if n in names)
    everything = {id(p) for o in (adam, muon) for g in o.param_groups for p in g["params"]}
    assert everything == {id(p) for p in model.parameters()}
    with pytest.raises(ValueError, match="rates: no parameter begins with 'neck'"):
        rate_factors(model, dataclasses.replace(stage, rates={"neck": 1.0}))
    cosine = dataclasses.replace(stage, schedule="cosine", warmup=0.2, floor=0.0, steps=102)
    rates = [schedule(k, cosine) for k in range(102)]
    assert rates[19] == pytest.approx(1.0)
    assert rates[61] == pytest.approx(0.5, abs=0.02)
    assert rates[101] < 0.001


# slow: for 4 bits the library compiles a kernel at the first use in an environment, which takes a minute and more
@pytest.mark.parametrize("bits", [0, 8, pytest.param(4, marks=pytest.mark.slow)])
def test_lora(model_folder, bits) -> None:
    folder = model_folder("vary-toy")
    stage = {"trainable": ["connector", "language_model"], "steps": 6, "lr": 0.02}
    settings = recipe(
        folder,
        "run",
        stage,
        lora={"r": 4, "bits": bits},
        **({} if bits == 8 else {"hold": "bfloat16", "precision": "bf16"}),
    )
    run(settings, max_steps=3)
    run(settings)
    kept = newest(settings)
    assert kept
    assert all("lora_" in name or name.startswith("connector") for name in kept)
    assert losses(settings)[-1] < losses(settings)[0]
    export(settings, folder.parent / "made", half=False)
    before, made = (load_file(path / "model.safetensors") for path in (folder, folder.parent / "made"))
    assert made.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], made[name].float())}
    assert all("proj" in name or name.startswith("connector") for name in changed)
    assert load_model(folder.parent / "made")


def test_held_weights_never_stand_in_float32(model_folder) -> None:
    folder = model_folder("vary-toy")
    load_model(folder).bfloat16().save_pretrained(folder)
    model, _ = build(recipe(folder, "run", hold="bfloat16", precision="bf16"))
    kinds = {(name.split(".")[0] in TRAINED, p.dtype) for name, p in model.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    table = model.language_model.rotary_emb.inv_freq
    assert torch.equal(table, VaryForConditionalGeneration(model.config).language_model.rotary_emb.inv_freq)


@pytest.mark.parametrize(
    "change", [{"lora": {}}, {"stage": {"trainable": ["connector"]}}, {"stage": {"optimizer": "muon"}}]
)
def test_shard_is_for_whole_language_models(model_folder, change) -> None:
    with pytest.raises(ValueError, match="shard: allowed without lora"):
        recipe(model_folder("vary-toy"), "run", shard=True, **change)


def test_wrong_stages_say_what_is_wrong(model_folder) -> None:
    folder = model_folder("vary-toy")
    for stage, message in [
        ({"optimizer": "sgd"}, "optimizer 'sgd'; allowed: adamw, muon"),
        ({"mix": ""}, "learns from a mix"),
        ({"task": "guess"}, "task 'guess'"),
    ]:
        with pytest.raises(ValueError, match=message):
            recipe(folder, "run", stage)
    with pytest.raises(ValueError, match="needs a tokenizer"):
        run(recipe(folder, "run", model="vary-toy-test"))


@pytest.mark.slow  # 223 million parameters, a page of 1024 px, and checkpoints of 2.7 GB
@pytest.mark.timeout(1500)
def test_a_step_at_full_size(tmp_path, tokenizers) -> None:
    config = preset("vary-tiny")
    config.image_token_id = preset("vary-tiny-test").image_token_id  # bytes stand for OPT's tokens
    VaryForConditionalGeneration(config).save_pretrained(tmp_path / "start")
    VaryProcessor.of(config, tokenizers(config)).save_pretrained(tmp_path / "start")
    shipped = Path(__file__).parents[2] / "recipes" / "vary-tiny.yaml"
    places = [f"model={tmp_path / 'start'}", f"out={tmp_path / 'run'}", "workers=0", "log_every=1"]
    sizes = ["stages.0.batch=1", "stages.0.accumulate=1", "stages.0.steps=3"]
    precision = "precision=auto"  # a CPU without instructions for the recipe's bf16 is slow at it
    settings = Recipe.load(shipped, [*places, *sizes, precision])
    lines = run(settings, max_steps=2)
    print(*lines, f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB", sep="\n")
    assert 9 < losses(settings)[0] < 13  # log 50,268 is 10.8
    assert "resumed" in run(settings)[0]


def test_a_mix_and_a_folder_of_shards(model_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.undo()
    shards = pages(tmp_path)
    folder = model_folder("vary-toy")
    for name, source in (("by_mix", tmp_path / "mix.yaml"), ("by_shards", shards)):
        settings = recipe(folder, name, {"mix": str(source), "batch": 2, "steps": 2, "max_tokens": 120}, eval_every=2)
        assert any("held-out loss" in line for line in run(settings))
