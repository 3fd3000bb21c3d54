"""Rows -> paragraphs, entries with hanging indents, items with drawn bullets; short columns; lines of authors."""

from __future__ import annotations

import pytest

from tests.document import test_structure as lines_of
from tests.document.test_layout import PROSE, laid_out, line, row, tables
from vary.document.elements import Document
from vary.document.evidence import Evidence
from vary.document.lines import TextLine

WIDE = "words that fill the line of an entry up to the right edge of it"


def texts(*lines, evidence: Evidence | None = None) -> list[str]:
    return [block.text for block in laid_out(*lines, evidence=evidence).blocks[:-1]]


def test_entries_with_hanging_indents_are_paragraphs_of_their_own() -> None:
    names = ["Adams 1931", "Borg 1954", "Crane 1988"]
    lines = [line(f"{name} {WIDE}", 10, 60 + 36 * k) for k, name in enumerate(names)]
    lines += [line("and its last words.", 34, 78 + 36 * k) for k in range(3)]
    assert texts(*lines) == [f"{name} {WIDE} and its last words." for name in names]


def test_an_entry_apart_from_others_keeps_its_indented_row() -> None:
    entry = [line(f"Adams 1931 {WIDE}", 10, 60), line("and its last words.", 34, 78)]
    assert texts(*entry) == [f"Adams 1931 {WIDE} and its last words."]
    paragraph = [line(f"Adams 1931 {WIDE}.", 10, 60), line("Another begins.", 34, 78)]
    assert len(texts(*paragraph)) == 2


@pytest.mark.parametrize("indent", [30, 40])
def test_clauses_keep_their_rows_that_hang_behind_their_numbers(indent) -> None:
    clause = f"{WIDE} and its words."
    lines = [
        line("1.1", 10, 60),
        line(clause, 50, 60),
        line(clause, 10 + indent, 78),
        line("The end.", 10 + indent, 96),
    ]
    lines += [line("1.2", 10, 132), line("Another one.", 50, 132)]
    read = [" ".join(text.split()) for text in texts(*lines)]
    assert read == [f"1.1 {clause} {clause} The end.", "1.2 Another one."]


@pytest.mark.parametrize(("high", "apart"), [(16.2, True), (15.0, False)])
def test_a_short_row_in_slightly_larger_type_close_above_text_is_a_heading(high, apart) -> None:
    rows = [
        line("Heavy plummets", 10, 60 - high + 14, high),
        *(line(f"{WIDE} and its words.", 10, 78 + 18 * k) for k in range(3)),
    ]
    page = laid_out(*rows)
    assert (page.blocks[0].text == "Heavy plummets") == apart
    assert (page.blocks[0].kind == "heading") == apart


def letter(first: str) -> list[TextLine]:
    """Single rows far apart, and two paragraphs of close rows, as in letters."""
    tops = [(first, 60), ("Dear Sir or Madam,", 96), (f"A {WIDE}", 132), (f"b {WIDE}", 150), ("Some words.", 168)]
    tops += [(f"C {WIDE}", 204), (f"d {WIDE}", 222), ("Its end.", 240), ("Yours faithfully,", 276), ("M. Hazel", 312)]
    return [line(text, 10, top) for text, top in tops]


def test_single_rows_of_a_letter_are_paragraphs_of_their_own() -> None:
    read = texts(*letter("Mooring no. 118"))
    assert read[:2] == ["Mooring no. 118", "Dear Sir or Madam,"]
    assert read[2:4] == [f"A {WIDE} b {WIDE} Some words.", f"C {WIDE} d {WIDE} Its end."]


def test_indented_first_lines_begin_paragraphs() -> None:
    lines = [line(f"{k} {WIDE}", 34 if k % 3 == 0 else 10, 60 + 18 * k) for k in range(9) if k % 3 < 2]
    lines += [line("and its last words.", 10, 60 + 18 * k) for k in (2, 5, 8)]
    assert [text[:1] for text in texts(*lines)] == ["0", "3", "6"]


