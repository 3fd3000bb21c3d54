"""Lines of a block -> running text: words divided at the end of a line are joined, short lines keep their breaks.

Paragraphs that go on in another column or on the next page are joined. With `keep_lines`, nothing is.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, pairwise

from ..io.box import are_flush_right
from .elements import HYPHENS, ITEM, LEADER, LINK, LOST, Block, Line, Page, Span, goes_on_with_number, is_divided
from .formats.listings import code_text
from .orientation import MAX_SKEW

ADDRESS = re.compile(r"\w[@.]\w")
_URL = re.compile(r"@|://|^www\.")
RULE = re.compile(r"([-=*~#+])\1{3,}")  # a row of one sign, which is typed as a rule
NOTE = 0.93  # height of the lines of a note, as a share of the text's
_ENTRY = re.compile(r"[^\W\d].*, \d+(?:[–-]\d+)?(?: ff?\.)?$")  # of an index
ENTRIES = 0.7  # share of such lines in an index
_STREET = re.compile(r"[^\W\d_]{2,4}\. .*\d")  # a line of an address: `ul. Lipowa 7`, `tel. 22 555`
FLUSH = 0.3  # by which the ends of lines set to the right differ, in their heights
RAGGED = 4  # fewest such lines that had room for more
SHORT_LINES = 24  # width of a block of lines that each stand for themselves, in heights of its lines


def styled_text(block: Block) -> tuple[str, list[Span]]:
    """Return the text of a block and the spans of its styles. A style continues from one line into the next."""
    if block.kind == "code":
        return code_text(block.lines, block.angle), []
    left, right = block.box[0], block.box[2]
    if block.angle:
        ends = [end for line in block.lines for end in _ends(line, block.angle)]
        left, right = min(ends, default=0.0), max(ends, default=0.0)
    text, spans, index = "", [], block.kind == "text" and _is_index(block.lines)  # type: ignore[var-annotated]
    separate, ragged = block.kind == "text" and is_of_short_lines(block), _is_ragged(block, left, right)
    contents = sum(LEADER.search(line.text) is not None for line in block.lines) > 1
    for before, line in zip([None, *block.lines], block.lines, strict=False):
        if before is None:
            text = ""
        elif block.keeps_lines:
            text += "\n"
        elif block.kind == "list" and not ITEM.match(line.text) and not text.endswith(HYPHENS):
            text += " "
        elif (
            separate
            or (ragged and not _runs_on(before, line, right, block.angle))
            or (index and not line.text[:1].isdigit())
            or _has_room(before, line, right, 0.15 * (right - left), block.angle)
            or (contents and before.text[-1:].isdigit())
            or (ITEM.match(line.text) and not goes_on_with_number(before.text, line.text))
            or any(RULE.fullmatch(one.text) for one in (before, line))
            or LEADER.search(before.text)
            or _begins_with_label(line)
            or (_runs_in(before, line) and _has_room(before, line, right, 0.0, block.angle))
        ):
            text += "\n"
        elif is_divided(text, line.text) and _has_own_hyphen(text, line.text, block.lines):
            pass
        elif is_divided(text, line.text) and not _URL.search(text.split()[-1]):
            text = text[:-1]
            spans = [(start, min(end, len(text)), style) for start, end, style in spans]
        elif text.endswith(HYPHENS) and (_own_hyphen(text[-2:-1], line.text[:1]) or _URL.search(text.split()[-1])):
            pass
        else:
            text += " "
        for start, end, style in [*line.styles, *((a, b, LINK + target) for a, b, target in line.links)]:
            _add_span(spans, (start + len(text), end + len(text), style), text)
        text += line.text
    return text, spans


def _has_own_hyphen(before: str, after: str, lines: list[Line]) -> bool:
    """Return whether a word divided at its hyphen stands with it elsewhere in the lines, and nowhere without it."""
    first, second = re.search(r"[\w’'-]*$", before[:-1]), re.match(r"\w+", after)
    if first is None or second is None or not first[0]:
        return False
    parts, text = (first[0], second[0]), "\n".join(line.text for line in lines).lower()
    return "-".join(parts).lower() in text and "".join(parts).lower() not in text


def _is_index(lines: list[Line]) -> bool:
    """Return whether most lines are entries of an index: they end with numbers of pages."""
    entries = sum(_ENTRY.search(line.text) is not None for line in lines)
    return len(lines) > 1 and entries >= ENTRIES * len(lines)


def _has_room(before: Line, line: Line, right: float, least: float, angle: float) -> bool:
    """Return whether a line ends so far from the right edge that the next word had room, and at least `least`."""
    return right - _ends(before, angle)[1] > max(least, _first_word(line, angle))


def _is_ragged(block: Block, left: float, right: float) -> bool:
    """Return whether half of the lines of a narrow text had room for the next word, as in an address with `c/o`."""
    lines = block.lines
    if block.kind != "text" or len(lines) < RAGGED:
        return False
    if right - left >= SHORT_LINES * max(line.height for line in lines):
        return False
    room = [_has_room(a, b, right, 0.15 * (right - left), block.angle) for a, b in pairwise(lines)]
    return 2 * sum(room) >= len(room)


def _runs_on(before: Line, line: Line, right: float, angle: float) -> bool:
    """Return whether a line of a ragged text goes on in the next one: within a word or with a small letter."""
    full = not _has_room(before, line, right, 0.0, angle)
    return before.text.endswith((*HYPHENS, "&")) or (full and line.text[:1].islower())


def _runs_in(before: Line, line: Line) -> bool:
    """Return whether a line begins with a heading in bold type, below the end of a sentence in other type."""
    bold = [(a, b) for a, b, style in line.styles if style == "bold"]
    ends = before.text[-1:] in ".!?" and not any(b == len(before.text) for _, b, s in before.styles if s == "bold")
    return ends and any(not a and b < len(line.text) for a, b in bold)


def _begins_with_label(line: Line) -> bool:
    """Return whether a line begins with a label in bold type, such as `Present:`, and goes on in another."""
    return any(
        not a and style == "bold" and ":" in (line.text[:b].rstrip()[-1:], line.text[b : b + 1])
        for a, b, style in line.styles
    )


Part = tuple[list[Block], str]  # a text, and the blocks that it is of


def join_parts(parts: Iterable[tuple[Block, str]]) -> list[Part]:
    """Return the texts of blocks; what continues a paragraph is appended to it, a divided word joined."""
    joined: list[Part] = []
    paragraphs: list[tuple[int, float]] = []  # places of the paragraphs so far, and heights of their lines
    for block, text in parts:
        high = block.lines[0].box[3] - block.lines[0].box[1] if block.lines else 0.0
        places = [place for place, size in paragraphs if size > NOTE * high]
        if block.continues and places and text:
            blocks, before = joined[places[-1]]
            whole = before[:-1] + text if is_divided(before, text) else f"{before} {text}"
            joined[places[-1]] = [*blocks, block], whole
            continue
        joined.append(([block], text))
        if block.kind == "text":
            paragraphs.append((len(joined) - 1, high))
    return joined


# -- pages -----------------------------------------------------------------------------------------------------------

_BETWEEN = frozenset(("figure", "table", "caption", "footnote", "header", "footer"))  # kinds that may interrupt a text


def goes_on(before: Block, block: Block, scale: float = 1.0) -> bool:
    """Return whether text goes on in another block: within a sentence, in type of about the same size.

    scale: pixels of the page of `before` per pixel of the page of `block`.
    """
    first, last = block.lines[0].height * scale, before.lines[-1].height
    ends = before.text.rstrip()
    open_end = ends[-1:].isalpha() or ends[-1:] in (",", *HYPHENS)
    return open_end and block.text[:1].islower() and NOTE * last <= first < last / NOTE**2


def mark_page_joins(pages: Iterable[Page]) -> Iterable[Page]:
    """Return the pages with `continues` set where text goes on from the page before.

    Args:
        pages: The pages of one document, with running heads marked. They are iterated again on each pass over the
            result, so only one page is in memory.
    """
    return _JoinedPages(pages)


@dataclass
class _JoinedPages:
    pages: Iterable[Page]

    def __iter__(self) -> Iterator[Page]:
        before: Page | None = None
        for page in self.pages:
            first, last = _edge_text(page.blocks), before and _edge_text(before.blocks[::-1])
            if (
                before
                and first
                and last
                and _are_neighbours(before, page)
                and goes_on(last, first, _scale(before, page))
            ):
                blocks = [replace(block, continues=True) if block is first else block for block in page.blocks]
                page = replace(page, blocks=blocks)
            yield page
            before = page


def _edge_text(blocks: list[Block]) -> Block | None:
    """Return the first of some blocks if it is text; figures, notes and page numbers before it do not count."""
    for block in blocks:
        if block.kind == "text" and block.lines and any(ch.isalpha() for ch in block.text):
            return None if block.angle else block
        if block.kind not in _BETWEEN and block.kind != "text":
            return None
    return None


def _are_neighbours(before: Page, page: Page) -> bool:
    return page.number == before.number + 1 and before.status not in LOST and page.status not in LOST


def _scale(before: Page, page: Page) -> float:
    """Return the pixels of one page per pixel of another."""
    if before.dpi and page.dpi:
        return before.dpi / page.dpi
    return before.height / page.height if before.height and page.height else 1.0


def keep_lines(pages: Iterable[Page]) -> Iterator[Page]:
    """Yield pages whose texts keep the lines as they are printed. Divided words stay divided."""
    for page in pages:
        yield replace(page, blocks=[replace(block, keeps_lines=True, continues=False) for block in page.blocks])


def join_pages(
    pages: Iterable[Page], write: Callable[[Block], str], mark: Callable[[Page], str] = lambda _: ""
) -> Iterator[tuple[int, str, str]]:
    """Yield number, lead and text of each page; all of them in a row are the text of the document.

    A lead is the mark of the page with the white around it. It lies inside a paragraph that goes on from the page
    before. Notes and figures below such a paragraph are written before it, or after it where it fills a page.

    Args:
        pages: The pages of one document.
        write: Returns the text of a block.
        mark: Returns what is written before a page.
    """
    joined, taken, written = False, "", False  # taken: the end of a divided word, which is on the page before
    held: list[str] = []  # texts that wait for the end of a paragraph
    for page, following in pairwise(chain(pages, [None])):
        assert page is not None
        parts = [part for part in join_parts((block, write(block)) for block in page.blocks) if part[1]]
        first = _take(parts, _edge_text(page.blocks)) if joined else ""
        first, before = first.removeprefix(taken).lstrip(), joined
        tail, after = _edge_text(page.blocks[::-1]), following and _continued_text(page, following)
        joined, taken = after is not None, ""
        last = _take(parts, tail) if after else ""
        if after:
            open_text, rest = last or first, write(after)
            if is_divided(open_text, rest) and " " in rest:
                taken = rest.partition(" ")[0]
                open_text = open_text[:-1] + taken
            first, last = (first, open_text) if last else (open_text, "")
        texts = [first, *held, *(text for _, text in parts), last]
        if after and not last:
            texts, held = [first], texts[1:-1]
        else:
            held = []
        body, lead = "\n\n".join(text for text in texts if text), mark(page)
        if before:
            lead = f" {lead} " if lead else " "
        else:
            lead = "\n\n" * (written and bool(lead or body)) + lead + "\n\n" * bool(lead and body)
        written = written or bool(lead or body)
        yield page.number, lead, body


def _continued_text(before: Page, page: Page) -> Block | None:
    """Return the block of a page that goes on from the page before."""
    first = _edge_text(page.blocks)
    return (
        first
        if first and first.continues and _are_neighbours(before, page) and _edge_text(before.blocks[::-1])
        else None
    )


def _take(parts: list[Part], block: Block | None) -> str:
    """Remove the text of a block from parts and return it; empty if it is not among them."""
    for k, (blocks, text) in enumerate(parts):
        if any(block is one for one in blocks):
            del parts[k]
            return text
    return ""


Passage = list[tuple[Page, Block]]  # the blocks of a text, from first to last
_ALIKE = str.maketrans("‘’‚“”„«»‐‑‒–—−", '\'\'\'"""""------', "\u00ad")


