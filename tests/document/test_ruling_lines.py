"""Ruling lines of scans: light ones are found whole, and paper between two tables parts their rules."""

from __future__ import annotations

import numpy as np
import pytest

from tests.document.test_layout import laid_out, line, tables
from vary.document.elements import Document
from vary.document.evidence import Evidence
from vary.document.layout.ruling_lines import find_rules, find_underlines
from vary.reading.scales.rules import erase_rules


def scan(seed: int, noise: float = 4.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(242, noise, (260, 640))


def as_page(page: np.ndarray) -> np.ndarray:
    return page.round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_light_rules_of_a_noisy_scan_are_found_whole(seed) -> None:
    page = scan(seed)
    for at in (40, 90, 140):
        page[at, 40:561] -= 24
        page[at, 120:180] -= 25  # darker here
    for at in (40, 300, 560):
        page[40:141, at] -= 24
        page[60:100, at] -= 25
    level, upright = find_rules(as_page(page), 16.0)
    assert np.array(level) == pytest.approx(np.array([(40, y, 561, y + 1) for y in (40, 90, 140)]), abs=4)
    assert np.array(sorted(upright)) == pytest.approx(np.array([(x, 40, x + 1, 141) for x in (40, 300, 560)]), abs=4)
    assert erase_rules(as_page(page), 16.0)[40, 60:540].mean() > 236


@pytest.mark.parametrize("grey", [0, 190])
def test_rules_end_at_the_paper_between_two_tables(grey) -> None:
    page = np.full((260, 640), 250, np.uint8)
    for at in (40, 70, 100):
        page[at : at + 2, 40:300] = page[at : at + 2, 318:600] = page[at + 80 : at + 82, 40:300] = grey
    for at in (40, 170, 298):
        page[40:102, at : at + 2] = page[120:182, at : at + 2] = grey
    level, upright = find_rules(page, 16.0)
    assert len(level) == 9
    assert len(upright) == 6


def test_a_light_rule_does_not_go_on_through_type() -> None:
    page = np.full((100, 640), 250, np.uint8)
    page[50, 40:300] = 215
    for left in range(306, 600, 7):  # stems, with feet on the rule's height
        page[38:51, left : left + 2] = page[50:51, left : left + 5] = 40
    (rule,), _ = find_rules(page, 16.0)
    assert rule[2] <= 312


def test_a_rule_that_leans_is_one() -> None:
    page = np.full((100, 640), 250, np.uint8)
    for x in range(30, 610):
        page[40 + x // 150, x] = 222
    assert find_rules(page, 16.0)[0] == [(30.0, 40.0, 609.0, 44.0)]


def grid(xs: list[float], ys: list[float]) -> list[tuple[float, float, float, float]]:
    return [(xs[0], y, xs[-1], y + 1) for y in ys] + [(x, ys[0], x + 1, ys[-1]) for x in xs]


def cells(xs: list[float], ys: list[float], texts: list[list[str]]) -> list:
    rows = zip(ys, texts, strict=False)
    return [line(text, x + 6, y + 8) for y, row in rows for x, text in zip(xs, row, strict=False) if text]


def test_a_grid_of_totals_below_the_items_is_a_table_of_its_own() -> None:
    xs, below = [20.0, 80.0, 260.0, 360.0, 460.0], [200.0, 300.0, 390.0, 460.0]
    ys, low = [20.0, 50.0, 80.0, 110.0], [110.0, 140.0, 170.0, 200.0]
    items = [["No.", "Name", "Price", "Sum"], ["1", "Olive oil", "4,00", "8,00"], ["2", "Salt", "", "-1,00"]]
    totals = [["Rate", "Net", "Gross"], ["23%", "6,50", "8,00"], ["Sum", "6,50", "8,00"]]
    page = laid_out(
        *cells(xs, ys, items), *cells(below, low, totals), evidence=Evidence(grid(xs, ys) + grid(below, low))
    )
    assert [one.cells for one in tables(page)] == [items, totals]


def test_totals_in_the_columns_of_the_items_stay_in_their_table() -> None:
    xs, ys = [20.0, 80.0, 260.0, 360.0, 460.0], [20.0 + 30 * k for k in range(6)]
    rules = [(xs[0], y, xs[-1], y + 1) for y in ys] + [(x, 20.0, x + 1, 110.0) for x in xs[1:3]]
    rules += [(x, 20.0, x + 1, ys[-1]) for x in (xs[0], *xs[3:])]
    texts = [["No.", "Name", "Price", "Sum"], ["1", "Oil", "4,00", "8,00"], ["2", "Salt", "1,00", "1,00"]]
    texts += [["Net", "", "", "9,00"], ["Total", "", "", "9,50"]]
    page = laid_out(*cells(xs, ys, texts), evidence=Evidence(rules))
    (table,) = tables(page)
    assert sorted(table.merged) == [(3, 0, 1, 3), (4, 0, 1, 3)]
    markdown = Document("a", "m", [page]).markdown()
    assert "| Total |  |  | 9,50 |" in markdown
    assert "<td" not in markdown


def test_underlines_go_and_type_and_blanks_stay() -> None:
    page = np.full((80, 320), 250, np.uint8)
    for x in range(20, 200, 10):  # strokes of letters, with tails through the underline
        page[20:34, x : x + 5] = 0
    page[34:40, 60:64] = page[34:40, 130:134] = 0
    page[36, 20:200] = 40
    page[60, 20:200] = 40  # a blank to write on: nothing stands above it
    assert find_underlines(page, 16.0) == [(20.0, 36.0, 200.0, 37.0)]
    plain = erase_rules(page, 16.0)
    assert plain[36, 66:128].min() == 250
    assert plain[20:34, 20:25].max() == 0
    assert plain[34:40, 61:63].max() == 0
    assert (plain[60] == page[60]).all() or plain[60].min() == 250  # as a long rule it may go, the type may not


def test_bottoms_of_letters_are_no_underline() -> None:
    page = np.full((60, 320), 250, np.uint8)
    for x in range(20, 200, 8):  # slab serifs with narrow gaps
        page[20:34, x + 2 : x + 4] = 0
        page[33, x : x + 6] = 0
    assert find_underlines(page, 16.0) == []


@pytest.mark.parametrize("grey", [212, 150])
def test_a_thin_upright_rule_is_found_where_type_stands_close_to_it(grey) -> None:
    page = np.full((200, 400), 255, np.uint8)
    for y in range(20, 180, 20):
        page[y, 40:360] = grey
        page[y + 4 : y + 16, 205 : 205 + 60] = 0  # type, 4 px to the right
    page[20:161, 200] = grey
    _, upright = find_rules(page, 16.0)
    assert upright[0] == pytest.approx((200, 20, 201, 161), abs=2)


def test_the_sides_of_a_low_frame_go_and_an_empty_field_stays() -> None:
    page = np.full((140, 400), 255, np.uint8)
    for top in (20, 80):
        page[[top, top + 21], 30:300] = 40
        page[top : top + 22, [30, 299]] = 40
    for x in range(40, 280, 10):  # strokes of letters
        page[26:36, x : x + 4] = 0
    plain = erase_rules(page, 16.0)
    assert plain[18:44, [28, 29, 30, 31, 298, 299, 300]].min() == 255
    assert plain[26:36, 40:44].max() == 0
    assert (plain[84:98, [30, 299]] == 40).all()
