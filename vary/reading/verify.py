"""Rescore the uncertain parts of lines: head and decoder together choose among the spellings that the head found.

The head's line is a draft. One parallel pass of the decoder over a line holds the image, the draft, and one branch for
every other spelling of every uncertain span. A branch sees the draft up to its span and no other branch. For each span
the spelling with the highest `head log-probability + weight * decoder log-probability` wins. The decoder only re-ranks
spellings from CTC beam search; it never adds text of its own.

Sources: OCR drafts verified in parallel (arXiv 2602.12957); tree attention as in SpecInfer (arXiv 2305.09781);
rescoring as in hybrid CTC and attention (arXiv 1609.06773).
Shapes: S lines, T tokens of the longest row (image, draft and branches), V tokens that can be written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor

from ..document.lines import Alternative, TextLine
from ..models.generate.strip_decoder import StripDecoder, strip_embeddings, strip_of
from .ctc import ASCENT_EM, DESCENT_EM, X_HEIGHT_EM
from .engines.torch import number_format
from .field import Field

CONTEXT = 4  # characters of the draft after a span that are scored with each of its spellings
PASS_TOKENS = 2048
X_HEIGHT_OFFSET = (ASCENT_EM - DESCENT_EM - X_HEIGHT_EM) / 2  # from a line box's middle to that of its x-height, em
SHAPE_STEP = 64  # sizes are rounded up to it, because a CPU's matrix library caches a primitive for every new shape


@torch.inference_mode()
def rescore_lines(decoder: StripDecoder, lines: list[TextLine], field: Field, weight: float) -> list[str]:
    """Return the texts of lines with the best spelling of every uncertain span.

    A line with letters that the decoder does not write stays as it is.

    Args:
        decoder: the model's decoder.
        lines: with their `alternatives`.
        field: the head's output for the page, with its features.
        weight: factor of the decoder's log-odds; those of the head count once.
    """
    model, device = decoder.model, decoder.model.device
    texts = [line.text for line in lines]
    spelt = [k for k, line in enumerate(lines) if decoder.spells(_spellings(line))]
    if not spelt:
        return texts
    strips = []
    for line in (lines[k] for k in spelt):
        x0, y0, x1, y1 = line.box
        middle = (y0 + y1) / 2 + X_HEIGHT_OFFSET * line.em_px
        strips.append(strip_of(0, middle, middle, x0, x1, model.reading_vocabulary.stride, model.window))
    if field.features_RKD is None:
        raise ValueError("the field has no features for the decoder")
    grid, dtype = field.features_RKD.shape[:2], number_format(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        tokens = torch.from_numpy(field.features_RKD).flatten(0, 1)[None].to(device)
        logits = torch.from_numpy(field.dense_log_probs())[None].to(device)
        images = strip_embeddings(model, model.append_posteriors(tokens, logits), (grid[0], grid[1]), strips)
        drafts, spans = [texts[k] for k in spelt], [lines[k].alternatives for k in spelt]
        for k, text in zip(spelt, rescore(decoder, images, drafts, spans, weight), strict=True):
            texts[k] = text
    return texts


def _spellings(line: TextLine) -> str:
    """Return all characters of a line and of its alternatives."""
    return line.text + "".join(text for span in line.alternatives for text, _ in span.others)


@torch.inference_mode()
def rescore(
    decoder: StripDecoder,
    images: list[Tensor],
    drafts: list[str],
    alternatives: list[Sequence[Alternative]],
    weight: float,
) -> list[str]:
    """Return the drafts with the best spelling of every uncertain span.

    Args:
        decoder: the model's decoder.
        images: embeddings (M, E) of each strip.
        drafts: the head's text of each strip.
        alternatives: the uncertain spans of each draft, in order.
        weight: factor of the decoder's log-odds; those of the head count once.
    """
    rows = [DraftTree.of(decoder, text, found) for text, found in zip(drafts, alternatives, strict=True)]
    lengths = [len(image) + len(row.tokens) for image, row in zip(images, rows, strict=True)]
    texts = list(drafts)
    for some in _passes(lengths):
        odds = log_odds(decoder, [images[k] for k in some], [rows[k] for k in some])
        for k, of_row in zip(some, odds, strict=True):
            texts[k] = _choose(drafts[k], alternatives[k], of_row, weight)
    return texts


def _passes(lengths: list[int]) -> list[list[int]]:
    """Group rows of similar length, with up to `PASS_TOKENS` tokens or one row in a pass."""
    passes: list[list[int]] = []
    for k in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not passes or (len(passes[-1]) + 1) * lengths[k] > PASS_TOKENS:
            passes.append([])
        passes[-1].append(k)
    return passes


def _choose(text: str, alternatives: Sequence[Alternative], odds: list[list[float]], weight: float) -> str:
    """Return the text with the best spelling of each span."""
    out, at = "", 0
    for span, decoder_odds in zip(alternatives, odds, strict=True):
        scores = [head + weight * d for (_, head), d in zip(span.others, decoder_odds, strict=True)]
        best = max(range(len(scores)), key=scores.__getitem__)
        out += text[at : span.start] + (span.others[best][0] if scores[best] > 0 else text[span.start : span.end])
        at = span.end
    return out + text[at:]


@dataclass
class DraftTree:
    """Tokens of a line after its image: the draft, then every branch.

    places: position of each token, in characters after the image. branches: 0 for the draft, else the branch's number.
    reaches: how many characters of the draft a token sees. picks: for each span, first the draft's spelling and then
    the others: the tokens that score it, each with the index of the token before it (-1 for the image).
    """

    tokens: list[int]
    places: list[int]
    branches: list[int]
    reaches: list[int]
    picks: list[list[list[tuple[int, int]]]] = field(default_factory=list)

    @classmethod
    def of(cls, decoder: StripDecoder, text: str, alternatives: Sequence[Alternative]) -> DraftTree:
        """Lay out a draft and its alternatives."""
        ids = decoder.encode(text)
        row, numbers = cls(list(ids), list(range(len(ids))), [0] * len(ids), [len(ids)] * len(ids)), count(1)
        whole = [*ids, decoder.ids["</s>"]]
        for span in alternatives:
            context = whole[span.end : span.end + CONTEXT]
            own = list(enumerate(whole[span.start : span.end] + context, span.start - 1))
            others = [[*decoder.encode(other), *context] for other, _ in span.others]
            row.picks.append([own, *(row._branch(next(numbers), span.start, tokens) for tokens in others)])
        return row

    def _branch(self, number: int, start: int, tokens: list[int]) -> list[tuple[int, int]]:
        """Add a branch after `start` characters of the draft, without its last token, which predicts nothing."""
        first, n = len(self.tokens), len(tokens) - 1
        self.tokens += tokens[:n]
        self.places += range(start, start + n)
        self.branches += [number] * n
        self.reaches += [start] * n
        return list(zip([start - 1, *range(first, first + n)], tokens, strict=True))


def log_odds(decoder: StripDecoder, images: list[Tensor], rows: list[DraftTree]) -> list[list[list[float]]]:
    """Return, for each row and span, the decoder's log-odds of every other spelling to the draft's."""
    padded, mask, starts = decoder.batch(images, [row.tokens for row in rows])
    size, device = -(-mask.shape[1] // SHAPE_STEP) * SHAPE_STEP, padded.device
    padded = F.pad(padded, (0, 0, 0, size - padded.shape[1]))
    order = torch.arange(size)
    seen, places = torch.zeros(len(rows), 1, size, size, dtype=torch.bool), order.repeat(len(rows), 1)
    for k, (row, start) in enumerate(zip(rows, starts, strict=True)):
        n = start + len(row.tokens)
        branch, reach = torch.tensor([0] * start + row.branches), torch.tensor([size] * start + row.reaches)
        places[k, start:n] = start + torch.tensor(row.places, dtype=torch.long)
        draft = (branch == 0) & (order[:n] < reach[:, None] + start)
        seen[k, 0, :n, :n] = (order[:n] <= order[:n, None]) & (draft | (branch == branch[:, None]))
        seen[k, 0, n:, 0] = True  # padding must see something, or its softmax is NaN
    hidden = decoder.model.language_model(
        inputs_embeds=padded, attention_mask=seen.to(device), position_ids=places.to(device), use_cache=False
    ).last_hidden_state.flatten(0, 1)
    picked = [
        (k * size + start + before, token)
        for k, (row, start) in enumerate(zip(rows, starts, strict=True))
        for before, token in (pair for spellings in row.picks for pairs in spellings for pair in pairs)
    ]
    picked += [(0, 0)] * (-len(picked) % SHAPE_STEP)
    before, token = torch.tensor(picked, device=device).T
    log_probs = decoder.spell(hidden[before]).float().log_softmax(-1)
    scores = iter(log_probs.gather(1, token[:, None])[:, 0].tolist())
    sums = [[[sum(next(scores) for _ in pairs) for pairs in found] for found in row.picks] for row in rows]
    return [[[other - own for other in others] for own, *others in of_row] for of_row in sums]
