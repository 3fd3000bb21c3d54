from __future__ import annotations

import hashlib
import http.server
import json
import runpy
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from vary.data.charts.content import ChineseCharts, TableCharts, WordCharts
from vary.data.charts.matplotlib_engine import draw
from vary.data.charts.source import ChartSource, default_faces, is_clear
from vary.data.charts.spec import KINDS, SCHEMAS, Axis, Form, linear_axis, log_axis, target
from vary.data.charts.style import fit
from vary.markup.chart_text import number, parse_chart

from ..conftest import printed_by

EXAMPLE = Path(__file__).parents[2] / "examples/ask_for_tables.py"
ask, read_table = (runpy.run_path(str(EXAMPLE))[name] for name in ("ask", "read_table"))
YEARS = [str(y) for y in range(2000, 2020)]
TABLES = [
    ("Passengers", ["Year", "Rail", "Air"], [[y, f"{40 + 3 * k}.5", f"{90 - 2 * k}"] for k, y in enumerate(YEARS)]),
    ("Energy", ["Source", "Share"], [["Coal", "27%"], ["Gas", "24%"], ["Oil", "31%"], ["Wind", "18%"]]),
    ("Rain", ["City", "Month", "Rain"],
     [[c, m, str(10 * k + j + 5)] for k, c in enumerate(("Bergen", "Oslo", "Turku")) for j, m in enumerate("JFMA")]),
]  # fmt: skip


@pytest.fixture(scope="module")
def content(text_source):
    return [WordCharts(text_source), TableCharts(TABLES, "the ministry")]


