"""Listings and fixed-width type: what is code, and what only looks like it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.document.test_layout import row
from tests.document.test_structure import PROSE, STEP, block, kinds, line, page
from vary.document.elements import STYLES, Document, Line
from vary.document.evidence import Evidence
from vary.document.layout.arrange import lay_out
from vary.document.lines import with_type_of_grounds
from vary.document.orientation import Orientation, restore_orientation


def code(text: str, x: float, y: float) -> Line:
    made = line(text, x, y)
    made.styles = [(0, len(text), "mono")]
    return made


def test_a_listing_is_one_block_with_its_short_lines() -> None:
    listing = [code("def f(a):", 10, 100), code("    {", 10, 118), code("return a", 38, 136), code("}", 10, 154)]
    found = page(block(listing[0]), block(*listing[1:3]), block(listing[3]), block(line("see", 10, 200)), PROSE)
    assert kinds(found) == ["code", "text", "text"]
    assert found.blocks[0].text.split("\n")[-1] == "}"
    assert kinds(page(block(code("x", 10, 100)), PROSE)) == ["text", "text"]  # a word of code alone


@pytest.mark.parametrize(
    ("xs", "ys", "found"),
    [
        ((10, 40, 40), (118, 136, 154), "text"),
        ((10, 40, 40), (118, 160, 178), "code"),  # far below
        ((10, 40, 10), (118, 136, 154), "code"),  # a paragraph with an indent below a listing
    ],
)
def test_terms_in_fixed_width_type_above_their_meaning_are_text(xs, ys, found) -> None:
    terms = [code("-k N", 10, 100), code("--keep=N", xs[0], ys[0])]
    meaning = [line("keeps the last copies of all files, and", xs[1], ys[1]), line("more of some others", xs[2], ys[2])]
    for one in (*terms, *meaning):
        one.writer = "layer"
    read = page(block(*terms), block(*meaning), PROSE)
    assert kinds(read) == [found, "text", "text"]
    assert ("`--keep=N`" in Document("a.pdf", "m", [read]).markdown()) is (found == "text")


def test_lines_of_a_listing_whose_type_is_not_seen_are_in_it() -> None:
    typed = [code("name: build", 10, 100), line("on: [push]", 10, 118), code("jobs: test", 10, 136), line("}", 10, 154)]
    found = page(block(*typed), block(line("see", 10, 200)), PROSE)
    assert kinds(found)[:2] == ["code", "text"]
    assert [one.text for one in found.blocks[0].lines] == [one.text for one in typed]
    apart = [code("$ make -j4", 10, 100), line("or else, for a test of it", 10, 130), code("$ make it", 10, 152)]
    assert kinds(page(block(*apart), PROSE))[:3] == ["code", "text", "code"]


def test_a_listing_that_fills_most_of_a_page_is_code_and_a_page_of_typewriter_type_is_text() -> None:
    letter = [code("We have to write to you again.", 10, 40 + 18 * k) for k in range(12)]
    text = line("What the program does.", 10, 10)
    assert kinds(page(block(text), block(*letter))) == ["text", "code"]
    assert kinds(page(block(*letter))) == ["text"]
    title = line("What the program does.", 10, 0, high=28)
    assert kinds(page(block(title), block(*letter)))[1:] == ["text"]
    listing = [code("retries: 3  # of build(x)", 10, 60 + 18 * k) for k in range(12)]
    assert kinds(page(block(title), block(*listing)))[1:] == ["code"]


def test_a_line_whose_type_is_not_seen_may_stand_left_of_its_neighbours_and_a_paragraph_is_none() -> None:
    typed = [
        code("func main() {", 10, 100),
        code("panic(err)", 58, 118),
        line("for x {", 10, 136),
        code("x.close()", 58, 154),
    ]
    assert kinds(page(block(*typed), PROSE)) == ["code", "text"]
    between = [
        code("func main() {", 10, 100),
        line("Start it in a second window", 10, 148),
        code("$ nc localhost", 10, 196),
    ]
    assert kinds(page(*map(block, between), PROSE)) == ["code", "text", "code", "text"]


@pytest.mark.parametrize(
    "turn", [Orientation(0, 0.7), Orientation(0, -4.0), Orientation(90, 0.0), Orientation(180, 1.2)]
)
def test_a_listing_on_a_page_that_leans_or_is_turned_keeps_its_blanks(turn) -> None:
    listing = [
        code("def f(a):", 100, 300),
        code("    if a:", 100, 318),
        code("        return  a", 100, 336),
        code("f(1)", 100, 372),
    ]
    found = page(block(*(replace(one, text=one.text) for one in listing)))
    found.blocks[0].kind = "code"
    upright = found.blocks[0].text
    restore_orientation(found, turn, (800, 600) if turn.rotation == 90 else (600, 800))
    assert found.blocks[0].text == upright == "def f(a):\n    if a:\n        return  a\n\nf(1)"


@pytest.mark.parametrize(
    "texts",
    [
        (
            "kim@otter:~/feeds$ git status",
            *("what a command has said", "and more of it") * 6,
            "kim@otter:~/feeds$ git log",
        ),
        ("mira@kiln:~/pots$ ls", "total 48", "glaze.csv kiln.log", "mira@kiln:~/pots$"),
        ("def push(self, boat):", "    # boats wait", "    return len(self.items)", "", "queue = Queue()"),
        ("for (k = 0; k < n; k++) {", "    sum += k", "}", "puts(sum);"),
    ],
)
def test_a_page_of_program_text_or_of_a_terminal_is_code(texts) -> None:
    lines = [code(text, 10, 40 + 18 * k) for k, text in enumerate(texts) if text]
    assert kinds(page(block(*lines))) == ["code"]


def test_clauses_in_typewriter_type_are_no_program_text() -> None:
    clauses = [code(f"({n}) the bank of the river;", 10, 40 + 18 * k) for k, n in enumerate("abcdefgh")]
    assert kinds(page(block(*clauses))) != ["code"]


def test_the_number_of_a_line_from_pixels_need_not_be_in_fixed_width_type() -> None:
    lines = [line(f"{k}  }}" if k == 8 else f"{k}  puts(boats);", 10, 100 + 18 * k) for k in (7, 8, 9)]
    for one in lines:
        one.styles = [(3, len(one.text), "mono")]
    assert kinds(page(block(*lines), block(line("see", 10, 290)), PROSE))[0] == "code"


def test_a_word_at_the_end_of_a_listing_is_in_it_where_it_is_as_close_as_the_lines_are() -> None:
    loop = [code("for f in *.txt; do", 10, 100), code("    wc -l $f", 10, 118)]
    for step, found in ((18, ["code", "text"]), (40, ["code", "text", "text"])):
        done = line("done", 10, 118 + step)
        assert kinds(page(block(*loop), block(done), block(line("see", 10, 300)), PROSE))[: len(found)] == found


@pytest.mark.parametrize(
    ("text", "writer", "kind"),
    [("26 Of Street", "head", "text"), ("26 Of Street", "layer", "code"), ("make install;", "head", "code")],
)
def test_a_lone_line_without_signs_that_pixels_take_for_fixed_width_type_is_text(text, writer, kind) -> None:
    made = line(text, 10, 100)
    made.styles, made.writer = [(0, len(text), "mono")], writer
    found = page(block(line("A line of text", 10, 60)), block(made), PROSE)
    assert kinds(found) == ["text", kind, "text"]
    assert bool(found.blocks[1].lines[0].styles) == (kind == "code")


def test_large_fixed_width_type_is_a_heading() -> None:
    title = line("Release notes", 10, 20, 24)
    title.styles = [(0, len(title.text), "mono")]
    assert kinds(page(block(title), PROSE)) == ["heading", "text"]


@pytest.mark.parametrize(
    ("word", "widths", "stays"),
    [
        ("filter", [8] * 6, True),
        ("filter", [7, 4, 4, 5, 8, 6], False),
        ("cause", [8] * 5, False),
        ("a_cause", [8] * 7, True),
    ],
)
def test_a_word_in_a_line_of_pixels_is_in_fixed_width_type_if_its_narrow_letters_are_wide(word, widths, stays) -> None:
    made = line(f"the {word} of it", 10, 100)
    x = made.characters[4][0]
    for k, width in enumerate(widths, 4):
        made.characters[k], x = (x, 100.0, x + width, 114.0), x + width
    made.styles, made.writer = [(4, 4 + len(word), "mono")], "head"
    assert bool(page(block(made), PROSE).lines[0].styles) == stays


@pytest.mark.parametrize(("words", "stays"), [("gauge on one edge", False), ("little trim of wit", True)])
@pytest.mark.parametrize("writer", ["head", "layer"])
def test_words_of_letters_of_one_width_do_not_prove_typewriter_type(words: str, stays: bool, writer: str) -> None:
    text = f"It was {words} that the crew had seen from the shore"
    lines = [line(text, 40, 100 + 20 * k) for k in range(4)]
    for one in lines:
        one.styles, one.writer = [(7, 7 + len(words), "mono")], writer
    found = page(block(*lines))
    assert (f"`{words}`" in Document("a", "m", [found]).markdown()) == (stays or writer == "layer")


@pytest.mark.parametrize(("narrower", "stays"), [(1.0, True), (0.95, True), (0.7, False)])
@pytest.mark.parametrize("writer", ["head", "layer"])
def test_words_whose_narrow_letters_are_narrow_are_no_typewriter_type(narrower, stays, writer) -> None:
    text, words = "It was little bundles of it that the crew had seen on the shore", "little bundles"
    lines = [line(text, 40, 100 + 20 * k) for k in range(4)]
    for one in lines:
        one.styles, one.writer = [(7, 7 + len(words), "mono")], writer
        one.characters = [
            (x0, y0, x0 + (x1 - x0) * (narrower if ch in "ilft" else 1), y1)
            for ch, (x0, y0, x1, y1) in zip(text, one.characters, strict=True)
        ]
    found = page(block(*lines))
    assert (f"`{words}`" in Document("a", "m", [found]).markdown()) == (stays or writer == "layer")


def test_a_listing_keeps_its_columns_and_empty_lines() -> None:
    texts = ["def load(path):", "    return 1  # none", "", "print(load(1))"]
    lines = []
    for k, text in enumerate(texts):
        words = text.split()
        one = line(" ".join(words), 30, 20 + 18 * k) if words else None
        if one is not None:  # blanks are one character, as they are read
            starts = [text.index(word) for word in words]
            at, places = 0, {}
            for word, start in zip(words, starts, strict=True):
                places[at] = 30.0 + STEP * start
                at += len(word) + 1
            one = line(one.text, 30 + STEP * starts[0], 20 + 18 * k, at=places)
            one.styles = [(0, len(one.text), "mono")]
            lines.append(one)
    (code, _) = page(block(*lines), PROSE).blocks
    assert (code.kind, code.text) == ("code", "\n".join(texts))


def test_text_above_a_long_listing_in_smaller_type_is_no_heading() -> None:
    code = [line("value = add(value, 1)", 10, 300 + 14 * k, 11) for k in range(12)]
    for one in code:
        one.styles = [(0, len(one.text), "mono")]
    found = page(block(line("Run it in this folder:", 10, 60)), block(*code))
    assert kinds(found) == ["text", "code"]


@pytest.mark.parametrize(("styles", "kind"), [([(2, 20, "mono")], "list"), ([(0, 20, "mono")], "code")])
def test_an_item_of_fixed_width_type_is_no_listing_where_its_mark_is_other_type(styles, kind) -> None:
    items = [line("– surfaceTreatment_k", 10, 100 + 18 * k) for k in range(3)]
    for one in items:
        one.styles, one.writer = list(styles), "layer"
    assert kinds(page(block(*items), PROSE))[0] == kind


@pytest.mark.parametrize("numbered", [True, False])
def test_line_numbers_in_boxes_beside_program_text_make_no_table(numbered) -> None:
    numbers = [str(k + 1) if numbered else f"a{k}" for k in range(8)]
    cells = [part for k, n in enumerate(numbers) for part in row(40 + 18 * k, (14, n), (60, f"call(part[{k * 7}]);"))]
    typed = [replace(one, writer="layer", styles=np.tile([False, False, True], (len(one.text), 1))) for one in cells]
    boxes = [((10.0, 38 + 18.0 * k, 40.0, 56 + 18.0 * k), 0xE0E0E0) for k in range(8)]
    frame = ((10.0, 38.0, 400.0, 38 + 18.0 * 8), 0xF8F8F8)
    blocks = lay_out(typed, Evidence(areas=[*boxes, frame]), (600, 800), STYLES)
    assert any(one.kind == "table" for one in blocks) != numbered


@pytest.mark.parametrize("typed", [False, True])
def test_numbers_of_lines_are_no_part_of_a_listing_in_other_type(typed) -> None:
    texts, first = ["puts(boats);", "}", "", "wait;"], 7
    lines = []
    for k, text in enumerate(texts):
        numbered = f"{first + k} {text}".strip()
        lines.append(line(numbered, 10, 100 + 18 * k))
        lines[-1].writer = "layer"
        start = 0 if typed else min(len(numbered), len(str(first + k)) + 1)
        lines[-1].styles = [(start, len(numbered), "mono")] if start < len(numbered) else []
    made = page(block(*lines), block(line("see", 10, 290)), PROSE).blocks[0]
    found = [f"{first + k} {text}".strip() for k, text in enumerate(texts)] if typed else texts
    assert (made.kind, [one.strip() for one in made.text.split("\n")]) == ("code", found)


def test_lines_from_pixels_on_the_ground_of_a_listing_are_in_fixed_width_type() -> None:
    texts = ["[listen]", "address = here", "port = 7041"]
    lines = [one for k, text in enumerate(texts) for one in row(60 + 20 * k, (20, text))]
    lines = [replace(one, styles=np.zeros((len(one.text), len(STYLES)), bool)) for one in lines]
    lines[0].styles[:, STYLES.index("mono")] = lines[1].styles[:, STYLES.index("mono")] = True
    typed = [one.styles[:, STYLES.index("mono")].all() for one in with_type_of_grounds(lines, [(10, 50, 400, 130)])]
    assert typed == [True] * 3
    for ground in ((10, 95, 400, 118), (10, 78, 400, 130)):  # a marked line; as much other type
        lines[1].styles[9:] = False
        assert not with_type_of_grounds(lines, [ground])[2].styles.any()
