"""Connect by learnt latents that attend to all tokens of an image and to each other: the Perceiver Resampler.

Source: Flamingo, arXiv 2204.14198 section 3.1. The options cover those of Idefics, Idefics2, Kosmos-2, Lynx
and the visual abstractors of mPLUG-Owl (arXiv 2304.14178 section 3.1) and mPLUG-Owl2.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..images.views import Shape, crop_padding, views_of
from .attention import Attention, RMSNorm
from .plain import Connector, Gated, Grid, activation
from .query import grid_positions, line_positions


class ResamplerBlock(nn.Module):
    """One layer of attention and, if there is one, a feed-forward layer."""

    def __init__(self, width: int, context: int, options: dict[str, Any]):
        super().__init__()
        self.alone = context != width
        norm, ff, hidden, eps = options["norm"], options["ff"], options["hidden"], options["eps"]
        kinds = {"layer": nn.LayerNorm, "rms": RMSNorm}
        self.context, self.query = (kinds[norm](w, eps=eps) if norm else nn.Identity() for w in (context, width))
        self.attention = Attention(
            width, context, options["heads"], options["head_dim"], options["kv_heads"], options["bias"],
            nn.LayerNorm if options["head_norm"] else None, eps,
        )  # fmt: skip
        self.norm = kinds[norm or "layer"](width, eps=eps) if ff else None
        self.ff: nn.Module | None = None
        self.add_normed = options["add_normed"]
        if ff == "gated":
            self.ff = Gated(width, width, hidden, bias=options["bias"], norm=options["ff_norm"])
        elif ff:
            self.ff = nn.Sequential(nn.Linear(width, hidden, False), activation(ff), nn.Linear(hidden, width, False))

    def forward(self, latents: Tensor, tokens_BND: Tensor, mask: Tensor | None, places: Tensor | None) -> Tensor:
        """Return the latents (B, M, D) after this layer. `places` are those of the tokens, then of the latents."""
        context, queries = self.context(tokens_BND), self.query(latents)
        seen = context if self.alone else torch.cat([context, queries], 1)
        asked = queries if places is None else queries + places[-queries.shape[1] :]
        found = self.attention(asked, seen, mask, places)
        if self.ff is None or self.norm is None:
            return found
        latents = (queries if self.add_normed else latents) + found
        normed = self.norm(latents)
        return latents + (self.ff(normed, (1, 1)) if isinstance(self.ff, Gated) else self.ff(normed))


class Resampler(Connector):
    """Turn the tokens of an image into a fixed number of tokens, of the same width unless it is `wide`.

    Args:
        width: D.
        out_width: E, used if `wide`.
        latents: Number of image tokens.
        depth: Number of layers.
        heads: Heads of a layer.
        head_dim: Width of a head.
        kv_heads: Heads of keys and values; as many as `heads` by default.
        norm: Kind of the norms; None has none.
        ff: Feed-forward layer: `gated`, the name of an activation, or None for none (and no residual connection).
        hidden: Width of the feed-forward layer; four times D by default.
        head_norm: Norm queries and keys by head.
        bias: Whether the attention, and a gated feed-forward layer, have biases.
        final: Whether a norm ends the layers.
        ff_norm: Constant of a norm inside a gated feed-forward layer; None has no norm.
        add_normed: Add the attention to its normed queries, not to the queries.
        eps: Constant of the norms.
        places: Add sines and cosines of row and column to keys, and of the number of the latent to queries.
        wide: The latents are as wide as the language model, and look at the tokens of the image alone.
        rows: Read the tiles of an image as one picture without its padding, N tokens at a time, row by row.
    """

    takes: ClassVar = ("used_BN", "shapes")

    def __init__(
        self,
        width: int,
        out_width: int,
        latents: int,
        depth: int,
        heads: int,
        head_dim: int,
        kv_heads: int | None = None,
        norm: Literal["layer", "rms"] | None = "layer",
        ff: str | None = "gelu",
        hidden: int | None = None,
        head_norm: bool = False,
        bias: bool = False,
        final: bool = True,
        ff_norm: float | None = None,
        add_normed: bool = False,
        eps: float = 1e-5,
        places: bool = False,
        wide: bool = False,
        rows: bool = False,
    ):
        super().__init__()
        self.rows = rows
        context, width = width, out_width if wide else width
        self.places = places
        options = {
            "heads": heads, "head_dim": head_dim, "kv_heads": kv_heads, "norm": norm, "ff": ff,
            "hidden": hidden or 4 * width, "head_norm": head_norm, "bias": bias, "eps": eps,
            "ff_norm": ff_norm, "add_normed": add_normed,
        }  # fmt: skip
        self.latents = nn.Parameter(torch.randn(latents, width) * 0.02)
        self.blocks = nn.ModuleList(ResamplerBlock(width, context, options) for _ in range(depth))
        self.norm: nn.Module = nn.Identity()
        if final:
            self.norm = RMSNorm(width, eps) if norm == "rms" else nn.LayerNorm(width, eps)

    @staticmethod
    def grid(grid: Grid, latents: int = 64, **_: Any) -> Grid:
        """Return one row of latents."""
        return 1, latents

    @staticmethod
    def width(width: int, out_width: int, wide: bool = False, **_: Any) -> int:
        """Return the width of the latents."""
        return out_width if wide else width

    def forward(
        self, tokens_BND: Tensor, grid: Grid, used_BN: Tensor | None = None, shapes: list[Shape] | None = None
    ) -> Tensor:
        """Map (B, N, D) to (B, latents, D).

        Args:
            tokens_BND: Tokens of views.
            grid: Their rows and columns.
            used_BN: Which of them are not padding.
            shapes: The shapes of the images that the views are of; None if each view is an image.
        """
        if self.rows and shapes is not None:
            tokens_BND, used_BN = read_rows(tokens_BND, grid, shapes)
        latents = self.latents.expand(len(tokens_BND), -1, -1)
        mask = None
        if used_BN is not None:
            mask = torch.cat([used_BN, used_BN.new_ones(latents.shape[:2])], 1)[:, None, None]
        places = None
        if self.places:  # a class token has no place
            cells = F.pad(grid_positions(grid, tokens_BND), (0, 0, tokens_BND.shape[1] - grid[0] * grid[1], 0))
            places = torch.cat([cells, line_positions(latents.shape[1], latents)])
        for block in self.blocks:
            latents = block(latents, tokens_BND, mask, places)
        return self.norm(latents)


def read_rows(tokens_BND: Tensor, grid: Grid, shapes: list[Shape]) -> tuple[Tensor, Tensor]:
    """Return the tokens of the tiles of each image as one picture, cut into rows of N, and which are not padding.

    The whole image, which comes first, stays as it is. Source: xGen-MM, arXiv 2408.08872.
    """
    found: list[Tensor] = []
    used: list[Tensor] = []
    for views, shape in zip(tokens_BND.split([views_of(shape) for shape in shapes]), shapes, strict=True):
        found.append(views[:1])
        used.append(views.new_ones(1, views.shape[1], dtype=torch.bool))
        if rows := shape[0]:
            cells = views[1:].unflatten(0, (rows, -1)).unflatten(2, grid)
            picture = cells.permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1)
            top, left, high, wide = crop_padding(grid, shape)
            there = torch.zeros(picture.shape[:2], dtype=torch.bool, device=picture.device)
            there[top : top + high, left : left + wide] = True
            found.append(picture.flatten(0, 1).unflatten(0, (-1, views.shape[1])))
            used.append(there.flatten().unflatten(0, (-1, views.shape[1])))
    return torch.cat(found), torch.cat(used)
