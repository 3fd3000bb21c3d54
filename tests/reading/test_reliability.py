"""What `docs/reliability.md` promises: its tests exist, no page is ever lost, nothing leaves this machine."""

from __future__ import annotations

import ast
import json
import re
import struct
import tempfile
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vary.document.elements import LOST, STATUSES, Page
from vary.reading.runs.batch import read_all
from vary.reading.runs.workers import Outcome

ROOT = Path(__file__).parents[2]


def test_every_named_test_exists() -> None:
    named = re.findall(
        r"`((?:\w+/)?test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    )
    assert len(named) > 50
    there = {
        (path.relative_to(ROOT / "tests").as_posix(), node.name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert set(named) <= there, sorted(set(named) - there)


class ScriptedPool:
    """In place of `WorkerPool`: the n-th page of a file ends as `ends` says, at once."""

    count = 2

    def __init__(self, ends: dict[str, list[str]]):
        self.ends, self.asked = ends, []

    def __call__(self, *_) -> ScriptedPool:
        return self

    def __enter__(self) -> ScriptedPool:
        return self

    def __exit__(self, *_) -> None:
        pass

    def submit(self, path, number, *_) -> Future:
        self.asked.append((Path(path).name, number))
        status = self.ends[Path(path).name][number - 1]
        future: Future = Future()
        future.set_result(Outcome.from_page(Page(number, status, error="why" if status in LOST else None)))
        return future


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from(STATUSES), max_size=6), min_size=1, max_size=4))
def test_loss_accounting_of_any_mixture(files) -> None:  # 33; no ends: a file that does not open
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        pool = ScriptedPool({f"{k}.tif": ends for k, ends in enumerate(files)})
        patch.setattr("vary.reading.runs.batch.WorkerPool", pool)
        for k, ends in enumerate(files):
            frames = [Image.new("L", (8 + k, 8), 9 * n) for n in range(len(ends))]
            path = Path(folder, "in", f"{k}.tif")
            path.parent.mkdir(exist_ok=True)
            if frames:
                frames[0].save(path, save_all=True, append_images=frames[1:])
            else:
                path.write_bytes(b"nothing")

        def run():
            pool.asked = []
            return read_all([Path(folder, "in")], Path(folder, "out"), ["text"], model=folder)

        every = {(f"{k}.tif", n): status for k, ends in enumerate(files) for n, status in enumerate(ends, 1)}
        lost = {page for page, status in every.items() if status in LOST}
        broken = sum(not ends for ends in files)
        for wanted in (set(every), lost):
            summary = run()
            assert summary.pages == Counter(every.values())
            assert (set(pool.asked), len(pool.asked), summary.read) == (wanted, len(wanted), len(wanted))
            assert len(summary.unreadable) == broken
            assert summary.exit_code == (0 if not lost and not broken else 2 if len(lost) < len(every) else 3)
        pool.ends = {name: ["ok"] * len(ends) for name, ends in pool.ends.items()}
        run()
        assert run().read == 0
        assert pool.asked == []


def safetensors(header: object, data: bytes = bytes(16), size: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(start: int, end: int, *shape: int) -> dict:
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}


ATTACKS = {
    "a header of 2^60 bytes": safetensors({}, size=1 << 60),
    "a header of 200 MB": safetensors({}, bytes(100), size=200_000_000),
    "tensors over each other": safetensors({"a": tensor(0, 16, 4), "b": tensor(8, 16, 2)}),
    "a hole": safetensors({"a": tensor(0, 8, 2), "b": tensor(12, 16, 1)}),
    "more than there is": safetensors({"a": tensor(0, 4096, 1024)}),
    "backwards": safetensors({"a": tensor(16, 0, 4)}),
    "another shape": safetensors({"a": tensor(0, 16, 400)}),
    "2^70 numbers": safetensors({"a": tensor(0, 16, 2**35, 2**35)}),
    "no JSON": struct.pack("<Q", 4) + b"\x80\x04N." + bytes(16),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_malicious_checkpoint(
    tmp_path, name
) -> None:  # 30; pickles: models/test_convert.py, data/test_conversations.py
    from vary.reading.loader import load_reader

    folder = ROOT / "vary" / "models" / "weights" / "vary-nano"
    for path in folder.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(ATTACKS[name])
    with pytest.raises(ValueError):
        load_reader(str(tmp_path))
