"""Photographed sheets are mapped to rectangles before they are read."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.document.elements import Block, Line, Page
from vary.document.perspective import find_sheet, flatten, homography, rectangle, unflatten
from vary.reading.loader import load_reader
from vary.reading.pages import read_document

SIZE = 900, 1200
CORNERS = np.array([(90, 60), (800, 120), (850, 1130), (40, 1080)], float)  # clockwise from the top left one
TEXT = [
    "Quarterly report of the harbour",
    "Ropes and lamps were counted twice.",
    "The ferry left at noon with the mail.",
    "No lantern was lost this year.",
    "The next count is due in spring.",
]


def sheet() -> Image.Image:
    page = Image.new("L", (700, 1000), 235)
    for k, text in enumerate(TEXT * 2):
        ImageDraw.Draw(page).text((60, 80 + 80 * k), text, font=ImageFont.truetype("DejaVuSans.ttf", 26), fill=20)
    return page


def photograph(corners: np.ndarray = CORNERS, ground: int = 50) -> Image.Image:
    """A sheet seen from the side, in a light that falls off to the right, with noise."""
    page = sheet()
    matrix = homography(corners, rectangle(page.size)).ravel()[:8].tolist()
    shown = page.transform(SIZE, Image.Transform.PERSPECTIVE, matrix, Image.Resampling.BICUBIC)
    inside = Image.new("L", page.size, 255).transform(SIZE, Image.Transform.PERSPECTIVE, matrix)
    pixels = np.where(np.asarray(inside) > 127, np.asarray(shown, float), ground)
    pixels *= np.linspace(1, 0.75, SIZE[0])
    noise = np.random.default_rng(5).normal(0, 4, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def test_the_corners_of_a_sheet_are_found_and_mapped_to_a_rectangle() -> None:
    image = photograph()
    found = find_sheet(image)
    assert found is not None
    assert np.abs(found * SIZE - CORNERS).max() < 8
    flat = np.asarray(flatten(image, found).resize((700, 1000)), float)
    assert np.corrcoef((flat < 120).mean(1), (np.asarray(sheet()) < 120).mean(1))[0, 1] > 0.6  # its lines are level


def test_a_sheet_on_a_light_desk_is_found_in_light_that_falls_off() -> None:
    image = np.asarray(photograph(ground=195), float)
    x, y = np.meshgrid(np.linspace(-1, 1, SIZE[0]), np.linspace(-1, 1, SIZE[1]))
    image *= 0.65 + 0.35 * np.exp(-((x + 0.3) ** 2 + (y + 0.5) ** 2) / 1.4)
    image[20:140, -60:] = 40  # a cup beside it
    found = find_sheet(Image.fromarray(image.clip(0, 255).astype(np.uint8)))
    assert found is not None
    assert np.abs(found * SIZE - CORNERS).max() < 8


@pytest.mark.parametrize(
    "corners",
    [
        [(90, 60), (800, 60), (800, 1130), (90, 1130)],  # upright
        [(90, 100), (800, 60), (840, 1090), (130, 1130)],  # turned only: opposite sides are parallel
        [(300, 300), (600, 320), (620, 600), (290, 580)],  # small
        [(350, 60), (500, 60), (880, 1150), (20, 1150)],  # too steep
    ],
)
def test_other_pictures_are_left_alone(corners) -> None:
    assert find_sheet(photograph(np.array(corners, float))) is None


def test_a_sheet_on_a_ground_like_paper_and_pages_without_a_ground_are_left_alone() -> None:
    assert find_sheet(photograph(ground=228)) is None
    assert find_sheet(sheet()) is None
    assert find_sheet(Image.fromarray(np.random.default_rng(3).integers(0, 255, (600, 500)).astype(np.uint8))) is None
    assert find_sheet(Image.new("L", (300, 400), 255)) is None


def test_boxes_are_mapped_back_to_the_photograph() -> None:
    image = photograph()
    found = find_sheet(image)
    assert found is not None
    width, height = flatten(image, found).size
    page = Page(1, "ok", width, height, blocks=[Block([Line("x", (0, 0, 10, 10), 1.0)], (0, 0, width, height))])
    unflatten(page, found, SIZE)
    assert (page.width, page.height) == SIZE
    assert page.blocks[0].box == pytest.approx((40, 60, 850, 1130), abs=8)
    assert page.blocks[0].lines[0].box[:2] == pytest.approx((90, 60), abs=8)


def test_a_photograph_is_read_like_the_sheet(tmp_path) -> None:
    photograph().save(tmp_path / "photo.png")
    page = read_document(tmp_path / "photo.png", load_reader("vary-nano", pixels=True)).pages[0]
    read = " ".join(line.text for line in page.lines).split()
    wanted = " ".join(TEXT * 2).split()
    assert sum(word in read for word in wanted) >= 0.95 * len(wanted)
    assert (page.width, page.height) == SIZE
    first = next(line for line in page.lines if line.text.startswith("Quarterly"))
    assert first.box[0] == pytest.approx(146, abs=15)  # where the photograph shows it
