r"""Represent a table as cells (`Table`), and write it as LaTeX, HTML and Typst. LaTeX is also parsed.

LaTeX has everything that a table shows except shades: alignment of columns, rules (`\toprule`, `\hline`, `\cmidrule`),
bars, merged cells (`\multicolumn`, `\multirow`), lines in a cell (`\makecell`), bold type and raised marks. HTML has
cells, spans, lines, bold type and marks. The caption and the notes are lines before and after the table. `to_latex` and
`parse_latex` are inverse to each other.

Source of the forms: Vary's targets are LaTeX `tabular`, arXiv 2312.06109 section 3.3.2; TEDS compares HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..io.errors import ConfigError, InputError
from .typst import typst_string

RULES = {"top": "\\toprule", "mid": "\\midrule", "bottom": "\\bottomrule", "line": "\\hline"}
RULINGS = ("grid", "book", "none")
_PARTIAL = {"mid": "\\cmidrule(lr)", "line": "\\cline"}
_TEX = {c: "\\" + c for c in "&%$#_{}"} | {"<": "$<$", ">": "$>$", "|": "$|$"}
_TEX |= {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
_PLAIN = re.compile("|".join(re.escape(v) for v in sorted(_TEX.values(), key=len, reverse=True)))
_UNTEX = {v: k for k, v in _TEX.items()}


@dataclass(frozen=True)
class Cell:
    """A cell. text: its lines, separated by newlines. rows, columns: how many it spans.

    align: l, c or r if it differs from its column's. mark: raised after the text.
    """

    text: str = ""
    rows: int = 1
    columns: int = 1
    align: str = ""
    bold: bool = False
    mark: str = ""


@dataclass(frozen=True)
class Rule:
    """A horizontal rule. kind: one of RULES. spans: columns (first, end) that it covers; () for all."""

    kind: str
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of cells.

    rows: the cells that begin in each row, left to right. align: l, c or r for each column. rules: k -> the rule above
    row k, len(rows) for the last. bars: column edges with a vertical line. header: number of header rows. below: the
    caption is below the table. notes: (mark, text).

    Raises:
        InputError: the spans do not fill the rows.
    """

    rows: tuple[tuple[Cell, ...], ...]
    align: str
    rules: dict[int, Rule] = field(default_factory=dict)
    bars: frozenset[int] = frozenset()
    header: int = 1
    caption: str = ""
    below: bool = False
    notes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.rows or not self.align:
            raise InputError("a table has at least one row and one column")
        taken = {
            (y, x) for r, c, cell in self.placed() for y in range(r, r + cell.rows) for x in range(c, c + cell.columns)
        }
        cells = sum(cell.rows * cell.columns for row in self.rows for cell in row)
        if taken != {(y, x) for y in range(len(self.rows)) for x in range(len(self.align))} or cells != len(taken):
            raise InputError(f"the cells do not fill {len(self.rows)} rows of {len(self.align)} columns")

    def placed(self) -> Iterator[tuple[int, int, Cell]]:
        """Yield row, column and cell, row by row."""
        taken: set[tuple[int, int]] = set()
        for r, row in enumerate(self.rows):
            c = 0
            for cell in row:
                while (r, c) in taken:
                    c += 1
                taken |= {(y, x) for y in range(r, r + cell.rows) for x in range(c, c + cell.columns)}
                yield r, c, cell
                c += cell.columns

    def with_caption(self, caption: str) -> Table:
        """Return the same table with another caption."""
        return replace(self, caption=caption)

    def alignment(self, column: int, cell: Cell) -> str:
        """Return the alignment (l, c or r) of a cell that begins in a column."""
        return cell.align or ("c" if cell.columns > 1 else self.align[column])


