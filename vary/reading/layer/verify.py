"""Check the lines of a text layer against the pixels, and repair what a font says wrongly.

A character stays where its glyph is true (`glyphs.py`) or the pixels confirm it in its place; it is healed where its
glyph is false, and read from the pixels where they contradict it. A line with too few good characters is rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from ...document.alphabets import are_of_two_scripts, restore_scripts
from ...document.elements import SOURCES
from ...document.findings import Disagreement
from ...io.box import union
from ..spelling.lookalikes import same_letter
from .align import Aligned, Alphabet, claims_nothing
from .glyphs import (
    CONFIRMED,
    CONTRADICTED,
    NO_PICTURE,
    OFTEN,
    STRONG,
    Glyph,
    GlyphVerdict,
    Sighting,
    agrees,
    judge_glyphs,
)
from .lines import LayerLine

SETTLED = 12  # sightings that settle what a glyph of a right font shows; the head may misread one in each place
GOOD_LINE = 0.7  # share of a line's characters that are confirmed or healed; below, the line is not used
UNREAD = -6.0  # mean log-odds of a line that the pixels do not read, such as tiny type: they do not show it to be wrong
READ = 0.8  # share of a line's characters that are confirmed or clearly contradicted, from which the pixels read it
SEEN = 0.3  # share of a line's characters that the pixels spell; where they spell less, they do not read it
LAYER, BOTH, HEALED, PIXELS = (SOURCES.index(name) for name in ("layer", "both", "healed", "pixels"))
INVISIBLE = GlyphVerdict("mixed", "", 1)  # no glyph is drawn: each place counts for itself


@dataclass
class Verdict:
    """Lines of the layer that are used, those that are not, and where the two witnesses differ.

    Args:
        lines: As the pixels let them be.
        rejected: Lines that are not used.
        disagreements: Where text layer and pixels differ.
        healed: Whether anything was replaced.
        doubted: Glyphs of which this page says too little; other pages of the document may say more.
    """

    lines: list[LayerLine] = field(default_factory=list)
    rejected: list[LayerLine] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)
    healed: bool = False
    doubted: set[Glyph] = field(default_factory=set)


def judge(
    lines: Sequence[LayerLine],
    found: Sequence[Aligned],
    sightings: Sequence[Sequence[Sighting | None]],
    alphabet: Alphabet,
    others: Sequence[Sighting] = (),
) -> Verdict:
    """Return the lines as the pixels let them be.

    Args:
        lines: Of the layer.
        found: The alignment of each line's characters other than spaces.
        sightings: Of each line, see `find_sightings`.
        alphabet: Of the head.
        others: Sightings on other pages of the document.
    """
    own = [one for row in sightings for one in row if one is not None]
    elsewhere = [one._replace(picture=NO_PICTURE) for one in others]
    verdicts = iter(judge_glyphs([*own, *elsewhere], alphabet))
    verdict = Verdict()
    for line, row, aligned in zip(lines, sightings, found, strict=True):
        glyphs = [INVISIBLE if one is None else next(verdicts) for one in row]
        _judge_line(line, row, glyphs, aligned, alphabet, verdict)
    return verdict


def _judge_line(
    line: LayerLine,
    row: Sequence[Sighting | None],
    glyphs: Sequence[GlyphVerdict],
    aligned: Aligned,
    alphabet: Alphabet,
    verdict: Verdict,
) -> None:
    characters, sources, good = list(line.text), np.full(len(line.text), LAYER, np.uint8), 0
    odds = [0.0] * len(line.text)
    inked = [k for k, ch in enumerate(line.text) if ch != " "]
    for k, one, glyph, value, seen in zip(inked, row, glyphs, aligned.odds.tolist(), aligned.seen, strict=True):
        new, source, certain = _judge_character(line.text[k], one, glyph, value, seen, alphabet)
        if one is not None and _is_doubted(one, glyph, source, alphabet):
            verdict.doubted.add((one.font, one.character))
        characters[k], sources[k], odds[k] = new, source, value
        good += certain
    for k in range(1, len(characters)):
        if characters[k] == " ":
            sources[k] = sources[k - 1]
    changed = [k for k in inked if sources[k] in (HEALED, PIXELS) and len(characters[k]) == 1]
    spelt = restore_scripts("".join(ch if len(ch) == 1 else " " for ch in characters)) if changed else ""
    for k in changed:  # a letter that several scripts share is of the script of its word
        characters[k] = spelt[k]
    if good < GOOD_LINE * max(1, len(inked)):
        mean, spelt = float(aligned.odds.mean()), "".join(aligned.seen)
        verdict.disagreements.append(Disagreement(line.text, spelt, line.box, mean))
        little = sum(map(str.isalnum, spelt)) < SEEN * len(inked)
        clear = float(((aligned.odds > CONFIRMED) | (aligned.odds < STRONG)).mean())
        drawn = all(one is not None for one in row)
        if (mean >= UNREAD and (drawn or clear < READ)) or (little and drawn):
            kept = [" " if claims_nothing(ch) else ch for ch in line.text]  # such as pieces of a large brace
            if any(ch != " " for ch in kept):
                verdict.lines.append(_with_characters(line, kept, np.full(len(line.text), LAYER, np.uint8)))
        else:
            verdict.rejected.append(line)
        return
    found = list(_disagreements(line, characters, sources, odds))
    verdict.disagreements += found
    verdict.healed |= bool(found)
    if "".join(characters).strip():
        verdict.lines.append(_with_characters(line, characters, sources))


def _judge_character(
    ch: str, one: Sighting | None, glyph: GlyphVerdict, odds: float, seen: str, alphabet: Alphabet
) -> tuple[str, int, bool]:
    """Return a character as it stays, its witness, and whether that is certain enough for the line to be used."""
    if glyph.kind == "true":
        return ch, BOTH if odds > CONFIRMED else LAYER, True
    agreed = seen == ch or (not claims_nothing(ch) and agrees(ch, odds, seen, alphabet))
    seldom = glyph.trusted and (glyph.count < OFTEN or glyph.weak)
    if glyph.kind == "false" and (glyph.lying or not (seldom or agreed)):
        return (ch, BOTH, True) if glyph.shown == ch else (glyph.shown, HEALED, True)
    if glyph.kind == "seen":
        return glyph.shown, PIXELS, True
    if claims_nothing(ch):
        return seen or " ", PIXELS, bool(seen)
    if agreed:
        return ch, BOTH if odds > CONFIRMED else LAYER, True
    if glyph.lying:
        return (seen or " ", PIXELS, False) if seen or odds < CONTRADICTED else (ch, LAYER, False)
    if (
        odds > CONFIRMED
        or glyph.kind == "foreign"
        or same_letter(ch, seen)
        or are_of_two_scripts(ch, seen)
        or (glyph.kind == "unknown" and odds > CONTRADICTED)
    ):
        return ch, LAYER, True
    if glyph.trusted and (glyph.weak or odds > STRONG or not seen or alphabet.is_alike(ch, seen)):
        return ch, LAYER, True
    return (seen, PIXELS, False) if seen and odds < CONTRADICTED else (ch, LAYER, False)


def find_unsettled(
    lines: Sequence[LayerLine],
    found: Sequence[Aligned],
    sightings: Sequence[Sequence[Sighting | None]],
    alphabet: Alphabet,
) -> list[int]:
    """Return the lines with a character that would not stay, or that pixels read at a better size may yet confirm.

    Arguments are those of `judge`.
    """
    verdicts = iter(judge_glyphs([one for row in sightings for one in row if one is not None], alphabet))
    unsettled = []
    for k, (line, row, aligned) in enumerate(zip(lines, sightings, found, strict=True)):
        glyphs = [INVISIBLE if one is None else next(verdicts) for one in row]
        characters = zip(line.text.replace(" ", ""), row, glyphs, aligned.odds.tolist(), aligned.seen, strict=True)
        if not all(_is_settled(*known, alphabet) for known in characters):
            unsettled.append(k)
    return unsettled


def _is_settled(ch: str, one: Sighting | None, glyph: GlyphVerdict, odds: float, seen: str, alphabet: Alphabet) -> bool:
    new, source, _ = _judge_character(ch, one, glyph, odds, seen, alphabet)
    if source == BOTH:
        return new == ch
    return source == LAYER and (
        glyph.kind == "true"
        or same_letter(ch, seen)
        or (glyph.trusted and odds > CONTRADICTED)
        or (glyph.kind == "foreign" and not (odds < STRONG and seen.isalnum()))
    )


def _is_doubted(one: Sighting, glyph: GlyphVerdict, source: int, alphabet: Alphabet) -> bool:
    """Return whether sightings on other pages may change what becomes of a character.

    A glyph that is true here stays, and one that many sightings heal is healed. A letter that the head cannot spell
    tells nothing elsewhere either, unless it is clearly seen as a plain letter, as in a font that lies.
    """
    if source != LAYER:
        return source == PIXELS or (source == HEALED and glyph.count < (OFTEN if glyph.lying else SETTLED))
    if glyph.trusted or glyph.kind == "true" or same_letter(one.character, one.seen):
        return False
    return alphabet.spells(one.character) or (one.odds < STRONG and one.seen.isalnum())


def _disagreements(
    line: LayerLine, characters: Sequence[str], sources: np.ndarray, odds: Sequence[float]
) -> Iterator[Disagreement]:
    """Yield the runs of a line's characters that were replaced."""
    changed = [new != ch or source == PIXELS for new, ch, source in zip(characters, line.text, sources, strict=True)]
    for differs, group in groupby(range(len(characters)), lambda k: changed[k]):
        places = list(group)
        if differs:
            box = union(tuple(line.boxes[k].tolist()) for k in places)
            claimed, shown = line.text[places[0] : places[-1] + 1], "".join(characters[k] for k in places)
            yield Disagreement(claimed.strip(), shown.strip(), box, min(odds[k] for k in places))


def _with_characters(line: LayerLine, characters: list[str], sources: np.ndarray) -> LayerLine:
    """Return the line with a text for each of its characters; several share one box, blanks are joined."""
    counts = [len(text) for text in characters]
    at = np.repeat(np.arange(len(characters)), counts)
    blank = np.array([ch == " " for text in characters for ch in text], bool)
    keep = ~(blank & np.concatenate([[True], blank[:-1]]))
    if blank[-1:].any() and keep.any():
        keep[np.flatnonzero(keep)[-1]] &= not blank[np.flatnonzero(keep)[-1]]
    spelt = "".join(characters)
    characters, at = [ch for ch, kept in zip(spelt, keep.tolist(), strict=True) if kept], at[keep]
    styles = None if line.styles is None else line.styles[at]
    return replace(
        line, text="".join(characters), boxes=line.boxes[at], confidence=line.confidence[at], styles=styles,
        sources=sources[at], indices=None if line.indices is None else line.indices[at],
    )  # fmt: skip
