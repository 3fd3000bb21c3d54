"""Model configuration and presets: the only place that knows sizes. Importing it does not import torch."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig

from .prompt import LATIN, character_vocabulary


class VaryConfig(PreTrainedConfig):
    """Vocabularies -> merge -> connector -> language model, with an optional reading head.

    vocabularies: one dict each, `name` and the sizes of that vocabulary's constructor. `preprocess` inside belongs
    to the weights: `mean`, `std`, `multiple` (pixels that the sides are padded to).
    connector: `name` and its sizes. text_config: configuration of any causal language model of transformers.
    reading: None, or `alphabet` (what the head spells), `frames` (per column) and `feed` (whether its posteriors join
    the tokens).
    image_token_id: id of `<imgpad>`, which stands where image tokens go.
    """

    model_type = "vary"
    sub_configs: ClassVar = {"text_config": AutoConfig}

    def __init__(
        self,
        vocabularies: list[dict[str, Any]] | None = None,
        merge: str = "channel",
        connector: dict[str, Any] | None = None,
        text_config: dict[str, Any] | PreTrainedConfig | None = None,
        reading: dict[str, Any] | None = None,
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
        self.image_token_id = image_token_id
        kwargs.setdefault("tie_word_embeddings", True)
        super().__init__(**kwargs)


def nano_config(alphabet: str, **changes: Any) -> VaryConfig:
    """`vary-nano`: grey pixels, a readable convolutional vocabulary and a four-layer character decoder."""
    vocabulary = character_vocabulary(alphabet)
    sizes: dict[str, Any] = {
        "vocabularies": [
            {
                "name": "nano", "stem": [32, 64], "width": 144, "depth": 3,
                "preprocess": {"mean": 0.5, "std": 0.5, "multiple": 32, "em_px": 16},
            }
        ],
        "connector": {"name": "shuffle", "window": [4, 4], "squeeze": 96},
        "text_config": {
            "model_type": "llama", "vocab_size": len(vocabulary), "hidden_size": 256, "intermediate_size": 768,
            "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 64,
            "max_position_embeddings": 2048, "tie_word_embeddings": True,
            "pad_token_id": vocabulary["<pad>"], "bos_token_id": vocabulary["<s>"], "eos_token_id": vocabulary["</s>"],
        },
        "reading": {"alphabet": alphabet, "frames": 3, "feed": True},
        "image_token_id": vocabulary["<imgpad>"],
    }  # fmt: skip
    sizes.update(changes)
    return VaryConfig(**sizes)


def nano_test_config(alphabet: str) -> VaryConfig:
    """A miniature of `vary-nano` for tests: every size differs from every other."""
    config = nano_config(alphabet)
    text = config.text_config.to_dict() | {
        "hidden_size": 40, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 20, "max_position_embeddings": 512,
    }  # fmt: skip
    vocabulary = config.vocabularies[0] | {"stem": [6, 10], "width": 18, "depth": 1}
    connector = {"name": "shuffle", "window": [4, 4], "squeeze": 12}
    return nano_config(alphabet, vocabularies=[vocabulary], connector=connector, text_config=text)


PRESETS = {"vary-nano": lambda: nano_config(LATIN), "vary-nano-test": lambda: nano_test_config(LATIN)}


def preset(name: str) -> VaryConfig:
    """The configuration of a named model. Raises ValueError for an unknown name."""
    if name not in PRESETS:
        raise ValueError(f"unknown model {name!r}; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]()
