"""`vary mcp`, asked by the client of the official SDK."""

from __future__ import annotations

import asyncio
import base64
import json
from io import BytesIO
from pathlib import Path

import matplotlib
import pytest
from PIL import Image, ImageDraw, ImageFont

import vary
from tests.readers import UprightReader
from vary.document.elements import Block, Line, Page
from vary.io.errors import InputError
from vary.serve.mcp import create_mcp

mcp = pytest.importorskip("mcp")
TEXTS = ("The first page says this.", "The third page ends the file.")


class Reader(UprightReader):
    """Reads a heading and a line of a page, by the page's number."""

    def __init__(self):
        self.calls = 0

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        self.calls += 1
        first, second = (10.0, 10.0, 200.0, 40.0), (10.0, 60.0, 400.0, 90.0)
        blocks = [
            Block([Line("A Heading", first, 0.9)], first, "heading", 1),
            Block([Line(TEXTS[self.calls > 1], second, 0.8)], second),
        ]
        return Page(1, "ok", *image.size, blocks=blocks, structured=True)


@pytest.fixture
def root(tmp_path, pdf_file) -> Path:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "three.pdf").write_bytes(pdf_file.read_bytes())
    (tmp_path / "secret.pdf").write_bytes(pdf_file.read_bytes())
    (tmp_path / "papers" / "link.pdf").symlink_to(tmp_path / "secret.pdf")
    return tmp_path / "papers"


def ask(root: Path, *calls: tuple[str, dict], reader=None) -> list:
    async def run() -> list:
        async with mcp.Client(create_mcp(reader or Reader(), [root])) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {
                "open", "outline", "read_page", "find", "crop", "cite", "verify",
            }  # fmt: skip
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(run())


def value(result) -> object:
    assert not result.is_error, result.content
    parts = [json.loads(part.text) for part in result.content]
    return parts[0] if len(parts) == 1 else parts


def test_a_document_is_opened_outlined_and_read(root) -> None:
    opened, headings, page = ask(
        root,
        ("open", {"path": "three.pdf"}),
        ("outline", {"path": "three.pdf"}),
        ("read_page", {"path": "three.pdf", "page": 1}),
    )
    assert value(opened) == {"path": "three.pdf", "pages": 3, "model": "fake"}
    assert [(found["text"], found["level"], found["page"]) for found in value(headings)] == [
        ("A Heading", 1, 1), ("A Heading", 1, 3),
    ]  # fmt: skip
    assert "# A Heading" in value(page)["markdown"]
    assert value(page)["blocks"][1]["confidence"] == 0.8


def test_a_quotation_is_found_cited_cropped_and_verified(root) -> None:
    found, cited = ask(
        root,
        ("find", {"path": "three.pdf", "text": "third  PAGE"}),
        ("cite", {"path": "three.pdf", "text": "first page says"}),
    )
    assert (value(found)["page"], value(found)["text"]) == (3, TEXTS[1])
    assert (value(cited)["page"], value(cited)["read"], value(cited)["layer"]) == (1, TEXTS[0], True)
    place = {"path": "three.pdf", "page": 1, "box": value(cited)["box"]}
    right, wrong, picture = ask(
        root,
        ("verify", place | {"text": "The first page says this."}),
        ("verify", place | {"text": "Nobody wrote that sentence."}),
        ("crop", place),
    )
    assert (value(right)["shows"], value(right)["similarity"], value(right)["confidence"]) == (True, 1.0, 0.8)
    assert value(wrong)["shows"] is False
    (part,) = picture.content
    left, top, right_side, bottom = place["box"]
    size = Image.open(BytesIO(base64.b64decode(part.data))).size
    assert size == (round(right_side) - round(left), round(bottom) - round(top))


class QuotingReader(Reader):
    """Reads a sentence in typographic quotation marks, with a divided word."""

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        lines = [
            Line("“The harbour – he said – is a quiet neigh-", (10, 60, 400, 90), 0.8),
            Line("bour.”", (10, 92, 90, 122), 0.8),
        ]
        return Page(1, "ok", *image.size, blocks=[Block(lines, (10, 60, 400, 122))], structured=True)


def test_what_find_finds_verify_confirms(root) -> None:
    """Both compare texts in one way. The pixels cannot be asked here, so the text alone decides."""
    quotation = {"path": "three.pdf", "text": '"the HARBOUR - he said - is a quiet neighbour."'}
    (found,) = ask(root, ("find", quotation), reader=QuotingReader())
    place = {"page": 1, "box": value(found)[0]["box"]}
    (verified,) = ask(root, ("verify", quotation | place), reader=QuotingReader())
    assert (value(verified)["shows"], value(verified)["similarity"]) == (True, 1.0)


