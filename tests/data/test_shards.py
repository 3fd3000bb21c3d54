"""Shards hold what was rendered, to the bit, and damage is found, counted and named."""

from __future__ import annotations

import json
import shutil
import tarfile

import numpy as np
import pytest

from vary.data.sample import LabelledLine, Region, Sample, Skipped
from vary.data.shards import (
    MANIFEST,
    PLAN,
    Shards,
    is_done,
    pack,
    read_index,
    shard_count,
    unpack,
    verify,
    write_json,
    write_manifest,
    write_shard,
)


class Noise:
    """Small samples of all shapes; number 7 cannot be had."""

    def sample(self, i: int) -> Sample:
        if i == 7:
            raise Skipped("set", 7, "no image")
        rng = np.random.default_rng(i)
        image = rng.integers(0, 255, ((0, 0), (12, 20), (9, 7, 3))[i % 3], np.uint8)
        boxes = rng.random((4, 4), np.float32) * 100
        lines = [
            LabelledLine(f"é{i % 10}", boxes[:2], 4.25, 3.5, 9.0, 0.01, 1),
            LabelledLine("字a", boxes[2:], 8, 3, 9),
        ]
        regions = [Region("cell", (0.1, 2.0, 3.3, float(rng.random())), "x")]
        meta = {"size": np.float32(1.5), "n": i}
        return Sample(image, lines[: i % 4], "noise", meta, None if i % 2 else f"target {i}", "what?", regions)


PLAN_OF_20 = {"count": 20, "per_shard": 6, "image": "png"}


@pytest.fixture
def folder(tmp_path):
    write_json(tmp_path / PLAN, PLAN_OF_20)
    for k in range(4):
        write_shard(tmp_path, k, Noise(), range(6 * k, min(20, 6 * k + 6)))
    write_manifest(tmp_path, PLAN_OF_20)
    return tmp_path


def same(a: Sample, b: Sample) -> bool:
    boxes = all(np.array_equal(x.boxes, y.boxes) for x, y in zip(a.lines, b.lines, strict=True))
    rest = (a.text, a.target, a.prompt, a.kind, a.regions) == (b.text, b.target, b.prompt, b.kind, b.regions)
    lines = [(x.baseline, x.x_height, x.em_px, x.slope, x.block) for x in a.lines]
    return np.array_equal(a.image, b.image) and boxes and rest and len(a.lines) == len(b.lines) and lines == [
        (y.baseline, y.x_height, y.em_px, y.slope, y.block) for y in b.lines
    ]  # fmt: skip


@pytest.mark.parametrize("i", [0, 1, 2, 3, 4, 5])
def test_round_trip(i) -> None:
    sample = Noise().sample(i)
    assert same(unpack(pack(i, sample)), sample)
    assert pack(i, sample) == pack(i, Noise().sample(i))
    jpg = unpack(pack(i, sample, "jpg"))
    assert jpg.image.shape == sample.image.shape
    assert jpg.lines[:1] == [] or jpg.lines[0].text == sample.lines[0].text


def test_meta_that_json_cannot_hold() -> None:
    sample = Noise().sample(1)
    sample.meta["bad"] = {1, 2}
    with pytest.raises(TypeError, match="meta holds a set"):
        pack(1, sample)


def test_reading_back(folder) -> None:
    shards = Shards(folder)
    assert len(shards) == 20
    for i in (19, 0, 6, 13):
        assert same(shards.sample(i), Noise().sample(i))
    with pytest.raises(Skipped, match="record 7: set: record 7: no image"):
        shards.sample(7)
    with pytest.raises(IndexError, match="has 20 samples, there is no 20"):
        shards.sample(20)
    assert [s.meta["n"] for s in shards] == [i for i in range(20) if i != 7]
    health = verify(folder)
    assert health.ok
    assert (health.samples, health.skipped, len(health.good)) == (19, 1, 4)


def test_any_tar_program_reads_them(folder) -> None:
    with tarfile.open(folder / "shard-000001.tar") as tar:
        names = tar.getnames()
        assert names[:2] == ["000000006.json", "000000006.boxes.npy"]  # text only: no picture
        assert "000000008.png" in names
        assert all(member.mtime == 0 for member in tar.getmembers())
        about = json.load(tar.extractfile("000000008.json"))
    assert about["target"] == about["text"] == "target 8"


def test_bytes_depend_on_the_plan_alone(folder, tmp_path_factory) -> None:
    again = tmp_path_factory.mktemp("again")
    for k in (3, 1):  # in another order, and one of them twice
        write_shard(again, k, Noise(), range(6 * k, min(20, 6 * k + 6)))
    write_shard(again, 1, Noise(), range(6, 12))
    for name in ("shard-000001.tar", "shard-000003.tar", "shard-000001.json"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_damage_is_counted_and_named(folder) -> None:
    tar = [folder / f"shard-{k:06d}.tar" for k in range(4)]
    tar[0].unlink()
    tar[1].write_bytes(b"")
    tar[2].write_bytes(tar[2].read_bytes()[:-700])
    data = bytearray(tar[3].read_bytes())
    data[len(data) // 2] ^= 1
    tar[3].write_bytes(data)
    health = verify(folder)
    assert not health.ok
    assert (health.missing, health.empty, health.truncated, health.corrupt, health.good) == (
        ["shard-000000.tar"], ["shard-000001.tar"], ["shard-000002.tar"], ["shard-000003.tar"], [],
    )  # fmt: skip
    assert "1 corrupt: shard-000003.tar" in str(health)
    with pytest.raises(
        ValueError, match=r"3 shards missing, unfinished or of a wrong size: shard-000000\.tar, shard-000001"
    ):
        Shards(folder)


def test_reading_past_damage_names_what_is_lost(folder) -> None:
    file = folder / "shard-000002.tar"
    _, start, _, _ = read_index(folder, 2)["samples"][1]  # sample 13
    data = bytearray(file.read_bytes())
    data[start + 700] ^= 255
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"shard-000002\.tar: sample 13: the bytes at"):
        list(Shards(folder))
    (folder / "shard-000000.tar").unlink()
    shards = Shards(folder, damaged="skip")
    assert [s.meta["n"] for s in shards] == [6, *range(8, 13), *range(14, 20)]
    assert len(shards.lost) == 7
    assert "sample 0: No such file" in shards.lost[0]


def test_unfinished_and_unclosed(folder) -> None:
    (folder / MANIFEST).unlink()
    assert verify(folder).complete is False
    assert not verify(folder).ok
    (folder / "shard-000001.json").write_text('{"sha')
    assert verify(folder).unfinished == ["shard-000001.tar"]
    assert not is_done(folder, 1)
    with pytest.raises(ValueError, match="shard-000001 has no index"):
        write_manifest(folder, PLAN_OF_20)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="not a folder of shards"):
        verify(folder)


def test_an_error_names_shard_and_sample(tmp_path) -> None:
    class Broken:
        def sample(self, i: int) -> Sample:
            raise RuntimeError("the font\nis gone")

    with pytest.raises(ValueError, match=r"^shard-000002, sample 12: the font is gone$"):
        write_shard(tmp_path, 2, Broken(), range(12, 14))
    assert not is_done(tmp_path, 2)
    assert shard_count({"count": 13, "per_shard": 6}) == 3