def digest(sample) -> str:
    parts = [sample.image.tobytes(), sample.target.encode(), repr(sample.regions).encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_same_bytes_in_another_process():
    code = (
        "from tests.data.test_charts import TABLES, digest\n"
        "from vary.data.charts.source import ChartSource\nfrom vary.data.charts.content import TableCharts\n"
        "source = ChartSource([TableCharts(TABLES)], seed=3, engines={'matplotlib': 2, 'vega': 1}, degraded=0.3)\n"
        "print([digest(source.sample(i)) for i in (7, 2, 5)])"
    )
    source = ChartSource([TableCharts(TABLES)], seed=3, engines={"matplotlib": 2, "vega": 1}, degraded=0.3)
    assert printed_by(code).strip() == str([digest(source.sample(i)) for i in (7, 2, 5)])


def test_samples_hang_on_nothing_but_seed_and_number(content):
    source = ChartSource(content, seed=1)
    before = [digest(source.sample(i)) for i in range(4)]
    assert [digest(source.sample(i)) for i in reversed(range(4))] == before[::-1]
    assert len({*before, digest(ChartSource(content, seed=2).sample(0))}) == 5


def test_all_of_the_answer_can_be_seen(content):
    source = ChartSource(content, seed=5, schema="onechart")
    for i in range(30):
        sample = source.sample(i)
        chart = parse_chart(sample.target)
        assert chart.complete
        assert not chart.rest
        assert not chart.repeated
        seen: dict[str, set[str]] = {}
        for region in sample.regions:
            seen.setdefault(region.label, set()).add(region.text)
        for name in ("title", "source", "x_title", "y_title"):
            shown = getattr(chart, name)
            assert seen.get(name, set()) == ({shown} if shown else set()), (i, name)
        several = isinstance(next(iter(chart.values.values())), dict)
        tables = chart.values.values() if several else [chart.values]
        assert all(isinstance(v, str) and number(v) for table in tables for v in table.values())
        if several:
            assert set(chart.values) == seen["legend"]
        if sample.meta["chart"] != "scatter":
            labels = seen["legend"] if sample.meta["chart"] == "pie" else seen["x_tick"]
            assert all(set(table) == labels for table in tables)
        marks = seen.get("bar", set()) | seen.get("point", set()) | seen.get("slice", set())
        if sample.meta["chart"] == "scatter":
            assert marks == {f"({x}, {y})" for table in tables for x, y in table.items()}
        else:
            assert marks == {v for table in tables for v in table.values()}


def test_schemas_and_their_prompts(content):
    source = ChartSource(content, seed=9)
    samples = [source.sample(i) for i in range(12)]
    assert {s.meta["schema"] for s in samples} == set(SCHEMAS)
    assert len({s.prompt for s in samples}) == 3
    for sample in samples:
        schema = sample.meta["schema"]
        assert sample.target.startswith("The dict of the chart is: {\n    \"title\"") == (schema == "vary")  # fmt: skip
        assert ("\n" in sample.target) == (schema != "onechart-compact")
        keys = list(json.loads(sample.target[sample.target.index("{") :]))
        assert keys == (["title", "data"] if schema == "vary" else ["title", "source", "x_title", "y_title", "values"])
    assert ChartSource(content, schema="vary").sample(0).prompt is None


def test_missing_texts_are_none(text_source):
    spec, _ = fitted("bar", text_source, 0)
    bare = target(type(spec)("bar", spec.labels, spec.series), "onechart")
    read = json.loads(bare)
    assert [read[k] for k in ("title", "source", "x_title", "y_title")] == ["None"] * 4


def fitted(kind, text_source, seed, plain=0):
    rng = np.random.default_rng((77, seed))
    tries = (
        fit(rng, WordCharts(text_source).sample_spec(rng, kind), default_faces(), (480, 800), plain) for _ in range(50)
    )
    return next(found for found in tries if found is not None)


@pytest.mark.parametrize("step", [0.1, 0.5, 2, 20, 5000])
def test_unprinted_values_are_parts_of_a_step(step):
    axis = linear_axis([0.0, 6.3 * step], Form(), most_ticks=8, zero=True, pixels=400)
    assert axis.step == pytest.approx(step)
    assert axis.quantum == pytest.approx(step / 20)
    written = axis.form.read(axis.write(3.3333 * step))
    assert abs(written - 3.3333 * step) <= step / 40 * 1.0001
    assert written / (step / 20) == pytest.approx(round(written / (step / 20)))
    low = linear_axis([0.0, 6.3 * step], Form(), most_ticks=8, zero=True, pixels=60)  # 8.6 px a step
    assert low.quantum == pytest.approx(step / 5)


def test_log_values_are_twentieths_of_a_decade():
    axis = log_axis([3.0, 4500.0], Form())
    assert (axis.low, axis.high, axis.tick_texts()) == (1.0, 10000.0, ["1", "10", "100", "1000", "10000"])
    assert [axis.write(v) for v in (1, 1.13, 2, 9.6, 333, 4500)] == ["1.0", "1.1", "2.0", "10", "320", "4500"]
    assert all(axis.write(axis.form.read(axis.write(v))) == axis.write(v) for v in np.geomspace(1, 9999, 300))
    with pytest.raises(ValueError, match="cannot hold 0"):
        log_axis([0.0, 5.0], Form())


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (Form("%"), "12.94%", 12.94),
        (Form("$", "M", 1e6), "-$3.50M", -3.5e6),
        (Form("", comma=True), "1,234.00", 1234.0),
        (Form("元", "万", 1e4), "12.30万元", 123000.0),
    ],
)
def test_numbers_are_read_as_written(form, text, value):
    assert form.write(value, 2) == text
    assert form.read(text) == value
    assert number(text) is not None
    with pytest.raises(ValueError, match=r"not a number|could not convert"):
        form.read("n/a")


def test_printed_values_are_exact():
    axis = Axis(0, 10, 2, printed=1)
    assert axis.write(3.14159) == "3.1"


def test_charts_of_tables_keep_their_figures():
    charts = TableCharts([*TABLES, ("Names", ["a", "b"], [["x", "y"]] * 5)])
    assert charts.unused == {"Names": "no column of numbers"}
    figures = {v for _, _, rows in TABLES for row in rows for v in row}
    slices, kinds = 0, set()
    for i in range(150):
        rng = np.random.default_rng(i)
        spec = charts.sample_spec(rng, KINDS[i % len(KINDS)])
        if spec is None:
            continue
        kinds.add(spec.kind)
        raw = {float(v.rstrip("%")) for v in figures if v.rstrip("%").replace(".", "").isdigit()}
        assert all(v in raw for s in spec.series for v in s.values)
        if spec.title.startswith("Rain") and spec.kind != "scatter":
            slices += 1
            assert ", City " in spec.title or ", Month " in spec.title
        assert len(set(spec.labels)) == len(spec.labels)
    assert slices
    assert kinds == set(KINDS)
    with pytest.raises(ValueError, match="none of 1 tables"):
        TableCharts([("Names", ["a", "b"], [["x", "y"]] * 5)])


