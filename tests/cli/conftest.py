"""The command line with a reader that needs no model, and runs of one."""

from __future__ import annotations

from functools import partial

import pytest

from tests.reading.scripted import FACTORY, tiff
from vary.reading.runs.batch import read_all

from .commands import Command


@pytest.fixture
def vary(monkeypatch, capsys) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs that read a TIFF with a page that is lost, by the scripted reader of tests/reading/scripted.py."""
    monkeypatch.setattr("vary.reading.runs.batch.read_all", partial(read_all, factory=FACTORY))
    source = tiff(tmp_path / "a.tif", "ok", "raise", "blank")
    return ["read", str(source), "--model", str(tmp_path), "--workers", "1"]
