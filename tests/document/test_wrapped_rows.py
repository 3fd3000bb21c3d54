"""Tables whose rows have cells of several lines: the white between rows is wider than that between lines."""

from __future__ import annotations

import pytest

from tests.document.test_layout import laid_out, line, tables
from tests.document.test_unruled_tables import in_style, placed, upright
from vary.document.elements import STYLES
from vary.document.evidence import Evidence
from vary.document.layout.arrange import lay_out
from vary.document.lines import TextLine

XS = [10, 110, 330, 430]
HEAD = ["Task", "What is done", "Due", "Cost"]


def printed(rows: list[tuple[float, list[str]]]) -> list[TextLine]:
    """Lines of rows, each at its height."""
    return [line(text, x, y) for y, cells in rows for x, text in zip(XS, cells, strict=True) if text]


def cells_of(*rows: tuple[float, list[str]]) -> list[list[list[str]]]:
    return [table.cells for table in tables(laid_out(*printed(list(rows))))]


def test_the_first_cell_and_the_date_may_be_of_several_lines() -> None:
    found = cells_of(
        (60, HEAD),
        (90, ["Roof", "clear all leaves, seal", "14 Mar", "1,240.00"]),
        (106, ["gutters", "joints by the store", "2031", ""]),
        (136, ["Lift", "seen by the authority", "2 Apr", "910.00"]), (152, ["check", "from eight until", "2031", ""]),
        (168, ["", "about noon", "", ""]),
        (198, ["Doors", "paint", "9 Apr", "75.20"]), (214, ["", "", "2031", ""]),
    )  # fmt: skip
    assert found == [[
        HEAD,
        ["Roof gutters", "clear all leaves, seal joints by the store", "14 Mar 2031", "1,240.00"],
        ["Lift check", "seen by the authority from eight until about noon", "2 Apr 2031", "910.00"],
        ["Doors", "paint", "9 Apr 2031", "75.20"],
    ]]  # fmt: skip


