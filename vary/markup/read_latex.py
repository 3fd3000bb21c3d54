r"""LaTeX documents -> blocks, as `markdown.read_markdown` gives them: Vary re-typesets LaTeX sources from arXiv.

A paragraph is read whole or not at all: one that holds a macro which is not known here is left out, and the macro is
named. Macros that the text itself defines (`\newcommand`, `\def`) are expanded; what only changes looks (sizes, white
space, small capitals, underlines) says nothing and is passed over. Formulas get their canonical spelling (`latex.py`).
Source: Vary, arXiv 2312.06109 section 3.3.2.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..io.errors import InputError
from .blocks import (
    Block,
    Code,
    Formula,
    Heading,
    Item,
    Paragraph,
    Quote,
    Run,
    Runs,
    Table,
    trimmed,
)
from .math import normalise
from .math_nodes import LatexError
from .read_latex_text import (
    SECTIONS,
    Macros,
    Prose,
    Unknown,
    after_blanks,
    argument,
    closing,
    defined,
    expanded,
    option,
    split,
)

LISTS = {"itemize": "-", "enumerate": "1", "description": "", "list": "-", "trivlist": "-"}
QUOTES = ("quote", "quotation", "verse")
PICTURES = ("figure", "wrapfigure", "picture", "tikzpicture", "pspicture", "axis", "filecontents", "thebibliography")
TABULARS = {"tabular": 0, "tabular*": 1, "tabularx": 1, "longtable": 0}  # arguments before the columns
FORMULAS = {
    "equation": "", "displaymath": "", "align": "aligned", "gather": "gathered", "multline": "gathered",
    "eqnarray": "eqnarray", "flalign": "aligned",
}  # fmt: skip
THEOREMS = ("theorem", "lemma", "proposition", "corollary", "definition", "remark", "example")
PLAIN = (
    "document", "center", "flushleft", "flushright", "small", "footnotesize", "large", "minipage", "landscape",
    "sloppypar", "raggedright", "spacing", "singlespace", "doublespace", "frontmatter", "titlepage", "CJK", "CJK*",
)  # fmt: skip
WITH_ARGUMENTS = {"minipage": 1, "spacing": 1, "CJK": 2, "CJK*": 2, "list": 2}

_VERBATIM = re.compile(
    r"\\begin\{(?P<env>(?:verbatim|Verbatim|lstlisting|minted)\*?)\}(?P<body>.*?)\\end\{(?P=env)\}"
    r"|\\(?:verb|lstinline)\*?(?:\[[^\]]*\])?(?P<sign>[^A-Za-z\s*{\[])(?P<code>[^\n]*?)(?P=sign)"
    r"|(?P<hidden>\\begin\{comment\}.*?\\end\{comment\}|\\iffalse\b.*?\\fi\b|(?<!\\)%[^\n]*(?:\n[ \t]*)?)|\\.",
    re.S,
)
_THEOREM = re.compile(r"\\newtheorem\*?\s*\{([^{}]+)\}(?:\[[^\]]*\])?\s*\{([^{}]+)\}(?:\[[^\]]*\])?")
_EVENT = re.compile(r"\n[ \t]*\n\s*|\\begin\{([^{}]*)\}|\\([A-Za-z@]+)\*?|\\\(|\\\[|\\.|\{|\$\$?", re.S)
_RULE = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|specialrule|addlinespace)(?:\[[^\]]*\])?"
    r"|\\c(?:midrule|line)(?:\[[^\]]*\])?(?:\([lr]*\))?\{[\d-]+\}"
)
_TAG = re.compile(r"\\tag\*?\{([^{}]*)\}")


def read_tex(text: str) -> tuple[list[Block], Counter[str]]:
    r"""Blocks of a LaTeX document or a part of one, and how often each kind of thing was left out.

    Headings bear no numbers; formulas, tables and theorems are counted as LaTeX's article does. `\input` is not
    followed. Raises ValueError for a text without any block.
    """
    codes: list[Code | Run] = []
    text = _VERBATIM.sub(lambda match: _kept(match, codes), text.replace("\r\n", "\n"))
    theorems = dict(_THEOREM.findall(text)) | {"proof": ""}
    text, macros = defined(_THEOREM.sub("", text))
    for command in ("title", "author"):  # they stand in the preamble as a rule
        found = re.search(rf"\\{command}\s*(?:\[[^\]]*\])?\s*(?=\{{)", text)
        macros[command + "@"] = (0, None, argument(text, found.end())[0] if found else "")
    begin, end = text.find(r"\begin{document}"), text.rfind(r"\end{document}")
    body = text[begin + 16 : end if end > begin else None] if begin >= 0 else text
    if begin >= 0 and r"\maketitle" not in body:
        body = "\\maketitle\n" + body
    reader = _Reader(codes, theorems, macros)
    reader.walk(expanded(body, macros))
    if not reader.blocks:
        raise InputError(f"no text to typeset in LaTeX that begins {text.strip()[:40]!r}")
    return reader.blocks, reader.skipped


def tex_documents(paths: Sequence[str | Path]) -> tuple[list[list[Block]], Counter[str]]:
    r"""Blocks of LaTeX files (.tex, .ltx, also .gz), and what was left out of all of them.

    Of a folder those files are taken that hold a \begin{document}; what cannot be read there is counted. Raises
    ValueError for a file of its own that cannot be read, and when nothing was found.
    """
    documents: list[list[Block]] = []
    left_out: Counter[str] = Counter()
    for given in map(Path, paths):
        inside = sorted(given.rglob("*")) if given.is_dir() else [given]
        for path in (p for p in inside if p is given or (p.is_file() and re.search(r"\.(tex|ltx)(\.gz)?$", p.name))):
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if path is not given and b"\\begin{document}" not in data:
                left_out["file without a document"] += 1
                continue
            try:
                blocks, skipped = read_tex(data.decode("latin-1" if b"[latin1]{inputenc}" in data else "utf-8"))
            except ValueError as error:
                if path is given:
                    raise InputError(f"{path}: {error}") from None
                utf = isinstance(error, UnicodeDecodeError)
                left_out["file that is not UTF-8" if utf else "document without text that can be read"] += 1
                continue
            documents.append(blocks)
            left_out += skipped
    if not documents:
        raise InputError(f"{', '.join(map(str, paths))}: no LaTeX document that can be read; {dict(left_out)}")
    return documents, left_out


def _kept(match: re.Match[str], codes: list[Code | Run]) -> str:
    """Typewriter text goes aside, for its signs mean nothing; comments go."""
    if match["env"]:
        body, language = match["body"], ""
        if options := re.match(r"[ \t]*\[([^\]]*)\]", body):
            named = re.search(r"language=\{?(?:\[[^\]]*\])?([\w+#-]+)", options[1])
            body, language = body[options.end() :], named[1].lower() if named else ""
        if match["env"].startswith("minted"):
            language, body = argument(body, 0)[0], body[argument(body, 0)[1] :]
        codes.append(Code(re.sub(r"\A[ \t]*\n", "", body).rstrip(), language))
        return f"\\code@{{{len(codes) - 1}}}"
    if match["sign"]:
        codes.append(Run(match["code"], "code"))
        return f"\\verb@{{{len(codes) - 1}}}"
    if match["hidden"]:
        return "\n" if match["hidden"][0] == "%" and match.string[match.end() : match.end() + 1] == "\n" else ""
    return match[0]


class _Reader:
    """Walks the source; `blocks` and `skipped` are the result."""

    def __init__(self, codes: list[Code | Run], theorems: dict[str, str], macros: Macros):
        self.codes, self.theorems, self.macros = codes, theorems, macros
        self.blocks: list[Block] = []
        self.skipped: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.lists: list[tuple[str, int]] = []  # the mark's kind, and the last number
        self.mark: str | None = None
        self.before: Runs = ()  # what is printed before the next paragraph: a label, the name of a theorem
        self.caption = ""
        self.quotes = 0

    def walk(self, text: str) -> None:
        """Take a piece of the source: paragraphs, and what stands between them."""
        start = at = 0
        while match := _EVENT.search(text, at):
            token, at = match[0], match.end()
            inside = text[start : match.start()]
            if token == "{" or token in ("$", "\\("):
                at = closing(text, match.start())
                group = text[match.end() : at - 1]
                if token == "{" and not inside.strip() and re.search(r"\n[ \t]*\n|\\begin\b|\\code@", group):
                    self.walk(group)  # a group around blocks, not a part of a paragraph
                    start = at
                continue
            if not (match[1] or token in ("\\[", "$$", "\\par") or token[0] == "\n" or self._parts(match[2])):
                continue
            self._paragraph(inside)
            if match[1]:
                at = self._environment(text, match[1], at)
            elif token in ("\\[", "$$"):
                at = closing(text, match.start())
                self._formula(text[match.end() : at - 2], "")
            elif match[2]:
                at = self._command(text, match[2], at)
            start = at
        self._paragraph(text[start:])

    def _parts(self, command: str | None) -> bool:
        return command in SECTIONS or command in ("item", "code@", "maketitle", "title", "author", "date", "caption")

    def _command(self, text: str, command: str, at: int) -> int:
        """What begins a block; returns where the text goes on."""
        if command in ("par", "maketitle"):
            if command == "maketitle":
                self._heading(1, self.macros["title@"][2])
                self._paragraph(self.macros["author@"][2].replace("\\and", "\\\\"))
            return after_blanks(text, at)
        given, at = option(text, at)
        if command == "item":
            self._item(given)
            return at
        value, at = argument(text, at)
        if command == "code@":
            self.blocks += [code] if isinstance(code := self.codes[int(value)], Code) and code.text else []
        elif command in SECTIONS:
            self._heading(SECTIONS[command], value)
        elif command == "caption":
            self.skipped["caption"] += 1
        return at

    def _heading(self, level: int, text: str) -> None:
        runs, notes = self._runs(text, "heading")
        runs = tuple(Run(run.text.replace("\n", " "), run.style) for run in runs)
        self.blocks += [Heading(level, runs), *notes] if runs else []

    def _item(self, label: str | None) -> None:
        kind, number = self.lists.pop() if self.lists else ("-", 0)
        number += label is None
        self.lists.append((kind, number))
        self.mark, self.before = f"{number}." if kind == "1" and label is None else "-", ()
        if label is not None:
            runs, _ = self._runs(label, "label")
            self.before = tuple(Run(run.text, run.style or "bold") for run in runs)

    def _runs(self, text: str, what: str) -> tuple[Runs, list[Block]]:
        """Runs and footnotes of a paragraph; nothing where it holds what is not known."""
        prose = Prose(self.codes, self.counts["note"])
        try:
            runs = prose.runs(text)
        except Unknown as error:
            self.skipped[f"{what} with {error}"] += 1
            return (), []
        self.skipped += prose.skipped
        self.counts["note"] += len(prose.notes)
        return runs, list(prose.notes)

    def _paragraph(self, text: str) -> None:
        if not text.strip():
            return
        refused = self.skipped.total()
        runs, notes = self._runs(text, "paragraph")
        if not runs:
            if self.skipped.total() > refused:
                self.mark, self.before = None, ()
            return
        if self.before:
            runs, self.before = tuple(trimmed([*self.before, Run(" "), *runs])), ()
        if self.mark is not None:
            self.blocks.append(Item(runs, self.mark, len(self.lists) - 1))
            self.mark = None
        else:
            self.blocks.append(Quote(runs) if self.quotes else Paragraph(runs))
        self.blocks += notes

    def _environment(self, text: str, name: str, at: int) -> int:
        """An environment whose \\begin ends at `at`; returns where the text goes on."""
        depth = 1
        for match in re.compile(rf"\\(begin|end)\{{{re.escape(name)}\}}").finditer(text, at):
            depth += 1 if match[1] == "begin" else -1
            if not depth:
                break
        else:
            self.skipped[f"\\begin{{{name}}} without its end"] += 1
            return at
        self._enclosed(name, text[at : match.start()])
        return match.end()

    def _enclosed(self, name: str, body: str) -> None:
        plain = name.rstrip("*")
        if plain in FORMULAS:
            self._formula(body, name)
        elif name in TABULARS:
            self._table(name, body)
        elif plain == "table":
            self._captioned(body)
        elif plain in PICTURES:
            self.skipped[plain] += 1
        elif plain == "abstract":
            self.blocks.append(Heading(2, (Run("Abstract"),)))
            self.walk(body)
        elif name in LISTS:
            self.lists.append((LISTS[name], 0))
            self.walk(_without_arguments(name, body))
            self.lists.pop()
            self.mark, self.before = None, ()
        elif name in QUOTES:
            self.quotes += 1
            self.walk(body)
            self.quotes -= 1
        elif name in self.theorems or plain in THEOREMS:
            self._theorem(name, body)
        elif name in PLAIN:
            self.walk(_without_arguments(name, body))
        else:
            self.skipped[f"\\begin{{{name}}}"] += 1

    def _theorem(self, name: str, body: str) -> None:
        note, at = option(body, 0)
        if name == "proof":
            self.before = (Run("Proof.", "italic"),)
        else:
            self.counts[name] += 1
            runs, _ = self._runs(note or "", "label")
            title = f"{self.theorems.get(name) or name.rstrip('*').capitalize()} {self.counts[name]}"
            self.before = (Run(f"{title}.", "bold"),)
            if runs:
                self.before = (Run(title, "bold"), Run(" ("), *runs, Run(")."))
        self.walk(body[at:])
        self.before = ()

    def _formula(self, latex: str, name: str) -> None:
        plain, tag = name.rstrip("*"), _TAG.search(latex)
        labels = len(re.findall(r"\\label\s*\{[^{}]*\}", latex))
        bare = re.sub(r"\\label\s*\{[^{}]*\}|\\(?:nonumber|notag)(?![A-Za-z])", "", _TAG.sub("", latex))
        number = f"({tag[1]})" if tag else ""
        if not tag and name and name == plain and name != "displaymath" and not re.search(r"\\no(?:number|tag)", latex):
            self.counts["equation"] += 1  # of an alignment every line has a number: none is printed here
            number = f"({self.counts['equation']})" if len(split(bare, "\\\\")) == 1 else ""
        wrapped = FORMULAS.get(plain, "")
        try:
            bare = normalise(f"\\begin{{{wrapped}}}{bare}\\end{{{wrapped}}}" if wrapped else bare, True)
        except LatexError as error:
            self.skipped[f"formula: {error}"] += 1
            return
        self.skipped["\\label"] += labels
        self.blocks.append(Formula(bare, number))

    def _captioned(self, body: str) -> None:
        """A table that floats: its caption is set above it."""
        found = re.search(r"\\caption\s*(?:\[[^\]]*\])?\s*(?=\{)", body)
        if found:
            text, end = argument(body, found.end())
            body = body[: found.start()] + body[end:]
            self.counts["table"] += 1
            runs, _ = self._runs(text, "caption")
            if runs and {run.style for run in runs} <= {"", "bold", "italic", "code"}:
                self.caption = f"Table {self.counts['table']}: {''.join(run.text for run in runs)}".replace("\n", " ")
            else:
                self.skipped["caption with a formula or a note"] += bool(runs)
        self.walk(re.sub(r"\A\s*\[[^\]]*\]", "", body))
        self.skipped["caption"] += bool(self.caption)
        self.caption = ""

    def _table(self, name: str, body: str) -> None:
        try:
            self.blocks.append(self._tabular(name, body))
            self.caption = ""
        except ValueError as error:
            self.skipped[f"table with {error}"] += 1

    def _tabular(self, name: str, body: str) -> Table:
        _, at = option(body, 0)
        for _ in range(TABULARS[name]):
            at = argument(body, at)[1]
        spec, at = argument(body, at)
        columns = "".join(_columns(spec))
        if found := re.search(r"\\(?:multicolumn|multirow|end(?:first)?(?:head|foot)|tabularnewline)\b", body[at:]):
            raise Unknown(found[0])
        ruled = bool(_RULE.search(body))
        rows = []
        for row in split(_RULE.sub("", body[at:]), "\\\\"):
            row = re.sub(r"\A\s*(?:\*|\[[\d.\s]*[a-z]+\])", "", row)
            if row.strip():
                rows.append([self._cell(cell) for cell in split(row, "&")])
        align = columns.replace("|", "")
        if any(len(row) > len(align) for row in rows) or not rows:
            raise Unknown("rows longer than its columns" if rows else "no rows")
        full = tuple((*row, *[""] * (len(align) - len(row))) for row in rows)
        return Table(full, align, "grid" if "|" in columns else "book" if ruled else "none", self.caption)

    def _cell(self, text: str) -> str:
        prose = Prose(self.codes, 0)
        runs = prose.runs(text)
        for style, named in (("math", "formulas"), ("note", "footnotes")):
            if any(run.style == style for run in runs):
                raise Unknown(named)
        self.skipped += prose.skipped
        return "".join(run.text for run in runs).replace("\n", " ")


def _without_arguments(name: str, body: str) -> str:
    _, at = option(body, 0)
    for _ in range(WITH_ARGUMENTS.get(name, 0)):
        at = argument(body, at)[1]
    return body[at:]


def _columns(spec: str) -> Iterator[str]:
    """Columns of a tabular as l, c, r and |."""
    at = 0
    while at < len(spec):
        sign, at = spec[at], at + 1
        if sign in "lcr|":
            yield sign
        elif sign in "pmbX":
            at = argument(spec, at)[1] if sign != "X" else at
            yield "l"
        elif sign in "@!><":
            at = argument(spec, at)[1]
        elif sign == "*":
            count, at = argument(spec, at)
            inner, at = argument(spec, at)
            yield from "".join(_columns(inner)) * int(count) if count.isdigit() else ""
        elif not sign.isspace():
            raise Unknown(f"columns {sign!r}")
