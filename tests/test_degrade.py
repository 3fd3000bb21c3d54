"""Defects change the picture, repeatably, and boxes go where the ink goes."""

from __future__ import annotations

import numpy as np
import pytest

from vary.data import degrade as module
from vary.data.degrade import CHANCES, degrade


@pytest.mark.parametrize("name", [n for n in CHANCES if n != "skew"])
def test_each_defect(page_source, name, monkeypatch) -> None:
    sample = page_source(seed=1, height=256, width=512, degraded=0.0).sample(3)
    monkeypatch.setattr(module, "CHANCES", {name: 1.0})
    before = sample.image.copy()
    one, done = degrade(sample.image.copy(), sample.lines, np.random.default_rng(1))
    two, _ = degrade(sample.image.copy(), sample.lines, np.random.default_rng(1))
    assert done == [name]
    assert one.dtype == np.uint8
    assert one.shape == before.shape
    assert np.array_equal(one, two)
    assert not np.array_equal(one, before)


def test_boxes_follow_the_skew(page_source, monkeypatch) -> None:
    monkeypatch.setattr(module, "CHANCES", {"skew": 1.0})
    source = page_source(seed=4, height=512, width=768, degraded=0.0)
    checked = 0
    for i in range(6):
        sample = source.sample(i)
        image, _ = degrade(sample.image, sample.lines, np.random.default_rng(i))
        for line in sample.lines:
            for ch, (x0, y0, x1, y1) in zip(line.text, line.boxes, strict=True):
                if ch in "HMWNEBDOTmwn" and x1 - x0 > 5:
                    inside = 255 - image[max(0, round(y0)) : round(y1) + 1, max(0, round(x0)) : round(x1)].astype(int)
                    assert inside.max() > 50
                    checked += 1
            middle = line.baseline + line.slope * (line.boxes[-1, 0] - line.boxes[0, 0])
            assert abs(middle - line.boxes[-1, 3]) < line.em_px  # the baseline runs along the letters
    assert checked > 100
