"""Read a page from the text layer of its PDF: characters -> lines -> reading order -> Page. No model is needed.

A PDF places glyphs one by one, in any order. Glyphs that follow one another in the content and on the page are a run;
runs on one baseline are a line, as the reading head would spell it.
Frame: pixels of the page image, turned so that the lines run from left to right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from ...document.elements import SCRIPTS, SOURCES, STYLES, Page
from ...document.evidence import Evidence, without_paper
from ...document.findings import HiddenText
from ...document.layout.arrange import lay_out
from ...document.lines import TextLine
from ...document.orientation import (
    Orientation,
    add_direction,
    restore_orientation,
    straighten_box,
    straighten_points,
    straighten_size,
)
from ...document.outline import apply_tags
from ...document.structure import find_structure
from ...io.box import Box, middle_within
from ...io.pdf_layer import GENERATED, TextLayer, are_drawn, in_ligatures
from ...io.pdf_objects import HIDDEN, PageContent
from ..ctc import ASCENT_EM, DESCENT_EM, SPLIT_EM

LAYER_DPI = 112.0  # of the pixels in which boxes are given when no image is drawn
BLANK_EM = 0.18  # white between runs from which they are two words
TIGHT_EM, EVEN_EM, EVEN_LETTERS = 0.1, 0.04, 12  # the same where most letters of a line differ less in white; letters
LEVEL_EM = 0.25  # between baselines of one line: the E in the logo of TeX is 0.22 em low
SCRIPT_SIZE = 0.85  # raised or lowered characters are smaller than this, beside their line's
SCRIPT_REACH_EM = 0.35  # and stand no farther from their neighbour
SCRIPT_BACK_EM = 0.45  # and begin no farther before its end: the A in the logo of LaTeX
RAISED_EM, LOWERED_EM = 0.12, -0.06
QUARTER_DEG = 3.0  # type this near to a quarter turn is level
PADDING_EM = 0.6  # white between code on a ground and the mark behind it
WIDE_STEP = 1.55  # times the pitch of fixed-width type, from which a step has a blank in it
ONWARD_EM = 0.3  # a letter stands so much to the right of the one before in one word, however far that reaches
SPACED = 2.0  # white between letterspaced words, as a multiple of that between their letters
SPACED_LETTERS, SPACED_SHARE, SPACED_EVEN = 4, 0.4, 0.7  # fewest gaps; share that PDFium takes for blanks; of even ones
TWIN_EM = 0.12  # the same glyph again so near: bold by printing twice


@dataclass
class LayerLine(TextLine):
    """A line of the text layer; `indices`: of each character in the layer, -1 for a blank between words."""

    indices: np.ndarray | None = None
    PER_CHARACTER: ClassVar[tuple[str, ...]] = (*TextLine.PER_CHARACTER, "indices")


def read_layer(content: PageContent | None, dpi: float) -> Page:
    """Return the page that a PDF's text layer describes; status `blank` where there is none."""
    if content is None:
        return Page(1, "failed", dpi=dpi, error="no text layer: an image, or a PDF page whose text cannot be read")
    size = round(content.objects.width), round(content.objects.height)
    page = Page(1, "ok", *size, dpi=dpi, layer="trusted")
    for turn, lines in lines_by_turn(content.text, size) or [(Orientation(), [])]:
        part = Page(1, "ok", *straighten_size(size, turn))
        evidence = evidence_of(content, turn) if not page.blocks else Evidence()
        part.blocks = lay_out(lines, evidence, (part.width, part.height), STYLES + SCRIPTS)
        find_structure(part, evidence)
        apply_tags(part, evidence.tags)
        if turn != Orientation():
            restore_orientation(part, turn, size)
        add_direction(page, part)
    if not page.blocks:
        pictured = bool(content.objects.images)
        page.status, page.layer = ("failed" if pictured else "blank"), "none"
        page.error = "no text layer: the page is a picture" if pictured else None
    page.hidden = hidden_text(content.text)
    return page


class LayerReader:
    """Reads the text layers of PDFs alone: no model, no pixels. An image has none and fails.

    Its pages come from `read_page`; it stands for a reader where runs and workers need one.
    """

    name = "layer"