def test_a_quotation_over_blocks_and_pages_is_cited(root) -> None:
    over_blocks, over_pages = ask(
        root,
        ("cite", {"path": "three.pdf", "text": "heading the FIRST page"}),
        ("cite", {"path": "three.pdf", "text": "page says this. A heading"}),
    )
    (rest,) = value(over_blocks)["continued"]
    assert (value(over_blocks)["page"], rest["page"], rest["box"][1] > value(over_blocks)["box"][3]) == (1, 1, True)
    assert value(over_blocks)["read"] == f"A Heading\n\n{TEXTS[0]}"
    assert [place["page"] for place in value(over_pages)["continued"]] == [3]


@pytest.mark.parametrize("path", ["../secret.pdf", "link.pdf", "none.pdf", "/etc/passwd"])
def test_files_outside_the_roots_are_refused(root, path) -> None:
    (result,) = ask(root, ("open", {"path": path}))
    assert result.is_error
    assert f"{path}: no such file below the roots" in result.content[0].text


def test_documents_are_listed_where_one_is_not_found(root, monkeypatch) -> None:
    (root / "sub").mkdir()
    Image.new("L", (40, 40), 255).save(root / "sub" / "scan.png")
    (listed,) = ask(root, ("open", {"path": "none.pdf"}))
    assert listed.content[0].text.endswith("there are sub/scan.png, three.pdf")
    monkeypatch.chdir(root.parent)
    outside, inside = ask(root, ("open", {"path": "secret.pdf"}), ("open", {"path": "papers/three.pdf"}))
    assert (outside.is_error, inside.is_error, value(inside)["pages"]) == (True, False, 3)


def test_a_box_outside_the_page_is_refused(root) -> None:
    (result,) = ask(root, ("crop", {"path": "three.pdf", "page": 1, "box": [0, 0, 99999, 10]}))
    assert result.is_error
    assert "expected left, top, right, bottom within" in result.content[0].text


@pytest.mark.parametrize("box", [[0, 0, 99999, 10], [100, 0, 50, 10], [0, 0]])
def test_verify_refuses_boxes_and_texts_that_say_nothing(root, box) -> None:
    place = {"path": "three.pdf", "page": 1}
    outside, empty = ask(
        root, ("verify", place | {"box": box, "text": "a"}), ("verify", place | {"box": [0, 0, 9, 9], "text": " "})
    )
    assert (outside.is_error, empty.is_error) == (True, True)
    assert "expected left, top, right, bottom within" in outside.content[0].text
    assert "verify: the text is empty" in empty.content[0].text


def test_errors_name_the_file_that_was_asked_for(root) -> None:
    (root / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    broken, missing = ask(root, ("open", {"path": "bad.pdf"}), ("read_page", {"path": "three.pdf", "page": 9}))
    assert broken.content[0].text.startswith("Error executing tool open: bad.pdf: ") or broken.content[
        0
    ].text.startswith("bad.pdf: ")
    assert str(root) not in broken.content[0].text
    assert "three.pdf: there is no page 9; the file has 3" in missing.content[0].text


class LosingReader(Reader):
    """Cannot read the first page that it gets."""

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        page = super().read(image, scale)
        if self.calls == 1:
            raise InputError("no page is read today")
        return page


def test_lost_pages_are_not_passed_over(root) -> None:
    path = {"path": "three.pdf"}
    headings, there, not_there = ask(
        root,
        ("outline", path), ("find", path | {"text": TEXTS[1]}), ("find", path | {"text": TEXTS[0]}),
        reader=LosingReader(),
    )  # fmt: skip
    assert value(headings)[-1] == {"lost_pages": [1]}
    assert value(there)["page"] == 3
    assert not_there.is_error
    assert "three.pdf: not found on the pages that can be read; lost: 1" in not_there.content[0].text


def test_the_pixels_tell_one_wrong_digit(tmp_path) -> None:
    """By similarity alone one wrong digit of many characters would pass."""
    lines = ["The invoice of 14 May names a sum of 18,870.50", "for 25 hours of work, due within 30 days."]
    image = Image.new("L", (620, 160), 255)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSerif.ttf"), 18)
    for k, line in enumerate(lines):
        ImageDraw.Draw(image).text((30, 40 + 32 * k), line, 0, font)
    image.save(tmp_path / "invoice.png")
    place, right = {"path": "invoice.png", "page": 1, "box": [0, 0, 620, 160]}, " ".join(lines)

    def claims(*texts: str) -> list[dict]:
        calls = [("verify", place | {"text": text}) for text in texts]
        return [value(answer) for answer in ask(tmp_path, *calls, reader=vary.load())]

    true = claims(right, lines[0], "a sum of 18,870.50 for 25 hours")
    assert [one["shows"] for one in true] == [True] * 3
    assert all(one["odds"] > -1 and one["wrong"] == [] for one in true)
    changes = {"18,870": ("18,810", "1,870", "118,870", "18.870"), "30 days": ("39 days", "3 days")}
    false = claims(*(right.replace(old, new) for old, others in changes.items() for new in others))
    assert [one["shows"] for one in false] == [False] * 6
    assert all(one["similarity"] > 0.95 and one["wrong"] for one in false)
    assert ("1", "7") in [(one["character"], one["seen"]) for one in false[0]["wrong"]]
