"""Align a few words of a text layer, and compare the pictures of all other glyphs with those that they confirm.

A font draws a glyph the same way wherever it stands, and PDFium sets type of usual sizes at whole pixels. So the head
reads as many words as show each glyph of the page a few times. Another glyph of the same font, size and character is
confirmed if its pixels equal those of a confirmed one. Words with any other glyph are aligned after that.
Frame: pixels of the page image, which is upright.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from ...io.pdf_layer import TextLayer
from .align import Aligned, Alphabet, claims_nothing
from .glyphs import CONTRADICTED, agrees
from .lines import LayerLine

LOOKS = 2  # times that the head reads each glyph of a page, if it is there as often
MOST_READ = 0.5  # share of the width of all words; where LOOKS need more of them, nothing is gained
SLIPS = 0.1  # share of the places that were read in which the pixels may contradict a glyph that is confirmed
PICTURES = 6  # confirmed ones of a glyph with which others are compared
SAME = 0.1  # of a picture's contrast, by which each pixel of an equal one differs at most
UNLIKE = 0.5  # the same, by which a pixel of another glyph differs at least
REACH_PX = 2, 1  # across and down: how far PDFium sets a glyph from where its rounded place is
STEP_PX = 0.6  # between the sides of boxes of different glyphs: a letter stands otherwise in a ligature
NEAR_PX = 1.0  # beside its box, where a neighbour may have ink
CLEAR = 0.2  # least share of the columns of a picture that no neighbour reaches
GAP_EM, PAD_EM = 0.35, 0.3  # between words on a page of words, and above and below them
_SHIFTS = sorted(
    ((x, y) for x in range(-REACH_PX[0], REACH_PX[0] + 1) for y in range(-REACH_PX[1], REACH_PX[1] + 1)),
    key=lambda shift: (abs(shift[0]) + abs(shift[1]), shift),
)
_WORD = re.compile("[^ ]+")

AlignWords = Callable[[Image.Image, list[LayerLine]], list[Aligned]]


class Window(NamedTuple):
    """Pixels about the pen of a glyph."""

    left: int
    top: int
    width: int
    height: int


def align_repeats(
    image: Image.Image, lines: Sequence[LayerLine], text: TextLayer, alphabet: Alphabet, align_words: AlignWords
) -> list[Aligned] | None:
    """Return the alignment of each line's characters other than spaces; None where nothing is gained.

    Args:
        image: Upright grey page.
        lines: Of the layer, with glyphs that are drawn.
        text: The layer, in the frame of the image.
        alphabet: Of the head.
        align_words: Aligns words to a page that has nothing else.
    """
    words = [(line, slice(*found.span())) for line in lines for found in _WORD.finditer(line.text)]
    if not words:
        return None
    glyphs = _Glyphs.find([line.indices[own] for line, own in words if line.indices is not None], text)
    widths = [float(line.boxes[own.stop - 1, 2] - line.boxes[own.start, 0]) + line.em_px for line, own in words]
    chosen = glyphs.choose(widths)
    if sum(widths[k] for k in chosen) > MOST_READ * sum(widths):
        return None

    def read(which: list[int]) -> dict[int, Aligned]:
        own = [words[k][0].part(words[k][1]) for k in which]
        return dict(zip(which, _set_anew(image, own, align_words), strict=True))

    found = read(chosen)
    confirmed = glyphs.confirm(found, {k: words[k][0].text[words[k][1]] for k in chosen}, alphabet)
    same, unlike = glyphs.compare(np.asarray(image), text, confirmed, np.isin(glyphs.of_word, chosen))
    rest = sorted(set(glyphs.of_word[~same].tolist()) - set(found))
    found |= read(rest)
    odds, seen = np.zeros(len(unlike)), [""] * len(unlike)
    for k, one in found.items():
        own = glyphs.of(k)
        odds[own], seen[own] = one.odds, one.seen
    aligned, start = [], 0
    for line in lines:
        own = slice(start, start := start + len(line.text) - line.text.count(" "))
        aligned.append(Aligned(odds[own], seen[own], unlike[own]))
    return aligned


def _set_anew(image: Image.Image, words: Sequence[LayerLine], align_words: AlignWords) -> list[Aligned]:
    """Align words that are cut out of a page and set one after the other, in rows as wide as the page."""
    placed, x, y, high = [], 0, 0, 0
    moved: list[LayerLine] = []
    for word in words:
        x0, y0, x1, y1 = word.box
        pad = PAD_EM * word.em_px
        part = max(0, int(x0 - pad)), max(0, int(y0 - pad)), int(x1 + pad) + 1, int(y1 + pad) + 1
        wide, tall = part[2] - part[0], part[3] - part[1]
        if x and x + wide > image.width:
            x, y, high = 0, y + high, 0
        placed.append((part, x, y))
        by = np.array([x - part[0], y - part[1]] * 2, np.float32)
        moved.append(replace(word, boxes=word.boxes + by))
        x, high = x + wide + round(GAP_EM * word.em_px), max(high, tall)
    if not placed:
        return []
    page = Image.new("L", (max(x + part[2] - part[0] for part, x, _ in placed), y + high), 255)
    for part, x, y in placed:
        page.paste(image.crop(part), (x, y))
    return align_words(page, moved)


@dataclass
class _Glyphs:
    """G glyphs of words.

    places: (G,), of each in the layer. kinds: (G,), equal for one character in one font, size and box. of_word: (G,),
    the word of each, which rises.
    """

    places: np.ndarray
    kinds: np.ndarray
    of_word: np.ndarray

    @classmethod
    def find(cls, words: Sequence[np.ndarray], text: TextLayer) -> _Glyphs:
        """Return the glyphs of words, of which the places in the layer are given."""
        places = np.concatenate(words)
        claims = zip(
            text.fonts[places].tolist(),
            (text.text[k] for k in places.tolist()),
            np.round(text.ems[places], 1).tolist(),
            strict=True,
        )
        known: dict[tuple[int, str, float], int] = {}
        kinds = np.array([known.setdefault(claim, len(known)) for claim in claims])
        left, width = text.boxes[places, 0] - text.origins[places, 0], np.ptp(text.boxes[places][:, [0, 2]], 1)
        for sides in (left, width):
            order = np.lexsort((sides, kinds))
            parted = (np.diff(kinds[order]) > 0) | (np.diff(sides[order]) > STEP_PX)
            kinds[order] = np.append(0, np.cumsum(parted))
        return cls(places, kinds, np.repeat(np.arange(len(words)), [len(word) for word in words]))

    def of(self, word: int) -> slice:
        """Return the glyphs of a word."""
        return slice(*np.searchsorted(self.of_word, (word, word + 1)).tolist())

    def choose(self, widths: Sequence[float]) -> list[int]:
        """Return the words to read: each glyph is in them LOOKS times, or as often as it is there.

        The word that shows most for its width comes first, as in the greedy cover of a set.
        """
        needed = np.minimum(np.bincount(self.kinds), LOOKS).tolist()
        ends = np.cumsum(np.bincount(self.of_word)).tolist()
        counts = [Counter(self.kinds[a:b].tolist()) for a, b in zip([0, *ends], ends, strict=False)]

        def gain(k: int) -> float:
            return sum(min(count, needed[kind]) for kind, count in counts[k].items()) / widths[k]

        heap, chosen = [(-gain(k), k) for k in range(len(counts))], []
        heapq.heapify(heap)
        while heap:
            before, k = heapq.heappop(heap)
            now = -gain(k)
            if before < now < 0:  # gains only fall: one that is still as it was is the greatest
                heapq.heappush(heap, (now, k))
            elif now < 0:
                chosen.append(k)
                for kind, count in counts[k].items():
                    needed[kind] -= min(count, needed[kind])
        return sorted(chosen)

    def confirm(self, found: dict[int, Aligned], texts: dict[int, str], alphabet: Alphabet) -> np.ndarray:
        """Return (G,) which glyphs the pixels confirm in words that were read, and contradict hardly anywhere there."""
        confirmed, against, read = (np.zeros(len(self.places), bool) for _ in range(3))
        for k, one in found.items():
            own = self.of(k)
            claims = list(zip(texts[k], one.odds.tolist(), one.seen, strict=True))
            confirmed[own] = [not claims_nothing(ch) and agrees(ch, odds, seen, alphabet) for ch, odds, seen in claims]
            against[own], read[own] = one.odds < CONTRADICTED, True
        slips, looks = (np.bincount(self.kinds, marked) for marked in (against, read))
        return confirmed & (slips <= SLIPS * looks)[self.kinds]

    def compare(
        self, pixels_HW: np.ndarray, text: TextLayer, confirmed: np.ndarray, read: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (G,) which glyphs have the picture of a confirmed one of their kind or were read, and which have not.

        Of some, a neighbour covers too much for either.
        """
        same, unlike, pictures = read.copy(), np.zeros(len(read), bool), _Pictures(pixels_HW, text, self)
        order = np.argsort(self.kinds, kind="stable")
        for own in np.split(order, np.flatnonzero(np.diff(self.kinds[order])) + 1):
            models, others = own[confirmed[own]][:PICTURES], own[~read[own]]
            if len(models) and len(others):
                same[others], unlike[others] = pictures.compare(own, models, others)
        return same, unlike


