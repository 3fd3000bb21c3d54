"""Put image tokens between the text embeddings of a prompt, where the prompt holds `<imgpad>`.

Shapes: B prompts, T text tokens, I images a row may have, M tokens of an image, E width of the language model.
"""

from __future__ import annotations

import torch
from torch import Tensor


def used_images(mask_BT: Tensor, rows: int, images: int, each: int, repeats: bool) -> tuple[list[int], int]:
    """Count the images that each row of pixels uses, from the `<imgpad>` tokens of the prompts.

    Args:
        mask_BT: Where the prompts hold `<imgpad>`.
        rows: Rows of pixels. `generate` repeats prompts for beams and samples, but not a list of tensors.
        images: Images that a row holds at most.
        each: Tokens of one image.
        repeats: Whether prompts may be repeated.

    Returns:
        The images of each row, and how often each row of pixels is repeated in the prompts.

    Raises:
        ValueError: The prompts do not fit the rows, or a prompt does not fit its images.
    """
    places = mask_BT.sum(1)
    beams, left = divmod(len(places), rows)
    if left or not beams or (beams > 1 and not repeats):
        raise ValueError(f"{len(places)} prompts and pixels for {rows}")
    wrong = (places % each != 0) | (places > images * each)
    if bool(wrong.any()):
        k = int(wrong.nonzero()[0])
        raise ValueError(
            f"prompt {k + 1} holds {int(places[k])} <imgpad> tokens; an image gives {each}, and it has {images}"
        )
    return (places[::beams] // each).tolist(), beams


def place_image_tokens(mask_BT: Tensor, embeds_BTE: Tensor, tokens: Tensor) -> Tensor:
    """Replace the masked embeddings by image tokens (..., E), in order."""
    return embeds_BTE.masked_scatter(mask_BT[..., None], tokens.to(embeds_BTE.dtype))


def repeat_rows(tokens_PME: Tensor, counts: list[int], times: int) -> Tensor:
    """Repeat the images of each row, `times` times one after the other."""
    return torch.cat([rows.repeat(times, 1, 1) for rows in tokens_PME.split(counts)])
