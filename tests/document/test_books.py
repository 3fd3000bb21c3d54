"""Indexes, contents, minutes and notes in margins: lines that stand for themselves."""

from __future__ import annotations

from dataclasses import replace

from tests.document.test_layout import line as placed
from tests.document.test_structure import block, line, page
from vary.document.evidence import Evidence
from vary.document.layout.arrange import lay_out
from vary.document.running_text import styled_text


def test_entries_of_an_index_are_lines() -> None:
    entries = ["absorption, 12, 44–46", "air, 3, 9, 17–19, 102", "amber, 7"]
    shown = block(*(line(text, 10, 20 + 18 * k) for k, text in enumerate(entries)))
    assert styled_text(shown)[0] == "\n".join(entries)
    prose = ["lamps were lit in 12, 13", "and 14 places along the", "quay, and then some more"]
    assert "\n" not in styled_text(block(*(line(text, 10, 20 + 18 * k) for k, text in enumerate(prose))))[0]


def test_labels_in_bold_begin_lines() -> None:
    bold = [(0, 8, "bold")]
    lines = [line("Present: Alder (chair), Birch, Cedar, Dogwood, Hazel and Ivy", 10, 20)]
    lines += [line("Excused: Elm, who is ill, Fir, who is at sea until the tenth", 10, 38)]
    assert styled_text(block(*(replace(one, styles=[*bold]) for one in lines)))[0] == "\n".join(x.text for x in lines)
    spaced = [replace(one, styles=[(0, 9, "bold")]) for one in lines]  # a blank may be in the type of the label
    assert styled_text(block(*spaced))[0].count("\n") == 1
    assert styled_text(block(*lines))[0].count("\n") == 0


def test_an_entry_of_contents_ends_with_its_number() -> None:
    lines = [line("• 3 Results of the tests . . . . . . . . . 9", 10, 20)]
    lines += [line("List of signs . . . . . . . . . . . . . . 12", 24, 38)]
    found = page(block(*lines))
    assert [one.text for one in found.blocks] == [one.text for one in lines]
    wrapped = [line("• 3.1 Results of the first of all the tests", 10, 20), line("of wicks . . . . . 9", 52, 38)]
    assert len(page(block(wrapped[0]), block(wrapped[1])).blocks) == 1


def test_an_item_in_smaller_type_below_a_wrapped_one_is_nested() -> None:
    lines = [line("• needs a store of twelve", 10, 20, 20), line("metres", 30, 44, 20), line("– it is dry", 60, 68, 15)]
    assert [one.kind for one in page(block(*lines[:2]), block(lines[2])).blocks] == ["list"]


def test_notes_in_the_margin_are_read_after_the_column_on_their_left_and_before_that_on_their_right() -> None:
    text = "words that run on and on, and on they run to the end"
    for x, place in ((20, 440), (160, 10)):
        column = [placed(text, x, 20 + 20 * k) for k in range(12)]
        notes = [placed("Compare the list", place, 83 + 14 * k, 11) for k in range(2)]
        blocks = lay_out([*column, *notes], Evidence(), (600, 800), ())
        found = [one.text for block in blocks for one in block.lines]
        assert found == (
            [text] * 12 + ["Compare the list"] * 2 if x < place else ["Compare the list"] * 2 + [text] * 12
        )


def test_numbers_of_lines_in_the_margin_stay_with_their_lines() -> None:
    column = [placed("words that run on and on, and on they run to the end", 60, 20 + 20 * k) for k in range(12)]
    numbers = [placed(str(5 * k + 5), 30, 20 + 20 * (5 * k + 4), 11) for k in range(2)]
    found = [one.text for block in lay_out([*column, *numbers], Evidence(), (600, 800), ()) for one in block.lines]
    assert not found[0].startswith("5")
