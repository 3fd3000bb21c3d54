"""Find the sheet of paper on a photograph, map it to a rectangle, and map boxes back to the photograph.

A sheet is a light area with four straight sides on a darker ground. The sides are lines through the ends of the longest
light run of each row and column. Points on them are few in number, so each side is the line through two of them that
most others agree with (RANSAC; Fischler and Bolles, 1981, here over fixed pairs).

Frame: pixels of the page image, x right, y down. Corners run clockwise from the top left one.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..io.box import Box, edges
from .elements import Page
from .layout.bitmap import grow

SIDE = 320  # px, longer side of the image on which the sheet is sought
LEAST = 0.25  # share of the image that a sheet covers at least
CONTRAST = 40  # least grey levels between the medians of sheet and ground
GAPS = 6  # px: darker places up to twice as wide, such as letters, count as paper
PAIRS = 24  # points of a side whose pairs are tried
NEAR = 1.5  # px from a line to the points that agree with it
AGREE = 0.5  # least share of a side's points
FILLED, EMPTY = 0.97, 0.1  # least light share of the sheet, largest light share of the ground
TAPER = 2.0, 2.0  # degrees between opposite sides from which a sheet is mapped; largest ratio of their lengths
EDGE, DARKER = 8, 0.93  # px along the edges of a photograph; their level, as a share of the image's
SURE = 0.99  # light share of the sheet less that of the ground, from which no light desk is sought
LIGHT_CONTRAST, LEAST_TAPER = 20, 1.0  # the same as CONTRAST and TAPER on a light desk, in even light
FITS, EVERY, INK = (
    5,
    7,
    0.15,
)  # fits of the light; every so many pixels; difference of logarithms from which it is no paper
PAPER, DARK = 250, 0.6  # level of paper in even light; share of the median grey from which a pixel is no ink
ANGLES = 60.0, 120.0  # of the corners, degrees


def find_sheet(image: Image.Image) -> np.ndarray | None:
    """Return the corners (4, 2) of a photographed sheet, as shares of width and height.

    None for images without such a sheet, and for sheets whose opposite sides are parallel: these need no mapping.
    """
    small = image.convert("L")
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small)
    best = _find_sheet(grey, grey > _otsu(grey), CONTRAST, TAPER[0])
    edge = np.concatenate([grey[:EDGE].ravel(), grey[-EDGE:].ravel(), grey[:, :EDGE].ravel(), grey[:, -EDGE:].ravel()])
    if best[0] < SURE and np.median(edge) < DARKER * np.median(grey):  # perhaps a light desk, and uneven light
        even = _evenly_lit(grey)
        best = max(best, _find_sheet(even, _is_lightest(even), LIGHT_CONTRAST, LEAST_TAPER), key=lambda one: one[0])
    return best[1]


def _find_sheet(grey: np.ndarray, light: np.ndarray, contrast: float, taper: float) -> tuple[float, np.ndarray | None]:
    """Return how clearly a sheet is seen, from 0 to 1, and its corners as `find_sheet`; 0 and None without one.

    Args:
        grey: (H, W), the photograph.
        light: (H, W), which pixels may be paper.
        contrast: least grey levels between sheet and ground.
        taper: least degrees between opposite sides.
    """
    nothing = 0.0, None
    if not LEAST < light.mean() < 1 - EMPTY / 2:
        return nothing
    around = np.pad(light, 2 * GAPS)  # a dark strip at the edge of the image is ground
    whole = ~grow(~grow(around, GAPS), GAPS)[2 * GAPS : -2 * GAPS, 2 * GAPS : -2 * GAPS]
    if whole.all():
        return nothing
    sides = []
    for ends in (ends for mask in (whole.T, whole) for ends in _run_ends(mask)):
        if (side := _side(ends)) is None:
            return nothing
        sides.append(side)
    top, bottom, left, right = sides
    size = np.array([grey.shape[1], grey.shape[0]], float)
    corners = np.array([_meet(level, upright) for level, upright in
                        ((top, left), (top, right), (bottom, right), (bottom, left))])  # fmt: skip
    corners = corners.clip(0, size)
    inside = _inside(corners, grey.shape)
    if not inside.any() or inside.all() or inside.mean() < LEAST or not _is_tapered(corners, taper):
        return nothing
    filled, empty = float(whole[inside].mean()), float(light[~inside].mean())
    lighter = float(np.median(grey[inside])) - float(np.median(grey[~inside]))
    clear = filled >= FILLED and empty <= EMPTY and lighter >= contrast
    return (filled - empty, corners / size) if clear else nothing


def _evenly_lit(grey: np.ndarray) -> np.ndarray:
    """Return a photograph (H, W) without the light that falls off over it.

    Its logarithm is a parabola of the place, plus a step from the ground to the paper. Both are fitted in turns to the
    pixels that are neither ink nor another thing on the desk.
    """
    high, wide = grey.shape
    y, x = (side.ravel() for side in np.mgrid[-1 : 1 : high * 1j, -1 : 1 : wide * 1j])
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
    values, flat = np.log(np.maximum(grey, 8.0)).ravel(), grey
    for _ in range(FITS):
        fitted, used = np.c_[terms, _is_lightest(flat).ravel()][::EVERY], np.ones(len(values[::EVERY]), bool)
        for _ in range(2):
            weights = np.linalg.lstsq(fitted[used], values[::EVERY][used], rcond=None)[0]
            used = np.abs(values[::EVERY] - fitted @ weights) < INK
        even = values - terms @ weights[:-1]
        flat = (PAPER * np.exp(even - np.quantile(even, 0.95))).clip(0, 255).astype(np.uint8).reshape(grey.shape)
    return flat


def _is_lightest(grey: np.ndarray) -> np.ndarray:
    """Return which pixels are of the lighter of two classes, without those that are dark."""
    light = grey[grey > DARK * np.median(grey)]
    found: np.ndarray = grey > _otsu(light)
    return found


def _otsu(grey: np.ndarray) -> int:
    """Return the threshold between two classes of grey levels with the largest variance between them (Otsu, 1979)."""
    counts = np.bincount(grey.ravel(), minlength=256).astype(float)
    below, total = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (total[-1] * below / below[-1] - total) ** 2 / (below * above)
    return int(np.nan_to_num(between, posinf=0.0).argmax())


def _run_ends(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, 2) the first and the last place of the longest run of each row, each after the row's number."""
    firsts, lasts = [], []
    for row, values in enumerate(mask):
        ends = edges(values)
        if len(ends):
            starts, stops = ends[::2], ends[1::2]
            k = int((stops - starts).argmax())
            firsts.append((row + 0.5, float(starts[k])))
            lasts.append((row + 0.5, float(stops[k])))
    return np.array(firsts).reshape(-1, 2), np.array(lasts).reshape(-1, 2)


