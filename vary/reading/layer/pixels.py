"""Read a PDF page by both witnesses: the text layer as a draft, checked line by line against the pixels.

The page is drawn once, at the size at which its own type is read best, and scaled down for a first look. Lines that
this leaves unsettled, and lines of much larger or smaller type, are laid out as strips on an image of their own, at the
size at which they are read best. Ink that the layer says nothing about is read from the pixels.
Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from ...io.box import Box, area, scale_box
from ...io.deadline import time_is_up
from ...io.pdf_objects import PageContent
from ...models.images.preprocess import fit
from ..ctc import DESCENT_EM, X_HEIGHT_EM, mix_rows
from ..formulas.from_layer import write_layer_formulas
from ..spelling.languages import weigh_letters
from ..spelling.more_letters import FEWEST, has_accents, has_other_script
from .align import Aligned, Alphabet, align, claims_nothing, emissions_of
from .bare_ink import add_bare_lines, bare_ink, without_ink, without_lines
from .document_votes import sightings_elsewhere
from .formula_lines import mark_formulas, write_formula_lines
from .glyphs import Glyph, Sighting, find_sightings, lines_with, lying_fonts, without_unclear
from .lines import LAYER_DPI, LayerLine, evidence_of, hidden_text, lines_by_turn
from .offset import move_onto_ink
from .verify import Verdict, find_unsettled, judge

if TYPE_CHECKING:
    from ...io.source import Source
    from ..reader import Reader

EM_RANGE = 11.0, 22.0  # px per em that the head reads in place
EM_PX = 16.0  # of strips
FIRST_EM = 8.0, 11.0  # px per em of the first look: the least that is tried, and that of a page's usual type
FEW = 0.5  # share of a page's lines up to which strips cost less than the page
PAD_EM = 0.15  # before and behind a line
REACH_EM = 0.12  # beside its box, where a character may show
STRIP_EM = 1.6  # height of a strip
MAX_SCALE = 4.0
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
        placed = move_onto_ink(level, [_enlarge(line, by) for line in lines], content.text.modes)
        shown, hidden = without_ink(level, placed)

        def larger(scale: float, turn: Orientation = turn) -> Image.Image:
            return straighten(source.image(number, dpi * scale)[0], turn)

        def sight(lines: list[LayerLine], found: list[Aligned]) -> _Sighted:
            aligned = [without_unclear(line, one) for line, one in zip(lines, found, strict=True)]
            return aligned, find_sightings(lines, aligned, content.text, dpi)

        if glyph:
            sighted = sight(shown, align_strips(reader, level, shown, larger))
        else:
            sighted = _align_twice(reader, level, shown, larger, sight)
        parts.append(_Part(turn, level, shown, hidden, *sighted))
    return _Witnesses(content, image, dpi, parts)


def _align_twice(
    reader: Reader,
    image: Image.Image,
    lines: list[LayerLine],
    larger: Callable[[float], Image.Image],
    sight: Callable[[list[LayerLine], list[Aligned]], _Sighted],
) -> _Sighted:
    """Align lines to the page scaled down to FIRST_EM, then those that this leaves unsettled at their best size.

    Most lines of a true layer are settled at first, at half the cost.
    """
    first = align_lines(reader, image, lines, larger, min(1.0, FIRST_EM[1] / usual_size(lines)))
    aligned, sightings = sight(lines, first)
    unsettled = find_unsettled(lines, aligned, sightings, emissions_of(reader.alphabet))
    if not unsettled:
        return aligned, sightings
    again = align_strips if len(unsettled) < FEW * len(lines) else align_lines
    known = dict(zip(unsettled, again(reader, image, [lines[k] for k in unsettled], larger), strict=True))
    return sight(lines, [known.get(k, one) for k, one in enumerate(first)])


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
    if first and (verdict.rejected or bare_ink(image, covered, content, part.turn)):
        rest = without_lines(image, covered)
        read = reader.read(rest, reader.wanted_scale(rest) if not verdict.lines else 1.0)
        merged = add_bare_lines(verdict.lines, read, evidence_of(content, part.turn).drawings)
    formulas: list[FormulaReading] = []
    if reader.writes_formulas and first and part.turn == Orientation():
        merged, formulas = write_formula_lines(
            merged, content, lambda *at: write_layer_formulas(reader.symbols_decoder, *at)
        )
    scanned = any(area(box) > 0.6 * area((0, 0, *image.size)) for box, _ in content.objects.images)
    evidence = evidence_of(content, part.turn) if first else Evidence()
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


def align_lines(
    reader: Reader,
    image: Image.Image,
    lines: Sequence[LayerLine],
    larger: Callable[[float], Image.Image],
    scale: float = 1.0,
) -> list[Aligned]:
    """Align the lines of a text layer to the pixels: in place, or as strips where the type is too large or too small.

    Args:
        reader: Reads the pixels.
        image: Upright grey page.
        lines: Of the layer.
        larger: Returns the same page drawn larger by a factor.
        scale: Of the page when lines are aligned in place. Below 1 it costs less, and more characters stay unsure.
    """
    low, high = (EM_RANGE[0] if scale == 1.0 else FIRST_EM[0]), EM_RANGE[1]
    near = [k for k, line in enumerate(lines) if low <= scale * line.em_px <= high]
    found: dict[int, Aligned] = {}
    if near:
        fitted, own = fit(image, scale, reader.preprocess["multiple"]), [lines[k] for k in near]
        moved = [_enlarge(line, fitted.scale) for line in own]
        found |= zip(near, _align(reader, own, _paths(reader, fitted.pixels, moved)), strict=True)
    far = [k for k in range(len(lines)) if k not in found]
    found |= zip(far, align_strips(reader, image, [lines[k] for k in far], larger), strict=True)
    return [found[k] for k in range(len(lines))]


def align_strips(
    reader: Reader, image: Image.Image, lines: Sequence[LayerLine], larger: Callable[[float], Image.Image]
) -> list[Aligned]:
    """Align lines as strips below one another, each at the size that is read best. Arguments as of `align_lines`."""
    paths: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    small = [k for k, line in enumerate(lines) if line.em_px < EM_RANGE[0]]
    zoom = min(MAX_SCALE, EM_PX / max(0.1, min((lines[k].em_px for k in small), default=EM_PX)))
    for chosen, by in ([k for k in range(len(lines)) if lines[k].em_px >= EM_RANGE[0]], 1.0), (small, zoom):
        if chosen:
            drawn = larger(by) if by > 1 else image
            strips, moved = _strips(drawn, [_enlarge(lines[k], drawn.width / image.width) for k in chosen])
            pixels = fit(strips, 1.0, reader.preprocess["multiple"]).pixels
            paths |= zip(chosen, _paths(reader, pixels, moved), strict=True)
    return _align(reader, lines, [paths[k] for k in range(len(lines))])


def _align(reader: Reader, lines: Sequence[LayerLine], paths: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Aligned]:
    alphabet, texts = emissions_of(reader.alphabet), [line.text.replace(" ", "") for line in lines]
    return align([path for path, _ in paths], texts, [places for _, places in paths], alphabet)


def _enlarge(line: LayerLine, by: float) -> LayerLine:
    return replace(line, boxes=(line.boxes * by).astype(np.float32), em_px=line.em_px * by)


def _paths(reader: Reader, pixels: np.ndarray, lines: Sequence[LayerLine]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the head's probabilities (T, A) along each line, and the frames (N, 2) of its characters but spaces."""
    grid = reader.network.frame_grid
    field = reader.network(pixels)
    weigh_letters(field, grid.alphabet)
    paths = []
    for line in lines:
        x0, _, x1, _ = line.box
        height = _baseline(line) - X_HEIGHT_EM / 2 * line.em_px
        first = max(0, int((x0 - PAD_EM * line.em_px) / grid.frame_px))
        last = min(field.frames, int((x1 + PAD_EM * line.em_px) / grid.frame_px) + 1)
        t = np.arange(first, max(last, first))
        path = mix_rows(field, np.full(len(t), height), t, grid.row_px) if len(t) else np.zeros((0, 1))
        sides = line.boxes[[ch != " " for ch in line.text]][:, [0, 2]] + np.array([-1, 1]) * REACH_EM * line.em_px
        paths.append((path, sides / grid.frame_px - first))
    return paths


