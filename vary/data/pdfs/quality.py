"""Decide whether the text layer of a PDF page can be used for training: a reason in words, or None.

Checks: no text where there is ink, characters without Unicode, private-use and control characters, boxes without ink
(hidden text, a shifted layer), overlapping glyphs, letter frequencies of no language. Thresholds were set by looking at
pages of the packages listed in docs/data.md.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

import numpy as np

from ...io.pdf_layer import GENERATED, GLYPH, TextLayer

CONTRAST = 16  # grey levels between neighbours that make an edge: ink, grey or white on colour as well
_SHARE = {"unmapped": 0.005, "private": 0.005, "control": 0.005, "hollow": 0.05, "stacked": 0.03, "turned": 0.05}
_CELL = 16  # pixels, for the comparison of ink and text
MOST_BARE = 0.6  # share of inked cells without text: more is a scan or a picture
_LETTERS = "etaoinsrhldcumfpgwybvkxjqz"  # by frequency in English; French, German, Spanish are much alike
_FREQUENT = (
    12.7,
    9.1,
    8.2,
    7.5,
    7.0,
    6.7,
    6.3,
    6.0,
    6.1,
    4.0,
    4.3,
    2.8,
    2.8,
    2.4,
    2.2,
    1.9,
    2.0,
    2.4,
    2.0,
    1.5,
    1.0,
    0.8,
)
_LEAST_LIKE, _LEAST_LETTERS = 0.7, 250  # cosine with the frequencies above; tables and lists of names stay below 250
_COMMON_HAN = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如"
    "都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实這個們來為國說時會對於過發後裡種經麼學現當沒動還進樣開從實"
)  # fmt: skip
_LEAST_HAN, _LEAST_COMMON = 150, 0.06


def distrust(layer: TextLayer, image: np.ndarray, facts: dict[str, int], max_math: float, least: int) -> str | None:
    """Why the page must not be used. facts: `unmapped` and `turned` characters, `rotation` of the page in degrees."""
    glyphs = np.flatnonzero(layer.kinds == GLYPH)
    signs = [layer.text[k] for k in glyphs if not layer.text[k].isspace()]
    edges = _edges(image)
    if facts["rotation"]:
        return "the page is turned"
    if len(signs) < least:
        return "blank" if not signs and not edges.any() else "no text" if not signs else f"under {least} characters"
    count = len(signs)
    kinds = Counter(unicodedata.category(ch) for ch in signs)
    lost = max(facts["unmapped"], sum(ch in "\ufffd\x00\uffff" for ch in signs)) + kinds["Cn"] + kinds["Cs"]
    if lost > _SHARE["unmapped"] * count:
        return "characters without Unicode"
    if kinds["Co"] > _SHARE["private"] * count:
        return "private-use characters"
    if kinds["Cc"] > _SHARE["control"] * count:
        return "control characters"
    if facts["turned"] > _SHARE["turned"] * count:
        return "turned text"
    return _against_ink(layer, glyphs, edges) or _meaning(signs, max_math)


def _edges(image: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: pixels that differ from the pixel to the right or below."""
    grey = np.pad(image.astype(np.int16), ((0, 1), (0, 1)), mode="edge")
    right, below = np.abs(np.diff(grey, axis=1))[:-1], np.abs(np.diff(grey, axis=0))[:, :-1]
    return np.maximum(right, below) > CONTRAST


def _against_ink(layer: TextLayer, glyphs: np.ndarray, edges: np.ndarray) -> str | None:
    """Check for boxes without ink, ink without boxes, and overlapping boxes."""
    chosen = [k for k in glyphs if layer.text[k].isalnum()]
    boxes = layer.boxes[chosen]
    height, width = edges.shape
    x0, y0 = np.floor(boxes[:, :2]).T.clip(0)
    x1, y1 = np.ceil(boxes[:, 2:]).T
    outside = (x0 >= width) | (y0 >= height) | (x1 <= 0) | (y1 <= 0)
    total = np.pad(edges.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))
    left, top, right, bottom = (
        np.clip(v, 0, limit).astype(int) for v, limit in ((x0, width), (y0, height), (x1, width), (y1, height))
    )
    ink = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    if len(boxes) and ((ink == 0) | outside).mean() > _SHARE["hollow"]:
        return "characters without ink"
    a, b = boxes[:-1], boxes[1:]
    wide = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    high = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    narrower = np.minimum(a[:, 2] - a[:, 0], b[:, 2] - b[:, 0])
    if len(boxes) > 1 and ((wide > 0.6 * narrower) & (high > 1) & (narrower > 1)).mean() > _SHARE["stacked"]:
        return "characters over each other"
    rows, columns = -(-height // _CELL), -(-width // _CELL)
    inked = np.pad(edges, ((0, rows * _CELL - height), (0, columns * _CELL - width)))
    cells = np.asarray(inked.reshape(rows, _CELL, columns, _CELL).any((1, 3)))
    texted = np.zeros_like(cells)
    every = layer.boxes[layer.kinds != GENERATED].clip(0)
    for fx0, fy0, fx1, fy1 in (every // _CELL).astype(int).tolist():
        texted[fy0 : fy1 + 1, fx0 : fx1 + 1] = True
    bare = (cells & ~texted).sum() / max(1, cells.sum())
    return "mostly ink without text" if bare > MOST_BARE else None


def _meaning(signs: list[str], max_math: float) -> str | None:
    """Check letter frequencies, and for formulas."""
    math = sum(
        (unicodedata.category(ch) == "Sm" and ch not in "+<>|~=") or (ch >= "\U0001d400" and ch <= "\U0001d7ff")
        for ch in signs
    )
    greek = sum("\u0370" <= ch <= "\u03ff" for ch in signs)
    if math + (greek if greek < 0.3 * len(signs) else 0) > max_math * len(signs):
        return "formulas"
    letters = Counter(ch.lower() for ch in signs if ch.isascii() and ch.isalpha())
    others = sum(ch.isalpha() and not ch.isascii() for ch in signs)  # Vietnamese, Greek, Chinese: not to be judged so
    if sum(letters.values()) >= max(_LEAST_LETTERS, 5 * others):
        usual = np.array([*_FREQUENT, 0.15, 0.1, 0.1, 0.1])
        here = np.array([letters[ch] for ch in _LETTERS], float)
        if here @ usual / np.linalg.norm(here) / np.linalg.norm(usual) < _LEAST_LIKE:
            return "letters as in no language"
    han = [ch for ch in signs if "\u4e00" <= ch <= "\u9fff"]
    kana = sum("\u3040" <= ch <= "\u30ff" for ch in signs)
    usual_han = sum(ch in _COMMON_HAN for ch in han) >= _LEAST_COMMON * len(han)
    return None if usual_han or kana or len(han) < _LEAST_HAN else "Chinese characters as in no text"
