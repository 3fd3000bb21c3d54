"""Turn the inline elements of pandoc's syntax tree into runs of text, with their footnotes.

A paragraph is read whole or not at all: `Unknown` names the element that is not known.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..io.errors import InputError
from .blocks import Note, Run, Runs, trim_runs
from .math import normalise
from .math_nodes import LatexError
from .pandoc_source import BARS, ESCAPED_AMPERSAND, MARK, Kept


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BREAK, _DROPPED = "\x01", "\x00"  # a forced line break; a place where something was dropped
_HAN = r"[\u2e80-\u9fff\uff00-\uffef]"
_COMBINING = "\u0300-\u036f"
_OPERATOR = re.compile(r"\\mathop\{\\mathrm\{([^{}]*)\}\}")  # pandoc's form of \DeclareMathOperator
IGNORED = _names(
    "vspace hspace pagestyle thispagestyle pagenumbering color selectlanguage hyphenation enlargethispage phantom "
    "hphantom vphantom markright fontfamily fontseries fontshape fontencoding setlength addtolength setcounter "
    "addtocounter markboth fontsize addcontentsline maketitle"
)
_COUNTED = _names(  # left out of a paragraph, which stays
    "tableofcontents listoffigures listoftables printindex printbibliography printdate cite citep citet citealp "
    "citealt citeauthor citeyear citeyearpar Citet parencite textcite autocite footcite nocite ref eqref pageref "
    "vref cref Cref autoref nameref label index glossary input include bibliography bibliographystyle "
    "includegraphics thanks usepackage"
)
_QUOTES = {"SingleQuote": ("‘", "’"), "DoubleQuote": ("“", "”")}
_SAME_STYLE = ("Span", "Underline", "SmallCaps")


class Unknown(InputError):
    """A paragraph holds something that is not known here."""


@dataclass
class Found:
    """Side results of a paragraph: its footnotes, and what was dropped from it."""

    notes: list[Note] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


class InlineReader:
    """Reads paragraphs. kept: what placeholders in Markdown stand for; None for LaTeX."""

    def __init__(self, kept: Sequence[Kept] | None = None):
        self.kept, self.latex = kept or (), kept is None
        self.notes = 0  # footnotes read so far
        self.numbers: dict[str, str] = {}  # label of a footnote in Markdown -> its number

    def read(self, nodes: Sequence[Any]) -> tuple[Runs, Found]:
        """Return the runs of a paragraph, its footnotes and what was dropped. Raises Unknown."""
        found = Found()
        runs = _tidy(list(self._inlines(nodes, "", found)))
        self.notes += len(found.notes)
        return runs, found

    def number(self, label: str) -> str:
        """Return the number of a footnote in Markdown: its label, or the next free number if that is a name."""
        if label not in self.numbers:
            taken = set(self.numbers.values())
            free = next(str(k) for k in range(1, len(taken) + 2) if str(k) not in taken)
            self.numbers[label] = label if label.isdigit() and label not in taken else free
        return self.numbers[label]

    def _inlines(self, nodes: Sequence[Any], style: str, found: Found) -> Iterator[Run]:
        for node in nodes:
            kind, content = node["t"], node.get("c")
            if kind == "Str":
                yield from self._string(content, style)
            elif kind in ("Space", "SoftBreak", "LineBreak"):
                yield Run({"Space": " ", "SoftBreak": "\n"}.get(kind, _BREAK), style)
            elif kind in ("Emph", "Strong"):
                yield from self._inlines(content, _nest(style, "italic" if kind == "Emph" else "bold"), found)
            elif kind in _SAME_STYLE:
                yield from self._inlines(content if isinstance(content[0], dict) else content[-1], style, found)
            elif kind == "Quoted":
                left, right = _QUOTES[content[0]["t"]]
                yield from (Run(left, style), *self._inlines(content[1], style, found), Run(right, style))
            elif kind == "Code":
                yield Run(self.source(content[1]), "code")
            elif kind == "Link":
                address = self.latex and "uri" in content[0][1]
                yield from self._inlines(content[1], "code" if address else style, found)
            elif kind == "Math":
                if content[0]["t"] == "DisplayMath":
                    raise Unknown("a displayed formula inside a style")
                yield Run(canonical(content[1], False), "math")
            elif kind == "Note":
                yield self._footnote(content, found)
            else:
                yield from self._drop(kind, content, found)

    def _string(self, text: str, style: str) -> Iterator[Run]:
        """Yield the runs of a word: in Markdown it may hold placeholders."""
        if self.latex:
            yield Run(_plain(text), style)
            return
        parts = MARK.split(text)
        for k, part in enumerate(parts):
            if k % 2 == 0:
                yield Run(part, style)
            elif (kept := self.kept[int(part)]).kind == "mark":
                yield Run(self.number(kept.text), "note")
            else:
                yield Run(kept.text, "math") if kept.kind == "math" else Run(kept.source, style)

    def source(self, text: str) -> str:
        """Return code as it was in the source, without placeholders."""
        text = MARK.sub(lambda match: self.kept[int(match[1])].source, text)
        return text.replace(ESCAPED_AMPERSAND, "&").replace(BARS, "")

    def _footnote(self, blocks: Sequence[Any], found: Found) -> Run:
        number = str(self.notes + len(found.notes) + 1)
        if any(block["t"] not in ("Para", "Plain") for block in blocks):
            raise Unknown("a footnote that is not one paragraph")
        nodes = [node for block in blocks for node in (*block["c"], {"t": "Space"})]
        inner = Found(dropped=found.dropped)
        runs = _tidy(list(self._inlines(nodes, "", inner)))
        if not runs or inner.notes:
            raise Unknown("a footnote without text or with a footnote")
        found.notes.append(Note(number, runs))
        return Run(number, "note")

    def _drop(self, kind: str, content: Any, found: Found) -> Iterator[Run]:
        """Drop an element that a page cannot show, or raise Unknown if the paragraph needs it."""
        if kind == "Cite":
            names = [command_of(node["c"][1]) for node in content[1] if node["t"] == "RawInline"] or ["\\cite"]
        elif kind == "Image":
            names = ["\\includegraphics" if self.latex else "picture"]
        elif kind == "RawInline":
            names = [command_of(content[1]) if self.latex else "HTML"]
        else:
            raise Unknown(kind.lower())
        for name in names:
            if self.latex and name.removeprefix("\\") not in IGNORED | _COUNTED:
                raise Unknown(name)
            if name.removeprefix("\\") not in IGNORED:
                found.dropped[name] += 1
                yield Run(_DROPPED if self.latex else "")


def command_of(raw: str) -> str:
    r"""Return the name of a piece of raw LaTeX: `\name` or `\begin{name}`."""
    found = re.match(r"\\begin\{[^{}]*\}|\\[A-Za-z@]+|\\.", raw.strip())
    return found[0] if found else raw.strip()[:20]


def _nest(outer: str, inner: str) -> str:
    return outer if outer == "code" else "" if outer == inner == "italic" else inner


def _plain(text: str) -> str:
    """Return a word of LaTeX. Raises Unknown for a bare "&" and for an accented letter that Unicode does not have."""
    if "&" in text:
        raise Unknown("'&'")
    text = unicodedata.normalize("NFC", re.sub(f"([ıȷ])(?=[{_COMBINING}])", lambda m: "ij"["ıȷ".index(m[1])], text))
    if found := re.search(f".[{_COMBINING}]", text):
        raise Unknown(f"an accent on {found[0][0]!r} which Unicode does not have")
    return text.replace(ESCAPED_AMPERSAND, "&").replace("?‘", "¿").replace("!‘", "¡")


def canonical(latex: str, display: bool) -> str:
    """Return the canonical spelling of a formula. Raises Unknown if it cannot be parsed."""
    source = _OPERATOR.sub(r"\\operatorname{\1}", latex.replace(ESCAPED_AMPERSAND, "\\&"))
    try:
        return normalise(source, display)
    except LatexError as error:
        raise Unknown(f"a formula: {error}") from None


def _tidy(found: list[Run]) -> Runs:
    """Normalise spaces as TeX does, and move them out of bold, italic and typewriter runs."""
    runs: list[Run] = []
    for run in trim_runs(found):
        if run.style in ("math", "note", "code"):
            runs.append(run)
            continue
        text = re.sub(rf"(?<={_HAN})[ \t]*\n[ \t]*(?={_HAN})", "", run.text)
        text = re.sub(rf"\s*{_DROPPED}(?=[\s{_DROPPED}.,;:)\]]|\Z)|{_DROPPED}", "", text)
        for k, line in enumerate(re.sub(r"\s+", " ", text).split(_BREAK)):
            core = line.strip() if run.style else line
            left, right = (" " if run.style and blank else "" for blank in (line[:1] == " ", line[-1:] == " "))
            runs += [Run("\n" if k else ""), Run(left), Run(core, run.style if core else ""), Run(right)]
    kept = [run for run in runs if run.text]
    for k, (run, after) in enumerate(pairwise(kept)):
        if after.text[0] in " \n" and not run.style:
            kept[k] = Run(run.text.rstrip(" "))  # one space between two words, none before a break
    texts = (
        re.sub(r"\s*\n\s*", "\n", re.sub(" +", " ", run.text)) if not run.style else run.text for run in trim_runs(kept)
    )
    return tuple(trim_runs(Run(text, run.style) for text, run in zip(texts, trim_runs(kept), strict=True)))
