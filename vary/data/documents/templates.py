"""Define the templates of documents, draw a style for each document, and write its blocks as Typst.

Vary re-typesets its LaTeX sources through "10+" templates, which it does not name (arXiv 2312.06109 section 3.3.2);
these are ours. Each printed piece has its number in the low bits of its colour: 12 bits, four each in red, green and
blue, which is invisible. Whatever Typst does with a text (lines, hyphens, columns, pages, footnotes), the colour of a
character in the PDF gives its piece.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...markup.blocks import Block, Code, Formula, Heading, Item, Note, Quote, Runs, pieces
from ...markup.tables import Table
from ...markup.typst import typst_list, typst_string

A4, LETTER, BOOK, SLIDE = (595.0, 842.0), (612.0, 792.0), (439.0, 666.0), (640.0, 480.0)  # width, height in points
HEAD, FOOT, MAX_PIECE = 4094, 4095, 4093  # numbers of the running head and the footer; largest number of a piece
LONGEST_BOXED = 40  # characters of LaTeX
_PROSE = {"paragraph": 10.0, "heading": 2.0, "list": 1.0, "numbers": 0.5, "quote": 0.5}
_SCIENCE = _PROSE | {"formula": 3.0, "table": 1.0}


@dataclass(frozen=True)
class Template:
    """A template. paper, margin, sizes: points. mix: weights of the kinds of blocks. heads, feet: "left|middle|right"
    patterns.

    title: how a first heading is set. opening: kinds of blocks at the start of a document. headings: "bold", "centred",
    "caps", "italic" or "ruled". numbered: headings have printed numbers. entries: paragraphs begin with a bold word.
    words: smallest and largest length of a paragraph. math: use inline formulas. mono: set all text in a monospaced
    face. gutter: smallest and largest space between columns, em.
    """

    mix: dict[str, float] = field(default_factory=lambda: _PROSE)
    paper: tuple[float, float] = A4
    margin: tuple[float, float] = (72.0, 80.0)
    columns: int = 1
    sizes: tuple[float, float] = (9.5, 12.0)
    serif: bool | None = True
    justified: bool = True
    indented: bool = False
    headings: str = "bold"
    numbered: bool = False
    heads: tuple[str, ...] = ("||", "{title}||{page}")
    feet: tuple[str, ...] = ("|{page}|", "||")
    opening: tuple[str, ...] = ("title", "author")
    entries: bool = False
    words: tuple[int, int] = (30, 110)
    math: bool = False
    mono: bool = False
    gutter: tuple[float, float] = (1.2, 4.0)


TEMPLATES: dict[str, Template] = {
    "article": Template(_SCIENCE, numbered=True, math=True),
    "conference": Template(
        _SCIENCE, LETTER, (54.0, 64.0), 2, (9.0, 10.0), numbered=True, math=True, headings="caps", indented=True,
        words=(40, 120), feet=("|{page}|", "{title}||{page}", "{date}||{page}"),
    ),
    "journal": Template(
        _SCIENCE, (553.0, 765.0), (50.0, 62.0), 2, (8.5, 10.0), numbered=True, math=True, headings="italic",
        indented=True, heads=("{page}|{title}|", "{author}||{page}", "{title}|{date}|{page}"), feet=("||", "{date}||"),
    ),
    "book": Template(
        _PROSE | {"formula": 0.5}, BOOK, (54.0, 60.0), sizes=(9.5, 11.5), indented=True, headings="centred",
        heads=("{page}|{title}|", "|{title}|{page}"), feet=("||", "|{page}|"), opening=("title",), words=(50, 160),
    ),
    "novel": Template(
        {"paragraph": 30.0, "heading": 0.6}, BOOK, (58.0, 64.0), sizes=(10.0, 12.0), indented=True, headings="centred",
        heads=("||", "|{author}|", "{page}|{title}|"), feet=("|{page}|", "||"), opening=("title",), words=(12, 150),
    ),
    "report": Template(
        _PROSE | {"table": 2.0, "list": 2.0}, serif=None, numbered=True, justified=False, headings="ruled",
        heads=("{title}||{date}", "||{author}"), feet=("{author}||{page}", "||Page {page}"),
    ),
    "manual": Template(
        _PROSE | {"code": 3.0, "list": 2.0, "numbers": 2.0, "table": 1.0}, LETTER, serif=None, numbered=True,
        justified=False, heads=("{title}||{page}", "||{title}"), opening=("title",), words=(15, 70),
    ),
    "letter": Template(
        {"paragraph": 12.0, "list": 0.6}, LETTER, (85.0, 85.0), sizes=(10.5, 12.5), serif=None, justified=False,
        heads=("||", "{author}||{date}"), opening=("address", "date", "salutation"), words=(25, 90),
    ),
    "thesis": Template(
        _SCIENCE | {"quote": 1.0}, margin=(85.0, 90.0), sizes=(11.0, 12.5), numbered=True, math=True,
        heads=("{title}||", "{title}||{page}"), feet=("|{page}|", "|– {page} –|"), opening=("title",), words=(50, 140),
    ),
    "exam": Template(
        {"numbers": 4.0, "formula": 4.0, "paragraph": 3.0, "heading": 2.5, "table": 0.6}, sizes=(10.5, 12.5), math=True,
        heads=("Name:|{title}|{date}", "{title}||{date}"), feet=("|Page {page}|", "|{page}|"), opening=("title",),
        words=(12, 50), justified=False,
    ),
    "handout": Template(
        {"list": 6.0, "heading": 3.0, "paragraph": 2.0, "formula": 1.5, "code": 0.6, "table": 0.8}, SLIDE, (44.0, 48.0),
        sizes=(15.0, 20.0), serif=False, justified=False, math=True, feet=("{author}|{title}|{page}", "||{page}"),
        heads=("||",), opening=("title", "author"), words=(8, 28),
    ),
    "newspaper": Template(
        {"paragraph": 12.0, "heading": 2.0, "quote": 0.7}, (700.0, 990.0), (40.0, 56.0), 4, (9.0, 10.5), indented=True,
        heads=("{date}|{title}|{page}", "{page}|{title}|{date}"), feet=("||",), words=(20, 70), headings="bold",
    ),
    "minutes": Template(
        {"numbers": 4.0, "list": 3.0, "paragraph": 4.0, "heading": 2.0, "table": 0.8}, serif=None, justified=False,
        sizes=(10.0, 12.0), numbered=True, heads=("{title}||{date}", "||"), feet=("||{page}", "|{page}|{date}"),
        opening=("title", "date", "list"), words=(12, 50),
    ),
    "encyclopedia": Template(
        {"paragraph": 40.0, "heading": 0.5, "formula": 0.5}, (510.0, 720.0), (36.0, 50.0), 3, (8.0, 9.0), entries=True,
        heads=("{title}|{page}|{author}", "{page}||{title}"), feet=("||",), opening=(), words=(15, 90), indented=True,
    ),
    "typescript": Template(
        _PROSE | {"numbers": 1.0}, LETTER, (72.0, 80.0), sizes=(10.0, 12.0), justified=False, headings="centred",
        mono=True, heads=("{author}||{page}", "||- {page} -", "||"), feet=("||", "|{page}|"), words=(20, 90),
    ),
    "brochure": Template(
        _PROSE | {"table": 1.0, "list": 2.0}, (842.0, 595.0), (30.0, 40.0), 3, (10.5, 12.5), serif=None,
        heads=("||", "|{title}|"), feet=("||", "{date}||{page}"), words=(12, 60), gutter=(2.0, 6.0), justified=False,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class DocumentStyle:
    """The style of one document. size: points. head, foot: "left|middle|right" with {page} still to be filled in.

    families: Typst uses the first family that has a character. first_page: number of the first page. gutter: em.
    """

    families: tuple[str, ...]
    mono: str
    size: float
    leading: float
    head: str
    foot: str
    twoside: bool
    first_page: int
    first_note: int
    bullets: tuple[str, str]
    optimised: bool
    language: str
    gutter: float


def draw_families(
    template: Template, rng: np.random.Generator, families: dict[str, list[str]], language: str
) -> tuple[tuple[str, ...], str]:
    """Choose the families of the text, in order of fallback, and the monospaced family."""
    serif = template.serif if template.serif is not None else bool(rng.random() < 0.4)
    kind = "mono" if template.mono else "serif" if serif or not families["sans"] else "sans"
    chosen = [str(rng.choice(families[kind]))]
    if language == "zh":
        chosen.append(str(rng.choice(families["cjk"])))
    return tuple(chosen), str(rng.choice(families["mono"]))


def draw_style(
    template: Template,
    rng: np.random.Generator,
    families: tuple[str, ...],
    mono: str,
    names: dict[str, str],
    language: str,
) -> DocumentStyle:
    """Choose the style of a document. names: title, author and date for head and footer."""

    def fill(patterns: tuple[str, ...]) -> str:
        pattern = patterns[int(rng.integers(len(patterns)))]
        for key, value in names.items():
            pattern = pattern.replace("{" + key + "}", value.replace("|", " "))
        return pattern

    return DocumentStyle(
        families, mono, round(float(rng.uniform(*template.sizes)), 1),
        round(float(rng.uniform(0.5, 0.9)), 2), fill(template.heads), fill(template.feet), bool(rng.random() < 0.5),
        int(rng.integers(1, 400)) if rng.random() < 0.7 else 1, int(rng.integers(1, 30)) if rng.random() < 0.3 else 1,
        (("•", "◦"), ("–", "·"), ("•", "–"), ("▪", "•"))[int(rng.integers(4))], bool(rng.random() < 0.3), language,
        round(float(rng.uniform(*template.gutter)), 2),
    )  # fmt: skip


def running_texts(style: DocumentStyle, which: Literal["head", "foot"], page: int) -> list[str]:
    """Return the texts of the head or footer of a page: up to three, from left to right."""
    parts = (style.head if which == "head" else style.foot).split("|")
    if style.twoside and page % 2 == 0:
        parts = parts[::-1]
    return [part.replace("{page}", str(page)) for part in parts if part]


# -- Typst -----------------------------------------------------------------------------------------------------------

_PREAMBLE = r"""
#let ink(k) = rgb(calc.quo(k, 256), calc.rem(calc.quo(k, 16), 16), calc.rem(k, 16))
#let r(k, s) = text(fill: ink(k), s)
#let shown() = here().page() + @FIRSTPAGE - 1
#let three(k, parts) = { let (a, b, c) = parts.map(s => r(k, s.replace("{page}", str(shown()))))
  if parts.any(s => s != "") { set text(0.9em)
    grid(columns: (1fr, auto, 1fr), align: (left, center, right), a, b, c) } }
