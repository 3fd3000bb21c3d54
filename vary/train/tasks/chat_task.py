"""The task `answer`: train a language model by next-token loss to answer about images.

A batch is a pure function of (recipe, seed, k). Images are never cut. A sample that is too long loses its end. Packing
puts whole samples into one row; each of them attends to itself only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...data.mixture import Mixture, load_recipe, read_mix
from ...data.sample import Sample, Skipped, Source, shuffle_index
from ...data.shards import Shards
from ...io.errors import ConfigError, InputError
from ...markup.prompts import IMAGE_MARK
from ...models.fuse.language import shift_right
from ...models.modeling import VaryForConditionalGeneration
from ...models.processor import EXTRAS, VaryProcessor
from ..recipe import Stage
from .task import HELD_OUT_SEED, TaskContext

EVAL_BATCHES = 2


@dataclass
class ChatBatch:
    """A batch of conversations.

    Attributes:
        inputs: Arguments of the model's forward pass, with `labels`. Empty if every sample was skipped.
        samples: Number of samples.
        tokens: Number of tokens without padding.
        learnt: Number of labels that count.
        texts: Number of samples with an answer that is not blank and that counts.
        cut: Number of samples that lost their end.
        skipped: Why samples were skipped.
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    samples: int = 0
    tokens: int = 0
    learnt: int = 0
    texts: int = 0
    cut: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass
class _Encoded:
    """A sample as ids and labels (T,), and the pixels of its views (V, C, H, W) for each vocabulary, if it has images.

    `extras` holds what else the processor made, (1, N, ...): shapes of images, words for a connector.
    """

    ids: Tensor
    labels: Tensor
    pixels: list[Tensor]
    extras: dict[str, Tensor] = field(default_factory=dict)


class ChatData(Dataset[Any]):
    """Encoded batches of a source. Item k holds the samples k * batch + 0, 1, ..."""

    def __init__(self, source: Source, processor: VaryProcessor, stage: Stage, image_id: int):
        self.source, self.processor, self.stage, self.image_id = source, processor, stage, image_id

    def __getitem__(self, k: int) -> ChatBatch:
        batch, encoded = ChatBatch(), []
        for i in range(k * self.stage.batch, (k + 1) * self.stage.batch):
            try:
                encoded.append(self._encode(i, batch))
            except Skipped as reason:
                batch.skipped.append(str(reason))
            except Exception as error:
                what = " ".join(str(error).split()) or type(error).__name__
                raise InputError(f"{self.stage.mix}: sample {i}: {what}") from error
        if encoded:
            rows = _pack(encoded, self.stage.max_tokens) if self.stage.pack else [[one] for one in encoded]
            batch.inputs = _collate(rows, self.processor.tokenizer.pad_token_id, self.stage.pack)
            batch.samples, batch.tokens = len(encoded), sum(len(one.ids) for one in encoded)
            batch.learnt = int((_targets(batch.inputs["labels"], self.processor.encoder_decoder) != -100).sum())
        return batch

    def _encode(self, i: int, batch: ChatBatch) -> _Encoded:
        messages = to_messages(self.source.sample(i))
        found = self.processor.apply_chat_template(messages, tokenize=True, return_dict=True, labels=True)
        ids, labels = found["input_ids"][0], found["labels"][0]
        limit = self.stage.max_tokens
        if (ids[limit:] == self.image_id).any():
            raise InputError(f"its image ends after token {limit}; max_tokens must hold it")
        batch.cut += len(ids) > limit
        answers = [message["content"] for message in messages if message["role"] == "assistant"]
        batch.texts += any(map(str.strip, answers)) and bool((labels[:limit] != -100).any())
        pixels = found.get("pixel_values", [])
        stacks = [pixels] if isinstance(pixels, Tensor) else list(pixels)
        extras = {key: found[key] for key in EXTRAS if key in found}
        views = [stack if stack.ndim == 4 else stack[0] for stack in stacks]
        return _Encoded(ids[:limit], labels[:limit], views, extras)


def to_messages(sample: Sample) -> list[dict[str, Any]]:
    """Convert a sample to chat messages: all its turns if it has any, else its prompt and its text."""
    images = [Image.fromarray(sample.image)] if sample.image.size else []
    if "turns" not in sample.meta:
        content = [*({"type": "image", "image": image} for image in images)]
        content += [{"type": "text", "text": sample.prompt}] if sample.prompt else []
        return [{"role": "user", "content": content}, {"role": "assistant", "content": sample.text}]
    messages = []
    for turn in sample.meta["turns"]:
        message = dict(turn)
        if images and turn["role"] == "user" and IMAGE_MARK in turn["content"]:
            message["images"], images = images, []
        messages.append(message)
    return messages


def _targets(labels_BT: Tensor, encoder_decoder: bool) -> Tensor:
    """Return what each position predicts: the next token, or the decoder's label at this position."""
    return labels_BT if encoder_decoder else labels_BT[:, 1:]


