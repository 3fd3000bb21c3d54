"""Headers, footers, page numbers and footnotes."""

from __future__ import annotations

import pytest

from tests.document.test_structure import HIGH, PROSE, block, kinds, line, page
from vary.document.elements import Block, Document, Line, Page
from vary.document.running_heads import mark_running_heads


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


@pytest.mark.parametrize(("numbers", "head"), [((1, 2), "header"), ((1, 3), "text")])
def test_two_pages_one_after_the_other_show_a_head_where_it_is_apart_from_the_text(numbers, head) -> None:
    pages = running_pages(3)
    for k, one in enumerate(pages):
        text = f"Lease of a boathouse, sheet {k + 1}" if k + 1 in numbers else "Sheet of pictures"
        one.blocks[0] = block(line(text, 10, 24))
    assert [kinds(pages_found)[0] for pages_found in mark_running_heads(pages)][numbers[0] - 1] == head
    assert kinds(list(mark_running_heads(pages))[1])[0] == head


@pytest.mark.parametrize(("head", "kind"), [("Plot  Trees  Felled", "table"), ("Plot  Trees  3", "header")])
def test_names_of_columns_that_stand_on_each_page_stay_in_their_table(head, kind) -> None:
    pages = running_pages(3)
    for one in pages:
        rows = [line(head, 10, 30), line("Alder  33  May", 10, 50)]
        one.blocks[0] = block(*rows)
        one.blocks[0].kind, one.blocks[0].cells = "table", [row.text.split("  ") for row in rows]
    assert all(found.blocks[0].kind == kind for found in mark_running_heads(pages))


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


@pytest.mark.parametrize(("cell", "note", "kind"), [
    ("11.8 *", "* outside of the range", "text"), ("–", "– does not call", "text"), ("–", "* outside of it", "list"),
    ("11.8", "- does not call", "list"),
])  # fmt: skip
def test_a_line_below_a_table_that_explains_the_mark_of_a_cell_is_no_list(cell, note, kind) -> None:
    table = block(line("Stop  Run", 10, 60), line(f"Quay  {cell}", 10, 82))
    table.kind, table.cells = "table", [["Stop", "Run"], ["Quay", cell]]
    found = page(table, block(line(note, 10, 120)), PROSE)
    assert kinds(found)[:2] == ["table", kind]
