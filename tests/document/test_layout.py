"""Tables and figures are found before the reading order, by rules, alignment and ink."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.document.elements import Block, Document, Page
from vary.document.evidence import Evidence
from vary.document.layout.arrange import find_evidence, lay_out
from vary.document.layout.bitmap import GROUND, lighten
from vary.document.lines import TextLine
from vary.document.structure import find_structure
from vary.reading.scales.rules import erase_rules

STEP, HIGH = 7, 14  # px, of a character


def line(text: str, x: float, y: float, high: float = HIGH) -> TextLine:
    """A line in proportional type: characters are of two widths."""
    wide = STEP * high / HIGH * np.array([0.7 + 0.6 * (ord(ch) % 2) for ch in text])
    right = x + np.cumsum(wide)
    boxes = np.stack([right - wide, np.full(len(text), y), right, np.full(len(text), y + high)], 1)
    return TextLine(text, boxes.astype(np.float32), np.full(len(text), 0.9, np.float32), high / 0.96)


def row(y: float, *cells: tuple[float, str]) -> list[TextLine]:
    return [line(text, x, y) for x, text in cells]


PROSE = [line("words that run on and on, and on they run " * 2, 10, 300 + 18 * k) for k in range(8)]


def laid_out(*lines: TextLine, evidence: Evidence | None = None) -> Page:
    page = Page(1, "ok", 600, 800)
    page.blocks = lay_out([*lines, *PROSE], evidence or Evidence(), (600, 800), ())
    find_structure(page)
    return page


def kinds(page: Page) -> list[str]:
    return [block.kind for block in page.blocks]


def tables(page: Page) -> list[Block]:
    return [block for block in page.blocks if block.kind == "table"]


def test_columns_of_numbers_are_a_table() -> None:
    rows = [
        row(100, (10, "name"), (200, "count"), (300, "share")),
        row(130, (10, "apples"), (220, "12"), (310, "40%")),
        row(160, (10, "pears"), (220, "18"), (310, "60%")),
        row(190, (10, "none"), (310, "0%")),
    ]
    found = laid_out(*chain(*rows))
    assert kinds(found) == ["table", "text"]
    table = found.blocks[0]
    assert table.cells == [
        ["name", "count", "share"],
        ["apples", "12", "40%"],
        ["pears", "18", "60%"],
        ["none", "", "0%"],
    ]
    assert [one.text for one in table.lines] == ["  ".join(piece.text for piece in pieces) for pieces in rows]
    assert table.box[:2] == (10, 100)


def test_lines_around_a_table_stay_as_they_were() -> None:
    rows = [row(118 + 18 * k, (10, "left"), (200, "right")) for k in range(3)]
    before, after = line("a line before the table", 10, 100), line("and one behind it", 10, 172)
    found = laid_out(before, *chain(*rows), after)
    assert kinds(found) == ["text", "table", "text", "text"]
    assert [one.text for one in found.lines[:5]] == [before.text, *["left  right"] * 3, after.text]


@pytest.mark.parametrize(
    "rows",
    [
        [row(100, (10, "two"), (200, "rows")), row(118, (10, "are"), (200, "few"))],
        [
            row(100 + 18 * k, (10 + 60 * k, "cells"), (130 + 60 * k, "that stand in no columns at all"))
            for k in range(4)
        ],
        [[line("Chapter . . . . . . .", 10, 100 + 18 * k), line(str(k), 300, 100 + 18 * k)] for k in range(4)],
        [row(100 + 18 * k, (10, f"[{k}]"), (60, "Author A, a title of a work in many words")) for k in range(4)],
        [
            row(100 + 18 * k, (10, f"{k} Long Lane of the town"), (300, f"{k} Broad Street of another"))
            for k in range(4)
        ],
    ],
    ids=["two rows", "no columns", "contents", "references", "addresses"],
)
def test_no_table(rows) -> None:
    assert not tables(laid_out(*chain(*rows)))


def test_addresses_next_to_each_other_are_read_one_after_the_other() -> None:
    left = ["Bill to:", "Lodge of Knots", "7 Teaser Lane of Linden", "Proofpur 417"]
    right = ["Ship to:", "Harbour Hall Annex", "9 Spindle Walk of Rowan", "Netpur 988"]
    lines = [line(text, x, 100 + 18 * k) for x, texts in ((10, left), (300, right)) for k, text in enumerate(texts)]
    assert [one.text for one in laid_out(*lines).lines[:8]] == left + right
    assert "7 Teaser Lane of Linden  \nProofpur 417" in Document("a", "m", [laid_out(*lines)]).markdown()


@pytest.mark.parametrize("step", [18, 30])
def test_labels_that_end_at_one_edge_stay_with_what_is_level(step) -> None:
    """As in a CV of the European form: close label lines, values of one or two lines, white between groups."""
    entries = [
        ("Name", "Katie Smith"),
        ("Personal email of this year", "smith of the kotmail"),
        ("Home page", "the page of smith"),
        ("Occupation or position held", "Independent consultant of the youth"),
        ("", "and of its members in eleven towns"),
        ("Dates", "Intern at the commission of education and"),
        ("", "culture, unit of youth in Brussels"),
        ("Name and type of employer", "Irish ministry"),
        ("Main activities held there", "Work with partners in other towns"),
        ("", "reports on it to all of the members"),
        ("Type of business or sector", "Public service of the state"),
    ]
    lines = []
    for k, (label, value) in enumerate(entries):
        name = line(label, 0, 40 + step * k)
        lines += [line(label, 230 - name.box[2], 40 + step * k)] if label else []
        lines.append(line(value, 245, 40 + step * k))
    page = laid_out(*lines)
    text = " ".join(page.text.replace("|", " ").split())
    places = [text.index(part) for label, value in entries for part in (label, value) if part]
    assert places == sorted(places)


def test_addresses_below_larger_names_are_read_one_after_the_other() -> None:
    left = ["The Marmot Company", "Some Avenue", "Somewhere MI 48823", "USA", "Tel. 555-555-5555"]
    right = ["Paulo Cereda", "Rua Bonita", "Cidade de Patos", "SP", "Brazil"]
    lines = [line("From:", 10, 60, 20), line("To:", 300, 60, 20)]
    lines += [line(text, x, 88 + 18 * k) for x, texts in ((10, left), (300, right)) for k, text in enumerate(texts)]
    found = [one.text for one in laid_out(*lines).lines]
    assert found[:12] == ["From:", *left, "To:", *right]


def test_a_row_of_boxes_with_labels_and_values_is_a_table() -> None:
    lines = row(96, (14, "Country of"), (164, "Carrier"), (314, "Packages"), (464, "Weight"))
    lines += row(114, (14, "destination:")) + row(144, (14, "Brazil"), (164, "FedEx"), (314, "1"), (464, "1 lb 1 oz"))
    (table,) = tables(laid_out(*lines, evidence=grid([10, 160, 310, 460, 590], [90, 170])))
    assert table.cells == [
        ["Country of destination:", "Carrier", "Packages", "Weight"], ["Brazil", "FedEx", "1", "1 lb 1 oz"],
    ]  # fmt: skip


def test_addresses_above_a_table_are_no_rows_of_it() -> None:
    left, right = ["From:", "Pin fixups", "26 Lane", "Saltwick"], ["Bill to:", "Known bad", "71 Street", "Fern"]
    lines = [line(text, x, 60 + 18 * k) for x, texts in ((10, left), (300, right)) for k, text in enumerate(texts)]
    rows = [["Item", "Quantity", "Amount"], ["Rope", "2", "1.50"], ["Lamp", "6", "9.00"], ["Total", "", "10.50"]]
    lines += [
        line(text, x, 140 + 20 * k)
        for k, cells in enumerate(rows)
        for x, text in zip((10, 420, 520), cells, strict=True)
        if text
    ]
    page = laid_out(*lines)
    assert [one.text for one in page.lines[:8]] == left + right
    assert tables(page)[0].cells == rows


def test_amounts_stay_with_their_items_across_the_page() -> None:
    names = ["Hosting", "Transit of data", "Tax"]
    lines = [one for k, name in enumerate(names) for one in row(100 + 22 * k, (10, name), (520, f"$4.{k}2"))]
    rules = [(8.0, y, 570.0, y + 1) for y in (94.0, 116.0, 138.0, 160.0)]
    found = laid_out(*lines, evidence=Evidence(rules=rules))
    assert tables(found)[0].cells == [["Hosting", "$4.02"], ["Transit of data", "$4.12"], ["Tax", "$4.22"]]


def test_cells_over_several_lines() -> None:
    lines = list(
        chain.from_iterable(row(100 + 40 * k, (10, f"Item {k}"), (250, f"{k}.50"), (350, f"{k}%")) for k in range(4))
    )
    lines.append(line("with a long handle", 10, 155))
    assert tables(laid_out(*lines))[0].cells[1] == ["Item 1 with a long handle", "1.50", "1%"]


def test_a_name_over_two_columns_is_a_group() -> None:
    lines = [line("Trips of a year", 205, 80)]
    lines += row(102, (10, "Water"), (200, "day"), (300, "night"))
    lines += chain.from_iterable(
        row(124 + 22 * k, (10, f"Pond {k}"), (200, f"{k}70"), (300, f"{k}21")) for k in range(3)
    )
    lines[0] = line("Trips of a year", 215, 80)
    rules = [(8.0, y, 350.0, y + 1) for y in (74.0, 118.0, 190.0)]
    page = laid_out(*lines, evidence=Evidence(rules=rules))
    (table,) = tables(page)
    assert (table.merged, table.head_rows) == ([(0, 1, 1, 2)], 2)
    assert "| Water | Trips of a year: day | Trips of a year: night |" in Document("a", "m", [page]).markdown()


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.25, 1.8, 3.1])
def test_the_order_does_not_depend_on_the_resolution(scale) -> None:
    """Two columns with a narrow gutter, a table in the right one, a line over both."""
    lines = [line("a line that runs over both of the columns of this page, as a title does", 10, 20)]
    lines += [line(f"left {k} of the columns it is in and of", 10, 60 + 18 * k) for k in range(10)]
    lines += [line(f"right {k} of the columns it is in and of", 305, 150 + 18 * k) for k in range(5)]
    lines += chain(*(row(60 + 18 * k, (305, f"Pond {k}"), (400, f"{k}70"), (480, f"{k}21")) for k in range(4)))
    scaled = [replace(one, boxes=one.boxes * np.float32(scale), em_px=one.em_px * scale) for one in lines]
    blocks = lay_out(scaled, Evidence(), (round(600 * scale), round(800 * scale)), ())
    texts = [one.text.split(" of")[0] for block in blocks for one in block.lines]
    assert texts[1:11] == [f"left {k}" for k in range(10)]
    assert [block.kind for block in blocks if block.lines[0].text.startswith("Pond")] == ["table"]
    assert texts[11:] == [*(f"Pond {k}  {k}70  {k}21" for k in range(4)), *(f"right {k}" for k in range(5))]


def grid(xs: list[int], ys: list[int], without: set[tuple[int, int, int, int]] = frozenset()) -> Evidence:
    rules = [(x, ys[0], x + 1, ys[-1]) for x in xs]
    rules += [(a, y, b, y + 1) for y in ys for a, b in pairwise(xs) if (a, y, b, y) not in without]
    return Evidence(rules=[tuple(map(float, rule)) for rule in rules])


def test_a_cell_over_several_rows_is_written_as_html() -> None:
    evidence = grid([10, 110, 210, 310], [90, 114, 138, 162, 186], {(10, 138, 110, 138)})
    lines = row(95, (14, "Town"), (114, "Boats"), (214, "Nets"))
    lines += [line("Salt & Sea", 14, 130)]
    lines += row(119, (114, "12"), (214, "7")) + row(143, (114, "3"), (214, "41"))
    lines += row(167, (14, "Fern"), (114, "120"), (214, "9"))
    page = laid_out(*lines, evidence=evidence)
    (table,) = tables(page)
    assert table.merged == [(1, 0, 2, 1)]
    assert table.cells == [["Town", "Boats", "Nets"], ["Salt & Sea", "12", "7"], ["", "3", "41"], ["Fern", "120", "9"]]
    shown = Document("a", "m", [page]).markdown()
    assert '<td rowspan="2">Salt &amp; Sea</td><td>12</td><td>7</td></tr><tr><td>3</td>' in shown
    assert Page.from_dict(page.to_dict()).blocks[0].merged == table.merged


# -- page images -------------------------------------------------------------------------------------------------------


def drawn(*lines: TextLine) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (600, 800), 255)
    draw = ImageDraw.Draw(image)
    for one in (*lines, *PROSE):
        draw.rectangle(one.box, fill=128)  # ink that was read is no figure
    return image, draw


@pytest.mark.parametrize("name", ["Fig. 2", "Abb. 2:", "Figura 2", "Rys. 2", "Рис. 2"])
def test_figure_and_its_caption(name: str) -> None:
    caption = line(f"{name} A grey box", 120, 240)
    image, draw = drawn(caption)
    draw.rectangle((100, 60, 400, 220), fill=90)
    found = laid_out(caption, evidence=find_evidence(image, [caption, *PROSE]))
    assert kinds(found) == ["figure", "caption", "text"]
    assert found.blocks[0].box == pytest.approx((100, 60, 400, 220), abs=12)
    assert found.blocks[0].confidence is None


def test_paper_of_any_shade_is_no_figure() -> None:
    noise = np.random.default_rng(0).normal(150, 6, (800, 600)).clip(0, 255).astype(np.uint8)
    assert kinds(laid_out(evidence=find_evidence(noise, PROSE))) == ["text"]


def test_rules_of_an_image_are_a_grid() -> None:
    rows = [[f"{name} {k}" for name in ("a", "b", "c")] for k in range(3)]
    lines = [line(text, 44 + 120 * c, 95 + 40 * r) for r, cells in enumerate(rows) for c, text in enumerate(cells)]
    image, draw = drawn(*lines)
    for k in range(4):
        draw.line((40, 85 + 40 * k, 400, 85 + 40 * k), fill=0, width=2)
        draw.line((40 + 120 * k, 85, 40 + 120 * k, 205), fill=0, width=2)
    assert tables(laid_out(*lines, evidence=find_evidence(image, [*lines, *PROSE])))[0].cells == rows


def test_axis_labels_belong_to_their_figure() -> None:
    ticks = [line(f"1e+{k}", 60, 70 + 40 * k, 10) for k in range(4)]
    ticks += [line(str(300 * k), 105 + 70 * k, 226, 10) for k in range(4)]
    name, caption = line("Depth", 220, 242, 10), line("Fig. 2 The depth of it", 160, 272)
    image, draw = drawn(*ticks, name, caption)
    draw.rectangle((100, 60, 400, 220), outline=0, width=2)
    draw.line([(102 + 3 * k, 140 + (70 * k) % 61) for k in range(99)], fill=0, width=3)
    found = laid_out(*ticks, name, caption, evidence=find_evidence(image, [*ticks, name, caption, *PROSE]))
    assert kinds(found) == ["figure", "caption", "text"]
    assert "1e+" not in Document("a", "m", [found]).markdown()


def test_a_row_of_names_of_panels_belongs_to_their_figure() -> None:
    evidence = Evidence(pictures=[(100.0, 60.0, 560.0, 220.0)])
    names = chain(*(row(y, (110, "Time in days"), (260, "Time in hours"), (410, "Depth")) for y in (226, 244)))
    found = laid_out(*names, line("Two words  apart", 110, 270), evidence=evidence)
    assert kinds(found) == ["figure", "text", "text"]
    assert [one.text for one in found.blocks[1].lines] == ["Two words  apart"]


def test_dots_of_leaders_do_not_make_an_index_a_figure() -> None:
    entries = [line(f"Ports . . . . . . . . . . . . . . . . {k + 3}", 110, 70 + 20 * k) for k in range(7)]
    found = laid_out(*entries, evidence=Evidence(pictures=[(100.0, 60.0, 400.0, 220.0)]))
    assert "figure" not in kinds(found)
    assert found.text.count("Ports") == 7


def test_dots_of_leaders_that_stand_below_one_another_are_no_columns() -> None:
    lines = []
    for k, title in enumerate(["Penalties", "Series", "Injecting code", "Keys", "Compact lists", "Samples", "Bugs"]):
        name = line(f"{k + 1} {title} ", 10, 40 + 18 * k)
        xs = [x for x in range(24, 400, 12) if x > name.box[2]]
        dots = np.array([(x + 8 * n, 40 + 18 * k, x + 3 + 9 * n, 54 + 18 * k) for x in xs for n in (0, 1)], np.float32)
        text = name.text + ". " * len(xs)
        boxes = np.concatenate([name.boxes, dots])
        lines += [
            TextLine(text, boxes, np.ones(len(text), np.float32), HIGH / 0.96),
            line(f"{k + 3}", 520, 40 + 18 * k),
        ]
    page = laid_out(*lines)
    assert not [cell for table in tables(page) for cells in table.cells for cell in cells if cell == "."]
    assert "5 Compact lists" in " ".join(page.text.replace("|", " ").split())


def test_quotes_and_commas_do_not_make_program_text_a_figure() -> None:
    strings = [line('"sa", "nt", "wa", "vi", "ql", "ns",', 110, 70 + 20 * k) for k in range(7)]
    found = laid_out(*strings, evidence=Evidence(pictures=[(100.0, 60.0, 400.0, 220.0)]))
    assert "figure" not in kinds(found)


@pytest.mark.parametrize(("confidence", "kind"), [(0.6, "figure"), (0.95, "text")])
def test_curves_that_are_read_as_characters_do_not_make_a_plot_text(confidence: float, kind: str) -> None:
    strokes = [line("wave after wave upon the sand", 110 + 10 * (k % 3), 70 + 20 * k) for k in range(7)]
    strokes = [replace(one, confidence=np.full(len(one.text), confidence, np.float32)) for one in strokes]
    evidence = Evidence(pictures=[(100.0, 60.0, 400.0, 220.0)])
    assert kinds(laid_out(*strokes, evidence=evidence))[0] == kind


@pytest.mark.parametrize("dark", [(0, 0, 600, 800), (0, 100, 600, 200)], ids=["page", "area"])
def test_light_type_on_a_dark_ground_is_inverted(dark) -> None:
    image = Image.new("L", (600, 800), 250)
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 300, 500, 312), fill=10)  # a thick rule is no ground
    draw.rectangle(dark, fill=30)
    for k in range(20):
        draw.rectangle((40 + 25 * k, 140, 42 + 25 * k, 154), fill=220)  # strokes of letters
    shown = np.asarray(lighten(image))
    assert shown[145, 41] < 50
    assert shown[145, 55] == GROUND  # a grey ground would be a picture
    outside = 250 if dark[1] else GROUND
    assert shown[500, 300] == outside


def test_a_page_of_heavy_type_has_no_dark_ground() -> None:
    image = Image.new("L", (600, 800), 255)
    draw = ImageDraw.Draw(image)
    for y in range(40, 700, 90):
        for x in range(20, 560, 34):
            draw.rectangle((x, y, x + 13, y + 60), fill=0)
    assert lighten(image) is image


FACE = str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf")


@pytest.mark.parametrize(("text", "size"), [("MENU", 190), ("BOB 8008", 130), ("Sum: 48", 300), ("I", 600), ("E", 500)])
def test_large_letters_are_no_ground(text, size) -> None:
    image = Image.new("L", (1200, 800), 250)
    ImageDraw.Draw(image).text((30, 80), text, 10, ImageFont.truetype(FACE, size))
    assert lighten(image) is image


@pytest.mark.parametrize("size", [16, 40, 140, 260])
def test_type_of_any_size_is_inverted_with_its_ground(size) -> None:
    dark, light = Image.new("L", (1200, 800), 250), Image.new("L", (1200, 800), 250)
    for image, paper, ink in ((dark, 20, 240), (light, 235, 15)):
        draw = ImageDraw.Draw(image)
        draw.rectangle((100, 200, 1100, 700), fill=paper)
        draw.text((150, 300), "Harvest", ink, ImageFont.truetype(FACE, size))
    shown, wanted = np.asarray(lighten(dark)).astype(int), np.asarray(light).astype(int)
    assert (np.abs(shown - wanted)[220:680, 120:1080] < 30).mean() > 0.995


def test_a_light_panel_on_a_dark_page_stays() -> None:
    image = Image.new("L", (1200, 800), 20)
    draw = ImageDraw.Draw(image)
    draw.text((100, 60), "Light words on dark", 240, ImageFont.truetype(FACE, 30))
    draw.rectangle((100, 200, 900, 700), fill=245)
    draw.text((150, 300), "Dark words on light", 10, ImageFont.truetype(FACE, 30))
    shown = np.asarray(lighten(image))
    assert shown[100, 50] > 200
    assert shown[500, 500] == 245
    assert shown[300:340, 150:500].min() < 50


def test_rules_are_erased_and_letters_stay() -> None:
    page = np.full((200, 400), 255, np.uint8)
    page[50:52, 20:380] = page[150:152, 20:380] = 0
    page[50:152, 20:22] = page[50:152, 378:380] = 0
    page[90:104, 100:102] = page[90:92, 100:112] = 0  # a letter
    erased = erase_rules(page, 16.0)
    assert erased[:, 30:90].min() == 255
    assert (erased[85:110, 95:120] == page[85:110, 95:120]).all()
    assert page[50, 100] == 0
