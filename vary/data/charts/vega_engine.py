"""Charts drawn by Vega-Lite (vl-convert-python, in the process, without a browser), with boxes read from its SVG.

The same facts, axes and number forms as plots.py; layout, spacing and legends are Vega's own. A pie's names always
stand in a legend here. Region labels are those of plots.py.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..pages.glyphs import Face
from ..sample import Region
from .canvas import Box, join
from .matplotlib_engine import Drawing, contrast, source_line
from .spec import Axis, ChartFacts
from .style import Look, wrap
from .svg import Element, converter, elements, font_folders, picture, register

Spec = dict[str, Any]


def draw(facts: ChartFacts, look: Look) -> Drawing:
    """Draw facts whose values are written. Raises ValueError when vl-convert-python is missing."""
    folders = font_folders(look.face.path, look.title_face.path)
    register(folders)
    # Two calls instead of `vegalite_to_svg` save a third of the time.
    svg = converter().vega_to_svg(converter().vegalite_to_vega(chart_spec(facts, look)))
    regions, plot = _regions(elements(svg), facts, look)
    return Drawing(picture(svg, folders), regions, plot)


def chart_spec(facts: ChartFacts, look: Look) -> Spec:
    """The chart in Vega-Lite's words."""
    spec: Spec = {
        # The plot's size is given and text is added around it: fitting all into a picture costs half as much again.
        "width": round(0.78 * look.width), "height": round(0.72 * look.height), "autosize": "pad",
        "padding": round(0.7 * look.em), "background": look.paper, "config": _config(facts, look),
        **_MARKS[facts.kind](facts, look),
    }  # fmt: skip
    spec["title"] = {
        "text": wrap(facts.title, look.title_face, look.title_em, 0.9 * look.width),
        "anchor": "start" if look.title_left else "middle", "frame": "bounds",
        **_font(look.title_face, look.title_em, look.ink),
    }  # fmt: skip
    if facts.source:
        small = _font(look.face, 0.85 * look.em, look.ink)
        spec["title"] |= {"subtitle": source_line(facts), "subtitleColor": look.ink}
        spec["title"] |= {f"subtitle{name[0].upper()}{name[1:]}": v for name, v in small.items() if name != "color"}
    return spec


def _font(face: Face, em: float, ink: str) -> Spec:
    weight, slant = "bold" if face.bold else "normal", "italic" if face.italic else "normal"
    return {"font": face.family, "fontSize": em, "fontWeight": weight, "fontStyle": slant, "color": ink}


def _config(facts: ChartFacts, look: Look) -> Spec:
    font = _font(look.face, look.em, look.ink)
    labels = {f"label{name[0].upper()}{name[1:]}": v for name, v in font.items()}
    titles = {f"title{name[0].upper()}{name[1:]}": v for name, v in font.items()}
    corner, box = look.frame == "corner", look.frame == "box"
    return {
        "font": look.face.family,
        "axis": labels | titles | {
            "labelLimit": 0, "titleLimit": 0, "labelOverlap": False, "labelFlush": False, "domain": corner or box,
            "ticks": look.frame != "none", "domainColor": look.ink, "tickColor": look.ink,
            "gridColor": "#cfcfcf" if look.panel == look.paper else "#ffffff",
            "gridDash": [4, 3] if look.dashed else [],
        },
        "legend": labels | {"labelLimit": 0, "orient": look.legend, "symbolLimit": 0, "columnPadding": look.em},
        "view": {"fill": look.panel, "stroke": look.ink if box and facts.kind != "pie" else None},
        "text": {f: v for f, v in font.items() if f != "color"},
    }  # fmt: skip


def _value_axis(axis: Axis, title: str, look: Look, **more: Any) -> Spec:
    """A scale and axis with exactly our ticks and texts."""
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
                 "grid": look.grid != "none"} | more,
    }  # fmt: skip


def _key_axis(facts: ChartFacts, look: Look) -> Spec:
    share = look.bar_share if facts.kind in ("bar", "stacked", "composite") else 0.2
    grid = look.grid == "both" and not look.horizontal
    return {
        "field": "k", "type": "nominal", "sort": None,
        "scale": {"paddingInner": 1 - share, "paddingOuter": (1 - share) / 2},
        "axis": {"title": facts.x_title or None, "labelAngle": -look.turn, "grid": grid, "bandPosition": 0.5},
    }  # fmt: skip


def _colour(facts: ChartFacts, look: Look, names: list[str], field: str = "s") -> Spec:
    colours = [look.palette[k % len(look.palette)] for k in range(len(names))]
    shown: Spec | None = {"title": None} if facts.names_shown or facts.kind == "pie" else None
    return {
        "field": field,
        "type": "nominal",
        "sort": None,
        "scale": {"domain": names, "range": colours},
        "legend": shown,
    }


