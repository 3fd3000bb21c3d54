"""Find what else a line may say: uncertain spans with the odds of each spelling, and digits for letters like them.

A span runs from one certain CTC blank to the next, so its spellings are independent of the text around it.
Source: CTC prefix beam search, Graves et al. 2006 and Hannun et al. 2014 (arXiv 1408.2873).
Of `1` and `l`, `0` and `o`, a cell of one character does not say which it shows. The other cells of its column do:
`spell_digits` takes the probability of a letter among digits for that of the digit that looks like it.

Shapes: T frames of a line, A classes (0 is CTC's blank).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from math import exp, inf, log, log1p

import numpy as np

from ...document.lines import Alternative, TextLine
from ...io.box import marked_runs
from .lookalikes import RIVALS

SURE_BLANK = 0.95  # least blank probability of a frame that separates two spans
RIVAL = 0.12  # least probability of another character that makes a span uncertain
BEAM, CLASSES = 6, 3  # prefixes kept, and classes tried per frame
FAINTEST = 4.0  # nats; spellings less likely than the line's own by more than this are dropped

FEWEST, READ = 4, 0.8  # characters and mean confidence of a line in which some may be lost
WIDE_EM, FAR_EM = 0.75, 1.0  # between the peaks of two characters that may have one between them, and if one is of WIDE
WIDE = frozenset(" mwHMNWæœÆŒ@%&—…")  # these reach far, and a stem of H is no l
DATE_EM, DIGIT_EM = 0.55, 0.95  # between two digits that may have a sign between them, and a digit
LOST, FAINT = -1.3, -2.0  # nats: least log-likelihood of a character that is added, and of a sign in a number
AMOUNT = re.compile(r"\d{1,3}(?:,?\d{3})*\.\d\d(?![\w.])")

SHORT = 6  # characters of the longest cell
PEERS = 3  # least number of digits in a column
DIGITS = 0.8  # their least share; characters that may be digits do not count
LIKELY = 0.3  # least probability of a digit
ALIGNED_EM = 0.7  # em between the left or right sides of the cells of a column
LOOKALIKES = ("0OoDQ°Cc", "1lI|!i]", "2Zz", "3", "4", "5Ss", "6b", "7?", "8B", "9gq")  # of each digit, itself first


def find_alternatives(path_TA: np.ndarray, text: str, at: np.ndarray, alphabet: str) -> list[Alternative]:
    """Return the alternatives of a line.

    Args:
        path_TA: probabilities along the line.
        text: CTC's best path.
        at: frame of every character.
        alphabet: character of each class from 1.
    """
    best = path_TA.argmax(1)
    rival = path_TA.copy()
    rival[:, 0] = 0
    for shift in (-2, -1, 0, 1, 2):  # the flanks of a character's own peak do not count
        near = np.clip(np.arange(len(best)) + shift, 0, len(best) - 1)
        rival[np.arange(len(best)), best[near]] = 0
    uncertain = rival.max(1) > RIVAL
    uncertain[at] |= path_TA[at].max(1) < 1 - RIVAL
    found = []
    for first, last in marked_runs(path_TA[:, 0] <= SURE_BLANK):
        if not uncertain[first:last].any():
            continue
        start, end = np.searchsorted(at, [first, last]).tolist()
        likely = spellings(path_TA[first:last], alphabet)
        own = likely.pop(text[start:end], None)
        if own is None:
            continue
        others = tuple((other, p - own) for other, p in likely.items() if p - own > -FAINTEST)
        if others:
            found.append(Alternative(start, end, others))
    return found


def restore_lost(
    path_TA: np.ndarray, text: str, at: np.ndarray, confidence: np.ndarray, alphabet: str, em_frames: float
) -> tuple[str, np.ndarray, np.ndarray]:
    """Add the characters that the best path of a line lacks: `/` in `14/2031`, `&` in `A & B`, `%` in `10%`.

    Where no single frame is sure of a character, the path has none, even if the frames together say that there is one.
    It is added if it is likely, and if its neighbours stand farther apart than those in a word, or it is a sign that a
    number has there.

    Args:
        path_TA: probabilities along the line.
        text: of the best path.
        at: frame of each character.
        confidence: of each character.
        alphabet: character of each class from 1.
        em_frames: frames per em.
    """
    found: list[tuple[int, str, int, float]] = []
    if len(text) < FEWEST or confidence.mean() < READ:
        return text, at, confidence
    for first, last in marked_runs(path_TA[:, 0] <= SURE_BLANK):
        k = int(np.searchsorted(at, first))
        if k < len(at) and at[k] < last:
            continue
        allowed, least = _what_may_be_lost(text, k, (at[k] - at[k - 1]) / em_frames if 0 < k < len(at) else 0.0)
        likely = {
            one: p
            for one, p in (spellings(path_TA[first:last], alphabet) if least < 0 else {}).items()
            if len(one) == 1 and one != " " and (not allowed or one in allowed)
        }
        one = max(likely, key=likely.__getitem__, default="")
        if one and likely[one] > least:
            frame = first + int(path_TA[first:last, alphabet.index(one) + 1].argmax())
            found.append((k, one, frame, 1 - float(path_TA[first:last, 0].prod())))
    for k, one, frame, sure in reversed(found):
        text = text[:k] + one + text[k:]
        at, confidence = np.insert(at, k, frame), np.insert(confidence, k, sure)
    return text, at, confidence


def _what_may_be_lost(text: str, k: int, apart: float) -> tuple[str, float]:
    """Return which characters may be lost before character k, "" for any, and the log-likelihood that they need.

    apart: em between the characters around the gap; 0 at the ends of the line.
    """
    around = text[max(0, k - 1) : k + 1]
    if len(around) == 2 and around.isdigit() and DATE_EM < apart < DIGIT_EM:
        return "/.,:-", FAINT  # too near for a digit
    if apart > (FAR_EM if WIDE.intersection(around) else WIDE_EM):
        return "", LOST
    if k and around[0].isdigit():
        return "%", FAINT
    return ("£$€Eef", FAINT) if AMOUNT.match(text, k) and text[k - 1 : k] in ("", " ") else ("", 0.0)


def spellings(path_TA: np.ndarray, alphabet: str) -> dict[str, float]:
    """Return the most likely texts of some frames and their log-likelihoods, by prefix beam search."""
    beams = {"": (0.0, -inf)}  # prefix: log-likelihoods of its alignments that end in a blank, and of the others
    for row in path_TA:
        tried = [int(k) for k in np.argpartition(-row, CLASSES)[:CLASSES] if k and row[k] > 1e-3]
        blank, logs = log(max(float(row[0]), 1e-9)), {k: log(float(row[k])) for k in tried}
        grown: dict[str, tuple[float, float]] = {}
        for prefix, (in_blank, in_ink) in beams.items():
            whole = _log_add(in_blank, in_ink)
            _grow(grown, prefix, whole + blank, -inf)
            for k, p in logs.items():
                ch = alphabet[k - 1]
                if prefix.endswith(ch):
                    _grow(grown, prefix, -inf, in_ink + p)
                    _grow(grown, prefix + ch, -inf, in_blank + p)
                else:
                    _grow(grown, prefix + ch, -inf, whole + p)
        kept = sorted(grown.items(), key=lambda item: -_log_add(*item[1]))[:BEAM]
        beams = dict(kept)
    return {prefix: _log_add(*p) for prefix, p in beams.items() if "  " not in prefix}


def _grow(beams: dict[str, tuple[float, float]], prefix: str, in_blank: float, in_ink: float) -> None:
    old = beams.get(prefix, (-inf, -inf))
    beams[prefix] = _log_add(old[0], in_blank), _log_add(old[1], in_ink)


def _log_add(a: float, b: float) -> float:
    """Return log(exp a + exp b)."""
    low, high = min(a, b), max(a, b)
    return high if low == -inf else high + log1p(exp(low - high))


_WEIGHTS = np.array([[ch in group for group in LOOKALIKES] for ch in RIVALS], np.float32)  # (K, 10)


def digit_odds(rivals_NK: np.ndarray) -> np.ndarray:
    """Return (N, 10), the probability of each digit, letters that look like it included; see `TextLine.rivals`."""
    odds: np.ndarray = rivals_NK @ _WEIGHTS
    return odds


def spell_digits(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines of a page; cells in columns of numbers have digits where they are ambiguous.

    A character is compared with those of the same place in other cells of the column that begin alike, so `RO` below
    `R1` and `R2` becomes `R0`. A letter before one that can be no digit stays: `Due` above dates.
    """
    spelt = list(lines)
    odds = [
        np.zeros((0, 10)) if line.rivals is None or len(line.text) > SHORT else digit_odds(line.rivals)
        for line in lines
    ]
    for place in range(SHORT):
        cells = [k for k in range(len(spelt)) if len(odds[k]) > place]
        if len(cells) <= PEERS:
            break
        boxes = np.array([spelt[k].box for k in cells])
        is_digit = np.array([spelt[k].text[place] in "0123456789" for k in cells])
        could_be = np.array([float(odds[k][place].max()) >= LIKELY for k in cells])
        heads = [spelt[k].text[:place] for k in cells]
        changed = []
        for row, k in enumerate(cells):
            apart = np.abs(boxes[:, [0, 2]] - boxes[row, [0, 2]]).min(1)
            peers = (apart < ALIGNED_EM * spelt[k].em_px) & np.array([head == heads[row] for head in heads])
            peers[row] = False
            count = int((peers & is_digit).sum())
            if _is_in_word(spelt[k].text, place, odds[k]):
                continue
            if count >= PEERS and count >= DIGITS * (peers & (is_digit | ~could_be)).sum():
                changed.append((k, _with_digit(spelt[k], place, odds[k][place])))
        for k, line in changed:
            spelt[k] = line
    return spelt


def _is_in_word(text: str, place: int, odds_N10: np.ndarray) -> bool:
    """Return whether the characters behind a place, up to the next blank or sign, have a letter that is no digit."""
    behind = list(takewhile(str.isalnum, text[place + 1 :]))
    return any(ch.isalpha() and odds_N10[k].max() < LIKELY for k, ch in enumerate(behind, place + 1))


def _with_digit(line: TextLine, place: int, odds: np.ndarray) -> TextLine:
    """Return a line with the most probable of the ten digits at a place, if it is likely."""
    digit = int(odds.argmax())
    likely = float(odds[digit])
    if likely < max(LIKELY, float(line.confidence[place])):
        return line
    confidence = line.confidence.copy()
    confidence[place] = min(1.0, likely)
    text = line.text[:place] + str(digit) + line.text[place + 1 :]
    return replace(line, text=text, confidence=confidence)