def evidence_of(content: PageContent, turn: Orientation) -> Evidence:
    """Return the drawn objects and form fields of a page, in the image turned upright."""
    objects = content.objects
    size = round(objects.width), round(objects.height)

    def up(box: Box) -> Box:
        return straighten_box(box, turn, size)

    fields = [one.box for one in objects.fields]
    curves = [box for box in objects.curves if not any(middle_within(box, one) for one in fields)]  # ticks, buttons
    return Evidence(
        rules := [up(box) for box in objects.rules],
        without_paper([(up(box), colour) for box, colour, _ in objects.fills], rules),
        [up(box) for box, _ in objects.images], [up(box) for box in curves],
        [(up(box), target) for box, target in objects.links],
        [(kind, alt, up(box)) for kind, alt, box in objects.tags],
        [(kind, up(box), ticked) for kind, box, ticked in objects.fields],
    )  # fmt: skip


def lines_by_turn(text: TextLayer, size: tuple[int, int]) -> list[tuple[Orientation, list[LayerLine]]]:
    """Return the visible lines of a layer by their direction, the direction of most characters first.

    size: of the page image. Boxes are those of the image turned upright, as `orientation.straighten` turns it.
    """
    shown = np.flatnonzero((text.kinds != GENERATED) & (text.hidden == 0))
    angles = np.round(text.angles[shown]).astype(int) % 360
    quarters = np.round(angles / 90).astype(int) * 90
    level = np.abs(angles - quarters) <= QUARTER_DEG
    angles = np.where(level, quarters, angles) % 360
    found = []
    for angle in sorted(set(angles.tolist()), key=lambda angle: -int((angles == angle).sum())):
        turn = Orientation(angle // 90 * 90, float(angle % 90))
        lines = find_lines(text, shown[angles == angle], turn, size)
        if lines:
            found.append((turn, lines))
    return found


def find_lines(text: TextLayer, chosen: np.ndarray, turn: Orientation, size: tuple[int, int]) -> list[LayerLine]:
    """Return the lines of the chosen characters, which all run in one direction."""
    glyphs = _Glyphs.of(text, chosen, turn, size)
    runs = _runs(glyphs)
    return [line for row in _rows(glyphs, runs) if (line := _line(glyphs, text, row)) is not None]


@dataclass
class _Glyphs:
    """Inked characters in the upright frame: index in the layer, sides, baseline, size.

    blank, typed: whether any blank, or one that the page holds, stands before it.
    """

    index: np.ndarray
    left: np.ndarray
    right: np.ndarray
    baseline: np.ndarray
    em: np.ndarray
    blank: np.ndarray
    typed: np.ndarray

    @classmethod
    def of(cls, text: TextLayer, chosen: np.ndarray, turn: Orientation, size: tuple[int, int]) -> _Glyphs:
        ink = np.array([not (ch.isspace() or ch in "\x00\ufeff\u200b") for ch in text.text], bool)
        drawn = are_drawn(text)  # a font may lie of blanks
        shared = in_ligatures(text, drawn, np.arange(len(drawn)))
        ink &= drawn | shared
        index = chosen[ink[chosen]]
        # PDFium adds a line break after each character when it takes a page of few lines for vertical writing.
        added = (text.kinds == GENERATED) & np.array([ch in "\r\n" for ch in text.text], bool)
        previous = np.maximum(np.concatenate([[-1], index[:-1]]), 0)
        blank, typed = (
            sums[index] - sums[previous] > 0
            for sums in (
                np.concatenate([[0], np.cumsum(~ink & one)]) for one in (~added, ~added & (text.kinds != GENERATED))
            )
        )
        em = text.ems[index]
        origin = straighten_points(text.origins[index], turn, size)
        corners = np.stack(
            [straighten_points(text.advances[index][:, sides], turn, size) for sides in ([0, 1], [2, 3])], 1
        )
        left, right = corners[..., 0].min(1), corners[..., 0].max(1)
        left = np.where(shared[index], np.maximum(left, origin[:, 0]), left)  # not those of the shared glyph
        onward = np.append(left[1:], np.inf)
        right = np.where(shared[index] & (onward > left), np.minimum(right, onward), right)
        if turn.skew:  # an axis-parallel box around slanting type is too wide
            left = origin[:, 0]
            step = np.append(np.abs(np.diff(left)), np.inf)
            follows = np.append(~blank[1:], False) & (step < 1.2 * em)  # a letter of the same word
            right = left + np.where(follows, step, np.minimum(0.5 * em, step))
        right = np.maximum(right, left + 0.05 * em)
        return cls(index, left, right, origin[:, 1], em, blank, typed)._without_twins(text)

    def _without_twins(self, text: TextLayer) -> _Glyphs:
        """Leave out a glyph that is printed again at nearly the same place."""
        if not len(self.index):
            return self
        codes = np.array([ord(text.text[k]) for k in self.index.tolist()])
        order = np.lexsort((self.left, np.round(self.baseline / np.maximum(0.5 * self.em, 1e-6)), codes))
        a, b = order[:-1], order[1:]
        near = TWIN_EM * self.em[b]
        twin = (codes[a] == codes[b]) & (np.abs(self.left[a] - self.left[b]) < near)
        twin &= np.abs(self.baseline[a] - self.baseline[b]) < near
        keep = np.ones(len(codes), bool)
        keep[np.maximum(a, b)[twin]] = False
        return self.select(keep)

    def select(self, keep: np.ndarray) -> _Glyphs:
        return _Glyphs(*(getattr(self, one.name)[keep] for one in fields(self)))


def _runs(glyphs: _Glyphs) -> list[np.ndarray]:
    """Return places of glyphs that follow one another in the content and on a baseline."""
    if not len(glyphs.index):
        return []
    em = np.maximum(glyphs.em[:-1], glyphs.em[1:])
    drop = np.abs(np.diff(glyphs.baseline))
    gap = glyphs.left[1:] - glyphs.right[:-1]
    alike = np.abs(np.diff(glyphs.em)) < 0.1 * em
    onward = np.diff(glyphs.left) > ONWARD_EM * em  # a letter may reach under the next ones, as the tail of a Q
    follows = (drop < 0.08 * em) & (gap < SPLIT_EM * em) & ((gap > -0.6 * em) | (onward & (gap > -1.2 * em))) & alike
    return np.split(np.arange(len(glyphs.index)), np.flatnonzero(~follows) + 1)


def _rows(glyphs: _Glyphs, runs: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Join runs to lines from left to right: on one baseline, or raised or lowered beside larger type."""
    left, right = np.array([glyphs.left[run[0]] for run in runs]), np.array([glyphs.right[run].max() for run in runs])
    base, em = np.array([glyphs.baseline[run[0]] for run in runs]), np.array([glyphs.em[run].max() for run in runs])
    rows: list[list[int]] = []
    ends, bases, sizes = (np.full(len(runs), -np.inf) for _ in range(3))  # of the rows so far
    for k in np.lexsort((base, left)).tolist():
        n = len(rows)
        larger, smaller = np.maximum(sizes[:n], em[k]), np.minimum(sizes[:n], em[k])
        gap, drop = left[k] - ends[:n], np.abs(bases[:n] - base[k])
        level = (drop < LEVEL_EM * smaller) & (gap < SPLIT_EM * larger) & (smaller > 0.5 * larger)
        script = (drop < 0.6 * larger) & (gap < SCRIPT_REACH_EM * larger) & (smaller < SCRIPT_SIZE * larger)
        fits = (level & (gap > -0.35 * smaller)) | (script & (gap > -SCRIPT_BACK_EM * larger))
        if fits.any():
            best = int(np.where(fits, drop / larger + np.abs(gap) / (4 * larger), np.inf).argmin())
            rows[best].append(k)
        else:
            best = n
            rows.append([k])
            sizes[n], bases[n] = em[k], base[k]
        if em[k] > sizes[best] / SCRIPT_SIZE or (em[k] >= SCRIPT_SIZE * sizes[best] and level[best : best + 1].any()):
            sizes[best], bases[best] = em[k], base[k]
        ends[best] = max(ends[best], right[k])
    for n in range(len(rows)):  # a small sign before a word that is far from the word on its left
        if len(rows[n]) != 1:
            continue
        after = (left - ends[n] > -SCRIPT_BACK_EM * em) & (left - ends[n] < SCRIPT_REACH_EM * em)
        after &= (sizes[n] < SCRIPT_SIZE * em) & (np.abs(bases[n] - base) < 0.6 * em)
        owner = next((row for row in rows if row is not rows[n] and any(after[k] for k in row)), None)
        if owner is not None:
            owner.append(rows[n][0])
            owner.sort(key=lambda k: float(left[k]))
            rows[n] = []
    for row in filter(None, rows):
        yield [runs[k] for k in row]


def _line(glyphs: _Glyphs, text: TextLayer, row: list[np.ndarray]) -> LayerLine | None:
    """Return the line of some runs, from left to right."""
    places = np.concatenate(row)
    pitch = _pitch(glyphs, places, text)
    em = float(np.median(glyphs.em[places]))
    usual = places[glyphs.em[places] > SCRIPT_SIZE * em]
    baseline = float(np.median(glyphs.baseline[usual]))
    spaced = _letterspacing(glyphs, text, row, em)
    wide, tight = (SPACED * spaced,) * 2 if spaced else _blank_widths(glyphs, row, em)
    own = glyphs.select(places)
    apart = _parted(own, text, row, pitch, own.typed if spaced else own.blank, wide, tight)
    high = np.where(own.em < SCRIPT_SIZE * em, (baseline - own.baseline.astype(float)) / em, 0.0).tolist()
    characters: list[str] = []
    indices: list[int] = []
    sides: list[tuple[float, float]] = []
    raised: list[float] = []
    known = zip(own.index.tolist(), own.left.tolist(), own.right.tolist(), high, *apart, strict=True)
    for index, left, right, up, parted, begins in known:
        ch = text.text[index]
        if parted and not (begins and _dense(characters[-1]) and _dense(ch)):
            characters.append(" ")
            indices.append(-1)
            sides.append((sides[-1][1], max(sides[-1][1], left)))
            raised.append(0.0)
        characters.append("-" if ch == "\x02" else ch)
        indices.append(index)
        sides.append((left, right))
        raised.append(up)
    if not characters:
        return None
    count = len(characters)
    boxes = np.empty((count, 4), np.float32)
    boxes[:, [0, 2]] = sides
    boxes[:, 1], boxes[:, 3] = baseline - ASCENT_EM * em, baseline + DESCENT_EM * em
    at = np.array(indices)
    bits = text.styles[np.where(at < 0, np.roll(at, 1), at)]
    beside = np.array(raised)
    faces = [bits >> column & 1 for column in range(len(STYLES))]
    styles = np.stack([*faces, beside > RAISED_EM, beside < LOWERED_EM], 1).astype(bool)
    confidence = np.ones(count, np.float32)
    sources = np.full(count, SOURCES.index("layer"), np.uint8)
    return LayerLine(
        "".join(characters), boxes, confidence, em, writer="layer", styles=styles, sources=sources, indices=at
    )


def _parted(
    glyphs: _Glyphs, text: TextLayer, row: list[np.ndarray], pitch: float, blank: np.ndarray, wide: float, tight: float
) -> tuple[list[bool], list[bool]]:
    """Return which glyphs of a line have a blank before them, and which begin a run.

    Args:
        glyphs: Of the line.
        text: The layer.
        row: Runs of the line.
        pitch: Step of type of fixed width, px; 0 for other type.
        blank: Whether the layer has a blank before each glyph.
        wide: White from which two characters are parted, px.
        tight: The same where the first does not lean over the second.
    """
    begins = np.zeros(len(glyphs.index), bool)
    begins[np.cumsum([0, *map(len, row[:-1])])] = True
    apart = ~begins & blank.astype(bool)
    gaps, bits = glyphs.left[1:] - glyphs.right[:-1], text.styles[glyphs.index]
    leans = (bits[:-1] & ~bits[1:] & 1 << STYLES.index("italic")).astype(bool)  # over an upright glyph after it
    apart[1:] |= (gaps > wide) | ((gaps > tight) & ~leans)
    if pitch:
        apart[1:] = np.diff(glyphs.left.astype(float)) > WIDE_STEP * pitch
    elif glyphs.typed.any():
        apart[1:] &= ~(_is_padding(glyphs, text) & ~glyphs.typed[1:].astype(bool) & (gaps < PADDING_EM * glyphs.em[1:]))
    apart[0] = False
    return apart.tolist(), begins.tolist()


def _is_padding(glyphs: _Glyphs, text: TextLayer) -> np.ndarray:
    """Return (N - 1,), whether white lies between code, which is set on a ground, and a bracket or mark beside it."""
    code = (text.styles[glyphs.index] >> STYLES.index("mono") & 1).astype(bool)
    after, before = (np.array([text.text[k] in marks for k in glyphs.index.tolist()]) for marks in (".,;:!?)", "("))
    return (code[:-1] & ~code[1:] & after[1:]) | (~code[:-1] & before[:-1] & code[1:])


def _pitch(glyphs: _Glyphs, places: np.ndarray, text: TextLayer) -> float:
    """Return the step from one character to the next on a line of fixed-width type; 0 for other lines.

    Programs set listings on a grid wider than the type. Then the gap between two letters is no blank.
    """
    fixed = text.styles[glyphs.index[places]] >> STYLES.index("mono") & 1
    first = int(fixed.argmax())
    if all(text.text[k].isdigit() for k in glyphs.index[places[:first]].tolist()):  # the number of the line
        places, fixed = places[first:], fixed[first:]
    widths = glyphs.right[places] - glyphs.left[places]
    width = float(np.median(widths))
    if len(places) < 2 or not fixed.all() or float(np.ptp(widths)) > 0.1 * width:
        return 0.0
    steps = np.diff(np.sort(glyphs.left[places]))
    near = steps[(steps > 0.8 * width) & (steps < WIDE_STEP * width)]
    return float(np.median(near)) if len(near) else width


def _blank_widths(glyphs: _Glyphs, row: list[np.ndarray], em: float) -> tuple[float, float]:
    """Return the white from which two characters are parted, in px, and that where the first does not lean over.

    Where the letters of a word are set evenly, less white parts two words. Letterspaced type has white in words, too.
    """
    gaps = [(glyphs.left[run[1:]] - glyphs.right[run[:-1]])[~glyphs.blank[run[1:]].astype(bool)] for run in row]
    found = np.concatenate(gaps)
    usual, most = np.quantile(found, [0.5, 0.75]).tolist() if len(found) else (0.0, 0.0)
    even = len(found) >= EVEN_LETTERS and most - usual < EVEN_EM * em
    wide, tight = (least * em + max(0.0, usual) for least in (BLANK_EM, TIGHT_EM if even else BLANK_EM))
    return wide, tight


def _letterspacing(glyphs: _Glyphs, text: TextLayer, row: list[np.ndarray], em: float) -> float:
    """Return the white between the letters of letterspaced words, px; 0 where letters stand close.

    It is even, and wide enough for PDFium to take much of it for blanks.
    """
    after = np.concatenate([run[1:] for run in row])
    letter = np.array([text.text[k].isalpha() for k in glyphs.index[[after - 1, after]].ravel().tolist()], bool)
    after = after[letter.reshape(2, -1).all(0) & ~glyphs.typed[after]]
    if len(after) < SPACED_LETTERS or glyphs.blank[after].mean() < SPACED_SHARE:
        return 0.0
    white = glyphs.left[after] - glyphs.right[after - 1]
    usual = float(np.median(white))
    even = float((np.abs(white - usual) < 0.5 * usual).mean())
    return usual if usual > TIGHT_EM * em and even > SPACED_EVEN else 0.0


def _dense(ch: str) -> bool:
    """Return whether a character belongs to a script that is written without blanks between words."""
    return "\u2e80" <= ch <= "\u9fff" or "\uf900" <= ch <= "\ufaff" or "\uff00" <= ch <= "\uffef" or ch >= "\U00020000"


def hidden_text(text: TextLayer) -> list[HiddenText]:
    """Return the text that nobody sees, one run of hidden characters each."""
    found = []
    places = np.flatnonzero((text.hidden > 0) & (text.kinds != GENERATED))
    cuts = np.flatnonzero((np.diff(text.hidden[places].astype(int)) != 0) | (np.diff(text.objects[places]) > 1)) + 1
    for part in np.split(places, cuts) if len(places) else []:
        boxes = text.boxes[part]
        (x0, y0), (x1, y1) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
        spelt = text.text[part[0] : part[-1] + 1].strip()
        if spelt:
            found.append(HiddenText(" ".join(spelt.split()), (x0, y0, x1, y1), HIDDEN[text.hidden[part[0]]]))
    return found
