"""Places where the head sees more than one spelling."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from vary.document.lines import Alternative
from vary.reading.ctc import best_path
from vary.reading.spelling.alternatives import find_alternatives, restore_lost, spellings

ALPHABET = " mnrcl"


def path_of(frames: list[str | dict[str, float]]) -> np.ndarray:
    """Probabilities (T, A): of each frame a character, "" for blank, or how likely each of several is."""
    rows = np.full((len(frames), len(ALPHABET) + 1), 1e-6)
    for row, frame in zip(rows, frames, strict=True):
        for ch, p in (frame if isinstance(frame, dict) else {frame: 1.0}).items():
            row[ALPHABET.index(ch) + 1 if ch else 0] = p
    return rows / rows.sum(1, keepdims=True)


def alternatives_of(frames: list[str | dict[str, float]]) -> tuple[str, list[Alternative]]:
    path = path_of(frames)
    text, at, _ = best_path(path, ALPHABET)
    return text, find_alternatives(path, text, at, ALPHABET)


def test_spellings_are_those_of_all_alignments() -> None:
    """Prefix beam search against the sum over every alignment; frames with few likely classes, so nothing is cut."""
    rng = np.random.default_rng(4)
    path = np.full((5, len(ALPHABET) + 1), 0.0)
    for row in path:
        row[rng.choice(len(row), 2, replace=False)] = rng.dirichlet([1, 1])
    sums: dict[str, float] = defaultdict(float)
    for alignment in product(range(path.shape[1]), repeat=len(path)):
        p = float(np.prod(path[np.arange(len(path)), alignment]))
        kept = [k for k, before in zip(alignment, (-1, *alignment), strict=False) if k != before and k]
        sums["".join(ALPHABET[k - 1] for k in kept)] += p
    likely = {text: np.log(p) for text, p in sums.items() if p > 0.05}
    found = spellings(path, ALPHABET)
    assert likely
    for text, p in likely.items():
        assert found[text] == pytest.approx(p, abs=0.02), text


def test_a_sure_line_has_no_doubts() -> None:
    flanks = {"m": 0.4, "": 0.6}  # of a spike, no rival
    assert alternatives_of(["", flanks, "m", flanks, "", "n", "", "", "c", "c", ""]) == ("mnc", [])


def test_a_doubt_names_its_place_and_its_odds() -> None:
    text, (doubt,) = alternatives_of(["", "c", "", {"r": 0.6, "m": 0.4}, {"n": 0.6, "": 0.4}, "", "l", ""])
    assert text == "crnl"
    assert (doubt.start, doubt.end) == (1, 3)
    odds = dict(doubt.others)
    assert odds["m"] == pytest.approx(np.log(0.4 * 0.4 / 0.36), abs=1e-3)
    assert set(odds) == {"m", "r", "mn"}


def test_a_letter_may_be_missing_or_too_many() -> None:
    text, (doubt,) = alternatives_of(["", "c", "", {"": 0.7, "l": 0.3}, "", "m", ""])
    assert (text, doubt.start, doubt.end) == ("cm", 1, 1)
    assert [other for other, _ in doubt.others] == ["l"]
    text, (doubt,) = alternatives_of(["", "c", "", {"": 0.4, "l": 0.6}, "", "m", ""])
    assert (text, doubt.start, doubt.end) == ("clm", 1, 2)
    assert [other for other, _ in doubt.others] == [""]


def test_unlikely_spellings_are_none() -> None:
    assert alternatives_of(["", {"r": 0.99, "m": 0.01}, ""])[1] == []
    (doubt,) = alternatives_of(["", {"r": 0.8, "m": 0.197, "n": 0.003}, ""])[1]
    assert [other for other, _ in doubt.others] == ["m"]


def test_doubts_move_with_their_text() -> None:
    assert Alternative(4, 6, (("m", -1.0),)).shift(3) == Alternative(1, 3, (("m", -1.0),))


@pytest.mark.parametrize(
    ("text", "at", "faint", "expected"),
    [
        ("142031", (0, 6, 15, 21, 27, 33), {10: "/", 11: "/"}, "14/2031"),
        ("142031", (0, 6, 15, 21, 27, 33), {10: "8", 11: "8"}, "142031"),  # it has no room
        ("25.59", (8, 15, 19, 25, 32), {1: "f", 2: "£"}, "£25.59"),
        ("a 25.5", (0, 6, 14, 20, 24, 30), {9: "f", 10: "f"}, "a 25.5"),
        ("A  B12", (0, 6, 19, 25, 31, 37), {12: "&", 13: "&"}, "A & B12"),
        ("was 10", (0, 6, 12, 18, 24, 30), {35: "%", 36: "%"}, "was 10%"),
        ("was 10", (0, 6, 12, 18, 24, 30), {35: "s", 36: "s"}, "was 10"),
        ("stnd up", (0, 5, 18, 24, 31, 36, 42), {11: "a", 12: "a"}, "stand up"),
        ("stnd up", (0, 5, 12, 18, 25, 30, 36), {8: "a", 9: "a"}, "stnd up"),
    ],
)
def test_a_character_that_no_frame_is_sure_of_is_found_in_its_gap(text, at, faint, expected) -> None:
    alphabet = "".join(sorted(set(text + expected + "".join(faint.values()))))
    path = np.full((48, len(alphabet) + 1), 1e-6)
    path[:, 0] = 1.0
    for frame, ch in zip(at, text, strict=True):
        path[frame, alphabet.index(ch) + 1], path[frame, 0] = 0.95, 0.05
    for frame, ch in faint.items():
        path[frame, alphabet.index(ch) + 1], path[frame, 0] = 0.4, 0.6
    spelt, frames, sure = restore_lost(path, *best_path(path, alphabet), alphabet, 12.0)
    assert spelt == expected
    assert len(spelt) == len(frames) == len(sure)
    assert (np.diff(frames) > 0).all()
