"""A model that reads pages: pixels -> reading head -> lines -> reading order -> Page.

Any `VaryForConditionalGeneration` with a reading head reads this way. Where the head is unsure, the decoder joins
(`verify.py`), as far as the model's configuration trusts it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..document.blocks import to_block
from ..document.elements import Page
from ..document.lines import TextLine
from ..document.orientation import Orientation, find_orientation
from ..document.reading_order import order_blocks
from ..io.errors import InputError
from ..models.preprocess import fit
from .ctc import find_lines, with_text
from .field import Field
from .network import ReadingNetwork

if TYPE_CHECKING:
    from ..models.modeling import VaryForConditionalGeneration
    from ..models.strip_decoder import StripDecoder

EM_RANGE = (13.0, 19.5)  # px per em that are read as they are; outside, the page is scaled to the model's em_px
WINDOW = (320, 512)  # px, height and width of the piece that the type size is measured on
MAX_READ_PIXELS = 12_000_000
MIN_DOUBTS = (
    0.02  # per character of a page: below, settling them mends next to nothing (docs/results.md) and costs time
)
MAX_STRIP_EM = 26  # px: a strip holds no larger type, and the decoder has seen none
MIN_SHORT_CONFIDENCE = 0.75  # one or two characters: ends of rules and specks look like dashes
MIN_CONFIDENCE = 0.45  # mean over a line; below it the line is ink that is no text


class Reader:
    """Read page images with a model's reading vocabulary and head. Deterministic; not thread-safe.

    Without `decoder`, or when the model's configuration has no `reading.decoder_weight`, the head reads alone.

    `uses_layer`: whether `read_page` checks and uses the text layers of PDFs; set by `api.load` and `ReaderSpec`.

    Args:
        network: pixels to class probabilities.
        name: of the model.
        decoder: loads the whole model; called at the first page with many uncertain spans.
    """

    uses_layer = False

    def __init__(
        self, network: ReadingNetwork, name: str, decoder: Callable[[], VaryForConditionalGeneration] | None = None
    ):
        self.name, self.network, self.preprocess = name, network, network.preprocess
        self._decoder = decoder
        self.decoder_weight = float(network.reading.get("decoder_weight", 0.0)) if decoder else 0.0
        self._measured: tuple[Image.Image | None, tuple[float, float, float]] = None, (0.0, 1.0, 0.0)

    @cached_property
    def strip_decoder(self) -> StripDecoder:
        """The decoder, loaded on first use. Raises an InputError for a reader without one."""
        if self._decoder is None:
            raise InputError(f"{self.name}: this reader was made without its decoder")
        from ..models.strip_decoder import StripDecoder

        return StripDecoder(self._decoder())

    def wanted_scale(self, image: Image.Image) -> float:
        """Scale that brings the type to the size that the model reads best, measured on the page's densest window."""
        found, trial, _ = self._measure(image)
        if not found:
            return _limited(image, 1.0)
        if trial == 1.0 and EM_RANGE[0] <= found <= EM_RANGE[1]:
            return 1.0
        return _limited(image, float(self.preprocess["em_px"]) / found)

    def find_orientation(self, image: Image.Image) -> Orientation:
        """How a grey page lies, by its edges and by how surely its densest window is read."""
        return find_orientation(image, lambda turned: self._measure(turned)[2])

    def _measure(self, image: Image.Image) -> tuple[float, float, float]:
        """In the densest window: px per em (0: no text), the scale it showed at, mean confidence. Keeps the last."""
        if self._measured[0] is not image:
            window, measured = _densest(image), (0.0, 1.0, 0.0)
            for trial in (1.0, 0.5, 2.0):
                lines = self._lines(fit(window, trial, self.preprocess["multiple"]).pixels)
                sure = [line for line in lines if line.confidence.mean() > 0.7]
                if sum(len(line.text) for line in sure) >= 12:
                    em = float(np.median(np.concatenate([[line.em_px] * len(line.text) for line in sure])))
                    measured = em / trial, trial, float(np.concatenate([line.confidence for line in lines]).mean())
                    break
            self._measured = image, measured
        return self._measured[1]

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        """Read one grey page; boxes are pixels of `image`. `scale` as from `wanted_scale`."""
        if image.width * image.height * scale**2 > 2 * MAX_READ_PIXELS:
            raise InputError(f"page of {image.width}x{image.height} px at scale {scale:.2f}: too large to be read")
        fitted = fit(image, scale, self.preprocess["multiple"])
        lines = [line for line in self._lines(fitted.pixels, settled=self.decoder_weight > 0) if _is_text(line)]
        blocks = [to_block(block, fitted.scale, self.network.frame_grid.styles) for block in order_blocks(lines)]
        return Page(1, "ok" if blocks else "blank", image.width, image.height, blocks=blocks)

    def _lines(self, pixels: np.ndarray, settled: bool = False) -> list[TextLine]:
        field = self.network(pixels)
        lines = find_lines(field, self.network.frame_grid, settled)
        return self._rescore(lines, field) if settled else lines

    def _rescore(self, lines: list[TextLine], field: Field) -> list[TextLine]:
        """Rescore the uncertain spans of lines with the decoder, if the page has many of them."""
        sure = [k for k, line in enumerate(lines) if _is_text(line)]
        if sum(len(lines[k].alternatives) for k in sure) <= MIN_DOUBTS * sum(len(lines[k].text) for k in sure):
            return lines
        doubtful = [k for k in sure if lines[k].alternatives and lines[k].em_px < MAX_STRIP_EM]
        from .verify import rescore_lines

        texts = rescore_lines(self.strip_decoder, [lines[k] for k in doubtful], field, self.decoder_weight)
        for k, text in zip(doubtful, texts, strict=True):
            if text.strip() and text != lines[k].text:
                lines[k] = with_text(lines[k], text.strip(), "decoder")
        return lines


def _is_text(line: TextLine) -> bool:
    return bool(line.confidence.mean() >= (MIN_CONFIDENCE if len(line.text) > 2 else MIN_SHORT_CONFIDENCE))


def _limited(image: Image.Image, scale: float) -> float:
    """Keep the page within what one pass may hold."""
    pixels = image.width * image.height * scale**2
    return scale if pixels <= MAX_READ_PIXELS else scale * (MAX_READ_PIXELS / pixels) ** 0.5


def _densest(image: Image.Image) -> Image.Image:
    """The window with the most edges: where the text stands."""
    height, width = min(WINDOW[0], image.height), min(WINDOW[1], image.width)
    small = np.asarray(image.reduce(4) if min(image.size) >= 8 else image, np.int16)
    if min(small.shape) < 4 or image.size == (width, height):
        return image.crop((0, 0, width, height))
    edges = np.pad(np.abs(np.diff(small, axis=1)).clip(0, 60), ((1, 0), (1, 1))).cumsum(0).cumsum(1)
    high, wide = min(height // 4, edges.shape[0] - 1), min(width // 4, edges.shape[1] - 1)
    total = edges[high:, wide:] - edges[:-high, wide:] - edges[high:, :-wide] + edges[:-high, :-wide]
    y, x = np.unravel_index(int(total.argmax()), total.shape)
    left, top = min(int(x) * 4, image.width - width), min(int(y) * 4, image.height - height)
    return image.crop((left, top, left + width, top + height))
