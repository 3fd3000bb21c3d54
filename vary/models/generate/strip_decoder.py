"""Strips: windows of a page's token grid that hold one or more text lines, and the decoder that reads them.

The vocabulary encodes the page once; the decoder gets windows of its tokens instead of the whole page. A strip is
`STRIP_ROWS` rows high per line (32 px for the nano vocabulary).

Shapes: B batch, R rows, K columns, D width, S strips, h w rows and columns of a strip, M image tokens of a strip,
E embedding width of the language model, T tokens of the longest row, V size of the token vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ...io.errors import InputError
from ...markup.prompts import character_vocabulary
from ..config import decoder_alphabet

if TYPE_CHECKING:
    from ..modeling import VaryForConditionalGeneration

STRIP_ROWS = 4
WIDTH_STEP = 32  # cells; widths are rounded up, because a CPU's matrix library caches a primitive for every new shape
IGNORED = -100


@dataclass(frozen=True)
class Strip:
    """Rows [top, top + height) and columns [left, left + width) of image `item`; may reach outside the grid."""

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
    """Return the strip around lines, from the heights of the first and last line's middle and their left and right.

    Args:
        item: index of the image.
        tops_px: middle of the first line.
        bottoms_px: middle of the last line.
        left_px: left end of the ink.
        right_px: right end of the ink.
        stride: pixels per cell (rows, columns).
        window: cells (rows, columns) that become one image token.
    """
    lines_high = round((bottoms_px - tops_px) / stride[0]) + STRIP_ROWS
    height = -(-lines_high // window[0]) * window[0]
    middle = (tops_px + bottoms_px) / 2 / stride[0]
    left = int(left_px / stride[1]) - 2
    width = -(-(int(right_px / stride[1]) + 3 - left) // window[1]) * window[1]
    return Strip(item, round(middle - height / 2), left, height, width)


def strip_embeddings(
    model: VaryForConditionalGeneration, tokens_BND: Tensor, grid: tuple[int, int], strips: list[Strip]
) -> list[Tensor]:
    """Cut strips from a token grid and connect them: image embeddings (M, E) of each. Cells outside are zeros."""
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
    """Cut a strip (height, wide, D) out of the grid, padded with zeros."""
    rows, columns = field_BRKD.shape[1:3]
    top, left = max(0, strip.top), max(0, strip.left)
    bottom, right = max(top, min(rows, strip.top + strip.height)), max(left, min(columns, strip.left + strip.width))
    piece = field_BRKD[strip.item, top:bottom, left:right]
    pad_left, pad_top = min(left - strip.left, wide), min(top - strip.top, strip.height)
    pad = (0, 0, pad_left, wide - (right - left) - pad_left, pad_top, strip.height - (bottom - top) - pad_top)
    return F.pad(piece, pad)


class StripDecoder:
    """Score and write the text of strips with a model's language model.

    Input of one strip: `<img>` image tokens `</img>` text `</s>`, one token per character.

    Raises:
        ValueError: the model has several vocabularies; a strip shows the tokens of one.
    """

    def __init__(self, model: VaryForConditionalGeneration):
        if len(model.config.vocabularies) > 1:
            raise InputError("reading with the decoder needs a model with one vocabulary; read with decoder=False")
        self.model = model
        self.ids = character_vocabulary(decoder_alphabet(model.config.reading))
        self.characters = {k: token for token, k in self.ids.items()}
        self.first_character = self.ids["\n"]
        self.never_written = [k for k in range(self.first_character) if k != self.ids["</s>"]]

    def spells(self, text: str) -> bool:
        """Return whether the decoder has a token for every character of a text."""
        return all(ch in self.ids for ch in text)

    def encode(self, text: str) -> list[int]:
        """Return one token id per character."""
        return [self.ids[ch] for ch in text]

    def decode(self, ids: list[int]) -> str:
        """Return the characters up to the end token, without special tokens."""
        text = []
        for k in ids:
            if k == self.ids["</s>"]:
                break
            if k >= self.first_character:
                text.append(self.characters[k])
        return "".join(text)

    def prefix(self, image_ME: Tensor) -> Tensor:
        """Return the image embeddings between their two marks, (M + 2, E)."""
        marks = torch.tensor([self.ids["<img>"], self.ids["</img>"]], device=image_ME.device)
        start, end = self.model.get_input_embeddings()(marks).to(image_ME.dtype)
        return torch.cat([start[None], image_ME, end[None]])

    def batch(self, images: list[Tensor], inputs: list[list[int]]) -> tuple[Tensor, Tensor, list[int]]:
        """Return embeddings (S, T, E), attention mask (S, T) and the start of each text; padded on the right."""
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
        """Return logits (len(input) + 1, V) for each strip: of every token of its text and of the one after it.

        Special tokens other than the end token have logits of -inf.
        """
        padded, mask, starts = self.batch(images, inputs)
        hidden = self.model.language_model(inputs_embeds=padded, attention_mask=mask).last_hidden_state
        picked = [hidden[k, s - 1 : s + len(ids)] for k, (s, ids) in enumerate(zip(starts, inputs, strict=True))]
        return list(self.spell(torch.cat(picked)).split([len(p) for p in picked]))

    def spell(self, hidden_NE: Tensor) -> Tensor:
        """Return logits (N, V) of the next token; special tokens other than the end token are -inf."""
        never = torch.tensor(self.never_written, device=hidden_NE.device)
        return self.model.lm_head(hidden_NE).index_fill(1, never, float("-inf"))


def generate_text(decoder: StripDecoder, images: list[Tensor], max_length: int) -> list[str]:
    """Write the text of strips without a draft: greedy decoding with a cache.

    Args:
        decoder: the model's decoder.
        images: embeddings (M, E) of each strip.
        max_length: most characters per strip.
    """
    padded, mask, _ = decoder.batch(images, [[] for _ in images])
    shifts = [int(padded.shape[1] - n) for n in mask.sum(1)]  # `generate` wants padding on the left
    left = torch.stack([row.roll(shift, 0) for row, shift in zip(padded, shifts, strict=True)])
    left_mask = torch.stack([row.roll(shift, 0) for row, shift in zip(mask, shifts, strict=True)])
    ids = decoder.model.generate(
        inputs_embeds=left,
        attention_mask=left_mask,
        max_new_tokens=max_length,
        do_sample=False,
        eos_token_id=decoder.ids["</s>"],
        pad_token_id=decoder.ids["<pad>"],
        suppress_tokens=decoder.never_written,
    )
    return [decoder.decode(row.tolist()) for row in ids]
