r"""Represent a document as a list of blocks, and write it as Markdown (`to_markdown`).

The dialect is that of Vary's rendered documents (arXiv 2312.06109 section 3.3.2, after Mathpix): formulas in `\( \)`
and `\[ \]`, `#` headings, `-` and `1.` lists, tables as `tabular` or with pipes, `[^1]` footnotes, fenced code.
Only characters that CommonMark would take for markup are escaped. So `read_document.read_markdown` gives the same
blocks again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..io.errors import ConfigError
from .tables import Table, to_latex

STYLES = ("", "bold", "italic", "code", "math", "note")
TABLES = ("latex", "pipe")


@dataclass(frozen=True)
class Run:
    """A piece of text in one style. style: one of STYLES; the text is LaTeX for "math", the number for "note"."""

    text: str
    style: str = ""


Runs = tuple[Run, ...]


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 (the title) to 6. A printed number is part of its text."""

    level: int
    runs: Runs


@dataclass(frozen=True)
class Paragraph:
    r"""Running text. "\n" in a run breaks the line."""

    runs: Runs


@dataclass(frozen=True)
class Item:
    """An item of a list. mark: "-", or a number with its punctuation such as "3."; level counts from 0."""

    runs: Runs
    mark: str = "-"
    level: int = 0


@dataclass(frozen=True)
class Quote:
    """A quoted paragraph."""

    runs: Runs


@dataclass(frozen=True)
class Note:
    """The text of a footnote. Its mark is a run of style "note" with the same number."""

    number: str
    runs: Runs


@dataclass(frozen=True)
class Formula:
    """A displayed formula. number: printed in the margin, with brackets, "" for none."""

    latex: str
    number: str = ""


@dataclass(frozen=True)
class Code:
    """A block of code. language: written after the opening fence."""

    text: str
    language: str = ""


Texts = Heading | Paragraph | Item | Quote | Note
Block = Texts | Formula | Code | Table
Share = tuple[int, int]  # characters of a piece, blanks not counted, from and up to


def pieces(block: Block) -> list[str | None]:
    """List the texts that a block prints; None for a formula, whose printed characters are not those of the source."""
    if isinstance(block, Formula):
        return [None, block.number] if block.number else [None]
    if isinstance(block, Code):
        return list(block.text.split("\n"))
    if isinstance(block, Table):
        cells = [cell for row in block.rows for cell in row]
        return [block.caption, *(text for cell in cells for text in (cell.text, *([cell.mark] if cell.mark else [])))]
    texts = [None if run.style == "math" else run.text for run in block.runs]
    if isinstance(block, Item):
        return [None if block.mark == "-" else block.mark, *texts]
    return texts


def cut(block: Block, shares: list[Share], hyphen: bool) -> Block | None:
    """Return the part of a block that one page shows, or None if it shows nothing.

    A part that continues from the page before is a paragraph, since its mark is on that page.

    Args:
        block: the whole block.
        shares: for each of `pieces`, which of its characters are shown; a formula counts as one character.
        hyphen: the part ends with a hyphen that is not in the text.
    """
    if all(a == b for a, b in shares):
        return None
    if isinstance(block, Formula | Table):
        return block
    if isinstance(block, Code):
        lines = [_share(line, share) for line, share in zip(block.text.split("\n"), shares, strict=True)]
        shown = [k for k, (a, b) in enumerate(shares) if b > a]
        return Code("\n".join(lines[shown[0] : shown[-1] + 1]), block.language)
    marked = not isinstance(block, Item) or shares[0][1] > shares[0][0]
    if isinstance(block, Item):
        shares = shares[1:]
    runs = [
        Run(run.text if run.style in ("math", "note") else _share(run.text, share), run.style)
        for run, share in zip(block.runs, shares, strict=True)
        if share[1] > share[0] or not run.text.strip()
    ]
    if runs and hyphen:
        runs[-1] = Run(runs[-1].text.rstrip() + "-", runs[-1].style)
    kept = tuple(trim_runs(runs))
    if isinstance(block, Heading):
        return Heading(block.level, kept)
    if isinstance(block, Item):
        return Item(kept, block.mark, block.level) if marked else Paragraph(kept)
    return Note(block.number, kept) if isinstance(block, Note) else type(block)(kept)


def _share(text: str, share: Share) -> str:
    places = [k for k, ch in enumerate(text) if not ch.isspace()]
    first, last = share
    if last <= first:
        return ""
    return text[0 if first == 0 else places[first] : len(text) if last == len(places) else places[last - 1] + 1]


