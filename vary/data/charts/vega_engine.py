"""Draw charts with Vega-Lite (vl-convert-python, in-process, no browser) and read the boxes from Vega's scenegraph.

Values, axes and number formats are the same as in matplotlib_engine.py; layout, spacing and legends are Vega's own.
The names of pie slices are always in a legend here. Region labels are those of matplotlib_engine.py.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...io.box import Box, union
from ...io.errors import MissingExtra
from ..pages.glyphs import Face
from ..sample import Region
from .canvas import around
from .matplotlib_engine import Drawing, contrast, source_line
from .spec import Axis, ChartSpec
from .style import ChartStyle, text_size, wrap

Vega = dict[str, Any]


def draw(spec: ChartSpec, style: ChartStyle) -> Drawing:
    """Draw a chart whose values are already rounded to what can be read (`spec.round_values`).

    Raises:
        MissingExtra: vl-convert-python is not installed.
    """
    _register(tuple(sorted({str(Path(face.path).parent) for face in (style.face, style.title_face)})))
    compiled = _converter().vegalite_to_vega(chart_spec(spec, style))  # once, for both calls below
    png = np.frombuffer(_converter().vega_to_png(compiled, scale=1, ppi=72), np.uint8)
    image = cv2.imdecode(png, cv2.IMREAD_COLOR)
    assert image is not None
    regions, plot = _regions(_converter().vega_to_scenegraph(compiled), spec, style)
    return Drawing(np.ascontiguousarray(image[..., ::-1]), regions, plot)


def _converter() -> Any:
    try:
        import vl_convert
    except ImportError:
        raise MissingExtra("drawing charts by Vega", "vl-convert-python", "render") from None
    return vl_convert


@functools.cache
def _register(folders: tuple[str, ...]) -> None:
    """Make the fonts in these folders known to Vega."""
    for folder in folders:
        _converter().register_font_directory(folder)


def chart_spec(spec: ChartSpec, style: ChartStyle) -> Vega:
    """Return the Vega-Lite specification of a chart."""
    vega: Vega = {
        # The plot's size is given and text is added around it: fitting all into a picture costs half as much again.
        "width": round(0.78 * style.width), "height": round(0.72 * style.height), "autosize": "pad",
        "padding": round(0.7 * style.em), "background": style.paper, "config": _config(spec, style),
        **_MARKS[spec.kind](spec, style),
    }  # fmt: skip
    vega["title"] = {
        "text": wrap(spec.title, style.title_face, style.title_em, 0.9 * style.width),
        "anchor": "start" if style.title_left else "middle", "frame": "bounds",
        **_font(style.title_face, style.title_em, style.ink),
    }  # fmt: skip
    if spec.source:
        small = _font(style.face, 0.85 * style.em, style.ink)
        vega["title"] |= {"subtitle": source_line(spec), "subtitleColor": style.ink}
        vega["title"] |= {f"subtitle{name[0].upper()}{name[1:]}": v for name, v in small.items() if name != "color"}
    return vega


def _font(face: Face, em: float, ink: str) -> Vega:
    weight, slant = "bold" if face.bold else "normal", "italic" if face.italic else "normal"
    return {"font": face.family, "fontSize": em, "fontWeight": weight, "fontStyle": slant, "color": ink}


def _config(spec: ChartSpec, style: ChartStyle) -> Vega:
    font = _font(style.face, style.em, style.ink)
    labels = {f"label{name[0].upper()}{name[1:]}": v for name, v in font.items()}
    titles = {f"title{name[0].upper()}{name[1:]}": v for name, v in font.items()}
    corner, box = style.frame == "corner", style.frame == "box"
    return {
        "font": style.face.family,
        "axis": labels | titles | {
            "labelLimit": 0, "titleLimit": 0, "labelOverlap": False, "labelFlush": False, "domain": corner or box,
            "ticks": style.frame != "none", "domainColor": style.ink, "tickColor": style.ink,
            "gridColor": "#cfcfcf" if style.panel == style.paper else "#ffffff",
            "gridDash": [4, 3] if style.dashed else [],
        },
        "legend": labels | {"labelLimit": 0, "orient": style.legend, "symbolLimit": 0, "columnPadding": style.em},
        "view": {"fill": style.panel, "stroke": style.ink if box and spec.kind != "pie" else None},
        "text": {f: v for f, v in font.items() if f != "color"},
    }  # fmt: skip


def _value_axis(axis: Axis, title: str, style: ChartStyle, **more: Any) -> Vega:
    """Return a scale and axis with exactly our ticks and texts."""
    place = (
        "log(datum.value) / LN10 - " + str(np.log10(axis.low))
        if axis.log
        else f"(datum.value - {axis.ticks()[0]}) / {axis.step}"
    )
    texts = json.dumps(axis.tick_texts(), ensure_ascii=False)
    return {
        "type": "quantitative",
        "scale": {"domain": [axis.low, axis.high], "nice": False, "zero": False,
                  "type": "log" if axis.log else "linear"},
        "axis": {"values": axis.ticks(), "labelExpr": f"{texts}[round({place})]", "title": title or None,
                 "grid": style.grid != "none"} | more,
    }  # fmt: skip


def _key_axis(spec: ChartSpec, style: ChartStyle) -> Vega:
    share = style.bar_share if spec.kind in ("bar", "stacked", "composite") else 0.2
    grid = style.grid == "both" and not style.horizontal
    return {
        "field": "k", "type": "nominal", "sort": None,
        "scale": {"paddingInner": 1 - share, "paddingOuter": (1 - share) / 2},
        "axis": {"title": spec.x_title or None, "labelAngle": -style.turn, "grid": grid, "bandPosition": 0.5},
    }  # fmt: skip


def _colour(spec: ChartSpec, style: ChartStyle, names: list[str], field: str = "s") -> Vega:
    colours = [style.palette[k % len(style.palette)] for k in range(len(names))]
    shown: Vega | None = {"title": None} if spec.names_shown or spec.kind == "pie" else None
    return {
        "field": field,
        "type": "nominal",
        "sort": None,
        "scale": {"domain": names, "range": colours},
        "legend": shown,
    }


def _rows(spec: ChartSpec, which: list[int], stacked: bool = False) -> list[Vega]:
    """Return one row per mark. i: its number, which finds its SVG element. n: the series by number, for places:
    by name it would stand in an expression, where Vega stumbles over words such as "if".
    """
    rows, sums = [], np.zeros(len(spec.labels))
    for s in which:
        one = spec.series[s]
        for k, (value, text) in enumerate(zip(one.values, one.texts, strict=True)):
            row: Vega = {"i": 1000 * s + k, "n": s, "s": one.name, "t": text, "v": value}
            if one.at:
                row["x"] = one.at[k]
            else:
                row |= {"k": spec.labels[k]}
            if stacked:
                row |= {"low": sums[k], "v": sums[k] + value, "mid": sums[k] + value / 2}
            rows.append(row)
        if stacked:
            sums = sums + one.values
    return rows


def _unit(name: str, mark: Vega, encoding: Vega) -> Vega:
    return {"name": name, "mark": mark, "encoding": {"description": {"field": "i"}} | encoding}


def _bars(spec: ChartSpec, style: ChartStyle) -> Vega:
    stacked = spec.kind == "stacked"
    which = list(range(len(spec.series) - (spec.kind == "composite")))
    value = {"field": "v", **_value_axis(style.axes[0], spec.y_title, style)}
    key = _key_axis(spec, style)
    if style.multicoloured and not spec.names_shown:
        colour = _colour(spec, style, list(spec.labels), "k")
    else:
        colour = _colour(spec, style, [s.name for s in spec.series])
    x, y = ("y", "x") if style.horizontal else ("x", "y")
    place: Vega = {x: key, y: value | {"stack": None}}
    if stacked:
        place[f"{y}2"] = {"field": "low"}
    elif len(which) > 1:
        place[f"{x}Offset"] = {"field": "n", "type": "nominal", "sort": which, "scale": {"domain": which}}
    units = [_unit("bars", {"type": "bar"}, place | {"color": colour})]
    if style.printed and stacked:
        inks = [contrast(c) for c in colour["scale"]["range"]]
        ink = {"field": "s", "type": "nominal", "scale": {"domain": [s.name for s in spec.series], "range": inks}}
        middle = place | {y: value | {"field": "mid"}, "color": ink | {"legend": None}, "text": {"field": "t"}}
        units.append(_unit("values", {"type": "text"}, {f: v for f, v in middle.items() if f != f"{y}2"}))
        return {
            "data": {"values": _rows(spec, which, stacked)},
            "layer": units,
            "resolve": {"scale": {"color": "independent"}},
        }
    if style.printed:
        for name, side, keep in (("values", 1, "datum.v >= 0"), ("values_under", -1, "datum.v < 0")):
            if style.horizontal:
                mark = {"type": "text", "align": "left" if side > 0 else "right", "dx": 0.3 * style.em * side}
            else:
                mark = {"type": "text", "baseline": "bottom" if side > 0 else "top", "dy": -0.15 * style.em * side}
            unit = _unit(name, mark | {"color": style.ink}, place | {"text": {"field": "t"}})
            units.append(unit | {"transform": [{"filter": keep}]})
    return {"data": {"values": _rows(spec, which, stacked)}, "layer": units}


def _lines(spec: ChartSpec, style: ChartStyle, which: list[int] | None = None) -> Vega:
    which = list(range(len(spec.series))) if which is None else which
    second = len(style.axes) > 1
    axis = _value_axis(
        style.axes[-1], "" if second else spec.y_title, style, **({"orient": "right", "grid": False} if second else {})
    )
    place = {"x": _key_axis(spec, style), "y": {"field": "v", **axis}}
    place["color"] = _colour(spec, style, [s.name for s in spec.series])
    shape = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"}.get(style.marker, "circle")
    size = (1.5 * style.line_px + 0.25 * style.em) ** 2 if style.marker else (1.5 * style.line_px) ** 2
    line = {"type": "line", "strokeWidth": style.line_px, "strokeDash": [6, 4] if style.dashed else []}
    units = [
        _unit("lines", line, {f: v for f, v in place.items() if f != "description"}),
        _unit("points", {"type": "point", "filled": True, "opacity": 1, "size": size, "shape": shape}, place),
    ]
    del units[0]["encoding"]["description"]  # a field there would cut each line into its points
    if style.printed and spec.kind == "line":
        mark = {"type": "text", "baseline": "bottom", "dy": -0.5 * style.em, "color": style.ink}
        units.append(_unit("values", mark, {f: v for f, v in place.items() if f != "color"} | {"text": {"field": "t"}}))
    return {"data": {"values": _rows(spec, which)}, "layer": units}


def _composite(spec: ChartSpec, style: ChartStyle) -> Vega:
    layers = [_bars(spec, style), _lines(spec, style, [len(spec.series) - 1])]
    return {"layer": layers} | ({"resolve": {"scale": {"y": "independent"}}} if len(style.axes) > 1 else {})


def _areas(spec: ChartSpec, style: ChartStyle) -> Vega:
    value = {"field": "v", **_value_axis(style.axes[0], spec.y_title, style), "stack": None}
    colour = _colour(spec, style, [s.name for s in spec.series])
    place = {"x": _key_axis(spec, style), "y": value, "color": colour}
    area = _unit(
        "areas", {"type": "area", "opacity": 1 if spec.names_shown else 0.75}, place | {"y2": {"field": "low"}}
    )
    del area["encoding"]["description"]
    point = {"type": "point", "filled": True, "opacity": 1, "size": 10}
    rows = _rows(spec, list(range(len(spec.series))), stacked=True)
    return {"data": {"values": rows}, "layer": [area, _unit("points", point, place)]}


def _points(spec: ChartSpec, style: ChartStyle) -> Vega:
    assert style.x_axis is not None
    shape = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"}.get(style.marker, "circle")
    place = {
        "x": {"field": "x", **_value_axis(style.x_axis, spec.x_title, style, grid=style.grid == "both")},
        "y": {"field": "v", **_value_axis(style.axes[0], spec.y_title, style)},
        "color": _colour(spec, style, [s.name for s in spec.series]),
    }
    mark = {"type": "point", "filled": True, "opacity": 1, "size": (0.6 * style.em) ** 2, "shape": shape}
    return {"data": {"values": _rows(spec, list(range(len(spec.series))))}, "layer": [_unit("points", mark, place)]}


def _pie(spec: ChartSpec, style: ChartStyle) -> Vega:
    radius = "min(width, height) / 2"
    place = {
        "theta": {"field": "v", "type": "quantitative", "stack": True},
        "order": {"field": "i", "type": "quantitative"},
        "color": _colour(spec, style, list(spec.labels), "k"),
    }
    hole = {"expr": f"{radius} * 0.4"} if style.donut else 0
    arc = {"type": "arc", "outerRadius": {"expr": f"{radius} * 0.82"}, "innerRadius": hole, "stroke": style.paper}
    text = {"type": "text", "radius": {"expr": f"{radius} * 0.9"}, "color": style.ink}
    around = {f: v for f, v in place.items() if f != "color"} | {"detail": {"field": "k"}, "text": {"field": "t"}}
    return {
        "data": {"values": _rows(spec, [0])},
        "layer": [_unit("slices", arc, place), _unit("values", text, around)],
    }


_MARKS = {"bar": _bars, "stacked": _bars, "line": _lines, "area": _areas, "pie": _pie, "scatter": _points,
          "composite": _composite}  # fmt: skip


@dataclass(frozen=True)
class _Item:
    """One item of the scenegraph. role, name: of its mark. orient: of the axis around it, or "". x, y: page pixels."""

    role: str
    name: str
    orient: str
    data: Vega
    x: float
    y: float


def _items(mark: Vega, x: float, y: float, orient: str = "") -> Iterator[_Item]:
    """Walk all items below a mark in drawing order. x, y: origin of the mark's coordinates in pixels."""
    for data in mark.get("items", ()):
        at_x, at_y = x + data.get("x", 0.0), y + data.get("y", 0.0)
        yield _Item(mark.get("role", ""), mark.get("name", ""), orient, data, at_x, at_y)
        if mark["marktype"] == "group":
            for child in data.get("items", ()):
                yield from _items(child, at_x, at_y, data.get("orient", "") if mark.get("role") == "axis" else orient)


