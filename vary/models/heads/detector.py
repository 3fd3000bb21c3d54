"""Detect what a special token means in the cells of its image: the head of YOLOX, one class.

Sources: CoVLM, arXiv 2311.03354 section 3.1; YOLOX, arXiv 2107.08430.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .grounding import TokenHead, generalised_overlap


class Detector(TokenHead):
    """Join the state of a special token to every image token, and predict a box and its score for each cell.

    Args:
        width: E.
        seen: Width of the image tokens.
        token: Id of the token after which boxes are wanted.
        hidden: Channels of the head.
    """

    before = False

    def __init__(self, width: int, seen: int, token: int, hidden: int = 256):
        super().__init__(token)
        self.stem = _convolution(width + seen, hidden, 1)
        self.classify, self.regress = (
            nn.Sequential(_convolution(hidden, hidden, 3), _convolution(hidden, hidden, 3)) for _ in range(2)
        )
        self.kind, self.box, self.score = (nn.Conv2d(hidden, channels, 1) for channels in (1, 4, 1))

    def forward(self, states_KE: Tensor, tokens_KND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return (K, N, 6): left, top, right and bottom as shares of the image, log-odds of a thing and of its kind."""
        joined = torch.cat([tokens_KND, states_KE[:, None].expand(-1, tokens_KND.shape[1], -1)], -1)
        x = self.stem(joined.mT.unflatten(2, grid))
        near, kind = self.regress(x), self.kind(self.classify(x))
        out = torch.cat([self.box(near), self.score(near), kind], 1).flatten(2).mT
        rows, columns = (torch.arange(side, device=out.device) for side in grid)
        corners = torch.stack([columns.expand(*grid), rows[:, None].expand(*grid)], -1).flatten(0, 1)
        cells = out.new_tensor(grid[::-1])
        middle, half = (out[..., :2] + corners) / cells, out[..., 2:4].exp() / cells / 2
        return torch.cat([middle - half, middle + half, out[..., 4:]], -1)

    def loss(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """Return the loss for one box (K, 4) each: cells near its middle predict it, the others nothing.

        YOLOX chooses the cells by their cost; here they are the cell that is nearest to the middle of the box.
        """
        middle = (wanted[:, None, :2] + wanted[:, None, 2:]) / 2
        own = (predicted[..., :2] + predicted[..., 2:4]) / 2
        nearest = (own.detach() - middle).square().sum(-1).argmin(1)
        chosen = predicted[torch.arange(len(wanted), device=wanted.device), nearest]
        there = F.one_hot(nearest, predicted.shape[1]).float()
        scores = F.binary_cross_entropy_with_logits(predicted[..., 4], there)
        kinds = F.binary_cross_entropy_with_logits(chosen[:, 5], torch.ones_like(chosen[:, 5]))
        return scores + kinds + (1 - generalised_overlap(chosen[:, :4], wanted)).mean()


def best_boxes(predicted: Tensor) -> Tensor:
    """Return the box (K, 4) with the highest score of a thing, inside the image."""
    best = predicted[..., 4].argmax(1)
    return predicted[torch.arange(len(best), device=best.device), best, :4].clamp(0, 1)


def _convolution(channels: int, out: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(out, eps=1e-3, momentum=0.03),
        nn.SiLU(),
    )
