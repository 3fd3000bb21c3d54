"""Decide for each glyph of a PDF's fonts which character it draws, by votes of all places where it was sighted.

Each glyph of a font is drawn alike and decoded alike wherever it is. So its sightings are judged together: a glyph that
the pixels confirm stays even where the head misreads it once; a glyph that the pixels contradict is replaced by what
they show. A font most of whose glyphs are contradicted is wrong (`lying`): of its glyphs only what the pixels spell
counts. Many such fonts are shifted: all their codes are off by one number, which also gives the glyphs that were
sighted too seldom. A glyph is identified by its font, its character in the layer, its box, and its picture (`repeats`).
Invisible text has no glyphs. A character that the head cannot spell, such as an arrow, is always read as another. So it
is `foreign`: it counts against its font only with the font's other glyphs. So is one that is seen as a letter of
another script: small capital M has the shape of Cyrillic м.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...document.alphabets import are_of_two_scripts
from ...document.elements import SCRIPTS, STYLES
from ...io.pdf_layer import TextLayer
from ...io.tex_fonts import control_code
from ..spelling.lookalikes import same_letter
from .align import Aligned, Alphabet, claims_nothing
from .code_pages import find_rule, find_tex_encoding
from .lines import LayerLine

CONFIRMED, CONTRADICTED = -2.0, -4.0  # log-odds from which, and below which, the pixels speak
STRONG = -7.0  # contradicts even a font that is right elsewhere
OFTEN = 3  # sightings from which a contradicted glyph is no slip of the head
MANY = 12  # confirmed letters of a font, next to each of which one that is contradicted is a slip
FEWEST_FALSE = 3  # contradicted glyphs of a font that lies
MAJORITY = 3  # times as many sightings one way as the other
TRUST = {True: 2, False: 6}  # times as many letters (all glyphs) that are confirmed as contradicted, in a font to trust
SHARE = 0.75  # of the sightings that contradict a glyph which spell one character, or it is not healed
SAME_SHAPE = 0.04, 0.2  # em, and points: PDFium rounds boxes to 0.1 pt
OTHER = 10.0  # in a shape, farther than any two boxes of one glyph
NO_PICTURE = -1
INVISIBLE = (3, 7)  # text rendering modes
POINTS = 72.0
LOW_FIGURES = {"0": "oO", "1": "iıI"}  # what old-style figures are seen as
_SHARED = {"Cyrillic": "aeopcyxABEKMHOPCTX", "Greek": "oóABEZHIKMNOPTYX"}  # shapes of common letters, by Latin ones
_ALPHABETS = {"Cyrillic": frozenset(map(chr, range(0x410, 0x450))), "Greek": frozenset(map(chr, range(0x386, 0x3CF)))}

Glyph = tuple[str, str]  # identity of the font, and the character that it claims to be


class Sighting(NamedTuple):
    """A glyph at one place.

    Args:
        font: Identity of the font in its file.
        character: What it claims to be.
        shape: Box about the pen and advance width, in em; OTHER times the number of its look (`Aligned`).
        points: Size of the type.
        odds: Log-odds of the claim against the best path.
        seen: What the best path spells there; empty when nothing differs.
        picture: Number of its picture on its page; NO_PICTURE where pictures were not compared.
    """

    font: str
    character: str
    shape: tuple[float, ...]
    points: float
    odds: float
    seen: str
    picture: int = NO_PICTURE


@dataclass(frozen=True)
class GlyphVerdict:
    """What the sightings of a glyph say.

    Args:
        kind: `true`, `false`, `seen` (of a font that lies: too seldom to be sure), `mixed`, `foreign` or `unknown`.
        shown: The character that it draws, of a `false` or `seen` one.
        count: Number of sightings.
        trusted: Most letters of its font are confirmed, or nearly all glyphs if it is none: `TRUST`.
        weak: No sighting contradicts it strongly, or more confirm it, or it is one of few characters of its font that a
            few sightings contradict, or a letter that is seen in several ways or as a digit, or an old-style figure.
        lying: Most glyphs of its font are contradicted, or one rule explains those that are, and this one too.
    """

    kind: str
    shown: str
    count: int
    trusted: bool = False
    lying: bool = False
    weak: bool = False


@dataclass
class _Glyph:
    font: str
    character: str
    sightings: list[Sighting]
    kind: str = "unknown"
    shown: str = ""
    strength: int = 0  # sightings that agree on `shown`
    agreeing: int = 0  # sightings in which the pixels agree with the claim
    by_rule: bool = False

    @classmethod
    def of(cls, sightings: list[Sighting], alphabet: Alphabet) -> _Glyph:
        glyph = cls(sightings[0].font, sightings[0].character, sightings)
        _vote(glyph, alphabet)
        return glyph


def find_sightings(
    lines: Sequence[LayerLine], found: Sequence[Aligned], text: TextLayer, dpi: float
) -> list[list[Sighting | None]]:
    """Return the sightings of each line, one per character other than spaces; None for invisible text.

    Args:
        lines: Of the layer.
        found: The alignment of each line.
        text: The layer.
        dpi: Of its frame.
    """
    sizes = np.maximum(text.ems.astype(float), 1e-6)
    wide = (text.advances[:, 2:] - text.advances[:, :2]).max(1)
    shapes = np.concatenate([text.boxes - np.tile(text.origins, 2), wide[:, None]], 1) / sizes[:, None]
    known, points, rows = [tuple(shape) for shape in shapes.tolist()], (sizes * POINTS / dpi).tolist(), []
    drawn, fonts = (~np.isin(text.modes, INVISIBLE) & (text.fonts >= 0)).tolist(), text.fonts.tolist()
    for line, aligned in zip(lines, found, strict=True):
        assert line.indices is not None
        places = [k for k, ch in zip(line.indices.tolist(), line.text, strict=True) if ch != " "]
        spelt, looks, pictures = line.text.replace(" ", ""), aligned.looks, aligned.pictures
        others = [0.0] * len(spelt) if looks is None else (OTHER * looks).tolist()
        numbers = [NO_PICTURE] * len(spelt) if pictures is None else pictures.tolist()
        claims = zip(places, spelt, aligned.odds.tolist(), aligned.seen, others, numbers, strict=True)
        rows.append(
            [
                Sighting(text.font_ids[fonts[k]], ch, (*known[k], other), points[k], odds, seen, number)
                if drawn[k]
                else None
                for k, ch, odds, seen, other, number in claims
            ]
        )
    return rows


def has_glyph(text: TextLayer, glyph: Glyph) -> bool:
    """Return whether a glyph is on a page."""
    return any(text.text[k] == glyph[1] for k in np.flatnonzero(_in_font(text, glyph[0])).tolist())


def _in_font(text: TextLayer, font: str) -> np.ndarray:
    return np.isin(text.fonts, [k for k, known in enumerate(text.font_ids) if known == font])


def lines_with(lines: Sequence[LayerLine], text: TextLayer, glyph: Glyph) -> list[LayerLine]:
    """Return the lines in which a glyph is drawn in the line's own size, and not raised or lowered."""
    in_font, found = _in_font(text, glyph[0]), []
    for line in lines:
        assert line.indices is not None
        scripts = line.styles[:, len(STYLES) : len(STYLES + SCRIPTS)].any(1) if line.styles is not None else [False]
        own = in_font[line.indices] & (line.indices >= 0) & ~np.asarray(scripts)
        if any(line.text[k] == glyph[1] for k in np.flatnonzero(own).tolist()):
            found.append(line)
    return found


