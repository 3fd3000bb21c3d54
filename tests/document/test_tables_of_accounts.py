"""Tables of invoices, accounts and forms: stripes, labels beside rules, notes below, lists in two columns."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.document.test_layout import grid, laid_out, line, row, tables
from tests.document.test_unruled_tables import in_style, placed, upright
from vary.document.elements import STYLES, Document
from vary.document.evidence import Evidence
from vary.document.layout.arrange import lay_out
from vary.document.layout.cells import stretches
from vary.document.layout.gutters import split_columns
from vary.document.lines import TextLine

ITEMS = [["No", "Item", "Sum"], ["1", "Oak board", "222.00"], ["2", "Hinges", "34.00"], ["3", "Delivery", "12.50"],
         ["4", "Returned", "-12.00"], ["5", "Wax", "6.90"]]  # fmt: skip
XS = [14.0, 90.0, 300.0]


def stripes(rows: list[int], edges: list[float]) -> Evidence:
    boxes = [(a, 76.0 + 22 * k, b, 98.0 + 22 * k) for k in rows for a, b in pairwise(edges)]
    return Evidence(areas=[(box, 230) for box in boxes])


@pytest.mark.parametrize("filled", [[0, 1, 3, 5], [0, 2, 4], [1, 3, 5]])
@pytest.mark.parametrize("edges", [[10.0, 85.0, 280.0, 380.0], [10.0, 380.0]])
def test_a_table_with_every_second_row_filled_is_whole(filled, edges) -> None:
    total = row(230, (200, "Total"), (300, "263.40"))
    (table, *_) = tables(laid_out(*placed(ITEMS, XS), *total, evidence=stripes(filled, edges)))
    assert table.cells[: len(ITEMS)] == ITEMS


def test_a_head_of_three_rows_without_rules_names_its_columns() -> None:
    """Names are centred over the groups of columns that they name; units stand below the names of columns."""
    xs = [200, 260, 320, 380, 440, 500]
    lines = row(60, (240, "Limed plots"), (415, "Control plots"))
    lines += row(82, (14, "Orchard"), *((x, f"20{28 + k % 3}") for k, x in enumerate(xs, 1)))
    lines += row(98, *((x - 5, "(t/ha)") for x in xs))
    for k, name in enumerate(["Hollow Field", "Mill Bank", "Chapel Side", "Long Acre"]):
        lines += row(122 + 20 * k, (14, name), *((x + 3, f"1{k}.{n}") for n, x in enumerate(xs)))
    (table,) = tables(laid_out(*lines))
    assert table.merged == [(0, 1, 1, 3), (0, 4, 1, 3)]
    assert table.cells[0] == ["", "Limed plots", "", "", "Control plots", "", ""]
    assert (
        "| Orchard | Limed plots: 2029 (t/ha) | Limed plots: 2030 (t/ha) |"
        in Document("a", "m", [laid_out(*lines)]).markdown()
    )


def test_a_line_below_the_name_of_the_last_item_is_in_its_row() -> None:
    lines = []
    for k, (name, note, sum_) in enumerate(
        [
            ("Oak board", "sawn and dried", "222.00"),
            ("Hinges", "of brass", "34.00"),
            ("Delivery", "by cart", "12.50"),
            ("Wax", "of bees", "6.90"),
        ]
    ):
        lines += row(80 + 44 * k, (14, name), (300, sum_)) + row(98 + 44 * k, (14, note))
    (table,) = tables(laid_out(*lines))
    assert table.cells[-1] == ["Wax of bees", "6.90"]


def test_filled_headings_above_paragraphs_are_no_table() -> None:
    lines = [
        line("First part", 14, 80),
        line("A sentence between two bars of colour.", 14, 102),
        line("Second", 14, 124),
    ]
    assert not tables(laid_out(*lines, evidence=stripes([0, 2], [10.0, 380.0])))


SUMS = [["", "2031", "2030"], ["Revenue", "12,480", "11,906"], ["Products", "9,100", "8,845"],
        ["Cost", "(7,204)", "(7,011)"], ["Profit", "5,276", "4,895"], ["Tax", "(904)", "(811)"]]  # fmt: skip


def test_rules_above_and_below_the_numbers_alone_keep_the_labels() -> None:
    lines = [one for one in placed([["-", *cells[1:]] for cells in SUMS], [14, 250, 350]) if one.text != "-"]
    lines += [line(cells[0], 14, 80 + 22 * k) for k, cells in enumerate(SUMS) if k]
    rules = [(x, y, x + 90.0, y + 1) for x in (235.0, 325.0) for y in (98.0, 164.0, 186.0)]
    assert [one.cells for one in tables(laid_out(*lines, evidence=Evidence(rules=rules)))] == [SUMS]


def test_years_below_names_of_periods_are_a_head_of_two_rows() -> None:
    head = row(58, (215, "Three months"), (425, "Six months"))
    body = [["Revenue", "12,480", "11,906", "24,011", "22,870"], ["Cost", "7,204", "7,011", "13,990", "13,377"],
            ["Profit", "5,276", "4,895", "10,021", "9,493"]]  # fmt: skip
    years = row(80, (200, "2031"), (300, "2030"), (400, "2031"), (500, "2030"))
    lines = [
        one
        for k, cells in enumerate(body)
        for one in row(102 + 22 * k, *zip([14, 200, 300, 400, 500], cells, strict=True))
    ]
    (table,) = tables(laid_out(*head, *years, *lines))
    assert table.cells[2:] == body
    assert [one for one in table.merged if one[3] > 1] == [(0, 1, 1, 2), (0, 3, 1, 2)]


def test_sums_closer_than_the_items_are_rows_of_their_own() -> None:
    sums = [
        one
        for k, text in enumerate(("263.40", "52.68", "316.08"))
        for one in row(222 + 15 * k, (90, "Sum"), (300, text))
    ]
    (table,) = tables(laid_out(*placed(ITEMS, XS, step=26), *sums))
    assert [cells[-1] for cells in table.cells[-3:]] == ["263.40", "52.68", "316.08"]


def test_a_note_below_and_a_line_above_a_table_are_no_rows_of_it() -> None:
    above = row(20, (14, "Sort code 20-45-77"), (180, "Account 51230098"))
    title = line("Your transactions", 14, 50)
    note = line("| does not stop ... ends here", 14, 80 + 22 * 6 + 14)
    page = laid_out(*above, title, note, *placed(ITEMS, XS))
    assert [one.cells for one in tables(page)] == [ITEMS]


def test_names_and_amounts_in_turns_are_two_lists() -> None:
    food = [["Porridge", "4.20"], ["Two eggs", "6.50"], ["Kippers", "8.75"]]
    drinks = [["Tea, a pot", "2.60"], ["Coffee", "2.90"], ["Cocoa", "3.40"]]
    lines = [*placed(food, [10, 210]), *placed(drinks, [290, 490])]
    assert [one.cells for one in tables(laid_out(*lines))] == [food, drinks]


def test_a_field_with_its_label_over_two_columns_of_a_form_keeps_both() -> None:
    evidence = grid([10, 210, 310, 410], [90, 130, 170])
    evidence.rules = [one for one in evidence.rules if not (one[0] == 310 and one[2] == 311)]
    evidence.rules += [(310.0, 90.0, 311.0, 130.0)]
    lines = row(93, (14, "Car"), (214, "Make"), (314, "Since")) + row(112, (14, "WX31"), (214, "ROVER"), (314, "2029"))
    lines += row(133, (14, "Street"), (214, "Town")) + row(152, (14, "12 DOCK ROAD"), (214, "BRISTOL"))
    page = laid_out(*lines, evidence=evidence)
    shown = Document("a", "m", [page]).markdown()
    assert all(text in shown for text in ("Street", "12 DOCK ROAD", "Town", "BRISTOL", "ROVER"))


@pytest.mark.parametrize(("gap", "rows"), [(0, 4), (0, 8), (8, 4), (24, 4)])
def test_blanks_of_a_column_that_are_level_by_chance_are_no_gutter(gap, rows) -> None:
    """Three columns whose rows were read as one line each; some of the second have wide blanks, one below another."""

    def joined(words: list[tuple[str, float]], y: float) -> TextLine:
        boxes = [(x + 8.0 * k, y, x + 8.0 * k + 8, y + 15) for text, x in words for k in range(len(text) + 1)]
        text = " ".join(text for text, _ in words)
        return TextLine(text, np.array(boxes[: len(text)], np.float32), np.full(len(text), 0.9, np.float32), 16.0)

    lines = []
    for k in range(24):
        parted = [("x" * (17 - gap // 8), 332.0), ("x" * 20, 476.0)] if 8 <= k < 8 + rows else [("x" * 38, 332.0)]
        lines.append(joined([("x" * 34, 40.0), *parted, ("x" * 34, 660.0)], 60.0 + 19 * k))
    assert sorted(round(x) for x, _, _ in split_columns(lines)[1]) == [322, 648]


@pytest.mark.parametrize("grounds", [[(1, 240), (3, 240)], [(0, 255), (1, 240), (2, 255), (3, 240), (4, 255)]])
def test_a_head_without_a_ground_above_stripes_names_the_columns(grounds) -> None:
    """Of stripes on every row, and of those between rows without a ground."""
    areas = [((10.0, 98.0 + 22 * k, 380.0, 120.0 + 22 * k), colour) for k, colour in grounds]
    (table,) = tables(laid_out(*placed(ITEMS, XS), evidence=Evidence(areas=areas)))
    assert table.cells == ITEMS


def test_text_above_a_head_without_a_ground_is_no_head() -> None:
    xs = [200 + 50 * k for k in range(7)]
    lines = [line("Valid from 14 December 2031 · Mondays to Fridays · s = days of school", 14, 58)]
    lines += row(80, (14, "Stop"), (xs[0], "s"), (xs[4], "s"))
    for k, name in enumerate(["Harbour of Saltwick", "Town Hall", "Station", "Church"]):
        lines += row(102 + 22 * k, (14, name), *((x, f"{n}.{10 + 7 * k}") for n, x in enumerate(xs, 1)))
    areas = [((10.0, 98.0 + 22 * k, 550.0, 120.0 + 22 * k), 240) for k in (0, 2)]
    (table,) = tables(laid_out(*lines, evidence=Evidence(areas=areas)))
    assert table.cells[0] == ["Stop", "s", "", "", "", "s", "", ""]


def test_a_balance_below_the_head_is_no_part_of_its_names() -> None:
    lines = row(60, (14, "Date"), (90, "Purpose"), (300, "Out"), (380, "In"))
    lines += row(76, (90, "Balance of last month"), (364, "1.204,55"))
    for k, (date, purpose, x, sum) in enumerate(
        [("02.04.", "Light", 300, "86,00"), ("05.04.", "Bread", 300, "7,35"), ("15.04.", "Pay", 364, "2.871,40")]
    ):
        lines += row(92 + 16 * k, (14, date), (90, purpose), (x, sum))
    (table,) = tables(laid_out(*lines))
    assert table.cells[:2] == [["Date", "Purpose", "Out", "In"], ["", "Balance of last month", "", "1.204,55"]]


def test_the_row_below_a_single_stripe_is_in_the_table() -> None:
    areas = [((10.0, y, 380.0, y + 22), colour) for y, colour in ((76.0, 40), (120.0, 240))]
    (table,) = tables(laid_out(*placed(ITEMS[:4], XS), evidence=Evidence(areas=areas)))
    assert table.cells == ITEMS[:4]


def test_names_beside_their_values_are_names_of_columns() -> None:
    """Names in the middle of wide columns, numbers at their right ends: neither stands above the other."""
    xs = [100 + 60 * k for k in range(6)]
    rows = [["Holm", "55", "25", "", "57", "8", "60"], ["Ness", "4", "", "61", "35", "72", "3"],
            ["Tarn", "", "8", "25", "5", "61", "77"], ["Wath", "13", "68", "75", "", "60", "90"]]  # fmt: skip
    lines = row(60, (14, "Parish"), *((x, name) for x, name in zip(xs, "ABCDEF", strict=True)))
    for k, (name, *values) in enumerate(rows):
        lines += row(
            82 + 22 * k, (14, name), *((x + 26 - 8 * (len(v) - 1), v) for x, v in zip(xs, values, strict=True) if v)
        )
    (table,) = tables(laid_out(*lines))
    assert table.cells == [["Parish", *"ABCDEF"], *rows]


@pytest.mark.parametrize(("above", "joined"), [("Boards of oak, sawn and", True), ("Boards", False)])
def test_text_that_had_no_place_goes_on_in_the_next_row(above: str, joined: bool) -> None:
    rows = [["1", above, "4", "22.00"], ["", "dried", "", ""], ["2", "A hinge of brass, bent", "6", "34.00"],
            ["3", "Wax", "1", "6.90"], ["", "Sum", "", "62.90"]]  # fmt: skip
    lines = [
        line(text, x, 80 + 22 * k)
        for k, texts in enumerate(rows)
        for x, text in zip([14, 50, 260, 330], texts, strict=True)
        if text
    ]
    (table,) = tables(laid_out(*lines))
    assert table.cells == ([["1", f"{above} dried", "4", "22.00"], *rows[2:]] if joined else rows)


@pytest.mark.parametrize(
    ("text", "parts"), [("1 310.0", 1), ("12 345", 1), ("1 51.0", 2), ("0 310", 2), ("1310 200", 2)]
)
def test_groups_of_thousands_are_one_number(text: str, parts: int) -> None:
    """From pixels, the blank between them is wider than it is."""
    one, at = line(text, 300, 80), text.find(" ")
    one.boxes[: at + 1, [0, 2]] -= 0.4 * one.em_px - (one.boxes[at, 2] - one.boxes[at, 0])
    assert len(stretches(one)) == parts


REPORT = [
    ["Substance", "Result", "Unit", "Usual range"],
    ["Blood", "", "", ""],
    ["Iron", "13.4", "g/dL", "12.0 – 16.0"],
    ["Copper", "11.8 *", "mg/dL", "4.0 – 10.5"],
    ["Salt", "40.1", "%", "36 – 46"],
]


@pytest.mark.parametrize("edges", [[10.0, 520.0], [10.0, 145.0, 245.0, 335.0, 520.0]])
def test_labels_above_a_head_on_a_ground_are_no_names_of_columns(edges) -> None:
    grounds = [((a, 76.0, b, 98.0), 0xDDEEFF) for a, b in pairwise(edges)]
    lines = [upright(one) for one in row(56, (10, "Patient: Ines Moor"), (160, "Age: 47 Date: 3 May"))]
    for k, texts in enumerate(REPORT):
        for x, text in zip((10, 195, 290, 430), texts, strict=True):
            centred = line(text, x - (4 * len(text) if x > 10 else 0), 80 + 22 * k)
            lines += [] if not text else [in_style(centred, "bold") if k == 0 else upright(centred)]
    blocks = lay_out(lines, Evidence(areas=grounds), (600, 800), STYLES)
    assert [block.cells for block in blocks if block.kind == "table"] == [REPORT]
