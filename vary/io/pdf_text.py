"""The text layer of a PDF page: every character with its box, baseline, size, font, style and colour.

PDFium is neither thread-safe nor proof against hostile files: call this for PDFs that this process has made, or in a
child process (`pdf.py`).
Frame: the page as a viewer shows it, at `scale` pixels per point; x right, y down, origin top-left.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, repeat
from typing import Any

import numpy as np

from .pdf_layer import (
    ARRAYS,
    GLYPH,
    HYPHEN,
    HYPHENATED,
    PRIVATE,
    PRIVATE_CODES,
    TextLayer,
    join_accents,
    join_brackets,
    mark_fixed_width,
    true_sizes,
    without_strays,
)
from .tex_fonts import name_tex_characters

BARE = 0.02  # of the longer side of its box: what is no wider is a tab, and no dash
_FIXED, _ITALIC, _BOLD = 1, 64, 1 << 18  # flags of a font, ISO 32000-1 table 123
_STYLE_NAMES = (
    re.compile(r"bold|black|heavy|medi(?!c)|demi|(?:cm|sf|ec)(?:b|ssb|ssdc|csc?b)x?\d", re.I),
    re.compile(r"ital|obli|slant|(?:cm|sf|ec)(?:ti|sl|mi|it|ssi|bxti|bxsl|mmi|ssqi)b?\d", re.I),
    re.compile(
        r"mono|typewriter|courier|cursor|inconsolata|consol|nimbusmon|(?:cm|sf|ec|lm)(?:sl|it|v?tc?)?tt\d?", re.I
    ),
)
MAX_OBJECTS = 20_000  # of a page that are looked at
MAX_DEPTH = 6  # of forms within forms

Matrix = tuple[float, float, float, float, float, float]  # a, b, c, d, e, f as in ISO 32000-1, 8.3.4
UNIT: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


def read_text_layer(page: Any, scale: float = 1.0) -> TextLayer:
    """Return the text layer of a `pypdfium2.PdfPage`, at `scale` pixels per point."""
    return read_text_objects(page, scale)[0]


def read_text_objects(page: Any, scale: float) -> tuple[TextLayer, list[int]]:
    """Return the text layer and the addresses of its text objects, by `TextLayer.objects`."""
    from pypdfium2 import raw

    bare = show_bare_objects(raw, page)
    textpage = page.get_textpage()
    hide_bare_objects(raw, bare)
    try:
        handle, count = textpage.raw, raw.FPDFText_CountChars(textpage.raw)
        everywhere = range(count)
        codes = np.fromiter(_each(raw.FPDFText_GetUnicode, handle, everywhere), np.int64, count)
        boxes, loose, origins = np.zeros((count, 4)), np.zeros((count, 4), np.float32), np.zeros((count, 2))
        _fill(raw.FPDFText_GetCharBox, handle, boxes)
        kinds, meant = np.full(count, GLYPH, np.uint8), codes == 0xAD
        breaks = np.flatnonzero(codes == 2)  # of a word, or a glyph with this code
        meant[breaks] = np.fromiter(_each(raw.FPDFText_IsHyphen, handle, breaks.tolist()), int) == 1
        kinds[meant] = HYPHENATED
        blanks = np.flatnonzero(np.isin(codes, (10, 13, 32)))
        kinds[blanks] = np.where(np.fromiter(_each(raw.FPDFText_IsGenerated, handle, blanks.tolist()), int) == 1, 1, 0)
        sides = np.sort(boxes[:, [1, 3]] - boxes[:, [0, 2]])
        meant |= np.isin(codes, (9, 10, 13)) & ~((kinds == GLYPH) & (sides[:, 0] > BARE * sides[:, 1]))
        codes[(codes < 32) & ~meant] += PRIVATE  # no character; Python takes some for blanks
        _fill(raw.FPDFText_GetLooseCharBox, handle, loose, fields=1)
        _fill(raw.FPDFText_GetCharOrigin, handle, origins)
        pointers = np.fromiter(
            _each(raw.FPDFText_GetTextObject, handle, everywhere, returns=ctypes.c_size_t), np.uint64, count
        )
        unmapped = np.fromiter(_each(raw.FPDFText_HasUnicodeMapError, handle, everywhere), np.int64, count) == 1
        codes = np.where(unmapped & (codes > 0xFF), PRIVATE + codes % PRIVATE_CODES, codes)  # the number of a glyph
        objects = _TextObjects(raw, handle, pointers)
    finally:
        textpage.close()
    boxes = boxes[:, [0, 3, 1, 2]]  # left, right, bottom, top -> left, top, right, bottom
    without_strokes(pointers, bare, boxes, loose, origins)
    frame = Frame(page, scale)
    values = {
        "boxes": frame.boxes(boxes), "advances": frame.boxes(loose.astype(float)), "origins": frame.points(origins),
        "ems": objects.of("em") * frame.per_point[1], "angles": (objects.of("angle") + frame.rotation) % 360,
        "colours": objects.of("colour"), "styles": objects.of("style"), "fonts": objects.of("font"),
        "objects": objects.order, "modes": objects.of("mode"), "unmapped": unmapped, "kinds": kinds,
        "hidden": np.zeros(count),
    }  # fmt: skip
    layer = _layer(codes, values)
    layer = replace(layer, font_names=tuple(objects.font_names), font_ids=tuple(objects.font_ids))
    layer = mark_fixed_width(replace(layer, ems=true_sizes(layer)))
    return join_brackets(name_tex_characters(layer)), objects.pointers


class Frame:
    """From PDF coordinates of a page to the page as it is shown: the crop box, turned, at `scale` px per point."""

    def __init__(self, page: Any, scale: float):
        self.left, self.bottom, self.right, self.top = page.get_bbox()  # what is shown, inherited boxes included
        self.rotation = page.get_rotation()
        self.width, self.height = page.get_size()  # as shown
        # PDFium fills whole pixels
        self.per_point = math.ceil(self.width * scale) / self.width, math.ceil(self.height * scale) / self.height

    @property
    def matrix(self) -> Matrix:
        """From coordinates of the PDF to pixels of the page as it is shown."""
        a, d = self.per_point
        return {
            0: (a, 0.0, 0.0, -d, -self.left * a, self.top * d),
            90: (0.0, d, a, 0.0, -self.bottom * a, -self.left * d),
            180: (-a, 0.0, 0.0, d, self.right * a, -self.bottom * d),
            270: (0.0, -d, -a, 0.0, self.top * a, self.right * d),
        }[self.rotation]

    def points(self, xy: np.ndarray) -> np.ndarray:
        """Return points (..., 2) of the PDF in pixels of the page as it is shown."""
        a, b, c, d, e, f = self.matrix
        return np.stack([a * xy[..., 0] + c * xy[..., 1] + e, b * xy[..., 0] + d * xy[..., 1] + f], -1)

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Return boxes (..., 4), any two opposite corners each, as x0, y0, x1, y1 in the page as it is shown."""
        a, b = self.points(boxes[..., :2]), self.points(boxes[..., 2:])
        return np.concatenate([np.minimum(a, b), np.maximum(a, b)], -1)


