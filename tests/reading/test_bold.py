"""Bold lines, by the width of their strokes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tests.pdfs import pdf_of, show
from vary.document.lines import TextLine, split_box
from vary.reading.loader import load_reader
from vary.reading.pages import read_document
from vary.reading.spelling.bold import find_bold, mark_bold

WORDS = "the ferry leaves the harbour at noon and carries oil and flour to the island before the second bell rings"


def lines_of(bold: set[int], size: float) -> list[str]:
    """The lines of a page in Helvetica; those in `bold` are short and in its bold face."""
    words, shown, y = WORDS.split(), [], 780
    for k in range(14):
        y -= 34 if k in bold else 18
        text = f"Section of line {k}" if k in bold else " ".join(words[k % 7 :] + words[: k % 7])[:78]
        shown.append(show(text, 60, y, size, "F2" if k in bold else "F1"))
    return shown


@pytest.mark.parametrize(("size", "bold"), [(11, {0, 6}), (10, set(range(14)))])
def test_bold_lines_among_others_are_headings(tmp_path, size, bold) -> None:
    path = pdf_of(tmp_path / "a.pdf", ["".join(lines_of(bold, size))], (595, 842))
    page = read_document(path, load_reader("vary-nano", pixels=True)).pages[0]
    found = [block.text for block in page.blocks if block.kind == "heading"]
    assert found == ([f"Section of line {k}" for k in sorted(bold)] if len(bold) < 14 else [])
    assert len(bold) < 14 or not any(style[2] == "bold" for line in page.lines for style in line.styles)


def drawn(strokes: list[int], rule: bool = False) -> tuple[list[TextLine], np.ndarray]:
    """Lines of level strokes of such widths in px, 4 px apart, and their page."""
    page, lines = np.full((30 * len(strokes) + 20, 400), 255, np.uint8), []
    for k, width in enumerate(strokes):
        top = 10 + 30 * k
        for x in range(20, 380 - width, width + 4):
            page[top + 3 : top + 12, x : x + width] = 0
        if rule and not k:
            page[top + 13, 20:380] = 0
        boxes = [(20 + 9 * j, top, 29 + 9 * j, top + 16) for j in range(40)]
        lines.append(TextLine("n" * 40, np.array(boxes, np.float32), np.ones(40, np.float32), 16.0))
    return lines, page


@pytest.mark.parametrize(
    ("strokes", "bold"),
    [([3, 2, 2, 2], [0]), ([2, 2, 2, 2], []), ([3, 3, 2, 2], []), ([3, 2], [])],
    ids=["one", "none", "as many", "too few to compare"],
)
def test_wide_strokes_are_bold_where_most_lines_have_narrower_ones(strokes, bold) -> None:
    assert np.flatnonzero(find_bold(*drawn(strokes))).tolist() == bold


def test_a_rule_below_words_does_not_make_them_bold() -> None:
    assert not find_bold(*drawn([2, 2, 2, 2], rule=True)).any()


@pytest.mark.parametrize("typewritten", [True, False])
def test_typewriter_type_is_not_compared(typewritten) -> None:
    lines, page = drawn([3, 2, 2, 2])
    lines[0].styles = np.tile([False, False, typewritten], (40, 1))
    marked = mark_bold(lines, page)
    assert marked[0].styles[:, 0].all() != typewritten
    assert marked[1].styles is None


def test_bold_lines_of_a_blurred_scan_have_more_ink() -> None:
    """Blur makes all strokes wide. Capitals and digits have more ink in any type."""
    usual = "the ferry leaves the harbour at noon and carries oil and flour"
    texts = [*[usual] * 8, "Oil and flour", "OIL AND FLOUR", "1974, 1981 and 2003"]
    page, lines = Image.new("L", (700, 30 * len(texts)), 255), []
    for k, text in enumerate(texts):
        font = ImageFont.truetype(f"DejaVuSans{'-Bold' * (text == 'Oil and flour')}.ttf", 15)
        ImageDraw.Draw(page).text((20, 30 * k + 6), text, 0, font)
        box = (20.0, 30.0 * k + 5, 20 + font.getlength(text), 30.0 * k + 26)
        lines.append(TextLine(text, np.array(split_box(box, len(text))), np.ones(len(text)), 15.0))
    blurred = np.asarray(page.filter(ImageFilter.GaussianBlur(1.1)))
    assert [lines[k].text for k in np.flatnonzero(find_bold(lines, blurred))] == ["Oil and flour"]
