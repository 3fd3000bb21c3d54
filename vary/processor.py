"""Images and text -> the model's input, and ids -> text. Travels with the weights, as the preprocessing does."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import AutoProcessor, BatchFeature, PreTrainedTokenizerFast, ProcessorMixin

from .config import VaryConfig
from .connect import CONNECTORS
from .image import fit, grey, normalise
from .prompt import SPECIAL_TOKENS, character_vocabulary, image_span
from .vocab import VOCABULARIES


def character_tokenizer(alphabet: str) -> PreTrainedTokenizerFast:
    """One token per character; what the alphabet lacks becomes `<pad>`, which the decoder never writes."""
    inner = Tokenizer(WordLevel(character_vocabulary(alphabet), unk_token="<pad>"))
    inner.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = Fuse()
    inner.add_special_tokens(list(SPECIAL_TOKENS))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        extra_special_tokens=["<img>", "</img>", "<imgpad>"], clean_up_tokenization_spaces=False,
    )  # fmt: skip


class VaryProcessor(ProcessorMixin):
    """Puts `<img>` ... `</img>` with as many `<imgpad>` as an image has tokens in place of each `<image>`.

    vocabulary: configuration of the first vocabulary with its `preprocess`. connector: configuration of the connector.
    """

    attributes: ClassVar = ["tokenizer"]
    tokenizer_class = "AutoTokenizer"
    image_token = "<image>"

    def __init__(
        self, tokenizer: Any = None, vocabulary: dict | None = None, connector: dict | None = None, **kwargs: Any
    ):
        self.vocabulary = vocabulary or {"name": "nano", "preprocess": {"mean": 0.5, "std": 0.5, "multiple": 32}}
        self.connector = connector or {"name": "shuffle"}
        super().__init__(tokenizer, **kwargs)

    def __call__(
        self, images: Image.Image | list[Image.Image] | None = None, text: str | list[str] | None = None, **_: Any
    ) -> BatchFeature:
        """`input_ids`, `attention_mask` (padded on the left) and `pixel_values` (B, 1, H, W) for a batch.

        Images of a batch are padded with white to the largest. Raises ValueError when the number of `<image>` in the
        texts is not the number of images.
        """
        images = [] if images is None else images if isinstance(images, list) else [images]
        texts = [text] if isinstance(text, str) else text or [self.image_token] * len(images)
        marks = sum(t.count(self.image_token) for t in texts)
        if marks != len(images):
            raise ValueError(f"the texts hold {marks} {self.image_token}, and {len(images)} images were given")
        pixels = self._pixels(images) if images else None
        span = image_span(self.num_image_tokens(*pixels.shape[-2:])) if pixels is not None else ""
        texts = [t.replace(self.image_token, span) for t in texts]
        data = self.tokenizer(texts, padding=True, padding_side="left", return_tensors="pt", add_special_tokens=False)
        data = {"input_ids": data["input_ids"], "attention_mask": data["attention_mask"]}
        return BatchFeature(data | ({"pixel_values": pixels} if pixels is not None else {}))

    def num_image_tokens(self, height: int, width: int) -> int:
        """Image tokens of one image of this size in pixels, padded to the vocabulary's multiple."""
        stride = VOCABULARIES[self.vocabulary["name"]].stride
        sizes = {k: v for k, v in self.connector.items() if k != "name"}
        return CONNECTORS[self.connector["name"]].tokens((height // stride[0], width // stride[1]), **sizes)

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """Ids -> texts, by the tokenizer."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def _pixels(self, images: list[Image.Image]) -> torch.Tensor:
        prep = self.vocabulary["preprocess"]
        arrays = [fit(grey(image), 1.0, prep["multiple"]).pixels for image in images]
        high, wide = max(a.shape[0] for a in arrays), max(a.shape[1] for a in arrays)
        padded = [np.pad(a, ((0, high - a.shape[0]), (0, wide - a.shape[1])), constant_values=255) for a in arrays]
        pixels = torch.from_numpy(np.stack(padded))[:, None].float()
        return normalise(pixels, prep)


AutoProcessor.register(VaryConfig, VaryProcessor)
