from __future__ import annotations

import gzip
import hashlib
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vary.data.corpus.download import fetch
from vary.data.corpus.tables import is_number, round_column, tables_from, value_of, wrap_cell
from vary.data.documents.typst import draw, load_fonts, print_pdf
from vary.data.sample import Sample
from vary.data.tables import PROMPTS, TableSource
from vary.markup.tables import Cell, Rule, Table, TableStyle, parse_latex, to_html, to_latex, to_typst

from ..conftest import printed_by

REAL = [
    ("Cars & trucks", ["make", "origin", "mpg", "hp_max", "price $"], [
        ["Chevrolet Chevelle Malibu, the station wagon", "USA", "18.0", "130", "1,200"],
        ["Renault 12 <TL>", "Europe", "27.123456", "", "950"],
        ["Peugeot 504 100% {diesel}", "Europe", "25.0", "87", "1,010"],
        ["Datsun_PL510 ~#1", "Japan", "27.0", "88", "980"],
        ["a\\b^c|d", "Japan", "NA", "-1.5", "12"],
        ["Toyota Corona", "Japan", "24.0", "95", "13"],
    ]),
    ("Years", ["year", "n"], [[str(1990 + k), str(k * k)] for k in range(20)]),
]  # fmt: skip
NASTY = "& % $ # _ { } \\ < > ~ ^ | \" ' -- `é"


class CellReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[Cell]] = []
        self.header, self.raised = 0, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            spans = {k: int(v or 1) for k, v in attrs if k in ("rowspan", "colspan")}
            self.rows[-1].append(Cell("", spans.get("rowspan", 1), spans.get("colspan", 1)))
        elif tag == "br":
            self.handle_data("\n")
        elif tag == "b":
            self._change(bold=True)
        self.raised = self.raised or tag == "sup"

    def handle_endtag(self, tag: str) -> None:
        if tag == "thead":
            self.header = len(self.rows)
        if tag == "sup":
            self.raised = False

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            cell = self.rows[-1][-1]
            self._change(**({"mark": cell.mark + data} if self.raised else {"text": cell.text + data}))

    def _change(self, **values: str | bool) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] = replace(self.rows[-1][-1], **values)  # type: ignore[arg-type]


def read_html(text: str) -> Table:
    """The cells, spans, header, caption and notes of a table as `to_html` writes it; columns are `l`."""
    match = re.fullmatch(r"(.*?)(<table>.*</table>)\n?(.*)", text.strip(), re.S)
    assert match
    reader = CellReader()
    reader.feed(match[2])
    notes = re.findall(r"(?m)^<sup>(.*?)</sup> (.*)$", match[3])
    below = re.sub(r"(?m)^<sup>.*\n?", "", match[3]).strip()
    columns = sum(cell.columns for cell in reader.rows[0])
    return Table(
        tuple(map(tuple, reader.rows)), "l" * columns, header=reader.header,
        caption=html.unescape(match[1].strip() or below), below=bool(below),
        notes=tuple((html.unescape(mark), html.unescape(note)) for mark, note in notes),
    )  # fmt: skip


def digest(sample: Sample) -> str:
    boxes = b"".join(line.boxes.tobytes() for line in sample.lines)
    said = repr((sample.image.shape, sample.target, sample.regions, sample.meta, [line.text for line in sample.lines]))
    return hashlib.sha256(sample.image.tobytes() + boxes + said.encode()).hexdigest()


@pytest.fixture(scope="module")
def source() -> TableSource:
    return TableSource(REAL, seed=4, degraded=0)


def test_pure_in_any_order(source: TableSource) -> None:
    numbers = [0, 3, 8, 21]
    first = {i: digest(source.sample(i)) for i in numbers}
    back = TableSource(REAL, seed=4, degraded=0)
    assert {i: digest(back.sample(i)) for i in reversed(numbers)} == first
    assert len(set(first.values())) == len(numbers)
    assert digest(TableSource(REAL, seed=5, degraded=0).sample(0)) != first[0]


def test_same_bytes_in_another_process() -> None:
    code = (
        "from tests.data.test_tables import *\n"
        "s = TableSource(REAL, seed=4, degraded=0.5)\n"
        "print([digest(s.sample(i)) for i in range(4)])"
    )
    again = TableSource(REAL, seed=4, degraded=0.5)
    assert printed_by(code).strip() == repr([digest(again.sample(i)) for i in range(4)])


