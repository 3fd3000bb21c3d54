"""Turn images and text into the model's input, and ids into text. It is saved with the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
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
from .fuse import FUSIONS
from .hub import read_config
from .images.arrange import Runs, runs_of, tokens_in
from .images.preprocess import stack_images
from .images.views import Shape, Views, cut_views
from .vocab import channels_of, upgrade
from .vocab.merge import MERGES, token_grid

Messages = list[dict[str, Any]]
WORDS = "words"  # folder of the second tokenizer
EXTRAS = ("image_shapes", "words", "words_mask", "regions")  # inputs that some models have, next to pixels and tokens


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


@dataclass
class _Seen:
    """The images of a batch: a tensor per vocabulary with pixels, and runs of image tokens and shapes per image."""

    pixels: list[torch.Tensor] = field(default_factory=list)
    runs: list[Runs] = field(default_factory=list)
    shapes: torch.Tensor | None = None  # (B, N, 4), for models whose images have views or no place in the prompt


class VaryProcessor(ProcessorMixin):
    """Turn images and conversations into `input_ids`, `attention_mask`, `pixel_values`, and `labels` for training.

    vocabularies, merge, connector, template, arrange, fusion: those of the model's configuration (`VaryProcessor.of`).
    An encoder_decoder gets the answer as `labels` alone. Where `words_tokenizer` is set, it encodes the question a
    second time, for connectors that read it (`words`, `words_mask`). Batches are padded on the left.

    `pixel_values` is one tensor where one vocabulary takes pixels and a list of tensors where several do;
    (B, C, H, W) when each row has one view, else (B, I, C, H, W) with zeros for views that a row lacks. For models that
    cut images into views, `image_shapes` (B, N, 4) holds the shape of each image (`images.views`).
    """

    attributes: ClassVar = ["tokenizer"]
    tokenizer_class = "AutoTokenizer"
    image_token = IMAGE_MARK
    words_tokenizer: Any = None

    def __init__(
        self,
        tokenizer: Any = None,
        vocabularies: list[dict[str, Any]] | None = None,
        merge: str = "channel",
        connector: dict[str, Any] | list[dict[str, Any]] | None = None,
        template: str = "plain",
        image_pad: str = "<imgpad>",
        chat_template: str | None = None,
        arrange: dict[str, Any] | None = None,
        fusion: dict[str, Any] | None = None,
        encoder_decoder: bool = False,
        **kwargs: Any,
    ):
        if template not in TEMPLATES:
            raise ConfigError(f"unknown template {template!r}; allowed: {', '.join(TEMPLATES)}")
        self.vocabularies = vocabularies or [{"name": "nano", "preprocess": {"mean": 0.5, "std": 0.5, "multiple": 32}}]
        self.merge, self.connector, self.template = merge, connector or {"name": "shuffle"}, template
        self.vocabularies = [upgrade(vocabulary) for vocabulary in self.vocabularies]
        self.image_pad = image_pad
        self.arrange, self.fusion = arrange or {"name": "plain"}, fusion or {"name": "prefix"}
        self.encoder_decoder = encoder_decoder
        super().__init__(tokenizer, **kwargs)
        # for other software: `apply_chat_template` below needs it for the template "jinja" alone
        self.chat_template = chat_template if template == "jinja" else jinja(self.style)

    @classmethod
    def of(cls, config: Any, tokenizer: Any, **more: Any) -> VaryProcessor:
        """Make the processor of a model with this configuration."""
        parts = {key: getattr(config, key) for key in ("vocabularies", "merge", "connector", "arrange", "fusion")}
        given = {"template": config.template, "encoder_decoder": config.is_encoder_decoder} | more
        given.setdefault("chat_template", getattr(tokenizer, "chat_template", None))
        return cls(tokenizer, **parts, **given)

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> Any:
        """Save the processor, and the tokenizer of the words in the folder `words`."""
        words = self.__dict__.pop("words_tokenizer", None)  # transformers would write it as a setting
        saved = super().save_pretrained(save_directory, **kwargs)
        if words is not None:
            self.words_tokenizer = words
            words.save_pretrained(Path(save_directory) / WORDS)
        return saved

    @classmethod
    def from_pretrained(cls, source: Any, **kwargs: Any) -> VaryProcessor:
        """Load a processor, and the tokenizer of the words if there is one."""
        found = super().from_pretrained(source, **kwargs)
        if (Path(source) / WORDS).is_dir():
            found.words_tokenizer = PreTrainedTokenizerFast.from_pretrained(Path(source) / WORDS)
        return found

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
        self,
        images: Any = None,
        text: str | list[str] | None = None,
        add_special_tokens: bool = False,
        regions: list[list[Any]] | None = None,
        **_: Any,
    ) -> BatchFeature:
        """Encode raw prompts. Each `<image>` in a prompt is the next image; special tokens in a prompt are special.

        images: one, or one list for the whole batch, or one list per prompt. regions: boxes (left, top, right, bottom
        as shares of the image) or masks for the region tokens of each prompt. Conversations go through
        `apply_chat_template`. Raises ValueError when the texts have another number of `<image>` than images.
        """
        nested = [len(_flat(own)) for own in images] if _is_nested(images) else None
        images = _flat(images)
        texts = [text] if isinstance(text, str) else list(text or [self.image_token] * len(images))
        counts = [t.count(self.image_token) for t in texts]
        if nested not in (None, counts):
            raise ValueError(f"the texts hold {counts} {self.image_token}, and {nested} images were given")
        if sum(counts) != len(images):
            raise ValueError(f"the texts hold {sum(counts)} {self.image_token}, and {len(images)} images were given")
        seen = self._see(images, counts)
        spans = iter([image_span(runs, self.style, self.image_pad) for runs in seen.runs])
        filled = ["".join(p + next(spans) for p in t.split(self.image_token)[:-1]) for t in texts]
        ends = [t.split(self.image_token)[-1] for t in texts]
        ids = [self._ids(start + end, add_special_tokens) for start, end in zip(filled, ends, strict=True)]
        return self._batch(ids, seen, words=[t.replace(self.image_token, "").strip() for t in texts], regions=regions)

    def apply_chat_template(
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
        described at `markup.prompts.pieces_of`; images are paths or Pillow images. Raises ValueError for roles out of
        turn.
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
        images = [open_picture(image) for _, shown in written for image in shown]
        seen = self._see(images, [len(shown) for _, shown in written])
        runs = iter(seen.runs)
        encoded = [self._encode(pieces, runs) for pieces, _ in written]
        asked = ["".join(p.text for p in pieces if p.kind == "text" and not p.learn) for pieces, _ in written]
        ready = self._batch(
            [ids for ids, _ in encoded], seen, [own for _, own in encoded] if labels else None, words=asked
        )
        return ready if return_dict else ready["input_ids"]

    def num_image_tokens(self, sizes: list[tuple[int, int]], shape: Shape | None = None) -> int:
        """Count the image tokens of one image; `sizes` holds its (height, width) for each vocabulary with pixels."""
        return tokens_in(self._runs(sizes, shape or (0, 0, *sizes[0])))

    def _runs(self, sizes: list[tuple[int, int]], shape: Shape) -> Runs:
        places = FUSIONS[self.fusion["name"]].places
        if places is not None:
            return [places] if places else []
        grid = token_grid(self.vocabularies, self.merge, self.connector, sizes)
        return runs_of(self.arrange, grid, shape, sizes[0])

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """Decode ids with the tokenizer."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def _pieces(self, messages: Messages, ask: bool) -> tuple[list[Piece], list[Any]]:
        """Write a conversation as pieces, and collect its images."""
        if self.template != "jinja":
            return pieces_of(messages, self.style, ask)
        marked = FUSIONS[self.fusion["name"]].places != 0
        return foreign_pieces(messages, self.tokenizer, str(self.chat_template), self.image_pad, ask, marked)

    def _see(self, images: list[Any], counts: list[int]) -> _Seen:
        """Cut and stack the images; `counts` images belong to each row."""
        if not images:
            return _Seen()
        seeing = self.vocabularies[:1] if MERGES[self.merge].chained else self.vocabularies
        views = [[self._cut(image, vocabulary) for image in images] for vocabulary in seeing]
        bounds = np.cumsum([0, *counts]).tolist()
        rows = [slice(first, last) for first, last in pairwise(bounds)]
        pixels = [
            torch.from_numpy(stack_images([view for own, _ in cuts for view in own],
                                          [sum(len(o) for o, _ in cuts[r]) for r in rows], vocabulary["preprocess"]))
            for cuts, vocabulary in zip(views, seeing, strict=True)
        ]  # fmt: skip
        shapes = [shape for _, shape in views[0]]
        sizes = [(int(p.shape[-2]), int(p.shape[-1])) for p in pixels]
        needed = any("views" in v.get("preprocess", {}) for v in seeing) or self.fusion["name"] != "prefix"
        runs = [self._runs(sizes, shape if needed else (0, 0, *sizes[0])) for shape in shapes]
        if not needed:
            return _Seen(pixels, runs)
        table = torch.zeros(len(counts), max(counts), 4, dtype=torch.long)
        for row, own in zip(table, rows, strict=True):
            row[: len(shapes[own])] = torch.tensor(shapes[own]).reshape(-1, 4)
        return _Seen(pixels, runs, table)

    @staticmethod
    def _cut(image: Image.Image, vocabulary: dict[str, Any]) -> Views:
        return cut_views(image, vocabulary["preprocess"], channels_of(vocabulary))

    def _ids(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"]

    def _encode(self, pieces: list[Piece], runs: Iterator[Runs]) -> tuple[list[int], list[int]]:
        """Encode pieces as ids and labels. Text between special tokens is tokenised as a whole."""
        if self.encoder_decoder:  # the answer is the target of the decoder, and no part of the prompt
            asked, answer = ([p for p in pieces if p.learn == learn] for learn in (False, True))
            return self._encode_pieces(asked, runs)[0], self._encode_pieces(answer, runs)[0]
        return self._encode_pieces(pieces, runs)

    def _encode_pieces(self, pieces: list[Piece], runs: Iterator[Runs]) -> tuple[list[int], list[int]]:
        ids: list[int] = []
        labels: list[int] = []
        for (kind, _), run in groupby(pieces, key=lambda piece: (piece.kind, self.style.apart and piece.learn)):
            members = list(run)
            if kind == "text":
                own, learnt = self._encode_text(members)
            else:
                own, learnt = [], []
                for piece in members:
                    own += self._image_ids(next(runs)) if kind == "image" else [self._id(piece.text)]
                    learnt += [piece.learn] * (len(own) - len(learnt))
            ids += own
            labels += [i if learn else -100 for i, learn in zip(own, learnt, strict=True)]
        return ids, labels

    def _encode_text(self, pieces: list[Piece]) -> tuple[list[int], list[bool]]:
        """Encode a run of text, and tell for each token whether its last character is learnt."""
        text = "".join(piece.text for piece in pieces)
        learnt = [piece.learn for piece in pieces for _ in piece.text]
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        return encoded["input_ids"], [learnt[max(end, 1) - 1] for _, end in encoded["offset_mapping"]]

    def _image_ids(self, runs: Runs) -> list[int]:
        """Encode one image: image tokens, and the marks between them, whose special tokens are special."""
        pad = self._id(self.image_pad)
        return [i for run in runs for i in ([pad] * run if isinstance(run, int) else self._ids(run))]

    def _id(self, token: str) -> int:
        found = self.tokenizer.convert_tokens_to_ids(token)
        if found is None or found == self.tokenizer.unk_token_id:
            raise ConfigError(f"the tokenizer has no {token}; template {self.template!r} needs it")
        return found

    def _batch(
        self,
        ids: list[list[int]],
        seen: _Seen,
        labels: list[list[int]] | None = None,
        words: list[str] | None = None,
        regions: list[list[Any]] | None = None,
    ) -> BatchFeature:
        pad = self.tokenizer.pad_token_id
        data: dict[str, Any] = {
            "input_ids": _pad_left(ids, pad),
            "attention_mask": _pad_left([[1] * len(row) for row in ids], 0),
        }
        if labels is not None:
            data["labels"] = _pad_right(labels, -100) if self.encoder_decoder else _pad_left(labels, -100)
        if seen.pixels:
            data["pixel_values"] = seen.pixels[0] if len(seen.pixels) == 1 else seen.pixels
        if seen.shapes is not None:
            data["image_shapes"] = seen.shapes
        if self.words_tokenizer is not None and words:
            asked = [self.words_tokenizer(text)["input_ids"] for text in words]
            data["words"] = _pad_right(asked, self.words_tokenizer.pad_token_id or 0)
            data["words_mask"] = _pad_right([[1] * len(row) for row in asked], 0)
        if regions and any(map(len, regions)):
            size = np.shape(next(own for own in regions if len(own))[0])
            stacks = [torch.as_tensor(np.array(own, np.float32).reshape(-1, *size)) for own in regions]
            data["regions"] = torch.nn.utils.rnn.pad_sequence(stacks, batch_first=True)
        return BatchFeature(data)


def _pad_left(rows: list[list[int]], pad: int) -> torch.Tensor:
    long = max(map(len, rows))
    return torch.tensor([[pad] * (long - len(row)) + row for row in rows])


def _pad_right(rows: list[list[int]], pad: int) -> torch.Tensor:
    long = max(map(len, rows))
    return torch.tensor([row + [pad] * (long - len(row)) for row in rows])


def _is_nested(images: Any) -> bool:
    """Return whether there is one list per prompt."""
    return isinstance(images, list | tuple) and any(isinstance(image, list | tuple) for image in images)


def _flat(images: Any) -> list[Image.Image]:
    """Open all images, in order."""
    if images is None:
        return []
    if not isinstance(images, list | tuple):
        return [open_picture(images)]
    return [found for image in images for found in _flat(image)]


def load_processor(folder: Path) -> VaryProcessor:
    """Load the processor of a model folder. Raises ConfigError with the file and the reason if one is damaged."""
    for path in folder.glob("*.json"):
        if path.name.startswith(("processor", "tokenizer", "special_tokens", "added_tokens")):
            read_config(folder, path.name)
    return AutoProcessor.from_pretrained(folder)


def open_picture(image: Any) -> Image.Image:
    """Open a path; return a Pillow image as it is. Raises ValueError for anything else: nothing is fetched."""
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        return Image.fromarray(image)
    if isinstance(image, str | Path) and not str(image).startswith(("http://", "https://", "data:")):
        return open_image(Path(image), colour=True)
    raise ConfigError(f"an image is a path or a Pillow image, got {str(image)[:60]!r}; nothing is downloaded")


AutoProcessor.register(VaryConfig, VaryProcessor)
