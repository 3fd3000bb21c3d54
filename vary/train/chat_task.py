"""The task of every language model of the family: write the answer, token by token, of samples of a mixture.

A batch is a pure function of (recipe, seed, k). Samples stay whole: one that is too long loses its end, never a part of
an image, and packing puts whole samples into a row, each of which attends to itself alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..data.mixture import Mixture, load_recipe, read_mix
from ..data.sample import Sample, Skipped, shuffled
from ..data.shards import Shards
from ..io.errors import InputError
from ..markup.prompts import IMAGE_MARK
from ..models.modeling import VaryForConditionalGeneration
from ..models.processor import VaryProcessor
from .reading_tasks import HELD_OUT, Setting
from .recipe import Stage

EVALUATED = 2  # batches of an evaluation


class _Source(Protocol):
    def sample(self, i: int) -> Sample: ...


@dataclass
class Talk:
    """A batch. inputs: what the model takes, `labels` among it; empty when every sample was skipped.

    samples, tokens (without padding), learnt (labels that count), cut (samples that lost their end), skipped (reasons).
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    samples: int = 0
    tokens: int = 0
    learnt: int = 0
    cut: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass
class _Written:
    """A sample as ids and labels (T,), and its image's pixels (1, C, H, W) for each vocabulary, if it has an image."""

    ids: Tensor
    labels: Tensor
    pixels: list[Tensor]


class Talks(Dataset):
    """`self[k]` is batch k: samples k * batch + 0, 1, ... of a source, encoded."""

    def __init__(self, source: _Source, processor: VaryProcessor, stage: Stage, image_id: int):
        self.source, self.processor, self.stage, self.image_id = source, processor, stage, image_id

    def __getitem__(self, k: int) -> Talk:
        talk, written = Talk(), []
        for i in range(k * self.stage.batch, (k + 1) * self.stage.batch):
            try:
                written.append(self._written(i, talk))
            except Skipped as reason:
                talk.skipped.append(str(reason))
            except Exception as error:
                what = " ".join(str(error).split()) or type(error).__name__
                raise InputError(f"{self.stage.mix}: sample {i}: {what}") from error
        if written:
            rows = packed(written, self.stage.max_tokens) if self.stage.pack else [[one] for one in written]
            talk.inputs = together(rows, self.processor.tokenizer.pad_token_id, self.stage.pack)
            talk.samples, talk.tokens = len(written), sum(len(one.ids) for one in written)
            talk.learnt = int((talk.inputs["labels"][:, 1:] != -100).sum())
        return talk

    def _written(self, i: int, talk: Talk) -> _Written:
        messages = messages_of(self.source.sample(i))
        found = self.processor.apply_chat_template(messages, tokenize=True, return_dict=True, labels=True)
        ids, labels = found["input_ids"][0], found["labels"][0]
        limit = self.stage.max_tokens
        if (ids[limit:] == self.image_id).any():
            raise InputError(f"its image ends behind token {limit}; max_tokens must hold it")
        talk.cut += len(ids) > limit
        pixels = found.get("pixel_values", [])
        return _Written(ids[:limit], labels[:limit], [pixels] if isinstance(pixels, Tensor) else list(pixels))


def messages_of(sample: Sample) -> list[dict[str, Any]]:
    """A sample as a conversation: all its turns where it has them, else its prompt and its text."""
    image = [Image.fromarray(sample.image)] if sample.image.size else []
    if "turns" not in sample.meta:
        content = [*({"type": "image", "image": i} for i in image)]
        content += [{"type": "text", "text": sample.prompt}] if sample.prompt else []
        return [{"role": "user", "content": content}, {"role": "assistant", "content": sample.text}]
    messages = []
    for turn in sample.meta["turns"]:
        message = dict(turn)
        if image and turn["role"] == "user" and IMAGE_MARK in turn["content"]:
            message["images"], image = image, []
        messages.append(message)
    return messages


def packed(written: list[_Written], limit: int) -> list[list[_Written]]:
    """Whole samples in as few rows of up to `limit` tokens as first-fit finds, the longest first."""
    rows: list[list[_Written]] = []
    for one in sorted(written, key=lambda w: -len(w.ids)):
        row = next((r for r in rows if sum(len(w.ids) for w in r) + len(one.ids) <= limit), None)
        if row is None:
            rows.append([one])
        else:
            row.append(one)
    return rows


def together(rows: list[list[_Written]], pad: int, alone: bool) -> dict[str, Any]:
    """Rows as one input, padded on the right. alone: samples of a row do not see each other, each counts from 0."""
    long = max(sum(len(one.ids) for one in row) for row in rows)
    ids, labels = torch.full((len(rows), long), pad), torch.full((len(rows), long), -100)
    owner, positions = torch.zeros(len(rows), long, dtype=torch.long), torch.zeros(len(rows), long, dtype=torch.long)
    for r, row in enumerate(rows):
        at = 0
        for n, one in enumerate(row, 1):
            span = slice(at, at + len(one.ids))
            ids[r, span], labels[r, span], owner[r, span] = one.ids, one.labels, n
            positions[r, span] = torch.arange(len(one.ids))
            at += len(one.ids)
    inputs: dict[str, Any] = {"input_ids": ids, "labels": labels, "attention_mask": (owner > 0).long()}
    if alone:
        own = (owner[:, :, None] == owner[:, None, :]) & (torch.arange(long)[:, None] >= torch.arange(long))
        inputs |= {"attention_mask": own[:, None], "position_ids": positions}
    stacks = _stacked([[one.pixels for one in row if one.pixels] for row in rows])
    if stacks:
        inputs["pixel_values"] = stacks[0] if len(stacks) == 1 else stacks
    return inputs


