"""Lines of a block as runs of one style: what Markdown and HTML write with marks."""

from __future__ import annotations

import re
from itertools import groupby

from ..elements import Block, Page

_DOTS = re.compile(r"\s*(?:(?:\. *){5,}|(?:… *){2,}|(?:· *){5,})")  # leaders; four dots may end a sentence
Run = tuple[str, frozenset[str]]  # a piece of a line and the styles that it is set in


def line_runs(block: Block) -> list[list[Run]]:
    """Return the lines of a block's text as runs of one style, with an ellipsis for the dots of a leader.

    No styled run begins or ends with a blank.
    """
    text, spans = block.styled_text()
    looks: list[frozenset[str]] = [frozenset()] * len(text)
    for start, end, style in spans:
        for k in range(start, end):
            looks[k] |= {style}
    lines, at = [], 0
    for line in text.split("\n"):
        own = looks[at : at + len(line)]
        at += len(line) + 1
        for found in reversed(list(_DOTS.finditer(line))):
            start, end = found.span()
            line = f"{line[:start]} … {line[end:]}"
            own[start:end] = [frozenset()] * 3
        lines.append(_runs(line, own))
    return lines


def _runs(line: str, looks: list[frozenset[str]]) -> list[Run]:
    runs: list[Run] = []
    for look, group in groupby(zip(line, looks, strict=True), key=lambda pair: pair[1]):
        piece = re.sub(r"\s+", " ", "".join(ch for ch, _ in group))
        inside = piece.strip() if look else piece
        before, _, after = piece.partition(inside) if inside else (piece, "", "")
        runs += [
            (text, own) for text, own in ((before, frozenset[str]()), (inside, look), (after, frozenset[str]())) if text
        ]
    if runs:
        runs[0] = (runs[0][0].lstrip(), runs[0][1])
        runs[-1] = (runs[-1][0].rstrip(), runs[-1][1])
    return runs


def after_prefix(look: frozenset[str], prefix: str) -> str:
    """Return what follows a prefix in the name of a style; empty without such a style."""
    return next((name.removeprefix(prefix) for name in sorted(look) if name.startswith(prefix)), "")


def without_start(runs: list[Run], count: int) -> list[Run]:
    """Return the runs without their first `count` characters."""
    left: list[Run] = []
    for text, look in runs:
        if text[count:]:
            left.append((text[count:].lstrip() if not left else text[count:], look))
        count = max(0, count - len(text))
    return left


def name_loss(page: Page) -> str:
    """Return which page was lost, and why."""
    return f"page {page.number}: {page.status}" + (f": {page.error}" if page.error else "")
