"""Cut an image into the views that a vocabulary encodes: the whole image, tiles of it, or the image at its own size.

Everything follows from sizes in pixels, so the processor can lay out a prompt without a model. A `Shape` holds what an
arrangement needs later: rows and columns of tiles (0 without tiles), then a height and a width in pixels: those of the
original image for tiles, else those of the view without its padding. The frames of a video are one view and a column
of tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from ...io.errors import ConfigError
from ...io.image import grey, rgb
from .preprocess import DEFAULTS, pad_right_below, prepare, resize, to_array

Shape = tuple[int, int, int, int]  # rows and columns of tiles, height and width in pixels
Views = tuple[list[np.ndarray], Shape]  # each view is (C, H, W) float32


def cut_views(image: Image.Image, preprocess: dict[str, Any], channels: int) -> Views:
    """Return the views of an image, and their shape.

    Args:
        image: Any image of Pillow.
        preprocess: The keys of `config.Preprocess`; `views` has a `name` of `VIEWS` and its sizes.
        channels: 1 for grey, 3 for RGB, 4 for RGB and a mask.
    """
    given, preprocess = preprocess.get("views"), DEFAULTS | preprocess
    if not given:
        view = prepare(image, preprocess, channels)
        return [view], (0, 0, view.shape[1], view.shape[2])
    if channels == 4:
        raise ConfigError(f"views {given['name']!r} need images of 1 or 3 channels; a mask goes with one whole image")
    if given["name"] not in ("film", "frames"):  # these need all images of a file, not the first one alone
        image = grey(image) if channels == 1 else rgb(image)
    return VIEWS[given["name"]](image, preprocess, **{k: v for k, v in given.items() if k != "name"})


def views_of(shape: Shape) -> int:
    """Count the views of an image of this shape: all tiles and the whole image, or the whole image alone."""
    return shape[0] * shape[1] + 1


def tile_numbers(preprocess: dict[str, Any], shape: Shape) -> list[int]:
    """Return the number of the tile that each view of an image is, from 0; the whole image is -1."""
    given, tiles = preprocess.get("views") or {}, list(range(views_of(shape) - 1))
    whole_first = given.get("whole_first", given.get("name") != "tiles")
    return [-1, *tiles] if whole_first else [*tiles, -1]


def crop_padding(grid: tuple[int, int], shape: Shape) -> tuple[int, int, int, int]:
    """Return top, left, height and width, in cells, of the part of all tiles that is not padding."""
    rows, columns, original_high, original_wide = shape
    high, wide = rows * grid[0], columns * grid[1]
    if original_wide / original_high > wide / high:
        top = (high - int(round(original_high * (wide / original_wide), 7))) // 2
        return top, 0, high - 2 * top, wide
    left = (wide - int(round(original_wide * (high / original_high), 7))) // 2
    return 0, left, high, wide - 2 * left


def best_pinpoint(size: tuple[int, int], pinpoints: list[list[int]]) -> tuple[int, int]:
    """Choose the (height, width) that keeps most pixels of an image of `size`, and of those the smallest.

    Source: LLaVA-NeXT's `select_best_resolution`.
    """
    high, wide = size

    def kept(target: list[int]) -> tuple[int, int]:
        scale = min(target[1] / wide, target[0] / high)
        pixels = min(int(wide * scale) * int(high * scale), wide * high)
        return pixels, pixels - target[0] * target[1]

    best = max(pinpoints, key=kept)
    return best[0], best[1]


def like_pinpoint(size: tuple[int, int], pinpoints: list[list[int]]) -> tuple[int, int]:
    """Choose the (height, width) nearest to the proportions of an image, and of those to its area (SEED-X)."""
    high, wide = size

    def factors(target: list[int]) -> tuple[float, float]:
        own, area = target[0] / target[1] * wide / high, target[0] * target[1] / (wide * high)
        return max(own, 1 / own), max(area, 1 / area)

    best = min(pinpoints, key=factors)
    return best[0], best[1]


def anyres(
    image: Image.Image,
    preprocess: dict[str, Any],
    pinpoints: list[list[int]],
    whole_first: bool = True,
    squash: bool = False,
) -> Views:
    """Return the whole image, squashed, and tiles of it inside the best of the sizes `pinpoints` (LLaVA-NeXT).

    With `squash` the tiles fill that size without padding. It is the smaller one of two: the best, and the most alike.
    """
    size, (wide, high) = preprocess["size"], image.size
    rows, columns = best_pinpoint((high, wide), pinpoints)
    if squash:
        rows, columns = min((rows, columns), like_pinpoint((high, wide), pinpoints), key=math.prod)
        inner = columns, rows
    elif columns / wide < rows / high:
        inner = columns, min(math.ceil(high * columns / wide), rows)
    else:
        inner = min(math.ceil(wide * rows / high), columns), rows
    canvas = Image.new(image.mode, (columns, rows))
    scaled = Image.fromarray(resize(image, inner, preprocess["resample"]))
    canvas.paste(scaled, ((columns - inner[0]) // 2, (rows - inner[1]) // 2))
    whole = resize(image, (size, size), preprocess["resample"])
    tiles = _tiles(np.asarray(canvas), size)
    views = [whole, *tiles] if whole_first else [*tiles, whole]
    return [to_array(pixels, preprocess) for pixels in views], (rows // size, columns // size, high, wide)


def tiles(image: Image.Image, preprocess: dict[str, Any], longest: int) -> Views:
    """Return square tiles of an image whose longer side becomes `longest`, then the whole image (Idefics3)."""
    size, (wide, high) = preprocess["size"], image.size
    scale = longest / max(wide, high)
    rows, columns = (max(1, math.ceil(side * scale / size)) for side in (high, wide))
    pixels = resize(image, (columns * size, rows * size), preprocess["resample"])
    whole = resize(image, (size, size), preprocess["resample"])
    if rows * columns == 1:
        return [to_array(whole, preprocess)], (0, 0, high, wide)
    return [to_array(part, preprocess) for part in [*_tiles(pixels, size), whole]], (rows, columns, high, wide)


def crops_and_strides(image: Image.Image, preprocess: dict[str, Any], parts: int) -> Views:
    """Return the whole image, `parts` x `parts` parts of it, and as many copies of every n-th pixel (INF-LLaVA)."""
    size, (wide, high) = preprocess["size"], image.size
    pixels = resize(image, (parts * size, parts * size), preprocess["resample"])
    whole = resize(image, (size, size), preprocess["resample"])
    copies = [pixels[row::parts, column::parts] for row in range(parts) for column in range(parts)]
    views = [to_array(view, preprocess) for view in [whole, *_tiles(pixels, size), *copies]]
    return views, (2 * parts, parts, high, wide)


def parts(image: Image.Image, preprocess: dict[str, Any], rows: int, columns: int, whole_first: bool = True) -> Views:
    """Return the whole image and `rows` x `columns` parts of it, all squashed to the same square (SPHINX, Monkey)."""
    size, (wide, high) = preprocess["size"], image.size
    whole = resize(image, (size, size), preprocess["resample"])
    own = _tiles(resize(image, (columns * size, rows * size), preprocess["resample"]), size)
    views = [whole, *own] if whole_first else [*own, whole]
    return [to_array(view, preprocess) for view in views], (rows, columns, high, wide)


def grid_of_tiles(
    image: Image.Image, preprocess: dict[str, Any], limit: int, centre: bool = True, enlarge: bool = True
) -> Views:
    """Return the whole image, squashed, then tiles of it, padded with white (InternLM-XComposer2-4KHD, 2.5).

    The longer side has as many tiles as `limit` tiles in all allow; the shorter one is padded, on both sides or, if not
    `centre`, on one. Without `enlarge` the longer side has no more tiles than its pixels fill.
    """
    size, (wide, high) = preprocess["size"], image.size
    ratio = max(wide, high) / min(wide, high)
    count = max(k for k in range(1, limit + 1) if k * math.ceil(k / ratio) <= limit)
    count = count if enlarge else min(count, math.ceil(max(wide, high) / size))
    long, short = count * size, max(1, int(count * size / ratio))
    across = math.ceil(short / size) * size
    inner, outer = ((long, short), (long, across)) if wide >= high else ((short, long), (across, long))
    canvas = Image.new(image.mode, outer, (255,) * len(image.getbands()))
    left, top = ((side - own) // 2 * centre for side, own in zip(outer, inner, strict=True))
    canvas.paste(Image.fromarray(resize(image, inner, preprocess["resample"])), (left, top))
    own = _tiles(np.asarray(canvas), size)
    whole = resize(canvas, (size, size), "bicubic")
    return [to_array(v, preprocess) for v in [whole, *own]], (outer[1] // size, outer[0] // size, high, wide)


def slices(
    image: Image.Image, preprocess: dict[str, Any], patch: int, limit: int, whole_first: bool = True, down: bool = False
) -> Views:
    """Return the whole image and slices of it, each in its own proportions with about `size` x `size` pixels.

    Sources: LLaVA-UHD, arXiv 2403.11703; MiniCPM-V, arXiv 2408.01800.

    Args:
        image: Any image of Pillow.
        preprocess: The keys of `config.Preprocess`.
        patch: Pixels that divide the sides of every view.
        limit: Most slices.
        whole_first: Whether the whole image comes before its slices, or after them.
        down: Whether sides are rounded down, or to the nearest multiple.
    """
    layout = slice_layout((image.height, image.width), preprocess["size"], patch, limit, down)
    rows, columns, (high, wide), (slice_high, slice_wide) = layout
    views = [resize(image, (wide, high), preprocess["resample"])]
    if rows:
        pixels = resize(image, (columns * slice_wide, rows * slice_high), preprocess["resample"])
        own = _tiles(pixels, slice_high, slice_wide)
        views = [*views, *own] if whole_first else [*own, *views]
    return [to_array(view, preprocess) for view in views], (rows, columns, image.height, image.width)


def slice_layout(
    shape: tuple[int, int], size: int, patch: int, limit: int, down: bool = False
) -> tuple[int, int, tuple[int, int], tuple[int, int]]:
    """Return rows and columns of slices, and the (height, width) of the whole image and of a slice, in pixels.

    Of the grids with about as many slices as the image has areas of `size` x `size`, the one nearest to its proportions
    is taken. An image of one area has no slices.
    """
    high, wide = shape

    def rounded(side: float, multiple: int) -> int:
        return max(multiple, (math.floor if down else round)(side / multiple) * multiple)

    def scaled(wide: float, high: float) -> tuple[int, int]:
        short = int(size / math.sqrt(wide / high))
        return rounded(short, patch), rounded(int(short * (wide / high)), patch)

    wanted = min(math.ceil(wide * high / size**2), limit)
    if wanted <= 1:
        return 0, 0, scaled(wide, high), (0, 0)
    counts = [n for n in (wanted - 1, wanted, wanted + 1) if 1 < n <= limit]
    grids = [(n // columns, columns) for n in counts for columns in range(1, n + 1) if n % columns == 0]
    rows, columns = min(grids, key=lambda grid: abs(math.log(wide / high) - math.log(grid[1] / grid[0])))
    slice_size = scaled(rounded(wide, columns) / columns, rounded(high, rows) / rows)
    return rows, columns, scaled(wide, high), slice_size


def view_sizes(preprocess: dict[str, Any], shape: Shape) -> list[tuple[int, int]]:
    """Return the height and width in pixels, without padding, of each view of an image."""
    given = dict(preprocess.get("views") or {})
    if given.pop("name", None) != "slices":
        return [shape[2:]] * views_of(shape)
    whole_first = given.pop("whole_first", True)
    rows, columns, whole, own = slice_layout(shape[2:], preprocess["size"], **given)
    cut = [own] * (rows * columns)
    return [whole, *cut] if whole_first else [*cut, whole]


def native(
    image: Image.Image,
    preprocess: dict[str, Any],
    multiple: int,
    shortest: int | None = None,
    longest: int | None = None,
    least: int | None = None,
    most: int | None = None,
) -> Views:
    """Return the image in its own proportions, both sides rounded to a `multiple`.

    The shorter side is at least `shortest`, the longer one at most `longest`, the area between `least` and `most`
    (Idefics2 has the first two, Qwen2-VL's `smart_resize` the last two).
    """
    wide, high = image.size
    scale = max(1.0, shortest / min(wide, high)) if shortest else 1.0
    scale = min(scale, longest / max(wide, high)) if longest else scale
    rounded: Callable[[float], float] = round
    near = [round(side * scale / multiple) * multiple for side in (wide, high)]
    if most and near[0] * near[1] > most:
        scale, rounded = math.sqrt(most / (wide * high)), math.floor
    elif least and near[0] * near[1] < least:
        scale, rounded = math.sqrt(least / (wide * high)), math.ceil
    sides = [max(multiple, int(rounded(side * scale / multiple)) * multiple) for side in (wide, high)]
    view = to_array(resize(image, (sides[0], sides[1]), preprocess["resample"]), preprocess)
    return [view], (0, 0, sides[1], sides[0])


def pad_views(image: Image.Image, preprocess: dict[str, Any], multiple: int, height: int, width: int) -> Views:
    """Return the image at its own size, or inside `height` x `width`, padded with white to a `multiple` (Fuyu)."""
    scale = min(1.0, width / image.width, height / image.height)
    size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
    pixels = resize(image, size, preprocess["resample"]) if scale < 1 else np.asarray(image)
    view = to_array(pad_right_below(pixels, multiple), preprocess)
    return [view], (0, 0, view.shape[1], view.shape[2])


def frames(image: Image.Image, preprocess: dict[str, Any], count: int) -> Views:
    """Return `count` images of an animation, at equal steps from the first one, each made a square by `fit`.

    An image that does not move is repeated.
    """
    held, views = getattr(image, "n_frames", 1), []
    for k in range(count):
        if held > 1:
            image.seek(k * held // count)
        views.append(prepare(image, preprocess, 3))
    return views, (count - 1, 1, image.height, image.width)


def film(image: Image.Image, preprocess: dict[str, Any], count: int) -> Views:
    """Return the images of `frames` below each other in one view, for towers whose tokens span frames (ViViT)."""
    view = np.concatenate(frames(image, preprocess, count)[0], 1)
    return [view], (0, 0, view.shape[1], view.shape[2])


VIEWS: dict[str, Callable[..., Views]] = {
    "anyres": anyres,
    "crops-and-strides": crops_and_strides,
    "film": film,
    "frames": frames,
    "grid": grid_of_tiles,
    "native": native,
    "padded": pad_views,
    "parts": parts,
    "slices": slices,
    "tiles": tiles,
}


def check_views(where: str, given: dict[str, Any]) -> None:
    """Raise ConfigError if no way of making views has this name."""
    if given.get("name") not in VIEWS:
        raise ConfigError(f"{where}: unknown views {given.get('name')!r}; allowed: {', '.join(VIEWS)}")


def _tiles(pixels: np.ndarray, high: int, wide: int | None = None) -> list[np.ndarray]:
    wide = wide or high
    rows, columns = pixels.shape[0] // high, pixels.shape[1] // wide
    return [pixels[r * high : (r + 1) * high, c * wide : (c + 1) * wide] for r in range(rows) for c in range(columns)]
