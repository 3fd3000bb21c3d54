"""Apply the defects of scanners, copiers and cameras to a page image; boxes move with the pixels.

A profile gives each defect a small probability, so a degraded page has one to three of them. Warps (`WARPS`) move
pixels and also map points; no ink leaves the image. Tints (`TINTS`) change pixel values only. All work is done with
OpenCV and numpy on uint8, grey or RGB; benchmarks/render.py measures the rate.

Frame: pixels of the image, x right, y down, origin top-left; pixel k covers k to k + 1. Source of the list: the
augmentations of Vary (shear, shift, elastic, JPEG, noise, blur), after Nougat, arXiv 2308.13418.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from ..io.errors import ConfigError
from .sample import LabelledLine, Region

Move = Callable[[np.ndarray], np.ndarray]  # points (N, 2) of the page -> points (N, 2) of the warped page


def degrade(
    image: np.ndarray,
    lines: list[LabelledLine],
    rng: np.random.Generator,
    regions: list[Region] | None = None,
    profile: str = "scan",
) -> tuple[np.ndarray, list[str]]:
    """Return the degraded image and the names of its defects. Warps move `lines` and `regions` in place.

    image: (H, W) uint8, 255 = white, or (H, W, 3) RGB. profile: one of `PROFILES`. Boxes stay axis-aligned: after a
    warp each is the smallest box that holds the old one. A line's `baseline` and `slope` describe the nearest straight
    line; only `curl` and `ripple` bend lines away from it. Raises ValueError for an unknown profile.
    """
    if profile not in PROFILES:
        raise ConfigError(f"no degradation profile {profile!r}; allowed: {', '.join(PROFILES)}")
    done = []
    for name, chance in PROFILES[profile].items():
        if rng.random() >= chance:
            continue
        if name in WARPS:
            image, move = WARPS[name](image, rng)
            _carry_lines(lines, move, image.shape[:2])
            if regions:
                boxes = _around(np.array([r.box for r in regions], np.float64), move, image.shape[:2], _EDGES)
                regions[:] = [replace(r, box=tuple(b.tolist())) for r, b in zip(regions, boxes, strict=True)]
        else:
            image = TINTS[name](image, rng)
        done.append(name)
    return image, done


# -- boxes ------------------------------------------------------------------------------------------------------------
_CORNERS = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], np.float64)
_EDGES = np.array([(x, y) for x in range(17) for y in range(17) if x in (0, 16) or y in (0, 16)]) / 16


def _around(boxes_N4: np.ndarray, move: Move, size: tuple[int, int], outline_K2: np.ndarray) -> np.ndarray:
    """Return axis-aligned boxes (N, 4) around moved boxes, clipped to an image of size (H, W).

    outline_K2: points of a unit box that are mapped. The corners suffice for a character; a table's edge may bulge.
    """
    x0, y0, x1, y1 = boxes_N4.T
    x, y = x0 + (x1 - x0) * outline_K2[:, :1], y0 + (y1 - y0) * outline_K2[:, 1:]
    moved = move(np.stack([x.ravel(), y.ravel()], 1)).reshape(len(outline_K2), len(boxes_N4), 2)
    limit = np.array(size[::-1], np.float64)
    return np.concatenate([moved.min(0).clip(0, limit), moved.max(0).clip(0, limit)], 1)


def _carry_lines(lines: list[LabelledLine], move: Move, size: tuple[int, int]) -> None:
    """Move the boxes, baselines and sizes of all lines in one operation."""
    lines = [line for line in lines if len(line.boxes)]
    if not lines:
        return
    counts = np.array([len(line.boxes) for line in lines])
    starts = np.cumsum(counts) - counts
    boxes = np.concatenate([line.boxes for line in lines]).astype(np.float64)
    of_line = np.array([(line.boxes[0, 0], line.baseline, line.slope, line.x_height) for line in lines])
    first, baseline, slope, x_height = np.repeat(of_line, counts, axis=0).T
    x = (boxes[:, 0] + boxes[:, 2]) / 2
    y = baseline + slope * (x - first)
    feet, heads = move(np.stack([x, y], 1)), move(np.stack([x, y - x_height], 1))
    growth = np.add.reduceat(np.hypot(*(feet - heads).T), starts) / counts / np.maximum(of_line[:, 3], 1e-6)
    mean = np.add.reduceat(feet, starts) / counts[:, None]
    away = feet - np.repeat(mean, counts, axis=0)
    run, rise = np.add.reduceat(away[:, :1] * away, starts).T
    slopes = np.where(run > 0, rise / np.maximum(run, 1e-6), of_line[:, 2])
    moved = np.split(_around(boxes, move, size, _CORNERS).astype(np.float32), starts[1:])
    for k, line in enumerate(lines):
        line.boxes, line.slope = moved[k], float(slopes[k])
        line.baseline = float(mean[k, 1] + slopes[k] * (moved[k][0, 0] - mean[k, 0]))
        line.x_height *= float(growth[k])
        line.em_px *= float(growth[k])


# -- warps: image -> image, and a map of its points --------------------------------------------------------------------
def _skew(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Move]:
    """Rotate the page by up to 2 degrees about its centre, and shrink it so that all ink stays inside."""
    degrees = max(-2.0, min(2.0, float(rng.normal(0, 0.6))))
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    half = np.array([width, height]) / 2
    reach = np.abs((_ink_corners(image) - half) @ turn[:, :2].T).max(0)
    shrink = min(1.0, float((half / np.maximum(reach, 1)).min()))
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, shrink)
    turned = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderValue=(255, 255, 255))
    return turned, lambda points: (points - 0.5) @ turn[:, :2].T + turn[:, 2] + 0.5


def _ink_corners(image: np.ndarray) -> np.ndarray:
    """Return the corners (4, 2) of the non-white part, or of the whole image if all of it is white."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    x, y, width, height = cv2.boundingRect(cv2.threshold(grey, 250, 255, cv2.THRESH_BINARY_INV)[1])
    if not width:
        x, y, width, height = 0, 0, image.shape[1], image.shape[0]
    return np.array([x, y]) + _CORNERS * [width, height]


