"""Blocks of a document out of ordered rows of lines, and those of listings among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, groupby, pairwise
from typing import Any, cast

import numpy as np

from ..io.box import Box, marked_runs, union
from .elements import HYPHENS, ITEM, SOURCES, STYLES, Block, Line, Span
from .layout.paragraphs import TextBlock
from .lines import TextLine

REGIONS = ("table", "figure")  # blocks from `layout/`
PLAIN = 24  # characters of a line in fixed-width type, alone among others, that may be text
BETWEEN = 3  # lines between two of a listing that belong to it where all are equally far apart
AROUND = 10  # lines before and after, whose left edge is that of the listing
STEP = 2.2  # longest step from line to line, in heights
EVEN = 0.25  # by which their distances differ, as a share of the least
WORD = 12  # characters of a word alone that may end a listing
TERMS, TERM_STEP, INDENT = 3, 1.9, 0.8  # most lines of terms; to their meaning below, and its indent, in heights
CLOSE = 1.8  # most distance of a line of signs from the line of a listing above it, in heights
_NUMBER = re.compile(r"\d{1,4}\s+")  # of a line of a listing
_SIGNS = re.compile(r"[^\w\s•]{1,4}")  # `}` ends a listing
_CAPITALS = re.compile(  # they have one width in other type, too, and so have figures; one letter may be misread
    r"[A-Z\d .,:;#$€£%/+–-]*[a-z]?[A-Z\d .,:;#$€£%/+–-]*"
)
_WORDS = re.compile(r"[^\W\d_]+(?:['’ ][^\W\d_]+)*[.,;:!?]?")
MIXED, UNSURE = (0.25, 0.9), 0.2  # share of a line in fixed-width type; of characters in such lines
UNEQUAL = frozenset("fijlrtmwIMW")  # letters that are narrower or wider than others in proportional type
NARROW, NARROW_LETTERS, NARROWER = frozenset("fijlrt"), 8, 0.9  # fewest to judge by; share of the others' width
UNEQUAL_LETTERS, UNEQUAL_SHARE = 15, 0.1  # fewest letters to judge by; least share of such letters, in English 0.3
ALL_MONO = 0.95  # share of the characters of a page in fixed-width type that is its text
LARGER, PLAIN_WORDS = 1.25, 0.8  # sizes of headings above text in fixed-width type; least share of its plain words
_PROMPT = re.compile(r"[\w.-]+@[\w.-]+:?[\w~/.-]*\s?[$#%](?:\s|$)")  # of a shell
_PROGRAM = re.compile(  # a line that statements begin or end as
    r"(?:\$|>>>) \S|PS [A-Z]:\\|(?:\d+\s+)?(?:#include|import|from \w+ import|"
    r"def|class|return|fn|func|let|const|var|package|using|public|private) \S|"
    r"\W*\}|.*(?:[)\]}\"'];|=.*;|\{|\):|\belse:|\w\(.*\))$"
)
PROMPTS = 2  # fewest on a page of what a terminal shows
PROGRAM_LINES = 0.25  # share of such lines on a page of program text


def to_block(block: TextBlock, scale: float, styles: tuple[str, ...]) -> Block:
    """Return the block of the document for ordered rows or a region; coordinates are divided by `scale`.

    styles: names of the columns of `TextLine.styles`.
    """
    region = block.region
    if region is None:
        lines = [_line(row.pieces, scale, styles) for row in block.rows]
        return Block(lines, union(line.box for line in lines))
    cells = region.table.cells if region.table else []
    rows = [[line] for line in region.lines]
    if region.kind == "table":
        rows = _rows_of_cells(region.lines, cells) or _rows(region.lines)
    box = cast(Box, tuple(v / scale for v in region.box))
    made = Block([_line(row, scale, styles) for row in rows], box, region.kind)
    if region.table is not None:
        made.cells, made.merged, made.head_rows = region.table.cells, region.table.merged, region.table.head_rows
    return made


def _rows(lines: list[TextLine]) -> list[list[TextLine]]:
    """Return the lines of a table in printed rows, from top to bottom and left to right."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: line.box[1] + line.box[3]):
        middle, last = (line.box[1] + line.box[3]) / 2, rows[-1][0] if rows else None
        if last is not None and middle - (last.box[1] + last.box[3]) / 2 < 0.4 * min(line.em_px, last.em_px):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in rows]


