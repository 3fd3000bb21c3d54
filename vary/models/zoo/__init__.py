"""Sizes of named models, as plain dicts: the only place that knows them. Importing it costs nothing.

Every model has a miniature for tests, `NAME-test`, in which all sizes differ from each other and images are small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...io.errors import ConfigError
from ...markup.math_tokens import GLYPHS, STRUCTURE, STYLES
from ...markup.prompts import LATIN, character_vocabulary

Settings = dict[str, Any]


def nano(small: bool, alphabet: str = LATIN) -> Settings:
    """`vary-nano`: grey pixels, a readable convolutional vocabulary and a four-layer character decoder."""
    ids = character_vocabulary(alphabet)
    vocabulary = {"stem": [6, 10], "width": 18, "depth": 1} if small else {"stem": [32, 64], "width": 144, "depth": 3}
    heads, layers = (2, 2) if small else (4, 4)
    text = {
        "hidden_size": 40 if small else 256, "intermediate_size": 56 if small else 768, "head_dim": 20 if small else 64,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": 1 if small else heads,
        "max_position_embeddings": 512 if small else 2048,
    }  # fmt: skip
    return {
        "vocabularies": [
            {
                "name": "nano", **vocabulary,
                "preprocess": {"mean": 0.5, "std": 0.5, "fit": "page", "multiple": 32, "em_px": 16},
            }
        ],
        "connector": {"name": "shuffle", "window": [4, 4], "squeeze": 12 if small else 96},
        "text_config": {
            "model_type": "llama", "vocab_size": len(ids), **text, "tie_word_embeddings": True,
            "pad_token_id": ids["<pad>"], "bos_token_id": ids["<s>"], "eos_token_id": ids["</s>"],
        },
        "reading": {"alphabet": alphabet, "frames": 3, "styles": ["mono"], "feed": True},
        "image_token_id": ids["<imgpad>"],
    }  # fmt: skip


def nano_formulas(small: bool) -> Settings:
    """The third edition of `vary-nano`, in training: with a decoder that writes formulas from their glyphs."""
    sizes = {"width": 32, "inner": 40, "heads": 2, "encoder": 1, "decoder": 2} if small else {
        "width": 256, "inner": 768, "heads": 4, "encoder": 2, "decoder": 3,
    }  # fmt: skip
    return nano(small) | {"formulas": {"glyphs": GLYPHS, "structure": list(STRUCTURE), "styles": len(STYLES), **sizes}}


# Means and deviations are those of the weights' own training (docs/models.md says which checkpoint has which).
_CLIP_NORM = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
_IMAGENET_NORM = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_HIGH = {
    "clip": _CLIP_NORM | {"fit": "squash", "resample": "bicubic"},
    "imagenet": _IMAGENET_NORM | {"fit": "squash", "resample": "opencv"},
}
_SAM = {
    "image_size": 1024, "patch": 16, "hidden": 768, "depth": 12, "heads": 12, "mlp": 3072, "window": 14,
    "global_blocks": [2, 5, 8, 11], "neck": 256, "convs": [512, 1024],
}  # fmt: skip
_SMALL_SAM = {
    "image_size": 128, "patch": 16, "hidden": 24, "depth": 3, "heads": 2, "mlp": 40, "window": 3, "global_blocks": [1],
    "neck": 12, "convs": [16, 20],
}  # fmt: skip
_CLIP = {"image_size": 224, "patch": 14, "hidden": 1024, "depth": 24, "heads": 16, "mlp": 4096}
_SMALL_CLIP = {"image_size": 28, "patch": 14, "hidden": 28, "depth": 3, "heads": 4, "mlp": 44}
_SMALL_TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}


def _sam(normalised: str, small: bool) -> Settings:
    """The paper's network, 1024 px to 256 x 1024 tokens (arXiv 2312.06109 section 3.2.1)."""
    sizes = _SMALL_SAM if small else _SAM
    return {"name": "sam", **sizes, "preprocess": _HIGH[normalised] | {"size": sizes["image_size"]}}


def _clip(small: bool) -> Settings:
    """CLIP ViT-L/14 at 224 px, layer -2: 256 x 1024 tokens."""
    sizes = _SMALL_CLIP if small else _CLIP
    preprocess = _CLIP_NORM | {"fit": "crop", "resample": "bicubic", "size": sizes["image_size"]}
    return {"name": "clip", **sizes, "layer": -2, "preprocess": preprocess}


def _qwen_ids(small: bool) -> Settings:
    """Ids of the Qwen-VL layout; a miniature's tokenizer has 256 bytes where the real one has 151,643 ranks."""
    base = 256 if small else 151643
    return {"pad_token_id": base, "eos_token_id": base + 2, "bos_token_id": None}


