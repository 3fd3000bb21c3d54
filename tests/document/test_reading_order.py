"""Lines come out in the order in which a person reads them."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from vary.document.elements import STYLES
from vary.document.layout.reading_order import order_blocks
from vary.document.lines import TextLine

EM, STEP = 16.0, 20.0


def line(text: str, x: float, y: float, em: float = EM) -> TextLine:
    """A line as the head reads it: half an em per character, the baseline 0.74 em under `y`."""
    left = x + 0.5 * em * np.arange(len(text))
    boxes = np.stack([left, np.full_like(left, y), left + 0.5 * em, np.full_like(left, y + 0.96 * em)], 1)
    return TextLine(text, boxes.astype(np.float32), np.full(len(text), 0.9, np.float32), em)


def column(name: str, count: int, x: float, y: float, length: int = 40) -> list[TextLine]:
    return [line(f"{name}{k} ".ljust(length, "x"), x, y + STEP * k) for k in range(count)]


def shuffled(lines: list[TextLine]) -> list[TextLine]:
    """The order in which lines are given must not matter."""
    return random.Random(len(lines)).sample(lines, len(lines))


def rows_of(lines: list[TextLine]) -> list[list[str]]:
    blocks = order_blocks(shuffled(lines))
    return [[piece.text.split()[0] for piece in row.pieces] for block in blocks for row in block.rows]


def names(name: str, count: int) -> list[list[str]]:
    return [[f"{name}{k}"] for k in range(count)]


def test_empty() -> None:
    assert order_blocks([]) == []


def test_single_line() -> None:
    (block,) = order_blocks([line("alone on the page", 30, 40)])
    (row,) = block.rows
    assert [piece.text for piece in row.pieces] == ["alone on the page"]
    assert row.box == pytest.approx((30, 40, 30 + 17 * 8, 40 + 0.96 * EM), abs=0.01)
    assert row.em_px == EM


def test_two_columns_under_a_heading_over_a_footer() -> None:
    lines = [line("heading over both of the columns", 100, 40, 28)]
    lines += column("l", 12, 40, 100) + column("r", 12, 400, 100)
    lines += [line("footer " + "y" * 60, 100, 420)]
    assert rows_of(lines) == [["heading"], *names("l", 12), *names("r", 12), ["footer"]]


def test_two_columns_out_of_step() -> None:
    lines = column("l", 10, 40, 100) + column("r", 14, 400, 107)
    assert rows_of(lines) == names("l", 10) + names("r", 14)


def test_three_columns() -> None:
    lines = [line for k, name in enumerate("abc") for line in column(name, 10, 40 + 300 * k, 60, 34)]
    assert rows_of(lines) == names("a", 10) + names("b", 10) + names("c", 10)


def test_heading_between_columns() -> None:
    """The last of the upper columns starts highest: height alone would order them wrongly."""
    starts = [("a", 40), ("b", 340), ("c", 640)]
    upper = [line for name, x in starts for line in column(name, 6, x, 40 - 9 * (name == "c"), 34)]
    lower = [line for name, x in starts for line in column(name.upper(), 6, x, 240, 34)]
    found = rows_of([*upper, line("middle " + "y" * 90, 60, 190), *lower])
    assert found == [*names("a", 6), *names("b", 6), *names("c", 6), ["middle"], *names("A", 6), *names("B", 6),
                     *names("C", 6)]  # fmt: skip


def test_cells_of_a_table_row_are_joined() -> None:
    cells = [line(f"{name}{k}", 40 + 150 * c, 40 + 30 * k) for k in range(5) for c, name in enumerate("pqrs")]
    assert rows_of(cells) == [[f"{name}{k}" for name in "pqrs"] for k in range(5)]


def test_contents_lines_keep_their_page_numbers() -> None:
    lines = []
    for k in range(8):
        lines += [line(f"chapter{k} with a long title", 40, 40 + STEP * k), line(f"{10 * k + 3}", 620, 40 + STEP * k)]
    assert rows_of(lines) == [[f"chapter{k}", str(10 * k + 3)] for k in range(8)]


def test_slanting_row_is_joined() -> None:
    left, right = line("left part of it", 40, 40), line("right", 500, 40 + 0.03 * 400)
    assert len(rows_of([left, right])) == 2
    left.slope = right.slope = 0.03
    assert rows_of([left, right]) == [["left", "right"]]


def test_gap_parts_paragraphs() -> None:
    lines = column("a", 4, 40, 40) + column("b", 3, 40, 40 + 4 * STEP + 14)
    assert [len(block.rows) for block in order_blocks(shuffled(lines))] == [4, 3]


def test_indent_and_size_part_blocks() -> None:
    lines = [line("heading", 40, 18, 20), *column("a", 3, 40, 40)]
    lines += [line("b0 indented", 64, 40 + 3 * STEP), *column("c", 2, 40, 40 + 4 * STEP)]
    blocks = order_blocks(shuffled(lines))
    assert [block.rows[0].pieces[0].text.split()[0] for block in blocks] == ["heading", "a0", "b0"]


def test_nothing_is_lost_or_doubled() -> None:
    chance = random.Random(4)
    lines = [line(f"w{k} and more", chance.uniform(0, 900), chance.uniform(0, 900)) for k in range(80)]
    assert sorted(name for row in rows_of(lines) for name in row) == sorted(f"w{k}" for k in range(80))


def test_a_line_that_ran_on_across_the_gutter_is_parted() -> None:
    """Two columns, and one pair of lines that was followed as one."""
    left, right = column("a", 8, 20, 40, 30), column("b", 8, 420, 40, 30)
    one, other = left.pop(3), right.pop(3)
    gap = np.array([[one.box[2], one.box[1], other.box[0], one.box[3]]], np.float32)
    text = f"{one.text} {other.text}"
    joined = TextLine(text, np.concatenate([one.boxes, gap, other.boxes]), np.ones(len(text), np.float32), EM)
    assert rows_of([*left, *right, joined]) == [*names("a", 8), *names("b", 8)]


def broken_formula(left: float, right: float) -> list[TextLine]:
    """Two columns, and between their halves one row in two pieces that end and begin there."""
    top, bottom = column("l", 8, 40, 100), column("r", 8, 400, 100)
    top += [line("m " + "x" * int((left - 100) / 8 - 2), 100, 300), line("n " + "x" * 20, right, 300)]
    return top + bottom + column("p", 8, 40, 340) + column("q", 8, 400, 340)


def test_a_broken_line_over_both_columns_parts_them() -> None:
    """The pieces reach into the gutter (360 to 400 px), and keep to no column's side."""
    found = rows_of(broken_formula(left=384, right=410))
    assert found == [*names("l", 8), *names("r", 8), ["m", "n"], *names("p", 8), *names("q", 8)]


