"""Ledger of a run: `run.jsonl`, one line per page that is done and per document that was written.

A page counts as done only when its line is in the ledger. Every line is synced to disk before the run goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

Key = tuple[str, int, str]  # SHA-256 of the file, page, settings


@dataclass(frozen=True)
class LedgerEntry:
    """One page that is done, or one file that could not be opened (then `sha256` and `page` are None).

    settings: digest of everything but the pixels that the page's text depends on. bytes: size of the page's
    stored JSON. doubt: a warning, as `Page.doubt`.
    """

    file: str
    sha256: str | None
    page: int | None
    settings: str
    status: str
    error: str | None = None
    seconds: float = 0.0
    characters: int = 0
    attempts: int = 0
    doubt: str | None = None
    model: str = ""
    bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the line's JSON."""
        return asdict(self)


@dataclass(frozen=True)
class WrittenEntry:
    """One document whose files were written.

    name: of its files, relative to the output folder. state: digest of its pages and settings. written: the forms.
    """

    name: str
    file: str
    state: str
    written: tuple[str, ...]


class Ledger:
    """Read and extend the `run.jsonl` of a folder. A line that a crash cut short is ignored."""

    def __init__(self, folder: Path):
        self.path = folder / "run.jsonl"
        self.pages: dict[Key, LedgerEntry] = {}
        self.written: dict[str, WrittenEntry] = {}  # by the document's name
        self.file: BinaryIO = self.path.open("a+b")
        self.file.seek(0)
        last = b"\n"
        for last in self.file:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._remember(_parse(json.loads(last)))
        if not last.endswith(b"\n"):
            self.file.write(b"\n")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, entry: LedgerEntry | WrittenEntry) -> None:
        """Add a line and sync it to disk.

        Bytes of file names that are not UTF-8 become JSON escapes, so that the line is valid and can be read back.
        """
        line = json.dumps(asdict(entry), ensure_ascii=False)
        self.file.write(line.encode("utf-8", "backslashreplace") + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self._remember(entry)

    def _remember(self, entry: LedgerEntry | WrittenEntry) -> None:
        if isinstance(entry, WrittenEntry):
            self.written[entry.name] = entry
        elif entry.page is not None and entry.sha256 is not None:
            self.pages[entry.sha256, entry.page, entry.settings] = entry


def _parse(line: dict[str, Any]) -> LedgerEntry | WrittenEntry:
    """Parse a line. Raises TypeError for fields that are missing or unknown."""
    if "written" in line:
        return WrittenEntry(**line | {"written": tuple(line["written"])})
    return LedgerEntry(**line)
