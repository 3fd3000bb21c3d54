"""The outline of a PDF names headings; what the file says about itself is in the JSON and in the front matter."""

from __future__ import annotations

import json

from pypdf import PdfReader, PdfWriter

from tests.pdfs import pdf_of, show
from vary.cli import main
from vary.document.elements import Block, Line, Page
from vary.document.outline import apply_outline
from vary.io.source import Source
from vary.reading.api import load, read
from vary.reading.runs.batch import read_all

BODY = "".join(
    show("The harbour office keeps a ledger of every vessel.", 40, 200 - 16 * k) for k in range(4)
)  # of the same type as the headings


def book(path):
    pdf_of(path, [show("Preface", 40, 250) + BODY, show("1 On vessels", 40, 250) + BODY], title="The harbour")
    writer = PdfWriter(PdfReader(path))
    writer.add_metadata({"/Title": "The harbour", "/Author": 'A. "Quay" Master'})
    top = writer.add_outline_item("Preface", 0)
    writer.add_outline_item("On vessels", 1, parent=top)
    writer.set_page_label(0, 0, style="/r", start=4)
    writer.write(path)
    return path


def block(text: str, height: float = 12, kind: str = "text") -> Block:
    box = (0.0, 0.0, 100.0, height)
    return Block([Line(text, box, 1.0)], box, kind)


def test_info_of_a_file(tmp_path) -> None:
    with Source(book(tmp_path / "a.pdf")) as source:
        info = source.info
    assert (info.title, info.author) == ("The harbour", 'A. "Quay" Master')
    assert info.outline == [(1, "Preface", 1), (2, "On vessels", 2)]
    assert info.labels[1] == "iv"


def test_headings_labels_and_offsets(tmp_path) -> None:
    document = read(book(tmp_path / "a.pdf"), load("layer"))
    heads = [(block.text, block.level) for page in document for block in page.blocks if block.kind == "heading"]
    assert heads == [("Preface", 1), ("1 On vessels", 2)]
    found = document.to_dict()
    assert (found["title"], found["pages"][0]["label"]) == ("The harbour", "iv")
    assert found["outline"][1] == {"level": 2, "title": "On vessels", "page": 2}
    text, (_, second) = document.text(), found["offsets"]
    assert text[second[1] :].startswith("1 On vessels")
    assert second[0] == 2


def test_front_matter_on_request(tmp_path, capsys) -> None:
    path = book(tmp_path / "a.pdf")
    assert main(["read", str(path), "--layer", "--to", "md", "--front-matter"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith('---\ntitle: "The harbour"\nauthor: "A. \\"Quay\\" Master"\n')
    assert "\npages: 2\n---\n\n<!-- page 1 -->\n" in printed
    for wanted in (False, True, False):
        read_all([path], tmp_path / "out", ["md", "json"], model="layer", workers=1, front_matter=wanted)
        assert (tmp_path / "out" / "a.md").read_text(encoding="utf-8").startswith("---\n") == wanted
    written = json.loads((tmp_path / "out" / "a.json").read_text(encoding="utf-8"))
    assert (written["author"], len(written["offsets"])) == ('A. "Quay" Master', 2)


def test_an_entry_makes_one_heading_of_the_largest_match() -> None:
    page = Page(3, "ok", blocks=[block("On vessels"), block("2.1 On vessels", 20), block("On vessels of the bay")])
    apply_outline(page, [(2, "On vessels", 3), (1, "Vessels", 4), (1, "Lost", 3)])
    assert [(b.kind, b.level) for b in page.blocks] == [("text", 0), ("heading", 2), ("text", 0)]
