"""benchmarks/results.py on made-up run folders: the tables of the documents come out of what was measured."""

from __future__ import annotations

import json
import shutil

import pytest

from benchmarks import results
from vary.evaluate.record import EvalRecord
from vary.evaluate.report import write_report

TRUTH = " ".join(["one hundred characters of text"] * 4)


def record(task: str, reader: str, text: str = TRUTH, **more) -> EvalRecord:
    if task in STRUCTURE:
        return EvalRecord(task, "p1", reader, *STRUCTURE[task], seconds=0.5, about={"group": "one"}, **more)
    return EvalRecord(task, "p1", reader, "text-zh" if task == "real-zh" else "text", text, TRUTH, seconds=0.5, **more)


# task -> metric, answer, truth
STRUCTURE = {
    "documents": ("document", "# Title", [{"kind": "heading", "text": "Title"}]),
    "layout": ("layout", "[]", [{"kind": "text", "box": [0, 0, 1, 1]}]),
}


@pytest.fixture
def root(measured, tmp_path):
    """A copy of `measured` to change."""
    shutil.copytree(measured / "eval", tmp_path / "eval")
    return tmp_path


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Run folders and outputs of every measurement: the model reads all right, Tesseract one character too many."""
    tmp_path = tmp_path_factory.mktemp("measured")
    tasks = {
        "real": ("real", "real-more", "real-two-column"), "rendered": ("pages", "faces", "pseudo", "degraded"),
        "chinese": ("real-zh",), "languages": ("languages",), "documents": ("documents",),
        "structure": ("layout",),
    }  # fmt: skip
    for name, names in tasks.items():
        folder = tmp_path / str(results.folder_of(name))
        folder.mkdir(parents=True)
        facts = {"readers": {"vary-nano": "weights 1"}, "conditions": ["2026-01-02, a machine"], "seconds": 90}
        (folder / "run.json").write_text(json.dumps(facts))
        sure = {"confidence": [0.75] * len(TRUTH), "outside": 0.25}
        mine = [record(task, "vary-nano", **({} if task in STRUCTURE else sure)) for task in names]
        if name == "rendered":
            rescored = [record(task, "vary-nano-decoder") for task in (*tasks["real"], *names)]
            (tmp_path / "eval" / "decoder").mkdir()
            (tmp_path / "eval" / "decoder" / "run.json").write_text(json.dumps(facts))
            write_report(rescored, tmp_path / "eval" / "decoder", print)
        write_report(mine + [record(task, "tesseract", TRUTH + "s") for task in names], folder, print)
    for name in ("encoder", "answer", "compression", "styles", "serve", "train"):
        text = f"2026-01-02, {name}.\n\nit began\n| a | b |\n|---|---|\n| 1 | 2 |\n\nnoise\n| a | b |\n| 3 | 4 |\n"
        (tmp_path / "eval" / f"{name}.txt").write_text(text)
    (tmp_path / "eval" / "read.txt").write_text("2026-01-02, read.\n\nvary, 1 workers: 21 pages\n")
    return tmp_path


def page(*names: str) -> str:
    return "".join(f"## {n}\n<!-- table: {n} -->\nold\n<!-- end -->\nwords\n" for n in names)


def test_every_table_is_written_between_its_marks_and_again_the_same(root) -> None:
    text = results.rewrite(page(*results.TABLES), root)
    assert "old" not in text
    assert text.count("\nwords\n") == len(results.TABLES)
    assert results.rewrite(text, root) == text
    results.check(text, "page")
    for head in ("2026-01-02, a machine; 1.5 minutes in all.", results.MEASUREMENTS["real"][0], "| 3 | 4 |"):
        assert head in text
    assert "| real | tesseract | 1 | 0.81% |" in text
    assert "vary, 1 workers: 21 pages" in text
    assert text.count("| a | b |") == 6  # one heading for several runs of a benchmark
    assert "| documents: one | vary-nano | 1 | text | 0.00% |" in text
    assert "| layout | vary-nano | 1 | f1 | 0.00% |" in text


def test_aims_are_judged_by_the_numbers(root) -> None:
    text = results.rewrite(page("aims"), root)
    assert "| their mean below Tesseract's | 0.00% | 0.81% | reached |" in text
    assert "| a dense page in 0.6 s | 0.50 s | 0.60 s | reached |" in text
    assert "short" not in text
    folder = root / str(results.folder_of("rendered"))
    names = ("pages", "faces", "pseudo", "degraded")
    write_report([record(task, "vary-nano", TRUTH[:50]) for task in names], folder, print)
    assert "| rendered pages: CER at most 1% | 59.35% | 1.00% | **short** |" in results.rewrite(page("aims"), root)


def test_readme_gets_a_column_per_reader(root) -> None:
    text = results.rewrite(page("summary"), root)
    assert "| mean CER of a page | vary-nano | tesseract |" in text
    assert "| 1 pages of manuals (born digital, 150 dpi) | 0.00% | 0.81% |" in text
    assert "| **pages a minute**, one process | 120 | 120 |" in text


def test_what_the_decoder_makes_of_it(root) -> None:
    names = ("pages", "faces", "pseudo", "degraded")
    alone = [record(task, "vary-nano", TRUTH + "ss") for task in names]
    write_report(alone, root / str(results.folder_of("rendered")), print)
    text = results.rewrite(page("decoder"), root)
    assert results.MEASUREMENTS["decoder"][1] in text
    assert "| … with scan defects | 1.63%, 0.50 s a page | 0.00%, 0.50 s a page | -100.0% |" in text


def test_confidence_of_what_was_read_stands_beside_what_is_right(root) -> None:
    text = results.rewrite(page("confidence"), root)
    count = len("".join(TRUTH.split()))
    for task in ("real", "degraded", "real-zh"):
        assert f"| {task} | vary-nano | {count} | 75.00% | 100.00% | 25.00% | 25.00% |" in text
    assert text.count("characters written") == 1
    assert "CER" not in text


def test_what_is_missing_is_named_and_nothing_is_made_up(root) -> None:
    (root / "eval" / "encoder.txt").unlink()
    with pytest.raises(results.Missing, match=r"encoder.txt: not measured; run: .*--run encoder"):
        results.rewrite(page("encoder"), root)
    assert results.rewrite(page("encoder"), root, frozenset({"read"})) == page("encoder")
    with pytest.raises(ValueError, match="unknown table 'poems'; allowed: "):
        results.rewrite(page("poems"), root)
    folder = root / str(results.folder_of("real"))
    write_report([record("real", "vary-nano")], folder, print)
    with pytest.raises(results.Missing, match="aims: nothing was measured of"):
        results.rewrite(page("aims"), root)
    (folder / "report.csv").unlink()
    with pytest.raises(results.Missing, match="not measured"):
        results.rewrite(page("summary"), root)


def test_a_table_that_nobody_measured_is_refused() -> None:
    results.check(page("real") + "\n## Reported\n\n| GOT | 0.035 |\n\n## More\n", "page")
    with pytest.raises(ValueError, match=r"page: a table outside the marks: \| mine \| best"):
        results.check("## Reported\n| GOT |\n## More\n| mine | best |\n", "page")


def test_marks_of_the_documents_are_known() -> None:
    found = [m["name"] for p in results.PAGES for m in results.MARKED.finditer((results.ROOT / p).read_text())]
    assert found
    assert set(found) <= set(results.TABLES)
    results.check((results.ROOT / "docs/results.md").read_text(), "docs/results.md")


def test_a_benchmark_is_run_and_its_output_kept(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(results.MEASUREMENTS, "read", ("python -c 'print(\"| a |\")'", "python -c 'print(1)'"))
    results.run("read", tmp_path)
    first, _, *said = (tmp_path / "eval" / "read.txt").read_text().splitlines()
    assert "CPUs, vary" in first
    assert first.endswith("minutes in all.")
    assert said == ["| a |", "1"]
    monkeypatch.setitem(results.MEASUREMENTS, "read", ("python -c 'raise SystemExit(3)'",))
    with pytest.raises(ValueError, match="exit status 3"):
        results.run("read", tmp_path)
