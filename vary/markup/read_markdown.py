"""Markdown (a user's own, or what `blocks.to_markdown` wrote) -> blocks. By markdown-it, with rules for LaTeX.

What a page cannot be made of (pictures, HTML, rules) is left out and counted by name; nothing vanishes in silence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any

from ..io.errors import InputError
from .blocks import (
    Block,
    Code,
    Formula,
    Heading,
    Item,
    Note,
    Paragraph,
    Quote,
    Run,
    Runs,
    Table,
    parse_tabular,
    trimmed,
)

_INLINE = re.compile(
    r"\\\((?P<brackets>.+?)\\\)|\$(?P<dollars>[^$\s](?:[^$\n]*[^$\s\\])?)\$(?!\d)|\[\^(?P<note>[^\]\s]+)\]", re.S
)
_DISPLAY = re.compile(
    r" {0,3}(?:\\\[(?P<brackets>.+?)\\\]|\$\$(?P<dollars>.+?)\$\$|(?P<tabular>\\begin\{tabular\}.*?\\end\{tabular\})"
    r"|\[\^(?P<label>[^\]\s]+)\]:(?P<note>[^\n]*(?:\n(?!\s*\n|\[\^)[^\n]+)*))[ \t]*(?=\n|\Z)",
    re.S,
)
_TAG = re.compile(r"\\tag\{([^{}]*)\}")
_CAPTION = re.compile(r"(?:Table|TABLE|表)\s*[\d.]+")


def read_markdown(text: str) -> tuple[list[Block], Counter[str]]:
    """Blocks of a Markdown text, and how often each kind of thing was left out. A footnote keeps
    its number; one with a name gets the next that is free.

    Lists may be nested, quotes lose their depth, a link keeps its text. Raises ValueError for text without any block.
    """
    reader = _Reader()
    reader.walk(_parser().parse(text))
    if not reader.blocks:
        raise InputError(f"no text to typeset in Markdown that begins {text[:40]!r}")
    return _with_captions(reader.blocks), reader.skipped


def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    others: Any = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("fence", "latex_block", _display_rule, others)
    parser.inline.ruler.before("escape", "latex_inline", _inline_rule)
    return parser


def _inline_rule(state: Any, silent: bool) -> bool:
    match = _INLINE.match(state.src, state.pos) if state.src[state.pos] in "\\$[" else None
    if match is None:
        return False
    if not silent:
        style = "note" if match["note"] else "math"
        token = state.push(style, "", 0)
        token.content = (match["note"] or match["brackets"] or match["dollars"]).strip()
    state.pos = match.end()
    return True


def _display_rule(state: Any, start: int, end: int, silent: bool) -> bool:
    first = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    if not first.startswith(("\\[", "$$", "\\begin{tabular}", "[^")):
        return False
    match = _DISPLAY.match(state.getLines(start, end, state.blkIndent, False))
    if match is None:
        return False
    if not silent:
        kind = match.lastgroup or ""
        token = state.push({"brackets": "formula", "dollars": "formula"}.get(kind, kind), "", 0)
        token.content, token.info = match[kind].strip(), match["label"] or ""
        state.line = start + match[0].count("\n") + 1
    return True


class _Reader:
    """Walks tokens; `blocks` and `skipped` are the result."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.skipped: Counter[str] = Counter()
        self.numbers: dict[str, str] = {}
        self.lists: list[tuple[int | None, str]] = []  # the next number, or None, and its sign
        self.mark: str | None = None
        self.quotes = 0
        self.rows: list[list[str]] = []
        self.align = ""

    def walk(self, tokens: Sequence[Any]) -> None:
        """Take all tokens of a document."""
        wrap: Any = Paragraph
        for token in tokens:
            if token.type == "heading_open":
                level = int(token.tag[1:])
                wrap = lambda runs, level=level: Heading(level, runs)  # noqa: E731
            elif token.type == "paragraph_open":
                wrap = self._paragraph
            elif token.type == "inline" and not self.align and not self.rows:
                if runs := self._runs(token.children or []):
                    self.blocks.append(wrap(runs))
            elif token.type in ("fence", "code_block"):
                self.blocks.append(Code(token.content.rstrip("\n"), token.info.strip().split(" ")[0]))
            elif token.type == "formula":
                self._formula(token.content)
            elif token.type == "tabular":
                self._tabular(token.content)
            elif token.type == "note":
                runs = self._runs(_parser().parseInline(" ".join(token.content.split()))[0].children or [])
                self.blocks.append(Note(self._number(token.info), runs))
            elif token.type in ("html_block", "hr"):
                self.skipped[{"html_block": "HTML", "hr": "rule"}[token.type]] += 1
            else:
                self._structure(token)

    def _structure(self, token: Any) -> None:
        kind = token.type
        if kind in ("bullet_list_open", "ordered_list_open"):
            self.lists.append((int(token.attrs.get("start", 1)) if kind[0] == "o" else None, token.markup))
        elif kind in ("bullet_list_close", "ordered_list_close"):
            self.lists.pop()
        elif kind == "list_item_open":
            number, sign = self.lists[-1]
            self.mark = "-" if number is None else f"{number}{token.markup or '.'}"
            self.lists[-1] = (None if number is None else number + 1, sign)
        elif kind in ("blockquote_open", "blockquote_close"):
            self.quotes += 1 if kind == "blockquote_open" else -1
        elif kind == "table_open":
            self.rows, self.align = [], " "
        elif kind == "tr_open":
            self.rows.append([])
        elif kind in ("th_open", "td_open"):
            if len(self.rows) == 1:
                self.align += (token.attrs.get("style", "text-align:left"))[11]
        elif kind == "inline":
            self.rows[-1].append("".join(run.text for run in self._runs(token.children or [])))
        elif kind == "table_close":
            self.blocks.append(Table(tuple(map(tuple, self.rows)), self.align.strip()))
            self.rows, self.align = [], ""

    def _paragraph(self, runs: Runs) -> Block:
        if self.mark is not None:
            mark, self.mark = self.mark, None
            return Item(runs, mark, len(self.lists) - 1)
        return Quote(runs) if self.quotes else Paragraph(runs)

    def _formula(self, latex: str) -> None:
        tag = _TAG.search(latex)
        self.blocks.append(Formula(_TAG.sub("", latex).strip(), f"({tag[1]})" if tag else ""))

    def _tabular(self, latex: str) -> None:
        try:
            self.blocks.append(parse_tabular(latex))
        except ValueError:
            self.skipped["table with merged cells or commands"] += 1

    def _number(self, label: str) -> str:
        if label not in self.numbers:
            free = (str(k) for k in count(1) if str(k) not in self.numbers.values())
            self.numbers[label] = label if label.isdigit() and label not in self.numbers.values() else next(free)
        return self.numbers[label]

    def _runs(self, tokens: Sequence[Any]) -> Runs:
        runs: list[Run] = []
        style: list[str] = []
        for token in tokens:
            kind = token.type
            if kind in ("strong_open", "em_open"):
                style.append("bold" if kind == "strong_open" else "italic")
            elif kind in ("strong_close", "em_close"):
                style.pop()
            elif kind in ("text", "text_special"):
                runs.append(Run(token.content, style[-1] if style else ""))
            elif kind in ("softbreak", "hardbreak"):
                runs.append(Run(" " if kind == "softbreak" else "\n", style[-1] if style else ""))
            elif kind == "code_inline":
                runs.append(Run(token.content, "code"))
            elif kind == "math":
                runs.append(Run(token.content, "math"))
            elif kind == "note":
                runs.append(Run(self._number(token.content), "note"))
            elif kind in ("image", "html_inline"):
                self.skipped[{"image": "picture", "html_inline": "HTML"}[kind]] += 1
        return tuple(trimmed(runs))


def _with_captions(blocks: list[Block]) -> list[Block]:
    """A plain paragraph that begins with "Table 1" right before a table is its caption."""
    kept: list[Block] = []
    for block in blocks:
        above = kept[-1] if kept else None
        if isinstance(block, Table) and isinstance(above, Paragraph) and len(above.runs) == 1:
            text = above.runs[0].text
            if not above.runs[0].style and _CAPTION.match(text):
                kept[-1] = Table(block.rows, block.align, block.rules, text)
                continue
        kept.append(block)
    return kept
