"""Find the kinds of blocks: headings, lists, code and captions, by the geometry of lines.

A kind is set only where position, size or type shows it: a heading by its size, a list by its marks, code by its
fixed-width type, a caption by its first word next to a table or figure. Other blocks stay text. Tables and figures come
from `layout/`. Formulas are not found here.

Frame: pixels of the page image.
"""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from ..io.box import union, unique_values
from .blocks import REGIONS, count_in_style, drop_common_style, gap_between, is_fixed, with_listings
from .elements import ITEM, LEADER, Block, Line, Page, goes_on_with_number
from .evidence import Evidence, add_links
from .layout.figures import CAPTION
from .running_heads import mark_footnotes
from .running_text import NOTE, goes_on, is_of_short_lines

HEADING = 1.15  # least size of a heading, as a multiple of the text size
LEVELS = (1.7, 1.35)  # least sizes of headings of level 1 and 2
SAME_SIZE = 1.06  # ratio of two sizes that may be the same
LARGER, MAX_ABOVE = 1.1, 100  # by which a title is larger than other headings; characters above it
MAX_HEADING = 200  # characters
CENTRED = 0.5  # by which the middle of a centred title is off, in its heights
LETTERS, ROW_STEP = 0.7, 1.7  # least share of letters and digits in a heading from pixels; from row to row of a heading
_NUMBER = re.compile(r"(\d+(?:\.\d+)*)(?:\.\s*|\s+)(?=[^\W\d])")
_FIGURE = re.compile(r"[\d.,–-]*\d ?[^\W\d]{1,2}")  # with its unit: `2.1 M`
_CELLS = re.compile(r"(?<! ) {2,}(?! )")  # the reader writes two blanks between cells
NUMBERED_STEP = 3.5  # most from a heading in type of the text to the text below, in its heights
MAX_BOLD, BOLD_LINES = 100, 2  # characters and lines of a heading in bold
_LABEL = (  # behind a bullet; behind a number it is a name
    r"(?<=[^\w\]).]\s)(?:\(?(?:[IVXivx]+|[A-Za-z]|\d+)[.)]|\d+(?:\.\d+)+) "
)
_MARK = re.compile(rf"(?:{ITEM.pattern})\s*(?:{_LABEL})?")  # of an item, with its label
PARTED = 14  # characters before wide white in a heading: its number
SENTENCE, QUOTES = 6, "“„«"  # words of running text; marks that begin a quotation
HANG = 1.2  # indent of the meaning below a term, as a multiple of the size
_BETWEEN_NAMES = frozenset(
    ("and", "et", "und", "y", "de", "da", "di", "del", "der", "van", "von", "la", "le", "of", "the")
)
_DATE = re.compile(  # of a title page
    r"(?:\d{1,2}(?:st|nd|rd|th)?\.? )?(?:jan|feb|mar|mär|apr|avr|ma[iy]|ju[ln]|jui|aug|sep|o[ck]t|nov|d[eé][cz])"
    r"[^\W\d]*\.?,?(?: \d{1,2},?)? \d{4}",
    re.I,
)
NESTED = 0.3  # by which the type of an item differs from that of the item above
BODY_SHARE, BODY_CHARACTERS = 0.2, 400  # of the characters of a page, for a size of running text


