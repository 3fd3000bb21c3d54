"""Charts drawn by matplotlib's Agg, with the box of every text and mark.

Region labels: title, x_title, y_title, source, legend, x_tick, y_tick (of the keys' and of the values' axis, whichever
way the chart lies), value (a printed number) and the marks: bar, point, slice. A mark's text is its value as the answer
writes it. Boxes are pixels of the image, origin top-left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..sample import Region
from .canvas import Box, Canvas, join
from .spec import Axis, ChartFacts
from .style import Look, text_size, wrap


@dataclass
class Drawing:
    """A chart as pixels. image: (H, W, 3) uint8 RGB. plot: box of the axes (of a pie: of its disc)."""

    image: np.ndarray
    regions: list[Region]
    plot: Box


@dataclass
class _Plot:
    """A chart while it is drawn: what is left of the picture shrinks to the plot."""

    facts: ChartFacts
    look: Look
    canvas: Canvas
    left: float
    top: float
    right: float
    bottom: float
    regions: list[Region] = field(default_factory=list)

    def text(self, label: str, x: float, y: float, text: str, at: str, turn: float = 0) -> None:
        """Write and note one text."""
        box = self.canvas.text(x, y, text, self.look.face.path, self.look.em, self.look.ink, at, turn)
        self.regions.append(Region(label, box, text))

    def mark(self, label: str, box: Box, text: str) -> None:
        self.regions.append(Region(label, box, text))

    def colour(self, k: int) -> str:
        return self.look.palette[k % len(self.look.palette)]

    def key(self, k: int) -> float:
        """Middle of label k on the keys' axis, px."""
        share = (k + 0.5) / len(self.facts.labels)
        if self.look.horizontal:
            return self.top + share * (self.bottom - self.top)
        return self.left + share * (self.right - self.left)

    def height(self, axis: Axis, value: float) -> float:
        """Where a value stands on the values' axis, px."""
        if self.look.horizontal:
            return self.left + axis.place(value) * (self.right - self.left)
        return self.bottom - axis.place(value) * (self.bottom - self.top)

    def bar(self, k: int, offset: float, thick: float, low: float, high: float) -> Box:
        """Box of a bar over label k between two places of the values' axis."""
        begin = self.key(k) + offset
        if self.look.horizontal:
            return min(low, high), begin, max(low, high), begin + thick
        return begin, min(low, high), begin + thick, max(low, high)


def draw(facts: ChartFacts, look: Look) -> Drawing:
    """Draw facts whose values are written (see `facts.written`)."""
    pad = 0.7 * look.em
    canvas = Canvas(look.width, look.height, look.paper)
    plot = _Plot(facts, look, canvas, pad, pad, look.width - pad, look.height - pad)
    _title_and_source(plot)
    legend = facts.labels if facts.kind == "pie" else tuple(s.name for s in facts.series)
    if (facts.kind == "pie" and not look.names) or facts.names_shown:
        _legend(plot, legend)
    if facts.kind == "pie":
        _pie(plot)
    else:
        _axes(plot)
        _MARKS[facts.kind](plot)
    return Drawing(canvas.image(), plot.regions, (plot.left, plot.top, plot.right, plot.bottom))


def _title_and_source(plot: _Plot) -> None:
    facts, look = plot.facts, plot.look
    boxes = []
    for line in wrap(facts.title, look.title_face, look.title_em, plot.right - plot.left):
        x, at = (plot.left, "left top") if look.title_left else (look.width / 2, "middle top")
        ink = look.ink
        boxes.append(plot.canvas.text(x, plot.top, line, look.title_face.path, look.title_em, ink, at))
        plot.top += 1.3 * look.title_em
    if boxes:
        plot.mark("title", join(boxes), facts.title)
        plot.top += 0.4 * look.em
    if facts.source:
        em = 0.85 * look.em
        box = plot.canvas.text(plot.left, plot.bottom, source_line(facts), look.face.path, em, look.ink, "left bottom")
        plot.mark("source", box, facts.source)
        plot.bottom -= 1.4 * look.em


def source_line(facts: ChartFacts) -> str:
    """How a chart names its source."""
    return f"数据来源：{facts.source}" if any(ord(ch) > 0x2FFF for ch in facts.source) else f"Source: {facts.source}"


