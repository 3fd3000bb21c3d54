"""Describe regions of an image by tokens of their own, which the prompt holds where it speaks of them.

Shapes: K regions, N tokens of an image on a grid, D their width, E width of the language model, H W cells of a mask.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...io.errors import InputError
from ..connect import Grid
from .images import PromptImages, place_image_tokens


class RegionReader(nn.Module):
    """Base class: map the tokens of images and a region of each to tokens of the prompt.

    `given` are the arguments that come from the model: E, and the width of the tokens that it reads. `vocabulary` is
    the index of the vocabulary of these tokens; None are the image tokens of the language model.
    """

    given: ClassVar = ("width", "seen")
    vocabulary: ClassVar[int | None] = 0

    def __init__(self, token: int):
        super().__init__()
        self.token = token

    def forward(self, tokens_KND: Tensor, grid: Grid, regions: Tensor) -> Tensor:
        """Return (K, E). Regions are boxes (K, 4) as shares of the image, or masks (K, H, W)."""
        raise NotImplementedError


class Mean(RegionReader):
    """Average the image tokens that a box touches (CoVLM, arXiv 2311.03354 section 3.1).

    Args:
        width: E.
        seen: Ignored; image tokens are as wide as the language model.
        token: Id of the token that stands for a region.
    """

    vocabulary: ClassVar[int | None] = None

    def __init__(self, width: int, seen: int, token: int):
        super().__init__(token)

    def forward(self, tokens_KND: Tensor, grid: Grid, regions: Tensor) -> Tensor:
        """Return (K, E)."""
        inside = rasterise(boxes_of(regions), grid).flatten(1).to(tokens_KND.dtype)
        return (inside[:, None] @ tokens_KND)[:, 0] / inside.sum(1, keepdim=True)


class Points(RegionReader):
    """Sample points inside a region of any shape, and merge neighbouring points (Ferret, arXiv 2310.07704 section 3.2).

    The authors draw points at random; here they are spread evenly, so that the same region gives the same token.

    Args:
        width: E.
        seen: D.
        token: Id of the token that stands for a region.
        points: Points that are sampled, and those that are left after each merge.
        neighbours: Points that are merged into one.
        side: Cells per side of the mask that a box becomes.
    """

    def __init__(
        self,
        width: int,
        seen: int,
        token: int,
        points: tuple[int, ...] = (512, 128, 32),
        neighbours: int = 24,
        side: int = 336,
    ):
        super().__init__(token)
        self.points, self.neighbours, self.side = points, neighbours, side
        stages = range(len(points) - 1)
        self.differences = nn.ModuleList(nn.Linear(seen + 2, seen + 2) for _ in stages)
        self.merges = nn.ModuleList(nn.Linear(2 * (seen + 2), seen) for _ in stages)
        self.norms = nn.ModuleList(nn.LayerNorm(seen) for _ in stages)
        self.flatten, self.project = nn.Linear(seen * points[-1], seen), nn.Linear(seen, width)

    def forward(self, tokens_KND: Tensor, grid: Grid, regions: Tensor) -> Tensor:
        """Return (K, E)."""
        masks = rasterise(regions, (self.side, self.side)) if regions.ndim == 2 else regions
        places = torch.stack([self._spread(mask) for mask in masks.bool()]).to(tokens_KND.dtype)
        picture = tokens_KND.mT.unflatten(2, grid).float()
        at = 2 * places.flip(-1)[:, :, None].float() - 1
        x = F.grid_sample(picture, at, align_corners=True)[..., 0].mT.to(tokens_KND.dtype)
        for k, count in enumerate(self.points[1:]):
            kept = farthest(places, count)
            middle = torch.cat([_take(x, kept), _take(places, kept)], -1)
            near = torch.cdist(middle[..., -2:].float(), places.float()).topk(self.neighbours, largest=False).indices
            around = torch.cat([_take(x, near.flatten(1)), _take(places, near.flatten(1))], -1)
            moved = self.differences[k](around.unflatten(1, near.shape[1:]) - middle[:, :, None])
            both = torch.cat([moved, middle[:, :, None].expand_as(moved)], -1)
            x, places = self.norms[k](F.relu(self.merges[k](both))).mean(2), middle[..., -2:]
        return self.project(self.flatten(x.flatten(1)))

    def _spread(self, mask: Tensor) -> Tensor:
        """Return places (points, 2) of cells of a mask, row and column as shares."""
        cells = mask.nonzero()
        chosen = torch.arange(self.points[0], device=mask.device) * len(cells) // self.points[0]
        return cells[chosen] / cells.new_tensor(mask.shape)


class Levels(RegionReader):
    """Cut a box out of the maps of several layers, which are mixed before (GPT4RoI, arXiv 2307.03601; GLaMM).

    The tokens hold the layers side by side, the deepest last. The map of each other layer has twice the sides of the
    next; neighbouring layers exchange a quarter of their channels each way before every convolution.

    Args:
        width: E.
        seen: D of all layers together.
        token: Id of the token that stands for a region.
        levels: Number of layers.
        mixes: Times that they are mixed.
        groups: Groups of the norms.
        sizes: Widths of the two layers that a box goes through, the second also that of a region.
        cells: Side of the grid in which boxes are measured; that of the tokens by default.
    """

    SIDE = 14  # cells per side that are cut out, of 2 x 2 samples each

    def __init__(
        self,
        width: int,
        seen: int,
        token: int,
        levels: int = 4,
        mixes: int = 5,
        groups: int = 64,
        sizes: tuple[int, int] = (256, 1024),
        cells: int | None = None,
    ):
        super().__init__(token)
        own = seen // levels
        self.cells = cells
        self.inputs = nn.ModuleList(nn.Conv2d(own + 2, own, 1) for _ in range(levels))
        self.mixes = nn.ModuleList(
            nn.Sequential(nn.Conv2d(own, own, 3, padding=1, bias=False), nn.GroupNorm(groups, own), nn.ReLU())
            for _ in range(mixes)
        )
        self.cuts = nn.ModuleList(nn.Conv2d(own, own, 3, padding=1) for _ in range(levels))
        self.flatten = nn.Linear(own * self.SIDE**2, sizes[1])
        layers: list[nn.Module] = []
        for first, last in pairwise((4, *sizes)):
            layers += [nn.Linear(first, last), nn.ReLU(), nn.LayerNorm(last)]
        self.box, self.project = nn.Sequential(*layers), nn.Linear(sizes[1], width)

    def forward(self, tokens_KND: Tensor, grid: Grid, regions: Tensor) -> Tensor:
        """Return (K, E)."""
        boxes = boxes_of(regions).to(tokens_KND.dtype)
        maps = []
        for k, (made, own) in enumerate(zip(self.inputs, tokens_KND.chunk(len(self.inputs), -1), strict=True)):
            size = [side << (len(self.inputs) - 1 - k) for side in grid]
            picture = _resize(own.mT.unflatten(2, grid), size)
            down, across = (torch.linspace(-1, 1, side, device=boxes.device).to(boxes.dtype) for side in size)
            places = torch.stack([across.expand(*size), down[:, None].expand(*size)]).expand(len(picture), -1, -1, -1)
            maps.append(made(torch.cat([picture, places], 1)))
        for mix in self.mixes:
            maps = [mix(_exchange(maps, k)) for k in range(len(maps))]
        found: Any = 0
        for k, (cut, picture) in enumerate(zip(self.cuts, maps, strict=True)):
            sides = grid if self.cells is None else (self.cells, self.cells)
            scale = boxes.new_tensor(sides[::-1] * 2) * 2 ** (len(maps) - 1 - k)
            found = found + cut(roi_align(picture, boxes * scale, self.SIDE))
        return self.project(self.flatten(F.relu(found).flatten(1)) + self.box(boxes))


REGIONS: dict[str, type[RegionReader]] = {"levels": Levels, "mean": Mean, "points": Points}


def boxes_of(regions: Tensor) -> Tensor:
    """Return the boxes (K, 4) of boxes, or of masks (K, H, W): left, top, right and bottom as shares of the image."""
    if regions.ndim == 2:
        return regions
    sides = []
    for axis in (1, 2):  # columns, rows
        there = regions.bool().any(axis).float()
        count = there.shape[1]
        sides.append((there.argmax(1) / count, 1 - there.flip(1).argmax(1) / count))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], 1)


def rasterise(boxes_K4: Tensor, grid: Grid) -> Tensor:
    """Return masks (K, rows, columns) of the cells that hold a corner of a box, and of those between them."""
    masks, (left, top, right, bottom) = [], boxes_K4.T
    for side, first, last in ((grid[0], top, bottom), (grid[1], left, right)):
        cells = torch.arange(side, device=boxes_K4.device)
        low, high = ((edge * side).long().clamp(0, side - 1)[:, None] for edge in (first, last))
        masks.append((cells >= low) & (cells <= torch.maximum(low, high)))
    return masks[0][:, :, None] & masks[1][:, None]


def roi_align(picture_KDHW: Tensor, boxes_K4: Tensor, side: int) -> Tensor:
    """Cut boxes out of maps as RoIAlign does: (K, D, side, side), means of 2 x 2 samples (arXiv 1703.06870).

    Boxes are in cells of the map; the middle of the first cell is at 0.5.
    """
    steps = (torch.arange(2 * side, device=boxes_K4.device) + 0.5) / (2 * side)
    x, y = (boxes_K4[:, k, None] + steps * (boxes_K4[:, k + 2, None] - boxes_K4[:, k, None]) for k in (0, 1))
    high, wide = picture_KDHW.shape[-2:]
    across, down = 2 * x / wide - 1, 2 * y / high - 1
    at = torch.stack([across[:, None].expand(-1, 2 * side, -1), down[..., None].expand(-1, -1, 2 * side)], -1)
    found = F.grid_sample(picture_KDHW.float(), at.float(), padding_mode="border", align_corners=False)
    return F.avg_pool2d(found, 2).to(picture_KDHW.dtype)


def farthest(places_KN2: Tensor, count: int) -> Tensor:
    """Return the indices (K, count) of points far from each other, by choosing the farthest one again and again."""
    nearest = places_KN2.new_full(places_KN2.shape[:2], float("inf"))
    chosen = [torch.zeros(len(places_KN2), dtype=torch.long, device=places_KN2.device)]
    for _ in range(count - 1):
        last = _take(places_KN2, chosen[-1][:, None])
        nearest = torch.minimum(nearest, (places_KN2 - last).square().sum(-1))
        chosen.append(nearest.argmax(1))
    return torch.stack(chosen, 1)


def _take(x_KND: Tensor, at_KM: Tensor) -> Tensor:
    return x_KND.gather(1, at_KM[..., None].expand(-1, -1, x_KND.shape[-1]))


def _resize(map_KDHW: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(map_KDHW.float(), size, mode="bilinear", align_corners=True).to(map_KDHW.dtype)


def _exchange(maps: list[Tensor], k: int) -> Tensor:
    """Replace the last half of the channels of a map by quarters of the next and of the previous map."""
    quarter = maps[k].shape[1] // 4
    kept = maps[k].shape[1] - 2 * quarter
    above, below = maps[min(k + 1, len(maps) - 1)], maps[max(k - 1, 0)]
    size = list(maps[k].shape[-2:])
    parts = [_resize(above[:, kept + quarter :], size), _resize(below[:, kept : kept + quarter], size)]
    return torch.cat([maps[k][:, :kept], *parts], 1)


def place_images(
    model: Any,
    ids_BT: Tensor,
    embeds_BTE: Tensor,
    labels_BT: Tensor | None,
    images: PromptImages,
    regions: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Put image tokens and regions into the embeddings of prompts; return them, and the labels.

    Args:
        model: The model.
        ids_BT: The prompts, or their labels where an encoder-decoder should write the images.
        embeds_BTE: Their embeddings.
        labels_BT: Their labels; images that the model writes get their ids.
        images: The images of the prompts.
        regions: As for `place_regions`.
    """
    if model.fusion.places is None:
        tokens, is_image = images.in_order(), model.is_image(ids_BT)
        if ids_BT is not labels_BT:
            embedded = model.fusion.embed(tokens, model.get_input_embeddings())
            embeds_BTE = place_image_tokens(is_image, embeds_BTE, embedded)
        if labels_BT is not None and (ids_BT is labels_BT or not model.config.is_encoder_decoder):
            labels_BT = model.fusion.targets(labels_BT, is_image, tokens)
    if model.regions is not None and regions is not None:
        embeds_BTE = place_regions(model.regions, ids_BT, embeds_BTE, regions, images)
    return embeds_BTE, labels_BT


def place_regions(
    region: RegionReader, ids_BT: Tensor, embeds_BTE: Tensor, regions: Tensor, images: PromptImages
) -> Tensor:
    """Replace the embeddings of region tokens by those of regions, in order.

    Args:
        region: The part that describes regions.
        ids_BT: The prompts.
        embeds_BTE: Their embeddings.
        regions: Boxes (B, R, 4) or masks (B, R, H, W) of each prompt; empty ones fill up prompts with fewer.
        images: The images of the prompts.

    Raises:
        InputError: A prompt has fewer region tokens than regions.
    """
    there = regions.flatten(2).any(2)
    places = ids_BT == region.token
    places = places & (places.cumsum(1) <= there.sum(1, keepdim=True))  # a later one was written by the model
    if not torch.equal(places.sum(1), there.sum(1)):
        raise InputError(f"prompts hold {places.sum(1).tolist()} region tokens, and {there.sum(1).tolist()} regions")
    prompts = there.nonzero()[:, 0]
    if not len(prompts):
        return embeds_BTE
    tokens = region(*images.tokens_of(prompts, region.vocabulary), regions[there])
    return place_image_tokens(places, embeds_BTE, tokens)
