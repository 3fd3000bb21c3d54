"""Read real tables from installable data sets (CSV, TSV and JSON records) as `RawTable`s."""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ...io.errors import InputError

MAX_CELL = 60  # longest cell in characters; columns with longer cells are dropped
_NUMBER = re.compile(r"[-−+]?(?:\d[\d,]*)?\.?\d+(?:[eE][-+]?\d+)?%?")

_NONE = frozenset({"", "NA", "NaN", "nan", "N/A", "-", "–", "—"})


class RawTable(NamedTuple):
    """A table as plain texts. Every row has as many cells as the header."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Tables:
    """The tables of a folder. dropped: reason -> how many files were dropped for it."""

    tables: list[RawTable] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def tables_from(folder: str | Path, max_rows: int = 1000) -> Tables:
    """Read the .csv, .tsv and .json files (also .gz) below a folder, in the order of their paths.

    Args:
        folder: folder to search.
        max_rows: rows read of each file.

    Raises:
        InputError: the folder has no such file.
    """
    found, files = Tables(), 0
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file() and not p.is_symlink()):
        suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if suffix not in (".csv", ".tsv", ".json"):
            continue
        files += 1
        if "tests" in path.relative_to(folder).parts:
            found.dropped["a test's fixture"] += 1
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        try:
            text = data.decode("utf-8-sig")
            records = _json(text, max_rows) if suffix == ".json" else _csv(text, suffix, max_rows)
            found.tables.append(_table(_title(path), records))
        except UnicodeDecodeError:
            found.dropped["not UTF-8"] += 1
        except ValueError as error:
            found.dropped[str(error)] += 1
    if not files:
        raise InputError(f"{folder}: no .csv, .tsv or .json files")
    return found


def _csv(text: str, suffix: str, max_rows: int) -> list[list[str]]:
    head = text[:4096].splitlines()[0] if text.strip() else ""
    delimiter = "\t" if suffix == ".tsv" else max(",;\t", key=head.count)
    records = []
    for row in csv.reader(text.splitlines(), delimiter=delimiter):
        records += [[" ".join(cell.split()).strip("'\"") for cell in row]] if any(cell.strip() for cell in row) else []
        if len(records) > max_rows:
            break
    return records


def _json(text: str, max_rows: int) -> list[list[str]]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("not JSON") from None
    if not isinstance(data, list) or not data or not all(isinstance(row, dict) for row in data):
        raise InputError("not a list of records")
    names = list(data[0])
    rows = [[_write(row.get(name)) for name in names] for row in data[:max_rows]]
    return [names, *rows]


def _write(value: Any) -> str:
    if isinstance(value, (dict, list)):
        raise InputError("records inside records")
    return "" if value is None else " ".join(str(value).split())


def _table(title: str, records: list[list[str]]) -> RawTable:
    if len(records) < 3:
        raise InputError("fewer than two rows")
    header, rows = records[0], records[1:]
    if any(len(row) != len(header) for row in rows):
        raise InputError("rows of different lengths")
    if all(is_number(name) for name in header):
        raise InputError("no header")
    kept = [c for c, name in enumerate(header) if name and not name.startswith("Unnamed")]  # those are row numbers
    table = RawTable(title, [header[c] for c in kept], [[row[c] for c in kept] for row in rows])
    short = [c for c in range(len(kept)) if max(map(len, column_of(table, c))) <= MAX_CELL]
    if len(short) < 2:
        raise InputError(f"no two columns of at most {MAX_CELL} characters a cell")
    return table


def _title(path: Path) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|[-_.]+", " ", path.name.split(".")[0]).strip()
    return name[:1].upper() + name[1:]


def column_of(table: RawTable, column: int) -> list[str]:
    """Return the name and the values of a column."""
    return [table.header[column], *(row[column] for row in table.rows)]


def is_number(text: str) -> bool:
    """Return whether a cell holds a number or a mark for a missing one."""
    return text in _NONE or _NUMBER.fullmatch(text) is not None


def value_of(text: str) -> float:
    """Return the number in a cell, or minus infinity if there is none."""
    found = _NUMBER.fullmatch(text)
    return float(text.replace(",", "").replace("−", "-").rstrip("%")) if found else -math.inf


def round_column(values: list[str]) -> list[str]:
    """Round a column with more than four decimals to the fewest decimals (up to four) that keep its values distinct."""
    plain = re.compile(r"-?\d*\.\d+(?:[eE][-+]?\d+)?")
    if not any(len(v.partition(".")[2]) > 4 for v in values if plain.fullmatch(v)):
        return values
    if not all(plain.fullmatch(v) or is_number(v) for v in values):
        return values
    for decimals in (1, 2, 3, 4):
        rounded = [f"{float(v):.{decimals}f}" if plain.fullmatch(v) else v for v in values]
        if len(set(rounded)) == len(set(values)):
            break
    return rounded


def wrap_cell(text: str, width: int) -> str:
    """Break a text into lines of about `width` characters, at spaces, or anywhere in Chinese."""
    if len(text) <= width:
        return text
    lines = [""]
    for piece in re.findall(r"[^\x00-\u2e7f]|[\x00-\u2e7f]+?(?:\s+|$|(?=[^\x00-\u2e7f]))", text):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.strip() for line in lines if line.strip())
