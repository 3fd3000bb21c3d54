"""Attend from a few queries to many tokens: the attention of resamplers and of gated cross-attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Divide by the root mean square and scale, computed as Llama does (mean square in float32)."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        wide = hidden.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(hidden.dtype)


class Attention(nn.Module):
    """Multi-head attention from (B, Q, D) to (B, K, C).

    Args:
        width: D, of the queries and of the output.
        context: C, the width of the tokens attended to.
        heads: Heads of the queries.
        head_dim: Width of a head.
        kv_heads: Heads of keys and values; as many as `heads` by default.
        bias: Whether the four projections have a bias.
        head_norm: Norm of each query and key, by head.
        eps: Constant of these norms.
    """

    def __init__(
        self,
        width: int,
        context: int,
        heads: int,
        head_dim: int,
        kv_heads: int | None = None,
        bias: bool = False,
        head_norm: type[nn.Module] | None = None,
        eps: float = 1e-5,
    ):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads or heads, head_dim
        self.q_proj = nn.Linear(width, heads * head_dim, bias)
        self.k_proj = nn.Linear(context, self.kv_heads * head_dim, bias)
        self.v_proj = nn.Linear(context, self.kv_heads * head_dim, bias)
        self.o_proj = nn.Linear(heads * head_dim, width, bias)
        self.q_norm, self.k_norm = (head_norm(head_dim, eps=eps) if head_norm else nn.Identity() for _ in range(2))

    def forward(
        self, queries_BQD: Tensor, context_BKC: Tensor, mask: Tensor | None = None, places_KC: Tensor | None = None
    ) -> Tensor:
        """Return (B, Q, D).

        The mask is True where a query may look, of a shape that broadcasts to (B, heads, Q, K). `places_KC` is added to
        what keys are made of, not to values.
        """
        q = self.q_norm(self.q_proj(queries_BQD).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2))
        keyed = context_BKC if places_KC is None else context_BKC + places_KC
        k = self.k_norm(self.k_proj(keyed).unflatten(-1, (self.kv_heads, self.head_dim)).transpose(1, 2))
        v = self.v_proj(context_BKC).unflatten(-1, (self.kv_heads, self.head_dim)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=self.heads != self.kv_heads)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))
