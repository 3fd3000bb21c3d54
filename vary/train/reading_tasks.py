"""What a stage learns: `read` makes the vocabulary's rows spell their lines, `write` makes the decoder spell strips;
`answer`, the language model, has a file of its own.

A task is made of (model, stage, `Setting`, state). It has `data`, whose item k is batch k of the stage; `losses(batch)`
with the weight of the batch among those of a step; `size(batch)`; `evaluate`; `state`; what it wants `shown`, and
`names` of its losses.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from ..data.corpus.download import Corpus
from ..data.corpus.text import TextSource
from ..data.pages.glyphs import Face, english_faces
from ..data.pages.source import PageSource
from ..data.pdfs.crops import CropSource
from ..data.sample import Sample, Source
from ..io.errors import ConfigError
from ..models.modeling import VaryForConditionalGeneration, VisionFeatures
from ..models.preprocess import normalise
from ..models.strip_decoder import IGNORED, Strip, StripDecoder, generate_text, strip_embeddings, strip_of
from ..reading.ctc import best_path, mix_rows
from ..reading.field import Field
from .loader import Batch, StageData
from .reading_loss import reading_loss
from .recipe import Stage, View


@dataclass(frozen=True)
class Material:
    """What pages are made of: text for training, text held out, and faces."""

    text: TextSource
    held_out: TextSource
    faces: list[Face]

    @classmethod
    def english(cls) -> Material:
        """The English corpus and the fonts of `data/corpus.py`, fetched when they are not in the cache."""
        train, test = (TextSource(Corpus.english(part)) for part in ("train", "test"))
        return cls(train, test, english_faces())


@dataclass
class Setting:
    """What tasks are made in. seed: of the run; index: of the stage, from 0; processor: None for models of rows alone.

    material: fetched when a task first asks, where none is given.
    """

    seed: int
    index: int
    device: torch.device
    processor: Any = None
    given: Material | None = None

    @cached_property
    def material(self) -> Material:
        """What pages are made of."""
        return self.given or Material.english()


class Task(Protocol):
    """What the loop asks of a task; the header of this file says it."""

    names: tuple[str, ...]
    shown: dict[str, float]
    data: Any

    def losses(self, batch: Any) -> tuple[dict[str, Tensor], float]:
        """Each loss, a mean over what the batch teaches, and the weight of the batch."""
        ...

    def size(self, batch: Any) -> tuple[int, int, list[str]]:
        """Samples, tokens, and the reasons for which samples were skipped."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Measures on held-out samples, the same ones each time."""
        ...

    def state(self) -> dict[str, Any]:
        """What the task must remember in a checkpoint."""
        ...


class _Pages:
    """What `read` and `write` share: batches of pages by view, in training and held out."""

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, setting: Setting):
        self.model, self.stage, self.device = model, stage, setting.device
        self.shown: dict[str, float] = {}
        material, frame_grid = setting.material, model.head.frame_grid
        first = setting.seed + 1000 * setting.index
        sources = [_source(view, material, first + k, frame_grid.alphabet) for k, view in enumerate(stage.views)]
        weights = [view.weight for view in stage.views]
        self.data = StageData(sources, [view.batch for view in stage.views], weights, setting.seed, frame_grid)
        source = PageSource(material.held_out, material.faces, seed=HELD_OUT, height=256, width=512)
        self._held_out = StageData([source], [16], [1.0], HELD_OUT, frame_grid)

    @cached_property
    def held_out(self) -> list[Batch]:
        """The same few batches at every evaluation: other seeds than training's, clean and degraded."""
        return [self._held_out[k] for k in range(2)]

    def size(self, batch: Batch) -> tuple[int, int, list[str]]:
        """Pages, and the vocabulary's tokens of them."""
        rows, columns = self.model.reading_vocabulary.grid(*batch.images.shape[-2:])
        return len(batch.images), len(batch.images) * rows * columns, []


def _source(view: View, material: Material, seed: int, alphabet: str) -> Source:
    if view.pdfs:
        return CropSource(view.pdfs, alphabet, seed=seed, **view.settings())
    return PageSource(material.text, material.faces, seed=seed, **view.settings())


HELD_OUT = 987_654  # seed of held-out pages


def pixels_of(batch: Batch, model: VaryForConditionalGeneration, device: torch.device) -> Tensor:
    """Normalise uint8 pages as the vocabulary that the reading head reads expects them."""
    images = batch.images.to(device, non_blocking=True).float()
    return normalise(images, model.config.vocabularies[model.reading_vocabulary_index]["preprocess"])