def _rows_of_cells(lines: list[TextLine], cells: list[list[str]]) -> list[list[TextLine]]:
    """Return the lines of a table by its cells; where a cell of a row has several lines, each line is a row.

    A line may go on over the next cells of its row. Empty where the lines are not those of the cells.
    """
    rest = sorted(lines, key=lambda line: (line.box[1] + line.box[3], line.box[0]))
    rows: list[list[TextLine]] = []
    for row in cells:
        found: list[TextLine] = []
        several, goes_on = False, ""
        for text in row:
            first = len(found)
            while text:
                if not goes_on:
                    fits = (k for k, one in enumerate(rest) if _begins_cell(one.text, text))
                    longer = (k for k, one in enumerate(rest) if one.text.startswith(f"{text} "))
                    place = next(chain(fits, longer), None)
                    if place is None:
                        return []
                    found.append(rest.pop(place))
                    goes_on = found[-1].text
                if text[: len(goes_on)] != goes_on[: len(text)] and goes_on.endswith(HYPHENS):
                    goes_on = goes_on[:-1]  # of a divided word
                common = min(len(text), len(goes_on))
                if text[:common] != goes_on[:common]:
                    return []
                text, goes_on = text[common:].lstrip(), goes_on[common:].lstrip()
            several |= len(found) > first + 1
        if goes_on:
            return []
        rows += [[line] for line in found] if several else [found] if found else []
    return [] if rest else rows


def _begins_cell(line: str, cell: str) -> bool:
    """Return whether the text of a cell begins with a line, whose last word may go on in the next line."""
    return f"{cell} ".startswith(f"{line} ") or (line.endswith(HYPHENS) and cell.startswith(line[:-1]))


def _line(pieces: list[TextLine], scale: float, styles: tuple[str, ...]) -> Line:
    """Return the pieces of a row as one line, with two blanks between them."""
    text = "  ".join(p.text for p in pieces)
    boxes = [tuple(box) for p in pieces for box in (p.boxes / scale).tolist()]
    confidence = [c for p in pieces for c in p.confidence.tolist()]
    box = cast(Box, tuple(v / scale for v in union(p.box for p in pieces)))
    mean = sum(confidence) / len(confidence)
    writers = {p.writer for p in pieces}
    writer = next(name for name in ("decoder", "head", "layer") if name in writers)
    known = [style for piece in pieces for style in _style_rows(piece, len(styles))]
    spans = _spans(np.array(_join_values(pieces, known), bool), styles)
    line = Line(text, box, mean, _join_values(pieces, boxes), _join_values(pieces, confidence), writer, spans)
    line.sources = _sources(pieces)
    return line


def _style_rows(piece: TextLine, count: int) -> np.ndarray:
    """Return which of `count` styles each character has; a piece may know of the first ones only."""
    rows = np.zeros((len(piece.text), count), bool)
    if piece.styles is not None:
        rows[:, : piece.styles.shape[1]] = piece.styles
    return rows


def _join_values(pieces: list[TextLine], values: list[Any]) -> list[Any]:
    """Values per character of the joined line: the two blanks between pieces take those of the character before."""
    out: list[Any] = []
    at = 0
    for k, piece in enumerate(pieces):
        if k:
            out += [out[-1], out[-1]]
        out += values[at : at + len(piece.text)]
        at += len(piece.text)
    return out


def _sources(pieces: list[TextLine]) -> list[Span]:
    """Return runs of characters of one witness; none where all are read from pixels."""
    if all(piece.sources is None for piece in pieces):
        return []
    known = [int(s) for p in pieces for s in (p.sources if p.sources is not None else [0] * len(p.text))]
    at, spans = 0, []
    for source, group in groupby(_join_values(pieces, known)):
        count = len(list(group))
        spans.append((at, at + count, SOURCES[source]))
        at += count
    return spans


