"""Read a folder of difficult inputs and print for each whether its conditions hold.

    python benchmarks/cases.py DIR [--only NAME ...] [--decoder | --layer]

DIR has `documents.tsv` (name, kind, conditions separated by ` ;; `) with the documents it names, and the inputs of
FAULTS below. The conditions of a document are about its Markdown:

    contains: TEXT | lacks: TEXT | line: TEXT (a whole line) | order: A < B | near: A ~ B (in one line or row)
    table RxC (rows below the head, columns) | row: a | b | c (one row of a table) | fence: TEXT (in one code block)
    figures N (at least) | nohead: TEXT (in no heading)

Exit code: 0 when all hold, 1 otherwise.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt

import vary

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
Reading = Callable[[Path], "Markdown"]


class Markdown:
    """A Markdown text: its plain text, and its tables, headings, code blocks and figures."""

    def __init__(self, source: str):
        self.source = source
        tokens = PARSER.parse(source)
        self.fences = [token.content for token in tokens if token.type == "fence"]
        self.headings = [_plain(after.content) for token, after in pairwise(tokens)
                         if token.type == "heading_open"]  # fmt: skip
        self.tables: list[list[list[str]]] = []
        for k, token in enumerate(tokens):
            if token.type == "table_open":
                self.tables.append([])
            elif token.type == "tr_open":
                self.tables[-1].append([])
            elif token.type in ("td_open", "th_open"):
                self.tables[-1][-1].append(_plain(tokens[k + 1].content))
        self.lines = [" ".join(_plain(line).split()) for line in source.splitlines()]
        self.text = " ".join(" ".join(self.lines).split())
        self.figures = source.count("<!-- figure") + source.count("![")


def _plain(text: str) -> str:
    """Return Markdown without emphasis marks, backticks and escapes; asterisks between blanks stay."""
    text = re.sub(r"\\(?=[!-/:-@\[-`{-~])", "", text.replace("\\*", "\0"))
    return re.sub(r"\*\*|(?<!\S)\*(?=\S)|(?<=\S)\*|`", "", text).replace("\0", "*")


def holds(condition: str, found: Markdown) -> bool:
    """Return whether one condition holds for a text."""
    kind, _, rest = condition.partition(" ")
    kind, rest = kind.rstrip(":"), rest.strip()
    if kind in ("order", "near"):
        first, second = re.split(r" [<~] ", rest, maxsplit=1)
    checks: dict[str, Callable[[], bool]] = {
        "contains": lambda: rest in found.text,
        "lacks": lambda: rest not in found.text,
        "line": lambda: rest in found.lines,
        "order": lambda: -1 < found.text.find(first) < found.text.find(second),
        "near": lambda: any(first in line and second in line for line in found.lines),
        "table": lambda: any(_has_shape(table, rest) for table in found.tables),
        "row": lambda: [cell.strip() for cell in rest.split("|")] in [row for table in found.tables for row in table],
        "fence": lambda: any(rest.replace("\\n", "\n") in fence for fence in found.fences),
        "figures": lambda: found.figures >= int(rest),
        "nohead": lambda: not any(rest in heading for heading in found.headings),
    }
    return checks[kind]()


def _has_shape(table: list[list[str]], shape: str) -> bool:
    rows, columns = map(int, shape.split("x"))
    return len(table) == rows + 1 and all(len(row) == columns for row in table)


# -- faults: each returns the conditions that do not hold --------------------------------------------------------------

PROSE = (
    "The harbour office keeps a ledger of every vessel that enters the bay",
    "Each entry names the captain, the cargo and the hour of arrival",
    "When the tide is low the pilots wait beyond the second buoy",
    "No ship may leave before the dues of the previous voyage are paid",
    "Copies of the ledger are sent to the capital at the end of the year",
)


def _missing(found: Markdown, *texts: str) -> list[str]:
    return [f"contains: {text}" for text in texts if text not in found.text]


def _all_digits(folder: Path, read: Reading) -> list[str]:
    """Every cell of digits.txt, as often as it is there."""
    wanted = (folder / "digits.txt").read_text(encoding="utf-8").split()
    found = re.findall(r"\S+", re.sub(r"[|]|---|<!--.*?-->", " ", read(folder / "digits.pdf").source))
    left = list(found)
    lost = [cell for cell in wanted if cell not in left or left.remove(cell)]  # type: ignore[func-returns-value]
    return [f"{len(lost)} of {len(wanted)} cells: {', '.join(lost[:8])}"] if lost else []


def _searchable(folder: Path, name: str) -> Path:
    out = Path(tempfile.mkdtemp(prefix="vary-cases-"))
    vary.read_all([folder / name], out, ["pdf"], workers=1)
    return next(out.glob("*.pdf"))


def _turned(folder: Path, _: Reading) -> list[str]:
    """`pdftotext` gives the lines of a page that lies on its side in their order."""
    text = subprocess.run(
        ["pdftotext", _searchable(folder, "turned90.png"), "-"], capture_output=True, check=True
    ).stdout
    places = [" ".join(text.decode().split()).find(line) for line in PROSE]
    return [] if places[0] > -1 and places == sorted(places) else [f"lines at {places}"]


def _paper(folder: Path, _: Reading) -> list[str]:
    import pypdfium2

    pdf = pypdfium2.PdfDocument(_searchable(folder, "a4_300dpi.tif"))
    size = tuple(round(side) for side in pdf[0].get_size())
    pdf.close()
    return [] if size == (595, 842) else [f"the paper measures {size}"]


def _repeats(folder: Path, read: Reading) -> list[str]:
    lines = [line for line in read(folder / "repeats.pdf").lines if line and not line.startswith("<!--")]
    whole = " ".join(lines)
    first = " ".join(whole.split()[:4])
    return [] if whole.count(first) == 45 else [f"{whole.count(first)} of 45 lines"]


def _texts(name: str, *texts: str) -> Callable[[Path, Reading], list[str]]:
    return lambda folder, read: _missing(read(folder / name), *texts)


FAULTS: dict[str, Callable[[Path, Reading], list[str]]] = {
    "form_ap.pdf": _texts("form_ap.pdf", "Morning Heron", "Saltwick Bay", "14.75", "North quay", "[x]"),
    "title72.pdf": _texts("title72.pdf", "Part One"),
    "bigtext.png": _texts("bigtext.png", "Pot: 192,100"),
    "digits.pdf": _all_digits,
    "twelve_bit.tif": _texts("twelve_bit.tif", *PROSE),
    "userunit72.pdf": _texts("userunit72.pdf", *PROSE),
    "userunit10.pdf": _texts("userunit10.pdf", *PROSE),
    "pixelbox600.pdf": _texts("pixelbox600.pdf", *PROSE),
    "turned90.png": _turned,
    "a4_300dpi.tif": _paper,
    "repeats.pdf": _repeats,
}


# -- the run ----------------------------------------------------------------------------------------------------------


def documents(folder: Path, read: Reading) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Yield each document of `documents.tsv` with its check."""
    rows = (folder / "documents.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for name, _, conditions, *_ in (row.split("\t") for row in rows):

        def check(name: str = name, conditions: str = conditions) -> list[str]:
            found = read(folder / name)
            return [condition for condition in conditions.split(" ;; ") if not holds(condition, found)]

        yield name, check


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", help="names of inputs")
    parser.add_argument("--decoder", action="store_true", help="rescore uncertain text with the decoder")
    parser.add_argument("--layer", action="store_true", help="the text layers of PDFs alone, without a model")
    arguments = parser.parse_args()
    reader = vary.load("layer") if arguments.layer else vary.load(decoder=arguments.decoder)

    def read(path: Path) -> Markdown:
        return Markdown(vary.read(path, reader).markdown())

    faults = [(name, lambda fault=fault: fault(arguments.folder, read)) for name, fault in FAULTS.items()]
    cases = [case for case in (*faults, *documents(arguments.folder, read))
             if arguments.only is None or case[0] in arguments.only]  # fmt: skip
    failed = 0
    for name, check in cases:
        try:
            missing = check()
        except Exception as error:  # one input must not end the run
            missing = [f"{type(error).__name__}: {error}".splitlines()[0]]
        failed += bool(missing)
        print(f"{'FAIL' if missing else 'pass'}  {name}" + "".join(f"\n      {one}" for one in missing), flush=True)
    print(f"{len(cases) - failed} of {len(cases)} pass")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
