"""Decode image files to 8-bit grey or RGB, within limits on bytes and pixels. Resizing is in `models/images/`."""

from __future__ import annotations

import re
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from .errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
MAX_BYTES = 50 << 20
MAX_PIXELS = 80_000_000  # an A4 page at 800 dpi has 62 million
MOST = f"images may have up to {MAX_PIXELS / 1e6:.0f} million pixels"
RESOLUTIONS = (20.0, 4800.0)  # dpi that a file may state; others are mistakes
BAND = 1 << 20  # pixels of a deep image that are converted at a time
OUTLIERS = 1e-5  # share of a deep image's pixels that may lie outside its range at either end
LIGHT = 192  # grey value from which type on white is lost
BINS = 256  # of the histogram in which the range is sought
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF 6.0, section 8
# Deep TIFFs that Pillow decodes and does not open. Byte order, photometric, kind of number, order of bits, bits, others
# -> mode, raw mode
_DEEP_TIFFS = {
    (b"II", 1, (3,), 1, (64,), ()): ("F", "F;64F"),
    (b"MM", 1, (3,), 1, (64,), ()): ("F", "F;64BF"),
    (b"MM", 1, (1,), 1, (32,), ()): ("I", "I;32B"),
    (b"MM", 0, (1,), 1, (16,), ()): ("I;16B", "I;16B"),
}
TiffImagePlugin.OPEN_INFO.update(_DEEP_TIFFS | TiffImagePlugin.OPEN_INFO)


class NotAnImage(InputError):
    """A file in none of FORMATS."""


def open_image(
    source: str | Path | bytes, name: str | None = None, frame: int = 0, colour: bool = False
) -> Image.Image:
    """Decode an image file to 8-bit grey ("L") or colour ("RGB").

    The image is rotated as its EXIF tag says. Transparent pixels become white, or black where all others are light. The
    size is checked before decoding.

    Args:
        source: Path or bytes of the file.
        name: Name for error messages.
        frame: Page of a TIFF, from 0.
        colour: Return RGB.

    Raises:
        InputError: The file is no image, is damaged, or exceeds MAX_BYTES or MAX_PIXELS.
    """
    name = name or (str(source) if not isinstance(source, bytes) else "image")
    image = _open(source, name)
    try:
        image.seek(frame)
        width, height = image.size
    except Exception as error:  # for damaged files Pillow raises struct.error, TypeError and others
        raise InputError(f"{name}: cannot be decoded: {error}") from None
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width}x{height} px; {MOST}")
    try:
        deep = _has_16_bit_channels(image)
        if not colour:
            image.draft("L", image.size)  # a JPEG is decoded to its grey channel, a quarter of the memory
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # a copy of 80 million pixels is 300 MiB
        image = _to_8_bit(image, "RGB" if colour else "L")
        return _stretch(image) if deep else image
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded: {error}") from None


def count_frames(source: str | Path | bytes) -> int:
    """Return the number of pages of a TIFF, and 1 for other images. Of an animation only the first frame counts.

    Raises:
        InputError: The file is no image.
    """
    name = "image" if isinstance(source, bytes) else str(source)
    image = _open(source, name)
    if image.format != "TIFF":
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded: {error}") from None


def image_dpi(source: str | Path | bytes, frame: int = 0) -> tuple[float, float] | None:
    """Return the horizontal and vertical resolution that an image file states for its upright image; None without one.

    Raises:
        InputError: The file is no image.
    """
    image = _open(source, "image")
    try:
        image.seek(frame)
        x, y = map(float, image.info["dpi"])
        sideways = image.getexif().get(274, 1) >= 5  # EXIF orientations 5 to 8 swap the axes
    except Exception:  # no resolution, or a damaged one
        return None
    low, high = RESOLUTIONS
    if not (low <= x <= high and low <= y <= high):
        return None
    return (y, x) if sideways else (x, y)


