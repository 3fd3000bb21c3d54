"""Read boxes and masks out of an answer: the state of a special token says which thing of the image is meant.

Shapes: K special tokens, E width of the language model, N tokens of an image on a grid, D their width, H W pixels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenHead(nn.Module):
    """Base class: map the states of special tokens and the tokens of their images to predictions.

    `given` are the arguments that come from the model: E, and the width of the tokens that the head reads. `vocabulary`
    is the index of the vocabulary whose tokens these are; None are the image tokens of the language model. `before`
    says whether the state is that of the token before, from which the special token is predicted.
    """

    given: ClassVar = ("width", "seen")
    vocabulary: ClassVar[int | None] = None
    before = True

    def __init__(self, token: int):
        super().__init__()
        self.token = token

    def find(self, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prompt and the place (K) of each state that the head reads, in the order of the tokens."""
        found = ids_BT[:, 1:] == self.token if self.before else ids_BT == self.token
        prompts, places = found.nonzero(as_tuple=True)
        return prompts, places

    def forward(self, states_KE: Tensor, tokens_KND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return one prediction for each special token."""
        raise NotImplementedError

    def loss(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """Return the loss of predictions."""
        raise NotImplementedError


class BoxHead(TokenHead):
    """Regress a box (left, top, right, bottom), as shares of the image (u-LLaVA, arXiv 2311.05348 section 3.3).

    Args:
        width: E.
        seen: Ignored; the language model has seen the image.
        token: Id of the token that stands for a box.
        out: Width between the two networks.
    """

    def __init__(self, width: int, seen: int, token: int, out: int = 256):
        super().__init__(token)
        self.project, self.decode = relu_layers(width, width, out), relu_layers(out, out, out // 2, 4)

    def forward(self, states_KE: Tensor, tokens_KND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return boxes (K, 4)."""
        return self.decode(self.project(states_KE))

    def loss(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean distance of the sides, and 1 minus the generalised overlap of ordered boxes."""
        return F.l1_loss(predicted, wanted) + (1 - generalised_overlap(ordered(predicted), wanted)).mean()


class MaskHead(TokenHead):
    """Prompt the mask decoder of SAM with the projected state (LISA, arXiv 2308.00692; GLaMM, arXiv 2311.03356).

    Args:
        width: E.
        seen: D, also the width of the decoder.
        token: Id of the token that stands for a mask.
        config: Sizes of transformers' `SamMaskDecoderConfig`.
    """

    vocabulary: ClassVar[int | None] = 1  # with the image encoder of SAM

    def __init__(self, width: int, seen: int, token: int, config: dict[str, Any] | None = None):
        super().__init__(token)
        from transformers import SamConfig, SamModel

        small = {"hidden_size": 2, "num_hidden_layers": 0, "num_attention_heads": 1, "output_channels": seen}
        sam: Any = SamModel(  # its image encoder is a vocabulary
            SamConfig(
                vision_config={**small, "num_pos_feats": seen // 2},
                prompt_encoder_config={"hidden_size": seen},
                mask_decoder_config={"hidden_size": seen, **(config or {})},
            )
        )
        self.project = relu_layers(width, width, seen)
        self.decoder, self.places = sam.mask_decoder, sam.shared_image_embedding
        self.no_mask = sam.prompt_encoder.no_mask_embed

    def forward(self, states_KE: Tensor, tokens_KND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return log-odds (K, 4 * rows, 4 * columns) of masks of the padded image."""
        rows, columns = ((torch.arange(side, device=states_KE.device) + 0.5) / side for side in grid)
        centres = torch.stack([columns.expand(*grid), rows[:, None].expand(*grid)], -1)
        picture = tokens_KND.mT.unflatten(2, grid)
        places = self.places(centres).permute(2, 0, 1).expand_as(picture)
        prompt = self.project(states_KE)[:, None, None]
        dense = self.no_mask.weight[..., None, None].expand_as(picture)
        return self.decoder(picture, places, prompt, dense, multimask_output=False)[0][:, 0, 0]

    def loss(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """Return twice the cross-entropy plus half the Dice loss of masks (K, H, W); predictions get their size."""
        logits = F.interpolate(predicted[:, None].float(), wanted.shape[-2:], mode="bilinear", align_corners=False)
        logits, wanted = logits[:, 0].flatten(1), wanted.float().flatten(1)
        shown = logits.sigmoid()
        dice = 1 - (2 * (shown * wanted).sum(1) + 1e-3) / (shown.sum(1) + wanted.sum(1) + 1e-3)
        return 2.0 * F.binary_cross_entropy_with_logits(logits, wanted) + 0.5 * dice.mean()


class CellHead(TokenHead):
    """Draw a mask in the cells of a vocabulary: the products of their tokens and the projected state (MaskFormer).

    Args:
        width: E.
        seen: D.
        token: Id of the token that stands for a mask.
        out: Width of the products.
    """

    vocabulary: ClassVar[int | None] = 0
    loss = MaskHead.loss
    weights = 2.0, 0.5

    def __init__(self, width: int, seen: int, token: int, out: int = 256):
        super().__init__(token)
        self.project, self.cells = relu_layers(width, width, out), nn.Linear(seen, out)

    def forward(self, states_KE: Tensor, tokens_KND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return log-odds (K, rows, columns) of masks of the padded image."""
        cells = self.cells(tokens_KND[:, -grid[0] * grid[1] :])
        return (cells @ self.project(states_KE)[..., None])[..., 0].unflatten(1, grid)


def relu_layers(*widths: int) -> nn.Sequential:
    """Return linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for first, last in pairwise(widths):
        layers += [nn.ReLU(), nn.Linear(first, last)]
    return nn.Sequential(*layers[1:])


def ordered(boxes: Tensor) -> Tensor:
    """Return boxes whose left and top are not behind their right and bottom."""
    first, last = boxes.unflatten(-1, (2, 2)).sort(-2).values.unbind(-2)
    return torch.cat([first, last], -1)


def generalised_overlap(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised intersection over union of boxes (..., 4), arXiv 1902.09630."""

    def area(boxes: Tensor) -> Tensor:
        return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)

    inner = torch.cat([torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])], -1)
    outer = torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1)
    both, hull = area(a) + area(b) - area(inner), area(outer)
    return area(inner) / both.clamp(min=1e-6) - (hull - both) / hull.clamp(min=1e-6)


def predict(
    heads: nn.ModuleList, ids_BT: Tensor | None, out: Any, images: Any, targets: list[Tensor] | None
) -> tuple[list[Tensor | None] | None, Tensor | float]:
    """Return the predictions of each head, None for a head whose token is in no prompt, and the sum of their losses.

    Args:
        heads: The heads, each a `TokenHead`.
        ids_BT: The prompts with their answers.
        out: The output of the language model.
        images: The images of the prompts (`fuse.PromptImages`); without them nothing is predicted.
        targets: One for each head, for its loss; None without losses.
    """
    if not len(heads) or images is None or ids_BT is None:
        return None, 0.0
    found: list[Tensor | None] = []
    losses = []
    for k, head in enumerate(cast("list[TokenHead]", heads)):
        prompts, places = head.find(ids_BT)
        if not len(prompts):
            found.append(None)
            continue
        made = head(out.last_hidden_state[prompts, places], *images.tokens_of(prompts, head.vocabulary))
        found.append(made)
        losses += [head.loss(made, targets[k])] if targets is not None else []
    return found, torch.stack(losses).sum() if losses else 0.0
