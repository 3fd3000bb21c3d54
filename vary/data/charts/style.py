"""How a chart looks: fonts, colours, axes, legend, printed values. `fit` draws a look that suits what the chart says.

Lengths are pixels of the image. A look leaves nothing to the drawing engine that decides what can be read: axes, ticks,
number forms and printed decimals are fixed here, so all engines show the same facts.
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
from .spec import Axis, ChartFacts, Form, linear_axis, log_axis, written

PLOT_SHARE = 0.45  # the plot keeps at least this share of the image's width and height; a drawing with less is refused
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
class Look:
    """Everything of a chart's drawing that is not a fact.

    axes: one value axis, or two (left and right; the last series belongs to the second). x_axis: of a scatter chart.
    em, title_em: type sizes. turn: degrees by which category labels are turned. grid: none, value or both. frame: box,
    corner or none. legend: top, right or bottom. names: a pie's names stand at its slices instead of in a legend.
    motley: one series whose bars have different colours.
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
    motley: bool = False
    dashed: bool = False
    title_left: bool = False
    marker: str = ""
    line_px: float = 2.0
    bar_share: float = 0.7

    def axis_of(self, facts: ChartFacts) -> list[Axis]:
        """The axis of each series."""
        return [self.axes[-1 if k == len(facts.series) - 1 else 0] for k in range(len(facts.series))]

    @property
    def printed(self) -> bool:
        """Whether values are printed at the marks."""
        return self.axes[0].printed is not None


@functools.lru_cache(1 << 16)
def text_size(text: str, path: str, em: float) -> tuple[float, float, float]:
    """Width, height of the ink and how far it reaches below the baseline, of one line of text, in px."""
    return _RULER.get_text_width_height_descent(text, font(path, em), False)


@functools.lru_cache(1 << 10)
def font(path: str, em: float) -> FontProperties:
    """A font file at a size, as matplotlib's renderer takes it."""
    return FontProperties(fname=path, size=em)


_RULER = RendererAgg(1, 1, 72)  # 72 dpi: a point is a pixel


@functools.lru_cache(1 << 8)
def _covered(path: str) -> frozenset[int]:
    return frozenset(get_font(path).get_charmap())


def covers(face: Face, texts: list[str]) -> bool:
    """Whether a face has a glyph for every character."""
    return _covered(face.path).issuperset(ord(ch) for text in texts for ch in text)


def han_faces(*folders: str | Path) -> list[Face]:
    """All faces below the folders that have Chinese glyphs, sorted by family, style and file name."""
    faces: dict[tuple[str, str], Face] = {}
    for path in sorted(
        p for folder in folders for p in Path(folder).rglob("*") if p.suffix in (".ttf", ".ttc", ".otf")
    ):
        if ord("汉") in _covered(str(path)):
            family, style = ImageFont.truetype(str(path), 16).getname()
            face = Face(family or path.stem, style or "", str(path))
            faces.setdefault((face.family, face.style), face)
    return sorted(faces.values(), key=lambda f: (f.family, f.style, Path(f.path).name))


def wrap(text: str, face: Face, em: float, width: float) -> list[str]:
    """Lines of a title no wider than `width` where its words allow; Chinese breaks between any two characters."""
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
    rng: np.random.Generator, facts: ChartFacts, faces: list[Face], sizes_px: tuple[int, int], plain: int = 0
) -> tuple[ChartFacts, Look] | None:
    """A look for the facts, and the facts as this look lets them be read; None where no face has their characters.

    plain: 0 for anything, 1 without printed values (but in pies), 2 also with smaller type and labels upright.
    """
    able = [f for f in faces if covers(f, [*facts.texts(), "0123456789.,-KMB%Source:"])]
    if not able:
        return None
    text_faces = [f for f in able if not f.bold] if rng.random() < 0.85 else able
    face = (text_faces or able)[int(rng.integers(len(text_faces or able)))]
    kin = [f for f in able if f.family == face.family and f.bold and not f.italic]
    if facts.title and any(ord(ch) > 0x2FFF for ch in facts.title):
        kin = []
    look = _dress(rng, face, kin[0] if kin and rng.random() < 0.6 else face, sizes_px)
    if plain > 1:
        look = replace(look, em=max(9.0, 0.8 * look.em), title_em=0.8 * look.title_em)
    if facts.kind == "pie":
        return _fit_pie(rng, facts, look)
    look = _turn(facts, look, bool(rng.random() < 0.4), plain)
    if facts.kind == "scatter":
        return _fit_scatter(rng, facts, look)
    pixels = PLOT_SHARE * (look.width if look.horizontal else look.height)
    values = _extents(facts)
    ticks = int(rng.integers(4, 10))
    spread = min(values) > 0 and max(values) / min(values) > 200 and facts.kind in ("bar", "line")
    if spread and rng.random() < 0.85:
        axes: tuple[Axis, ...] = (log_axis(values, _form(rng, facts, 0, values)),)
    else:
        zero = facts.kind != "line" or rng.random() < 0.4
        form = _form(rng, facts, 0, values)
        axes = (linear_axis(values, form, most_ticks=ticks, zero=zero, pixels=pixels),)
    if facts.kind == "composite" and rng.random() < 0.7:
        last = list(facts.series[-1].values)
        form = _form(rng, facts, -1, last)
        axes = (*axes, linear_axis(last, form, most_ticks=ticks, zero=bool(rng.random() < 0.5), pixels=pixels))
    elif facts.kind == "composite" and facts.series[-1].unit != facts.series[0].unit:
        return None
    if plain == 0 and rng.random() < 0.5 and len(axes) == 1:
        decimals = _printed(axes[0], [v for s in facts.series for v in s.values], int(rng.integers(2, 4)))
        if _room(facts, look, axes[0], decimals):
            axes = (_headroom(replace(axes[0], printed=decimals), values, look.horizontal),)
    look = replace(look, axes=axes)
    return written(facts, look.axis_of(facts)), look


