"""Pages that lean too little to be turned are laid out as if they were level; typed rules are rows of one sign."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.document.test_layout import PROSE, line, row, tables
from tests.document.test_unruled_tables import placed
from vary.document.elements import Document, Page
from vary.document.evidence import Evidence
from vary.document.layout.arrange import find_slope, lay_out
from vary.document.layout.bullets import join_signs
from vary.document.lines import TextLine
from vary.document.structure import find_structure

ITEMS = [["No", "Item", "Sum"], ["1", "Oak board", "222.00"], ["2", "Hinges", "34.00"], ["3", "Wax", "6.90"]]


def leaning(one: TextLine, slope: float) -> TextLine:
    down = slope * one.boxes[:, [0, 2]].mean(1)
    shift = np.stack([0 * down, down, 0 * down, down], 1)
    return replace(one, boxes=(one.boxes + shift).astype(np.float32), slope=slope)


def read(lines: list[TextLine], slope: float, evidence: Evidence | None = None) -> Page:
    page = Page(1, "ok", 600, 800)
    page.blocks = lay_out([leaning(one, slope) for one in lines], evidence or Evidence(), (600, 800), ())
    find_structure(page)
    return page


@pytest.mark.parametrize("slope", [0.0, 0.012, -0.025, 0.03])
def test_a_table_on_a_page_that_leans(slope) -> None:
    page = read([*placed(ITEMS, [10, 90, 520], step=18), *PROSE], slope)
    (table,) = tables(page)
    assert table.cells == ITEMS
    for one in page.lines:  # boxes are those of the page as it lies
        x0, y0, x1, _ = one.characters[-1]
        first = one.characters[0]
        assert y0 - first[1] == pytest.approx(slope * ((x0 + x1) - (first[0] + first[2])) / 2, abs=0.1)


def test_rules_of_a_page_that_leans_are_a_grid() -> None:
    xs, ys, slope = [10.0, 80.0, 300.0, 590.0], [76.0, 96.0, 116.0, 136.0, 156.0], 0.025
    level = [(x, y + slope * (x + 25), x + 50, y + slope * (x + 25) + 1) for y in ys for x in np.arange(10.0, 590, 50)]
    upright = [(x, 76 + slope * x, x + 1, 156 + slope * x) for x in xs]
    rules = [tuple(map(float, rule)) for rule in (*level, *upright)]
    lines = [one for k, cells in enumerate(ITEMS) for one in row(79 + 20 * k, *zip([14, 90, 520], cells, strict=True))]
    (table,) = tables(read([*lines, *PROSE], slope, Evidence(rules=rules)))
    assert table.cells == ITEMS


def test_lines_that_lean_in_several_ways_show_no_slope() -> None:
    assert find_slope([leaning(one, 0.02) for one in PROSE]) == pytest.approx(0.02)
    assert find_slope([leaning(one, 0.02 * (k % 3 - 1)) for k, one in enumerate(PROSE)]) == 0.0
    assert find_slope([leaning(line("two words", 10, 60), 0.02)]) == 0.0


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("- - -- --- - - - -", "-"),
        ("= = ======= == ==", "="),
        ("- ---", "-"),
        ("* * * * r * * * * *", "*"),
        ("— — –– -- –––– --", "-"),
    ],
)
def test_a_row_of_one_sign_is_a_typed_rule(text, sign) -> None:
    found = join_signs(line(text, 10, 60))
    assert found.text == sign * len(text.replace(" ", ""))
    assert len(found.boxes) == len(found.confidence) == len(found.text)


@pytest.mark.parametrize(
    "text",
    ["- an item - with more", "CARD ************8806", "- - -", "_ ________ __", "== x", "1 - 2 - 3 - 4 - 5 - 6"],
)
def test_text_with_signs_stays(text) -> None:
    assert join_signs(line(text, 10, 60)).text == text


def test_typed_rules_keep_their_lines_and_begin_no_list() -> None:
    texts = [
        "BUCKWHEAT LOAF AND THREE ROLLS OF THE DAY",
        "- - -- --- - - - - - ---- - - --- - - -- - - -",
        "SUBTOTAL",
    ]
    lines = [line(text, 10, 60 + 18 * k) for k, text in enumerate(texts)]
    shown = Document("a", "m", [read([*lines, *PROSE], 0.0)]).markdown()
    assert "\n- " not in shown
    assert [part.strip(" \\") for part in shown.splitlines() if part][1:4] == [
        texts[0],
        "-" * sum(ch == "-" for ch in texts[1]),
        texts[2],
    ]


def test_lines_to_sign_on_next_to_each_other_are_no_table() -> None:
    names = [["_" * 20, "_" * 20], ["For the Owner", "The Hirer"], ["Helen Moss", "T. Barrow"]]
    assert not tables(read([*placed(names, [10, 320], step=18), *PROSE], 0.0))
