"""What every vision vocabulary is."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from torch import Tensor, nn


class Vocabulary(nn.Module):
    """Pixels (B, C, H, W) -> tokens (B, N, D), N cells of a grid in raster order.

    channels: C, 1 for grey and 3 for RGB. width: D. `sizes` are the constructor's arguments, as `config.py` holds them.
    """

    channels: ClassVar[int] = 3
    width: int

    def __init__(self, **sizes: Any):
        super().__init__()
        self.sizes = sizes

    @classmethod
    def stride_of(cls, **sizes: Any) -> tuple[int, int]:
        """Pixels per cell (rows, columns) of a vocabulary of these sizes, without building it."""
        raise NotImplementedError

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels per cell: rows, columns."""
        return self.stride_of(**self.sizes)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens for an image of this size in pixels."""
        rows, columns = self.stride
        return height // rows, width // columns

    def for_inference(self) -> Vocabulary:
        """A copy that computes the same for reading alone, faster where it can; not for training."""
        return copy.deepcopy(self).eval()

    def from_tokens(self, tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Another vocabulary's tokens -> this one's, for a serial merge. Raises TypeError where that has no meaning."""
        raise TypeError(f"{type(self).__name__} cannot take the tokens of another vocabulary")