def _legend(plot: _Plot, names: tuple[str, ...]) -> None:
    """Coloured keys and names in rows above or below the plot, or in a column at its right."""
    look, em = plot.look, plot.look.em
    widths = [2.6 * em + text_size(name, look.face.path, em)[0] for name in names]
    if look.legend == "right":
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
        y = plot.top if look.legend == "top" else plot.bottom - high
        places = []
        for r, row in enumerate(rows):
            x = (plot.left + plot.right - sum(widths[j] for j in row)) / 2
            for k in row:
                places.append((x, y + 1.5 * em * r + 0.75 * em))
                x += widths[k]
        plot.top, plot.bottom = (plot.top + high, plot.bottom) if look.legend == "top" else (plot.top, y)
    for k, (x, y) in enumerate(places):
        lines = plot.facts.kind == "line" or (plot.facts.kind == "composite" and k == len(names) - 1)
        if lines:
            plot.canvas.line([(x, y), (x + 1.6 * em, y)], plot.colour(k), look.line_px, look.dashed and k > 0)
        else:
            plot.canvas.rect((x, y - 0.35 * em, x + 1.4 * em, y + 0.35 * em), plot.colour(k))
        plot.text("legend", x + 1.9 * em, y, names[k], "left middle")


def _axes(plot: _Plot) -> None:
    """Reserve room for what stands around the plot, then draw panel, grid, ticks, labels and axis titles."""
    facts, look, em = plot.facts, plot.look, plot.look.em
    keys = look.x_axis.tick_texts() if look.x_axis else list(facts.labels)
    values = look.axes[0].tick_texts()
    below, beside = (values, keys) if look.horizontal else (keys, values)
    below_title, beside_title = (facts.y_title, facts.x_title) if look.horizontal else (facts.x_title, facts.y_title)
    widest = max(text_size(t, look.face.path, em)[0] for t in below)
    plot.left += max(text_size(t, look.face.path, em)[0] for t in beside) + 0.7 * em + (1.5 * em if beside_title else 0)
    turned = {0: em, 45: 0.71 * (widest + em), 90: widest}[look.turn]
    plot.bottom -= turned + 0.7 * em + (1.5 * em if below_title else 0)
    if len(look.axes) > 1:
        plot.right -= 0.7 * em + max(text_size(t, look.face.path, em)[0] for t in look.axes[1].tick_texts())
    elif not look.turn and (look.x_axis or look.horizontal):
        plot.right -= text_size(below[-1], look.face.path, em)[0] / 2
    plot.top += 0.5 * em
    box = (plot.left, plot.top, plot.right, plot.bottom)
    if look.panel != look.paper:
        plot.canvas.rect(box, look.panel)
    _ticks(plot, keys)
    edge = {"box": [0, 1, 2, 3], "corner": [0, 1], "none": []}[look.frame]
    x0, y0, x1, y1 = box
    for side in edge:
        ends = [((x0, y0), (x0, y1)), ((x0, y1), (x1, y1)), ((x1, y0), (x1, y1)), ((x0, y0), (x1, y0))][side]
        plot.canvas.line(list(ends), look.ink, 1)
    if below_title:
        y = plot.bottom + turned + 1.1 * em
        plot.text("y_title" if look.horizontal else "x_title", (x0 + x1) / 2, y, below_title, "middle top")
    if beside_title:
        label = "x_title" if look.horizontal else "y_title"
        plot.text(label, 0.7 * em, (y0 + y1) / 2, beside_title, "middle top", 90)


