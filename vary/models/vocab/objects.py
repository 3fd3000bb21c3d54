"""Encode an image as the objects that a segmenter finds, and as cells that know their objects (OMG-LLaVA).

Source: OMG-LLaVA, arXiv 2406.19389 section 3.2 (lxtGH/OMG-Seg, omg_llava/omg_llava/model/omg_seg/
omg_seg_visual_encoder.py, 1ae2e7d). The segmenter is transformers' Mask2Former, which OMG-Seg is built like.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..connect.plain import fold as fold_cells
from .base import Vocabulary
from .towers import tower_config

STRIDE = 32  # pixels per cell of the last map of the segmenter's tower


class ObjectVocabulary(Vocabulary):
    """Encode pixels (B, C, H, W) as tokens (B, Q + N, D): first the objects, then the cells.

    A cell holds its features and the mean of the objects, weighted by how much each covers it (the perception prior).
    An object, which is its state and its query, has zeros in place of the features.

    Args:
        config: Configuration of transformers' `Mask2FormerModel`.
        fold: Cells per side of the last map that become one.
    """

    def __init__(self, config: dict[str, Any], fold: int = 2):
        super().__init__(config=config, fold=fold)
        from transformers import Mask2FormerModel

        own = tower_config(config)
        self.segmenter = Mask2FormerModel(own)
        self.kinds = nn.Linear(own.hidden_dim, own.num_labels + 1)
        self.fold = fold
        self.width = own.backbone_config.hidden_sizes[-1] * fold**2 + 2 * own.hidden_dim

    @classmethod
    def stride_of(cls, **sizes: Any) -> tuple[int, int]:
        """Return the pixels per cell."""
        return (STRIDE * sizes.get("fold", 2),) * 2

    def forward(self, pixels_BCHW: Tensor, sizes_B2: Tensor | None = None) -> Tensor:
        """Encode images whose sides are multiples of the stride."""
        out = self.segmenter(pixels_BCHW, output_hidden_states=True)
        states = out.transformer_decoder_last_hidden_state
        states = states if len(states) == len(pixels_BCHW) else states.transpose(0, 1)
        queries = self.segmenter.transformer_module.queries_embedder.weight.expand_as(states)
        objects = torch.cat([states, queries], -1)
        scores = self.kinds(states).softmax(-1)[..., :-1].amax(-1)
        covered = out.masks_queries_logits[-1].sigmoid() * (0.5 + 0.5 * scores[..., None, None])
        grid = self.grid(*pixels_BCHW.shape[-2:])
        shares = F.interpolate(covered.float(), grid, mode="bilinear", align_corners=False).flatten(2).softmax(1)
        picture = out.encoder_last_hidden_state
        cells = fold_cells(picture.flatten(2).mT, tuple(picture.shape[-2:]), (self.fold, self.fold))
        cells = torch.cat([cells, shares.mT.to(cells.dtype) @ objects], -1)
        return torch.cat([F.pad(objects, (self.width - objects.shape[-1], 0)), cells], 1)
