"""Access rows of a file by number: JSON, JSONL, Parquet, or a folder of images with text files.

`load_rows` chooses the reader by the file suffix. JSON is read completely. For JSONL only the line offsets are kept.
For Parquet the last row group stays in memory, so sequential reading decodes each group once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...io.errors import InputError, MissingExtra

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def load_rows(path: Path) -> Sequence[Any]:
    """Open the rows of a file or folder. The rows of a JSON object are its list `data` (DocVQA).

    Raises ValueError for a missing file, an unknown suffix (pickles are refused), or content not in the format.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        parts = sorted(path.rglob("*.parquet"))
        return Parquet(parts) if parts else Pairs(path)
    ending = path.suffix.lower()
    if ending in (".p", ".pkl", ".pickle"):
        raise InputError(f"{path}: a pickle runs code when it is read and is refused; write it as JSON first")
    if ending == ".json":
        whole = _json(path)
        rows = whole.get("data") if isinstance(whole, dict) else whole
        if not isinstance(rows, list):
            raise InputError(f"{path}: expected a list of records, or an object with the list 'data'")
        return rows
    if ending not in (".jsonl", ".ndjson", ".parquet"):
        raise InputError(f"{path}: allowed are .json, .jsonl, .ndjson, .parquet and folders")
    return Parquet([path]) if ending == ".parquet" else JsonLines(path)


def load_json_object(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Read a JSON object that must have these keys (COCO's form). Raises ValueError otherwise."""
    whole = _json(path)
    missing = [k for k in keys if not isinstance(whole, dict) or not isinstance(whole.get(k), list)]
    if missing:
        raise InputError(f"{path}: no list {missing[0]!r}; expected an object with {', '.join(keys)}")
    return whole


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None


class JsonLines(Sequence[Any]):
    """Rows of a JSONL file; empty lines do not count."""

    def __init__(self, path: Path):
        self.path = path
        places, at = [], 0
        with path.open("rb") as lines:
            for line in lines:
                if line.strip():
                    places.append(at)
                at += len(line)
        self.places = np.array(places, np.int64)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: Any) -> Any:
        with self.path.open("rb") as lines:
            lines.seek(int(self.places[i]))
            try:
                return json.loads(lines.readline())
            except (ValueError, RecursionError) as error:
                raise InputError(f"not JSON: {error}") from None


class Parquet(Sequence[Any]):
    """Rows of Parquet files, concatenated. Needs the package pyarrow."""

    def __init__(self, paths: list[Path]):
        try:
            from pyarrow import ArrowException, parquet
        except ImportError:
            raise MissingExtra(f"{paths[0]}: reading Parquet", "pyarrow", "render") from None
        self.parquet = parquet
        self.groups: list[tuple[Path, int]] = []
        ends = [0]
        for path in paths:
            try:
                about = parquet.read_metadata(path)
            except (ArrowException, OSError) as error:
                raise InputError(f"{path}: not Parquet: {str(error).splitlines()[0]}") from None
            self.groups += [(path, g) for g in range(about.num_row_groups)]
            ends += [about.row_group(g).num_rows for g in range(about.num_row_groups)]
        self.ends = np.cumsum(ends)
        self._last: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, i: Any) -> Any:
        which = int(np.searchsorted(self.ends, i, side="right")) - 1
        if self._last[0] != which:
            path, group = self.groups[which]
            self._last = which, self.parquet.ParquetFile(path).read_row_group(group)
        return self._last[1].slice(i - int(self.ends[which]), 1).to_pylist()[0]


class Pairs(Sequence[Any]):
    """Images in a folder and its subfolders, with .txt files of the same name: rows of `image` and `caption`.

    An image without text, or text without an image, is a row without that key.
    """

    def __init__(self, folder: Path):
        files = [p for p in folder.rglob("*") if p.suffix.lower() in (*PICTURES, ".txt")]
        named: dict[Path, dict[str, Path]] = {}
        for path in sorted(files):
            named.setdefault(path.with_suffix(""), {})["caption" if path.suffix == ".txt" else "image"] = path
        if not named:
            raise InputError(f"{folder}: no pictures, and no Parquet files")
        self.named = list(named.values())

    def __len__(self) -> int:
        return len(self.named)

    def __getitem__(self, i: Any) -> Any:
        row = {key: str(path) for key, path in self.named[i].items()}
        if "caption" in row:
            row["caption"] = self.named[i]["caption"].read_text(encoding="utf-8")
        return row
