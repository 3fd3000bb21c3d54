"""Metrics of order, boxes, charts, tables and formulas: published examples, second implementations, hand-made cases."""

from __future__ import annotations

import itertools
import random
import time

import pytest
from apted import APTED, Config
from rapidfuzz.distance import Levenshtein

from vary.evaluate.metrics.boxes import box_scores, iou
from vary.evaluate.metrics.charts import chart_precision, chart_similarity, chart_table, rms
from vary.evaluate.metrics.formulas import formula_distance, formula_match, printed
from vary.evaluate.metrics.omnidocbench import match_blocks, order_distance
from vary.evaluate.metrics.teds import MAX_ELEMENTS, teds
from vary.markup.chart_text import Chart, parse_chart
from vary.markup.tables import Cell, Rule, Table, to_html, to_latex


# -- order and boxes ---------------------------------------------------------------------------------------------------
def test_order_distance_counts_edits_over_the_longer() -> None:
    assert order_distance([0, 1, 2, 3], [0, 1, 2, 3]) == order_distance([], []) == 0
    assert order_distance([1, 2, 0], [0, 1, 2]) == pytest.approx(2 / 3)
    assert order_distance([0, 2], [0, 1, 2, 3]) == 0.5
    assert order_distance([], [0]) == 1


def test_blocks_are_matched_by_their_text() -> None:
    truth = ["The first paragraph.", "第二段文字", "A third one"]
    read = ["A thlrd one", "The first paragraph!", "something else that nobody wrote on this page at all"]
    assert match_blocks(read, truth) == [(0, 2), (1, 0)]
    assert match_blocks(truth, truth) == [(0, 0), (1, 1), (2, 2)]
    assert match_blocks([], truth) == match_blocks(["x" * 30], truth) == []


def test_boxes_by_hand() -> None:
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (0, 0, 5, 10)) == 0.5
    assert iou((0, 0, 1, 1), (2, 2, 3, 3)) == iou((0, 0, 0, 0), (0, 0, 0, 0)) == iou(None, (0, 0, 1, 1)) == 0
    assert iou((5, 5, 1, 1), (0, 0, 9, 9)) == 0
    truth = {"box": (0, 0, 100, 100), "size": (1000, 1000)}
    assert box_scores("[0, 0, 50, 100]", truth) == {"accuracy": 1, "iou": pytest.approx(0.5, abs=0.02)}
    assert box_scores("[0, 0, 40, 100]", truth)["accuracy"] == 0
    assert box_scores("nothing", truth) == {"accuracy": 0, "iou": 0}


# -- charts ------------------------------------------------------------------------------------------------------------
TARGET = "title | my table\nyear | argentina | brazil\n1999 | 200 | 158\n"
TURNED = "title | my table\ncountry | 1999\nargentina | 200\nbrazil | 158\n"
PREDICTION = "title | my table\nyear | argentina | brazil\n1999 | 202 | 0\n"


def test_rms_gives_the_example_of_deplot() -> None:
    for truth in (TARGET, TURNED):
        match = rms(PREDICTION, truth)
        assert (match.precision, match.recall, match.f1) == pytest.approx((1.99 / 3,) * 3)


def test_rms_is_defined_everywhere() -> None:
    assert (rms("", "").f1, rms("", TARGET).f1, rms(TARGET, "").f1, rms("title | a", "title | a").f1) == (1, 0, 0, 1)
    assert rms(" | x\na | 1,000", " | x\na | 1,090").f1 == pytest.approx(0.8)
    assert rms(" | x\na | 1,000", " | x\na | 1,090", any_format=True).f1 == pytest.approx(1 - 90 / 1090)
    assert rms(" | x\na | 10%", " | x\na | 10.5%").f1 == pytest.approx(1 - 0.5 / 10.5)


def test_a_chart_is_a_table() -> None:
    chart = Chart("T", {"s": {"a": "1", "b": "2"}, "t": {"a": "3"}})
    assert chart_table(chart) == "title | T\n | s | t\na | 1 | 3\nb | 2 | "
    assert chart_table(Chart(values={"a": "1%"})) == " | value\na | 1%"
    assert rms(chart_table(chart), chart_table(chart)).f1 == 1
    with pytest.raises(ValueError, match="series and plain values: 'b'"):
        chart_table(Chart(values={"a": {"x": "1"}, "b": "2"}))


