"""The tasks `read` and `write`: train the reading head on page images, and the decoder on strips of lines."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from ...data.pages.source import PageSource
from ...data.pdfs.crops import CropSource
from ...data.sample import Sample, Source
from ...document.alphabets import restore_scripts
from ...io.errors import ConfigError
from ...models.generate.strip_decoder import IGNORED, StripDecoder, generate_text, strip_embeddings
from ...models.generate.strips import Strip, strip_of
from ...models.images.preprocess import normalise
from ...models.modeling import VaryForConditionalGeneration
from ...models.vocab import VisionFeatures
from ...reading.ctc import best_path, mix_rows
from ...reading.field import Field
from ..loader import ReadingBatch, ReadingData
from ..recipe import Stage, View
from .reading_loss import reading_loss
from .task import HELD_OUT_SEED, TaskContext

MAX_STRIP_EM_PX = 26  # larger type does not fit into a strip of 32 px
MAX_STRIPS = 40  # strips of a training batch, drawn at random


class _PageTask:
    """The common part of `read` and `write`: batches of pages by view, for training and held out."""

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, context: TaskContext, held_out: PageSource):
        self.model, self.stage, self.device = model, stage, context.device
        self.metrics: dict[str, Any] = {}
        frame_grid, seed = model.head.frame_grid, context.seed + 1000 * context.index
        sources = [_open_view(view, context, seed + k, frame_grid.alphabet) for k, view in enumerate(stage.views)]
        weights = [view.weight for view in stage.views]
        self.data = ReadingData(sources, [view.batch for view in stage.views], weights, context.seed, frame_grid)
        self.held_out_data = ReadingData([held_out], [16], [1.0], HELD_OUT_SEED, frame_grid)

    @cached_property
    def held_out(self) -> list[ReadingBatch]:
        """The batches of every evaluation, clean and degraded pages."""
        return [self.held_out_data[k] for k in range(2)]

    def size(self, batch: ReadingBatch) -> tuple[int, int, list[str]]:
        """Count the pages, and the vocabulary's tokens of them."""
        rows, columns = self.model.reading_vocabulary.grid(*batch.images.shape[-2:])
        return len(batch.images), len(batch.images) * rows * columns, []

    def labels(self, batch: ReadingBatch) -> int:
        """Count the characters."""
        return len(batch.targets.labels)


def _open_view(view: View, context: TaskContext, seed: int, alphabet: str) -> Source:
    if view.pdfs:
        return CropSource(view.pdfs, alphabet, seed=seed, **view.settings())
    assets = context.assets_of(view.text)
    return PageSource(assets.text, assets.faces, seed=seed, **view.settings())


def to_pixels(batch: ReadingBatch, model: VaryForConditionalGeneration, device: torch.device) -> Tensor:
    """Normalise uint8 pages as the vocabulary that the reading head reads expects them."""
    images = batch.images.to(device, non_blocking=True).float()
    return normalise(images, model.config.vocabularies[model.reading_vocabulary_index]["preprocess"])


