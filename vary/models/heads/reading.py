"""Reading head: turn vision tokens into per-frame character logits (CTC) and the geometry of each character.

Every cell of the feature map emits a few CTC frames, so that doubled thin letters ("ll") stay separate. For each frame
the head also predicts how far the line's middle lies from the row's middle, and the type size. `reading/ctc.py` decodes
a line along its path, mixing the two nearest rows, so a line between two rows is read once.

Shapes: B batch, R rows, K columns, T frames (a few per column), D width, A = alphabet + 1 (class 0 is the CTC blank).
Sources: CTC, Graves et al. 2006; rows that spell lines, SPAN (Coquenet et al. 2021) and VAN; mixing rows is ours.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...document.elements import STYLES
from ...document.lines import FrameGrid
from ...io.errors import ConfigError

if TYPE_CHECKING:
    from ..vocab import Vocabulary

STYLE_POOL = (1, 9)  # cells (rows, columns) averaged before a style is predicted: about two em wide
STYLE_WIDTH = 48  # channels of the style branch
CONTEXT = (3, 5)  # cells (rows, columns) that a layer of `context` sees
NEW = 2.0  # nats


class ReadingHead(nn.Module):
    """Map tokens (B, N, D) on a grid (R, K) to logits (B, R, T, A) and geometry (B, R, T, 2 + styles).

    Geometry: [0] middle of the line minus middle of the row, in rows; [1] log2(em / 16 px); then the log-odds of each
    style. One letter shows its style poorly, so styles use the mean of `STYLE_POOL` cells.
    """

    def __init__(
        self,
        width: int,
        alphabet: str,
        stride: tuple[int, int],
        frames: int = 3,
        styles: tuple[str, ...] = (),
        context: int = 0,
    ):
        super().__init__()
        if len(set(alphabet)) != len(alphabet):
            raise ConfigError("the alphabet of a reading head names a character twice")
        if unknown := sorted(set(styles) - set(STYLES)):
            raise ConfigError(f"reading head: unknown style {unknown[0]!r}; allowed: {', '.join(STYLES)}")
        self.frame_grid = FrameGrid(alphabet, (stride[0], stride[1]), frames, tuple(styles))
        self.classes = len(alphabet) + 1
        self.out = nn.Linear(width, frames * (self.classes + 2))
        nn.init.zeros_(self.out.bias)
        self.context = Context(width, context) if context else None
        self.look: nn.Module | None = None  # the style branch; its name is that of the tensors in published weights
        if styles:
            pool = nn.AvgPool2d(STYLE_POOL, 1, (0, STYLE_POOL[1] // 2), count_include_pad=False)
            first, second = nn.Conv2d(width, STYLE_WIDTH, 1), nn.Conv2d(STYLE_WIDTH, STYLE_WIDTH, 1)
            last = nn.Conv2d(STYLE_WIDTH, len(styles), 1)
            self.look = nn.Sequential(first, nn.ReLU(), pool, second, nn.ReLU(), last)

    def forward(self, tokens_BND: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Compute logits and geometry (see the class)."""
        batch = tokens_BND.shape[0]
        frames = grid[1] * self.frame_grid.frames
        features_BDRK = tokens_BND.transpose(1, 2).unflatten(2, grid)
        seen_BND = tokens_BND if self.context is None else self.context(features_BDRK).flatten(2).transpose(1, 2)
        out = self.out(seen_BND).reshape(batch, grid[0], frames, self.classes + 2)
        geometry = out[..., self.classes :].float()
        if self.look is not None:
            odds_BSRK = self.look(features_BDRK)
            odds = odds_BSRK.float().permute(0, 2, 3, 1).repeat_interleave(self.frame_grid.frames, 2)
            geometry = torch.cat([geometry, odds], -1)
        return out[..., : self.classes], geometry

    def widen(self, alphabet: str, weight: Tensor, bias: Tensor) -> None:
        """Begin with the output layer of a head with a smaller alphabet.

        Letters that it lacks begin with the weights of the letter without its marks, or else with their mean, and are
        less likely by NEW nats.

        Args:
            alphabet: Of the smaller head.
            weight, bias: Of its output layer.
        """
        frames, old = self.frame_grid.frames, {ch: k + 1 for k, ch in enumerate(alphabet)}
        bases = [unicodedata.normalize("NFD", ch)[0] for ch in self.frame_grid.alphabet]
        rows = [0, *(old.get(ch, old.get(base, -1)) for ch, base in zip(self.frame_grid.alphabet, bases, strict=True))]
        for own, given in ((self.out.weight.data, weight), (self.out.bias.data, bias)):
            given = given.reshape(frames, len(alphabet) + 3, -1).to(own)
            mean = given[:, 1:-2].mean(1)
            parts = [mean if k < 0 else given[:, k] for k in rows]
            wide = torch.stack([*parts, given[:, -2], given[:, -1]], 1)
            if own.dim() == 1:
                new = [0, *(ch not in old for ch in self.frame_grid.alphabet), 0, 0]
                wide = wide - NEW * torch.tensor(new, dtype=own.dtype)[None, :, None]
            own.copy_(wide.reshape(own.shape))


class Context(nn.Sequential):
    """Add to the features (B, D, R, K) of each cell what its neighbours show. The last layer begins as zero."""

    def __init__(self, width: int, inner: int):
        first, last = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        second, third = (nn.Conv2d(inner, inner, CONTEXT, padding="same") for _ in range(2))
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU(), last)

    def forward(self, features_BDRK: Tensor) -> Tensor:
        """Return features of the same shape."""
        return features_BDRK + super().forward(features_BDRK)


def build(config: Mapping[str, Any], vocabulary: Vocabulary) -> ReadingHead:
    """Build the reading head of a model from its `reading` configuration and the vocabulary that it reads."""
    given = {key: config[key] for key in ("frames", "context") if key in config}
    return ReadingHead(
        vocabulary.width, config["alphabet"], vocabulary.stride, styles=tuple(config.get("styles", ())), **given
    )


def vocabulary_index(config: Mapping[str, Any] | None) -> int:
    """Return which vocabulary the head reads, from 0: `reading.vocabulary`, by default the first."""
    return int((config or {}).get("vocabulary", 0))
