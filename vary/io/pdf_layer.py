"""The text layer of a PDF page as arrays: characters with their boxes, fonts and styles. Composed ones are joined.

Frame: the page as a viewer shows it, x right, y down, origin top-left; lengths in pixels at the scale of reading.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np

from .box import median, union, unique_values

HYPHEN = "\x02"  # PDFium's code for a hyphen that was set at the end of a line
PRIVATE, PRIVATE_CODES = 0xE000, 0x1900  # the first code of private use, and their number
GLYPH, GENERATED, HYPHENATED = 0, 1, 2
STYLES = ("bold", "italic", "mono")  # bit k of `TextLayer.styles`
ACCENTS = dict(
    zip("`´ˆ˜¨¯˘˙˚˝ˇ¸˛", "\u0300\u0301\u0302\u0303\u0308\u0304\u0306\u0307\u030a\u030b\u030c\u0327\u0328", strict=True)
)
ACCENT_EM = 0.4  # between the baselines of an accent and its letter: it is raised over capitals
BRACKETS = dict(
    zip(
        "⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪⎞⎟⎠⎤⎥⎦⎫⎬⎭" + "".join(map(chr, (*range(0xF8EB, 0xF8F5), *range(0xF8F6, 0xF8FF)))),
        "((([[[{{{ )))]]]}}}" + "((([[[{{{ )))]]]}}}",
        strict=True,
    )
)  # pieces of brackets, in Unicode and in the private use of Adobe's symbol fonts; those of braces belong to both sides
BRACKET_GAP = 0.6  # em between two pieces of one bracket
BARE_EM = 0.005  # a glyph that draws nothing has a box of its advance width, and no height but by rounding
LONGEST = 4  # characters of a ligature
COVERED = 0.2  # share of the advance width of a character without a glyph that the glyph of its ligature covers
_WORDS = re.compile(r"\S+")
_STRAYS = re.compile(
    "[\u0530-\u0dff\u1200-\u1cff]"
)  # letters of scripts that are written with blanks, from Armenian on
_DOTTED = {"ı": "i", "ȷ": "j"}  # letters that lose their dot under an accent
_LOW = frozenset("acemnorsuvwxz")  # letters as high as an x
_NARROW = frozenset("fijltIJ")  # letters that are narrower than others in type of usual widths
_FIXED_LETTERS, _SAME_WIDTH = 8, 0.02  # different letters of a font, and by which the widths of fixed-width type differ
_MOST_ALIKE = 0.85  # share of the letters; in bitmap fonts an m is a little wider
_PLAIN = 0.4, 0.8  # median height of glyphs in em, where the font's size is right
_SIGN = 0.02, 1.5  # the same of signs, such as bullets, in type of usual units


@dataclass(frozen=True)
class TextLayer:
    """N characters in the order of the page's content.

    Args:
        text: N characters, with the blanks, CR and LF that PDFium generates.
        kinds: (N,) uint8, GLYPH, GENERATED, or HYPHENATED for a hyphen at the end of a line.
        boxes: (N, 4) float32, x0, y0, x1, y1 of the glyph's outline; the letters of one ligature share its width.
        advances: (N, 4) float32, the box of the glyph's advance width and its font's height.
        origins: (N, 2) float32, the pen on the baseline.
        ems: (N,) float32, size of the type in pixels.
        angles: (N,) float32, degrees clockwise of the writing direction.
        colours: (N,) int32, 0xRRGGBB of the fill.
        styles: (N,) uint8, bit k for STYLES[k], by the names and flags of the fonts.
        fonts: (N,) int32, index into `font_names`; -1 for generated characters.
        objects: (N,) int32, index of the text object in drawing order; -1 for generated characters.
        modes: (N,) int32, text rendering mode, ISO 32000-1 table 106 (3: invisible).
        unmapped: (N,) uint8, 1 where the font gives the character no Unicode.
        hidden: (N,) uint8, index into `pdf_objects.HIDDEN`: why nobody sees the character; 0 where it shows.
        font_names: base names of the fonts.
        font_ids: name and size of each font's program; the same on all pages of a file.
    """

    text: str
    kinds: np.ndarray
    boxes: np.ndarray
    advances: np.ndarray
    origins: np.ndarray
    ems: np.ndarray
    angles: np.ndarray
    colours: np.ndarray
    styles: np.ndarray
    fonts: np.ndarray
    objects: np.ndarray
    modes: np.ndarray
    unmapped: np.ndarray
    hidden: np.ndarray
    font_names: tuple[str, ...] = ()
    font_ids: tuple[str, ...] = ()

    def select(self, keep: np.ndarray) -> TextLayer:
        """Return the layer with only the characters of a mask."""
        text = "".join(ch for ch, kept in zip(self.text, keep.tolist(), strict=True) if kept)
        return replace(self, text=text, **{name: getattr(self, name)[keep] for name, _, _ in ARRAYS})

    def resized(self, across: float, down: float) -> TextLayer:
        """Return the layer with all lengths multiplied, those across the page and those down."""
        sides = np.array([across, down, across, down], np.float32)
        boxes, advances, origins = self.boxes * sides, self.advances * sides, self.origins * sides[:2]
        return replace(self, boxes=boxes, advances=advances, origins=origins, ems=self.ems * sides[:2].mean())

    def pack(self) -> bytes:
        """Return the arrays and the text as bytes, for `unpack` in another process."""
        codes = np.array([ord(ch) for ch in self.text], np.int32)
        return codes.tobytes() + b"".join(np.ascontiguousarray(getattr(self, n)).tobytes() for n, _, _ in ARRAYS)

    @classmethod
    def unpack(cls, count: int, font_names: Sequence[str], data: bytes, font_ids: Sequence[str] = ()) -> TextLayer:
        """Return the layer of `count` characters that `pack` wrote."""
        at, arrays = 4 * count, {}
        for name, dtype, width in ARRAYS:
            values = np.frombuffer(data, dtype, count * width, at)
            arrays[name] = values.reshape(count, width) if width > 1 else values
            at += values.nbytes
        text = "".join(map(chr, np.frombuffer(data, np.int32, count).tolist()))
        return cls(text, font_names=tuple(font_names), font_ids=tuple(font_ids), **arrays)


ARRAYS: tuple[tuple[str, Any, int], ...] = (
    ("kinds", np.uint8, 1), ("boxes", np.float32, 4), ("advances", np.float32, 4), ("origins", np.float32, 2),
    ("ems", np.float32, 1), ("angles", np.float32, 1), ("colours", np.int32, 1), ("styles", np.uint8, 1),
    ("fonts", np.int32, 1), ("objects", np.int32, 1), ("modes", np.int32, 1), ("unmapped", np.uint8, 1),
    ("hidden", np.uint8, 1),
)  # fmt: skip
assert {name for name, _, _ in ARRAYS} == {f.name for f in fields(TextLayer)} - {"text", "font_names", "font_ids"}


def without_strays(text: str) -> str:
    """Return a text in which strange letters within Latin words are characters of private use.

    PDFium gives a glyph that a font's map forgot the number of the glyph. No word has Latin and, say, Arabic letters.
    """

    def private(word: re.Match[str]) -> str:
        strays = _STRAYS.findall(word[0])
        if 2 * len(strays) > len(word[0]) or not any("a" <= ch <= "z" or "A" <= ch <= "Z" for ch in word[0]):
            return word[0]
        return _STRAYS.sub(lambda found: chr(PRIVATE + ord(found[0]) % PRIVATE_CODES), word[0])

    return _WORDS.sub(private, text) if _STRAYS.search(text) else text


def mark_fixed_width(layer: TextLayer) -> TextLayer:
    """Return the layer with the style `mono` on fonts whose letters are equally wide, whatever the font's name is."""
    styles, mono = layer.styles.copy(), 1 << STYLES.index("mono")
    along = axes_of(layer.angles)
    sides = (layer.advances[:, 2:] - layer.advances[:, :2]) / np.maximum(layer.ems, 1e-6)[:, None]
    wide = np.where(along == 1, sides[:, 1], sides[:, 0])
    for font in range(len(layer.font_names)):
        own = np.flatnonzero((layer.fonts == font) & (layer.kinds == GLYPH) & (styles & mono == 0))
        widths = {layer.text[k]: float(wide[k]) for k in own.tolist() if _is_letter(layer.text[k])}
        usual = median(widths.values()) if widths else 0.0
        alike = {ch for ch, width in widths.items() if abs(width - usual) < _SAME_WIDTH * usual}
        if len(alike) >= max(_FIXED_LETTERS, _MOST_ALIKE * len(widths)) and alike & _NARROW and alike - _NARROW:
            styles[own] |= mono
    return replace(layer, styles=styles)


