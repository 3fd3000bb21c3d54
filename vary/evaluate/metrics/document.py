"""Score a document's Markdown against the blocks of its source: text, reading order, tables and headings.

Blocks are matched one to one by their text. Markdown marks, white space and look-alike characters do not count;
punctuation, case and digits do.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from typing import Any

from rapidfuzz.distance import Levenshtein

from .base import Scores
from .olmocr_bench import grids
from .omnidocbench import match_blocks, order_distance, split_tables, table_to_html
from .teds import table_score
from .text import Match, normalise

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_ITEM = re.compile(r"(?:[-*+•·‣◦▪]|\d{1,3}[.)])\s+")
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_FENCE = re.compile(r"^(?:```|~~~)[^\n]*$", re.M)
_IMAGE, _LINK = re.compile(r"!\[[^\]\[]*\]\([^()]*\)"), re.compile(r"\[([^\]\[]*)\]\([^()]*\)")
_MARKS = re.compile(r"\*\*|__|(?<![\w\\])[*_](?=\S)|(?<=\S)(?<!\\)[*_](?!\w)|`|\\(?=[^\w\s])|</?(?:b|i|sup|sub|u)>")
HEADING_DISTANCE = 0.2  # normalised edits by which a heading may differ from its truth


def document_scores(markdown: str, truth: list[dict[str, Any]]) -> Scores:
    """Compare Markdown with true blocks.

    Scores:
        text: Edits of all text blocks over their length; 0 is right.
        words: F1 of all words of the page as a multiset. It does not depend on blocks or order.
        order: Edits between the order of the blocks found and the true order; 0 is right.
        headings: F1 of headings, whatever their level. Small edits are allowed.
        teds, teds_s: TEDS of tables with and without the text of cells; 1 is right.
        cell_f1: F1 of the texts of all cells of a table, as a multiset.

    Args:
        markdown: The answer. Tables may be pipes or HTML.
        truth: Blocks in reading order: `kind` (heading, text, list, table) and `text`, or `html` of a table.
    """
    tables, rest = split_tables(_COMMENT.sub("", markdown))
    found = _blocks(rest)
    wanted = [(block["kind"], _plain(block["text"])) for block in truth if block["kind"] != "table"]
    true_tables = [block["html"] for block in truth if block["kind"] == "table"]
    scores: Scores = dict(_text_scores([text for _, text in found], [text for _, text in wanted]))
    words = [Counter(" ".join(side).split()) for side in (_all_text(found, tables), _all_text(wanted, true_tables))]
    scores["words"] = Match.of((words[0] & words[1]).total(), words[0].total(), words[1].total()).f1
    headings = [[text for kind, text in side if kind == "heading"] for side in (found, wanted)]
    pairs = match_blocks(headings[0], headings[1], worst=HEADING_DISTANCE)
    scores["headings"] = Match.of(len(pairs), *map(len, headings)).f1 if headings[1] else None
    return scores | _table_scores(tables, true_tables)


def _all_text(blocks: list[tuple[str, str]], tables: list[str]) -> list[str]:
    """Return the text of blocks and of the cells of tables."""
    return [*(text for _, text in blocks), *(text for table in tables for text in _cells(table_to_html(table)))]


def _blocks(markdown: str) -> list[tuple[str, str]]:
    """Split Markdown without tables into (kind, text): headings, list items and paragraphs."""
    blocks: list[tuple[str, list[str]]] = []
    fresh = True
    for line in _FENCE.sub("", _IMAGE.sub("", markdown)).splitlines():
        text = line.strip()
        if not text or set(text) <= set("-=*_ ") or (heading := _HEADING.match(text)):
            fresh = True
            if text and _HEADING.match(text) and heading:
                blocks.append(("heading", [heading[2]]))
            continue
        item = _ITEM.match(text)
        if fresh or item:
            blocks.append(("list" if item else "text", []))
        blocks[-1][1].append(text[item.end() :] if item else text)
        fresh = False
    plain = [(kind, _plain("\n".join(lines))) for kind, lines in blocks]
    return [(kind, text) for kind, text in plain if text]


def _plain(text: str) -> str:
    """Remove Markdown marks, join hyphens at line ends, and normalise."""
    return normalise(re.sub(r"(?<=\w)-\s*\n\s*(?=[a-z])", "", _MARKS.sub("", _LINK.sub(r"\1", text))))


def _text_scores(found: list[str], wanted: list[str]) -> Scores:
    if not wanted:
        return {"text": None, "order": None}
    pairs = match_blocks(found, wanted)
    seen = [{i for i, _ in pairs}, {j for _, j in pairs}]
    sides = [(found[i], wanted[j]) for i, j in pairs]
    sides += [(text, "") for i, text in enumerate(found) if i not in seen[0]]
    sides += [("", text) for j, text in enumerate(wanted) if j not in seen[1]]
    length = sum(max(map(len, side)) for side in sides)
    edits = sum(Levenshtein.distance(*side) for side in sides)
    return {"text": edits / max(1, length), "order": order_distance([j for _, j in pairs], range(len(wanted)))}


def _table_scores(tables: list[str], wanted: list[str]) -> Scores:
    """Pair each true table with the table found whose cells' texts are nearest, and score the pairs."""
    if not wanted:
        return {"teds": None, "teds_s": None, "cell_f1": None}
    found = [table_to_html(table) for table in tables]
    texts = [[" ".join(_cells(table)) for table in side] for side in (found, wanted)]
    at = {j: found[i] for i, j in match_blocks(texts[0], texts[1], worst=1.0)}
    pairs = [(at.get(j, ""), table) for j, table in enumerate(wanted)]
    return {
        "teds": statistics.fmean(table_score(a, b, False) for a, b in pairs),
        "teds_s": statistics.fmean(table_score(a, b, True) for a, b in pairs),
        "cell_f1": statistics.fmean(_cell_f1(a, b) for a, b in pairs),
    }


def _cells(html: str) -> list[str]:
    return [text for grid in grids(html, True) for row in grid for cell in row if (text := _plain(cell))]


def _cell_f1(found: str, wanted: str) -> float:
    a, b = Counter(_cells(found)), Counter(_cells(wanted))
    return Match.of((a & b).total(), a.total(), b.total()).f1