@pytest.mark.parametrize(("left", "right"), [(384, 400), (360, 410), (384, 430)])
def test_an_overfull_line_stays_in_its_column(left, right) -> None:
    """Where the other piece begins at its column's side, or far off, or the first keeps to its own."""
    found = rows_of(broken_formula(left, right))
    assert found == [*names("l", 8), ["m"], *names("p", 8), *names("r", 8), ["n"], *names("q", 8)]


def test_the_first_lines_may_have_run_together() -> None:
    """A gutter reaches up over a line that was followed across it, once it is parted."""
    wide = line("x" * 40, 40, 80)
    both = np.concatenate([wide.boxes, line("x" * 41, 392, 80).boxes])
    first = TextLine("l " + "x" * 38 + " " + "r " + "x" * 38, both, np.full(81, 0.9, np.float32), EM)
    found = rows_of([first, *column("l", 8, 40, 100), *column("r", 8, 400, 100)])
    assert found == [["l"], *names("l", 8), ["r"], *names("r", 8)]


def test_a_table_beside_wide_cells_is_read_row_by_row() -> None:
    """Narrow cells on the left, wide ones on the right, running text above and below: no page column."""
    text = column("t", 3, 20, 0, 90) + column("u", 4, 20, 400, 90)
    table = [
        cell
        for k in range(8)
        for cell in (line(f"k{k}", 20, 100 + 30 * k), line(f"v{k} ".ljust(30, "x"), 400, 100 + 30 * k))
    ]
    assert rows_of([*text, *table]) == [*names("t", 3), *[[f"k{k}", f"v{k}"] for k in range(8)], *names("u", 4)]


def test_the_closing_brace_comes_last() -> None:
    listing = [line("{", 20, 0), line("value = 1;", 60, 20), line("other = 2;", 60, 40), line("}", 20, 60)]
    assert rows_of(listing) == [["{"], ["value"], ["other"], ["}"]]


def run_together(rows: int, gap: float, size: float) -> list[TextLine]:
    """Two columns whose rows were found as one line each; the word gaps of the rows are nowhere above one another."""
    lines = []
    for k in range(rows):
        lengths = [3, 5, 4, 6, 2, 7]
        turned = lengths[k % 6 :] + lengths[: k % 6]
        parts = [
            "left " + " ".join("abcdefg"[:n] for n in turned),
            f"right {k} " + " ".join("hijklmn"[:n] for n in turned),
        ]
        left = line(parts[0], 20, 40 + 1.25 * size * k, size)
        right = line(parts[1], left.box[2] + gap, 40 + 1.25 * size * k, size)
        blank = np.array([[left.box[2], left.box[1], right.box[0], left.box[3]]], np.float32)
        text = f"{parts[0]} {parts[1]}"
        boxes = np.concatenate([left.boxes, blank, right.boxes])
        lines.append(TextLine(text, boxes, np.ones(len(text), np.float32), size))
    return lines


