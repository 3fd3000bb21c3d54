"""Pages in other languages than English are read by a head with more letters, and English ones are not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save_file

from tests.pdfs import pdf_of, show, with_map
from vary.document.alphabets import EUROPEAN, LATIN
from vary.document.lines import TextLine
from vary.evaluate.metrics.text import cer
from vary.models.config import preset
from vary.models.hub import weights_dir
from vary.models.modeling import VaryForConditionalGeneration
from vary.reading.field import unpack_probs
from vary.reading.loader import load_reader
from vary.reading.pages import read_document
from vary.reading.reader import Reader
from vary.reading.spelling.more_letters import has_accents, needs_more_letters
from vary.train.checkpoint import load_start
from vary.train.export import export_files

from .in_memory import reader_of

PARTS = ("vocabularies.", "reading_head.")


def line(text: str, confidence: float = 0.99) -> TextLine:
    count = len(text)
    return TextLine(text, np.zeros((count, 4), np.float32), np.full(count, confidence, np.float32), 16.0)


def never(_: Sequence[TextLine]) -> list[TextLine]:
    raise AssertionError("a page that is read with confidence is not read again")


def draw(text: list[str], size: int = 20) -> Image.Image:
    image = Image.new("L", (760, 60 + 40 * len(text)), 255)
    for k, one in enumerate(text):
        ImageDraw.Draw(image).text((40, 30 + 40 * k), one, font=ImageFont.truetype("DejaVuSans.ttf", size), fill=0)
    return image


def test_accents_ask_for_more_letters_and_those_of_a_name_do_not() -> None:
    english = [line("The café of Mr Müller opens at nine and closes at five.")]
    german = [line("Die Größe der Bücher ändert nichts"), line("an ihrem Gewicht für den Träger.")]
    assert not needs_more_letters(english, LATIN, never)
    assert needs_more_letters(german, LATIN, never)
    assert not needs_more_letters([*english, *[line("plain words " * 60)] * 2], LATIN, never)
    assert not needs_more_letters([], LATIN, never)


def test_a_page_of_little_confidence_is_tried_with_more_letters() -> None:
    doubtful = [line("Bce 3TO HaHHCaHO", 0.8)]
    assert needs_more_letters(doubtful, LATIN, lambda _: [line("Все это написано")])
    assert not needs_more_letters(doubtful, LATIN, lambda _: [line("Bce 3TO HaHHCaHO")])
    assert not needs_more_letters(doubtful, LATIN, lambda _: [line("Все это написано", 0.5)])
    assert not needs_more_letters([replace(doubtful[0], confidence=np.full(16, 0.3))], LATIN, never)  # that is no text


def test_doubtful_lines_of_a_page_of_english_are_tried_alone() -> None:
    english, doubtful = [line("plain words of a page " * 50)], [line("O6 06bIKHoBeHHbIX BemaX " * 3, 0.8)]

    def russian(wanted: Sequence[TextLine]) -> list[TextLine]:
        assert wanted == doubtful
        return [line("Об обыкновенных вещах")]

    assert needs_more_letters([*english, *doubtful], LATIN, russian)
    assert not needs_more_letters([*english, line("O6 06bIKHoBeHHbIX BemaX", 0.8)], LATIN, never)  # a few words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shipped model with a network of random weights for more letters."""
    made = tmp_path_factory.mktemp("more")
    shutil.copytree(weights_dir("vary-nano"), made / "model")
    torch.manual_seed(1)
    model = VaryForConditionalGeneration(preset("vary-nano-scripts-test"))
    torch.nn.init.normal_(model.head.context[-1].weight, std=0.1)
    (made / "weights").mkdir()
    save_file({k: v for k, v in model.state_dict().items() if k.startswith(PARTS)}, made / "weights/model.safetensors")
    export_files(made / "weights", made / "model")
    return made


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_the_exported_network_equals_the_model(folder: Path, engine: str) -> None:
    model = VaryForConditionalGeneration(preset("vary-nano-scripts-test"))
    load_start([str(folder / "weights")], model)
    pixels = np.asarray(draw(["Any line of text", "and one more of it"]).crop((0, 0, 512, 128)))
    own = reader_of(model, "own").network(pixels)
    network = load_reader(str(folder / "model"), engine=engine).with_more_letters.network
    assert (network.frame_grid.alphabet, network.engine.name) == (EUROPEAN, engine)
    near = own.index_RK >= 0
    assert near.any()
    found = network(pixels)
    np.testing.assert_allclose(unpack_probs(found.codes_MFA), unpack_probs(own.codes_MFA), atol=0.011)
    np.testing.assert_allclose(found.geometry_MFG, own.geometry_MFG, atol=0.03)  # weights are stored in float16


