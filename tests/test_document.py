"""A document's plain text and its JSON."""

from __future__ import annotations

import json

import pytest

from vary.document import LOST, SCHEMA, STATUSES, Block, Document, Line, Page


def line(text: str, width: float = 100.0, y: float = 0.0) -> Line:
    return Line(text, (0.0, y, width, y + 10), 0.9)


def block(*lines: Line) -> Block:
    return Block(list(lines), (0.0, 0.0, 100.0, 10.0 * len(lines)))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ""),
        ([line("alone")], "alone"),
        ([line("a full line"), line("runs on")], "a full line runs on"),
        ([line("hyphen-"), line("ated")], "hyphenated"),
        ([line("well-"), line("Known")], "well- Known"),
        ([line("1914-"), line("and on")], "1914- and on"),
        ([line("-"), line("a dash")], "- a dash"),
        ([line("one two-", 100), line("three"), line("four")], "one twothree four"),
        ([line("a short line", 84), line("stays")], "a short line\nstays"),
        ([line("nearly full", 86), line("runs on")], "nearly full runs on"),
        ([line("short-", 50), line("hyphen")], "short-\nhyphen"),
    ],
)
def test_block_text(lines, expected) -> None:
    assert block(*lines).text == expected


def test_page_text_and_lines() -> None:
    first, second = block(line("a"), line("b")), block(line("c"))
    page = Page(1, "ok", blocks=[first, second])
    assert page.text == "a b\n\nc"
    assert [one.text for one in page.lines] == ["a", "b", "c"]
    assert Page(2, "blank").text == ""


def test_document_text_leaves_no_gap_for_blank_pages() -> None:
    pages = [Page(1, "ok", blocks=[block(line("a"))]), Page(2, "blank"), Page(3, "ok", blocks=[block(line("c"))])]
    document = Document("a.pdf", "m", pages)
    assert document.text() == "a\n\nc"
    assert list(document) == pages


def test_lost() -> None:
    document = Document("a.pdf", "m", [Page(k, status) for k, status in enumerate(STATUSES, 1)])
    assert [page.status for page in document.lost] == ["truncated", "repetition", "timeout", "failed"]
    assert set(LOST) < set(STATUSES)
    assert set(STATUSES) - set(LOST) == {"ok", "blank"}


def test_json() -> None:
    one = Line("né", (1.26, 2.0, 30.0, 12.0), 0.123456, [(1.26, 2, 9, 12), (9, 2, 30, 12)], [0.5, 0.99999], "decoder")
    pages = [
        Page(1, "ok", 200, 100, 112.0, 1.23456, [Block([one], one.box, "heading")]),
        Page(2, "failed", error="the ink has run"),
    ]
    document = Document("a.pdf", "vary-nano", pages)
    text = document.json()
    assert "né" in text
    assert json.loads(text) == document.to_dict()
    assert json.loads(text) == {
        "schema": SCHEMA,
        "source": "a.pdf",
        "model": "vary-nano",
        "pages": [
            {
                "number": 1, "status": "ok", "error": None, "width": 200, "height": 100, "dpi": 112.0,
                "seconds": 1.235, "text": "né",
                "blocks": [
                    {
                        "kind": "heading", "box": [1.3, 2, 30, 12],
                        "lines": [
                            {
                                "text": "né", "box": [1.3, 2, 30, 12], "confidence": 0.1235, "writer": "decoder",
                                "characters": [[1.3, 2, 9, 12, 0.5], [9, 2, 30, 12, 1.0]],
                            }
                        ],
                    }
                ],
            },
            {
                "number": 2, "status": "failed", "error": "the ink has run", "width": 0, "height": 0, "dpi": None,
                "seconds": 0.0, "text": "", "blocks": [],
            },
        ],
    }  # fmt: skip
    assert SCHEMA == 1


def test_json_takes_numpy_numbers() -> None:
    np = pytest.importorskip("numpy")
    box = tuple(np.float32(v) for v in (1, 2, 3, 4))
    document = Document("a.pdf", "m", [Page(1, "ok", blocks=[Block([Line("a", box, 0.5, [box], [0.5])], box)])])
    assert json.loads(document.json())["pages"][0]["blocks"][0]["box"] == [1, 2, 3, 4]


def test_json_refuses_boxes_that_do_not_match() -> None:
    bad = Line("ab", (0, 0, 1, 1), 0.5, [(0, 0, 1, 1)], [0.5, 0.5])
    with pytest.raises(ValueError):
        Document("a.pdf", "m", [Page(1, "ok", blocks=[block(bad)])]).json()
