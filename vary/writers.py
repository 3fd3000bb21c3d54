"""A document as Markdown, plain text, HTML and JSON, page by page: a thousand pages need the memory of one.

What a model read is untrusted: a page can spell markup. Markdown and HTML are escaped so that none of it takes effect;
the only markup is what the writer sets for a block's kind. Headers and footers are kept, set apart. A page that was
lost is named where its text would stand.
"""

from __future__ import annotations

import html as html_lib
import json as json_lib
import re
from collections.abc import Callable, Iterator
from itertools import groupby

from .document import ITEM, LOST, Block, Page, document_head

Pages = Iterator[Page]
# Inside a line: emphasis, code, math, strikethrough; what closes a link; tags; entities. Then at its beginning.
_INLINE = re.compile(r"[\\`*$]|(?<!\w)_|_(?!\w)|~~|\](?=[(\[:])|<(?=[A-Za-z/!?])|&(?=#|\w+;)")
_BEGINNING = re.compile(r"(?m)^(?:(\d{1,9})(?=[.)](?:\s|$))|(?=[#>+=|~-]|:-))")


def plain(source: str, model: str, pages: Pages) -> Iterator[str]:
    """Text as it was read, an empty line between blocks."""
    gap = ""
    for page in pages:
        if page.text:
            yield gap + page.text
            gap = "\n\n"


def json(source: str, model: str, pages: Pages) -> Iterator[str]:
    """As `Document.json`, see `document.schema.json`."""
    head = json_lib.dumps(document_head(source, model), ensure_ascii=False)
    yield head[:-1] + ', "pages": ['
    for k, page in enumerate(pages):
        yield (",\n" if k else "\n") + json_lib.dumps(page.to_dict(), ensure_ascii=False)
    yield "\n]}"


def markdown(source: str, model: str, pages: Pages) -> Iterator[str]:
    """CommonMark with tables. Page numbers, headers, footers and lost pages stand in comments."""
    for k, page in enumerate(pages):
        parts = [f"<!-- page {page.number} -->"]
        if page.status in LOST:
            parts.append(f"<!-- {_comment(_loss(page))} -->")
        parts += [_MARKDOWN.get(block.kind, _paragraph)(block) for block in page.blocks]
        yield ("\n\n" if k else "") + "\n\n".join(part for part in parts if part)


def _loss(page: Page) -> str:
    return f"page {page.number}: {page.status}" + (f": {page.error}" if page.error else "")


def _paragraph(block: Block) -> str:
    return "  \n".join(_begun(_marked(runs)) for runs in _line_runs(block))


Run = tuple[str, frozenset[str]]  # a piece of a line and the styles that it is set in


def _line_runs(block: Block) -> list[list[Run]]:
    """The lines of a block's text, each in runs of one style; no run of a style ends in white space."""
    text, spans = block.told()
    looks: list[frozenset[str]] = [frozenset()] * len(text)
    for start, end, style in spans:
        for k in range(start, end):
            looks[k] |= {style}
    lines, at = [], 0
    for line in text.split("\n"):
        lines.append(_runs(line, looks[at : at + len(line)]))
        at += len(line) + 1
    return lines


def _runs(line: str, looks: list[frozenset[str]]) -> list[Run]:
    runs: list[Run] = []
    for look, group in groupby(zip(line, looks, strict=True), key=lambda pair: pair[1]):
        piece = re.sub(r"\s+", " ", "".join(ch for ch, _ in group))
        inside = piece.strip() if look else piece
        before, _, after = piece.partition(inside) if inside else (piece, "", "")
        runs += [
            (text, own) for text, own in ((before, frozenset[str]()), (inside, look), (after, frozenset[str]())) if text
        ]
    if runs:
        runs[0] = (runs[0][0].lstrip(), runs[0][1])
        runs[-1] = (runs[-1][0].rstrip(), runs[-1][1])
    return runs


def _marked(runs: list[Run]) -> str:
    """A line in Markdown: ** around what is bold, * around italics, backticks around typewriter."""
    out = ""
    for text, look in runs:
        if "mono" in look:
            ticks = "`" * (1 + max((len(found) for found in re.findall("`+", text)), default=0))
            pad = " " if text[0] == "`" or text[-1] == "`" else ""
            piece = f"{ticks}{pad}{text}{pad}{ticks}"
        else:
            piece = _escaped(text)
        mark = "**" * ("bold" in look) + "*" * ("italic" in look)
        out += f"{mark}{piece}{mark[::-1]}"
    return out


def _code(block: Block) -> str:
    """A fenced block, its fence longer than any inside."""
    text = block.text
    fence = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def _begun(text: str) -> str:
    """No line begins like a heading, a list, a rule, a quotation or a table."""
    return _BEGINNING.sub(lambda m: (m[1] or "") + "\\", text)


def _inline(text: str) -> str:
    """No character inside a line is markup, as CommonMark and GitHub read it."""
    return "\n".join(_escaped(" ".join(line.split())) for line in text.split("\n"))


def _escaped(text: str) -> str:
    return _INLINE.sub(r"\\\g<0>", text)


def _heading(block: Block) -> str:
    return "#" * max(1, min(6, block.level)) + " " + _inline(block.text).replace("\n", " ").rstrip("#")


