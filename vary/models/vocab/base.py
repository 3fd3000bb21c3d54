"""Define the interface of a vision vocabulary."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


@dataclass
class VisionFeatures:
    """Hold the tokens (B, N, D) of each vocabulary and its grid (rows, columns).

    With a reading head also its logits (B, rows, frames, classes) and geometry (B, rows, frames, measures). `used_BN`
    says which tokens of a vocabulary that takes any size are not padding.
    """

    tokens: list[Tensor]
    grids: list[tuple[int, int]]
    logits: Tensor | None = None
    geometry: Tensor | None = None
    used_BN: Tensor | None = None


class Vocabulary(nn.Module):
    """Encode pixels (B, C, H, W) as tokens (B, N, D), one per cell of a grid, in raster order.

    `channels` is C: 1 for grey, 3 for RGB. `width` is D. `sizes` holds the arguments of the constructor; they are the
    keys that the configuration of this vocabulary may have. One that is `native` takes images of any size; `forward`
    gets their sizes (B, 2) without padding too, or None.
    """

    channels: ClassVar[int] = 3
    native: bool = False
    width: int

    def __init__(self, **sizes: Any):
        super().__init__()
        self.sizes = sizes

    @classmethod
    def stride_of(cls, **sizes: Any) -> tuple[int, int]:
        """Return the pixels per cell (rows, columns) of a vocabulary of these sizes, without building it."""
        raise NotImplementedError

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels per cell: rows, columns."""
        return self.stride_of(**self.sizes)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of tokens for an image of this size in pixels."""
        rows, columns = self.stride
        return height // rows, width // columns

    def used(self, sizes_B2: Tensor, height: int, width: int) -> Tensor:
        """Return which tokens (B, N) of images of this padded size are not padding."""
        (rows, columns), device = self.grid(height, width), sizes_B2.device
        cells = -(-sizes_B2 // torch.tensor(self.stride, device=device))
        high = torch.arange(rows, device=device) < cells[:, :1]
        wide = torch.arange(columns, device=device) < cells[:, 1:]
        return (high[:, :, None] & wide[:, None]).flatten(1)

    def for_inference(self) -> Vocabulary:
        """Return a copy that computes the same values faster; the copy cannot be trained."""
        return copy.deepcopy(self).eval()

    def from_tokens(self, tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Encode the tokens of another vocabulary instead of pixels, for a serial merge.

        Raises:
            TypeError: This vocabulary cannot do that.
        """
        raise TypeError(f"{type(self).__name__} cannot take the tokens of another vocabulary")