class _Pictures:
    """Pictures of the glyphs of a page."""

    def __init__(self, pixels_HW: np.ndarray, text: TextLayer, glyphs: _Glyphs):
        self.pixels = pixels_HW.astype(np.int16)
        self.boxes, self.origins = text.boxes[glyphs.places], text.origins[glyphs.places]
        self.pens = np.round(self.origins).astype(int)
        follows = glyphs.of_word[1:] == glyphs.of_word[:-1]
        left = np.append(-np.inf, np.where(follows, self.boxes[:-1, 2], -np.inf))
        right = np.append(np.where(follows, self.boxes[1:, 0], np.inf), np.inf)
        self.free = np.stack([left + NEAR_PX, right - NEAR_PX], 1) - self.origins[:, :1]  # of neighbours, about the pen

    def compare(self, own: np.ndarray, models: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the others have the picture of a model wherever neighbours do not reach, and which differ.

        A neighbour may add ink to both, and takes none away. own: all glyphs of their kind.
        """
        about = self.boxes[own] - np.tile(self.origins[own], 2)
        (left, top), (right, bottom) = np.floor(about[:, :2].min(0)), np.ceil(about[:, 2:].max(0))
        window = Window(int(left), int(top), max(1, int(right - left)), max(1, int(bottom - top)))
        known, clear = self._crops(models, window, (0, 0)), self._clear(models, window)
        shown, free = self._crops(others, window, REACH_PX), self._clear(others, window)
        contrast, wide = np.ptp(known, (1, 2)), np.flatnonzero(clear.mean(1) >= CLEAR).tolist()
        places = [(k, dx + REACH_PX[0], dy + REACH_PX[1]) for dx, dy in _SHIFTS for k in wide]

        def lighter(which: np.ndarray, k: int, x: int, y: int) -> np.ndarray:
            return shown[which, y : y + window.height, x : x + window.width] - known[k]

        same, unlike = np.zeros((2, len(others)), bool)
        rest = np.flatnonzero(free.mean(1) >= CLEAR)
        for k, x, y in places:
            if not len(rest):
                return same, unlike
            found = lighter(rest, k, x, y)
            differs = (found > SAME * contrast[k]) & clear[k]
            differs |= (found < -SAME * contrast[k]) & free[rest, None]
            same[rest] = ~differs.any((1, 2))
            rest = rest[~same[rest]]
        both = [
            (clear[k] & free[rest, None]) * np.abs(lighter(rest, k, x, y)) / max(1, contrast[k]) for k, x, y in places
        ]
        unlike[rest] = np.min([one.max((1, 2)) for one in both], 0) > UNLIKE if both else False
        return same, unlike

    def _crops(self, which: np.ndarray, window: Window, reach: tuple[int, int]) -> np.ndarray:
        """Return (N, H, W), the pixels in the window of each glyph, and around it. The page goes on beyond its edge."""
        rows, columns = self.pixels.shape
        x = np.arange(-reach[0], window.width + reach[0]) + window.left + self.pens[which, 0, None]
        y = np.arange(-reach[1], window.height + reach[1]) + window.top + self.pens[which, 1, None]
        return self.pixels[y.clip(0, rows - 1)[:, :, None], x.clip(0, columns - 1)[:, None, :]]

    def _clear(self, which: np.ndarray, window: Window) -> np.ndarray:
        """Return (N, W), the columns of each glyph's window that no neighbour reaches."""
        x = np.arange(window.left, window.left + window.width)
        return (x >= self.free[which, :1]) & (x + 1 <= self.free[which, 1:])
