"""Kinds of blocks by geometry: what place and size show, and no more."""

from __future__ import annotations

import pytest

from vary.document.elements import Block, Document, Line, Page
from vary.document.structure import find_structure, mark_title

STEP, HIGH = 7, 14  # px, of a character


def line(text: str, x: float, y: float, high: float = HIGH, at: dict[int, float] | None = None) -> Line:
    """A line whose characters stand STEP apart; `at`: where the character k, and what follows, stands."""
    boxes, left = [], x
    for k in range(len(text)):
        left = (at or {}).get(k, left)
        boxes.append((left, y, left + STEP * high / HIGH, y + high))
        left += STEP * high / HIGH
    return Line(text, (x, y, boxes[-1][2], y + high), 0.9, boxes, [0.9] * len(text))


def block(*lines: Line) -> Block:
    x0, y0, x1, y1 = zip(*(one.box for one in lines), strict=True)
    return Block(list(lines), (min(x0), min(y0), max(x1), max(y1)))


def page(*blocks: Block) -> Page:
    made = Page(1, "ok", 600, 800, blocks=list(blocks))
    find_structure(made)
    return made


PROSE = block(*(line("words that run on and on, and on they run " * 2, 10, 300 + 18 * k) for k in range(8)))


def kinds(found: Page) -> list[str]:
    return [one.kind for one in found.blocks]


@pytest.mark.parametrize(
    ("text", "high", "kind", "level"),
    [
        ("A title", 28, "heading", 1),
        ("A section", 20, "heading", 2),
        ("A smaller one", 17, "heading", 3),
        ("4 A smaller one", 17, "heading", 2),
        ("4.1 A smaller one", 17, "heading", 3),
        ("As large as the text", 15, "text", 0),
        ("long " * 50, 28, "text", 0),
        ("12", 28, "text", 0),
        ("• an item", 14, "list", 0),
        ("♦ an item", 14, "list", 0),
        ("(a) an item", 14, "list", 0),
        ("(iii) an item", 14, "list", 0),
        ("iv. An item", 14, "list", 0),
        ("3. an item", 14, "list", 0),
        ("1986 was a year", 14, "text", 0),
        ("Figure 3: beside nothing", 14, "text", 0),
    ],
)
def test_headings_and_lists(text, high, kind, level) -> None:
    found = page(block(line(text, 10, 100, high)), PROSE)
    assert (found.blocks[0].kind, found.blocks[0].level) == (kind, level)
    assert found.blocks[1].kind == "text"


def test_a_hyphen_of_an_address_stays_at_the_end_of_a_line() -> None:
    lines = [
        line("Write to the office, books@port-", 10, 10),
        line("end.example or, later, to the pre-", 10, 28),
        line("sent one of the port.", 10, 46),
    ]
    assert "books@port-end.example or, later, to the present" in block(*lines).text


@pytest.mark.parametrize(
    ("end", "number", "kinds_"), [("not", 20, ["text"]), ("these:", 20, ["text", "list"]), ("not", 1, ["text", "list"])]
)
def test_a_number_that_ends_a_sentence_begins_no_item(end, number, kinds_) -> None:
    lines = [
        line(f"The deck has room for exactly fourteen of them, as the old one had, {end}", 10, 100),
        line(f"{number}. Lorries go by freight.", 10, 118),
    ]
    found = page(block(*lines), PROSE)
    assert [one.kind for one in found.blocks[:-1]] == kinds_
    assert ("\n" in found.blocks[0].text) == (len(kinds_) > 2)


def test_wrapped_items_are_one_item() -> None:
    """Whether a line hangs below the text of its item or returns to the margin, in one block or in several."""
    hanging = [line("● How are wet pots carried", 10, 100), line("up to the loft?", 24, 118)]
    back = [line("1. Ring the desk before noon, for the clerk goes", 10, 154), line("out to lunch.", 10, 172)]
    short = line("2. Boats", 10, 190)
    found = page(block(hanging[0]), block(hanging[1]), block(*back, short), PROSE)
    assert [one.kind for one in found.blocks] == ["list", "text"]
    assert found.blocks[0].text.split("\n") == [
        "● How are wet pots carried up to the loft?",
        "1. Ring the desk before noon, for the clerk goes out to lunch.",
        "2. Boats",
    ]