def _is_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


def join_accents(layer: TextLayer) -> TextLayer:
    """Join each accent that is a character of its own to the letter it stands over, as old fonts of TeX have them."""
    if ACCENTS.keys().isdisjoint(layer.text):
        return layer
    text, keep = list(layer.text), np.ones(len(layer.text), bool)
    boxes, advances = layer.boxes.copy(), layer.advances.copy()
    for k in [k for k, ch in enumerate(text) if ch in ACCENTS]:
        along = round(float(layer.angles[k]) / 90) % 2
        middle = (boxes[k, along] + boxes[k, along + 2]) / 2
        over = (boxes[:, along] <= middle) & (boxes[:, along + 2] >= middle)
        over &= np.abs(layer.origins[:, 1 - along] - layer.origins[k, 1 - along]) < ACCENT_EM * layer.ems[k]
        over &= keep & (layer.fonts == layer.fonts[k])  # accents of formulas are of another font than their letters
        for j in sorted(np.flatnonzero(over).tolist(), key=lambda j: abs(j - k)):  # PDFium moves some behind the word
            joined = unicodedata.normalize("NFC", _DOTTED.get(text[j], text[j]) + ACCENTS[text[k]])
            if j != k and len(joined) == 1:
                text[j], keep[k] = joined, False
                boxes[j] = union([boxes[j].tolist(), boxes[k].tolist()])
                if advances[k, 2] == advances[j, 0]:  # of equal boxes, which were shared out as those of a ligature
                    advances[j, 0] = advances[k, 0]
                keep[min(j, k) + 1 : max(j, k)] &= layer.kinds[min(j, k) + 1 : max(j, k)] != GENERATED
                break
    return replace(layer, text="".join(text), boxes=boxes, advances=advances).select(keep)


