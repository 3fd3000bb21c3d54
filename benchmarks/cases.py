"""Read a folder of difficult inputs and print for each whether its conditions hold.

    python benchmarks/cases.py DIR [--only NAME ...] [--decoder | --layer | --pixels]

DIR has `documents.tsv` (name, kind, conditions separated by ` ;; `) with the documents it names, and the inputs of
FAULTS below. The two names that end in `.py` need no input: they run miniatures with random weights. The conditions
of a document are about its Markdown:

    contains: TEXT | lacks: TEXT | line: TEXT (a whole line) | order: A < B | near: A ~ B (in one line or row)
    table RxC (rows below the head, columns) | row: a | b | c (one row of a table) | fence: TEXT (in one code block)
    figures N (at least) | nohead: TEXT (in no heading)

Exit code: 0 when all hold, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markdown_it import MarkdownIt
from PIL import Image

import vary
from vary.data.sample import Sample
from vary.io.errors import InputError, VaryError

if TYPE_CHECKING:
    from vary.models.generate.chat import ChatModel

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
Reading = Callable[[Path], "Markdown"]


class Markdown:
    """A Markdown text: its plain text, and its tables, headings, code blocks and figures."""

    def __init__(self, source: str):
        self.source = source
        tokens = PARSER.parse(source)
        self.fences = [token.content for token in tokens if token.type == "fence"]
        self.headings = [_plain(after.content) for token, after in pairwise(tokens)
                         if token.type == "heading_open"]  # fmt: skip
        self.tables: list[list[list[str]]] = []
        for k, token in enumerate(tokens):
            if token.type == "table_open":
                self.tables.append([])
            elif token.type == "tr_open":
                self.tables[-1].append([])
            elif token.type in ("td_open", "th_open"):
                self.tables[-1][-1].append(_plain(tokens[k + 1].content))
        self.lines = [" ".join(_plain(line).split()) for line in source.splitlines()]
        self.text = " ".join(" ".join(self.lines).split())
        self.figures = source.count("<!-- figure") + source.count("![")


def _plain(text: str) -> str:
    """Return Markdown without emphasis marks, backticks and escapes; asterisks between blanks stay."""
    text = re.sub(r"\\(?=[!-/:-@\[-`{-~])", "", text.replace("\\*", "\0"))
    return re.sub(r"\*\*|(?<!\S)\*(?=\S)|(?<=\S)\*|`", "", text).replace("\0", "*")


def holds(condition: str, found: Markdown) -> bool:
    """Return whether one condition holds for a text."""
    kind, _, rest = condition.partition(" ")
    kind, rest = kind.rstrip(":"), rest.strip()
    if kind in ("order", "near"):
        first, second = re.split(r" [<~] ", rest, maxsplit=1)
    checks: dict[str, Callable[[], bool]] = {
        "contains": lambda: rest in found.text,
        "lacks": lambda: rest not in found.text,
        "line": lambda: rest in found.lines,
        "order": lambda: -1 < found.text.find(first) < found.text.find(second),
        "near": lambda: any(first in line and second in line for line in found.lines),
        "table": lambda: any(_has_shape(table, rest) for table in found.tables),
        "row": lambda: [cell.strip() for cell in rest.split("|")] in [row for table in found.tables for row in table],
        "fence": lambda: any(rest.replace("\\n", "\n") in fence for fence in found.fences),
        "figures": lambda: found.figures >= int(rest),
        "nohead": lambda: not any(rest in heading for heading in found.headings),
    }
    return checks[kind]()


def _has_shape(table: list[list[str]], shape: str) -> bool:
    rows, columns = map(int, shape.split("x"))
    return len(table) == rows + 1 and all(len(row) == columns for row in table)


# -- faults: each returns the conditions that do not hold --------------------------------------------------------------

PROSE = (
    "The harbour office keeps a ledger of every vessel that enters the bay",
    "Each entry names the captain, the cargo and the hour of arrival",
    "When the tide is low the pilots wait beyond the second buoy",
    "No ship may leave before the dues of the previous voyage are paid",
    "Copies of the ledger are sent to the capital at the end of the year",
)

SIDEWAYS = (
    *("Item", "Capacity", "Fluid", "Engine oil", "5.7 litres", "Grade 5W-30", "Coolant", "17.6 litres", "Premium blue"),
    *("Brake fluid", "0.8 litres", "Type four", "Gear oil", "2.9 litres", "Grade 75W-90", "Washer", "4.0 litres"),
    "Clear mix",
)


def _missing(found: Markdown, *texts: str) -> list[str]:
    return [f"contains: {text}" for text in texts if text not in found.text]


def _all_digits(folder: Path, read: Reading) -> list[str]:
    """Every cell of digits.txt, as often as it is there."""
    wanted = (folder / "digits.txt").read_text(encoding="utf-8").split()
    found = re.findall(r"\S+", re.sub(r"[|]|---|<!--.*?-->", " ", read(folder / "digits.pdf").source))
    left = list(found)
    lost = [cell for cell in wanted if cell not in left or left.remove(cell)]  # type: ignore[func-returns-value]
    return [f"{len(lost)} of {len(wanted)} cells: {', '.join(lost[:8])}"] if lost else []


def _searchable(folder: Path, name: str) -> Path:
    out = Path(tempfile.mkdtemp(prefix="vary-cases-"))
    vary.read_all([folder / name], out, ["pdf"], workers=1)
    return next(out.glob("*.pdf"))


def _turned(folder: Path, _: Reading) -> list[str]:
    """`pdftotext` gives the lines of a page that lies on its side in their order."""
    text = subprocess.run(
        ["pdftotext", _searchable(folder, "turned90.png"), "-"], capture_output=True, check=True
    ).stdout
    places = [" ".join(text.decode().split()).find(line) for line in PROSE]
    return [] if places[0] > -1 and places == sorted(places) else [f"lines at {places}"]


def _paper(folder: Path, _: Reading) -> list[str]:
    import pypdfium2

    pdf = pypdfium2.PdfDocument(_searchable(folder, "a4_300dpi.tif"))
    size = tuple(round(side) for side in pdf[0].get_size())
    pdf.close()
    return [] if size == (595, 842) else [f"the paper measures {size}"]


def _repeats(folder: Path, read: Reading) -> list[str]:
    lines = [line for line in read(folder / "repeats.pdf").lines if line and not line.startswith("<!--")]
    whole = " ".join(lines)
    first = " ".join(whole.split()[:4])
    return [] if whole.count(first) == 45 else [f"{whole.count(first)} of 45 lines"]


def _headings(folder: Path, read: Reading) -> list[str]:
    """Sixteen pages with a heading of 14 to 48 pt over 20 lines of body text."""
    found = read(folder / "headings.pdf")
    wanted = {"Winter harbour dues": 16, **dict.fromkeys(PROSE, 64)}
    counts = {text: found.text.count(text) for text in wanted}
    return [f"{counts[text]} of {count}: {text}" for text, count in wanted.items() if counts[text] != count]


def _tall(folder: Path, read: Reading) -> list[str]:
    """1,400 numbered lines in their order, and flat memory: no more than 1 GiB in this process."""
    text = read(folder / "tall36k.png").text
    places = [text.find(f"{k}. {PROSE[(k - 1) % 5][:30]}") for k in range(1, 1401)]
    lost = [str(k) for k, place in enumerate(places, 1) if place < 0]
    found = [place for place in places if place >= 0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return (
        ([f"{len(lost)} of 1400 lines: {', '.join(lost[:8])}"] if lost else [])
        + (["the order of lines"] if found != sorted(found) else [])
        + ([f"{peak} MiB"] if peak > 1024 else [])
    )


def _drawing(folder: Path, read: Reading) -> list[str]:
    found = read(folder / "drawing60x48in.pdf")
    short = [f"{found.text.count(text)} of 4: {text}" for text in PROSE if found.text.count(text) != 4]
    return short + _missing(found, "Sheet 4 of 9, revision C")


def _shown_alone(folder: Path, read: Reading) -> list[str]:
    """The visible lines of a page whose text layer also has hidden ones."""
    found = read(folder / "lying_layer.pdf")
    return _missing(found, *PROSE) + [f"lacks: {text}" for text in ("INVISIBLE", "WHITE") if text in found.text]


def _shown_not_claimed(folder: Path, read: Reading) -> list[str]:
    """The text shown by a font whose map to Unicode is wrong."""
    found = read(folder / "lyingfont.pdf")
    return _missing(found, *PROSE) + (["lacks: Vjg"] if "Vjg" in found.text else [])


class _LongQuestions:
    """Samples whose answers begin after the 250 tokens that a row may have."""

    def sample(self, i: int) -> Sample:
        image = np.random.default_rng(i).integers(0, 255, (40, 60, 3), np.uint8)
        return Sample(image, [], "picture", {}, f"Number {i}.", "Which is it? " * 40)


def _masked_labels(_: Path, __: Reading) -> list[str]:
    """Training in which `max_tokens` cuts every answer stops, and says why."""
    from vary.train.loop import train
    from vary.train.recipe import Recipe
    from vary.train.tasks import chat_task

    stage = {
        "name": "pretrain", "task": "answer", "mix": "pictures", "steps": 4, "lr": 0.003, "batch": 3, "max_tokens": 250,
        "trainable": ["connector", "language_model", "lm_head"], "schedule": "cosine",
    }  # fmt: skip
    usual, chat_task.open_mix = chat_task.open_mix, lambda *_, **__: _LongQuestions()
    try:
        with tempfile.TemporaryDirectory(prefix="vary-cases-") as name:
            chat_model, folder = _miniature("vary-toy"), Path(name)
            chat_model.model.save_pretrained(folder / "model")
            chat_model.processor.save_pretrained(folder / "model")
            recipe = {"model": str(folder / "model"), "out": str(folder / "run"), "workers": 0, "ema": 0.0,
                      "precision": "float32", "stages": [stage]}  # fmt: skip
            (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
            train(Recipe.load(folder / "recipe.yaml"), log=lambda _: None)
    except VaryError as error:
        return [] if "no label to learn from" in str(error) else [f"another error: {error}"]
    finally:
        chat_task.open_mix = usual
    return ["the run ends as if it had learnt"]


def _batch_single(_: Path, __: Reading) -> list[str]:
    """Four questions get the answers together that they get alone; one is long, one is too long."""
    wrong = []
    for name in ("vary-toy", "vary-base", "got"):
        for seed in range(4):
            chat_model, rng = _miniature(name, seed), np.random.default_rng(seed)
            asked = [
                ([Image.fromarray(rng.integers(0, 255, (high, wide, 3), np.uint8))], question)
                for high, wide, question in (
                    (40, 60, "a"), (600, 90, "What is the total of the second column? " * 3), (10, 300, ""),
                    (64, 64, "Read <image> this."), (50, 50, "Too long. " * 2000),
                )
            ]  # fmt: skip
            together = [answer.text for answer in chat_model.ask_all(asked, max_tokens=24)]
            for k, (answer, (images, question)) in enumerate(zip(together, asked, strict=True)):
                try:
                    alone = chat_model.ask(list(images), question, max_tokens=24).text
                except InputError:
                    alone = ""
                if answer != alone:
                    wrong.append(f"{name}, seed {seed}, question {k}: {answer!r} in a batch, {alone!r} alone")
    return wrong


def _miniature(name: str, seed: int = 0) -> ChatModel:
    """Return a model of few parameters with random weights and a tokenizer of bytes."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests are no package that is installed
    from tests.conftest import byte_tokenizer
    from vary.models.config import preset
    from vary.models.generate.chat import ChatModel
    from vary.models.modeling import VaryForConditionalGeneration
    from vary.models.processor import VaryProcessor

    config = preset(f"{name}-test")
    torch.manual_seed(seed)
    return ChatModel(VaryForConditionalGeneration(config), VaryProcessor.of(config, byte_tokenizer(config)))


