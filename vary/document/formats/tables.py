"""Write tables as HTML, and as simple rows for formats without merged cells. Links of lines stand in the cells."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from dataclasses import replace

from ..elements import Block, Span

SCHEMES = ("http://", "https://", "mailto:", "tel:", "#")  # of links that are kept in HTML; no script


def write_cells(block: Block, write: Callable[[str], str], link: Callable[[str, str], str]) -> Block:
    """Return a table whose cells are written by `write`, and their links by `link` of text and target.

    A link of a line is that place in the cells which holds its text as often before it as the lines do.
    """
    rows = block.cells or []
    links = _cell_links(block) if any(line.links for line in block.lines) else {}
    cells = [
        [_write_cell(text, links.get((r, c), []), write, link) for c, text in enumerate(row)]
        for r, row in enumerate(rows)
    ]
    return replace(block, cells=cells)


def _write_cell(text: str, links: list[Span], write: Callable[[str], str], link: Callable[[str, str], str]) -> str:
    out, at = "", 0
    for start, end, target in _joined(text, sorted(links)):
        if start >= at:
            out, at = out + _between(text[at:start], write) + link(write(text[start:end]), target), end
    return out + _between(text[at:], write)


def _between(text: str, write: Callable[[str], str]) -> str:
    """Return a written text with the blanks at its ends."""
    inner = text.strip()
    before, _, after = text.partition(inner) if inner else (text, "", "")
    return before + write(inner) + after


def _joined(text: str, links: list[Span]) -> list[Span]:
    """Return links with the parts of one target, on two printed lines, as one."""
    out: list[Span] = []
    for start, end, target in links:
        if out and out[-1][2] == target and not text[out[-1][1] : start].strip():
            start = out.pop()[0]
        out.append((start, end, target))
    return out


def _cell_links(block: Block) -> dict[tuple[int, int], list[Span]]:
    """Return the links of the lines of a table by row and column, as spans of the cells' texts.

    A text that the lines and the cells do not hold equally often is no link if it has several targets.
    """
    found: dict[tuple[int, int], list[Span]] = {}
    by_text: dict[str, list[tuple[int, int, str]]] = {}
    for k, line in enumerate(block.lines):
        for start, end, target in line.links:
            by_text.setdefault(line.text[start:end], []).append((k, start, target))
    cells = [(r, c, text) for r, row in enumerate(block.cells or []) for c, text in enumerate(row)]
    for text, links in by_text.items():
        in_cells = [(r, c, *span) for r, c, cell in cells for span in _places(text, cell)]
        in_lines = [(k, start) for k, line in enumerate(block.lines) for start, _ in _places(text, line.text)]
        sure = len(in_cells) == len(in_lines) or len({target for *_, target in links}) == 1
        for k, start, target in links if sure else []:
            before = sum(place < (k, start) for place in in_lines)
            if before < len(in_cells):
                r, c, first, last = in_cells[before]
                found.setdefault((r, c), []).append((first, last, target))
    return found


def _places(text: str, whole: str) -> list[tuple[int, int]]:
    """Return where a text stands in another as a whole, with any number of blanks between its words."""
    words = text.split()
    if not all(word in whole for word in words):
        return []
    pattern = r"\s+".join(map(re.escape, words))
    return [found.span() for found in re.finditer(rf"(?<!\w){pattern}(?!\w)", whole)]


def has_merged_body(block: Block) -> bool:
    """Return whether a table has merged cells with text below its head.

    Names of groups in the second row belong to a head. A label that begins a row, as that of a total, stands in the
    first of its columns, and a title over all columns is no merged cell.
    """
    cells = block.cells or []
    return any(
        (high > 1 or row > 1)
        and row >= block.head_rows
        and cells[row][column]
        and not (high == 1 and not any(cells[row][:column]))
        for row, column, high, _ in block.merged
    )


def simple_rows(block: Block) -> list[list[str]]:
    """Return the rows of a table with its head in one row: `group: name` below a group of columns."""
    cells = block.cells or []
    head = max(1, block.head_rows)
    if head == 1 or head >= len(cells):
        return cells
    names = [""] * len(cells[0])
    for r, row in enumerate(cells[:head]):
        for c, text in enumerate(row):
            wide = next((m[3] for m in block.merged if m[:2] == (r, c)), 1)
            for k in range(c, c + wide if text else c):
                before = names[k]
                group = r + 1 < head and wide > 1 and any(cells[below][k] for below in range(r + 1, head))
                names[k] = f"{before} {text}".strip() + (":" if group else "")
    return [names, *cells[head:]]


def html_table(block: Block) -> str:
    """Return a table as HTML, merged cells with `rowspan` and `colspan`, the text escaped, with its links."""
    cells = write_cells(block, html.escape, html_link).cells or []
    spans = {m[:2]: m[2:] for m in block.merged}
    hidden = {
        (row + i, column + k)
        for row, column, high, wide in block.merged
        for i in range(high)
        for k in range(wide)
        if i or k
    }
    head = block.head_rows if len(cells) > block.head_rows else 0
    out = []
    for r, row in enumerate(cells):
        tag = "th" if r < head else "td"
        made = []
        for c, text in enumerate(row):
            if (r, c) in hidden:
                continue
            high, wide = spans.get((r, c), (1, 1))
            size = f' rowspan="{high}"' * (high > 1) + f' colspan="{wide}"' * (wide > 1)
            made.append(f"<{tag}{size}>{text}</{tag}>")
        out.append(f"<tr>{''.join(made)}</tr>")
    if head:
        out = ["<thead>", *out[:head], "</thead><tbody>", *out[head:], "</tbody>"]
    return f"<table>{''.join(out)}</table>"


def html_link(text: str, target: str) -> str:
    """Return written text as a link, if its target may be followed. Pages are named as the sections of HTML."""
    target = target.replace("#page=", "#page-")
    return f'<a href="{html.escape(target)}">{text}</a>' if target.lower().startswith(SCHEMES) else text


def csv_table(block: Block) -> str:
    """Return a table as CSV, its head in one row; the text of a merged cell stands in the first of its places."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(simple_rows(block))
    return file.getvalue()
