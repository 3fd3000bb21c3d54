"""Collect the blocks of a page with a free layout, and write them as Typst expressions (`PageWriter`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...markup.blocks import Block, Heading, Item, Paragraph, Run
from ...markup.tables import Table
from ...markup.typst import typst_string
from .layout_text import LayoutText

_ALIGN = {"l": "left", "c": "center", "r": "right"}


@dataclass
class PageWriter:
    """Collects the blocks of one page; each method adds one and returns its Typst expression.

    units: (block, text) of each paragraph, cell and label of a figure, in reading order.
    """

    rng: np.random.Generator
    words: LayoutText
    blocks: list[Block | None] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    units: list[tuple[int, str]] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        """Return True with a probability."""
        return bool(self.rng.random() < share)

    def text(self, label: str, lines: Sequence[str], size: float = 1.0, bold: bool = False, mark: str = "") -> str:
        """Add a block of text lines with a layout class. mark: printed before it, no part of the Markdown."""
        runs = (Run("\n".join(lines)),)
        level = {"title": 1, "heading": 2}.get(label, 0)
        block: Block = Heading(level, (Run(" ".join(lines)),)) if level else Paragraph(runs)
        self._add(Item(runs) if label == "list item" else block, label)
        return f"text(size: {size}em, weight: {700 if bold else 400}, {self._unit(mark + chr(10).join(lines))})"

    def picture(self, label: str, width: float, height: float, parts: Callable[[], Sequence[str]]) -> str:
        """Add a figure or photo of a size in points. It is no part of the Markdown. parts: draws it, relative to it."""
        self._add(None, label)
        return (
            f"box(width: {width:.0f}pt, height: {height:.0f}pt, fill: rgb(255, 254, 255), {{ {'; '.join(parts())} }})"
        )

    def label(self, text: str, x: float, y: float, at: str) -> str:
        """Place a label inside the current picture, anchored at (x, y) points. at: a Typst alignment."""
        dx = {"left": 0.0, "center": -60.0, "right": -120.0}[at]
        body = f"box(width: 120pt, align({at}, text(size: 0.75em, {self._unit(text)})))"
        return f"place(dx: {x + dx:.1f}pt, dy: {y:.1f}pt, {body})"

    def _add(self, block: Block | None, label: str) -> None:
        self.blocks.append(block)
        self.labels.append(label)

    def _unit(self, text: str) -> str:
        self.units.append((len(self.blocks) - 1, text))
        number = len(self.units)
        return " + linebreak() + ".join(f"r({number}, {typst_string(line)})" for line in text.split("\n"))

    def table(self, table: Table, columns: str, shade: int = 255, head: int = 255) -> str:
        """Add a table. shade, head: grey levels of every other row and of the header."""
        self._add(table, "table")
        parts = []
        for row, column, cell in table.placed():
            level = head if row < table.header else shade if (row - table.header) % 2 else 255
            body = f"strong({self._unit(cell.text)})" if cell.bold else self._unit(cell.text)
            place = f"x: {column}, y: {row}, colspan: {cell.columns}, rowspan: {cell.rows}"
            fill = f"rgb({level}, {level}, {level - 1})"  # marks the path of a cell; see `layouts._marked_boxes`
            parts.append(f"table.cell({place}, align: {_ALIGN[table.alignment(column, cell)]}, fill: {fill}, {body})")
        width = len(table.align)
        parts += [
            f"table.hline(y: {r}, start: {first}, end: {last}, stroke: 0.6pt)"
            for r, rule in sorted(table.rules.items())
            for first, last in rule.spans or ((0, width),)
        ]
        parts += [f"table.vline(x: {c}, stroke: 0.6pt)" for c in sorted(table.bars)]
        inset = f"(x: {self.rng.uniform(2, 7):.1f}pt, y: {self.rng.uniform(1.5, 5):.1f}pt)"
        return f"table(columns: {columns}, stroke: none, inset: {inset}, {', '.join(parts)})"
