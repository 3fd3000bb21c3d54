"""The reading head: it makes a vocabulary readable, every feature row spells the text line that runs through it.

A cell of the feature map emits several CTC frames, so that doubled thin letters stay apart, and two measurements:
how far the line's middle lies from the row's middle, and how large the type is. A line's spelling is
read along its path: at every frame the two nearest rows are mixed by their distance from the line's middle, so a line
between two rows is spelt once, and a skewed line is followed from row to row.

Shapes: B batch, R rows, K columns, T frames (a few per column), D width, A = alphabet + 1
(class 0 is CTC's blank), L lines.
Frame: y in pixels; row r has its middle at (r + 0.5) * 8; frame t its own at (t + 0.5) * frame_px.
Sources: CTC, Graves et al. 2006; rows that spell lines, SPAN (Coquenet et al. 2021) and VAN; mixing is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...document.elements import STYLES
from ...io.errors import ConfigError

if TYPE_CHECKING:
    pass

NEAR_COLUMNS, LOOK_WIDTH = (1, 9), 48  # cells that a style is told from, about two em; width of what tells it
NEAR_PX2 = (
    2 * 2.5**2
)  # spread of the mixing weights: a row 4 px off counts half, 6 px off a thirtieth of the nearer one


@dataclass(frozen=True)
class Lattice:
    """Where a head's frames lie and what they spell. stride: pixels per cell (rows, columns); frames: per column;
    styles: of type that the head tells apart, names of `document.STYLES`."""

    alphabet: str
    stride: tuple[int, int]
    frames: int
    styles: tuple[str, ...] = ()

    @property
    def row_px(self) -> float:
        """Height of a row of cells."""
        return float(self.stride[0])

    @property
    def frame_px(self) -> float:
        """Width of a frame."""
        return self.stride[1] / self.frames

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and frames of an image of this size in pixels."""
        return height // self.stride[0], width // self.stride[1] * self.frames


class ReadingHead(nn.Module):
    """Tokens (B, N, D) of a grid (R, K) -> logits (B, R, T, A) and measurements (B, R, T, 2 + styles).

    Measurements: [0] middle of the line minus middle of the row, in rows; [1] log2(em / 16 px); then for each style
    the log-odds that a character is set in it. A letter alone hardly shows its style: it is told from the features of
    `NEAR_COLUMNS` cells about it.
    """

    def __init__(
        self, width: int, alphabet: str, stride: tuple[int, int], frames: int = 3, styles: tuple[str, ...] = ()
    ):
        super().__init__()
        if len(set(alphabet)) != len(alphabet):
            raise ConfigError("the alphabet of a reading head names a character twice")
        if unknown := sorted(set(styles) - set(STYLES)):
            raise ConfigError(f"reading head: unknown style {unknown[0]!r}; allowed: {', '.join(STYLES)}")
        self.lattice = Lattice(alphabet, (stride[0], stride[1]), frames, tuple(styles))
        self.classes = len(alphabet) + 1
        self.out = nn.Linear(width, frames * (self.classes + 2))
        nn.init.zeros_(self.out.bias)
        self.look: nn.Module | None = None
        if styles:
            pool = nn.AvgPool2d(NEAR_COLUMNS, 1, (0, NEAR_COLUMNS[1] // 2), count_include_pad=False)
            first, second = nn.Conv2d(width, LOOK_WIDTH, 1), nn.Conv2d(LOOK_WIDTH, LOOK_WIDTH, 1)
            last = nn.Conv2d(LOOK_WIDTH, len(styles), 1)
            self.look = nn.Sequential(first, nn.ReLU(), pool, second, nn.ReLU(), last)

    def forward(self, tokens_BND: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """See the class."""
        batch = tokens_BND.shape[0]
        frames = grid[1] * self.lattice.frames
        out = self.out(tokens_BND).reshape(batch, grid[0], frames, self.classes + 2)
        measures = out[..., self.classes :].float()
        if self.look is not None:
            odds_BSRK = self.look(tokens_BND.transpose(1, 2).unflatten(2, grid))
            odds = odds_BSRK.float().permute(0, 2, 3, 1).repeat_interleave(self.lattice.frames, 2)
            measures = torch.cat([measures, odds], -1)
        return out[..., : self.classes], measures


def path_weights(y_px: Tensor, row_px: float, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """The two rows nearest to each height and the share of the lower one.

    y_px: any shape. Returns (upper row, lower row, share of the lower), each of that shape. The mix is
    (1 - share) * upper + share * lower.
    """
    place = y_px / row_px - 0.5
    upper = place.floor()
    from_upper = (place - upper) * row_px
    share = torch.sigmoid((from_upper**2 - (row_px - from_upper) ** 2) / NEAR_PX2)
    upper = upper.long()
    return upper.clamp(0, rows - 1), (upper + 1).clamp(0, rows - 1), share


def mix_rows(log_probs_RTA: Tensor, y_T: Tensor, frames_T: Tensor, row_px: float) -> Tensor:
    """Log-probabilities (T, A) along one path over a page's rows."""
    upper, lower, share = path_weights(y_T, row_px, log_probs_RTA.shape[0])
    pair = torch.stack([log_probs_RTA[upper, frames_T], log_probs_RTA[lower, frames_T]])
    weights = torch.stack([1 - share, share]).clamp_min(1e-6).log()
    return torch.logsumexp(pair + weights[..., None], 0)


def greedy(log_probs_TA: Tensor, alphabet: str) -> tuple[str, list[int], list[float]]:
    """CTC's best path: the text, the frame at which each character peaks, and its probability there."""
    best = log_probs_TA.argmax(-1).tolist()
    peak = log_probs_TA.max(-1).values.exp().tolist()
    text: list[str] = []
    frames: list[int] = []
    confidence: list[float] = []
    before = 0
    for t, (label, p) in enumerate(zip(best, peak, strict=True)):
        if label and label == before:
            if p > confidence[-1]:
                confidence[-1], frames[-1] = p, t
        elif label:
            text.append(alphabet[label - 1])
            frames.append(t)
            confidence.append(p)
        before = label
    return "".join(text), frames, confidence
