"""Published layouts made of little files, their metrics, and the unit tests of pages."""

from __future__ import annotations

import json
import random

import pytest
from PIL import Image
from rapidfuzz.distance import Levenshtein

from vary.evaluate.benchmarks import SETS
from vary.evaluate.metrics import METRICS
from vary.evaluate.metrics.olmocr_bench import grids, near_starts, passes
from vary.evaluate.metrics.omnidocbench import block_scores, overall, split
from vary.evaluate.record import EvalRecord
from vary.evaluate.report import write_report
from vary.evaluate.tasks import TASKS, choose


def put(root, name, content) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) if not isinstance(content, str) else content, encoding="utf-8")


def picture(root, name, size=(40, 30)) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "white").save(path)


@pytest.fixture
def data(tmp_path):
    """One or two records of every set."""
    turns = [{"from": "human", "value": "<image>\nOCR of the box [1, 2, 3, 4]:"}, {"from": "gpt", "value": "the text"}]
    for name, folder in (("en_page", "en"), ("cn_page", "cn"), ("en_box", "en"), ("cn_box", "cn")):
        put(tmp_path, f"fox/{name}_ocr.json", [{"image": "a.png", "conversations": turns}])
        picture(tmp_path, f"fox/{folder}_pdf_png/a.png")
    question = {"questionId": 1, "question": "What?", "image": "documents/a.png", "answers": ["This", "that"]}
    put(tmp_path, "docvqa/val_v1.0_withQT.json", {"data": [question]})
    picture(tmp_path, "docvqa/documents/a.png")
    for part in ("human", "augmented"):
        row = {"imgname": "a.png", "query": "How many?", "label": "12"}
        put(tmp_path, f"chartqa/test/test_{part}.json", [row, {**row, "query": "And?"}])
    picture(tmp_path, "chartqa/test/png/a.png")
    for home in ("chartqa-se", "plotqa-se"):
        gts = {"title": "T", "source": "None", "x_title": "x", "y_title": "y", "values": {"a": "1", "b": "2"}}
        put(tmp_path, f"{home}/truth.json", [{"images": "a.png", "gts": gts}])
        picture(tmp_path, f"{home}/images/a.png")
    refs = [
        {"ann_id": 5, "image_id": 7, "split": part, "sentences": [{"sent": "the left one"}]}
        for part in ("train", "testA")
    ]
    instances = {
        "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [{"id": 5, "bbox": [4, 3, 20, 15]}],
    }
    for home, file in (("refcoco", "refs(unc)"), ("refcoco+", "refs(unc)"), ("refcocog", "refs(umd)")):
        put(tmp_path, f"{home}/{file}.json", refs)
        put(tmp_path, f"{home}/instances.json", instances)
    picture(tmp_path, "train2014/a.png")
    put(
        tmp_path,
        "textvqa/TextVQA_0.5.1_val.json",
        {"data": [{"image_id": "a", "question": "Who?", "answers": ["Bob"] * 10}]},
    )
    picture(tmp_path, "textvqa/train_images/a.jpg")
    about = {"image_path": "x/a.png", "question": "Q?", "id": 0}
    rows = [
        {**about, "answers": ["CENTRE"], "type": "Regular Text Recognition", "dataset_name": "IIIT5K"},
        {**about, "answers": "x ^ 2", "type": "Handwritten", "dataset_name": "HME100k"},
    ]
    put(tmp_path, "ocrbench/OCRBench.json", rows)
    picture(tmp_path, "ocrbench/OCRBench_Images/x/a.png")
    put(tmp_path, "mm-vet/mm-vet.json", {"v1_0": {"imagename": "a.png", "question": "Why?", "answer": "because"}})
    picture(tmp_path, "mm-vet/images/a.png")
    put(tmp_path, "omnidocbench/OmniDocBench.json", [omnidoc_page()])
    picture(tmp_path, "omnidocbench/images/page.1.png")
    return tmp_path


def omnidoc_page() -> dict:
    blocks = [
        ("header", 0, {"text": "Running head"}, False),
        ("title", 1, {"text": "A title of it"}, False),
        ("equation_isolated", 3, {"latex": "$$E = mc^2$$"}, False),
        ("text_block", 2, {"text": "Some text, and more of it."}, False),
        ("table", 4, {"html": "<table><tr><td>a</td><td>b</td></tr></table>"}, False),
        ("text_block", 5, {"text": "The last words of the page."}, False),
        ("abandon", None, {"text": "stain"}, True),
    ]
    dets = [{"category_type": k, "order": o, "ignore": i, "poly": [0] * 8, **c} for k, o, c, i in blocks]
    return {"layout_dets": dets, "page_info": {"image_path": "page.1.png", "page_attribute": {"language": "english"}}}