#let turned(parts) = if @TWOSIDE and calc.even(shown()) { parts.rev() } else { parts }
#set page(width: @WIDTHpt, height: @HEIGHTpt, margin: (x: @MARGINXpt, y: @MARGINYpt), columns: @COLUMNS,
  header: context three(4094, turned(@HEAD)), footer: context three(4095, turned(@FOOT)))
#set columns(gutter: @GUTTERem)
#set text(font: @FAMILIES, size: @SIZEpt, lang: "@LANGUAGE", hyphenate: @HYPHENATE)
#set par(justify: @JUSTIFY, leading: @LEADINGem, linebreaks: "@BREAKS", @INDENT)
#set heading(outlined: false, bookmarked: false)
#set footnote(numbering: "1")
#show table: set block(breakable: false)
#show table: set par(justify: false)
#let fit(it) = layout(room => { let m = measure(it).width
  if m > room.width { scale(100% * (room.width / m), reflow: true, it) } else { it } })
#let mono(it) = text(font: @MONO, size: 0.85em, it)
#let item(level, mark, body) = block(above: 0.75em, below: 0.75em, inset: (left: 1.4em * level),
  grid(columns: (auto, 1fr), column-gutter: 0.55em, mark, {set par(first-line-indent: 0em); body}))
#let cited(body) = block(inset: (x: 1.8em), above: 1.1em, below: 1.1em, {set par(first-line-indent: 0em); body})
#let code(body) = block(above: 1.1em, below: 1.1em, inset: (left: 0.8em),
  {set par(justify: false, first-line-indent: 0em, leading: 0.5em); set text(hyphenate: false); mono(body)})