class ReadTask(_PageTask):
    """Losses of the reading head on pages. Held out: CER of lines decoded along their true paths."""

    names = ("ctc", "glyph", "blank", "measure", "style")

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, context: TaskContext, state: dict[str, Any]):
        assets = context.assets_of(stage.views[0].text)
        held_out = PageSource(assets.held_out, assets.faces, seed=HELD_OUT_SEED, height=256, width=512)
        super().__init__(model, stage, context, held_out)

    def state(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def losses(self, batch: ReadingBatch) -> tuple[dict[str, Tensor], float]:
        """Compute `reading_loss` of a batch. Every batch has weight 1."""
        _, logits, geometry = self.model.read_rows(to_pixels(batch, self.model, self.device))
        return reading_loss(logits, geometry, batch.targets.to(self.device), self.model.head.frame_grid.row_px), 1.0

    def evaluate(self) -> dict[str, float]:
        """Measure CER of clean and of degraded lines, and the share of characters with a wrong style."""
        frame_grid = self.model.head.frame_grid
        errors, total, wrong = {"clean": 0, "degraded": 0}, {"clean": 0, "degraded": 0}, 0
        for batch in self.held_out:
            _, logits, geometry = self.model.read_rows(to_pixels(batch, self.model, self.device))
            probs, numbers = logits.float().softmax(-1).cpu().numpy(), geometry.float().cpu().numpy()
            fields = [Field.from_arrays(p, g, frame_grid) for p, g in zip(probs, numbers, strict=True)]
            t = batch.targets
            heights, frames = t.y.numpy(), t.frames.numpy()
            rows = (t.glyph_y / frame_grid.row_px).long().clamp(0, logits.shape[1] - 1)
            found = geometry[t.glyph_item, rows, t.glyph_frame, 2:].cpu() > 0
            wrong += int(((found != (t.glyph_styles > 0)) & (t.glyph_styles >= 0)).any(1).sum())
            for k, line in enumerate(line for sample in batch.samples for line in sample.lines):
                n = int(t.lengths[k])
                path = mix_rows(fields[int(t.item[k])], heights[k, :n], frames[k, :n], frame_grid.row_px)
                text = restore_scripts(best_path(path, frame_grid.alphabet)[0])
                kind = "degraded" if "degraded" in batch.samples[int(t.item[k])].meta else "clean"
                errors[kind] += Levenshtein.distance(text, line.text)
                total[kind] += len(line.text)
        rates = {f"cer_{k}": errors[k] / max(1, total[k]) for k in errors}
        return rates | ({"wrong_style": wrong / max(1, sum(total.values()))} if frame_grid.styles else {})


class StripTask(_PageTask):
    """Next-character loss of the decoder on strips of `stage.lines[0]` lines, then of `stage.lines[1]`, and so on.

    `stage.corrupt` of the input characters are replaced at random, so that the decoder must look at the image. Losses
    of the reading head that `stage.losses` names are added, so that vocabulary, head and decoder learn together. The
    decoder then sees features that already tell characters apart (docs/learning.md).
    """

    names: tuple[str, ...] = ("next",)

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, context: TaskContext, state: dict[str, Any]):
        assets, settings = context.assets, stage.views[0].settings()
        super().__init__(
            model, stage, context, PageSource(assets.held_out, assets.faces, seed=HELD_OUT_SEED, **settings)
        )
        self.decoder = StripDecoder(model)
        self.level, self.accuracy = int(state.get("level", 0)), float(state.get("accuracy", 0.0))
        seeing = [p for part in (*model.vocabularies, model.head) for p in part.parameters()]
        self.frozen = not any(parameter.requires_grad for parameter in seeing)
        self.names = ("next", *(name for name in ReadTask.names if name in stage.losses))
        if self.frozen and len(self.names) > 1:
            raise ConfigError(f"stage {stage.name!r}: loss {self.names[1]!r} teaches nothing: the vocabulary is frozen")

    def state(self) -> dict[str, Any]:
        """Return the level of the curriculum and the running accuracy."""
        return {"level": self.level, "accuracy": self.accuracy}

    def losses(self, batch: ReadingBatch) -> tuple[dict[str, Tensor], float]:
        """Compute cross-entropy of the next character, and losses of the head. Every batch has weight 1."""
        features, losses = self._encode(batch), {}
        strips, texts = make_strips(batch.samples, self.stage.lines[self.level], self.model, limit=MAX_STRIPS)
        if strips:  # a page of tables has none
            images = strip_embeddings(self.model, features.tokens[0], features.grids[0], strips)
            logits, labels = self._decode(images, texts, self.stage.corrupt)
            self.advance(float((logits.argmax(-1) == labels).float().mean()))
            losses["next"] = F.cross_entropy(logits, labels, ignore_index=IGNORED)
        if len(self.names) > 1:
            targets, row_px = batch.targets.to(self.device), self.model.head.frame_grid.row_px
            found = reading_loss(cast(Tensor, features.logits), cast(Tensor, features.geometry), targets, row_px)
            losses |= {name: found[name] for name in self.names if name in found}
        return losses, float(bool(losses))

    def _encode(self, batch: ReadingBatch) -> VisionFeatures:
        with torch.no_grad() if self.frozen else contextlib.nullcontext():
            return self.model.encode_images(to_pixels(batch, self.model, self.device))

    def _decode(self, images: list[Tensor], texts: list[str], corrupt: float) -> tuple[Tensor, Tensor]:
        """Return logits (N, V) and labels (N,) of all characters of all strips, with the end of each text."""
        targets = [[*self.decoder.encode(text), self.decoder.ids["</s>"]] for text in texts]
        inputs = [self._corrupt(t[:-1], corrupt) for t in targets]
        logits = torch.cat(self.decoder.logits(images, inputs)).float()
        return logits, torch.tensor([k for t in targets for k in t], device=self.device)

    def _corrupt(self, ids: list[int], share: float) -> list[int]:
        noise = torch.rand(len(ids)).tolist()
        first, last = self.decoder.first_character, len(self.decoder.ids)
        other = torch.randint(first, last, (len(ids),)).tolist()
        return [o if n < share else k for k, n, o in zip(ids, noise, other, strict=True)]

    def advance(self, accuracy: float) -> None:
        """Update the running accuracy; go to the next entry of `stage.lines` when it passes `stage.advance_at`."""
        self.accuracy = 0.98 * self.accuracy + 0.02 * accuracy
        if self.accuracy > self.stage.advance_at and self.level + 1 < len(self.stage.lines):
            self.level, self.accuracy = self.level + 1, 0.9 * self.accuracy
        self.metrics = {"accuracy": self.accuracy, "lines": self.stage.lines[self.level]}

    def evaluate(self) -> dict[str, float]:
        """Measure the decoder on held-out pages of the first view.

        - cer_decoder: CER of single lines, written without a draft.
        - next, accuracy: of the next character after true ones, on strips as long as the last entry of `lines`.
        - blind: `next` with the image of another strip. While both are equal, the decoder ignores the image.
        """
        sums = dict.fromkeys(("next", "blind", "accuracy", "characters", "wrong", "of"), 0.0)
        for batch in self.held_out:
            features = self._encode(batch)
            tokens, grid = features.tokens[0], features.grids[0]
            strips, texts = make_strips(batch.samples, self.stage.lines[-1], self.model)
            images = strip_embeddings(self.model, tokens, grid, strips)
            logits, labels = self._decode(images, texts, 0.0)
            others, _ = self._decode(images[1:] + images[:1], texts, 0.0)
            sums["next"] += float(F.cross_entropy(logits, labels, reduction="sum"))
            sums["blind"] += float(F.cross_entropy(others, labels, reduction="sum"))
            sums["accuracy"] += float((logits.argmax(-1) == labels).sum())
            sums["characters"] += len(labels)
            strips, texts = make_strips(batch.samples, 1, self.model)
            images = strip_embeddings(self.model, tokens, grid, strips[:24])
            for text, written in zip(texts, generate_text(self.decoder, images, 120), strict=False):
                sums["wrong"] += Levenshtein.distance(written, text)
                sums["of"] += len(text)
        means = {name: sums[name] / max(1.0, sums["characters"]) for name in ("next", "blind", "accuracy")}
        return {"cer_decoder": sums["wrong"] / max(1.0, sums["of"]), **means, "lines": self.stage.lines[self.level]}


