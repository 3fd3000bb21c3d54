"""Charts drawn by ECharts in a `node` process (server-side SVG, no browser): an optional engine.

Vary drew its second million of charts with pyecharts, which is a writer of ECharts options; here the options go to
ECharts itself. Needs `node` and a folder with the npm package `echarts` (6.1, Apache-2.0). Region labels are those of
plots.py. Texts are told apart by the last bits of their colours, which no eye sees: ECharts writes no roles.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ...io.errors import InputError
from ..sample import Region
from .canvas import Box, around, join
from .matplotlib_engine import Drawing, contrast, source_line
from .spec import Axis, ChartFacts
from .style import Look, text_size, wrap
from .svg import elements, font_folders, picture

_SCRIPT = """
const echarts = require(process.argv[1]);
const texts = axis => { if (!axis || !axis.texts) return;
  axis.axisLabel.formatter = v => axis.texts[Math.round(axis.type === 'log' ? Math.log10(v / axis.min)
                                                                             : (v - axis.first) / axis.interval)]; };
require('readline').createInterface({input: process.stdin}).on('line', line => {
  const {width, height, option, widths} = JSON.parse(line);  // widths: of texts, in em
  const wide = text => widths[text] ?? [...text].reduce((sum, ch) => sum + (ch > '\u2e7f' ? 1 : 0.6), 0);
  echarts.setPlatformAPI({measureText: (text, font) => ({width: wide(text) * parseFloat(/[\\d.]+(?=px)/.exec(font))})});
  for (const axes of [option.xAxis, option.yAxis]) [].concat(axes || []).forEach(texts);
  const chart = echarts.init(null, null, {renderer: 'svg', ssr: true, width, height});
  chart.setOption(option);
  process.stdout.write(JSON.stringify(chart.renderToSVGString()) + '\\n');
  chart.dispose();
}).on('close', () => process.exit(0));
"""
_ROLES = ("title", "source", "x_title", "y_title", "x_tick", "y_tick", "legend", "value")
Option = dict[str, Any]


def package(folder: str | Path | None) -> str:
    """The folder of the npm package, given it or the folder that holds its `node_modules`. Raises ValueError."""
    if shutil.which("node") is None:
        raise InputError("the chart engine 'echarts' needs the program 'node', which is not on this machine")
    for path in (Path(folder), Path(folder) / "node_modules" / "echarts") if folder else ():
        if (path / "package.json").is_file() and (path / "dist").is_dir():
            return str(path.resolve())
    raise InputError(f"the chart engine 'echarts' needs the folder of the npm package 'echarts', not {folder}")


@functools.cache
def _node(folder: str, pid: int) -> subprocess.Popen[str]:
    """One node process for each of ours (`pid`): a forked worker must not share its parent's pipe."""
    node = subprocess.Popen(
        ["node", "-e", _SCRIPT, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, encoding="utf-8",
    )  # fmt: skip
    atexit.register(node.kill)
    return node


def draw(facts: ChartFacts, look: Look, folder: str) -> Drawing:
    """Draw facts whose values are written. folder: what `package` returned. Raises ValueError when node fails."""
    option, plot = chart_option(facts, look)
    node = _node(folder, os.getpid())
    assert node.stdin is not None
    assert node.stdout is not None
    em = 64.0
    widths = {t: text_size(t, look.face.path, em)[0] / em for t in [*facts.texts(), *(s.name for s in facts.series)]}
    order = {"width": look.width, "height": look.height, "option": option, "widths": widths}
    node.stdin.write(json.dumps(order) + "\n")
    node.stdin.flush()
    answer = node.stdout.readline()
    if not answer:
        raise InputError(f"node ended with status {node.wait()} while ECharts drew a {facts.kind} chart")
    svg = json.loads(answer)
    return Drawing(picture(svg, font_folders(look.face.path, look.title_face.path)), _regions(svg, facts, look), plot)


def _marked(ink: str, role: str) -> str:
    """The ink with the role's number in its last three bits."""
    return f"{ink[:5]}{int(ink[5:], 16) & 0xF8 | _ROLES.index(role):02x}"


def chart_option(facts: ChartFacts, look: Look) -> tuple[Option, Box]:
    """The chart in ECharts' words, and the box of its plot in px."""
    em = look.em

    def style(role: str, **more: Any) -> Option:
        face = look.title_face if role == "title" else look.face
        size = {"title": look.title_em, "source": 0.85 * em}.get(role, em)
        return {
            "color": _marked(look.ink, role), "fontSize": size, "fontFamily": face.family, "textBorderWidth": 0,
            "fontWeight": "bold" if face.bold else "normal", "fontStyle": "italic" if face.italic else "normal",
        } | more  # fmt: skip

    lines = wrap(facts.title, look.title_face, look.title_em, 0.9 * look.width)
    names = list(facts.labels) if facts.kind == "pie" else [s.name for s in facts.series]
    shown = facts.names_shown or facts.kind == "pie"
    left, top, right, bottom = em, em, look.width - em, look.height - em
    top += 1.35 * look.title_em * len(lines) + (1.4 * em if facts.source else 0)
    legend: Option = {"show": shown, "data": names, "textStyle": style("legend"), "icon": "rect"}
    if shown and look.legend == "right":
        legend |= {"orient": "vertical", "right": em, "top": top}
        right -= max(text_size(n, look.face.path, em)[0] for n in names) + 4 * em + 25
    elif shown:
        legend |= {look.legend: top if look.legend == "top" else 0.5 * em}
        top, bottom = (top + 2.5 * em, bottom) if look.legend == "top" else (top, bottom - 2.5 * em)
    option: Option = {
        "animation": False, "backgroundColor": look.paper, "color": list(look.palette), "legend": legend,
        "title": {
            "text": "\n".join(lines), "subtext": source_line(facts) if facts.source else "", "itemGap": 0.3 * em,
            "left": "left" if look.title_left else "center", "textStyle": style("title"),
            "subtextStyle": style("source"), "padding": 0.7 * em,
        },
    }  # fmt: skip
    if facts.kind == "pie":
        middle, radius = ((left + right) / 2, (top + bottom) / 2), min(right - left, bottom - top) / 2 - 2.5 * em
        option["series"] = [_pie(facts, look, middle, max(radius, 3 * em), style("value"))]
        return option, around([middle], radius)
    plot = _axes(option, facts, look, (left, top, right, bottom), style)
    option["series"] = [_series(facts, look, k, style("value")) for k in range(len(facts.series))]
    return option, plot


def _axes(option: Option, facts: ChartFacts, look: Look, box: Box, style: Any) -> Box:
    """Axes of a chart and the box that they leave."""
    em, path = look.em, look.face.path
    lines = {
        "color": "#cfcfcf" if look.panel == look.paper else "#ffffff",
        "type": "dashed" if look.dashed else "solid",
    }

    def dress(which: str, title: str, texts: list[str], beside: bool, grid: bool) -> Option:
        wide = max(text_size(t, path, em)[0] for t in texts)
        deep = wide if beside else {0: em, 45: 0.71 * (wide + em), 90: wide}[look.turn]
        return {
            "name": title, "nameLocation": "middle", "nameGap": deep + 1.3 * em,
            "nameTextStyle": style(f"{which}_title"),
            "axisLabel": style(f"{which}_tick", interval=0, margin=0.5 * em, rotate=0 if beside else look.turn),
            "splitLine": {"show": grid, "lineStyle": lines}, "splitArea": {"show": False},
            "axisLine": {"show": look.frame != "none", "onZero": False, "lineStyle": {"color": look.ink}},
            "axisTick": {"show": look.frame != "none", "alignWithLabel": True}, "deep": deep,
        }  # fmt: skip

    def values(axis: Axis) -> Option:
        kind = "log" if axis.log else "value"
        more = {} if axis.log else {"interval": axis.step, "first": axis.ticks()[0]}
        return {"type": kind, "min": axis.low, "max": axis.high, "texts": axis.tick_texts()} | more

    if look.x_axis:
        key = values(look.x_axis) | dress("x", facts.x_title, look.x_axis.tick_texts(), False, look.grid == "both")
    else:
        labels = {"type": "category", "data": list(facts.labels), "inverse": look.horizontal}
        key = labels | dress("x", facts.x_title, list(facts.labels), look.horizontal, look.grid == "both")
    first = values(look.axes[0])
    value = first | dress("y", facts.y_title, look.axes[0].tick_texts(), not look.horizontal, look.grid != "none")
    below, beside = (value, key) if look.horizontal else (key, value)
    left = box[0] + beside["deep"] + 0.6 * em + (1.6 * em if beside["name"] else 0)
    bottom = box[3] - below["deep"] - 0.6 * em - (1.6 * em if below["name"] else 0)
    right, top = box[2] - em, box[1] + em
    if len(look.axes) > 1:
        second = values(look.axes[1]) | dress("y", "", look.axes[1].tick_texts(), True, False)
        right -= second["deep"]
        option["yAxis"] = [value, second]
    else:
        option["yAxis"] = beside
    option["xAxis"] = below
    option["grid"] = {
        "left": left, "top": top, "right": look.width - right, "bottom": look.height - bottom, "containLabel": False,
        "show": True, "backgroundColor": look.panel, "borderWidth": int(look.frame == "box"), "borderColor": look.ink,
    }  # fmt: skip
    return left, top, right, bottom


def _series(facts: ChartFacts, look: Look, k: int, style: Option) -> Option:
    """One series with its values, and their texts where they are printed."""
    one, last = facts.series[k], k == len(facts.series) - 1
    colour = look.palette[k % len(look.palette)]
    kind = {"stacked": "bar", "area": "line", "composite": "line" if last else "bar"}.get(facts.kind, facts.kind)
    side, under = ("right", "left") if look.horizontal else ("top", "bottom")
    data: list[Option] = []
    for j, (value, text) in enumerate(zip(one.values, one.texts, strict=True)):
        item: Option = {"value": [one.at[j], value] if one.at else value}
        if look.printed:
            label = style | {
                "show": True,
                "formatter": text,
                "position": under if value < 0 and kind == "bar" else side,
            }
            if facts.kind == "stacked":
                label |= {"position": "inside", "color": _marked(contrast(colour), "value")}
            item["label"] = label
        if look.motley and facts.kind == "bar" and not facts.names_shown:
            item["itemStyle"] = {"color": look.palette[j % len(look.palette)]}
        data.append(item)
    dress = {"color": colour, "opacity": 1}
    series: Option = {"type": kind, "name": one.name, "data": data, "itemStyle": dress, "z": 2 + last}
    if kind == "bar":
        series |= {"barCategoryGap": f"{100 * (1 - look.bar_share):.0f}%", "barGap": "0%"}
    elif kind == "line":
        shape = {"o": "circle", "s": "rect", "^": "triangle", "D": "diamond"}.get(look.marker, "circle")
        size = 1.5 * look.line_px + 0.25 * look.em if look.marker and facts.kind != "area" else look.line_px
        dashes = "dashed" if look.dashed and k else "solid"
        series |= {"symbol": shape, "symbolSize": size, "showAllSymbol": True}
        series["lineStyle"] = {"width": look.line_px, "color": colour, "type": dashes}
    else:
        series["symbolSize"] = 0.6 * look.em
    if facts.kind == "area":
        series["areaStyle"] = {"opacity": 0.75 if not facts.names_shown else 1}
    if facts.kind == "stacked" or (facts.kind == "area" and facts.names_shown):
        series["stack"] = "all"
    if len(look.axes) > 1 and last:
        series["yAxisIndex"] = 1
    return series


def _pie(facts: ChartFacts, look: Look, middle: tuple[float, float], radius: float, style: Option) -> Option:
    one = facts.series[0]
    label = style | {"show": True, "position": "outside", "alignTo": "none", "distanceToLabelLine": 2}
    data = [
        {"name": name, "value": value, "label": label | {"formatter": text}}
        for name, value, text in zip(facts.labels, one.values, one.texts, strict=True)
    ]
    return {
        "type": "pie", "data": data, "center": list(middle), "radius": [0.5 * radius if look.donut else 0, radius],
        "labelLine": {"length": 0.4 * look.em, "length2": 0.4 * look.em}, "avoidLabelOverlap": False,
        "itemStyle": {"borderColor": look.paper, "borderWidth": 1},
    }  # fmt: skip


def _regions(svg: str, facts: ChartFacts, look: Look) -> list[Region]:
    """Texts by the bits in their colours, marks by the numbers that ECharts writes beside them."""
    regions, title = [], []
    label = {"bar": "bar", "stacked": "bar", "pie": "slice"}.get(facts.kind, "point")
    for element in elements(svg):
        own = element.own
        if element.tag == "text" and own.get("fill", "").startswith("#"):
            ink = own["fill"] if len(own["fill"]) == 7 else "#" + "".join(2 * ch for ch in own["fill"][1:])
            role = _ROLES[int(ink[5:], 16) & 7]
            if role == "title":
                title.append(element.text_box(look.title_face.path))
            else:
                text = facts.source if role == "source" else element.text
                regions.append(Region(role, element.text_box(look.face.path), text))
        elif own.get("ecmeta_ssr_type") == "chart" and "ecmeta_data_index" in own and own.get("fill", "none") != "none":
            series, k = int(own["ecmeta_series_index"]), int(own["ecmeta_data_index"])
            one = facts.series[series]
            mark = label if facts.kind != "composite" or series == len(facts.series) - 1 else "bar"
            text = f"({one.at_texts[k]}, {one.texts[k]})" if one.at else one.texts[k]
            regions.append(Region(mark, element.box(), text))
    if title:
        regions.append(Region("title", join(title), facts.title))
    return regions
