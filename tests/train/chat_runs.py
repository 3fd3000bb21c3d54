"""Runs of the family's stages on miniatures: recipes, samples, and what a run wrote."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib
import numpy as np
import torch
import yaml
from safetensors.torch import load_file

from vary.data.sample import Sample, Skipped
from vary.train.loop import train
from vary.train.recipe import Recipe

TRAINED = ["connector", "language_model", "lm_head"]


class Pictures:
    """Squares of noise; every third asks two things, every fifth shows nothing, every eleventh cannot be read."""

    def sample(self, i: int) -> Sample:
        rng = np.random.default_rng((3, i))
        image = rng.integers(0, 255, (40, 60, 3), np.uint8) if i % 5 else np.zeros((0, 0), np.uint8)
        meta = {}
        if i % 11 == 10:
            raise Skipped("pictures", i, "torn")
        if i % 3 == 2:
            mark = "<image>\n" if i % 5 else ""
            turns = [f"{mark}Is it {i}?", "Yes.", "Why?", f"It is {i}."]
            meta["turns"] = [{"role": ("user", "assistant")[k % 2], "content": t} for k, t in enumerate(turns)]
        return Sample(image, [], "picture", meta, f"Number {i}.", "Which is it?")


def recipe(folder: Path, run: str, stage: dict | None = None, **changes) -> Recipe:
    stages = [{"name": "pretrain", "task": "answer", "mix": "pictures", "steps": 4, "lr": 0.003, "batch": 3,
               "max_tokens": 250, "trainable": TRAINED, "schedule": "cosine", **(stage or {})}]  # fmt: skip
    whole = {"model": str(folder), "out": str(folder.parent / run), "workers": 0, "log_every": 1, "eval_every": 100,
             "save_every": 2, "ema": 0.0, "precision": "float32", "stages": stages, **changes}  # fmt: skip
    path = folder.parent / f"{run}.yaml"
    path.write_text(yaml.safe_dump(whole))
    return Recipe.load(path)


def run(settings: Recipe, **limits) -> list[str]:
    lines: list[str] = []
    train(settings, log=lines.append, **limits)
    return lines


def losses(settings: Recipe) -> list[float]:
    with (Path(settings.out) / "loss.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def newest(settings: Recipe, part: str = "model") -> dict[str, torch.Tensor]:
    return load_file(sorted(Path(settings.out).glob("step-*"))[-1] / f"{part}.safetensors")


def pages(folder: Path) -> Path:
    """A mixture of small pages, `mix.yaml`, rendered to shards."""
    from vary.data.render import render

    texts, mix = folder / "text.txt", folder / "mix.yaml"
    texts.write_text("Plain words that stand on a page for a test of training. " * 40)
    fonts = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    page = {"source": "page", "texts": [str(texts)], "fonts": fonts, "height": 128, "width": 128, "max_lines": 2,
            "prompt": "Read."}  # fmt: skip
    mix.write_text(yaml.safe_dump({"seed": 1, "mix": {"pretrain": {"pages": page}}}))
    render(mix, 24, folder / "shards", workers=1)
    return folder / "shards"
