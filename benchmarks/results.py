"""Write all measured tables of docs/results.md and README.md from the records of runs.

`python benchmarks/results.py --run all` measures (names of MEASUREMENTS; what `vary eval` has read is not read again);
`python benchmarks/results.py` then writes each table anew between `<!-- table: NAME -->` and `<!-- end -->`, with date,
machine, commit and command. It ends with an error, and changes nothing, when a table's source is missing, when a name
is not known, and when docs/results.md has a table outside the marks that is not headed as reported.
"""

from __future__ import annotations

import argparse
import csv
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from vary.evaluate.report import conditions

ROOT = Path(__file__).parents[1]
PAGES = ("docs/results.md", "README.md")
TABLE = re.compile(r"(?:^\|.*(?:\n|\Z))+", re.M)
MARKED = re.compile(r"<!-- table: (?P<name>[\w-]+) -->\n.*?<!-- end -->", re.S)
REPORTED = re.compile(r"^## Reported\b.*?(?=^## |\Z)", re.S | re.M)
PEERS = "--peers tesseract,rapidocr"
MANUALS = "R-intro.pdf cplusplus.pdf install.en.pdf.gz"

# name -> commands. `vary eval` keeps its folder; of the others the output is kept in eval/NAME.txt.
MEASUREMENTS: dict[str, tuple[str, ...]] = {
    "real": (f"vary eval vary-nano --tasks real,real-two-column,real-more --limit 48 {PEERS} -o eval/real-pages",),
    "rendered": ("vary eval vary-nano --tasks pages,faces,pseudo,degraded --peers tesseract -o eval/rendered-pages",),
    "decoder": (
        "vary eval vary-nano --decoder --tasks real,real-two-column,real-more --limit 48 -o eval/decoder",
        "vary eval vary-nano --decoder --tasks pages,faces,pseudo,degraded -o eval/decoder",
    ),
    "chinese": (f"vary eval vary-nano --tasks real-zh --limit 12 {PEERS} -o eval/chinese",),
    "documents": (
        "vary eval vary-nano --tasks documents --limit 14 --peers all -o eval/documents",
        "vary eval vary-nano --pixels --tasks documents --limit 14 -o eval/documents",
    ),
    "structure": ("vary eval vary-nano --tasks layout,formulas --limit 12 -o eval/structure",),
    "languages": ("vary eval vary-nano --pixels --tasks languages --limit 48 -o eval/languages",),
    "read": (
        "python benchmarks/read.py --first examples/charis.pdf examples/page.png",
        "python benchmarks/read.py R-intro.pdf --pages 20-27 --workers 1 --pixels --peers tesseract",
        f"python benchmarks/read.py {MANUALS} --pages 20-35 --workers 2 --pixels --peers tesseract",
        "python benchmarks/read.py --documents 30 --workers 2 --pixels --peers tesseract",
        "python benchmarks/read.py refman.pdf --pages 1-500 --workers 2",
    ),
    "styles": ("python benchmarks/styles.py",),
    "serve": (
        "python benchmarks/serve.py",
        "python benchmarks/serve.py --inside 64",
        "python benchmarks/serve.py --model vary-nano -n 300",
    ),
    "train": ("python benchmarks/train.py vary-nano --batch 4 --tokens 512 --steps 2",),
    "encoder": (
        "python benchmarks/encoder.py --dtypes float32 --repeats 3 --passes forward",
        'python benchmarks/encoder.py --dtypes float32 --repeats 1 --passes "forward + backward"',
    ),
    "answer": ("python benchmarks/answer.py --dtype float32", "python benchmarks/answer.py got --dtype float32"),
    "compression": ("python benchmarks/compression.py --pages 4 --plot docs/compression.png",),
}

_R, _GUIDE = "usr/share/doc/r-doc-pdf/manual/", "usr/share/doc/installation-guide-amd64/en/"
FILES = {
    "R-intro.pdf": ("deb:r-doc-pdf", f"{_R}R-intro.pdf"),
    "refman.pdf": ("deb:r-doc-pdf", f"{_R}refman.pdf"),
    "cplusplus.pdf": ("deb:c++-annotations-pdf", "usr/share/doc/c++-annotations/cplusplus.pdf"),
    "install.en.pdf.gz": ("deb:installation-guide-amd64", f"{_GUIDE}install.en.pdf.gz"),
}


class Missing(ValueError):
    """A table cannot be made: its source is not there."""


def folder_of(name: str) -> str | None:
    """The run folder of a measurement by `vary eval`."""
    words = shlex.split(MEASUREMENTS[name][0])
    return words[words.index("-o") + 1] if words[:2] == ["vary", "eval"] else None


def source(name: str, root: Path, file: str = "report.md") -> str:
    """What a measurement left: a file of its run folder, or the output of its commands."""
    path = root / (f"{folder}/{file}" if (folder := folder_of(name)) else f"eval/{name}.txt")
    if not path.exists():
        raise Missing(f"{path}: not measured; run: python benchmarks/results.py --run {name}")
    return path.read_text(encoding="utf-8")