def test_text_after_a_list_is_no_item() -> None:
    items = [
        line("• an item that is as wide as the column allows it to be, so it is full", 10, 100),
        line("• short", 10, 118),
    ]
    found = page(block(*items), block(line("A paragraph that begins at the margin.", 10, 154)), PROSE)
    assert kinds(found) == ["list", "text", "text"]


def test_lists_are_nested_by_their_indent() -> None:
    items = [line("• one", 10, 100), line("• within", 30, 118), line("1. deeper", 50, 136), line("• two", 10, 154)]
    found = page(block(*items), PROSE)
    assert Document("a", "m", [found]).markdown().split("\n\n")[1] == "- one\n  - within\n    1. deeper\n- two"


@pytest.mark.parametrize(("indent", "lists"), [(30, 1), (0, 3)])
def test_nested_items_may_have_smaller_type(indent, lists) -> None:
    items = [
        ("• Two depots", 0, 14),
        ("• Kirk", indent, 11.5),
        ("• Low Fell", indent, 11.5),
        ("• Sorting on Sundays", 0, 14),
    ]
    blocks = [block(line(text, 10 + x, 100 + 26 * k, high)) for k, (text, x, high) in enumerate(items)]
    found = page(*blocks, PROSE)
    assert kinds(found) == ["list"] * lists + ["text"]


def test_letters_with_a_full_stop_begin_items_before_a_capital() -> None:
    found = page(block(line("a. Saws go to the rack.", 10, 10), line("b. Ropes are coiled.", 10, 28)), PROSE)
    assert found.blocks[0].kind == "list"
    for text in ("p. 12 of the register", "a. m. and p. m.", "x. Unknown"):
        assert page(block(line(text, 10, 10)), PROSE).blocks[0].kind == "text"


def test_text_in_larger_type_than_the_references_is_no_heading() -> None:
    text = block(*(line("the text of the page runs on and on, line by line ", 10, 60 + 20 * k, 17) for k in range(10)))
    notes = block(*(line("a reference in smaller type, and there are many " * 2, 10, 300 + 18 * k) for k in range(20)))
    found = page(block(line("A heading", 10, 20, 24)), *(block(one) for one in text.lines), notes)
    assert kinds(found) == ["heading", *["text"] * 10, "text"]


def bold(text: str, x: float, y: float) -> Line:
    made = line(text, x, y)
    made.styles = [(0, len(text), "bold")]
    return made


@pytest.mark.parametrize(
    ("title", "kind", "level"),
    [
        ("4 Boats and Lamps", "heading", 2),
        ("4.1 Cutting the Almanac", "heading", 3),
        ("Lesson One", "heading", 3),
        ("Note:", "text", 0),
        ("Total  12  14", "text", 0),
        ("Table 3 of the counts", "text", 0),
        ("12", "text", 0),
    ],
)
def test_bold_lines_above_text_are_headings(title, kind, level) -> None:
    text = [line("the text below runs on over a line and", 10, 118), line("ends here.", 10, 136)]
    for blocks in ([block(bold(title, 10, 100)), block(*text)], [block(bold(title, 10, 100), *text)]):
        found = page(*blocks, PROSE)
        assert found.lines[0].text == title
        assert (found.blocks[0].kind, found.blocks[0].level) == (kind, level)


@pytest.mark.parametrize("start", [0, 3])
def test_a_bold_line_with_a_number_is_a_heading_though_it_looks_like_an_item(start) -> None:
    title = line("4. Conclusion", 10, 100)
    title.styles = [(start, 13, "bold")]
    text = [line("the text below runs on over a line and", 10, 126), line("ends here.", 10, 144)]
    assert [(one.kind, one.level) for one in page(block(title), block(*text), PROSE).blocks[:2]] == [
        ("heading", 2),
        ("text", 0),
    ]


@pytest.mark.parametrize(
    ("title", "second", "level"),
    [("Settings", "A section", 1), ("2 Settings", "A section", 2), ("Settings", "A larger section, by far", 2)],
)
def test_the_heading_that_begins_a_document_is_its_title_if_it_is_the_largest(title, second, level) -> None:
    below = line(second, 10, 160, 21 if "larger" in second else 17)
    made = page(block(line("12 May 2031", 10, 20)), block(line(title, 10, 100, 20)), block(below), PROSE)
    mark_title(made)
    assert [one.level for one in made.blocks[:2]] == [0, level]