def _regions(scene: Vega, spec: ChartSpec, style: ChartStyle) -> tuple[list[Region], Box]:
    """Return regions of all texts and marks, by the roles and names in the scenegraph, and the box of the plot."""
    regions: list[Region] = []
    plot: Box | None = None
    for item in _items(scene["scenegraph"], *scene["origin"]):
        if item.role == "frame" and plot is None:
            plot = (item.x, item.y, item.x + item.data["width"], item.y + item.data["height"])
        elif item.role == "title-text" and spec.title:
            regions.append(Region("title", _text_box(item, style.title_face.path), spec.title))
        elif item.data.get("text") and (label := _text_label(item, style)):
            text = spec.source if label == "source" else item.data["text"]
            regions.append(Region(label, _text_box(item, style.face.path), text))
        elif (label := _MARK_LABELS.get(item.name.removesuffix("_marks"), "")) and "description" in item.data:
            series, k = divmod(int(item.data["description"]), 1000)
            one = spec.series[series]
            text = f"({one.at_texts[k]}, {one.texts[k]})" if one.at else one.texts[k]
            regions.append(Region(label, _mark_box(item), text))
    assert plot is not None
    return regions, plot


_MARK_LABELS = {"bars": "bar", "points": "point", "slices": "slice"}
_TEXT_LABELS = {"title-subtitle": "source", "legend-label": "legend"}
# How far below its anchor the baseline of a text is, in em (vega-scenegraph, src/util/text.js, `offset`).
_BASELINES = {"top": 0.79, "middle": 0.30, "bottom": -0.21}


