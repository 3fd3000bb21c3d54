"""Measure the size of a page's type in its densest windows, before the page is read at the scale that suits it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ...document.layout.arrange import usual_size
from ...document.lines import TextLine
from ..spelling.more_letters import certain_text
from .merge import CERTAIN, WINDOW, densest_windows

TRIALS = (1.0, 0.5, 0.25, 0.125, 2.0)  # scales at which the window is read until it shows text
MIN_SAMPLE = 12  # characters that a measurement needs


@dataclass(frozen=True)
class Measured:
    """What the densest window of a page shows.

    em_px: type size at the page's own scale, 0 without text. scale: at which it was read. confidence: mean of its
    characters. letters: the same of its letters and digits. text: characters of its certain lines.
    """

    em_px: float = 0.0
    scale: float = 1.0
    confidence: float = 0.0
    letters: float = 0.0
    text: str = ""


def measure_type(image: Image.Image, read: Callable[[Image.Image, float], Sequence[TextLine]]) -> Measured:
    """Measure the type in the densest windows of a grey page.

    The second window counts when the first is not certain: a picture, or text of another direction.

    Args:
        image: the page.
        read: reads a part of it at a scale.
    """
    measured = Measured()
    for trial in TRIALS:
        if trial < 0.5 and min(image.size) * trial < WINDOW[0] / 2:
            break
        for window in densest_windows(image, min(1.0, 2 * trial)):
            found = _measure_lines(read(window, trial), trial)
            if found.em_px and found.confidence > measured.confidence + 0.02:  # the first of equals counts
                measured = found
            if found.confidence >= CERTAIN:
                break
        if measured.confidence >= CERTAIN:
            break
    return measured


def confidence_of_turns(measure: Callable[[Image.Image], Measured]) -> Callable[[Image.Image], float]:
    """Return the confidence in a page that is turned in several ways, the first of them upright.

    Where letters and digits are less certain than upright, other signs do not count: a comma that is upside down is an
    apostrophe.
    """
    seen: list[Measured] = []

    def confidence(turned: Image.Image) -> float:
        seen.append(measure(turned))
        first, last = seen[0], seen[-1]
        return last.confidence if last.letters >= first.letters else min(first.confidence, last.confidence)

    return confidence


def _measure_lines(lines: Sequence[TextLine], scale: float) -> Measured:
    certain = [line for line in lines if line.confidence.mean() > 0.7]
    if sum(len(line.text) for line in certain) < MIN_SAMPLE:
        return Measured()
    sure = np.concatenate([line.confidence for line in lines])
    letters = sure[[ch.isalnum() for line in lines for ch in line.text]]
    shown = float(letters.mean()) if len(letters) else 0.0
    return Measured(usual_size(certain) / scale, scale, float(sure.mean()), shown, certain_text(lines))