def _stacked(rows: list[list[list[Tensor]]]) -> list[Tensor]:
    """Images of each row, one tensor for each vocabulary: (B, I, C, H, W), zeros where a row has fewer than others."""
    shown = [image for row in rows for image in row]
    stacks = []
    for v in range(len(shown[0]) if shown else 0):
        shapes = {tuple(image[v].shape[1:]) for image in shown}
        if len(shapes) > 1:
            raise InputError(f"images of different sizes, {sorted(shapes)}: this vocabulary needs `batch: 1`")
        stack = torch.zeros(len(rows), max(len(row) for row in rows), *shapes.pop())
        for r, row in enumerate(rows):
            for k, image in enumerate(row):
                stack[r, k] = image[v][0]
        stacks.append(stack)
    return stacks


class _Passes:
    """Shards again and again, each pass in an order of its own; the last `kept` samples are held out."""

    def __init__(self, shards: Shards, seed: int, kept: int, held_out: bool):
        self.shards, self.seed, self.kept, self.held_out = shards, seed, kept, held_out
        if len(shards) <= kept:
            raise InputError(f"{shards.folder}: {len(shards)} samples, of which {kept} would be held out")

    def sample(self, i: int) -> Sample:
        """Sample i of an endless row."""
        count = len(self.shards) - self.kept
        return self.shards.sample(count + i % self.kept if self.held_out else shuffled(i, count, self.seed))


def open_mix(stage: Stage, seed: int, held_out: bool = False) -> _Source:
    """The samples of a stage, or the same mixture by another seed. Raises ValueError when there is no such mix."""
    if Path(stage.mix).is_dir():
        return _Passes(Shards(stage.mix), seed, EVALUATED * stage.batch, held_out)
    return Mixture(read_mix(load_recipe(stage.mix), stage.name, stage.mix), seed + HELD_OUT * held_out)


class Answer:
    """Next-token loss over answers. Held out: the mixture by another seed, so of published sets only another order."""

    names = ("loss",)

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, setting: Setting, state: dict[str, Any]):
        if setting.processor is None:
            raise InputError(f"stage {stage.name!r} needs a tokenizer: `model` must name a folder that has one")
        self.model, self.stage, self.setting = model, stage, setting
        self.cut, self.shown = int(state.get("cut", 0)), {}  # type: ignore[var-annotated]
        self.data = self._talks(False)

    def _talks(self, held_out: bool) -> Talks:
        source = open_mix(self.stage, self.setting.seed + 1000 * self.setting.index, held_out)
        return Talks(source, self.setting.processor, self.stage, self.model.config.image_token_id)

    @cached_property
    def held_out(self) -> list[Talk]:
        """The same batches at every evaluation."""
        talks = self._talks(True)
        return [talks[k] for k in range(EVALUATED)]

    def state(self) -> dict[str, Any]:
        """How many samples lost their end."""
        return {"cut": self.cut}

    def size(self, batch: Talk) -> tuple[int, int, list[str]]:
        """Samples, tokens without padding, and why samples were skipped."""
        return batch.samples, batch.tokens, batch.skipped

    def losses(self, batch: Talk) -> tuple[dict[str, Tensor], float]:
        """Mean over the learnt tokens, whose number is the weight of the batch; nothing where it teaches nothing."""
        self.cut += batch.cut
        if not batch.learnt:
            return {}, 0.0
        loss, right = self._read(batch)
        self.shown = {"accuracy": right / batch.learnt} | ({"cut": self.cut} if self.cut else {})
        return {"loss": loss}, float(batch.learnt)

    def _read(self, batch: Talk) -> tuple[Tensor, Tensor]:
        """Mean loss and number of right next tokens. Where nothing is learnt (images, prompts), no logits are made."""
        inputs = {key: _moved(value, self.setting.device) for key, value in batch.inputs.items() if key != "labels"}
        if inputs["attention_mask"].ndim == 2:  # padding is on the right, where no token looks; without a mask, flash
            del inputs["attention_mask"]  # attention serves
        learnt_BT = batch.inputs["labels"][:, 1:] != -100
        columns = learnt_BT.any(0).nonzero()[:, 0]  # found before anything moves, or a GPU would be waited for
        places = learnt_BT[:, columns].flatten().nonzero()[:, 0]
        labels = batch.inputs["labels"][:, 1:][learnt_BT].to(self.setting.device, non_blocking=True)
        kept = {"logits_to_keep": _moved(columns, self.setting.device), "use_cache": False}
        logits = self.model(**inputs, **kept).logits.flatten(0, 1)[_moved(places, self.setting.device)]
        return F.cross_entropy(logits.float(), labels), (logits.argmax(-1) == labels).sum()

    def evaluate(self) -> dict[str, float]:
        """Mean loss and share of right next tokens."""
        total = right = learnt = 0.0
        for batch in self.held_out:
            if batch.learnt:
                loss, hits = self._read(batch)
                total, right, learnt = total + float(loss) * batch.learnt, right + int(hits), learnt + batch.learnt
        return {"loss": total / max(1, learnt), "wrong": 1 - right / max(1, learnt)}


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [tensor.to(device, non_blocking=True) for tensor in value]
    return value.to(device, non_blocking=True)