def test_targets_say_what_the_picture_shows(source: TableSource) -> None:
    """Parsed and set again, the LaTeX gives the same page; so does the HTML with the rules that it cannot say."""
    spans, kinds = set(), set()
    for i in range(150):
        table, style, _ = source.table(i)
        markup = to_typst(table, style)
        parsed = parse_latex(to_latex(table))
        assert to_typst(replace(parsed, header=table.header), style) == markup
        assert to_latex(parsed) == to_latex(table)
        read = read_html(to_html(table))
        assert to_html(read) == to_html(table)
        rows = [
            [replace(cell, align=old.align) for cell, old in zip(row, before, strict=True)]
            for row, before in zip(read.rows, table.rows, strict=True)
        ]
        dressed = replace(
            table, rows=tuple(map(tuple, rows)), header=read.header, caption=read.caption, notes=read.notes
        )
        assert to_typst(replace(dressed, below=read.below), style) == markup
        spans |= {(cell.rows > 1, cell.columns > 1) for row in table.rows for cell in row}
        kinds |= {rule.kind for rule in table.rules.values()}
    assert {(True, False), (False, True)} <= spans
    assert kinds == {"top", "mid", "bottom", "line"}


def test_set_again_the_image_has_the_same_bytes() -> None:
    fonts = load_fonts()
    source = TableSource(REAL, seed=9)
    for i in range(3):
        table, style, _ = source.table(i)
        again = replace(parse_latex(to_latex(table)), header=table.header)
        one, two = (draw(print_pdf(to_typst(t, style), fonts)[0], 1.5) for t in (table, again))
        assert one.tobytes() == two.tobytes()


def test_boxes_hold_ink(source: TableSource) -> None:
    for i in range(24):
        sample = source.sample(i)
        dark = sample.image < int(sample.image.max()) - 40
        table, cells = sample.regions[0], sample.regions[1:]
        assert table.label == "table"
        assert len(cells) == len(sample.meta["cells"])
        assert max(sample.image.shape) <= 1024
        for cell in cells:
            x0, y0, x1, y1 = (round(v) for v in cell.box)
            inner = dark[y0 + 2 : y1 - 1, x0 + 2 : x1 - 1]
            assert inner.any() == bool(cell.text), (i, cell)
            assert table.box[0] <= cell.box[0] < cell.box[2] <= table.box[2]
        for line in sample.lines:
            assert line.boxes.shape == (len(line.text), 4)
            for ch, (x0, y0, x1, y1) in zip(line.text, line.boxes, strict=True):
                patch = dark[int(y0) - 1 : int(np.ceil(y1)) + 1, int(x0) - 1 : int(np.ceil(x1)) + 1]  # PDFium snaps
                assert ch == " " or patch.any(), (i, line.text, ch)
        shown = "".join("".join(line.text for line in sample.lines).split())
        assert all("".join(cell.text.split()) in shown for cell in cells)


def test_spans_cover_the_grid(source: TableSource) -> None:
    """A merged cell's box is that of the cells beside it."""
    seen = 0
    for i in range(40):
        sample = source.sample(i)
        places = dict(zip(sample.meta["cells"], sample.regions[1:], strict=True))
        for (r, _, rows, columns), region in places.items():
            for (r2, _, rows2, _), other in places.items():
                if rows2 == 1 and columns == 1 and rows > 1 and r2 == r:
                    assert abs(other.box[1] - region.box[1]) < 0.1
                    assert other.box[3] < region.box[3] - 1
                    seen += 1
    assert seen


def test_escapes_round_trip() -> None:
    table = Table(
        ((Cell(NASTY, bold=True), Cell("a\nb & c", mark="†")), (Cell("%x", mark="a"), Cell())),
        "lr", {0: Rule("top"), 1: Rule("mid"), 2: Rule("bottom")}, caption=NASTY, notes=(("†", NASTY),),
    )  # fmt: skip
    assert parse_latex(to_latex(table)) == table
    assert read_html(to_html(table)).rows == table.rows
    assert read_html(to_html(table)).notes == table.notes
    assert r"\& \% \$ \# \_ \{ \} \textbackslash{} $<$ $>$" in to_latex(table)
    page = print_pdf(to_typst(table, TableStyle()), load_fonts())[0]
    assert NASTY in page.get_textpage().get_text_range().replace("\r\n", "\n")


def test_latex_of_merged_cells() -> None:
    table = Table(
        (
            (Cell("a", 2), Cell("b", columns=2)),
            (Cell("c"), Cell("d")),
            (Cell("e", 2, 2), Cell("1")),
            (Cell("2"),),
        ),
        "lcr", {0: Rule("line"), 1: Rule("line", ((1, 3),)), 3: Rule("line", ((2, 3),))}, frozenset({0, 3}), 2,
    )  # fmt: skip
    assert to_latex(table).splitlines() == [
        r"\begin{tabular}{|lcr|}",
        r"\hline",
        r"\multirow{2}{*}{a} & \multicolumn{2}{c|}{b} \\",
        r"\cline{2-3}",
        r" & c & d \\",
        r"\multicolumn{2}{|c}{\multirow{2}{*}{e}} & 1 \\",
        r"\cline{3-3}",
        r"\multicolumn{2}{|c}{} & 2 \\",
        r"\end{tabular}",
    ]
    assert parse_latex(to_latex(table)) == replace(table, header=0)
    assert '<th rowspan="2">a</th><th colspan="2">b</th>' in to_html(table)


