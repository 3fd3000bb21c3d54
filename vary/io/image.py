"""Images in: safe decoding, grey pixels at a given scale, padding, and the way back to the page's own pixels."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
MAX_BYTES = 50 << 20
MAX_PIXELS = 80_000_000  # an A4 page at 800 dpi has 62 million


def open_image(
    source: str | Path | bytes, name: str | None = None, frame: int = 0, colour: bool = False
) -> Image.Image:
    """Decode an image to grey ("L") or colour ("RGB"), upright by its EXIF tag, transparency on white.

    frame: page of a TIFF, from 0.

    Raises InputError for what is not an image, is cut short, or is larger than MAX_BYTES or MAX_PIXELS; the size is
    checked before a pixel is decoded.
    """
    name = name or (str(source) if not isinstance(source, bytes) else "image")
    image = _opened(source, name)
    try:
        image.seek(frame)
        width, height = image.size
    except Exception as error:  # on broken files Pillow lets struct.error, TypeError and others through
        raise InputError(f"{name}: cannot be decoded: {error}") from None
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width}x{height} px; images may have up to {MAX_PIXELS / 1e6:.0f} million pixels")
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # a copy of 80 million pixels is 300 MiB
        return rgb(image) if colour else grey(image)
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded: {error}") from None


def count_frames(source: str | Path | bytes, name: str | None = None) -> int:
    """Pages of an image file: those of a TIFF; any other format has one (an animation counts by its first picture).

    Raises InputError for what is not an image.
    """
    name = name or (str(source) if not isinstance(source, bytes) else "image")
    image = _opened(source, name)
    if image.format != "TIFF":
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded: {error}") from None


def _opened(source: str | Path | bytes, name: str) -> Image.Image:
    """The file with its head read and no pixel decoded."""
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise InputError(f"{name}: no such file")
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{name}: {size >> 20} MiB; images may have up to {MAX_BYTES >> 20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            return Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image; allowed: {', '.join(FORMATS)}, PDF") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: more pixels than the limit of {MAX_PIXELS / 1e6:.0f} million") from None
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded: {error}") from None


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
