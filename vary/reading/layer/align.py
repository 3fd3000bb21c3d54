"""How well the pixels agree with a text: forced alignment of lines to the reading head's probabilities.

A line of the text layer says which characters stand where. The Viterbi path of CTC through exactly these characters is
compared with the best path: the difference of their log-probabilities, shared out to the characters, is near 0 where
the head sees the character, and strongly negative where it is sure of another one.
Source: CTC, Graves et al. 2006; forced alignment as in speech recognition.

Spaces are not compared: the space class counts as blank. A character that the head cannot spell may stand wherever the
head is not sure of another one.
Shapes: L lines, T frames, S states (2 N + 1: blanks and characters in turn), A classes (0 is the CTC blank).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np

from ...document.alphabets import class_index

FLOOR = 1e-5  # least probability; a character that the head rules out costs 11.5 nats
LOOKALIKES = (
    "lI1|!ijíì[]",
    "0OoDQ°",
    "5Ss",
    "2Zzг",
    "8B",
    "cCeo",
    "vV",
    "wW",
    "xX",
    "uU",
    "kK",
    "pP",
    "yY",
    "gq9",
    ".,·:;",
)
SAME = ("'’‘`´", '"“”', "-–—−‐", "*∗", "•·", "~∼", "×x", "µμ")  # drawn alike: no difference to the eye
SHAKY = "→←§¶†‡‰œŒљњЉЊ"  # the head spells them, but often as something else
DIFFERS = -2.0  # log-odds of a character from which what the pixels spell is looked up
CAPITALS = 3  # contradicted letters of a line that are shown as capitals: it has small capitals
OUT_OF_PLACE = -6.0  # nats for a frame outside of the character's box
TOGETHER, MOST_VALUES = 8, 1_000_000  # lines whose paths are sought at once, and frames times states of them


@dataclass
class Aligned:
    """How a line fits.

    Args:
        odds: (N,), log-odds of each character against the best path, 0 or less.
        seen: What the best path spells at the place of each character; empty for all where nothing differs.
        looks: (N,), 0, or the number of a glyph that does not look like others with the same claim (`repeats`); None
            where they were not compared.
        pictures: (N,), numbers that are equal where glyphs of a page have one claim and one picture; None as above.
    """

    odds: np.ndarray
    seen: list[str]
    looks: np.ndarray | None = None
    pictures: np.ndarray | None = None


def better_of(one: Aligned, other: Aligned) -> Aligned:
    """Return for each character of a line the alignment that agrees better with it, of two."""
    odds, better = np.maximum(one.odds, other.odds), (other.odds > one.odds).tolist()
    seen = [b if its else a for a, b, its in zip(one.seen, other.seen, better, strict=True)]
    return replace(one, odds=odds, seen=seen)


@cache
def claims_nothing(character: str) -> bool:
    """Return whether a character names nothing that can be drawn: private use, control, replacement."""
    return unicodedata.category(character) in ("Co", "Cc", "Cn", "Cs") or character in "\ufffd"


class Alphabet:
    """Emission probabilities of any character out of those of the head's classes."""

    def __init__(self, alphabet: str):
        self.alphabet, self.classes = alphabet, len(alphabet) + 1
        self.space = alphabet.index(" ") + 1 if " " in alphabet else 0
        self.index = class_index(alphabet)
        self._of: dict[str, tuple[list[int], list[int]]] = {}
        self._plain = [(ch, unicodedata.normalize("NFKD", ch)[:1]) for ch in alphabet]  # without their marks

    def emission(self, probs_TA: np.ndarray, ch: str) -> np.ndarray:
        """Return (T,), the probability of a character at each frame; `probs_TA` with the space merged into blank."""
        own, alike = self.classes_of(ch)
        found = probs_TA[:, own[0]] if len(own) == 1 else probs_TA[:, own].sum(1)
        if ch not in self.index:
            others = probs_TA[:, 1:].copy()
            others[:, [k - 1 for k in own + alike]] = 0
            found = np.maximum(found, 1 - others.max(1))
        return found

    def classes_of(self, ch: str) -> tuple[list[int], list[int]]:
        """Return the classes that are drawn as a character, and those that look like it."""
        if ch not in self._of:
            base = unicodedata.normalize("NFKD", ch)[:1]
            own = {ch} | {other for group in SAME if ch in group for other in group}
            if ch not in self.index:
                own |= {base}
            alike = {other for group in LOOKALIKES if ch in group or base in group for other in group} | {base}
            alike |= {other for other, plain in self._plain if plain == base}
            first = {self.index[other] for other in own if other in self.index}
            self._of[ch] = sorted(first), sorted({self.index[other] for other in alike if other in self.index} - first)
        return self._of[ch]

    def spells(self, ch: str) -> bool:
        """Return whether the head can be relied on to spell a character, or the letter that it is made of."""
        return ch not in SHAKY and bool(self.classes_of(ch)[0])

    def is_alike(self, a: str, b: str) -> bool:
        """Return whether two characters look so alike that the head may take one for the other."""
        if a == b:
            return True
        index = self.index.get(b, 0)
        own, alike = self.classes_of(a)
        return (index > 0 and (index in own or index in alike)) or b == unicodedata.normalize("NFKD", a)


