"""Find page headers and footers, which repeat in the margins of a document's pages, page numbers, and footnotes.

A footnote below the text of a page begins with a raised mark that the text has too. Both marks get a span `note LABEL`,
and the note's block the kind `footnote`. The label is the mark itself. Nothing is marked without both: `m²` stays as it
is. Raised marks come from a PDF's text layer; lines read from pixels have none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from ..io.box import median, union
from .elements import NOTE_MARK, Block, Line, Page

MARGIN = 0.12  # height of the top and bottom margin, as a share of the page
REPEATED = 3  # least number of pages that show a header or footer
APART = 1.0  # white between a page number and the text, as a multiple of its height
APART_TWICE = 1.5  # the same of a line that two pages show
LARGER = 1.3  # largest page number, as a multiple of the page's usual line
MIN_LINES = 4  # of a page with a page number
_NUMBER = r"[-–—]?\s?(?:\d{1,3}|[ivxlc]{1,6})\s?[-–—]?"
_PAGE_NUMBER = re.compile(rf"{_NUMBER}|(?:page|p\.|seite)\s?\d{{1,4}}(?:\s?(?:of|/|von|de)\s?\d{{1,4}})?", re.I)
MarginLine = tuple[str, str, int]  # `header` or `footer`, text with digits replaced, height in hundredths of the page
SMALLER = 0.97  # least height of the text's lines above that of a note
_MARK = re.compile(r"\d{1,3}|[*∗†‡§¶]{1,3}")
_WORD_END = re.compile(r"(?:\w{2}|[^\w\s])$")  # what a mark follows: a word, or punctuation; not a variable
_LIST_MARK = re.compile(r"[*–−—-] ")
_DASHES = dict.fromkeys("-–−—", "-")
Place = tuple[Line, int, int]  # a line, and the first and last + 1 character of a raised mark in it


def mark_running_heads(pages: Iterable[Page]) -> Iterable[Page]:
    """Return the pages with lines of their margins in blocks of kind `header` and `footer`.

    A line is one when at least REPEATED pages show it at the same height; digits count as equal. Two pages, one after
    the other, are enough for the outermost row, apart from the text. A page number is one on any page, alone in such a
    row, and in the header the text that is level with it.

    Args:
        pages: The pages of one document. They are iterated once now, and again on each pass over the result, so only
            one page is in memory. Pass a list or another object that can be iterated repeatedly.
    """
    return _MarkedPages(pages)


@dataclass
class _MarkedPages:
    pages: Iterable[Page]
    repeated: set[MarginLine] = field(init=False)
    twice: set[MarginLine] = field(init=False)

    def __post_init__(self) -> None:
        seen: dict[MarginLine, set[int]] = {}  # the pages that show it, by their place
        for k, page in enumerate(self.pages):
            for line in page.lines:
                if found := _margin_line(page, line):
                    seen.setdefault(found, set()).add(k)
        near = {
            (edge, text, y): set[int]().union(*(seen.get((edge, text, y + step), ()) for step in (-1, 0, 1)))
            for edge, text, y in seen
        }
        self.repeated = {place for place, pages in near.items() if len(pages) >= REPEATED}
        self.twice = {place for place, pages in near.items() if any(k + 1 in pages for k in pages)}

    def __iter__(self) -> Iterator[Page]:
        for page in self.pages:
            yield _mark(page, self.repeated, self.twice)


def _mark(page: Page, repeated: set[MarginLine], twice: set[MarginLine]) -> Page:
    """Return the page with the repeated lines, and the outermost rows that stand `twice`, in blocks of their own."""
    outermost = _outermost_rows(page)
    alone = {id(line) for edge, row, white in outermost for line in row if _holds_number(edge, row)
             or (white > APART_TWICE and all(_margin_line(page, one) in twice for one in row))}  # fmt: skip

    names = _names_of_columns(page)

    def edge_of(line: Line) -> str | None:
        found = None if id(line) in names else _margin_line(page, line)
        return found[0] if found in repeated or (found and id(line) in alone) else None

    blocks: list[Block] = []
    for block in page.blocks:
        for edge, group in groupby(block.lines, key=edge_of):
            lines = list(group)
            box = union(line.box for line in lines)
            if edge:
                made = Block(lines, box, edge, angle=block.angle)
                level = [k for k, one in enumerate(blocks) if one.kind == edge and _are_level(one, made)]
                if level:
                    blocks[level[0]] = _join(blocks[level[0]], made)
                else:
                    blocks.append(made)
            elif len(lines) == len(block.lines):
                blocks.append(block)
            else:
                rows = zip(block.lines, block.cells or [], strict=False)
                cells = [row for line, row in rows if any(line is kept for kept in lines)] or None
                blocks.append(replace(block, lines=lines, box=box, cells=cells))
        if not block.lines:
            blocks.append(block)
    return replace(page, blocks=blocks)


def _names_of_columns(page: Page) -> set[int]:
    """Return the ids of lines that fill all columns of a table, without a page number: its head on each page."""
    return {
        id(line)
        for block in page.blocks
        for line, row in zip(block.lines, block.cells or (), strict=False)
        if len(row) > 2 and all(row) and not any(_PAGE_NUMBER.fullmatch(text) for text in row)
    }


def _outermost_rows(page: Page) -> list[tuple[str, list[Line], float]]:
    """Return the first row of an upright page, `header`, and the last, `footer`, where they are apart from the text.

    With each comes the white between it and the text, as a multiple of its height.
    """
    lines = [line for block in page.blocks for line in block.lines if not block.angle]
    if page.rotation or len(lines) < MIN_LINES:
        return []
    free = {id(line) for block in page.blocks if block.kind in ("text", "list") for line in block.lines}
    usual = median(line.height for line in lines)
    found = []
    for edge, outermost in (("header", min(lines, key=_middle)), ("footer", max(lines, key=_middle))):
        row = [line for line in lines if _are_level(line, outermost)]
        rest = [line for line in lines if all(line is not one for one in row)]
        box = union(line.box for line in row)
        white = min((max(line.box[1] - box[3], box[1] - line.box[3]) for line in rest), default=0.0)
        small = all(line.height < LARGER * usual and id(line) in free for line in row)
        if small and white > APART * outermost.height:
            found.append((edge, row, white / outermost.height))
    return found


def _holds_number(edge: str, row: list[Line]) -> bool:
    """Return whether an outermost row holds the number of the page; in the footer nothing else."""
    texts = [part for line in sorted(row, key=lambda line: line.box[0]) for part in re.split(r"\s{2,}", line.text)]
    numbers = [text for text in texts if _PAGE_NUMBER.fullmatch(text.strip())]
    return len(numbers) == 1 and (edge == "header" or len(texts) == 1)


def _are_level(one: Line | Block, other: Line | Block) -> bool:
    """Return whether two pieces stand in one row."""
    return abs(_middle(one) - _middle(other)) < 0.5 * min(one.box[3] - one.box[1], other.box[3] - other.box[1])


def _join(one: Block, other: Block) -> Block:
    """Return the pieces of a row as one block."""
    lines = sorted([*one.lines, *other.lines], key=lambda line: line.box[0])
    return replace(one, lines=lines, box=union([one.box, other.box]))


def _middle(one: Line | Block) -> float:
    return (one.box[1] + one.box[3]) / 2


def _margin_line(page: Page, line: Line) -> MarginLine | None:
    """Return edge, text and height of a line in a margin of the upright page; None for other lines."""
    x, y = (line.box[0] + line.box[2]) / 2 / max(1, page.width), (line.box[1] + line.box[3]) / 2 / max(1, page.height)
    height = {90: 1 - x, 180: 1 - y, 270: x}.get(page.rotation, y)
    edge = "header" if height < MARGIN else "footer" if height > 1 - MARGIN else None
    return (edge, re.sub(r"\d+", "#", line.text).strip().casefold(), round(100 * height)) if edge else None


# -- footnotes ---------------------------------------------------------------------------------------------------------


def mark_footnotes(page: Page) -> None:
    """Mark the footnotes of a page and the places in its text that refer to them; the page is changed.

    Args:
        page: A page with the kinds of its blocks.
    """
    below = zip(page.blocks, [None, *page.blocks], strict=False)
    page.blocks = [part for block, above in below for part in _as_table_notes(block, above)]
    bodies = [block for block in page.blocks if block.kind in ("text", "list", "caption")]
    found = [(block, notes) for block in bodies if block.kind == "text" and (notes := _split_notes(block))]
    starts = {id(lines[0]) for _, notes in found for lines in notes}
    places = [place for block in bodies for line in block.lines for place in _marks(line) if not _begins(place, starts)]
    known = Counter(_mark_of(lines[0]) for _, notes in found for lines in notes)
    made: dict[int, list[Block]] = {}
    for block, notes in found:
        parts = [Block(lines, union(line.box for line in lines), angle=block.angle) for lines in notes]
        for part in parts:
            line, start, end = _marks(part.lines[0])[0]
            mark = _mark_of(line)
            if known[mark] > 1:  # which of them the text means is open
                continue
            refers = [p for p in places if p[0].text[p[1] : p[2]].strip() == mark and _is_above(p[0], part)]
            if chosen := _choose(refers, mark):
                part.kind = "footnote"
                for one, first, last in [(line, start, end), *chosen]:
                    one.styles.append((first, last, NOTE_MARK + mark))
        if any(part.kind == "footnote" for part in parts):
            made[id(block)] = parts
    page.blocks = [part for block in page.blocks for part in made.get(id(block), [block])]


def _as_table_notes(block: Block, above: Block | None) -> list[Block]:
    """Return a list below a table as texts where it explains the marks of cells: `*`, or a dash that fills cells."""
    if block.kind != "list" or above is None or above.kind != "table" or not above.cells:
        return [block]
    cells = [text.replace("\\", "").strip() for row in above.cells for text in row]
    used = {"*": any(text.startswith("*") or text.endswith("*") for text in cells),
            "-": any(text in _DASHES for text in cells)}  # fmt: skip
    marks = [_DASHES.get(line.text[0], line.text[0]) for line in block.lines if _LIST_MARK.match(line.text)]
    if not marks or not all(used.get(mark) for mark in marks) or marks.count("-") > 1:
        return [block]
    goes_on = [False, *(not line.text.endswith(".") for line in block.lines[:-1])]
    starts = np.cumsum([_LIST_MARK.match(line.text) is not None or not on
                        for line, on in zip(block.lines, goes_on, strict=True)])  # fmt: skip
    groups = groupby(zip(starts, block.lines, strict=True), lambda pair: pair[0])
    notes = [[line for _, line in group] for _, group in groups]
    return [Block(lines, union(line.box for line in lines), angle=block.angle) for lines in notes]


def _split_notes(block: Block) -> list[list[Line]]:
    """Return the lines of each note of a block; empty if the block does not begin with a raised mark."""
    if not block.lines or not _begins_note(block.lines[0]):
        return []
    starts = np.cumsum([_begins_note(line) for line in block.lines])
    return [[line for _, line in group] for _, group in groupby(zip(starts, block.lines, strict=True), lambda p: p[0])]


def _mark_of(line: Line) -> str:
    """Return the mark that a line begins with."""
    _, start, end = _marks(line)[0]
    return line.text[start:end].strip()


def _begins_note(line: Line) -> bool:
    return any(start == 0 and line.text[end:].strip() for _, start, end in _marks(line))


def _begins(place: Place, starts: set[int]) -> bool:
    return place[1] == 0 and id(place[0]) in starts


def _marks(line: Line) -> list[Place]:
    """Return the raised marks of a line that can be those of notes."""
    spans = [(start, end) for start, end, style in line.styles if style == "superscript"]
    return [(line, start, end) for start, end in spans if _MARK.fullmatch(line.text[start:end].strip())]


def _is_above(line: Line, note: Block) -> bool:
    """Return whether a line is larger than those of a note, and above it or in another column."""
    apart = line.box[2] < note.box[0] or line.box[0] > note.box[2]
    high = float(np.median([one.height for one in note.lines]))
    return (line.box[3] <= note.box[1] or apart) and high < SMALLER * line.height


def _choose(places: list[Place], mark: str) -> list[Place]:
    """Return the places that refer to a note: the first one after a word, else after a number; of signs all."""
    fit = [place for place in places if _WORD_END.search(place[0].text[: place[1]])]
    if not mark.isdigit():
        return fit
    words = [place for place in fit if not place[0].text[place[1] - 1].isdigit()]
    return (words or fit)[:1]