def _texts(name: str, *texts: str) -> Callable[[Path, Reading], list[str]]:
    return lambda folder, read: _missing(read(folder / name), *texts)


FAULTS: dict[str, Callable[[Path, Reading], list[str]]] = {
    "form_ap.pdf": _texts("form_ap.pdf", "Morning Heron", "Saltwick Bay", "14.75", "North quay", "[x]"),
    "headings.pdf": _headings,
    "slide.pdf": _texts(
        "slide.pdf",
        "Harbour dues in winter",
        "Vessels wait two days longer",
        "Dues rose by 14 percent",
        "Pilots ask for a third boat",
    ),
    "title72.pdf": _texts("title72.pdf", "Part One"),
    "bigtext.png": _texts("bigtext.png", "Pot: 192,100"),
    "digits.pdf": _all_digits,
    "twelve_bit.tif": _texts("twelve_bit.tif", *PROSE),
    "sideways.pdf": _texts("sideways.pdf", *PROSE, *SIDEWAYS),
    "userunit72.pdf": _texts("userunit72.pdf", *PROSE),
    "userunit10.pdf": _texts("userunit10.pdf", *PROSE),
    "pixelbox600.pdf": _texts("pixelbox600.pdf", *PROSE),
    "tall36k.png": _tall,
    "drawing60x48in.pdf": _drawing,
    "turned90.png": _turned,
    "a4_300dpi.tif": _paper,
    "lying_layer.pdf": _shown_alone,
    "lyingfont.pdf": _shown_not_claimed,
    "repeats.pdf": _repeats,
    "masked_labels.py": _masked_labels,
    "batch_single.py": _batch_single,
}


