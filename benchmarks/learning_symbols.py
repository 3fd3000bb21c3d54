"""What a decoder of formulas learns from: symbols or features, pointers or a softmax (docs/learning.md).

`python benchmarks/learning_symbols.py [SEED ...]` trains every arm of `ARMS` with each seed, on the same formulas. Run
again it goes on with the next arm. It prints a table and draws `docs/learning-symbols.png` from what has been logged;
`--show` only does this.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from vary.data.corpus.formulas import real_formulas
from vary.data.documents.formula_glyphs import EM, FormulaGlyphs, GlyphFormula
from vary.io.files import atomic_write
from vary.markup.math_tokens import GLYPHS, STRUCTURE
from vary.models.generate.symbols_decoder import Memory, SymbolsDecoder
from vary.models.heads.glyphs import GlyphHead
from vary.models.hub import weights_dir
from vary.models.images.preprocess import normalise
from vary.models.vocab.nano import NanoVocabulary
from vary.train.tasks.formula_task import IGNORED, FormulaBatch, collate
from vary.train.tasks.glyph_task import GlyphBatch, glyph_losses, make_batch

RUNS = Path("runs/learning-symbols")
SEEDS = 1, 2, 3
FORMULAS, BATCH, STEPS, MEASURE_EVERY, MEASURED = 2048, 32, 256, 32, 96
RATE, WARMUP, DECAY = 3e-3, 8, 64  # steps at the beginning and at the end with a lower rate
LONGEST, TYPE_PX = 8, 20.0
SIZES = {"width": 64, "inner": 192, "heads": 4, "encoder": 2, "decoder": 2}
TRUNK = {"stem": (12, 24), "width": 64, "depth": 1}
GLYPH_LOSSES = {"gate": 1.0, "class": 1.0, "style": 0.3, "box": 0.5}
CONTRAST = 40  # grey levels by which ink differs from paper


@dataclass(frozen=True)
class Arm:
    """Changes of the decoder, and what it sees: glyphs, or features of a trunk that is `shipped` (and stays as it is)
    or `new`. glyphs: the trunk also learns from the losses of a glyph head."""

    decoder: dict[str, Any] = field(default_factory=dict)
    trunk: str = ""
    glyphs: bool = False


ARMS = {
    "symbols": Arm(),
    "softmax": Arm({"pointers": False}),
    "no bias": Arm({"relative": False}),
    "features, shipped trunk": Arm({"pointers": False}, "shipped"),
    "features, new trunk": Arm({"pointers": False}, "new"),
    "features, new trunk, glyph losses": Arm({"pointers": False}, "new", True),
    "softmax, no bias": Arm({"relative": False, "pointers": False}),
}


# -- formulas ----------------------------------------------------------------------------------------------------------
@dataclass
class ArmBatch(FormulaBatch):
    """Formulas, with their images and the targets of the glyph head. shipped: tokens of the shipped trunk."""

    images: GlyphBatch
    shipped: Tensor | None = None


def draw_formulas(part: str, wanted: int, but: set[str]) -> dict[str, GlyphFormula]:
    """Draw different formulas, by their LaTeX."""
    recipe = yaml.safe_load(Path("recipes/vary-nano-3.yaml").read_text(encoding="utf-8"))
    formulas, sizes = real_formulas(part, recipe["stages"][0]["formulas"]), (TYPE_PX, TYPE_PX)
    source = FormulaGlyphs(formulas, longest=LONGEST, sizes_px=sizes, degraded=0.0, seed=1)
    found: dict[str, GlyphFormula] = {}
    for k in count():
        if len(found) == wanted:
            break
        if (formula := source.sample(k)).latex not in but:
            found[formula.latex] = formula
    return found


def make_batches(formulas: list[GlyphFormula]) -> list[ArmBatch]:
    """Cut formulas into batches by length. Characters are numbered later: pointers depend on the arm."""
    decoder, head = SymbolsDecoder(GLYPHS, STRUCTURE, **SIZES), GlyphHead(1, NanoVocabulary.stride_of(), GLYPHS)
    ordered = sorted(formulas, key=lambda f: (len(f.steps), len(f.chars)))
    parts = (ordered[k : k + BATCH] for k in range(0, len(ordered), BATCH))
    return [ArmBatch(**vars(collate(f, decoder)), images=make_batch(f, head.class_of, head.stride)) for f in parts]


def as_kinds(steps: Tensor, classes: Tensor) -> Tensor:
    """Return numbers of steps (B, T) with the class of a glyph in place of its place."""
    at = steps - len(STRUCTURE)
    return torch.where(at < 0, steps, len(STRUCTURE) + classes.gather(1, at.clamp_min(0)))


def ink_cells(images: Tensor, stride: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cells with ink of images (B, 1, H, W), from left to right: numbers (B, N), boxes (B, N, 4), real."""
    ink = F.max_pool2d((images[..., :1, :1].float() - images).gt(CONTRAST).float(), stride)[:, 0] > 0
    rows, columns = ink.shape[1:]
    ink = ink.transpose(1, 2).flatten(1)
    order = (~ink).byte().argsort(dim=1, stable=True)[:, : int(ink.sum(1).max())]
    column, row = order // rows, order % rows
    boxes = torch.stack([column * stride[1], row * stride[0], (column + 1) * stride[1], (row + 1) * stride[0]], -1)
    return row * columns + column, boxes.float(), ink.gather(1, order)


