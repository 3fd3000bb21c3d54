"""Characters of fonts made for TeX are named where a PDF gives only their codes."""

from __future__ import annotations

import io
from dataclasses import replace

import matplotlib
import numpy as np
import pypdfium2 as pdfium
import pytest
from matplotlib.figure import Figure

from vary.io.pdf_layer import ARRAYS, PRIVATE, PRIVATE_CODES, TextLayer
from vary.io.pdf_text import read_text_layer
from vary.io.tex_fonts import name_tex_characters

CONTROLS = PRIVATE + PRIVATE % PRIVATE_CODES  # where `pdf_text` puts codes of control characters without a character


def layer_of(text: str, *fonts: str) -> TextLayer:
    """A layer of glyphs of the first font."""
    arrays = {name: np.zeros((len(text), width) if width > 1 else len(text), dtype) for name, dtype, width in ARRAYS}
    return TextLayer(text, **arrays, font_names=fonts)


def named(char: str, font: str, unmapped: bool = False) -> str:
    layer = layer_of(char, font)
    return name_tex_characters(replace(layer, unmapped=np.array([unmapped], np.uint8))).text


@pytest.mark.parametrize(("char", "font", "found"), [
    ("\x12", "ABCDEF+CMEX10", "("), ("¡", "CMEX10", "("), ("³", "CMEX10", "("), ("\x00", "CMSY7", "−"),
    ("\x0f", "CMMI10", "ϵ"), (chr(CONTROLS + 16), "CMEX10", "("), (chr(PRIVATE), "LMMathExtension10", "("),
    ("X", "Cmex10", "∑"), ("∙", "Cmsy10", "≤"), ("§", "ABCDEF+Cmsy10", "±"), ("!", "Cmmi10", "ω"),
])  # fmt: skip
def test_codes_of_tex_fonts(char, font, found) -> None:
    assert named(char, font) == found


@pytest.mark.parametrize(("char", "font", "found"), [
    ("X", "CMEX10", "∑"), ("Z", "CMEX10", "∫"), ("p", "CMEX10", "√"), ("(", "CMEX10", "{"), ("h", "CMSY10", "⟨"),
    ("[", "CMSY10", "∪"), ("/", "CMSY10", "∝"), ("A", "CMSY10", "A"), ("x", "CMMI10", "x"), ("?", "CMMI10", "⋆"),
    ("X", "LMMathExtension10-Regular", "∑"), ("7", "LMMathSymbols10", "↦"),
])  # fmt: skip
def test_what_has_no_character_is_a_code(char, font, found) -> None:
    assert named(char, font, unmapped=True) == found
    assert named(char, font) == char


@pytest.mark.parametrize("char", "§¶¬·±•∑")
def test_a_character_of_the_font_is_no_code(char) -> None:
    """Copies of the codes lie where Latin-1 has these: only fonts that have no characters mean the copies."""
    assert named(char, "ABCDEF+CMSY10") == char


@pytest.mark.parametrize("font", ["Times", "CMR10", "LMRoman10-Regular"])
def test_other_fonts_have_no_such_codes(font) -> None:
    assert named("h", font, unmapped=True) == "h"


def test_a_layer_is_named_and_other_fonts_stay() -> None:
    layer = layer_of("XXX", "CMEX10", "CMR10")
    layer = replace(layer, fonts=np.array([0, 1, -1], np.int32), unmapped=np.array([1, 0, 0], np.uint8))
    found = name_tex_characters(layer)
    assert found.text == "∑XX"
    assert found.unmapped.tolist() == [0, 0, 0]
    assert name_tex_characters(replace(layer, font_names=("Times", "CMR10"))).text == "XXX"


def test_a_figure_of_matplotlib_has_the_signs_of_its_formulas() -> None:
    """Its copies of the fonts give the codes of TeX: without their encoding the sum is `X`."""
    stream, figure = io.BytesIO(), Figure()
    with matplotlib.rc_context({"mathtext.fontset": "cm"}):
        figure.text(0.2, 0.5, r"$\sum\int\alpha\omega\psi\leq\pm\rightarrow X$")
        figure.savefig(stream, format="pdf")
    with pdfium.PdfDocument(stream.getvalue()) as pdf:
        assert "".join(read_text_layer(pdf[0]).text.split()) == "∑∫αωψ≤±→X"
