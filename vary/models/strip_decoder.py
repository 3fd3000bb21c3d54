"""Strips: the piece of a page's token grid that one or several lines of text stand in.

The decoder reads strips, not pages: the eyes look at a page once, and every strip is a window of what they saw. A strip
is `STRIP_ROWS` rows high per line (32 px for the nano vocabulary).
Shapes: B batch, R rows, K columns, D width, S strips, h w rows and columns of a strip, M image tokens of a strip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..markup.prompts import character_vocabulary

if TYPE_CHECKING:
    from .modeling import VaryForConditionalGeneration

STRIP_ROWS = 4
WIDTH_STEP = 32  # cells: few shapes, see `generate.SHAPE_STEP`
IGNORED = -100


@dataclass(frozen=True)
class Strip:
    """Rows [top, top + height) and columns [left, left + width) of the grid of image `item`; ends may stand outside."""

    item: int
    top: int
    left: int
    height: int
    width: int


def strip_of(
    item: int,
    tops_px: float,
    bottoms_px: float,
    left_px: float,
    right_px: float,
    stride: tuple[int, int],
    window: tuple[int, int],
) -> Strip:
    """The strip about lines whose middles lie between two heights (px) and whose ink lies between two sides (px)."""
    lines_high = round((bottoms_px - tops_px) / stride[0]) + STRIP_ROWS
    height = -(-lines_high // window[0]) * window[0]
    middle = (tops_px + bottoms_px) / 2 / stride[0]
    left = int(left_px / stride[1]) - 2
    width = -(-(int(right_px / stride[1]) + 3 - left) // window[1]) * window[1]
    return Strip(item, round(middle - height / 2), left, height, width)


def strip_embeddings(
    model: VaryForConditionalGeneration, tokens_BND: Tensor, grid: tuple[int, int], strips: list[Strip]
) -> list[Tensor]:
    """Image embeddings (M, E) of each strip. Cells outside the page are zeros."""
    field = tokens_BND.reshape(tokens_BND.shape[0], *grid, -1)
    by_size: dict[int, list[int]] = {}
    for k, strip in enumerate(strips):
        by_size.setdefault(strip.height, []).append(k)
    out: list[Tensor] = [tokens_BND] * len(strips)
    for height, members in by_size.items():
        wide = -(-max(strips[k].width for k in members) // WIDTH_STEP) * WIDTH_STEP
        cells = torch.stack([_cut(field, strips[k], wide) for k in members])
        embedded = model.connector(cells.flatten(1, 2), (height, wide))
        down = height // model.window[0]
        embedded = embedded.reshape(len(members), down, wide // model.window[1], -1)
        for row, k in zip(embedded, members, strict=True):
            out[k] = row[:, : strips[k].width // model.window[1]].flatten(0, 1)
    return out


def _cut(field_BRKD: Tensor, strip: Strip, wide: int) -> Tensor:
    rows, columns = field_BRKD.shape[1:3]
    top, left = max(0, strip.top), max(0, strip.left)
    bottom, right = max(top, min(rows, strip.top + strip.height)), max(left, min(columns, strip.left + strip.width))
    piece = field_BRKD[strip.item, top:bottom, left:right]
    pad_left, pad_top = min(left - strip.left, wide), min(top - strip.top, strip.height)
    return F.pad(
        piece, (0, 0, pad_left, wide - (right - left) - pad_left, pad_top, strip.height - (bottom - top) - pad_top)
    )


class Writer:
    """Turns strips and texts into the decoder's input: `<img>` image tokens `</img>` text `</s>`."""

    def __init__(self, model: VaryForConditionalGeneration):
        self.model = model
        self.ids = character_vocabulary(model.config.reading["alphabet"])
        self.characters = {k: token for token, k in self.ids.items()}
        self.first_character = self.ids["\n"]
        self.never_written = [k for k in range(self.first_character) if k != self.ids["</s>"]]

    def encode(self, text: str) -> list[int]:
        """One id per character."""
        return [self.ids[ch] for ch in text]

    def decode(self, ids: list[int]) -> str:
        """Characters up to the end token; other special tokens are left out."""
        text = []
        for k in ids:
            if k == self.ids["</s>"]:
                break
            if k >= self.first_character:
                text.append(self.characters[k])
        return "".join(text)

    def prefix(self, image_ME: Tensor) -> Tensor:
        """(M + 2, E): the image between its two marks."""
        marks = torch.tensor([self.ids["<img>"], self.ids["</img>"]], device=image_ME.device)
        start, end = self.model.get_input_embeddings()(marks).to(image_ME.dtype)
        return torch.cat([start[None], image_ME, end[None]])

    def batch(self, images: list[Tensor], inputs: list[list[int]]) -> tuple[Tensor, Tensor, list[int]]:
        """Embeddings (S, T, E), attention mask (S, T) and where each text begins; padded on the right."""
        embed = self.model.get_input_embeddings()
        rows = []
        for image, ids in zip(images, inputs, strict=True):
            text = embed(torch.tensor(ids, dtype=torch.long, device=image.device)).to(image.dtype)
            rows.append(torch.cat([self.prefix(image), text]))
        starts = [len(image) + 2 for image in images]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.zeros(padded.shape[:2], dtype=torch.long, device=padded.device)
        for k, row in enumerate(rows):
            mask[k, : len(row)] = 1
        return padded, mask, starts

    def logits(self, images: list[Tensor], inputs: list[list[int]]) -> list[Tensor]:
        """For each strip the logits (len(input) + 1, V) of the token at every place of its text and after it.

        Special tokens but the end are never written: their logits are -inf.
        """
        padded, mask, starts = self.batch(images, inputs)
        hidden = self.model.language_model(inputs_embeds=padded, attention_mask=mask).last_hidden_state
        picked = [hidden[k, s - 1 : s + len(ids)] for k, (s, ids) in enumerate(zip(starts, inputs, strict=True))]
        return list(self.spell(torch.cat(picked)).split([len(p) for p in picked]))

    def spell(self, hidden_NE: Tensor) -> Tensor:
        """Logits (N, V) of what the decoder writes next; never a special token but the end."""
        never = torch.tensor(self.never_written, device=hidden_NE.device)
        return self.model.lm_head(hidden_NE).index_fill(1, never, float("-inf"))
