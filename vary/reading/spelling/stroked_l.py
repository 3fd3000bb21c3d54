"""Tell ł from l, which differ by a stroke of a few pixels that the network often sees in one of a letter's frames.

On a page that certainly has ł, an l in which one frame shows some ł is one: beside a plain l hardly any frame does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...document.lines import TextLine
from .lookalikes import RIVALS

STROKED = {"l": "ł", "L": "Ł"}
CERTAIN, FEWEST = 0.85, 2  # confidence of an ł, and how many of such a page has
LIKELY = 0.15  # least probability of an ł in a frame of a letter that is one
BEFORE_Y = 0.02  # the same before y, where Polish has no l


def spell_stroked_l(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines of a page with ł in place of the letters l that are likely to have a stroke.

    Args:
        lines: with their `rivals`, whose column of ł is that of the frames next to a letter, too.
    """
    seen = sum(
        ch in "łŁ" and sure >= CERTAIN for line in lines for ch, sure in zip(line.text, line.confidence, strict=True)
    )
    return [_spell(line) for line in lines] if seen >= FEWEST else list(lines)


def _spell(line: TextLine) -> TextLine:
    if line.rivals is None or line.writer != "head":
        return line
    text, confidence = list(line.text), line.confidence.copy()
    for k, ch in enumerate(line.text):
        if ch in STROKED:
            odds = float(line.rivals[k, RIVALS.index(STROKED[ch])])
            if odds >= (BEFORE_Y if line.text[k + 1 : k + 2] == "y" else LIKELY):
                text[k], confidence[k] = STROKED[ch], max(odds, 1 - confidence[k])
    return (
        line
        if "".join(text) == line.text
        else replace(line, text="".join(text), confidence=confidence, alternatives=())
    )