def _rows(facts: ChartFacts, which: list[int], stacked: bool = False) -> list[Spec]:
    """One row per mark. i: its number, by which its SVG element is found again. n: the series by number, for places:
    by name it would stand in an expression, where Vega stumbles over words such as "if".
    """
    rows, sums = [], np.zeros(len(facts.labels))
    for s in which:
        one = facts.series[s]
        for k, (value, text) in enumerate(zip(one.values, one.texts, strict=True)):
            row: Spec = {"i": 1000 * s + k, "n": s, "s": one.name, "t": text, "v": value}
            if one.at:
                row["x"] = one.at[k]
            else:
                row |= {"k": facts.labels[k]}
            if stacked:
                row |= {"low": sums[k], "v": sums[k] + value, "mid": sums[k] + value / 2}
            rows.append(row)
        if stacked:
            sums = sums + one.values
    return rows


def _unit(name: str, mark: Spec, encoding: Spec) -> Spec:
    return {"name": name, "mark": mark, "encoding": {"description": {"field": "i"}} | encoding}


def _bars(facts: ChartFacts, look: Look) -> Spec:
    stacked = facts.kind == "stacked"
    which = list(range(len(facts.series) - (facts.kind == "composite")))
    value = {"field": "v", **_value_axis(look.axes[0], facts.y_title, look)}
    key = _key_axis(facts, look)
    if look.motley and not facts.names_shown:
        colour = _colour(facts, look, list(facts.labels), "k")
    else:
        colour = _colour(facts, look, [s.name for s in facts.series])
    x, y = ("y", "x") if look.horizontal else ("x", "y")
    place: Spec = {x: key, y: value | {"stack": None}}
    if stacked:
        place[f"{y}2"] = {"field": "low"}
    elif len(which) > 1:
        place[f"{x}Offset"] = {"field": "n", "type": "nominal", "sort": which, "scale": {"domain": which}}
    units = [_unit("bars", {"type": "bar"}, place | {"color": colour})]
    if look.printed and stacked:
        inks = [contrast(c) for c in colour["scale"]["range"]]
        ink = {"field": "s", "type": "nominal", "scale": {"domain": [s.name for s in facts.series], "range": inks}}
        middle = place | {y: value | {"field": "mid"}, "color": ink | {"legend": None}, "text": {"field": "t"}}
        units.append(_unit("values", {"type": "text"}, {f: v for f, v in middle.items() if f != f"{y}2"}))
        return {
            "data": {"values": _rows(facts, which, stacked)},
            "layer": units,
            "resolve": {"scale": {"color": "independent"}},
        }
    if look.printed:
        for name, side, keep in (("values", 1, "datum.v >= 0"), ("values_under", -1, "datum.v < 0")):
            if look.horizontal:
                mark = {"type": "text", "align": "left" if side > 0 else "right", "dx": 0.3 * look.em * side}
            else:
                mark = {"type": "text", "baseline": "bottom" if side > 0 else "top", "dy": -0.15 * look.em * side}
            unit = _unit(name, mark | {"color": look.ink}, place | {"text": {"field": "t"}})
            units.append(unit | {"transform": [{"filter": keep}]})
    return {"data": {"values": _rows(facts, which, stacked)}, "layer": units}


def _lines(facts: ChartFacts, look: Look, which: list[int] | None = None) -> Spec:
    which = list(range(len(facts.series))) if which is None else which
    second = len(look.axes) > 1
    axis = _value_axis(
        look.axes[-1], "" if second else facts.y_title, look, **({"orient": "right", "grid": False} if second else {})
    )
    place = {"x": _key_axis(facts, look), "y": {"field": "v", **axis}}
    place["color"] = _colour(facts, look, [s.name for s in facts.series])
    shape = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"}.get(look.marker, "circle")
    size = (1.5 * look.line_px + 0.25 * look.em) ** 2 if look.marker else (1.5 * look.line_px) ** 2
    line = {"type": "line", "strokeWidth": look.line_px, "strokeDash": [6, 4] if look.dashed else []}
    units = [
        _unit("lines", line, {f: v for f, v in place.items() if f != "description"}),
        _unit("points", {"type": "point", "filled": True, "opacity": 1, "size": size, "shape": shape}, place),
    ]
    del units[0]["encoding"]["description"]  # a field there would cut each line into its points
    if look.printed and facts.kind == "line":
        mark = {"type": "text", "baseline": "bottom", "dy": -0.5 * look.em, "color": look.ink}
        units.append(_unit("values", mark, {f: v for f, v in place.items() if f != "color"} | {"text": {"field": "t"}}))
    return {"data": {"values": _rows(facts, which)}, "layer": units}


