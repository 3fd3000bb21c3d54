"""Align the lines of a text layer to the pixels of their page: in place, or as strips below one another.

Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ...io.box import Box, touch
from ...models.images.preprocess import fit
from ..ctc import DESCENT_EM, X_HEIGHT_EM, mix_rows
from ..spelling.languages import weigh_letters
from .align import Aligned, align, better_of, emissions_of
from .bare_ink import without_rules
from .lines import LayerLine
from .unclear import without_touched

if TYPE_CHECKING:
    from ..reader import Reader

EM_RANGE = 11.0, 22.0  # px per em that the head reads in place
EM_PX = 16.0  # of strips
FIRST_EM = 8.0, 11.0  # px per em of the first look: the least that is tried, and that of a page's usual type
PAD_EM = 0.15  # before and behind a line
REACH_EM = 0.12  # beside its box, where a character may show
MAX_SCALE = 4.0


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
    found = dict(zip(near, align_in_place(reader, image, [lines[k] for k in near], scale), strict=True))
    far = [k for k in range(len(lines)) if k not in found]
    found |= zip(far, align_strips(reader, image, [lines[k] for k in far], larger), strict=True)
    return [found[k] for k in range(len(lines))]


def align_in_place(reader: Reader, image: Image.Image, lines: Sequence[LayerLine], scale: float) -> list[Aligned]:
    """Align lines to an image of a page at one scale. Arguments as of `align_lines`."""
    if not lines:
        return []
    fitted = fit(image, scale, reader.preprocess["multiple"])
    moved = [enlarge_line(line, fitted.scale) for line in lines]
    return _align(reader, lines, _paths(reader, fitted.pixels, moved))


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
            strips, moved = _strips(drawn, [enlarge_line(lines[k], drawn.width / image.width) for k in chosen])
            pixels = fit(strips, 1.0, reader.preprocess["multiple"]).pixels
            paths |= zip(chosen, _paths(reader, pixels, moved), strict=True)
    return _align(reader, lines, [paths[k] for k in range(len(lines))])


def align_without_rules(
    reader: Reader,
    image: Image.Image,
    lines: Sequence[LayerLine],
    found: Sequence[Aligned],
    rules: Sequence[Box],
    larger: Callable[[float], Image.Image],
) -> list[Aligned]:
    """Return an alignment in which lines that rules touch are aligned without these, too.

    An F over an underline looks like an E, and a g whose tail goes with the underline like an a: each character keeps
    what agrees better with it. What still disagrees may be the rule's doing (`unclear.without_touched`).

    Args:
        reader: Reads the pixels.
        image: Upright grey page.
        lines: Of the layer.
        found: Their alignment with the rules.
        rules: Ruling lines of the page.
        larger: As of `align_lines`.
    """
    found, level = list(found), [rule for rule in rules if rule[2] - rule[0] > rule[3] - rule[1]]
    touched = [k for k, line in enumerate(lines) if any(touch(line.box, rule) for rule in level)]
    if touched:
        plain, own = without_rules(image, level), [lines[k] for k in touched]
        again = align_strips(reader, plain, own, lambda scale: without_rules(larger(scale), level, scale))
        for k, one in zip(touched, again, strict=True):
            found[k] = without_touched(better_of(found[k], one), lines[k], level)
    return found


def _align(reader: Reader, lines: Sequence[LayerLine], paths: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Aligned]:
    alphabet, texts = emissions_of(reader.alphabet), [line.text.replace(" ", "") for line in lines]
    return align([path for path, _ in paths], texts, [places for _, places in paths], alphabet)


def enlarge_line(line: LayerLine, by: float) -> LayerLine:
    """Return a line of a page that is drawn larger by a factor."""
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
