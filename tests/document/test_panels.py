"""Sidebars, cards and boxes of notes stand on grounds of their own; a shaded column of a table does not."""

from __future__ import annotations

from tests.document.test_layout import laid_out, line, tables
from vary.document.evidence import Evidence
from vary.document.layout.arrange import find_cards
from vary.document.layout.bullets import listing_gutters
from vary.document.lines import TextLine

SIDE = ["Contact", "Mill Lane 7", "Saltwick", "Languages", "Dutch fluent", "Norse a little"]
WORK = ["Surveyor 2020", "County office", "Levelled 340 km", "Wrote a manual", "Clerk 2018", "Drew maps"]


def texts(*lines, evidence: Evidence) -> str:
    return " / ".join(one.text for block in laid_out(*lines, evidence=evidence).blocks[:-1] for one in block.lines)


def test_a_sidebar_is_read_before_what_stands_level_with_it() -> None:
    lines = [line(text, 20, 20 + 40 * k) for k, text in enumerate(SIDE)]
    lines += [line(text, 220, 20 + 40 * k + 7 * (k % 2)) for k, text in enumerate(WORK)]
    sidebar = Evidence(areas=[((0, 0, 180, 270), 0x203040)])
    assert texts(*lines, evidence=sidebar) == " / ".join(SIDE + WORK)


def test_the_files_beside_a_listing_with_line_numbers_are_read_before_it() -> None:
    code = ["import heapq", "", "class Queue:", "    # boats wait", "    def push(self):", "        heap.push(it)"]
    lines = [line(str(k + 1), 229, 40 + 21 * k) for k in range(len(code))]
    lines += [
        line(text.strip(), 257 + 7 * (len(text) - len(text.strip())), 40 + 21 * k)
        for k, text in enumerate(code)
        if text
    ]
    files = [line(text, 20, 41 + 23 * k) for k, text in enumerate(SIDE)]
    listing = [f"{k + 1}  {text.strip()}".strip() for k, text in enumerate(code)]
    assert texts(*files, *lines, evidence=Evidence()) == " / ".join(SIDE + listing)
    assert listing_gutters([*files, *lines], 14.0)
    level = [line(text, 20, 40 + 21 * k) for k, text in enumerate(SIDE)]  # a table with a column of numbers
    assert not listing_gutters([*level, *lines], 14.0)
    assert not listing_gutters([*files, *lines[: len(code)]], 14.0)  # the pages of a table of contents


def test_cards_in_a_row_are_read_one_after_another() -> None:
    cards = [["Revenue", "1.92 M", "more"], ["Orders", "4,417", "fewer"], ["Returns", "2.1%", "as planned"]]
    areas = [((10 + 190 * k, 20, 180 + 190 * k, 100), 0xEEEEEE) for k in range(3)]
    lines = [
        line(text, 20 + 190 * k, 25 + 24 * n, high) for k, card in enumerate(cards)
        for n, (text, high) in enumerate(zip(card, (10, 20, 10), strict=True))
    ]  # fmt: skip
    lines += [line(text, x, 130 + 20 * k) for k in range(4) for text, x in (("left words", 10), ("right words", 320))]
    found = texts(*lines, evidence=Evidence(areas=areas))
    assert found.startswith(" / ".join(text for card in cards for text in card))


def test_a_shaded_column_belongs_to_its_table() -> None:
    rows = [["Rope", "25", "48.50"], ["Lamp", "4", "310.00"], ["Work", "6", "52.00"], ["Post", "1", "14.90"]]
    lines = [line(text, x, 30 + 24 * k) for k, cells in enumerate(rows)
             for text, x in zip(cells, (20, 200, 300), strict=True)]  # fmt: skip
    page = laid_out(*lines, evidence=Evidence(areas=[((10, 20, 150, 130), 0xDDDDDD)]))
    assert [one.cells for one in tables(page)] == [rows]


def test_the_ground_of_a_slide_frames_no_table() -> None:
    bars = [((0, 0, 600, 40), 0x3333B3), ((300, 150, 590, 180), 0x262686), ((0, 780, 200, 800), 0x191959)]
    lines = [line("Why count lamps", 10, 12, 22), line("Boats come in at night", 20, 150), line("Question", 310, 158)]
    lines += [line("How many lamps", 310, 190), line("Ferris", 10, 783), line("Keepers are few", 20, 180)]
    assert not tables(laid_out(*lines, evidence=Evidence(areas=[((0, 0, 600, 800), 0xFFFFFF), *bars])))


def test_bullets_apart_from_their_text_begin_items() -> None:
    """Slides of LibreOffice set a small bullet far before each item; two lists of them were a table."""
    lists = {20: ["cheap to buy", "needs a store of twelve", "ash twice a week"],
             320: ["quiet, no smoke", "costs more in the first", "a grant is possible"]}  # fmt: skip
    lines = [line(text, x + 30, 40 + 24 * k) for x, items in lists.items() for k, text in enumerate(items)]
    lines += [line("•", x, 45 + 24 * k, 4) for x, items in lists.items() for k in range(len(items))]
    found = texts(*lines, evidence=Evidence())
    assert found == " / ".join(f"• {text}" for items in lists.values() for text in items)


def test_numbered_lines_of_an_algorithm_are_no_table() -> None:
    steps = ["d = 9", "for h in H do", "if h is open then", "r = h", "end if", "end for"]
    lines = [line(f"{k + 1}:", 20, 40 + 16 * k) for k in range(len(steps))]
    lines += [line(text, 50 + 12 * (1 < k < 5), 40 + 16 * k) for k, text in enumerate(steps)]
    assert not tables(laid_out(*lines))


