"""Parse and write bounding boxes in model answers, in the notations of several models."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..io.box import Box

# --- boxes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A labelled box in an image. box: x0, y0, x1, y1 in pixels, origin top-left. label: "" if it has none."""

    label: str
    box: Box


@dataclass(frozen=True)
class Boxes:
    """The boxes of a detection answer, in order, and the parts of the answer that are no box, as written."""

    found: list[Found]
    rejected: list[str]


_ASCII = str.maketrans("：；，、。［］【】（）０１２３４５６７８９　\xa0", ":;,,.[][]()0123456789  ")


_POINTS = r"\(\s*\d+\s*,\s*\d+\s*\)\s*,\s*\(\s*\d+\s*,\s*\d+\s*\)"


_GROUP = re.compile(
    r"\[\s*(?:[-+.\d(][^\[\];]*)?\]"  # [x0, y0, x1, y1] of any content that begins like a number
    r"|\[\s*[-+.\d][-+.,\s\d]*|\[\s*\Z"  # the same, cut off
    rf"|<(?:box|quad)>[^<]*(?:</(?:box|quad)>)?|{_POINTS}",  # Qwen-VL, with its marks or after they were stripped
    re.ASCII,
)


_FOUR = re.compile(r"\(? ?(\d+) ?, ?(\d+) ?\)? ?, ?\(? ?(\d+) ?, ?(\d+) ?\)?", re.ASCII)


_BREAK = re.compile(r"[;\n]|<ref>")


def parse_boxes(text: str, size: tuple[int, int]) -> Boxes:
    """Parse the boxes of a detection answer; coordinates in thousandths become pixels.

    Accepted are `label: [x0, y0, x1, y1], [...]; label: ...`, bare boxes, and Qwen-VL's `<ref>` and `<box>`. Leading
    zeros, spaces, line breaks, full stops and full-width punctuation do not matter. A box without a label takes the
    label before it. Rejected are boxes that are cut off, do not have four whole numbers up to 1000, or end before they
    begin, and all text that is no label.

    Args:
        text: the answer.
        size: width and height of the image, pixels.

    Raises:
        InputError: the size is not positive.
    """
    _check_size(size)
    plain = text.translate(_ASCII)  # character for character, so that places in it are places in the text
    boxes, label, end = Boxes([], []), "", 0
    for group in _GROUP.finditer(plain):
        *stray, name = _pieces(text, plain, end, group.start())
        boxes.rejected.extend(filter(None, stray))
        label, end = name or label, group.end()
        box = _corners(group.group(), size)
        if box:
            boxes.found.append(Found(label, box))
        else:
            written = text[group.start() : end].strip()
            boxes.rejected.append(f"{label}: {written}" if label else written)
    boxes.rejected.extend(filter(None, _pieces(text, plain, end, len(text))))
    return boxes


def _pieces(text: str, plain: str, start: int, end: int) -> Iterator[str]:
    """Yield the parts of the text between two boxes without outer punctuation; the last is the label, "" if none."""
    end = start + len(plain[start:end].rstrip())  # a line break after the colon does not end the label
    cuts = [(start, start), *(m.span() for m in _BREAK.finditer(plain, start, end)), (end, end)]
    for (_, left), (right, _) in pairwise(cuts):
        kept = plain[left:right].lstrip(" \t\r\n,.]")
        left = right - len(kept)
        kept = kept.rstrip(" \t\r\n:[").removesuffix("</ref>").rstrip(" \t\r\n:[")
        yield text[left : left + len(kept)]


def _corners(group: str, size: tuple[int, int]) -> Box | None:
    """Return a box in pixels, or None if it is incomplete or its corners are not in order."""
    if not group.endswith(("]", ")", "</box>")):
        return None
    four = _FOUR.fullmatch(" ".join(re.sub(r"</?box>|[\[\]]", "", group).split()))
    if not four or any(len(digits) > 4 for digits in four.groups()):
        return None
    x0, y0, x1, y1 = (int(digits) for digits in four.groups())
    if not (x0 <= x1 <= 1000 and y0 <= y1 <= 1000):
        return None
    width, height = size
    return x0 * width / 1000, y0 * height / 1000, x1 * width / 1000, y1 * height / 1000


def format_boxes(found: list[Found], size: tuple[int, int]) -> str:
    """Write boxes as an answer: `Person: [535, 544, 568, 591]; Car: [009, 552, 058, 737], [682, 598, 999, 976].`

    Boxes with the same label are joined, labels are in the order of their first box. Coordinates are thousandths with
    three digits. Boxes without a label are written bare, `[035, 024, 847, 901]`.

    Args:
        found: the boxes, pixels.
        size: width and height of the image, pixels.

    Raises:
        InputError: a box is outside the image, or a label would not be parsed back to itself.
    """
    _check_size(size)
    labels: dict[str, list[str]] = {}
    for thing in found:
        labels.setdefault(thing.label, []).append(_thousandths(thing, size))
    if "" in labels and len(labels) > 1:
        raise ValueError(f"a box without a label cannot stand beside {max(labels)!r}: it would take that label")
    for label in filter(None, labels):
        if list(_pieces(label, label.translate(_ASCII), 0, len(label))) != [label] or _GROUP.search(label):
            raise ValueError(f"the label {label!r} would not be read back: punctuation at its ends, ';', line or box")
    parts = [f"{label}: {', '.join(boxes)}" if label else ", ".join(boxes) for label, boxes in labels.items()]
    return "; ".join(parts) + ("." if parts and "" not in labels else "")


def _thousandths(thing: Found, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = thing.box
    width, height = size
    if not (0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height):
        raise ValueError(f"the box {thing.box} of {thing.label!r} does not lie in an image of {width}x{height} px")
    shares = (x0 / width, y0 / height, x1 / width, y1 / height)
    return f"[{', '.join(f'{math.floor(1000 * share + 0.5):03d}' for share in shares)}]"


def _check_size(size: tuple[int, int]) -> None:
    if not (size[0] > 0 and size[1] > 0):
        raise ValueError(f"the image's size is {size[0]}x{size[1]} px; it must be positive")
