"""Build every model out of its parts: vocabularies, merge, connector, language model and, optionally, a reading head.

Shapes: B batch, C channels, H W pixels, N vision tokens, D their width, M image tokens, T text tokens, E the language
model's width, P images of a batch, R rows and F frames of the reading head, A its classes.
Source: Vary, arXiv 2312.06109 sections 3.1 and 3.3. The reading head is ours (`heads/reading.py`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForImageTextToText, GenerationMixin, PreTrainedModel
from transformers.utils import logging as transformers_logging

from ..io.errors import ConfigError, InputError, VaryError
from .config import VaryConfig, decoder_alphabet
from .connect import Connector, build, run
from .fuse import FUSIONS, REGIONS, HookState, PromptImages, Routes, encode_images_of_prompts
from .fuse.images import ids_with_images, image_marks, prompt_positions
from .fuse.language import (
    CACHE,
    HEADED,
    Head,
    VaryOutput,
    build_language_model,
    count_tokens,
    embedding_name,
    first_pass_mask,
    hide_positions,
    is_first_pass,
    layers_of,
    prefix_of,
    shift_right,
)
from .fuse.regions import place_images
from .fuse.routes import routes_of
from .generate.symbols_decoder import SymbolsDecoder
from .heads import HEADS
from .heads.glyphs import GlyphHead
from .heads.grounding import predict
from .heads.reading import ReadingHead, vocabulary_index
from .heads.reading import build as build_reading_head
from .hub import read_config
from .images.arrange import ARRANGES
from .vocab import VisionFeatures, Vocabulary, build_vocabulary
from .vocab.merge import MERGES, build_connectors, connected_width


class VaryForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A causal language model that gets images through one or more vision vocabularies.

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
        modules = nn.ModuleList(build_vocabulary(**vocab) for vocab in config.vocabularies)
        self.vocabularies = cast("list[Vocabulary]", modules)  # an nn.ModuleList of vocabularies
        self.merge = MERGES[config.merge]
        widths = [vocabulary.width for vocabulary in self.vocabularies]
        self.reading_head: ReadingHead | None = None
        if config.reading:
            self.reading_head = build_reading_head(config.reading, self.reading_vocabulary)
            if config.reading.get("append_posteriors"):
                classes = len(decoder_alphabet(config.reading)) + 1
                widths[self.reading_vocabulary_index] += self.reading_head.frame_grid.frames * classes
        self.glyph_head: GlyphHead | None = None
        if config.glyph_head:
            read = self.reading_vocabulary
            self.glyph_head = GlyphHead(read.width, read.stride, **config.glyph_head)
        self.symbols_decoder = SymbolsDecoder(**config.formulas) if config.formulas else None
        self.connector = build_connectors(config.merge, config.connector, widths, config.text_config.hidden_size)
        text = config.text_config
        self.arrange = build(ARRANGES, config.arrange, text.hidden_size)
        self.language_model: Any = build_language_model(text)
        self.hooks = HookState()
        self.fusion = build(
            FUSIONS, config.fusion, connected_width(config.merge, config.connector, widths, text.hidden_size),
            text, layers_of(self.language_model), self.hooks,
        )  # fmt: skip
        if config.positions["name"] == "xpos":
            hide_positions(self.language_model)
        self.routes = Routes(self, routes_of(config), self.hooks)
        self.regions = _reading(REGIONS, config.regions, text, widths) if config.regions else None
        self.heads = nn.ModuleList(_reading(HEADS, head, text, widths) for head in config.heads)
        self.lm_head: Any = None
        if text.model_type in HEADED:  # its own names of tied tensors
            tied = self.language_model._tied_weights_keys.items()
            self._tied_weights_keys = {f"language_model.{name}": f"language_model.{other}" for name, other in tied}
        else:
            self.lm_head = Head(text.hidden_size, text.vocab_size, **config.head)
            self._tied_weights_keys = {"lm_head.weight": f"language_model.{embedding_name(self.language_model)}"}
        self.post_init()
        self.routes.start(self)

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: Any = checkpoint, **kwargs: Any
    ) -> None:
        """Let a layer that is computed again in the backward pass see what it saw in the forward pass."""
        if not getattr(gradient_checkpointing_func, "keywords", {}).get("use_reentrant"):
            gradient_checkpointing_func = partial(gradient_checkpointing_func, context_fn=self.hooks.contexts)
        super()._set_gradient_checkpointing(enable, gradient_checkpointing_func, **kwargs)

    @classmethod
    def from_pretrained(cls, source: Any, *args: Any, **kwargs: Any) -> Any:
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
        return self.language_model.get_output_embeddings() if self.lm_head is None else self.lm_head

    def get_encoder(self, modality: str | None = None) -> Any:
        """Return the encoder of an encoder-decoder language model."""
        return self.language_model.get_encoder() if self.config.is_encoder_decoder else super().get_encoder(modality)

    def read_rows(self, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tokens of the reading vocabulary, and logits and geometry of the reading head."""
        tokens = self.reading_vocabulary(pixels_BCHW)
        return (tokens, *self.head(tokens, self.reading_vocabulary.grid(*pixels_BCHW.shape[-2:])))

    def encode_images(self, pixel_values: Tensor | list[Tensor], sizes_P2: Tensor | None = None) -> VisionFeatures:
        """Encode pixels, (B, C, H, W) for each vocabulary, as tokens of each vocabulary on its grid.

        `sizes_P2` holds height and width of each view without padding, for vocabularies that take any size.

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
                sizes = (sizes_P2,) if vocabulary.native else ()
                tokens.append(vocabulary(pixels[k].to(self.dtype), *sizes))
                grids.append(vocabulary.grid(*pixels[k].shape[-2:]))
        used = None
        if sizes_P2 is not None and self.vocabularies[0].native:
            used = self.vocabularies[0].used(sizes_P2, *pixels[0].shape[-2:])
        if self.reading_head is None:
            return VisionFeatures(tokens, grids, used_BN=used)
        read = self.reading_vocabulary_index
        logits, geometry = self.reading_head(tokens[read], grids[read])
        tokens[read] = self.append_posteriors(tokens[read], logits)
        return VisionFeatures(tokens, grids, logits, geometry, used)

    def append_posteriors(self, tokens_BND: Tensor, logits_BRFA: Tensor) -> Tensor:
        """Concatenate the probabilities of the decoder's characters to the tokens, if the configuration asks for it."""
        if not self.config.reading.get("append_posteriors"):
            return tokens_BND
        soft = logits_BRFA.float().softmax(-1)[..., : len(decoder_alphabet(self.config.reading)) + 1]
        soft = soft.to(tokens_BND.dtype).reshape(*tokens_BND.shape[:2], -1)
        return torch.cat([tokens_BND, soft], -1)

    def merge_features(self, features: VisionFeatures, **inputs: Any) -> Tensor:
        """Merge and connect features, or connect each branch and merge: image tokens (B, M, E).

        `inputs` are further inputs of connectors: the keys of `Chain.takes`.
        """
        if isinstance(self.connector, nn.ModuleList):
            branches = zip(self.connector, features.tokens, features.grids, strict=True)
            return self.merge.join([run(cast(Connector, c), tokens, grid, inputs) for c, tokens, grid in branches])
        grid = self.merge.grid(features.grids)
        inputs |= {} if features.used_BN is None else {"used_BN": features.used_BN}
        return run(cast(Connector, self.connector), self.merge.join(features.tokens), grid, inputs)

    def get_image_features(
        self, pixel_values: Tensor | list[Tensor], sizes_P2: Tensor | None = None, **inputs: Any
    ) -> Tensor:
        """Encode pixels, (B, C, H, W) for each vocabulary, as image tokens (B, M, E) for the language model."""
        return self.merge_features(self.encode_images(pixel_values, sizes_P2), **inputs)

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
        image_shapes: Tensor | None = None,
        words: Tensor | None = None,
        words_mask: Tensor | None = None,
        image_states: Tensor | None = None,
        image_mask: Tensor | None = None,
        prefix_mask: Tensor | None = None,
        regions: Tensor | None = None,
        targets: list[Tensor] | None = None,
        **kwargs: Any,
    ) -> VaryOutput:
        """Return next-token logits, and the loss over `labels` that are not -100 if labels are given.

        The processor gives `image_shapes`, `words`, `words_mask` and `regions`; `generate` gives the cache and what is
        named after a state, a mask or a prefix. `targets` are what `heads` should predict, for their losses.

        Raises:
            ValueError: A prompt holds another number of `<imgpad>` tokens than its images give.
        """
        if (input_ids is None) == (inputs_embeds is None) and kwargs.get("encoder_outputs") is None:
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        images, ids = cast("PromptImages | None", None), ids_with_images(self, input_ids, labels)
        inputs_embeds = self.get_input_embeddings()(input_ids) if input_ids is not None else inputs_embeds
        if pixel_values is not None:
            if ids is None or inputs_embeds is None:
                raise ValueError("pixel_values need input_ids: the places of the image are marked in the ids")
            asked = prefix_of(ids, attention_mask, prefix_mask, labels) if self.config.reads_prompt else None
            images = encode_images_of_prompts(self, ids, pixel_values, image_shapes, words, words_mask, asked)
            inputs_embeds, labels = place_images(self, ids, inputs_embeds, labels, images, regions)
            image_states, image_mask = images.stacked() if self.fusion.places is not None else (None, None)
        first = self._prepare_hooks(input_ids, images, inputs_embeds, attention_mask, kwargs.get(CACHE))
        kwargs |= self.fusion.inputs(image_states, image_mask, None if input_ids is None else self.is_image(input_ids))
        if input_ids is not None and not self.config.is_encoder_decoder and first:
            position_ids = prompt_positions(self, input_ids, attention_mask, images, position_ids)
            attention_mask = self._mask(input_ids, attention_mask, prefix_mask, labels)
        kwargs |= {"inputs_embeds": inputs_embeds, "attention_mask": attention_mask, "use_cache": use_cache}
        out, logits = self._logits(logits_to_keep, position_ids, labels, kwargs)
        kept = {key: getattr(out, key, None) for key in ("hidden_states", "attentions", CACHE)}
        kept |= {"image_hidden_states": images.flat if images else None, "aux_loss": self.hooks.loss()}
        kept["predictions"], more = predict(self.heads, input_ids, out, images, targets)
        return VaryOutput(loss=self._loss(logits, labels, more, kwargs), logits=logits, **kept)

    def _prepare_hooks(
        self, ids: Tensor | None, images: PromptImages | None, embeds: Tensor | None, mask: Tensor | None, cache: Any
    ) -> bool:
        """Tell the hooks which tokens they get. Return whether this is the first pass over a prompt."""
        first = is_first_pass(cache)
        self.routes.prepare(self, image_marks(self, ids, images), first)
        if ids is not None and first:
            self.fusion.prepare(self.language_model, self.is_image(ids))
        if embeds is not None and self.config.positions["name"] == "xpos":
            self.hooks.numbers_BT = count_tokens(mask, embeds, cache)
        return first

    def _logits(
        self, keep: int | Tensor, position_ids: Tensor | None, labels: Tensor | None, inputs: dict[str, Any]
    ) -> tuple[Any, Tensor]:
        """Run the language model. Returns its output and the logits of the last tokens, or of chosen ones."""
        if labels is not None and self.config.is_encoder_decoder:
            inputs = {"decoder_input_ids": shift_right(labels, self.config.text_config)} | inputs
        if position_ids is not None:  # encoder-decoders have no such argument
            inputs = inputs | {"position_ids": position_ids}
        if self.lm_head is None:
            out = self.language_model(**inputs, logits_to_keep=keep)
            return out, out.logits
        out = self.language_model(**inputs)
        kept = slice(-keep, None) if isinstance(keep, int) else keep
        return out, self.lm_head(out.last_hidden_state[:, kept])

    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """Generate as transformers does. What depends on the whole prompt is computed once, before the first token."""
        ids = kwargs.get("input_ids") if inputs is None else inputs
        if ids is None or kwargs.get("inputs_embeds") is not None or not self.config.is_special:
            return super().generate(inputs, **kwargs)
        with torch.no_grad():
            found, pixels = {}, kwargs.get("pixel_values")
            prefix = prefix_of(ids, kwargs.get("attention_mask"), None, None)
            given = [*(kwargs.get(key) for key in ("image_shapes", "words", "words_mask")), prefix]
            images = None if pixels is None else encode_images_of_prompts(self, ids, pixels, *given)
            if self.config.is_encoder_decoder:
                found["inputs_embeds"] = self.get_input_embeddings()(ids)
                if images is not None:
                    found["inputs_embeds"] = place_images(self, ids, found["inputs_embeds"], None, images, None)[0]
                unused = ("input_ids", "pixel_values", "image_shapes", "words", "words_mask")
                return super().generate(**found, **{k: v for k, v in kwargs.items() if k not in unused})
            mask = kwargs.get("attention_mask")
            if not self.config.counts_itself:  # else transformers counts them by the mask
                found["position_ids"] = prompt_positions(self, ids, mask, images)
            if self.config.mask == "prefix" or self.config.reads_prompt:
                found["prefix_mask"] = prefix.long()
            if self.fusion.places is not None and images is not None:
                found["image_states"], found["image_mask"] = images.stacked()
                kwargs.pop("pixel_values")
            return super().generate(inputs, **{k: v for k, v in found.items() if v is not None}, **kwargs)

    def is_image(self, input_ids: Tensor) -> Tensor:
        """Return which ids mark the place of an image token."""
        return input_ids == self.config.image_token_id

    def _mask(self, ids: Tensor, mask: Tensor | None, prefix: Tensor | None, labels: Tensor | None) -> Tensor | None:
        return first_pass_mask(ids, mask, prefix, labels, self.dtype) if self.config.mask == "prefix" else mask

    def _loss(
        self, logits: Tensor, labels: Tensor | None, more: Tensor | float, kwargs: dict[str, Any]
    ) -> Tensor | None:
        if labels is None:
            return None
        if self.config.is_encoder_decoder:  # its inputs are shifted, not its labels
            return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten()) + more
        scale = {k: v for k, v in kwargs.items() if k == "num_items_in_batch"}
        loss = self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], **scale) + more
        return loss if self.hooks.loss() is None else loss + self.hooks.loss()


def _reading(known: dict[str, Any], sizes: dict[str, Any], text: Any, widths: list[int]) -> Any:
    """Build a part that reads tokens: those of a vocabulary, or image tokens, as wide as the language model."""
    vocabulary = known[sizes["name"]].vocabulary
    return build(known, sizes, text.hidden_size, text.hidden_size if vocabulary is None else widths[vocabulary])


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
