"""Kinds of blocks by geometry: what place and size show, and no more."""

from __future__ import annotations

import pytest

from vary.document.elements import Block, Document, Line, Page
from vary.document.layout.running_heads import mark_running_heads
from vary.document.structure import find_structure

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
        ("As large as the text", 15, "text", 0),
        ("long " * 50, 28, "text", 0),
        ("12", 28, "text", 0),
        ("• an item", 14, "list", 0),
        ("(a) an item", 14, "list", 0),
        ("3. an item", 14, "list", 0),
        ("1986 was a year", 14, "text", 0),
        ("Figure 3: beside nothing", 14, "text", 0),
    ],
)
def test_headings_and_lists(text, high, kind, level) -> None:
    found = page(block(line(text, 10, 100, high)), PROSE)
    assert (found.blocks[0].kind, found.blocks[0].level) == (kind, level)
    assert found.blocks[1].kind == "text"


def running_pages(count: int, head: str = "A book of pages") -> list[Page]:
    pages = []
    for k in range(1, count + 1):
        blocks = [
            block(line(head, 10, 30), line(f"text that is {chr(96 + k)} alone", 10, 60)),
            PROSE,
            block(line(str(k), 300, 770)),
        ]
        pages.append(Page(k, "ok", 600, 800, blocks=blocks))
    return pages


def test_headers_and_footers_are_what_repeats_at_the_edges() -> None:
    pages = running_pages(3)
    marked = mark_running_heads(pages)
    for made, found in zip(pages, marked, strict=True):
        assert kinds(found) == ["header", "text", "text", "footer"]
        assert [one.text for one in found.lines] == [one.text for one in made.lines]
    assert [kinds(found) for found in mark_running_heads(list(marked))] == [kinds(found) for found in marked]
    assert [kinds(found) for found in mark_running_heads(running_pages(2))] == [["text", "text", "footer"]] * 2


def test_equal_lines_of_one_page_are_no_running_heads() -> None:
    """On a tall page the margins hold many lines, and those at neighbouring heights may be equal."""
    lines = [Line(f"{k}. Paid to the warden", (50.0, 30.0 * k, 450.0, 30.0 * k + 20), 1.0) for k in range(200)]
    page = Page(1, "ok", 500, 6000, blocks=[Block(lines, (50.0, 0.0, 450.0, 6000.0))])
    (marked,) = mark_running_heads([page])
    assert [block.kind for block in marked.blocks] == ["text"]


@pytest.mark.parametrize(
    ("pieces", "y", "kind"),
    [
        (["12"], 770, "footer"),
        (["- 373 -"], 770, "footer"),
        (["Page 3 of 10"], 20, "header"),
        (["xiv"], 765, "footer"),
        (["108", "Of the forms of ships"], 20, "header"),
        (["Of the forms  41"], 20, "header"),
        (["Rigging", "94", "Sails"], 20, "header"),
        (["All sums in pounds  41"], 770, "text"),
        (["February 22, 1996"], 770, "text"),
        (["1996"], 770, "text"),
        (["12", "14"], 20, "text"),
        (["12"], 300, "text"),
    ],
)
def test_a_page_number_in_the_margin_of_one_page(pieces, y, kind) -> None:
    row = [block(line(text, 10 + 250 * k, y)) for k, text in enumerate(pieces)]
    body = [block(line(f"words of the page, {chr(97 + k)}", 10, 400 + 30 * k)) for k in range(4)]
    (found,) = mark_running_heads([Page(1, "ok", 600, 800, blocks=[*row, *body])])
    count = 1 if kind == "header" else len(row)  # the pieces of a header are one block
    assert kinds(found) == [kind] * count + ["text"] * 4
    assert found.blocks[0].text.split() == " ".join(pieces if count == 1 else pieces[:1]).split()


@pytest.mark.parametrize(("high", "y"), [(40, 740), (14, 508)])
def test_a_large_number_and_one_close_to_the_text_are_text(high, y) -> None:
    body = [block(line("words of the page", 10, 400 + 30 * k)) for k in range(4)]
    pages = [Page(1, "ok", 600, 560 if y < 600 else 800, blocks=[*body, block(line("7", 10, y, high))])]
    (found,) = mark_running_heads(pages)
    assert kinds(found) == ["text"] * 5


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


def code(text: str, x: float, y: float) -> Line:
    made = line(text, x, y)
    made.styles = [(0, len(text), "mono")]
    return made


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


def test_a_listing_is_one_block_with_its_short_lines() -> None:
    listing = [code("def f(a):", 10, 100), code("    {", 10, 118), code("return a", 38, 136), code("}", 10, 154)]
    found = page(block(listing[0]), block(*listing[1:3]), block(listing[3]), block(line("see", 10, 200)), PROSE)
    assert kinds(found) == ["code", "text", "text"]
    assert found.blocks[0].text.split("\n")[-1] == "}"
    assert kinds(page(block(code("x", 10, 100)), PROSE)) == ["text", "text"]  # a word of code alone


def test_lines_of_a_listing_whose_type_is_not_seen_are_in_it() -> None:
    typed = [code("name: build", 10, 100), line("on: [push]", 10, 118), code("jobs: test", 10, 136), line("}", 10, 154)]
    found = page(block(*typed), block(line("see", 10, 200)), PROSE)
    assert kinds(found)[:2] == ["code", "text"]
    assert [one.text for one in found.blocks[0].lines] == [one.text for one in typed]
    apart = [code("$ make -j4", 10, 100), line("or else, for a test of it", 10, 130), code("$ make it", 10, 152)]
    assert kinds(page(block(*apart), PROSE))[:3] == ["code", "text", "code"]


