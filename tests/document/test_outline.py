"""The outline of a PDF names headings; what the file says about itself is in the JSON and in the front matter."""

from __future__ import annotations

import json

import typst
from PIL import Image
from pypdf import PdfReader, PdfWriter

from tests.pdfs import pdf_of, show
from vary.cli import main
from vary.document.elements import Block, Document, Line, Page
from vary.document.outline import apply_outline, apply_tags
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


TAGGED = """#set document(title: "Quays")
#set page(width: 420pt, height: 320pt, margin: 30pt)
#show heading: set text(size: 11pt, weight: "regular")
= The harbour office
The office keeps a ledger of every vessel that enters the bay, and of its cargo.
== Dues
No ship may leave before the dues of 1,374 are paid in 25 quays of the town.
#image("map.png", width: 120pt, height: 80pt, alt: "A map of the quays")
"""


def test_tags_give_headings_and_alternative_text(tmp_path) -> None:
    path = tmp_path / "a.pdf"
    Image.linear_gradient("L").save(tmp_path / "map.png")
    (tmp_path / "a.typ").write_text(TAGGED, encoding="utf-8")
    typst.compile(tmp_path / "a.typ", output=path, format="pdf", timestamp=0)
    (page,) = read(path, load("layer")).pages
    heads = [(block.text, block.level) for block in page.blocks if block.kind == "heading"]
    assert heads == [("The harbour office", 1), ("Dues", 2)]
    assert [block.alt for block in page.blocks if block.kind == "figure"] == ["A map of the quays"]


def test_the_alternative_text_of_a_figure_is_written() -> None:
    figure = Block([], (10, 10, 50, 50), "figure")
    page = Page(1, "ok", 100, 100, blocks=[block("The harbour"), figure])
    apply_tags(page, [("Figure", "A map --> of the quays", (8, 8, 52, 52))])
    assert Document("a", "m", [page]).markdown().endswith("<!-- figure: A map - -&gt; of the quays -->")
    figure.image = "a_images/0001-1.png"
    assert "![A map --> of the quays](a_images/0001-1.png)" in Document("a", "m", [page]).markdown()
    assert 'alt="A map --&gt; of the quays"' in Document("a", "m", [page]).html()


def test_tags_that_call_everything_a_heading_are_not_believed() -> None:
    page = Page(1, "ok", 100, 100, blocks=[block("One"), block("Two")])
    apply_tags(page, [("H1", "", (0, 0, 100, 100))])
    assert [b.kind for b in page.blocks] == ["text", "text"]


LISTED = """
#set page(width: 300pt, height: 240pt)
Things of the yard that are counted at dusk, and by whom.
#enum(numbering: "I)",
  [Saws go to the rack in the shed, which is locked when the last cart has left for the night.], [Ropes])
#v(16pt)
Text between the two lists, as long as one line of it.
#v(16pt)
#list(marker: [o], [Tar], [Oakum])
"""


def test_labels_of_list_items_in_tagged_files_begin_items(tmp_path) -> None:
    """Neither `I)` nor a letter o looks like the mark of an item."""
    (tmp_path / "a.typ").write_text(LISTED, encoding="utf-8")
    typst.compile(tmp_path / "a.typ", output=tmp_path / "a.pdf", format="pdf", timestamp=0)
    text = read(tmp_path / "a.pdf", load("layer")).markdown()
    assert "\n- I) Saws go to the rack in the shed, which is locked when the last cart has left for the night." in text
    assert "- II) Ropes\n" in text
    assert text.endswith("- Tar\n- Oakum")
    typst.compile(tmp_path / "a.typ", output=tmp_path / "a.pdf", format="pdf", timestamp=0, pdf_tags=False)
    assert "- I)" not in read(tmp_path / "a.pdf", load("layer")).markdown()
