from __future__ import annotations

import gzip
import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser

from vary.data.corpus.formulas import formulas_from
from vary.data.degrade import WARPS
from vary.data.documents.typst import ink_box
from vary.data.formulas import MATHTEXT_FONTS, FormulaSource, mathtext_image
from vary.data.sample import Sample
from vary.markup.math import normalise, to_typst

from ..conftest import printed_by

REAL = [
    r"E=mc^{2}",
    r"\frac{1}{n}\sum_{i=1}^{n}x_{i}",
    r"\alpha+\beta",
    r"f(x)=\int_{0}^{x}g(t)\,dt",
    r"\sqrt{x^{2}+y^{2}}",
    r"\hat{\theta}_{n}",
    r"P(A\mid B)=\frac{P(B\mid A)P(A)}{P(B)}",
    r"x_{1},\ldots,x_{n}",
    r"\mathbf{A}\mathbf{x}=\mathbf{b}",
    r"\lambda_{k}",
    r"e^{i\pi}+1=0",
    r"n!",
    r"\begin{cases}1&\text{if }x>0\\0&\text{otherwise}\end{cases}",
    r"\sin\theta",
]


def digest(sample: Sample) -> str:
    data = sample.image.tobytes() + repr((sample.image.shape, sample.target, sample.regions, sample.meta)).encode()
    return hashlib.sha256(data).hexdigest()


def test_pure_in_any_order() -> None:
    forth, back = FormulaSource(REAL, seed=5), FormulaSource(REAL, seed=5)
    numbers = [0, 1, 2, 7, 8, 30]
    first = {i: digest(forth.sample(i)) for i in numbers}
    assert {i: digest(back.sample(i)) for i in reversed(numbers)} == first
    assert len(set(first.values())) == len(numbers)
    assert digest(FormulaSource(REAL, seed=6).sample(0)) != first[0]


def test_same_bytes_in_another_process() -> None:
    code = (
        "from tests.data.test_formulas import *\n"
        "s = FormulaSource(REAL, seed=5, mathtext=0.5)\n"
        "print([digest(s.sample(i)) for i in range(6)])"
    )
    source = FormulaSource(REAL, seed=5, mathtext=0.5)
    assert printed_by(code).strip() == repr([digest(source.sample(i)) for i in range(6)])


def test_box_is_around_the_ink_and_target_is_canonical() -> None:
    source = FormulaSource(REAL, seed=1, degraded=0, mathtext=0.4)
    faces, composed = set(), set()
    for i in range(60):
        sample = source.sample(i)
        image = sample.image if sample.image[0, 0] > 127 else 255 - sample.image
        (region,) = sample.regions
        paper, ink = int(image.max()), int(image.min())
        inside = np.zeros(image.shape, bool)
        x0, y0, x1, y1 = (round(v) for v in region.box)
        inside[y0:y1, x0:x1] = True
        assert (image[~inside] == image[0, 0]).all()
        assert ink_box(image, paper - (paper - ink) // 8)[0] - x0 <= 2
        assert image.shape[0] <= 768
        assert image.shape[1] <= 1536
        assert sample.target == f"\\[ {region.text} \\]"
        assert normalise(region.text) == region.text
        assert to_typst(region.text) is not None
        faces.add(sample.meta["face"].split()[0])
        composed.add(sample.meta["composed"])
    assert faces == {"New", "mathtext"}
    assert composed == {True, False}


def test_equal_targets_are_equal_pictures() -> None:
    """Drawing the target again gives the same picture: spelling does not show."""
    options = {"seed": 2, "composed": 0.0, "mathtext": 0.0, "degraded": 0.0}
    spelt = FormulaSource([r"\frac12\leq x^2 _i"], **options).sample(0)
    again = FormulaSource([str(spelt.target)[3:-3]], **options).sample(0)
    assert digest(spelt) == digest(again)


def test_warps_move_the_box_and_other_defects_do_not() -> None:
    clean, bad = (FormulaSource(REAL, seed=3, degraded=share) for share in (0.0, 1.0))
    seen = set()
    for i in range(30):
        before, after = clean.sample(i), bad.sample(i)
        if names := set(after.meta.get("degraded", [])):
            warped = not names.isdisjoint(WARPS)
            assert (after.regions[0].box != before.regions[0].box) is warped, (i, names)
            seen.add(warped)
    assert seen == {False, True}


def test_formulas_from(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        r"<p>\(x^2 &lt; y\)</p> \[\begin{split}a&amp;=b\end{split}\] \(x\) \(\foo{x}\) \(x^{2}&lt;y\)"
    )
    (tmp_path / "b.tex").write_text(
        "% $hidden_1$\n$z_1$ and \\$5 costs \\$6; $$\\frac ab$$ \\begin{align*}u&=v\\end{align*} \\(p+q\\)"
    )
    (tmp_path / "c.rst.gz").write_bytes(
        gzip.compress(b"Text :math:`\\rho_0`.\n\n.. math::\n\n   r = s\n\nmore\n\n  .. math:: skipped\n")
    )
    (tmp_path / "d.txt").write_text("$not_1$")
    found = formulas_from(tmp_path)
    assert found.latex == ["x^{2}<y", "a=b", "z_{1}", r"\frac{a}{b}", "u=v", "p+q", r"\rho_{0}", "r=s"]
    assert found.dropped == {"a lone symbol": 1, r"unknown command '\\foo'": 1}
    assert formulas_from(tmp_path, max_chars=4).dropped["longer than 4 characters"] > 0


def test_formulas_from_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no \.html"):
        formulas_from(tmp_path)


def test_mathtext_draws_or_declines() -> None:
    for fontset in MATHTEXT_FONTS:
        image = mathtext_image(r"\frac{a}{b}+\alpha", 30, fontset)
        assert image is not None
        assert image.shape[0] > 20
        assert image.min() < 100
    for latex in (
        r"\begin{matrix}a\end{matrix}",
        r"\xrightarrow{f}",
        r"\not\subset",
        r"\mathfrak{g}",
        "{}^{2}x",
        r"\text{a}",
    ):
        assert mathtext_image(latex, 30, "stix") is None


def test_mathtext_declines_what_it_puts_a_dummy_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, log = MathTextParser.parse, logging.getLogger("matplotlib.mathtext")

    def warns(self: MathTextParser, *given: Any, **named: Any) -> Any:
        log.warning("Font 'it' does not have a glyph for this, substituting with a dummy symbol.")
        return parse(self, *given, **named)

    assert mathtext_image(r"\aleph_{0}\le x\notin\mathbb{A}", 30, "stix") is not None
    monkeypatch.setattr(MathTextParser, "parse", warns)
    level = log.level
    assert mathtext_image(r"\aleph_{0}", 30, "stix") is None
    assert (log.level, log.filters) == (level, [])


def test_errors() -> None:
    with pytest.raises(ValueError, match="no formulas"):
        FormulaSource([])
    with pytest.raises(ValueError, match="No Such Math; there are"):
        FormulaSource(REAL, faces=["No Such Math"])
    with pytest.raises(ValueError, match=r"formula 0 .*unknown command"):
        FormulaSource([r"\foo"], composed=0.0).sample(0)