def _qwen(small: bool, theta: float, tied: bool, **sizes: int) -> Settings:
    """A Qwen as transformers' Qwen2 class computes it; no sharing of keys."""
    sizes = {**sizes, **_SMALL_TEXT, "intermediate_size": 64, "vocab_size": 600} if small else sizes
    return {
        "model_type": "qwen2", **sizes, "num_key_value_heads": sizes["num_attention_heads"], "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta}, "tie_word_embeddings": tied,
        **_qwen_ids(small),
    }  # fmt: skip


def tiny(small: bool, template: str = "opt-chat", normalised: str = "clip") -> Settings:
    """Vocabulary and OPT-125M, the model that makes a vocabulary (arXiv 2312.06109 section 3.2, 2401.12503 3.1).

    OPT's positions are stretched to 4096 and it has three more tokens; in Vary-tiny-600k it is as it was, with
    `<imgpad>` among the rows that no token uses.
    """
    sizes: Settings = {
        "vocab_size": 50268, "max_position_embeddings": 4096, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "ffn_dim": 3072, "word_embed_proj_dim": 768,
    }  # fmt: skip
    if template == "600k":
        sizes |= {"vocab_size": 50272, "max_position_embeddings": 2048}
    if small:
        sizes = {"vocab_size": 320, **_SMALL_TEXT, "ffn_dim": 48, "word_embed_proj_dim": 32}
    newline = 14 if small else 50118  # Vary-tiny-600k ends an answer with it
    text = {"model_type": "opt", **sizes, "pad_token_id": 1, "bos_token_id": 2,
            "eos_token_id": newline if template == "600k" else 2}  # fmt: skip
    return {
        "vocabularies": [_sam(normalised, small)], "connector": [{"name": "linear"}], "text_config": text,
        "template": template, "image_token_id": 260 if small else 50265,
    }  # fmt: skip


def _merged(small: bool, normalised: str, template: str, image: int, text: Settings) -> Settings:
    """CLIP and the vocabulary, each behind its own linear layer, channels beside each other: [CLIP, new]."""
    return {
        "vocabularies": [_clip(small), _sam(normalised, small)], "connector": [{"name": "linear"}, {"name": "linear"}],
        "text_config": text, "template": template, "image_token_id": image,
    }  # fmt: skip


def toy(small: bool) -> Settings:
    """`vary-toy`: Qwen-1.8B (arXiv 2401.12503)."""
    text = _qwen(small, 1e4, False, hidden_size=2048, num_hidden_layers=24, num_attention_heads=16,
                 intermediate_size=5504, max_position_embeddings=8192, vocab_size=151860)  # fmt: skip
    return _merged(small, "clip", "qwen-newline", 472 if small else 151859, text)


def base(small: bool) -> Settings:
    """`vary-base`: Qwen-7B (arXiv 2312.06109 section 3.3)."""
    text = _qwen(small, 1e4, False, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32,
                 intermediate_size=11008, max_position_embeddings=8192, vocab_size=151860)  # fmt: skip
    return _merged(small, "imagenet", "qwen", 472 if small else 151859, text)


def base_vicuna(small: bool) -> Settings:
    """`vary-base` with Vicuna-7B. Its token ids were never released: `<img> </img> <imgpad>` follow Llama's 32,000."""
    sizes = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 11008,
             "max_position_embeddings": 4096, "vocab_size": 32003}  # fmt: skip
    sizes |= _SMALL_TEXT | {"intermediate_size": 64, "vocab_size": 320} if small else {}
    text = {"model_type": "llama", **sizes, "rms_norm_eps": 1e-5, "pad_token_id": 0, "bos_token_id": 1,
            "eos_token_id": 2, "tie_word_embeddings": False}  # fmt: skip
    return _merged(small, "imagenet", "vicuna", 261 if small else 32002, text)


def got(small: bool) -> Settings:
    """`got`, the successor: the vocabulary alone and Qwen1.5-0.5B (arXiv 2409.01704)."""
    text = _qwen(small, 1e6, True, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
                 intermediate_size=2816, max_position_embeddings=32768, vocab_size=151860)  # fmt: skip
    return {
        "vocabularies": [_sam("clip", small)], "connector": [{"name": "linear"}], "text_config": text,
        "template": "qwen-newline", "image_token_id": 472 if small else 151859,
    }  # fmt: skip


PRESETS: dict[str, Callable[[bool], Settings]] = {
    "vary-nano": nano,
    "vary-nano-formulas": nano_formulas,
    "vary-tiny": tiny,
    "vary-tiny-paper": lambda small: tiny(small, "opt", "imagenet"),
    "vary-tiny-600k": lambda small: tiny(small, "600k"),
    "vary-toy": toy,
    "vary-base": base,
    "vary-base-vicuna": base_vicuna,
    "got": got,
}


def settings(name: str) -> Settings:
    """What `VaryConfig` takes for a named model or, with `-test` behind the name, its miniature. Raises ValueError."""
    full = name.removesuffix("-test")
    if full not in PRESETS:
        raise ConfigError(f"unknown model {name!r}; allowed: {', '.join(PRESETS)}")
    return PRESETS[full](name != full)
