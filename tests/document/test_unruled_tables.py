"""Tables without a grid: next to each other, of terms and meanings, with wrapped cells, under a title."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from tests.document.test_layout import STEP, laid_out, line, row, tables
from vary.document.elements import STYLES
from vary.document.evidence import Evidence
from vary.document.layout.arrange import lay_out
from vary.document.layout.table_rows import find_keyed_rows
from vary.document.lines import TextLine

RAIN = [["Month", "Rain"], ["April", "41"], ["May", "57"], ["June", "63"], ["July", "80"]]
TOWNS = [["Town", "Height", "Since"], ["Ark", "212", "1931"], ["Bren", "87", "1954"], ["Coy", "43", "1988"]]


def in_style(one: TextLine, name: str) -> TextLine:
    """A line of a layer, whose font says its style."""
    styles = np.zeros((len(one.text), len(STYLES)), bool)
    styles[:, STYLES.index(name)] = True
    return replace(one, styles=styles, writer="layer")


def upright(one: TextLine) -> TextLine:
    return replace(one, styles=np.zeros((len(one.text), len(STYLES)), bool))


def placed(rows: list[list[str]], xs: list[float], step: float = 22) -> list[TextLine]:
    return [line(text, x, 80 + step * k) for k, texts in enumerate(rows) for x, text in zip(xs, texts, strict=True)]


def test_two_tables_next_to_each_other() -> None:
    lines = [*placed(RAIN, [10, 90]), *placed(TOWNS, [290, 370, 450])]
    assert [one.cells for one in tables(laid_out(*lines))] == [RAIN, TOWNS]


def test_a_table_folded_in_two_becomes_two() -> None:
    years = [["Year", "Sum"], ["1931", "7"], ["1932", "9"], ["1933", "4"]]
    more = [["Year", "Sum"], ["1934", "12"], ["1935", "1"], ["1936", "3"]]
    lines = [*placed(years, [10, 90]), *placed(more, [290, 370])]
    assert [one.cells for one in tables(laid_out(*lines))] == [years, more]


def test_columns_at_equal_distances_are_one_table() -> None:
    lines = [*placed(RAIN[:4], [10, 120]), *placed(TOWNS, [230, 340, 450])]
    assert [one.cells for one in tables(laid_out(*lines))] == [[a + b for a, b in zip(RAIN[:4], TOWNS, strict=True)]]


def test_fixed_width_type_in_three_columns_is_a_table_and_in_two_a_receipt() -> None:
    def typed(one: TextLine) -> TextLine:
        boxes = one.boxes.copy()
        boxes[:, 0] = boxes[0, 0] + STEP * np.arange(len(boxes))
        boxes[:, 2] = boxes[:, 0] + STEP
        return replace(one, boxes=boxes)

    ports = [["Harbour", "Mon", "Tue"], ["Saltwick", "1", "7"], ["Elmwood", "0", "11"], ["Garrick", "3", "1"]]
    xs = [10.0, 210.0, 330.0]
    lines = [typed(one) for one in placed(ports, xs)]
    assert [one.cells for one in tables(laid_out(*lines))] == [ports]
    assert tables(laid_out(*(typed(one) for one in placed([cells[:2] for cells in ports], xs[:2])))) == []
    listing = lay_out([in_style(one, "mono") for one in lines], Evidence(), (600, 800), STYLES)
    assert [block for block in listing if block.kind == "table"] == []


@pytest.mark.parametrize("style", ["mono", "bold"])
def test_names_and_meanings_in_two_columns_are_two_tables(style) -> None:
    sides = [
        [["dd", "delete the whole line"], ["yy", "copy the line"], ["p", "put it after that"]],
        [["/", "search for words below"], ["n", "search again"], ["N", "search from here upwards"]],
    ]
    blocks = lay_out(
        [
            change(line(text, x, 80 + 22 * k))
            for left, rows in zip((10, 300), sides, strict=True)
            for k, texts in enumerate(rows)
            for x, text, change in zip(
                (left, left + 50), texts, (lambda one: in_style(one, style), upright), strict=True
            )
        ],
        Evidence(),
        (600, 800),
        STYLES,
    )
    assert [block.cells for block in blocks] == sides


def test_meanings_of_many_lines_stay_with_their_names() -> None:
    words = "what it does in many words that fill the whole of the line"
    lines = []
    for k, name in enumerate(["-a, --all", "-q", "-o FILE"]):
        lines.append(in_style(line(name, 10, 80 + 62 * k), "mono"))
        lines += [upright(line(f"{n} {words}", 130, 80 + 62 * k + 19 * n)) for n in range(3)]
    (block,) = lay_out(lines, Evidence(), (600, 800), STYLES)
    whole = " ".join(f"{n} {words}" for n in range(3))
    assert block.cells == [[name, whole] for name in ("-a, --all", "-q", "-o FILE")]


def test_the_last_cell_keeps_its_further_lines() -> None:
    rows = chain(
        *(row(80 + 60 * k, (10, f"Post {k}"), (110, "keeps the ledgers of"), (400, f"20{k}1")) for k in range(3))
    )
    more = [line("the whole valley", 110, 98 + 60 * k) for k in range(3)]
    (table,) = tables(laid_out(*rows, *more))
    assert table.cells == [[f"Post {k}", "keeps the ledgers of the whole valley", f"20{k}1"] for k in range(3)]


def test_a_name_in_the_middle_of_its_row() -> None:
    lines = [in_style(line("dd", 10, 80), "mono"), upright(line("delete the line", 110, 80))]
    lines += [in_style(line("yy", 10, 110), "mono")]
    lines += [upright(line("copy the line, and those", 110, 102)), upright(line("below", 110, 118))]
    lines += [in_style(line("p", 10, 140), "mono"), upright(line("put it after that", 110, 140))]
    (block,) = lay_out(lines, Evidence(), (600, 800), STYLES)
    wanted = [["dd", "delete the line"], ["yy", "copy the line, and those below"], ["p", "put it after that"]]
    assert block.cells == wanted


def test_rules_between_cells_of_many_lines() -> None:
    words = ["Opens the gates at sunrise, then", "walks along the lower path and", "reports fallen trees"]
    lines = row(70, (10, "Role"), (110, "Duties"), (450, "Since"))
    for k in range(3):
        lines += row(102 + 70 * k, (10, f"Post {k}"), (450, f"20{k}1"))
        lines += [line(text, 110, 102 + 70 * k + 18 * n) for n, text in enumerate(words)]
    rules = [(8.0, y, 520.0, y + 1) for y in (92.0, 160.0, 230.0, 300.0)]
    (table,) = tables(laid_out(*lines, evidence=Evidence(rules=rules)))
    assert table.cells == [["Role", "Duties", "Since"], *([f"Post {k}", " ".join(words), f"20{k}1"] for k in range(3))]
    assert table.box[2] - table.box[0] > 60 * STEP


def joined(left: TextLine, right: TextLine) -> TextLine:
    """One line of two, with a blank as wide as a letter between them, so that white is left on its sides."""
    middle = (left.boxes[-1, 2] + right.boxes[0, 0]) / 2
    blank = np.array([[middle, left.boxes[0, 1], middle, left.boxes[0, 3]]], np.float32)
    boxes = np.concatenate([left.boxes, blank, right.boxes])
    return TextLine(f"{left.text} {right.text}", boxes, np.full(len(boxes), 0.9, np.float32), left.em_px)


def test_numbers_of_two_columns_close_together_in_small_type_are_two_cells() -> None:
    high, gap = 10, 7.2  # em of 10.4 px; the prose of the page has 14.6
    rows = [["Ark", "71,204", "52,881"], ["Bren", "70,466", "59,317"], ["Coy", "13,209", "12,318"], ["Dun", "7", "9"]]
    lines = []
    for k, (name, first, second) in enumerate(rows):
        y = 80 + 16 * k
        left, right = line(first, 0, y, high), line(second, 0, y, high)
        left = replace(left, boxes=left.boxes + np.array([200 - left.box[2], 0] * 2, np.float32))
        right = replace(right, boxes=right.boxes + np.array([200 + gap, 0] * 2, np.float32))
        lines += [line(name, 10, y, high), joined(left, right)]
    assert [one.cells for one in tables(laid_out(*lines))] == [rows]


def test_numbers_with_a_blank_as_wide_as_in_prose_are_one_cell() -> None:
    rows = [["Ark", "71 204"], ["Bren", "70 466"], ["Coy", "13 209"], ["Dun", "12 318"]]
    lines = []
    for k, (name, number) in enumerate(rows):
        left, right = (line(part, 0, 80 + 16 * k, 10) for part in number.split())
        left = replace(left, boxes=left.boxes + np.array([200 - left.box[2], 0] * 2, np.float32))
        right = replace(right, boxes=right.boxes + np.array([203.5, 0] * 2, np.float32))
        lines += [line(name, 10, 80 + 16 * k, 10), joined(left, right)]
    assert [one.cells for one in tables(laid_out(*lines))] == [rows]


def test_a_cell_of_two_lines_with_amounts_centred_on_it_is_one_row() -> None:
    """An invoice with a rule below each item; its addresses and dates stand above the table."""
    goods = [("Oak beam", "seasoned long", "3", "118.50"), ("Iron hinge", "with screws", "12", "9.75")]
    sender, dates = ["Ms Hazel", "Alder and Sons", "14 Quay Street"], ["Date: 3 May", "Due: 9 May", "Number: 88"]
    lines = [one for k in range(3) for one in row(2 + 18 * k, (10, sender[k]), (380, dates[k]))]
    lines += [line("Saltwick", 10, 56), *row(90, (10, "Item"), (300, "Count"), (420, "Price"))]
    for k, (name, more, count, price) in enumerate(goods):
        top = 114 + 50 * k
        lines += [line(name, 10, top), line(more, 10, top + 20), *row(top + 10, (300, count), (420, price))]
    lines += row(214, (10, "Carriage"), (300, "1"), (420, "40.00"))
    rules = [(5.0, y, 560.0, y + 1) for y in (86.0, 110.0, 160.0, 210.0, 236.0)]
    page = laid_out(*lines, evidence=Evidence(rules=rules))
    (found,) = tables(page)
    wanted = [[f"{name} {more}", count, price] for name, more, count, price in goods]
    assert found.cells == [["Item", "Count", "Price"], *wanted, ["Carriage", "1", "40.00"]]
    assert [one.text for one in page.lines[:7]] == [*sender, "Saltwick", *dates]


def right_aligned(rows: list[list[str]], edges: list[float], step: float, high: float) -> list[TextLine]:
    """Cells that end at the edges; the first column begins at 10 px."""
    found = []
    for k, texts in enumerate(rows):
        for c, text in enumerate(texts):
            one = line(text, 10, 80 + step * k, high)
            shift = edges[c] - one.box[2] if c else 0.0
            found.append(replace(one, boxes=one.boxes + np.array([shift, 0] * 2, np.float32)))
    return found


@pytest.mark.parametrize(("high", "step"), [(14, 26), (10, 14), (22, 40)])
def test_columns_as_close_as_half_an_em_in_their_widest_rows_are_separate(high, step) -> None:
    rows = [
        ["Harbour", "Ships", "Tons", "Crew"],
        ["Saltwick", "41", "8,120.55", "9"],
        ["Elmwood", "1,207.50", "77", "18.25"],
        ["Garrick", "318.00", "6,400.10", "2,051.75"],
    ]
    em = high / 0.96
    wide = [max(line(cells[c], 0, 0, high).box[2] for cells in rows) for c in range(4)]
    edges = list(10 + np.cumsum(wide) + 0.52 * em * np.arange(4))
    page = laid_out(*right_aligned(rows, edges, step, high))
    assert [one.cells for one in tables(page)] == [rows]


def test_a_cell_that_ends_between_two_columns_stays_in_its_own() -> None:
    parts = [["Code", "Part", "Count"], ["A-1", "seal", "12"], ["B-2", "cover", "3"], ["C-3", "bolt with ring", "40"]]
    lines = placed(parts, [10, 60, 175])
    lines[-3:-1] = [joined(lines[-3], replace(lines[-2], boxes=lines[-2].boxes - np.float32([15, 0, 15, 0])))]
    assert [one.cells for one in tables(laid_out(*lines))] == [parts]


def test_a_cell_read_as_larger_type_does_not_end_the_table() -> None:
    lines = placed([*TOWNS, ["Dun", "12", "1990"], ["Esk", "301", "2001"]], [10, 120, 220])
    lines[-5] = line("12", 120, 80 + 22 * 4 - 3, 20)
    (table,) = tables(laid_out(*lines))
    assert [cells[0] for cells in table.cells] == ["Town", "Ark", "Bren", "Coy", "Dun", "Esk"]


def justified(text: str, x0: float, x1: float, y: float, high: float) -> TextLine:
    """A line whose blanks are widened until it ends at x1; a blank has no width of its own."""
    one = line(text, x0, y, high)
    boxes, white = one.boxes.copy(), 0.0
    inked = [k for k, ch in enumerate(text) if ch != " "]
    wide = boxes[:, 2] - boxes[:, 0]
    blank = (x1 - x0 - float(wide[inked].sum())) / text.count(" ")
    for k, ch in enumerate(text):
        boxes[k, [0, 2]] = x0 + white, x0 + white + (blank if ch == " " else wide[k])
        white += blank if ch == " " else wide[k]
    return replace(one, boxes=boxes)


NARROW = ["walls of grey", "stone that run", "down to a weir", "with old mills", "where they saw"]


@pytest.mark.parametrize(("high", "width", "step"), [(14, 125, 17), (9, 76, 11), (20, 180, 26)])
def test_a_narrow_justified_column_with_wide_blanks_is_no_table(high, width, step) -> None:
    lines = [justified(text, 10, 10 + width, 60 + step * k, high) for k, text in enumerate(NARROW)]
    assert tables(laid_out(*lines)) == []


def test_words_whose_last_column_has_one_width_are_a_table() -> None:
    rows = [["Land", "Town", "Coin"], ["Ark", "Saltwick", "ACE"], ["Bren", "Elmwood", "CEA"], ["Coy", "Garrick", "EAC"]]
    assert [one.cells for one in tables(laid_out(*placed(rows, [10, 100, 200], 18)))] == [rows]


@pytest.mark.parametrize("label", ["General form:", "Examples:", "Or so:"])
def test_two_rows_of_words_with_a_line_between_are_no_table(label) -> None:
    lines = [*row(60, (10, "4.2 Gates"), (110, "and levers")), line(label, 10, 80)]
    lines += row(100, (10, "GATE N1"), (110, "VALUE"))
    assert tables(laid_out(*lines)) == []


@pytest.mark.parametrize(("label", "value", "shift", "step"), [(10, 16, -8, 34), (11, 17, -8, 30), (10, 16, 2, 30)])
def test_values_larger_than_their_labels_and_on_another_baseline_stay_with_them(label, value, shift, step) -> None:
    pairs = [["Name:", "Hazel Wren"], ["Number:", "4711-22"], ["Since:", "12.03.1984"], ["Street:", "Quay 14"]]
    lines = [line(name, 10, 80 + step * k, label) for k, (name, _) in enumerate(pairs)]
    lines += [line(text, 150, 80 + step * k + shift, value) for k, (_, text) in enumerate(pairs)]
    assert [one.cells for one in tables(laid_out(*lines))] == [pairs]


def test_two_small_lines_next_to_a_large_one_are_not_one_row() -> None:
    lines = [line("Quay 14", 10, 80, 10), line("Saltwick", 10, 93, 10), line("Wren", 150, 82, 16)]
    texts = [one.text.split("  ") for one in laid_out(*lines).lines]
    assert not any({"Quay 14", "Saltwick"} <= set(parts) for parts in texts)


@pytest.mark.parametrize("level", [0, 7])
def test_an_index_in_two_columns_is_no_table(level: int) -> None:
    left, right = (["anchor", "bell", "canvas", "deck", "engine"], ["ferry", "gale", "harbour", "island", "jetty"])
    lines = [line(f"{name} . . . . . . . . . {k + 3}", 10, 100 + 22 * k) for k, name in enumerate(left)]
    lines += [line(f"{name} . . . . . . . . . {k + 30}", 330, 100 + level + 22 * k) for k, name in enumerate(right)]
    one, other = "above . . . . . . . . . . . . 1", "east . . . . . . . . . . . . 20"  # followed as one line
    first = line(one + " " * (40 - len(one)) + other, 10, 48)
    page = laid_out(*lines, first)
    assert tables(page) == []
    text = " ".join(page.text.split())
    order = ["above", *left, "east", *right]
    assert sorted(order, key=text.index) == order


def test_labels_and_values_in_two_rows_are_a_table() -> None:
    rows = [["Opening", "Paid in", "Paid out"], ["1,204.17", "2,910.00", "1,866.43"]]
    assert [one.cells for one in tables(laid_out(*placed(rows, [10, 210, 410])))] == [rows]
    words = [["Opening", "Paid in", "Paid out"], ["Monday", "never", "Tuesday"]]
    assert not tables(laid_out(*placed(words, [10, 210, 410])))


def test_an_address_beside_a_table_is_no_column_of_it() -> None:
    pairs = [["Number", "RE-418"], ["Date", "14.04.2026"], ["Customer", "10782"], ["Due", "28.04.2026"]]
    address = ["Frau", "Annette Kroger", "Am Graben 17", "24937 Flensburg"]
    lines = placed([[a, *b] for a, b in zip(address, pairs, strict=True)], [10, 300, 420])
    assert [one.cells for one in tables(laid_out(*lines))] == [pairs]
    foot = [
        ["Nordwerk", "Phone 0461", "IBAN 51"],
        ["Hafen 9", "Fax 0462", "BIC 1001"],
        ["24939 Ulm", "Shop 3", "VAT 4567"],
    ]
    assert [one.cells for one in tables(laid_out(*placed(foot, [10, 250, 350])))] == [foot]


def test_a_rule_of_the_page_far_below_is_not_of_the_table() -> None:
    items = [["Name", "Count", "Sum"], ["Posts", "12", "48.00"], ["Boards", "30", "92.10"], ["Screws", "400", "8.40"]]
    rules = Evidence(rules=[(10.0, y, 500.0, y + 1) for y in (98.0, 120.0, 142.0, 164.0, 298.0)])
    sums = [["Net", "148.50"], ["Tax", "28.21"], ["Sum", "176.71"]]
    below = [replace(one, boxes=one.boxes + np.array([0, 88, 0, 88])) for one in placed(sums, [250, 400], 18)]
    below.append(line("Please pay the sum within a month", 10, 222))
    found = tables(laid_out(*placed(items, [10, 250, 400]), *below, evidence=rules))
    assert [one.cells for one in found] == [items, sums]


def test_a_table_with_upright_rules_below_the_last_stripe_is_another_one() -> None:
    items = [["Name", "Count", "Sum"], ["Posts", "12", "48.00"], ["Boards", "30", "92.10"], ["Screws", "4", "8.40"]]
    taxes = [["Rate", "Net", "Tax"], ["20", "92.10", "18.42"], ["10", "56.40", "5.64"]]
    sides = ((10.0, 200.0), (200.0, 380.0), (380.0, 500.0))
    stripes = [((left, y, right, y + 22), 0xEEEEEE) for y in (98.0, 142.0) for left, right in sides]
    rules = [(10.0, y, 500.0, y + 1) for y in (172.0, 194.0, 216.0, 238.0)]
    rules += [(x, 172.0, x + 1, 239.0) for x in (10.0, 200.0, 350.0, 499.0)]
    below = [replace(one, boxes=one.boxes + np.array([0, 96, 0, 96])) for one in placed(taxes, [20, 220, 370])]
    lines = [*placed(items, [20, 250, 400]), *below]
    found = tables(laid_out(*lines, evidence=Evidence(rules=rules, areas=stripes)))
    assert [one.cells for one in found] == [items, taxes]


def test_short_lines_beside_text_are_no_table() -> None:
    sides = [
        ["Contact", "Ann Falk"],
        ["070 555", "Engineer with nine years of work in the towns"],
        ["ann@x.org", "and on."],
    ]
    assert not tables(laid_out(*placed(sides, [10, 200])))
    marks = [["•", "Models", "Lund", "2017"], ["•", "Maps", "Ystad", "2015"], ["•", "Python", "Malmo", "2012"]]
    assert not tables(laid_out(*placed(marks, [10, 30, 250, 400])))


KEYS = [
    ("tab", "complete the name"), ("C-x C-f, C-x C-v", "visit a file"), ("C-g", "stop what runs now, and go"),
    ("", "back"), ("C-x k", "kill it"), ("q", "bury it"),
]  # fmt: skip


@pytest.mark.parametrize("styled", [in_style, lambda one, _: upright(one)])
@pytest.mark.parametrize("run_on", [False, True])
def test_keys_and_what_they_mean_at_the_two_edges_of_a_column(styled, run_on) -> None:
    rows: list[list[TextLine]] = [[] for _ in KEYS]
    for left in (10.0, 298.0):
        for k, (key, meaning) in enumerate(KEYS):
            said = upright(line(meaning, left, 40 + 18 * k))
            said = replace(said, boxes=said.boxes + np.float32([left + 280 - said.box[2], 0] * 2)) if key else said
            rows[k] += [*([styled(line(key, left, 40 + 18 * k), "bold")] if key else []), said]
    if run_on:  # the white between the columns was taken for a blank
        whole = joined(*rows[4][1:3])
        styles = [one.styles for one in (rows[4][1], rows[4][1].part(slice(1)), rows[4][2])]
        rows[4][1:3] = [replace(whole, styles=np.concatenate(styles))]
    blocks = lay_out([*chain(*rows)], Evidence(), (600, 800), STYLES)
    found = [block.cells for block in blocks if block.kind == "table"]
    cells = [["tab", "complete the name"], ["C-x C-f, C-x C-v", "visit a file"],
             ["C-g", "stop what runs now, and go back"], ["C-x k", "kill it"], ["q", "bury it"]]  # fmt: skip
    assert (found == [cells, cells]) is (styled is in_style)


@pytest.mark.parametrize("numbers", [False, True])
def test_names_with_numbers_at_the_other_edge_are_no_keys(numbers) -> None:
    lines = []
    for k, (name, text) in enumerate([("tab", "a b"), ("C-x C-f", "b"), ("C-g", "c and so on"), ("q", "d")]):
        said = upright(line("137, 9"[k:] if numbers else text, 10, 40 + 18 * k))
        lines += [in_style(line(name, 10, 40 + 18 * k), "bold")]
        lines += [replace(said, boxes=said.boxes + np.float32([280 - said.box[2], 0] * 2))]
    assert len(find_keyed_rows(lines)[0]) == (not numbers)