def _pack(encoded: list[_Encoded], limit: int) -> list[list[_Encoded]]:
    """Pack whole samples into rows of at most `limit` tokens: first fit, longest sample first."""
    rows: list[list[_Encoded]] = []
    for one in sorted(encoded, key=lambda e: -len(e.ids)):
        row = next((r for r in rows if sum(len(e.ids) for e in r) + len(one.ids) <= limit), None)
        if row is None:
            rows.append([one])
        else:
            row.append(one)
    return rows


def _collate(rows: list[list[_Encoded]], pad: int, packed: bool) -> dict[str, Any]:
    """Make model inputs of rows, padded on the right.

    With `packed`, samples of one row do not attend to each other, and positions start at 0 for each.
    """
    width = max(sum(len(one.ids) for one in row) for row in rows)
    wide = max(sum(len(one.labels) for one in row) for row in rows)
    ids, labels = torch.full((len(rows), width), pad), torch.full((len(rows), wide), -100)
    owner, positions = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    for r, row in enumerate(rows):
        at = 0
        for n, one in enumerate(row, 1):
            span = slice(at, at + len(one.ids))
            ids[r, span], owner[r, span] = one.ids, n
            labels[r, at : at + len(one.labels)] = one.labels
            positions[r, span] = torch.arange(len(one.ids))
            at += len(one.ids)
    inputs: dict[str, Any] = {"input_ids": ids, "labels": labels, "attention_mask": (owner > 0).long()}
    if packed:
        own = (owner[:, :, None] == owner[:, None, :]) & (torch.arange(width)[:, None] >= torch.arange(width))
        inputs |= {"attention_mask": own[:, None], "position_ids": positions}
    stacks = _stack_images([[one.pixels for one in row if one.pixels] for row in rows])
    if stacks:
        inputs["pixel_values"] = stacks[0] if len(stacks) == 1 else stacks
    for key in {key for row in rows for one in row for key in one.extras}:
        inputs[key] = _stack_extras([[one.extras[key] for one in row if key in one.extras] for row in rows])
    return inputs


def _stack_extras(rows: list[list[Tensor]]) -> Tensor:
    """Join what belongs to one row, and pad rows with zeros: (B, N, ...)."""
    joined = [torch.cat([own[0] for own in row]) if row else None for row in rows]
    return nn.utils.rnn.pad_sequence([next(t for t in joined if t is not None)[:0] if t is None else t for t in joined],
                                     batch_first=True)  # fmt: skip


def _stack_images(rows: list[list[list[Tensor]]]) -> list[Tensor]:
    """Stack the images of each row into one tensor (B, I, C, H, W) per vocabulary. Missing images are zeros."""
    images = [image for row in rows for image in row]
    stacks = []
    for v in range(len(images[0]) if images else 0):
        shapes = {tuple(image[v].shape[1:]) for image in images}
        if len(shapes) > 1:
            raise InputError(f"images of different sizes, {sorted(shapes)}: this vocabulary needs `batch: 1`")
        most = max(sum(len(image[v]) for image in row) for row in rows)
        stack = torch.zeros(len(rows), most, *shapes.pop())
        for r, row in enumerate(rows):
            views = torch.cat([image[v] for image in row]) if row else stack[r, :0]
            stack[r, : len(views)] = views
        stacks.append(stack)
    return stacks


class _Epochs:
    """Shards repeated without end, each epoch in its own order. The last `kept` samples are held out."""

    def __init__(self, shards: Shards, seed: int, kept: int, held_out: bool):
        self.shards, self.seed, self.kept, self.held_out = shards, seed, kept, held_out
        if len(shards) <= kept:
            raise InputError(f"{shards.folder}: {len(shards)} samples, of which {kept} would be held out")

    def sample(self, i: int) -> Sample:
        """Return sample i of the endless sequence."""
        count = len(self.shards) - self.kept
        return self.shards.sample(count + i % self.kept if self.held_out else shuffle_index(i, count, self.seed))


def open_mix(stage: Stage, seed: int, held_out: bool = False) -> Source:
    """Open the samples of a stage, or held-out samples. Raises InputError if there is no such mix."""
    if Path(stage.mix).is_dir():
        return _Epochs(Shards(stage.mix), seed, EVAL_BATCHES * stage.batch, held_out)
    return Mixture(read_mix(load_recipe(stage.mix), stage.name, stage.mix), seed + HELD_OUT_SEED * held_out)


