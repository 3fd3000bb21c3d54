"""Draw charts with matplotlib's Agg renderer and return the box of every text and mark.

Region labels of texts: title, source, legend, value (a printed number), x_title, x_tick, y_title, y_tick. "x" is the
axis of labels and "y" the axis of values, also if bars are horizontal. Region labels of marks: bar, point, slice; their
text is the value as in the answer. Boxes are pixels of the image, origin top-left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...io.box import Box, union
from ..sample import Region
from .canvas import Canvas
from .spec import Axis, ChartSpec
from .style import ChartStyle, text_size, wrap


@dataclass
class Drawing:
    """A drawn chart. image: (H, W, 3) uint8 RGB. plot: box of the area inside the axes; of a pie, of its disc."""

    image: np.ndarray
    regions: list[Region]
    plot: Box


@dataclass
class _Plot:
    """State of a drawing. left, top, right, bottom: the free area, which shrinks to the plot as texts are placed."""

    spec: ChartSpec
    style: ChartStyle
    canvas: Canvas
    left: float
    top: float
    right: float
    bottom: float
    regions: list[Region] = field(default_factory=list)

    def text(self, label: str, x: float, y: float, text: str, at: str, turn: float = 0) -> None:
        """Draw one text and record its region."""
        box = self.canvas.text(x, y, text, self.style.face.path, self.style.em, self.style.ink, at, turn)
        self.regions.append(Region(label, box, text))

    def mark(self, label: str, box: Box, text: str) -> None:
        self.regions.append(Region(label, box, text))

    def colour(self, k: int) -> str:
        return self.style.palette[k % len(self.style.palette)]

    def key(self, k: int) -> float:
        """Return the position of label k on the label axis, pixels."""
        share = (k + 0.5) / len(self.spec.labels)
        if self.style.horizontal:
            return self.top + share * (self.bottom - self.top)
        return self.left + share * (self.right - self.left)

    def height(self, axis: Axis, value: float) -> float:
        """Return the position of a value on the value axis, pixels."""
        if self.style.horizontal:
            return self.left + axis.place(value) * (self.right - self.left)
        return self.bottom - axis.place(value) * (self.bottom - self.top)

    def bar(self, k: int, offset: float, thick: float, low: float, high: float) -> Box:
        """Return the box of a bar at label k between two positions on the value axis."""
        begin = self.key(k) + offset
        if self.style.horizontal:
            return min(low, high), begin, max(low, high), begin + thick
        return begin, min(low, high), begin + thick, max(low, high)


def draw(spec: ChartSpec, style: ChartStyle) -> Drawing:
    """Draw a chart whose values are already rounded to what can be read (`spec.round_values`)."""
    pad = 0.7 * style.em
    canvas = Canvas(style.width, style.height, style.paper)
    plot = _Plot(spec, style, canvas, pad, pad, style.width - pad, style.height - pad)
    _title_and_source(plot)
    legend = spec.labels if spec.kind == "pie" else tuple(s.name for s in spec.series)
    if (spec.kind == "pie" and not style.names) or spec.names_shown:
        _legend(plot, legend)
    if spec.kind == "pie":
        _pie(plot)
    else:
        _axes(plot)
        _MARKS[spec.kind](plot)
    return Drawing(canvas.image(), plot.regions, (plot.left, plot.top, plot.right, plot.bottom))


def _title_and_source(plot: _Plot) -> None:
    spec, style = plot.spec, plot.style
    boxes = []
    for line in wrap(spec.title, style.title_face, style.title_em, plot.right - plot.left):
        x, at = (plot.left, "left top") if style.title_left else (style.width / 2, "middle top")
        ink = style.ink
        boxes.append(plot.canvas.text(x, plot.top, line, style.title_face.path, style.title_em, ink, at))
        plot.top += 1.3 * style.title_em
    if boxes:
        plot.mark("title", union(boxes), spec.title)
        plot.top += 0.4 * style.em
    if spec.source:
        em = 0.85 * style.em
        box = plot.canvas.text(plot.left, plot.bottom, source_line(spec), style.face.path, em, style.ink, "left bottom")
        plot.mark("source", box, spec.source)
        plot.bottom -= 1.4 * style.em


def source_line(spec: ChartSpec) -> str:
    """Return the line that names the source of the figures."""
    return f"数据来源：{spec.source}" if any(ord(ch) > 0x2FFF for ch in spec.source) else f"Source: {spec.source}"


def _legend(plot: _Plot, names: tuple[str, ...]) -> None:
    """Draw the legend: in rows above or below the plot, or in a column to its right."""
    style, em = plot.style, plot.style.em
    widths = [2.6 * em + text_size(name, style.face.path, em)[0] for name in names]
    if style.legend == "right":
        x, y = plot.right - max(widths), plot.top + em
        places = [(x, y + 1.5 * em * k) for k in range(len(names))]
        plot.right = x - em
    else:
        rows: list[list[int]] = [[]]
        for k, width in enumerate(widths):
            if rows[-1] and sum(widths[j] for j in rows[-1]) + width > plot.right - plot.left:
                rows.append([])
            rows[-1].append(k)
        high = 1.5 * em * len(rows)
        y = plot.top if style.legend == "top" else plot.bottom - high
        places = []
        for r, row in enumerate(rows):
            x = (plot.left + plot.right - sum(widths[j] for j in row)) / 2
            for k in row:
                places.append((x, y + 1.5 * em * r + 0.75 * em))
                x += widths[k]
        plot.top, plot.bottom = (plot.top + high, plot.bottom) if style.legend == "top" else (plot.top, y)
    for k, (x, y) in enumerate(places):
        lines = plot.spec.kind == "line" or (plot.spec.kind == "composite" and k == len(names) - 1)
        if lines:
            plot.canvas.line([(x, y), (x + 1.6 * em, y)], plot.colour(k), style.line_px, style.dashed and k > 0)
        else:
            plot.canvas.rect((x, y - 0.35 * em, x + 1.4 * em, y + 0.35 * em), plot.colour(k))
        plot.text("legend", x + 1.9 * em, y, names[k], "left middle")


def _axes(plot: _Plot) -> None:
    """Reserve room for ticks and titles, then draw panel, grid, ticks, labels and axis titles."""
    spec, style, em = plot.spec, plot.style, plot.style.em
    keys = style.x_axis.tick_texts() if style.x_axis else list(spec.labels)
    values = style.axes[0].tick_texts()
    below, beside = (values, keys) if style.horizontal else (keys, values)
    below_title, beside_title = (spec.y_title, spec.x_title) if style.horizontal else (spec.x_title, spec.y_title)
    widest = max(text_size(t, style.face.path, em)[0] for t in below)
    plot.left += (
        max(text_size(t, style.face.path, em)[0] for t in beside) + 0.7 * em + (1.5 * em if beside_title else 0)
    )
    turned = {0: em, 45: 0.71 * (widest + em), 90: widest}[style.turn]
    plot.bottom -= turned + 0.7 * em + (1.5 * em if below_title else 0)
    if len(style.axes) > 1:
        plot.right -= 0.7 * em + max(text_size(t, style.face.path, em)[0] for t in style.axes[1].tick_texts())
    elif not style.turn and (style.x_axis or style.horizontal):
        plot.right -= text_size(below[-1], style.face.path, em)[0] / 2
    plot.top += 0.5 * em
    box = (plot.left, plot.top, plot.right, plot.bottom)
    if style.panel != style.paper:
        plot.canvas.rect(box, style.panel)
    _ticks(plot, keys)
    edge = {"box": [0, 1, 2, 3], "corner": [0, 1], "none": []}[style.frame]
    x0, y0, x1, y1 = box
    for side in edge:
        ends = [((x0, y0), (x0, y1)), ((x0, y1), (x1, y1)), ((x1, y0), (x1, y1)), ((x0, y0), (x1, y0))][side]
        plot.canvas.line(list(ends), style.ink, 1)
    if below_title:
        y = plot.bottom + turned + 1.1 * em
        plot.text("y_title" if style.horizontal else "x_title", (x0 + x1) / 2, y, below_title, "middle top")
    if beside_title:
        label = "x_title" if style.horizontal else "y_title"
        plot.text(label, 0.7 * em, (y0 + y1) / 2, beside_title, "middle top", 90)


def _ticks(plot: _Plot, keys: list[str]) -> None:
    """Draw grid lines, tick marks and tick labels of all axes."""
    style, em = plot.style, plot.style.em
    if style.x_axis:
        at = [plot.left + style.x_axis.place(t) * (plot.right - plot.left) for t in style.x_axis.ticks()]
    else:
        at = [plot.key(k) for k in range(len(keys))]
    heights = [plot.height(style.axes[0], t) for t in style.axes[0].ticks()]
    for which, places in (("x_tick", at), ("y_tick", heights)):
        upright = (which == "y_tick") == style.horizontal  # places are x coordinates
        texts = keys if which == "x_tick" else style.axes[0].tick_texts()
        for place, text in zip(places, texts, strict=True):
            if style.grid == "both" or (style.grid == "value" and which == "y_tick"):
                ends = (
                    [(place, plot.top), (place, plot.bottom)] if upright else [(plot.left, place), (plot.right, place)]
                )
                plot.canvas.line(ends, _GRID[style.panel == style.paper], 0.8, style.dashed)
            if upright:
                if style.frame != "none":
                    plot.canvas.line([(place, plot.bottom), (place, plot.bottom + 0.3 * em)], style.ink, 1)
                where = {0: "middle top", 45: "right top", 90: "right middle"}[style.turn]
                plot.text(which, place, plot.bottom + 0.5 * em, text, where, style.turn)
            else:
                if style.frame != "none":
                    plot.canvas.line([(plot.left - 0.3 * em, place), (plot.left, place)], style.ink, 1)
                plot.text(which, plot.left - 0.5 * em, place, text, "right middle")
    if len(style.axes) > 1:
        for value, text in zip(style.axes[1].ticks(), style.axes[1].tick_texts(), strict=True):
            plot.text("y_tick", plot.right + 0.5 * em, plot.height(style.axes[1], value), text, "left middle")


_GRID = {True: "#cfcfcf", False: "#ffffff"}


def _bars(plot: _Plot) -> None:
    """Draw bars next to each other."""
    spec, style = plot.spec, plot.style
    series = spec.series[:-1] if spec.kind == "composite" else spec.series
    slot = abs(plot.key(1) - plot.key(0)) if len(spec.labels) > 1 else plot.right - plot.left
    thick = slot * style.bar_share / len(series)
    axis = style.axes[0]
    foot = plot.height(axis, axis.low if axis.log else 0.0)
    for s, one in enumerate(series):
        for k, (value, text) in enumerate(zip(one.values, one.texts, strict=True)):
            box = plot.bar(k, (s - len(series) / 2) * thick, thick, foot, plot.height(axis, value))
            colour = plot.colour(k if style.multicoloured and not spec.names_shown else s)
            plot.mark("bar", plot.canvas.rect(box, colour), text)
            if style.printed:
                _print_beside(plot, box, text, value < 0)


def _print_beside(plot: _Plot, box: Box, text: str, under: bool) -> None:
    """Print a number at the end of a bar."""
    x0, y0, x1, y1 = box
    gap = 0.3 * plot.style.em
    if plot.style.horizontal:
        plot.text(
            "value", x0 - gap if under else x1 + gap, (y0 + y1) / 2, text, f"{'right' if under else 'left'} middle"
        )
    else:
        plot.text("value", (x0 + x1) / 2, y1 + gap if under else y0 - gap, text, f"middle {'top' if under else 'base'}")


def _stacks(plot: _Plot) -> None:
    """Draw stacked bars, with printed numbers inside the bars."""
    spec, style, axis = plot.spec, plot.style, plot.style.axes[0]
    slot = abs(plot.key(1) - plot.key(0)) if len(spec.labels) > 1 else plot.right - plot.left
    thick = slot * style.bar_share
    sums = np.zeros(len(spec.labels))
    for s, one in enumerate(spec.series):
        for k, (value, text) in enumerate(zip(one.values, one.texts, strict=True)):
            ends = plot.height(axis, sums[k]), plot.height(axis, sums[k] + value)
            box = plot.canvas.rect(plot.bar(k, -thick / 2, thick, *ends), plot.colour(s))
            plot.mark("bar", box, text)
            if style.printed:
                x, y, em = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, style.em
                ink = contrast(plot.colour(s))
                inside = plot.canvas.text(x, y, text, style.face.path, em, ink, "middle middle")
                plot.mark("value", inside, text)
        sums += one.values


def contrast(colour: str) -> str:
    """Return black or white, whichever is easier to read on a colour."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else "#ffffff"


