"""Tables of PDFs: by their ruling lines, by filled cells, by the white between columns."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.pdfs import pdf_of, show
from vary.reading.api import load
from vary.reading.pages import read_document
from vary.reading.runs.batch import read_all

ROWS = [["Town", "Boats", "Nets"], ["Saltwick", "12", "7"], ["Long Pond", "3", "41"], ["Fern", "120", "9"]]
XS, TOP, STEP = (50, 150, 220, 300), 250, 24


def cells_of(path) -> list[list[list[str]]]:
    page = read_document(path, load("layer")).pages[0]
    return [block.cells for block in page.blocks if block.kind == "table"]


def text_of(rows: list[list[str]], top: float = TOP) -> str:
    placed = [(text, XS[c] + 4, top - STEP * r - 16) for r, row in enumerate(rows) for c, text in enumerate(row)]
    return "".join(show(text, x, y, 10) for text, x, y in placed if text)


def grid(rows: int, top: float = TOP) -> str:
    level = "".join(f"50 {top - STEP * r} m 300 {top - STEP * r} l S " for r in range(rows + 1))
    return level + "".join(f"{x} {top} m {x} {top - STEP * rows} l S " for x in XS)


def test_ruled(tmp_path) -> None:
    page = show("A sentence stands above the grid of the table.", 50, 275, 10) + grid(4) + text_of(ROWS)
    assert cells_of(pdf_of(tmp_path / "a.pdf", [page])) == [ROWS]


def test_cells_of_two_lines(tmp_path) -> None:
    page = grid(4) + text_of(ROWS[:1]) + text_of(ROWS[2:], TOP - 2 * STEP)
    page += show("Saltwick", 54, TOP - STEP - 10, 9) + show("Bay", 54, TOP - STEP - 20, 9)
    page += show("12", 154, TOP - STEP - 15, 9) + show("7", 224, TOP - STEP - 15, 9)
    assert cells_of(pdf_of(tmp_path / "a.pdf", [page]))[0][1] == ["Saltwick Bay", "12", "7"]


def test_two_level_head(tmp_path) -> None:
    page = "50 250 250 -24 re S 150 250 m 150 226 l S " + grid(4, TOP - STEP) + text_of(ROWS, TOP - STEP)
    page += show("Counted by hand", 180, TOP - 16, 10)
    document = read_document(pdf_of(tmp_path / "a.pdf", [page]), load("layer"))
    (table,) = (block for block in document.pages[0].blocks if block.kind == "table")
    assert (table.cells, table.head_rows) == ([["", "Counted by hand", ""], *ROWS], 2)
    assert table.merged == [(0, 1, 1, 2)]
    assert "| Town | Counted by hand: Boats | Counted by hand: Nets |\n| ---" in document.markdown()


def test_filled_cells(tmp_path) -> None:
    fills = "".join(
        f"{0.8 + 0.05 * ((r + c) % 2)} g {x0} {TOP - STEP * (r + 1)} {x1 - x0} {STEP} re f "
        for r in range(4)
        for c, (x0, x1) in enumerate(pairwise(XS))
    )
    page = fills + "0 g " + text_of(ROWS)
    assert cells_of(pdf_of(tmp_path / "a.pdf", [page])) == [ROWS]


def test_unruled_with_leaders(tmp_path) -> None:
    rows = [
        ["Town", "Boats", "Nets"],
        ["Salt ........", "12", "7"],
        ["Pond ........", "3", "41"],
        ["Fern ........", "120", "9"],
    ]
    found = cells_of(pdf_of(tmp_path / "a.pdf", [text_of(rows)]))
    assert found == [[[row[0].strip(" ."), *row[1:]] for row in rows]]


@pytest.mark.parametrize("frame", ["50 200 300 60 re S", "0.9 g 50 200 300 60 re f 0 g"])
def test_a_frame_about_prose_is_no_table(tmp_path, frame) -> None:
    lines = ("The harbour office keeps a ledger of every", "vessel that enters the bay and pays its dues", "in copper.")
    page = f"{frame} " + "".join(show(line, 60, 245 - 14 * k, 12) for k, line in enumerate(lines))
    document = read_document(pdf_of(tmp_path / "a.pdf", [page]), load("layer"))
    assert [block.kind for block in document.pages[0].blocks] == ["text"]


def test_each_table_is_a_csv_file(tmp_path) -> None:
    document = pdf_of(tmp_path / "a.pdf", [grid(4) + text_of([*ROWS[:3], ["Fern, old", '1"20', "9"]])])
    plain = pdf_of(tmp_path / "b.pdf", [show("A sentence without any table.", 50, 275, 10)])
    read_all([document, plain], tmp_path / "out", ["text", "csv"], model="layer", workers=1)
    assert [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").glob("*_tables/*")] == [
        "a_tables/0001-1.csv"
    ]
    made = (tmp_path / "out" / "a_tables" / "0001-1.csv").read_text()
    assert made == 'Town,Boats,Nets\nSaltwick,12,7\nLong Pond,3,41\n"Fern, old","1""20",9\n'


@pytest.mark.parametrize("space", [200, 320])
def test_letterspaced_words_are_whole(tmp_path, space) -> None:
    spaced = " ".join(f"({ch}) -{space}" for ch in "MAIN COURSES")
    page = f"q BT /F1 14 Tf 50 250 Td [{spaced}] TJ ET Q\n" + show("A line of text in usual type.", 50, 220, 12)
    document = read_document(pdf_of(tmp_path / "a.pdf", [page]), load("layer"))
    assert document.pages[0].lines[0].text == "MAIN COURSES"


def panel(name: str, rows: list[tuple[str, str]], x: float, top: float) -> str:
    """A dark bar with a name, and rows of two cells below it, every other one on a ground of its own."""
    drawn = f"0.2 0.4 0.6 rg {x} {top - 20} 170 20 re f " + show(name, x + 6, top - 14, 10, extra="1 g")
    for k, (key, meaning) in enumerate(rows):
        y = top - 40 - 20 * k
        drawn += f"{'0.9 g' if k % 2 == 0 else '1 g'} {x} {y} 170 20 re f "
        drawn += show(key, x + 6, y + 6, 9, extra="0 g") + show(meaning, x + 80, y + 6, 9, extra="0 g")
    return drawn


def test_panels_of_a_reference_card_are_tables_of_their_own(tmp_path) -> None:
    """They lie on a white ground, and those of one column are equally wide and close to each other."""
    rows = [
        ("move", "go to a place"),
        ("haul", "pull a rope"),
        ("moor", "tie a boat"),
        ("bail", "lift water"),
        ("row", "pull"),
    ]
    more = [
        ("tack", "turn to wind"),
        ("gybe", "turn from it"),
        ("reef", "less sail"),
        ("luff", "to the wind"),
        ("sail", "go"),
    ]
    page = "1 g 20 20 400 460 re f " + panel("Boats", rows, 30, 470) + panel("Sails", more, 30, 342)
    page += panel("Orders", more, 220, 470) + panel("Words", rows, 220, 342)
    cells = cells_of(pdf_of(tmp_path / "a.pdf", [page], (440, 500)))
    named = {own[0][0]: [tuple(row) for row in own[1:]] for own in cells}
    assert named == {"Boats": rows, "Sails": more, "Orders": more, "Words": rows}


def test_a_table_of_sentences_between_three_rules_has_the_columns_of_its_head(tmp_path) -> None:
    """It lies on white paper, with its title and its notes; programs for spreadsheets print so."""
    rows = [
            ("Knot", "What it is tied for", "Rope"), ("Clove hitch", "It holds a boat to a post on the quay", "thin"),
            ("Bowline", "It makes a loop at the end that does not slip", "any"),
            ("Reef knot", "It joins two ends of one rope", "alike"),
            ("Sheet bend", "It joins two ropes of unlike thickness", "any"),
    ]  # fmt: skip
    page = "1 g 40 40 420 240 re f 0 g " + "".join(f"50 {y} m 450 {y} l S " for y in (240, 220, 130))
    page += show("Table 1. Knots of the harbour, and what they hold", 50, 250, 10)
    for k, row in enumerate(rows):
        page += "".join(
            show(text, x, 226 - 20 * k - 4 * (k > 0), 9) for x, text in zip((52, 140, 390), row, strict=True)
        )
    page += show("Note. A rope of less than 5 mm is no rope in the sense of these rules, but a line.", 50, 116, 9)
    document = read_document(pdf_of(tmp_path / "a.pdf", [page], (500, 320)), load("layer"))
    blocks = document.pages[0].blocks
    assert [block.cells for block in blocks if block.kind == "table"] == [[list(row) for row in rows]]
    assert len(blocks) == 3
