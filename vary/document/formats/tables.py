"""Write tables as HTML, and as simple rows for formats without merged cells."""

from __future__ import annotations

import csv
import html
import io

from ..elements import Block


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
    """Return a table as HTML, merged cells with `rowspan` and `colspan`, the text escaped."""
    cells = block.cells or []
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
            made.append(f"<{tag}{size}>{html.escape(text)}</{tag}>")
        out.append(f"<tr>{''.join(made)}</tr>")
    if head:
        out = ["<thead>", *out[:head], "</thead><tbody>", *out[head:], "</tbody>"]
    return f"<table>{''.join(out)}</table>"


def csv_table(block: Block) -> str:
    """Return a table as CSV, its head in one row; the text of a merged cell stands in the first of its places."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(simple_rows(block))
    return file.getvalue()
