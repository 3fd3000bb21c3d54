"""The logos of TeX and LaTeX: their E stands below the line, which no letter of a word does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.document.lines import TextLine
from vary.reading.spelling.logos import spell_logos

SIZE = 24  # px per em
SMALL = 17  # px per em of the raised A
Letters = list[tuple[str, float, float]]  # character, left edge in em, and how far below the line it stands in em


def drawn(letters: Letters) -> np.ndarray:
    image = Image.new("L", (400, 80), 255)
    for ch, left, low in letters:
        face = ImageFont.truetype("DejaVuSerif.ttf", SMALL if low < 0 else SIZE)
        ImageDraw.Draw(image).text((40 + left * SIZE, 45 + low * SIZE), ch, font=face, fill=0, anchor="ls")
    return np.asarray(image)


def read(text: str, edges: list[float]) -> TextLine:
    """Return a line with the edges of its characters in em."""
    top, bottom = 45 - 0.74 * SIZE, 45 + 0.22 * SIZE
    boxes = [[40 + a * SIZE, top, 40 + b * SIZE, bottom] for a, b in pairwise(edges)]
    return TextLine(text, np.array(boxes, np.float32), np.full(len(text), 0.7, np.float32), SIZE)


TEX: Letters = [("T", 0.0, 0.0), ("E", 0.55, 0.22), ("X", 1.1, 0.0)]
LATEX: Letters = [("L", -0.75, 0.0), ("A", -0.45, -0.2), *TEX]
EDGES = [0.0, 0.6, 1.2, 1.8]


@pytest.mark.parametrize(
    ("text", "edges", "letters", "expected"),
    [
        ("ТЕХ", EDGES, TEX, "TEX"),  # read as Cyrillic letters
        ("ТЕХy", [*EDGES, 2.3], TEX, "TEXy"),
        ("ХеТЕХ", [-1.2, -0.5, *EDGES], TEX, "XeTEX"),
        ("ИТЕХ", [-1.0, *EDGES], TEX, "ИTEX"),
        ("LTEX", [-0.75, *EDGES], LATEX, "LATEX"),
        ("IATEX", [-0.75, -0.4, *EDGES], LATEX, "LATEX"),
        ("BTEX", [-0.75, *EDGES], LATEX, "LATEX"),
        ("ЕЖТЕХ", [-0.75, -0.4, *EDGES], LATEX, "LATEX"),
        ("pdfBTEX", [-2.2, -1.6, -1.1, -0.75, *EDGES], LATEX, "pdfLATEX"),
        ("TEX", EDGES, LATEX, "LATEX"),
        ("TEX", EDGES, TEX, "TEX"),
        ("BIBTEX", [-1.6, -0.95, -0.6, *EDGES], TEX, "BIBTEX"),
    ],
)
def test_logos_are_spelt_in_latin_letters(text, edges, letters, expected) -> None:
    line = spell_logos([read(text, edges)], drawn(letters))[0]
    assert line.text == expected
    assert len(line.boxes) == len(line.confidence) == len(expected)


@pytest.mark.parametrize("text", ["ТЕХ", "LTEX", "VORTEX"])
def test_letters_that_stand_on_the_line_stay(text) -> None:
    plain: Letters = [(ch, left, 0.0) for ch, left in (("T", 0.0), ("E", 0.65), ("X", 1.35))]
    before = [-0.7 * k for k in range(len(text) - 3, 0, -1)]
    assert spell_logos([read(text, [*before, 0.0, 0.65, 1.35, 2.0])], drawn(plain))[0].text == text