def ending(text: str, x: float, y: float) -> TextLine:
    return line(text, x - line(text, 0, y).box[2], y)


def test_the_name_of_a_total_is_set_to_the_right_as_the_prices_above() -> None:
    items = [["Rope", "2", "Pcs", "48.50", "97.00"], ["Lamp", "14", "Box", "310.00", "4340.00"],
             ["Work", "6", "Hrs", "52.00", "312.00"]]  # fmt: skip
    lines = []
    for k, (name, count, unit, price, amount) in enumerate([["Name", "Nr", "Unit", "Price", "Sum"], *items]):
        y = 30 + 24 * k
        lines += [line(name, 10, y), ending(count, 160, y), line(unit, 200, y), ending(price, 330, y)]
        lines.append(ending(amount, 430, y))
    lines += [ending("Net sum", 330, 126), ending("4749.00", 430, 126), ending("Rounding-and-tax", 330, 150)]
    lines.append(ending("902.31", 430, 150))
    (table,) = tables(laid_out(*lines))
    assert table.cells[-2:] == [["", "", "", "Net sum", "4749.00"], ["", "", "", "Rounding-and-tax", "902.31"]]


def test_framed_cards_are_read_in_rows_and_frames_with_common_sides_are_no_cards() -> None:
    cards = [
        [f"{k + 1}. Walk to the mill", "Follow the water from the weir", "and cross by the bridge"] for k in range(4)
    ]
    boxes = [(10 + 290 * (k % 2), 20 + 110 * (k // 2), 270 + 290 * (k % 2), 100 + 110 * (k // 2)) for k in range(4)]
    lines = [line(text, x0 + 8, y0 + 8 + 20 * n) for card, (x0, y0, _, _) in zip(cards, boxes, strict=True)
             for n, text in enumerate(card)]  # fmt: skip
    rules = [side for x0, y0, x1, y1 in boxes for side in (
        (x0 + 4, y0, x1 - 4, y0), (x0 + 4, y1, x1 - 4, y1),
        (x0, y0 + 4, x0, y1 - 4), (x1, y0 + 4, x1, y1 - 4))]  # fmt: skip
    found = texts(*lines, evidence=Evidence(rules=rules))
    assert found == " / ".join(text for card in cards for text in card)
    assert not find_cards(rules[:4], 14.0)
    assert not find_cards([(x0 - 30 * (x0 > 280), y0, x1 - 30 * (x0 > 280), y1) for x0, y0, x1, y1 in rules], 14.0)


def test_squares_that_were_read_as_letters_begin_items() -> None:
    def rows(*words: str) -> list[str]:
        lines = [line("1. Kitchen", 20, 40), *(line(text, 44, 60 + 20 * k) for k, text in enumerate(words))]
        return [one.text for block in laid_out(*lines).blocks[:-1] for one in block.lines]

    assert rows("n Empty the fridge", "- Drain it", "= Take the knives") == [
        "1. Kitchen", "■ Empty the fridge", "- Drain it", "■ Take the knives"]  # fmt: skip
    assert rows("n Empty the fridge", "Drain it", "= Take the knives")[1] == "n Empty the fridge"


def test_areas_that_touch_are_panels_where_their_rows_do_not_make_a_table() -> None:
    """A mail program: a bar of names, a list whose items stand on grounds, and the letter, level by chance."""
    lines = [line(text, 20, 20 + 30 * k) for k, text in enumerate(SIDE)]
    items = [
        ["Tom Oke", "Rope", "Did it come?"],
        ["Council", "Levels", "Please come"],
        ["Library", "Books", "Too late"],
    ]
    lines += [line(text, 170, 12 + 80 * k + 22 * n) for k, item in enumerate(items) for n, text in enumerate(item)]
    lines += [line(text, 400, 20 + 41 * k) for k, text in enumerate(WORK)]
    areas = [((0, 0, 150, 240), 0x202124), *(((150, 80 * k, 380, 80 * k + 79), 0xF6F8FC) for k in range(3))]
    found = texts(*lines, evidence=Evidence(areas=areas))
    assert found == " / ".join([*SIDE, *(text for item in items for text in item), *WORK])


def test_fields_in_columns_on_a_ground_are_no_column_of_the_stub_beside_them() -> None:
    fields = [["From", "To"], ["Saltwick", "Port End"], ["Date", "Departs"], ["14 May", "08:42"]]
    stub = ["Coach", "7", "Seat", "42 A"]
    lines = [line(text, x, 30 + 24 * k) for k, row in enumerate(fields) for text, x in zip(row, (20, 160), strict=True)]
    lines += [line(text, 330, 30 + 24 * k) for k, text in enumerate(stub)]
    areas = [((0, 10, 300, 140), 0xFFFFFF), ((300, 10, 450, 140), 0xB71C1C)]
    found = texts(*lines, evidence=Evidence(areas=areas))
    assert found.endswith(" / ".join(stub))
    assert not any(text in found.split(" / ")[:3] for text in stub)


def test_a_number_in_the_middle_of_the_left_side_comes_before_its_panel() -> None:
    lines, areas = [], []
    for k in range(2):
        y = 20 + 90 * k
        areas += [((10, y, 70, y + 70), 0x00796B), ((70, y, 500, y + 70), 0xE0F2F1)]
        lines += [line(f"{k + 1}", 30, y + 24, 26), line(f"Step {k}", 90, y + 8), line("Turn the cap", 90, y + 28)]
        lines.append(line("to the left", 90, y + 48))
    found = texts(*lines, evidence=Evidence(areas=areas))
    assert found == "1 / Step 0 / Turn the cap / to the left / 2 / Step 1 / Turn the cap / to the left"
