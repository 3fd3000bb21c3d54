"""Formulas out of a PDF's text layer: every symbol has a box and a confidence, and what is left over is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vary.data.documents.formula_glyphs import FormulaGlyphs
from vary.data.documents.typst import load_fonts, print_pdf
from vary.io.pdf_objects import PageContent, read_content
from vary.markup.math import write_typst
from vary.markup.math_parser import parse
from vary.markup.math_tokens import GLYPHS, STRUCTURE
from vary.models.formulas.writer import write_formulas
from vary.models.generate.export_onnx import export_formulas
from vary.models.generate.symbols_decoder import SymbolsDecoder
from vary.reading.engines.symbols import OnnxSymbols
from vary.reading.formulas.from_layer import MAX_GLYPHS, join_tex_glyphs, write_layer_formulas
from vary.train.tasks.formula_task import IGNORED, collate

FORMULAS = [r"\frac{a}{b}", r"x_{i}^{2}", r"\sqrt{y}+1", r"\sin t"]
EVERYWHERE = (0.0, 0.0, 1e6, 1e6)


@pytest.fixture(scope="module")
def decoder() -> SymbolsDecoder:
    """A tiny decoder that knows FORMULAS by heart."""
    torch.manual_seed(0)
    decoder = SymbolsDecoder(GLYPHS, STRUCTURE, width=48, inner=64, heads=2, encoder=1, decoder=2)
    source = FormulaGlyphs(FORMULAS, shares=(0, 1, 0), swapped=0.0)
    formulas = {f.latex: f for f in map(source.sample, range(32))}
    batch = collate([formulas[latex] for latex in FORMULAS], decoder)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    for _ in range(60):
        memory = decoder.encode(batch.classes_BN, batch.styles_BN, batch.boxes_BN4, batch.real_BN)
        logits = decoder.logits(memory, batch.inputs_BT, batch.last_BT, batch.used_BTN)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets_BT.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return decoder.eval()


def page(latex: str, scale: float) -> PageContent:
    pdf = print_pdf(f"#page(width: auto, height: auto)[$ {write_typst(parse(latex))} $]", load_fonts())
    return read_content(pdf, pdf[0], scale)


@pytest.mark.parametrize("latex", FORMULAS)
@pytest.mark.parametrize("scale", [1.0, 3.7])
def test_a_formula_of_a_pdf_is_written_with_boxes_in_the_frame_of_its_page(decoder, latex, scale) -> None:
    content = page(latex, scale)
    (formula,) = write_layer_formulas(decoder, content, [EVERYWHERE])
    assert formula.latex == latex
    assert formula.accounted
    assert 0.2 < formula.confidence <= 1.0
    glyphs = [k for k, c in enumerate(content.text.text) if not c.isspace() and c != "√"]
    assert len(formula.symbols) == len(glyphs)
    for symbol in formula.symbols:
        assert np.abs(content.text.boxes[glyphs] - np.array(symbol.box)).max(1).min() < 0.01 * scale
        assert 0.0 < symbol.confidence <= 1.0
        assert formula.box[0] <= symbol.box[0] <= symbol.box[2] <= formula.box[2]


def test_a_region_without_glyphs_is_empty(decoder) -> None:
    content = page(FORMULAS[0], 1.0)
    empty, full = write_layer_formulas(decoder, content, [(0.0, 0.0, 1.0, 1.0), EVERYWHERE])
    assert (empty.latex, empty.confidence, empty.symbols, empty.accounted) == ("", 0.0, [], False)
    assert full.latex == FORMULAS[0]


def test_hidden_characters_are_no_ink(decoder) -> None:
    content = page(r"\sin t", 1.0)
    hidden = np.where([c == "𝑡" for c in content.text.text], 1, content.text.hidden).astype(np.uint8)
    (formula,) = write_layer_formulas(
        decoder, replace(content, text=replace(content.text, hidden=hidden)), [EVERYWHERE]
    )
    assert "t" not in [s.text for s in formula.symbols]


def test_too_many_glyphs_are_left_alone(decoder) -> None:
    (formula,) = write_layer_formulas(decoder, page("+".join("a" * (MAX_GLYPHS // 2 + 2)), 1.0), [EVERYWHERE])
    assert formula.latex == ""


def test_what_is_not_there_is_never_written(decoder) -> None:
    """Whatever the glyphs are, each symbol is one of them and none comes twice."""
    rng = np.random.default_rng(0)
    sets = []
    for _ in range(12):
        chars = "".join(rng.choice(list("xyab12+=()√─"), int(rng.integers(1, 9))))
        sets.append((chars, np.zeros(len(chars), np.uint8), rng.uniform(0, 60, (len(chars), 4)).astype(np.float32)))
    for written, (chars, _, _) in zip(write_formulas(decoder, sets), sets, strict=True):
        ink = [(step, at) for step, at in zip(written.steps, written.pointers, strict=True) if at >= 0]
        assert all(chars[at] == step for step, at in ink)
        assert len({at for _, at in ink}) == len(ink)
        left = set(range(len(chars))) - {at for _, at in ink}
        assert set(written.unexplained) <= left
        if not written.unexplained:
            assert all(chars[k] in "√─()" for k in left)  # drawn by roots, fractions and brackets


@pytest.mark.slow  # the export takes ten seconds and more; tests/train/test_tracked_weights.py has the shipped files
def test_the_onnx_files_write_the_same(decoder, tmp_path) -> None:
    """One formula and several, whose number and sizes differ from those of the export."""
    export_formulas(decoder, tmp_path)
    exported = OnnxSymbols(tmp_path, 1)
    assert (exported.glyphs, exported.structure) == (decoder.glyphs, decoder.structure)
    rng, sets = np.random.default_rng(1), []
    for count in (1, 7, 12, 3):
        chars = "".join(rng.choice(list("xyab12+=()√─"), count))
        sets.append((chars, np.zeros(count, np.uint8), rng.uniform(0, 60, (count, 4)).astype(np.float32)))
    for some in (sets[:1], sets):
        for own, theirs in zip(write_formulas(decoder, some), write_formulas(exported, some), strict=True):
            assert own.steps == theirs.steps
            assert own.pointers == theirs.pointers
            assert own.confidence == pytest.approx(theirs.confidence, abs=2e-3)  # weights are stored in float16


def test_a_rule_that_no_step_explains_is_told(decoder) -> None:
    content = page(r"\sin t", 1.0)
    content.objects.rules.append((2.0, 2.0, 30.0, 2.4))
    (formula,) = write_layer_formulas(decoder, content, [EVERYWHERE])
    if r"\frac" not in formula.latex and r"\overline" not in formula.latex:
        assert not formula.accounted


def test_dots_and_struck_relations_are_joined() -> None:
    dots = np.array([[0, 9, 1, 10], [3, 9, 4, 10], [6, 9, 7, 10], [20, 0, 30, 10]], np.float32)
    text, boxes = join_tex_glyphs("...x", dots)
    assert text == "…  x"
    assert boxes[0].tolist() == [0, 9, 7, 10]
    assert join_tex_glyphs("...x", dots * np.array([1, 9, 1, 1]) + np.array([0, 0, 0, 0]))[0] == "…  x"
    apart = np.array([[0, 9, 1, 10], [30, 9, 31, 10], [60, 9, 61, 10]], np.float32)
    assert join_tex_glyphs("...", apart)[0] == "..."
    struck = np.array([[0, 0, 10, 10], [4, 0, 6, 10], [20, 0, 30, 10]], np.float32)
    assert join_tex_glyphs("=\u0338x", struck)[0] == "≠ x"