def ruled_table(rows: Sequence[Sequence[Cell | str]], align: str, ruling: str = "grid", caption: str = "") -> Table:
    """Return a table with the usual rules. The first row is the header, unless there are no rules.

    Args:
        rows: the cells that begin in each row; a text is a cell of one row and column.
        align: l, c or r for each column.
        ruling: "grid" (lines around all cells), "book" (lines above and below the header and at the end) or "none".
        caption: printed above the table.

    Raises:
        ConfigError: the ruling is unknown.
        InputError: the cells do not fill the rows.
    """
    if ruling not in RULINGS or set(align) - set("lcr"):
        raise ConfigError(f"table ruling {ruling!r}, align {align!r}; allowed: {', '.join(RULINGS)}; l, c, r")
    cells = tuple(tuple(Cell(cell) if isinstance(cell, str) else cell for cell in row) for row in rows)
    table = Table(cells, align, header=0, caption=caption)
    if ruling == "none":
        return table
    crossed = {
        (y, x) for r, c, cell in table.placed() for y in range(r + 1, r + cell.rows) for x in range(c, c + cell.columns)
    }
    rules: dict[int, Rule] = {}
    for r in range(len(rows) + 1):
        free = [(r, c) not in crossed for c in range(len(align))] + [False]
        starts = [c for c in range(len(align)) if free[c] and not (c and free[c - 1])]
        if starts:
            rules[r] = Rule("line", () if all(free[:-1]) else tuple((c, free.index(False, c)) for c in starts))
    header = next((r for r in range(1, len(rows)) if r in rules and not rules[r].spans), 0)
    if ruling == "book":
        return replace(table, rules={r: Rule("line") for r in (0, header, len(rows))}, header=header)
    return replace(table, rules=rules, bars=frozenset(range(len(align) + 1)), header=header)


# -- LaTeX ------------------------------------------------------------------------------------------------------------
def to_latex(table: Table) -> str:
    """Write caption, `tabular` and notes."""
    bars = ["|" if k in table.bars else "" for k in range(len(table.align) + 1)]
    spec = bars[0] + "".join(a + bars[k + 1] for k, a in enumerate(table.align))
    lines = [f"\\begin{{tabular}}{{{spec}}}"]
    starts = {(r, c): cell for r, c, cell in table.placed()}
    below: dict[tuple[int, int], Cell] = {}  # where a cell from above goes on
    for (r, c), cell in starts.items():
        below |= {(y, c): cell for y in range(r + 1, r + cell.rows)}
    for r in range(len(table.rows) + 1):
        lines += _rule_latex(table.rules.get(r), len(table.align))
        if r == len(table.rows):
            break
        items, c = [], 0
        while c < len(table.align):
            cell = starts.get((r, c)) or replace(below[r, c], text="", mark="", rows=1)
            items.append(_cell_latex(table, c, cell, bars))
            c += cell.columns
        lines.append(" & ".join(items) + r" \\")
    lines.append("\\end{tabular}")
    return _around(table, "\n".join(lines), escape_latex, "\\textsuperscript{{{}}}")


def _around(table: Table, body: str, escape: Callable[[str], str], raised: str) -> str:
    caption = [escape(table.caption)] if table.caption else []
    notes = [f"{raised.format(escape(mark))} {escape(text)}" for mark, text in table.notes]
    return "\n".join([*([] if table.below else caption), body, *(caption if table.below else []), *notes])


def _rule_latex(rule: Rule | None, columns: int) -> list[str]:
    if rule is None:
        return []
    if not rule.spans:
        return [RULES[rule.kind]]
    return [" ".join(f"{_PARTIAL[rule.kind]}{{{a + 1}-{b}}}" for a, b in rule.spans)]


def _cell_latex(table: Table, column: int, cell: Cell, bars: list[str]) -> str:
    align = table.alignment(column, cell)
    lines = [escape_latex(line) for line in cell.text.split("\n")]
    if cell.bold:
        lines = [f"\\textbf{{{line}}}" if line else "" for line in lines]
    if cell.mark:
        lines[-1] += f"\\textsuperscript{{{escape_latex(cell.mark)}}}"
    inside = r" \\ ".join(lines)
    text = inside if len(lines) == 1 else f"\\makecell[{align}]{{{inside}}}"
    if cell.rows > 1:
        text = f"\\multirow{{{cell.rows}}}{{*}}{{{text}}}"
    if cell.columns > 1 or align != table.align[column]:
        spec = (bars[0] if column == 0 else "") + align + bars[column + cell.columns]
        text = f"\\multicolumn{{{cell.columns}}}{{{spec}}}{{{text}}}"
    return text


def escape_latex(text: str) -> str:
    """Escape plain text for LaTeX."""
    return "".join(_TEX.get(ch, ch) for ch in text)


def _plain(latex: str) -> str:
    text = _PLAIN.sub(lambda m: _UNTEX[m.group()], latex)
    rest = _PLAIN.sub("", latex)
    if re.search(r"[\\{}$&#%_^~]", rest):
        raise InputError(f"a table's text holds LaTeX that is not known: {latex!r}")
    return text