def _perspective(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Move]:
    """Show the page as a hand-held camera sees it; the whole page stays in the image."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32)
    inward = rng.uniform(0.003, 0.06, (4, 2)) * [width, height] * np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]])
    matrix = cv2.getPerspectiveTransform(corners - 0.5, (corners + inward - 0.5).astype(np.float32))
    desk = rng.integers(20, 200, (9, 9, *image.shape[2:])) // 4 + rng.integers(0, 180, image.shape[2:])
    out = cv2.resize(desk.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    out = cv2.warpPerspective(image, matrix, (width, height), dst=out, borderMode=cv2.BORDER_TRANSPARENT)

    def move(points: np.ndarray) -> np.ndarray:
        to = np.column_stack([points - 0.5, np.ones(len(points))]) @ matrix.T
        return to[:, :2] / to[:, 2:] + 0.5

    return out, move


def _curl(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Move]:
    """Bend the page towards the spine (left or right), as in an open book, where it also looks narrower.

    Column x of the warped page shows column `source(x)` of the page, moved down by `drop(x)` and scaled by `scale`.
    """
    height, width = image.shape[:2]
    depth, narrow = float(rng.uniform(0.005, 0.03)) * height, float(rng.uniform(0.0, 0.12))
    x = (np.arange(width + 1)) / width  # edges of columns
    bend = np.exp(-x / float(rng.uniform(0.12, 0.35)))
    source = (x + narrow * (x * x - x)) * width if (left := rng.random() < 0.5) else (x - narrow * (x * x - x)) * width
    drop = depth * (bend if left else bend[::-1])
    drop = depth - drop if rng.random() < 0.5 else drop
    scale = 1 - depth / height
    at = np.arange(width) + 0.5
    down = (np.interp(at, x * width, drop) / scale + 0.5).astype(np.float32)
    whence = np.empty((height, width, 2), np.float32)
    whence[..., 0] = np.interp(at, x * width, source) - 0.5
    np.subtract(((np.arange(height) + 0.5) / scale).astype(np.float32)[:, None], down, out=whence[..., 1])
    bent = _remap(image, whence)

    def move(points: np.ndarray) -> np.ndarray:
        to_x = np.interp(points[:, 0], source, x * width)
        return np.stack([to_x, points[:, 1] * scale + np.interp(to_x, x * width, drop)], 1)

    return bent, move


def _ripple(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Move]:
    """Warp the page like paper that was wet: points move by up to 0.4% of the height, border points not at all."""
    height, width = image.shape[:2]
    coarse = np.zeros((7, 7, 2), np.float32)
    coarse[1:-1, 1:-1] = rng.uniform(-0.004, 0.004, (5, 5, 2)) * height
    smooth = cv2.resize(coarse, (56, 56), interpolation=cv2.INTER_CUBIC)
    whence = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    cv2.add(whence, _grid(height, width), dst=whence)
    bent = _remap(image, whence)

    def move(points: np.ndarray) -> np.ndarray:
        to = points
        for _ in range(3):  # the map gives the source of a pixel; its target is a fixed point, reached quickly
            column, row = (to - 0.5).round().astype(int).clip(0, [width - 1, height - 1]).T
            to = points - (whence[row, column] - np.stack([column, row], 1))
        return to

    return bent, move


def _remap(image: np.ndarray, whence_HW2: np.ndarray) -> np.ndarray:
    """Take each pixel from the position (x, y) given by the map. One map of two channels is the fast form."""
    return cv2.remap(image, whence_HW2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


@lru_cache(maxsize=2)
def _grid(height: int, width: int) -> np.ndarray:
    """Return the position (x, y) of every pixel, (H, W, 2) float32."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2).astype(np.float32)