def agrees(character: str, odds: float, seen: str, alphabet: Alphabet) -> bool:
    """Return whether the pixels confirm a character: by its odds, and by what they spell at its place."""
    if odds <= CONFIRMED:
        return False
    return not seen or alphabet.is_alike(character, seen) or any(alphabet.is_alike(character, one) for one in seen)


def lying_fonts(sightings: Sequence[Sighting], alphabet: Alphabet) -> set[str]:
    """Return the fonts whose glyphs `judge_glyphs` says to lie, most or some by one rule."""
    against = Counter(s.font for s in sightings if s.odds < CONTRADICTED or claims_nothing(s.character))
    own = [s for s in sightings if against[s.font] >= FEWEST_FALSE]  # no font with fewer lies: each is judged by itself
    return {s.font for s, verdict in zip(own, judge_glyphs(own, alphabet), strict=True) if verdict.lying}


def judge_glyphs(sightings: Sequence[Sighting], alphabet: Alphabet) -> list[GlyphVerdict]:
    """Return the verdict of the glyph of each sighting."""
    groups = [part for group in _group(sightings) for part in _part_by_pictures(group, sightings, alphabet)]
    glyphs = [_Glyph.of([sightings[k] for k in group], alphabet) for group in groups]
    trusted, lying, with_slips = _judge_fonts(glyphs)
    with_low_figures = {glyph.font for glyph in glyphs if _is_low_figure(glyph)} & {
        font for font, own in trusted if own
    }
    for font in {glyph.font for glyph in glyphs if glyph.kind == "false" or glyph.font in lying}:
        own = [glyph for glyph in glyphs if glyph.font == font]
        for glyph in own if font in lying else ():
            _vote_by_spelling(glyph)
        _apply_rule(own, alphabet, font in lying)
        if font in lying:
            _drop_conflicts(own)
    _apply_tex_encodings(glyphs, alphabet)
    found: list[GlyphVerdict] = [GlyphVerdict("unknown", "", 0)] * len(sightings)
    for glyph, group in zip(glyphs, groups, strict=True):
        known = glyph.kind, glyph.shown or glyph.character, len(glyph.sightings)
        is_letter = glyph.character.isalpha()
        slip = (glyph.font, is_letter) in with_slips and not glyph.character.isdigit()
        slip = slip and len(glyph.sightings) < OFTEN
        slip = slip or (is_letter and _is_unreadable(glyph))
        low = glyph.character.isdigit() and glyph.font in with_low_figures
        once = glyph.agreeing > sum(s.odds < CONTRADICTED for s in glyph.sightings)  # an underlined o, seen as a g
        weak = slip or low or once or all(s.odds > STRONG for s in glyph.sightings)
        trust = low or (glyph.font, is_letter) in trusted
        verdict = GlyphVerdict(*known, trust, glyph.font in lying or glyph.by_rule, weak)
        for k in group:
            found[k] = verdict
    return found


