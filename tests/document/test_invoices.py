"""Invoices and slides: labels and addresses above the items, a title beside an address, lists next to each other."""

from __future__ import annotations

import pytest

from tests.document.test_layout import PROSE, laid_out, line, row, tables
from tests.document.test_unruled_tables import in_style, placed, right_aligned, upright
from vary.document.elements import STYLES, Page
from vary.document.evidence import Evidence
from vary.document.layout.arrange import lay_out
from vary.document.lines import TextLine
from vary.document.structure import find_structure

LABELS = [
    ["Customer", "Marlo Whitcombe", "Invoice #", "INV-00817"],
    ["Address", "14 Gully Track, Yea", "Issued", "2 Feb 2032"],
    ["Phone", "(03) 5550 1188", "Terms", "Net 14"],
]
ITEMS = [
    ["Qty", "Code", "Details", "Rate", "Total"],
    ["140", "HAY-S", "Small bales, hay", "9.20", "1,416.80"],
    ["6", "HAY-R", "Round bales", "95.00", "627.00"],
    ["1", "FRT", "Freight to Yea", "180.00", "198.00"],
]


def texts(*lines: TextLine) -> list[str]:
    return [block.text for block in laid_out(*lines).blocks][:-1]


def styled(*lines: TextLine) -> Page:
    page = Page(1, "ok", 600, 800, blocks=lay_out(lines, Evidence(), (600, 800), STYLES))
    find_structure(page)
    return page


def items_at(top: float) -> list[TextLine]:
    return [one for k, cells in enumerate(ITEMS)
            for one in row(top + 22 * k, *zip([10, 80, 160, 400, 500], cells, strict=True))]  # fmt: skip


def test_text_between_a_banner_and_the_items_is_no_part_of_them() -> None:
    above = [*row(60, (10, "Marlo Whitcombe"), (400, "Invoice #"), (500, "00817"))]
    above += [*row(78, (10, "14 Gully Track"), (400, "Issued"), (500, "02.02.32"))]
    above += [*row(96, (10, "3717 Yea"), (400, "Due"), (500, "16.02.32")), line("For the work of May", 10, 130)]
    rules = [(5.0, 180.0 + 22 * k, 590.0, 181.0 + 22 * k) for k in range(4)]
    evidence = Evidence(rules=rules, areas=[((5.0, 0.0, 590.0, 40.0), 40)])
    page = laid_out(*above, *items_at(160), evidence=evidence)
    assert ITEMS in [one.cells for one in tables(page)]
    assert any("14 Gully Track" in one.text for one in page.blocks if one.kind == "text")


def test_a_heading_between_two_tables_begins_the_second_one() -> None:
    charges = [
        ["Water used", "31", "1.62", "50.22"],
        ["Waste water", "29", "1.88", "54.52"],
        ["Total", "", "", "104.74"],
    ]
    readings = [["Meter", "Previous", "Present"], ["07M118", "1204", "1235"], ["07M119", "1001", "1002"]]
    lines = [one for k, cells in enumerate(charges)
             for one in row(60 + 18 * k, *zip((10, 240, 340, 460), cells, strict=True)) if one.text]  # fmt: skip
    lines += [one for k, cells in enumerate(readings)
              for one in row(140 + 18 * k, *zip((10, 200, 300), cells, strict=True))]  # fmt: skip
    found = laid_out(*lines, line("Readings", 10, 118, 15.2))
    assert [one.cells for one in tables(found)] == [charges, readings]


def test_labels_above_the_items_are_a_table_of_their_own() -> None:
    head = 80 + 22 * len(LABELS)
    items = [row(head + 22 * k, *zip([10, 80, 160, 400, 500], cells, strict=True)) for k, cells in enumerate(ITEMS)]
    rule = Evidence(rules=[(10.0, head + 17.0, 590.0, head + 18.0)])
    page = laid_out(*placed(LABELS, [10, 120, 360, 480]), *(one for cells in items for one in cells), evidence=rule)
    assert [one.cells for one in tables(page)] == [LABELS, ITEMS]


def test_rows_that_fill_the_same_columns_are_rows_of_their_own() -> None:
    rows = [["TILL 2", "17:42", "#4417"], ["MILK", "", "1.85 A"], ["EGGS", "", "2.40 A"], ["SOAP", "", "3.99 B"]]
    rows += [["VAT", "RATE", "TAX"], ["A", "0.00%", "0.00"], ["B", "20.00%", "1.32"]]
    heights = [80, 96, 112, 128, 160, 190, 220]
    lines = [line(text, x, y) for cells, y in zip(rows, heights, strict=True)
             for text, x in zip(cells, (10, 200, 320), strict=True) if text]  # fmt: skip
    assert [one.cells for one in tables(laid_out(*lines))] == [rows]


