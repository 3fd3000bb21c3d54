"""Percent signs, whose halves look like small characters."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pdfs import pdf_of, show
from vary.reading.ctc import merge_close
from vary.reading.loader import load_reader
from vary.reading.pages import read_document
from vary.reading.spelling.parts import merge_parts

EM_FRAMES = 12.0


def merged(text: str, at: list[int]) -> str:
    confidence = np.linspace(0.5, 0.9, len(at), dtype=np.float32)
    spelt, frames, sure = merge_parts(text, np.array(at), confidence, EM_FRAMES)
    assert [at.index(frame) for frame in frames] == [int(np.argmin(np.abs(confidence - one))) for one in sure]
    return spelt


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("97.3V%", [6, 12, 16, 20, 24, 26], "97.3%"),
        ("5.39%6, n=1", [6, 10, 14, 18, 20, 24, 30, 35, 40, 48, 56], "5.3%, n=1"),
        ("50%o", [6, 12, 21, 25], "50%"),
        ("97.3%", [6, 12, 16, 20, 28], "97.3%"),
        ("path%20file", [6, 12, 16, 20, 28, 36, 42, 47, 51, 54, 59], "path%20file"),
        ("as %s, %d", [6, 12, 18, 23, 30, 35, 40, 45, 53], "as %s, %d"),
        ("100 %, or %", [6, 12, 18, 23, 26, 30, 35, 40, 45, 50, 53], "100 %, or %"),
    ],
)
def test_parts_of_a_percent_sign_are_dropped_and_its_neighbours_kept(text, at, expected) -> None:
    assert merged(text, at) == expected


@pytest.mark.parametrize(("face", "size"), [("F1", 10), pytest.param("F2", 11, marks=pytest.mark.slow)])
def test_shares_are_read_without_further_digits(tmp_path, face, size) -> None:
    random = np.random.default_rng(size)
    shares = [f"{random.integers(10, 99)}.{random.integers(0, 9)}%, n={k % 9 + 1}" for k in range(48)]
    text = "".join(show(share, 40 + 180 * (k % 3), 780 - 24 * (k // 3), size, face) for k, share in enumerate(shares))
    page = read_document(
        pdf_of(tmp_path / "shares.pdf", [text], (595, 842)), load_reader("vary-nano", pixels=True)
    ).pages[0]
    words = " ".join(line.text for line in page.lines).split()
    read = [word for word in words if "%" in word]
    assert len(read) == len(shares)
    wanted = {share.split()[0] for share in shares}
    assert sum(word in wanted for word in read) >= 0.9 * len(read)


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("$5222.00", [6, 9, 15, 21, 27, 31, 35, 41], "$222.00"),
        ("5$407.23", [6, 9, 15, 21, 27, 31, 35, 41], "$407.23"),
        ("$522.00", [6, 12, 18, 24, 28, 32, 38], "$522.00"),
        ("Ssilver", [6, 9, 14, 18, 22, 27, 32], "silver"),
        ("ll1", [6, 9, 12], "ll1"),
        ("5$55", [6, 12, 18, 21], "5$55"),
        ("lłąa", [6, 9, 12, 15], "lłąa"),
        ("ядрюom", [6, 12, 18, 23, 25, 31], "ядрom"),
        ("шщиit", [6, 8, 14, 17, 20], "щиit"),
        ("дoЛлжнa", [6, 12, 18, 19, 25, 31, 37], "дoлжнa"),
        ("юoи", [6, 14, 21], "юoи"),
        ("țjiune", [6, 12, 13, 18, 24, 30], "țiune"),
        ("porniți LAX", [6, 12, 18, 22, 28, 32, 36, 40, 46, 52, 53], "porniți LAX"),  # both are certain
        ("femry", [6, 12, 18, 19, 25], "femry"),  # an m is read for both r
    ],
)
def test_a_glyph_is_not_read_twice(text, at, expected) -> None:
    confidence = np.linspace(0.5, 0.9, len(at), dtype=np.float32)
    spelt, frames, sure = merge_close(text, np.array(at), confidence, EM_FRAMES)
    assert spelt == expected
    assert [at.index(frame) for frame in frames] == [int(np.argmin(np.abs(confidence - one))) for one in sure]
