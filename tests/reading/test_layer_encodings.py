"""Fonts whose codes are those of another code page or script, that forget letters, or call a blank a letter."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pypdfium2 import PdfDocument

from tests.pdfs import add_page_under, pdf_of, set_in, show, with_map
from vary.io.pdf_layer import without_strays
from vary.reading.api import load
from vary.reading.layer.code_pages import find_rule
from vary.reading.pages import read_document

FACE = "DejaVuSans.ttf"
POLISH = (
    "Nad rzeką stał żółty młyn i ciągnął sanie wzdłuż", "brzegu. Późną jesienią liście zasłaniały próg domu.",
    "Koń ćwiczył te skoki za stodołą a gęś śpiewała.", "Jeż kąpał się w kałuży i mówił o pogodzie i łące.",
)  # fmt: skip
RUSSIAN = (
    "Над рекой стояла старая лодка и вода", "шумела. Капитан записал груз в журнал.",
    "Фермер привёз яблоки на рынок и домой.", "Дети собирали грибы у опушки леса и ели.",
)  # fmt: skip
LONGER = (
    "The harbour office keeps a ledger of every vessel", "that enters the bay. Each entry names the captain,",
    "the cargo and the hour of arrival. No ship may leave", "before the dues of 1,374 are paid in 25 quays.",
)  # fmt: skip
PROSE = ("The harbour office keeps a ledger of every vessel", "that enters the bay. Each entry names its captain.")


@pytest.fixture(scope="module")
def reader():
    return load("vary-nano")


def mistaken(lines: tuple[str, ...], written: str, read: str) -> dict[str, str | None]:
    """What letters are called when bytes of one code page are taken for those of another."""
    return {ch: ch.encode(written).decode(read) for ch in set("".join(lines))}


def sources(page) -> set[str]:
    return {source for line in page.lines for _, _, source in line.sources}


@pytest.mark.parametrize(
    ("lines", "written", "read"), [(POLISH, "cp1250", "cp1252"), (RUSSIAN, "cp1251", "cp1252")]
)  # fmt: skip
def test_a_layer_in_another_code_page_is_healed(tmp_path, reader, lines, written, read) -> None:
    """Letters that differ in their accents alone, and those that look like Latin ones, are healed with the others."""
    path = set_in(tmp_path / "a.pdf", lines, FACE, mistaken(lines, written, read), 11)
    page = read_document(path, reader).pages[0]
    assert (page.text, page.layer) == (" ".join(lines), "healed")


def test_letters_of_another_script_are_checked(tmp_path, reader) -> None:
    letters = sorted({ch for ch in "".join(RUSSIAN) if ch.islower()})
    claims = dict(zip(letters, random.Random(1).sample(letters, len(letters)), strict=True))
    page = read_document(set_in(tmp_path / "a.pdf", RUSSIAN, FACE, claims), reader).pages[0]
    assert (page.text, page.layer) == (" ".join(RUSSIAN), "healed")
    honest = read_document(set_in(tmp_path / "b.pdf", RUSSIAN, FACE, {}), reader).pages[0]
    assert (honest.text, honest.layer, honest.disagreements) == (" ".join(RUSSIAN), "verified", [])


def test_letters_that_a_map_forgets_are_read_from_the_pixels(tmp_path, reader) -> None:
    """The layer shows nothing of the language then: the pixels tell which letters are needed."""
    forgotten = dict.fromkeys((ch for ch in "".join(POLISH) if ch > "~"), None)
    page = read_document(set_in(tmp_path / "a.pdf", POLISH, FACE, forgotten), reader).pages[0]
    assert page.text == " ".join(POLISH)
    assert sources(page) <= {"both", "layer", "healed", "pixels"}


def test_a_blank_that_claims_to_be_a_letter_is_a_blank(tmp_path, reader) -> None:
    content = "".join(show(line, 40, 250 - 18 * k) for k, line in enumerate(PROSE))
    page = read_document(with_map(pdf_of(tmp_path / "a.pdf", [content], (420, 300)), {" ": "x"}), reader).pages[0]
    assert page.text == " ".join(PROSE)
    path = set_in(tmp_path / "b.pdf", PROSE, FACE, {" ": "x"})
    assert read_document(path, reader).pages[0].text == " ".join(PROSE)


def scan(path: Path, lines: tuple[str, ...], layer: tuple[str, ...], moved: tuple[float, float] = (0, 0)) -> Path:
    """A picture of lines, with lines that nobody sees over it. `moved`: how far beside them, in points."""
    size, text = (420, 300), "".join(show(line, 40, 250 - 18 * k) for k, line in enumerate(lines))
    PdfDocument(pdf_of(path, [text], size))[0].render(scale=150 / 72).to_pil().convert("L").save(path, resolution=150)
    names = "".join(
        show(line, 40 + moved[0], 250 - 18 * k + moved[1], 12, "F1", "3 Tr") for k, line in enumerate(layer)
    )
    return add_page_under(pdf_of(path.with_name("over.pdf"), [names], size), path)


@pytest.mark.parametrize("moved", [(0.0, -5.0), (-5.0, 4.0)])
def test_the_layer_of_a_scan_may_lie_beside_its_type(tmp_path, reader, moved) -> None:
    page = read_document(scan(tmp_path / "a.pdf", LONGER, LONGER, moved), reader).pages[0]
    assert (page.text, page.layer) == (" ".join(LONGER), "verified")


def test_a_line_of_errors_is_read_from_the_pixels(tmp_path, reader) -> None:
    """Six of ten letters are right, so that the mean of the odds is that of type which the pixels do not read."""
    rng = random.Random(3)
    wrong = tuple(
        "".join(rng.choice("acemnorsu") if ch != " " and rng.random() < 0.45 else ch for ch in line) for line in LONGER
    )
    page = read_document(scan(tmp_path / "a.pdf", LONGER, wrong), reader).pages[0]
    assert page.text == " ".join(LONGER)


def test_rules_are_found_by_what_most_glyphs_show() -> None:
    def rule(claims: str, shows: str):
        return find_rule(list(zip(claims, shows, strict=True)), str.__eq__)

    polish = rule("¹³¿œŸ", "ąłżśź")
    assert polish is not None
    assert (polish("ê"), polish("e")) == ("ę", None)
    shifted = rule("defghijkl", "abcdefghi")
    assert shifted is not None
    assert shifted("z") == "w"
    assert rule("¹³¿", "xyz") is None
    assert rule("defg", "abcd") is None  # too few for a shift


def test_a_strange_letter_within_a_latin_word_is_none() -> None:
    assert without_strays("stoࣳ je") == "sto\ue8f3 je"
    assert without_strays("Hebrew אבג") == "Hebrew אבג"


def test_a_title_in_a_font_that_lies_is_read_glyph_by_glyph(tmp_path, reader) -> None:
    """Its glyphs are too few to vote. What the pixels spell in the place of each is surer than the line read anew."""
    title = ("Jeż kąpał się w kałuży", "i mówił o pogodzie")
    letters = sorted({ch for line in title for ch in line if ch != " "})
    claims = dict(zip(letters, "/4<)>+2\"9.;'-&15037$8,:=AFG", strict=False))
    page = read_document(set_in(tmp_path / "a.pdf", title, "DejaVuSerif-Bold.ttf", claims, 14), reader).pages[0]
    assert page.text == " ".join(title)
    assert sources(page) <= {"healed", "pixels", "both"}


def test_a_letter_that_claims_another_of_its_script_is_healed_whatever_shape_it_shares(tmp_path, reader) -> None:
    """The head names the shape of а by its Latin letter."""
    page = read_document(set_in(tmp_path / "a.pdf", RUSSIAN, FACE, {"к": "я", "я": "а", "а": "к"}), reader).pages[0]
    assert page.text == " ".join(RUSSIAN)


def test_letters_that_a_font_draws_as_one_sign_stay(tmp_path, reader) -> None:
    """Some fonts draw `Nr.` as one glyph, which looks like №: the pixels contradict its last character alone."""
    path = set_in(tmp_path / "a.pdf", (*LONGER, "Strom Kd.-№ 8841023 Mandat"), FACE, {"№": "Nr."})
    page = read_document(path, reader).pages[0]
    assert page.text.endswith(" Strom Kd.-Nr. 8841023 Mandat")
    assert page.layer == "verified"
