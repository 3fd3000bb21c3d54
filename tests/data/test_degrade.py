"""Defects change the picture, repeatably, in grey and in colour, and boxes go where the ink goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vary.data import degrade as module
from vary.data.degrade import PROFILES, TINTS, WARPS, degrade
from vary.data.sample import LabelledLine, Region

MARKS = [(x, y, x + 9, y + 7) for x in (2, 61, 250, 381, 489) for y in (1, 118, 300, 430, 503)]


def alone(monkeypatch, name: str) -> None:
    monkeypatch.setitem(module.PROFILES, "scan", {name: 1.0})


def marked(shape: tuple[int, ...]) -> np.ndarray:
    """White, with a black rectangle in each of MARKS."""
    image = np.full(shape, 255, np.uint8)
    for x0, y0, x1, y1 in MARKS:
        image[y0:y1, x0:x1] = 0
    return image


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "rgb"])
@pytest.mark.parametrize("name", [*WARPS, *TINTS])
def test_each_defect(page_source, name, colour, monkeypatch) -> None:
    alone(monkeypatch, name)
    image = page_source(seed=1, height=256, width=512, degraded=0.0).sample(3).image
    if colour:
        image = np.stack([image, image // 2 + 100, 255 - image // 3], 2)
    before = image.copy()
    one, done = degrade(image.copy(), [], np.random.default_rng(1))
    two, _ = degrade(image.copy(), [], np.random.default_rng(1))
    assert done == [name]
    assert one.dtype == np.uint8
    assert one.shape == before.shape
    assert np.array_equal(one, two)
    assert not np.array_equal(one, before)


@pytest.mark.parametrize("name", WARPS)
def test_nothing_leaves_and_every_box_holds_its_ink(name, monkeypatch) -> None:
    """Each mark is put on an empty page alone, so the ink that is found must be its own."""
    alone(monkeypatch, name)
    for seed in range(4):
        for k, (x0, y0, x1, y1) in enumerate(MARKS):
            image = np.full((512, 512), 255, np.uint8)
            image[y0:y1, x0:x1] = 0
            regions = [Region("mark", (x0, y0, x1, y1))]
            line = LabelledLine("a", np.array([[x0, y0, x1, y1]], np.float32), y1, 7, 10)
            bent, _ = degrade(image, [line], np.random.default_rng(seed), regions)
            plain, _ = degrade(np.full_like(image, 255), [], np.random.default_rng(seed))
            if name == "skew":  # how far the page shrinks depends on its ink
                plain = np.full_like(image, 255)
            rows, columns = np.nonzero(plain.astype(int) - bent > 60)
            assert len(rows) >= 40, (seed, k, "the mark has left the page")
            for b in (regions[0].box, line.box):
                assert b[0] - 1 <= columns.min() <= b[0] + 2.5, (seed, k)
                assert b[1] - 1 <= rows.min() <= b[1] + 2.5, (seed, k)
                assert b[2] - 2.5 <= columns.max() + 1 <= b[2] + 1, (seed, k)
                assert b[3] - 2.5 <= rows.max() + 1 <= b[3] + 1, (seed, k)


@pytest.mark.parametrize("name", WARPS)
def test_a_wide_region_holds_its_bulge(name, monkeypatch) -> None:
    alone(monkeypatch, name)
    for seed in range(6):
        image, regions = np.full((512, 512), 255, np.uint8), [Region("table", (40, 200, 470, 300))]
        image[200:300, 40:470] = 0
        bent, _ = degrade(image, [], np.random.default_rng(seed), regions)
        plain, _ = degrade(np.full_like(image, 255), [], np.random.default_rng(seed))
        rows, columns = np.nonzero((255 if name == "skew" else plain.astype(int)) - bent.astype(int) > 60)
        x0, y0, x1, y1 = regions[0].box
        assert x0 - 1 <= columns.min() <= x0 + 2.5
        assert x1 - 2.5 <= columns.max() + 1 <= x1 + 1
        assert y0 - 1 <= rows.min() <= y0 + 2.5
        assert y1 - 2.5 <= rows.max() + 1 <= y1 + 1


@pytest.mark.parametrize("name", WARPS)
def test_lines_follow(page_source, name, monkeypatch) -> None:
    alone(monkeypatch, name)
    source = page_source(seed=4, height=512, width=768, degraded=0.0)
    checked = 0
    for i in range(4):
        sample = source.sample(i)
        before = [replace(line) for line in sample.lines]
        image, _ = degrade(sample.image, sample.lines, np.random.default_rng(i))
        assert [line.text for line in sample.lines] == [line.text for line in before]
        for line, old in zip(sample.lines, before, strict=True):
            assert (line.boxes[:, :2] >= 0).all()
            assert (line.boxes[:, 2:] <= (768, 512)).all()
            assert 0.8 < line.em_px / old.em_px < 1.08
            assert line.em_px / old.em_px == pytest.approx(line.x_height / old.x_height)
            for ch, (x0, y0, x1, y1) in zip(line.text, line.boxes, strict=True):
                if ch in "HMWNEBDOTmwn" and x1 - x0 > 5:
                    inside = 255 - image[max(0, round(y0)) : round(y1) + 1, max(0, round(x0)) : round(x1)].astype(int)
                    assert inside.max() > 50
                    checked += 1
            middle = line.baseline + line.slope * (line.boxes[-1, 0] - line.boxes[0, 0])
            assert abs(middle - line.boxes[-1, 3]) < line.em_px  # the baseline runs along the letters
    assert checked > 100


def test_a_straight_line_stays_exact_under_a_straight_warp(monkeypatch) -> None:
    """Skew and perspective keep lines straight: the baseline passes under the first and the last letter's foot."""
    for name in ("skew", "perspective"):
        alone(monkeypatch, name)
        x = np.arange(40, 460, 10, dtype=np.float32)
        image = np.full((512, 512), 255, np.uint8)
        image[248:250, 40:460] = 0
        line = LabelledLine("a" * len(x), np.stack([x, x * 0 + 240, x + 10, x * 0 + 250], 1), 250.0, 6, 10)
        bent, _ = degrade(image, [line], np.random.default_rng(5))
        for box in (line.boxes[1], line.boxes[-2]):
            column = int((box[0] + box[2]) / 2)
            foot = line.baseline + line.slope * (column + 0.5 - line.boxes[0, 0])
            around = bent[round(float(box[1])) : round(float(box[3])) + 2, column].astype(int)
            darkest = round(float(box[1])) + int(around.argmin()) + 0.5
            assert abs(foot - 1 - darkest) < 1.1, name


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_name_known_defects(profile) -> None:
    assert set(PROFILES[profile]) <= {*WARPS, *TINTS}
    counts = [len(degrade(marked((64, 512)), [], np.random.default_rng(k), [], profile)[1]) for k in range(200)]
    assert 1 < np.mean(counts) < 4


def test_unknown_profile() -> None:
    with pytest.raises(ValueError, match="'fog'; allowed: scan, copy, photo, camera"):
        degrade(marked((64, 64)), [], np.random.default_rng(0), profile="fog")
