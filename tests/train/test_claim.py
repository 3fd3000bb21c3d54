"""benchmarks/claim.py in small: data that repeats and holds out, eyes that stay frozen, arms that resume, a table."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from vary.data.images.paste import shapes
from vary.data.mixture import Mixture, load_recipe, read_mix
from vary.data.registry import SOURCES
from vary.models.modeling import load_model
from vary.models.vocab import VOCABULARIES, build_vocabulary
from vary.train.recipe import Recipe

ROOT = Path(__file__).parents[2]
TINY = ["stages.0.steps=2", "stages.1.steps=2", "stages.0.batch=2", "stages.1.batch=2"]


@pytest.fixture
def claim(monkeypatch, text_source, faces):
    """The script, with words, faces and pictures that need no network."""
    spec = importlib.util.spec_from_file_location("claim", ROOT / "benchmarks" / "claim.py")
    module = importlib.util.module_from_spec(spec)
    registries = [(VOCABULARIES, dict(VOCABULARIES)), (SOURCES, dict(SOURCES))]
    spec.loader.exec_module(module)
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 255, (300, 400, 3), np.uint8)) for _ in range(2)]
    monkeypatch.setattr(module, "english", lambda held_out: text_source)
    mono = [ImageFont.truetype(face.path, 13.3) for face in faces if face.mono and face.style == "Book"]
    monkeypatch.setattr(module, "fonts", lambda: mono)
    monkeypatch.setattr(module, "things", lambda: [(name, Image.fromarray(p)) for name, p in shapes()[:3]])
    monkeypatch.setattr(module, "views", lambda held_out: noise[held_out:][:1])
    yield module
    for registry, before in registries:
        registry.clear()
        registry.update(before)


@pytest.mark.parametrize("stage", ["prose", "words", "dense", "test"])
def test_samples_are_functions_of_seed_and_number(claim, stage) -> None:
    parts = read_mix(load_recipe(ROOT / "recipes" / "claim-mix.yaml"), stage)
    one, other = Mixture(parts, 5), Mixture(parts, 5)
    later = [other.sample(i) for i in reversed(range(12))][::-1]
    for a, b in zip((one.sample(i) for i in range(12)), later, strict=True):
        assert a.text == b.text
        assert a.text
        assert np.array_equal(a.image, b.image)
        assert a.image.shape[:2] == ((0, 0) if stage == "prose" else (claim.HIGH, claim.WIDE))


def test_text_stays_inside_and_has_the_lines_asked_for(claim) -> None:
    for i in range(20):
        sample = claim.draw_text(np.random.default_rng(i), lines=(2, 3))
        assert len(sample.text.split("\n")) in (2, 3)
        assert min(sample.image[0].min(), sample.image[-1].min(), sample.image[:, 0].min()) > 200
        assert sample.image[:, -1].min() > 200
        assert sample.image.min() < 50


def test_scores(claim) -> None:
    truth = '{"data": {"ab": "50", "cd": "8"}}'
    assert claim.scores("chart", truth, truth) == {"relaxed": 1.0, "SCRM AP": 1.0}
    assert claim.scores("chart", '{"data": {"ab": "51", "cd": "9"}}', truth)["relaxed"] == 0.5
    assert claim.scores("chart", "nothing", truth) == {"relaxed": 0.0, "SCRM AP": 0.0}
    assert claim.scores("dense", "a b\nc", "a b c") == {"edit distance": 0.0, "F1": 1.0}
    assert claim.scores("caption", "frog", "dog") == {"accuracy": 0.0}


@pytest.mark.slow  # the benchmark's program trains a language model and an arm, and answers held-out samples
def test_an_arm_trains_freezes_its_eye_resumes_and_is_measured(claim, tmp_path) -> None:
    words = claim.language_model(tmp_path, 1, small=True)
    claim.run("new", tmp_path, words, TINY, 2, small=True)
    start, end = load_model(tmp_path / "new" / "start"), load_model(tmp_path / "new" / "model")
    moved = {}
    for (name, before), after in zip(start.state_dict().items(), end.state_dict().values(), strict=True):
        part = name.split(".")[0]
        moved[part] = moved.get(part, False) or not torch.equal(before, after)
    assert moved == {"vocabularies": False, "connector": True, "language_model": True, "lm_head": True}
    assert torch.equal(start.language_model.state_dict()["norm.weight"], words["norm.weight"])
    records = json.loads((tmp_path / "new" / "answers.json").read_text())
    assert {r["part"] for r in records} == {"words", "dense", "chart", "caption", "negative"}
    assert len(records) == 10
    claim.run("new", tmp_path, words, TINY, 2, small=True)  # nothing is left to do; the same answers
    assert json.loads((tmp_path / "new" / "answers.json").read_text()) == records
    lines = claim.table(tmp_path, ["new"]).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["words"] * 2 + ["dense"] * 2 + ["chart"] * 2 + [
        "caption", "negative",
    ]  # fmt: skip


def test_a_vocabulary_from_outside_is_merged(claim) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the network is no dependency of vary")
    eye = build_vocabulary("efficientnet-lite").eval()
    assert eye(torch.zeros(1, 3, 64, 96)).shape == (1, 2 * 3, eye.width)
    model = claim.model_of("both", small=True).eval()
    image = model.get_image_features([torch.zeros(1, 3, 224, 224), torch.zeros(1, 1, claim.HIGH, claim.WIDE)])
    assert image.shape[1] == 7 * 7 + 3 * 32


def test_rates_may_be_written_without_a_point() -> None:
    recipe = ROOT / "recipes" / "claim.yaml"
    assert Recipe.load(recipe, ["stages.0.lr=2e-3"]).stages[0].lr == 0.002
    with pytest.raises(ValueError, match=r"stages\.0: could not convert string to float: 'fast'"):
        Recipe.load(recipe, ["stages.0.lr=fast"])
