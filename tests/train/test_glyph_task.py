"""The glyph head finds the glyphs of drawn formulas, and a run begins with given weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from vary.data.documents.formula_glyphs import FormulaGlyphs
from vary.io.errors import InputError
from vary.markup.math_tokens import GLYPHS, RULE
from vary.models.config import preset
from vary.models.formulas.found_glyphs import cell_middles
from vary.models.heads.glyphs import GlyphHead
from vary.models.modeling import VaryForConditionalGeneration
from vary.train.export import export, export_start
from vary.train.loop import train
from vary.train.recipe import Recipe
from vary.train.tasks import formula_task, glyph_task
from vary.train.tasks.glyph_task import GlyphData, make_batch, match_glyphs

FORMULAS = [r"\frac{a}{b}", r"x_{i}^{2}", r"\sqrt{y}+1"]


def source(**settings: object) -> FormulaGlyphs:
    return FormulaGlyphs(FORMULAS, shares=(0, 1, 0), swapped=0.0, sizes_px=(16, 24), **settings)


def test_drawn_formulas_have_their_ink_inside_the_boxes() -> None:
    for k in range(12):
        formula = source(degraded=0.0).sample(k)
        ink = formula.image < np.median(formula.image) - 60
        assert ink.any()
        for x0, y0, x1, y1 in formula.image_boxes:
            ink[max(0, int(y0) - 2) : int(y1) + 3, max(0, int(x0) - 2) : int(x1) + 3] = False
        assert not ink.any()


def test_images_keep_within_their_bounds() -> None:
    drawn = source(max_size=(40, 60))
    assert all(drawn.sample(k).image.shape[0] <= 41 and drawn.sample(k).image.shape[1] <= 61 for k in range(16))


def test_targets_lie_in_the_cells_of_the_glyphs() -> None:
    head = GlyphHead(8, (8, 4), GLYPHS)
    formula = next(f for f in map(source(degraded=0.0).sample, range(64)) if f.latex == FORMULAS[0])
    batch = make_batch([formula], head.class_of, head.stride)
    grid = batch.images.shape[2] // 8, batch.images.shape[3] // 4
    assert batch.gate.shape == (1, grid[0] * grid[1])
    cells = {int(c): int(n) for (_, c), n in zip(batch.at, batch.classes, strict=True)}
    assert set(batch.gate[0].nonzero()[:, 0].tolist()) == set(cells)  # also those that may see a glyph of a neighbour
    middles = cell_middles(grid, head.stride)
    for char in "ab":
        box = formula.image_boxes[formula.chars.index(char)]
        n = batch.classes.tolist().index(head.class_of[char])
        assert np.abs(batch.boxes[n].numpy() + middles[batch.at[n, 1]] - box).max() < 1e-3
    assert list(cells.values()).count(head.class_of[RULE]) > 2  # in pieces


def test_batches_are_functions_of_their_number() -> None:
    head = GlyphHead(8, (8, 4), GLYPHS)
    one, two = (GlyphData(source(seed=3), head, 2) for _ in range(2))
    ahead = [one[k] for k in range(9)]
    for k in (8, 0):
        for name, tensor in vars(two[k]).items():
            assert torch.equal(tensor, getattr(ahead[k], name)), name


def test_what_the_head_says_is_found_again() -> None:
    """A map made of the targets themselves gives all glyphs back, doubles suppressed and rules joined."""
    head = GlyphHead(8, (8, 4), GLYPHS, rank=len(GLYPHS) + 1)
    torch.nn.init.eye_(head.classes.weight)
    torch.nn.init.zeros_(head.classes.bias)
    formulas = [source(degraded=0.0).sample(k) for k in range(6)]
    batch = make_batch(formulas, head.class_of, head.stride)
    grid = batch.images.shape[2] // 8, batch.images.shape[3] // 4
    found = head(torch.zeros(len(formulas), grid[0] * grid[1], 8), grid)
    found.gate[:] = torch.where(batch.gate == 1, 9.0, -9.0)
    found.gate[batch.gate == -1] = 5.0  # a neighbour that says the same
    image, cell = batch.at.T
    found.features = torch.zeros_like(found.features)
    found.features[image, cell] = 20 * F.one_hot(batch.classes, len(GLYPHS) + 1).float()
    found.styles = torch.zeros_like(found.styles)
    found.styles[image, cell] = F.one_hot(batch.styles, found.styles.shape[-1]).float()
    found.boxes = torch.zeros_like(found.boxes)
    found.boxes[image, cell] = batch.boxes
    for formula, seen in zip(formulas, head.find(found, grid), strict=True):
        pairs = match_glyphs(formula, seen, head.class_of)
        assert len(pairs) == len(formula.chars) == len(seen.classes)
        for a, b in pairs:
            assert np.abs(formula.image_boxes[a] - seen.boxes[b]).max() < 2.6
            assert formula.styles[a] == seen.styles[b]
            assert seen.confidence[b] > 0.9


def test_doubles_are_found_once() -> None:
    head = GlyphHead(8, (8, 4), "ab")
    found = head(torch.zeros(1, 4, 8), (1, 4))
    found.gate[:] = torch.tensor([[3.0, 2.0, -9.0, 1.0]])
    found.boxes = torch.tensor([[[-2.0, -3, 2, 3], [-6, -3, -2, 3], [0, 0, 0, 0], [-2, -3, 2, 3]]])
    (seen,) = head.find(found, (1, 4))
    assert len(seen.classes) == 2  # the second cell reports the glyph of the first one
    assert np.allclose(seen.boxes[:, 0], [0, 12])


def recipe(out: Path, text: str = "") -> Recipe:
    out.parent.mkdir(exist_ok=True)
    file = out.parent / "recipe.yaml"
    file.write_text(f"""
