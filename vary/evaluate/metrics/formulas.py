"""Score formulas: exact match and edit distance of their LaTeX, and F1 of their printed characters.

`formula_match` approximates CDM (arXiv 2409.03643), which compares printed characters and their places. CDM draws both
formulas and matches characters by their place in the picture. Here a character's place is its order, and the fractions,
roots, scripts and fonts around it. Do not compare its values with published CDM scores.
"""

from __future__ import annotations

import re

from rapidfuzz.distance import LCSseq

from ...markup.math import normalise
from ...markup.math_symbols import SYMBOLS
from .base import Scores
from .text import Match, edit_distance

_OUTER = re.compile(r"^(?:\$\$?|\\\[|\\\()|(?:\$\$?|\\\]|\\\))$")
_PIECE = re.compile(
    r"\\begin\{array\}\{[^{}]*\}|\\(?:begin|end)\{[^{}]*\}|\\(?:left|right)\s*\.|\\[a-zA-Z]+|\\.|\S", re.S
)
_COMMENT = re.compile(r"<!--.*?-->", re.S)  # such as the mark of a page in Markdown
_SPACES = r"\\(?:limits|nolimits|middle|displaystyle|textstyle|quad|qquad|[,;:! \\])|[&~]"
_INKLESS = re.compile(r"\\(?:begin|end)\{.*|\\(?:left|right)\s*\.?|" + _SPACES, re.S)
_PARTS = {"\\frac": ("over", "under"), "\\binom": ("over", "under"), "\\sqrt": ("root",), "\\root": ("degree", "root")}
_PARTS |= {"\\overset": ("over", ""), "\\underset": ("under", "")}
MAX_READ = 10_000  # characters; a longer answer has run away and is not parsed
_DEEP = 20  # nesting levels that count
Token = tuple[str, tuple[str, ...]]


def formula_distance(predicted: str, truth: str) -> float:
    """Return the normalised edit distance of two formulas, in canonical LaTeX if `vary.markup.math` can parse both.

    Otherwise only delimiters and white space are removed. OmniDocBench normalises differently; values differ slightly.
    """
    return edit_distance(*_alike(predicted, truth))


def formula_match(predicted: str, truth: str) -> Match:
    """Return precision, recall and F1 of printed characters, in order and in place. Equal-looking formulas score 1."""
    found, wanted = (printed(latex) for latex in _alike(predicted, truth))
    return Match.of(LCSseq.similarity(found, wanted), len(found), len(wanted))


def _alike(predicted: str, truth: str) -> tuple[str, str]:
    a, b = (_OUTER.sub("", _OUTER.sub("", _COMMENT.sub("", text).strip())).strip() for text in (predicted, truth))
    try:
        if max(len(a), len(b)) <= MAX_READ:
            return normalise(a), normalise(b)
    except (ValueError, RecursionError):  # the latter from thousands of commands in each other
        pass
    return "".join(a.split()), "".join(b.split())


def printed(latex: str) -> list[Token]:
    r"""What a formula prints, in the order of its LaTeX: characters, symbols, bars and roots, each with its place.

    A place names what is around, from the outside in: in `\frac{x^2}{y}`, 2 stands in ("over", "^"). Any text is read;
    of unknown commands those before a brace are places, others print.
    """
    tokens: list[Token] = []
    place: tuple[str, ...] = ()
    parts: list[str] = []  # roles of the arguments to come
    outer: list[tuple[tuple[str, ...], list[str]]] = []
    latex = re.sub(r"\\sqrt\s*\[([^\[\]]*)\]", r"\\root{\1}", latex)
    for match in _PIECE.finditer(latex):
        piece = match.group()
        if piece in ("^", "_"):
            parts = [piece, *parts[:_DEEP]]
        elif piece == "{":
            role = parts.pop(0) if parts else ""
            outer.append((place, parts))
            place, parts = (*place, role)[:_DEEP] if role else place, []
        elif piece == "}":
            place, parts = outer.pop() if outer else ((), [])
        elif _INKLESS.fullmatch(piece):
            continue
        elif piece in _PARTS:
            if piece in ("\\frac", "\\sqrt", "\\root"):
                tokens.append((piece.replace("root", "sqrt"), place))
            parts = [*_PARTS[piece], *parts[:_DEEP]]
        elif piece[0] == "\\" and piece not in SYMBOLS and latex[match.end() : match.end() + 9].lstrip()[:1] == "{":
            parts = [piece, *parts[:_DEEP]]
        else:
            role = parts.pop(0) if parts else ""
            tokens.append((piece, (*place, role)[:_DEEP] if role else place))
    return tokens


def formula_scores(answer: str, truth: str) -> Scores:
    """Score a formula's LaTeX: exact match in canonical spelling, normalised edit distance, and `formula_match`."""
    distance = formula_distance(answer, truth)
    return {"distance": distance, "exact": float(distance == 0), "match": formula_match(answer, truth).f1}
