"""Tables of a bench: means and intervals over seeds, chance, and error rates of what was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from vary.evaluate.bench import as_markdown, interval, read_bench


def write_run(folder: Path, arm: str, seed: int, accuracy: float, other: float, answer: str = "abcd") -> None:
    home = folder / arm / f"seed-{seed}"
    home.mkdir(parents=True)
    task = {"loss": 1.0, "loss_of_another_picture": 2.0, "accuracy": accuracy, "another_picture": other}
    result = {
        "arm": arm, "seed": seed, "own_parameters": 10, "trained_parameters": 1000, "image_tokens": 16,
        "gflops_per_sample": 0.5, "ms_per_step": 100.0 + seed, "activations_mib": 3.0, "tasks": {"words": task},
    }  # fmt: skip
    (home / "result.json").write_text(json.dumps(result))
    (home / "answers.jsonl").write_text(json.dumps({"task": "words", "truth": "abcd", "answer": answer}) + "\n")


def test_a_row_is_the_mean_of_its_seeds_and_says_whether_it_left_chance(tmp_path) -> None:
    (tmp_path / "bench.yaml").write_text(
        yaml.safe_dump({"arms": {"reads": {}, "blind": {}, "not-yet": {}}}, sort_keys=False)
    )
    for seed, accuracy in enumerate((0.80, 0.84, 0.82), 1):
        write_run(tmp_path, "reads", seed, accuracy, 0.2 + 0.01 * seed, "abxd")
        write_run(tmp_path, "blind", seed, 0.2 + 0.01 * seed, 0.21)
    reads, blind = read_bench(tmp_path)
    assert (reads.arm, reads.seeds, reads.tokens, reads.ms) == ("reads", 3, 16, 102.0)
    assert reads.accuracy == pytest.approx(0.82)
    assert (reads.low, reads.high) == pytest.approx((0.7703, 0.8697), abs=1e-4)  # t(0.975, 2) = 4.3027, s = 0.02
    assert (reads.learnt, reads.cer) == (True, 0.25)
    assert (blind.learnt, blind.cer) == (False, 0.0)
    table = as_markdown([reads, blind]).splitlines()
    assert "0.820 (0.770 to 0.870) |" in table[2]
    assert "not above chance" in table[3]


def test_one_seed_has_no_interval_and_proves_nothing(tmp_path) -> None:
    (tmp_path / "bench.yaml").write_text(yaml.safe_dump({"arms": {"one": {}}}))
    write_run(tmp_path, "one", 1, 0.9, 0.1)
    (row,) = read_bench(tmp_path)
    assert not row.learnt
    assert "0.900 |" in as_markdown([row])


def test_an_interval_needs_two_values() -> None:
    assert interval([1.0, 1.0]) == (1.0, 1.0)
    assert str(interval([1.0])) == "(nan, nan)"


def test_a_folder_without_results_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="not the folder of a bench"):
        read_bench(tmp_path)
    (tmp_path / "bench.yaml").write_text(yaml.safe_dump({"arms": {"one": {}}}))
    with pytest.raises(ValueError, match="no run of a bench has ended"):
        read_bench(tmp_path)
