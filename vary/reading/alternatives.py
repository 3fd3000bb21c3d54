"""Doubts of a line: the places where the reading head sees more than one spelling, and how likely it holds each.

A place runs from one sure blank of CTC to the next, so that its spellings have nothing to do with what stands about it.
Source: CTC prefix beam search, Graves et al. 2006 and Hannun et al. 2014 (arXiv 1408.2873).
Shapes: T frames of a line, A classes (0 is CTC's blank).
"""

from __future__ import annotations

from math import exp, inf, log, log1p

import numpy as np

from ..document.lines import Alternative

SURE_BLANK = 0.95  # probability of a frame that parts two places
RIVAL = 0.12  # probability from which another character is worth a second look
BEAM, CLASSES = 6, 3  # prefixes kept, and classes tried at a frame
FAINTEST = 4.0  # nats: a spelling so much less likely than the line's own is none


def find_doubts(path_TA: np.ndarray, text: str, at: np.ndarray, alphabet: str) -> list[Alternative]:
    """path_TA: probabilities along a line; text, at: CTC's best path, the frame of every character."""
    best = path_TA.argmax(1)
    rival = path_TA.copy()
    rival[:, 0] = 0
    for shift in (-2, -1, 0, 1, 2):  # the flanks of a character's own spike are none
        near = np.clip(np.arange(len(best)) + shift, 0, len(best) - 1)
        rival[np.arange(len(best)), best[near]] = 0
    doubtful = rival.max(1) > RIVAL
    doubtful[at] |= path_TA[at].max(1) < 1 - RIVAL
    found = []
    for first, last in _places(path_TA[:, 0] > SURE_BLANK):
        if not doubtful[first:last].any():
            continue
        start, end = np.searchsorted(at, [first, last]).tolist()
        likely = spellings(path_TA[first:last], alphabet)
        own = likely.pop(text[start:end], None)
        if own is None:
            continue
        others = tuple((other, p - own) for other, p in likely.items() if p - own > -FAINTEST)
        if others:
            found.append(Alternative(start, end, others))
    return found


def _places(sure: np.ndarray) -> list[tuple[int, int]]:
    """Runs of frames between sure blanks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], sure, [1]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def spellings(path_TA: np.ndarray, alphabet: str) -> dict[str, float]:
    """The likeliest texts of some frames and their log-likelihoods, by prefix beam search."""
    beams = {"": (0.0, -inf)}  # prefix: log-likelihood of its alignments that end in a blank, and of the others
    for row in path_TA:
        tried = [int(k) for k in np.argpartition(-row, CLASSES)[:CLASSES] if k and row[k] > 1e-3]
        blank, logs = log(max(float(row[0]), 1e-9)), {k: log(float(row[k])) for k in tried}
        grown: dict[str, tuple[float, float]] = {}
        for prefix, (in_blank, in_ink) in beams.items():
            whole = _added(in_blank, in_ink)
            _grow(grown, prefix, whole + blank, -inf)
            for k, p in logs.items():
                ch = alphabet[k - 1]
                if prefix.endswith(ch):
                    _grow(grown, prefix, -inf, in_ink + p)
                    _grow(grown, prefix + ch, -inf, in_blank + p)
                else:
                    _grow(grown, prefix + ch, -inf, whole + p)
        kept = sorted(grown.items(), key=lambda item: -_added(*item[1]))[:BEAM]
        beams = dict(kept)
    return {prefix: _added(*p) for prefix, p in beams.items() if "  " not in prefix}


def _grow(beams: dict[str, tuple[float, float]], prefix: str, in_blank: float, in_ink: float) -> None:
    old = beams.get(prefix, (-inf, -inf))
    beams[prefix] = _added(old[0], in_blank), _added(old[1], in_ink)


def _added(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    low, high = min(a, b), max(a, b)
    return high if low == -inf else high + log1p(exp(low - high))