def find_structure(page: Page, evidence: Evidence | None = None) -> None:
    """Set the kinds of the blocks of a page, assemble lists and listings, and mark links.

    Args:
        page: An upright page with its blocks in reading order; it is changed.
        evidence: Drawn objects of a PDF page.
    """
    if not page.blocks:
        return
    lines = [line for block in page.blocks if block.kind != "figure" for line in block.lines]
    body = _body_size([line for line in lines if not is_fixed(line)] or lines)
    drop_common_style(page.lines)
    if evidence is not None:
        add_links(page.lines, evidence.links)
    page.blocks = with_listings(page.blocks, LEVELS[1] * body)
    for block in page.blocks:
        if block.kind in REGIONS or block.kind == "code":
            continue
        size = float(np.median([line.height for line in block.lines]))
        text = block.text
        alone = len(block.lines) > 2 and size < LEVELS[1] * body and is_of_short_lines(block)  # an address
        alone = alone or (_is_sentence(text) and (size < LEVELS[1] * body or text[0] in QUOTES))
        alone = alone or text.find("  ") > PARTED  # the names of two fields
        alone = alone or _FIGURE.fullmatch(text.strip()) is not None or _is_of_signs(block)
        if size >= HEADING * body and not alone and len(text) <= MAX_HEADING and any(ch.isalpha() for ch in text):
            block.kind, block.level = "heading", 1 + sum(size < least * body for least in LEVELS)
            number = _NUMBER.match(text)
            block.level = min(block.level, 2) if number and "." not in number[1] else block.level
        elif ITEM.match(text):
            block.kind = "list"
    page.blocks = _with_whole_titles(_with_whole_headings(page.blocks))
    _unmark_authors(page.blocks)
    page.blocks = _with_lists(page.blocks)
    page.blocks = _with_bold_headings(page.blocks)
    _mark_continued(page.blocks)
    for block in page.blocks:
        if block.kind == "text" and CAPTION.match(block.text) and any(
            other.kind in ("table", "figure") and gap_between(block.box, other.box) < 3 * body for other in page.blocks
        ):  # fmt: skip
            block.kind = "caption"
    mark_footnotes(page)


def mark_title(page: Page) -> None:
    """Give the heading that begins the first page of a document level 1, if it is larger than all others there.

    From pixels, light type looks smaller than bold type: it may also be centred on the page, and no other one is.
    """
    heads = [block for block in page.blocks if block.kind == "heading" and block.lines]
    if not heads or _NUMBER.match(heads[0].text):
        return
    first, *sizes = (block.lines[0].height for block in heads)
    above = page.blocks[: page.blocks.index(heads[0])]
    body = _body_size([line for block in page.blocks if block.kind == "text" for line in block.lines])
    begins = all(block.kind == "text" for block in above) and sum(len(block.text) for block in above) <= MAX_ABOVE
    larger = all(first >= LARGER * size for size in sizes) and not any(block.level == 1 for block in heads)
    if begins and first >= HEADING * body and (larger or _is_only_centred(heads, page)):
        for block in heads[1:]:
            block.level = max(block.level, 2)
        heads[0].level = 1


def _is_only_centred(heads: list[Block], page: Page) -> bool:
    """Return whether the first of three headings from pixels is centred on the text of its page, and no other is."""
    boxes = [block.box for block in page.blocks if block.kind == "text"]
    left, right = min((box[0] for box in boxes), default=0.0), max((box[2] for box in boxes), default=0.0)
    off = [abs(block.box[0] + block.box[2] - left - right) / 2 < CENTRED * block.lines[0].height for block in heads]
    inset = heads[0].box[0] - left > 2 * heads[0].lines[0].height
    read = heads[0].lines[0].writer != "layer"
    return read and len(heads) > 2 and inset and off[0] and not any(off[1:])


def _mark_continued(blocks: list[Block]) -> None:
    """Mark text that goes on from another column, or above a figure: within a sentence, in type of the same size."""
    before: Block | None = None
    apart = False  # tables or figures lie between
    for block in blocks:
        if block.kind in REGIONS:
            apart = True
        elif block.kind != "text" or not block.lines:
            before = None if block.kind in ("heading", "list", "code") else before
        else:
            if before is not None and block.lines[0].height < NOTE * before.lines[-1].height:
                continue  # a note
            if before is not None and (apart or block.box[1] < before.box[1]) and not CAPTION.match(block.text):
                block.continues = goes_on(before, block)
            before, apart = block, False


def _body_size(lines: list[Line]) -> float:
    """Return the size of the page's running text: the largest that BODY_SHARE of many characters have.

    References and notes may fill most of a page in smaller type; the text is then no heading.
    """
    if not lines:
        return 16.0
    sizes = np.repeat([line.height for line in lines], [max(1, len(line.text)) for line in lines])
    median = float(np.median(sizes))
    large = [float(size) for size in unique_values(sizes) if size > SAME_SIZE * median]  # pixels give no exact sizes
    shares = {size: float((np.abs(sizes - size) < 0.06 * size).mean()) for size in large}
    return max([median, *(s for s in large if shares[s] >= BODY_SHARE and shares[s] * len(sizes) >= BODY_CHARACTERS)])


