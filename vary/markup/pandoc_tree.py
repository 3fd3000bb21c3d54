"""Walk pandoc's JSON syntax tree of a LaTeX or Markdown document and collect its blocks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .blocks import (
    Block,
    Code,
    Formula,
    Heading,
    Item,
    Note,
    Paragraph,
    Quote,
    Run,
    Runs,
    trim_runs,
)
from .pandoc_inlines import IGNORED, InlineReader, Unknown, canonical, command_of
from .pandoc_source import BARS, MARK, Kept
from .tables import Cell, parse_latex, ruled_table

_FORMULAS = {  # environment -> the environment of its body in a canonical formula, "" for none
    "equation": "", "displaymath": "", "math": "", "align": "aligned", "gather": "gathered", "multline": "gathered",
    "eqnarray": "eqnarray", "flalign": "aligned",
}  # fmt: skip
_ENVIRONMENT = re.compile(r"\s*\\begin\{(\w+)(\*?)\}(.*)\\end\{\1\2\}\s*", re.S)
_TAG = re.compile(r"\\tag\*?\{([^{}]*)\}")
_LABEL = re.compile(r"\\label\s*\{[^{}]*\}")
_ALIGN = {"AlignLeft": "l", "AlignRight": "r", "AlignCenter": "c"}


class TreeReader:
    """Walks pandoc's syntax tree. The result is in `blocks` and `skipped`.

    level: of pandoc's first headings. theorems: environments of theorems. kept: what Markdown's placeholders stand for.
    """

    def __init__(self, level: int, theorems: dict[str, str], kept: Sequence[Kept] | None = None):
        self.level, self.theorems, self.kept, self.latex = level, theorems, kept or (), kept is None
        self.inline = InlineReader(kept)
        self.blocks: list[Block] = []
        self.skipped: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.depth, self.quotes = -1, 0
        self.mark: str | None = None
        self.before: Runs = ()  # the label of a definition list, printed before its first paragraph

    def title(self, meta: dict[str, Any]) -> None:
        """Add title, authors and abstract."""
        if title := _meta_inlines(meta.get("title")):
            self._heading(0, title[0])
        lines: list[Any] = []
        for author in _meta_inlines(meta.get("author")):
            lines += [*([{"t": "LineBreak"}] if lines else []), *author]
        self._paragraph(lines)
        if abstract := meta.get("abstract"):
            self.blocks.append(Heading(2, (Run("Abstract"),)))
            self.walk(abstract["c"] if abstract["t"] == "MetaBlocks" else [{"t": "Para", "c": abstract["c"]}])

    def walk(self, nodes: Sequence[Any]) -> None:
        """Add the blocks of a list of block elements."""
        for node in nodes:
            kind, content = node["t"], node.get("c")
            if kind in ("Para", "Plain"):
                self._paragraph(content)
            elif kind == "Header":
                self.skipped["\\label"] += self.latex and bool(content[1][0])
                self._heading(content[0], content[2])
            elif kind == "CodeBlock":
                language = content[0][1][0] if content[0][1] else ""
                text = self.inline.source(content[1]).rstrip("\n")
                self.blocks += [Code(text.rstrip() if self.latex else text, language)] if text or not self.latex else []
            elif kind == "BulletList":
                self._list(content, ["-"] * len(content))
            elif kind == "OrderedList":
                start, _, delimiter = content[0]
                sign = ")" if "Paren" in delimiter["t"] else "."
                self._list(content[1], [f"{start + k}{sign}" for k in range(len(content[1]))])
            elif kind == "DefinitionList":
                self._definitions(content)
            elif kind == "BlockQuote":
                self.quotes += 1
                self.walk(content)
                self.quotes -= 1
            elif kind == "Table":
                self._table(*content[1:])
            elif kind == "Div":
                theorem = bool({*self.theorems, "proof"} & set(content[0][1]))
                self.walk([_without_emphasis(block) for block in content[1]] if theorem else content[1])
            else:
                self._count_skipped(kind, content)

    def _count_skipped(self, kind: str, content: Any) -> None:
        """Count a block that a page cannot be made of."""
        if kind == "RawBlock" and content[0] in ("latex", "tex"):
            name = command_of(content[1])
            if name.removeprefix("\\") not in IGNORED:
                self.skipped["table that pandoc cannot parse" if "{tabular" in name else name] += 1
        elif kind != "Null":
            names = {"RawBlock": "HTML", "HorizontalRule": "rule", "Figure": "figure" if self.latex else "picture"}
            self.skipped[names.get(kind, kind)] += 1

    def _list(self, items: Sequence[Any], marks: Sequence[str]) -> None:
        self.depth += 1
        for item, self.mark in zip(items, marks, strict=True):
            self.walk(item)
            self.mark, self.before = None, ()
        self.depth -= 1

    def _definitions(self, items: Sequence[Any]) -> None:
        for label, definitions in items:
            runs, _ = self._runs(label, "label")
            for definition in definitions:
                self.before = tuple(Run(run.text, run.style or "bold") for run in runs)
                self._list([definition], ["-"])

    def _heading(self, level: int, nodes: Sequence[Any]) -> None:
        runs, notes = self._runs(nodes, "heading")
        runs = tuple(Run(run.text.replace("\n", " "), run.style) for run in runs)
        self.blocks += [Heading(max(1, min(6, level + self.level - 1)), runs), *notes] if runs else []

    def _paragraph(self, nodes: Sequence[Any]) -> None:
        """Add a paragraph; displayed formulas in it are blocks of their own."""
        part: list[Any] = []
        for node in [*nodes, None]:
            kept = self._placeholder(node)
            if node is not None and not (node["t"] == "Math" and node["c"][0]["t"] == "DisplayMath") and not kept:
                part.append(node)
                continue
            self._text(part)
            part = []
            if kept and kept.kind == "tabular":
                self._latex_table(kept.text)
            elif kept:
                tag = _TAG.search(kept.text)
                self.blocks.append(Formula(_TAG.sub("", kept.text).strip(), f"({tag[1]})" if tag else ""))
            elif node is not None:
                self._formula(node["c"][1])

    def _placeholder(self, node: Any) -> Kept | None:
        """Return the displayed formula or table that a text node is a placeholder of."""
        found = MARK.fullmatch(node["c"]) if node and node["t"] == "Str" else None
        kept = self.kept[int(found[1])] if found else None
        return kept if kept and kept.kind in ("formula", "tabular") else None

    def _text(self, nodes: Sequence[Any]) -> None:
        if nodes and nodes[0]["t"] == "Str" and (found := MARK.match(nodes[0]["c"])):
            kept = self.kept[int(found[1])]
            if kept.kind == "note":
                rest = [{"t": "Str", "c": nodes[0]["c"][found.end() :]}, *nodes[1:]]
                self.blocks.append(Note(self.inline.number(kept.text), self._runs(rest, "footnote")[0]))
                return
        before = self.skipped.total()
        runs, notes = self._runs(nodes, "paragraph")
        if not runs:
            self.mark, self.before = (None, ()) if self.skipped.total() > before else (self.mark, self.before)
            return
        if self.before:
            runs, self.before = tuple(trim_runs([*self.before, Run(" "), *runs])), ()
        if self.mark is not None:
            self.blocks.append(Item(runs, self.mark, self.depth))
            self.mark = None
        else:
            self.blocks.append(Quote(runs) if self.quotes else Paragraph(runs))
        self.blocks += notes

    def _formula(self, latex: str) -> None:
        match = _ENVIRONMENT.fullmatch(latex)
        name, star, body = match.groups() if match and match[1] in _FORMULAS else ("", "", latex)
        tag = _TAG.search(body)
        bare = re.sub(r"\\(?:nonumber|notag)(?![A-Za-z])", "", _LABEL.sub("", _TAG.sub("", body)))
        number = f"({tag[1]})" if tag else ""
        if name and not star and name != "displaymath" and not tag and not re.search(r"\\no(?:number|tag)", body):
            self.counts["equation"] += 1  # each line of an alignment has its own number; those are not printed
            number = f"({self.counts['equation']})" if name == "equation" or "\\\\" not in bare else ""
        inner = _FORMULAS.get(name, "")
        try:
            bare = canonical(f"\\begin{{{inner}}}{bare}\\end{{{inner}}}" if inner else bare, True)
        except Unknown as error:
            self.skipped[str(error).removeprefix("a ")] += 1
            return
        self.skipped["\\label"] += len(_LABEL.findall(body))
        self.blocks.append(Formula(bare, number))

    def _latex_table(self, latex: str) -> None:
        try:
            self.blocks.append(parse_latex(latex))
        except ValueError:
            self.skipped["table with commands that are not known"] += 1

    def _table(self, caption: Any, columns: Any, head: Any, bodies: Any, foot: Any) -> None:
        align = "".join(_ALIGN.get(column[0]["t"], "l") for column in columns)
        rows = [*head[1], *(row for body in bodies for row in (*body[2], *body[3])), *foot[1]]
        before = self.skipped.copy()
        try:
            cells = [[self._cell(cell) for cell in row[1]] for row in rows]
            barred = not self.latex or any(BARS in cell.text for row in cells for cell in row)
            cells = [[Cell(c.text.replace(BARS, "").strip(), c.rows, c.columns, c.align, c.bold) for c in row]
                     for row in cells]  # fmt: skip
            kept = [row for row in cells if any(cell.text for cell in row)] or cells
            ruling = "grid" if barred else "book" if head[1] else "none"
            self.blocks.append(ruled_table(kept, align, ruling, self._table_caption(caption[1])))
        except ValueError as error:
            self.skipped = before
            self.skipped[f"table with {error}"] += 1

    def _cell(self, cell: Any) -> Cell:
        _, align, rows, columns, blocks = cell
        nodes = [node for block in blocks for node in (*block["c"], {"t": "Space"}) if block["t"] in ("Plain", "Para")]
        runs, found = self.inline.read(nodes)
        for style, name in (("math", "formulas"), ("note", "footnotes")):
            if any(run.style == style for run in runs):
                raise Unknown(name)
        self.skipped += found.dropped
        text = "".join(run.text for run in runs).replace("\n", " ")
        bold = bool(text) and all(run.style == "bold" for run in runs if run.text.strip(BARS + " "))
        own = _ALIGN.get(align["t"], "")
        return Cell(text, rows, columns, "" if columns > 1 and own == "c" else own, bold)

    def _table_caption(self, blocks: Sequence[Any]) -> str:
        if not blocks:
            return ""
        self.counts["table"] += 1
        runs, _ = self._runs([node for block in blocks for node in block["c"]], "caption")
        if any(run.style in ("math", "note") for run in runs):
            self.skipped["caption with a formula or a note"] += 1
            return ""
        text = "".join(run.text for run in runs).replace("\n", " ")
        return f"Table {self.counts['table']}: {text}" if text else ""

    def _runs(self, nodes: Sequence[Any], what: str) -> tuple[Runs, list[Note]]:
        """Return the runs and footnotes of a paragraph; nothing if it holds anything unknown, which is counted."""
        try:
            runs, found = self.inline.read(nodes)
        except Unknown as error:
            self.skipped[f"{what} with {error}"] += 1
            return (), []
        self.skipped += found.dropped
        return runs, found.notes


def _meta_inlines(meta: Any) -> list[list[Any]]:
    """Return the inline elements of each entry of a title or a list of authors."""
    if not meta:
        return []
    if meta["t"] == "MetaList":
        return [nodes for entry in meta["c"] for nodes in _meta_inlines(entry)]
    if meta["t"] == "MetaBlocks":
        return [[node for block in meta["c"] if block["t"] in ("Para", "Plain") for node in block["c"]]]
    return [meta["c"]] if meta["t"] == "MetaInlines" else []


def _without_emphasis(block: Any) -> Any:
    """Undo the italics and the end mark that pandoc adds to a paragraph of a theorem or a proof."""
    if block["t"] not in ("Para", "Plain"):
        return block
    nodes = [node for node in block["c"] if node != {"t": "Str", "c": "\u00a0◻"}]
    last, spaces = nodes[-1] if nodes else None, [node["t"] for node in nodes[-3:-1]]
    if last and last["t"] == "Emph" and (len(nodes) == 1 or spaces == ["Space", "Space"]):
        nodes = [*nodes[:-1], *last["c"]]
    return {"t": "Para", "c": nodes}
