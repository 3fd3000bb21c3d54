"""Score transcriptions: character and word error rates, edit distance, calibration, bootstrap intervals.

A character is a Unicode code point. All metrics are defined on empty input: an empty answer to an empty truth is right.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

from ...document.alphabets import to_one_script
from .base import WEIGHT, Scores

BINS = 10  # of confidences
_LIGATURES = {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl"}
_ALIKE = str.maketrans({"‐": "-", "‑": "-", "\u00ad": "-", "\u2032": "'", "ˆ": "^", "˜": "~", "∗": "*", "∼": "~"})


def normalise(text: str) -> str:
    """Normalise text for comparison: NFC, single spaces, letters for ligatures, one form for look-alike characters.

    Runs of four or more dots (dotted leaders, with or without spaces) become four. Letters that look alike in several
    scripts belong to the script of the others of their word. Quotes, dashes, case and accents are kept.
    """
    text = "".join(_LIGATURES.get(ch, ch) for ch in unicodedata.normalize("NFC", text)).translate(_ALIKE)
    text = to_one_script(text)
    return re.sub(r"\s+", " ", re.sub(r"(?:\.\s*){4,}", "....", text)).strip()


def join_hyphens(text: str) -> str:
    """Join words that a hyphen splits at a line end. PDFium marks such hyphens by U+0002 or U+FFFE."""
    return re.sub(r"(?<=\w)(?:-\s*\n\s*|[\x02\ufffe]\s*)(?=\w)", "", text)


def cer(predicted: str, truth: str) -> float:
    """Return the character error rate: edits per character of the truth. For an empty truth 0 or 1."""
    return _rate(predicted, truth)


def wer(predicted: str, truth: str) -> float:
    """Return the word error rate: edits of whole words per word of the truth."""
    return _rate(predicted.split(), truth.split())


def edit_distance(predicted: str, truth: str) -> float:
    """Return the normalised edit distance, 0 to 1: edits over the longer text (Fox, OmniDocBench)."""
    return Levenshtein.normalized_distance(predicted, truth)


def _rate(predicted: Sequence[str], truth: Sequence[str]) -> float:
    if not truth:
        return float(bool(predicted))
    return Levenshtein.distance(predicted, truth) / len(truth)


@dataclass(frozen=True)
class Match:
    """Precision, recall and F1, 0 to 1."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, common: float, predicted: int, truth: int) -> Match:
        """Compute from counts. All are 1 if both sides are empty, and 0 if one side is."""
        if not predicted or not truth:
            return cls(*[float(predicted == truth)] * 3)
        return cls(common / predicted, common / truth, 2 * common / (predicted + truth))


def cheapest_pairs(costs_NM: np.ndarray) -> list[tuple[int, int]]:
    """Pair rows with columns one to one so that the sum of their costs is least. Return (row, column) of each pair."""
    from scipy.optimize import linear_sum_assignment  # takes a second to import

    rows, columns = linear_sum_assignment(costs_NM)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


# -- confidence --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Bin:
    """Characters of similar confidence: their number, mean confidence, and the share that is right."""

    count: int
    confidence: float
    accuracy: float


def right_characters(predicted: str, truth: str) -> list[bool]:
    """Mark the characters of a prediction that a minimal edit alignment with the truth keeps."""
    right = [False] * len(predicted)
    for block in Levenshtein.opcodes(predicted, truth):
        if block.tag == "equal":
            right[block.src_start : block.src_end] = [True] * (block.src_end - block.src_start)
    return right


def calibration(confidences: Sequence[float], right: Sequence[bool]) -> tuple[list[Bin], float]:
    """Return the non-empty bins of equal width and the expected calibration error (Guo et al., arXiv 1706.04599).

    The error is the mean over characters of |accuracy - mean confidence| of their bin. It is NaN without characters.

    Raises:
        ValueError: A confidence is outside 0 to 1, or the lengths differ.
    """
    sure, hit = np.asarray(confidences, float), np.asarray(right, float)
    if sure.shape != hit.shape:
        raise ValueError(f"{len(sure)} confidences do not go with {len(hit)} characters")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError(f"confidences lie between 0 and 1, not {sure.min():g} to {sure.max():g}")
    which = np.clip(np.ceil(sure * BINS) - 1, 0, BINS - 1)
    members = [which == k for k in range(BINS) if (which == k).any()]
    found = [Bin(int(m.sum()), float(sure[m].mean()), float(hit[m].mean())) for m in members]
    if not found:
        return [], float("nan")
    return found, sum(b.count * abs(b.accuracy - b.confidence) for b in found) / len(sure)


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95% bootstrap interval of the mean (percentile method, 2,000 resamples). NaN without values."""
    data = np.asarray(values, float)
    if not len(data):
        return float("nan"), float("nan")
    if len(data) == 1:
        return float(data[0]), float(data[0])
    from scipy.stats import bootstrap  # takes a second to import

    found = bootstrap((data,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def text_scores(answer: str, truth: str) -> Scores:
    """Score a transcription: CER, WER and normalised edit distance. The weight is the length of the truth."""
    found, wanted = normalise(join_hyphens(answer)), normalise(join_hyphens(truth))
    rates: Scores = {"cer": cer(found, wanted), "wer": wer(found, wanted)}
    return rates | {"edit_distance": edit_distance(found, wanted), WEIGHT: float(len(wanted))}


def text_scores_zh(answer: str, truth: str) -> Scores:
    """Score a Chinese transcription without white space. Each character counts as a word."""
    found, wanted = ("".join(normalise(join_hyphens(text)).split()) for text in (answer, truth))
    rate = cer(found, wanted)
    return {"cer": rate, "wer": rate, "edit_distance": edit_distance(found, wanted), WEIGHT: float(len(wanted))}


def outside(truth: str, alphabet: str) -> float:
    """Return the share of a page's characters, without white space, that are not in an alphabet."""
    wanted = "".join(normalise(join_hyphens(truth)).split())
    return sum(ch not in alphabet for ch in wanted) / len(wanted) if wanted else 0.0


def character_confidence(text: str, confidence: Sequence[float], truth: str) -> list[tuple[float, bool]]:
    """Pair the confidence of every character of a transcription with whether the character is right.

    White space and characters that normalisation changes are left out.
    """
    found, wanted = (normalise(join_hyphens(side)) for side in (text, truth))
    right = right_characters(found, wanted)
    same = (block for block in Levenshtein.opcodes(text, found) if block.tag == "equal")
    places = ((b.src_start + k, b.dest_start + k) for b in same for k in range(b.src_end - b.src_start))
    return [(confidence[i], right[j]) for i, j in places if not text[i].isspace()]