def measured(name: str, root: Path, kind: str = "") -> str:
    """The tables of a measurement whose headings hold `kind`, under its commands and conditions."""
    text = source(name, root)
    first, lines = text.partition("\n")[0], text.splitlines()
    head = "\n".join(["```sh", *MEASUREMENTS[name], "```", "", first, ""])
    wanted = tables_of(text, kind)
    if not wanted and TABLE.search(text):
        raise Missing(f"{name}: its report has no table of {kind!r}")
    if not wanted:
        return "\n".join([head, "```", *(line for line in lines[1:] if line.strip()), "```"])
    rows = dict.fromkeys("".join(wanted).splitlines())  # several runs of one benchmark: one heading
    return "\n".join([head, *rows])


def tables_of(text: str, kind: str) -> list[str]:
    """The tables of a report whose headings hold `kind`."""
    return [t for t in TABLE.findall(text) if kind in t.partition("\n")[0]]


def rows_of(name: str, root: Path) -> dict[tuple[str, str], dict[str, float]]:
    """(task, reader) -> total, median, mean, low, high and seconds of a run."""
    found = csv.DictReader(source(name, root, "report.csv").splitlines())
    kept = ("total", "median", "mean", "low", "high", "seconds", "examples")
    return {(r["task"], r["reader"]): {k: float(r[k]) for k in kept if r[k]} for r in found if not r["group"]}


def aims(root: Path) -> str:
    """Write the goals next to the measured values."""
    real, drawn = rows_of("real", root), rows_of("rendered", root)
    try:
        plain, level = drawn["pages", "vary-nano"]["total"], real["real", "vary-nano"]
        checks = [
            ("rendered pages: CER at most 1%", plain, 0.01),
            ("faces never trained on: at most 3%", drawn["faces", "vary-nano"]["total"], 0.03),
            ("pseudo-words: at most 1.5 times the first row", drawn["pseudo", "vary-nano"]["total"], 1.5 * plain),
            ("real single-column pages: median at most 1%", level["median"], 0.01),
        ]
        for task, pages in (("real", "their"), ("real-more", "more pages:"), ("real-two-column", "two columns:")):
            found, limit = (real[task, reader]["mean"] for reader in ("vary-nano", "tesseract"))
            checks.append((f"{pages} mean below Tesseract's", found, limit))
    except KeyError as error:
        raise Missing(f"aims: nothing was measured of {error}") from None
    rows = [f"| {aim} | {found:.2%} | {limit:.2%} | {judge(found, limit)} |" for aim, found, limit in checks]
    rows.append(f"| a dense page in 0.6 s | {level['seconds']:.2f} s | 0.60 s | {judge(level['seconds'], 0.6)} |")
    return "\n".join(["| aim | measured | at most | |", "|---|---|---|---|", *rows])


def confidence(root: Path) -> str:
    """What the reader's confidences are worth, on the pages of three measurements."""
    head, rows = "", []
    for name in ("real", "rendered", "chinese"):
        found = "".join(tables_of(source(name, root), "characters written")).splitlines()
        if not found:
            raise Missing(f"{name}: its report has no table of confidences")
        head, rows = "\n".join(found[:2]), [*rows, *(row for row in found[2:] if "| vary-nano |" in row)]
    return "\n".join([head, *rows])


def judge(found: float, limit: float) -> str:
    return "reached" if found <= limit else "**short**"


SUMMARY = {
    "real": "{} pages of manuals (born digital, 150 dpi)",
    "real-more": "{} pages of more manuals and samples",
    "real-two-column": "{} two-column pages of papers",
    "pages": "{} rendered pages, new text",
    "faces": "… in faces never trained on",
    "pseudo": "… in pseudo-words",
    "degraded": "… with scan defects",
}
BRIEF = ("real", "real-more", "real-two-column", "pages", "degraded")  # what README shows


def summary(root: Path) -> str:
    """README's table: mean CER of a page by every reader, and pages a minute, by the median page of the manuals."""
    rows = rows_of("real", root) | rows_of("rendered", root)
    readers = sorted(dict.fromkeys(reader for _, reader in rows), key=lambda reader: reader != "vary-nano")
    lines = [f"| mean CER of a page | {' | '.join(readers)} |", "|---" * (len(readers) + 1) + "|"]
    for task in BRIEF:
        found = [rows.get((task, reader)) for reader in readers]
        if not any(found):
            raise Missing(f"summary: nothing was measured of {task}")
        cells = [f"{r['mean']:.2%}" if r else "–" for r in found]
        title = SUMMARY[task].format(int(next(filter(None, found))["examples"]))
        lines.append(f"| {title} | {' | '.join(cells)} |")
    speeds = [60 / rows["real", reader]["seconds"] if ("real", reader) in rows else 0 for reader in readers]
    lines.append(f"| **pages a minute**, one process | {' | '.join(f'{s:.0f}' if s else '–' for s in speeds)} |")
    return "\n".join(lines)


