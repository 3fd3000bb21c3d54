"""Formulas that are set on their own are found in lines read from pixels, tried, and written when they are certain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vary.data.documents.typst import load_fonts, print_pdf
from vary.document.lines import TextLine
from vary.markup.math_tokens import RULE
from vary.models.formulas.found_glyphs import FoundGlyphs
from vary.models.hub import weights_dir
from vary.reading.api import load, read
from vary.reading.formulas.from_pixels import bare_pixels, is_formula, join_over_ink, write_pixel_formulas

EM = 16.0
PROSE = "The model of a ship says that each port holds some of the days"


def line(text: str, x: float, y: float, confidence: float = 0.95, em: float = EM) -> TextLine:
    edges = x + 0.5 * em * np.arange(len(text) + 1)
    rows = np.full(len(text), y), np.full(len(text), y + em)
    boxes = np.stack([edges[:-1], rows[0], edges[1:], rows[1]], 1).astype(np.float32)
    return TextLine(text, boxes, np.full(len(text), confidence, np.float32), em)


class Reader:
    """Reads every formula as the same LaTeX."""

    def __init__(self, latex: str = r"y=\frac{1}{x}", probability: float = 0.9):
        self.latex, self.probability, self.asked = latex, probability, []

    def read(self, image: Image.Image, scale: float, em_px: float) -> tuple[str, float]:
        self.asked.append((image.size, scale, em_px))
        return self.latex, self.probability


def page(lines: list[TextLine], by: float = 1.0) -> Image.Image:
    """A page of twice the size of its lines, with ink in their boxes."""
    pixels = np.full((int(400 / by), int(700 / by)), 255, np.uint8)
    for one in lines:
        for x0, y0, x1, y1 in one.boxes / by:
            pixels[int(y0) : int(y1), int(x0) + 1 : max(int(x0) + 2, int(x1) - 1)] = 0
    return Image.fromarray(pixels)


def write(lines: list[TextLine], reader: Reader, around: tuple = (), by: float = 1.0):
    return write_pixel_formulas(lines, page(lines, by), by, EM, around, reader.read)


FRACTION = [line("y =", 260, 110), line("1", 300, 98), line("x", 300, 122)]
AROUND = [line(PROSE, 40, 40), line(PROSE, 40, 180)]


@pytest.mark.parametrize("by", [1.0, 0.5])
def test_the_lines_of_a_formula_become_one_line_of_latex(by: float) -> None:
    lines, (reading,) = write([*AROUND, *FRACTION], Reader(), by=by)
    assert [one.text for one in lines] == [PROSE, PROSE, r"y = \frac{1}{x}"]
    assert (reading.latex, reading.confidence, reading.used) == (r"y=\frac{1}{x}", 0.9, True)
    x0, y0, x1, y1 = (v * by for v in reading.box)
    assert max(x0 - 262, y0 - 100, 306 - x1, 136 - y1) < 0
    assert lines[-1].styles[:, -1].all()


@pytest.mark.parametrize(("by", "expected"), [(1.0, (1.375, 22.0)), (0.66, (1.0, 16 / 0.66)), (0.5, (26 / 32, 26.0))])
def test_the_type_is_brought_to_a_size_that_the_glyph_head_knows(by: float, expected: tuple[float, float]) -> None:
    reader = Reader()
    write([*AROUND, *FRACTION], reader, by=by)
    ((_, scale, em_px),) = reader.asked
    assert (scale, em_px) == pytest.approx(expected)


def test_the_number_of_an_equation_becomes_its_tag() -> None:
    lines, _ = write([*AROUND, *FRACTION, line("(12)", 600, 110)], Reader())
    assert lines[-1].text == r"y = \frac{1}{x} \tag{12}"
    assert len(lines) == 3


@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_what_is_not_certain_stays_and_is_kept_apart(probability: float) -> None:
    given = [*AROUND, *FRACTION]
    lines, (reading,) = write(given, Reader(probability=probability))
    assert lines == given
    assert (reading.used, reading.confidence) == (False, probability)


@pytest.mark.parametrize(
    "lines",
    [
        [line(PROSE, 40, 40), line("the end of x = 1, and so on for the others", 40, 60)],
        [line(PROSE, 40, 40), line("x = 1", 40, 57)],  # nearly touches prose
        [line("Length of the day", 40, 60), line("x = 1", 200, 60)],  # a cell of a row
        [line(PROSE, 40, 40), line("i=1", 260, 120, em=10.0)],  # small as limits of a sum
    ],
    ids=["prose", "near prose", "cell", "small"],
)
def test_other_lines_are_not_tried(lines: list[TextLine]) -> None:
    reader = Reader()
    assert write(lines, reader) == (lines, [])
    assert not reader.asked


def test_no_formula_is_sought_in_a_figure() -> None:
    reader = Reader()
    write([*AROUND, *FRACTION], reader, around=((200.0, 80.0, 400.0, 170.0),))
    assert not reader.asked


def test_ink_that_goes_on_beyond_the_formula_is_not_cut() -> None:
    reader, lines = Reader(), [*AROUND, *FRACTION]
    image = page(lines)
    image.paste(0, (60, 112, 262, 124))  # a stroke that runs into it
    write_pixel_formulas(lines, image, 1.0, EM, (), reader.read)
    assert not reader.asked


def test_ink_outside_of_all_glyphs_is_counted() -> None:
    pixels = np.full((40, 60), 250, np.uint8)
    pixels[10:20, 10:20] = 0
    pixels[4:6, 12:18] = 20  # an accent
    glyph = np.array([[10.0, 10.0, 20.0, 20.0]])
    assert bare_pixels(pixels, glyph) == 12
    assert bare_pixels(pixels, np.array([[10.0, 3.0, 20.0, 20.0]])) == 0


def test_pieces_of_a_rule_are_one_where_ink_joins_them() -> None:
    pixels = np.full((40, 120), 250, np.uint8)
    pixels[20:22, 10:60] = pixels[20:22, 66:100] = 0  # two rules of six pixels apart
    boxes = np.array([[10, 20, 20, 22], [28, 20, 58, 22], [66, 20, 100, 22], [70, 30, 80, 34]], np.float32)
    found = FoundGlyphs(np.array([1, 1, 1, 2]), np.zeros(4, int), boxes, np.ones(4))
    joined = join_over_ink(found, RULE + "x", pixels)
    assert joined.boxes.tolist() == [[10, 20, 58, 22], [66, 20, 100, 22], [70, 30, 80, 34]]


@pytest.mark.parametrize(
    "latex", ["x=1", r"A\subseteq B", "f(x)", r"\frac{a}{b}", "x_{i}", r"\alpha\in A", r"f(x)=\sin x"]
)
def test_relations_operations_and_scripts_are_formulas(latex: str) -> None:
    assert is_formula(latex)


@pytest.mark.parametrize("latex", ["x", "Summary", "seealso+1", "x=", "(x=1", r"25.3\%,n=2", ""])
def test_words_and_pieces_are_not(latex: str) -> None:
    assert not is_formula(latex)


def test_a_page_with_formulas_from_pixels(tmp_path: Path) -> None:
    """The shipped model on a drawn page: prose stays, and the formula is LaTeX."""
    prose = "#lorem(40)"
    body = f"{prose}\n\n$ x = (a + b) / (2 c) $\n\n{prose}\n\n$ y^2 = z $\n\n{prose}"
    face = '#show math.equation: set text(font: "New Computer Modern Math")'
    setup = "#set page(width: 420pt, height: 380pt, margin: 40pt)\n#set text(size: 11pt)\n" + face + "\n"
    pdf = print_pdf(setup + body, load_fonts())
    pdf[0].render(scale=200 / 72, grayscale=True).to_pil().save(tmp_path / "page.png", dpi=(200, 200))
    document = read(tmp_path / "page.png", load("vary-nano"))
    assert "$$x = \\frac{a + b}{2c}$$" in document.markdown()
    assert "$$y^2 = z$$" in document.markdown()
    assert "Lorem ipsum" in document.markdown()
    assert (weights_dir("vary-nano") / "formulas_glyphs.onnx").is_file()


@pytest.mark.parametrize(
    ("typst", "size", "latex"),
    [("x^2", 12, "x^2"), ("w(x) = sqrt(1 - x^2)", 24, r"w(x) = \sqrt{1 - x^2}"), ("Y_(4,4)", 11, "Y_{4,4}")],
)
def test_an_image_of_one_formula_is_latex(tmp_path: Path, typst: str, size: int, latex: str) -> None:
    """Without other text, the size of the type is not known, and no direction."""
    setup = f"#set page(width: auto, height: auto, margin: 8pt)\n#set text(size: {size}pt)\n"
    face = '#show math.equation: set text(font: "New Computer Modern Math")\n'
    pdf = print_pdf(f"{setup}{face}$ {typst} $", load_fonts())
    pdf[0].render(scale=150 / 72, grayscale=True).to_pil().save(tmp_path / "formula.png", dpi=(150, 150))
    document = read(tmp_path / "formula.png", load("vary-nano"))
    assert document.markdown().split("-->")[-1].strip() == f"$${latex}$$"


@pytest.mark.parametrize("text", ["Total", "12.50", "Fig. 3", "page 4 of 7"])
def test_a_picture_of_a_few_words_is_no_formula(tmp_path: Path, text: str) -> None:
    pdf = print_pdf(f"#set page(width: auto, height: auto, margin: 8pt)\n{text}", load_fonts())
    pdf[0].render(scale=150 / 72, grayscale=True).to_pil().save(tmp_path / "words.png", dpi=(150, 150))
    page = read(tmp_path / "words.png", load("vary-nano")).pages[0]
    assert not page.formulas
    assert page.text.strip() == text