# -- an arm ------------------------------------------------------------------------------------------------------------
class Reader(nn.Module):
    """A decoder with what it looks through: nothing, or a trunk and perhaps a glyph head."""

    def __init__(self, arm: Arm):
        super().__init__()
        self.frozen = arm.trunk == "shipped"
        self.trunk = NanoVocabulary(**({} if self.frozen else TRUNK)) if arm.trunk else None
        self.head = GlyphHead(self.trunk.width, self.trunk.stride, GLYPHS, rank=48) if arm.glyphs else None
        self.right = 0.0  # share of the classes of the latest batch that the glyph head knows
        self.decoder = SymbolsDecoder(
            GLYPHS, STRUCTURE, **SIZES, **arm.decoder, features=self.trunk.width if self.trunk else 0
        )
        if self.frozen:
            start, tensors = "vocabularies.0.", load_file(weights_dir("vary-nano") / "model.safetensors")
            weights = {k.removeprefix(start): v.float() for k, v in tensors.items() if k.startswith(start)}
            self.trunk.load_state_dict(weights)
            self.trunk.requires_grad_(False)

    def train(self, mode: bool = True) -> Reader:
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    def look(self, batch: ArmBatch) -> tuple[Memory, dict[str, Tensor]]:
        """Return what the decoder sees, and the losses of the glyph head."""
        if self.trunk is None:
            return self.decoder.encode(batch.classes_BN, batch.styles_BN, batch.boxes_BN4, batch.real_BN), {}
        images, losses = batch.images.images, {}
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
            tokens = batch.shipped if self.frozen else None
            if tokens is None:
                tokens = self.trunk(normalise(images.float(), {}))
            if self.frozen:
                batch.shipped = tokens
            if self.head:
                found = self.head(tokens, self.trunk.grid(*images.shape[-2:]))
                losses, logits = glyph_losses(self.head, found, batch.images)
                self.right = float((logits.argmax(-1) == batch.images.classes).float().mean())
        cells, boxes, real = ink_cells(images, self.trunk.stride)
        features = tokens.float().gather(1, cells[..., None].expand(-1, -1, tokens.shape[-1]))
        return self.decoder.encode_features(features, boxes * (EM / TYPE_PX), real), losses

    def steps(self, batch: ArmBatch, steps: Tensor) -> Tensor:
        """Number steps as the decoder of this arm does."""
        return steps if self.decoder.pointers else as_kinds(steps, batch.classes_BN)

    def logits(self, memory: Memory, batch: ArmBatch) -> Tensor:
        return self.decoder.logits(memory, self.steps(batch, batch.inputs_BT), batch.last_BT, batch.used_BTN)

    def losses(self, batch: ArmBatch) -> Tensor:
        memory, losses = self.look(batch)
        asked = batch.targets_BT != IGNORED
        targets = self.steps(batch, batch.targets_BT.clamp_min(0))[asked]
        step = F.cross_entropy(self.logits(memory, batch)[asked], targets)
        return step + sum(weight * losses[name] for name, weight in GLYPH_LOSSES.items() if name in losses)

    def write(self, memory: Memory, batch: ArmBatch) -> Tensor:
        """Write greedily, without a grammar; returns as many steps (B, T) as the longest formula has."""
        rows, glyphs = batch.classes_BN.shape
        step, last = torch.zeros(rows, dtype=torch.long), torch.full((rows,), -1)
        used, cache, found = torch.zeros(rows, glyphs, dtype=torch.bool), [None] * SIZES["decoder"], []
        for _ in range(batch.inputs_BT.shape[1]):
            logits = self.decoder.logits(memory, step[:, None], last[:, None], used[:, None], cache)
            step = logits[:, 0].argmax(-1)
            if self.decoder.pointers:
                at = step - len(STRUCTURE)
                last = torch.where(at >= 0, at, last)
                used = used | (F.one_hot(at.clamp_min(0), glyphs).bool() & (at >= 0)[:, None])
            found.append(step)
        return torch.stack(found, 1)

    @torch.inference_mode()
    def measure(self, held_out: list[ArmBatch]) -> dict[str, float]:
        """next: share of steps that are right behind true ones. another: the same with what another formula shows.
        exact: share of formulas that are written without a fault. glyphs: share of glyphs that the glyph head knows."""
        self.eval()
        sums = dict.fromkeys(("next", "another", "exact", "steps", "formulas", "glyphs"), 0.0)
        for batch in held_out:
            memory, _ = self.look(batch)
            other = Memory(
                *(part.roll(1, 0) for part in (memory.states, memory.mask, memory.pairs)),
                [(key.roll(1, 0), value.roll(1, 0)) for key, value in memory.cross],
            )
            sums["glyphs"] += self.right / len(held_out)
            classes, asked = batch.classes_BN, batch.targets_BT != IGNORED
            true = as_kinds(batch.targets_BT.clamp_min(0), classes)
            for name, seen, shown in (("next", memory, classes), ("another", other, classes.roll(1, 0))):
                found = self.logits(seen, batch).argmax(-1)
                found = as_kinds(found, shown) if self.decoder.pointers else found
                sums[name] += int((found == true)[asked].sum())
            written = self.write(memory, batch)
            written = as_kinds(written, classes) if self.decoder.pointers else written
            sums["exact"] += int(((written == true) | ~asked).all(1).sum())
            sums["steps"], sums["formulas"] = sums["steps"] + int(asked.sum()), sums["formulas"] + len(true)
        self.train()
        shares = {k: sums[k] / sums["steps"] for k in ("next", "another")}
        return shares | {"exact": sums["exact"] / sums["formulas"], "glyphs": sums["glyphs"]}


