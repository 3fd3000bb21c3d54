"""Published benchmarks, read from the user's files in their published layouts: `SETS` maps names to tasks.

`vary eval MODEL --tasks fox-en,docvqa --data DIR` reads DIR/fox/en_page_ocr.json, DIR/docvqa/val_v1.0_withQT.json and
so on; `Task.files` names the files. A record that cannot be read ends the run with an error, so that a number is always
of all records, or of the first `--limit`. Questions are those of the set, in the prompts of the Vary papers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.corpus.conversations import Conversation, open_set
from ..data.corpus.records import load_json_object, load_rows
from ..io.errors import InputError
from ..io.image import open_image
from ..io.pdf import PdfFile
from ..markup.prompts import IMAGE_MARK, PROMPTS
from .task import DPI, Example, Task, document_pages

OWN_PAGES = 16  # from each PDF of the user
_QA = PROMPTS["vqa"]["en"]


def _home(data: Path | None, *files: str) -> Path:
    """Return the first of these files that exists below the user\'s folder. Raises ValueError if there is none."""
    if data is None:
        raise InputError(f"this task reads {files[0]} below a folder of yours: name the folder (--data DIR)")
    found = next((data / file for file in files if (data / file).exists()), None)
    if found is None:
        raise InputError(f"{data}: no {' and no '.join(files)}")
    return found


def _picture(path: Path) -> Image.Image:
    return open_image(path, colour=True)


def _to_example(found: Conversation, truth: Any = None, **about: Any) -> Example:
    """Make an example of a conversation of one question. Its answer is the truth if none is given."""
    question, answer = (turn["content"] for turn in found.turns if turn["role"] != "system")
    name = f"{found.meta['set']}-{found.meta['record']}"
    prompt = question.replace(IMAGE_MARK, "").strip("\n")
    return Example(name, found.open, answer if truth is None else truth, prompt, about or None)


def _fox(annotations: str, images: str, data: Path | None, limit: int | None) -> Iterator[Example]:
    path = _home(data, f"fox/{annotations}", f"focus_benchmark_test/{annotations}")
    records = open_set("conversations", path, path.parent / images)
    for k in range(min(len(records), limit or len(records))):
        yield _to_example(records.sample(k))


def _answers(kind: str, files: tuple[str, ...], images: str, data: Path | None, limit: int | None) -> Iterator[Example]:
    """Read DocVQA or ChartQA. The truth is the list of right answers."""
    path = _home(data, *files)
    records = open_set(kind, path, path.parent / images)
    for k in range(min(len(records), limit or len(records))):
        found = records.sample(k)
        yield _to_example(found, [str(answer) for answer in found.meta["answers"]])