def _lines(plot: _Plot) -> None:
    """Draw lines through points; in a composite chart only for the last series."""
    spec, style = plot.spec, plot.style
    axes = style.axis_of(spec)
    for s, one in enumerate(spec.series):
        if spec.kind == "composite" and s < len(spec.series) - 1:
            continue
        points = [(plot.key(k), plot.height(axes[s], v)) for k, v in enumerate(one.values)]
        plot.canvas.line(points, plot.colour(s), style.line_px, style.dashed and s > 0)
        for (x, y), text in zip(points, one.texts, strict=True):
            if style.marker:
                box = plot.canvas.marker(x, y, style.marker, 1.5 * style.line_px + 0.25 * style.em, plot.colour(s))
            else:
                box = (x - style.line_px, y - style.line_px, x + style.line_px, y + style.line_px)
            plot.mark("point", box, text)
            if style.printed and spec.kind == "line":
                plot.text("value", x, y - 0.5 * style.em, text, "middle base")


def _areas(plot: _Plot) -> None:
    """Draw stacked areas. A point region is where the upper edge of an area passes a label."""
    spec, axis = plot.spec, plot.style.axes[0]
    sums = np.zeros(len(spec.labels))
    for s, one in enumerate(spec.series):
        lower = [(plot.key(k), plot.height(axis, v)) for k, v in enumerate(sums)]
        sums = sums + one.values
        upper = [(plot.key(k), plot.height(axis, v)) for k, v in enumerate(sums)]
        plot.canvas.polygon(upper + lower[::-1], plot.colour(s), alpha=1.0 if spec.names_shown else 0.75)
        plot.canvas.line(upper, plot.colour(s), 1.5)
        for (x, y), text in zip(upper, one.texts, strict=True):
            plot.mark("point", (x - 2, y - 1.5, x + 2, y + 2.5), text)


