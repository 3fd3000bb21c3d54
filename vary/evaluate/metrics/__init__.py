"""The metrics that a task can name: how an answer is scored against the truth, and which of the scores leads.

A truth is plain data, so that a run's predictions can be scored anew. Scores are 0 to 1 (error rates may exceed it);
None is "does not apply". The metrics themselves stand in the files beside this one.
"""

from __future__ import annotations

import re
import statistics
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rapidfuzz.distance import Levenshtein

from ...io.errors import ConfigError
from ...markup.boxes import parse_boxes
from ...markup.chart_text import Chart, parse_chart
from .boxes import iou
from .charts import TOLERANCES, chart_precision, chart_table, rms
from .formulas import formula_distance, formula_match
from .olmocr_bench import passes
from .omnidocbench import block_scores, overall, table_score
from .text import VERSION, cer, edit_distance, join_hyphens, normalise, right_characters, wer
from .vqa import anls, relaxed_match
from .words import page_scores

WEIGHT = "weight"  # a score of this name is what an example counts in a total
Scores = dict[str, float | None]


@dataclass(frozen=True)
class Metric:
    """score: (answer, truth) -> scores. main: the one that leads. lower: whether less is better. overall: totals of
    several mean scores. by_group: the total is the mean of the groups' totals.
    """

    score: Callable[[str, Any], Scores]
    main: str
    lower: bool = False
    overall: Callable[[dict[str, float]], dict[str, float]] | None = None
    by_group: bool = False


def _text(answer: str, truth: str) -> Scores:
    found, wanted = normalise(join_hyphens(answer)), normalise(join_hyphens(truth))
    rates: Scores = {
        "cer": cer(found, wanted),
        "wer": wer(found, wanted),
        "edit_distance": edit_distance(found, wanted),
    }
    return rates | {WEIGHT: float(len(wanted))}


def _text_zh(answer: str, truth: str) -> Scores:
    """White space does not count: Chinese has none, and where a line ends it is none. Words are characters."""
    found, wanted = ("".join(normalise(join_hyphens(text)).split()) for text in (answer, truth))
    rate = cer(found, wanted)
    return {"cer": rate, "wer": rate, "edit_distance": edit_distance(found, wanted), WEIGHT: float(len(wanted))}


def _fox(answer: str, truth: str) -> Scores:
    """Fox's and GOT's scores in both orientations: the published tables have precision and recall swapped."""
    swapped = page_scores(answer, truth, published=True)
    names = ("precision", "recall", "bleu", "meteor")
    return {**page_scores(answer, truth), **{f"{name}_published": swapped[name] for name in names}}


def _relaxed(answer: str, truth: list[str]) -> Scores:
    return {"accuracy": relaxed_match(answer, truth), "any_format": relaxed_match(answer, truth, any_format=True)}


def _vqa(answer: str, truth: list[str]) -> Scores:
    """VQA accuracy over ten people's answers, each left out in turn (Antol et al., 1505.00468; TextVQA)."""
    found, given = _spoken(answer), [_spoken(right) for right in truth]
    shares = [min(1.0, (given[:k] + given[k + 1 :]).count(found) / 3) for k in range(len(given))]
    return {"accuracy": statistics.fmean(shares) if shares else 0.0}


_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {w: str(k) for k, w in enumerate(_NUMBERS)} | {"none": "0"}
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation.replace("'", "").replace(":", ""), " "))


def _spoken(text: str) -> str:
    """Lower case, no articles and punctuation, numbers as digits; apostrophes are left out of contractions."""
    text = re.sub(r"(?<=\d),(?=\d)", "", text.lower())
    text = re.sub(r"(?<!\d)\.(?!\d)", " ", text).replace(".", "\0").translate(_PUNCTUATION).replace("\0", ".")
    words = (_DIGITS.get(word, word) for word in text.replace("'", "").split())
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def _ocrbench(answer: str, truth: dict[str, Any]) -> Scores:
    """1 when a right answer stands in the answer, case aside; blanks do not count in formulas (arXiv 2305.07895)."""

    def plain(text: str) -> str:
        text = text.strip().replace("\n", " ")
        return text.replace(" ", "") if truth["formula"] else text.lower()

    return {"accuracy": float(any(plain(right) in plain(answer) for right in truth["answers"]))}


