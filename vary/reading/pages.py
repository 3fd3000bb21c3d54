"""Files -> pages -> read each -> Document. Every page that was asked for ends with a status; nothing is dropped.

A page is read by itself: what comes out depends on the file, the number and the model, not on the pages before it, so
that one process, several, and a run that was broken off and continued give the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ..document.elements import Document, Page
from ..document.findings import FileInfo
from ..document.layout.bitmap import darken, lighten, soften
from ..document.orientation import Orientation, restore_orientation, straighten, straighten_box
from ..document.outline import apply_outline
from ..document.perspective import find_sheet, flatten, unflatten
from ..document.running_heads import mark_running_heads
from ..document.running_text import mark_page_joins
from ..document.structure import find_structure, mark_title
from ..io.box import Box
from ..io.deadline import time_limit
from ..io.errors import InputError, PageTimeout
from ..io.source import MAX_PAGES, PAGE_TIMEOUT_S, Source
from .engines import one_numpy_thread
from .formulas.lines import mark_formulas
from .layer.lines import LAYER_DPI, LayerReader, read_layer
from .layer.pixels import read_both
from .reader import Reader
from .runs.attempts import LADDER, with_retries
from .scales.filled_areas import find_filled_areas, whiten_areas
from .scales.shadows import even_light

FIRST_DPI = 112.0  # 10-point type is 15.6 px high, which the nano model reads best
FIRST_PIXELS = 300_000, 5_000_000  # for pages whose unit is no real point: pixels, or fractions of an inch
SCALES = 50 / FIRST_DPI, 400 / FIRST_DPI  # of the second image; the reader resizes by what is left
LARGE, FINE = 0.75, 1.5  # scale of pages of large type; of FIRST_DPI, for the smaller type on them
BLANK_RANGE = 8  # grey levels: a page with less contrast than this shows nothing
NOISE = 0.65  # squared difference of neighbours over twice the variance: 1 for white noise, up to 0.5 for type in it
TILE = 64  # px
STRETCH = 1.2, 4.0  # ratio of the two resolutions that an image states, from which and up to which it is stretched


class PageReader(Protocol):
    """Read grey page images. `read_page` calls the three methods in this order.

    A reader that finds the kinds of blocks itself returns a page with `structured` set, and the page is used as it is.
    """

    name: str

    def find_orientation(self, image: Image.Image) -> Orientation:
        """Return how the page is turned. `read` then gets the straightened image."""

    def wanted_scale(self, image: Image.Image) -> float:
        """Return the factor that brings the text to the size that the reader reads best; 1.0 if it is close."""

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        """Return the page with boxes in pixels of `image`."""


AnyReader = PageReader | LayerReader  # a LayerReader needs no image


def read_page(source: Source, number: int, reader: AnyReader, attempt: int = 0) -> Page:
    """Read one page. A failure becomes the status and the error of the page; nothing is raised."""
    began = time.perf_counter()
    try:
        with time_limit(source.timeout_s), one_numpy_thread():
            page = _read(source, number, reader, LADDER[attempt])
    except PageTimeout as error:
        page = Page(number, "timeout", error=str(error))
    except InputError as error:
        page = Page(number, "failed", error=str(error))
    except Exception as error:  # a page that fails must not end the run
        page = Page(number, "failed", error=f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": "))
    if page.status == "ok" and page.doubt:
        page.status = "doubtful"
    page.number, page.label = number, source.info.labels.get(number)
    if not page.structured:
        if number == 1:
            mark_title(page)
        apply_outline(page, source.info.outline)
    page.seconds = time.perf_counter() - began
    return page


def _read(source: Source, number: int, reader: AnyReader, factor: float) -> Page:
    if isinstance(reader, LayerReader):
        return read_layer(source.content(number, LAYER_DPI), LAYER_DPI)
    if isinstance(reader, Reader) and reader.uses_layer and source.pdf:
        return read_both(source, number, reader, factor, lambda: _read_pixels(source, number, reader, factor))
    return _read_pixels(source, number, reader, factor)


def _read_pixels(source: Source, number: int, reader: PageReader, factor: float) -> Page:
    image, dpi = source.image(number, FIRST_DPI, pixels=FIRST_PIXELS)
    if _shows_nothing(image):
        return Page(number, "blank", image.width, image.height, dpi)
    if dpi and dpi < FIRST_DPI and isinstance(reader, Reader) and not reader.shows_type(image):
        image, dpi = source.image(number, FIRST_DPI)  # small type on a large sheet
    stored = image.size
    image = image if dpi else _with_square_pixels(soften(image), source.stated_dpi(number))
    whole, sheet = image.size, find_sheet(image)
    lit = even_light(image) if sheet is None else image
    if lit is not image:
        sheet = find_sheet(lit)
    image, areas = _prepared(lit if sheet is None else _lit_sheet(image, sheet))
    turn = reader.find_orientation(image)
    straight = straighten(image, turn)
    scale = reader.wanted_scale(straight) * factor
    if dpi and scale != 1.0:
        least = SCALES[0]
        if isinstance(reader, Reader):  # it also seeks smaller type in the image
            least = FINE if scale < LARGE else 1.0
        wanted = dpi * scale
        image, used = source.image(number, dpi * min(SCALES[1], max(least, scale)))
        whole = image.size
        image, areas = _prepared(_lit_sheet(image, sheet))
        dpi, left = used, wanted / (used or wanted)
        straight, scale = straighten(image, turn), left if abs(left - 1) > 0.01 else 1.0
    if isinstance(reader, Reader):
        fields = source.form_fields(number, dpi) if dpi else []
        fields = [one._replace(box=straighten_box(one.box, turn, image.size)) for one in fields]
        areas = [(straighten_box(box, turn, image.size), colour) for box, colour in areas]
        page = reader.read(straight, scale, fields, areas)
    else:
        page = reader.read(straight, scale)
    page.dpi = dpi
    if not page.structured:
        find_structure(page)
        mark_formulas(page)
    if turn != Orientation():
        restore_orientation(page, turn, image.size)
    if sheet is not None:
        unflatten(page, sheet, whole)
    if not dpi and whole != stored:
        across, down = stored[0] / whole[0], stored[1] / whole[1]
        page.map_boxes(lambda box: (box[0] * across, box[1] * down, box[2] * across, box[3] * down))
        page.width, page.height = stored
    return page


def _lit_sheet(image: Image.Image, sheet: np.ndarray | None) -> Image.Image:
    """Return a grey page, or the sheet on it, evenly lit."""
    return even_light(image if sheet is None else flatten(image, sheet))


def _prepared(page: Image.Image) -> tuple[Image.Image, list[tuple[Box, int]]]:
    """Return a grey page with dark type on light paper, and its filled areas, as `find_filled_areas`."""
    areas = find_filled_areas(page)
    return darken(whiten_areas(page, areas, lighten(page))), areas


def _with_square_pixels(image: Image.Image, dpi: tuple[float, float] | None) -> Image.Image:
    """Return an image stretched along the axis that has fewer pixels per inch, as of a fax: 204 across, 98 down."""
    if dpi is None or not STRETCH[0] <= max(dpi) / min(dpi) <= STRETCH[1]:
        return image
    size = (round(side * max(dpi) / one) for side, one in zip(image.size, dpi, strict=True))
    return image.resize(tuple(size), Image.Resampling.BICUBIC)  # type: ignore[arg-type]


def _shows_nothing(image: Image.Image) -> bool:
    """Return whether a grey page has no contrast, or only noise: in no tile are neighbours alike."""
    pixels = np.asarray(image)
    if int(pixels.max()) - int(pixels.min()) < BLANK_RANGE:
        return True
    if min(pixels.shape) < TILE:
        return False
    right = -pixels.shape[1] % TILE
    for top in range(0, pixels.shape[0], TILE):  # a band at a time, which bounds the memory
        band = pixels[top : top + TILE].astype(np.float32)
        band = np.pad(band, ((0, TILE - len(band)), (0, right)), mode="reflect")  # repeated rows would look alike
        tiles = band.reshape(TILE, -1, TILE)
        spread = 2 * tiles.var((0, 2))
        steps = [(np.diff(tiles, axis=axis) ** 2).mean((0, 2)) for axis in (0, 2)]
        if (np.minimum(*steps) < NOISE * spread)[spread > 2 * BLANK_RANGE].any():
            return False
    return True


def read_pages(
    path: str | Path,
    reader: AnyReader,
    pages: str | None = None,
    password: str | None = None,
    timeout_s: float = PAGE_TIMEOUT_S,
    max_pages: int = MAX_PAGES,
) -> Iterator[Page]:
    """Read the pages of a PDF or an image one by one.

    A page that cannot be read, or is not there, comes back with status `failed` or `timeout` and the reason. Raises
    InputError when the file as a whole cannot be read (not found, not an image, broken, encrypted), has more than
    `max_pages`, or `pages` cannot be understood. `timeout_s`: CPU time of a page.
    """
    with Source(path, password, timeout_s) as source:
        yield from _read_all(source, reader, source.numbers(pages, max_pages))


def _read_all(source: Source, reader: AnyReader, numbers: Iterable[int]) -> Iterator[Page]:
    for number in numbers:
        yield with_retries(lambda attempt, n=number: read_page(source, n, reader, attempt))  # type: ignore[misc]


def read_document(
    path: str | Path,
    reader: AnyReader,
    pages: str | None = None,
    password: str | None = None,
    on_page: Callable[[Page], None] | None = None,
    timeout_s: float = PAGE_TIMEOUT_S,
    max_pages: int = MAX_PAGES,
) -> Document:
    """`read_pages` collected, headers and footers found; `on_page` is called with each page as it ends."""
    with Source(path, password, timeout_s) as source:
        document = Document(
            str(path), reader.name, info=FileInfo(source.info.title, source.info.author, source.info.outline)
        )
        for page in _read_all(source, reader, source.numbers(pages, max_pages)):
            document.pages.append(page)
            if on_page:
                on_page(page)
    document.pages = list(mark_page_joins(mark_running_heads(document.pages)))
    return document