def make_strips(
    samples: list[Sample], lines: int, model: VaryForConditionalGeneration, limit: int | None = None
) -> tuple[list[Strip], list[str]]:
    """Cut samples into strips of `lines` neighbouring lines of one block, with their texts.

    Args:
        samples: Pages; sample k is image k of the batch.
        lines: Lines in a strip; fewer at the end of a block.
        model: Gives the grid of the strips.
        limit: Draw this many strips at random. None returns all in order.
    """
    stride, window = model.reading_vocabulary.stride, model.window
    strips, texts = [], []
    for item, sample in enumerate(samples):
        for start in range(0, len(sample.lines), lines):
            group = [line for line in sample.lines[start : start + lines] if line.block == sample.lines[start].block]
            middles = [
                line.baseline - line.x_height / 2 + line.slope * (line.box[2] - line.box[0]) / 2 for line in group
            ]
            in_one_row = np.any(np.diff(middles) <= 0)  # cells of a table
            if in_one_row or max(line.em_px for line in group) > MAX_STRIP_EM_PX:
                continue
            left, right = min(line.box[0] for line in group), max(line.box[2] for line in group)
            strips.append(strip_of(item, middles[0], middles[-1], left, right, stride, window))
            texts.append("\n".join(line.text for line in group))
    if limit is None:
        return strips, texts
    order = torch.randperm(len(strips))[:limit].tolist()
    return [strips[k] for k in order], [texts[k] for k in order]