@pytest.mark.parametrize("dpi", [72, 112, 150, 200])
def test_a_narrow_gutter_is_found_at_any_resolution(dpi) -> None:
    """Each row of both columns was found as one line, for the gutter is hardly wider than a word gap."""
    size = 10 * dpi / 72
    blocks = order_blocks(run_together(12, 0.9 * size, size))
    texts = [piece.text for block in blocks for row in block.rows for piece in row.pieces]
    assert len(texts) == 24
    assert all(text.startswith("left") for text in texts[:12])
    assert [text.split()[1] for text in texts[12:]] == [str(k) for k in range(12)]


def test_word_gaps_of_a_few_rows_are_no_gutter() -> None:
    lines = run_together(4, 12.0, EM)
    assert [len(row) for row in rows_of(lines)] == [1] * 4


@pytest.mark.parametrize("over", [-2.0, 2.0, 4.0])
def test_a_centred_line_that_ends_in_the_gutter_does_not_move_it(over) -> None:
    """The last line of an abstract ends at the left edge of the right column."""
    abstract = [line(f"a{k} ".ljust(75, "x"), 154, 100 + STEP * k) for k in range(2)]
    last = line("a2 ".ljust(40, "x"), 476 + over - 320, 140)
    left, right = column("l", 12, 88, 185, 45), column("r", 12, 476, 162, 45)
    assert rows_of([*abstract, last, *left, *right]) == [*names("a", 3), *names("l", 12), *names("r", 12)]


def test_a_listing_in_columns_keeps_its_rows() -> None:
    words, values = ["%token", "%start", "%union", "%right"], ["INT DOUBLE", "formula", "<d> real", "MINUS"]
    lines = [line(text, x, 100 + STEP * k) for x, some in ((40, words), (130, values)) for k, text in enumerate(some)]
    rows = rows_of([*lines, *column("p", 8, 40, 200, 70)])
    assert rows[:4] == [[word, value.split()[0]] for word, value in zip(words, values, strict=True)]


@pytest.mark.parametrize("seed", [39, 80, 133, 136, 186])
def test_blanks_of_typewriter_text_are_no_gutter(seed) -> None:
    """They are wide, and stand one below the other in several rows: so they do by chance with these seeds."""
    rng, mono = random.Random(seed), np.array([name == "mono" for name in STYLES])
    text = "four lanterns from the copper kettle works one cracked with a note on how to trim their wicks"
    words = text.split(" ")
    lines = []
    for k in range(14):
        text = f"n{k} "
        while len(text) < 50:
            text += rng.choice(words) + " "
        one = line(text.strip(), 40, 100 + STEP * k)
        one.boxes[:, [0, 2]] = 40 + 1.2 * (one.boxes[:, [0, 2]] - 40)  # 0.6 em per character
        lines.append(replace(one, styles=np.tile(mono, (len(one.text), 1)), writer="layer"))
    assert rows_of(lines) == names("n", 14)


def test_a_listing_keeps_its_rows_next_to_long_comments() -> None:
    code = ["int value = 12 + 4;", "auto another = value;", "string text = name(value);", "text += more;"]
    code += ["int *at = &value;", "string const &only_text();", "auto str = text(); run();"]
    notes = {1: "// of the same type as value", 2: "// a copy, so that", 3: "// the name keeps its letters, of"}
    notes |= {5: "// what is given, but is not changed", 6: "// uses all of these names"}
    lines = [line(text, 40, 40 + STEP * k) for k, text in enumerate(code)]
    lines += [line(text, 280, 40 + STEP * k) for k, text in notes.items()]
    blocks = order_blocks(shuffled(lines))
    read = [[piece.text for piece in row.pieces] for block in blocks for row in block.rows]
    assert read == [[text, notes[k]] if k in notes else [text] for k, text in enumerate(code)]


@pytest.mark.parametrize("step", [1.6, 2.5])
def test_names_with_what_they_mean_are_read_row_by_row(step) -> None:
    lines, wanted = [], []
    y = 40.0
    for k in range(7):
        lines += [line(f"n{k} name"[: 4 + k], 40, y), line(f"m{k} " + "meaning " * (4 + k % 3), 150, y)]
        wanted.append([f"n{k}", f"m{k}"])
        y += STEP * step
    assert rows_of(lines) == wanted


def test_typewriter_names_close_together_keep_their_rows() -> None:
    mono = np.array([name == "mono" for name in STYLES])
    texts = [
        "Ascertain access",
        "Concatenate",
        "Prompt the user for a name",
        "Copy files",
        "Create files",
        "Test it all",
    ]
    lines = []
    for k, text in enumerate(texts):
        key = line(f"file.part{k}", 40, 40 + STEP * k)
        value = line(text, 250, 40 + STEP * k)
        value.boxes[1::2, [0, 2]] += 3  # no pitch
        lines += [replace(key, styles=np.tile(mono, (len(key.text), 1))), value]
    assert rows_of(lines) == [[f"file.part{k}", text.split()[0]] for k, text in enumerate(texts)]