@lru_cache(4)
def emissions_of(alphabet: str) -> Alphabet:
    """Return the emissions of a head's alphabet; what they look up is kept from page to page."""
    return Alphabet(alphabet)


def align(
    paths: Sequence[np.ndarray], texts: Sequence[str], places: Sequence[np.ndarray], alphabet: Alphabet
) -> list[Aligned]:
    """Align texts without spaces to their paths. Small capitals, which are drawn as capitals, are aligned as such.

    Args:
        paths: probabilities (T, A) along each line.
        texts: N characters each.
        places: (N, 2) for each text, first and last frame at which each of its characters may stand.
        alphabet: of the head.
    """
    spaceless = [_without_space(path, alphabet) for path in paths]
    bests = [path.argmax(1) for path in spaceless]
    found = [Aligned(np.full(len(text), np.log(FLOOR)), [""] * len(text)) for text in texts]
    known = []
    for k, text in enumerate(texts):
        if text and is_spelt(spaceless[k], bests[k], text, places[k], alphabet):
            found[k] = Aligned(np.zeros(len(text)), [""] * len(text))
        elif text and len(paths[k]) >= len(text):
            known.append(k)
    logs = [_log_odds(spaceless[k], texts[k], places[k], alphabet) for k in known]
    states = dict(zip(known, _likeliest([texts[k] for k in known], logs), strict=True))
    for k, log in zip(known, logs, strict=True):
        path, best = spaceless[k], bests[k]
        gain = log[np.arange(len(path)), states[k]] - np.log(np.maximum(path.max(1), FLOOR))
        odds = np.minimum(np.bincount(_owners(states[k], len(texts[k])), gain, len(texts[k])), 0.0)
        found[k] = Aligned(odds, _seen(path, best, places[k], alphabet.alphabet, odds, _open(texts[k], places[k])))
    small = [k for k in known if _shows_capitals(texts[k], found[k])]
    if small:
        capitals = ["".join(_capital(ch) for ch in texts[k]) for k in small]
        again = align([paths[k] for k in small], capitals, [places[k] for k in small], alphabet)
        for k, text, one in zip(small, capitals, again, strict=True):
            found[k] = Aligned(one.odds, ["" if a == b else a for a, b in zip(one.seen, text, strict=True)])
    return found


def _capital(ch: str) -> str:
    return ch.upper() if len(ch.upper()) == 1 else ch


def _shows_capitals(text: str, aligned: Aligned) -> bool:
    """Return whether most characters that the pixels contradict are shown as their capitals."""
    against = [(ch, seen) for ch, odds, seen in zip(text, aligned.odds, aligned.seen, strict=True) if odds < DIFFERS]
    shown = sum(ch != seen == _capital(ch) for ch, seen in against)
    return shown >= CAPITALS and 2 * shown > len(against)


def _without_space(path_TA: np.ndarray, alphabet: Alphabet) -> np.ndarray:
    path = path_TA.astype(np.float64)
    if alphabet.space:
        path[:, 0] += path[:, alphabet.space]
        path[:, alphabet.space] = 0
    return path


