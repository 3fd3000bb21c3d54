"""Connect by learnt queries that attend to all tokens of an image: the Q-Former of BLIP-2, arXiv 2301.12597."""

from __future__ import annotations

from typing import Any, ClassVar

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
        words: The queries attend to the words of the prompt too (InstructBLIP, arXiv 2305.06500).
        causal: A query sees only the queries before it (SEED, arXiv 2310.01218).
    """

    takes: ClassVar = ("words_BQ", "words_mask_BQ")

    def __init__(
        self,
        width: int,
        out_width: int,
        queries: int,
        config: dict[str, Any],
        words: bool = False,
        causal: bool = False,
    ):
        super().__init__()
        from transformers import Blip2QFormerConfig, Blip2QFormerModel, InstructBlipQFormerConfig
        from transformers import InstructBlipQFormerModel as WithWords

        sizes: Any = config | {"encoder_hidden_size": width}
        self.qformer: Any
        if words:
            self.qformer = WithWords(InstructBlipQFormerConfig(**sizes))
        else:
            self.qformer = Blip2QFormerModel(Blip2QFormerConfig(**sizes))
        self.words, self.causal = words, causal
        self.queries = nn.Parameter(torch.randn(1, queries, config["hidden_size"]) * 0.02)

    @staticmethod
    def grid(grid: Grid, queries: int = 32, **_: Any) -> Grid:
        """Return one row of queries."""
        return 1, queries

    @staticmethod
    def width(width: int, out_width: int, config: dict[str, Any] | None = None, **_: Any) -> int:
        """Return the width of the Q-Former."""
        return int((config or {})["hidden_size"])

    def forward(
        self, tokens_BND: Tensor, grid: Grid, words_BQ: Tensor | None = None, words_mask_BQ: Tensor | None = None
    ) -> Tensor:
        """Map (B, N, D), and the ids of the words of each image's prompt, to (B, queries, width of the Q-Former)."""
        queries = self.queries.expand(len(tokens_BND), -1, -1)
        options: dict[str, Any] = {}
        if self.words and words_BQ is not None:
            mask = torch.ones_like(words_BQ) if words_mask_BQ is None else words_mask_BQ
            options = {"input_ids": words_BQ, "attention_mask": torch.cat([mask.new_ones(queries.shape[:2]), mask], 1)}
        if self.causal:
            later = torch.full((queries.shape[1],) * 2, torch.finfo(queries.dtype).min, device=queries.device).triu(1)
            options = {"attention_mask": later.to(queries.dtype).expand(len(queries), 1, -1, -1)}
        out = self.qformer(query_embeds=queries, encoder_hidden_states=tokens_BND, **options)
        return out.last_hidden_state[:, : queries.shape[1]]
