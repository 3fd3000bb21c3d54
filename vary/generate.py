"""Draft and verify: the reading head's line is the draft, the decoder accepts or corrects it in a few parallel passes.

Lossless: the text is what the decoder would write greedily on its own; a draft only saves passes. A pass runs over the
image and the whole draft; the longest agreeing beginning is kept, the decoder's own character is put where they part,
and the rest of the draft is lined up behind it and tried again.
Source: speculative decoding (Leviathan et al. 2023) with a draft from OCR, as in arXiv 2602.12957.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .strips import Writer

MAX_ROUNDS = 12


@dataclass
class Verdict:
    """text: what the decoder writes. log_prob: mean log-probability per character of that text and of the draft.

    passes: parallel passes it took. finished: whether the decoder agreed to the end within MAX_ROUNDS.
    """

    text: str
    log_prob: float
    draft_log_prob: float
    passes: int
    finished: bool


def write(writer: Writer, images: list[Tensor], max_length: int) -> list[str]:
    """Greedy decoding without any draft, with the cache of `generate`."""
    padded, mask, _ = writer.batch(images, [[] for _ in images])
    lengths = mask.sum(1)
    left = torch.stack([row.roll(int(padded.shape[1] - n), 0) for row, n in zip(padded, lengths, strict=True)])
    left_mask = torch.stack([row.roll(int(padded.shape[1] - n), 0) for row, n in zip(mask, lengths, strict=True)])
    ids = writer.model.generate(  # type: ignore[misc]
        inputs_embeds=left, attention_mask=left_mask, max_new_tokens=max_length, do_sample=False,
        eos_token_id=writer.ids["</s>"], pad_token_id=writer.ids["<pad>"],
        suppress_tokens=writer.never_written,
    )  # fmt: skip
    return [writer.decode(row.tolist()) for row in ids]


@torch.inference_mode()
def verify(writer: Writer, images: list[Tensor], drafts: list[str], max_length: int = 400) -> list[Verdict]:
    """What the decoder makes of each draft. images: embeddings (M, E) of each strip."""
    end = writer.ids["</s>"]
    candidates = [[writer.encode(draft)[:max_length]] for draft in drafts]
    found: list[_Pass | None] = [None] * len(drafts)
    first_scores: list[float] = [0.0] * len(drafts)
    passes = [0] * len(drafts)
    waiting = list(range(len(drafts)))
    for round_ in range(1, MAX_ROUNDS + 1):
        owners = [k for k in waiting for _ in candidates[k]]
        inputs = [text for k in waiting for text in candidates[k]]
        tried: dict[int, list[_Pass]] = {}
        for k, text, rows in zip(owners, inputs, writer.logits([images[k] for k in owners], inputs), strict=True):
            tried.setdefault(k, []).append(_compare(rows, [*text, end]))
        still = []
        for k in waiting:
            best = found[k] = max(tried[k], key=lambda p: (p.agreed, -len(p.tokens)))
            passes[k] = round_
            if round_ == 1:
                first_scores[k] = best.score
            if best.agreed < len(best.tokens):
                candidates[k] = [c[:max_length] for c in _corrections(best.tokens[:-1], best.agreed, best.wanted, end)]
                still.append(k)
        waiting = still
        if not waiting:
            break
    return [
        Verdict(writer.decode(p.tokens), p.score, first_scores[k], passes[k], p.agreed == len(p.tokens))
        for k, p in enumerate(found)
        if p is not None
    ]


@dataclass
class _Pass:
    """tokens with the end token; how many of them the decoder agreed with, and what it wanted at the next place."""

    tokens: list[int]
    agreed: int
    wanted: int
    score: float


def _compare(logits: Tensor, tokens: list[int]) -> _Pass:
    log_probs = logits.float().log_softmax(-1)
    best = log_probs.argmax(-1).tolist()
    agreed = next((i for i, (b, t) in enumerate(zip(best, tokens, strict=True)) if b != t), len(tokens))
    target = torch.tensor(tokens, device=log_probs.device)
    score = float(log_probs.gather(1, target[:, None]).mean())
    return _Pass(tokens, agreed, best[min(agreed, len(best) - 1)], score)


def _corrections(text: list[int], at: int, token: int, end: int) -> list[list[int]]:
    """Ways to put the decoder's token where it parts from the draft: for a character, before it, or instead of two."""
    if token == end:
        return [text[:at]]
    head, rest = [*text[:at], token], text[at:]
    ways = [head + rest[1:], head + rest]
    if len(rest) > 1 and rest[1] == token:
        ways.append(text[:at] + rest[1:])
    return ways
