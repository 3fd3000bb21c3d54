"""Error rates of a transcription, and its confidences: pure functions.

Words, reading order, answers, charts, tables, formulas and boxes have files of their own beside this one. A character
is a code point: an emoji of several counts as several. All metrics are defined on empty input: nothing found where
nothing was to be found is right.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

VERSION = 1  # goes up whenever a metric gives another number for the same texts
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


@dataclass(frozen=True)
class Match:
    """Shares from 0 to 1: of what was predicted that is right, of the truth that was found, and their harmonic mean."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, common: float, predicted: int, truth: int) -> Match:
        """From the number of things that agree and those there are; all 1 when there are none, 0 for one side empty."""
        if not predicted or not truth:
            return cls(*[float(predicted == truth)] * 3)
        return cls(common / predicted, common / truth, 2 * common / (predicted + truth))


# -- confidence --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Bin:
    """Characters of like confidence: how many, their mean confidence and the share of them that is right."""

    count: int
    confidence: float
    accuracy: float


def right_characters(predicted: str, truth: str) -> list[bool]:
    """Which characters of a prediction a least-edit alignment with the truth keeps."""
    right = [False] * len(predicted)
    for block in Levenshtein.opcodes(predicted, truth):
        if block.tag == "equal":
            right[block.src_start : block.src_end] = [True] * (block.src_end - block.src_start)
    return right


def calibration(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> tuple[list[Bin], float]:
    """Bins of equal width that hold something, and the expected calibration error (Guo et al., 1706.04599).

    confidences: 0 to 1, a bin holds its upper edge. The error is the mean over characters of the distance of their
    bin's accuracy from its mean confidence; nan without characters. Raises ValueError for other confidences.
    """
    sure, hit = np.asarray(confidences, float), np.asarray(right, float)
    if sure.shape != hit.shape:
        raise ValueError(f"{len(sure)} confidences do not go with {len(hit)} characters")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError(f"confidences lie between 0 and 1, not {sure.min():g} to {sure.max():g}")
    which = np.clip(np.ceil(sure * bins) - 1, 0, bins - 1)
    members = [which == k for k in range(bins) if (which == k).any()]
    found = [Bin(int(m.sum()), float(sure[m].mean()), float(hit[m].mean())) for m in members]
    if not found:
        return [], float("nan")
    return found, sum(b.count * abs(b.accuracy - b.confidence) for b in found) / len(sure)


# -- over pages --------------------------------------------------------------------------------------------------------


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
