"""`ReadingNetwork`: grey pixels to a `Field`, with numpy and an engine. It needs neither PyTorch nor transformers.

The engine runs only on the part of the image that has ink. Everything outside is blank.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..document.lines import FrameGrid
from ..io.deadline import time_is_up
from ..io.errors import InputError
from .engines import Engine, open_engine
from .engines.weights import load_tensors
from .field import Field, HeadWeights, cells_near_ink, join_fields, run_head

MARGIN = 64  # px of white kept around the ink, more than half the receptive field of the nano vocabulary
BUCKET = 64  # px; sides of the images that the engine sees are multiples of it, so few shapes occur

MARGIN_PX = 96  # shown on every inner side of a tile: more than the network sees from one cell
TILE_PIXELS = 3_000_000  # of an image that is read in one pass
TILE_PX = 1280  # side of a tile's core


class Tile(NamedTuple):
    """Part of an image, in px, as (top, left, bottom, right): what the tile adds, and what it shows around that."""

    core: tuple[int, int, int, int]
    shown: tuple[int, int, int, int]


def tiles_of(height: int, width: int, multiple: int) -> list[Tile]:
    """Return tiles that cover an image, from top to bottom. Their sides are multiples of `multiple`.

    An image of up to TILE_PIXELS is one tile. Cores of larger images measure TILE_PX, but for the last of a row or
    column, so few sizes occur.
    """
    if height * width <= TILE_PIXELS:
        return [Tile((0, 0, height, width), (0, 0, height, width))]
    side = TILE_PX // multiple * multiple
    tiles = []
    for y in range(0, height, side):
        for x in range(0, width, side):
            core = (y, x, min(height, y + side), min(width, x + side))
            shown = (
                max(0, core[0] - MARGIN_PX),
                max(0, core[1] - MARGIN_PX),
                min(height, core[2] + MARGIN_PX),
                min(width, core[3] + MARGIN_PX),
            )
            tiles.append(Tile(core, shown))
    return tiles


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
        return self._read_tile(pixels_HW) if len(tiles) == 1 else self._read_tiles(pixels_HW, tiles)

    def _read_tile(self, pixels_HW: np.ndarray) -> Field:
        near_RK = cells_near_ink(pixels_HW, self.frame_grid.stride)
        return run_head(self.features(pixels_HW, near_RK), near_RK, self.head, self.frame_grid.frames)

    def _read_tiles(self, pixels_HW: np.ndarray, tiles: list[Tile]) -> Field:
        """Read a large image tile by tile. The field has no features; it is incomplete when the time is up."""
        y, x = self.frame_grid.stride
        parts: list[tuple[Field, tuple[slice, slice], tuple[slice, slice]]] = []
        for tile in tiles:
            if parts and time_is_up():
                break
            top, left, bottom, right = tile.shown
            field = self._read_tile(pixels_HW[top:bottom, left:right])
            field.drop_features()
            y0, x0, y1, x1 = tile.core
            own = slice((y0 - top) // y, (y1 - top) // y), slice((x0 - left) // x, (x1 - left) // x)
            parts.append((field, own, (slice(y0 // y, y1 // y), slice(x0 // x, x1 // x))))
        shape = pixels_HW.shape[0] // y, pixels_HW.shape[1] // x
        joined = join_fields(shape, parts, len(self.frame_grid.styles))
        joined.complete = len(parts) == len(tiles)
        return joined

    def features(self, pixels_HW: np.ndarray, near_RK: np.ndarray) -> np.ndarray:
        """Return features (R, K, D); they are zero outside the rectangle around the cells near ink."""
        rows, columns = np.flatnonzero(near_RK.any(1)), np.flatnonzero(near_RK.any(0))
        features_RKD = np.zeros((*near_RK.shape, self.head.out.shape[0]), np.float32)
        if not len(rows):
            return features_RKD
        (y, x), (high, wide) = self.frame_grid.stride, pixels_HW.shape
        top, bottom = _bucket(rows[0] * y, (rows[-1] + 1) * y, high, y)
        left, right = _bucket(columns[0] * x, (columns[-1] + 1) * x, wide, x)
        part = pixels_HW[top:bottom, left:right].astype(np.float32)
        part = (part / 255 - self.preprocess["mean"]) / self.preprocess["std"]
        features_RKD[top // y : bottom // y, left // x : right // x] = self.engine.features(part)
        return features_RKD


def _bucket(start: int, end: int, size: int, stride: int) -> tuple[int, int]:
    """Widen a range by `MARGIN` and to a multiple of `BUCKET`, within 0 to size; both ends are multiples of stride."""
    start, end = max(0, start - MARGIN) // stride * stride, min(size, end + MARGIN)
    end = min(size, start + -(-(end - start) // BUCKET) * BUCKET)
    return start, end


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
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    reading = config.get("reading")
    if not reading:
        raise InputError(f"{folder.name}: the model has no reading head")
    index = int(reading.get("vocabulary", 0))
    if index and config.get("merge") == "serial":
        raise InputError(f"{folder.name}: reading.vocabulary {index}: in a serial merge only vocabulary 0 takes pixels")
    opened = open_engine(folder, engine, threads, device)
    tensors = load_tensors(folder, "reading_head.")
    head = HeadWeights.of({name: tensor.astype(np.float32) for name, tensor in tensors.items()})
    grid = FrameGrid(reading["alphabet"], opened.stride, reading["frames"], tuple(reading.get("styles", ())))
    return ReadingNetwork(opened, head, grid, config["vocabularies"][index]["preprocess"], reading)