def _spans(styles_NS: np.ndarray, names: tuple[str, ...]) -> list[Span]:
    """Return runs of characters of each style, in the order in which they begin."""
    spans = []
    for name, column in zip(names, styles_NS.T, strict=False):
        spans += [(start, end, name) for start, end in marked_runs(column)]
    return sorted(spans)


# -- listings --------------------------------------------------------------------------------------------------------


def with_listings(blocks: list[Block], large: float) -> list[Block]:
    """Return the blocks with lines in fixed-width type as blocks of code; neighbouring ones become one block.

    large: height of lines from which they are headings, not code.
    """
    lines = [line for block in blocks if block.kind not in REGIONS for line in block.lines]
    codes = _code_lines([line for line in lines if line.height < large])
    out: list[Block] = []
    for block in blocks:
        if block.kind in REGIONS:
            out.append(block)
            continue
        for code, run in groupby(block.lines, lambda line: id(line) in codes):
            lines = list(run)
            above = out[-1] if code and out and out[-1].kind == "code" else None
            if above and gap_between(above.box, union(line.box for line in lines)) < 3 * lines[0].height:
                lines = [*out.pop().lines, *lines]
            whole = len(lines) == len(block.lines) and not code
            out.append(block if whole else Block(lines, union(line.box for line in lines), "code" if code else "text"))
    return out


def _code_lines(lines: list[Line]) -> set[int]:
    """Return the ids of lines of code, in fixed-width type. A short line needs code next to it."""
    fixed = [is_fixed(line) for line in lines]
    code = {k for k, line in enumerate(lines) if fixed[k] and len(line.text) > 5}
    for order in (range(len(lines)), reversed(range(len(lines)))):
        before: int | None = None
        for k in order:
            if fixed[k] and before in code and abs(lines[k].box[1] - lines[before].box[1]) < 4 * lines[k].height:
                code.add(k)
            before = k
    code |= _lines_within(lines, code)
    for k in [k for k in code if not {k - 1, k + 1} & code and _is_plain(lines[k])]:
        code.remove(k)
        lines[k].styles = [span for span in lines[k].styles if span[2] != "mono"]
    for first in [k for k in code if k - 1 not in code]:
        last = next(k for k in range(first, len(lines)) if k + 1 not in code)
        if _are_terms(lines, first, last):
            code.difference_update(range(first, last + 1))
    return {id(lines[k]) for k in code}


def _are_terms(lines: Sequence[Line], first: int, last: int) -> bool:
    """Return whether some lines are terms whose meaning stands close below, indented, in other type.

    The first line of a paragraph below a listing may be indented, too; its second line is not.
    """
    below = lines[last + 1 : last + 3]
    if not below or last - first >= TERMS or any(line.writer != "layer" for line in lines[first : last + 1]):
        return False
    left, steps = lines[first].box[0], pairwise([*lines[first : last + 1], below[0]])
    if any(not 0 < b.box[1] - a.box[1] < TERM_STEP * a.height for a, b in steps):
        return False
    wrapped = below[1:] if below[1:] and 0 < below[1].box[1] - below[0].box[1] < TERM_STEP * below[0].height else []
    terms = [line.box[0] for line in lines[first + 1 : last + 1]]
    return all(abs(x - left) < INDENT * below[0].height / 2 for x in terms) and all(
        line.box[0] - left > INDENT * line.height for line in [below[0], *(one for one in wrapped if not is_fixed(one))]
    )


