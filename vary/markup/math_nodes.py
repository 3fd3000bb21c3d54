"""LaTeX mathematics as a tree of nodes, and the rules that make equal pictures equal trees (latex.py lists them)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..io.errors import InputError
from .math_symbols import BIG_OPERATORS, CALLS, INTEGRALS, OPERATORS, SYMBOLS

Row = tuple["Node", ...]


class LatexError(InputError):
    """A formula outside the subset; one line that names the command or the place."""


@dataclass(frozen=True)
class Node:
    """A piece of a formula.

    kind: symbol, number, space, text, operator, call, scripts, fence, middle, big, style, group or table; name: the
    LaTeX command or character; extra: a text, a right delimiter, a column specification; parts: rows of nodes (of a
    table: rows of cells).
    """

    kind: str
    name: str = ""
    extra: str = ""
    parts: tuple[Any, ...] = ()


def settled(nodes: list[Node] | Row) -> Row:
    """Braces that change nothing taken off, digits joined to one number, three dots to an ellipsis."""
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
    """Whether a node keeps its spacing when the braces around it go."""
    if node.kind == "symbol":
        return SYMBOLS.get(node.name, node.name).isalpha()
    if node.kind == "scripts":
        return all(_ordinary(n) for n in node.parts[0])
    if node.kind == "call" and (CALLS[node.name].font or not CALLS[node.name].ordinary):
        return CALLS[node.name].font and all(_ordinary(n) for n in node.parts[0])
    return node.kind in ("call", "number", "text", "space", "style")


def draws(row: Row) -> bool:
    """Whether a row puts any ink on the page."""
    return any(n.kind != "space" and (n.kind != "group" or draws(n.parts[0])) for n in row)


def script_base(node: Node) -> Row:
    """What a script hangs on: braces around a single symbol go."""
    if node.kind == "group" and len(node.parts[0]) == 1:
        inner = node.parts[0][0]
        if inner.kind in ("symbol", "number", "call", "text") and _ordinary(inner):
            return (inner,)
    return (node,)


def limits(command: str, base: Row, style: str) -> str:
    """`\\limits` or `\\nolimits` where it changes the picture, else nothing."""
    node = base[0]
    if node.kind == "call" and CALLS[node.name].limits:
        return ""
    if node.name not in BIG_OPERATORS and node.kind != "operator":
        raise LatexError(f"{command!r} after something that is no operator")
    above = node.name in BIG_OPERATORS and node.name not in INTEGRALS
    above = (above or (node.kind == "operator" and OPERATORS.get(node.name, ("", True))[1])) and style == "display"
    return "" if above == (command == "\\limits") else command


def font(name: str, row: Row) -> Node:
    """Letters in another alphabet; of nothing, nothing."""
    return Node("call", name, "", (row,)) if row else Node("group", parts=((),))


def single(row: Row) -> bool:
    """Whether a row is one character or number."""
    return len(row) == 1 and row[0].kind in ("symbol", "number")
