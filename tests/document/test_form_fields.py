"""Checkboxes become `[x]` and `[ ]` in the line of their label; what was recognised in borders goes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vary.document.evidence import Evidence
from vary.document.layout import arrange
from vary.document.layout.arrange import find_evidence, lay_out
from vary.document.layout.form_fields import find_checkboxes, find_drawn_fields, place_form_fields
from vary.document.layout.ruling_lines import BAND_PIXELS
from vary.document.lines import TextLine

STEP = 10.0


def line(text: str, x: float = 100.0, y: float = 50.0, step: float = STEP) -> TextLine:
    boxes = [(x + step * k, y, x + step * (k + 1), y + 16) for k in range(len(text))]
    confidence = np.full(len(text), 0.9, np.float32)
    return TextLine(text, np.array(boxes, np.float32), confidence, 16.0, styles=np.zeros((len(text), 1), bool))


def texts(found: list[TextLine]) -> list[str]:
    return [one.text for one in found]


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
    found = place_form_fields([line(label), line("below", y=90)], [("checkbox", box, True)])
    assert texts(found) == [expected, "below"]
    for one in found:
        assert len(one.boxes) == len(one.confidence) == len(one.styles) == len(one.text)
        assert (np.diff(one.boxes[:, 0]) >= 0).all(), "the boxes run from left to right"


def test_a_label_on_the_right_comes_first() -> None:
    found = place_form_fields([line("left", 20), line("right", 120)], [("checkbox", (80, 52, 92, 64), False)])
    assert texts(found) == ["left", "[ ] right"]


def test_a_checkbox_alone_is_a_line() -> None:
    lines, fields = [line("above", y=10), line("below", y=300)], [("checkbox", (80, 152, 92, 164), True)]
    blocks = lay_out(lines, Evidence(fields=fields), (600, 400), ("bold",))
    assert [one.text for block in blocks for one in block.lines] == ["above", "[x]", "below"]
    (block,) = lay_out([], Evidence(fields=fields), (600, 400), ("bold",))
    assert block.lines[0].text == "[x]"


def test_what_the_text_layer_says_is_no_border() -> None:
    for text in ("Ivory", "lime", "(none)", "/usr", "1!"):
        one = line(text, 102)
        one.sources = np.ones(len(text), np.uint8)
        assert texts(place_form_fields([one], [("text", (100, 45, 102 + STEP * len(text), 70), False)])) == [text]


def test_borders_and_buttons_are_no_text() -> None:
    found = place_form_fields([line("[North quay   x", 100)], [("choice", (105, 45, 245, 70), False)])
    assert texts(found) == ["North quay"]
    apart = [line("North quay", 110), line("v", 230)]
    assert texts(place_form_fields(apart, [("choice", (105, 45, 245, 70), False)])) == ["North quay"]
    found = place_form_fields([line("[12] or 3|", 100)], [("text", (60, 45, 195, 70), False)])  # brackets inside stay
    assert texts(found) == ["[12] or 3"]


def test_styles_follow_their_characters() -> None:
    made = line("Engine")
    made.styles[:] = True
    (found,) = place_form_fields([made], [("checkbox", (80, 52, 92, 64), True)])
    assert found.text == "[x] Engine"
    assert found.styles[:, 0].tolist() == [False] * 4 + [True] * 6


def cells(rows: list[list[str]], columns: list[float], fields: list[tuple[str, tuple, bool]]) -> list[list[str]]:
    """Return the cells of a table of words that begin at the given columns, 40 px from row to row."""
    places = [(text, x, 50.0 + 40 * k) for k, row in enumerate(rows) for x, text in zip(columns, row, strict=True)]
    lines = [line(text, x, y, 8.0) for text, x, y in places if text]
    xs, ys = [90, *(x - 12 for x in columns[1:]), 560], [40 + 40 * k for k in range(len(rows) + 1)]
    rules = [(xs[0], y, xs[-1], y) for y in ys] + [(x, ys[0], x, ys[-1]) for x in xs]
    (block,) = lay_out(lines, Evidence(rules=rules, fields=fields), (600, 400), ("bold",))
    assert block.cells is not None
    return block.cells


def test_marks_of_a_table_are_in_its_cells() -> None:
    """In the cell of their label, or in a cell of their own; no other cell changes."""
    rows = [["Colour", "green"], ["Gift wrap", ""], ["Express", ""], ["Gift wrap", ""]]
    marks = [("checkbox", (400, 92 + 40 * k, 412, 104 + 40 * k), k == 1) for k in range(3)]
    found = cells(rows, [100, 380], marks)
    assert found == [["Colour", "green"], ["Gift wrap", "[ ]"], ["Express", "[x]"], ["Gift wrap", "[ ]"]]
    rows = [["Lamp", "Yes", "No"], ["Mill", "Yes", "No"]]
    places = [(234, 52), (374, 52), (234, 92), (374, 92)]
    marks = [("checkbox", (x, y, x + 10, y + 12), k in (0, 3)) for k, (x, y) in enumerate(places)]
    assert cells(rows, [100, 200, 350], marks) == [["Lamp", "Yes [x]", "No [ ]"], ["Mill", "Yes [ ]", "No [x]"]]
    found = cells([["4", "Wood"], ["5", "Coal"]], [100, 160], [("checkbox", (144, 92, 156, 104), True)])
    assert found == [["4", "Wood"], ["5", "[x] Coal"]]


@pytest.mark.parametrize(
    "lines",
    [
        [line("Code", 20), line("4 8 2", 100)],
        [line("Code", 20), line("4", 100), line("8", 130), line("2", 160)],
        [line("Code", 20), line("8", 130), line("4", 100), line("2", 160), line("4", 100, y=90)],
    ],
    ids=["one line", "three lines", "in no order"],
)
def test_the_characters_of_a_comb_field_are_one_word(lines) -> None:
    found = place_form_fields(lines, [("comb", (95, 45, 200, 70), False)])
    assert sorted(texts(found))[:2] == (["4", "482"] if len(lines) > 4 else ["482", "Code"])
    joined = next(one for one in found if one.text == "482")
    assert len(joined.boxes) == len(joined.confidence) == len(joined.styles) == 3
    assert (np.diff(joined.boxes[:, 0]) > 0).all()


def test_the_label_before_a_comb_field_keeps_its_blanks() -> None:
    assert texts(place_form_fields([line("my code 4 8 2", 20)], [("comb", (95, 45, 200, 70), False)])) == [
        "my code 482"
    ]


def test_boxes_within_lines_and_in_cells_are_found() -> None:
    image, lines = Image.new("L", (500, 200), 255), [line("Hull:    wood    steel", 20, 40), line("Water", 20, 100)]
    draw = ImageDraw.Draw(image)
    for k, (x, y) in enumerate(((85, 41), (165, 41), (200, 101), (300, 101))):
        draw.rectangle((x, y, x + 13, y + 13), outline=0)
        if k % 2:
            draw.line((x + 3, y + 3, x + 10, y + 10), fill=0, width=2)
    found = find_checkboxes(np.asarray(image), lines)
    walls = [(x, 90.0, x + 1.0, 120.0) for x in (150.0, 250.0)]
    placed = sorted(one.text for one in place_form_fields(lines, found, walls))
    assert placed == ["Hull:  [ ]  wood  [x]  steel", "Water", "[ ]", "[x]"]
    for one in lines:
        one.text = "口" * len(one.text)
    assert not find_checkboxes(np.asarray(image), lines)  # letters of Chinese are such squares


@pytest.mark.parametrize("y", range(-14, 3))
def test_a_box_on_the_seam_of_two_bands_is_found(y) -> None:
    image, top = Image.new("L", (1000, 2200), 255), BAND_PIXELS // 1000 + y
    lines = [line("Water   wood", 20, top - 1), line("Coal   steel", 20, 2100)]
    draw = ImageDraw.Draw(image)
    for at in (top, 2101):
        draw.rectangle((86, at, 99, at + 13), outline=0)
    pixels = np.asarray(image)
    tracemalloc.start()
    try:
        found = find_checkboxes(pixels, lines)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sorted(one[1][1] for one in found) == pytest.approx([top, 2101], abs=1)
    assert peak < 16 * BAND_PIXELS  # and not 20 times the image


def squares(*places: tuple[float, float]) -> list[tuple[float, float, float, float]]:
    """The sides of squares of 12 px as ruling lines."""
    sides = [(0, 0, 12, 0.5), (0, 12, 12, 12.5), (0, 0, 0.5, 12), (12, 0, 12.5, 12)]
    return [(x + a, y + b, x + c, y + d) for x, y in places for a, b, c, d in sides]


def test_squares_that_hold_a_letter_or_stand_in_cells_are_checkboxes() -> None:
    lines = [line("X steel", 101, 50), line("Water", 20, 90), line("X", 201, 90), line("Coal", 20, 130)]
    rules = squares((100, 52), (200, 92), (300, 92), (200, 132), (300, 132))
    placed, evidence = find_drawn_fields(lines, Evidence(rules=rules), 16.0)
    assert not evidence.rules
    assert [ticked for _, _, ticked in evidence.fields] == [True, True, False, False, False]
    walls = [(x, 80.0, x + 1.0, 150.0) for x in (150.0, 250.0)]
    found = texts(place_form_fields(placed, evidence.fields, walls))
    assert sorted(found) == ["Coal", "Water", "[ ]", "[ ]", "[ ]", "[x]", "[x] steel"]
    keys = squares((100, 52), (200, 52))
    pressed = [line("B or", 101, 50), line("7", 201, 50)]
    assert find_drawn_fields(pressed, Evidence(rules=keys), 16.0)[1].fields == []  # names of keys
    lone = squares((300, 52))  # no label, and no other one
    assert find_drawn_fields(lines[:1], Evidence(rules=lone), 16.0)[1].rules == lone


def drawn_form(shape: str) -> tuple[np.ndarray, list[TextLine]]:
    """Three lines of 16 px with a drawn shape before each; a page of grey pixels."""
    image, lines = Image.new("L", (400, 200), 255), []
    draw = ImageDraw.Draw(image)
    for k in range(3):
        y = 40 + 40 * k
        lines.append(line("Engine", 30 if shape == "o" else 70, y))
        box = (40, y, 53, y + 13)
        if shape == "round":
            draw.ellipse(box, outline=0, width=2)
        elif shape == "o":  # of bold type
            draw.rounded_rectangle((40, y, 55, y + 15), 5, outline=0, width=4)
        elif shape == "solid" or (shape == "inverted" and k != 1):
            draw.rectangle(box, fill=0)
        else:
            draw.rounded_rectangle(box, 2, outline=90, width=1, fill=255 if shape == "frame" else 90)
            if shape == "filled" or k == 1:
                draw.line((43, y + 7, 46, y + 10, 50, y + 3), fill=255 if shape == "filled" else 0, width=2)
    return np.asarray(image), lines


@pytest.mark.parametrize(
    ("shape", "ticked"),
    [
        ("frame", [False, True, False]),
        ("filled", [True] * 3),
        ("inverted", [False, True, False]),
        ("round", []),
        ("o", []),
        ("solid", []),
    ],
)
def test_drawn_checkboxes_are_found_and_letters_and_bullets_are_none(shape, ticked) -> None:
    pixels, lines = drawn_form(shape)
    found = sorted(find_checkboxes(pixels, lines), key=lambda one: one[1][1])
    assert [one[2] for one in found] == ticked
    assert len(find_checkboxes(pixels, lines[:1])) == 0  # one alone may be anything
    placed = [one.text for one in place_form_fields(lines, found)]
    assert placed == [f"[{'x' if mark else ' '}] Engine" for mark in ticked] or not ticked


def test_where_the_form_fields_are_known_no_checkboxes_are_sought(monkeypatch) -> None:
    pixels, lines = drawn_form("frame")
    assert len(find_evidence(pixels, lines).fields) == 3
    monkeypatch.setattr(arrange, "find_checkboxes", None)
    known = [("text", (10.0, 20.0, 30.0, 40.0), False)]
    assert find_evidence(pixels, lines, known).fields == known
