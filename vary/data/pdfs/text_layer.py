"""The text layer of a PDF page: every character with its box, its baseline and the colour of its ink.

PDFium is neither thread-safe nor proof against hostile files: call this for PDFs that this process has made, or in a
child process (`pdfs.py`).
Frame: pixels of the page's image at `scale` pixels per point, x right, y down, origin top-left.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from ..sample import TextLine

SPLIT_EM = 1.6  # a line ends at wider gaps: the cells of a table, the columns of a page
HYPHEN = "\x02"  # PDFium's code for a hyphen that was set at a line's end
_ROUND = frozenset("acemnorsuvwxz")  # letters as high as an x
_X_HEIGHT_EM = 0.45
GLYPH, GENERATED, HYPHENATED = 0, 1, 2


@dataclass(frozen=True)
class TextLayer:
    """N characters in the order of the page's content.

    text: N characters, those that PDFium puts in between (blanks, CR, LF) included. kinds (N,) uint8: GLYPH, GENERATED
    for those put in between, HYPHENATED for a hyphen at a line's end. boxes (N, 4) float32: x0, y0, x1, y1 of the
    glyph's ink; letters of one ligature share its width. points (N, 2) float32: the pen on the baseline. ems (N,)
    float32: size of the type in pixels. inks (N,) int32: 0xRRGGBB, -1 where it was not asked for. looks (N,) uint8: the
    styles of the type as `TextLine.styles` has them, by the names of the fonts; None where they were not asked for.
    """

    text: str
    kinds: np.ndarray
    boxes: np.ndarray
    points: np.ndarray
    ems: np.ndarray
    inks: np.ndarray
    looks: np.ndarray | None = None

    def chosen(self, keep: np.ndarray) -> TextLayer:
        """Only the characters that the mask keeps."""
        text = "".join(ch for ch, kept in zip(self.text, keep.tolist(), strict=True) if kept)
        looks = None if self.looks is None else self.looks[keep]
        kinds, boxes, points, ems, inks = (v[keep] for v in (self.kinds, self.boxes, self.points, self.ems, self.inks))
        return TextLayer(text, kinds, boxes, points, ems, inks, looks)


def read_layer(page: Any, scale: float, inks: bool = False) -> TextLayer:
    """The text layer of a `pypdfium2.PdfPage`. inks: read the colours, too, and ask for baseline and size of the type
    only where the colour or the line changes: right for our own pages, where every run has its own colour."""
    from pypdfium2 import raw

    textpage = page.get_textpage()
    try:
        handle, count = textpage.raw, raw.FPDFText_CountChars(textpage.raw)
        codes = np.fromiter(_each(raw.FPDFText_GetUnicode, handle, range(count)), np.int64, count)
        kinds = np.where(np.isin(codes, (2, 0xAD)), HYPHENATED, GLYPH).astype(np.uint8)
        blanks = np.flatnonzero(np.isin(codes, (10, 13, 32)))
        kinds[blanks] = [GENERATED if raw.FPDFText_IsGenerated(handle, k) == 1 else GLYPH for k in blanks.tolist()]
        found = np.zeros((count, 8))  # left, right, bottom, top, pen x, pen y, size, colour
        everywhere = list(range(count))
        _ask(raw.FPDFText_GetCharBox, handle, everywhere, found, 0, 4)
        if inks:
            found[:, 7] = colours = _colours(raw, handle, kinds)
            changed = (colours[1:] != colours[:-1]) | (kinds[1:] != GENERATED) & (kinds[:-1] == GENERATED)
            starts = np.concatenate([[0], np.flatnonzero(changed) + 1]).tolist() if count else []
        else:
            found[:, 7], starts = -1, everywhere
        _ask(raw.FPDFText_GetCharOrigin, handle, starts, found, 4, 2)
        found[starts, 6] = [raw.FPDFText_GetFontSize(handle, k) for k in starts]
        if inks and count:
            found[:, 5:7] = np.repeat(found[starts, 5:7], np.diff([*starts, count]), 0)
            found[:, 4] = found[:, 0]
        left, bottom = np.maximum(page.get_mediabox(), page.get_cropbox())[:2]  # where the picture's corner is
        found[:, :6] -= [left, left, bottom, bottom, left, bottom]
        width, height = page.get_size()
        drawn = math.ceil(width * scale) / width, math.ceil(height * scale) / height  # PDFium fills whole pixels
        return _layer(codes, kinds, found, np.array(drawn), height)
    finally:
        textpage.close()


_LOOKS = (
    re.compile(r"bold|black|heavy|medi|demi|(?:cm|sf|ec)(?:b|ssb|ssdc|csc?b)x?\d", re.I),
    re.compile(r"ital|obli|slant|(?:cm|sf|ec)(?:ti|sl|mi|it|ssi|bxti|bxsl|mmi|ssqi)b?\d", re.I),
    re.compile(
        r"mono|typewriter|courier|cursor|inconsolata|consol|nimbusmon|(?:cm|sf|ec|lm)(?:sl|it|v?tc?)?tt\d?", re.I
    ),
)
_FIXED, _ITALIC = 1, 64  # flags of a font, ISO 32000-1 table 123


def read_looks(page: Any, indices: Sequence[int]) -> np.ndarray:
    """(N,) uint8 for characters of a page's text: bold, italic, typewriter by the name of the font and its flags."""
    from pypdfium2 import raw

    textpage = page.get_textpage()
    name, flags, known = ctypes.create_string_buffer(128), ctypes.c_int(), dict[tuple[bytes, int], int]()
    looks = np.zeros(len(indices), np.uint8)
    for n, k in enumerate(indices):
        raw.FPDFText_GetFontInfo(textpage.raw, k, name, len(name), flags)
        font = name.value, flags.value
        if font not in known:
            told = [bool(look.search(font[0].decode("utf-8", "replace").split("+")[-1])) for look in _LOOKS]
            told[1] |= bool(flags.value & _ITALIC)
            told[2] |= bool(flags.value & _FIXED)
            known[font] = sum(yes << bit for bit, yes in enumerate(told))
        looks[n] = known[font]
    textpage.close()
    return looks


