"""Collect real formulas from documentation in HTML, TeX and reStructuredText (`formulas_from`)."""

from __future__ import annotations

import gzip
import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...io.errors import InputError
from ...markup.math import normalise, write_typst
from ...markup.math_nodes import LatexError
from ...markup.math_parser import parse

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
