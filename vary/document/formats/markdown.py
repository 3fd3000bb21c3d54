"""Write a document as Markdown, one page at a time, so that memory does not grow with the number of pages.

Recognised text is untrusted: it can contain markup. All of it is escaped, and the only markup is that of the blocks'
kinds. Headers, footers and lost pages are named in comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from ..elements import ITEM, LINK, LOST, MATH, NOTE_MARK, SCRIPTS, Block, Line, Page
from ..findings import FileInfo
from ..running_text import join_pages, join_parts
from .runs import Run, after_prefix, line_runs, name_loss, without_start
from .tables import has_merged_body, html_table, simple_rows, write_cells

Pages = Iterator[Page]
_SCRIPTS = frozenset(SCRIPTS)
BULLETS = frozenset("•‣▪●○◦■□◆♦❖▶►➢➤–*·.-")  # marks of list items that Markdown writes itself
# Inside a line: emphasis, code, math, strikethrough; what closes a link; tags; entities. Then at its beginning.
_INLINE = re.compile(r"[\\`*$]|\[(?=\^)|(?<![^\W_])_(?=_*[^\s_])|~~|\](?=[(\[:])|<(?=[A-Za-z/!?])|&(?=#|\w+;)")
_CELL_FORMULA = re.compile(r"(\$[^$]*[\\^_][^$]*\$)")
_UNLINKED = re.compile(r"(?i)#|\s*(?:javascript|vbscript|data):")
_BEGINNING = re.compile(r"(?m)^(?:(\d{1,9})(?=[.)](?:\s|$))|(?=[#>+=|~-]|:-|_[_ ]*$))")


def front_matter(source: str, info: FileInfo, pages: int) -> str:
    """Return YAML front matter with title, author, source and number of pages, and the empty line after it."""
    known = {"title": info.title, "author": info.author, "source": source, "pages": pages}
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in known.items() if value]
    return "\n".join(["---", *lines, "---", "", ""])


def markdown(source: str, model: str, pages: Pages, info: FileInfo | None = None) -> Iterator[str]:
    """Yield the parts of a CommonMark text with tables. Comments hold page numbers, headers, footers and lost pages.

    Footnotes keep their marks as labels. One that an earlier page has used gets the page's number before it.
    """
    labels: set[str] = set()
    labelled = (_with_new_labels(page, labels) for page in pages)
    for _, lead, text in join_pages(labelled, block_markdown, _page_mark):
        yield lead + text


def _page_mark(page: Page) -> str:
    lost = f"\n\n<!-- {_comment(name_loss(page))} -->" if page.status in LOST else ""
    return f"<!-- page {page.number} -->{lost}"


def _with_new_labels(page: Page, taken: set[str]) -> Page:
    """Return the page with labels of footnotes that are not taken, and add them to `taken`."""
    notes = [line for block in page.blocks if block.kind == "footnote" for line in block.lines]
    labels = {style for line in notes for _, _, style in line.styles if style.startswith(NOTE_MARK)}
    changed = {name: f"{NOTE_MARK}{page.number}-{name.removeprefix(NOTE_MARK)}" for name in labels & taken}
    taken |= {changed.get(name, name) for name in labels}
    if not changed:
        return page

    def renamed(line: Line) -> Line:
        return replace(line, styles=[(start, end, changed.get(style, style)) for start, end, style in line.styles])

    return replace(page, blocks=[replace(b, lines=[renamed(line) for line in b.lines]) for b in page.blocks])


def page_markdown(page: Page) -> str:
    """Return the Markdown of one page, without a mark for the page."""
    parts = join_parts((block, block_markdown(block)) for block in page.blocks)
    return "\n\n".join(text for _, text in parts if text)


def block_markdown(block: Block) -> str:
    """Return the Markdown of one block; empty when it holds nothing to show."""
    return _MARKDOWN.get(block.kind, _paragraph)(block)


def _paragraph(block: Block) -> str:
    return "  \n".join(_begun(_write_runs(runs)) for runs in line_runs(block))


def _write_runs(runs: list[Run]) -> str:
    """Return a line in Markdown: ** for bold, * for italics, backticks for fixed-width type, and links."""
    out = ""
    for target, group in groupby(runs, key=lambda run: _link(run[1])):
        inner = _write_emphasis(group)
        out += f"[{inner}]({target})" if target else inner
    return out


def _link(look: frozenset[str]) -> str:
    """Return the address of a run's link, fit for Markdown; empty where it has none that may be followed."""
    return _address(after_prefix(look, LINK))


