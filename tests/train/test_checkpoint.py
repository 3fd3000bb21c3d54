"""Training runs that are killed, stopped, without disk space or with bad data resume to the same result."""

from __future__ import annotations

import contextlib
import csv
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset

from vary.data.corpus.download import Corpus
from vary.data.corpus.text import TextSource
from vary.data.pages.glyphs import find_faces
from vary.io.errors import InputError
from vary.io.files import lock_folder
from vary.train.checkpoint import Checkpoints, find_damage
from vary.train.loader import ReadingData, next_batch
from vary.train.loop import train
from vary.train.recipe import Recipe
from vary.train.tasks import reading_tasks as tasks
from vary.train.tasks.task import TextAssets

PACE = {"per_s", "tokens_s", "mfu"}  # what a clock says
STAGE = {
    "name": "spell", "task": "read", "steps": 8, "lr": 0.003, "trainable": ["vocabularies", "reading_head"],
    "views": [{"height": 64, "width": 128, "batch": 1}],
}  # fmt: skip
RECIPE = {"model": "vary-nano-test", "eval_every": 1000, "save_every": 1, "log_every": 1, "keep": 3, "workers": 0}
# Forked children need not import PyTorch again; CUDA does not survive a fork.
CHILDREN = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")


@pytest.fixture(autouse=True)
def one_thread():
    """Sums over several threads are rounded in another order, so runs that are compared all use one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def text_assets() -> TextAssets:
    import matplotlib

    text = TextSource(Corpus.from_text("Plain words, enough of them that a page of any size can be set. " * 8))
    return TextAssets(text, text, find_faces(Path(matplotlib.get_data_path()) / "fonts" / "ttf")[:1])


def recipe(out: Path, **changes) -> Recipe:
    path = out.with_suffix(".yaml")
    stage = STAGE | {k: changes.pop(k) for k in list(changes) if k in STAGE}
    path.write_text(yaml.safe_dump(RECIPE | changes | {"out": str(out), "stages": [stage]}))
    return Recipe.load(path)


def run(settings: Recipe, **limits) -> list[str]:
    lines: list[str] = []
    train(settings, log=lines.append, assets=text_assets(), **limits)
    return lines


def child(settings: Recipe, log: str) -> None:
    """Train in a new process that leads a process group, as a cluster's job does."""
    os.setpgrp()
    torch.set_num_threads(1)
    with Path(log).open("a") as file:
        train(settings, log=lambda line: print(line, file=file, flush=True), assets=text_assets())


def started(settings: Recipe, log: Path) -> multiprocessing.Process:
    process = CHILDREN.Process(target=child, args=(settings, str(log)))
    process.start()
    before, deadline = log.read_text() if log.exists() else "", time.monotonic() + 120
    while process.is_alive() and (log.read_text() if log.exists() else "") == before:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return process