def parse_latex(text: str) -> Table:
    """Parse a table that `to_latex` wrote. Header rows are those above the first rule inside the table.

    Raises:
        InputError: it is not such a table.
    """
    match = re.fullmatch(r"(.*?)\\begin\{tabular\}\{([lcr|]*)\}\n?(.*)\\end\{tabular\}\n?(.*)", text.strip(), re.S)
    if not match:
        raise InputError("not a LaTeX tabular with columns l, c and r")
    before, spec, body, after = match.groups()
    align = spec.replace("|", "")
    bars = frozenset(len(spec[:k].replace("|", "")) for k, c in enumerate(spec) if c == "|")
    rows: list[tuple[Cell, ...]] = []
    rules: dict[int, Rule] = {}
    open_until: dict[int, int] = {}  # column -> the row where its merged cell ends
    for part in _split(body, "\\\\"):
        part = _take_rules(part, rules, len(rows))
        if part:
            rows.append(_row(part, len(rows), align, open_until))
    inner = [r for r, rule in rules.items() if 0 < r < len(rows) and not rule.spans]
    caption, below, notes = _lines_around(before, after)
    return Table(tuple(rows), align, rules, bars, min(inner, default=0), caption, below, notes)


def _take_rules(part: str, rules: dict[int, Rule], row: int) -> str:
    full = {v: k for k, v in RULES.items()}
    partial = {v: k for k, v in _PARTIAL.items()}
    pattern = r"\s*(?:(\\(?:top|mid|bottom)rule|\\hline)|(\\cmidrule\(lr\)|\\cline)\{(\d+)-(\d+)\})"
    while match := re.match(pattern, part):
        whole, piece, first, last = match.groups()
        if whole:
            rules[row] = Rule(full[whole])
        else:
            spans = rules[row].spans if row in rules else ()
            rules[row] = Rule(partial[piece], (*spans, (int(first) - 1, int(last))))
        part = part[match.end() :]
    return part.strip()


def _row(part: str, row: int, align: str, open_until: dict[int, int]) -> tuple[Cell, ...]:
    cells, column = [], 0
    for item in _split(part, "&"):
        cell = _cell(item.strip())
        if column >= len(align):
            raise InputError(f"row {row + 1} of the table has more than {len(align)} columns")
        default = "c" if cell.columns > 1 else align[column]
        cell = replace(cell, align="" if cell.align in ("", default) else cell.align)
        if open_until.get(column, 0) > row:
            if cell.text:
                raise InputError(f"row {row + 1} of the table writes {cell.text!r} into a merged cell")
        else:
            cells.append(cell)
            open_until.update({c: row + cell.rows for c in range(column, column + cell.columns)})
        column += cell.columns
    return tuple(cells)


def _cell(item: str) -> Cell:
    cell = Cell()
    if match := re.fullmatch(r"\\multicolumn\{(\d+)\}\{\|?([lcr])\|?\}\{(.*)\}", item, re.S):
        cell, item = replace(cell, columns=int(match.group(1)), align=match.group(2)), match.group(3)
    if match := re.fullmatch(r"\\multirow\{(\d+)\}\{\*\}\{(.*)\}", item, re.S):
        cell, item = replace(cell, rows=int(match.group(1))), match.group(2)
    if match := re.fullmatch(r"\\makecell\[[lcr]\]\{(.*)\}", item, re.S):
        item = match.group(1)
    lines = []
    for line in _split(item, "\\\\"):
        line = line.strip()
        if match := re.fullmatch(r"(.*?)\\textsuperscript\{(.*)\}", line):
            line, cell = match.group(1), replace(cell, mark=_plain(match.group(2)))
        if match := re.fullmatch(r"\\textbf\{(.*)\}", line):
            line, cell = match.group(1), replace(cell, bold=True)
        lines.append(_plain(line))
    return replace(cell, text="\n".join(lines))


def _split(text: str, separator: str) -> list[str]:
    """Split at separators outside braces."""
    parts, depth, start, k = [], 0, 0, 0
    while k < len(text):
        if depth == 0 and text.startswith(separator, k):
            parts.append(text[start:k])
            k += len(separator)
            start = k
            continue
        depth += (text[k] == "{") - (text[k] == "}")
        k += 2 if text[k] == "\\" else 1
    return [*parts, text[start:]]


def _lines_around(before: str, after: str) -> tuple[str, bool, tuple[tuple[str, str], ...]]:
    """Parse the lines around a tabular: the caption, whether it is below the table, and the notes."""
    caption, below, notes = _plain(before.strip()), False, []
    for line in after.strip().splitlines():
        if match := re.fullmatch(r"\\textsuperscript\{(.*?)\} (.*)", line):
            notes.append((_plain(match.group(1)), _plain(match.group(2))))
        else:
            caption, below = _plain(line), True
    return caption, below, tuple(notes)