def _address(target: str) -> str:
    """Return a target fit for Markdown. Links inside the file, which has no anchors, and scripts are left out."""
    return "" if _UNLINKED.match(target) else re.sub(r"[\s()<>\\]", lambda m: f"%{ord(m[0]):02X}", target)


def _write_emphasis(runs: Iterable[Run]) -> str:
    """Return runs with their emphasis, in the places where CommonMark reads the marks as marks.

    A mark works next to a letter or digit inside it, or next to a blank or punctuation outside it. Where neither is so,
    punctuation and scripts at the ends of an emphasised part are left out of it.
    """
    parts, out = _group_by_emphasis([*runs]), ""
    for (mark, group), (_, following) in zip(parts, [*parts[1:], ("", [])], strict=True):
        places = _letters(group) if mark else []
        if not mark or out.endswith("*") or not (places or _is_apart(out[-1:])):
            out += _plain(group)
            continue
        begin, end = (0, 0), (len(group), 0)
        if not (_is_apart(out[-1:]) or places[:1] == [begin]):
            begin = places[0]
        after = following[0][0][:1] if following else ""
        if not (_is_apart(after) or (places and places[-1] == (len(group) - 1, len(group[-1][0]) - 1))):
            if not places:
                out += _plain(group)
                continue
            end = places[-1][0], places[-1][1] + 1
        inside = _plain(_cut(group, begin, end))
        out += (
            f"{_plain(_cut(group, (0, 0), begin))}{mark}{inside}{mark[::-1]}{_plain(_cut(group, end, (len(group), 0)))}"
        )
    return out


def _is_apart(neighbour: str) -> bool:
    """Return whether the character outside a mark is none, a blank, or punctuation other than a mark."""
    return not neighbour.isalnum() and neighbour != "*"


def _group_by_emphasis(runs: list[Run]) -> list[tuple[str, list[Run]]]:
    """Join neighbouring runs of the same emphasis, also across blanks, and return each part with its mark.

    Fixed-width type has none: backticks that touch would read as one longer mark.
    """
    marks = ["" if look & {"mono", *MATH} else "**" * ("bold" in look) + "*" * ("italic" in look) for _, look in runs]
    for k in range(1, len(runs) - 1):
        if not runs[k][0].strip() and not runs[k][1] and marks[k - 1] == marks[k + 1]:
            marks[k] = marks[k - 1]
    numbered = groupby(range(len(runs)), key=lambda k: marks[k])
    return [(mark, [runs[k] for k in group]) for mark, group in numbered]


Place = tuple[int, int]  # a run, and a character of it


def _letters(runs: list[Run]) -> list[Place]:
    """Return the places of letters and digits, without those in scripts and fixed-width type, which end in markup."""
    return [
        (k, at)
        for k, (text, look) in enumerate(runs)
        if "mono" not in look and not look & {*_SCRIPTS, *MATH}
        for at, ch in enumerate(text)
        if ch.isalnum()
    ]


def _cut(runs: list[Run], begin: Place, end: Place) -> list[Run]:
    """Return the runs from one place up to another."""
    parts = []
    for k in range(begin[0], min(end[0] + 1, len(runs))):
        text, look = runs[k]
        text = text[begin[1] if k == begin[0] else 0 : end[1] if k == end[0] else None]
        parts += [(text, look)] if text else []
    return parts


def _plain(runs: Iterable[Run]) -> str:
    """Return runs without emphasis: fixed-width type in backticks, scripts in tags, formulas in dollars."""
    out = ""
    for look, group in groupby(runs, key=lambda run: _plain_look(run[1])):
        text = "".join(piece for piece, _ in group)
        if label := after_prefix(look, NOTE_MARK):
            out += f"[^{label}]"
            continue
        if look & {*MATH}:
            piece = f"${_latex(text)}$"
        elif "mono" in look:
            ticks = "`" * (1 + max((len(found) for found in re.findall("`+", text)), default=0))
            pad = " " if text[0] == "`" or text[-1] == "`" else ""
            piece = f"{ticks}{pad}{text}{pad}{ticks}"
        else:
            piece = _escape(text)
        for name in sorted(_SCRIPTS & look):
            piece = f"<{name[:3]}>{piece}</{name[:3]}>"
        out += piece
    return out


def _plain_look(look: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in look if name in {"mono", *_SCRIPTS, *MATH} or name.startswith(NOTE_MARK))


