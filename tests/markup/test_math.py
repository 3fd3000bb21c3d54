from __future__ import annotations

import ctypes
import re
from typing import Any

import pypdfium2.raw as raw
import pytest

from vary.data.documents.typst import draw, load_fonts, print_pdf
from vary.markup.math import is_complete, normalise, readable, to_typst
from vary.markup.math_nodes import LatexError
from vary.markup.math_symbols import CALLS, DELIMITERS, NEGATED, OPERATORS, SAME, SIZES, SYMBOLS, TABLES

CANONICAL = {
    "x^2": "x^{2}",
    "x ^ {2} _i": "x_{i}^{2}",
    r"\frac12": r"\frac{1}{2}",
    r"\frac ab": r"\frac{a}{b}",
    r"{a \over b+1}": r"\frac{a}{b+1}",
    r"{n \choose k}": r"\binom{n}{k}",
    r"a\leq b\rightarrow c": r"a\le b\to c",
    "f'(x)": r"f^{\prime}(x)",
    "f''^2": r"f^{\prime\prime2}",
    r"f^\prime": r"f^{\prime}",
    r"{\bf x}": r"\mathbf{x}",
    r"\text{max}": r"\mathrm{max}",
    r"\text{if $x>0$ then}": r"\text{if }x>0\text{ then}",
    r"\lvert x\rvert": "|x|",
    r"\left( x+1 \right)": "(x+1)",
    r"\left(\frac{a}{b}\right)": r"\left(\frac{a}{b}\right)",
    r"\sum\limits_{i=1}^n": r"\sum_{i=1}^{n}",
    r"\int\limits_0^1": r"\int\limits_{0}^{1}",
    r"\dfrac{a}{b}": r"\frac{a}{b}",
    r"\frac{\dfrac{a}{b}}{c}": r"\frac{\dfrac{a}{b}}{c}",
    r"\displaystyle x": "x",
    r"a\dots b": r"a\ldots b",
    r"a+\dots+b": r"a+\cdots+b",
    "1,...,n": r"1,\ldots,n",
    r"\operatorname{sin} x": r"\sin x",
    r"\mathop{\rm Tr} A": r"\operatorname{Tr}A",
    r"\operatorname*{argmin}_x": r"\operatorname*{argmin}_{x}",
    r"\not\in \not= \not\subset": r"\notin\ne\not\subset",
    r"\textcolor{red}{a}\color{blue}b\label{eq:1}": "ab",
    r"{x}{y}": "xy",
    r"{x_1}^2": r"{x_{1}}^{2}",
    r"a{=}b": "a{=}b",
    r"\,a\quad b\,": r"a\quad b",
    r"\begin{align*}a&=b\\c&=d\\\end{align*}": r"\begin{aligned}a&=b\\c&=d\end{aligned}",
    r"\begin{eqnarray}a&=&b\\c&=&d\end{eqnarray}": r"\begin{aligned}a&=b\\c&=d\end{aligned}",
    r"\begin{split}a&=b\end{split}": "a=b",
    r"\sqrt [3] {x}": r"\sqrt[3]{x}",
    r"\widehat{x}\widehat{xy}": r"\hat{x}\widehat{xy}",
    "α≤β": r"\alpha\le\beta",
    "a % comment\n b": "ab",
}
UNKNOWN = [
    r"\foo", r"x_1_2", r"x^1^2", r"\frac{a}", "{a", "a}", "a & b", r"a \\ b", r"\left(a", r"\left/a\right/",
    r"\begin{tikzpicture}\end{tikzpicture}", r"\begin{matrix}a", r"\begin{array}{lr}a&b\end{array}", "", "{}", r"\quad",
    r"\begin{array}{c}a&b\end{array}", r"\hat", "中", "$x$", r"\hspace{3furlongs}", r"x\limits_1", r"\text{\foo}",
    r"\phantom{x}", r"\tag{1}x", "{" * 60 + "x" + "}" * 60, r"\not x", r"\operatorname{a+b}", r"\verb|x|", '"',
]  # fmt: skip
FORMULAS = [
    *CANONICAL,
    r"\begin{pmatrix}a&b\\c&d\end{pmatrix}",
    r"\begin{cases}a&\text{if }b\\c&\text{else}\end{cases}",
    r"\left\{\begin{aligned}a&=b\\c&=\frac{d}{e}\end{aligned}\right.",
    r"\begin{align}a&=b&c&=d\\e&=f&g&=\text{h}\end{align}",
    r"x=\begin{gathered}a\\b+c\end{gathered}",
    r"\left.\frac{a}{b}\right|_{x=0}",
    r"\begin{array}{c|c}1&2\\3&4\end{array}",
    r"\sum_{\substack{i<n\\j>0}}^{m}a_{ij}",
    r"\underbrace{a+b}_{n}\overbrace{c}^{2}",
    r"\left\langle\frac{a}{b}\middle|c\right\rangle",
    r"\bigl(\Bigl[\biggl\{x\biggr\}\Bigr]\bigr)",
    r"0\overset{!}{=}\big\langle u\big\rangle\boldsymbol{\langle}\surd",
    r"A\xrightarrow{f}B\xleftarrow{g(x)}C",
    r"\overline{AB}\underline{c}\vec{v}\dot{x}\ddot{x}\mathring{A}",
    r"a\equiv b\pmod{n},\ a\bmod b,\ c\mod d",
    r"\mathbb{R}\mathcal{L}\mathfrak{g}\mathscr{F}\mathsf{A}\mathtt{b}\boldsymbol{\alpha}\mathit{abc}",
    r"50\%\ \$3\ \#1\ a\_b\ \{x\}\ A\&B\ \backslash",
    r'\text{100\% of x\_y \& \#1, say "x"; `a`}',
    r"a'_b{}^2x",
    r"\lim_{x\to0}\limsup_n\max_k",
    r"\hat{xy}\widetilde{xyz}",
    r"\langle a\lfloor b\lceil c(d[e\{f",
    r"\mathrm{d}x\,\mathrm{Var}(x)",
    r"x\mathrel{R}y\mathbin{o}z",
    r"\cancel{x}\sqrt[n]{\frac{1}{x}}",
    r"{\scriptstyle x}\frac{\displaystyle\sum_i}{2}",
    r"a\hspace{2em}b\!c\;d\:e",
    r"\tfrac12\dbinom{n}{k}\tbinom{n}{k}",
    r"\frac{1}{1+\frac{1}{1+\frac{1}{x}}}",
    r"\int_{0}^{\infty}e^{-x^{2}}\,dx=\frac{\sqrt{\pi}}{2}",
    r"\prod_{p}\frac{1}{1-p^{-s}}=\zeta(s)",
    r"\nabla\times\mathbf{B}=\mu_0\left(\mathbf{J}+\varepsilon_0\frac{\partial\mathbf{E}}{\partial t}\right)",
    r"\hat{\beta}=(X^{\mathsf{T}}X)^{-1}X^{\mathsf{T}}y",
    r"\|x\|_{p}=\left(\sum_{i}|x_{i}|^{p}\right)^{1/p}",
    r"\Gamma(z)\Gamma(1-z)=\frac{\pi}{\sin\pi z},\qquad z\notin\mathbb{Z}",
    r"\forall\epsilon>0\ \exists\delta>0\colon|x-y|<\delta\implies|f(x)-f(y)|<\epsilon",
    r"\operatorname*{arg\,max}_{\theta}\log p(x\mid\theta)",
]  # fmt: skip


