"""Rules and sideways text of large pages are sought in bands: with the same result, and in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from vary.document.layout.bitmap import (
    BAND_PIXELS,
    darken,
    find_components,
    find_drawn_objects,
    grow,
    lighten,
    soften,
)
from vary.document.orientation import find_sideways_text
from vary.io.box import edges
from vary.reading.scales.rules import erase_rules


@pytest.mark.parametrize("y", range(-4, 9))
def test_rules_on_the_seam_of_two_bands_are_found_whole(y) -> None:
    page = np.full((2500, 1000), 255, np.uint8)
    top = BAND_PIXELS // 1000 + y
    page[top : top + 3, 100:900] = 0
    rules = find_drawn_objects(page, [], [], 16.0).rules
    assert rules == [(100.0, float(top), 899.0, float(top + 3))]
    assert (erase_rules(page, 16.0) == 255).all()


def test_a_large_page_is_searched_in_little_memory() -> None:
    page = np.full((7000, 2000), 255, np.uint8)
    page[1000:1003, 100:1900] = 0
    page[3000:4000, 500:1500] = np.random.default_rng(0).integers(0, 255, (1000, 1000))
    tracemalloc.start()
    try:
        evidence = find_drawn_objects(page, [], [], 16.0)
        find_sideways_text(page)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert evidence.rules
    assert evidence.pictures
    assert peak < 3 * page.nbytes


def test_faint_rows_of_noise_and_of_light_type_are_no_rules() -> None:
    rng = np.random.default_rng(3)
    page = np.full((600, 1000), 250, np.uint8)
    page[100:103, 100:900] = rng.integers(222, 250, (3, 800))
    page[200:210, 100:900:4] = 225  # strokes
    for x in range(100, 900, 8):
        page[240, x : x + 7] = 230  # serifs of typewriter type
    page[300:, :] = rng.integers(235, 251, (300, 1000))
    assert find_drawn_objects(page, [], [], 16.0).rules == []


@pytest.mark.parametrize("grey", [210, 226, 240])
def test_light_grey_rules_of_one_pixel_are_found(grey) -> None:
    page = np.full((300, 400), 255, np.uint8)
    for at in (40, 120, 200):
        page[at, 50:351] = page[40:201, at + 50] = grey
    rules = find_drawn_objects(page, [], [], 16.0).rules
    assert len(rules) == 6
    level = [box for box in rules if box[2] - box[0] > 100]
    assert np.array(level) == pytest.approx(np.array([(50, y, 350, y + 1) for y in (40, 120, 200)]), abs=1)
    assert (erase_rules(page, 16.0) > 250).all()


def test_components_are_areas_that_sides_or_corners_connect() -> None:
    rng = np.random.default_rng(3)
    for share in (0.1, 0.45, 0.6, 0.9):
        mask = rng.random((23, 31)) < share
        assert sorted(find_components(mask)) == sorted(_flooded(mask))
    assert find_components(np.zeros((3, 4), bool)) == []
    assert find_components(np.ones((3, 4), bool)) == [(0, 0, 4, 3)]


def _flooded(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The boxes of areas, one pixel after the other."""
    left, boxes = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        waiting = [left.pop()]
        area = list(waiting)
        while waiting:
            y, x = waiting.pop()
            near = {(y + down, x + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            waiting += near
            area += near
        ys, xs = zip(*area, strict=True)
        boxes.append((min(xs), min(ys), max(xs) + 1, max(ys) + 1))
    return boxes


def test_edges_of_runs() -> None:
    assert edges(np.array([True, True, False, True])).tolist() == [0, 2, 3, 4]
    assert edges(np.zeros(3, bool)).tolist() == []


def test_a_rule_leaves_small_type_below_it_alone() -> None:
    page = np.full((120, 400), 255, np.uint8)
    for left in range(20, 380, 4):  # stems of small type: 6 px high, 2 px apart
        page[62:68, left : left + 2] = 40
    text = page.copy()
    page[56:58, 10:390] = 30  # a footnote's rule
    assert (erase_rules(page, 16.0) == text).all()
    assert (erase_rules(text, 16.0) == text).all()


def test_a_light_rule_on_a_dark_ground_is_one() -> None:
    page = np.full((100, 400), 60, np.uint8)
    page[50:52, 10:390] = 250
    assert len(find_drawn_objects(page, [], [], 16.0).rules) == 1


def test_pages_of_two_levels_get_soft_edges_and_no_others() -> None:
    page = np.full((20, 20), 255, np.uint8)
    page[5:15, 8:12] = 0
    soft = np.asarray(soften(Image.fromarray(page)))
    assert soft[10, 6:14].tolist() == [255, 223, 32, 0, 0, 32, 223, 255]
    assert (soft[0] == 255).all()
    page[0, 0] = 128
    grey = Image.fromarray(page)
    assert soften(grey) is grey


@pytest.mark.parametrize(
    ("paper", "ink", "expected"),
    [(255, 120, (255, 0)), (220, 170, (220, 70)), (255, 20, (255, 20)), (255, 240, (255, 240)), (90, 20, (90, 20))],
    ids=["light type", "very light type", "dark type", "specks of paper", "dark paper"],
)
def test_the_ink_of_a_page_of_light_type_becomes_dark(paper, ink, expected) -> None:
    page = np.full((100, 100), paper, np.uint8)
    page[40:50, 40:50] = ink
    dark = np.asarray(darken(Image.fromarray(page)))
    assert (dark[0, 0], dark[45, 45]) == expected


def test_a_page_that_darkens_to_its_corners_has_no_light_type() -> None:
    page = np.repeat(np.linspace(120, 255, 200).astype(np.uint8)[None], 200, 0)
    image = Image.fromarray(page)
    assert darken(image) is image


def test_one_dark_speck_does_not_keep_type_light() -> None:
    page = np.full((200, 200), 255, np.uint8)
    page[40:50, 40:50] = 120
    page[3, 3] = 0
    assert np.asarray(darken(Image.fromarray(page)))[45, 45] == 0


@pytest.mark.parametrize("by", [0, 1, 2, 7])
def test_a_mask_grows_to_all_sides(by) -> None:
    mask = np.random.default_rng(by).random((23, 9)) < 0.02
    around = [mask[max(0, y - by) : y + by + 1, max(0, x - by) : x + by + 1].any() for y in range(23) for x in range(9)]
    assert (grow(mask, by).ravel() == around).all()
    assert 0 < mask.sum() < mask.size


def test_even_grounds_of_type_are_areas_and_noise_leaves_none() -> None:
    page = np.full((600, 1000), 255, np.uint8)
    page[100:130, 50:900] = 238  # the head of a table
    page[300:480, 700:950] = 245  # a card
    page[106:122, 60:200:3], page[340:352, 720:800:3] = 30, 30
    page[200:204, 50:900] = 238  # a rule
    page[296:300, 696:954] = page[480:484, 696:954] = page[296:484, 696:700] = page[296:484, 950:954] = 212  # its edge
    boxes = [box for box, _ in find_drawn_objects(page, [], [], 16.0).areas]
    assert sorted(boxes) == [(50.0, 100.0, 900.0, 130.0), (700.0, 300.0, 950.0, 480.0)]
    noise = np.random.default_rng(2).normal(0, 6, page.shape)
    assert find_drawn_objects((page + noise).clip(0, 255).astype(np.uint8), [], [], 16.0).areas == []


def test_a_dark_bar_is_an_area_down_to_the_rules_below_it() -> None:
    page = np.full((600, 1000), 255, np.uint8)
    page[100:136, 50:900] = 10
    page[108:128, 60:200:3] = 250
    for x in (50, 400, 899):
        page[136:260, x : x + 2] = 0
    for y in (170, 215, 258):
        page[y : y + 2, 50:901] = 0
    ((box, _),) = find_drawn_objects(np.asarray(lighten(Image.fromarray(page))), [], [], 16.0).areas
    assert abs(box[1] - 100) < 5
    assert abs(box[3] - 136) < 3