def _dress(rng: np.random.Generator, face: Face, title_face: Face, sizes_px: tuple[int, int]) -> Look:
    """Everything that does not depend on the facts."""
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
    return Look(
        width, height, face, title_face, em, round(em * float(rng.uniform(1.1, 1.5)) * 2) / 2,
        tuple(palette[first:] + palette[:first]), ink, paper, panel,
        grid=("none", "value", "value", "both")[int(rng.integers(4))],
        frame=("box", "corner", "corner", "none")[int(rng.integers(4))],
        legend=("top", "right", "bottom")[int(rng.integers(3))],
        axes=(), donut=bool(rng.random() < 0.35), names=bool(rng.random() < 0.5), motley=bool(rng.random() < 0.2),
        dashed=bool(rng.random() < 0.4), title_left=bool(rng.random() < 0.25),
        marker=("", "o", "o", "s", "^", "D")[int(rng.integers(6))], line_px=float(rng.choice((1.5, 2, 2.5, 3))),
        bar_share=float(rng.choice((0.5, 0.6, 0.7, 0.8, 0.9))),
    )  # fmt: skip


def _turn(facts: ChartFacts, look: Look, may_lie: bool, plain: int) -> Look:
    """Lying bars, or labels turned as far as their width asks."""
    widest = max(text_size(label, look.face.path, look.em)[0] for label in facts.labels) if facts.labels else 0.0
    slot = 0.62 * look.width / max(1, len(facts.labels))
    if facts.kind in ("bar", "stacked") and (may_lie or widest > 0.25 * look.height):
        room = PLOT_SHARE * look.height / len(facts.labels) > 1.25 * look.em
        return replace(look, horizontal=room, turn=0 if room else 90)
    if widest < 0.9 * slot and plain < 2:
        return look
    return replace(look, turn=90 if slot < 1.9 * look.em or plain == 2 else 45 if widest < 0.2 * look.height else 90)


def _extents(facts: ChartFacts) -> list[float]:
    """All heights that the first axis must hold: values, or the tops of stacks."""
    own = facts.series[:-1] if facts.kind == "composite" else facts.series
    if facts.kind == "stacked" or (facts.kind == "area" and len(own) > 1):
        return [sum(column) for column in zip(*(s.values for s in own), strict=True)]
    values = [v for s in own for v in s.values]
    if facts.kind == "composite" and facts.series[-1].unit == own[0].unit:
        values += facts.series[-1].values  # the line may share the axis
    return values


def _form(rng: np.random.Generator, facts: ChartFacts, which: int, values: list[float]) -> Form:
    """Thousands, letters or plain digits."""
    unit, most = facts.series[which].unit, max(abs(v) for v in values)
    if _are_years(values):
        return Form(unit)
    chinese = any(ord(ch) > 0x2FFF for text in facts.texts() for ch in text)
    letters = (("亿", 1e8), ("万", 1e4)) if chinese else (("B", 1e9), ("M", 1e6), ("K", 1e3))
    for letter, scale in letters:
        if most >= 2 * scale and unit not in ("%", "‰") and rng.random() < (0.9 if most >= 1e6 else 0.35):
            return Form(unit, letter, scale)
    return Form(unit, comma=bool(rng.random() < 0.5))


def _are_years(values: list[float]) -> bool:
    return all(1500 <= v <= 2100 and v == int(v) for v in values)


