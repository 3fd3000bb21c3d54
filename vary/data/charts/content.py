"""Choose titles, labels and values of charts: from real tables, from the words of a corpus, from Chinese phrases.

Each class has `sample_spec(rng, kind) -> ChartSpec | None`. The result depends only on `rng`. It is None if the content
cannot fill a chart of that kind. Values are raw here; `style.fit` rounds them to what the chart lets a reader see.

Source: Vary, arXiv 2312.06109, sections 3.2.2 (stage 1: random titles, labels and values) and 3.3.2 (stage 2: content
that belongs together, written by GPT-4). Here stage 2 uses real tables. examples/ask_for_tables.py asks for more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ...io.errors import InputError
from ..corpus.tables import RawTable
from ..corpus.text import TextSource
from .spec import ChartSpec, Series

MAX_LABEL = 26  # characters of a label or a series' name
_NUMBER = re.compile(r"([$€£¥￥]?)(-?)([$€£¥￥]?)((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([%‰°元]?)")
_ORDERED = re.compile(r"(1[5-9]|20)\d\d(\D.{0,8})?|(Q[1-4]|[A-Z][a-z]{2}|\d+)(\D.{0,6})?|.*[年月季日]")


class Content(Protocol):
    """A source of chart contents."""

    def sample_spec(self, rng: np.random.Generator, kind: str) -> ChartSpec | None:
        """Return the contents of one chart of a kind, or None if this draw cannot make one."""


class TableCharts:
    """Contents from real tables, so that titles, labels and values belong together.

    `unused` maps the title of each table that cannot be charted to the reason.

    Args:
        tables: tables of texts; columns of numbers are found here.
        source: who published the figures; half of the charts show it.

    Raises:
        InputError: none of the tables can be charted.
    """

    def __init__(self, tables: Sequence[RawTable], source: str = ""):
        self.source = source
        self.unused: dict[str, str] = {}
        self._tables: list[tuple[str, list[str], list[list[str]], list[int], list[int]]] = []
        for title, header, rows in tables:
            body = [[str(cell).strip() for cell in row] for row in rows if len(row) == len(header)]
            numeric = [c for c in range(len(header)) if body and _is_numeric([r[c] for r in body])]
            names = [c for c in range(len(header)) if c not in numeric or _is_order(body, c)]
            if len(body) < 3 or not numeric:
                self.unused[title] = "fewer than 3 full rows" if len(body) < 3 else "no column of numbers"
            elif not names and len(numeric) < 2:
                self.unused[title] = "no column of labels"
            else:
                self._tables.append((title, [str(h).strip() for h in header], body, names, numeric))
        if not self._tables:
            raise InputError(f"none of {len(tables)} tables can be charted: {dict(Counter(self.unused.values()))}")

    def sample_spec(self, rng: np.random.Generator, kind: str) -> ChartSpec | None:
        """See `Content`."""
        title, header, body, names, numeric = self._tables[int(rng.integers(len(self._tables)))]
        source = self.source if rng.random() < 0.5 else ""
        if kind == "scatter":
            return self._scatter(rng, title, header, body, numeric, source)
        if not names:
            return None
        key = names[int(rng.integers(len(names)))]
        rest = [c for c in numeric if c != key]
        if not rest:
            return None
        count = {"pie": 1, "bar": int(rng.integers(1, 4)), "line": int(rng.integers(1, 5))}.get(kind, 2)
        columns = self._related_columns(rng, body, rest, count, kind)
        if columns is None:
            return None
        part, note = _one_row_each(rng, header, body, key, [c for c in names if c != key])
        rows = _pick_rows(rng, part, key, columns, kind)
        if rows is None:
            return None
        series = tuple(_series(header[c], [r[c] for r in rows]) for c in columns)
        if len(series) > 1 and len({s.name for s in series}) < len(series):
            return None
        if kind in ("pie", "stacked", "area") and min(v for s in series for v in s.values) <= 0:
            return None
        if kind == "pie" and series[0].unit == "%" and abs(sum(series[0].values) - 100) > 2:
            return None  # some of the shares are missing, so the slices would not sum to 100%
        y_title = header[columns[0]] if len(columns) == 1 and kind != "pie" else ""
        x_title = header[key] if kind != "pie" and rng.random() < 0.7 else ""
        named = title if len(columns) > 1 or rng.random() < 0.5 else f"{title}: {header[columns[0]]}"
        return ChartSpec(kind, tuple(r[key] for r in rows), series, named + note, source, x_title, y_title)

    def _related_columns(
        self, rng: np.random.Generator, body: list[list[str]], rest: list[int], count: int, kind: str
    ) -> list[int] | None:
        """Choose columns that can share an axis: the same unit, medians within a factor of thirty."""
        first = rest[int(rng.integers(len(rest)))]
        if kind == "composite":
            others = [c for c in rest if c != first]
            return [first, others[int(rng.integers(len(others)))]] if others else None

        def measure(c: int) -> tuple[str, float]:
            one = _series("", [r[c] for r in body if r[c]])
            return one.unit, float(np.median(np.abs(one.values))) + 1e-12

        unit, size = measure(first)
        kin = [c for c in rest if c != first and measure(c)[0] == unit and 1 / 30 < measure(c)[1] / size < 30]
        columns = [first, *(kin[k] for k in rng.permutation(len(kin))[: count - 1])]
        return columns if len(columns) > 1 or kind not in ("stacked",) else None

    def _scatter(
        self, rng: np.random.Generator, title: str, header: list[str], body: list[list[str]], numeric: list[int],
        source: str,
    ) -> ChartSpec | None:  # fmt: skip
        if len(numeric) < 2:
            return None
        x, y = (numeric[k] for k in rng.permutation(len(numeric))[:2])
        full = [r for r in body if r[x] and r[y]]
        rows = [full[k] for k in sorted(rng.permutation(len(full))[: int(rng.integers(8, 31))])]
        if len(rows) < 3:
            return None
        at, ys = _series("", [r[x] for r in rows]).values, _series(header[y], [r[y] for r in rows])
        one = Series(ys.name, ys.values, ys.unit, at=at)
        return ChartSpec("scatter", (), (one,), title, source, header[x], header[y])


def _is_numeric(cells: list[str]) -> bool:
    """Return whether at least 90% of the cells are numbers with one unit and the others are empty."""
    found = [_NUMBER.fullmatch(cell) for cell in cells if cell]
    units = {(m[1] or m[3], m[5]) for m in found if m}
    return len(found) >= max(3, 0.9 * len(cells)) and all(found) and len(units) == 1


def _is_order(body: list[list[str]], c: int) -> bool:
    """Return whether a column holds years, which can also serve as labels."""
    return all(re.fullmatch(r"(1[5-9]|20)\d\d", r[c]) for r in body)


def _series(name: str, cells: list[str]) -> Series:
    values, unit = [], ""
    for cell in cells:
        m = _NUMBER.fullmatch(cell)
        assert m is not None, cell
        values.append(float(m[2] + m[4].replace(",", "")))
        unit = m[1] or m[3] or m[5]
    return Series(name, tuple(values), unit)


def _one_row_each(
    rng: np.random.Generator, header: list[str], body: list[list[str]], key: int, others: list[int]
) -> tuple[list[list[str]], str]:
    """Select rows so that each label occurs once, and return them with a note for the title.

    If labels repeat, keep the rows that share one value of another column; the note names column and value.
    """
    if len({r[key] for r in body}) == len(body):
        return body, ""
    for other in (others[k] for k in rng.permutation(len(others))):
        if len({(r[key], r[other]) for r in body}) == len(body):
            value = body[int(rng.integers(len(body)))][other]
            return [r for r in body if r[other] == value], f", {header[other]} {value}"
    return [], ""


def _pick_rows(
    rng: np.random.Generator, body: list[list[str]], key: int, columns: list[int], kind: str
) -> list[list[str]] | None:
    """Choose rows with short labels: consecutive ones if the labels have an order (years), else any."""
    found = [row for row in body if row[key] and len(row[key]) <= MAX_LABEL and all(row[c] for c in columns)]
    ordered = bool(found) and all(_ORDERED.fullmatch(r[key]) for r in found)
    if len(found) < 3 or (kind in ("line", "area") and not ordered and rng.random() < 0.9):
        return None
    most = {"pie": 8, "stacked": 12, "line": 20, "area": 20}.get(kind, 14)
    count = int(rng.integers(3, min(most, len(found)) + 1))
    if ordered:
        stride = int(rng.integers(1, 1 + max(1, (len(found) - 1) // max(1, count - 1))))
        start = int(rng.integers(max(1, len(found) - stride * (count - 1))))
        return found[start::stride][:count]
    picked = [found[k] for k in sorted(rng.permutation(len(found))[:count])]
    if rng.random() < 0.4:
        picked.sort(key=lambda r: -_series("", [r[columns[0]]]).values[0])
    return picked


class WordCharts:
    """Contents without a meaning: words of a corpus as titles and labels, random values (stage 1)."""

    def __init__(self, text: TextSource):
        self.text = text

    def sample_spec(self, rng: np.random.Generator, kind: str) -> ChartSpec | None:
        """See `Content`."""

        def words(least: int, most: int) -> str:
            return " ".join(self.text.words(rng, int(rng.integers(least, most + 1))))[: 60 if most > 3 else MAX_LABEL]

        labels = _orders(rng, _ENGLISH_ORDERS) if rng.random() < 0.35 or kind in ("line", "area") else []
        shown = {name: words(1, 5).strip() if rng.random() < 0.7 else "" for name in ("x_title", "y_title")}
        title = words(2, 9).strip() if rng.random() < 0.95 else ""
        source = words(1, 3).strip() if rng.random() < 0.3 else ""
        units = ("", "", "", "%", "$", "€", "°")
        return _random_chart(rng, kind, labels, lambda: words(1, 2).strip(), units, title, source, shown)


class ChineseCharts:
    """Contents in Chinese: quantities of places, trades and years, with random values.

    Args:
        phrases: more titles, such as headlines of 4 to 40 characters.
    """

    def __init__(self, phrases: Sequence[str] = ()):
        self.phrases = [p for p in phrases if 4 <= len(p) <= 40]

    def sample_spec(self, rng: np.random.Generator, kind: str) -> ChartSpec | None:
        """See `Content`."""

        def one(texts: Sequence[str]) -> str:
            return texts[int(rng.integers(len(texts)))]

        measure, unit, outside = _MEASURES[int(rng.integers(len(_MEASURES)))]
        group, names = _GROUPS[int(rng.integers(len(_GROUPS)))]
        labels = _orders(rng, _CHINESE_ORDERS) if rng.random() < 0.3 or kind in ("line", "area") else []
        title = f"{int(rng.integers(2000, 2026))}年{one(_GROUPS[0][1])}{group if not labels else ''}{measure}"
        title += one(("", "统计", "情况", "对比", "变化趋势"))
        if self.phrases and rng.random() < 0.5:
            title = one(self.phrases)
        shown = {
            "x_title": "" if rng.random() < 0.4 else "时间" if labels else group,
            "y_title": "" if rng.random() < 0.3 else measure + (f"（{outside}）" if outside else ""),
        }
        if kind == "scatter":
            across, _, outside = _MEASURES[int(rng.integers(len(_MEASURES)))]
            shown["x_title"] = across + (f"（{outside}）" if outside else "")
        source = one(("国家统计局", "行业年度报告", "公开资料整理", "市场调查问卷")) if rng.random() < 0.3 else ""
        return _random_chart(rng, kind, labels, lambda: one(names), (unit,), title, source, shown)


_ENGLISH_ORDERS = (
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), ("Q1", "Q2", "Q3", "Q4"),
    tuple(str(year) for year in range(1990, 2026)), tuple(f"{year}s" for year in range(1890, 2030, 10)),
)  # fmt: skip
_CHINESE_ORDERS = (
    tuple(f"{month}月" for month in range(1, 13)), tuple(f"{year}年" for year in range(1995, 2026)),
    tuple(f"周{day}" for day in "一二三四五六日"), tuple(f"第{n}季度" for n in "一二三四"),
)  # fmt: skip
_MEASURES = (  # quantity, unit printed at each number, unit in the axis title
    ("销售额", "", "万元"), ("人口", "", "万人"), ("增长率", "%", ""), ("平均气温", "°", ""), ("产量", "", "吨"),
    ("用户数量", "", "千人"), ("市场份额", "%", ""), ("平均工资", "元", ""), ("利润", "", "亿元"), ("满意度", "%", ""),
    ("访问量", "", "次"), ("降水量", "", "毫米"), ("就诊人数", "", "人"), ("发电量", "", "千瓦时"),
    ("成交价格", "¥", ""),
)  # fmt: skip
_GROUPS = (
    ("城市", ("北京", "上海", "广州", "深圳", "成都", "杭州", "武汉", "西安", "南京", "重庆", "天津", "哈尔滨")),
    ("行业", ("制造业", "金融业", "教育", "房地产", "信息技术", "交通运输", "农业", "建筑业", "批发零售", "住宿餐饮")),
    ("产品", ("手机", "笔记本电脑", "平板", "电视机", "空调", "洗衣机", "冰箱", "耳机", "智能手表", "打印机")),
    ("学科", ("语文", "数学", "英语", "物理", "化学", "生物", "历史", "地理", "政治", "信息技术")),
    ("年龄段", ("18岁以下", "18至25岁", "26至35岁", "36至45岁", "46至60岁", "60岁以上")),
    ("渠道", ("线上商城", "实体门店", "代理商", "直播带货", "电话销售", "社区团购", "会员推荐")),
)  # fmt: skip


def _orders(rng: np.random.Generator, orders: Sequence[Sequence[str]]) -> list[str]:
    """Return consecutive members of an order, such as months or years."""
    order = orders[int(rng.integers(len(orders)))]
    count = int(rng.integers(min(4, len(order)), min(12, len(order)) + 1))
    start = int(rng.integers(len(order) - count + 1))
    return list(order[start : start + count])


def _distinct(draw: Callable[[], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    for _ in range(4 * count):
        text = draw()
        if text and len(found) < count:
            found[text] = None
    return list(found)


def _random_chart(
    rng: np.random.Generator,
    kind: str,
    labels: list[str],
    name: Callable[[], str],
    units: Sequence[str],
    title: str,
    source: str,
    shown: dict[str, str],
) -> ChartSpec | None:
    """Return a chart of random values with the given texts, or None if too few texts differ."""
    if kind == "pie":
        labels, shown = [], {}
    labels = labels or _distinct(name, int(rng.integers(3, {"pie": 9, "stacked": 9}.get(kind, 13))))
    several = {"stacked": (2, 5), "composite": (2, 4), "bar": (1, 4), "line": (1, 5), "area": (1, 4), "scatter": (1, 4)}
    low, high = several.get(kind, (1, 2))
    names = _distinct(name, int(rng.integers(low, high)) if rng.random() < 0.6 else low)
    if len(names) < low or len(labels) < 2:
        return None
    unit = units[int(rng.integers(len(units)))]
    if kind == "scatter":
        labels = []
    series: list[Series] = []
    size = 10 ** float(rng.uniform(0, 6)) if unit not in ("%", "°") else 90.0
    for k, one in enumerate(names):
        if kind == "composite" and k == len(names) - 1 and rng.random() < 0.5:
            unit, size = "%", 60.0
        count = len(labels) or int(rng.integers(6, 26))
        values = _random_values(rng, count, kind) * size
        at: tuple[float, ...] = ()
        if kind == "scatter":
            at = tuple(float(v) for v in rng.uniform(0, 1, count) * 10 ** float(rng.uniform(0, 4)))
            if k:
                at = tuple(float(v) for v in rng.uniform(min(series[0].at), max(series[0].at), count))
        series.append(Series(one, tuple(float(v) for v in values), unit, at=at))
    return ChartSpec(kind, tuple(labels), tuple(series), title, source, **shown)


def _random_values(rng: np.random.Generator, count: int, kind: str) -> np.ndarray:
    """Return values mostly between 0 and 1: noise, a trend, a random walk, or several decades.

    Only a random walk may be negative, and only in charts that can show it.
    """
    shape = rng.random()
    if shape < 0.45 or kind in ("pie", "stacked", "area"):
        return rng.uniform(0.15, 1, count)
    if shape < 0.65:
        return np.linspace(rng.uniform(0.1, 1), rng.uniform(0.1, 1), count) * rng.uniform(0.85, 1.15, count)
    if shape < 0.85:
        walk = 0.5 + np.cumsum(rng.normal(0, 0.1, count))
        return walk if rng.random() < 0.3 or kind == "scatter" else np.abs(walk) + 0.02
    return 10 ** rng.uniform(-3.2, 0, count)