def is_spelt(path: np.ndarray, best: np.ndarray, text: str, places: np.ndarray, alphabet: Alphabet) -> bool:
    """Return whether the best path spells just the text, each character in its place.

    Then no other path through the text is likelier, and the log-odds are 0. Classes that are drawn alike count as one;
    their sum must not exceed the best path beside the character.

    Args:
        path: Probabilities (T, A) along the line, the space merged into blank.
        best: (T,), the most probable class of each frame.
        text: N characters without spaces.
        places: (N, 2), as for `align`.
        alphabet: Of the head.
    """
    starts, ends = _runs(best)
    if len(starts) != len(text) or not all(ch in alphabet.index for ch in text):
        return False
    own = [alphabet.classes_of(ch)[0] for ch in text]
    if not all(k in classes for k, classes in zip(best[starts].tolist(), own, strict=True)):
        return False
    joined = (starts[1:] == ends[:-1]).tolist()
    if any(close and a == b for close, (a, b) in zip(joined, pairwise(text), strict=True)):
        return False
    if (starts < places[:, 0]).any() or (ends - 1 > places[:, 1]).any():
        return False
    summed = [list(classes) for classes in {tuple(classes) for classes in own if len(classes) > 1}]
    return not any((path[:, k].sum(1) > path.max(1))[~np.isin(best, k)].any() for k in summed)


