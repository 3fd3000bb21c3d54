"""Align a few words of a text layer, and let the pictures of their glyphs speak for all others.

A font draws a glyph the same way wherever it stands, and PDFium sets type of usual sizes at whole pixels. So glyphs
with one font, size and claim are parted by their pictures, and the head reads as many words as show each picture a few
times. Where the pixels confirm it, they confirm all glyphs with this picture; other words are aligned after that.
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

LOOKS = 2  # times that the head reads each picture of a page, if it is there as often
SLIPS = 0.1  # share of the places that were read in which the pixels may contradict a picture that is confirmed
PICTURES = 6  # of glyphs with one claim; others count as pictures of their own
SAME = 0.1  # of a picture's contrast, by which each pixel of an equal one differs at most
UNLIKE = 0.5  # the same, by which some pixel of another glyph differs at least
REPEAT = 0.9  # share of the glyphs that have the picture of another, from which pictures tell glyphs apart
REACH_PX = 2, 1  # across and down: how far PDFium sets a glyph from where its rounded place is
STEP_PX = 0.6  # between the sides of boxes of different glyphs: a letter stands otherwise in a ligature
NEAR_PX = 1.0  # beside its box, where a neighbour may have ink
CLEAR = 0.2  # least share of the columns of a picture that no neighbour reaches
GAP_EM, PAD_EM = 0.35, 0.3  # between words on a page of words, and above and below them
_WORD = re.compile(r"(?:[^\w ]+ )?[^ ]+")  # a sign goes with the word after it: alone, a bullet is a point

AlignWords = Callable[[Image.Image, list[LayerLine]], list[Aligned]]


class Window(NamedTuple):
    """Pixels about the pen of a glyph."""

    left: int
    top: int
    width: int
    height: int


def align_repeats(
    image: Image.Image, lines: Sequence[LayerLine], text: TextLayer, alphabet: Alphabet, align_words: AlignWords
) -> list[Aligned]:
    """Return the alignment of each line's characters other than spaces.

    Args:
        image: Upright grey page.
        lines: Of the layer, with glyphs that are drawn.
        text: The layer, in the frame of the image.
        alphabet: Of the head.
        align_words: Aligns words to a page that has nothing else.
    """
    words = [(line, slice(*found.span())) for line in lines for found in _WORD.finditer(line.text)]
    if not words:
        return [Aligned(np.zeros(0), []) for _ in lines]
    places = [line.indices[own] for line, own in words if line.indices is not None]
    glyphs = _Glyphs.find([own[own >= 0] for own in places], text)
    glyphs.part_by_pictures(np.asarray(image), text)

    def read(which: list[int]) -> dict[int, Aligned]:
        own = [words[k][0].part(words[k][1]) for k in which]
        return dict(zip(which, _set_anew(image, own, align_words), strict=True))

    widths = [float(line.boxes[own.stop - 1, 2] - line.boxes[own.start, 0]) + line.em_px for line, own in words]
    found = read(glyphs.choose(widths))
    confirmed = glyphs.confirm(found, {k: words[k][0].text[words[k][1]].replace(" ", "") for k in found}, alphabet)
    found |= read(sorted(set(glyphs.of_word[~confirmed].tolist()) - set(found)))
    odds, seen = np.zeros(len(confirmed)), [""] * len(confirmed)
    for k, one in found.items():
        own = glyphs.of(k)
        odds[own], seen[own] = one.odds, one.seen
    aligned, start = [], 0
    for line in lines:
        end = start + len(line.text) - line.text.count(" ")
        own = slice(start, end)
        aligned.append(Aligned(odds[own], seen[own], glyphs.looks[own], glyphs.kinds[own]))
        start = end
    return aligned


def _set_anew(image: Image.Image, words: Sequence[LayerLine], align_words: AlignWords) -> list[Aligned]:
    """Align words that are cut out of a page and set one after the other, in rows as wide as the page."""
    placed, x, y, high = [], 0, 0, 0
    moved: list[LayerLine] = []
    for word in words:
        x0, y0, x1, y1 = word.box
        pad = PAD_EM * word.em_px
        left, top = (int(np.clip(v - pad, 0, most - 1)) for v, most in ((x0, image.width), (y0, image.height)))
        part = (
            left,
            top,
            int(np.clip(x1 + pad, left, image.width - 1)) + 1,
            int(np.clip(y1 + pad, top, image.height - 1)) + 1,
        )
        wide, tall = part[2] - left, part[3] - top
        if x and x + wide > image.width:
            x, y, high = 0, y + high, 0
        placed.append((part, x, y))
        by = np.array([x - left, y - top] * 2, np.float32)
        moved.append(replace(word, boxes=word.boxes + by))
        x, high = x + wide + round(GAP_EM * word.em_px), max(high, tall)
    if not placed:
        return []
    page = Image.new("L", (max(round(one.box[2] + PAD_EM * one.em_px) for one in moved) + 1, y + high), 255)
    for part, x, y in placed:
        page.paste(image.crop(part), (x, y))
    return align_words(page, moved)


@dataclass
class _Glyphs:
    """G glyphs of words.

    places: (G,), of each in the layer. kinds: (G,), equal for one character in one font, size and box, and then for one
    picture. of_word: (G,), the word of each, which rises. looks: (G,), 0, or the number of a picture that is not like
    the others of its character.
    """

    places: np.ndarray
    kinds: np.ndarray
    of_word: np.ndarray
    looks: np.ndarray

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
        return cls(
            places, kinds, np.repeat(np.arange(len(words)), [len(word) for word in words]), np.zeros(len(places), int)
        )

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
        """Return (G,) which glyphs the pixels confirm: in the words that were read they hardly contradict them."""
        confirmed, against, read = (np.zeros(len(self.places), bool) for _ in range(3))
        for k, one in found.items():
            own = self.of(k)
            claims = zip(texts[k], one.odds.tolist(), one.seen, strict=True)
            confirmed[own] = [not claims_nothing(ch) and agrees(ch, odds, seen, alphabet) for ch, odds, seen in claims]
            against[own], read[own] = one.odds < CONTRADICTED, True
        agree, slips, looks = (np.bincount(self.kinds, marked) for marked in (confirmed, against, read))
        trusted: np.ndarray = ((agree > 0) & (slips <= SLIPS * looks))[self.kinds]
        return trusted

    def part_by_pictures(self, pixels_HW: np.ndarray, text: TextLayer) -> None:
        """Part each kind by the pictures of its glyphs, and number those that are not like the others."""
        pictures, order = _Pictures(pixels_HW, text, self), np.argsort(self.kinds, kind="stable")
        repeated, many, number = 0, 0, 0
        for own in np.split(order, np.flatnonzero(np.diff(self.kinds[order])) + 1):
            which, looks = pictures.part(own)
            counts = np.bincount(which)
            if len(own) > 1:
                repeated, many = repeated + int(counts[counts > 1].sum()), many + len(own)
            self.kinds[own], self.looks[own] = number + which, looks
            number += len(counts)
        if repeated < REPEAT * many:
            self.looks[:] = 0


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

    def part(self, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (N,) which picture each glyph of one kind has, from 0, and which of the unlike ones it is.

        Pictures are compared where neighbours do not reach. A neighbour may add ink to both, and takes none away.
        """
        which, looks = np.full(len(own), -1), np.zeros(len(own), int)
        if len(own) == 1:
            return which + 1, looks
        about = self.boxes[own] - np.tile(self.origins[own], 2)
        (left, top), (right, bottom) = np.floor(about[:, :2].min(0)), np.ceil(about[:, 2:].max(0))
        window = Window(int(left) - 1, int(top), int(right - left) + 2, max(1, int(bottom - top)))  # anti-aliased sides
        shown, clear = self._crops(own, window), self._clear(own, window)
        free = _inner(clear).mean((1, 2))
        rest, models = np.flatnonzero(free >= CLEAR), list[int]()
        while len(rest) and len(models) < PICTURES:
            model = int(rest[free[rest].argmax()])
            same = _are_same(shown, clear, model, rest)
            which[rest[same]] = len(models)
            looks[rest[same]] = _number_of(shown, clear, models, looks, model, bool(same.sum() == 1))
            models.append(model)
            rest = rest[~same]
        for k in rest.tolist():
            looks[k] = _number_of(shown, clear, models, looks, k, True)
        lone = np.flatnonzero(which < 0)
        which[lone] = np.arange(len(models), len(models) + len(lone))
        return which, looks

    def _crops(self, which: np.ndarray, window: Window) -> np.ndarray:
        """Return (N, H, W), the pixels in the window of each glyph and around it. The page goes on beyond its edge."""
        rows, columns = self.pixels.shape
        x = np.arange(-REACH_PX[0], window.width + REACH_PX[0]) + window.left + self.pens[which, 0, None]
        y = np.arange(-REACH_PX[1], window.height + REACH_PX[1]) + window.top + self.pens[which, 1, None]
        return self.pixels[y.clip(0, rows - 1)[:, :, None], x.clip(0, columns - 1)[:, None, :]]

    def _clear(self, which: np.ndarray, window: Window) -> np.ndarray:
        """Return (N, 1, W), the columns of the same pixels that no neighbour reaches."""
        x = np.arange(-REACH_PX[0], window.width + REACH_PX[0]) + window.left
        return ((x >= self.free[which, :1]) & (x + 1 <= self.free[which, 1:]))[:, None]


