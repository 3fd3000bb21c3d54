"""Typeset the blocks of a page line by line, with a box for every character.

Frame: pixels of the page, x right, y down, origin top-left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..corpus.text import TextSource
from .canvas import PageCanvas, ShapedText
from .glyphs import Atlas, Atlases, Face

SPLIT_EM = 1.6  # a wider gap, in em, separates lines: columns of tables and pages are separate lines


@dataclass(frozen=True)
class TypeStyle:
    """Faces and font size of a page. `headings` and `small` (tables, running heads) are sizes relative to it."""

    text: Face
    bold: Face
    italic: Face
    mono: Face
    size_px: float
    rise: int
    ligatures: bool
    headings: tuple[float, float]
    small: float


class Typesetter:
    """Typesets one page: fills its columns from top to bottom with blocks and adds their lines to `canvas`."""

    def __init__(
        self,
        text: TextSource,
        atlases: Atlases,
        rng: np.random.Generator,
        style: TypeStyle,
        text_style: str,
        size: tuple[int, int],
        max_lines: int | None = None,
    ):
        self.text, self.atlases, self.rng, self.style = text, atlases, rng, style
        self.text_style, self.max_lines = text_style, max_lines
        self.canvas = PageCanvas(*size)
        self._mine: dict[tuple[str, float], Atlas] = {}
        self.block = 0
        self.leading = style.size_px * float(
            rng.choice([1.1, 1.2, 1.25, 1.35, 1.5, 1.8], p=[0.2, 0.3, 0.2, 0.15, 0.1, 0.05])
        )
        self.justified = rng.random() < 0.6
        self.indent = style.size_px * float(rng.choice([0, 1, 1.5, 2]))
        self.par_gap = float(rng.choice([0, 0.3, 0.6, 1.0])) * self.leading
        self.faint = float(rng.uniform(0.55, 1.0)) if rng.random() < 0.2 else 1.0
        self.heading = int(rng.integers(1, 12))

    # -- the page ---------------------------------------------------------------------------------------------------
    def set_page(self) -> None:
        """Fill the page, column by column; `canvas.finish()` then draws the text."""
        rng, (height, width) = self.rng, self.canvas.ink.shape
        em = self.style.size_px
        margin = min(float(rng.uniform(0.3, 5.0)) * em, 0.12 * width)
        top, bottom = min(float(rng.uniform(0.2, 3)) * em, 0.1 * height), height - 0.3 * em
        if height > 20 * em and rng.random() < 0.3:
            top = self._edge_line(margin, top, width - margin) + 1.2 * self.leading
        footer = height > 20 * em and rng.random() < 0.4
        if footer:
            bottom -= 2.5 * self.leading
        columns = 1
        if width - 2 * margin > 26 * em and rng.random() < 0.35:
            columns = 3 if width - 2 * margin > 60 * em and rng.random() < 0.2 else 2
        gutter = float(rng.uniform(SPLIT_EM + 0.2, 3.0)) * em
        if columns > 1 and rng.random() < 0.2:
            top = self._heading(margin, top, width - 2 * margin, bottom)
        step = (width - 2 * margin + gutter) / columns
        if columns == 2 and rng.random() < 0.15:
            x = int(margin + step - gutter / 2)
            self.canvas.ink[int(top) : int(bottom), x : x + 1] = 200
        for k in range(columns):
            self._column(margin + k * step, top, step - gutter, bottom)
        if footer:
            self._edge_line(margin, height - 1.7 * self.leading, width - margin)

    def _column(self, x: float, top: float, width: float, bottom: float) -> None:
        kinds = ("paragraph", "heading", "list", "code", "contents", "table", "picture")
        weights = np.array([0.62, 0.1, 0.08, 0.07, 0.03, 0.07, 0.03])
        y = top
        while y + self.leading < bottom and not self._full():
            kind = kinds[int(self.rng.choice(len(kinds), p=weights))]
            self.block += 1
            y = getattr(self, f"_{kind}")(x, y, width, bottom) + self.par_gap

    def _full(self) -> bool:
        return self.max_lines is not None and len(self.canvas) >= self.max_lines

    def _words(self, count: int) -> list[str]:
        return self.text.words(self.rng, count, self.text_style)

    def _atlas(self, face: Face, scale: float = 1.0) -> Atlas:
        key = face.path, scale
        if key not in self._mine:
            self._mine[key] = self.atlases.get(face, round(self.style.size_px * scale * 4) / 4, self.style.rise)
        return self._mine[key]

    # -- blocks: each takes its top-left corner, its width and the column's end, and returns the y below it ------------
    def _paragraph(self, x: float, y: float, width: float, bottom: float, mark: str = "") -> float:
        atlas = self._atlas(self.style.text)
        words = self._words(int(self.rng.integers(4, 120)))
        indent = 0.0 if mark else self.indent
        made = self.canvas.shape(self._parts([mark, *words] if mark else words, atlas), self.style.ligatures)
        start, word = 0, 0  # first glyph of the line, and its word
        while start < len(made) and y + self.leading < bottom + 1 and not self._full():
            end, after, word, hyphen = self._break(made, start, word, width - indent)
            y += self.leading
            spread = width - indent if self.justified and after < len(made) else None
            self._line(x + indent, y, made, (start, end), atlas, spread, hyphen)
            start, indent = after, 0.0
        return y

    def _parts(self, words: list[str], atlas: Atlas) -> list[tuple[str, Atlas]]:
        """Split the words into runs by face: sometimes a few words are bold, italic or monospaced."""
        style, rng = self.style, self.rng
        if rng.random() >= 0.25:
            return [(" ".join(words), atlas)]
        start = int(rng.integers(len(words)))
        other = self._atlas((style.bold, style.italic, style.mono)[int(rng.integers(3))])
        end = start + int(rng.integers(1, 5))
        pieces = ((words[:start], atlas), (words[start:end], other), (words[end:], atlas))
        return [(" ".join(piece), own) for piece, own in pieces if piece]

    def _break(self, made: ShapedText, start: int, word: int, width: float) -> tuple[int, int, int, bool]:
        """Find the end of a line that starts at glyph `start`, in word number `word`.

        Returns the glyph where the line ends, the glyph and word where the next line starts, and whether to add a
        hyphen. A word that does not fit is split or moved to the next line.
        """
        reach = made.x[start] + width
        fit = int(made.x[made.breaks].searchsorted(reach, "right"))  # the first word that crosses the margin
        if fit == len(made.breaks):
            return len(made), len(made), fit, False
        forced = fit <= word
        first, last = (start if forced else int(made.breaks[fit - 1]) + 1), int(made.breaks[fit])
        letters = made.text_between(first, last)
        if forced or (len(letters) >= 6 and letters.isalpha() and self.rng.random() < 0.4):
            atlas = made.atlases[int(made.which_G[first])]
            least = 1 if forced else 2
            cut = int(made.x[first : last + 1].searchsorted(reach - atlas.advance("-"), "right")) - 1
            cut = max(min(cut, last - first - least), 1 if forced else 0)
            if first + cut >= last:  # one glyph, wider than the column
                return last, last + 1, fit + 1, False
            if cut >= least:
                return first + cut, first + cut, fit, made.text_between(first, first + cut)[-1].isalnum()
        end = int(made.breaks[fit - 1])
        return end, end + 1, fit, False

    def _heading(self, x: float, y: float, width: float, bottom: float) -> float:
        face = self.style.bold if self.rng.random() < 0.8 else self.style.text
        atlas = self._atlas(face, float(self.rng.choice(self.style.headings)))
        if atlas.size_px > 58 or y + 2.2 * atlas.size_px > self.canvas.ink.shape[0]:
            atlas = self._atlas(face)
        words = self._words(int(self.rng.integers(1, 9)))
        if self.rng.random() < 0.4:
            words.insert(0, f"{self.heading}.{int(self.rng.integers(1, 20))}")
            self.heading += 1
        title = " ".join(words)
        if self.rng.random() < 0.25:
            title = "".join(ch for ch in title.upper() if ch == " " or ch in self.text.alphabet)
        made = self.canvas.shape([(title, atlas)])
        end = _fitting(made, 0, width)
        y += atlas.size_px * 1.3
        centred = self.rng.random() < 0.2
        self._line(x + (max(0.0, width - made.x[end]) / 2 if centred else 0.0), y, made, (0, end), atlas)
        return y + 0.4 * atlas.size_px

    def _list(self, x: float, y: float, width: float, bottom: float) -> float:
        em, mark = self.style.size_px, str(self.rng.choice(["•", "–", "-", "*", "1.", "a)", "(i)"]))
        inset = float(self.rng.uniform(0, 2.5)) * em
        for k in range(int(self.rng.integers(2, 6))):
            if y + self.leading > bottom or self._full() or width - inset < 6 * em:
                break
            label = mark.replace("1", str(k + 1)).replace("a", "abcdefg"[k])
            y = self._paragraph(x + inset, y, width - inset, min(bottom, y + 4.5 * self.leading), label)
        return y

    def _code(self, x: float, y: float, width: float, bottom: float) -> float:
        atlas = self._atlas(self.style.mono, 0.92)
        inset = float(self.rng.uniform(0, 2)) * self.style.size_px
        counts = self.rng.integers(1, 8, int(self.rng.integers(1, 10))).tolist()
        steps = self.rng.integers(0, 3, len(counts)).tolist()
        made = self.canvas.shape([(" ".join(self._words(sum(counts))), atlas)])
        word = start = 0
        for count, step in zip(counts, steps, strict=True):
            if start >= len(made) or y + self.leading > bottom or self._full():
                break
            word = min(word + count, len(made.breaks))
            end, shift = int(made.breaks[word - 1]), inset + step * 2 * atlas.space
            y += self.leading
            self._line(x + shift, y, made, (start, min(end, _fitting(made, start, width - shift))), atlas)
            start = end + 1
        return y

    def _contents(self, x: float, y: float, width: float, bottom: float) -> float:
        """Set titles, dotted leaders and page numbers, one line each, spelled as in a PDF text layer."""
        atlas = self._atlas(self.style.text)
        gap = float(self.rng.choice([0.0, 0.45, 0.6])) * self.style.size_px
        dot = atlas.advance(".") if atlas.covers(".") else 0.0
        for _ in range(int(self.rng.integers(2, 9))):
            if y + self.leading > bottom or self._full() or not dot:
                break
            y += self.leading
            title = self._words(int(self.rng.integers(1, 5)))
            made = self.canvas.shape([(" ".join(title), atlas)])
            number = str(int(self.rng.integers(1, 400)))
            count = int((width - made.x[-1] - atlas.advance(number) - 2 * atlas.space) / (dot + gap))
            if count < 3:
                self._line(x, y, made, (0, _fitting(made, 0, width)), atlas)
                continue
            dots = " ".join("." * count) if gap else "." * min(count, 400)
            made = self.canvas.shape([(f"{made.text} {dots} {number}", atlas)])
            self._line(x, y, made, (0, len(made)), atlas, width)
        return y

    def _table(self, x: float, y: float, width: float, bottom: float) -> float:
        """Set short cells in columns; each cell is its own line."""
        atlas, em = self._atlas(self.style.text, self.style.small), self.style.size_px
        columns = int(self.rng.integers(2, 6))
        pitch = width / columns
        if pitch < 5 * em:
            return self._paragraph(x, y, width, bottom)
        ruled, right = self.rng.random() < 0.4, self.rng.random() < 0.5
        room = pitch - (SPLIT_EM + 0.2) * em
        for _ in range(int(self.rng.integers(2, 8))):
            if y + self.leading > bottom or self._full():
                break
            y += self.leading
            cells = [self.text.cell(self.rng, self.text_style)[:12] for _ in range(columns)]
            made = self.canvas.shape([(" ".join(cells), atlas)])
            start = 0
            for k, end in enumerate(made.breaks.tolist()):
                wide = made.x[end] - made.x[start]
                if wide <= room - 0.1 * em:
                    shift = room - wide if right and k else 0.0
                    self._line(x + k * pitch + shift, y, made, (start, end), atlas)
                start = end + 1
            if ruled:
                self._rule(x, y + 0.35 * em, width)
        return y

    def _picture(self, x: float, y: float, width: float, bottom: float) -> float:
        """Draw a rule, a grey box or a noisy picture: ink without text."""
        em = self.style.size_px
        if self.rng.random() < 0.5:
            self._rule(x, y + 0.6 * em, width)
            return y + em
        h, w = int(min(bottom - y, self.rng.uniform(2, 9) * em)), int(width * self.rng.uniform(0.2, 1.0))
        if h > 4 and w > 4:
            x0, y0 = int(x), int(y + 0.4 * em)
            part = self.canvas.ink[y0 : y0 + h - 2, x0 : x0 + w]
            coarse = self.rng.integers(0, 255, (1 + part.shape[0] // 16, 1 + part.shape[1] // 16), np.uint8)
            grown = coarse.repeat(16, 0).repeat(16, 1)[: part.shape[0], : part.shape[1]]
            part[:] = grown if self.rng.random() < 0.5 else int(self.rng.integers(20, 255))
        return y + h + 0.5 * em

    def _edge_line(self, left: float, top: float, right: float) -> float:
        """Set a running head or footer: a number, a title, or both at the two edges, perhaps with a rule."""
        atlas = self._atlas(self.style.text, self.style.small)
        self.block += 1
        y = top + self.leading
        number = self.canvas.shape([(str(int(self.rng.integers(1, 900))), atlas)])
        title = self.canvas.shape([(" ".join(self._words(4)), atlas)])
        kind = int(self.rng.integers(3))
        if kind == 0:
            self._line((left + right) / 2, y, number, (0, len(number)), atlas)
        if kind >= 1 and title.x[-1] < 0.7 * (right - left):
            self._line(left, y, title, (0, len(title)), atlas)
            if kind == 2:
                self.block += 1
                self._line(right - number.x[-1], y, number, (0, len(number)), atlas)
        if self.rng.random() < 0.3:
            self._rule(left, y + 0.4 * atlas.size_px, right - left)
        return y

    def _rule(self, x: float, y: float, width: float) -> None:
        thick = 1 + int(self.rng.random() < 0.3)
        self.canvas.ink[int(y) : int(y) + thick, int(x) : int(x + width)] = int(self.rng.integers(80, 255))

    def _line(
        self,
        x: float,
        y: float,
        made: ShapedText,
        cut: tuple[int, int],
        main: Atlas,
        width: float | None = None,
        hyphen: bool = False,
    ) -> None:
        """Place glyphs cut[0] to cut[1] on the line that ends at y, spread over `width` if given."""
        self.canvas.add(x, round(y - 0.25 * main.size_px), made, cut, main, self.block, width, hyphen)


def _fitting(made: ShapedText, start: int, width: float) -> int:
    """Return the glyph where whole words from glyph `start` end within `width` px; `start` if none fits."""
    fit = int(made.x[made.breaks].searchsorted(made.x[start] + width, "right"))
    return max(start, int(made.breaks[fit - 1])) if fit else start