def test_a_term_is_not_part_of_the_meaning_above_it() -> None:
    lines = []
    for k, name in enumerate(("Gallery", "Adit", "Kerf")):
        lines += [line(name, 10, 60 + 54 * k), line(WIDE, 40, 78 + 54 * k), line("to its end.", 40, 96 + 54 * k)]
    assert texts(*lines) == [text for name in ("Gallery", "Adit", "Kerf") for text in (name, f"{WIDE} to its end.")]


def test_three_short_lines_next_to_three_are_two_columns() -> None:
    left, right = ["Ms Jo Farrow", "8 Quay Road", "Port of Ellis"], ["Sort code 20-11", "Account 66 94", "Sheet C of D"]
    lines = [line(text, x, 60 + 18 * k) for x, some in ((10, left), (420, right)) for k, text in enumerate(some)]
    assert [one.text for one in laid_out(*lines).lines[:6]] == left + right


def test_amounts_are_no_column_of_text() -> None:
    items = [("Rye loaf", "7.80"), ("Plum tart", "3.45"), ("Roll", "4.20")]
    lines = [one for k, (name, sum_) in enumerate(items) for one in row(60 + 18 * k, (10, name), (520, sum_))]
    page = laid_out(*lines)
    assert tables(page) or [one.text for one in page.lines[:3]] == [f"{name}  {sum_}" for name, sum_ in items]


@pytest.mark.parametrize("drawn", ["drawings", "areas"])
def test_drawn_bullets_are_list_marks(drawn) -> None:
    items = [("rope", 40.0), ("two lamps", 40.0), ("with batteries", 70.0), ("whistle", 40.0)]
    lines = [line(text, x, 60 + 20 * k) for k, (text, x) in enumerate(items)]
    boxes = [(x - 16, 65.0 + 20 * k, x - 11, 70.0 + 20 * k) for k, (_, x) in enumerate(items)]
    evidence = Evidence(drawings=boxes) if drawn == "drawings" else Evidence(areas=[(box, 0) for box in boxes])
    page = laid_out(*lines, evidence=evidence)
    assert "- rope\n- two lamps\n  - with batteries\n- whistle" in Document("a", "m", [page]).markdown()
    assert all(len(one.characters) == len(one.text) for one in page.lines)


@pytest.mark.parametrize("ground", [(0.0, 0.0, 600.0, 800.0), (10.0, 50.0, 160.0, 130.0)])
def test_drawn_bullets_on_a_ground_are_list_marks(ground) -> None:
    lines = [line(text, 40, 60 + 20 * k) for k, text in enumerate(("rope", "two lamps", "whistle"))]
    areas = [(ground, 40), *(((24.0, 65.0 + 20 * k, 29.0, 70.0 + 20 * k), 250) for k in range(3))]
    page = laid_out(*lines, evidence=Evidence(areas=areas))
    assert "- rope\n- two lamps\n- whistle" in Document("a", "m", [page]).markdown()


def test_a_mark_in_a_cell_of_a_table_is_no_bullet() -> None:
    areas = [((10.0, 56.0, 160.0, 80.0), 40), ((24.0, 65.0, 29.0, 70.0), 250)]
    assert laid_out(line("Lamps", 40, 60), evidence=Evidence(areas=areas)).blocks[0].text == "Lamps"


def test_a_shape_that_is_no_bullet_adds_nothing() -> None:
    shapes = [(4.0, 62.0, 34.0, 70.0), (24.0, 90.0, 29.0, 95.0), (44.0, 64.0, 49.0, 69.0)]
    shapes += [(24.0, 64.0, 29.0, 69.0), (27.0, 60.0, 32.0, 70.0)]  # parts of an icon
    page = laid_out(line("rope", 40, 60), evidence=Evidence(drawings=shapes))
    assert page.blocks[0].text == "rope"
    assert len(page.blocks[-1].lines) == len(PROSE)


@pytest.mark.parametrize(
    "text",
    [
        "Marta Oliveira, Jens Falk and Ruth Adeyemi",
        "marta@mines.example",
        "Interest is paid at the end of each year.",
        "12 March 2031",
        "Mai 2031",
    ],
)
def test_authors_and_sentences_below_a_title_are_no_headings(text) -> None:
    title = lines_of.block(lines_of.line("Creep of wet slate", 10, 60, 28))
    found = lines_of.page(title, lines_of.block(lines_of.line(text, 10, 110, 17)), lines_of.PROSE)
    assert lines_of.kinds(found)[:2] == ["heading", "text"]


