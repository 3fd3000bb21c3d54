"""Count the images that prompts use, and put image tokens where prompts hold `<imgpad>`.

Shapes: B prompts, T text tokens, L tokens of an image, E their width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...io.errors import InputError
from ..connect import Grid
from ..images.arrange import Runs, runs_of, tokens_in, used_cells
from ..images.views import Shape, tile_numbers, view_sizes, views_of
from ..vocab import VisionFeatures
from ..vocab.merge import token_grid
from .language import FIRST, LAST, positions_of, unpadded_positions


@dataclass
class PromptImages:
    """The images that each row of pixels uses: their tokens (L, E), and the grid of those that are not padding.

    `runs` holds how many of these tokens follow each other without text between them. `beams` is how often each row of
    pixels is repeated in the prompts. `flat` holds the tokens of all views (P, M, E) on a `grid`, `features` what the
    vocabularies gave, and `views` the number of views of each row.
    """

    rows: list[list[Tensor]]
    grids: list[list[Grid]]
    runs: list[list[int]]
    beams: int
    flat: Tensor
    grid: Grid
    features: VisionFeatures
    views: Tensor

    def tokens_of(self, prompts_K: Tensor, vocabulary: int | None) -> tuple[Tensor, Grid]:
        """Return the tokens (K, N, D) of the image of each of these prompts, and their grid.

        Args:
            prompts_K: Numbers of prompts.
            vocabulary: The vocabulary whose tokens are wanted; None are image tokens.

        Raises:
            InputError: A prompt has another number of views than one.
        """
        rows = prompts_K // self.beams
        if bool((self.views[rows] != 1).any()):
            raise InputError("regions, boxes and masks need prompts with one image of one view")
        tokens, grid = self.flat, self.grid
        if vocabulary is not None:
            tokens, grid = self.features.tokens[vocabulary], self.features.grids[vocabulary]
        return tokens[(self.views.cumsum(0) - 1)[rows]], grid

    def in_order(self) -> Tensor:
        """Return the tokens of all images of all prompts, one after the other."""
        return torch.cat([tokens for row in self.rows for _ in range(self.beams) for tokens in row])

    def marks(self, is_image_BT: Tensor) -> Tensor:
        """Mark the tokens (B, T) of prompts: 0 is text, an image token is the first or last of its run, or inside."""
        marks, places = is_image_BT.long(), is_image_BT.flatten().nonzero()[:, 0]
        counts = [count for row in self.runs for _ in range(self.beams) for count in row]
        ends = torch.tensor(counts, device=places.device).cumsum(0)
        marks.view(-1)[places[ends - torch.tensor(counts, device=places.device)]] = FIRST
        marks.view(-1)[places[ends - 1]] = LAST
        return marks

    def stacked(self) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, I, L, E), zeros where a prompt has fewer images, and which images are there (B, I).

        Every image must have the same number of tokens.
        """
        most = max(map(len, self.rows), default=0)
        empty = self.flat.new_zeros(next(row[0] for row in self.rows if row).shape)
        rows = [torch.stack([*row, *[empty] * (most - len(row))]) for row in self.rows]
        there = torch.tensor([[k < len(row) for k in range(most)] for row in self.rows], device=self.flat.device)
        return torch.stack(rows).repeat_interleave(self.beams, 0), there.repeat_interleave(self.beams, 0)


def shapes_of(pixels_BICHW: Tensor, image_shapes_BN4: Tensor | None) -> list[list[Shape]]:
    """Return the shapes of the images of each row of pixels; without given ones, every view is an image."""
    if image_shapes_BN4 is None:
        rows, views, _, high, wide = pixels_BICHW.shape
        return [[(0, 0, high, wide)] * views] * rows
    return [[(r, c, h, w) for r, c, h, w in row if h > 0] for row in image_shapes_BN4.tolist()]