def join_brackets(layer: TextLayer) -> TextLayer:
    """Join the pieces of which TeX and others build large brackets: ⎧, ⎨ and ⎩ are one {.

    The bracket stands at the place of its middle piece. Pieces are one bracket that stand one below the other.
    """
    kinds = {k: BRACKETS[ch] for k, ch in enumerate(layer.text) if ch in BRACKETS}
    if not kinds:
        return layer
    text, keep, boxes = list(layer.text), np.ones(len(layer.text), bool), layer.boxes.copy()
    waiting = sorted(kinds, key=lambda k: (float(layer.boxes[k, 1]), float(layer.boxes[k, 0])))
    while waiting:
        group = [waiting.pop(0)]
        for k in list(waiting):
            above, one = layer.boxes[group[-1]], layer.boxes[k]
            level = min(above[2], one[2]) - max(above[0], one[0]) > 0.3 * min(above[2] - above[0], one[2] - one[0])
            if level and one[1] - above[3] < BRACKET_GAP * layer.ems[k]:
                group.append(k)
                waiting.remove(k)
        bracket = next((kinds[k] for k in group if kinds[k].strip()), "{")
        main = group[len(group) // 2]
        text[main], boxes[main] = bracket, union(layer.boxes[group])
        keep[[k for k in group if k != main]] = False
    return replace(layer, text="".join(text), boxes=boxes).select(keep)


def true_sizes(layer: TextLayer) -> np.ndarray:
    """Return the sizes of the type, by the height of the letters where a font's own units mislead (Type 3)."""
    sizes = layer.ems.copy()
    low = np.array([ch in _LOW for ch in layer.text], bool)
    spelt = np.array([ch.isalnum() for ch in layer.text], bool)
    heights = layer.boxes[:, 3] - layer.boxes[:, 1]
    for size in unique_values(layer.ems):
        own = layer.ems == size
        same = own & (heights > 0)
        if (same & spelt).any():
            same &= spelt  # dots of a table of contents outnumber its digits
        if not same.any() or _PLAIN[0] < float(np.median(heights[same])) / max(size, 1e-6) < _PLAIN[1]:
            continue  # whatever the letters claim to be
        letters = heights[same & low]
        if not spelt[same].any() and _SIGN[0] < float(np.median(heights[same])) / max(size, 1e-6) < _SIGN[1]:
            continue  # bullets and dashes are low in any type
        if not len(letters):
            letters = heights[same] * 0.6  # capitals, digits, Chinese
        usual = float(np.median(letters))
        if 0.3 < usual / max(size, 1e-6) < 0.65:
            continue
        for font in unique_values(layer.fonts[own]):
            in_font = own & (layer.fonts == font)
            letters = heights[in_font & low]
            sizes[in_font] = (float(np.median(letters)) if len(letters) else usual) / 0.45
    return sizes


def axes_of(angles: np.ndarray) -> np.ndarray:
    """Return the axis along which type of these angles, in degrees, runs: 0 across the page, 1 up or down."""
    axes: np.ndarray = np.round(angles / 90).astype(int) % 2
    return axes


def are_drawn(text: TextLayer) -> np.ndarray:
    """Return (N,) bool, which characters of a layer draw anything."""
    return (text.boxes[:, 2:] - text.boxes[:, :2] > BARE_EM * text.ems[:, None]).all(1)


def in_ligatures(text: TextLayer, drawn: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return which characters share a glyph with a neighbour: the one that draws it, and those that draw nothing.

    Type for programs draws `!=` as one sign, in the place of its last character. PDFium gives each character the box of
    what it draws.

    Args:
        text: The layer.
        drawn: (N,) of its characters, see `are_drawn`.
        places: (M,) indices of the characters to look at, in the order of the layer.

    Returns:
        (M,) bool.
    """
    found, shown = np.zeros(len(places), bool), drawn[places]
    if shown.all():
        return found
    rows, along = np.arange(len(places)), axes_of(text.angles[places])
    boxes, cells, fonts = text.boxes[places], text.advances[places], text.fonts[places]
    (left, right), (start, end) = ((sides[rows, along], sides[rows, along + 2]) for sides in (boxes, cells))
    baselines = text.origins[places][rows, 1 - along]
    for step in (step for far in range(1, LONGEST) for step in (far, -far)):
        other = np.clip(rows + step, 0, len(rows) - 1)
        common = np.minimum(right[other], end) - np.maximum(left[other], start)
        shared = (common > COVERED * (end - start)) & shown[other] & ~shown
        shared &= (fonts == fonts[other]) & (baselines == baselines[other])
        found |= shared
        found[other[shared]] = True
    return found


def are_parts_of_a_sign(text: TextLayer, places: np.ndarray) -> np.ndarray:
    """Return which characters are drawn by one glyph and are not all letters, as `Nr.` may be drawn as №.

    Their boxes are equal parts of that of the glyph. Arguments and result are those of `in_ligatures`.
    """
    boxes, fonts, found = text.boxes[places], text.fonts[places], np.zeros(len(places), bool)
    joined = (boxes[1:, 0] == boxes[:-1, 2]) & (boxes[1:, [1, 3]] == boxes[:-1, [1, 3]]).all(1)
    joined &= (fonts[1:] == fonts[:-1]) & (np.diff(places) == 1)
    for first, end in pairwise(np.flatnonzero(np.r_[True, ~joined, True]).tolist()):
        if end - first > 1:
            found[first:end] = not all(text.text[k].isalpha() for k in places[first:end].tolist())
    return found
