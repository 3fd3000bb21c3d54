"""`ReadingNetwork`: grey pixels to a `Field`, with numpy and an engine. It needs neither PyTorch nor transformers.

The engine runs only on the parts of the image that have ink. Everything outside is blank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..document.lines import FrameGrid
from ..io.box import edges
from ..io.deadline import time_is_up
from ..io.errors import InputError
from ..models.hub import read_config, value_at
from ..models.images.preprocess import DEFAULTS, normalise
from .engines import Engine, open_engine
from .engines.weights import load_tensors
from .field import INK_CONTRAST, Field, HeadWeights, cells_near_ink, join_fields, run_head

VIEW = 64, 48  # px, rows and columns: how far the nano vocabulary sees from a cell (measured: 64 and 44)
MARGIN = 48, 16  # px kept around cells near ink, which lie within 16 and 32 px of it (REACH): together VIEW
CONTEXT_PX = 16, 16  # px, rows and columns: how far the layers of a head's `context` see beyond a cell
BUCKET = 32  # px; sides of the images that the engine sees are multiples of it, so few shapes occur
MOST_PIXELS = 1_300_000  # of one call of the engine, which bounds its memory; a page of A4 has fewer
PART_PIXELS = 4096  # cost of one more call of the engine, in pixels

TILE_PIXELS = 3_000_000  # of an image that is read in one pass
TILE_PX = 1280  # side of a tile's core
WIDEST = 8 * TILE_PX  # px: a row of tiles is kept until its end
TILE_VIEW = 96  # px that a tile shows beyond its core on its inner sides; at least VIEW and CONTEXT_PX together


class Tile(NamedTuple):
    """Part of an image, in px, as (top, left, bottom, right): what the tile adds, and what it shows around that."""

    core: tuple[int, int, int, int]
    shown: tuple[int, int, int, int]


class Band(NamedTuple):
    """Rows of an image, in px: their field, its top, the rows whose lines the band adds, and its left side."""

    field: Field
    top: int
    core: tuple[int, int]
    left: int = 0


def tiles_of(height: int, width: int, multiple: int) -> list[Tile]:
    """Return tiles that cover an image, from top to bottom. Their sides are multiples of `multiple`.

    An image of up to TILE_PIXELS is one tile. Cores of larger images measure TILE_PX, but for the last of a row or
    column, so few sizes occur.
    """
    if height * width <= TILE_PIXELS:
        return [Tile((0, 0, height, width), (0, 0, height, width))]
    side, view = TILE_PX // multiple * multiple, TILE_VIEW
    tiles = []
    for y in range(0, height, side):
        for x in range(0, width, side):
            core = (y, x, min(height, y + side), min(width, x + side))
            shown = (
                max(0, core[0] - view),
                max(0, core[1] - view),
                min(height, core[2] + view),
                min(width, core[3] + view),
            )
            tiles.append(Tile(core, shown))
    return tiles


def parts_of(pixels_HW: np.ndarray, multiple: int) -> list[slice]:
    """Return the columns of an image in parts of at most WIDEST, cut in the widest white gap near each part's end.

    Lines run across all tiles of a row, and only such a cut ends them.
    """
    parts, width = [slice(0, pixels_HW.shape[1])], pixels_HW.shape[1]
    while width - parts[-1].start > WIDEST:
        first = parts[-1].start + WIDEST // 2
        window = pixels_HW[:, first : first + WIDEST // 2]
        ink = (window.max(0).astype(np.int16) - window.min(0)).reshape(-1, multiple).max(1) >= INK_CONTRAST
        gaps = edges(~ink).reshape(-1, 2)
        middle = int(gaps[np.diff(gaps).argmax()].mean()) if len(gaps) else len(ink)
        cut = first + middle * multiple
        parts[-1:] = [slice(parts[-1].start, cut), slice(cut, width)]
    return parts


@dataclass
class ReadingNetwork:
    """Engine, head and settings of a reader.

    preprocess: `mean`, `std`, `multiple` and `em_px` of the weights. reading: the reading settings of the model.
    """

    engine: Engine
    head: HeadWeights
    frame_grid: FrameGrid
    preprocess: dict[str, Any]
    reading: dict[str, Any]

    def __call__(self, pixels_HW: np.ndarray) -> Field:
        """Run the network on a grey uint8 image; its sides must be multiples of the stride."""
        tiles = tiles_of(pixels_HW.shape[0], pixels_HW.shape[1], self.preprocess["multiple"])
        return self._read_tile(pixels_HW) if len(tiles) == 1 else self._join_tiles(pixels_HW, tiles)

    def bands(self, pixels_HW: np.ndarray) -> Iterator[Band]:
        """Run the network as `__call__` does, and yield a field for each row of tiles, which bounds the memory.

        Images wider than WIDEST are read in parts, side by side. The field of the last band is incomplete when the
        time is up before the end of the image.
        """
        for part in parts_of(pixels_HW, self.preprocess["multiple"]):
            for band in self._bands_of(pixels_HW[:, part]):
                band.field.complete &= part.stop == pixels_HW.shape[1] or not time_is_up()
                yield band._replace(left=part.start)
                if not band.field.complete:
                    return

    def _bands_of(self, pixels_HW: np.ndarray) -> Iterator[Band]:
        tiles = tiles_of(pixels_HW.shape[0], pixels_HW.shape[1], self.preprocess["multiple"])
        if len(tiles) == 1:
            yield Band(self._read_tile(pixels_HW), 0, (0, len(pixels_HW)))
            return
        for (top, end), row in groupby(tiles, key=lambda tile: (tile.core[0], tile.core[2])):
            shown = [Tile((t.shown[0], t.core[1], t.shown[2], t.core[3]), t.shown) for t in row]
            field = self._join_tiles(pixels_HW, shown)
            field.complete &= end == len(pixels_HW) or not time_is_up()
            yield Band(field, shown[0].core[0], (top, end))
            if not field.complete:
                return

    def _read_tile(self, pixels_HW: np.ndarray) -> Field:
        near_RK = cells_near_ink(pixels_HW, self.frame_grid.stride)
        return run_head(self._run(pixels_HW, near_RK), near_RK, self.head, self.frame_grid.frames)

    def _join_tiles(self, pixels_HW: np.ndarray, tiles: list[Tile]) -> Field:
        """Read an image, or its rows from the first core to the last, tile by tile.

        The field has no features. It is incomplete when the time is up.
        """
        (y, x), above = self.frame_grid.stride, tiles[0].core[0]
        parts: list[tuple[Field, tuple[slice, slice]]] = []
        for tile in tiles:
            if parts and time_is_up():
                break
            top, left, bottom, right = tile.shown
            field = self._read_tile(pixels_HW[top:bottom, left:right])
            y0, x0, y1, x1 = tile.core
            own = field.crop(slice((y0 - top) // y, (y1 - top) // y), slice((x0 - left) // x, (x1 - left) // x))
            parts.append((own, (slice((y0 - above) // y, (y1 - above) // y), slice(x0 // x, x1 // x))))
        shape = (tiles[-1].core[2] - above) // y, pixels_HW.shape[1] // x
        complete = len(parts) == len(tiles)
        joined = join_fields(shape, parts, len(self.frame_grid.styles))
        joined.complete = complete
        return joined

    def features(self, pixels_HW: np.ndarray, near_RK: np.ndarray) -> np.ndarray:
        """Return features (R, K, D); they are zero outside the rectangles around the cells near ink."""
        return self._run(pixels_HW, near_RK)[..., : self.head.out.shape[0]]

    def _run(self, pixels_HW: np.ndarray, near_RK: np.ndarray) -> np.ndarray:
        """Return what the engine gives: features, and those of the layers of `context` after them."""
        features_RKD: np.ndarray | None = None
        y, x = self.frame_grid.stride
        below, right = CONTEXT_PX if self.reading.get("context") else (0, 0)
        for part, margin in _bands(ink_parts(near_RK, (y, x)), (y, x)):
            rows, columns = (
                _bucket(part[0], y, margin + below, len(near_RK)),
                _bucket(part[1], x, MARGIN[1] + right, near_RK.shape[1]),
            )
            pixels = pixels_HW[rows.start * y : rows.stop * y, columns.start * x : columns.stop * x].astype(np.float32)
            found = self.engine.features(normalise(pixels, self.preprocess))
            inside = tuple(
                slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, (rows, columns), strict=True)
            )
            if features_RKD is None:
                features_RKD = np.zeros((*near_RK.shape, found.shape[-1]), np.float32)
            features_RKD[part] = found[inside]
        return np.zeros((*near_RK.shape, self.head.out.shape[0]), np.float32) if features_RKD is None else features_RKD


Part = tuple[slice, slice]  # rows and columns of cells


def ink_parts(near_RK: np.ndarray, stride: tuple[int, int]) -> list[Part]:
    """Return rectangles that hold all cells near ink, by recursive XY cuts (Nagy and Seth, 1984).

    A rectangle is cut at white rows or columns where that saves pixels, margins included.
    """
    waiting, parts = [_box(near_RK, slice(0, len(near_RK)), slice(0, near_RK.shape[1]))], []
    while waiting:
        part = waiting.pop()
        if part is None:
            continue
        pieces = [part]
        for axis in (0, 1):
            cut = _cut(near_RK, part, axis)
            if sum(_cost(piece, stride) for piece in cut) < sum(_cost(piece, stride) for piece in pieces):
                pieces = cut
        if len(pieces) > 1:
            waiting += reversed(pieces)
        else:
            parts.append(part)
    return parts


def _bands(parts: list[Part], stride: tuple[int, int]) -> Iterator[tuple[Part, int]]:
    """Yield parts, large ones in bands of rows of up to MOST_PIXELS, each with the px to show above and below it."""
    for rows, columns in parts:
        count = -(-_cost((rows, columns), stride) // MOST_PIXELS)
        step = -(-(rows.stop - rows.start) // count)
        for start in range(rows.start, rows.stop, step):
            band = slice(start, min(start + step, rows.stop)), columns
            yield band, MARGIN[0] if count == 1 else VIEW[0]


def _box(near_RK: np.ndarray, rows: slice, columns: slice) -> Part | None:
    """Return the smallest rectangle around the marked cells of a part of the grid."""
    inside = near_RK[rows, columns]
    row, column = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(row):
        return None
    return (
        slice(rows.start + int(row[0]), rows.start + int(row[-1]) + 1),
        slice(columns.start + int(column[0]), columns.start + int(column[-1]) + 1),
    )


def _cut(near_RK: np.ndarray, part: Part, axis: int) -> list[Part]:
    """Cut a rectangle in the middle of its widest white gap along an axis."""
    marked = part[axis].start + np.flatnonzero(near_RK[part].any(1 - axis))
    gaps = np.diff(marked)
    if not len(gaps) or gaps.max() < 2:
        return [part]
    k = int(gaps.argmax())
    ranges = slice(part[axis].start, int(marked[k]) + 1), slice(int(marked[k + 1]), part[axis].stop)
    boxes = [_box(near_RK, *((one, part[1]) if axis == 0 else (part[0], one))) for one in ranges]
    return [box for box in boxes if box is not None]


def _cost(part: Part, stride: tuple[int, int]) -> int:
    """Return the pixels that the engine sees of a rectangle, and what a call costs."""
    sides = [
        -(-((one.stop - one.start) * px + 2 * margin) // BUCKET) * BUCKET
        for one, px, margin in zip(part, stride, MARGIN, strict=True)
    ]
    return sides[0] * sides[1] + PART_PIXELS


def _bucket(cells: slice, px: int, margin: int, size: int) -> slice:
    """Widen a range of cells by a margin and to a multiple of `BUCKET`, within 0 to size."""
    start = max(0, cells.start - margin // px)
    length = min(size, -(-(min(size, cells.stop + margin // px) - start) * px // BUCKET) * BUCKET // px)
    start = min(start, size - length)
    return slice(start, start + length)


def read_preprocess(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return how pages are prepared for the vocabulary that a reading head reads, from the configuration of a folder.

    Raises:
        InputError: a key is missing.
    """
    index = int(value_at(folder, config, "reading").get("vocabulary", 0))
    return DEFAULTS | value_at(folder, config, "vocabularies", index, "preprocess")


