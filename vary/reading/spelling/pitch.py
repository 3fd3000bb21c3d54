"""Find the pitch of typewriter text, and derive its spaces and its characters from it: one for each cell of a grid.

The network often predicts a space next to a narrow letter, or two characters for one glyph. The grid corrects both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

MIN_TYPEWRITER = 8  # characters; shorter lines may stand on a grid by chance
ALNUM = 0.4  # least share of letters and digits; dotted leaders have a pitch, too
NARROWEST = 3.0  # frames, least pitch
RANGE, STEPS = 0.1, 201  # of pitches that are tried around the median step, as a share of it, and their number
ON_GRID = (
    0.8  # least mean resultant length: of 1,297 drawn lines in 27 typewriter fonts 1,288 have it, of 1,344 others 4
)
FULL, DOUBLE = 0.55, 0.12  # least share of steps to the next cell, and largest share of steps within one
OPTION = re.compile(r"(?:^- -|(?<=\S )- - ?)(?=[a-z])")  # dashes of an option such as --quiet
DECIMALS = re.compile(r"(?<=\d[.,])( )(?=\d\d(?!\d))")
ONE_CELL = 1.15  # largest distance of characters in neighbouring cells, as a multiple of the usual one
FAR = 2.0  # by which a character at the edge of its cell counts less than one in the middle


@dataclass(frozen=True)
class Pitch:
    """A grid: character k is in cell `cells[k]`, and its peak is `away[k]` cells from the middle."""

    cells: np.ndarray
    away: np.ndarray


def find_pitch(text: str, at: np.ndarray) -> Pitch | None:
    """Return the grid of a line's characters without its spaces; None if they do not stand on one.

    Of all pitches near the median step, the one counts at which the peaks' phases agree best (Rayleigh's test).

    Args:
        text: of the best path.
        at: frame of each character.
    """
    ink = np.array([k for k, ch in enumerate(text) if ch != " "], int)
    if len(ink) < MIN_TYPEWRITER or sum(text[k].isalnum() for k in ink) < ALNUM * len(ink):
        return None
    x = at[ink].astype(float)
    median = float(np.median(np.diff(x)))
    if median < NARROWEST:
        return None
    tried = median * np.linspace(1 - RANGE, 1 + RANGE, STEPS)
    phases = np.exp(2j * np.pi * x[:, None] / tried).mean(0)
    best = int(np.abs(phases).argmax())
    place = x / tried[best] - float(np.angle(phases[best])) / (2 * np.pi)
    cells = np.round(place).astype(int)
    steps = np.diff(cells)
    if abs(phases[best]) < ON_GRID or np.mean(steps == 1) < FULL or np.mean(steps < 1) > DOUBLE:
        return None
    return Pitch(cells, np.abs(place - cells))


def space_by_pitch(
    text: str, at: np.ndarray, confidence: np.ndarray, pitch: Pitch
) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the characters of a typewriter line: one for each cell, and a space for empty cells.

    Args:
        text: of the best path, as `best_path`.
        at: frame of each character.
        confidence: of each character.
        pitch: of the line.
    """
    ink = [k for k, ch in enumerate(text) if ch != " "]
    best: dict[int, int] = {}  # the character of each cell
    worth = confidence[ink] - FAR * pitch.away
    for n, cell in enumerate(pitch.cells.tolist()):
        if cell not in best or worth[n] > worth[best[cell]]:
            best[cell] = n
    out, frames, sure = "", [], []
    before: tuple[int, int] | None = None  # cell and character
    for cell, n in sorted(best.items()):
        k = ink[n]
        if before is not None and cell > before[0] + 1:
            out += " "
            frames.append(int(at[before[1]] + at[k]) // 2)
            spaces = [float(confidence[j]) for j in range(before[1] + 1, k) if text[j] == " "]
            sure.append(max(spaces, default=float(min(confidence[before[1]], confidence[k]))))
        out += text[k]
        frames.append(int(at[k]))
        sure.append(float(confidence[k]))
        before = cell, k
    return out, np.array(frames, int), np.array(sure, np.float32)


def space_far_apart(
    text: str, at: np.ndarray, confidence: np.ndarray, frames: float
) -> tuple[str, np.ndarray, np.ndarray]:
    """Put a space between characters that are farther apart than any two of a word, such as digits of two cells.

    Args:
        text: of the best path, as `best_path`.
        at: frame of each character.
        confidence: of each character.
        frames: farthest distance within a word.
    """
    far = [k for k in range(1, len(text)) if at[k] - at[k - 1] > frames and " " not in text[k - 1 : k + 1]]
    spaced = "".join(" " * (k in far) + ch for k, ch in enumerate(text))
    middles, least = [(at[k - 1] + at[k]) // 2 for k in far], [min(confidence[k - 1 : k + 1]) for k in far]
    return spaced, np.insert(at, far, middles), np.insert(confidence, far, least)


def join_dashes(text: str, at: np.ndarray, confidence: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """Drop the spaces in the dashes of options, such as `- -quiet` for `--quiet`.

    In a line of other type, the wide cells of typewriter dashes look like spaces.

    Args:
        text: of the best path, as `best_path`.
        at: frame of each character.
        confidence: of each character.
    """
    spaces = {k for found in OPTION.finditer(text) for k in range(*found.span()) if text[k] == " "}
    kept = [k for k in range(len(text)) if k not in spaces]
    return "".join(text[k] for k in kept), at[kept], confidence[kept]


def join_decimals(text: str, at: np.ndarray, confidence: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """Drop the space behind a point or comma whose digits are no farther apart than others: `6, 45` on a receipt.

    In fixed-width type, the wide cell of the point looks like a space.

    Args:
        text: of the best path, as `best_path`.
        at: frame of each character.
        confidence: of each character.
    """
    within = [at[k] - at[k - 1] for k in range(1, len(text)) if text[k - 1 : k + 1].isdigit()]
    spaces = {
        found.start(1)
        for found in DECIMALS.finditer(text)
        if within and at[found.end(1)] - at[found.start(1) - 1] < ONE_CELL * float(np.median(within))
    }
    kept = [k for k in range(len(text)) if k not in spaces]
    return "".join(text[k] for k in kept), at[kept], confidence[kept]
