"""Run olmOCR-bench's tests of a page: each passes or fails on the text of an answer.

Source: the set's published scorer (olmOCR, arXiv 2502.18443; bench/tests.py, Apache-2.0), written anew from what it
does. The same here: `present`, `absent`, `order`, `baseline` without its list of alphabets per language, and the
relations of `table`. Not the same: formulas are compared as canonical LaTeX (`markup.math`) where the scorer renders
both with KaTeX and compares the pictures, so `math` is stricter here. `format` and `footnote` tests are not of the
published set and are refused by name.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
from rapidfuzz import fuzz

from ...io.errors import ConfigError
from ...markup.math import normalise as canonical
from .base import WEIGHT, Scores

_ALIKE = str.maketrans("‘’‚“”„＿–—‑‒−µ", "'''\"\"\"_-----μ")
TABLE = re.compile(r"<table\b.*?</table>", re.S | re.I)
TABLE_END = "</table>"
PIPES = re.compile(r"(?:^[^\n|]*\|[^\n]*(?:\n|\Z)){2,}", re.M)
_MATHS = [
    (re.compile(f"{a}(.+?){b}", re.S), b)
    for a, b in ((r"\\\(", r"\\\)"), (r"\\\[", r"\\\]"), (r"\$\$",) * 2, (r"\$",) * 2)
]
_FOREIGN = re.compile("[\u3040-\u30ff\u4e00-\u9fff\U0001f1e6-\U0001f1ff\U0001f300-\U0001f64f\U0001f680-\U0001f6ff]")
MAX_REPEATS = 30
Grid = list[list[str]]


def passes(test: dict[str, Any], text: str) -> bool:
    """Return whether a page's text passes a test of the set. Raises ValueError for a type that is not known."""
    if test["type"] not in CHECKS:
        raise ConfigError(f"{test.get('pdf')}: unknown type of test {test['type']!r}; allowed: {', '.join(CHECKS)}")
    return CHECKS[test["type"]](test, text)


def cut_out(pattern: re.Pattern[str], text: str, gap: str, end: str) -> tuple[list[re.Match[str]], str]:
    """Cut the matches of a pattern that ends in `end` out of a text. Return them, and the text with a gap for each.

    Text after the last `end` is not searched: in a runaway answer, searching from every opening takes minutes.
    """
    last = max((match.end() for match in re.finditer(end, text, re.I)), default=0)
    return list(pattern.finditer(text, 0, last)), pattern.sub(gap, text[:last]) + text[last:]


def plain(text: str) -> str:
    """Remove emphasis, collapse white space, apply NFC, and write quotes and dashes in ASCII."""
    text = re.sub(r"</?[bi]>", "", re.sub(r"<br/?>", " ", text))
    for pattern in (r"\*\*(.*?)\*\*", r"__(.*?)__", r"\*(.*?)\*", r"_(.*?)_"):
        text = re.sub(pattern, r"\1", text)
    return unicodedata.normalize("NFC", re.sub(r"\s+", " ", text)).translate(_ALIKE)


def _is_there(test: dict[str, Any], text: str) -> bool:
    wanted, found = plain(test["text"]), plain(text)
    if not test.get("case_sensitive", True):
        wanted, found = wanted.lower(), found.lower()
    first, last = test.get("first_n"), test.get("last_n")
    if first or last:
        found = (found[:first] if first else "") + (found[-last:] if last else "")
    slips = test.get("max_diffs") or 0
    if len(found) < len(wanted) - slips:
        return False  # `partial_ratio` would look for the text in the query
    return fuzz.partial_ratio(wanted, found) / 100 >= 1 - slips / max(1, len(wanted))


def _in_order(test: dict[str, Any], text: str) -> bool:
    """Return whether the first place of `before` comes before the last place of `after`."""
    found, slips = plain(text), test.get("max_diffs") or 0
    before, after = (near_starts(plain(test[key]), found, slips) for key in ("before", "after"))
    return bool(len(before) and len(after) and before[0] < after[-1])


def near_starts(pattern: str, text: str, slips: int) -> np.ndarray:
    """Return the places in a text where a substring within `slips` edits of the pattern begins (Sellers 1980)."""
    marks = np.array([ord(ch) for ch in reversed(text)], np.int64)
    place = np.arange(len(marks) + 1)
    row = np.zeros(len(marks) + 1, np.int64)  # least edits of the pattern's end against what ends at each place
    for k, ch in enumerate(reversed(pattern), 1):
        step = np.concatenate([[k], np.minimum(row[:-1] + (marks != ord(ch)), row[1:] + 1)])
        row = np.minimum.accumulate(step - place) + place
    return np.sort(len(marks) - np.flatnonzero(row <= slips))


