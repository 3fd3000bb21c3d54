"""Generated documents with known sources, and how Markdown and layout are scored against them."""

from __future__ import annotations

import io
import json

import pypdfium2
import pytest

from vary.evaluate import documents, run
from vary.evaluate.metrics import METRICS
from vary.evaluate.reader import Reply
from vary.evaluate.record import read_records
from vary.evaluate.task import Task


@pytest.fixture(autouse=True)
def corpus(monkeypatch, text_source):
    """Words that need no network."""
    monkeypatch.setattr(documents.Corpus, "english", classmethod(lambda cls, part: text_source.corpus))
    documents.document.cache_clear()
    yield
    documents.document.cache_clear()


def to_markdown(blocks) -> str:
    """A right answer."""
    marks = {"heading": "## ", "list": "- ", "text": ""}
    return "\n\n".join(b["html"] if b["kind"] == "table" else marks[b["kind"]] + b["text"] for b in blocks)


@pytest.mark.parametrize("kind", documents.KINDS)
def test_a_document_holds_its_truth_and_is_the_same_every_time(kind) -> None:
    pdf, blocks = documents.document(kind, 1)
    with pypdfium2.PdfDocument(io.BytesIO(pdf)) as opened:
        assert len(opened) == 1
        text = opened[0].get_textpage().get_text_range()
    first = next(b["text"] for b in blocks if b["kind"] == "heading")
    assert "".join(first.split()) in "".join(text.split())
    picture = documents.draw(kind, 1)
    documents.document.cache_clear()
    assert documents.document(kind, 1)[1] == blocks
    assert documents.draw(kind, 1).tobytes() == picture.tobytes()
    assert documents.document(kind, 2)[1] != blocks
    scores = METRICS["document"].score(to_markdown(blocks), list(blocks))
    assert scores["text"] == scores["order"] == 0
    assert {scores[name] for name in ("headings", "teds", "teds_s", "cell_f1")} <= {1, None}


BLOCKS = [
    {"kind": "heading", "text": "Of ships"},
    {"kind": "text", "text": "The first paragraph, of some length."},
    {"kind": "table", "html": "<table><tr><td>a</td><td>1,250.00</td></tr><tr><td>b</td><td>7</td></tr></table>"},
    {"kind": "text", "text": "Another paragraph that comes after."},
]
TABLE = "| a | 1,250.00 |\n|---|---|\n| b | 7 |"


def score(*parts: str) -> dict:
    return METRICS["document"].score("\n\n".join(parts), BLOCKS)


def test_each_score_of_a_document_sees_its_own_fault() -> None:
    heading, one, other = (
        "# Of ships",
        "The **first** paragraph, of some\nlength.",
        "Another paragraph that comes after.",
    )
    right = {"text": 0, "words": 1, "order": 0, "headings": 1, "teds": 1, "teds_s": 1, "cell_f1": 1}
    assert score(heading, one, TABLE, other) == right
    assert score(heading, other, TABLE, one) == right | {"order": pytest.approx(2 / 3)}
    assert score("Of ships", one, TABLE, other) == right | {"headings": 0}
    assert score(heading, one.replace("first", "fifth"), TABLE, other)["text"] == pytest.approx(3 / 79, abs=0.01)
    comma = score(heading, one, TABLE.replace("1,250.00", "1.250.00"), other)
    assert comma["cell_f1"] == pytest.approx(3 / 4)
    assert 0.9 < comma["teds"] < 1
    assert comma["teds_s"] == 1
    lost = score(heading, one, "a b 1,250.00 7", other)
    assert (lost["words"], score(f"{heading} {one} {other} {TABLE}")["words"] > 0.8) == (1, True)
    assert (lost["teds"], lost["cell_f1"]) == (0, 0)
    assert score("") == {"text": 1, "words": 0, "order": 1, "headings": 0, "teds": 0, "teds_s": 0, "cell_f1": 0}


def test_layout_wants_class_and_place() -> None:
    truth = [{"kind": "heading", "box": [0, 0, 1, 0.1]}, {"kind": "text", "box": [0, 0.2, 1, 0.9]}]

    def f1(blocks) -> tuple[float, float]:
        found = METRICS["layout"].score(json.dumps(blocks), truth)
        return found["f1"], found["f1_boxes"]

    assert f1(truth) == (1, 1)
    assert f1([truth[0] | {"kind": "text"}, truth[1]]) == (0.5, 1)
    assert f1([truth[0], truth[1] | {"box": [0, 0.2, 0.4, 0.9]}]) == (0.5, 0.5)
    assert f1([truth[0], truth[0], truth[1]]) == (0.8, 0.8)  # a block is matched once
    assert f1([]) == (0, 0)
    assert METRICS["layout"].score("no JSON", truth)["f1"] == 0


class Reader:
    """A reader that keeps what it was given."""

    asks, languages, identity, alphabet = False, None, "reader 1", ""

    def __init__(self, takes: str):
        self.takes, self.given = takes, []

    def answer(self, request):
        pages = None
        if request.pdf:
            with pypdfium2.PdfDocument(request.pdf) as pdf:
                pages = len(pdf)
        self.given.append((request.form, request.image is not None, pages))
        return Reply("# A title")

    def close(self):
        pass


def test_readers_get_what_they_take_and_missing_peers_are_reported(monkeypatch, tmp_path) -> None:
    task = Task(documents.examples, "document", form="md")
    monkeypatch.setattr(run, "choose", lambda names: {"documents": task})
    peers = {takes: Reader(takes) for takes in ("image", "pdf", "both")}
    monkeypatch.setattr(run, "open_peers", lambda *_: (dict(peers), {"docling": "not installed (pip)"}))
    run.evaluate(None, "documents", tmp_path, limit=len(documents.KINDS), log=lambda _: None)
    count = len(documents.KINDS)
    assert peers["image"].given == [("md", True, None)] * count
    assert peers["pdf"].given == [("md", False, 1)] * (count - 1)  # a scan has no PDF
    assert sorted(peers["both"].given) == [("md", False, 1)] * (count - 1) + [("md", True, None)]
    report = (tmp_path / "report.md").read_text()
    assert "Missing peers: docling: not installed (pip)." in report
    assert "| documents: invoices | both | 1 |" in report
    assert {r.group for r in read_records(tmp_path)} == set(documents.KINDS)