def _side(points: np.ndarray) -> tuple[float, float] | None:
    """Return slope and start of the line that most points (N, 2) lie on: place = slope * row + start."""
    if len(points) < PAIRS:
        return None
    some = points[np.linspace(0, len(points) - 1, PAIRS).round().astype(int)]
    one, other = np.triu_indices(len(some), 1)
    (r0, p0), (r1, p1) = some[one].T[..., None], some[other].T[..., None]
    near = np.abs(points[:, 1] - p0 - (p1 - p0) / (r1 - r0) * (points[:, 0] - r0)) < NEAR
    counts = near.sum(1)
    best = near[counts.argmax()]
    if counts.max() <= AGREE * len(points):
        return None
    slope, start = np.polyfit(points[best, 0], points[best, 1], 1)
    return float(slope), float(start)


def _meet(level: tuple[float, float], upright: tuple[float, float]) -> tuple[float, float]:
    """Return where y = a x + b meets x = c y + d."""
    (a, b), (c, d) = level, upright
    y = (a * d + b) / (1 - a * c)
    return c * y + d, y


def _inside(corners: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Mark the pixels inside a convex polygon."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.ones(shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside &= (x1 - x0) * (y - y0) >= (y1 - y0) * (x - x0)
    return inside


def _is_tapered(corners: np.ndarray, least: float) -> bool:
    """Return whether opposite sides are not parallel, and sides and corners are within the limits."""
    sides = np.roll(corners, -1, axis=0) - corners
    length = np.hypot(*sides.T)
    if length.min() < 1 or max(length[:2] / length[2:]) > TAPER[1] or max(length[2:] / length[:2]) > TAPER[1]:
        return False
    turn = np.degrees(np.arctan2(sides[:, 1], sides[:, 0]))
    corner = 180 - (np.roll(turn, -1) - turn) % 360
    apart = np.abs((turn[:2] - turn[2:]) % 360 - 180)
    return bool(ANGLES[0] <= corner.min() and corner.max() <= ANGLES[1] and apart.max() >= least)


def flat_size(sheet: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """Return width and height in px of a sheet mapped to a rectangle, from its longest sides."""
    corners = sheet * size
    length = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    return round(max(length[0], length[2])), round(max(length[1], length[3]))


def flatten(image: Image.Image, sheet: np.ndarray) -> Image.Image:
    """Return the sheet of a photograph as a rectangle; `sheet` as from `find_sheet`."""
    width, height = size = flat_size(sheet, image.size)
    matrix = homography(rectangle(size), sheet * image.size)
    return image.transform((width, height), Image.Transform.PERSPECTIVE, tuple(matrix.ravel()[:8]),
                           Image.Resampling.BICUBIC)  # fmt: skip


def unflatten(page: Page, sheet: np.ndarray, size: tuple[int, int]) -> None:
    """Map the boxes of a page from the flattened sheet to the photograph of `size`: the smallest box around each."""
    matrix = homography(rectangle(flat_size(sheet, size)), sheet * size)

    def move(box: Box) -> Box:
        x0, y0, x1, y1 = box
        moved = np.array([(x0, y0, 1), (x1, y0, 1), (x1, y1, 1), (x0, y1, 1)]) @ matrix.T
        points = (moved[:, :2] / moved[:, 2:]).clip(0, size)
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        return left, top, right, bottom

    page.map_boxes(move)
    page.width, page.height = size


def rectangle(size: tuple[int, int]) -> np.ndarray:
    """Return the corners (4, 2) of an image of `size`."""
    width, height = size
    return np.array([(0, 0), (width, 0), (width, height), (0, height)], float)


def homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the matrix (3, 3) of the projective map that takes four points to four points, its last entry 1."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)
