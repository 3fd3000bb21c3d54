r"""Formulas of a PDF's text layer as LaTeX in the text, when weights are given; what is uncertain stays as it is."""

from __future__ import annotations

import json
import time
import unicodedata
from dataclasses import replace

import numpy as np
import pytest

from tests.pdfs import pdf_of, show
from vary.data.documents.typst import load_fonts, print_pdf
from vary.document.elements import Block, Document, Line, Page
from vary.document.findings import FormulaReading
from vary.document.formats.writers import WRITERS
from vary.document.orientation import Orientation
from vary.io.pdf import PdfFile
from vary.io.pdf_objects import read_content
from vary.reading.api import load, read
from vary.reading.formulas.from_layer import Formula
from vary.reading.formulas.lines import mark_formulas, write_formula_lines
from vary.reading.layer.align import Aligned
from vary.reading.layer.lines import find_lines
from vary.reading.layer.unclear import without_unclear

SOURCE = """#set page(width: 420pt, height: 260pt, margin: 30pt)
The harbour keeps a ledger of $x_i$ vessels, and each entry names the captain. The cargo weighs this much:
$ b^2 + 9 = 25 $
No ship may leave before the dues of 1,374 are paid, and the pilots wait for the tide on the second buoy."""


@pytest.fixture(scope="module")
def content():
    pdf = print_pdf(SOURCE, load_fonts())
    return read_content(pdf, pdf[0], 2.0)


def lines_of(content):
    size = round(content.objects.width), round(content.objects.height)
    return find_lines(content.text, np.arange(len(content.text.text)), Orientation(), size)


def writer(confidence: float, seen: list):
    def write(_, regions):
        seen.extend(regions)
        return [Formula(f"F_{k}", box, confidence, [], True) for k, box in enumerate(regions)]

    return write


def test_inline_and_displayed_formulas_are_found(content) -> None:
    seen: list = []
    lines, readings = write_formula_lines(lines_of(content), content, writer(0.9, seen))
    texts = sorted(line.text for line in lines)
    assert len(seen) == len(readings) == 2
    assert any("ledger of F_0 vessels" in text for text in texts)
    assert "F_1" in texts
    assert all(reading.used for reading in readings)
    assert all(len(line.text) == len(line.boxes) == len(line.confidence) == len(line.styles) for line in lines)


ITALIC = """#set page(width: 420pt, height: 260pt, margin: 30pt)
#set text(font: "Libertinus Serif")
The cargo is weighed on the quay before the tide turns, and the *clerk* writes _each_ entry twice.
#let half(it) = align(center, it)
#let rule = line(length: 20pt, stroke: 0.5pt)
#align(center)[_w_ = #box(baseline: 40%, stack(spacing: 4pt, half[_Po_], rule, half[_Pin_]))]
No ship may leave before the dues of 1,374 are paid, and _n_ = 4 pilots wait for the tide."""


def test_an_equation_in_italics_is_found_where_it_is_set_alone() -> None:
    pdf = print_pdf(ITALIC, load_fonts())
    content, seen = read_content(pdf, pdf[0], 2.0), []
    before = lines_of(content)
    lines, readings = write_formula_lines(before, content, writer(0.9, seen))
    assert len(readings) == len(seen) == 1
    x0, y0, x1, y1 = seen[0]
    parts = [line.box for line in before if line.text.strip() in ("w =", "Po", "Pin")]
    assert len(parts) == 3
    assert all(x0 <= box[0] and box[2] <= x1 and y0 <= box[1] and box[3] <= y1 for box in parts)
    assert {line.text for line in lines} >= {"F_0"}


NAMES = """#set page(width: 420pt, height: 260pt, margin: 30pt)
#set text(font: "Libertinus Serif")
The cargo is weighed on the quay before the tide turns, and the *clerk* writes _each_ entry twice.
#let half(it) = align(center, it)
#let over(wide, up, low) = box(baseline: 40%, stack(
  spacing: 4pt, half(up), half(line(length: wide, stroke: 0.5pt)), half(low)))
#align(center)[_w_ = #over(30pt)[_Pout_][_Pin_] = #over(60pt)[_Is_ × _Lo_][_Pin_]]
No ship may leave before the dues of 1,374 are paid, and _n_ = 4 pilots wait for the tide."""