def _composite(facts: ChartFacts, look: Look) -> Spec:
    layers = [_bars(facts, look), _lines(facts, look, [len(facts.series) - 1])]
    return {"layer": layers} | ({"resolve": {"scale": {"y": "independent"}}} if len(look.axes) > 1 else {})


def _areas(facts: ChartFacts, look: Look) -> Spec:
    value = {"field": "v", **_value_axis(look.axes[0], facts.y_title, look), "stack": None}
    colour = _colour(facts, look, [s.name for s in facts.series])
    place = {"x": _key_axis(facts, look), "y": value, "color": colour}
    area = _unit(
        "areas", {"type": "area", "opacity": 1 if facts.names_shown else 0.75}, place | {"y2": {"field": "low"}}
    )
    del area["encoding"]["description"]
    point = {"type": "point", "filled": True, "opacity": 1, "size": 10}
    rows = _rows(facts, list(range(len(facts.series))), stacked=True)
    return {"data": {"values": rows}, "layer": [area, _unit("points", point, place)]}


def _points(facts: ChartFacts, look: Look) -> Spec:
    assert look.x_axis is not None
    shape = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"}.get(look.marker, "circle")
    place = {
        "x": {"field": "x", **_value_axis(look.x_axis, facts.x_title, look, grid=look.grid == "both")},
        "y": {"field": "v", **_value_axis(look.axes[0], facts.y_title, look)},
        "color": _colour(facts, look, [s.name for s in facts.series]),
    }
    mark = {"type": "point", "filled": True, "opacity": 1, "size": (0.6 * look.em) ** 2, "shape": shape}
    return {"data": {"values": _rows(facts, list(range(len(facts.series))))}, "layer": [_unit("points", mark, place)]}


def _pie(facts: ChartFacts, look: Look) -> Spec:
    radius = "min(width, height) / 2"
    place = {
        "theta": {"field": "v", "type": "quantitative", "stack": True},
        "order": {"field": "i", "type": "quantitative"},
        "color": _colour(facts, look, list(facts.labels), "k"),
    }
    hole = {"expr": f"{radius} * 0.4"} if look.donut else 0
    arc = {"type": "arc", "outerRadius": {"expr": f"{radius} * 0.82"}, "innerRadius": hole, "stroke": look.paper}
    text = {"type": "text", "radius": {"expr": f"{radius} * 0.9"}, "color": look.ink}
    around = {f: v for f, v in place.items() if f != "color"} | {"detail": {"field": "k"}, "text": {"field": "t"}}
    return {
        "data": {"values": _rows(facts, [0])},
        "layer": [_unit("slices", arc, place), _unit("values", text, around)],
    }


_MARKS = {"bar": _bars, "stacked": _bars, "line": _lines, "area": _areas, "pie": _pie, "scatter": _points,
          "composite": _composite}  # fmt: skip


def _regions(found: list[Element], facts: ChartFacts, look: Look) -> tuple[list[Region], Box]:
    """Regions by the roles and names that Vega writes into its SVG; the plot is its root frame."""
    regions, title = [], []
    plot: Box | None = None
    for element in found:
        classes = element.classes()
        if element.tag == "text":
            if "role-title-text" in classes:
                title.append(element.text_box(look.title_face.path))
            elif label := _text_label(classes, element, look):
                text = facts.source if label == "source" else element.text
                regions.append(Region(label, element.text_box(look.face.path), text))
        elif plot is None and "role-frame" in classes and element.own.get("class") == "background":
            plot = element.box()
        elif label := next((v for k, v in _MARK_LABELS.items() if f"{k}_marks" in classes), ""):
            series, k = divmod(int(element.own["aria-label"].split(":")[-1]), 1000)
            one = facts.series[series]
            text = f"({one.at_texts[k]}, {one.texts[k]})" if one.at else one.texts[k]
            regions.append(Region(label, element.box(), text))
    if title and facts.title:
        regions.append(Region("title", join(title), facts.title))
    assert plot is not None
    return regions, plot


_MARK_LABELS = {"bars": "bar", "points": "point", "slices": "slice"}


def _text_label(classes: str, element: Element, look: Look) -> str:
    for role, label in (("role-title-subtitle", "source"), ("role-legend-label", "legend"), ("values_", "value")):
        if role in classes:
            return label
    axis = next(
        (g["aria-label"] for g in element.groups if "role-axis" in g.get("class", "") and "aria-label" in g), ""
    )
    if not axis:
        return ""
    keys = axis.startswith("X") != look.horizontal
    return ("x_" if keys else "y_") + ("title" if "role-axis-title" in classes else "tick")