def _baseline(test: dict[str, Any], text: str) -> bool:
    """Return whether a text has letters, no loop at its end and no foreign script. `max_length`: of a blank page."""
    letters = sum(ch.isalnum() for ch in text)
    if test.get("max_length") is not None:
        return letters <= test["max_length"]
    if not letters or (test.get("check_disallowed_characters", True) and _FOREIGN.search(text)):
        return False
    return all(_repeats(text, n) <= test.get("max_repeats", MAX_REPEATS) for n in range(1, 6))


def _repeats(text: str, n: int) -> int:
    """Count how often the last n characters repeat at the end."""
    last, count = text[-n:], 0
    while last and text.endswith(last):
        text, count = text[:-n], count + 1
    return count


def _math(test: dict[str, Any], text: str) -> bool:
    found: list[str] = []
    for pattern, end in _MATHS:
        matches, text = cut_out(pattern, text, "", end)
        found += [match[1].strip() for match in matches]
    wanted = test["math"].strip()
    return wanted in found or _canonical(wanted) in map(_canonical, found)


def _canonical(latex: str) -> str:
    try:
        return canonical(latex)
    except ValueError:  # outside the subset: compared without its blanks
        return re.sub(r"\s+", "", latex)


def _table(test: dict[str, Any], text: str) -> bool:
    return any(_cell_fits(test, grid) for grid in grids(text, test.get("ignore_markdown_tables", False)))


def _cell_fits(test: dict[str, Any], grid: Grid) -> bool:
    """Return whether a cell with the wanted text has the wanted neighbours. Headings: any cell above or left."""
    slips = test.get("max_diffs") or 0

    def like(wanted: str, cell: str) -> bool:
        return fuzz.ratio(plain(wanted), plain(cell)) / 100 >= max(0.5, 1 - slips / max(1, len(plain(wanted))))

    for r, c in ((r, c) for r, row in enumerate(grid) for c, cell in enumerate(row) if like(test["cell"], cell)):
        above, left = [row[c] for row in grid[:r] if c < len(row)], grid[r][:c]
        near = {
            "up": above[-1:], "down": [row[c] for row in grid[r + 1 : r + 2] if c < len(row)], "left": left[-1:],
            "right": grid[r][c + 1 : c + 2], "top_heading": above, "left_heading": left,
        }  # fmt: skip
        if all(any(like(test[key], cell) for cell in cells) for key, cells in near.items() if test.get(key)):
            return True
    return False


def grids(text: str, html_only: bool = False) -> list[Grid]:
    """Return the cells of all tables of a text, HTML or pipes. Merged cells are repeated. End tags may be missing."""
    found = []
    tables, rest = cut_out(TABLE, text, "", TABLE_END)
    for match in tables:
        reader = _Cells()
        reader.feed(match.group())
        found.append(reader.grid())
    if not html_only:
        for block in PIPES.findall(rest):
            rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in block.strip().splitlines()]
            cut = [[cell.strip() for cell in row] for row in rows]
            found.append([row for row in cut if not all(set(cell) <= set(":-") for cell in row)])
    return found


class _Cells(HTMLParser):
    """Collect the cells of a table with their spans, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[tuple[list[str], int, int]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr" or (tag in ("td", "th") and not self.rows):
            self.rows.append([])
        if tag in ("td", "th"):
            given = dict(attrs)
            high, wide = (int(v) if (v := given.get(k) or "1").isdecimal() else 1 for k in ("rowspan", "colspan"))
            self.rows[-1].append(([], min(1000, max(1, high)), min(1000, max(1, wide))))
        elif tag == "br":
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1][0].append(data)

    def grid(self) -> Grid:
        """Return texts by row and column."""
        cells: dict[tuple[int, int], str] = {}
        for r, row in enumerate(self.rows):
            c = 0
            for text, high, wide in row:
                while (r, c) in cells:
                    c += 1
                places = ((y, x) for y in range(r, min(r + high, len(self.rows))) for x in range(c, c + wide))
                cells.update(dict.fromkeys(places, "".join(text).strip()))
        width = max((c for _, c in cells), default=-1) + 1
        return [[cells.get((r, c), "") for c in range(width)] for r in range(len(self.rows))]


CHECKS: dict[str, Callable[[dict[str, Any], str], bool]] = {
    "present": _is_there,
    "absent": lambda test, text: not _is_there(test, text),
    "order": _in_order,
    "table": _table,
    "math": _math,
    "baseline": _baseline,
}


def unit_test_scores(answer: str, truth: list[dict[str, Any]]) -> Scores:
    """Return the share of a page's tests that pass. The weight is their number."""
    return {"passed": statistics.fmean(passes(test, answer) for test in truth), WEIGHT: float(len(truth))}
