"""The help of every verb fits one screen, a shell can complete it, and quiet and JSON modes say what they should."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys

import pytest

from tests.reading.test_batch import LOAD, tiff
from vary.arguments import parser
from vary.cli import VERBS, main

(_CHOICES,) = (action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction))


def test_every_verb_has_what_it_does() -> None:
    assert set(VERBS) == set(_CHOICES)


@pytest.mark.parametrize("verb", [None, *_CHOICES])
def test_help_fits_one_screen(verb, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = (_CHOICES[verb] if verb else parser()).format_help().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("vary re", {"read", "render"}),
        ("vary read --ser", {"--server"}),
        ("vary serve --dtype bf", {"bfloat16"}),
        ("vary read exam", {"examples/"}),
    ],
)
def test_shells_complete(typed, offered, tmp_path) -> None:
    assert importlib.metadata.version("argcomplete")
    (tmp_path / "examples").mkdir()
    out = tmp_path / "completions"
    environment = os.environ | {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(out), "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": typed, "COMP_POINT": str(len(typed)), "PYTHONPATH": os.getcwd(),
    }  # fmt: skip
    subprocess.run([sys.executable, "-m", "vary.cli"], env=environment, cwd=tmp_path, check=True, capture_output=True)
    assert {word.strip() for word in out.read_text().split("\n")} == offered


@pytest.fixture
def scripted(monkeypatch, tmp_path):
    """`vary read` of a TIFF with a page that is lost, by the scripted reader of tests/test_run.py."""
    monkeypatch.setattr("vary.reading.batch.read_all.__kwdefaults__", {**_read_all().__kwdefaults__, "load": LOAD})
    source = tiff(tmp_path / "a.tif", "ok", "raise", "blank")
    return ["read", str(source), "-o", str(tmp_path / "out"), "--model", str(tmp_path), "--workers", "1"]


def _read_all():
    from vary.reading.batch import read_all

    return read_all


def test_json_mode(scripted, capsys) -> None:
    assert main([*scripted, "--json"]) == 2
    out, err = capsys.readouterr()
    *pages, last = map(json.loads, out.splitlines())
    assert [(page["page"], page["status"], page["before"]) for page in pages] == [
        (1, "ok", False), (2, "failed", False), (3, "blank", False),
    ]  # fmt: skip
    assert last == {
        "pages": {"ok": 1, "failed": 1, "blank": 1},
        "read": 3,
        "files": 1,
        "unreadable": {},
        "exit_code": 2,
    }
    assert err.splitlines()[-1] == "vary: 3 pages (1 ok, 1 blank, 1 failed), 3 read now"


def test_quiet_mode(scripted, capsys) -> None:
    assert main([*scripted, "-q"]) == 2
    assert capsys.readouterr() == ("", "")


def test_what_needs_a_folder_says_so(scripted, capsys) -> None:
    for option in (["--json"], ["--ray", "local"], ["--workers", "2"], ["--figures"]):
        assert main([*scripted[:2], *option]) == 1
        assert capsys.readouterr().err == f"vary: {option[0]} needs -o DIR\n"


def test_demo_gets_what_serve_would(monkeypatch) -> None:
    given: list[tuple] = []
    monkeypatch.setattr("vary.serve.demo.demo", lambda *arguments: given.append(arguments))
    assert main(["demo", "vary-nano", "--port", "8001", "--api-key", "k"]) == 0
    assert given == [(["vary-nano"], "127.0.0.1", 8001, "k", "cpu", "auto")]


def test_progress_tells_rate_and_time_left(monkeypatch) -> None:
    from vary.io.progress import Progress

    now, lines = [100.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress("pages", 100, log=lines.append, per="min")
    progress.first += 40  # pages of a run before this one
    now[0] += 30
    progress.at(55)
    assert lines == ["55/100 pages, 30.0 pages/min, 0:01:30 left"]