@pytest.mark.parametrize("blank", [0.38, 0.6])
def test_numbers_of_many_columns_a_blank_apart_are_cells(blank) -> None:
    rows = [[f"{(7 * k + 31 * c) % 190 + (k + c) % 10 / 10:.1f}" for c in range(24)] for k in range(9)]
    rows = [[f"Station {k}", *cells] for k, cells in enumerate(rows)]
    wide = max(line(text, 0, 0, 8).box[2] for cells in rows for text in cells[1:])
    edges = [90 + (wide + blank * 8 / 0.96) * k for k in range(25)]
    assert [one.cells for one in tables(laid_out(*right_aligned(rows, edges, 16, 8)))] == [rows]


def test_a_large_title_next_to_an_address_comes_before_all_of_it() -> None:
    address = ["Pinewater Supply Co.", "1180 Mill Road, Suite 4", "Duluth, MN 55802", "billing@pinewater.example"]
    lines = [line(text, 590 - line(text, 0, 0).box[2], 40 + 18 * k) for k, text in enumerate(address)]
    assert texts(line("INVOICE", 10, 52, 30), *lines) == ["INVOICE", "\n".join(address)]


def test_a_heading_below_addresses_comes_after_both() -> None:
    left = ["Seller", "Holzwerk Lindner", "Am Werk 9", "83457 Gmain"]
    right = ["Buyer", "Gasthof Zur Au", "Auweg 3", "83471 Bad Au"]
    lines = [line(text, x, 40 + 18 * k) for x, column in ((10, left), (320, right)) for k, text in enumerate(column)]
    found = texts(*lines, line("Invoice 2031-0387", 10, 125, 22), line("words and more of them " * 3, 10, 170))
    assert [text.split("\n")[0] for text in found[:3]] == ["Seller", "Buyer", "Invoice 2031-0387"]


def test_the_longer_of_two_columns_goes_on_after_a_heading() -> None:
    prose = "words that run on and on", "and then to the next ones"
    left = [line(prose[k % 2], 10, 40 + 18 * k) for k in range(8)]
    right = [line("other words of a column", 320, 40 + 18 * k) for k in range(6)]
    below = [line(prose[k % 2], 10, 268 + 18 * k) for k in range(6)]
    found = texts(*left, *right, line("Further", 10, 236, 22), *below)
    assert found.index("Further") < next(k for k, text in enumerate(found) if text.startswith("other"))


def test_lists_next_to_each_other_are_read_one_after_the_other() -> None:
    left = ["• Weight every hour, and the rain", "• Heat at all three of the depths", "• Sound by day and by night"]
    right = ["• Flowering plants within a mile", "• Rain and wind from two stations", "• Traffic on the ring road too"]
    heights = [80, 140, 176], [80, 110, 140]  # the first item has a second line
    lines = [line(text, x, y) for x, column, ys in zip((10, 320), (left, right), heights, strict=True)
             for text, y in zip(column, ys, strict=True)]  # fmt: skip
    assert texts(*lines, line("or the snow", 24, 98)) == [
        f"{left[0]} or the snow\n{left[1]}\n{left[2]}", "\n".join(right)
    ]  # fmt: skip


def test_a_bold_line_close_below_a_sentence_is_a_heading() -> None:
    prose = [
        upright(line(text, 10, 80 + 18 * k)) for k, text in enumerate(["words that run on and on " * 3, "to an end."])
    ]
    below = [
        upright(line(text, 10, 134 + 18 * k)) for k, text in enumerate(["more of these that go on " * 3, "and end."])
    ]
    page = styled(*prose, in_style(line("Timetable changes", 10, 116), "bold"), *below, *map(upright, PROSE))
    assert [block.text for block in page.blocks if block.kind == "heading"] == ["Timetable changes"]


SENDER = ["Rowan Joinery", "Unit 4, Saltmarsh Lane", "ul. Lipowa 7", "00417 Sampleton", "Reg. 88 06"]


def flush(texts: list[str], y: float, right: float = 590) -> list[TextLine]:
    lines = [line(text, 0, y + 18 * k) for k, text in enumerate(texts)]
    return [line(one.text, right - one.box[2], one.box[1]) for one in lines]