# -- headings --------------------------------------------------------------------------------------------------------


def _is_sentence(text: str) -> bool:
    """Return whether a text is running text: it ends with a full stop, and perhaps a quotation mark."""
    return text.rstrip(" ”’»\"'").endswith(".") and len(text.split()) >= SENTENCE


def _is_of_signs(block: Block) -> bool:
    """Return whether text from pixels has many signs between its letters, as a formula that was read as text."""
    text = "".join(block.text.split())
    read = all(line.writer != "layer" for line in block.lines)
    return read and (sum(map(str.isalnum, text)) < LETTERS * len(text) or text[:1] in "=+")


def _with_whole_headings(blocks: list[Block]) -> list[Block]:
    """Return the blocks with headings whole whose next row begins with a small letter; sizes from pixels differ."""
    out: list[Block] = []
    for block in blocks:
        last = out[-1] if out else block
        if last.kind == block.kind == "heading" and block.text[:1].islower():
            above, below = last.lines[-1], block.lines[0]
            step, high = below.box[1] - above.box[1], below.height
            middles = [(one.box[0] + one.box[2]) / 2 for one in (above, below)]
            aligned = min(abs(above.box[0] - below.box[0]), abs(middles[0] - middles[1])) < high / 2
            if aligned and 0 < step < ROW_STEP * high and abs(above.height - high) < NESTED * high:
                lines = [*last.lines, *block.lines]
                whole = Block(lines, union([last.box, block.box]), "heading", min(last.level, block.level))
                if _is_sentence(whole.text) and whole.text[0] in QUOTES:
                    whole.kind, whole.level = "text", 0
                out[-1] = whole
                continue
        out.append(block)
    return out


def _with_whole_titles(blocks: list[Block]) -> list[Block]:
    """Return the blocks with the rows of a title in one, and what stands on their right, as its number, before it."""
    out: list[Block] = []
    for block in blocks:
        title, beside = out[-2:] if len(out) > 1 else (block, block)
        rows = block.kind == title.kind == "heading" and block.level == title.level and beside.kind != "heading"
        if rows and len(beside.lines) == 1 and beside.box[0] > max(title.box[2], block.box[2]):
            last, first = title.lines[-1], block.lines[0]
            near = abs(last.box[0] - first.box[0]) < first.height and first.box[1] - last.box[3] < first.height / 2
            if near and title.box[1] < (beside.box[1] + beside.box[3]) / 2 < block.box[3]:
                whole = Block([*title.lines, *block.lines], union([title.box, block.box]), "heading", title.level)
                out[-2:] = [beside, whole]
                continue
        out.append(block)
    return out


def _unmark_authors(blocks: list[Block]) -> None:
    """Make text of the names of authors and their places, which stand below a title in type larger than the text."""
    heads = [k for k, block in enumerate(blocks) if block.kind == "heading"]
    if not heads:
        return
    for title in {heads[0], max(heads, key=lambda k: blocks[k].lines[0].height)}:
        for block in blocks[title + 1 :]:
            smaller = block.kind == "heading" and block.lines[0].height <= blocks[title].lines[0].height
            if not smaller or not (_names_authors(block) or _DATE.fullmatch(block.text.strip())):
                break
            block.kind, block.level = "text", 0


def _names_authors(block: Block) -> bool:
    """Return whether a block has marks of notes, an address of mail, or names with commas between them."""
    text = block.text
    if "@" in text or any(style == "superscript" for line in block.lines for _, _, style in line.styles):
        return True
    words = [word for word in re.findall(r"[^\W\d_]+\.?", text) if word.lower() not in _BETWEEN_NAMES]
    names = len(words) > 3 and all(word[0].isupper() for word in words)
    return names and re.search(r",\s|  |\b(?:and|et|und|y)\b|&", text) is not None and ":" not in text


