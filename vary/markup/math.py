r"""Write LaTeX formulas in one canonical spelling (`normalise`), and as Typst markup that draws them (`to_typst`).

A formula is parsed into a canonical tree, and both forms are written from that tree. So formulas with equal targets
look equal. What is unified:
- spacing and braces: `x^2` -> `x^{2}`, `\frac12` -> `\frac{1}{2}`, subscript before superscript, `f'` -> `f^{\prime}`;
  braces without effect are removed; explicit spaces (`\,`, `\quad`) stay, except at the ends of the formula;
- synonyms: `\leq` -> `\le`, `\rightarrow` -> `\to`, `\lvert` -> `|`, `\dots` -> `\cdots` between operators, else
  `\ldots` (the whole list: `math_symbols.SAME`);
- old forms: `{a \over b}` -> `\frac{a}{b}`, `{\bf x}` -> `\mathbf{x}`, `\stackrel` -> `\overset`;
- commands without effect: `\displaystyle` and `\dfrac` in a display, `\limits` at a sum in a display,
  `\left( \right)` around a flat row, `\label`, `\nonumber`, colours (pages are black);
- `align`, `split`, `eqnarray` -> `aligned`; `gather` -> `gathered`; `\text{max}` -> `\mathrm{max}`.
Anything unknown is an error, so no formula is ever drawn wrong.

Source: the LaTeX subset of amsmath's user guide; Typst's reference of mathematics.
"""

from __future__ import annotations

import re

from .math_nodes import LatexError, Node, Row
from .math_parser import parse
from .math_symbols import CALLS, OPERATORS, SIZES, SPACES, SYMBOLS, TABLES, TEXTS


def normalise(latex: str, display: bool = True) -> str:
    r"""Return the canonical LaTeX of a formula without its delimiters. Normalising it again changes nothing.

    Args:
        latex: the formula.
        display: True for a displayed formula (`\[ \]`), False for one in running text, where `\sum\limits` is not
            `\sum`.

    Raises:
        LatexError: the formula is outside the supported subset.
    """
    return write_latex(parse(latex, display))


_TOKEN = re.compile(r"\\(?:[A-Za-z]+\*?|.)\s*|.", re.S)
_VERBATIM = re.compile(r"\\(?:text\w*|operatorname\*?|math(?:rm|it|bf|sf|tt)|begin|end)$")
_SPACED = frozenset(
    ["=", "+", "-", *(f"\\{name}" for name in ("lt", "gt", "le", "ge", "ne", "approx", "sim", "in", "to"))]
)


def readable(latex: str) -> str:
    r"""Write canonical LaTeX as people do: `b^{2}+9=25` becomes `b^2 + 9 = 25`. What it means stays the same.

    Blanks are set around relations, sums and differences, but not inside scripts. A script of one character loses its
    braces, except before another letter or digit.
    """
    latex = re.sub(r"(?<!\\)([_^])\{([A-Za-z0-9])\}(?![A-Za-z0-9'])", r"\1\2", latex)
    out: list[str] = []
    plain: list[bool] = []  # of each open brace: whether blanks may be set inside
    last = ""
    for token in _TOKEN.findall(latex):
        bare = token.strip()
        if bare == "{":
            plain.append(all(plain) and last not in ("_", "^") and not _VERBATIM.search(last))
        elif bare == "}" and plain:
            plain.pop()
        sign = bare in "+-" and (last in _SPACED or last in ("", "(", "[", "{", ",", "|", "&", "_", "^", "\\left"))
        out.append(f" {bare} " if bare in _SPACED and all(plain) and not sign and out else token)
        last = bare
    return re.sub(r" {2,}", " ", "".join(out)).strip()


_JOINING = _SPACED | {"(", "[", ",", "\\{", "\\times", "\\cdot", "\\pm", "\\equiv", "\\subset", "\\cup", "\\cap", "/"}


def is_complete(latex: str) -> bool:
    r"""Return whether LaTeX can be a whole formula: it closes what it opens, and does not end with an operator."""
    tokens = [token.strip() for token in _TOKEN.findall(latex)]
    opened = sum(token in ("(", "[", "\\{", "\\langle") for token in tokens)
    closed = sum(token in (")", "]", "\\}", "\\rangle") for token in tokens)
    return bool(tokens) and opened == closed and tokens[-1] not in _JOINING


def to_typst(latex: str, display: bool = True) -> str | None:
    """Return the Typst markup of a formula, without its dollar signs; None if it is outside the supported subset."""
    try:
        return write_typst(parse(latex, display), display)
    except LatexError:
        return None


def write_latex(row: Row) -> str:
    """Write a tree as LaTeX."""
    out = ""
    for piece in map(_latex, row):
        out += " " + piece if re.search(r"\\[a-zA-Z]+$", out) and piece[:1].isalpha() else piece
    return out


def _latex(node: Node) -> str:
    kind, name, extra, parts = node.kind, node.name, node.extra, node.parts
    if kind == "text":
        return f"{name}{{{re.sub(_RESERVED, _ESCAPE, extra)}}}"
    if kind == "operator":
        return f"{name}{{{extra}}}" if extra else name
    if kind == "table":
        return _latex_table(name, extra, parts)
    if kind in ("big", "middle"):
        command, delimiter = (name, extra) if kind == "big" else ("\\middle", name)
        return command + delimiter
    rows = [write_latex(part) for part in parts]
    if kind == "call":
        degree, rows = (f"[{rows[0]}]", rows[1:]) if name == "\\root" else ("", rows)
        return ("\\sqrt" if degree else name) + degree + "".join(f"{{{r}}}" for r in rows)
    if kind == "scripts":
        base, sub, sup = rows
        return base + name + (f"_{{{sub}}}" if parts[1] else "") + (f"^{{{sup}}}" if parts[2] else "")
    if kind == "fence":
        return write_latex((Node("symbol", "\\left" + name), *parts[0], Node("symbol", "\\right" + extra)))
    if kind == "group":
        return f"{{{rows[0]}}}"
    if kind == "style":
        return f"{{{write_latex((Node('symbol', name), *parts[0]))}}}"
    return name