def _box(answer: str, truth: dict[str, Any]) -> Scores:
    """The first box of the answer; an answer without one is wrong. truth: `box` in pixels, `size` of the image."""
    width, height = truth["size"]
    found = parse_boxes(answer, (width, height)).found
    x0, y0, x1, y1 = truth["box"]
    overlap = iou(found[0].box if found else None, (x0, y0, x1, y1))
    return {"accuracy": float(overlap >= 0.5), "iou": overlap}


def _chart(answer: str, truth: str | dict[str, Any]) -> Scores:
    """AP strict, slight, high and RMS F1; 0 for an answer without a dict. truth: a dict's text, or OneChart's `gts`."""
    wanted = parse_chart(truth) if isinstance(truth, str) else Chart(truth.get("title"), truth["values"])
    try:
        found = parse_chart(answer)
    except ValueError:
        return dict.fromkeys([*TOLERANCES, "rms"], 0.0)
    scores: Scores = {name: chart_precision(found.values, wanted.values, name) for name in TOLERANCES}
    try:
        scores["rms"] = rms(chart_table(found), chart_table(wanted), any_format=True).f1
    except ValueError:  # plain values beside series: no table
        scores["rms"] = 0.0
    return scores


def _table(answer: str, truth: str) -> Scores:
    return {"teds": table_score(answer, truth, False), "teds_s": table_score(answer, truth, True)}


def _formula(answer: str, truth: str) -> Scores:
    return {"distance": formula_distance(answer, truth), "match": formula_match(answer, truth).f1}


def _unit_tests(answer: str, truth: list[dict[str, Any]]) -> Scores:
    return {"passed": statistics.fmean(passes(test, answer) for test in truth), WEIGHT: float(len(truth))}


METRICS: dict[str, Metric] = {
    "text": Metric(_text, "cer", lower=True),
    "text-zh": Metric(_text_zh, "cer", lower=True),
    "fox": Metric(_fox, "edit_distance", lower=True),
    "omnidocbench": Metric(block_scores, "text", lower=True, overall=overall),
    "unit-tests": Metric(_unit_tests, "passed", by_group=True),
    "anls": Metric(lambda answer, truth: {"anls": anls(answer, truth)}, "anls"),
    "relaxed": Metric(_relaxed, "accuracy"),
    "vqa": Metric(_vqa, "accuracy"),
    "ocrbench": Metric(_ocrbench, "accuracy"),
    "box": Metric(_box, "accuracy"),
    "chart": Metric(_chart, "strict"),
    "table": Metric(_table, "teds"),
    "formula": Metric(_formula, "distance", lower=True),
    "judged": Metric(
        lambda answer, truth: {"answered": float(bool(answer.strip()))}, "answered"
    ),  # MM-Vet's judge scores
}


def outside(truth: str, alphabet: str) -> float:
    """Share of a page's characters, blanks aside, that a reader of this alphabet cannot write."""
    wanted = "".join(normalise(join_hyphens(truth)).split())
    return sum(ch not in alphabet for ch in wanted) / len(wanted) if wanted else 0.0


def sureness(record: dict[str, Any]) -> list[tuple[float, bool]]:
    """Confidence of every character of a transcribed page, blanks aside, and whether it is right.

    Those of the answer that the metric's normalisation leaves; empty for a reader that does not tell.
    """
    text, sure = record["text"], record.get("confidence")
    if not sure or not record["metric"].startswith("text"):
        return []
    found, wanted = (normalise(join_hyphens(side)) for side in (text, record["truth"]))
    right = right_characters(found, wanted)
    same = (block for block in Levenshtein.opcodes(text, found) if block.tag == "equal")
    places = ((b.src_start + k, b.dest_start + k) for b in same for k in range(b.src_end - b.src_start))
    return [(sure[i], right[j]) for i, j in places if not text[i].isspace()]


def version(metric: str) -> str:
    """A metric's name and the version of all metrics: numbers of different versions are not compared."""
    return f"{metric}@{VERSION}"


def score(record: dict[str, Any]) -> Scores:
    """Scores of a prediction. What was not read is an empty answer. Raises ValueError for an unknown metric."""
    if record["metric"] not in METRICS:
        raise ConfigError(f"unknown metric {record['metric']!r}; allowed: {', '.join(METRICS)}")
    return METRICS[record["metric"]].score(record["text"], record["truth"])
