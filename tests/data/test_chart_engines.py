from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vary.data.charts.canvas import Canvas
from vary.data.charts.content import ChineseCharts, WordCharts
from vary.data.charts.matplotlib_engine import contrast, draw
from vary.data.charts.source import ENGINES, ChartSource, default_faces, is_clear
from vary.data.charts.spec import KINDS, LEAST_PX, Axis, ChartSpec, Form, Series, round_values, target
from vary.data.charts.style import ChartStyle, covers, fit, han_faces, text_size, wrap
from vary.io.errors import MissingExtra
from vary.markup.chart_text import parse_chart

MARK = {"bar": "bar", "stacked": "bar", "line": "point", "area": "point", "pie": "slice", "scatter": "point"}


@pytest.fixture(scope="module")
def fitted(text_source):
    """Facts of a kind with a style in which they are drawn clearly by matplotlib."""
    kept: dict[tuple[str, int], tuple[ChartSpec, ChartStyle]] = {}

    def make(kind: str, seed: int = 0) -> tuple[ChartSpec, ChartStyle]:
        rng = np.random.default_rng((5, seed))
        for _ in range(0 if (kind, seed) in kept else 50):
            spec = WordCharts(text_source).sample_spec(rng, kind)
            found = fit(rng, spec, default_faces(), (480, 800)) if spec else None
            if found is not None and is_clear(draw(*found)):
                kept[kind, seed] = found
                break
        return kept[kind, seed]

    return make


def colour_near(image: np.ndarray, box, colour: str) -> bool:
    """Whether the box holds a pixel of the colour, antialiasing allowed for."""
    x0, y0, x1, y1 = box
    crop = image[max(0, int(y0)) : int(np.ceil(y1)) + 1, max(0, int(x0)) : int(np.ceil(x1)) + 1].astype(int)
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return bool((np.abs(crop - wanted).max(-1) < 40).any())


def colours(spec: ChartSpec, style: ChartStyle) -> list[str]:
    """The colour of each mark, series after series."""
    found = []
    for s, one in enumerate(spec.series):
        multicoloured = spec.kind == "pie" or (style.multicoloured and not spec.names_shown and spec.kind == "bar")
        found += [style.palette[(k if multicoloured else s) % len(style.palette)] for k in range(len(one.values))]
    return found


@pytest.mark.parametrize("engine", ["matplotlib", "vega"])
@pytest.mark.parametrize("kind", KINDS)
def test_marks_are_drawn_where_their_boxes_are(fitted, kind, engine):
    hidden = total = 0
    for seed in range(1 if engine == "vega" else 4):
        spec, style = fitted(kind, seed)
        style = replace(style, panel=style.paper)
        drawing = ENGINES[engine](spec, style)
        marks = [r for r in drawing.regions if r.label in ("bar", "point", "slice")]
        texts = [f"({x}, {y})" for s in spec.series for x, y in zip(s.at_texts, s.texts, strict=False)]
        texts = texts or [t for s in spec.series for t in s.texts]
        assert [m.text for m in marks] == texts
        if kind != "composite":
            assert {m.label for m in marks} == {MARK[kind]}
        for mark, value, colour in zip(
            marks, [v for s in spec.series for v in s.values], colours(spec, style), strict=True
        ):
            if value != 0:
                total += 1
                hidden += not colour_near(drawing.image, mark.box, colour)
    assert hidden <= 1 + 0.03 * total, "a mark is hidden by another now and then, no more"


@pytest.mark.parametrize("engine", ["matplotlib", "vega"])
def test_text_boxes_hold_their_ink(fitted, engine):
    for seed, kind in enumerate(KINDS):
        spec, style = fitted(kind, seed)
        style = replace(style, panel=style.paper, grid="none")
        drawing = ENGINES[engine](spec, style)
        paper = np.array([int(style.paper[k : k + 2], 16) for k in (1, 3, 5)], np.int16)
        ink = np.abs(drawing.image.astype(np.int16) - paper).max(-1) > 30
        for region in drawing.regions:
            if region.label not in ("title", "source", "x_title", "y_title", "x_tick", "y_tick", "legend"):
                continue
            x0, y0, x1, y1 = region.box
            inked = ink[:, max(0, int(x0) - 2) : int(x1) + 3]
            rows = np.flatnonzero(inked[max(0, int(y0) - 2) : int(y1) + 3].any(1))
            columns = np.flatnonzero(inked[max(0, int(y0)) : int(y1) + 1].any(0))
            assert len(rows), (kind, region)
            assert rows[-1] - rows[0] >= 0.5 * (y1 - y0) - 4, (kind, region)
            assert columns[-1] - columns[0] >= 0.8 * (x1 - x0) - 4, (kind, region)