def decoder(root: Path) -> str:
    """What the decoder makes of what the head reads: errors of all characters, and seconds a page."""
    rows, rescored = rows_of("real", root) | rows_of("rendered", root), rows_of("decoder", root)
    lines = ["| CER, all characters | the head alone | head and decoder | errors |", "|---|---|---|---|"]
    for task, title in SUMMARY.items():
        try:
            old, new = rows[task, "vary-nano"], rescored[task, "vary-nano-decoder"]
        except KeyError:
            raise Missing(f"decoder: nothing was measured of {task}") from None
        change = f"{new['total'] / old['total'] - 1:+.1%}" if old["total"] else "none"
        cells = [f"{r['total']:.2%}, {r['seconds']:.2f} s a page" for r in (old, new)]
        lines.append(f"| {title.format(int(new['examples']))} | {' | '.join(cells)} | {change} |")
    return "\n".join(["```sh", *MEASUREMENTS["decoder"], "```", "", *lines])


TABLES: dict[str, Callable[[Path], str]] = {
    **{name: partial(measured, name) for name in MEASUREMENTS if folder_of(name) is None},
    **{name: partial(measured, name, kind="CER, all") for name in ("real", "rendered", "chinese", "languages")},
    **{name: partial(measured, name, kind="others") for name in ("documents", "structure")},
    "confidence": confidence,
    "aims": aims,
    "decoder": decoder,
    "summary": summary,
}


def rewrite(text: str, root: Path, names: frozenset[str] | None = None) -> str:
    """A page with its tables (of these names) written anew. Raises ValueError, Missing for a source that is missing."""

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in TABLES:
            raise ValueError(f"unknown table {name!r}; allowed: {', '.join(TABLES)}")
        if names is not None and name not in names:
            return match.group()
        return f"<!-- table: {name} -->\n{TABLES[name](root)}\n<!-- end -->"

    return MARKED.sub(table, text)


def check(text: str, page: str) -> None:
    """Raise ValueError for a table that no measurement wrote."""
    rest = REPORTED.sub("", MARKED.sub("", text))
    if stray := next((line for line in rest.splitlines() if line.startswith("|")), None):
        raise ValueError(f"{page}: a table outside the marks: {stray[:60]}")


def run(name: str, root: Path) -> None:
    """Measure: the commands one after another, their output on the screen and, for a benchmark, in eval/NAME.txt."""
    began, said = time.perf_counter(), ""
    for command in MEASUREMENTS[name]:
        words = [_fetch(word) for word in shlex.split(command)]
        start = [sys.executable, "-m", "vary.cli"] if words[0] == "vary" else [sys.executable]
        print(f"$ {command}", flush=True)
        with subprocess.Popen([*start, *words[1:]], cwd=root, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                said += line
        if process.returncode:
            raise ValueError(f"{command}: exit status {process.returncode}")
    if folder_of(name) is None:
        (root / "eval").mkdir(exist_ok=True)
        facts = f"{conditions()}; {(time.perf_counter() - began) / 60:.1f} minutes in all."
        (root / "eval" / f"{name}.txt").write_text(f"{facts}\n\n{said}", encoding="utf-8")


def _fetch(word: str) -> str:
    """A word of a command; a name of FILES as the path of that file of a Debian package."""
    if word not in FILES:
        return word
    from vary.data.corpus.download import fetch

    package, path = FILES[word]
    return str(fetch(package) / path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help="write these alone (default: all that the pages have)")
    parser.add_argument("--run", default="", metavar="A,B", help=f"measure first: all, or of {', '.join(MEASUREMENTS)}")
    arguments = parser.parse_args()
    try:
        for name in MEASUREMENTS if arguments.run == "all" else filter(None, arguments.run.split(",")):
            if name not in MEASUREMENTS:
                raise ValueError(f"unknown measurement {name!r}; allowed: all, {', '.join(MEASUREMENTS)}")
            run(name, ROOT)
        if arguments.run:
            return
        names = frozenset(arguments.tables) or None
        written = {page: rewrite((ROOT / page).read_text(encoding="utf-8"), ROOT, names) for page in PAGES}
        check(written[PAGES[0]], PAGES[0])
    except ValueError as error:
        sys.exit(f"error: {error}")
    for page, text in written.items():
        (ROOT / page).write_text(text, encoding="utf-8")
        print(f"wrote {page}")
    for name in ("real", "rendered"):
        picture = ROOT / str(folder_of(name)) / "report.png"
        if picture.exists():
            shutil.copyfile(picture, ROOT / "docs" / f"{name}-pages.png")


if __name__ == "__main__":
    main()
