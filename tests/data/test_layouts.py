"""Pages with free layouts: the target, the boxes and the structure of tables are what the page shows."""

from __future__ import annotations

import re

import numpy as np
import pytest

from vary.data.documents.content import Content
from vary.data.documents.layouts import KINDS, LayoutSource
from vary.data.registry import SOURCES
from vary.data.sample import LAYOUT_CLASSES, table_edges
from vary.io.errors import ConfigError
from vary.markup.read_document import read_markdown
from vary.markup.tables import Table

from ..conftest import printed_by, words_of_the_standard_library


@pytest.fixture(scope="module")
def content() -> Content:
    return Content(" ".join(words_of_the_standard_library().split()))


@pytest.fixture(scope="module")
def clean(content) -> dict[str, list]:
    """Four pages of each kind on white paper without defects."""
    made = {kind: LayoutSource(content, 3, kinds=[kind], toned=0, degraded=0) for kind in KINDS}
    return {kind: [source.sample(i) for i in range(4)] for kind, source in made.items()}


def test_sample_is_pure(content) -> None:
    one, other = LayoutSource(content, 8), LayoutSource(content, 8)
    for i in (3, 0):
        other.sample(i + 1)  # what came before must not matter
        a, b = one.sample(i), other.sample(i)
        assert np.array_equal(a.image, b.image)
        assert (a.target, a.meta, a.regions) == (b.target, b.meta, b.regions)
    assert one.sample(0).target != LayoutSource(content, 9).sample(0).target


def test_another_process_makes_the_same_page(capsys) -> None:
    program = (
        "import hashlib; from vary.data.documents.content import Content;"
        "from vary.data.documents.layouts import LayoutSource;"
        "s = LayoutSource(Content('A plain text of some words. ' * 90), 9).sample(1);"
        "print(hashlib.sha256(s.image.tobytes() + s.target.encode()).hexdigest())"
    )
    exec(program, {})
    assert printed_by(program, PYTHONHASHSEED="1") == capsys.readouterr().out != ""


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_text_has_its_ink_and_its_region(kind, clean) -> None:
    for sample in clean[kind]:
        dark = sample.image < 215
        for line in sample.lines:
            for ch, (x0, y0, x1, y1) in zip(line.text, line.boxes, strict=True):
                if not ch.isspace():
                    assert dark[int(y0) - 1 : int(y1) + 2, int(x0) - 1 : int(x1) + 2].any(), (line.text, ch)
        blocks = [region for region in sample.regions if region.label != "cell"]
        assert {region.label for region in blocks} <= set(LAYOUT_CLASSES)
        for line in sample.lines:
            x, y = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
            assert any(r.box[0] - 1 <= x <= r.box[2] and r.box[1] <= y <= r.box[3] for r in blocks), line.text
        printed = "".join("".join(line.text.split()) for line in sample.lines)
        assert all("".join(r.text.split()) in printed for r in sample.regions if r.label == "cell")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_structure_of_tables(kind, clean) -> None:
    merged = 0
    for sample in clean[kind]:
        cells = [region for region in sample.regions if region.label == "cell"]
        tables = [block for block in read_markdown(sample.target)[0] if isinstance(block, Table)]
        assert len(tables) == len(sample.meta["tables"])
        for table, told in zip(tables, sample.meta["tables"], strict=True):
            assert told["cells"] == [(r, c, cell.rows, cell.columns) for r, c, cell in table.placed()]
            rows, columns = told["row_edges"], told["column_edges"]
            assert (len(rows), len(columns)) == (len(table.rows) + 1, len(table.align) + 1)
            assert rows == sorted(rows)
            assert columns == sorted(columns)
            for (r, c, cell), region in zip(table.placed(), cells, strict=False):
                assert region.text == cell.text
                wanted = (columns[c], rows[r], columns[c + cell.columns], rows[r + cell.rows])
                assert region.box == pytest.approx(wanted, abs=0.6)
                merged += cell.columns > 1
            cells = cells[len(told["cells"]) :]
        assert not cells
    assert merged or kind != "invoice"


def test_figures_photos_captions_and_margin_notes(content) -> None:
    source = LayoutSource(content, 2, kinds=["slide", "textbook"], toned=0, degraded=0)
    seen: dict[str, int] = {}
    for i in range(24):
        sample = source.sample(i)
        for region in sample.regions:
            seen[region.label] = seen.get(region.label, 0) + 1
            x0, y0, x1, y1 = (round(v) for v in region.box)
            assert (sample.image[y0:y1, x0:x1] < 215).any(), region
            if region.label == "figure":
                inside = [line.text for line in sample.lines if x0 <= line.box[0] and line.box[2] <= x1
                          and y0 <= line.box[1] and line.box[3] <= y1]  # fmt: skip
                assert len(inside) >= 6, "axis labels"
                assert not region.text
    wanted = {"title", "list item", "figure", "photo", "caption", "header", "footer", "margin note", "text", "heading"}
    assert wanted <= seen.keys()
    assert seen["caption"] == seen["figure"] + seen["photo"]


def test_sums_add_up(clean) -> None:
    for sample in clean["invoice"]:
        amounts = dict(re.findall(r"(?m)(Subtotal|VAT|Total)[^&]*& (?:\\textbf\{)?[^\d]*([\d.,]+)", sample.target))
        cents = {name: int(re.sub(r"[.,]", "", value)) for name, value in amounts.items()}
        if "Subtotal" in cents:
            assert cents["Subtotal"] + cents["VAT"] == cents["Total"]


def test_addresses_are_next_to_each_other(clean) -> None:
    shared = 0
    for sample in clean["invoice"]:
        texts = [region.box for region in sample.regions if region.label == "text"]
        shared += any(a[2] < b[0] and abs(a[1] - b[1]) < 12 for a in texts for b in texts)
    assert shared == len(clean["invoice"])


def test_defects_move_all_boxes(content) -> None:
    plain = LayoutSource(content, 5, kinds=["invoice"], toned=0, degraded=0)
    worn = LayoutSource(content, 5, kinds=["invoice"], toned=0, degraded=1)
    moved = 0
    for i in range(16):
        a, b = plain.sample(i), worn.sample(i)
        assert a.target == b.target
        moved += a.meta["tables"][0]["row_edges"] != b.meta["tables"][0]["row_edges"]
    assert moved


def test_edges_of_merged_cells() -> None:
    cells = [(0, 0, 2, 1), (0, 1, 1, 1), (1, 1, 1, 1)]
    boxes = [(0.0, 0.0, 10.0, 20.0), (10.0, 0.0, 30.0, 8.0), (10.0, 8.0, 30.0, 20.0)]
    assert table_edges(cells, boxes) == ([0.0, 8.0, 20.0], [0.0, 10.0, 30.0])


def test_a_recipe_can_name_it(tmp_path) -> None:
    (tmp_path / "words.txt").write_text("Some plain words that a form can use in its fields and items. " * 40)
    source = SOURCES["layout"]({"texts": str(tmp_path / "words.txt"), "kinds": ["receipt"]}, 1)
    assert source.sample(0).meta["layout"] == "receipt"
    with pytest.raises(ConfigError, match="unknown layout 'ticket'; allowed: invoice, receipt, form, slide, textbook"):
        SOURCES["layout"]({"texts": str(tmp_path / "words.txt"), "kinds": ["ticket"]}, 1)