def test_bold_items_of_a_list_are_no_headings() -> None:
    items = [bold(f"{k + 1}. Lamps", 10, 100 + 18 * k) for k in range(3)]
    assert kinds(page(*map(block, items), PROSE)) == ["list", "text"]


def test_a_bold_word_above_an_amount_is_no_heading() -> None:
    found = page(block(bold("Sum of this invoice", 10, 100)), block(line("$4.22", 10, 130)), PROSE)
    assert kinds(found) == ["text", "text", "text"]


def test_a_sentence_goes_on_in_the_next_column() -> None:
    left = block(line("the ladder was too short and the path that is often ta-", 10, 700))
    note = block(line("5 a note in small type that says more", 10, 760, 11))
    right = block(line("ken leads past the kiln.", 320, 100))
    new = block(line("Another paragraph begins here.", 320, 140))
    found = page(PROSE, left, note, right, new)
    assert [one.continues for one in found.blocks] == [False, False, False, True, False]
    shown = Document("a", "m", [found]).markdown().split("\n\n")
    assert shown[2] == "the ladder was too short and the path that is often taken leads past the kiln."
    assert shown[3].startswith("5 a note")
    assert "often taken leads" in found.text
    assert [one.text for one in found.blocks[3].lines] == ["ken leads past the kiln."]


def test_a_full_stop_before_a_blank_is_a_bullet() -> None:
    items = [line(text, 40, 100 + 18 * k) for k, text in enumerate([". Copy the archive", ". Set the target"])]
    found = page(PROSE, block(*items))
    assert kinds(found)[-1] == "list"
    written = Document("a.png", "m", [found]).markdown()
    assert "- Copy the archive\n- Set the target" in written


def test_dots_of_a_leader_and_an_ellipsis_are_no_bullets() -> None:
    found = page(PROSE, block(line(". . . . . 12", 40, 500)), block(line("... and so on", 40, 600)))
    assert "list" not in kinds(found)


def test_an_addressee_in_bold_is_no_heading() -> None:
    address = block(
        bold("Deliver to", 10, 60), *(line(t, 10, 78 + 18 * k) for k, t in enumerate(("Shed 3", "Wenatchee")))
    )
    assert "heading" not in kinds(page(address, PROSE))


def test_a_numbered_line_in_bold_above_a_table_is_a_heading() -> None:
    table = Block([line("a 1", 10, 90)], (10, 90, 300, 140), "table", cells=[["a", "1"]])
    assert kinds(page(block(bold("3. Actions", 10, 60)), table, PROSE))[:2] == ["heading", "table"]
    assert kinds(page(block(bold("Actions", 10, 60)), table, PROSE))[:2] == ["text", "table"]


def test_labels_in_bold_begin_lines() -> None:
    lines = [line("Present: A. Dunmore, F. Iqbal, S. Lindgren and T. Moss", 10, 60), line("Apologies: R. Peel", 10, 78)]
    for one in lines:
        one.styles = [(0, one.text.index(":") + 1, "bold")]
    assert block(*lines).text.count("\n") == 1


def test_items_with_small_letters_and_names_behind_numbers() -> None:
    lines = [line("a. leave the desk at once", 10, 60), line("b. call the steward", 10, 78)]
    assert kinds(page(block(*lines), PROSE))[0] == "list"
    words = "[1] K. Ito and S. Bauer. On the place of loggers in nets"
    entry = block(line(words, 10, 60), line("under demand that nobody knows", 10 + 4 * STEP, 78))
    (found, _) = page(entry, PROSE).blocks
    assert (found.kind, len(found.lines)) == ("list", 2)