# -- HTML -------------------------------------------------------------------------------------------------------------
def to_html(table: Table) -> str:
    """Write caption, `table` and notes."""
    rows = []
    for r, row in enumerate(table.rows):
        tag = "th" if r < table.header else "td"
        rows.append("<tr>" + "".join(_cell_html(cell, tag) for cell in row) + "</tr>")
    head, body = "".join(rows[: table.header]), "".join(rows[table.header :])
    head = f"<thead>{head}</thead>" if head else ""
    return _around(table, f"<table>{head}<tbody>{body}</tbody></table>", _escape_html, "<sup>{}</sup>")


def _escape_html(text: str) -> str:
    return html.escape(text, quote=False)


def _cell_html(cell: Cell, tag: str) -> str:
    spans = "".join(f' {n}="{v}"' for n, v in (("rowspan", cell.rows), ("colspan", cell.columns)) if v > 1)
    text = _escape_html(cell.text).replace("\n", "<br>")
    text = f"<b>{text}</b>" if cell.bold and text else text
    mark = f"<sup>{_escape_html(cell.mark)}</sup>" if cell.mark else ""
    return f"<{tag}{spans}>{text}{mark}</{tag}>"


# -- Typst ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class TableStyle:
    """How a table is drawn. Lengths are points. head, zebra: Typst colours of the header and of every other row.

    families: Typst fonts; the first that has a character draws it. heavy, light: widths of rules.
    """

    families: tuple[str, ...] = ("Libertinus Serif",)
    size: float = 10.0
    inset: tuple[float, float] = (5.0, 3.5)
    heavy: float = 0.9
    light: float = 0.45
    head: str = "white"
    zebra: str = "white"
    leading: float = 0.5


def to_typst(table: Table, style: TableStyle) -> str:
    """Write a page of the size of the table with its caption and notes.

    Every cell is filled, with white if it has no shade. So each cell is a path in the PDF, in the order of `by_column`,
    and that path is its box.
    """
    columns = len(table.align)
    cells = "".join(_cell_typst(table, style, r, c, cell) for r, c, cell in table.placed())
    widths = {"top": style.heavy, "bottom": style.heavy}
    lines = ""
    for r, rule in sorted(table.rules.items()):
        for first, last in rule.spans or ((0, columns),):
            stroke = f"{widths.get(rule.kind, style.light)}pt"
            lines += f"table.hline(y: {r}, start: {first}, end: {last}, stroke: {stroke}),\n"
    for c in sorted(table.bars):
        lines += f"table.vline(x: {c}, stroke: {style.light}pt),\n"
    inset = f"(x: {style.inset[0]}pt, y: {style.inset[1]}pt)"
    body = f"#table(columns: {columns}, stroke: none, inset: {inset},\n{cells}{lines})"
    caption = [_box(f"#{typst_string(table.caption)}")] if table.caption else []
    notes = [_box(f"#super({typst_string(m)})#{typst_string(' ' + t)}") for m, t in table.notes]
    blocks = [*([] if table.below else caption), body, *(caption if table.below else []), *notes]
    fonts = ", ".join(map(typst_string, style.families))
    text = f"#set text(font: ({fonts},), size: {style.size}pt, ligatures: false, fallback: false)"
    head = f"#set par(leading: {style.leading}em)\n#set block(spacing: 0.7em)"
    return "#page(width: auto, height: auto, margin: 6pt)[\n" + "\n".join([text, head, *blocks]) + "\n]"


def _box(content: str) -> str:
    return f"#block[{content}]"


def _cell_typst(table: Table, style: TableStyle, row: int, column: int, cell: Cell) -> str:
    text = "#linebreak()".join(f"#{typst_string(line)}" for line in cell.text.split("\n") if line)
    text = f"#strong[{text}]" if cell.bold and text else text
    text += f"#super({typst_string(cell.mark)})" if cell.mark else ""
    shade = style.head if row < table.header else style.zebra if (row - table.header) % 2 else "white"
    align = {"l": "left", "c": "center", "r": "right"}[table.alignment(column, cell)]
    spans = f"x: {column}, y: {row}, colspan: {cell.columns}, rowspan: {cell.rows}"
    return f"table.cell({spans}, align: {align} + horizon, fill: {shade})[{text}],\n"


def by_column(table: Table) -> list[tuple[int, int, Cell]]:
    """Return row, column and cell in the order in which Typst paints them."""
    return sorted(table.placed(), key=lambda place: (place[1], place[0]))