MARKDOWN = """# A title of it

Some text, and **more** of it.

\\[ E = mc^2 \\]

| a | b |
|---|---|

The last words of the page.
"""


@pytest.mark.parametrize("name", [name for name in SETS if name not in ("olmocr-bench", "pdfs")])
def test_a_record_of_every_layout_is_read_and_scores_full_marks_when_right(name, data) -> None:
    task = SETS[name]
    found = list(task.examples(data, None))
    assert found
    answers = {
        "omnidocbench": MARKDOWN, "chart": '{"title": "T", "values": {"a": "1", "b": "2"}}', "vqa": "bob.",
        "box": "[100, 100, 600, 600]",
    }  # fmt: skip
    metric = METRICS[task.metric]
    for example in found:
        assert example.open().size == (40, 30)
        truth = example.truth
        json.dumps(truth)
        right = truth["answers"][0] if task.metric == "ocrbench" else truth[0] if isinstance(truth, list) else truth
        scores = metric.score(answers.get(task.metric, right), truth)
        assert scores[metric.main] == (0 if metric.lower else 1), name
        assert metric.score("", truth)[metric.main] == (1 if metric.lower else 0), name
    assert len(list(task.examples(data, 1))) == 1


def test_questions_are_those_of_the_set_or_of_the_paper(data) -> None:
    prompts = {
        name: next(SETS[name].examples(data, None)).prompt for name in SETS if name not in ("olmocr-bench", "pdfs")
    }
    assert prompts["fox-box-en"] == "OCR of the box [1, 2, 3, 4]:"
    assert prompts["docvqa"] == "What?\nAnswer using a single word or phrase."
    assert prompts["textvqa"] == "Who?\nAnswer using a single word or phrase."
    assert prompts["refcoco"] == "Detect an object: the left one."
    assert prompts["ocrbench"] == "Q?"
    assert prompts["omnidocbench"] is None
    assert [e.about for e in SETS["refcoco"].examples(data, None)] == [{"group": "testA"}]  # train is left out


def test_what_is_missing_is_named(data, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"this task reads fox/en_page_ocr.json below a folder of yours"):
        next(SETS["fox-en"].examples(None, None))
    with pytest.raises(ValueError, match=r"no docvqa/val_v1.0_withQT.json and no docvqa/val_v1.0.json"):
        next(SETS["docvqa"].examples(tmp_path / "nowhere", None))
    (data / "docvqa/documents/a.png").unlink()
    with pytest.raises(ValueError, match=r"record 0: no image .*documents/a.png"):
        next(SETS["docvqa"].examples(data, None))
    put(data, "textvqa/TextVQA_0.5.1_val.json", {"data": [{"image_id": "a"}]})
    with pytest.raises(ValueError, match="record 0: no 'question'; it has image_id"):
        next(SETS["textvqa"].examples(data, None))


def test_tasks_are_chosen_by_name_and_all_needs_no_files() -> None:
    assert list(choose("fox-en,pages")) == ["fox-en", "pages"]
    assert list(choose("all")) == list(TASKS)
    assert all(task.files and task.metric in METRICS for task in SETS.values())
    assert all(not task.files and task.metric in METRICS for task in TASKS.values())


def test_pages_of_your_own_pdfs(tmp_path) -> None:
    from ..data.test_pdfs import WORDS, typeset

    for name in ("a", "b"):
        typeset(tmp_path / f"{name}.pdf", "#set page(height: 300pt)\n" + " ".join(WORDS))
    task = choose("pdfs")["pdfs"]
    found = list(task.examples(tmp_path, 4))
    assert [example.name[0] for example in found] == ["a", "a", "b", "b"]
    assert found[0].truth.split()[0] in WORDS
    assert found[0].open().height == 625  # 300 pt at 150 dpi
    with pytest.raises(ValueError, match="task pdfs: name a folder"):
        list(task.examples(None, None))
    with pytest.raises(ValueError, match="no PDF in it"):
        list(task.examples(tmp_path / "none", None))


def test_vqa_accuracy_wants_three_who_agree() -> None:
    def accuracy(answer, given):
        return METRICS["vqa"].score(answer, given)["accuracy"]

    # each of the ten left out in turn: 3 of 9 are enough, 2 of 9 give two thirds
    assert accuracy("two", ["2"] * 3 + ["no"] * 7) == pytest.approx((3 * 2 / 3 + 7) / 10)
    assert accuracy("The Dog!", ["dog"] * 10) == 1
    assert accuracy("1,000.5", ["1000.5"] * 10) == 1
    assert accuracy("cat", ["dog"] * 10) == 0