def test_what_stands_beside_a_title_of_two_rows_is_read_before_it() -> None:
    rows = [block(line("Mending, drying and", 10, 20, 28)), block(line("counting nets", 10, 52, 28))]
    found = page(rows[0], block(line("12", 400, 24, 20)), rows[1], PROSE)
    assert [(one.kind, one.text) for one in found.blocks[:2]] == [
        ("text", "12"), ("heading", "Mending, drying and counting nets")]  # fmt: skip
    apart = page(rows[0], block(line("12", 400, 24, 20)), block(line("Counting nets", 10, 120, 28)), PROSE)
    assert kinds(apart)[:3] == ["heading", "text", "heading"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("1.1.1 In winter", "heading"), ("2.1.1 In winter", "text"), ("1.1.1 In winter they eat hay.", "text"),
     ("1.1.1 In winter 14", "text")],
)  # fmt: skip
def test_a_number_below_that_of_a_heading_makes_a_heading(text: str, kind: str) -> None:
    found = page(
        block(line("1.1 Geese", 10, 20, 20)), PROSE, block(line(text, 10, 480)), block(line("Hay is " * 9, 10, 510))
    )
    assert found.blocks[2].kind in (kind, "list" if kind == "text" else kind)
    assert found.blocks[2].level == (4 if kind == "heading" else 0)


def test_quotations_and_figures_with_units_in_large_type_are_no_headings() -> None:
    quote = block(line("“The sea does not read any timetables.”", 10, 60, 21))
    figure = block(line("2.1 M", 10, 120, 28))
    head = block(line("Ferry fares rise", 10, 200, 21))
    assert [one.kind for one in page(quote, figure, head, PROSE).blocks] == ["text", "text", "heading", "text"]


def test_the_characters_of_a_formula_in_a_line_do_not_make_it_a_heading() -> None:
    item = line("(iii) Compute \\int_{-1}^{1} f(x) dx", 10, 60)
    at = item.text.index("\\")
    item.characters[at:] = [(x0, 50.0, x1, 90.0) for x0, _, x1, _ in item.characters[at:]]
    item.styles = [(at, len(item.text), "math")]
    assert item.height == HIGH
    assert kinds(page(block(item), PROSE)) == ["list", "text"]


def test_a_heading_that_goes_on_with_a_small_letter_is_one() -> None:
    found = page(
        block(line("Bell of Saint Orla to be", 10, 60, 22)), block(line("hung again in spring", 10, 86, 19)), PROSE
    )
    assert [(one.kind, one.text) for one in found.blocks[:-1]] == [
        ("heading", "Bell of Saint Orla to be hung again in spring")
    ]


def test_a_formula_that_was_read_as_text_is_no_heading() -> None:
    assert kinds(page(block(line("= ws3; +(K3).", 10, 60, 20)), PROSE)) == ["text", "text"]
    assert kinds(page(block(line("Windmills (2)", 10, 60, 20)), PROSE)) == ["heading", "text"]


def test_a_centred_title_in_light_type_is_level_1_though_bold_sections_look_larger() -> None:
    sections = [block(line(text, 10, 120 + 400 * k, 24)) for k, text in enumerate(["Abstract", "3 Results"])]
    for x, writer, level in ((180, "head", 1), (10, "head", 2), (180, "layer", 2)):
        title = line("On the Settling of Silt", x, 60, 20)
        title.writer = writer  # a layer knows the sizes
        made = page(block(title), sections[0], PROSE, sections[1])
        mark_title(made)
        assert made.blocks[0].level == level


def test_authors_with_white_between_them_are_no_heading() -> None:
    title, authors = (
        block(line("On the Settling of Silt", 100, 30, 24)),
        block(line("M. Aldous  P. Q. Rennick", 90, 80, 18)),
    )
    assert kinds(page(title, authors, PROSE)) == ["heading", "text", "text"]


def test_bold_lines_whose_numbers_follow_one_another_are_headings_beside_lists() -> None:
    words = "The chair opens the meeting and greets all members, old and new, one by one."
    item = block(line("• Fenna asks for the dog", 30, 94), line("• Bram needs a rower", 30, 112))
    head = block(bold("2. Questions", 10, 74))
    first = [bold("1. Opening", 10, 30), line(words, 10, 50)]
    for blocks in ([block(*first)], [block(one) for one in first]):
        found = page(*blocks, block(bold("2. Questions", 10, 74)), item, PROSE)
        assert [one.text for one in found.blocks if one.kind == "heading"] == ["1. Opening", "2. Questions"]
    found = page(block(bold("1. Boiler", 10, 30)), block(line("• Close valve A", 30, 50)), head, item, PROSE)
    assert "heading" not in kinds(found)[:-1]
