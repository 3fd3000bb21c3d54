"""Words of real PDFs that the reader writes, against those that pdftotext finds in their text layers.

    python benchmarks/words.py DIR [PAGES]

Reads one page, drawn from a seed, of one PDF in each folder below DIR (one folder for each package, say), compressed
ones too. Prints each page that lacks more than 5% of the words, has a status other than ok, or takes more than 8
CPU-seconds, and then the shares. It finds kinds of faults; it is no score: formulas are written as LaTeX, divided
words are joined, and pdftotext reads letters of other codes than are drawn.
"""

from __future__ import annotations

import gzip
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from vary.io.errors import InputError
from vary.io.source import Source
from vary.reading.api import load, read

WORD = re.compile(r"[^\W_]{2,}")
FEWEST = 20  # words of a page that counts
LEAST, LONGEST_S = 0.95, 8.0


def main(folder: str, count: int) -> None:
    """Print pages and shares."""
    reader, rng, shares = load("vary-nano"), random.Random(1), list[float]()
    packages = sorted(path for path in Path(folder).iterdir() if path.is_dir())
    rng.shuffle(packages)
    with tempfile.TemporaryDirectory(prefix="vary-words-") as kept:
        for package in packages[:count]:
            paths = sorted(path for kind in ("*.pdf", "*.pdf.gz") for path in package.rglob(kind) if path.is_file())
            if not paths:
                continue
            path = plain(rng.choice(paths), Path(kept))
            try:
                with Source(path) as source:
                    number = rng.randint(1, len(source))
            except InputError as error:
                print(error, flush=True)
                continue
            began = time.process_time()
            document = read(path, reader, pages=str(number))
            seconds, status = time.process_time() - began, document.pages[0].status
            known = words(layer_text(path, number))
            found = sum((known & words(document.markdown())).values()) / max(1, sum(known.values()))
            if sum(known.values()) >= FEWEST:
                shares.append(found)
                if found < LEAST or status != "ok" or seconds > LONGEST_S:
                    print(f"{path}\t{number}\t{status}\t{found:.1%}\t{seconds:.1f} s", flush=True)
    whole, mean = sum(share >= LEAST for share in shares), sum(shares) / max(1, len(shares))
    print(f"{len(shares)} pages of {FEWEST} words and more: {mean:.1%} of them, {LEAST:.0%} and more on {whole} pages")


def plain(path: Path, folder: Path) -> Path:
    """Return a file, or what a compressed one holds, in a folder."""
    if path.suffix != ".gz":
        return path
    target = folder / path.stem
    target.write_bytes(gzip.decompress(path.read_bytes()))
    return target


def layer_text(path: Path, number: int) -> str:
    """Return the text of a page by pdftotext."""
    command = ["pdftotext", "-f", str(number), "-l", str(number), "-layout", str(path), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def words(text: str) -> Counter[str]:
    """Return how often each word is in a text."""
    return Counter(word.lower() for word in WORD.findall(text.replace("\u00ad", "")))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
