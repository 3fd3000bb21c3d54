"""Types of metrics: `Metric`, its scores, and the version of all metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VERSION = 4  # goes up whenever a metric gives another number for the same texts
WEIGHT = "weight"  # a score of this name is the weight of an example in a total
Scores = dict[str, float | None]


@dataclass(frozen=True)
class Metric:
    """How an answer is scored against the truth, and how scores of many examples are summed up.

    Args:
        score: (answer, truth) -> scores by name. None means that a score does not apply.
        main: The leading score.
        lower: Whether a lower main score is better.
        overall: Totals computed from the mean scores.
        by_group: The total is the mean of the groups' totals.
    """

    score: Callable[[str, Any], Scores]
    main: str
    lower: bool = False
    overall: Callable[[dict[str, float]], dict[str, float]] | None = None
    by_group: bool = False
