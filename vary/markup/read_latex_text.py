r"""What stands inside a paragraph of LaTeX: runs of text, formulas, footnotes; macros, and where braces open and close.

Every sign of a paragraph is read or the paragraph is refused by `Unknown`, which names the macro.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..io.errors import InputError
from .blocks import Code, Note, Run, Runs, trimmed
from .math import normalise
from .math_nodes import LatexError
from .math_symbols import _pairs

MAX_EXPANSIONS, MAX_DEPTH = 100_000, 40  # of macros in one document, and inside one another
_BREAK = "\x01"  # a line that is broken by hand
_GONE = "\x00"  # where something was dropped, until the blank before it has gone, too
SECTIONS = {
    "part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4, "paragraph": 5, "subparagraph": 6,
}  # fmt: skip
STYLED = {
    "textbf": "bold", "textit": "italic", "textsl": "italic", "emph": "italic", "texttt": "code", "textrm": None,
    "textsf": None, "textsc": None, "textmd": None, "textup": None, "textnormal": None, "text": None, "mbox": None,
    "hbox": None, "fbox": None, "underline": None, "uline": None, "path": "code", "nolinkurl": "code",
}  # fmt: skip
DECLARED = {
    "bf": "bold", "bfseries": "bold", "it": "italic", "itshape": "italic", "em": "italic", "sl": "italic",
    "slshape": "italic", "tt": "code", "ttfamily": "code", "rm": "", "normalfont": "", "upshape": "", "mdseries": "",
    "sc": None, "scshape": None, "sf": None, "sffamily": None, "rmfamily": None,
}  # fmt: skip
_SIGNS = (
    "ss ß ae æ AE Æ oe œ OE Œ o ø O Ø aa å AA Å l ł L Ł i ı j ȷ S § P ¶ dag † ddag ‡ copyright © pounds £ "
    "ldots … dots … textellipsis … textregistered ® texttrademark ™ TeX TeX LaTeX LaTeX LaTeXe LaTeX2e "
    "textbackslash \\ textasciitilde ~ textasciicircum ^ textbar | textless < textgreater > textunderscore _ "
    "textendash – textemdash — guillemotleft « guillemotright » textquoteleft ‘ textquoteright ’ lq ‘ rq ’ "
    "textquotedblleft “ textquotedblright ” textquotedbl \" textquotesingle ' textdegree ° degree ° textmu µ "
    "textdollar $ textbraceleft { textbraceright } textasteriskcentered * lbrack [ rbrack ] textsection § "
    "euro € texteuro € textpm ± texttimes × textperiodcentered · textbullet • slash / dh ð th þ BibTeX BibTeX "
)
_BLANKS = ("quad", "qquad", "enspace", "space", "hfill", "hfil", "nobreakspace", "thinspace")
SIGNS = _pairs(_SIGNS, "") | dict.fromkeys(_BLANKS, " ")
SIGNS |= dict.fromkeys(("newline", "linebreak"), _BREAK)


def _taking(words: str) -> dict[str, int]:
    """Macros and how many arguments each takes: words, with a number before those that take so many."""
    found, count = {}, 0
    for word in words.split():
        count = int(word) if word.isdigit() else count
        found[word] = count
    return found


NOTHING = _taking(
    "0 noindent indent centering raggedright raggedleft tiny scriptsize footnotesize small normalsize large Large "
    "LARGE huge Huge newpage clearpage cleardoublepage pagebreak bigskip medskip smallskip relax xspace protect sloppy "
    "fussy selectfont leavevmode nopagebreak goodbreak break allowbreak frenchspacing onehalfspacing doublespacing "
    "null singlespacing frontmatter mainmatter backmatter appendix nobreak begingroup endgroup bgroup egroup "
    "ignorespaces unskip flushbottom raggedbottom twocolumn onecolumn vfill makeatletter makeatother "
    "1 vspace hspace pagestyle thispagestyle pagenumbering color selectlanguage hyphenation enlargethispage phantom "
    "hphantom vphantom markright fontfamily fontseries fontshape fontencoding "
    "2 setlength addtolength setcounter addtocounter markboth fontsize 3 addcontentsline"
)
DROPPED = _taking(
    "0 tableofcontents listoffigures listoftables printindex printbibliography today "
    "1 cite citep citet citealp citealt citeauthor citeyear citeyearpar Citet parencite textcite autocite footcite "
    "nocite ref eqref pageref vref cref Cref autoref nameref label index glossary input include bibliography "
    "bibliographystyle includegraphics thanks usepackage"
)
_MARKS = "\u0301\u0300\u0302\u0308\u0303\u0304\u0307\u030c\u0306\u0327\u030b\u0328\u030a\u0323\u0331\u0361"
ACCENTS = dict(zip("'`^\"~=.vucHkrdbt", _MARKS, strict=True))
KNOWN = {*STYLED, *DECLARED, *SIGNS, *NOTHING, *DROPPED, *ACCENTS, "footnote", "url", "href", *SECTIONS}

_DEFINITION = re.compile(
    r"\\(?:(?:new|renew|provide)command\*?\s*(?:\{\s*\\([A-Za-z]+)\s*\}|\\([A-Za-z]+))\s*(?:\[(\d)\])?\s*(\[[^\]]*\])?"
    r"|def\s*\\([A-Za-z]+)((?:#\d)*)|(DeclareMathOperator\*?)\s*(?:\{\s*\\([A-Za-z]+)\s*\}|\\([A-Za-z]+)))\s*(?=\{)"
)
_TOKEN = re.compile(r"\\([A-Za-z@]+)\*?|\\(.)|(\{)|(\$\$?)|([}&#^_])|([^\\{}$&#^_]+)", re.S)
_LIGATURES = {"---": "—", "--": "–", "``": "“", "''": "”", "`": "‘", "'": "’", '"': "”", "~": " ", "!`": "¡", "?`": "¿"}
_LIGATURE = re.compile("|".join(re.escape(k) for k in sorted(_LIGATURES, key=len, reverse=True)))
_HAN = r"[\u2e80-\u9fff\uff00-\uffef]"


class Unknown(InputError):
    """What a paragraph holds that is not known here."""


def after_blanks(text: str, at: int) -> int:
    """Where the next sign stands; a blank line is one."""
    found = re.compile(r"(?:[ \t]|\n(?![ \t]*\n))*").match(text, at)
    return found.end() if found else at


def closing(text: str, at: int) -> int:
    r"""Where the group or formula that opens at `at` with {, [, $, $$, \( or \[ has its end, else the text's."""
    opened = next(sign for sign in ("{", "$$", "$", "\\(", "\\[", "[") if text.startswith(sign, at))
    close = {"{": "}", "\\(": "\\)", "\\[": "\\]", "[": "]"}.get(opened, opened)
    depth, pattern = 0, re.compile(r"\\.|[{}\]]|\$\$?|\n[ \t]*\n", re.S)
    at += len(opened)
    while match := pattern.search(text, at):
        token, at = match[0], match.end()
        if token.startswith(close) and not depth:
            return match.start() + len(close)
        if "$" in opened and token[0] == "\n":
            break
        depth += (token == "{") - (token == "}")
        if depth < 0:
            break
    return len(text)


def argument(text: str, at: int) -> tuple[str, int]:
    """What a macro takes at this place, and where the text goes on."""
    at = after_blanks(text, at)
    if text.startswith("{", at):
        end = closing(text, at)
        return text[at + 1 : end - 1], end
    found = re.compile(r"\\[A-Za-z@]+|\\.|[^\s{}]", re.S).match(text, at)
    return (found[0], found.end()) if found else ("", at)


def option(text: str, at: int) -> tuple[str | None, int]:
    """An argument in square brackets, or None, and where the text goes on."""
    start = after_blanks(text, at)
    if not text.startswith("[", start):
        return None, at
    end = closing(text, start)
    return text[start + 1 : end - 1], end


def split(text: str, sign: str) -> list[str]:
    """Parts between signs that stand outside groups and environments."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"\\begin\{|\\end\{[^{}]*\}|\\[A-Za-z]+|\\.|[{}&]", text, re.S):
        if match[0] == sign and not depth:
            parts.append(text[start : match.start()])
            start = match.end()
        depth += {"\\begin{": 2, "{": 1, "}": -1}.get(match[0], -1 if match[0].startswith("\\end{") else 0)
    return [*parts, text[start:]]


Macros = dict[str, tuple[int, str | None, str]]  # name -> arguments, what the first one is by default, body


def defined(text: str) -> tuple[str, Macros]:
    """The text without its definitions, and those. Commands that are known keep their meaning."""
    macros: Macros = {}
    parts, at = [], 0
    for match in _DEFINITION.finditer(text):
        if match.start() < at:
            continue
        body, end = argument(text, match.end())
        name = next(name for name in (match[1], match[2], match[5], match[8], match[9]) if name)
        body = f"\\operatorname{'*' if match[7][-1] == '*' else ''}{{{body}}}" if match[7] else body
        if name not in KNOWN:
            count = int(match[3] or 0) if not match[5] else len(match[6]) // 2
            macros[name] = (count, match[4][1:-1] if match[4] else None, body)
        parts.append(text[at : match.start()])
        at = end
    return "".join([*parts, text[at:]]), macros


def expanded(text: str, macros: Macros, budget: Iterator[int] | None = None, inside: tuple[str, ...] = ()) -> str:
    """The text with macros expanded; one that calls itself stays, as does what goes beyond the budget."""
    budget = iter(range(MAX_EXPANSIONS)) if budget is None else budget
    parts, at = [], 0
    for match in re.finditer(r"\\([A-Za-z]+)", text):
        if match.start() < at or match[1] not in macros or match[1] in inside or len(inside) > MAX_DEPTH:
            continue
        if next(budget, None) is None:
            break
        count, first, body = macros[match[1]]
        end, values = match.end(), []
        if count and first is not None:
            given, end = option(text, end)
            values.append(first if given is None else given)
        while len(values) < count:
            value, end = argument(text, end)
            values.append(value)
        end = end if count else after_blanks(text, end)
        for k, value in enumerate(values, 1):
            body = body.replace(f"#{k}", value)
        body = expanded(body, macros, budget, (*inside, match[1]))
        gap = " " if re.search(r"\\[A-Za-z]+$", body) and text[end : end + 1].isalpha() else ""
        parts += [text[at : match.start()], body + gap]
        at = end
    return "".join([*parts, text[at:]])


class Prose:
    """Reads one paragraph. notes: its footnotes, numbered on from `note`; skipped: what was dropped from it."""

    def __init__(self, codes: Sequence[Code | Run], note: int):
        self.codes, self.note = codes, note
        self.notes: list[Note] = []
        self.skipped: Counter[str] = Counter()

    def runs(self, text: str) -> Runs:
        """Runs of a paragraph. Raises Unknown."""
        return _tidy(self._read(text, ""))

    def _read(self, text: str, style: str) -> list[Run]:
        found: list[Run] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise Unknown(f"{text[at]!r} at its end")
            word, sign, brace, dollars, bad, plain = match.groups()
            start, at = at, match.end()
            if plain:
                found.append(Run(plain if style == "code" else _LIGATURE.sub(lambda m: _LIGATURES[m[0]], plain), style))
            elif brace:
                at = _closed(text, start)
                found += self._read(text[start + 1 : at - 1], style)
            elif dollars or sign == "(":
                at = _closed(text, start)
                width = len(dollars or "\\(")
                found.append(_math(text[start + width : at - width]))
            elif bad:
                raise Unknown(repr(bad))
            elif word in DECLARED:
                named = DECLARED[word]
                style = style if named is None else named
                at = after_blanks(text, at)
            else:
                runs, at = self._command(text, word, at, style) if word else self._sign(text, sign, at, style)
                found += runs
        return found

    def _sign(self, text: str, sign: str, at: int, style: str) -> tuple[list[Run], int]:
        if sign in ACCENTS:
            return self._accent(text, sign, at, style)
        if sign in "%&$#_{}":
            return [Run(sign, style)], at
        if sign in " \n,;:~":
            return [Run(" ", style)], at
        if sign in "-/!@":
            return [], at
        if sign == "\\":
            at += text.startswith("*", at)
            return [Run(_BREAK, style)], option(text, at)[1]
        raise Unknown(f"\\{sign}")

    def _command(self, text: str, word: str, at: int, style: str) -> tuple[list[Run], int]:
        if word in ("verb@", "url", "href"):
            value, at = argument(text, at)
            if word == "verb@":
                code = self.codes[int(value)]
                return [code] if isinstance(code, Run) else [], at
            if word == "url":
                return [Run(value, "code")], at
            value, at = argument(text, at)
            return self._read(value, style), at
        if word in STYLED:
            value, at = argument(text, at)
            named = STYLED[word]
            if word == "emph" and style == "italic":
                named = ""
            return self._read(value, style if named is None or style == "code" else named), at
        if word in SIGNS:
            at = after_blanks(text, at)
            return [Run(SIGNS[word], style)], at
        if word in ACCENTS:
            return self._accent(text, word, at, style)
        if word == "footnote":
            return self._footnote(text, at)
        arguments = NOTHING.get(word, DROPPED.get(word))
        if arguments is None:
            raise Unknown(f"\\{word}")
        at = after_blanks(text, at) if not arguments else at
        while (after := option(text, at))[0] is not None and arguments:
            at = after[1]
        for _ in range(arguments):
            at = argument(text, at)[1]
        self.skipped[f"\\{word}"] += word in DROPPED
        return [Run(_GONE, style)] if word in DROPPED else [], at

    def _accent(self, text: str, sign: str, at: int, style: str) -> tuple[list[Run], int]:
        value, end = argument(text, at)
        base = {"\\i": "i", "\\j": "j"}.get(value.strip(), value)
        letter = unicodedata.normalize("NFC", base + ACCENTS[sign]) if base else ""
        if len(letter) != 1:
            raise Unknown(f"\\{sign}{{{value}}}")
        return [Run(letter, style)], end

    def _footnote(self, text: str, at: int) -> tuple[list[Run], int]:
        value, at = argument(text, option(text, at)[1])
        place = len(self.notes)
        number = str(self.note + place + 1)
        self.notes.append(Note(number, ()))
        runs = _tidy(self._read(value, ""))
        if not runs or len(self.notes) > place + 1:
            raise Unknown("a footnote without text or with a footnote")
        self.notes[place] = Note(number, runs)
        return [Run(number, "note")], at


def _closed(text: str, at: int) -> int:
    end = closing(text, at)
    if text[end - 1] not in "})$" or end - at < 2:
        raise Unknown(f"{text[at]!r} without its end")
    return end


def _math(latex: str) -> Run:
    try:
        return Run(normalise(latex, False), "math")
    except LatexError as error:
        raise Unknown(f"a formula: {error}") from None


def _tidy(found: list[Run]) -> Runs:
    """Blanks as TeX sets them, and none inside the ends of a bold, an italic or a typewriter run."""
    runs: list[Run] = []
    for run in trimmed(found):
        if run.style in ("math", "note"):
            runs.append(run)
            continue
        text = re.sub(rf"(?<={_HAN})[ \t]*\n[ \t]*(?={_HAN})", "", run.text)
        text = re.sub(rf"\s*{_GONE}(?=[\s{_GONE}.,;:)\]]|\Z)|{_GONE}", "", text)
        for k, line in enumerate(re.sub(r"\s+", " ", text).split(_BREAK)):
            core = line.strip() if run.style else line
            left, right = (" " if run.style and blank else "" for blank in (line[:1] == " ", line[-1:] == " "))
            runs += [Run("\n" if k else ""), Run(left), Run(core, run.style if core else ""), Run(right)]
    kept = [run for run in runs if run.text]
    for k, (run, after) in enumerate(pairwise(kept)):
        if after.text[0] in " \n" and not run.style:
            kept[k] = Run(run.text.rstrip(" "))  # one blank between two words, none before a break
    texts = (
        re.sub(r"\s*\n\s*", "\n", re.sub(" +", " ", run.text)) if not run.style else run.text for run in trimmed(kept)
    )
    return tuple(trimmed(Run(text, run.style) for text, run in zip(texts, trimmed(kept), strict=True)))
