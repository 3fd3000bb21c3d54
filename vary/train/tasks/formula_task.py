"""Train the symbols decoder: glyphs of typeset formulas in, LaTeX steps out.

No page is drawn but for the share of formulas whose glyphs the glyph head finds (`found_formulas`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from torch.utils.data import Dataset

from ...data.corpus.formulas import real_formulas
from ...data.documents.formula_glyphs import FormulaGlyphs, GlyphFormula
from ...io.errors import ConfigError
from ...markup.math_tokens import left_to_right
from ...models.formulas.writer import Glyphs, write_formulas
from ...models.generate.symbols_decoder import SymbolsDecoder
from ...models.modeling import VaryForConditionalGeneration
from ..recipe import Stage
from .found_formulas import FoundFormulas, with_glyphs
from .glyph_task import SIZES_PX
from .task import HELD_OUT_SEED, TaskContext

POOL = 16  # batches that are made at once and cut by length, so that little of a batch is filling
BUCKETS = (10, 25, 60, 152)  # most steps of the formulas that are measured together
MEASURED, MEASURED_FOUND = 192, 96  # held-out formulas, and drawn ones
FOUND_SEED = 500  # added to the seed of a stage for its drawn formulas
IGNORED = -100


@dataclass
class FormulaBatch:
    """Glyphs, and steps numbered as `SymbolsDecoder.inputs` does; filled rows have real False and targets -100."""

    classes_BN: Tensor
    styles_BN: Tensor
    boxes_BN4: Tensor
    real_BN: Tensor
    inputs_BT: Tensor
    last_BT: Tensor
    used_BTN: Tensor
    targets_BT: Tensor

    def to(self, device: torch.device) -> FormulaBatch:
        """Return all tensors on a device."""
        return FormulaBatch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


class FormulaData(Dataset[Any]):
    """Batches of noisy formulas. Item k is a pure function of the seed and k.

    Args:
        source: gives the formulas.
        decoder: numbers classes and steps.
        batch: formulas in a batch.
        seed: of the noise and the order.
        found: gives those with found glyphs. share: of them.
    """

    def __init__(
        self,
        source: FormulaGlyphs,
        decoder: SymbolsDecoder,
        batch: int,
        seed: int,
        found: FoundFormulas | None = None,
        share: float = 0.0,
    ):
        self.source, self.decoder, self.batch, self.seed = source, decoder, batch, seed
        self.found, self.share = found, share
        self._pool: tuple[int, list[list[GlyphFormula]]] = (-1, [])

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, k: int) -> FormulaBatch:
        pool, place = divmod(k, POOL)
        if self._pool[0] != pool:
            total = POOL * self.batch
            seen = round(self.share * total)
            found = [self.source.sample(pool * (total - seen) + n) for n in range(total - seen)]
            if self.found:
                found += [self.found.sample(pool * seen + n) for n in range(seen)]
            found.sort(key=lambda f: (len(f.steps), len(f.chars)))
            cut = [found[n * self.batch : (n + 1) * self.batch] for n in range(POOL)]
            order = np.random.default_rng((self.seed, 19, pool)).permutation(POOL)
            self._pool = pool, [cut[n] for n in order]
        rng = np.random.default_rng((self.seed, 23, k))
        noisy = [f if f.kind == "found" else add_noise(f, rng) for f in self._pool[1][place]]
        return collate(noisy, self.decoder)


def add_noise(formula: GlyphFormula, rng: np.random.Generator) -> GlyphFormula:
    """Return a formula as another source may report it: boxes moved and resized, glyphs missing or wrong.

    A step whose glyph is missing goes, for nothing can be pointed at.
    """
    count = len(formula.chars)
    boxes = formula.boxes + rng.normal(0, 0.4, formula.boxes.shape).astype(np.float32)
    boxes *= np.float32(np.exp(rng.uniform(-0.15, 0.15)))
    chars, styles = list(formula.chars), formula.styles.copy()
    for n in np.flatnonzero(rng.random(count) < 0.02):
        chars[n] = formula.chars[int(rng.integers(count))]
    styles[rng.random(count) < 0.03] = 0
    if rng.random() < 0.15:
        styles[:] = 0  # a source that knows no styles
    order = left_to_right(boxes)
    return (
        _arranged(formula, chars, styles, boxes, order[rng.random(count) >= 0.006])
        or _arranged(formula, chars, styles, boxes, order)
        or formula
    )


def _arranged(
    formula: GlyphFormula, chars: Sequence[str], styles: np.ndarray, boxes: np.ndarray, order: np.ndarray
) -> GlyphFormula | None:
    """Return a formula over some of its glyphs, in an order."""
    place = np.full(len(chars), -1)
    place[order] = np.arange(len(order))
    return with_glyphs(formula, place, "".join(chars[k] for k in order), styles[order], boxes[order])


def collate(formulas: list[GlyphFormula], decoder: SymbolsDecoder) -> FormulaBatch:
    """Fill up formulas to one batch."""
    glyphs = decoder.glyph_tensors([(f.chars, f.styles, f.boxes) for f in formulas])
    count, wide = glyphs[0].shape
    long, structure = max(len(f.steps) for f in formulas) + 1, len(decoder.structure)
    inputs, last = torch.zeros(count, long, dtype=torch.long), torch.full((count, long), -1)
    used, targets = torch.zeros(count, long, wide, dtype=torch.bool), torch.full((count, long), IGNORED)
    for k, f in enumerate(formulas):
        t = len(f.steps)
        pairs = zip(f.steps, f.pointers.tolist(), strict=True)
        numbers = torch.tensor([structure + at if at >= 0 else decoder.step_of[step] for step, at in pairs])
        inputs[k, 1 : t + 1], targets[k, :t], targets[k, t] = numbers, numbers, 0
        for s, at in enumerate(f.pointers.tolist()):
            if at >= 0:
                last[k, s + 1 :], used[k, s + 1 :, at] = at, True
    return FormulaBatch(*glyphs, inputs, last, used, targets)


class FormulaTask:
    """Cross-entropy of the next step; held-out formulas come from documents that training never sees."""

    names = ("step",)

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, context: TaskContext, state: dict[str, Any]):
        if model.symbols_decoder is None:
            raise ConfigError(f"stage {stage.name!r}: this model has no symbols decoder")
        if not model.symbols_decoder.pointers:
            raise ConfigError(f"stage {stage.name!r}: this model's symbols decoder has no pointers to write with")
        self.decoder, self.device = model.symbols_decoder, context.device
        self.stage, self.context = stage, context
        self.metrics: dict[str, float] = {}
        seed = context.seed + 1000 * context.index
        formulas = real_formulas("train", stage.formulas)
        source = FormulaGlyphs(formulas, seed=seed, longest=stage.longest)
        self.found: FoundFormulas | None = None
        if stage.found:
            drawn = FormulaGlyphs(formulas, seed=seed + FOUND_SEED, longest=stage.longest, sizes_px=SIZES_PX)
            self.found = FoundFormulas(drawn, model)
        self.data = FormulaData(source, self.decoder, stage.batch, seed, self.found, stage.found)

    @cached_property
    def held_out(self) -> list[GlyphFormula]:
        """The same formulas at every evaluation, shortest first."""
        return self._draw_held_out(MEASURED)

    @cached_property
    def held_out_found(self) -> list[tuple[GlyphFormula, Glyphs]]:
        """The same drawn formulas at every evaluation, shortest first, with the glyphs that are found."""
        found = self.found
        if found is None:
            return []
        drawn = self._draw_held_out(MEASURED_FOUND, sizes_px=SIZES_PX)
        return [(f, found.glyphs(f)) for f in drawn]

    def _draw_held_out(self, count: int, **settings: Any) -> list[GlyphFormula]:
        formulas = real_formulas("test", self.stage.formulas)
        source = FormulaGlyphs(formulas, seed=HELD_OUT_SEED, shares=(0.0, 1.0, 0.0), swapped=0.0, **settings)
        found = self.context.draw(lambda: [source.sample(k) for k in range(count)])
        return sorted(found, key=lambda f: len(f.steps))

    def losses(self, batch: FormulaBatch) -> tuple[dict[str, Tensor], float]:
        """Mean over the steps of the batch, which is weighed by their number."""
        batch = batch.to(self.device)
        logits = self._logits(batch)
        count = int((batch.targets_BT != IGNORED).sum())
        right = (logits.argmax(-1) == batch.targets_BT).sum()
        self.metrics = {"accuracy": float(right) / max(1, count)}
        return {"step": F.cross_entropy(logits.flatten(0, 1), batch.targets_BT.flatten(), ignore_index=IGNORED)}, count

    def _logits(self, batch: FormulaBatch) -> Tensor:
        memory = self.decoder.encode(batch.classes_BN, batch.styles_BN, batch.boxes_BN4, batch.real_BN)
        return self.decoder.logits(memory, batch.inputs_BT, batch.last_BT, batch.used_BTN)

    def size(self, batch: FormulaBatch) -> tuple[int, int, list[str]]:
        """Return the number of formulas and of their steps."""
        return len(batch.real_BN), int((batch.targets_BT != IGNORED).sum()), []

    def labels(self, batch: FormulaBatch) -> int:
        """Count the steps, without the ends."""
        return int((batch.targets_BT > 0).sum())

    def state(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def evaluate(self) -> dict[str, float]:
        """Measure accuracy on formulas of at most N steps, by bucket.

        next_N: accuracy of the next step behind the true ones. exact_N: share of formulas that are written without a
        fault. edit: mean edit distance over the length, of all formulas. exact_found: share of drawn formulas that are
        written without a fault from found glyphs.
        """
        found: dict[str, float] = {}
        edits: list[float] = []
        for low, high in zip((0, *BUCKETS), BUCKETS, strict=False):
            formulas = [f for f in self.held_out if low < len(f.steps) <= high]
            right = total = exact = 0
            for k in range(0, len(formulas), 32):
                some = formulas[k : k + 32]
                batch = collate(some, self.decoder).to(self.device)
                asked = batch.targets_BT != IGNORED
                right += int(((self._logits(batch).argmax(-1) == batch.targets_BT) & asked).sum())
                total += int(asked.sum())
                written = write_formulas(self.decoder, [(f.chars, f.styles, f.boxes) for f in some])
                exact += sum(w.steps == f.steps for w, f in zip(written, some, strict=True))
                edits += [Levenshtein.normalized_distance(w.steps, f.steps) for w, f in zip(written, some, strict=True)]
            found[f"next_{high}"] = right / max(1, total)
            found[f"exact_{high}"] = exact / max(1, len(formulas))
        found["edit"] = sum(edits) / max(1, len(edits))
        if self.found:
            pairs = [self.held_out_found[k : k + 32] for k in range(0, len(self.held_out_found), 32)]
            written = [w for some in pairs for w in write_formulas(self.decoder, [glyphs for _, glyphs in some])]
            exact = sum(w.steps == f.steps for w, (f, _) in zip(written, self.held_out_found, strict=True))
            found["exact_found"] = exact / max(1, len(written))
        return found
