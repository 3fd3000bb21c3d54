"""Choose the spelling of all lines that were read from an image, by everything in this folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...document.alphabets import restore_scripts, unused_shapes, with_bulgarian_signs
from ...document.lines import TextLine
from .alternatives import spell_digits
from .letter_case import correct_case, spell_capitals
from .logos import spell_logos
from .lookalikes import spell_by_neighbours
from .page_words import spell_as_elsewhere
from .stroked_l import spell_stroked_l


def spell_lines(lines: Sequence[TextLine], pixels: np.ndarray) -> list[TextLine]:
    """Return the lines of an image with their final spelling.

    Args:
        lines: As they were decoded, with their `alternatives`.
        pixels: (H, W) uint8, the image.
    """
    spelt = correct_case(spell_digits(spell_by_neighbours(spell_as_elsewhere(spell_stroked_l(lines)))), pixels)
    unused = unused_shapes("\n".join(line.text for line in spelt))
    restored = [replace(line, text=restore_scripts(line.text, unused)) for line in spelt]
    page = "\n".join(line.text for line in restored)
    signed = [replace(line, text=with_bulgarian_signs(line.text, page)) for line in restored]
    return spell_logos(spell_capitals(signed), pixels)
