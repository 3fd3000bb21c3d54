"""Tasks, runs, reports and comparisons; the models and peers here are fakes."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from vary.evaluate import report, run, tasks
from vary.evaluate.compare import as_markdown, compare, sign_test
from vary.evaluate.reader import Reply
from vary.evaluate.record import EvalRecord, read_records
from vary.evaluate.task import MIN_CHARACTERS

TEXTS = ["the first page", "a second page", "one more page", "and the last"]
BLANK = partial(Image.new, "L", (64, 48), 255)


class Fake:
    """A reader with given answers, one per call."""

    asks, languages, identity, alphabet, takes = False, ("en",), "fake 1", "", "image"

    def __init__(self, answers, **about):
        self.answers, self.calls, self.closed = list(answers), [], False
        vars(self).update(about)

    def answer(self, request):
        self.calls.append((request.image.size if request.image else request.pdf, request.prompt, request.language))
        text = self.answers[(len(self.calls) - 1) % len(self.answers)]
        if isinstance(text, BaseException):
            raise text
        return Reply(**text) if isinstance(text, dict) else Reply(text, seconds=0.5, memory_mib=7)

    def close(self):
        self.closed = True


def examples(texts, _data, limit):
    for k, text in enumerate(texts[:limit]):
        yield tasks.Example(f"p{k}", BLANK, text)


@pytest.fixture
def measure(monkeypatch, tmp_path):
    """evaluate() with a task `four` (and `asked`, `han`) and the readers that are given."""
    four = tasks.Task(partial(examples, TEXTS))
    known = {
        "four": four,
        "asked": tasks.Task(partial(examples, TEXTS), asks=True),
        "han": tasks.Task(partial(examples, ["中文"]), "text-zh", language="zh"),
    }
    monkeypatch.setattr(
        run, "choose", lambda names: {n: known[n] for n in (known if names == "all" else names.split(","))}
    )

    def evaluate(names="four", out=tmp_path / "run", model=None, others=(), missing=None, **settings):
        monkeypatch.setattr(run, "Hosted", lambda *_: model)
        monkeypatch.setattr(run, "open_peers", lambda *_: (dict(others), missing or {}))
        lines: list[str] = []
        rows = run.evaluate("folder/mine" if model else None, names, out, log=lines.append, **settings)
        return rows, lines, out

    return evaluate


def test_a_run_writes_predictions_tables_and_a_picture(measure) -> None:
    model, peer = Fake(TEXTS), Fake(["the first"])
    rows, lines, out = measure(model=model, others={"other": peer})
    assert [(r.reader, r.examples, r.mean) for r in rows if r.reader == "mine"] == [("mine", 4, 0)]
    assert rows[1].total > 0.4
    assert model.closed
    assert peer.closed
    records = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    first = records[0]
    assert len(records) == 8
    assert first | {
        "task": "four", "example": "p0", "reader": "mine", "prompt": "", "width": 64, "height": 48, "status": "ok",
        "truth": TEXTS[0], "text": TEXTS[0], "metric": "text",
    } == first  # fmt: skip
    assert first["version"].startswith("text@")
    markdown = (out / "report.md").read_text()
    assert "| four | mine | 4 | 0.00% | 0.00% | 0.00% (0.00% to 0.00%) |" in markdown
    assert "`mine`: fake 1" in markdown
    assert "| 0 | 0.50 | 7 |" in markdown
    table = list(csv.DictReader((out / "report.csv").open()))
    assert [(r["reader"], float(r["mean"]) == 0) for r in table] == [("mine", True), ("other", False)]
    scores = list(csv.DictReader((out / "scores.csv").open()))
    assert {(r["reader"], r["score"]) for r in scores} >= {("mine", "cer"), ("other", "wer")}
    with Image.open(out / "report.png") as picture:
        assert picture.width > 500
    assert any("four" in line and "mine" in line for line in lines)


def test_a_stopped_run_goes_on_where_it_was(measure) -> None:
    with pytest.raises(KeyboardInterrupt):
        measure(model=Fake([*TEXTS[:2], KeyboardInterrupt()]))
    again = Fake(TEXTS[2:])
    rows, _, out = measure(model=again)
    assert len(again.calls) == 2
    assert (rows[0].examples, rows[0].mean) == (4, 0)
    (out / "report.md").unlink()
    assert [r.task for r in measure("asked", model=Fake(TEXTS, asks=True))[0]] == [
        "four",
        "asked",
    ]  # of the whole folder
    idle = Fake([ValueError("must not be asked")])
    assert measure(model=idle)[0][:1] == rows
    assert len((out / "predictions.jsonl").read_text().splitlines()) == 8


def test_a_page_that_failed_is_read_again_by_the_next_run(measure) -> None:
    bad = {"text": "", "status": "failed", "error": "no connection"}
    measure(model=Fake([*TEXTS[:3], bad]))
    again = Fake(TEXTS[3:])
    assert measure(model=again)[0][0].mean == 0
    assert len(again.calls) == 1
    rows, _, out = measure(model=None, rescore=True)
    assert (rows[0].examples, rows[0].mean, rows[0].not_ok) == (4, 0, {})
    assert len((out / "predictions.jsonl").read_text().splitlines()) == 5


def test_a_line_that_was_cut_off_is_read_again(measure) -> None:
    *_, out = measure(model=Fake(TEXTS))
    path = out / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    again = Fake(TEXTS[3:])
    assert measure(model=again)[0][0].mean == 0
    assert len(again.calls) == 1
    path.write_text("{}\n")
    with pytest.raises(ValueError, match=r"predictions.jsonl, line 1: not a prediction"):
        read_records(out)


def test_another_model_or_setting_is_refused(measure) -> None:
    measure(model=Fake(TEXTS))
    other = Fake(TEXTS, identity="fake 2")
    with pytest.raises(ValueError, match="mine was fake 1, now it is fake 2: take another folder"):
        measure(model=other)
    assert not other.calls
    assert other.closed
    with pytest.raises(ValueError, match="take another folder"):
        measure(model=Fake(TEXTS), prompt="Read this.")
    measure(model=Fake(TEXTS), others={"late": Fake(TEXTS)})  # a peer more is no other run


def test_rescoring_reads_nothing(measure, tmp_path) -> None:
    rows, _, out = measure(model=Fake(TEXTS))
    path = out / "predictions.jsonl"
    path.write_text(path.read_text().replace('"text": "the first page"', '"text": "the first page!"'))
    again, _, _ = measure(model=None, rescore=True)
    assert rows[0].mean == 0
    assert again[0].mean == pytest.approx(1 / len(TEXTS[0]) / 4)
    with pytest.raises(ValueError, match="no predictions to score"):
        measure(out=tmp_path / "none", rescore=True)


def test_what_a_reader_cannot_do_is_left_out_with_a_line(measure) -> None:
    able = Fake(["中 文"], asks=True, languages=None)
    rows, lines, _ = measure("all", model=Fake(TEXTS), others={"able": able})
    assert "asked: mine takes no questions, left out" in lines
    assert "han: mine reads en only, left out" in lines
    assert {(r.task, r.reader) for r in rows} == {("four", "mine"), *((t, "able") for t in ("four", "asked", "han"))}
    assert next(r.mean for r in rows if r.task == "han") == 0
    assert able.calls[0][1:] == (tasks.PROMPTS["ocr"]["en"], "en")
    assert able.calls[-1][2] == "zh"


def test_pages_that_are_not_ok_are_counted_and_named(measure) -> None:
    bad = {"text": "", "status": "failed", "error": "the ink has run"}
    rows, lines, out = measure(model=Fake([TEXTS[0], bad, TEXTS[2], {"text": "and", "status": "truncated"}]))
    assert rows[0].not_ok == {"failed": 1, "truncated": 1}
    assert rows[0].mean == pytest.approx((1 + (len(TEXTS[3]) - 3) / len(TEXTS[3])) / 4)
    named = "Not ok, mine: 2 of 4 (50.0%). four/p1 failed: the ink has run; four/p3 truncated"
    assert named in (out / "report.md").read_text()
    assert any("not ok: 1 failed, 1 truncated" in line for line in lines)


def test_a_prompt_of_ones_own_goes_to_page_tasks_alone(measure) -> None:
    model = Fake(TEXTS, asks=True)
    measure("four,asked", model=model, prompt="Read this.")
    assert {prompt for _, prompt, _ in model.calls[:4]} == {"Read this."}
    assert {prompt for _, prompt, _ in model.calls[4:]} == {tasks.PROMPTS["ocr"]["en"]}


def test_two_runs_are_compared_page_by_page(measure, tmp_path) -> None:
    worse = [f"{text}{'x' * k}" for k, text in enumerate(TEXTS, 1)]
    measure(out=tmp_path / "a", model=Fake(TEXTS), others={"other": Fake(worse)})
    measure(out=tmp_path / "b", model=Fake(worse))
    (found,) = compare(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (found.better, found.worse, found.equal, found.examples) == (4, 0, 0, 4)
    assert found.first == 0
    assert found.low <= found.first - found.second <= found.high < 0
    assert found.p == pytest.approx(2 / 16)
    (swapped,) = compare(str(tmp_path / "b"), f"{tmp_path / 'a'}:mine")
    assert (swapped.better, swapped.worse) == (0, 4)
    (same,) = compare(f"{tmp_path / 'a'}:other", str(tmp_path / "b"))
    assert (same.equal, same.p, same.low, same.high) == (4, 1.0, 0, 0)
    assert "| four | cer | 4 | 0.0000 |" in as_markdown([found], "a", "b")
    with pytest.raises(ValueError, match=r"^none: no such folder"):
        compare("none", "none")
    with pytest.raises(ValueError, match="nothing was read by 'nobody'; there are mine, other"):
        compare(f"{tmp_path / 'a'}:nobody", str(tmp_path / "b"))
    (tmp_path / "c").mkdir()
    with pytest.raises(ValueError, match="no predictions"):
        compare(str(tmp_path / "a"), str(tmp_path / "c"))


def test_the_sign_test_is_the_binomial_one() -> None:
    from scipy.stats import binomtest

    for better, worse in ((0, 0), (1, 0), (5, 5), (9, 1), (40, 20), (300, 341)):
        expected = binomtest(better, better + worse).pvalue if better + worse else 1.0
        assert sign_test(better, worse) == pytest.approx(expected, rel=1e-9)


def test_unknown_names_are_named_before_anything_is_opened(tmp_path) -> None:
    with pytest.raises(ValueError, match="unknown task 'poems'; allowed: all, pages, faces"):
        run.evaluate("vary-nano", "pages,poems", tmp_path)
    with pytest.raises(ValueError, match="unknown peer 'abbyy'; allowed: all, tesseract, rapidocr"):
        run.evaluate("vary-nano", "pages", tmp_path, peers="abbyy")
    assert not list(tmp_path.iterdir())


def test_a_group_per_file_leads_where_the_set_says_so() -> None:
    """olmOCR-bench's total is the mean of its files' shares, whatever their sizes."""

    def record(group, passed, count):
        tests = [{"type": "present", "text": "yes"}] * passed + [{"type": "present", "text": "no way"}] * (
            count - passed
        )
        return EvalRecord("t", "e", "r", "unit-tests", "yes", tests, about={"group": group})

    rows = report.summarise([record("a", 9, 9), record("a", 0, 1), record("b", 1, 2)])
    assert [(r.group, r.total) for r in rows] == [("", pytest.approx(0.7)), ("a", pytest.approx(0.9)), ("b", 0.5)]


def test_measured_documents_are_not_training_text() -> None:
    from vary.data.corpus.download import MEASURED, TEXTS

    packages = {package for sources in tasks.REAL.values() for package, _, _ in sources}
    packages |= {package for _, package, _ in tasks.LANGUAGES}
    assert packages <= set(MEASURED)
    assert not packages & {name.split(":")[1] for name in TEXTS}
    files = [source[1] for sources in tasks.REAL.values() for source in sources]
    assert len(files) == len(set(files))
    recipes = "".join(path.read_text() for path in (Path(__file__).parents[2] / "recipes").glob("*.yaml"))
    held_out = {str(v) for _, settings in tasks.GENERATED.values() for v in settings.values() if ":" in str(v)}
    assert not [name for name in (*held_out, *(f"deb:{package}" for package in MEASURED)) if name in recipes]


def test_rendered_pages_are_the_same_in_every_run(monkeypatch, page_source, text_source) -> None:
    monkeypatch.setattr(
        "vary.data.pages.glyphs.english_faces", lambda: [f for fs in page_source().families.values() for f in fs]
    )
    monkeypatch.setattr(tasks.Corpus, "english", classmethod(lambda cls, part: text_source.corpus))
    first, again = (
        [(e.name, e.truth, e.open().tobytes()) for e in tasks.TASKS["pages"].examples(None, 2)] for _ in "ab"
    )
    assert first == again
    assert first[0][1] != first[1][1]


def test_real_pages_are_drawn_once_and_thin_ones_passed_over(monkeypatch, pdf_file, tmp_path) -> None:
    monkeypatch.setattr(tasks, "fetch", lambda package: pdf_file.parent)
    monkeypatch.setitem(tasks.REAL, "real", (("any", pdf_file.name, 5),))
    monkeypatch.setitem(MIN_CHARACTERS, "en", 20)
    found = [(e.name, e.truth, e.open().size) for e in tasks.TASKS["real"].examples(None, None)]
    assert sorted(name for name, *_ in found) == ["three-1", "three-3"]  # page 2 is empty
    assert any("second line" in truth for _, truth, _ in found)
    assert found[0][2] == pytest.approx((900, 600), abs=1)  # 6 x 4 inches at 150 dpi
    monkeypatch.setitem(tasks.REAL, "real", (("any", pdf_file.name, 5), ("other", pdf_file.name, 5)))
    assert len(list(tasks.TASKS["real"].examples(None, None))) == 4
    assert len(list(tasks.TASKS["real"].examples(None, 1))) == 1


def test_pages_of_one_number_in_two_languages_have_two_names(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(tasks, "fetch", lambda _: tmp_path)
    page = partial(tasks.Example, open=lambda: Image.new("L", (8, 8)), truth="text")
    monkeypatch.setattr(tasks, "document_pages", lambda path, *_: iter([page(f"{path.name.split('.')[0]}-36")]))
    found = list(tasks.TASKS["languages"].examples(None, None))
    assert len({example.name for example in found}) == len(found) == len(tasks.LANGUAGES)
    assert [example.about for example in found] == [{"group": language} for language, *_ in tasks.LANGUAGES]


@pytest.mark.slow  # fetches two Debian packages of documentation and looks at a hundred pages
def test_there_are_more_than_a_hundred_real_pages() -> None:
    names = [(e.name, len(e.truth)) for task in ("real", "real-more") for e in tasks.TASKS[task].examples(None, None)]
    assert len(names) == len(set(names)) == 164
    assert min(size for _, size in names) >= MIN_CHARACTERS["en"]
    chinese = [e.truth for e in tasks.TASKS["real-zh"].examples(None, None)]
    assert len(chinese) == 40
    assert all(sum("\u4e00" <= ch <= "\u9fff" for ch in text) > 100 for text in chinese)


@pytest.mark.slow  # fetches packages of data sets; typst and matplotlib draw
def test_tables_formulas_and_charts_score_full_marks_for_their_own_truth() -> None:
    from vary.evaluate.metrics import METRICS

    for name, wanted in (("tables", 1), ("formulas", 0), ("charts", 1)):
        task = tasks.TASKS[name]
        metric = METRICS[task.metric]
        for example in task.examples(None, 3):
            assert metric.score(example.truth, example.truth)[metric.main] == wanted
            assert min(example.open().size) > 16
