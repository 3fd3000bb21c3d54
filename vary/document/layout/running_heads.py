"""Find page headers and footers: lines that repeat in the margins of a document's pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

from ...io.box import union
from ..elements import Block, Line, Page

MARGIN = 0.12  # height of the top and bottom margin, as a share of the page
REPEATED = 3  # least number of pages that show a header or footer
MarginLine = tuple[str, str, int]  # `header` or `footer`, text with digits replaced, height in hundredths of the page


def mark_running_heads(pages: Iterable[Page]) -> Iterable[Page]:
    """Return the pages with repeated lines of their margins in blocks of kind `header` and `footer`.

    A line counts as repeated when at least REPEATED pages show it at the same height. Digits count as equal, so page
    numbers are found too.

    Args:
        pages: The pages of one document. They are iterated once now, and again on each pass over the result, so only
            one page is in memory. Pass a list or another object that can be iterated repeatedly.
    """
    return _MarkedPages(pages)


@dataclass
class _MarkedPages:
    pages: Iterable[Page]
    repeated: set[MarginLine] = field(init=False)

    def __post_init__(self) -> None:
        seen: Counter[MarginLine] = Counter()
        for page in self.pages:
            seen.update({found for block in page.blocks for line in block.lines if (found := _margin_line(page, line))})
        near = (-1, 0, 1)
        self.repeated = {
            (edge, text, y) for edge, text, y in seen if sum(seen[edge, text, y + step] for step in near) >= REPEATED
        }

    def __iter__(self) -> Iterator[Page]:
        for page in self.pages:
            yield _mark(page, self.repeated)


def _mark(page: Page, repeated: set[MarginLine]) -> Page:
    """Return the page with the repeated lines in blocks of their own."""

    def edge_of(line: Line) -> str | None:
        found = _margin_line(page, line)
        return found[0] if found in repeated else None

    blocks = []
    for block in page.blocks:
        for edge, group in groupby(block.lines, key=edge_of):
            lines = list(group)
            box = union(line.box for line in lines)
            if edge:
                blocks.append(Block(lines, box, edge, angle=block.angle))
            elif len(lines) == len(block.lines):
                blocks.append(block)
            else:
                rows = zip(block.lines, block.cells or [], strict=False)
                cells = [row for line, row in rows if any(line is kept for kept in lines)] or None
                blocks.append(replace(block, lines=lines, box=box, cells=cells))
        if not block.lines:
            blocks.append(block)
    return replace(page, blocks=blocks)


def _margin_line(page: Page, line: Line) -> MarginLine | None:
    """Return edge, text and height of a line in a margin of the upright page; None for other lines."""
    x, y = (line.box[0] + line.box[2]) / 2 / max(1, page.width), (line.box[1] + line.box[3]) / 2 / max(1, page.height)
    height = {90: 1 - x, 180: 1 - y, 270: x}.get(page.rotation, y)
    edge = "header" if height < MARGIN else "footer" if height > 1 - MARGIN else None
    return (edge, re.sub(r"\d+", "#", line.text).strip().casefold(), round(100 * height)) if edge else None
