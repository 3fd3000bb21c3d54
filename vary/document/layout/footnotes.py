"""Find footnotes: a note below the text of a page begins with a raised mark that the text has too.

Both marks get a span `note LABEL`, and the note's block the kind `footnote`. The label is the mark itself. Nothing is
marked without both: `m²` stays as it is. Raised marks come from a PDF's text layer; lines read from pixels have none.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby

import numpy as np

from ...io.box import union
from ..elements import NOTE_MARK, Block, Line, Page

SMALLER = 0.97  # least height of the text's lines above that of a note
_MARK = re.compile(r"\d{1,3}|[*∗†‡§¶]{1,3}")
_WORD_END = re.compile(r"(?:\w{2}|[^\w\s])$")  # what a mark follows: a word, or punctuation; not a variable
Place = tuple[Line, int, int]  # a line, and the first and last + 1 character of a raised mark in it


def mark_footnotes(page: Page) -> None:
    """Mark the footnotes of a page and the places in its text that refer to them; the page is changed.

    Args:
        page: A page with the kinds of its blocks.
    """
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
