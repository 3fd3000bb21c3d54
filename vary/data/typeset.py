"""Typesetting: blocks of a page, line by line, with a box for every character.

Frame: pixels of the page, x right, y down, origin top-left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .glyphs import Atlas, Atlases, Face, Word
from .sample import TextLine
from .text import TextSource

SPLIT_EM = 1.6  # a gap wider than this many em ends a line: table columns and page columns are lines of their own


@dataclass(frozen=True)
class TypeStyle:
    """The faces and the size of one page."""

    text: Face
    bold: Face
    italic: Face
    mono: Face
    size_px: float
    rise: int
    ligatures: bool


class Typesetter:
    """Sets one page: a cursor walks down the columns and leaves ink (uint8, 255 = black) and lines behind."""

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
        self.ink = np.zeros(size, np.uint8)
        self._mine: dict[tuple[str, float], Atlas] = {}
        self.lines: list[TextLine] = []
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
        """Fill the page, column by column."""
        rng, (height, width) = self.rng, self.ink.shape
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
            top = self._heading(margin, top, width - 2 * margin)
        step = (width - 2 * margin + gutter) / columns
        if columns == 2 and rng.random() < 0.15:
            x = int(margin + step - gutter / 2)
            self.ink[int(top) : int(bottom), x : x + 1] = 200
        for k in range(columns):
            self._column(margin + k * step, top, step - gutter, bottom)
        if footer:
            self._edge_line(margin, height - 1.7 * self.leading, width - margin)
        if self.faint < 1.0:
            self.ink = (self.ink * self.faint).astype(np.uint8)

    def _column(self, x: float, top: float, width: float, bottom: float) -> None:
        kinds = ("paragraph", "heading", "list", "code", "contents", "table", "picture")
        weights = np.array([0.62, 0.1, 0.08, 0.07, 0.03, 0.07, 0.03])
        y = top
        while y + self.leading < bottom and not self._full():
            kind = kinds[int(self.rng.choice(len(kinds), p=weights))]
            self.block += 1
            y = (
                getattr(self, f"_{kind}")(x, y, width)
                if kind == "heading"
                else getattr(self, f"_{kind}")(x, y, width, bottom)
            )
            y += self.par_gap

    def _full(self) -> bool:
        return self.max_lines is not None and len(self.lines) >= self.max_lines

    def _words(self, count: int) -> list[str]:
        return self.text.words(self.rng, count, self.text_style)

    def _atlas(self, face: Face, scale: float = 1.0) -> Atlas:
        key = face.path, scale
        if key not in self._mine:
            self._mine[key] = self.atlases.get(face, round(self.style.size_px * scale * 4) / 4, self.style.rise)
        return self._mine[key]

    # -- blocks: each takes the top left corner and a width, and returns the y below itself ---------------------------
    def _paragraph(self, x: float, y: float, width: float, bottom: float, mark: str = "") -> float:
        rng, atlas = self.rng, self._atlas(self.style.text)
        words = self._words(int(rng.integers(4, 120)))
        indent = 0.0 if mark else self.indent
        if mark:
            words.insert(0, mark)
        queue = _Queue(words)
        while queue and y + self.leading < bottom + 1 and not self._full():
            faces = self._inline_faces(queue.left())
            run = self._take(queue, faces, width - indent)
            spread = self.justified and bool(queue)
            y += self.leading
            self._line(x + indent, y, run, width - indent if spread else None, atlas)
            indent = 0.0
        return y

    def _inline_faces(self, count: int) -> list[Face]:
        """The face of each word: now and then a few words in bold, italic or typewriter."""
        style, rng = self.style, self.rng
        faces = [style.text] * count
        if rng.random() < 0.25:
            start = int(rng.integers(count))
            other = (style.bold, style.italic, style.mono)[int(rng.integers(3))]
            for k in range(start, min(count, start + int(rng.integers(1, 5)))):
                faces[k] = other
        return faces

    def _take(self, queue: _Queue, faces: list[Face], width: float) -> list[tuple[str, Atlas]]:
        """Words for one line; the word that does not fit is split with a hyphen or left to the next line."""
        run: list[tuple[str, Atlas]] = []
        used, face_at = 0.0, iter(faces)
        while queue:
            atlas = self._atlas(next(face_at, self.style.text))
            word = atlas.settable(queue.peek())
            if not word:
                queue.pop()
                continue
            advance = atlas.word(word, self.style.ligatures).advance
            if used + advance > width:
                cut = self._hyphenate(word, atlas, width - used, forced=not run)
                if cut:
                    run.append((word[:cut] + ("-" if cut < len(word) and word[cut - 1].isalnum() else ""), atlas))
                    queue.replace(word[cut:])
                break
            queue.pop()
            run.append((word, atlas))
            used += advance + atlas.space
        return run

    def _hyphenate(self, word: str, atlas: Atlas, room: float, forced: bool) -> int:
        """How many characters of the word stay on this line; 0 for none."""
        if not forced and (len(word) < 6 or not word.isalpha() or self.rng.random() < 0.6):
            return 0
        for cut in range(len(word) - (0 if forced else 2), 0 if forced else 1, -1):
            if atlas.word(word[:cut] + "-", False).advance <= room:
                return cut
        return 1 if forced else 0

    def _heading(self, x: float, y: float, width: float) -> float:
        face = self.style.bold if self.rng.random() < 0.8 else self.style.text
        atlas = self._atlas(face, float(self.rng.choice([1.0, 1.15, 1.4, 1.7, 2.1])))
        if atlas.size_px > 58 or y + 2.2 * atlas.size_px > self.ink.shape[0]:
            atlas = self._atlas(face)
        words = self._words(int(self.rng.integers(1, 9)))
        if self.rng.random() < 0.4:
            words.insert(0, f"{self.heading}.{int(self.rng.integers(1, 20))}")
            self.heading += 1
        if self.rng.random() < 0.25:
            words = ["".join(ch for ch in w.upper() if ch in self.text.alphabet) for w in words]
        queue = _Queue(words)
        run = []
        used = 0.0
        while queue:
            word = atlas.settable(queue.pop())
            advance = atlas.word(word).advance if word else 0.0
            if used + advance > width:
                break
            if word:
                run.append((word, atlas))
                used += advance + atlas.space
        y += atlas.size_px * 1.3
        centred = self.rng.random() < 0.2
        self._line(x + (max(0.0, width - used) / 2 if centred else 0.0), y, run, None, atlas)
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
        for _ in range(int(self.rng.integers(1, 10))):
            if y + self.leading > bottom or self._full():
                break
            step = int(self.rng.integers(0, 3)) * 2 * atlas.space
            words = self._words(int(self.rng.integers(1, 8)))
            run, used = [], step + inset
            for word in (atlas.settable(w) for w in words):
                if word:
                    used += atlas.word(word).advance + atlas.space
                    if used > width:
                        break
                    run.append((word, atlas))
            y += self.leading
            self._line(x + inset + step, y, run, None, atlas)
        return y

    def _contents(self, x: float, y: float, width: float, bottom: float) -> float:
        """Titles, dotted leaders and page numbers: one line each, spelt as a text layer spells it."""
        atlas = self._atlas(self.style.text)
        gap = float(self.rng.choice([0.0, 0.45, 0.6])) * self.style.size_px
        dot = atlas.word(".").advance if atlas.covers(".") else 0.0
        for _ in range(int(self.rng.integers(2, 9))):
            if y + self.leading > bottom or self._full() or not dot:
                break
            y += self.leading
            title = [(w, atlas) for w in (atlas.settable(w) for w in self._words(int(self.rng.integers(1, 5)))) if w]
            number = str(int(self.rng.integers(1, 400)))
            used = sum(atlas.word(w).advance + atlas.space for w, _ in title) + atlas.word(number).advance + atlas.space
            count = int((width - used - atlas.space) / (dot + gap)) if width > used else 0
            if count < 3:
                self._line(x, y, title[:2], None, atlas)
                continue
            dots = [(".", atlas)] * count if gap else [("." * min(count, 400), atlas)]
            self._line(x, y, [*title, *dots, (number, atlas)], width, atlas)
        return y

    def _table(self, x: float, y: float, width: float, bottom: float) -> float:
        """Short cells in columns; each cell is a line of its own."""
        atlas, em = self._atlas(self.style.text, 0.95), self.style.size_px
        columns = int(self.rng.integers(2, 6))
        pitch = width / columns
        if pitch < 5 * em:
            return self._paragraph(x, y, width, bottom)
        ruled, right = self.rng.random() < 0.4, self.rng.random() < 0.5
        for _ in range(int(self.rng.integers(2, 8))):
            if y + self.leading > bottom or self._full():
                break
            y += self.leading
            for k in range(columns):
                word = atlas.settable(self.text.cell(self.rng, self.text_style)[:12])
                if not word or atlas.word(word).advance > pitch - (SPLIT_EM + 0.3) * em:
                    continue
                shift = pitch - (SPLIT_EM + 0.2) * em - atlas.word(word).advance if right and k else 0.0
                self._line(x + k * pitch + shift, y, [(word, atlas)], None, atlas)
            if ruled:
                self._rule(x, y + 0.35 * em, width)
        return y

    def _picture(self, x: float, y: float, width: float, bottom: float) -> float:
        """A rule, a grey box or a noisy picture: ink that says nothing."""
        em = self.style.size_px
        if self.rng.random() < 0.5:
            self._rule(x, y + 0.6 * em, width)
            return y + em
        h, w = int(min(bottom - y, self.rng.uniform(2, 9) * em)), int(width * self.rng.uniform(0.2, 1.0))
        if h > 4 and w > 4:
            x0, y0 = int(x), int(y + 0.4 * em)
            part = self.ink[y0 : y0 + h - 2, x0 : x0 + w]
            coarse = self.rng.integers(0, 255, (1 + part.shape[0] // 16, 1 + part.shape[1] // 16), np.uint8)
            grown = coarse.repeat(16, 0).repeat(16, 1)[: part.shape[0], : part.shape[1]]
            part[:] = grown if self.rng.random() < 0.5 else int(self.rng.integers(20, 255))
        return y + h + 0.5 * em

    def _edge_line(self, left: float, top: float, right: float) -> float:
        """Running head or footer: a number, a title, or both at the two edges; perhaps a rule."""
        atlas = self._atlas(self.style.text, 0.9)
        self.block += 1
        y = top + self.leading
        number = str(int(self.rng.integers(1, 900)))
        title = [(w, atlas) for w in (atlas.settable(w) for w in self._words(4)) if w][:4]
        wide = sum(atlas.word(w).advance + atlas.space for w, _ in title)
        kind = int(self.rng.integers(3))
        if kind == 0:
            self._line((left + right) / 2, y, [(number, atlas)], None, atlas)
        if kind >= 1 and wide < 0.7 * (right - left):
            self._line(left, y, title, None, atlas)
            if kind == 2:
                self.block += 1
                self._line(right - atlas.word(number).advance, y, [(number, atlas)], None, atlas)
        if self.rng.random() < 0.3:
            self._rule(left, y + 0.4 * atlas.size_px, right - left)
        return y

    def _rule(self, x: float, y: float, width: float) -> None:
        thick = 1 + int(self.rng.random() < 0.3)
        self.ink[int(y) : int(y) + thick, int(x) : int(x + width)] = int(self.rng.integers(80, 255))

    # -- one line -----------------------------------------------------------------------------------------------------
    def _line(self, x: float, y: float, run: list[tuple[str, Atlas]], width: float | None, main: Atlas) -> None:
        """Paste the words of a line; spread them over `width` when it is given. Nothing may leave the page."""
        words = [(atlas.word(text, self.style.ligatures), atlas) for text, atlas in run if text]
        if not words:
            return
        gaps = [atlas.space for _, atlas in words[:-1]]
        if width is not None and gaps:
            slack = width - sum(w.advance for w, _ in words) - sum(gaps)
            extra = slack / len(gaps)
            if -0.25 * main.space < extra < 0.9 * main.size_px:
                gaps = [gap + extra for gap in gaps]
        baseline, pen = round(y - 0.25 * main.size_px), x
        text: list[str] = []
        boxes: list[tuple[float, float, float, float]] = []
        for k, (word, _) in enumerate(words):
            x0 = round(pen)
            if not self._paste(word, x0, baseline):
                break
            if text:
                boxes.append((boxes[-1][2], baseline - main.x_height, x0, baseline))
            boxes += [(x0 + a, baseline + b, x0 + c, baseline + d) for a, b, c, d in word.boxes]
            text.append(word.text)
            pen += word.advance + (gaps[k] if k < len(gaps) else 0.0)
        if text:
            middle = baseline + main.rise / 4
            array = np.array(boxes, np.float32)
            self.lines.append(TextLine(" ".join(text), array, middle, main.x_height, main.size_px, 0.0, self.block))

    def _paste(self, word: Word, x: int, y: int) -> bool:
        """Put a word's ink on the page; False when any of it would leave the page."""
        (left, top, right, bottom), (height, width) = word.extent, self.ink.shape
        if x + left < 0 or y + top < 0 or x + right > width or y + bottom > height:
            return False
        page = self.ink
        for ink, dx, dy in word.glyphs:
            high, wide = ink.shape
            at = page[y + dy : y + dy + high, x + dx : x + dx + wide]
            np.maximum(at, ink, out=at)
        return True


class _Queue:
    """Words still to be set; the head may be split."""

    def __init__(self, words: list[str]):
        self._words = words[::-1]

    def __bool__(self) -> bool:
        return bool(self._words)

    def left(self) -> int:
        return len(self._words)

    def peek(self) -> str:
        return self._words[-1]

    def pop(self) -> str:
        return self._words.pop()

    def replace(self, word: str) -> None:
        self._words.pop()
        if word:
            self._words.append(word)
