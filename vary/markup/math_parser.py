"""Parse LaTeX formulas into canonical trees (math.py defines the canonical form and writes it).

A recursive descent over the characters. Canonical forms are chosen on the way, since they depend on TeX's math style
(display, text, script). Anything unknown raises `LatexError`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .math_nodes import LatexError, Node, Row, draws, font, limits, script_base, simplify, single
from .math_symbols import (
    BIG_OPERATORS,
    CALLS,
    DECLARED,
    DELIMITERS,
    DROPPED,
    ENVIRONMENTS,
    NEGATED,
    OPERATORS,
    SAME,
    SIZES,
    SPACES,
    SYMBOLS,
    TEXTS,
)

MAX_DEPTH = 40  # braces and environments inside each other; Python's stack must hold a level in a few frames
_TOKEN = re.compile(r"(?:\s|%[^\n]*(?:\n|$))*(\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|.|$)", re.S)
_LENGTH = re.compile(r"\s*(-?(?:\d+\.?\d*|\.\d+))\s*(em|ex|pt|cm|mm|in|mu|pc)")
_EMS = {"em": 1, "ex": 0.43, "pt": 0.1, "cm": 2.845, "mm": 0.2845, "in": 7.227, "mu": 1 / 18, "pc": 1.2}  # of 10 pt
_NEXT_STYLE = {"display": "text", "text": "script", "script": "script"}
_STYLES = {"\\displaystyle": "display", "\\textstyle": "text", "\\scriptstyle": "script"}
_END = ("",)


def parse(latex: str, display: bool = True) -> Row:
    r"""Parse a formula without its delimiters into its canonical tree.

    Args:
        latex: the formula.
        display: True for a displayed formula (`\[ \]`), False for one in running text, where `\sum\limits` is not
            `\sum`.

    Raises:
        LatexError: the formula is outside the supported subset.
    """
    try:
        row = _Parser(latex, "display" if display else "text").whole()
    except RecursionError:  # arguments without braces: \\frac\\frac\\frac ...
        raise LatexError("nested too deeply") from None
    if not draws(row):
        raise LatexError("the formula is empty")
    return row


class _Parser:
    """A recursive descent over the characters. style: TeX's math style, on which canonical forms depend."""

    def __init__(self, text: str, style: str, depth: int = 0):
        self.text, self.style, self.depth, self.at = text, style, depth, 0

    def whole(self) -> Row:
        row = self.row(_END)
        while row and row[0].kind == "space":
            row = row[1:]
        while row and row[-1].kind == "space":
            row = row[:-1]
        return row

    def peek(self) -> str:
        match = _TOKEN.match(self.text, self.at)
        return match.group(1) if match else ""

    def take(self, wanted: str | None = None) -> str:
        match = _TOKEN.match(self.text, self.at)
        token = match.group(1) if match else ""
        if wanted is not None and token != wanted:
            raise LatexError(f"{wanted!r} expected, not {token or 'the end'!r}")
        self.at = match.end() if match else len(self.text)
        return token

    def row(self, stops: tuple[str, ...], style: str | None = None) -> Row:
        """Parse nodes up to one of the stops, which is not consumed."""
        if self.depth > MAX_DEPTH:
            raise LatexError(f"nested deeper than {MAX_DEPTH} levels")
        before, start, nodes = self.style, self.at, []
        self.style, self.depth = style or before, self.depth + 1
        while (token := self.peek()) not in stops:
            if token in ("\\over", "\\choose", "\\atop"):
                nodes = [self.old_fraction(token, start, stops)]
            elif token in _STYLES:
                self.take()
                rest = self.row(stops, _STYLES[token])
                nodes += [*rest] if _STYLES[token] == self.style else [Node("style", token, "", (rest,))]
            elif token in DECLARED:
                self.take()
                nodes.append(font(DECLARED[token], self.row(stops)))
            elif token in ("_", "^", "'", "\\limits", "\\nolimits"):
                self.script(nodes)
            else:
                nodes += self.atom(token)
        self.style, self.depth = before, self.depth - 1
        return simplify(nodes)

    def old_fraction(self, token: str, start: int, stops: tuple[str, ...]) -> Node:
        r"""Parse the rest of `a \over b`. The part before it is parsed again, in a numerator's style."""
        smaller = _NEXT_STYLE[self.style]
        above = _Parser(self.text[start : self.at], smaller, self.depth).row(_END)
        self.take()
        below = self.row(stops, smaller)
        if token == "\\atop":
            return Node("table", "substack", "", ((above,), (below,)))
        return Node("call", "\\frac" if token == "\\over" else "\\binom", "", (above, below))

    def group(self, style: str | None = None) -> Row:
        self.take("{")
        row = self.row(("}", ""), style)
        self.take("}")
        return row

    def argument(self, style: str | None = None) -> Row:
        """Parse `{...}`, or the single token or command that follows."""
        token = self.peek()
        if token == "{":
            return self.group(style)
        if token[:1].isdigit():
            self.take()
            self.at += 1 - len(token)  # `\frac12` is a half
            return (Node("number", token[0]),)
        if token in ("", "}", "&", "_", "^", "'", "\\\\", "\\right"):
            raise LatexError(f"an argument is missing before {token or 'the end'!r}")
        before, self.style = self.style, style or self.style
        nodes = self.atom(token)
        self.style = before
        return simplify(nodes)

    def raw(self) -> str:
        """Return the characters of a braced argument."""
        self.take("{")
        start, depth = self.at, 1
        while depth:
            if self.at >= len(self.text):
                raise LatexError("a brace is not closed")
            ch = self.text[self.at]
            self.at += 2 if ch == "\\" else 1
            depth += (ch == "{") - (ch == "}")
        return self.text[start : self.at - 1]

    def script(self, nodes: list[Node]) -> None:
        r"""Attach `_`, `^`, primes or `\limits` to the last node."""
        last = nodes.pop() if nodes and nodes[-1].kind != "space" else Node("group", parts=((),))
        if last.kind != "scripts":
            last = Node("scripts", parts=(script_base(last), (), ()))
        base, sub, sup = last.parts
        token = self.take()
        if token in ("\\limits", "\\nolimits"):
            nodes.append(replace(last, name=limits(token, base, self.style)))
            return
        if token == "_":
            if sub:
                raise LatexError("double subscript")
            sub = self.argument("script") or (Node("group", parts=((),)),)
        elif token == "^":
            if sup and any(n.name != "\\prime" for n in sup):
                raise LatexError("double superscript")
            sup = sup + (self.argument("script") or (Node("group", parts=((),)),))
        else:
            sup = (*sup, Node("symbol", "\\prime"))
        nodes.append(replace(last, parts=(base, sub, sup)))

    def atom(self, token: str) -> list[Node]:
        """Parse one token with its arguments."""
        if token == "{":
            return [Node("group", parts=(self.group(),))]
        self.take()
        name = SAME.get(token, token)
        if token[0].isdigit():
            return [Node("number", token)]
        if name in SYMBOLS or (len(name) == 1 and name.isascii() and name.isalpha()):
            return [Node("symbol", name)]
        if name in SPACES:
            return [Node("space", name)]
        if name in OPERATORS:
            return [Node("operator", name)]
        if name in TEXTS:
            return _text(name, self.raw())
        if name in CALLS:
            return self.call(name)
        if name in SIZES:
            return [Node("big", name, self.delimiter())]
        return self.special(name)

    def special(self, name: str) -> list[Node]:
        """Parse a command with a syntax of its own."""
        if name in DROPPED:
            for _ in range(DROPPED[name]):
                self.raw()
        elif name in ("\\textcolor", "\\mathcolor"):
            self.raw()
            return [Node("group", parts=(self.group(),))]
        elif name == "\\not":
            return [self.negate()]
        elif name == "\\dots":
            follows = SAME.get(self.peek(), self.peek())
            between = SYMBOLS.get(follows, "")[:1] in tuple("+−⋅×<>∗∘∧∨") or follows in ("\\=", "=", "\\le", "\\ge")
            return [Node("symbol", "\\cdots" if between else "\\ldots")]
        elif name in ("\\operatorname", "\\mathop"):
            return [self.operator(name)]
        elif name == "\\left":
            return self.fence()
        elif name == "\\middle":
            return [Node("middle", self.delimiter())]
        elif name == "\\begin":
            return self.environment()
        elif name == "\\substack":
            self.take("{")
            return [self.table("substack", "}", "script")]
        elif name in ("\\hspace", "\\mspace", "\\kern", "\\mkern", "\\hskip", "\\mskip"):
            return [self.length()]
        else:
            raise LatexError(f"{'unknown command' if name[0] == chr(92) else 'unexpected character'} {name!r}")
        return []

    def call(self, name: str) -> list[Node]:
        count = CALLS[name].count
        if name == "\\sqrt" and self.peek() == "[":
            self.take()
            degree = self.row(("]", ""), "script")
            self.take("]")
            return [Node("call", "\\root", "", (degree, self.argument()))]
        smaller = _NEXT_STYLE[self.style] if CALLS[name].smaller else None
        parts = tuple(self.argument(smaller) for _ in range(count))
        if name in (f"\\{self.style[0]}frac", f"\\{self.style[0]}binom"):  # \dfrac in a display is \frac
            name = "\\" + name[2:]
        if name in ("\\widehat", "\\widetilde") and single(parts[0]):
            name = "\\" + name[5:]
        return [font(name, parts[0]) if CALLS[name].font else Node("call", name, "", parts)]

    def negate(self) -> Node:
        token = self.take()
        if token == "{":
            token = self.take()
            self.take("}")
        name = NEGATED.get(SAME.get(token, token))
        if name is None:
            raise LatexError(f"unknown command '\\not' before {token!r}")
        return Node("symbol", name)

    def operator(self, command: str) -> Node:
        star = command == "\\operatorname" and self.text[self.at : self.at + 1] == "*"
        self.at += star
        name = re.sub(r"\\(mathrm|rm|text|textrm)\b|[{}\s]|\\,", "", self.raw())
        if not re.fullmatch(r"[A-Za-z0-9*-]+", name):
            raise LatexError(f"{command!r} of {name!r}: only letters, digits and hyphens can be named")
        follows = self.peek()
        limits = (star or command == "\\mathop") and follows in ("_", "^", "\\limits")
        known = OPERATORS.get("\\" + name)
        if known and known[1] in (limits, star or command == "\\mathop"):
            return Node("operator", "\\" + name)
        return Node("operator", "\\operatorname*" if limits else "\\operatorname", name)

    def delimiter(self) -> str:
        token = self.take()
        name = {"<": "\\langle", ">": "\\rangle"}.get(token) or SAME.get(token, token)
        if name not in DELIMITERS:
            raise LatexError(f"unknown delimiter {token!r}")
        return name

    def fence(self) -> list[Node]:
        left = self.delimiter()
        body = self.row(("\\right", ""))
        self.take("\\right")
        right = self.delimiter()
        flat = all(n.kind in ("symbol", "number") and n.name not in BIG_OPERATORS for n in body)
        if flat and "." not in (left, right):
            return [Node("symbol", left), *body, Node("symbol", right)]
        return [Node("fence", left, right, (body,))]

    def length(self) -> Node:
        match = re.compile(r"\*?\s*(\{?)" + _LENGTH.pattern + r"\s*(\}?)").match(self.text, self.at)
        if not match or bool(match.group(1)) != bool(match.group(4)):
            raise LatexError("a length is a number and one of " + ", ".join(_EMS))
        self.at = match.end()
        ems = float(match.group(2)) * _EMS[match.group(3)]
        if abs(ems) > 5:
            raise LatexError(f"a space of {ems:g} em")
        return Node("space", f"\\hspace{{{ems:.3g}em}}")

    def environment(self) -> list[Node]:
        given = self.raw()
        name = ENVIRONMENTS.get(given)
        if name is None:
            raise LatexError(f"unknown environment {given!r}")
        if name == "":
            row = self.row(("\\end", ""))
            self.take("\\end")
            self.raw()
            return [*row]
        spec = re.sub(r"\s|@\{.*?\}", "", self.raw()) if name == "array" else ""
        if name == "array" and not re.fullmatch(r"\|*[lcr](\|?[lcr])*\|*", spec):
            raise LatexError(f"array columns {spec!r}: only l, c, r and single lines")
        if len(set(spec) - {"|"}) > 1 or spec.strip("|") != spec:
            raise LatexError(f"array columns {spec!r}: one alignment for all, lines only between columns")
        style = "display" if name in ("aligned", "gathered") else "text"
        table = self.table(name, "\\end", style)
        if self.raw() != given:
            raise LatexError(f"environment {given!r} is not closed")
        if given.startswith("eqnarray"):  # left & relation & right
            joined = tuple((r[0], sum(r[1:], ())) if len(r) > 1 else r for r in table.parts)
            table = replace(table, parts=joined)
        if spec and (wide := max(map(len, table.parts))) > len(spec.replace("|", "")):
            raise LatexError(f"array columns {spec!r}: a row has {wide} cells")
        if name in ("aligned", "gathered") and len(table.parts) == 1 and len(table.parts[0]) <= 2:
            return [*simplify(sum(table.parts[0], ()))]  # one line has nothing to be aligned with
        return [replace(table, extra=spec)]

    def table(self, name: str, end: str, style: str) -> Node:
        r"""Parse cells between `&` and `\\`, and the end of the environment."""
        rows: list[tuple[Row, ...]] = [()]
        while True:
            rows[-1] += (self.row(("&", "\\\\", "\\cr", end, ""), style),)
            token = self.take()
            if token == end:
                break
            if token == "":
                raise LatexError(f"environment {name!r} is not closed")
            if token != "&":
                spacing = re.compile(r"\*?(\s*\[" + _LENGTH.pattern + r"\s*\])?").match(self.text, self.at)
                self.at = spacing.end() if spacing else self.at
                rows.append(())
        if len(rows) > 1 and rows[-1] == ((),):
            rows.pop()
        return Node("table", name, "", tuple(rows))


def _text(name: str, raw: str) -> list[Node]:
    """Parse a text and the formulas inside it."""
    nodes: list[Node] = []
    for k, piece in enumerate(re.split(r"(?<!\\)\$", raw)):
        if k % 2:
            nodes += _Parser(piece, "text").whole()
            continue
        plain = re.sub(r"\\([ %&#_$])|~", lambda m: m.group(1) or " ", piece)
        if re.search(r"[\\{}^]|(?<!\\)[%&#_]", re.sub(r"\\[ %&#_$]", "", piece)):
            raise LatexError(f"{name!r} of {raw!r}: only plain text")
        for typed, printed in (("---", "—"), ("--", "–"), ("``", "“"), ("''", "”"), ("`", "‘"), ("'", "’")):
            plain = plain.replace(typed, printed)
        plain = re.sub(r"\s+", " ", plain)
        if name == "\\text" and plain.isascii() and plain.isalnum():
            nodes.append(font("\\mathrm", _Parser(plain, "text").whole()))
        elif plain:
            nodes.append(Node("text", name, plain))
    return nodes
