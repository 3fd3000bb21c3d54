"""Shadows with hard edges are lightened before a page is read."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.reading.scales.shadows import even_light

SIZE = 800, 1000
FACE = ImageFont.truetype("DejaVuSans.ttf", 22)


def page(noise: float = 4.0, shadow: float = 0.5, *, soft: bool = False, inside: bool = False) -> Image.Image:
    """Lines of text, with a shadow from the right edge, or in the middle as a picture is."""
    drawn = Image.new("L", SIZE, 235)
    for k in range(20):
        ImageDraw.Draw(drawn).text((60, 60 + 40 * k), "The ferry left at noon with the mail and a goat.", 30, FACE)
    across = np.arange(SIZE[0])
    light = np.where(across > 430, shadow, 1.0) if not soft else np.linspace(1, shadow, SIZE[0])
    lights = np.tile(light, (SIZE[1], 1))
    if inside:
        lights[:] = 1
        lights[300:700, 200:600] = shadow
    pixels = np.asarray(drawn, float) * lights
    pixels += np.random.default_rng(2).normal(0, noise, pixels.shape) if noise else 0
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def test_paper_in_a_shadow_with_a_hard_edge_is_as_light_as_the_rest_and_its_type_stays_dark() -> None:
    lit = np.asarray(even_light(page()), float)
    left, right = lit[20:50, 100:400], lit[20:50, 460:780]
    assert abs(np.median(left) - np.median(right)) < 8
    assert np.percentile(lit[60:880, 460:650], 2) < 90
    assert lit[20:50, 425:435].mean() > 0.8 * np.median(left)  # no dark seam


@pytest.mark.parametrize("kept", [{"noise": 0.0}, {"shadow": 1.0}, {"soft": True}, {"inside": True}])
def test_drawn_pages_soft_shadows_and_pictures_stay(kept) -> None:
    image = page(**kept)
    assert even_light(image) is image
