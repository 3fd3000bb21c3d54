"""Rescore the uncertain parts of lines: head and decoder together choose among the spellings that the head found.

The head's line is a draft. One parallel pass of the decoder over a line holds the image, the draft, and one branch for
every other spelling of every uncertain span. A branch sees the draft up to its span and no other branch. For each span
the spelling with the highest `head log-probability + weight * decoder log-probability` wins. The decoder only re-ranks
spellings from CTC beam search; it never adds text of its own.

Sources: OCR drafts verified in parallel (arXiv 2602.12957); tree attention as in SpecInfer (arXiv 2305.09781);
rescoring as in hybrid CTC and attention (arXiv 1609.06773).
Needs no PyTorch: the decoder is a `LineScorer`.
Shapes: S lines, T tokens of the longest row (image, draft and branches), V tokens that can be written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from ..document.lines import Alternative, TextLine
from ..models.generate.strips import Characters, LineScorer, connect_strips, strip_of
from .ctc import ASCENT_EM, DESCENT_EM, X_HEIGHT_EM
from .field import Field

CONTEXT = 4  # characters of the draft after a span that are scored with each of its spellings
PASS_TOKENS = 2048
X_HEIGHT_OFFSET = (ASCENT_EM - DESCENT_EM - X_HEIGHT_EM) / 2  # from a line box's middle to that of its x-height, em
SHAPE_STEP = 64  # sizes are rounded up to it, because a CPU's matrix library caches a primitive for every new shape


def rescore_lines(scorer: LineScorer, lines: list[TextLine], field: Field, weight: float) -> list[str]:
    """Return the texts of lines with the best spelling of every uncertain span.

    A line with letters that the decoder does not write stays as it is.

    Args:
        scorer: the model's decoder.
        lines: with their `alternatives`.
        field: the head's output for the page, with its features.
        weight: factor of the decoder's log-odds; those of the head count once.
    """
    texts = [line.text for line in lines]
    spelt = [k for k, line in enumerate(lines) if scorer.characters.spells(_spellings(line))]
    if not spelt:
        return texts
    strips = []
    for line in (lines[k] for k in spelt):
        x0, y0, x1, y1 = line.box
        middle = (y0 + y1) / 2 + X_HEIGHT_OFFSET * line.em_px
        strips.append(strip_of(0, middle, middle, x0, x1, scorer.stride, scorer.window))
    images = connect_strips(scorer, _cells(field, scorer.posteriors), strips)
    drafts, spans = [texts[k] for k in spelt], [lines[k].alternatives for k in spelt]
    for k, text in zip(spelt, rescore(scorer, images, drafts, spans, weight), strict=True):
        texts[k] = text
    return texts


def _cells(field: Field, posteriors: int) -> np.ndarray:
    """Return what the decoder sees of each cell (R, K, D): features, and probabilities of the head's first classes."""
    features_RKD = field.features_RKD
    if features_RKD is None:
        raise ValueError("the field has no features for the decoder")
    if not posteriors:
        return features_RKD
    rows, columns = features_RKD.shape[:2]
    probs_RTA = field.dense_probs()[..., :posteriors]
    return np.concatenate([features_RKD, probs_RTA.reshape(rows, columns, -1)], -1)


def _spellings(line: TextLine) -> str:
    """Return all characters of a line and of its alternatives."""
    return line.text + "".join(text for span in line.alternatives for text, _ in span.others)


def rescore(
    scorer: LineScorer,
    images: list[np.ndarray],
    drafts: list[str],
    alternatives: list[Sequence[Alternative]],
    weight: float,
) -> list[str]:
    """Return the drafts with the best spelling of every uncertain span.

    Args:
        scorer: the model's decoder.
        images: embeddings (M, E) of each strip.
        drafts: the head's text of each strip.
        alternatives: the uncertain spans of each draft, in order.
        weight: factor of the decoder's log-odds; those of the head count once.
    """
    rows = [DraftTree.of(scorer.characters, text, found) for text, found in zip(drafts, alternatives, strict=True)]
    lengths = [len(image) + len(row.tokens) for image, row in zip(images, rows, strict=True)]
    texts = list(drafts)
    for some in _passes(lengths):
        odds = log_odds(scorer, [images[k] for k in some], [rows[k] for k in some])
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
    def of(cls, characters: Characters, text: str, alternatives: Sequence[Alternative]) -> DraftTree:
        """Lay out a draft and its alternatives."""
        ids = characters.encode(text)
        row, numbers = cls(list(ids), list(range(len(ids))), [0] * len(ids), [len(ids)] * len(ids)), count(1)
        whole = [*ids, characters.ids["</s>"]]
        for span in alternatives:
            context = whole[span.end : span.end + CONTEXT]
            own = list(enumerate(whole[span.start : span.end] + context, span.start - 1))
            others = [[*characters.encode(other), *context] for other, _ in span.others]
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


def log_odds(scorer: LineScorer, images: list[np.ndarray], rows: list[DraftTree]) -> list[list[list[float]]]:
    """Return, for each row and span, the decoder's log-odds of every other spelling to the draft's."""
    starts = [len(image) + 2 for image in images]  # between two marks
    longest = max(start + len(row.tokens) for start, row in zip(starts, rows, strict=True))
    count, size = len(rows), -(-longest // SHAPE_STEP) * SHAPE_STEP
    images_STE = np.zeros((count, size, images[0].shape[1]), np.float32)
    ids_ST, is_image_ST = np.zeros((count, size), np.int64), np.zeros((count, size), bool)
    order, ids = np.arange(size), scorer.characters.ids
    seen_S1TT, places_ST = np.zeros((count, 1, size, size), bool), np.tile(order, (count, 1))
    for k, (image, row, start) in enumerate(zip(images, rows, starts, strict=True)):
        n = start + len(row.tokens)
        images_STE[k, 1 : start - 1], is_image_ST[k, 1 : start - 1] = image, True
        ids_ST[k, 0], ids_ST[k, start - 1], ids_ST[k, start:n] = ids["<img>"], ids["</img>"], row.tokens
        places_ST[k, start:n] = start + np.array(row.places, np.int64)
        branch, reach = np.array([0] * start + row.branches), np.array([size] * start + row.reaches)
        draft = (branch == 0) & (order[:n] < reach[:, None] + start)
        seen_S1TT[k, 0, :n, :n] = (order[:n] <= order[:n, None]) & (draft | (branch == branch[:, None]))
        seen_S1TT[k, 0, n:, 0] = True  # padding must see something, or its softmax is NaN
    picked = [
        (k * size + start + before, token)
        for k, (row, start) in enumerate(zip(rows, starts, strict=True))
        for before, token in (pair for spellings in row.picks for pairs in spellings for pair in pairs)
    ]
    picked += [(0, 0)] * (-len(picked) % SHAPE_STEP)
    before, token = np.array(picked).T
    logits_PV = scorer.logits(images_STE, ids_ST, is_image_ST, seen_S1TT, places_ST, before)
    logits_PV[:, scorer.characters.never_written] = -np.inf
    top_P1 = logits_PV.max(1, keepdims=True)
    totals_P = top_P1[:, 0] + np.log(np.exp(logits_PV - top_P1).sum(1))
    scores = iter((logits_PV[np.arange(len(token)), token] - totals_P).tolist())
    sums = [[[sum(next(scores) for _ in pairs) for pairs in found] for found in row.picks] for row in rows]
    return [[[other - own for other in others] for own, *others in of_row] for of_row in sums]
