"""Connect by experts that the prompt chooses: the multilingual mixture of Parrot, arXiv 2406.02539 section 3.2."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .plain import Gated, Grid, SameWidth


class LanguageMoe(SameWidth):
    """Add to every token a mixture of experts; the class token, which comes first, looks at the prompt to weigh them.

    Args:
        width: D, that of the language model.
        out_width: Ignored; the width stays.
        experts: Number of experts.
        hidden: Their inner width.
        residual: Weight of the token itself.
    """

    takes: ClassVar = ("prompt_BTE", "asked_BT")

    def __init__(self, width: int, out_width: int, experts: int, hidden: int, residual: float = 1.0):
        super().__init__()
        self.gate, self.residual = nn.Linear(width, experts, bias=False), residual
        self.experts = nn.ModuleList(Gated(width, width, hidden) for _ in range(experts))

    @staticmethod
    def grid(grid: Grid, **_: Any) -> Grid:
        """Return one row: the class token and all cells."""
        return 1, grid[0] * grid[1] + 1

    def forward(self, tokens_BND: Tensor, grid: Grid, prompt_BTE: Tensor, asked_BT: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D), given the embeddings of each image's prompt and which of them count."""
        scores = tokens_BND[:, :1] @ prompt_BTE.mT.to(tokens_BND.dtype) / tokens_BND.shape[-1] ** 0.5
        weights = scores.masked_fill(~asked_BT[:, None], torch.finfo(scores.dtype).min).softmax(-1)
        routing = self.gate(weights @ prompt_BTE.to(tokens_BND.dtype)).softmax(-1)  # (B, 1, experts)
        found = torch.stack([expert(tokens_BND, grid) for expert in self.experts], -1)
        return (found * routing[:, :, None]).sum(-1) + self.residual * tokens_BND
