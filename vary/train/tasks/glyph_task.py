"""Train the glyph head: drawn formulas in; class, style and box of each glyph out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from ...data.corpus.formulas import real_formulas
from ...data.documents.formula_glyphs import FormulaGlyphs, GlyphFormula
from ...io.errors import ConfigError
from ...markup.math_tokens import BAR, RULE
from ...models.formulas.found_glyphs import FoundGlyphs
from ...models.heads.glyphs import BOX_UNIT, GlyphHead, GlyphMap
from ...models.images.preprocess import normalise
from ...models.modeling import VaryForConditionalGeneration
from ..recipe import Stage
from .task import HELD_OUT_SEED, TaskContext

SIZES_PX = (12.0, 30.0)  # of the type
POOL = 8  # batches that are drawn at once and cut by height, so that little of a batch is empty
MULTIPLE = 32  # images are filled up to it
MEASURED = 96  # held-out formulas
NEAR_BORDER = 0.3  # of a cell: a middle this near to the next cell may be seen by that cell, too
BLANK_WEIGHT = 0.3  # most cells are blank
NEAR_PX = 6.0  # a glyph is found when its middle is found so near


@dataclass
class GlyphBatch:
    """images (B, 1, H, W) uint8; gate (B, N): 1 glyph, 0 blank, -1 either; and of each cell that may see a glyph its
    image and place (M, 2), class and style (M,), box (M, 4) from the middle of the cell in pixels."""

    images: Tensor
    gate: Tensor
    at: Tensor
    classes: Tensor
    styles: Tensor
    boxes: Tensor

    def to(self, device: torch.device) -> GlyphBatch:
        """Return all tensors on a device."""
        return GlyphBatch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


class GlyphData(Dataset[Any]):
    """Batches of drawn formulas. Item k is a pure function of the source's seed and k."""

    def __init__(self, source: FormulaGlyphs, head: GlyphHead, batch: int):
        self.source, self.batch, self.class_of, self.stride = source, batch, head.class_of, head.stride
        self._pool: tuple[int, list[list[GlyphFormula]]] = (-1, [])

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, k: int) -> GlyphBatch:
        pool, place = divmod(k, POOL)
        if self._pool[0] != pool:
            total = POOL * self.batch
            found = [self.source.sample(pool * total + n) for n in range(total)]
            found.sort(key=lambda f: (-(-f.image.shape[0] // MULTIPLE), f.image.shape[1]))  # type: ignore[union-attr]
            cut = [found[n * self.batch : (n + 1) * self.batch] for n in range(POOL)]
            self._pool = pool, [cut[n] for n in np.random.default_rng((self.source.seed, 29, pool)).permutation(POOL)]
        return make_batch(self._pool[1][place], self.class_of, self.stride)


def make_batch(formulas: list[GlyphFormula], class_of: dict[str, int], stride: tuple[int, int]) -> GlyphBatch:
    """Fill up images to one size and find the cell of each glyph."""
    images = [f.image for f in formulas if f.image is not None]
    high, wide = (-(-max(i.shape[axis] for i in images) // MULTIPLE) * MULTIPLE for axis in (0, 1))
    grid = high // stride[0], wide // stride[1]
    pixels = np.empty((len(images), 1, high, wide), np.uint8)
    gate = np.zeros((len(images), *grid), np.int64)
    rows: list[tuple[int, int, int, int, np.ndarray]] = []
    for k, (image, formula) in enumerate(zip(images, formulas, strict=True)):
        pixels[k] = int(np.median(image[:2]))
        pixels[k, 0, : image.shape[0], : image.shape[1]] = image
        own: dict[tuple[int, int], tuple[int, int, np.ndarray]] = {}
        shared: dict[tuple[int, int], tuple[int, int, np.ndarray]] = {}
        for char, style, box in _pieces(formula, stride):
            x, y = (box[0] + box[2]) / 2 / stride[1], (box[1] + box[3]) / 2 / stride[0]
            cell = min(max(int(y), 0), grid[0] - 1), min(max(int(x), 0), grid[1] - 1)
            own.setdefault(cell, (class_of.get(char, 0), style, box))
            for near in _neighbours(cell, (y - cell[0], x - cell[1]), grid):
                shared.setdefault(near, (class_of.get(char, 0), style, box))
        for (row, column), (number, style, box) in (shared | own).items():
            gate[k, row, column] = 1 if (row, column) in own else -1
            middle = np.array([(column + 0.5) * stride[1], (row + 0.5) * stride[0]] * 2, np.float32)
            rows.append((k, row * grid[1] + column, number, style, box - middle))
    numbers = torch.tensor([r[:4] for r in rows], dtype=torch.long).reshape(-1, 4)
    boxes = torch.from_numpy(np.array([r[4] for r in rows], np.float32).reshape(-1, 4))
    flat = torch.from_numpy(gate.reshape(len(images), -1))
    return GlyphBatch(torch.from_numpy(pixels), flat, numbers[:, :2], numbers[:, 2], numbers[:, 3], boxes)


def _pieces(formula: GlyphFormula, stride: tuple[int, int]) -> list[tuple[str, int, np.ndarray]]:
    """Return glyphs of a drawn formula; rules in pieces of one cell each, for a cell sees no more of them."""
    found: list[tuple[str, int, np.ndarray]] = []
    boxes = formula.image_boxes if formula.image_boxes is not None else formula.boxes
    for char, style, box in zip(formula.chars, formula.styles.tolist(), boxes, strict=True):
        if char not in (RULE, BAR):
            found.append((char, style, box))
            continue
        along, step = (0, stride[1]) if char == RULE else (1, stride[0])
        for n in range(int(box[along] // step), int(box[along + 2] // step) + 1):
            piece = box.copy()
            piece[along], piece[along + 2] = max(box[along], n * step), min(box[along + 2], (n + 1) * step)
            if piece[along + 2] - piece[along] > step / 4:
                found.append((char, style, piece))
    return found


def _neighbours(cell: tuple[int, int], place: tuple[float, float], grid: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the cells of a grid whose border is near to a glyph's middle. place: the middle within its own cell."""
    for axis in (0, 1):
        step = -1 if place[axis] < NEAR_BORDER else 1 if place[axis] > 1 - NEAR_BORDER else 0
        near = (cell[0] + step, cell[1]) if axis == 0 else (cell[0], cell[1] + step)
        if step and 0 <= near[0] < grid[0] and 0 <= near[1] < grid[1]:
            yield near


def glyph_losses(head: GlyphHead, found: GlyphMap, batch: GlyphBatch) -> tuple[dict[str, Tensor], Tensor]:
    """Return means over the cells and glyphs of a batch, and logits of the classes of its glyphs."""
    image, cell = batch.at.T
    asked = batch.gate >= 0
    wanted = batch.gate.clamp_min(0).float()
    weight = torch.where(wanted > 0, 1.0, BLANK_WEIGHT) * asked
    gate = F.binary_cross_entropy_with_logits(found.gate, wanted, weight, reduction="sum") / weight.sum()
    logits = head.classes(found.features[image, cell]).float()
    apart = (found.boxes[image, cell] - batch.boxes).abs().clamp_max(4 * BOX_UNIT) / BOX_UNIT
    losses = {
        "gate": gate,
        "class": F.cross_entropy(logits, batch.classes),
        "style": F.cross_entropy(found.styles[image, cell], batch.styles),
        "box": apart.mean(),
    }
    return losses, logits


class GlyphTask:
    """Losses of gate, class, style and box; held-out glyphs come from documents that training never sees."""

    names = ("gate", "class", "style", "box")

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, context: TaskContext, state: dict[str, Any]):
        if model.glyph_head is None:
            raise ConfigError(f"stage {stage.name!r}: this model has no glyph head")
        self.model, self.head, self.stage, self.device = model, model.glyph_head, stage, context.device
        self.context = context
        self.frozen = not any(n.startswith(stage.trainable) for n, _ in model.named_parameters() if "vocabularies" in n)
        self.metrics: dict[str, Any] = {}
        seed = context.seed + 1000 * context.index
        formulas = real_formulas("train", stage.formulas)
        source = FormulaGlyphs(formulas, seed=seed, longest=stage.longest, sizes_px=SIZES_PX)
        self.data = GlyphData(source, self.head, stage.batch)

    @cached_property
    def held_out(self) -> list[GlyphFormula]:
        """The same drawn formulas at every evaluation."""
        formulas = real_formulas("test", self.stage.formulas)
        shares = (0.0, 1.0, 0.0)
        source = FormulaGlyphs(formulas, seed=HELD_OUT_SEED, shares=shares, swapped=0.0, sizes_px=SIZES_PX)
        found = self.context.draw(lambda: [source.sample(k) for k in range(MEASURED)])
        return sorted(found, key=lambda f: f.image.shape if f.image is not None else ())

    def _find(self, batch: GlyphBatch) -> tuple[GlyphMap, tuple[int, int]]:
        vocabulary = self.model.reading_vocabulary
        settings = self.model.config.vocabularies[self.model.reading_vocabulary_index]["preprocess"]
        pixels = normalise(batch.images.float(), settings)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            tokens = vocabulary(pixels)
        grid = vocabulary.grid(*pixels.shape[-2:])
        return self.head(tokens, grid), grid

    def losses(self, batch: GlyphBatch) -> tuple[dict[str, Tensor], float]:
        """Return means over cells and glyphs; every batch has the weight of its glyphs."""
        batch = batch.to(self.device)
        losses, logits = glyph_losses(self.head, self._find(batch)[0], batch)
        self.metrics = {"accuracy": float((logits.argmax(-1) == batch.classes).float().mean())}
        return losses, float(len(batch.classes))

    def size(self, batch: GlyphBatch) -> tuple[int, int, list[str]]:
        """Return the number of formulas and of their cells."""
        return len(batch.images), batch.gate.numel(), []

    def labels(self, batch: GlyphBatch) -> int:
        """Count the glyphs."""
        return len(batch.classes)

    def state(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def evaluate(self) -> dict[str, float]:
        """recall, precision: of glyphs with the right class near the right place. style: share of right styles among
        them. box_px: mean distance of the sides of their boxes."""
        right = found_all = wanted_all = styled = 0
        apart: list[float] = []
        for k in range(0, MEASURED, 16):
            some = self.held_out[k : k + 16]
            batch = make_batch(some, self.head.class_of, self.head.stride).to(self.device)
            for formula, seen in zip(some, self.head.find(*self._find(batch)), strict=True):
                pairs = match_glyphs(formula, seen, self.head.class_of)
                right, found_all = right + len(pairs), found_all + len(seen.classes)
                wanted_all += len(formula.chars)
                styled += sum(int(formula.styles[a]) == int(seen.styles[b]) for a, b in pairs)
                boxes = formula.image_boxes if formula.image_boxes is not None else formula.boxes
                apart += [float(np.abs(boxes[a] - seen.boxes[b]).mean()) for a, b in pairs]
        measures = {"recall": right / max(1, wanted_all), "precision": right / max(1, found_all)}
        return measures | {"style": styled / max(1, right), "box_px": sum(apart) / max(1, len(apart))}


def match_glyphs(formula: GlyphFormula, seen: FoundGlyphs, class_of: dict[str, int]) -> list[tuple[int, int]]:
    """Pair each glyph of the formula with the one found: same class, nearest middle within `NEAR_PX`.

    Rules may be found longer or shorter: across them the distance counts, along them they must overlap.
    """
    pairs, free = [], set(range(len(seen.classes)))
    middles = (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2
    boxes = formula.image_boxes if formula.image_boxes is not None else formula.boxes
    for a, (char, box) in enumerate(zip(formula.chars, boxes, strict=True)):
        best, nearest = -1, NEAR_PX
        for b in free:
            if seen.classes[b] != class_of.get(char, 0):
                continue
            distance = np.abs(middles[b] - (box[:2] + box[2:]) / 2)
            if char in (RULE, BAR):
                along = 0 if char == RULE else 1
                overlap = min(box[along + 2], seen.boxes[b][along + 2]) - max(box[along], seen.boxes[b][along])
                distance[along] = 0 if overlap > 0 else NEAR_PX
            if distance.max() < nearest:
                best, nearest = b, float(distance.max())
        if best >= 0:
            pairs.append((a, best))
            free.discard(best)
    return pairs
