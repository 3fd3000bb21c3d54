"""Images in: safe decoding, grey pixels at a given scale, padding, and the way back to the page's own pixels."""

from __future__ import annotations

import warnings
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


def open_image(source: str | Path | bytes, name: str | None = None, frame: int = 0) -> Image.Image:
    """Decode an image to grey ("L"), upright by its EXIF tag, transparency on white. `frame` counts from 0 (TIFF).

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
        return grey(ImageOps.exif_transpose(image))
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
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, np.float32)
        low, high = float(values.min()), float(values.max())
        top = 65535.0 if high > 255 else 255.0
        return Image.fromarray(((values - min(low, 0)) * (255 / top)).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("L")


def normalise(pixels: Any, preprocess: dict[str, Any]) -> Any:
    """Grey pixels 0 to 255 (a float array or tensor) -> the range that the weights were trained in."""
    return (pixels / 255 - preprocess["mean"]) / preprocess["std"]


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
    pixels = np.asarray(image, np.uint8)
    down, right = -pixels.shape[0] % multiple, -pixels.shape[1] % multiple
    if down or right:
        pixels = np.pad(pixels, ((0, down), (0, right)), constant_values=255)
    return Fit(pixels, scale)
