"""A run loses nothing: whatever dies or hangs, every page has one status, and the next run does the rest."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.read import family_mib
from vary.document.elements import STATUSES
from vary.io.files import atomic_write, lock_folder, safe_names
from vary.reading.runs.batch import read_all
from vary.reading.runs.spec import ReaderSpec
from vary.reading.runs.workers import WorkerPool, worker_environment

from ..conftest import child_processes, is_ended
from .scripted import FACTORY, tiff


class Runs:
    def __init__(self, folder: Path):
        self.folder, self.out, self.told = folder, folder / "out", []

    def __call__(self, *inputs, to=("text",), workers=1, timeout_s=60.0, **settings):
        self.told.clear()
        return read_all(
            inputs, self.out, to, model=str(self.folder), factory=FACTORY, workers=workers, timeout_s=timeout_s,
            on_page=self.told.append, **settings,
        )  # fmt: skip

    @property
    def read(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().split() if log.exists() else []

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in (self.out / "run.jsonl").read_bytes().splitlines()]

    def text(self, name: str) -> str:
        return (self.out / name).read_text()


@pytest.fixture
def run(tmp_path) -> Runs:
    return Runs(tmp_path)


def test_loss_accounting(run, monkeypatch) -> None:
    """Whatever fails, all pages are accounted for; again, only what was lost is done; then nothing."""
    monkeypatch.setattr("vary.reading.runs.workers.GRACE", (0.5, 0.0))
    first = tiff(run.folder / "in" / "a.tif", "ok", "crash", "ok", "raise", "blank")
    tiff(run.folder / "in" / "sub" / "b.tif", "truncated", "ok", "repetition", "hang")
    (run.folder / "in" / "broken.pdf").write_text("%PDF-1.4 it is not")
    summary = run(run.folder / "in", workers=2, timeout_s=1.5)
    expected = {"ok": 3, "blank": 1, "truncated": 1, "repetition": 1, "timeout": 1, "failed": 2}
    assert (dict(summary.pages), summary.read, summary.exit_code) == (expected, 9, 2)
    assert {*expected, "doubtful"} == set(STATUSES)
    assert list(summary.unreadable) == [str(run.folder / "in" / "broken.pdf")]
    told = [(Path(line["file"]).name, line["page"], line["status"]) for line in run.told]
    assert told == [
        *(("a.tif", k, s) for k, s in enumerate(("ok", "failed", "ok", "failed", "blank"), 1)),
        ("broken.pdf", None, "failed"),
        *(("b.tif", k, s) for k, s in enumerate(("truncated", "ok", "repetition", "timeout"), 1)),
    ]
    errors = {line["page"]: line["error"] for line in run.told if line["file"] == str(first)}
    assert errors[2] == f"{first}, page 2: the process that read it crashed"
    assert errors[4] == "ValueError: the ink has run"
    attempts = {line["status"]: line["attempts"] for line in run.told if line["page"]}
    assert attempts == {"ok": 1, "blank": 1, "failed": 1, "truncated": 2, "repetition": 2, "timeout": 1}
    assert run.text("a.txt") == "ok <b>\n\nok <b>\n"

    (run.folder / "healed").touch()
    (run.folder / "log").unlink()
    summary = run(run.folder / "in")
    assert sorted(run.read) == ["crash", "hang", "raise", "repetition", "truncated"]
    assert (dict(summary.pages), summary.read, summary.exit_code) == ({"ok": 8, "blank": 1}, 5, 2)
    assert run.text("a.txt") == "ok <b>\n\ncrash <b>\n\nok <b>\n\nraise <b>\n"

    (run.folder / "in" / "broken.pdf").unlink()
    (run.folder / "log").unlink()
    before = (run.out / "run.jsonl").read_bytes(), (run.out / "a.txt").stat().st_mtime_ns
    summary = run(run.folder / "in")
    assert (summary.read, summary.exit_code, run.read) == (0, 0, [])
    assert before == ((run.out / "run.jsonl").read_bytes(), (run.out / "a.txt").stat().st_mtime_ns)


def test_workers_give_the_same_in_the_same_order(run, tmp_path) -> None:
    tiff(run.folder / "in" / "a.tif", *["ok", "raise", "blank"] * 3)
    tiff(run.folder / "in" / "b.tif", "ok", "truncated")
    found = []
    for workers in (1, 3):
        run.out = tmp_path / f"out{workers}"
        run(run.folder / "in", to=("text", "md", "html", "json"), workers=workers)
        lines = [{k: v for k, v in line.items() if k not in ("seconds", "bytes", "state")} for line in run.lines]
        texts = {p.name: p.read_text() for p in run.out.iterdir() if p.suffix in (".txt", ".md", ".html")}
        found.append((lines, texts))
    assert found[0] == found[1]
    assert len(found[0][1]) == 6


def test_a_slow_page_does_not_keep_the_other_workers_waiting(run, monkeypatch) -> None:
    monkeypatch.setattr("vary.reading.runs.workers.GRACE", (0.5, 0.0))
    source, read = tiff(run.folder / "a.tif", "hang", *["ok"] * 12), []
    read_all(
        [source], run.out, ["text"], model=str(run.folder), factory=FACTORY, workers=2, timeout_s=2.0,
        on_page=lambda line: read.append((line["status"], len(run.read))),
    )  # fmt: skip
    assert [status for status, _ in read] == ["timeout", *["ok"] * 12]
    assert read[0][1] == 13  # when the first page was given up, all others had been read


def test_real_pages_are_the_same_bytes_with_any_number_of_workers(page_source, tmp_path) -> None:
    sample = page_source(seed=4, height=256, width=512, degraded=0.0, sizes_px=(15, 18))
    first, *more = [Image.fromarray(sample.sample(k).image) for k in range(3)]
    first.save(tmp_path / "a.tif", save_all=True, append_images=more)
    written = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        assert read_all([tmp_path / "a.tif"], out, ["md", "json"], workers=workers).pages["ok"] == 3
        data = json.loads((out / "a.json").read_text())
        for page in data["pages"]:
            del page["seconds"]
        written.append(((out / "a.md").read_bytes(), json.dumps(data)))
    assert written[0] == written[1]
    assert len(written[0][0]) > 300


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Runs:
    """A run that has read three pages."""
    run = Runs(tmp_path_factory.mktemp("finished"))
    run(tiff(run.folder / "a.tif", "ok", "ok", "ok"))
    return run


@pytest.mark.parametrize("spoil", ["torn", "garbage", "lost page", "cut page", "old settings"])
def test_run_file_faults(finished, tmp_path, spoil) -> None:
    """A line that was not written whole, and a page that is not there, have not happened; the others have."""
    run, source = Runs(finished.folder), finished.folder / "a.tif"
    run.out = shutil.copytree(finished.out, tmp_path / "out")
    path = run.out / "run.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    stored = sorted((run.out / ".pages").rglob("*.gz"))
    read_again = 1
    if spoil == "torn":
        path.write_bytes(b"".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
    elif spoil == "garbage":
        path.write_bytes(b"\xff\x00 no line\n" + lines[0] + b'{"page": 2}\n[]\n7\n' + b"".join(lines[2:]))
    elif spoil == "lost page":
        stored[1].unlink()
    elif spoil == "cut page":
        stored[1].write_bytes(stored[1].read_bytes()[:-9])
    else:
        path.write_bytes(b"".join(line.replace(b'"settings": "', b'"settings": "0') for line in lines))
        read_again = 3
    (run.folder / "log").unlink(missing_ok=True)
    summary = run(source)
    assert (summary.read, len(run.read), dict(summary.pages)) == (read_again, read_again, {"ok": 3})
    (run.folder / "log").unlink()
    assert run(source).read == 0
    assert run.text("a.txt").count("ok <b>") == 3


def test_kill_and_go_on(run) -> None:
    """SIGKILL between pages: what the ledger has is not read again, and the output is that of a run left alone."""
    source = tiff(run.folder / "a.tif", *["ok"] * 30)
    command = f"""
