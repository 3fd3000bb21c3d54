"""Checkboxes become `[x]` and `[ ]` in the line of their label; what was recognised in borders goes."""

from __future__ import annotations

import pytest

from vary.document.elements import Block, Line, Page
from vary.document.form_fields import place_form_fields

STEP = 10.0


def line(text: str, x: float = 100.0, y: float = 50.0) -> Line:
    boxes = [(x + STEP * k, y, x + STEP * (k + 1), y + 16) for k in range(len(text))]
    return Line(text, (x, y, x + STEP * len(text), y + 16), 0.9, boxes, [0.9] * len(text))


def page(*lines: Line) -> Page:
    return Page(1, "ok", 600, 400, blocks=[Block([one], one.box) for one in lines])


def texts(found: Page) -> list[str]:
    return [one.text for one in found.lines]


@pytest.mark.parametrize(
    ("label", "box", "expected"),
    [
        ("Engine", (170, 52, 182, 64), "Engine [x]"),
        ("Engine", (80, 52, 92, 64), "[x] Engine"),
        ("Engine  Sails", (162, 52, 172, 64), "Engine [x] Sails"),
        ("Engine O", (170, 52, 180, 64), "Engine [x]"),  # recognised as a letter
    ],
)
def test_a_mark_goes_to_its_place_in_the_line(label, box, expected) -> None:
    found = page(line(label), line("below", y=90))
    place_form_fields(found, [("checkbox", box, True)])
    assert texts(found) == [expected, "below"]
    assert all(len(one.characters) == len(one.character_confidence) == len(one.text) for one in found.lines)


def test_a_label_on_the_right_comes_first() -> None:
    found = page(line("left", 20), line("right", 120))
    place_form_fields(found, [("checkbox", (80, 52, 92, 64), False)])
    assert texts(found) == ["left", "[ ] right"]


def test_a_checkbox_alone_is_a_line() -> None:
    found = page(line("above", y=10), line("below", y=300))
    place_form_fields(found, [("checkbox", (80, 152, 92, 164), True)])
    assert texts(found) == ["above", "[x]", "below"]


def test_borders_and_buttons_are_no_text() -> None:
    found = page(line("[North quay   x", 100))
    place_form_fields(found, [("choice", (105, 45, 245, 70), False)])
    assert texts(found) == ["North quay"]
    found = page(line("[12] or 3|", 100))  # brackets inside the field stay
    place_form_fields(found, [("text", (60, 45, 195, 70), False)])
    assert texts(found) == ["[12] or 3"]


def test_styles_follow_their_characters() -> None:
    made = line("Engine")
    made.styles = [(0, 6, "bold")]
    found = page(made)
    place_form_fields(found, [("checkbox", (80, 52, 92, 64), True)])
    assert (made.text, made.styles) == ("[x] Engine", [(4, 10, "bold")])


def table(*rows: list[str]) -> Page:
    lines = [line("  ".join(cell for cell in row if cell), y=50 + 40 * k) for k, row in enumerate(rows)]
    block = Block(lines, (90, 40, 500, 60 + 40 * len(rows)), "table", cells=[list(row) for row in rows])
    return Page(1, "ok", 600, 400, blocks=[block])


def test_marks_of_a_table_go_into_its_cells() -> None:
    found = table(["Colour", "green"], ["Gift wrap", ""], ["Express", ""], ["Gift wrap", ""])
    boxes = [(400, 92 + 40 * k, 412, 104 + 40 * k) for k in range(3)]
    place_form_fields(found, [("checkbox", box, k == 1) for k, box in enumerate(boxes)])
    rows = [["Colour", "green"], ["Gift wrap", "[ ]"], ["Express", "[x]"], ["Gift wrap", "[ ]"]]
    assert found.blocks[0].cells == rows
    found = table(["Lamp", "Yes", "No"], ["Mill", "Yes", "No"])
    marks = [(190, 52), (240, 52), (190, 92), (240, 92)]
    place_form_fields(found, [("checkbox", (x, y, x + 10, y + 12), k in (0, 3)) for k, (x, y) in enumerate(marks)])
    assert found.blocks[0].cells == [["Lamp", "Yes [x]", "No [ ]"], ["Mill", "Yes [ ]", "No [x]"]]
    found = table(["4", "Wood"], ["5", "Coal"])
    place_form_fields(found, [("checkbox", (118, 92, 128, 104), True)])
    assert found.blocks[0].cells == [["4", "Wood"], ["5", "[x] Coal"]]
