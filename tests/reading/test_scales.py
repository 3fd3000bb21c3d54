"""Type of every size on one page, sideways regions, large pages, single digits, and time limits."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.document.elements import Page
from vary.document.lines import TextLine, split_box
from vary.io.deadline import time_limit
from vary.reading.loader import load_reader
from vary.reading.network import TILE_PIXELS, WIDEST, parts_of, tiles_of
from vary.reading.reader import Reader
from vary.reading.scales.measure import Measured, confidence_of_turns
from vary.reading.scales.merge import drop_strokes, find_texts, is_upright, merge_pass, reread_cells, take_turned

BODY = ["The ferry leaves the old pier at nine", "and carries eleven crates of apples", "to the mill on the far shore"]


def cell(text: str, box: tuple[float, float, float, float], sure: float) -> TextLine:
    rivals = np.zeros((1, 1), np.float32)
    return TextLine(text, np.array([box], np.float32), np.full(1, sure, np.float32), 16, rivals=rivals)


@pytest.fixture(scope="module")
def nano() -> Reader:
    return load_reader("vary-nano")


def draw(size: tuple[int, int], *texts: tuple[str, int, int, int]) -> Image.Image:
    """A white page with texts, each with its left, top and font size in px."""
    image = Image.new("L", size, 255)
    for text, x, y, px in texts:
        ImageDraw.Draw(image).text((x, y), text, 0, ImageFont.load_default(px))
    return image


def body(y: int) -> list[tuple[str, int, int, int]]:
    return [(line, 40, y + 24 * k, 17) for k, line in enumerate(BODY)]


def test_headings_of_every_size_are_read_whole(nano) -> None:
    page = nano.read(draw((1100, 700), ("Orchard", 40, 20, 44), ("Harvest", 40, 110, 170), *body(400)))
    assert [line.text for line in page.lines] == ["Orchard", "Harvest", *BODY]


def test_small_type_on_a_page_of_large_type_is_read(nano) -> None:
    """The densest part of the page has the largest type, which sets the scale of the page."""
    image = draw(
        (1300, 1000),
        ("Oak chairs", 40, 20, 200),
        ("Lanterns", 40, 260, 120),
        *body(450),
        ("Kettles and jugs", 40, 600, 40),
    )
    page = nano.read(image, 16 / 200)
    assert {line.text for line in page.lines} == {"Oak chairs", "Lanterns", "Kettles and jugs", *BODY}


def test_a_page_of_few_large_letters_is_read(nano) -> None:
    image = draw((1500, 500), ("Gate 47 B", 60, 90, 260))
    assert nano.read(image, nano.wanted_scale(image)).text == "Gate 47 B"


def test_strokes_of_large_letters_are_no_marks_beside_them() -> None:
    def line(text: str, box: tuple[float, float, float, float], em: float) -> TextLine:
        return TextLine(text, split_box(box, len(text)), np.full(len(text), 0.9, np.float32), em)

    title, leg, body = (
        line("Apiary", (100, 50, 700, 250), 200),
        line("/", (70, 180, 84, 206), 20),
        line("/", (900, 60, 914, 86), 20),
    )
    word = line("7", (70, 120, 84, 146), 20)
    assert [one.text for one in drop_strokes([title, leg, word, body])] == ["Apiary", "7", "/"]


@pytest.mark.parametrize(("text", "sure", "kept"), [("10", 0.95, ["10", "11 }"]), ("()", 0.6, ["H7"])])
def test_small_lines_that_are_sure_are_no_strokes_of_one_large_letter(text, sure, kept) -> None:
    def line(text: str, box: tuple[float, float, float, float], sure: float, em: float) -> TextLine:
        return TextLine(text, split_box(box, len(text)), np.full(len(text), sure, np.float32), em)

    small = [
        line(text, (108, 416, 123, 430), sure, 14),
        line("11 }" if sure > 0.9 else "/\\", (107, 434, 141, 450), sure, 16),
    ]
    large = line("i," if sure > 0.9 else "H7", (100, 401, 150, 457), 0.92, 57)
    assert [one.text for one in merge_pass(small, [large], 4)] == kept


def test_a_part_of_a_digit_that_reads_as_the_digit_goes() -> None:
    pixels = np.full((100, 200), 255, np.uint8)
    digit, part, other = (
        cell("9", (50, 30, 60, 50), 0.95),
        cell("?", (51, 40, 59, 52), 0.5),
        cell("7", (120, 30, 130, 50), 0.6),
    )

    def read(canvas: np.ndarray) -> list[TextLine]:
        slots = [cell("9", (16, 10, 26, 30), 0.94), cell("1", (64 + 16, 12, 64 + 26, 32), 0.9)]
        return slots

    found = reread_cells([digit, part, other], pixels, read)
    assert [one.text for one in found] == ["9", "1"]
    assert found[0] is digit


@pytest.mark.parametrize(
    ("text", "left", "top", "sure", "kept"),
    [
        ("7", 100, 80, 0.35, True),
        ("7", 100, 80, 0.25, False),  # too uncertain
        ("7", 150, 80, 0.35, False),  # in no column
        ("7", 100, 95, 0.35, False),  # in no row
        ("-", 100, 80, 0.35, False),  # no letter and no digit
    ],
)
def test_an_uncertain_cell_of_a_table_is_kept(text, left, top, sure, kept) -> None:
    cells = [cell(ch, (100, 20 * k, 110, 20 * k + 16), 0.9) for k, ch in enumerate("1234")]
    cells += [cell("9", (20, 20 * k, 30, 20 * k + 16), 0.9) for k in range(5)]
    doubted = cell(text, (left, top, left + 10, top + 16), sure)
    assert len(find_texts([*cells, doubted])) == len(cells) + kept


@pytest.mark.parametrize(("sure", "top", "kept"), [(0.5, 12, False), (0.8, 12, True), (0.5, 22, True)])
def test_a_doubted_line_over_certain_ones_is_their_echo(sure, top, kept) -> None:
    certain = [cell("harbour", (10, 10, 90, 20), 0.95), cell("captain", (10, 22, 60, 32), 0.95)]
    doubted = cell("-.>2*", (10, top, 90, top + 20), sure)
    assert len(find_texts([*certain, doubted])) == 2 + kept


@pytest.mark.parametrize(
    ("text", "kept"), [("_A" * 30, False), ("v" * 40, False), ("1 Reefs " + "." * 40 + " 3", True)]
)
def test_an_ornament_of_a_border_is_no_text(text, kept) -> None:
    boxes = np.array([(10 * k, 0, 10 * k + 9, 16) for k in range(len(text))], np.float32)
    assert len(find_texts([TextLine(text, boxes, np.full(len(text), 0.95, np.float32), 16)])) == kept


def test_what_reads_upright_is_judged_by_its_own_characters() -> None:
    """A row of misread sideways words has its middle in one of them, and its characters elsewhere."""
    size = (400, 300)
    turned = TextLine("Veil", split_box((100, 120, 140, 140), 4), np.full(4, 0.8, np.float32), 16)
    place = (120, 160, 140, 200)  # of the turned line on the upright page, for 270 degrees
    row = TextLine("g & 5", split_box((0, 170, 260, 190), 5), np.full(5, 0.9, np.float32), 16)
    assert not is_upright(turned, 270, [row], size)
    digits = [
        TextLine(str(k), split_box((122, 162 + 9 * k, 132, 170 + 9 * k), 1), np.full(1, 0.9, np.float32), 9)
        for k in range(4)
    ]
    assert all(place[1] < one.box[1] < place[3] for one in digits)
    assert is_upright(turned, 270, digits, size)
    sure = TextLine("oouo", turned.boxes, np.full(4, 0.95, np.float32), 16)  # a column of digits reads so, too
    assert is_upright(sure, 270, digits, size)


def test_a_sideways_region_is_read_beneath_an_upright_one(nano) -> None:
    table = draw(
        (420, 260), ("Kettle", 20, 20, 18), ("Basket", 20, 80, 18), ("Lantern", 20, 140, 18), ("Anchor", 20, 200, 18)
    )
    page = draw((700, 800), *body(40))
    page.paste(table.transpose(Image.Transpose.ROTATE_90), (60, 300))
    assert nano.find_orientation(page).rotation == 0
    found = nano.read(page)
    texts = {line.text: block.angle for block in found.blocks for line in block.lines}
    assert {text for text, angle in texts.items() if angle == 0} == set(BODY)
    assert {"Kettle", "Basket", "Lantern", "Anchor"} <= {text for text, angle in texts.items() if angle}


def test_text_of_both_sideways_directions_and_upside_down_is_read_next_to_upright_text(nano) -> None:
    page = draw((900, 900), *((line, 160, 60 + 40 * k, 18) for k, line in enumerate(BODY * 4)))
    for text, turn, place in (
        ("Printed in the old town hall", "ROTATE_90", (40, 150)),
        ("Kept in the northern library", "ROTATE_270", (830, 150)),
        ("The answers are on page nine", "ROTATE_180", (300, 760)),
    ):
        page.paste(draw((300, 30), (text, 5, 3, 18)).transpose(Image.Transpose[turn]), place)
    found = {line.text: block.angle % 360 for block in nano.read(page).blocks for line in block.lines}
    assert {line: found.get(line) for line in BODY} == dict.fromkeys(BODY, 0)
    assert found.get("Printed in the old town hall") == 270
    assert found.get("Kept in the northern library") == 90
    assert found.get("The answers are on page nine") == 180


def test_an_upside_down_table_is_read_with_its_digits_and_in_its_order(nano) -> None:
    rows = (
        ("Harbour", "Metres", "Lights"),
        ("Norwood", "14.2", "7"),
        ("Garrick", "9.8", "3"),
        ("Saltwick", "21.5", "4"),
    )
    cells = [(text, 20 + 170 * k, 20 + 34 * row, 17) for row, texts in enumerate(rows) for k, text in enumerate(texts)]
    notes = [("Depths are those of low water.", 20, 200, 17), ("Lights are lit at sunset.", 20, 270, 17)]
    page = draw((800, 800), *body(40))
    page.paste(draw((460, 310), *cells, *notes).transpose(Image.Transpose.ROTATE_180), (200, 300))
    found = nano.read(page)
    turned = " ".join(block.text for block in found.blocks if block.angle % 360 == 180).split()
    assert turned == " ".join([*(cell for row in rows for cell in row), *(note[0] for note in notes)]).split()


def test_single_digits_stay_with_their_confidence(nano) -> None:
    digits = [(str(k), 60 + 90 * k, 60 + 60 * row, 17) for row in range(3) for k in range(1, 9)]
    page = nano.read(draw((860, 300), *digits))
    found = [ch for line in page.lines for ch in line.text if ch.isdigit()]
    assert sorted(found) == sorted("12345678" * 3)


def test_tiles_cover_an_image_once_in_few_sizes() -> None:
    seen, sizes = np.zeros((9600, 2944), int), set()
    for tile in tiles_of(*seen.shape, 32):
        y0, x0, y1, x1 = tile.core
        seen[y0:y1, x0:x1] += 1
        top, left, bottom, right = tile.shown
        assert (bottom - top) * (right - left) <= TILE_PIXELS
        sizes.add((bottom - top, right - left))
    assert (seen == 1).all()
    assert len(sizes) <= 9


def test_tiles_read_what_one_pass_reads(nano, monkeypatch) -> None:
    rng = np.random.default_rng(2)
    lines = [" ".join(rng.choice(" ".join(BODY).split(), 8)) for _ in range(36)]
    image = draw((960, 900), *((line, 30, 20 + 24 * k, 17) for k, line in enumerate(lines)))
    whole = nano.read(image).text
    monkeypatch.setattr("vary.reading.network.TILE_PIXELS", 300_000)
    monkeypatch.setattr("vary.reading.network.TILE_PX", 512)
    assert nano.read(image).text == whole


def test_wide_pages_are_read_in_parts_that_cut_no_line(nano, monkeypatch) -> None:
    """What a row of tiles holds is bounded, whatever the width."""
    columns = [(line, 30 + 420 * c, 20 + 24 * k, 17) for c in range(5) for k, line in enumerate(BODY)]
    image = draw((2112, 128), *columns)
    whole = sorted((line.box[0], line.text) for line in nano.read(image).lines)
    monkeypatch.setattr("vary.reading.network.WIDEST", 960)
    parts = parts_of(np.asarray(image), 32)
    assert len(parts) > 2
    assert all(part.stop - part.start <= 960 and part.stop % 32 == 0 for part in parts)
    found = sorted((line.box[0], line.text) for line in nano.read(image).lines)
    assert [text for _, text in found] == [text for _, text in whole]
    assert np.array([x for x, _ in found]) == pytest.approx(np.array([x for x, _ in whole]), abs=2)


def test_a_wide_page_without_a_gap_is_cut_all_the_same() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 5 * WIDEST), np.uint8)
    parts = parts_of(noise, 32)
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == noise.shape[1]
    assert max(part.stop - part.start for part in parts) == WIDEST


def test_a_time_limit_keeps_what_was_read(nano, monkeypatch) -> None:
    """However slow the network is, the page's text is a part of the text without a limit."""
    image = draw((900, 1200), *(text for k in range(8) for text in body(30 + 140 * k)))
    whole = nano.read(image)
    monkeypatch.setattr("vary.reading.network.TILE_PIXELS", 300_000)
    monkeypatch.setattr("vary.reading.network.TILE_PX", 320)
    with time_limit(-1.0):
        part = nano.read(image)
    assert part.status == "timeout"
    assert part.error
    assert 0 < len(part.lines) < len(whole.lines)
    assert {line.text for line in part.lines[:2]} <= {line.text for line in whole.lines}


def test_rejected_ink_is_in_the_json() -> None:
    page = Page(1, "ok")
    assert page.to_dict()["rejected"] == []
    assert Page.from_dict(page.to_dict()) == page


def test_a_short_word_in_capitals_is_not_upside_down() -> None:
    def read(text: str) -> TextLine:
        boxes = split_box((40, 40, 40 + 9 * len(text), 56), len(text))
        return TextLine(text, boxes, np.full(len(text), 0.95, np.float32), 16)

    short, long = read("wsos"), read("The answers are on page nine")
    assert take_turned([short], 180) == []
    assert take_turned([short], 90) == [short]
    assert take_turned([long], 180) == [long]


def test_signs_do_not_turn_a_page_whose_letters_read_better_upright() -> None:
    upright = Measured(16.0, 1.0, confidence=0.71, letters=0.93)
    inverted = Measured(16.0, 1.0, confidence=0.78, letters=0.71)  # commas and apostrophes
    shown = {1: upright, 2: inverted, 3: Measured(16.0, 1.0, confidence=0.97, letters=0.96)}
    confidence = confidence_of_turns(lambda image: shown[image.width])
    assert [confidence(Image.new("L", (width, 1))) for width in (1, 2, 3)] == [0.71, 0.71, 0.97]
