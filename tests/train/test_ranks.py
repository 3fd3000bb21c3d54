"""Several ranks, launchers and compiled layers learn what one process learns."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
from functools import partialmethod

import pytest
import torch
from safetensors.torch import load_file

from vary.train.loop import train
from vary.train.recipe import Recipe
from vary.train.tasks import chat_task

from .chat_runs import TRAINED, Pictures, losses, newest, pages, recipe, run

pytestmark = pytest.mark.usefixtures("pictures")


def rank(number: int, world: int, port: int, settings: Recipe) -> None:
    os.environ.update(RANK=str(number), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    chat_task.open_mix = lambda stage, seed, held_out=False: Pictures()
    train(settings, log=lambda line: None, max_steps=2)


@pytest.mark.slow  # three times processes that import PyTorch: a minute of one core each
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("vary-toy", {}),
        ("vary-toy", {"shard": True, "ema": 0.5, "checkpointing": True}),
        ("vary-tiny", {"shard": True, "precision": "bf16"}),  # its head is its embedding
    ],
    ids=["ddp", "fsdp", "fsdp-bf16-tied"],
)
def test_resume_world_size(model_folder, name, changes) -> None:
    folder, stage = model_folder(name), {"accumulate": 4, "steps": 6, "batch": 1, "clip": 0.5}
    stage["trainable"] = ["vocabularies.0", *TRAINED]  # sample 10 is torn: a rank has nothing while the other works
    same = {k: v for k, v in changes.items() if k in ("ema", "precision")}
    alone, mixed = recipe(folder, "alone", stage, **same), recipe(folder, "mixed", stage, eval_every=3, **changes)
    run(alone)
    for world in (1, 2, 1):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=rank, args=(n, world, port, mixed)) for n in range(world)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
            assert process.exitcode == 0
    exact = changes.get("precision") != "bf16"
    assert losses(mixed) == pytest.approx(losses(alone), abs=2e-4 if exact else 2e-2)
    for part in ("model", "ema"):
        one, other = newest(alone, part), newest(mixed, part)
        assert one.keys() == other.keys()
        for key in one if exact else ():
            torch.testing.assert_close(one[key], other[key], atol=1e-4, rtol=1e-3)


@pytest.mark.slow  # two compilers of layers: 20 s of one core, and minutes with C++
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_layers_learn_the_same(model_folder, monkeypatch, backend) -> None:
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend=backend))
    folder = model_folder("vary-toy")
    stage = {"trainable": ["vocabularies.1", *TRAINED]}
    plain, other = recipe(folder, "plain", stage), recipe(folder, "other", stage, compile=True)
    run(plain)
    run(other, max_steps=2)
    assert any("resumed" in line for line in run(other))
    assert losses(other) == pytest.approx(losses(plain), abs=2e-4)
    assert newest(other).keys() == newest(plain).keys()  # no name says how it was computed
    for key, tensor in newest(plain).items():
        torch.testing.assert_close(newest(other)[key], tensor, atol=1e-4, rtol=1e-3)


@pytest.mark.slow  # ten processes import PyTorch
@pytest.mark.timeout(1500)
def test_launchers(model_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.undo()
    folder, shards = model_folder("vary-toy"), pages(tmp_path)
    stage = {"mix": str(shards), "batch": 1, "accumulate": 2, "steps": 2, "max_tokens": 120}
    for name, launcher in {
        "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node=2"],
        "accelerate": ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"],
        "alone": [],
    }.items():
        recipe(folder, name, stage, shard=bool(launcher))
        command = ["-m", "vary.cli", "train", str(folder.parent / f"{name}.yaml")]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
        subprocess.run(
            [sys.executable, *(["-m", *launcher, *command[0:1]] if launcher else command[0:1]), *command[1:]],
            env=environment, check=True, timeout=700,
        )  # fmt: skip
    one, *others = (
        load_file(tmp_path / n / "step-1-0000000" / "model.safetensors") for n in ("alone", "torchrun", "accelerate")
    )
    for other in others:
        assert all(torch.allclose(one[key], other[key], atol=1e-4) for key in one | other)