import os, signal
from vary.reading.runs.batch import read_all
def tell(line):
    if line["page"] == 7:
        os.kill(os.getpid(), signal.SIGKILL)
settings = dict(model={str(run.folder)!r}, factory={FACTORY!r}, workers=1, on_page=tell)
read_all([{str(source)!r}], {str(run.out)!r}, ["text"], **settings)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, timeout=240
    )
    assert done.returncode == -signal.SIGKILL
    assert [line["page"] for line in run.lines] == [1, 2, 3, 4, 5, 6, 7]
    assert not (run.out / "a.txt").exists()
    summary = run(source)
    assert (summary.read, dict(summary.pages)) == (23, {"ok": 30})
    assert run.text("a.txt").count("ok <b>") == 30
    assert Counter(line["page"] for line in run.lines if "page" in line) == dict.fromkeys(range(1, 31), 1)


def test_disk_full(run, monkeypatch) -> None:
    """What was written before is whole, the error names the reason, and the next run goes on."""
    source = tiff(run.folder / "a.tif", "ok", "ok", "ok")
    run(source)
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        run(source, to=("md",))
    with pytest.raises(OSError, match="No space left"):
        run(tiff(run.folder / "b.tif", "ok"))
    monkeypatch.undo()
    assert {p.name for p in run.out.iterdir()} == {"a.txt", "run.jsonl", ".pages", ".lock"}
    assert run(source, to=("text", "md")).read == 0
    assert run.text("a.md").count(r"ok \<b>") == 3


def test_two_runs_in_one_folder(run) -> None:
    run(tiff(run.folder / "a.tif", "ok"))
    holder = f"out: process {os.getpid()} on .* is writing to it$"
    with lock_folder(run.out, "writing to it"), pytest.raises(ValueError, match=holder):
        run(run.folder / "a.tif")


