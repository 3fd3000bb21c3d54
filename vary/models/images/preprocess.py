"""Resize, pad and normalise images for a vision vocabulary, as its weights were trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ...io.errors import ConfigError, InputError
from ...io.image import MAX_PIXELS, grey, rgb

BAND_PIXELS = 1_000_000  # of an image that are copied at once

DEFAULTS: dict[str, Any] = {"mean": 0.5, "std": 0.5, "fit": "page", "resample": "bicubic", "multiple": 32}


def normalise(pixels: Any, preprocess: dict[str, Any]) -> Any:
    """Scale pixels 0 to 255 (floats, channels last for colour) to the range the weights were trained in."""
    mean, std = (preprocess.get(name, DEFAULTS[name]) for name in ("mean", "std"))
    if isinstance(mean, list):
        mean, std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    return (pixels / 255 - mean) / std


def prepare(image: Image.Image, preprocess: dict[str, Any], channels: int) -> np.ndarray:
    """Prepare an image for a vocabulary: (C, H, W) float32.

    Args:
        image: Any image of Pillow.
        preprocess: The keys of `config.Preprocess`. `fit` is `squash` (to the square), `crop` (the shorter side to
            the square, the middle of the longer one), `pad` (longer side to the square, white below and
            right), `centre` (padded on both ends with `fill`) or `page` (white up to a `multiple`). `resample` is
            `bicubic`, `bilinear` (both Pillow's, antialiased) or `opencv` (bilinear, not antialiased).
        channels: 1 for grey, 3 for RGB, 4 for RGB and the opacity as it is, which is a mask (Alpha-CLIP).
    """
    preprocess = DEFAULTS | preprocess
    if channels == 4:  # apart: Pillow's filters would make black what the mask hides
        whole = image if image.mode == "RGBA" else rgb(image).convert("RGBA")
        fit = FITS[preprocess["fit"]]
        colour, mask = fit(whole.convert("RGB"), preprocess), fit(whole.getchannel("A"), preprocess | {"fill": [0]})
        return to_array(np.dstack([colour, mask]), preprocess)
    image = grey(image) if channels == 1 else rgb(image)
    return to_array(FITS[preprocess["fit"]](image, preprocess), preprocess)


def to_array(pixels: np.ndarray, preprocess: dict[str, Any]) -> np.ndarray:
    """Normalise bytes (H, W) or (H, W, C), and put channels first: (C, H, W) float32."""
    values = normalise(pixels.astype(np.float32), preprocess)
    return values[None] if pixels.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


def stack_images(images: list[np.ndarray], counts: list[int], preprocess: dict[str, Any]) -> np.ndarray:
    """Stack images (C, H, W) by rows of a batch; smaller ones get white below and right.

    Args:
        images: Prepared images, those of the first row first.
        counts: Number of images of each row.
        preprocess: The keys of `config.Preprocess`.

    Returns:
        (B, C, H, W) when each row has one image, else (B, I, C, H, W) with zeros for images that a row lacks.
    """
    high, wide = max(a.shape[1] for a in images), max(a.shape[2] for a in images)
    white = normalise(np.full((1, 1, images[0].shape[0]), 255, np.float32), preprocess).reshape(-1, 1, 1)
    whole = np.broadcast_to(white, (len(images), images[0].shape[0], high, wide)).astype(np.float32)
    for target, image in zip(whole, images, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = image
    if counts == [1] * len(images):
        return whole
    rows = np.zeros((len(counts), max(counts), *whole.shape[1:]), np.float32)
    for row, first, count in zip(rows, np.cumsum([0, *counts]), counts, strict=False):
        row[:count] = whole[first : first + count]
    return rows


def _squash(image: Image.Image, preprocess: dict[str, Any]) -> np.ndarray:
    return resize(image, (preprocess["size"], preprocess["size"]), preprocess["resample"])


def _crop(image: Image.Image, preprocess: dict[str, Any]) -> np.ndarray:
    """CLIP's own: shorter side to `size`, the other one in proportion and rounded down, then the middle."""
    size, short, long = preprocess["size"], min(image.size), max(image.size)
    if size * size * long // short > MAX_PIXELS:
        raise InputError(f"an image of {image.width}x{image.height} px is too long for its width to be cut to a square")
    pixels = resize(image, (size * image.width // short, size * image.height // short), preprocess["resample"])
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return pixels[top : top + size, left : left + size]


def _pad(image: Image.Image, preprocess: dict[str, Any]) -> np.ndarray:
    size, long = preprocess["size"], max(image.size)
    wide, high = max(1, round(size * image.width / long)), max(1, round(size * image.height / long))
    pixels = resize(image, (wide, high), preprocess["resample"])
    sides = [(0, size - high), (0, size - wide)] + [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, sides, constant_values=255)


def _centre(image: Image.Image, preprocess: dict[str, Any]) -> np.ndarray:
    """Pad the shorter side on both ends with `fill`, then resize (LLaVA-1.5 pads with the mean colour)."""
    size, side = preprocess["size"], max(image.size)
    fill = tuple(preprocess.get("fill") or [255] * len(image.getbands()))
    square = Image.new(image.mode, (side, side), fill if len(fill) > 1 else fill[0])
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return resize(square, (size, size), preprocess["resample"])


def _page(image: Image.Image, preprocess: dict[str, Any]) -> np.ndarray:
    return padded_pixels(image, preprocess["multiple"])


def pad_right_below(pixels: np.ndarray, multiple: int) -> np.ndarray:
    """Pad with white on the right and below, up to a multiple."""
    down, right = (-side % multiple for side in pixels.shape[:2])
    sides = [(0, down), (0, right)] + [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, sides, constant_values=255) if down or right else pixels


def padded_pixels(image: Image.Image, multiple: int) -> np.ndarray:
    """Return the pixels of an image of 8 bits, padded as by `pad_right_below`.

    They are copied in bands: NumPy's own conversion takes three times the memory for a moment.
    """
    width, height = image.size
    bands = image.getbands()
    shape = (height + -height % multiple, width + -width % multiple, *([len(bands)] if len(bands) > 1 else []))
    pixels = np.full(shape, 255, np.uint8)
    step = max(1, BAND_PIXELS // max(1, width))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        pixels[top:bottom, :width] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels


FITS: dict[str, Callable[[Image.Image, dict[str, Any]], np.ndarray]] = {
    "squash": _squash,
    "crop": _crop,
    "pad": _pad,
    "centre": _centre,
    "page": _page,
}


def resize(image: Image.Image, size: tuple[int, int], resample: str) -> np.ndarray:
    """Resize to (width, height), uint8."""
    if resample == "opencv":
        return _opencv_bilinear(np.asarray(image), size)
    if resample not in ("bicubic", "bilinear"):
        raise ConfigError(f"resample {resample!r}; allowed: bicubic, bilinear, opencv")
    return np.asarray(image.resize(size, Image.Resampling[resample.upper()]))


def _opencv_bilinear(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize as OpenCV's INTER_LINEAR does on bytes, in its fixed point: weights of 11 bits, columns, then rows.

    The original Vary-base and Vary-tiny were trained with it (albumentations' Resize); unlike Pillow's filters it
    looks at two neighbours only, however much the image shrinks.
    """
    (y0, y1, wy), (x0, x1, wx) = _taps(pixels.shape[0], size[1]), _taps(pixels.shape[1], size[0])
    values = pixels.astype(np.int32).reshape(*pixels.shape[:2], -1)
    wide = values[:, x0] * (2048 - wx)[:, None] + values[:, x1] * wx[:, None]
    high = ((2048 - wy)[:, None, None] * (wide[y0] >> 4) >> 16) + (wy[:, None, None] * (wide[y1] >> 4) >> 16)
    return ((high + 2) >> 2).clip(0, 255).astype(np.uint8).reshape(size[1], size[0], *pixels.shape[2:])


def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each target pixel its two source pixels and the second one's weight, in 2048ths."""
    at = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * np.float32(source / target) - np.float32(0.5)
    first = np.floor(at).astype(np.int64)
    weight = np.where((first < 0) | (first >= source - 1), 0, np.rint((at - first) * 2048)).astype(np.int32)
    return first.clip(0, source - 1), (first + 1).clip(0, source - 1), weight


@dataclass(frozen=True)
class Fit:
    """Pixels of a page at the scale at which they are read, and the way back: page = read / scale."""

    pixels: np.ndarray  # (H, W) uint8, sides padded with white to a multiple
    scale: float


def fit(image: Image.Image, scale: float, multiple: int) -> Fit:
    """Scale a grey page and pad it right and below with white."""
    if scale != 1.0:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC)
    return Fit(padded_pixels(image, multiple), scale)