def find_text(pages: Iterable[Page], text: str) -> Iterator[Passage]:
    """Yield the places that hold a text, whatever its case, blanks, quotation marks and dashes.

    A text may go on over blocks and pages. Notes, figures and running heads between them do not count, and a word that
    is divided between them is joined.

    Args:
        pages: The pages of one document, each used once.
        text: What is sought.
    """
    wanted, before, starts = plain_text(text), "", []  # type: str, str, list[tuple[int, Page, Block]]
    for page in pages:
        for block in page.blocks:
            own = plain_text(block.text)
            if wanted and wanted in own:
                yield [(page, block)]
            if block.kind in _BETWEEN or not wanted or not own:
                continue
            cut = len(before) - 1 if before.endswith("-") and before[-2:-1].isalpha() and own[0].isalpha() else None
            before = f"{before} " if cut is None else before[:cut]
            edge, whole = len(before), before + own
            at = whole.find(wanted, max(0, edge - len(wanted) + 1))
            if 0 <= at < edge - (cut is None):
                first = max(k for k, (start, _, _) in enumerate(starts) if start <= at)
                yield [*((p, b) for _, p, b in starts[first:]), (page, block)]
            lost = max(0, len(whole) - len(wanted))
            starts = [(start - lost, p, b) for start, p, b in (*starts, (edge, page, block))]
            starts = starts[max((k for k, one in enumerate(starts) if one[0] <= 0), default=0) :]
            before = whole[lost:]


