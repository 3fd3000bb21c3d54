"""The steps of formulas are sought more widely where the likeliest ones are unsure, and no glyph is written twice."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from vary.markup.math_tokens import END, GLYPHS, RULE, STRUCTURE
from vary.models.formulas.grammar import StepGrammar
from vary.models.formulas.writer import WrittenFormula, write_formulas

NEVER = 1e-9


class Table:
    """A model of steps whose probabilities stand in a table: by the steps before, joined by blanks."""

    glyphs, structure = GLYPHS, STRUCTURE

    def __init__(self, chars: str, table: dict[str, dict[str, float]]):
        self.chars, self.table, self.rows = chars, table, list[int]()

    def begin(self, classes_BN, styles_BN, boxes_BN4, real_BN) -> list[str]:
        return [""] * len(classes_BN)

    def next(self, state, steps_B, last_B, used_BN) -> np.ndarray:
        self.rows.append(len(state))
        names = [*STRUCTURE, *self.chars]
        state[:] = [f"{text} {names[step]}".replace(END, "").strip() for text, step in zip(state, steps_B, strict=True)]
        return np.log([[self.table.get(text, {}).get(name, NEVER) for name in names] for text in state])

    def select(self, state, rows_B) -> list[str]:
        return [state[row] for row in rows_B]


def write(model: Table) -> WrittenFormula:
    places = np.zeros((len(model.chars), 4), np.float32)
    return write_formulas(model, [(model.chars, np.zeros(len(model.chars), np.int64), places)])[0]


SQUARE = {
    "": {"x": 1.0}, "x": {END: 0.6, "^{": 0.4}, "x ^{": {"2": 1.0}, "x ^{ 2": {"\\egroup": 1.0},
    "x ^{ 2 \\egroup": {END: 1.0},
}  # fmt: skip


def test_glyphs_that_are_left_over_are_sought_a_place() -> None:
    """The likeliest way ends before the 2."""
    written = write(Table("x2", SQUARE))
    assert (written.latex, written.accounted) == ("x^{2}", True)
    assert math.prod(written.confidence) == pytest.approx(0.4)


def test_the_likeliest_of_several_ways_is_written() -> None:
    """The first step of the other way is less likely, all of its steps together are likelier."""
    table = {
        "": {"x": 0.55, "2": 0.45}, "x": {"2": 0.5, "^{": 0.5}, "2": {"x": 1.0}, "2 x": {END: 1.0},
        "x 2": {END: 1.0}, "x ^{": {"2": 1.0}, "x ^{ 2": {"\\egroup": 1.0}, "x ^{ 2 \\egroup": {END: 1.0},
    }  # fmt: skip
    assert write(Table("x2", table)).latex == "2x"


def test_one_way_is_enough_where_it_is_sure() -> None:
    model = Table("x2", SQUARE | {"x": {END: 0.1, "^{": 0.9}})
    assert write(model).latex == "x^{2}"
    assert model.rows == [1] * 5


def allowed(chars: str, *steps: str) -> StepGrammar:
    grammar = StepGrammar(40, Counter(chars))
    for step in steps:
        assert grammar.allows(step), step
        grammar.take(step)
    return grammar


def test_what_a_step_draws_is_not_printed_as_well() -> None:
    grammar = allowed("()ab", "\\begin{pmatrix}", "a")
    assert grammar.allows("b")
    assert not grammar.allows("(")
    assert not allowed("(ab").allows("\\begin{pmatrix}")
    assert not allowed(f"{RULE}abc", "\\frac{", "a", "}{", "b", "\\egroup").allows("\\frac{")


@pytest.mark.parametrize("char", [RULE, "\u0302"])
def test_rules_and_accents_are_no_characters(char: str) -> None:
    assert not allowed(f"{char}ab", "a").allows(char)


def test_white_stands_between_glyphs_and_is_not_endless() -> None:
    assert allowed("ab", "a").allows("\\quad")
    assert not allowed("ab", "a", "b").allows("\\quad")
    assert not allowed("ab", "a", "\\,", "\\,", "\\,").allows("\\,")


@pytest.mark.parametrize("chars", ["", RULE, "\u0302\u0302"])
def test_lines_and_accents_alone_are_no_formula(chars: str) -> None:
    written = write(Table(chars, {}))
    assert (written.latex, written.accounted) == ("", False)
