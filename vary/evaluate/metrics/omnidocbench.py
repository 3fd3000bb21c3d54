"""Score a page's Markdown against OmniDocBench's blocks: text, formulas, tables and reading order.

Source: OmniDocBench, arXiv 2412.07626, and its published scorer. As there, letters and digits alone count in text,
captions, headers and footers are matched and then left out, text and order are normalised edit distances, tables TEDS.
Not as there: blocks are matched one to one (`match_blocks`), where "quick match" joins and splits paragraphs, and
formulas get `formulas.formula_match` in place of CDM. So the values are near the published ones and not the same;
`vary eval` also writes the files that the published scorer takes.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from .base import Scores
from .formulas import formula_distance, formula_match
from .olmocr_bench import PIPES, TABLE, TABLE_END, cut_out, grids
from .teds import table_score
from .text import cheapest_pairs, edit_distance

TEXTS = ("title", "text_block", "code_txt", "reference")
LEFT_OUT = (
    "figure_caption", "figure_footnote", "table_caption", "table_footnote", "code_algorithm", "code_txt_caption",
    "code_algorithm_caption", "header", "footer", "page_footnote", "page_number", "equation_caption",
)  # fmt: skip
_TABULAR = re.compile(r"\\begin\{tabular\}.*?\\end\{tabular\}", re.S)
_FORMULA = re.compile(r"\\\[(.+?)\\\]|\$\$(.+?)\$\$|\\begin\{(equation|align|gather)\*?\}(.+?)\\end\{\3\*?\}", re.S)


def split(markdown: str) -> tuple[list[str], list[str], list[str]]:
    """Split a Markdown text into paragraphs, display formulas and tables. Tables are HTML, LaTeX or pipes."""
    tables, markdown = split_tables(markdown)
    matches, markdown = cut_out(_FORMULA, markdown, "\n\n", r"\\\]|\$\$|\\end\{\w+\*?\}")
    formulas = [next(filter(None, (m[1], m[2], m[4]))).strip() for m in matches]
    paragraphs = re.split(r"\n\s*\n", markdown)
    return [p for p in paragraphs if plain(p)], formulas, [table_to_html(table) for table in tables]


def split_tables(markdown: str) -> tuple[list[str], str]:
    """Cut the tables out of a Markdown text: HTML, LaTeX or pipes. Return them and the rest."""
    tables: list[str] = []
    for pattern, end in ((TABLE, TABLE_END), (_TABULAR, r"\\end\{tabular\}"), (PIPES, r"\Z")):
        matches, markdown = cut_out(pattern, markdown, "\n\n", end)
        tables += [match.group() for match in matches]
    return tables, markdown


def table_to_html(table: str) -> str:
    """Convert a table of pipes to HTML. Other tables stay as they are."""
    if table.lstrip().startswith(("<", "\\")):
        return table
    rows = ("".join(f"<td>{cell}</td>" for cell in row) for row in grids(table)[0])
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def plain(text: str) -> str:
    """Keep only letters and digits, as OmniDocBench's scorer does."""
    return re.sub(r"[\W_]", "", text)


def block_scores(markdown: str, truth: list[dict[str, Any]]) -> Scores:
    """Score a page: text, order, formula, table_distance (0 is right); formula_match, teds, teds_s (1 is right).

    truth: blocks with `kind`, `order`, and `text`, `latex` or `html`. A score is None if a page has no such block.
    """
    paragraphs, formulas, tables = split(markdown)
    ordered = sorted(truth, key=lambda b: (b["order"] is None, b["order"] or 0))
    wanted = [b for b in ordered if b.get("text") and b["kind"] in (*TEXTS, *LEFT_OUT) and plain(b["text"])]
    scores: Scores = dict(_text_scores([plain(p) for p in paragraphs], wanted))
    true_formulas = [
        b["latex"].strip().strip("$").strip() for b in ordered if b["kind"] == "equation_isolated" and b.get("latex")
    ]
    pairs = _pair(formulas, true_formulas)
    scores["formula"] = _mean([formula_distance(a, b) if a is not None else 1.0 for a, b in pairs])
    scores["formula_match"] = _mean([formula_match(a, b).f1 if a is not None else 0.0 for a, b in pairs])
    pairs = _pair(tables, [b["html"] for b in ordered if b["kind"] == "table" and b.get("html")])
    scores["table_distance"] = _mean([edit_distance(a, b) if a is not None else 1.0 for a, b in pairs])
    for name, structure in (("teds", False), ("teds_s", True)):
        scores[name] = _mean([table_score(a or "", b, structure) for a, b in pairs])
    return scores


def _text_scores(found: list[str], blocks: list[dict[str, Any]]) -> Scores:
    """Return the edits of all text blocks over their lengths, and the order distance of the blocks found."""
    wanted = [plain(b["text"]) for b in blocks]
    counted = {k for k, b in enumerate(blocks) if b["kind"] in TEXTS}
    pairs = match_blocks(found, wanted)
    matched, seen = dict(pairs), {j for _, j in pairs}
    sides = [(found[i], wanted[j]) for i, j in pairs if j in counted]
    sides += [(text, "") for i, text in enumerate(found) if i not in matched]
    sides += [("", wanted[j]) for j in counted - seen]
    if not counted:
        return {"text": None, "order": None}
    edits, length = (sum(f(*pair) for pair in sides) for f in (Levenshtein.distance, lambda a, b: max(len(a), len(b))))
    order = [j for j in range(len(blocks)) if j in counted]
    return {"text": edits / length, "order": order_distance([j for _, j in pairs if j in counted], order)}


def _pair(found: list[str], wanted: list[str]) -> list[tuple[str | None, str]]:
    """Pair each true block with the one found for it, or None."""
    at = {j: found[i] for i, j in match_blocks(found, wanted, worst=1.0)}
    return [(at.get(j), thing) for j, thing in enumerate(wanted)]


def overall(means: dict[str, float]) -> dict[str, float]:
    """Compute the benchmark's totals: v1.0 averages four distances, v1.5 text, tables and formulas."""
    distances = ("text", "formula", "table_distance", "order")
    return {
        "overall_v1.0": statistics.fmean(means[name] for name in distances),
        "overall_v1.5": (1 - means["text"] + means["teds"] + means["formula_match"]) / 3,
    }


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None


def order_distance(predicted: Sequence[Hashable], truth: Sequence[Hashable]) -> float:
    """Return the edits between two orders of the same blocks over the longer one, 0 to 1.

    predicted: those of the truth's blocks that were found, in the order in which they were read. truth: all of them.
    """
    return Levenshtein.normalized_distance(predicted, truth)


def match_blocks(predicted: Sequence[str], truth: Sequence[str], worst: float = 0.7) -> list[tuple[int, int]]:
    """Match texts one to one with the least total edit distance. Return pairs (place in predicted, place in truth).

    Pairs with a normalised distance above `worst` do not count. OmniDocBench's "quick match" also joins and splits
    blocks, so its scores are milder for a reader that splits paragraphs in other places.
    """
    if not predicted or not truth:
        return []
    costs = cdist(predicted, truth, scorer=Levenshtein.normalized_distance, dtype=np.float64)
    return [(i, j) for i, j in cheapest_pairs(costs) if costs[i, j] <= worst]
