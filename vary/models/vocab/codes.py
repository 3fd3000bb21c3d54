"""Encode an image as numbers of a codebook, and draw an image from such numbers: a VQ-VAE of transformers.

Sources: VQGAN, arXiv 2012.09841; the codes of LlamaGen, arXiv 2406.06525, which Janus has too.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .base import Vocabulary
from .towers import tower_config


class CodeVocabulary(Vocabulary):
    """Encode pixels (B, C, H, W) as numbers (B, N, 1) of vectors of a codebook, for `fusion: codes`.

    Args:
        config: Configuration of transformers' `JanusVQVAE`.
    """

    width = 1

    def __init__(self, config: dict[str, Any]):
        super().__init__(config=config)
        from transformers import JanusVQVAE

        self.coder = JanusVQVAE(tower_config(config))

    @classmethod
    def stride_of(cls, **sizes: Any) -> tuple[int, int]:
        """Return the pixels per code: every stage but the first halves a picture."""
        return (2 ** (len(tower_config(sizes["config"]).channel_multiplier) - 1),) * 2

    def forward(self, pixels_BCHW: Tensor, sizes_B2: Tensor | None = None) -> Tensor:
        """Encode images."""
        return self.coder.encode(pixels_BCHW).image_tokens.view(len(pixels_BCHW), -1, 1).float()

    def draw(self, codes_BN: Tensor) -> Tensor:
        """Return the pixels (B, C, H, W) that codes stand for."""
        return self.coder.decode(codes_BN)
