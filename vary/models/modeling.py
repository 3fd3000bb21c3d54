"""Build every model out of its parts: vocabularies, merge, connector, language model and, optionally, a reading head.

Shapes: B batch, C channels, H W pixels, N vision tokens, D their width, M image tokens, T text tokens, E the language
model's width, P images of a batch, R rows and F frames of the reading head, A its classes.
Source: Vary, arXiv 2312.06109 sections 3.1 and 3.3. The reading head is ours (`heads/reading.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForImageTextToText, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import logging as transformers_logging

from ..io.errors import ConfigError, InputError, VaryError
from .config import VaryConfig
from .connect import CONNECTORS, Connector
from .fuse import place_image_tokens, repeat_rows, used_images
from .generate.symbols_decoder import SymbolsDecoder
from .heads.glyphs import GlyphHead
from .heads.reading import ReadingHead, vocabulary_index
from .heads.reading import build as build_reading_head
from .hub import read_config
from .vocab import Vocabulary, build_vocabulary
from .vocab.merge import MERGES, token_grid


@dataclass
class VaryOutput(CausalLMOutputWithPast):
    """Hold loss (scalar), logits (B, T, V), the cache, and image tokens (P, M, E) if images were given."""

    image_hidden_states: Tensor | None = None


# transformers renames the cache: `past_key_values` before 5.24, `cache` since
CACHE = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"


@dataclass
class VisionFeatures:
    """Hold the tokens (B, N, D) of each vocabulary and its grid (rows, columns).

    With a reading head also its logits (B, R, F, A) and geometry (B, R, F, M).
    """

    tokens: list[Tensor]
    grids: list[tuple[int, int]]
    logits: Tensor | None = None
    geometry: Tensor | None = None


class VaryForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A causal language model that sees images through one or more vision vocabularies.

    `pixel_values` is a tensor, or a list with one tensor per vocabulary that takes pixels. A tensor is (B, C, H, W)
    with one image per row of `input_ids`, or (B, I, C, H, W) with up to I images per row. A row uses as many images as
    its `<imgpad>` tokens ask for.
    """

    config_class = VaryConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: VaryConfig):
        config.check()  # it may have been changed after it was made
        super().__init__(config)
        modules = nn.ModuleList(build_vocabulary(**sizes_of(vocab)) for vocab in config.vocabularies)
        self.vocabularies = cast("list[Vocabulary]", modules)  # an nn.ModuleList of vocabularies
        self.merge = MERGES[config.merge]
        widths = [vocabulary.width for vocabulary in self.vocabularies]
        self.reading_head: ReadingHead | None = None
        if config.reading:
            self.reading_head = build_reading_head(config.reading, self.reading_vocabulary)
            if config.reading.get("append_posteriors"):
                widths[self.reading_vocabulary_index] += self.reading_head.frame_grid.frames * self.reading_head.classes
        self.glyph_head: GlyphHead | None = None
        if config.glyph_head:
            read = self.reading_vocabulary
            self.glyph_head = GlyphHead(read.width, read.stride, **config.glyph_head)
        self.symbols_decoder = SymbolsDecoder(**config.formulas) if config.formulas else None
        self.connector = _connectors(config, widths)
        self.language_model = AutoModel.from_config(config.text_config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self._tied_weights_keys = {"lm_head.weight": f"language_model.{_embedding_name(self.language_model)}"}
        self.post_init()

    @classmethod
    def from_pretrained(cls, source: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Load a model as transformers does. Folders that an older version wrote are renamed on the way."""
        folder = Path(source) if isinstance(source, str | Path) else None
        if folder and (folder / "config.json").is_file() and "state_dict" not in kwargs:
            from .convert.older import is_older, read_model

            if is_older(folder):
                kwargs = {"config": VaryConfig.from_pretrained(folder), **kwargs, "state_dict": read_model(folder)}
                return super().from_pretrained(None, *args, **kwargs)
        return super().from_pretrained(source, *args, **kwargs)

    @property
    def reading_vocabulary_index(self) -> int:
        """Which vocabulary the reading head reads, from 0."""
        return vocabulary_index(self.config.reading)

    @property
    def reading_vocabulary(self) -> Vocabulary:
        """The vocabulary that the reading head reads."""
        return self.vocabularies[self.reading_vocabulary_index]

    @property
    def head(self) -> ReadingHead:
        """The reading head. Raises ValueError for a model without one."""
        if self.reading_head is None:
            raise ConfigError("this model has no reading head")
        return self.reading_head

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns of cells that become one image token, for a model with one connector."""
        return cast(Connector, self.connector).window

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding table of the language model."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding table of the language model."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the projection to logits."""
        return self.lm_head

    def read_rows(self, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tokens of the reading vocabulary, and logits and geometry of the reading head."""
        tokens = self.reading_vocabulary(pixels_BCHW)
        return (tokens, *self.head(tokens, self.reading_vocabulary.grid(*pixels_BCHW.shape[-2:])))

    def encode_images(self, pixel_values: Tensor | list[Tensor]) -> VisionFeatures:
        """Encode pixels, (B, C, H, W) for each vocabulary, as tokens of each vocabulary on its grid.

        Raises:
            ValueError: The number of tensors is not that of the vocabularies that take pixels.
        """
        pixels = pixel_values if isinstance(pixel_values, list) else [pixel_values]
        wanted = 1 if self.merge.chained else len(self.vocabularies)
        if len(pixels) != wanted:
            raise ValueError(f"this model takes pixels for {wanted} vocabularies, got {len(pixels)}")
        tokens: list[Tensor] = []
        grids: list[tuple[int, int]] = []
        for k, vocabulary in enumerate(self.vocabularies):
            if k and self.merge.chained:
                tokens.append(vocabulary.from_tokens(tokens[-1], grids[-1]))
                grids.append(grids[-1])
            else:
                tokens.append(vocabulary(pixels[k].to(self.dtype)))
                grids.append(vocabulary.grid(*pixels[k].shape[-2:]))
        if self.reading_head is None:
            return VisionFeatures(tokens, grids)
        read = self.reading_vocabulary_index
        logits, geometry = self.reading_head(tokens[read], grids[read])
        tokens[read] = self.append_posteriors(tokens[read], logits)
        return VisionFeatures(tokens, grids, logits, geometry)

    def append_posteriors(self, tokens_BND: Tensor, logits_BRFA: Tensor) -> Tensor:
        """Concatenate the head's character probabilities to the tokens, if the configuration asks for it."""
        if not self.config.reading.get("append_posteriors"):
            return tokens_BND
        soft = logits_BRFA.float().softmax(-1).to(tokens_BND.dtype).reshape(*tokens_BND.shape[:2], -1)
        return torch.cat([tokens_BND, soft], -1)

    def merge_features(self, features: VisionFeatures) -> Tensor:
        """Merge and connect features, or connect each branch and merge: image tokens (B, M, E)."""
        if isinstance(self.connector, nn.ModuleList):
            branches = zip(self.connector, features.tokens, features.grids, strict=True)
            return self.merge.join([connector(tokens, grid) for connector, tokens, grid in branches])
        return self.connector(self.merge.join(features.tokens), self.merge.grid(features.grids))

    def get_image_features(self, pixel_values: Tensor | list[Tensor]) -> Tensor:
        """Encode pixels, (B, C, H, W) for each vocabulary, as image tokens (B, M, E) for the language model."""
        return self.merge_features(self.encode_images(pixel_values))

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | list[Tensor] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> VaryOutput:
        """Return next-token logits, and the loss over `labels` that are not -100 if labels are given.

        The cache of earlier tokens comes and goes in `kwargs`, under the name that this transformers has for it.

        Raises:
            ValueError: A prompt holds another number of `<imgpad>` tokens than its images give.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        image_tokens = None
        if pixel_values is not None:
            if input_ids is None:
                raise ValueError("pixel_values need input_ids: the places of the image are marked in the ids")
            inputs_embeds, image_tokens = self._place(input_ids, inputs_embeds, pixel_values)
        out = self.language_model(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, position_ids=position_ids,
            use_cache=use_cache, **kwargs,
        )  # fmt: skip
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(out.last_hidden_state[:, keep])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], **kwargs)
        return VaryOutput(
            loss=loss,
            logits=logits,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
            image_hidden_states=image_tokens,
            **{CACHE: getattr(out, CACHE, None)},
        )

    def _place(
        self, input_ids: Tensor, embeds_BTE: Tensor, pixel_values: Tensor | list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Put image tokens where prompts hold `<imgpad>`. Returns the embeddings and the image tokens (P, M, E)."""
        stacks = pixel_values if isinstance(pixel_values, list) else [pixel_values]
        stacks = [stack if stack.ndim == 5 else stack[:, None] for stack in stacks]
        rows, images = stacks[0].shape[:2]
        mask = input_ids == self.config.image_token_id
        sizes = [(int(stack.shape[-2]), int(stack.shape[-1])) for stack in stacks]
        grid = token_grid(self.config.vocabularies, self.config.merge, self.config.connector, sizes)
        counts, beams = used_images(mask, rows, images, grid[0] * grid[1], isinstance(pixel_values, list))
        used = torch.arange(images, device=mask.device) < torch.tensor(counts, device=mask.device)[:, None]
        tokens_PME = self.get_image_features([stack[used] for stack in stacks]).to(embeds_BTE.dtype)
        source = tokens_PME if beams == 1 else repeat_rows(tokens_PME, counts, beams)
        return place_image_tokens(mask, embeds_BTE, source), tokens_PME


def sizes_of(vocabulary: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a vocabulary's configuration that its constructor takes."""
    return {key: value for key, value in vocabulary.items() if key != "preprocess"}


def _connectors(config: VaryConfig, widths: list[int]) -> nn.Module:
    """Build one connector after the merge, or one per branch before it."""
    merge, width = MERGES[config.merge], config.text_config.hidden_size
    if not isinstance(config.connector, list):
        return _connector(config.connector, merge.width(widths), width)
    if len(config.connector) != len(widths):
        raise ConfigError(f"{len(config.connector)} connectors for {len(widths)} vocabularies")
    share = merge.share(width, len(widths))
    return nn.ModuleList(_connector(sizes, own, share) for sizes, own in zip(config.connector, widths, strict=True))


def _connector(sizes: dict[str, Any], width: int, out_width: int) -> nn.Module:
    sizes = dict(sizes)
    name = sizes.pop("name")
    if name not in CONNECTORS:
        raise ConfigError(f"unknown connector {name!r}; allowed: {', '.join(CONNECTORS)}")
    return CONNECTORS[name](width, out_width, **sizes)


def _embedding_name(language_model: nn.Module) -> str:
    """Return the name of the embedding table in a language model, such as `embed_tokens.weight`."""
    table = cast(PreTrainedModel, language_model).get_input_embeddings().weight
    return next(name for name, parameter in language_model.named_parameters() if parameter is table)


def load_model(folder: Path, dtype: str | torch.dtype = torch.float32) -> VaryForConditionalGeneration:
    """Load a model from a folder, in evaluation mode, without progress bars.

    Args:
        folder: Holds `config.json` and safetensors files, which older versions may have written.
        dtype: Type of the weights; `"auto"` is that of the files.

    Raises:
        ConfigError: `config.json` is damaged or wrong.
        InputError: The files lack a tensor, or hold an unknown one or one of another shape.
    """
    read_config(folder)
    try:
        VaryConfig.from_pretrained(folder)
    except VaryError as error:
        raise ConfigError(f"{folder / 'config.json'}: {error}") from None
    hidden = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        loaded: Any = VaryForConditionalGeneration.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except SafetensorError as error:
        raise InputError(f"{folder}: no safetensors, or damaged: {error}") from None
    finally:
        if hidden:
            transformers_logging.enable_progress_bar()
    model, report = loaded
    for what in ("missing", "unexpected", "mismatched"):
        if names := sorted(map(str, report[f"{what}_keys"])):
            raise InputError(f"{folder}: {len(names)} tensors are {what}, the first is {names[0]}")
    return model.eval()


AutoModelForImageTextToText.register(VaryConfig, VaryForConditionalGeneration)
