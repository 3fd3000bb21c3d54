"""Any bytes for an image: decoded or refused in one line, within a gibibyte."""

from __future__ import annotations

import io
import multiprocessing
import random
import re
import resource
import struct
import time
import warnings
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vary.io.errors import InputError
from vary.io.image import count_frames, open_image

from ..io.test_image import black_png, chunk, mutated

GIB = 1 << 30


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def image_seeds() -> list[bytes]:
    """Twenty small images: every format, depth and way of packing."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
    rgba = Image.fromarray(rng.integers(0, 256, (24, 32, 4), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (24, 32)).astype(np.uint16))
    exif = Image.Exif()
    exif[274], exif[270] = 6, "a description"
    grey, palette, bits, cmyk = rgb.convert("L"), rgb.convert("P"), rgb.convert("1"), rgb.convert("CMYK")
    kinds: list[tuple[Image.Image, str, dict]] = [
        (rgb, "PNG", {"exif": exif}), (rgba, "PNG", {}), (deep, "PNG", {}), (palette, "PNG", {"transparency": 3}),
        (bits, "PNG", {}), (rgb, "JPEG", {"exif": exif}), (rgb, "JPEG", {"progressive": True}), (grey, "JPEG", {}),
        (cmyk, "JPEG", {}), (rgb, "WEBP", {}), (rgba, "WEBP", {"lossless": True}), (rgb, "BMP", {}), (bits, "BMP", {}),
        (palette, "GIF", {"save_all": True, "append_images": [palette.rotate(90)]}), (rgb, "TIFF", {"exif": exif}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}), (bits, "TIFF", {"compression": "group4"}),
        (deep, "TIFF", {"compression": "tiff_adobe_deflate"}), (rgb, "TIFF", {"compression": "jpeg"}),
        (grey, "TIFF", {"save_all": True, "append_images": [grey]}),
    ]  # fmt: skip
    return [encoded(picture, kind, **options) for picture, kind, options in kinds]


def fuzz_images(each: int) -> tuple[Counter[str], float, int]:
    """Mutate every seed `each` times: how it ended, the slowest in seconds of CPU, the peak memory of this process."""
    warnings.simplefilter("ignore")
    ends, slowest, chance = Counter(), 0.0, random.Random(11)
    for seed in image_seeds():
        assert open_image(seed).mode == "L"
        for k in range(each):
            data = mutated(seed, chance)
            began = time.process_time()
            try:
                count_frames(data)
                assert open_image(data, colour=bool(k % 2)).mode == ("RGB" if k % 2 else "L")
                ends["decoded"] += 1
            except InputError:
                ends["refused"] += 1
            slowest = max(slowest, time.process_time() - began)
    return ends, slowest, peak()


def peak() -> int:
    """Bytes that this process has held at most. On Linux `getrusage` would count what its parent held, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) << 10


def decode(data: bytes) -> tuple[str, int]:
    """In a process of its own: what became of an image, and the peak memory."""
    try:
        decoded = open_image(data, "bomb")
        return f"{decoded.mode} {decoded.width}x{decoded.height}", peak()
    except InputError as error:
        return str(error), peak()


def alone(function, *arguments):
    """The result of a function in a fresh process, whose memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def test_fuzz_image() -> None:  # 11
    ends, slowest, memory = alone(fuzz_images, 25)
    assert sum(ends.values()) == 500
    assert min(ends["decoded"], ends["refused"]) > 50
    assert slowest < 2
    assert memory < GIB


@pytest.mark.slow  # 10,000 images
def test_fuzz_image_slow() -> None:  # 11
    ends, slowest, memory = alone(fuzz_images, 500)
    print(f"\n10000 mutated images: {dict(ends)}, slowest {slowest:.2f} s, peak {memory >> 20} MiB")
    assert sum(ends.values()) == 10_000
    assert slowest < 2
    assert memory < GIB


def tiff(*tags: tuple[int, int, int, int]) -> bytes:
    """A TIFF of one directory: (tag, type, count, value)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"


def gif_of(width: int, height: int) -> bytes:
    """A screen of any size behind a 4 x 4 picture: 56 bytes."""
    small = Image.new("P", (4, 4))
    small.putpalette([0, 0, 0, 255, 255, 255])
    data = bytearray(encoded(small, "GIF", transparency=0))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def many_frames(count: int) -> bytes:
    head, _, frame = encoded(Image.new("L", (4, 4)), "GIF").partition(b",")
    return head + (b"," + frame[:-1]) * count + b";"


SIZE = [(256, 4, 1, 60), (257, 4, 1, 60), (258, 3, 1, 8), (262, 3, 1, 1)]
REFUSED = {
    "PNG of 30,000 x 30,000": black_png(30_000, 30_000),
    "GIF of 65,535 x 65,535": gif_of(65_535, 65_535),
    "TIFF of 4 * 10^9 wide": tiff((256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1), *SIZE[2:]),
    "TIFF with 10^9 strips": tiff(*SIZE, (273, 4, 10**9, 8), (278, 4, 1, 1), (279, 4, 10**9, 8)),
    "TIFF with a tag of 4 GiB": tiff(*SIZE, (270, 2, 2**32 - 1, 8), (273, 4, 1, 8), (279, 4, 1, 9)),
    "a directory before itself": tiff(*SIZE)[:-4] + struct.pack("<I", 8),
    "0 bytes": b"",
    "HTML": b"<!DOCTYPE html><html>",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "PNG of 0 x 0": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 0, 8, 0, 0, 0, 0)),
    "text that unpacks to 100 MiB": (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
        + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 << 20), 1))
    ),
}  # fmt: skip


def refusals() -> tuple[dict[str, tuple[str, float]], int]:
    """What is said of each of REFUSED and after how many seconds; the peak memory of this process."""
    warnings.simplefilter("ignore")
    said = {}
    for name, data in REFUSED.items():
        began = time.process_time()
        said[name] = decode(data)[0], time.process_time() - began
    return said, peak()


def test_bombs() -> None:  # 12
    said, memory = alone(refusals)
    for name, (message, seconds) in said.items():
        assert message.startswith("bomb: "), name
        assert "\n" not in message, name
        assert seconds < 1, name
    assert memory < GIB // 4


def test_a_strip_of_a_million_and_many_frames() -> None:  # 12
    assert open_image(black_png(1_000_000, 1)).size == (1_000_000, 1)
    data = many_frames(100_000)
    began = time.process_time()
    assert (open_image(data).size, count_frames(data)) == ((4, 4), 1)
    assert time.process_time() - began < 1


def test_a_tiny_file_of_the_largest_size() -> None:  # 12
    """56 bytes that become 80 million transparent pixels: they once took 1.1 GiB."""
    data = gif_of(8940, 8940)
    assert len(data) < 100
    said, memory = alone(decode, data)
    assert said == "L 8940x8940"
    assert memory < GIB


@pytest.mark.slow  # 80 million pixels take seconds in each of these modes
@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "I;16", "CMYK", "F", "I"])
def test_the_largest_image_stays_under_a_gibibyte(mode) -> None:  # 12
    picture = Image.new(mode, (8940, 8940))
    kind = "PNG" if mode in ("RGBA", "LA", "RGB", "I;16") else "TIFF"
    data = encoded(picture, kind, **({"compression": "tiff_adobe_deflate"} if kind == "TIFF" else {}))
    said, memory = alone(decode, data)
    assert said == "L 8940x8940"
    assert memory < GIB
