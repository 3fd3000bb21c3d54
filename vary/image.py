"""Images in: safe decoding, grey pixels at a given scale, padding, and the way back to the page's own pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
MAX_BYTES = 50 << 20
MAX_PIXELS = 80_000_000  # an A4 page at 800 dpi has 62 million


class BadInput(ValueError):
    """A file or a page that cannot be read. The message is one line and names what was given."""


def open_image(
    source: str | Path | bytes, name: str | None = None, frame: int = 0, colour: bool = False
) -> Image.Image:
    """Decode an image to grey ("L") or colour ("RGB"), upright by its EXIF tag, transparency on white.

    frame: page of a TIFF, from 0.

    Raises BadInput for what is not an image, is cut short, or is larger than MAX_BYTES or MAX_PIXELS; the size is
    checked before a pixel is decoded.
    """
    name = name or (str(source) if not isinstance(source, bytes) else "image")
    image = _opened(source, name)
    try:
        image.seek(frame)
        width, height = image.size
    except Exception as error:  # on broken files Pillow lets struct.error, TypeError and others through
        raise BadInput(f"{name}: cannot be decoded: {error}") from None
    if width * height > MAX_PIXELS:
        raise BadInput(f"{name}: {width}x{height} px; images may have up to {MAX_PIXELS / 1e6:.0f} million pixels")
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # a copy of 80 million pixels is 300 MiB
        return rgb(image) if colour else grey(image)
    except Exception as error:
        raise BadInput(f"{name}: cannot be decoded: {error}") from None


def count_frames(source: str | Path | bytes, name: str | None = None) -> int:
    """Pages of an image file: those of a TIFF; any other format has one (an animation counts by its first picture).

    Raises BadInput for what is not an image.
    """
    name = name or (str(source) if not isinstance(source, bytes) else "image")
    image = _opened(source, name)
    if image.format != "TIFF":
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise BadInput(f"{name}: cannot be decoded: {error}") from None


def _opened(source: str | Path | bytes, name: str) -> Image.Image:
    """The file with its head read and no pixel decoded."""
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise BadInput(f"{name}: no such file")
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    if size > MAX_BYTES:
        raise BadInput(f"{name}: {size >> 20} MiB; images may have up to {MAX_BYTES >> 20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            return Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except UnidentifiedImageError:
        raise BadInput(f"{name}: not an image; allowed: {', '.join(FORMATS)}, PDF") from None
    except Image.DecompressionBombError:
        raise BadInput(f"{name}: more pixels than the limit of {MAX_PIXELS / 1e6:.0f} million") from None
    except Exception as error:
        raise BadInput(f"{name}: cannot be decoded: {error}") from None


def grey(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit grey; transparent pixels become white, 16-bit pixels are scaled to their own range."""
    return _opaque(image, "L")


def rgb(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit RGB; transparent pixels become white, 16-bit pixels are scaled to their own range."""
    return _opaque(image, "RGB")


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """With as few copies as can be: the largest image allowed stays under 1 GiB (tests/test_reliability_fuzz.py)."""
    if image.mode.startswith(("I", "F")):
        values = image if image.mode in ("I", "F") else image.convert("F")
        low, high = map(float, values.getextrema())  # type: ignore[arg-type]
        scale = 255 / (65535.0 if high > 255 else 255.0)
        return values.point(lambda value: value * scale - min(low, 0) * scale).convert("L").convert(mode)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new(mode, image.size, "white")
        white.paste(image, (0, 0), image)
        return white
    return image.convert(mode)


def normalise(pixels: Any, preprocess: dict[str, Any]) -> Any:
    """Pixels 0 to 255, channels last for colour (a float array or tensor) -> the range the weights were trained in."""
    mean, std = preprocess["mean"], preprocess["std"]
    if isinstance(mean, list):
        mean, std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    return (pixels / 255 - mean) / std


def prepare(image: Image.Image, preprocess: dict[str, Any], channels: int) -> np.ndarray:
    """An image as a vocabulary wants it: (C, H, W) float32.

    preprocess: `mean`, `std` (numbers, or one per channel); `fit`: what becomes of the shape, `squash` (to the square,
    the aspect is lost), `crop` (shorter side to the square, the middle of the longer one), `pad` (longer side, white
    below and right) or `page` (as it is, white up to a `multiple`); `size`: the square's side in pixels; `resample`:
    `bicubic`, `bilinear` (both Pillow's, antialiased) or `opencv` (bilinear, not antialiased).
    """
    image = grey(image) if channels == 1 else rgb(image)
    pixels = FITS[preprocess.get("fit", "page")](image, preprocess)
    values = normalise(pixels.astype(np.float32), preprocess)
    return values[None] if channels == 1 else np.ascontiguousarray(values.transpose(2, 0, 1))


def _squash(image: Image.Image, preprocess: dict[str, Any]) -> np.ndarray:
    return _resize(image, (preprocess["size"], preprocess["size"]), preprocess["resample"])


def _crop(image: Image.Image, preprocess: dict[str, Any]) -> np.ndarray:
    """CLIP's own: shorter side to `size`, the other one in proportion and rounded down, then the middle."""
    size, short, long = preprocess["size"], min(image.size), max(image.size)
    if size * size * long // short > MAX_PIXELS:
        raise BadInput(f"an image of {image.width}x{image.height} px is too long for its width to be cut to a square")
    pixels = _resize(image, (size * image.width // short, size * image.height // short), preprocess["resample"])
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return pixels[top : top + size, left : left + size]


def _pad(image: Image.Image, preprocess: dict[str, Any]) -> np.ndarray:
    size, long = preprocess["size"], max(image.size)
    wide, high = max(1, round(size * image.width / long)), max(1, round(size * image.height / long))
    pixels = _resize(image, (wide, high), preprocess["resample"])
    sides = [(0, size - high), (0, size - wide)] + [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, sides, constant_values=255)


def _page(image: Image.Image, preprocess: dict[str, Any]) -> np.ndarray:
    return _padded(np.asarray(image), preprocess["multiple"])


def _padded(pixels: np.ndarray, multiple: int) -> np.ndarray:
    """White right and below, up to a multiple."""
    down, right = (-side % multiple for side in pixels.shape[:2])
    sides = [(0, down), (0, right)] + [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, sides, constant_values=255) if down or right else pixels


FITS: dict[str, Callable[[Image.Image, dict[str, Any]], np.ndarray]] = {
    "squash": _squash,
    "crop": _crop,
    "pad": _pad,
    "page": _page,
}


def _resize(image: Image.Image, size: tuple[int, int], resample: str) -> np.ndarray:
    """To (width, height), uint8."""
    if resample == "opencv":
        return _opencv_bilinear(np.asarray(image), size)
    if resample not in ("bicubic", "bilinear"):
        raise ValueError(f"resample {resample!r}; allowed: bicubic, bilinear, opencv")
    return np.asarray(image.resize(size, Image.Resampling[resample.upper()]))


def _opencv_bilinear(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """OpenCV's INTER_LINEAR on bytes, in its own fixed point: weights of 11 bits, columns first, then rows.

    The original Vary-base and Vary-tiny were trained behind it (albumentations' Resize); unlike Pillow's filters it
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
    return Fit(_padded(np.asarray(image, np.uint8), multiple), scale)