# -- tints: image -> image ---------------------------------------------------------------------------------------------
def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.9)))


def _motion(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur along a short straight line in a random direction, as by camera shake."""
    length, angle = float(rng.uniform(1.0, 3.5)), float(rng.uniform(0, np.pi))
    kernel, step = np.zeros((5, 5), np.float32), np.array([np.cos(angle), np.sin(angle)]) * length / 2
    ends = [tuple(int(v) for v in ((2 + sign * step) * 16).round()) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _scale(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale down and up again, as a page scanned at too low a resolution."""
    height, width = image.shape[:2]
    factor = float(rng.uniform(0.65, 0.9))
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _grain(image: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """Add Gaussian noise. Drawing noise is slow, so half a page (in RGB a sixth) is drawn and mirrored."""
    channels = 1 if image.ndim == 2 else 3
    grain = np.empty((image.shape[0] // (2 * channels) + 1, *image.shape[1:]), np.int8)
    cv2.setRNGSeed(int(rng.integers(1 << 31)))
    cv2.randn(grain, np.zeros(channels), np.full(channels, spread))
    return cv2.add(image, np.concatenate([grain, grain[::-1]] * channels)[: image.shape[0]], dtype=cv2.CV_8U)


def _noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _grain(image, rng, float(rng.uniform(3, 16)))


def _low_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Darken the image and add noise, as in too little light."""
    gain, gamma = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.8, 1.3))
    ramp = (255 * gain * np.linspace(0, 1, 256) ** gamma).astype(np.uint8)
    return _grain(cv2.LUT(image, ramp), rng, float(rng.uniform(3, 9)))


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR))


def _contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change ink, paper tint and gamma by one look-up table per channel."""
    channels = 1 if image.ndim == 2 else 3
    black, white = (
        rng.uniform(0, 90) + rng.uniform(-10, 10, channels),
        rng.uniform(200, 245) + rng.uniform(-10, 10, channels),
    )
    ramp = np.linspace(0, 1, 256) ** float(rng.uniform(0.6, 1.6))
    table = (black + (white - black) * ramp[:, None]).clip(0, 255).astype(np.uint8)
    return cv2.LUT(image, table.reshape(1, 256, channels))


def _times(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Multiply the image by light (h, w) of 0 to 1, given at any size."""
    full = cv2.resize((light * 255).astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(image, full if image.ndim == 2 else cv2.cvtColor(full, cv2.COLOR_GRAY2RGB), scale=1 / 255)


def _shade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light the page from one side."""
    corners = rng.uniform(0.7, 1.0, (2, 2)).astype(np.float32)
    return _times(image, cv2.resize(corners, (128, 128), interpolation=cv2.INTER_LINEAR))


def _shadow(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one or two shadows with soft edges."""
    light = np.ones((128, 128), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        outline = rng.integers(-40, 168, (int(rng.integers(3, 6)), 1, 2)).astype(np.int32)
        dark = cv2.fillConvexPoly(
            np.zeros((128, 128), np.float32), cv2.convexHull(outline), float(rng.uniform(0.2, 0.5))
        )
        light *= 1 - cv2.GaussianBlur(dark, (0, 0), float(rng.uniform(1.0, 8.0)))
    return _times(image, light)


def _stain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw rings of cups, drops and dirt."""
    light = np.ones((256, 256), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        middle, axes = rng.integers(0, 256, 2).tolist(), rng.integers(4, 50, 2).tolist()
        thickness = -1 if rng.random() < 0.5 else int(rng.integers(2, 6))
        cv2.ellipse(light, middle, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.6, 0.93)), thickness)
    return _times(image, cv2.GaussianBlur(light, (0, 0), float(rng.uniform(0.8, 2.5))))


def _fold(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one or two creases across the page: bright on one side, dark on the other."""
    light = [np.zeros(side, np.int16) for side in image.shape[:2]]
    for _ in range(int(rng.integers(1, 3))):
        axis = int(rng.integers(2))
        away = np.arange(len(light[axis])) - float(rng.uniform(0.15, 0.85)) * len(light[axis])
        flank = np.exp(-np.abs(away) / float(rng.uniform(2, 25))) * np.sign(away) * float(rng.uniform(15, 30))
        light[axis] += flank.astype(np.int16)
    full = (light[0][:, None] + light[1] + 195).astype(np.uint8)  # 195 is neutral; two creases add at most 60
    return cv2.multiply(image, full if image.ndim == 2 else cv2.cvtColor(full, cv2.COLOR_GRAY2RGB), scale=1 / 195)


def _moire(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add fine waves of brightness, as in a photographed screen; in RGB shifted between channels."""
    height, width = image.shape[:2]
    wave, angle, strength = float(rng.uniform(4, 40)), float(rng.uniform(0, np.pi)), float(rng.uniform(4, 18))
    u = (2 * np.pi * np.cos(angle) / wave * np.arange(width)).astype(np.float32)
    v = (2 * np.pi * np.sin(angle) / wave * np.arange(height)).astype(np.float32)
    across = strength * np.stack([np.cos(u), np.sin(u), np.full_like(u, -1)])

    def waves(phase: float) -> np.ndarray:  # cos(u + v) - 1 = cos u cos v - sin u sin v - 1: two thin matrices
        return np.stack([np.cos(v + phase), -np.sin(v + phase), np.ones_like(v)], 1) @ across

    if image.ndim == 2:
        return cv2.add(image, waves(0.0), dtype=cv2.CV_8U)
    parts = [cv2.add(image[..., c], waves(2.1 * c), dtype=cv2.CV_8U) for c in range(3)]
    return cv2.merge(parts)


def _bleed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let the other side of the sheet show through."""
    half = cv2.resize(cv2.flip(image, 1), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    back = cv2.resize(cv2.GaussianBlur(half, (0, 0), 0.7), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    back = np.roll(back, int(rng.integers(5, 40)), 0)
    return cv2.addWeighted(image, 1.0, 255 - back, -float(rng.uniform(0.05, 0.2)), 0)


def _stroke(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make strokes thicker or thinner."""
    kernel = np.ones((2, 2), np.uint8)
    heavy = cv2.erode(image, kernel) if rng.random() < 0.5 else cv2.dilate(image, kernel)
    return cv2.addWeighted(image, 0.5, heavy, 0.5, 0)


def _bitmap(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduce the image to black and white."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    black = np.asarray(cv2.threshold(grey, int(rng.integers(120, 190)), 255, cv2.THRESH_BINARY)[1])
    return black if image.ndim == 2 else cv2.cvtColor(black, cv2.COLOR_GRAY2RGB)


def _fax(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduce vertical resolution, binarise, and drop or repeat rows, as a fax does."""
    height, width = image.shape[:2]
    rows = int(height * rng.uniform(0.7, 0.9))
    coarse = _bitmap(cv2.resize(image, (width, rows), interpolation=cv2.INTER_AREA), rng)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def _halftone(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn grey into dots of 4 px, slightly blurred, as in scanned print."""
    dots = np.array([[12, 5, 6, 13], [4, 0, 1, 7], [11, 3, 2, 8], [15, 10, 9, 14]], np.uint8)  # clustered: small spots
    limits = np.tile(dots * 14 + 16, (-(-image.shape[0] // 4), -(-image.shape[1] // 4)))
    limits = np.roll(limits, int(rng.integers(4)), 1)[: image.shape[0], : image.shape[1]]
    printed = cv2.compare(image, limits if image.ndim == 2 else cv2.cvtColor(limits, cv2.COLOR_GRAY2RGB), cv2.CMP_GT)
    return cv2.GaussianBlur(printed, (0, 0), float(rng.uniform(0.5, 1.0)))


def _invert(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 255 - image


WARPS: dict[str, Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, Move]]] = {
    "skew": _skew, "perspective": _perspective, "curl": _curl, "ripple": _ripple,
}  # fmt: skip
TINTS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "stroke": _stroke, "bleed": _bleed, "stain": _stain, "fold": _fold, "blur": _blur, "motion": _motion,
    "scale": _scale, "contrast": _contrast, "shade": _shade, "shadow": _shadow, "low_light": _low_light,
    "moire": _moire, "noise": _noise, "halftone": _halftone, "bitmap": _bitmap, "fax": _fax, "jpeg": _jpeg,
    "invert": _invert,
}  # fmt: skip
# Probabilities, in order of application: geometry first, then light and optics.
PROFILES: dict[str, dict[str, float]] = {
    "scan": {
        "skew": 0.3, "stroke": 0.15, "bleed": 0.1, "stain": 0.03, "fold": 0.03, "blur": 0.25, "scale": 0.15,
        "contrast": 0.35, "shade": 0.15, "noise": 0.3, "jpeg": 0.25, "invert": 0.05,
    },
    "copy": {
        "skew": 0.4, "stroke": 0.3, "bleed": 0.1, "stain": 0.1, "fold": 0.15, "blur": 0.2, "noise": 0.2,
        "halftone": 0.25, "bitmap": 0.3, "fax": 0.2,
    },
    "photo": {  # a photograph, not a page
        "perspective": 0.1, "blur": 0.2, "motion": 0.2, "scale": 0.2, "contrast": 0.15, "shade": 0.1, "low_light": 0.2,
        "noise": 0.3, "jpeg": 0.5,
    },
    "camera": {
        "curl": 0.3, "ripple": 0.15, "perspective": 0.7, "fold": 0.1, "stain": 0.05, "blur": 0.2, "motion": 0.2,
        "contrast": 0.2, "shade": 0.3, "shadow": 0.35, "low_light": 0.15, "moire": 0.1, "noise": 0.3, "jpeg": 0.5,
    },
}  # fmt: skip