def _group(sightings: Sequence[Sighting]) -> list[list[int]]:
    """Return the places of sightings of one glyph each: font, character and shape are the same."""
    claims: dict[tuple[str, str], list[int]] = defaultdict(list)
    for k, sighting in enumerate(sightings):
        claims[sighting.font, sighting.character].append(k)
    groups: list[list[int]] = []
    for places in claims.values():
        shapes = np.array([sightings[k].shape for k in places])
        reach = SAME_SHAPE[0] + SAME_SHAPE[1] / np.maximum(np.array([sightings[k].points for k in places]), 0.1)
        if (np.ptp(shapes, 0) <= reach.min()).all():
            groups.append(places)
            continue
        order, left = np.lexsort((*shapes.T, reach)).tolist(), np.ones(len(places), bool)  # large type comes first
        for first in order:
            if left[first]:
                same = left & (np.abs(shapes - shapes[first]).max(1) <= np.maximum(reach, reach[first]))
                left &= ~same
                groups.append([places[k] for k in np.flatnonzero(same).tolist()])
    return groups


def _part_by_pictures(group: list[int], sightings: Sequence[Sighting], alphabet: Alphabet) -> list[list[int]]:
    """Part the sightings of a glyph in two where the pixels confirm some of its pictures and contradict others.

    A font may draw two characters of one box, such as c and o, and name them alike.
    """
    if sum(sightings[k].odds < STRONG for k in group) < OFTEN:
        return [group]
    by_picture: dict[int, list[int]] = defaultdict(list)
    for k in group:
        by_picture[sightings[k].picture].append(k)
    right = by_picture.pop(NO_PICTURE, [])
    wrong: dict[str, list[int]] = defaultdict(list)
    for own in by_picture.values():
        glyph = _Glyph.of([sightings[k] for k in own], alphabet)
        false = glyph.kind == "false" and len(own) >= OFTEN and all(sightings[k].odds < STRONG for k in own)
        (wrong[glyph.shown] if false else right).extend(own)
    return [right, *wrong.values()] if any(sightings[k].odds > CONFIRMED for k in right) else [group]