class _TextObjects:
    """What all characters of a text object share. `of(name)`: the values of a property, one per character."""

    def __init__(self, raw: Any, handle: Any, pointers: np.ndarray):
        starts = np.flatnonzero(np.diff(pointers, prepend=np.uint64(0)) != 0)
        number: dict[int, int] = {}
        self.order = np.full(len(pointers), -1, np.int32)
        self.values: dict[str, list[float]] = {name: [] for name in ("em", "angle", "colour", "style", "font", "mode")}
        self.font_names: list[str] = []
        self.font_ids: list[str] = []
        self._fonts: dict[int, tuple[int, int]] = {}
        matrix, four = raw.FS_MATRIX(), [ctypes.c_uint() for _ in range(4)]
        ends = np.append(starts[1:], len(pointers))[: len(starts)]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            pointer = int(pointers[start])
            if not pointer:
                continue
            if pointer not in number:
                number[pointer] = len(number)
                raw.FPDFText_GetMatrix(handle, start, matrix)
                raw.FPDFText_GetFillColor(handle, start, *four)
                thing = ctypes.cast(pointer, raw.FPDF_PAGEOBJECT)
                font, style = self._font(raw, raw.FPDFTextObj_GetFont(thing))
                along = math.hypot(matrix.a, matrix.b) or 1.0
                height = abs(matrix.a * matrix.d - matrix.b * matrix.c) / along
                found = {
                    "em": raw.FPDFText_GetFontSize(handle, start) * height, "style": style, "font": font,
                    "angle": -math.degrees(math.atan2(matrix.b, matrix.a)),
                    "colour": four[0].value << 16 | four[1].value << 8 | four[2].value,
                    "mode": raw.FPDFTextObj_GetTextRenderMode(thing) if four[3].value else 3,
                }  # fmt: skip
                for name, value in found.items():
                    self.values[name].append(value)
            self.order[start:end] = number[pointer]
        self.pointers = list(number)

    def of(self, name: str) -> np.ndarray:
        """Return a property of every character; generated characters take it from the character before."""
        if not len(self.order):
            return np.zeros(0)
        known = np.maximum.accumulate(np.where(self.order >= 0, np.arange(len(self.order)), 0))
        values = np.array(self.values[name] or [0.0])
        found = values[np.maximum(self.order[known], 0)]
        return np.where(self.order >= 0, found, -1) if name == "font" else found

    def _font(self, raw: Any, font: Any) -> tuple[int, int]:
        """Return index and style bits of a font."""
        key = ctypes.cast(font, ctypes.c_void_p).value or 0
        if key not in self._fonts:
            identity = font_identity(raw, font)
            name = identity.rpartition("/")[0]
            plain, flags = name.split("+")[-1], raw.FPDFFont_GetFlags(font)
            found = [bool(known.search(plain)) for known in _STYLE_NAMES]
            found[0] |= flags > 0 and bool(flags & _BOLD)
            found[1] |= flags > 0 and bool(flags & _ITALIC)
            found[2] |= flags > 0 and bool(flags & _FIXED)
            self._fonts[key] = len(self.font_names), sum(yes << bit for bit, yes in enumerate(found))
            self.font_names.append(name)
            self.font_ids.append(identity + "#" * sum(one.rstrip("#") == identity for one in self.font_ids))
        return self._fonts[key]