def _points(plot: _Plot) -> None:
    """Draw the markers of a scatter chart. The text of a point is `(x, y)`."""
    style = plot.style
    assert style.x_axis is not None
    for s, one in enumerate(plot.spec.series):
        for k, (x, y) in enumerate(zip(one.at, one.values, strict=True)):
            px = plot.left + style.x_axis.place(x) * (plot.right - plot.left)
            shape = style.marker or "o"
            box = plot.canvas.marker(px, plot.height(style.axes[0], y), shape, 0.55 * style.em, plot.colour(s))
            plot.mark("point", box, f"({one.at_texts[k]}, {one.texts[k]})")


def _composite(plot: _Plot) -> None:
    _bars(plot)
    _lines(plot)


_MARKS = {"bar": _bars, "stacked": _stacks, "line": _lines, "area": _areas, "scatter": _points, "composite": _composite}


def _pie(plot: _Plot) -> None:
    """Draw the slices of a pie clockwise from the top.

    Numbers are inside the slices if they fit, else around the pie. Names are around the pie or in the legend.
    """
    spec, style, em = plot.spec, plot.style, plot.style.em
    one = spec.series[0]
    room = 1.5 * em + (max(text_size(t, style.face.path, em)[0] for t in spec.labels) + em if style.names else 3 * em)
    middle = (plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2
    radius = min((plot.right - plot.left) / 2 - room, (plot.bottom - plot.top) / 2 - 2.2 * em)
    radius = max(radius, 3 * em)
    hole = 0.5 * radius if style.donut else 0.0
    ends = np.cumsum((0.0, *one.values)) / sum(one.values)
    widest = max(text_size(t, style.face.path, em)[0] for t in one.texts)
    reach = 0.75 if style.donut else 0.65
    inside = 6.28 * reach * radius * min(np.diff(ends)) > widest and radius - hole > 1.2 * widest
    for k, text in enumerate(one.texts):
        box = plot.canvas.wedge(middle, (hole, radius), (ends[k], ends[k + 1]), plot.colour(k), style.paper)
        plot.mark("slice", box, text)
    for k, (label, text) in enumerate(zip(spec.labels, one.texts, strict=True)):
        turn = np.pi * (ends[k] + ends[k + 1])
        sin, cos = float(np.sin(turn)), float(np.cos(turn))
        side = "middle" if abs(sin) < 0.15 else "left" if sin > 0 else "right"
        x, y = middle[0] + (radius + 0.6 * em) * sin, middle[1] - (radius + 0.8 * em) * cos
        if style.names:
            plot.text("legend", x, y, label, f"{side} middle")
            y += 1.15 * em if cos < 0.3 else -1.15 * em
        if inside:
            at = middle[0] + reach * radius * sin, middle[1] - reach * radius * cos
            ink = contrast(plot.colour(k))
            plot.mark("value", plot.canvas.text(*at, text, style.face.path, em, ink, "middle middle"), text)
        else:
            plot.text("value", x, y, text, f"{side} middle")
    plot.left, plot.right = middle[0] - radius, middle[0] + radius
    plot.top, plot.bottom = middle[1] - radius, middle[1] + radius
