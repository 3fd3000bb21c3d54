"""The symbols decoder learns a handful of formulas by heart, and its training resumes bit for bit."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vary.data.documents.formula_glyphs import FormulaGlyphs
from vary.io.errors import ConfigError, InputError
from vary.markup.math_tokens import GLYPHS, STRUCTURE
from vary.models.formulas.writer import write_formulas
from vary.models.generate.symbols_decoder import SymbolsDecoder
from vary.models.zoo import settings as zoo_settings
from vary.train.loader import call_in_child
from vary.train.loop import train
from vary.train.recipe import Recipe
from vary.train.tasks import formula_task
from vary.train.tasks.formula_task import IGNORED, FormulaBatch, FormulaData, add_noise, collate

TRAIN = [
    r"\frac{a}{b}",
    r"x_{i}^{2}",
    r"\sqrt{y}+1",
    r"\mathbf{A}x",
    r"\sin t",
    r"\hat{z}=0",
    "a+b",
    r"\left(u\right)^{k}",
]
SIZES = {"width": 48, "inner": 64, "heads": 2, "encoder": 1, "decoder": 2}


@pytest.fixture
def formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formula_task, "real_formulas", lambda part, packages: TRAIN if part == "train" else TRAIN[:3])
    monkeypatch.setattr(formula_task, "MEASURED", 6)


def source(**settings: object) -> FormulaGlyphs:
    return FormulaGlyphs(TRAIN, shares=(0, 1, 0), swapped=0.0, **settings)


def recipe(out: Path, **changes: object) -> Recipe:
    text = f"""
model: vary-nano-formulas-test
out: {out}
workers: 0
precision: auto
ema: 0.9
save_every: 2
eval_every: 4
log_every: 1
stages:
  - {{name: one, task: formula, formulas: [deb:none], batch: 4, steps: 4, lr: 1.0e-3, longest: 12,
     trainable: [symbols_decoder]}}