def _vote(glyph: _Glyph, alphabet: Alphabet) -> None:
    """Set the verdict of a glyph by the log-odds of its sightings."""
    nothing = claims_nothing(glyph.character)
    glyph.agreeing = sum(agrees(glyph.character, s.odds, s.seen, alphabet) for s in glyph.sightings)
    confirmed = 0 if nothing else glyph.agreeing
    against = Counter(s.seen or " " for s in glyph.sightings if (s.seen if nothing else s.odds < CONTRADICTED))
    contradicted, (shown, count) = sum(against.values()), next(iter(against.most_common(1)), ("", 0))
    if confirmed and confirmed >= MAJORITY * contradicted:
        glyph.kind = "true"
    elif contradicted and not nothing and _is_foreign(glyph.character, shown, alphabet):
        glyph.kind = "foreign"
    elif contradicted and same_letter(glyph.character, shown):
        glyph.kind = "unknown"  # the head misses small dots and accents everywhere
    elif contradicted and contradicted >= MAJORITY * confirmed:
        glyph.kind = "false" if count >= SHARE * contradicted and count > 1 and shown != " " else "mixed"
        glyph.shown, glyph.strength = (shown, count) if glyph.kind == "false" else ("", 0)
    elif contradicted:
        glyph.kind = "mixed"


def _is_unreadable(glyph: _Glyph) -> bool:
    """Return whether the pixels show a letter now as one character, now as another, or as signs and digits."""
    seen = Counter(s.seen for s in glyph.sightings if s.odds < CONTRADICTED)
    unlike = len(glyph.sightings) >= OFTEN and seen and seen.most_common(1)[0][1] < SHARE * sum(seen.values())
    return not glyph.agreeing and (bool(unlike) or not any(one.isalpha() for one in seen))


def _is_low_figure(glyph: _Glyph) -> bool:
    """Return whether a glyph is a zero or a one as high as small letters, which is seen as an o or an i."""
    letters = LOW_FIGURES.get(glyph.character, "")
    return 2 * sum(s.seen in letters for s in glyph.sightings if s.seen) > len(glyph.sightings)


def _is_foreign(character: str, seen: str, alphabet: Alphabet) -> bool:
    shared = any(seen in _SHARED[script] and character in own for script, own in _ALPHABETS.items())
    return not alphabet.spells(character) or (are_of_two_scripts(character, seen) and not shared)


def _judge_fonts(glyphs: Sequence[_Glyph]) -> tuple[set[tuple[str, bool]], set[str], set[tuple[str, bool]]]:
    """Return the fonts whose letters (True), and whose other glyphs, are trusted; those that lie; those with few slips.

    A font lies when most of its glyphs are contradicted. A font of foreign glyphs lies when nearly all of them are seen
    as characters that the head knows well.
    """
    good, bad, foreign, other = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    letters: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for glyph in glyphs:
        false = glyph.kind in ("false", "mixed")
        good[glyph.font] += glyph.kind == "true"
        bad[glyph.font] += false
        if glyph.character.isalpha() and (false or glyph.kind == "true"):
            letters[not false][glyph.font] += 1
        if glyph.kind == "foreign":
            plain = sum(s.odds < STRONG and s.seen.isalnum() and len(s.seen) == 1 for s in glyph.sightings)
            foreign[glyph.font] += plain > SHARE * len(glyph.sightings)
            other[glyph.font] += plain <= SHARE * len(glyph.sightings)
    fonts, kinds = {glyph.font for glyph in glyphs}, {True: (letters[True], letters[False]), False: (good, bad)}
    trusted = {
        (font, of_letters)
        for of_letters, (right, wrong) in kinds.items()
        for font in fonts
        if right[font] >= 4 and right[font] >= TRUST[of_letters] * wrong[font]
    }
    lying = {
        font
        for font in fonts
        if bad[font] + foreign[font] >= FEWEST_FALSE and bad[font] + foreign[font] > good[font] + MAJORITY * other[font]
    }
    slips = {
        (font, of_letters)
        for of_letters, (right, wrong) in kinds.items()
        for font in fonts
        if right[font] >= MANY * max(1, wrong[font])
    }
    return trusted, lying, slips