def test_chinese_content_asks_for_a_chinese_face():
    source = ChartSource([ChineseCharts()], seed=0)
    with pytest.raises(ValueError, match="chart 3 of seed 0"):
        source.sample(3)


def test_unknown_names_are_told(content):
    with pytest.raises(ValueError, match="unknown chart kind 'radar'"):
        ChartSource(content, kinds=["radar"])
    with pytest.raises(ValueError, match=r"unknown chart engine 'plotly'; allowed: matplotlib, vega$"):
        ChartSource(content, engines={"plotly": 1})
    with pytest.raises(ValueError, match="unknown chart schema 'yaml'"):
        ChartSource(content, schema="yaml")
    with pytest.raises(ValueError, match="need content"):
        ChartSource([])


def test_texts_that_touch_are_found(text_source):
    spec, style = fitted("bar", text_source, 1, plain=1)
    drawing = draw(spec, style)
    assert is_clear(drawing)
    ticks = [k for k, r in enumerate(drawing.regions) if r.label == "x_tick"]
    drawing.regions[ticks[0]] = drawing.regions[ticks[1]]
    assert not is_clear(drawing)


def test_defects_move_the_boxes(content):
    plain, worn = (ChartSource(content, seed=4, degraded=d) for d in (0.0, 1.0))
    moved = 0
    for i in range(10):
        a, b = plain.sample(i), worn.sample(i)
        assert a.target == b.target
        assert [r.text for r in a.regions] == [r.text for r in b.regions]
        if "skew" in b.meta["degraded"]:
            moved += a.regions != b.regions
    assert moved


ANSWERS = [
    {"title": "Bridges", "header": ["River", "Length"], "rows": [["Rhine", "12.5"], ["Elbe", "7"], ["Oder", 9]]},
    "no table today",
    {"title": "Bridges", "header": ["River", "Length"], "rows": [["Rhine", "12.5", "x"]] * 3},
    {"title": "Bridges", "header": ["River", "Bank"], "rows": [["Rhine", "left"]] * 3},
    '{"title": "cut off',
    None,
]


def test_a_server_is_asked_and_its_failures_are_counted(tmp_path, monkeypatch):
    seen = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, self.headers["Authorization"], body["model"]))
            content = ANSWERS[len(seen) - 1]
            self.send_response(200 if content is not None else 503)
            self.end_headers()
            said = content if isinstance(content, str) else "Sure:\n```json\n" + json.dumps(content) + "\n```"
            self.wfile.write(json.dumps({"choices": [{"message": {"content": said}}]}).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        asked = ask(url, "some-model", ["rivers"] * len(ANSWERS), key="k")
        (tmp_path / "topics.txt").write_text("rivers\n\n")
        assert seen[0] == ("/v1/chat/completions", "Bearer k", "some-model")
        seen.clear()
        run = [str(EXAMPLE), url, "other-model", str(tmp_path / "topics.txt"), "-o", str(tmp_path / "out.json")]
        monkeypatch.setattr(sys, "argv", run)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        server.shutdown()
    assert json.loads((tmp_path / "out.json").read_text()) == [list(table) for table in asked.tables]
    assert seen[0] == ("/v1/chat/completions", "Bearer k", "other-model")
    assert asked.tables == [("Bridges", ["River", "Length"], [["Rhine", "12.5"], ["Elbe", "7"], ["Oder", "9"]])]
    assert asked.failures.pop("status 503") == 1
    assert asked.failures.pop("no JSON object") == 1
    assert asked.failures.pop("broken JSON") == 1
    assert asked.failures.pop("rows of another length than the header") == 1
    assert asked.failures == {"none of 1 tables can be charted: {'no column of numbers': 1}": 1}
    closed = ask(f"http://127.0.0.1:{server.server_port}/v1", "m", ["a"], timeout_s=2)
    assert closed.failures == {"no connection": 1}
    with pytest.raises(ValueError, match="http"):
        ask("ftp://nowhere", "m", ["a"])
    with pytest.raises(ValueError, match="not title, header and rows"):
        read_table('{"title": 3}')