class Read(_Pages):
    """The reading head's losses on pages; held-out CER of true lines along their true paths."""

    names = ("ctc", "glyph", "blank", "measure", "style")

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, setting: Setting, state: dict[str, Any]):
        super().__init__(model, stage, setting)

    def state(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def losses(self, batch: Batch) -> tuple[dict[str, Tensor], float]:
        """`reading_loss` of a batch; every batch weighs the same."""
        _, logits, geometry = self.model.read_rows(pixels_of(batch, self.model, self.device))
        return reading_loss(logits, geometry, batch.targets.to(self.device), self.model.head.frame_grid.row_px), 1.0

    def evaluate(self) -> dict[str, float]:
        """CER of clean and of degraded lines; the share of characters of which a style is told wrongly."""
        frame_grid = self.model.head.frame_grid
        errors, total, wrong = {"clean": 0, "degraded": 0}, {"clean": 0, "degraded": 0}, 0
        for batch in self.held_out:
            _, logits, geometry = self.model.read_rows(pixels_of(batch, self.model, self.device))
            probs, numbers = logits.float().softmax(-1).cpu().numpy(), geometry.float().cpu().numpy()
            fields = [Field.from_arrays(p, g, frame_grid) for p, g in zip(probs, numbers, strict=True)]
            t = batch.targets
            heights, frames = t.y.numpy(), t.frames.numpy()
            rows = (t.glyph_y / frame_grid.row_px).long().clamp(0, logits.shape[1] - 1)
            told = geometry[t.glyph_item, rows, t.glyph_frame, 2:].cpu() > 0
            wrong += int(((told != (t.glyph_styles > 0)) & (t.glyph_styles >= 0)).any(1).sum())
            for k, line in enumerate(line for sample in batch.samples for line in sample.lines):
                n = int(t.lengths[k])
                path = mix_rows(fields[int(t.item[k])], heights[k, :n], frames[k, :n], frame_grid.row_px)
                text = best_path(path, frame_grid.alphabet)[0]
                kind = "degraded" if "degraded" in batch.samples[int(t.item[k])].meta else "clean"
                errors[kind] += Levenshtein.distance(text, line.text)
                total[kind] += len(line.text)
        found = {f"cer_{k}": errors[k] / max(1, total[k]) for k in errors}
        return found | ({"wrong_style": wrong / max(1, sum(total.values()))} if frame_grid.styles else {})


class Write(_Pages):
    """Next-token loss of the decoder on strips of `stage.lines[0]` lines, then `[1]` and so on, as accuracy allows.

    `stage.corrupt` of the input characters are replaced at random, so that the decoder looks instead of guessing on.
    Losses of the reading head that `stage.losses` names join in, and vocabulary, head and decoder learn together: the
    decoder then has letters to look at (docs/learning.md).
    """

    names: tuple[str, ...] = ("next",)

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, setting: Setting, state: dict[str, Any]):
        super().__init__(model, stage, setting)
        held_out, faces, first = setting.material.held_out, setting.material.faces, stage.views[0]
        source = PageSource(held_out, faces, seed=HELD_OUT, **first.settings())
        self._held_out = StageData([source], [16], [1.0], HELD_OUT, model.head.frame_grid)
        self.decoder = StripDecoder(model)
        self.level, self.accuracy = int(state.get("level", 0)), float(state.get("accuracy", 0.0))
        seeing = [p for part in (*model.vocabularies, model.head) for p in part.parameters()]
        self.frozen = not any(parameter.requires_grad for parameter in seeing)
        self.names = ("next", *(name for name in Read.names if name in stage.losses))
        if self.frozen and len(self.names) > 1:
            raise ConfigError(f"stage {stage.name!r}: loss {self.names[1]!r} teaches nothing: the vocabulary is frozen")

    def state(self) -> dict[str, Any]:
        """Where the curriculum stands."""
        return {"level": self.level, "accuracy": self.accuracy}

    def losses(self, batch: Batch) -> tuple[dict[str, Tensor], float]:
        """Cross-entropy of the next character, and losses of the head; every batch weighs the same."""
        features, losses = self._look(batch), {}
        strips, texts = strips_of_samples(batch.samples, self.stage.lines[self.level], self.model, limit=40)
        if strips:  # a page of tables has none
            images = strip_embeddings(self.model, features.tokens[0], features.grids[0], strips)
            logits, labels = self._spelt(images, texts, self.stage.corrupt)
            self._advance(float((logits.argmax(-1) == labels).float().mean()))
            losses["next"] = F.cross_entropy(logits, labels, ignore_index=IGNORED)
        if len(self.names) > 1:
            targets, row_px = batch.targets.to(self.device), self.model.head.frame_grid.row_px
            found = reading_loss(cast(Tensor, features.logits), cast(Tensor, features.geometry), targets, row_px)
            losses |= {name: found[name] for name in self.names if name in found}
        return losses, float(bool(losses))

    def _look(self, batch: Batch) -> VisionFeatures:
        with torch.no_grad() if self.frozen else contextlib.nullcontext():
            return self.model.encode_images(pixels_of(batch, self.model, self.device))

    def _spelt(self, images: list[Tensor], texts: list[str], corrupt: float) -> tuple[Tensor, Tensor]:
        """Logits (sum of T, V) of every character of every strip and the characters (sum of T), the end included."""
        targets = [[*self.decoder.encode(text), self.decoder.ids["</s>"]] for text in texts]
        inputs = [self._corrupted(t[:-1], corrupt) for t in targets]
        logits = torch.cat(self.decoder.logits(images, inputs)).float()
        return logits, torch.tensor([k for t in targets for k in t], device=self.device)

    def _corrupted(self, ids: list[int], share: float) -> list[int]:
        noise = torch.rand(len(ids)).tolist()
        first, last = self.decoder.first_character, len(self.decoder.ids)
        other = torch.randint(first, last, (len(ids),)).tolist()
        return [o if n < share else k for k, n, o in zip(ids, noise, other, strict=True)]

    def _advance(self, accuracy: float) -> None:
        self.accuracy = 0.98 * self.accuracy + 0.02 * accuracy
        if self.accuracy > self.stage.advance_at and self.level + 1 < len(self.stage.lines):
            self.level, self.accuracy = self.level + 1, 0.9 * self.accuracy
        self.shown = {"accuracy": self.accuracy, "lines": self.stage.lines[self.level]}

    def evaluate(self) -> dict[str, float]:
        """Measures on pages of the first view.

        cer_decoder: of single lines, free-running from an empty draft. next, accuracy: of the next character behind the
        true ones, on strips of as many lines as the stage ends with. blind: `next` with the image of another strip; as
        long as the two are equal, the decoder does not look.
        """
        sums = dict.fromkeys(("next", "blind", "accuracy", "characters", "wrong", "of"), 0.0)
        for batch in self.held_out:
            features = self._look(batch)
            field, grid = features.tokens[0], features.grids[0]  # a strip decoder has one vocabulary
            strips, texts = strips_of_samples(batch.samples, self.stage.lines[-1], self.model)
            images = strip_embeddings(self.model, field, grid, strips)
            logits, labels = self._spelt(images, texts, 0.0)
            others, _ = self._spelt(images[1:] + images[:1], texts, 0.0)
            sums["next"] += float(F.cross_entropy(logits, labels, reduction="sum"))
            sums["blind"] += float(F.cross_entropy(others, labels, reduction="sum"))
            sums["accuracy"] += float((logits.argmax(-1) == labels).sum())
            sums["characters"] += len(labels)
            strips, texts = strips_of_samples(batch.samples, 1, self.model)
            images = strip_embeddings(self.model, field, grid, strips[:24])
            for text, written in zip(texts, generate_text(self.decoder, images, 120), strict=False):
                sums["wrong"] += Levenshtein.distance(written, text)
                sums["of"] += len(text)
        means = {name: sums[name] / max(1.0, sums["characters"]) for name in ("next", "blind", "accuracy")}
        return {"cer_decoder": sums["wrong"] / max(1.0, sums["of"]), **means, "lines": self.stage.lines[self.level]}


def strips_of_samples(
    samples: list[Sample], lines: int, model: VaryForConditionalGeneration, limit: int | None = None
) -> tuple[list[Strip], list[str]]:
    """Strips of `lines` neighbouring lines of one block each, and their texts: all in order, or `limit` at random."""
    stride, window = model.reading_vocabulary.stride, model.window
    strips, texts = [], []
    for item, sample in enumerate(samples):
        for start in range(0, len(sample.lines), lines):
            group = [line for line in sample.lines[start : start + lines] if line.block == sample.lines[start].block]
            middles = [
                line.baseline - line.x_height / 2 + line.slope * (line.box[2] - line.box[0]) / 2 for line in group
            ]
            if np.any(np.diff(middles) <= 0) or max(line.em_px for line in group) > 26:
                continue  # cells of a table row; type that a strip of 32 px cannot hold
            left, right = min(line.box[0] for line in group), max(line.box[2] for line in group)
            strips.append(strip_of(item, middles[0], middles[-1], left, right, stride, window))
            texts.append("\n".join(line.text for line in group))
    if limit is None:
        return strips, texts
    order = torch.randperm(len(strips))[:limit].tolist()
    return [strips[k] for k in order], [texts[k] for k in order]
