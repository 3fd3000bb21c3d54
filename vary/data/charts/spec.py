"""Define the contents of a chart (`ChartSpec`), its axes and number formats, and the answer text (`target`).

Answer and image agree by one rule. A value is first rounded to what a reader can see, then the chart is drawn from
the rounded value. A printed number is exact. A value without a printed label is a multiple of 1/20 of the major tick
step; of 1/10, 1/5, 1/2 or the whole step where a finer one would move a mark by less than 1.5 pixels. On a log axis it
is one of 20 steps per decade, with two digits. Text that the chart does not show is "" here and "None" in the answer.

Sources: Vary, arXiv 2312.06109, figure 10 (the dict of `title` and `data` with its lead line); OneChart, arXiv
2404.09987 (`title, source, x_title, y_title, values`, all strings). Vary does not say how it writes several series;
here `data` then maps series -> {label -> value}, as OneChart's `values` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from ...io.errors import ConfigError
from ...markup.chart_text import Chart, format_chart

SCHEMAS = ("vary", "onechart", "onechart-compact")
LEAST_PX = 1.5  # the last digit of a value without a label must move its mark by this many pixels
_PREFIXES = ("$", "€", "£", "¥", "￥")


@dataclass(frozen=True)
class Series:
    """The values of one series.

    unit: printed with each number (`%`, `$`, `万`), "" for none. values: one for each label of the chart; in a scatter
    chart one for each x value in `at`. texts, at_texts: values and x values as text, set by `round_values`.
    """

    name: str
    values: tuple[float, ...]
    unit: str = ""
    texts: tuple[str, ...] = ()
    at: tuple[float, ...] = ()
    at_texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChartSpec:
    """The contents of a chart. kind: one of `KINDS`. Empty texts are not shown. source: who published the figures."""

    kind: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    title: str = ""
    source: str = ""
    x_title: str = ""
    y_title: str = ""

    @property
    def names_shown(self) -> bool:
        """Whether the chart has a legend of series. The legend of a pie names its slices instead."""
        return len(self.series) > 1

    def texts(self) -> list[str]:
        """Return every text but the numbers; the font must have all their characters."""
        names = [f"{s.name}{s.unit}" for s in self.series]
        return [self.title, self.source, self.x_title, self.y_title, *self.labels, *names]


KINDS = ("bar", "stacked", "line", "area", "pie", "scatter", "composite")


@dataclass(frozen=True)
class Form:
    """A number format, such as `$1,234`, `12.94%` or `3.5M`. scale: the factor that `letter` stands for."""

    unit: str = ""
    letter: str = ""
    scale: float = 1.0
    comma: bool = False

    def write(self, value: float, decimals: int) -> str:
        """Format a number."""
        digits = f"{abs(value) / self.scale:{',' if self.comma else ''}.{decimals}f}"
        sign = "-" if value < 0 and any(ch in "123456789" for ch in digits) else ""
        if self.unit in _PREFIXES:
            return f"{sign}{self.unit}{digits}{self.letter}"
        return f"{sign}{digits}{self.letter}{self.unit}"

    def read(self, text: str) -> float:
        """Parse a number that `write` formatted. Raises ValueError for any other text."""
        digits = text
        for part in (self.unit, self.letter):
            if part and part not in digits:
                raise ValueError(f"{text!r} is not a number with {part!r}")
            digits = digits.replace(part, "", 1) if part else digits
        value = float(digits.replace(",", "")) * self.scale
        return float(f"{value:.12g}")  # 0.7 * 1000 is not 700 in binary

    def decimals(self, step: float) -> int:
        """Return how many decimals multiples of `step` need."""
        return next((d for d in range(10) if abs(round(step / self.scale, d) - step / self.scale) < 1e-9 * step), 9)


@dataclass(frozen=True)
class Axis:
    """A value axis from `low` to `high` with a tick at every `step` (log: at every power of ten).

    quantum: values without a printed label are multiples of it (see the module's docstring). printed: decimals of
    printed values, None if values are not printed.
    """

    low: float
    high: float
    step: float
    form: Form = Form()
    log: bool = False
    quantum: float = 0.0
    printed: int | None = None

    def ticks(self) -> list[float]:
        """Return the values of the ticks in ascending order."""
        if self.log:
            return [10.0**k for k in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]
        first, last = math.ceil(self.low / self.step - 1e-6), math.floor(self.high / self.step + 1e-6)
        return [float(f"{k * self.step:.12g}") for k in range(first, last + 1)]

    def tick_texts(self) -> list[str]:
        """Return the tick labels."""
        return [self.form.write(t, self.form.decimals(t if self.log else self.step)) for t in self.ticks()]

    def place(self, value: float) -> float:
        """Return the position of a value: 0 at the low end of the axis, 1 at the high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def write(self, value: float) -> str:
        """Format a value as exactly as a reader can see it."""
        if self.printed is not None:
            return self.form.write(value, self.printed)
        if self.log:
            value = float(f"{10 ** (round(20 * math.log10(value)) / 20):.2g}")  # 1, 1.1, 1.3, 1.4, 1.6 ...
            return self.form.write(value, self.form.decimals(10.0 ** (math.floor(math.log10(value) + 1e-9) - 1)))
        return self.form.write(round(value / self.quantum) * self.quantum, self.form.decimals(self.quantum))


def linear_axis(values: list[float], form: Form, *, most_ticks: int, zero: bool, pixels: float) -> Axis:
    """Return a linear axis with round steps that holds all values.

    Args:
        values: values to show.
        form: format of its labels.
        most_ticks: largest number of steps.
        zero: include zero.
        pixels: smallest length of the axis in the image.
    """
    low, high = min(values), max(values)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-9):
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    step = 10.0 ** math.floor(math.log10((high - low) / most_ticks))
    step *= next(m for m in (1, 2, 5, 10, 20) if (high - low) / (m * step) <= most_ticks)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    px_per_step = pixels * step / (high - low)
    parts = next((n for n in (20, 10, 5, 2) if px_per_step / n >= LEAST_PX), 1)
    low, high, step = (float(f"{v:.12g}") for v in (low, high, step))
    return Axis(low, high, step, form, quantum=float(f"{step / parts:.12g}"))


