"""Broken text layers: how many wrong characters pass as the layer's own. Run `python benchmarks/layers.py [CASES]`.

Each case is a document of prose with digits whose layer says other characters than it draws, or says more than it
shows. A wrong character passes in silence when the result differs from what is drawn and its witness is `both`, `layer`
or `healed`. The documents are drawn from a seed, so the same command gives the same numbers.
"""

from __future__ import annotations

import random
import string
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.pdfs import add_page_under, as_type3, pdf_of, set_in, show, with_map, without_map
from vary.document.elements import Page
from vary.reading.api import load
from vary.reading.pages import read_document

WORDS = (
    "harbour", "office", "keeps", "ledger", "every", "vessel", "captain", "cargo", "hour", "arrival", "tide",
    "pilots", "wait", "second", "buoy", "ship", "dues", "voyage", "paid", "copies", "lamp", "quay", "rope", "winter",
    "barrel", "market", "copper", "kettle", "orchard", "jug", "weaver", "pony", "zinc", "axle", "year", "capital",
)  # fmt: skip
SIZE = (420, 300)
SANS = "LiberationSans-Regular.ttf"
Maps = dict[str, str]


def prose(rng: random.Random, count: int = 9) -> list[str]:
    """Return lines of words and numbers."""
    lines = []
    for _ in range(count):
        words = [rng.choice(WORDS) for _ in range(7)]
        words[rng.randrange(7)] = str(rng.randrange(10, 99999))
        lines.append(" ".join(words).capitalize() + ".")
    return lines


def maps(kind: str, rng: random.Random) -> Maps:
    """Return what each drawn character claims to be."""
    letters, digits = string.ascii_letters, string.digits
    if kind == "shifted":
        by = rng.choice([1, 2, 3, 29])
        return {chr(c): chr(33 + (c - 33 + by) % 94) for c in range(33, 127)}
    if kind == "digits":
        return dict(zip(digits, rng.sample(digits, 10), strict=True))
    if kind == "private":
        return {ch: chr(0xE000 + ord(ch)) for ch in letters + digits}
    if kind == "swapped":
        a, b = rng.sample("aeionrstl", 2)
        return {a: b, b: a}
    return dict(zip(letters, rng.sample(letters, len(letters)), strict=True))


def typeset(lines: Iterable[str], size: float = 12, font: str = "F1", extra: str = "", top: float = 270) -> str:
    """Return operators that set lines one below the other."""
    return "".join(show(text, 30, top - 1.5 * size * k, size, font, extra) for k, text in enumerate(lines))


def garble(lines: Iterable[str], rng: random.Random) -> list[str]:
    """Return lines with other letters and digits."""
    found = maps("permuted", rng) | maps("digits", rng)
    return ["".join(found.get(ch, ch) for ch in line) for line in lines]


def draw(kind: str, rng: random.Random, path: Path) -> list[list[str]]:
    """Write a document with a layer of a kind, and return the lines that each of its pages shows."""
    lines = prose(rng)
    if kind == "one font":
        with_map(pdf_of(path, [typeset(lines[:5], font="F2") + typeset(lines[5:], top=180)], SIZE), maps(kind, rng))
        return [lines]
    if kind == "small type":
        pages = [lines, prose(rng, 6)]
        with_map(pdf_of(path, [typeset(lines), typeset(pages[1], 4)], SIZE), maps(kind, rng))
        return pages
    if kind == "few characters":
        pages = [lines, [f"{rng.choice(WORDS).capitalize()} {rng.randrange(100, 999)}"], prose(rng)]
        with_map(pdf_of(path, [typeset(page) for page in pages], SIZE), maps(kind, rng))
        return pages
    if kind == "white":
        pdf_of(path, [typeset(lines) + typeset(garble(lines, rng), extra="1 g", top=261)], SIZE)
    elif kind == "painted over":
        pdf_of(path, [typeset(garble(lines, rng)) + "q 1 g 0 0 420 300 re f Q\n" + typeset(lines)], SIZE)
    elif kind == "invisible":
        scan(pdf_of(path, [typeset(lines)], SIZE), path.with_suffix(".scan.pdf"))
        add_page_under(pdf_of(path, [typeset(garble(lines, rng), extra="3 Tr")], SIZE), path.with_suffix(".scan.pdf"))
    elif kind == "type 3":
        with_map(as_type3(pdf_of(path, [typeset(lines)], SIZE), SANS), maps(kind, rng))
    elif kind == "two as one":
        lines = prose(rng, 11)
        set_in(path, lines, SANS, dict([rng.sample(rng.choice([string.digits, "aceorsnu"]), 2)]), 11)
    elif kind == "no map":
        without_map(pdf_of(path, [typeset(lines)], SIZE), SANS, maps(kind, rng))
    else:
        pdf_of(path, [typeset(lines)], SIZE)
        if kind != "true":
            with_map(path, maps(kind, rng))
    return [lines]


KINDS = (
    "true", "shifted", "permuted", "digits", "private", "swapped", "one font", "small type", "few characters", "white",
    "painted over", "invisible", "type 3", "no map", "two as one",
)  # fmt: skip


def scan(path: Path, out: Path) -> None:
    """Write a PDF of pictures of a PDF's pages."""
    from pypdfium2 import PdfDocument

    image: Image.Image = PdfDocument(path)[0].render(scale=150 / 72).to_pil().convert("L")
    image.save(out, resolution=150)


def silent(page: Page, truth: str) -> tuple[int, int]:
    """Return wrong characters that count as the layer's own, and wrong characters in all."""
    text, sources = "", []
    for line in page.lines:
        known = ["pixels"] * len(line.text)
        for start, end, source in line.sources:
            known[start:end] = [source] * (end - start)
        text, sources = text + line.text + " ", [*sources, *known, "pixels"]
    wrong = passed = 0
    for what, a0, a1, b0, b1 in SequenceMatcher(None, truth, text.strip(), autojunk=False).get_opcodes():
        if what != "equal":
            wrong += max(a1 - a0, b1 - b0)
            passed += sum(source != "pixels" for source in sources[b0:b1])
    return passed, wrong


def main(count: int, only: list[str]) -> None:
    """Print a table of the kinds, and of each silent character when kinds are named."""
    reader, totals = load("vary-nano"), dict[str, Counter[str]]()
    with tempfile.TemporaryDirectory() as folder:
        for k in range(count):
            rng, kind = random.Random(k), KINDS[k % len(KINDS)]
            if only and kind not in only:
                continue
            path = Path(folder) / "a.pdf"
            truths = draw(kind, rng, path)
            found = totals.setdefault(kind, Counter())
            found["cases"] += 1
            for page, lines in zip(read_document(path, reader).pages, truths, strict=True):
                passed, wrong = silent(page, " ".join(lines))
                found.update(characters=len(" ".join(lines)), passed=passed, wrong=wrong, **{page.layer: 1})
                if only and wrong:
                    print(k, passed, wrong, page.layer, page.text, *lines, sep="\n")
    print("| layer | cases | characters | passed in silence | wrong in all | pages |\n|---|---|---|---|---|---|")
    for kind, c in totals.items():
        verdicts = ", ".join(f"{c[v]} {v}" for v in ("verified", "healed", "rejected", "none") if c[v])
        print(f"| {kind} | {c['cases']} | {c['characters']} | {c['passed']} | {c['wrong']} | {verdicts} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 280, sys.argv[2:])
