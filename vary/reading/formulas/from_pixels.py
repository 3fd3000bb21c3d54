r"""Find formulas that are set on their own in lines read from pixels, and replace them by LaTeX.

The lines of a fraction or a sum are read as short lines one above the other. Such lines that are near each other, apart
from prose and from cells of a table, are tried as one formula: its part of the image is enlarged, a glyph head finds
its glyphs, and a decoder writes them. What is not certain stays as it was read, and the reading is kept apart.
Formulas within lines of prose are not sought. Frame: pixels of the image in which the lines were read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations
from typing import Protocol

import numpy as np
from PIL import Image

from ...document.elements import MATH, STYLES
from ...document.evidence import Evidence
from ...document.findings import FormulaReading
from ...document.layout.arrange import usual_size
from ...document.lines import TextLine, in_mono, split_box
from ...io.box import Box, scale_box, touch, union, widen_box
from ...markup.math import is_complete, readable
from ...markup.math_tokens import RULE, left_to_right
from ...markup.math_tokens import STYLES as MATH_STYLES
from ...models.formulas.found_glyphs import RULE_SPREAD, FoundGlyphs
from ...models.formulas.writer import Glyphs, StepModel, write_formulas
from ...models.images.preprocess import fit
from ..network import ReadingNetwork
from .from_layer import EM
from .spans import FUNCTIONS, NUMBER

CERTAIN = 0.6  # least probability of a formula: of its steps and of all its glyphs (docs/vary-nano.md)
EM_PX = 22.0, 26.0  # sizes of the type at which glyphs are found; other type is resized (docs/vary-nano.md)
MAX_SCALE = 3.0  # of the page's own pixels
PROGRAM_TEXT = 8  # least characters of a line of program text
MARGIN_EM = 0.5  # of white around the ink of a formula
NEAR_EM = 1.5, 0.6  # across and down, between lines of one formula
ALONE_EM = 3.0, 0.15  # across and down, from a formula to other text
REACH_EM = 1.2, 0.5  # across and down: signs that were read as no line, as large sums
SMALL_TYPE = 0.85  # of the page's type: limits, sub- and superscripts
HIGHEST_EM = 9.0  # of a formula
MAX_GLYPHS = 80  # of a formula; tables of contents have more
MOST_LETTERS = 4  # of a run of letters that are quantities
SIGNS = frozenset("=<>≤≥≈≡∼+-−–—±×*/^_|∑∫√∈→∂∇")
BOX_SLACK = 2  # px by which boxes of glyphs may be too small
MOST_BARE = 5  # dark pixels that no glyph explains
ALONE_SCALES = (1.8, 1.2, 0.85, 0.6, 0.43)  # of an image that shows a formula and nothing else
ALONE_PX = 900, 300  # its largest ink
INK = 60  # grey levels darker than the ground
_WORDS = re.compile(r"[^\W\d_]{3,}")
_RELATION = re.compile(
    r"[=<>+/_^-]|[A-Za-z]\(|\\(?:le|ge|ne|approx|sim|equiv|propto|in|su[bp]set\w*|to|mapsto|times|pm|cdot|cup|cap|frac|sqrt"
    r"|sum|int|prod|partial|nabla)\b"
)
_SHARE = re.compile(r"[+-]?[\d.,]+(?:\\ )?\\%")  # a value of a table, such as `25.3%, n=2`
_LETTERS = re.compile(r"(?<![\\a-z])[A-Za-z]+")
_NAMES = re.compile(r"\\(?:operatorname\*?|mathrm|text)\{[^}]*\}|\\[A-Za-z]+")


class GlyphFinder(Protocol):
    """Finds glyphs in features, as `engines.symbols.OnnxGlyphs` does. glyphs: the character of each class from 1."""

    glyphs: str

    def find(self, features_RKD: np.ndarray, stride: tuple[int, int]) -> FoundGlyphs:
        """Return the glyphs of an image, best first."""
        ...


class FormulaReader:
    """What reads formulas in images. Its networks are opened at the first formula that is tried.

    Args:
        network: Gives the features of pixels.
        finder: Opens what finds glyphs in them.
        writer: Opens what writes LaTeX.
    """

    def __init__(self, network: ReadingNetwork, finder: Callable[[], GlyphFinder], writer: Callable[[], StepModel]):
        self.network, self._finder, self._writer = network, finder, writer

    @cached_property
    def finder(self) -> GlyphFinder:
        """Finds glyphs."""
        return self._finder()

    def find(self, pixels: np.ndarray) -> FoundGlyphs:
        """Return the glyphs of a grey image (H, W), from left to right; its sides are multiples of the network's."""
        stride = self.network.frame_grid.stride
        everywhere = np.ones((pixels.shape[0] // stride[0], pixels.shape[1] // stride[1]), bool)
        found = self.finder.find(self.network.features(pixels, everywhere), stride)  # zeros would show glyphs
        return join_over_ink(found.select(left_to_right(found.boxes)), self.finder.glyphs, pixels)

    def read(self, image: Image.Image, scale: float, em_px: float) -> tuple[str, float]:
        """Return the LaTeX of the formula in a grey image, and its probability; empty when the image shows no formula.

        The probability is 0 when symbols and glyphs do not match one to one.

        Args:
            image: It and white around it.
            scale: By which the image is enlarged first.
            em_px: Size of its type then.
        """
        pixels = fit(image, scale, self.network.preprocess["multiple"]).pixels
        found = self.find(pixels)
        italic = found.styles == MATH_STYLES.index("italic")
        if not italic.any() or len(italic) > MAX_GLYPHS or bare_pixels(pixels, found.boxes) > MOST_BARE:
            return "", 0.0
        (written,) = write_formulas(self._writer(), [to_glyphs(found, self.finder.glyphs, em_px)])
        if not is_formula(written.latex):
            return "", 0.0
        return written.latex, written.probability * float(found.confidence.prod()) * written.accounted

    def read_alone(self, image: Image.Image) -> FormulaReading | None:
        """Return what a grey image says that shows one formula and nothing else, when it is certain."""
        return read_formula_alone(image, self.read)

    def write(
        self, texts: Sequence[TextLine], lines: Sequence[TextLine], image: Image.Image, scale: float, evidence: Evidence
    ) -> tuple[list[TextLine], list[FormulaReading]]:
        """Return text lines with LaTeX in place of formulas, and all readings.

        Args:
            texts: The lines of a page that are text.
            lines: All lines, with ink that was judged not to be text, which may belong to formulas.
            image: As for `write_pixel_formulas`, like scale.
            evidence: What is drawn on the page.
        """
        around = (*evidence.pictures, *evidence.drawings)
        if not any(map(_is_prose, texts)) and (alone := self.read_alone(image)):
            box = scale_box(alone.box, scale)
            return [_latex_line(readable(alone.latex), box, alone.confidence, box[3] - box[1])], [alone]
        if not texts:
            return [], []
        written, readings = write_pixel_formulas(lines, image, scale, usual_size(texts), around, self.read)
        ink = {id(line) for line in lines} - {id(line) for line in texts}
        return [line for line in written if id(line) not in ink], readings


def join_over_ink(found: FoundGlyphs, known: str, pixels: np.ndarray) -> FoundGlyphs:
    """Join pieces of a rule where its ink goes on between them.

    Args:
        found: Glyphs from left to right.
        known: The character of each class from 1.
        pixels: The grey image (H, W).
    """
    boxes, gone = found.boxes.copy(), set()
    ink = pixels < int(np.median(pixels)) - INK
    rules = np.flatnonzero(found.classes == known.find(RULE) + 1).tolist()
    for left, right in combinations(rules, 2):
        (_, y0, x0, y1), x1 = boxes[left], boxes[right, 0]
        if left in gone or abs(boxes[right, 1::2] - (y0, y1)).max() >= RULE_SPREAD:
            continue
        between = ink[max(0, round(min(y0, y1)) - 1) : round(max(y0, y1)) + 2, max(0, round(x0)) : round(x1) + 1]
        if between.any(0).all():
            boxes[left, 2] = max(x0, boxes[right, 2])
            gone.add(right)
    keep = ~np.isin(np.arange(len(boxes)), list(gone))
    return replace(found, boxes=boxes).select(keep)


def read_formula_alone(
    image: Image.Image, read: Callable[[Image.Image, float, float], tuple[str, float]]
) -> FormulaReading | None:
    """Read a grey image that may show one formula and nothing else, at each of ALONE_SCALES, as its type is not known.

    Args:
        image: Of any size. Ink in more than ALONE_PX pixels across or down is no formula.
        read: Reads one formula, as `FormulaReader.read` does.
    """
    pixels = np.asarray(image)
    ink = pixels < int(np.median(pixels)) - INK
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows) or np.ptp(columns) > ALONE_PX[0] or np.ptp(rows) > ALONE_PX[1]:
        return None
    box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
    found = []
    for scale in ALONE_SCALES:
        part, _ = _enlarge(image, box, 1.0, EM_PX[0] / scale)
        latex, confidence = read(part, scale, EM_PX[0])
        found += [(confidence, latex)] if confidence >= CERTAIN else []
    return FormulaReading(max(found)[1], box, max(found)[0], True) if found else None


def finding_scale(em_px: float) -> float:
    """Return the factor by which an image is resized for its glyphs to be found. em_px: size of its type."""
    return min(MAX_SCALE, float(np.clip(em_px, *EM_PX)) / em_px)


def to_glyphs(found: FoundGlyphs, known: str, em_px: float) -> Glyphs:
    """Return glyphs as the decoder takes them. known: the character of each class from 1. em_px: size of the type."""
    chars = "".join(known[k - 1] if k else "\ufffd" for k in found.classes.tolist())
    return chars, found.styles, (found.boxes * (EM / em_px)).astype(np.float32)


def bare_pixels(pixels: np.ndarray, boxes: np.ndarray) -> int:
    """Return how many dark pixels of a grey image (H, W) lie outside all boxes (N, 4), widened by BOX_SLACK."""
    ink = pixels < int(np.median(pixels)) - INK
    for x0, y0, x1, y1 in boxes:
        rows = slice(max(0, round(y0) - BOX_SLACK), max(0, round(y1) + BOX_SLACK))
        ink[rows, max(0, round(x0) - BOX_SLACK) : max(0, round(x1) + BOX_SLACK)] = False
    return int(ink.sum())


def is_formula(latex: str) -> bool:
    """Return whether LaTeX can be a formula set on its own: a relation, an operation or a script, and no words.

    What begins with a share in percent is none.
    """
    if _SHARE.match(latex):
        return False
    letters = max((len(run) for run in _LETTERS.findall(_NAMES.sub(" ", latex))), default=0)
    return is_complete(latex) and _RELATION.search(latex) is not None and letters <= MOST_LETTERS


def write_pixel_formulas(
    lines: Sequence[TextLine],
    image: Image.Image,
    scale: float,
    em: float,
    around: Sequence[Box],
    read: Callable[[Image.Image, float, float], tuple[str, float]],
) -> tuple[list[TextLine], list[FormulaReading]]:
    """Return the lines with LaTeX in place of formulas that are set on their own, and all readings.

    Args:
        lines: Read from the image, upright.
        image: The page, grey.
        scale: Pixels of the lines per pixel of the image.
        em: Usual size of the type of the lines.
        around: Figures and tables, in which no formula is sought.
        read: Reads one formula, as `FormulaReader.read` does.
    """
    kept, readings, groups = list(lines), list[FormulaReading](), list(_groups(lines, em, around))
    if not groups:  # the pixels of a large page take much memory
        return kept, readings
    pixels = np.asarray(image)
    for group, number in groups:
        region = _grow(union(line.box for line in group), pixels, scale, em)
        others = [line for line in lines if all(line is not one for one in (*group, number))]
        if region is None or any(touch(region, line.box) for line in others):
            continue
        size = max(line.em_px for line in group)
        part, by = _enlarge(image, region, scale, size)
        latex, confidence = read(part, by, size / scale * by)
        if not latex:
            continue
        used = confidence >= CERTAIN
        readings.append(FormulaReading(latex, scale_box(region, 1 / scale), confidence, used))
        if used:
            text = readable(latex) + (f" \\tag{{{number.text.strip()[1:-1]}}}" if number else "")
            gone = {id(line) for line in (*group, *([number] if number else []))}
            kept = [line for line in kept if id(line) not in gone] + [_latex_line(text, region, confidence, size)]
    return kept, readings


def _groups(
    lines: Sequence[TextLine], em: float, around: Sequence[Box]
) -> Iterator[tuple[list[TextLine], TextLine | None]]:
    """Yield lines that may be one formula, and the line of its number."""
    numbers = [line for line in lines if NUMBER.fullmatch(line.text.strip())]
    spoken = [line for line in lines if _is_prose(line) or _is_program_text(line)]
    parts = [line for line in lines if all(line is not one for one in (*spoken, *numbers))]
    prose = [line for line in lines if all(line is not one for one in (*parts, *numbers))]
    for group in _near(parts, em):
        box = union(line.box for line in group)
        wide = widen_box(box, ALONE_EM[0] * em, ALONE_EM[1] * em)
        text = "".join(line.text for line in group)
        signs = len(group) > 1 or SIGNS & set(text) or min(line.confidence.mean() for line in group) < 0.9
        if not signs or max(line.em_px for line in group) < SMALL_TYPE * em or box[3] - box[1] > HIGHEST_EM * em:
            continue
        inside = any(touch(box, one) for one in around)
        beside = any(line.box[1] < box[3] and box[1] < line.box[3] and touch(wide, line.box) for line in prose)
        if inside or beside or any(touch(widen_box(box, 0, ALONE_EM[1] * em), line.box) for line in prose):
            continue
        own = [n for n in numbers if box[1] < (n.box[1] + n.box[3]) / 2 < box[3] and n.box[0] > box[2]]
        yield group, (own[0] if own else None)


def _is_prose(line: TextLine) -> bool:
    """Return whether a line holds words: most of its letters are in words that are no function's name."""
    words = [word for word in _WORDS.findall(line.text) if word not in FUNCTIONS]
    return 2 * sum(map(len, words)) > sum(not char.isspace() for char in line.text)


def _is_program_text(line: TextLine) -> bool:
    """Return whether a line is in fixed-width type; a few signs do not show it."""
    return len(line.text) >= PROGRAM_TEXT and in_mono(line)


def _near(lines: Sequence[TextLine], em: float) -> list[list[TextLine]]:
    """Return groups of lines that nearly touch."""
    groups = [[line] for line in lines]
    boxes = [line.box for line in lines]
    k = 0
    while k < len(groups):
        wide = widen_box(boxes[k], NEAR_EM[0] * em, NEAR_EM[1] * em)
        found = next((j for j in range(len(groups)) if j != k and touch(wide, boxes[j])), None)
        if found is None:
            k += 1
            continue
        groups[k] += groups.pop(found)
        boxes[k] = union([boxes[k], boxes.pop(found)])
        k = 0
    return groups


def _grow(box: Box, pixels: np.ndarray, scale: float, em: float) -> Box | None:
    """Return the box with all ink that reaches into it, within REACH_EM; None when ink goes on beyond."""
    x0, y0, x1, y1 = (round(v / scale) for v in widen_box(box, REACH_EM[0] * em, REACH_EM[1] * em))
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(pixels.shape[1], x1), min(pixels.shape[0], y1)
    part = pixels[y0:y1, x0:x1]
    if part.size == 0:
        return None
    ink = part < int(np.median(part)) - INK
    low_x, low_y, high_x, high_y = (round(v / scale) for v in box)
    top, bottom = _reach(np.logical_or.reduce(ink, axis=1), low_y - y0, high_y - y0)
    left, right = _reach(
        np.logical_or.reduce(ink[top:bottom], axis=0), low_x - x0, high_x - x0, round(0.8 * em / scale)
    )
    if (left == 0 and x0 > 0) or (right == ink.shape[1] and x1 < pixels.shape[1]):
        return None
    return (x0 + left) * scale, (y0 + top) * scale, (x0 + right) * scale, (y0 + bottom) * scale


def _reach(marked: np.ndarray, start: int, end: int, gap: int = 1) -> tuple[int, int]:
    """Return a range widened over marked places that follow with gaps of fewer than `gap` places, or one."""
    start, end = max(0, start), min(len(marked), end)
    while start > 0 and marked[max(0, start - gap) : start].any():
        start = max(0, start - gap) + int(marked[max(0, start - gap) : start].argmax())
    while end < len(marked) and marked[end : end + gap].any():
        end += int(np.flatnonzero(marked[end : end + gap])[-1]) + 1
    return start, end


def _enlarge(image: Image.Image, region: Box, scale: float, em: float) -> tuple[Image.Image, float]:
    """Return the part of an image with a formula, and the factor to the size at which glyphs are found."""
    margin = MARGIN_EM * em
    x0, y0 = (max(0, int((v - margin) / scale)) for v in region[:2])
    x1, y1 = (min(s, int((v + margin) / scale) + 1) for v, s in zip(region[2:], image.size, strict=True))
    return image.crop((x0, y0, x1, y1)), finding_scale(em / scale)


def _latex_line(text: str, box: Box, confidence: float, em: float) -> TextLine:
    """Return a line of LaTeX; its characters share the width of the box."""
    count = len(text)
    styles = np.zeros((count, len(STYLES + MATH)), bool)
    styles[:, -1] = True
    return TextLine(text, split_box(box, count), np.full(count, confidence, np.float32), em, styles=styles)
