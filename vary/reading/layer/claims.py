"""How well the pixels of some lines agree with a text that somebody claims they show."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from ...document.elements import Line
from ..ctc import ASCENT_EM, DESCENT_EM
from .align import Aligned
from .align_pixels import align_lines
from .lines import LayerLine

if TYPE_CHECKING:
    from ..reader import Reader


class CharacterOdds(NamedTuple):
    """A character of a claimed text, its log-odds against the best path (0 or less), and what the best path spells."""

    character: str
    odds: float
    seen: str


def character_odds(reader: Reader, image: Image.Image, lines: Sequence[Line], text: str) -> list[CharacterOdds]:
    """Align a claimed text to the pixels of lines, and return the odds of each character but blanks.

    Args:
        reader: Reads the pixels.
        image: Upright grey page.
        lines: Level lines of the page in reading order; boxes are pixels of `image`.
        text: What they are said to show.
    """
    shares = [(line, share) for line, share in zip(lines, _share_out(text, lines), strict=True) if share.strip()]
    claimed = [_claim(line, share) for line, share in shares]
    if not claimed:
        return []

    def larger(scale: float) -> Image.Image:
        return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)

    found: list[CharacterOdds] = []
    for line, aligned in zip(claimed, align_lines(reader, image, claimed, larger), strict=True):
        found += _characters(line.text.replace(" ", ""), aligned)
    return found


def _characters(text: str, aligned: Aligned) -> list[CharacterOdds]:
    known = zip(text, aligned.odds.tolist(), aligned.seen, strict=True)
    return [CharacterOdds(ch, odds, seen) for ch, odds, seen in known]


def _share_out(text: str, lines: Sequence[Line]) -> list[str]:
    """Cut a text into a part for each line, where it agrees best with what was read there."""
    read = " ".join(line.text for line in lines)
    edges, at = [0], 0
    blocks = SequenceMatcher(None, read, text, autojunk=False).get_matching_blocks()
    for line in lines[:-1]:
        at += len(line.text) + 1
        before = max((block for block in blocks if block.a <= at), key=lambda block: block.a, default=blocks[0])
        edges.append(min(len(text), max(edges[-1], before.b + at - before.a)))
    edges.append(len(text))
    return [text[start:end] for start, end in pairwise(edges)]


def _claim(line: Line, text: str) -> LayerLine:
    """Return a claimed text as a line of a layer. Its characters may stand anywhere in the part that it is about."""
    text = " ".join(text.split())
    (x0, y0, x1, y1), em = line.box, (line.box[3] - line.box[1]) / (ASCENT_EM + DESCENT_EM)
    *blocks, _ = SequenceMatcher(None, line.text, text, autojunk=False).get_matching_blocks()
    if blocks and len(line.characters) == len(line.text):
        first = max(0, blocks[0].a - blocks[0].b)
        last = min(len(line.text), blocks[-1].a + len(text) - blocks[-1].b) - 1
        x0, x1 = line.characters[first][0], line.characters[last][2]
    boxes = np.tile(np.array([x0, y0, x1, y1], np.float32), (len(text), 1))
    return LayerLine(text, boxes, np.ones(len(text), np.float32), em)