def test_a_listing_that_fills_most_of_a_page_is_code_and_a_page_of_typewriter_type_is_text() -> None:
    listing = [code("while True: print(count)", 10, 40 + 18 * k) for k in range(12)]
    text = line("What the program does.", 10, 10)
    assert kinds(page(block(text), block(*listing))) == ["text", "code"]
    assert kinds(page(block(*listing))) == ["text"]


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


def raised(text: str, mark: str, *where: float, high: float = HIGH) -> Line:
    """A line of text with a raised mark in it, which is given in the text in braces."""
    before, after = text.split("{}")
    made = line(before + mark + after, *where, high=high)
    made.styles = [(len(before), len(before) + len(mark), "superscript")]
    return made


def note_page(number: int, mark: str = "1", text: str = "an old harbour{} of stone", note_high: float = 11) -> Page:
    made = page(
        block(*PROSE.lines[:4], raised(text, mark, 10, 372), *PROSE.lines[5:]),
        block(
            raised("{}A note in smaller type, which is long and", mark, 10, 700, high=note_high),
            line("runs on over another line of this note", 10, 714, high=note_high),
        ),
    )
    made.number = number
    return made


@pytest.mark.parametrize("mark", ["1", "12", "*", "†"])
def test_notes_with_a_mark_in_the_text_are_footnotes(mark: str) -> None:
    made = Document("a.pdf", "m", [note_page(1, mark)])
    assert kinds(made.pages[0]) == ["text", "footnote"]
    written = made.markdown()
    assert f"harbour[^{mark}] of stone" in written
    assert f"\n\n[^{mark}]: A note in smaller type, which is long and runs on" in written
    assert f"harbour<sup>{mark}</sup>" in made.html()


def test_labels_that_an_earlier_page_has_get_the_page_number() -> None:
    written = Document("a.pdf", "m", [note_page(1), note_page(2), note_page(3, "2")]).markdown()
    assert [written.count(f"harbour[^{label}]") for label in ("1", "2-1", "2")] == [1, 1, 1]
    assert [written.count(f"\n[^{label}]: ") for label in ("1", "2-1", "2")] == [1, 1, 1]


@pytest.mark.parametrize("other", [dict(text="area of x{} in all"), dict(note_high=HIGH)])
def test_powers_and_lines_of_the_text_size_are_no_footnotes(other: dict) -> None:
    made = note_page(1, "2", **other)
    assert kinds(made)[-1] == "text"
    assert "[^" not in Document("a.pdf", "m", [made]).markdown()


def test_notes_of_one_mark_are_left_as_they_are() -> None:
    first = note_page(1)
    twice = page(*first.blocks[:1], *(block(raised(f"{{}}Note {k}", "1", 10, 700 + 40 * k, high=11)) for k in (1, 2)))
    assert kinds(twice) == ["text", "text", "text"]


def test_two_notes_in_one_block_are_two() -> None:
    made = page(
        block(
            *PROSE.lines[:4],
            raised("an old harbour{} of stone", "1", 10, 372),
            raised("with ships{} and", "2", 10, 390),
        ),
        block(*(raised(f"{{}}Note {k} in smaller type", str(k), 10, 700 + 14 * k, high=11) for k in (1, 2))),
    )
    assert kinds(made) == ["text", "footnote", "footnote"]
    assert "[^2]: Note 2" in Document("a.pdf", "m", [made]).markdown()


def test_a_printed_footnote_mark_is_escaped() -> None:
    made = Document("a.pdf", "m", [page(block(line("as in [^1] and [^1]: there", 10, 300)))])
    assert r"\[^1] and \[^1\]: there" in made.markdown()


def test_a_full_stop_before_a_blank_is_a_bullet() -> None:
    items = [line(text, 40, 100 + 18 * k) for k, text in enumerate([". Copy the archive", ". Set the target"])]
    found = page(PROSE, block(*items))
    assert kinds(found)[-1] == "list"
    written = Document("a.png", "m", [found]).markdown()
    assert "- Copy the archive\n- Set the target" in written


def test_dots_of_a_leader_and_an_ellipsis_are_no_bullets() -> None:
    found = page(PROSE, block(line(". . . . . 12", 40, 500)), block(line("... and so on", 40, 600)))
    assert "list" not in kinds(found)


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


def test_an_addressee_in_bold_is_no_heading() -> None:
    address = block(
        bold("Deliver to", 10, 60), *(line(t, 10, 78 + 18 * k) for k, t in enumerate(("Shed 3", "Wenatchee")))
    )
    assert "heading" not in kinds(page(address, PROSE))


def test_a_numbered_line_in_bold_above_a_table_is_a_heading() -> None:
    table = Block([line("a 1", 10, 90)], (10, 90, 300, 140), "table", cells=[["a", "1"]])
    assert kinds(page(block(bold("3. Actions", 10, 60)), table, PROSE))[:2] == ["heading", "table"]
    assert kinds(page(block(bold("Actions", 10, 60)), table, PROSE))[:2] == ["text", "table"]


def test_text_above_a_long_listing_in_smaller_type_is_no_heading() -> None:
    code = [line("value = add(value, 1)", 10, 300 + 14 * k, 11) for k in range(12)]
    for one in code:
        one.styles = [(0, len(one.text), "mono")]
    found = page(block(line("Run it in this folder:", 10, 60)), block(*code))
    assert kinds(found) == ["text", "code"]


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