def test_formulas_are_read_with_the_features_that_their_glyphs_were_learnt_from(nano: Reader) -> None:
    assert nano.with_more_letters.network is not nano.network
    assert nano.with_more_letters.formula_reader is nano.formula_reader is not None


def test_a_model_without_more_letters_is_its_own_reader(tiny_model: VaryForConditionalGeneration) -> None:
    reader = reader_of(tiny_model, "own")
    assert reader.with_more_letters is reader


SENTENCES = {
    "German": ["Die Größe der Bücher ändert nichts an", "ihrem Gewicht für müde Träger im Süden."],
    "Czech": ["Příliš žluťoučký kůň úpěl", "ďábelské ódy; vítr však čeří", "řeku u našeho dvora."],
    "Polish": ["Nad jeziorem stał żółty młyn,", "a w nim żył z żoną ślepy bednarz,", "który pięć gęsi wiązał na noc."],
    "Russian": ["Все счастливые семьи похожи", "друг на друга, каждая семья", "несчастлива по-своему."],
}


@pytest.mark.parametrize("language", SENTENCES)
def test_other_languages_are_read(nano: Reader, language: str) -> None:
    page = nano.read(draw(SENTENCES[language]))
    assert cer(page.text, " ".join(SENTENCES[language])) < 0.08, page.text


def test_a_russian_paragraph_on_an_english_page_is_read(nano: Reader) -> None:
    english = ["This paragraph is plain English, and so is most of this page."] * 12
    russian = ["Все счастливые семьи похожи друг на друга,", "каждая несчастливая семья несчастлива по-своему."]
    page = nano.read(draw([*english, *russian]))
    assert cer(page.text, " ".join([*english, *russian])) < 0.03, page.text


def test_a_page_in_another_language_is_read_with_more_letters_at_once(nano: Reader) -> None:
    sizes, run = [], nano.network.engine.features
    image = draw(SENTENCES["Czech"] * 3)
    nano.wanted_scale(image)  # the window that it reads has many accents
    nano.network.engine.features = lambda pixels: sizes.append(pixels.shape) or run(pixels)  # type: ignore[method-assign]
    try:
        nano.read(image)
    finally:
        nano.network.engine.features = run  # type: ignore[method-assign]
    assert not sizes


GERMAN = [
    "Die Größe der Bücher ändert nichts an ihrem Gewicht für müde Träger.",
    "Später fällt Nässe über Dächer, Gärten, Straßen und Brücken.",
    "Möglich wäre auch, daß Käufer ähnliche Geräte länger prüfen.",
    "Schöne Grüße aus Süßen, wo Bäcker täglich frühe Brötchen lösen.",
]


@pytest.mark.parametrize("font", ["F1", "F2", "F4"])
def test_a_true_layer_in_another_language_is_verified(tmp_path: Path, font: str) -> None:
    content = "".join(show(one, 40, 250 - 16 * k, 10, font) for k, one in enumerate(GERMAN))
    page = read_document(pdf_of(tmp_path / "a.pdf", [content], (480, 300)), load_reader("vary-nano")).pages[0]
    assert page.text == " ".join(GERMAN)
    assert (page.layer, page.disagreements) == ("verified", [])
    witnesses = [source for one in page.lines for start, end, source in one.sources for _ in range(start, end)]
    assert witnesses.count("both") > 0.9 * len(witnesses)


def test_a_layer_that_lies_about_an_accent_is_healed(tmp_path: Path) -> None:
    content = "".join(show(one, 40, 250 - 16 * k, 12) for k, one in enumerate(GERMAN * 2))
    honest = pdf_of(tmp_path / "a.pdf", [content], (600, 300))
    page = read_document(with_map(honest, {"n": "u", "u": "n"}), load_reader("vary-nano")).pages[0]
    assert cer(page.text, " ".join(GERMAN * 2)) < 0.03
    assert page.layer in ("healed", "rejected")
    assert page.disagreements


def test_which_layers_are_checked_with_more_letters() -> None:
    assert has_accents(" ".join(GERMAN))
    assert not has_accents("The café of Mr Müller. " + "Plain words follow. " * 20)
    assert not has_accents("Все счастливые семьи похожи друг на друга")
    assert has_accents("Tất cả các gia đình hạnh phúc đều giống nhau")
    assert not has_accents("Žinc follows words. " * 60)  # a slip that comes again
    assert has_accents("Žinc følgt words. " * 60)
