"""Names, titles and lines above a table without a grid: what is its head, and what is no row of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.document.test_layout import PROSE, laid_out, line, row, tables
from tests.document.test_unruled_tables import TOWNS, placed
from vary.document.evidence import Evidence
from vary.document.layout.arrange import find_evidence
from vary.document.layout.cells import row_cells, rows_by_height


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


def test_labels_on_no_ground_above_a_filled_head_are_another_text() -> None:
    """The banner, the head and the rules of an invoice have one width."""
    labels = row(60, (10, "BILLED TO"), (230, "ISSUED"), (400, "DUE")) + row(78, (10, "Ropes"), (230, "14 May"))
    items = [
        ["No", "Name", "Count", "Rate", "Sum"],
        ["1", "Treenails", "480", "0.85", "408.00"],
        ["2", "Tar", "3", "9", "27.00"],
    ]
    lines = [
        cell
        for k, cells in enumerate(items)
        for cell in row(112 + 24 * k, *zip([10, 60, 250, 330, 430], cells, strict=True))
    ]
    areas = [((5.0, 20.0, 500.0, 50.0), (0, 0, 90)), ((5.0, 106.0, 500.0, 130.0), (230, 230, 250))]
    rules = [(5.0, y, 500.0, y + 1) for y in (154.0, 178.0)]
    banner = row(26, *((10 + 30 * k, ch) for k, ch in enumerate("INVOICE")))
    page = laid_out(*banner, *labels, *lines, evidence=Evidence(areas=areas, rules=rules))
    assert [one.cells for one in tables(page)] == [items]


def test_a_sum_in_larger_type_is_a_row_and_a_title_is_none() -> None:
    sums = [["Subtotal", "1,520.38"], ["Tax of 20%", "280.10"], ["Tax of 0%", "0.00"]]
    lines = [
        line(text, 420 - line(text, 0, 0).box[2] if k else 10, 80 + 22 * j)
        for j, cells in enumerate(sums)
        for k, text in enumerate(cells)
    ]
    total = [line("Total due", 10, 146, 21), line("1,800.48", 420 - line("1,800.48", 0, 0, 21).box[2], 146, 21)]
    assert [one.cells for one in tables(laid_out(*lines, *total))] == [[*sums, ["Total due", "1,800.48"]]]
    assert [one.cells for one in tables(laid_out(*lines, line("Terms", 10, 146, 21)))] == [sums]


def test_names_wider_than_their_narrow_columns_are_names_of_one_each() -> None:
    """The names are centred over numbers that are set to the right, and reach into the white on both sides."""
    strips = [(40.0 * k + 26, 40.0 * k + 54) for k in range(5)]
    (names,) = rows_by_height(row(80, *((40 * k - 12, "a.m.") for k in range(6))))
    assert row_cells(names, strips) == [(k, k, "a.m.") for k in range(6)]


def test_names_on_the_right_of_two_rows_of_a_head_stand_in_the_second() -> None:
    lines = (
        row(80, (90, "Spring"), (190, "Autumn"))
        + row(94, (10, "Plot"), (300, "Seats"))
        + row(108, *((90 + 50 * k, "Late") for k in range(4)))
    )
    for k in range(3):
        lines += row(130 + 18 * k, (10, f"N{k}"), *((90 + 50 * c, f"{c}.{k}") for c in range(4)), (300, f"3{k}"))
    cells = tables(laid_out(*lines))[0].cells
    assert (cells[0][0], cells[0][-1], cells[1][0], cells[1][-1]) == ("Plot", "", "", "Seats")


def test_a_head_on_a_ground_without_rules_names_the_columns_of_the_grid_below() -> None:
    items = [["Line", "Code", "Goods", "Count"], ["10", "BRD", "Larch boards", "260"], ["20", "BTN", "Battens", "40"]]
    xs = [10, 110, 210, 400, 500]
    lines = [
        cell
        for k, cells in enumerate(items)
        for cell in row(64 + 30 * k, *zip([14, 114, 214, 404], cells, strict=True))
    ]
    rules = [(float(x), 90.0, x + 1.0, 150.0) for x in xs] + [(10.0, float(y), 501.0, y + 1.0) for y in (90, 120, 149)]
    evidence = Evidence(rules=rules, areas=[((10.0, 60.0, 501.0, 90.0), 0)])
    assert [one.cells for one in tables(laid_out(*lines, evidence=evidence))] == [items]
    title = [line("Goods that were ordered", 14, 64), *lines[4:]]
    assert [one.cells for one in tables(laid_out(*title, evidence=evidence))] == [items[1:]]


def test_cells_with_small_labels_above_their_values_are_whole() -> None:
    boxes = [["SUPPLIER", "Marrow Timber"], ["DATE", "03/11/2032"], ["TERMS", "Net 45"]]
    xs = [10, 210, 350, 500]
    lines = [
        piece
        for x, (label, value) in zip(xs, boxes, strict=False)
        for piece in (line(label, x + 4, 64, 9), line(value, x + 4, 78))
    ]
    lines += [
        piece
        for x, (label, value) in zip(xs, boxes, strict=False)
        for piece in (line(label, x + 4, 104, 9), line(value, x + 4, 118))
    ]
    rules = [(float(x), 60.0, x + 1.0, 140.0) for x in xs] + [(10.0, float(y), 501.0, y + 1.0) for y in (60, 100, 140)]
    (table,) = tables(laid_out(*lines, evidence=Evidence(rules=rules)))
    assert table.cells == [[" ".join(box) for box in boxes]] * 2


def test_a_name_over_some_columns_names_these_though_it_is_centred_on_all() -> None:
    rows = [["Site", "low", "high", "Buoys"], ["Brevik", "7.5", "8.0", "5"], ["Holm", "4.1", "4.9", "3"]]
    xs = (10, 100, 180, 260)
    lines = [line("Depth", 138, 60)]
    lines += [one for k, cells in enumerate(rows) for one in row(80 + 20 * k, *zip(xs, cells, strict=True))]
    rules = [(5.0, y, 305.0, y + 1) for y in (55.0, 97.0, 140.0)]
    found = tables(laid_out(*lines, evidence=Evidence(rules=rules)))[0]
    assert found.merged == [(0, 1, 1, 2)]


@pytest.mark.parametrize(("second", "head"), [("Rollers", "Code"), ("", "Code Brushes")])
def test_the_name_of_the_first_group_is_no_second_line_of_the_head(second, head) -> None:
    rows = [["Code", "Article", "Price"], ["Brushes", "", ""], ["B-010", "Flat brush", "2.15"],
            ["B-014", "Round brush", "3.40"], [second, "", ""], ["R-100", "Foam roller", "6.80"]]  # fmt: skip
    lines = [line(text, x, 60 + 18 * k) for k, cells in enumerate(rows)
             for x, text in zip((10, 120, 300), cells, strict=True) if text]  # fmt: skip
    assert tables(laid_out(*lines))[0].cells[0] == [head, "Article", "Price"]


def test_fields_of_a_form_in_rows_of_two_and_of_three_are_two_tables() -> None:
    rows = [
        [(10, "Surname"), (300, "First names")],
        [(14, "VANTER"), (304, "EDDA LOU")],
        [(10, "Date of birth"), (180, "Telephone"), (350, "Code")],
        [(14, "12.04.1988"), (184, "5550107"), (354, "9.35")],
    ]
    lines = [piece for k, cells in enumerate(rows) for piece in row(60 + 24 * k, *cells)]
    cells = [[[text for _, text in one] for one in rows[k : k + 2]] for k in (0, 2)]
    assert [one.cells for one in tables(laid_out(*lines))] == cells


def test_names_over_a_rule_are_the_head_of_a_table_of_words() -> None:
    items = [
        ["What is to be done", "Who", "When"],
        ["Sign the offer and tell the town council", "Joost", "15 October"],
        ["Count the keys", "Fenna", "1 November"],
        ["Write a letter to the neighbours", "Bram, Noor", "8 November"],
    ]
    boxes = (
        [(40, "Anna Holt"), (350, "Ben Ray")],
        [(40, "Mill Lane 4"), (350, "Postbox 2")],
        [(40, "Stow"), (350, "Ely")],
    )
    above = [one for k, cells in enumerate(boxes) for one in row(40 + 20 * k, *cells)]
    below = line("4. Questions of the members", 10, 260)
    rules = [(8.0, 121.0, 330.0, 122.0), (330.0, 121.0, 430.0, 122.0), (430.0, 121.0, 560.0, 122.0)]
    lines = [
        one for k, cells in enumerate(items) for one in row(104 + 20 * k, *zip((10, 335, 440), cells, strict=True))
    ]
    page = laid_out(*above, *lines, below, evidence=Evidence(rules=rules))
    assert [one.cells for one in tables(page)][-1] == items
    assert page.blocks[-2].text == below.text
    assert not any(one.cells == items for one in tables(laid_out(*lines, below)))


@pytest.mark.parametrize("rows", [2, 4])
def test_the_row_below_the_last_rule_is_a_row_of_a_table_with_rules_above_its_rows(rows) -> None:
    items = [["Item", "Count", "Weight"], *([f"Wedge {k}", f"{k}0", f"{k}.5 kg"] for k in range(1, rows + 1))]
    rules = [(8.0, y, 500.0, y + 1) for y in (75.0 + 22 * k for k in range(rows + 1))]
    page = laid_out(*placed(items, [10, 250, 420]), evidence=Evidence(rules=rules))
    assert [one.cells for one in tables(page)] == [items]


def test_a_closer_last_row_below_a_rule_is_one_too_and_a_heading_between_rules_parts_tables() -> None:
    items = [["Hosting", "12.50"], ["Traffic", "0.88"], ["Help", "3.00"]]
    lines = [*row(80, (10, "Sum of all"), (450, "16.38")), line("Details of use", 10, 110, 21)]
    lines += [*placed([["", ""], ["", ""], *items], [10, 450], 30)[4:], *row(226, (10, "Tax"), (450, "1.10"))]
    rules = [(8.0, y, 500.0, y + 1) for y in (74.0, 134.0, 164.0, 194.0, 220.0)]
    page = laid_out(*[one for one in lines if one.text], evidence=Evidence(rules=rules))
    assert [one.cells for one in tables(page)] == [[*items, ["Tax", "1.10"]]]
    assert [block.text for block in page.blocks if block.kind != "table"][:2] == ["Sum of all  16.38", "Details of use"]


def test_names_of_groups_of_columns_may_stand_over_columns_of_numbers_set_to_the_right() -> None:
    rights = [300.0 + 90 * k for k in range(6)]
    body = [["in 2029", "in 2030", "in 2031"] * 2, *([f"{k},230.2"] * 6 for k in range(1, 5))]
    lines = [*row(60, (10, "Goods"), (312, "North gate"), (578, "South gate"))]
    for k, texts in enumerate(body):
        one = [line(text, 10, 82 + 22 * k) for text in texts]
        shifted = [line(text, x - one[c].box[2] + 10, 82 + 22 * k)
                   for c, (x, text) in enumerate(zip(rights, texts, strict=True))]  # fmt: skip
        lines += [*([line(f"Barley {k}", 10, 82 + 22 * k)] if k else []), *shifted]
    (table,) = tables(laid_out(*lines))
    assert table.cells[0] == ["Goods", "North gate", "", "", "South gate", "", ""]
