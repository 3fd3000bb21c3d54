"""Pictures of SVG text, and where its elements lie: for chart engines that write SVG.

Only what chart engines write is read: groups, `path`, `line`, `rect`, `circle` and `text` with transform attributes.
Boxes are pixels of the picture, origin top-left. Text is measured with the font file that it is drawn with.
"""

from __future__ import annotations

import functools
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...io.errors import InputError, MissingExtra
from .canvas import ASCENT, Box, around
from .style import text_size

_TOKEN = re.compile(r"[a-zA-Z]|-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?")
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "A": 7, "C": 6, "Q": 4, "Z": 0}


@dataclass(frozen=True)
class Element:
    """One drawn element. groups: attributes of the groups around it, outermost first, and its own. matrix: (2, 3)."""

    tag: str
    text: str
    groups: tuple[dict[str, str], ...]
    matrix: np.ndarray

    @property
    def own(self) -> dict[str, str]:
        """Its own attributes."""
        return self.groups[-1]

    def classes(self) -> str:
        """All classes of it and of its groups."""
        return " ".join(g["class"] for g in self.groups if "class" in g)

    def box(self) -> Box:
        """Around its outline; of a text use `text_box`."""
        points = [self.at(x, y) for x, y in outline(self.own.get("d", ""))]
        return around(points or [self.at(0, 0)], 0.0)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A point of the element's own frame in pixels of the picture."""
        x, y = self.matrix @ (x, y, 1.0)
        return float(x), float(y)

    def text_box(self, path: str) -> Box:
        """Box of a text set in the font file at `path`; an SVG text stands on its baseline unless it says otherwise."""
        style = dict(re.findall(r"([\w-]+):\s*([^;]+)", self.own.get("style", ""))) | self.own
        em = float(re.sub(r"px$", "", style.get("font-size", "10px")))
        width, high, low = text_size(self.text, path, em)
        x = {"middle": -width / 2, "end": -width}.get(style.get("text-anchor", ""), 0.0)
        y = {"central": ASCENT / 2 * em, "hanging": ASCENT * em}.get(style.get("dominant-baseline", ""), 0.0)
        x, y = x + float(style.get("x", 0)), y + float(style.get("y", 0))
        corners = [(x, y + low - high), (x + width, y + low - high), (x + width, y + low), (x, y + low)]
        return around([self.at(*c) for c in corners], 0.0)


def picture(svg: str, font_folders: tuple[str, ...]) -> np.ndarray:
    """(H, W, 3) uint8 RGB at one pixel per unit. Fonts are those below the folders and those of the machine."""
    register(font_folders)
    png = np.frombuffer(converter().svg_to_png(svg, scale=1), np.uint8)
    image = cv2.imdecode(png, cv2.IMREAD_COLOR)
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1])


@functools.cache
def converter() -> Any:
    """The module vl_convert. Raises ValueError when it is not installed."""
    try:
        import vl_convert
    except ImportError:
        raise MissingExtra("drawing charts by Vega or ECharts", "vl-convert-python", "render") from None
    return vl_convert


@functools.cache
def register(folders: tuple[str, ...]) -> None:
    """Let Vega find the fonts of these folders."""
    for folder in folders:
        converter().register_font_directory(folder)


def font_folders(*paths: str) -> tuple[str, ...]:
    """The folders that hold font files."""
    return tuple(sorted({str(Path(p).parent) for p in paths}))


def elements(svg: str) -> list[Element]:
    """All drawn elements in drawing order."""
    return list(_walk(ET.fromstring(svg), (), np.eye(2, 3)))


def _walk(node: ET.Element, groups: tuple[dict[str, str], ...], matrix: np.ndarray) -> Iterator[Element]:
    matrix = _then(matrix, node.get("transform", ""))
    groups = (*groups, dict(node.attrib))
    tag = node.tag.rsplit("}", 1)[-1]
    if tag in ("defs", "style", "clipPath"):
        return
    if tag in ("path", "text"):
        yield Element(tag, "".join(node.itertext()), groups, matrix)
        return
    for child in node:
        yield from _walk(child, groups, matrix)


def _then(matrix: np.ndarray, transform: str) -> np.ndarray:
    """A matrix followed, from the inside, by the operations of a transform attribute."""
    for name, arguments in re.findall(r"(\w+)\(([^)]*)\)", transform):
        v = [float(x) for x in re.split(r"[\s,]+", arguments.strip())]
        step = np.eye(3)
        if name == "translate":
            step[:2, 2] = v[0], v[1] if len(v) > 1 else 0.0
        elif name == "scale":
            step[0, 0], step[1, 1] = v[0], v[-1]
        elif name == "rotate":
            turn = math.radians(v[0])
            step[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        elif name == "matrix":
            step[:2] = np.array(v).reshape(3, 2).T
        else:
            raise InputError(f"an SVG transform {name!r} is not read; only translate, scale, rotate and matrix")
        matrix = matrix @ step
    return matrix


def outline(d: str) -> list[tuple[float, float]]:
    """Points whose box is the box of a path: corners, points along arcs, control points of curves."""
    tokens = _TOKEN.findall(d)
    points: list[tuple[float, float]] = []
    x = y = start_x = start_y = 0.0
    command, k = "M", 0
    while k < len(tokens):
        if tokens[k].isalpha():
            command, k = tokens[k], k + 1
        count = _ARGUMENTS[command.upper()]
        v = [float(t) for t in tokens[k : k + count]]
        k += count
        dx, dy = (x, y) if command.islower() else (0.0, 0.0)
        kind = command.upper()
        if kind == "Z":
            x, y = start_x, start_y
            continue
        before = x, y
        if kind == "H":
            x = v[0] + dx
        elif kind == "V":
            y = v[0] + dy
        else:
            x, y = v[-2] + dx, v[-1] + dy
        if kind == "M":
            start_x, start_y = x, y
            command = "l" if command == "m" else "L"
        elif kind == "A":
            points += _arc(before, (x, y), v[0], v[3] > 0, v[4] > 0)
        elif kind in "CQ":
            points += [(v[j] + dx, v[j + 1] + dy) for j in range(0, count - 2, 2)]
        points.append((x, y))
    return points


def _arc(
    a: tuple[float, float], b: tuple[float, float], radius: float, large: bool, clockwise: bool
) -> list[tuple[float, float]]:
    """Points along an arc of a circle, as SVG names it by its ends."""
    chord = math.dist(a, b)
    if not radius or not chord:
        return []
    radius = max(radius, chord / 2)
    away = math.sqrt(max(0.0, radius**2 - chord**2 / 4)) * (1 if large == clockwise else -1)
    nx, ny = (b[1] - a[1]) / chord, -(b[0] - a[0]) / chord
    cx, cy = (a[0] + b[0]) / 2 + away * nx, (a[1] + b[1]) / 2 + away * ny
    begin, end = math.atan2(a[1] - cy, a[0] - cx), math.atan2(b[1] - cy, b[0] - cx)
    sweep = (end - begin) % (2 * math.pi) if clockwise else -((begin - end) % (2 * math.pi))
    return [(cx + radius * math.cos(begin + sweep * f), cy + radius * math.sin(begin + sweep * f))
            for f in np.linspace(0, 1, 33)]  # fmt: skip