def _with_bold_headings(blocks: list[Block]) -> list[Block]:
    """Return the blocks with headings that have the size of the text: bold lines above text that is not bold.

    The level follows from the number of the heading: `4` is level 2, `4.1` level 3. Without a number it is 3, and the
    text below must run on over a line or be a list.
    """
    out: list[Block] = []
    for block in blocks:
        bold = [_bold_share([line]) > 0.9 for line in block.lines]
        count = bold.index(False) if False in bold else 0
        first, rest = block.lines[:count], block.lines[count:]
        if block.kind == "text" and 0 < count <= BOLD_LINES and _bold_share(rest) < 0.5:
            out.append(Block(first, union(line.box for line in first), angle=block.angle))
            out.append(Block(rest, union(line.box for line in rest), angle=block.angle))
        else:
            out.append(block)
    heads = [k for k, (block, below) in enumerate(pairwise(out)) if _is_bold_heading(block, below)]
    heads += _numbered_heads(out)
    for k in heads:
        number = _NUMBER.match(out[k].text)
        out[k].kind, out[k].level = "heading", min(6, number[1].count(".") + 2) if number else 3
    return out if heads else blocks


def _numbered_heads(blocks: list[Block]) -> list[int]:
    """Return the lines in type of the text that are headings by their numbers: `1.1.1 Feeding` below `1.1 Geese`."""
    known = {number[1] for block in blocks if block.kind == "heading" and (number := _NUMBER.match(block.text))}
    found = []
    for k, (block, below) in enumerate(pairwise(blocks)):
        if block.kind not in ("text", "list") or len(block.lines) != 1 or below.kind != "text":
            continue
        text, number = block.text.strip(), _NUMBER.match(block.text)
        if not number:
            continue
        above = number[1].rpartition(".")[0]
        words = text[number.end() :].strip()
        if above in known and words[:1].isupper() and len(text) <= MAX_BOLD and words[-1:].isalpha():
            high = block.lines[0].height
            if 0 < below.box[1] - block.box[1] < NUMBERED_STEP * high > abs(below.box[0] - block.box[0]):
                found.append(k)
                known.add(number[1])
    return found


def _is_bold_heading(block: Block, below: Block) -> bool:
    if not 0 < len(block.lines) <= BOLD_LINES:
        return False
    text, size = block.text.strip(), block.lines[0].height
    number = _NUMBER.match(text)
    single = block.kind == "list" and len(block.lines) == 1 and number
    if not (block.kind == "text" or single):
        return False
    if below.kind not in ("text", "list") and not (below.kind in (*REGIONS, "code") and number):
        return False
    if not 1 < len(text) <= MAX_BOLD or text[-1] in ".,;:" or _CELLS.search(text) or CAPTION.match(text):
        return False
    if (
        not any(ch.isalpha() for ch in text)
        or _FIGURE.fullmatch(text)
        or _bold_share(block.lines, number.end() if number else 0) < 0.9
        or (below.kind in ("text", "list") and _bold_share(below.lines) > 0.5)
    ):
        return False
    hang = 3.0 if number else HANG  # a term stands to the left of its meaning
    beside = -hang * size < block.box[0] - below.box[0] < 3 * size or below.kind == "list"
    near = 0 < below.box[1] - block.lines[-1].box[1] < 3.5 * size and beside
    runs_on = len(below.lines) > 1 and not is_of_short_lines(below)  # an address has its addressee above it
    runs_on = runs_on or (len(below.lines) == 1 and _is_sentence(below.text))
    return near and (number is not None or below.kind == "list" or runs_on)


def _bold_share(lines: list[Line], number: int = 0) -> float:
    """Return the share of characters in bold type. number: characters at the start that may have any type."""
    bold = sum(count_in_style(line, "bold") for line in lines)
    return bold / max(1, sum(len(line.text) for line in lines) - number)


# -- lists -----------------------------------------------------------------------------------------------------------