# -- the run ----------------------------------------------------------------------------------------------------------


def documents(folder: Path, read: Reading) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Yield each document of `documents.tsv` with its check."""
    rows = (folder / "documents.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for name, _, conditions, *_ in (row.split("\t") for row in rows):

        def check(name: str = name, conditions: str = conditions) -> list[str]:
            found = read(folder / name)
            return [condition for condition in conditions.split(" ;; ") if not holds(condition, found)]

        yield name, check


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", help="names of inputs")
    parser.add_argument("--decoder", action="store_true", help="rescore uncertain text with the decoder")
    parser.add_argument("--pixels", action="store_true", help="without the text layers of PDFs")
    parser.add_argument("--layer", action="store_true", help="the text layers of PDFs alone, without a model")
    arguments = parser.parse_args()
    reader = vary.load("layer") if arguments.layer else vary.load(decoder=arguments.decoder, pixels=arguments.pixels)

    def read(path: Path) -> Markdown:
        return Markdown(vary.read(path, reader).markdown())

    faults = [(name, lambda fault=fault: fault(arguments.folder, read)) for name, fault in FAULTS.items()]
    cases = [case for case in (*faults, *documents(arguments.folder, read))
             if arguments.only is None or case[0] in arguments.only]  # fmt: skip
    failed = 0
    for name, check in cases:
        try:
            missing = check()
        except Exception as error:  # one input must not end the run
            missing = [f"{type(error).__name__}: {error}".splitlines()[0]]
        failed += bool(missing)
        print(f"{'FAIL' if missing else 'pass'}  {name}" + "".join(f"\n      {one}" for one in missing), flush=True)
    print(f"{len(cases) - failed} of {len(cases)} pass")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