"""
    file = out.parent / "recipe.yaml"
    file.write_text(text)
    return replace(Recipe.load(file), **changes)


def fit(decoder: SymbolsDecoder, batch: FormulaBatch, features: torch.Tensor | None = None) -> tuple[float, float]:
    """Return the first and the last loss of 60 steps on one batch."""
    optimizer, losses = torch.optim.AdamW(decoder.parameters(), lr=3e-3), []
    for _ in range(60):
        if features is None:
            memory = decoder.encode(batch.classes_BN, batch.styles_BN, batch.boxes_BN4, batch.real_BN)
        else:
            memory = decoder.encode_features(features, batch.boxes_BN4, batch.real_BN)
        logits = decoder.logits(memory, batch.inputs_BT, batch.last_BT, batch.used_BTN)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets_BT.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def test_a_handful_of_formulas_is_learnt_by_heart() -> None:
    torch.manual_seed(0)
    decoder = SymbolsDecoder(GLYPHS, STRUCTURE, **SIZES)
    formulas = [source().sample(k) for k in range(8)]
    first, last = fit(decoder, collate(formulas, decoder))
    assert last < 0.1 * first
    written = write_formulas(decoder.eval(), [(f.chars, f.styles, f.boxes) for f in formulas])
    assert [w.steps for w in written] == [f.steps for f in formulas]
    assert [w.latex for w in written] == [f.latex for f in formulas]
    for w, f in zip(written, formulas, strict=True):
        assert w.pointers == f.pointers.tolist()
        assert w.accounted
        assert w.probability > 0.2


def test_without_relative_places_pairs_play_no_part() -> None:
    torch.manual_seed(0)
    decoder = SymbolsDecoder(GLYPHS, STRUCTURE, **SIZES, relative=False)
    first, last = fit(decoder, collate([source().sample(k) for k in range(8)], decoder))
    assert last < 0.1 * first
    unused = {name.split(".")[0] for name, p in decoder.named_parameters() if p.grad is None}
    assert unused == {"pair", "pair_bias", "point_pair"}


@pytest.mark.parametrize("features", [0, 8])
def test_characters_are_chosen_among_all_classes_without_pointers(features: int) -> None:
    torch.manual_seed(0)
    decoder = SymbolsDecoder(GLYPHS, STRUCTURE, **SIZES, pointers=False, features=features)
    formulas = [source().sample(k) for k in range(8)]
    batch = collate(formulas, decoder)
    for steps in (batch.inputs_BT, batch.targets_BT):
        at = steps - len(STRUCTURE)
        steps[at >= 0] = len(STRUCTURE) + batch.classes_BN.gather(1, at.clamp_min(0))[at >= 0]
    seen = torch.randn(len(GLYPHS) + 1, features)[batch.classes_BN] if features else None
    first, last = fit(decoder, batch, seen)
    assert last < 0.1 * first
    unused = {name.split(".")[0] for name, p in decoder.named_parameters() if p.grad is None}
    assert unused == {"written", "point", "pointed", "point_pair"} | ({"style"} if features else set())


def test_pointers_need_symbols() -> None:
    with pytest.raises(ConfigError, match="features need pointers: false"):
        SymbolsDecoder(GLYPHS, STRUCTURE, features=8)


def test_batches_are_functions_of_their_number() -> None:
    decoder = SymbolsDecoder(GLYPHS, STRUCTURE, **SIZES)
    one, two = (FormulaData(source(seed=3), decoder, 4, 3) for _ in range(2))
    ahead = [one[k] for k in range(3)]
    for k in (2, 0):
        for name, tensor in vars(two[k]).items():
            assert torch.equal(tensor, getattr(ahead[k], name)), name


def test_noise_keeps_pointers_on_their_glyphs() -> None:
    formula = source().sample(1)
    lost = 0
    for seed in range(300):
        noisy = add_noise(formula, np.random.default_rng(seed))
        assert len(noisy.chars) == len(noisy.boxes) == len(noisy.styles)
        assert len(noisy.steps) == len(noisy.pointers)
        assert noisy.pointers.max() < len(noisy.chars)
        ink = [p for p in noisy.pointers.tolist() if p >= 0]
        assert len(set(ink)) == len(ink)
        lost += len(noisy.chars) < len(formula.chars)
    assert lost > 0


def test_training_resumes_bit_for_bit(formulas: None, tmp_path: Path) -> None:
    train(recipe(tmp_path / "whole"), log=lambda _: None)
    train(recipe(tmp_path / "parts"), log=lambda _: None, max_steps=2)
    train(recipe(tmp_path / "parts"), log=lambda _: None)
    for name in ("model", "ema"):
        whole, parts = (sorted((tmp_path / run).glob(f"step-*/{name}.safetensors"))[-1] for run in ("whole", "parts"))
        assert whole.read_bytes() == parts.read_bytes()
    assert "exact_10" in (tmp_path / "whole" / "eval.csv").read_text()


def test_a_decoder_without_pointers_is_refused(formulas: None, tmp_path: Path) -> None:
    settings = zoo_settings("vary-nano-formulas-test")
    settings["formulas"]["pointers"] = False
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match="stage 'one': this model's symbols decoder has no pointers"):
        train(recipe(tmp_path / "run", model=str(tmp_path / "model.yaml")), log=lambda _: None)


def test_a_model_without_the_decoder_is_refused(formulas: None, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no parameter begins with|no symbols decoder"):
        train(recipe(tmp_path / "run", model="vary-nano-test"), log=lambda _: None)


DRAWS_AFTER = """
import multiprocessing
from vary.data.documents.typst import load_fonts, print_pdf
from vary.train.loader import call_in_child
draw = lambda: print_pdf("Some $x^2$ words.", load_fonts()).get_version()
for held_out in (lambda: call_in_child(draw), draw):
    held_out()
    worker = multiprocessing.get_context("fork").Process(target=draw)
    worker.start()
    worker.join(60)
    print(worker.exitcode, flush=True)
    worker.kill()
"""
FORKS = multiprocessing.get_start_method() == "fork"


@pytest.mark.skipif(not FORKS, reason="data workers are not forked on this system")
def test_workers_draw_after_held_out_samples_were_drawn() -> None:
    """Typst's threads do not survive a fork. A worker that would wait for them for ever fails at once.

    Held-out samples are drawn in a child, so workers draw after them; they fail after the trainer itself has drawn.
    """
    done = subprocess.run([sys.executable, "-c", DRAWS_AFTER], capture_output=True, text=True, timeout=240)
    assert done.stdout.split() == ["0", "1"], done.stderr
    assert "threads do not survive" in done.stderr


@pytest.mark.skipif(not FORKS, reason="data workers are not forked on this system")
def test_errors_of_held_out_samples_are_raised() -> None:
    def refuse():
        raise ConfigError("nothing to draw")

    with pytest.raises(ConfigError, match="nothing to draw"):
        call_in_child(refuse)
    with pytest.raises(InputError, match=r"exit code -9"):
        call_in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))
