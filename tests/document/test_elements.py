"""A document's plain text and its JSON, which its published schema describes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import vary
from vary.document.elements import KINDS, LOST, STATUSES, Block, Document, Line, Page
from vary.document.findings import SCHEMA
from vary.document.formats.writers import WRITERS


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
        ([line("well-"), line("Known")], "well-Known"),
        ([line("pages 3-"), line("4 of it")], "pages 3-4 of it"),
        ([line("hy\u2010"), line("phen"), line("so\u00ad"), line("ft")], "hyphen soft"),
        ([line("1914-"), line("and on")], "1914- and on"),
        ([line("-"), line("a dash")], "- a dash"),
        ([line("one two-", 100), line("three"), line("four")], "one twothree four"),
        ([line("a short line", 50), line("stays", 40)], "a short line\nstays"),
        ([line("a ragged line", 70), line("runs on", 40)], "a ragged line\nruns on"),  # its next word had room
        ([line("a ragged line", 70), line("continues", 60)], "a ragged line continues"),
        ([line("-----", 50), line("OIL 2.10", 80), line("JAM 4.00", 80)], "-----\nOIL 2.10\nJAM 4.00"),  # a receipt
        ([line("nearly full", 86), line("runs on")], "nearly full runs on"),
        ([line("short-", 50), line("hyphen", 40)], "short-\nhyphen"),
        ([line("Chapter . . . . . 7"), line("Another . . . . . 9")], "Chapter . . . . . 7\nAnother . . . . . 9"),
        ([line("Chapter ······· 7"), line("Another ······· 9")], "Chapter ······· 7\nAnother ······· 9"),
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
    assert set(STATUSES) - set(LOST) == {"ok", "blank", "doubtful"}


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
        "title": None, "author": None, "outline": [], "offsets": [[1, 0], [2, 4]],
        "pages": [
            {
                "number": 1, "status": "ok", "error": None, "width": 200, "height": 100, "dpi": 112.0,
                "attempts": 1, "label": None, "rotation": 0, "skew": 0.0, "layer": "none", "hidden": [], "rejected": [],
                    "disagreements": [], "formulas": [], "unread_marks": [],
                "seconds": 1.235,
                "confidence": 0.75, "text": "né",
                "blocks": [
                    {
                        "kind": "heading", "level": 0, "box": [1.3, 2, 30, 12], "confidence": 0.1235, "cells": None,
                        "merged": [], "head_rows": 1, "image": None, "alt": "", "angle": 0.0, "continues": False,
                        "lines": [
                            {
                                "text": "né", "box": [1.3, 2, 30, 12], "confidence": 0.1235, "writer": "decoder",
                                "styles": [], "sources": [], "links": [],
                                "characters": [[1.3, 2, 9, 12, 0.5], [9, 2, 30, 12, 1.0]],
                            }
                        ],
                    }
                ],
            },
            {
                "number": 2, "status": "failed", "error": "the ink has run", "width": 0, "height": 0, "dpi": None,
                "attempts": 1, "label": None, "rotation": 0, "skew": 0.0, "layer": "none", "hidden": [], "rejected": [],
                    "disagreements": [], "formulas": [], "unread_marks": [],
                "seconds": 0.0,
                "confidence": None, "text": "", "blocks": [],
            },
        ],
    }  # fmt: skip
    assert SCHEMA == 3


def test_json_takes_numpy_numbers() -> None:
    np = pytest.importorskip("numpy")
    box = tuple(np.float32(v) for v in (1, 2, 3, 4))
    document = Document("a.pdf", "m", [Page(1, "ok", blocks=[Block([Line("a", box, 0.5, [box], [0.5])], box)])])
    assert json.loads(document.json())["pages"][0]["blocks"][0]["box"] == [1, 2, 3, 4]


def test_json_refuses_boxes_that_do_not_match() -> None:
    bad = Line("ab", (0, 0, 1, 1), 0.5, [(0, 0, 1, 1)], [0.5, 0.5])
    with pytest.raises(ValueError):
        Document("a.pdf", "m", [Page(1, "ok", blocks=[block(bad)])]).json()


def every_kind() -> Document:
    def one(kind: str) -> Block:
        made = block(line("a"), line("b"))
        made.kind = kind
        return made

    blocks = [one(kind) for kind in KINDS if kind != "figure"]
    blocks[3].cells, blocks[1].level = [["a", ""], ["b", "c"]], 2
    blocks.append(Block([], (1, 2, 3, 4), "figure", image="a_images/0001-1.png"))
    pages = [Page(k, status, 100, 100, 72.0 * k, 0.5, attempts=2) for k, status in enumerate(STATUSES, 1)]
    pages[0].blocks = blocks
    return Document("a.pdf", "m", pages)


def test_schema_describes_the_json() -> None:
    schema = json.loads((Path(vary.__file__).parent / "document" / "document.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    found = json.loads(every_kind().json())
    validator.validate(found)
    validator.validate(json.loads("".join(WRITERS["json"]("a.pdf", "m", iter(every_kind().pages)))))
    definitions = schema["$defs"]
    assert tuple(definitions["page"]["properties"]["status"]["enum"]) == STATUSES
    assert tuple(definitions["block"]["properties"]["kind"]["enum"]) == KINDS
    assert schema["properties"]["schema"]["const"] == SCHEMA
    for spoil in (
        lambda d: d.update(schema=SCHEMA + 1),
        lambda d: d["pages"][0].update(status="fine"),
        lambda d: d["pages"][0].pop("attempts"),
        lambda d: d["pages"][0]["blocks"][0].update(box=[1, 2, 3]),
        lambda d: d["pages"][0]["blocks"][0]["lines"][0].update(more=1),
    ):
        bad = json.loads(json.dumps(found))
        spoil(bad)
        assert not validator.is_valid(bad)


def test_page_comes_back_from_its_dict() -> None:
    for page in every_kind():
        back = Page.from_dict(json.loads(json.dumps(page.to_dict())))
        assert back.to_dict() == page.to_dict()
        assert back == page or page.blocks  # boxes of what was read are tuples again
        assert all(isinstance(one.box, tuple) for one in back.lines)


def test_a_page_read_without_confidence_says_so() -> None:
    def page(sure: float) -> Page:
        one = Line("some words", (0, 0, 100, 10), sure, [(0, 0, 10, 10)] * 10, [sure] * 10)
        return Page(1, "ok", blocks=[block(one)])

    assert page(0.97).doubt is None
    assert page(0.7).doubt == "read with a mean confidence of 70% only: perhaps a script outside the model's training"
    assert Page(1, "blank").doubt is None
    assert page(0.7).confidence == pytest.approx(0.7)


def test_lines_of_an_address_with_small_letters_stand_alone() -> None:
    address = ["Lighthouse Trust", "c/o A. Penhale", "The Old Signal Box House", "Point Road", "Carn 4471"]
    lines = [Line(text, (0, 20 * k, 8 * len(text), 20 * k + 14), 0.9) for k, text in enumerate(address)]
    assert Block(lines, (0, 0, 192, 94)).text == "\n".join(address)


def test_a_heading_that_runs_in_begins_a_line_where_the_sentence_above_had_room() -> None:
    rows = [
        "The gate sticks at low water, and two offers will be asked for by 1 May",
        "44.3 Budget. See below, and all that was said of it before the board",
    ]
    lines = [Line(text, (0, 20 * k, 8 * len(text) - 60 * (not k), 20 * k + 14), 0.9) for k, text in enumerate(rows)]
    lines[1].styles = [(0, 12, "bold")]
    assert "\n" not in Block(lines, (0, 0, 544, 34)).text  # no sentence ends above it
    lines[0].text = lines[0].text[:-1] + "."
    assert Block(lines, (0, 0, 544, 34)).text == f"{lines[0].text}\n{rows[1]}"


def test_entries_of_contents_end_with_their_numbers() -> None:
    rows = ["1 Knots  3", "1.1 Why knots hold . . . . . . . 3", "1.2 Seven to learn . . . . . . . 9"]
    lines = [Line(text, (0, 20 * k, 600, 20 * k + 14), 0.9) for k, text in enumerate(rows)]
    assert len(Block(lines, (0, 0, 600, 54)).text.split("\n")) == 3


@pytest.mark.parametrize(
    ("other", "joined"), [("de l’après-midi", False), ("de l’aprèsmidi", True), ("du matin", True)]
)
def test_a_word_divided_at_its_own_hyphen_keeps_it_where_it_has_it_elsewhere(other, joined) -> None:
    rows = ["un bruit qui s’entend au cours de l’après-", f"midi, et le reste du soir {other}"]
    lines = [Line(text, (0, 20 * k, 330, 20 * k + 14), 0.9) for k, text in enumerate(rows)]
    text = Block(lines, (0, 0, 330, 34)).text
    assert ("l’aprèsmidi, et" in text, "l’après-midi, et" in text) == (joined, not joined)
