"""Read a PDF page by both witnesses: the text layer as a draft, checked line by line against the pixels.

The page is drawn once, at the size at which its own type is read best, and scaled down for a first look. Lines that
this leaves unsettled, and lines of much larger or smaller type, are laid out as strips on an image of their own, at the
size at which they are read best. Ink that the layer says nothing about is read from the pixels.
Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ...document.elements import MATH, SCRIPTS, STYLES, Page
from ...document.evidence import Evidence
from ...document.findings import FormulaReading, HiddenText
from ...document.layout.arrange import find_evidence, lay_out, usual_size
from ...document.lines import TextLine
from ...document.orientation import Orientation, add_direction, restore_orientation, straighten, straighten_box
from ...document.outline import apply_tags
from ...document.structure import find_structure
from ...io.box import Box, area, median, scale_box, widen_box
from ...io.deadline import time_is_up
from ...io.pdf_layer import TextLayer
from ...io.pdf_objects import PageContent
from ..formulas.from_layer import write_layer_formulas
from ..formulas.lines import mark_formulas, write_formula_lines
from ..spelling.more_letters import FEWEST, has_accents, has_other_script
from .align import Aligned, Alphabet, claims_nothing, emissions_of
from .align_pixels import (
    EM_PX,
    EM_RANGE,
    FIRST_EM,
    align_in_place,
    align_lines,
    align_strips,
    align_without_rules,
    enlarge_line,
)
from .bare_ink import add_bare_lines, bare_ink, without_ink, without_lines
from .document_votes import sightings_elsewhere
from .glyphs import INVISIBLE, Glyph, Sighting, find_sightings, has_glyph, lines_with, lying_fonts
from .lines import LAYER_DPI, LayerLine, evidence_of, hidden_text, lines_by_turn
from .offset import move_onto_ink
from .repeats import align_repeats
from .unclear import without_unclear
from .verify import Verdict, find_unsettled, judge

if TYPE_CHECKING:
    from ...io.source import Source
    from ..reader import Reader

WORD_EM = 9.5  # px per em, from which words are read without those beside them
FEW = 0.5  # share of a page's lines up to which strips cost less than the page
RULE_PX = 3.0  # beside a rule, within which a character or two are its strokes
LOOKED_AT = 3  # lines of a page on which a glyph is looked at for another page
SCALES = 0.45, 3.5  # of the page image against LAYER_DPI
USUAL_PIXELS = 1_200_000  # of a page of A4 at LAYER_DPI


def read_both(
    source: Source, number: int, reader: Reader, factor: float, read_pixels: Callable[[], Page]
) -> Page:  # fmt: skip
    """Return a PDF page read by text layer and pixels, or by pixels alone without a layer that can be used.

    Args:
        source: The file.
        number: Page number, from 1.
        reader: Reads the pixels.
        factor: Of the resolution, 1.0 at the first attempt.
        read_pixels: Reads the page without its layer.
    """
    draft = source.content(number, LAYER_DPI)
    more = draft is not None and (has_accents(draft.text.text) or has_other_script(draft.text.text))
    reader = reader.with_more_letters if more else reader
    witnesses = _witnesses(source, number, draft, reader, factor)
    if witnesses is None:
        return read_pixels()
    alphabet = emissions_of(reader.alphabet)
    if not more and len(_unclaimed(witnesses, alphabet)) >= FEWEST:  # letters of any language
        again, larger = _witnesses(source, number, draft, reader.with_more_letters, factor), reader.with_more_letters
        shown = _unclaimed(again, emissions_of(larger.alphabet)) if again else ""
        if again and (has_accents(shown) or has_other_script(shown)):
            reader, witnesses, alphabet = larger, again, emissions_of(larger.alphabet)

    def judge_all(others: Sequence[Sighting]) -> list[Verdict]:
        return [judge(one.shown, one.aligned, one.sightings, alphabet, others) for one in witnesses.parts]

    verdicts = judge_all(())
    if doubted := {glyph for verdict in verdicts for glyph in verdict.doubted}:
        elsewhere = sightings_elsewhere(source, doubted, number, lambda page, glyph: _look(source, page, reader, glyph))
        verdicts = judge_all(elsewhere) if elsewhere else verdicts
    if any(verdict.rejected for verdict in verdicts) and not any(verdict.lines for verdict in verdicts):
        return _reject(read_pixels(), witnesses, verdicts)
    page, late = Page(1, "blank", *witnesses.image.size, dpi=witnesses.dpi), None  # late: why not all pixels were read
    for read in _compose_parts(reader, witnesses, verdicts):
        add_direction(page, read)
        page.hidden += read.hidden
        page.layer = max(page.layer, read.layer, key=("none", "verified", "healed", "rejected").index)
        page.rejected += read.rejected
        page.disagreements += read.disagreements
        page.formulas += read.formulas
        late = late or read.error
    if not late and time_is_up():
        late = "the time limit was reached; other pages of the file were not compared"
    page.status, page.error = ("timeout", late) if late else ("ok" if page.blocks else "blank", None)
    page.hidden += hidden_text(witnesses.content.text)
    return page


def _unclaimed(witnesses: _Witnesses, alphabet: Alphabet) -> str:
    """Return what the pixels spell where glyphs have no character or their font lies, signs that stand alone apart."""
    found = []
    for part in witnesses.parts:
        own = [one for row in part.sightings for one in row if one is not None]
        lying = lying_fonts(own, alphabet)
        for line, row, aligned in zip(part.shown, part.sightings, part.aligned, strict=True):
            inner = [len(word) > 1 for word in line.text.split() for _ in word]
            known = zip(line.text.replace(" ", ""), row, aligned.seen, inner, strict=True)
            found += [
                seen or "?"
                for ch, one, seen, inside in known
                if one and inside and (one.font in lying or claims_nothing(ch) or not ch.isprintable())
            ]
    return "".join(found)


_Sighted = tuple[list[Aligned], list[list[Sighting | None]]]


@dataclass
class _Part:
    """The lines of one direction, on the page turned so that they are level: those that show, and their alignment."""

    turn: Orientation
    image: Image.Image
    shown: list[LayerLine]
    hidden: list[HiddenText]
    aligned: list[Aligned]
    sightings: list[list[Sighting | None]]


@dataclass
class _Witnesses:
    """Text layer and pixels of a page."""

    content: PageContent
    image: Image.Image
    dpi: float
    parts: list[_Part]


def _witnesses(
    source: Source, number: int, draft: PageContent | None, reader: Reader, factor: float, glyph: Glyph | None = None
) -> _Witnesses | None:
    """Draw a page at the size at which its own type is read best, and align its layer; None without a layer.

    draft: content of the page at LAYER_DPI. glyph: align only the first lines that have it; nothing else is read.
    """
    if draft is None or not (groups := _groups(draft, _size(draft), glyph)):
        return None
    em = usual_size(groups[0][1])
    width, height = _size(draft)
    most = max(SCALES[1], (USUAL_PIXELS / max(1, width * height)) ** 0.5)  # a page measured in inches, or by UserUnit
    image, dpi = source.image(number, LAYER_DPI * factor * float(np.clip(EM_PX / max(em, 1e-3), SCALES[0], most)))
    if dpi is None:
        return None
    content, by = draft.resized(*image.size), image.width / draft.objects.width
    parts = []
    for turn, lines in groups:
        level = straighten(image, turn)
        placed = move_onto_ink(level, [enlarge_line(line, by) for line in lines], content.text.modes)
        shown, hidden = without_ink(level, placed)

        rules = evidence_of(content, turn).rules

        def larger(scale: float, turn: Orientation = turn) -> Image.Image:
            return straighten(source.image(number, dpi * scale)[0], turn)

        def sight(lines: list[LayerLine], found: list[Aligned]) -> _Sighted:
            aligned = [without_unclear(line, one, content.text) for line, one in zip(lines, found, strict=True)]
            return aligned, find_sightings(lines, aligned, content.text, dpi)

        if glyph:
            seen = align_strips(reader, level, shown, larger)
            sighted = sight(shown, align_without_rules(reader, level, shown, seen, rules, larger))
        else:
            layer = content.text if turn == Orientation() else None
            sighted = _align_twice(reader, level, shown, rules, larger, sight, layer)
        parts.append(_Part(turn, level, shown, hidden, *sighted))
    return _Witnesses(content, image, dpi, parts)


def _align_twice(
    reader: Reader,
    image: Image.Image,
    lines: list[LayerLine],
    rules: Sequence[Box],
    larger: Callable[[float], Image.Image],
    sight: Callable[[list[LayerLine], list[Aligned]], _Sighted],
    text: TextLayer | None,
) -> _Sighted:
    """Align lines to the page scaled down to FIRST_EM, then those that this leaves unsettled at their best size.

    Most lines of a true layer are settled at first, at half the cost.
    """
    first = _align_first(reader, image, lines, larger, text)
    aligned, sightings = sight(lines, first)
    unsettled = find_unsettled(lines, aligned, sightings, emissions_of(reader.alphabet))
    if not unsettled:
        return aligned, sightings
    again, own = align_strips if len(unsettled) < FEW * len(lines) else align_lines, [lines[k] for k in unsettled]
    found = align_without_rules(reader, image, own, again(reader, image, own, larger), rules, larger)
    compared = [(first[k].looks, first[k].pictures) for k in unsettled]
    settled = sight(own, [replace(one, looks=a, pictures=b) for one, (a, b) in zip(found, compared, strict=True)])
    for k, one, row in zip(unsettled, *settled, strict=True):
        aligned[k], sightings[k] = one, row
    return aligned, sightings


def _align_first(
    reader: Reader,
    image: Image.Image,
    lines: list[LayerLine],
    larger: Callable[[float], Image.Image],
    text: TextLayer | None,
) -> list[Aligned]:
    """Align lines to the page scaled down to FIRST_EM; of those of usual size, words that show all glyphs of the layer.

    text: the layer, None for type that is turned.
    """
    scale = min(1.0, FIRST_EM[1] / usual_size(lines))
    found: dict[int, Aligned] = {}
    if text is not None:
        usual = [k for k, line in enumerate(lines) if WORD_EM <= scale * line.em_px <= EM_RANGE[1]]
        unseen = np.append(np.isin(text.modes, INVISIBLE), False)  # the last for blanks, at -1
        drawn = [k for k in usual if not unseen[lines[k].indices].any()]
        alphabet = emissions_of(reader.alphabet)
        align_words = partial(align_in_place, reader, scale=scale)
        aligned = align_repeats(image, [lines[k] for k in drawn], text, alphabet, align_words)
        found |= zip(drawn, aligned, strict=True)
    rest = [k for k in range(len(lines)) if k not in found]
    others = [lines[k] for k in rest]
    if len(rest) < FEW * len(lines):
        found |= zip(rest, align_strips(reader, image, others, larger), strict=True)
    else:
        found |= zip(rest, align_lines(reader, image, others, larger, scale), strict=True)
    return [found[k] for k in range(len(lines))]


def _reject(page: Page, witnesses: _Witnesses, verdicts: Sequence[Verdict]) -> Page:
    """Return a page that was read from pixels, with what the rejected layer says."""
    by = page.width / max(1, witnesses.image.width)
    layer = Page(1, "ok")
    for part, verdict in zip(witnesses.parts, verdicts, strict=True):
        turned = Page(1, "ok", *part.image.size, hidden=part.hidden, disagreements=verdict.disagreements)
        if part.turn != Orientation():
            restore_orientation(turned, part.turn, witnesses.image.size)
        layer.hidden += turned.hidden
        layer.disagreements += turned.disagreements
    layer.hidden += hidden_text(witnesses.content.text)
    layer.map_boxes(lambda box: scale_box(box, by))
    page.layer, page.hidden, page.disagreements = "rejected", layer.hidden, layer.disagreements
    return page


def _look(source: Source, number: int, reader: Reader, glyph: Glyph) -> dict[int, list[Sighting]]:
    """Return the sightings on the first lines of a page that have a glyph, by the place of the line in the layer."""
    witnesses = _witnesses(source, number, source.content(number, LAYER_DPI), reader, 1.0, glyph)
    known = (
        [pair for part in witnesses.parts for pair in zip(part.shown, part.sightings, strict=True)] if witnesses else []
    )
    return {max(line.indices.tolist()): [one for one in row if one] for line, row in known if line.indices is not None}


def _groups(
    content: PageContent, size: tuple[int, int], glyph: Glyph | None
) -> list[tuple[Orientation, list[LayerLine]]]:
    """Return the visible lines of a page by their direction: all, or the first of each that have a glyph."""
    if glyph and not has_glyph(content.text, glyph):
        return []
    groups = lines_by_turn(content.text, size)
    if glyph is None:
        return groups
    chosen = [(turn, lines_with(lines, content.text, glyph)[:LOOKED_AT]) for turn, lines in groups]
    return [(turn, lines) for turn, lines in chosen if lines]


def _size(content: PageContent) -> tuple[int, int]:
    return round(content.objects.width), round(content.objects.height)


def _compose_parts(reader: Reader, witnesses: _Witnesses, verdicts: Sequence[Verdict]) -> list[Page]:
    """Return a page of each direction, in the pixels of the page. The first has all ink that no line explains, too."""
    size, turned, composed = witnesses.image.size, list[Box](), list[Page]()
    for part, verdict in reversed(list(zip(witnesses.parts, verdicts, strict=True))):
        others = [straighten_box(box, part.turn, size) for box in turned] if part is witnesses.parts[0] else None
        read = _compose(reader, part, verdict, witnesses.content, others)
        if part.turn != Orientation():
            restore_orientation(read, part.turn, size)
        if not part.turn.skew:  # the box of a line that leans has much beside it
            turned += [line.box for line in read.lines]
        composed.insert(0, read)
    return composed


def _compose(reader: Reader, part: _Part, verdict: Verdict, content: PageContent, turned: Sequence[Box] | None) -> Page:
    """Make a page of the lines of one direction. turned: lines of the others; with them, of all other ink, too."""
    image, first = part.image, turned is not None
    covered = [*(line.box for line in verdict.lines), *(turned or ())]
    merged: list[TextLine] = list(verdict.lines)
    read: Page | None = None
    evidence = evidence_of(content, part.turn) if first else Evidence()
    if first and (verdict.rejected or bare_ink(image, covered, content, part.turn)):
        rest = without_lines(image, covered)
        read = reader.read(rest, reader.wanted_scale(rest) if not verdict.lines else 1.0)
        strokes = [*evidence.drawings, *(widen_box(rule, RULE_PX, RULE_PX) for rule in evidence.rules)]
        em = median(line.em_px for line in verdict.lines) if verdict.lines else 0.0
        dots = [box for box, _ in evidence.areas if max(box[2] - box[0], box[3] - box[1]) < em]  # square bullets
        merged = add_bare_lines(verdict.lines, read, [*strokes, *dots])
    formulas: list[FormulaReading] = []
    if reader.writes_formulas and first and part.turn == Orientation():
        merged, formulas = write_formula_lines(
            merged, content, lambda *at: write_layer_formulas(reader.symbols_decoder, *at)
        )
    scanned = any(area(box) > 0.6 * area((0, 0, *image.size)) for box, _ in content.objects.images)
    drawn = find_evidence(image, merged, evidence.fields) if scanned and first else evidence
    blocks = lay_out(merged, drawn, image.size, STYLES + SCRIPTS + MATH)
    page = Page(1, "ok", *image.size, blocks=blocks, hidden=part.hidden, disagreements=verdict.disagreements)
    page.formulas = formulas
    if read is not None:
        page.rejected, page.error = read.rejected, read.error
    page.layer = "rejected" if not verdict.lines else "healed" if verdict.healed or verdict.rejected else "verified"
    find_structure(page, evidence)
    apply_tags(page, evidence.tags)
    mark_formulas(page, [one.box for one in formulas if not one.used])
    return page
