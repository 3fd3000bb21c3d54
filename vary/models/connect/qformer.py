"""Connect by learnt queries that attend to all tokens of an image: the Q-Former of BLIP-2, arXiv 2301.12597."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .plain import Connector, Grid


class QFormer(Connector):
    """Turn the tokens of an image into a fixed number of tokens, as wide as the Q-Former.

    Args:
        width: D.
        out_width: Ignored; a linear layer follows.
        queries: Number of image tokens.
        config: Configuration of transformers' `Blip2QFormerModel`, but for the width of the image tokens.
    """

    def __init__(self, width: int, out_width: int, queries: int, config: dict[str, Any]):
        super().__init__()
        from transformers import Blip2QFormerConfig, Blip2QFormerModel

        self.qformer = Blip2QFormerModel(Blip2QFormerConfig(**config, encoder_hidden_size=width))
        self.queries = nn.Parameter(torch.randn(1, queries, config["hidden_size"]) * 0.02)

    @staticmethod
    def grid(grid: Grid, queries: int = 32, **_: Any) -> Grid:
        """Return one row of queries."""
        return 1, queries

    @staticmethod
    def width(width: int, out_width: int, config: dict[str, Any] | None = None, **_: Any) -> int:
        """Return the width of the Q-Former."""
        return int((config or {})["hidden_size"])

    def forward(self, tokens_BND: Tensor, grid: Grid) -> Tensor:
        """Map (B, N, D) to (B, queries, width of the Q-Former)."""
        queries = self.queries.expand(len(tokens_BND), -1, -1)
        return self.qformer(query_embeds=queries, encoder_hidden_states=tokens_BND).last_hidden_state
