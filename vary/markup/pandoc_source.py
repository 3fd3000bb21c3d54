r"""Prepare LaTeX and Markdown sources for pandoc: protect what its parser would lose, and repair broken LaTeX.

LaTeX: macros of pure layout are defined as empty; an escaped ampersand and the bars of a table are marked.
Markdown: formulas, LaTeX tables and footnotes are replaced by placeholders, since CommonMark does not have them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

ESCAPED_AMPERSAND, BARS = "\U000f5a00", "\U000f5a01"  # private use: an \&, and a table with vertical bars
MARK = re.compile("\U000f5a02(\\d+)\U000f5a03")
THEOREM = re.compile(r"\\newtheorem\*?\s*\{([^{}]+)\}(?:\[[^\]]*\])?\s*\{([^{}]+)\}(?:\[[^\]]*\])?")
_EMPTY = (
    "noindent indent centering raggedright raggedleft tiny scriptsize footnotesize small normalsize large Large "
    "LARGE huge Huge newpage clearpage cleardoublepage pagebreak bigskip medskip smallskip relax xspace protect "
    "sloppy fussy selectfont leavevmode nopagebreak goodbreak break allowbreak frenchspacing onehalfspacing "
    "doublespacing null singlespacing frontmatter mainmatter backmatter appendix nobreak begingroup endgroup "
    "bgroup egroup ignorespaces unskip flushbottom raggedbottom twocolumn onecolumn vfill hfill hfil ttfamily "
    "sffamily rmfamily upshape mdseries normalfont makeatletter makeatother"
)
_CONTENT_ONLY = ("mbox", "hbox", "fbox", "uline")  # become \textrm, which works in formulas too
_TYPEWRITER = ("path", "nolinkurl")
_THEOREMS = ("theorem", "lemma", "proposition", "corollary", "definition", "remark", "example")
_PREAMBLE = "".join(
    [
        *(f"\\newcommand{{\\{name}}}{{}}" for name in _EMPTY.split()),
        *(f"\\newcommand{{\\{name}}}[1]{{\\textrm{{#1}}}}" for name in _CONTENT_ONLY),
        *(f"\\newcommand{{\\{name}}}[1]{{\\texttt{{#1}}}}" for name in _TYPEWRITER),
        *(f"\\newtheorem{{{name}}}{{{name.capitalize()}}}" for name in _THEOREMS),
        "\\newcommand{\\today}{\\printdate}\n",  # pandoc would print the day on which it runs
    ]
)
_BARRED = re.compile(
    r"\\begin\{(?:tabular|longtable)\}(?:\[\w\])?\s*\{(?:[^{}|]|\{[^{}]*\})*\|(?:[^{}]|\{[^{}]*\})*\}"
    r"(?:\s*\\(?:hline|toprule|endhead|c(?:midrule|line)(?:\([lr]*\))?\{[\d-]+\}))*"
)
_LATEX_TOKEN = re.compile(
    r"\\begin\{(?P<env>(?:verbatim|Verbatim|lstlisting|minted|comment)\*?)\}.*?\\end\{(?P=env)\}"
    r"|\\(?:verb|lstinline)\*?(?P<sign>[^A-Za-z\s*{\[]).*?(?P=sign)|(?P<comment>%[^\n]*(?:\n[ \t]*)?)"
    r"|\\begin\{(?P<begin>[^{}]*)\}|\\end\{(?P<end>[^{}]*)\}|\\.|(?P<blank>\n[ \t]*\n)|[{}$]",
    re.S,
)


def latex_for_pandoc(text: str) -> str:
    r"""Return the source with a preamble of known macros, and with marks for `\&` and for tables with bars."""

    def change(match: re.Match[str]) -> str:
        if match["comment"]:  # it hides the end of its line, but no blank line after it
            return "\n" if text[match.end() : match.end() + 1] == "\n" else ""
        return ESCAPED_AMPERSAND if match[0] == "\\&" else match[0]

    text = re.sub(r"\\(?:global|long|outer|protected)\s*(?=\\(?:global|long|outer|protected|[egx]?def)\b)", "", text)
    return _PREAMBLE + _BARRED.sub(lambda match: match[0] + " " + BARS, _LATEX_TOKEN.sub(change, text))


def repair(text: str, message: str, skipped: Counter[str]) -> str:
    """Return the source without what made pandoc fail with this message; what is left out is counted.

    A macro that calls itself loses its definition. Else paragraphs with unbalanced braces or dollars go, and
    environments without their end lose their begin. The text comes back unchanged if nothing of that is found.
    """
    if loop := re.search(r"Loop encountered in expanding macro (\w+)", message):
        definition = rf"(\\(?:(?:new|renew|provide)command\*?\s*\{{?\s*|def\s*))\\{loop[1]}(?![A-Za-z])"
        return re.sub(definition, r"\1\\undefinedmacro", text)
    kept: list[str] = []
    opened: list[tuple[str, int]] = []  # environments, and where their begin is in `kept`
    start = depth = dollars = 0

    def close(end: int) -> None:
        """End a paragraph."""
        reason = "'{' without its end" if depth > 0 else "'}' without its begin" if depth else "'$' without its end"
        broken = bool(depth or dollars % 2)
        skipped[f"paragraph with {reason}"] += broken
        kept.append("" if broken else text[start:end])

    for token in _LATEX_TOKEN.finditer(text):
        name = token["begin"] or token["end"]
        if not name and not token["blank"]:
            depth += (token[0] == "{") - (token[0] == "}")
            dollars += token[0] == "$"
            continue
        close(token.start())
        start, depth, dollars = token.end(), 0, 0
        kept.append(token[0])
        if token["begin"]:
            opened.append((name, len(kept) - 1))
        elif token["end"]:
            _match_end(name, opened, kept, skipped)
    close(len(text))
    for name, place in opened:
        skipped[f"\\begin{{{name}}} without its end"] += 1
        kept[place] = ""
    return "".join(kept)


def _match_end(name: str, opened: list[tuple[str, int]], kept: list[str], skipped: Counter[str]) -> None:
    """Match the end of an environment, which is the last of `kept`, with its begin."""
    if name not in [other for other, _ in opened]:
        skipped[f"\\end{{{name}}} without its begin"] += 1
        kept[-1] = ""
        return
    while opened:
        other, place = opened.pop()
        if other == name:
            return
        skipped[f"\\begin{{{other}}} without its end"] += 1
        kept[place] = ""


@dataclass(frozen=True)
class Kept:
    """What a placeholder stands for. kind: math, formula, tabular, note (its text follows) or mark (of a note)."""

    kind: str
    text: str
    source: str


_PROTECTED = re.compile(
    r"(?P<code>^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)"
    r"|(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)|\\[^\w(\[\s])"
    r"|(?P<indent>^ {0,3})(?:\\\[(?P<formula>.+?)\\\]|\$\$(?P<dollars>.+?)\$\$"
    r"|(?P<tabular>\\begin\{tabular\}.*?\\end\{tabular\}))[ \t]*$"
    r"|^ {0,3}\[\^(?P<note>[^\]\s]+)\]:[ \t]*"
    r"|\\\((?P<brackets>.+?)\\\)|\$(?P<dollar>[^$\s](?:[^$\n]*[^$\s\\])?)\$(?!\d)|\[\^(?P<mark>[^\]\s]+)\]",
    re.S | re.M,
)
_KINDS = {"formula": "formula", "dollars": "formula", "tabular": "tabular", "note": "note", "brackets": "math",
          "dollar": "math", "mark": "mark"}  # fmt: skip


def markdown_for_pandoc(text: str) -> tuple[str, list[Kept]]:
    """Replace each formula, LaTeX table and footnote by a placeholder (`MARK`); return text and replaced parts."""
    kept: list[Kept] = []

    def place(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        group = next(name for name in _KINDS if match[name])
        kept.append(Kept(_KINDS[group], match[group].strip(), match[0]))
        mark = f"\U000f5a02{len(kept) - 1}\U000f5a03"
        if group in ("formula", "dollars", "tabular"):
            return f"\n{match['indent']}{mark}\n"
        return f"\n{mark}" if group == "note" else mark

    return _PROTECTED.sub(place, text), kept
