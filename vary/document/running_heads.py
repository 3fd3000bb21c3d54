"""Find page headers and footers: lines that repeat in the margins of a document's pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from .elements import Block, Line, Page
from .structure import _around

Sign = tuple[str, str, int]  # edge of the page, text without its digits, height in hundredths


MARGIN = 0.12  # of the page's height: where headers and footers stand


REPEATED = 3  # pages, at least, that show a header or footer alike


# -- headers and footers ---------------------------------------------------------------------------------------------


def running_lines(pages: Iterable[Page]) -> set[Sign]:
    """What stands alike at the head or foot of at least REPEATED pages; digits count as equal. See `with_running`."""
    seen: Counter[Sign] = Counter()
    for page in pages:
        seen.update({sign for block in page.blocks for line in block.lines if (sign := _sign(page, line))})
    return {sign for sign in seen if sum(seen[(*sign[:2], sign[2] + step)] for step in (-1, 0, 1)) >= REPEATED}


def with_running(page: Page, signs: set[Sign]) -> Page:
    """The page with those lines in blocks `header` and `footer` of their own."""
    blocks = []
    for block in page.blocks:
        for kind, group in groupby(block.lines, key=lambda line: s[0] if (s := _sign(page, line)) in signs else None):
            lines = list(group)
            if kind:
                blocks.append(Block(lines, _around(lines), kind, angle=block.angle))
            elif len(lines) == len(block.lines):
                blocks.append(block)
            else:
                rows = zip(block.lines, block.cells or [], strict=False)
                cells = [row for line, row in rows if any(line is kept for kept in lines)] or None
                blocks.append(replace(block, lines=lines, box=_around(lines), cells=cells))
        if not block.lines:
            blocks.append(block)
    return replace(page, blocks=blocks)


def _sign(page: Page, line: Line) -> Sign | None:
    """Edge, text without its digits, and height on the page in hundredths; None in the middle of the page."""
    x, y = (line.box[0] + line.box[2]) / 2 / max(1, page.width), (line.box[1] + line.box[3]) / 2 / max(1, page.height)
    middle = {90: 1 - x, 180: 1 - y, 270: x}.get(page.rotation, y)
    edge = "header" if middle < MARGIN else "footer" if middle > 1 - MARGIN else None
    return (edge, re.sub(r"\d+", "#", line.text).strip().casefold(), round(100 * middle)) if edge else None
