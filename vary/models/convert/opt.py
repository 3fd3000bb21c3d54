"""Read and write Vary-tiny (the released one and Vary-tiny-600k), and read OPT."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .key_tables import Table
from .towers import sam

OFFSET = 2  # OPT's position table begins with two rows that no token uses


def language(theirs: str) -> Table:
    """Return the table of OPT under its prefix (`model.`)."""
    return [(f"{theirs}decoder.{{*}}", "language_model.decoder.{*}"), ("lm_head.weight", "lm_head.weight")]


VARY: Table = [
    *sam("model.vision_tower_2.", "vocabularies.0."),
    *sam("model.vision_tower.", "vocabularies.0."),  # the older name, which OneChart has too
    ("model.mm_projector.{*}", "connector.0.linear.{*}"),
    *language("model."),
]

LAVIS: Table = [
    *sam("visual_encoder.", "vocabularies.0."),
    ("opt_proj.{*}", "connector.0.linear.{*}"),
    ("opt_model.model.decoder.{*}", "language_model.decoder.{*}"),
    ("opt_model.lm_head.weight", "lm_head.weight"),
]


def stretch_positions(table_PD: Tensor, positions: int) -> Tensor:
    """Interpolate OPT's position table (2 + P, D) to another number of positions; the two unused rows stay.

    Linear interpolation in which the first and the last position keep their rows. The paper says "interpolated" (4096
    positions, arXiv 2312.06109 section 3.2.3) and not how.
    """
    if len(table_PD) == positions + OFFSET:
        return table_PD
    rows = table_PD[OFFSET:].float().T[None]
    longer = F.interpolate(rows, positions, mode="linear", align_corners=True)[0].T
    return torch.cat([table_PD[:OFFSET], longer.to(table_PD.dtype)])


def official_config(config: Any) -> dict[str, Any]:
    """`config.json` as the authors' code reads it."""
    text = config.text_config
    return text.to_dict() | {
        "architectures": ["varyOPTForCausalLM"], "model_type": "vary", "im_patch_token": config.image_token_id,
        "im_start_token": config.image_token_id + 1, "im_end_token": config.image_token_id + 2,
        "image_token_len": 256, "use_im_start_end": True,
    }  # fmt: skip
