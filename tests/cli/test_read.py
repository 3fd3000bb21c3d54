"""`vary read`: what it prints and returns, and messages of one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.pdfs import pdf_of, show
from vary.cli import main
from vary.io.errors import InputError
from vary.reading.runs.batch import Summary

from .commands import FakeReader, png


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
    assert err[0].startswith(f"vary: {notes}: neither a PDF nor an image")


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
    assert vary("read", "-") == (
        3,
        "",
        ["vary: -: neither a PDF nor an image; allowed: PDF, PNG, JPEG, WEBP, TIFF, BMP, GIF"],
    )
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(pdf_file.read_bytes())))
    vary.reader = FakeReader(1)
    code, out, err = vary("read", "-", "--to", "json")
    assert (code, json.loads(out)["source"], err) == (2, "-", ["vary: -, page 1: the ink has run"])


def test_layer_needs_no_model(tmp_path, capsys) -> None:
    path = pdf_of(tmp_path / "a.pdf", [show("Said by the file", 50, 200)])
    assert main(["read", str(path), "--layer"]) == 0
    assert capsys.readouterr().out == "Said by the file\n"
    assert main(["read", str(path), "--layer", "-o", str(tmp_path / "out"), "-q", "--to", "md"]) == 0
    assert (tmp_path / "out" / "a.md").read_text() == "<!-- page 1 -->\n\nSaid by the file\n"


@pytest.mark.parametrize("wanted", ["a", "", "1-", "3-1", "-1--3"])
def test_pages_that_name_no_pages_are_wrong_usage(vary, pdf_file, wanted) -> None:
    code, out, err = vary("read", pdf_file, pdf_file, "--pages", wanted)
    assert (code, out, len(err)) == (1, "", 1)
    assert err[0].startswith(f"vary: --pages {wanted}: ")


def test_an_empty_file_is_called_empty(vary, tmp_path) -> None:
    (tmp_path / "a.pdf").touch()
    assert vary("read", tmp_path / "a.pdf") == (3, "", [f"vary: {tmp_path / 'a.pdf'}: the file is empty"])


def test_standard_output_that_takes_nothing_is_named(tmp_path) -> None:
    """In a process of its own, which is refused when it starts (`>&-`) or when it writes (`> /dev/full`)."""
    path = pdf_of(tmp_path / "a.pdf", [show("Said by the file", 50, 200)])
    command = f"exec {sys.executable} -m vary.cli read {path} --layer"
    found = [subprocess.run(command + to, shell=True, capture_output=True, text=True) for to in (">&-", ">/dev/full")]
    assert [(done.returncode, done.stderr) for done in found] == [
        (1, "vary: standard output: is closed\n"), (1, "vary: standard output: No space left on device\n"),
    ]  # fmt: skip


def test_a_folder_without_a_model_is_refused_with_what_one_holds(tmp_path, pdf_file, capsys) -> None:
    assert main(["read", str(pdf_file), "--model", str(tmp_path)]) == 1
    assert "no model: there is no config.json; a model's folder holds config.json and" in capsys.readouterr().err


def test_forms_that_do_not_exist_are_named_by_their_option(vary, pdf_file, tmp_path) -> None:
    code, out, err = vary("read", pdf_file, "-o", tmp_path / "out", "--to", "md,foo")
    assert (code, out) == (1, "")
    assert err == ["vary: --to md,foo: no such form: foo; allowed: text, md, html, json, pdf, overlay, csv"]
    assert not (tmp_path / "out").exists()