def font_identity(raw: Any, font: Any) -> str:
    """Return name and size of the program of a font, joined by a slash."""
    name, size = ctypes.create_string_buffer(256), ctypes.c_size_t(0)
    raw.FPDFFont_GetBaseFontName(font, name, len(name))
    raw.FPDFFont_GetFontData(font, None, 0, size)
    return f"{name.value.decode('utf-8', 'replace')}/{size.value}"


def _fill(function: Any, handle: Any, found: np.ndarray, fields: int = 0) -> None:
    """Let PDFium write the values of every character into a row of `found`.

    fields: how many addresses the function takes; 0 for one per column.
    """
    rows = found.ctypes.data + found.strides[0] * np.arange(len(found), dtype=np.int64)
    places = [(rows + found.itemsize * k).tolist() for k in range(fields or found.shape[1])]
    deque(_each(function, handle, range(len(found)), *places), maxlen=0)


def _each(
    function: Any, handle: Any, indices: Sequence[int], *addresses: list[int], returns: Any = ctypes.c_int
) -> Iterator[int]:
    """Call PDFium for every character. Plain integers as arguments: a quarter of the time of typed pointers."""
    plain = ctypes.CFUNCTYPE(returns, ctypes.c_void_p, ctypes.c_int, *[ctypes.c_void_p] * len(addresses))
    direct = plain(ctypes.cast(function, ctypes.c_void_p).value or 0)
    return map(direct, repeat(ctypes.cast(handle, ctypes.c_void_p).value), indices, *addresses)


def _layer(codes: np.ndarray, values: dict[str, np.ndarray]) -> TextLayer:
    """Join surrogate pairs and share out the boxes of ligatures."""
    low = (codes >= 0xDC00) & (codes < 0xE000)
    low[1:] &= (codes[:-1] >= 0xD800) & (codes[:-1] < 0xDC00)
    low[:1] = False
    high = np.flatnonzero(low) - 1
    codes[codes == 0xAD] = ord(HYPHEN)
    codes[high] = 0x10000 + ((codes[high] - 0xD800) << 10) + (codes[high + 1] - 0xDC00)
    arrays = {name: np.ascontiguousarray(values[name][~low], dtype) for name, dtype, _ in ARRAYS}
    kinds = arrays["kinds"]
    for boxes in (arrays["boxes"], arrays["advances"]):
        same = np.zeros(len(boxes) + 1, bool)
        same[1:-1] = (np.diff(boxes, axis=0) == 0).all(1) & (kinds[1:] == GLYPH) & (kinds[:-1] == GLYPH)
        for first in np.flatnonzero(same[1:] & ~same[:-1]):
            last = first + 1
            while same[last + 1]:
                last += 1
            edges = np.linspace(boxes[first, 0], boxes[first, 2], last - first + 2)
            boxes[first : last + 1, 0], boxes[first : last + 1, 2] = edges[:-1], edges[1:]
    return join_accents(TextLayer(without_strays("".join(map(chr, codes[~low]))), **arrays))  # type: ignore[arg-type]


# -- text objects that draw nothing ------------------------------------------------------------------------------------

# PDFium leaves them out of the text of a page. Their characters count nevertheless: blanks, and those that the glyph of
# a neighbour draws, as in the `!=` of type for programs. A stroke gives an object the width that PDFium asks for.


