"""Make the reading head's targets from lines of text, and compute its losses (CTC, glyph, blank, measure, style)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...document.alphabets import class_index
from ...document.elements import STYLES
from ...document.lines import FrameGrid
from ...io.errors import ConfigError

if TYPE_CHECKING:
    from ...data.sample import LabelledLine


@dataclass
class ReadingTargets:
    """Targets of a batch for the reading head: L lines as paths over frames, and G characters.

    Attributes:
        item: (L,) index of the image of each line.
        frames: (L, Tmax) frame indices of each path.
        y: (L, Tmax) height of the line's middle at each frame, in px.
        lengths: (L,) number of frames used.
        labels: (sum of text lengths,) CTC labels of all lines.
        label_lengths: (L,) length of each text.
        glyph_item, glyph_frame, glyph_y, glyph_label, glyph_em: (G,) image, frame, height in px, class and
            log2(em / 16 px) of every character.
        glyph_styles: (G, S) 1 if the character has that style, 0 if not, -1 if unknown.
        near: (B, R, T) bool; cells near a line, or near ink that has no label. All other cells must be blank.
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
        """Return the targets on a device."""
        return ReadingTargets(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


def reading_targets(
    lines_of_items: list[list[LabelledLine]],
    size: tuple[int, int],
    frame_grid: FrameGrid,
    unread: Sequence[tuple[int, Sequence[float]]] = (),
) -> ReadingTargets:
    """Make the targets for a batch of samples.

    Args:
        lines_of_items: Lines of each image.
        size: Height and width of the images in px.
        frame_grid: Where the head's frames lie and what they spell.
        unread: (image, box) of ink without a label.

    Raises:
        ConfigError: A line has a character outside the alphabet. Skipping it would teach the head to skip it.
    """
    index = class_index(frame_grid.alphabet)
    frame_px, row_px = frame_grid.frame_px, frame_grid.row_px
    bits = np.array([STYLES.index(name) for name in frame_grid.styles], int)
    rows, wide = frame_grid.size(*size)
    near = np.zeros((len(lines_of_items), rows, wide), bool)
    row_middles = (np.arange(rows) + 0.5) * row_px
    paths, glyphs = [], []
    for item, (x0, y0, x1, y1) in unread:
        inside = slice(max(0, int(y0 / row_px)), int(y1 / row_px) + 1)
        near[item, inside, max(0, int(x0 / frame_px)) : int(x1 / frame_px) + 1] = True
    for item, line in ((k, line) for k, lines in enumerate(lines_of_items) for line in lines):
        missing = [ch for ch in line.text if ch not in index]
        if missing:
            raise ConfigError(f"the reading head's alphabet has no {missing[0]!r} ({line.text!r})")
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
    return _to_tensors(paths, glyphs, near)


def _to_tensors(paths: list[tuple[Any, ...]], glyphs: list[tuple[Any, ...]], near: np.ndarray) -> ReadingTargets:
    """Pad lines to the longest one and concatenate the characters of all lines."""
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


def path_weights(y_px: Tensor, row_px: float, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two rows nearest to each height and the weight of the lower one.

    Reading mixes rows with the same weights (`reading.ctc.mix_rows`).

    Args:
        y_px: heights, of any shape.
        row_px: height of a row.
        rows: number of rows; the two rows are clamped to them.

    Returns:
        Upper row, lower row and share of the lower row, each of the shape of `y_px`.
    """
    place = y_px / row_px - 0.5
    upper = place.floor()
    from_upper = (place - upper) * row_px
    share = torch.sigmoid((from_upper**2 - (row_px - from_upper) ** 2) / FrameGrid.MIX_SPREAD)
    upper = upper.long()
    return upper.clamp(0, rows - 1), (upper + 1).clamp(0, rows - 1), share


def reading_loss(
    logits_BRTA: Tensor, geometry_BRTM: Tensor, targets: ReadingTargets, row_px: float, max_lines: int = 96
) -> dict[str, Tensor]:
    """Compute the losses of the reading head by name. Each is a mean per character or per cell.

    - ctc: CTC of lines along their paths. At most `max_lines` lines, drawn at random, because cost grows with them.
    - glyph: cross-entropy at each character's middle frame. It aligns CTC from the first step and keeps the peaks on
      the characters, which gives their boxes.
    - blank: -log p(blank) of cells that are near no line.
    - measure: height of the line and size of the type (smooth L1).
    - style: binary cross-entropy of bold, italic and typewriter, where known.

    The softmax runs only over frames that some loss uses.
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
    labels, label_lengths = _select_pieces(targets.labels, targets.label_lengths, lines), targets.label_lengths[lines]
    total = F.ctc_loss(path_LTA.transpose(0, 1), labels, lengths, label_lengths, reduction="sum", zero_infinity=True)
    losses["ctc"] = total / label_lengths.sum()
    losses["glyph"] = F.cross_entropy(glyph, targets.glyph_label)
    wanted = torch.stack([targets.glyph_y / row_px - glyph_row - 0.5, targets.glyph_em], 1)
    measured = geometry_BRTM.flatten(0, 2)[glyph_at]
    losses["measure"] = F.smooth_l1_loss(measured[:, :2], wanted, beta=0.1)
    known = targets.glyph_styles >= 0
    if measured.shape[1] > 2 and bool(known.any()):
        losses["style"] = F.binary_cross_entropy_with_logits(measured[:, 2:][known], targets.glyph_styles[known])
    return losses


def _select_pieces(values: Tensor, lengths: Tensor, chosen: Tensor) -> Tensor:
    """Split a concatenation into pieces and concatenate the chosen ones in the given order."""
    pieces = values.split(lengths.tolist())
    return torch.cat([pieces[k] for k in chosen.tolist()])