def _lines_within(lines: Sequence[Line], code: set[int]) -> set[int]:
    """Return the places of lines of a listing: a few from pixels, or numbers, between two of it; `done` at its end."""
    found: set[int] = set()
    for first, last in pairwise(sorted(code)):
        run = lines[first : last + 1]
        left = min(lines[k].box[0] for k in code if abs(k - first) <= AROUND) - run[0].height
        inside = all(one.box[0] > left and (one.writer != "layer" or one.text.isdigit()) for one in run[1:-1])
        if 2 < len(run) <= BETWEEN + 2 and inside and _are_even(run) and _are_close(run):
            found.update(range(first + 1, last))
    for k in range(1, len(lines)):
        above, one = lines[k - 1], lines[k]
        near = 0 < one.box[1] - above.box[1] < CLOSE * above.height and one.box[0] < above.box[2]
        if k - 1 in code | found and near and one.writer != "layer":
            ends = k - 2 in code | found and _are_even(lines[k - 2 : k + 1]) and _may_be_code(one)
            if k not in code and (ends or _SIGNS.fullmatch(one.text)):
                found.add(k)
    return found


def _are_even(lines: Sequence[Line]) -> bool:
    """Return whether lines are equally far apart, from the middle of one to that of the next."""
    middles = [line.box[1] + line.box[3] for line in lines]
    steps = [b - a for a, b in pairwise(middles)]
    return min(steps) > 0 and max(steps) < (1 + EVEN) * min(steps)


def _are_close(lines: Sequence[Line]) -> bool:
    """Return whether lines are as near as those of a listing; a paragraph between two listings is not."""
    return all(b.box[1] - a.box[1] < STEP * a.height for a, b in pairwise(lines))


def _may_be_code(line: Line) -> bool:
    """Return whether a line is one short word, or half of it is in fixed-width type."""
    word = " " not in line.text and len(line.text) <= WORD
    return word or count_in_style(line, "mono") >= 0.5 * len(line.text)


def is_fixed(line: Line) -> bool:
    """Return whether nine tenths of a line are in fixed-width type, behind its number.

    An item of a list whose mark is in other type, as a layer tells, is no line of a listing.
    """
    typed_from_start = any(start == 0 for start, _, style in line.styles if style == "mono")
    if line.writer == "layer" and ITEM.match(line.text) and not typed_from_start:
        return False
    number = _NUMBER.match(line.text)
    start = number.end() if number else 0
    fixed = sum(end - max(start, first) for first, end, style in line.styles if style == "mono" and end > start)
    return fixed >= 0.9 * (len(line.text) - start) > 0


def _is_plain(line: Line) -> bool:
    """Return whether a line was read from pixels and has few words and no signs: its type may be misjudged."""
    return line.writer != "layer" and re.fullmatch(r"[\w' ]+[.,]?", line.text) is not None and len(line.text) < PLAIN


def count_in_style(line: Line, name: str) -> int:
    """Return the number of characters of a line in a style."""
    return sum(end - start for start, end, style in line.styles if style == name)


def gap_between(a: Box, b: Box) -> float:
    """Return the vertical distance of two boxes; infinite when neither is above the other."""
    if min(a[2], b[2]) <= max(a[0], b[0]):
        return float("inf")
    return max(a[1], b[1]) - min(a[3], b[3])


# -- type ------------------------------------------------------------------------------------------------------------
def drop_common_style(lines: list[Line]) -> None:
    """Remove a style from all lines when most of the page has it: it emphasises nothing.

    Listings may fill most of a page. So fixed-width type is removed only from pages that are all in it, as typewriter
    letters, maybe under headings in other type, or where many lines from pixels are partly in it: then the reader was
    not sure of the type. A page of program text, or of what a terminal shows, keeps it.
    """
    for line in lines:
        line.styles = [span for span in line.styles if not _is_doubtful(line, span)]
    for whole in (True, False):
        _drop_unequal_type(lines, whole)
    total = sum(len(line.text) for line in lines)
    shares = [count_in_style(line, "mono") / max(1, len(line.text)) for line in lines]
    unsure = [MIXED[0] < share < MIXED[1] and line.writer != "layer" for line, share in zip(lines, shares, strict=True)]
    mixed = sum(len(line.text) for line, one in zip(lines, unsure, strict=True) if one)
    prompts = sum(_PROMPT.match(line.text) is not None for line in lines)
    program = prompts + sum(_PROGRAM.match(line.text) is not None for line in lines) >= PROGRAM_LINES * len(lines)
    program = program or prompts >= PROMPTS
    for name in STYLES:
        if name == "mono" and program:
            continue
        most = ALL_MONO if name == "mono" and mixed < UNSURE * total else 0.5
        if name == "mono" and _is_wide_type(lines):
            most = 0.0
        if sum(count_in_style(line, name) for line in lines) > most * (_text_size(lines) if name == "mono" else total):
            for line in lines:
                line.styles = [span for span in line.styles if span[2] != name]


