"""Training: recipes are checked, the loop learns, and stopping and going on changes nothing."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from vary.data.sample import Sample
from vary.io.errors import VaryError
from vary.models.config import preset
from vary.models.modeling import VaryForConditionalGeneration
from vary.train import loader
from vary.train.distributed import Ranks
from vary.train.export import export
from vary.train.loader import ignore_signals, iterate_batches
from vary.train.loop import train
from vary.train.optim import schedule
from vary.train.recipe import Recipe, Stage
from vary.train.tasks.task import TextAssets

RECIPE = {
    "model": "vary-nano-test",
    "out": "",
    "eval_every": 1000,
    "save_every": 2,
    "workers": 0,
    "stages": [
        {
            "name": "spell",
            "task": "read",
            "steps": 4,
            "lr": 0.003,
            "trainable": ["vocabularies", "reading_head"],
            "views": [{"height": 64, "width": 256, "batch": 2}, {"height": 96, "width": 192, "batch": 1}],
        },
        {
            "name": "write",
            "task": "write",
            "steps": 3,
            "lr": 0.003,
            "trainable": ["connector", "language_model", "lm_head"],
            "views": [{"height": 128, "width": 256, "batch": 1, "sizes_px": [10, 18]}],
        },
    ],
}


@pytest.fixture
def assets(text_source, faces) -> TextAssets:
    return TextAssets(text_source, text_source, faces)


def recipe(tmp_path: Path, name: str, changes: list[str] | None = None) -> Recipe:
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"out": str(tmp_path / name)}))
    return Recipe.load(path, changes)


def newest(run: Path) -> Path:
    return sorted(run.glob("step-*"))[-1]


def test_resume_equals_an_uninterrupted_run(tmp_path, assets) -> None:
    whole, pieces = recipe(tmp_path, "whole"), recipe(tmp_path, "pieces")
    train(whole, log=lambda _: None, assets=assets)
    for steps in (3, 3, 100):
        torch.manual_seed(steps)  # whatever the process did before
        train(pieces, log=lambda _: None, max_steps=steps, assets=assets)
    assert [p.name for p in sorted((tmp_path / "pieces").glob("step-*"))] == ["step-1-0000002", "step-2-0000000"]
    for step, name in [("step-1-0000002", n) for n in ("model", "ema", "optimizer")] + [("step-2-0000000", "ema")]:
        one, other = (load_file(tmp_path / run / step / f"{name}.safetensors") for run in ("whole", "pieces"))
        assert one.keys() == other.keys()
        assert one
        for key in one:
            assert torch.equal(one[key], other[key]), f"{name}: {key}"


class BlankPages:
    """Pages without any text, of the size that a view asks for."""

    def __init__(self, *_, height: int, width: int, **__):
        self.image = np.full((height, width), 255, np.uint8)

    def sample(self, i: int) -> Sample:
        return Sample(self.image, [], "page", {}, "", "")


@pytest.mark.parametrize("stage", [0, 1])
def test_pages_without_text_stop_the_run(tmp_path, assets, monkeypatch, stage) -> None:
    """The reading head would learn from them that nothing is text, and its other losses would be 0."""
    monkeypatch.setattr("vary.train.tasks.reading_tasks.PageSource", BlankPages)
    whole = RECIPE | {"out": str(tmp_path / "run"), "stages": [RECIPE["stages"][stage] | {"steps": 30}]}
    (tmp_path / "blank.yaml").write_text(yaml.safe_dump(whole))
    with pytest.raises(VaryError, match=r"steps in a row had no label to learn from: their samples have no text"):
        train(Recipe.load(tmp_path / "blank.yaml"), log=lambda _: None, assets=assets)


def test_frozen_parts_stay_as_they_were(tmp_path, assets) -> None:
    settings = recipe(tmp_path, "run")
    train(settings, log=lambda _: None, max_steps=4, assets=assets)
    before = load_file(newest(tmp_path / "run") / "model.safetensors")
    train(settings, log=lambda _: None, assets=assets)
    after = load_file(newest(tmp_path / "run") / "model.safetensors")
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed <= {"connector", "language_model", "lm_head"}
    assert "connector" in changed


def test_it_learns_what_it_sees(tmp_path, assets) -> None:
    changes = ["stages.0.steps=40", "stages.0.lr=0.01", "stages.0.decay=0.0"]
    train(recipe(tmp_path, "run", changes), log=lambda _: None, max_steps=40, assets=assets)
    with (tmp_path / "run" / "loss.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["ctc"]) < 6 < 10
    assert float(rows[-1]["blank"]) < 0.3


def test_export_reads_back(tmp_path, assets) -> None:
    from vary.reading.loader import load_reader

    settings = recipe(tmp_path, "run")
    train(settings, log=lambda _: None, max_steps=2, assets=assets)
    state = export(settings, tmp_path / "model")
    assert state["step"] == 2
    reader = load_reader(str(tmp_path / "model"))
    ema = load_file(newest(tmp_path / "run") / "ema.safetensors")
    weight = torch.from_numpy(reader.network.head.out.T)
    torch.testing.assert_close(weight, ema["reading_head.out.weight"], atol=1e-3, rtol=1e-3)
    pixels = np.random.default_rng(1).standard_normal((64, 128)).astype(np.float32)
    engines = [load_reader(str(tmp_path / "model"), engine=name).network.engine for name in ("onnx", "torch")]
    np.testing.assert_allclose(*(engine.features(pixels) for engine in engines), atol=1e-4)
    with pytest.raises(ValueError, match="no checkpoint"):
        export(recipe(tmp_path, "empty"), tmp_path / "none")


def test_export_keeps_batch_norm_in_float32_whatever_the_model_is_called(tmp_path, assets, monkeypatch) -> None:
    monkeypatch.setattr("vary.train.export.export_reader", lambda folder: None)  # tested above, and takes seconds
    settings = recipe(tmp_path, "run")
    train(settings, log=lambda _: None, max_steps=1, assets=assets)
    export(settings, tmp_path / "mine", half=False)
    again = recipe(tmp_path, "again", [f"model={tmp_path / 'mine'}"])
    train(again, log=lambda _: None, max_steps=1, assets=assets)
    norms = {
        f"{name}.{own}"
        for name, module in VaryForConditionalGeneration(preset("vary-nano-test")).named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for own in ("weight", "bias", "running_mean", "running_var")
    }
    assert norms
    for run in (settings, again):
        export(run, tmp_path / "half")
        written = load_file(tmp_path / "half" / "model.safetensors")
        kept = {name for name, tensor in written.items() if tensor.dtype == torch.float32}
        assert kept == norms & written.keys()
        assert norms <= written.keys()


def test_a_run_of_the_first_edition_goes_on(tmp_path, assets) -> None:
    settings = recipe(tmp_path, "run")
    train(settings, log=lambda _: None, max_steps=2, assets=assets)
    last = tmp_path / "run" / "last"
    newest(tmp_path / "run").rename(last)  # it had no manifest, and fewer things to remember
    (last / "manifest.json").unlink()
    state = json.loads((last / "state.json").read_text())
    kept = {k: state[k] for k in ("stage", "step", "seen", "seconds", "task")}
    (last / "state.json").write_text(json.dumps(kept))
    lines: list[str] = []
    train(settings, log=lines.append, max_steps=1, assets=assets)
    assert "last at stage 0, step 2" in lines[0]
    assert last.exists()
    train(recipe(tmp_path, "whole"), log=lambda _: None, max_steps=3, assets=assets)
    one, other = (load_file(newest(tmp_path / run) / "optimizer.safetensors") for run in ("run", "whole"))
    assert all(torch.equal(one[key], other[key]) for key in one | other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stages.0.learning_rate=1", "unknown key 'learning_rate'"),
        ("stages.0.step=1", "did you mean 'steps'"),
        ("model=vary-huge", "unknown model 'vary-huge'"),
        ("stages.0", "expected key=value"),
        ("stages.0.trainable=[nothing]", "no parameter begins with"),
    ],
)
def test_wrong_recipes_say_what_is_wrong(tmp_path, assets, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        train(recipe(tmp_path, "bad", [change]), log=lambda _: None, assets=assets)


def test_schedule_is_a_trapezoid(tmp_path) -> None:
    stage = recipe(tmp_path, "r", ["stages.0.steps=100", "stages.0.warmup=0.1", "stages.0.decay=0.5"]).stages[0]
    rates = [schedule(step, stage) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:50] == [1.0] * 40
    assert rates[99] == pytest.approx(0.02)
    assert rates[75] == pytest.approx(0.5)


def test_shipped_recipes_load() -> None:
    for path in sorted((Path(__file__).parents[2] / "recipes").glob("vary-*.yaml")):
        assert Recipe.load(path).stages


class Numbers:
    """Item k is k."""

    def __getitem__(self, k: int) -> int:
        return k


@pytest.mark.parametrize("told", [False, True])
def test_data_workers_end_with_their_stage(told) -> None:
    """Also one that heard a first SIGTERM, and whoever still holds the iterator."""
    stage = Stage(name="s", task="answer", steps=9, lr=1.0, trainable=(), mix="m", accumulate=3)
    with iterate_batches(Numbers(), stage, 2, Ranks.join(), 2) as made:
        assert [next(made) for _ in range(4)] == [6, 7, 8, 9]
        workers = multiprocessing.active_children()
        assert len(workers) == 2
        assert all(worker.is_alive() for worker in workers)
        for worker in workers if told else ():
            worker.terminate()
    for worker in workers:
        worker.join(10)
        assert not worker.is_alive()


def hear_two_sigterms(heard) -> None:
    ignore_signals(0)
    for _ in range(2):
        signal.raise_signal(signal.SIGTERM)
        heard.value += 1


def test_data_workers_outlive_one_sigterm_and_not_two() -> None:
    """One is for the process that saves; at its own end it sends another and waits."""
    heard = multiprocessing.RawValue("i")
    worker = multiprocessing.get_context("fork").Process(target=hear_two_sigterms, args=(heard,))
    worker.start()
    worker.join()
    assert (heard.value, worker.exitcode) == (1, -signal.SIGTERM)


def test_data_workers_outlive_a_sigterm_while_they_start(monkeypatch) -> None:
    def told_at_the_start(worker: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ignore_signals(worker)

    monkeypatch.setattr(loader, "ignore_signals", told_at_the_start)
    stage = Stage(name="s", task="answer", steps=9, lr=1.0, trainable=(), mix="m", accumulate=1)
    with iterate_batches(Numbers(), stage, 0, Ranks.join(), 2) as made:
        assert [next(made) for _ in range(3)] == [0, 1, 2]
    assert loader.call_in_child(lambda: 7) == 7


@pytest.mark.slow  # imports transformers' Trainer in a process of its own
def test_the_benchmark_of_the_loop_runs() -> None:
    command = [sys.executable, "benchmarks/train.py", "vary-tiny", "--small", "--batch", "2", "--tokens", "32"]
    printed = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True).stdout
    rows = [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("| ")]
    assert rows == ["loop", "vary", "Trainer"]