def rate(step: int) -> float:
    """Return the factor of the rate of a step."""
    return min(1.0, (step + 1) / WARMUP, (STEPS - step) / DECAY)


def run(arm: str, seed: int, training: list[ArmBatch], held_out: list[ArmBatch]) -> list[dict[str, float]]:
    """Train an arm; return its held-out measures. cpu: seconds of training, without measuring."""
    torch.manual_seed(seed)
    reader = Reader(ARMS[arm]).train()
    optimizer = torch.optim.AdamW([p for p in reader.parameters() if p.requires_grad], RATE, (0.9, 0.98))
    order = np.random.default_rng(seed)
    queue: list[int] = []
    rows, seconds = [], 0.0
    for step in range(STEPS):
        queue = queue or order.permutation(len(training)).tolist()
        began = time.process_time()
        optimizer.param_groups[0]["lr"] = RATE * rate(step)
        optimizer.zero_grad()
        reader.losses(training[queue.pop()]).backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        seconds += time.process_time() - began
        if (step + 1) % MEASURE_EVERY == 0:
            rows.append({"seen": (step + 1) * BATCH, "cpu": round(seconds, 2)} | reader.measure(held_out))
            print(arm, seed, rows[-1], flush=True)
    return rows


# -- the table and the picture -----------------------------------------------------------------------------------------
Curves = dict[str, np.ndarray]  # name of a column to its values, (seeds, measurements)


