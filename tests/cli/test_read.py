"""`vary read`: what it prints, writes and returns, and messages of one line."""

from __future__ import annotations

import json
import os
from functools import partial
from io import BytesIO, TextIOWrapper
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.pdfs import pdf_of, show
from tests.reading.test_batch import FACTORY, tiff
from vary.cli import main
from vary.document.elements import Block, Line, Page
from vary.document.orientation import Orientation
from vary.io.errors import InputError
from vary.reading.runs.batch import Summary, read_all


class FakeReader:
    """Reads "page 1", "page 2" ...; fails on the calls in `bad`."""

    name = "fake"

    def __init__(self, *bad: int):
        self.bad, self.calls, self.text = bad, 0, ""

    def find_orientation(self, image: Image.Image) -> Orientation:
        return Orientation()

    def wanted_scale(self, image: Image.Image) -> float:
        return 1.0

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        self.calls += 1
        if self.calls in self.bad:
            raise InputError("the ink has run")
        box = (0.0, 0.0, 10.0, 10.0)
        return Page(1, "ok", *image.size, blocks=[Block([Line(self.text or f"page {self.calls}", box, 1.0)], box)])


class Command:
    """Runs `vary`; `loaded` lists what models were asked for."""

    def __init__(self, monkeypatch, capsys):
        self.reader, self.loaded, self._capsys = FakeReader(), [], capsys
        monkeypatch.setattr("vary.reading.api.load", self._load)

    def _load(
        self, name: str, device: str, decoder: bool = False, pixels: bool = False, formulas: str | None = None
    ) -> FakeReader:
        self.loaded.append((name, device, *["decoder"] * decoder))
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


def test_the_decoder_is_passed_on(vary, pdf_file, monkeypatch) -> None:
    assert vary("read", pdf_file, "--decoder")[0] == 0
    assert vary.loaded == [("vary-nano", "cpu", "decoder")]
    asked: list[dict] = []
    monkeypatch.setattr("vary.reading.runs.batch.read_all", lambda *_, **settings: asked.append(settings) or Summary())
    vary("read", pdf_file, "-o", pdf_file.parent / "out", "--decoder", "-q")
    assert asked[0]["decoder"] is True


def test_all_read(vary, pdf_file) -> None:
    assert vary("read", pdf_file) == (0, "page 1\n\npage 2\n", [])  # the second page is blank
    assert vary.loaded == [("vary-nano", "cpu")]


def test_model_device_and_pages(vary, pdf_file) -> None:
    code, out, _ = vary("read", pdf_file, "--model", "other", "--device", "cuda", "--pages", "-1")
    assert (code, out, vary.loaded) == (0, "page 1\n", [("other", "cuda")])


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


def test_a_pattern_or_a_folder_without_files_costs_itself(vary, run, pdf_file, tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    odd = [tmp_path / "*.doc", tmp_path / "empty"]
    code, out, err = vary("read", *odd, pdf_file)
    assert (code, out) == (2, "page 1\n\npage 2\n")
    reasons = [f"vary: {odd[0]}: no file matches", f"vary: {odd[1]}: no PDF and no image in it"]
    assert [line.partition(";")[0] for line in err] == reasons
    assert main([*run[:2], *map(str, odd), *run[2:], "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err.splitlines()
    assert [
        line.partition(";")[0] for line in err if line.startswith(f"vary: {tmp_path}") and ", page" not in line
    ] == reasons
    assert err[-1].endswith("2 of 3 files could not be opened")


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
    assert (found["schema"], found["source"], found["model"]) == (3, str(pdf_file), "fake")
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


def test_a_bug_shows_its_traceback(vary, pdf_file, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("vary.reading.pages.read_document", broken)
    with pytest.raises(ValueError, match="broadcast"):
        main(["read", str(pdf_file)])


def test_debug_shows_the_traceback_of_an_error_of_the_user(pdf_file) -> None:
    with pytest.raises(InputError, match="no model 'no-such-model'"):
        main(["--debug", "read", str(pdf_file), "--model", "no-such-model"])


def on_terminal(monkeypatch, encoding: str) -> BytesIO:
    screen = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(screen, encoding))
    return screen


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_ascii_terminal_prints_what_it_can(vary, pdf_file, monkeypatch, form) -> None:
    vary.reader.text = "café 字 𝔸"
    screen = on_terminal(monkeypatch, "ascii")
    assert main(["read", str(pdf_file), "--to", form, "--pages", "1"]) == 0
    printed = screen.getvalue().decode("ascii")
    if form == "text":
        assert printed == "caf\\u00e9 \\u5b57 \\ud835\\udd38\n"
    else:
        assert json.loads(printed)["pages"][0]["blocks"][0]["lines"][0]["text"] == "café 字 𝔸"


def test_a_file_name_that_is_no_unicode(vary, pdf_file, tmp_path, monkeypatch) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.pdf")
    try:
        Path(name).write_bytes(pdf_file.read_bytes())
    except OSError:
        pytest.skip("this file system takes only names in Unicode")
    screen = on_terminal(monkeypatch, "utf-8")
    assert main(["read", name, "--to", "json"]) == 0
    assert json.loads(screen.getvalue().decode("utf-8"))["source"] == name


def test_standard_input_is_called_by_its_dash(vary, pdf_file, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(b"some notes")))
    assert vary("read", "-") == (3, "", ["vary: -: not an image; allowed: PNG, JPEG, WEBP, TIFF, BMP, GIF, PDF"])
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(pdf_file.read_bytes())))
    vary.reader = FakeReader(1)
    code, out, err = vary("read", "-", "--to", "json")
    assert (code, json.loads(out)["source"], err) == (2, "-", ["vary: -, page 1: the ink has run"])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs that read a TIFF with a page that is lost, by the scripted reader of tests/reading/test_batch.py."""
    monkeypatch.setattr("vary.reading.runs.batch.read_all", partial(read_all, factory=FACTORY))
    source = tiff(tmp_path / "a.tif", "ok", "raise", "blank")
    return ["read", str(source), "--model", str(tmp_path), "--workers", "1"]


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
    assert capsys.readouterr().err.splitlines()[0].startswith("vary: -: not an image")


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


def test_layer_needs_no_model(tmp_path, capsys) -> None:
    path = pdf_of(tmp_path / "a.pdf", [show("Said by the file", 50, 200)])
    assert main(["read", str(path), "--layer"]) == 0
    assert capsys.readouterr().out == "Said by the file\n"
    assert main(["read", str(path), "--layer", "-o", str(tmp_path / "out"), "-q", "--to", "md"]) == 0
    assert (tmp_path / "out" / "a.md").read_text() == "<!-- page 1 -->\n\nSaid by the file\n"
