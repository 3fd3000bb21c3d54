"""Comparing models at one budget: what all arms share, what is written, resuming, and every row of the family."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib
import pytest
import torch
import yaml

from vary.cli import main
from vary.models.modeling import load_model
from vary.models.vocab.merge import MERGES, token_grid
from vary.models.zoo import about, names
from vary.train.bench import Bench, run_bench

from ..conftest import words_of_the_standard_library

FOLD = {"name": "chain", "steps": [{"name": "fold", "window": [4, 1]}, {"name": "linear"}]}
NANO = {
    "name": "nano",
    "stem": [6, 10],
    "width": 18,
    "depth": 1,
    "preprocess": {"mean": 0.5, "std": 0.5, "multiple": 8},
}
LLAMA = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": True,
}  # fmt: skip


def spec(folder: Path, **changes) -> Path:
    """A bench of two arms over one-line pages of Python's own docstrings, in matplotlib's fonts."""
    (folder / "words.txt").write_text(words_of_the_standard_library(), encoding="utf-8")
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    page = {
        "source": "page", "texts": str(folder / "words.txt"), "fonts": str(fonts), "height": 32, "width": 64,
        "sizes_px": [12, 12], "max_lines": 1, "degraded": 0.0, "prompt": "read",
    }  # fmt: skip
    whole = {
        "base": {"vocabularies": [NANO], "connector": FOLD, "text_config": LLAMA},
        "arms": {"fold": {}, "cross": {"fusion": {"name": "cross", "every": 1}}},
        "mix": {"bench": {"line": page}},
        "stage": {"steps": 4, "batch": 4},
        "recipe": {"precision": "float32", "save_every": 2, "log_every": 1},
        "seeds": 2,
        "held_out": 8,
    }
    (folder / "bench.yaml").write_text(yaml.safe_dump(whole | changes, sort_keys=False))
    return folder / "bench.yaml"


def results(folder: Path) -> dict[tuple[str, int], dict]:
    found = [json.loads(file.read_text()) for file in folder.glob("*/seed-*/result.json")]
    return {(one["arm"], one["seed"]): one for one in found}


def test_the_verb_trains_every_arm_with_every_seed_and_writes_tables(tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["bench", str(spec(tmp_path)), "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "| line | seeds | own parameters |" in printed
    found = results(out)
    assert sorted(found) == [("cross", 1), ("cross", 2), ("fold", 1), ("fold", 2)]
    for one in found.values():
        assert one["samples"] == 16
        assert one["image_tokens"] == 16
        assert one["gflops_per_sample"] > 0 < one["activations_mib"]
        assert one["parameters"]["vocabularies"] == found["fold", 1]["parameters"]["vocabularies"]
    assert found["cross", 1]["own_parameters"] > found["fold", 1]["own_parameters"]
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["arm"], row["seeds"]) for row in rows] == [("line", "fold", "2"), ("line", "cross", "2")]
    assert (out / "accuracy.png").stat().st_size > 5000
    assert len((out / "fold" / "seed-1" / "answers.jsonl").read_text().splitlines()) == 8
    assert main(["bench", str(spec(tmp_path)), "-o", str(out)]) == 0
    assert "step/s" not in capsys.readouterr().out, "runs that are done do not run again"


def test_arms_share_samples_and_the_weights_that_they_have_in_common(tmp_path) -> None:
    out = tmp_path / "out"
    run_bench(Bench.load(spec(tmp_path, seeds=1)), out, log=lambda _: None)
    mixes = {
        yaml.safe_load((out / arm / "seed-1" / "recipe.yaml").read_text())["stages"][0]["mix"]
        for arm in ("fold", "cross")
    }
    assert mixes == {str(out / "data" / "seed-1")}
    fold, cross = (load_model(out / arm / "seed-1" / "start").state_dict() for arm in ("fold", "cross"))
    assert set(fold) < set(cross)
    assert all(torch.equal(value, cross[name]) for name, value in fold.items())


def test_a_bench_that_was_interrupted_ends_as_one_that_was_not(tmp_path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    bench = Bench.load(spec(tmp_path, seeds=1))
    run_bench(bench, whole, log=lambda _: None)

    def stop(line: str) -> None:
        if "3/4" in line:
            raise KeyboardInterrupt

    for _ in range(2):  # each arm is stopped once, after its checkpoint at step 2
        with pytest.raises(KeyboardInterrupt):
            run_bench(bench, parts, log=stop)
        for file in parts.glob("*/seed-1/run/loss.csv"):
            assert len(file.read_text().splitlines()) > 1
        first = next(arm for arm in bench.arms if not (parts / arm / "seed-1" / "result.json").exists())
        run_bench(bench, parts, log=lambda _: None, arms=[first])
    for key, one in results(whole).items():
        assert one["tasks"] == results(parts)[key]["tasks"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"odd": {"fusion": {"name": "crossed"}}}}, "arm 'odd': unknown fusion 'crossed'"),
        ({"step": {}}, "bench.yaml: unknown key 'step'; did you mean"),
        ({"stage": {"steps": 1, "trainable": ["conector"]}}, "stage.trainable: 'conector'; allowed: vocabularies"),
        ({"stage": {"stepz": 1}}, "stages.0: unknown key 'stepz'; did you mean 'steps'"),
        ({"recipe": {"precision": "half"}}, "precision 'half'; allowed: auto, bf16, float32"),
        ({"mix": {"other": {}}}, "no stage 'bench'; allowed: other"),
    ],
)
def test_mistakes_in_a_bench_are_named(tmp_path, changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        Bench.load(spec(tmp_path, **changes))


def test_a_folder_holds_one_bench(tmp_path) -> None:
    bench = Bench.load(spec(tmp_path))
    with pytest.raises(ValueError, match="unknown arm 'prefix'; allowed: fold, cross"):
        run_bench(bench, tmp_path / "out", arms=["prefix"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bench.yaml").write_text("arms: {}\n")
    with pytest.raises(ValueError, match="another bench is in this folder"):
        run_bench(bench, tmp_path / "out")


@pytest.mark.parametrize("file", sorted(Path("recipes").glob("bench-*.yaml")), ids=lambda file: file.stem)
def test_arms_of_the_recipes_have_equal_image_tokens_but_for_those_named(file) -> None:
    """A picture is 32 x 64 px; comments of the recipes name the arms that differ."""
    bench = Bench.load(file)
    differ = {"linear-64": 64, "mlp-64": 64, "resampler-4": 4, "token": 32}
    for arm in bench.arms:
        config = bench.config(arm)
        sides = [vocabulary["preprocess"].get("size") for vocabulary in config.vocabularies]
        sizes = [(side, side) if side else (32, 64) for side in sides]
        seeing = sizes[:1] if MERGES[config.merge].chained else sizes
        rows, columns = token_grid(config.vocabularies, config.merge, config.connector, seeing)
        assert rows * columns == differ.get(arm, 16), arm
    assert bench.seeds == 3


@pytest.mark.slow  # minutes: every row of the family is trained
@pytest.mark.timeout(3600)
def test_every_row_of_the_family_learns_and_looks(tmp_path) -> None:
    """The loss falls, and another picture changes what the model computes."""
    rows = [name for name in names() if about(name).row is not None]
    stage = {"steps": 24, "batch": 4, "lr": 3e-3}
    bench = Bench.load(spec(tmp_path, arms={name: {"row": f"{name}-test"} for name in rows}, stage=stage, seeds=1))
    run_bench(bench, tmp_path / "out", log=lambda _: None)
    wrong = []
    for (name, _), one in results(tmp_path / "out").items():
        with (tmp_path / "out" / name / "seed-1" / "run" / "loss.csv").open() as file:
            losses = [float(row["loss"]) for row in csv.DictReader(file)]
        task = one["tasks"]["line"]
        if not sum(losses[-4:]) < sum(losses[:4]) or task["loss"] == task["loss_of_another_picture"]:
            wrong.append((name, losses[:1], losses[-1:], task))
    assert len(results(tmp_path / "out")) == len(rows)
    assert wrong == []
