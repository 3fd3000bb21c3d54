"""GOT-OCR 2.0: the authors' layout (`stepfun-ai/GOT-OCR2_0`) and transformers' (`stepfun-ai/GOT-OCR-2.0-hf`)."""

from __future__ import annotations

from typing import Any

from .key_tables import Table
from .towers import sam, transformers_sam

ORIGINAL: Table = [
    *sam("model.vision_tower_high.", "vocabularies.0."),
    ("model.mm_projector_vary.{*}", "connector.0.linear.{*}"),
    ("model.embed_tokens.weight", "language_model.embed_tokens.weight"),
    ("model.layers.{*}", "language_model.layers.{*}"),
    ("model.norm.weight", "language_model.norm.weight"),
    ("lm_head.weight", "lm_head.weight"),
]


def transformers(prefix: str, language: str, head: str) -> Table:
    """Transformers' names below a prefix, those of the language model below another."""
    return [
        *transformers_sam(f"{prefix}vision_tower.", f"{prefix}multi_modal_projector.", "vocabularies.0."),
        (f"{prefix}multi_modal_projector.multimodal_projector.{{*}}", "connector.0.linear.{*}"),
        (f"{language}{{*}}", "language_model.{*}"),
        (f"{head}.weight", "lm_head.weight"),
    ]


# Files hold the names of the first class that transformers had, and those are written; newer classes hold the others.
TRANSFORMERS: Table = [
    *transformers("", "language_model.model.", "language_model.lm_head"),
    *transformers("model.", "model.language_model.", "lm_head"),
]


def official_config(config: Any) -> dict[str, Any]:
    """`config.json` as the authors' code reads it (model type `GOT`)."""
    text = config.text_config
    return text.to_dict() | {
        "architectures": ["GOTQwenForCausalLM"], "model_type": "GOT", "rope_theta": text.rope_parameters["rope_theta"],
        "im_patch_token": config.image_token_id, "im_start_token": config.image_token_id - 2,
        "im_end_token": config.image_token_id - 1, "image_token_len": 256, "use_im_start_end": True,
    }  # fmt: skip


def transformers_config(config: Any) -> dict[str, Any]:
    """`config.json` as transformers' `got_ocr2` reads it."""
    sam, text = config.vocabularies[0], config.text_config.to_dict()
    names = {
        "hidden_size": "hidden", "num_hidden_layers": "depth", "num_attention_heads": "heads", "mlp_dim": "mlp",
        "window_size": "window", "global_attn_indexes": "global_blocks", "image_size": "image_size",
        "output_channels": "neck",
    }  # fmt: skip
    vision = {theirs: sam[ours] for theirs, ours in names.items() if ours in sam}
    return {
        "architectures": ["GotOcr2ForConditionalGeneration"], "model_type": "got_ocr2", "text_config": text,
        "vision_config": vision | {"model_type": "got_ocr2_vision"}, "image_token_index": config.image_token_id,
        "image_seq_length": 256, "tie_word_embeddings": True,
    }  # fmt: skip
