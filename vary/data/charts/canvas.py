"""Draw lines, shapes and text with matplotlib's Agg renderer, in pixels with the origin at the top left.

A `Figure` with `Axes` takes three times as long (docs/data.md has the numbers). Most of that time goes into layout
of ticks and text, which `style.fit` has already fixed. There is no pyplot and no global state.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from ...io.box import Box
from .style import font, text_size

ASCENT, DESCENT = 0.74, 0.22  # of an em; text is centred by these, not by its ink, so "a" and "g" share a baseline


class Canvas:
    """An RGB image to draw on. Sizes are pixels, colours `#rrggbb`. Drawing methods return the box of their ink."""

    def __init__(self, width: int, height: int, paper: str):
        self.width, self.height = width, height
        self._agg = RendererAgg(width, height, 72)  # 72 dpi: a point is a pixel
        self._flip = Affine2D().scale(1, -1).translate(0, height)
        self.polygon([(0, 0), (width, 0), (width, height), (0, height)], paper)

    def image(self) -> np.ndarray:
        """Return the pixels, (H, W, 3) uint8 RGB."""
        return np.asarray(cv2.cvtColor(np.asarray(self._agg.buffer_rgba()), cv2.COLOR_RGBA2RGB))

    def line(self, points: list[tuple[float, float]], colour: str, px: float, dashed: bool = False) -> Box:
        """Draw an open line. Horizontal and vertical lines are snapped to whole pixels."""
        gc = self._agg.new_gc()
        gc.set_foreground(to_rgb(colour), isRGBA=True)
        gc.set_linewidth(px)
        gc.set_joinstyle("round")
        if dashed:
            gc.set_dashes(0, [4 * px, 3 * px])
        self._agg.draw_path(gc, Path(points), self._flip, None)
        return around(points, px / 2)

    def polygon(self, points: list[tuple[float, float]], fill: str, edge: str = "", alpha: float = 1.0) -> Box:
        """Draw a filled polygon. edge: colour of its outline of one pixel, "" for none."""
        gc = self._agg.new_gc()
        gc.set_linewidth(1.0 if edge else 0.0)
        gc.set_foreground(to_rgb(edge or fill), isRGBA=True)
        gc.set_alpha(alpha)
        self._agg.draw_path(gc, Path([*points, points[0]], closed=True), self._flip, to_rgb(fill))
        return around(points, 0.5 if edge else 0.0)

    def rect(self, box: Box, fill: str, edge: str = "", alpha: float = 1.0) -> Box:
        """Draw a filled rectangle. The corners of the box may be in any order."""
        x0, y0, x1, y1 = box
        return self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, edge, alpha=alpha)

    def wedge(
        self, middle: tuple[float, float], radii: tuple[float, float], turns: tuple[float, float], fill: str, edge: str
    ) -> Box:
        """Draw a sector of a disc or ring.

        Args:
            middle: centre, pixels.
            radii: inner and outer radius, pixels.
            turns: begin and end in full turns, clockwise from the top.
            fill: colour of the sector.
            edge: colour of its outline.
        """
        angles = 2 * math.pi * np.linspace(*turns, max(3, int(200 * abs(turns[1] - turns[0]))))
        rim = [(middle[0] + radii[1] * math.sin(a), middle[1] - radii[1] * math.cos(a)) for a in angles]
        hub = [(middle[0] + radii[0] * math.sin(a), middle[1] - radii[0] * math.cos(a)) for a in angles[::-1]]
        return self.polygon(rim + (hub if radii[0] else [middle]), fill, edge)

    def marker(self, x: float, y: float, shape: str, px: float, fill: str, edge: str = "") -> Box:
        """Draw a marker `px` pixels wide. shape: "o" circle, "s" square, "^" triangle or "D" diamond."""
        r = px / 2
        corners = {"s": (45, 4, 1.2), "^": (90, 3, 1.25), "D": (0, 4, 1.25)}.get(shape, (0, 20, 1.0))
        start, count, grow = corners
        angles = [math.radians(start + 360 * k / count) for k in range(count)]
        return self.polygon([(x + grow * r * math.cos(a), y - grow * r * math.sin(a)) for a in angles], fill, edge)

    def text(
        self, x: float, y: float, text: str, path: str, em: float, ink: str, at: str = "left base", turn: float = 0
    ) -> Box:
        """Draw one line of text anchored at (x, y).

        Args:
            x: anchor, pixels.
            y: anchor, pixels.
            text: the text.
            path: font file.
            em: type size, pixels.
            ink: colour.
            at: which point of the text is the anchor: left, middle or right, then top, middle, base or bottom.
            turn: rotation about the anchor, degrees anticlockwise.
        """
        width, high, low = text_size(text, path, em)
        across, along = at.split()
        dx = {"left": 0.0, "middle": width / 2, "right": width}[across]
        dy = em * {"top": -ASCENT, "middle": (DESCENT - ASCENT) / 2 + 0.05, "base": 0.0, "bottom": DESCENT}[along]
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        px, py = x - dx * cos - dy * sin, y + dx * sin - dy * cos
        gc = self._agg.new_gc()
        gc.set_foreground(to_rgb(ink), isRGBA=True)
        self._agg.draw_text(gc, px, py, text, font(path, em), turn)
        corners = [(0.0, low - high), (width, low - high), (width, low), (0.0, low)]
        return around([(px + a * cos + b * sin, py - a * sin + b * cos) for a, b in corners], 0.0)


def around(points: list[tuple[float, float]], margin: float) -> Box:
    """Return the bounding box of points, enlarged by `margin` on all sides."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin
