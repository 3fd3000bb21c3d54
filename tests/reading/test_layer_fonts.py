"""Fonts that lie are healed over the whole document: by votes of all pages, by shapes, and by a common shift."""

from __future__ import annotations

import pytest

from tests.pdfs import as_type3, pdf_of, show, with_map, without_map
from vary.document.alphabets import EUROPEAN
from vary.reading.api import load
from vary.reading.layer.align import Alphabet
from vary.reading.layer.document_votes import sightings_elsewhere
from vary.reading.layer.glyphs import Sighting, judge_glyphs
from vary.reading.pages import read_document
from vary.reading.spelling.lookalikes import same_letter

SIZE = (420, 300)
PROSE = (
    "The harbour office keeps a ledger of every vessel", "that enters the bay. Each entry names the captain,",
    "the cargo and the hour of arrival. No ship may leave", "before the dues of 1,374 are paid in 25 quays.",
)  # fmt: skip
SHIFT = {chr(code): chr(code + 2) for code in range(33, 124)}
ALPHABET = Alphabet(" abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789")


@pytest.fixture(scope="module")
def reader():
    return load("vary-nano")


def prose(size: float = 12, lines=PROSE) -> str:
    return "".join(show(line, 40, 250 - 1.4 * size * k, size) for k, line in enumerate(lines))


def sightings(claims: str, shows: str, count: int, odds: float = -9.0, font: str = "F", shape: float = 0.5):
    """Sightings of a font's glyphs, each of which claims to be another."""
    box = (0.0, -0.5, shape, 0.0, shape)
    return [
        Sighting(font, a, box, 12.0, 0.0 if a == b else odds, "" if a == b else b)
        for a, b in zip(claims, shows, strict=True)
        for _ in range(count)
    ]


def seen_as(one: Sighting, seen: str) -> Sighting:
    return Sighting(one.font, one.character, one.shape, one.points, one.odds, seen)


def verdicts(found: list[Sighting]) -> dict[str, tuple[str, str]]:
    return {one.character: (v.kind, v.shown) for one, v in zip(found, judge_glyphs(found, ALPHABET), strict=True)}


@pytest.mark.slow  # 4 s of reading at 4 points; the next test heals by other pages, too
def test_type_too_small_to_read_is_healed_by_other_pages(tmp_path, reader) -> None:
    path = with_map(pdf_of(tmp_path / "a.pdf", [prose(), prose(3)], SIZE), SHIFT)
    pages = read_document(path, reader).pages
    assert [page.text for page in pages] == [" ".join(PROSE)] * 2
    assert [page.layer for page in pages] == ["healed"] * 2


def test_few_characters_are_healed_by_other_pages(tmp_path, reader) -> None:
    path = with_map(pdf_of(tmp_path / "a.pdf", [prose(lines=["The bay"]), prose(), prose()], SIZE), SHIFT)
    document = read_document(path, reader)
    assert document.pages[0].text == "The bay"
    assert {source for line in document.pages[0].lines for _, _, source in line.sources} == {"healed"}
    alone = read_document(path, reader, pages="1").pages[0]  # whether other pages were read before does not count
    assert (alone.text, alone.layer) == (document.pages[0].text, document.pages[0].layer)


def test_a_font_without_a_map(tmp_path, reader) -> None:
    path = without_map(pdf_of(tmp_path / "a.pdf", [prose()], SIZE), "LiberationSans-Regular.ttf", SHIFT)
    assert read_document(path, reader).pages[0].text == " ".join(PROSE)


def test_a_type_3_font_that_lies_does_not_pass(tmp_path, reader) -> None:
    path = with_map(as_type3(pdf_of(tmp_path / "a.pdf", [prose()], SIZE), "LiberationSans-Regular.ttf"), SHIFT)
    page = read_document(path, reader).pages[0]
    assert page.layer == "healed"
    assert page.text == " ".join(PROSE)


def test_letters_at_the_codes_of_blanks_and_hyphens_are_read(tmp_path, reader) -> None:
    """Bitmap fonts of old TeX number their glyphs from 0 and have sizes such as 0.24; their text was lost as tiny."""
    codes = {2: ",", 9: "t", 10: "r", 13: "c"}
    to_code = {ord(char): chr(code) for code, char in codes.items()}
    page = "".join(show(line.translate(to_code), 40, 250 - 17 * k, 0.24) for k, line in enumerate(PROSE))
    path = as_type3(pdf_of(tmp_path / "a.pdf", [page], SIZE), "LiberationSans-Regular.ttf", 50, codes)
    found = read_document(path, reader).pages[0]
    assert (found.text, found.layer, found.hidden) == (" ".join(PROSE), "healed", [])


def test_tabs_are_blanks(tmp_path, reader) -> None:
    page = "".join(show(line.replace(" ", "\t"), 40, 250 - 17 * k) for k, line in enumerate(PROSE))
    path = as_type3(pdf_of(tmp_path / "a.pdf", [page], SIZE), "LiberationSans-Regular.ttf", more={9: " "})
    found = read_document(path, reader).pages[0]
    assert (found.text, found.layer, found.disagreements) == (" ".join(PROSE), "verified", [])


def test_a_glyph_without_a_character_is_read_from_the_pixels(tmp_path, reader) -> None:
    """Old fonts of TeX have ligatures and quotes at control codes, some of which Python takes for blanks."""
    path = with_map(pdf_of(tmp_path / "a.pdf", [prose()], SIZE), {"k": "\x1c", "w": "\x13"})
    assert read_document(path, reader).pages[0].text == " ".join(PROSE)


def test_a_small_capital_that_is_seen_as_a_letter_of_another_script_stays() -> None:
    alphabet = Alphabet(EUROPEAN)
    found = sightings("abcdefgm", "abcdefgм", 3)
    assert {v.kind for one, v in zip(found, judge_glyphs(found, alphabet), strict=True) if one.character == "m"} == {
        "foreign"
    }
    lying = sightings("âåäðïì", "вед" + "рпм", 3)  # Cyrillic codes that are claimed to be Latin
    assert all(verdict.lying for verdict in judge_glyphs(lying, alphabet))


def test_letters_of_a_font_are_trusted_where_most_are_confirmed_and_digits_where_nearly_all_are() -> None:
    """Display type is misread here and there; a layer that lies about its digits has honest letters."""
    found = sightings("abcdefgh", "abcdefgh", 1) + sightings("xyz", "uvw", 1, odds=-5) + sightings("1", "7", 3)
    by_claim = {one.character: v for one, v in zip(found, judge_glyphs(found, ALPHABET), strict=True)}
    assert (by_claim["x"].trusted, by_claim["x"].weak) == (True, True)
    assert (by_claim["1"].trusted, by_claim["1"].weak, by_claim["1"].shown) == (False, False, "7")


@pytest.mark.parametrize(("zero", "weak"), [("o", True), ("7", False)])
def test_figures_of_a_font_with_old_style_figures_stay(zero: str, weak: bool) -> None:
    """An old-style zero has the shape of an o; of such a font the other figures are no witnesses either."""
    found = sightings("abcdefgh", "abcdefgh", 4) + sightings("0158", f"{zero}ns8", 4)
    by_claim = {one.character: v for one, v in zip(found, judge_glyphs(found, ALPHABET), strict=True)}
    assert [(by_claim[ch].trusted, by_claim[ch].weak) for ch in "015"] == [(weak, weak)] * 3


def test_a_shift_tells_glyphs_that_were_seen_once() -> None:
    found = sightings("bcdefghijk", "abcdefghij", 4) + sightings("q", "x", 1)
    assert verdicts(found)["q"] == ("seen", "x")  # the pixels contradict the shift
    unsure = Sighting("F", "q", (0.0, -0.5, 0.5, 0.0, 0.5), 4.0, -1.0, "")
    found = [*sightings("bcdefghijk", "abcdefghij", 4), unsure]
    assert verdicts(found)["q"] == ("false", "p")


def test_two_glyphs_of_a_lying_font_are_not_healed_to_one_character() -> None:
    found = sightings("bcde", "abcd", 5) + sightings("y", "a", 3)
    assert verdicts(found)["b"] == ("false", "a")
    assert verdicts(found)["y"][0] == "mixed"


def test_one_code_with_two_shapes_is_two_glyphs() -> None:
    found = sightings("cde", "abf", 5) + sightings("x", "g", 5) + sightings("x", "h", 5, shape=0.8)
    shown = [verdict.shown for verdict in judge_glyphs(found, ALPHABET)]
    assert set(shown[15:20]) == {"g"}
    assert set(shown[20:]) == {"h"}


def test_letters_of_another_script_do_not_make_a_font_lie() -> None:
    found = sightings("abcdefgh", "abcdefgh", 3) + sightings("жщю", "xwo", 3)
    assert verdicts(found)["ж"][0] == "foreign"
    assert not any(verdict.lying for verdict in judge_glyphs(found, ALPHABET))


def test_a_font_that_claims_another_script_but_shows_plain_letters_lies() -> None:
    found = sightings("бвгджз", "abcdef", 4)
    assert verdicts(found)["б"] == ("false", "a")


def test_an_accent_that_the_head_misses_is_no_lie() -> None:
    alphabet = Alphabet(" abcdefghoö0123456789")
    found = sightings("abcdefgh", "abcdefgh", 3) + sightings("ö", "o", 5)
    (verdict,) = {v for s, v in zip(found, judge_glyphs(found, alphabet), strict=True) if s.character == "ö"}
    assert verdict.kind == "unknown"


class Book:
    """A file of 40 pages whose even ones have the font F."""

    def __init__(self) -> None:
        self.kept: dict = {}

    def __len__(self) -> int:
        return 40

    def fonts(self, number: int) -> list[str]:
        return [] if number % 2 else ["F"]


@pytest.mark.parametrize(("sign", "seen"), [("£", "E"), ("€", "e"), ("¥", "Y")])
def test_the_sign_of_a_currency_that_is_seen_as_a_letter_is_no_lie(sign, seen) -> None:
    alphabet = Alphabet(ALPHABET.alphabet + "£€¥Y")
    found = sightings("abcdefgh", "abcdefgh", 3) + sightings(sign, seen, 6)
    assert judge_glyphs(found, alphabet)[-1].kind == "unknown"
    lying = sightings("bcdefghi", "abcdefgh", 5) + sightings(sign, seen, 6)
    assert judge_glyphs(lying, alphabet)[-1].kind == "false"


def looks(each: int) -> tuple[list[int], list[Sighting]]:
    """Pages that are looked at for a glyph that each has so many times, and what is returned for page 3."""
    pages: list[int] = []
    book, found = Book(), sightings("a", "a", each)

    def look(page, glyph):
        pages.append(page)
        return {0: found}

    result = sightings_elsewhere(book, {("F", "a")}, 3, look)
    assert sightings_elsewhere(book, {("F", "a")}, 3, look) == result  # what is known is not looked at again
    return pages, result


def test_other_pages_are_looked_at_until_a_glyph_was_sighted_often_enough() -> None:
    assert len(looks(10)[0]) == 1
    pages, found = looks(2)
    assert (len(pages), len(found)) == (3, 6)
    assert all(page % 2 == 0 for page in pages)
    assert max(pages) - min(pages) > 10  # spread over the file


def test_a_glyph_that_is_nowhere_else_is_sought_on_few_pages() -> None:
    pages, found = looks(0)
    assert len(pages) == len(set(pages)) == 6
    assert not found


@pytest.mark.parametrize(("sign", "seen", "same"), [
    ("₺", "t", True), ("₺", "$", True), ("₹", "R", True), ("€", "C", True), ("€", "8", False), ("$", "8", False),
    ("$", "S", True),
    ("₺", " ", False), ("¡", ";", True), ("¿", ":", True), ("¿", "a", False),
    ("ł", "l", True), ("ď", "đ", True), ("l", "ł", False), ("e", "é", True), ("œ", "e", False),
    ("≥", ">", True), (">", "≥", False), ("·", "-", True), ("{", "[", True), ("{", "(", True), ("{", "a", False),
    ("(", ")", True), ("№", "Р", True), ("/", "A", True), ("~", "-", True),
])  # fmt: skip
def test_a_sign_or_a_mark_stays_that_the_head_takes_for_another(sign, seen, same) -> None:
    assert same_letter(sign, seen) == same


@pytest.mark.parametrize(("right", "stays"), [(2, True), (1, False)])
def test_a_letter_that_more_sightings_confirm_stays_where_one_contradicts_it(right: int, stays: bool) -> None:
    """An underlined o is seen as a g."""
    found = sightings("abcdefgh", "abcdefgh", 4) + sightings("o", "o", right) + sightings("o", "g", 1)
    found += sightings("yx", "uv", 2)  # other letters are contradicted, too
    by_claim = {one.character: v for one, v in zip(found, judge_glyphs(found, ALPHABET), strict=True)}
    assert by_claim["o"].weak == stays


def test_ligatures_of_which_the_head_misses_a_letter_are_named_by_an_encoding_of_tex() -> None:
    """Bitmap fonts of TeX give codes without characters. One ligature that is spelled in full tells the others."""
    codes = {name: chr(0xF800 + code) for name, code in {"–": 0x15, "ff": 0x1B, "fi": 0x1C, "fl": 0x1D}.items()}
    found = [*sightings("abc", "abc", 3)]
    found += [seen_as(one, "i") for one in sightings(codes["fi"], "x", 1)]
    found += [seen_as(one, "f") for one in sightings(codes["ff"], "x", 2)]
    found += [seen_as(one, "") for one in sightings(codes["–"], "x", 1)]
    assert verdicts(found)[codes["fi"]][0] == "mixed"
    found += [seen_as(one, "fl") for one in sightings(codes["fl"], "x", 1)]
    assert [verdicts(found)[code] for code in codes.values()] == [("false", name) for name in codes]
    found += [seen_as(one, "fl") for one in sightings(codes["fl"], "x", 1, font="G")]
    found += [seen_as(one, "w") for one in sightings(codes["fi"], "x", 1, font="G")]
    assert [judge_glyphs(found[-2:], ALPHABET)[1].kind, verdicts(found)["a"][0]] == ["mixed", "true"]


@pytest.mark.parametrize(("seen", "stays"), [("wvw+", True), ("wwwww", False), ("2", True), ("w", False)])
def test_a_letter_that_the_pixels_do_not_read_the_same_way_stays(seen: str, stays: bool) -> None:
    """The u of slanted typewriter type is seen as w, v and +, its x as a digit. What is seen alike is healed."""
    found = sightings("abcdefgh", "abcdefgh", 3) + sightings("yz", "uv", 3)
    found += [seen_as(one, ch) for ch in seen for one in sightings("j", "x", 1)]
    verdict = judge_glyphs(found, ALPHABET)[-1]
    assert (verdict.trusted, verdict.weak) == (True, stays)


@pytest.mark.parametrize(("right", "stays"), [(24, True), (23, False)])
def test_few_slips_beside_many_letters_that_are_confirmed_stay(right: int, stays: bool) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"[:right]
    found = sightings(letters, letters, 1) + sightings("AB", "FG", 1)
    alphabet = Alphabet(EUROPEAN)
    assert [verdict.weak for verdict in judge_glyphs(found, alphabet)[-2:]] == [stays, stays]
