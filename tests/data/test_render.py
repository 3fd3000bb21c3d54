"""A run that is killed and started again ends with the bytes of a run that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vary.data.render import make_plan, pdf_recipe, render, show
from vary.data.shards import Shards, verify


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> dict:
    import matplotlib

    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text("Plain words of some length, which a page repeats as often as it needs them. " * 20)
    fonts = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    page = {"source": "page", "texts": str(text), "fonts": fonts, "height": 96, "width": 192}
    return {"seed": 5, "mix": {"stage": {"a": {**page, "weight": 2}, "b": {**page, "degraded": 1.0}}}}


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != ".lock"}


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "out"
    render(recipe, 24, folder, workers=1, per_shard=4, log=lambda _: None)
    return folder


def test_a_run(recipe, whole) -> None:
    assert verify(whole).ok
    manifest = json.loads((whole / "manifest.json").read_bytes())
    assert manifest["samples"] == 24
    assert [s["count"] for s in manifest["shards"]] == [4] * 6
    parts = [s.meta["part"] for s in Shards(whole)]
    assert (parts.count("a"), parts.count("b")) == (16, 8)


def test_workers_change_nothing_and_a_second_run_does_nothing(recipe, whole, tmp_path, capfd) -> None:
    render(recipe, 24, tmp_path / "two", workers=2, per_shard=4)
    assert files(tmp_path / "two") == files(whole)
    bar, line = capfd.readouterr().err.splitlines()[-2:]
    assert "24/24" in bar
    assert "sample/s" in bar
    assert line.startswith("24 samples in 6 shards")
    said: list[str] = []
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "two").glob("*.tar")}
    render(recipe, 24, tmp_path / "two", workers=2, per_shard=4, log=said.append)
    assert len(said) == 1
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "two").glob("*.tar")} == before


SCRIPT = """
import json, sys
from vary.data.render import render
if __name__ == "__main__":
    render(json.loads(sys.argv[1]), 24, sys.argv[2], workers=2, per_shard=4, log=print)
"""


def test_kill_at_any_moment(recipe, whole, tmp_path) -> None:
    """SIGKILL while the shards are being made, then the same command: nothing lost, nothing doubled, the same bytes."""
    script, out = tmp_path / "run.py", tmp_path / "out"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), json.dumps(recipe), str(out)]
    for done in (1, 3):
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while run.poll() is None and len(list(out.glob("shard-*.tar"))) < done:
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert not (out / "manifest.json").exists()
    (out / ".shard-000005.999.part").write_bytes(b"left by a kill while writing")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert files(out) == files(whole)


def test_lost_shards_are_made_again(recipe, whole, tmp_path) -> None:
    render(recipe, 24, tmp_path / "out", workers=1, per_shard=4, log=lambda _: None)
    (tmp_path / "out" / "shard-000002.tar").write_bytes(b"")
    (tmp_path / "out" / "shard-000004.json").unlink()
    (tmp_path / "out" / "manifest.json").unlink()
    render(recipe, 24, tmp_path / "out", workers=1, per_shard=4, log=lambda _: None)
    assert files(tmp_path / "out") == files(whole)


def test_another_run_is_not_mixed_in(recipe, whole) -> None:
    with pytest.raises(ValueError, match="holds a run with seed = 5, not 6; take another folder"):
        render(recipe, 24, whole, seed=6, per_shard=4)
    with pytest.raises(ValueError, match="holds a run with count = 24"):
        render(recipe, 25, whole, per_shard=4)
    (whole / "plan.json").rename(whole / "aside")
    with pytest.raises(ValueError, match=r"holds shards without plan\.json"):
        render(recipe, 24, whole, per_shard=4)
    (whole / "aside").rename(whole / "plan.json")


@pytest.mark.skipif(os.name == "nt", reason="files are locked on POSIX alone")
def test_two_runs_at_once_are_refused(recipe, tmp_path) -> None:
    import fcntl

    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another process is rendering into it"):
            render(recipe, 24, tmp_path / "out")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_names_the_sample(recipe, tmp_path, workers) -> None:
    page = dict(recipe["mix"]["stage"]["a"], sizes_px=[10, "x"])
    with pytest.raises(ValueError, match="shard-000000, sample 0: "):
        render({"mix": {"s": {"a": page}}}, 4, tmp_path / "out", workers=workers, per_shard=4)


def test_what_cannot_be_run_is_said_first(recipe) -> None:
    with pytest.raises(ValueError, match="has no end; say how many"):
        make_plan(recipe, None, None, None, 10, "png")
    with pytest.raises(ValueError, match="unknown image format 'gif'; allowed: png, jpg"):
        make_plan(recipe, 3, None, None, 10, "gif")
    with pytest.raises(ValueError, match="number of samples: 0"):
        make_plan(recipe, 0, None, None, 10, "png")


def test_pdfs(pdf_file, tmp_path) -> None:
    """Every page once and in order; the empty one is named, not replaced."""
    manifest = render(pdf_recipe(pdf_file.parent), None, tmp_path / "out", workers=1, log=lambda _: None)
    assert (manifest["samples"], manifest["skipped"]) == (2, 1)
    index = json.loads((tmp_path / "out" / "shard-000000.json").read_bytes())
    assert [i for i, _ in index["skipped"]] == [1]
    assert "three.pdf" in index["skipped"][0][1]
    texts = [s.text for s in Shards(tmp_path / "out")]
    assert texts[0].startswith("The first page says this.")
    assert texts[1].startswith("The third page ends the file.")


def test_show(recipe, tmp_path) -> None:
    show(recipe, 3, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (576, 3 * 480, 3)
    blue = (sheet[:, :, 2].astype(int) - sheet[:, :, 0]) > 120
    for k in range(3):
        assert blue[:480, 480 * k : 480 * k + 480].sum() > 50  # boxes of lines
        assert sheet[500:, 480 * k + 4 : 480 * k + 470].min() < 60  # the target's start


@pytest.mark.slow  # starts a Ray cluster of two workers on this machine; needs the package ray
def test_ray_renders_the_same_bytes(recipe, whole, tmp_path) -> None:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        render(recipe, 24, tmp_path / "out", per_shard=4, ray="local", log=lambda _: None)
    finally:
        ray.shutdown()
    assert files(tmp_path / "out") == files(whole)