def show_bare_objects(raw: Any, page: Any) -> dict[int, Any]:
    """Give the text objects that draw nothing a stroke, and return them by their address.

    Left as they are: those with a replacement text (`ActualText`) that they share with objects that draw something.
    """
    bare, drawn, sides = [], [], [ctypes.c_float() for _ in range(4)]
    for thing, kind, _ in islice(walk_objects(raw, page, Frame(page, 1.0)), MAX_OBJECTS):
        if kind != raw.FPDF_PAGEOBJ_TEXT or not raw.FPDFPageObj_GetBounds(thing, *sides):
            continue
        if sides[0].value != sides[2].value:
            drawn.append(thing)
        elif raw.FPDFTextObj_GetTextRenderMode(thing) == raw.FPDF_TEXTRENDERMODE_FILL:
            bare.append((thing, _marks(raw, thing)))
    if any(marks for _, marks in bare):
        shared = set[int]().union(*(_marks(raw, thing) for thing in drawn))
        bare = [(thing, marks) for thing, marks in bare if not marks & shared]
    for thing, _ in bare:
        _set_mode(raw, thing, raw.FPDF_TEXTRENDERMODE_STROKE)
    return {ctypes.cast(thing, ctypes.c_void_p).value or 0: thing for thing, _ in bare}


def hide_bare_objects(raw: Any, bare: dict[int, Any]) -> None:
    """Take the stroke of objects back."""
    for thing in bare.values():
        _set_mode(raw, thing, raw.FPDF_TEXTRENDERMODE_FILL)


def without_strokes(
    pointers: np.ndarray, bare: dict[int, Any], boxes: np.ndarray, advances: np.ndarray, origins: np.ndarray
) -> None:
    """Give the characters of replacement texts that nothing draws the place from their origin to the next one.

    Their boxes are those of the stroke. Those that are not replaced have the advance width of their glyph already.

    Args:
        pointers: (N,) address of the object of each character.
        bare: The objects with a stroke.
        boxes: (N, 4) in the frame of the PDF, changed; advances (N, 4) likewise.
        origins: (N, 2) pen of each character.
    """
    if not bare:
        return
    stroked = np.isin(pointers, np.fromiter(bare, np.uint64, len(bare))) & (boxes == advances).all(1)
    for k in np.flatnonzero(stroked).tolist():
        onward = next((n for n in range(k + 1, len(origins)) if (origins[n] != origins[k]).any()), k)
        sides = np.sort(origins[[k, onward]], axis=0)
        boxes[k] = advances[k] = sides.ravel()


def walk_objects(raw: Any, page: Any, frame: Frame) -> Iterator[tuple[Any, int, Matrix]]:
    """Yield the objects of a page in drawing order, those inside forms too: object, type, its way to page pixels."""
    for k in range(raw.FPDFPage_CountObjects(page.raw)):
        yield from _inside(raw, raw.FPDFPage_GetObject(page.raw, k), frame.matrix, 0)


def _inside(raw: Any, thing: Any, matrix: Matrix, depth: int) -> Iterator[tuple[Any, int, Matrix]]:
    kind = raw.FPDFPageObj_GetType(thing)
    if kind != raw.FPDF_PAGEOBJ_FORM:
        yield thing, kind, matrix
    elif depth < MAX_DEPTH:
        inner = multiply(matrix_of(raw, thing), matrix)
        for k in range(raw.FPDFFormObj_CountObjects(thing)):
            yield from _inside(raw, raw.FPDFFormObj_GetObject(thing, k), inner, depth + 1)


def matrix_of(raw: Any, thing: Any) -> Matrix:
    """Return the matrix of a page object."""
    m = raw.FS_MATRIX()
    return (m.a, m.b, m.c, m.d, m.e, m.f) if raw.FPDFPageObj_GetMatrix(thing, m) else UNIT


def multiply(first: Matrix, then: Matrix) -> Matrix:
    """Return the matrix that applies one after the other."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = then
    return a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m


def _marks(raw: Any, thing: Any) -> set[int]:
    """Return the addresses of the marks of an object that have a replacement text."""
    found, size = set(), ctypes.c_ulong()
    for k in range(max(0, raw.FPDFPageObj_CountMarks(thing))):
        mark = raw.FPDFPageObj_GetMark(thing, k)
        if raw.FPDFPageObjMark_GetParamStringValue(mark, b"ActualText", None, 0, size):
            found.add(ctypes.cast(mark, ctypes.c_void_p).value or 0)
    return found


def _set_mode(raw: Any, thing: Any, mode: int) -> None:
    """Set the rendering mode of a text object, and let PDFium measure it anew."""
    matrix = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(thing, matrix)
    raw.FPDFTextObj_SetTextRenderMode(thing, mode)
    raw.FPDFPageObj_SetMatrix(thing, matrix)