def file_of(arm: str, seed: int) -> Path:
    return RUNS / f"{arm.replace(',', '').replace(' ', '-')}-{seed}.csv"


def read_logs() -> dict[str, Curves]:
    found = {}
    for arm in ARMS:
        files = [path for seed in SEEDS if (path := file_of(arm, seed)).exists()]
        logs = [list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) for path in files]
        if logs:
            found[arm] = {name: np.array([[float(row[name]) for row in log] for log in logs]) for name in logs[0][0]}
    return found


def show(found: dict[str, Curves]) -> None:
    print("| arm | seeds | formulas seen | next step | … another formula | exact | glyph classes | CPU seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for arm, curves in found.items():
        last = [curves[name][:, -1] for name in ("next", "another", "exact", "glyphs")]
        shares = [f"{v.mean():.1%} ({v.min():.1%}–{v.max():.1%})" if v.any() else "0" for v in last]
        shares[3] = shares[3] if ARMS[arm].glyphs else "–"
        seen, cpu = (curves[name][:, -1].mean() for name in ("seen", "cpu"))
        print(f"| {arm} | {len(last[0])} | {seen:,.0f} | {' | '.join(shares)} | {cpu:.0f} |")


def draw(found: dict[str, Curves], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = {
        ("seen", "next"): "next step right (dotted: another formula)",
        ("seen", "exact"): "formulas written without a fault",
        ("cpu", "next"): "next step right",
    }
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for k, (arm, curves) in enumerate(found.items()):
        for axis, (x, y) in zip(axes, panels, strict=True):
            across, up = curves[x].mean(0), curves[y]
            axis.plot(across, up.mean(0), color=f"C{k}", label=arm, linewidth=1.5)
            axis.fill_between(across, up.min(0), up.max(0), color=f"C{k}", alpha=0.15, linewidth=0)
        axes[0].plot(curves["seen"].mean(0), curves["another"].mean(0), f"C{k}:", linewidth=1)
    for axis, ((x, _), title) in zip(axes, panels.items(), strict=True):
        axis.set(xlabel={"seen": "formulas seen", "cpu": "CPU seconds"}[x], title=title, ylim=(0, 1))
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize="small")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="only print and draw what has been logged")
    parser.add_argument("seeds", nargs="*", type=int, metavar="SEED", help="of 1, 2 and 3; all of them by default")
    asked = parser.parse_args()
    todo = [(arm, seed) for seed in asked.seeds or SEEDS for arm in ARMS if not file_of(arm, seed).exists()]
    if not asked.show and todo:
        torch.set_num_threads(1)
        trained = draw_formulas("train", FORMULAS, set())
        held_out = make_batches(list(draw_formulas("test", MEASURED, set(trained)).values()))
        training = make_batches(list(trained.values()))
        for arm, seed in todo:
            rows = run(arm, seed, training, held_out)
            lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
            with atomic_write(file_of(arm, seed)) as file:
                file.write("\n".join([*lines, ""]).encode())
    found = read_logs()
    show(found)
    draw(found, Path("docs/learning-symbols.png"))


if __name__ == "__main__":
    main()