@pytest.mark.parametrize(
    "block", [["INVOICE", "Q-1188", "valid for 30 days"], ["Date: 3 May", "No.: 17", "Due: 4 June", "Bill 88"]]
)
def test_a_block_set_to_the_right_is_read_after_the_sender(block) -> None:
    sender = [line(text, 10, 60 + 18 * k) for k, text in enumerate(SENDER)]
    found = texts(*sender, *flush(block, 60))
    assert found == ["\n".join(SENDER), "\n".join(block)]


@pytest.mark.parametrize(
    "values", [["EUR 400 net", "EUR 12 net", "31 EUR"], ["Ilse K.", "Am Weiher 9", "00417 Modelin"]]
)
def test_values_set_to_the_right_stay_beside_their_names(values) -> None:
    names = ["Rent", "Water", "Light and heat"]
    page = laid_out(*(line(text, 10, 60 + 18 * k) for k, text in enumerate(names)), *flush(values, 60))
    printed = [one.text for block in page.blocks for one in block.lines]
    assert printed[:3] == [f"{name}  {value}" for name, value in zip(names, values, strict=True)]


def test_the_addressee_below_both_blocks_comes_last() -> None:
    sender = [line(text, 10, 60 + 18 * k) for k, text in enumerate(SENDER)]
    other = [
        line(text, 330, 176 + 18 * k) for k, text in enumerate(["Mairie de Modele", "1, place Verte", "00806 Modele"])
    ]
    found = texts(*sender, *flush(["FACTURE", "Date : 17/02", "Compte : 18"], 60), *other)
    assert [one.split("\n")[0] for one in found] == ["Rowan Joinery", "FACTURE", "Mairie de Modele"]


def test_a_row_above_a_head_in_a_colour_of_its_own_is_no_row_of_its_table() -> None:
    rows = [["Charge", "Units", "Amount"], *([f"Rate {k}", f"{17 * k}", f"{k}.40"] for k in range(1, 6))]
    grounds = [((10.0, 100.0 + 24 * k, 590.0, 124.0 + 24 * k), 0x224466 if not k else 0xE0E8F0) for k in (0, 2, 4)]
    labels = row(84, (14, "8806 17"), (260, "1 April"), (470, "1 July"))
    lines = [one for k, cells in enumerate(rows) for one in row(105 + 24 * k, *zip((14, 300, 500), cells, strict=True))]
    assert tables(laid_out(*labels, *lines, evidence=Evidence(areas=grounds)))[0].cells == rows


def test_justified_lines_with_an_indent_are_one_text() -> None:
    lines = [line("Some words in the", 40, 60), line("first box of the page,", 10, 78), line("continued below", 0, 96)]
    right = max(one.box[2] for one in lines)
    lines = [line(one.text, right - one.box[2] + one.box[0], one.box[1]) for one in lines]
    assert texts(*lines) == ["Some words in the first box of the page, continued below"]


@pytest.mark.parametrize("step", [26, 18])
def test_a_list_on_the_left_of_a_table_is_no_column_of_it(step) -> None:
    """Unless its items are level with the rows."""
    items = [
        "• Pickups take nine minutes",
        "• Drivers ask for larger signs",
        "• One depot is enough",
        "• No more are bought",
    ]
    rows = [["Depot", "Jobs", "Late"], ["North", "1,204", "3.1%"], ["Quay", "871", "1.9%"], ["Mill", "440", "6.0%"]]
    lines = [line(text, 10, 80 + 18 * k * (step / 18)) for k, text in enumerate(items)]
    cells = [
        line(text, x, 80 + 18 * k) for k, row_ in enumerate(rows) for x, text in zip((330, 430, 510), row_, strict=True)
    ]
    page = laid_out(*lines, *cells)
    wide = [one.cells for one in tables(page)] == [rows]
    assert wide == (step == 26)
    assert page.blocks[0].kind == ("list" if step == 26 else "table")


def test_lists_side_by_side_keep_their_heads() -> None:
    sides = (
        10, "On the way in", ["• Pickups take nine minutes", "• Drivers ask for signs", "• One depot is enough"],
    ), (
        310, "On the way out", ["• Lamps are taken off", "• The gate stays wide open", "• Nobody waits for the rest"],
    )  # fmt: skip
    lines = [
        line(text, x, 80 + 26 * k + 4 * (x > 10)) for x, *rest in sides for k, text in enumerate([rest[0], *rest[1]])
    ]
    assert [one.text for one in laid_out(*lines).blocks][:4] == [
        x for _, head, items in sides for x in (head, "\n".join(items))
    ]