@pytest.mark.parametrize("confidence", [0.2, 0.9])
def test_fractions_of_names_are_written_by_their_rules(confidence) -> None:
    pdf = print_pdf(NAMES, load_fonts())
    content = read_content(pdf, pdf[0], 2.0)
    lines, readings = write_formula_lines(lines_of(content), content, writer(confidence, []))
    by_rules = r"w = \frac{Pout}{Pin} = \frac{Is\times Lo}{Pin}"
    assert [reading.used for reading in readings] == [True]
    assert (by_rules if confidence < 0.7 else "F_0") in {line.text for line in lines}  # a certain decoder comes first


def test_names_that_no_rule_places_are_not_written() -> None:
    pdf = print_pdf(NAMES.replace("stroke: 0.5pt", "stroke: 0pt + white"), load_fonts())
    content = read_content(pdf, pdf[0], 2.0)
    before = lines_of(content)
    lines, readings = write_formula_lines(before, content, writer(0.2, []))
    assert not any(reading.used for reading in readings)
    assert sorted(line.text for line in lines) == sorted(line.text for line in before)


def test_limits_are_no_formulas_of_their_own() -> None:
    source = SOURCE.replace("b^2 + 9 = 25", "integral_(a)^(b + c) f(t) dif t = sum_(k = 1)^n product_(j in J) x_(k j)")
    pdf = print_pdf(source, load_fonts())
    content, seen = read_content(pdf, pdf[0], 2.0), []
    before = lines_of(content)
    small = [line.box for line in before if line.em_px < 0.85 * max(one.em_px for one in before)]
    assert small  # limits that came as lines of their own
    _, readings = write_formula_lines(before, content, writer(0.9, seen))
    used = [one.box for one in readings if one.used]
    assert not [box for box in used if any(abs(box[1] - one[1]) < 9 and abs(box[3] - one[3]) < 9 for one in small)]


def test_what_is_uncertain_stays_and_is_kept_apart(content) -> None:
    before = lines_of(content)
    lines, readings = write_formula_lines(before, content, writer(0.2, []))
    assert sorted(line.text for line in lines) == sorted(line.text for line in before)
    assert [(reading.used, reading.confidence) for reading in readings] == [(False, 0.2)] * 2


def test_glyphs_that_the_pixels_corrected_are_no_formula(content) -> None:
    healed = [replace(line, sources=np.full(len(line.text), 3, np.uint8)) for line in lines_of(content)]
    assert write_formula_lines(healed, content, writer(0.9, []))[1] == []


def test_from_the_file_to_markdown(tmp_path) -> None:
    path = tmp_path / "a.pdf"
    print_pdf(SOURCE, load_fonts()).save(path)
    document = read(path, load("vary-nano"))
    (page,) = document.pages
    assert "$$b^2 + 9 = 25$$" in document.markdown()
    assert [block.text for block in page.blocks if block.kind == "formula"] == ["b^2 + 9 = 25"]
    assert "ledger of $x_i$ vessels" in document.markdown()
    assert read(path, load("vary-nano", formulas=False)).pages[0].formulas == []
    assert [one.latex for one in page.formulas if one.used] == ["x_{i}", "b^{2}+9=25"]
    assert Page.from_dict(json.loads(json.dumps(page.to_dict()))).formulas[0].latex == page.formulas[0].latex
    assert "\\(x_i\\)" in "".join(WRITERS["html"]("a", "m", iter([page])))


def test_a_formula_that_could_not_be_written_links_its_picture() -> None:
    line = Line("b2 + 9", (10, 10, 60, 20), 1.0, writer="layer")
    page = Page(1, "ok", 100, 100, blocks=[Block([line], line.box)])
    page.formulas = [FormulaReading("b_2+9", (9, 9, 61, 21), 0.2, False)]
    mark_formulas(page, [page.formulas[0].box])
    (block,) = page.blocks
    assert (block.kind, block.is_picture) == ("formula", True)
    assert Document("a", "m", [page]).markdown().endswith("\n\nb2 + 9")
    block.image = "a_images/0001-1.png"
    assert Document("a", "m", [page]).markdown().endswith("\n\n![formula](a_images/0001-1.png)")


