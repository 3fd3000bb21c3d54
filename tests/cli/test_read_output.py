"""`vary read -o`: the files that a run writes, its messages, and what it refuses to write."""

from __future__ import annotations

import json
import os
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.reading.scripted import FACTORY, tiff
from vary.cli import main
from vary.reading.runs.batch import read_all

from .commands import png


def test_out_files_and_going_on(capsys, pdf_file, tmp_path) -> None:
    """The whole way with the shipped model; workers have tests of their own (tests/reading/test_batch.py)."""
    out = tmp_path / "new" / "folder"
    command = ["read", str(pdf_file), "-o", str(out), "--to", "text,json", "--workers", "1"]
    assert main(command) == 0
    assert (out / "three.txt").read_text().startswith("The first page says this.")
    statuses = [page["status"] for page in json.loads((out / "three.json").read_text())["pages"]]
    assert statuses == ["ok", "blank", "ok"]
    before = (out / "three.json").read_bytes()
    capsys.readouterr()
    assert main(command) == 0
    assert (out / "three.json").read_bytes() == before
    assert main(["read", str(pdf_file), "--to", "pdf"]) == 1
    assert "give -o DIR" in capsys.readouterr().err


def test_out_is_a_file(vary, tmp_path) -> None:
    good = png(tmp_path / "good.png")
    code, _, err = vary("read", good, "-o", good)
    assert code == 1
    assert str(good) in err[-1]


def test_json_lines_of_a_run(run, capsys, tmp_path) -> None:
    assert main([*run, "-o", str(tmp_path / "out"), "--json"]) == 2
    out, err = capsys.readouterr()
    *pages, last = map(json.loads, out.splitlines())
    assert [(page["page"], page["status"], page["before"]) for page in pages] == [
        (1, "ok", False), (2, "failed", False), (3, "blank", False),
    ]  # fmt: skip
    counts = {"ok": 1, "failed": 1, "blank": 1}
    assert last == {"pages": counts, "read": 3, "files": 1, "unreadable": {}, "exit_code": 2}
    assert err.splitlines()[-1] == "vary: 3 pages (1 ok, 1 blank, 1 failed), 3 read now"


def test_a_page_of_low_confidence_is_doubtful(monkeypatch, capsys, tmp_path) -> None:
    """Its text is kept. Ledger, JSON, messages and the last line say so; it is not lost, so the exit code is 0."""
    monkeypatch.setattr("vary.reading.runs.batch.read_all", partial(read_all, factory=FACTORY))
    source, out = tiff(tmp_path / "a.tif", "ok", "doubt"), tmp_path / "out"
    run = ["read", str(source), "--model", str(tmp_path), "--workers", "1", "-o", str(out), "--to", "json"]
    assert main(run) == 0
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith(f"vary: {source}, page 2: read with a mean confidence of 67% only")
    assert err[-1] == "vary: 2 pages (1 ok, 1 doubtful), 2 read now"
    pages = [line for line in map(json.loads, (out / "run.jsonl").read_text().splitlines()) if "page" in line]
    assert [page["status"] for page in pages] == ["ok", "doubtful"]
    ok, doubtful = json.loads(next(out.glob("*.json")).read_text())["pages"]
    assert (ok["status"], doubtful["status"], doubtful["text"]) == ("ok", "doubtful", "doubt <b>")
    assert main(run) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "vary: 2 pages (1 ok, 1 doubtful), 0 read now"


def test_a_quiet_run(run, capsys, tmp_path) -> None:
    assert main([*run, "-o", str(tmp_path / "out"), "-q"]) == 2
    assert capsys.readouterr() == ("", "")


def test_what_needs_a_folder_says_so(run, capsys) -> None:
    for option in (["--json"], ["--ray", "local"], ["--workers", "2"], ["--figures"]):
        assert main([*run[:2], *option]) == 1
        assert capsys.readouterr().err == f"vary: {option[0]} needs -o DIR\n"


