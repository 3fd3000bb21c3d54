"""Paragraphs that go on over columns and pages are joined in texts; with `join=False` lines stay lines."""

from __future__ import annotations

import json

import pytest

from tests.pdfs import pdf_of, show
from vary.cli import main
from vary.document.elements import Block, Document, Line, Page
from vary.document.formats.writers import WRITERS
from vary.document.running_text import mark_page_joins
from vary.reading.runs.batch import read_all

HIGH = 14.0


def block(*texts: str, kind: str = "text", y: float = 100.0, high: float = HIGH) -> Block:
    lines = [Line(text, (50, y + 20 * k, 500, y + 20 * k + high), 0.9) for k, text in enumerate(texts)]
    return Block(lines, (50, y, 500, y + 20 * len(texts)), kind)


def document(*pages: list[Block], dpi: tuple[float, ...] = ()) -> Document:
    made = [
        Page(k, "ok", 600, 800, dpi=dpi[k - 1] if dpi else 100.0, blocks=blocks) for k, blocks in enumerate(pages, 1)
    ]
    return Document("a.pdf", "m", list(mark_page_joins(made)))


def texts_at_offsets(found: Document) -> list[str]:
    text = found.text()
    return [text[at : at + 12] for _, at in found.to_dict()["offsets"]]


HEADER = block("Harbour ledger 12", kind="header", y=10)
FOOTER = block("Page 12", kind="footer", y=780)
FIRST = block("The pilots wait beyond the buoy and", y=400)
SECOND = block("watch the tide. No ship may leave.")


def test_a_sentence_goes_on_over_a_page() -> None:
    found = document([block("One."), FIRST, FOOTER], [HEADER, SECOND, block("Three.", y=300)])
    assert [[one.continues for one in page.blocks] for page in found.pages] == [[False] * 3, [False, True, False]]
    assert found.text() == (
        "One.\n\nPage 12\n\nThe pilots wait beyond the buoy and watch the tide. No ship may leave."
        "\n\nHarbour ledger 12\n\nThree."
    )
    assert found.markdown() == (
        "<!-- page 1 -->\n\nOne.\n\n<!-- footer: Page 12 -->\n\nThe pilots wait beyond the buoy and <!-- page 2 --> "
        "watch the tide. No ship may leave.\n\n<!-- header: Harbour ledger 12 -->\n\nThree."
    )
    assert texts_at_offsets(found) == ["One.\n\nPage 1", "watch the ti"]
    assert '<p class="continues">watch the tide.' in found.html()


def test_a_divided_word_is_whole_before_the_mark_of_the_page() -> None:
    found = document([block("The harbour has many pi-")], [block("lots who wait.")])
    assert found.text() == "The harbour has many pilots who wait."
    assert found.markdown() == "<!-- page 1 -->\n\nThe harbour has many pilots <!-- page 2 --> who wait."


def test_a_paragraph_goes_on_over_three_pages() -> None:
    middle = block("words that fill a page and")
    found = document([FIRST], [HEADER, middle, FOOTER], [block("end here."), block("Next.", y=300)])
    assert found.markdown() == (
        "<!-- page 1 -->\n\nThe pilots wait beyond the buoy and <!-- page 2 --> words that fill a page and "
        "<!-- page 3 --> end here.\n\n<!-- header: Harbour ledger 12 -->\n\n<!-- footer: Page 12 -->\n\nNext."
    )
    assert texts_at_offsets(found) == ["The pilots w", "words that f", "end here.\n\nH"]


def test_notes_and_figures_of_the_page_come_before_the_paragraph() -> None:
    figure = Block([], (50, 500, 400, 700), "figure")
    found = document([FIRST, figure, block("Fig. 2. The buoy", kind="caption")], [SECOND])
    assert found.markdown() == (
        "<!-- page 1 -->\n\n<!-- figure -->\n\nFig. 2. The buoy\n\n"
        "The pilots wait beyond the buoy and <!-- page 2 --> watch the tide. No ship may leave."
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([block("A sentence ends.")], [SECOND]),
        ([FIRST], [block("Whole sentences begin.")]),
        ([FIRST, block("Chapter Two", kind="heading")], [SECOND]),
        ([FIRST], [block("Chapter Two", kind="heading"), SECOND]),
        ([FIRST], [block("small type of another kind", high=10)]),
        ([FIRST], [block("large type of another kind", high=20)]),
        ([], [SECOND]),
    ],
)
def test_other_pages_begin_anew(first, second) -> None:
    found = document(first, second)
    assert not any(one.continues for page in found.pages for one in page.blocks)
    assert "\n\n<!-- page 2 -->\n\n" in found.markdown()