model: vary-nano-formulas-test
out: {out}
workers: 0
precision: auto
ema: 0.9
save_every: 2
eval_every: 4
log_every: 1
{text}
stages:
  - {{name: glyphs, task: glyphs, formulas: [deb:none], batch: 2, steps: 4, lr: 3.0e-3, trainable: [glyph_head]}}
""")
    return Recipe.load(file)


@pytest.fixture
def formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (glyph_task, formula_task):
        monkeypatch.setattr(module, "real_formulas", lambda part, packages: FORMULAS)
        monkeypatch.setattr(module, "MEASURED", 3)


def newest(run: Path, part: str = "model") -> dict[str, torch.Tensor]:
    return load_file(sorted(run.glob(f"step-*/{part}.safetensors"))[-1])


def test_the_loss_falls_and_resuming_is_bit_for_bit(formulas: None, tmp_path: Path) -> None:
    train(recipe(tmp_path / "whole"), log=lambda _: None)
    train(recipe(tmp_path / "parts"), log=lambda _: None, max_steps=2)
    train(recipe(tmp_path / "parts"), log=lambda _: None)
    whole, parts = newest(tmp_path / "whole"), newest(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert "recall" in (tmp_path / "whole" / "eval.csv").read_text()


def test_a_run_begins_with_given_weights_and_place(formulas: None, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = VaryForConditionalGeneration(preset("vary-nano-formulas-test"))
    weights = {k: v.half() for k, v in model.state_dict().items() if k.startswith(("vocabularies", "glyph_head"))}
    folder = tmp_path / "given"
    folder.mkdir()
    save_file(weights | {"unknown": torch.zeros(2)}, folder / "model.safetensors")
    (folder / "state.json").write_text(json.dumps({"stage": 0, "step": 3, "seen": 6}))
    lines: list[str] = []
    train(recipe(tmp_path / "run", f"start: [{folder}]"), log=lines.append)
    assert any("stage 0, step 3" in line for line in lines)
    found = newest(tmp_path / "run")
    frozen = "vocabularies.0.stem.0.0.weight"
    assert torch.equal(found[frozen], weights[frozen].float())
    moved = (found["glyph_head.gate.weight"] - weights["glyph_head.gate.weight"].float()).abs().max()
    assert 0 < moved < 0.01  # one step


def test_a_run_is_exported_to_go_on_elsewhere(formulas: None, tmp_path: Path) -> None:
    here = recipe(tmp_path / "here")
    train(here, log=lambda _: None, max_steps=2)
    assert export_start(here, tmp_path / "out", ("glyph_head",)) == {"stage": 0, "step": 2, "seen": 4}
    lines: list[str] = []
    train(recipe(tmp_path / "there", f"start: [{tmp_path / 'out'}]"), log=lines.append, max_steps=1)
    assert any("stage 0, step 2" in line for line in lines)
    with pytest.raises(InputError, match="no checkpoint"):
        export_start(recipe(tmp_path / "empty"), tmp_path / "out", ("glyph_head",))


def test_frozen_weights_of_start_survive_resuming_and_export(
    formulas: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vary.train.export.export_reader", lambda folder: None)  # its files are not the subject
    torch.manual_seed(6)
    base, given = tmp_path / "base", tmp_path / "given"
    model = VaryForConditionalGeneration(preset("vary-nano-formulas-test"))
    model.save_pretrained(base)
    given.mkdir()
    frozen = "vocabularies.0.stem.0.0.weight"
    save_file({frozen: model.state_dict()[frozen] + 1}, given / "model.safetensors")
    settings = replace(recipe(tmp_path / "run", f"start: [{given}]"), model=str(base))
    train(settings, log=lambda _: None, max_steps=2)
    train(settings, log=lambda _: None)  # resumes
    assert frozen not in newest(tmp_path / "run")
    export(settings, tmp_path / "out", half=False)
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(written[frozen], model.state_dict()[frozen] + 1)


def test_weights_that_cannot_be_read_are_named(formulas: None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        train(replace(recipe(tmp_path / "run"), start=("nowhere",)), log=lambda _: None)
