"""Choose between letters that have one shape in both cases, such as c and C, by the height of their ink.

The network often does not know which case it sees. Other characters of the line show the height of small letters and
that of capitals. Only letters whose other case is likely, too, are measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ...document.layout.bitmap import find_components
from ...document.lines import TextLine
from ...io.box import union
from .lookalikes import ONE_SHAPE, RIVALS

IntBox = tuple[int, int, int, int]
_PAIRS = {small: capital for small, capital in ONE_SHAPE.items() if small not in "дйцщ"}  # their feet or marks count
OTHER_CASE = _PAIRS | {capital: small for small, capital in _PAIRS.items()}
LATIN = frozenset("cosuvwxzCOSUVWXZ")  # letters of OTHER_CASE that are in Latin words
CYRILLIC = re.compile(r"[Ѐ-ӿ]")
SMALL, TALL = frozenset("aemnr"), frozenset("ABDEFGHIJKLMNRTbdhkl0123456789б")  # characters that show the two heights
RIVAL = 0.01  # least probability of the other case, as a share of the letter's own
STEP = 1.2  # least height of the tall characters, as a multiple of the small ones; small capitals have less
CLEAR = 0.4  # of the step: a letter within this share of one height has its case
OF_SMALL, OF_TALL = (1.1, 1.18), (0.8, 0.88)  # heights of a small letter at most and of a capital at least
INK = 0.3  # of the darkest ink: a pixel of a letter
SAME = 0.4  # of the narrower part's width that two parts of a letter share
MARGIN_EM = 0.3, 0.15  # around a line, across and down
REACH_EM = 0.1  # from the side of a letter's ink to its middle
HEIGHT_EM = 0.3, 1.0  # of a letter
FEWEST = 8  # letters of a line that is set in capitals
CAPITALS = 0.7, 0.5  # their share in such a line at least; more than their share in a word that is set so, too
WORD = re.compile(r"[^\W\d_]+")
CELL, NEAREST = 2, 8  # characters of a cell; lines that it is compared with
ALIKE_EM, FAR = 0.15, 4.0  # share by which sizes differ; how much more lines count off the cell's row and column


def odds_of_other_case(rivals_NK: np.ndarray, text: str) -> np.ndarray:
    """Return (N,), the probability of each letter of OTHER_CASE in its other case; 0 for other characters.

    Only LATIN letters count in a line without Cyrillic ones.

    Args:
        rivals_NK: as `TextLine.rivals`.
        text: the N characters.
    """
    alike = OTHER_CASE if CYRILLIC.search(text) else LATIN
    odds = [rivals_NK[k, RIVALS.index(OTHER_CASE[ch])] if ch in alike else 0.0 for k, ch in enumerate(text)]
    return np.array(odds, np.float32)


def correct_case(lines: Sequence[TextLine], pixels: np.ndarray) -> list[TextLine]:
    """Return the lines with the case of uncertain letters by their height.

    In 70 fonts that set no threshold here, at 14 to 20 px, 776 letters had the wrong case: 556 are mended, 14 new.
    A cell of one or two characters is compared with the lines nearest to it, of the same type.

    Args:
        lines: dark text on light paper.
        pixels: (H, W) uint8, the page.
    """
    heights: dict[int, dict[int, float]] = {}  # of the characters of a line

    def heights_of(k: int) -> dict[int, float]:
        if k not in heights:
            heights[k] = _heights(lines[k], pixels)
        return heights[k]

    return [_correct(lines, k, heights_of) for k in range(len(lines))]


def _correct(lines: Sequence[TextLine], place: int, heights_of: Callable[[int], dict[int, float]]) -> TextLine:
    line = lines[place]
    if line.rivals is None or line.writer != "head":
        return line
    other_case = odds_of_other_case(line.rivals, line.text)
    uncertain = np.flatnonzero(other_case > RIVAL * line.confidence).tolist()
    if not uncertain:
        return line
    near = [place, *(_nearest(lines, line) if len(line.text) <= CELL else ())]
    small, tall = (
        _median([h for n in near for k, h in heights_of(n).items() if lines[n].text[k] in known])
        for known in (SMALL, TALL)
    )
    heights, text, confidence = heights_of(place), list(line.text), line.confidence.copy()
    for k in uncertain:
        capital = _is_capital(heights[k], small, tall) if k in heights else None
        if capital is not None and capital != text[k].isupper():
            text[k] = OTHER_CASE[text[k]]
            confidence[k] = min(1.0, confidence[k] + other_case[k])  # the letter, in either case
    return replace(line, text="".join(text), confidence=confidence)


def _nearest(lines: Sequence[TextLine], line: TextLine) -> list[int]:
    """Return the places of the lines nearest to one, in type of about its size."""
    boxes = np.array([other.box for other in lines])
    x0, y0, x1, y1 = line.box
    across, down = np.abs(boxes[:, [0, 2]] - (x0, x1)).min(1), np.abs(boxes[:, [1, 3]] - (y0, y1)).min(1)
    alike = np.array([abs(other.em_px - line.em_px) < ALIKE_EM * line.em_px and other is not line for other in lines])
    order = np.argsort(np.where(alike, np.minimum(across, down) * FAR + across + down, np.inf), kind="stable")
    return [int(k) for k in order[:NEAREST] if alike[k]]


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else 0.0


def _is_capital(height: float, small: float, tall: float) -> bool | None:
    """Return whether a letter is a capital; None where its height does not show it. A height of 0 is not known."""
    if small and tall:
        share = (height - small) / (tall - small) if tall > STEP * small else 0.5
        low, high = CLEAR, 1 - CLEAR
    elif small or tall:
        share = height / (small or tall)
        low, high = OF_SMALL if small else OF_TALL
    else:
        return None
    return True if share > high else False if share < low else None


def _heights(line: TextLine, pixels: np.ndarray) -> dict[int, float]:
    """Return the height in px of the characters whose ink is apart from that of their neighbours."""
    low, high = (edge * line.em_px for edge in HEIGHT_EM)
    dark, parts_of = find_letters(line, pixels)
    found = {}
    for k, parts in parts_of.items():
        a0, b0, a1, b1 = (int(side) for side in union(parts))
        if low < b1 - b0 < high:
            rows = dark[b0:b1, a0:a1].max(1)
            found[k] = b1 - b0 - 2 + float(rows[0] + rows[-1]) / float(rows.max())  # blurred edges count less
    return found


def find_letters(line: TextLine, pixels: np.ndarray) -> tuple[np.ndarray, dict[int, list[IntBox]]]:
    """Return the ink around a line, 0 to 1, and the boxes of the parts in it of each character that is apart."""
    x0, y0, x1, y1 = line.box
    across, down = (margin * line.em_px for margin in MARGIN_EM)
    left, top = max(0, int(x0 - across)), max(0, int(y0 - down))
    part = pixels[top : int(y1 + down), left : int(x1 + across)].astype(np.float32)
    if not part.size:
        return part, {}
    dark = np.median(part) - part
    dark /= max(1.0, float(dark.max()))
    middles = (line.boxes[:, 0] + line.boxes[:, 2]) / 2 - left
    inked = [k for k, ch in enumerate(line.text) if ch != " "]
    boxes = [
        box for box in find_components(dark > INK) if box[1] > 0 and box[3] < len(dark)
    ]  # the rest is other lines'
    found, reach = {}, REACH_EM * line.em_px
    for parts in _group_parts(boxes):
        a0, _, a1, _ = union(parts)
        inside = [k for k in inked if a0 - reach <= middles[k] <= a1 + reach]
        if len(inside) == 1:
            found[inside[0]] = parts
    return dark, found


def _group_parts(boxes: list[IntBox]) -> list[list[IntBox]]:
    """Group boxes above one another, such as the parts of a thin letter, and return the groups from left to right."""
    groups: list[list[IntBox]] = []
    for x0, y0, x1, y1 in sorted(boxes):
        a0, _, a1, _ = union(groups[-1]) if groups else (0, 0, 0, 0)
        if groups and min(a1, x1) - max(a0, x0) > SAME * min(a1 - a0, x1 - x0):
            groups[-1].append((x0, y0, x1, y1))
        else:
            groups.append([(x0, y0, x1, y1)])
    return groups


def spell_capitals(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines with small letters in words of capitals as capitals, in lines that are set in capitals.

    Letters with marks and those of one shape in both cases are read as small there: `KAPITOLA 6. POUžíVáME`.
    """
    return [_with_capitals(line) for line in lines]


def _with_capitals(line: TextLine) -> TextLine:
    letters = [ch for ch in line.text if ch.isalpha()]
    if len(letters) < FEWEST or sum(map(str.isupper, letters)) < CAPITALS[0] * len(letters):
        return line

    def spell(found: re.Match[str]) -> str:
        word = found.group()
        is_set = sum(map(str.isupper, word)) > CAPITALS[1] * len(word)
        return "".join(ch.upper() if len(ch.upper()) == 1 else ch for ch in word) if is_set else word  # ß has two

    return replace(line, text=WORD.sub(spell, line.text))
