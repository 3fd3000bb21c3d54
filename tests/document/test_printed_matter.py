"""Newsletters, forms, CVs, payslips, data sheets and letters: what stands beside what, and which lines are rows."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.document.test_layout import laid_out, line, row, tables
from tests.document.test_structure import block
from tests.document.test_structure import line as lines_of
from tests.document.test_structure import page as page_of
from tests.document.test_unruled_tables import placed
from vary.document.evidence import Evidence
from vary.document.layout.cells import is_numeric
from vary.document.layout.form_fields import find_drawn_fields
from vary.document.lines import TextLine

CLAUSE = "the holder may use the water tap and the post for electricity of the"


def texts(*lines: TextLine, evidence: Evidence | None = None) -> list[str]:
    return [block.text for block in laid_out(*lines, evidence=evidence).blocks[:-1]]


@pytest.mark.parametrize(
    "amount", ["₺ 1.212,50", "1 240,00 Kč", "kr 12,50", "₹4,99", "64,20 zł", "12.50 CHF", "Rs. 1,450.00", "R$ 12,90"]
)
def test_amounts_in_any_currency_are_numbers(amount) -> None:
    assert is_numeric(amount)
    assert not is_numeric(f"{amount} net")


def test_rows_farther_apart_than_labels_and_values_are_a_table() -> None:
    rows = [
        ["Article", "Count", "Sum"],
        ["Rope", "25", "₺ 1.212,50"],
        ["Lamp", "4", "₺ 1.240,00"],
        ["Work", "6", "₺ 9"],
    ]
    heights = [80, 112, 157, 202]
    lines = [line(text, x, y) for cells, y in zip(rows, heights, strict=True)
             for text, x in zip(cells, (10, 200, 320), strict=True)]  # fmt: skip
    assert [one.cells for one in tables(laid_out(*lines))] == [rows]


def test_a_head_close_below_labels_and_values_begins_the_table_of_items() -> None:
    facts = [["INVOICE NO", "DATE", "DUE"], ["TR-2031-77", "18.06.2031", "02.07.2031"]]
    items = [
        ["ARTICLE", "COUNT", "PRICE", "SUM"],
        ["Rope", "25", "48.50", "1212.50"],
        ["Lamp", "4", "310.00", "1240.00"],
    ]
    lines = [line(text, x, 80 + 21 * k) for k, cells in enumerate(facts)
             for text, x in zip(cells, (10, 200, 400), strict=True)]  # fmt: skip
    lines += [line(text, x, 150 + 32 * k) for k, cells in enumerate(items)
              for text, x in zip(cells, (10, 200, 310, 470), strict=True)]  # fmt: skip
    assert [one.cells for one in tables(laid_out(*lines))] == [facts, items]


@pytest.mark.parametrize("ruled", [True, False])
def test_a_rule_over_all_columns_ends_them(ruled) -> None:
    names = [line(text, x, 80) for text, x in (("Issue 41", 10), ("Free of charge", 380))]
    body = [line(f"{side}{k} words of the column that fill", x, 102 + 18 * k)
            for side, x in (("a", 10), ("b", 320)) for k in range(5)]  # fmt: skip
    evidence = Evidence(rules=[(10.0, 97.5, 560.0, 98.5)] if ruled else [])
    read = " ".join(texts(*names, *body, evidence=evidence))
    assert (read.index("Free of charge") < read.index("a0 ")) == ruled


def test_two_items_next_to_two_are_two_lists() -> None:
    lines = [
        *row(100, (10, "• Cheap"), (300, "• Strong when wet")),
        *row(120, (10, "• Light"), (300, "• It stretches")),
    ]
    assert [block.text for block in laid_out(*lines).blocks[:2]] == [
        "• Cheap\n• Light",
        "• Strong when wet\n• It stretches",
    ]


@pytest.mark.parametrize("mark", ["1.1", "(a)", "•", "–"])
def test_a_row_below_the_text_of_a_clause_is_of_it_after_a_heading_in_the_same_block(mark) -> None:
    lines = [line("2.", 10, 60), line("Use", 40, 60)] if mark == "1.1" else [line("The rules:", 10, 60)]
    lines += [line(mark, 10, 78), line(CLAUSE, 50, 78), line("berth at all hours.", 50, 96)]
    lines += [line("Another paragraph follows here.", 10, 114)]
    read = texts(*lines)
    assert any(
        text.split()[0] == mark and " ".join(text.split()).endswith("of the berth at all hours.") for text in read
    ) or (f"{mark} {CLAUSE} berth at all hours." in " ".join(" ".join(read).split()))
    assert read[-1] == "Another paragraph follows here."


def test_rows_with_far_dates_are_lines_and_no_table_around_lists() -> None:
    lines = [*row(60, (10, "Head of the Rope Walk"), (480, "2026")), *row(80, (10, "Ropes Ltd"), (480, "Emden"))]
    lines += [line("• Led a crew of fourteen through the move", 24, 100)]
    lines += [*row(120, (10, "Warden of the dyke"), (480, "2021")), *row(140, (10, "Dyke Board"), (480, "Linnet"))]
    page = laid_out(*lines)
    assert not tables(page)
    assert [" ".join(one.text.split()) for one in page.blocks[:-1]] == [
        "Head of the Rope Walk 2026", "Ropes Ltd Emden", "• Led a crew of fourteen through the move",
        "Warden of the dyke 2021", "Dyke Board Linnet",
    ]  # fmt: skip


def test_a_payslip_of_two_panels_in_a_frame_has_a_row_for_each_line() -> None:
    rows = [["Payments", "Amount", "Deductions", "Amount"], ["Basic pay", "2,450.00", "Income tax", "316.40"]]
    rows += [["Overtime", "132.60", "Insurance", "188.15"], ["Nights", "48.00", "Pension", "131.53"]]
    rules = [(0.0, 70.0, 590.0, 70.0), (0.0, 175.0, 590.0, 175.0)]
    rules += [(x, 70.0, x, 175.0) for x in (0.0, 290.0, 590.0)]
    page = laid_out(*placed(rows, [10, 180, 300, 480]), evidence=Evidence(rules=rules))
    assert [one.cells for one in tables(page)] == [rows]


@pytest.mark.parametrize("names", [["Item", "Min", "Max"], ["Item", "Sum"]])
def test_a_line_in_larger_type_on_a_ground_is_the_head_of_two_columns_and_the_title_of_three(names) -> None:
    rows = [names, *([f"{word} of it", "12", "14"][: len(names)] for word in ("Height", "Width", "Depth", "Weight"))]
    lines = [
        line("Details", 10, 80, 20),
        *(moved_down(one, 30) for one in placed(rows, [10, 200, 400][: len(names)], 24)),
    ]
    rules = [(5.0, 105.0 + 24 * k, 590.0, 105.0 + 24 * k) for k in range(6)]
    page = laid_out(*lines, evidence=Evidence(rules=rules, areas=[((5.0, 78.0, 590.0, 105.0), 0xDDDDEE)]))
    head = [["Details", ""]] if len(names) == 2 else []
    assert [one.cells for one in tables(page)] == [[*head, *rows]]


def moved_down(one: TextLine, by: float) -> TextLine:
    one.boxes[:, [1, 3]] += by
    return one


def test_rules_next_to_a_wider_rule_are_two_tables() -> None:
    """Grounds of headings on the right have the sides of the small table below, and a wide table lies between them."""
    wide = [["Item", "", "Min", "Max"], ["Volts", "V", "9", "32"], ["Amps", "A", "1", "2"], ["Watts", "W", "7", "40"]]
    small = [["Height", "184"], ["Width", "120"], ["Weight", "2.3"]]
    lines = [line("Uses", 310, 80), line("Quays and moles", 310, 104)]
    lines += [line(text, x, 150 + 24 * k) for k, cells in enumerate(wide)
              for text, x in zip(cells, (10, 200, 330, 480), strict=True) if text]  # fmt: skip
    lines += [line(text, x, 300 + 24 * k) for k, cells in enumerate(small)
              for text, x in zip(cells, (310, 480), strict=True)]  # fmt: skip
    rules = [(5.0, y, 590.0, y) for y in (169.0, 193.0, 217.0, 241.0)]
    rules += [(305.0, y, 590.0, y) for y in (318.0, 342.0, 366.0)]
    areas = [((305.0, 78.0, 590.0, 98.0), 0xDDDDEE), ((305.0, 272.0, 590.0, 292.0), 0xDDDDEE)]
    page = laid_out(*lines, evidence=Evidence(rules=rules, areas=areas))
    assert [one.cells for one in tables(page)] == [wide, small]


def test_items_with_letters_side_by_side_are_read_across() -> None:
    lines = [*row(100, (10, "(a) Hemp"), (300, "(b) Nylon")), *row(120, (10, "(c) Sisal"), (300, "(d) Jute"))]
    assert " ".join(" ".join(texts(*lines)).split()) == "(a) Hemp (b) Nylon (c) Sisal (d) Jute"


def test_rules_beside_titles_far_from_one_another_are_ornaments() -> None:
    lines = [line("WORK EXPERIENCE", 10, 60), line("EDUCATION", 10, 200)]
    rules = [(150.0, 72.0, 580.0, 72.0), (100.0, 212.0, 580.0, 212.0)]
    found, _ = find_drawn_fields(lines, Evidence(rules=rules), 16.0)
    assert [one.text for one in found] == [one.text for one in lines]


def test_a_title_of_two_rows_with_the_leading_of_the_text_is_one_heading() -> None:
    long = "How a sheet of green paper changed a whole old"
    lines = [line(long, 10, 40, 22), line("harbour", 10, 73, 22)]
    lines += [line("words of the text below the title of the page, so many", 10, 120 + 22 * k, 14) for k in range(6)]
    assert texts(*lines)[0] == f"{long} harbour"


def square(x: float, y: float, side: float = 12.0) -> list[tuple[float, float, float, float]]:
    return [
        (x, y, x + side, y),
        (x, y + side, x + side, y + side),
        (x, y, x, y + side),
        (x + side, y, x + side, y + side),
    ]


def test_drawn_squares_and_rules_of_a_form_are_checkboxes_and_blanks() -> None:
    lines = [line("Surname", 10, 60), line("First name", 300, 60), line("Town", 10, 90), line("Kind of boat", 10, 120)]
    lines += [line("Rowing", 30, 150), line("Sailing", 330, 150), line("x", 312, 150)]
    rules = [(80.0, 73.0, 290.0, 73.0), (400.0, 73.0, 580.0, 73.0), (60.0, 103.0, 580.0, 103.0)]
    evidence = Evidence(rules=[*rules, *square(10, 150), *square(310, 150)])
    found, rest = find_drawn_fields(lines, evidence, 16.0)
    assert rest.rules == []
    assert [one.text.rstrip("_") for one in found[:3]] == ["Surname ", "First name ", "Town "]
    assert [(kind, ticked) for kind, _, ticked in rest.fields] == [("checkbox", False), ("checkbox", True)]
    read = texts(*lines, evidence=evidence)
    assert [text.replace("_", "") for text in read][1:3] == ["Town ", "Kind of boat"]
    assert " ".join(read[3].split()) == "[ ] Rowing [x] Sailing"


def test_rules_of_tables_notes_and_underlined_words_are_no_blanks() -> None:
    lines = [
        line("Words of the left column", 10, 60),
        line("1 A note", 260, 78),
        line("underlined", 300, 200),
        line("by", 270, 200),
    ]
    rules = [(258.0, 73.0, 340.0, 73.0), (300.0, 213.0, 380.0, 213.0)]
    rules += [(20.0, 313.0, 60.0, 313.0), (60.0, 313.0, 200.0, 313.0)]
    lines += [line("Cell", 20, 300)]
    found, rest = find_drawn_fields(lines, Evidence(rules=rules), 16.0)
    assert [one.text for one in found] == [one.text for one in lines]
    assert rest.rules == rules
    assert not list(rest.fields)


def test_a_square_that_is_a_field_of_the_form_is_one_checkbox() -> None:
    evidence = Evidence(rules=square(10, 150), fields=[("checkbox", (11.0, 151.0, 20.0, 160.0), True)])
    _, rest = find_drawn_fields([line("Rowing", 30, 150)], evidence, 16.0)
    assert [ticked for _, _, ticked in rest.fields] == [True]


def test_pieces_of_the_rules_of_a_table_are_no_blanks() -> None:
    """Pixels show the rules between rows whole, and once more from the end of a descender on."""
    lines = [line("Virtual directory", 20, 60 + 20 * k) for k in range(3)]
    pieces = [(170.0, 73.0 + 20 * k, 400.0, 74.0 + 20 * k) for k in range(3)]
    rules = [*pieces, *((10.0, 73.0 + 20 * k, 402.0, 75.0 + 20 * k) for k in range(3))]
    found, rest = find_drawn_fields(lines, Evidence(rules=rules), 16.0)
    assert [one.text for one in found] == ["Virtual directory"] * 3
    assert rest.rules == rules


def test_three_lines_far_below_three_others_are_no_columns_beside_them() -> None:
    high, low = (
        ["Rowan Nagar, 560 091", "Karnal", "Phone: 5550109988"],
        ["SKU LX-40-W", "Hemp rope, 12 mm", "SKU HR-12"],
    )
    lines = [
        line(text, x, y + 21 * k) for x, y, three in ((380, 60, high), (10, 200, low)) for k, text in enumerate(three)
    ]
    assert [one.text for one in laid_out(*lines).lines[:6]] == high + low


def test_the_first_name_of_two_lines_with_amounts_centred_on_it_is_no_part_of_the_head() -> None:
    head = ["#", "Product", "Count", "Sum"]
    items = [("Brass lamp", "2", "2,900.00"), ("Hemp rope", "40", "2,500.00"), ("Oil can", "3", "75.00")]
    lines = row(80, *zip((10, 60, 300, 400), head, strict=True))
    for k, (name, count, amount) in enumerate(items):
        y = 110 + 50 * k
        lines += [*row(y, (60, name)), *row(y + 9, (10, str(k + 1)), (300, count), (400, amount))]
        lines += row(y + 18, (60, "of the store"))
    want = [[str(k + 1), f"{name} of the store", count, amount] for k, (name, count, amount) in enumerate(items)]
    assert [one.cells for one in tables(laid_out(*lines))] == [[head, *want]]


def test_walls_of_a_head_half_a_pixel_beside_those_of_the_stripes_below_are_walls() -> None:
    rows = [["in", "out", "in", "out"], ["1", "22", "31", "4"], ["5", "62", "7", "8"]]
    xs = [10.0, 64.0, 119.0, 170.0, 230.0]
    lines = [line(text, x + 5, 84 + 20 * k) for k, cells in enumerate(rows) for text, x in zip(cells, xs, strict=False)]
    areas = [((a, 100.0, b, 120.0), 0xEEEEEE) for a, b in pairwise(xs)]
    rules = [(x + 0.55, top, x + 0.55, top + 21) for x in xs for top in (80.0, 119.0)]
    rules += [(xs[0], y, xs[-1], y) for y in (80.0, 100.0, 120.0, 140.0)]
    (table,) = tables(laid_out(*lines, evidence=Evidence(rules=rules, areas=areas)))
    assert (table.cells, table.merged) == (rows, [])


@pytest.mark.parametrize(("writer", "kinds"), [("layer", ["text", "code"]), ("head", ["text", "text"])])
def test_listings_of_a_layer_stay_code_beside_lines_with_words_in_their_type(writer, kinds) -> None:
    """From pixels, much type that is partly of fixed width means that the reader was not sure."""
    prose = block(lines_of("Set limit = 0.15 in /etc/gauge.conf first", 10, 60))
    prose.lines[0].styles = [(4, 16, "mono"), (20, 36, "mono")]
    listing = block(*(lines_of(f"level {k} of the upper gauge", 10, 100 + 18 * k) for k in range(4)))
    for one in listing.lines:
        one.styles = [(0, len(one.text), "mono")]
    for one in (*prose.lines, *listing.lines):
        one.writer = writer
    assert [one.kind for one in page_of(prose, listing).blocks] == kinds