def test_a_chart_without_a_dict_scores_nothing_and_a_near_one_something() -> None:
    score = METRICS["chart"].score
    truth = 'The dict of the chart is: {"title": "T", "data": {"a": "100", "b": "200"}}'
    assert score("no idea", truth) == {"strict": 0, "slight": 0, "high": 0, "rms": 0}
    near = score('{"title": "T", "data": {"a": "104", "b": "200"}}', truth)
    assert near["strict"] < near["slight"] == near["high"] == 1
    assert 0 < near["rms"] < 1


def test_chinese_is_compared_without_white_space() -> None:
    scores = METRICS["text-zh"].score("中文 文\n本", "中文文本 。")
    assert scores["cer"] == pytest.approx(1 / 5)
    assert scores["weight"] == 5


# -- blocks ------------------------------------------------------------------------------------------------------------
def truth_blocks() -> list[dict]:
    dets = [d for d in omnidoc_page()["layout_dets"] if not d["ignore"]]
    return [
        {"kind": d["category_type"], **{k: d[k] for k in ("order", "text", "latex", "html") if k in d}} for d in dets
    ]


def test_markdown_is_split_into_text_formulas_and_tables() -> None:
    paragraphs, formulas, tables = split(
        MARKDOWN + "\n$$x$$\n\n\\begin{tabular}{l}1\\end{tabular}\n<table><tr><td>q</table>"
    )
    assert [p.strip() for p in paragraphs] == [
        "# A title of it", "Some text, and **more** of it.", "The last words of the page.",
    ]  # fmt: skip
    assert formulas == ["E = mc^2", "x"]
    assert tables[0].startswith("<table><tr><td>q")
    assert tables[2] == "<table><tr><td>a</td><td>b</td></tr></table>"


def test_a_page_is_scored_part_by_part() -> None:
    blocks = truth_blocks()
    right = block_scores("Running head\n\n" + MARKDOWN, blocks)  # a header that was read costs nothing
    assert right == {
        "text": 0,
        "order": 0,
        "formula": 0,
        "formula_match": 1,
        "table_distance": 0,
        "teds": 1,
        "teds_s": 1,
    }
    title, *middle, last = MARKDOWN.strip().split("\n\n")
    turned = block_scores("\n\n".join([last, *middle, title]), blocks)
    assert (turned["text"], turned["teds"]) == (0, 1)
    assert turned["order"] == pytest.approx(2 / 3)
    more = block_scores(MARKDOWN + "\n\nwords that are not on the page", blocks)
    lengths = [len("Atitleofit"), len("Sometextandmoreofit"), len("Thelastwordsofthepage")]
    extra = len("wordsthatarenotonthepage")
    assert more["text"] == pytest.approx(extra / (sum(lengths) + extra))
    assert block_scores("", blocks) == {
        "text": 1, "order": 1, "formula": 1, "formula_match": 0, "table_distance": 1, "teds": 0, "teds_s": 0,
    }  # fmt: skip
    assert set(block_scores("text", []).values()) == {None}


def test_totals_of_both_versions() -> None:
    means = {"text": 0.1, "order": 0.2, "formula": 0.3, "table_distance": 0.4, "formula_match": 0.8, "teds": 0.7}
    assert overall(means) == {"overall_v1.0": pytest.approx(0.25), "overall_v1.5": pytest.approx(0.8)}


# -- olmOCR-bench ------------------------------------------------------------------------------------------------------
PAGE = "The **quick** brown fox — it’s “here”.\n\nIt jumps over the lazy dog.\n\nLet \\(a+b\\) and $$\\frac{1}{2}$$ be."
GRID = """| Year | Apples | Pears |
|---|---|---|
| 2001 | 1,200 | 7 |
| 2002 | 1,300 | 8 |
"""


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ({"type": "present", "text": 'quick brown fox - it\'s "here"'}, True),
        ({"type": "present", "text": "QUICK brown"}, False),
        ({"type": "present", "text": "QUICK brown", "case_sensitive": False}, True),
        ({"type": "present", "text": "quick brawn fox", "max_diffs": 2}, True),
        ({"type": "present", "text": "lazy dog", "first_n": 20}, False),
        ({"type": "present", "text": "The quick", "first_n": 20}, True),
        ({"type": "absent", "text": "quick brown"}, False),
        ({"type": "absent", "text": "page 7"}, True),
        ({"type": "order", "before": "quick brown", "after": "lazy dog"}, True),
        ({"type": "order", "before": "lazy dog", "after": "quick brown"}, False),
        ({"type": "order", "before": "quick brwn", "after": "lzy dog", "max_diffs": 1}, True),
        ({"type": "order", "before": "quick", "after": "unicorn"}, False),
        ({"type": "math", "math": "a + b"}, True),
        ({"type": "math", "math": "\\frac 1 2"}, True),
        ({"type": "math", "math": "a - b"}, False),
        ({"type": "baseline"}, True),
        ({"type": "baseline", "max_length": 5}, False),
    ],
)
def test_unit_tests_of_a_page(test, wanted) -> None:
    assert passes(test, PAGE) is wanted