def _vote_by_spelling(glyph: _Glyph) -> None:
    """Set the verdict of a lying font's glyph: what nearly all of at least OFTEN sightings spell, `seen` or `mixed`."""
    spelt = Counter(s.seen or (glyph.character if s.odds > CONFIRMED else " ") for s in glyph.sightings)
    shown, count = spelt.most_common(1)[0]
    glyph.kind, glyph.shown, glyph.strength = "mixed", "", 0
    if count >= max(OFTEN, SHARE * len(glyph.sightings)) and shown != " ":
        glyph.kind, glyph.shown, glyph.strength = "false", shown, count
    elif count == len(glyph.sightings) and len(shown) == 1 and shown != " ":
        glyph.kind, glyph.shown = "seen", shown


def _apply_rule(glyphs: Sequence[_Glyph], alphabet: Alphabet, lying: bool) -> None:
    """Where one rule explains the healed glyphs of a font, give the others what it makes of them, if they look so."""
    healed = [(glyph.character, glyph.shown) for glyph in glyphs if glyph.kind == "false" and len(glyph.shown) == 1]
    rule = find_rule(healed, lambda target, shown: _may_show(target, shown, alphabet))
    if rule is None:
        return
    for glyph in glyphs:
        target = rule(glyph.character) if len(glyph.character) == 1 else None
        if target is None or glyph.shown == target or (glyph.kind == "true" and not lying):
            continue
        if all(_may_show(target, one, alphabet) for one in {s.seen for s in glyph.sightings if s.seen}):
            glyph.kind, glyph.shown, glyph.strength, glyph.by_rule = "false", target, len(glyph.sightings), True


def _apply_tex_encodings(glyphs: Sequence[_Glyph], alphabet: Alphabet) -> None:
    """Name ligatures, dashes and quotes of fonts of TeX that give only their codes, where one is spelled in full."""
    coded: dict[str, list[tuple[int, _Glyph]]] = defaultdict(list)
    for glyph in glyphs:
        if (code := control_code(glyph.character)) is not None:
            coded[glyph.font].append((code, glyph))
    for own in coded.values():
        seen = [(code, Counter(s.seen for s in glyph.sightings).most_common(1)[0][0]) for code, glyph in own]
        encoding = find_tex_encoding(seen, lambda target, shown: _may_show(target, shown, alphabet))
        for code, glyph in own:
            if encoding and (target := encoding[code]):
                glyph.kind, glyph.shown, glyph.strength, glyph.by_rule = "false", target, len(glyph.sightings), True


def _may_show(character: str, seen: str, alphabet: Alphabet) -> bool:
    return alphabet.is_alike(character, seen) or same_letter(character, seen)


def _drop_conflicts(glyphs: Sequence[_Glyph]) -> None:
    """Heal only the most frequent of several characters of a font that are said to draw the same."""
    best: dict[str, _Glyph] = {}
    for glyph in sorted(glyphs, key=lambda glyph: (-glyph.strength, glyph.character)):
        if glyph.kind == "false" and best.setdefault(glyph.shown, glyph).character != glyph.character:
            glyph.kind, glyph.shown = "mixed", ""
