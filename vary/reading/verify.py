"""Draft and verify: the reading head's line is the draft, and the decoder settles what the head doubts.

One parallel pass over a line holds its image, the draft, and behind it a branch for every other spelling of every
doubtful place, which sees the draft up to that place and nothing of its sisters. A spelling wins when head and decoder
together hold it for likelier than the draft's; so the decoder can only choose what the head has seen.
Source: a draft from OCR verified in parallel (arXiv 2602.12957); tree attention as in SpecInfer (arXiv 2305.09781);
rescoring by head plus weighted decoder as in hybrid CTC and attention (arXiv 1609.06773).
Shapes: S lines, T tokens of the longest row (image, draft and branches), V tokens that can be written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor

from ..document.lines import Alternative
from ..models.strip_decoder import Writer

BEHIND = 4  # characters of the draft behind a place that a spelling must make likely, too
PASS_TOKENS = 2048
SHAPE_STEP = 64  # sizes are rounded up to it: a CPU's matrix library keeps something for every shape that it has met


def write(writer: Writer, images: list[Tensor], max_length: int) -> list[str]:
    """Greedy decoding without any draft, with the cache of `generate`."""
    padded, mask, _ = writer.batch(images, [[] for _ in images])
    lengths = mask.sum(1)
    left = torch.stack([row.roll(int(padded.shape[1] - n), 0) for row, n in zip(padded, lengths, strict=True)])
    left_mask = torch.stack([row.roll(int(padded.shape[1] - n), 0) for row, n in zip(mask, lengths, strict=True)])
    ids = writer.model.generate(
        inputs_embeds=left, attention_mask=left_mask, max_new_tokens=max_length, do_sample=False,
        eos_token_id=writer.ids["</s>"], pad_token_id=writer.ids["<pad>"],
        suppress_tokens=writer.never_written,
    )  # fmt: skip
    return [writer.decode(row.tolist()) for row in ids]


@torch.inference_mode()
def settle(
    writer: Writer, images: list[Tensor], drafts: list[str], doubts: list[Sequence[Alternative]], weight: float
) -> list[str]:
    """The drafts with every doubt settled. images: embeddings (M, E) of each strip; doubts: of each draft, in order.

    weight: of the decoder's log-odds beside those of the head.
    """
    rows = [_Row.of(writer, text, found) for text, found in zip(drafts, doubts, strict=True)]
    lengths = [len(image) + len(row.tokens) for image, row in zip(images, rows, strict=True)]
    texts = list(drafts)
    for some in _passes(lengths):
        odds = log_odds(writer, [images[k] for k in some], [rows[k] for k in some])
        for k, of_row in zip(some, odds, strict=True):
            texts[k] = _choose(drafts[k], doubts[k], of_row, weight)
    return texts


def _passes(lengths: list[int]) -> list[list[int]]:
    """Rows of like length together, `PASS_TOKENS` or one row in a pass."""
    passes: list[list[int]] = []
    for k in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not passes or (len(passes[-1]) + 1) * lengths[k] > PASS_TOKENS:
            passes.append([])
        passes[-1].append(k)
    return passes


def _choose(text: str, doubts: Sequence[Alternative], odds: list[list[float]], weight: float) -> str:
    """The text with the likeliest spelling of each place."""
    out, at = "", 0
    for doubt, decoder in zip(doubts, odds, strict=True):
        scores = [head + weight * d for (_, head), d in zip(doubt.others, decoder, strict=True)]
        best = max(range(len(scores)), key=scores.__getitem__)
        out += text[at : doubt.start] + (doubt.others[best][0] if scores[best] > 0 else text[doubt.start : doubt.end])
        at = doubt.end
    return out + text[at:]


@dataclass
class _Row:
    """The tokens of a line behind its image: the draft, then every branch.

    Of each token: its place, in characters behind the image; the branch it belongs to, 0 for the draft; and how much of
    the draft it sees. picks: for each doubt, for the draft's own spelling and then for the others, the tokens that it
    is scored by, each with the index of the token before it (-1 for the image).
    """

    tokens: list[int]
    places: list[int]
    branches: list[int]
    reaches: list[int]
    picks: list[list[list[tuple[int, int]]]] = field(default_factory=list)

    @classmethod
    def of(cls, writer: Writer, text: str, doubts: Sequence[Alternative]) -> _Row:
        ids = writer.encode(text)
        row, numbers = cls(list(ids), list(range(len(ids))), [0] * len(ids), [len(ids)] * len(ids)), count(1)
        whole = [*ids, writer.ids["</s>"]]
        for doubt in doubts:
            behind = whole[doubt.end : doubt.end + BEHIND]
            own = list(enumerate(whole[doubt.start : doubt.end] + behind, doubt.start - 1))
            others = [[*writer.encode(other), *behind] for other, _ in doubt.others]
            row.picks.append([own, *(row._branch(next(numbers), doubt.start, tokens) for tokens in others)])
        return row

    def _branch(self, number: int, start: int, tokens: list[int]) -> list[tuple[int, int]]:
        """Add a branch behind `start` characters of the draft, but its last token: nothing is asked behind that."""
        first, n = len(self.tokens), len(tokens) - 1
        self.tokens += tokens[:n]
        self.places += range(start, start + n)
        self.branches += [number] * n
        self.reaches += [start] * n
        return list(zip([start - 1, *range(first, first + n)], tokens, strict=True))


def log_odds(writer: Writer, images: list[Tensor], rows: list[_Row]) -> list[list[list[float]]]:
    """For each row and doubt, the decoder's log-odds of every other spelling to the draft's."""
    padded, mask, starts = writer.batch(images, [row.tokens for row in rows])
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
        seen[k, 0, n:, 0] = True  # padding sees something, or its soft-max is not a number
    hidden = writer.model.language_model(
        inputs_embeds=padded, attention_mask=seen.to(device), position_ids=places.to(device), use_cache=False
    ).last_hidden_state.flatten(0, 1)
    picked = [
        (k * size + start + before, token)
        for k, (row, start) in enumerate(zip(rows, starts, strict=True))
        for before, token in (pair for spellings in row.picks for pairs in spellings for pair in pairs)
    ]
    picked += [(0, 0)] * (-len(picked) % SHAPE_STEP)
    before, token = torch.tensor(picked, device=device).T
    log_probs = writer.spell(hidden[before]).float().log_softmax(-1)
    scores = iter(log_probs.gather(1, token[:, None])[:, 0].tolist())
    sums = [[[sum(next(scores) for _ in pairs) for pairs in found] for found in row.picks] for row in rows]
    return [[[other - own for other in others] for own, *others in of_row] for of_row in sums]