def trim_runs(runs: Iterable[Run]) -> list[Run]:
    """Remove spaces at both ends and empty runs, and join neighbours of one style."""
    kept: list[Run] = []
    for run in runs:
        if kept and kept[-1].style == run.style and run.style not in ("math", "note"):
            kept[-1] = Run(kept[-1].text + run.text, run.style)
        elif run.text:
            kept.append(run)
    while kept and not (text := kept[0].text.lstrip() if kept[0].style == "" else kept[0].text):
        kept.pop(0)
    if kept:
        kept[0] = Run(text, kept[0].style)
    while kept and not (text := kept[-1].text.rstrip() if kept[-1].style == "" else kept[-1].text):
        kept.pop()
    if kept:
        kept[-1] = Run(text, kept[-1].style)
    return kept


# -- Markdown --------------------------------------------------------------------------------------------------------

_MARKUP = re.compile(
    r"[\\`]|\*(?=\S)|(?<=\S)\*|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|(?<=\[)\^|\$(?=\S)"
    r"|\](?=\()|(?<=\]):|&(?=\w+;|#\d+;)"
)
_LEADING = re.compile(r"(?m)^(#{1,6}(?= |$)|[-+*](?= |$)|>|~~~|=+$|-+$)|^(\d{1,9})([.)])(?= |$)")


def to_markdown(blocks: Iterable[Block], tables: str = "latex") -> str:
    """Write blocks as Markdown. Footnotes are written where their blocks are.

    Args:
        blocks: the blocks.
        tables: one of TABLES; a table with merged cells is always written as LaTeX.

    Raises:
        ConfigError: the form of tables is unknown.
    """
    if tables not in TABLES:
        raise ConfigError(f"tables as {tables!r}; allowed: {', '.join(TABLES)}")
    parts: list[str] = []
    before: Block | None = None
    for block in blocks:
        if before is not None:
            parts.append("\n" if isinstance(block, Item) and isinstance(before, Item) else "\n\n")
        parts.append(_block(block, tables))
        before = block
    return "".join(parts)


def _block(block: Block, tables: str) -> str:
    if isinstance(block, Formula):
        tag = f" \\tag{{{block.number.strip('()')}}}" if block.number else ""
        return f"\\[ {block.latex}{tag} \\]"
    if isinstance(block, Code):
        fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall("`+", block.text)), 3)
        return f"{fence}{block.language}\n{block.text}\n{fence}"
    if isinstance(block, Table):
        caption = escape_markdown(block.caption) + "\n\n" if block.caption else ""
        merged = any(cell.rows > 1 or cell.columns > 1 for row in block.rows for cell in row)
        return caption + (to_latex(block.with_caption("")) if tables == "latex" or merged else _pipes(block))
    text = inline(block.runs)
    if isinstance(block, Heading):
        text = text[:-1] + "\\#" if text.endswith("#") else text
        return f"{'#' * block.level} {text}"
    if isinstance(block, Note):
        return f"[^{block.number}]: {text}"
    text = _LEADING.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", text)
    if isinstance(block, Item):
        indent = "   " * block.level
        return f"{indent}{block.mark} {text}"
    return "> " + text if isinstance(block, Quote) else text


def escape_markdown(text: str) -> str:
    """Escape everything in a text that Markdown would take for markup."""
    return _MARKUP.sub(r"\\\g<0>", text)


def inline(runs: Runs) -> str:
    """Write runs as a line of Markdown."""
    parts: list[str] = []
    for run in runs:
        if run.style == "math":
            parts.append(f"\\( {run.text} \\)")
        elif run.style == "note":
            parts.append(f"[^{run.text}]")
        elif run.style == "code":
            ticks = "`" * (1 + max((len(t) for t in re.findall("`+", run.text)), default=0))
            pad = " " if run.text[:1] == "`" or run.text[-1:] == "`" else ""
            parts.append(f"{ticks}{pad}{run.text}{pad}{ticks}")
        else:
            sign = {"": "", "bold": "**", "italic": "*"}[run.style]
            inner = run.text.strip() if sign else run.text
            left, right = run.text[: len(run.text) - len(run.text.lstrip())], run.text[len(run.text.rstrip()) :]
            body = f"{sign}{escape_markdown(inner)}{sign}" if inner else ""
            parts.append(f"{left}{body}{right}" if sign else body)
    return "".join(parts).replace("\n", "  \n")


def _pipes(table: Table) -> str:
    dashes = {"l": ":--", "c": ":-:", "r": "--:"}
    rows = [
        [escape_markdown(" ".join(cell.text.split("\n"))).replace("|", r"\|") for cell in row] for row in table.rows
    ]
    rows.insert(1, [dashes[a] for a in table.align])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