def _ticks(plot: _Plot, keys: list[str]) -> None:
    """Grid lines, tick marks and tick labels of all axes."""
    look, em = plot.look, plot.look.em
    if look.x_axis:
        at = [plot.left + look.x_axis.place(t) * (plot.right - plot.left) for t in look.x_axis.ticks()]
    else:
        at = [plot.key(k) for k in range(len(keys))]
    heights = [plot.height(look.axes[0], t) for t in look.axes[0].ticks()]
    for which, places in (("x_tick", at), ("y_tick", heights)):
        upright = (which == "y_tick") == look.horizontal  # places are x coordinates
        texts = keys if which == "x_tick" else look.axes[0].tick_texts()
        for place, text in zip(places, texts, strict=True):
            if look.grid == "both" or (look.grid == "value" and which == "y_tick"):
                ends = (
                    [(place, plot.top), (place, plot.bottom)] if upright else [(plot.left, place), (plot.right, place)]
                )
                plot.canvas.line(ends, _GRID[look.panel == look.paper], 0.8, look.dashed)
            if upright:
                if look.frame != "none":
                    plot.canvas.line([(place, plot.bottom), (place, plot.bottom + 0.3 * em)], look.ink, 1)
                where = {0: "middle top", 45: "right top", 90: "right middle"}[look.turn]
                plot.text(which, place, plot.bottom + 0.5 * em, text, where, look.turn)
            else:
                if look.frame != "none":
                    plot.canvas.line([(plot.left - 0.3 * em, place), (plot.left, place)], look.ink, 1)
                plot.text(which, plot.left - 0.5 * em, place, text, "right middle")
    if len(look.axes) > 1:
        for value, text in zip(look.axes[1].ticks(), look.axes[1].tick_texts(), strict=True):
            plot.text("y_tick", plot.right + 0.5 * em, plot.height(look.axes[1], value), text, "left middle")


_GRID = {True: "#cfcfcf", False: "#ffffff"}


def _bars(plot: _Plot) -> None:
    """Bars side by side."""
    facts, look = plot.facts, plot.look
    series = facts.series[:-1] if facts.kind == "composite" else facts.series
    slot = abs(plot.key(1) - plot.key(0)) if len(facts.labels) > 1 else plot.right - plot.left
    thick = slot * look.bar_share / len(series)
    axis = look.axes[0]
    foot = plot.height(axis, axis.low if axis.log else 0.0)
    for s, one in enumerate(series):
        for k, (value, text) in enumerate(zip(one.values, one.texts, strict=True)):
            box = plot.bar(k, (s - len(series) / 2) * thick, thick, foot, plot.height(axis, value))
            colour = plot.colour(k if look.motley and not facts.names_shown else s)
            plot.mark("bar", plot.canvas.rect(box, colour), text)
            if look.printed:
                _print_beside(plot, box, text, value < 0)


def _print_beside(plot: _Plot, box: Box, text: str, under: bool) -> None:
    """A number at the end of a bar."""
    x0, y0, x1, y1 = box
    gap = 0.3 * plot.look.em
    if plot.look.horizontal:
        plot.text(
            "value", x0 - gap if under else x1 + gap, (y0 + y1) / 2, text, f"{'right' if under else 'left'} middle"
        )
    else:
        plot.text("value", (x0 + x1) / 2, y1 + gap if under else y0 - gap, text, f"middle {'top' if under else 'base'}")


def _stacks(plot: _Plot) -> None:
    """Bars on one another; a printed number stands in its bar."""
    facts, look, axis = plot.facts, plot.look, plot.look.axes[0]
    slot = abs(plot.key(1) - plot.key(0)) if len(facts.labels) > 1 else plot.right - plot.left
    thick = slot * look.bar_share
    sums = np.zeros(len(facts.labels))
    for s, one in enumerate(facts.series):
        for k, (value, text) in enumerate(zip(one.values, one.texts, strict=True)):
            ends = plot.height(axis, sums[k]), plot.height(axis, sums[k] + value)
            box = plot.canvas.rect(plot.bar(k, -thick / 2, thick, *ends), plot.colour(s))
            plot.mark("bar", box, text)
            if look.printed:
                x, y, em = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, look.em
                ink = contrast(plot.colour(s))
                inside = plot.canvas.text(x, y, text, look.face.path, em, ink, "middle middle")
                plot.mark("value", inside, text)
        sums += one.values


