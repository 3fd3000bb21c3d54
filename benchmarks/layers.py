"""Broken text layers: how many wrong characters pass as the layer's own. Run `python benchmarks/layers.py [CASES]`.

Each case is a page of prose with digits whose font says other characters than it draws. A wrong character passes in
silence when the result differs from what is drawn and its witness is `both`, `layer` or `healed`. The pages are drawn
from a seed, so the same command gives the same numbers.
"""

from __future__ import annotations

import random
import string
import sys
import tempfile
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.pdfs import pdf_of, show, with_map
from vary.document.elements import Page
from vary.reading.api import load
from vary.reading.pages import read_document

WORDS = (
    "harbour", "office", "keeps", "ledger", "every", "vessel", "captain", "cargo", "hour", "arrival", "tide",
    "pilots", "wait", "second", "buoy", "ship", "dues", "voyage", "paid", "copies", "lamp", "quay", "rope", "winter",
    "barrel", "market", "copper", "kettle", "orchard", "jug", "weaver", "pony", "zinc", "axle", "year", "capital",
)  # fmt: skip
SIZE = (420, 300)


def prose(rng: random.Random) -> list[str]:
    """Return lines of words and numbers."""
    lines = []
    for _ in range(9):
        words = [rng.choice(WORDS) for _ in range(7)]
        words[rng.randrange(7)] = str(rng.randrange(10, 99999))
        lines.append(" ".join(words).capitalize() + ".")
    return lines


def maps(kind: str, rng: random.Random) -> dict[str, str]:
    """Return what each drawn character claims to be."""
    letters, digits = string.ascii_letters, string.digits
    if kind == "shifted":
        by = rng.choice([1, 2, 3, 29])
        return {chr(c): chr(33 + (c - 33 + by) % 94) for c in range(33, 127)}
    if kind == "permuted":
        return dict(zip(letters, rng.sample(letters, len(letters)), strict=True))
    if kind == "digits":
        return dict(zip(digits, rng.sample(digits, 10), strict=True))
    if kind == "private":
        return {ch: chr(0xE000 + ord(ch)) for ch in letters + digits}
    a, b = rng.sample("aeionrstl", 2)
    return {a: b, b: a}  # two letters changed places


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


def main(count: int) -> None:
    reader, totals = load("vary-nano"), dict[str, Counter[str]]()
    kinds = ("true", "shifted", "permuted", "digits", "private", "swapped")
    with tempfile.TemporaryDirectory() as folder:
        for k in range(count):
            rng, kind = random.Random(k), kinds[k % len(kinds)]
            lines = prose(rng)
            path = pdf_of(
                Path(folder) / "a.pdf", ["".join(show(t, 30, 270 - 18 * n, 12) for n, t in enumerate(lines))], SIZE
            )
            if kind != "true":
                with_map(path, maps(kind, rng))
            page = read_document(path, reader).pages[0]
            passed, wrong = silent(page, " ".join(lines))
            found = totals.setdefault(kind, Counter())
            found.update(cases=1, characters=len(" ".join(lines)), passed=passed, wrong=wrong, **{page.layer: 1})
    print("| layer | cases | characters | passed in silence | wrong in all | verdicts |\n|---|---|---|---|---|---|")
    for kind, c in totals.items():
        verdicts = ", ".join(f"{c[v]} {v}" for v in ("verified", "healed", "rejected") if c[v])
        print(f"| {kind} | {c['cases']} | {c['characters']} | {c['passed']} | {c['wrong']} | {verdicts} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 240)