def plain_text(text: str) -> str:
    """Return a text for comparison: lower case, single spaces, plain quotation marks and dashes."""
    folded = unicodedata.normalize("NFKC", text).translate(_ALIKE).casefold()
    return " ".join(re.sub(r"(?<=\w)-\n\s*(?=\w)", "", folded).split())


def page_offsets(pages: Iterable[Page]) -> Iterator[list[int]]:
    """Yield number and offset of each page: the character of `Document.text()` at which its text begins."""
    at = 0
    for number, lead, text in join_pages(pages, lambda block: block.text):
        yield [number, at + (len(lead) if text else 2 * bool(at))]
        at += len(lead) + len(text)


def is_of_short_lines(block: Block) -> bool:
    """Return whether each line is on its own, as in an address: short, and none begins within a sentence."""
    if block.kind not in ("text", "heading") or len(block.lines) < 2 or abs(block.angle) > MAX_SKEW:
        return False
    if any(line.text.endswith(HYPHENS) and line.text[-2:-1].isalnum() for line in block.lines):
        return False
    ends = [end for line in block.lines for end in _ends(line, block.angle)]
    if max(ends) - min(ends) >= SHORT_LINES * max(line.height for line in block.lines):
        return False
    flush = _is_flush_right(block)
    begins = [
        line.text
        for before, line in pairwise(block.lines)
        if not _STREET.match(line.text) and not (flush and before.text[-1:].isdigit())
    ]
    starts = [text[:1] for text in begins if not ADDRESS.search(text.split(" ")[0])]
    return not any(ch.islower() for ch in starts)


