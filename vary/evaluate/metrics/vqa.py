"""Short answers: exact match, ANLS (DocVQA) and relaxed accuracy (ChartQA), each 0 to 1 for one question."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...markup.chart_text import number
from .text import edit_distance


def exact_match(predicted: str, truth: str | Sequence[str]) -> float:
    """1 when the answer is one of the right ones, character for character but for white space around it (Fox)."""
    return float(predicted.strip() in [right.strip() for right in _several(truth)])


def anls(predicted: str, truth: str | Sequence[str], least: float = 0.5) -> float:
    """Average normalised Levenshtein similarity of one question: the best over the right answers, 0 if below `least`.

    Case and runs of white space do not count (Biten et al., arXiv 1905.13648, and DocVQA's evaluation). A similarity of
    exactly `least` counts, as in DocVQA's evaluation; equation 1 of the paper would give it 0.
    """
    found = _plain(predicted)
    best = max((1 - edit_distance(found, _plain(right)) for right in _several(truth)), default=float(not found))
    return best if best >= least else 0.0


def relaxed_match(
    predicted: str, truth: str | Sequence[str], tolerance: float = 0.05, *, any_format: bool = False
) -> float:
    """1 for a number within 5% of a right one, or for the same text, case aside (ChartQA, arXiv 2203.10244 5.1).

    As published, numbers are what Python's `float` reads, "12%" is 0.12, and where the truth is 0 the texts decide.
    any_format: numbers are also read as `markup.chart_text.number` does ("1,234", "$3.5M", full width), with the
    same unit on both sides or on one alone; that is more lenient than published scores.
    """
    return float(any(_relaxed(predicted, right, tolerance, any_format) for right in _several(truth)))


def _relaxed(predicted: str, truth: str, tolerance: float, any_format: bool) -> bool:
    predicted, truth = predicted.strip(), truth.strip()
    found, wanted = to_number(predicted), to_number(truth)
    if found is not None and wanted:
        return abs(found - wanted) / abs(wanted) <= tolerance
    if any_format and (a := number(predicted)) and (b := number(truth)):
        same_unit = a[1] == b[1] or not (a[1] and b[1])
        return same_unit and abs(a[0] - b[0]) <= tolerance * abs(b[0])
    return predicted.lower() == truth.lower()


def to_number(text: str) -> float | None:
    """The number that ChartQA's and DePlot's scripts read: `float`'s; a per cent sign divides by 100. Else None."""
    try:
        value = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _several(truth: str | Sequence[str]) -> Sequence[str]:
    return [truth] if isinstance(truth, str) else truth
