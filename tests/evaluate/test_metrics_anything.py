"""Every metric on strings that nobody meant for it: any Unicode, markup cut in half, nothing at all, and very much."""

from __future__ import annotations

import json
import math
import time

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.metrics.distance import edit_distance as nltk_distance
from nltk.translate.bleu_score import sentence_bleu

from vary.evaluate import metrics as scores
from vary.evaluate.metrics import boxes, charts, formulas, words
from vary.evaluate.metrics import olmocr_bench as unit_tests
from vary.evaluate.metrics import omnidocbench as order
from vary.evaluate.metrics import text as metrics
from vary.evaluate.metrics import vqa as answers
from vary.evaluate.metrics.teds import table_score, teds

anything = settings(max_examples=40, derandomize=True, database=None, deadline=None)
MARKUP = (
    "<table>", "<tr>", "<td colspan=9999999>", "</td>", "</table", "|", "|---|", "\\begin{tabular}{ll}", "\\hline", "&",
    "\\\\", "$$", "\\[", "\\frac{", "}", "^", "_", "\\left(", "{\"a\": ", "[", "1e999", "-5%", "，", "图", "\n\n",
    "(0,0),", "<box>", "word", "é", "\x00", "\ufffe", "....", "-\n", "\u202e",
)  # fmt: skip
TEXT = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(MARKUP), max_size=14).map("".join))
BLOCKS = [
    {"kind": "title", "order": 0, "text": "A title"}, {"kind": "text_block", "order": 1, "text": "Some text"},
    {"kind": "equation_isolated", "order": 2, "latex": "$$x^2$$"},
    {"kind": "table", "order": 3, "html": "<table><tr><td>a</td></tr></table>"},
]  # fmt: skip
TESTS = [
    {"type": "present", "text": "some words"}, {"type": "absent", "text": "other words", "first_n": 40},
    {"type": "order", "before": "one", "after": "two", "max_diffs": 1}, {"type": "math", "math": "x^2"},
    {"type": "table", "cell": "a", "up": "b"}, {"type": "baseline"},
]  # fmt: skip
# a truth of the right kind for every metric that a task can name; None takes any text
TRUTHS = {
    "text": None, "text-zh": None, "fox": None, "omnidocbench": BLOCKS, "unit-tests": TESTS, "anls": ["an answer"],
    "relaxed": ["3.5"], "vqa": ["yes"] * 10, "ocrbench": {"answers": ["x y"], "formula": True},
    "box": {"box": [0, 0, 9, 9], "size": [40, 30]}, "chart": "{'title': 't', 'values': {'a': '1', 'b': '2'}}",
    "document": [{"kind": "heading", "text": "A title"}, {"kind": "text", "text": "Some text."},
                 {"kind": "table", "html": "<table><tr><td>a</td></tr></table>"}],
    "layout": [{"kind": "text", "box": [0, 0, 0.5, 0.5]}], "table": "<table><tr><td>a</td></tr></table>",
    "formula": "\\frac{a}{b}", "judged": "anything",
}  # fmt: skip


def test_no_metric_is_left_out() -> None:
    assert set(TRUTHS) == set(scores.METRICS)


def scored(metric: str, answer: str, truth) -> dict:
    return scores.METRICS[metric].score(answer, truth)


@pytest.mark.parametrize("metric", TRUTHS)
@anything
@given(TEXT, TEXT)
def test_every_metric_is_defined_on_any_answer(metric: str, answer: str, other: str) -> None:
    truth = other if TRUTHS[metric] is None else TRUTHS[metric]
    found = scored(metric, answer, truth)
    assert scores.METRICS[metric].main in found
    for name, value in found.items():
        assert value is None or math.isfinite(value), name
        assert value is None or value >= 0, name
        assert value is None or value <= 1 + 1e-12 or name in ("cer", "wer", scores.WEIGHT), name
    assert found == scored(metric, answer, truth)


@anything
@given(TEXT)
def test_a_transcription_that_is_right_is_right_in_every_metric(text: str) -> None:
    for metric, main in (("text", 0), ("text-zh", 0), ("fox", 0), ("formula", 0)):
        assert scored(metric, text, text)[scores.METRICS[metric].main] == pytest.approx(main, abs=1e-12), metric
    assert metrics.right_characters(text, text) == [True] * len(text)