def _latex_table(name: str, spec: str, rows: tuple[tuple[Row, ...], ...]) -> str:
    lines = r"\\".join("&".join(map(write_latex, row)) for row in rows)
    if name == "substack":
        return f"\\substack{{{lines}}}"
    return f"\\begin{{{name}}}{f'{{{spec}}}' if spec else ''}{lines}\\end{{{name}}}"


def write_typst(row: Row, display: bool = True) -> str:
    """Write a tree as Typst math. Raises LatexError for anything that Typst would draw differently."""
    if display and len(row) == 1 and row[0].kind == "table" and row[0].name in ("aligned", "gathered"):
        return " \\ ".join(map(_write_aligned, row[0].parts))
    return _join(row)


def _join(row: Row) -> str:
    """Join pieces, with a space only where two letters or digits would form one name: other spaces would be visible."""
    out = ""
    for piece in map(_typst, row):
        out += " " + piece if out[-1:].isalnum() and piece[:1].isalnum() else piece
    return out or '""'


def _typst(node: Node) -> str:
    kind, name, extra, parts = node.kind, node.name, node.extra, node.parts
    if kind == "symbol":
        return _character(name)
    if kind == "space":
        return SPACES.get(name) or f"#h({name[8:-1]})"
    if kind == "text":
        return TEXTS[name].format(_quote(extra))
    if kind == "operator":
        printed, limits = OPERATORS.get(name) or (extra, name.endswith("*"))
        return f'op("{printed}"{", limits: #true" if limits else ""})'
    if kind == "call":
        if name == "\\mathrm" and all(n.kind in ("symbol", "number") and n.name.isalnum() for n in parts[0]):
            return _quote("".join(n.name for n in parts[0]))
        return CALLS[name].typst.format(*map(_join, parts))
    if kind == "scripts":
        return _typst_scripts(node)
    if kind == "fence":
        left, right = ("" if d == "." else _character(d) for d in (name, extra))
        return f"lr({left}{_join(parts[0])}{right})"
    if kind == "middle":
        return f"mid({_character(name)})"
    if kind == "big":
        height, side = SIZES[name]
        scaled = f"lr(size: #{height}, {_character(extra)})"
        return f'class("{side}", {scaled})' if side else scaled
    if kind == "group":
        return f'class("normal", {_join(parts[0])})'
    if kind == "style":
        return f"{_STYLES[name]}({_join(parts[0])})"
    if kind == "table":
        return _typst_table(name, extra, parts)
    return name


_STYLES = {"\\displaystyle": "display", "\\textstyle": "inline", "\\scriptstyle": "script"}
_ACTIVE = "⟨⟩⌊⌋⌈⌉⟦⟧⌜⌝⌞⌟√"  # Typst pairs brackets off and lets them grow; a root takes what follows
_RESERVED, _ESCAPE = r"([%&#_$])", r"\\\1"


def _character(name: str) -> str:
    """Write a symbol. ASCII signs and brackets are escaped, since they are syntax in Typst."""
    char = SYMBOLS.get(name, name)
    special = len(char) == 1 and (char in _ACTIVE or (char.isascii() and not char.isalnum()))
    return "\\" + char if special else char


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _typst_scripts(node: Node) -> str:
    base, sub, sup = node.parts
    on = _typst(base[0])
    if base[0].kind == "call" and CALLS[base[0].name].limits:
        on = f"limits({on})"
    elif base[0].kind == "call" and base[0].name in (
        "\\overset",
        "\\underset",
        "\\pmod",
        "\\xrightarrow",
        "\\xleftarrow",
    ):
        on = f'class("normal", {on})'
    elif node.name:
        on = f"{'limits' if node.name == chr(92) + 'limits' else 'scripts'}({on})"
    return on + "".join(f"{mark}({_script(row)})" for mark, row in (("_", sub), ("^", sup)) if row)


def _script(row: Row) -> str:
    if len(row) == 1 and row[0].name == "substack":
        return " \\ ".join(_join(line[0]) for line in row[0].parts)
    return _join(row)


def _write_aligned(cells: tuple[Row, ...]) -> str:
    """Write a row of `aligned`: pairs of columns, right- and left-aligned at a relation, with space between pairs."""
    out = _join(cells[0]) if cells else ""
    for k, cell in enumerate(cells[1:]):
        out += ("& " if k % 2 == 0 else " wide & ") + _join(cell)
    return out


def _typst_table(name: str, spec: str, rows: tuple[tuple[Row, ...], ...]) -> str:
    if name == "substack":
        raise LatexError("'\\substack' outside a subscript or superscript")
    wide = max(map(len, rows))
    if name in ("aligned", "gathered"):
        lines = [f"display({_write_aligned(row)})" if wide == 1 else _write_aligned(row) for row in rows]
    else:
        lines = [", ".join(_join(c) for c in (*row, *[()] * (wide - len(row)))) for row in rows]
    if name != "array":
        return TABLES[name].format("; ".join(lines))
    ruled = [len(spec[:k].replace("|", "")) for k, c in enumerate(spec) if c == "|"]
    rules = f", augment: #(vline: ({', '.join(map(str, ruled))},))" if ruled else ""
    align = {"l": "left", "c": "center", "r": "right"}[spec[0]]
    return f"mat(delim: #none, align: #{align}{rules}, {'; '.join(lines)})"