def load_network(
    folder: Path, engine: str | None = None, threads: int | None = None, device: str = "cpu"
) -> ReadingNetwork:
    """Load the reading network of the model in a folder.

    Args:
        folder: `config.json` and safetensors; `trunk.onnx` for ONNX Runtime and OpenVINO.
        engine: see `open_engine`; None chooses.
        threads: number of CPU threads; None chooses.
        device: `cpu`, or a torch device, which needs the torch engine.

    Raises:
        InputError: the model has no reading head, its head reads a vocabulary that needs another one's tokens, a file
            is missing or damaged, or no engine can run it.
    """
    config = read_config(folder)
    reading = config.get("reading")
    if not reading:
        raise InputError(f"{folder.name}: the model has no reading head")
    index = int(reading.get("vocabulary", 0))
    if index and config.get("merge") == "serial":
        raise InputError(f"{folder.name}: reading.vocabulary {index}: in a serial merge only vocabulary 0 takes pixels")
    alphabet, frames = (value_at(folder, config, "reading", key) for key in ("alphabet", "frames"))
    preprocess = read_preprocess(folder, config)
    opened = open_engine(folder, engine, threads, device)
    tensors = load_tensors(folder, "reading_head.")
    head = HeadWeights.of({name: tensor.astype(np.float32) for name, tensor in tensors.items()})
    grid = FrameGrid(alphabet, opened.stride, frames, tuple(reading.get("styles", ())))
    return ReadingNetwork(opened, head, grid, preprocess, reading)