def log_axis(values: list[float], form: Form) -> Axis:
    """Return a log axis of whole decades that holds all values. Raises ValueError unless all are positive."""
    if min(values) <= 0:
        raise ValueError(f"a log axis cannot hold {min(values)}")
    low = math.floor(math.log10(min(values)) + 1e-9)
    high = max(low + 1, math.ceil(math.log10(max(values)) - 1e-9))
    return Axis(10.0**low, 10.0**high, 10.0**low, form, log=True)


def round_values(spec: ChartSpec, axes: list[Axis], x_axis: Axis | None = None) -> ChartSpec:
    """Round every value to what a reader can see, and add the texts. axes: one for each series."""
    series = []
    for one, axis in zip(spec.series, axes, strict=True):
        texts = tuple(axis.write(v) for v in one.values)
        one = replace(one, texts=texts, values=tuple(axis.form.read(t) for t in texts))
        if x_axis is not None:
            at_texts = tuple(x_axis.write(v) for v in one.at)
            one = replace(one, at_texts=at_texts, at=tuple(x_axis.form.read(t) for t in at_texts))
        series.append(one)
    return replace(spec, series=tuple(series))


def target(spec: ChartSpec, schema: str) -> str:
    """Write the answer for a chart with rounded values. Raises ConfigError for an unknown schema."""
    if schema not in SCHEMAS:
        raise ConfigError(f"unknown chart schema {schema!r}; allowed: {', '.join(SCHEMAS)}")
    tables = [dict(zip(s.at_texts or spec.labels, s.texts, strict=True)) for s in spec.series]
    values: dict[str, Any] = dict(tables[0])
    if spec.names_shown:
        values = {s.name: table for s, table in zip(spec.series, tables, strict=True)}
    texts = (spec.title or None, values, spec.source or None, spec.x_title or None, spec.y_title or None)
    return format_chart(Chart(*texts), schema.removesuffix("-compact"), None if schema.endswith("compact") else 4)
