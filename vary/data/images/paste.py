"""Paste objects on backgrounds: detection samples with exact boxes, from drawings and cut-out photographs.

Each pixel records which object it shows, so a box encloses exactly the visible pixels of its object.
Idea: Cut, Paste and Learn, arXiv 1708.01642.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ...io.box import Box
from ...io.errors import ConfigError, InputError
from ...io.image import FORMATS, MAX_PIXELS, open_image
from ..corpus.download import fetch
from ..sample import Region, Sample, Skipped, shuffle_index
from .detection import MAX_BOXES, make_sample
from .photos import crop

Object = tuple[str, np.ndarray]  # label, (H, W, 4) uint8 RGBA


class PasteSource:
    """Objects pasted on backgrounds; each box encloses exactly the visible pixels of its object.

    objects: from `cutouts`, `stamps` or `shapes`. backgrounds: image files, of which random parts are used; without
    any, soft colours are drawn. height, width: pixels. count: minimum and maximum number of objects. An object covers
    at most 30% of another. max_boxes, rec: see `make_question`. degraded: share of images with the defects of bad
    photographs.
    """

    def __init__(
        self, objects: Sequence[Object], backgrounds: Sequence[str | Path] = (), *, seed: int = 0, height: int = 768,
        width: int = 1024, count: tuple[int, int] = (1, 12), max_boxes: int = MAX_BOXES, rec: float = 0.0,
        degraded: float = 0.0,
    ):  # fmt: skip
        if not objects:
            raise InputError("no objects were given")
        if not 1 <= count[0] <= count[1] < 255:
            raise ConfigError(f"count is {count}; allowed: 1 <= least <= greatest < 255")
        self.objects, self.backgrounds, self.seed = objects, backgrounds, seed
        self.height, self.width, self.count = height, width, count
        self.max_boxes, self.rec, self.degraded = max_boxes, rec, degraded

    def sample(self, i: int) -> Sample:
        """Return image i. Sixteen consecutive samples use parts of the same background, so it is decoded once."""
        rng = np.random.default_rng((self.seed, i))
        image, owner = self._background(i, rng), np.zeros((self.height, self.width), np.uint8)
        areas: list[list[int]] = []
        labels: list[str] = []
        for _ in range(int(rng.integers(self.count[0], self.count[1] + 1))):
            label, rgba = self.objects[int(rng.integers(len(self.objects)))]
            for attempt in range(8):  # smaller at every attempt; an object that still does not fit is left out
                if paste_object(image, owner, areas, self._turn(rgba, rng, 0.85**attempt), rng):
                    labels.append(label)
                    break
        regions = [Region(label, _extent(owner == k)) for k, label in enumerate(labels, 1)]
        try:
            return make_sample(image, regions, rng, self.max_boxes, self.rec, self.degraded, {"objects": len(regions)})
        except ValueError as error:
            raise Skipped("objects", i, str(error)) from None

    def _background(self, i: int, rng: np.random.Generator) -> np.ndarray:
        if not self.backgrounds:
            soft = rng.integers(60, 230, (4, 4, 3)).astype(np.uint8)
            return cv2.resize(soft, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        k = shuffle_index(i // 16, len(self.backgrounds), self.seed)
        try:
            picture = _reduce(str(self.backgrounds[k]), 2 * max(self.height, self.width))
        except (InputError, OSError) as error:
            raise Skipped("backgrounds", k, str(error)) from None
        return np.array(crop(picture, rng).resize((self.width, self.height), Image.Resampling.BILINEAR))

    def _turn(self, rgba: np.ndarray, rng: np.random.Generator, smaller: float) -> np.ndarray:
        """Return an object at the size and angle at which it is pasted."""
        side = max(8.0, min(self.height, self.width) * float(rng.uniform(0.08, 0.45)) * smaller)
        scale = side / max(rgba.shape[:2])
        high, wide = (max(1, round(v * scale)) for v in rgba.shape[:2])
        shrunk = Image.fromarray(rgba).resize((wide, high), Image.Resampling.BILINEAR)
        if rng.random() < 0.3:
            shrunk = shrunk.rotate(float(rng.uniform(-20, 20)), Image.Resampling.BILINEAR, expand=True)
        return np.asarray(shrunk)[:, :: -1 if rng.random() < 0.5 else 1][: self.height, : self.width]


@lru_cache(maxsize=2)
def _reduce(file: str, size: int) -> Image.Image:
    picture = open_image(file, colour=True)
    picture.thumbnail((size, size), Image.Resampling.BICUBIC)
    return picture


def paste_object(
    image: np.ndarray, owner: np.ndarray, areas: list[list[int]], rgba: np.ndarray, rng: np.random.Generator
) -> bool:
    """Paste an object at a random place, unless it would hide more than 30% of another object.

    owner: (H, W), the object (from 1) that each pixel shows. areas: visible pixels of each object when it was pasted.
    """
    high, wide = rgba.shape[:2]
    y, x = int(rng.integers(image.shape[0] - high + 1)), int(rng.integers(image.shape[1] - wide + 1))
    window = (slice(y, y + high), slice(x, x + wide))
    mask = rgba[..., 3] > 127
    hidden = np.bincount(owner[window][mask], minlength=len(areas) + 1)[1:].tolist()
    if not mask.any() or any(seen - gone < 0.7 * own for (own, seen), gone in zip(areas, hidden, strict=True)):
        return False
    for area, gone in zip(areas, hidden, strict=True):
        area[1] -= gone
    alpha = rgba[..., 3:].astype(np.uint16)
    image[window] = (rgba[..., :3] * alpha + image[window] * (255 - alpha) + 127) // 255
    areas.append([int(mask.sum())] * 2)
    owner[window][mask] = len(areas)
    return True


def _extent(mask: np.ndarray) -> Box:
    """Return the box around the pixels of a mask (H, W)."""
    x, y, wide, high = cv2.boundingRect(mask.view(np.uint8))
    return float(x), float(y), float(x + wide), float(y + high)


# -- objects to paste --------------------------------------------------------------------------------------------------
def cutouts(files: Sequence[str | Path], labels: Sequence[str] = (), size: int = 256) -> list[Object]:
    """Read images with transparency as objects, cropped to the opaque part, at most `size` pixels on a side.

    labels: one per file. By default the label is the file name without trailing digits, `_` and `-` read as spaces.
    Raises an input error for a file that cannot be read, has no transparency, or has nothing opaque.
    """
    labels = labels or [
        re.sub(r"[_\-\s]+", " ", re.sub(r"[\d_\-\s]+$", "", Path(f).stem)) or Path(f).stem for f in files
    ]
    return [(label, _cut(Path(file), size)) for file, label in zip(files, labels, strict=True)]


def _cut(file: Path, size: int) -> np.ndarray:
    try:
        with Image.open(file, formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ValueError(f"{opened.width}x{opened.height} px are more than {MAX_PIXELS / 1e6:.0f} million")
            picture = opened.convert("RGBA")
    except Exception as error:  # for broken files Pillow raises struct.error, TypeError and others
        raise InputError(f"{file}: cannot be read: {error}") from None
    mask = np.asarray(picture)[..., 3] > 127
    if mask.all() or not mask.any():
        raise InputError(f"{file}: {'no transparency' if mask.all() else 'nothing opaque'}; an object needs both")
    x0, y0, x1, y1 = _extent(mask)
    picture = picture.crop((int(x0), int(y0), int(x1), int(y1)))
    picture.thumbnail((size, size), Image.Resampling.BICUBIC)
    return np.array(picture)


def stamps() -> list[Object]:
    """Load cut-out photographs and drawings of animals, plants, food, vehicles and things, with English labels.

    They come from the Debian package tuxpaint-stamps-default (GPL-2+, parts in the public domain; used only as training
    images), fetched on first use. Only labels of up to two words are used; longer ones are sentences.
    """
    root = fetch("deb:tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps"
    files, labels = [], []
    for group in ("animals", "clothes", "food", "hobbies", "household", "plants", "sports", "vehicles"):
        for file in sorted((root / group).rglob("*.png")):
            said = file.with_suffix(".txt")
            first = said.read_text(encoding="utf-8").splitlines()[0] if said.is_file() else ""
            name = re.fullmatch(r"(?:An?|The|Some) ([A-Za-z]+(?: [a-z]+)?)[.!]", first)
            if name and "_mirror" not in file.name:
                files.append(file)
                labels.append(name[1].lower())
    return cutouts(files, labels)


def shapes(size: int = 96) -> list[Object]:
    """Draw thirty plain shapes, such as a red circle, for trials without any file."""
    colours = {"red": (214, 40, 40), "blue": (38, 70, 200), "green": (42, 150, 60), "yellow": (245, 205, 30),
               "black": (20, 20, 20), "white": (250, 250, 250)}  # fmt: skip
    turn, edge = np.linspace(0, 2 * np.pi, 10, endpoint=False) - np.pi / 2, size - 1
    spokes = np.where(np.arange(10) % 2, 0.2, 0.5)[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1) + 0.5
    found: list[Object] = []
    for colour, rgb in colours.items():
        for form in ("circle", "square", "triangle", "star", "ring"):
            picture = Image.new("RGBA", (size, size), (*rgb, 0))
            draw = ImageDraw.Draw(picture)
            if form == "circle":
                draw.ellipse((0, 0, edge, edge), fill=rgb)
            elif form == "square":
                draw.rectangle((0, 0, edge, edge), fill=rgb)
            elif form == "triangle":
                draw.polygon([(edge / 2, 0), (edge, edge), (0, edge)], fill=rgb)
            elif form == "star":
                draw.polygon([tuple(p) for p in (spokes * edge).tolist()], fill=rgb)
            else:
                draw.ellipse((0, 0, edge, edge), outline=rgb, width=size // 5)
            found.append((f"{colour} {form}", np.array(picture)))
    return found
