"""Why the decoder's loss sits on a plateau, and what ends it: one recipe, five arms (docs/learning.md).

`python benchmarks/learning.py [ARM ...] [--steps N]` trains all arms from the same random weights over the same pages,
a hundred steps each in turn, so that they compare whenever it is stopped; run again it resumes. It prints a table and
writes `runs/learning/learning.csv` and `docs/learning.png` from what has been logged; `--show` only does this.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from vary.models.config import VaryConfig
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.zoo import settings as settings_of
from vary.train.loop import train
from vary.train.recipe import Recipe
from vary.train.tasks.task import TextAssets

RUNS = Path("runs/learning")
TURN = 100
CURRICULUM = "stages.0.lines=[1, 2]"
HEAD = "stages.0.losses={next: 1.0, ctc: 0.5, glyph: 1.0, blank: 1.0, measure: 0.1}"
ARMS = {
    "plain": [],
    "lines": [CURRICULUM],
    "ctc": [HEAD],
    "both": [CURRICULUM, HEAD],
    "feed": [CURRICULUM, HEAD, f"model={RUNS}/model-feed"],
}
COLUMNS = ("arm", "step", "seen", "trained", "next", "blind", "accuracy", "cer_decoder", "lines")


def make_models() -> None:
    """Random weights of a model small enough for a busy core; that with `feed` differs where it must, in one layer."""
    weights: dict[str, torch.Tensor] = {}
    for name, feed in (("model", False), ("model-feed", True)):
        settings = settings_of("recipes/models/learning.yaml")
        settings["reading"]["append_posteriors"] = feed
        torch.manual_seed(1)
        model = VaryForConditionalGeneration(VaryConfig(**settings))
        same = {k: v for k, v in model.state_dict().items() if k in weights and v.shape == weights[k].shape}
        model.load_state_dict({k: weights[k] for k in same}, strict=False)
        weights = weights or {k: v.clone() for k, v in model.state_dict().items()}
        if not (RUNS / name / "config.json").exists():
            model.save_pretrained(RUNS / name)


def text_assets() -> TextAssets:
    """Return English text and one font, whose letters are learnt in minutes; the question is what follows."""
    english = TextAssets.english()
    faces = [face for face in english.faces if (face.family, face.style) == ("DejaVu Sans", "Book")]
    return TextAssets(english.text, english.held_out, faces)


def steps_done(arm: str) -> int:
    """Of the newest checkpoint, `step-STAGE-STEP`; the second stage is the end."""
    newest = max((path.name for path in (RUNS / arm).glob("step-*")), default="step-0-0")
    _, stage, step = newest.split("-")
    return int(step) if stage == "0" else 1_000_000


def read_logs() -> dict[str, list[dict[str, str]]]:
    """Held-out measures of each arm that has any, and the mean training loss of the steps before."""
    found = {}
    for arm in ARMS:
        path = RUNS / arm / "eval.csv"
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [{"arm": arm} | row for row in csv.DictReader(file)]
            with (RUNS / arm / "loss.csv").open(newline="", encoding="utf-8") as file:
                losses = {int(row["step"]): float(row["next"]) for row in csv.DictReader(file)}
            for row in rows:
                last = int(row["step"])
                row["trained"] = str(np.mean([loss for step, loss in losses.items() if last - TURN < step <= last]))
            found[arm] = rows
    return found


def show(found: dict[str, list[dict[str, str]]]) -> None:
    with (RUNS / "learning.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for rows in found.values() for row in rows)
    print("| arm | steps | lines | training loss | held-out loss, two lines | with another image | CER, single lines |")
    print("|---|---|---|---|---|---|---|")
    for arm, rows in found.items():
        last = {k: float(v) for k, v in rows[-1].items() if k in COLUMNS and k != "arm"}
        print(
            f"| {arm} | {last['step']:.0f} | {last['lines']:.0f} | {last['trained']:.2f} | {last['next']:.2f} | "
            f"{last['blind']:.2f} | {last['cer_decoder']:.0%} |"
        )


def draw(found: dict[str, list[dict[str, str]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = {
        "trained": f"training loss, mean of {TURN} steps, own strips",
        "next": "held-out loss, strips of two lines",
        "cer_decoder": "held-out CER from an empty draft, single lines",
    }
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for k, (arm, rows) in enumerate(found.items()):
        seen = [float(row["seen"]) for row in rows]
        axes[0].plot(seen, [float(row["trained"]) for row in rows], color=f"C{k}", label=arm, linewidth=1.5)
        axes[1].plot(seen, [float(row["next"]) for row in rows], color=f"C{k}", linewidth=1.5)
        axes[1].plot(seen, [float(row["blind"]) for row in rows], f"C{k}:", linewidth=1)
        axes[2].plot(seen, [float(row["cer_decoder"]) for row in rows], color=f"C{k}", linewidth=1.5)
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        axis.set(xlabel="pages seen", title=title)
        axis.set_ylim(0, {"trained": 4.5, "next": 6.0, "cer_decoder": 1.6}[name])
        axis.grid(alpha=0.3)
    axes[1].plot([], [], "k:", linewidth=1, label="with another image")
    axes[1].legend()
    axes[0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arms", nargs="*", metavar="ARM", help=f"of {', '.join(ARMS)}; all of them by default")
    parser.add_argument("--steps", type=int, default=2000, help="of each arm; the recipe ends at 2000")
    parser.add_argument("--show", action="store_true", help="only print and draw what has been logged")
    arguments = parser.parse_args()
    for arm in arguments.arms:
        if arm not in ARMS:
            parser.error(f"unknown arm {arm!r}; allowed: {', '.join(ARMS)}")
    if not arguments.show:
        make_models()
        assets = text_assets()
        for stop in range(TURN, arguments.steps + 1, TURN):
            for arm in arguments.arms or ARMS:
                recipe = Recipe.load("recipes/learning-plateau.yaml", [f"out={RUNS / arm}", *ARMS[arm]])
                train(recipe, max_steps=max(0, stop - steps_done(arm)), assets=assets)
    found = read_logs()
    show(found)
    draw(found, Path("docs/learning.png"))


if __name__ == "__main__":
    main()
