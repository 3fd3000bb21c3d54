"""A run whose pages are read elsewhere: by an OpenAI-compatible server, or on the nodes of a Ray cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from tests.reading.scripted import FACTORY, tiff
from tests.reading.test_remote import PAGE, Other, other, said, vary_server  # noqa: F401  # `other` is a fixture
from tests.serve.servers import FakeReader
from vary.document.orientation import Orientation
from vary.io.errors import InputError
from vary.reading.pages import read_document
from vary.reading.remote import RemoteModel, load_server
from vary.reading.runs.batch import read_all
from vary.serve.app import Served

ROOT = Path(__file__).parents[2]
VOLATILE = ("seconds", "bytes", "state")


def ledger(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "run.jsonl").read_bytes().splitlines()]


@pytest.fixture(autouse=True)
def key(monkeypatch) -> None:
    monkeypatch.setenv("VARY_API_KEY", "key")


def test_a_server_reads_a_run_and_the_same_command_goes_on(tmp_path, pdf_file) -> None:
    reader = FakeReader()
    reader.bad = InputError("the ink has run")
    with vary_server(nano=Served(reader)) as url:
        first = read_all([pdf_file], tmp_path, ["text", "json"], device=url, workers=2)
        assert (dict(first.pages), first.read, first.exit_code) == ({"failed": 2, "blank": 1}, 3, 2)
        reader.bad = None
        again = read_all([pdf_file], tmp_path, ["text", "json"], device=url, workers=2)
        assert (dict(again.pages), again.read, again.exit_code) == ({"ok": 2, "blank": 1}, 2, 0)
        assert read_all([pdf_file], tmp_path, ["md"], device=url, workers=1).read == 0
    pages = [line for line in ledger(tmp_path) if "page" in line]
    assert {(line["model"], line["settings"]) for line in pages} == {("nano", pages[0]["settings"])}
    assert json.loads((tmp_path / "three.json").read_text())["pages"][0]["blocks"][0]["lines"][0]["text"][:5] == "size "
    assert "key" not in (tmp_path / "run.jsonl").read_text().replace('"key"', "")


def test_the_model_is_part_of_the_settings(tmp_path, pdf_file) -> None:
    with vary_server(a=Served(FakeReader()), b=Served(FakeReader())) as url:
        for model, read in (("a", 3), ("b", 3), (None, 0), ("b", 0)):
            assert read_all([pdf_file], tmp_path, ["text"], device=url, model=model, workers=1).read == read
        with pytest.raises(ValueError, match="no model 'c'; it has a, b"):
            read_all([pdf_file], tmp_path, ["text"], device=url, model="c")


def test_no_torch_here_nor_in_the_workers(tmp_path, pdf_file, other) -> None:  # noqa: F811
    """Both processes end at the import of torch, and the run does not."""
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    other.script += [said("One page."), said("Another.")]
    command = [sys.executable, "-m", "vary.cli", "read", pdf_file, "--server", other.url, "-o", tmp_path / "out"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [*command, "--workers", "1", "--json"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *pages, last = map(json.loads, done.stdout.splitlines())
    assert [(page["page"], page["status"], page["expected"]) for page in pages] == [
        (1, "ok", 3),
        (2, "blank", 3),
        (3, "ok", 3),
    ]
    assert (last["pages"], last["exit_code"]) == ({"ok": 2, "blank": 1}, 0)
    assert done.stderr == "vary: 3 pages (2 ok, 1 blank), 3 read now\n"


def test_a_server_that_is_started_anew_loses_no_page(other, monkeypatch) -> None:  # noqa: F811
    server, address, slept = RemoteModel(other.url), other.server_address, []
    other.shutdown()
    other.server_close()  # connections are refused from here on

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            again = ThreadingHTTPServer(address, Other)
            again.script, again.asked = [said("done")], []
            threading.Thread(target=again.handle_request, daemon=True).start()

    monkeypatch.setattr("time.sleep", sleep)
    assert server.read(PAGE).text == "done"
    assert slept == [1.0, 2.0]


@pytest.mark.slow  # starts a Ray cluster, which takes ten seconds and more
def test_a_cluster_gives_what_workers_give(tmp_path) -> None:
    pytest.importorskip("ray")  # an extra of its own, not one for development
    tiff(tmp_path / "in" / "a.tif", "ok", "raise", "blank", "crash", "ok", "hang")
    tiff(tmp_path / "in" / "b.tif", "ok", "truncated")
    found = []
    for settings in ({"workers": 2}, {"ray": "local"}):
        out = tmp_path / f"out{len(found)}"
        summary = read_all(
            [tmp_path / "in"],
            out,
            ["text", "md", "json"],
            model=str(tmp_path),
            factory=FACTORY,
            timeout_s=2.0,
            **settings,
        )
        lines = [{k: v for k, v in line.items() if k not in VOLATILE} for line in ledger(out)]
        texts = {p.name: p.read_text() for p in out.iterdir() if p.suffix in (".txt", ".md")}
        found.append((dict(summary.pages), summary.read, lines, texts))
    assert found[0] == found[1]
    assert found[0][0] == {"ok": 3, "blank": 1, "failed": 2, "timeout": 1, "truncated": 1}
    with pytest.raises(ValueError, match=r"^none: no model$"):
        read_all([tmp_path / "in"], tmp_path / "none", model="none", factory=FACTORY, ray="local")


def test_a_server_turns_pages_and_says_so(tmp_path) -> None:
    class Turning(FakeReader):
        def find_orientation(self, image: Image.Image) -> Orientation:
            return Orientation(90) if image.width > image.height else Orientation()

    lies = PAGE.transpose(Image.Transpose.ROTATE_270)
    lies.save(tmp_path / "lies.png")
    with vary_server(nano=Served(Turning())) as url:
        page = read_document(tmp_path / "lies.png", load_server(None, url)).pages[0]
    assert (page.status, page.rotation, page.skew, page.width, page.height) == ("ok", 90, 0.0, *lies.size)
    assert page.lines[0].text.startswith("size ")
    x0, y0, x1, y1 = page.lines[0].box  # along the page's top, which lies at the right
    assert (x1, y0, y1) == pytest.approx((lies.width, 0, lies.height))
    assert page.blocks[0].angle == 90
    assert x0 > 0.9 * x1
