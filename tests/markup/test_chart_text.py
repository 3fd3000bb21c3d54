"""Answers: every published spelling is read, nothing is lost, and what is written is read back."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from vary.markup.boxes import Boxes, Found, format_boxes, parse_boxes
from vary.markup.chart_text import Chart, format_chart, number, parse_chart

SQUARE = (1000, 1000)
FIGURE = "Person: [535, 544, 568, 591]; Car: [009, 552, 058, 737], [682, 598, 999, 976]; Bus: [044, 070, 913, 909]."
AS_PRINTED = [
    Found("Person", (535, 544, 568, 591)),
    Found("Car", (9, 552, 58, 737)),
    Found("Car", (682, 598, 999, 976)),
    Found("Bus", (44, 70, 913, 909)),
]


@pytest.mark.parametrize(
    "text",
    [
        FIGURE,
        FIGURE[:-1],
        FIGURE.replace(" ", ""),
        FIGURE.replace("009", "9").replace("058", "58").replace("044", "44").replace("070", "70"),
        FIGURE.replace("; ", "\n"),
        FIGURE.replace("; ", ";\n").replace(": ", ":\n").replace("], [", "],\n["),
        FIGURE.replace("; ", ". "),
        FIGURE.replace(", ", " ,  ").replace("[", "[ ").replace("]", " ]").replace(":", " :"),
        FIGURE.translate(str.maketrans({":": "：", ";": "；", ",": "，", "[": "［", "]": "］", ".": "。"})),
        FIGURE.translate(str.maketrans("0123456789", "０１２３４５６７８９")).replace(" ", "　"),
        "<ref>Person</ref><box>(535,544),(568,591)</box><ref>Car</ref><box>(009,552),(058,737)</box>"
        "<box>(682,598),(999,976)</box><ref> Bus </ref><box>( 044, 070 ), (913,909)</box>",
        "Person(535,544),(568,591) Car(9,552),(58,737)(682,598),(999,976) Bus(44,70),(913,909)",
    ],
)
def test_published_spellings(text: str) -> None:
    assert parse_boxes(text, SQUARE) == Boxes(AS_PRINTED, [])


def test_single_boxes() -> None:
    assert parse_boxes("bus:[87, 234, 935, 861]", SQUARE).found == [Found("bus", (87, 234, 935, 861))]
    assert parse_boxes("[035, 24, 847, 901]", SQUARE).found == [Found("", (35, 24, 847, 901))]
    assert parse_boxes("[[1, 2, 3, 4], [5, 6, 7, 8]]", SQUARE) == Boxes(
        [Found("", (1, 2, 3, 4)), Found("", (5, 6, 7, 8))], []
    )
    assert parse_boxes("x: [0, 500, 1000, 1000]", (640, 480)).found == [Found("x", (0, 240, 640, 480))]
    assert parse_boxes(" \n.", SQUARE) == Boxes([], [])


@pytest.mark.parametrize(
    "label",
    ["traffic light 2", "dog (black)", "红色的车（左）", "sign [red]", "12:30 train", "Dr. Who, left", "a、b", "m²"],
)
def test_labels(label: str) -> None:
    found = [Found("x", (1, 2, 3, 4)), Found(label, (5, 6, 7, 8)), Found(label, (9, 9, 9, 9))]
    assert parse_boxes(format_boxes(found, SQUARE), SQUARE) == Boxes(found, [])
    marked = f"<ref>{label}</ref><box>(5,6),(7,8)</box>"
    assert parse_boxes(marked, SQUARE) == Boxes(found[1:2], [])


@pytest.mark.parametrize(
    ("text", "found", "rejected"),
    [
        ("Car: [1, 2, 3, 4], [682, 598, 99", ["Car"], ["Car: [682, 598, 99"]),
        ("Car: [1, 2, 3, 4], [682, 598, 999, 976", ["Car"], ["Car: [682, 598, 999, 976"]),
        ("Car: [1, 2, 3, 4]; Bus: [", ["Car"], ["Bus: ["]),
        ("Car: [1, 2, 3, 4]; Bu", ["Car"], ["Bu"]),
        ("<ref>a</ref><box>(1,2),(3,", [], ["a: <box>(1,2),(3,"]),
        ("a: [30, 2, 3, 4], [1, 20, 3, 4]", [], ["a: [30, 2, 3, 4]", "a: [1, 20, 3, 4]"]),
        ("a: [1, 2, 3, 1001]; b: [1, 2, 3]", [], ["a: [1, 2, 3, 1001]", "b: [1, 2, 3]"]),
        ("a: [1, 2, 3, 4, 5]", [], ["a: [1, 2, 3, 4, 5]"]),
        ("a: [0.1, 0.2, 0.3, 0.4], [-1, 2, 3, 4], []", [], ["a: [0.1, 0.2, 0.3, 0.4]", "a: [-1, 2, 3, 4]", "a: []"]),
        ("a: [1, 2, b: [1, 2, 3, 4]", ["b"], ["a: [1, 2,"]),
        ("a: [12, 34, O7, 99], [1, 2, 3, 4]", ["a"], ["a: [12, 34, O7, 99]"]),
        ("a: [00000000000001, 2, 3, 4]", [], ["a: [00000000000001, 2, 3, 4]"]),
        ("I see:\nCar: [1, 2, 3, 4]; Bus; Van: [1, 2, 3, 4] and more", ["Car", "Van"], ["I see", "Bus", "and more"]),
        ("a <ref>b</ref><quad>(1,2),(3,4),(5,6),(7,8)</quad>", [], ["a", "b: <quad>(1,2),(3,4),(5,6),(7,8)</quad>"]),
        ("no objects", [], ["no objects"]),
    ],
)  # fmt: skip
def test_what_is_no_box_is_kept(text: str, found: list[str], rejected: list[str]) -> None:
    boxes = parse_boxes(text, SQUARE)
    assert [thing.label for thing in boxes.found] == found
    assert boxes.rejected == rejected


def random_boxes(rng: np.random.Generator, size: tuple[int, int]) -> list[Found]:
    labels = ["cat", "traffic light", "人", "车（红）", "no. 5", "a (b)", "x:y"]
    found = []
    for label in rng.choice(labels, size=int(rng.integers(0, 5)), replace=False).tolist():
        for _ in range(int(rng.integers(1, 4))):
            x, y = np.sort(rng.uniform(0, size[0], 2)), np.sort(rng.uniform(0, size[1], 2))
            found.append(Found(label, (float(x[0]), float(y[0]), float(x[1]), float(y[1]))))
    return found


@pytest.mark.parametrize("seed", range(100))
def test_boxes_are_read_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 3000)), int(rng.integers(1, 3000)))
    found = random_boxes(rng, size)
    text = format_boxes(found, size)
    back = parse_boxes(text, size)
    assert [thing.label for thing in back.found] == [thing.label for thing in found]
    assert not back.rejected
    half = np.array([size[0], size[1]] * 2) / 2000 + 1e-9
    for thing, other in zip(found, back.found, strict=True):
        assert (np.abs(np.subtract(thing.box, other.box)) <= half).all()
    assert format_boxes(back.found, size) == text
    cut = text[: int(rng.integers(len(text) + 1))]
    partly = parse_boxes(cut, size)
    assert partly.found == back.found[: len(partly.found)]
    assert cut.count("[") == len(partly.found) + sum("[" in part for part in partly.rejected)


def test_written_as_in_the_figure() -> None:
    assert format_boxes(AS_PRINTED, SQUARE) == FIGURE
    mixed = [AS_PRINTED[1], AS_PRINTED[0], AS_PRINTED[2]]
    assert format_boxes(mixed, SQUARE).startswith("Car: [009, 552, 058, 737], [682, 598, 999, 976]; Person")
    assert format_boxes([Found("", (35, 24, 847, 901))], SQUARE) == "[035, 024, 847, 901]"
    assert format_boxes([Found("x", (0, 0, 640, 480))], (640, 480)) == "x: [000, 000, 1000, 1000]."
    assert format_boxes([], SQUARE) == ""


@pytest.mark.parametrize(
    "label", [" ", "a;b", "a\nb", ".net", "a:", "a：", "[1, 2", "a [", "<ref>a", "x (1,2),(3,4)", " a"]
)
def test_labels_that_would_be_lost(label: str) -> None:
    with pytest.raises(ValueError, match="would not be read back"):
        format_boxes([Found(label, (0, 0, 1, 1))], SQUARE)


def test_boxes_that_cannot_be_written() -> None:
    for box in [(-1, 0, 1, 1), (0, 0, 1001, 1), (2, 0, 1, 1), (0, 2, 1, 1), (0, 0, float("nan"), 1)]:
        with pytest.raises(ValueError, match="of 'a' does not lie in an image of 1000x1000 px"):
            format_boxes([Found("a", box)], SQUARE)
    with pytest.raises(ValueError, match="beside 'a'"):
        format_boxes([Found("a", (0, 0, 1, 1)), Found("", (0, 0, 1, 1))], SQUARE)
    for size in [(0, 5), (5, -1)]:
        with pytest.raises(ValueError, match="must be positive"):
            parse_boxes("a", size)


VARY = """The dict of the chart is: {
    "title": "Share of users",
    "data": {
        "2019": "12.94%",
        "2020": "15.1%"
    }
}"""
ONE = Chart("出口", {"A": {"2019": "1", "2020": "−2"}, "B": {"2019": "3.5M"}}, None, "Year", "Value")


@pytest.mark.parametrize(
    "text",
    [
        VARY,
        VARY.replace('"', "'"),
        " ".join(VARY.split()),
        VARY.removeprefix("The dict of the chart is: "),
        VARY.replace("is: {", "is:\n{"),
        VARY.replace('%"\n', '%",\n').replace("    }\n", "    },\n"),
        "```python\n" + VARY + "\n```\n",
        VARY.replace("{", "```json\n{", 1) + "\n```",
        VARY.replace('"', "").replace("15.1%", "15.1% "),
        VARY.replace(":", "：").replace('",', '"，').replace("is：", "is:"),
        VARY.replace('"data"', '"values"'),
        VARY.replace("Share", "\\u0053h\\x61re"),
    ],
)
def test_one_chart_in_many_spellings(text: str) -> None:
    assert parse_chart(text) == Chart("Share of users", {"2019": "12.94%", "2020": "15.1%"})


def test_schemas() -> None:
    assert format_chart(parse_chart(VARY)) == VARY
    text = format_chart(ONE, "onechart", indent=None)
    assert text == (
        '{"title": "出口", "source": "None", "x_title": "Year", "y_title": "Value", '
        '"values": {"A": {"2019": "1", "2020": "−2"}, "B": {"2019": "3.5M"}}}'
    )
    assert parse_chart(text) == ONE
    assert parse_chart(format_chart(ONE, "onechart")) == ONE
    assert parse_chart(format_chart(ONE)) == Chart(ONE.title, ONE.values)
    with pytest.raises(ValueError, match="'vary' or 'onechart', not 'plot'"):
        format_chart(ONE, "plot")


def test_scalars_keep_their_spelling() -> None:
    chart = parse_chart(r"""{"title": null, "unit": "k", "values": {"a": 1.50, 'b': -2e3, "c": None,
        'd': 'it\'s "x"\n\%', "e": "\ud83d\ude00", "f": [1, {"g": "2"}, [],], "h": ""}, "data": "left"}""")
    assert chart.title is None
    assert chart.values == {
        "a": "1.50", "b": "-2e3", "c": "None", "d": 'it\'s "x"\n\\%', "e": "😀", "f": ["1", {"g": "2"}, []], "h": "",
    }  # fmt: skip
    assert chart.rest == {"unit": "k", "data": "left"}
    assert chart.complete
    assert parse_chart(format_chart(chart, "onechart")) == chart


def test_repeated_keys_are_reported() -> None:
    chart = parse_chart(
        '{"title": "t", "data": {"a": "1", "b": "2", "a": "3", "s": {"x": "4", "x": "5"}}, "title": {"u": "v"}}'
    )
    assert chart.values == {"a": "1", "b": "2", "s": {"x": "4"}}
    assert chart.title == "t"
    assert chart.repeated == [("data > a", "3"), ("data > s > x", "5"), ("title", {"u": "v"})]
    assert chart.complete


def leaves(value, path=()) -> dict:
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in leaves(inner, (*path, key)).items()}
    return {path: value}


@pytest.mark.parametrize(
    ("chart", "schema"), [(ONE, "onechart"), (ONE, "vary"), (Chart('a "b" \\', {"x": "1"}), "vary")]
)
@pytest.mark.parametrize("indent", [4, None])
def test_cut_off_anywhere(chart: Chart, schema: str, indent: int | None) -> None:
    text = format_chart(chart, schema, indent)
    title_end = text.index(json.dumps(chart.title, ensure_ascii=False)) + len(
        json.dumps(chart.title, ensure_ascii=False)
    )
    whole, before = leaves(parse_chart(text).values), -1
    for end in range(text.index("{") + 1, len(text)):
        partly = parse_chart(text[:end])
        assert not partly.complete
        kept = {path: value for path, value in leaves(partly.values).items() if path}
        assert kept.items() <= whole.items()
        assert len(kept) >= before
        before = len(kept)
        assert partly.title == (chart.title if end >= title_end else None)
        tail = "".join(partly.rejected)  # all that is missing, and no more
        head = parse_chart(text[:end].rstrip().removesuffix(tail))
        assert text[:end].rstrip().endswith(tail)
        assert (head.title, head.values, head.rejected) == (partly.title, partly.values, [])
    assert len(whole) == before


def test_what_surrounds_a_chart_is_kept() -> None:
    chart = parse_chart("Sure! {'data': {'x': '1'}} I hope\nthis helps.</s>")
    assert chart.values == {"x": "1"}
    assert chart.complete
    assert chart.rejected == ["Sure!", "I hope\nthis helps.</s>"]


@pytest.mark.parametrize(
    ("text", "values", "rejected"),
    [
        ("{'data': {'x': '1' 'y': '2'}}", {"x": "1"}, "'y': '2'}}"),
        ("{'data': {'x': '1', 'y' '2'}}", {"x": "1"}, "'y' '2'}}"),
        ("{'data': {'x': '1', 'it's': '2'}}", {"x": "1"}, "'it's': '2'}}"),
        ("{'data': {'x': '1', 'y': 1,234}}", {"x": "1", "y": "1"}, "234}}"),
        ("{'data': {'x': '1', 'y\n': '2'}}", {"x": "1"}, "'y\n': '2'}}"),
        ("{'data': {'x': '1'], 'y': '2'}}", {"x": "1"}, "], 'y': '2'}}"),
        ("{'data': {'x': '1', 'y': 12", {"x": "1"}, "'y': 12"),
    ],
)
def test_malformed_dicts_keep_what_came_before(text: str, values: dict, rejected: str) -> None:
    chart = parse_chart(text)
    assert chart.values == values
    assert not chart.complete
    assert chart.rejected == [rejected]


def test_depth_is_limited() -> None:
    def nested(depth: int) -> str:
        return '{"a": ' * depth + "1}" + "}" * (depth - 1)

    assert parse_chart(nested(8)).complete
    assert not parse_chart(nested(9)).complete
    deep = parse_chart(nested(100_000))
    assert not deep.complete
    assert sum(map(len, deep.rejected)) > 600_000
    assert not parse_chart("{'a': " + "[" * 100_000).complete


@pytest.mark.parametrize("text", ["", "The picture shows\na bar chart", "[1, 2]"])
def test_no_dict(text: str) -> None:
    where = f"line {text.count(chr(10)) + 1}, column {len(text.split(chr(10))[-1]) + 1}:"
    with pytest.raises(ValueError, match=f"no dict of a chart: .* from line 1, column 1 to {where}"):
        parse_chart(text)


def test_hostile_answers_cost_no_time() -> None:
    began = time.process_time()
    for piece in ["[", "[1", "[1 ", "(1,", "<box>", "<ref>", "(1 ", " ", "\n", "a ", ",", "[1, 2, 3, 4]", "[1 ]", "1"]:
        many = piece * (150_000 // len(piece))
        parse_boxes("a: [1, 2" + many, SQUARE)
        parse_boxes("<box>(1, 2" + many + "</box>]", SQUARE)
    for piece in ["{", '{"a":', '"', "'\\", "\\", " ", "a", '"a": 1, ', "```", "\n", "1,234"]:
        many = piece * (150_000 // len(piece))
        parse_chart(many + "{'a': " + many)
        number("1" + many + "1")
        number(many + "x")
    assert time.process_time() - began < 8  # 1 s; a single quadratic step takes minutes


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("12.94%", (12.94, "%")), ("1,234", (1234, "")), ("$3.5M", (3.5, "$M")), ("−4", (-4, "")), ("1e3", (1000, "")),
        ("３％", (3, "%")), (" 7 ", (7, "")), ("-$5", (-5, "$")), ("$-5", (-5, "$")), ("US$ 3", (3, "US$")),
        ("￥1,234.5万", (1234.5, "¥万")), ("5 kg/m2", (5, "kg/m2")), (".5", (0.5, "")), ("5.", (5, "")),
        ("1,234,567.5 人", (1234567.5, "人")), ("5  apples", (5, "apples")), ("2.5E-3 s", (0.0025, "s")),
        ("+3", (3, "")), ("–4", (-4, "")),
    ],
)  # fmt: skip
def test_numbers(text: str, result: tuple[float, str]) -> None:
    assert number(text) == result


@pytest.mark.parametrize(
    "text",
    [
        "None",
        "",
        "2019-2020",
        "12,94%",
        "1,2345",
        "1234,567",
        "--5",
        "-$-5",
        "12:30",
        "2019年5月",
        "1e999",
        "nan",
        "10 to 20",
        "(5)",
    ],
)
def test_no_number(text: str) -> None:
    assert number(text) is None
