"""Arrange the tokens of the views of an image in one sequence, with the marks and line breaks that a model knows.

An arrangement answers two questions from the same sizes: which runs of image tokens a prompt needs, for the processor,
and which tokens fill them, for the model. So the two cannot disagree.
Shapes: V views of an image, M tokens of a view, E their width, L tokens of the image.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..connect import Grid, sizes_of
from .views import Shape, crop_padding, views_of

Runs = list[int | str]  # numbers of image tokens, and text between them


class Arrange(nn.Module):
    """Put the tokens of all views one after the other.

    Args:
        width: E.
        before_tile: Text before a tile; `{row}` and `{column}` count from 1.
        between_tiles: Text between two tiles of a row.
        after_row: Text after the last tile of a row; `{index}` counts the rows from 0.
        before_whole: Text before the whole image, if there are tiles.
        before_single: Text before an image without tiles.
        after: Text after everything.
        places: Add the place of its view to each token: learnt vectors for the distances of its centre from the four
            sides (SEED-X, arXiv 2404.14396). The whole image is the last view.
    """

    given: ClassVar = ("width",)

    def __init__(
        self,
        width: int,
        before_tile: str = "",
        between_tiles: str = "",
        after_row: str = "",
        before_whole: str = "",
        before_single: str = "",
        after: str = "",
        places: bool = False,
    ):
        super().__init__()
        self.places = nn.Parameter(torch.randn(4, width) / width**0.5) if places else None

    @staticmethod
    def runs(grid: Grid, shape: Shape, size: Grid, **texts: Any) -> Runs:
        """Return the runs of image tokens of an image, and the texts between them.

        Args:
            grid: Rows and columns of the tokens of a view.
            shape: The shape of the image's views.
            size: Height and width of a view in pixels, with its padding.
            texts: The arguments of the constructor.
        """
        each, (rows, columns, *_) = grid[0] * grid[1], shape
        if not any(texts.values()):
            return [each * views_of(shape)]
        if not rows * columns:
            return [texts.get("before_single", ""), each, texts.get("after", "")]
        found: Runs = []
        for row in range(1, rows + 1):
            for column in range(1, columns + 1):
                found.append(texts.get("between_tiles", "") if column > 1 else "")
                found += [texts.get("before_tile", "").format(row=row, column=column), each]
            found.append(texts.get("after_row", "").format(index=row - 1))
        return [*found, texts.get("before_whole", ""), each, texts.get("after", "")]

    def forward(self, views_VME: Tensor, grid: Grid, shape: Shape, size: Grid) -> Tensor:
        """Return the tokens (L, E) of one image, in the order of `runs`."""
        if self.places is not None:
            rows, columns, *_ = shape
            centres = [((c + 0.5) / columns, (r + 0.5) / rows) for r in range(rows) for c in range(columns)]
            sides = views_VME.new_tensor([[x, y, 1 - x, 1 - y] for x, y in [*centres, (0.5, 0.5)]])
            views_VME = views_VME + (sides / 2 @ self.places)[:, None]
        return views_VME.flatten(0, 1)


class WholeFirst(Arrange):
    """Put the whole image first, then its tiles row by row, with the same texts around every view (MiniCPM-V).

    Args:
        width: E.
        before: Text before every view.
        after: Text after every view.
        before_tiles: Text before the first tile.
        between_rows: Text between two rows of tiles.
        after_tiles: Text after the last tile.
    """

    def __init__(
        self,
        width: int,
        before: str = "",
        after: str = "",
        before_tiles: str = "",
        between_rows: str = "",
        after_tiles: str = "",
    ):
        super().__init__(width)

    @staticmethod
    def runs(grid: Grid, shape: Shape, size: Grid, **texts: Any) -> Runs:
        """Return the runs of an image."""
        view: Runs = [texts.get("before", ""), grid[0] * grid[1], texts.get("after", "")]
        rows, columns, *_ = shape
        if not rows * columns:
            return view
        row, between = view * columns, [texts.get("between_rows", "")]
        tiles = row + (between + row) * (rows - 1)
        return [*view, texts.get("before_tiles", ""), *tiles, texts.get("after_tiles", "")]


class AnyRes(Arrange):
    """Put the whole image first, then its tiles as one picture without its padding, each row ended by a learnt vector.

    Source: LLaVA-NeXT (`spatial_unpad`); LLaVA-OneVision, arXiv 2408.03326, adds the limit.

    Args:
        width: E.
        limit: Views whose tokens the tiles may fill; larger pictures are scaled down. None has no limit.
        separated: Keep padding, end the rows of the whole image too, and put a learnt vector between it and its tiles
            (InternLM-XComposer2-4KHD, arXiv 2404.06512).
    """

    def __init__(self, width: int, limit: int | None = None, separated: bool = False):
        super().__init__(width)
        self.newline = nn.Parameter(torch.randn(width) / width**0.5)
        self.limit = limit
        self.separator = nn.Parameter(torch.randn(1, width) / width**0.5) if separated else None

    @staticmethod
    def runs(grid: Grid, shape: Shape, size: Grid, **sizes: Any) -> Runs:
        """Return the number of tokens."""
        if sizes.get("separated"):
            return [grid[0] * (grid[1] + 1) + 1 + shape[0] * grid[0] * (shape[1] * grid[1] + 1)]
        _, _, high, wide = crop_padding(grid, shape)
        high, wide = _limit_size(grid, (high, wide), sizes.get("limit"))
        return [grid[0] * grid[1] + high * (wide + 1)]

    def forward(self, views_VME: Tensor, grid: Grid, shape: Shape, size: Grid) -> Tensor:
        """Return the tokens (L, E) of one image."""
        rows, columns, *_ = shape
        cells = views_VME[1:].unflatten(0, (rows, columns)).unflatten(2, grid)
        picture = cells.permute(4, 0, 2, 1, 3).flatten(3, 4).flatten(1, 2)
        if self.separator is not None:
            return torch.cat([self._rows(views_VME[0].T.unflatten(1, grid)), self.separator, self._rows(picture)])
        top, left, high, wide = crop_padding(grid, shape)
        picture = picture[:, top : top + high, left : left + wide]
        size = _limit_size(grid, (high, wide), self.limit)
        if size != (high, wide):
            picture = F.interpolate(picture[None], size, mode="bilinear")[0]
        return torch.cat([views_VME[0], self._rows(picture)])

    def _rows(self, picture_EHW: Tensor) -> Tensor:
        """Return the cells of a picture, row by row, each row ended."""
        newline = self.newline.to(picture_EHW.dtype)[:, None, None].expand(-1, picture_EHW.shape[1], 1)
        return torch.cat([picture_EHW, newline], 2).flatten(1).T


class Cells(Arrange):
    """Keep the cells of an image that are not padding, row by row.

    Args:
        width: E.
        after_row: Text after each row of cells.
        after: Text after everything.
    """

    def __init__(self, width: int, after_row: str = "", after: str = ""):
        super().__init__(width)

    @staticmethod
    def runs(grid: Grid, shape: Shape, size: Grid, **texts: Any) -> Runs:
        """Return the runs of an image; `shape` holds its size without padding."""
        rows, columns = used_cells(grid, shape, size)
        end: Runs = [texts.get("after", "")]
        if not texts.get("after_row"):
            return [rows * columns, *end]
        row: Runs = [columns, texts["after_row"]]
        return row * rows + end

    def forward(self, views_VME: Tensor, grid: Grid, shape: Shape, size: Grid) -> Tensor:
        """Return the tokens (L, E) of one image."""
        rows, columns = used_cells(grid, shape, size)
        return views_VME[0].unflatten(0, grid)[:rows, :columns].flatten(0, 1)


class Merged(Arrange):
    """Keep the tokens of an image whose views the connector has merged into one."""

    @staticmethod
    def runs(grid: Grid, shape: Shape, size: Grid, **texts: Any) -> Runs:
        """Return the number of tokens."""
        return [grid[0] * grid[1]]


class SlowFast(Arrange):
    """Put some frames of a video with most of their tokens first, then all frames with few (arXiv 2407.15841).

    Args:
        width: E.
        slow: Frames of the first part; neighbouring tokens are averaged in pairs.
        fast: Rows and columns of tokens of each frame of the second part.
    """

    def __init__(self, width: int, slow: int = 10, fast: tuple[int, int] = (4, 4)):
        super().__init__(width)
        self.slow, self.fast = slow, (fast[0], fast[1])

    @staticmethod
    def runs(grid: Grid, shape: Shape, size: Grid, **sizes: Any) -> Runs:
        """Return the number of tokens."""
        slow, (high, wide) = sizes.get("slow", 10), sizes.get("fast", (4, 4))
        return [slow * (grid[0] * grid[1] // 2) + views_of(shape) * high * wide]

    def forward(self, views_VME: Tensor, grid: Grid, shape: Shape, size: Grid) -> Tensor:
        """Return the tokens (L, E) of one video."""
        chosen = [k * len(views_VME) // self.slow for k in range(self.slow)]
        slow = F.avg_pool1d(views_VME[chosen].mT, 2).mT.flatten(0, 1)
        fast = F.adaptive_avg_pool2d(views_VME.mT.unflatten(2, grid), self.fast).flatten(2).mT.flatten(0, 1)
        return torch.cat([slow, fast])


ARRANGES: dict[str, type[Arrange]] = {
    "plain": Arrange,
    "anyres": AnyRes,
    "cells": Cells,
    "merged": Merged,
    "slowfast": SlowFast,
    "whole-first": WholeFirst,
}


def used_cells(grid: Grid, shape: Shape, size: Grid) -> Grid:
    """Return the rows and columns of cells that are not padding, of a view of `size` pixels with its padding."""
    return -(-shape[2] * grid[0] // size[0]), -(-shape[3] * grid[1] // size[1])


def runs_of(arrange: dict[str, Any], grid: Grid, shape: Shape, size: Grid) -> Runs:
    """Return the runs of image tokens that an arrangement of these sizes makes, without building it."""
    sizes = sizes_of(arrange)
    return [run for run in ARRANGES[arrange["name"]].runs(grid, shape, size, **sizes) if run]


def tokens_in(runs: Runs) -> int:
    """Count the image tokens of runs."""
    return sum(run for run in runs if isinstance(run, int))


def _limit_size(grid: Grid, size: Grid, limit: int | None) -> Grid:
    """Return the size in cells after scaling down to the limit; up to 1.1 times too large is left as it is."""
    if limit is None:
        return size
    ratio = math.sqrt(size[0] * size[1] / (limit * grid[0] ** 2))
    return (int(size[0] // ratio), int(size[1] // ratio)) if ratio > 1.1 else size
