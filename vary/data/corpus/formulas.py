"""Collect real formulas from documentation in HTML, TeX and reStructuredText (`formulas_from`).

`real_formulas` gives those of installable packages, in parts for training and for measuring.
"""

from __future__ import annotations

import gzip
import html
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...io.errors import InputError
from ...markup.math import normalise, write_typst
from ...markup.math_nodes import LatexError
from ...markup.math_parser import parse
from .download import cache_dir, fetch

_HTML = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)
_TEX = re.compile(
    r"(?<!\\)\\\[(.+?)\\\]|(?<!\\)\\\((.+?)\\\)|\$\$(.+?)\$\$|(?<![\\$])\$([^$]+?)\$"
    r"|(\\begin\{((?:equation|align|gather|eqnarray)\*?)\}.+?\\end\{\6\})",
    re.S,
)
_RST = re.compile(r":math:`([^`]+)`|^( *)\.\. math::[^\n]*\n((?:\2 +[^\n]*\n|\s*\n)+)", re.M)
_READERS = {".html": _HTML, ".htm": _HTML, ".tex": _TEX, ".ltx": _TEX, ".rst": _RST}


@dataclass
class Formulas:
    """Real formulas: canonical LaTeX, each once. dropped: reason -> how many formulas were dropped for it."""

    latex: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def formulas_from(folder: str | Path, max_chars: int = 400) -> Formulas:
    """Collect the formulas of the HTML, TeX and reStructuredText files (also .gz) below a folder, in the order of their
    paths.

    A single letter or number is not a formula.

    Args:
        folder: folder to search.
        max_chars: longest formula.

    Raises:
        InputError: the folder has none of these files.
    """
    found, files = Formulas(), 0
    seen: set[str] = set()
    kept: set[str] = set()
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file() and not p.is_symlink()):
        suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if suffix not in _READERS:
            continue
        files += 1
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for raw in _raw_formulas(data.decode("utf-8", "ignore"), suffix):
            if raw in seen:
                continue
            seen.add(raw)
            reason, latex = _accept(raw, max_chars)
            if reason:
                found.dropped[reason] += 1
            elif latex not in kept:
                kept.add(latex)
                found.latex.append(latex)
    if not files:
        raise InputError(f"{folder}: no {', '.join(_READERS)} files")
    return found


def _raw_formulas(text: str, suffix: str) -> Iterator[str]:
    if suffix in (".tex", ".ltx"):
        text = re.sub(r"(?<!\\)%.*", "", text)
    for match in _READERS[suffix].finditer(text):
        groups = [g for g in match.groups() if g]
        raw = groups[-1] if suffix == ".rst" else groups[0]
        yield " ".join((html.unescape(raw) if suffix.startswith(".htm") else raw).split())


def _accept(raw: str, max_chars: int) -> tuple[str, str]:
    """Return why a formula is dropped, or "" and its canonical form."""
    if len(raw) > max_chars:
        return f"longer than {max_chars} characters", ""
    try:
        tree = parse(raw)
        write_typst(tree)
        latex = normalise(raw)
    except LatexError as error:
        return re.sub(r"(?<= of ').*", "...", str(error)), ""
    if len(tree) == 1 and tree[0].kind in ("symbol", "number", "text"):
        return "a lone symbol", ""
    return "", latex


HELD_OUT_PACKAGES = ("deb:python-statsmodels-doc",)  # whole documents: none of their formulas is trained on
_EDITION = 1  # counts when canonical LaTeX changes, so that cached formulas are written anew


def real_formulas(part: str, packages: Sequence[str]) -> list[str]:
    """Return the canonical LaTeX of all formulas of some packages, each once, in the order of the packages.

    The packages are read once; their formulas are kept as JSON in the cache.

    Args:
        part: "train", or "test" for the packages in `HELD_OUT_PACKAGES`. No formula of "test" is in "train".
        packages: names that `fetch` takes.

    Raises:
        InputError: there is no such part.
    """
    if part not in ("train", "test"):
        raise InputError(f"formulas have the parts 'train' and 'test', not {part!r}")
    held_out = dict.fromkeys(f for name in packages if name in HELD_OUT_PACKAGES for f in _of_package(name))
    if part == "test":
        return list(held_out)
    found = dict.fromkeys(f for name in packages if name not in HELD_OUT_PACKAGES for f in _of_package(name))
    return [f for f in found if f not in held_out]


def _of_package(name: str) -> list[str]:
    file = cache_dir() / f"formulas-{_EDITION}-{name.replace(':', '-')}.json"
    if not file.exists():
        latex = formulas_from(fetch(name)).latex
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(latex), encoding="utf-8")
        part.replace(file)
    return [str(f) for f in json.loads(file.read_text(encoding="utf-8"))]