def _ask(function: Any, handle: Any, indices: list[int], found: np.ndarray, column: int, count: int) -> None:
    """Let PDFium write `count` doubles per character into `found`, from `column` on."""
    rows = found.ctypes.data + found.strides[0] * np.array(indices, np.int64)
    places = [(rows + found.itemsize * (column + n)).tolist() for n in range(count)]
    deque(_each(function, handle, indices, *places), maxlen=0)


def _each(function: Any, handle: Any, indices: Sequence[int], *addresses: list[int]) -> Iterator[int]:
    """Call PDFium for every character. Plain integers as arguments: a quarter of the time of typed pointers."""
    plain = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_int, *[ctypes.c_void_p] * len(addresses))
    direct = plain(ctypes.cast(function, ctypes.c_void_p).value or 0)
    return map(direct, repeat(ctypes.cast(handle, ctypes.c_void_p).value), indices, *addresses)


def _colours(raw: Any, handle: Any, kinds: np.ndarray) -> np.ndarray:
    """0xRRGGBB of every character, found by halving: no line of ours returns to a colour that it has left."""
    four = (ctypes.c_uint * 4)()
    slots = [ctypes.cast(ctypes.byref(four, 4 * k), ctypes.POINTER(ctypes.c_uint)) for k in range(4)]
    colours = np.zeros(len(kinds), np.int64)
    glyphs = np.flatnonzero(kinds != GENERATED)

    def colour(k: int) -> int:
        raw.FPDFText_GetFillColor(handle, int(glyphs[k]), *slots)
        return four[0] << 16 | four[1] << 8 | four[2]

    def fill(first: int, last: int, left: int, right: int) -> None:
        if left == right or last - first < 2:
            colours[glyphs[first : last + 1]] = left
            colours[glyphs[last]] = right
            return
        middle = (first + last) // 2
        between = colour(middle)
        fill(first, middle, left, between)
        fill(middle, last, between, right)

    ends = np.flatnonzero(np.diff(glyphs) > 2)  # CR and LF stand between two lines
    for first, last in zip([0, *(ends + 1).tolist()], [*ends.tolist(), len(glyphs) - 1], strict=True):
        if len(glyphs):
            fill(first, last, colour(first), colour(last))
    return colours


def _layer(values: np.ndarray, kinds: np.ndarray, found: np.ndarray, scale: np.ndarray, height: float) -> TextLayer:
    """Join surrogate pairs, turn y down, share out the boxes of ligatures."""
    low = (values >= 0xDC00) & (values < 0xE000)
    low[1:] &= (values[:-1] >= 0xD800) & (values[:-1] < 0xDC00)
    low[:1] = False
    high = np.flatnonzero(low) - 1
    values[values == 0xAD] = ord(HYPHEN)
    values[high] = 0x10000 + ((values[high] - 0xD800) << 10) + (values[high + 1] - 0xDC00)
    values, kinds, found = values[~low], kinds[~low], found[~low]
    left, right, bottom, top = found[:, :4].T
    boxes = np.stack([left, height - top, right, height - bottom], 1) * np.tile(scale, 2)
    points = np.stack([found[:, 4], height - found[:, 5]], 1) * scale
    same = np.zeros(len(boxes) + 1, bool)
    same[1:-1] = (np.diff(boxes, axis=0) == 0).all(1) & (kinds[1:] == GLYPH) & (kinds[:-1] == GLYPH)
    for first in np.flatnonzero(same[1:] & ~same[:-1]):
        last = first + 1
        while same[last + 1]:
            last += 1
        edges = np.linspace(boxes[first, 0], boxes[first, 2], last - first + 2)
        boxes[first : last + 1, 0], boxes[first : last + 1, 2] = edges[:-1], edges[1:]
    return TextLayer(
        "".join(map(chr, values)),
        kinds,
        boxes.astype(np.float32),
        points.astype(np.float32),
        (found[:, 6] * scale[1]).astype(np.float32),
        found[:, 7].astype(np.int32),
    )


