"""Merge the tokens of several vocabularies into one sequence.

Vary's own merge concatenates channels, token by token (arXiv 2312.06109 section 3.3). A merge is a function of a list
of (B, N, D) tensors, and a `Merge` says what it does to widths and grids. A new one needs a line in `MERGES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...io.errors import ConfigError
from ..connect import CONNECTORS, Grid, build, sizes_of
from . import VOCABULARIES


def channel(tokens: list[Tensor]) -> Tensor:
    """Concatenate channels: (B, N, D1), (B, N, D2) ... to (B, N, D1 + D2 + ...)."""
    return torch.cat(tokens, -1)


def token(tokens: list[Tensor]) -> Tensor:
    """Concatenate tokens: (B, N1, D), (B, N2, D) ... to (B, N1 + N2 + ..., D) (Fox, arXiv 2405.14295)."""
    return torch.cat(tokens, 1)


def sum_tokens(tokens: list[Tensor]) -> Tensor:
    """Add tokens: (B, N, D), (B, N, D) ... to (B, N, D)."""
    return torch.stack(tokens).sum(0)


def serial(tokens: list[Tensor]) -> Tensor:
    """Concatenate channels, the last vocabulary first: DeepSeek-OCR's [CLIP, SAM] (arXiv 2510.18234)."""
    return torch.cat(tokens[::-1], -1)


def first(tokens: list[Tensor]) -> Tensor:
    """Keep the tokens of the first vocabulary; heads see those of the others (GLaMM, arXiv 2311.03356)."""
    return tokens[0]


def _same(what: str, values: list[Any], why: str) -> Any:
    if len(set(values)) != 1:
        raise ConfigError(f"{why} needs the same {what} from every vocabulary, got {', '.join(map(str, values))}")
    return values[0]


@dataclass(frozen=True)
class Merge:
    """A merge and its effect on widths and grids.

    `join` is the function. `adds_channels` and `adds_tokens` say whether widths and counts of tokens add up; those that
    do not must be equal, but for a merge that keeps the first vocabulary `alone`. With `chained`, each later vocabulary
    takes the tokens of the one before it, not pixels.
    """

    join: Callable[[list[Tensor]], Tensor]
    adds_channels: bool = False
    adds_tokens: bool = False
    chained: bool = False
    alone: bool = False

    def width(self, widths: list[int]) -> int:
        """Return the width of the merged tokens; raise ConfigError if the widths cannot be merged."""
        if self.alone:
            return widths[0]
        return sum(widths) if self.adds_channels else _same("width", widths, f"merge {self.join.__name__!r}")

    def grid(self, grids: list[Grid]) -> Grid:
        """Return the grid of the merged tokens; tokens of several grids form one row."""
        if self.alone:
            return grids[0]
        if self.adds_tokens and len(grids) > 1:
            return 1, sum(rows * columns for rows, columns in grids)
        return _same("grid", grids, f"merge {self.join.__name__!r}")

    def share(self, width: int, branches: int) -> int:
        """Return the width that each branch must have for a merged width."""
        return width // branches if self.adds_channels else width


MERGES: dict[str, Merge] = {
    "channel": Merge(channel, adds_channels=True),
    "token": Merge(token, adds_tokens=True),
    "sum": Merge(sum_tokens),
    "serial": Merge(serial, adds_channels=True, chained=True),
    "first": Merge(first, alone=True),
}


def token_grid(
    vocabularies: list[dict[str, Any]], merge: str, connector: dict[str, Any] | list[dict[str, Any]], sizes: list[Grid]
) -> Grid:
    """Return the grid of image tokens of a model of these configurations, without building it.

    sizes: (height, width) px, one per vocabulary that takes pixels: all of them, or the first of a chained merge.
    """
    rule = MERGES[merge]
    grids = []
    for vocabulary, (height, width) in zip(vocabularies[: len(sizes)], sizes, strict=True):
        stride = stride_of(vocabulary)
        grids.append((height // stride[0], width // stride[1]))
    grids += [grids[0]] * (len(vocabularies) - len(grids))
    if isinstance(connector, list):
        return rule.grid([_connect(c, g) for c, g in zip(connector, grids, strict=True)])
    return _connect(connector, rule.grid(grids))


def stride_of(vocabulary: dict[str, Any]) -> Grid:
    """Return the pixels per token (rows, columns) of a vocabulary's configuration."""
    return VOCABULARIES[vocabulary["name"]].stride_of(**sizes_of(vocabulary))


def _connect(connector: dict[str, Any], grid: Grid) -> Grid:
    return CONNECTORS[connector["name"]].grid(grid, **sizes_of(connector))


def build_connectors(
    merge: str, connector: dict[str, Any] | list[dict[str, Any]], widths: list[int], width: int
) -> nn.Module:
    """Build one connector after the merge, or one per vocabulary before it.

    Args:
        merge: Name of the merge.
        connector: Configuration of the connector, or one per vocabulary.
        widths: Widths of the vocabularies.
        width: Width of the language model.

    Raises:
        ConfigError: The number of connectors is not that of vocabularies, or widths cannot be merged.
    """
    rule = MERGES[merge]
    if not isinstance(connector, list):
        return build(CONNECTORS, connector, rule.width(widths), width)
    if len(connector) != len(widths):
        raise ConfigError(f"{len(connector)} connectors for {len(widths)} vocabularies")
    share = rule.share(width, len(widths))
    return nn.ModuleList(build(CONNECTORS, sizes, own, share) for sizes, own in zip(connector, widths, strict=True))


def connected_width(merge: str, connector: dict[str, Any] | list[dict[str, Any]], widths: list[int], width: int) -> int:
    """Return the width of image tokens: that of the language model, but for a chain that ends before it."""
    if isinstance(connector, list):
        return width
    return CONNECTORS[connector["name"]].width(MERGES[merge].width(widths), width, **sizes_of(connector))
