"""Merges: the tokens of several vocabularies become one sequence.

Vary's own merge is the concatenation of channels, token by token (arXiv 2312.06109 section 3.3). A merge is a function
of a list of (B, N, D) tensors; adding one is a function and a line in `MERGES`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def channel(tokens: list[Tensor]) -> Tensor:
    """(B, N, D1), (B, N, D2) ... -> (B, N, D1 + D2 + ...). All must have the same N."""
    counts = {t.shape[1] for t in tokens}
    if len(counts) != 1:
        raise ValueError(f"channel merge needs the same number of tokens from every vocabulary, got {sorted(counts)}")
    return torch.cat(tokens, -1)


MERGES: dict[str, Callable[[list[Tensor]], Tensor]] = {"channel": channel}