def test_a_file_with_a_known_ending_is_written_in_that_form(run, capsys, tmp_path) -> None:
    for name in ("paper.md", "paper.json", "deeper/paper.pdf", "long.markdown", "short.HTM"):
        out = tmp_path / "new" / name
        assert main([*run, "-o", str(out)]) == 2
        assert out.is_file()
        assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []
    assert json.loads((tmp_path / "new" / "paper.json").read_text())["pages"][1]["status"] == "failed"
    assert (tmp_path / "new" / "deeper" / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert "3 pages" in capsys.readouterr().err


def test_a_file_takes_one_input_and_its_own_form(run, capsys, tmp_path) -> None:
    out = tmp_path / "paper.md"
    assert main([*run, "-o", str(out), "--to", "json"]) == 1
    assert main(["read", str(tmp_path), "-o", str(out)]) == 1
    assert main([*run, "-o", str(out), "--figures"]) == 1
    form, folder, figures = capsys.readouterr().err.splitlines()
    assert form == f"vary: -o {out}: a md file, but --to json; give -o DIR for other forms"
    assert folder == f"vary: -o {out}: one file is written from one file; give -o DIR for {tmp_path}"
    assert figures == "vary: --figures needs -o DIR"
    assert not out.exists()


def test_tables_are_not_one_file(run, capsys, tmp_path) -> None:
    out = tmp_path / "paper.csv"
    assert main([*run, "-o", str(out)]) == 1
    expected = f"vary: -o {out}: each table is a file of its own; give -o DIR --tables csv\n"
    assert capsys.readouterr().err == expected
    assert not out.exists()


@pytest.mark.parametrize("name", ["paper.docx", "paper.PNG", "text.txt.gz"])
def test_a_file_in_a_form_that_is_not_written_is_refused(run, capsys, tmp_path, name) -> None:
    out = tmp_path / name
    assert main([*run, "-o", str(out)]) == 1
    assert capsys.readouterr().err.startswith(f"vary: -o {out}: no such form; a file may end in .txt, .md,")
    assert not out.exists()


def test_what_is_read_is_never_written_over(run, capsys, pdf_file, tmp_path) -> None:
    before = pdf_file.read_bytes()
    own = [*run[:1], str(pdf_file), *run[2:]]
    assert main([*own, "-o", str(pdf_file)]) == 1
    assert main([*own, "-o", str(pdf_file.parent), "--to", "pdf"]) == 1
    file, folder = capsys.readouterr().err.splitlines()
    assert file == f"vary: -o {pdf_file}: is the file that is read; give another name"
    assert folder == f"vary: {pdf_file}: is read and would be replaced; give another output folder"
    assert pdf_file.read_bytes() == before


def test_an_error_of_the_system_names_the_file_and_the_reason(run, capsys, tmp_path) -> None:
    (tmp_path / "taken").touch()
    assert main([*run, "-o", str(tmp_path / "taken")]) == 1
    assert capsys.readouterr().err == f"vary: {tmp_path / 'taken'}: File exists\n"


def test_a_folder_may_be_called_like_a_file(run, tmp_path) -> None:
    out = tmp_path / "paper.md"
    out.mkdir()
    assert main([*run, "-o", str(out), "-q"]) == 2
    assert (out / "a.txt").is_file()


def test_standard_input_of_a_run_is_called_by_its_dash(run, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(Path(run[1]).read_bytes())))
    out = tmp_path / "out"
    assert main(["read", "-", *run[2:], "-o", str(out), "--to", "json"]) == 2
    lines = [json.loads(line) for line in (out / "run.jsonl").read_text().splitlines()]
    assert {line["file"] for line in lines} == {"-"}
    document = json.loads((out / "stdin.json").read_text())
    assert document["source"] == "-"
    assert "vary-" not in "".join([capsys.readouterr().err, (out / "stdin.json").read_text(), *map(str, lines)])
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(b"some notes")))
    assert main(["read", "-", *run[2:], "-o", str(out)]) == 3
    assert capsys.readouterr().err.splitlines()[0].startswith("vary: -: neither a PDF nor an image")


def test_a_run_of_a_file_name_that_is_no_unicode_goes_on(run, tmp_path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.tif")
    try:
        Path(name).write_bytes(Path(run[1]).read_bytes())
    except OSError:
        pytest.skip("this file system takes only names in Unicode")
    command = ["read", name, *run[2:], "-q", "-o", str(tmp_path / "out"), "--to", "json"]
    assert main(command) == 2
    (document,) = (tmp_path / "out").glob("caf*.json")
    assert json.loads(document.read_text("utf-8"))["source"] == name
    before = (tmp_path / "out" / "run.jsonl").read_text("utf-8")
    assert main(command) == 2
    added = (tmp_path / "out" / "run.jsonl").read_text("utf-8").removeprefix(before).splitlines()
    pages = [json.loads(line).get("page") for line in added]  # None: a document, written when its bytes changed
    assert [page for page in pages if page] == [2]  # the lost page alone is read again