def test_centred_rows_of_a_title_are_one_heading() -> None:
    title = [line("Tides in harbours:", 120, 20, 28), line("Measured with long ropes and lamps", 8, 57, 28)]
    assert texts(*title) == ["Tides in harbours: Measured with long ropes and lamps"]
    apart = [title[0], line("A further and another heading here", 8, 75, 28)]
    left = [line("Tides in harbours:", 8, 20, 28), title[1]]
    for rows in (apart, left):
        assert len(texts(*rows)) == 2


def test_a_section_below_a_title_is_a_heading() -> None:
    title = lines_of.block(lines_of.line("Creep of wet slate", 10, 60, 28))
    found = lines_of.page(title, lines_of.block(lines_of.line("Loads and their causes", 10, 110, 20)), lines_of.PROSE)
    assert lines_of.kinds(found)[:2] == ["heading", "heading"]


@pytest.mark.parametrize(("indent", "kind"), [(0, "heading"), (30, "text")])
def test_a_bold_term_above_its_indented_meaning_is_no_heading(indent, kind) -> None:
    term = lines_of.line("Gallery", 10, 60)
    term.styles = [(0, 7, "bold")]
    meaning = [lines_of.line("words that say what it is " * 2, 10 + indent, 78 + 18 * k) for k in range(2)]
    found = lines_of.page(lines_of.block(term), lines_of.block(*meaning), lines_of.PROSE)
    assert found.blocks[0].kind == kind


def markdown(*lines: TextLine, evidence: Evidence | None = None) -> str:
    return Document("a", "m", [laid_out(*lines, evidence=evidence)]).markdown()


def test_points_at_the_right_edge_stand_behind_the_last_words_of_their_question() -> None:
    rows = [line(f"2. {WIDE}", 10, 60), line("(6 points)", 460, 60)]
    rows += [line("and its end?", 10, 78), line("3. Draw it.", 10, 96), line("[4]", 460, 96)]
    assert f"\n2. {WIDE} and its end? (6 points)\n3. Draw it. [4]\n" in markdown(*rows)
    ends = [line(f"2. {WIDE}.", 10, 60), line("(6 points)", 460, 60), line("And another.", 10, 78)]
    assert f"2. {WIDE}. (6 points)" in markdown(*ends)


def test_a_lone_o_before_items_is_a_bullet() -> None:
    items = [
        line("• Wool blankets", 10, 60),
        line("o grey ones", 34, 78),
        line("o", 34, 96),
        line("white ones", 52, 96),
    ]
    assert "- Wool blankets\n  - grey ones\n  - white ones" in markdown(*items)
    prose = [line(f"{WIDE} que", 10, 60), line(f"o barco {WIDE}", 10, 78), line("o mar.", 10, 96)]
    assert "o barco" in markdown(*prose)


def test_text_in_a_frame_beside_its_picture_is_read() -> None:
    frame = [(300, 20, 500, 21), (300, 260, 500, 261), (300, 20, 301, 261), (500, 20, 501, 261)]
    evidence = Evidence(rules=frame, pictures=[(302, 50, 499, 160)])
    notes = [
        line(text, 310, 170 + 20 * k)
        for k, text in enumerate(("Mill at Saltwick", "Type of water mill", "Undershot wheel"))
    ]
    assert "Type of water mill" in markdown(*notes, evidence=evidence)
    ticks = [line(text, 310, 170 + 20 * k) for k, text in enumerate(("0.5", "1.0", "1.5"))]
    assert "1.0" not in markdown(*ticks, evidence=evidence)


PREMISES = "1.1 “Premises” means the boathouse with its slip and its walls"


@pytest.mark.parametrize(("first", "second", "count"), [
    (f"{PREMISES}.", "1.2 “Rent” means the yearly sum", 2), (f"{PREMISES}.", "1.2 litres of it were sold", 1),
    (f"{PREMISES} . . . .", "1.2 Rent of the boathouse", 1),
])  # fmt: skip
def test_a_clause_after_the_end_of_a_sentence_is_a_paragraph(first, second, count) -> None:
    assert len(texts(line(first, 10, 60), line(second, 10, 78))) == count
