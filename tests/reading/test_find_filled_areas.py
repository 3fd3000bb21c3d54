"""Filled areas of page images are found where a PDF would state them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.reading.scales.filled_areas import find_filled_areas, whiten_areas

SIZE = 800, 1000
FACE = ImageFont.truetype("DejaVuSans.ttf", 16)
SIDEBAR, CARDS = (0, 0, 240, 1000), [(260, 100, 500, 220), (520, 100, 760, 220), (260, 240, 500, 360)]


def page(paper: int = 255, sidebar: int = 40, card: int = 238, ink: int = 30) -> Image.Image:
    """A page with a sidebar, cards with round corners and text on all of them."""
    drawn = Image.new("L", SIZE, paper)
    draw = ImageDraw.Draw(drawn)
    draw.rectangle((*SIDEBAR[:2], SIDEBAR[2] - 1, SIDEBAR[3] - 1), sidebar)
    for x0, y0, x1, y1 in CARDS:
        draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), 12, card)
        draw.text((x0 + 16, y0 + 12), "Orders, returns\nof the week: 40", ink, FACE)
    for k in range(20):
        draw.text((20, 40 + 40 * k), "Levels, maps", 255 if sidebar < 200 else 0, FACE)
        draw.text((276, 400 + 24 * k), "The lift of the store runs again.", ink, FACE)
    return drawn


def boxes(image: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(map(round, box)) for box, _ in find_filled_areas(image)}


@pytest.mark.parametrize(("paper", "sidebar", "card"), [(255, 40, 238), (255, 246, 205), (240, 147, 255), (30, 90, 60)])
def test_sidebars_and_cards_are_found_to_the_pixel(paper, sidebar, card) -> None:
    found = find_filled_areas(page(paper, sidebar, card, 128 if paper < 100 else 30))
    assert {box for box, _ in found} == {SIDEBAR, *CARDS}
    assert {box: colour & 255 for box, colour in found}[SIDEBAR] == sidebar
    assert found[0][0] == SIDEBAR  # the largest first


def test_a_scan_with_a_little_noise_has_its_areas() -> None:
    pixels = np.asarray(page(245, card=215), float) + np.random.default_rng(1).normal(0, 3, SIZE[::-1])
    found = find_filled_areas(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    assert len(found) == 4
    assert np.abs(np.array(sorted(box for box, _ in found)) - np.array(sorted([SIDEBAR, *CARDS]))).max() <= 3


def framed() -> Image.Image:
    drawn = page(255, 255, 255)
    for box in CARDS:
        ImageDraw.Draw(drawn).rectangle(box, outline=0, width=2)
    return drawn


def shaded() -> Image.Image:
    """Paper under a shadow that grows to one side."""
    pixels = np.asarray(page(250, 250, 250), float) * np.linspace(1, 0.4, SIZE[0])
    return Image.fromarray(pixels.astype(np.uint8))


def photographed() -> Image.Image:
    pixels = np.asarray(page(), float) + np.random.default_rng(1).normal(0, 14, SIZE[::-1])
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def round_spots() -> Image.Image:
    drawn = Image.new("L", SIZE, 255)
    for k in range(4):
        ImageDraw.Draw(drawn).ellipse((60, 60 + 200 * k, 400, 220 + 200 * k), 60 + 40 * k)
    return drawn


@pytest.mark.parametrize("drawn", [framed, shaded, photographed, round_spots])
def test_frames_shadows_photographs_and_spots_are_none(drawn) -> None:
    assert not find_filled_areas(drawn())


@pytest.mark.parametrize(("sidebar", "type_"), [(147, 255), (147, 20), (60, 200)])
def test_type_on_a_ground_becomes_dark_on_white_and_the_rest_stays(sidebar, type_) -> None:
    drawn = page(sidebar=sidebar, card=sidebar)
    ImageDraw.Draw(drawn).text((20, 600), "Rowing", type_, FACE)
    shown = np.asarray(whiten_areas(drawn, find_filled_areas(drawn), drawn))
    plain = np.asarray(drawn)
    assert np.median(shown[600:620, 20:80]) == 255
    assert shown[600:620, 20:80].min() < 128
    assert (shown[:, 765:] == plain[:, 765:]).all()
    assert (shown[95:230, 505:515] == 255).all()  # nothing is left of the sides and the round corners
    assert (shown[95:115, 515:525] == 255).all()


def test_a_page_with_pale_grounds_alone_stays() -> None:
    drawn = page(sidebar=240)
    assert whiten_areas(drawn, find_filled_areas(drawn), drawn) is drawn


def test_an_area_without_type_stays_as_it_is() -> None:
    """It is a bar of a chart, or hides a name."""
    drawn = Image.new("L", (400, 300), 255)
    drawn.paste(0, (20, 20, 200, 60))
    assert len(find_filled_areas(drawn)) == 1
    assert np.array_equal(whiten_areas(drawn, find_filled_areas(drawn), drawn), drawn)