def _rows(path: Path, limit: int | None, *keys: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a file with their numbers. Raises ValueError for a row without one of the keys."""
    for k, row in enumerate(islice(load_rows(path), limit)):
        missing = [key for key in keys if key not in row]
        if missing:
            raise InputError(f"{path}: record {k}: no {missing[0]!r}; it has {', '.join(map(str, row))}")
        yield k, row


def _textvqa(data: Path | None, limit: int | None) -> Iterator[Example]:
    path = _home(data, "textvqa/TextVQA_0.5.1_val.json")
    for k, row in _rows(path, limit, "image_id", "question", "answers"):
        picture = path.parent / "train_images" / f"{row['image_id']}.jpg"
        yield Example(f"textvqa-{k}", partial(_picture, picture), row["answers"], _QA.format(row["question"]))


def _ocrbench(data: Path | None, limit: int | None) -> Iterator[Example]:
    """Read OCRBench. Its questions say how to answer. `HME100k` is compared without spaces, as in its scorer."""
    path = _home(data, "ocrbench/OCRBench.json")
    for k, row in _rows(path, limit, "image_path", "question", "answers", "type", "dataset_name"):
        answers = row["answers"] if isinstance(row["answers"], list) else [row["answers"]]
        truth = {"answers": list(map(str, answers)), "formula": row["dataset_name"] == "HME100k"}
        picture = path.parent / "OCRBench_Images" / row["image_path"]
        yield Example(f"ocrbench-{k}", partial(_picture, picture), truth, row["question"], {"group": row["type"]})


def _mmvet(data: Path | None, limit: int | None) -> Iterator[Example]:
    path = _home(data, "mm-vet/mm-vet.json")
    for name, row in islice(load_json_object(path, ()).items(), limit):
        picture = path.parent / "images" / row["imagename"]
        yield Example(name, partial(_picture, picture), row["answer"], row["question"], {"group": "judge"})


def _refcoco(home: str, refs: tuple[str, ...], data: Path | None, limit: int | None) -> Iterator[Example]:
    """Read the test parts of RefCOCO, RefCOCO+ or RefCOCOg. The refs must be JSON, because pickles are not safe."""
    path = _home(data, *(f"{home}/{name}" for name in refs))
    images = _home(data, "train2014", "coco/train2014")
    records = open_set("refcoco", path, images, instances=path.parent / "instances.json")
    wanted = (k for k in range(len(records)) if records.rows[k]["split"] != "train")
    for k in islice(wanted, limit):
        found = records.sample(k)
        truth = {"box": found.meta["box"], "size": records.rows[k]["size"]}
        yield _to_example(found, truth, group=found.meta["split"])


def _chart_se(home: str, data: Path | None, limit: int | None) -> Iterator[Example]:
    """Read a benchmark of OneChart: one JSON file with title, source, axis titles and values, and a folder `images`."""
    folder = _home(data, home)
    path = next(iter(sorted(folder.glob("*.json"))), folder / "ChartQA_test_human_filter.json")
    for k, row in _rows(path, limit, "images", "gts"):
        yield Example(f"{home}-{k}", partial(_picture, folder / "images" / row["images"]), row["gts"])


_CONTENT = ("text", "latex", "html")


def _omnidocbench(data: Path | None, limit: int | None) -> Iterator[Example]:
    """Read OmniDocBench. The truth is the blocks of a page, without those that the set marks as ignored."""
    path = _home(data, "omnidocbench/OmniDocBench.json", "OmniDocBench/OmniDocBench.json")
    for _, row in _rows(path, limit, "layout_dets", "page_info"):
        page = row["page_info"]
        blocks = [
            {"kind": b["category_type"], "order": b.get("order"), **{k: b[k] for k in _CONTENT if b.get(k)}}
            for b in row["layout_dets"] if not b.get("ignore")
        ]  # fmt: skip
        picture = path.parent / "images" / Path(page["image_path"]).name
        language = page.get("page_attribute", {}).get("language", "unknown")
        about = {"group": language, "file": picture.name}
        yield Example(picture.stem, partial(_picture, picture), blocks, about=about)


def _olmocr(data: Path | None, limit: int | None) -> Iterator[Example]:
    """Read olmOCR-bench: one example per file of tests and page. Pages without a `baseline` test get one."""
    home = _home(data, "olmocr-bench/bench_data", "olmOCR-bench/bench_data")
    pages: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for path in sorted(home.glob("*.jsonl")):
        for _, test in _rows(path, None, "pdf", "page", "type"):
            pages.setdefault((path.stem, test["pdf"], int(test["page"])), []).append(test)
    checked = {(pdf, page) for (_, pdf, page), tests in pages.items() if any(t["type"] == "baseline" for t in tests)}
    for _, pdf, page in list(pages):
        if (pdf, page) not in checked:
            pages["baseline", pdf, page] = [{"pdf": pdf, "page": page, "type": "baseline"}]
    for (group, pdf, page), tests in islice(pages.items(), limit):
        about = {"group": group, "file": f"{pdf.removesuffix('.pdf')}_pg{page}"}
        yield Example(f"{group}/{pdf}-{page}", partial(_page, home / "pdfs" / pdf, page), tests, about=about)


def _page(path: Path, number: int) -> Image.Image:
    with PdfFile(path) as pdf:
        return pdf.render(number, DPI)[0]


def _pdfs(data: Path | None, limit: int | None) -> Iterator[Example]:
    """Yield dense pages of the user's PDFs. A limit is divided among the files."""
    files = sorted(path for path in data.rglob("*") if path.name.lower().endswith((".pdf", ".pdf.gz"))) if data else []
    if not files:
        raise InputError(f"{data}: no PDF in it" if data else "task pdfs: name a folder of PDFs of yours (--data DIR)")
    each = OWN_PAGES if limit is None else -(-limit // len(files))
    yield from islice((page for path in files for page in document_pages(path, each, "en")), limit)


_REFS = ("refs(unc).json", "refs(umd).json", "refs(google).json", "refs.json")
_DOCVQA = ("docvqa/val_v1.0_withQT.json", "docvqa/val_v1.0.json")
_DICT = "Convert the key information of the chart to a python dict:"  # OneChart's prompt, arXiv 2404.09987

SETS: dict[str, Task] = {
    "pdfs": Task(_pdfs, files="*.pdf"),
    "fox-en": Task(partial(_fox, "en_page_ocr.json", "en_pdf_png"), "fox", files="fox/en_page_ocr.json"),
    "fox-zh": Task(
        partial(_fox, "cn_page_ocr.json", "cn_pdf_png"), "fox", language="zh", files="fox/cn_page_ocr.json"
    ),
    "fox-box-en": Task(partial(_fox, "en_box_ocr.json", "en_pdf_png"), "fox", asks=True, files="fox/en_box_ocr.json"),
    "fox-box-zh": Task(
        partial(_fox, "cn_box_ocr.json", "cn_pdf_png"), "fox", language="zh", asks=True, files="fox/cn_box_ocr.json"
    ),
    "omnidocbench": Task(
        _omnidocbench, "omnidocbench", PROMPTS["markdown"]["en"], files="omnidocbench/OmniDocBench.json"
    ),
    "olmocr-bench": Task(_olmocr, "unit-tests", PROMPTS["markdown"]["en"], files="olmocr-bench/bench_data/*.jsonl"),
    "docvqa": Task(partial(_answers, "docvqa", _DOCVQA, ""), "anls", asks=True, files=_DOCVQA[0]),
    "chartqa-human": Task(
        partial(_answers, "chartqa", ("chartqa/test/test_human.json",), "png"), "relaxed", asks=True,
        files="chartqa/test/test_human.json",
    ),
    "chartqa-augmented": Task(
        partial(_answers, "chartqa", ("chartqa/test/test_augmented.json",), "png"), "relaxed", asks=True,
        files="chartqa/test/test_augmented.json",
    ),
    "chartqa-se": Task(partial(_chart_se, "chartqa-se"), "chart", _DICT, asks=True, files="chartqa-se/*.json"),
    "plotqa-se": Task(partial(_chart_se, "plotqa-se"), "chart", _DICT, asks=True, files="plotqa-se/*.json"),
    "refcoco": Task(partial(_refcoco, "refcoco", _REFS), "box", asks=True, files="refcoco/refs(unc).json"),
    "refcoco+": Task(partial(_refcoco, "refcoco+", _REFS), "box", asks=True, files="refcoco+/refs(unc).json"),
    "refcocog": Task(partial(_refcoco, "refcocog", _REFS[1:]), "box", asks=True, files="refcocog/refs(umd).json"),
    "textvqa": Task(_textvqa, "vqa", asks=True, files="textvqa/TextVQA_0.5.1_val.json"),
    "ocrbench": Task(_ocrbench, "ocrbench", asks=True, files="ocrbench/OCRBench.json"),
    "mm-vet": Task(_mmvet, "judged", asks=True, files="mm-vet/mm-vet.json"),
}  # fmt: skip
