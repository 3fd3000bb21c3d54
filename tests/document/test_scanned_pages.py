"""Pages that lean, heads on coloured bars, pieces of rules, labels that run up the side of a figure."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.document.test_layout import laid_out, line, row, tables
from vary.document.elements import Block, Line
from vary.document.evidence import Evidence
from vary.document.layout.bitmap import GROUND, lighten
from vary.document.orientation import insert_turned
from vary.document.running_text import styled_text
from vary.reading.scales.merge import is_left_of_rule, is_text


@pytest.mark.parametrize("angle", [0.0, 0.75, -9.0])
def test_an_address_on_a_page_that_leans_keeps_its_lines(angle) -> None:
    slope = np.tan(np.radians(angle))
    texts = ["Otter Creek School", "Accounts Payable", "77 Juniper Street"]
    lines = []
    for k, text in enumerate(texts):
        boxes = [(10 + 8 * c, y := 80 + 20 * k + 8 * c * slope, 18 + 8 * c, y + 15) for c in range(len(text))]
        lines.append(Line(text, (10, boxes[0][1], boxes[-1][2], boxes[-1][3]), 0.9, boxes, [0.9] * len(text)))
    block = Block(lines, (10, 60, 200, 160), angle=angle)
    assert styled_text(block)[0] == "\n".join(texts)


@pytest.mark.parametrize("grey", [20, 120])
def test_light_names_on_a_bar_are_inverted_with_it(grey) -> None:
    image = Image.new("L", (900, 600), 255)
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 200, 840, 225), fill=grey)
    for x in (100, 400, 800):
        for k in range(4):
            draw.rectangle((x - 8 * k, 206, x - 8 * k + 3, 219), fill=255)
    shown = np.asarray(lighten(image))
    assert (shown[212, 101], shown[212, 300]) == (0, GROUND)
    assert shown[100, 300] == 255
    draw.rectangle((60, 200, 840, 225), fill=grey)
    assert lighten(image) is image or np.array_equal(np.asarray(lighten(image)), np.asarray(image))  # nothing in it


def test_names_above_the_first_amounts_are_the_head() -> None:
    rows = [["Item", "Details", "Sum"], ["K-1", "Paddle", "34.50"], ["K-2", "Vest", "41.25"], ["Z-3", "Bag", "22.00"]]
    lines = [one for k, cells in enumerate(rows) for one in row(80 + 30 * k, *zip([10, 120, 320], cells, strict=True))]
    rules = Evidence(rules=[(5.0, 132.0 + 30 * k, 420.0, 133.0 + 30 * k) for k in range(3)])
    assert [one.cells for one in tables(laid_out(*lines, evidence=rules))] == [rows]


def test_marks_at_rules_are_pieces_of_them() -> None:
    rule = [(10.0, 100.0, 300.0, 102.0)]
    assert is_left_of_rule(line(".", 8, 92), rule)
    assert not is_left_of_rule(line(".", 8, 50), rule)
    assert not is_left_of_rule(line("–", 100, 92), rule)
    doubtful = line("—-—=", 10, 80)
    doubtful.confidence[:] = 0.6
    letters = line("paid", 10, 80)
    letters.confidence[:] = 0.6
    assert (is_text(doubtful), is_text(letters)) == (False, True)


def test_a_name_that_runs_up_the_side_of_a_figure_is_its_label() -> None:
    figure = Block([], (100, 100, 300, 250), "figure")
    name = Block([Line("Distance (km)", (80, 130, 94, 220), 0.9)], (80, 130, 94, 220), angle=270.0)
    note = Block([Line("Draft of May", (10, 400, 24, 480), 0.9)], (10, 400, 24, 480), angle=270.0)
    blocks = [figure]
    insert_turned(blocks, [name, note])
    assert blocks == [figure, note]
    assert (figure.text, figure.box) == ("Distance (km)", (80, 100, 300, 250))


def test_notes_of_authors_and_names_of_two_fields_are_no_list_and_no_heading() -> None:
    lines = [
        line(text, 10, 80 + 40 * k) for k, text in enumerate(["* Corresponding author: t@varn.example", "* a point"])
    ]
    lines += [*row(200, (10, "Signature of applicant"), (400, "Date"))]
    assert [(one.kind, one.text[:6]) for one in laid_out(*lines).blocks][:2] == [("text", "* Corr"), ("list", "* a po")]
    large = [line("Signature of applicant", 10, 80, 20), line("Date", 400, 80, 20)]
    assert "heading" not in [one.kind for one in laid_out(*large).blocks]
