"""Compose documents from real text, formulas, tables and code, in the order of a template.

`Composer.groups` never ends; the typesetter takes as many blocks as its pages hold. The same class also re-typesets
documents of the user: their blocks follow one another from a random position on, document after document.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...io.errors import ConfigError, InputError
from ...markup.blocks import (
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
    pieces,
    trim_runs,
)
from ...markup.tables import RULINGS, Table, ruled_table
from ..corpus.tables import RawTable
from ..corpus.text import TextSource
from .templates import Template

LANGUAGES = ("en", "zh")
LONGEST_INLINE, LONGEST_SHOWN = 30, 160  # characters of LaTeX
MAX_CELLS, MAX_COLUMNS, MAX_CELL = 48, 6, 28  # largest table on a page of text; characters of a cell
MAX_CODE = (14, 64)  # lines, characters of a line
_ENDS = re.compile(r"[.!?。！？…]+[”’\")」』]*\s*|\n\s*\n")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


@dataclass
class Content:
    """The material of documents.

    `left_out` counts what the reader of `documents` could not use.

    Args:
        prose: a TextSource, or running text (Chinese must be text).
        formulas: LaTeX without delimiters.
        tables: tables of texts.
        code: listings.
        documents: blocks to typeset in their order (`read_document.read_markdown`); then nothing is composed.
        language: "en" or "zh".
        left_out: reason -> how many parts of `documents` were left out.

    Raises:
        ConfigError: the language is unknown.
        InputError: there is neither prose nor a document.
    """

    prose: TextSource | str = ""
    formulas: Sequence[str] = ()
    tables: Sequence[RawTable] = ()
    code: Sequence[str] = ()
    documents: Sequence[Sequence[Block]] = ()
    language: str = "en"
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise ConfigError(f"language {self.language!r}; allowed: {', '.join(LANGUAGES)}")
        if isinstance(self.prose, str):
            self.prose = re.sub(r"[ \t\r\u00a0\u3000\u00ad]+", " ", self.prose).strip()
            if not self.prose and not self.documents:
                raise InputError("content without prose and without documents: nothing to typeset")

    def passage(self, rng: np.random.Generator, words: int) -> str:
        """Return about `words` words of running text from the start of a sentence. A Chinese word counts as two
        characters.
        """
        if isinstance(self.prose, TextSource):
            return " ".join(self.prose.words(rng, words))
        text, length = self.prose, words * (2 if self.language == "zh" else 6)
        start = int(rng.integers(max(1, len(text) - length)))
        sentence = _ENDS.search(text, start)
        start = sentence.end() if sentence and sentence.end() < len(text) - length / 2 else 0
        end = _ENDS.search(text, min(len(text), start + length))
        stop = end.end() if end and end.end() < start + 2 * length + 20 else start + length
        return " ".join(text[start:stop].split()) or text[:length]


class Composer:
    """Composes one document. `math` maps (LaTeX, display?) to Typst for the formulas used; `left_out` counts unusable
    parts.
    """

    def __init__(
        self,
        content: Content,
        template: Template,
        rng: np.random.Generator,
        refused: frozenset[tuple[str, bool]],
        lacking: Callable[..., set[str]],
    ):
        self.content, self.template, self.rng, self.refused, self.lacking = content, template, rng, refused, lacking
        self.math: dict[tuple[str, bool], str] = {}
        self.left_out: Counter[str] = Counter()
        self.sections, self.formulas, self.tables = [0, 0, 0], 0, 0
        zh = content.language == "zh"
        year, month, day = int(rng.integers(1950, 2030)), int(rng.integers(12)), int(rng.integers(1, 29))
        self.names = {
            "title": self._phrase(3, 9),
            "author": self._phrase(2, 4),
            "date": f"{year}年{month + 1}月{day}日" if zh else f"{_MONTHS[month]} {day}, {year}",
        }

    def groups(self, first_note: int = 1) -> Iterator[list[Block]]:
        """Yield blocks without end, each with its footnotes. first_note: number of the first footnote."""
        self.note = first_note
        group: list[Block] = []
        for block in self._documents() if self.content.documents else self._compose():
            if group and not isinstance(block, Note):
                if self._drawable(group):
                    yield group
                group = []
            group.append(block)

    def _drawable(self, group: list[Block]) -> bool:
        for block in group:
            text = "".join(piece for piece in pieces(block) if piece)
            if lacking := self.lacking(text, isinstance(block, Code)):
                self.left_out[
                    f"{type(block).__name__.lower()} with U+{ord(min(lacking)):04X}, which the fonts lack"
                ] += 1
                return False
        return True

    def _compose(self) -> Iterator[Block]:
        if self.rng.random() < 0.4:  # the other pages are from the middle of a document
            for kind in self.template.opening:
                yield from getattr(self, "_" + kind)()
        kinds = sorted(self.template.mix)
        weights = np.array([self.template.mix[kind] for kind in kinds])
        last = ""
        while True:
            kind = kinds[int(self.rng.choice(len(kinds), p=weights / weights.sum()))]
            if kind == last and kind != "paragraph":
                kind = "paragraph" if "paragraph" in self.template.mix else kinds[0]
            last = kind
            yield from getattr(self, "_" + kind)()

    def _documents(self) -> Iterator[Block]:
        """Yield the user's blocks from a random position on, without those whose formulas cannot be typeset."""
        while True:
            blocks = self.content.documents[int(self.rng.integers(len(self.content.documents)))]
            start = int(self.rng.integers(len(blocks))) if self.rng.random() < 0.6 else 0
            notes = {b.number: b for b in blocks if isinstance(b, Note)}
            for block in blocks[start:]:
                if isinstance(block, Note):
                    continue
                if isinstance(block, Formula):
                    if (latex := self._math(block.latex, True)) is None:
                        self.left_out["formula that cannot be typeset"] += 1
                    else:
                        yield Formula(latex, block.number)
                elif isinstance(block, Code | Table):
                    yield block
                elif any(r.style == "math" and self._math(r.text, False) is None for r in _with_notes(block, notes)):
                    self.left_out["paragraph with a formula that cannot be typeset"] += 1
                else:
                    yield from self._renumber(block, notes)

    def _renumber(self, block: Heading | Paragraph | Item | Quote, notes: dict[str, Note]) -> Iterator[Block]:
        """Yield the block, with its footnotes renumbered for this document."""
        runs: list[Run] = []
        own: list[Note] = []
        for run in block.runs:
            if run.style == "note":
                if run.text not in notes:
                    self.left_out["footnote without a text"] += 1
                    continue
                said = notes[run.text].runs
                own.append(Note(str(self.note), tuple(self._canonical(r) for r in said)))
                run = Run(str(self.note), "note")
                self.note += 1
            runs.append(self._canonical(run))
        yield replace(block, runs=tuple(trim_runs(runs)))
        yield from own

    def _canonical(self, run: Run) -> Run:
        return Run(self._math(run.text, False) or run.text, "math") if run.style == "math" else run

    # -- kinds of blocks, named as in a template's mix and opening

    def _paragraph(self) -> Iterator[Block]:
        text = self._passage(int(self.rng.integers(*self.template.words)))
        if self.template.entries:
            word, _, rest = text.partition(" ") if self.content.language == "en" else (text[:2], "", text[2:])
            if word.strip(".,;:") and rest:
                yield Paragraph(tuple(trim_runs([Run(word, "bold"), Run(" "), *self._rich(rest)])))
                return
        runs = self._rich(text)
        if self.rng.random() < 0.08 and self.template.entries is False:
            runs = (*runs, Run(str(self.note), "note"))
            yield Paragraph(runs)
            yield Note(str(self.note), (Run(self._passage(int(self.rng.integers(4, 22)))),))
            self.note += 1
        else:
            yield Paragraph(runs)

    def _heading(self) -> Iterator[Block]:
        level = int(self.rng.choice([2, 3, 4], p=[0.55, 0.35, 0.1]))
        self.sections[level - 2] += 1
        self.sections[level - 1 :] = [0] * (4 - level)
        number = ".".join(str(n or 1) for n in self.sections[: level - 1])
        text = self._phrase(1, 7)
        yield Heading(level, (Run(f"{number} {text}" if self.template.numbered else text),))

    def _list(self, numbered: bool = False) -> Iterator[Block]:
        low = max(3, self.template.words[0] // 4)
        count, words = int(self.rng.integers(2, 7)), int(self.rng.integers(low, low + 16))
        sign = "." if self.rng.random() < 0.8 else ")"
        nested = self.rng.random() < 0.2
        for k in range(count):
            text = self._passage(max(1, int(words * self.rng.uniform(0.5, 1.5))))
            level = int(nested and not numbered and k > 0 and self.rng.random() < 0.5)
            yield Item(self._rich(text), f"{k + 1}{sign}" if numbered else "-", level)
        text = self._passage(max(5, self.template.words[0]))  # so that two lists are never adjacent
        yield Paragraph(self._rich(text))

    def _numbers(self) -> Iterator[Block]:
        return self._list(numbered=True)

    def _quote(self) -> Iterator[Block]:
        yield Quote(self._rich(self._passage(int(self.rng.integers(12, 50)))))

    def _formula(self) -> Iterator[Block]:
        latex = self._pick_formula(LONGEST_SHOWN, display=True)
        if latex is None:
            yield from self._paragraph()
            return
        numbered = self.rng.random() < 0.35
        self.formulas += numbered
        yield Formula(latex, f"({self.formulas})" if numbered else "")

    def _table(self) -> Iterator[Block]:
        fitting = self.content.tables
        if not fitting:
            yield from self._paragraph()
            return
        title, header, rows = fitting[int(self.rng.integers(len(fitting)))]
        count = min(len(header), int(self.rng.integers(2, MAX_COLUMNS + 1)) if self.template.columns < 3 else 3)
        columns = sorted(self.rng.choice(len(header), count, replace=False).tolist())
        height = min(len(rows), int(self.rng.integers(2, max(3, MAX_CELLS // count))))
        start = int(self.rng.integers(len(rows) - height + 1))
        picked = [
            [" ".join(str(row[c]).split())[:MAX_CELL] for c in columns] for row in [header, *rows[start:][:height]]
        ]
        figures = [all(re.fullmatch(r"[-−+]?[\d.,%]*", row[c]) for row in picked[1:]) for c in range(count)]
        align = "".join("r" if figure else "l" for figure in figures)
        ruling = RULINGS[int(self.rng.choice(3, p=[0.45, 0.45, 0.1]))]
        caption = ""
        if self.rng.random() < 0.6:
            self.tables += 1
            caption = (
                f"{'表' if self.content.language == 'zh' else 'Table'} {self.tables}: {' '.join(title.split())[:90]}"
            )
        yield ruled_table(picked, align, ruling, caption)

    def _code(self) -> Iterator[Block]:
        if not self.content.code:
            yield from self._paragraph()
            return
        lines = self.content.code[int(self.rng.integers(len(self.content.code)))].expandtabs(4).split("\n")
        height = min(len(lines), int(self.rng.integers(3, MAX_CODE[0] + 1)))
        start = int(self.rng.integers(len(lines) - height + 1))
        kept = [line.rstrip()[: MAX_CODE[1]] for line in lines[start : start + height]]
        text = "\n".join(kept).strip("\n")
        if text.strip():
            yield Code(text)

    def _title(self) -> Iterator[Block]:
        yield Heading(1, (Run(self.names["title"]),))

    def _author(self) -> Iterator[Block]:
        yield Paragraph((Run(self.names["author"] + "\n"), Run(self.names["date"], "italic")))

    def _date(self) -> Iterator[Block]:
        yield Paragraph((Run(self.names["date"]),))

    def _address(self) -> Iterator[Block]:
        lines = [self.names["author"], self._phrase(2, 4), f"{int(self.rng.integers(1, 400))} {self._phrase(1, 3)}"]
        yield Paragraph((Run("\n".join(lines)),))

    def _salutation(self) -> Iterator[Block]:
        yield Paragraph((Run(f"{self._phrase(1, 4)}："),) if self.content.language == "zh" else self._dear())

    def _dear(self) -> Runs:
        return (Run(f"Dear {self._phrase(1, 3)},"),)

    # -- text

    def _passage(self, words: int) -> str:
        """Return a passage whose characters the fonts have."""
        for _ in range(20):
            text = re.sub(r"-{2,}", "—", self.content.passage(self.rng, words))
            longest = 8 + 36 // self.template.columns  # longer words would leave a narrow column
            if self.content.language == "zh":
                text = re.sub(rf"[!-~]{{{longest},}}", "", text) or "文"
            else:
                text = " ".join(word for word in text.split(" ") if len(word) <= longest) or "A"
            lacking = self.lacking(text)
            if not lacking:
                return text
            self.left_out["passage with a character that the fonts lack"] += 1
        return "".join(ch for ch in text if ch not in lacking).strip() or "A"

    def _phrase(self, low: int, high: int) -> str:
        """Return a few words without punctuation at their ends."""
        words = int(self.rng.integers(low, high + 1))
        text = self._passage(words) if self.content.prose else "Document"
        if self.content.language == "zh":
            return re.sub(r"[\W_]+", "", text)[: 2 * words] or "文"
        kept = " ".join(text.split()[:words]).strip(" .,;:-–—!?()[]{}\"'“”‘’|#`*_")
        return kept[:1].upper() + kept[1:] or "A"

    def _rich(self, text: str) -> Runs:
        """Return text with some bold or italic words and inline formulas."""
        zh = self.content.language == "zh"
        words, blank = (list(text), "") if zh else (text.split(" "), " ")
        runs: list[Run] = []
        place = 0
        while place < len(words):
            plain = int(self.rng.geometric(0.006 if zh else 0.018 if not self.template.math else 0.03))
            runs.append(Run(blank.join(words[place : place + plain])))
            place += plain
            if place >= len(words):
                break
            span = int(self.rng.integers(1, 5)) * (2 if zh else 1)
            marked = blank.join(words[place : place + span])
            latex = (
                self._pick_formula(LONGEST_INLINE, display=False)
                if self.template.math and self.rng.random() < 0.6
                else None
            )
            if latex is not None:
                runs += [Run(blank), Run(latex, "math"), Run(blank)]
            elif marked[:1].isalnum() and marked[-1:].isalnum():
                runs += [Run(blank), Run(marked, "bold" if self.rng.random() < 0.4 else "italic"), Run(blank)]
                place += span
            else:
                runs.append(Run(blank))
        return tuple(trim_runs(runs))

    def _pick_formula(self, longest: int, display: bool) -> str | None:
        """Return the canonical LaTeX of a formula that can be typeset, or None after a few tries."""
        for _ in range(8 if self.content.formulas else 0):
            latex = self.content.formulas[int(self.rng.integers(len(self.content.formulas)))].strip()
            if len(latex) <= longest and (found := self._math(latex, display)) is not None:
                return found
        return None

    def _math(self, latex: str, display: bool) -> str | None:
        """Return the canonical LaTeX of a formula if it can be typeset; its Typst is added to `math`."""
        found = _to_math(latex, display)
        if found is None or (found[0], display) in self.refused:
            return None
        self.math[found[0], display] = found[1]
        return found[0]


def _with_notes(block: Heading | Paragraph | Item | Quote, notes: dict[str, Note]) -> Iterator[Run]:
    """Return the runs of a block and of its footnotes."""
    for run in block.runs:
        yield run
        if run.style == "note" and run.text in notes:
            yield from notes[run.text].runs


@functools.lru_cache(maxsize=20_000)
def _to_math(latex: str, display: bool) -> tuple[str, str] | None:
    """Return a formula's canonical LaTeX and its Typst, or None if it is outside the supported subset (math.py)."""
    from ...markup.math import normalise, to_typst

    typst = to_typst(latex, display)
    return None if typst is None else (normalise(latex, display), typst)
