"""Pages are pure functions of (seed, i), and every character has a true box."""

from __future__ import annotations

import numpy as np
import pytest

from vary.data.pages.glyphs import Atlas
from vary.data.pages.source import PageSource
from vary.document.alphabets import LATIN


def test_sample_is_pure(page_source) -> None:
    one, other = page_source(seed=3, height=256, width=512), page_source(seed=3, height=256, width=512)
    for i in (5, 0, 200):
        other.sample(i + 1)  # what came before must not matter
        a, b = one.sample(i), other.sample(i)
        assert np.array_equal(a.image, b.image)
        assert a.text == b.text
        assert all(np.array_equal(x.boxes, y.boxes) for x, y in zip(a.lines, b.lines, strict=True))


def test_seeds_and_indices_differ(page_source) -> None:
    images = [page_source(seed=s, height=128, width=256, degraded=0.0).sample(i).image for s in (1, 2) for i in (0, 1)]
    assert len({image.tobytes() for image in images}) == 4


@pytest.mark.parametrize("px", [9.0, 12.0, 24.0])
def test_type_can_have_one_size(page_source, px) -> None:
    source = page_source(seed=1, height=64, width=256, sizes_px=(px, px))
    assert {source.sample(i).meta["size_px"] for i in range(12)} == {px}


@pytest.mark.parametrize("size", [(1024, 1024), (256, 512), (64, 320)])
def test_boxes_hold_the_ink(page_source, size) -> None:
    source = page_source(seed=1, height=size[0], width=size[1], degraded=0.0)
    found = 0
    for i in range(6):
        sample = source.sample(i)
        assert sample.image.shape == size
        for line in sample.lines:
            assert len(line.boxes) == len(line.text)
            assert set(line.text) <= set(LATIN)
            assert (line.boxes[1:, 0] >= line.boxes[:-1, 0] - 1e-3).all()  # left to right
            for ch, (x0, y0, x1, y1) in zip(line.text, line.boxes, strict=True):
                if ch.isalnum() and x1 - x0 > 2:
                    ink = 255 - sample.image[max(0, int(y0)) : int(y1) + 1, int(x0) : int(x1) + 1]
                    assert ink.max() > 60, f"no ink in the box of {ch!r}"
                    found += 1
    assert found > 50


def test_all_text_ink_lies_in_boxes(page_source) -> None:
    """What is not rule or picture is inside some line's box: paint the boxes white and hardly any ink is left."""
    source, total, left = page_source(seed=2, height=512, width=512, degraded=0.0), 0, 0
    for i in range(8):
        sample = source.sample(i)
        ink = (255 - sample.image).astype(int)
        total += ink.sum()
        for line in sample.lines:
            x0, y0, x1, y1 = line.box
            ink[max(0, int(y0) - 1) : int(y1) + 2, max(0, int(x0) - 2) : int(x1) + 3] = 0
        left += min(ink.sum(), 4000 * 255)
    assert left < 0.35 * total


def test_held_out_faces_are_disjoint(text_source, faces) -> None:
    from dataclasses import replace

    renamed = [replace(f, family="Caladea") if "Mono" not in f.family and "Serif" in f.family else f for f in faces]
    seen = PageSource(text_source, renamed).families
    unseen = PageSource(text_source, renamed, held_out=True).families
    assert not set(seen) & set(unseen)
    with pytest.raises(ValueError, match="none of"):
        PageSource(text_source, [f for f in renamed if f.family != "Caladea"], held_out=True)


def test_every_kind_of_block_and_text_occurs(page_source) -> None:
    source = page_source(seed=5, height=768, width=768, degraded=0.0)
    samples = [source.sample(i) for i in range(60)]
    texts = [s.meta["text"] for s in samples]
    unnatural = sum(t != "natural" for t in texts) / len(texts)
    assert 0.1 < unnatural < 0.45
    joined = "\n".join(s.text for s in samples)
    assert "•" in joined
    assert "....." in joined or ". . . ." in joined
    starts = [sorted({round(line.box[0] / 20) for line in s.lines}) for s in samples]
    assert any(len(s) > 6 for s in starts)  # columns and tables


def test_italic_is_the_share_of_type_styles(page_source) -> None:
    few, many = (
        [page_source(seed=5, height=64, width=256, italic=share).sample(256 * k).meta["face"] for k in range(24)]
        for share in (0.0, 0.92)
    )
    assert sum("Italic" in face or "Oblique" in face for face in many) > 6
    assert not any("Italic" in face or "Oblique" in face for face in few)


def test_max_lines(page_source) -> None:
    assert all(len(page_source(seed=1, height=256, width=512, max_lines=2).sample(i).lines) <= 8 for i in range(5))


def test_many_new_letters_at_once_are_kerned(faces) -> None:
    letters = "".join(map(chr, (*range(0x21, 0x7F), *range(0xC0, 0x17F))))
    for face in faces:
        atlas = Atlas(face, 16)
        alone = atlas.advance("AV")
        text, numbers = atlas.glyphs(letters)
        assert len(text) > 150
        assert np.isfinite(atlas.advances_G(numbers)).all()
        assert atlas.advance("AV") == alone
