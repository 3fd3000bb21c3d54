"""The decoder of strips as a PyTorch module, for training, for GPUs and for models without exported files.

What strips are, and the shapes: see `strips`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...io.errors import InputError
from ..config import decoder_alphabet
from .strips import Characters, Strip, by_height

if TYPE_CHECKING:
    from ..modeling import VaryForConditionalGeneration

IGNORED = -100


def strip_embeddings(
    model: VaryForConditionalGeneration, tokens_BND: Tensor, grid: tuple[int, int], strips: list[Strip]
) -> list[Tensor]:
    """Cut strips from a token grid and connect them: image embeddings (M, E) of each. Cells outside are zeros."""
    field = tokens_BND.reshape(tokens_BND.shape[0], *grid, -1)
    out: list[Tensor] = [tokens_BND] * len(strips)
    for height, wide, members in by_height(strips):
        cells = torch.stack([_cut(field, strips[k], wide) for k in members])
        embedded = model.connector(cells.flatten(1, 2), (height, wide))
        down = height // model.window[0]
        embedded = embedded.reshape(len(members), down, wide // model.window[1], -1)
        for row, k in zip(embedded, members, strict=True):
            out[k] = row[:, : strips[k].width // model.window[1]].flatten(0, 1)
    return out


def _cut(field_BRKD: Tensor, strip: Strip, wide: int) -> Tensor:
    """Cut a strip (height, wide, D) out of the grid, padded with zeros."""
    rows, columns, (above, below, before, behind) = strip.inside(field_BRKD.shape[1], field_BRKD.shape[2], wide)
    return F.pad(field_BRKD[strip.item, rows, columns], (0, 0, before, behind, above, below))


class StripDecoder(Characters):
    """Score and write the text of strips with a model's language model.

    Input of one strip: `<img>` image tokens `</img>` text `</s>`, one token per character.

    Raises:
        ValueError: the model has several vocabularies; a strip shows the tokens of one.
    """

    def __init__(self, model: VaryForConditionalGeneration):
        if len(model.config.vocabularies) > 1:
            raise InputError("reading with the decoder needs a model with one vocabulary; read with decoder=False")
        super().__init__(decoder_alphabet(model.config.reading))
        self.model = model

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


class StripConnector(nn.Module):
    """Cells of strips of one size (S, h, w, D) -> image embeddings (S, M, E)."""

    def __init__(self, model: VaryForConditionalGeneration):
        super().__init__()
        self.connector = model.connector

    def forward(self, cells_ShwD: Tensor) -> Tensor:
        """See `LineScorer.connect`."""
        embedded: Tensor = self.connector(cells_ShwD.flatten(1, 2), (cells_ShwD.shape[1], cells_ShwD.shape[2]))
        return embedded


class StripScorer(nn.Module):
    """Rows of tokens -> logits (P, V) after the picked ones. Arguments as for `LineScorer.logits`."""

    def __init__(self, model: VaryForConditionalGeneration):
        super().__init__()
        self.embed, self.language_model, self.lm_head = (
            model.get_input_embeddings(), model.language_model, model.lm_head,
        )  # fmt: skip

    def forward(
        self, images: Tensor, ids: Tensor, is_image: Tensor, seen: Tensor, places: Tensor, picked: Tensor
    ) -> Tensor:
        """See `LineScorer.logits`."""
        rows_STE = torch.where(is_image[..., None], images, self.embed(ids).to(images.dtype))
        if self.language_model.config._attn_implementation == "eager":  # adds its mask; others take truth values
            seen = torch.zeros_like(seen, dtype=rows_STE.dtype).masked_fill(~seen, torch.finfo(rows_STE.dtype).min)
        hidden_STE = self.language_model(
            inputs_embeds=rows_STE, attention_mask=seen, position_ids=places, use_cache=False
        ).last_hidden_state
        logits_PV: Tensor = self.lm_head(hidden_STE.flatten(0, 1)[picked])
        return logits_PV


def posterior_classes(model: VaryForConditionalGeneration) -> int:
    """Return the number of the reading head's classes that a model's image tokens are made from, 0 for none."""
    reading = model.config.reading
    return len(decoder_alphabet(reading)) + 1 if reading.get("append_posteriors") else 0
