"""What scanners, copiers and cameras do to a page; boxes move with the pixels.

Each defect has its own small probability, so that a degraded page carries one to three of them. All of it is OpenCV
and numpy on uint8; benchmarks/render.py has the rate.
"""

from __future__ import annotations

import cv2
import numpy as np

from .sample import TextLine


def degrade(image: np.ndarray, lines: list[TextLine], rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """Return the degraded page and the names of its defects; `lines` are moved in place when the page is skewed.

    image: (H, W) uint8, 255 = white.
    """
    done = []
    for name, chance in CHANCES.items():
        if rng.random() < chance:
            image = _skew(image, lines, rng) if name == "skew" else _DEFECTS[name](image, rng)
            done.append(name)
    return image, done


def _skew(image: np.ndarray, lines: list[TextLine], rng: np.random.Generator) -> np.ndarray:
    """Turn the page by up to 2 degrees about its middle."""
    degrees = float(rng.normal(0, 0.6))
    degrees = max(-2.0, min(2.0, degrees))
    height, width = image.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    turned = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderValue=255)
    slope = float(np.tan(np.radians(degrees)))
    keep = []
    for line in lines:
        b = line.boxes
        anchor_x, anchor_y = b[0, 0], line.baseline
        for left, right in ((0, 2),):
            cx = (b[:, left] + b[:, right]) / 2
            half_w, top, bottom = (b[:, right] - b[:, left]) / 2, b[:, 1] - line.baseline, b[:, 3] - line.baseline
            x = turn[0, 0] * cx + turn[0, 1] * line.baseline + turn[0, 2]
            y = turn[1, 0] * cx + turn[1, 1] * line.baseline + turn[1, 2]
            line.boxes = np.stack([x - half_w, y + top, x + half_w, y + bottom], 1).astype(np.float32)
        line.baseline = float(turn[1, 0] * anchor_x + turn[1, 1] * anchor_y + turn[1, 2])
        line.slope = slope
        inside = (line.boxes[:, 0] >= 0) & (line.boxes[:, 2] <= width)
        inside &= (line.boxes[:, 1] >= 0) & (line.boxes[:, 3] <= height)
        if inside.all():
            keep.append(line)
        else:  # a line that left the page can no longer be read: its ink goes too
            x0, y0, x1, y1 = (int(v) for v in line.box)
            turned[max(0, y0 - 1) : max(0, y1 + 2), max(0, x0 - 1) : max(0, x1 + 2)] = 255
    lines[:] = keep
    return turned


def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.9)))


def _scale(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Down and up again: a page that was scanned at too low a resolution."""
    height, width = image.shape
    factor = float(rng.uniform(0.65, 0.9))
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grain = np.empty((image.shape[0] // 2 + 1, image.shape[1]), np.int16)
    cv2.setRNGSeed(int(rng.integers(1 << 31)))
    cv2.randn(grain, np.zeros(1), np.full(1, rng.uniform(3, 16)))
    grain = np.concatenate([grain, grain[::-1]])[: image.shape[0]]
    return cv2.add(image, grain, dtype=cv2.CV_8U)


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


def _contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey ink, tinted paper, another gamma: one look-up table."""
    black, white = float(rng.uniform(0, 90)), float(rng.uniform(190, 255))
    ramp = np.linspace(0, 1, 256) ** float(rng.uniform(0.6, 1.6))
    return cv2.LUT(image, (black + (white - black) * ramp).astype(np.uint8))


def _shade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light that falls from one side."""
    corners = rng.uniform(0.7, 1.0, (2, 2)).astype(np.float32)
    shade = cv2.resize(corners, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(image, shade, dtype=cv2.CV_8U)


def _bleed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The other side of the sheet shines through."""
    back = cv2.GaussianBlur(image[:, ::-1], (0, 0), 1.5)
    back = np.roll(back, int(rng.integers(5, 40)), 0)
    return cv2.addWeighted(image, 1.0, 255 - back, -float(rng.uniform(0.05, 0.2)), 0)


def _stroke(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thicker or thinner ink."""
    kernel = np.ones((2, 2), np.uint8)
    heavy = cv2.erode(image, kernel) if rng.random() < 0.5 else cv2.dilate(image, kernel)
    return cv2.addWeighted(image, 0.5, heavy, 0.5, 0)


def _invert(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 255 - image


_DEFECTS = {
    "stroke": _stroke, "bleed": _bleed, "blur": _blur, "scale": _scale, "contrast": _contrast, "shade": _shade,
    "noise": _noise, "jpeg": _jpeg, "invert": _invert,
}  # fmt: skip
# In the order in which they happen to a page. Skew first: the page lies askew before light and glass come to it.
CHANCES = {
    "skew": 0.3, "stroke": 0.15, "bleed": 0.1, "blur": 0.25, "scale": 0.15, "contrast": 0.35, "shade": 0.15,
    "noise": 0.3, "jpeg": 0.25, "invert": 0.05,
}  # fmt: skip