def test_amounts_may_stand_beside_the_middle_of_three_lines() -> None:
    found = cells_of(
        (60, HEAD),
        (90, ["03.03.", "Power and light", "04.03.", "96.50"]),
        (116, ["05.03.", "Bakery by the gate", "06.03.", "11.40"]),
        (142, ["", "By order", "", ""]), (161, ["20.03.", "Friends of birds", "20.03.", "50.00"]),
        (180, ["", "gift", "", ""]),
        (206, ["21.03.", "Books", "22.03.", "9.10"]),
    )  # fmt: skip
    assert found[0][3:] == [
        ["20.03.", "By order Friends of birds gift", "20.03.", "50.00"], ["21.03.", "Books", "22.03.", "9.10"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "labels", [["North", "", "South", "", "West", ""], ["Ash", "Birch", "Cedar", "Elm", "Fir", "Yew"]]
)
def test_rows_that_stand_in_groups_are_rows_of_their_own(labels) -> None:
    heights = [90, 106, 136, 152, 182, 198]
    body = [[label, f"place {k}", f"{k}3", f"{k},140"] for k, label in enumerate(labels)]
    assert cells_of((60, HEAD), *zip(heights, body, strict=True)) == [[HEAD, *body]]


@pytest.mark.parametrize(("step", "inside"), [(30, True), (45, False)])
def test_a_row_below_the_last_rule_is_in_the_table_where_it_is_as_far_as_the_others(step, inside) -> None:
    body = [[f"#{k}", "Anneke de Wit", f"{k} Mar", f"{k}8.40"] for k in range(4, 8)]
    heights = [90, 120, 150, 150 + step]
    rules = [(10.0, y, 500.0, y + 1.0) for y in (82.0, 112.0, 142.0, 172.0)]
    lines = printed([(60, HEAD), *zip(heights, body, strict=True)])
    found = tables(laid_out(*lines, evidence=Evidence(rules=rules)))
    assert [row[0] for row in found[0].cells] == ["Task", "#4", "#5", "#6", *["#7"] * inside]


WRAPPED = [
    ["Keeper", "Reads the gauges at six and at", "book and key of the gauge"],
    ["", "eighteen and writes them down", "house"],
    ["Engineer", "Oils the bearings on Friday", "ear protection"],
    ["Deputy keeper", "Stands in for the keeper on Sundays and", "the same as the keeper of"],
    ["", "holidays", "the book"],
    ["Clerk", "Keeps the accounts of the station", "a desk"],
]
WHOLE = [
    ["Role", "Duties", "Needs"],
    ["Keeper", "Reads the gauges at six and at eighteen and writes them down", "book and key of the gauge house"],
    ["Engineer", "Oils the bearings on Friday", "ear protection"],
    ["Deputy keeper", "Stands in for the keeper on Sundays and holidays", "the same as the keeper of the book"],
    ["Clerk", "Keeps the accounts of the station", "a desk"],
]


def roles(step: float, apart: float, ruled: str, wrapped: list[list[str]] = WRAPPED) -> list[list[list[str]]]:
    """Cells of a table of roles; a row begins `apart` below the last line of the one above."""
    rows, y, tops = [(60.0, WHOLE[0])], 60 + step, [60 - step, 60 + step - 6]
    for k, cells in enumerate(wrapped):
        y += apart if k and cells[0] else step if k else 0
        tops += [y - 6] if k and cells[0] else []
        rows.append((y, cells))
    ends = [*(tops if ruled != "head" else tops[:2]), y + step]
    xs = [10, 120, 420]
    lines = [line(text, x, y) for y, cells in rows for x, text in zip(xs, cells, strict=True) if text]
    level = [(5.0, y, 640.0, y + 1.0) for y in ends]
    upright = [(x, ends[0], x + 1.0, ends[-1]) for x in (5.0, 110.0, 410.0, 640.0)] if ruled == "grid" else []
    return [table.cells for table in tables(laid_out(*lines, evidence=Evidence(rules=[*level, *upright])))]


def test_the_month_below_a_day_is_a_line_of_its_cell() -> None:
    offer = ("Ask for an offer that lists tiles and scaffolding", "JO", "25")
    rows = [offer, ("separately", "", "March"), ("Tune the piano", "MS", "1 May"), ("Send copies", "AF", "8 April")]
    lines = [line(text, x, 60 + 18 * k) for k, cells in enumerate(rows)
             for x, text in zip((10, 380, 420), cells, strict=True) if text]  # fmt: skip
    rules = [(5.0, y, 465.0, y + 1) for y in (55.0, 92.0, 110.0, 128.0)]
    rules += [(x, 55.0, x + 1, 129.0) for x in (5.0, 370.0, 410.0, 465.0)]
    found = tables(laid_out(*lines, evidence=Evidence(rules=rules)))[0].cells
    assert found[0] == ["Ask for an offer that lists tiles and scaffolding separately", "JO", "25 March"]
    assert len(found) == 3


@pytest.mark.parametrize(("step", "apart", "ruled"), [
    (18, 18, "head"), (18, 24, "rows"), (18, 24, "grid"),
])  # fmt: skip
def test_lines_that_had_no_place_in_the_line_above_are_no_rows_of_their_own(step, apart, ruled) -> None:
    assert roles(step, apart, ruled) == [WHOLE]


def test_lines_of_cells_of_several_lines_are_read_cell_by_cell() -> None:
    rows = [
        (70, ["", "memory", "mem-", ""]), (80, ["Kind", "", "", "Disk"]), (90, ["", "(least)", "ory (better)", ""]),
        (120, ["Server", "256 MB", "512 MB", "4 GB"]),
    ]  # fmt: skip
    sides = [0.0, 100.0, 320.0, 420.0, 520.0]
    rules = [(0.0, y, 520.0, y + 1.0) for y in (60.0, 112.0, 142.0)] + [(x, 60.0, x + 1.0, 143.0) for x in sides]
    (table,) = tables(laid_out(*printed(rows), evidence=Evidence(rules=rules)))
    assert table.cells == [
        ["Kind", "memory (least)", "memory (better)", "Disk"],
        ["Server", "256 MB", "512 MB", "4 GB"],
    ]
    read = [one.text for one in table.lines]
    assert read == ["Kind", "memory", "(least)", "mem-", "ory (better)", "Disk", "Server  256 MB  512 MB  4 GB"]


@pytest.mark.parametrize("ruled", ["rows", "grid", "head"])
@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("Reads the gauges at six and eigh-", "teen every day", "and eighteen every day"),
        ("Turns all lamps along the old pier on-", "and off at dusk", "pier on- and off at dusk"),
    ],
)
def test_a_word_divided_between_two_lines_of_a_cell_is_joined(ruled, first, second, joined) -> None:
    changed = [["Keeper", first, WRAPPED[0][2]], ["", second, WRAPPED[1][2]], *WRAPPED[2:]]
    assert roles(18, 24 if ruled != "head" else 18, ruled, changed)[0][1][1].endswith(joined)


def test_a_bold_name_of_a_group_is_no_further_line_of_a_long_cell_above() -> None:
    rows = [["Wash", "6.00"], ["Mask", "14.00"], ["Head massage", "9.00"], ["Beard", ""], ["Trim", "8.00"],
            ["Shave", "13.50"], ["Oil", "4.00"]]  # fmt: skip
    lines = [
        in_style(one, "bold") if one.text == "Beard" else upright(one) for one in placed(rows, [10, 130]) if one.text
    ]
    blocks = lay_out(lines, Evidence(), (600, 800), STYLES)
    assert [one.cells for one in blocks if one.kind == "table"] == [rows]
