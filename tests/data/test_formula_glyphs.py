"""Glyphs of typeset formulas: each printed step has the glyph that shows it, and samples repeat."""

from __future__ import annotations

import numpy as np
import pytest

from vary.data.documents.formula_glyphs import FormulaGlyphs, exchange_symbols
from vary.markup.math import write_latex
from vary.markup.math_parser import parse
from vary.markup.math_tokens import RULE, STYLES, to_steps

FORMULAS = [
    r"\frac{a}{b+1}",
    r"x_{1}^{1}+y_{2}^{2}",
    r"\sqrt{\alpha}=\mathbf{v}",
    r"\begin{pmatrix}a&b\\b&a\end{pmatrix}",
]


def source(**settings: object) -> FormulaGlyphs:
    return FormulaGlyphs(FORMULAS, **({"shares": (0, 1, 0), "swapped": 0.0} | settings))


def test_each_printed_step_points_at_its_character() -> None:
    for k in range(32):
        formula = source().sample(k)
        for step, at in zip(formula.steps, formula.pointers.tolist(), strict=True):
            assert (at < 0) == (len(step) > 1)
            assert at < 0 or formula.chars[at] == step


def test_pointers_follow_the_picture_and_not_the_order_of_printing() -> None:
    """Typst prints superscripts before subscripts and matrices column by column."""
    by_latex = {f.latex: f for f in map(source().sample, range(64))}
    scripts = by_latex[FORMULAS[1]]
    ones = [int(p) for s, p in zip(scripts.steps, scripts.pointers, strict=True) if s == "1"]
    assert scripts.boxes[ones[0], 1] > scripts.boxes[ones[1], 1]  # the subscript is written first and lies lower
    matrix = by_latex[FORMULAS[3]]
    places = [matrix.boxes[p] for p in matrix.pointers.tolist() if p >= 0]
    assert places[0][0] < places[1][0]
    assert places[0][1] < places[2][1]
    assert abs(places[0][0] - places[2][0]) < 4 < abs(places[0][0] - places[1][0])


def test_rules_and_styles_are_glyphs_too() -> None:
    by_latex = {f.latex: f for f in map(source().sample, range(64))}
    fraction = by_latex[FORMULAS[0]]
    rule = fraction.boxes[fraction.chars.index(RULE)]
    assert rule[2] - rule[0] > 10 > 3 > rule[3] - rule[1]
    root = by_latex[FORMULAS[2]]
    assert "√" in root.chars
    assert STYLES[root.styles[root.chars.index("v")]] == "bold"
    assert STYLES[root.styles[root.chars.index("α")]] == "italic"
    assert np.all(np.diff((root.boxes[:, 0] + root.boxes[:, 2]) / 2) >= 0)


def test_samples_are_functions_of_seed_and_number() -> None:
    one, two = FormulaGlyphs(FORMULAS, seed=2), FormulaGlyphs(FORMULAS, seed=2)
    ahead = [one.sample(k) for k in range(20)]
    for k in (19, 3):
        again = two.sample(k)
        assert again.latex == ahead[k].latex
        assert again.chars == ahead[k].chars
        assert np.array_equal(again.boxes, ahead[k].boxes)
        assert np.array_equal(again.pointers, ahead[k].pointers)
    assert {FormulaGlyphs(FORMULAS, seed=s).sample(0).latex for s in range(8)} - {ahead[0].latex}


def test_longest_bounds_the_steps() -> None:
    short = FormulaGlyphs(FORMULAS, longest=6)
    assert max(len(short.sample(k).steps) for k in range(32)) <= 6


def test_exchange_keeps_words_and_structure() -> None:
    row = parse(r"\frac{\mathrm{kg}}{x}+\text{if }y_{12}")
    seen = set()
    for seed in range(20):
        after = to_steps(exchange_symbols(row, np.random.default_rng(seed), 1.0)).steps
        assert [s for s in after if s in ("\\frac{", "}{", "_{")] == ["\\frac{", "}{", "_{"]
        assert "".join(after).count("\\mathrm{kg") == "".join(after).count("\\text{if") == 1
        seen.add(write_latex(exchange_symbols(row, np.random.default_rng(seed), 1.0)))
    assert len(seen) > 15


def test_no_formulas_is_an_error() -> None:
    with pytest.raises(ValueError, match="no formulas"):
        FormulaGlyphs([])