def _are_same(shown: np.ndarray, clear: np.ndarray, model: int, others: np.ndarray) -> np.ndarray:
    """Return which of the others have the picture of a model, at any shift within reach.

    Args:
        shown: (N, H, W) pixels of glyphs and REACH_PX around them.
        clear: (N, 1, W), columns of these that no neighbour reaches.
        model: Index of the model.
        others: Indices of glyphs, itself among them.
    """
    known, own = _middle(shown[model]), _inner(clear[model])
    most = SAME * np.ptp(known)

    def fit(pixels: np.ndarray, free: np.ndarray) -> np.ndarray:
        lighter = pixels - known
        same: np.ndarray = ~(((lighter > most) & own) | ((lighter < -most) & free)).any((-2, -1))
        return same

    found = fit(_middle(shown[others]), _inner(clear[others]))
    if not found.all():
        rest = others[~found]
        found[~found] = fit(_shifted(shown[rest], known.shape), _shifted(clear[rest], own.shape)).any((1, 2))
    return found


def _number_of(
    shown: np.ndarray, clear: np.ndarray, models: Sequence[int], looks: np.ndarray, glyph: int, alone: bool
) -> int:
    """Return the number of the model that a glyph is like, or the next one. Arguments as of `_are_same`.

    alone: No other glyph has its picture. Then only ink that it lacks counts, as a line of a drawing may cross it.
    """
    if not models:
        return 0
    shifted = _shifted(shown[glyph], _middle(shown[glyph]).shape)
    free = _shifted(clear[glyph], _inner(clear[glyph]).shape)
    unlike = []
    for model in models:
        known = _middle(shown[model])
        lighter = (shifted - known) * (free & _inner(clear[model]))
        differs = lighter if alone else np.abs(lighter)
        unlike.append(float(differs.max((-2, -1)).min()) / max(1, int(np.ptp(known))))
    nearest = int(np.argmin(unlike))
    return int(looks[models].max()) + 1 if unlike[nearest] > UNLIKE else int(looks[models[nearest]])


def _middle(shown: np.ndarray) -> np.ndarray:
    return _inner(shown)[..., REACH_PX[1] : -REACH_PX[1], :]


def _inner(columns: np.ndarray) -> np.ndarray:
    """Return what is given for the columns of a window and REACH_PX beside it without those beside it."""
    return columns[..., REACH_PX[0] : -REACH_PX[0]]


def _shifted(shown: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return (..., Y, X, H, W), pictures at all shifts within reach."""
    return np.lib.stride_tricks.sliding_window_view(shown, shape[-2:], (-2, -1))
