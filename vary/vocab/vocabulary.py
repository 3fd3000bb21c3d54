"""What every vision vocabulary is."""

from __future__ import annotations

from typing import ClassVar

from torch import nn


class Vocabulary(nn.Module):
    """Pixels (B, C, H, W) -> tokens (B, N, D), N cells of a grid in raster order.

    stride: pixels per cell, (rows, columns). channels: C. width: D.
    """

    stride: ClassVar[tuple[int, int]]
    channels: ClassVar[int]
    width: int

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens for an image of this size in pixels."""
        return height // self.stride[0], width // self.stride[1]