def _with_lists(blocks: list[Block]) -> list[Block]:
    """Return the blocks with wrapped list items whole and neighbouring items in one block of kind `list`."""
    out: list[Block] = []
    heads = _bold_numbers(blocks)
    for block in blocks:
        if block.kind not in ("list", "text") or id(block) in heads:
            out.append(block)
            continue
        for lines in _item_runs(block.lines):
            last = out[-1] if out and out[-1].kind == "list" and id(out[-1]) not in heads else None
            if last and (_is_item(lines[0]) or _continues(last, lines)) and _follows(last, lines[0]):
                last.lines += lines
                last.box = union(line.box for line in last.lines)
            else:
                kind = "list" if _is_item(lines[0]) else "text"
                whole = len(lines) == len(block.lines) and kind == block.kind
                out.append(block if whole else Block(lines, union(line.box for line in lines), kind, angle=block.angle))
    return out


def _bold_numbers(blocks: list[Block]) -> set[int]:
    """Return the ids of single bold lines whose numbers follow one another, some above a text: headings, not items."""
    found = {}
    for block, below in pairwise(blocks):
        number = _NUMBER.match(block.text) if block.kind == "list" else None
        rest = block.lines[1:] or (below.lines if below.kind == "text" else [])
        if number and number[1].isdigit() and _bold_share(block.lines[:1], number.end()) > 0.9 > 2 * _bold_share(rest):
            found[int(number[1])] = block, _is_sentence(" ".join(line.text for line in rest))
    heads = {n: id(block) for n, (block, _) in found.items() if len(block.lines) == 1 and {n - 1, n + 1} & found.keys()}
    return set(heads.values()) if any(above_text for _, above_text in found.values()) else set()


def _item_runs(lines: list[Line]) -> list[list[Line]]:
    """Return runs of lines: each item with the lines that continue it, and the lines between."""
    runs: list[list[Line]] = []
    left, right = min(line.box[0] for line in lines), max(line.box[2] for line in lines)
    if all(line.box[2] < lines[-1].box[0] for line in lines[:-1]):  # points of a question, at the right edge
        right = max([line.box[2] for line in lines[:-1]] or [right])
    full = right - 0.15 * (right - left)
    for line in lines:
        inside = runs and _is_item(runs[-1][0]) and (_hangs(runs[-1][0], line) or runs[-1][-1].box[2] > full)
        inside = inside and not LEADER.search(runs[-1][-1].text)  # an entry of contents ends with its number
        within = bool(runs) and runs[-1][-1].box[2] > full and goes_on_with_number(runs[-1][-1].text, line.text)
        if runs and (within or not _is_item(line)) and (inside or not _is_item(runs[-1][0])):
            runs[-1].append(line)
        else:
            runs.append([line])
    return runs


def _is_item(line: Line) -> bool:
    return ITEM.match(line.text) is not None


def _hangs(item: Line, line: Line) -> bool:
    """Return whether a line is as far to the right as the text of an item, not its mark."""
    return line.box[0] > (item.box[0] + _text_start(item)) / 2


def _text_start(item: Line) -> float:
    """Return where the text of an item begins, after its mark."""
    found = _MARK.match(item.text)
    start = len(item.text) - len(item.text[len(found[0]) if found else 0 :].lstrip())
    return item.characters[start][0] if start < len(item.characters) else item.box[0] + 1.0


def _continues(block: Block, lines: list[Line]) -> bool:
    """Return whether lines without a mark continue the last item of a list."""
    item = next(line for line in reversed(block.lines) if _is_item(line))
    text = _text_start(item)
    if LEADER.search(block.lines[-1].text):
        return False
    full = block.lines[-1].box[2] > lines[0].box[0] + 0.6 * (block.box[2] - block.box[0])
    return full and all(abs(line.box[0] - text) < 0.8 * line.height for line in lines)


def _follows(block: Block, line: Line) -> bool:
    """Return whether a line is below a list, close to it and of its size; nested items may have another."""
    last = max(block.lines[-2:], key=lambda one: one.box[1])  # the last one may be points, at the right edge
    item = next(one for one in reversed(block.lines) if _is_item(one))
    nested = _is_item(line) and abs(line.box[0] - item.box[0]) > 0.5 * line.height
    return (
        0 < line.box[1] - last.box[1] < 3.2 * last.height
        and line.box[0] < block.box[2]
        and abs(line.height - last.height) < (NESTED if nested else 0.15) * last.height
    )
