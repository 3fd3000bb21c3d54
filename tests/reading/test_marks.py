"""Marks of letters that the alphabet lacks are named, such as the dot of a ż."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vary.document.elements import Block, Line, Page
from vary.models.hub import weights_dir
from vary.reading.network import load_network
from vary.reading.pages import read_document
from vary.reading.reader import Reader


@pytest.fixture(scope="module")
def nano() -> Reader:
    """The shipped reader without its head for more letters, which reads these marks."""
    return Reader(load_network(weights_dir("vary-nano")), "nano")


def read(text: list[str], path, nano: Reader, face: str = "DejaVuSans.ttf", noise: int = 0) -> Page:
    image = Image.new("L", (700, 60 + 40 * len(text)), 255)
    for k, line in enumerate(text):
        ImageDraw.Draw(image).text((40, 30 + 40 * k), line, font=ImageFont.truetype(face, 20), fill=0)
    pixels = np.array(image)
    for y, x in np.random.default_rng(1).integers(0, 60, (noise, 2)) * 10 + 5:
        pixels[y % image.height, x % image.width] = 90  # specks of one pixel
    Image.fromarray(pixels).save(path / "page.png")
    return read_document(path / "page.png", nano).pages[0]


POLISH = [
    "Nad jeziorem każdy żuk leży i marzy.",
    "Żaba wzdłuż brzegu może żyć dłużej.",
    "Księżyc i róże też, także wieża.",
]
ENGLISH = ["Nobody recalls who planted the row of pears.", "A clerk who writes slowly makes fewer mistakes.",
           "The jury fixed it; jam is in 15 jars."]  # fmt: skip
FRENCH = [
    "Déjà vu à l'été, où l'élève rêvait.",
    "Noël à Zürich: über die Brücke, señor.",
    "Ça, c'est très bien fait, même ici.",
]


@pytest.mark.parametrize("face", ["DejaVuSans.ttf", "LiberationSerif-Regular.ttf"])
def test_words_with_marks_that_were_not_read_are_named(tmp_path, nano, face) -> None:
    page = read(POLISH, tmp_path, nano, face)
    assert len(page.unread_marks) >= 3
    assert page.status == "doubtful"
    assert page.doubt is not None
    assert page.unread_marks[0].text in page.doubt
    words = {word.strip(".,") for line in page.lines for word in line.text.split()}
    assert {mark.text.strip(".,") for mark in page.unread_marks} <= words
    boxes = [line.box for line in page.lines]
    for mark in page.unread_marks:
        x, y = (mark.box[0] + mark.box[2]) / 2, (mark.box[1] + mark.box[3]) / 2
        assert any(x0 < x < x1 and y0 < y < y1 for x0, y0, x1, y1 in boxes)


@pytest.mark.parametrize("text", [ENGLISH, FRENCH])
@pytest.mark.parametrize("noise", [0, 60])
def test_letters_of_the_alphabet_and_specks_are_not_named(tmp_path, nano, text, noise) -> None:
    assert read(text, tmp_path, nano, noise=noise).unread_marks == []


@pytest.mark.parametrize(("confidence", "taken"), [(0.6, False), (0.999, True)])
def test_more_letters_are_taken_when_they_are_surer(tmp_path, nano, confidence, taken) -> None:
    """Noise has marks, too: it is no Polish because a network with Polish letters reads it as badly."""
    line = Line("Nad", (0, 0, 9, 9), confidence, [(0, 0, 3, 9)] * 3, [confidence] * 3)
    other = Page(1, "ok", 700, 180, blocks=[Block([line], line.box)])
    reader = Reader(nano.network, "nano", more_letters=lambda: nano.network)
    reader.with_more_letters = SimpleNamespace(read=lambda *_: other)
    page = read(POLISH, tmp_path, reader)
    assert ([line.text for line in page.lines] == ["Nad"]) == taken


def test_the_marks_are_in_the_json(tmp_path, nano) -> None:
    page = read(POLISH, tmp_path, nano)
    assert Page.from_dict(page.to_dict()).unread_marks[0].text == page.unread_marks[0].text
