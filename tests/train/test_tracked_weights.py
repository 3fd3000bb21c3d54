"""The tracked weights of the third edition fit their recipes. Those for formulas write some, and are the package's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vary.data.documents.formula_glyphs import FormulaGlyphs
from vary.models.formulas.writer import write_formulas
from vary.models.hub import weights_dir
from vary.reading.engines.symbols import OnnxGlyphs, OnnxSymbols
from vary.train.build import build
from vary.train.export import load_part
from vary.train.recipe import Recipe

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "checkpoints" / "vary-nano-3"


@pytest.mark.parametrize("name", ["vary-nano-3", "vary-nano-scripts"])
def test_the_recipe_goes_on_from_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    recipe = Recipe.load(f"recipes/{name}.yaml")
    state = json.loads((ROOT / recipe.start[-1] / "state.json").read_text())
    assert recipe.start[-1] == f"checkpoints/{name}"
    steps = [stage.steps for stage in recipe.stages]
    assert 0 <= state["step"] <= [*steps, 0][state["stage"]]  # after the last stage all are done


def test_they_write_simple_formulas() -> None:
    decoder = load_part(FOLDER, "symbols_decoder")
    latex = ["a+b=c", "x_{i}^{2}", r"f(x)=\frac{1}{x}", r"\alpha\le\beta"]
    source = FormulaGlyphs(latex, shares=(0, 1, 0), swapped=0.0)
    formulas = [{f.latex: f for f in map(source.sample, range(48))}[one] for one in latex]
    glyphs = [(f.chars, f.styles, f.boxes) for f in formulas]
    written = write_formulas(decoder, glyphs)
    assert [w.latex for w in written] == latex
    assert all(w.accounted and w.probability > 0.5 for w in written)
    for own, shipped in zip(written, write_formulas(OnnxSymbols(weights_dir("vary-nano"), 1), glyphs), strict=True):
        assert own.steps == shipped.steps
        assert own.confidence == pytest.approx(shipped.confidence, abs=1e-4)


def test_the_glyph_head_of_the_package_is_theirs() -> None:
    head, shipped = load_part(FOLDER, "glyph_head"), OnnxGlyphs(weights_dir("vary-nano"), 1)
    grid = 9, 21
    features = np.random.default_rng(0).normal(0, 2, (*grid, 144)).astype(np.float32)
    with torch.no_grad():
        cells = head(torch.from_numpy(features.reshape(1, -1, 144)), grid)
    (own,), theirs = head.find(cells, grid), shipped.find(features, head.stride)
    assert shipped.glyphs == head.glyphs
    assert len(own.classes) > 3
    np.testing.assert_array_equal(own.classes, theirs.classes)
    np.testing.assert_array_equal(own.styles, theirs.styles)
    np.testing.assert_allclose(own.boxes, theirs.boxes, atol=1e-2)
    np.testing.assert_allclose(own.confidence, theirs.confidence, atol=1e-3)


def test_the_head_for_more_scripts_begins_with_its_tracked_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    model, _ = build(Recipe.load("recipes/vary-nano-scripts.yaml"))
    tracked = load_file(ROOT / "checkpoints" / "vary-nano-scripts" / "model.safetensors")
    own = model.state_dict()
    parts = {"reading_head.out.weight", "reading_head.context.6.weight", "vocabularies.0.stem.0.0.weight"}
    assert parts < tracked.keys()
    for name, tensor in tracked.items():
        torch.testing.assert_close(own[name], tensor.to(own[name].dtype))
    shipped = load_file(weights_dir("vary-nano") / "model.safetensors")["connector.squeeze.weight"]
    torch.testing.assert_close(own["connector.squeeze.weight"], shipped.float())
