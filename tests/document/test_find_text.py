"""Texts are found over blocks and pages, whatever their case, blanks and quotation marks."""

from __future__ import annotations

import pytest

from vary.document.elements import Block, Line, Page
from vary.document.running_text import find_text


def block(*lines: str, kind: str = "text") -> Block:
    boxes = [(10.0, 20.0 * k, 10.0 + 8 * len(line), 20.0 * k + 16) for k, line in enumerate(lines)]
    return Block([Line(text, box, 0.9) for text, box in zip(lines, boxes, strict=True)], (10, 0, 400, 400), kind)


PAGES = [
    Page(1, "ok", blocks=[
        block("A Title", kind="heading"),
        block("The tide reached the old"),
        block("Figure 3: A mole", kind="caption"),
        block("harbour wall at “nine” — as it does"),
        block("in every well-"),
        block("1", kind="footer"),
    ]),
    Page(2, "ok", blocks=[
        block("TIDES", kind="header"),
        block("known month. The old harbour is dry."),
    ]),
]  # fmt: skip


def found(text: str, pages: list[Page] = PAGES) -> list[list[tuple[int, str]]]:
    return [[(page.number, one.text) for page, one in passage] for passage in find_text(iter(pages), text)]


@pytest.mark.parametrize("text", ["THE TIDE  reached", "Figure 3", "tides", "the tide reached the old"])
def test_a_text_within_one_block(text) -> None:
    ((place,),) = found(text)
    assert text.casefold().split()[0] in place[1].casefold()


def test_a_text_over_blocks_skips_what_lies_between() -> None:
    ((first, second),) = found('reached the old harbour wall at "nine" - as')
    assert (first, second) == ((1, "The tide reached the old"), (1, "harbour wall at “nine” — as it does"))


def test_a_text_over_pages_and_a_divided_word() -> None:
    (passage,) = found("does in every wellknown month")
    assert [number for number, _ in passage] == [1, 1, 2]


def test_every_place_is_found_once() -> None:
    assert [len(passage) for passage in found("old harbour")] == [2, 1]
    assert found("harbour harbour") == found("wall at the") == found("") == found("  ") == []


def test_a_long_text_over_many_short_blocks() -> None:
    words = [f"word{k}" for k in range(60)]
    pages = [Page(k + 1, "ok", blocks=[block(*words[4 * k : 4 * k + 4])]) for k in range(15)]
    (passage,) = found(" ".join(words[5:50]), pages)
    assert [number for number, _ in passage] == list(range(2, 14))
    assert found(" ".join([*words[5:50], "other"]), pages) == []