@pytest.mark.parametrize(
    ("relations", "wanted"),
    [
        ({"cell": "1,300", "up": "1,200", "left": "2002", "right": "8"}, True),
        ({"cell": "1,200", "down": "1,300", "top_heading": "Apples", "left_heading": "2001"}, True),
        ({"cell": "1,200", "down": "8"}, False),
        ({"cell": "nothing of it"}, False),
    ],
)
def test_unit_tests_of_a_table(relations, wanted) -> None:
    html = "<table><tr><th>Year<th>Apples<th>Pears<tr><td>2001<td>1,200<td>7<tr><td>2002<td>1,300<td>8</table>"
    assert passes({"type": "table", **relations}, f"text\n\n{GRID}\nmore") is wanted
    assert passes({"type": "table", **relations}, html) is wanted
    assert not passes({"type": "table", "ignore_markdown_tables": True, **relations}, GRID)


def test_loops_foreign_letters_and_empty_pages_fail_the_baseline() -> None:
    assert not passes({"type": "baseline"}, " \n")
    assert not passes({"type": "baseline"}, "a page " + "ha " * 40)
    assert passes({"type": "baseline"}, "ha " * 30)
    assert not passes({"type": "baseline"}, "text 中")
    assert passes({"type": "baseline", "max_length": 3}, "")
    with pytest.raises(ValueError, match=r"x.pdf: unknown type of test 'smell'; allowed: present, absent"):
        passes({"type": "smell", "pdf": "x.pdf"}, "")


def test_merged_cells_are_repeated() -> None:
    html = '<table><tr><td rowspan="2">a</td><td colspan="2">b</td></tr><tr><td>c</td><td>d</td></tr></table>'
    assert grids(html) == [[["a", "b", "b"], ["a", "c", "d"]]]
    assert grids("no table | here") == []


def test_near_places_are_those_of_a_plain_search() -> None:
    rng = random.Random(0)
    for _ in range(150):
        text, pattern = ("".join(rng.choices("abc", k=n)) for n in (rng.randrange(14), rng.randrange(1, 5)))
        slips = rng.randrange(3)
        starts = [
            s for s in range(len(text) + 1)
            if any(Levenshtein.distance(pattern, text[s:e]) <= slips for e in range(s, len(text) + 1))
        ]  # fmt: skip
        assert near_starts(pattern, text, slips).tolist() == starts
    assert len(near_starts("needle" * 10, "hay" * 30_000, 3)) == 0  # quick


def test_tests_are_grouped_by_page_and_every_page_has_a_baseline(tmp_path, pdf_file) -> None:
    home = tmp_path / "olmocr-bench/bench_data"
    (home / "pdfs/x").mkdir(parents=True)
    (home / "pdfs/x/three.pdf").write_bytes(pdf_file.read_bytes())
    tests = [
        {"pdf": "x/three.pdf", "page": 1, "id": "a", "type": "present", "text": "first page"},
        {"pdf": "x/three.pdf", "page": 1, "id": "b", "type": "absent", "text": "third"},
    ]
    (home / "multi_column.jsonl").write_text("".join(json.dumps(t) + "\n" for t in tests))
    found = list(SETS["olmocr-bench"].examples(tmp_path, None))
    assert [(e.about["group"], len(e.truth)) for e in found] == [("multi_column", 2), ("baseline", 1)]
    assert found[0].open().width > 500
    assert METRICS["unit-tests"].score("the first page is the third", found[0].truth) == {"passed": 0.5, "weight": 2.0}


def test_files_for_published_scorers_are_written(tmp_path) -> None:
    def record(task, name, metric, text, **about):
        truth = [{"kind": "text_block", "order": 1, "text": "x"}] if metric == "omnidocbench" else "t"
        return EvalRecord(task, name, "a/b", metric, text, truth, about=about)

    records = [
        record("mm-vet", "v1_0", "judged", "because"),
        record("omnidocbench", "page", "omnidocbench", "# x", group="en", file="page.1.png"),
        record("omnidocbench", "evil", "omnidocbench", "# x", group="en", file="../../../evil.png"),
    ]
    write_report(records, tmp_path, log=lambda _: None)
    assert json.loads((tmp_path / "mm-vet/a_b.json").read_text()) == {"v1_0": "because"}
    assert (tmp_path / "omnidocbench/a_b/page.1.md").read_text() == "# x"
    assert not list(tmp_path.parent.rglob("evil.md"))
    report = (tmp_path / "report.md").read_text()
    assert "| omnidocbench: en | a/b | 2 | text |" in report
