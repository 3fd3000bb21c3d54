"""Spell the logos of TeX and LaTeX, whose A is small and raised, and whose E stands below the line.

The network reads their letters as neighbours in a word: `LTEX`, `IATEX` and `ETEX` are LATEX, and beside Cyrillic words
TEX looks like one. An E below the line shows in the pixels, and no other word has one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...document.alphabets import FOLDED
from ...document.lines import TextLine

LATIN = str.maketrans(FOLDED)
TEX = re.compile("TEX")
LA = frozenset("LIEBXAFRЖ")  # what L and the raised A are read as
REACH_EM = 0.98  # from the middle of T back to that of L, at most
LOW_EM = 0.1  # by which the E is lower than T and X, at least
STEM_EM, BELOW_EM = 0.1, 0.1  # half the width of the strip with the stem of T; below a line, where its ink is sought
WIDE_EM, INK_EM, FULL = 0.65, (0.95, 0.4), 0.7  # width of LA; where its ink is, back from the middle of T; its share
FREE_EM = 1.25  # from the middle of T back to that of the letter before L, at least
INK, PAPER = 0.4, 0.75  # of the darkest ink; of the lightest paper, below which a pixel is some


def spell_logos(lines: Sequence[TextLine], pixels: np.ndarray) -> list[TextLine]:
    """Return the lines with the logos of TeX and LaTeX in Latin letters.

    Args:
        lines: dark text on light paper.
        pixels: (H, W) uint8, the page.
    """
    return [_spell(line, pixels) for line in lines]


def _spell(line: TextLine, pixels: np.ndarray) -> TextLine:
    places = [found.start() for found in TEX.finditer(line.text.translate(LATIN))] if line.writer == "head" else []
    for at in reversed(places):
        if not _has_low_e(line, at, pixels):
            continue
        first, end = _start_of_la(line, at), at + 3
        if first < at or _has_unread_la(line, at, pixels):
            line, end = _with_la(line, first, at), first + 5
        text = line.text.translate(LATIN)
        word = re.search(r"[^\W\d_]+$", text[:end])
        start = word.start() if word and word[0].isascii() else end - 3
        line = replace(line, text=line.text[:start] + text[start:end] + line.text[end:])
    return line


def _with_la(line: TextLine, first: int, at: int) -> TextLine:
    """Return a line with LA in place of the characters from `first` to the T at `at`."""
    left, top, right, bottom = line.boxes[at].tolist()
    if first < at:
        left, right = float(line.boxes[first, 0]), left
    else:
        left, right = left - WIDE_EM * line.em_px, left
    middle = (left + right) / 2
    values = {"confidence": np.full(2, line.confidence[first : at + 1].min())}
    if line.styles is not None:
        values["styles"] = np.repeat(line.styles[at : at + 1], 2, 0)
    return line.put(first, at, "LA", [(left, top, middle, bottom), (middle, top, right, bottom)], **values)


def _has_low_e(line: TextLine, at: int, pixels: np.ndarray) -> bool:
    """Return whether the E of the letters TEX from `at` on is lower than the others."""
    em, (t, e, x) = line.em_px, line.boxes[at : at + 3]
    stem = (t[0] + t[2]) / 2
    top, bottom = max(0, int(line.boxes[at, 1])), int(line.boxes[at, 3] + BELOW_EM * em)
    part = pixels[top:bottom, max(0, int(t[0])) : int(x[2]) + 1].astype(np.float32)
    if not part.size:
        return False
    dark = float(np.median(part)) - part
    inked = dark > INK * max(1.0, float(dark.max()))

    def lowest(left: float, right: float) -> int:
        rows = np.flatnonzero(inked[:, max(0, int(left - t[0])) : max(1, int(right - t[0]))].any(1))
        return int(rows[-1]) if len(rows) else -1

    ends = lowest(stem - STEM_EM * em, stem + STEM_EM * em), lowest(*e[[0, 2]]), lowest((x[0] + x[2]) / 2, x[2])
    return min(ends) >= 0 and ends[1] - max(ends[0], ends[2]) >= LOW_EM * em


def _has_unread_la(line: TextLine, at: int, pixels: np.ndarray) -> bool:
    """Return whether ink before TEX, and after what was read last, is as wide as L and A are."""
    middles, em = (line.boxes[:, 0] + line.boxes[:, 2]) / 2, line.em_px
    before = next((float(middles[k]) for k in range(at - 1, -1, -1) if line.text[k] != " "), -np.inf)
    if float(middles[at]) - before < FREE_EM * em:
        return False
    left, right = (max(0, int(middles[at] - back * em)) for back in INK_EM)
    part = pixels[max(0, int(line.boxes[at, 1])) : int(line.boxes[at, 3]), left:right]
    return part.size > 0 and float((part.min(0) < PAPER * float(part.max())).mean()) > FULL


def _start_of_la(line: TextLine, at: int) -> int:
    """Return the place from which the letters before TEX are what L and a raised A are read as; `at` if none are."""
    text, middles = line.text.translate(LATIN), (line.boxes[:, 0] + line.boxes[:, 2]) / 2
    back, first = (middles[at] - middles) / line.em_px, at
    while first > 0 and text[first - 1] in LA and back[first - 1] <= REACH_EM:
        first -= 1
    return at if first > 0 and text[first - 1] in LA else first
