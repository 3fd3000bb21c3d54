"""Noisy scans, rules between columns, and the stroke of ł."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.reading.test_scales import BODY, body, draw
from vary.document.evidence import Evidence
from vary.document.layout.bitmap import find_drawn_objects
from vary.document.lines import TextLine, split_box
from vary.models.images.preprocess import Fit
from vary.reading.loader import load_reader
from vary.reading.pages import read_document
from vary.reading.reader import Reader
from vary.reading.scales.columns import part_at_rules
from vary.reading.scales.rules import erase_rules
from vary.reading.scales.specks import drop_noise, erase_specks
from vary.reading.spelling.lookalikes import RIVALS, rival_odds
from vary.reading.spelling.stroked_l import spell_stroked_l


@pytest.fixture(scope="module")
def nano() -> Reader:
    return load_reader("vary-nano")


def speckled(count: int) -> np.ndarray:
    """A page of three lines with specks of 1 to 3 px that are not at the lines."""
    page, rng = np.array(draw((700, 700), *body(300))), np.random.default_rng(1)
    for y, x, size in rng.integers((0, 0, 1), (690, 690, 4), (count, 3)).tolist():
        if not 280 < y < 390:
            page[y : y + size, x : x + size] = 20
    return page


def test_specks_of_a_noisy_scan_go_and_text_stays(nano) -> None:
    page = speckled(400)
    assert len(nano.read(Image.fromarray(page)).lines) == len(BODY)
    cleaned = erase_specks(Fit(page, 1.0), 16.0)[0].pixels
    assert (cleaned[300:380] == page[300:380]).all()
    assert (cleaned[:280] < 200).sum() < 0.05 * (page[:280] < 200).sum()


@pytest.mark.parametrize(("apart", "rows"), [(6, 24), (9, 24), (17, 18)])
def test_pages_with_few_specks_or_with_leaders_stay_as_they_are(apart, rows) -> None:
    few = Fit(speckled(20), 1.0)
    assert erase_specks(few, 16.0) == (few, False)
    leaders = np.array(draw((700, 700), *body(300)))
    for y in range(420, 660, rows):
        leaders[y : y + 2, 40:600:apart] = leaders[y : y + 2, 41:601:apart] = 0
    assert erase_specks(Fit(leaders, 1.0), 16.0)[1] is False


def test_a_rule_between_columns_is_no_stroke_and_parts_lines() -> None:
    page = np.full((400, 300), 255, np.uint8)
    page[20:380, 150:152] = 60
    assert (erase_rules(page, 16.0) == 255).all()
    text, box = "few of trade.", (20.0, 100.0, 280.0, 116.0)
    line = TextLine(text, np.array(split_box(box, len(text)), np.float32), np.ones(len(text), np.float32), 16.0)
    other = replace(line)  # no text
    lines, texts = part_at_rules([line, other], [line], Evidence(column_rules=[(150, 20, 152, 380)]))
    assert [part.text for part in texts] == ["few of", "trade."]
    assert lines == [other, *texts]
    short_or_beside = Evidence(column_rules=[(150, 20, 152, 110), (10, 20, 12, 380)])
    assert part_at_rules([line], [line], short_or_beside)[1] == [line]
    assert find_drawn_objects(page, [], [], 16.0).column_rules == [(150, 20, 152, 379)]


def test_upright_rules_of_a_grid_that_were_read_as_bars_are_no_text() -> None:
    text, box = "| New rope | Old | x", (20.0, 100.0, 220.0, 116.0)
    line = TextLine(text, np.array(split_box(box, len(text)), np.float32), np.ones(len(text), np.float32), 16.0)
    rules = [(20.0 + 10 * k + 4, 60.0, 20.0 + 10 * k + 6, 180.0) for k in (0, 11)]
    assert [part.text for part in part_at_rules([line], [line], Evidence(rules=rules))[1]] == ["New rope", "Old | x"]
    short = [(x0, 100.0, x1, 118.0) for x0, _, x1, _ in rules]
    assert part_at_rules([line], [line], Evidence(rules=short))[1] == [line]


def test_columns_with_a_rule_between_them_are_read_apart(nano) -> None:
    left = [
        "The ferry leaves the pier",
        "at nine and carries eleven",
        "crates of apples to the far",
        "shore of the lake, and on",
    ]
    right = [
        "In winter the mail comes",
        "only twice a week. When it",
        "is frozen, two men drag a",
        "boat over the ice and row",
    ]
    texts = [(text, x, 30 + 24 * k, 17) for x, column in ((40, left), (270, right)) for k, text in enumerate(column)]
    image = draw((520, 150), *texts)
    ImageDraw.Draw(image).line((260, 10, 260, 140), 0, 1)
    assert nano.read(image).text.replace("\n\n", " ").replace("\n", " ") == " ".join([*left, *right])


def polish(*words: str) -> list[TextLine]:
    """Lines in which each `?` is read as l in two frames, beside one that shows some ł."""
    alphabet, lines = "abcdełylmnstwz", []
    for word in words:
        path = np.zeros((3 * len(word), len(alphabet) + 1), np.float32)
        for k, ch in enumerate(word):
            path[3 * k + 1, alphabet.index(ch.replace("?", "l")) + 1] = 0.9
            if ch == "?":
                path[3 * k + 2, alphabet.index("ł") + 1] = 0.5
        at = np.arange(1, len(path), 3)
        boxes = np.array(split_box((0, 0, 10 * len(word), 16), len(word)), np.float32)
        rivals = rival_odds(path, at, alphabet)
        assert rivals.shape == (len(word), len(RIVALS))
        lines.append(TextLine(word.replace("?", "l"), boxes, path[at].max(1), 16.0, rivals=rivals))
    return lines


def test_the_stroke_of_a_polish_letter_may_show_in_one_frame() -> None:
    assert [line.text for line in spell_stroked_l(polish("był", "mały", "m?yn", "?at", "stal"))] == [
        "był",
        "mały",
        "młyn",
        "łat",
        "stal",
    ]
    assert [line.text for line in spell_stroked_l(polish("m?yn", "?at", "stal"))] == [
        "mlyn",
        "lat",
        "stal",
    ]  # not Polish


def test_noise_is_fainter_than_the_text_of_its_page() -> None:
    page = np.full((200, 400), 216, np.uint8)
    page[24:34, 20:300:4], page[104:114, 20:30:4], page[144:154, 20:30:4] = 100, 200, 150
    lines = [
        TextLine(
            "x" * n, np.array(split_box((18.0, y, 18.0 + 10 * n, y + 14.0), n), np.float32), np.full(n, 0.95), 14.0
        )
        for n, y in ((30, 22), (1, 102), (1, 142))
    ]
    assert drop_noise(lines, page, False) == [lines[0], lines[2]]
    assert drop_noise(lines[1:], page, False) == lines[1:]  # nothing to compare with


def test_a_fax_with_half_the_lines_is_read_at_its_true_height(nano, tmp_path) -> None:
    """Faxes have 204 dots per inch across and 98 down."""
    words = ["The ferry leaves the old pen at seven", "and goes to the far shore of the lake"]  # no dots to lose
    texts = [(text, 80, 200 + 48 * k, 34) for k, text in enumerate(words)]
    page = draw((1000, 625), *texts).resize((1000, 300))
    page.convert("1").save(tmp_path / "fax.tif", dpi=(204, 98))
    read = read_document(tmp_path / "fax.tif", nano).pages[0]
    assert [line.text for line in read.lines] == words
    assert (read.width, read.height) == (1000, 300)
    assert 60 < read.lines[0].box[0] < 100
    assert 85 < read.lines[0].box[1] < 110


def test_a_row_of_dots_in_a_listing_is_no_noise() -> None:
    page = np.full((200, 400), 255, np.uint8)
    page[24:34, 20:300:4] = 60
    for x in (20, 30, 40):
        page[112:114, x : x + 2] = 60
    boxes = [np.array(split_box((18.0, y, 18.0 + 10 * n, y + 16.0), n), np.float32) for n, y in ((30, 22), (3, 100))]
    lines = [TextLine("x" * 30, boxes[0], np.ones(30), 16.0), TextLine("...", boxes[1], np.ones(3), 16.0)]
    assert drop_noise(lines, page, False) == lines