def _list(block: Block) -> str:
    items: list[str] = []
    for runs in _line_runs(block):
        found = ITEM.match("".join(text for text, _ in runs))
        mark = found[0].strip() if found else ""
        text = _begun(_marked(_after(runs, len(found[0]) if found else 0)))
        if not found and items:
            items.append("  " + text)
        elif re.fullmatch(r"\d+[.)]", mark):
            items.append(f"{mark} {text}")
        else:
            items.append(f"- {_inline(mark) + ' ' if mark[:1].isalnum() or mark[:1] == '(' else ''}{text}")
    return "\n".join(items)


def _after(runs: list[Run], count: int) -> list[Run]:
    """The runs without their first characters."""
    left: list[Run] = []
    for text, look in runs:
        if text[count:]:
            left.append((text[count:].lstrip() if not left else text[count:], look))
        count = max(0, count - len(text))
    return left


def _table(block: Block) -> str:
    rows = [[_inline(cell).replace("|", r"\|") for cell in row] for row in block.cells or []]
    if not rows:
        return _paragraph(block)
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _figure(block: Block) -> str:
    return f"![figure]({block.image})" if block.image else "<!-- figure -->"


def _formula(block: Block) -> str:
    return "$$\n" + block.text.replace("$", r"\$").replace("<", r"\lt ") + "\n$$"


def _comment(text: str) -> str:
    """Text that cannot end a comment."""
    return re.sub(r"-(?=-)", "- ", " ".join(text.split())).replace(">", "&gt;").replace("<", "&lt;")


_MARKDOWN: dict[str, Callable[[Block], str]] = {
    "heading": _heading, "list": _list, "code": _code, "table": _table, "figure": _figure, "formula": _formula,
    "header": lambda block: f"<!-- header: {_comment(block.text)} -->",
    "footer": lambda block: f"<!-- footer: {_comment(block.text)} -->",
}  # fmt: skip


def html(source: str, model: str, pages: Pages) -> Iterator[str]:
    """A web page of its own: no script, nothing fetched but the figures written beside it."""
    yield (
        '<!doctype html>\n<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_safe(source)}</title><style>body{{max-width:45em;margin:2em auto;font-family:serif;padding:0 1em}}"
        "table{border-collapse:collapse}td{border:1px solid #999;padding:.2em .5em}img{max-width:100%}"
        "header,footer,.lost{color:#777;font-size:small}</style></head><body>\n"
    )
    for page in pages:
        lost = f'<p class="lost">{_safe(_loss(page))}</p>\n'
        blocks = "\n".join(_HTML.get(block.kind, _html_paragraph)(block) for block in page.blocks)
        status = _safe(page.status)
        yield f'<section id="page-{page.number}" data-status="{status}">\n{lost if page.status in LOST else ""}'
        yield f"{blocks}\n</section>\n"
    yield "</body></html>"


def _safe(text: str) -> str:
    return html_lib.escape(text).replace("\n", "<br>")


_TAGS = (("mono", "code"), ("italic", "em"), ("bold", "strong"))


def _html_lines(block: Block) -> list[str]:
    lines = []
    for runs in _line_runs(block):
        line = ""
        for text, look in runs:
            piece = _safe(text)
            for style, tag in _TAGS:
                piece = f"<{tag}>{piece}</{tag}>" if style in look else piece
            line += piece
        lines.append(line)
    return lines


def _html_paragraph(block: Block) -> str:
    return f"<p>{'<br>'.join(_html_lines(block))}</p>"


def _html_heading(block: Block) -> str:
    level = max(1, min(6, block.level))
    return f"<h{level}>{_safe(block.text)}</h{level}>"


def _html_list(block: Block) -> str:
    return "<ul>" + "".join(f"<li>{line}</li>" for line in _html_lines(block)) + "</ul>"


def _html_table(block: Block) -> str:
    rows = ("".join(f"<td>{_safe(cell)}</td>" for cell in row) for row in block.cells or [])
    return (
        "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>" if block.cells else _html_paragraph(block)
    )


def _html_figure(block: Block) -> str:
    return f'<figure><img src="{_safe(block.image)}" alt="figure"></figure>' if block.image else "<!-- figure -->"


_HTML: dict[str, Callable[[Block], str]] = {
    "heading": _html_heading, "list": _html_list, "table": _html_table, "figure": _html_figure,
    "formula": lambda block: f"<pre>{_safe(block.text)}</pre>",
    "code": lambda block: f"<pre><code>{html_lib.escape(block.text)}</code></pre>",
    "caption": lambda block: f"<p><small>{_safe(block.text)}</small></p>",
    "header": lambda block: f"<header>{_safe(block.text)}</header>",
    "footer": lambda block: f"<footer>{_safe(block.text)}</footer>",
}  # fmt: skip

WRITERS: dict[str, Callable[[str, str, Pages], Iterator[str]]] = {
    "text": plain, "md": markdown, "html": html, "json": json,
}  # fmt: skip
SUFFIXES = {"text": ".txt", "md": ".md", "html": ".html", "json": ".json", "pdf": ".pdf", "overlay": "_overlay"}
