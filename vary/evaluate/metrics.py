"""Error rates of a transcription: pure functions on strings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

_LIGATURES = {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl"}
_ALIKE = str.maketrans({"‐": "-", "‑": "-", "\u00ad": "-", "\u2032": "'", "ˆ": "^", "˜": "~", "∗": "*", "∼": "~"})


def normalise(text: str) -> str:
    """White space to single blanks, ligatures to letters, look-alikes that no reader of pixels can tell apart to one.

    NFC; runs of four and more dots (leaders of a contents page, with blanks or without) become four. Nothing else:
    quotes, dashes, case and accents count.
    """
    text = "".join(_LIGATURES.get(ch, ch) for ch in unicodedata.normalize("NFC", text)).translate(_ALIKE)
    return re.sub(r"\s+", " ", re.sub(r"(?:\.\s*){4,}", "....", text)).strip()


def join_hyphens(text: str) -> str:
    """Take back hyphens at line ends, for readers and truth alike: PDFium marks them by U+0002 or U+FFFE."""
    return re.sub(r"(?<=\w)(?:-\s*\n\s*|[\x02\ufffe]\s*)(?=\w)", "", text)


def cer(predicted: str, truth: str) -> float:
    """Character error rate: edits per character of the truth. An empty truth: 0 for no prediction, else 1."""
    return _rate(predicted, truth)


def wer(predicted: str, truth: str) -> float:
    """Word error rate: edits of whole words per word of the truth."""
    return _rate(predicted.split(), truth.split())


def edit_distance(predicted: str, truth: str) -> float:
    """Normalised edit distance, 0 to 1: edits over the longer of the two (Fox, OmniDocBench)."""
    return Levenshtein.normalized_distance(predicted, truth)


def _rate(predicted: Sequence[str], truth: Sequence[str]) -> float:
    if not truth:
        return float(bool(predicted))
    return Levenshtein.distance(predicted, truth) / len(truth)


def interval(
    values: Sequence[float], statistic: Callable[[np.ndarray], float], rounds: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95% bootstrap interval of a statistic over pages."""
    data = np.asarray(values, float)
    if not len(data):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    found = [statistic(data[rng.integers(0, len(data), len(data))]) for _ in range(rounds)]
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))
