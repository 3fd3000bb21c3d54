"""Images are decoded to upright grey, or refused with one line: nothing but InputError comes out."""

from __future__ import annotations

import random
import struct
import time
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vary.io import image as module
from vary.io.errors import InputError
from vary.io.image import MAX_PIXELS, image_dpi, open_image
from vary.models.images.preprocess import fit

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(tag: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))


def black_png(width: int, height: int) -> bytes:
    """A true 1-bit PNG of any size, built row by row so that making it is quick."""
    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def refused(source: bytes | Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        open_image(source)
    assert "\n" not in str(caught.value)


def test_empty_file(tmp_path) -> None:
    path = tmp_path / "empty.png"
    path.write_bytes(b"")
    refused(path, r"empty\.png: the file is empty")


def test_html_named_png(tmp_path) -> None:
    path = tmp_path / "page.png"
    path.write_text("<!DOCTYPE html><html><body>404</body></html>")
    refused(path, r"page\.png: not an image; allowed: PNG, JPEG, WEBP, TIFF, BMP, GIF$")


@pytest.mark.parametrize(("side", "size"), [(10_000, "10000x10000 px"), (20_000, "400 million pixels")])
def test_an_image_that_is_too_large_is_refused_with_its_size(side, size) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    refused(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b""), f"{size}; images may have up to 80 million pixels")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated(kind) -> None:
    data = encoded(Image.fromarray(NOISE), kind)
    assert open_image(data).size == (32, 24)
    refused(data[: len(data) * 2 // 3], "cannot be decoded")


@pytest.mark.parametrize("size", [(30_000, 30_000), (10_000, MAX_PIXELS // 10_000 + 1)])
def test_bomb_is_refused_before_decoding(monkeypatch, size) -> None:
    def decoded(*_) -> None:
        raise AssertionError("a pixel was decoded")

    data = black_png(*size)
    assert len(data) < 1 << 20
    monkeypatch.setattr(Image.Image, "load", decoded)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    began = time.perf_counter()
    refused(data, "80 million")
    assert time.perf_counter() - began < 1


def test_small_bomb_maker_makes_true_images() -> None:
    image = open_image(black_png(30, 20))
    assert image.size == (30, 20)
    assert image.getextrema() == (0, 0)


def test_too_large_a_file(monkeypatch, tmp_path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(encoded(Image.fromarray(NOISE), "PNG"))
    monkeypatch.setattr(module, "MAX_BYTES", path.stat().st_size)
    assert open_image(path).mode == "L"
    monkeypatch.setattr(module, "MAX_BYTES", path.stat().st_size - 1)
    refused(path, r"large\.png: 0 MiB; images may have up to")
    refused(path.read_bytes(), "images may have up to")


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind) -> None:
    image = Image.new("CMYK", (32, 16), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (16, 0, 32, 16))
    grey = np.asarray(open_image(encoded(image, kind)))
    assert grey[:, :14].min() > 245
    assert grey[:, 18:].max() < 10


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit(kind) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    grey = np.asarray(open_image(encoded(Image.fromarray(values), kind)))
    assert np.abs(grey.reshape(-1).astype(int) - np.arange(256)).max() <= 1


def test_transparency_is_white() -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    image.putpixel((2, 0), (0, 0, 0, 255))
    clear, half, full = np.asarray(open_image(encoded(image, "PNG")))[0]
    assert clear == 255
    assert 125 <= half <= 129
    assert full == 0


@pytest.mark.parametrize(("ink", "ground"), [(255, 0), (0, 255), (230, 0), (100, 255)])
def test_what_is_opaque_is_seen_whatever_its_colour(ink, ground) -> None:
    opacity = Image.new("L", (40, 20), 0)
    opacity.paste(255, (10, 5, 30, 15))
    for image in (Image.merge("LA", (Image.new("L", opacity.size, ink), opacity)), Image.new("RGBA", opacity.size)):
        if image.mode == "RGBA":
            image.paste((ink, ink, ink, 255), (10, 5, 30, 15))
        grey = np.asarray(open_image(encoded(image, "PNG")))
        assert (grey[0, 0], grey[10, 20]) == (ground, ink)


def test_an_opaque_page_with_an_alpha_channel_is_kept() -> None:
    page = Image.new("RGBA", (40, 20), (250, 250, 250, 255))
    assert np.asarray(open_image(encoded(page, "PNG"))).min() == 250


def test_palette_with_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 40, 40, 40])
    image.putpixel((1, 0), 1)
    assert np.asarray(open_image(encoded(image, "PNG", transparency=0)))[0].tolist() == [255, 40]
    assert np.asarray(open_image(encoded(image, "PNG")))[0].tolist() == [0, 40]


def test_exif_rotation() -> None:
    image = Image.new("L", (64, 32), "white")
    image.paste(0, (0, 0, 32, 32))
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise: the left half comes to the top
    upright = open_image(encoded(image, "JPEG", exif=exif))
    assert upright.size == (32, 64)
    assert np.asarray(upright)[:28].max() < 20
    assert np.asarray(upright)[36:].min() > 235


def test_first_frame_of_a_gif() -> None:
    frames = [Image.new("L", (8, 8), level) for level in (255, 0)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_image(data).getextrema() == (255, 255)


def mutated(data: bytes, chance: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(chance.choice([1, 2, 4, 16])):
        at = chance.randrange(min(len(found), chance.choice([120, len(found)])))
        kind = chance.random()
        if kind < 0.7:
            found[at] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        elif kind < 0.85:
            del found[at + 1 : at + chance.randrange(2, 9)]
        else:
            found[at:at] = chance.randbytes(chance.randrange(1, 9))
    return bytes(found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_mutated_files(kind) -> None:
    exif = Image.Exif()
    exif[274], exif[270] = 6, "a description"
    chance, seed, bad = random.Random(kind), encoded(Image.fromarray(NOISE), kind, exif=exif), 0
    for k in range(60):
        data = mutated(seed, chance)
        try:
            assert open_image(data).mode == "L", k
        except InputError:
            bad += 1
    assert 0 < bad < 60


@pytest.mark.parametrize("error", [struct.error("no integer"), TypeError("no index"), MemoryError(), EOFError()])
def test_whatever_pillow_raises_is_bad_input(monkeypatch, error) -> None:
    """Fuzzing found struct.error (a wrong type in EXIF) and TypeError (a fraction as an offset in TIFF)."""

    def broken(*_) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", broken)
    refused(encoded(Image.fromarray(NOISE), "PNG"), "cannot be decoded")


@pytest.mark.parametrize(("scale", "multiple"), [(1.0, 16), (0.5, 32), (0.3, 8), (1.7, 1)])
def test_fit_pads_with_white_and_scale_leads_back(scale, multiple) -> None:
    page = Image.new("L", (203, 101), 0)
    fitted = fit(page, scale, multiple)
    height, width = fitted.pixels.shape
    assert fitted.pixels.dtype == np.uint8
    assert height % multiple == width % multiple == 0
    wide, high = round(203 * scale), round(101 * scale)
    assert (fitted.pixels[:high, :wide] < 5).all()
    assert (fitted.pixels[high:] == 255).all()
    assert (fitted.pixels[:, wide:] == 255).all()
    assert height - high < multiple
    assert width - wide < multiple
    assert wide / fitted.scale == pytest.approx(203, abs=1 / scale)


def test_fit_finds_a_mark_again() -> None:
    page = Image.new("L", (400, 300), "white")
    page.paste(0, (120, 200, 160, 220))
    fitted = fit(page, 0.5, 32)
    y, x = np.nonzero(fitted.pixels < 128)
    found = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / fitted.scale
    assert np.abs(found - [120, 200, 160, 220]).max() <= 2


def test_fit_leaves_a_fitting_page_alone() -> None:
    pixels = NOISE[:16, :32, 0]
    assert np.array_equal(fit(Image.fromarray(pixels), 1.0, 16).pixels, pixels)
    assert fit(Image.new("L", (3, 3)), 0.01, 8).pixels.shape == (8, 8)


def deep_text(low: float, high: float, kind: str) -> np.ndarray:
    """A page of white with a black bar, between two values."""
    page = np.full((40, 60), high)
    page[10:20, 5:50] = low
    return page.astype(kind)


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(0, 4095, np.uint16), (0, 1023, np.uint16), (30000, 31000, np.uint16), (-500, 900, np.int32),
     (0.0, 1.0, np.float32), (-2.5, 0.25, np.float32), (0, 65535, np.float32)],
)  # fmt: skip
def test_deep_images_use_their_own_range(low, high, kind) -> None:
    found = np.asarray(open_image(encoded(Image.fromarray(deep_text(low, high, kind)), "TIFF")))
    assert (found[10:20, 5:50] == 0).all()
    assert (found[:10] == 255).all()


def test_floats_that_are_not_finite_are_white() -> None:
    page = deep_text(0.0, 1.0, np.float32)
    page[0, :3] = np.nan, np.inf, -np.inf
    found = np.asarray(open_image(encoded(Image.fromarray(page), "TIFF")))
    assert (found[:10] == 255).all()
    assert (found[10:20, 5:50] == 0).all()


@pytest.mark.parametrize(("kind", "hot"), [(np.uint16, 65535), (np.float32, 1e30), (np.int32, -(2**31))])
def test_a_hot_pixel_does_not_set_the_range(kind, hot) -> None:
    page = np.kron(deep_text(100, 4000, kind), np.ones((20, 20), kind))
    page[3, 3] = hot
    found = np.asarray(open_image(encoded(Image.fromarray(page), "TIFF")))
    assert found[250, 500] <= 16
    assert found[50, 500] >= 239


def test_lab_images_are_read_by_their_lightness() -> None:
    lightness = Image.fromarray(deep_text(0, 255, np.uint8))
    image = Image.merge("LAB", (lightness, *[Image.new("L", lightness.size, 128)] * 2))
    found = np.asarray(open_image(encoded(image, "TIFF")))
    assert np.array_equal(found, np.asarray(lightness))


def test_a_tiff_may_say_that_zero_is_white() -> None:
    ink = 4095 - deep_text(0, 4095, np.int32)  # ink is large
    found = np.asarray(open_image(encoded(Image.fromarray(ink.astype(np.uint16)), "TIFF", tiffinfo={262: 0})))
    assert (found[10:20, 5:50] == 0).all()
    assert (found[:10] == 255).all()


@pytest.mark.parametrize(("kind", "zero_is_white"), [("<f8", 0), (">f8", 0), (">f4", 0), (">u4", 0), (">u2", 1)])
def test_deep_tiffs_that_pillow_does_not_write(kind, zero_is_white) -> None:
    page = deep_text(0, 4095, kind)
    tags = {256: 60, 257: 40, 258: 8 * page.itemsize, 262: 1 - zero_is_white, 273: 134, 278: 40, 279: page.nbytes}
    tags[339] = {"u": 1, "f": 3}[kind[1]]
    entries = b"".join(struct.pack(kind[0] + "HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = {"<": b"II", ">": b"MM"}[kind[0]] + struct.pack(kind[0] + "HIH", 42, 8, len(tags)) + entries
    found = np.asarray(open_image(head.ljust(134, b"\0") + page.tobytes()))
    assert (found[10:20, 5:50] == 255 * zero_is_white).all()
    assert (found[:10] == 255 - 255 * zero_is_white).all()


def test_12_bits_in_colour_png() -> None:
    """Pillow writes no such file: three channels of 16 bits, of which 12 are used."""
    page = np.repeat(deep_text(0, 4095, ">u2")[:, :, None], 3, 2)
    rows = b"".join(b"\0" + row.tobytes() for row in page)
    header = struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    for colour in (False, True):
        found = np.asarray(open_image(data, colour=colour))
        assert (found[10:20, 5:50] == 0).all()
        assert (found[:10] == 255).all()


def test_resolution_of_image_files() -> None:
    image = Image.new("L", (60, 40), 255)
    assert image_dpi(encoded(image, "PNG", dpi=(300, 300))) == pytest.approx((300, 300), abs=0.1)
    assert image_dpi(encoded(image, "TIFF", dpi=(204, 98))) == pytest.approx((204, 98), abs=0.1)
    assert image_dpi(encoded(image, "PNG")) is None
    assert image_dpi(encoded(image, "TIFF", dpi=(1, 1))) is None
    exif = Image.Exif()
    exif[274] = 6
    assert image_dpi(encoded(image, "JPEG", dpi=(200, 100), exif=exif)) == pytest.approx((100, 200))
