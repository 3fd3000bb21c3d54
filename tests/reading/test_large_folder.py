"""A folder of 2,000 pages, read by the shipped model and killed again and again: no page is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.pdfs import pdf_of, show

FILES, PAGES = 40, 50


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_pages_survive_ten_kills(tmp_path: Path) -> None:
    """SIGKILL to all processes of the run at random moments; the last run is left alone."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for k in range(FILES):
        pages = [show(f"This is page {n} of file {k}.", 30, 60, 12) for n in range(1, PAGES + 1)]
        pdf_of(folder / f"file{k:02}.pdf", pages, (240, 100))
    options = ["--to", "text", "-o", str(out), "-q", "--workers", "2"]
    command = [sys.executable, "-m", "vary.cli", "read", str(folder), *options]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    rng = random.Random(0)
    for _ in range(10):
        run = subprocess.Popen(command, env=environment, start_new_session=True)
        with pytest.raises(subprocess.TimeoutExpired):  # it is not done before the last kill
            run.wait(rng.uniform(1, 3))
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert subprocess.run(command, env=environment, timeout=3000, check=False).returncode == 0
    ledger = [json.loads(line) for line in (out / "run.jsonl").read_bytes().splitlines()]
    ends = Counter((line["file"], line["page"]) for line in ledger if line.get("status") == "ok")
    assert len(ends) == FILES * PAGES
    for k in range(FILES):
        text = (out / f"file{k:02}.txt").read_text()
        assert [f"This is page {n} of file {k}." in text for n in range(1, PAGES + 1)] == [True] * PAGES
    assert subprocess.run(command, env=environment, timeout=300, check=False).returncode == 0
    again = [json.loads(line) for line in (out / "run.jsonl").read_bytes().splitlines()]
    assert sum("status" in line for line in again) == sum("status" in line for line in ledger)  # nothing is read twice