@pytest.fixture(scope="module")
def fonts() -> Any:
    return load_fonts()


@pytest.mark.parametrize(("given", "wanted"), CANONICAL.items())
def test_canonical(given: str, wanted: str) -> None:
    assert normalise(given) == wanted
    assert normalise(wanted) == wanted
    assert to_typst(given) == to_typst(wanted)


@pytest.mark.parametrize("latex", UNKNOWN)
def test_unknown_is_none_and_one_line(latex: str) -> None:
    assert to_typst(latex) is None
    with pytest.raises(LatexError) as error:
        normalise(latex)
    assert "\n" not in str(error.value)


def test_inline_keeps_what_shows_there() -> None:
    assert normalise(r"\sum\limits_{i}", display=False) == r"\sum\limits_{i}"
    assert normalise(r"\dfrac{a}{b}", display=False) == r"\dfrac{a}{b}"
    assert normalise(r"\tfrac{a}{b}\textstyle x", display=False) == r"\frac{a}{b}x"
    assert normalise(r"\displaystyle x", display=False) == r"{\displaystyle x}"


@pytest.mark.parametrize(
    ("latex", "typst"),
    [
        (r"\frac{a}{b}", "frac(a, b)"),
        ("f(x)", r"f\(x\)"),
        ("ab12c", "a b 12 c"),
        ("a|b", r"a\|b"),
        (r"\text{if }x", '"if "x'),
        (r"\text{a\_b}", '"a_b"'),
        (r"\mathrm{max}", '"max"'),
        ("a/b-c*d", r"a\/b−c∗d"),
        (r"\#\$\%\&\_", r"\#\$\%\&\_"),
        (r"\begin{pmatrix}a&b\\c&\end{pmatrix}", 'mat(delim: "(", a, b; c, "")'),
    ],
)
def test_typst(latex: str, typst: str) -> None:
    assert to_typst(latex) == typst


