"""Pages that lie turned or askew are read as if they lay upright, and their boxes are those of the page as it lies."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

import vary
from vary.document.elements import Block, Line, Page
from vary.document.formats.overlay import crop_block
from vary.document.formats.searchable_pdf import split_words
from vary.document.orientation import (
    MIN_SKEW,
    Orientation,
    find_orientation,
    find_sideways_text,
    find_skew,
    insert_turned,
    restore_orientation,
    straighten,
)
from vary.document.running_heads import mark_running_heads
from vary.evaluate.metrics.text import cer
from vary.io.pdf_info import PdfInfo
from vary.io.source import Source
from vary.reading.pages import FIRST_DPI, read_page

QUARTERS = (0, 90, 180, 270)


@pytest.fixture(scope="module")
def reader():
    return vary.load("vary-nano", pixels=True)


@pytest.fixture(scope="module")
def image() -> Image.Image:
    """The upper third of the example's second page."""
    with Source("examples/charis.pdf") as source:
        page = source.image(2, FIRST_DPI)[0]
    return page.crop((0, 0, page.width, page.height // 3))


def lying(image: Image.Image, rotation: int, skew: float) -> Image.Image:
    """The image as a scanner shows a sheet that lies turned."""
    if rotation:
        image = image.transpose(getattr(Image.Transpose, f"ROTATE_{360 - rotation}"))
    return image.rotate(-skew, Image.Resampling.BICUBIC, expand=True, fillcolor=255) if skew else image


def of(image: Image.Image) -> SimpleNamespace:
    return SimpleNamespace(
        image=lambda *_, **__: (image, None),
        form_fields=lambda *_: [],
        info=PdfInfo(),
        timeout_s=60.0,
        stated_dpi=lambda _: None,
    )


@pytest.fixture(scope="module")
def corner(image) -> Image.Image:
    """The beginnings of three paragraphs; the time of a turned page grows with its area."""
    return image.crop((0, 0, 420, 290))


@pytest.fixture(scope="module")
def upright(reader, corner) -> Page:
    page = read_page(of(corner), 1, reader)
    assert len(page.blocks) == 3
    assert len(page.text) > 300
    return page


def words(page: Page) -> str:
    return " ".join(page.text.split())


@pytest.mark.parametrize("rotation", QUARTERS)
@pytest.mark.parametrize("skew", [-10.0, -4.25, -0.75, 1.0, 7.5, 10.0])
def test_skew_is_found_on_either_axis(image, rotation, skew) -> None:
    assert find_skew(lying(image, rotation, skew)) == pytest.approx(skew, abs=0.25)


@pytest.mark.parametrize("rotation", QUARTERS)
@pytest.mark.parametrize("skew", [-0.25, 0.0, 0.25])
def test_what_the_head_follows_by_itself_is_left_alone(image, rotation, skew) -> None:
    assert abs(skew) < MIN_SKEW
    assert find_skew(lying(image, rotation, skew)) == 0.0


def test_only_text_that_runs_down_is_sideways_text(image) -> None:
    """Rules do not matter, and neither does upright text on the same page."""
    line = image.crop((100, 100, 500, 160))
    page = Image.new("L", (952, 1232), 255)
    page.paste(line, (200, 100))
    for y in range(300, 900, 40):
        ImageDraw.Draw(page).line((100, y, 800, y), 0, 1)
        ImageDraw.Draw(page).line((y, 300, y, 900), 0, 1)
    assert not find_sideways_text(np.asarray(page)).any()
    assert find_sideways_text(np.asarray(page.rotate(90))).any()
    page.paste(line.rotate(90, expand=True), (30, 500))
    marked = find_sideways_text(np.asarray(page))
    assert marked.shape == (1232, 952)
    assert marked[500:900, 30:90].all()
    assert not marked[:100].any()
    assert not find_sideways_text(np.full((1, 1), 255, np.uint8)).any()


def test_what_is_no_text_has_no_skew() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (600, 500)).astype(np.uint8)
    assert find_skew(Image.fromarray(noise)) == 0.0
    assert find_skew(Image.new("L", (300, 200), 255)) == 0.0
    assert find_skew(Image.new("L", (1, 1), 255)) == 0.0
    chart = Image.new("L", (600, 500), 255)
    draw = ImageDraw.Draw(chart)
    draw.rectangle((50, 50, 550, 450), outline=0)
    for k in range(8):
        draw.line((50, 450 - 50 * k, 550, 450 - 50 * k), fill=160)
    draw.line((50, 400, 200, 380, 400, 300, 550, 270), fill=0, width=3)
    assert find_skew(chart) == 0.0


@pytest.mark.parametrize(
    "turn", [Orientation(*turn) for turn in ((), (90,), (180,), (270,), (0, 5.0), (90, -10.0), (270, 7.0))]
)
def test_boxes_come_back_to_the_page_as_it_lies(turn) -> None:
    """A black word of the upright page is where its box says on the page as it lies."""
    upright = Image.new("L", (300, 200), 255)
    box = (120.0, 40.0, 180.0, 52.0)
    upright.paste(0, tuple(map(int, box)))
    laid = lying(upright, *turn)
    straight = straighten(laid, turn)
    ink = np.argwhere(np.asarray(straight) < 128)
    (y0, x0), (y1, x1) = ink.min(0), ink.max(0) + 1
    page = Page(1, "ok", *straight.size, blocks=[Block([Line("word", (x0, y0, x1, y1), 1.0)], (x0, y0, x1, y1))])
    restore_orientation(page, turn, laid.size)
    ink = np.argwhere(np.asarray(laid) < 128)
    expected = (*ink.min(0)[::-1], *(ink.max(0)[::-1] + 1))
    tolerance = 3 if turn.skew else 1e-9
    assert page.blocks[0].box == pytest.approx(expected, abs=tolerance)
    assert page.lines[0].box == page.blocks[0].box
    assert (page.width, page.height, page.rotation, page.skew) == (*laid.size, *turn)


def test_an_upright_page_is_the_same_object_and_costs_no_second_look(image) -> None:
    looked = []
    assert find_orientation(image, lambda shown: looked.append(shown) or 0.96) == Orientation()
    assert looked == [image]
    assert looked[0] is image
    assert straighten(image, Orientation()) is image


def test_nothing_is_turned_unless_it_is_read_more_surely(image) -> None:
    assert find_orientation(image, lambda shown: 0.5) == Orientation()
    askew = lying(image, 0, 6.0)
    assert find_orientation(askew, lambda shown: 0.6 if shown is askew else 0.5) == Orientation()
    assert find_orientation(askew, lambda shown: 0.95) == Orientation(0, 6.0)


def test_upright_pages_are_read_as_ever(reader) -> None:
    """To the bit: with and without looking how the page lies."""
    plain = SimpleNamespace(
        name="plain",
        find_orientation=lambda image: Orientation(),
        wanted_scale=reader.wanted_scale,
        read=reader.read,
    )
    with Source("examples/charis.pdf") as source:
        pages = [read_page(source, 2, one).to_dict() | {"seconds": 0} for one in (reader, plain)]
    assert pages[0] == pages[1]
    assert (pages[0]["rotation"], pages[0]["skew"]) == (0, 0.0)


MORE_TURNS = [pytest.param(*turn, marks=pytest.mark.slow) for turn in ((90, 0.0), (270, 0.0), (0, -10.0))]


@pytest.mark.parametrize(("rotation", "skew"), [(180, 0.0), (90, 4.0), *MORE_TURNS])
def test_turned_pages_are_read(reader, corner, upright, rotation, skew) -> None:
    page = read_page(of(lying(corner, rotation, skew)), 1, reader)
    assert page.rotation == rotation
    assert page.skew == pytest.approx(skew, abs=0.25)
    assert cer(words(page), words(upright)) <= (0.03 if skew else 0.0)
    if not skew:
        assert page.text == upright.text  # paragraphs too, although lines run up, down or backwards
        assert [block.kind for block in page.blocks] == [block.kind for block in upright.blocks]
    again = Page.from_dict(page.to_dict())
    assert again.text == page.text


def test_words_and_figures_of_a_page_that_lies_upside_down() -> None:
    box = (10.0, 20.0, 40.0, 30.0)
    characters = [(10.0 + 10 * k, 20.0, 20.0 + 10 * k, 30.0) for k in range(3)]
    picture = Image.new("L", (100, 80), 255)
    picture.paste(0, (60, 40, 70, 50))  # of the figure, its upper left corner
    figure = Block([], (60.0, 40.0, 90.0, 60.0), "figure")
    page = Page(1, "ok", 100, 80, blocks=[Block([Line("a b", box, 1.0, characters)], box), figure])
    restore_orientation(page, Orientation(180), (100, 80))
    assert [word[1] for word in split_words(page.lines[0])] == [(80, 50, 90, 60), (60, 50, 70, 60)]
    assert crop_block(page, figure, lying(picture, 180, 0)).tobytes() == picture.crop((60, 40, 90, 60)).tobytes()


def test_running_heads_are_found_on_turned_pages() -> None:
    pages = []
    for number in range(1, 5):
        page = Page(number, "ok", 200, 300, blocks=[])
        for text, y in ((f"Head {number}", 10.0), ("Body", 150.0), (f"- {number} -", 285.0)):
            page.blocks.append(Block([Line(text, (50.0, y, 150.0, y + 8), 1.0)], (50.0, y, 150.0, y + 8)))
        size = (300, 200) if number % 2 else (200, 300)
        restore_orientation(page, Orientation((90, 180, 270, 0)[number - 1]), size)
        pages.append(page)
    pages[1].width, pages[1].height = 200, 300
    for page in mark_running_heads(pages):
        assert [block.kind for block in page.blocks] == ["header", "text", "footer"]


@pytest.mark.parametrize(("top", "bottom", "is_label"), [(100, 200, True), (40, 400, False)])
def test_a_sideways_name_beside_a_figure_is_its_label(top: float, bottom: float, is_label: bool) -> None:
    step = (bottom - top) / 5
    letters = [(70.0, bottom - (k + 1) * step, 84.0, bottom - k * step) for k in range(5)]  # read upwards
    name = Line("depth", (70.0, top, 84.0, bottom), 0.9, letters, [0.9] * 5)
    figure = Block([], (100.0, 60.0, 400.0, 240.0), "figure")
    blocks = [Block([], (60.0, 20.0, 400.0, 40.0)), figure, Block([], (60.0, 500.0, 400.0, 520.0))]
    insert_turned(blocks, [Block([name], name.box, angle=270.0)])
    assert (len(blocks) == 3) == is_label
    assert figure.lines == ([name] if is_label else [])
    assert (figure.box[0] == 70.0) == is_label