def test_engines_show_the_same_texts(fitted):
    for kind in KINDS:
        spec, style = fitted(kind)
        first, second = (
            Counter((r.label, r.text) for r in ENGINES[engine](spec, style).regions)
            for engine in ("matplotlib", "vega")
        )
        assert first == second, kind


@pytest.mark.parametrize("schema", ["vary", "onechart-compact"])
def test_an_answer_draws_its_picture_again(fitted, schema):
    for seed in range(2):
        for kind in KINDS:
            spec, style = fitted(kind, seed)
            again = spec_of(target(spec, schema), spec, style)
            assert np.array_equal(draw(spec, style).image, draw(again, style).image), (kind, seed)
    first, *rest = again.series
    other = replace(again, series=(replace(first, values=tuple(0.6 * v for v in first.values)), *rest))
    assert not np.array_equal(draw(spec, style).image, draw(other, style).image)


def spec_of(answer: str, drawn: ChartSpec, style: ChartStyle) -> ChartSpec:
    """What an answer says of a chart like `drawn`; texts that the answer's schema leaves out are those of `drawn`."""
    chart = parse_chart(answer)
    series = []
    for one, axis in zip(drawn.series, style.axis_of(drawn), strict=True):
        table = chart.values[one.name] if drawn.names_shown else chart.values
        values = tuple(axis.form.read(t) for t in table.values())
        one = Series(one.name, values, one.unit, tuple(table.values()))
        if style.x_axis:
            one = replace(one, at_texts=tuple(table), at=tuple(style.x_axis.form.read(t) for t in table))
        series.append(one)
    labels = () if style.x_axis else tuple(table)
    if answer.startswith("The dict"):
        return replace(drawn, labels=labels, series=tuple(series), title=chart.title or "")
    texts = {name: getattr(chart, name) or "" for name in ("title", "source", "x_title", "y_title")}
    return replace(drawn, labels=labels, series=tuple(series), **texts)


@pytest.mark.parametrize("engine", ["matplotlib", "vega"])
def test_a_bar_can_be_read_to_its_last_digit(fitted, engine):
    unprinted = 0
    for seed in range(20 if engine == "matplotlib" else 6):
        spec, style = fitted("bar", seed)
        axis = style.axes[0]
        if axis.log or axis.printed is not None:
            continue
        unprinted += 1
        drawing = ENGINES[engine](spec, style)
        x0, y0, x1, y1 = drawing.plot
        px = (x1 - x0 if style.horizontal else y1 - y0) / (axis.high - axis.low)
        assert px * axis.quantum >= LEAST_PX or axis.quantum == axis.step
        bars = [r for r in drawing.regions if r.label == "bar"]
        for bar in bars:
            length = (bar.box[2] - bar.box[0] if style.horizontal else bar.box[3] - bar.box[1]) / px
            assert abs(length - abs(axis.form.read(bar.text))) < 0.75 / px, (seed, bar)
    assert unprinted >= 2


def plain_style(**changes) -> ChartStyle:
    face = default_faces()[0]
    base = ChartStyle(600, 450, face, face, 14, 18, ("#1f77b4", "#d62728"), "#000000", "#ffffff", "#ffffff", "value",
                "corner", "top", (Axis(0, 10, 2, Form(), quantum=0.1),))  # fmt: skip
    return replace(base, **changes)


def test_log_axis_and_lying_bars():
    spec = ChartSpec("bar", ("a", "b", "c"), (Series("s", (1.0, 10.0, 1000.0)),))
    axis = Axis(1.0, 1000.0, 1.0, log=True)
    for horizontal in (False, True):
        style = plain_style(axes=(axis,), horizontal=horizontal)
        drawing = draw(round_values(spec, [axis]), style)
        bars = [r.box for r in drawing.regions if r.label == "bar"]
        lengths = [b[2] - b[0] if horizontal else b[3] - b[1] for b in bars]
        whole = drawing.plot[2] - drawing.plot[0] if horizontal else drawing.plot[3] - drawing.plot[1]
        assert lengths == pytest.approx([0, whole / 3, whole], abs=0.01)
        assert [r.text for r in drawing.regions if r.label == "y_tick"] == ["1", "10", "100", "1000"]


def test_bars_below_zero_hang_and_their_numbers_stand_under_them():
    axis = Axis(-10, 10, 5, Form("%"), printed=0)
    spec = round_values(ChartSpec("bar", ("a", "b"), (Series("s", (-7.0, 6.0), "%"),)), [axis])
    for engine in ("matplotlib", "vega"):
        regions = ENGINES[engine](spec, plain_style(axes=(axis,))).regions
        bars, values = ({r.text: r.box for r in regions if r.label == name} for name in ("bar", "value"))
        assert set(bars) == set(values) == {"-7%", "6%"}
        assert bars["-7%"][1] == pytest.approx(bars["6%"][3], abs=1)
        assert values["-7%"][1] > bars["-7%"][3] > bars["6%"][3] > bars["6%"][1] > values["6%"][3] - 2


