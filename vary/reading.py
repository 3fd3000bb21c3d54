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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .document import STYLES

if TYPE_CHECKING:
    from .data.sample import TextLine

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
            raise ValueError("the alphabet of a reading head names a character twice")
        if unknown := sorted(set(styles) - set(STYLES)):
            raise ValueError(f"reading head: unknown style {unknown[0]!r}; allowed: {', '.join(STYLES)}")
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


@dataclass
class ReadingTargets:
    """What the head should say of a batch: L lines as paths over frames.

    item (L,): image of each line; frames (L, Tmax): frame indices, y (L, Tmax): height in px of the line's middle
    there; lengths (L,): frames used; labels (sum of text lengths,) and label_lengths (L,) for CTC.
    glyph_* (G,): image, frame, height in px, class and log2 em of every character; glyph_styles (G, S): 1 set in that
    style, 0 not, -1 unknown. near (B, R, T) bool: cells that belong to some line or to ink that is not to be spelt; all
    others must stay blank.
    """

    item: Tensor
    frames: Tensor
    y: Tensor
    lengths: Tensor
    labels: Tensor
    label_lengths: Tensor
    glyph_item: Tensor
    glyph_frame: Tensor
    glyph_y: Tensor
    glyph_label: Tensor
    glyph_em: Tensor
    glyph_styles: Tensor
    near: Tensor

    def to(self, device: torch.device | str) -> ReadingTargets:
        """The same on a device."""
        return ReadingTargets(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


def reading_targets(
    lines_of_items: list[list[TextLine]],
    size: tuple[int, int],
    lattice: Lattice,
    unread: Sequence[tuple[int, Sequence[float]]] = (),
) -> ReadingTargets:
    """Targets for a batch of samples of size (H, W) in pixels. unread: (image, box) of ink that teaches nothing.

    Characters outside the alphabet raise ValueError: the head cannot spell them and must not learn to skip them.
    """
    index = {ch: k + 1 for k, ch in enumerate(lattice.alphabet)}
    frame_px, row_px = lattice.frame_px, lattice.row_px
    bits = np.array([STYLES.index(name) for name in lattice.styles], int)
    rows, wide = lattice.size(*size)
    near = np.zeros((len(lines_of_items), rows, wide), bool)
    row_middles = (np.arange(rows) + 0.5) * row_px
    paths, glyphs = [], []
    for item, (x0, y0, x1, y1) in unread:
        near[
            item, max(0, int(y0 / row_px)) : int(y1 / row_px) + 1, max(0, int(x0 / frame_px)) : int(x1 / frame_px) + 1
        ] = True
    for item, line in ((k, line) for k, lines in enumerate(lines_of_items) for line in lines):
        missing = [ch for ch in line.text if ch not in index]
        if missing:
            raise ValueError(f"the reading head's alphabet has no {missing[0]!r} ({line.text!r})")
        label = np.array([index[ch] for ch in line.text])
        b, middle = line.boxes, line.baseline - line.x_height / 2
        t = np.arange(max(0, int((b[0, 0] - 4) / frame_px)), min(wide, int((b[-1, 2] + 4) / frame_px) + 1))
        y = middle + line.slope * ((t + 0.5) * frame_px - b[0, 0])
        near[item][:, t] |= np.abs(row_middles[:, None] - y[None]) < 0.75 * row_px
        paths.append((item, t, y, label))
        known = np.full(len(b), -1) if line.styles is None else line.styles[:, None] >> bits & 1
        x = (b[:, 0] + b[:, 2]) / 2
        frame = np.clip(x / frame_px, 0, wide - 1).astype(np.int64)
        em = np.full(len(x), np.log2(line.em_px / 16))
        height = middle + line.slope * (x - b[0, 0])
        glyphs.append(
            (np.full(len(x), item), frame, height, label, em, np.broadcast_to(known.T, (len(bits), len(x))).T)
        )
    return _packed(paths, glyphs, near)


def _packed(paths: list[tuple], glyphs: list[tuple], near: np.ndarray) -> ReadingTargets:
    """Lines padded to the longest, characters in one row."""
    longest = max((len(t) for _, t, _, _ in paths), default=1)
    frames, heights = np.zeros((len(paths), longest), np.int64), np.zeros((len(paths), longest), np.float32)
    for k, (_, t, y, _) in enumerate(paths):
        frames[k, : len(t)], heights[k, : len(t)] = t, y
    none = [np.zeros(0)] * 5 + [np.zeros((0, 0))]
    item, frame, y, label, em, styles = (np.concatenate(c) for c in zip(*glyphs, strict=True)) if glyphs else none
    return ReadingTargets(
        item=torch.tensor([p[0] for p in paths], dtype=torch.long),
        frames=torch.from_numpy(frames),
        y=torch.from_numpy(heights),
        lengths=torch.tensor([len(p[1]) for p in paths], dtype=torch.long),
        labels=torch.tensor(label, dtype=torch.long),
        label_lengths=torch.tensor([len(p[3]) for p in paths], dtype=torch.long),
        glyph_item=torch.tensor(item, dtype=torch.long),
        glyph_frame=torch.tensor(frame, dtype=torch.long),
        glyph_y=torch.tensor(y, dtype=torch.float32),
        glyph_label=torch.tensor(label, dtype=torch.long),
        glyph_em=torch.tensor(em, dtype=torch.float32),
        glyph_styles=torch.tensor(styles, dtype=torch.float32),
        near=torch.from_numpy(near),
    )


def reading_loss(
    logits_BRTA: Tensor, measures_BRTM: Tensor, targets: ReadingTargets, row_px: float, max_lines: int = 96
) -> dict[str, Tensor]:
    """Losses by name, each a mean per character or per cell.

    ctc: lines along their paths, `max_lines` of them drawn at random (the cost is that of the alphabet at every
    frame). glyph: cross-entropy at each character's middle frame; it aligns CTC from the first step and keeps the
    peaks on the letters, which is what gives boxes. blank: -log p(blank) of cells of no line. measure: the line's
    height and the type size. style: bold, italic, typewriter, where it is known. Only the frames that a loss looks at
    pass through the soft-max.
    """
    _, rows, wide, classes = logits_BRTA.shape
    lines = torch.randperm(len(targets.item), device=logits_BRTA.device)[:max_lines]
    frames, lengths = targets.frames[lines], targets.lengths[lines]
    upper, lower, share = path_weights(targets.y[lines], row_px, rows)
    base = (targets.item[lines, None] * rows) * wide + frames
    glyph_upper, glyph_lower, glyph_share = path_weights(targets.glyph_y, row_px, rows)
    glyph_row = torch.where(glyph_share > 0.5, glyph_lower, glyph_upper)
    glyph_at = (targets.glyph_item * rows + glyph_row) * wide + targets.glyph_frame
    off = (~targets.near).flatten().nonzero()[:, 0]
    off = off[torch.randint(len(off), (min(len(off), 16384),), device=off.device)] if len(off) else off

    at = torch.cat([(base + upper * wide).flatten(), (base + lower * wide).flatten(), glyph_at, off])
    picked = logits_BRTA.reshape(-1, classes).index_select(0, at).float()
    pair, glyph, blank = picked.split([2 * frames.numel(), len(glyph_at), len(off)])
    losses = {"blank": -blank.log_softmax(-1)[:, 0].mean() if len(off) else picked.sum() * 0}
    if not len(lines):
        return losses
    up, low = pair.softmax(-1).view(2, *frames.shape, classes)
    path_LTA = torch.log(up + share[..., None] * (low - up) + 1e-8)
    losses["ctc"] = F.ctc_loss(
        path_LTA.transpose(0, 1), _ragged(targets.labels, targets.label_lengths, lines), lengths,
        targets.label_lengths[lines], reduction="sum", zero_infinity=True,
    ) / targets.label_lengths[lines].sum()  # fmt: skip
    losses["glyph"] = F.cross_entropy(glyph, targets.glyph_label)
    wanted = torch.stack([targets.glyph_y / row_px - glyph_row - 0.5, targets.glyph_em], 1)
    measured = measures_BRTM.flatten(0, 2)[glyph_at]
    losses["measure"] = F.smooth_l1_loss(measured[:, :2], wanted, beta=0.1)
    known = targets.glyph_styles >= 0
    if measured.shape[1] > 2 and bool(known.any()):
        losses["style"] = F.binary_cross_entropy_with_logits(measured[:, 2:][known], targets.glyph_styles[known])
    return losses


def _ragged(values: Tensor, lengths: Tensor, chosen: Tensor) -> Tensor:
    """The chosen pieces of a concatenation, in the order chosen."""
    pieces = values.split(lengths.tolist())
    return torch.cat([pieces[k] for k in chosen.tolist()])


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
