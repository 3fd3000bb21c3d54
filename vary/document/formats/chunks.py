"""Cut a document into chunks for retrieval. Each names its headings, pages and boxes, so that answers can cite them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ...io.box import Box
from ...io.errors import ConfigError
from ..elements import Block, Page
from .markdown import block_markdown
from .tables import simple_rows

CUTS = ("heading", "page", "size")  # what begins a new chunk before the present one is full
_SKIPPED = ("header", "footer")
_ENDS = (r"\n", r"(?<=[.!?…:;。]) ", r" ")  # where a long text is cut: lines, then sentences, then words


@dataclass
class Chunk:
    """A part of a document.

    Args:
        text: Markdown of at most `max_chars` characters.
        headings: The headings above it, outermost first.
        boxes: Page number and box of each block in it. A box is in pixels of that page's image.
    """

    text: str
    headings: tuple[str, ...] = ()
    boxes: list[tuple[int, Box]] = field(default_factory=list)

    @property
    def pages(self) -> list[int]:
        """The page numbers, from 1, in ascending order."""
        return sorted({number for number, _ in self.boxes})


def chunks(pages: Iterable[Page], max_chars: int = 2000, by: str = "heading") -> Iterator[Chunk]:
    """Yield the chunks of pages in reading order. Running heads and figures without a picture are left out.

    Blocks longer than `max_chars` are cut. Tables are cut between rows, each part repeats the head in one row, and
    merged cells are no longer merged. Code is cut between lines. Text is cut at the ends of lines, sentences or words.

    Args:
        pages: The pages of one document.
        max_chars: Most characters of a chunk.
        by: `heading` and `page` begin a chunk at each heading or page as well; `size` only when one is full.

    Raises:
        ConfigError: Unknown `by`, or `max_chars` below 1.
    """
    if by not in CUTS:
        raise ConfigError(f"by={by!r}: expected one of {', '.join(CUTS)}")
    if max_chars < 1:
        raise ConfigError(f"max_chars={max_chars}: expected at least 1")
    above: list[tuple[int, str]] = []  # level and text of the headings in force
    chunk = Chunk("")
    for page in pages:
        for k, block in enumerate(_text_blocks(page)):
            if block.kind == "heading":
                above = [*((level, text) for level, text in above if level < block.level), _title(block)]
            begins = (by == "heading" and block.kind == "heading") or (by == "page" and k == 0)
            for piece in _pieces(block, max_chars):
                if chunk.text and (begins or len(chunk.text) + 2 + len(piece) > max_chars):
                    yield chunk
                    chunk = Chunk("")
                begins = False
                if not chunk.text:
                    chunk.headings = tuple(text for _, text in above)
                chunk.text += "\n\n" * bool(chunk.text) + piece
                if (page.number, block.box) not in chunk.boxes:
                    chunk.boxes.append((page.number, block.box))
    if chunk.text:
        yield chunk


def _text_blocks(page: Page) -> list[Block]:
    return [b for b in page.blocks if b.kind not in _SKIPPED and (b.kind != "figure" or b.image or b.lines)]


def _title(block: Block) -> tuple[int, str]:
    return block.level, " ".join(block.text.split())


def _pieces(block: Block, limit: int) -> list[str]:
    """Return the Markdown of a block in parts of at most `limit` characters."""
    whole = block_markdown(block)
    if len(whole) <= limit:
        return [whole] if whole else []
    parts: list[Block] = []
    if block.kind == "table" and block.cells:
        simple = replace(block, cells=simple_rows(block), merged=[], head_rows=1)
        return list(_cut_table(block_markdown(simple).split("\n"), limit))
    if block.kind == "code" and len(block.lines) > 1:
        middle = len(block.lines) // 2
        parts = [replace(block, lines=block.lines[:middle]), replace(block, lines=block.lines[middle:])]
    if parts:
        return [piece for part in parts for piece in _pieces(part, limit)]
    return list(_cut_text(whole, limit))


def _cut_table(rows: list[str], limit: int) -> Iterator[str]:
    """Yield parts of a table's Markdown, each with its head, of at most `limit` characters if no row is longer."""
    whole = "\n".join(rows)
    if len(whole) <= limit or len(rows) < 4:
        yield from _cut_text(whole, limit)
        return
    middle = len(rows) // 2 + 1
    for half in rows[:middle], [*rows[:2], *rows[middle:]]:
        yield from _cut_table(half, limit)


def _cut_text(text: str, limit: int, ends: tuple[str, ...] = _ENDS) -> Iterator[str]:
    """Yield parts of at most `limit` characters, as long as the ends allow."""
    if len(text) <= limit or not ends:
        yield from (text[k : k + limit].strip() for k in range(0, len(text), limit))
        return
    part, at = "", 0
    for end in [found.end() for found in re.finditer(ends[0], text)] + [len(text)]:
        unit, at = text[at:end], end
        if len(part) + len(unit.rstrip()) <= limit:
            part += unit
            continue
        if part.strip():
            yield part.strip()
        part = unit
        if len(unit.rstrip()) > limit:
            *full, part = _cut_text(unit, limit, ends[1:])
            yield from full
            part += unit[len(unit.rstrip()) :]
    if part.strip():
        yield part.strip()
