"""Represent LaTeX formulas as trees of nodes, and apply the rules that give equal formulas equal trees (math.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..io.errors import InputError
from .math_symbols import BIG_OPERATORS, CALLS, INTEGRALS, OPERATORS, SYMBOLS

Row = tuple["Node", ...]


class LatexError(InputError):
    """A formula outside the supported subset. The message is one line that names the command or the place."""


@dataclass(frozen=True)
class Node:
    """A piece of a formula.

    kind: symbol, number, space, text, operator, call, scripts, fence, middle, big, style, group or table. name: the
    LaTeX command or character. extra: a text, a right delimiter or a column specification. parts: rows of nodes; for a
    table, rows of cells.
    """

    kind: str
    name: str = ""
    extra: str = ""
    parts: tuple[Any, ...] = ()


def simplify(nodes: list[Node] | Row) -> Row:
    """Remove braces without effect, join digits to one number, and three dots to an ellipsis."""
    out: list[Node] = []
    for node in nodes:
        inner = node.parts[0] if node.kind == "group" else (node,)
        for n in inner if all(_ordinary(n) for n in inner) else (node,):
            if n.kind == "number" and out and out[-1].kind == "number":
                n = Node("number", out.pop().name + n.name)
            out.append(n)
            if len(out) >= 3 and all(m.name == "." for m in out[-3:]):
                out[-3:] = [Node("symbol", "\\ldots")]
    return tuple(out)


def _ordinary(node: Node) -> bool:
    """Return whether a node keeps its spacing without the braces around it."""
    if node.kind == "symbol":
        return SYMBOLS.get(node.name, node.name).isalpha()
    if node.kind == "scripts":
        return all(_ordinary(n) for n in node.parts[0])
    if node.kind == "call" and (CALLS[node.name].font or not CALLS[node.name].ordinary):
        return CALLS[node.name].font and all(_ordinary(n) for n in node.parts[0])
    return node.kind in ("call", "number", "text", "space", "style")


def draws(row: Row) -> bool:
    """Return whether a row puts any ink on the page."""
    return any(n.kind != "space" and (n.kind != "group" or draws(n.parts[0])) for n in row)


def script_base(node: Node) -> Row:
    """Return the base of a script: braces around a single symbol are removed."""
    if node.kind == "group" and len(node.parts[0]) == 1:
        inner = node.parts[0][0]
        if inner.kind in ("symbol", "number", "call", "text") and _ordinary(inner):
            return (inner,)
    return (node,)


def limits(command: str, base: Row, style: str) -> str:
    r"""Return `\limits` or `\nolimits` if it changes the picture, else nothing."""
    node = base[0]
    if node.kind == "call" and CALLS[node.name].limits:
        return ""
    if node.name not in BIG_OPERATORS and node.kind != "operator":
        raise LatexError(f"{command!r} after something that is no operator")
    above = node.name in BIG_OPERATORS and node.name not in INTEGRALS
    above = (above or (node.kind == "operator" and OPERATORS.get(node.name, ("", True))[1])) and style == "display"
    return "" if above == (command == "\\limits") else command


def font(name: str, row: Row) -> Node:
    """Set letters in another alphabet. An empty row stays empty."""
    return Node("call", name, "", (row,)) if row else Node("group", parts=((),))


def single(row: Row) -> bool:
    """Return whether a row is one character or number."""
    return len(row) == 1 and row[0].kind in ("symbol", "number")