def test_pages_that_are_lost_or_not_neighbours_are_not_joined() -> None:
    pages = [Page(1, "ok", 600, 800, blocks=[FIRST]), Page(3, "ok", 600, 800, blocks=[SECOND])]
    assert "\n\n<!-- page 3 -->\n\n" in Document("a.pdf", "m", list(mark_page_joins(pages))).markdown()
    pages[1] = Page(2, "truncated", 600, 800, blocks=[SECOND])
    assert "\n\n<!-- page 2 -->\n\n" in Document("a.pdf", "m", list(mark_page_joins(pages))).markdown()


def test_type_is_compared_at_the_resolution_of_each_page() -> None:
    large = Block([Line(SECOND.text, (100, 200, 1000, 200 + 2 * HIGH), 0.9)], (100, 200, 1000, 240))
    assert document([FIRST], [large], dpi=(100.0, 200.0)).pages[1].blocks[0].continues
    assert not document([FIRST], [large], dpi=(100.0, 100.0)).pages[1].blocks[0].continues


def test_the_written_json_has_both_blocks_and_the_offsets() -> None:
    found = document([FIRST], [SECOND], [block("Three.")])
    written = json.loads("".join(WRITERS["json"]("a.pdf", "m", iter(found.pages))))
    assert written["offsets"] == found.to_dict()["offsets"]
    assert written["pages"][1]["blocks"][0]["continues"] is True
    assert written["pages"][1]["text"] == SECOND.text


def test_columns_are_one_paragraph_in_html() -> None:
    column = block("watch the tide.", y=50)
    column.continues = True
    assert "<p>The pilots wait beyond the buoy and watch the tide.</p>" in document([FIRST, column]).html()


def test_without_joins_lines_stay_lines() -> None:
    item = block("- an item that runs", "over two lines", kind="list", y=200)
    found = document([block("Words that are di-", "vided and go on"), item], [block("over the page.")])
    markdown = found.markdown(join=False)
    assert "Words that are di-  \nvided and go on" in markdown
    assert "- an item that runs\n  over two lines" in markdown
    assert "\n\n<!-- page 2 -->\n\nover the page." in markdown
    assert "di-<br>vided" in found.html(join=False)
    assert "Words that are divided and go on" in found.markdown()  # the document itself does not change


def test_the_command_line_joins_pages_or_keeps_lines(tmp_path, capsys) -> None:
    first = show("The pilots of the harbour wait beyond the second buoy and", 50, 300)
    second = show("watch the tide of the bay, since no ship may ever leave be-", 50, 700)
    path = pdf_of(tmp_path / "a.pdf", [first, second + show("fore the dues are paid.", 50, 686)], (595, 842))
    joined = (
        "the second buoy and <!-- page 2 --> watch the tide of the bay, since no ship may ever leave before the dues"
    )
    assert main(["read", str(path), "--layer", "--to", "md"]) == 0
    assert joined in capsys.readouterr().out
    assert main(["read", str(path), "--layer", "--to", "md", "--no-join"]) == 0
    assert (
        "buoy and\n\n<!-- page 2 -->\n\nwatch the tide of the bay, since no ship may ever leave be-  \nfore the dues"
        in (capsys.readouterr().out)
    )
    for join in (True, False, True):  # a finished folder is written anew
        read_all([path], tmp_path / "out", ["md", "json"], model="layer", workers=1, join=join)
        assert (joined in (tmp_path / "out" / "a.md").read_text(encoding="utf-8")) == join
        written = json.loads((tmp_path / "out" / "a.json").read_text(encoding="utf-8"))
        assert written["pages"][1]["blocks"][0]["continues"] is True
