"""Drop what was read of a part of a character, such as the comma of `,„`, and space the dots of an ellipsis evenly.

The halves of a percent sign look like small characters, low quotes like commas, an ellipsis like dots, the
first stroke of п like I.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

QUOTES = frozenset("\"'“”„‘’‚")
DOUBLED_EM = 0.16  # between the peaks of two quotes: nearer ones are one
ELLIPSIS = re.compile(r"(?<![.…])(?<![.…] )\.(?: ?\.){2}(?! ?[.…])")
WIDE_EM = 0.36, 0.485  # between the dots of `. . .`; those of `...` are nearer, and of typewriters farther apart


class _Parts(NamedTuple):
    """Characters that parts of one look like; None means letters and digits. Distance of their peaks in em."""

    characters: str | None
    before: float
    after: float


# In 38 fonts at 14 and 17 px most peaks of parts of % lie as near, and few of its neighbours' peaks do. Wide italics
# keep some.
PARTS = {
    "%": _Parts(None, 0.35, 0.4),
    "„": _Parts(",‚", 0.3, 0.25),
    "…": _Parts(".", 0.5, 0.5),
    "·": _Parts("-", 0.25, 0.25),
}
PARTS |= dict.fromkeys("шщпыПНИЮ", _Parts("I", 0.33, 0.0)) | {"л": _Parts("I.", 0.33, 0.0)}  # their first strokes

# Cyrillic letters, written as classes of the reading head, of which a part may be read behind vowels: `дозволяе`
WHOLE = {"e": "є", "o": "ю"}
VOWELS = frozenset("aeиiïoyюяєыэ")
NEAR_EM = 0.31  # between the peaks of a letter and of its part
SHOWN = 0.05  # least probability of the whole letter, in the frames around the part
UKRAINIAN = re.compile(r"[\u0400-\u04ff][iï]|[iï][\u0400-\u04ff]|[єґ]")
CYRILLIC = re.compile(r"[\u0400-\u04ff]")
OTHERS = frozenset("ыэъў")  # of other languages in Cyrillic

Spelt = tuple[str, np.ndarray, np.ndarray]


def merge_parts(text: str, at: np.ndarray, confidence: np.ndarray, em_frames: float) -> Spelt:
    """Drop characters that are a part of one next to them, such as the 9 and the 6 of `5.39%6` for `5.3%`.

    Of two quotes that are too near to each other for two, the more certain one stays. An ellipsis at a dot is that dot.

    Args:
        text: of the best path, as `ctc.best_path`.
        at: frame of each character.
        confidence: of each character.
        em_frames: frames per em.
    """
    near = [k for k in range(1, len(text)) if at[k] - at[k - 1] < DOUBLED_EM * em_frames]
    gone = {j for k in near if set(text[k - 1 : k + 1]) == set(".…") for j in (k - 1, k) if text[j] == "…"}
    for k in range(1, len(text)):
        if not gone.isdisjoint((k - 1, k)):
            continue
        apart, first, second = (at[k] - at[k - 1]) / em_frames, text[k - 1], text[k]
        if _is_part(first, second, apart, before=True):
            gone.add(k - 1)
        elif _is_part(second, first, apart, before=False):
            gone.add(k)
        elif {first, second} <= QUOTES and apart < DOUBLED_EM:
            gone.add(k - 1 if confidence[k] > confidence[k - 1] else k)
    kept = [k for k in range(len(text)) if k not in gone]
    return "".join(text[k] for k in kept), at[kept], confidence[kept]


def _is_part(ch: str, whole: str, apart: float, before: bool) -> bool:
    """Return whether a character is a part of its neighbour, `apart` em from it."""
    parts = PARTS.get(whole)
    if parts is None or ch in (whole, " ") or apart >= (parts.before if before else parts.after):
        return False
    if parts.characters is None:
        return before or ch.isalnum()
    return ch in parts.characters


def restore_behind_vowels(
    path_TA: np.ndarray, text: str, at: np.ndarray, confidence: np.ndarray, alphabet: str, em_frames: float
) -> Spelt:
    """Return a line with Cyrillic ю, and in Ukrainian є, for о and е behind vowels where the whole letter shows, too.

    о and е are parts of them, and seldom stand behind a vowel.

    Args:
        path_TA: Probabilities (T, A) along the line.
        text: Of the best path.
        at: Frame of each character.
        confidence: Of each character.
        alphabet: Character of each class from 1.
        em_frames: Frames per em.
    """
    if not CYRILLIC.search(text):
        return text, at, confidence
    ukrainian = UKRAINIAN.search(text) is not None and OTHERS.isdisjoint(text)
    out, sure, gone, near = list(text), confidence.copy(), set[int](), NEAR_EM * em_frames
    for k in range(1, len(text)):
        whole = WHOLE.get(text[k])
        if whole is None or whole not in alphabet or (text[k] == "e" and not ukrainian):
            continue
        twice = next((j for j in (k - 1, k + 1) if text[j : j + 1] == whole and abs(at[j] - at[k]) < near), None)
        before = min(k, k if twice is None else twice) - 1
        word = re.search(r"[^\W\d_]*$", text[:k])
        shown = path_TA[max(0, at[k] - 2) : at[k] + 3, alphabet.index(whole) + 1].max() if before >= 0 else 0.0
        if shown < SHOWN or text[before] not in VOWELS or not word or not CYRILLIC.search(word[0]):
            continue
        if twice is None:
            out[k], sure[k] = whole, shown
        else:
            gone.add(k)
    kept = [k for k in range(len(text)) if k not in gone]
    return "".join(out[k] for k in kept), at[kept], sure[kept]


def space_dots(text: str, at: np.ndarray, confidence: np.ndarray, em_frames: float) -> Spelt:
    """Put spaces between all three dots of an ellipsis, or between none, by their distance.

    Args:
        text: of a line that is in no fixed-width type.
        at: frame of each character.
        confidence: of each character.
        em_frames: frames per em.
    """
    for found in reversed([*ELLIPSIS.finditer(text)]):
        start, end = found.span()
        dots = [k for k in range(start, end) if text[k] == "."]
        apart = float(at[dots[2]] - at[dots[0]]) / 2 / em_frames
        if apart > WIDE_EM[1]:
            continue
        spelt, frames, sure = ["."], [at[dots[0]]], [confidence[dots[0]]]
        for left, right in ((dots[0], dots[1]), (dots[1], dots[2])):
            if apart > WIDE_EM[0]:
                spelt.append(" ")
                frames.append((at[left] + at[right]) // 2)
                sure.append(min(confidence[left], confidence[right]))
            spelt.append(".")
            frames.append(at[right])
            sure.append(confidence[right])
        if apart > WIDE_EM[0] and text[end : end + 1].isalnum():  # the last dot is as far from the next word
            spelt.append(" ")
            frames.append((at[dots[2]] + at[end]) // 2)
            sure.append(min(confidence[dots[2]], confidence[end]))
        text = text[:start] + "".join(spelt) + text[end:]
        at = np.concatenate([at[:start], np.array(frames, at.dtype), at[end:]])
        confidence = np.concatenate([confidence[:start], np.array(sure, confidence.dtype), confidence[end:]])
    return text, at, confidence
