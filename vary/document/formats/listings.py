"""The text of a listing: each word in the column in which it is printed, with its blanks and empty lines.

Frame: pixels of the page image, on which the listing may lean or be turned.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

from ...io.box import Box, union
from ..elements import Line

NARROW = 0.2  # least step between characters of a listing, in heights of its lines
ONE_BLANK = 0.3  # by which the step over one blank differs from two of a listing's
MAX_EMPTY = 2  # empty lines in a row, in a listing
MIN_NUMBERED = 3  # lines of a listing that show their numbers


def code_text(lines: list[Line], angle: float = 0.0) -> str:
    """Return a listing with its blanks and empty lines: each word in the column in which it is printed.

    The numbers of its lines, in other type than the listing, are no part of it.

    Args:
        lines: of the listing, from the first to the last.
        angle: of their direction, degrees clockwise.
    """
    lines = [_levelled(line, angle) for line in lines] if angle else lines
    numbered = _are_numbered(lines)
    middles = [(line.box[1] + line.box[3]) / 2 for line in lines]
    steps = [b - a for a, b in pairwise(middles)] or [1.0]
    words = [(line, k, len(word)) for line in lines for k, word in _words(line)[numbered:]]
    spans = [(_centre(line, k + long - 1) - _centre(line, k), long - 1) for line, k, long in words if long > 1]
    pitch = sum(width for width, _ in spans) / max(1, sum(count for _, count in spans))
    step = max(1.0, sorted(steps)[(len(steps) - 1) // 2])
    left = min((_centre(line, k) for line, k, _ in words), default=0.0)
    texts: list[str] = []
    for line, above in zip(lines, [step, *steps], strict=False):
        texts += [""] * min(MAX_EMPTY, round(above / step) - 1)
        text, end = "", -math.inf
        for k, word in _words(line)[numbered:]:
            column = round((_centre(line, k) - left) / pitch) if pitch > NARROW * line.height else 0
            near = abs(_centre(line, k) - end - 2 * pitch) < ONE_BLANK * pitch
            text += " " * (1 if near else max(column - len(text), bool(text))) + word
            end = _centre(line, k + len(word) - 1)
        texts.append(text or ("" if numbered else line.text))
    return "\n".join(texts)


def _are_numbered(lines: list[Line]) -> bool:
    """Return whether lines begin with numbers, one more each, that are not in fixed-width type."""
    numbers = [next((word for _, word in _words(line)), "") for line in lines]
    if len(lines) < MIN_NUMBERED or not all(word.isdecimal() for word in numbers):
        return False
    typed = [start for line in lines for start, _, style in line.styles if style == "mono" and not start]
    return not typed and all(int(b) == int(a) + 1 for a, b in pairwise(numbers))


def _centre(line: Line, k: int) -> float:
    x0, _, x1, _ = line.characters[k]
    return (x0 + x1) / 2


def _words(line: Line) -> list[tuple[int, str]]:
    """Return the words of a line with their places in it; none where its characters have no boxes."""
    return [(found.start(), found[0]) for found in re.finditer(r"\S+", line.text if line.characters else "")]


def _levelled(line: Line, angle: float) -> Line:
    """Return a line with the boxes of its characters where they are once the page is turned back by an angle."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def level(box: Box) -> Box:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        x, y = x * cos + y * sin, y * cos - x * sin
        wide, high = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
        wide, high = (wide, high) if abs(cos) > abs(sin) else (high, wide)
        return x - wide, y - high, x + wide, y + high

    boxes = [level(box) for box in line.characters]
    return replace(line, characters=boxes, box=union(boxes) if boxes else level(line.box))