#let shown(number, body) = block(above: 1em, below: 1em, width: 100%, if number == none { align(center, fit(body)) }
  else { grid(columns: (2em, 1fr, 2em), align: (left, center, right + horizon), [], fit(body), number) })
#let capped(caption, body) = block(breakable: false, above: 1.3em, below: 1.3em, width: 100%,
  align(center, if caption == none { body } else { stack(spacing: 0.7em, caption, body) }))
#let title(body) = @TITLE
#show heading: set text(hyphenate: false)
#show heading: set par(justify: false, first-line-indent: 0em)
#show heading: set block(above: 1.5em, below: 0.8em)
@HEADINGS
#counter(footnote).update(@FIRSTNOTE)
"""
_HEADINGS = {
    "bold": "#show heading.where(level: 1): set text(1.2em)\n#show heading.where(level: 3): set text(0.95em)",
    "centred": "#show heading: set align(center)\n#show heading: set text(weight: 400)",
    "caps": "#show heading: set text(0.9em)\n#show heading.where(level: 2): set align(center)",
    "italic": '#show heading: set text(1em, weight: 400, style: "italic")',
    "ruled": "#show heading.where(level: 2): it => block(width: 100%, stroke: (bottom: 0.5pt), inset: (bottom: 3pt),"
    " sticky: true, it.body)",
}


def preamble(template: Template, style: DocumentStyle) -> str:
    """Return all Typst source before the first block."""
    width, height = template.paper
    spaced = "first-line-indent: (amount: 2em, all: true)" if style.language == "zh" else "first-line-indent: 1.3em"
    title = (
        "align(center, {set par(justify: false, first-line-indent: 0em); "
        "text(1.6em, weight: 700, hyphenate: false, body)})"
    )
    if template.columns > 1:
        title = f'place(top + center, scope: "parent", float: true, clearance: 1.6em, block(width: 100%, {title}))'
    else:
        title = f"block(above: 0em, below: 1.6em, width: 100%, {title})"
    gap = f"{style.leading}em, {spaced}" if template.indented else f"{style.leading + 0.55:.2f}em"
    values = {
        "TWOSIDE": str(style.twoside).lower(), "WIDTH": f"{width}",
        "HEIGHT": f"{height}", "MARGINX": f"{template.margin[0]}", "MARGINY": f"{template.margin[1]}",
        "COLUMNS": str(template.columns), "HEADINGS": _HEADINGS[template.headings],
        "HEAD": typst_list(style.head.split("|")),
        "FOOT": typst_list(style.foot.split("|")), "FAMILIES": typst_list(style.families), "SIZE": f"{style.size}",
        "LANGUAGE": style.language, "HYPHENATE": str(template.justified and style.language == "en").lower(),
        "JUSTIFY": str(template.justified).lower(), "LEADING": f"{style.leading}",
        "MONO": typst_list((style.mono, *style.families)), "TITLE": title,
        "BREAKS": "optimized" if style.optimised else "simple", "FIRSTPAGE": str(style.first_page),
        "INDENT": f"spacing: {gap}",
        "FIRSTNOTE": str(style.first_note - 1), "GUTTER": f"{style.gutter}",
    }  # fmt: skip
    return re.sub(r"@([A-Z]+)", lambda match: values[match[1]], _PREAMBLE)


def to_typst(blocks: list[Block], template: Template, style: DocumentStyle, math: dict[tuple[str, bool], str]) -> str:
    """Write a document as Typst source.

    Args:
        blocks: the blocks.
        template: the template.
        style: the style.
        math: (LaTeX, display?) -> Typst for each formula in the blocks.

    Raises:
        InputError: the blocks have more than MAX_PIECE pieces, or a footnote's mark has no text.
    """
    count, parts = 1, [preamble(template, style)]
    numbers = []
    for block in blocks:
        numbers.append(count)
        count += len(pieces(block))
    if count > MAX_PIECE:
        raise ValueError(f"{count} pieces of text in one document; at most {MAX_PIECE} can be told apart")
    notes = {b.number: (k, b.runs) for k, b in zip(numbers, blocks, strict=True) if isinstance(b, Note)}
    for place, (number, block) in enumerate(zip(numbers, blocks, strict=True)):
        if not isinstance(block, Note):
            parts.append(_block(block, number, notes, math, style, place == 0))
    return "\n\n".join(parts)


def _block(
    block: Block,
    k: int,
    notes: dict[str, tuple[int, Runs]],
    math: dict[tuple[str, bool], str],
    style: DocumentStyle,
    first: bool,
) -> str:
    if isinstance(block, Formula):
        number = f"r({k + 1}, {typst_string(block.number)})" if block.number else "none"
        return f"#shown({number}, text(fill: ink({k}), $ {math[block.latex, True]} $))"
    if isinstance(block, Code):
        lines = [line.replace("\t", "    ") for line in block.text.split("\n")]
        lines = ["\u00a0" * (len(line) - len(line.lstrip(" "))) + line.lstrip(" ") for line in lines]
        return "#code[" + "#linebreak()".join(f"#r({k + n}, {typst_string(s)})" for n, s in enumerate(lines)) + "]"
    if isinstance(block, Table):
        return _table(block, k)
    if isinstance(block, Item):
        mark = style.bullets[block.level % 2] if block.mark == "-" else block.mark
        body = _runs(block.runs, k + 1, notes, math)
        return f"#item({block.level}, r({k}, {typst_string(mark)}), [{body}])"
    body = _runs(block.runs, k, notes, math)
    if isinstance(block, Heading):
        return f"#title[{body}]" if first and block.level == 1 else f"#heading(level: {block.level})[{body}]"
    return f"#cited[{body}]" if isinstance(block, Quote) else body


def _runs(runs: Runs, k: int, notes: dict[str, tuple[int, Runs]], math: dict[tuple[str, bool], str]) -> str:
    parts = []
    for number, run in enumerate(runs, k):
        if run.style == "math":
            keep = "box" if len(run.text) <= LONGEST_BOXED else ""  # longer ones may break at the end of a line
            parts.append(f"#text(fill: ink({number}), {keep}(${math[run.text, False]}$))")
        elif run.style == "note":
            if run.text not in notes:
                raise ValueError(f"the footnote {run.text!r} is marked but has no text")
            start, body = notes[run.text]
            parts.append(f"#text(fill: ink({number}))[#footnote[{_runs(body, start, {}, math)}]]")
        else:
            text = "#linebreak()".join(f"#r({number}, {typst_string(s)})" for s in run.text.split("\n"))
            wrap = {"": "{}", "bold": "#strong[{}]", "italic": "#emph[{}]", "code": "#mono[{}]"}[run.style]
            parts.append(wrap.replace("{}", text))
    return "".join(parts)


def _table(table: Table, k: int) -> str:
    """Return the Typst source of a table whose caption is piece `k`."""
    cells, number = [], k + 1
    for row, column, cell in table.placed():
        lines = cell.text.split("\n")
        text = " + linebreak() + ".join(f"r({number}, {typst_string(line)})" for line in lines)
        text = f"strong({text})" if cell.bold else text
        number += 1
        if cell.mark:
            text += f" + super(r({number}, {typst_string(cell.mark)}))"
            number += 1
        place = f"x: {column}, y: {row}, colspan: {cell.columns}, rowspan: {cell.rows}"
        cells.append(f"table.cell({place}, align: {_ALIGN[table.alignment(column, cell)]}, {text})")
    width, height = len(table.align), len(table.rows)
    lines = [
        f"table.hline(y: {r}, start: {first}, end: {last}, stroke: 0.5pt)"
        for r, rule in sorted(table.rules.items())
        for first, last in rule.spans or ((0, width),)
    ]
    lines += [f"table.vline(x: {c}, stroke: 0.5pt)" for c in sorted(table.bars)]
    grid = len(table.bars) == width + 1 and len(table.rules) == height + 1
    stroke, drawn = ("0.5pt", cells) if grid else ("none", [*cells, *lines])
    body = f"table(columns: {width}, stroke: {stroke}, inset: (x: 5pt, y: 3.5pt), {', '.join(drawn)})"
    caption = f"r({k}, {typst_string(table.caption)})" if table.caption else "none"
    return f"#capped({caption}, fit({body}))"


_ALIGN = {"l": "left", "c": "center", "r": "right"}