def _text_size(lines: list[Line]) -> int:
    """Return the number of characters of a page, without its headings where its fixed-width type is prose."""
    mono = [line for line in lines if 2 * count_in_style(line, "mono") > len(line.text)]
    words = [word for line in mono for word in line.text.split()]
    if sum(_WORDS.fullmatch(word) is not None for word in words) >= max(1.0, PLAIN_WORDS * len(words)):
        high = LARGER * sorted(line.height for line in mono)[len(mono) // 2]
        lines = [line for line in lines if line.height <= high]
    return sum(len(line.text) for line in lines)


def _is_wide_type(lines: list[Line]) -> bool:
    """Return whether the words in fixed-width type lack the narrow and wide letters that would prove it.

    In faces with wide letters, such as Verdana, words of letters of one width look like typewriter type in pixels.
    """
    spans = [line.text[start:end] for line in lines for start, end, style in line.styles if style == "mono"]
    letters = [ch for text in spans for ch in text if ch.isalpha()]
    proofs = sum(ch in UNEQUAL for ch in letters)
    pixels = all(line.writer != "layer" for line in lines)
    return pixels and len(letters) >= UNEQUAL_LETTERS and proofs < UNEQUAL_SHARE * len(letters)


def _drop_unequal_type(lines: list[Line], whole: bool) -> None:
    """Remove fixed-width type of lines read from pixels, if narrow letters are narrower in it than others.

    whole: lines that are all in it; False for parts of lines.
    """
    parts = [(line, span) for line in lines if line.writer != "layer" and len(line.characters) == len(line.text)
             for span in line.styles if span[2] == "mono" and _is_whole(line, span) is whole]  # fmt: skip
    widths: dict[bool, list[float]] = {True: [], False: []}
    for line, (start, end, _) in parts:
        for k in range(start + 1, end - 1):  # the boxes of the others end halfway to letters of other type
            if line.text[k - 1 : k + 2].isalpha():
                x0, _, x1, _ = line.characters[k]
                widths[line.text[k] in NARROW].append((x1 - x0) / line.height)
    narrow, other = widths[True], widths[False]
    if min(len(narrow), len(other)) >= NARROW_LETTERS and np.mean(narrow) < NARROWER * np.mean(other):
        for line, span in parts:
            line.styles = [one for one in line.styles if one is not span]


def _is_whole(line: Line, span: Span) -> bool:
    return 10 * (span[1] - span[0]) >= 9 * len(line.text)


def _is_doubtful(line: Line, span: Span) -> bool:
    """Return whether a part of a line was read from pixels in fixed-width type that its characters do not prove.

    Capitals and digits alone prove none, and words do by narrow letters as wide as the others.
    """
    start, end, style = span
    text = line.text[start:end]
    if style != "mono" or line.writer == "layer" or _is_whole(line, span):
        return False
    if _CAPITALS.fullmatch(text) is not None:
        return True
    if not _WORDS.fullmatch(text) or len(line.characters) != len(line.text):
        return False
    inside = [k for k in range(start + 1, end - 1) if line.text[k - 1 : k + 2].isalpha()]
    widths = {k: line.characters[k][2] - line.characters[k][0] for k in inside}
    narrow = [widths[k] for k in inside if line.text[k] in NARROW]
    other = [widths[k] for k in inside if line.text[k] not in UNEQUAL]
    return not narrow or (bool(other) and float(np.mean(narrow)) < NARROWER * float(np.mean(other)))
