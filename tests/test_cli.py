"""The command line: its verbs and options, its exit codes, and messages of one line."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from PIL import Image

from vary.arguments import parser
from vary.cli import main
from vary.document.elements import Block, Line, Page
from vary.document.orientation import Orientation
from vary.io.errors import InputError
from vary.reading.batch import Summary

ASKING = {"--model", "--language", "--device", "--dtype", "--max-tokens", "--no-repeat"}
SURFACE = {
    "read": {
        "-h",
        "--help",
        "--pages",
        "--to",
        "-o",
        "--out",
        "--model",
        "--device",
        "--password",
        "--figures",
        "--workers",
        "--timeout",
        "--server",
        "--max-pages",
        "--ray",
        "--fast",
        "-q",
        "--quiet",
        "--json",
    },
    "ask": {"-h", "--help", "--task", *ASKING},
    "chart": {"-h", "--help", *ASKING},
    "detect": {"-h", "--help", "--classes", *ASKING},
    "info": {"-h", "--help", "--json"},
    "convert": {"-h", "--help", "--as", "--layout"},
    "render": {
        "-h",
        "--help",
        "--pdf",
        "-n",
        "-o",
        "--out",
        "--show",
        "--stage",
        "--seed",
        "--workers",
        "--per-shard",
        "--image",
        "--ray",
    },
    "train": {"-h", "--help", "--set", "--max-steps", "--export", "--dry-run"},
    "eval": {
        "-h",
        "--help",
        "--tasks",
        "--limit",
        "--peers",
        "-o",
        "--out",
        "--data",
        "--server",
        "--server-model",
        "--prompt",
        "--device",
        "--max-tokens",
        "--rescore",
        "--compare",
        "--fast",
    },
    "serve": {"-h", "--help", "--host", "--port", "--api-key", "--allow-media-host", "--device", "--dtype", "--fast"},
    "demo": {"-h", "--help", "--host", "--port", "--api-key", "--device", "--dtype"},
}


class FakeReader:
    """Reads "page 1", "page 2" ...; fails on the calls in `bad`."""

    name = "fake"

    def __init__(self, *bad: int):
        self.bad, self.calls = bad, 0

    def find_orientation(self, image: Image.Image) -> Orientation:
        return Orientation()

    def wanted_scale(self, image: Image.Image) -> float:
        return 1.0

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        self.calls += 1
        if self.calls in self.bad:
            raise InputError("the ink has run")
        box = (0.0, 0.0, 10.0, 10.0)
        return Page(1, "ok", *image.size, blocks=[Block([Line(f"page {self.calls}", box, 1.0)], box)])


class Command:
    """Runs `vary`; `loaded` lists what models were asked for."""

    def __init__(self, monkeypatch, capsys):
        self.reader, self.loaded, self._capsys = FakeReader(), [], capsys
        monkeypatch.setattr("vary.reading.api.load", self._load)

    def _load(self, name: str, device: str, fast: bool = False) -> FakeReader:
        self.loaded.append((name, device, *["fast"] * fast))
        return self.reader

    def __call__(self, *arguments: object) -> tuple[int, str, list[str]]:
        """Exit code, standard output, lines of standard error."""
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err.splitlines()


@pytest.fixture
def vary(monkeypatch, capsys) -> Command:
    return Command(monkeypatch, capsys)


def png(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (40, 30), "white")
    image.paste(0, (5, 5, 20, 8))  # a page without ink is blank and never read
    image.save(path)
    return path


def test_surface() -> None:
    (verbs,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    found = {verb: {s for a in parser._actions for s in a.option_strings} for verb, parser in verbs.choices.items()}
    assert found == SURFACE


def test_fast_is_passed_on(vary, pdf_file, monkeypatch) -> None:
    assert vary("read", pdf_file, "--fast")[0] == 0
    assert vary.loaded == [("vary-nano", "cpu", "fast")]
    asked: list[dict] = []
    monkeypatch.setattr("vary.reading.batch.read_all", lambda *_, **settings: asked.append(settings) or Summary())
    vary("read", pdf_file, "-o", pdf_file.parent / "fast", "--fast", "-q")
    assert asked[0]["fast"] is True


def test_version_and_help(vary) -> None:
    from vary import __version__

    assert vary("--version") == (0, f"vary {__version__}\n", [])
    for arguments in (["--help"], *([verb, "--help"] for verb in SURFACE)):
        code, out, err = vary(*arguments)
        assert (code, err) == (0, [])
        assert out.startswith("usage: vary")


def test_all_read(vary, pdf_file) -> None:
    assert vary("read", pdf_file) == (0, "page 1\n\npage 2\n", [])  # the second page is blank
    assert vary.loaded == [("vary-nano", "cpu")]


def test_model_device_and_pages(vary, pdf_file) -> None:
    code, out, _ = vary("read", pdf_file, "--model", "other", "--device", "cuda", "--pages", "-1")
    assert (code, out, vary.loaded) == (0, "page 1\n", [("other", "cuda")])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["read"],
        ["write", "a.pdf"],
        ["read", "a.pdf", "--nonsense"],
        ["train", "a.yaml", "--max-steps", "many"],
    ],
    ids=" ".join,
)
def test_usage(vary, arguments) -> None:
    code, out, err = vary(*arguments)
    assert (code, out, vary.loaded) == (1, "", [])
    assert err[0].startswith("usage: vary")
    assert err[-1].startswith("vary: ")


def test_unknown_model(monkeypatch, capsys, pdf_file) -> None:
    assert main(["read", str(pdf_file), "--model", "no-such-model"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vary: no model 'no-such-model'")


def test_one_page_lost(vary, pdf_file) -> None:
    vary.reader = FakeReader(2)
    code, out, err = vary("read", pdf_file)
    assert (code, out) == (2, "page 1\n")
    assert err == [f"vary: {pdf_file}, page 3: the ink has run"]


def test_all_pages_lost(vary, pdf_file) -> None:
    vary.reader = FakeReader(1, 2)
    code, out, err = vary("read", pdf_file, "--pages", "1,3")
    assert (code, out.strip(), len(err)) == (3, "", 2)


def test_missing_beside_a_good_file(vary, pdf_file, tmp_path) -> None:
    missing = tmp_path / "none.pdf"
    code, out, err = vary("read", missing, pdf_file)
    assert (code, out) == (2, "page 1\n\npage 2\n")
    assert len(err) == 1
    assert err[0].lower().startswith(f"vary: {missing}: no such file".lower())


def test_only_missing_files(vary, tmp_path) -> None:
    names = [tmp_path / "none.pdf", tmp_path / "nor-this.png"]
    code, out, err = vary("read", *names)
    assert (code, out) == (3, "")
    assert err == [f"vary: {name}: no such file" for name in names]
    assert vary.loaded == []


def test_text_file(vary, tmp_path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("some notes")
    code, out, err = vary("read", notes)
    assert (code, out, len(err)) == (3, "", 1)
    assert err[0].startswith(f"vary: {notes}: not an image")


def test_folder(vary, tmp_path) -> None:
    png(tmp_path / "a.png"), png(tmp_path / "deeper" / "b.png")
    assert vary("read", tmp_path) == (0, "page 1\npage 2\n", [])


def test_no_such_page(vary, pdf_file) -> None:
    code, out, err = vary("read", pdf_file, "--pages", "99")
    assert (code, out) == (3, "")
    assert err == [f"vary: {pdf_file}, page 99: there is no page 99; the file has 3"]
    code, out, err = vary("read", pdf_file, "--pages", "2-99")
    assert (code, len(err)) == (2, 1)


def test_locked_pdf(vary, tmp_path) -> None:
    from pypdf import PdfWriter

    path, writer = tmp_path / "locked.pdf", PdfWriter()
    writer.add_blank_page(100, 100)
    writer.encrypt("sesame", algorithm="RC4-128")
    writer.write(path)
    code, _, err = vary("read", path)
    assert (code, err) == (3, [f"vary: {path}: the PDF is encrypted and the password is missing or wrong"])
    assert vary("read", path, "--password", "sesame")[0] == 0


def test_json(vary, pdf_file) -> None:
    vary.reader = FakeReader(2)
    code, out, _ = vary("read", pdf_file, "--to", "json")
    found = json.loads(out)
    assert code == 2
    assert (found["schema"], found["source"], found["model"]) == (2, str(pdf_file), "fake")
    assert [(page["number"], page["status"]) for page in found["pages"]] == [(1, "ok"), (2, "blank"), (3, "failed")]


def test_out_files_and_going_on(capsys, pdf_file, tmp_path) -> None:
    """With -o the pages go to workers of their own (tests/test_run.py); here the whole way, with the shipped model."""
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


def test_interrupt(vary, pdf_file, monkeypatch) -> None:
    def interrupted(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(vary.reader, "read", interrupted)
    assert vary("read", pdf_file) == (130, "", ["vary: interrupted"])


def test_missing_recipe(vary, tmp_path) -> None:
    code, _, err = vary("train", tmp_path / "none.yaml")
    assert (code, len(err)) == (1, 1)
    assert "none.yaml" in err[0]
