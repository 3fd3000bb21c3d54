"""Check the lines of a text layer against the pixels, and repair what a font says wrongly.

Each glyph of a font is drawn alike and decoded alike wherever it stands. So its sightings on a page vote: a glyph that
the pixels confirm is believed even where the head misreads it once; a glyph that the pixels contradict is replaced by
what they show, everywhere. Invisible text over a scan has no glyphs: there each place counts for itself.
A glyph is known by its font, its code and the outline of its box, to a thousandth of the type's size.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...document.elements import SOURCES, Box
from ...io.pdf_text import TextLayer
from .align import Aligned, Alphabet
from .lines import LayerLine

CONFIRMED, CONTRADICTED = -2.0, -4.0  # log-odds from which, and below which, the pixels speak
STRONG = -7.0  # contradicts even a font that is right elsewhere
OFTEN = 3  # sightings from which a contradicted glyph is no slip of the head
MAJORITY = 3  # times as many sightings one way as the other
GOOD_LINE = 0.7  # share of a line's characters that are confirmed or healed; below, the line is not used
PRIVATE = (0xE000, 0xF8FF)
LAYER, BOTH, HEALED, PIXELS = (SOURCES.index(name) for name in ("layer", "both", "healed", "pixels"))


@dataclass
class Disagreement:
    """A place where text layer and pixels differ. odds: log-odds of the layer's text against the pixels' own."""

    box: Box
    layer: str
    pixels: str
    odds: float


@dataclass
class Verdict:
    """Lines of the layer that are used, those that are not, and where the two witnesses differ."""

    lines: list[LayerLine] = field(default_factory=list)
    rejected: list[LayerLine] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)
    healed: bool = False


Key = tuple[int, str, tuple[int, ...]]


def judge(lines: Sequence[LayerLine], found: Sequence[Aligned], text: TextLayer, alphabet: Alphabet) -> Verdict:
    """Return the lines as the pixels let them stand.

    Args:
        lines: of the layer.
        found: the alignment of each line's characters other than spaces.
        text: the layer.
        alphabet: of the head.
    """
    verdict = Verdict()
    keys = [_keys(line, text) for line in lines]
    votes: dict[Key, list[tuple[float, str]]] = defaultdict(list)
    for line_keys, aligned in zip(keys, found, strict=True):
        for key, odds, seen in zip(line_keys, aligned.odds.tolist(), aligned.seen, strict=True):
            if key is not None:
                votes[key].append((odds, seen))
    maps = {key: _judge_glyph(key[1], sightings) for key, sightings in votes.items()}
    (trusted, lying), counts = _judge_fonts(maps), {key: len(sightings) for key, sightings in votes.items()}
    for line, line_keys, aligned in zip(lines, keys, found, strict=True):
        _judge_line(line, line_keys, aligned, (maps, trusted, lying, alphabet, counts), verdict)
    return verdict


def _keys(line: LayerLine, text: TextLayer) -> list[Key | None]:
    """Return the glyph of each character but spaces; None for invisible text."""
    assert line.indices is not None
    found: list[Key | None] = []
    for ch, k in zip(line.text, line.indices.tolist(), strict=True):
        if ch == " ":
            continue
        if text.modes[k] in (3, 7):
            found.append(None)
            continue
        em = max(float(text.ems[k]), 1e-6)
        shape = (text.boxes[k] - np.tile(text.origins[k], 2)) / em * 50  # 0.02 em: PDFium rounds boxes to 0.1 pt
        found.append((int(text.fonts[k]), ch, tuple(np.round(shape).astype(int).tolist()) if em > 20 else ()))
    return found


def _judge_glyph(ch: str, sightings: list[tuple[float, str]]) -> tuple[str, str]:
    """Return a glyph's verdict (`true`, `false`, `mixed`, `unknown`) and its character as the pixels show it."""
    confirmed = sum(odds > CONFIRMED for odds, _ in sightings)
    against = Counter(seen or " " for odds, seen in sightings if odds < CONTRADICTED)
    contradicted = sum(against.values())
    if PRIVATE[0] <= ord(ch) <= PRIVATE[1]:
        confirmed = 0
        against = Counter(seen for _, seen in sightings if seen)
        contradicted = sum(against.values())
    if confirmed and confirmed >= MAJORITY * contradicted:
        return "true", ch
    if contradicted and contradicted >= MAJORITY * confirmed:
        shown, count = against.most_common(1)[0]
        return ("false", shown) if 2 * count > contradicted else ("mixed", ch)
    return ("mixed", ch) if contradicted else ("unknown", ch)


def _judge_fonts(maps: dict[Key, tuple[str, str]]) -> tuple[set[int], set[int]]:
    """Return the fonts nearly all of whose glyphs are confirmed, and those most of whose glyphs are contradicted."""
    good, bad = Counter[int](), Counter[int]()
    for (font, _, _), (verdict, _) in maps.items():
        good[font] += verdict == "true"
        bad[font] += verdict in ("false", "mixed")
    trusted = {font for font in good if good[font] >= 4 and good[font] >= 6 * bad[font]}
    return trusted, {font for font in bad if bad[font] >= 3 and bad[font] > good[font]}


Known = tuple[dict[Key, tuple[str, str]], set[int], set[int], Alphabet, dict[Key, int]]


def _judge_line(line: LayerLine, keys: list[Key | None], aligned: Aligned, known: Known, verdict: Verdict) -> None:
    maps, trusted, lying, alphabet, counts = known
    characters, sources, good, place = list(line.text), np.full(len(line.text), LAYER, np.uint8), 0, 0
    disagreements = []
    for k, ch in enumerate(line.text):
        if ch == " ":
            continue
        key, odds, seen = keys[place], float(aligned.odds[place]), aligned.seen[place]
        place += 1
        glyph, shown = maps[key] if key is not None else ("mixed", ch)
        if glyph == "true" or (glyph != "false" and odds > _least(glyph, key, lying)):
            good += 1
            sources[k] = BOTH if odds > CONFIRMED else LAYER
            continue
        lone = key is not None and key[0] in trusted and not (glyph == "false" and counts[key] >= OFTEN)
        if lone and (odds > STRONG or not seen or alphabet.is_alike(ch, seen)):
            good += 1
            continue
        broken = key is not None and key[0] in lying and bool(seen) and seen != ch
        if odds < CONTRADICTED or glyph == "false" or broken:
            x0, y0, x1, y1 = line.boxes[k].tolist()
            new = shown if glyph == "false" else seen or " "
            disagreements.append(Disagreement((x0, y0, x1, y1), ch, new, odds))
            characters[k], sources[k] = new, HEALED if glyph == "false" else PIXELS
            good += glyph == "false"
    for k in range(1, len(characters)):
        if characters[k] == " ":
            sources[k] = sources[k - 1]
    total = max(1, place)
    if good < GOOD_LINE * total:
        verdict.rejected.append(line)
        x0, y0, x1, y1 = line.box
        seen_text = "".join(aligned.seen)
        verdict.disagreements.append(Disagreement((x0, y0, x1, y1), line.text, seen_text, float(aligned.odds.mean())))
        return
    verdict.disagreements += disagreements
    verdict.healed |= bool(disagreements)
    if "".join(characters).strip():
        verdict.lines.append(_with_characters(line, characters, sources))


def _least(glyph: str, key: Key | None, lying: set[int]) -> float:
    """Log-odds from which a character is believed that its glyph's sightings do not settle."""
    return CONTRADICTED if glyph == "unknown" and (key is None or key[0] not in lying) else CONFIRMED


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