def _runs(best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first frame, and the one after the last, of each character that a best path spells."""
    cuts = np.flatnonzero(np.diff(best, prepend=0, append=0))
    return cuts[:-1][best[cuts[:-1]] > 0], cuts[1:][best[cuts[:-1]] > 0]


def _log_odds(path: np.ndarray, text: str, places: np.ndarray, alphabet: Alphabet) -> np.ndarray:
    """Return (T, S), the log-probability of each state of a text at each frame."""
    count, frames = len(text), len(path)
    distinct = sorted(set(text))
    emit = np.stack([path[:, 0], *(alphabet.emission(path, ch) for ch in distinct)], 1)
    column = {ch: k for k, ch in enumerate(distinct, 1)}
    states_of = np.zeros(2 * count + 1, int)
    states_of[1::2] = [column[ch] for ch in text]
    logs = np.log(np.maximum(emit, FLOOR))[:, states_of]
    t = np.arange(frames)[:, None]
    logs[:, 1::2] += np.where((t < places[:, 0]) | (t > places[:, 1]), OUT_OF_PLACE, 0.0)
    return logs


def _open(text: str, places: np.ndarray) -> list[bool]:
    """Return which characters may draw anything: those that claim nothing, beside a letter of the same word."""
    near = (places[1:, 0] < places[:-1, 1]).tolist()
    beside = [ok and (a.isalpha() or b.isalpha()) for ok, a, b in zip(near, text, text[1:], strict=False)]
    left, right = [False, *beside], [*beside, False]
    return [claims_nothing(ch) and (a or b) for ch, a, b in zip(text, left, right, strict=True)]


def _seen(
    path: np.ndarray, best: np.ndarray, places: np.ndarray, alphabet: str, odds: np.ndarray, open_: list[bool]
) -> list[str]:
    """Return what the best path spells at the place of each character, by the least sum of distances.

    open_: Characters that may draw anything, as a ligature: all that is spelt within their boxes is theirs.
    """
    seen = [""] * len(places)
    if odds.min(initial=0.0) > DIFFERS and not any(open_):
        return seen
    starts, ends = _runs(best)
    top = path.max(1)
    peaks = np.array([a + int(top[a:b].argmax()) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)])
    spelt, middles = [alphabet[k - 1] for k in best[starts].tolist()], places.mean(1)
    skip = max(1.5, 0.4 * float(np.median(places[:, 1] - places[:, 0])))  # frames, for one without partner
    cost = np.arange(len(middles) + 1) * skip
    back = np.zeros((len(spelt) + 1, len(middles) + 1), np.int8)  # 0 both, 1 a spelt character alone, 2 a claimed one
    back[0, 1:] = 2
    for n, peak in enumerate(peaks.tolist(), 1):
        both, alone = cost[:-1] + np.abs(middles - peak), cost + skip
        row = [float(alone[0]), *np.minimum(both, alone[1:]).tolist()]
        steps = [1, *np.where(both <= alone[1:], 0, 1).tolist()]
        for k in range(1, len(row)):
            if row[k - 1] + skip < row[k]:
                row[k], steps[k] = row[k - 1] + skip, 2
        cost, back[n] = np.array(row), steps
    n, k = len(spelt), len(middles)
    while n or k:
        step = back[n, k] if n else 2
        peak = peaks[n - 1] if n else 0
        before = abs(middles[k - 1] - peak) if k else np.inf
        within = k > 0 and (before < skip or (open_[k - 1] and peak < places[k - 1, 1]))
        if step == 1 and k < len(middles) and open_[k] and max(places[k, 0], middles[k] - before) < peak:
            seen[k] = spelt[n - 1] + seen[k]
        elif step == 0 or (step == 1 and within):
            seen[k - 1] = spelt[n - 1] + seen[k - 1]
        n, k = n - (step != 2), k - (step != 1)
    return seen


def _likeliest(texts: Sequence[str], logs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the state of each frame on the likeliest path of each line. Lines of one length are taken together."""
    found: list[np.ndarray] = [np.zeros(0, int)] * len(texts)
    waiting = sorted(range(len(texts)), key=lambda k: logs[k].shape)
    while waiting:
        size = logs[waiting[-1]].shape[0] * max(logs[k].shape[1] for k in waiting[-TOGETHER:])
        count = max(1, min(TOGETHER, MOST_VALUES // size))
        some, waiting = waiting[-count:], waiting[:-count]
        for k, states in zip(some, _viterbi([texts[k] for k in some], [logs[k] for k in some]), strict=True):
            found[k] = states
    return found


def _viterbi(texts: Sequence[str], logs: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the state of each frame on the likeliest path through all characters of each line."""
    frames, states = (max(log.shape[axis] for log in logs) for axis in (0, 1))
    logs_TLS = np.full((frames, len(logs), states), -np.inf)
    skip_LS = np.full((len(logs), states), -np.inf)
    for n, (text, log) in enumerate(zip(texts, logs, strict=True)):
        logs_TLS[: len(log), n, : log.shape[1]] = log
        # a character may follow another without a blank, unless they are equal
        skip_LS[n, 3 : log.shape[1] : 2] = [0.0 if a != b else -np.inf for a, b in pairwise(text)]
    scores = np.full((frames, len(logs), states + 2), -np.inf)  # two columns in front, for the states before the first
    scores[0, :, 2:4] = logs_TLS[0, :, :2]
    best = np.empty((frames, len(logs), states))
    for t in range(1, frames):
        before, now = scores[t - 1], best[t]
        np.add(before[:, :-2], skip_LS, out=now)
        np.maximum(now, before[:, 1:-1], out=now)
        np.maximum(now, before[:, 2:], out=now)
        np.add(now, logs_TLS[t], out=scores[t, :, 2:])
    stays, steps = best[1:] == scores[:-1, :, 2:], best[1:] == scores[:-1, :, 1:-1]
    back = np.where(stays, 0, np.where(steps, 1, 2)).astype(np.int8)
    for n, log in enumerate(logs):
        last, end = scores[len(log) - 1, n, 2:], log.shape[1]
        state = end - 1 if last[end - 1] >= last[end - 2] else end - 2
        yield _trace(back[: len(log) - 1, n], state)


def _trace(back: np.ndarray, state: int) -> np.ndarray:
    """Return the state of each frame, from the last one and the steps back."""
    steps, width = back.tobytes(), back.shape[1]
    path = [state]
    for t in range(len(back) - 1, -1, -1):
        state -= steps[t * width + state]
        path.append(state)
    return np.array(path[::-1])


def _owners(states: np.ndarray, count: int) -> np.ndarray:
    """Return the character that each frame belongs to; a blank belongs to the nearer of its neighbours."""
    frames = np.arange(len(states))
    inked = np.flatnonzero(states % 2 == 1)
    if not len(inked):
        return np.zeros(len(states), int)
    after = np.searchsorted(inked, frames).clip(0, len(inked) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(np.abs(inked[before] - frames) <= np.abs(inked[after] - frames), inked[before], inked[after])
    return np.minimum(states[nearer] // 2, count - 1)
