"""Write a Document as one HTML page. Text from the document is always escaped."""

from __future__ import annotations

import html as html_lib
from collections.abc import Callable, Iterator

from ..elements import LINK, LOST, Block, Page
from ..findings import FileInfo
from ..running_text import join_parts
from .markdown import Pages
from .runs import line_runs, name_loss
from .tables import html_link, html_table


def html(source: str, model: str, pages: Pages, info: FileInfo | None = None) -> Iterator[str]:
    """Yield the parts of a self-contained HTML page. It has no script and loads only the figures next to it."""
    title = _safe((info and info.title) or source)
    yield (
        '<!doctype html>\n<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>body{{max-width:45em;margin:2em auto;font-family:serif;padding:0 1em}}"
        "table{border-collapse:collapse}td{border:1px solid #999;padding:.2em .5em}img{max-width:100%}"
        "header,footer,.lost{color:#777;font-size:small}</style></head><body>\n"
    )
    for page in pages:
        lost = f'<p class="lost">{_safe(name_loss(page))}</p>\n'
        blocks = "\n".join(_html_parts(page))
        status = _safe(page.status)
        yield f'<section id="page-{page.number}" data-status="{status}">\n{lost if page.status in LOST else ""}'
        yield f"{blocks}\n</section>\n"
    yield "</body></html>"


def _safe(text: str) -> str:
    return html_lib.escape(text).replace("\n", "<br>")


_TAGS = (
    ("mono", "code"), ("italic", "em"), ("bold", "strong"), ("superscript", "sup"), ("subscript", "sub"),
)  # fmt: skip


def _html_lines(block: Block) -> list[str]:
    lines = []
    for runs in line_runs(block):
        line = ""
        for text, look in runs:
            piece = rf"\({_safe(text)}\)" if "math" in look else _safe(text)
            for style, tag in _TAGS:
                piece = f"<{tag}>{piece}</{tag}>" if style in look else piece
            for target in (name.removeprefix(LINK) for name in look if name.startswith(LINK)):
                piece = html_link(piece, target)
            line += piece
        lines.append(line)
    return lines


def _html_parts(page: Page) -> Iterator[str]:
    """Yield the blocks of a page. A paragraph over columns is one, and one that goes on from another page is marked."""
    written = ((block, (_HTML.get(block.kind) or _html_text)(block)) for block in page.blocks)
    for (block, *_), text in join_parts(written):
        attribute = ' class="continues"' if block.continues else ""
        yield text if block.kind in _HTML else f"<p{attribute}>{text}</p>"


def _html_text(block: Block) -> str:
    return "<br>".join(_html_lines(block))


def _html_paragraph(block: Block) -> str:
    return f"<p>{_html_text(block)}</p>"


def _html_heading(block: Block) -> str:
    level = max(1, min(6, block.level))
    return f"<h{level}>{_safe(block.text)}</h{level}>"


def _html_list(block: Block) -> str:
    return "<ul>" + "".join(f"<li>{line}</li>" for line in _html_lines(block)) + "</ul>"


def _html_table(block: Block) -> str:
    return html_table(block) if block.cells else _html_paragraph(block)


def _html_figure(block: Block) -> str:
    if not block.image:
        return "<!-- figure -->" if not block.alt else f"<p><small>{_safe(block.alt)}</small></p>"
    alt = html_lib.escape(block.alt or "figure")
    return f'<figure><img src="{_safe(block.image)}" alt="{alt}"></figure>'


_HTML: dict[str, Callable[[Block], str]] = {
    "heading": _html_heading, "list": _html_list, "table": _html_table, "figure": _html_figure,
    "formula": lambda block: f"<pre>{_safe(block.text)}</pre>",
    "code": lambda block: f"<pre><code>{html_lib.escape(block.text)}</code></pre>",
    "caption": lambda block: f"<p><small>{_safe(block.text)}</small></p>",
    "footnote": lambda block: f"<p><small>{'<br>'.join(_html_lines(block))}</small></p>",
    "header": lambda block: f"<header>{_safe(block.text)}</header>",
    "footer": lambda block: f"<footer>{_safe(block.text)}</footer>",
}  # fmt: skip
