"""What a run keeps of confidence and alphabet, and what its report says of them; conditions and what is left out."""

from __future__ import annotations

import json
from functools import partial

import pytest
from PIL import Image

from vary.evaluate import report, run, tasks
from vary.evaluate.metrics.text import outside
from vary.evaluate.reader import Reply
from vary.evaluate.record import EvalRecord
from vary.io.errors import RemoteError


def record(text: str, truth: str, confidence: list[float] | None, metric: str = "text", **more) -> EvalRecord:
    return EvalRecord("t", "e", **{"reader": "r"} | more, metric=metric, text=text, truth=truth, confidence=confidence)


def test_characters_keep_their_confidence_through_the_normalisation() -> None:
    text, truth = "ﬁne  ab\nx", "fine\nab y"
    found = record(text, truth, [0.1, 0.2, 0.3, 0.9, 0.9, 0.6, 0.7, 1.0, 0.4]).sureness()
    assert found == [(0.2, True), (0.3, True), (0.6, True), (0.7, True), (0.4, False)]  # the ligature became two
    assert record(text, truth, None).sureness() == []
    assert record(text, truth, [0.5] * 9, metric="anls").sureness() == []


def test_what_no_reading_could_get_right_is_counted() -> None:
    assert outside("ab 图表", "ab") == 0.5
    assert outside("a-\nb", "ab") == 0  # a hyphen at a line's end does not count
    assert outside(" ", "ab") == 0


def test_the_report_sets_confidence_beside_what_is_right() -> None:
    known = record("abcd", "abcx", [0.95] * 4, outside=0.25)
    rows = report.confidence_table([known, record("", "图", []), record("abcd", "abcd", None, reader="silent")])
    assert "| t | r | 4 | 95.00% | 75.00% | 20.00% | 25.00% |" in rows
    assert "silent" not in rows
    assert report.confidence_table([record("a", "a", None)]) == ""


class Page:
    """A reader that knows two letters."""

    identity, asks, languages, alphabet, takes = "page 1", False, None, "ab", "image"

    def answer(self, request):
        return Reply("ab", confidence=[0.5, 0.75], seconds=0.1)

    def close(self):
        pass


@pytest.fixture
def measure(monkeypatch, tmp_path):
    def examples(truth, _data, limit):
        if truth is None:
            raise RemoteError("deb:nothing: apt-get download: no network")
        yield tasks.Example("p", partial(Image.new, "L", (8, 8), 255), truth)

    known = {name: tasks.Task(partial(examples, truth)) for name, truth in (("there", "ab图"), ("lost", None))}
    monkeypatch.setattr(run, "choose", lambda names: {n: known[n] for n in (known if names == "all" else [names])})
    monkeypatch.setattr(run, "Hosted", lambda *_: Page())

    def evaluate(names):
        lines: list[str] = []
        run.evaluate("mine", names, tmp_path / names, log=lines.append)
        return lines, tmp_path / names

    return evaluate


def test_a_run_keeps_confidence_alphabet_and_conditions(measure) -> None:
    _, out = measure("there")
    found = json.loads((out / "predictions.jsonl").read_text())
    assert (found["confidence"], found["outside"]) == ([0.5, 0.75], pytest.approx(1 / 3))
    facts = json.loads((out / "run.json").read_text())
    before = facts["seconds"]
    assert "CPUs, vary" in facts["conditions"][0]
    assert "commit" in facts["conditions"][0]
    assert "| there | mine | 2 | 62.50% | 100.00% | 37.50% | 33.33% |" in (out / "report.md").read_text()
    measure("there")
    facts = json.loads((out / "run.json").read_text())
    assert facts["seconds"] >= before
    assert len(facts["conditions"]) == 1  # the same place and code, said once
    assert f"{facts['conditions'][0]}; 0.0 minutes in all" in (out / "report.md").read_text()


def test_of_all_tasks_those_that_cannot_be_fetched_are_left_out_with_a_line(measure) -> None:
    lines, out = measure("all")
    assert "lost: left out: deb:nothing: apt-get download: no network" in lines
    assert "| there |" in (out / "report.md").read_text()
    with pytest.raises(RemoteError, match="no network"):
        measure("lost")  # asked for by name: an error