def test_typst_compiles_and_draws(fonts: Any) -> None:
    markup = [(f, to_typst(f)) for f in FORMULAS]
    assert [f for f, m in markup if m is None] == []
    assert len(markup) >= 60
    document = print_pdf(_pages([m or "" for _, m in markup]), fonts)
    assert len(document) == len(markup)
    for (latex, _), page in zip(markup, document, strict=True):
        assert draw(page, 2).min() < 128, latex


def test_every_name_is_drawn_by_the_embedded_mathematics(fonts: Any) -> None:
    """No name of the tables is unknown to Typst, and none needs a font that could be missing."""
    names = [
        *SYMBOLS,
        *OPERATORS,
        *(s + "(" for s in SIZES),
        *(n + "{A}" * c.count for n, c in CALLS.items() if n != "\\root"),
    ]
    names += [rf"\left{d}\frac{{a}}{{b}}\right{d}" for d in sorted(DELIMITERS) if d != "."]
    names += [rf"\begin{{{t}}}a&b\\c&d\end{{{t}}}" for t in TABLES if t != "gathered"]
    markup = [to_typst(n) for n in names]
    assert [n for n, m in zip(names, markup, strict=True) if m is None] == []
    document = print_pdf(_pages([m or "" for m in markup]), fonts)
    assert len(document) == len(names)
    for name, page in zip(names, document, strict=True):
        used = set()
        for text in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT]):
            buffer = ctypes.create_string_buffer(100)
            raw.FPDFFont_GetBaseFontName(raw.FPDFTextObj_GetFont(text.raw), buffer, 100)
            used.add(re.sub(r"^.*\+", "", buffer.value.decode()))
        assert all(font.startswith("NewCMMath") for font in used), (name, used)


def test_other_spellings_lead_to_known_names() -> None:
    for base, name in NEGATED.items():
        assert normalise(rf"a\not{base} b") == normalise(f"a{name} b")
    for given, name in SAME.items():
        assert normalise(f"a{given}{{b}}{{c}}") == normalise(f"a{name}{{b}}{{c}}")


def _pages(markup: list[str]) -> str:
    return "#set page(width: auto, height: auto)\n" + "#pagebreak()\n".join(f"$ {m} $\n" for m in markup)


def test_thousands_of_nested_arguments_are_an_error_and_no_crash() -> None:
    with pytest.raises(LatexError, match="nested"):
        normalise("\\frac" * 20_000)


def test_readable_latex_means_the_same() -> None:
    formulas = [
        r"b^{2}+9=25",
        r"x_{1}2+y_{i+1}-(-1)",
        r"e^{-x^{2}}\lt \alpha_{i}",
        r"\operatorname{vec}(A)_{i}^{\prime}",
    ]
    formulas += [r"\begin{pmatrix}a&-b\\c&d\end{pmatrix}", r"\mathrm{a-b}+\sqrt[3]{x=1}", r"\frac{a+b}{2}\in [0,1)"]
    for latex in formulas:
        canonical = normalise(latex)
        assert normalise(readable(canonical)) == canonical
    assert readable(r"b^{2}+9=25") == "b^2 + 9 = 25"
    assert readable(r"x_{12}+x_{1}2-(-1)") == "x_{12} + x_{1}2 - (-1)"
    assert readable(r"-x^{a+1}\le \mathrm{a-b}") == r"-x^{a+1} \le \mathrm{a-b}"


@pytest.mark.parametrize(("latex", "complete"), [
    ("a+b", True), ("a+", False), (r"x\in ", False), ("f(x)", True), ("f(x", False), (r"\ldots)\{", False), ("", False),
])  # fmt: skip
def test_what_can_be_a_whole_formula(latex, complete) -> None:
    assert is_complete(latex) is complete