def test_scrm_by_hand() -> None:
    truth = {"2019": "100", "2020": "50%", "2021": "75"}
    assert chart_similarity(truth, truth) == chart_similarity({}, {}) == 1
    assert chart_similarity({}, truth) == chart_similarity(truth, {}) == 0
    near = {"2019": "104", "2020": "$50", "2021": "82"}
    assert [chart_similarity(near, truth, t) for t in ("strict", "slight", "high")] == [1 / 5, 2 / 4, 1]
    assert [chart_precision(near, truth, t) for t in ("strict", "slight", "high")] == [0, 0.1, 1]
    with pytest.raises(ValueError, match="unknown tolerance 'lax'; allowed: strict, slight, high"):
        chart_similarity({}, {}, "lax")


def test_scrm_knows_names_in_names_and_series_turned() -> None:
    assert chart_similarity({"Sales of cars": "5"}, {"cars": "5"}) == 1
    assert chart_similarity({"Sales of cars": "5"}, {"Sales": "5"}) == 0  # "value" is joined to the names before
    assert chart_similarity({"Sales of cars": "5"}, {"cars": "5"}, contained=False) == 0
    assert chart_similarity({"b": {"A": "5"}}, {"a": {"B": "5"}}) == 1
    assert (
        chart_similarity({"only": {"x": "1", "y": "2"}}, {"x": "1", "y": "2"}) == 0
    )  # its label takes the series' place
    assert chart_similarity({"x": "high"}, {"x": "High"}) == 1  # texts count by their edits, digits and signs alone
    assert chart_similarity({"x": "-20"}, {"x": "20"}, "high") == 0
    assert chart_precision(parse_chart('{"data": {"a": "1"}}').values, {"a": "1"}) == 1


def test_scrm_levels_are_those_of_the_scripts() -> None:
    """0.6 is reached by 0.6000000000000001 only, as numpy counts."""
    truth = {str(k) * 9: str(10**k) for k in range(5)}
    found = dict(list(truth.items())[:3])
    assert chart_similarity(found, truth) == 0.6
    assert chart_precision(found, truth) == pytest.approx(0.2)


# -- tables ------------------------------------------------------------------------------------------------------------
class Tree:
    def __init__(self, tag: str, text: str = "", spans: str = "", children: tuple[Tree, ...] = ()):
        self.tag, self.text, self.spans, self.children = tag, text, spans, list(children)

    def html(self) -> str:
        return f"<{self.tag}{self.spans}>{self.text}{''.join(c.html() for c in self.children)}</{self.tag}>"

    def size(self) -> int:
        return 1 + sum(c.size() for c in self.children)


class Costs(Config):
    valuecls = float

    def __init__(self, structure: bool):
        self.structure = structure

    def rename(self, a: Tree, b: Tree) -> float:
        if (a.tag, a.spans) != (b.tag, b.spans):
            return 1.0
        return 0.0 if self.structure else Levenshtein.normalized_distance(a.text, b.text)


def tree(rng: random.Random) -> Tree:
    def cell() -> Tree:
        spans = rng.choice(("", "", "", ' colspan="2"', ' rowspan="3"'))
        return Tree("td", "".join(rng.choices("ab 图😀", k=rng.randrange(4))), spans)

    def rows() -> tuple[Tree, ...]:
        return tuple(
            Tree("tr", children=tuple(cell() for _ in range(rng.randrange(4)))) for _ in range(rng.randrange(4))
        )

    if rng.random() < 0.5:
        return Tree("table", "", "", rows())
    return Tree("table", "", "", (Tree("thead", "", "", rows()), Tree("tbody", "", "", rows())))


@pytest.mark.parametrize("structure", [False, True])
def test_teds_agrees_with_apted(structure: bool) -> None:
    rng = random.Random(5)
    for _ in range(150):
        a, b = tree(rng), tree(rng)
        distance = APTED(a, b, Costs(structure)).compute_edit_distance()
        size = max(a.size(), b.size()) - 1
        wanted = max(0.0, 1 - distance / size) if size else 1.0
        assert teds(a.html(), b.html(), structure=structure) == pytest.approx(wanted, abs=1e-9), (a.html(), b.html())


def grid(texts: list[str], columns: int) -> Table:
    rows = [tuple(map(Cell, texts[k : k + columns])) for k in range(0, len(texts), columns)]
    return Table(tuple(rows), "l" * columns, {1: Rule("mid")})


