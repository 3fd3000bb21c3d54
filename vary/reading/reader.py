"""Read a grey page image with a model's reading head: pixels -> lines -> blocks in reading order -> Page.

The work depends on the image alone, never on time. The whole page is read at the scale of its smallest common type.
What that does not read with certainty is read again at 1/2, 1/4 and so on of that scale, for larger type, and then
turned by 90, 270 and 180 degrees. Large images are read in tiles, so memory does not grow with the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..document.elements import MATH, STYLES, Block, Page
from ..document.evidence import Areas, Evidence
from ..document.findings import FormulaReading, RejectedText
from ..document.layout.arrange import find_evidence, lay_out
from ..document.lines import TextLine
from ..document.orientation import Orientation, find_orientation, find_sideways_text, insert_turned, restore_orientation
from ..io.box import scale_box
from ..io.deadline import time_is_up
from ..io.errors import InputError
from ..models.images.preprocess import fit, padded_pixels
from .ctc import drop_echoes, find_lines, with_text
from .field import Field
from .network import ReadingNetwork
from .scales.columns import part_at_rules
from .scales.measure import Measured, confidence_of_turns, measure_type
from .scales.merge import (
    CERTAIN,
    densest_windows,
    drop_covered,
    drop_replaced,
    enlarge,
    erase,
    has_ink,
    is_certain,
    is_read,
    is_text,
    is_upright,
    mark_doubted,
    mark_near,
    merge_pass,
    reread_cells,
    restore,
    take_turned,
)
from .scales.rules import erase_rules
from .scales.specks import erase_specks, find_proven_texts
from .scales.strokes import keep_strokes, may_hold_type
from .spelling.bold import mark_bold
from .spelling.marks import find_unread_marks
from .spelling.more_letters import MANY, has_accents, needs_more_letters
from .spelling.spell import spell_lines
from .verify import rescore_lines

if TYPE_CHECKING:
    from ..io.pdf_objects import FormField
    from ..models.formulas.writer import StepModel
    from ..models.generate.strips import LineScorer
    from .formulas.from_pixels import FormulaReader, GlyphFinder

EM_RANGE = (13.0, 19.5)  # px per em that are read unscaled; a page with other type is scaled to the model's em_px
MAX_READ_PIXELS = 80_000_000  # of a page at the scale at which it is read
MIN_SIDE = 20  # px, shorter side of the smallest pass
SMALL_TYPE = 10.0  # px per em below which lines are read again, enlarged
FINER = (2.0, 4.0, 8.0, 16.0)  # multiples of a page's scale at which smaller type is sought, up to its own pixels
SEAM = 4  # px: a line so near to the edge of a band counts for both, and its echo is dropped
MIN_ALTERNATIVES = 0.02  # per character of a page; with fewer, rescoring gains next to nothing (docs/results.md)
SURER = 0.01  # by which more letters must raise the mean confidence of a page with marks that were not read
MAX_STRIP_EM = 26  # px; a strip holds no larger type, and the decoder has not seen any


class Reader:
    """Read page images with a model's reading vocabulary and head. Deterministic.

    Safe to use from several threads at once, except with `decoder`. Without `decoder`, or when the model's
    configuration has no `reading.decoder_weight`, the head reads alone.

    `uses_layer`: whether `read_page` checks and uses the text layers of PDFs; set by `load_reader`.

    Args:
        network: pixels to class probabilities.
        name: of the model.
        decoder: opens the decoder; called at the first page with many uncertain spans.
        formulas: opens the network that writes formulas as LaTeX; called at the first formula. None leaves formulas as
            they are.
        glyphs: opens the network that finds the glyphs of formulas in pixels. None writes those of text layers only.
        more_letters: opens a network with more letters; called at the first page that seems to have some.
    """

    uses_layer = False

    def __init__(
        self,
        network: ReadingNetwork,
        name: str,
        decoder: Callable[[], LineScorer] | None = None,
        formulas: Callable[[], StepModel] | None = None,
        glyphs: Callable[[], GlyphFinder] | None = None,
        more_letters: Callable[[], ReadingNetwork] | None = None,
    ):
        self.name, self.network, self.preprocess = name, network, network.preprocess
        self._decoder, self._formulas, self._glyphs, self._more_letters = decoder, formulas, glyphs, more_letters
        self.writes_formulas = formulas is not None
        self.decoder_weight = float(network.reading.get("decoder_weight", 0.0)) if decoder else 0.0
        self._measured: tuple[Image.Image | None, Measured] = None, Measured()

    @cached_property
    def line_scorer(self) -> LineScorer:
        """The decoder, loaded on first use. Raises an InputError for a reader without one."""
        if self._decoder is None:
            raise InputError(f"{self.name}: this reader was made without its decoder")
        return self._decoder()

    @cached_property
    def symbols_decoder(self) -> StepModel:
        """The network that writes formulas, loaded on first use. Raises an InputError for a reader without one."""
        if self._formulas is None:
            raise InputError(f"{self.name}: this reader was made without its formulas")
        return self._formulas()

    @cached_property
    def formula_reader(self) -> FormulaReader | None:
        """What reads formulas from pixels; None for a reader without it."""
        if self._glyphs is None or self._formulas is None:
            return None
        from .formulas.from_pixels import FormulaReader

        return FormulaReader(self.network, self._glyphs, lambda: self.symbols_decoder)

    @property
    def alphabet(self) -> str:
        """The characters of the head."""
        return self.network.frame_grid.alphabet

    @cached_property
    def with_more_letters(self) -> Reader:
        """A reader with more letters and without decoder, or this one if there is no such network."""
        if self._more_letters is None:
            return self
        formulas = (lambda: self.symbols_decoder) if self._formulas else None
        reader = Reader(self._more_letters(), self.name, None, formulas)
        reader.formula_reader = self.formula_reader  # its glyphs are found in the features of this reader's network
        return reader

    def wanted_scale(self, image: Image.Image) -> float:
        """Return the scale at which the page's type has the size that the head reads best."""
        measured = self._measure(image)
        found, trial = measured.em_px, measured.scale
        if not found or (trial == 1.0 and EM_RANGE[0] <= found <= EM_RANGE[1]):
            scale = 1.0
        else:
            scale = float(self.preprocess["em_px"]) / found
        return min(scale, (MAX_READ_PIXELS / (image.width * image.height)) ** 0.5)

    def shows_type(self, image: Image.Image) -> bool:
        """Return whether text is found in the densest part of a grey page, at any scale that is tried."""
        return self._measure(image).em_px > 0

    def find_orientation(self, image: Image.Image) -> Orientation:
        """Return how a grey page is turned, by its edges and by the confidence in its densest window."""
        upright = image, self._measure(image)
        formula = upright[1].confidence < CERTAIN and self.formula_reader and self.formula_reader.read_alone(image)
        found = Orientation() if formula else find_orientation(image, confidence_of_turns(self._measure))
        if found == Orientation():
            self._measured = upright  # `wanted_scale` needs it next
        return found

    def _measure(self, image: Image.Image) -> Measured:
        """Measure the type of an image, once if it is asked for the same image again."""
        known, measured = self._measured  # taken at once: another thread may replace it
        if known is not image:
            multiple = self.preprocess["multiple"]
            measured = measure_type(image, lambda part, scale: self.read_pass(fit(part, scale, multiple).pixels)[0])
            self._measured = image, measured
        return measured

    def read(self, image: Image.Image, scale: float = 1.0, fields: Sequence[FormField] = (), areas: Areas = ()) -> Page:
        """Read a grey page. Boxes are pixels of `image`.

        Args:
            image: the page, upright.
            scale: as from `wanted_scale`.
            fields: form fields of the page.
            areas: filled rectangles of the page and their colours, as in `Evidence`.

        Raises:
            InputError: the page is too large.
        """
        _check_size(image, scale)
        measured = self._measured
        if self._more_letters and measured[0] is image and has_accents(measured[1].text, MANY):
            return self.with_more_letters.read(image, scale, fields, areas)
        em_px = float(self.preprocess["em_px"])
        fitted, is_noisy = erase_specks(fit(image, scale, self.preprocess["multiple"]), em_px)
        rest = erase_rules(fitted.pixels, em_px)  # what was read is erased in it, too
        lines, complete = self._read_scales(rest)
        sample = partial(self._sample, fitted.pixels, lines)
        if self._more_letters and needs_more_letters(lines, self.alphabet, sample, is_noisy):
            return self.with_more_letters.read(image, scale, fields, areas)
        if complete:
            lines = self._read_small(self._read_finer(lines, rest, image, fitted.scale), image, fitted.scale)
        turned = self._read_turned(rest, lines, fitted.pixels) if complete else []
        lines = drop_covered(lines, turned)
        if complete:
            lines = reread_cells(lines, rest, lambda pixels: self.read_pass(pixels)[0])
        lines = spell_lines(lines, fitted.pixels)
        texts = find_proven_texts(lines, fitted.pixels, is_noisy)
        here = [one._replace(box=scale_box(one.box, fitted.scale)) for one in fields] or None
        evidence = find_evidence(fitted.pixels, texts, here, areas, fitted.scale)
        lines, texts = part_at_rules(lines, texts, evidence)
        formulas: list[FormulaReading] = []
        if complete and self.formula_reader:
            texts, formulas = self.formula_reader.write(texts, lines, image, fitted.scale, evidence)
        shown = texts if "bold" in self.network.frame_grid.styles else mark_bold(texts, fitted.pixels)
        blocks = lay_out(shown, evidence, fitted.pixels.shape[::-1], STYLES + MATH, fitted.scale)
        Page(1, "ok", blocks=turned).map_boxes(lambda box: scale_box(box, 1 / fitted.scale))
        insert_turned(blocks, turned)
        page = Page(1, "ok" if blocks else "blank", image.width, image.height, blocks=blocks, formulas=formulas)
        page.unread_marks = [] if is_noisy else find_unread_marks(texts, fitted.pixels, fitted.scale)
        more = self.with_more_letters if page.unread_marks and self._more_letters else None
        if more and _is_surer(other := more.read(image, scale, fields, areas), page):  # noise looks like marks, too
            return other
        page.rejected = _rejected(lines, texts, fitted.scale)
        if not complete:
            page.status, page.error = "timeout", "the time limit was reached; what was read until then is kept"
        return page

    def _read_scales(self, rest: np.ndarray) -> tuple[list[TextLine], bool]:
        """Read an image at its own and at falling scales and erase what was read from it. Also: was all read."""
        lines, complete = self.read_pass(rest, self.decoder_weight > 0)
        erase(rest, [line for line in lines if is_certain(line)])
        factor = 2
        while complete and not time_is_up() and min(rest.shape) // factor >= MIN_SIDE:
            small = np.asarray(Image.fromarray(rest).reduce(factor))
            if not may_hold_type(small):
                break
            found, complete = self.read_pass(fit(Image.fromarray(small), 1.0, self.preprocess["multiple"]).pixels)
            before = {id(line) for line in lines}
            lines = merge_pass(lines, [enlarge(line, factor) for line in found], factor)
            erase(rest, [line for line in lines if id(line) not in before and is_certain(line, factor)])
            factor *= 2
        return lines, complete and not time_is_up()

    def _sample(self, pixels: np.ndarray, read: Sequence[TextLine], wanted: Sequence[TextLine]) -> list[TextLine]:
        """Read the densest part of a page with more letters, once the lines that are not wanted are erased."""
        pixels, kept = pixels.copy(), {id(line) for line in wanted}
        erase(pixels, [line for line in read if id(line) not in kept])
        window = densest_windows(Image.fromarray(pixels))[0]
        return self.with_more_letters.read_pass(fit(window, 1.0, self.preprocess["multiple"]).pixels)[0]

    def _read_finer(self, lines: list[TextLine], rest: np.ndarray, image: Image.Image, scale: float) -> list[TextLine]:
        """Read type that is much smaller than the rest, from what is left of the page's own pixels; erase it in `rest`.

        At the scale of large type, small type is lost or reads as single lines of low confidence.
        """
        multiple, by = self.preprocess["multiple"], 1 / scale
        padded = padded_pixels(image, multiple)
        page = padded[: image.height, : image.width]
        read = [line for line in lines if is_read(line)]
        erase(page, [enlarge(line, by) for line in read])
        last = scale
        for finer in (min(1.0, factor * scale) for factor in FINER):
            shown = fit(_shared(page), finer, multiple).pixels if finer < 1.0 else padded
            left = None if finer < 1.5 * last or time_is_up() else keep_strokes(shown)
            if left is None:
                break
            last, ratio = finer, finer / scale
            found = [enlarge(line, 1 / ratio) for line in self.read_pass(left)[0]]
            certain = [line for line in found if is_read(line, 1 / ratio) and line.confidence.mean() >= CERTAIN]
            lines = read + drop_replaced([line for line in lines if all(line is not one for one in read)], certain)
            lines = merge_pass(lines, found, 1 / ratio)
            new = [line for line in lines if any(line is one for one in found) and is_read(line, 1 / ratio)]
            erase(page, [enlarge(line, by) for line in new])
            erase(rest, new)
            read = [line for line in read if any(line is one for one in lines)] + new
            lines = read + [
                line for line in lines if all(line is not one for one in read) and has_ink(page, enlarge(line, by))
            ]
        return lines

    def _read_small(self, lines: list[TextLine], image: Image.Image, scale: float) -> list[TextLine]:
        """Read type below SMALL_TYPE again, enlarged from the page's own pixels."""
        small = [line for line in lines if line.em_px < SMALL_TYPE and len(line.text) > 2]
        if not small:
            return lines
        boxes = np.array([line.box for line in small])
        x0, y0 = (int(v) for v in np.maximum(0, boxes[:, :2].min(0) / scale - 8))
        x1, y1 = (int(v) for v in boxes[:, 2:].max(0) / scale + 8)
        part = image.crop((x0, y0, min(image.width, x1), min(image.height, y1)))
        by = float(self.preprocess["em_px"]) / float(np.median([line.em_px for line in small]))
        if part.width * part.height * (scale * by) ** 2 > MAX_READ_PIXELS:
            return lines
        found, _ = self.read_pass(fit(part, scale * by, self.preprocess["multiple"]).pixels)
        return merge_pass(lines, [enlarge(line, 1 / by, x0 * scale, y0 * scale) for line in found], 1 / by)

    def _read_turned(self, rest: np.ndarray, lines: list[TextLine], page: np.ndarray) -> list[Block]:
        """Read lines that run up, down or upside down in what is left of an image, and erase them from it.

        lines: read from the upright image, whose pixels are `page`. Text that is upside down reads upright as lines of
        low confidence; some short ones have a high one.
        """
        upright = [line for line in lines if is_text(line)]
        blocks: list[Block] = []
        sideways = find_sideways_text(rest)
        found = {rotation: self._read_marked(rest, sideways, rotation, upright) for rotation in (90, 270)}
        for rotation in sorted(found, key=lambda r: -sum(len(line.text) for line in found[r] if is_certain(line))):
            blocks += self._rotate_blocks(found[rotation], rotation, rest)
        inverted = self._read_marked(rest, mark_doubted(lines, rest.shape), 180, upright)
        if inverted:
            near = mark_near(inverted, rest.shape)[::-1, ::-1]
            restore(rest, page, [line for line in lines if is_certain(line, np.inf)], near)
            inverted = self._read_marked(rest, near, 180, upright)
        return blocks + self._rotate_blocks(inverted, 180, rest)

    def _read_marked(
        self, rest: np.ndarray, marked: np.ndarray, rotation: int, upright: list[TextLine]
    ) -> list[TextLine]:
        """Return the text of the marked part of an image turned by `rotation`, in its pixels then.

        upright: lines of the upright image. What reads better there is left out.
        """
        if not marked.any():
            return []
        turned = Image.fromarray(np.rot90(np.where(marked, rest, np.uint8(255)), rotation // 90))
        lines, _ = self._read_scales(fit(turned, 1.0, self.preprocess["multiple"]).pixels.copy())
        other = [line for line in lines if not is_upright(line, rotation, upright, turned.size[::-1])]
        return take_turned(other, rotation)

    def _rotate_blocks(self, lines: list[TextLine], rotation: int, rest: np.ndarray) -> list[Block]:
        """Return the blocks of lines read from an image turned by `rotation` that are still there, and erase them."""
        turned = np.rot90(rest, rotation // 90)  # a view
        size = turned.shape[1], turned.shape[0]
        lines = spell_lines([line for line in lines if has_ink(turned, line)], turned)
        erase(turned, lines)
        blocks = lay_out(lines, Evidence(), size, STYLES)
        page = Page(1, "ok", *size, blocks=blocks)
        restore_orientation(page, Orientation(rotation), (rest.shape[1], rest.shape[0]))
        return page.blocks

    def read_pass(self, pixels: np.ndarray, decoded: bool = False) -> tuple[list[TextLine], bool]:
        """Read an image at its own scale. Also returns whether all of it was read within the time limit."""
        grid, lines, complete, bands = self.network.frame_grid, [], True, 0
        for field, top, (start, end), left in self.network.bands(pixels):
            bands, complete = bands + 1, field.complete
            decoded = decoded and field.features_RKD is not None  # large images are read without the decoder
            found = find_lines(field, grid)
            if decoded:
                found = self._rescore(found, field)
            for line in found if top == left == 0 else (enlarge(line, 1.0, left, top) for line in found):
                if start - SEAM <= (line.box[1] + line.box[3]) / 2 < end + SEAM:
                    lines.append(line)
        return drop_echoes(lines) if bands > 1 else lines, complete

    def _rescore(self, lines: list[TextLine], field: Field) -> list[TextLine]:
        """Rescore the uncertain spans of lines with the decoder, if the page has many of them."""
        sure = [k for k, line in enumerate(lines) if is_text(line)]
        if sum(len(lines[k].alternatives) for k in sure) <= MIN_ALTERNATIVES * sum(len(lines[k].text) for k in sure):
            return lines
        doubtful = [k for k in sure if lines[k].alternatives and lines[k].em_px < MAX_STRIP_EM]
        texts = rescore_lines(self.line_scorer, [lines[k] for k in doubtful], field, self.decoder_weight)
        for k, text in zip(doubtful, texts, strict=True):
            if text.strip() and text != lines[k].text:
                lines[k] = with_text(lines[k], text.strip(), "decoder")
        return lines


def _check_size(image: Image.Image, scale: float) -> None:
    if image.width * image.height * scale**2 > 1.05 * MAX_READ_PIXELS:
        raise InputError(f"page of {image.width}x{image.height} px at scale {scale:.2f}: too large to be read")


def _is_surer(page: Page, than: Page) -> bool:
    return (page.confidence or 0.0) > (than.confidence or 0.0) + SURER


def _rejected(lines: Sequence[TextLine], texts: Sequence[TextLine], scale: float) -> list[RejectedText]:
    """Return the lines that are not among the texts, in pixels of the page."""
    kept = {id(line) for line in texts}
    return [to_rejected(line, scale) for line in lines if id(line) not in kept]


def to_rejected(line: TextLine, scale: float) -> RejectedText:
    """Return a line that is not text, in pixels of the page."""
    x0, y0, x1, y1 = line.box
    return RejectedText(line.text, (x0 / scale, y0 / scale, x1 / scale, y1 / scale), float(line.confidence.mean()))


def _shared(pixels_HW: np.ndarray) -> Image.Image:
    """Return the image of grey pixels, in the memory where they are."""
    return Image.frombuffer("L", pixels_HW.shape[::-1], np.ascontiguousarray(pixels_HW), "raw", "L", 0, 1)