def curve(out: Path) -> list[dict[str, str]]:
    with (out / "loss.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in PACE} for row in csv.DictReader(file)]


def newest(out: Path, name: str = "ema") -> dict[str, torch.Tensor]:
    return load_file(sorted(out.glob("step-*"))[-1] / f"{name}.safetensors")


def assert_same(one: Path, other: Path) -> None:
    assert curve(one) == curve(other)
    first, second = newest(one), newest(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(("kills", "steps"), [(3, 8), pytest.param(50, 80, marks=pytest.mark.slow)])
def test_kill_during_save(tmp_path, kills, steps) -> None:
    rng, log = random.Random(7), tmp_path / "log"
    run(recipe(tmp_path / "whole", steps=steps))
    settings = recipe(tmp_path / "killed", steps=steps)
    run(settings, max_steps=1)  # on a busy machine every kill may come before the first checkpoint
    for _ in range(kills):
        process = started(settings, log)
        time.sleep(rng.uniform(0, 0.25))
        process.kill()
        process.join()
    process = started(settings, log)
    process.join(300)
    assert process.exitcode == 0
    assert "resumed" in log.read_text()
    assert not list((tmp_path / "killed").glob(".step-*"))
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_truncated_or_flipped_checkpoint(tmp_path) -> None:
    run(recipe(tmp_path / "run"), max_steps=3)
    third, second = (tmp_path / "run" / f"step-0-000000{k}" for k in (3, 2))
    assert not find_damage(third)
    for file in sorted(third.iterdir()):
        whole = file.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 4
        for data in [bytes(flipped), *(whole[:k] for k in range(0, len(whole), max(4096, len(whole) // 16)))]:
            file.write_bytes(data)
            lines: list[str] = []
            found = Checkpoints(tmp_path / "run", log=lines.append).load()
            assert found
            assert found.folder == second
            assert third.name in lines[0]
            assert file.name in lines[0] or file.name == "manifest.json"  # whose flipped bit makes a file look wrong
        file.unlink()
        assert "missing" in find_damage(third) or "not finished" in find_damage(third)
        file.write_bytes(whole)
    for folder in (tmp_path / "run").glob("step-*"):
        (folder / "state.json").write_text("{}")
    with pytest.raises(ValueError, match="none of 3 checkpoints is valid"):
        run(recipe(tmp_path / "run"))


def test_a_damaged_checkpoint_costs_its_steps_and_nothing_else(tmp_path) -> None:
    run(recipe(tmp_path / "whole"))
    settings = recipe(tmp_path / "run")
    run(settings, max_steps=4)
    with (tmp_path / "run" / "step-0-0000004" / "model.safetensors").open("r+b") as file:
        file.truncate(5000)
    lines = run(settings)
    assert "step-0-0000004 is not used: model.safetensors has 5000 bytes" in lines[0]
    assert "step 3" in lines[1]
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_rows_from_before_the_first_checkpoint_do_not_stay(tmp_path) -> None:
    run(recipe(tmp_path / "whole"))
    run(recipe(tmp_path / "run"), max_steps=1)
    shutil.rmtree(tmp_path / "run" / "step-0-0000001")  # as if killed between the row and the checkpoint
    run(recipe(tmp_path / "run"))
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_only_good_checkpoints_are_counted_and_the_last_good_one_stays(tmp_path) -> None:
    settings = recipe(tmp_path / "run", keep=2)
    run(settings, max_steps=4)
    names = sorted(p.name for p in (tmp_path / "run").glob("step-*"))
    assert names == ["step-0-0000003", "step-0-0000004"]
    (tmp_path / "run" / "step-0-0000004" / "manifest.json").unlink()
    (tmp_path / "run" / "step-0-0000099").mkdir()  # a name is not enough
    run(settings, max_steps=1)
    assert not find_damage(tmp_path / "run" / "step-0-0000003")
    assert not find_damage(tmp_path / "run" / "step-0-0000004")
    assert (tmp_path / "run" / "step-0-0000099").exists()


@contextlib.contextmanager
def full_disk(room: int):
    """No file may grow over `room` bytes: what the kernel then says comes by the same way as a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_full(tmp_path) -> None:
    settings = recipe(tmp_path / "run")
    run(settings, max_steps=2)
    lines: list[str] = []
    with full_disk(20_000), pytest.raises(OSError, match=r"step-0-0000004: not saved: .*large"):
        train(settings, log=lines.append, assets=text_assets(), max_steps=2)
    assert any("step-0-0000003: not saved" in line and "going on" in line for line in lines)
    assert sorted(p.name for p in (tmp_path / "run").glob("*step-*")) == ["step-0-0000001", "step-0-0000002"]
    run(settings)
    run(recipe(tmp_path / "whole"))
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_two_writers(tmp_path) -> None:
    settings = recipe(tmp_path / "run")
    refused = f"process {os.getpid()} on .* is training in it"
    with lock_folder(tmp_path / "run", "training in it"), pytest.raises(ValueError, match=refused):
        run(settings)
    run(settings, max_steps=1)  # the lock is free again


@pytest.mark.parametrize(("workers", "send"), [(0, os.kill), (1, os.kill), (1, os.killpg)])
def test_sigterm_saves(tmp_path, workers, send) -> None:
    """Whether the process alone is told, or its workers too."""
    settings, log = recipe(tmp_path / "run", save_every=1000, steps=200, workers=workers), tmp_path / "log"
    process = started(settings, log)
    send(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 143
    done = len(curve(tmp_path / "run"))
    assert 0 < done < 200
    assert [p.name for p in (tmp_path / "run").glob("step-*")] == [f"step-0-{done:07d}"]
    run(recipe(tmp_path / "run", save_every=1000, steps=200), max_steps=2)
    run(recipe(tmp_path / "whole", save_every=1000, steps=200), max_steps=done + 2)
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_keyboard_interrupt_midstep(tmp_path, monkeypatch) -> None:
    settings, steps, handler = recipe(tmp_path / "run"), [], signal.getsignal(signal.SIGINT)

    def losses(self, batch):
        steps.append(1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)  # in the middle of the third step
        return original(self, batch)

    original = tasks.ReadTask.losses
    monkeypatch.setattr(tasks.ReadTask, "losses", losses)
    with pytest.raises(KeyboardInterrupt):
        run(settings)
    assert len(steps) == len(curve(tmp_path / "run")) == 3
    assert not find_damage(tmp_path / "run" / "step-0-0000003")
    assert signal.getsignal(signal.SIGINT) is handler
    run(settings)
    run(recipe(tmp_path / "whole"))
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_nan_loss(tmp_path, monkeypatch) -> None:
    original, bad = tasks.to_pixels, {2}
    count = iter(range(100))
    monkeypatch.setattr(tasks, "to_pixels", lambda *a: original(*a) * (float("nan") if next(count) in bad else 1.0))
    lines = run(recipe(tmp_path / "run"), max_steps=4)
    assert sum("not finite, step skipped" in line for line in lines) == 1
    before, skipped = (load_file(tmp_path / "run" / f"step-0-000000{k}" / "model.safetensors") for k in (2, 3))
    assert all(torch.equal(before[key], skipped[key]) for key in before)  # batch norm's statistics too
    bad |= set(range(6, 100))
    with pytest.raises(ValueError, match=r"3 steps in a row had no finite gradient.*step-0-000000"):
        run(recipe(tmp_path / "run", most_skipped=3, steps=12))
    assert all(tensor.isfinite().all() for tensor in newest(tmp_path / "run", "model").values())
    assert len(list((tmp_path / "run").glob("step-*"))) == 3


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError(104, "Connection reset by peer")])
def test_worker_killed_while_it_sends(error) -> None:
    """Which error a killed worker causes depends on what it was doing. All of them say that a worker died."""

    def batches():
        raise error
        yield

    with pytest.raises(RuntimeError, match="DataLoader worker closed its connection"):
        next_batch(batches())


class Empty(Dataset):
    """A source that cannot be read."""

    def __getitem__(self, k: int) -> None:
        raise InputError("my-pdfs: no page of a PDF in it")


def test_an_error_of_the_user_in_a_worker_keeps_its_one_line() -> None:
    batches = iter(DataLoader(Empty(), None, sampler=[0], num_workers=1))
    with pytest.raises(InputError) as caught:
        next_batch(batches)
    assert str(caught.value) == "my-pdfs: no page of a PDF in it"


@pytest.mark.timeout(60)
def test_worker_death(tmp_path, monkeypatch) -> None:
    whole, settings, original = recipe(tmp_path / "whole"), recipe(tmp_path / "run", workers=1), ReadingData.__getitem__

    def item(self, k):
        if k == 3 and multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, k)

    run(whole)
    with monkeypatch.context() as patch:
        patch.setattr(ReadingData, "__getitem__", item)
        with pytest.raises(ValueError, match=r"a data worker died.*the same command resumes"):
            run(settings)
    run(settings)
    assert_same(tmp_path / "whole", tmp_path / "run")
