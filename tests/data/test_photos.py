"""Pictures without text are negatives with one of five sentences; captions are kept whole."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vary.data.images.photos import PHOTOS, SENTENCES, PhotoSource, photos, pictures, read_captions
from vary.data.sample import Skipped
from vary.markup.prompts import PROMPTS


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four pictures, 300 x 200, no pixel like another one nearby."""
    y, x = np.mgrid[0:200, 0:300]
    for k in range(4):
        Image.fromarray(np.stack([x // 2, y, (x + y + 60 * k) % 256], 2).astype(np.uint8)).save(tmp_path / f"{k}.png")
    return tmp_path


def test_negatives(folder) -> None:
    source, again = PhotoSource(pictures(folder), seed=5), PhotoSource(pictures(folder), seed=5)
    samples = [source.sample(i) for i in range(80)]
    assert {s.text for s in samples} == set(SENTENCES)
    assert all(s.kind == "photo" and s.prompt is None and not s.lines for s in samples)
    for start in range(0, 80, 4):  # every picture once in every pass
        assert len({s.meta["file"] for s in samples[start : start + 4]}) == 4
    assert len({s.image.shape for s in samples}) > 40  # parts of all sizes
    for i in (7, 0, 63):
        assert np.array_equal(again.sample(i).image, samples[i].image)
        assert again.sample(i).target == samples[i].target
    assert not np.array_equal(PhotoSource(pictures(folder), seed=6).sample(0).image, samples[0].image)


def test_a_crop_is_a_part_of_the_picture(folder) -> None:
    source = PhotoSource(pictures(folder), seed=1)
    mirrored = 0
    for i in range(12):
        sample = source.sample(i)
        whole = np.asarray(Image.open(sample.meta["file"]))
        back = sample.image[:, ::-1] if sample.image[0, 0, 0] > sample.image[0, -1, 0] else sample.image
        mirrored += back is not sample.image
        high, wide = back.shape[:2]
        assert high >= 100
        assert wide >= 150
        x = [k for k in range(301 - wide) if np.array_equal(whole[back[0, 0, 1], k : k + wide], back[0])]
        assert len(x) == 1
    assert 0 < mirrored < 12


def test_captions(folder) -> None:
    (folder / "0.txt").write_text("A gradient.\n", encoding="utf-8")
    captions = folder / "captions.json"
    captions.write_text(json.dumps([{"image": "1.png", "caption": "蓝色"}]), encoding="utf-8")
    source = PhotoSource(pictures(folder), captions=read_captions(captions), size=150)
    samples = [source.sample(i) for i in range(4)]
    kinds = {Path(s.meta["file"]).name: (s.kind, s.prompt) for s in samples}
    assert kinds["0.png"] == kinds["1.png"] == ("caption", PROMPTS["caption"]["en"])
    assert kinds["2.png"] == kinds["3.png"] == ("photo", None)
    captioned = [s for s in samples if s.kind == "caption"]
    assert sorted(s.text for s in captioned) == ["A gradient.", "蓝色"]
    assert all(s.image.shape == (100, 150, 3) for s in captioned)  # whole, the longest side as asked
    plain = PhotoSource(pictures(folder), captions=read_captions(captions), negatives=True)
    assert Counter(plain.sample(i).kind for i in range(4)) == {"photo": 4}


def test_unreadable_pictures_are_named(folder) -> None:
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:200])
    (folder / "3.png").unlink()
    files = [folder / f"{k}.png" for k in range(4)]
    source, reasons = PhotoSource(files), []
    for i in range(8):
        try:
            source.sample(i)
        except Skipped as reason:
            reasons.append(reason)
    assert sorted(r.record for r in reasons) == [2, 2, 3, 3]
    assert all(f"{r.record}.png" in r.reason and "\n" not in str(r) for r in reasons)


def test_wrong_input(tmp_path) -> None:
    with pytest.raises(ValueError, match="no pictures; allowed: "):
        pictures(tmp_path)
    with pytest.raises(ValueError, match="no pictures were given"):
        PhotoSource([])
    for content, reason in (
        ("{", "not JSON"),
        ("[1]", "expected file names and captions"),
        ('{"a.png": 3}', "expected"),
    ):
        (tmp_path / "c.json").write_text(content)
        with pytest.raises(ValueError, match=f"c.json: {reason}"):
            read_captions(tmp_path / "c.json")


@pytest.mark.slow  # fetches 97 MB of packages
def test_photos_of_packages() -> None:
    found = photos()
    assert len(found) >= 35
    assert len(PHOTOS) == 5
    source = PhotoSource(found)
    assert all(min(source.sample(i).image.shape[:2]) > 90 for i in range(len(found)))
