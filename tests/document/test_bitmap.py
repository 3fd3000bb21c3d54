"""Rules and sideways text of large pages are sought in bands: with the same result, and in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from vary.document.layout.bitmap import BAND_PIXELS, erase_rules, find_drawn_objects
from vary.document.orientation import find_sideways_text


@pytest.mark.parametrize("y", range(-4, 9))
def test_rules_on_the_seam_of_two_bands_are_found_whole(y) -> None:
    page = np.full((2500, 1000), 255, np.uint8)
    top = BAND_PIXELS // 1000 + y
    page[top : top + 3, 100:900] = 0
    rules = find_drawn_objects(page, [], [], 16.0).rules
    assert rules == [(100.0, float(top), 899.0, float(top + 3))]
    assert (erase_rules(page, 16.0) == 255).all()


def test_a_large_page_is_searched_in_little_memory() -> None:
    page = np.full((12_000, 2000), 255, np.uint8)
    page[3000:3003, 100:1900] = 0
    page[5000:6000, 500:1500] = np.random.default_rng(0).integers(0, 255, (1000, 1000))
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
