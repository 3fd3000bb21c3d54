"""Score short answers to one question: ANLS (DocVQA), relaxed accuracy (ChartQA), VQA accuracy, OCRBench."""

from __future__ import annotations

import math
import re
import statistics
import string
from collections.abc import Sequence
from typing import Any

from ...markup.chart_text import number
from .base import Scores
from .text import edit_distance

TOLERANCE = 0.05  # share by which a number may be off in relaxed accuracy


def anls(predicted: str, truth: str | Sequence[str], least: float = 0.5) -> float:
    """Return ANLS of one question: the best normalised similarity over the right answers, 0 if below `least`.

    Case and runs of white space do not count (Biten et al., arXiv 1905.13648, and DocVQA's evaluation). A similarity of
    exactly `least` counts, as in DocVQA's evaluation; equation 1 of the paper would give it 0.
    """
    found = _plain(predicted)
    best = max((1 - edit_distance(found, _plain(right)) for right in _several(truth)), default=float(not found))
    return best if best >= least else 0.0


def relaxed_match(predicted: str, truth: str | Sequence[str], *, any_format: bool = False) -> float:
    """Return 1 for a number near a right one, or the same text in any case (ChartQA, arXiv 2203.10244, 5.1).

    As published, numbers are what Python's `float` reads, "12%" is 0.12, and where the truth is 0 the texts decide.
    any_format: numbers are also read as `markup.chart_text.number` does ("1,234", "$3.5M", full width), with the
    same unit on both sides or on one alone; that is more lenient than published scores.
    """
    return float(any(_matches_relaxed(predicted, right, any_format) for right in _several(truth)))


def _matches_relaxed(predicted: str, truth: str, any_format: bool) -> bool:
    predicted, truth = predicted.strip(), truth.strip()
    found, wanted = to_number(predicted), to_number(truth)
    if found is not None and wanted:
        return abs(found - wanted) / abs(wanted) <= TOLERANCE
    if any_format and (a := number(predicted)) and (b := number(truth)):
        same_unit = a[1] == b[1] or not (a[1] and b[1])
        return same_unit and abs(a[0] - b[0]) <= TOLERANCE * abs(b[0])
    return predicted.lower() == truth.lower()


def to_number(text: str) -> float | None:
    """Parse a number as ChartQA's and DePlot's scripts do: by `float`; a per cent sign divides by 100. Else None."""
    try:
        value = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _several(truth: str | Sequence[str]) -> Sequence[str]:
    return [truth] if isinstance(truth, str) else truth


def relaxed_scores(answer: str, truth: list[str]) -> Scores:
    """Score by `relaxed_match`, as published and with numbers in any format."""
    return {"accuracy": relaxed_match(answer, truth), "any_format": relaxed_match(answer, truth, any_format=True)}


def vqa_scores(answer: str, truth: list[str]) -> Scores:
    """Compute VQA accuracy over ten people's answers, each left out in turn (arXiv 1505.00468; TextVQA)."""
    found, given = _normalise_vqa(answer), [_normalise_vqa(right) for right in truth]
    shares = [min(1.0, (given[:k] + given[k + 1 :]).count(found) / 3) for k in range(len(given))]
    return {"accuracy": statistics.fmean(shares) if shares else 0.0}


_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {w: str(k) for k, w in enumerate(_NUMBERS)} | {"none": "0"}
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation.replace("'", "").replace(":", ""), " "))


def _normalise_vqa(text: str) -> str:
    """Lower case, remove articles, punctuation and apostrophes, and write numbers as digits."""
    text = re.sub(r"(?<=\d),(?=\d)", "", text.lower())
    text = re.sub(r"(?<!\d)\.(?!\d)", " ", text).replace(".", "\0").translate(_PUNCTUATION).replace("\0", ".")
    words = (_DIGITS.get(word, word) for word in text.replace("'", "").split())
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def ocrbench_scores(answer: str, truth: dict[str, Any]) -> Scores:
    """Return 1 if the answer contains a right one, ignoring case; in formulas, ignoring spaces (arXiv 2305.07895)."""

    def plain(text: str) -> str:
        text = text.strip().replace("\n", " ")
        return text.replace(" ", "") if truth["formula"] else text.lower()

    return {"accuracy": float(any(plain(right) in plain(answer) for right in truth["answers"]))}


def judged_scores(answer: str, truth: Any) -> Scores:
    """Return whether there is an answer. MM-Vet's own judge scores its content."""
    return {"answered": float(bool(answer.strip()))}
