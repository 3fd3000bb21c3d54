"""The plain vision transformer that CLIP and SigLIP share; each says what is its own in a few lines.

Shapes: B batch, C channels, H W pixels, N = rows * columns patches, D width, S = N plus the class token, if any.
Source: ViT (arXiv 2010.11929), as CLIP and SigLIP published it. Blocks behind the chosen layer are kept, so that a
checkpoint comes back whole, and never run.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...io.errors import ConfigError
from .base import Vocabulary


class Attention(nn.Module):
    """Multi-head self-attention with q, k and v in one linear layer."""

    def __init__(self, hidden: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Same shape out."""
        q, k, v = self.qkv(x_BSD).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers around an activation: `quick` is CLIP's x * sigmoid(1.702 x), `tanh` the tanh form of GELU."""

    def __init__(self, hidden: int, mlp: int, activation: str):
        super().__init__()
        self.lin1, self.lin2, self.activation = nn.Linear(hidden, mlp), nn.Linear(mlp, hidden), activation

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Same shape out."""
        x = self.lin1(x_BSD)
        x = x * torch.sigmoid(1.702 * x) if self.activation == "quick" else F.gelu(x, approximate="tanh")
        return self.lin2(x)


class Block(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, hidden: int, heads: int, mlp: int, eps: float, activation: str):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(hidden, eps=eps), nn.LayerNorm(hidden, eps=eps)
        self.attn, self.mlp = Attention(hidden, heads), Mlp(hidden, mlp, activation)

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Same shape out."""
        x = x_BSD + self.attn(self.norm1(x_BSD))
        return x + self.mlp(self.norm2(x))


class VitVocabulary(Vocabulary):
    """Pixels (B, 3, H, W) -> patch tokens (B, N, D) of one layer.

    image_size, patch: pixels that positions are stored for, and pixels of a patch's side. hidden, depth, heads, mlp:
    sizes. layer: which hidden state is given, counted as transformers does (0 before the first block, -2 before the
    last); None gives the last one behind the final norm. Images of other sizes, multiples of `patch`, get interpolated
    positions.
    """

    eps: ClassVar[float]
    activation: ClassVar[str]
    class_token: ClassVar[bool]

    def __init__(
        self,
        image_size: int = 224,
        patch: int = 16,
        hidden: int = 768,
        depth: int = 12,
        heads: int = 12,
        mlp: int = 3072,
        layer: int | None = -2,
    ):
        super().__init__(
            image_size=image_size, patch=patch, hidden=hidden, depth=depth, heads=heads, mlp=mlp, layer=layer
        )
        self.width, self.layer, side = hidden, layer, image_size // patch
        self.run = depth if layer is None else layer if layer >= 0 else depth + 1 + layer
        if not 0 <= self.run <= depth:
            raise ConfigError(f"layer {layer}: allowed are {-depth - 1} to {depth} for {depth} blocks")
        self.patch_embed = nn.Conv2d(3, hidden, patch, patch, bias=not self.class_token)
        if self.class_token:
            self.cls_token = nn.Parameter(torch.randn(hidden) * hidden**-0.5)
            self.norm_pre = nn.LayerNorm(hidden, eps=self.eps)
        self.pos_embed = nn.Parameter(torch.randn(self.class_token + side * side, hidden) * 0.02)
        self.blocks = nn.ModuleList(Block(hidden, heads, mlp, self.eps, self.activation) for _ in range(depth))
        self.norm_post = nn.LayerNorm(hidden, eps=self.eps)

    @classmethod
    def stride_of(cls, patch: int = 16, **_: Any) -> tuple[int, int]:
        """One token per patch."""
        return patch, patch

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Raises ValueError for a size that is not a multiple of the patch."""
        high, wide = pixels_BCHW.shape[-2:]
        if high % self.stride[0] or wide % self.stride[1]:
            raise ValueError(f"image of {high}x{wide} px: both sides must be multiples of {self.stride[0]}")
        return self.from_tokens(self.patch_embed(pixels_BCHW).flatten(2).transpose(1, 2), self.grid(high, wide))

    def from_tokens(self, tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Patch embeddings, or another vocabulary's tokens in their place (DeepSeek-OCR, 2510.18234) -> tokens."""
        x, positions = tokens_BND, self._positions(grid)
        if self.class_token:
            x = torch.cat([self.cls_token.expand(len(x), 1, -1), x], 1)
        x = x + positions
        if self.class_token:
            x = self.norm_pre(x)
        for block in self.blocks[: self.run]:
            x = block(x)
        if self.layer is None:
            x = self.norm_post(x)
        return x[:, 1:] if self.class_token else x

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Positions (S, D) of a grid; bicubic where it is not the stored one, the class token's own as it is."""
        extra, cells = self.pos_embed[: int(self.class_token)], self.pos_embed[int(self.class_token) :]
        side = round(len(cells) ** 0.5)
        if grid == (side, side):
            return self.pos_embed
        square = cells.float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(square, grid, mode="bicubic", align_corners=False)
        return torch.cat([extra, resized.flatten(2)[0].T.to(cells.dtype)])
