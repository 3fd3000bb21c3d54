"""Write an image by unmasking: all codes at once, of which the surest ones are kept, step by step (MaskGIT).

Source: arXiv 2202.04200 section 3 (google-research/maskgit, maskgit/libml/parallel_decode.py, d7c8ec0).
Shapes: B prompts, T tokens, N codes of an image.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...io.errors import ConfigError
from .draw import count_codes


def hide(model: Any, ids_BT: Tensor, pixels_BCHW: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return prompts that hold some codes of their images, and the codes of all (`<imgpad>` hides a code).

    A model learns to write `spelt` where `hidden` has `<imgpad>`: its logits are those of the same places.

    Args:
        model: A model with `fusion: codes` and `mask: prefix`.
        ids_BT: Prompts, each with one image.
        pixels_BCHW: The images.
        generator: Draws the share that is hidden, and which ones.
    """
    places = model.is_image(ids_BT)
    codes = model.fusion.ids(model.vocabularies[0](pixels_BCHW).flatten(0, 1))
    spelt = ids_BT.masked_scatter(places, codes)
    shares = torch.cos(math.pi / 2 * torch.rand(len(ids_BT), 1, generator=generator))
    order = torch.rand(ids_BT.shape, generator=generator).masked_fill(~places, 2).argsort(1).argsort(1)
    hidden = order < (shares * places.sum(1, keepdim=True)).clamp(min=1)
    return torch.where(hidden, model.config.image_token_id, spelt), spelt


@torch.no_grad()
def unmask(
    model: Any, ids_BT: Tensor, steps: int = 8, temperature: float = 4.5, generator: torch.Generator | None = None
) -> Tensor:
    """Return prompts whose `<imgpad>` are codes of an image; `draw_images` draws them.

    Args:
        model: A model with `fusion: codes` and `mask: prefix`.
        ids_BT: Prompts with `<imgpad>` for each code, and no padding.
        steps: Steps; each keeps more of the codes, by the cosine schedule.
        temperature: Noise in the choice of the surest codes; it falls to 0 at the last step.
        generator: Draws codes and noise.

    Raises:
        ConfigError: The model has no codes, or its language model does not see what follows a code.
    """
    first, count = count_codes(model)
    if model.config.mask != "prefix":
        raise ConfigError(f"unmask needs a model with mask: prefix; this one has {model.config.mask}")
    ids, total = ids_BT, model.is_image(ids_BT).sum(1)
    for step in range(1, steps + 1):
        probabilities = model(ids).logits[..., first : first + count].float().softmax(-1)
        drawn = torch.multinomial(probabilities.flatten(0, 1), 1, generator=generator).view(ids.shape)
        hidden = model.is_image(ids)
        sure = probabilities.gather(-1, drawn[..., None])[..., 0].log()
        noise = -torch.empty_like(sure).exponential_(generator=generator).log()
        sure = (sure + temperature * (1 - step / steps) * noise).masked_fill(~hidden, math.inf)
        left = torch.minimum((total * math.cos(math.pi / 2 * step / steps)).long(), hidden.sum(1) - 1).clamp(min=1)
        again = (sure.argsort(1).argsort(1) < left[:, None]) & (step < steps)
        ids = torch.where(hidden & ~again, drawn + first, ids)
    return ids