def _footnote(block: Block) -> str:
    """Return a footnote with its label before the text. Its lines go on in one paragraph."""
    (mark, *first), *others = line_runs(block)
    texts = [_write_runs(first).lstrip(), *map(_write_runs, others)]
    return f"[^{after_prefix(mark[1], NOTE_MARK)}]: " + "  \n    ".join(texts)


def _code(block: Block) -> str:
    """Return a fenced code block with a fence longer than any run of backticks inside."""
    text = block.text
    fence = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def _begun(text: str) -> str:
    """Escape what would make a line a heading, a list, a rule, a quotation or a table."""
    return _BEGINNING.sub(lambda m: (m[1] or "") + "\\", text)


def _inline(text: str) -> str:
    """Escape the characters inside lines that are markup for CommonMark and GitHub."""
    return _escape(_single_spaced(text))


def _single_spaced(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.split("\n"))


def _escape(text: str) -> str:
    return _INLINE.sub(r"\\\g<0>", text)


def _heading(block: Block) -> str:
    return "#" * max(1, min(6, block.level)) + " " + _inline(block.text).replace("\n", " ").rstrip("#")


def _list(block: Block) -> str:
    items: list[str] = []
    indents = _indents(block)
    for runs in line_runs(block):
        found = ITEM.match("".join(text for text, _ in runs))
        mark = found[0].strip() if found else ""
        text = _begun(_write_runs(without_start(runs, len(found[0]) if found else 0)))
        if not found and items:
            items.append("  " + text)
            continue
        indent = next(indents, "")
        if re.fullmatch(r"\d+[.)]", mark):
            items.append(f"{indent}{mark} {text}")
        else:
            items.append(f"{indent}- {'' if mark in BULLETS else _inline(mark) + ' '}{text}")
    return "\n".join(items)


def _indents(block: Block) -> Iterator[str]:
    """Yield the indent of each item of a list: nested items begin farther to the right."""
    open_items: list[tuple[float, int]] = []  # left edge of an item, and the width of its indent and mark
    for line in block.lines:
        found = ITEM.match(line.text)
        if found is None:
            continue
        step = 0.6 * (line.box[3] - line.box[1])
        while open_items and line.box[0] < open_items[-1][0] + step:
            open_items.pop()
        indent = open_items[-1][1] if open_items else 0
        mark = found[0].strip()
        open_items.append((line.box[0], indent + (len(mark) + 1 if re.fullmatch(r"\d+[.)]", mark) else 2)))
        yield " " * indent


def _table(block: Block) -> str:
    """Return a table with pipes, its head in one row; HTML where cells of its body are merged."""
    if not block.cells:
        return _paragraph(block)
    if has_merged_body(block):
        return html_table(block)
    rows = simple_rows(write_cells(block, _cell, _cell_link))
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cell_link(text: str, target: str) -> str:
    address = _address(target).replace("|", "%7C")
    return f"[{text}]({address})" if address else text


def _cell(text: str) -> str:
    """Escape the text of a cell, but for its formulas."""
    parts = _CELL_FORMULA.split(_single_spaced(text))
    parts[::2] = [_escape(part).replace("|", r"\|") for part in parts[::2]]
    parts[1::2] = ["$" + _latex(part[1:-1]).replace("|", r"\vert ") + "$" for part in parts[1::2]]
    return "".join(parts)


def _figure(block: Block) -> str:
    if block.image:
        alt = re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", _inline(block.alt)).replace("\n", " ")
        return f"![{alt or 'figure'}]({block.image})"
    return f"<!-- figure: {_comment(block.alt)} -->" if block.alt else "<!-- figure -->"


def _formula(block: Block) -> str:
    if block.is_picture:
        return f"![formula]({block.image})" if block.image else _paragraph(block)
    return f"$${_latex(block.text)}$$"


def _latex(text: str) -> str:
    return text.replace("$", r"\$").replace("<", r"\lt ")


def _comment(text: str) -> str:
    """Return text that cannot end a comment."""
    return re.sub(r"-(?=-)", "- ", " ".join(text.split())).replace(">", "&gt;").replace("<", "&lt;")


_MARKDOWN: dict[str, Callable[[Block], str]] = {
    "heading": _heading, "list": _list, "code": _code, "table": _table, "figure": _figure, "formula": _formula,
    "footnote": _footnote,
    "header": lambda block: f"<!-- header: {_comment(block.text)} -->",
    "footer": lambda block: f"<!-- footer: {_comment(block.text)} -->",
}  # fmt: skip
