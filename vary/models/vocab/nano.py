"""Define the nano vocabulary: a small convolutional network whose feature rows can be read.

Grey pixels -> one feature vector per cell of 8 x 4 pixels (height x width). Dense 3x3 convolutions with batch norm
only: a CPU with bf16 runs them much nearer to its peak than depthwise ones. Batch norm is folded away for reading.
Pages of any size are allowed, because nothing depends on absolute position.

Shapes: B batch, C channels, H W pixels, R = H/8 rows, K = W/4 columns, N = R*K tokens, D width.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .base import Vocabulary


class ConvNorm(nn.Sequential):
    """Apply a 3x3 convolution, batch norm and, unless `relu` is False, ReLU."""

    def __init__(
        self, in_width: int, width: int, stride: tuple[int, int] = (1, 1), dilation: int = 1, relu: bool = True
    ):
        conv = nn.Conv2d(in_width, width, 3, stride, (1, dilation), (1, dilation), bias=False)
        layers: list[nn.Module] = [conv, nn.BatchNorm2d(width)]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Residual(nn.Module):
    """Add two convolutions to their input; `dilation` widens the second one along the line of text."""

    def __init__(self, width: int, dilation: int = 1):
        super().__init__()
        self.one = ConvNorm(width, width)
        self.two = ConvNorm(width, width, dilation=dilation, relu=False)

    def forward(self, x_BDRK: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        return torch.relu(self.two(self.one(x_BDRK)) + x_BDRK)


class NanoVocabulary(Vocabulary):
    """Encode grey pixels (B, 1, H, W) as tokens (B, N, D). H must be a multiple of 8 and W of 4.

    Args:
        stem: Widths of the two stride-2 convolutions.
        width: D.
        depth: Number of residual blocks at the final stride.
    """

    channels = 1

    def __init__(self, stem: tuple[int, int] = (32, 64), width: int = 144, depth: int = 3):
        super().__init__(stem=stem, width=width, depth=depth)
        self.width = width
        self.stem = nn.Sequential(ConvNorm(1, stem[0], (2, 2)), ConvNorm(stem[0], stem[1], (2, 2)), Residual(stem[1]))
        self.rows = nn.Sequential(
            ConvNorm(stem[1], width, (2, 1)), *(Residual(width, 1 + (k == depth - 1)) for k in range(depth))
        )

    @classmethod
    def stride_of(cls, **_: Any) -> tuple[int, int]:
        """Return 8 rows and 4 columns of pixels."""
        return 8, 4

    def for_inference(self) -> Vocabulary:
        """Return a copy with batch norm folded into the convolutions and channels-last weights."""
        copied = super().for_inference()
        for module in copied.modules():
            if isinstance(module, ConvNorm):
                conv = fuse_conv_bn_eval(cast(nn.Conv2d, module[0]), cast(nn.BatchNorm2d, module[1]))
                conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
                module[0], module[1] = conv, nn.Identity()
        return copied

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Encode images.

        Raises:
            ValueError: A side is not a multiple of the stride.
        """
        height, width = pixels_BCHW.shape[-2:]
        if height % self.stride[0] or width % self.stride[1]:
            raise ValueError(f"image of {height}x{width} px: height must be a multiple of 8 and width of 4")
        pixels_BCHW = pixels_BCHW.contiguous(memory_format=torch.channels_last)
        return self.rows(self.stem(pixels_BCHW)).flatten(2).transpose(1, 2)