def _open(source: str | Path | bytes, name: str) -> Image.Image:
    """Return the image with its header parsed and no pixel decoded."""
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise InputError(f"{name}: no such file")
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    if not size:
        raise InputError(f"{name}: the file is empty")
    if size > MAX_BYTES:
        raise InputError(f"{name}: {size >> 20} MiB; images may have up to {MAX_BYTES >> 20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is checked later
            return Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except UnidentifiedImageError:
        raise NotAnImage(f"{name}: not an image; allowed: {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError as error:
        found = re.search(r"\d+", str(error))
        pixels = f"{int(found[0]) / 1e6:,.0f} million pixels" if found else "too many pixels"
        raise InputError(f"{name}: {pixels}; {MOST}") from None
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded: {error}") from None


def grey(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit grey. Transparent pixels become white; see `_scale_deep` for 16 bits."""
    return _to_8_bit(image, "L")


def rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB. Transparent pixels become white; see `_scale_deep` for 16 bits."""
    return _to_8_bit(image, "RGB")


def _to_8_bit(image: Image.Image, mode: str) -> Image.Image:
    """Convert with few copies: the largest image stays under 1 GiB (tests/reading/test_fuzz_image.py)."""
    if image.mode.startswith(("I", "F")):
        return _scale_deep(image).convert(mode)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        ground = Image.new(mode, image.size, "black" if _is_light(image) else "white")
        ground.paste(image, (0, 0), image)
        return ground
    if image.mode == "LAB":  # Pillow converts it to no other mode; its first channel is the lightness
        image = image.getchannel(0)
    return image.convert(mode)


def _is_light(image: Image.Image) -> bool:
    """Return whether an RGBA image shows nothing on white: all that is opaque is light, and some of it is not."""
    opacity = image.getchannel("A")
    seen = image.convert("L").histogram(opacity.point(lambda value: 255 * (value > 127)))
    return 0 < sum(seen) < image.width * image.height and sum(seen[:LIGHT]) <= OUTLIERS * sum(seen)


def _scale_deep(image: Image.Image) -> Image.Image:
    """Map integers of more than 8 bits, or floats, to 0-255: their own minimum becomes black, their maximum white.

    The range is the image's own because files do not say it: 12-bit data lies in 16-bit integers, floats may end at 1
    or at 65535. Single extreme pixels do not count, see `_value_range`. A TIFF whose tag says that zero is white is
    inverted. Values that are not finite become white.
    """
    values = np.asarray(image)
    rows = max(1, BAND // max(1, values.shape[1]))
    bands = [values[k : k + rows] for k in range(0, values.shape[0], rows)]
    low, high = _value_range(bands)
    out = np.full(values.shape, 255, np.uint8)
    if high > low:
        inverted = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        for k, band in enumerate(bands):
            share = ((band.astype(np.float64) - low) / (high - low)).clip(0, 1)
            share = np.nan_to_num(1 - share if inverted else share, nan=1.0)
            share[~np.isfinite(band)] = 1.0
            out[k * rows : (k + 1) * rows] = np.rint(share * 255)
    return Image.fromarray(out)


def _value_range(bands: list[np.ndarray]) -> tuple[float, float]:
    """Return minimum and maximum of the finite values; OUTLIERS at each end are left out if that halves the range.

    A hot pixel of a camera at 65535 would otherwise leave 12-bit data with a sixteenth of the contrast.
    """
    finite = [band[np.isfinite(band)] for band in bands] if bands[0].dtype.kind == "f" else bands
    finite = [part for part in finite if part.size]
    if not finite:
        return 0.0, 0.0
    low, high = min(float(part.min()) for part in finite), max(float(part.max()) for part in finite)
    most = OUTLIERS * sum(part.size for part in finite)
    tight = cut = False
    while not tight and high - low > 1e-6 * max(abs(low), abs(high)):
        parts = (np.histogram(part, BINS, (low, high))[0] for part in finite)
        counts, edges = np.sum(list(parts), axis=0), np.linspace(low, high, BINS + 1)
        first = int((counts.cumsum() > most).argmax())
        last = BINS - int((counts[::-1].cumsum() > most).argmax())
        tight = last - first > BINS // 2
        cut |= not tight
        if cut:
            low, high = float(edges[first]), float(edges[last])
    return low, high


def _has_16_bit_channels(image: Image.Image) -> bool:
    """Return whether the file has 16 bits for each of several channels; Pillow keeps the upper 8 of them."""
    decoders = [tile[3] for tile in getattr(image, "tile", [])]
    modes = [str(args[0] if isinstance(args, tuple) and args else args) for args in decoders]
    return image.mode in ("RGB", "RGBA", "LA", "CMYK", "YCbCr") and any(";16" in mode for mode in modes)


def _stretch(image: Image.Image) -> Image.Image:
    """Stretch an 8-bit image whose brightest channel stays below half: 12-bit data in 16 bits ends at 15 of 255."""
    extrema = image.getextrema()
    ranges: list[tuple[int, int]] = [extrema] if image.mode == "L" else list(extrema)  # type: ignore[list-item, arg-type]
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    if not low < high < 128:
        return image
    return image.point([round(255 * min(1.0, max(0, v - low) / (high - low))) for v in range(256)] * len(ranges))