@pytest.mark.parametrize(
    "latex",
    [
        "x",
        r"\begin{tabular}{ll}a \\ \end{tabular}",
        r"\begin{tabular}{l}a & b \\ \end{tabular}",
        r"\begin{tabular}{l}\foo{a} \\ \end{tabular}",
        r"\begin{tabular}{ll}\multirow{2}{*}{a} & b \\ c & d \\ \end{tabular}",
        r"\begin{tabular}{p{3cm}}a \\ \end{tabular}",
    ],
)
def test_bad_latex_is_one_line(latex: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_latex(latex)
    assert "\n" not in str(error.value)


def test_bad_spans() -> None:
    with pytest.raises(ValueError, match="do not fill"):
        Table(((Cell("a", columns=2),), (Cell("b"),)), "ll")
    with pytest.raises(ValueError, match="do not fill"):
        Table(((Cell("a", rows=2), Cell("b")), (Cell("c", columns=2),)), "ll")


def test_prompts_follow_the_target() -> None:
    mixed = TableSource(REAL, seed=2, target="mixed", degraded=0)
    samples = [mixed.sample(i) for i in range(12)]
    for sample in samples:
        kind = "html" if "<table>" in str(sample.target) else "latex"
        assert sample.prompt == PROMPTS[kind]
    assert len({s.prompt for s in samples}) == 2
    assert TableSource(REAL, seed=2, target="html", degraded=0).sample(0).prompt is None


def test_errors() -> None:
    with pytest.raises(ValueError, match="target 'xml'"):
        TableSource(REAL, target="xml")
    with pytest.raises(ValueError, match="no tables"):
        TableSource([])
    with pytest.raises(ValueError, match="table 0 'Long'"):
        TableSource([("Long", ["a", "b"], [["x" * 100, "1"], ["y", "2"]])])
    with pytest.raises(ValueError, match=r"no font has '.*中.*pass font_folders"):
        TableSource([("表", ["中", "n"], [["文", "1"], ["字", "2"]])])


def test_tables_from(tmp_path: Path) -> None:
    (tmp_path / "netIncome_2020.csv").write_text('name,"value, EUR"\n"A ""x""", 1 \nB,2\n')
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(b"k\tv\n1\tx\n2\ty\n3\tz\n"))
    (tmp_path / "c.json").write_text('[{"a": 1, "b": null}, {"a": 2.5, "b": "x"}]')
    (tmp_path / "d.json").write_text('{"a": 1}')
    (tmp_path / "e.csv").write_text("1,2\n3,4\n5,6\n")
    (tmp_path / "f.csv").write_text("a,b\n1\n2,3\n")
    (tmp_path / "g.csv").write_bytes(b"a,b\n\xff,1\n2,3\n")
    (tmp_path / "h.csv").write_text("a,b\n1,2\n")
    (tmp_path / "i.csv").write_text(f"a,b\n{'x' * 99},2\n1,2\n")
    found = tables_from(tmp_path, max_rows=2)
    assert found.tables == [
        ("B", ["k", "v"], [["1", "x"], ["2", "y"]]),
        ("C", ["a", "b"], [["1", ""], ["2.5", "x"]]),
        ("Net Income 2020", ["name", "value, EUR"], [['A "x', "1"], ["B", "2"]]),
    ]
    assert sorted(found.dropped) == [
        "fewer than two rows", "no header", "no two columns of at most 60 characters a cell", "not UTF-8",
        "not a list of records", "rows of different lengths",
    ]  # fmt: skip
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=r"no \.csv"):
        tables_from(empty)


def test_numbers() -> None:
    assert all(map(is_number, ("1", "-2.5", "1,200", ".5", "3e-4", "12%", "", "NA")))
    assert not any(map(is_number, ("a1", "2020-01-02", "1-2", "%")))
    assert (value_of("1,200"), value_of("-.5"), value_of("NA")) == (1200, -0.5, float("-inf"))
    assert round_column(["0.123456", "0.98", "NA"]) == ["0.1", "1.0", "NA"]
    assert round_column(["1.00001", "1.20002", "1.21003"]) == ["1.00", "1.20", "1.21"]
    assert round_column(["1.5", "x.123456"]) == ["1.5", "x.123456"]
    assert wrap_cell("one two three four", 9) == "one two\nthree\nfour"
    assert wrap_cell("中文字很长的一句话", 4) == "中文字很\n长的一句\n话"


@pytest.mark.slow
def test_chinese() -> None:
    """Fetches a font of 1.6 MB."""
    folder = fetch("deb:fonts-wqy-microhei")
    tables = [
        ("人口统计", ["城市", "人口（万）"], [["北京", "2189"], ["上海", "2487"], ["广州", "1868"], ["重庆", "3205"]])
    ]
    source = TableSource(tables, language="zh", font_folders=[folder])
    texts = "".join(str(source.sample(i).target) for i in range(8))
    assert "北京" in texts
    assert "表" in texts