def test_short_lines_next_to_a_column_are_a_column() -> None:
    lines = [line(f"a{k} street", 40, 40 + STEP * k) for k in range(7)] + column("b", 12, 200, 40, 60)
    assert rows_of(lines) == [*names("a", 7), *names("b", 12)]


@pytest.mark.parametrize("earlier", [1, 2, 3])
@pytest.mark.parametrize("gap", [20, 24, 40])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_column_that_begins_above_the_other_keeps_its_first_lines(earlier, gap, side) -> None:
    """An abstract over both columns ends close above the one that begins first."""
    lines = [line(f"abstract{k} ".ljust(85, "x"), 40, 200 - gap - STEP * k) for k in range(2)]
    tops = {"l": 200.0, "r": 200.0 + STEP * earlier} if side == "left" else {"l": 200 + STEP * earlier, "r": 200.0}
    lines += column("l", 12, 40, tops["l"]) + column("r", 12, 400, tops["r"])
    assert rows_of(lines) == [["abstract1"], ["abstract0"], *names("l", 12), *names("r", 12)]


def texts_of(lines: list[TextLine]) -> list[str]:
    return [
        piece.text.split()[0] for block in order_blocks(shuffled(lines)) for row in block.rows for piece in row.pieces
    ]


def test_a_centred_line_above_two_blocks_is_in_none_of_them() -> None:
    lines = [line("middle-of-the-page-x", 220, 60), *column("a", 4, 20, 100, 26), *column("b", 4, 340, 100, 24)]
    assert texts_of(lines) == ["middle-of-the-page-x", *(f"{side}{k}" for side in "ab" for k in range(4))]


def test_a_title_next_to_nothing_ends_what_stands_side_by_side() -> None:
    title = line("Sensor", 20, 80, 2 * EM)
    lines = [*column("a", 1, 20, 40, 12), *column("b", 1, 400, 40, 12), title]
    lines += [*column("c", 4, 20, 130, 30), *column("d", 4, 400, 130, 30)]
    assert texts_of(lines) == ["a0", "b0", "Sensor", *(f"{side}{k}" for side in "cd" for k in range(4))]


def test_wide_level_white_ends_what_stands_side_by_side() -> None:
    lines = [*column("a", 4, 20, 40, 30), *column("b", 4, 400, 40, 30)]
    lines += [*column("c", 4, 20, 200, 30), *column("d", 4, 400, 200, 30)]
    assert texts_of(lines) == [f"{side}{k}" for side in "abcd" for k in range(4)]


def test_a_right_column_of_two_lines_is_read_after_the_left_one() -> None:
    """The last page of an article. Its gutter is no wider than a large blank, so lines of both are found as one."""
    left, right = column("a", 10, 0, 0), column("b", 2, 340, 0)
    parts = []
    for a, b in zip(left, right, strict=False):
        boxes = np.concatenate([a.boxes, a.boxes[-1:], b.boxes])
        parts.append(replace(a, text=f"{a.text} {b.text}", boxes=boxes, confidence=np.full(len(boxes), 0.9)))
    for first in ([*left[:2], *right], parts):
        assert rows_of([*first, *left[2:]]) == names("a", 10) + names("b", 2)


def test_a_heading_that_is_beside_white_by_chance_ends_no_column() -> None:
    """In the other column, a paragraph ends above it and the next one begins below it, close to each other."""
    left = [*column("a", 4, 20, 40, 30), line("Model", 20, 150, 1.5 * EM), *column("b", 6, 20, 206, 30)]
    right = [*column("c", 5, 400, 40, 30), *column("d", 8, 400, 180, 30)]
    assert texts_of([*left, *right]) == [*(f"a{k}" for k in range(4)), "Model", *(f"b{k}" for k in range(6)),
                                         *(f"c{k}" for k in range(5)), *(f"d{k}" for k in range(8))]  # fmt: skip


def test_items_and_amounts_with_the_letter_of_their_tax_are_no_columns() -> None:
    items = ["Bread", "Cheese rolls", "Apple juice 0,5", "Deposit", "Newspaper"]
    lines = [
        piece
        for k, name in enumerate(items)
        for piece in (line(name, 20, 40 + STEP * k), line(f"{k},4{k} A", 340, 40 + STEP * k))
    ]
    for one in lines:
        one.boxes[1::2, [0, 2]] += 3  # not in fixed-width type
    assert rows_of(lines) == [[name.split()[0], f"{k},4{k}"] for k, name in enumerate(items)]
