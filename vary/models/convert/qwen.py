"""Read Vary-toy, Vary-base and Qwen-1 as transformers' Qwen2 class, which computes the same.

Qwen-1's fused `c_attn` is q, k and v with biases; its MLP is c_proj(w1(x) * silu(w2(x))), so w2 is the gate and w1 the
up projection; base 10000, rotate-half, RMSNorm 1e-6. Beyond 8192 positions the original scales by log n and stretches
the rotary base, in evaluation only; Qwen2 does neither, so 8192 is the limit of what is equal.
Source: arXiv 2312.06109 section 3.3; Qwen-1's released configuration.
"""

from __future__ import annotations

from typing import Any

from .key_tables import Table
from .towers import sam, tower

# Rotary tables and masks that older dumps hold; both are computed.
DROPPED = ("{*}.position_ids", "{*}.rotary_emb.inv_freq", "{*}.attn.masked_bias", "{*}.attn.bias")


def qwen(theirs: str, head: str) -> Table:
    """Return the table of Qwen-1 under its prefix (`transformer.`)."""
    layer, ours = f"{theirs}h.{{i}}.", "language_model.layers.{i}."
    table: Table = [
        (f"{theirs}wte.weight", "language_model.embed_tokens.weight"),
        (f"{theirs}ln_f.weight", "language_model.norm.weight"),
        (f"{layer}ln_1.weight", f"{ours}input_layernorm.weight"),
        (f"{layer}ln_2.weight", f"{ours}post_attention_layernorm.weight"),
        (f"{layer}attn.c_proj.weight", f"{ours}self_attn.o_proj.weight"),
        (f"{layer}mlp.w1.weight", f"{ours}mlp.up_proj.weight"),
        (f"{layer}mlp.w2.weight", f"{ours}mlp.gate_proj.weight"),
        (f"{layer}mlp.c_proj.weight", f"{ours}mlp.down_proj.weight"),
        (head, "lm_head.weight"),
    ]
    for kind in ("weight", "bias"):
        table.append((f"{layer}attn.c_attn.{kind}", tuple(f"{ours}self_attn.{part}_proj.{kind}" for part in "qkv")))
    return table


STOCK: Table = qwen("transformer.", "lm_head.weight")

VARY: Table = [
    *tower("transformer.vision_tower.vision_model.", "vocabularies.0."),
    *sam("transformer.vision_tower_high.", "vocabularies.1."),
    ("transformer.mm_projector.{*}", "connector.0.linear.{*}"),
    ("transformer.mm_projector_vary.{*}", "connector.1.linear.{*}"),
    *STOCK,
]


def official_config(config: Any) -> dict[str, Any]:
    """`config.json` as the authors' code reads it (model type `mmgpt`)."""
    text = config.text_config
    return {
        "architectures": ["MMGPTQwenForCausalLM"], "model_type": "mmgpt", "hidden_size": text.hidden_size,
        "num_hidden_layers": text.num_hidden_layers, "num_attention_heads": text.num_attention_heads,
        "intermediate_size": 2 * text.intermediate_size, "kv_channels": text.hidden_size // text.num_attention_heads,
        "layer_norm_epsilon": text.rms_norm_eps, "max_position_embeddings": 8192, "seq_length": 8192,
        "rotary_emb_base": 10000, "rotary_pct": 1.0, "use_dynamic_ntk": True, "use_logn_attn": True, "no_bias": True,
        "scale_attn_weights": True, "tie_word_embeddings": False, "vocab_size": text.vocab_size,
        "tokenizer_class": "QWenTokenizer", "im_patch_token": config.image_token_id,
        "im_start_token": config.image_token_id - 2, "im_end_token": config.image_token_id - 1,
        "image_token_len": 256, "use_im_start_end": True, "vision_select_layer": -2, "freeze_vision_tower": False,
        "use_flash_attn": "auto", "torch_dtype": str(config.dtype or "float32").removeprefix("torch."),
    }  # fmt: skip