def text_lines(layer: TextLayer, chosen: np.ndarray, groups: np.ndarray) -> list[TextLine]:
    """Lines of the chosen characters, in the order of the content; `TextLine.block` is their group.

    chosen: indices of characters to be used, ascending. groups (N,): a line never holds two. A line ends at a gap of
    SPLIT_EM and where a glyph is left out; raised and lowered characters stay in the line that they touch. Blanks that
    PDFium puts between glyphs stand in the gap, except between Chinese or Japanese characters.
    """
    rank = np.cumsum(layer.kinds != GENERATED)
    chosen = np.asarray(chosen, np.int64)
    chosen = chosen[layer.kinds[chosen] != GENERATED]
    if not len(chosen):
        return []
    before, after = chosen[:-1], chosen[1:]
    em = np.maximum(layer.ems[before], layer.ems[after])
    rise = np.abs(layer.points[before, 1] - layer.points[after, 1])
    gap = layer.boxes[after, 0] - layer.boxes[before, 2]
    follows = (rise < 0.25 * em) & (gap < SPLIT_EM * em) & (gap > -em) | (rise < 0.6 * em) & (np.abs(gap) < 0.5 * em)
    follows &= (rank[after] - rank[before] == 1) & (groups[before] == groups[after])
    parts = np.split(chosen, np.flatnonzero(~follows) + 1)
    lines = (_line(layer, part, int(groups[part[0]])) for part in parts)
    return [line for line in lines if line is not None]


def _line(layer: TextLayer, part: np.ndarray, group: int) -> TextLine | None:
    text, boxes = "".join(layer.text[k] for k in part).replace(HYPHEN, "-"), layer.boxes[part]
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    if end <= begin:
        return None
    text, boxes, part = text[begin:end], boxes[begin:end], part[begin:end]
    styles = None if layer.looks is None else layer.looks[part]
    em = _middle(layer.ems[part])
    heights = np.array([y1 - y0 for ch, (_, y0, _, y1) in zip(text, boxes.tolist(), strict=True) if ch in _ROUND])
    gaps = [k for k in np.flatnonzero(np.diff(part) > 1).tolist() if _blank_between(layer, part[k], part[k + 1], em)]
    if gaps:
        left, right = boxes[gaps], boxes[np.array(gaps) + 1]
        x0, x1 = np.minimum(left[:, 2], right[:, 0]), np.maximum(left[:, 2], right[:, 0])
        blanks = np.stack([x0, np.minimum(left[:, 1], right[:, 1]), x1, np.maximum(left[:, 3], right[:, 3])], 1)
        boxes = np.insert(boxes, np.array(gaps) + 1, blanks, 0)
        styles = None if styles is None else np.insert(styles, np.array(gaps) + 1, styles[gaps])
        pieces = [text[a:b] for a, b in zip([0, *(k + 1 for k in gaps)], [*(k + 1 for k in gaps), None], strict=True)]
        text = " ".join(pieces)
    x_height = _middle(heights) if len(heights) else _X_HEIGHT_EM * em
    return TextLine(text, boxes, _middle(layer.points[part, 1]), x_height, em, 0.0, group, styles)


def _blank_between(layer: TextLayer, left: int, right: int, em: float) -> bool:
    if layer.text[left].isspace() or layer.text[right].isspace() or " " not in layer.text[left + 1 : right]:
        return False
    wide = layer.boxes[right, 0] - layer.boxes[left, 2] > 0.6 * em
    return wide or not (joins(layer.text[left]) and joins(layer.text[right]))


def joins(ch: str) -> bool:
    """Characters of scripts that are written without blanks between words."""
    return "\u2e80" <= ch <= "\u9fff" or "\uf900" <= ch <= "\ufaff" or "\uff00" <= ch <= "\uffef" or ch >= "\U00020000"


def _middle(values: np.ndarray) -> float:
    """The upper median: one of the values."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])
