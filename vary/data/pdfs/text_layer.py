"""Make lines of training text from the text layer of a PDF page (`vary.io.pdf_text`)."""

from __future__ import annotations

import numpy as np

from ...io.pdf_layer import GENERATED, HYPHEN, TextLayer
from ..sample import LabelledLine

SPLIT_EM = 1.6  # a line ends at wider gaps: the cells of a table, the columns of a page
_ROUND = frozenset("acemnorsuvwxz")  # letters as high as an x
_X_HEIGHT_EM = 0.45


def text_lines(
    layer: TextLayer, chosen: np.ndarray, groups: np.ndarray, with_styles: bool = False
) -> list[LabelledLine]:
    """Return lines of the chosen characters in content order; `LabelledLine.block` is their group.

    chosen: ascending indices of the characters to use. groups (N,): a line never contains two groups. A line ends at a
    gap of SPLIT_EM and where a glyph is left out; raised and lowered characters stay in the line that they touch.
    Spaces that PDFium inserts between glyphs are placed in the gap, except between Chinese or Japanese characters.
    with_styles: add font styles.
    """
    rank = np.cumsum(layer.kinds != GENERATED)
    chosen = np.asarray(chosen, np.int64)
    chosen = chosen[layer.kinds[chosen] != GENERATED]
    if not len(chosen):
        return []
    before, after = chosen[:-1], chosen[1:]
    em = np.maximum(layer.ems[before], layer.ems[after])
    rise = np.abs(layer.origins[before, 1] - layer.origins[after, 1])
    gap = layer.boxes[after, 0] - layer.boxes[before, 2]
    follows = (rise < 0.25 * em) & (gap < SPLIT_EM * em) & (gap > -em) | (rise < 0.6 * em) & (np.abs(gap) < 0.5 * em)
    follows &= (rank[after] - rank[before] == 1) & (groups[before] == groups[after])
    parts = np.split(chosen, np.flatnonzero(~follows) + 1)
    lines = (_line(layer, part, int(groups[part[0]]), with_styles) for part in parts)
    return [line for line in lines if line is not None]


def _line(layer: TextLayer, part: np.ndarray, group: int, with_styles: bool) -> LabelledLine | None:
    text, boxes = "".join(layer.text[k] for k in part).replace(HYPHEN, "-"), layer.boxes[part]
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    if end <= begin:
        return None
    text, boxes, part = text[begin:end], boxes[begin:end], part[begin:end]
    styles = layer.styles[part] if with_styles else None
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
    return LabelledLine(text, boxes, _middle(layer.origins[part, 1]), x_height, em, 0.0, group, styles)


def _blank_between(layer: TextLayer, left: int, right: int, em: float) -> bool:
    if layer.text[left].isspace() or layer.text[right].isspace() or " " not in layer.text[left + 1 : right]:
        return False
    wide = layer.boxes[right, 0] - layer.boxes[left, 2] > 0.6 * em
    return wide or not (joins(layer.text[left]) and joins(layer.text[right]))


def joins(ch: str) -> bool:
    """Return whether a character belongs to a script written without spaces between words."""
    return "\u2e80" <= ch <= "\u9fff" or "\uf900" <= ch <= "\ufaff" or "\uff00" <= ch <= "\uffef" or ch >= "\U00020000"


def _middle(values: np.ndarray) -> float:
    """Return the upper median, which is one of the values."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])
