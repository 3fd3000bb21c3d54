"""Define the paper's vision vocabulary: SAM's ViT-B image encoder, its neck, and two stride-2 convolutions.

RGB pixels become one token per 64 x 64 pixels; 1024 x 1024 pixels give 256 tokens of width 1024. Eight of twelve blocks
attend within windows of 14 x 14 patches, four over the whole image. Both add a relative position of rows and one of
columns to the logits. Tensors are named as in the checkpoints of SAM, Vary, GOT and DeepSeek-OCR.

`attend` chooses one of three implementations with the same result. None builds a bias of all patches by all patches.
On a CPU an image is processed in pieces that fit into the cache, which is fastest there.

Shapes: B images, C channels, H W rows and columns of patches (of pixels in `pixels_BCHW`), D width; G windows of all
images, S patches of a window (the image is one window in the whole-image blocks), M heads, E width of a head.
Sources: Vary, arXiv 2312.06109 section 3.2.1; SAM, 2304.02643; windows, ViTDet, 2203.16527; relative positions, MViTv2,
2112.01526.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .base import Vocabulary

NORM_EPS = 1e-6  # of every norm, neck included: SAM's build_sam.py and common.py
SMALL = 256  # patches of a window up to which a CPU keeps the probabilities; above, it computes them twice
BLOCK = 1 << 20  # logits that a CPU holds at a time; 256 queries of a 1024 x 1024 image, fastest of 64 to 1024


class SamVocabulary(Vocabulary):
    """Encode pixels (B, 3, H, W) as tokens (B, N, convs[-1]) in raster order; N = H/64 * W/64.

    Other image sizes get interpolated positions, as in DeepSeek-OCR (2510.18234).

    Args:
        image_size: Side of the image whose positions are stored, pixels.
        patch: Side of a patch, pixels.
        hidden: Width of the transformer; depth, heads and mlp are its other sizes.
        window: Side of a window, patches.
        global_blocks: Blocks that attend over the whole image.
        neck: Width of the neck; convs are the widths of the two convolutions.
    """

    def __init__(
        self,
        image_size: int = 1024,
        patch: int = 16,
        hidden: int = 768,
        depth: int = 12,
        heads: int = 12,
        mlp: int = 3072,
        window: int = 14,
        global_blocks: Sequence[int] = (2, 5, 8, 11),
        neck: int = 256,
        convs: Sequence[int] = (512, 1024),
    ):
        super().__init__(
            image_size=image_size, patch=patch, hidden=hidden, depth=depth, heads=heads, mlp=mlp, window=window,
            global_blocks=global_blocks, neck=neck, convs=convs,
        )  # fmt: skip
        side = image_size // patch
        self.width = convs[-1]
        self.gradient_checkpointing = False
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, hidden, patch, patch)))
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, hidden))
        self.blocks = nn.ModuleList(
            Block(hidden, heads, mlp, window, whole=side if k in global_blocks else 0) for k in range(depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(hidden, neck, 1, bias=False),
            ChannelNorm(neck, eps=NORM_EPS),
            nn.Conv2d(neck, neck, 3, padding=1, bias=False),
            ChannelNorm(neck, eps=NORM_EPS),
        )
        # As in the paper: no bias, no activation between them
        self.net_2 = nn.Conv2d(neck, convs[0], 3, stride=2, padding=1, bias=False)
        self.net_3 = nn.Conv2d(convs[0], convs[1], 3, stride=2, padding=1, bias=False)

    @classmethod
    def stride_of(cls, patch: int = 16, **_: Any) -> tuple[int, int]:
        """Return the pixels of a token's sides: four patches, as two convolutions halve the grid."""
        return 4 * patch, 4 * patch

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Return tokens (B, N, D). Raises ValueError for a size that is not a multiple of the stride."""
        high, wide = pixels_BCHW.shape[-2:]
        if high % self.stride[0] or wide % self.stride[1] or not high * wide:
            raise ValueError(f"image of {high}x{wide} px: both sides must be multiples of {self.stride[0]}")
        if in_pieces(pixels_BCHW) and len(pixels_BCHW) > 1:
            return torch.cat([self._encode(image) for image in pixels_BCHW.split(1)])
        return self._encode(pixels_BCHW)

    def _encode(self, pixels_BCHW: Tensor) -> Tensor:
        """`forward` without its checks; one image at a time on a CPU."""
        pixels_BCHW = pixels_BCHW.contiguous(memory_format=torch.channels_last)  # then tokens need no transposition
        x_BHWD = self.patch_embed(pixels_BCHW).permute(0, 2, 3, 1)
        x_BHWD = x_BHWD + self._positions(x_BHWD.shape[1], x_BHWD.shape[2])
        for block in self.blocks:
            if self.gradient_checkpointing and self.training:
                x_BHWD = checkpoint(block, x_BHWD, use_reentrant=False)
            else:
                x_BHWD = block(x_BHWD)
        x_BDHW = self.neck(x_BHWD.permute(0, 3, 1, 2))  # channels last in memory, and so it stays
        return self.net_3(self.net_2(x_BDHW)).flatten(2).transpose(1, 2)

    def _positions(self, high: int, wide: int) -> Tensor:
        """Return positions (1, H, W, D); for another grid than the stored one they are interpolated (bicubic)."""
        if (high, wide) == tuple(self.pos_embed.shape[1:3]):
            return self.pos_embed
        stored = self.pos_embed.permute(0, 3, 1, 2).float()
        resized = F.interpolate(stored, (high, wide), mode="bicubic", align_corners=False, antialias=True)
        return resized.permute(0, 2, 3, 1).to(self.pos_embed.dtype)


class Block(nn.Module):
    """Pre-norm attention and MLP. whole: side of the stored grid for attention over the whole image, 0 for windows."""

    def __init__(self, hidden: int, heads: int, mlp: int, window: int, whole: int):
        super().__init__()
        self.window, self.whole = window, bool(whole)
        self.norm1, self.norm2 = nn.LayerNorm(hidden, eps=NORM_EPS), nn.LayerNorm(hidden, eps=NORM_EPS)
        self.attn = Attention(hidden, heads, whole or window)
        self.mlp = nn.Sequential(
            OrderedDict(lin1=nn.Linear(hidden, mlp), activation=nn.GELU(), lin2=nn.Linear(mlp, hidden))
        )

    def forward(self, x_BHWD: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        if self.whole:
            return by_bands(self._feed_forward, x_BHWD + self.attn(self.norm1(x_BHWD)), self.window)
        return by_bands(self._attend_in_windows, x_BHWD, self.window)

    def _feed_forward(self, x_BHWD: Tensor) -> Tensor:
        return x_BHWD + self.mlp(self.norm2(x_BHWD))

    def _attend_in_windows(self, x_BHWD: Tensor) -> Tensor:
        """Attend within windows. They are cut after the norm, so padding is zero and is attended to like the rest."""
        _, high, wide, _ = x_BHWD.shape
        side, rows, columns = self.window, -(-high // self.window), -(-wide // self.window)
        x = F.pad(self.norm1(x_BHWD), (0, 0, 0, columns * side - wide, 0, rows * side - high))
        x = x.unflatten(2, (columns, side)).unflatten(1, (rows, side)).transpose(2, 3)
        x = self.attn(x.flatten(0, 2)).unflatten(0, (-1, rows, columns)).transpose(2, 3)
        return self._feed_forward(x_BHWD + x.flatten(3, 4).flatten(1, 2)[:, :high, :wide])


class Attention(nn.Module):
    """Multi-head self-attention over a grid of patches; relative positions are stored for a side of `side`."""

    def __init__(self, hidden: int, heads: int, side: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, hidden // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, hidden // heads))

    def forward(self, x_GHWD: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        high, wide = x_GHWD.shape[1:3]
        q, k, v = self.qkv(x_GHWD.flatten(1, 2)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q_GMHWE = q.unflatten(2, (high, wide))  # unscaled, as published
        rel_h = torch.einsum("gmhwe,hke->gmhwk", q_GMHWE, relative(self.rel_pos_h, high)).flatten(2, 3)
        rel_w = torch.einsum("gmhwe,wke->gmhwk", q_GMHWE, relative(self.rel_pos_w, wide)).flatten(2, 3)
        return self.proj(attend(q, k, v, rel_h, rel_w).transpose(1, 2).flatten(2).unflatten(1, (high, wide)))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, D, H, W)."""

    def forward(self, x_BDHW: Tensor) -> Tensor:
        """Same shape out, channels last in memory."""
        return super().forward(x_BDHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def relative(table: Tensor, side: int) -> Tensor:
    """A table of distances (2 * stored side - 1, E) -> (query, key, E) for this side, linear where it is another."""
    if len(table) != 2 * side - 1:
        table = F.interpolate(table.float().T[None], 2 * side - 1, mode="linear")[0].T.to(table.dtype)
    place = torch.arange(side, device=table.device)
    return table[place[:, None] - place + side - 1]


def in_pieces(x: Tensor) -> bool:
    """Split the work to fit the cache of a CPU; a GPU and a compiler get all of it."""
    return x.is_cpu and not torch.compiler.is_compiling()


def by_bands(step: Callable[[Tensor], Tensor], x_BHWD: Tensor, rows: int) -> Tensor:
    """`step` of an image, by bands of so many rows of patches where pieces are faster."""
    return torch.cat([step(band) for band in x_BHWD.split(rows, 1)], 1) if in_pieces(x_BHWD) else step(x_BHWD)


# Ways of softmax(q k' / sqrt(E) + rel_h + rel_w) v for a window of H x W = S patches:
# q, k, v (G, M, S, E), rel_h (G, M, S, H), rel_w (G, M, S, W) -> (G, M, S, E).


def attend(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """Compute attention with relative positions by the fastest way for this device and size."""
    if not q.is_cpu:
        return attend_flash(q, k, v, rel_h, rel_w)
    return (attend_small if q.shape[2] <= SMALL else attend_blocks)(q, k, v, rel_h, rel_w)


def widen(q: Tensor, k: Tensor, rel_h: Tensor, rel_w: Tensor) -> tuple[Tensor, Tensor]:
    """Return q and k whose inner products are the logits with bias. A query carries its bias of every row and column,
    a key a one at its own row and column. Exact, and E + H + W wide.
    """
    high, wide = rel_h.shape[-1], rel_w.shape[-1]
    row, column = (torch.eye(n, dtype=k.dtype, device=k.device) for n in (high, wide))
    place = torch.cat([row.repeat_interleave(wide, 0), column.repeat(high, 1)], 1)
    wide_k = torch.cat([k, place.expand(*k.shape[:2], -1, -1)], -1)
    return torch.cat([q * q.shape[-1] ** -0.5, rel_h, rel_w], -1), wide_k


def attend_flash(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """By the fused kernels of PyTorch. Flash attention needs equal widths of q, k and v, multiples of 8 up to 256."""
    width = v.shape[-1]
    q, k = widen(q, k, rel_h, rel_w)
    spare = -q.shape[-1] % 8
    q, k, v = F.pad(q, (0, spare)), F.pad(k, (0, spare)), F.pad(v, (0, q.shape[-1] + spare - width))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :width]


def attend_small(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """By three plain operations, which autograd keeps the probabilities of."""
    q, k = widen(q, k, rel_h, rel_w)
    return (q @ k.mT).softmax(-1) @ v


# An operator of its own, because a compiler must not unroll its loops and autograd must not keep its probabilities.
@torch.library.custom_op(
    "vary::attend_blocks",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor rel_h, Tensor rel_w) -> Tensor",
)
def attend_blocks(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """By blocks of queries against all keys of a head."""
    out = _merge_batch(q)
    for head in _heads(q):
        key, value = k[head].contiguous(), v[head].contiguous()
        for rows in _rows(q):
            out[head][rows] = _probabilities(q[head][rows], key, rel_h[head][rows], rel_w[head][rows]) @ value
    return out


@torch.library.custom_op(
    "vary::attend_blocks_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor out, Tensor q, Tensor k, Tensor v, Tensor rel_h, Tensor rel_w) -> Tensor[]",
)
def _blocks_backward(
    grad: Tensor, out: Tensor, q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor
) -> list[Tensor]:
    """Return gradients of q, k, v, rel_h, rel_w. Probabilities are computed anew by block, as in FlashAttention."""
    grads = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v, rel_h, rel_w)]
    scale, grid = q.shape[-1] ** -0.5, (rel_h.shape[-1], rel_w.shape[-1])
    exact = torch.promote_types(q.dtype, torch.float32)  # bfloat16 would lose most of a sum over many blocks
    for head in _heads(q):
        key, value = k[head].contiguous(), v[head].contiguous()
        dq, dk, dv, dh, dw = (x[head] for x in grads)
        sum_k, sum_v = (torch.zeros_like(x, dtype=exact) for x in (key, value))
        for rows in _rows(q):
            p = _probabilities(q[head][rows], key, rel_h[head][rows], rel_w[head][rows])
            d_out = grad[head][rows].contiguous()
            sum_v += p.T @ d_out
            p *= d_out @ value.T - (d_out * out[head][rows]).sum(-1, keepdim=True)  # now the gradient of the logits
            sum_k += p.T @ q[head][rows]
            torch.mul(p @ key, scale, out=dq[rows])
            dh[rows], dw[rows] = p.unflatten(1, grid).sum(2), p.unflatten(1, grid).sum(1)
        dk.copy_(sum_k * scale)
        dv.copy_(sum_v)
    return grads


def _probabilities(q_QE: Tensor, k_SE: Tensor, rel_h_QH: Tensor, rel_w_QW: Tensor) -> Tensor:
    """Of one block: (Q, S)."""
    bias_QS = (rel_h_QH[:, :, None] + rel_w_QW[:, None, :]).flatten(1)
    return bias_QS.addmm_(q_QE, k_SE.T, alpha=q_QE.shape[-1] ** -0.5).softmax(-1)


def _heads(q: Tensor) -> list[tuple[int, int]]:
    return [(g, m) for g in range(q.shape[0]) for m in range(q.shape[1])]


def _rows(q: Tensor) -> list[slice]:
    """Return the blocks of queries."""
    step = max(1, BLOCK // q.shape[2])
    return [slice(start, start + step) for start in range(0, q.shape[2], step)]


def _merge_batch(q: Tensor) -> Tensor:
    """Room for an output whose heads lie side by side, so that joining them copies nothing."""
    return torch.empty_like(q.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)


attend_blocks.register_fake(lambda q, k, v, rel_h, rel_w: _merge_batch(q))
_blocks_backward.register_fake(
    lambda grad, out, *inputs: [torch.empty_like(x, memory_format=torch.contiguous_format) for x in inputs]
)
attend_blocks.register_autograd(
    lambda ctx, grad: tuple(_blocks_backward(grad, *ctx.saved_tensors)),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(output, *inputs),
)
