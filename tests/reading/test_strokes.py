"""Where type may be in what is left of a page."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.models.images.preprocess import pad_right_below, padded_pixels
from vary.reading.scales.strokes import keep_strokes, may_hold_type


@pytest.mark.parametrize(("mode", "size"), [("L", (1001, 2003)), ("RGB", (33, 64)), ("L", (32, 32)), ("L", (1, 1))])
def test_pixels_are_padded_as_a_whole_image_is(mode, size) -> None:
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    values = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    image = Image.fromarray(values)
    assert np.array_equal(padded_pixels(image, 32), pad_right_below(values, 32))


def noisy(text: str) -> np.ndarray:
    page = Image.new("L", (800, 1200), 230)
    ImageDraw.Draw(page).text((300, 500), text, 40, ImageFont.truetype("DejaVuSans.ttf", 12))
    return np.asarray(page) + np.random.default_rng(3).integers(-12, 13, (1200, 800)).astype(np.uint8)


def test_noise_holds_no_type() -> None:
    assert not may_hold_type(noisy(""))
    assert keep_strokes(noisy("")) is None


def test_small_type_is_kept_and_the_noise_far_from_it_is_not() -> None:
    page = noisy("small type")
    kept = keep_strokes(page)
    assert kept is not None
    assert (kept[498:516, 298:370] == page[498:516, 298:370]).all()
    assert len(np.unique(kept[700:])) == 1