def _printed(axis: Axis, values: list[float], digits: int) -> int:
    """Decimals of printed numbers: so many digits of the greatest one, no fewer than the ticks, no more than needed."""
    if axis.log:
        return axis.form.decimals(axis.low) + 1
    most = max(abs(v) for v in values) / axis.form.scale
    wanted = max(axis.form.decimals(axis.step), digits - 1 - math.floor(math.log10(most + 1e-9)))
    needed = next(
        (d for d in range(4) if all(abs(v - axis.form.read(axis.form.write(v, d))) < 1e-9 for v in values)), 4
    )
    return max(0, min(wanted, max(needed, axis.form.decimals(axis.step)), 4))


def _headroom(axis: Axis, values: list[float], horizontal: bool) -> Axis:
    """One more step where a number beyond the longest bar would leave the plot."""
    if axis.log:
        return axis
    share = 0.85 if horizontal else 0.92
    high = axis.high + axis.step if axis.place(max(values)) > share else axis.high
    low = axis.low - axis.step if min(values) < 0 and axis.place(min(values)) < 1 - share else axis.low
    return replace(axis, low=float(f"{low:.12g}"), high=float(f"{high:.12g}"))


def _room(facts: ChartFacts, look: Look, axis: Axis, decimals: int) -> bool:
    """Whether values can be printed at the marks and stay apart."""
    if facts.kind in ("area", "composite") or (facts.kind == "line" and facts.names_shown):
        return False
    count, em = len(facts.labels), look.em
    written_out = {axis.form.write(v, decimals) for s in facts.series for v in s.values}
    widest = max(text_size(t, look.face.path, em)[0] for t in written_out)
    if facts.kind == "stacked":
        length = PLOT_SHARE * (look.width if look.horizontal else look.height)
        least = length * min(v for s in facts.series for v in s.values) / (axis.high - axis.low)
        bar = 0.62 * (look.height if look.horizontal else look.width) / count * look.bar_share
        across, along = (1.2 * em, 1.1 * widest) if look.horizontal else (widest, 1.3 * em)
        return least > along and bar > across
    bars = count * len(facts.series) / (look.bar_share if facts.names_shown else 1)
    slot = (PLOT_SHARE * look.height if look.horizontal else 0.6 * look.width) / bars
    return slot > (1.25 * em if look.horizontal else 1.1 * widest)


def _fit_pie(rng: np.random.Generator, facts: ChartFacts, look: Look) -> tuple[ChartFacts, Look] | None:
    """Every slice prints its share or its value: nobody reads an angle to a percent."""
    one = facts.series[0]
    total = sum(one.values)
    if min(one.values) < 0.03 * total:
        return None
    if one.unit == "%" or rng.random() < 0.7:
        one = replace(one, unit="%", values=tuple(100 * v / total for v in one.values))
        axis = Axis(0, 100, 100, Form("%"), printed=int(rng.integers(3)))
    else:
        axis = linear_axis(list(one.values), _form(rng, facts, 0, list(one.values)), most_ticks=6, zero=True, pixels=99)
        axis = replace(axis, printed=_printed(axis, list(one.values), int(rng.integers(2, 4))))
    look = replace(look, axes=(axis,))
    return written(replace(facts, series=(one,)), [axis]), look


def _fit_scatter(rng: np.random.Generator, facts: ChartFacts, look: Look) -> tuple[ChartFacts, Look] | None:
    """Two number axes; points that would lie on one another, or share an x within a series, are left out."""
    xs = [x for s in facts.series for x in s.at]
    ys = [y for s in facts.series for y in s.values]
    wide, high = PLOT_SHARE * look.width, PLOT_SHARE * look.height

    def axis(values: list[float], form: Form, pixels: float) -> Axis:
        if min(values) > 0 and max(values) / min(values) > 500 and rng.random() < 0.8:
            return log_axis(values, form)
        return linear_axis(values, form, most_ticks=int(rng.integers(4, 8)), zero=False, pixels=pixels)

    plain = max(abs(x) for x in xs)
    x_axis = axis(xs, Form("", "M", 1e6) if plain >= 2e6 else Form(comma=plain >= 1e4), wide)
    look = replace(look, axes=(axis(ys, _form(rng, facts, 0, ys), high),), x_axis=x_axis, turn=0, horizontal=False)
    facts = written(facts, look.axis_of(facts), x_axis)
    taken: list[tuple[float, float]] = []
    series = []
    for one in facts.series:
        keep: list[int] = []
        for k, (x, y) in enumerate(zip(one.at, one.values, strict=True)):
            place = wide * x_axis.place(x), high * look.axes[0].place(y)
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
    return replace(facts, series=tuple(series)), look