def _is_flush_right(block: Block) -> bool:
    begins, ends = zip(*(_ends(line, block.angle) for line in block.lines), strict=True)
    return are_flush_right(begins, ends, [FLUSH * line.height for line in block.lines])


def _own_hyphen(before: str, after: str) -> bool:
    """Return whether a hyphen at the end of a line belongs to the word: post-War, 3-4."""
    return (before.isalpha() and after.isupper()) or (before.isdigit() and after.isdigit())


def _add_span(spans: list[Span], new: Span, text: str) -> None:
    """Add a span of the next line, or extend the span of the same style that ends where the line begins."""
    at = len(text)
    for k, (start, end, style) in enumerate(spans):
        if style == new[2] and new[0] == at and end >= at - 1 and not text.endswith("\n"):
            spans[k] = start, new[1], style
            return
    spans.append(new)


def _first_word(line: Line, angle: float) -> float:
    """Return the width of the first word of a line and of the blank before it, by its share of the text, in pixels.

    It is 0 for addresses of mail and of the web, which stand on lines of their own.
    """
    left, right = _ends(line, angle)
    word = line.text.split(" ")[0]
    return 0.0 if ADDRESS.search(word) else (right - left) * (len(word) + 1) / max(1, len(line.text))


def _ends(line: Line, angle: float) -> tuple[float, float]:
    """Return where a line begins and ends along its own direction, in pixels."""
    if not angle:
        return line.box[0], line.box[2]
    cos, sin = math.cos(math.radians(angle)) / 2, math.sin(math.radians(angle)) / 2
    along = [(x0 + x1) * cos + (y0 + y1) * sin for x0, y0, x1, y1 in line.characters or [line.box]]
    return along[0], along[-1]
