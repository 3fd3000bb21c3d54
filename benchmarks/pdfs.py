"""Share of pages of real PDFs that are kept, and why the others are not: the table of docs/data.md.

`python benchmarks/pdfs.py [--pages 100] [--seed 0] [PACKAGE ...]`: so many pages of each Debian package, drawn at
random, all of them where there are fewer; packages are fetched once. Only the cache and the seed decide the draw.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np

from vary.data.corpus.download import fetch
from vary.data.pdfs.source import PdfSource

PACKAGES = (
    "r-doc-pdf",
    "c++-annotations-pdf",
    "texlive-publishers-doc",
    "texlive-lang-chinese",
    "installation-guide-amd64",
)


def measure(package: str, pages: int, seed: int) -> str:
    """A row of the table."""
    source = PdfSource(fetch(package if ":" in package else f"deb:{package}"))
    closed = Counter(why for (_, page), why in source.unusable.items() if page == 0)
    drawn = np.random.default_rng((seed, 14)).permutation(len(source))[:pages].tolist()
    began = time.perf_counter()
    kept = sum(source.page(k) is not None for k in drawn)
    took = time.perf_counter() - began
    source.close()
    why = Counter(reason for (_, page), reason in source.unusable.items() if page)
    reasons = ", ".join(f"{count} {reason}" for reason, count in why.most_common()) or "–"
    files = f"; {closed.total()} files not opened: {', '.join(closed)}" if closed else ""
    return f"| {package} | {kept} of {len(drawn)} | {reasons}{files} | {took / len(drawn):.2f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=PACKAGES, metavar="PACKAGE")
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| package | kept | why the others were not | a page |\n|---|---|---|---|")
    for package in arguments.packages:
        print(measure(package, arguments.pages, arguments.seed), flush=True)


if __name__ == "__main__":
    main()
