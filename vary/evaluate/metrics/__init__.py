"""Metrics: `METRICS` maps each name that a task can give to its scoring function. Each family has its own file.

Truths are plain data, so saved predictions can be scored again. Scores are shares from 0 to 1 or error rates.
"""

from __future__ import annotations

from ...io.errors import ConfigError
from .base import VERSION, WEIGHT, Metric, Scores
from .boxes import box_scores
from .charts import chart_scores
from .document import document_scores
from .formulas import formula_scores
from .layout import layout_scores
from .olmocr_bench import unit_test_scores
from .omnidocbench import block_scores, overall
from .teds import table_scores
from .text import text_scores, text_scores_zh
from .vqa import anls, judged_scores, ocrbench_scores, relaxed_scores, vqa_scores
from .words import fox_scores

__all__ = ["METRICS", "WEIGHT", "Metric", "Scores", "metric_of", "version"]

METRICS: dict[str, Metric] = {
    "text": Metric(text_scores, "cer", lower=True),
    "text-zh": Metric(text_scores_zh, "cer", lower=True),
    "fox": Metric(fox_scores, "edit_distance", lower=True),
    "document": Metric(document_scores, "text", lower=True),
    "layout": Metric(layout_scores, "f1"),
    "omnidocbench": Metric(block_scores, "text", lower=True, overall=overall),
    "unit-tests": Metric(unit_test_scores, "passed", by_group=True),
    "anls": Metric(lambda answer, truth: {"anls": anls(answer, truth)}, "anls"),
    "relaxed": Metric(relaxed_scores, "accuracy"),
    "vqa": Metric(vqa_scores, "accuracy"),
    "ocrbench": Metric(ocrbench_scores, "accuracy"),
    "box": Metric(box_scores, "accuracy"),
    "chart": Metric(chart_scores, "strict"),
    "table": Metric(table_scores, "teds"),
    "formula": Metric(formula_scores, "distance", lower=True),
    "judged": Metric(judged_scores, "answered"),
}


def metric_of(name: str) -> Metric:
    """Return a metric by name. Raises ConfigError for an unknown name."""
    if name not in METRICS:
        raise ConfigError(f"unknown metric {name!r}; allowed: {', '.join(METRICS)}")
    return METRICS[name]


def version(metric: str) -> str:
    """Return a metric's name and the version of all metrics. Do not compare numbers of different versions."""
    return f"{metric}@{VERSION}"