def test_another_form_needs_no_reading(run) -> None:
    source = tiff(run.folder / "a.tif", "ok", "raise")
    run(source, "none.pdf")
    (run.folder / "log").unlink()
    (run.folder / "healed").touch()
    summary = run(source, to=("md", "json", "html", "pdf", "overlay"), pages="1")
    assert (summary.read, run.read) == (0, [])
    assert {p.name for p in run.out.iterdir() if not p.name.startswith(".")} == {
        "a.txt", "run.jsonl", "a.md", "a.json", "a.html", "a.pdf", "a_overlay",
    }  # fmt: skip
    assert [page["number"] for page in json.loads(run.text("a.json"))["pages"]] == [1]
    (run.out / "a.md").unlink()
    run(source, to=("md",), pages="1")
    assert r"ok \<b>" in run.text("a.md")


def test_names_that_are_not_utf8(run) -> None:
    """Their pages are read once, and the ledger is valid UTF-8 and JSON."""
    source = tiff(run.folder / "a.tif", "ok")
    strange = Path(os.fsdecode(os.fsencode(source.parent) + b"/caf\xe9.tif"))
    source.rename(strange)
    assert run(strange).read == 1
    assert [json.loads(line) for line in (run.out / "run.jsonl").read_text(encoding="utf-8").splitlines()]
    assert run(strange).read == 0


def test_exit_codes(run) -> None:
    assert run(tiff(run.folder / "a.tif", "ok", "blank")).exit_code == 0
    assert run(tiff(run.folder / "b.tif", "ok", "raise")).exit_code == 2
    assert run(tiff(run.folder / "c.tif", "raise")).exit_code == 3
    assert run(run.folder / "none.tif").exit_code == 3
    assert str(run(run.folder / "b.tif")) == "2 pages (1 ok, 1 failed), 1 read now"


def test_refused(run) -> None:
    source = tiff(run.folder / "a.tif", "ok")
    with pytest.raises(ValueError, match="to docx: allowed: text, md, html, json, pdf, overlay"):
        run(source, to=("docx",))
    with pytest.raises(ValueError, match="none: no model"):
        read_all([source], run.out, model="none", factory=FACTORY, workers=1)
    with pytest.raises(ValueError, match="workers 0"):
        WorkerPool(0, ReaderSpec("m"), 1)


def test_output_stays_inside(run) -> None:
    names = [
        "../../x",
        "a/../../b",
        "/etc/passwd",
        "C:\\x",
        "a\x00b",
        "y" * 4000,
        "con",
        "..",
        "é",
        "e\u0301",
        "A",
        "a",
        ".",
    ]
    safe = safe_names(names)
    assert len({name.casefold() for name in safe}) == len(names)
    for name in safe:
        assert (run.out / f"{name}.md").resolve().is_relative_to(run.out.resolve())
        assert all(len(part.encode()) < 200 for part in name.split("/"))
        with atomic_write(run.out / f"{name}.md") as file:
            file.write(b"x")
    assert safe[6] == "_con"
    assert safe[8:10] == ["é", "é-2"]


def test_no_process_is_left(run) -> None:
    before = child_processes()
    with WorkerPool(2, ReaderSpec(str(run.folder), factory=FACTORY), 30) as pool:
        source = tiff(run.folder / "a.tif", "hang", "ok")
        hanging, read = pool.submit(str(source), 1, None), pool.submit(str(source), 2, None)
        assert json.loads(gzip.decompress(read.result().stored))["status"] == "ok"
        workers = child_processes() - before
        assert len(workers) == 2
        began = time.perf_counter()
    assert time.perf_counter() - began < 20  # the page would hang for 30 s
    assert all(is_ended(pid) for pid in workers)
    assert hanging.done()


def test_workers_have_large_pages_beside_what_the_user_set(monkeypatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    assert worker_environment(1)["GLIBC_TUNABLES"] == "glibc.malloc.check=0:glibc.malloc.hugetlb=1"


def test_the_process_that_hands_out_pages_imports_no_reader() -> None:
    program = "import sys, vary.reading.runs.batch; print('vary.reading.pages' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.slow  # reads 500 pages, which takes minutes
@pytest.mark.timeout(1500)
def test_memory_flat(tmp_path) -> None:
    """Resident memory of all processes of a run, after page 450 within 10 % of that after page 50."""
    page = Image.open(Path(__file__).parents[2] / "examples" / "page.png").convert("L")
    page = page.crop((0, 0, page.width, page.height // 4))
    page.save(tmp_path / "many.pdf", save_all=True, append_images=[page] * 499, resolution=150)
    used: list[float] = []
    summary = read_all(
        [tmp_path / "many.pdf"], tmp_path / "out", ["md", "pdf"], on_page=lambda _: used.append(family_mib())
    )
    assert summary.pages["ok"] == 500
    print(f"MiB after 50 pages {used[50]:.0f}, after 450 {used[450]:.0f}")
    assert max(used[445:455]) < 1.1 * max(used[45:55]), (used[50], used[450])