def test_teds_reads_html_and_latex_and_markup() -> None:
    table = grid(["a", "b", "图", "4%"], 2)
    assert teds(to_latex(table), to_html(table)) == teds("text " + to_latex(table) + " text", to_html(table)) == 1
    assert teds("<table><tr><th>a<td>b</table>", "<TABLE><tr><td>a</td><td>b</td></tr></TABLE> behind") == 1
    one, two = "<table><tr><td>a<b>b</b></td></tr></table>", "<table><tr><td>ab</td></tr></table>"
    assert teds(one, two) == pytest.approx(1 - (2 / 4) / 3)  # 3 elements, of a cell's 4 characters and tags 2 are edits
    assert teds(one, two, structure=True) == 1
    assert teds("<table><tr><td>a<br></td></tr></table>", "<table><tr><td>a</td></tr></table>") < 1
    assert teds("<table><tr><td>&lt;</td></tr></table>", "<table><tr><td><</td></tr></table>") == 1


def test_teds_groups_can_be_taken_off() -> None:
    headed = "<table><thead><tr><td>a</td></tr></thead><tbody><tr><td>b</td></tr></tbody></table>"
    flat = "<table><tr><td>a</td></tr><tr><td>b</td></tr></table>"
    assert teds(flat, headed) == pytest.approx(1 - 2 / 6)
    assert teds(flat, headed, groups=False) == 1


def test_teds_without_tables_and_with_endless_ones() -> None:
    table = "<table><tr><td>a</td></tr></table>"
    assert (teds("", ""), teds("", table), teds(table, ""), teds("<table></table>", "<table></table>")) == (1, 0, 0, 1)
    assert teds(r"\begin{tabular}{ll} \foo & \end{tabular}", table) == 0
    assert 0 <= teds("<table>" + "<div>" * 2000, table) < 0.01
    assert 0.1 < teds("<table><tr><td>a<td>b<tr><td", "<table><tr><td>a</td><td>b</td></tr></table>") < 1
    with pytest.raises(ValueError, match=f"too large for TEDS; allowed: {MAX_ELEMENTS}"):
        teds("<table>" + "<tr><td>a" * MAX_ELEMENTS, table)
    large = to_html(grid([str(k) for k in range(400)], 10))
    began = time.process_time()
    assert 0.9 < teds(large.replace("7", "8"), large) < 1
    assert time.process_time() - began < 15


# -- formulas ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("answer", ["$$x^2$$", r"\[ x^{2} \]", "<!-- page 1 -->\n\n$$x^2$$\n", "x^{2}"])
def test_delimiters_and_page_marks_do_not_count(answer) -> None:
    assert formula_distance(answer, r"\[ x^{2} \]") == 0


def test_formulas_that_look_the_same_match() -> None:
    same = [r"\frac12 x^2", r"\[ {1 \over 2}x^{2} \]", r"$\frac{1}{2}x^{2}$"]
    for a, b in itertools.product(same, same):
        assert (formula_distance(a, b), formula_match(a, b).f1) == (0, 1)
    assert (formula_match("", "").f1, formula_match("", "x").f1, formula_distance("", "")) == (1, 0, 0)


def test_a_character_in_another_place_is_another() -> None:
    assert formula_match("x^2", "x_2").f1 == 0.5
    assert formula_match(r"\frac{a}{b}", r"\frac{b}{a}").f1 == pytest.approx(1 / 3)
    assert formula_match("a+b", "a+b+c").recall == pytest.approx(3 / 5)
    assert formula_match("a+b+c", "a+b").precision == pytest.approx(3 / 5)


def test_printed_names_places_and_reads_anything() -> None:
    found = printed(r"\frac{x^2}{y}\sqrt[3]{a_i}\left. \mathbf{v}\right)\hat x\alpha")
    assert found == [
        ("\\frac", ()), ("x", ("over",)), ("2", ("over", "^")), ("y", ("under",)), ("\\sqrt", ()), ("3", ("degree",)),
        ("a", ("root",)), ("i", ("root", "_")), ("v", ("\\mathbf",)), (")", ()), ("\\hat", ()), ("x", ()),
        ("\\alpha", ()),
    ]  # fmt: skip
    for odd in ("}}}{{{", "^", r"\frac", "\\", r"\begin{array}{ll}a\\b\end{array}", "图😀"):
        assert formula_match(odd, odd).f1 == 1
    assert printed(r"\begin{array}{ll}a&b\end{array}") == [("a", ()), ("b", ())]


def test_huge_formulas_are_quick() -> None:
    rng = random.Random(2)
    truth = "".join(rng.choices(["x", "^2", "+", r"\alpha ", "{", "}", r"\frac"], k=30_000))
    began = time.process_time()
    assert formula_match(truth, truth).f1 == 1
    assert formula_distance("{" * 50_000, truth) > 0.5
    for endless in (r"\frac" * 20_000, "x^{" * 20_000, "{" * 20_000):
        assert formula_match(endless, endless).f1 == 1
    assert time.process_time() - began < 15
