"""Chunks hold all text, stay below their size and know where they come from."""

from __future__ import annotations

import random
import re

import pytest

from vary.document.elements import Block, Document, Line, Page
from vary.io.errors import ConfigError

pytestmark = pytest.mark.fast


def block(text: str, kind: str = "text", top: float = 0.0, **more) -> Block:
    lines = [Line(one, (0, top + 10.0 * k, 400, top + 10.0 * k + 9), 0.9) for k, one in enumerate(text.split("\n"))]
    return Block(lines, (0, top, 400, top + 10.0 * len(lines)), kind, **more)


def document(*pages: list[Block]) -> Document:
    return Document("a.pdf", "m", [Page(k, "ok", 400, 600, blocks=blocks) for k, blocks in enumerate(pages, 1)])


REPORT = document(
    [
        block("Preface words."),
        block("1 Methods", "heading", 20, level=1),
        block("We measured it.", top=40),
        block("1.1 Tools", "heading", 60, level=2),
        block("A ruler.", top=80),
        block("page 1", "footer", 590),
    ],
    [block("A clock, too."), block("2 Results", "heading", 20, level=1), block("It is long.", top=40)],
)


def test_chunks_by_heading_know_their_headings_and_pages():
    found = [(chunk.text, chunk.headings, chunk.pages) for chunk in REPORT.chunks()]
    assert found == [
        ("Preface words.", (), [1]),
        ("# 1 Methods\n\nWe measured it.", ("1 Methods",), [1]),
        ("## 1.1 Tools\n\nA ruler.\n\nA clock, too.", ("1 Methods", "1.1 Tools"), [1, 2]),
        ("# 2 Results\n\nIt is long.", ("2 Results",), [2]),
    ]
    assert REPORT.chunks()[2].boxes == [(1, (0, 60, 400, 70)), (1, (0, 80, 400, 90)), (2, (0, 0, 400, 10))]


def test_chunks_by_page_and_by_size():
    assert [chunk.pages for chunk in REPORT.chunks(by="page")] == [[1], [2]]
    assert [chunk.headings for chunk in REPORT.chunks(by="page")] == [(), ("1 Methods", "1.1 Tools")]
    (whole,) = REPORT.chunks(by="size")
    assert whole.pages == [1, 2]


@pytest.mark.parametrize("by", ["heading", "page", "size"])
@pytest.mark.parametrize("size", [40, 97, 500])
def test_no_word_is_lost_or_doubled(by, size):
    rng = random.Random(size)
    words = iter(f"w{k}" for k in range(100_000))

    def text(count: int) -> str:
        return " ".join(next(words) + rng.choice(["", "", ".", ",", "\n"]) for _ in range(count)).replace("\n ", "\n")

    pages = [
        [
            block(text(rng.choice((1, 9, 80))), rng.choice(("text", "list", "code", "heading")), level=1)
            for _ in range(6)
        ]
        for _ in range(4)
    ]
    whole = document(*pages)
    found = whole.chunks(size, by)
    wanted = re.findall(r"w\d+", whole.markdown())
    assert re.findall(r"w\d+", " ".join(chunk.text for chunk in found)) == wanted
    assert all(0 < len(chunk.text) <= size for chunk in found)
    assert all(chunk.boxes for chunk in found)


def test_a_long_table_is_cut_between_rows_and_repeats_its_first_row():
    cells = [["name", "amount"], *([f"row {k}", str(k)] for k in range(50))]
    found = document([Block([], (0, 0, 9, 9), "table", cells=cells)]).chunks(200)
    assert all(chunk.text.startswith("| name | amount |\n| --- | --- |\n| row ") for chunk in found)
    assert [int(k) for chunk in found for k in re.findall(r"row (\d+)", chunk.text)] == list(range(50))


def test_each_part_of_a_long_listing_is_fenced():
    found = document([block("\n".join(f"x{k} = {k}" for k in range(60)), "code")]).chunks(120)
    assert len(found) > 3
    assert all(chunk.text.startswith("```\n") and chunk.text.endswith("\n```") for chunk in found)


def test_a_word_longer_than_a_chunk_is_cut():
    assert [chunk.text for chunk in document([block("ab " + "x" * 25)]).chunks(10)] == [
        "ab",
        "x" * 10,
        "x" * 10,
        "x" * 5,
    ]


@pytest.mark.parametrize(
    ("arguments", "named"), [({"by": "line"}, "heading, page, size"), ({"max_chars": 0}, "at least 1")]
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ConfigError, match=named):
        REPORT.chunks(**arguments)


def test_tables_become_data_frames():
    pytest.importorskip("pandas")
    table = Block([], (1, 2, 3, 4), "table", cells=[["year", "sum", "sum"], ["2025", "1,200", ""], ["2026", "7", "x"]])
    (frame,) = document([], [block("words"), table]).to_pandas()
    assert list(frame.columns) == ["year", "sum", "sum"]
    assert frame.values.tolist() == [["2025", "1,200", ""], ["2026", "7", "x"]]
    assert frame.attrs == {"page": 2, "box": (1, 2, 3, 4)}


def test_a_long_table_with_merged_cells_is_cut_too():
    cells = [["name", "amount"], *([f"row {k}", str(k)] for k in range(60))]
    found = document([Block([], (0, 0, 9, 9), "table", cells=cells, merged=[(50, 0, 2, 1)], head_rows=1)]).chunks(200)
    assert all(len(chunk.text) <= 200 and chunk.text.startswith("| name | amount |\n") for chunk in found)
    assert [int(k) for chunk in found for k in re.findall(r"\| row (\d+)", chunk.text)] == list(range(60))


def test_a_head_of_two_rows_names_the_columns_in_all_forms():
    cells = [["", "2025", ""], ["name", "low", "high"], *([f"x{k}", "1", "2"] for k in range(40))]
    made = document([Block([], (0, 0, 9, 9), "table", cells=cells, merged=[(0, 1, 1, 2)], head_rows=2)])
    assert all(chunk.text.startswith("| name | 2025: low | 2025: high |\n") for chunk in made.chunks(200))
    pytest.importorskip("pandas")
    (frame,) = made.to_pandas()
    assert (list(frame.columns), len(frame)) == (["name", "2025: low", "2025: high"], 40)
