r"""Turn canonical LaTeX mathematics into decoder steps, and steps back into LaTeX.

A step is either one printed character ("ink", one character long) or one piece of structure from `STRUCTURE` (longer).
`\frac{x^{2}}{\log y}` is `\frac{ x ^{ 2 \egroup }{ \operatorname{ l o g \egroup y \egroup`. Names are spelt by their
letters, so every printed character of the formula has a step of its own. A decoder can point from each such step to
the glyph that it writes. Braces alone have TeX's names, `\bgroup` and `\egroup`.

Characters are named by their plain form: the italic 𝑥 is `x`, a minus is `-`. Bold, blackboard and other alphabets are
structure (`\mathbf{`). Characters that look alike are one (`\mid` is `|`), so a step can be read back without a guess.

Unicode names the alphabets of mathematics; fonts made for TeX do not, so there the name of the font tells the style.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .math import normalise
from .math_nodes import LatexError, Node, Row
from .math_symbols import CALLS, OPERATORS, SIZES, SPACES, SYMBOLS, TABLES, TEXTS

STYLES = ("", "italic", "bold", "bold italic", "blackboard", "calligraphic", "fraktur", "sans", "mono")
RULE, BAR = "─", "│"  # glyphs that are drawn as lines: of fractions, roots and arrays
END = "<end>"

_FONT_CALLS = {"blackboard": "\\mathbb", "calligraphic": "\\mathcal", "fraktur": "\\mathfrak"}
_UNPRINTED = frozenset(("\\cancel", "\\pmod", "\\mod"))  # their ink has no steps
_CALLS = [name for name in CALLS if name not in _UNPRINTED and name != "\\root"]
OPENERS = (
    "_{", "^{", "\\bgroup", "\\operatorname{", "\\operatorname*{", "\\sqrt[", "\\substack{", "\\left", "\\left.",
    *(f"{name}{{" for name in (*_CALLS, *TEXTS)),
    *(f"{{{style}" for style in ("\\displaystyle", "\\textstyle", "\\scriptstyle")),
    *(f"\\begin{{{name}}}" for name in TABLES if name != "array"),
    *(f"\\begin{{array}}{{{side}}}" for side in "lcr"),
)  # fmt: skip
CLOSERS = ("\\egroup", "\\end", "\\right", "\\right.")
BETWEEN = ("}{", "]{", "\\cell", "\\\\", "\\limits", "\\nolimits", "\\middle")
STRUCTURE = (END, *OPENERS, *CLOSERS, *BETWEEN, *SIZES, *SPACES)
TWO_ARGUMENTS = frozenset(f"{name}{{" for name in _CALLS if CALLS[name].count == 2)
TAKE_DELIMITER = frozenset(("\\left", "\\right", "\\middle", *SIZES))  # a printed delimiter follows

_PLAIN = {"−": "-", "∗": "*", "∣": "|", "⟂": "⊥", "∥": "‖", "·": "⋅", "∶": ":", "µ": "μ", "Ω": "Ω", "∆": "Δ", "△": "△"}
_PLAIN |= {"ˆ": "\u0302", "˜": "\u0303", "¯": "\u0304", "ˉ": "\u0304", "˘": "\u0306", "˙": "\u0307", "¨": "\u0308"}
_PLAIN |= {"˚": "\u030a", "ˇ": "\u030c", "´": "\u0301", "`": "\u0300", "⁃": "-", "⎯": RULE, "￿": ""}
_KEPT = frozenset("ℓℏ")  # letters with a name of their own, though Unicode calls them a font's
_NAMED = {name: char for name, char in SYMBOLS.items() if len(char) == 1} | {"\\colon": ":"}


def plain(char: str) -> tuple[str, str]:
    """Return the plain form of a printed character, and its style: `𝐱` is ("x", "bold")."""
    if char in _KEPT:
        return char, "italic"
    tag, _, code = unicodedata.decomposition(char).partition(" ")
    if tag != "<font>":
        return _PLAIN.get(char, char), ""
    base = chr(int(code, 16))
    name = unicodedata.name(char, "")
    for style, words in _STYLE_WORDS:
        if all(word in name for word in words):
            return _PLAIN.get(base, base), style
    return _PLAIN.get(base, base), "italic"


_STYLE_WORDS = (
    ("blackboard", ("DOUBLE-STRUCK",)),
    ("sans", ("SANS-SERIF",)),
    ("mono", ("MONOSPACE",)),
    ("fraktur", ("FRAKTUR",)),
    ("fraktur", ("BLACK-LETTER",)),
    ("calligraphic", ("SCRIPT",)),
    ("bold italic", ("BOLD", "ITALIC")),
    ("bold", ("BOLD",)),
)
_LATEX: dict[str, str] = {}
for _name, _char in _NAMED.items():
    _base, _style = plain(_char)
    if not _style or _char in _KEPT:
        _LATEX.setdefault(_base, _name)
_MARKS = "".join(map(chr, (0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0x30A, 0x30C, 0x20D6, 0x20D7)))
_MARKS += "".join(map(chr, (0x20DB, 0x20E1, 0x23DE, 0x23DF))) + RULE + BAR
_LATIN = "".join(map(chr, (*range(0x21, 0x7F), *range(0xA1, 0x180))))
GLYPHS = "".join(sorted({plain(c)[0] for c in (*_LATIN, *_NAMED.values(), *_MARKS, *"ȷ‘’“”–—")}))  # classes from 1


@dataclass
class Steps:
    """steps: of a formula, without `END`. order: the steps that are ink, in the order in which Typst prints them."""

    steps: list[str] = field(default_factory=list)
    order: list[int] = field(default_factory=list)


def to_steps(row: Row) -> Steps:
    """Return the steps of a canonical tree. Raises LatexError for what has no steps (`\\cancel`, `\\hspace{1cm}`)."""
    found = Steps()
    found.order = _row(row, found.steps)
    return found


def from_steps(steps: Iterable[str]) -> str:
    """Canonical LaTeX of steps that are well formed. Raises LatexError for others."""
    return normalise(_join(list(steps)))


def _row(row: Row, out: list[str]) -> list[int]:
    return [k for node in row for k in _node(node, out)]


def _ink(char: str, out: list[str]) -> list[int]:
    base, style = plain(char)
    call = _FONT_CALLS.get(style)
    if call:
        out.append(call + "{")
    out.append(base)
    at = [len(out) - 1]
    if call:
        out.append("\\egroup")
    return at


def _letters(opener: str, text: str, out: list[str]) -> list[int]:
    out.append(opener)
    order: list[int] = []
    for char in text:
        if char.isspace():
            if char == " ":
                out.append("\\ ")
        else:
            out.append(_PLAIN.get(char, char))
            order.append(len(out) - 1)
    out.append("\\egroup")
    return order


def _node(node: Node, out: list[str]) -> list[int]:
    kind, name, extra, parts = node.kind, node.name, node.extra, node.parts
    if kind == "symbol":
        if name not in _NAMED and len(name) > 1:
            raise LatexError(f"{name!r} has no character of its own")
        return _ink(_NAMED.get(name, name), out)
    if kind == "number":
        return [k for digit in name for k in _ink(digit, out)]
    if kind == "space":
        if name not in SPACES:
            raise LatexError(f"a space of its own width: {name!r}")
        out.append(name)
        return []
    if kind == "text":
        return _letters(name + "{", extra, out)
    if kind == "operator":
        printed = OPERATORS[name][0] if name in OPERATORS else extra
        return _letters("\\operatorname*{" if name.endswith("*") else "\\operatorname{", printed, out)
    if kind == "table":
        return _table(name, extra, parts, out)
    if kind in ("big", "middle"):
        command, delimiter = (name, extra) if kind == "big" else ("\\middle", name)
        out.append(command)
        return _ink(_NAMED.get(delimiter, delimiter), out)
    if kind == "call":
        return _call(name, parts, out)
    if kind == "scripts":
        return _scripts(node, out)
    if kind == "fence":
        return _fence(node, out)
    out.append("{" + name if kind == "style" else "\\bgroup")
    order = _row(parts[0], out)
    out.append("\\egroup")
    return order


def _call(name: str, parts: Sequence[Row], out: list[str]) -> list[int]:
    if name in _UNPRINTED:
        raise LatexError(f"{name!r} has no steps")
    out.append("\\sqrt[" if name == "\\root" else name + "{")
    orders = []
    for k, part in enumerate(parts):
        if k:
            out.append("]{" if name == "\\root" else "}{")
        orders.append(_row(part, out))
    out.append("\\egroup")
    if name in ("\\overset", "\\underset"):
        orders.reverse()
    return [k for order in orders for k in order]


def _scripts(node: Node, out: list[str]) -> list[int]:
    base, sub, sup = node.parts
    order = _row(base, out)
    if node.name:
        out.append(node.name)
    lower: list[int] = []
    for mark, row in (("_{", sub), ("^{", sup)):
        if row:
            out.append(mark)
            inner = _row(row, out)
            out.append("\\egroup")
            lower, order = (inner, order) if mark == "_{" else (lower, order + inner)
    return order + lower


def _fence(node: Node, out: list[str]) -> list[int]:
    order: list[int] = []
    for command, delimiter in (("\\left", node.name), ("\\right", node.extra)):
        if delimiter == ".":
            out.append(command + ".")
        else:
            out.append(command)
            order += _ink(_NAMED.get(delimiter, delimiter), out)
        if command == "\\left":
            order += _row(node.parts[0], out)
    return order


def _table(name: str, spec: str, rows: tuple[tuple[Row, ...], ...], out: list[str]) -> list[int]:
    if name == "array":
        if len(set(spec)) != 1 or spec[0] not in "lcr" or len(spec) != max(map(len, rows)):
            raise LatexError(f"an array of columns {spec!r} has no steps")
        name = f"array}}{{{spec[0]}"
    out.append("\\substack{" if name == "substack" else f"\\begin{{{name}}}")
    cells: list[list[list[int]]] = []
    for k, row in enumerate(rows):
        if k:
            out.append("\\\\")
        cells.append([])
        for j, cell in enumerate(row):
            if j:
                out.append("\\cell")
            cells[-1].append(_row(cell, out))
    out.append("\\egroup" if name == "substack" else "\\end")
    if name in ("aligned", "gathered", "substack"):
        return [k for line in cells for cell in line for k in cell]
    return [k for j in range(max(map(len, cells))) for line in cells if j < len(line) for k in line[j]]


def _join(steps: list[str]) -> str:
    """LaTeX that `normalise` accepts; names that LaTeX knows as operators are written so."""
    out: list[str] = []
    stack: list[tuple[str, int]] = []
    for step in steps:
        if step in _OPENERS:
            stack.append((step, len(out)))
            out.append("{" if step == "\\bgroup" else step)
        elif step in CLOSERS:
            if not stack:
                raise LatexError(f"{step!r} closes nothing")
            opener, at = stack.pop()
            out.append(_close(step, opener, at, out))
        else:
            if step in ("}{", "]{") and not stack:
                raise LatexError(f"{step!r} is between nothing")
            inside_text = bool(stack) and stack[-1][0][:-1] in TEXTS
            out.append(_write(step, inside_text))
    if stack:
        raise LatexError(f"{stack[-1][0]!r} is not closed")
    latex = ""
    for piece in out:
        latex += " " + piece if re.search(r"\\[a-zA-Z]+$", latex) and piece[:1].isalpha() else piece
    return latex


def _close(step: str, opener: str, at: int, out: list[str]) -> str:
    if step == "\\end":
        if opener.startswith("\\begin{array}"):
            wide = _widest(out[at + 1 :])
            out[at] = f"\\begin{{array}}{{{opener[-2] * wide}}}"
            return "\\end{array}"
        return "\\end" + opener[len("\\begin") :]
    if opener.startswith("\\operatorname"):
        name = "\\" + "".join(out[at + 1 :])
        if name in OPERATORS:
            out[at:] = [name]
            return ""
    return "}" if step == "\\egroup" else step


def _widest(pieces: list[str]) -> int:
    """Return the columns of an array, from the LaTeX written since it was opened."""
    depth, columns, most = 0, 1, 1
    for piece in pieces:
        depth += piece.startswith("\\begin{") - piece.startswith("\\end{")
        if not depth and piece in ("&", "\\\\"):
            columns = columns + 1 if piece == "&" else 1
            most = max(most, columns)
    return most


def _write(step: str, inside_text: bool) -> str:
    if inside_text:
        return " " if step == "\\ " else re.sub(r"([%&#_$])", r"\\\1", step)
    if step == "\\cell":
        return "&"
    return step if step in _STRUCTURE else _LATEX.get(step, step)


_OPENERS = frozenset(OPENERS)
_STRUCTURE = frozenset(STRUCTURE)


# -- glyphs ------------------------------------------------------------------------------------------------------------
THICKNESS = 0.64  # height of a rule, in 1/16 of the size of the type: what is measured depends on the PDF's maker
_TEX_FONTS = (
    ("bold italic", re.compile(r"cmmib|cmbsy|bxti|(?:bold|black).*(?:ital|obli)", re.I)),
    ("blackboard", re.compile(r"msbm|bbold|bbm\d|dsrom", re.I)),
    ("fraktur", re.compile(r"eu[fs]m|eufb|fraktur", re.I)),
    ("sans", re.compile(r"cmss|sfss|lmsans", re.I)),
    ("mono", re.compile(r"cmtt|sftt|ectt|typewriter|mono|courier", re.I)),
    ("italic", re.compile(r"cmmi|cmti|lmmi|ital|obli|mathit|mtmi|slant", re.I)),
    ("bold", re.compile(r"cmbx|cmb\d|sfbx|lmbx|bold|black|heavy|medi(?!c)", re.I)),
)
_SYMBOL_FONT = re.compile(r"cmsy|lmsy|mathsymbols|mtsy", re.I)  # its capitals are calligraphic


def math_glyphs(
    chars: Sequence[str], boxes: np.ndarray, fonts: Sequence[str], rules: Sequence[Sequence[float]], scale: float
) -> tuple[str, np.ndarray, np.ndarray]:
    """Glyphs of one formula: plain characters, styles (N,) uint8, boxes (N, 4) float32, in the order given; rules last.

    Args:
        chars: printed characters. Blanks, variation selectors and what has no width are left out.
        boxes: (N, 4), x0, y0, x1, y1; y down.
        fonts: the name of the font of each character; empty where it tells nothing.
        rules: boxes of ruling lines.
        scale: what boxes are multiplied by to make the size of the type 16.
    """
    names: list[str] = []
    styles: list[str] = []
    places: list[Sequence[float]] = []
    for char, box, font in zip(chars, boxes.tolist(), fonts, strict=True):
        if char.isspace() or "\ufe00" <= char <= "\ufe0f" or box[2] <= box[0]:
            continue
        name, style = plain(char)
        if name:
            names.append(name)
            styles.append(style or _style_of_font(name, font))
            places.append([v * scale for v in box])
    for x0, y0, x1, y1 in ([v * scale for v in rule] for rule in rules):
        level = x1 - x0 >= y1 - y0
        middle = (y0 + y1) / 2 if level else (x0 + x1) / 2
        low, high = middle - THICKNESS / 2, middle + THICKNESS / 2
        names.append(RULE if level else BAR)
        styles.append("")
        places.append([x0, low, x1, high] if level else [low, y0, high, y1])
    numbers = np.array([STYLES.index(style) for style in styles], np.uint8)
    return "".join(names), numbers, np.array(places, np.float32).reshape(-1, 4)


def left_to_right(boxes: np.ndarray) -> np.ndarray:
    """Return the indices of boxes (N, 4) in the order of their middles, the order of the decoder's glyphs."""
    return np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")


def _style_of_font(char: str, font: str) -> str:
    if not char.isalnum():
        return ""
    if _SYMBOL_FONT.search(font) and "A" <= char <= "Z":
        return "calligraphic"
    return next((style for style, pattern in _TEX_FONTS if pattern.search(font)), "")
