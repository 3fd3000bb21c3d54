"""Model configuration: what a model is made of. The sizes of named models stand in `presets.py`."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig

from .zoo import PRESETS, settings


class VaryConfig(PreTrainedConfig):
    """Vocabularies -> merge -> connector -> language model, with an optional reading head.

    vocabularies: one dict each, `name` and the sizes of that vocabulary's constructor. `preprocess` inside belongs
    to the weights (`image.prepare` says what it holds).
    merge: name of the merge. connector: `name` and its sizes; a list of such dicts, one per vocabulary, connects each
    branch before the merge instead of the merged tokens behind it (Vary's own order).
    text_config: configuration of any causal language model of transformers.
    reading: None, or `alphabet` (what the head spells), `frames` (per column), `styles` (of type that it tells apart),
    `feed` (whether its posteriors join the tokens) and `vocabulary` (which one it reads, from 0).
    formulas: None, or the sizes of `SymbolsDecoder`, with its `glyphs` and `structure`.
    template: how prompts are written, a name of `prompt.TEMPLATES`.
    image_token_id: id of `<imgpad>`, which stands where image tokens go.
    """

    model_type = "vary"
    sub_configs: ClassVar = {"text_config": AutoConfig}

    def __init__(
        self,
        vocabularies: list[dict[str, Any]] | None = None,
        merge: str = "channel",
        connector: dict[str, Any] | list[dict[str, Any]] | None = None,
        text_config: dict[str, Any] | PreTrainedConfig | None = None,
        reading: dict[str, Any] | None = None,
        formulas: dict[str, Any] | None = None,
        template: str = "plain",
        image_token_id: int = 5,
        **kwargs: Any,
    ):
        self.vocabularies = vocabularies or [{"name": "nano"}]
        self.merge = merge
        self.connector = connector or {"name": "shuffle"}
        if not isinstance(text_config, PreTrainedConfig):
            text_config = dict(text_config or {"model_type": "llama"})
            text_config = AutoConfig.for_model(text_config.pop("model_type"), **text_config)
        self.text_config = text_config
        self.reading = reading
        self.formulas = formulas
        self.template = template
        self.image_token_id = image_token_id
        kwargs.setdefault("tie_word_embeddings", self.text_config.tie_word_embeddings)
        super().__init__(**kwargs)


def preset(name: str) -> VaryConfig:
    """The configuration of a named model, or with `-test` behind the name of its miniature. Raises ValueError."""
    return VaryConfig(**settings(name))


__all__ = ["PRESETS", "VaryConfig", "preset"]