@anything
@given(TEXT, TEXT)
def test_distances_agree_with_nltk_and_jiwer_on_any_text(a: str, b: str) -> None:
    edits = nltk_distance(a, b)
    assert metrics.edit_distance(a, b) == pytest.approx(edits / max(len(a), len(b), 1), abs=1e-9)
    assert metrics.cer(a, b) == pytest.approx(edits / len(b) if b else float(bool(a)), abs=1e-9)
    if b.split():
        assert metrics.wer(a, b) == pytest.approx(jiwer.wer(" ".join(b.split()), " ".join(a.split())), abs=1e-9)
    right = metrics.right_characters(a, b)
    assert len(a) - edits <= sum(right) <= len(a)
    assert order.order_distance(a, b) == pytest.approx(edits / max(len(a), len(b), 1), abs=1e-9)


@anything
@given(TEXT, TEXT)
def test_shares_lie_between_none_and_all(a: str, b: str) -> None:
    both = a.split(), b.split()
    values = [
        answers.anls(a, b), answers.relaxed_match(a, b),
        answers.relaxed_match(a, b, any_format=True), words.meteor(*both), words.overlap(*both).f1,
        formulas.formula_distance(a, b), formulas.formula_match(a, b).f1,
        charts.chart_similarity({a: b}, {b: a}, "high"), charts.rms(a, b).f1, table_score(a, MARKED, False),
    ]  # fmt: skip
    assert all(0 <= value <= 1 + 1e-12 for value in values), values
    bleu = words.bleu(*both)
    if all(len(side) > 3 for side in both) and bleu:
        assert bleu == pytest.approx(sentence_bleu([both[1]], both[0]), abs=1e-9)


MARKED = "<table><tr><td>a</td><td>b</td></tr></table>"


@pytest.mark.parametrize("metric", TRUTHS)
def test_nothing_is_an_answer_too(metric: str) -> None:
    """An empty answer to what has one is wrong; to nothing it is right."""
    kind = scores.METRICS[metric]
    truth = "some text" if TRUTHS[metric] is None else TRUTHS[metric]
    wrong = scored(metric, "", truth)[kind.main]
    assert wrong == pytest.approx(1 / 6 if metric == "unit-tests" else float(kind.lower))  # `absent` holds of nothing
    if TRUTHS[metric] is None:
        assert scored(metric, "", "")[kind.main] == 0
        assert scored(metric, "x", "")[kind.main] == 1


HUGE = {
    "letters": "a" * 50_000, "words": "word " * 10_000, "Chinese": "图" * 5_000, "blanks": " \n" * 25_000,
    "dots": ". " * 25_000, "hyphens": "-\n" * 25_000, "braces": "{" * 25_000, "fractions": "\\frac{" * 5_000,
    "dollars": "$" * 25_000, "rows": "| a | b |\n" * 1_500, "cells": "<td>" * 5_000, "tables": "<table>" * 10_000,
    "tabulars": "\\begin{tabular}" * 5_000, "brackets": "\\[" * 20_000, "stars": "*" * 25_000,
    "boxes": "(1,2),(3,4)" * 5_000, "dicts": "{'a':" * 5_000, "equations": "\\begin{equation}" * 5_000,
    "tags": "<b>" * 10_000, "digits": "9" * 25_000, "commas": "1," * 25_000,
}  # fmt: skip


@pytest.mark.parametrize("metric", TRUTHS)
def test_an_answer_that_ran_away_is_scored_in_seconds(metric: str) -> None:
    truth = "A page of text, as pages go. " * 60 if TRUTHS[metric] is None else TRUTHS[metric]
    slow = {}
    for name, answer in HUGE.items():
        began = time.process_time()
        main = scored(metric, answer, truth)[scores.METRICS[metric].main]
        assert main is not None
        assert math.isfinite(main)
        slow[name] = time.process_time() - began
    assert max(slow.values()) < 4, json.dumps({k: round(v, 1) for k, v in slow.items() if v > 1})


def test_boxes_that_are_none_and_values_that_are_no_numbers() -> None:
    for box in ((0.0, 0.0, 1e300, 1e300), (5, 5, -5, -5), (0, 0, 0, 0)):
        assert 0 <= boxes.iou(box, (0, 0, 1, 1)) <= 1
    assert charts.chart_precision({"a": "1e400"}, {"a": "nan"}) in (0.0, 1.0)
    assert unit_tests.passes({"type": "present", "text": ""}, "") in (True, False)
    assert teds("", "") == 1