def _baseline(line: LayerLine) -> float:
    return line.box[3] - DESCENT_EM * line.em_px


def _strips(image: Image.Image, lines: Sequence[LayerLine]) -> tuple[Image.Image, list[LayerLine]]:
    """Lay lines out one below the other, each at EM_PX, and return them with their new places."""
    pieces, moved, top = [], [], 0
    for line in lines:
        scale = min(MAX_SCALE, EM_PX / line.em_px)
        x0, y0, x1, y1 = line.box
        pad = 0.5 * line.em_px
        left, upper = max(0, int(x0 - pad)), max(0, int(y0 - 0.3 * line.em_px))
        part = image.crop((left, upper, max(left + 1, int(x1 + pad)), max(upper + 1, int(y1 + 0.3 * line.em_px))))
        part = part.resize(
            (max(1, round(part.width * scale)), max(1, round(part.height * scale))), Image.Resampling.LANCZOS
        )
        shift = np.array([left, upper, left, upper], np.float32)
        boxes = (line.boxes - shift) * scale + np.array([0, top, 0, top], np.float32)
        moved.append(replace(line, boxes=boxes.astype(np.float32), em_px=line.em_px * scale))
        pieces.append((part, top))
        top += part.height + 8
    canvas = Image.new("L", (max(part.width for part, _ in pieces), top), 255)
    for part, y in pieces:
        canvas.paste(part, (0, y))
    return canvas, moved