class ChatTask:
    """Next-token loss over answers.

    Held-out samples are the same mixture by another seed. Of published sets this is only another order.
    """

    names = ("loss",)

    def __init__(self, model: VaryForConditionalGeneration, stage: Stage, context: TaskContext, state: dict[str, Any]):
        if context.processor is None:
            raise ConfigError(f"stage {stage.name!r} needs a tokenizer: `model` must name a folder that has one")
        if stage.pack and model.config.is_special:
            raise ConfigError(f"stage {stage.name!r}: pack needs a model whose images are a prefix in a causal decoder")
        self.model, self.stage, self.context = model, stage, context
        self.samples = int(state.get("samples", 0))
        self.cut = int(state["cut"]) if self.samples else 0
        self.metrics: dict[str, Any] = {}
        self.data = self._data(False)

    def _data(self, held_out: bool) -> ChatData:
        source = open_mix(self.stage, self.context.seed + 1000 * self.context.index, held_out)
        return ChatData(source, self.context.processor, self.stage, self.model.config.image_token_id)

    @cached_property
    def held_out(self) -> list[ChatBatch]:
        """The batches of every evaluation."""
        data = self._data(True)
        return self.context.draw(lambda: [data[k] for k in range(EVAL_BATCHES)])

    def state(self) -> dict[str, Any]:
        """Return the number of samples, and of those that lost their end."""
        return {"samples": self.samples, "cut": self.cut}

    def size(self, batch: ChatBatch) -> tuple[int, int, list[str]]:
        """Count samples and tokens without padding, and list why samples were skipped."""
        return batch.samples, batch.tokens, batch.skipped

    def labels(self, batch: ChatBatch) -> int:
        """Count the answers that are not blank and that count."""
        return batch.texts

    def losses(self, batch: ChatBatch) -> tuple[dict[str, Tensor], float]:
        """Compute the mean loss over the labels. The weight of the batch is their number.

        The metric `cut` is the share of samples that lost their end, since the start of the stage.
        """
        self.samples, self.cut = self.samples + batch.samples, self.cut + batch.cut
        self.metrics = {"accuracy": float("nan"), "cut": self.cut / max(1, self.samples)}
        if not batch.learnt:
            return {}, 0.0
        with self._noise(batch):
            loss, right = self.measure_batch(batch, training=True)
        self.metrics["accuracy"] = right / batch.learnt
        return {"loss": loss}, float(batch.learnt)

    @contextmanager
    def _noise(self, batch: ChatBatch) -> Iterator[None]:
        """Add the noise of the stage to the embeddings of words. It depends on seed and samples alone."""
        generator = torch.Generator().manual_seed(self.context.seed + self.samples)

        def add(module: nn.Module, args: Any, out: Tensor) -> Tensor:
            scale = self.stage.noise / (out.shape[-2] * out.shape[-1]) ** 0.5
            noise = torch.rand(out.shape, generator=generator) * 2 - 1
            return out + scale * noise.to(out.device, out.dtype)

        handle = self.model.get_input_embeddings().register_forward_hook(add) if self.stage.noise else None
        try:
            yield
        finally:
            if handle:
                handle.remove()

    def measure_batch(self, batch: ChatBatch, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the number of right next tokens. Logits are computed only where a label counts.

        In training, the loss has the terms of the stage and of the model that do not depend on the labels.
        """
        device, config, labels_BT = self.context.device, self.model.config, batch.inputs["labels"]
        inputs = {key: _to_device(value, device) for key, value in batch.inputs.items() if key != "labels"}
        if config.is_encoder_decoder:
            inputs["decoder_input_ids"] = _to_device(shift_right(labels_BT, config.text_config), device)
        elif inputs["attention_mask"].ndim == 2:  # right padding needs no mask, and flash attention takes none
            del inputs["attention_mask"]
        if config.mask == "prefix":  # an answer must not see itself
            inputs["prefix_mask"] = _to_device((labels_BT != -100).cumsum(1) == 0, device)
        targets_BT = _targets(labels_BT, config.is_encoder_decoder)
        learnt_BT = targets_BT != -100
        columns = learnt_BT.any(0).nonzero()[:, 0]  # on the CPU, or the step would wait for the GPU
        places = learnt_BT[:, columns].flatten().nonzero()[:, 0]
        labels = targets_BT[learnt_BT].to(device, non_blocking=True)
        kept = {"logits_to_keep": _to_device(columns, device), "use_cache": False}
        out = self.model(**inputs, **kept)
        logits = out.logits.flatten(0, 1)[_to_device(places, device)]
        loss = F.cross_entropy(logits.float(), labels)
        if training and out.aux_loss is not None:
            loss = loss + out.aux_loss
        if training and self.stage.z_loss:
            loss = loss + self.stage.z_loss * logits.float().logsumexp(-1).square().mean()
        return loss, (logits.argmax(-1) == labels).sum()

    def evaluate(self) -> dict[str, float]:
        """Measure the mean loss and the share of wrong next tokens. Both are NaN if no label counts."""
        total = right = learnt = 0.0
        for batch in self.held_out:
            if batch.learnt:
                loss, hits = self.measure_batch(batch)
                total, right, learnt = total + float(loss) * batch.learnt, right + int(hits), learnt + batch.learnt
        if not learnt:
            return {"loss": float("nan"), "wrong": float("nan")}
        return {"loss": total / learnt, "wrong": 1 - right / learnt}


def _to_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [tensor.to(device, non_blocking=True) for tensor in value]
    return value.to(device, non_blocking=True)