def contrast(colour: str) -> str:
    """Black or white, whichever can be read on a colour."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else "#ffffff"


def _lines(plot: _Plot) -> None:
    """Lines through points; of a composite chart only the last series."""
    facts, look = plot.facts, plot.look
    axes = look.axis_of(facts)
    for s, one in enumerate(facts.series):
        if facts.kind == "composite" and s < len(facts.series) - 1:
            continue
        points = [(plot.key(k), plot.height(axes[s], v)) for k, v in enumerate(one.values)]
        plot.canvas.line(points, plot.colour(s), look.line_px, look.dashed and s > 0)
        for (x, y), text in zip(points, one.texts, strict=True):
            if look.marker:
                box = plot.canvas.marker(x, y, look.marker, 1.5 * look.line_px + 0.25 * look.em, plot.colour(s))
            else:
                box = (x - look.line_px, y - look.line_px, x + look.line_px, y + look.line_px)
            plot.mark("point", box, text)
            if look.printed and facts.kind == "line":
                plot.text("value", x, y - 0.5 * look.em, text, "middle base")


def _areas(plot: _Plot) -> None:
    """Areas on one another; a point is where an area's upper edge passes a label."""
    facts, axis = plot.facts, plot.look.axes[0]
    sums = np.zeros(len(facts.labels))
    for s, one in enumerate(facts.series):
        lower = [(plot.key(k), plot.height(axis, v)) for k, v in enumerate(sums)]
        sums = sums + one.values
        upper = [(plot.key(k), plot.height(axis, v)) for k, v in enumerate(sums)]
        plot.canvas.polygon(upper + lower[::-1], plot.colour(s), alpha=1.0 if facts.names_shown else 0.75)
        plot.canvas.line(upper, plot.colour(s), 1.5)
        for (x, y), text in zip(upper, one.texts, strict=True):
            plot.mark("point", (x - 2, y - 1.5, x + 2, y + 2.5), text)


def _points(plot: _Plot) -> None:
    """Markers of a scatter chart; a point's text is `(x, y)`."""
    look = plot.look
    assert look.x_axis is not None
    for s, one in enumerate(plot.facts.series):
        for k, (x, y) in enumerate(zip(one.at, one.values, strict=True)):
            px = plot.left + look.x_axis.place(x) * (plot.right - plot.left)
            shape = look.marker or "o"
            box = plot.canvas.marker(px, plot.height(look.axes[0], y), shape, 0.55 * look.em, plot.colour(s))
            plot.mark("point", box, f"({one.at_texts[k]}, {one.texts[k]})")


def _composite(plot: _Plot) -> None:
    _bars(plot)
    _lines(plot)


_MARKS = {"bar": _bars, "stacked": _stacks, "line": _lines, "area": _areas, "scatter": _points, "composite": _composite}


def _pie(plot: _Plot) -> None:
    """Slices from the top, clockwise; numbers inside where they fit, else around; names around or in the legend."""
    facts, look, em = plot.facts, plot.look, plot.look.em
    one = facts.series[0]
    room = 1.5 * em + (max(text_size(t, look.face.path, em)[0] for t in facts.labels) + em if look.names else 3 * em)
    middle = (plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2
    radius = min((plot.right - plot.left) / 2 - room, (plot.bottom - plot.top) / 2 - 2.2 * em)
    radius = max(radius, 3 * em)
    hole = 0.5 * radius if look.donut else 0.0
    ends = np.cumsum((0.0, *one.values)) / sum(one.values)
    widest = max(text_size(t, look.face.path, em)[0] for t in one.texts)
    reach = 0.75 if look.donut else 0.65
    inside = 6.28 * reach * radius * min(np.diff(ends)) > widest and radius - hole > 1.2 * widest
    for k, text in enumerate(one.texts):
        box = plot.canvas.wedge(middle, (hole, radius), (ends[k], ends[k + 1]), plot.colour(k), look.paper)
        plot.mark("slice", box, text)
    for k, (label, text) in enumerate(zip(facts.labels, one.texts, strict=True)):
        turn = np.pi * (ends[k] + ends[k + 1])
        sin, cos = float(np.sin(turn)), float(np.cos(turn))
        side = "middle" if abs(sin) < 0.15 else "left" if sin > 0 else "right"
        x, y = middle[0] + (radius + 0.6 * em) * sin, middle[1] - (radius + 0.8 * em) * cos
        if look.names:
            plot.text("legend", x, y, label, f"{side} middle")
            y += 1.15 * em if cos < 0.3 else -1.15 * em
        if inside:
            at = middle[0] + reach * radius * sin, middle[1] - reach * radius * cos
            ink = contrast(plot.colour(k))
            plot.mark("value", plot.canvas.text(*at, text, look.face.path, em, ink, "middle middle"), text)
        else:
            plot.text("value", x, y, text, f"{side} middle")
    plot.left, plot.right = middle[0] - radius, middle[0] + radius
    plot.top, plot.bottom = middle[1] - radius, middle[1] + radius