def used_images(places: list[int], each: list[list[int]], repeats: bool) -> tuple[list[int], int]:
    """Count the images that each row of pixels uses, from the `<imgpad>` tokens of the prompts.

    Args:
        places: Number of `<imgpad>` in each prompt.
        each: Tokens of each image of each row of pixels. `generate` repeats prompts for beams and samples, but not a
            list of tensors.
        repeats: Whether prompts may be repeated.

    Returns:
        The images of each row, and how often each row of pixels is repeated in the prompts.

    Raises:
        ValueError: The prompts do not fit the rows, or a prompt does not fit its images.
    """
    beams, left = divmod(len(places), len(each))
    if left or not beams or (beams > 1 and not repeats):
        raise ValueError(f"{len(places)} prompts and pixels for {len(each)}")
    counts = []
    for k, held in enumerate(places):
        images = each[k // beams]
        sums = [sum(images[:n]) for n in range(len(images) + 1)]
        if held not in sums:
            same = len(set(images)) == 1
            gives = f"an image gives {images[0]}" if same else f"its images give {' + '.join(map(str, images))}"
            raise ValueError(f"prompt {k + 1} holds {held} <imgpad> tokens; {gives}, and it has {len(images)}")
        counts.append(sums.index(held))
    return counts[::beams], beams


def place_image_tokens(mask_BT: Tensor, embeds_BTE: Tensor, tokens: Tensor) -> Tensor:
    """Replace the masked embeddings by image tokens (..., E), in order."""
    return embeds_BTE.masked_scatter(mask_BT[..., None], tokens.to(embeds_BTE.dtype))


def rows_of(given: Tensor | None, rows: int) -> Tensor | None:
    """Return one row of a tensor per row of pixels: `generate` repeats tensors for beams, not a list of pixels."""
    return given if given is None else given[:: max(1, len(given) // rows)]


def prompt_inputs(
    model: Any, ids_RT: Tensor, views: Tensor, words: Tensor | None, mask: Tensor | None, asked_BT: Tensor | None
) -> dict[str, Tensor]:
    """Return the inputs of connectors that read the prompt, one row per view.

    Args:
        model: The model.
        ids_RT: The prompt of each row of pixels.
        views: Number of views of each row.
        words: Its words in the second tokenizer.
        mask: Which of these are not padding.
        asked_BT: Which tokens of the prompts a connector may read; prompts may be repeated for beams.
    """
    inputs = {"words_BQ": words, "words_mask_BQ": mask}
    if model.config.reads_prompt:
        asked = rows_of(asked_BT, len(ids_RT))
        inputs |= {"prompt_BTE": model.get_input_embeddings()(ids_RT), "asked_BT": asked}
        if asked is not None:
            inputs["asked_BT"] = asked & ~model.is_image(ids_RT)
    return {key: given.repeat_interleave(views, 0) for key, given in inputs.items() if given is not None}


def tile_places(shapes: list[Shape], preprocess: dict[str, Any], device: torch.device) -> list[Tensor]:
    """Return, for each number of a tile, which of the views of all images are that tile."""
    numbers = torch.tensor([k for shape in shapes for k in tile_numbers(preprocess, shape)], device=device)
    return [(numbers == k).nonzero()[:, 0] for k in range(int(numbers.max()) + 1)] if shapes else []


def encode_images_of_prompts(
    model: Any,
    input_ids: Tensor,
    pixel_values: Tensor | list[Tensor],
    image_shapes: Tensor | None = None,
    words: Tensor | None = None,
    words_mask: Tensor | None = None,
    asked_BT: Tensor | None = None,
) -> PromptImages:
    """Encode, connect and arrange the images that prompts use. The arguments are those of the model's `forward`.

    `asked_BT` says which tokens a connector may read that looks at the prompt; it gets their embeddings.

    Raises:
        ValueError: A prompt holds another number of `<imgpad>` tokens than its images give.
    """
    config, fixed = model.config, model.fusion.places
    stacks = pixel_values if isinstance(pixel_values, list) else [pixel_values]
    stacks = [stack if stack.ndim == 5 else stack[:, None] for stack in stacks]
    sizes = [(int(stack.shape[-2]), int(stack.shape[-1])) for stack in stacks]
    image_shapes, words, words_mask = (rows_of(given, len(stacks[0])) for given in (image_shapes, words, words_mask))
    grid = token_grid(config.vocabularies, config.merge, config.connector, sizes)
    shapes = shapes_of(stacks[0], image_shapes)
    counts = [len(row) for row in shapes]
    beams = len(input_ids) // len(shapes)
    runs: list[list[Runs]] = [[[0]] * len(row) for row in shapes]
    if fixed != 0:  # else the prompt does not say which images it uses
        runs = [[runs_of(config.arrange, grid, shape, sizes[0]) for shape in row] for row in shapes]
        each = [[tokens_in(own) if fixed is None else fixed for own in row] for row in runs]
        counts, beams = used_images(model.is_image(input_ids).sum(1).tolist(), each, isinstance(pixel_values, list))
    shapes = [row[:used] for row, used in zip(shapes, counts, strict=True)]
    runs = [row[:used] for row, used in zip(runs, counts, strict=True)]
    flat = [shape for row in shapes for shape in row]
    views = torch.tensor([sum(map(views_of, row)) for row in shapes], device=stacks[0].device)
    used = torch.arange(stacks[0].shape[1], device=views.device) < views[:, None]
    inputs = prompt_inputs(model, input_ids[::beams], views, words, words_mask, asked_BT)
    preprocess = config.vocabularies[0].get("preprocess", {})
    unpadded = torch.tensor([size for shape in flat for size in view_sizes(preprocess, shape)], device=views.device)
    model.routes.attach(model)
    tiles = tile_places(flat, preprocess, views.device) if model.routes.take("tile") else []
    with model.hooks.replaced(places=model.hooks.places | {"tile": tiles}):
        features = model.encode_images([stack[used] for stack in stacks], unpadded)
        tokens_PME = model.merge_features(features, shapes=flat, **inputs)
    merged = len(tokens_PME) == len(flat)  # the connector may have made one view of all
    own = zip(tokens_PME.split([1 if merged else views_of(shape) for shape in flat]), flat, strict=True)
    arranged = iter([model.arrange(tokens, grid, shape, sizes[0]) for tokens, shape in own])
    grids = [[used_cells(grid, shape, sizes[0]) for shape in row] for row in shapes]
    each = [[n for own in row for n in own if isinstance(n, int)] for row in runs]
    rows = [[next(arranged) for _ in row] for row in shapes]
    return PromptImages(rows, grids, each, beams, tokens_PME, grid, features, views)


def ids_with_images(model: Any, ids_BT: Tensor | None, labels_BT: Tensor | None) -> Tensor | None:
    """Return the ids that mark images: the prompts, or the answers of an encoder-decoder that should write images."""
    if labels_BT is None or not model.config.is_encoder_decoder:
        return ids_BT
    return labels_BT if bool(model.is_image(labels_BT).any()) else ids_BT


def image_marks(model: Any, ids_BT: Tensor | None, images: PromptImages | None) -> Tensor | None:
    """Return which tokens are image tokens, as `PromptImages.marks` does; None without images, or if none asks."""
    if ids_BT is None or images is None or not (model.routes or not model.config.counts_itself):
        return None
    is_image = model.is_image(ids_BT)
    return is_image.long() if model.fusion.places is not None else images.marks(is_image)


def prompt_positions(
    model: Any, ids_BT: Tensor, mask_BT: Tensor | None, images: PromptImages | None, given: Tensor | None = None
) -> Tensor | None:
    """Return the positions of the tokens of prompts: the given ones, or None if the language model counts them."""
    if given is not None:
        return given
    if model.config.counts_itself:
        return unpadded_positions(model.language_model, mask_BT) if model.config.positions["name"] == "plain" else None
    there = torch.ones_like(ids_BT) if mask_BT is None else mask_BT
    grids = [[]] * len(ids_BT) if images is None else [row for row in images.grids for _ in range(images.beams)]
    marks = image_marks(model, ids_BT, images)
    return positions_of(model.config.positions, there, torch.zeros_like(ids_BT) if marks is None else marks, grids)