def test_a_large_table_of_numbers_takes_no_time(tmp_path) -> None:
    """Each number may be a limit of a sum: 900 of them once took minutes."""
    cells = [show(f"{(7 * k) % 90 + 10}", 20 + 19 * (k % 30), 780 - 25 * (k // 30), 8) for k in range(900)]
    with PdfFile(pdf_of(tmp_path / "a.pdf", ["".join(cells)], (600, 800))) as pdf:
        page = pdf.content(1, 112.0)
    began = time.process_time()
    lines, readings = write_formula_lines(lines_of(page), page, writer(0.9, []))
    assert time.process_time() - began < 5
    assert (sum(len(line.text.split()) for line in lines), readings) == (900, [])


def test_dots_of_a_table_of_contents_are_no_formula() -> None:
    """TeX takes them from a font for mathematics."""
    text = "\\ ".join(f"{name} $. . . . . . . . . .$ {page}" for name, page in (("Sums", 13), ("The mean", 14)))
    pdf = print_pdf(f"#set page(width: 420pt, height: 200pt, margin: 30pt)\n{text}\\ The mean is $x_i$", load_fonts())
    page, seen = read_content(pdf, pdf[0], 2.0), []
    lines, readings = write_formula_lines(lines_of(page), page, writer(0.9, seen))
    assert len(readings) == 1
    assert sum("F_0" in line.text for line in lines) == 1
    assert sum(line.text.count(".") for line in lines) == 20


def test_words_of_one_letter_in_greek_are_no_formulas() -> None:
    text = "Η θάλασσα η μεγάλη και ο ουρανός ο γαλανός\\ The angle α is small"
    pdf = print_pdf(f"#set page(width: 420pt, height: 200pt, margin: 30pt)\n{text}", load_fonts())
    page, seen = read_content(pdf, pdf[0], 2.0), []
    lines, readings = write_formula_lines(lines_of(page), page, writer(0.9, seen))
    assert len(readings) == 1
    assert sorted(line.text for line in lines) == [
        "The angle F_0 is small",
        "Η θάλασσα η μεγάλη και ο ουρανός ο γαλανός",
    ]


LIMITS = r"""#set page(width: 420pt, height: 260pt, margin: 40pt)
#set text(size: 11pt)
#show math.equation: set text(font: "New Computer Modern Math")
The mean of the sample is $1/n sum_(i=1)^n x_i$ and the share is $a/b$ of the whole, as the next table says again.

The root $sqrt(a^2 + b^2)$ of the sum of both squares is known here, and so are all the other quantities of it.

#table(columns: 3, $x_i$, [position], [m], $E = m c^2$, [energy], [J], $k_B T$, [heat], [J])"""


def test_limits_fractions_and_roots_in_lines_and_formulas_in_cells(tmp_path) -> None:
    """What is small above and below a line belongs to its formula; rows of a table are formulas of their own."""
    print_pdf(LIMITS, load_fonts()).save(tmp_path / "a.pdf")
    found = read(tmp_path / "a.pdf", load("vary-nano")).markdown()
    assert r"is $\frac{1}{n}\sum_{i=1}^{n}x_i$ and the share is $\frac{a}{b}$ of the whole" in found
    assert r"The root $\sqrt{a^2 + b^2}$ of the sum" in found
    for row in ("| $x_i$ | position | m |", "| $E = mc^2$ | energy | J |", "| $k_{B}T$ | heat | J |"):
        assert row in found


def test_pixels_contradict_no_character_of_a_formula(content) -> None:
    (line,) = (one for one in lines_of(content) if "ledger" in one.text)
    inked = line.text.replace(" ", "")
    against = Aligned(np.full(len(inked), -9.0), ["q"] * len(inked))
    kept = without_unclear(line, against, content.text)
    unclear = "".join(ch for ch, odds in zip(inked, kept.odds.tolist(), strict=True) if odds > -9)
    assert unicodedata.normalize("NFKC", unclear) == "xi"
    assert [seen for seen in kept.seen if not seen] == ["", ""]


@pytest.mark.parametrize("confidence", [0.2, 0.9])
def test_indices_on_a_line_of_their_own_go_with_the_formula_that_is_written(content, confidence) -> None:
    before, seen = lines_of(content), []
    write_formula_lines(before, content, writer(0.9, seen))
    x0, y0, x1, y1 = seen[0]
    index = before[0].part(slice(1))
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    box = np.array([[middle[0] - 1, middle[1] - 1, middle[0] + 1, middle[1] + 1]], np.float32)
    index = replace(index, text="7", boxes=box, em_px=0.8 * index.em_px)
    lines, _ = write_formula_lines([*before, index], content, writer(confidence, []))
    assert ("7" in [line.text for line in lines]) == (confidence < 0.7)
