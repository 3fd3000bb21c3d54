"""vocabularies -> merge -> connector -> language model: every model of the family, `vary-nano` included.

Shapes: B batch, C channels, H W pixels, N vision tokens, D their width, M image tokens, T text tokens, E the language
model's width, R rows and F frames of the reading head, A its classes.
Source: Vary, arXiv 2312.06109 sections 3.1 and 3.3; the reading head is ours (`reading.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import ModelOutput
from transformers.utils import logging as transformers_logging

from .config import VaryConfig
from .connect import CONNECTORS
from .merge import MERGES
from .reading import ReadingHead
from .vocab import Vocabulary, build_vocabulary


@dataclass
class VaryOutput(ModelOutput):
    """loss (scalar), logits (B, T, V), the cache, and the image embeddings (B, M, E) when an image was given."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: Any = None
    attentions: Any = None
    image_hidden_states: Tensor | None = None


@dataclass
class Sight:
    """What the eyes return: merged tokens (B, N, D) on a grid of (rows, columns); the head's logits (B, R, F, A) and
    measures (B, R, F, 2) when there is one.
    """

    tokens: Tensor
    grid: tuple[int, int]
    logits: Tensor | None = None
    measures: Tensor | None = None


class VaryForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A language model with several pairs of eyes. `pixel_values` (B, C, H, W), or one such tensor per vocabulary."""

    config_class = VaryConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _tied_weights_keys = {  # noqa: RUF012
        "lm_head.weight": "language_model.embed_tokens.weight"
    }

    def __init__(self, config: VaryConfig):
        super().__init__(config)
        sizes = [{k: v for k, v in vocab.items() if k != "preprocess"} for vocab in config.vocabularies]
        self.vocabularies = nn.ModuleList(build_vocabulary(**size) for size in sizes)
        self.merge = MERGES[config.merge]
        width = sum(vocabulary.width for vocabulary in self.eyes)
        self.reading_head: ReadingHead | None = None
        if config.reading:
            self.reading_head = ReadingHead(
                self.eye.width, config.reading["alphabet"], self.eye.stride, config.reading["frames"]
            )
            if config.reading.get("feed"):
                width += config.reading["frames"] * self.reading_head.classes
        connector = dict(config.connector)
        self.connector = CONNECTORS[connector.pop("name")](width, config.text_config.hidden_size, **connector)
        self.language_model = AutoModel.from_config(config.text_config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    @property
    def eyes(self) -> list[Vocabulary]:
        """The vocabularies, in the order in which they are merged."""
        return cast("list[Vocabulary]", list(self.vocabularies))

    @property
    def eye(self) -> Vocabulary:
        """The first vocabulary: the one that the reading head reads."""
        return self.eyes[0]

    @property
    def head(self) -> ReadingHead:
        """The reading head. Raises ValueError for a model without one."""
        if self.reading_head is None:
            raise ValueError("this model has no reading head")
        return self.reading_head

    def get_input_embeddings(self) -> nn.Module:
        """The language model's embedding table."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's embedding table."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The projection to the vocabulary of words."""
        return self.lm_head

    def read_rows(self, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens of the first vocabulary and what the reading head says of them: the path without a decoder."""
        tokens = self.eye(pixels_BCHW)
        return (tokens, *self.head(tokens, self.eye.grid(*pixels_BCHW.shape[-2:])))

    def look(self, pixel_values: Tensor | list[Tensor]) -> Sight:
        """Pixels -> merged tokens on their grid, before the connector."""
        pixels = pixel_values if isinstance(pixel_values, list) else [pixel_values] * len(self.eyes)
        height, width = pixels[0].shape[-2:]
        grid = self.eye.grid(height, width)
        tokens = [eye(p) for eye, p in zip(self.eyes, pixels, strict=True)]
        merged = self.merge(tokens)
        if self.reading_head is None:
            return Sight(merged, grid)
        logits, measures = self.reading_head(tokens[0], grid)
        return Sight(self.feed(merged, logits), grid, logits, measures)

    def feed(self, tokens_BND: Tensor, logits_BRFA: Tensor) -> Tensor:
        """Soft characters: what the head reads joins what the network sees, where the configuration says so."""
        if not self.config.reading.get("feed"):
            return tokens_BND
        soft = logits_BRFA.float().softmax(-1).to(tokens_BND.dtype).reshape(*tokens_BND.shape[:2], -1)
        return torch.cat([tokens_BND, soft], -1)

    def see(self, pixel_values: Tensor | list[Tensor]) -> Tensor:
        """Pixels -> image tokens (B, M, E) in the language model's width."""
        sight = self.look(pixel_values)
        return self.connector(sight.tokens, sight.grid)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | list[Tensor] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> VaryOutput:
        """Next-token logits, and the loss over `labels` that are not -100 when labels are given.

        Raises ValueError when the prompt holds another number of `<imgpad>` tokens than the image gives.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        image_tokens = None
        if pixel_values is not None:
            image_tokens = self.see(pixel_values).to(inputs_embeds.dtype)
            inputs_embeds = self._place(input_ids, inputs_embeds, image_tokens)
        out = self.language_model(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, position_ids=position_ids,
            past_key_values=past_key_values, use_cache=use_cache, **kwargs,
        )  # fmt: skip
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(out.last_hidden_state[:, keep])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], **kwargs)
        return VaryOutput(loss, logits, out.past_key_values, out.hidden_states, out.attentions, image_tokens)

    def _place(self, input_ids: Tensor | None, embeds_BTE: Tensor, image_BME: Tensor) -> Tensor:
        """Put image tokens where the prompt holds `<imgpad>`."""
        if input_ids is None:
            raise ValueError("pixel_values need input_ids: the places of the image are marked in the ids")
        mask = input_ids == self.config.image_token_id
        places, tokens = int(mask.sum()), image_BME.shape[0] * image_BME.shape[1]
        if places != tokens:
            raise ValueError(f"the prompt holds {places} <imgpad> tokens, the image gives {tokens}")
        return embeds_BTE.masked_scatter(mask[..., None], image_BME)


def load_model(folder: Path) -> VaryForConditionalGeneration:
    """A model from a folder, in float32 and ready to run; quiet."""
    hidden = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        return VaryForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    finally:
        if hidden:
            transformers_logging.enable_progress_bar()


AutoConfig.register("vary", VaryConfig)
AutoModelForImageTextToText.register(VaryConfig, VaryForConditionalGeneration)
