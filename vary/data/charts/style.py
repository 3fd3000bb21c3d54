"""Choose how a chart looks (`ChartStyle`): fonts, colours, axes, legend, printed values. `fit` suits it to a spec.

Lengths are pixels of the image. Everything that decides what can be read is fixed here: axes, ticks, number formats
and printed decimals. So all engines show the same values with the same texts.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties, get_font
from PIL import ImageFont

from ..pages.glyphs import Face
from .spec import Axis, ChartSpec, Form, linear_axis, log_axis, round_values

PLOT_SHARE = 0.45  # smallest share of the image's width and height for the plot; drawings with less are rejected
_PALETTES = tuple(
    tuple(f"#{line[k : k + 6]}" for k in range(0, len(line), 7))
    for line in (
        "1f77b4 ff7f0e 2ca02c d62728 9467bd 8c564b e377c2 bcbd22",  # Tableau, matplotlib's and Vega's default
        "4e79a7 f28e2b e15759 76b7b2 59a14f edc948 b07aa1 9c755f",  # Tableau 10, second edition
        "5470c6 91cc75 fac858 ee6666 73c0de 3ba272 fc8452 9a60b4",  # ECharts
        "1b9e77 d95f02 7570b3 e7298a 66a61e e6ab02 a6761d 666666",  # ColorBrewer Dark2
        "66c2a5 fc8d62 8da0cb e78ac3 a6d854 ffd92f e5c494 b3b3b3",  # ColorBrewer Set2
        "4472c4 ed7d31 a5a5a5 ffc000 5b9bd5 70ad47 264478 9e480e",  # office suites
        "440154 31688e 35b779 90d743 443983 21918c fde725 5ec962",  # viridis
        "222222 777777 aaaaaa 444444 999999 555555 bbbbbb 666666",  # print without colour
        "003f5c bc5090 ffa600 58508d ff6361 2f4b7c a05195 f95d6a",
        "0072b2 d55e00 009e73 cc79a7 e69f00 56b4e9 f0e442 000000",  # Okabe and Ito, for the colour-blind
    )
)
_PAPERS = (("#ffffff", "#ffffff"), ("#ffffff", "#eaeaf2"), ("#fafafa", "#fafafa"), ("#fff8ec", "#fff8ec"),
           ("#d5e4eb", "#d5e4eb"), ("#ffffff", "#f4f4f4"))  # fmt: skip


@dataclass(frozen=True)
class ChartStyle:
    """The look of a chart.

    axes: one value axis, or two (left and right; the last series uses the second). x_axis: only in scatter charts.
    em, title_em: type sizes. turn: rotation of category labels, degrees. grid: none, value or both. frame: box, corner
    or none. legend: top, right or bottom. names: label the slices of a pie directly, without a legend.
    multicoloured: give each bar of a single series its own colour.
    """

    width: int
    height: int
    face: Face
    title_face: Face
    em: float
    title_em: float
    palette: tuple[str, ...]
    ink: str
    paper: str
    panel: str
    grid: str
    frame: str
    legend: str
    axes: tuple[Axis, ...]
    x_axis: Axis | None = None
    turn: int = 0
    horizontal: bool = False
    donut: bool = False
    names: bool = False
    multicoloured: bool = False
    dashed: bool = False
    title_left: bool = False
    marker: str = ""
    line_px: float = 2.0
    bar_share: float = 0.7

    def axis_of(self, spec: ChartSpec) -> list[Axis]:
        """Return the value axis of each series."""
        return [self.axes[-1 if k == len(spec.series) - 1 else 0] for k in range(len(spec.series))]

    @property
    def printed(self) -> bool:
        """Whether values are printed next to the marks."""
        return self.axes[0].printed is not None


@functools.lru_cache(1 << 16)
def text_size(text: str, path: str, em: float) -> tuple[float, float, float]:
    """Measure one line of text: its width, the height of its ink, and the ink's depth below the baseline, in pixels."""
    return _RULER.get_text_width_height_descent(text, font(path, em), False)


@functools.lru_cache(1 << 10)
def font(path: str, em: float) -> FontProperties:
    """Return the matplotlib font properties of a font file at a size in pixels."""
    return FontProperties(fname=path, size=em)


_RULER = RendererAgg(1, 1, 72)  # 72 dpi, so a point is a pixel


@functools.lru_cache(1 << 8)
def _characters_of(path: str) -> frozenset[int]:
    return frozenset(get_font(path).get_charmap())


def covers(face: Face, texts: list[str]) -> bool:
    """Return whether a face has a glyph for every character of the texts."""
    return _characters_of(face.path).issuperset(ord(ch) for text in texts for ch in text)


