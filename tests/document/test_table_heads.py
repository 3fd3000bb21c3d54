"""Names, titles and lines above a table without a grid: what is its head, and what is no row of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.document.test_layout import PROSE, laid_out, line, row, tables
from tests.document.test_unruled_tables import TOWNS, placed
from vary.document.evidence import Evidence
from vary.document.layout.arrange import find_evidence


def test_a_title_and_a_date_above_a_table_are_no_row_of_it() -> None:
    title, date = line("Roofers", 10, 30, 22), line("Issued 12.06.2025", 380, 36)
    items = [
        ["Code", "Item", "Net"],
        ["A-1", "Roof", "280.00"],
        ["A-2", "Gutters", "330.00"],
        ["B-1", "Skip", "191.00"],
    ]
    page = laid_out(title, date, *placed(items, [10, 150, 450]))
    assert [one.cells for one in tables(page)] == [items]
    assert page.blocks[0].text.startswith("Roofers")


def test_names_above_the_first_rule_are_the_head() -> None:
    items = [["Item", "Count", "Amount"], ["Boards of oak", "12", "222.00"], ["Hinges", "8", "34.00"]]
    rules = [(8.0, y, 500.0, y + 1) for y in (99.0, 121.0, 143.0)]
    page = laid_out(*placed(items, [10, 250, 420]), evidence=Evidence(rules=rules))
    assert [one.cells for one in tables(page)] == [items]


def test_a_line_above_a_table_that_runs_over_its_first_columns_is_no_name_of_them() -> None:
    above = line("Statement of May, account 118-0042-71", 10, 52)
    page = laid_out(above, *placed(TOWNS, [10, 90, 170], 28))
    assert [one.cells for one in tables(page)] == [TOWNS]
    assert page.lines[0].text == above.text


@pytest.mark.parametrize(("name", "x", "column"), [("Staff", 300, 3), ("All", 185, 2), ("Rain", 290, 3)])
def test_a_name_above_the_last_columns_is_a_row_of_the_table(name, x, column) -> None:
    rows = [
        ["Place", "Open", "Men", "Women"],
        ["Ark", "1931", "212", "7"],
        ["Bren", "1954", "87", "11"],
        ["Coy", "1988", "43", "9"],
    ]
    page = laid_out(line(name, x, 58), *placed(rows, [10, 100, 190, 300]))
    first = [name if c == column else "" for c in range(4)]
    assert [one.cells for one in tables(page)] == [[first, *rows]]


@pytest.mark.parametrize(("text", "x", "y"), [("Places to see", 125, 58), ("July 2025", 280, 30), ("By town", 10, 58)])
def test_a_centred_title_a_far_date_and_a_line_above_the_names_are_no_row(text, x, y) -> None:
    rows = [["Place", "Open", "Men", "Women"], *([f"Town {k}", f"19{k}1", f"{k}7", f"{k}3"] for k in range(3, 7))]
    page = laid_out(line(text, x, y), *placed(rows, [10, 100, 190, 300]))
    assert [one.cells for one in tables(page)] == [rows]


def test_a_name_centred_over_a_column_of_names_is_no_column() -> None:
    body = [["Harbour line", "214", "17"], ["Airport line", "168", "25"], ["Campus line", "192", "38"]]
    lines = [*row(58, (130, "Line"), (320, "Late"), (440, "Sum")), *placed(body, [10, 330, 440])]
    assert tables(laid_out(*lines))[0].cells == [["Line", "Late", "Sum"], *body]


def test_names_of_columns_that_stand_close_are_the_head() -> None:
    body = [["1", "Removal of the rollers", "18"], ["2", "New bearings", "144"], ["3", "Test with a load", "64"]]
    lines = [line("Pos. Work", 10, 58), line("Hours", 400, 58), *placed(body, [10, 50, 400])]
    assert tables(laid_out(*lines))[0].cells == [["Pos.", "Work", "Hours"], *body]


def test_a_table_of_amounts_with_one_name_for_both_sides_becomes_two() -> None:
    boats = [["Boats", "A day"], ["Single canoe", "28.00"], ["Trailer", "15.00"], ["Paddle", "3.50"]]
    wheels = [["Bicycles", "A day"], ["City bike", "14.00"], ["Child seat", "4.50"], ["Helmet", "3.00"]]
    lines = [*placed(boats, [10, 220]), *placed(wheels, [290, 500])]
    assert [one.cells for one in tables(laid_out(*lines))] == [boats, wheels]


def test_a_head_of_more_columns_begins_another_table() -> None:
    items = [["Brown bread", "4.90"], ["Apples", "3.84"], ["Cheese", "6.51"], ["Sum", "15.25"]]
    taxes = [["Tax", "Net", "Gross"], ["10", "13.86", "15.25"]]
    below = [replace(one, boxes=one.boxes + np.array([0, 88, 0, 88])) for one in placed(taxes, [10, 200, 400])]
    lines = [*placed(items, [10, 400]), *below]
    assert [one.cells for one in tables(laid_out(*lines))] == [items, taxes]


@pytest.mark.parametrize("ruled", [True, False])
def test_names_centred_on_two_rows_are_cells_of_both(ruled) -> None:
    edges = [90, 170, 250, 330, 410]
    lines = row(80, (190, "Spring"), (350, "Autumn")) + row(90, (10, "Plot"), (90, "Soil"))
    lines += row(100, *zip(edges[1:], ("Early", "Late") * 2, strict=True))
    for k, (name, soils) in enumerate([("North", ("clay", "loam")), ("South", ("clay", "sand"))]):
        lines.append(line(name, 10, 139 + 40 * k))
        for j, soil in enumerate(soils):
            values = [soil, *(f"{c}.{k}{j}" for c in range(4))]
            lines += row(129 + 40 * k + 20 * j, *zip(edges, values, strict=True))
    evidence = Evidence([(5.0, y, 450.0, y + 1) for y in (75.0, 121.0, 209.0)] if ruled else [])
    table = tables(laid_out(*lines, evidence=evidence))[0]
    assert table.cells[:3] == [
        ["Plot", "Soil", "Spring", "", "Autumn", ""],
        ["", "", "Early", "Late", "Early", "Late"],
        ["North", "clay", "0.00", "1.00", "2.00", "3.00"],
    ]
    assert table.cells[3][:3] == ["", "loam", "0.01"]
    assert sorted(table.merged) == [(0, 0, 2, 1), (0, 1, 2, 1), (0, 2, 1, 2), (0, 4, 1, 2), (2, 0, 2, 1), (4, 0, 2, 1)]


def test_amounts_centred_on_a_name_of_two_lines_stay_in_its_row() -> None:
    lines = row(80, (10, "Item"), (200, "Kind"), (400, "Sum"))
    for y, name in ((110, "Oak"), (150, "Ash")):
        lines += [line(f"{name} door", 10, y), line("with lock", 10, y + 18), *row(y + 9, (200, "new"), (400, "8.00"))]
    cells = tables(laid_out(*lines))[0].cells
    assert cells == [
        ["Item", "Kind", "Sum"],
        ["Oak door with lock", "new", "8.00"],
        ["Ash door with lock", "new", "8.00"],
    ]


@pytest.mark.parametrize(("cells", "kind"), [(["Energy", "1,870 kJ"], "table"), (["", ""], "figure")])
def test_a_white_grid_on_coloured_paper_is_a_table_where_its_cells_have_text(cells, kind) -> None:
    image = np.full((800, 600), 200, np.uint8)
    image[100:241, 30:531] = 255
    for y in range(100, 241, 20):
        image[y, 30:531] = 0
    for x in (30, 280, 530):
        image[100:241, x] = 0
    texts = [
        line(text, x, y + 4, 12) for y in range(100, 240, 20) for text, x in zip(cells, (40, 290), strict=True) if text
    ]
    for one in (*texts, *PROSE):
        x0, y0, x1, y1 = map(int, one.box)
        image[y0 + 2 : y1 - 2, x0:x1:2] = 40
    page = laid_out(*texts, evidence=find_evidence(image, [*texts, *PROSE]))
    assert page.blocks[0].kind == kind