def _text_label(item: _Item, style: ChartStyle) -> str:
    if item.name.startswith("values"):
        return "value"
    if item.orient and item.role in ("axis-label", "axis-title"):
        of_labels = (item.orient in ("bottom", "top")) != style.horizontal
        return ("x_" if of_labels else "y_") + ("title" if item.role == "axis-title" else "tick")
    return _TEXT_LABELS.get(item.role, "")


def _text_box(item: _Item, path: str) -> Box:
    """Return the box of a text of one or more lines, set in the font file at `path`."""
    data, em = item.data, item.data["fontSize"]
    lines = data["text"] if isinstance(data["text"], list) else [data["text"]]
    theta = data.get("theta", 0.0) - math.pi / 2
    x = item.x + data.get("radius", 0.0) * math.cos(theta) + data.get("dx", 0.0)
    y = item.y + data.get("radius", 0.0) * math.sin(theta) + data.get("dy", 0.0)
    leading, y = data.get("lineHeight", em + 2), y + _BASELINES.get(data.get("baseline", ""), 0.0) * em
    if data.get("baseline") == "bottom":
        y -= leading * (len(lines) - 1)
    boxes = []
    for k, line in enumerate(lines):
        width, high, low = text_size(line, path, em)
        left = {"center": -width / 2, "right": -width}.get(data.get("align", ""), 0.0)
        base = y - item.y + leading * k
        boxes.append((left, base + low - high, left + width, base + low))
    x0, y0, x1, y1 = union(boxes)
    turn = math.radians(data.get("angle", 0.0))
    cos, sin = math.cos(turn), math.sin(turn)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return around([(x + a * cos - b * sin, item.y + a * sin + b * cos) for a, b in corners], 0.0)


def _mark_box(item: _Item) -> Box:
    """Return the box of a bar, a point or a slice of a pie."""
    data = item.data
    if "outerRadius" in data:
        angles = np.linspace(data["startAngle"], data["endAngle"], 65)
        radii = data["outerRadius"], data.get("innerRadius", 0.0)
        return around([(item.x + r * math.sin(a), item.y - r * math.cos(a)) for r in radii for a in angles], 0.0)
    if "size" in data:
        half = math.sqrt(data["size"]) / 2
        return item.x - half, item.y - half, item.x + half, item.y + half
    return item.x, item.y, item.x + data.get("width", 0.0), item.y + data.get("height", 0.0)
