"""Metrics against a second implementation, tasks and reports."""

from __future__ import annotations

import json
import random

import pytest
from PIL import Image

from vary.evaluate import run, tasks
from vary.evaluate.metrics import cer, edit_distance, interval, join_hyphens, normalise, wer


def levenshtein(a, b) -> int:
    """The textbook table, to check the library by."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def test_rates_agree_with_the_textbook() -> None:
    rng = random.Random(0)
    for _ in range(200):
        a, b = ("".join(rng.choices("ab c", k=rng.randrange(12))) for _ in range(2))
        if b:
            assert cer(a, b) == levenshtein(a, b) / len(b)
        if b.split():
            assert wer(a, b) == levenshtein(a.split(), b.split()) / len(b.split())
        assert edit_distance(a, b) == pytest.approx(levenshtein(a, b) / (max(len(a), len(b)) or 1))


def test_empty_texts_are_defined() -> None:
    assert (cer("", ""), cer("x", ""), wer("", ""), wer("x y", "")) == (0, 1, 0, 1)
    assert cer("", "abc") == 1


def test_normalise_keeps_what_can_be_seen() -> None:
    assert normalise(" a\r\n  b\t") == "a b"
    assert normalise("ﬁne ﬄ") == "fine ffl"
    assert normalise("“Don’t”—É") == "“Don’t”—É"
    assert normalise("e\u0301") == "é"
    assert normalise("Title . . . . . . 7 a...b") == normalise("Title ........... 7 a...b") == "Title ....7 a...b"


def test_hyphens_at_line_ends_are_taken_back() -> None:
    assert join_hyphens("docu-\nmentation well-known a -\n b") == "documentation well-known a -\n b"
    assert join_hyphens("docu\ufffementation com\x02puter") == "documentation computer"


def test_interval_holds_the_mean_and_narrows() -> None:
    few, many = interval([0.0, 1.0] * 5, lambda v: v.mean()), interval([0.0, 1.0] * 500, lambda v: v.mean())
    assert few[0] < 0.5 < few[1]
    assert many[1] - many[0] < few[1] - few[0]
    assert interval([], lambda v: v.mean())[0] != interval([], lambda v: v.mean())[0]  # nan


def test_unknown_tasks_are_named() -> None:
    with pytest.raises(ValueError, match="unknown task 'poems'; allowed: pages, faces"):
        list(tasks.pages("poems"))
    with pytest.raises(ValueError, match="unknown task 'poems'"):
        run.evaluate("vary-nano", "pages,poems")


def test_a_run_writes_predictions_and_a_report(tmp_path, monkeypatch) -> None:
    page = tasks.TestPage("p1", Image.new("L", (64, 64), 255), "the truth")
    monkeypatch.setattr(run, "pages", lambda task, limit: iter([page, page]))
    monkeypatch.setattr(run, "_readers", lambda *_: {"mine": lambda _: "the truth", "other": lambda _: "the trut"})
    rows = run.evaluate("any", "pages", tmp_path, log=lambda _: None)
    assert [(r["reader"], r["cer"]) for r in rows] == [("mine", 0), ("other", pytest.approx(1 / 9))]
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    assert {line["truth"] for line in lines} == {"the truth"}
    assert "| pages | other | 2 | 11.11% |" in (tmp_path / "report.md").read_text()


def test_measured_documents_are_not_training_text() -> None:
    from vary.data.corpus import MEASURED, TEXTS

    packages = {package for sources in tasks.REAL.values() for package, _, _ in sources}
    assert packages <= set(MEASURED)
    assert not packages & {name.split(":")[1] for name in TEXTS}
