"""Decoder steps: they and canonical LaTeX turn into each other, and the grammar lets only well-formed ones pass."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from vary.markup.math import normalise
from vary.markup.math_nodes import LatexError
from vary.markup.math_parser import parse
from vary.markup.math_symbols import SYMBOLS
from vary.markup.math_tokens import END, GLYPHS, STRUCTURE, from_steps, plain, to_steps
from vary.models.formulas.grammar import DELIMITERS, StepGrammar

FORMULAS = [
    r"\frac{x^{2}}{\log y}", r"x_{i}^{2}+\sqrt[3]{\pi}", r"\mathbf{A}\mathcal{L}\mathbb{R}", r"f^{\prime}(x)\to0",
    r"\left(\frac{a}{b}\right]", r"\left.\frac{d}{dx}\right|_{x=0}", r"\begin{pmatrix}a&b\\c&d\end{pmatrix}",
    r"\begin{array}{ll}a&b\\c&d\end{array}", r"\begin{cases}1&\text{if }x>0\\0&\mathrm{otherwise}\end{cases}",
    r"\sum_{\substack{i<n\\j<n}}a_{ij}", r"\operatorname{argmax}_{x}f", r"\lim_{n\to\infty}\|x\|", r"{}_{2}F_{1}",
    r"\overset{n}{x}\binom{n}{k}\hat{\beta}", r"\{a,b\}\,c\quad d", r"\text{a\_b \& c\%}", r"\bigl(x\bigr)", r"\Re z",
    r"\begin{aligned}a&=b\\c&=d\end{aligned}", r"\int\limits_{0}^{1}x\,dx", r"\ell\hbar\aleph",
]  # fmt: skip


def is_well_formed(steps: list[str]) -> bool:
    """Whether the grammar allows each of these steps and then the end."""
    state = StepGrammar(len(steps) + 1)
    for step in (*steps, END):
        if not state.allows(step):
            return False
        state.take(step)
    return True


@pytest.mark.parametrize("latex", FORMULAS)
def test_steps_turn_back_into_the_formula(latex: str) -> None:
    steps = to_steps(parse(latex))
    again = from_steps(steps.steps)
    assert to_steps(parse(again)).steps == steps.steps
    assert normalise(again) == again
    assert is_well_formed(steps.steps)


@pytest.mark.parametrize("latex", FORMULAS)
def test_each_printed_character_has_one_step(latex: str) -> None:
    steps = to_steps(parse(latex))
    ink = [k for k, step in enumerate(steps.steps) if len(step) == 1]
    assert sorted(steps.order) == ink
    assert all(steps.steps[k] in STRUCTURE for k in range(len(steps.steps)) if k not in ink)


def test_most_formulas_come_back_as_they_were() -> None:
    same = [latex for latex in FORMULAS if from_steps(to_steps(parse(latex)).steps) == normalise(latex)]
    assert set(FORMULAS) - set(same) <= {r"\Re z", r"\lim_{n\to\infty}\|x\|"}  # \mathfrak{R}: the same picture


def test_look_alikes_are_one_step() -> None:
    assert to_steps(parse(r"a\mid b")).steps == to_steps(parse("a|b")).steps
    assert to_steps(parse(r"a\perp b")).steps == to_steps(parse(r"a\bot b")).steps


@pytest.mark.parametrize("latex", [r"\cancel{x}", r"a\pmod{n}", r"\begin{array}{lr}a&b\end{array}", r"a\hspace{2cm}b"])
def test_what_has_no_steps_is_an_error(latex: str) -> None:
    with pytest.raises(LatexError):
        to_steps(parse(latex))


@pytest.mark.parametrize("steps", [["\\frac{", "a", "\\egroup"], ["\\egroup"], ["\\left", "(", "x"], ["}{"], []])
def test_malformed_steps_make_no_latex(steps: list[str]) -> None:
    with pytest.raises(LatexError):
        from_steps(steps)
    assert not is_well_formed(steps)


@pytest.mark.parametrize(("char", "found"), [
    ("𝑥", ("x", "italic")), ("𝐱", ("x", "bold")), ("𝜷", ("β", "bold italic")), ("ℝ", ("R", "blackboard")),
    ("ℒ", ("L", "calligraphic")), ("𝔤", ("g", "fraktur")), ("𝚢", ("y", "mono")), ("−", ("-", "")),
    ("ℎ", ("h", "italic")),
])  # fmt: skip
def test_plain_characters(char: str, found: tuple[str, str]) -> None:
    assert plain(char) == found


def test_vocabulary_is_small_and_names_each_step_once() -> None:
    assert len(set(STRUCTURE)) == len(STRUCTURE)
    assert len(set(GLYPHS)) == len(GLYPHS)
    assert len(STRUCTURE) + len(GLYPHS) <= 1000
    assert all(len(step) > 1 for step in STRUCTURE)
    printed = {plain(c)[0] for c in SYMBOLS.values() if len(c) == 1}
    assert printed <= set(GLYPHS)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_grammar_allows_is_latex(seed: int) -> None:
    rng = random.Random(seed)
    left = rng.choices([*"xyz1+∑α{}", *DELIMITERS], k=rng.randint(1, 20))
    state, steps = StepGrammar(rng.randint(2 * len(left), 80), Counter(left)), []
    while not state.done:
        structure = [s for s in STRUCTURE if state.allows(s)]
        glyphs = [c for c in left if state.allows(c)]
        assert structure or glyphs, steps
        step = rng.choice(glyphs) if glyphs and (not structure or rng.random() < 0.6) else rng.choice(structure)
        if len(step) == 1:
            left.remove(step)
        state.take(step)
        steps.append(step)
    assert steps[-1] == END
    latex = from_steps(steps[:-1])
    parse(latex)  # does not raise
    assert latex.count("{") - latex.count("\\{") == latex.count("}") - latex.count("\\}")
