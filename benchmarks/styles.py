"""Measure how well styles are recognised on words of real PDFs, whose fonts say which are mono, bold or italic.

`python benchmarks/styles.py [FILES ...] [--pages 24] [--model vary-nano]` reads pages drawn from the files (default: R
manuals and the Debian installation guide, which no training saw), finds each word of the text layer among those read
by its place, and prints for every style that the model tells: words set in it, precision and recall.
"""

from __future__ import annotations

import argparse

from PIL import Image

from vary.data.corpus.download import fetch
from vary.data.pdfs.source import PdfSource
from vary.document.elements import STYLES
from vary.reading.loader import load_reader

MANUALS = (
    ("deb:r-doc-pdf", "usr/share/doc/r-doc-pdf/manual/R-intro.pdf"),
    ("deb:r-doc-pdf", "usr/share/doc/r-doc-pdf/manual/R-exts.pdf"),
    ("deb:installation-guide-amd64", "usr/share/doc/installation-guide-amd64/en/install.en.pdf.gz"),
)
Word = tuple[float, float, frozenset[str]]  # middle in px, styles


def true_words(sample) -> list[Word]:
    found = []
    for line in sample.lines:
        start = 0
        for word in line.text.split(" "):
            bits, boxes = line.styles[start : start + len(word)], line.boxes[start : start + len(word)]
            if len(word):
                names = {name for k, name in enumerate(STYLES) if (bits >> k & 1).mean() > 0.5}
                found.append((*_middle(boxes.tolist()), frozenset(names)))
            start += len(word) + 1
    return found


def read_words(page) -> list[Word]:
    found = []
    for line in page.lines:
        start = 0
        for word in line.text.split(" "):
            if word:
                names = {style for a, b, style in line.styles if a <= start and b >= start + len(word)}
                found.append((*_middle(line.characters[start : start + len(word)]), frozenset(names)))
            start += len(word) + 1
    return found


def _middle(boxes) -> tuple[float, float]:
    return (boxes[0][0] + boxes[-1][2]) / 2, sum(b[1] + b[3] for b in boxes) / (2 * len(boxes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--pages", type=int, default=24)
    parser.add_argument("--model", default="vary-nano")
    arguments = parser.parse_args()
    files = arguments.files or [str(fetch(package) / file) for package, file in MANUALS]
    source, reader = PdfSource(files, seed=11, height=1232, width=1232), load_reader(arguments.model)
    told = reader.network.frame_grid.styles
    counts = {name: [0, 0, 0] for name in told}  # set so and told so, told so and not, set so and not told
    words = matched = 0
    for k in range(arguments.pages):
        sample = source.sample(k)
        image = Image.fromarray(sample.image)
        page = reader.read(image, reader.wanted_scale(image))
        found = read_words(page)
        for x, y, truth in true_words(sample):
            words += 1
            near = min(found, key=lambda word: abs(word[0] - x) + 2 * abs(word[1] - y), default=None)
            if near is None or abs(near[0] - x) > 6 or abs(near[1] - y) > 6:
                continue
            matched += 1
            for name in told:
                counts[name][0] += name in truth and name in near[2]
                counts[name][1] += name not in truth and name in near[2]
                counts[name][2] += name in truth and name not in near[2]
    print(f"{words} words on {arguments.pages} pages, {matched} of them found at their place\n")
    print("| style | words set in it | precision | recall |\n|---|---|---|---|")
    for name, (right, wrong, missed) in counts.items():
        precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
        print(f"| {name} | {right + missed} | {precision:.1%} | {recall:.1%} |")


if __name__ == "__main__":
    main()
