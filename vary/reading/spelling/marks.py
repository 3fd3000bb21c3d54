"""Find letters whose mark was not read, such as the dot of a ż: the head's alphabet may lack them.

The head writes the nearest letter that it knows, with confidence. The ink shows the loss: a small part above a letter
that is printed without one. Marks that touch their letter, such as the stroke of ł, are not found.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

from ...document.findings import UnreadMark
from ...document.lines import TextLine
from ...io.box import scale_box, union
from .letter_case import IntBox, find_letters

PLAIN = frozenset(string.ascii_letters) - frozenset("ij")  # letters without a part above
MARK_EM = (0.07, 0.05), (0.4, 0.3)  # least and largest width and height of a mark
BODY, NARROW = 1.8, 0.75  # least height of a letter and largest width of its mark, as shares of the other one's
LEAST_EM = 0.35  # height of a letter
CENTRE = 0.3  # of a letter's width, from its middle to that of its mark
CERTAIN = 0.9  # least confidence of all characters of a line that is not searched
FEWEST, SHARE = 3, 0.01  # words of a page with such marks, and their share of all; fewer may be specks


def find_unread_marks(lines: Sequence[TextLine], pixels: np.ndarray, scale: float = 1.0) -> list[UnreadMark]:
    """Return the words of a page with marks that were not read; none when they are few.

    Args:
        lines: dark text on light paper.
        pixels: (H, W) uint8, the page.
        scale: of the page; the boxes are returned in pixels of the page at scale 1.
    """
    found, words = [], 0
    for line in lines:
        words += len(line.text.split())
        if float(line.confidence.min()) > CERTAIN:
            continue
        _, letters = find_letters(line, pixels)
        marked = {k for k, parts in letters.items() if line.text[k] in PLAIN and _has_mark(parts, line.em_px)}
        for start, end in {_word_around(line.text, k) for k in marked}:
            found.append(UnreadMark(line.text[start:end], scale_box(union(line.boxes[start:end].tolist()), 1 / scale)))
    return sorted(found, key=lambda one: one.box[1::-1]) if len(found) >= max(FEWEST, SHARE * words) else []


def _has_mark(parts: Sequence[IntBox], em: float) -> bool:
    """Return whether the uppermost part of a letter is small, in the middle, and apart from all others."""
    (x0, y0, x1, y1), *others = sorted(parts, key=lambda part: part[1])
    if not others:
        return False
    left, top, right, bottom = union(others)
    (least_wide, least_high), (wide, high) = MARK_EM
    size = least_wide * em <= x1 - x0 <= wide * em and least_high * em <= y1 - y0 <= high * em
    middle = abs((x0 + x1) / 2 - (left + right) / 2) <= CENTRE * (right - left)
    body = bottom - top >= max(BODY * (y1 - y0), LEAST_EM * em) and x1 - x0 <= NARROW * (right - left)
    return size and middle and body and y1 < top  # corners that touch are one shape


def _word_around(text: str, k: int) -> tuple[int, int]:
    """Return start and end of the word that holds character k."""
    end = text.find(" ", k)
    return text.rfind(" ", 0, k) + 1, end if end >= 0 else len(text)