def han_faces(*folders: str | Path) -> list[Face]:
    """Find all faces with Chinese glyphs below the folders, sorted by family, style and file name."""
    faces: dict[tuple[str, str], Face] = {}
    for path in sorted(
        p for folder in folders for p in Path(folder).rglob("*") if p.suffix in (".ttf", ".ttc", ".otf")
    ):
        if ord("汉") in _characters_of(str(path)):
            family, style = ImageFont.truetype(str(path), 16).getname()
            face = Face(family or path.stem, style or "", str(path))
            faces.setdefault((face.family, face.style), face)
    return sorted(faces.values(), key=lambda f: (f.family, f.style, Path(f.path).name))


def wrap(text: str, face: Face, em: float, width: float) -> list[str]:
    """Break a title into lines no wider than `width` pixels, between words; text without spaces breaks anywhere."""
    lines = [""]
    glue = " " if " " in text else ""
    for word in text.split(" ") if glue else list(text):
        longer = f"{lines[-1]}{glue if lines[-1] else ''}{word}"
        if lines[-1] and text_size(longer, face.path, em)[0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines if text else []


def fit(
    rng: np.random.Generator, spec: ChartSpec, faces: list[Face], sizes_px: tuple[int, int], plain: int = 0
) -> tuple[ChartSpec, ChartStyle] | None:
    """Choose a style for a spec; return the spec rounded to what this style shows, and the style.

    Args:
        rng: source of all choices.
        spec: the contents, with raw values.
        faces: candidate fonts.
        sizes_px: smallest and largest width of an image.
        plain: 0 anything; 1 no printed values (except in pies); 2 also smaller type and vertical labels.

    Returns:
        None if no face has all the characters, or the values do not fit a chart of this kind.
    """
    able = [f for f in faces if covers(f, [*spec.texts(), "0123456789.,-KMB%Source:"])]
    if not able:
        return None
    text_faces = [f for f in able if not f.bold] if rng.random() < 0.85 else able
    face = (text_faces or able)[int(rng.integers(len(text_faces or able)))]
    kin = [f for f in able if f.family == face.family and f.bold and not f.italic]
    if spec.title and any(ord(ch) > 0x2FFF for ch in spec.title):
        kin = []
    style = _dress(rng, face, kin[0] if kin and rng.random() < 0.6 else face, sizes_px)
    if plain > 1:
        style = replace(style, em=max(9.0, 0.8 * style.em), title_em=0.8 * style.title_em)
    if spec.kind == "pie":
        return _fit_pie(rng, spec, style)
    style = _turn(spec, style, bool(rng.random() < 0.4), plain)
    if spec.kind == "scatter":
        return _fit_scatter(rng, spec, style)
    axes = _value_axes(rng, spec, style, plain)
    if axes is None:
        return None
    style = replace(style, axes=axes)
    return round_values(spec, style.axis_of(spec)), style


def _value_axes(rng: np.random.Generator, spec: ChartSpec, style: ChartStyle, plain: int) -> tuple[Axis, ...] | None:
    """Choose one value axis, or two for a composite chart; None if its series need two and get one."""
    pixels = PLOT_SHARE * (style.width if style.horizontal else style.height)
    values = _extents(spec)
    ticks = int(rng.integers(4, 10))
    spread = min(values) > 0 and max(values) / min(values) > 200 and spec.kind in ("bar", "line")
    if spread and rng.random() < 0.85:
        axes: tuple[Axis, ...] = (log_axis(values, _form(rng, spec, 0, values)),)
    else:
        zero = spec.kind != "line" or rng.random() < 0.4
        form = _form(rng, spec, 0, values)
        axes = (linear_axis(values, form, most_ticks=ticks, zero=zero, pixels=pixels),)
    if spec.kind == "composite" and rng.random() < 0.7:
        last = list(spec.series[-1].values)
        form = _form(rng, spec, -1, last)
        axes = (*axes, linear_axis(last, form, most_ticks=ticks, zero=bool(rng.random() < 0.5), pixels=pixels))
    elif spec.kind == "composite" and spec.series[-1].unit != spec.series[0].unit:
        return None
    if plain == 0 and rng.random() < 0.5 and len(axes) == 1:
        decimals = _decimals(axes[0], [v for s in spec.series for v in s.values], int(rng.integers(2, 4)))
        if _room(spec, style, axes[0], decimals):
            axes = (_headroom(replace(axes[0], printed=decimals), values, style.horizontal),)
    return axes


def _dress(rng: np.random.Generator, face: Face, title_face: Face, sizes_px: tuple[int, int]) -> ChartStyle:
    """Choose everything that does not depend on the contents."""
    width = int(rng.integers(sizes_px[0], sizes_px[1] + 1))
    height = int(min(sizes_px[1], max(0.75 * sizes_px[0], width * rng.choice((0.56, 0.62, 0.75, 0.75, 1.0, 1.2)))))
    em = round(float(np.clip(min(width, height) / 42 * rng.uniform(0.8, 1.25), 10, 22)) * 2) / 2
    palette = list(_PALETTES[int(rng.integers(len(_PALETTES)))])
    first = int(rng.integers(len(palette))) if rng.random() < 0.5 else 0
    paper, panel = _PAPERS[int(rng.choice(len(_PAPERS), p=(0.6, 0.1, 0.08, 0.07, 0.05, 0.1)))]
    ink = ("#000000", "#333333", "#555555", "#262626")[int(rng.integers(4))]
    if rng.random() < 0.07:
        paper = panel = ("#100c2a", "#1e1e1e", "#2b2b2b")[int(rng.integers(3))]
        ink, palette = "#e8e8e8", list(_PALETTES[2])
    return ChartStyle(
        width, height, face, title_face, em, round(em * float(rng.uniform(1.1, 1.5)) * 2) / 2,
        tuple(palette[first:] + palette[:first]), ink, paper, panel,
        grid=("none", "value", "value", "both")[int(rng.integers(4))],
        frame=("box", "corner", "corner", "none")[int(rng.integers(4))],
        legend=("top", "right", "bottom")[int(rng.integers(3))],
        axes=(), donut=bool(rng.random() < 0.35), names=bool(rng.random() < 0.5),
        multicoloured=bool(rng.random() < 0.2), dashed=bool(rng.random() < 0.4), title_left=bool(rng.random() < 0.25),
        marker=("", "o", "o", "s", "^", "D")[int(rng.integers(6))], line_px=float(rng.choice((1.5, 2, 2.5, 3))),
        bar_share=float(rng.choice((0.5, 0.6, 0.7, 0.8, 0.9))),
    )  # fmt: skip


def _turn(spec: ChartSpec, style: ChartStyle, may_lie: bool, plain: int) -> ChartStyle:
    """Make bars horizontal, or rotate labels by 45 or 90 degrees, if the labels are too wide."""
    widest = max(text_size(label, style.face.path, style.em)[0] for label in spec.labels) if spec.labels else 0.0
    slot = 0.62 * style.width / max(1, len(spec.labels))
    if spec.kind in ("bar", "stacked") and (may_lie or widest > 0.25 * style.height):
        room = PLOT_SHARE * style.height / len(spec.labels) > 1.25 * style.em
        return replace(style, horizontal=room, turn=0 if room else 90)
    if widest < 0.9 * slot and plain < 2:
        return style
    return replace(style, turn=90 if slot < 1.9 * style.em or plain == 2 else 45 if widest < 0.2 * style.height else 90)


def _extents(spec: ChartSpec) -> list[float]:
    """Return all values that the first axis must hold; for stacks these are the totals."""
    own = spec.series[:-1] if spec.kind == "composite" else spec.series
    if spec.kind == "stacked" or (spec.kind == "area" and len(own) > 1):
        return [sum(column) for column in zip(*(s.values for s in own), strict=True)]
    values = [v for s in own for v in s.values]
    if spec.kind == "composite" and spec.series[-1].unit == own[0].unit:
        values += spec.series[-1].values  # the line may share the axis
    return values


def _form(rng: np.random.Generator, spec: ChartSpec, which: int, values: list[float]) -> Form:
    """Choose a number format: plain digits, thousands separators, or a scale letter such as K."""
    unit, most = spec.series[which].unit, max(abs(v) for v in values)
    if _are_years(values):
        return Form(unit)
    chinese = any(ord(ch) > 0x2FFF for text in spec.texts() for ch in text)
    letters = (("亿", 1e8), ("万", 1e4)) if chinese else (("B", 1e9), ("M", 1e6), ("K", 1e3))
    for letter, scale in letters:
        if most >= 2 * scale and unit not in ("%", "‰") and rng.random() < (0.9 if most >= 1e6 else 0.35):
            return Form(unit, letter, scale)
    return Form(unit, comma=bool(rng.random() < 0.5))


def _are_years(values: list[float]) -> bool:
    return all(1500 <= v <= 2100 and v == int(v) for v in values)


def _decimals(axis: Axis, values: list[float], digits: int) -> int:
    """Return the decimals of printed values: `digits` digits for the largest, at least those of the ticks.

    No more decimals than all values need.
    """
    if axis.log:
        return axis.form.decimals(axis.low) + 1
    most = max(abs(v) for v in values) / axis.form.scale
    wanted = max(axis.form.decimals(axis.step), digits - 1 - math.floor(math.log10(most + 1e-9)))
    needed = next(
        (d for d in range(4) if all(abs(v - axis.form.read(axis.form.write(v, d))) < 1e-9 for v in values)), 4
    )
    return max(0, min(wanted, max(needed, axis.form.decimals(axis.step)), 4))


def _headroom(axis: Axis, values: list[float], horizontal: bool) -> Axis:
    """Extend the axis by one step if a number printed at the end of the longest bar would leave the plot."""
    if axis.log:
        return axis
    share = 0.85 if horizontal else 0.92
    high = axis.high + axis.step if axis.place(max(values)) > share else axis.high
    low = axis.low - axis.step if min(values) < 0 and axis.place(min(values)) < 1 - share else axis.low
    return replace(axis, low=float(f"{low:.12g}"), high=float(f"{high:.12g}"))


def _room(spec: ChartSpec, style: ChartStyle, axis: Axis, decimals: int) -> bool:
    """Return whether the values can be printed next to the marks without overlap."""
    if spec.kind in ("area", "composite") or (spec.kind == "line" and spec.names_shown):
        return False
    count, em = len(spec.labels), style.em
    written_out = {axis.form.write(v, decimals) for s in spec.series for v in s.values}
    widest = max(text_size(t, style.face.path, em)[0] for t in written_out)
    if spec.kind == "stacked":
        length = PLOT_SHARE * (style.width if style.horizontal else style.height)
        least = length * min(v for s in spec.series for v in s.values) / (axis.high - axis.low)
        bar = 0.62 * (style.height if style.horizontal else style.width) / count * style.bar_share
        across, along = (1.2 * em, 1.1 * widest) if style.horizontal else (widest, 1.3 * em)
        return least > along and bar > across
    bars = count * len(spec.series) / (style.bar_share if spec.names_shown else 1)
    slot = (PLOT_SHARE * style.height if style.horizontal else 0.6 * style.width) / bars
    return slot > (1.25 * em if style.horizontal else 1.1 * widest)


def _fit_pie(rng: np.random.Generator, spec: ChartSpec, style: ChartStyle) -> tuple[ChartSpec, ChartStyle] | None:
    """Fit a pie. Every slice prints its share or its value, since an angle cannot be read to a percent."""
    one = spec.series[0]
    total = sum(one.values)
    if min(one.values) < 0.03 * total:
        return None
    if one.unit == "%" or rng.random() < 0.7:
        one = replace(one, unit="%", values=tuple(100 * v / total for v in one.values))
        axis = Axis(0, 100, 100, Form("%"), printed=int(rng.integers(3)))
    else:
        axis = linear_axis(list(one.values), _form(rng, spec, 0, list(one.values)), most_ticks=6, zero=True, pixels=99)
        axis = replace(axis, printed=_decimals(axis, list(one.values), int(rng.integers(2, 4))))
    style = replace(style, axes=(axis,))
    return round_values(replace(spec, series=(one,)), [axis]), style


def _fit_scatter(rng: np.random.Generator, spec: ChartSpec, style: ChartStyle) -> tuple[ChartSpec, ChartStyle] | None:
    """Fit a scatter chart. Points that would overlap, or repeat an x value of their series, are dropped."""
    xs = [x for s in spec.series for x in s.at]
    ys = [y for s in spec.series for y in s.values]
    wide, high = PLOT_SHARE * style.width, PLOT_SHARE * style.height

    def axis(values: list[float], form: Form, pixels: float) -> Axis:
        if min(values) > 0 and max(values) / min(values) > 500 and rng.random() < 0.8:
            return log_axis(values, form)
        return linear_axis(values, form, most_ticks=int(rng.integers(4, 8)), zero=False, pixels=pixels)

    plain = max(abs(x) for x in xs)
    x_axis = axis(xs, Form("", "M", 1e6) if plain >= 2e6 else Form(comma=plain >= 1e4), wide)
    style = replace(style, axes=(axis(ys, _form(rng, spec, 0, ys), high),), x_axis=x_axis, turn=0, horizontal=False)
    spec = round_values(spec, style.axis_of(spec), x_axis)
    taken: list[tuple[float, float]] = []
    series = []
    for one in spec.series:
        keep: list[int] = []
        for k, (x, y) in enumerate(zip(one.at, one.values, strict=True)):
            place = wide * x_axis.place(x), high * style.axes[0].place(y)
            if all(np.hypot(place[0] - a, place[1] - b) > 5 for a, b in taken) and one.at_texts[k] not in {
                one.at_texts[j] for j in keep
            }:
                keep.append(k)
                taken.append(place)
        fields: dict[str, Any] = {
            f: tuple(getattr(one, f)[k] for k in keep) for f in ("values", "texts", "at", "at_texts")
        }
        series.append(replace(one, **fields))
    if min(len(s.values) for s in series) < 3:
        return None
    return replace(spec, series=tuple(series)), style
