"""Turn images and text into the model's input, and ids into text. It is saved with the weights."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from PIL import Image
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import AutoProcessor, BatchFeature, PreTrainedTokenizerFast, ProcessorMixin

from ..io.errors import ConfigError
from ..io.image import open_image
from ..markup.prompts import (
    IMAGE_MARK,
    SPECIAL_TOKENS,
    TEMPLATES,
    Piece,
    Template,
    character_vocabulary,
    image_span,
    jinja,
    pieces_of,
)
from .config import VaryConfig
from .convert.chat_template import foreign_pieces
from .hub import read_config
from .preprocess import normalise, prepare
from .vocab import VOCABULARIES, upgrade
from .vocab.merge import MERGES, token_grid

Messages = list[dict[str, Any]]


def character_tokenizer(alphabet: str) -> PreTrainedTokenizerFast:
    """Make a tokenizer with one token per character; other characters become `<pad>`."""
    inner = Tokenizer(WordLevel(character_vocabulary(alphabet), unk_token="<pad>"))
    inner.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = Fuse()
    inner.add_special_tokens(list(SPECIAL_TOKENS))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        extra_special_tokens=["<img>", "</img>", "<imgpad>"], clean_up_tokenization_spaces=False,
    )  # fmt: skip


class VaryProcessor(ProcessorMixin):
    """Turn images and conversations into `input_ids`, `attention_mask`, `pixel_values`, and `labels` for training.

    vocabularies, merge, connector, template: those of the model's configuration (`VaryProcessor.of`). Batches are
    padded on the left. `pixel_values` is one tensor where one vocabulary takes pixels and a list of tensors where
    several do; (B, C, H, W) when each row has one image, else (B, I, C, H, W) with zeros for images that a row lacks.
    """

    attributes: ClassVar = ["tokenizer"]
    tokenizer_class = "AutoTokenizer"
    image_token = IMAGE_MARK

    def __init__(
        self,
        tokenizer: Any = None,
        vocabularies: list[dict[str, Any]] | None = None,
        merge: str = "channel",
        connector: dict[str, Any] | list[dict[str, Any]] | None = None,
        template: str = "plain",
        image_pad: str = "<imgpad>",
        chat_template: str | None = None,
        **kwargs: Any,
    ):
        if template not in TEMPLATES:
            raise ConfigError(f"unknown template {template!r}; allowed: {', '.join(TEMPLATES)}")
        self.vocabularies = vocabularies or [{"name": "nano", "preprocess": {"mean": 0.5, "std": 0.5, "multiple": 32}}]
        self.merge, self.connector, self.template = merge, connector or {"name": "shuffle"}, template
        self.vocabularies = [upgrade(vocabulary) for vocabulary in self.vocabularies]
        self.image_pad = image_pad
        super().__init__(tokenizer, **kwargs)
        # for other software: `apply_chat_template` below needs it for the template "jinja" alone
        self.chat_template = chat_template if template == "jinja" else jinja(self.style)

    @classmethod
    def of(cls, config: Any, tokenizer: Any) -> VaryProcessor:
        """Make the processor of a model with this configuration."""
        return cls(tokenizer, config.vocabularies, config.merge, config.connector, config.template)

    @property
    def style(self) -> Template:
        """How a conversation is written down."""
        return TEMPLATES[self.template]

    @property
    def stop_ids(self) -> list[int]:
        """Ids that end an answer."""
        if self.template == "jinja":
            return [self.tokenizer.eos_token_id]
        return self.tokenizer(self.style.stop, add_special_tokens=False)["input_ids"]

    def __call__(
        self, images: Any = None, text: str | list[str] | None = None, add_special_tokens: bool = False, **_: Any
    ) -> BatchFeature:
        """Encode raw prompts. Each `<image>` in a prompt is the next image; special tokens in a prompt are special.

        images: one, or one list for the whole batch, or one list per prompt. Conversations, in which a user's text is
        only text, go through `apply_chat_template`. Raises ValueError when the number of `<image>` in the texts is not
        the number of images.
        """
        nested = [len(_flat(own)) for own in images] if _nested(images) else None
        images = _flat(images)
        texts = [text] if isinstance(text, str) else list(text or [self.image_token] * len(images))
        counts = [t.count(self.image_token) for t in texts]
        if nested not in (None, counts):
            raise ValueError(f"the texts hold {counts} {self.image_token}, and {nested} images were given")
        if sum(counts) != len(images):
            raise ValueError(f"the texts hold {sum(counts)} {self.image_token}, and {len(images)} images were given")
        pixels = self._pixels(images, counts)
        span = image_span(self._tokens(pixels), self.style) if images else ""
        span = span.replace("<imgpad>", self.image_pad)
        ids = [self._ids(t.replace(self.image_token, span), add_special_tokens) for t in texts]
        return self._batch(ids, pixels)

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Messages | list[Messages],
        chat_template: str | None = None,
        add_generation_prompt: bool = True,
        tokenize: bool = False,
        return_dict: bool = False,
        labels: bool = False,
        **_: Any,
    ) -> Any:
        """Write a conversation, or a batch of them, as text, ids (`tokenize`) or the model's input (`return_dict`).

        labels: add `labels`, -100 wherever nothing is learnt; each conversation must then hold an answer. Messages are
        described at `prompt.pieces_of`; images are paths or Pillow images. Raises ValueError for roles out of turn.
        """
        single = bool(conversation) and isinstance(conversation[0], dict)
        batch = cast("list[Messages]", [conversation] if single else conversation)
        if chat_template not in (None, self.chat_template):
            raise ConfigError(f"the template belongs to the weights ({self.template}); another one cannot be given")
        written = [self._pieces(messages, add_generation_prompt and not labels) for messages in batch]
        unanswered = [k for k, (pieces, _) in enumerate(written, 1) if not any(piece.learn for piece in pieces)]
        if labels and unanswered:
            raise ConfigError(
                f"conversation {unanswered[0]} holds no answer of the assistant, so there is nothing to learn"
            )
        if not tokenize:
            texts = [
                "".join(p.text if p.kind != "image" else self.image_token for p in pieces) for pieces, _ in written
            ]
            return texts[0] if single else texts
        images = [opened(image) for _, shown in written for image in shown]
        pixels = self._pixels(images, [len(shown) for _, shown in written])
        count = self._tokens(pixels) if images else 0
        encoded = [self._encode(pieces, count) for pieces, _ in written]
        ready = self._batch([ids for ids, _ in encoded], pixels, [own for _, own in encoded] if labels else None)
        return ready if return_dict else ready["input_ids"]

    def num_image_tokens(self, sizes: list[tuple[int, int]]) -> int:
        """Count the image tokens of one image; `sizes` holds its (height, width) for each vocabulary with pixels."""
        rows, columns = token_grid(self.vocabularies, self.merge, self.connector, sizes)
        return rows * columns

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """Decode ids with the tokenizer."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def _pieces(self, messages: Messages, ask: bool) -> tuple[list[Piece], list[Any]]:
        """Write a conversation as pieces, and collect its images."""
        if self.template != "jinja":
            return pieces_of(messages, self.style, ask)
        return foreign_pieces(messages, self.tokenizer, str(self.chat_template), self.image_pad, ask)

    def _pixels(self, images: list[Any], counts: list[int]) -> list[torch.Tensor]:
        """Make one tensor per vocabulary that takes pixels; `counts` images belong to each row."""
        if not images:
            return []
        seeing = self.vocabularies[:1] if MERGES[self.merge].chained else self.vocabularies
        return [_stack([self._prepared(image, v) for image in images], counts, v["preprocess"]) for v in seeing]

    @staticmethod
    def _prepared(image: Image.Image, vocabulary: dict[str, Any]) -> np.ndarray:
        return prepare(image, vocabulary["preprocess"], VOCABULARIES[vocabulary["name"]].channels)

    def _tokens(self, pixels: list[torch.Tensor]) -> int:
        """Count the image tokens of each image of a batch."""
        return self.num_image_tokens([(int(p.shape[-2]), int(p.shape[-1])) for p in pixels])

    def _ids(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"]

    def _encode(self, pieces: list[Piece], image_tokens: int) -> tuple[list[int], list[int]]:
        """Encode pieces as ids and labels. Text between special tokens is tokenised as a whole."""
        ids: list[int] = []
        labels: list[int] = []
        for (kind, _), run in groupby(pieces, key=lambda piece: (piece.kind, self.style.apart and piece.learn)):
            members = list(run)
            if kind == "text":
                own, learnt = self._encode_text(members)
            else:
                own, learnt = [], []
                for piece in members:
                    count = image_tokens if kind == "image" else 1
                    own += [self._id(self.image_pad if kind == "image" else piece.text)] * count
                    learnt += [piece.learn] * count
            ids += own
            labels += [i if learn else -100 for i, learn in zip(own, learnt, strict=True)]
        return ids, labels

    def _encode_text(self, pieces: list[Piece]) -> tuple[list[int], list[bool]]:
        """Encode a run of text, and tell for each token whether its last character is learnt."""
        text = "".join(piece.text for piece in pieces)
        learnt = [piece.learn for piece in pieces for _ in piece.text]
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        return encoded["input_ids"], [learnt[max(end, 1) - 1] for _, end in encoded["offset_mapping"]]

    def _id(self, token: str) -> int:
        found = self.tokenizer.convert_tokens_to_ids(token)
        if found is None or found == self.tokenizer.unk_token_id:
            raise ConfigError(f"the tokenizer has no {token}; template {self.template!r} needs it")
        return found

    def _batch(
        self, ids: list[list[int]], pixels: list[torch.Tensor], labels: list[list[int]] | None = None
    ) -> BatchFeature:
        long, pad = max(map(len, ids)), self.tokenizer.pad_token_id
        data: dict[str, Any] = {
            "input_ids": torch.tensor([[pad] * (long - len(row)) + row for row in ids]),
            "attention_mask": torch.tensor([[0] * (long - len(row)) + [1] * len(row) for row in ids]),
        }
        if labels is not None:
            data["labels"] = torch.tensor([[-100] * (long - len(row)) + row for row in labels])
        if pixels:
            data["pixel_values"] = pixels[0] if len(pixels) == 1 else pixels
        return BatchFeature(data)


def _nested(images: Any) -> bool:
    """Return whether there is one list per prompt."""
    return isinstance(images, list | tuple) and any(isinstance(image, list | tuple) for image in images)


def _flat(images: Any) -> list[Image.Image]:
    """Open all images, in order."""
    if images is None:
        return []
    if not isinstance(images, list | tuple):
        return [opened(images)]
    return [found for image in images for found in _flat(image)]


def load_processor(folder: Path) -> VaryProcessor:
    """Load the processor of a model folder. Raises ConfigError with the file and the reason if one is damaged."""
    for path in folder.glob("*.json"):
        if path.name.startswith(("processor", "tokenizer", "special_tokens", "added_tokens")):
            read_config(folder, path.name)
    return AutoProcessor.from_pretrained(folder)


def opened(image: Any) -> Image.Image:
    """A Pillow image as it is, a path decoded. Raises ValueError for anything else: nothing is fetched."""
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        return Image.fromarray(image)
    if isinstance(image, str | Path) and not str(image).startswith(("http://", "https://", "data:")):
        return open_image(Path(image), colour=True)
    raise ConfigError(f"an image is a path or a Pillow image, got {str(image)[:60]!r}; nothing is downloaded")


def _stack(images: list[np.ndarray], counts: list[int], preprocess: dict[str, Any]) -> torch.Tensor:
    """(B, C, H, W) when each row has one image, else (B, I, C, H, W); smaller images get white below and right."""
    high, wide = max(a.shape[1] for a in images), max(a.shape[2] for a in images)
    white = normalise(np.full((1, 1, images[0].shape[0]), 255, np.float32), preprocess).reshape(-1, 1, 1)
    whole = np.broadcast_to(white, (len(images), images[0].shape[0], high, wide)).astype(np.float32)
    for target, image in zip(whole, images, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = image
    if counts == [1] * len(images):
        return torch.from_numpy(whole)
    rows = np.zeros((len(counts), max(counts), *whole.shape[1:]), np.float32)
    for row, first, count in zip(rows, np.cumsum([0, *counts]), counts, strict=False):
        row[:count] = whole[first : first + count]
    return torch.from_numpy(rows)


AutoProcessor.register(VaryConfig, VaryProcessor)