def test_a_second_axis_belongs_to_the_last_series():
    axes = (Axis(0, 10, 5), Axis(0, 100, 50, Form("%"), quantum=2.5))
    spec = ChartSpec("composite", ("a", "b"), (Series("bars", (5.0, 10.0)), Series("line", (50.0, 100.0), "%")))
    axes = (replace(axes[0], quantum=0.25), axes[1])
    for engine in ("matplotlib", "vega"):
        drawing = ENGINES[engine](round_values(spec, list(axes)), plain_style(axes=axes, marker="o"))
        bars = [r.box for r in drawing.regions if r.label == "bar"]
        points = [r.box for r in drawing.regions if r.label == "point"]
        for bar, point in zip(bars, points, strict=True):
            assert bar[1] == pytest.approx((point[1] + point[3]) / 2, abs=1)
        assert {r.text for r in drawing.regions if r.label == "y_tick"} == {"0", "5", "10", "0%", "50%", "100%"}


def test_titles_are_wrapped_and_read_as_one():
    face = default_faces()[0]
    lines = wrap("one two three four five six seven", face, 20, 150)
    assert len(lines) > 1
    assert " ".join(lines) == "one two three four five six seven"
    assert all(text_size(line, face.path, 20)[0] <= 150 for line in lines)
    assert len(wrap("abcdefghijklmnopqrst", face, 20, 90)) > 1, "text without blanks, such as Chinese, breaks anywhere"
    assert wrap("", face, 20, 90) == []
    assert [contrast(c) for c in ("#ffffff", "#000000", "#ffd92f", "#003f5c")] == ["#000000", "#ffffff"] * 2


@pytest.mark.parametrize("turn", [0, 45, 90])
def test_turned_text_stands_in_its_box(turn):
    canvas = Canvas(300, 300, "#ffffff")
    box = canvas.text(150, 150, "Turned glyphs", default_faces()[0].path, 22, "#000000", "middle middle", turn)
    ink = np.argwhere(canvas.image()[..., 0] < 128)
    (top, left), (bottom, right) = ink.min(0), ink.max(0)
    assert box[0] - 2 <= left <= right <= box[2] + 2
    assert box[1] - 2 <= top <= bottom <= box[3] + 2
    if turn != 45:
        assert (left, top, right, bottom) == pytest.approx(box, abs=4)


def test_vega_without_its_package_says_so(monkeypatch, fitted):
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    with pytest.raises(MissingExtra, match="vl-convert-python"):
        ENGINES["vega"](*fitted("bar"))


@pytest.mark.slow  # fetches a Chinese font
@pytest.mark.filterwarnings("ignore:Glyph 65535")
def test_chinese_glyphs_are_drawn():
    from vary.data.corpus.download import fetch

    faces = han_faces(fetch("deb:fonts-wqy-microhei"))
    assert faces
    assert all(Path(f.path).exists() and covers(f, ["年北京人口"]) for f in faces)
    marks = set()
    for ch in "年北京人口统计\uffff":  # the last one is what a font draws for a character that it lacks
        canvas = Canvas(60, 60, "#ffffff")
        canvas.text(30, 30, ch, faces[0].path, 40, "#000000", "middle middle")
        marks.add(canvas.image().tobytes())
    assert len(marks) == 8
    for engine in ("matplotlib", "vega"):
        source = ChartSource([ChineseCharts()], faces=faces, engines={engine: 1}, kinds=["bar"], seed=1)
        seen = {}
        for i in range(6):
            sample = source.sample(i)
            for region in sample.regions:
                if region.label == "title":
                    x0, y0, x1, y1 = (round(v) for v in region.box)
                    crop = sample.image[y0 : y1 + 1, x0 : x1 + 1].min(-1)
                    seen[region.text] = (crop < 0.5 * crop.max()).mean()
        assert len(seen) > 3
        assert all(0.05 < share < 0.6 for share in seen.values()), engine


def test_words_that_vega_s_expressions_know_are_names_like_others():
    series = tuple(Series(name, (2.0, 5.0)) for name in ("if", "datum", "scale"))
    axis = Axis(0, 10, 5, quantum=0.5)
    style = plain_style(axes=(axis,), palette=("#1f77b4", "#d62728", "#2ca02c"))
    regions = ENGINES["vega"](round_values(ChartSpec("bar", ("a", "b"), series), [axis] * 3), style).regions
    assert [r.text for r in regions if r.label == "legend"] == ["if", "datum", "scale"]
    assert sum(r.label == "bar" for r in regions) == 6
